"""The channels of a picture, weighted and summed."""

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions import shapes

# fmt: off
WEIGHTS = (
    wrong("plain_mean", 'einsum(picture, weights, "h w c, c -> h w")', "picture.mean(-1)",
          "Your channels all count the same: the weights are not used. Multiply each channel by its"
          " weight, then add."),
    wrong("plain_sum", 'weights, "h w c, c', '"h w c',
          "You add the channels without their weights. In einsum both go in: `h w c, c -> h w`."),
    wrong("reversed_channels", "weights,", "weights.flip(0),",
          "The weights meet the channels in reverse, blue for red. Channel c has weight c."),
    wrong("weights_made_to_sum_to_one", "weights,", "weights / weights.sum(),",
          "You divide by the sum of the weights. Use them as they come: whoever calls decides."),
    wrong("one_channel", 'einsum(picture, weights, "h w c, c -> h w")',
          "picture[..., 0] * weights[0]",
          "You use channel c = 0 only. Every channel counts, each times its weight."),
)

SUMS = (
    wrong("not_summed", "-> h w", "-> h w c",
          "You weigh the channels and do not add them: c is still there. A letter that is missing"
          " on the right is summed: `h w c, c -> h w`."),
    wrong("mean_of_weighted", '-> h w")', '-> h w") / len(weights)',
          "You take the mean of the weighted channels, which is c times too little. Take their"
          " sum."),
)
# fmt: on


def grey_by_matmul(picture, weights):
    return picture @ weights


def grey_by_sum(picture, weights):
    return (picture * weights).sum(-1)


def grey_by_loops(picture, weights):
    return sum(picture[:, :, c] * weights[c] for c in range(len(weights)))


def trials():
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
    trials=trials,
    slips=(*WEIGHTS, *SUMS),
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
