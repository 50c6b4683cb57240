"""The package that a student installs: what the assignment needs of the course, and no answer.

Answers of the assignment are blanked always. So are those of every other exercise, unless what
is given in the notebooks runs them. What nothing needs is left out, and with it what computes
the same in another way.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from attncourse import course, places
from attncourse.classroom.leaks import silent_hints
from attncourse.classroom.reach import Module, Name, Reach, needs
from attncourse.errors import Broken
from attncourse.exercises.record import Exercise, file_of
from attncourse.exercises.source import stub

ROOMS = ("attncourse", "solutions")
LAZY = "attncourse.papers.builds"  # builds what the papers print, of whatever is there
SHAKEN = ("solutions", "attncourse.tasks", "attncourse.cli", "attncourse.papers")
COMMANDS = ("lab", "reset", "check")
ALWAYS = (
    Name("attncourse.cli", "app"),
    Name("attncourse.cli", "learning"),
    *(Name("attncourse.cli.learning", name) for name in COMMANDS),
    Name("attncourse.__main__"),
    Name("attncourse.checker.keeping"),
    Name("attncourse.checker.examination"),
    Name("attncourse.checker.sheet"),
    Name("attncourse.book.helping"),
)

INSIDE = "attncourse/classroom/inside/"  # runs on its own, in a sandbox


@dataclass
class Pruned:
    """The files of the package by their places in it, and what the teacher should know.

    kept   exercises of other chapters whose answers are there, and what needs them
    given  by file, the lines of what is given in the notebooks, or run by it
    """

    files: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    given: dict[str, set[str]] = field(default_factory=dict)


@cache
def read(name: str) -> Module | None:
    """A module of the course as it stands."""
    if name.partition(".")[0] not in ROOMS:
        return None
    path = places.TOP.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return Module(name, file.read_text(encoding="utf-8"))
    return None


def whole(name: str) -> bool:
    """Whether a module stays as it is: all but those that hold answers, tasks and commands."""
    parts = name.split(".")
    if name.startswith("attncourse.exercises."):
        return len(parts) == 3 and parts[2] not in {c.name for c in course.CHAPTERS}
    if name.startswith("attncourse.papers."):
        return True
    return not any(name == one or name.startswith(f"{one}.") for one in SHAKEN)


def prune(
    ids: Sequence[str],
    notebooks: Mapping[str, NotebookNode],
    records: Mapping[str, Mapping[str, Any]],
    hints: int,
) -> Pruned:
    """The package for these exercises.

    notebooks  as they are handed out, by stem
    records    of the exercises, by id
    """
    chosen = {id: course.exercise(id) for id in ids}
    others = {id: ex for id, ex in course.exercises().items() if id not in chosen}
    given = {
        f"notebook {stem}": Module(f"notebook {stem}", code(nb))
        for stem, nb in notebooks.items()
    }
    changed = {_record(id): handed_record(ex, records[id], hints) for id, ex in chosen.items()}
    changed["attncourse.course"] = cut_course(ids)
    roots = [Name(name) for name in given]
    roots += [
        Name(module, "EXERCISE") for module in changed if module.startswith("attncourse.ex")
    ]

    # What runs the answer of another chapter? Looked at with only this assignment blanked.
    sources = _Sources(given, changed, chosen.values())
    running = Reach(partial(sources.read, hidden=LAZY), whole)
    running.add(roots, "the assignment")
    needed = {id: why for id, ex in others.items() if (why := running.why.get(_definition(ex)))}

    blank = [*chosen.values(), *(ex for id, ex in others.items() if id not in needed)]
    sources = _Sources(given, changed, blank)
    there = Reach(sources.read, whole)
    there.add([*roots, *_kernels(chosen.values()), *ALWAYS], "the assignment")
    pruned = Pruned(
        kept=dict(sorted(needed.items(), key=lambda one: list(others).index(one[0])))
    )
    for name in there.kept:
        if name not in given:
            text = there.text(name)
            ast.parse(text, _place(name))
            pruned.files[_place(name)] = text.encode()
    for id in chosen:
        place = f"attncourse/exercises/{id.replace('.', '/')}.json"
        pruned.files[place] = _as_text(records[id]).encode()
    _refuse_trials_of_answers(chosen, there, sources.read)
    pruned.files |= _whole(INSIDE, pruned.files) | _data_beside(pruned.files)
    for name in running.kept:
        if name.startswith(("solutions", "attncourse.tasks")):
            lines = running.text(name).splitlines()
            pruned.given[f"package/{_place(name)}"] = {line.strip() for line in lines}
    return pruned


def _kernels(exercises: Iterable[Exercise]) -> list[Name]:
    """Kernels in Triton around an answer, which are found by the name of its module."""
    modules = dict.fromkeys(f"{ex.solution.__module__}_triton" for ex in exercises)
    return [Name(name) for name in modules if read(name)]


def _refuse_trials_of_answers(chosen: Mapping[str, Exercise], there: Reach, read) -> None:
    """Raises Broken where the trials of one exercise, as code, run the answer to another."""
    answers = {_definition(ex): id for id, ex in chosen.items()}
    for id in chosen:
        module = Module(_record(id), there.text(_record(id)))
        for node in module.statements:
            for name in needs(module, node, read):
                if answers.get(name, id) != id:
                    raise Broken(
                        f"{id}: its trials run the answer to {answers[name]}, which is not"
                        f" handed out. Write them without it in {file_of(id)}."
                    )


class _Sources:
    """Our modules as they are handed out: notebooks beside them, answers blanked."""

    def __init__(self, given, changed: Mapping[str, str], blank: Iterable[Exercise]):
        self.given, self.changed = given, {n: Module(n, text) for n, text in changed.items()}
        self.blank: dict[str, list[Exercise]] = {}
        for ex in blank:
            self.blank.setdefault(ex.solution.__module__, []).append(ex)

    def read(self, name: str, hidden: str = "") -> Module | None:
        if name == hidden:
            return None
        if name in self.given:
            return self.given[name]
        if name not in self.changed and name in self.blank and (module := read(name)):
            self.changed[name] = Module(name, blanked(module, self.blank[name]))
        return self.changed.get(name) or read(name)


def blanked(module: Module, exercises: Iterable[Exercise]) -> str:
    """The source of a module with the bodies of these exercises taken out."""
    stubs = {ex.name: stub(ex) for ex in exercises}
    lines = module.text.splitlines()
    for node in reversed(module.statements):
        name = getattr(node, "name", None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and name in stubs:
            first = min(n.lineno for n in (node, *node.decorator_list))
            lines[first - 1 : node.end_lineno] = stubs[name].splitlines()
    return "\n".join(lines) + "\n"


def handed_record(ex: Exercise, record: Mapping[str, Any], hints: int) -> str:
    """The source of an exercise's record without slips, answers, and hints that are not handed
    out; with its trials as data, where they are."""
    module = read(_record(ex.id))
    lines = module.text.splitlines(keepends=True)
    (number,) = module.binders["EXERCISE"]
    node = module.statements[number]
    call = node.value
    call.keywords = [
        k for word in call.keywords if (k := _handed(ex, word, record["inputs"], hints))
    ]
    head = "".join(lines[: node.lineno - 1])
    first, *_ = module.statements
    after = first.end_lineno if isinstance(first, ast.Expr) else 0
    imports = "\nfrom attncourse.exercises.handed import remark_of, trials_of\n"
    head = "".join(lines[:after]) + imports + "".join(lines[after : node.lineno - 1])
    return head + ast.unparse(node) + "\n" + "".join(lines[node.end_lineno :])


def _handed(
    ex: Exercise, word: ast.keyword, inputs: Mapping[str, Any], hints: int
) -> ast.keyword | None:
    """An argument of a record as it is handed out."""

    def written(text: str) -> ast.keyword:
        return ast.keyword(word.arg, ast.parse(text, mode="eval").body)

    if word.arg == "otherwise":
        return None
    if word.arg == "slips":
        return written("()")
    if word.arg == "hints":
        return written(repr(silent_hints(ex, hints)))
    if word.arg in ("trials", "refuses") and word.arg in inputs:
        return written(f"trials_of({ex.id!r}, {word.arg!r})")
    if word.arg == "remark" and "remark" in inputs:
        return written(f"remark_of({ex.id!r})")
    return word


def cut_course(ids: Iterable[str]) -> str:
    """The list of chapters with these exercises alone."""
    module, wanted = read("attncourse.course"), set(ids)
    (number,) = module.binders["CHAPTERS"]
    node, lines = module.statements[number], module.text.splitlines(keepends=True)
    text = "CHAPTERS: tuple[Chapter, ...] = (\n"
    for c in course.CHAPTERS:
        if names := tuple(id.partition(".")[2] for id in c.ids if id in wanted):
            told = (c.number, c.name, c.title, c.writes, c.sees, c.minutes, names)
            text += f"    Chapter{told!r},\n"
    return "".join(lines[: node.lineno - 1]) + text + ")\n" + "".join(lines[node.end_lineno :])


def code(notebook: NotebookNode) -> str:
    """The code of a notebook that is plain Python."""
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            try:
                ast.parse(cell.source)
            except SyntaxError:
                continue
            cells.append(cell.source)
    return "\n\n".join(cells) + "\n"


def _record(id: str) -> str:
    return f"attncourse.exercises.{id}"


def _definition(ex: Exercise) -> Name:
    return Name(ex.solution.__module__, ex.name)


def _place(name: str) -> str:
    """The file of a module in the package."""
    path = name.replace(".", "/")
    inside = places.TOP / path / "__init__.py"
    return f"{path}/__init__.py" if inside.is_file() else f"{path}.py"


def _as_text(record: Mapping[str, Any]) -> str:
    import json

    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _whole(room: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """All modules of a room whose modules find each other by their places, if one is kept."""
    if not any(place.startswith(room) for place in files):
        return {}
    return {
        f"{room}{path.name}": path.read_bytes() for path in (places.TOP / room).glob("*.py")
    }


def _data_beside(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files that are no modules, which a kept module beside them names."""
    found = {}
    for folder in sorted({Path(place).parent for place in files}):
        texts = [t.decode() for place, t in files.items() if Path(place).parent == folder]
        for path in _data_in(places.TOP / folder):
            inside = path.relative_to(places.TOP / folder)
            if any(f'"{inside.parts[0]}"' in text for text in texts):
                found[(folder / inside).as_posix()] = path.read_bytes()
    return found


def _data_in(folder: Path) -> Iterator[Path]:
    """Of a folder of modules, what is no module; of folders in it without modules, all."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            yield path
        elif path.is_dir() and not [*path.glob("*.py")] and path.name != "__pycache__":
            yield from (p for p in sorted(path.rglob("*")) if p.is_file())
