"""Multi-head attention: several maps side by side, of x to itself or to a context."""

import math

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.multi_head.shared import WRITTEN_OUT
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.multi_head import MultiHeadAttention
from solutions.scaled_dot_product import causal_mask, padding_mask


def interleaved(x, heads):
    return rearrange(x, "b n (d head) -> b head n d", head=heads)


def reshaped(x, heads):
    return x.reshape(x.shape[0], heads, x.shape[1], -1)


def not_moved(x, heads):
    return rearrange(x, "b n (head d) -> b n head d", head=heads)


def first_piece(x, heads):
    return x[:, None, :, : x.shape[-1] // heads].expand(-1, heads, -1, -1)


# fmt: off
LAYERS = (
    *often(
        wrong("context_ignored", "context = x if context is None else context", "context = x",
              "The context is not used: you attend to x itself. Keys and values come from the"
              " context.",
              ("x if context is None else context), self", "x), self")),
        wrong("keys_by_query_layer", "self.key(context)", "self.query(context)",
              "The keys go through the layer of the queries. They have their own: `self.key`."),
        wrong("values_by_key_layer", "self.value(x", "self.key(x",
              "The values go through the layer of the keys. They have their own: `self.value`."),
    ),
    wrong("roles_swapped", "self.query(x)", "self.query(context)",
          "Queries come from the context and keys and values from x: it is the other way round.",
          ("self.key(context)", "self.key(x)"),
          ("x if context is None else context), self", "x), self")),
    wrong("queries_from_context", "self.query(x)", "self.query(context)",
          "The queries come from the context as well. They come from x."),
    wrong("keys_from_x", "self.key(context)", "self.key(x)",
          "The keys come from x. Keys and values both come from the context."),
    wrong("values_from_x", "x if context is None else context), self", "x), self",
          "The values come from x. Keys and values both come from the context."),
    wrong("query_and_key_layers_swapped", "self.query(x)", "self.key(x)",
          "The layers of queries and keys are swapped: `self.query` belongs to x, `self.key` to the"
          " context.",
          ("self.key(context)", "self.query(context)")),
    wrong("one_layer_for_all", "self.key(context)", "self.query(context)",
          "One layer makes queries, keys and values. Each has its own: `self.query`, `self.key`,"
          " `self.value`.",
          ("self.value(x", "self.query(x")),
    wrong("weights_not_transposed", "self.query(x)", "x @ self.query.weight + self.query.bias",
          "You project with x W. The weight of nn.Linear is stored transposed: x Wᵀ + bias. Call"
          " the layer, `self.query(x)`.",
          ("self.key(context)", "context @ self.key.weight + self.key.bias"),
          ("self.value(x if context is None else context)",
           "(x if context is None else context) @ self.value.weight + self.value.bias")),
    wrong("values_from_keys", "x if context is None else context), self",
          "self.key(x if context is None else context)), self",
          "The values are made of the projected keys. They are made of the context itself."),
    wrong("relu_after_projections", "self.query(x)", "self.query(x).relu()",
          "You apply a ReLU to the projections. They are linear.",
          ("self.key(context)", "self.key(context).relu()"),
          ("context is None else context), self", "context is None else context).relu(), self")),
    wrong("out_before_attention", "self.value(x if context is None else context)",
          "self.out(self.value(x if context is None else context))",
          "`self.out` is applied to the values, before attention. It comes last and mixes the"
          " heads.",
          ("self.out(merge", "(merge")),
)

SPLITS = (
    *often(
        wrong("split_features_outside", "split_heads(self.query", "interleaved(self.query",
              'You split with "(d head)": the features of a head lie far apart. The head is'
              ' outside: "(head d)".',
              ("split_heads(self.key", "interleaved(self.key"),
              ("split_heads(self.value", "interleaved(self.value")),
        wrong("features_outside_both_times", "split_heads(self.query", "interleaved(self.query",
              'You split and merge with "(d head)". That is consistent, but not what `split_heads`'
              ' does and not what weights from elsewhere expect: "(head d)".',
              ("split_heads(self.key", "interleaved(self.key"),
              ("split_heads(self.value", "interleaved(self.value"),
              ("merge_heads(self", "rearrange(self"), ("@ v", '@ v, "b head n d -> b n (d head)"')),
        wrong("split_by_raw_reshape", "split_heads(self.query", "reshaped(self.query",
              "You reshape b n dim to b head n d in one go: different tokens get mixed. Cut the"
              " last axis first, then move the heads forward.",
              ("split_heads(self.key", "reshaped(self.key"),
              ("split_heads(self.value", "reshaped(self.value")),
        wrong("reshaped_there_and_back", "split_heads(self.query", "reshaped(self.query",
              "You reshape b n dim to b head n d and back without moving an axis: different tokens"
              " get mixed. Cut the last axis first, then move the heads forward.",
              ("split_heads(self.key", "reshaped(self.key"),
              ("split_heads(self.value", "reshaped(self.value"),
              ("merge_heads(self", "(self"), ("@ v)", "@ v).reshape(x.shape)")),
        wrong("attends_across_heads", "split_heads(self.query", "not_moved(self.query",
              "Your heads attend to each other within a token: the scores are b n head head. Move"
              " the heads before the tokens, b head n d, so that tokens attend to tokens.",
              ("split_heads(self.key", "not_moved(self.key"),
              ("split_heads(self.value", "not_moved(self.value"),
              ("merge_heads(self", "(self"), ("@ v)", "@ v).flatten(-2)"),
              ('mask = rearrange(mask, "... i j -> ... 1 i j")', "mask = None")),
    ),
    wrong("heads_and_width_exchanged", "self.query(x), self.heads",
          "self.query(x), x.shape[-1] // self.heads",
          "Number and width of the heads are exchanged: you cut into pieces of `heads` features"
          " instead of into `heads` pieces.",
          ("self.key(context), self.heads", "self.key(context), x.shape[-1] // self.heads"),
          ("else context), self.heads", "else context), x.shape[-1] // self.heads")),
    wrong("first_piece_for_all", "split_heads(self.query", "first_piece(self.query",
          "Every head gets the same piece of the features. Each head gets its own.",
          ("split_heads(self.key", "first_piece(self.key"),
          ("split_heads(self.value", "first_piece(self.value")),
    wrong("keys_split_features_outside", "split_heads(self.key", "interleaved(self.key",
          'You split the keys with "(d head)", unlike the queries. The head is outside: "(head'
          ' d)".'),
    wrong("queries_split_features_outside", "split_heads(self.query", "interleaved(self.query",
          'You split the queries with "(d head)", unlike the keys. The head is outside: "(head'
          ' d)".'),
    wrong("values_split_features_outside", "split_heads(self.value", "interleaved(self.value",
          'You split the values with "(d head)". The head is outside: "(head d)".'),
    wrong("keys_split_by_raw_reshape", "split_heads(self.key", "reshaped(self.key",
          "You reshape the keys to b head n d in one go: different tokens get mixed. Cut the last"
          " axis first, then move the heads forward."),
    wrong("queries_split_by_raw_reshape", "split_heads(self.query", "reshaped(self.query",
          "You reshape the queries to b head n d in one go: different tokens get mixed. Cut the"
          " last axis first, then move the heads forward."),
    wrong("values_split_by_raw_reshape", "split_heads(self.value", "reshaped(self.value",
          "You reshape the values to b head n d in one go: different tokens get mixed. Cut the last"
          " axis first, then move the heads forward."),
    wrong("one_map_for_all_heads", "split_heads(self.query(x), self.heads)",
          'repeat(self.query(x), "b n dim -> b head n dim", head=self.heads)',
          "All heads have one map, made of the whole width: queries and keys are not split. Each"
          " head compares its own d features.",
          ("split_heads(self.key(context), self.heads)",
           'repeat(self.key(context), "b n dim -> b head n dim", head=self.heads)')),
)

MIXTURES = (
    wrong("weights_transposed", "mask) @ v", "mask).mT @ v",
          "You use the weights transposed: each key then mixes by what the queries gave it. The"
          " output is weights times v."),
    wrong("values_of_first_head", "@ v", "@ v[:, :1]",
          "All heads mix the values of the first head. Each head has its own."),
    wrong("last_head_for_all", "return self.out(merge_heads(self.attention(x, context, mask) @ v))",
          "y = self.attention(x, context, mask) @ v\n"
          "return self.out(y[:, -1].repeat(1, 1, self.heads))",
          "Every head gives what the last one found. Each gives its own."),
    wrong("plain_mean", "self.attention(x, context, mask) @ v",
          "v.mean(-2, keepdim=True).expand(-1, -1, x.shape[1], -1)",
          "Your output is the plain mean of the values: the weights play no part."),
)

MERGES = (
    *often(
        wrong("merge_features_outside", "merge_heads(self", "rearrange(self",
              'You merge with "(d head)": the features of the heads get interleaved. What was split'
              ' as "(head d)" is merged as "(head d)".',
              ("@ v", '@ v, "b head n d -> b n (d head)"')),
        wrong("merge_by_raw_reshape", "merge_heads(self", "(self",
              "You merge by a bare reshape of b head n d: different tokens get mixed. Move the"
              " heads behind the tokens first.",
              ("@ v)", "@ v).reshape(x.shape)")),
    ),
    wrong("folded_and_unfolded_otherwise", "merge_heads(self.attention(x, context, mask) @ v)",
          'rearrange(rearrange(self.attention(x, context, mask) @ v, "b head n d -> (head b) n d"),'
          '\n          "(b head) n d -> b n (head d)", head=self.heads)',
          "Heads are folded into the batch as (head b) and unfolded as (b head): examples and heads"
          " get mixed. Unfold as you folded."),
    wrong("unfolded_and_folded_otherwise", "merge_heads(self.attention(x, context, mask) @ v)",
          'rearrange(rearrange(self.attention(x, context, mask) @ v, "b head n d -> (b head) n d"),'
          '\n          "(head b) n d -> b n (head d)", head=self.heads)',
          "Heads are folded into the batch as (b head) and unfolded as (head b): examples and heads"
          " get mixed. Unfold as you folded."),
    wrong("merge_backwards", "self.attention(x, context, mask) @ v",
          "(self.attention(x, context, mask) @ v).flip(1)",
          "You merge the heads in reverse order. Head 0 comes first."),
    wrong("merge_to_their_mean", "merge_heads(self.attention(x, context, mask) @ v)",
          "(self.attention(x, context, mask) @ v).mean(1).repeat(1, 1, self.heads)",
          "You average the heads instead of putting them side by side."),
    wrong("merge_to_their_sum", "merge_heads(self.attention(x, context, mask) @ v)",
          "(self.attention(x, context, mask) @ v).sum(1).repeat(1, 1, self.heads)",
          "You sum the heads instead of putting them side by side."),
)

ENDS = (
    *often(
        wrong("no_output_projection", "self.out(merge", "(merge",
              "The last projection is missing: `self.out` mixes what the heads have found."),
        wrong("residual_added", "return self.out", "return x + self.out",
              "You add the input (a residual connection). That belongs to the layer around"
              " attention, in chapter 04."),
    ),
    wrong("residual_and_norm", "return self.out", "return F.layer_norm(x + self.out",
          "You add the input and normalise. Both belong to the layer around attention, in chapter"
          " 04.",
          ("@ v))", "@ v)), x.shape[-1:])")),
    wrong("bias_once_per_head", "return self.out",
          "return (self.heads - 1) * self.out.bias + self.out",
          "The bias of `self.out` is added once for every head. Merge the heads first, then call"
          " the layer once."),
    wrong("empty_rows_zero_at_the_end", "return self.out(merge",
          "seen = torch.ones(1, 1, dtype=torch.bool) if mask is None else mask\n"
          "return seen.any(-1, keepdim=True) * self.out(merge",
          "A query that may attend to nothing gives 0 at the very end. Its weights are 0, so"
          " `self.out` gives its bias."),
)
# fmt: on


def masks(sizes):
    """A padding mask, and one with a query that may attend to nothing."""
    b, i, j = sizes["b"], sizes["i"], sizes["j"]
    some = torch.rand(b, i, j, generator=torch.Generator().manual_seed(3)) < 0.6
    some[:, :, 0] |= ~some.any(-1)
    some[1, 1] = False
    return Given("b 1 j", padding_mask(torch.arange(b) + 2, j)), Given("b i j", some)


def attention_trials():
    wide = dict(x="b i (head d)", context="b j (head d)")
    alone = dict(b=2, n=5, head=3, d=4)
    cross = dict(b=3, i=5, j=4, head=2, d=7)
    square = dict(b=2, n=7, head=5, d=3)
    causal = dict(b=3, n=4, head=2, d=5)
    padding, empty = masks(cross)

    def trial(name, sizes, inputs):
        init = dict(dim=sizes["head"] * sizes["d"], heads=sizes["head"])
        return Trial(name, sizes, inputs, init)

    triangle = Given("n n", causal_mask(4, 4))
    same_number = dict(x="b n (head d)", context="b n (head d)")
    return (
        trial("where x attends to itself", alone, dict(x="b n (head d)")),
        trial("where x attends to a context", cross, wide),
        trial("where x attends to a context of as many tokens", square, same_number),
        trial(
            "with a causal mask", causal, dict(x="b n (head d)", context=None, mask=triangle)
        ),
        trial("with a padding mask, b 1 j", cross, wide | dict(mask=padding)),
        trial("with a query that may attend to nothing", cross, wide | dict(mask=empty)),
    )


class HeadByHead(MultiHeadAttention):
    """One head after the other, each with its own rows of the projections."""

    def one(self, layer, x, head):
        width = layer.out_features // self.heads
        rows = slice(head * width, (head + 1) * width)
        return x @ layer.weight[rows].mT + layer.bias[rows]

    def attention(self, x, context=None, mask=None):
        context = x if context is None else context
        maps = []
        for head in range(self.heads):
            q, k = self.one(self.query, x, head), self.one(self.key, context, head)
            scores = torch.einsum("bid,bjd->bij", q, k) / q.shape[-1] ** 0.5
            if mask is not None:
                scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
            weights = scores.softmax(-1)
            maps.append(weights if mask is None else weights * mask)
        return torch.stack(maps, dim=1)

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        maps = self.attention(x, context, mask)
        found = [maps[:, h] @ self.one(self.value, context, h) for h in range(self.heads)]
        return self.out(torch.cat(found, dim=-1))


class HeadsInTheBatch(MultiHeadAttention):
    """Heads folded into the batch, heads outside: (head b) n d."""

    def fold(self, x):
        return rearrange(x, "b n (head d) -> (head b) n d", head=self.heads)

    def attention(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k = self.fold(self.query(x)), self.fold(self.key(context))
        scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
        if mask is not None:
            mask = mask.expand(x.shape[0], *scores.shape[1:]).repeat(self.heads, 1, 1)
            scores = scores.masked_fill(mask.logical_not(), float("-inf"))
        return rearrange(
            scores.softmax(-1).nan_to_num(0), "(head b) i j -> b head i j", head=self.heads
        )

    def forward(self, x, context=None, mask=None):
        maps = rearrange(self.attention(x, context, mask), "b head i j -> (head b) i j")
        y = torch.bmm(maps, self.fold(self.value(x if context is None else context)))
        return self.out(rearrange(y, "(head b) i d -> b i (head d)", head=self.heads))


class Fused(MultiHeadAttention):
    """Views and torch's fused attention; the map is read off with values that are the
    identity."""

    def attention(self, x, context=None, mask=None):
        n = (x if context is None else context).shape[1]
        eye = torch.eye(n, dtype=x.dtype, device=x.device).expand(len(x), self.heads, n, n)
        return self.fused(x, context, mask, eye)

    def fused(self, x, context, mask, v):
        context = x if context is None else context
        q = self.query(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        k = self.key(context).view(*context.shape[:2], self.heads, -1).transpose(1, 2)
        mask = mask if mask is None or mask.ndim == 2 else mask[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        v = self.value(source).view(*source.shape[:2], self.heads, -1).transpose(1, 2)
        y = self.fused(x, context, mask, v)
        return self.out(y.transpose(1, 2).reshape(x.shape))


class Einsums(MultiHeadAttention):
    """Weights with an axis of heads, everything in einsums."""

    def attention(self, x, context=None, mask=None):
        context = x if context is None else context
        q = rearrange(self.query(x), "b i (h d) -> b i h d", h=self.heads)
        k = rearrange(self.key(context), "b j (h d) -> b j h d", h=self.heads)
        scores = einsum(q, k, "b i h d, b j h d -> b h i j") / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(-3), -1e30)
        weights = torch.softmax(scores, -1)
        return weights if mask is None else weights * mask.unsqueeze(-3)

    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        v = rearrange(self.value(source), "b j (h d) -> b j h d", h=self.heads)
        y = einsum(self.attention(x, context, mask), v, "b h i j, b j h d -> b i h d")
        return self.out(rearrange(y, "b i h d -> b i (h d)"))


def undivided_widths():
    init = dict(dim=7, heads=3)
    return (Trial("dim = 7 and 3 heads", dict(b=2, n=5), dict(x="b n 7"), init),)


EXERCISE = Exercise(
    id="multi_head.multi_head_attention",
    solution=MultiHeadAttention,
    probes={"attention": "b head i j", "forward": "b i (head d)"},
    trials=attention_trials,
    blank=("attention", "forward"),
    slips=(*LAYERS, *SPLITS, *WRITTEN_OUT, *MIXTURES, *MERGES, *ENDS),
    hints=(
        (
            "Which of x and context are queries, keys and values made of, and what is the"
            " context when none is given?"
        ),
        (
            "Project, split the heads, and `attention_weights` does the rest: it takes any"
            " leading axes. A mask lacks the axis of the heads; give it one of length 1."
        ),
        (
            "attention: context = x if there is none\n"
            "    q = split_heads(query(x)), k = split_heads(key(context))\n"
            '    mask: "... i j -> ... 1 i j", if there is one\n'
            "    return attention_weights(q, k, mask)\n"
            "forward: v = split_heads(value(context))\n"
            "    return out(merge_heads(attention @ v))"
        ),
    ),
    minutes=20,
    difficulty=4,
    otherwise=(HeadByHead, HeadsInTheBatch, Fused, Einsums),
    laws=(
        "masked_keys_do_not_matter",
        "rows_sum_to_one",
        "scale_is_right",
        "examples_do_not_mix",
        "one_step_more_or_less",
        "a_constant_factor",
    ),
    ready=("torch.nn.MultiheadAttention", "torch.nn.functional.multi_head_attention_forward"),
    refuses=undivided_widths,
)
