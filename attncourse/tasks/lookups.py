"""Made-up tasks: each isolates one ability, and its ceiling can be worked out."""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor


class Lookups(NamedTuple):
    """Questions about tokens, each of which has a colour of its own and a number.

    asked   b i 2, the two colours that question i asks for: the first, then the second
    colour  b j, the colour of token j. Every colour comes up once an example
    number  b j, the number of token j: independent, normal, with mean 0 and variance 1
    answer  b i, the first number minus the second (or plus)
    place   b i 2, where the two tokens stand: for drawing, not for solving
    """

    asked: Int[Tensor, "b i 2"]
    colour: Int[Tensor, "b j"]
    number: Float[Tensor, "b j"]
    answer: Float[Tensor, "b i"]
    place: Int[Tensor, "b i 2"]


def two_lookups(examples: int, questions: int = 4, colours: int = 6, sign: int = -1) -> Lookups:
    """How much larger is the number of one colour than that of another?

    The answer is x_p + sign x_q, where token p has the first colour and token q the second.
    """
    if colours < 2:
        raise ValueError(f"{colours=}: a question asks for two colours, so at least 2")
    colour = torch.rand(examples, colours).argsort(-1)
    number = torch.randn(examples, colours)
    asked = torch.rand(examples, questions, colours).argsort(-1)[..., :2]
    example = rearrange(torch.arange(examples), "b -> b 1 1")
    place = colour.argsort(-1)[example, asked]  # the inverse order: where each colour stands
    first, second = rearrange(number[example, place], "b i pair -> pair b i")
    return Lookups(asked, colour, number, first + sign * second, place)


def explained_by_one_mixture(
    shares: Float[Tensor, "*batch j"], p: int, q: int, sign: int = -1
) -> Float[Tensor, "*batch"]:
    """How much of the variance of the answer one mixture can explain, read as well as can be.

    The mixture is r = sum over j of a_j x_j with shares a, the answer x_p + sign x_q.
    The numbers x are independent and normal, with one variance, and the shares do not depend on
    them. Then answer and r are jointly normal, the best guess is a multiple of r, and what it
    explains is their squared correlation, (a_p + sign a_q)² / (2 sum of a²).
    """
    covariance = shares[..., p] + sign * shares[..., q]
    return covariance**2 / (2 * (shares**2).sum(-1))
