"""The record of `shapes.grey`."""

from einops import rearrange, reduce

from attncourse.exercises.record import Exercise, Trial
from solutions import shapes


def plain_mean(picture, weights):
    """Your channels all count the same: the weights are not used. Multiply each channel by
    its weight, then add."""
    return reduce(picture, "h w c -> h w", "mean")


def plain_sum(picture, weights):
    """You add the channels without their weights. In einsum both go in: `h w c, c -> h w`."""
    return reduce(picture, "h w c -> h w", "sum")


def reversed_channels(picture, weights):
    """The weights meet the channels in reverse, blue for red. Channel c has weight c."""
    return picture @ weights.flip(0)


def not_summed(picture, weights):
    """You weigh the channels and do not add them: c is still there. A letter that is missing
    on the right is summed: `h w c, c -> h w`."""
    return picture * weights


def mean_of_weighted(picture, weights):
    """You take the mean of the weighted channels, which is c times too little. Take their
    sum."""
    return (picture * weights).mean(-1)


def weights_made_to_sum_to_one(picture, weights):
    """You divide by the sum of the weights. Use them as they come: whoever calls decides."""
    return picture @ weights / weights.sum()


def grey_lying(picture, weights):
    """h and w are exchanged: your picture is mirrored at its diagonal. Rows come first: `h
    w`."""
    return rearrange(picture @ weights, "h w -> w h")


def one_channel(picture, weights):
    """You use channel c = 0 only. Every channel counts, each times its weight."""
    return picture[..., 0] * weights[0]


def grey_by_matmul(picture, weights):
    return picture @ weights


def grey_by_sum(picture, weights):
    return (picture * weights).sum(-1)


def grey_by_loops(picture, weights):
    return sum(picture[:, :, c] * weights[c] for c in range(len(weights)))


def grey_trials():
    return tuple(
        Trial(name, sizes, {"picture": "h w c", "weights": "c"})
        for name, sizes in (
            ("on 3 channels", {"h": 5, "w": 7, "c": 3}),
            ("on 4 channels", {"h": 6, "w": 2, "c": 4}),
        )
    )


EXERCISE = Exercise(
    id="shapes.grey",
    solution=shapes.grey,
    probes={"grey": "h w"},
    trials=grey_trials,
    slips=(
        plain_mean,
        plain_sum,
        reversed_channels,
        not_summed,
        mean_of_weighted,
        weights_made_to_sum_to_one,
        grey_lying,
        one_channel,
    ),
    hints=(
        "A pixel has c numbers and there are c weights. What is left of them in the result?",
        "Multiply where the letter c agrees, then sum over it. In `einsum` a letter "
        "that is missing on the right is summed.",
        'einsum(picture, weights, "h w c, … -> …").',
    ),
    minutes=1,
    difficulty=1,
    otherwise=(grey_by_matmul, grey_by_sum, grey_by_loops),
)
