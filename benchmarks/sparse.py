"""Sparse against dense attention: time and memory over the length, and how far one gets.

    python benchmarks/sparse.py           writes results/sparse.json

One process a measurement, one thread. Time is the median of several runs, forward and backward;
memory is what the process needed beyond what it held before, at its peak. stride = sqrt(n).

Times are taken twice: as C's allocator comes, which gives large tensors back to the system and
has their pages cleared anew each time, and once more told to keep its memory (glibc only).
With --keep, what is in the file already is not measured again.
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import sparse_attention

OUT = Path(__file__).parent.parent / "results" / "sparse.json"
HEADS, WIDTH = 8, 32
STRIDES = (32, 48, 64, 96, 128)  # n = 1024 … 16384
KINDS = ("strided", "fixed", "dense, map built", "dense, fused")
BOUND = 1024  # MiB, with one head


def attention(kind: str, n: int):
    """A function of q, k and v."""
    if kind == "dense, fused":
        return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if kind == "dense, map built":
        mask = causal_mask(n, n)
        return lambda q, k, v: scaled_dot_product_attention(q, k, v, mask)
    stride = max(1, math.isqrt(n))
    return lambda q, k, v: sparse_attention(q, k, v, kind, stride)


def held() -> float:
    """The most memory this process has held so far, in MiB.

    On Linux a program inherits what getrusage says of the process that started it: a large
    parent would be counted. The kernel's own mark starts anew.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        mark = next(
            line for line in status.read_text().splitlines() if line.startswith("VmHWM")
        )
        return int(mark.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(kind: str, n: int, heads: int, runs: int) -> dict[str, float]:
    """Seconds of each run, forward and backward, and the memory that they needed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = held()
    call = attention(kind, n)
    q, k, v = (torch.randn(1, heads, n, WIDTH, requires_grad=True) for _ in range(3))
    seconds = []
    for _ in range(runs):
        q.grad = k.grad = v.grad = None
        start = time.process_time()
        call(q, k, v).square().sum().backward()
        seconds.append(time.process_time() - start)
    return {"seconds": statistics.median(seconds), "mib": held() - before, "whole": held()}


KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


def apart(
    kind: str, n: int, heads: int = HEADS, runs: int = 3, keeping: bool = False
) -> dict[str, float] | None:
    """`measure` in a process of its own; None where that is stopped for its memory."""
    command = [sys.executable, __file__, "--one", kind, str(n), str(heads), str(runs)]
    env = os.environ | (KEEPING if keeping else {})
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    return json.loads(done.stdout) if done.returncode == 0 else None


def slope(lengths, seconds) -> float:
    """The exponent of n in time, by least squares in logarithms."""
    x, y = ([math.log(value) for value in values] for values in (lengths, seconds))
    return statistics.linear_regression(x, y).slope


def reach(kind: str, bound: float) -> int:
    """The longest length, in steps of a square, that stays under the bound with one head."""
    low, high = 8, 1024  # roots of n
    while high - low > 1:
        middle = (low + high) // 2
        guess = 4 * middle**4 if kind.startswith("dense") else 8 * middle**3
        spent = None if guess / 2**20 > 2 * bound else apart(kind, middle**2, 1, 1)
        low, high = (middle, high) if spent and spent["mib"] < bound else (low, middle)
        print(f"  {kind}: {middle**2} tokens, {spent and round(spent['mib'])} MiB", flush=True)
    return low**2


def main(keep: bool) -> None:
    """Measure everything and write it down."""
    found = {
        "what": "forward and backward of causal attention, float32, batch 1, one thread",
        "heads": HEADS,
        "width": WIDTH,
        "curves": {},
        "bound_mib": BOUND,
        "reach_with_one_head": {},
        "seeds": [0],
        "hardware": f"{platform.processor() or platform.machine()}, one thread",
        "versions": {"torch": torch.__version__},
        "minutes": 0.0,
    }
    start = time.perf_counter()
    if keep and OUT.is_file():
        found |= json.loads(OUT.read_text(encoding="utf-8"))
    for kind in KINDS:
        curve = found["curves"].setdefault(kind, {})
        strides = [s for s in STRIDES if kind != "dense, map built" or s <= 64]
        lengths = [s * s for s in strides]
        if "seconds" not in curve:
            points = [apart(kind, n, runs=7 if n < 9000 else 3) for n in lengths]
            seconds = [p["seconds"] for p in points]
            curve |= {
                "n": lengths,
                "seconds": [round(s, 4) for s in seconds],
                "mib": [round(p["mib"]) for p in points],
                "process_mib": [round(p["whole"]) for p in points],
                "slope": round(slope(lengths, seconds), 2),
            }
        if "seconds_keeping" not in curve:
            points = [apart(kind, n, runs=7 if n < 9000 else 5, keeping=True) for n in lengths]
            seconds = [p["seconds"] for p in points]
            curve["seconds_keeping"] = [round(s, 4) for s in seconds]
            curve["slope_keeping"] = round(slope(lengths, seconds), 2)
        found["curves"][kind] = curve
        print(kind, curve, flush=True)
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for kind in ("dense, map built", "strided", "fixed"):
        if kind not in found["reach_with_one_head"]:
            found["reach_with_one_head"][kind] = reach(kind, BOUND)
    found["minutes"] = round(found["minutes"] + (time.perf_counter() - start) / 60, 1)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=4, metavar=("KIND", "N", "HEADS", "RUNS"))
    parser.add_argument("--keep", action="store_true", help="measure only what is missing")
    asked = parser.parse_args()
    if asked.one:
        kind, *numbers = asked.one
        print(json.dumps(measure(kind, *map(int, numbers))))
    else:
        main(asked.keep)
