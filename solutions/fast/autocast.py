"""Our operators under `torch.autocast`: they take its type, as torch's own attention does."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps

import torch
from torch import Tensor
from torch.library import Library

from solutions import checks

_library = Library("attncourse", "FRAGMENT")


def lowered(name: str, *, tensors: int | None = None) -> None:
    """Under autocast, numbers of 16 and of 32 bits that the operator `attncourse::name` is
    given become the type that autocast was told: the first `tensors` of them, or all."""
    for device in ("cpu", "cuda"):
        _library.impl(name, _lowered(name, device, tensors), f"Autocast{device.upper()}")


def cast(*given: Tensor) -> tuple[Tensor, ...]:
    """What is not an operator does this by itself."""
    return tuple(x.to(checks.lowered(x)) for x in given)


def off(x: Tensor) -> AbstractContextManager:
    """Without autocast, which would change the types of products in place."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if device in ("cpu", "cuda") else nullcontext()


def exactly(function: Callable) -> Callable:
    """The function of an operator, without autocast: on the way back nobody has turned it off,
    and a product of other numbers than the kernel reads would be made."""

    @wraps(function)
    def call(first: Tensor, *given):
        with off(first):
            return function(first, *given)

    return call


def _lowered(name: str, device: str, tensors: int | None):
    def call(*given):
        dtype = torch.get_autocast_dtype(device)
        many = len(given) if tensors is None else tensors
        given = (*(_cast(x, dtype) for x in given[:many]), *given[many:])
        with torch.autocast(device, enabled=False):
            return getattr(torch.ops.attncourse, name)(*given)

    return call


def _cast(x, dtype: torch.dtype):
    lower = isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(dtype) if lower else x
