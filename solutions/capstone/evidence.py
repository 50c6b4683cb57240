"""What a difference between two networks is worth.

    d = a - b, seed by seed                        what both have from the seed cancels
    mean(d), s / sqrt(n)                           and how sure it is: its standard error
    p = 2 P(X <= min(gained, lost)), at most 1     X binomial: gained + lost tosses of a coin

Axes     n seeds
Units    d in those of a and b; s has n - 1 in its denominator
Source   Student (Gosset), "The probable error of a mean", Biometrika 1908; McNemar, "Note on
         the sampling error of the difference between correlated proportions or percentages",
         Psychometrika 1947 (in its exact form, the sign test)
"""

import math

from jaxtyping import Float
from torch import Tensor


def paired_difference(
    a: Float[Tensor, " n"], b: Float[Tensor, " n"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The mean of a - b over seeds, and the standard error of that mean.

    Raises ValueError, with the number, for fewer than two seeds: one has no spread.
    """
    n = len(a)
    if n < 2:
        raise ValueError(f"{n=} seeds: a spread takes two or more")
    d = a - b
    return d.mean(), d.std() / math.sqrt(n)


def sign_test(gained: int, lost: int) -> float:
    """How often a fair coin falls at least as unevenly as this: the p of a two-sided test.

    gained, lost  pictures that one network alone has right, and the other alone. Those that
                  both have right, or both wrong, say nothing about which is better
    """
    tosses, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(tosses, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**tosses)
