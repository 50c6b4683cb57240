"""One step done otherwise: the solution is run once more for each way to get one of its steps
wrong, and an answer that gives the same numbers is told which step it is.

Steps are the calls of torch while a probe runs: layers, activations, means, sums, products, and
the functions among the inputs. What a step is given may be changed on the way (rectified,
squared, averaged over the batch, taken from another place), or the step itself (a tanh for a
sigmoid, a maximum for a mean, a layer without its bias, another border). Nothing is said unless
all numbers agree, on every trial in which the step occurs.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from inspect import isfunction
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attncourse.checker.missteps import (
    BORDERS,
    INSTEAD,
    MEANS,
    OFTEN,
    ON_THE_WAY,
    REDUCED,
    RIGHT,
    SPREADS,
    TWO,
    axes_of,
    bordered,
    by_name,
    called_with,
    dilated,
    inner,
    middle,
    norm,
    normed,
    other_statistics,
    own_statistics,
    reduce_by,
    turned,
    twice,
)
from attncourse.checker.running import attempt, calm
from attncourse.checker.sheet import Prepared, arguments, build, digest, probe_of, same, sheet
from attncourse.exercises.letters import number, spell
from attncourse.exercises.record import Exercise

CALLS = 8_000  # of torch, that all alterations of one trial may take together

KINDS = {
    **dict.fromkeys(("relu", "relu_", "clamp_min"), "ReLU"),
    **dict.fromkeys(("sigmoid", "sigmoid_"), "sigmoid"),
    **dict.fromkeys(("tanh", "tanh_"), "tanh"),
    "softmax": "softmax",
    "gelu": "GELU",
    **dict.fromkeys(("mean", "nanmean"), "mean"),
    "sum": "sum",
    **dict.fromkeys(("amax", "max"), "maximum"),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "multiply"), "product"),
    **dict.fromkeys(("add", "__add__", "__radd__"), "total"),
    **dict.fromkeys(("sub", "__sub__", "subtract"), "difference"),
    **dict.fromkeys(("div", "__truediv__", "divide"), "quotient"),
    **dict.fromkeys(("linear", "conv1d", "conv2d"), "layer"),
    "batch_norm": "norm",
    "layer_norm": "layer norm",
    "interpolate": "spreading",
    "avg_pool2d": "means",
    **dict.fromkeys(("matmul", "__matmul__", "bmm", "einsum"), "matrix product"),
    "grad": "gradient",
    **dict.fromkeys(("stack", "cat"), "stack"),
}
TRANSPARENT = {
    *("reshape", "view", "permute", "transpose", "unsqueeze", "squeeze", "expand", "repeat"),
    *("flatten", "unflatten", "contiguous", "__getitem__", "expand_as", "clone", "movedim"),
    *("requires_grad_", "detach", "t", "split", "chunk", "unbind", "narrow", "select"),
    *("add", "__add__", "__radd__"),  # of the 0 that `sum` begins with
}
SQUASH = ("ReLU", "sigmoid", "tanh", "GELU", "softmax")


@dataclass(frozen=True)
class Value:
    """A tensor on its way: how it is spoken of, and where it came from, in one string."""

    noun: str
    source: str
    tensor: Tensor
    after: int = 0  # so many steps


@dataclass(frozen=True)
class Step:
    """One call while the solution runs. `given` holds the values of its tensor arguments by
    their place."""

    number: int
    kind: str
    title: str
    key: str
    func: Callable
    args: tuple
    kwargs: Mapping[str, Any]
    given: Mapping[tuple[int, ...], Value]
    layer: str = ""


@dataclass(frozen=True)
class Alteration:
    """Other ways for some steps, and how that is told. `last` changes what is returned."""

    key: tuple
    text: str
    steps: Mapping[int, Callable]
    last: Callable | None = None
    rank: int = 0
    size: float | None = None  # a factor that is told as the size of an axis


NAMELESS = "something"  # what has neither been given nor come out of a step that is followed


class _Watch(TorchFunctionMode):
    """Follows a probe of the solution and writes down its steps."""

    def __init__(self, names: Mapping[int, str], trial: Prepared):
        super().__init__()
        self.names, self.trial = names, trial
        self.values: dict[int, Value] = {}
        self.order: list[Value] = []
        self.steps: list[Step] = []
        self.outs: list[Any] = []
        self.calls, self.quiet = 0, 0
        self.begun: list[int] = []  # how many calls there were before each step
        self.kept: list[Any] = []  # so that no id is given twice

    def name(self, tensor: Tensor, noun: str, source: str) -> None:
        self.kept.append(tensor)
        self.values[id(tensor)] = Value(noun, source, tensor, len(self.outs))
        self.order.append(self.values[id(tensor)])

    def value(self, tensor: Tensor) -> Value:
        if id(tensor) in self.values:
            return self.values[id(tensor)]
        name = self.names.get(id(tensor))
        return Value(f"`self.{name}`" if name else NAMELESS, name or "?", tensor)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return func(*args, **kwargs)
        self.calls += 1
        if self.quiet:
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        if kind := _kind(name, args):
            self.enter(kind, func, args, kwargs, out)
        elif name in TRANSPARENT:
            self.pass_on(args, out)
        return out

    def pass_on(self, args: tuple, out: Any) -> None:
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            return
        from_ = self.value(tensors[0])
        for one in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(one, Tensor) and one is not tensors[0]:
                shape = "x".join(map(str, (one.ndim,)))
                self.name(one, from_.noun, f"{from_.source}~{shape}")

    def enter(self, kind: str, func: Callable, args: tuple, kwargs: Mapping, out: Any) -> None:
        given = {}
        for place, tensor in _tensors(args):
            own = kind in ("layer", "norm", "layer norm") and place != (0,)
            if tensor.is_floating_point() and not own:
                given[place] = self.value(tensor)
        layer = self.layer_of(args, kwargs) if kind in ("layer", "norm", "layer norm") else ""
        title, noun = self.speak(kind, args, kwargs, given, layer)
        sources = ",".join(v.source for v in given.values())
        key = f"{kind}:{layer}({sources})"
        self.steps.append(
            Step(len(self.outs), kind, title, key, func, args, kwargs, given, layer)
        )
        self.outs.append(out)
        self.begun.append(self.calls - 1)
        for one in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(one, Tensor) and one.is_floating_point():
                self.name(one, noun, key)

    def layer_of(self, args: tuple, kwargs: Mapping) -> str:
        tensors = [t for _, t in _tensors((*args, *kwargs.values()))]
        found = (self.names.get(id(t), "") for t in tensors)
        return next((n.rpartition(".")[0] for n in found if n), "")

    def speak(self, kind, args, kwargs, given, layer) -> tuple[str, str]:
        """How a step and its result are spoken of."""
        nouns = [v.noun for v in given.values()]
        first = nouns[0] if nouns else NAMELESS
        if kind in ("layer", "norm", "layer norm"):
            title = f"`self.{layer}`" if layer else f"the {kind}"
            return title, f"what {title} returns"
        if kind in SQUASH:
            behind = first.removeprefix("what ").removesuffix(" returns")
            short = first.startswith("what `") and first.endswith(" returns")
            title = f"the {kind} behind {behind}" if short else f"the {kind}"
            return title, f"what {title} returns"
        if kind in ("mean", "sum", "maximum"):
            axes = axes_of(args, kwargs)
            shape = args[0].shape
            known = {n: k for n, k in self.trial.sizes.items() if n != "b" or 0 in axes}
            letters = [spell([shape[a]], known) for a in axes]
            over = (
                f" over {', '.join(letters)}" if not any(x.isdecimal() for x in letters) else ""
            )
            noun = f"the {kind}{over}" + (f" of {first}" if first != "what goes in" else "")
            return noun, noun
        if kind == "call":
            return first, f"what {first} returns"
        if kind in ("product", "total", "matrix product") and len(nouns) == 2:
            word = "sum" if kind == "total" else kind
            noun = f"the {word} of {nouns[0]} and {nouns[1]}"
            noun = noun if len(noun) < 90 and noun.count("the ") < 4 else f"the {word}"
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

    def call(self, name: str, function: Callable) -> Callable:
        """A function among the inputs, each call of which is one step."""

        def called(*args, **kwargs):
            if self.quiet:
                return function(*args, **kwargs)
            begun = self.calls
            self.quiet += 1
            try:
                out = function(*args, **kwargs)
            finally:
                self.quiet -= 1
            given = {p: self.value(t) for p, t in _tensors(args)}
            sources = ",".join(v.source for v in given.values())
            key = f"call:{name}({sources})"
            step = Step(
                len(self.outs), "call", f"`{name}`", key, function, args, kwargs, given, name
            )
            self.steps.append(step)
            self.outs.append(out)
            self.begun.append(begun)
            if isinstance(out, Tensor):
                self.name(out, f"what `{name}` returns", key)
            return out

        return called


class _Otherwise(TorchFunctionMode):
    """Runs a probe of the solution with some steps changed; what comes before is taken over."""

    def __init__(self, steps: Mapping[int, Callable], outs: list[Any] | None):
        super().__init__()
        self.changes, self.outs = steps, outs
        self.first = min(steps, default=len(outs or ()))
        self.at, self.quiet = 0, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.quiet or name == "__get__" or not _kind(name, args):
            return func(*args, **kwargs)
        return self.step(func, args, kwargs)

    def step(self, func: Callable, args: tuple, kwargs: Mapping) -> Any:
        """One step, as it is, as it was, or changed."""
        at, self.at = self.at, self.at + 1
        if at < self.first and self.outs is not None:
            return self.outs[at]
        change = self.changes.get(at)
        return change(func, args, kwargs) if change else func(*args, **kwargs)

    def call(self, name: str, function: Callable) -> Callable:
        def called(*args, **kwargs):
            if self.quiet:
                return function(*args, **kwargs)

            def quietly(*args, **kwargs):
                self.quiet += 1
                try:
                    with torch._C.DisableTorchFunction():  # the mode is slow, and not needed
                        return function(*args, **kwargs)
                finally:
                    self.quiet -= 1

            return self.step(quietly, args, kwargs)

        return called


def _kind(name: str, args: tuple) -> str | None:
    """What kind of step a call is; None where it is not looked at."""
    kind = KINDS.get(name)
    if name in ("stack", "cat"):
        return kind if args and isinstance(args[0], (tuple, list)) else None
    if kind in ("product", "total"):
        first = args[:2]
        if any(isinstance(a, Tensor) and not a.is_floating_point() for a in first):
            return None
        if kind == "total" and any(isinstance(a, (int, float)) and a == 0 for a in first):
            return None  # the beginning of `sum`
    if name == "max" and len(args) < 2:
        return None
    return kind


def _tensors(args: tuple) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Every tensor among arguments and among lists of them, with its place."""
    for i, a in enumerate(args):
        if isinstance(a, Tensor):
            yield (i,), a
        elif isinstance(a, (list, tuple)):
            yield from (((i, j), t) for j, t in enumerate(a) if isinstance(t, Tensor))


# ---------------------------------------------------------------- every alteration of a run


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


def _on(f: Callable) -> Callable:
    """A step of one tensor done by another function."""
    return lambda func, args, kwargs: f(args[0])


def _pair(f: Callable) -> Callable:
    return lambda func, args, kwargs: f(args[0], args[1])


def _own_ways(
    step: Step, others: Mapping[str, nn.Module]
) -> Iterator[tuple[str, str, Callable]]:
    """Name, message and other way, for each other way to do a step."""
    kind, title = step.kind, step.title
    if kind in SQUASH:
        yield "left out", f"{title} is left out.", _on(lambda t: t)
        for name, f in INSTEAD[kind]:
            where = title.removeprefix(f"the {kind} ")
            where = (
                f"{where} you have" if where != title and " behind " in title else "you have"
            )
            yield name, f"{where} {name} where the {kind} belongs.", _on(f)
    elif kind in ("mean", "maximum", "sum"):
        noun = title.removeprefix(f"the {kind}")
        for name, reduce in REDUCED:
            if name != kind:
                text = f"you take the {name}{noun}. It is the {kind}."
                yield name, text, reduce_by(reduce)
    elif kind in TWO:
        nouns = _nouns(step)
        for text, f in TWO[kind]:
            if "{b}" not in text and "{a}" not in text:
                continue
            why = RIGHT[kind].format(**nouns)
            done = text.format(**nouns)
            why = "once is enough" if done.endswith(" twice") else why
            yield text, f"{done}; {why}." if "left out" not in done else f"{done}.", _pair(f)
    elif kind == "layer":
        yield from _of_layer(step, others)
    elif kind == "norm":
        yield "left out", f"{title} is left out.", _on(lambda t: t)
        yield (
            "weight",
            f"{title} is used without its weight: call the layer.",
            normed(weight=None),
        )
        yield "bias", f"{title} is used without its bias: call the layer.", normed(bias=None)
        yield (
            "bare",
            f"{title} is used without its weight and bias: call the layer.",
            normed(weight=None, bias=None),
        )
        training = norm(None, step.args, step.kwargs)["training"]
        used, wanted = (
            ("the running statistics", "those of the batch, for it is training")
            if training
            else ("the statistics of the batch", "the running ones, for it is evaluation")
        )
        yield (
            "statistics",
            f"{title} uses {used}; here it is {wanted}.",
            other_statistics,
        )
        for name, axes in (
            (
                "each image and channel alone (an instance norm)",
                lambda t: tuple(range(2, t.ndim)),
            ),
            ("each image alone (a layer norm)", inner),
            ("the channels alone", lambda t: (1,)),
        ):
            text = f"where {title} stands you normalise {name}. It is a BatchNorm: call it."
            yield name, text, own_statistics(axes)
        yield "twice", f"{title} is applied twice in a row; it is applied once.", twice
    elif kind == "layer norm":
        yield "left out", f"{title} is left out.", _on(lambda t: t)
    elif kind == "spreading":
        for name, change in SPREADS:
            yield name, f"you spread by mode {name}; it is nearest.", change
    elif kind == "means":
        for text, change in MEANS:
            yield text, f"{text}.", change
    elif kind == "call":
        yield "left out", f"{title} is left out.", _on(lambda t: t)
        yield "twice", f"{title} is applied twice in a row; it is applied once.", twice


def _of_layer(
    step: Step, others: Mapping[str, nn.Module]
) -> Iterator[tuple[str, str, Callable]]:
    title, call = step.title, "call the layer itself"
    weight = step.args[1] if len(step.args) > 1 else step.kwargs.get("weight")
    bound = by_name(None, step.args, step.kwargs)
    if bound["bias"] is not None:
        yield (
            "bias",
            f"{title} is used without its bias: {call}.",
            called_with(bias=lambda b: None),
        )
    yield "left out", f"{title} is left out.", _on(lambda t: t)
    yield "twice", f"{title} is applied twice in a row; it is applied once.", twice
    if weight.ndim > 2:
        spatial = tuple(range(2, weight.ndim))
        if max(weight.shape[2:]) > 1:
            yield (
                "turned",
                f"the kernel of {title} is turned round, as in a mathematician's convolution:"
                f" {call}.",
                turned(spatial),
            )
            if weight.ndim == 4 and weight.shape[2] == weight.shape[3]:
                yield (
                    "transposed",
                    f"rows and columns of the kernel of {title} are exchanged.",
                    called_with(weight=lambda b: b["weight"].mT),
                )
            for mode, what in BORDERS:
                text = (
                    f"beyond the border of what {title} sees {what}. There are zeros: {call}."
                )
                yield mode, text, bordered(mode)
            for factor, word in ((2, "twice"), (0, "without")):
                text = (
                    f"{title} is used with twice its dilation: {call}."
                    if factor
                    else f"{title} is used without its dilation: {call}."
                )
                yield word, text, dilated(factor)
            yield (
                "middle",
                f"of the kernel of {title} only the middle is used: {call}.",
                called_with(weight=lambda b: middle(b["weight"])),
            )
            yield (
                "even",
                f"where {title} stands you take plain means of its window: {call}.",
                called_with(
                    weight=lambda b: torch.full_like(b["weight"], 1 / b["weight"][0].numel())
                ),
            )
    yield (
        "magnitudes",
        f"{title} is used with the magnitudes of its weights.",
        called_with(weight=lambda b: b["weight"].abs()),
    )
    yield (
        "shares",
        f"the weights of {title} go through a softmax first: {call}.",
        called_with(weight=lambda b: b["weight"].softmax(-1)),
    )
    own = others.get(step.layer)
    for name, other in others.items():
        if own is None or name == step.layer or type(other) is not type(own):
            continue
        if getattr(other, "weight", torch.empty(0)).shape == weight.shape:
            yield (
                name,
                f"you use `self.{name}` where {title} belongs.",
                called_with(weight=lambda b, o=other: o.weight, bias=lambda b, o=other: o.bias),
            )


def _before(step: Step, place: tuple[int, ...], noun: str) -> str:
    """On the way to what: "on the way to `self.down`", "before it is multiplied by …"."""
    kind, title = step.kind, step.title
    other = next((v.noun for p, v in step.given.items() if p != place), "")
    if kind in SQUASH:
        known = noun.startswith("what ") and noun.endswith(" returns")
        return f"on the way to its {kind}" if known else f"on the way to {title}"
    if kind in ("mean", "sum", "maximum"):
        return f"before its {title.removesuffix(f' of {noun}').removeprefix('the ')} is taken"
    if kind in TWO and other:
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


def _taken(step: Step, place: tuple[int, ...], mine: str, right: str) -> str:
    """That a step is given one thing in place of another."""
    if step.kind in ("layer", "norm", "call"):
        return f"{step.title} is given {mine}; it should be given {right}."
    return f"you take {mine} where {right} belongs, {_before(step, place, right)}."


def _letters(text: str, t: Tensor, sizes: Mapping[str, int]) -> str:
    """A text with the letters of the axes that it speaks of."""

    def letter(axis: int, word: str) -> str:
        if not -t.ndim <= axis < t.ndim:
            return word
        known = {n: size for n, size in sizes.items() if n != "b" or axis % t.ndim == 0}
        found = spell([t.shape[axis]], known)
        return word if found.isdecimal() else found

    one, last = letter(1, "the second axis"), letter(-1, "the last axis")
    row = letter(-2, "1")
    two = f"{row}, {last}" if row != "1" and " " not in last else "the last two axes"
    return text.format(second=one, last=last, two=two)


def _nouns(step: Step) -> dict[str, str]:
    """The names of the two things that meet."""
    return {
        letter: step.given[(place,)].noun
        if (place,) in step.given
        else _number(step.args[place])
        for place, letter in ((0, "a"), (1, "b"))
    }


def _number(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, (int, float)) else NAMELESS


def alterations(
    watch: _Watch, result: Any, layers: Mapping[str, nn.Module]
) -> list[Alteration]:
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
    watch: _Watch, keys: Mapping[int, str], layers: Mapping[str, nn.Module]
) -> Iterator[Alteration]:
    """Steps done in other ways: one of them, all calls of a layer, all of a kind."""
    alike: dict[tuple, list[tuple[int, Callable]]] = {}
    texts = {}
    for step in watch.steps:
        for n, (name, text, change) in enumerate(_own_ways(step, layers)):
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


def _of_order(watch: _Watch, keys: Mapping[int, str]) -> Iterator[Alteration]:
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
        changes = {before.number: _behind(step), step.number: _on(lambda t: t)}
        yield Alteration((keys[step.number], "exchanged"), text, changes, rank=1)


def _behind(step: Step) -> Callable:
    """A step that is given what another makes of its input."""
    return lambda func, args, kwargs: func(_through(step)(args[0]), *args[1:], **kwargs)


def _on_the_way(watch: _Watch, keys: Mapping[int, str]) -> Iterator[Alteration]:
    """What a step is given, changed on the way to it."""
    # Of places that give the same, what comes out of a mean is told first, else the latest.
    places = [(step, *at) for step in reversed(watch.steps) for at in step.given.items()]
    places.sort(key=lambda at: not at[2].noun.startswith(("the mean", "the maximum")))
    for step, place, value in places:
        t, noun, key = value.tensor, value.noun, (keys[step.number], place)
        way = _before(step, place, noun)

        def altered(name, text, turn, rank, size=None, step=step, place=place, key=key):
            change = {step.number: _at(place, turn)}
            return Alteration((*key, *name), text, change, rank=rank, size=size)

        for n, (text, turn) in enumerate(ON_THE_WAY):
            told = f"{noun} {_letters(text, t, watch.trial.sizes)} {way}. Take it as it is."
            yield altered((n,), told, turn, 2 + 2 * (n > OFTEN), _size(text, turn, t))
        if t.requires_grad:
            continue
        for other in _others(value, watch.order, step):
            v, whence = other.tensor, other.source
            if other.noun != noun:
                told = _taken(step, place, other.noun, noun)
                yield altered((whence, "taken"), told, lambda t, v=v: v, 3)
            told = f"{other.noun} is added to {noun} {way}."
            yield altered((whence, "added"), told, lambda t, v=v: t + v, 3)
            told = f"{other.noun} is taken off {noun} {way}."
            yield altered((whence, "taken off"), told, lambda t, v=v: t - v, 3)
            told = f"{noun} is multiplied by {other.noun} {way}."
            yield altered((whence, "multiplied"), told, lambda t, v=v: t * v, 3)
        for again in watch.steps:
            given = again.args[0] if again.args else None
            if again.kind not in ("layer", "norm", "call") or not isinstance(given, Tensor):
                continue
            if given.shape == t.shape and (0,) in again.given:
                told = f"{noun} goes through {again.title} as well {way}. Take it as it is."
                yield altered((keys[again.number], "through"), told, _through(again), 3)


def _through(step: Step) -> Callable:
    return lambda t: step.func(t, *step.args[1:], **step.kwargs)


def _everywhere(kind: str, name: str) -> str:
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


def _of_the_end(watch: _Watch, result: Any) -> Iterator[Alteration]:
    """What may be done to the result at last."""
    if not isinstance(result, Tensor) or not result.is_floating_point():
        return
    for n, (text, turn) in enumerate(ON_THE_WAY):
        what = _letters(text, result, watch.trial.sizes)
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
        v = value.tensor
        for n, (text, turn) in enumerate(
            (
                (f"{noun} is returned; there are steps still to come.", lambda t, v=v: v),
                (f"{noun} is added to the result at the end.", lambda t, v=v: t + v),
                (f"{noun} is subtracted from the result at the end.", lambda t, v=v: t - v),
                (f"the result is subtracted from {noun} at the end.", lambda t, v=v: v - t),
                (f"the result is multiplied by {noun} at the end.", lambda t, v=v: t * v),
            )
        ):
            yield Alteration(("end", value.source, n), text, {}, turn, 3)


# ---------------------------------------------------------------- a run, and a run altered


class Runs:
    """A probe of the solution on one trial, watched once and run otherwise.

    `right` are the methods that are known to be right: each of their calls counts as one step.
    """

    def __init__(self, ex: Exercise, trial: Prepared, probe: str, right: tuple[str, ...]):
        self.ex, self.trial, self.probe, self.right = ex, trial, probe, right
        self.graph = "gradients" in ex.skip
        self.built, _, _ = build(ex, ex.solution, trial)
        self.layers = {}
        names = {}
        if isinstance(self.built, nn.Module):
            self.parts = dict(_parts(self.built))
            self.layers = {n: m for n, m in self.built.named_modules() if n}
            names = {id(t): n for n, t in self.built.named_parameters()}
            names |= {id(t): n for n, t in self.built.named_buffers()}
            self.moving = [(t, t.clone()) for t in self.built.buffers()]
        else:
            self.moving, self.parts = [], {}
        self.watch = _Watch(names, trial)
        self.result = self.run(self.watch)
        self.outs = self.watch.outs
        self.slopes = max(
            (n.number for n in self.watch.steps if n.kind == "gradient"), default=-1
        )
        every = (
            alterations(self.watch, self.result, self.layers)
            if isinstance(self.result, Tensor)
            else []
        )
        self.every = {one.key: one for one in reversed(every)}
        # of two that cannot be told apart on another trial, the first
        self.likely = [one for one in every if self.every[one.key] is one]
        self.outcomes: dict[tuple, Any] = {}

    def tried(self, given: Mapping[str, list[Tensor]]) -> Iterator[Alteration]:
        """The alterations that can explain an answer whose layers are given this, the likely
        ones first, until they take too long."""
        layers = [n for n in self.watch.steps if n.kind in ("layer", "norm")]
        layers = [n for n in layers if n.layer in given and isinstance(n.args[0], Tensor)]
        right, before = {}, Counter()
        for n in layers:
            t = n.args[0].detach()
            same_ = sum(_alike(other, t) for other in given[n.layer])
            value = n.layer, *digest(t)
            before[value] += 1
            right[n.number] = same_ >= before[value]
        settled = [n.key for n in layers if right[n.number]]
        departs = next((n.key for n in layers if not right[n.number]), None)
        possible = {
            n.number
            for n in self.watch.steps
            if not any(n.key in key and n.key != key for key in settled)
            and (departs is None or n.key in departs)
        }
        spent = 0.0
        for one in self.likely:
            if min(one.steps) in possible if one.steps else departs is None:
                spent += self.cost(one)
                if spent > CALLS:
                    return
                yield one

    def cost(self, one: Alteration) -> float:
        """About how many calls an alteration takes."""
        if not one.steps:
            return 1
        first = min(one.steps)
        if first <= self.slopes:
            return 6 + 1.5 * self.watch.calls  # all of it, and with a graph
        return 6 + self.watch.calls - self.watch.begun[first]

    def run(self, mode: Any) -> Any:
        for statistics, begun in self.moving:
            statistics.copy_(begun)
        inputs = self.trial.fresh()
        for name, value in inputs.items():
            if isinstance(value, Tensor):
                if isinstance(mode, _Watch):
                    mode.name(value, f"`{name}`", name)
            elif callable(value):
                inputs[name] = mode.call(name, value)

        for name in self.right:
            usual = getattr(type(self.built), name).__get__(self.built)
            self.built.__dict__[name] = mode.call(f"self.{name}", usual)
        for name, part in self.parts.items():
            for method in _methods(type(part)):
                usual = getattr(type(part), method).__get__(part)
                part.__dict__[method] = mode.call(f"self.{name}", usual)

        def go():
            with torch.set_grad_enabled(self.graph), mode:
                return probe_of(self.ex, self.built, self.probe)(
                    *arguments(self.ex, self.probe, inputs)
                )

        return attempt(go)

    def otherwise(self, one: Alteration) -> Any:
        """What comes out with an alteration, made once."""
        if one.key not in self.outcomes:
            early = min(one.steps, default=0) <= self.slopes  # nothing of another graph
            again = _Otherwise(one.steps, None if early else self.outs)
            y = self.run(again) if one.steps else self.result
            if one.last:
                y = attempt(partial(one.last, y))
            self.outcomes[one.key] = y.detach() if isinstance(y, Tensor) else None
        return self.outcomes[one.key]


def _parts(layer: nn.Module, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of the course inside a module, each of which counts as one step."""
    for name, part in layer.named_children():
        if type(part).__module__.startswith("torch."):
            yield from _parts(part, f"{before}{name}.")
        else:
            yield f"{before}{name}", part


def _methods(kind: type) -> list[str]:
    """What may be called of such a module."""
    own = {
        n: f for k in kind.__mro__ if k.__module__[:6] != "torch." for n, f in vars(k).items()
    }
    return [n for n, f in own.items() if isfunction(f) and n[0] != "_"]


@cache
def runs(ex: Exercise, index: int, probe: str, right: tuple[str, ...] = ()) -> Runs:
    """The solution's run of a probe on a declared trial, watched once."""
    with calm():
        return Runs(ex, sheet(ex).trials[index], probe, right)


def altered(
    ex: Exercise,
    index: int,
    probe: str,
    answers: Sequence[Any],
    right: tuple[str, ...] = (),
    given: Mapping[str, list[Tensor]] | None = None,
) -> str | None:
    """The one step that an answer does otherwise, in one line, or nothing.

    `answers` is what it makes of each declared trial; the first that departs is at `index`.
    `right` are the methods that are known to be right; `given` is what the answer's layers are
    given there, in every call of each, as far as it calls them.
    Where the step occurs in another trial, the answer must depart there in the same way. Only a
    trial with other settings, such as an order of steps, may be right.
    """
    y = answers[index]
    if not isinstance(y, Tensor) or not y.is_floating_point() or y.numel() < 2:
        return None
    if not y.isfinite().all():
        return None
    here = runs(ex, index, probe, right)
    if said := _factor(ex, probe, answers):
        return said
    for one in here.tried(given or {}):
        if _alike(here.otherwise(one), y) and _alike_elsewhere(
            ex, index, probe, one, answers, right
        ):
            if one.text.count(NAMELESS) > 1:
                return None  # of two things without a name nothing can be told
            return one.text[:1].upper() + one.text[1:]
    return None


def _factor(ex: Exercise, probe: str, answers: Sequence[Any]) -> str | None:
    """A factor that is made of sizes and holds on every trial: "h w", "w / h", "h w / 49"."""
    known, factors, sizes = sheet(ex), [], []
    for index, y in enumerate(answers):
        right = known.expected(index, probe)
        if not isinstance(right, Tensor) or not isinstance(y, Tensor) or y.shape != right.shape:
            return None
        if not right.numel() or not right.is_floating_point():
            return None
        at = right.abs().flatten().argmax()
        factor = (y.flatten()[at] / right.flatten()[at]).item()
        if not 0 < factor < 1e9 or not _alike(factor * right, y):
            return None
        factors.append(factor)
        sizes.append({n: k for n, k in known.trials[index].sizes.items() if k > 0})
    letters = [n for n in sizes[0] if all(n in one for one in sizes)]
    if len(factors) < 2:
        return None
    if max(factors) / min(factors) < 1 + 1e-6:
        return None  # made of no sizes
    for powers in sorted(_powers(len(letters)), key=lambda p: sum(map(abs, p))):
        made = [
            prod(one[n] ** p for n, p in zip(letters, powers, strict=True)) for one in sizes
        ]
        rest = [f / m for f, m in zip(factors, made, strict=True)]
        if max(rest) / min(rest) > 1 + 1e-6:
            continue
        over, under = (
            " ".join(
                f"√{n}" if abs(p) == 0.5 else n if abs(p) == 1 else f"{n}²"
                for n, p in zip(letters, powers, strict=True)
                if p * sign > 0
            )
            for sign in (1, -1)
        )
        if abs(rest[0] - 1) < 1e-6:
            what = f"{over or 1} / {under}" if under else over
            return (
                f"Your result is everywhere {what} = {number(factors[0])} times what it should"
                " be."
            )
        if not under and abs(1 / rest[0] - round(1 / rest[0])) < 1e-6:
            fixed = round(1 / rest[0])
            return (
                f"Your result is everywhere {over} / {fixed} times what it should be: is"
                f" {fixed} written down where the size of the input belongs?"
            )
    return None


def everywhere(ex: Exercise, probe: str, answers: Sequence[Any]) -> str | None:
    """What is done to the right result, the same everywhere on every trial: a factor, a number
    that is added, or a multiple of an input."""
    known = sheet(ex)
    pairs = [(y, known.expected(index, probe)) for index, y in enumerate(answers)]
    if len(pairs) < 2 or not all(_comparable(y, right) for y, right in pairs):
        return None
    if not all(y.isfinite().all() for y, _ in pairs):
        return None
    top = max((abs(x), n) for n, x in enumerate(pairs[0][1].flatten().tolist()))[1]
    factor = (pairs[0][0].flatten()[top] / pairs[0][1].flatten()[top]).item()
    if abs(factor) > 1e-6 and all(_alike(factor * right, y) for y, right in pairs):
        return f"Your result is everywhere {number(factor)} times what it should be."
    off = [y - right for y, right in pairs]
    constant = off[0].mean()
    if constant.abs() > 1e-6 and all(_alike(d, constant.expand_as(d)) for d in off):
        much = number(constant.abs().item())
        return (
            f"Your result is everywhere {much} too {'large' if constant > 0 else 'small'}: is"
            f" something {'added' if constant > 0 else 'subtracted'}?"
        )
    for name in known.trials[0].axes:
        inputs = [known.trials[index].inputs[name] for index in range(len(answers))]
        if not all(_comparable(x, d) for x, d in zip(inputs, off, strict=True)):
            continue
        times = (off[0] * inputs[0]).sum() / inputs[0].square().sum()
        if times.abs() > 1e-6 and all(
            _alike(d, times * x) for x, d in zip(inputs, off, strict=True)
        ):
            if abs(times + 1) < 1e-6:
                return f"Your result is what it should be less `{name}`: is it not added?"
            many = "" if abs(times - 1) < 1e-6 else f"{number(times.item())} times "
            return f"Your result is what it should be and {many}`{name}`, which is not added."
    return None


def _comparable(y: Any, right: Any) -> bool:
    return (
        isinstance(y, Tensor)
        and isinstance(right, Tensor)
        and y.shape == right.shape
        and y.dtype == right.dtype
        and y.is_floating_point()
        and y.numel() > 1
        and bool(y.isfinite().all())
    )


def _powers(n: int) -> Iterator[tuple[float, ...]]:
    """Powers of up to two of n letters."""
    some = (-2, -1, -0.5, 0.5, 1, 2)
    for i in range(n):
        for p in some:
            yield tuple(p if k == i else 0 for k in range(n))
            for j in range(i):
                for q in some:
                    yield tuple(p if k == i else q if k == j else 0 for k in range(n))


def _alike(made: Any, y: Any) -> bool:
    return isinstance(made, Tensor) and made.shape == y.shape and same(made, y)


def _alike_elsewhere(
    ex: Exercise,
    index: int,
    probe: str,
    one: Alteration,
    answers: Sequence[Any],
    known_right: tuple[str, ...],
) -> bool:
    known, sizes = sheet(ex), {one.size}
    for other, y in enumerate(answers):
        if other == index or not isinstance(y, Tensor):
            continue
        there = runs(ex, other, probe, known_right)
        likewise = there.every.get(one.key)
        if likewise is None:
            continue
        if _alike(there.otherwise(likewise), y):
            sizes.add(likewise.size)
            continue
        right = same(y, known.expected(other, probe))
        if not right or _settings(known.trials[other]) == _settings(known.trials[index]):
            return False
    return one.size is None or len(sizes) > 1  # a number may be an axis' size by chance


def given_to_layers(ex: Exercise, answer: Any, trial: Prepared, probe: str) -> dict:
    """What each layer of torch inside an answer is given while a probe runs."""
    built, fault, _ = build(ex, answer, trial)
    found: dict[str, list[Tensor]] = {}
    if fault is not None or not isinstance(built, nn.Module):
        return found
    handles = []
    for name, layer in built.named_modules():
        if name and not any(True for _ in layer.children()):

            def note(_, given, name=name):
                if given and isinstance(given[0], Tensor):
                    found.setdefault(name, []).append(given[0].detach().clone())

            handles.append(layer.register_forward_pre_hook(note))
    with torch.no_grad():
        attempt(lambda: probe_of(ex, built, probe)(*arguments(ex, probe, trial.fresh())))
    return found


def _is_word(x: Any) -> bool:
    """A word, a switch, nothing, or several of them."""
    if isinstance(x, (tuple, list)):
        return all(_is_word(part) for part in x)
    return x is None or isinstance(x, (str, bool))


def _settings(trial: Prepared) -> tuple:
    """What is chosen of a trial, apart from its sizes: words, switches, the mode."""
    chosen = {**trial.init, **trial.inputs}
    words = {n: v for n, v in chosen.items() if _is_word(v)}
    return trial.evaluate, *sorted((n, repr(v)) for n, v in words.items())
