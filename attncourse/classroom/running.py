"""Many submissions marked, several at a time; begun again, it goes on where it was."""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filelock

from attncourse import course, places
from attncourse.classroom import marking
from attncourse.classroom.marking import (
    NOT_ATTEMPTED,
    PASSED,
    RANK,
    TAKEN_OVER,
    UNMARKED,
    Mark,
    Marked,
    Terms,
)
from attncourse.classroom.paper import Paper
from attncourse.classroom.sandbox.box import MEMORY, Box
from attncourse.classroom.sandbox.ladder import Rung, climb
from attncourse.classroom.submissions import File, Submission
from attncourse.errors import UserError
from attncourse.files import write_whole

VERSION = 2  # of what is kept of a notebook


@dataclass(frozen=True)
class Rules:
    """What counts, as the teacher says. `taken_over`, `ready`: the share of the points for what
    is the course's own, and for what a function of torch does."""

    points: Mapping[str, float]
    title: str = ""
    due: str | None = None
    taken_over: float = 0.0
    ready: float = 1.0
    seconds: float = 10.0

    def worth(self, mark: Mark) -> float:
        """The points of a mark."""
        share = {PASSED: self.ready if mark.ready else 1.0, TAKEN_OVER: self.taken_over}
        return round(self.points[mark.id] * share.get(mark.status, 0.0), 4)


@dataclass
class Student:
    """One student's marks, in the order of the assignment, and what was odd."""

    name: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


@dataclass
class Class:
    """A class marked. `missed`: why better rungs of the sandbox could not be used."""

    rules: Rules
    rung: Rung
    missed: list[str]
    students: list[Student]
    seconds: float = 0.0


def run(
    handed: Sequence[Submission],
    rules: Rules,
    package: Path,
    into: Path,
    jobs: int,
    unsafe: bool,
    told: Callable[[int, int, str], None] = lambda *_: None,
) -> Class:
    """Mark all submissions. `told` hears how many notebooks are done of how many, and whose.
    Raises UserError where no sandbox works, or another run writes into this folder."""
    (into / "marks").mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(into / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another run is writing into {into}: name another folder.") from None
    try:
        with marking.stage(package) as stage:
            rung, missed = climb(stage, unsafe)
            seed = secrets.token_hex(16)
            papers = {}
            for id in rules.points:
                ex = course.exercise(id)
                papers[id] = Paper(ex, seed)
            terms = Terms(papers, tuple(rules.points), rules.seconds)
            box = Box(rung, stage, MEMORY)
            marks = _marked(handed, terms, box, into / "marks", package, jobs, told)
    finally:
        lock.release()
    students = [_student(one, marks, rules) for one in handed]
    spent = sum(marked.seconds for marked in marks.values())
    return Class(rules, rung, missed, students, round(spent, 1))


def _marked(
    handed, terms, box, kept: Path, package: Path, jobs: int, told
) -> dict[str, Marked]:
    """What came of each notebook, by the digest of all that decides it."""
    common = _digest(
        VERSION,
        list(terms.listed),
        terms.seconds,
        box.rung.name,
        _of_folder(package),
        _of_folder(places.TOP),
    )
    todo: dict[str, tuple[Submission, File]] = {}
    for one in handed:
        for file in one.notebooks:
            todo.setdefault(_key(common, one, file), (one, file))
    found: dict[str, Marked] = {}
    for key, (_, file) in todo.items():
        if file.why:
            found[key] = Marked(why=file.why)
            continue
        path = kept / f"{key}.json"
        before = marking.from_json(path.read_text("utf-8")) if path.is_file() else None
        if before and not before.why and not any(m.unmarked for m in before.marks.values()):
            found[key] = before
    done, many = len(found), len(todo)
    told(done, many, "")

    def one(key: str) -> Marked:
        submission, file = todo[key]
        try:
            return marking.mark(file.data, terms, box, files=submission.modules)
        except Exception as error:  # ours, or this machine's: never the learner's fault
            text = str(error).partition("\n")[0][:200]
            return Marked(why=f"marking it fails: {type(error).__name__}: {text}")

    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(one, key): key for key in todo if key not in found}
        try:
            for future in as_completed(waiting):
                key = waiting[future]
                found[key] = future.result()
                write_whole(kept / f"{key}.json", marking.as_json(found[key]).encode())
                done += 1
                told(done, many, todo[key][0].student)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {f"{one.student}\0{file.path}": found[_key(common, one, file)]
            for one in handed for file in one.notebooks}  # fmt: skip


def _key(common: str, one: Submission, file: File) -> str:
    modules = [hashlib.sha256(m).hexdigest() for _, m in sorted(one.modules.items())]
    names = sorted(one.modules)
    return _digest(common, hashlib.sha256(file.data).hexdigest(), modules, names, file.why)[:32]


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _of_folder(folder: Path) -> str:
    """A digest of the code and the records in a package."""
    whole = hashlib.sha256()
    rooms = [folder / name for name in ("attncourse", "solutions")]
    for path in sorted(path for room in rooms for path in room.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in place.parts:
            whole.update(f"{place}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _student(handed: Submission, marks: Mapping[str, Marked], rules: Rules) -> Student:
    """The best mark of each exercise in all that a student handed in."""
    student = Student(
        handed.student, [], list(handed.notes), [f.path for f in handed.notebooks]
    )
    best: dict[str, Mark] = {}
    several = len(handed.notebooks) > 1
    failed = []
    for file in handed.notebooks:
        marked = marks[f"{handed.student}\0{file.path}"]
        before = f"{file.path}: " if several else ""
        if marked.why:
            failed.append(marked.why)
            student.notes.append(f"{file.path} could not be marked: {marked.why}.")
        student.notes += [before + note for note in marked.notes]
        for id, mark in marked.marks.items():
            kept = best.get(id)
            if kept and not {kept.status, mark.status} & {NOT_ATTEMPTED, UNMARKED}:
                student.notes.append(f"{id} is in several notebooks; the best counts.")
            if kept is None or RANK[mark.status] > RANK[kept.status]:
                best[id] = mark
    for id in rules.points:
        if id in best:
            student.marks.append(best[id])
        elif failed:
            student.marks.append(Mark(id, UNMARKED, f"The notebook: {failed[0]}."))
        else:
            text = "Neither its cell nor its check is in what was handed in."
            student.marks.append(Mark(id, NOT_ATTEMPTED, text))
    return student


def as_dict(whole: Class) -> dict[str, Any]:
    """The class in the types of JSON, without sources."""
    rules = whole.rules
    return {
        "title": rules.title,
        "sandbox": whole.rung.name,
        "holds_off": whole.rung.holds,
        "points": dict(rules.points),
        "rules": {k: v for k, v in asdict(rules).items() if k not in ("points", "title")},
        "students": [
            {
                "name": one.name,
                "points": sum(map(rules.worth, one.marks)),
                "exercises": [
                    {
                        "id": mark.id,
                        "status": mark.status,
                        "points": rules.worth(mark),
                        "worth": rules.points[mark.id],
                        "slip": mark.slip,
                        "message": mark.message,
                        "cell": mark.cell,
                        "ready_made": mark.ready,
                    }
                    for mark in one.marks
                ],
                "notes": one.notes,
                "files": one.files,
            }
            for one in whole.students
        ],
    }
