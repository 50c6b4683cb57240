import os

import pytest
import torch
from disk import disk  # noqa: F401  one that is full
from miniature import miniature, solved  # noqa: F401  a course of one chapter, for tools

# a slow machine is no hanging compiler
os.environ.setdefault("ATTNCOURSE_COMPILE_SECONDS", "1800")
if not torch.cuda.is_available():  # before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_modifyitems(items):
    """What is thinned out of `make test`: other GPUs, other pairs of what was tried alone."""
    if os.environ.get("ATTNCOURSE_NIGHTLY"):
        return
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="nightly: ATTNCOURSE_NIGHTLY=1 runs it"))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def with_kernels() -> torch.device:
    """Where Triton kernels run here: on the GPU, else in the interpreter on the CPU."""
    pytest.importorskip("triton", reason="Triton is for Linux alone")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=lambda x: str(x)[6:])
def kernel_dtype(request, with_kernels) -> torch.dtype:
    """The types that the kernels are for; the interpreter computes in float32 alone."""
    if request.param != torch.float32 and with_kernels.type == "cpu":
        pytest.skip("half precision is for a GPU: the interpreter has none")
    return request.param
