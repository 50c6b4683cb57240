"""What every layer has beside its mathematics: checked arguments, `device=`, `dtype=`, a reset.

    equip(SqueezeExcite, ECA)                  at the end of a file, once its classes are there
    SqueezeExcite(64, reduction=0)             ValueError: … reduction must be a whole number …
    SqueezeExcite(64, device="meta", dtype=torch.bfloat16)
    layer.reset_parameters()                   as if it had been made anew

An argument's name means the same throughout the library, so its rule and its meaning stand in
one table, ARGUMENTS; a class adds what holds for itself alone. `help` of a layer lists the
arguments that its own docstring leaves out. The constructors stay as the papers have them.

Differs  `device` and `dtype` are keywords alone. Weights are made in torch's default type and
         then become those of `dtype`: a seed gives the same layer in every type, rounded
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from inspect import BoundArguments, Parameter, Signature, getdoc, signature
from operator import index
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn

NONE = -(2**62)


class Rule(NamedTuple):
    """What an argument may be, said so that it ends "must be …", and the question itself."""

    says: str
    holds: Callable[[Any], bool]


Rules: TypeAlias = dict[str, Rule | None]


def whole(least: int) -> Rule:
    """A whole number from `least` on."""
    return Rule(f"a whole number, at least {least}", lambda value: _index(value) >= least)


def _index(value: Any) -> int:
    """The whole number that a value is; less than any where it is none, as True and False."""
    if isinstance(value, bool):
        return NONE
    try:
        return index(value)
    except TypeError:
        return NONE


def real(least: int | float, most: int | float = math.inf, above: bool = False) -> Rule:
    """A finite number between two; with `above`, not `least` itself."""

    def holds(value: Any) -> bool:
        if isinstance(value, bool | str):
            return False
        try:
            number = float(value)
        except (TypeError, ValueError):
            return False
        if not math.isfinite(number) or not least <= number <= most:
            return False
        return number > least or not above

    first = f"above {least}" if above else f"at least {least}"
    return Rule(
        f"a number, {first}" + (f" and at most {most}" if most < math.inf else ""), holds
    )


def each(rule: Rule) -> Rule:
    """One of them, or several in a tuple."""

    def holds(value: Any) -> bool:
        several = value if isinstance(value, tuple | list) else (value,)
        return len(several) > 0 and all(map(rule.holds, several))

    return Rule(f"{rule.says}, or a tuple of such", holds)


def sides(alone: bool) -> Rule:
    """Height and width; with `alone` one number may stand for both."""

    def holds(value: Any) -> bool:
        if isinstance(value, tuple | list):
            return len(value) == 2 and all(_index(n) >= 1 for n in value)
        return alone and _index(value) >= 1

    says = "(height, width), two whole numbers, each at least 1"
    return Rule(says + (", or one for both" if alone else ""), holds)


ODD = Rule("an odd whole number: it has a middle", lambda n: _index(n) >= 1 and n % 2 == 1)
COUNT, FROM_0 = whole(1), whole(0)
INTEGER = Rule("a whole number", lambda value: _index(value) != NONE)
SHARE, POSITIVE = real(0, 1), real(0, above=True)

ARGUMENTS: dict[str, tuple[Rule | None, str]] = {
    "block": (COUNT, "pixels of a block, on each side"),
    "channels": (COUNT, "channels of the maps that come in"),
    "classes": (COUNT, "how many classes there are scores for"),
    "clip": (FROM_0, "the largest distance that has a vector of its own"),
    "depth": (COUNT, "layers of the network, by the paper's count"),
    "depths": (None, "blocks of each stage"),
    "dilation": (COUNT, "pixels from one place of a convolution's window to the next"),
    "dim": (COUNT, "features of a token"),
    "dropout": (SHARE, "the share that is dropped while training"),
    "expansion": (COUNT, "how many times wider the middle of a block is"),
    "extent": (COUNT, "how far a pixel looks"),
    "groups": (COUNT, "groups of the 3x3 convolution"),
    "heads": (COUNT, "heads of the attention"),
    "hidden": (COUNT, "features of the layer in between"),
    "in_channels": (COUNT, "channels of the maps that come in"),
    "kappa": (real(0), "features of all keys, as a share of the outgoing channels"),
    "kernel": (COUNT, "rows and columns of the convolution's window, odd"),
    "key_dim": (COUNT, "features of a key"),
    "layer": (FROM_0, "which layer of a network this is, counted from 0"),
    "layers": (COUNT, "how many layers there are"),
    "local": (FROM_0, "how many blocks, the first, attend by gate"),
    "length": (COUNT, "how many positions have a vector"),
    "middle": (COUNT, "channels of the layer in between"),
    "mixtures": (COUNT, "how many matrices the places of a block mix"),
    "out_channels": (COUNT, "channels of the maps that come out"),
    "patch": (COUNT, "pixels of a patch, on each side"),
    "planes": (COUNT, "channels of a block, before they are expanded"),
    "q_dim": (COUNT, "features of a query and of a key"),
    "query_dim": (COUNT, "features of a query"),
    "reduction": (COUNT, "how many times narrower the layer in between is"),
    "shift": (FROM_0, "rows and columns by which windows are moved"),
    "size": (sides(alone=True), "height and width of the maps"),
    "source_words": (COUNT, "words of the source's vocabulary"),
    "stride": (COUNT, "the step from one result to the next"),
    "subsample": (each(COUNT), "window of the pooling of keys and values"),
    "summaries": (COUNT, "how many tokens at the end of a block sum it up"),
    "symbols": (COUNT, "how many symbols there are"),
    "target_words": (COUNT, "words of the target's vocabulary"),
    "tokens": (COUNT, "the largest number of tokens"),
    "v_dim": (COUNT, "features of a value"),
    "widen": (POSITIVE, "multiplies the channels"),
    "width": (COUNT, "channels of a group where planes are 64"),
    "window": (COUNT, "rows and columns that are looked at, odd"),
    "attention": (None, "makes the module that attends"),
    "between": (None, "makes what stands between two stages"),
    "bias": (None, "whether the layers have biases"),
    "bottleneck": (None, "whether a block is 1x1, 3x3, 1x1"),
    "combine": (None, 'how the branches meet: "sum", or "product" as released'),
    "grouped": (None, "whether a head projects its own share of the channels alone"),
    "merge": (None, "whether the map is halved first"),
    "norm": (None, 'where the norm stands: "post", after the sum, or "pre"'),
    "pattern": (None, '"local", "strided", "fixed", or "dense" for none'),
    "placement": (None, "where in a block attention stands: see solutions.channel.residual"),
    "pooled": (None, "whether the shortcut is pooled, not a convolution"),
    "pools": (None, 'what is pooled by: "mean", "max", or both'),
    "radius": (None, "whether the distance from the middle comes as a third coordinate"),
    "released": (None, "whether to compute as the authors' code does, not their paper"),
    "scaled": (None, "whether scores are divided by the square root of d"),
    "share": (None, "whether source, target and output have one matrix"),
    "strength": (None, "how sharply a head looks at its pixel at first"),
    "stride_in": (None, 'the convolution that halves the map: "3x3" or the first "1x1"'),
    "stretch": (None, "whether tables for another size are stretched, not cut and extended"),
    "implementation": (None, "which way it is computed; all give the same"),
    "way": (None, 'how heads share the patterns: "merged", "interleaved" or "split"'),
}
PLACE = {
    "device": "where the weights are made",
    "dtype": "their type",
}


def equip(
    *classes: type[nn.Module],
    check: Callable[..., None] | None = None,
    reset: Callable[[Any], None] | None = None,
    **rules: Rule | None,
) -> None:
    """Give classes of layers what this file is for.

    check  is called with the constructor's arguments by name, before anything is made, and
           raises ValueError for what does not fit together
    reset  starts what the layer holds itself, and what its constructor does to the layers in it
    rules  hold for these classes instead of those in ARGUMENTS; None for no rule
    """
    for cls in classes:
        made = vars(cls).get("__init__")
        if made is not None:
            cls.__init__ = _constructor(made, check, rules)
        if made is not None or reset is not None:
            cls.reset_parameters = _resetting(reset)
        cls.__doc__ = _documented(cls)


def _constructor(
    made: Callable, check: Callable | None, rules: dict[str, Rule | None]
) -> Callable:
    names = signature(made)

    @wraps(made)
    def __init__(self, *given, device=None, dtype=None, **more):
        try:
            bound = names.bind(self, *given, **more)
        except TypeError:  # Python says it better
            made(self, *given, **more)
            raise
        refuse(type(self).__name__, bound, rules)
        if check is not None:
            check(**dict(list(bound.arguments.items())[1:]))
        with nullcontext() if device is None else torch.device(device):
            made(self, *given, **more)
        if dtype is not None:
            self.to(dtype)

    places = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in PLACE]
    __init__.__signature__ = Signature([*names.parameters.values(), *places])
    return __init__


def refuse(layer: str, bound: BoundArguments, rules: Rules) -> None:
    """Raises ValueError for the first argument that breaks the rule of its name."""
    told = [f"{name}={value!r}" for name, value in list(bound.arguments.items())[1:]]
    bound.apply_defaults()
    for name, value in list(bound.arguments.items())[1:]:
        rule = rules.get(name, ARGUMENTS.get(name, (None,))[0])
        if rule is None or (value is None and bound.signature.parameters[name].default is None):
            continue
        if not rule.holds(value):
            raise ValueError(f"{layer}({', '.join(told)}): {name} must be {rule.says}")


def _resetting(own: Callable | None) -> Callable:
    def reset_parameters(self) -> None:
        """Start all weights again, as if the layer had just been made."""
        for child in self.children():
            _reset(child)
        if own is not None:
            with torch.no_grad():
                own(self)

    return reset_parameters


def _reset(module: nn.Module) -> None:
    """Whoever can start again does; else what is in it."""
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
    elif hasattr(module, "_reset_parameters"):  # torch's own attention
        module._reset_parameters()
    else:
        for child in module.children():
            _reset(child)


def _documented(cls: type) -> str:
    """The docstring, and a line for each argument that it does not speak of."""
    text = getdoc(cls) or ""
    names = [name for name in signature(cls).parameters if f"{name}  " not in text]
    meanings = {name: meaning for name, (_, meaning) in ARGUMENTS.items()} | PLACE
    lines = [f"{name:<12}{meanings[name]}" for name in names if name in meanings]
    return "\n".join([text, "", *lines]) if lines else text
