"""Every alteration of a run: each way to get one of its steps wrong, the likely ones first."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.checker.alterations.missteps import own_ways
from attncourse.checker.alterations.missteps.doing import LEFT_OUT
from attncourse.checker.alterations.missteps.on_the_way import OFTEN, ON_THE_WAY, of_axis
from attncourse.checker.alterations.steps import SQUASH, Step, Value
from attncourse.checker.alterations.watch import Watch
from attncourse.checker.alterations.words import (
    letter_of,
    on_the_way_to,
    taken_for,
    with_letters,
)
from attncourse.checker.running import attempt


@dataclass(frozen=True)
class Alteration:
    """Other ways for some steps, and how that is told. `last` changes what is returned."""

    key: tuple
    text: str
    steps: Mapping[int, Callable]
    last: Callable | None = None
    rank: int = 0
    size: float | None = None  # a factor that is told as the size of an axis


def alterations(watch: Watch, result: Any, layers: Mapping[str, nn.Module]) -> list[Alteration]:
    """Every way to do one step otherwise, the likely ones first."""
    seen, keys = Counter(), {}
    for step in watch.steps:
        seen[step.key] += 1
        keys[step.number] = f"{step.key}#{seen[step.key]}"
    found = [
        *_of_steps(watch, keys, layers),
        *_of_order(watch, keys),
        *_of_the_end(watch, result),
        *_on_the_way(watch, keys),
    ]
    return sorted(found, key=lambda a: a.rank)


def _of_steps(
    watch: Watch, keys: Mapping[int, str], layers: Mapping[str, nn.Module]
) -> Iterator[Alteration]:
    """Steps done in other ways: one of them, all calls of a layer, all of a kind."""
    alike: dict[tuple, list[tuple[int, Callable]]] = {}
    texts = {}
    for step in watch.steps:
        for n, (name, text, change) in enumerate(own_ways(step, layers)):
            key = keys[step.number], "instead", name, n
            yield Alteration(key, text, {step.number: change}, rank=0)
            if step.kind in (*SQUASH, "norm") or name == "bias":
                group = "all", step.kind, name, n
                alike.setdefault(group, []).append((step.number, change))
                texts[group] = _everywhere(step.kind, name)
            if step.kind in ("norm", "layer"):
                group = "all calls", step.layer, name, n
                alike.setdefault(group, []).append((step.number, change))
                texts[group] = text
    for group, changes in alike.items():
        if len(changes) > 1:
            yield Alteration(group, texts[group], dict(changes), rank=1)


def _everywhere(kind: str, name: str) -> str:
    """How it is told that all steps of a kind are done otherwise."""
    if kind == "layer":
        return "the biases of all layers are left out: call the layers themselves."
    if kind == "norm":
        return {
            "left out": "the normalisations are all left out.",
            "statistics": "your normalisations take their statistics from the wrong place: from"
            " the batch in training, the running ones in evaluation. Call the layers.",
            "weight": "the weights of the normalisations are not used: call the layers.",
            "bias": "the biases of the normalisations are not used: call the layers.",
            "bare": "weights and biases of the normalisations are not used: call the layers.",
            "twice": "every normalisation is applied twice; once is enough.",
        }.get(name, f"your normalisations take {name}. They are BatchNorms: call them.")
    if name == "left out":
        return f"every {kind} is left out."
    return f"you have {name} wherever the {kind} belongs."


def _of_order(watch: Watch, keys: Mapping[int, str]) -> Iterator[Alteration]:
    """Two steps in a row that are exchanged."""
    steps = {step.key: step for step in watch.steps}
    single = (*SQUASH, "norm", "layer", "call", "layer norm")
    for step in watch.steps:
        source = step.given[(0,)].source if (0,) in step.given else ""
        before = steps.get(re.sub(r"(~\d+)+$", "", source))
        if before is None or step.kind not in single or before.kind not in single:
            continue
        text = f"{step.title} comes before {before.title}; it comes behind."
        if step.title.endswith(f" behind {before.title}"):
            text = f"the {step.kind} comes before {before.title}; it comes behind."
        changes = {before.number: _behind(step), step.number: LEFT_OUT}
        yield Alteration((keys[step.number], "exchanged"), text, changes, rank=1)


def _behind(step: Step) -> Callable:
    """A step that is given what another makes of its input."""
    return lambda func, args, kwargs: func(_through(step)(args[0]), *args[1:], **kwargs)


def _through(step: Step) -> Callable[[Tensor], Any]:
    """A step as a function of its input alone."""
    return lambda t: step.func(t, *step.args[1:], **step.kwargs)


def _on_the_way(watch: Watch, keys: Mapping[int, str]) -> Iterator[Alteration]:
    """What a step is given, changed on the way to it."""
    # Of places that give the same, what comes out of a mean is told first, else the latest.
    places = [(step, *at) for step in reversed(watch.steps) for at in step.given.items()]
    places.sort(key=lambda at: not at[2].noun.startswith(("the mean", "the maximum")))
    for step, place, value in places:
        key = keys[step.number], place
        changes = [*_turned(watch, step, place, value)]
        if not value.tensor.requires_grad:
            changes += _met_by_others(watch, step, place, value)
            changes += _through_a_layer(watch, keys, step, place, value)
        for name, text, turn, rank, size in changes:
            change = {step.number: _at(place, turn)}
            yield Alteration((*key, *name), text, change, rank=rank, size=size)


# name, text, what becomes of the tensor, rank, size
OnTheWay = Iterator[tuple[tuple, str, Callable[[Tensor], Any], int, float | None]]


def _turned(watch: Watch, step: Step, place: tuple[int, ...], value: Value) -> OnTheWay:
    """Changed by itself."""
    t, noun, way = value.tensor, value.noun, on_the_way_to(step, place, value.noun)
    for n, (text, turn) in enumerate(ON_THE_WAY):
        told = f"{noun} {with_letters(text, t, watch.trial.sizes)} {way}. Take it as it is."
        yield (n,), told, turn, 2 + 2 * (n > OFTEN), _size(text, turn, t)
    if step.kind == "softmax":
        for letter, size in watch.trial.sizes.items():
            told = f"{noun} is divided by the root of {letter} {way}. Take it as it is."
            yield ("root", letter), told, lambda t, n=size: t / n**0.5, 3, size
    for axis in range(t.ndim):
        for name, text, turn in of_axis(t, axis):
            told = f"{noun} {text.format(axis=letter_of(value, axis, watch.trial))}, {way}."
            yield (name, axis), told, turn, 2 if name == "first" else 4, None


def _met_by_others(watch: Watch, step: Step, place: tuple[int, ...], value: Value) -> OnTheWay:
    """Taken for another, or together with it."""
    noun, way = value.noun, on_the_way_to(step, place, value.noun)
    for other in _others(value, watch.order, step):
        v, whence = other.tensor, other.source
        if other.noun != noun:
            told = taken_for(step, place, other.noun, noun)
            yield (whence, "taken"), told, lambda t, v=v: v, 3, None
        told = f"{other.noun} is added to {noun} {way}."
        yield (whence, "added"), told, lambda t, v=v: t + v, 3, None
        told = f"{other.noun} is taken off {noun} {way}."
        yield (whence, "taken off"), told, lambda t, v=v: t - v, 3, None
        told = f"{noun} is multiplied by {other.noun} {way}."
        yield (whence, "multiplied"), told, lambda t, v=v: t * v, 3, None


def _through_a_layer(
    watch: Watch, keys: Mapping[int, str], step: Step, place: tuple[int, ...], value: Value
) -> OnTheWay:
    """Sent through another layer as well."""
    noun, way = value.noun, on_the_way_to(step, place, value.noun)
    for again in watch.steps:
        given = again.args[0] if again.args else None
        if again.kind not in ("layer", "norm", "call") or not isinstance(given, Tensor):
            continue
        if given.shape == value.tensor.shape and (0,) in again.given:
            told = f"{noun} goes through {again.title} as well {way}. Take it as it is."
            yield (keys[again.number], "through"), told, _through(again), 3, None


def _at(place: tuple[int, ...], turn: Callable[[Any], Any]) -> Callable:
    """A step that is given something else at one place."""

    def change(func, args, kwargs):
        args = list(args)
        if len(place) == 1:
            args[place[0]] = turn(args[place[0]])
        else:
            parts = list(args[place[0]])
            parts[place[1]] = turn(parts[place[1]])
            args[place[0]] = parts
        return func(*args, **kwargs)

    return change


def _others(value: Value, known: list[Value], step: Step) -> list[Value]:
    """Earlier values of the same shape, that could be taken for this one: the latest eight."""
    found: dict[str, Value] = {}
    for other in known:
        if other.tensor is value.tensor or other.source == value.source:
            continue
        if other.tensor.shape == value.tensor.shape and other.after <= step.number:
            found[other.noun] = other
    return list(found.values())[-8:]


def _size(text: str, turn: Callable, t: Tensor) -> float | None:
    """The factor, of what is told as divided or multiplied by a size."""
    if "the size of" not in text and "the number of" not in text:
        return None
    one = attempt(lambda: turn(torch.ones_like(t)).flatten()[0].item())
    return one if isinstance(one, float) else None


def _of_the_end(watch: Watch, result: Any) -> Iterator[Alteration]:
    """What may be done to the result at last."""
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return
    for n, (text, turn) in enumerate(ON_THE_WAY):
        what = with_letters(text, result, watch.trial.sizes)
        told = f"the result {what} at the end. Return it as it is."
        rank = 2 + 2 * (n > OFTEN)
        yield Alteration(("end", n), told, {}, turn, rank, _size(text, turn, result))
    if result.requires_grad:
        return
    found: dict[str, Value] = {}
    for value in watch.order:
        if value.tensor.shape == result.shape and value.tensor is not result:
            found[value.noun] = value
    for noun, value in found.items():
        for n, (text, turn) in enumerate(_with(noun, value.tensor)):
            yield Alteration(("end", value.source, n), text, {}, turn, 3)


def _with(noun: str, v: Tensor) -> tuple[tuple[str, Callable[[Tensor], Tensor]], ...]:
    """What may be done at the end with a value that has the shape of the result."""
    return (
        (f"{noun} is returned; there are steps still to come.", lambda t: v),
        (f"{noun} is added to the result at the end.", lambda t: t + v),
        (f"{noun} is subtracted from the result at the end.", lambda t: t - v),
        (f"the result is subtracted from {noun} at the end.", lambda t: v - t),
        (f"the result is multiplied by {noun} at the end.", lambda t: t * v),
    )
