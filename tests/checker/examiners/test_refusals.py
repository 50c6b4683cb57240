"""What cannot be computed is refused."""

from told import first_line, written

from attncourse import check
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import residual


def _refusing():
    """An exercise whose answer refuses a width of 0, and one that says so otherwise."""

    def halves(x, width):
        if width == 0:
            raise ValueError("no width")
        return x / width

    trials = (Trial("plain", dict(b=2, i=3), dict(x="b i", width=2)),)
    refused = (Trial("a width of 0", dict(b=2, i=3), dict(x="b i", width=0)),)
    return Exercise(
        id="shapes.halves",
        solution=halves,
        probes={"halves": "b i"},
        trials=lambda: trials,
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
        refuses=lambda: refused,
    )


def test_what_should_be_refused_must_end_in_a_value_error():
    ex = _refusing()

    def silent(x, width):
        return x / max(width, 1)

    def asserted(x, width):
        assert width
        return x / width

    assert check(ex, copy(ex))
    verdict = check(ex, silent)
    assert verdict.slip == "not_refused"
    assert "does not refuse a width of 0" in verdict.message
    assert "ends in AssertionError for a width of 0" in check(ex, asserted).message


def test_what_the_stub_says_is_refused_must_be_refused():
    def takes_anything(x, branch, gate, placement="standard", shortcut=lambda t: t):
        known = placement in ("standard", "pre", "post", "identity")
        return residual(x, branch, gate, placement if known else "standard", shortcut)

    def another_error(x, branch, gate, placement="standard", shortcut=lambda t: t):
        if placement == "between":
            raise KeyError(placement)
        return residual(x, branch, gate, placement, shortcut)

    verdict = check("channel.residual", takes_anything)
    assert verdict.slip == "not_refused"
    assert '`residual` does not refuse the unknown placement "between"' in first_line(verdict)
    assert "ends in KeyError" in first_line(check("channel.residual", another_error))
    assert check("channel.residual", written("channel.residual")).status == "passed"
