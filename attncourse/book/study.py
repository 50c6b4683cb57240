"""The study and the search of chapter 13 as figures: what each mechanism adds to the network
without, and what two searches found."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from attncourse.book import plots
from solutions.capstone import MECHANISMS, pareto_front

NAMES = {
    "none": "none",
    "se": "SE",
    "ge": "GE",
    "eca": "ECA",
    "bam": "BAM",
    "cbam": "CBAM",
    "gala": "GALA",
    "non_local": "non-local",
    "position": "DANet, position",
    "channel": "DANet, channel",
    "augmented": "AA, stages 2, 3",
    "sasa3": "SASA, stage 3",
    "sasa23": "SASA, stages 2, 3",
    "sasa": "SASA, all stages",
    "windows": "windows, stages 2, 3",
}


def chosen(result: dict[str, Any], which: str) -> list[dict[str, Any]]:
    """The rows "at_budget" or "at_width", in the order of the mechanisms."""
    return sorted(
        (row for row in result["rows"] if row[which]),
        key=lambda row: list(NAMES).index(row["mechanism"]),
    )


def base(result: dict[str, Any]) -> list[float]:
    """The accuracies of the network without attention, a seed each."""
    return next(row["accuracy"] for row in result["rows"] if row["mechanism"] == "none")


def spread(accuracies: Sequence[float]) -> list[str]:
    """Of several seeds, in percent: the mean, the lowest and the highest."""
    low, high = 100 * min(accuracies), 100 * max(accuracies)
    return [f"{100 * statistics.mean(accuracies):.1f}", f"{low:.1f} … {high:.1f}"]


def half(row: dict[str, Any]) -> float:
    """Half of a mechanism's 95 % interval, in points."""
    low, high = row["against_none"]["interval"]
    return 50 * (high - low)


def in_stage(trials: Sequence[dict[str, Any]], stage: int, operation: str) -> list[float]:
    """The accuracies of those networks that have this operation in this stage."""
    return [
        one["accuracy"]
        for one in trials
        if one["operations"].split("+")[stage - 1] == operation
    ]


KINDS = {"gate": "#0072b2", "between": "#009e73", "instead": "#d55e00"}


def differences(result: dict[str, Any]) -> Figure:
    """For each mechanism, and for each seed a dot: its accuracy less that without attention."""
    fig, axs = plt.subplots(1, 2, figsize=(plots.WIDEST, 4.6), sharex=True, sharey=True)
    none, names = base(result), list(NAMES)[1:]
    widths = {row["mechanism"]: row["channels"] for row in chosen(result, "at_budget")}
    for ax, which, title in zip(
        axs, ("at_budget", "at_width"), ("equal multiply-adds", "equal width"), strict=True
    ):
        for row in chosen(result, which):
            name = row["mechanism"]
            if name == "none":
                continue
            again = which == "at_width" and row["channels"] == widths.get(name)
            colour = "#bbbbbb" if again else KINDS[MECHANISMS[name].kind]
            y = -names.index(name)
            gains = [100 * (a - b) for a, b in zip(row["accuracy"], none, strict=False)]
            against = row["against_none"]
            if "interval" in against:
                low, high = (100 * end for end in against["interval"])
                ax.plot([low, high], [y, y], color="#d8d8d8", lw=9, solid_capstyle="butt")
            ax.plot(gains, [y] * len(gains), "o", color=colour, ms=3.5)
        ax.axvline(0, color="#333333", lw=0.8)
        ax.set(title=title, yticks=[-k for k in range(len(names))])
        ax.set_yticklabels([NAMES[name] for name in names])
    for kind, colour in KINDS.items():
        axs[1].plot([], [], "o", color=colour, ms=3.5, label=kind)
    axs[1].plot([], [], "o", color="#bbbbbb", ms=3.5, label="same runs as left")
    fig.legend(*axs[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    for ax in axs:
        ax.set_xlabel("points above no attention")
    return fig


SHORT = {"convolution": "C", "augmented": "A", "stand_alone": "S"}


def short(operations: str) -> str:
    """Three operations in three letters: C convolution, A augmented, S stand-alone."""
    return " ".join(SHORT[name] for name in operations.split("+"))


def networks(result: dict[str, Any], sampler: str) -> list[dict[str, Any]]:
    """The networks that a search trained, each once: it may propose one again."""
    different = {(t["operations"], t["share"]): t for t in result["trials"][sampler]}
    return list(different.values())


def fronts(result: dict[str, Any]) -> Figure:
    """What both searches found, and the front of each."""
    fig, ax = plt.subplots(figsize=(6.0, 3.4))
    looks = (
        ("random", "#d55e00", dict(marker="s", mfc="none", ms=7)),
        ("tpe", "#0072b2", dict(marker="o", ms=3.5)),
    )
    for name, colour, mark in looks:
        found = networks(result, name)
        cost = torch.tensor([one["multiply_adds"] / 1e6 for one in found])
        score = torch.tensor([100 * one["accuracy"] for one in found])
        ax.plot(cost, score, ls="", color=colour, label=f"{name}, {len(found)}", **mark)
        best = pareto_front(cost, score)
        order = cost[best].argsort()
        ax.step(cost[best][order], score[best][order], where="post", color=colour, lw=1.2)
    ax.set(xlabel="multiply-adds, millions", ylabel="right on pictures held out, %")
    ax.set_title("Two searches and their Pareto fronts")
    ax.legend(title="search, different networks", loc="lower right")
    return fig


def save(path: Path) -> Path:
    """The figure of a kept study, beside it."""
    result = json.loads(path.read_text(encoding="utf-8"))
    fig, to = differences(result), path.with_suffix(".png")
    fig.savefig(to, dpi=110)
    plt.close(fig)
    return to
