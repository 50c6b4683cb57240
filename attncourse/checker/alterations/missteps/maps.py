"""What people do in place of spreading a map, or of the means of what is near."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attncourse.checker.alterations.missteps.doing import Way


def other_spreading() -> Iterator[Way]:
    for name, change in SPREADS:
        yield name, f"you spread by mode {name}; it is nearest.", change


def other_means() -> Iterator[Way]:
    for text, change in MEANS:
        yield text, f"{text}.", change


def _as(**given: Any) -> Callable:
    """A step called with other options."""
    return lambda func, args, kwargs: func(*args, **(dict(kwargs) | given))


def _spread(mode: str, corners: bool | None = None) -> Callable:
    options = dict(mode=mode, align_corners=corners) if corners is not None else dict(mode=mode)
    return _as(**options)


SPREADS = (
    ("bilinear", _spread("bilinear", False)),
    ("bilinear, corners aligned,", _spread("bilinear", True)),
    ("nearest-exact", _spread("nearest-exact")),
    ("bicubic", _spread("bicubic", False)),
    ("area", _spread("area")),
)


def _pooled(change: Callable[[dict], Any]) -> Callable:
    def pool(func, args, kwargs):
        names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
        return change(dict(zip(names, args, strict=False)) | dict(kwargs))

    return pool


def _max_pool(b: dict) -> Tensor:
    k, p = b["kernel_size"], b["padding"]
    x = F.pad(b["input"], (p,) * 4, value=-torch.inf)
    return F.max_pool2d(x, k, b["stride"])


MEANS = (
    ("what lies beyond the border is counted, as 0",
     _pooled(lambda b: F.avg_pool2d(**(b | dict(count_include_pad=True))))),
    ("you take the maximum of what is near; it is the mean", _pooled(_max_pool)),
    ("you take the sum of what is near; it is the mean",
     _pooled(lambda b: F.avg_pool2d(**b) * F.avg_pool2d(
         torch.ones_like(b["input"]), b["kernel_size"], b["stride"], b["padding"])
         * b["kernel_size"] ** 2)),
    ("you take the mean of what is near twice",
     _pooled(lambda b: F.avg_pool2d(**(b | dict(
         input=F.avg_pool2d(**(b | dict(stride=1)))))))),
    ("you take the middle between the maximum and the mean of what is near; it is the mean",
     _pooled(lambda b: (F.avg_pool2d(**b) + _max_pool(b)) / 2)),
)  # fmt: skip
