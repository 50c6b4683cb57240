"""Of several exercises of the chapter: positional."""

import torch

from attncourse.exercises.edits import published, wrong


def numbers(*values):
    """Positions in double precision."""
    return torch.tensor(values, dtype=torch.float64)


def rotary_complex(x, positions):
    d = x.shape[-1]
    if d % 2:
        raise ValueError(f"{d=} is odd")
    frequency = 10000 ** (-torch.arange(0, d, 2, dtype=torch.float64, device=x.device) / d)
    angles = torch.outer(positions.double(), frequency)
    z = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2).contiguous())
    turned = torch.view_as_real(z * torch.polar(torch.ones_like(angles), angles))
    return turned.flatten(-2).to(x.dtype)


# fmt: off
SHIFTED = 'rearrange(padded, "... (r i) -> ... r i", i=n)[..., 1:, :]'

SKEWS = (
    wrong("padded_on_the_right", "(1, 0)", "(0, 1)",
          "You put the column of zeros on the right. It goes to the left: `F.pad(x, (1, 0))`."),
    wrong("last_row_dropped", "[..., 1:, :]", "[..., :-1, :]",
          "You drop the last row after the reshape. The first holds the padding: drop that one."),
    wrong("not_skewed", SHIFTED, "x",
          "Your rows are not shifted: column r is still a distance. Row i moves left by n - 1 -"
          " i."),
    wrong("distances_reversed", "F.pad(x, ", "F.pad(x.flip(-1), ",
          "You read the distances backwards: the last column is the token itself, the first the"
          " farthest back."),
    wrong("shifted_to_the_right", SHIFTED,
          "torch.stack([x[..., i, :].roll(n - 1 - i, -1) for i in range(n)], -2)",
          "You shift to the right. Row i moves left by n - 1 - i."),
    wrong("shifted_by_i", SHIFTED,
          "torch.stack([x[..., i, :].roll(-i, -1) for i in range(n)], -2)",
          "You shift row i by i. The last row stays as it is, the first moves by n - 1."),
    wrong("diagonal_lost", ".tril()", ".tril(-1)",
          "Your diagonal is 0. A token has a distance to itself, 0: the last column of x."),
    wrong("turned_over", ".tril()", ".tril().mT",
          "Your rows are keys: j i. The queries go down, i j."),
    wrong("upper_half", ".tril()", ".triu()",
          "You keep what is above the diagonal. What is below is right: j <= i."),
    published("unmasked", ".tril()", "",
              "Above the diagonal you leave what the reshape puts there, as Music Transformer does,"
              " where a mask hides it. Here it is 0; with a causal mask the two are alike."),
)
# fmt: on
