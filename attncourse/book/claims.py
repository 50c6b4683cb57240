"""What the prose says of numbers that differ between processors, executed."""

import numpy as np
import torch


class ClaimFailed(AssertionError):
    """Something the text claims is not so on this machine; the message is the claim."""


def claim(condition, sentence: str) -> None:
    """Print `sentence` if the condition holds, else fail: `claim(gain > 1, "it helps")`."""
    if not isinstance(sentence, str) or not sentence.strip():
        raise TypeError("a claim is a condition and a sentence that says it")
    if isinstance(condition, torch.Tensor) and condition.ndim == 0:
        condition = condition.item()
    if not isinstance(condition, bool | np.bool_):
        shape = f" of shape {tuple(condition.shape)}" if hasattr(condition, "shape") else ""
        raise TypeError(
            f"a claim holds or does not, and this is a {type(condition).__name__}{shape}: "
            "compare with a number, and reduce with .all() or .any()"
        )
    if not condition:
        raise ClaimFailed(f"does not hold here: {sentence}")
    print(f"holds: {sentence}")
