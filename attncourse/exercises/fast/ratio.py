"""How much longer ours takes than theirs: median, least and most of the ratios of a round."""

from statistics import median

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.measure import ratio


def times(*numbers):
    return Given("round", torch.tensor(numbers, dtype=torch.float64))


def ratio_trials():
    return (
        Trial(
            "of 5 rounds",
            dict(round=5),
            {
                "ours": times(2.1, 1.9, 5.2, 2.4, 2.0),
                "theirs": times(4.0, 4.4, 7.1, 3.1, 4.9),
            },
        ),
        Trial(
            "of 4 rounds, in which the machine grows slower",
            dict(round=4),
            {"ours": times(1.0, 2.2, 2.9, 4.3), "theirs": times(0.9, 1.6, 3.5, 3.8)},
        ),
        Trial("of one round", dict(round=1), {"ours": times(3.0), "theirs": times(2.0)}),
    )


def unequal_rounds():
    return (
        Trial(
            "3 times of ours and 1 of theirs",
            dict(round=3),
            {"ours": times(1.0, 2.0, 3.0), "theirs": times(2.0)},
            says=(3, 1),
        ),
        Trial(
            "5 times of ours and 4 of theirs",
            dict(round=5),
            {"ours": times(1.0, 2.0, 3.0, 4.0, 5.0), "theirs": times(1.0, 2.0, 3.0, 4.0)},
            says=(5, 4),
        ),
    )


# fmt: off
RATIOS = (
    *often(
        wrong("theirs_over_ours", "ours / theirs", "theirs / ours",
              "You divide theirs by ours. Asked is how much longer ours takes: ours / theirs."),
    ),
    wrong("sorted_first", "ours / theirs", "ours.sort().values / theirs.sort().values",
          "You sort the times before dividing: then times of different rounds meet. A round's two"
          " times were taken next to each other, under the same load."),
    wrong("every_pair", "ours / theirs", "(ours[:, None] / theirs).flatten()",
          "You divide every time of ours by every one of theirs. Only times of one round saw the"
          " same machine."),
    wrong("over_their_median", "ours / theirs", "ours / theirs.quantile(0.5)",
          "You divide all of ours by one time of theirs. Each round has its own: the load changes"
          " from round to round."),
    wrong("over_their_best", "ours / theirs", "ours / theirs.min()",
          "You divide by the best of theirs. Each round has its own time of theirs, taken next to"
          " ours."),
    wrong("percent_saved", "ours / theirs", "1 - ours / theirs",
          "You return how much is saved, 1 - ours / theirs. What is asked is the ratio."),
    wrong("difference", "ours / theirs", "ours - theirs",
          "You subtract. A ratio says the same on a fast machine as on a slow one: ours / theirs."),
    wrong("ratio_in_logs", "ours / theirs", "(ours / theirs).log()",
          "You return the logarithm of the ratio. What is asked is ours / theirs."),
    wrong("warm_up_dropped", "ours / theirs", "(ours / theirs)[1:]",
          "You leave the first round out. Warming up is for who measures; what is passed here"
          " counts."),
)

MEDIANS = (
    *often(
        wrong("ratio_of_medians", "ratios.quantile(0.5)",
              "ours.quantile(0.5) / theirs.quantile(0.5)",
              "You divide two medians. They may come from different rounds, under different load:"
              " divide within each round first."),
        wrong("ratio_of_lower_medians", "ratios.quantile(0.5)", "ours.median() / theirs.median()",
              "You divide two medians. They may come from different rounds, under different load:"
              " divide within each round first. And `torch.median` takes the lower one of the two"
              " in the middle: `quantile(0.5)`."),
        wrong("ratio_of_means", "ratios.quantile(0.5)", "ours.mean() / theirs.mean()",
              "You divide two means, or sums: one slow round decides. Divide within each round,"
              " and take the median of the ratios."),
        wrong("mean_of_ratios", "ratios.quantile(0.5)", "ratios.mean()",
              "You take the mean of the ratios. One disturbed round moves it; the median stays."),
        wrong("lower_median", "ratios.quantile(0.5)", "ratios.median()",
              "`torch.median` takes the lower one of the two in the middle. Of an even number of"
              " rounds the median is the mean of the two: `quantile(0.5)`."),
    ),
    wrong("geometric_mean", "ratios.quantile(0.5)", "ratios.log().mean().exp()",
          "You take the geometric mean of the ratios. One disturbed round moves it; the median"
          " stays."),
    wrong("ratio_of_the_best", "ratios.quantile(0.5)", "ours.min() / theirs.min()",
          "You divide the shortest times. They come from different rounds, and one lucky round"
          " decides: median of the ratios."),
    wrong("upper_median", "ratios.quantile(0.5)", "ratios.sort().values[len(ratios) // 2]",
          "You take the upper one of the two in the middle. Of an even number of rounds the"
          " median is the mean of the two: `quantile(0.5)`."),
    wrong("not_sorted", "ratios.quantile(0.5)", "ratios[len(ratios) // 2]",
          "You take the ratio of the middle round. The median is the middle of the ratios in"
          " order of size."),
    wrong("best_ratio", "ratios.quantile(0.5)", "ratios.min()",
          "You return the best round for the typical one. The median is what half of the rounds"
          " reach."),
    wrong("middle_of_the_ends", "ratios.quantile(0.5)", "(ratios.min() + ratios.max()) / 2",
          "You take the middle between least and most, which the two oddest rounds decide. The"
          " median is the middle one of all."),
    wrong("median_of_sorted", "ratios.quantile(0.5)",
          "(ours.sort().values / theirs.sort().values).quantile(0.5)",
          "Your median divides sorted times: then times of different rounds meet. A round's two"
          " times were taken next to each other: divide first."),
)

ENDS = (
    *often(
        wrong("most_and_least", "ratios.min(), ratios.max()", "ratios.max(), ratios.min()",
              "You return most before least. The order is median, least, most."),
        wrong("ends_of_times", "ratios.min(), ratios.max()",
              "ours.min() / theirs.max(), ours.max() / theirs.min()",
              "Your least and most divide times of different rounds. They are the least and the"
              " most of the ratios within a round."),
        wrong("ends_divided", "ratios.min(), ratios.max()",
              "ours.min() / theirs.min(), ours.max() / theirs.max()",
              "You divide the shortest times, and the longest. Least and most are those of the"
              " ratios within a round."),
    ),
    wrong("quartiles", "ratios.min(), ratios.max()", "ratios.quantile(0.25), ratios.quantile(0.75)",
          "You return quartiles. Least and most show all of the spread, with no round left out."),
    wrong("deviations", "ratios.min(), ratios.max()",
          "ratios.quantile(0.5) - ratios.std(), ratios.quantile(0.5) + ratios.std()",
          "You return the median less and plus a standard deviation. Asked are the least and the"
          " most of the ratios."),
    wrong("ours_alone", "ratios.min(), ratios.max()", "ours.min(), ours.max()",
          "Your least and most are times of ours. They are those of the ratios."),
    wrong("least_first", "ratios.quantile(0.5), ratios.min()", "ratios.min(), ratios.quantile(0.5)",
          "You return the least first. The order is median, least, most."),
)
# fmt: on


def ratio_by_sorting(ours, theirs):
    if ours.shape != theirs.shape:
        raise ValueError(f"{len(ours)} and {len(theirs)} times")
    ratios = torch.sort(ours * (1 / theirs)).values
    n = ratios.shape[0]
    return (ratios[(n - 1) // 2] + ratios[n // 2]) / 2, ratios[0], ratios[-1]


def ratio_by_statistics(ours, theirs):
    if (rounds := len(ours)) != len(theirs):
        raise ValueError(f"{rounds} times against {len(theirs)}")
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return median(ratios), min(ratios), max(ratios)


EXERCISE = Exercise(
    id="fast.ratio",
    solution=ratio,
    probes={"ratio": ("", "", "")},
    trials=ratio_trials,
    slips=(*RATIOS, *MEDIANS, *ENDS),
    hints=(
        "Ours and theirs are timed one after the other, again and again, while the"
        " machine has other work as well. Which two times saw the same machine?",
        "Those of one round: ours / theirs, round by round. Of these ratios the median,"
        " the least and the most. Of an even number the median is the mean of the two in"
        " the middle.",
        "ValueError if there are not as many of ours as of theirs\n"
        "ratios = ours / theirs\nquantile(0.5), min(), max() of them",
    ),
    minutes=5,
    difficulty=1,
    otherwise=(ratio_by_sorting, ratio_by_statistics),
    refuses=unequal_rounds,
)
