"""Chapter 04, the Transformer: what is asked, what goes wrong, what helps."""

import math
from functools import reduce as fold

import torch
from einops import rearrange, reduce
from torch.nn import functional as F

from attncourse.families import also, family
from attncourse.registry import Exercise, Given, Slip, Trial, variant
from solutions.positional import sinusoidal
from solutions.scaled_dot_product import (
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)
from solutions.transformer import (
    BEGIN,
    END,
    PAD,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    Residual,
    Transformer,
    attend_and_remember,
    beam_step,
    greedy,
    label_smoothing_loss,
    learning_rate,
    length_penalty,
    padding,
    parameters,
)

# the feed-forward network


def feed_forward_trials():
    def trial(name, **sizes):
        init = dict(dim=sizes["dim"], hidden=sizes["m"])
        return Trial(name, sizes, dict(x="b n dim"), init)

    return (
        trial("with 5 hidden features", b=2, n=7, dim=3, m=5),
        trial("with as many tokens as features", b=3, n=4, dim=4, m=11),
    )


def feed_forward(forward):
    """The network with another forward pass, called as the function and with its message."""
    members = {"forward": forward, "__doc__": forward.__doc__}
    return type(forward.__name__, (FeedForward,), members)


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


# the way around


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


# the encoder layer


def encoder_trials():
    def trial(name, norm, mask=None, **sizes):
        dim = sizes["head"] * sizes["d"]
        init = dict(dim=dim, heads=sizes["head"], hidden=sizes["m"], norm=norm, dropout=0.0)
        inputs = dict(x="b n (head d)") | ({} if mask is None else dict(mask=mask))
        return Trial(name, sizes, inputs, init)

    post, pre = dict(b=2, n=5, head=3, d=4, m=7), dict(b=3, n=4, head=2, d=5, m=11)
    there = Given("b 1 n", padding_mask(torch.tensor([4, 2, 3]), 4))
    return (
        trial("with post-norm", "post", **post),
        trial("with pre-norm", "pre", **pre),
        trial("with post-norm and a padding mask, b 1 n", "post", there, **pre),
        trial("with pre-norm and a mask n n", "pre", Given("n n", causal_mask(5, 5)), **post),
    )


def encoder_layer(forward):
    """The layer with another forward pass, called as the function and with its message."""
    members = {"forward": forward, "__doc__": forward.__doc__}
    return type(forward.__name__, (EncoderLayer,), members)


@encoder_layer
def feed_forward_missing(self, x, mask=None):
    """The feed-forward network is missing: attention alone is half the layer."""
    return self.around_attention(x, lambda x: self.self_attention(x, mask=mask))


@encoder_layer
def attention_missing(self, x, mask=None):
    """Attention is missing: every token is on its own."""
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def thinks_before_it_reads(self, x, mask=None):
    """The feed-forward network comes first. Attention comes first."""
    x = self.around_feed_forward(x, self.feed_forward)
    return self.around_attention(x, lambda x: self.self_attention(x, mask=mask))


@encoder_layer
def ways_exchanged(self, x, mask=None):
    """The two ways around are exchanged: `around_attention` belongs to the attention. Each has
    a norm of its own."""
    x = self.around_feed_forward(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_attention(x, self.feed_forward)


@encoder_layer
def one_way_for_both(self, x, mask=None):
    """You use `around_attention` twice. Each of the two steps has its own, with its own
    norm."""
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_attention(x, self.feed_forward)


@encoder_layer
def last_way_for_both(self, x, mask=None):
    """You use `around_feed_forward` twice. Each of the two steps has its own, with its own
    norm."""
    x = self.around_feed_forward(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def no_way_around_attention(self, x, mask=None):
    """There is no way around attention: use `around_attention`."""
    return self.around_feed_forward(self.self_attention(x, mask=mask), self.feed_forward)


@encoder_layer
def no_way_around_feed_forward(self, x, mask=None):
    """There is no way around the feed-forward network: use `around_feed_forward`."""
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.feed_forward(x)


@encoder_layer
def no_ways_around(self, x, mask=None):
    """There is no way around anything, and no norm: use `around_attention` and
    `around_feed_forward`."""
    return self.feed_forward(self.self_attention(x, mask=mask))


@encoder_layer
def mask_not_passed_on(self, x, mask=None):
    """The mask is not passed on to the attention."""
    x = self.around_attention(x, self.self_attention)
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def mask_turned_round(self, x, mask=None):
    """The mask is inverted. It is True where a token may attend, as `MultiHeadAttention` wants
    it. (Torch's layers want the opposite.)"""
    mask = None if mask is None else ~mask
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def mask_with_rows_for_columns(self, x, mask=None):
    """You use the mask transposed. Its rows are queries and its columns keys: pass it on as it
    comes."""
    mask = None if mask is None else mask.mT
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def side_by_side_in_one_way(self, x, mask=None):
    """Attention and the network go side by side through one way around. The network comes after
    attention, with a way and a norm of its own: `around_feed_forward`."""

    def both(x):
        return self.self_attention(x, mask=mask) + self.feed_forward(x)

    return self.around_attention(x, both)


@encoder_layer
def both_in_one_way(self, x, mask=None):
    """Attention and the network share one way around. Each has its own: the sum and the norm
    come after attention, and again after the network."""
    return self.around_attention(
        x, lambda x: self.feed_forward(self.self_attention(x, mask=mask))
    )


@encoder_layer
def normed_before_as_well(self, x, mask=None):
    """You norm what attention is given. `around_attention` has done with norms: before with
    pre-norm, after with post-norm."""
    x = self.around_attention(
        x, lambda x: self.self_attention(self.around_attention.norm(x), mask=mask)
    )
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def network_of_the_network(self, x, mask=None):
    """The network is applied twice within its way around. Once is enough."""
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, lambda x: self.feed_forward(self.feed_forward(x)))


@encoder_layer
def causal_encoder(self, x, mask=None):
    """You hide later tokens. An encoder reads the whole sentence."""
    causal = causal_mask(x.shape[1], x.shape[1])
    mask = causal if mask is None else mask & causal
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def side_by_side(self, x, mask=None):
    """Attention and the feed-forward network both get the layer's input. The network gets what
    has become of it after attention."""
    read = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return read + self.around_feed_forward(x, self.feed_forward) - x


@encoder_layer
def reads_what_is_not_normed(self, x, mask=None):
    """With pre-norm keys and values are made of x before the norm: inside the function you use
    the x from outside. All three come from what the function is given."""
    read = self.around_attention(x, lambda given: self.self_attention(given, x, mask))
    return self.around_feed_forward(read, self.feed_forward)


@encoder_layer
def attends_twice(self, x, mask=None):
    """Attention is applied twice. Once, then the feed-forward network."""
    for _ in range(2):
        x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def thinks_twice(self, x, mask=None):
    """The feed-forward network is applied twice. Once is enough."""
    x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    for _ in range(2):
        x = self.around_feed_forward(x, self.feed_forward)
    return x


@encoder_layer
def added_again(self, x, mask=None):
    """You add x to what `around_attention` gives. It has added x already."""
    x = x + self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
    return self.around_feed_forward(x, self.feed_forward)


@encoder_layer
def reads_the_outer_x(self, x, mask=None):
    """With pre-norm queries, keys and values are made of x before the norm: inside the function
    you use the x from outside. Use what the function is given."""
    read = self.around_attention(x, lambda given: self.self_attention(x, mask=mask))
    return self.around_feed_forward(read, self.feed_forward)


@encoder_layer
def network_gets_the_input(self, x, mask=None):
    """The network is given the layer's input: inside the function you use an x from outside.
    Use what the function is given."""
    read = self.around_attention(x, lambda given: self.self_attention(given, mask=mask))
    return self.around_feed_forward(read, lambda given: self.feed_forward(x))


@encoder_layer
def network_gets_what_is_not_normed(self, x, mask=None):
    """With pre-norm the network is given x before the norm: inside the function you use the x
    from outside. Use what the function is given."""
    read = self.around_attention(x, lambda given: self.self_attention(given, mask=mask))
    return self.around_feed_forward(read, lambda given: self.feed_forward(read))


@encoder_layer
def outer_x_both_times(self, x, mask=None):
    """With pre-norm both functions use the x from outside, before the norm. Use what the
    function is given."""
    read = self.around_attention(x, lambda given: self.self_attention(x, mask=mask))
    return self.around_feed_forward(read, lambda given: self.feed_forward(read))


@encoder_layer
def input_added_at_the_end(self, x, mask=None):
    """You add the layer's input at the end. Both ways around have added theirs already."""
    read = self.around_attention(x, lambda given: self.self_attention(given, mask=mask))
    return x + self.around_feed_forward(read, self.feed_forward)


@encoder_layer
def read_added_at_the_end(self, x, mask=None):
    """You add x to what `around_feed_forward` gives. It has added x already."""
    read = self.around_attention(x, lambda given: self.self_attention(given, mask=mask))
    return read + self.around_feed_forward(read, self.feed_forward)


@encoder_layer
def normed_once_more(self, x, mask=None):
    """You norm once more at the end. The ways around have their norms already."""
    read = self.around_attention(x, lambda given: self.self_attention(given, mask=mask))
    y = self.around_feed_forward(read, self.feed_forward)
    return self.around_feed_forward.norm(y)


class LayerByLayer(EncoderLayer):
    def forward(self, x, mask=None):
        one, two = self.around_attention, self.around_feed_forward
        y = one.norm(x) if one.pre else x
        y = x + self.self_attention(y, y, mask)
        y = y if one.pre else one.norm(y)
        z = self.feed_forward(two.norm(y) if two.pre else y)
        return y + z if two.pre else two.norm(y + z)


class WithPartial(EncoderLayer):
    def read(self, x, mask):
        if mask is None:
            mask = torch.ones(1, x.shape[1], dtype=torch.bool, device=x.device)
        return self.self_attention.forward(x, None, mask)

    def forward(self, x, mask=None):
        steps = (
            (self.around_attention, lambda x: self.read(x, mask)),
            (self.around_feed_forward, self.feed_forward),
        )
        for around, function in steps:
            x = around(x, function)
        return x


# the decoder layer


def decoder_trials():
    def trial(name, norm, mask=None, **sizes):
        dim = sizes["head"] * sizes["d"]
        init = dict(dim=dim, heads=sizes["head"], hidden=sizes["m"], norm=norm, dropout=0.0)
        inputs = dict(x="b i (head d)", memory="b j (head d)")
        if mask is not None:
            inputs["memory_mask"] = mask
        return Trial(name, sizes, inputs, init)

    post, pre = dict(b=2, i=5, j=3, head=3, d=4, m=7), dict(b=3, i=4, j=6, head=2, d=5, m=11)
    square = dict(b=2, i=5, j=5, head=3, d=4, m=7)
    there = Given("b 1 j", padding_mask(torch.tensor([4, 6, 3]), 6))
    return (
        trial("with post-norm", "post", **post),
        trial("with pre-norm", "pre", **pre),
        trial("with a padding mask, b 1 j", "post", there, **pre),
        trial("with pre-norm and as many tokens on both sides", "pre", **square),
    )


def earlier(self, x):
    return causal_mask(x.shape[1], x.shape[1]).to(x.device)


def read_words(self, x, mask):
    return self.around_self(x, lambda x: self.self_attention(x, mask=mask))


def read_memory(self, x, first, memory, mask):
    return self.around_cross(x, lambda x: self.cross_attention(x, memory, mask))


def think(self, x, first):
    return self.around_feed_forward(x, self.feed_forward)


def same_mask(mask):
    return mask


def recipe(
    hiding=earlier,
    words=read_words,
    masking=same_mask,
    crossing=read_memory,
    thinking=think,
    other_order=None,
):
    """`DecoderLayer` with some of its steps replaced."""

    class Answer(DecoderLayer):
        def forward(self, x, memory, memory_mask=None):
            first, memory_mask = x, masking(memory_mask)
            if other_order:
                return other_order(self, x, memory, memory_mask)
            x = words(self, x, hiding(self, x))
            x = crossing(self, x, first, memory, memory_mask)
            return thinking(self, x, first)

    return Answer


def nothing_hidden(self, x):
    """Later tokens are not hidden: each sees the word that it should predict. The loss will
    fall to nearly 0, and what it writes will be nonsense. Give `self_attention` a causal
    mask."""
    return None


def past_hidden(self, x):
    """The causal mask is turned round: each token sees itself and what comes later. It must
    see itself and what came before."""
    return earlier(self, x).mT


def all_but_later_hidden(self, x):
    """The causal mask is inverted: True means may attend, and you let each token see later
    ones only."""
    return ~earlier(self, x)


def itself_hidden(self, x):
    """Your causal mask hides the token itself as well. Query i may see keys j <= i, its own
    among them."""
    return earlier(self, x).tril(-1)


def one_later_seen(self, x):
    """Your causal mask lets each token see one later token: the one that it should predict.
    Query i may see keys j <= i."""
    i = torch.arange(x.shape[1], device=x.device)
    return rearrange(i, "i -> i 1") + 1 >= i


def words_not_read(self, x, mask):
    """The tokens do not attend to each other: `self_attention` is missing."""
    return x


def words_without_a_way_around(self, x, mask):
    """There is no way around `self_attention`: use `around_self`."""
    return self.self_attention(x, mask=mask)


def words_by_cross_attention(self, x, mask):
    """Among themselves the tokens attend by `cross_attention`. It is `self_attention`."""
    return self.around_self(x, lambda x: self.cross_attention(x, mask=mask))


def words_around_cross(self, x, mask):
    """`self_attention` goes through `around_cross`. Its own way is `around_self`."""
    return self.around_cross(x, lambda x: self.self_attention(x, mask=mask))


def words_before_the_norm(self, x, mask):
    """With pre-norm keys and values of `self_attention` are made of x before the norm: inside
    the function you use the x from outside."""
    return self.around_self(x, lambda given: self.self_attention(given, x, mask))


def words_ask_before_the_norm(self, x, mask):
    """With pre-norm queries, keys and values of `self_attention` are made of x before the norm:
    inside the function you use the x from outside. Use what the function is given."""
    return self.around_self(x, lambda given: self.self_attention(x, mask=mask))


def memory_mask_forgotten(mask):
    """`memory_mask` is not used: tokens attend to padding in the memory."""
    return None


def memory_mask_inverted(mask):
    """`memory_mask` is inverted. It is True where a token may attend. (Torch's layers want the
    opposite.)"""
    return None if mask is None else ~mask


def memory_not_read(self, x, first, memory, mask):
    """The memory is not read: `cross_attention` is missing."""
    return x


def memory_asks(self, x, first, memory, mask):
    """`cross_attention` gets the memory as its only input: it attends to itself. The tokens
    ask, the memory answers: `cross_attention(x, memory, …)`."""
    return self.around_cross(x, lambda x: self.cross_attention(memory, None, mask))


def tokens_answer(self, x, first, memory, mask):
    """`cross_attention` gets no memory: the tokens read each other a second time."""
    return self.around_cross(x, self.cross_attention)


def memory_by_self_attention(self, x, first, memory, mask):
    """The memory is read by `self_attention`. That is the work of `cross_attention`, which has
    weights of its own."""
    return self.around_cross(x, lambda x: self.self_attention(x, memory, mask))


def memory_around_self(self, x, first, memory, mask):
    """`cross_attention` goes through `around_self`. Its own way is `around_cross`."""
    return self.around_self(x, lambda x: self.cross_attention(x, memory, mask))


def memory_without_a_way_around(self, x, first, memory, mask):
    """There is no way around `cross_attention`: use `around_cross`."""
    return self.cross_attention(x, memory, mask)


def memory_hidden_like_words(self, x, first, memory, mask):
    """You hide later parts of the memory from earlier tokens. The source is known in whole
    before the first word is written."""
    causal = causal_mask(x.shape[1], memory.shape[1])
    mask = causal if mask is None else mask & causal
    return self.around_cross(x, lambda x: self.cross_attention(x, memory, mask))


def asks_as_it_came(self, x, first, memory, mask):
    """`cross_attention` is asked by the layer's input: inside the function you use an x from
    outside. Use what the function is given."""
    return self.around_cross(x, lambda given: self.cross_attention(first, memory, mask))


def asks_before_the_norm(self, x, first, memory, mask):
    """With pre-norm `cross_attention` is asked by x before the norm: inside the function you
    use the x from outside. Use what the function is given."""
    return self.around_cross(x, lambda given: self.cross_attention(x, memory, mask))


def memory_and_words_read(self, x, first, memory, mask):
    """`cross_attention` reads the tokens as well, beside the memory. It reads the memory
    alone."""
    if mask is not None:
        there = torch.ones(len(x), 1, x.shape[1], dtype=torch.bool, device=x.device)
        mask = torch.cat([mask.expand(len(x), 1, -1), there], dim=-1)
    return self.around_cross(
        x, lambda given: self.cross_attention(given, torch.cat([memory, given], 1), mask)
    )


def memory_normed_too(self, x, first, memory, mask):
    """You norm the memory with the norm of `around_cross`. The encoder has done with it; only
    the tokens are normed here."""
    memory = self.around_cross.norm(memory)
    return self.around_cross(x, lambda x: self.cross_attention(x, memory, mask))


def never_thinks(self, x, first):
    """The feed-forward network is missing at the end."""
    return x


def thinks_without_a_way_around(self, x, first):
    """There is no way around the feed-forward network: use `around_feed_forward`."""
    return self.feed_forward(x)


def thinks_around_cross(self, x, first):
    """The feed-forward network goes through `around_cross`. Its own way is
    `around_feed_forward`."""
    return self.around_cross(x, self.feed_forward)


def thinks_of_the_input(self, x, first):
    """The network is given the layer's input: inside the function you use an x from outside.
    Use what the function is given."""
    return self.around_feed_forward(x, lambda given: self.feed_forward(first))


def input_added(self, x, first):
    """You add the layer's input at the end. The ways around have added theirs already."""
    return first + think(self, x, first)


def memory_first(self, x, memory, mask):
    """The memory is read first. The tokens attend to each other first, then to the memory."""
    x = read_memory(self, x, x, memory, mask)
    return think(self, read_words(self, x, earlier(self, x)), x)


def thinks_in_the_middle(self, x, memory, mask):
    """The feed-forward network comes before the memory is read. It comes last."""
    x = think(self, read_words(self, x, earlier(self, x)), x)
    return read_memory(self, x, x, memory, mask)


def thinks_after_each(self, x, memory, mask):
    """The feed-forward network comes after each attention. There is one, at the end."""
    x = think(self, read_words(self, x, earlier(self, x)), x)
    return think(self, read_memory(self, x, x, memory, mask), x)


class DecodesByHand(DecoderLayer):
    def forward(self, x, memory, memory_mask=None):
        i = torch.arange(x.shape[1], device=x.device)
        may = i[:, None] >= i[None, :]
        steps = (
            (self.around_self, lambda y: self.self_attention(y, y, may)),
            (self.around_cross, lambda y: self.cross_attention(y, memory, memory_mask)),
            (self.around_feed_forward, self.feed_forward),
        )
        for around, step in steps:
            x = x + step(around.norm(x)) if around.pre else around.norm(x + step(x))
        return x


class TokenByToken(DecoderLayer):
    """Each token attends to a list that ends with itself: no mask at all."""

    def forward(self, x, memory, memory_mask=None):
        def read(given):
            tokens = range(given.shape[1])
            ones = [self.self_attention(given[:, i : i + 1], given[:, : i + 1]) for i in tokens]
            return torch.cat(ones, dim=1)

        def look(given):
            return self.cross_attention(given, memory, memory_mask)

        x = self.around_self(x, read)
        x = self.around_cross(x, look)
        return self.around_feed_forward(x, self.feed_forward)


# the whole model


def model_trials():
    def trial(name, norm, rows, **sizes):
        source, target = (torch.tensor(words) for words in rows)
        init = dict(
            source_words=sizes["u"],
            target_words=sizes["w"],
            dim=sizes["head"] * sizes["d"],
            heads=sizes["head"],
            hidden=sizes["m"],
            layers=2,
            norm=norm,
            dropout=0.0,
        )
        inputs = dict(source=Given("b j", source), target=Given("b i", target))
        return Trial(name, sizes | dict(b=2), inputs, init)

    one = [[3, 7, 4, 4, 8], [5, 3, 6, 0, 0]], [[1, 9, 4, 10], [1, 3, 2, 0]]
    other = [[4, 3, 0, 0], [6, 5, 4, 3]], [[1, 5, 7, 5, 3, 8], [1, 4, 3, 2, 0, 0]]
    return (
        trial("with post-norm", "post", one, u=9, w=11, j=5, i=4, head=3, d=2, m=7),
        trial("with pre-norm", "pre", other, u=7, w=9, j=4, i=6, head=2, d=5, m=3),
    )


def encode(self, source):
    x = self.embed(source, self.source)
    for layer in self.encoder:
        x = layer(x, padding(source))
    return self.encoder_norm(x)


def decode(self, target, memory, source):
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = layer(x, memory, padding(source))
    return self.out(self.decoder_norm(x))


def whole(encoding=encode, decoding=decode):
    """`Transformer` with one of its halves, or both, replaced."""

    class Answer(Transformer):
        def encode(self, source):
            return encoding(self, source)

        def decode(self, target, memory, source):
            return decoding(self, target, memory, source)

    return Answer


def source_padding_seen(self, source):
    """The encoder attends to padding: its layers get no mask. Give them `padding(source)`."""
    x = self.embed(source, self.source)
    for layer in self.encoder:
        x = layer(x)
    return self.encoder_norm(x)


def memory_padding_seen(self, target, memory, source):
    """The decoder attends to padding in the memory: its layers get no mask. Give them
    `padding(source)`."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = layer(x, memory)
    return self.out(self.decoder_norm(x))


@also(decoding=memory_padding_seen)
def padding_seen(self, source):
    """Padding is attended to, in the encoder and from the decoder: no layer gets a mask. Give
    them `padding(source)`."""
    return source_padding_seen(self, source)


def bare_source(self, source):
    """Source words enter without scale and position: use `self.embed(source, self.source)`, not
    the embedding alone."""
    x = self.source(source)
    for layer in self.encoder:
        x = layer(x, padding(source))
    return self.encoder_norm(x)


def bare_target(self, target, memory, source):
    """Target words enter without scale and position: use `self.embed(target, self.target)`, not
    the embedding alone."""
    x = self.target(target)
    for layer in self.decoder:
        x = layer(x, memory, padding(source))
    return self.out(self.decoder_norm(x))


def encoded_from_one(self, source):
    """Positions of the source begin at 1. They begin at 0: `self.embed(source,
    self.source)`."""
    x = self.embed(source, self.source, first=1)
    for layer in self.encoder:
        x = layer(x, padding(source))
    return self.encoder_norm(x)


def decoded_from_one(self, target, memory, source):
    """Positions of the target begin at 1. They begin at 0: `self.embed(target,
    self.target)`."""
    x = self.embed(target, self.target, first=1)
    for layer in self.decoder:
        x = layer(x, memory, padding(source))
    return self.out(self.decoder_norm(x))


@also(decoding=decoded_from_one)
def begun_at_one(self, source):
    """Positions begin at 1. They begin at 0: `self.embed` without `first`."""
    return encoded_from_one(self, source)


def positions_added_twice(self, source):
    """You add positions to what `self.embed` gives. It has added them already."""
    x = self.embed(source, self.source)
    where = torch.arange(source.shape[1], device=x.device).to(x.dtype)
    x = x + sinusoidal(where, x.shape[-1])
    for layer in self.encoder:
        x = layer(x, padding(source))
    return self.encoder_norm(x)


def source_scaled_twice(self, source):
    """You multiply what `self.embed` gives by sqrt(dim). It has done that already."""
    x = self.embed(source, self.source) * math.sqrt(self.source.embedding_dim)
    for layer in self.encoder:
        x = layer(x, padding(source))
    return self.encoder_norm(x)


def target_moved(self, target, memory, source):
    """You move the target by one word inside. It comes with BEGIN already, as the decoder is to
    see it."""
    target = torch.cat([torch.full_like(target[:, :1], BEGIN), target[:, :-1]], dim=1)
    return decode(self, target, memory, source)


def first_encoder_layer_for_all(self, source):
    """The encoder applies its first layer again and again. Each layer has its own weights."""
    x = self.embed(source, self.source)
    for _ in self.encoder:
        x = self.encoder[0](x, padding(source))
    return self.encoder_norm(x)


def only_last_encoder_layer(self, source):
    """Every encoder layer is given the embedded words, so only the last one counts. Each takes
    what the last one gave."""
    x = self.embed(source, self.source)
    for layer in self.encoder:
        y = layer(x, padding(source))
    return self.encoder_norm(y)


def only_last_decoder_layer(self, target, memory, source):
    """Every decoder layer is given the embedded words, so only the last one counts. Each takes
    what the last one gave."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        y = layer(x, memory, padding(source))
    return self.out(self.decoder_norm(y))


def encoder_norm_forgotten(self, source):
    """`encoder_norm` is missing. With pre-norm nothing else norms what the last layer
    gives."""
    x = self.embed(source, self.source)
    for layer in self.encoder:
        x = layer(x, padding(source))
    return x


def decoder_norm_forgotten(self, target, memory, source):
    """`decoder_norm` is missing before `out`. With pre-norm nothing else norms what the last
    layer gives."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = layer(x, memory, padding(source))
    return self.out(x)


def norm_inside_the_loop(self, source):
    """`encoder_norm` stands inside the loop, after every layer. It comes once, at the end."""
    x = self.embed(source, self.source)
    for layer in self.encoder:
        x = self.encoder_norm(layer(x, padding(source)))
    return x


def logits_not_made(self, target, memory, source):
    """`out` is missing: you return vectors of width dim. Their products with the words are the
    logits."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = layer(x, memory, padding(source))
    return self.decoder_norm(x)


def shares_for_logits(self, target, memory, source):
    """You return shares, after a softmax. The loss wants logits and does that itself."""
    return decode(self, target, memory, source).softmax(-1)


def logarithms_for_logits(self, target, memory, source):
    """You return log_softmax of the logits. The loss does that itself; return what `out`
    gives."""
    return decode(self, target, memory, source).log_softmax(-1)


def target_padding_hidden(self, target, memory, source):
    """Where the target is padding you hide the whole memory. The mask of the memory says what
    is padding in the source alone: `padding(source)`."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = layer(x, memory, padding(source) & (target != PAD)[:, :, None])
    return self.out(self.decoder_norm(x))


def first_decoder_layer_for_all(self, target, memory, source):
    """The decoder applies its first layer again and again. Each layer has its own weights."""
    x = self.embed(target, self.target)
    for _ in self.decoder:
        x = self.decoder[0](x, memory, padding(source))
    return self.out(self.decoder_norm(x))


def norm_inside_the_other_loop(self, target, memory, source):
    """`decoder_norm` stands inside the loop, after every layer. It comes once, at the end."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = self.decoder_norm(layer(x, memory, padding(source)))
    return self.out(x)


def padding_mask_turned_round(self, target, memory, source):
    """The decoder's mask is inverted: it is True where there is a word, and you let it see the
    padding alone. (Torch's layers want the opposite.)"""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = layer(x, memory, ~padding(source))
    return self.out(self.decoder_norm(x))


def source_mask_turned_round(self, source):
    """The encoder's mask is inverted: it is True where there is a word, and you let it see the
    padding alone. (Torch's layers want the opposite.)"""
    x = self.embed(source, self.source)
    for layer in self.encoder:
        x = layer(x, ~padding(source))
    return self.encoder_norm(x)


def memory_becomes_target(self, target, memory, source):
    """You replace the memory by what a decoder layer gives. It is the same for every layer."""
    x = self.embed(target, self.target)
    for layer in self.decoder:
        x = memory = layer(x, memory, padding(source) if memory.shape[1] != len(x[0]) else None)
    return self.out(self.decoder_norm(x))


def last_word_only(self, target, memory, source):
    """You return the logits of the last word. There are some after every word: b i words."""
    return decode(self, target, memory, source)[:, -1]


class Unrolled(Transformer):
    def encode(self, source):
        mask = (source != PAD)[:, None, :]
        x = self.embed(source, self.source)
        for n in range(len(self.encoder)):
            x = self.encoder[n](x, mask)
        return self.encoder_norm(x)

    def decode(self, target, memory, source):
        mask, x = (source != PAD)[:, None, :], self.embed(target, self.target)
        for n in range(len(self.decoder)):
            x = self.decoder[n](x, memory, mask)
        return self.decoder_norm(x) @ self.out.weight.T


class OneByOne(Transformer):
    """The layers as one function of another; each target by itself, without padding."""

    def encode(self, source):
        mask = padding(source)
        steps = [lambda x, layer=layer: layer(x, mask) for layer in self.encoder]
        return self.encoder_norm(
            fold(lambda x, step: step(x), steps, self.embed(source, self.source))
        )

    def decode(self, target, memory, source):
        rows = []
        for b, words in enumerate(source):
            x = self.embed(target[b : b + 1], self.target)
            for layer in self.decoder:
                x = layer(x, memory[b : b + 1, words != PAD])
            rows.append(self.out(self.decoder_norm(x)))
        return torch.cat(rows)


# how many numbers it learns


def parameter_trials():
    def trial(name, **inputs):
        return Trial(name, {}, inputs)

    return (
        trial("for 11 words, dim = 12", words=11, dim=12, hidden=20, layers=3),
        trial("for the base model", words=37_000, dim=512, hidden=2048, layers=6),
        trial("for a single layer", words=5, dim=6, hidden=7, layers=1),
    )


def numbers_of(words, dim, hidden, layers, **changes):
    """The sum with some of its terms changed."""
    part = dict(attention=4 * dim**2 + 4 * dim, norm=2 * dim, cross=1, norms=5, tables=1)
    part |= dict(feed_forward=2 * dim * hidden + hidden + dim) | changes
    attention = (2 + part["cross"]) * part["attention"]
    layer = attention + 2 * part["feed_forward"] + part["norms"] * part["norm"]
    return part["tables"] * words * dim + layers * layer


def cross_not_counted(words, dim, hidden, layers):
    """You count one attention in a decoder layer. It has two: to its words, and to the
    memory."""
    return numbers_of(words, dim, hidden, layers, cross=0)


def one_norm_too_few(words, dim, hidden, layers):
    """You count as many norms in a decoder layer as in an encoder layer. It has three, one for
    each step."""
    return numbers_of(words, dim, hidden, layers, norms=4)


def norms_not_counted(words, dim, hidden, layers):
    """You leave out the norms: each has a scale and a shift of length dim."""
    return numbers_of(words, dim, hidden, layers, norms=0)


def norms_without_shift(words, dim, hidden, layers):
    """You count one vector a norm. It has two, scale and shift."""
    return numbers_of(words, dim, hidden, layers, norm=dim)


def final_norms_counted(words, dim, hidden, layers):
    """You count a norm at the end of encoder and decoder. Only pre-norm has them."""
    return numbers_of(words, dim, hidden, layers) + 4 * dim


def no_biases(words, dim, hidden, layers):
    """You leave out the biases of the linear layers."""
    return numbers_of(
        words, dim, hidden, layers, attention=4 * dim**2, feed_forward=2 * dim * hidden
    )


def biases_of_attention_alone(words, dim, hidden, layers):
    """You leave out the biases of the feed-forward networks: hidden + dim each."""
    return numbers_of(words, dim, hidden, layers, feed_forward=2 * dim * hidden)


def biases_of_the_networks_alone(words, dim, hidden, layers):
    """You leave out the biases of the attentions: 4 dim each."""
    return numbers_of(words, dim, hidden, layers, attention=4 * dim**2)


def output_bias_counted(words, dim, hidden, layers):
    """You count a bias of the output, one number a word. `out` has none."""
    return numbers_of(words, dim, hidden, layers) + words


def one_matrix_in_feed_forward(words, dim, hidden, layers):
    """You count one matrix in the feed-forward network. It has two, up and down."""
    return numbers_of(words, dim, hidden, layers, feed_forward=dim * hidden + hidden + dim)


def three_matrices_in_attention(words, dim, hidden, layers):
    """You count three matrices in an attention. It has four: query, key, value and out."""
    return numbers_of(words, dim, hidden, layers, attention=3 * dim**2 + 3 * dim)


def three_tables(words, dim, hidden, layers):
    """You count the matrix of words three times. Source, target and output share it."""
    return numbers_of(words, dim, hidden, layers, tables=3)


def two_tables(words, dim, hidden, layers):
    """You count the matrix of words twice. Source, target and output share it."""
    return numbers_of(words, dim, hidden, layers, tables=2)


def words_not_counted(words, dim, hidden, layers):
    """You leave out the matrix of words: words times dim more."""
    return numbers_of(words, dim, hidden, layers, tables=0)


def encoder_only(words, dim, hidden, layers):
    """You count the encoder alone. The decoder has as many layers, and larger ones."""
    attention, feed_forward = 4 * dim**2 + 4 * dim, 2 * dim * hidden + hidden + dim
    return words * dim + layers * (attention + feed_forward + 4 * dim)


def parameters_of_the_model(words, dim, hidden, layers):
    with torch.device("meta"):
        model = Transformer(words, words, dim, 1, hidden, layers, share=True)
    return sum(weight.numel() for weight in model.parameters())


def parameters_by_piece(words, dim, hidden, layers):
    square, norm = dim * (dim + 1), dim + dim
    network = hidden * (dim + 1) + dim * (hidden + 1)
    return words * dim + layers * (12 * square + 2 * network + 5 * norm)


# label smoothing


def loss_trials():
    def trial(name, right, smoothing, **sizes):
        target = Given("b i", torch.tensor(right))
        inputs = dict(logits="b i words", target=target, smoothing=smoothing)
        return Trial(name, sizes, inputs)

    padded = [[4, 5, 1, 2, 0, 0], [7, 3, 2, 0, 0, 0]]
    return (
        trial("without padding", [[4, 5, 2], [1, 3, 2]], 0.1, b=2, i=3, words=7),
        trial("with padding", padded, 0.2, b=2, i=6, words=9),
        trial("without smoothing", padded, 0.0, b=2, i=6, words=8),
    )


def log_p_of(logits, target):
    """Logarithms of the shares, and those of the right words."""
    log_p = logits.log_softmax(-1)
    return log_p, log_p.gather(-1, target.unsqueeze(-1)).squeeze(-1)


def mean_over_words(loss, target):
    return loss[target != PAD].mean()


def not_smoothed(logits, target, smoothing=0.1):
    """Nothing is smoothed: this is the plain cross-entropy."""
    return mean_over_words(-log_p_of(logits, target)[1], target)


def shares_exchanged(logits, target, smoothing=0.1):
    """The right word gets `smoothing`. It gets 1 - smoothing, and all words share the rest."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words(-smoothing * right - (1 - smoothing) * log_p.mean(-1), target)


def rest_for_every_word(logits, target, smoothing=0.1):
    """Every word gets the whole rest. They share it: smoothing / words for each."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words(-(1 - smoothing) * right - smoothing * log_p.sum(-1), target)


def right_word_keeps_all(logits, target, smoothing=0.1):
    """The right word keeps 1, and the rest comes on top: the shares sum to more than 1. It
    gets 1 - smoothing."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words(-right - smoothing * log_p.mean(-1), target)


def rest_lost(logits, target, smoothing=0.1):
    """The right word gets 1 - smoothing, and nobody gets the rest. All words share it."""
    return mean_over_words(-(1 - smoothing) * log_p_of(logits, target)[1], target)


def padding_counted(logits, target, smoothing=0.1):
    """Padding is counted as a word. Take the mean over words that are no padding."""
    log_p, right = log_p_of(logits, target)
    return (-(1 - smoothing) * right - smoothing * log_p.mean(-1)).mean()


def padding_divides(logits, target, smoothing=0.1):
    """The loss of padding is left out, but the sum is divided by all places. Divide by the
    number of words."""
    log_p, right = log_p_of(logits, target)
    loss = -(1 - smoothing) * right - smoothing * log_p.mean(-1)
    return loss.masked_fill(target == PAD, 0).mean()


def rest_on_padding(logits, target, smoothing=0.1):
    """Where the target is padding you drop the right word, but keep the smoothed rest. Padding
    counts for nothing."""
    log_p, right = log_p_of(logits, target)
    there = target != PAD
    return (-(1 - smoothing) * right * there - smoothing * log_p.mean(-1)).sum() / there.sum()


def summed(logits, target, smoothing=0.1):
    """You sum over the words. Take the mean, or longer batches get longer steps."""
    log_p, right = log_p_of(logits, target)
    return (-(1 - smoothing) * right - smoothing * log_p.mean(-1))[target != PAD].sum()


def mean_of_means(logits, target, smoothing=0.1):
    """You take the mean of each sentence and then their mean: a word of a short sentence counts
    more. Take one mean over all words."""
    log_p, right = log_p_of(logits, target)
    loss, there = -(1 - smoothing) * right - smoothing * log_p.mean(-1), target != PAD
    return ((loss * there).sum(-1) / there.sum(-1)).mean()


def sign_missing(logits, target, smoothing=0.1):
    """The sign is missing: the loss is minus the logarithm, and it is never negative."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words((1 - smoothing) * right + smoothing * log_p.mean(-1), target)


def shares_not_logarithms(logits, target, smoothing=0.1):
    """You use the shares themselves. The loss has their logarithms."""
    p = logits.softmax(-1)
    right = p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return mean_over_words(-(1 - smoothing) * right - smoothing * p.mean(-1), target)


def bare_logits(logits, target, smoothing=0.1):
    """The softmax is missing: you use the bare logits as if they were logarithms of shares."""
    right = logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return mean_over_words(-(1 - smoothing) * right - smoothing * logits.mean(-1), target)


def padding_gets_no_share(logits, target, smoothing=0.1):
    """The rest is shared among the words that are neither right nor padding, words - 2 of them,
    as in "The Annotated Transformer". Here all words share it, padding too."""
    log_p, right = log_p_of(logits, target)
    others = (log_p[..., 1:].sum(-1) - right) / (log_p.shape[-1] - 2)
    return mean_over_words(-(1 - smoothing) * right - smoothing * others, target)


def right_word_without_its_part(logits, target, smoothing=0.1):
    """The right word gets 1 - smoothing and the others smoothing / words, which does not sum to
    1: the right word has its part of the rest as well, 1 - smoothing + smoothing / words."""
    log_p, right = log_p_of(logits, target)
    rest = log_p.mean(-1) - right / log_p.shape[-1]
    return mean_over_words(-(1 - smoothing) * right - smoothing * rest, target)


def always_a_tenth(logits, target, smoothing=0.1):
    """`smoothing` is not used: you always smooth by 0.1."""
    return label_smoothing_loss(logits, target, 0.1)


def divergence(logits, target, smoothing=0.1):
    """This is the KL divergence, the loss less the entropy of the target. The gradient is the
    same; the loss is the cross-entropy itself."""
    words = logits.shape[-1]
    share = torch.full_like(logits, smoothing / words)
    share = share + (1 - smoothing) * F.one_hot(target, words)
    loss = (share.xlogy(share) - share * logits.log_softmax(-1)).sum(-1)
    return mean_over_words(loss, target)


def mean_over_the_vocabulary(logits, target, smoothing=0.1):
    """You take the mean over the words of the vocabulary as well (as `kl_div` does with
    "mean"). Over them it is a sum."""
    return label_smoothing_loss(logits, target, smoothing) / logits.shape[-1]


def divided_by_sentences(logits, target, smoothing=0.1):
    """You divide the sum over words by the number of sentences. Divide it by the number of
    words that are no padding."""
    return summed(logits, target, smoothing) / len(target)


def softmax_before_the_logarithm(logits, target, smoothing=0.1):
    """You apply a softmax before log_softmax, or before `cross_entropy`, which has one of its
    own. They want the logits."""
    return label_smoothing_loss(logits.softmax(-1), target, smoothing)


@variant
def others_share_the_rest(logits, target, smoothing=0.1):
    """The words that are wrong share the rest among themselves: smoothing / (words - 1) for
    each, as in the authors' Tensor2Tensor. Szegedy et al., whom the paper cites, let the right
    word have its part of it."""
    log_p, right = log_p_of(logits, target)
    others = (log_p.sum(-1) - right) / (log_p.shape[-1] - 1)
    return mean_over_words(-(1 - smoothing) * right - smoothing * others, target)


def loss_of_torch(logits, target, smoothing=0.1):
    return F.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


def loss_by_one_hot(logits, target, smoothing=0.1):
    words = logits.shape[-1]
    wanted = F.one_hot(target, words) * (1 - smoothing) + smoothing / words
    there = (target != PAD).to(logits)
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    return -(wanted * log_p * there[..., None]).sum() / there.sum()


# the schedule


def schedule_trials():
    def trial(name, step, dim, warmup):
        return Trial(name, {}, dict(step=Given("n", step), dim=dim, warmup=warmup))

    return (
        trial("on the way up", torch.arange(1.0, 8).double(), 16, 10),
        trial("past the top", torch.arange(11.0, 20).double(), 9, 10),
        trial(
            "for the base model", torch.tensor([1.0, 777, 3999, 4001, 1e5]).double(), 512, 4000
        ),
    )


def width_forgotten(step, dim, warmup=4000):
    """The factor 1 / sqrt(dim) is missing: wider models take smaller steps."""
    return torch.minimum(step**-0.5, step * warmup**-1.5)


def width_multiplied(step, dim, warmup=4000):
    """You multiply by sqrt(dim). It divides: wider models take smaller steps."""
    return dim**0.5 * torch.minimum(step**-0.5, step * warmup**-1.5)


def width_without_root(step, dim, warmup=4000):
    """You divide by dim. It is its root: dim^-0.5."""
    return torch.minimum(step**-0.5, step * warmup**-1.5) / dim


def larger_of_both(step, dim, warmup=4000):
    """You take the larger of the two curves. It is the smaller: up first, then down."""
    return dim**-0.5 * torch.maximum(step**-0.5, step * warmup**-1.5)


def never_warm(step, dim, warmup=4000):
    """The warm-up is missing: the rate falls from the first step on. (Or is the sign of an
    exponent turned, so that the line is never the lower one?)"""
    return dim**-0.5 * step**-0.5


def never_falls(step, dim, warmup=4000):
    """The rate stays where the warm-up has brought it. It falls again, as 1 / sqrt(step)."""
    return dim**-0.5 * warmup**-0.5 * torch.minimum(step / warmup, torch.ones_like(step))


def line_too_steep(step, dim, warmup=4000):
    """The line of the warm-up has slope warmup^-0.5, and the curve meets it far too early. Its
    slope is warmup^-1.5, so that both meet at step = warmup."""
    return dim**-0.5 * torch.minimum(step**-0.5, step * warmup**-0.5)


def line_too_flat(step, dim, warmup=4000):
    """The line of the warm-up rises to 1 at step = warmup. Both curves are warmup^-0.5 there:
    step warmup^-1.5."""
    return dim**-0.5 * torch.minimum(step**-0.5, step / warmup)


def falls_like_one_over_step(step, dim, warmup=4000):
    """The rate falls as 1 / step. It falls as 1 / sqrt(step)."""
    return dim**-0.5 * torch.minimum(warmup**0.5 / step, step * warmup**-1.5)


def always_4000(step, dim, warmup=4000):
    """`warmup` is not used: you have 4000 in its place."""
    return learning_rate(step, dim, 4000)


def one_at_the_top(step, dim, warmup=4000):
    """Your rate is sqrt(warmup) times too large: it is 1 / sqrt(dim) at the top. There both
    curves are warmup^-0.5."""
    return learning_rate(step, dim, warmup) * warmup**0.5


def counted_from_the_top(step, dim, warmup=4000):
    """After the warm-up you count the steps anew, from `warmup` on. They go on counting from 1:
    step^-0.5."""
    late = (step - warmup).clamp(min=1) ** -0.5
    return dim**-0.5 * torch.where(step <= warmup, step * warmup**-1.5, late)


def falls_along_a_line(step, dim, warmup=4000):
    """The rate falls along a straight line. It falls as 1 / sqrt(step)."""
    late = (2 * warmup - step).clamp(min=0) / warmup
    return (dim * warmup) ** -0.5 * torch.minimum(step / warmup, late)


def curve_without_its_root(step, dim, warmup=4000):
    """The curve is 1 / step. It is 1 / sqrt(step), and meets the line at step = warmup."""
    return dim**-0.5 * torch.minimum(1 / step, step * warmup**-1.5)


def counted_from_zero(step, dim, warmup=4000):
    """You shift the steps by one. They count from 1 already."""
    return dim**-0.5 * torch.minimum((step + 1) ** -0.5, (step + 1) * warmup**-1.5)


def rate_by_where(step, dim, warmup=4000):
    top = (dim * warmup) ** -0.5
    return torch.where(step < warmup, top * step / warmup, top * (warmup / step).sqrt())


def rate_by_loop(step, dim, warmup=4000):
    rates = [min(s**-0.5, s / warmup**1.5) / math.sqrt(dim) for s in step.tolist()]
    return torch.tensor(rates, dtype=step.dtype, device=step.device)


# greedy decoding


def language(seed, words, likely_end=0.0):
    """A made-up model: the logits of the next word depend on the last two, and on how many
    there are."""
    dice = torch.Generator().manual_seed(seed)
    table = torch.randn(12, words, words, words, generator=dice, dtype=torch.float64)
    table[..., END] += likely_end

    def logits(target, *_):
        target = target.cpu()
        before = target[:, -2] if target.shape[1] > 1 else target[:, -1]
        return table[target.shape[1] % 12, before, target[:, -1]]

    return logits


def greedy_trials():
    def trial(name, rows, longest, logits):
        start = Given("b 1", torch.full((rows, 1), BEGIN))
        return Trial(name, dict(b=rows), dict(logits=logits, start=start, longest=longest))

    def ends_in_turn(target, *_):
        """Example n ends after n words. After an end another word is likely, not padding."""
        n, b = torch.arange(len(target)), target.shape[1] - 1
        return F.one_hot(torch.where(n == b, END, 3 + (n + b) % 3), 6).double()

    return (
        trial("where examples end one after the other", 4, 9, ends_in_turn),
        trial("where all end at once", 2, 9, lambda t, *_: ends_in_turn(t[:1]).expand(2, 6)),
        trial("where not all come to an end", 3, 5, ends_in_turn_late),
        trial("where the next word depends on the last two", 1, 10, language(2, 7)),
    )


def ends_in_turn_late(target, *_):
    """The first example ends after two words, the others go on and on."""
    n, b = target.shape[1], torch.arange(len(target))
    word = torch.where((b == 0) & (n == 2), END, 3 + (b + n) % 4)
    return F.one_hot(word, 7).double()


def likeliest(scores):
    return scores.argmax(-1)


def all_so_far(target):
    return target


def when_all_have_ended(ended, target):
    return bool(ended.all())


def padding_follows(word, ended):
    return word.masked_fill(ended, PAD)


def at_end(word):
    return word == END


def as_long_as_said(longest):
    return longest


def as_written(target):
    return target


def the_last_word_too(target):
    return True


def decoded(
    choosing=likeliest,
    showing=all_so_far,
    stopping=when_all_have_ended,
    following=padding_follows,
    ending=at_end,
    counting=as_long_as_said,
    returning=as_written,
    writing=the_last_word_too,
):
    """`greedy` with some of its steps changed."""

    def answer(logits, start, longest):
        target, ended = start, torch.zeros(len(start), dtype=torch.bool)
        for _ in range(counting(longest)):
            if stopping(ended, target):
                break
            word = following(choosing(logits(showing(target))), ended)
            ended = ended | ending(word)
            longer = torch.cat([target, word[:, None]], dim=1)
            if stopping(ended, longer) and not writing(longer):
                break
            target = longer
        return returning(target)

    return answer


def goes_on_after_the_end(word, ended):
    """Examples that have ended go on. After its END an example has PAD."""
    return word


def ends_again_and_again(word, ended):
    """Examples that have ended get END again and again. After the first one comes PAD."""
    return word.masked_fill(ended, END)


@also(following=goes_on_after_the_end)
def forgets_who_has_ended(ended, target):
    """You look at the last words only: you stop where all are END at once, and examples that
    ended before go on. Remember who has ended; they get PAD."""
    return target.shape[1] > 1 and bool((target[:, -1] == END).all())


def stops_with_the_first(ended, target):
    """You stop when one example has ended. Go on until all have."""
    return bool(ended.any())


def never_stops_early(ended, target):
    """You always write `longest` words. Stop when all examples have ended."""
    return False


def one_word_too_many(longest):
    """You write one word more than `longest`. BEGIN is not counted: the target has at most
    1 + longest."""
    return longest + 1


def one_word_too_few(longest):
    """You write one word fewer than `longest`. BEGIN is not counted: the target has at most
    1 + longest."""
    return longest - 1


def begin_dropped(target):
    """You drop the first word. BEGIN is kept."""
    return target[:, 1:]


def least_likely(scores):
    """You take the least likely word: argmin where it is argmax."""
    return scores.argmin(-1)


def second_likeliest(scores):
    """You take the second likeliest word. It is always the likeliest."""
    return scores.topk(2).indices[:, 1]


def same_for_all(scores):
    """All examples get the word of the first. Each has its own."""
    return scores.argmax(-1)[:1].expand(len(scores))


def last_word_alone(target):
    """You show `logits` the last word only. The next one depends on all so far."""
    return target[:, -1:]


def without_begin(target):
    """You show `logits` the targets without BEGIN. It maps targets so far, BEGIN among them."""
    return target[:, 1:] if target.shape[1] > 1 else target


def stops_at_padding(word):
    """You take PAD for the end. A target ends with END."""
    return word == PAD


def end_not_written(target):
    """END itself is not written: you put PAD in its place. An example keeps its END."""
    return target.masked_fill(target == END, PAD)


def stops_before_the_last_word(target):
    """You stop before the last END is written. Append the word first, then see who has
    ended."""
    return False


def one_example_at_a_time(logits, start, longest):
    """You show `logits` one example at a time. It knows by its row which source an example has:
    show it the whole batch."""
    rows = [decoded()(logits, start[b : b + 1], longest) for b in range(len(start))]
    return padded_rows(rows)


def padded_rows(rows):
    longest = max(row.shape[1] for row in rows)
    return torch.cat([F.pad(row, (0, longest - row.shape[1]), value=PAD) for row in rows])


GREEDY = family(
    decoded,
    following=(goes_on_after_the_end, ends_again_and_again),
    stopping=(
        forgets_who_has_ended,
        stops_with_the_first,
        never_stops_early,
    ),
    counting=(one_word_too_many, one_word_too_few),
    returning=(begin_dropped, end_not_written),
    choosing=(least_likely, same_for_all, second_likeliest),
    showing=(last_word_alone, without_begin),
    ending=(stops_at_padding,),
    writing=(stops_before_the_last_word,),
    paired=(
        goes_on_after_the_end,
        ends_again_and_again,
        forgets_who_has_ended,
        stops_with_the_first,
        never_stops_early,
        one_word_too_many,
        one_word_too_few,
        begin_dropped,
        last_word_alone,
        stops_before_the_last_word,
    ),
)


def greedy_by_rows(logits, start, longest):
    rows = [row.tolist() for row in start]
    for _ in range(longest):
        if all(END in row for row in rows):
            break
        best = logits(torch.tensor(rows)).max(-1).indices.tolist()
        rows = [[*row, PAD if END in row else w] for row, w in zip(rows, best, strict=True)]
    return torch.tensor(rows)


def greedy_into_a_table(logits, start, longest):
    target = F.pad(start, (0, longest), value=PAD)
    for n in range(1, longest + 1):
        ended = (target == END).any(-1)
        if bool(ended.all()):
            return target[:, :n]
        word = logits(target[:, :n]).log_softmax(-1).topk(1).indices[:, 0]
        target[:, n] = torch.where(ended, PAD, word)
    return target


# the length penalty


def penalty_trials():
    def trial(name, alpha):
        length = Given("n", torch.arange(1.0, 10).double())
        return Trial(name, dict(n=9), dict(length=length, alpha=alpha))

    return (
        trial("with alpha = 0.6", 0.6),
        trial("with alpha = 0", 0.0),
        trial("with alpha = 1.5", 1.5),
    )


def power_of_the_length(length, alpha):
    """You take the length to the power alpha. Wu et al. shift it first: (5 + length) / 6."""
    return length**alpha


def power_of_the_five_only(length, alpha):
    """Only the numerator is raised to alpha. The whole fraction is."""
    return (5 + length) ** alpha / 6


def power_forgotten(length, alpha):
    """alpha is not used: it is the power of the fraction."""
    return (5 + length) / 6


def alpha_as_a_factor(length, alpha):
    """You multiply by alpha. It is the power of the fraction."""
    return alpha * (5 + length) / 6


def penalty_inverted(length, alpha):
    """This is 1 over the penalty: it falls with the length. Log-probabilities are divided by
    it, so it rises."""
    return (6 / (5 + length)) ** alpha


def five_and_six_exchanged(length, alpha):
    """5 and 6 are exchanged: it is (5 + length) / 6, which is 1 for one word."""
    return ((6 + length) / 5) ** alpha


def one_word_fewer(length, alpha):
    """You do not count END. It is part of the length, which comes in already counted."""
    return ((4 + length) / 6) ** alpha


def six_for_five(length, alpha):
    """You add 6 where it is 5: (5 + length) / 6, which is 1 for one word."""
    return ((6 + length) / 6) ** alpha


def divided_by_five(length, alpha):
    """You divide by 5 where it is 6: (5 + length) / 6, which is 1 for one word."""
    return ((5 + length) / 5) ** alpha


def numerator_not_divided(length, alpha):
    """You do not divide by 6: (5 + length) / 6 is 1 for one word."""
    return (5 + length) ** alpha


def whole_sixths(length, alpha):
    """You divide with `//`, which leaves the remainder out. It is a fraction: `/`."""
    return ((5 + length) // 6) ** alpha


def powers_apart(length, alpha):
    """You raise the length alone to alpha. The whole fraction is raised."""
    return (5 + length**alpha) / 6


def parentheses_lost(length, alpha):
    """Parentheses are lost: 5 + length / 6. The sum is divided by 6."""
    return (5 + length / 6) ** alpha


def logarithm_of_the_penalty(length, alpha):
    """This is the logarithm of the penalty. Nothing is in logarithms here but the
    probability."""
    return alpha * ((5 + length) / 6).log()


def penalty_by_logarithm(length, alpha):
    return (alpha * ((5 + length) / 6).log()).exp()


def penalty_by_ratio(length, alpha):
    return torch.pow(5 + length, alpha) / torch.pow(torch.tensor(6.0).to(length), alpha)


# a step of the beam


def beam_trials():
    first = Given("b beam", torch.tensor([[0.0, -math.inf, -math.inf]] * 2).double())
    return (
        Trial(
            "with 3 beams",
            dict(b=2, beam=3, words=7, width=4),
            dict(log_p="b beam", next_log_p="b beam words", width=4),
        ),
        Trial(
            "with more beams than words",
            dict(b=3, beam=5, words=4, width=2),
            dict(log_p="b beam", next_log_p="b beam words", width=2),
        ),
        Trial(
            "with one beam alive",
            dict(b=2, beam=3, words=7, width=5),
            dict(log_p=first, next_log_p="b beam words", width=5),
        ),
    )


def beams(
    log_p,
    next_log_p,
    width,
    sums=lambda old, new: old[..., None] + new,
    largest=True,
    split=lambda place, beam, words: (place // words, place % words),
):
    """A step of the beam with some of its parts changed."""
    every = sums(log_p, next_log_p)
    best, place = every.flatten(1).topk(width, largest=largest)
    return best, *split(place, *every.shape[1:])


def past_forgotten(log_p, next_log_p, width):
    """The log-probability of the beams so far is forgotten. A way is as likely as all its words
    together: log_p + next_log_p."""
    return beams(log_p, next_log_p, width, sums=lambda old, new: new)


def log_p_multiplied(log_p, next_log_p, width):
    """You multiply logarithms. Probabilities are multiplied, their logarithms are added."""
    return beams(log_p, next_log_p, width, sums=lambda old, new: old[..., None] * new)


def added_as_probabilities(log_p, next_log_p, width):
    """You add probabilities: exp of both. It is their logarithms that are added."""
    return beams(
        log_p, next_log_p, width, sums=lambda old, new: old.exp()[..., None] + new.exp()
    )


def least_likely_ways(log_p, next_log_p, width):
    """You keep the least likely ways. Keep the likeliest."""
    return beams(log_p, next_log_p, width, largest=False)


def beam_and_word_exchanged(log_p, next_log_p, width):
    """Beams and words are exchanged in what you return: first the log-probabilities, then the
    beams, then the words."""
    best, beam, word = beams(log_p, next_log_p, width)
    return best, word, beam


def divided_by_beams(log_p, next_log_p, width):
    """You divide the place by the number of beams. Words change fastest in (beam word): divide
    by the number of words."""
    return beams(
        log_p,
        next_log_p,
        width,
        split=lambda place, beam, words: (place // beam, place % beam),
    )


def places_not_split(log_p, next_log_p, width):
    """You return the place in (beam word) for the word. The word is the remainder of its
    division by the number of words."""
    return beams(
        log_p, next_log_p, width, split=lambda place, beam, words: (place // words, place)
    )


def last_step_only(log_p, next_log_p, width):
    """You return the log-probability of the last word. It is that of the whole way so far."""
    _, beam, word = beams(log_p, next_log_p, width)
    new = next_log_p.flatten(1).gather(1, beam * next_log_p.shape[-1] + word)
    return new, beam, word


def one_word_for_each_beam(log_p, next_log_p, width):
    """Each beam goes on with its best word only. The best ways may all continue one beam."""
    every = log_p[..., None] + next_log_p
    best, word = every.max(-1)
    best = F.pad(best, (0, max(0, width - best.shape[1])), value=-math.inf)
    best, beam = best.topk(width)
    word = F.pad(word, (0, max(0, width - word.shape[1]))).gather(1, beam)
    return best, beam, word


def one_beam_for_each_word(log_p, next_log_p, width):
    """Each word continues its best beam only. Two of the best ways may add the same word."""
    best, beam = (log_p[..., None] + next_log_p).max(1)
    best, word = best.topk(width)
    return best, beam.gather(1, word), word


def best_words_of_each_beam(log_p, next_log_p, width):
    """You take the best words of each beam and cut the list: the first beam gets all places.
    The `width` best are chosen among all beams and words together."""
    every = log_p[..., None] + next_log_p
    best, word = every.topk(min(width, every.shape[-1]), dim=-1)
    beam = torch.arange(every.shape[1])[:, None].expand(word.shape)
    return tuple(part.flatten(1)[:, :width] for part in (best, beam, word))


def normalised_again(log_p, next_log_p, width):
    """You normalise over all ways (a log_softmax). What is returned are the log-probabilities
    themselves, log_p + next_log_p."""
    every = log_p[..., None] + next_log_p
    return beams(
        log_p, next_log_p, width, sums=lambda *_: every - every.logsumexp((1, 2), True)
    )


def words_normalised_again(log_p, next_log_p, width):
    """You apply a log_softmax to `next_log_p`. These are log-probabilities already."""
    return beams(log_p, next_log_p.log_softmax(-1), width)


def returned_as_probabilities(log_p, next_log_p, width):
    """You return probabilities, exp of what is asked for: their logarithms."""
    best, beam, word = beams(log_p, next_log_p, width)
    return best.exp(), beam, word


def ways_of_the_whole_batch(log_p, next_log_p, width):
    """You choose among the ways of all examples together: the batch is mixed. Each example has
    its own `width` ways."""
    every = log_p[..., None] + next_log_p
    b, beam, words = every.shape
    best, place = every.flatten().topk(width * b)
    parts = best, place // words % beam, place % words
    return tuple(part.reshape(b, width) for part in parts)


def fractions_of_beams(log_p, next_log_p, width):
    """You divide with `/`, so that beams come out as fractions. `//` leaves the remainder
    out."""
    return beams(
        log_p,
        next_log_p,
        width,
        split=lambda place, beam, words: (place / words, place % words),
    )


def words_first_in_the_place(log_p, next_log_p, width):
    """You join the axes as (word beam) and take the place apart as (beam word). Keep one
    order."""
    every = rearrange(log_p[..., None] + next_log_p, "b beam word -> b (word beam)")
    best, place = every.topk(width)
    words = next_log_p.shape[-1]
    return best, place // words, place % words


def worst_of_the_best_first(log_p, next_log_p, width):
    """The ways come in the wrong order. The likeliest comes first."""
    return tuple(part.flip(-1) for part in beams(log_p, next_log_p, width))


def step_by_sorting(log_p, next_log_p, width):
    every = (log_p.unsqueeze(-1) + next_log_p).flatten(1)
    order = every.argsort(dim=-1, descending=True)[:, :width]
    beam = torch.div(order, next_log_p.shape[-1], rounding_mode="floor")
    return every.gather(-1, order), beam, order - beam * next_log_p.shape[-1]


def step_by_stages(log_p, next_log_p, width):
    """First the best words of each beam, then the best of these."""
    most = min(width, next_log_p.shape[-1])
    new, word = next_log_p.topk(most, dim=-1)
    every, word = (log_p[..., None] + new).flatten(1), word.flatten(1)
    best, place = every.topk(width, dim=-1)
    return best, place // most, word.gather(1, place)


# a step with a cache


def cache_trials():
    new = dict(q="b head 1 d", k="b head 1 d", v="b head 1 d")
    past = dict(keys="b head past d", values="b head past d")
    empty = dict(keys="b head 0 d", values="b head 0 d")
    return (
        Trial("with 5 words remembered", dict(b=2, head=3, past=5, d=4, now=6), new | past),
        Trial("with one word remembered", dict(b=3, head=2, past=1, d=5, now=2), new | past),
        Trial("with nothing remembered", dict(b=2, head=4, d=3, now=1), new | empty),
    )


def joined(old, new):
    return torch.cat([old, new], dim=-2)


def itself_not_seen(q, k, v, keys, values):
    """The newest token attends to the earlier ones only. It attends to itself as well: append
    its key and value first."""
    return attention_weights(q, keys) @ values, joined(keys, k), joined(values, v)


def only_itself_seen(q, k, v, keys, values):
    """The newest token attends to itself alone: what was remembered is not used."""
    return attention_weights(q, k) @ v, joined(keys, k), joined(values, v)


def nothing_remembered(q, k, v, keys, values):
    """You return the keys and values as they came in. Return them with the new ones at the
    end, or the next step will not know this one."""
    return attention_weights(q, joined(keys, k)) @ joined(values, v), keys, values


def past_dropped(q, k, v, keys, values):
    """You return only the new key and value. Those before are needed in the next step as
    well."""
    return attention_weights(q, joined(keys, k)) @ joined(values, v), k, v


def newest_value_lost(q, k, v, keys, values):
    """The newest token has a weight, but its value is not read: the weights of the earlier ones
    alone are used. All values are read, the new one too."""
    longer = joined(keys, k)
    read = attention_weights(q, longer)[..., :-1] @ values
    return read, longer, joined(values, v)


def values_asked(q, k, v, keys, values):
    """You compare the query with the values and read the keys. It is the other way round: keys
    are compared, values are read."""
    keys, values = joined(keys, k), joined(values, v)
    return attention_weights(q, values) @ keys, keys, values


def values_averaged(q, k, v, keys, values):
    """You read the plain mean of the values: query and keys play no part."""
    keys, values = joined(keys, k), joined(values, v)
    return reduce(values, "b head j d -> b head 1 d", "mean"), keys, values


def key_for_the_value(q, k, v, keys, values):
    """You append the new key to the values. The new value is appended."""
    keys, values = joined(keys, k), joined(values, k)
    return attention_weights(q, keys) @ values, keys, values


def value_for_the_key(q, k, v, keys, values):
    """You append the new value to the keys. The new key is appended."""
    keys, values = joined(keys, v), joined(values, v)
    return attention_weights(q, keys) @ values, keys, values


def only_the_latest(q, k, v, keys, values):
    """The newest token sees itself and the one before. It sees all so far."""
    longer, more = joined(keys, k), joined(values, v)
    return attention_weights(q, longer[:, :, -2:]) @ more[:, :, -2:], longer, more


def divided_by_the_root_of_length(q, k, v, keys, values):
    """You divide the scores by the root of the number of keys. It is the width that counts:
    sqrt(d)."""
    keys, values = joined(keys, k), joined(values, v)
    share = (q @ keys.mT / math.sqrt(keys.shape[-2])).softmax(-1)
    return share @ values, keys, values


def put_in_front(q, k, v, keys, values):
    """The new key and value stand in front. What is read is the same; but the place of a key is
    its position, and the newest comes last."""
    keys, values = joined(k, keys), joined(v, values)
    return attention_weights(q, keys) @ values, keys, values


def put_in_place_of_the_last(q, k, v, keys, values):
    """The new key and value replace the last ones. They come after them."""
    keys, values = joined(keys[:, :, :-1], k), joined(values[:, :, :-1], v)
    return attention_weights(q, keys) @ values, keys, values


def oldest_forgotten(q, k, v, keys, values):
    """You drop the oldest key and value as you append new ones. All are kept."""
    keys, values = joined(keys, k)[:, :, 1:], joined(values, v)[:, :, 1:]
    return attention_weights(q, keys) @ values, keys, values


def keys_for_values(q, k, v, keys, values):
    """You read the keys. What is read are the values, weighted by how well the keys agree."""
    keys, values = joined(keys, k), joined(values, v)
    return attention_weights(q, keys) @ keys, keys, values


def returned_in_another_order(q, k, v, keys, values):
    """Keys and values are exchanged in what you return: what is read, then keys, then
    values."""
    keys, values = joined(keys, k), joined(values, v)
    return attention_weights(q, keys) @ values, values, keys


def not_scaled(q, k, v, keys, values):
    """The scores are not divided by sqrt(d): use `attention_weights`."""
    keys, values = joined(keys, k), joined(values, v)
    return (q @ keys.mT).softmax(-1) @ values, keys, values


def query_remembered(q, k, v, keys, values):
    """You append the query to the keys. The key of the new token is appended."""
    keys, values = joined(keys, q), joined(values, v)
    return attention_weights(q, keys) @ values, keys, values


def causal_mask_on_one_query(q, k, v, keys, values):
    """You use a causal mask: aligned at the first key, it lets the only query see one. Nothing
    lies in the future here, so no mask is needed."""
    keys, values = joined(keys, k), joined(values, v)
    mask = causal_mask(1, keys.shape[-2]).to(q.device)
    return scaled_dot_product_attention(q, keys, values, mask), keys, values


def step_by_torch(q, k, v, keys, values):
    keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
    return F.scaled_dot_product_attention(q, keys, values), keys, values


def step_by_parts(q, k, v, keys, values):
    """Old and new scores apart, then one softmax over both."""
    scale = q.shape[-1] ** -0.5
    scores = torch.cat([q @ keys.mT, (q * k).sum(-1, keepdim=True)], dim=-1) * scale
    share = scores.softmax(-1)
    read = share[..., :-1] @ values + share[..., -1:] * v
    return read, torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)


EXERCISES = [
    Exercise(
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
    ),
    Exercise(
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
    ),
    Exercise(
        id="transformer.encoder_layer",
        solution=EncoderLayer,
        probes={"forward": "b n (head d)"},
        trials=encoder_trials,
        blank=("forward",),
        slips=(
            feed_forward_missing,
            attention_missing,
            thinks_before_it_reads,
            ways_exchanged,
            one_way_for_both,
            last_way_for_both,
            no_way_around_attention,
            no_way_around_feed_forward,
            no_ways_around,
            mask_not_passed_on,
            mask_turned_round,
            mask_with_rows_for_columns,
            side_by_side_in_one_way,
            both_in_one_way,
            normed_before_as_well,
            network_of_the_network,
            causal_encoder,
            side_by_side,
            reads_what_is_not_normed,
            attends_twice,
            thinks_twice,
            added_again,
            reads_the_outer_x,
            network_gets_the_input,
            network_gets_what_is_not_normed,
            outer_x_both_times,
            input_added_at_the_end,
            read_added_at_the_end,
            normed_once_more,
        ),
        hints=(
            "Which two functions does a layer apply, in which order, and what is around each?",
            (
                "`around_attention(x, f)` does the sum and the norm. f takes one argument; the"
                " attention also wants the mask, so f is a lambda."
            ),
            (
                "x = around_attention(x, the function x -> self_attention(x) with the mask)\n"
                "return around_feed_forward(x, feed_forward)"
            ),
        ),
        minutes=8,
        difficulty=2,
        otherwise=(LayerByLayer, WithPartial),
        laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
    ),
    Exercise(
        id="transformer.decoder_layer",
        solution=DecoderLayer,
        probes={"forward": "b i (head d)"},
        trials=decoder_trials,
        blank=("forward",),
        slips=family(
            recipe,
            paired=(),
            hiding=(
                nothing_hidden,
                past_hidden,
                all_but_later_hidden,
                itself_hidden,
                one_later_seen,
            ),
            words=(
                words_not_read,
                words_without_a_way_around,
                words_by_cross_attention,
                words_around_cross,
                words_before_the_norm,
                words_ask_before_the_norm,
            ),
            masking=(memory_mask_forgotten, memory_mask_inverted),
            crossing=(
                memory_not_read,
                memory_asks,
                tokens_answer,
                memory_by_self_attention,
                memory_around_self,
                memory_without_a_way_around,
                memory_hidden_like_words,
                memory_normed_too,
                asks_as_it_came,
                asks_before_the_norm,
                memory_and_words_read,
            ),
            thinking=(
                never_thinks,
                thinks_without_a_way_around,
                thinks_around_cross,
                thinks_of_the_input,
                input_added,
            ),
        )
        + tuple(
            Slip(order.__name__, " ".join(order.__doc__.split()), recipe(other_order=order))
            for order in (memory_first, thinks_in_the_middle, thinks_after_each)
        ),
        hints=(
            (
                "Three steps, each with its way around. In which of them is something hidden,"
                " and from whom?"
            ),
            (
                "Tokens read tokens that are not later: `causal_mask` of chapter 1, i i, sent"
                " to the device of x. Then they read the memory, all of it but its padding."
                " Then each thinks by itself."
            ),
            (
                "causal = causal_mask(i, i) on the device of x\n"
                "x = around_self(x, self_attention with mask=causal)\n"
                "x = around_cross(x, cross_attention to the memory, with memory_mask)\n"
                "return around_feed_forward(x, feed_forward)"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(DecodesByHand, TokenByToken),
        laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
    ),
    Exercise(
        id="transformer.transformer",
        solution=Transformer,
        probes={"encode": "b j (head d)", "forward": "b i w"},
        trials=model_trials,
        blank=("encode", "decode"),
        slips=family(
            whole,
            paired=(),
            encoding=(
                source_padding_seen,
                padding_seen,
                bare_source,
                first_encoder_layer_for_all,
                only_last_encoder_layer,
                encoder_norm_forgotten,
                norm_inside_the_loop,
                source_mask_turned_round,
                encoded_from_one,
                begun_at_one,
                positions_added_twice,
                source_scaled_twice,
            ),
            decoding=(
                memory_padding_seen,
                bare_target,
                only_last_decoder_layer,
                decoder_norm_forgotten,
                logits_not_made,
                shares_for_logits,
                logarithms_for_logits,
                decoded_from_one,
                target_moved,
                target_padding_hidden,
                first_decoder_layer_for_all,
                norm_inside_the_other_loop,
                padding_mask_turned_round,
                last_word_only,
            ),
        ),
        hints=(
            "What happens to a word before the first layer, and what after the last one?",
            (
                "embed, then every layer on what the last one gave, then the norm at the end;"
                " the decoder then applies `out`. Whatever attends to the source gets"
                " `padding(source)` as its mask."
            ),
            (
                "encode: x = embed(source, its embedding)\n"
                "        x = layer(x, padding mask) for each layer\n"
                "        return encoder_norm(x)\n"
                "decode: the same with target, memory and padding mask; at the end\n"
                "        out(decoder_norm(x))"
            ),
        ),
        minutes=10,
        difficulty=3,
        otherwise=(Unrolled, OneByOne),
        laws=("one_step_more_or_less", "a_constant_factor"),
    ),
    Exercise(
        id="transformer.parameters",
        solution=parameters,
        probes={"parameters": ""},
        trials=parameter_trials,
        slips=(
            cross_not_counted,
            one_norm_too_few,
            norms_not_counted,
            norms_without_shift,
            final_norms_counted,
            no_biases,
            biases_of_attention_alone,
            biases_of_the_networks_alone,
            output_bias_counted,
            one_matrix_in_feed_forward,
            three_matrices_in_attention,
            three_tables,
            two_tables,
            words_not_counted,
            encoder_only,
        ),
        hints=(
            "What does one attention learn, one feed-forward network, one norm?",
            (
                "4 dim² + 4 dim for an attention, 2 dim m + m + dim for a network, 2 dim for a"
                " norm. How many of each are in an encoder layer, and in a decoder layer?"
            ),
            "words dim + layers (3 attentions + 2 networks + 5 norms)",
        ),
        minutes=5,
        difficulty=2,
        otherwise=(parameters_of_the_model, parameters_by_piece),
    ),
    Exercise(
        id="transformer.label_smoothing_loss",
        solution=label_smoothing_loss,
        probes={"label_smoothing_loss": ""},
        trials=loss_trials,
        slips=(
            not_smoothed,
            shares_exchanged,
            rest_for_every_word,
            right_word_keeps_all,
            rest_lost,
            padding_counted,
            padding_divides,
            rest_on_padding,
            summed,
            mean_of_means,
            sign_missing,
            shares_not_logarithms,
            bare_logits,
            padding_gets_no_share,
            right_word_without_its_part,
            always_a_tenth,
            divergence,
            mean_over_the_vocabulary,
            divided_by_sentences,
            softmax_before_the_logarithm,
            others_share_the_rest,
        ),
        hints=(
            "What is the loss of one word if the target is a distribution q over all words?",
            (
                "- sum over words of q log p. With q = smoothing / words for every word, and"
                " 1 - smoothing more for the right one, the sum falls into two terms."
            ),
            (
                "log p = log_softmax(logits), b i words\n"
                "right = log p of the target word, b i (gather)\n"
                "loss = - (1 - smoothing) right - smoothing (mean of log p over words)\n"
                "mean of it where the target is not PAD"
            ),
        ),
        minutes=10,
        difficulty=3,
        otherwise=(loss_of_torch, loss_by_one_hot),
        laws=("shares_of_the_target",),
    ),
    Exercise(
        id="transformer.learning_rate",
        solution=learning_rate,
        probes={"learning_rate": "n"},
        trials=schedule_trials,
        slips=(
            width_forgotten,
            width_multiplied,
            width_without_root,
            larger_of_both,
            never_warm,
            never_falls,
            line_too_steep,
            line_too_flat,
            falls_like_one_over_step,
            always_4000,
            one_at_the_top,
            counted_from_the_top,
            falls_along_a_line,
            curve_without_its_root,
            counted_from_zero,
        ),
        hints=(
            "Which of the two curves is lower before step = warmup, and which after it?",
            "The lower of step^-0.5 and step warmup^-1.5, times dim^-0.5.",
            "dim^-0.5 times torch.minimum(step^-0.5, step times warmup^-1.5)",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(rate_by_where, rate_by_loop),
        laws=("rates_rise_and_fall",),
        skip=frozenset({"gradients", "device"}),
    ),
    Exercise(
        id="transformer.greedy",
        solution=greedy,
        probes={"greedy": "b i"},
        trials=greedy_trials,
        slips=(*GREEDY, one_example_at_a_time),
        hints=(
            "What must you remember of each example from word to word?",
            (
                "Whether it has ended, b. Its next word is the argmax of the logits, or PAD if"
                " it has. Go on until all have ended or `longest` words are written."
            ),
            (
                "ended = nowhere\n"
                "as long as there are fewer than longest words, and not all have ended:\n"
                "    word = argmax of logits(target), PAD where ended\n"
                "    append word to target\n"
                "    ended also where word is END"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(greedy_by_rows, greedy_into_a_table),
        skip=frozenset({"device"}),
    ),
    Exercise(
        id="transformer.length_penalty",
        solution=length_penalty,
        probes={"length_penalty": "n"},
        trials=penalty_trials,
        slips=(
            power_of_the_length,
            power_of_the_five_only,
            power_forgotten,
            alpha_as_a_factor,
            penalty_inverted,
            five_and_six_exchanged,
            one_word_fewer,
            six_for_five,
            divided_by_five,
            numerator_not_divided,
            powers_apart,
            whole_sixths,
            parentheses_lost,
            logarithm_of_the_penalty,
        ),
        hints=(
            "What should the penalty be for a single word?",
            "(5 + length) / 6, to the power alpha.",
            "((5 + length) / 6) ** alpha, without parentheses lost",
        ),
        minutes=2,
        difficulty=1,
        otherwise=(penalty_by_logarithm, penalty_by_ratio),
        laws=("penalty_of_one_word", "one_step_more_or_less", "a_constant_factor"),
    ),
    Exercise(
        id="transformer.beam_step",
        solution=beam_step,
        probes={"beam_step": ("b width", "b width", "b width")},
        trials=beam_trials,
        slips=(
            past_forgotten,
            log_p_multiplied,
            added_as_probabilities,
            least_likely_ways,
            beam_and_word_exchanged,
            divided_by_beams,
            places_not_split,
            last_step_only,
            one_word_for_each_beam,
            one_beam_for_each_word,
            best_words_of_each_beam,
            normalised_again,
            words_normalised_again,
            returned_as_probabilities,
            ways_of_the_whole_batch,
            fractions_of_beams,
            words_first_in_the_place,
            worst_of_the_best_first,
        ),
        hints=(
            "How likely is a way that goes on with a word, if you know how likely both are?",
            (
                "Logarithms add: b beam 1 + b beam words. Put beams and words into one axis,"
                " (beam word), and take the topk. How do you get beam and word back from the"
                " place in it?"
            ),
            (
                "every = log_p as b beam 1, plus next_log_p\n"
                "best, place = topk of every as b (beam word)\n"
                "beam = place // words, word = place % words"
            ),
        ),
        minutes=10,
        difficulty=3,
        otherwise=(step_by_sorting, step_by_stages),
        laws=("ways_are_the_best",),
    ),
    Exercise(
        id="transformer.attend_and_remember",
        solution=attend_and_remember,
        probes={
            "attend_and_remember": ("b head 1 d", "b head now d", "b head now d"),
        },
        trials=cache_trials,
        slips=(
            itself_not_seen,
            only_itself_seen,
            nothing_remembered,
            past_dropped,
            put_in_front,
            put_in_place_of_the_last,
            oldest_forgotten,
            keys_for_values,
            returned_in_another_order,
            not_scaled,
            query_remembered,
            newest_value_lost,
            values_asked,
            values_averaged,
            key_for_the_value,
            value_for_the_key,
            only_the_latest,
            divided_by_the_root_of_length,
            causal_mask_on_one_query,
        ),
        hints=(
            "Which keys may the newest token see? Is one of them its own?",
            (
                "Append k to the keys and v to the values, along the axis of tokens. Then the"
                " one query attends to all of them: nothing is hidden."
            ),
            (
                "keys = keys and then k, values = values and then v (torch.cat, axis -2)\n"
                "return attention_weights(q, keys) @ values, keys, values"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(step_by_torch, step_by_parts),
        laws=("cache_holds_all",),
    ),
]
