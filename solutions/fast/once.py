"""What is differentiated once: gradients that are computed by hand, and an error after that.

`torch.autograd.function.once_differentiable` is not enough: its error stands beside the way
from the gradients to what they depend on, and `torch.autograd.grad` walks past it without a
word. Here it stands in the way.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def gradients(name: str, function: Callable, tensors: tuple[Tensor, ...], *rest) -> tuple:
    """`function(*tensors, *rest)`, of which nobody gets a gradient."""
    return Gradients.apply(name, function, rest, *tensors)


def transforming() -> bool:
    """Whether a transform of torch.func is at work: it wants plain operations, as tracing
    does."""
    if torch.compiler.is_compiling():
        return False
    active = getattr(torch._C, "_are_functorch_transforms_active", None)
    return active is not None and active()


class Gradients(torch.autograd.Function):
    @staticmethod
    def forward(name, function, rest, *tensors):
        return function(*tensors, *rest)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.name = inputs[0]

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError(
            f"{ctx.name} is differentiated once, not twice: take implementation='reference'"
        )
