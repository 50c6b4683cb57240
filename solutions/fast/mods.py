"""Patterns for FlexAttention: what a score becomes, or whether it counts, from its indices.

Answers of chapter 11; nothing in the library uses them.

    score_mod(score, batch, head, i, j) -> score      mask_mod(batch, head, i, j) -> bool

Each is traced once and becomes a part of the kernel. What else they need (the width of the
map, a window, tables) is bound beforehand: `partial(local_mod, width=w, window=k)`.

Axes     i query, j key, tokens of a line; on a map i = h w + x, row by row
Cost     nothing is stored; where a whole tile is masked it is never computed
Source   Dong, Feng, Guessous, Liang, He, "Flex Attention", 2024, arXiv:2412.05496;
         patterns of stand_alone.py, sparse.py and relative_2d.py
"""


def local_mod(batch, head, i, j, width: int, window: int):
    """True where key j lies in the window x window pixels around query i, on a map of `width`
    columns. Works for numbers and for tensors of them."""
    down = j // width - i // width
    across = j % width - i % width
    reach = window // 2
    return (abs(down) <= reach) & (abs(across) <= reach)


def sparse_mod(batch, head, i, j, stride: int):
    """True where key j is not later than query i and is one of its last `stride` keys, or a
    multiple of `stride` before it."""
    ago = i - j
    return (ago >= 0) & ((ago < stride) | (ago % stride == 0))


def relative_mod(score, batch, head, i, j, down, across, width: int):
    """The score and what the query says to the key's row and to its column.

    down    batch head n h, what each query says to each row of the map
    across  batch head n w, and to each column
    """
    return score + down[batch, head, i, j // width] + across[batch, head, i, j % width]
