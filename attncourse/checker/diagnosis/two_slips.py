"""Are it two slips at once that are seldom made together?"""

from functools import cache
from itertools import islice
from typing import Any

from attncourse.checker.alterations.rewritten import most
from attncourse.checker.calling import run
from attncourse.checker.departure import Departure
from attncourse.checker.equal import hopeless, same
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt, calm
from attncourse.checker.sheet import sheet
from attncourse.exercises.edited import rare_pairs
from attncourse.exercises.record import Exercise, Slip

MOST, MOST_OF_A_MODULE = 150, 30  # pairs that are tried: what they cost is counted, not timed


def explain(departure: Departure) -> Fault | None:
    case, index, probe = departure.case, departure.index, departure.probe
    if hopeless(departure.y) or not case.sheet.knows_the_solution:
        return None
    mine = case.outcomes(probe)
    others = [i for i in range(len(mine)) if i != index]
    for n, pair in enumerate(_pairs(case.ex)):
        if all(same(_outcome(case.ex, n, i, probe), mine[i]) for i in (index, *others)):
            return Fault(pair.message, (departure.seen, departure.worst), pair.name)
    return None


@cache
def _pairs(ex: Exercise) -> tuple[Slip, ...]:
    tried = most(ex, MOST_OF_A_MODULE if ex.is_module else MOST)
    return tuple(islice(rare_pairs(ex), tried))


@cache
def _outcome(ex: Exercise, n: int, index: int, probe: str) -> Any:
    """What a pair gives on a trial, made once."""
    with calm():
        made = attempt(lambda: run(ex, _pairs(ex)[n].answer, sheet(ex).trials[index]))
    return getattr(made, "outcomes", {}).get(probe)
