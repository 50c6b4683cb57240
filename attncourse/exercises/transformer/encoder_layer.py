"""The record of `transformer.encoder_layer`."""

import torch

from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import (
    causal_mask,
    padding_mask,
)
from solutions.transformer import (
    EncoderLayer,
)


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


EXERCISE = Exercise(
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
)
