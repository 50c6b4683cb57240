"""Which kernels in C this run of the tests has: all it computes is of them, or of none.

`attncourse test` runs the tests of `fast` once more without a compiler and once with the
shortest vectors, and says so in ATTNCOURSE_KERNELS: "none", or how many bytes a vector has.
"""

import os
import shutil

import pytest
import torch
from torch.testing import assert_close

from solutions import relative_2d, stand_alone
from solutions.fast import AttentionAugmentedConv2d, StandAloneSelfAttention2d, native

TOLD = os.environ.get("ATTNCOURSE_KERNELS", "")
NAMES = ("local", "relative_2d")
told = pytest.mark.skipif(not TOLD, reason="no step of the suite says which")


def layers():
    """Those that have kernels in C, and their references with the same weights."""
    local = dict(channels=8, heads=2, window=3)
    plane = dict(in_channels=8, out_channels=16, upsilon=0.5, heads=2, size=(15, 14))
    for quick, slow, given in (
        (StandAloneSelfAttention2d, stand_alone.StandAloneSelfAttention2d, local),
        (AttentionAugmentedConv2d, relative_2d.AttentionAugmentedConv2d, plane),
    ):
        one, other = quick(**given), slow(**given)
        other.load_state_dict(one.state_dict())
        yield one, other


def called(monkeypatch) -> list[str]:
    """Collects the kernels that are asked for from here on and are there."""
    names, library = [], native.library

    def asked(name):
        found = library(name)
        names.append(name)
        return found

    monkeypatch.setattr(native, "library", asked)
    return names


@told
def test_the_step_had_what_it_says(monkeypatch):
    ways = ("blocked", "rows") if TOLD == "none" else ("native", "native")
    names, x = called(monkeypatch), torch.randn(2, 8, 15, 14)
    for (layer, slow), way in zip(layers(), ways, strict=True):
        assert layer.runs(x) == way
        assert_close(layer(x), slow(x))
    if TOLD == "none":
        assert names == []
        for name in NAMES:
            assert native.available(name).startswith("no C compiler")
    else:
        assert set(names) == set(NAMES)
        assert [native.vector_bytes(name) for name in NAMES] == [int(TOLD)] * 2


@told
def test_what_is_asked_for_by_name_runs_or_says_why(monkeypatch):
    names, x = called(monkeypatch), torch.randn(2, 8, 15, 14)
    for layer, slow in layers():
        layer.implementation = "native"
        if TOLD != "none":
            assert_close(layer(x), slow(x))
            continue
        with pytest.raises(ValueError, match="native kernel cannot run: no C compiler"):
            layer(x)
    assert set(names) == (set() if TOLD == "none" else set(NAMES))


@pytest.mark.skipif(bool(TOLD), reason="a step of the suite says which")
def test_a_machine_with_a_compiler_has_the_kernels():
    """Else all tests of them would be skipped."""
    if not any(map(shutil.which, (os.environ.get("CC", "cc"), "cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    if os.environ.get(native.SWITCH) == "0":
        pytest.skip("turned off")
    assert [native.available(name) for name in NAMES] == ["", ""]
    assert {native.vector_bytes(name) for name in NAMES} <= {16, 32, 64}
