"""The width whose cost is nearest to a budget."""

from attncourse.exercises.edits import same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.capstone import width_for


def width_trials():
    def trial(name, cost, budget, step=4):
        return Trial(name, {}, dict(cost=cost, budget=budget, step=step))

    return (
        trial("where the wider is nearer", lambda c: 9 * c * c, 9 * 23 * 23),
        trial("where the narrower is nearer", lambda c: 9 * c * c + 40 * c, 9 * 21 * 21),
        trial("between the geometric and the arithmetic mean", lambda c: c**3, 1000),
        trial("where a width costs just the budget", lambda c: 3 * c * c, 3 * 40 * 40, 8),
        trial("where two widths are equally near", lambda c: 10 * c, 10 * 21, 2),
        trial("where the narrowest is too dear", lambda c: 100 + c**3, 120),
        trial("where the narrowest is nearest", lambda c: c * c, 30, 5),
        trial("where a width of thousands is nearest", lambda c: 7 * c, 7 * 40_000 + 13, 16),
        trial("in steps of one", lambda c: c**3 + 5 * c, 7000, 1),
    )


# fmt: off

NEAREST = (
    same("below if budget - cost(below) <= cost(above) - budget else above",
         "min((below, above), key=lambda width: abs(cost(width) - budget))"),
    wrong("always_above", "below if budget - cost(below) <= cost(above) - budget else above", "above",
          "You give the first width that costs the budget or more. The one before it may be nearer."),
    wrong("always_below", "below if budget - cost(below) <= cost(above) - budget else above",
          "above if cost(above) <= budget else below",
          "You give the widest that stays within the budget. The next wider one may be nearer, and the nearest is asked for."),
    wrong("none_above_1024", "widths = range(step, most + step, step)",
          "widths = range(step, 1025, step)\nreturn min(widths, key=lambda width: (abs(cost(width) - budget), width))",
          "You look at no width above a limit of your own. A budget may ask for any."),
    wrong("doublings_alone", "widths = range(step, most + step, step)",
          "widths = [step]\nwhile cost(widths[-1]) < budget:\n    widths.append(2 * widths[-1])\n"
          "return min(widths, key=lambda width: (abs(cost(width) - budget), width))",
          "You compare doublings of `step` alone. All multiples of it are allowed."),
    wrong("further_one", "budget - cost(below) <= cost(above) - budget",
          "budget - cost(below) > cost(above) - budget",
          "Of the two widths around the budget you take the one that is further off."),
    wrong("wider_of_equals", "<= cost(above)", "< cost(above)",
          "Where two widths are equally near you take the wider. The smaller is asked for."),
    wrong("nearest_by_ratio", "budget - cost(below) <= cost(above) - budget",
          "budget**2 <= cost(above) * cost(below)",
          "You compare by ratio, as if costs lay on a logarithmic scale. Nearest is meant by"
          " difference: budget - cost, and cost - budget."),
)

STEPS = (
    wrong("every_width", "range(step, most + step, step)", "range(step, most + step)",
          "You try every width. Only multiples of `step` are allowed.",
          ("max(above - step, step)", "max(above - 1, step)")),
    wrong("step_always_4", "most = step", "most = step = 4",
          "You go in steps of 4 whatever `step` is."),
    wrong("counted_in_steps", "return below if budget - cost(below) <= cost(above) - budget else above",
          "return (below if budget - cost(below) <= cost(above) - budget else above) // step",
          "You give the number of steps. The width is asked for: that number times `step`."),
    wrong("zero_too", "max(above - step, step)", "above - step",
          "You give 0 where the narrowest is too dear. A network has at least `step` channels."),
    wrong("cost_given", "return below if budget - cost(below) <= cost(above) - budget else above",
          "return cost(below) if budget - cost(below) <= cost(above) - budget else cost(above)",
          "You give the cost. The width that has it is asked for."),
)
# fmt: on


def width_by_steps(cost, budget, step=4):
    width = step
    while cost(width) < budget:
        width += step
    if width > step and budget - cost(width - step) <= cost(width) - budget:
        return width - step
    return width


def width_by_distance(cost, budget, step=4):
    best, width = step, step
    while cost(width) < budget:
        width += step
        if abs(cost(width) - budget) < abs(cost(best) - budget):
            best = width
    return best


EXERCISE = Exercise(
    id="capstone.width_for",
    solution=width_for,
    probes={"width_for": ""},
    trials=width_trials,
    slips=(*NEAREST, *STEPS),
    hints=(
        "How do you find the first multiple of `step` that costs the budget or more?",
        (
            "Costs grow with the width, so go up in steps until the budget is reached. The nearest"
            " is that width or the one before it. Which one, if the budget lies just between?"
        ),
        (
            "above = the first multiple of step with cost >= budget\n"
            "below = above - step, but at least step\n"
            "below if budget - cost(below) <= cost(above) - budget, else above"
        ),
    ),
    minutes=7,
    difficulty=2,
    otherwise=(width_by_steps, width_by_distance),
)
