"""An encoder layer: self-attention and a feed-forward network, each in a residual connection."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import causal_mask, padding_mask
from solutions.transformer import EncoderLayer


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


READ = "self.around_attention(x, lambda x: self.self_attention(x, mask=mask))"
THINK = "self.around_feed_forward(x, self.feed_forward)"

# fmt: off
WAYS = (
    wrong("thinks_before_it_reads", READ, THINK,
          "The feed-forward network comes first. Attention comes first.", (THINK, READ)),
    wrong("ways_exchanged", "self.around_attention(", "self.around_feed_forward(",
          "The two residual connections are exchanged: `around_attention` belongs to the attention. Each"
          " has a norm of its own.",
          ("self.around_feed_forward(", "self.around_attention(")),
    wrong("one_way_for_both", "self.around_feed_forward(", "self.around_attention(",
          "You use `around_attention` twice. Each of the two steps has its own, with its own"
          " norm."),
    wrong("last_way_for_both", "self.around_attention(", "self.around_feed_forward(",
          "You use `around_feed_forward` twice. Each of the two steps has its own, with its own"
          " norm."),
    wrong("no_ways_around", READ, "self.self_attention(x, mask=mask)",
          "There is no residual connection and no norm: use `around_attention` and"
          " `around_feed_forward`.",
          (THINK, "self.feed_forward(x)")),
    wrong("side_by_side_in_one_way", "mask=mask)", "mask=mask) + self.feed_forward(x)",
          "Attention and the network stand side by side in one residual connection. The network comes"
          " after attention, with a connection and a norm of its own: `around_feed_forward`.",
          (THINK, "x")),
    wrong("both_in_one_way", "self.self_attention(x, mask=mask)",
          "self.feed_forward(self.self_attention(x, mask=mask))",
          "Attention and the network stand in one residual connection. Each has its own: the sum and the norm"
          " come after attention, and again after the network.",
          (THINK, "x")),
    wrong("side_by_side", "x = self.around", "read = self.around",
          "Attention and the feed-forward network both get the layer's input. The network gets"
          " what has become of it after attention.",
          (THINK, f"read + {THINK} - x")),
)

MASKS = (
    wrong("mask_not_passed_on", "lambda x: self.self_attention(x, mask=mask)",
          "self.self_attention",
          "The mask is not passed on to the attention."),
    wrong("mask_turned_round", "mask=mask", "mask=None if mask is None else ~mask",
          "The mask is inverted. It is True where a token may attend, as `MultiHeadAttention`"
          " wants it. (Torch's layers want the opposite.)"),
    wrong("mask_with_rows_for_columns", "mask=mask", "mask=None if mask is None else mask.mT",
          "You use the mask transposed. Its rows are queries and its columns keys: pass it on as"
          " it comes."),
    wrong("causal_encoder", "x = self.around",
          "causal = causal_mask(x.shape[1], x.shape[1])\n"
          "mask = causal if mask is None else mask & causal\n"
          "x = self.around",
          "You hide later tokens. An encoder reads the whole sentence."),
)

GIVEN = (
    wrong("normed_before_as_well", "self.self_attention(x,",
          "self.self_attention(self.around_attention.norm(x),",
          "You norm what attention is given. `around_attention` has done with norms: before with"
          " pre-norm, after with post-norm."),
    wrong("reads_what_is_not_normed", "lambda x: self.self_attention(x, mask=mask)",
          "lambda given: self.self_attention(given, x, mask)",
          "With pre-norm keys and values are made of x before the norm: inside the function you"
          " use the x from outside. All three come from what the function is given."),
    wrong("reads_the_outer_x", "lambda x:", "lambda given:",
          "With pre-norm queries, keys and values are made of x before the norm: inside the"
          " function you use the x from outside. Use what the function is given."),
    wrong("network_gets_the_input", "x = self.around", "read = self.around",
          "The network is given the layer's input: inside the function you use an x from outside."
          " Use what the function is given.",
          (THINK, "self.around_feed_forward(read, lambda given: self.feed_forward(x))")),
    wrong("network_gets_what_is_not_normed", ", self.feed_forward)",
          ", lambda given: self.feed_forward(x))",
          "With pre-norm the network is given x before the norm: inside the function you use the x"
          " from outside. Use what the function is given."),
    wrong("outer_x_both_times", "lambda x:", "lambda given:",
          "With pre-norm both functions use the x from outside, before the norm. Use what the"
          " function is given.",
          (", self.feed_forward)", ", lambda given: self.feed_forward(x))")),
)

SUMS = (
    wrong("added_again", "x = self.around", "x = x + self.around",
          "You add x to what `around_attention` gives. It has added x already."),
    wrong("read_added_at_the_end", "return self.around", "return x + self.around",
          "You add x to what `around_feed_forward` gives. It has added x already."),
    wrong("normed_once_more", THINK, f"self.around_feed_forward.norm({THINK})",
          "You normalise once more at the end. The residual connections have their norms already."),
)
# fmt: on


class LayerByLayer(EncoderLayer):
    def forward(self, x, mask=None):
        one, two = self.around_attention, self.around_feed_forward
        y = one.norm(x) if one.pre else x
        y = x + one.dropout(self.self_attention(y, y, mask))
        y = y if one.pre else one.norm(y)
        z = two.dropout(self.feed_forward(two.norm(y) if two.pre else y))
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
    slips=(*WAYS, *MASKS, *GIVEN, *SUMS),
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
    ready=("torch.nn.TransformerEncoderLayer",),
)
