"""The whole Transformer: what encodes the source, and what decodes the target."""

from functools import reduce as fold

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import PAD, Transformer, padding


def model_trials():
    def trial(name, norm, rows, **sizes):
        source, target = (torch.tensor(words) for words in rows)
        init = dict(
            source_words=sizes["u"],
            target_words=sizes["w"],
            dim=sizes["head"] * sizes["d"],
            heads=sizes["head"],
            hidden=sizes["m"],
            layers=1 if norm == "post" else 2,
            norm=norm,
            dropout=0.0,
        )
        inputs = dict(source=Given("b j", source), target=Given("b i", target))
        return Trial(name, sizes | dict(b=2), inputs, init)

    one = [[3, 7, 4, 4, 8], [5, 3, 6, 0, 0]], [[1, 9, 4, 10], [1, 3, 2, 0]]
    other = [[1, 3, 2, 0], [6, 5, 4, 3]], [[1, 5, 7, 5, 3, 8], [1, 4, 3, 2, 0, 0]]
    return (
        trial("with post-norm", "post", one, u=13, w=11, j=5, i=4, head=3, d=7, m=9),
        trial("with pre-norm", "pre", other, u=7, w=9, j=4, i=6, head=2, d=5, m=3),
    )


# fmt: off
MASKS = (
    wrong("source_padding_seen", "layer(x, padding(source))", "layer(x)",
          "The encoder attends to padding: its layers get no mask. Give them `padding(source)`."),
    wrong("memory_padding_seen", "layer(x, memory, padding(source))", "layer(x, memory)",
          "The decoder attends to padding in the memory: its layers get no mask. Give them"
          " `padding(source)`."),
    wrong("padding_seen", "layer(x, padding(source))", "layer(x)",
          "Padding is attended to, in the encoder and from the decoder: no layer gets a mask. Give"
          " them `padding(source)`.",
          ("layer(x, memory, padding(source))", "layer(x, memory)")),
    wrong("source_mask_turned_round", "layer(x, padding", "layer(x, ~padding",
          "The encoder's mask is inverted: it is True where there is a word, and you let it see the"
          " padding alone. (Torch's layers want the opposite.)"),
    wrong("padding_mask_turned_round", "memory, padding", "memory, ~padding",
          "The decoder's mask is inverted: it is True where there is a word, and you let it see the"
          " padding alone. (Torch's layers want the opposite.)"),
    wrong("all_but_words_hidden", "layer(x, padding(source))", "layer(x, (source > 2)[:, None])",
          "You hide the words 1 and 2 of the source as well, which begin and end a text. Only 0 is"
          " padding: `padding(source)`.",
          ("layer(x, memory, padding(source))", "layer(x, memory, (source > 2)[:, None])")),
    wrong("target_padding_hidden", "memory, padding(source)",
          "memory, padding(source) & (target != PAD)[:, :, None]",
          "Where the target is padding you hide the whole memory. The mask of the memory says what"
          " is padding in the source alone: `padding(source)`."),
)

WORDS = (
    wrong("bare_source", "self.embed(source, self.source)", "self.source(source)",
          "Source words enter without scale and position: use `self.embed(source, self.source)`,"
          " not the embedding alone."),
    wrong("bare_target", "self.embed(target, self.target)", "self.target(target)",
          "Target words enter without scale and position: use `self.embed(target, self.target)`,"
          " not the embedding alone."),
    wrong("encoded_from_one", "source, self.source", "source, self.source, first=1",
          "Positions of the source begin at 1. They begin at 0: `self.embed(source,"
          " self.source)`."),
    wrong("decoded_from_one", "target, self.target", "target, self.target, first=1",
          "Positions of the target begin at 1. They begin at 0: `self.embed(target,"
          " self.target)`."),
    wrong("begun_at_one", "source, self.source", "source, self.source, first=1",
          "Positions begin at 1. They begin at 0: `self.embed` without `first`.",
          ("target, self.target", "target, self.target, first=1")),
    wrong("positions_added_twice", "x = self.embed(source, self.source)",
          "x = self.embed(source, self.source)\n"
          "x = x + sinusoidal(torch.arange(x.shape[1]).to(x), x.shape[-1])",
          "You add positions to what `self.embed` gives. It has added them already."),
    wrong("source_scaled_twice", "self.embed(source, self.source)",
          "self.embed(source, self.source) * math.sqrt(self.source.embedding_dim)",
          "You multiply what `self.embed` gives by sqrt(dim). It has done that already."),
    wrong("target_moved", "self.embed(target, self.target)",
          "self.embed(F.pad(target[:, :-1], (1, 0), value=BEGIN), self.target)",
          "You move the target by one word inside. It comes with BEGIN already, as the decoder is"
          " to see it."),
)

LAYERS = (
    wrong("first_encoder_layer_for_all", "= layer(x, padding", "= self.encoder[0](x, padding",
          "The encoder applies its first layer again and again. Each layer has its own weights."),
    wrong("first_decoder_layer_for_all", "= layer(x, memory", "= self.decoder[0](x, memory",
          "The decoder applies its first layer again and again. Each layer has its own weights."),
    wrong("only_last_encoder_layer", "x = layer(x, padding", "y = layer(x, padding",
          "Every encoder layer is given the embedded words, so only the last one counts. Each takes"
          " what the last one gave.",
          ("self.encoder_norm(x)", "self.encoder_norm(y)")),
    wrong("only_last_decoder_layer", "x = layer(x, memory", "y = layer(x, memory",
          "Every decoder layer is given the embedded words, so only the last one counts. Each takes"
          " what the last one gave.",
          ("self.decoder_norm(x)", "self.decoder_norm(y)")),
    wrong("norm_inside_the_loop", "x = layer(x, padding(source))",
          "x = self.encoder_norm(layer(x, padding(source)))",
          "`encoder_norm` stands inside the loop, after every layer. It comes once, at the end.",
          ("return self.encoder_norm(x)", "return x")),
    wrong("norm_inside_the_other_loop", "x = layer(x, memory, padding(source))",
          "x = self.decoder_norm(layer(x, memory, padding(source)))",
          "`decoder_norm` stands inside the loop, after every layer. It comes once, at the end.",
          ("self.out(self.decoder_norm(x))", "self.out(x)")),
)

LOGITS = (
    wrong("logits_not_made", "self.out(self.decoder_norm(x))", "self.decoder_norm(x)",
          "`out` is missing: you return vectors of width dim. Their products with the words are the"
          " logits."),
    wrong("shares_for_logits", "self.out(self.decoder_norm(x))",
          "self.out(self.decoder_norm(x)).softmax(-1)",
          "You return probabilities, after a softmax. The loss wants logits and does that itself."),
)
# fmt: on


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


def unlike_vocabularies():
    init = dict(source_words=9, target_words=11, dim=6, heads=2, hidden=5, layers=1, share=True)
    words = torch.tensor([[3, 7, 4], [5, 3, 0]])
    inputs = dict(source=Given("b j", words), target=Given("b j", words))
    return (Trial("a matrix shared by 9 and 11 words", dict(b=2, j=3), inputs, init),)


EXERCISE = Exercise(
    id="transformer.transformer",
    solution=Transformer,
    probes={"encode": "b j (head d)", "forward": "b i w"},
    trials=model_trials,
    blank=("encode", "decode"),
    slips=(*MASKS, *WORDS, *LAYERS, *LOGITS),
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
    ready=(
        "torch.nn.Transformer",
        "torch.nn.TransformerEncoder",
        "torch.nn.TransformerDecoder",
    ),
    refuses=unlike_vocabularies,
)
