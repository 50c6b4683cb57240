"""Count what a computation costs: the largest tensor it makes, and its multiply-adds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Count:
    """What one call spent.

    largest_tensor  numbers in the largest tensor that was made; a view that repeats numbers
                    without storing them counts what it stores
    multiply_adds   of matrix products and convolutions
    """

    largest_tensor: int
    multiply_adds: int


class _Largest(TorchDispatchMode):
    """Watches every tensor that torch makes."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.device.type != "meta":
                stored = leaf.untyped_storage().nbytes() // leaf.element_size()
                self.numbers = max(self.numbers, stored)
        return result


def count(call: Callable[[], Any]) -> Count:
    """What `call()` spends, counted and not timed. Attention's own fused products are
    included."""
    flops, largest = FlopCounterMode(display=False), _Largest()
    with torch.no_grad(), flops, largest:
        call()
    return Count(largest.numbers, flops.get_total_flops() // 2)
