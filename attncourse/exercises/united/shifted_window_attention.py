"""Attention in windows that are shifted: roll, attend, roll back."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.windows import ShiftedWindowAttention, merge_windows, split_windows


def attention_trials():
    def trial(name, h, w, window, shift, **sizes):
        high, wide = -(-h // window), -(-w // window)
        sizes |= dict(h=h, w=w, win=high * wide, i=window**2, j=window**2)
        init = dict(dim=sizes["dim"], heads=sizes["head"], window=window, shift=shift)
        return Trial(name, sizes, dict(x="b h w dim"), init)

    return (
        trial("shifted by 1, windows of 3", 6, 15, 3, 1, b=7, dim=20, head=5),
        trial("not shifted, windows of 2", 4, 10, 2, 0, b=3, dim=6, head=2),
        trial("on a map that windows do not fill", 5, 7, 3, 2, b=4, dim=10, head=2),
        trial("where one window covers the rows", 2, 11, 3, 1, b=5, dim=8, head=4),
    )


# fmt: off
ROLLS = (
    *often(
        wrong("not_rolled", ".roll((-down, -across), (1, 2))", "",
              "The windows are not shifted: roll the padded map up and to the left by `shifts`"
              " before you cut it. (The mask hides what would have been rolled.)"),
        wrong("not_rolled_back", "y = y.roll(self.shifts(h, w), (1, 2))\n", "",
              "You do not roll back: each token gets what a token further down and to the right"
              " has read."),
        wrong("rolled_down", "(-down, -across)", "(down, across)",
              "You roll down and to the right. The mask is made for a roll up and to the left:"
              " negative shifts."),
        wrong("last_matrix_forgotten", "self.proj(y[:, :h, :w])", "y[:, :h, :w]",
              "The last matrix is missing: `self.proj` mixes the heads."),
    ),
    wrong("rolled_on", "y = y.roll(self.shifts(h, w), (1, 2))", "y = y.roll([-n for n in self.shifts(h, w)], (1, 2))",
          "You roll once more in the same direction. Rolling back is with the opposite sign."),
    wrong("padding_cut_off_first", "y = y.roll(self.shifts(h, w), (1, 2))", "y = y[:, :h, :w].roll(self.shifts(h, w), (1, 2))",
          "You cut the padding off before you roll back: then tokens of the other edge are lost. Roll"
          " back first, then cut."),
    wrong("rolled_before_padding", "self.padded(x).roll((-down, -across), (1, 2))", "self.padded(x.roll((-down, -across), (1, 2)))",
          "You roll before you pad: the padding then lies elsewhere than `may` says. Pad first, then"
          " roll."),
    wrong("always_rolled", "down, across = self.shifts(*x.shape[1:3])\nreturn split_windows", "down = across = self.shift\nreturn split_windows",
          "You always roll by `shift`. Where one window covers the map there is nothing to connect:"
          " `self.shifts(height, width)` has 0 there."),
    wrong("rolled_across_alone", ".roll((-down, -across), (1, 2))", ".roll(-across, 2)",
          "You roll the columns alone. Rows are rolled too: axes 1 and 2."),
    wrong("axes_exchanged", ".roll((-down, -across), (1, 2))", ".roll((-down, -across), (2, 1))",
          "You roll rows by the shift of the columns: (rows, columns) go with the axes (1, 2)."),
)

SCORES = (
    *often(
        wrong("bias_forgotten", " + self.bias()", "",
              "The relative bias is missing: the heads do not know where a token lies."),
        wrong("not_scaled", " / math.sqrt(q.shape[-1])", "",
              "Your scores are not divided by sqrt(d)."),
        wrong("bias_scaled", "scores / math.sqrt(q.shape[-1]) + self.bias()",
              "(scores + self.bias()) / math.sqrt(q.shape[-1])",
              "You divide the bias by sqrt(d) too. It is added afterwards (eq. 4)."),
    ),
    wrong("not_masked", "masked_softmax(scores, rearrange(may, \"win i j -> win 1 i j\"))", "scores.softmax(-1)",
          "Your tokens see all of their window: opposite edges of the map, and the padding. Use"
          " `may`."),
    wrong("masked_afterwards", "masked_softmax(scores, rearrange(may, \"win i j -> win 1 i j\"))",
          "scores.softmax(-1) * rearrange(may, \"win i j -> win 1 i j\")",
          "You mask after the softmax: the rows no longer sum to 1. Hidden keys are left out before"
          " it, as `masked_softmax` does."),
    wrong("hidden_get_0", "masked_softmax(scores, rearrange(may, \"win i j -> win 1 i j\"))",
          "(scores * rearrange(may, \"win i j -> win 1 i j\")).softmax(-1)",
          "Hidden keys get a score of 0, and so a weight. Their score is minus infinity: use"
          " `masked_softmax`."),
    wrong("bias_transposed", "self.bias()", "self.bias().mT",
          "Your bias is transposed: it has i j, query and key, as the scores have."),
    wrong("scaled_by_dim", "math.sqrt(q.shape[-1])", "math.sqrt(self.proj.in_features)",
          "You divide by the root of dim. It is that of a head's width, d."),
    wrong("keys_for_queries", "einsum(q, k,", "einsum(k, q,",
          "Queries and keys are exchanged: i is the query."),
    wrong("heads_inside", "b win i (head d)\"", "b win i (d head)\"",
          "You put the heads together inside out: (head d), one head after the other."),
)
# fmt: on


class WindowsByLoops(ShiftedWindowAttention):
    """A window at a time."""

    def windows(self, x):
        shift = self.shifts(x.shape[1], x.shape[2])
        x = torch.roll(self.padded(x), shifts=[-n for n in shift], dims=(1, 2))
        return split_windows(x, self.window)

    def weights(self, q, k, may):
        maps = []
        for win in range(q.shape[1]):
            scores = q[:, win] @ k[:, win].mT * q.shape[-1] ** -0.5 + self.bias()
            scores = scores.masked_fill(~may[win], float("-inf"))
            nothing = ~may[win].any(-1, keepdim=True)
            maps.append(scores.masked_fill(nothing, 0).softmax(-1).masked_fill(nothing, 0))
        return torch.stack(maps, 1)

    def forward(self, x):
        weights, v = self.attention(x), self.project(self.windows(x))[2]
        y = torch.einsum("bwhij,bwhjd->bwihd", weights, v).flatten(-2)
        y = merge_windows(y, *self.padded(x).shape[1:3])
        y = torch.roll(y, shifts=self.shifts(x.shape[1], x.shape[2]), dims=(1, 2))
        return F.linear(y, self.proj.weight, self.proj.bias)[:, : x.shape[1], : x.shape[2]]


class WindowsByFused(ShiftedWindowAttention):
    """Torch's own attention, with bias and mask added."""

    def windows(self, x):
        down, across = self.shifts(*x.shape[1:3])
        x = self.padded(x)
        y = torch.cat([x[:, down:], x[:, :down]], 1)
        return split_windows(torch.cat([y[:, :, across:], y[:, :, :across]], 2), self.window)

    def weights(self, q, k, may):
        may = rearrange(may, "win i j -> win 1 i j")
        scores = (q / q.shape[-1] ** 0.5) @ k.mT + self.bias()
        scores = scores.masked_fill(~may, -1e30)
        powers = (scores - scores.amax(-1, keepdim=True)).exp() * may
        return powers / powers.sum(-1, keepdim=True).clamp(min=1e-30)

    def forward(self, x):
        h, w = x.shape[1:3]
        q, k, v = self.project(self.windows(x))
        may = rearrange(self.may(h, w), "win i j -> win 1 i j").to(x.device)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.bias().masked_fill(~may, -1e30)
        )
        y = rearrange(y, "b win head i d -> b win i (head d)")
        y = self.proj(merge_windows(y, *self.padded(x).shape[1:3]))
        return y.roll(self.shifts(h, w), (1, 2))[:, :h, :w]


def what_does_not_fit():
    def trial(name, said, **init):
        given = dict(dim=8, heads=4, window=3, shift=1) | init
        return Trial(name, dict(b=2, h=6, w=9), dict(x="b h w 8"), given, says=said)

    return (
        trial("heads that do not divide dim", (8, 3), heads=3),
        trial("a shift of a window", (3,), shift=3),
    )


EXERCISE = Exercise(
    id="united.shifted_window_attention",
    solution=ShiftedWindowAttention,
    probes={
        "windows": "b win i dim",
        "attention": "b win head i j",
        "forward": "b h w dim",
    },
    trials=attention_trials,
    blank=("windows", "weights", "forward"),
    slips=(*ROLLS, *SCORES),
    hints=(
        "In which order come: pad, roll, cut into windows, attend, put together, roll back, cut"
        " off the padding?",
        "In this order. `x.roll((-down, -across), (1, 2))` rolls up and to the left. The scores are"
        " q · k / sqrt(d) plus `self.bias()`; `masked_softmax` with `self.may(h, w)`, which is win"
        " i j and has no axis for heads.",
        "windows: split_windows of self.padded(x), rolled by minus self.shifts(h, w)\n"
        "weights: q · k / sqrt(d) + self.bias()\n"
        '    masked_softmax with may as "win i j -> win 1 i j"\n'
        "forward: q, k, v of self.project(self.windows(x)); the weights @ v\n"
        "    heads side by side, merge_windows to the padded size\n"
        "    roll by self.shifts(h, w), cut to h and w, self.proj",
    ),
    minutes=20,
    difficulty=4,
    otherwise=(WindowsByLoops, WindowsByFused),
    refuses=what_does_not_fit,
    laws=("examples_do_not_mix",),
    tied=("h w win i j",),
)
