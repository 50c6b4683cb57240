"""How steps, and what goes into them and comes out, are spoken of."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from attncourse.checker.alterations.steps import (
    LAYERS,
    NAMELESS,
    PAIRS,
    REDUCTIONS,
    SQUASH,
    Step,
    Value,
    axes_of,
)
from attncourse.checker.trials import Prepared
from attncourse.exercises.letters import spell


def title_and_noun(
    kind: str, args: tuple, kwargs: Mapping, nouns: Sequence[str], layer: str, sizes: Mapping
) -> tuple[str, str]:
    """How a step and its result are spoken of, where `nouns` go into it."""
    first = nouns[0] if nouns else NAMELESS
    if kind in LAYERS:
        title = f"`self.{layer}`" if layer else f"the {kind}"
        return title, f"what {title} returns"
    if kind in SQUASH:
        behind = first.removeprefix("what ").removesuffix(" returns")
        short = first.startswith("what `") and first.endswith(" returns")
        title = f"the {kind} behind {behind}" if short else f"the {kind}"
        return title, f"what {title} returns"
    if kind in REDUCTIONS:
        noun = _of_reduction(kind, args, kwargs, first, sizes)
        return noun, noun
    if kind in ("product", "total", "matrix product") and len(nouns) == 2:
        word = {"total": "sum", "matrix product": "product"}.get(kind, kind)
        a, b = map(brief, nouns)
        simple = not any(n.startswith("the ") and " of " in n for n in (a, b))
        noun = f"the {word} of {a} and {b}" if simple else f"the {word}"
        return noun, noun
    if kind == "stack":
        noun = " and ".join(dict.fromkeys(nouns))
        return "what is put together", noun if len(noun) < 90 else "what is put together"
    noun = {
        "total": "the sum",
        "means": "the means",
        "spreading": "what is spread",
    }.get(kind, f"the {kind}")
    return {"spreading": "the spreading"}.get(kind, noun), noun


def brief(noun: str) -> str:
    """A noun inside another: what `self.key` returns is `self.key(…)`."""
    found = re.fullmatch(r"what `([\w.]+)` returns", noun)
    return f"`{found[1]}(…)`" if found else noun.removeprefix("what ").removesuffix(" returns")


def _of_reduction(kind: str, args: tuple, kwargs: Mapping, first: str, sizes: Mapping) -> str:
    """ "the mean over h, w of what `self.down` returns"."""
    axes, shape = axes_of(args, kwargs), args[0].shape
    known = {n: k for n, k in sizes.items() if n != "b" or 0 in axes}
    letters = [spell([shape[a]], known) for a in axes]
    over = f" over {', '.join(letters)}" if not any(x.isdecimal() for x in letters) else ""
    return f"the {kind}{over}" + (f" of {first}" if first != "what goes in" else "")


def on_the_way_to(step: Step, place: tuple[int, ...], noun: str) -> str:
    """On the way to what: "on the way to `self.down`", "before it is multiplied by …"."""
    kind, title = step.kind, step.title
    other = next((v.noun for p, v in step.given.items() if p != place), "")
    if kind in SQUASH:
        known = noun.startswith("what ") and noun.endswith(" returns")
        return f"on the way to its {kind}" if known else f"on the way to {title}"
    if kind in REDUCTIONS:
        return f"before its {title.removesuffix(f' of {noun}').removeprefix('the ')} is taken"
    if kind == "matrix product" and other:
        return f"where it is multiplied with {other}"
    if kind in PAIRS and other:
        return {
            "product": f"before it is multiplied by {other}",
            "total": f"before {other} is added to it",
            "difference": f"before it meets {other}",
            "quotient": f"before it meets {other}",
        }[kind]
    return {
        "means": "before its means are taken",
        "spreading": "before it is spread",
        "stack": "before it is put together with the rest",
        "gradient": "before its gradient is taken",
    }.get(kind, f"on the way to {title}")


def taken_for(step: Step, place: tuple[int, ...], mine: str, right: str) -> str:
    """That a step is given one thing in place of another."""
    if step.kind in ("layer", "norm", "call"):
        return f"{step.title} is given {mine}; it should be given {right}."
    return f"you take {mine} where {right} belongs, {on_the_way_to(step, place, right)}."


def with_letters(text: str, t: Tensor, sizes: Mapping[str, int]) -> str:
    """A text with the letters of the axes that it speaks of."""

    def letter(axis: int, word: str) -> str:
        if not -t.ndim <= axis < t.ndim:
            return word
        known = {n: size for n, size in sizes.items() if n != "b" or axis % t.ndim == 0}
        found = spell([t.shape[axis]], known)
        return word if found.isdecimal() else found

    one, last = letter(1, "the second axis"), letter(-1, "the last axis")
    first = letter(0, "the first axis")
    row = letter(-2, "1")
    two = f"{row}, {last}" if row != "1" and " " not in last else "the last two axes"
    return text.format(first=first, second=one, last=last, two=two)


def letter_of(value: Value, axis: int, trial: Prepared) -> str:
    """The letter of an axis: an input's own, or the one that has this size; else "axis 1"."""
    t, name = value.tensor, value.noun.strip("`")
    letters = trial.axes.get(name, "").split()
    if len(letters) == t.ndim and t.shape == trial.inputs[name].shape and "(" not in letters:
        if not any(c in "()" for c in trial.axes[name]):
            return letters[axis]
    known = {n: size for n, size in trial.sizes.items() if n != "b" or axis == 0}
    found = spell([t.shape[axis]], known)
    return f"axis {axis}" if found.isdecimal() or " " in found else found


def two_nouns(step: Step) -> dict[str, str]:
    """The names of the two things that meet."""
    return {
        letter: step.given[(place,)].noun
        if (place,) in step.given
        else _number(step.args[place])
        for place, letter in ((0, "a"), (1, "b"))
    }


def _number(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, (int, float)) else NAMELESS
