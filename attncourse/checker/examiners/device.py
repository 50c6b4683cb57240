"""Is something made on a device of its own? Found without having another one."""

import re
from inspect import getsource
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attncourse.checker.building import build
from attncourse.checker.calling import call
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, attempt


def examine(case: Case) -> Fault | None:
    if "device" in case.ex.skip:
        return None
    for index in case.sheet.declared:
        for probe in case.ex.probes:
            inputs = {n: _to_meta(x) for n, x in case.trials[index].inputs.items()}
            if not any(isinstance(x, Tensor) for x in inputs.values()):
                continue
            if not _suspect(case, index, probe):
                continue
            here = build(case.ex, case.answer, case.trials[index]).answer
            if isinstance(here, nn.Module):
                here = here.to("meta")
            with _OneDevice():
                y = attempt(lambda h=here, p=probe, i=inputs: call(case.ex, h, p, i))
            moved = isinstance(y, Tensor) and y.device.type != "meta"
            mixed = isinstance(y, Crash) and _of_two_devices(y)
            if isinstance(y, Crash) and "copy out of meta" in y.text and "cpu" in y.line:
                mixed = not _goes_back(case.answer)
            if moved or mixed:
                return Fault(
                    f"`{probe}` makes a tensor on the CPU wherever its input lies. Pass "
                    "`device=x.device`.",
                    (f"`{y.line}`",) if mixed and y.line else (),
                    "leaves_the_device",
                )
    return None


def _goes_back(answer: Any) -> bool:
    """Whether what is taken to the CPU may come back, which no tensor without numbers shows."""
    text = attempt(lambda: getsource(answer))
    return isinstance(text, Crash) or re.search(r"\bdevice\b|\.to\(", text) is not None


def _suspect(case: Case, index: int, probe: str) -> bool:
    """Whether a tensor is made without its device, or taken to the CPU. Only then is it worth
    while to run on meta tensors, for which torch loads a good deal."""
    trial = case.trials[index]
    built = build(case.ex, case.answer, trial).answer
    with _Makers() as makers, torch.no_grad():
        attempt(lambda: call(case.ex, built, probe, trial.fresh()))
    return makers.found


class _Makers(TorchFunctionMode):
    """Looks for calls that make a tensor on the CPU, wherever the inputs are."""

    MAKE = frozenset(
        "arange as_tensor asarray empty eye from_numpy full linspace logspace ones rand randint"
        " randn randperm range tensor tril_indices triu_indices zeros".split()
    )
    MOVE = frozenset("cpu numpy to tolist __array__".split())

    def __init__(self):
        super().__init__()
        self.found = False

    def __torch_function__(self, function, types, given=(), named=None):
        named, name = named or {}, getattr(function, "__name__", "")
        made = name in self.MAKE and not isinstance(named.get("device"), torch.device)
        self.found |= made or name in self.MOVE
        return function(*given, **named)


class _OneDevice(TorchDispatchMode):
    """Says of meta tensors what a GPU says, where one meets a tensor on the CPU.

    Single numbers may lie anywhere, and so may indices; copies are what moves.
    """

    MAY = ("aten.copy_", "aten._to_copy", "aten.index", "aten._index_put_impl_")

    def __torch_dispatch__(self, function, types, given=(), named=None):
        tensors = [x for x in tree_leaves((given, named)) if isinstance(x, Tensor) and x.ndim]
        devices = {x.device.type for x in tensors}
        if len(devices) > 1 and not str(function).startswith(self.MAY):
            raise RuntimeError("Expected all tensors to be on the same device")
        return function(*given, **(named or {}))


def _to_meta(x: Any) -> Any:
    return x.to("meta") if isinstance(x, Tensor) else x


def _of_two_devices(crash: Crash) -> bool:
    """Whether it crashes since tensors of two devices meet."""
    return "same device" in crash.text or "is not on the expected device" in crash.text
