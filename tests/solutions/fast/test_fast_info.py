"""`attncourse info` says which fast implementations there are."""

import pytest
import torch

from attncourse.workshop import info
from solutions.fast import (
    gpu,
    local,
    native,
    non_local,
    relative_2d,
    scaled_dot_product,
    sparse,
)


def test_what_it_names_is_what_the_files_have(monkeypatch):
    monkeypatch.setattr(native, "available", lambda name: "")
    have = {
        "fast local": local,
        "fast relative": relative_2d,
        "fast sparse": sparse,
        "fast attention": scaled_dot_product,
    }
    said = info.fast()
    assert said.keys() == {*have, "fast kernels"}
    for name, module in have.items():
        assert set(said[name].split(", ")) <= set(module.IMPLEMENTATIONS)
    assert set(non_local.IMPLEMENTATIONS) == set(scaled_dot_product.IMPLEMENTATIONS)


def test_without_a_compiler_it_says_why(monkeypatch):
    monkeypatch.setattr(native, "available", lambda name: "no C compiler")
    said = info.fast()
    assert said["fast local"] == "blocked; no native kernel: no C compiler"
    assert said["fast relative"] == "rows, augmented; no native kernel: no C compiler"


@pytest.mark.skipif(not gpu._installed(), reason="no Triton here")
def test_it_says_where_kernels_run(monkeypatch):
    monkeypatch.setattr(gpu, "interpreting", lambda: True)
    assert info.fast()["fast kernels"].endswith(", in the interpreter")
    monkeypatch.setattr(gpu, "interpreting", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ", but no CUDA device; TRITON_INTERPRET=1 " in info.fast()["fast kernels"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert info.fast()["fast kernels"].endswith(", on a card")


def test_without_triton_it_says_so(monkeypatch):
    monkeypatch.setattr(gpu, "_installed", lambda: False)
    assert info.fast()["fast kernels"].startswith("Triton is not installed")
