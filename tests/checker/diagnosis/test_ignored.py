"""An input that makes no difference is named; a result that is kept is another thing."""

import torch
from einops import einsum
from told import first_line

from attncourse import check
from solutions.positional import rotary
from solutions.spatial import BAM


def test_an_input_that_is_not_used_is_named():
    def television(picture, weights):
        known = torch.tensor([0.299, 0.587, 0.114], dtype=picture.dtype)
        return einsum(picture, known[: picture.shape[-1]], "h w c, c -> h w")

    def all_alike(x, positions):
        return rotary(x, torch.full_like(positions, 3))

    assert "`weights` makes no difference" in first_line(check("shapes.grey", television))


def test_a_number_that_is_not_used_is_named_and_nothing_is_said_to_be_kept():
    def of_the_paper(n, alpha):
        return ((5 + n) / 6) ** 0.6

    cause = first_line(check("transformer.length_penalty", of_the_paper))
    assert "alpha" in cause
    assert "kept" not in cause


def test_of_a_count_it_is_said_first():
    def of_the_paper(dim, heads, queries, keys):
        return 2 * (queries + keys) * 512**2 + 2 * queries * keys * 512

    assert "`dim` makes no difference" in first_line(
        check("multi_head.multiply_adds", of_the_paper)
    )


def test_a_default_that_stands_where_the_argument_belongs_is_named():
    def of_the_paper(stages, reduction=16, bias=False):
        middles = [c // 16 for _, c in stages]
        return sum(
            n * (2 * c * m + bias * (c + m)) for (n, c), m in zip(stages, middles, strict=True)
        )

    cause = first_line(check("channel.added_parameters", of_the_paper))
    assert "`reduction` makes no difference" in cause


def test_an_argument_that_is_not_handed_on_is_named():
    class Near(BAM):
        def __init__(self, channels, reduction=16, dilation=4, combine="sum"):
            super().__init__(channels, reduction, 3, combine)

    cause = first_line(check("spatial.bam", Near))
    assert "`dilation` of `__init__` makes no difference" in cause


def test_what_is_used_in_some_cases_is_not_said_to_be_unused():
    def where_it_is_odd(x, positions):
        odd = positions % 2 == 1
        return rotary(x, positions * odd)

    assert "no difference" not in check("positional.rotary", where_it_is_odd).message
