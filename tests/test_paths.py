"""Every path that the docs name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
PLACEHOLDER = re.compile(r"(CHAPTER|NAME|NN|NOTEBOOK|FOLDER|OTHER)")
NAMED = re.compile(r"`([\w./*-]+/[\w./*-]*|[\w./*-]+\.(?:py|json|toml|txt|yml|md))`")
LINKED = re.compile(r"\]\(([^)#:]+)\)")
WITHIN = (
    "",
    "attncourse",
    "attncourse/exercises",
    "attncourse/checker",
    "attncourse/classroom",
    "solutions",
)  # where rooms are told
# on a learner's machine, on a teacher's, by a build
MADE = ("work/", ".venv", "report3/", "grades.json", "all.txt", "site/_build/")


def paths(text: str) -> list[str]:
    """What is named as a path in backticks, or linked to; not what stands for many."""
    found = [*NAMED.findall(text), *LINKED.findall(text)]
    return [p for p in found if not PLACEHOLDER.search(p) and not p.startswith(MADE)]


def is_there(path: str) -> bool:
    return any(next((ROOT / folder).glob(path.rstrip("/")), None) for folder in WITHIN)


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.name)
def test_every_path_that_it_names_is_there(doc):
    named = paths(doc.read_text(encoding="utf-8"))
    assert [path for path in named if not is_there(path)] == []


def test_what_is_not_there_is_seen():
    text = "see `attncourse/papers.py`, `tests/`, [here](docs/none.png), `solutions/CHAPTER.py`"
    assert [p for p in paths(text) if not is_there(p)] == [
        "attncourse/papers.py",
        "docs/none.png",
    ]
    assert len(paths(text)) == 3
