"""Executes a notebook as far as its exercises need it, and forks for each exercise.

torch is imported once; statements run in order in one process; at the check cell of an exercise
a copy of that process is made, in which the answer is checked and answers what is asked from
outside. So an exercise that hangs or dies costs itself, and is taken as it stands there. Every
statement and every exercise is announced before it begins: who watches from outside knows what
ran when all of it had to be ended.

Frames that go out, by what "is" says:
    notebook   what was found in it, and what was odd
    ready      the checker is warm: from here on limits count
    at, begin  a statement, an exercise that begins now
    note       a line for the report
    result     the verdict on an exercise in words, and what it answered
    lost       an exercise whose process ended without a result
    end        all is done
"""

import ast
import ctypes
import inspect
import linecache
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from types import CodeType
from typing import Any

from . import finding, frames, reading, statements
from .frames import frame, packed, write

START = 3600.0  # seconds until a request must be here
DEAF = 3  # how many times its limit of processor time an exercise may take before it is killed
PATIENCE = 12  # the same for time
LONG = 4000  # characters of a message
DUMPABLE = 4  # whether other processes of this user may look into one's memory
SHOWN = 20_000  # characters of a source that go out
PASSED, FAILED, LOST = 91, 92, 93  # how the copy for an exercise ends: not as others do


def main() -> None:
    pipe = os.dup(1)
    request, given = frames.Reader(0, 2**26, 2**28).read(START)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    worker = Worker(pipe, request, given)
    if worker.find():
        worker.warm()
        os.dup2(nothing, 2)
        worker.run()
    worker.send(**{"is": "end"})
    os._exit(0)


class Worker:
    """One notebook, and what is asked of it."""

    def __init__(self, pipe: int, request: Mapping[str, Any], given: bytes):
        self.pipe, self.request = pipe, request
        at = request["notebook"]
        self.data = given[:at]
        self.files = {}
        for name, length in request["files"]:
            self.files[name] = given[at : at + length]
            at += length
        self.given = given[at:]
        self.seconds = float(request["seconds"])
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.notes: set[str] = set()

    def send(self, body: bytes = b"", **header: Any) -> None:
        write(self.pipe, frame(header, body))

    def note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < 100:
            self.notes.add(text)
            self.send(**{"is": "note", "text": text[:300]})

    # ------------------------------------------------------------ what is in the notebook

    def find(self) -> bool:
        """Read the notebook and say what is in it; whether there is something to do."""
        try:
            self.notebook = reading.read(self.data)
        except reading.NoNotebook as error:
            self.send(**{"is": "notebook", "why": str(error)[:300]})
            return False
        self.names, unknown = self._names()
        self.found = finding.exercises(self.notebook, self.names)
        notes = [*self.notebook.notes, *finding.odd(self.notebook, self.names), *unknown]
        self.send(
            **{
                "is": "notebook",
                "exercises": {
                    id: {"cell": one.cell, "name": one.name, "source": self._source(one)}
                    for id, one in self.found.items()
                },
                "notes": [note[:300] for note in notes[:100]],
                "unread": sorted(self.notebook.unread)[:100],
            }
        )
        asked = self.request["exercises"]
        self.todo = {id: f for id, f in self.found.items() if asked is None or id in asked}
        return bool(self.todo)

    def _names(self) -> tuple[dict[str, str], list[str]]:
        """What answers are called, by id: of all that are asked for, or that are named."""
        from attncourse import course

        ids = self.request["listed"]
        mentioned = dict.fromkeys(c.exercise for c in self.notebook.cells if c.exercise)
        for cell in self.notebook.cells:
            text = self.notebook.texts.get(cell.number, "")
            mentioned |= dict.fromkeys(id for id, _ in finding.checks(cell, text))
        names, unknown = {}, []
        for id in mentioned if ids is None else ids:
            try:
                names[id] = course.exercise(id).name
            except KeyError as error:  # UnknownExercise
                unknown.append(str(error.args[0]))
        return names, unknown

    def _source(self, found: finding.Found) -> str:
        """What an answer is, as text, to compare submissions by."""
        parts = [s for s in self.notebook.statements if found.name in s.binds]
        return "\n".join(s.source for s in parts if isinstance(s.node, statements.DEFINES))[
            :SHOWN
        ]

    # ------------------------------------------------------------ running it

    def warm(self) -> None:
        """Have the checker do once what it does once, before any limit counts; then no copy of
        this process may look into it."""
        import torch
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        from attncourse import course
        from attncourse.checker.examination import check
        from attncourse.checker.sheet import sheet

        torch.set_num_threads(1)
        self.check, self.exercise = check, course.exercise
        quiet = Config()
        quiet.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=quiet)
        for id in self.todo:
            with suppress(Exception):
                ex = self.exercise(id)
                known = sheet(ex)
                for ready in ("trials", "varied", "refused", "slips"):
                    getattr(known, ready, None)
        with suppress(OSError, AttributeError, TypeError):  # on Linux
            ctypes.CDLL(None).prctl(DUMPABLE, 0, 0, 0, 0)
        self.send(**{"is": "ready"})

    def run(self) -> None:
        """Statements in order; each exercise at its stops, until it passes at one."""
        sys.path.insert(0, "")  # as in a notebook
        for name, text in self.files.items():
            with suppress(OSError), open(name, "wb") as file:
                file.write(text)
        names = {one.name for one in self.todo.values()}
        left_out = {tuple(at) for at in self.request["left_out"]}
        kept = [
            s
            for s in statements.needed(self.notebook.statements, names)
            if (s.cell, s.line) not in left_out
        ]
        for cell, text in self.notebook.texts.items():
            lines = text.splitlines(keepends=True)
            linecache.cache[f"<cell {cell}>"] = len(text), None, lines, f"<cell {cell}>"
        seen: dict[str, int] = {}
        done: set[str] = set()
        for cell in [*(c.number for c in self.notebook.cells), 0]:
            for number, statement in enumerate(kept):
                if statement.cell == cell:
                    self.execute(statement)
                    seen["last"] = number
            for id, one in self.todo.items():
                if cell not in one.stops or id in done or seen.get(id) == seen.get("last", -1):
                    continue
                seen[id] = seen.get("last", -1)
                if self.examine(id, one, cell) == PASSED:
                    done.add(id)

    def execute(self, statement: statements.Statement) -> None:
        self.send(**{"is": "at", "cell": statement.cell, "line": statement.line})
        try:
            code = self._compiled(statement)
            found = eval(code, self.shell.user_ns)
            if inspect.iscoroutine(found):
                import asyncio

                asyncio.run(found)
        except NotImplementedError:
            pass
        except BaseException as error:
            text = str(error).partition("\n")[0][:200]
            self.note(f"{statement.where}: {type(error).__name__}: {text}")

    def _compiled(self, statement: statements.Statement) -> CodeType:
        import __future__

        node = statement.node
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for one in node.names:
                self.flags |= getattr(__future__, one.name).compiler_flag
        tree = ast.Module([node], [])
        return compile(tree, f"<cell {statement.cell}>", "exec", self.flags, dont_inherit=True)

    # ------------------------------------------------------------ one exercise

    def examine(self, id: str, found: finding.Found, cell: int) -> int | None:
        """Check and ask an answer in a copy of this process. Returns how that ended."""
        if found.name not in self.shell.user_ns:
            text = f"`{found.name}` is not defined in this notebook."
            if found.cell in self.notebook.unread:
                text += f" Cell {found.cell} could not be read."
            self.result(id, cell, "not attempted", None, text)
            return None
        self.send(**{"is": "begin", "id": id})
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        if FORK is None:  # then only who watches from outside can end it
            return self._examined(id, found, cell)
        pid = FORK()
        if not pid:
            code = LOST
            try:
                os.setpgid(0, 0)
                code = self._examined(id, found, cell)
            finally:
                EXIT(code)
        ended = self._wait(pid)
        if ended not in (PASSED, FAILED):
            self.send(**{"is": "lost", "id": id, "how": ended, "stop": cell})
        return ended if isinstance(ended, int) else None

    def _wait(self, pid: int) -> int | str:
        until = MONOTONIC() + PATIENCE * self.seconds + 60
        while True:
            done, status = WAITPID(pid, os.WNOHANG)
            if done or MONOTONIC() > until:
                break
            SLEEP(0.004)
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        if not done:
            with suppress(OSError):
                KILL(pid, signal.SIGKILL)
                WAITPID(pid, 0)
            return "late"
        if os.WIFSIGNALED(status):
            return "late" if os.WTERMSIG(status) == signal.SIGXCPU else "lost"
        return os.WEXITSTATUS(status) if os.WEXITSTATUS(status) in (PASSED, FAILED) else "lost"

    def _examined(self, id: str, found: finding.Found, cell: int) -> int:
        """In the copy: the verdict in words, then what the answer makes of the questions."""
        with suppress(ImportError):
            import resource

            spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
            limit = int(spent + DEAF * self.seconds + 2)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 2))  # told, then killed
        answer = self.shell.user_ns[found.name]
        verdict = self.check(id, answer, seconds=self.seconds)
        right = verdict.status in ("passed", "taken over")
        ready = not verdict.slip and verdict.message.startswith("Not checked: ")
        status = "could not be marked" if ready else verdict.status
        asks = self.request["asks"].get(id) if right else None
        values = self._answers(id, answer, asks) if asks else None
        self.result(id, cell, status, verdict.slip, str(verdict.message), values)
        return PASSED if right else FAILED

    def _answers(self, id: str, answer: Any, asks: list[Any]) -> list[Any]:
        from attncourse.checker.ending import Stopped, limited
        from attncourse.checker.running import calm

        from .answering import answer_to

        ex, found = self.exercise(id), []
        try:
            with calm(), limited(self.seconds):
                for ask in asks:
                    found.append(answer_to(ex, answer, ask, self.given))
        except (Stopped, KeyboardInterrupt, MemoryError):
            pass
        return found

    def result(self, id, cell, status, slip, message, values=None) -> None:
        """Say how an exercise stands, in one frame."""
        body = bytearray()
        header = {
            "is": "result",
            "id": id,
            "stop": cell,
            "status": status,
            "slip": slip,
            "message": message[:LONG],
            "values": None if values is None else packed(values, body),
        }
        self.send(bytes(body), **header)


# What is used after strangers' code has run is looked up before.
FORK, EXIT, WAITPID, KILL = getattr(os, "fork", None), os._exit, os.waitpid, os.kill
MONOTONIC, SLEEP = time.monotonic, time.sleep
