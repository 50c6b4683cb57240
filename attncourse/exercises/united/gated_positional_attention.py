"""Attention by content and by place, with a gate between them."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.as_convolution import offset_encoding
from solutions.united.gated import GatedPositionalAttention


def gate_trials():
    def trial(name, h, w, strength, **sizes):
        n = h * w
        init = dict(dim=sizes["dim"], heads=sizes["head"], strength=strength)
        return Trial(name, sizes | dict(h=h, w=w, i=n, j=n), dict(x="b h w dim"), init)

    return (
        trial("with 4 heads", 3, 5, 0.5, b=2, dim=28, head=4),
        trial("with 9 heads", 5, 2, 1.0, b=3, dim=18, head=9),
        trial("with one head", 2, 3, 0.3, b=4, dim=5, head=1),
    )


# fmt: off
MIXTURES = (
    *often(
        wrong("gate_turned_round", "(1 - gate) * attention_weights(q, k) + gate * self.positional(x)",
              "gate * attention_weights(q, k) + (1 - gate) * self.positional(x)",
              "Your gate is turned round: at 1 a head goes by place, at 0 by content."),
        wrong("values_left_out", "split_heads(self.v(rearrange(x, \"b h w dim -> b (h w) dim\")), self.heads)",
              "split_heads(rearrange(x, \"b h w dim -> b (h w) dim\"), self.heads)",
              "The matrix of the values is missing: `self.v` starts as the identity, but learns."),
        wrong("last_matrix_forgotten", "y = self.proj(merge_heads(self.attention(x) @ v))", "y = merge_heads(self.attention(x) @ v)",
              "The last matrix is missing: `self.proj` mixes the heads."),
    ),
    wrong("place_alone", "(1 - gate) * attention_weights(q, k) + gate * self.positional(x)",
          "self.positional(x).expand(len(x), -1, -1, -1) + 0 * gate",
          "Your weights go by place alone. The gate mixes them with those by content."),
    wrong("content_alone", "(1 - gate) * attention_weights(q, k) + gate * self.positional(x)",
          "attention_weights(q, k) + 0 * gate",
          "Your weights go by content alone. The gate mixes them with those by place."),
    wrong("logits_mixed", "(1 - gate) * attention_weights(q, k) + gate * self.positional(x)",
          "((1 - gate) * q @ k.mT / q.shape[-1] ** 0.5"
          " + gate * self.positional(x).log()).softmax(-1)",
          "You mix the logits under one softmax. Here two softmaxes are mixed: content and place"
          " compete among themselves, and the gate decides between them."),
    wrong("added_not_mixed", "(1 - gate) * attention_weights(q, k)", "attention_weights(q, k)",
          "You add place to content: a row sums to more than 1. Content has the share 1 - g."),
    wrong("keys_and_queries_exchanged", "attention_weights(q, k)", "attention_weights(k, q)",
          "Queries and keys are exchanged: the first half of `qk` are the queries."),
)

PLACES = (
    wrong("place_without_softmax", "rearrange(self.pos_proj(offset), \"i j head -> head i j\").softmax(-1)",
          "rearrange(self.pos_proj(offset), \"i j head -> head i j\")",
          "The softmax over the places is missing."),
    wrong("softmax_over_queries", "\"i j head -> head i j\").softmax(-1)", "\"i j head -> head i j\").softmax(-2)",
          "Your softmax by place is over the queries. A query shares its weight among the keys j:"
          " the last axis."),
    wrong("offsets_turned_round", "\"i j head -> head i j\").softmax(-1)", "\"i j head -> head j i\").softmax(-1)",
          "Your offsets lead from the key to the query. `offset_encoding` has i j, query and key:"
          " keep the order."),
    wrong("height_and_width_exchanged", "offset_encoding(*x.shape[1:3])", "offset_encoding(*x.shape[2:0:-1])",
          "Height and width are exchanged: tokens are in order of rows."),
    wrong("shifts_fixed", "self.pos_proj(offset)",
          "offset @ shift_vectors(math.isqrt(self.heads), self.strength).to(offset).T",
          "You compute the shifts again from `strength`. `pos_proj` holds them, and learns."),
    wrong("strength_twice", "self.pos_proj(offset)", "(self.strength * self.pos_proj(offset))",
          "You multiply by `strength`. It stands in the weights of `pos_proj` already."),
    wrong("sigmoid_twice", "self.gates()", "self.gates().sigmoid()",
          "You take the sigmoid of the gate twice: `gates()` has taken it already."),
    wrong("map_transposed", "\"b (h w) dim -> b h w dim\", h=x.shape[1]", "\"b (w h) dim -> b h w dim\", h=x.shape[1]",
          "You put the tokens together in order of columns. They are in order of rows: (h w)."),
    wrong("heads_inside", "(split_heads(part, self.heads) for part in self.qk(tokens).chunk(2, -1))",
          "(rearrange(part, \"b n (d head) -> b head n d\", head=self.heads) for part in self.qk(tokens).chunk(2, -1))",
          "You take the heads out of q and k inside out: (head d), one head after the other, which"
          " `split_heads` does."),
    wrong("halves_in_each_head", "(split_heads(part, self.heads) for part in self.qk(tokens).chunk(2, -1))",
          "split_heads(self.qk(tokens), self.heads).chunk(2, -1)",
          "You split the heads first and halve each of them. The first half of all features are the"
          " queries, the second the keys: `chunk` comes first."),
    wrong("raw_gate", "self.gates()", "self.gating_param",
          "Your gate is λ itself, which can be any number. The gate is its sigmoid: `gates()`."),
)
# fmt: on


class GatedByHeads(GatedPositionalAttention):
    """A head at a time."""

    def positional(self, x):
        offset = offset_encoding(*x.shape[1:3]).to(self.pos_proj.weight)
        logits = offset @ self.pos_proj.weight.T + self.pos_proj.bias
        return torch.softmax(logits.movedim(-1, 0), dim=-1)

    def attention(self, x):
        q, k = self.qk(x.flatten(1, 2)).chunk(2, dim=-1)
        d = q.shape[-1] // self.heads
        place, maps = self.positional(x), []
        for head in range(self.heads):
            own = slice(head * d, (head + 1) * d)
            content = torch.softmax(q[..., own] @ k[..., own].mT / d**0.5, dim=-1)
            g = torch.sigmoid(self.gating_param[head])
            maps.append(content + g * (place[head] - content))
        return torch.stack(maps, dim=1)

    def forward(self, x):
        v = self.v(x.flatten(1, 2)).unflatten(-1, (self.heads, -1)).movedim(2, 1)
        y = (self.attention(x) @ v).movedim(1, 2).flatten(2)
        return F.linear(y, self.proj.weight, self.proj.bias).unflatten(1, x.shape[1:3])


class GatedByEinsum(GatedPositionalAttention):
    def positional(self, x):
        offset = offset_encoding(*x.shape[1:3]).to(self.pos_proj.weight)
        powers = torch.einsum("ijr,nr->nij", offset, self.pos_proj.weight)
        return F.softmax(powers + self.pos_proj.bias[:, None, None], dim=2)

    def attention(self, x):
        q, k = self.qk(x).flatten(1, 2).unflatten(-1, (2, self.heads, -1)).unbind(2)
        content = torch.einsum("bind,bjnd->bnij", q, k) / q.shape[-1] ** 0.5
        gate = self.gates()[:, None, None]
        place = self.positional(x)
        return torch.lerp(content.softmax(-1), place.expand(len(x), -1, -1, -1), gate)

    def forward(self, x):
        v = self.v(x).flatten(1, 2).unflatten(-1, (self.heads, -1))
        y = torch.einsum("bnij,bjnd->bind", self.attention(x), v)
        return self.proj(y.reshape(x.shape))


def heads_that_do_not_fit():
    def trial(name, said, **init):
        given = dict(dim=12, heads=4) | init
        return Trial(name, dict(b=2, h=3, w=5), dict(x="b h w 12"), given, says=said)

    return (
        trial("heads that do not divide dim", (12, 9), heads=9),
        trial("heads that are no square number", (6,), heads=6),
    )


EXERCISE = Exercise(
    id="united.gated_positional_attention",
    solution=GatedPositionalAttention,
    probes={
        "positional": "head i j",
        "attention": "b head i j",
        "forward": "b h w dim",
    },
    trials=gate_trials,
    blank=("positional", "attention", "forward"),
    slips=(*MIXTURES, *PLACES),
    hints=(
        "Two maps of weights, each with rows that sum to 1. How are they mixed so that the rows"
        " still do?",
        "With the shares 1 - g and g, a number for each head, as head 1 1. Content comes from the"
        " two halves of `self.qk`, cut into heads; place from `self.positional`, which has no b.",
        "positional: self.pos_proj of the offsets, as head i j, softmax over j\n"
        "attention: tokens b (h w) dim; q, k = halves of self.qk, split_heads each\n"
        "    (1 - g) attention_weights(q, k) + g self.positional(h, w)\n"
        "forward: self.attention(x) @ the values, merged, self.proj, as b h w dim",
    ),
    minutes=15,
    difficulty=3,
    otherwise=(GatedByHeads, GatedByEinsum),
    refuses=heads_that_do_not_fit,
    laws=("rows_sum_to_one", "examples_do_not_mix"),
    tied=("h w i j",),
)
