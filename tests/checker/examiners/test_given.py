"""A given `__init__` still refuses what it refused, and takes what it took."""

import pytest
from told import first_line, written

from attncourse import check
from solutions.channel import eca_window


def even_windows(ECA):
    class Answer(ECA):
        def __init__(self, channels, window=None):
            super().__init__(channels, eca_window(channels) if window is None else window | 1)

    return Answer


def always_three(ECA):
    class Answer(ECA):
        def __init__(self, channels, window=3):
            super().__init__(channels, window)

    return Answer


def any_order(CBAM):
    class Answer(CBAM):
        def __init__(self, channels, reduction=16, kernel=7, order="channel-spatial", **more):
            order = order if order in self.ORDERS else "parallel"
            super().__init__(channels, reduction, kernel, order, **more)

    return Answer


def key_of_order(CBAM):
    class Answer(CBAM):
        def __init__(self, channels, reduction=16, kernel=7, order="channel-spatial", **more):
            order = {one: one for one in self.ORDERS}[order]
            super().__init__(channels, reduction, kernel, order, **more)

    return Answer


def multiplied(BAM):
    class Answer(BAM):
        def __init__(self, channels, reduction=16, dilation=4, combine="product"):
            super().__init__(channels, reduction, dilation, combine)

    return Answer


def at_least_one(PositionAttention):
    class Answer(PositionAttention):
        def __init__(self, channels, reduction=8):
            super().__init__(channels, min(channels, reduction))

    return Answer


@pytest.mark.parametrize(
    ("id", "answer", "said"),
    [
        ("channel.eca", even_windows, "is let through: the given `__init__` raises a ValueErr"),
        ("channel.eca", always_three, "not where `window` is left out"),
        ("spatial.cbam", any_order, "with order = 'none such' is let through"),
        ("spatial.cbam", key_of_order, "with order = 'none such' ends in KeyError"),
        ("spatial.bam", multiplied, "not where `combine` is left out"),
        ("non_local.position_attention", at_least_one, "with channels = 1 is let through"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_changed_constructor_is_seen(id, answer, said):
    verdict = check(id, answer(written(id)))
    assert verdict.status == "not yet"
    assert said in first_line(verdict), verdict
