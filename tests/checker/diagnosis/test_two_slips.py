"""Two slips at once that are seldom made together are both told."""

from told import first_line

from attncourse import check
from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial


def scaled_sum(x, y):
    return (2 * x + y) / 3


def exercise(slips):
    return Exercise(
        id="shapes.scaled_sum",
        solution=scaled_sum,
        probes={"scaled_sum": "b i"},
        trials=lambda: (Trial("plain", dict(b=3, i=5), dict(x="b i", y="b i")),),
        slips=slips,
        hints=(),
        minutes=1,
        difficulty=1,
    )


def test_a_rare_pair_is_told_as_both():
    slips = (
        wrong("tanh_of_x", "2 * x", "2 * x.tanh()", "You squash x."),
        *often(wrong("relu_of_y", "+ y", "+ y.relu()", "You rectify y.")),
    )

    def both(x, y):
        return (2 * x.tanh() + y.relu()) / 3

    verdict = check(exercise(slips), both)
    assert first_line(verdict) == "Two things at once. You squash x. And: You rectify y."
    assert verdict.slip == "tanh_of_x + relu_of_y"
