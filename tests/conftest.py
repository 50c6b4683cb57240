import os

import pytest
import torch
from miniature import miniature, solved  # noqa: F401  a course of one chapter, for tools

if not torch.cuda.is_available():  # before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
