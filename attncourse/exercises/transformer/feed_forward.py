"""The record of `transformer.feed_forward`."""

import torch
from einops import reduce
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial, variant
from attncourse.exercises.transformer.shared import feed_forward
from solutions.transformer import (
    FeedForward,
)


def feed_forward_trials():
    def trial(name, **sizes):
        init = dict(dim=sizes["dim"], hidden=sizes["m"])
        return Trial(name, sizes, dict(x="b n dim"), init)

    return (
        trial("with 5 hidden features", b=2, n=7, dim=3, m=5),
        trial("with as many tokens as features", b=3, n=4, dim=4, m=11),
    )


@feed_forward
def without_relu(self, x):
    """The ReLU is missing: two linear layers in a row are one linear layer."""
    return self.down(self.up(x))


@feed_forward
def relu_at_the_end(self, x):
    """The ReLU comes after `down`. It stands between the two layers."""
    return self.down(self.up(x)).relu()


@feed_forward
def relu_twice(self, x):
    """A second ReLU follows `down`. What goes back into the stream may be negative."""
    return self.down(self.up(x).relu()).relu()


@feed_forward
def relu_first(self, x):
    """The ReLU comes before `up`. It acts on the hidden features, between the two layers."""
    return self.down(self.up(x.relu()))


@feed_forward
def way_around_added(self, x):
    """You add x (a residual connection). The way around the network is built outside it."""
    return x + self.down(self.up(x).relu())


@feed_forward
def input_normalised(self, x):
    """You normalise x first. The norm is built around the network, outside it."""
    return self.down(self.up(F.layer_norm(x, x.shape[-1:])).relu())


@feed_forward
def sigmoid_for_relu(self, x):
    """You use a sigmoid where the paper has a ReLU."""
    return self.down(self.up(x).sigmoid())


@feed_forward
def tanh_for_relu(self, x):
    """You use tanh where the paper has a ReLU."""
    return self.down(self.up(x).tanh())


@feed_forward
def softmax_for_relu(self, x):
    """You use a softmax where the paper has a ReLU: hidden features do not compete."""
    return self.down(self.up(x).softmax(-1))


@feed_forward
def mean_of_tokens(self, x):
    """You average over the tokens. The network sees one token at a time."""
    y = self.down(self.up(x).relu())
    return reduce(y, "b n dim -> b 1 dim", "mean").expand_as(y)


@feed_forward
def biases_left_out(self, x):
    """The biases are left out: call the layers, not only their weights."""
    return F.linear(F.linear(x, self.up.weight).relu(), self.down.weight)


@feed_forward
def norm_at_the_end(self, x):
    """You normalise the result. The norm is built around the network, outside it."""
    return F.layer_norm(self.down(self.up(x).relu()), x.shape[-1:])


@feed_forward
def squared_relu(self, x):
    """You square the ReLU. The paper has a plain one."""
    return self.down(self.up(x).relu().square())


@feed_forward
def leaky_relu(self, x):
    """Your ReLU leaks: negative numbers become 0, not small."""
    return self.down(F.leaky_relu(self.up(x)))


@variant
@feed_forward
def gelu_for_relu(self, x):
    """A GELU is what BERT, GPT and vision transformers have here; the paper has a ReLU."""
    return self.down(F.gelu(self.up(x)))


@variant
@feed_forward
def silu_for_relu(self, x):
    """A SiLU (swish) is a later choice; the paper has a ReLU."""
    return self.down(F.silu(self.up(x)))


@feed_forward
def token_by_token(self, x):
    outputs = [self.down(self.up(x[:, n]).clamp(min=0)) for n in range(x.shape[1])]
    return torch.stack(outputs, dim=1)


@feed_forward
def by_matrices(self, x):
    hidden = torch.einsum("bnd,md->bnm", x, self.up.weight) + self.up.bias
    hidden = torch.where(hidden > 0, hidden, 0)
    return torch.einsum("bnm,dm->bnd", hidden, self.down.weight) + self.down.bias


EXERCISE = Exercise(
    id="transformer.feed_forward",
    solution=FeedForward,
    probes={"forward": "b n dim"},
    trials=feed_forward_trials,
    blank=("forward",),
    slips=(
        without_relu,
        relu_at_the_end,
        relu_twice,
        relu_first,
        way_around_added,
        input_normalised,
        sigmoid_for_relu,
        tanh_for_relu,
        softmax_for_relu,
        mean_of_tokens,
        biases_left_out,
        norm_at_the_end,
        squared_relu,
        leaky_relu,
        gelu_for_relu,
        silu_for_relu,
    ),
    hints=(
        "What would two linear layers be, one after the other, with nothing between them?",
        "b n dim -> b n m by `up`, a ReLU on the m hidden features, -> b n dim by `down`.",
        "return down(relu(up(x)))",
    ),
    minutes=3,
    difficulty=1,
    otherwise=(token_by_token, by_matrices),
    laws=("examples_do_not_mix", "one_step_more_or_less"),
)
