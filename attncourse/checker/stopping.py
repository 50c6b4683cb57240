"""What is said of an answer that was stopped: which limit is over, and in which line."""

import re

from attncourse.checker.case import Case
from attncourse.checker.ending import PATIENCE, Guard
from attncourse.checker.fault import Fault
from attncourse.checker.frames import Spot
from attncourse.checker.running import Crash, OutOfMemory

GB = 10**9
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}


def stopped(case: Case, guard: Guard, error: BaseException) -> Fault | None:
    """What is wrong with an answer that was stopped; None where an interrupt came from
    outside."""
    if isinstance(error, OutOfMemory):
        return _too_large(case, guard, error.crash)
    if isinstance(error, MemoryError) or guard.over == "memory":
        return _takes_all(case, guard, guard.spot)
    if not guard.over:
        return None
    spot = guard.spot
    where = _where(case, spot)
    seconds = f"{guard.seconds:g} s"
    if guard.over == "waiting":
        long = f"{PATIENCE * guard.seconds:g} s"
        cause = f"`{case.ex.name}` does not come to an end: stopped after {long}{where}."
        return Fault(cause, ("It waits there, and hardly computes.",), "does_not_end")
    if guard.seen and not guard.steady:
        return Fault(
            f"`{case.ex.name}` is too slow: all calls of a check together took over {seconds}"
            f" of processor time; stopped{where}.",
            (),
            "too_slow",
        )
    line = spot.line if spot else ""
    advice = "Does what it waits for come about, whatever the input?"
    return Fault(
        f"`{case.ex.name}` does not come to an end: stopped after {seconds}{where}.",
        (advice if line.startswith("while") else "",),
        "does_not_end",
    )


def _where(case: Case, spot: Spot | None) -> str:
    """ " in line 3, `while True:`"; "" where nothing is known."""
    if spot is None:
        return ""
    known = spot.function in (case.ex.name, getattr(case.answer, "__name__", ""))
    function = "" if known else f" of `{spot.function}`"
    return f" in line {spot.number}{function}" + (f", `{spot.line}`" if spot.line else "")


def _too_large(case: Case, guard: Guard, crash: Crash) -> Fault:
    """One tensor that memory does not hold, or the last of many."""
    size, spot = _bytes(crash.text), Spot(crash.function, crash.lineno, crash.line)
    sizes = re.search(r"with sizes=(\[[^]]*\])", crash.text)
    if not sizes and (size is None or size < guard.memory / 2):
        return _takes_all(case, guard, spot if crash.function else None)
    where = _where(case, spot if crash.function else None)
    large = f"of sizes {sizes[1]}" if sizes else f"of {size / GB:,.3g} GB"
    shapes = ", ".join(f"`{name}` is {shape}" for name, shape in crash.shapes.items())
    return Fault(
        f"`{case.ex.name}` makes a tensor {large}{where}:"
        " more than a check holds. Which of its axes does the result not need?",
        (shapes and f"In reach there: {shapes}.",),
        "takes_all_the_memory",
    )


def _takes_all(case: Case, guard: Guard, spot: Spot | None) -> Fault:
    """Much that is small."""
    return Fault(
        f"`{case.ex.name}` takes all the memory: stopped at {guard.memory / GB:.3g} GB"
        f"{_where(case, spot)}. What grows there?",
        (),
        "takes_all_the_memory",
    )


def _bytes(text: str) -> float | None:
    """How much was asked for, as torch and numpy say it."""
    if found := re.search(r"allocate (\d+) bytes", text):
        return float(found[1])
    if found := re.search(r"allocate ([\d.]+) (KiB|MiB|GiB|TiB|PiB|EiB)", text):
        return float(found[1]) * UNITS[found[2]]
    return None
