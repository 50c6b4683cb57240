"""The record of `transformer.transformer`."""

import math
from functools import reduce as fold

import torch

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.positional import sinusoidal
from solutions.transformer import (
    BEGIN,
    PAD,
    Transformer,
    padding,
)


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


EXERCISE = Exercise(
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
)
