"""A law explains what no slip is."""

from einops import rearrange, reduce
from told import WEIGHTS, first_line, written

from attncourse import check
from solutions.scaled_dot_product import attention_weights


def test_a_law_explains_where_no_slip_fits():
    def scaled_by_seven(q, k, mask=None):
        return attention_weights(q / 7, k, mask)

    line = first_line(check(WEIGHTS, scaled_by_seven))
    assert "Your scores are 0.1429 times as large as they should be" in line


def test_what_holds_of_the_right_answer_too_is_not_said():
    """BatchNorm lets examples mix in training; the solution has one, too."""

    class Late(written("spatial.channel_branch")):
        def forward(self, x):
            z = rearrange(x, "b c h w -> (b h w) c")
            y = self.up(self.norm(self.down(z)).relu())
            return reduce(y, "(b n) c -> b c", "mean", b=len(x))

    verdict = check("spatial.channel_branch", Late)
    assert verdict.status == "not yet"
    assert "Examples mix" not in verdict.message
