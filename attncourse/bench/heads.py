"""Multi-head attention as a layer: 256 features in 8 heads, two sequences, no weights asked.

torch, train    nn.MultiheadAttention, with gradients where there is a way back
torch, eval     the same in evaluation mode, which takes another way
ours            the layer of solutions.fast.multi_head, whatever it chooses
"""

from functools import partial

from torch import nn

from attncourse.bench.measuring import Absent, Case, Setting, Way, layer, runs_here
from attncourse.bench.reporting import Figure
from solutions.fast import MultiHeadAttention
from solutions.fast import scaled_dot_product as attention

WHAT = "multi-head attention, 256 features in 8 heads, two sequences"
DIM, HEADS, B = 256, 8, 2
FIGURE = Figure(
    "tokens (8 heads of 32)",
    ("torch, eval", "torch, train", "ours", "ours, reference"),
    ours="ours",
    over=("torch, eval", "torch, train"),
)
SMALL, FULL = (64, 196, 1024), (64, 196, 1024, 4096)
MAPS = 1024  # tokens up to which the reference is measured


def cases(setting: Setting) -> list[Case]:
    """From 64 tokens, where calls cost as much as the work, to a few thousand."""
    lengths = (7,) if setting.tiny else FULL if setting.full else SMALL
    return [_case(n, setting) for n in lengths]


def _case(n: int, setting: Setting) -> Case:
    b = B if setting.device == "cpu" else 16 * B
    work = b * (4 * n * DIM * DIM + 2 * n * n * DIM)

    def x():
        return setting.randn(b, n, DIM)

    def torchs(train: bool) -> Way:
        module = nn.MultiheadAttention(DIM, HEADS, batch_first=True).train(train)
        module = setting.here(module)
        weights = tuple(module.parameters())
        back = "" if train else "evaluation is without"
        return Way(lambda x: module(x, x, x, need_weights=False)[0], [x()], work, weights, back)

    def ours(implementation: str) -> Way:
        runs_here(implementation, setting)
        if implementation == "reference" and n > MAPS and setting.device == "cpu":
            raise Absent(f"beyond {MAPS} tokens it makes large maps")
        module = MultiHeadAttention(DIM, HEADS)
        module.implementation = implementation
        return layer(setting.here(module), x(), work)

    ways = {f"torch, {mode}": partial(torchs, mode == "train") for mode in ("train", "eval")}
    ways["ours"] = partial(ours, "auto")
    for name in attention.IMPLEMENTATIONS:
        if name in ("reference", "triton"):
            ways[f"ours, {name}"] = partial(ours, name)
    return Case(
        f"n = {n}",
        dict(n=n, b=b, dim=DIM, heads=HEADS),
        ways,
        over=("torch, train", "torch, eval"),
        alike=("ours", *(name for name in ways if name.startswith("ours, "))),
        at=n,
        core=n in (196, 1024),
    )
