"""The focal loss of each score."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.capstone.detection import focal_loss


def focal_trials():
    dice = torch.Generator().manual_seed(5)

    def trial(name, alpha, gamma, **sizes):
        targets = torch.randint(2, [*sizes.values()], generator=dice).bool()
        targets.flatten()[:2] = torch.tensor([False, True])
        axes = " ".join(sizes)
        inputs = dict(logits=axes, targets=Given(axes, targets), alpha=alpha, gamma=gamma)
        return Trial(name, sizes, inputs)

    sure = torch.tensor([900.0, -900.0, 3.0, -2.0, -800.0], dtype=torch.float64)
    truth = torch.tensor([False, True, True, False, False])
    return (
        trial("as in the paper", 0.25, 2.0, b=3, a=5),
        trial("with gamma = 1/2", 0.6, 0.5, b=2, a=7),
        trial("with gamma = 0", 0.3, 0.0, b=4, a=3),
        Trial(
            "where scores are sure and wrong",
            dict(b=5),
            dict(logits=Given("b", sure), targets=Given("b", truth), alpha=0.25, gamma=2.0),
        ),
    )


# fmt: off
WEIGHTS = (
    *often(
        wrong("alpha_exchanged", "alpha * there + (1 - alpha) * (1 - there)",
              "(1 - alpha) * there + alpha * (1 - there)",
              "Your weights are exchanged: alpha is that of what is there, 1 - alpha that of what is"
              " not."),
        wrong("focus_on_the_easy", "(-sign * logits).sigmoid()", "(sign * logits).sigmoid()",
              "You weigh by p_t to the power gamma, and so by what is right already. Weigh by"
              " 1 - p_t."),
    ),
    wrong("no_alpha", "-weight * wrong", "-wrong",
          "alpha is not used: what is there and what is not weigh alike."),
    wrong("alpha_for_all", "alpha * there + (1 - alpha) * (1 - there)",
          "alpha * torch.ones_like(there)",
          "alpha weighs all scores. What is not there has 1 - alpha."),
    wrong("one_for_what_is_not_there", "alpha * there + (1 - alpha) * (1 - there)",
          "alpha * there + (1 - there)",
          "What is not there weighs 1 with you. It weighs 1 - alpha."),
    wrong("alpha_within_the_power", "-weight * wrong**gamma", "-((weight * wrong)**gamma)",
          "alpha stands within the power of gamma. Only 1 - p_t is raised to it; alpha is a factor"
          " outside."),
    wrong("no_focus", "wrong**gamma * ", "", "gamma is not used: that is weighted cross-entropy. Multiply by"
          " (1 - p_t)^gamma."),
    wrong("gamma_as_a_factor", "wrong**gamma", "(wrong * gamma)",
          "gamma is a factor of yours. It is an exponent: (1 - p_t)^gamma."),
    wrong("p_for_all", "(-sign * logits).sigmoid()", "1 - logits.sigmoid()",
          "Your focus is 1 - p for every score. Where the class is not there, p_t is 1 - p, and the"
          " focus is p."),
)

LOGARITHMS = (
    wrong("sign_left", "-weight * wrong", "weight * wrong",
          "Your loss is negative: the minus of -log is missing."),
    wrong("log_of_p", "F.logsigmoid(sign * logits)", "F.logsigmoid(logits)",
          "You take log p of every score. Where the class is not there, p_t is 1 - p."),
    wrong("log_of_zero", "F.logsigmoid(sign * logits)", "(sign * logits).sigmoid().log()",
          "Where a score is sure and wrong, the sigmoid rounds to 0 and its logarithm is infinite."
          " `F.logsigmoid` does both at once."),
    wrong("cut_off", "F.logsigmoid(sign * logits)", "(sign * logits).sigmoid().clamp(min=1e-7).log()",
          "You cut p_t off before its logarithm: who is very wrong learns nothing. `F.logsigmoid`"
          " needs no such limit."),
    wrong("logits_cut_off", "sign = 2 * there - 1", "sign = 2 * there - 1\nlogits = logits.clamp(-10, 10)",
          "You cut the scores off: who is very wrong learns nothing. `F.logsigmoid` needs no such"
          " limit."),
    wrong("small_number_in_the_logarithm", "F.logsigmoid(sign * logits)", "((sign * logits).sigmoid() + 1e-8).log()",
          "You add a small number within the logarithm: it stops growing where a score is sure and"
          " wrong. `F.logsigmoid` needs none."),
    wrong("mean_taken", "return -weight * wrong**gamma * F.logsigmoid(sign * logits)",
          "return (-weight * wrong**gamma * F.logsigmoid(sign * logits)).mean()",
          "You return the mean. The loss of each score is asked for, since it is divided by the"
          " number of anchors with a truth."),
    wrong("sum_taken", "return -weight * wrong**gamma * F.logsigmoid(sign * logits)",
          "return (-weight * wrong**gamma * F.logsigmoid(sign * logits)).sum()",
          "You return the sum. The loss of each score by itself is asked for."),
    same("F.logsigmoid(sign * logits)", "-F.softplus(-sign * logits)"),
    same("alpha * there + (1 - alpha) * (1 - there)", "(1 - alpha) + (2 * alpha - 1) * there"),
)
# fmt: on


def focal_by_cross_entropy(logits, targets, alpha=0.25, gamma=2.0):
    loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
    p = logits.sigmoid()
    away = torch.where(targets, (-logits).sigmoid(), p)
    return torch.where(targets, alpha * loss, (1 - alpha) * loss) * away.pow(gamma)


def focal_by_two_cases(logits, targets, alpha=0.25, gamma=2.0):
    there = -alpha * torch.sigmoid(-logits) ** gamma * F.logsigmoid(logits)
    absent = -(1 - alpha) * torch.sigmoid(logits) ** gamma * F.logsigmoid(-logits)
    return torch.where(targets, there, absent)


EXERCISE = Exercise(
    id="capstone.focal_loss",
    solution=focal_loss,
    probes={"focal_loss": "*b"},
    trials=focal_trials,
    slips=(*WEIGHTS, *LOGARITHMS),
    hints=(
        "What is p_t, the probability that was given to what is true, where the target is True and False?",
        (
            "sigmoid(x) and sigmoid(-x): with a sign of 1 or -1 both are one formula. `F.logsigmoid`"
            " takes the logarithm without overflow."
        ),
        (
            "t = targets as numbers; sign = 2 t - 1; weight = alpha where t = 1, else 1 - alpha\n"
            "-weight sigmoid(-sign x)^gamma logsigmoid(sign x)"
        ),
    ),
    minutes=8,
    difficulty=3,
    otherwise=(focal_by_cross_entropy, focal_by_two_cases),
    skip=frozenset({"half"}),
)
