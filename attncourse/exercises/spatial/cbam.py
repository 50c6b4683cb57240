"""The record of `spatial.cbam`."""

import torch

from attncourse.exercises.families import family, named, remade
from attncourse.exercises.record import Exercise, Trial, slip
from attncourse.exercises.spatial.shared import APPLYING, residual_added, times, what, where
from solutions.spatial import (
    CBAM,
)


def cbam_trials():
    def trial(name, order, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, kernel=3, order=order)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("channels first", "channel-spatial", b=2, c=4, h=5, w=7),
        trial("pixels first", "spatial-channel", b=3, c=6, h=4, w=5),
        trial("in parallel", "parallel", b=2, c=8, h=3, w=5),
        trial("channels first, in training mode", "channel-spatial", False, b=3, c=4, h=1, w=5),
        trial("pixels first, in training mode", "spatial-channel", False, b=4, c=6, h=2, w=3),
    )


def as_asked(self, x):
    return self.order


def product(x, one, other):
    return one * other


def let_through(x, gain):
    return x * gain


def cbam_recipe(
    ordering=as_asked,
    passing=let_through,
    joining=product,
    applying=times,
    orders=CBAM.ORDERS,
):
    """`CBAM` with some of its steps replaced, in some of its orders."""

    class Answer(CBAM):
        def attention(self, x):
            order = ordering(self, x)
            wrong = order in orders
            join, hand_on = (joining, passing) if wrong else (product, let_through)
            if order == "parallel":
                return join(x, what(self, x), where(self, x))
            first, second = (what, where) if order == "channel-spatial" else (where, what)
            gain = first(self, x)
            return join(x, gain, second(self, hand_on(x, gain)))

        def forward(self, x):
            return applying(x, self.attention(x))

    return Answer


def always_channels_first(self, x):
    """`self.order` is not looked at: you always do channels first."""
    return "channel-spatial"


def always_pixels_first(self, x):
    """`self.order` is not looked at: you always do pixels first."""
    return "spatial-channel"


def always_parallel(self, x):
    """Both gates see x, whatever `self.order` says. In a sequence the second sees what the
    first lets through."""
    return "parallel"


def orders_exchanged(self, x):
    """The two sequences are exchanged: "channel-spatial" means that the channel gate comes
    first."""
    turned = {"channel-spatial": "spatial-channel", "spatial-channel": "channel-spatial"}
    return turned.get(self.order, self.order)


def only_pixels_first(self, x):
    """With "channel-spatial" your spatial gate comes first. The channel gate does."""
    return "parallel" if self.order == "parallel" else "spatial-channel"


def only_channels_first(self, x):
    """With "spatial-channel" your channel gate comes first. The spatial gate does."""
    return "parallel" if self.order == "parallel" else "channel-spatial"


def pixels_first_without_passing(self, x):
    """With "spatial-channel" your channel gate sees x itself. It sees x scaled by pixel."""
    return "parallel" if self.order == "spatial-channel" else self.order


def channels_first_without_passing(self, x):
    """With "channel-spatial" your spatial gate sees x itself. It sees x scaled by channel."""
    return "parallel" if self.order == "channel-spatial" else self.order


def parallel_as_a_sequence(self, x):
    """ "parallel" is treated as a sequence, channels first. There both gates see x."""
    return "channel-spatial" if self.order == "parallel" else self.order


def parallel_pixels_first(self, x):
    """ "parallel" is treated as a sequence, pixels first. There both gates see x."""
    return "spatial-channel" if self.order == "parallel" else self.order


def gain_passed(x, gain):
    """The second gate sees the gains of the first, without x. It sees x scaled by them."""
    return 0 * x + gain


def rest_passed(x, gain):
    """The second gate sees what the first shuts out, x - x s. It sees what it lets through."""
    return x - x * gain


def rectified_passed(x, gain):
    """A ReLU stands between the gates. The second sees the scaled x with its signs."""
    return (x * gain).relu()


def residual_passed(x, gain):
    """The second gate sees x plus the scaled x. It sees the scaled x."""
    return x + x * gain


def gains_added(x, one, other):
    """You add the gains of the two gates. They multiply."""
    return one + other


def gains_averaged(x, one, other):
    """You average the gains of the two gates. They multiply."""
    return (one + other) / 2


def larger_gain(x, one, other):
    """You take the larger gain of the two. They multiply."""
    return torch.maximum(one.expand_as(x), other.expand_as(x))


def smaller_gain(x, one, other):
    """You take the smaller gain of the two. They multiply."""
    return torch.minimum(one.expand_as(x), other.expand_as(x))


def either_gain(x, one, other):
    """You join the gains as chances, s + t - s t: open where either is. They multiply: open
    where both are."""
    return one + other - one * other


def first_gain_lost(x, one, other):
    """The gain of the first gate is lost on the way: the second gate decides with it, but only
    its own gain is in the result. They multiply."""
    return other.expand_as(x)


def second_gain_lost(x, one, other):
    """The second gate is left out: only the first gain is in the result. They multiply."""
    return one.expand_as(x)


def first_gain_twice(x, one, other):
    """The first gain is applied twice: once in what the second gate sees, and twice again in
    the result. The result holds each gain once."""
    return one * one * other


def root_of_the_product(x, one, other):
    """You take the root of the product of the gains. It is the product itself."""
    return (one * other).sqrt()


def squashed_again(x, one, other):
    """You squash the product by a sigmoid once more. Both gains are in (0, 1) already."""
    return (one * other).sigmoid()


def whole_slip(**step):
    """One step of CBAM's recipe, wrong in all orders."""
    (choice,) = step.values()
    return remade(slip(choice), answer=cbam_recipe(**step))


def in_one_order(wrong, every=True, **step):
    """A slip, known as well where it is made in one of the orders alone."""
    ways = tuple(cbam_recipe(orders=(order,), **step) for order in CBAM.ORDERS)
    return remade(wrong, answer=wrong.answer if every else ways[-1], ways=ways)


GAINS_ADDED_IN_ONE_ORDER = in_one_order(
    named(
        "added_in_one_order", "Here you add the gains of the two gates. They multiply.", CBAM
    ),
    every=False,
    joining=gains_added,
)


class ScaledBeforeReturned(CBAM):
    """Your `attention` returns x scaled already. It returns the gains alone; `forward`
    multiplies x with them."""

    def attention(self, x):
        return super().attention(x) * x

    def forward(self, x):
        return self.attention(x)


class ScaledTwice(CBAM):
    """Your `forward` scales by the first gate once more: its gain is in `attention` already."""

    def forward(self, x):
        if self.order == "spatial-channel":
            return self.spatial(x) * self.attention(x)
        return self.channel(x) * self.attention(x)


class ScaledTwiceByChannel(CBAM):
    def forward(self, x):
        return self.channel(x) * self.attention(x)


class Summed(CBAM):
    """You add what the two gates make of x in "parallel". Their gains multiply."""

    def forward(self, x):
        if self.order == "parallel":
            return self.channel(x) + self.spatial(x)
        return super().forward(x)


class CBAMInTurn(CBAM):
    """Gates called as modules; the gain read off the result."""

    def forward(self, x):
        if self.order == "channel-spatial":
            return self.spatial(self.channel(x))
        if self.order == "spatial-channel":
            return self.channel(self.spatial(x))
        return self.channel(x) * self.spatial.attention(x)[:, None]

    def attention(self, x):
        c, s = self.channel.attention, self.spatial.attention
        if self.order == "channel-spatial":
            one = c(x)
            two = s(x * one[:, :, None, None])
        elif self.order == "spatial-channel":
            two = s(x)
            one = c(x * two[:, None])
        else:
            one, two = c(x), s(x)
        return torch.einsum("bc,bhw->bchw", one, two)


class CBAMByCases(CBAM):
    def attention(self, x):
        gain = torch.ones_like(x)
        steps = (
            ["channel", "spatial"]
            if self.order != "spatial-channel"
            else ["spatial", "channel"]
        )
        for step in steps:
            seen = x if self.order == "parallel" else x * gain
            s = getattr(self, step).attention(seen)
            s = s.unsqueeze(1) if step == "spatial" else s.unsqueeze(-1).unsqueeze(-1)
            gain = gain * s
        return gain

    def forward(self, x):
        return torch.mul(self.attention(x), x)


EXERCISE = Exercise(
    id="spatial.cbam",
    solution=CBAM,
    probes={"attention": "b c h w", "forward": "b c h w"},
    trials=cbam_trials,
    blank=("attention", "forward"),
    slips=(
        *family(
            cbam_recipe,
            paired=(always_parallel, gains_added, residual_added),
            ordering=(
                always_channels_first,
                always_pixels_first,
                always_parallel,
                orders_exchanged,
                only_pixels_first,
                only_channels_first,
                pixels_first_without_passing,
                channels_first_without_passing,
                parallel_as_a_sequence,
                parallel_pixels_first,
            ),
            joining=(gains_added,),
            applying=APPLYING,
        ),
        GAINS_ADDED_IN_ONE_ORDER,
        *(
            in_one_order(whole_slip(passing=step), passing=step)
            for step in (gain_passed, residual_passed, rest_passed, rectified_passed)
        ),
        *(
            in_one_order(whole_slip(joining=step), joining=step)
            for step in (
                gains_averaged,
                larger_gain,
                smaller_gain,
                either_gain,
                first_gain_lost,
                second_gain_lost,
                first_gain_twice,
                root_of_the_product,
                squashed_again,
            )
        ),
        ScaledBeforeReturned,
        remade(slip(ScaledTwice), ways=(ScaledTwiceByChannel,)),
        Summed,
    ),
    hints=(
        "Which gate sees x, and which sees x after the other has worked on it?",
        "Bring both gains to a shape that multiplies with x: b c 1 1 and b 1 h w. Their"
        " product is the gain of each channel at each pixel. Call each gate once.",
        'attention, "channel-spatial": what = channel gain of x\n'
        "    where = spatial gain of x * what; return what * where\n"
        '"spatial-channel": the other way round; "parallel": both of x\n'
        "forward: x times attention(x)",
    ),
    minutes=12,
    difficulty=3,
    otherwise=(CBAMInTurn, CBAMByCases),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "gains_in_range",
    ),
)
