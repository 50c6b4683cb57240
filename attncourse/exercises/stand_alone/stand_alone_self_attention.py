"""A layer of attention in windows that takes the place of a 3 x 3 convolution."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edited import text_of
from attncourse.exercises.edits import Wrong, often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.source import source
from attncourse.exercises.stand_alone.local_attention import EXERCISE as ATTENTION
from attncourse.exercises.stand_alone.local_weights import EXERCISE as WEIGHTS
from attncourse.exercises.stand_alone.shared import weights_by_unfold, windows_by_unfold
from solutions.stand_alone import (
    StandAloneSelfAttention2d,
    local_attention,
    local_weights,
)


def layer_trials():
    def trial(name, stride, window, scaled=False, **sizes):
        sizes |= dict(dy=window, dx=window, f=sizes["head"] * sizes["d"])
        sizes |= dict(h2=-(-sizes["h"] // stride), w2=-(-sizes["w"] // stride))
        init = dict(channels=sizes["c"], heads=sizes["head"], window=window, stride=stride)
        init |= dict(out_channels=sizes["f"], scaled=scaled)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("with stride = 2", 2, 5, b=3, c=11, head=2, d=4, h=13, w=17),
        trial(
            "with stride = 3 and scaled logits", 3, 3, True, b=2, c=10, head=4, d=6, h=13, w=20
        ),
        trial("with stride = 1", 1, 3, b=2, c=5, head=4, d=2, h=6, w=7),
        trial("with as many channels as before", 1, 5, True, b=3, c=12, head=2, d=6, h=7, w=4),
        trial("on one pixel with stride = 2", 2, 3, b=2, c=7, head=4, d=2, h=1, w=1),
    )


QK = "q, k = self.split(self.query(x)) * self.scale, self.split(self.key(x))"
POOLED = "F.avg_pool2d(y, self.stride, ceil_mode=True)"


def in_both(name: str, old: str, new: str, message: str, *more: tuple[str, str]) -> Wrong:
    """A slip in the line with which both methods begin; what is no part of it stands once."""
    values = [pair for pair in more if pair[0] not in QK]
    pairs = [
        (QK + end, QK.replace(*pair) + end)
        for pair in ((old, new), *more)
        if pair[0] in QK
        for end in ("\nreturn", "\nv =")
    ]
    return wrong(name, *pairs[0], message, *pairs[1:], *values)


def nested(name: str, inner: str, message: str, mixing: tuple[str, str] = ("", "")) -> Wrong:
    """A slip of `local_weights` in weights of one's own, and in an attention of one's own that
    calls them, mixing the values in another way."""
    (one,) = (one for one in WEIGHTS.slips if getattr(one, "name", "") == inner)
    weights = text_of(WEIGHTS, one)
    attention = source(ATTENTION).replace(*mixing)
    return wrong(
        name,
        "return local_weights(",
        f"{weights}\n\nreturn local_weights(",
        message,
        ("y = local_attention(", f"{weights}\n\n{attention}\n\ny = local_attention("),
    )


# fmt: off
LAYERS = (
    *often(
        in_both("query_and_key_exchanged", "self.query", "self.key",
                "The layers of queries and keys are exchanged.",
                ("self.key", "self.query")),
        in_both("keys_by_query_layer", "self.key", "self.query",
                "The keys go through the layer of the queries. They have their own: `self.key`."),
        wrong("values_by_key_layer", "self.value(x)", "self.key(x)",
              "The values go through the layer of the keys. They have their own: `self.value`."),
        in_both("features_outside", "self.split(self.query(x))",
                'rearrange(self.query(x), "b (d head) h w -> b head d h w", head=self.heads)',
                'Your heads take every so-many-th channel: "(d head)". Head 0 is the first d'
                ' channels in a row: "(head d)". `self.split` does it.',
                ("self.split(self.key(x))",
                 'rearrange(self.key(x), "b (d head) h w -> b head d h w", head=self.heads)'),
                ("self.split(self.value(x))",
                 'rearrange(self.value(x), "b (d head) h w -> b head d h w", head=self.heads)')),
    ),
    wrong("values_rectified", "self.value(x)", "self.value(x).relu()",
          "You put a ReLU behind the projection of the values. There is none."),
    in_both("all_rectified", "self.query(x)", "self.query(x).relu()",
            "You put a ReLU behind the projections. There is none.",
            ("self.key(x)", "self.key(x).relu()"), ("self.value(x)", "self.value(x).relu()")),
)

SCALES = (
    *often(
        in_both("scale_not_used", " * self.scale", "",
                "`self.scale` is not used: with `scaled` the logits are divided by sqrt(d)."),
        in_both("always_scaled", "self.scale", "(self.query.out_channels // self.heads) ** -0.5",
                "You always divide by sqrt(d). `self.scale` is 1 unless `scaled` is asked for."),
        in_both("keys_scaled", " * self.scale", "",
                "You multiply the keys by `self.scale`: q · r stays as it is. Multiply the queries,"
                " which meet both.",
                ("self.key(x))", "self.key(x)) * self.scale")),
    ),
    in_both("scaled_twice", "self.key(x))", "self.key(x)) * self.scale",
            "You multiply queries and keys by `self.scale`: q · k is scaled twice, q · r once."
            " Multiply the queries alone."),
    in_both("scaled_by_heads", "self.scale", "self.heads**-0.5",
            "You divide by the root of the number of heads. With `scaled` it is sqrt(d), the width"
            " of a head: multiply by `self.scale`."),
    wrong("ValuesScaled", f"{QK}\nv = self.split(self.value(x))",
          "q, k = self.split(self.query(x)), self.split(self.key(x))\n"
          "v = self.split(self.value(x)) * self.scale",
          "You multiply the values by `self.scale`. It belongs to the logits: multiply the"
          " queries."),
    wrong("ValuesScaledToo", "self.value(x))", "self.value(x)) * self.scale",
          "You multiply the values by `self.scale` as well. It belongs to the logits alone."),
)

CALLS = (
    *often(
        wrong("columns_for_rows", "k, self.rows, self.columns", "k, self.columns, self.rows",
              "You pass the columns where the rows belong: `local_attention` takes the rows first.",
              ("v, self.rows, self.columns", "v, self.columns, self.rows")),
        nested("edges_not_hidden", "beyond_the_edges_too",
               "Zeros beyond the edges get some of the weight. `local_attention` hides them: call it, or"
               " hide what is not `inside`."),
        nested("tables_not_used", "no_place",
               "The tables are not used: q · r is missing."),
    ),
    wrong("rows_for_columns_too", "k, self.rows, self.columns", "k, self.rows, self.rows",
          "You pass the rows twice. The second table is `self.columns`.",
          ("v, self.rows, self.columns", "v, self.rows, self.rows")),
    wrong("tables_scaled", "k, self.rows, self.columns",
          "k, self.rows * self.scale, self.columns * self.scale",
          "You multiply the tables by `self.scale` as well: q · r is scaled twice, q · k once."
          " Multiply the queries alone.",
          ("v, self.rows, self.columns", "v, self.rows * self.scale, self.columns * self.scale")),
    wrong("keys_passed_first", "local_weights(q, k", "local_weights(k, q",
          "You pass the keys where the queries belong: `local_attention(q, k, v, …)`.",
          ("local_attention(q, k", "local_attention(k, q")),
    nested("layer_not_summed_over_d", "not_summed_over_d",
           "The sum over the features d is missing: every feature has a softmax of its own. (A much"
           " used repository has this mistake.) Call `local_attention`.",
           ("b head h w dy dx, b head e", "b head e h w dy dx, b head e")),
    nested("heads_see_rows_or_columns", "rows_reach_half_of_the_heads",
           "The first heads see rows alone and the last ones columns alone. Each head has both"
           " halves. (A much used repository has this mistake.)"),
    nested("layer_sums_apart", "summed_apart",
           "Your einsum has different letters for the features of q and k, so each is summed on its"
           " own. Call `local_attention`, or give both the letter d."),
)

ENDS = (
    *often(
        wrong("features_outside_again", "b (head d) h w", "b (d head) h w",
              'You put the heads together as "(d head)". They were cut as "(head d)".'),
        wrong("averaged_first", f"{QK}\nv =",
              f"x = x if self.stride == 1 else {POOLED.replace('y', 'x')}\n{QK}\nv =",
              "You average before the attention. The paper attends first, at full size, and"
              " averages afterwards.",
              (f"y if self.stride == 1 else {POOLED}", "y")),
        wrong("no_stride", f"y if self.stride == 1 else {POOLED}", "y",
              "The stride is not used: average over stride x stride pixels at the end."),
        wrong("every_second_pixel", POOLED, "y[..., :: self.stride, :: self.stride]",
              "You keep every stride-th pixel. They are averaged: F.avg_pool2d."),
        wrong("largest_pixel", "avg_pool2d", "max_pool2d",
              "You take the largest of stride x stride pixels. They are averaged: F.avg_pool2d."),
        wrong("last_pixels_dropped", ", ceil_mode=True", "",
              "The last row or column of an odd map is lost. `ceil_mode=True` keeps it."),
        wrong("zeros_averaged_in", POOLED,
              "F.avg_pool2d(F.pad(y, (0, -y.shape[3] % self.stride, 0, -y.shape[2] % self.stride)),"
              " self.stride)",
              "On an odd map you average zeros in, beyond the edge. `ceil_mode=True` takes the mean"
              " of the pixels that are there."),
    ),
    wrong("heads_added", 'rearrange(y, "b head d h w -> b (head d) h w")', "y.sum(1)",
          "You sum over the heads. They stand side by side: (head d) channels."),
    wrong("not_merged", 'y = rearrange(y, "b head d h w -> b (head d) h w")\n', "",
          "The heads are not put together: b (head d) h w."),
    wrong("parts_of_equal_size", POOLED,
          "F.adaptive_avg_pool2d(y, [math.ceil(n / self.stride) for n in y.shape[2:]])",
          "You average over as many parts as there will be pixels, and on an odd map they overlap."
          " Take stride x stride pixels each: F.avg_pool2d."),
    wrong("averaged_over_three", POOLED, "F.avg_pool2d(y, 3, self.stride, 1)",
          "You average over 3 x 3 pixels. It is stride x stride: 2 x 2 with stride 2."),
    wrong("always_two", "y, self.stride,", "y, 2,",
          "You average over 2 x 2 pixels whatever the stride is. It is stride x stride."),
    wrong("windows_overlap", POOLED,
          "F.avg_pool2d(y, self.stride + 1, self.stride, self.stride // 2, ceil_mode=True)",
          "Your windows of the mean overlap: they are stride + 1 wide. It is stride x stride."),
    wrong("summed_over_the_stride", "ceil_mode=True", "ceil_mode=True, divisor_override=1",
          "You sum over stride x stride pixels. They are averaged."),
    wrong("map_subsampled", "return local_weights(q, k, self.rows, self.columns, self.window)",
          "weights = local_weights(q, k, self.rows, self.columns, self.window)\n"
          "return weights[:, :, :: self.stride, :: self.stride]",
          "Your map has a stride: you keep every so-many-th pixel. It has a window for every pixel"
          " that attends; averaging comes after."),
    wrong("input_added", "return y if", "y = y if",
          "You add the input where the shapes allow it. The residual network around the layer does"
          " that.",
          ("ceil_mode=True)", "ceil_mode=True)\nreturn y + x if y.shape == x.shape else y")),
)
# fmt: on


class LayerInOne(StandAloneSelfAttention2d):
    """Everything written out, with unfold."""

    def parts(self, x):
        return [
            y.unflatten(1, (self.heads, -1))
            for y in (self.query(x), self.key(x), self.value(x))
        ]

    def attention(self, x):
        q, k, _ = self.parts(x)
        return weights_by_unfold(self.scale * q, k, self.rows, self.columns, self.window)

    def forward(self, x):
        v = self.parts(x)[2]
        near = windows_by_unfold(v, self.window)
        y = (self.attention(x).unsqueeze(2) * near).sum((-1, -2)).flatten(1, 2)
        return F.avg_pool2d(y, self.stride, self.stride, ceil_mode=True)


class LayerHeadByHead(StandAloneSelfAttention2d):
    """One head after the other; q · k and q · r scaled afterwards."""

    def heads_of(self, x):
        for head in range(self.heads):
            d = self.query.out_channels // self.heads
            part = slice(head * d, (head + 1) * d)
            yield (
                head,
                [layer(x)[:, None, part] for layer in (self.query, self.key, self.value)],
            )

    def attention(self, x):
        maps = [
            local_weights(
                q,
                k * self.scale,
                self.rows[head, None] * self.scale,
                self.columns[head, None] * self.scale,
                self.window,
            )
            for head, (q, k, _) in self.heads_of(x)
        ]
        return torch.cat(maps, 1)

    def forward(self, x):
        ys = [
            local_attention(
                q * self.scale, k, v, self.rows[[head]], self.columns[[head]], self.window
            )
            for head, (q, k, v) in self.heads_of(x)
        ]
        return F.avg_pool2d(torch.cat(ys, 1).flatten(1, 2), self.stride, ceil_mode=True)


def uneven_widths():
    sizes = dict(b=2, c=12, h=5, w=7)
    init = dict(channels=12, heads=4, window=3)
    return (Trial("12 channels in 4 heads of 3", sizes, dict(x="b c h w"), init),)


EXERCISE = Exercise(
    id="stand_alone.stand_alone_self_attention",
    solution=StandAloneSelfAttention2d,
    probes={"attention": "b head h w dy dx", "forward": "b f h2 w2"},
    trials=layer_trials,
    blank=("attention", "forward"),
    slips=(*LAYERS, *SCALES, *CALLS, *ENDS),
    hints=(
        "Which three maps come out of `self.query`, `self.key` and `self.value`?",
        (
            "Cut each into heads with `self.split`; multiply q by `self.scale`. Then"
            " `local_weights` and `local_attention` do the rest. Put the heads side by side"
            " and average over the stride; `ceil_mode=True` keeps the end of an odd map."
        ),
        (
            "attention: local_weights of q * scale, k, both tables and the window\n"
            "forward: local_attention of the same and v\n"
            '    "b head d h w -> b (head d) h w"\n'
            "    with a stride: F.avg_pool2d(…, stride, ceil_mode=True)"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(LayerInOne, LayerHeadByHead),
    laws=("shares_of_the_window", "nothing_beyond_the_edges", "examples_do_not_mix"),
    refuses=uneven_widths,
    tied=("dy dx", "head d f"),
)
