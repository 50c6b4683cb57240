"""Sparse, relative, non-local and multi-head attention: fast beside what one would use.

    python benchmarks/fast_attention.py [--full]     writes results/fast_attention.json

Measured as in fast_local.py: all ways in turns, ratios within a round. In each part one way is
the measure: torch's fused attention, dense and causal, for the sparse patterns; the same
without places for relative attention; the reference for non-local; nn.MultiheadAttention for
heads.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from functools import partial
from statistics import linear_regression, median

import torch
from fast_local import RESULTS, about, ratios, runner, show, turns, whole
from torch import nn
from torch.nn import functional as F

from solutions import fast, non_local
from solutions.fast.relative_2d import relative_attention_2d
from solutions.fast.sparse import sparse_attention

DIRECTIONS = (("forward", False), ("forward + backward", True))


def sparse(n: int, reference: bool) -> dict[str, tuple[Callable, list]]:
    """8 heads of 32 features, stride sqrt(n); the first is the measure."""
    stride = math.isqrt(n)
    qkv = [torch.randn(1, 8, n, 32) for _ in range(3)]
    found = {"dense": partial(F.scaled_dot_product_attention, is_causal=True)}
    for pattern in ("strided", "fixed"):
        for way in ("split", "merged"):
            call = partial(sparse_attention, pattern=pattern, stride=stride, way=way)
            found[f"{pattern}, {way}"] = call
            if reference:
                found[f"{pattern}, {way}, reference"] = partial(
                    call, implementation="reference"
                )
    return {name: (call, qkv) for name, call in found.items()}


def relative(b: int, side: int) -> dict[str, tuple[Callable, list]]:
    """8 heads of 32 features on a square map."""
    qkv = [torch.randn(b, 8, side, side, 32) for _ in range(3)]
    tables = [torch.randn(2 * side - 1, 32) / 32**0.5 for _ in range(2)]
    found = {
        "no places": (F.scaled_dot_product_attention, [x.flatten(2, 3) for x in qkv]),
    }
    for name in ("skew", "augmented", "rows"):
        call = partial(relative_attention_2d, implementation=name)
        found[name] = call, qkv + tables
    return found


def non_locals(side: int) -> dict[str, tuple[Callable, list]]:
    """64 channels, half of them in the middle."""
    x, found = torch.randn(1, 64, side, side), {}
    for name, kind in (("reference", non_local), ("fast", fast)):
        found[f"Gaussian, {name}"] = whole(kind.NonLocal(64).train(), x)
    for name, kind in (("reference", non_local), ("fast", fast)):
        found[f"position, {name}"] = whole(kind.PositionAttention(64), x)
    q, k, v = (torch.randn(1, side**2, 32) for _ in range(3))
    dense = lambda q, k, v: non_local.dot_product_weights(q, k) @ v  # noqa: E731
    found["dot product, dense"] = dense, [q, k, v]
    found["dot product, linear"] = non_local.dot_product_mixture, [q, k, v]
    return found


def heads(n: int, train: bool) -> dict[str, tuple[Callable, list]]:
    """256 features in 8 heads, two sequences."""
    x = torch.randn(2, n, 256)
    torchs = nn.MultiheadAttention(256, 8, batch_first=True).train(train)
    names, weights = zip(*torchs.named_parameters(), strict=True)

    def call(x, *weights):
        given = dict(zip(names, weights, strict=True))
        options = dict(need_weights=False)
        return torch.func.functional_call(torchs, given, (x, x, x), options)[0]

    found = {"torch": (call, [x, *weights])}
    found["ours"] = whole(fast.MultiHeadAttention(256, 8), x)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="larger sizes, more rounds")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    full = chosen.full
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    start, rounds = time.time(), 7 if full else 3
    lengths = (1024, 4096, 16384, 65536) if full else (1024, 4096, 16384)
    parts = {f"sparse, n = {n}": partial(sparse, n, full and n < 2**16) for n in lengths}
    for b, side in ((2, 28), (1, 56)) if full else ((2, 28), (1, 40)):
        parts[f"relative, {b} x {side} x {side}"] = partial(relative, b, side)
    for side in (28, 64) if full else (64,):
        parts[f"non-local, {side} x {side}"] = partial(non_locals, side)
    for n in (196, 1024, 4096) if full else (196, 1024):
        for train in (True, False):
            parts[f"heads, n = {n}, {'train' if train else 'eval'}"] = partial(heads, n, train)
    found = {"what": "sparse, relative, non-local and multi-head attention, float32"}
    seconds: dict[str, list[float]] = {}
    for title, make in parts.items():
        all_ways = make()
        over, entry, table = next(iter(all_ways)), {}, {}
        for direction, back in DIRECTIONS:
            if title.endswith("eval") and back:
                continue
            runs = {name: runner(*given, back) for name, given in all_ways.items()}
            spent = turns(runs, rounds, chosen.threads)
            table[direction] = ratios(spent, over)
            entry[direction] = {
                "milliseconds": {n: round(1e3 * median(t), 2) for n, t in spent.items()},
                f"over {over}": table[direction],
            }
            for name, times in spent.items() if title.startswith("sparse") and back else ():
                seconds.setdefault(name, []).append(median(times))
        found[title] = entry
        show(f"{title}: over {over}, median (least … most)", table)
    logs = [math.log(n) for n in lengths]
    found["slope of forward + backward in n"] = {
        name: round(linear_regression(logs, [math.log(x) for x in times]).slope, 2)
        for name, times in seconds.items()
        if len(times) == len(lengths)
    }
    print(found["slope of forward + backward in n"])
    found |= about(chosen.threads, start)
    path = RESULTS / "fast_attention.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{found['minutes']} minutes; written to {path.name}")


if __name__ == "__main__":
    main()
