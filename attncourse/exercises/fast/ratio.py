"""The record of `fast.ratio`."""

from statistics import median

import torch

from attncourse.exercises.families import family, remade
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.fast.measure import ratio

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None


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
            "5 times of ours and 4 of theirs",
            dict(round=5),
            {"ours": times(1.0, 2.0, 3.0, 4.0, 5.0), "theirs": times(1.0, 2.0, 3.0, 4.0)},
        ),
    )


def ours_over_theirs(ours, theirs):
    return ours / theirs


def middle(ratios, ours, theirs):
    return ratios.quantile(0.5)


def least_and_most(ratios, ours, theirs):
    return ratios.min(), ratios.max()


def ratio_recipe(dividing=ours_over_theirs, summing=middle, spreading=least_and_most):
    def answer(ours, theirs):
        if len(ours) != len(theirs):
            raise ValueError("rounds differ")
        ratios = dividing(ours, theirs)
        return summing(ratios, ours, theirs), *spreading(ratios, ours, theirs)

    return answer


def theirs_over_ours(ours, theirs):
    """You divide theirs by ours. Asked is how much longer ours takes: ours / theirs."""
    return theirs / ours


def sorted_first(ours, theirs):
    """You sort the times before dividing: then times of different rounds meet. A round's two
    times were taken next to each other, under the same load."""
    return ours.sort().values / theirs.sort().values


def every_pair(ours, theirs):
    """You divide every time of ours by every one of theirs. Only times of one round saw the
    same machine."""
    return (ours[:, None] / theirs).flatten()


def over_their_median(ours, theirs):
    """You divide all of ours by one time of theirs. Each round has its own: the load changes
    from round to round."""
    return ours / theirs.quantile(0.5)


def over_their_best(ours, theirs):
    """You divide by the best of theirs. Each round has its own time of theirs, taken next to
    ours."""
    return ours / theirs.min()


def percent_saved(ours, theirs):
    """You return how much is saved, 1 - ours / theirs. What is asked is the ratio."""
    return 1 - ours / theirs


def difference(ours, theirs):
    """You subtract. A ratio says the same on a fast machine as on a slow one: ours / theirs."""
    return ours - theirs


def ratio_in_logs(ours, theirs):
    """You return the logarithm of the ratio. What is asked is ours / theirs."""
    return (ours / theirs).log()


def warm_up_dropped(ours, theirs):
    """You leave the first round out. Warming up is for who measures; what is passed here
    counts."""
    return (ours / theirs)[min(1, len(ours) - 1) :]


def ratio_of_medians(ratios, ours, theirs):
    """You divide two medians. They may come from different rounds, under different load: divide
    within each round first."""
    return ours.quantile(0.5) / theirs.quantile(0.5)


def ratio_of_means(ratios, ours, theirs):
    """You divide two means, or sums: one slow round decides. Divide within each round, and take
    the median of the ratios."""
    return ours.mean() / theirs.mean()


def mean_of_ratios(ratios, ours, theirs):
    """You take the mean of the ratios. One disturbed round moves it; the median stays."""
    return ratios.mean()


def geometric_mean(ratios, ours, theirs):
    """You take the geometric mean of the ratios. One disturbed round moves it; the median
    stays."""
    return ratios.log().mean().exp()


def ratio_of_the_best(ratios, ours, theirs):
    """You divide the shortest times. They come from different rounds, and one lucky round
    decides: median of the ratios."""
    return ours.min() / theirs.min()


def lower_median(ratios, ours, theirs):
    """`torch.median` takes the lower one of the two in the middle. Of an even number of rounds
    the median is the mean of the two: `quantile(0.5)`."""
    return ratios.median()


def upper_median(ratios, ours, theirs):
    """You take the upper one of the two in the middle. Of an even number of rounds the median
    is the mean of the two: `quantile(0.5)`."""
    return ratios.sort().values[len(ratios) // 2]


def not_sorted(ratios, ours, theirs):
    """You take the ratio of the middle round. The median is the middle of the ratios in order
    of size."""
    return ratios[len(ratios) // 2]


def best_ratio(ratios, ours, theirs):
    """You return the best round for the typical one. The median is what half of the rounds
    reach."""
    return ratios.min()


def middle_of_the_ends(ratios, ours, theirs):
    """You take the middle between least and most, which the two oddest rounds decide. The
    median is the middle one of all."""
    return (ratios.min() + ratios.max()) / 2


def most_and_least(ratios, ours, theirs):
    """You return most before least. The order is median, least, most."""
    return ratios.max(), ratios.min()


def ends_of_times(ratios, ours, theirs):
    """Your least and most divide times of different rounds. They are the least and the most of
    the ratios within a round."""
    return ours.min() / theirs.max(), ours.max() / theirs.min()


def ends_divided(ratios, ours, theirs):
    """You divide the shortest times, and the longest. Least and most are those of the ratios
    within a round."""
    return ours.min() / theirs.min(), ours.max() / theirs.max()


def quartiles(ratios, ours, theirs):
    """You return quartiles. Least and most show all of the spread, with no round left out."""
    return ratios.quantile(0.25), ratios.quantile(0.75)


def deviations(ratios, ours, theirs):
    """You return the median less and plus a standard deviation. Asked are the least and the
    most of the ratios."""
    spread = ratios.std(correction=0)
    return ratios.quantile(0.5) - spread, ratios.quantile(0.5) + spread


def ours_alone(ratios, ours, theirs):
    """Your least and most are times of ours. They are those of the ratios."""
    return ours.min(), ours.max()


def ratio_slips():
    made = family(
        ratio_recipe,
        paired=(
            theirs_over_ours,
            ratio_of_medians,
            ratio_of_means,
            mean_of_ratios,
            lower_median,
            most_and_least,
            ends_of_times,
            ends_divided,
        ),
        dividing=(
            theirs_over_ours,
            sorted_first,
            every_pair,
            over_their_median,
            over_their_best,
            percent_saved,
            difference,
            ratio_in_logs,
            warm_up_dropped,
        ),
        summing=(
            ratio_of_medians,
            ratio_of_means,
            mean_of_ratios,
            geometric_mean,
            ratio_of_the_best,
            lower_median,
            upper_median,
            not_sorted,
            best_ratio,
            middle_of_the_ends,
            median_of_sorted,
        ),
        spreading=(
            most_and_least,
            ends_of_times,
            ends_divided,
            quartiles,
            deviations,
            ours_alone,
        ),
    )
    by_torch = {
        "ratio_of_medians": {},
        "ratio_of_medians + ends_divided": {"spreading": ends_divided},
        "ratio_of_medians + ends_of_times": {"spreading": ends_of_times},
    }
    return (
        *(
            remade(one, ways=(ratio_recipe(summing=medians_of_torch, **by_torch[one.name]),))
            if one.name in by_torch
            else one
            for one in made
        ),
        slip(least_first),
    )


def medians_of_torch(ratios, ours, theirs):
    return ours.median() / theirs.median()


def median_of_sorted(ratios, ours, theirs):
    """Your median divides sorted times: then times of different rounds meet. A round's two
    times were taken next to each other: divide first."""
    return (ours.sort().values / theirs.sort().values).quantile(0.5)


def least_first(ours, theirs):
    """You return the least first. The order is median, least, most."""
    typical, least, most = ratio(ours, theirs)
    return least, typical, most


def ratio_by_sorting(ours, theirs):
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} and {theirs.shape} differ")
    ratios = torch.sort(ours * (1 / theirs)).values
    n = ratios.shape[0]
    return (ratios[(n - 1) // 2] + ratios[n // 2]) / 2, ratios[0], ratios[-1]


def ratio_by_statistics(ours, theirs):
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return median(ratios), min(ratios), max(ratios)


EXERCISE = Exercise(
    id="fast.ratio",
    solution=ratio,
    probes={"ratio": ("", "", "")},
    trials=ratio_trials,
    slips=ratio_slips(),
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
