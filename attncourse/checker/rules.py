"""The standing rules of every exercise: chapter 00 tells them, `hint` where one is broken."""

RULES = {
    "changes_the_dtype": "What comes in as double goes out as double, single as single.",
    "no_gradient": "Gradients reach everything that the result depends on.",
    "wrong_gradient": "Gradients reach everything that the result depends on.",
    "changes_its_input": "What you are given belongs to the caller, and is not changed.",
    "leaves_the_device": "What you make lies where the input lies: `device=x.device`.",
    "remembers_earlier_calls": "Nothing is kept from one call to the next.",
    "needs_contiguous": "Inputs may lie in memory in any order.",
    "needs_longer_axes": "Any axis may have length 1: one example, one query, one pixel.",
    "needs_these_sizes": "Sizes are those of the input, even or odd.",
    "needs_so_many_axes": "A star in the annotation stands for any number of axes.",
}

last: dict[str, str | None] = {}  # the slip of the last verdict, by exercise


def broken(id: str) -> str | None:
    """The standing rule that the last answer to this exercise broke, if it was that."""
    return RULES.get(last.get(id) or "")
