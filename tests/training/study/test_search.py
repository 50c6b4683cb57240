"""The search in miniature; it needs the extra `study`."""

import json
import pickle
from dataclasses import replace

import pytest
from rich.console import Console
from small_cifar import batches

from attncourse.training.study.options import SMALL
from attncourse.training.study.search import PATTERNS, search

optuna = pytest.importorskip("optuna", reason='no optuna: pip install -e ".[study]"')
TINY = replace(
    SMALL,
    window=3,
    train=14,
    held=6,
    test=9,
    batch=7,
    epochs=1,
    tuning_epochs=1,
    seeds=(0, 1),
)


def test_a_search_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, stored in batches(20).items():
        (folder / name).write_bytes(pickle.dumps(stored))
    quiet = Console(quiet=True)
    first = search(TINY, tmp_path, tmp_path / "run", 2, "cpu", quiet)
    begun = json.loads(first.read_text())
    path = search(TINY, tmp_path, tmp_path / "run", 3, "cpu", quiet)
    report = json.loads(path.read_text())
    for sampler, trials in report["trials"].items():
        assert len(trials) == 3
        assert trials[:2] == begun["trials"][sampler]
        assert all(one["multiply_adds"] < 1.1 * report["budget"] for one in trials)
    assert {*PATTERNS} <= {one["operations"] for one in report["patterns"]}
    best = max(one["accuracy"] for trials in report["trials"].values() for one in trials)
    assert report["best"]["accuracy"] == best
