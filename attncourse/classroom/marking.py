"""One notebook marked: run in a box, asked from outside, its replies compared here."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from compileall import compile_dir
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from attncourse.classroom.inside import frames
from attncourse.classroom.inside.frames import Garbled, Reader, frame
from attncourse.classroom.inside.worker import DEAF, PATIENCE
from attncourse.classroom.paper import Paper
from attncourse.classroom.sandbox.box import Box, Over, Running
from attncourse.classroom.sandbox.ladder import python

PASSED, TAKEN_OVER, NOT_YET = "passed", "taken over", "not yet"
NOT_ATTEMPTED, UNMARKED = "not attempted", "could not be marked"
STATUSES = PASSED, TAKEN_OVER, NOT_YET, NOT_ATTEMPTED, UNMARKED
RANK = {PASSED: 4, TAKEN_OVER: 3, NOT_YET: 2, NOT_ATTEMPTED: 1, UNMARKED: 0}

START = 600.0  # seconds until torch is there, on a busy machine
SLACK = 20.0  # seconds of processor time that the checker may take for itself
BEGUN = 12  # how often a box is begun anew for one notebook
NOTES, LINES, WIDTH = 40, 12, 400  # of what is said inside
MANY = 20  # exercises, where nobody says how many there are
LARGEST = 64 * 2**20  # bytes of a notebook
KINDS = "notebook", "ready", "at", "begin", "note", "lost", "result", "end"  # of frames
READY = "of torch does here what the exercise is to build"


@dataclass
class Mark:
    """How one exercise stands. `stands`: the number of its code cell; `source`: the learner's
    definition, to compare submissions by."""

    id: str
    status: str
    message: str
    slip: str | None = None
    cell: int = 0
    ready: bool = False
    source: str = ""
    verified: bool = False

    @property
    def unmarked(self) -> bool:
        return self.status == UNMARKED


@dataclass
class Marked:
    """What came of one notebook: marks by id, what was odd, why it could not be marked."""

    marks: dict[str, Mark] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0  # of processor time, as far as it was seen


@dataclass
class Terms:
    """On what terms notebooks are marked.

    papers   what is asked from outside, by id; none where the check's word is enough
    listed   the exercises that count, in order; None for those that a notebook names
    seconds  of processor time for each exercise
    """

    papers: Mapping[str, Paper]
    listed: Sequence[str] | None
    seconds: float


@contextmanager
def stage(package: Path | None) -> Iterator[Path]:
    """A folder that a box may read: the worker, what shuts it in, and the package."""
    folder = Path(tempfile.mkdtemp(prefix="attncourse-stage-"))
    here, plain = Path(__file__).parent, shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    try:
        for name in ("inside", "sandbox"):
            shutil.copytree(here / name, folder / name, ignore=plain)
        if package is not None:
            (folder / "package").mkdir()
            for name in ("attncourse", "solutions"):
                if (package / name).is_dir():
                    shutil.copytree(package / name, folder / "package" / name, ignore=plain)
        # compiled once, for nobody can write here later
        compile_dir(folder, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def mark(
    data: bytes,
    terms: Terms,
    box: Box,
    folder: Path | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Marked:
    """Mark one notebook. What hangs, dies or takes too much costs the exercise that did so: the
    box is begun anew for the others.

    folder  where it runs, if not in a scratch folder
    files   what lies beside it, by name
    """
    marking = Marking(data, terms, box, folder, files or {})
    if len(data) > LARGEST:
        marking.marked.why = f"it is larger than {LARGEST // 2**20} MiB"
    else:
        for _ in range(BEGUN):
            if marking.once():
                break
            if text := marking.over():
                marking.rest(NOT_YET, f"The notebook {text}.")
                break
        else:
            marking.rest(NOT_YET, "The notebook ends its worker again and again.")
    marking.marked.seconds = round(marking.marked.seconds, 2)
    return marking.marked


class Marking:
    """The way of one notebook through as many boxes as it takes."""

    def __init__(self, data: bytes, terms: Terms, box: Box, folder: Path | None, files):
        self.data, self.terms, self.box, self.folder = data, terms, box, folder
        self.files: Mapping[str, bytes] = files
        self.marked = Marked()
        many = 2 + (MANY if terms.listed is None else len(terms.listed))
        self.most = SLACK + many * (DEAF * terms.seconds + SLACK)  # of processor time
        self.begun, self.patience = time.monotonic(), START + many * self._wait()
        self.left_out: list[tuple[int, int]] = []
        self.done: set[str] = set()
        self.found: dict[str, Any] | None = None
        self.ready, self.finished = False, False
        self.at: tuple[str, Any] = ("start", None)

    # ------------------------------------------------------------ one box

    def once(self) -> bool:
        """Begin a box and go on until it ends; whether all is done."""
        self.at, self.ready = ("start", None), False
        said = ""
        try:
            with self.box.started([python(), "-P", "-m", "inside"], self.folder) as running:
                try:
                    running.process.stdin.write(self._request())
                    running.process.stdin.close()
                except OSError:
                    pass  # it is gone already, and its end is read below
                how = self._listen(running)
                with suppress(Over):
                    running.watch()
                self.marked.seconds += running.cpu()
                said = "" if self.ready else running.says()
        except OSError as error:
            how = f"the sandbox does not start: {error.strerror or error}"
        if how is None:
            self.rest(NOT_YET, "The notebook ended its worker before this was looked at.")
            return True
        return self._ended(how, said)

    def _request(self) -> bytes:
        body = bytearray(self.data + b"".join(self.files.values()))
        given, ids = bytearray(), [i for i in self.terms.papers if i not in self.done]
        asks = {id: self.terms.papers[id].packed(given) for id in ids}
        listed = None if self.terms.listed is None else list(self.terms.listed)
        asked = listed if self.found is None else [i for i in self.found if i not in self.done]
        header = {
            "notebook": len(self.data),
            "files": [[name, len(text)] for name, text in self.files.items()],
            "listed": listed,
            "exercises": asked,
            "asks": asks,
            "seconds": self.terms.seconds,
            "left_out": self.left_out,
        }
        return frame(header, bytes(body + given))

    def _wait(self) -> float:
        """How long nothing may be heard, in seconds."""
        return PATIENCE * self.terms.seconds + 120

    def over(self) -> str:
        """What the notebook takes too much of, in all its boxes; "" where it does not."""
        if self.marked.seconds > self.most:
            return f"takes more than {self.most:.0f} s of processor time"
        if time.monotonic() - self.begun > self.patience:
            return f"takes more than {self.patience / 60:.0f} minutes"
        return ""

    def _listen(self, running: Running) -> str | None:
        """Hear frames until the end; None where it is a good one, else how it ended."""
        reader = Reader(running.process.stdout.fileno())
        try:
            return self._heard(running, reader)
        finally:
            reader.close()

    def _heard(self, running: Running, reader: Reader) -> str | None:
        seconds, turns = self.terms.seconds, {}
        while True:
            before = running.cpu()

            def watch(before: float = before) -> None:
                running.watch()
                if text := self.over():
                    raise Over(text)
                if self.ready and running.cpu() - before > DEAF * seconds + SLACK:
                    raise Over(f"does not return within {seconds:g} s: where does it loop?")

            limit = self._wait() if self.ready else START
            try:
                got = reader.read(limit, watch)
            except TimeoutError:
                return f"does not return within {limit:.0f} s: what does it wait for?"
            except Over as error:
                return str(error)
            except Garbled as error:
                return f"sends what is no report ({error})"
            if got is None:
                return "ends its worker: does it call exit, or take all the memory?"
            header, body = got
            try:
                if self._hear(header, body, turns):
                    return None
            except Exception as error:  # it was written by who knows whom
                return f"sends what is no report ({type(error).__name__})"

    def _hear(self, header: dict[str, Any], body: bytes, turns: dict[Any, int]) -> bool:
        """One frame; whether it was the last. What it says is not trusted."""
        kind = header["is"]
        if kind not in KINDS:
            raise Garbled("a frame of no kind")
        turns[kind] = turns.get(kind, 0) + 1
        if turns[kind] > 5000:
            raise Garbled("too many frames")
        if kind == "notebook" and self.found is None:
            return self._notebook(header)
        if kind == "ready":
            self.ready = True
        elif kind == "at":
            self.at = "statement", (int(header["cell"]), int(header["line"]))
        elif kind == "begin" and header["id"] in self.found:
            self.at = "exercise", header["id"]
        elif kind == "note":
            self._note(header["text"])
        elif kind == "lost" and header["id"] in self.found:
            how = {
                "late": f"does not return within {self.terms.seconds:g} s: where does it loop?",
            }.get(header["how"], "ends its process: does it call exit, or take all the memory?")
            self._stands(Mark(header["id"], NOT_YET, f"`{self._name(header['id'])}` {how}"))
        elif kind == "result" and header["id"] in self.found:
            self._result(header, body)
        return kind == "end"

    def _notebook(self, header: dict[str, Any]) -> bool:
        if "why" in header:
            self.marked.why = f"it is not a Jupyter notebook ({clean(header['why'], 1)})"
            self.found = {}
            return False
        self.found = {}
        for id, one in header["exercises"].items():
            if self.terms.listed is not None and id not in self.terms.listed:
                continue
            name = clean(one["name"], 1)[:80]
            self.found[str(id)] = {"cell": int(one["cell"]), "name": name}
            self.found[str(id)]["source"] = str(one["source"])[:20_000]
        for note in header["notes"]:
            self._note(note)
        return False

    def _name(self, id: str) -> str:
        return self.found[id]["name"]

    def _note(self, text: Any) -> None:
        text = clean(text, 1)
        if text not in self.marked.notes and len(self.marked.notes) < NOTES:
            self.marked.notes.append(text)

    # ------------------------------------------------------------ what an exercise comes to

    def _result(self, header: dict[str, Any], body: bytes) -> None:
        """The verdict that was made inside, as far as the numbers bear it out."""
        id, status = header["id"], header["status"]
        if status not in STATUSES:
            raise ValueError(status)
        slip = header["slip"]
        slip = clean(slip, 1)[:100] if isinstance(slip, str) else None
        found = Mark(id, status, clean(header["message"], LINES), slip)
        found.ready = READY in found.message
        paper = self.terms.papers.get(id)
        if paper and status == UNMARKED and not paper.optional:
            found.status = NOT_YET  # what this machine can check is no matter of what is said
        if paper and status in (PASSED, TAKEN_OVER):
            fault = paper.fault(self._values(header["values"], body))
            if fault is None:
                found.verified = True
            else:
                found.status, found.slip = NOT_YET, None
                found.message = (
                    f"`{fault}` is right on the trials of the notebook, and departs on others"
                    " of the same kind. Does it compute its result from what it is given?"
                )
        self._stands(found)

    @staticmethod
    def _values(values: Any, body: bytes) -> Any:
        """The replies; what is garbled is no reply."""
        try:
            return frames.unpacked(values, body)
        except (Garbled, ValueError, TypeError, OverflowError, RecursionError):
            return None

    def _stands(self, found: Mark) -> None:
        """Keep the better of what an exercise came to at its stops."""
        kept = self.marked.marks.get(found.id)
        found.cell, found.source = self.found[found.id]["cell"], self.found[found.id]["source"]
        if kept is None or RANK[found.status] > RANK[kept.status]:
            self.marked.marks[found.id] = found
        if found.status in (PASSED, TAKEN_OVER):
            self.done.add(found.id)

    def _ended(self, how: str, said: str) -> bool:
        """A box ended before its time: what ran costs itself. Whether to give up."""
        kind, which = self.at
        if not self.ready:
            why = f"{how} ({said})" if said else how
            self.marked.why = self.marked.why or f"the worker {why}"
            self.rest(UNMARKED, f"The worker {why}.")
            return True
        if kind == "statement" and which not in self.left_out:
            self.left_out.append(which)
            self._note(f"cell {which[0]}, line {which[1]} is left out: it {how}")
        elif kind == "exercise":
            name = self._name(which)
            self._stands(Mark(which, NOT_YET, f"`{name}` {how}"))
            self.done.add(which)
        return not [id for id in self.found if id not in self.done]

    def rest(self, status: str, message: str) -> None:
        """What has no mark yet gets this one."""
        for id in (self.terms.listed or ()) if self.found is None else self.found:
            if id not in self.marked.marks:
                self.marked.marks[id] = Mark(id, status, message)


def clean(text: Any, lines: int) -> str:
    """Words that were made inside: text without control characters, cut."""
    kept = [
        "".join(c if c.isprintable() else " " for c in line)[:WIDTH]
        for line in str(text)[: 2 * LINES * WIDTH].split("\n")[:lines]
    ]
    return "\n".join(kept).encode("utf-8", "replace").decode().strip()


def as_json(marked: Marked) -> str:
    """What is kept of a marked notebook."""
    from dataclasses import asdict

    return json.dumps(asdict(marked), indent=1)


def from_json(text: str) -> Marked | None:
    """The same again; None where it is none."""
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        kept = json.loads(text)
        kept["marks"] = {id: Mark(**one) for id, one in kept["marks"].items()}
        return Marked(**kept)
    return None
