"""A departing result in one line: of what kind it is, and where it is furthest off."""

import re
from inspect import iscoroutine, isgenerator
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.equal import same
from attncourse.checker.sketch import Sketch
from attncourse.checker.trials import Prepared
from attncourse.exercises.letters import SINGLE, largest, number, place, spell

DIGITS = (  # on a pass: nobody promised all of them
    "A remark: in double precision it is right to a few digits only. What is made in single"
    " precision? Pass `dtype=x.dtype`."
)


def wrong_kind(probe: str, y: Any, right: Any, axes: Any, trial: Prepared) -> str | None:
    """Type, number of returns, shape, dtype or device, in this order; None if all agree."""
    if y is None:
        return f"`{probe}` returns None. Is a `return` missing?"
    if isgenerator(y):
        return f"`{probe}` returns a generator: `yield` where `return` was meant?"
    if iscoroutine(y):
        return f"`{probe}` returns a coroutine: it is written with `async def`."
    if isinstance(right, tuple):
        return _wrong_parts(probe, y, right, axes, trial)
    if isinstance(right, Sketch):
        if right.kind != "tensor":
            return _wrong_value(probe, y, right)
        right = right.like
    if not isinstance(right, Tensor):
        if type(y) is not type(right):
            return f"`{probe}` returns {_kind(y)}; it should return {_kind(right)}."
        if same(y, right):  # one of several values, and not the wrong one
            return None
        return f"`{probe}` returns {y!r}; it should return {right!r}."
    if isinstance(y, (tuple, list)):
        return (
            f"`{probe}` returns {len(y)} values ({', '.join(_kind(v) for v in y[:4])}); it"
            f" should return one tensor, {axes or SINGLE}."
        )
    if not isinstance(y, Tensor):
        return f"`{probe}` returns {_kind(y)}, not a tensor. Is a return wrong?"
    if y.shape != right.shape:
        return _wrong_shape(probe, y, right, axes, trial)
    if y.dtype != right.dtype:
        return f"`{probe}` returns {dtype_of(y)}; it should return {dtype_of(right)}."
    if y.device != right.device and not right.is_meta:
        return f"`{probe}` returns a tensor on {y.device}; it should stay on {right.device}."
    return None


def _wrong_value(probe: str, y: Any, right: Sketch) -> str | None:
    """Of what is no tensor, where only a sketch is left: another type, or another value."""
    if type(y).__name__ != right.kind:
        wanted = "None" if right.kind == "NoneType" else f"a value of type {right.kind}"
        return f"`{probe}` returns {_kind(y)}; it should return {wanted}."
    return None if same(y, right) else f"`{probe}` returns {y!r}, which is not right."


def _wrong_parts(probe: str, y: Any, right: tuple, axes: Any, trial: Prepared) -> str | None:
    """Of several returns: not as many, or the first that is of another kind."""
    if not isinstance(y, (tuple, list)):
        return f"`{probe}` returns {_kind(y)}; it should return {len(right)} values."
    if len(y) != len(right):
        return f"`{probe}` returns {len(y)} values; it should return {len(right)}."
    for n, (a, b) in enumerate(zip(y, right, strict=True)):
        part = axes[n] if isinstance(axes, tuple) else axes
        if wrong := wrong_kind(f"{probe}[{n}]", a, b, part, trial):
            return wrong
    return None


def _wrong_shape(probe: str, y: Tensor, right: Tensor, axes: Any, trial: Prepared) -> str:
    mine, wanted = spell(y.shape, trial.sizes, axes).split(), axes.split()
    text = f"`{probe}` returns {' '.join(mine)}; it should return {axes or SINGLE}."
    if not axes and right.ndim:
        text = f"`{probe}` returns {_numbers(y)}; it should return {_numbers(right)}."
    elif right.ndim and not _plain(mine, wanted):
        text = f"`{probe}` returns {_both(y, mine)}; it should return {_both(right, wanted)}."
    lost = [size for size in right.shape if size not in y.shape]
    if y.ndim == right.ndim - 1 and len(lost) == 1 and lost != [1]:
        axis = _axis_of(lost[0], right, axes) or spell(lost, trial.sizes)
        text += f" The axis {axis} is missing: was it summed, averaged or never made?"
    elif 1 in right.shape and y.shape == right.squeeze().shape:
        text += (
            " An axis of length 1 is missing. `squeeze()` takes all of them away; `[:, None]`"
        )
        text += " or `rearrange` puts one in."
    return text


def _plain(mine: list[str], wanted: list[str]) -> bool:
    """Whether letters say it all: the same ones in another order, or fewer of them."""
    letters = all(re.search("[a-z]", axis) for axis in mine if axis != "1")
    return letters and mine != wanted and len(set(mine)) == len(mine) and {*mine} <= {*wanted}


def _both(x: Tensor, letters: list[str]) -> str:
    """A shape in letters and in numbers, as far as there are letters."""
    known = any(map(str.isalpha, "".join(letters)))
    return f"{' '.join(letters)} = {_numbers(x)}" if known else _numbers(x)


def _numbers(x: Tensor) -> str:
    return " ".join(map(str, x.shape))


def _axis_of(size: int, right: Tensor, axes: str) -> str:
    """The letter of the one axis of this size; "" if that is not certain."""
    names = re.findall(r"\([^)]*\)|\S+", axes)
    if len(names) != right.ndim or list(right.shape).count(size) != 1:
        return ""
    return names[list(right.shape).index(size)]


def worst(y: Any, right: Any, axes: Any) -> str:
    """The element that is furthest off, in letters; of several returns, in the first that is
    wrong."""
    if isinstance(right, tuple):
        return _worst_of_several(y, right, axes)
    if isinstance(right, Sketch):
        return "Other numbers than the solution's: of the right shape, and not the right ones."
    if right.dtype == torch.bool:
        off = y.bool() != right
        if not off.any():  # of another type alone, which has been said
            return ""
        at = largest(off)
        where = place(at, axes) if y.ndim else "all"
        return (
            f"{off.sum().item()} of {off.numel()} are wrong: {bool(y[at])} at {where}; it"
            f" should be {bool(right[at])}."
        )
    if not y.ndim:
        return f"The result is {number(y.item())}; it should be {number(right.item())}."
    off = (y.double() - right.double()).abs()
    at = largest(torch.where(y.isfinite(), off, torch.inf))
    close = torch.isclose(y.double(), right.double(), rtol=1e-6, atol=1e-8, equal_nan=True)
    mine, wanted = (number(_rounded(x[at].item(), right)) for x in (y, right))
    if mine == wanted:
        mine, wanted = f"{y[at].item():.10g}", f"{right[at].item():.10g}"
    return (
        f"The result is {mine} at {place(at, axes)}; it should be "
        f"{wanted} ({(~close).sum().item()} of {y.numel()} numbers are off)."
    )


def _rounded(x: float, right: Tensor) -> float:
    """A number, or 0 for what rounding alone leaves of it, which differs between processors."""
    scale = right.double().abs().nan_to_num(0.0, 0.0, 0.0).max().item()
    return 0.0 if abs(x) <= 1e-13 * scale else x


def _worst_of_several(y: Any, right: tuple, axes: Any) -> str:
    axes = axes if isinstance(axes, tuple) else [axes] * len(right)
    parts = [(n, *three) for n, three in enumerate(zip(y, right, axes, strict=True))]
    fine = [f"[{n}]" for n, a, b, _ in parts if same(a, b)]
    rest = f" {' and '.join(fine)} {'is' if len(fine) == 1 else 'are'} right." if fine else ""
    for n, a, b, ax in parts:
        if not same(a, b):
            return f"In [{n}]: {worst(a, b, ax)}{rest}"
    return ""


def dtype_of(x: Tensor) -> str:
    """ "float64"."""
    return str(x.dtype).removeprefix("torch.")


def _kind(y: Any) -> str:
    if y is None:
        return "None"
    return "a tensor" if isinstance(y, Tensor) else f"a value of type {type(y).__name__}"
