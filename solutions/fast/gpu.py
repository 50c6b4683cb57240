"""Kernels in Triton: where they run, and the one place that loads them.

A file with such kernels is named `…_triton.py`, imports Triton at its top, and is imported here
alone, when it is first asked for: everything else works where Triton is not installed.
`TRITON_INTERPRET=1`, set before that, runs the kernels one line after the other on the CPU:
for tests and for learning, a thousand times slower.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType

import torch


@torch.compiler.assume_constant_result  # torch.compile asks once and does not look inside
def available(device: torch.device | str) -> str:
    """ "" where kernels run on tensors of this device, else why not, in one line."""
    device = torch.device(device)
    if not _installed():
        return "Triton is not installed (there is one for Linux alone)"
    if interpreting():
        return "" if device.type in ("cpu", "cuda") else f"no Triton for {device}"
    if device.type == "cpu":
        return "the tensors are on the CPU, and TRITON_INTERPRET=1 is not set"
    if device.type != "cuda":
        return f"the tensors are on {device}, and the kernels are for CUDA"
    if not torch.cuda.is_available():
        return "no CUDA device"
    return ""


def interpreting() -> bool:
    """Whether kernels that are loaded from now on run in the interpreter."""
    if not _installed():
        return False
    import triton

    return bool(triton.knobs.runtime.interpret)


def status() -> str:
    """Where kernels run here, in one line."""
    if not _installed():
        return available("cuda")
    name = f"Triton {version('triton')}"
    if interpreting():
        return f"{name}, in the interpreter"
    if why := available("cuda"):
        return f"{name}, but {why}; TRITON_INTERPRET=1 runs kernels on the CPU, slowly"
    return f"{name}, on {torch.cuda.get_device_name()}"


def kernels(name: str) -> ModuleType:
    """The module `solutions.fast.<name>_triton`. Raises ImportError without Triton."""
    if not _installed():
        raise ImportError(available("cuda"))
    return import_module(f"solutions.fast.{name}_triton")


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
