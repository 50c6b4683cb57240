"""What `check` tells, for its tests, and the exercises on which they look at it."""

from collections.abc import Callable

from attncourse.checker.verdict import Verdict
from attncourse.course import exercise
from attncourse.exercises.edited import copy

ATTENTION = "scaled_dot_product.scaled_dot_product_attention"
WEIGHTS = "scaled_dot_product.attention_weights"
HEADS = "multi_head.multi_head_attention"
SOFTMAX = "scaled_dot_product.softmax"


def first_line(verdict: Verdict) -> str:
    """The line that carries the cause."""
    return verdict.message.splitlines()[0]


def written(id: str) -> Callable:
    """The solution as somebody gives it who has written it."""
    return copy(exercise(id))
