"""What people do where two things meet: a product, a sum, a quotient, a difference."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from attncourse.checker.alterations.missteps.doing import Way
from attncourse.checker.alterations.steps import Step
from attncourse.checker.alterations.words import two_nouns


def ways(step: Step) -> Iterator[Way]:
    """Another way to put the two together."""
    nouns = two_nouns(step)
    usual = RIGHT[step.kind].format(**nouns)
    for text, f in TWO[step.kind]:
        done = text.format(**nouns)
        why = "once is enough" if done.endswith(" twice") else usual
        said = f"{done}." if "left out" in done else f"{done}; {why}."
        yield text, said, lambda func, args, kwargs, f=f: f(args[0], args[1])


# How it is told with their names, and what happens.
TWO: Mapping[str, tuple[tuple[str, Callable[[Any, Any], Any]], ...]] = {
    "product": (
        ("You add {a} and {b}", lambda a, b: a + b),
        ("You divide {a} by {b}", lambda a, b: a / b),
        ("You divide {b} by {a}", lambda a, b: b / a),
        ("{b} is left out: {a} is not multiplied by it", lambda a, b: a + 0 * b),
        ("{a} is left out: {b} is not multiplied by it", lambda a, b: b + 0 * a),
        ("You add {a} to {a} times {b}", lambda a, b: a + a * b),
        ("You add {b} to {a} times {b}", lambda a, b: b + a * b),
        ("You multiply {a} by {b} twice", lambda a, b: a * b * b),
        ("You multiply {b} by {a} twice", lambda a, b: a * a * b),
        ("You subtract {b} from {a}", lambda a, b: a - b),
        ("You subtract {a} from {b}", lambda a, b: b - a),
        ("You take the larger of {a} and {b}", torch.maximum),
        ("You take the smaller of {a} and {b}", torch.minimum),
        ("You take the mean of {a} and {b}", lambda a, b: (a + b) / 2),
        ("You take the root of the product of {a} and {b}", lambda a, b: (a * b).sqrt()),
        ("You multiply {a} by the root of {b}", lambda a, b: a * b**0.5),
        ("You add {a} and {b} less their product", lambda a, b: a + b - a * b),
    ),
    "total": (
        ("You multiply {a} and {b}", lambda a, b: a * b),
        ("You subtract {b} from {a}", lambda a, b: a - b),
        ("You subtract {a} from {b}", lambda a, b: b - a),
        ("{b} is left out: it is not added", lambda a, b: a + 0 * b),
        ("{a} is left out: it is not added", lambda a, b: b + 0 * a),
        ("You take the mean of {a} and {b}", lambda a, b: (a + b) / 2),
        ("You take the larger of {a} and {b}", torch.maximum),
        ("You take the smaller of {a} and {b}", torch.minimum),
        ("You add {b} twice", lambda a, b: a + 2 * b),
        ("You add {a} twice", lambda a, b: 2 * a + b),
        ("You add half of {b}", lambda a, b: a + b / 2),
        ("You add half of {a}", lambda a, b: a / 2 + b),
        ("You add the product of {a} and {b} as well", lambda a, b: a + b + a * b),
        ("You add {a} to the product of {a} and {b}", lambda a, b: a + a * b),
        ("You add {b} to the product of {a} and {b}", lambda a, b: b + a * b),
        ("You add the squares of {a} and {b}", lambda a, b: a * a + b * b),
        ("You add the magnitudes of {a} and {b}", lambda a, b: abs(a) + abs(b)),
    ),
    "quotient": (
        ("You multiply {a} by {b}", lambda a, b: a * b),
        ("{a} is not divided by {b}", lambda a, b: a + 0 * b),
        ("You divide {a} by {b} twice", lambda a, b: a / b / b),
        ("You divide {a} by the root of {b}", lambda a, b: a / b**0.5),
        ("You divide {b} by {a}", lambda a, b: b / a),
        ("You subtract {b} from {a}", lambda a, b: a - b),
    ),
    "difference": (
        ("You add {a} and {b}", lambda a, b: a + b),
        ("You subtract {a} from {b}", lambda a, b: b - a),
        ("{b} is not subtracted from {a}", lambda a, b: a + 0 * b),
    ),
}  # fmt: skip


RIGHT = {
    "product": "they are multiplied",
    "total": "they are added, once each",
    "quotient": "{a} is divided by {b}",
    "difference": "{b} is subtracted from {a}",
}
