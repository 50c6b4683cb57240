"""The record of `fast.floor_seconds`."""

from attncourse.exercises.record import Exercise, Trial
from solutions.fast.measure import floor_seconds

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None


def floor_trials():
    chosen = (
        ("where computing takes longer", 6e9, 2e8, 3e10, 1e10),
        ("where moving takes longer", 2e8, 5e9, 4e10, 8e9),
        ("where computing takes a little longer", 7e9, 1.2e10, 4e10, 4e10),
        ("where moving takes a little longer", 5e9, 1.6e10, 4e10, 4e10),
    )
    names = "multiply_adds", "bytes", "rate", "bandwidth"
    return tuple(
        Trial(
            f"{name} ({a:g}, {b:g}, {r:g}, {w:g})",
            {},
            dict(zip(names, (a, b, r, w), strict=True)),
        )
        for name, a, b, r, w in chosen
    )


def added_up(multiply_adds, bytes, rate, bandwidth):
    """You add the two times. A chip moves while it computes: the longer of the two is the
    floor."""
    return 2 * multiply_adds / rate + bytes / bandwidth


def the_shorter(multiply_adds, bytes, rate, bandwidth):
    """You take the shorter time. Both must be done: nothing ends before the longer one."""
    return min(2 * multiply_adds / rate, bytes / bandwidth)


def one_operation_each(multiply_adds, bytes, rate, bandwidth):
    """You count a multiply-add as one operation. `rate` counts two: a product and a sum."""
    return max(multiply_adds / rate, bytes / bandwidth)


def half_an_operation(multiply_adds, bytes, rate, bandwidth):
    """You halve the multiply-adds. Each is two operations: times 2."""
    return max(multiply_adds / 2 / rate, bytes / bandwidth)


def computing_alone(multiply_adds, bytes, rate, bandwidth):
    """You look at computing alone. Moving takes bytes / bandwidth, which may be longer."""
    return 2 * multiply_adds / rate


def moving_alone(multiply_adds, bytes, rate, bandwidth):
    """You look at moving alone. Computing takes 2 multiply_adds / rate, which may be longer."""
    return bytes / bandwidth


def rates_exchanged(multiply_adds, bytes, rate, bandwidth):
    """You exchange the two rates. `rate` is in operations a second, `bandwidth` in bytes a
    second."""
    return max(2 * multiply_adds / bandwidth, bytes / rate)


def upside_down(multiply_adds, bytes, rate, bandwidth):
    """Your fractions are upside down. Seconds are operations over operations a second."""
    return max(rate / (2 * multiply_adds), bandwidth / bytes)


def bits_for_bytes(multiply_adds, bytes, rate, bandwidth):
    """You turn bytes into bits. Bandwidth is in bytes a second: nothing to turn."""
    return max(2 * multiply_adds / rate, 8 * bytes / bandwidth)


def four_bytes_each(multiply_adds, bytes, rate, bandwidth):
    """You multiply the bytes by 4 again. They are bytes already, not numbers."""
    return max(2 * multiply_adds / rate, 4 * bytes / bandwidth)


def mean_of_both(multiply_adds, bytes, rate, bandwidth):
    """You take the mean of the two times. The longer of the two is the floor."""
    return (2 * multiply_adds / rate + bytes / bandwidth) / 2


def bytes_doubled(multiply_adds, bytes, rate, bandwidth):
    """You double the longer of the two times, and so the bytes as well. The 2 belongs to the
    multiply-adds alone."""
    return 2 * max(multiply_adds / rate, bytes / bandwidth)


def rate_for_seconds(multiply_adds, bytes, rate, bandwidth):
    """You return the rate that can be reached. What is asked is the time: 2 multiply_adds /
    rate, or bytes / bandwidth."""
    return min(rate, 2 * multiply_adds / bytes * bandwidth)


def inverted_floor(multiply_adds, bytes, rate, bandwidth):
    """You return how often a second it can run. The floor is its inverse, a time."""
    return 1 / max(2 * multiply_adds / rate, bytes / bandwidth)


def both_doubled_bytes(multiply_adds, bytes, rate, bandwidth):
    """You double the bytes and not the multiply-adds. A multiply-add is two operations, a byte
    is one byte."""
    return max(multiply_adds / rate, 2 * bytes / bandwidth)


def milliseconds(multiply_adds, bytes, rate, bandwidth):
    """You return milliseconds. It is seconds."""
    return 1e3 * max(2 * multiply_adds / rate, bytes / bandwidth)


def floor_by_comparison(multiply_adds, bytes, rate, bandwidth):
    computing = (multiply_adds + multiply_adds) / rate
    moving = bytes / bandwidth
    return computing if computing > moving else moving


def floor_by_intensity(multiply_adds, bytes, rate, bandwidth):
    operations = 2 * multiply_adds
    return operations / min(rate, operations / bytes * bandwidth)


EXERCISE = Exercise(
    id="fast.floor_seconds",
    solution=floor_seconds,
    probes={"floor_seconds": ""},
    trials=floor_trials,
    slips=(
        added_up,
        the_shorter,
        one_operation_each,
        half_an_operation,
        computing_alone,
        moving_alone,
        rates_exchanged,
        upside_down,
        bits_for_bytes,
        four_bytes_each,
        mean_of_both,
        bytes_doubled,
        rate_for_seconds,
        inverted_floor,
        both_doubled_bytes,
        milliseconds,
    ),
    hints=(
        "Moving takes 3 s, computing 2 s, and both go on at the same time. When can it be"
        " ready at the earliest?",
        "Computing: 2 operations for each multiply-add, over operations a second. Moving:"
        " bytes over bytes a second. The longer of the two.",
        "max(2 multiply_adds / rate, bytes / bandwidth)",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(floor_by_comparison, floor_by_intensity),
    skip=frozenset({"gradients", "large", "strided", "float32", "device"}),
)
