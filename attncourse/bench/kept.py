"""What was measured and kept: goals and what became of them, and how long each way takes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attncourse.bench.goals import chosen
from attncourse.places import results


def goals(folder: Path | None = None) -> list[dict[str, Any]]:
    """What the fast implementations set out to reach and what became of it, of all kept
    results that say so."""
    found = []
    for path in sorted((folder or results()).glob("fast_*.json")):
        found += json.loads(path.read_text(encoding="utf-8")).get("goals", [])
    return found


def worst(goal: Mapping[str, Any], at: str = "measured") -> float | None:
    """What was measured at the size where it came out worst; None where nothing was. `at`:
    "measured", or "AVX2" for what was measured with these instructions."""
    values = [size["value"] for size in goal.get(at, {}).values()]
    if not values:
        return None
    return min(values) if goal["sense"] in ("faster", "") else max(values)


def became(goal: Mapping[str, Any]) -> str:
    """The verdict with AVX2: in the words of the other."""
    reached = [size["reached"] for size in goal.get("AVX2", {}).values()]
    if not reached:
        return "not measured"
    if all(reached):
        return "reached"
    return f"at {sum(reached)} of {len(reached)} sizes" if any(reached) else "missed"


def widest(folder: Path | None = None) -> tuple[str, list[str]]:
    """The instructions that the verdicts are of, as the kept runs on the CPU name them; and
    the mechanisms whose runs name none."""
    names, silent = set(), []
    for path in sorted((folder or results()).glob("fast_*.json")):
        runs = json.loads(path.read_text(encoding="utf-8")).get("runs", ())
        run = chosen(runs, "cpu", "default")
        if run is not None and run.get("instructions"):
            names.add(run["instructions"].replace("AVX512", "AVX-512"))
        elif run is not None:
            silent.append(path.stem.removeprefix("fast_"))
    return ", ".join(sorted(names)) or "unknown", silent


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
    rows, verdicts, fewer = [], [], []
    for goal in goals(folder):
        values = (worst(goal), worst(goal, "AVX2"))
        verdicts.append(goal["verdict"])
        fewer.append(became(goal))
        first, second = ("-" if value is None else f"{value:.3g}" for value in values)
        cells = goal["part"], goal["way"], goal["over"] or "alone", goal["asks"]
        cells += first, verdicts[-1], second, fewer[-1]
        rows.append("| " + " | ".join(cells) + " |")
    instructions, silent = widest(folder)
    reached, unknown = (verdicts.count(word) for word in ("reached", "not measured"))
    return PAGE.format(
        goals=len(rows),
        reached=reached,
        unknown=unknown,
        missed=len(verdicts) - reached - unknown,
        widest=instructions,
        silent=f" The runs of {', '.join(silent)} do not say theirs." if silent else "",
        measured=len(fewer) - fewer.count("not measured"),
        also=fewer.count("reached"),
        rows="\n".join(rows),
    )


PAGE = """# What the fast implementations were to reach, and what they reached

`solutions/fast` was written to goals that were set beforehand. `attncourse bench` measures
them as section 11.10 of the course has it: in turns within one process, ratios within a
round, beside what one would use instead, with a floor from this machine's own rates. What
was measured is kept in `results/fast_*.json`, with hardware, versions and seeds; this page
is made from it by `python -m attncourse.bench.kept`.

A goal counts as reached where it is reached at *all* of its sizes. The table has what was
measured at the size where it came out worst: with {widest}, and, by flags on the same
machine, as with AVX2, where torch and the kernels in C use nothing wider.{silent}

With {widest} {reached} of {goals} goals were reached, {missed} missed at some or all of
their sizes, and {unknown} not measured, most of them because they need a GPU. With AVX2
{measured} were measured and {also} of them reached; memory and what has no kernel in C were
not measured again.

| mechanism | ours | over | goal | {widest} | verdict | AVX2 | verdict |
|---|---|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    print(page(), end="")
