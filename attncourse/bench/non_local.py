"""Non-local blocks and DANet's position attention, 64 channels: no map of all with all.

Gaussian      the embedded Gaussian block, 32 features in the middle
position      DANet's, 8 features for queries and keys, 64 for values
dot product   the mixture alone: by its map, and in linear order
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from attncourse.bench.measuring import Case, Setting, Way, layer, runs_here
from attncourse.bench.reporting import Figure
from solutions import non_local as reference
from solutions.fast import non_local as fast

WHAT = "non-local blocks and position attention, one image of 64 channels"
C, MIDDLE, NARROW = 64, 32, 8
FIGURE = Figure(
    "pixels (64 channels)",
    ("Gaussian, dense", "Gaussian, torch", "position, dense", "position, torch",
     "dot product, dense", "dot product, linear"),
    ours="dot product, linear",
    over=("dot product, dense",),
)  # fmt: skip
SMALL, FULL = (16, 32, 64), (16, 28, 32, 64, 96)


def cases(setting: Setting) -> list[Case]:
    """Three mechanisms at each size."""
    sides = (6,) if setting.tiny else FULL if setting.full else SMALL
    makers = (_gaussian, _position, _dot)
    return [make(side, setting) for side in sides for make in makers]


def _layers(name: str, side: int, setting: Setting, made: tuple, work: int) -> Case:
    slow, quick = made

    def x():
        return setting.randn(_images(setting), C, side, side)

    def ours(implementation: str) -> Way:
        runs_here(implementation, setting)
        module = setting.here(quick())
        module.implementation = implementation
        return layer(module, x(), work)

    def auto() -> str:
        module = setting.here(quick())
        return f"{name}, {module.runs(x())}"

    dense = f"{name}, dense"
    ways: dict[str, Callable[[], Way]] = {dense: lambda: layer(setting.here(slow()), x(), work)}
    for which in fast.IMPLEMENTATIONS:
        if which != "reference":
            ways[f"{name}, {which}"] = partial(ours, which)
    return _case(name, side, ways, dense, auto)


def _case(name: str, side: int, ways, dense: str, auto) -> Case:
    return Case(
        f"{name}, {side} x {side}",
        dict(side=side, c=C),
        ways,
        over=(dense,),
        alike=tuple(ways),
        auto=auto,
        at=side * side,
        core=side == 64,
    )


def _images(setting: Setting) -> int:
    return 1 if setting.device == "cpu" else 16


def _gaussian(side: int, setting: Setting) -> Case:
    n = side * side
    work = reference.multiply_adds(C, MIDDLE, n, n) * _images(setting)
    made = (lambda: _seen(reference.NonLocal(C)), lambda: _seen(fast.NonLocal(C)))
    return _layers("Gaussian", side, setting, made, work)


def _seen(block: nn.Module) -> nn.Module:
    """The norm starts at 0, which would hide what the block does."""
    nn.init.ones_(block.norm.weight)
    return block


def _position(side: int, setting: Setting) -> Case:
    n = side * side
    work = n * C * (2 * NARROW + C) + n * n * (NARROW + C)

    def visible(kind) -> nn.Module:
        block = kind.PositionAttention(C, C // NARROW)
        nn.init.ones_(block.gamma)
        return block

    made = (lambda: visible(reference), lambda: visible(fast))
    return _layers("position", side, setting, made, work * _images(setting))


def _dot(side: int, setting: Setting) -> Case:
    n, b = side * side, _images(setting)

    def qkv():
        return [setting.randn(b, n, MIDDLE) for _ in range(3)]

    def dense(q, k, v):
        return reference.dot_product_weights(q, k) @ v

    linear = "dot product, linear"
    ways = {
        "dot product, dense": lambda: Way(dense, qkv(), 2 * b * n * n * MIDDLE),
        linear: lambda: Way(reference.dot_product_mixture, qkv(), 2 * b * n * MIDDLE * MIDDLE),
    }
    return _case("dot product", side, ways, "dot product, dense", lambda: linear)
