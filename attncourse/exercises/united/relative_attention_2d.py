"""CoAtNet's relative attention: content, and a kernel's number for the offset."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.coatnet import RelativeAttention2d
from solutions.united.windows import relative_bias_index


def attention_trials():
    def trial(name, h, w, size, **sizes):
        n = h * w
        init = dict(dim=sizes["dim"], heads=sizes["head"], size=size)
        return Trial(name, sizes | dict(h=h, w=w, i=n, j=n), dict(x="b h w dim"), init)

    return (
        trial("on maps of its own size", 3, 5, (3, 5), b=2, dim=28, head=4),
        trial("on larger maps", 4, 7, (2, 3), b=5, dim=6, head=2),
        trial("on smaller maps", 2, 3, (5, 4), b=4, dim=10, head=5),
    )


# fmt: off
SCORES = (
    *often(
        wrong("kernel_forgotten", "(scores + rearrange(bias, \"i j head -> head i j\")).softmax(-1)", "scores.softmax(-1)",
              "The kernel is missing: your weights know nothing of places."),
        wrong("not_scaled", " / math.sqrt(q.shape[-1])", "",
              "Your scores are not divided by sqrt(d)."),
        wrong("kernel_turned_round", "\"i j head -> head i j\"", "\"i j head -> head j i\"",
              "Your kernel is turned round: its rows count query minus key, and i is the query."),
        wrong("last_matrix_forgotten", "self.proj(merge_heads(self.weights(q, k, *x.shape[1:3]) @ v))",
              "merge_heads(self.weights(q, k, *x.shape[1:3]) @ v)",
              "The last matrix is missing: `self.proj` mixes the heads."),
    ),
    wrong("kernel_after_the_softmax", "(scores + rearrange(bias, \"i j head -> head i j\")).softmax(-1)",
          "scores.softmax(-1) + rearrange(bias, \"i j head -> head i j\")",
          "You add the kernel to the weights: that is the paper's post-normalisation, and the rows"
          " no longer sum to 1. It stands inside the softmax."),
    wrong("kernel_scaled", "(scores + rearrange(bias, \"i j head -> head i j\"))",
          "(scores + rearrange(bias, \"i j head -> head i j\") / math.sqrt(q.shape[-1]))",
          "You divide the kernel by sqrt(d) too. Only the products are scaled."),
    wrong("scaled_by_dim", "math.sqrt(q.shape[-1])", "math.sqrt(self.proj.in_features)",
          "You divide by the root of dim. It is that of a head's width, d."),
    wrong("sides_exchanged_in_the_index", "relative_bias_index(height, width)", "relative_bias_index(width, height)",
          "Height and width are exchanged in the index of the kernel."),
    wrong("two_softmaxes", "(scores + rearrange(bias, \"i j head -> head i j\")).softmax(-1)",
          "(scores.softmax(-1) + rearrange(bias, \"i j head -> head i j\").softmax(-1)) / 2",
          "You take a softmax of the products and one of the kernel, and average both. There is one"
          " softmax, of their sum."),
    wrong("kernel_alone", "(scores + rearrange", "(0 * scores + rearrange",
          "Your weights go by place alone: that is a depthwise convolution. Content is missing."),
    wrong("kernel_for_its_own_size", "self.kernel(height, width)[index]",
          "self.relative_position_bias_table[index]",
          "You take the table as it is, also for maps of another size, where the offsets lie"
          " elsewhere in it. `self.kernel(height, width)` has it for this size."),
    wrong("keys_for_values", "*x.shape[1:3]) @ v", "*x.shape[1:3]) @ k",
          "You average the keys. The values come third: q, k, v."),
    wrong("softmax_over_queries", ".softmax(-1)", ".softmax(-2)",
          "Your softmax is over the queries. A query shares its weight among the keys j: the last"
          " axis."),
    wrong("map_transposed", "\"b (h w) dim -> b h w dim\", h=x.shape[1]", "\"b (w h) dim -> b h w dim\", h=x.shape[1]",
          "You put the tokens together in order of columns. They are in order of rows: (h w)."),
)
# fmt: on


class RelativeByEinsum(RelativeAttention2d):
    def weights(self, q, k, height, width):
        table = self.kernel(height, width).T
        place = table[:, relative_bias_index(height, width).to(q.device)]
        return F.softmax(
            torch.einsum("bnid,bnjd->bnij", q, k) * q.shape[-1] ** -0.5 + place, -1
        )

    def forward(self, x):
        _, _, v = self.project(x)
        y = torch.einsum("bnij,bnjd->bind", self.attention(x), v)
        return self.proj(y.reshape(x.shape))


class RelativeByHeads(RelativeAttention2d):
    """A head at a time; powers of content times powers of place."""

    def weights(self, q, k, height, width):
        index = relative_bias_index(height, width).to(q.device)
        kernel = self.kernel(height, width)
        maps = []
        for head in range(self.heads):
            logits = q[:, head] @ k[:, head].mT / q.shape[-1] ** 0.5 + kernel[index, head]
            powers = (logits - logits.amax(-1, keepdim=True)).exp()
            maps.append(powers / powers.sum(-1, keepdim=True))
        return torch.stack(maps, 1)

    def forward(self, x):
        weights, v = self.attention(x), self.project(x)[2]
        heads = [weights[:, head] @ v[:, head] for head in range(self.heads)]
        return self.proj(torch.cat(heads, -1)).unflatten(1, x.shape[1:3])


def heads_that_do_not_divide():
    init = dict(dim=12, heads=5, size=3)
    sizes = dict(b=2, h=3, w=4)
    return (
        Trial("heads that do not divide dim", sizes, dict(x="b h w 12"), init, says=(12, 5)),
    )


EXERCISE = Exercise(
    id="united.relative_attention_2d",
    solution=RelativeAttention2d,
    probes={"attention": "b head i j", "forward": "b h w dim"},
    trials=attention_trials,
    blank=("weights", "forward"),
    slips=SCORES,
    hints=(
        "What does this differ in from attention in a window that covers the whole map?",
        "In nothing but the mask, which it does not need. `self.kernel(height, width)` is a table for maps"
        " of this size; `relative_bias_index(height, width)` says which row of it belongs to i j.",
        "weights: q · k / sqrt(d)\n"
        '    plus the kernel at the index, "i j head -> head i j"; softmax over j\n'
        "forward: q, k, v of self.project(x); the weights @ v, merge_heads, self.proj, as b h w dim",
    ),
    minutes=10,
    difficulty=2,
    otherwise=(RelativeByEinsum, RelativeByHeads),
    refuses=heads_that_do_not_divide,
    laws=("rows_sum_to_one", "examples_do_not_mix"),
    tied=("h w i j",),
)
