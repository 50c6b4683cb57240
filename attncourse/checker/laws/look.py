"""The lens under which a law looks at a wrong answer, and the register of all laws by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.trials import Prepared
from attncourse.exercises.letters import number


@dataclass(frozen=True)
class Look:
    """A wrong answer under the lens.

    probe     the method or function that departs
    axes      the letters of what it should return
    y         what it returned, of the right shape
    expected  what it should have returned
    ask       ask(v=…) runs the probe once more with some inputs replaced; a Crash if it raises
    """

    trial: Prepared
    probe: str
    axes: str
    y: Tensor
    expected: Tensor
    ask: Callable[..., Any]

    @property
    def mask(self) -> Tensor | None:
        """The boolean mask among the inputs, if there is one."""
        found = self.trial.inputs.get("mask")
        return found if isinstance(found, Tensor) and found.dtype == torch.bool else None

    def allowed(self, shape: torch.Size) -> Tensor:
        """Where a query may attend, as wide as a map of this shape."""
        if self.mask is None:
            return torch.ones(shape, dtype=torch.bool)
        mask = self.mask
        while mask.ndim < len(shape):  # a mask b i j goes before the axis of the heads
            mask = mask.unsqueeze(-3 if mask.ndim >= 2 else 0)
        return mask.expand(shape)

    def map_inside(self) -> Tensor | None:
        """The weights inside an answer that returns only the output: what it makes of values
        that are the identity."""
        v = self.trial.inputs.get("v")
        if not isinstance(v, Tensor):
            return None
        n, more = v.shape[-2], 13  # a width that no other axis has
        eye = torch.eye(n, n + more, dtype=v.dtype).expand(*v.shape[:-2], n, n + more)
        weights = self.ask(v=eye.contiguous())
        if isinstance(weights, Tensor) and weights.shape[-1] == n + more:
            return weights[..., :n]
        return None


Law = Callable[[Look], str | None]
LAWS: dict[str, Law] = {}
# Said before one step is found that is done otherwise: they name the cause more closely.
SAID_FIRST: set[str] = set()
# Of any gate: a factor or a number that fits everywhere says more than they do.
GENERAL: set[str] = set()
# They look at all returns together, not at the first one that is wrong.
OF_SEVERAL: set[str] = set()


def law(check: Law) -> Law:
    """Enter a law under the name of its function."""
    LAWS[check.__name__] = check
    return check


def said_first(check: Law) -> Law:
    SAID_FIRST.add(check.__name__)
    return check


def general(check: Law) -> Law:
    GENERAL.add(check.__name__)
    return check


def of_several(check: Law) -> Law:
    OF_SEVERAL.add(check.__name__)
    return check


def close(a: Any, b: Any) -> bool:
    """Equal up to rounding, and of equal shape."""
    return (
        isinstance(a, Tensor)
        and isinstance(b, Tensor)
        and a.shape == b.shape
        and torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-8, equal_nan=True)
    )


def centred(x: Tensor, usable: Tensor, over: int | tuple[int, ...] = -1) -> Tensor:
    """The usable numbers, less the mean of those of their row: all that a softmax sees."""
    x = x.expand(usable.shape).where(usable, 0)
    mean = x.sum(over, keepdim=True) / usable.sum(over, keepdim=True).clamp(min=1)
    return (x - mean)[usable]


def in_letters(x: float, sizes: Mapping[str, int]) -> str:
    """A number as what it is likely to be in the letters: "sqrt(j) = 2.236"."""
    if abs(x - 1) < 1e-6:
        return "1, that is, not at all,"
    ways = {"{}": 1.0, "sqrt({})": 0.5, "{}²": 2.0, "{}^(1/4)": 0.25}
    for sign, over in ((1, ""), (-1, "1 / ")):
        for form, power in ways.items():
            for letter, size in sizes.items():
                if size > 2 and abs(x - size ** (sign * power)) < 1e-6 * x:
                    return f"{over}{form.format(letter)} = {number(x)}"
    return number(x)
