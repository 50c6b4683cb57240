"""The residual connection around a function, and where its norm and its dropout stand."""

import torch
from einops import rearrange

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.transformer import Residual


def waves(x):
    """A function of each number: what the trials put a residual connection around."""
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


PRE, POST = "self.dropout(function(self.norm(x)))", "self.dropout(function(x))"

# fmt: off
FORMS = (
    wrong("always_pre", f"self.norm(x + {POST})", f"x + {PRE}",
          'You norm before the function in both cases. With "post" the norm stands after the sum:'
          " norm(x + f(x))."),
    wrong("always_post", f"x + {PRE}", f"self.norm(x + {POST})",
          'You norm after the sum in both cases. With "pre" the norm stands before the function:'
          " x + f(norm(x))."),
    wrong("exchanged", "if self.pre", "if not self.pre",
          'The two forms are exchanged: "post" is norm(x + f(x)), "pre" is x + f(norm(x)).'),
    wrong("always_norm_of_the_function", f"self.norm(x + {POST})", f"x + self.norm({POST})",
          'In both cases you norm what the function gives. "post" norms the sum, norm(x + f(x));'
          ' "pre" norms what goes in, x + f(norm(x)).',
          (PRE, f"self.norm({POST})")),
    wrong("no_norm_at_all", f"self.norm(x + {POST})", f"x + {POST}",
          'There is no norm. "post" is norm(x + f(x)), "pre" is x + f(norm(x)).',
          (PRE, POST)),
    wrong("no_way_around_at_all", f"self.norm(x + {POST})", f"self.norm({POST})",
          'x is never added, so there is no residual connection. "post" is norm(x + f(x)),'
          ' "pre" is x + f(norm(x)).',
          (f"x + {PRE}", PRE)),
    wrong("norm_without_weights", f"self.norm(x + {POST})",
          f"F.layer_norm(x + {POST}, x.shape[-1:])",
          "You norm without scale and shift: call `self.norm`.",
          ("function(self.norm(x))", "function(F.layer_norm(x, x.shape[-1:]))")),
)

WITH_POST = (
    wrong("norm_before_the_sum", f"self.norm(x + {POST})", f"x + self.norm({POST})",
          'With "post" you norm what the function gives, and then add x. The norm acts on the sum:'
          " norm(x + f(x))."),
    wrong("normed_way_around_post", f"self.norm(x + {POST})", f"self.norm(x) + {POST}",
          'With "post" you norm x alone. The norm acts on the sum: norm(x + f(x)).'),
    wrong("normed_apart_post", f"self.norm(x + {POST})", f"self.norm(x) + self.norm({POST})",
          'With "post" you norm x and f(x) apart. One norm acts on the sum: norm(x + f(x)).'),
    wrong("norm_both_times_post", POST, PRE,
          'With "post" you norm twice, before the function as well. Only the sum is normed.'),
)

WITH_PRE = (
    wrong("mean_of_both", f"x + {PRE}", f"(x + {PRE}) / 2",
          'With "pre" you halve the sum. It is x + f(norm(x)), so that x passes through whole.'),
    wrong("normed_way_around", f"x + {PRE}", f"self.norm(x) + {PRE}",
          'With "pre" it is norm(x) that you add. What goes around is x itself: x + f(norm(x)).'),
    wrong("norm_of_the_function", PRE, f"self.norm({POST})",
          'With "pre" you norm what comes out of the function. It is what goes in: x +'
          " f(norm(x))."),
    wrong("norm_both_times_pre", f"x + {PRE}", f"self.norm(x + {PRE})",
          'With "pre" you norm the sum as well. Then nothing passes around the norms any more.'),
)

DROPOUTS = (
    wrong("dropout_forgotten", POST, "function(x)",
          "Dropout is missing. It acts on what the function gives, before x is added.",
          (PRE, "function(self.norm(x))")),
    wrong("dropout_before_the_function", POST, "function(self.dropout(x))",
          "Dropout acts on what the function is given. It acts on what the function gives.",
          (PRE, "function(self.dropout(self.norm(x)))")),
    wrong("dropout_after_the_sum", f"x + {POST}", "self.dropout(x + function(x))",
          "Dropout acts on the sum, x and all. It acts on what the function gives, before x is"
          " added.",
          (f"x + {PRE}", "self.dropout(x + function(self.norm(x)))")),
    wrong("dropout_after_the_norm", f"self.norm(x + {POST})",
          "self.dropout(self.norm(x + function(x)))",
          'With "post" dropout acts on the normed sum, x and all. It acts on what the function'
          " gives, before x is added."),
    wrong("sum_dropped_with_pre", f"x + {PRE}", "self.dropout(x + function(self.norm(x)))",
          'With "pre" dropout acts on x as well. It acts on what the function gives alone, so that'
          " x passes through whole."),
    wrong("sum_dropped_with_post", f"x + {POST}", "self.dropout(x + function(x))",
          'With "post" dropout acts on x as well. It acts on what the function gives alone, before'
          " x is added."),
    wrong("dropout_with_post_alone", PRE, "function(self.norm(x))",
          'With "pre" dropout is missing. It acts on what the function gives, in both cases.'),
    wrong("dropout_with_pre_alone", POST, "function(x)",
          'With "post" dropout is missing. It acts on what the function gives, in both cases.'),
)
# fmt: on


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


def other_norms():
    init = dict(dim=5, norm="between", dropout=0.0)
    inputs = dict(x="b n dim", function=waves)
    return (Trial('norm="between"', dict(b=2, n=3, dim=5), inputs, init),)


EXERCISE = Exercise(
    id="transformer.residual",
    solution=Residual,
    probes={"forward": "b n dim"},
    trials=residual_trials,
    blank=("forward",),
    slips=(*FORMS, *WITH_POST, *WITH_PRE, *DROPOUTS),
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
    refuses=other_norms,
)
