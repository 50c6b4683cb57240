"""Networks that are trained already: small, whole, and better than who does not look."""

import json
from dataclasses import replace

import pytest
import torch

from attncourse.errors import UserError
from attncourse.training import kept
from attncourse.training.kept import RECIPES

SHORT = replace(RECIPES["cbam"], channels=(4, 8, 8), pictures=20, epochs=1, batch=10, test=30)


@pytest.mark.parametrize("name", kept.names())
def test_a_kept_network_is_small_and_reads_digits(name):
    path = kept.HERE / f"{name}.pt"
    assert path.stat().st_size < 2 * 2**20
    image, digit, _ = kept.pictures(200, 31)
    most_frequent = digit.bincount().max().item() / len(digit)
    # 200 pictures: a standard error of 0.034, of which this is three
    assert kept.accuracy(kept.load(name), image, digit) > most_frequent + 0.1


@pytest.mark.parametrize("name", kept.names())
def test_what_is_told_of_it_is_its_recipe(name):
    told = kept.about(name)
    made = json.loads(json.dumps(vars(RECIPES[name])))
    assert told["recipe"] == made
    assert told["accuracy"] > 2 * told["baseline"]


def test_the_same_recipe_gives_the_same_network():
    one, again = (kept.train("cbam", SHORT).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_what_is_written_is_what_was_measured(tmp_path, monkeypatch):
    told = kept.keep("cbam", tmp_path, SHORT)
    kept.keep("windows", tmp_path, replace(SHORT, mechanism="windows"))
    monkeypatch.setattr(kept, "HERE", tmp_path)
    monkeypatch.setitem(RECIPES, "cbam", SHORT)
    assert kept.about("cbam") == told
    image, digit, _ = kept.pictures(SHORT.test, SHORT.test_seed)
    # written to four digits
    assert kept.accuracy(kept.load("cbam"), image, digit) == pytest.approx(
        told["accuracy"], abs=1e-4
    )


def test_another_file_is_refused(tmp_path, monkeypatch):
    kept.keep("cbam", tmp_path, SHORT)
    path = tmp_path / "cbam.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(kept, "HERE", tmp_path)
    with pytest.raises(UserError, match="not those that were kept"):
        kept.load("cbam")


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(UserError, match='Did you mean "windows"'):
        kept.load("window")


def test_what_is_not_kept_says_how_it_is_trained(tmp_path, monkeypatch):
    (tmp_path / kept.ABOUT).write_text("{}")
    monkeypatch.setattr(kept, "HERE", tmp_path)
    with pytest.raises(UserError, match="attncourse train kept windows"):
        kept.load("windows")
