"""Is the course whole? Every exercise, slip, hint, notebook and file, and what to do if not."""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from attncourse import course
from attncourse.book.building import build
from attncourse.book.editions import ROOT, chapter_exercises, make, read_script
from attncourse.checker import check
from attncourse.checker.running import Crash
from attncourse.checker.sheet import refusals, sheet, slips
from attncourse.checker.verdict import NOT_ATTEMPTED, NOT_YET, PASSED, Verdict
from attncourse.course import Chapter
from attncourse.errors import Broken, UnknownExercise, nearest
from attncourse.exercises.edited import broken, copy, right_ways, slips_of
from attncourse.exercises.record import Exercise, Slip, file_of
from attncourse.exercises.source import blanked_lines, docstrings, raises, stub, where
from attncourse.workshop.lint import lint
from attncourse.workshop.sizes import agreements

HINTS, SLIPS, OTHERWISE = 3, 4, 2  # at least
# Lines which say nothing about how an exercise is solved, though a solution may hold them.
TRIVIAL = re.compile(
    r"return [\w.]+|[\w, ]+ = [\w.]+\.shape|(el)?if \w+ is (not )?None:|super\(\).*"
    r"|for \w+ in range\([\w.]+\):|[\"'#]+.{0,3}"
)
MACHINERY = {
    "record",
    "edits",
    "edited",
    "handed",
    "source",
    "letters",
    "interpreter",
}  # of records
LIBRARY = {  # what engineers find beside the chapters
    "arguments",
    "backbones",
    "checks",
    "fast",
    "masks",
    "py.typed",
    "pyproject.toml",
    "registry",
    "resizing",
    "splitting",
    "torch_weights",
}
# What promises that the text of a ValueError holds something.
NUMBERS = re.compile(r"ValueError[^.]*,\s+with\b|ValueError[^.]*\band, with\b")
MOST = 4  # processes: each holds torch and a gigabyte of what it has seen
FEW = 12  # exercises that are looked at sooner than another process has begun
SHORT = 12  # a line of no more letters can turn up by chance


def examine(root: Path = ROOT, only: Iterable[str] = ()) -> list[str]:
    """Everything that is wrong with the course in `root`, one line each; empty if whole.

    only  ids of exercises: of all records these alone are examined, and of all editions those
          of their chapters. What reads in a moment is looked at all the same
    """
    with _several(len(only) or len(course.known_ids())) as found:
        return _examined(Path(root), set(only), found)


@contextmanager
def _several(exercises: int) -> Iterator[Callable[[Iterable[Exercise]], list[str]]]:
    """What looks at exercises: here, where they are few; else as many at a time as there are
    processors."""
    workers = min(os.cpu_count() or 1, MOST) if exercises > FEW else 1
    if workers < 2:
        yield lambda them: [line for ex in them for line in _looked_at(ex)]
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield lambda them: [
            line for lines in pool.map(_look_up, [ex.id for ex in them]) for line in lines
        ]


def _look_up(id: str) -> list[str]:
    return _looked_at(course.exercise(id))


def _looked_at(ex: Exercise) -> list[str]:
    """What is wrong with one exercise; a broken record must not hide what else is wrong."""
    try:
        return examine_exercise(ex)
    except Exception as error:
        what = str(error).strip().splitlines() or ["no message"]
        return [
            f"{ex.id}: cannot be checked: {type(error).__name__}: {what[0]}. Mend its "
            f"record in {file_of(ex.id)}."
        ]


def _examined(root: Path, only: set[str], found: Callable) -> list[str]:
    problems, met = stray_files(root), []
    for chapter in course.CHAPTERS:
        try:
            exercises = chapter_exercises(chapter)
        except Broken as error:
            problems.append(str(error))
            continue
        problems += _ids(chapter, exercises)
        asked = [ex for ex in exercises.values() if not only or ex.id in only]
        problems += found(asked)
        try:
            script = read_script(chapter, root)
            where = f"notebooks/src/{chapter.stem}.py"
            problems += [
                f"{where}: {complaint}"
                for complaint in lint(script, exercises.values(), chapter.minutes)
            ]
            notebook = make(script, exercises, solved=False)
        except Broken as error:
            problems.append(str(error))
            continue
        met += [(where, cell.source) for cell in notebook.cells]
        for ex in exercises.values():
            problems += leaks(ex, met)
    chapters = [c for c in course.CHAPTERS if only & set(c.ids)] if only else None
    problems += build(chapters, check=True, root=root)
    return list(dict.fromkeys(problems))


def chosen(ids: Iterable[str]) -> list[str]:
    """These ids of exercises. Raises UnknownExercise for one that the list does not hold."""
    ids, known = list(ids), course.known_ids()
    for id in ids:
        if id not in known:
            raise UnknownExercise(
                f'CHAPTERS in attncourse/course.py lists no exercise "{id}".'
                + nearest(id, known)
            )
    return ids


def examine_exercise(ex: Exercise) -> list[str]:
    """What is missing or wrong in the record of one exercise, one line each."""
    if problems := broken(ex):
        return problems
    try:
        mine = copy(ex)
    except Broken as error:
        return [str(error)]
    record = file_of(ex.id)
    problems = [
        f"{ex.id}: has {have} {what}; at least {least} are needed. "
        f"Add to `{where}` in {record}."
        for have, least, what, where in (
            (len(ex.hints), HINTS, "hints", "hints"),
            (sum(not slip.parts for slip in slips_of(ex)), SLIPS, "slips", "slips"),
            (len(ex.otherwise), OTHERWISE, "correct answers written another way", "otherwise"),
        )
        if have < least
    ]
    for name, times in Counter(slip.name for slip in slips_of(ex)).items():
        if times > 1:
            problems.append(f'{ex.id}: {times} slips are called "{name}". Rename all but one.')
    if ex.needs():
        return problems  # on this machine no answer can be looked at
    verdict = check(ex, mine)
    if verdict.status != PASSED or verdict.slip:
        return [
            *problems,
            f"{ex.id}: its solution does not pass{_said(verdict)} Mend the trials.",
        ]
    problems += _stub(ex)
    problems += _promises(ex)
    problems += [
        f"{ex.id}: of the sizes of its trials {agree}, so that a mistake may hide. Give other"
        f" sizes, or name in `tied` what belongs together, in {record}."
        for agree in agreements(ex)
    ]
    right = {answer.__name__: answer for answer in ex.otherwise} | right_ways(ex)
    for name, answer in right.items():
        verdict = check(ex, answer)
        if verdict.status != PASSED:
            problems.append(
                f"{ex.id}: {name}, correct but written another way, does not pass"
                f"{_said(verdict)} Mend it or the check."
            )
    for slip in slips(ex):
        problems += _slip(ex, slip)
    return problems


def _slip(ex: Exercise, slip: Slip) -> list[str]:
    """A slip must be caught, and named by its own name; a variant must pass, and be named."""
    if unknown := _unknown(ex, slip):
        return [f"{ex.id}: the slip {slip.name} {unknown}. Mend it in {file_of(ex.id)}."]
    verdict = check(ex, slip.answer)
    wanted = PASSED if slip.variant else NOT_YET
    kind = "variant" if slip.variant else "slip"
    if verdict.status != wanted:
        how = "does not pass" if slip.variant else "is not caught"
        return [
            f"{ex.id}: the {kind} {slip.name} {how}{_said(verdict)} "
            "Give a trial that tells it apart, or take it out."
        ]
    if verdict.slip != slip.name:
        took = f"taken for {verdict.slip}" if verdict.slip else "caught, but not named"
        return [
            f"{ex.id}: the {kind} {slip.name} is {took}{_said(verdict)} "
            "Give a trial that tells them apart, or take one out."
        ]
    return []


def _unknown(ex: Exercise, slip: Slip) -> str | None:
    """That a slip uses a name that is not there: nobody gives this answer."""
    known = sheet(ex)
    outcomes = (known.of_slip(slip, i, probe) for i in known.declared for probe in ex.probes)
    named = (y for y in outcomes if isinstance(y, Crash) and y.kind == "NameError")
    return next((f"ends in NameError: {y.text}" for y in named), None)


def _stub(ex: Exercise) -> list[str]:
    """The stub must run as it stands, and count as not attempted."""
    names = dict(vars(_module(ex)))
    try:
        exec(compile(stub(ex), f"<stub of {ex.id}>", "exec"), names)
    except Broken as error:
        return [str(error)]
    except Exception as error:
        return [
            f"{ex.id}: its stub does not run: {type(error).__name__}: {error}. "
            "What stands outside the blanked bodies must run by itself."
        ]
    verdict = check(ex, names[ex.name])
    if verdict.status == NOT_ATTEMPTED:
        return []
    why = "" if ex.blank or not ex.is_module else " `blank` names no method."
    return [
        f"{ex.id}: its stub does not count as not attempted{_said(verdict)}{why} "
        "Every probe must reach a blanked body."
    ]


def _promises(ex: Exercise) -> list[str]:
    """Every ValueError that the stub promises must be tried, and promised where the learner is
    to raise it."""
    record, known = file_of(ex.id), sheet(ex)
    said = [text for text in docstrings(ex) if "ValueError" in text]
    problems = [
        f"{ex.id}: the solution does not refuse {one.trial.name}. Mend `refuses` in {record}."
        for one in known.refused
        if not one.errors
    ]
    if len(said) > len(known.refused):
        problems.append(
            f"{ex.id}: its stub speaks of a ValueError in {len(said)} places, and"
            f" {len(known.refused)} trials try it. Add to `refuses` in {record}."
        )
    if any(NUMBERS.search(text) for text in said) and not any(o.says for o in known.refused):
        problems.append(
            f"{ex.id}: its stub promises a ValueError with numbers, which no trial looks for."
            f" Give `says` to a trial of `refuses` in {record}."
        )
    raised = raises(ex)
    if raised and not said:
        problems.append(
            f"{ex.id}: the learner is to raise a ValueError of which the stub says nothing. Say"
            f" so in its docstring in {where(ex)}."
        )
    mine = copy(ex)
    tried = {
        y.line
        for one in known.refused
        for y in refusals(ex, mine, one.trial).values()
        if isinstance(y, Crash)
    }
    problems += [
        f"{ex.id}: no trial comes to {line!r} in its solution. Add to `refuses` in {record}."
        for line in raised
        if line not in tried
    ]
    return problems


def _module(ex: Exercise):
    """The module in which the solution stands."""
    return sys.modules[ex.solution.__module__]


def _said(verdict: Verdict) -> str:
    """What the checker said, for the end of a sentence."""
    first = verdict.message.splitlines()[0] if verdict.message else "nothing said"
    return f' ({verdict.status}: "{first}").'


def leaks(ex: Exercise, cells: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of blanked bodies that the learner can read: in its own notebook or in one before.

    cells  where each cell comes from, and its source in the learner edition
    """
    try:
        secret = [line.strip() for line in blanked_lines(ex)]
    except Broken:
        return []  # said already
    secret = [s for s in dict.fromkeys(secret) if len(s) > SHORT and not TRIVIAL.fullmatch(s)]
    return [
        f'{ex.id}: "{line}" of its solution can be read in {where}. Write that cell otherwise.'
        for where, text in dict.fromkeys(cells)
        for line in secret
        if line in text
    ]


def _ids(chapter: Chapter, exercises: dict[str, Exercise]) -> list[str]:
    """Exercises of a chapter are called `chapter.name`, each once, as their files are."""
    listed = "CHAPTERS in attncourse/course.py"
    if not chapter.exercises:
        return [f"{chapter.stem}: {listed} lists no exercise of it."]
    problems = [
        f'{chapter.stem}: {listed} lists "{name}" {times} times. Take out all but one.'
        for name, times in Counter(chapter.exercises).items()
        if times > 1
    ]
    for name in dict.fromkeys(chapter.exercises):
        where, id = f"attncourse/exercises/{chapter.name}/{name}.py", f"{chapter.name}.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            problems.append(f"{id}: a name has small letters and _ alone. Rename {where}.")
        elif id not in exercises:
            other = course.record(chapter, name).id
            problems.append(f'{where}: its id is "{other}"; it should be "{id}".')
    return problems


def stray_files(root: Path) -> list[str]:
    """Files on the shelves that no chapter accounts for."""
    chapters = {chapter.name for chapter in course.CHAPTERS}
    stems = {chapter.stem for chapter in course.CHAPTERS}
    shelves = [
        ("solutions", chapters | LIBRARY),
        ("attncourse/exercises", chapters | MACHINERY),
        ("notebooks/src", stems),
        ("notebooks", {"src", "learner", "solved", "maps"}),
    ]
    shelves += [
        (f"attncourse/exercises/{chapter.name}", {*chapter.exercises, "shared"})
        for chapter in course.CHAPTERS
    ]
    return [
        f"{shelf}/{path.name} belongs to no chapter. Delete it, or list it in "
        "CHAPTERS in attncourse/course.py."
        for shelf, known in shelves
        for path in sorted((root / shelf).glob("*"))
        if not path.name.startswith(("_", ".")) and path.name.removesuffix(".py") not in known
    ]
