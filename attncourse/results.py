"""Results that took long and were kept: measured once, shown in the notebooks."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "results"


def result(name: str) -> dict[str, Any]:
    """A kept result, with settings, seeds and hardware. Raises FileNotFoundError by name."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        kept = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json"))) or "none"
        raise FileNotFoundError(f"there is no result {name!r} in {FOLDER}; there are: {kept}")
    return json.loads(path.read_text(encoding="utf-8"))
