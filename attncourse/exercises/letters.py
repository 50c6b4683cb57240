"""Shapes spelt in the letters of a chapter: 2 3 5 becomes b i d."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

SINGLE = "a single number"  # what has no axes


def spell(shape: Sequence[int], sizes: Mapping[str, int], like: str = "") -> str:
    """A shape in letters, "b i d", as far as they are certain.

    A size that more than one letter has is left as a number, unless `like`, the letters that
    are expected, has one of them at this place. A size that no letter has may be the product of
    two that stand nowhere else, "(head d)". No axes at all are "a single number".
    """
    expected = re.findall(r"\([^)]*\)|\S+", like)
    expected = expected if len(expected) == len(shape) else [""] * len(shape)
    found = [_letter(n, sizes, e) for n, e in zip(shape, expected, strict=True)]
    free = {n: k for n, k in sizes.items() if k > 1 and n not in found}
    for at, (size, letter) in enumerate(zip(shape, found, strict=True)):
        products = [(a, b) for a, b in combinations(free, 2) if free[a] * free[b] == size]
        if not letter and size not in sizes.values() and len(products) == 1:
            found[at] = f"({' '.join(products[0])})"
    return " ".join(f or str(n) for n, f in zip(shape, found, strict=True)) or SINGLE


def _letter(size: int, sizes: Mapping[str, int], expected: str) -> str:
    """The letter of a size, "" where there is none or more than one."""
    if size == 1:
        return "1"
    letters = [n for n, k in sizes.items() if k == size]
    if expected and all(n in sizes or n.isdecimal() for n in re.findall(r"\w+", expected)):
        if shape_of(expected, sizes) == (size,):
            return expected
    return letters[0] if len(letters) == 1 else ""


def sizes_of(axes: str, shape: Sequence[int]) -> dict[str, int]:
    """The size of each letter in `axes`, read off a shape. Axes of length one are left out."""
    return {a: n for a, n in zip(axes.split(), shape, strict=True) if not a.isdecimal()}


def draw(axes: str, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
    """Normal random numbers in float64 with these axes; "(head d)" is a product, "1" is one."""
    return torch.randn(shape_of(axes, sizes), generator=generator, dtype=torch.float64)


def shape_of(axes: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape that `axes` stands for."""
    shape, product = [], None
    for token in axes.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            product = 1
        elif token == ")":
            shape.append(product)
            product = None
        else:
            size = int(token) if token.isdecimal() else sizes[token]
            if product is None:
                shape.append(size)
            else:
                product *= size
    return tuple(shape)


def largest(x: Tensor) -> tuple[int, ...]:
    """Where the largest element stands, counted along each axis; the first, where several are
    alike up to rounding, which is not the same on every processor."""
    flat = x.flatten().double()
    top = flat.max()
    at = int((flat >= top - 1e-9 * top.abs().clamp(max=1e300)).int().argmax())
    return tuple(int(i) for i in np.unravel_index(at, x.shape))  # torch's loads sympy: a second


def place(index: Sequence[int], axes: str) -> str:
    """Where an element stands: "b=1, (h p)=0, d=4"."""
    names = re.findall(r"\([^)]*\)|\S+", axes)
    if len(names) != len(index):
        return f"index {tuple(int(i) for i in index)}"
    return ", ".join(f"{name}={int(i)}" for name, i in zip(names, index, strict=True))


def number(x: float) -> str:
    """A number as messages print it: four significant digits."""
    return f"{x:.4g}"
