"""The record of `transformer.residual`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Exercise, Trial
from solutions.transformer import (
    Residual,
)


def waves(x):
    """A function of each number: what the trials put a way around."""
    return (2 * x).sin() + x


def cosine(x):
    """A function that is not 0 at 0, so that it matters where dropout stands."""
    return (2 * x).cos()


def running_mean(x):
    """A function that mixes tokens: the mean of all tokens so far."""
    n = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
    return x.cumsum(1) / rearrange(n, "n -> n 1")


def residual_trials():
    def trial(name, norm, function, dropout=0.0, **sizes):
        init = dict(dim=sizes["dim"], norm=norm, dropout=dropout)
        return Trial(name, sizes, dict(x="b n dim", function=function), init)

    return (
        trial('with norm="post"', "post", waves, b=2, n=3, dim=5),
        trial('with norm="pre"', "pre", waves, b=2, n=3, dim=5),
        trial('with norm="post" around a mean', "post", running_mean, b=3, n=7, dim=4),
        trial('with norm="pre" around a mean', "pre", running_mean, b=3, n=7, dim=4),
        trial('with norm="post" and all dropped', "post", cosine, 1.0, b=2, n=3, dim=5),
        trial('with norm="pre" and all dropped', "pre", cosine, 1.0, b=2, n=3, dim=5),
    )


def right_post(self, x, f):
    return self.norm(x + f(x))


def right_pre(self, x, f):
    return x + f(self.norm(x))


def drop(self, function):
    return lambda x: self.dropout(function(x))


def ways(after=right_post, before=right_pre, dropped=drop):
    """`Residual` with one of its two forms, or both, replaced."""

    class Answer(Residual):
        def forward(self, x, function):
            return (before if self.pre else after)(self, x, dropped(self, function))

    return Answer


@also(before=right_post)
def always_post(self, x, f):
    """You norm after the sum in both cases. With "pre" the norm stands before the function:
    x + f(norm(x))."""
    return self.norm(x + f(x))


@also(after=right_pre)
def always_pre(self, x, f):
    """You norm before the function in both cases. With "post" the norm stands after the sum:
    norm(x + f(x))."""
    return x + f(self.norm(x))


@also(before=right_post)
def exchanged(self, x, f):
    """The two forms are exchanged: "post" is norm(x + f(x)), "pre" is x + f(norm(x))."""
    return x + f(self.norm(x))


def normed_way_around_post(self, x, f):
    """With "post" you norm x alone. The norm acts on the sum: norm(x + f(x))."""
    return self.norm(x) + f(x)


def normed_apart_post(self, x, f):
    """With "post" you norm x and f(x) apart. One norm acts on the sum: norm(x + f(x))."""
    return self.norm(x) + self.norm(f(x))


def norm_before_the_sum(self, x, f):
    """With "post" you norm what the function gives, and then add x. The norm acts on the sum:
    norm(x + f(x))."""
    return x + self.norm(f(x))


def no_way_around_post(self, x, f):
    """With "post" x is not added: norm(x + f(x))."""
    return self.norm(f(x))


def no_norm_post(self, x, f):
    """With "post" the norm is missing: norm(x + f(x))."""
    return x + f(x)


def norm_both_times_post(self, x, f):
    """With "post" you norm twice, before the function as well. Only the sum is normed."""
    return self.norm(x + f(self.norm(x)))


def function_of_the_function(self, x, f):
    """With "post" the function is applied twice: norm(x + f(x)) calls it once."""
    return self.norm(x + f(f(x)))


def multiplied(self, x, f):
    """With "post" you multiply x and f(x). They are added."""
    return self.norm(x * f(x))


def subtracted(self, x, f):
    """With "post" you subtract. It is a sum: norm(x + f(x))."""
    return self.norm(x - f(x))


def mean_of_both(self, x, f):
    """With "pre" you halve the sum. It is x + f(norm(x)), so that x passes through whole."""
    return (x + f(self.norm(x))) / 2


def normed_way_around(self, x, f):
    """With "pre" it is norm(x) that you add. What goes around is x itself: x + f(norm(x))."""
    x = self.norm(x)
    return x + f(x)


def no_way_around_pre(self, x, f):
    """With "pre" x is not added: x + f(norm(x))."""
    return f(self.norm(x))


def no_norm_pre(self, x, f):
    """With "pre" the norm is missing: x + f(norm(x))."""
    return x + f(x)


def norm_of_the_function(self, x, f):
    """With "pre" you norm what comes out of the function. It is what goes in: x +
    f(norm(x))."""
    return x + self.norm(f(x))


def norm_both_times_pre(self, x, f):
    """With "pre" you norm the sum as well. Then nothing passes around the norms any more."""
    return self.norm(x + f(self.norm(x)))


@also(
    after=lambda self, x, f: F.layer_norm(x + f(x), x.shape[-1:]),
)
def norm_without_weights(self, x, f):
    """You norm without scale and shift: call `self.norm`."""
    return x + f(F.layer_norm(x, x.shape[-1:]))


@also(before=norm_of_the_function)
def always_norm_of_the_function(self, x, f):
    """In both cases you norm what the function gives. "post" norms the sum, norm(x + f(x));
    "pre" norms what goes in, x + f(norm(x))."""
    return x + self.norm(f(x))


@also(before=no_norm_pre)
def no_norm_at_all(self, x, f):
    """There is no norm. "post" is norm(x + f(x)), "pre" is x + f(norm(x))."""
    return x + f(x)


@also(before=no_way_around_pre)
def no_way_around_at_all(self, x, f):
    """x is never added, and so there is no way around the function. "post" is norm(x + f(x)),
    "pre" is x + f(norm(x))."""
    return self.norm(f(x))


def dropout_forgotten(self, function):
    """Dropout is missing. It acts on what the function gives, before x is added."""
    return function


def dropout_before_the_function(self, function):
    """Dropout acts on what the function is given. It acts on what the function gives."""
    return lambda x: function(self.dropout(x))


@also(
    after=lambda self, x, f: self.norm(self.dropout(x + f(x))),
    before=lambda self, x, f: self.dropout(x + f(self.norm(x))),
)
def dropout_after_the_sum(self, function):
    """Dropout acts on the sum, x and all. It acts on what the function gives, before x is
    added."""
    return function


@also(
    after=lambda self, x, f: self.dropout(self.norm(x + f(x))),
    before=lambda self, x, f: x + self.dropout(f(self.norm(x))),
)
def dropout_after_the_norm(self, function):
    """With "post" dropout acts on the normed sum, x and all. It acts on what the function
    gives, before x is added."""
    return function


@also(
    after=lambda self, x, f: self.norm(x + self.dropout(f(x))),
    before=lambda self, x, f: self.dropout(x + f(self.norm(x))),
)
def sum_dropped_with_pre(self, function):
    """With "pre" dropout acts on x as well. It acts on what the function gives alone, so that x
    passes through whole."""
    return function


@also(
    after=lambda self, x, f: self.norm(self.dropout(x + f(x))),
    before=lambda self, x, f: x + self.dropout(f(self.norm(x))),
)
def sum_dropped_with_post(self, function):
    """With "post" dropout acts on x as well. It acts on what the function gives alone, before x
    is added."""
    return function


@also(
    after=lambda self, x, f: self.norm(x + self.dropout(f(x))),
    before=lambda self, x, f: x + f(self.norm(x)),
)
def dropout_with_post_alone(self, function):
    """With "pre" dropout is missing. It acts on what the function gives, in both cases."""
    return function


@also(
    after=lambda self, x, f: self.norm(x + f(x)),
    before=lambda self, x, f: x + self.dropout(f(self.norm(x))),
)
def dropout_with_pre_alone(self, function):
    """With "post" dropout is missing. It acts on what the function gives, in both cases."""
    return function


class InTwoSteps(Residual):
    def forward(self, x, function):
        given = self.norm(x) if self.pre else x
        total = self.dropout(function(given)) + x
        return total if self.pre else self.norm(total)


class NormByHand(Residual):
    def by_hand(self, x):
        mean = x.mean(-1, keepdim=True)
        deviation = (x.var(-1, keepdim=True, correction=0) + self.norm.eps).sqrt()
        return (x - mean) / deviation * self.norm.weight + self.norm.bias

    def forward(self, x, function):
        if not self.pre:
            return self.by_hand(x + self.dropout(function(x)))
        return x + self.dropout(function(self.by_hand(x)))


EXERCISE = Exercise(
    id="transformer.residual",
    solution=Residual,
    probes={"forward": "b n dim"},
    trials=residual_trials,
    blank=("forward",),
    slips=family(
        ways,
        paired=(),
        after=(
            always_pre,
            exchanged,
            norm_before_the_sum,
            normed_way_around_post,
            normed_apart_post,
            no_way_around_post,
            no_norm_post,
            norm_both_times_post,
            function_of_the_function,
            multiplied,
            subtracted,
            always_norm_of_the_function,
            no_norm_at_all,
            no_way_around_at_all,
        ),
        dropped=(
            dropout_forgotten,
            dropout_before_the_function,
            dropout_after_the_sum,
            dropout_after_the_norm,
            sum_dropped_with_pre,
            sum_dropped_with_post,
            dropout_with_post_alone,
            dropout_with_pre_alone,
        ),
        before=(
            mean_of_both,
            normed_way_around,
            no_way_around_pre,
            no_norm_pre,
            norm_of_the_function,
            norm_both_times_pre,
            norm_without_weights,
        ),
    )
    + family(ways, paired=(), after=(always_post,)),
    hints=(
        'Where does the norm stand with "post", and where with "pre"?',
        (
            "post: norm(x + f(x)). pre: x + f(norm(x)). `self.pre` says which. Dropout acts"
            " on what f gives, before the sum."
        ),
        ("if pre: return x + dropout(f(norm(x)))\nelse:   return norm(x + dropout(f(x)))"),
    ),
    minutes=5,
    difficulty=2,
    otherwise=(InTwoSteps, NormByHand),
    laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
)
