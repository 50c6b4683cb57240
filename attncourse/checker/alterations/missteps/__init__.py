"""What people do in place of a step: instead of it, with its weights, or on the way to it.

Each way has a name, the words in which a learner is told, and what happens. A new way is a line
in a table here.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from attncourse.checker.alterations.missteps import (
    activations,
    layers,
    maps,
    meetings,
    norms,
    reductions,
)
from attncourse.checker.alterations.missteps.doing import LEFT_OUT, Way, twice
from attncourse.checker.alterations.steps import PAIRS, REDUCTIONS, SQUASH, Step


def own_ways(step: Step, others: Mapping[str, nn.Module]) -> Iterator[Way]:
    """Each other way to do a step; `others` are the layers that may be taken for its own."""
    kind, title = step.kind, step.title
    if kind in SQUASH:
        yield from activations.ways(step)
    elif kind in REDUCTIONS:
        yield from reductions.ways(step)
    elif kind in PAIRS:
        yield from meetings.ways(step)
    elif kind == "layer":
        yield from layers.ways(step, others)
    elif kind == "norm":
        yield from norms.ways(step)
    elif kind == "spreading":
        yield from maps.other_spreading()
    elif kind == "means":
        yield from maps.other_means()
    elif kind in ("layer norm", "call"):
        yield "left out", f"{title} is left out.", LEFT_OUT
        if kind == "layer norm":
            yield from norms.others_of(step, others)
        if kind == "call":
            yield "twice", f"{title} is applied twice in a row; it is applied once.", twice
