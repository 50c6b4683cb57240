"""What `check` tells, for its tests, and the exercises on which they look at it."""

from attncourse.checker.verdict import Verdict

ATTENTION = "scaled_dot_product.scaled_dot_product_attention"
WEIGHTS = "scaled_dot_product.attention_weights"
HEADS = "multi_head.multi_head_attention"
SOFTMAX = "scaled_dot_product.softmax"


def first_line(verdict: Verdict) -> str:
    """The line that carries the cause."""
    return verdict.message.splitlines()[0]
