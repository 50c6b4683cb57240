"""Is something made on a device of its own? Found without having another one."""

from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from attncourse.checker.building import build
from attncourse.checker.calling import call
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.running import Crash, attempt

READ = frozenset({"tolist", "numpy", "__array__"})  # on the CPU, as plain numbers
REMARK = (
    "A remark: the result lies on the CPU wherever the input does, since its numbers were read"
    " out. For a GPU pass `device=x.device` where the tensor is made."
)
THERE = torch.device("cpu", 0)  # as which the other device goes; torch makes no difference
TWO = "Expected all tensors to be on the same device"
_FROM_NUMPY = patch.object(torch, "from_numpy", torch.as_tensor)  # which can be followed


def examine(case: Case) -> Fault | None:
    if "device" in case.ex.skip:
        return None
    for index in case.sheet.declared:
        trial = case.trials[index]
        if not any(isinstance(x, Tensor) for x in trial.inputs.values()):
            continue
        for probe in case.ex.probes:
            built, inputs = build(case.ex, case.answer, trial).answer, trial.fresh()
            with _FROM_NUMPY, _TwoDevices() as devices, torch.no_grad():
                y = attempt(lambda b=built, p=probe, i=inputs: call(case.ex, b, p, i))
            mixed = isinstance(y, Crash) and TWO in y.text
            stays = isinstance(y, Tensor) and devices.holds(y)
            if stays and devices.read:
                if REMARK not in case.remarks:
                    case.remarks.append(REMARK)
            elif mixed or stays:
                return Fault(
                    f"`{probe}` makes a tensor on the CPU wherever its input lies. Pass "
                    "`device=x.device`.",
                    (f"`{y.line}`",) if mixed and y.line else (),
                    "leaves_the_device",
                )
    return None


class _TwoDevices(TorchFunctionMode):
    """Follows which tensors lie on the CPU while inputs and weights lie on another device.

    All lie on the CPU in truth; the other device has a name of its own, `THERE`, which is what
    `x.device` is of a tensor that lies there. Where tensors of both meet, this raises what a
    GPU raises. Single numbers may lie anywhere, and so may indices; copies are what moves.
    """

    MAKE = frozenset(
        "arange as_tensor asarray empty eye full linspace logspace ones rand randint randn"
        " randperm range tensor tril_indices triu_indices zeros".split()
    )
    BEGIN = MAKE | {"cpu", "to", "__get__"}  # what something can be on the CPU after
    MAY = frozenset(
        "to copy_ type_as __getitem__ __setitem__ index_put index_put_ expand_as view_as"
        " reshape_as".split()
    )

    def __init__(self):
        super().__init__()
        self.read = False  # whether numbers of a tensor were read out
        self.here: dict[int, Tensor] = {}  # those on the CPU, kept, as another may get the id

    def holds(self, x: Tensor) -> bool:
        """Whether a tensor lies on the CPU."""
        return id(x) in self.here

    def __torch_function__(self, function, types, given=(), named=None):
        named, name = named or {}, getattr(function, "__name__", "")
        self.read = self.read or name in READ
        if not self.here and name not in self.BEGIN:
            return function(*given, **named)
        tensors = [x for x in tree_leaves((given, named)) if isinstance(x, Tensor)]
        here = [self.holds(x) for x in tensors]
        places = {mine for x, mine in zip(tensors, here, strict=True) if x.ndim}
        if len(places) > 1 and name not in self.MAY:
            raise RuntimeError(TWO)
        y = function(*given, **named)
        if name in ("to", "cpu") and any(y is x for x in tensors):  # it lies in both places
            y = y.view_as(y)
        if isinstance(y, torch.device):
            return y if all(here) else THERE
        made = [x for x in tree_leaves(y) if isinstance(x, Tensor)]
        if made and self._lands_here(name, given, named, here):
            for x in made:
                if not any(x is one for one in tensors):  # what is changed in place stays
                    self.here[id(x)] = x
        else:
            for x in made:
                self.here.pop(id(x), None)
        return y

    def _lands_here(self, name: str, given: tuple, named: Any, here: list[bool]) -> bool:
        """Whether what a call makes lies on the CPU."""
        asked = named.get("device")
        if name == "to" and len(given) > 1:
            if isinstance(given[1], Tensor):
                return self.holds(given[1])
            asked = given[1] if isinstance(given[1], str | torch.device) else asked
        if asked is not None:
            return torch.device(asked) != THERE
        if name in ("as_tensor", "asarray") and here:
            return here[0]
        if name == "cpu" or name in self.MAKE:
            return True
        if name in ("__getitem__", "type_as"):
            return here[0] if name == "__getitem__" else here[1]
        return all(here)
