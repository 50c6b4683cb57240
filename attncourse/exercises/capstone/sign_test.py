"""How likely a fair coin is to fall as unevenly as two networks differ."""

from fractions import Fraction
from math import comb, factorial

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.capstone import sign_test


def sign_trials():
    def trial(name, gained, lost):
        return Trial(name, {}, dict(gained=gained, lost=lost))

    return (
        trial("of 7 gained and 2 lost", 7, 2),
        trial("of 3 gained and 9 lost", 3, 9),
        trial("where as many are gained as lost", 4, 4),
        trial("where none is lost", 5, 0),
        trial("where nothing differs", 0, 0),
        trial("of 61 gained and 45 lost", 61, 45),
        trial("of 700 gained and 610 lost", 700, 610),
    )


# fmt: off
TAILS = (
    *often(
        wrong("one_side", "2 * tail", "tail",
              "You count one side. The coin may as well fall as unevenly the other way: twice the"
              " tail."),
        wrong("just_this", "range(fewer + 1)", "range(fewer, fewer + 1)",
              "You count this result alone. Count all that are at least as uneven: from 0 up to the"
              " smaller of the two."),
        wrong("more_uneven_alone", "range(fewer + 1)", "range(fewer)",
              "You stop before the result itself. What is as uneven counts too."),
    ),
    wrong("beyond_one", "min(1.0, 2 * tail / 2**tosses)", "2 * tail / 2**tosses",
          "Yours exceeds 1 where both are alike: the middle is counted from both sides. A"
          " probability is at most 1."),
    wrong("middle_p", "2 * tail / 2**tosses", "(2 * tail - math.comb(tosses, fewer)) / 2**tosses",
          "You count just this result by half (the mid-p). It counts in full, as what is more uneven"
          " does."),
    wrong("doubled_on_one_side", "2 * tail", "(2 if gained <= lost else 1) * tail",
          "You double only where less was gained than lost. Unevenness has two directions, whichever"
          " was seen."),
    wrong("sure_of_nothing", "return min(1.0, 2 * tail / 2**tosses)",
          "return min(1.0, 2 * tail / 2**tosses) if tosses else 0.0",
          "Where nothing differs you give 0, as if that were sure. Chance explains it fully: 1."),
    wrong("greater_tail", "min(gained, lost)", "max(gained, lost)",
          "You sum up to the larger of the two, which is nearly everything. The tail goes from 0 to"
          " the smaller."),
    wrong("gained_alone", "min(gained, lost)", "gained",
          "You sum up to `gained`, also where it is the larger. Unevenness has two directions: take"
          " the smaller of both."),
    wrong("lost_alone", "min(gained, lost)", "lost",
          "You sum up to `lost`, also where it is the larger. Unevenness has two directions: take"
          " the smaller of both."),
    same("2 * tail / 2**tosses", "tail / 2 ** (tosses - 1)"),
)

COINS = (
    wrong("orders_forgotten", "math.comb(tosses, k)", "1",
          "You count each number of heads once. It can fall in `comb(tosses, k)` orders."),
    wrong("probability_of_something_else", "1.0, 2 * tail / 2**tosses", "1.0, 1 - 2 * tail / 2**tosses",
          "You give the probability of less uneven falls. Asked is that of falls at least as uneven."),
    wrong("chi_squared", "min(1.0, 2 * tail / 2**tosses)",
          "math.erfc(abs(gained - lost) / math.sqrt(2 * max(tosses, 1)))",
          "You approximate by the normal distribution. With few tosses that is off: sum the binomial"
          " tail itself."),
    wrong("continuity", "min(1.0, 2 * tail / 2**tosses)",
          "math.erfc(max(abs(gained - lost) - 1, 0) / math.sqrt(2 * max(tosses, 1)))",
          "You approximate by the normal distribution, with a correction. The exact tail is asked"
          " for."),
)
# fmt: on


def sign_by_fractions(gained, lost):
    n, k = gained + lost, min(gained, lost)
    tail = sum(Fraction(comb(n, j), 2**n) for j in range(k + 1))
    return float(min(Fraction(1), 2 * tail))


def sign_by_unevenness(gained, lost):
    n, gap = gained + lost, abs(gained - lost)
    orders = sum(
        factorial(n) // factorial(k) // factorial(n - k)
        for k in range(n + 1)
        if abs(n - 2 * k) >= gap
    )
    return orders / 2**n


EXERCISE = Exercise(
    id="capstone.sign_test",
    solution=sign_test,
    probes={"sign_test": ""},
    trials=sign_trials,
    slips=(*TAILS, *COINS),
    hints=(
        "If both networks were equally good, what would decide which of them gets a picture right that the other gets wrong?",
        (
            "A fair coin, tossed gained + lost times. Sum the probabilities of 0 up to"
            " min(gained, lost) heads; the other side is as likely. `math.comb(n, k)` counts orders."
        ),
        "n = gained + lost\np = 2 Σ comb(n, k) / 2ⁿ over k = 0 … min(gained, lost), at most 1",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(sign_by_fractions, sign_by_unevenness),
)
