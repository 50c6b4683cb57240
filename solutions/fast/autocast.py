"""Our operators under `torch.autocast`: they take its type, as torch's own attention does."""

import torch
from torch import Tensor
from torch.library import Library

_library = Library("attncourse", "FRAGMENT")


def lowered(name: str) -> None:
    """Under autocast, numbers of 16 and of 32 bits that the operator `attncourse::name` is
    given become the type that autocast was told."""
    for device in ("cpu", "cuda"):
        _library.impl(name, _lowered(name, device), f"Autocast{device.upper()}")


def _lowered(name: str, device: str):
    def call(*given):
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return getattr(torch.ops.attncourse, name)(*(_cast(x, dtype) for x in given))

    return call


def _cast(x, dtype: torch.dtype):
    lower = isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(dtype) if lower else x
