"""Results that took long and were kept: measured once, shown in the notebooks."""

import json
from collections.abc import Sequence
from typing import Any

from attncourse import places

FOLDER = places.results()


def result(name: str) -> dict[str, Any]:
    """A kept result, with settings, seeds and hardware. Raises FileNotFoundError by name."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        kept = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json"))) or "none"
        raise FileNotFoundError(f"there is no result {name!r} in {FOLDER}; there are: {kept}")
    return json.loads(path.read_text(encoding="utf-8"))


def together(results: Sequence[dict[str, Any]], *figures: str) -> dict[str, Any]:
    """Results that differ in their seed as one: the first whole, of each the named figures.

    Raises ValueError where they differ in more.
    """
    first = results[0]
    for other in results[1:]:
        for name in ("settings", "versions", "hardware"):
            one, two = (_without_seed(each[name]) for each in (first, other))
            if one != two:
                raise ValueError(f"the runs differ in their {name}: {one} and {two}")
    seeds = [seed for each in results for seed in each["seeds"]]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed comes twice: {seeds}")
    runs = [{"seed": r["seeds"][0]} | {name: r[name] for name in figures} for r in results]
    return first | {"seeds": seeds, "runs": runs}


def _without_seed(part: Any) -> Any:
    return {k: v for k, v in part.items() if k != "seed"} if isinstance(part, dict) else part
