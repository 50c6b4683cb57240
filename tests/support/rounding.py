"""How far single precision may be off: bounds that follow from the arithmetic.

A sum of n numbers, each rounded to a unit u, is off by at most n u times the sum of magnitudes
(Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5), whatever the order in
which a processor adds. Where roundings do not conspire it is λ √n u, and more than that with a
probability below 2 exp(-λ²/2) (Higham and Mary, SIAM J. Sci. Comput. 41, 2019, theorem 2.4).
"""

import math

import torch
from torch import Tensor

LAMBDA = 6  # three in a hundred million


def unit(dtype: torch.dtype = torch.float32) -> float:
    """Half the distance from 1 to the next number: what rounding is off by, relatively."""
    return torch.finfo(dtype).eps / 2


def of_a_sum(n: int, dtype: torch.dtype = torch.float32) -> float:
    """The error of a sum of n numbers, relative to the sum of their magnitudes."""
    return LAMBDA * math.sqrt(n) * unit(dtype)


def of_attention(scores: Tensor, magnitudes: Tensor, v: Tensor, terms: int) -> Tensor:
    """How far two ways to compute softmax(scores) v in single precision may differ, in float64.

    scores      i j, as they are without rounding
    magnitudes  i j, of what is summed for a score, added up
    v           j e
    terms       how many numbers a score is the sum of

    A score that is off by δ changes its weight by the factor exp(δ), as it does the sum that
    all are divided by; exp, the division and the sum over j are rounded as well.
    """
    n = scores.shape[-1]
    shift = of_a_sum(terms) * magnitudes.amax(-1, keepdim=True)
    relative = 2 * shift + 2 * of_a_sum(n) + 4 * unit()
    return 2 * relative * (scores.softmax(-1) @ v.abs())
