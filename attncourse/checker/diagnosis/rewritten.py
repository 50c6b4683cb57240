"""Does something else stand in one place of what is written, or is an input another one?"""

import re
from inspect import getsource
from typing import Any

from attncourse.checker.alterations.rewritten import rewritten
from attncourse.checker.departure import Departure
from attncourse.checker.diagnosis.moved import of_an_input
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt


def explain(departure: Departure) -> Fault | None:
    """Of tensors of numbers the steps and the laws are looked at first: see the list."""
    said = written_otherwise(departure)
    if not said:
        return None
    worst = departure.wrong or departure.worst
    return Fault(said, (departure.seen, worst, *departure.done))


def written_otherwise(departure: Departure) -> str | None:
    """What stands in the answer where something else belongs."""
    case, index, probe = departure.case, departure.index, departure.probe
    said = attempt(lambda: rewritten(case.ex, index, probe, case.outcomes(probe)))
    if not isinstance(said, str):
        said = attempt(lambda: of_an_input(departure))
    return _in_their_words(said, case.answer) if isinstance(said, str) else None


def _in_their_words(said: str, answer: Any) -> str:
    """Where the answer has the very text, it is what the learner has."""
    found = re.match(r"Your result is that of `([^`]+)` where", said)
    text = attempt(lambda: getsource(answer))
    if not found or not isinstance(text, str) or _bare(found[1]) not in _bare(text):
        return said
    return said.replace("Your result is that of", "You have", 1)


def _bare(text: str) -> str:
    return re.sub(r"\s", "", text)
