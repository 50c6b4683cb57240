"""Imports run one way: what is examined knows nothing of who examines it."""

import ast
from pathlib import Path

import pytest

from attncourse import checker, exercises

ORDER = (
    *("verdict", "running", "trials", "building", "calling", "equal", "sheet", "fault"),
    *("laws", "alterations", "stages", "crashes"),
    *("case", "telling", "departure", "recognition"),
    *("diagnosis", "examiners", "examination"),
)
(CHECKER,), (EXERCISES,) = (map(Path, room.__path__) for room in (checker, exercises))


def parts_imported(file: Path) -> set[str]:
    """The parts of the checker that a file imports, by their first name."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {one.name for one in node.names}
        if isinstance(node, ast.ImportFrom) and node.module == "attncourse.checker":
            modules |= {f"attncourse.checker.{one.name}" for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
    return {m.split(".")[2] for m in modules if m.startswith("attncourse.checker.")}


def test_every_part_has_its_place_in_the_order():
    parts = {file.stem for file in CHECKER.glob("[!_]*")}
    assert parts == set(ORDER)
    assert len(ORDER) == len(parts)


@pytest.mark.parametrize("part", ORDER)
def test_a_part_imports_what_comes_before_it(part):
    files = [CHECKER / f"{part}.py"] if (CHECKER / f"{part}.py").exists() else []
    files += (CHECKER / part).rglob("*.py")
    allowed = set(ORDER[: ORDER.index(part) + 1])
    assert set().union(*map(parts_imported, files)) <= allowed


def test_records_know_nothing_of_the_checker():
    assert not set().union(*map(parts_imported, EXERCISES.rglob("*.py")))
