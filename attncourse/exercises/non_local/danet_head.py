"""The record of `non_local.danet_head`."""

import torch

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial, slip
from solutions.non_local import (
    DANetHead,
)


def head_trials():
    def trial(name, evaluate, released=False, **sizes):
        init = dict(
            channels=sizes["c"],
            classes=sizes["classes"],
            reduction=2,
            released=released,
            dropout=0.0,
        )
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in training mode", False, b=2, c=16, classes=3, h=4, w=5),
        trial("after `.eval()`", True, b=3, c=18, classes=4, h=5, w=2),
        trial("with released=True", True, True, b=2, c=20, classes=5, h=3, w=7),
    )


def branches(self, x):
    p = self.position_out(self.position(self.position_in(x)))
    c = self.channel_out(self.channel(self.channel_in(x)))
    return p, c


def three_outputs(self, p, c):
    return self.both(p + c), self.position_alone(p), self.channel_alone(c)


def head_recipe(running=branches, classifying=three_outputs):
    """`DANetHead` with some of its steps replaced."""

    class Answer(DANetHead):
        def forward(self, x):
            return classifying(self, *running(self, x))

    return Answer


def one_entrance(self, x):
    """Both branches start from `self.position_in`. Each has a convolution of its own."""
    x = self.position_in(x)
    return self.position_out(self.position(x)), self.channel_out(self.channel(x))


def one_exit(self, x):
    """Both branches end in `self.position_out`. Each has a convolution of its own."""
    p, c = self.position(self.position_in(x)), self.channel(self.channel_in(x))
    return self.position_out(p), self.position_out(c)


def one_after_the_other(self, x):
    """Channel attention works on what position attention gives. The two work side by side, each
    on a convolution of x."""
    p = self.position_out(self.position(self.position_in(x)))
    return p, self.channel_out(self.channel(p))


def attention_exchanged(self, x):
    """The two attentions have changed places."""
    p = self.position_out(self.channel(self.position_in(x)))
    return p, self.channel_out(self.position(self.channel_in(x)))


def no_attention(self, x):
    """Neither attention is used."""
    return self.position_out(self.position_in(x)), self.channel_out(self.channel_in(x))


def no_position_attention(self, x):
    """`self.position` is never used."""
    return self.position_out(self.position_in(x)), branches(self, x)[1]


def no_channel_attention(self, x):
    """`self.channel` is never used."""
    return branches(self, x)[0], self.channel_out(self.channel_in(x))


def no_exits(self, x):
    """The second convolutions, `position_out` and `channel_out`, are left out."""
    return self.position(self.position_in(x)), self.channel(self.channel_in(x))


def residual_around_attention(self, x):
    """You add the input of the attention once more. It is added inside already."""
    p, c = self.position_in(x), self.channel_in(x)
    return self.position_out(p + self.position(p)), self.channel_out(c + self.channel(c))


def exits_added_first(self, x):
    """You add the branches before their last convolutions. Each has its own, then they are
    added."""
    total = self.position(self.position_in(x)) + self.channel(self.channel_in(x))
    return self.position_out(total), self.channel_out(total)


def averaged_branches(self, p, c):
    """You average the branches. They are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both((p + c) / 2), *rest


def multiplied_branches(self, p, c):
    """You multiply the branches. They are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p * c), *rest


def largest_of_branches(self, p, c):
    """You take the larger of the branches. They are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both(torch.maximum(p, c)), *rest


def scores_added(self, p, c):
    """You classify each branch and add the scores. Add the branches, then classify the sum with
    `self.both`."""
    position, channel = self.position_alone(p), self.channel_alone(c)
    return position + channel, position, channel


def both_classified_apart(self, p, c):
    """You classify each branch with `self.both` and add the scores: its bias counts twice. Add
    the branches, then classify."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p) + self.both(c), *rest


def scores_averaged(self, p, c):
    """You classify each branch and average the scores. Add the branches, then classify the sum
    with `self.both`."""
    position, channel = self.position_alone(p), self.channel_alone(c)
    return (position + channel) / 2, position, channel


def branches_subtracted(self, p, c):
    """You subtract the channel branch. The branches are added."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p - c), *rest


def log_of_scores(self, p, c):
    """You return a log-softmax of the scores. The cross-entropy takes it: return the scores."""
    return tuple(y.log_softmax(1) for y in three_outputs(self, p, c))


def position_for_both(self, p, c):
    """Your first output sees the position branch alone. It sees the sum of both."""
    _, *rest = three_outputs(self, p, c)
    return self.both(p), *rest


def channel_for_both(self, p, c):
    """Your first output sees the channel branch alone. It sees the sum of both."""
    _, *rest = three_outputs(self, p, c)
    return self.both(c), *rest


def outputs_exchanged(self, p, c):
    """The second and third output have changed places: position before channel."""
    both, position, channel = three_outputs(self, p, c)
    return both, channel, position


def both_last(self, p, c):
    """The sum comes last in what you return. It comes first."""
    both, position, channel = three_outputs(self, p, c)
    return position, channel, both


def classifiers_exchanged(self, p, c):
    """The classifiers of the two branches have changed places."""
    return self.both(p + c), self.channel_alone(p), self.position_alone(c)


def one_classifier(self, p, c):
    """You use `self.both` for all three. Each branch has a classifier of its own."""
    return self.both(p + c), self.both(p), self.both(c)


def softmax_of_scores(self, p, c):
    """You return a softmax of the scores. The cross-entropy takes it: return the scores."""
    return tuple(y.softmax(1) for y in three_outputs(self, p, c))


class ClassifiedBeforeTheExits(DANetHead):
    """Each branch alone is classified before its last convolution. Classify what comes out of
    `position_out` and `channel_out`."""

    def forward(self, x):
        p, c = self.position(self.position_in(x)), self.channel(self.channel_in(x))
        both = self.both(self.position_out(p) + self.channel_out(c))
        return both, self.position_alone(p), self.channel_alone(c)


class SummedBeforeTheExit(DANetHead):
    """For the first output you add the branches before their last convolutions. Each goes
    through its own, then they are added."""

    def forward(self, x):
        p, c = self.position(self.position_in(x)), self.channel(self.channel_in(x))
        _, position, channel = three_outputs(self, self.position_out(p), self.channel_out(c))
        return self.both(self.position_out(p + c)), position, channel


class HeadStepByStep(DANetHead):
    def forward(self, x):
        feat1 = self.position_in(x)
        sa_conv = self.position_out(self.position(feat1))
        feat2 = self.channel_in(x)
        sc_conv = self.channel_out(self.channel(feat2))
        outputs = [self.both(sa_conv + sc_conv)]
        outputs.append(self.position_alone(sa_conv))
        outputs.append(self.channel_alone(sc_conv))
        return tuple(outputs)


class HeadByNames(DANetHead):
    def forward(self, x):
        ends = []
        for name in ("position", "channel"):
            y = x
            for step in (f"{name}_in", name, f"{name}_out"):
                y = getattr(self, step)(y)
            ends.append(y)
        return (
            self.both(torch.stack(ends).sum(0)),
            self.position_alone(ends[0]),
            self.channel_alone(ends[1]),
        )


EXERCISE = Exercise(
    id="non_local.danet_head",
    solution=DANetHead,
    probes={"forward": ("b classes h w", "b classes h w", "b classes h w")},
    trials=head_trials,
    blank=("forward",),
    slips=(
        *family(
            head_recipe,
            running=(
                one_entrance,
                one_exit,
                one_after_the_other,
                attention_exchanged,
                no_attention,
                no_position_attention,
                no_channel_attention,
                no_exits,
                residual_around_attention,
                exits_added_first,
            ),
            classifying=(
                averaged_branches,
                multiplied_branches,
                largest_of_branches,
                scores_added,
                scores_averaged,
                branches_subtracted,
                log_of_scores,
                both_classified_apart,
                position_for_both,
                channel_for_both,
                outputs_exchanged,
                both_last,
                classifiers_exchanged,
                one_classifier,
                softmax_of_scores,
            ),
        ),
        slip(ClassifiedBeforeTheExits),
        slip(SummedBeforeTheExit),
    ),
    hints=(
        "How many convolutions stand before and after each attention?",
        (
            "Each branch: in, attention, out, all of its own. The branches are added and"
            " classified; each is classified alone as well."
        ),
        (
            "p = position_out(position(position_in(x))), c likewise\n"
            "return both(p + c), position_alone(p), channel_alone(c)"
        ),
    ),
    minutes=6,
    difficulty=2,
    otherwise=(HeadStepByStep, HeadByNames),
)
