"""What the benchmarks compare is the same work; and they count as they say."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from attncourse.results import result

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def fast_local(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("fast_local")


@pytest.fixture
def fast_attention(fast_local):
    return import_module("fast_attention")


def values(ways, *names):
    with torch.no_grad():
        return [ways[name][0](*ways[name][1]) for name in names]


def test_all_ways_of_local_attention_give_the_same(fast_local):
    ways = fast_local.ways((2, 8, 6, 5, 2), peers=False)
    names = [name for name in ways if name != "convolution"]
    first, *others = values(ways, *names)
    assert len(others) >= 2
    for other in others:
        assert_close(first, other, atol=1e-5, rtol=1e-4)
    assert values(ways, "convolution")[0].shape == (2, 8, 6, 5)
    for call, given, back in ways.values():
        fast_local.runner(call, given, bool(back))()


def test_all_ways_of_relative_attention_give_the_same(fast_attention):
    ways = fast_attention.relative(1, 5)
    first, *others = values(ways, "skew", "augmented", "rows")
    for other in others:
        assert_close(first, other)


def test_sparse_attention_is_measured_beside_its_reference(fast_attention):
    ways = fast_attention.sparse(36, reference=True)
    for pattern in ("strided, split", "fixed, merged"):
        assert_close(*values(ways, pattern, f"{pattern}, reference"))


def test_a_linear_non_local_block_is_the_dense_one(fast_attention):
    ways = fast_attention.non_locals(6)
    assert_close(*values(ways, "dot product, dense", "dot product, linear"))


def test_all_take_turns_and_ratios_are_within_a_round(fast_local):
    seen = []
    runs = {name: lambda name=name: seen.append(name) for name in ("one", "two")}
    spent = fast_local.turns(runs, rounds=3, threads=2)
    assert seen == ["one", "two"] * 4
    assert [len(times) for times in spent.values()] == [3, 3]
    given = {"one": [1.0, 2.0, 4.0], "two": [2.0, 2.0, 2.0]}
    assert fast_local.ratios(given, "two") == {"one": [1, 0.5, 2], "two": [1, 1, 1]}


@pytest.mark.parametrize("name", ["fast_local", "fast_attention"])
def test_the_kept_results_say_how_they_were_measured(name):
    kept = result(name)
    assert kept["clock"] in ("processor", "wall")
    assert kept["allocator"]
    assert kept["threads"] >= 1


def test_the_kept_ratios_are_those_the_files_are_here_for():
    sizes = result("fast_local")["sizes"]
    for size in sizes:
        for direction in ("forward", "forward + backward"):
            over = size[direction]["over unfold"]
            assert over["native"][0] < over["blocked"][0] < over["reference"][0] < 1
    kept = result("fast_attention")
    long = kept["sparse, n = 16384"]["forward + backward"]["over dense"]
    assert all(ratio[0] < 0.2 for name, ratio in long.items() if "reference" not in name[-9:]
               and name != "dense")  # fmt: skip
    for title in kept:
        if title.startswith("relative"):
            over = kept[title]["forward"]["over no places"]
            assert over["rows"][0] < over["augmented"][0] < over["skew"][0]
