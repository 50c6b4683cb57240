"""A check comes to an end, whatever the answer does.

`limited` watches the thread in which an answer is examined. Over its limit of processor time,
of time, or of memory, the learner's code is stopped: an exception of ours, `Stopped`, is raised
in it, again and again until it is heard. It is raised on the learner's own lines and in what
these call; what `undisturbed` does, and what we do ourselves, is never broken off.

How it gets there: in the main thread by a signal, which also wakes it from waiting; in other
threads, and on Windows, as an exception that Python raises there at the next step. One single
call of a library that neither ends nor asks for signals (`sum(itertools.count())`), or that
waits outside of the main thread, can be stopped by nobody but who ends the process, as
`attncourse check` does.

Memory: on Linux the address space may not grow by more than the limit, and what asks for more
ends in an error, before it is made. With CUDA, which reserves far more than it uses, and on
other systems, the watch looks at what is in use: what grows is stopped, but not one tensor that
is too large by itself.
"""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import takewhile
from types import CodeType, FrameType
from typing import Any

import psutil
import torch

from attncourse.checker.frames import Spot, is_learners, loop_around, spot, up

SECONDS = 20.0  # of processor time, for all that a check runs of an answer
PATIENCE = 10  # how many times as long it may last: others compute as well
MEMORY = 4 * 2**30  # bytes beyond what is in use
TICK = 0.05  # seconds between two looks
IDLE = 0.1  # the share of its time that what only waits may compute
LATE = 1.5  # how many limits until it is stopped wherever it is
STACKS = 200  # looks that are kept


class Stopped(BaseException):
    """Raised in the learner's code when a limit is over. A bare `except` swallows it once: in
    the frames that it leaves it is raised anew at the next line."""

    def __init__(self, *_):
        super().__init__()
        with suppress(ValueError):
            again(sys._getframe(1))


def again(frame: FrameType) -> None:
    """Raise `Stopped` once more at the next line that the learner's code comes to."""
    guard = watching()
    if guard is None or guard.ours:
        return

    def trace(frame: FrameType, event: str, arg: Any):
        theirs = is_learners(frame.f_code.co_filename)
        if theirs and event == "line" and guard.over and not guard.ours:
            raise Stopped
        return trace

    for one in guard.learners(frame):
        one.f_trace = trace
    sys.settrace(trace)


class Guard:
    """What is known of the answer that runs in one thread.

    over   which limit is over: "time", "waiting" or "memory"; "" while none is
    ours   how deep we are in what must not be broken off
    turn   how many calls have begun
    seen   the learner's frames at each look, the outermost first: which, its code, the line
    """

    def __init__(self, seconds: float, memory: int):
        self.seconds, self.memory = seconds, memory
        self.thread = threading.get_ident()
        self.base: FrameType | None = None  # within which all is the answer's
        self.main = threading.current_thread() is threading.main_thread()
        self.over, self.ours, self.firing = "", 0, False
        self.turn = 0
        self.seen: list[list[tuple[tuple[int, int], CodeType, int]]] = []
        self.aside = [0.0, 0.0]  # processor time and time of what was ours
        self.left = self.begun = self.clocks()
        self.used = psutil.Process().memory_info().rss
        self.others = set(threading.enumerate())
        self.done = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True, name="attncourse")

    @staticmethod
    def clocks() -> tuple[float, float]:
        return time.process_time(), time.monotonic()

    def spent(self) -> tuple[float, float]:
        """How many limits of processor time, and of time, are spent."""
        cpu, wall = (
            now - then - aside
            for now, then, aside in zip(self.clocks(), self.begun, self.aside, strict=True)
        )
        return cpu / self.seconds, wall / (PATIENCE * self.seconds)

    # ------------------------------------------------------------ in the watching thread

    def watch(self) -> None:
        while not self.done.wait(min(TICK, self.seconds / 20)):
            with suppress(MemoryError):
                if not self.ours:
                    self.look_after()

    def look_after(self) -> None:
        cpu, wall = self.spent()
        if max(cpu, wall) > 0.5 and not self.over:
            self.look(sys._current_frames().get(self.thread))
        if not self.over:
            if psutil.Process().memory_info().rss - self.used > self.memory:
                self.over = "memory"
            elif max(cpu, wall) > 1:
                computes = cpu > 1 or cpu > IDLE * PATIENCE * wall
                self.over = "time" if computes else "waiting"
        if self.over:
            self.stop(max(cpu, wall) > LATE)

    def learners(self, frame: FrameType | None) -> Iterator[FrameType]:
        """The learner's frames, the innermost first, without who asked for the check."""
        for one in takewhile(lambda f: f is not self.base, up(frame)):
            if is_learners(one.f_code.co_filename):
                yield one

    def look(self, frame: FrameType | None) -> None:
        """Note where the learner's code is."""
        frames = list(self.learners(frame))
        if frames and len(self.seen) < STACKS:
            self.seen.append(
                [((self.turn, id(f)), f.f_code, f.f_lineno) for f in reversed(frames)]
            )

    def stop(self, late: bool) -> None:
        """Raise `Stopped` in the learner's code, and end the threads that it started."""
        for thread in self.started():
            _raise_in(thread.ident, SystemExit)  # which a thread ends by without a word
        if self.main and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(self.thread, signal.SIGURG)
            return
        self.firing = True
        try:
            if not self.ours and self.may_stop(sys._current_frames().get(self.thread)):
                _raise_in(self.thread, Stopped)
        finally:
            self.firing = False
        if self.main and late and not self.ours:  # on Windows this ends a sleep
            signal.raise_signal(signal.SIGINT)

    def started(self) -> list[threading.Thread]:
        """The threads that the learner's code started and that still run it."""
        frames = sys._current_frames()
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self.others
            and thread is not self.watcher
            and any(is_learners(f.f_code.co_filename) for f in up(frames.get(thread.ident)))
        ]

    # ------------------------------------------------------------ in the thread of the answer

    def heard(self, _: int, frame: FrameType | None) -> None:
        """What the signal does."""
        if self.over and not self.ours and self.may_stop(frame):
            self.look(frame)
            raise Stopped

    def may_stop(self, frame: FrameType | None) -> bool:
        """Whether it is the learner's code that runs, and no import of it; and where it was
        not found for long, anything."""
        if max(self.spent()) > LATE:
            return True
        for one in takewhile(lambda f: f is not self.base, up(frame)):
            file = one.f_code.co_filename
            if file.startswith("<frozen importlib"):
                return False
            if is_learners(file):
                return True
        return False

    def enter(self) -> None:
        """From here on nothing is broken off."""
        try:
            self.ours += 1
            while self.firing:
                time.sleep(0)
            time.sleep(0)  # what was raised in time is heard here
        except Stopped:
            pass
        if self.ours == 1:
            self.left = self.clocks()

    def leave(self) -> None:
        if self.ours == 1:
            for n, (now, then) in enumerate(zip(self.clocks(), self.left, strict=True)):
                self.aside[n] += now - then
        self.ours -= 1

    @property
    def spot(self) -> Spot | None:
        """The line in which it was: in the innermost function that was there at each look, the
        loop around all lines that were seen."""
        if not self.seen:
            return None
        depth = self.steady or 1
        frames = [stack[min(depth, len(stack)) - 1] for stack in self.seen]
        _, code, line = frames[-1]
        lines = {one for _, other, one in frames if other is code}
        if self.over == "waiting" and len(lines) == 1:
            return spot(code, line)
        return spot(code, loop_around(code, lines) or line)

    @property
    def steady(self) -> int:
        """How many of the learner's frames, from the outermost, were there at each look."""
        depth = 0
        for level in zip(*self.seen, strict=False):
            if len({one[:2] for one in level}) > 1:
                break
            depth += 1
        return depth


def _raise_in(thread: int | None, error: type[BaseException]) -> None:
    """Raise an error in a thread, at its next step."""
    at = ctypes.c_ulong(thread or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(at, ctypes.py_object(error))


_guards: dict[int, Guard] = {}  # by thread


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[Guard]:
    """Within, the learner's code is stopped when a limit is over. Inside of another, that one
    counts."""
    if guard := watching():
        yield guard
        return
    guard = Guard(seconds, MEMORY)
    guard.base = sys._getframe(2)  # past contextlib
    signals = guard.main and hasattr(signal, "SIGURG")  # which is ignored, where nobody asks
    before = signal.signal(signal.SIGURG, guard.heard) if signals else None
    traced, recursion = sys.gettrace(), sys.getrecursionlimit()
    guard.ours = 1
    _guards[guard.thread] = guard
    guard.watcher.start()
    try:
        with _short_of_memory(MEMORY):
            guard.leave()
            try:
                yield guard
            finally:
                while not guard.ours:
                    with suppress(Stopped):
                        guard.enter()
    finally:
        guard.done.set()
        guard.watcher.join()
        if sys.gettrace() is not traced:
            sys.settrace(traced)
        sys.setrecursionlimit(recursion)
        if signals:
            signal.signal(signal.SIGURG, before if before is not None else signal.SIG_DFL)
        _end_threads(guard)
        del _guards[guard.thread]
        guard.base = None


def _end_threads(guard: Guard) -> None:
    """End what the answer started, as far as it hears."""
    for _ in range(20):
        if not (threads := guard.started()):
            return
        for thread in threads:
            _raise_in(thread.ident, SystemExit)
        time.sleep(TICK / 2)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within, nothing is broken off, and memory is not short: what is kept for the next check
    is made here."""
    guard = watching()
    if guard is None or guard.ours:
        yield
        return
    guard.enter()
    try:
        with _plenty_of_memory():
            yield
    finally:
        guard.leave()


def watching() -> Guard | None:
    """What watches this thread, if anything does."""
    return _guards.get(threading.get_ident())


# ---------------------------------------------------------------- memory


@cache
def _limits_address_space() -> bool:
    """Whether this system refuses memory beyond a limit of ours."""
    return sys.platform == "linux" and not torch.cuda.is_available()


_unlimited: list[int] = []  # the limit as it was outside


@contextmanager
def _short_of_memory(memory: int) -> Iterator[None]:
    """Within, the process cannot take much more memory than it has."""
    if not _limits_address_space():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + memory
    limit = limit if soft == resource.RLIM_INFINITY else min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    _unlimited.append(soft)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (_unlimited.pop(), hard))


@contextmanager
def _plenty_of_memory() -> Iterator[None]:
    """Within, the limit is as it is outside."""
    if not _unlimited:
        yield
        return
    import resource

    short, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_unlimited[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (short, hard))
