"""What came out of a study: JSON, with spread and paired tests, and a figure."""

import json
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from scipy import stats

from attncourse.files import write_whole
from attncourse.training.study.cells import Cell, is_right
from attncourse.training.study.options import Options
from attncourse.training.study.variants import (
    Variant,
    costs,
    multiply_adds,
    variants,
    within,
)
from attncourse.training.workers import Workers, hardware
from solutions.capstone import MECHANISMS, paired_difference, sign_test

SETTINGS, RESULT = "settings.json", "study_{}.json"


def read_settings(into: Path) -> dict[str, Any]:
    """Those that a folder's study was begun with."""
    return json.loads((into / SETTINGS).read_text(encoding="utf-8"))


def write_settings(into: Path, options: Options) -> None:
    """Keep them beside the cells."""
    write_whole(into / SETTINGS, json.dumps(options.settings()).encode())


def write(
    into: Path,
    options: Options,
    mechanisms: Sequence[str],
    device: torch.device,
    official: bool,
    whole: bool = True,
) -> Path | None:
    """The report of what is there; None where it is to be `whole` and cells are missing."""
    with FileLock(into / ".report"):
        found = gather(into / "cells", options, mechanisms)
        if whole and found["missing"]:
            return None
        found["hardware"] = hardware(Workers(device=device))
        found["data"] = "CIFAR-10" + ("" if official else ", not the official files")
        path = into / RESULT.format(options.name)
        write_whole(path, json.dumps(found, indent=1).encode() + b"\n")
    return path


def gather(folder: Path, options: Options, mechanisms: Sequence[str]) -> dict[str, Any]:
    """All that the cells of a folder say."""
    rates, tuning, missing, seconds = {}, {}, [], 0.0

    seen = set()

    def read(cell: Cell) -> dict[str, Any] | None:
        nonlocal seconds
        path = folder / cell.name
        if not path.is_file():
            missing.append(cell.name)
            return None
        one = json.loads(path.read_text(encoding="utf-8"))
        if cell not in seen:
            seconds += one["train_seconds"]
        seen.add(cell)
        return one

    for mechanism in mechanisms:
        variant = within(mechanism, options)
        tries = [
            read(Cell(variant, r, options.tuning_seed, tuning=True)) for r in options.rates
        ]
        if None not in tries:
            scores = [one["accuracy"] for one in tries]
            tuning[mechanism] = scores
            rates[mechanism] = options.rates[scores.index(max(scores))]
    todo = [v for v in variants(options, mechanisms) if v.mechanism in rates]
    runs = {
        v: [read(Cell(v, rates[v.mechanism], seed)) for seed in options.seeds] for v in todo
    }
    base = runs.get(Variant("none", options.channels), [None] * len(options.seeds))
    rows = [row(v, one, base, rates, options) for v, one in runs.items() if any(one)]
    every = {rate: [read(cell) for cell in at_rate(rate, options)] for rate in options.rates}
    return {
        "settings": options.settings(),
        "seeds": list(options.seeds),
        "budget": multiply_adds(Variant("none", options.channels), options),
        "tuning": tuning,
        "rows": rows,
        "none_at_rate": {
            f"{rate:g}": [run["accuracy"] for run in tries if run]
            for rate, tries in every.items()
        },
        "missing": missing,
        "minutes": round(seconds / 60, 1),
        "versions": {"python": platform.python_version(), "torch": version("torch")},
    }


def at_rate(rate: float, options: Options) -> list[Cell]:
    """The network without attention at a rate, chosen or not: what the rate alone does."""
    return [Cell(Variant("none", options.channels), rate, seed) for seed in options.seeds]


def row(
    variant: Variant,
    runs: Sequence[dict[str, Any] | None],
    base: Sequence[dict[str, Any] | None],
    rates: dict[str, float],
    options: Options,
) -> dict[str, Any]:
    """One network: what it costs, what it reached, and how it differs from the one without."""
    one, batch = costs(variant, options), costs(variant, options, options.batch)
    there = [run for run in runs if run]
    images = options.train * options.epochs
    accuracy = [run["accuracy"] for run in there]
    pairs = [(a, b) for a, b in zip(runs, base, strict=True) if a and b]
    return {
        "mechanism": variant.mechanism,
        "says": MECHANISMS[variant.mechanism].says if variant.mechanism != "none" else "",
        "channels": list(variant.channels),
        "at_budget": variant == within(variant.mechanism, options),
        "at_width": variant.channels == options.channels,
        "rate": rates[variant.mechanism],
        "parameters": one.parameters,
        "multiply_adds": one.multiply_adds,
        "attention": one.attention,
        "training_bytes": batch.training_memory,
        "train_ms": round(
            1e3 * statistics.median(run["train_seconds"] for run in there) / images, 3
        ),
        "accuracy": accuracy,
        "against_none": against(pairs, options) if variant.mechanism != "none" else None,
    }


def against(
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], options: Options
) -> dict[str, Any]:
    """Differences to the network without attention: by seed, and picture by picture."""
    judged = [[is_right(one, options.test) for one in pair] for pair in pairs]
    counts = [[int((a & ~b).sum()), int((b & ~a).sum())] for a, b in judged]
    found: dict[str, Any] = {
        "gained_and_lost": counts,
        "sign_test": [float(f"{sign_test(*pair):.3g}") for pair in counts],
    }
    if len(pairs) > 1:
        a, b = (torch.tensor([p[k]["accuracy"] for p in pairs]).double() for k in (0, 1))
        mean, error = paired_difference(a, b)
        found["mean"], found["standard_error"] = round(mean.item(), 5), round(error.item(), 5)
        sure = error > 0  # else all seeds differ alike, and there is nothing to divide by
        found["t_test"] = float(f"{stats.ttest_rel(a, b).pvalue:.3g}") if sure else None
        reach = float(stats.t.ppf(0.975, len(a) - 1)) * error.item()
        found["interval"] = [round(mean.item() - reach, 5), round(mean.item() + reach, 5)]
    return found
