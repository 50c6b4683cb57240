"""Does a second call on the same input give the same?"""

from attncourse.checker.case import Case
from attncourse.checker.diagnosis.randomness import differing_calls
from attncourse.checker.fault import Fault


def examine(case: Case) -> Fault | None:
    return differing_calls(case)
