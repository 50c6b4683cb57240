"""An answer in, a verdict out: `check`.

The examiners, each a small file with one question, look at an answer from the coarsest to the
finest (`examination` has their order). Where what it returns departs from the solution, the
diagnosis says why: another list, of the ways to explain it. One touches `check` alone; the room
reads records of `exercises`, and knows nothing of notebooks. Imports run down this list:

    frames, ending, running                     an answer that may crash, or not come to an end
    trials, building, calling, equal            it is run on a trial, and compared
    sheet                                       what solution and slips make of the trials
    laws, alterations, stages, crashes          what a departing result is explained by
    case, departure, recognition, telling       what examiners and diagnosis ask and say
    diagnosis, examiners, stopping, examination why it departs; the questions; their order
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attncourse.checker.examination import check

__all__ = ["check"]


def __getattr__(name: str):
    """`check`, imported when first asked for: its parts can be used without the rest."""
    if name == "check":
        return import_module("attncourse.checker.examination").check
    raise AttributeError(f"module 'attncourse.checker' has no attribute '{name}'")
