"""What is kept of an expected outcome where the outcome itself is not to be handed out.

Of a tensor of numbers: its shape, its type, and a few sums of its elements with random weights,
never more than half as many as it has elements, so that they cannot be solved for it. Of
integers, truth values, words and single numbers: a digest. An answer has a value's sketch only
if it has the value, up to the tolerance of `equal`; the value cannot be read off.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from attncourse.checker.running import Crash

SUMS = 8
SLACK = 3  # a sum of errors may be so many times its usual size
STEPS = 2**20  # of a single number within one power of two: about the tolerance
TOLERANCE = {torch.float64: (1e-6, 1e-8)}  # rtol and atol, as in `equal`
COARSE = 1e-3, 1e-4

_taken: Any = WeakTensorKeyDictionary()  # of tensors that are compared with many sketches


@dataclass(frozen=True, eq=False)
class Sketch:
    """What is kept of one value.

    kind    "tensor", or the name of its Python type
    shape   of a tensor
    dtype   of a tensor
    sums    of the elements, with random weights
    scale   a power of two, at least the length of the tensor as a vector; 0 if all are 0
    mark    a digest of what is compared exactly: integers, words, and where inf and nan are
    finite  whether all numbers are
    """

    kind: str
    shape: tuple[int, ...] = ()
    dtype: torch.dtype | None = None
    sums: tuple[float, ...] = ()
    scale: float = 0.0
    mark: str = ""
    finite: bool = True

    @property
    def like(self) -> Tensor:
        """A tensor of this shape and type that holds nothing."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def matches(self, y: Any, precision: torch.dtype) -> bool:
        """Whether a value, or another sketch, has this sketch."""
        if isinstance(y, Sketch):
            return self._is(y, (y.mark,), precision)
        if self.kind == "float" and isinstance(y, float):
            return self.mark in _near(y)
        if not isinstance(y, Tensor):
            return self.kind == type(y).__name__ and self.mark == _digest(y)
        if self.kind != "tensor" or tuple(y.shape) != self.shape or y.device.type != "cpu":
            return False
        if not _same_type(y.dtype, self.dtype):
            return False
        known = _sketched(y)
        one = y.numel() == 1 and y.is_floating_point() and known.finite
        return self._is(known, _near(y.item()) if one else (known.mark,), precision)

    def _is(self, other: "Sketch", marks: tuple[str, ...], precision: torch.dtype) -> bool:
        if self.kind != other.kind or self.shape != other.shape or self.mark not in marks:
            return False
        if self.kind == "tensor" and not _same_type(self.dtype, other.dtype):
            return False
        rtol, atol = TOLERANCE.get(precision, COARSE)
        slack = SLACK * (rtol * self.scale + atol * math.sqrt(math.prod(self.shape)))
        if not math.isfinite(slack):  # numbers too large to be squared
            return self.sums == other.sums
        return all(abs(a - b) <= slack for a, b in zip(self.sums, other.sums, strict=True))


def _sketched(y: Tensor) -> Sketch:
    """Its sketch, taken once unless it is changed in place."""
    if y.is_inference():
        return sketch(y)
    version, known = _taken.get(y, (None, None))
    if version != y._version:
        known = sketch(y)
        _taken[y] = y._version, known
    return known


def _same_type(one: torch.dtype, other: torch.dtype) -> bool:
    """Integers of any width are integers."""
    return one == other or (_integral(one) and _integral(other))


def _integral(dtype: torch.dtype) -> bool:
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def sketch(y: Any) -> Any:
    """The sketch of a value, the sketches of several; a Crash without its words."""
    if isinstance(y, (tuple, list)):
        return tuple(map(sketch, y))
    if isinstance(y, Crash):
        return Crash(y.kind, "")
    if isinstance(y, float):
        return Sketch("float", mark=_near(y)[0])
    if not isinstance(y, Tensor):
        return Sketch(type(y).__name__, mark=_digest(y))
    with torch.no_grad():
        return _of_tensor(y.detach())


def _of_tensor(y: Tensor) -> Sketch:
    shape, dtype = tuple(y.shape), y.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        exact = y.long().flatten().contiguous().numpy().tobytes()
        return Sketch("tensor", shape, dtype, mark=_digest(exact))
    flat = (torch.view_as_real(y.resolve_conj()) if dtype.is_complex else y).double().flatten()
    finite, odd = bool(flat.isfinite().all()), ""
    if not finite:
        codes = flat.isnan().to(torch.int8) + 2 * flat.isposinf() + 3 * flat.isneginf()
        odd = _digest(codes.to(torch.int8).contiguous().numpy().tobytes())
        flat = flat.nan_to_num(0.0, 0.0, 0.0)
    if len(flat) == 1 and finite:
        return Sketch("tensor", shape, dtype, mark=_near(flat.item())[0])
    number = min(SUMS, len(flat) // 2)
    sums = (_weights(len(flat), number) @ flat).tolist() if number else []
    length = flat.norm().item() if len(flat) else 0.0
    scale = 2.0 ** math.ceil(math.log2(length)) if 0 < length < math.inf else length
    return Sketch("tensor", shape, dtype, tuple(sums), scale, odd, finite)


@lru_cache(maxsize=64)
def _weights(n: int, number: int) -> Tensor:
    """The same weights for all vectors of one length."""
    generator = torch.Generator().manual_seed(n)
    return torch.randn(number, n, generator=generator, dtype=torch.float64)


def _digest(x: Any) -> str:
    text = x if isinstance(x, bytes) else f"{type(x).__name__} {x!r}".encode()
    return blake2b(text, digest_size=10).hexdigest()


def _near(x: float) -> tuple[str, ...]:
    """Digests of a single number rounded: the nearest, and both beside it."""
    if not math.isfinite(x) or abs(x) < 1e-8:
        return (_digest(x if math.isnan(x) or math.isinf(x) else 0.0),)
    part, power = math.frexp(x)
    step = round(part * STEPS)
    return tuple(_digest(math.ldexp(n / STEPS, power)) for n in (step, step - 1, step + 1))


# ---------------------------------------------------------------- as data


def dump(found: Any) -> Any:
    """A sketch, several, or a Crash, in the types of JSON."""
    if isinstance(found, tuple):
        return [*map(dump, found)]
    if isinstance(found, Crash):
        return {"crash": found.kind}
    if found is None:
        return None
    kept = {"kind": found.kind, "mark": found.mark}
    if found.kind == "tensor":
        kept |= {"shape": list(found.shape), "dtype": str(found.dtype).removeprefix("torch.")}
        kept |= {"sums": [float(f"{x:.12g}") for x in found.sums], "scale": found.scale}
        kept |= {"finite": found.finite}
    return kept


def load(kept: Any) -> Any:
    """What `dump` made this of."""
    if isinstance(kept, list):
        return tuple(map(load, kept))
    if kept is None:
        return None
    if "crash" in kept:
        return Crash(kept["crash"], "")
    if kept["kind"] != "tensor":
        return Sketch(kept["kind"], mark=kept["mark"])
    dtype = getattr(torch, kept["dtype"])
    shape, sums = tuple(kept["shape"]), tuple(kept["sums"])
    return Sketch("tensor", shape, dtype, sums, kept["scale"], kept["mark"], kept["finite"])
