"""What a run leaves, to compare to the last bit."""

import torch

from attncourse.training.checkpoints import CHECKPOINT, load


def ending(folder):
    """All that a run leaves, but for the times."""
    state = load(folder / CHECKPOINT)
    del state["record"]["seconds"], state["record"]["cpu_seconds"]
    return state


def same(one, other):
    """Equal to the last bit, whatever is in it."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
