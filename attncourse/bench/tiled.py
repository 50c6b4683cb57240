"""Scaled dot-product attention itself: 8 heads of 64 features.

fused      torch's own
torch      torch's own behind what its kernel asks for: widths, axes, features side by side
tiled      tile by tile, in PyTorch: for reading
reference  the whole map
"""

from functools import partial

from torch.nn import functional as F

from attncourse.bench.measuring import Absent, Case, Setting, Way, asked, runs_here
from attncourse.bench.reporting import Figure
from solutions.fast import scaled_dot_product as attention

WHAT = "scaled dot-product attention, 8 heads of 64 features"
HEADS, D = 8, 64
FIGURE = Figure(
    "tokens (8 heads of 64)",
    ("reference", "tiled", "triton", "torch", "fused"),
    ours="tiled",
    over=("fused",),
)
SMALL, FULL = (256, 1024, 2048), (256, 1024, 2048, 4096, 8192)


def cases(setting: Setting) -> list[Case]:
    """Whole maps; with `full` causal ones too."""
    lengths = (37,) if setting.tiny else FULL if setting.full else SMALL
    found = [_case(n, False, setting) for n in lengths]
    return found + [_case(n, True, setting) for n in lengths if setting.full]


def _case(n: int, causal: bool, setting: Setting) -> Case:
    b = 1 if setting.device == "cpu" else 4

    def inputs():
        return [setting.randn(b, HEADS, n, D) for _ in range(3)]

    work = b * HEADS * D * (n * (n + 1) if causal else 2 * n * n)

    def ours(name: str) -> Way:
        runs_here(name, setting)
        if name == "reference" and n > 4096:
            raise Absent("its map takes gigabytes")
        call = partial(
            attention.scaled_dot_product_attention, causal=causal, implementation=name
        )
        return Way(call, inputs(), work)

    fused = partial(F.scaled_dot_product_attention, is_causal=causal)
    ways = {"fused": lambda: Way(fused, inputs(), work)}
    ways |= {name: partial(ours, name) for name in attention.IMPLEMENTATIONS}
    return Case(
        f"n = {n}{', causal' if causal else ''}",
        dict(n=n, heads=HEADS, d=D, b=b, causal=int(causal)),
        ways,
        over=("fused",),
        alike=("reference", *attention.IMPLEMENTATIONS, "fused"),
        auto=lambda: asked(attention.choose, *inputs()[::2]),
        at=None if causal else n,
        core=n >= 2048 and not causal,
    )
