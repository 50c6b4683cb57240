"""Sparse attention, strided and fixed: 8 heads of 32 features, stride sqrt(n), causal.

dense         torch's fused attention over all earlier keys, which is the measure
masked        torch's fused attention with the strided mask, n x n
split         half of the heads take the first part of the pattern, half the second
merged        every head takes both
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from attncourse.bench.measuring import Absent, Case, Setting, Way, runs_here
from attncourse.bench.reporting import Figure
from solutions import sparse as reference
from solutions.fast import sparse

WHAT = "sparse causal attention, 8 heads of 32 features, stride sqrt(n)"
HEADS, D = 8, 32
FIGURE = Figure(
    "tokens (8 heads of 32, stride of the root)",
    ("dense", "strided, merged", "strided, split", "fixed, merged", "fixed, split",
     "strided, split, reference", "masked"),
    ours="strided, split",
    over=("dense",),
)  # fmt: skip
SMALL, FULL = (1024, 4096, 16384), (1024, 4096, 16384, 65536, 262144)
DENSE = 16384  # beyond it, it would take minutes
MAPS = {False: 1024, True: 4096}  # beyond it, a mask or a reference would take long


def cases(setting: Setting) -> list[Case]:
    """Four times as long each time; dense attention and the references up to 16,384."""
    lengths = (36,) if setting.tiny else FULL if setting.full else SMALL
    return [_case(n, setting) for n in lengths]


def keys(n: int, stride: int, pattern: str, way: str) -> float:
    """How many keys all queries of a head have together; the mean of both kinds of heads."""
    i = torch.arange(n)
    if pattern == "strided":
        first, second = (i + 1).clamp(max=stride), i // stride + 1
        both = 1  # itself
    else:
        first, second = i % stride + 1, (i + 1) // stride
        both = ((i + 1) % stride == 0).long()  # a summary sees itself
    if way == "split":
        return (first + second).sum().item() / 2
    return (first + second - both).sum().item()


def _case(n: int, setting: Setting) -> Case:
    stride = math.isqrt(n)

    def inputs():
        return [setting.randn(1, HEADS, n, D) for _ in range(3)]

    def dense() -> Way:
        if n > DENSE and setting.device == "cpu":
            raise Absent(f"beyond {DENSE} tokens it takes minutes")
        call = partial(F.scaled_dot_product_attention, is_causal=True)
        return Way(call, inputs(), HEADS * D * n * (n + 1))

    def masked() -> Way:
        if n > MAPS[setting.full]:
            raise Absent("its mask is large, and it takes long; up to 4096 with --full")
        first, second = reference.masks("strided", n, stride)
        mask = (first | second).to(setting.device)
        return Way(partial(F.scaled_dot_product_attention, attn_mask=mask), inputs())

    def ours(pattern: str, way: str, implementation: str) -> Way:
        runs_here(implementation, setting)
        if implementation == "reference" and n > (DENSE if setting.full else MAPS[False]):
            raise Absent("it takes long, or gigabytes; up to 16,384 tokens with --full")
        call = partial(
            sparse.sparse_attention,
            pattern=pattern,
            stride=stride,
            way=way,
            implementation=implementation,
        )
        work = round(2 * HEADS * D * keys(n, stride, pattern, way))
        return Way(call, inputs(), work)

    ways: dict[str, Callable[[], Way]] = {"dense": dense, "masked": masked}
    took = sparse.choose(setting.randn(1, HEADS, 1, D))
    for pattern in ("strided", "fixed"):
        for way in ("split", "merged"):
            ways[f"{pattern}, {way}"] = partial(ours, pattern, way, "auto")
            for name in sparse.IMPLEMENTATIONS:
                if name != took:
                    ways[f"{pattern}, {way}, {name}"] = partial(ours, pattern, way, name)
    return Case(
        f"n = {n}",
        dict(n=n, heads=HEADS, d=D, stride=stride),
        ways,
        over=("dense",),
        alike=("strided, merged", "strided, merged, reference", "masked"),
        auto=lambda: took,
        at=n,
        core=n >= 16384,
        spare=() if n < 65536 else ("dense", "masked"),
    )
