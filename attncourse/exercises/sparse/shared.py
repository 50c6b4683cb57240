"""Of several exercises of the chapter: sparse."""

from attncourse.exercises.edits import Wrong, often, wrong
from attncourse.exercises.record import Trial

NO_TENSORS = frozenset({"gradients", "large", "strided", "float32", "device"})


def mask_trials(word):
    """n tokens with a window or a stride."""

    def trials():
        chosen = ((11, 3), (7, 4), (12, 4), (9, 5), (5, 1), (4, 6))
        return tuple(
            Trial(f"for n={n}, {word}={length}", dict(i=n, j=n), {"n": n, word: length})
            for n, length in chosen
        )

    return trials


def cost_sizes(n, **sizes):
    return dict(b=2, n=n) | sizes


def own_attention(line: str, name: str, weights: str, message: str) -> Wrong:
    """A slip in an attention of one's own, which is defined before a line."""
    own = (
        f"def scaled_dot_product_attention(q, k, v, mask):\n    return {weights} @ v\n\n{line}"
    )
    return wrong(name, line, own, message)


# fmt: off
def scores(line: str) -> tuple[Wrong, ...]:
    """Slips of the scores, in an attention of one's own before a line."""
    return (
        *often(
            own_attention(line, "not_scaled", "masked_softmax(q @ k.mT, mask)",
                          "The scores are not divided by sqrt(d)."),
        ),
        own_attention(line, "scaled_by_d", "masked_softmax(q @ k.mT / q.shape[-1], mask)",
                      "You divide the scores by d. It is sqrt(d)."),
        own_attention(line, "scaled_by_values",
                      "masked_softmax(q @ k.mT / math.sqrt(v.shape[-1]), mask)",
                      "You divide the scores by the root of the width of v. It is sqrt(d), the"
                      " features of q and k."),
        own_attention(line, "masked_after_the_softmax",
                      "((q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) * mask)",
                      "You mask the weights after the softmax: hidden keys have already taken their"
                      " share. Mask the scores."),
    )
# fmt: on
