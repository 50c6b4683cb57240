"""Where solutions are not there, an answer that passed takes the place of the blanked one: what
is given in a notebook, and calls it, goes on with the learner's own."""

import sys
from typing import Any

from attncourse.exercises.record import Exercise

ROOMS = ("solutions", "attncourse.tasks", "attncourse.papers")


def adopt(ex: Exercise, answer: Any) -> None:
    """Put an answer that passed in the place of what raises NotImplementedError."""
    if ex.is_module:
        if not issubclass(answer, ex.solution):  # whose methods would call themselves
            for name in ex.blank:
                setattr(ex.solution, name, getattr(answer, name))
        return
    for name, module in [*sys.modules.items()]:
        if name.startswith(ROOMS):
            for known, value in [*vars(module).items()]:
                if value is ex.solution:
                    setattr(module, known, answer)
