"""Which slip an answer is: the one that gives what the answer gives, unlike the solution."""

from collections.abc import Callable, Sequence
from typing import Any

from attncourse.checker.case import Case
from attncourse.checker.equal import may_be_same, same
from attncourse.checker.recorded import Recorded
from attncourse.checker.running import Crash
from attncourse.checker.sheet import Sheet
from attncourse.exercises.record import Slip


def recognised(case: Case, index: int, probe: str) -> tuple[Slip, bool] | None:
    """The slip that gives what the answer gives, and whether it does so on every trial."""
    every = list(range(len(case.results)))
    order = [index, *(i for i in every if i != index)]
    probes = [p for p in case.ex.probes if p not in case.unwritten]
    looks = [probes] + ([[probe]] if len(probes) > 1 else [])
    for which in looks:
        for slip in case.sheet.slips:
            if _fits(case, slip, which, order):
                return slip, True
    given = case.trials[index].inputs.keys()
    alike = [i for i in order if case.trials[i].inputs.keys() == given]
    if 1 < len(alike) < len(every):
        for slip in case.sheet.slips:
            if not slip.parts and _fits(case, slip, [probe], alike):
                return slip, False
    return None


def variant(case: Case) -> Slip | None:
    """The other published reading that the answer follows on every trial, if any."""
    every, probes = range(len(case.results)), list(case.ex.probes)
    found = (s for s in case.sheet.slips if s.variant and _fits(case, s, probes, every))
    return next(found, None)


def _fits(case: Case, slip: Slip, probes: Sequence[str], indices: Sequence[int]) -> bool:
    """Whether a slip, made in any way, gives what the answer gives, unlike the solution."""
    ways = range(len(slip.answers))
    return any(_fits_so(case, slip, way, probes, indices) for way in ways)


def _fits_so(
    case: Case, slip: Slip, way: int, probes: Sequence[str], indices: Sequence[int]
) -> bool:
    """Whether a slip gives what the answer gives, when it is made in one way."""
    known, told_apart = case.sheet, False
    for index in indices:
        for probe in probes:
            y = case.results[index].outcomes.get(probe)
            digest = known.digest_of_slip(slip, index, probe, way)
            if not may_be_same(case.digests[index, probe], digest):
                return False
            if not same(y, known.of_slip(slip, index, probe, way)):
                return False
            right = known.expected(index, probe)
            told_apart |= not isinstance(y, Crash) and not same(y, right)
    return told_apart


def right_on_trials(case: Case, slip: Slip, way: int, probe: str) -> bool:
    """Whether a slip gives what is right on all declared trials, as the answer does."""
    return right_everywhere(case.sheet, slip, way, probe)


def right_everywhere(known: Sheet | Recorded, slip: Slip, way: int, probe: str) -> bool:
    """Whether a slip gives what is right on all declared trials."""
    return all(
        same(known.of_slip(slip, i, probe, way), known.expected(i, probe))
        for i in known.declared
    )


def known_by(case: Case, trace: Callable[[Slip], Any], mine: Any) -> Slip | None:
    """The slip that gives what is right, and leaves the same trace as the answer: its
    gradients, or what it spends."""
    for slip in case.sheet.slips:
        if right_on_trials(case, slip, 0, case.last_probe) and _alike(trace(slip), mine):
            return slip
    return None


def _alike(one: Any, other: Any) -> bool:
    """The same gradients, or the same counts."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[n], other[n]) for n in one)
    return type(one) is type(other) and one == other
