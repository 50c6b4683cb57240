"""The record of `stand_alone.stand_alone_self_attention`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import also, family, named
from attncourse.exercises.record import Exercise, Trial, slip
from attncourse.exercises.stand_alone.shared import (
    attention_recipe,
    beyond_the_edges_too,
    each_features_place,
    mixed_feature_by_feature,
    no_place,
    not_summed_over_d,
    rows_for_half_of_the_heads,
    summed_apart,
    weights_by_unfold,
    weights_recipe,
    windows_by_unfold,
)
from solutions.stand_alone import (
    StandAloneSelfAttention2d,
    local_attention,
    local_weights,
)


def layer_trials():
    def trial(name, stride, window, scaled=False, **sizes):
        sizes |= dict(dy=window, dx=window, e=sizes["head"] * sizes["d"])
        sizes |= dict(h2=-(-sizes["h"] // stride), w2=-(-sizes["w"] // stride))
        init = dict(channels=sizes["c"], heads=sizes["head"], window=window, stride=stride)
        init |= dict(out_channels=sizes["e"], scaled=scaled)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("with stride = 2", 2, 5, b=3, c=9, head=2, d=4, h=11, w=13),
        trial(
            "with stride = 3 and scaled logits", 3, 3, True, b=2, c=10, head=4, d=6, h=13, w=20
        ),
        trial("with stride = 1", 1, 3, b=2, c=5, head=4, d=2, h=6, w=7),
        trial("with as many channels as before", 1, 5, True, b=3, c=12, head=2, d=6, h=7, w=4),
        trial("on one pixel with stride = 2", 2, 3, b=2, c=7, head=4, d=2, h=1, w=1),
    )


def three_layers(self, x):
    return self.query(x), self.key(x), self.value(x)


def heads_outside(x, heads):
    return rearrange(x, "b (head d) h w -> b head d h w", head=heads)


def query_scaled(self, q, k):
    return q * self.scale, k


def own_tables(self):
    return self.rows, self.columns


def heads_side_by_side(y):
    return rearrange(y, "b head d h w -> b (head d) h w")


def averaged(self, y):
    return y if self.stride == 1 else F.avg_pool2d(y, self.stride, ceil_mode=True)


def comes_in(self, x):
    return x


def layer_recipe(
    entering=comes_in,
    projecting=three_layers,
    splitting=heads_outside,
    scaling=query_scaled,
    tables=own_tables,
    attending=local_attention,
    weighing=local_weights,
    merging=heads_side_by_side,
    striding=averaged,
    mapping=comes_in,
):
    """`StandAloneSelfAttention2d` with some of its steps replaced."""

    class Answer(StandAloneSelfAttention2d):
        def parts(self, x):
            q, k, v = (splitting(y, self.heads) for y in projecting(self, x))
            return *scaling(self, q, k), v

        def attention(self, x):
            q, k, _ = self.parts(x)
            return mapping(self, weighing(q, k, *tables(self), self.window))

        def forward(self, x):
            q, k, v = self.parts(entering(self, x))
            y = attending(q, k, v, *tables(self), self.window)
            return striding(self, merging(y))

    return Answer


def query_and_key_exchanged(self, x):
    """The layers of queries and keys are exchanged."""
    return self.key(x), self.query(x), self.value(x)


def key_and_value_exchanged(self, x):
    """The layers of keys and values are exchanged."""
    return self.query(x), self.value(x), self.key(x)


def keys_by_query_layer(self, x):
    """The keys go through the layer of the queries. They have their own: `self.key`."""
    return self.query(x), self.query(x), self.value(x)


def queries_by_key_layer(self, x):
    """The queries go through the layer of the keys. They have their own: `self.query`."""
    return self.key(x), self.key(x), self.value(x)


def values_by_key_layer(self, x):
    """The values go through the layer of the keys. They have their own: `self.value`."""
    return self.query(x), self.key(x), self.key(x)


def values_by_query_layer(self, x):
    """The values go through the layer of the queries. They have their own: `self.value`."""
    return self.query(x), self.key(x), self.query(x)


def features_outside(x, heads):
    """Your heads take every so-many-th channel: "(d head)". Head 0 is the first d channels in a
    row: "(head d)". `self.split` does it."""
    return rearrange(x, "b (d head) h w -> b head d h w", head=heads)


def scale_not_used(self, q, k):
    """`self.scale` is not used: with `scaled` the logits are divided by sqrt(d)."""
    return q, k


def always_scaled(self, q, k):
    """You always divide by sqrt(d). `self.scale` is 1 unless `scaled` is asked for."""
    return q * q.shape[2] ** -0.5, k


def keys_scaled(self, q, k):
    """You multiply the keys by `self.scale`: q · r stays as it is. Multiply the queries, which
    meet both."""
    return q, k * self.scale


def scaled_twice(self, q, k):
    """You multiply queries and keys by `self.scale`: q · k is scaled twice, q · r once.
    Multiply the queries alone."""
    return q * self.scale, k * self.scale


def scaled_again(self, q, k):
    """You multiply by `self.scale` twice. Once is enough, on the queries."""
    return q * self.scale**2, k


def scaled_by_heads(self, q, k):
    """You divide by the root of the number of heads. With `scaled` it is sqrt(d), the width of
    a head: multiply by `self.scale`."""
    return q * self.heads**-0.5, k


def keys_passed_first(self, q, k):
    """You pass the keys where the queries belong: `local_attention(q, k, v, …)`."""
    return k, q * self.scale


def columns_for_rows(self):
    """You pass the columns where the rows belong: `local_attention` takes the rows first."""
    return self.columns, self.rows


def rows_for_columns_too(self):
    """You pass the rows twice. The second table is `self.columns`."""
    return self.rows, self.rows


def unmasked(q, k, v, rows, columns, window):
    return attention_recipe(masking=beyond_the_edges_too)(q, k, v, rows, columns, window)


@also(weighing=weights_recipe(masking=beyond_the_edges_too))
def edges_not_hidden(q, k, v, rows, columns, window):
    """Zeros beyond the edges take their share. `local_attention` hides them: call it, or hide
    what is not `inside`."""
    return unmasked(q, k, v, rows, columns, window)


@also(weighing=weights_recipe(place=no_place))
def tables_not_used(q, k, v, rows, columns, window):
    """The tables are not used: q · r is missing."""
    return attention_recipe(place=no_place)(q, k, v, rows, columns, window)


@also(weighing=weights_recipe(content=not_summed_over_d, place=each_features_place))
def layer_not_summed_over_d(q, k, v, rows, columns, window):
    """The sum over the features d is missing: every feature has a softmax of its own. (A much
    used repository has this mistake.) Call `local_attention`."""
    steps = dict(content=not_summed_over_d, place=each_features_place)
    return attention_recipe(mixing=mixed_feature_by_feature, **steps)(
        q, k, v, rows, columns, window
    )


@also(
    weighing=weights_recipe(table=rows_for_half_of_the_heads),
)
def heads_see_rows_or_columns(q, k, v, rows, columns, window):
    """The first heads see rows alone and the last ones columns alone. Each head has both
    halves. (A much used repository has this mistake.)"""
    return attention_recipe(table=rows_for_half_of_the_heads)(q, k, v, rows, columns, window)


@also(weighing=weights_recipe(content=summed_apart))
def layer_sums_apart(q, k, v, rows, columns, window):
    """Your einsum has different letters for the features of q and k, so each is summed on its
    own. Call `local_attention`, or give both the letter d."""
    return attention_recipe(content=summed_apart)(q, k, v, rows, columns, window)


def features_outside_again(y):
    """You put the heads together as "(d head)". They were cut as "(head d)"."""
    return rearrange(y, "b head d h w -> b (d head) h w")


def heads_added(y):
    """You sum over the heads. They stand side by side: (head d) channels."""
    return y.sum(1)


def heads_averaged(y):
    """You average the heads. They stand side by side: (head d) channels."""
    return y.mean(1)


def not_merged(y):
    """The heads are not put together: b (head d) h w."""
    return y


def no_stride(self, y):
    """The stride is not used: average over stride x stride pixels at the end."""
    return y


def every_second_pixel(self, y):
    """You keep every stride-th pixel. They are averaged: F.avg_pool2d."""
    return y[..., :: self.stride, :: self.stride]


def largest_pixel(self, y):
    """You take the largest of stride x stride pixels. They are averaged: F.avg_pool2d."""
    return F.max_pool2d(y, self.stride, ceil_mode=True)


def last_pixels_dropped(self, y):
    """The last row or column of an odd map is lost. `ceil_mode=True` keeps it."""
    return y if self.stride == 1 else F.avg_pool2d(y, self.stride)


def zeros_averaged_in(self, y):
    """On an odd map you average zeros in, beyond the edge. `ceil_mode=True` takes the mean of
    the pixels that are there."""
    h, w = y.shape[-2:]
    return F.avg_pool2d(F.pad(y, (0, -w % self.stride, 0, -h % self.stride)), self.stride)


def parts_of_equal_size(self, y):
    """You average over as many parts as there will be pixels, and on an odd map they overlap.
    Take stride x stride pixels each: F.avg_pool2d."""
    return F.adaptive_avg_pool2d(y, [-(-n // self.stride) for n in y.shape[-2:]])


def averaged_over_three(self, y):
    """You average over 3 x 3 pixels. It is stride x stride: 2 x 2 with stride 2."""
    return y if self.stride == 1 else F.avg_pool2d(y, 3, self.stride, 1)


def stay(self, y):
    return y


@also(striding=stay)
def averaged_first(self, x):
    """You average before the attention. The paper attends first, at full size, and averages
    afterwards."""
    return averaged(self, x)


def always_two(self, y):
    """You average over 2 x 2 pixels whatever the stride is. It is stride x stride."""
    return y if self.stride == 1 else F.avg_pool2d(y, 2, ceil_mode=True)


def two_even_without_a_stride(self, y):
    """You average over 2 x 2 pixels whatever the stride is, even where it is 1. It is stride x
    stride."""
    return F.avg_pool2d(y, 2, ceil_mode=True)


def averaged_without_a_step(self, y):
    """You average over stride x stride pixels, but go on by one: leave out `stride=1`."""
    return F.avg_pool2d(y, min(self.stride, *y.shape[-2:]), 1)


def relu_at_the_end(self, y):
    """You add a ReLU. The layer has none; the network around it has."""
    return averaged(self, y).relu()


def windows_overlap(self, y):
    """Your windows of the mean overlap: they are stride + 1 wide. It is stride x stride."""
    if self.stride == 1:
        return y
    return F.avg_pool2d(
        y, self.stride + 1, self.stride, padding=self.stride // 2, ceil_mode=True
    )


def input_added(self, x):
    """You add the input where the shapes allow it. The residual network around the layer does
    that."""
    y = StandAloneSelfAttention2d.forward(self, x)
    return y + x if y.shape == x.shape else y


def values_rectified(self, x):
    """You put a ReLU behind the projection of the values. There is none."""
    return self.query(x), self.key(x), self.value(x).relu()


def all_rectified(self, x):
    """You put a ReLU behind the projections. There is none."""
    return self.query(x).relu(), self.key(x).relu(), self.value(x).relu()


def summed_over_the_stride(self, y):
    """You sum over stride x stride pixels. They are averaged."""
    return F.avg_pool2d(y, self.stride, ceil_mode=True, divisor_override=1)


def tables_scaled(self):
    """You multiply the tables by `self.scale` as well: q · r is scaled twice, q · k once.
    Multiply the queries alone."""
    return self.rows * self.scale, self.columns * self.scale


def doubled(self, y):
    """Your output is twice as large as it should be: you add what is there already."""
    return 2 * averaged(self, y)


InputAdded = named(
    "input_added",
    " ".join(input_added.__doc__.split()),
    type("Answer", (StandAloneSelfAttention2d,), dict(forward=input_added)),
)


class ValuesScaled(StandAloneSelfAttention2d):
    """You multiply the values by `self.scale`. It belongs to the logits: multiply the
    queries."""

    def forward(self, x):
        q, k, v = (self.split(layer(x)) for layer in (self.query, self.key, self.value))
        y = local_attention(q, k, v * self.scale, self.rows, self.columns, self.window)
        return averaged(self, heads_side_by_side(y))


class ValuesScaledToo(StandAloneSelfAttention2d):
    """You multiply the values by `self.scale` as well. It belongs to the logits alone."""

    def forward(self, x):
        return self.scale * super().forward(x)


def window_flattened(self, weights):
    """The places of your map are one axis. Keep rows and columns apart: dy dx."""
    return weights.flatten(-2)


def map_strided(self, weights):
    """Your map has a stride. It has a window for every pixel that attends; averaging comes
    after."""
    if self.stride == 1:
        return weights
    flat = rearrange(weights, "b n h w y x -> b (n y x) h w")
    return rearrange(
        averaged(self, flat), "b (n y x) h w -> b n h w y x", n=self.heads, y=self.window
    )


def one_map_for_all_heads(self, weights):
    """You average the maps of the heads and keep an axis of length 1. Each head has its own."""
    return weights.mean(1, keepdim=True)


def map_subsampled(self, weights):
    """Your map has a stride: you keep every so-many-th pixel. It has a window for every pixel
    that attends; averaging comes after."""
    return weights[:, :, :: self.stride, :: self.stride]


def map_averaged_over_heads(self, weights):
    """You average the maps of the heads. Each head has its own."""
    return weights.mean(1)


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
        return averaged(self, torch.cat(ys, 1).flatten(1, 2))


EXERCISE = Exercise(
    id="stand_alone.stand_alone_self_attention",
    solution=StandAloneSelfAttention2d,
    probes={"attention": "b head h w dy dx", "forward": "b e h2 w2"},
    trials=layer_trials,
    blank=("attention", "forward"),
    slips=(
        *family(
            layer_recipe,
            paired=(
                query_and_key_exchanged,
                keys_by_query_layer,
                values_by_key_layer,
                features_outside,
                features_outside_again,
                scale_not_used,
                always_scaled,
                keys_scaled,
                columns_for_rows,
                edges_not_hidden,
                tables_not_used,
                no_stride,
                every_second_pixel,
                largest_pixel,
                last_pixels_dropped,
                zeros_averaged_in,
                averaged_first,
                relu_at_the_end,
            ),
            projecting=(
                query_and_key_exchanged,
                key_and_value_exchanged,
                keys_by_query_layer,
                queries_by_key_layer,
                values_by_key_layer,
                values_by_query_layer,
                values_rectified,
                all_rectified,
            ),
            splitting=(features_outside,),
            scaling=(
                scale_not_used,
                always_scaled,
                keys_scaled,
                scaled_twice,
                scaled_again,
                scaled_by_heads,
                keys_passed_first,
            ),
            tables=(columns_for_rows, rows_for_columns_too, tables_scaled),
            attending=(
                edges_not_hidden,
                tables_not_used,
                layer_not_summed_over_d,
                heads_see_rows_or_columns,
                layer_sums_apart,
            ),
            merging=(features_outside_again, heads_added, heads_averaged, not_merged),
            entering=(averaged_first,),
            striding=(
                no_stride,
                every_second_pixel,
                largest_pixel,
                last_pixels_dropped,
                zeros_averaged_in,
                parts_of_equal_size,
                averaged_over_three,
                always_two,
                two_even_without_a_stride,
                averaged_without_a_step,
                relu_at_the_end,
                windows_overlap,
                summed_over_the_stride,
                doubled,
            ),
            mapping=(
                window_flattened,
                map_strided,
                map_averaged_over_heads,
                one_map_for_all_heads,
                map_subsampled,
            ),
        ),
        InputAdded,
        slip(ValuesScaled),
        slip(ValuesScaledToo),
    ),
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
)
