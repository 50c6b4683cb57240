"""What is checked before a kernel runs, in one place: a kernel believes all that it is told.

    sizes       one letter, one length: in whichever tensor it stands
    spread      the same, but an axis of 1 may stand for all, where a letter is free: made so
    alike       one device, and one type of those that attention is for
    allowed     a mask is of bool and broadcasts to the map
    attention   all of this for q, k, v and a mask; `local`, `relative` and `line` for theirs
    before      puts such a question before a function that stays as one writes it on paper
    numbers     the same for whole numbers, and others, by the rules of solutions.arguments

Axes are written as in the annotations: "*batch i d" has any number of leading ones. All raise
ValueError with the numbers, before anything is computed and alike for every implementation.
Symbolic sizes are welcome: torch.compile and torch.export guard what is compared here.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature

import torch
from torch import Tensor
from torch.types import IntLikeType

from solutions.arguments import Rule

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
    for name, x in given:
        _a_tensor(name, x)
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
    _a_tensor("the mask", mask)
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


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> list[Tensor]:
    """q, k and v of attention with the same leading axes."""
    given = ("q", q, "*batch i d"), ("k", k, "*batch j d"), ("v", v, "*batch j e")
    found = spread(*given)
    alike(*((name, x) for name, x, _ in given))
    allowed(mask, (*found[0].shape[:-1], k.shape[-2]), q.device)
    return found


def line(q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    """q, k and v of one line of tokens that look at one another, with the same leading axes."""
    found = spread(("q", q, "*batch n d"), ("k", k, "*batch n d"), ("v", v, "*batch n e"))
    alike(("q", q), ("k", k), ("v", v))
    features(q.shape[-1])
    return found


def local(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, window: int, free: str = ""
) -> tuple[Tensor, ...]:
    """What attention in windows is given, as it goes together; what is of length 1 on an axis
    in `free` is expanded."""
    if window < 1 or window % 2 == 0:
        raise ValueError(f"{window=} has no middle: take an odd number")
    given = (
        ("q", q, "b head d h w"),
        ("k", k, "b head d h w"),
        ("v", v, "b head e h w"),
        ("rows", rows, "head dy half"),
        ("columns", columns, "head dx half"),
    )
    if free:
        found = spread(*given, free=free, dy=window, dx=window)
    else:
        sizes(*given, dy=window, dx=window)
        found = [q, k, v, rows, columns]
    if 2 * rows.shape[2] != q.shape[2]:
        raise ValueError(
            f"d={q.shape[2]}, and rows and columns have {rows.shape[2]}: each says one half of"
            " the features"
        )
    return tuple(found)


def relative(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor | None = None, columns: Tensor | None = None
) -> list[Tensor]:
    """q, k and v of maps with the same leading axes, and tables that fit them."""
    if (rows is None) != (columns is None):
        raise ValueError("rows and columns go together: one of them is None")
    given = ("q", q, "*batch h w d"), ("k", k, "*batch h w d"), ("v", v, "*batch h w e")
    offsets = [] if rows is None else [("rows", rows, "r d"), ("columns", columns, "s d")]
    found = spread(*given, *offsets)[:3]
    alike(*((name, x) for name, x, _ in (*given, *offsets)))
    for (name, table, _), n in zip(offsets, q.shape[-3:-1], strict=False):
        if len(table) != 2 * n - 1:
            raise ValueError(
                f"the table of {name} has {len(table)} offsets; {n} {name} need {2 * n - 1}:"
                " see fit_table"
            )
    return found


def before(check: Callable) -> Callable[[Callable], Callable]:
    """Puts a check before a function, which is given the same."""

    def put(function: Callable) -> Callable:
        @wraps(function)
        def checked(*given, **more):
            check(*given, **more)
            return function(*given, **more)

        return checked

    return put


def numbers(**rules: Rule) -> Callable[[Callable], Callable]:
    """Puts before a function that its arguments of these names follow these rules."""

    def put(function: Callable) -> Callable:
        names, told = tuple(signature(function).parameters), function.__name__

        @wraps(function)
        def checked(*given, **more):
            if not torch.compiler.is_compiling():  # there sizes may be symbols
                for name, value in (*zip(names, given, strict=False), *more.items()):
                    rule = rules.get(name)
                    if rule is None or rule.holds(value) or isinstance(value, torch.SymInt):
                        continue
                    raise ValueError(f"{told}: {name}={value!r} must be {rule.says}")
            return function(*given, **more)

        return checked

    return put


def positive(**given: IntLikeType) -> None:
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


def _a_tensor(name: str, x) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is a {type(x).__name__}: give a tensor")


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
        _a_tensor(name, x)
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
