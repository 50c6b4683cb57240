"""A study in miniature: a killed one goes on, two processes do what one does, the report."""

import json
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import stats
from small_cifar import batches

from attncourse.errors import UserError
from attncourse.tasks.cifar10 import cifar10
from attncourse.training.study.cells import Cell, is_right, run, split
from attncourse.training.study.fitting import fit, moved, rate_at
from attncourse.training.study.options import FULL, SMALL, Options
from attncourse.training.study.report import against
from attncourse.training.study.running import study
from attncourse.training.study.variants import Variant, build, multiply_adds, variants, within
from solutions.capstone import MECHANISMS

TINY = Options(
    name="tiny",
    channels=(4, 8, 16),
    blocks=1,
    stem=2,
    window=3,
    train=14,
    held=6,
    test=9,
    batch=5,
    epochs=2,
    tuning_epochs=1,
    rates=(0.01, 0.02),
    tuning_seed=7,
    seeds=(0, 1),
    crop=1,
)
FEW = "none", "se", "sasa"
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "cifar-10-batches-py"
    folder.mkdir()
    for name, stored in batches(20).items():
        (folder / name).write_bytes(pickle.dumps(stored))
    return folder.parent


def found(path):
    """A report, without what depends on the clock."""
    report = json.loads(path.read_text())
    del report["minutes"]
    for row in report["rows"]:
        del row["train_ms"]
    return report


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    return found(study(TINY, data, tmp_path_factory.mktemp("one"), "cpu", FEW, QUIET))


def test_the_report_has_every_network_and_every_seed(unbroken):
    rows = unbroken["rows"]
    assert unbroken["missing"] == []
    assert {row["mechanism"] for row in rows if row["at_budget"]} == set(FEW)
    assert {row["mechanism"] for row in rows if row["at_width"]} == set(FEW)
    assert all(len(row["accuracy"]) == 2 for row in rows)
    none = next(row for row in rows if row["mechanism"] == "none")
    assert unbroken["none_at_rate"][f"{none['rate']:g}"] == none["accuracy"]
    assert set(unbroken["none_at_rate"]) == {"0.01", "0.02"}
    for row in rows:
        scores = unbroken["tuning"][row["mechanism"]]
        assert row["rate"] == TINY.rates[scores.index(max(scores))]


def test_a_killed_study_goes_on_with_the_cell_it_was_at(data, tmp_path, unbroken):
    code = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {[p for p in sys.path if p]!r}
        from pathlib import Path
        from attncourse.training.study import running
        from attncourse.training.study.options import Options
        options = Options(**{TINY.__dict__!r})
        running.study(options, Path({str(data)!r}), Path({str(tmp_path)!r}), "cpu", {FEW!r})
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    cells = tmp_path / "cells"
    while len(list(cells.glob("*.json"))) < 4 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert len(there) >= 4
    path = study(TINY, data, tmp_path, "cpu", FEW, QUIET)
    assert {name: (cells / name).stat().st_mtime_ns for name in there} == there
    assert found(path) == unbroken


def test_two_processes_share_the_mechanisms_and_the_last_reports(
    data, tmp_path, unbroken, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert study(TINY, data, tmp_path, "cpu", FEW, QUIET) is None
    monkeypatch.setenv("RANK", "1")
    assert found(study(TINY, data, tmp_path, "cpu", FEW, QUIET)) == unbroken


def test_what_is_there_can_be_reported_before_the_end(data, tmp_path):
    path = study(TINY, data, tmp_path, "cpu", FEW, QUIET, report=True)
    report = found(path)
    assert report["rows"] == []
    assert len(report["missing"]) == len(FEW) * len(TINY.rates) + 2 * len(TINY.rates)


def test_more_seeds_go_on_and_other_settings_are_refused(data, tmp_path):
    study(TINY, data, tmp_path, "cpu", ("none",), QUIET)
    more = study(replace(TINY, seeds=(0, 1, 2)), data, tmp_path, "cpu", ("none",), QUIET)
    assert [len(row["accuracy"]) for row in found(more)["rows"]] == [3]
    with pytest.raises(UserError, match="with epochs 2, not 3"):
        study(replace(TINY, epochs=3), data, tmp_path, "cpu", ("none",), QUIET)


def test_too_few_pictures_are_told(data, tmp_path):
    with pytest.raises(UserError, match="100 pictures, and the study needs 206"):
        study(replace(TINY, train=200), data, tmp_path, "cpu", ("none",), QUIET)


# ---------------------------------------------------------------- its parts


@pytest.mark.parametrize("options", [SMALL, FULL], ids=["small", "full"])
def test_all_mechanisms_meet_the_budget(options):
    budget = multiply_adds(Variant("none", options.channels), options)
    for mechanism in ("none", "se", "gala", "augmented", "sasa3"):
        spent = multiply_adds(within(mechanism, options), options)
        # channels come in fours: one step of the last stage is at most a tenth of the whole
        assert abs(spent / budget - 1) < 0.06, mechanism
    assert within("none", options) == Variant("none", options.channels)
    half = multiply_adds(within("none", options, share=0.5), options)
    assert abs(half / budget - 0.5) < 0.06


def test_the_small_studys_networks_at_the_budget_come_first():
    few = "none", "se", "sasa"
    all_of_them = variants(SMALL, few)
    assert [v.mechanism for v in all_of_them] == [*few, "sasa"]
    assert all_of_them[-1].channels == SMALL.channels
    assert set(few) <= set(MECHANISMS)


def test_held_out_pictures_are_not_trained_on_and_whitened_like_the_others(data):
    train, test = cifar10("train", data, 20), cifar10("test", data, 9)
    parts = split(train, test, TINY, torch.device("cpu"))
    assert [len(label) for _, label in (parts.train, parts.held, parts.test)] == [14, 6, 9]
    assert parts.train[0].mean((0, 2, 3)).abs().max() < 1e-5
    assert (parts.train[0].std((0, 2, 3)) - 1).abs().max() < 1e-5
    mean = train.image[:14].mean((0, 2, 3), keepdim=True)
    deviation = train.image[:14].std((0, 2, 3), keepdim=True)
    assert (parts.held[0] * deviation + mean - train.image[14:]).abs().max() < 1e-5


def test_one_seed_is_one_course_of_training(data, tmp_path):
    parts = split(
        cifar10("train", data, 20), cifar10("test", data, 9), TINY, torch.device("cpu")
    )
    weights = []
    for disturbed in (0, 3):
        torch.manual_seed(disturbed)
        torch.rand(disturbed)
        cell = Cell(Variant("none", TINY.channels), 0.01, 5)
        (tmp_path / str(disturbed)).mkdir()
        weights.append(run(cell, TINY, parts, tmp_path / str(disturbed), lambda: None)["right"])
    assert weights[0] == weights[1]


def test_training_learns_what_can_be_learnt():
    torch.manual_seed(0)
    label = torch.arange(40) % 2
    image = torch.randn(40, 3, 32, 32) * 0.1 + label[:, None, None, None]
    network = build(Variant("none", (4, 8, 8)), TINY)
    fit(network, image, label, 8, 0.01, 0, batch=10)
    network.eval()
    assert (network(image).argmax(-1) == label).all()


def test_the_rate_rises_and_falls_to_0():
    rates = [rate_at(step, 50, 0.2) for step in range(1, 51)]
    assert rates.index(max(rates)) == 4
    assert max(rates) == pytest.approx(0.2)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert rate_at(1, 1, 0.2) == 0.2


def test_moved_pictures_are_the_picture_shifted_and_mirrored():
    x = torch.arange(2 * 1 * 4 * 5.0).reshape(2, 1, 4, 5) + 1
    seen = set()
    for seed in range(60):
        y = moved(x, 1, torch.Generator().manual_seed(seed))[0, 0]
        where = (y == x[0, 0, 1, 2]).nonzero()
        assert len(where) == 1  # an inner pixel stays in the picture
        seen.add(tuple(where[0].tolist()))
    assert seen == {(1 + dy, 2 + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}


def test_differences_are_paired_by_seed_and_by_picture():
    a, b = (
        np.array([[1, 1, 1, 0, 1, 0, 0, 1, 1], [1, 0, 1, 0, 1, 1, 0, 1, 1]]),
        np.array([[1, 0, 0, 0, 1, 1, 0, 1, 0], [1, 0, 0, 0, 1, 0, 0, 0, 1]]),
    )

    def cell(right):
        return {"accuracy": right.mean(), "right": np.packbits(right).tobytes().hex()}

    pairs = [(cell(one), cell(other)) for one, other in zip(a, b, strict=True)]
    assert (is_right(pairs[0][0], 9) == a[0].astype(bool)).all()
    said = against(pairs, TINY)
    assert said["gained_and_lost"] == [[3, 1], [3, 0]]
    assert said["sign_test"] == [stats.binomtest(1, 4).pvalue, stats.binomtest(0, 3).pvalue]
    expected = stats.ttest_rel(a.mean(1), b.mean(1))
    assert said["t_test"] == pytest.approx(expected.pvalue, rel=1e-2)  # kept with 3 digits
    low, high = expected.confidence_interval()
    assert said["interval"] == pytest.approx([low, high], abs=1e-5)
