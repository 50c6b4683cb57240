"""Relative attention in the plane, five ways: time and memory, forward and forward + backward.

python benchmarks/relative_2d.py [--side 32] [--batch 2] [--heads 8] [--width 32] [--rounds 5]

All ways take turns in a round; a ratio is the median of a way over that of the skew, with the
least and the most beside it. Times of a shared machine differ from day to day, ratios less. The
largest tensor is counted.
"""

import argparse
from functools import partial
from statistics import median

import torch

from attncourse.counting import count
from attncourse.relative_tasks import alternate
from solutions.relative_2d import IMPLEMENTATIONS, relative_attention_2d


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = dict(side=32, batch=2, heads=8, width=32, rounds=5, threads=1)
    for name, number in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    side, width = chosen.side, chosen.width
    inputs = [torch.randn(chosen.batch, chosen.heads, side, side, width) for _ in "qkv"]
    inputs += [torch.randn(2 * side - 1, width) / width**0.5 for _ in range(2)]
    inputs = [x.to(chosen.device) for x in inputs]
    # (h w)² d numbers, made once for all heads: beyond a gigabyte it is left out
    ways = [w for w in IMPLEMENTATIONS if w != "naive" or 4 * side**4 * width < 2**30]

    def wait() -> None:
        if chosen.device == "cuda":
            torch.cuda.synchronize()

    def forward(way: str) -> None:
        with torch.no_grad():
            relative_attention_2d(*inputs, way)
        wait()

    def both(way: str) -> None:
        leaves = [x.clone().requires_grad_() for x in inputs]
        relative_attention_2d(*leaves, way).sum().backward()
        wait()

    print(f"torch {torch.__version__}, {chosen.device}, {torch.get_num_threads()} thread(s)")
    print(f"{chosen.batch} x {chosen.heads} heads of {side} x {side} pixels, d = {width}")
    for name, run in (("forward", forward), ("forward + backward", both)):
        spent = alternate({way: partial(run, way) for way in ways}, chosen.rounds)
        usual = median(spent["skew"])
        print(f"\n{name:20} seconds   over the skew (least … most)   largest tensor")
        for way, times in spent.items():
            low, middle, high = (x / usual for x in (times[0], median(times), times[-1]))
            largest = count(partial(forward, way)).largest_tensor
            print(
                f"{way:20} {median(times):7.3f}   {middle:13.2f} ({low:.2f} … {high:.2f})"
                f"   {largest:14,}"
            )


if __name__ == "__main__":
    main()
