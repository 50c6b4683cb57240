"""What is checked before a kernel runs, in one place: a kernel believes all that it is told.

    sizes     one letter, one length: in whichever tensor it stands
    spread    the same, but an axis of 1 may stand for all, where a letter is free: made so
    alike     one device, and one type of those that attention is for
    allowed   a mask is of bool and broadcasts to the map

Axes are written as in the annotations: "*batch i d" has any number of leading ones. All raise
ValueError with the numbers, before anything is computed and alike for every implementation.
Symbolic sizes are welcome: torch.compile and torch.export guard what is compared here.
"""

import torch
from torch import Tensor
from torch.types import IntLikeType

TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
Given = tuple[str, Tensor, str]  # how it is called, the tensor, its axes


def sizes(*given: Given, **known: IntLikeType) -> dict[str, IntLikeType]:
    """The length of each letter. `known` are those that the caller asks for.

    Leading axes of all that have "*batch" are the same.
    """
    return _lengths(given, known, "")[0]


def spread(*given: Given, free: str = "", **known: IntLikeType) -> list[Tensor]:
    """The tensors, with axes of length 1 expanded to what the others have: leading axes, and
    those whose letters are in `free`. Nothing is copied."""
    found, batch, uneven = _lengths(given, known, free, True)
    if not uneven:
        return [x for _, x, _ in given]
    spread_out = []
    for _, x, axes in given:
        lead, letters = _split(axes)
        shape = (*(batch if lead else ()), *(found[letter] for letter in letters))
        spread_out.append(x if tuple(x.shape) == shape else x.expand(shape))
    return spread_out


def alike(*given: tuple[str, Tensor]) -> None:
    """One device and one type. Under autocast that counts which each of them becomes."""
    (first, one), *rest = given
    dtype, device = one.dtype, one.device
    for name, x in given:
        if x.layout != torch.strided:
            raise ValueError(f"{name} is laid out as {x.layout}: give a plain tensor")
        if x.dtype not in TYPES:
            names = ", ".join(map(_type, TYPES))
            raise ValueError(f"{name} is of {_type(x.dtype)}: attention is for {names}")
    for name, x in rest:
        if x.device != device:
            _together_on(first, one, name, x)
        if x.dtype != dtype and lowered(x) != lowered(one):
            raise ValueError(
                f"{first} is of {_type(dtype)} and {name} of {_type(x.dtype)}: give them"
                " one type"
            )


def tables(like: Tensor, *given: tuple[str, Tensor]) -> None:
    """Tables of places are of the type of q, or of single precision beside 16 bits, as autocast
    leaves them."""
    for name, x in given:
        if x.dtype == torch.float32 and like.dtype.itemsize == 2:
            _together_on("q", like, name, x)
        else:
            alike(("q", like), (name, x))


def allowed(mask: Tensor | None, shape: tuple, device: torch.device) -> None:
    """A mask, where there is one, is True where a query may attend, for a map of this shape."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(
            f"the mask is of {_type(mask.dtype)}: give one of bool, True where a query may"
            " attend"
        )
    if mask.device != device:
        raise ValueError(
            f"q is on {device} and the mask on {mask.device}: give them one device"
        )
    ends = shape[len(shape) - mask.ndim :]
    if mask.ndim > len(shape) or any(
        n != m and n != 1 for n, m in zip(mask.shape, ends, strict=True)
    ):
        raise ValueError(
            f"a mask of {_numbers(mask.shape)} does not broadcast to a map of {_numbers(shape)}"
        )


def whole(**given: IntLikeType) -> None:
    """Whole numbers that are at least 1."""
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name}={value} is not a positive number")


def features(d: IntLikeType) -> None:
    """There are some, where scores are divided by the root of how many there are."""
    if d == 0:
        raise ValueError("d=0: scores of no features cannot be divided by the root of 0")


def lowered(x: Tensor) -> torch.dtype:
    """The type that x has in what is computed: autocast's, if that is on."""
    device = x.device.type
    if x.dtype == torch.float64 or device not in ("cpu", "cuda"):
        return x.dtype
    if not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)


def _together_on(first: str, one: Tensor, name: str, x: Tensor) -> None:
    if x.device != one.device:
        raise ValueError(
            f"{first} is on {one.device} and {name} on {x.device}: give them one device"
        )


def _split(axes: str) -> tuple[bool, list[str]]:
    letters = axes.split()
    lead = letters[:1] == ["*batch"]
    return lead, letters[1:] if lead else letters


def _lengths(
    given: tuple[Given, ...], known: dict[str, IntLikeType], free: str, loose: bool = False
) -> tuple[dict[str, IntLikeType], tuple, bool]:
    """The length of each letter, the leading axes, and whether some are to be expanded.
    `loose`: leading axes may be, as may letters in `free`."""
    found, where, batch, uneven = dict(known), {}, None, False
    for name, x, axes in given:
        lead, letters = _split(axes)
        shape = tuple(x.shape)
        many = len(shape) - len(letters)
        if many < 0 or (many and not lead):
            raise ValueError(f"{name} has the shape {_numbers(shape)}; its axes are {axes}")
        if lead:
            here = shape[:many]
            if batch is None:
                batch = here
            elif batch != here:
                batch, uneven = _together(batch, here) if loose else None, True
                if batch is None:
                    what = "do not broadcast" if loose else "are not the same"
                    raise ValueError(f"{_all(given)}: the leading axes {what}")
        for letter, n in zip(letters, shape[many:], strict=True):
            if letter not in found:
                found[letter], where[letter] = n, name
            elif n == found[letter]:
                continue
            elif letter in free.split() and n == 1:
                uneven = True
            elif letter in free.split() and found[letter] == 1 and letter not in known:
                found[letter], where[letter], uneven = n, name, True
            else:
                asked = where.get(letter)
                other = f"in {asked}" if asked else "asked for"
                raise ValueError(
                    f"{_all(given)}: {letter} is {n} in {name} and {found[letter]} {other}"
                )
    return found, batch or (), uneven


def _together(one: tuple, other: tuple) -> tuple | None:
    """What the leading axes broadcast to; None if they do not."""
    many = max(len(one), len(other))
    one, other = ((1,) * (many - len(x)) + x for x in (one, other))
    both = []
    for n, m in zip(one, other, strict=True):
        if n != m and n != 1 and m != 1:
            return None
        both.append(m if n == 1 else n)
    return tuple(both)


def _all(given: tuple[Given, ...]) -> str:
    return ", ".join(f"{name} {_numbers(x.shape)}" for name, x, _ in given)


def _numbers(shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
