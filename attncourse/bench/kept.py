"""What was measured and kept: goals and what became of them, and how long each way takes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attncourse.places import results


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


def page(folder: Path | None = None) -> str:
    """All goals and what became of them, in markdown: docs/benchmarks.md."""
    rows, verdicts = [], []
    for goal in goals(folder):
        value = worst(goal)
        verdicts.append(goal["verdict"])
        cells = goal["part"], goal["way"], goal["over"] or "alone", goal["asks"]
        cells += ("-" if value is None else f"{value:.3g}", goal["verdict"])
        rows.append("| " + " | ".join(cells) + " |")
    reached, unknown = (verdicts.count(word) for word in ("reached", "not measured"))
    missed = len(verdicts) - reached - unknown
    return PAGE.format(
        goals=len(rows), reached=reached, unknown=unknown, missed=missed, rows="\n".join(rows)
    )


PAGE = """# What the fast implementations were to reach, and what they reached

`solutions/fast` was written to goals that were set beforehand. `attncourse bench` measures
them as section 11.10 of the course has it: in turns within one process, ratios within a
round, beside what one would use instead, with a floor from this machine's own rates. What
was measured is kept in `results/fast_*.json`, with hardware, versions and seeds; this page
is made from it by `python -m attncourse.bench.kept`.

A goal counts as reached where it is reached at *all* of its sizes. The table has what was
measured at the size where it came out worst. Of {goals} goals {reached} were reached,
{missed} missed at some or all of their sizes, and {unknown} not measured, because they need
a GPU.

| mechanism | ours | over | goal | measured | verdict |
|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    print(page(), end="")
