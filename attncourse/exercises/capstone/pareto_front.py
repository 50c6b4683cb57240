"""Which of many networks no other dominates."""

import torch

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone import pareto_front


def front_trials():
    def trial(name, cost, score):
        given = {
            "cost": Given("n", torch.tensor(cost, dtype=torch.float64)),
            "score": Given("n", torch.tensor(score, dtype=torch.float64)),
        }
        return Trial(name, dict(n=len(cost)), given)

    return (
        trial("of 5 networks", [3.0, 1.0, 2.0, 4.0, 2.5], [0.7, 0.4, 0.6, 0.65, 0.5]),
        trial("where two cost the same", [1.0, 2.0, 2.0, 3.0], [0.2, 0.5, 0.4, 0.9]),
        trial(
            "where two score the same",
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            [0.2, 0.5, 0.5, 0.7, 0.6, 0.7],
        ),
        trial("where two are alike", [2.0, 1.0, 2.0], [0.5, 0.3, 0.5]),
        trial("of one network", [1.5], [0.5]),
        trial("where the better come later", [5.0, 2.0, 1.0, 3.0], [0.3, 0.4, 0.5, 0.6]),
        trial(
            "where scores are below 0",
            [4.0, 1.0, 3.0, 2.0, 6.0, 7.0, 5.0],
            [-0.5, -3.0, -0.9, -2.0, -0.7, 0.1, -0.6],
        ),
    )


# fmt: off
WAYS = (
    *often(
        wrong("dear_is_good", "other_cost <= cost", "other_cost >= cost",
              "You prefer what costs more. A network is dominated by one that costs less.",
              ("other_cost < cost", "other_cost > cost")),
        wrong("low_scores_are_good", "other_score >= score", "other_score <= score",
              "You prefer what scores less. A network is dominated by one that scores more.",
              ("other_score > score", "other_score < score")),
    ),
    wrong("complement", "~(no_worse & better).any(0)", "(no_worse & better).any(0)",
          "You mark those that are dominated. True is asked for where no other dominates."),
    wrong("wrong_axis", ".any(0)", ".any(1)",
          "You mark those that dominate none. Ask for each network whether any other dominates it:"
          " over the other axis of your table."),
    same("~(no_worse & better).any(0)", "(no_worse & better).sum(0) == 0"),
)

EQUALS = (
    wrong("itself_dominates", "~(no_worse & better).any(0)", "~no_worse.any(0)",
          "Each network is dominated by itself: it costs no more and scores no less. One of the two"
          " must be better."),
    wrong("strict_in_both", "~(no_worse & better).any(0)",
          "~((other_cost < cost) & (other_score > score)).any(0)",
          "You ask for better in both. It is enough that one is better and the other no worse."),
    wrong("strict_cost", "(other_cost <= cost) & (other_score >= score)",
          "(other_cost < cost) & (other_score >= score)",
          "Of two that cost the same you keep the worse as well. The same cost and a better score"
          " dominate."),
    wrong("strict_score", "(other_cost <= cost) & (other_score >= score)",
          "(other_cost <= cost) & (other_score > score)",
          "Of two that score the same you keep the dearer as well. The same score for less"
          " dominates."),
    wrong("better_in_one", "no_worse & better", "better",
          "You let a network be dominated by one that is better in one of the two and worse in the"
          " other. It must be no worse in both."),
)

ALGORITHMS = (
    wrong("best_alone", "~(no_worse & better).any(0)", "(score == score.max())",
          "You mark the best score alone. What scores less for less money is on the front too."),
    wrong("best_by_ratio", "~(no_worse & better).any(0)",
          "(score / cost == (score / cost).max())",
          "You mark the best score for its cost. A front holds no ratio: all that are not dominated"
          " belong to it."),
    wrong("only_those_before", "(no_worse & better)", "(no_worse & better).triu(1)",
          "You compare each network only with those before it in the list. Those after it may dominate"
          " it as well."),
    wrong("in_order_of_cost", "return ~(no_worse & better).any(0)",
          "return (~(no_worse & better).any(0))[cost.argsort()]",
          "Your mask is in order of cost. It is in the order in which the networks came: put it back."),
    wrong("equals_lost", "return ~(no_worse & better).any(0)",
          "alike = (other_cost == cost) & (other_score == score)\n"
          "return ~(no_worse & better | alike.triu(1)).any(0)",
          "Of equal networks you keep the first alone. None dominates the other: all stay."),
    wrong("the_last_of_equals", "return ~(no_worse & better).any(0)",
          "alike = (other_cost == cost) & (other_score == score)\n"
          "return ~(no_worse & better | alike.tril(-1)).any(0)",
          "Of equal networks you keep the last alone. None dominates the other: all stay."),
    wrong("places_given", "~(no_worse & better).any(0)",
          "(~(no_worse & better).any(0)).nonzero()[:, 0]",
          "You give the places of the front. A mask is asked for: True or False for each of the n."),
)
# fmt: on


def front_by_loops(cost, score):
    kept = []
    for c, s in zip(cost.tolist(), score.tolist(), strict=True):
        pairs = list(zip(cost.tolist(), score.tolist(), strict=True))
        kept.append(not any(a <= c and b >= s and (a < c or b > s) for a, b in pairs))
    return torch.tensor(kept, dtype=torch.bool, device=cost.device)


def front_by_best_so_far(cost, score):
    """A network is on the front if it beats all that cost less, and is the best at its cost."""
    less = [score[cost < c] for c in cost]
    same_cost = [score[cost == c] for c in cost]
    beats = [not len(x) or bool(s > x.max()) for x, s in zip(less, score, strict=True)]
    best = [bool(s == x.max()) for x, s in zip(same_cost, score, strict=True)]
    front = [a and b for a, b in zip(beats, best, strict=True)]
    return torch.tensor(front, device=cost.device)


EXERCISE = Exercise(
    id="capstone.pareto_front",
    solution=pareto_front,
    probes={"pareto_front": "n"},
    trials=front_trials,
    slips=(*WAYS, *EQUALS, *ALGORITHMS),
    hints=(
        "When would you never take a network, whatever your budget is?",
        (
            "When another costs no more, scores no less, and is better in one of the two. Compare"
            " all with all: a column of the others beside a row of the n. `any` over the others."
        ),
        (
            "no_worse = (other cost <= cost) & (other score >= score)\n"
            "better = (other cost < cost) | (other score > score)\n"
            "not any other with both"
        ),
    ),
    minutes=7,
    difficulty=3,
    otherwise=(front_by_loops, front_by_best_so_far),
)
