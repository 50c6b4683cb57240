"""What was measured and kept, as chapter 11 and docs/benchmarks.md tell it."""

import json
from pathlib import Path

from attncourse.bench.kept import became, goals, page, ways, widest, worst

ROOT = Path(__file__).parents[2]


def goal(sense, bound, *values):
    measured = {str(n): {"value": value} for n, value in enumerate(values)}
    return {"sense": sense, "bound": bound, "measured": measured}


def test_a_goal_is_as_good_as_its_worst_size():
    assert worst(goal("faster", 20, 30, 10)) == 10
    assert worst(goal("slower", 1.2, 0.6, 2.4)) == 2.4
    assert worst(goal("less", 0.2, 0.1, 0.05)) == 0.1
    assert worst(goal("", 1, 1, 0)) == 0
    assert worst(goal("faster", 2)) is None


def test_the_page_has_every_goal_and_counts_the_verdicts(tmp_path):
    words = {"part": "local", "way": "native", "over": "", "asks": "never slower"}
    told = [goal("faster", 1, 1.25, 2) | words | {"verdict": "reached"}]
    told += [goal("faster", 1, 0.5) | words | {"over": "unfold", "verdict": "missed"}]
    told += [goal("faster", 1) | words | {"verdict": "not measured"}]
    told[0]["AVX2"] = fewer(0.8, 1.5)
    told[1]["AVX2"] = fewer(2)
    run = {"device": "cpu", "measured": "yes", "allocator": "default", "threads": 1}
    runs = [run | {"instructions": name} for name in ("AVX2", "AVX512")]
    (tmp_path / "fast_a.json").write_text(json.dumps({"goals": told, "runs": runs}))
    silent = run | {"instructions": None}
    (tmp_path / "fast_b.json").write_text(json.dumps({"runs": [silent]}))
    assert widest(tmp_path) == ("AVX-512", ["b"])
    made = page(tmp_path)
    assert (
        "| local | native | alone | never slower | 1.25 | reached | 0.8 | at 1 of 2 sizes |"
        in made
    )
    assert "| local | native | unfold | never slower | 0.5 | missed | 2 | reached |" in made
    assert (
        "| local | native | alone | never slower | - | not measured | - | not measured |"
        in made
    )
    told = " ".join(made.split())
    assert "With AVX-512 1 of 3 goals were reached, 1 missed" in told
    assert "The runs of b do not say theirs." in told
    assert "With AVX2 2 were measured and 1 of them reached" in told


def fewer(*values):
    """As with AVX2, where 1 is to be reached."""
    return {str(n): {"value": value, "reached": value >= 1} for n, value in enumerate(values)}


def test_a_verdict_with_fewer_instructions_is_of_all_sizes():
    assert became({"AVX2": fewer(2, 1)}) == "reached"
    assert became({"AVX2": fewer(2, 0.5, 0.9)}) == "at 1 of 3 sizes"
    assert became({"AVX2": fewer(0.5)}) == "missed"
    assert became({"AVX2": {}}) == became({}) == "not measured"


def test_the_page_in_docs_is_made_from_the_kept_results():
    assert (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8") == page()


def test_goals_of_all_kept_results_are_found(tmp_path):
    for name, kept in (("fast_b", {"goals": [2, 3]}), ("fast_a", {"goals": [1]})):
        (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    (tmp_path / "fast_c.json").write_text("{}")
    (tmp_path / "sparse.json").write_text('{"goals": [9]}')
    assert goals(tmp_path) == [1, 2, 3]


def test_milliseconds_are_those_of_the_cpu_as_it_comes():
    def run(device, allocator, ms):
        rows = {"ways": {"ours": {"ms": [ms, 0, 9]}}}
        return {
            "device": device,
            "allocator": allocator,
            "cases": [{"name": "8 x 8", "forward": rows}],
        }

    runs = [run("cpu", "tuned", 1), run("cpu", "default", 2), run("cuda", "torch", 3)]
    assert ways({"runs": [{"device": "cuda", "measured": "none"}, *runs]}) == {
        "8 x 8": {"ours": 2}
    }
    assert ways({}) == {}
