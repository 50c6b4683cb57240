"""Shapes spelt in the letters of a chapter: 2 3 5 becomes b i d."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor


def spell(shape: Sequence[int], sizes: Mapping[str, int]) -> str:
    """A shape in letters, "b i d".

    A size that is no letter's own is tried as a product of two, "(head d)", and else left as a
    number. No axes at all are "a single number".
    """
    letters = {}
    for one, other in combinations(sizes, 2):
        letters.setdefault(sizes[one] * sizes[other], f"({one} {other})")
    letters |= {size: letter for letter, size in sizes.items()} | {1: "1"}
    return " ".join(letters.get(size, str(size)) for size in shape) or "a single number"


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
    """Where the largest element stands, counted along each axis; the first, where several."""
    at = int(x.flatten().long().argmax() if x.dtype == torch.bool else x.flatten().argmax())
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
