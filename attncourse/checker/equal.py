"""Whether two outcomes are the same, or nearly, or the same numbers at other places.

Everything that compares what answers return does it here, so that there is one tolerance.
"""

import math
from typing import Any

import torch
from torch import Tensor

from attncourse.checker.running import Crash
from attncourse.checker.sketch import Sketch, sketch


def same(y: Any, expected: Any, dtype: torch.dtype = torch.float64) -> bool:
    """Equal in type, shape and value: broadcasting must never make an answer right. Of what is
    expected there may be a `Sketch` alone."""
    if isinstance(expected, (tuple, list)):
        return (
            isinstance(y, (tuple, list))
            and len(y) == len(expected)
            and all(same(a, b, dtype) for a, b in zip(y, expected, strict=True))
        )
    if isinstance(expected, Crash) or isinstance(y, Crash):
        return isinstance(y, Crash) and isinstance(expected, Crash)
    if isinstance(expected, Sketch) or isinstance(y, Sketch):
        y, expected = (y, expected) if isinstance(expected, Sketch) else (expected, y)
        return expected.matches(y, dtype)
    if isinstance(expected, float):
        return isinstance(y, float) and math.isclose(y, expected, rel_tol=1e-6, abs_tol=1e-8)
    if not isinstance(expected, Tensor):
        return type(y) is type(expected) and y == expected
    if not isinstance(y, Tensor) or y.shape != expected.shape or y.device != expected.device:
        return False
    if integral(y) and integral(expected):
        return torch.equal(y.long(), expected.long())
    if y.dtype != expected.dtype:
        return False
    if expected.dtype == torch.bool:
        return torch.equal(y, expected)
    rtol, atol = (1e-6, 1e-8) if dtype == torch.float64 else (1e-3, 1e-4)
    if dtype == torch.float16:  # both are off by their own sums of 2 ** -11 of the largest term
        rtol, atol = (
            0.0,
            max(expected.abs().max().item(), 1e-3) / 16 if expected.numel() else 0.0,
        )
    return torch.allclose(y, expected, rtol=rtol, atol=atol, equal_nan=True)


def hopeless(y: Any) -> bool:
    """A crash, or a number that is not finite: nothing to compare with."""
    if isinstance(y, (tuple, list)):
        return any(map(hopeless, y))
    if isinstance(y, Sketch):
        return not y.finite
    return isinstance(y, Crash) or (
        isinstance(y, Tensor) and y.is_floating_point() and not y.isfinite().all()
    )


def integral(x: Tensor) -> bool:
    """Of whatever type of integers: `Int` promises no more."""
    return not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool)


def chosen(y: Any) -> bool:
    """Integers or truth values, or several results with such: places, not sizes."""
    if isinstance(y, (tuple, list)):
        return any(map(chosen, y))
    return isinstance(y, Tensor) and not y.is_floating_point()


def comparable(y: Any, right: Any) -> bool:
    """Two tensors of one shape, not empty."""
    return (
        isinstance(y, Tensor)
        and isinstance(right, Tensor)
        and y.shape == right.shape
        and y.device == right.device
        and y.numel() > 0
    )


def parts_comparable(y: Any, right: Any) -> bool:
    """Several tensors each, of the same shapes."""
    return (
        isinstance(right, tuple)
        and isinstance(y, (tuple, list))
        and len(y) == len(right)
        and all(comparable(a, b) or _of_shape(a, b) for a, b in zip(y, right, strict=True))
    )


def _of_shape(y: Any, right: Any) -> bool:
    """A tensor of the shape of one of which only a sketch is left."""
    return isinstance(right, Sketch) and isinstance(y, Tensor) and y.shape == right.shape


def nearly(y: Any, right: Any) -> bool:
    """Right in the first digits: what single precision or a small constant leaves."""
    if parts_comparable(y, right):
        return all(same(*pair) or nearly(*pair) for pair in zip(y, right, strict=True))
    if not comparable(y, right) or not right.is_floating_point():
        return False
    scale = right.abs().max().clamp(min=1e-12)
    return bool(((y - right).abs().max() < 1e-5 * scale).item())


def rearranged(y: Any, right: Any) -> bool:
    """The same numbers at other places."""
    if not comparable(y, right) or not right.is_floating_point():
        return False
    return same_numbers(y, right)


def same_numbers(y: Tensor, right: Tensor, rtol: float = 1e-5) -> bool:
    """Of two tensors of one shape: the same numbers, wherever they stand."""
    return torch.allclose(y.flatten().sort().values, right.flatten().sort().values, rtol=rtol)


UNKNOWN = "unknown"  # the digest of what only a sketch is left of


def zero(x: Any) -> bool:
    """Whether all numbers of a tensor are 0, or of one that only a sketch is left of."""
    if isinstance(x, Sketch):
        return x.finite and not x.scale and (bool(x.sums) or x.mark == ZERO)
    return not x.abs().max() > 0


ZERO = sketch(0.0).mark  # of a tensor of one element


def digest(y: Any) -> tuple[tuple[int, ...], float, float] | None:
    """Shape, sum and sum of magnitudes of a tensor, quick to compare; else None."""
    if not isinstance(y, Tensor) or not y.is_floating_point():
        return None
    finite = y.nan_to_num(0.0, 1e30, -1e30)
    return tuple(y.shape), finite.sum().item(), finite.abs().sum().item()


def may_be_same(one: Any, other: Any) -> bool:
    """False only where two digests belong to outcomes that are not the `same`."""
    if UNKNOWN in (one, other):
        return True
    if one is None or other is None:
        return one is other
    (shape, total, size), (other_shape, other_total, other_size) = one, other
    slack = 1e-5 * (size + other_size) + 1e-6
    return shape == other_shape and abs(total - other_total) <= slack


def fingerprint(value: Any) -> Any:
    """Alike for outcomes that are alike up to rounding."""
    if isinstance(value, Crash):
        return "crash"
    if isinstance(value, Tensor):
        finite = value.double().nan_to_num(1e30, 1e31, -1e31)
        return tuple(value.shape), *(f"{x:.6e}" for x in _moments(finite))
    if isinstance(value, (tuple, list)):
        return tuple(fingerprint(part) for part in value)
    return repr(value)


def _moments(x: Tensor) -> tuple[float, ...]:
    """A few weighted sums that two different tensors do not share."""
    flat = x.flatten()
    ramp = torch.arange(1, flat.numel() + 1, dtype=torch.float64)
    return flat.sum().item(), (flat * ramp.sin()).sum().item(), (flat * ramp.cos()).sum().item()
