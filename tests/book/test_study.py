"""The kept study and search, and what their tables and figures take from them."""

import json
import statistics

import matplotlib.pyplot as plt
import pytest

from attncourse.book.results import result
from attncourse.book.study import (
    NAMES,
    chosen,
    differences,
    fronts,
    half,
    in_stage,
    networks,
    save,
    short,
    spread,
)
from solutions.capstone import MECHANISMS, sign_test


@pytest.fixture(scope="module")
def study():
    return result("study_small")


def test_every_mechanism_has_a_name_and_three_seeds_at_both_scales(study):
    assert list(NAMES) == list(MECHANISMS)
    for which in ("at_budget", "at_width"):
        rows = chosen(study, which)
        assert [row["mechanism"] for row in rows] == list(NAMES)
        assert {len(row["accuracy"]) for row in rows} == {len(study["seeds"])}
    assert study["missing"] == []


def test_the_kept_tests_are_those_of_the_kept_numbers(study):
    none = chosen(study, "at_budget")[0]["accuracy"]
    for row in chosen(study, "at_budget")[1:]:
        a, count = row["against_none"], study["settings"]["test"]
        gains = [x - y for x, y in zip(row["accuracy"], none, strict=True)]
        # kept with five digits each
        assert a["mean"] == pytest.approx(statistics.mean(gains), abs=2e-5)
        error = statistics.stdev(gains) / len(gains) ** 0.5
        assert half(row) == pytest.approx(100 * 4.302653 * error, abs=5e-3)
        for gain, pair, p in zip(gains, a["gained_and_lost"], a["sign_test"], strict=True):
            assert pair[0] - pair[1] == round(gain * count)
            assert p == pytest.approx(sign_test(*pair), rel=1e-2)


def test_a_search_counts_each_network_once():
    one = {"operations": "convolution+augmented+stand_alone", "share": 0.4, "accuracy": 0.3}
    other = one | {"share": 1.0, "accuracy": 0.5}
    found = networks({"trials": {"tpe": [one, other, one]}}, "tpe")
    assert found == [one, other]
    assert short(one["operations"]) == "C A S"
    assert in_stage(found, 2, "augmented") == [0.3, 0.5]
    assert in_stage(found, 2, "convolution") == []
    assert spread([0.3, 0.5]) == ["40.0", "30.0 … 50.0"]


def test_the_figures_show_every_mechanism_and_every_network(study, tmp_path):
    fig = differences(study)
    names = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert names == list(NAMES.values())[1:]
    plt.close(fig)
    search = result("study_search_small")
    fig = fronts(search)
    dots = {line.get_label(): len(line.get_xdata()) for line in fig.axes[0].lines}
    for sampler in ("tpe", "random"):
        count = len(networks(search, sampler))
        assert dots[f"{sampler}, {count}"] == count
    plt.close(fig)
    kept = tmp_path / "study.json"
    kept.write_text(json.dumps(study))
    assert save(kept).read_bytes().startswith(b"\x89PNG")
