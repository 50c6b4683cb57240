"""The least time a program can take, computing and moving at a time: the roofline."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.fast.measure import floor_seconds


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


# fmt: off
TIMES = (
    wrong("one_operation_each", "2 * multiply_adds", "multiply_adds",
          "You count a multiply-add as one operation. `rate` counts two: a product and a sum."),
    wrong("half_an_operation", "2 * multiply_adds", "multiply_adds / 2",
          "You halve the multiply-adds. Each is two operations: times 2."),
    wrong("rates_exchanged", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "max(2 * multiply_adds / bandwidth, bytes / rate)",
          "You exchange the two rates. `rate` is in operations a second, `bandwidth` in bytes a"
          " second."),
    wrong("upside_down", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "max(rate / (2 * multiply_adds), bandwidth / bytes)",
          "Your fractions are upside down. Seconds are operations over operations a second."),
    wrong("bits_for_bytes", "bytes /", "8 * bytes /",
          "You turn bytes into bits. Bandwidth is in bytes a second: nothing to turn."),
    wrong("four_bytes_each", "bytes /", "4 * bytes /",
          "You multiply the bytes by 4 again. They are bytes already, not numbers."),
    wrong("both_doubled_bytes", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "max(multiply_adds / rate, 2 * bytes / bandwidth)",
          "You double the bytes and not the multiply-adds. A multiply-add is two operations, a"
          " byte is one byte."),
)

BOTH = (
    wrong("added_up", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "2 * multiply_adds / rate + bytes / bandwidth",
          "You add the two times. A chip moves while it computes: the longer of the two is the"
          " floor."),
    wrong("the_shorter", "max(", "min(",
          "You take the shorter time. Both must be done: nothing ends before the longer one."),
    wrong("computing_alone", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "2 * multiply_adds / rate",
          "You look at computing alone. Moving takes bytes / bandwidth, which may be longer."),
    wrong("moving_alone", "max(2 * multiply_adds / rate, bytes / bandwidth)", "bytes / bandwidth",
          "You look at moving alone. Computing takes 2 multiply_adds / rate, which may be longer."),
    wrong("mean_of_both", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "(2 * multiply_adds / rate + bytes / bandwidth) / 2",
          "You take the mean of the two times. The longer of the two is the floor."),
    wrong("bytes_doubled", "max(2 * multiply_adds", "2 * max(multiply_adds",
          "You double the longer of the two times, and so the bytes as well. The 2 belongs to the"
          " multiply-adds alone."),
    wrong("rate_for_seconds", "max(2 * multiply_adds / rate, bytes / bandwidth)",
          "min(rate, 2 * multiply_adds / bytes * bandwidth)",
          "You return the rate that can be reached. What is asked is the time: 2 multiply_adds /"
          " rate, or bytes / bandwidth."),
    wrong("inverted_floor", "return max", "return 1 / max",
          "You return how often a second it can run. The floor is its inverse, a time."),
    wrong("milliseconds", "return max", "return 1e3 * max",
          "You return milliseconds. It is seconds."),
)
# fmt: on


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
    slips=(*TIMES, *BOTH),
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
