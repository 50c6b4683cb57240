"""What errors inside a kernel of Triton mean."""

import re

from attncourse.checker.crashes import lines
from attncourse.checker.crashes.words import Crash, Shapes, Table, told


def _tiles(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    a, b = found.groups()
    text = f"in a kernel an axis of ⟨{a}⟩ meets one of ⟨{b}⟩"
    text += f": {told(shapes)}" if told(shapes) else ""
    if reduced := lines.reduced_over_first(crash):
        return text + (
            f". `{reduced}` runs over the queries, axis 0, and leaves one number for each key;"
            " a query has its own, over the keys: axis 1."
        )
    return text + ". `[:, None]` makes i an axis i 1, which fits i j and i e."


KERNELS: Table = (
    (r"incompatible dimensions at index \d+: (\d+) and (\d+)", _tiles),
    (
        r"input shape.*not compatible for matmul|First input shape"
        r"|must have equal reduction dim",
        lambda f, c, s: (
            f"the two tiles share no axis of equal size{': ' + told(s) if s else ''}. `tl.dot`"
            " sums the last axis of the first over the first of the second."
        ),
    ),
    (
        r"'tensor' object has no attribute '(\w+)'",
        lambda f, c, s: (
            f"a tile of Triton has no `{f[1]}`: inside a kernel it is `tl.max(x, 1)`,"
            " `tl.sum(x, 1)`, `tl.exp`, `tl.maximum`, `tl.dot`."
        ),
    ),
    (
        r"must be Tensor, not tensor|Tensor type unknown to einops|unsupported operand type"
        r"\(s\) for @: 'tensor'|found type tensor|must be real number, not tensor",
        "torch, einops, math and `@` do not work on tiles: inside a kernel it is `tl.max`,"
        " `tl.sum`, `tl.exp`, `tl.maximum`, `tl.dot`.",
    ),
)
