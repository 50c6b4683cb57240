"""What is done to the right result, the same everywhere: a factor, a number, an input added."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor

from attncourse.checker.equal import same
from attncourse.checker.sheet import Sheet, sheet
from attncourse.exercises.letters import number
from attncourse.exercises.record import Exercise


def everywhere(ex: Exercise, probe: str, answers: Sequence[Any]) -> str | None:
    """What is done to the right result, the same everywhere on every trial: a factor, a number
    that is added, or a multiple of an input."""
    known = sheet(ex)
    pairs = [(y, known.expected(index, probe)) for index, y in enumerate(answers)]
    if len(pairs) < 2 or not all(_measurable(y, right) for y, right in pairs):
        return None
    top = max((abs(x), n) for n, x in enumerate(pairs[0][1].flatten().tolist()))[1]
    factor = (pairs[0][0].flatten()[top] / pairs[0][1].flatten()[top]).item()
    if abs(factor) > 1e-6 and all(same(factor * right, y) for y, right in pairs):
        return f"Your result is everywhere {number(factor)} times what it should be."
    off = [y - right for y, right in pairs]
    constant = off[0].mean()
    if constant.abs() > 1e-6 and all(same(d, constant.expand_as(d)) for d in off):
        much = number(constant.abs().item())
        return (
            f"Your result is everywhere {much} too {'large' if constant > 0 else 'small'}: is"
            f" something {'added' if constant > 0 else 'subtracted'}?"
        )
    return _an_input_added(known, off)


def _an_input_added(known: Sheet, off: list[Tensor]) -> str | None:
    """A multiple of an input by which the results are off on every trial."""
    for name in known.trials[0].axes:
        inputs = [known.trials[index].inputs[name] for index in range(len(off))]
        if not all(_measurable(x, d) for x, d in zip(inputs, off, strict=True)):
            continue
        times = (off[0] * inputs[0]).sum() / inputs[0].square().sum()
        if times.abs() > 1e-6 and all(
            same(d, times * x) for x, d in zip(inputs, off, strict=True)
        ):
            if abs(times + 1) < 1e-6:
                return f"Your result is what it should be less `{name}`: is it not added?"
            many = "" if abs(times - 1) < 1e-6 else f"{number(times.item())} times "
            return f"Your result is what it should be and {many}`{name}`, which is not added."
    return None


def _measurable(y: Any, right: Any) -> bool:
    """Whether it can be measured by how much one is off the other."""
    return (
        isinstance(y, Tensor)
        and isinstance(right, Tensor)
        and y.shape == right.shape
        and y.dtype == right.dtype
        and y.is_floating_point()
        and y.numel() > 1
        and bool(y.isfinite().all())
    )


def factor_of_sizes(ex: Exercise, probe: str, answers: Sequence[Any]) -> str | None:
    """A factor that is made of sizes and holds on every trial: "h w", "w / h", "h w / 49"."""
    known = sheet(ex)
    factors = []
    for index, y in enumerate(answers):
        factor = _factor(y, known.expected(index, probe))
        if factor is None:
            return None
        factors.append(factor)
    if len(factors) < 2 or max(factors) / min(factors) < 1 + 1e-6:
        return None  # made of no sizes
    sizes = [
        {n: k for n, k in known.trials[index].sizes.items() if k > 0}
        for index in range(len(factors))
    ]
    letters = [n for n in sizes[0] if all(n in one for one in sizes)]
    for powers in sorted(_powers(len(letters)), key=lambda p: sum(map(abs, p))):
        of = dict(zip(letters, powers, strict=True))
        made = [prod(one[n] ** p for n, p in of.items()) for one in sizes]
        rest = [f / m for f, m in zip(factors, made, strict=True)]
        if max(rest) / min(rest) > 1 + 1e-6:
            continue
        over, under = _written(of), _written({n: -p for n, p in of.items()})
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


def _factor(y: Any, right: Any) -> float | None:
    """By what a result is multiplied, if it is one positive number everywhere."""
    if not isinstance(right, Tensor) or not isinstance(y, Tensor) or y.shape != right.shape:
        return None
    if not right.numel() or not right.is_floating_point():
        return None
    at = right.abs().flatten().argmax()
    factor = (y.flatten()[at] / right.flatten()[at]).item()
    return factor if 0 < factor < 1e9 and same(factor * right, y) else None


def _written(powers: Mapping[str, float]) -> str:
    """Those of the letters that have a positive power: "h √w"."""
    return " ".join(
        f"√{n}" if abs(p) == 0.5 else n if abs(p) == 1 else f"{n}²"
        for n, p in powers.items()
        if p > 0
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
