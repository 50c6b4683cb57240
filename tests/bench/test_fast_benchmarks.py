"""What the benchmarks compare is the same work; and they count and judge as they say."""

import io
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from attncourse.bench import PARTS, goals, measuring, memory, reporting, running
from attncourse.bench import sparse as sparse_part
from attncourse.bench.goals import BOTH, FORWARD, GOALS, Goal
from attncourse.bench.measuring import Case, Setting, Way
from attncourse.book.results import FOLDER
from attncourse.errors import UserError
from solutions import sparse

TINY = Setting(tiny=True)
RATES = {"matrix": 2e9, "copy": 1e9}
HERE = {"device": "cpu", "threads": 1, "allocator": "default", "measured": "yes"}
NEVER = {"device": "cuda", "measured": "none", "why": "no CUDA device here"}

# ---------------------------------------------------------------- the same work


@pytest.fixture(scope="module")
def runs():
    """Each mechanism, measured at its tiny size."""
    with torch.random.fork_rng():
        return {name: running.one(name, HERE, TINY, RATES, {}) for name in PARTS}


@pytest.mark.parametrize("name", PARTS)
def test_a_tiny_run_of_each_mechanism_finishes_and_all_ways_agree(runs, name):
    run = runs[name]
    assert run["cases"]
    for case in run["cases"]:
        for direction in measuring.DIRECTIONS:
            rows = case[direction]["ways"]
            assert len(rows) >= 2
            assert all(
                0 < row["ms"][1] <= row["ms"][0] <= row["ms"][2] for row in rows.values()
            )
        assert all(off < 1e-4 for off in case["off"].values()), case["off"]
    assert any(case["off"] for case in run["cases"])


def test_every_implementation_is_measured_or_left_out_with_a_reason(runs):
    from solutions.fast import local, relative_2d

    for name, module in (("local", local), ("relative", relative_2d)):
        case = runs[name]["cases"][0]
        for implementation in module.IMPLEMENTATIONS:
            there = implementation in case[FORWARD]["ways"]
            assert there != bool(case["left out"].get(implementation)), implementation


def test_a_kernel_for_a_gpu_is_not_measured_in_its_interpreter():
    with pytest.raises(measuring.Absent, match="interpreter"):
        measuring.runs_here("triton", TINY)
    measuring.runs_here("triton", replace(TINY, device="cuda"))


@pytest.mark.parametrize("name", PARTS)
def test_what_is_compared_with_is_among_the_ways_and_so_is_what_the_figure_shows(name):
    part = measuring.part(name)
    cases = part.cases(Setting(full=True))
    ways = {way for case in cases for way in case.ways}
    assert {way for case in cases for way in case.over} <= ways | {"flex"}
    optional = {"native", "triton"}  # by machine
    assert set(part.FIGURE.ways) - optional <= ways
    assert sum(case.at is not None for case in cases) >= 3
    assert any(case.core for case in part.cases(Setting()))


@pytest.mark.parametrize("n", [36, 41])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_the_keys_of_a_pattern_are_those_of_its_masks(pattern, n):
    first, second = sparse.masks(pattern, n, 6)
    assert sparse_part.keys(n, 6, pattern, "merged") == (first | second).sum()
    assert sparse_part.keys(n, 6, pattern, "split") == (first.sum() + second.sum()) / 2


def test_gradients_go_to_all_inputs_and_weights():
    layer = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    way = measuring.layer(layer, x)
    assert len(way.weights) == 2
    assert_close(way.run(True), way.run(False))
    with pytest.raises(RuntimeError):  # one that the result does not depend on is told
        Way(lambda x, y: x * 2, [x, x]).run(True)


# ---------------------------------------------------------------- time


def test_all_take_turns_in_every_round():
    seen = []
    runs = {name: partial(seen.append, name) for name in ("one", "two")}
    spent = measuring.turns(runs, "wall", rounds=(2, 4))
    assert seen == ["one", "two"] * 4
    assert [len(times) for times in spent.values()] == [4, 4]


def test_no_round_is_begun_after_the_time_but_the_least_are_made():
    runs = {"one": lambda: sum(range(10000))}
    spent = measuring.turns(runs, "wall", rounds=(3, 1000), seconds=0.0)
    assert len(spent["one"]) == 3


def test_ratios_are_taken_within_a_round():
    given = {"one": [1.0, 2.0, 4.0], "two": [2.0, 2.0, 2.0]}
    assert measuring.ratios(given, "two") == {"one": [1, 0.5, 2], "two": [1, 1, 1]}
    slow_round = {"one": [1.0, 10.0, 1.0], "two": [2.0, 20.0, 2.0]}
    assert measuring.ratios(slow_round, "two")["one"] == [0.5, 0.5, 0.5]


def test_the_slope_is_the_exponent():
    assert measuring.slope([10, 100, 1000], [3 * n**1.5 for n in (10, 100, 1000)]) == 1.5
    line = [
        {"at": n, FORWARD: {"ways": {"a": {"ms": [n**2.0, 0, 0]}}}, BOTH: {"ways": {}}}
        for n in (2, 4, 8)
    ]
    assert measuring.slopes(line) == {FORWARD: {"a": 2.0}, BOTH: {}}
    assert measuring.slopes(line[:2])[FORWARD] == {}


def test_a_way_that_cannot_be_made_or_run_is_left_out_with_its_reason():
    def broken(x):
        raise RuntimeError("too large\nby far")

    def absent():
        raise measuring.Absent("not installed")

    x = torch.ones(2, 3)
    ways = {
        "good": lambda: Way(lambda x: x * 2, [x], 6),
        "broken": lambda: Way(broken, [x]),
        "absent": absent,
        "one way": lambda: Way(lambda x: x * 3, [x], no_way_back="none"),
    }
    case = Case("a", {"n": 3}, ways, over=("good", "gone"), alike=("good", "one way"))
    found = measuring.measure(case, TINY, RATES, 0.0)
    assert found["left out"] == {
        "absent": "not installed",
        "broken": "RuntimeError: too large by far",
    }
    assert list(found[FORWARD]["ways"]) == ["good", "one way"]
    assert list(found[BOTH]["ways"]) == ["good"]
    assert found["no way back"] == {"one way": "none"}
    assert found["off"] == {"one way": 1.0}
    assert list(found[FORWARD]["ways"]["one way"]["over"]) == ["good"]


# ---------------------------------------------------------------- floors


def test_a_floor_is_the_longer_of_operations_and_bytes():
    x, y = torch.ones(1000), torch.ones(500)
    busy = Way(torch.neg, [x], multiply_adds=10**6)
    assert measuring.floor(busy, y, False, RATES) == 2e6 / 2e9
    assert measuring.floor(busy, y, True, RATES) == 3 * 2e6 / 2e9
    light = Way(torch.neg, [x], multiply_adds=1, weights=[y])
    assert measuring.floor(light, y, False, RATES) == (4000 + 2000 + 2000) / 1e9
    assert measuring.floor(light, y, True, RATES) == (3 * 6000 + 2 * 2000) / 1e9
    assert measuring.floor(Way(torch.neg, [x]), y, False, RATES) is None


def test_rates_are_positive_and_of_this_run():
    assert all(rate > 0 for rate in measuring.rates(TINY).values())


# ---------------------------------------------------------------- memory


@pytest.mark.skipif(not memory.STATUS.is_file(), reason="the mark of /proc is Linux's")
def test_memory_is_what_is_needed_beyond_what_is_held():
    held = torch.ones(2**24)  # 64 MiB
    way = Way(lambda x: (x + 1).sum(), [held])
    assert 60 < memory.needed(way, False) < 80
    assert memory.needed(Way(torch.Tensor.sum, [held]), False) < 20


@pytest.mark.skipif(not memory.STATUS.is_file(), reason="the mark of /proc is Linux's")
def test_memory_is_measured_in_processes_of_their_own():
    jobs = [("heads", 0, "ours", False), ("heads", 0, "ours", True), ("heads", 0, "?", True)]
    small, large, none = memory.peaks(TINY, jobs).values()
    assert small is not None
    assert large is not None
    assert none is None


# ---------------------------------------------------------------- goals


def row(ratio, **more):
    return {"ms": [1, 1, 1], "over": {"base": [ratio, ratio / 2, ratio * 2]}, **more}


def run_of(*ratios, **more):
    cases = [
        {
            "name": f"n = {n}", "size": {"n": n}, "at": n, "left out": {}, "auto": "ours",
            FORWARD: {"ways": {"base": row(1.0), "ours": row(ratio)}},
            BOTH: {"ways": {"base": row(1.0), "ours": row(ratio)}},
            "MiB": {"base": [100.0, 200.0], "ours": [10.0, 50.0]},
        }
        for n, ratio in enumerate(ratios, start=1)
    ]  # fmt: skip
    return HERE | {"cases": cases, "slopes": {FORWARD: {}, BOTH: {"ours": 1.2}}} | more


def goal(what=FORWARD, sense="faster", bound=4.0, way="ours", over="base", **more):
    return Goal("local", "work", way, over, what, sense, bound, **more)


def test_a_goal_is_reached_at_all_sizes_or_at_some():
    faster = goal()
    assert goals.verdict(faster, run_of(0.25, 0.1))["verdict"] == "reached"
    assert goals.verdict(faster, run_of(0.26, 0.1))["verdict"] == "at 1 of 2 sizes"
    assert goals.verdict(faster, run_of(0.26, 0.3))["verdict"] == "missed"
    assert goals.verdict(goal(way="auto"), run_of(0.25))["measured"]["n = 1"]["way"] == "ours"
    some = goals.verdict(goal(at={"n": (2, 9)}), run_of(0.9, 0.1))
    assert list(some["measured"]) == ["n = 2"]
    assert some["measured"]["n = 2"] == {"value": 10, "least": 5, "most": 20, "reached": True}


def test_a_share_of_time_memory_and_slope_must_not_be_more():
    said = [
        goals.verdict(goal(what, sense, bound), run_of(1.2))["verdict"]
        for what, sense, bound in (
            (BOTH, "slower", 1.2), (BOTH, "slower", 1.1),
            ("memory, forward", "less", 0.1), ("memory, forward", "less", 0.09),
            ("memory, forward + backward", "less", 0.25),
            ("slope", "slower", 1.2), ("slope", "slower", 1.1),
            ("MiB", "less", 50.0), ("MiB", "less", 49.0),
        )
    ]  # fmt: skip
    good, bad = "reached", "missed"
    assert said == [good, bad, good, bad, good, good, bad, good, bad]


def test_a_way_back_is_a_goal_where_the_other_has_none():
    run = run_of(0.5)
    back = goal("way back", "", 1)
    assert goals.verdict(back, run)["verdict"] == "missed"
    run["cases"][0]["no way back"] = {"base": "none"}
    assert goals.verdict(back, run)["verdict"] == "reached"


def test_what_was_not_measured_says_why():
    run = run_of(0.5)
    run["cases"][0]["left out"] = {"timm": "timm is not installed"}
    said = goals.verdict(goal(over="timm"), run)
    assert (said["verdict"], said["why"]) == ("not measured", "timm: timm is not installed")
    assert goals.verdict(goal(at={"n": (9, 9)}), run)["why"] == "no such size in this run"
    assert goals.verdict(goal(), None)["verdict"] == "not measured"
    del run["cases"][0]["MiB"]
    assert "memory" in goals.verdict(goal("memory, forward", "less", 0.5), run)["why"]


def test_the_tuned_allocator_stands_beside_and_fewer_threads_come_first():
    slow, tuned, two = run_of(0.5), run_of(0.1, allocator="tuned"), run_of(0.2, threads=2)
    (said,) = goals.verdicts([two, tuned, slow, NEVER], "local", [goal()])
    assert said["measured"]["n = 1"]["value"] == 2
    assert said["tuned"]["n = 1"]["value"] == 10
    assert said["verdict"] == "missed"


def test_every_row_of_what_it_must_show_is_a_goal():
    pairs = {(g.part, g.way, g.over, g.device) for g in GOALS}
    for pair in (
        ("local", "blocked", "unfold"), ("local", "native", "unfold"),
        ("local", "native", "convolution"), ("local", "native", "natten"),
        ("local", "native", "flex"), ("relative", "auto", "no places"),
        ("relative", "auto", "skew"), ("relative", "layer", "timm"),
        ("sparse", "strided, split", "dense"), ("sparse", "fixed, merged", "dense"),
        ("non_local", "dot product, linear", "dot product, dense"),
        ("heads", "ours", "torch, train"), ("heads", "ours", "torch, eval"),
    ):  # fmt: skip
        assert (*pair, "cpu") in pairs
    for pair in (("local", "auto", "flex"), ("local", "auto", "natten"),
                 ("relative", "auto", "no places"), ("tiled", "triton", "fused")):  # fmt: skip
        assert (*pair, "cuda") in pairs


@pytest.mark.parametrize("name", PARTS)
def test_a_goal_names_ways_and_sizes_that_there_are(name):
    cases = measuring.part(name).cases(Setting(full=True))
    for one in GOALS:
        if one.part != name:
            continue
        fits = [
            case
            for case in cases
            if all(lo <= case.size.get(k, lo - 1) <= hi for k, (lo, hi) in one.at.items())
        ]
        assert fits, one
        for way in filter(None, (one.way, one.over)):
            assert way in ("auto", "triton") or any(way in case.ways for case in fits), one


# ---------------------------------------------------------------- what is written


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name, run in runs.items():
        running.put(name, [run, NEVER], folder)
    return folder


def check_kept(path: Path) -> None:
    """The schema of a kept result."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["schema"] == reporting.SCHEMA
    assert kept["seeds"] == [0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", kept["date"])
    assert set(kept["allocators"]) == {"default", "tuned"}
    assert "MALLOC_" in kept["allocators"]["tuned"]
    assert kept["minutes"] > 0
    assert kept["figures"]
    for figure in kept["figures"]:
        assert (path.parent / figure).read_bytes().startswith(b"\x89PNG")
    assert {run["device"] for run in kept["runs"]} == {"cpu", "cuda"}
    for run in kept["runs"]:
        if run["measured"] != "yes":
            assert run["measured"] == "none"
            assert run["why"]
            continue
        assert run["threads"] >= 1
        assert run["clock"] in ("processor", "wall", "device")
        assert run["rates"]["matrix"] > 0
        assert run["rates"]["copy"] > 0
        assert run["hardware"]
        assert run["versions"]["torch"]
        for case in run["cases"]:
            assert {"name", "size", "at", "left out", "off", *measuring.DIRECTIONS} <= set(case)
            for direction in measuring.DIRECTIONS:
                for way in case[direction]["ways"].values():
                    middle, least, most = way["ms"]
                    assert least <= middle <= most
    asked = [g for g in GOALS if f"fast_{g.part}" == path.stem]
    assert [g["asks"] for g in kept["goals"]] == [g.asks for g in asked]
    for judged in kept["goals"]:
        known = r"reached|missed|not measured|at \d+ of \d+ sizes"
        assert re.fullmatch(known, judged["verdict"])
        assert bool(judged["why"]) == (judged["verdict"] == "not measured")


@pytest.mark.parametrize("name", PARTS)
def test_what_is_written_says_how_it_was_measured_and_names_figures_that_exist(written, name):
    check_kept(written / f"fast_{name}.json")


def new(path: Path) -> bool:
    return json.loads(path.read_text(encoding="utf-8")).get("schema") == reporting.SCHEMA


KEPT = [path for path in sorted(FOLDER.glob("fast_*.json")) if new(path)]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_is_kept_does_too(path):
    check_kept(path)


def test_a_run_replaces_its_like_and_leaves_the_others(runs):
    cpu = runs["heads"]
    cuda = cpu | {"device": "cuda", "allocator": "torch"}
    old = {"schema": reporting.SCHEMA, "runs": [cpu | {"minutes": 9}, cuda]}
    kept = reporting.merged(old, [cpu, NEVER])
    assert [(run["device"], run["minutes"]) for run in kept] == [
        ("cpu", cpu["minutes"]), ("cuda", cuda["minutes"])
    ]  # fmt: skip
    assert [run["measured"] for run in reporting.merged(None, [cpu, NEVER])] == ["yes", "none"]
    nothing = {"schema": reporting.SCHEMA, "runs": [cpu, NEVER]}
    assert reporting.merged(nothing, [cuda])[1]["measured"] == "yes"
    assert len(reporting.merged(old, [cpu | {"threads": 2}])) == 3
    assert reporting.merged({"sizes": []}, [cpu]) == [cpu]  # of another schema


def test_json_is_read_back_as_it_was(runs):
    given = {"a": list(range(40)), "b": {"ü": [[1, 2], {"x": None}]}, "runs": [runs["heads"]]}
    text = reporting.compact(given)
    assert json.loads(text) == given
    assert max(map(len, text.splitlines())) < 130


def test_tables_name_the_way_that_auto_takes_and_what_is_left_out(runs):
    to = reporting.Console(record=True, width=118, file=io.StringIO())
    reporting.show_case(runs["relative"]["cases"][0], to, ("no places", "skew"))
    text = to.export_text()
    assert f"{runs['relative']['cases'][0]['auto']} (auto)" in text
    assert "timm is left out" in text or "timm" in runs["relative"]["cases"][0][FORWARD]["ways"]


def test_goals_are_told_by_their_worst_size_and_reasons_once():
    judged = goals.verdicts(
        [run_of(0.5, 0.1)], "local", [goal(), goal(over="x"), goal(way="x")]
    )
    table = reporting.goals_table(judged)
    assert next(iter(table.columns[3].cells)) == "2"
    assert "at 1 of 2 sizes" in next(iter(table.columns[-1].cells))
    assert reporting.unknown(judged) == ["not measured, x is not measured at this size: work"]


def test_a_title_says_how_the_times_compare_at_the_largest_size():
    figure = reporting.Figure("pixels", ("base", "ours"), "auto", ("gone", "base"))
    cases = run_of(0.5, 0.04)["cases"]
    assert reporting.claim(figure, cases, FORWARD) == (
        "forward, at 2\nours: 25 times as fast as base"
    )
    assert reporting.claim(figure, cases[:1], FORWARD) == (
        "forward, at 1\nours: 0.5 times the time of\nbase"
    )


def test_the_plan_is_the_cpu_with_both_allocators_and_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(running.platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.setattr(running.reporting, "instructions", lambda: "AVX2")
    assert [run.get("allocator") for run in running.plan(None, 1)] == ["default", "tuned", None]
    assert running.plan(None, 1)[-1] == NEVER
    with pytest.raises(UserError, match="no CUDA device"):
        running.plan("cuda", 1)
    with pytest.raises(UserError, match='"tpu" is no device'):
        running.plan("tpu", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [run["device"] for run in running.plan(None, 1)] == ["cpu", "cpu", "cuda"]
    assert [run["device"] for run in running.plan("cuda", 1)] == ["cuda"]
    monkeypatch.setattr(running.reporting, "instructions", lambda: "AVX512")
    cpu = [run for run in running.plan(None, 1) if run["device"] == "cpu"]
    assert [run["instructions"] for run in cpu] == ["AVX512", "AVX512", "AVX2"]
    monkeypatch.setattr(running.reporting, "instructions", lambda: "AVX2")
    monkeypatch.setattr(running.platform, "libc_ver", lambda: ("", ""))
    assert [run["allocator"] for run in running.plan("cpu", 1)] == ["default"]


def test_an_unknown_mechanism_is_one_line():
    with pytest.raises(UserError, match='nothing is called "lokal"; there are local'):
        running.everything(["lokal"], False, 1, None, Path("unused"))


# ---------------------------------------------------------------- what is kept and told


def test_the_numbers_on_the_first_page_are_the_kept_ones():
    """ "takes 1.2 times a 3x3 convolution of 64 channels, forward, where copied windows take 57
    times"."""
    readme = " ".join((FOLDER.parent / "README.md").read_text(encoding="utf-8").split())
    ours, theirs = re.search(
        r"takes ([\d.]+) times a 3x3 convolution of 64 channels, forward, where copied windows "
        r"take ([\d.]+) times",
        readme,
    ).groups()
    kept = json.loads((FOLDER / "fast_local.json").read_text(encoding="utf-8"))
    if new(FOLDER / "fast_local.json"):
        default = goals.chosen(kept["runs"], "cpu", "default")
        (case,) = (c for c in default["cases"] if c["name"] == "2 x 64 x 28 x 28, 4 heads")
        rows = case[FORWARD]["ways"]
        found = [rows[way]["over"]["convolution"][0] for way in ("native", "unfold")]
    else:
        rows = kept["sizes"][0][FORWARD]["over the convolution"]
        found = [rows[way][0] for way in ("native", "unfold")]
    assert ours == f"{found[0]:.1f}"
    assert theirs == f"{found[1]:.0f}"
    layer = re.search(r"at most ([\d.]+) times a whole convolution", readme)[1]
    step = re.search(r"a training step of StandAloneResNet-26 ([\d.]+) times", readme)[1]
    for said, part in ((layer, "layers"), (step, "networks")):
        judged = json.loads((FOLDER / f"fast_{part}.json").read_text(encoding="utf-8"))["goals"]
        sizes = [goal[which] for goal in judged for which in ("measured", "AVX2")]
        assert said == f"{max(one['value'] for size in sizes for one in size.values()):.1f}"


@pytest.mark.skipif(not KEPT, reason="nothing is kept in this form yet")
def test_the_kept_ratios_are_those_the_files_are_here_for():
    for path in KEPT:
        kept = json.loads(path.read_text(encoding="utf-8"))
        default = goals.chosen(kept["runs"], "cpu", "default")
        for case in default["cases"] if default else ():
            rows = case[BOTH]["ways"]
            if path.stem == "fast_local" and "native" in rows and case["size"]["h"] >= 28:
                over = {name: row["over"]["unfold"][0] for name, row in rows.items()}
                assert over["native"] < over["blocked"] < over["reference"]
            if path.stem == "fast_sparse" and case["size"]["n"] == 16384:
                ways = ("strided, split", "strided, merged", "fixed, split", "fixed, merged")
                assert all(rows[name]["over"]["dense"][0] < 0.2 for name in ways)
