"""The record of `transformer.decoder_layer`."""

import torch
from einops import rearrange

from attncourse.exercises.families import family, remade
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.scaled_dot_product import (
    causal_mask,
    padding_mask,
)
from solutions.transformer import (
    DecoderLayer,
)


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


EXERCISE = Exercise(
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
        remade(slip(order), recipe(other_order=order))
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
)
