"""Does it return on every trial what the solution returns, and change nothing that it is given?

The first trial and probe that depart are handed over to the diagnosis.
"""

from attncourse.checker.case import Case
from attncourse.checker.crashes import crashed
from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis import diagnose
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash


def examine(case: Case) -> Fault | None:
    for index, result in enumerate(case.results):
        if isinstance(result.fault, Crash):
            return crashed(result.fault, "__init__", case.trials[index])
        if result.fault:
            return Fault(result.fault, (case.trials[index].seen,))
        for probe in case.ex.probes:
            if probe in case.unwritten:
                continue
            y, right = result.outcomes.get(probe), case.sheet.expected(index, probe)
            changed = result.changed is not None and result.changed[0] == probe
            if changed or not same(y, right):
                return diagnose(Departure(case, index, probe, y, right))
    return None
