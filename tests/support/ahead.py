"""Triton kernels compiled for GPUs that are not here: what they would need of one.

build(sm, program)   runs a few lines of Python, which call what launches the kernels, on
                     tensors of the CPU; each kernel is compiled for the compute capability
                     `sm` with the arguments it is launched with, and nothing runs
check(built, sm)     asserts that such a GPU has what one of them needs
"""

import json
import os
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

SHARED = {80: 163 * 1024, 90: 227 * 1024}  # bytes that a block may have
TRIED = (80, pytest.param(90, marks=pytest.mark.nightly))  # of the two, the smaller first
REGISTERS = 255  # that a thread may have
FEW = 32  # bytes beyond them that do not matter


class Built(NamedTuple):
    """What a kernel needs: registers a thread, bytes a thread that did not fit into them, bytes
    of shared memory a block, warps a block, and its constants."""

    kernel: str
    registers: int
    spilled: int
    shared: int
    warps: int
    constants: dict


def build(sm: int, program: str) -> list[Built]:
    """What the kernels that `program` launches need, in the order of their first launch."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    ran = subprocess.run(
        [sys.executable, __file__, str(sm)],
        input=program,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return [Built(**found) for found in json.loads(ran.stdout.splitlines()[-1])]


def check(built: Built, sm: int) -> None:
    """Raises AssertionError, with what is too much."""
    name = f"{built.kernel} for sm_{sm}, {built.constants}"
    assert built.registers <= REGISTERS, f"{built.registers} registers: {name}"
    assert built.spilled <= FEW, f"{built.spilled} bytes spill: {name}"
    assert built.shared <= SHARED[sm], f"{built.shared} bytes of shared memory: {name}"


def main(sm: int, program: str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime.jit import JITFunction

    class Driver:
        """One that finds a GPU of this kind."""

        def get_current_target(self):
            return GPUTarget("cuda", sm, 32)

        def get_current_device(self):
            return 0

        def get_current_stream(self, device):
            return 0

    built, run = {}, JITFunction.run

    def only_compile(self, *given, warmup, **more):
        kernel = run(self, *given, warmup=True, **more)
        constants = {k: v for k, v in more.items() if isinstance(v, int | str | float)}
        built[kernel.hash] = {"kernel": self.__name__, "constants": constants, **needs(kernel)}
        return kernel

    triton.runtime.driver.set_active(Driver())
    JITFunction.run = only_compile
    exec(program, {"__name__": "program"})
    print(json.dumps(list(built.values())))


def needs(kernel) -> dict[str, int]:
    """As the tool that comes with Triton reads it from what was compiled."""
    import tempfile

    import triton

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack, local = (
        int(re.search(rf"{name}:(\d+)", said)[1]) for name in ("REG", "STACK", "LOCAL")
    )
    return {
        "registers": registers,
        "spilled": stack + local,
        "shared": kernel.metadata.shared,
        "warps": kernel.metadata.num_warps,
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.stdin.read())
