"""What was measured and kept: goals and what became of them, and how long each way takes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from attncourse.places import results

BOTH = "forward + backward"


def goals(folder: Path | None = None) -> list[dict[str, Any]]:
    """What the fast implementations set out to reach and what became of it, of all kept
    results that say so."""
    found = []
    for path in sorted((folder or results()).glob("fast_*.json")):
        found += json.loads(path.read_text(encoding="utf-8")).get("goals", [])
    return found


def worst(goal: Mapping[str, Any]) -> float | None:
    """What was measured at the size where it came out worst; None where nothing was."""
    values = [size["value"] for size in goal["measured"].values()]
    if not values:
        return None
    return min(values) if goal["sense"] in ("faster", "") else max(values)


def beyond(goal: Mapping[str, Any]) -> float | None:
    """How far the worst is beyond the goal, as a factor: 1 is reached, 0.5 is half of it, and
    100 is a hundred times or more."""
    value = worst(goal)
    if value is None or goal["sense"] not in ("faster", "slower", "less"):
        return None
    if goal["sense"] == "faster":
        return min(value / goal["bound"], 100)
    return goal["bound"] / max(value, goal["bound"] / 100)  # no memory at all may be needed


def ways(kept: Mapping[str, Any], direction: str = "forward") -> dict[str, dict[str, float]]:
    """Median milliseconds of each way by size, from a kept result: the run on the CPU with the
    allocator as it comes."""
    for run in kept.get("runs", ()):
        if (run["device"], run.get("allocator")) == ("cpu", "default"):
            return {
                case["name"]: {
                    name: row["ms"][0] for name, row in case[direction]["ways"].items()
                }
                for case in run["cases"]
            }
    return {}


def draw_goals(ax: Axes, goals: Sequence[Mapping[str, Any]]) -> Axes:
    """A dot for each goal that can be told as a factor: right of 1 it is reached."""
    rows = [(goal, much) for goal in goals if (much := beyond(goal)) is not None][::-1]
    colours = {"reached": "C2", "missed": "C3"}
    for place, (goal, much) in enumerate(rows):
        ax.plot(much, place, "o", ms=4, color=colours.get(goal["verdict"], "C1"))
    names = [
        f"{g['work']} / {g['over'] or 'alone'}, {g['what']}".replace(BOTH, "both ways")
        for g, _ in rows
    ]
    ax.set_yticks(range(len(rows)), names, fontsize=6)
    ax.axvline(1, color="black", lw=0.8)
    ax.set(xscale="log", xlabel="share of the goal, at the worst size")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(title="Reached: right of the line")
    return ax
