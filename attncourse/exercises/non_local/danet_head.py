"""DANet's head: two attentions side by side, their sum classified, and each alone."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import DANetHead


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


# fmt: off
BRANCHES = (
    *often(
        wrong("one_entrance", "self.channel_in(x)", "self.position_in(x)",
              "Both branches start from `self.position_in`. Each has a convolution of its own."),
        wrong("one_exit", "self.channel_out", "self.position_out",
              "Both branches end in `self.position_out`. Each has a convolution of its own."),
        wrong("one_after_the_other", "self.channel_in(x)", "p",
              "Channel attention works on what position attention gives. The two work side by side,"
              " each on a convolution of x."),
    ),
    wrong("attention_exchanged", "self.position(", "self.channel(",
          "The two attentions have changed places.",
          ("self.channel(", "self.position(")),
    wrong("no_position_attention", "self.position(self.position_in(x))", "self.position_in(x)",
          "`self.position` is never used."),
    wrong("no_channel_attention", "self.channel(self.channel_in(x))", "self.channel_in(x)",
          "`self.channel` is never used."),
    wrong("residual_around_attention", "p = self.position_out(self.position(self.position_in(x)))",
          "p = self.position_in(x)\np = self.position_out(p + self.position(p))",
          "You add the input of the attention once more. It is added inside already.",
          ("c = self.channel_out(self.channel(self.channel_in(x)))",
           "c = self.channel_in(x)\nc = self.channel_out(c + self.channel(c))")),
    wrong("exits_added_first", "p = self.position_out(self.position(self.position_in(x)))",
          "p = self.position(self.position_in(x))",
          "You add the branches before their last convolutions. Each has its own, then they are"
          " added.",
          ("c = self.channel_out(self.channel(self.channel_in(x)))",
           "c = self.channel(self.channel_in(x))\n"
           "p, c = self.position_out(p + c), self.channel_out(p + c)")),
    wrong("ClassifiedBeforeTheExits", "p = self.position_out(self.position(self.position_in(x)))",
          "p = self.position(self.position_in(x))",
          "Each branch alone is classified before its last convolution. Classify what comes out of"
          " `position_out` and `channel_out`.",
          ("c = self.channel_out(self.channel(self.channel_in(x)))",
           "c = self.channel(self.channel_in(x))"),
          ("self.both(p + c)", "self.both(self.position_out(p) + self.channel_out(c))")),
    wrong("SummedBeforeTheExit", "return self.both(p + c)",
          "before = self.position(self.position_in(x)) + self.channel(self.channel_in(x))\n"
          "return self.both(self.position_out(before))",
          "For the first output you add the branches before their last convolutions. Each goes"
          " through its own, then they are added."),
)

SUMS = (
    *often(
        wrong("multiplied_branches", "p + c", "p * c",
              "You multiply the branches. They are added."),
        wrong("averaged_branches", "p + c", "(p + c) / 2",
              "You average the branches. They are added."),
    ),
    wrong("largest_of_branches", "p + c", "torch.maximum(p, c)",
          "You take the larger of the branches. They are added."),
    wrong("branches_subtracted", "p + c", "p - c",
          "You subtract the channel branch. The branches are added."),
    wrong("position_for_both", "p + c", "p",
          "Your first output sees the position branch alone. It sees the sum of both."),
    wrong("channel_for_both", "p + c", "c",
          "Your first output sees the channel branch alone. It sees the sum of both."),
    wrong("scores_added", "self.both(p + c)", "self.position_alone(p) + self.channel_alone(c)",
          "You classify each branch and add the scores. Add the branches, then classify the sum with"
          " `self.both`."),
    wrong("both_classified_apart", "self.both(p + c)", "self.both(p) + self.both(c)",
          "You classify each branch with `self.both` and add the scores: its bias counts twice. Add"
          " the branches, then classify."),
)

OUTPUTS = (
    *often(
        wrong("outputs_exchanged", "self.position_alone(p), self.channel_alone(c)",
              "self.channel_alone(c), self.position_alone(p)",
              "The second and third output have changed places: position before channel."),
    ),
    wrong("both_last", "return self.both(p + c), self.position_alone(p), self.channel_alone(c)",
          "return self.position_alone(p), self.channel_alone(c), self.both(p + c)",
          "The sum comes last in what you return. It comes first."),
    wrong("classifiers_exchanged", "self.position_alone(p), self.channel_alone(c)",
          "self.channel_alone(p), self.position_alone(c)",
          "The classifiers of the two branches have changed places."),
    wrong("log_of_scores", "return self.both", "outputs = self.both",
          "You return a log-softmax of the scores. The cross-entropy takes it: return the scores.",
          ("self.channel_alone(c)",
           "self.channel_alone(c)\nreturn tuple(y.log_softmax(1) for y in outputs)")),
    wrong("softmax_of_scores", "return self.both", "outputs = self.both",
          "You return a softmax of the scores. The cross-entropy takes it: return the scores.",
          ("self.channel_alone(c)",
           "self.channel_alone(c)\nreturn tuple(y.softmax(1) for y in outputs)")),
)
# fmt: on


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
    slips=(*BRANCHES, *SUMS, *OUTPUTS),
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
