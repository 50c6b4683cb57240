"""What was measured and kept, as chapter 11 tells it."""

import json

import matplotlib.pyplot as plt

from attncourse.bench.kept import beyond, draw_goals, goals, ways, worst


def goal(sense, bound, *values):
    measured = {str(n): {"value": value} for n, value in enumerate(values)}
    return {"sense": sense, "bound": bound, "measured": measured}


def test_a_goal_is_as_good_as_its_worst_size():
    faster, slower = goal("faster", 20, 30, 10), goal("slower", 1.2, 0.6, 2.4)
    assert (worst(faster), beyond(faster)) == (10, 0.5)
    assert (worst(slower), beyond(slower)) == (2.4, 0.5)
    less = goal("less", 0.2, 0.1, 0.05)
    assert (worst(less), beyond(less)) == (0.1, 2)
    assert beyond(goal("less", 0.2, 0.0)) == beyond(goal("faster", 2, 900)) == 100
    assert worst(goal("", 1, 1, 0)) == 0
    assert beyond(goal("", 1, 1, 0)) is None


def test_goals_are_drawn_about_a_line_at_one():
    known = {"work": "local", "over": "unfold", "what": "forward + backward"}
    told = [goal("faster", 20, 40) | known | {"verdict": "reached"}]
    told += [goal("slower", 1.2, 2.4) | known | {"over": "", "verdict": "missed"}]
    told += [goal("faster", 2) | known | {"verdict": "not measured"}]
    fig, ax = plt.subplots()
    assert draw_goals(ax, told) is ax
    dots = [line.get_xdata()[0] for line in ax.lines[:-1]]
    assert dots == [0.5, 2]  # the first goal is at the top
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["local / alone, both ways", "local / unfold, both ways"]
    plt.close(fig)


def test_what_was_not_measured_has_no_value():
    assert worst(goal("faster", 2)) is None
    assert beyond(goal("faster", 2)) is None


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
