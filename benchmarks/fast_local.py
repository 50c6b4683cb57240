"""Local 2D attention: the fast implementations beside the reference and what one would use.

    python benchmarks/fast_local.py [--full] [--threads 1]     writes results/fast_local.json

All ways take turns in a round, in one process; a ratio is taken within each round, and its
median, least and most are kept. With one thread the processor's time is measured, which others
on the machine disturb less; with several the time that passes. Memory is what a process of its
own needed at its peak beyond what it held before, once for each way, at the second size.

What is compared takes q, k and v and has relative rows and columns; "flex" and "natten" have a
window alone, and no way back on the CPU. "layer" and "halonet" project as well.
"""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch
from einops import rearrange
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from solutions import stand_alone
from solutions.fast import local

RESULTS = Path(__file__).parent.parent / "results"
WINDOW, SEED = 7, 0
SMALL = ((2, 64, 28, 28, 4), (1, 128, 56, 56, 8), (1, 256, 28, 28, 8))  # b c h w heads
FULL = ((8, 64, 28, 28, 4), (2, 128, 56, 56, 8), (2, 256, 28, 28, 8), (1, 512, 14, 14, 8))
OURS = ("reference", "blocked", "native")


def inputs(b: int, c: int, h: int, w: int, heads: int) -> list[Tensor]:
    """q, k and v, b head d h w, and the tables."""
    torch.manual_seed(SEED)
    d = c // heads
    qkv = [torch.randn(b, heads, d, h, w) / math.sqrt(d) for _ in range(3)]
    return qkv + [torch.randn(heads, WINDOW, d // 2) for _ in range(2)]


def unfold(q, k, v, rows, columns):
    """As popular repositories have it: windows are copied, multiplied and summed."""
    near = stand_alone.windows(k, WINDOW)
    place = stand_alone.relative_embeddings(rows, columns)
    place = rearrange(place, "head d dy dx -> head d 1 1 dy dx")
    keys = rearrange(near + place, "b head d h w dy dx -> b head d h w (dy dx)")
    scores = (rearrange(q, "... h w -> ... h w 1") * keys).sum(2)
    seen = rearrange(stand_alone.inside(*q.shape[-2:], WINDOW), "h w dy dx -> h w (dy dx)")
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    values = rearrange(
        stand_alone.windows(v, WINDOW), "b head d h w dy dx -> b head d h w (dy dx)"
    )
    return (rearrange(weights, "b head h w near -> b head 1 h w near") * values).sum(-1)


def ways(size: tuple[int, ...], peers: bool = True) -> dict[str, tuple[Callable, list, bool]]:
    """A function, what it takes, and whether it has a way back."""
    b, c, h, w, heads = size
    given = inputs(*size)
    x, weight = torch.randn(b, c, h, w), torch.randn(c, c, 3, 3) / math.sqrt(9 * c)
    found = {"convolution": (partial(F.conv2d, padding=1), [x, weight], True)}
    found["unfold"] = (unfold, given, True)
    for name in OURS:
        if name == "native" and local.cannot(given[0], WINDOW):
            continue
        call = lambda *x, name=name: local.local_attention(*x, WINDOW, name)  # noqa: E731
        found[name] = (call, given, True)
    if peers:
        layer = local.StandAloneSelfAttention2d(c, heads=heads, window=WINDOW)
        found["layer"] = (*whole(layer, x), True)
        for make in (halonet, flex, natten):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    call, given_, back = make(size, given)
                    with torch.no_grad():
                        call(*given_)
            except Exception as error:  # a peer that is not there, or does not run here
                print(f"{make.__name__} is left out: {type(error).__name__}: {error}"[:200])
                continue
            found[make.__name__] = (call, given_, back)
    return found


def whole(layer: torch.nn.Module, x: Tensor) -> tuple[Callable, list[Tensor]]:
    """A layer as a function of its input and its weights."""
    names, weights = zip(*layer.named_parameters(), strict=True)

    def call(x, *weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(layer, given, (x,))

    return call, [x, *weights]


def halonet(size, given):
    """Blocks of 7 x 7 and a halo of 3, with its projections."""
    from halonet_pytorch import HaloAttention

    b, c, h, w, heads = size
    layer = HaloAttention(dim=c, block_size=7, halo_size=3, dim_head=c // heads, heads=heads)
    return *whole(layer, torch.randn(b, c, h, w)), True


def flex(size, given):
    """A block mask over tokens in rows, compiled; no positions."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    h, w = size[2:4]
    reach = WINDOW // 2

    def near(_, __, i, j):
        return ((i // w - j // w).abs() <= reach) & ((i % w - j % w).abs() <= reach)

    mask = create_block_mask(near, None, None, h * w, h * w, device="cpu")
    qkv = [rearrange(x, "b head d h w -> b head (h w) d").contiguous() for x in given[:3]]
    compiled = torch.compile(flex_attention)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask, scale=1.0), qkv, False


def natten(size, given):
    """Its neighbourhoods move inwards at borders instead of shrinking; no positions."""
    from natten import na2d

    qkv = [rearrange(x, "b head d h w -> b h w head d").contiguous() for x in given[:3]]
    return lambda q, k, v: na2d(q, k, v, kernel_size=WINDOW, scale=1.0), qkv, False


def runner(call: Callable, given: list[Tensor], back: bool) -> Callable[[], None]:
    """One run: forward, or forward and backward to every input."""

    def run() -> None:
        if not back:
            with torch.no_grad():
                call(*given)
            return
        leaves = [x.detach().requires_grad_() for x in given]
        y = call(*leaves)
        torch.autograd.grad(y, leaves, y.detach())

    return run


def turns(
    runs: dict[str, Callable[[], None]], rounds: int, threads: int
) -> dict[str, list[float]]:
    """Seconds of each, round by round; one round before does not count."""
    clock = time.process_time if threads == 1 else time.perf_counter
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            spent[name].append(clock() - start)
    return {name: times[1:] for name, times in spent.items()}


def ratios(spent: dict[str, list[float]], over: str) -> dict[str, list[float]]:
    """Median, least and most of each over one of them, round by round."""
    found = {}
    for name, times in spent.items():
        each = [one / two for one, two in zip(times, spent[over], strict=True)]
        found[name] = [round(x, 3) for x in (median(each), min(each), max(each))]
    return found


def needed(run: Callable[[], None]) -> float:
    """What a run needs at its peak beyond what the process holds before, in MiB (Linux)."""
    status, line = Path("/proc/self/status"), r"{}:\s+(\d+) kB"
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = int(re.search(line.format("VmRSS"), status.read_text())[1])
    run()
    return (int(re.search(line.format("VmHWM"), status.read_text())[1]) - before) / 1024


def peak(name: str, size: tuple[int, ...], back: bool) -> float | None:
    """What a process of its own needs for one way; None where it fails."""
    numbers = ",".join(map(str, (*size, int(back))))
    command = [sys.executable, __file__, "--one", name, numbers]
    done = subprocess.run(command, capture_output=True, text=True)
    return round(float(done.stdout), 1) if done.returncode == 0 else None


def about(threads: int, start: float) -> dict:
    """How it was measured."""
    packages = ("torch", "einops", "natten", "halonet-pytorch")
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] if Path("/proc/cpuinfo").is_file() else []  # fmt: skip
    return {
        "seeds": [SEED],
        "hardware": f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores",
        "versions": versions,
        "threads": threads,
        "clock": "processor" if threads == 1 else "wall",
        "load": [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "allocator": "as C comes with it",
        "minutes": round((time.time() - start) / 60, 2),
    }


def show(title: str, part: dict[str, dict[str, list[float]]]) -> None:
    """A table of ratios: a row for each way, a column for each comparison."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in part:
        table.add_column(column, justify="right")
    for name in next(iter(part.values())):
        cells = []
        for column in part.values():
            if name not in column:
                cells.append("–")
                continue
            middle, low, high = column[name]
            cells.append(f"{middle:.3g} ({low:.3g} … {high:.3g})")
        table.add_row(name, *cells)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="larger sizes, more rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "SIZE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.one:
        name, numbers = chosen.one[0], [int(n) for n in chosen.one[1].split(",")]
        for size in ((1, 8, 4, 4, 1), tuple(numbers[:-1])):  # the first loads what is loaded
            call, given, _ = ways(size, peers=False)[name]
            spent = needed(runner(call, given, bool(numbers[-1])))
        print(spent)
        return
    start, rounds = time.time(), 9 if chosen.full else 5
    found = {"what": f"local 2D attention, window {WINDOW}, float32", "sizes": []}
    for number, size in enumerate(FULL if chosen.full else SMALL):
        b, c, h, w, heads = size
        all_ways = ways(size, peers=number == 0 or chosen.full)
        entry = dict(zip(("b", "c", "h", "w", "heads"), size, strict=True))
        for direction, back in (("forward", False), ("forward + backward", True)):
            runs = {
                name: runner(call, given, back)
                for name, (call, given, has) in all_ways.items()
                if has or not back
            }
            spent = turns(runs, rounds, chosen.threads)
            entry[direction] = {
                "milliseconds": {n: round(1e3 * median(t), 2) for n, t in spent.items()},
                "over the convolution": ratios(spent, "convolution"),
                "over unfold": ratios(spent, "unfold"),
            }
        if number == 1:
            names = [name for name in ("unfold", *OURS) if name in all_ways]
            entry["peak MiB"] = {
                name: [peak(name, size, back) for back in (False, True)] for name in names
            }
            print("peak MiB, forward, forward + backward:", entry["peak MiB"], flush=True)
        found["sizes"].append(entry)
        show(
            f"{b} x {c} x {h} x {w}, {heads} heads: ratios, median (least … most)",
            {
                f"{direction} / {over}": entry[direction][f"over {over}"]
                for direction in ("forward", "forward + backward")
                for over in ("the convolution", "unfold")
            },
        )
    found |= about(chosen.threads, start)
    path = RESULTS / "fast_local.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{found['minutes']} minutes; written to {path.name}")


if __name__ == "__main__":
    main()
