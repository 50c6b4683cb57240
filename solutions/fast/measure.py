"""How fast it could be, and how fast it is: a floor from two rates, ratios within rounds.

Answers of chapter 11; nothing in the library uses them.

    t >= max(2 multiply-adds / rate, bytes / bandwidth)      roofline
    ratio = median over rounds of t_ours / t_theirs          a round times both

Axes     n tokens, d features of a head; a round is one time of each, one after the other
Units    rate in operations a second, of which a multiply-add is two; bandwidth in bytes a
         second; numbers moved are numbers, times their bytes for bytes
Source   Williams, Waterman, Patterson, "Roofline", Communications of the ACM 52(4), 2009
"""

import math

from jaxtyping import Float
from torch import Tensor


def traffic(n: int, d: int, rows: int | None = None) -> int:
    """How many numbers one head of attention moves between memory and chip.

    Without `rows` the map is in memory: q, k and v are read, y is written; scores are written,
    read by the softmax, its weights written, and read once more. With `rows` queries at a time
    q is read and y written once, k and v once for each tile of queries.
    """
    if rows is None:
        return 4 * n * d + 4 * n * n
    return 2 * n * d + 2 * n * d * math.ceil(n / rows)


def floor_seconds(multiply_adds: float, bytes: float, rate: float, bandwidth: float) -> float:
    """No program is faster than this: computing and moving can at best go on at a time.

    rate in operations a second, bandwidth in bytes a second.
    """
    return max(2 * multiply_adds / rate, bytes / bandwidth)


def ratio(
    ours: Float[Tensor, " round"], theirs: Float[Tensor, " another"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """How much longer ours takes: median, least and most of the ratios within a round, as
    tensors. Of an even number of rounds the median is midway between the two in the middle.

    Raises ValueError, with both numbers, where not every round has both times.
    """
    if len(ours) != len(theirs):
        raise ValueError(
            f"{len(ours)} times of ours, {len(theirs)} of theirs: a round has both"
        )
    ratios = ours / theirs
    return ratios.quantile(0.5), ratios.min(), ratios.max()
