"""An error is told by its cause, on the learner's own line."""

from einops import rearrange
from told import ATTENTION

from attncourse import check
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_a_transpose_on_the_line_is_not_blamed_for_numbers_that_do_not_fill_a_shape():
    def flat(q, k, v, mask=None):
        return (scaled_dot_product_attention(q, k, v, mask) + 0 * q[0, 0, 0].T).reshape(7, 7, 7)

    first = check(ATTENTION, flat).message.splitlines()[0]
    assert "do not fill the shape [7, 7, 7]" in first


def test_a_check_of_ones_own_that_refuses_too_much_is_said_to_do_so():
    def strict(tiles, w):
        if len(tiles) <= w or len(tiles) % w:
            raise ValueError(f"{len(tiles)} tiles do not fill rows of {w}")
        return rearrange(tiles, "(h w) p q c -> (h p) (w q) c", w=w)

    verdict = check("shapes.mosaic", strict)
    assert "Your own check refuses what is allowed here" in verdict.message
    assert "squeeze" not in verdict.message
