"""The record of `relative_2d.attention_augmented_conv`."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.relative_2d.shared import (
    by_columns_of_the_product,
    from_q_and_k,
    gathered_flat,
    weights_late_scale,
)
from solutions.relative_2d import (
    AttentionAugmentedConv2d,
    attention_widths,
    fit_table,
    halved,
    relative_attention_2d,
    relative_weights,
)


def layer_trials():
    def trial(
        name, h, w, size=None, stride=1, downsample=False, upsilon=0.5, stretch=False, **sizes
    ):
        init = dict(
            in_channels=sizes["c"],
            out_channels=sizes["f"],
            kernel=3,
            kappa=0.5,
            upsilon=upsilon,
            heads=sizes["head"],
            size=size or (h, w),
            stride=stride,
            downsample=downsample,
            stretch=stretch,
        )
        dk, dv = attention_widths(sizes["f"], 0.5, upsilon, sizes["head"])
        y, x = -(-h // stride), -(-w // stride)
        g, u = (-(-y // 2), -(-x // 2)) if downsample else (y, x)
        sizes |= dict(y=y, x=x, g=g, u=u, i=g * u, j=g * u, h=h, w=w)
        sizes |= dict(d=dk // sizes["head"], e=dv // sizes["head"])
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on a map of 4 x 7 pixels", 4, 7, b=3, c=5, f=25, head=2),
        trial("with stride 2", 5, 8, stride=2, b=2, c=7, f=36, head=3),
        trial("with downsample", 5, 4, downsample=True, b=3, c=2, f=9, head=2),
        trial("of another size than its tables", 2, 5, size=(4, 3), b=3, c=4, f=9, head=2),
        trial(
            "with stride 2 and downsample",
            *(7, 13),
            stride=2,
            downsample=True,
            **dict(b=3, c=5, f=9, head=1),
        ),
        trial(
            "with tables that are stretched",
            *(3, 5),
            size=(4, 2),
            stretch=True,
            **dict(b=2, c=4, f=11, head=1),
        ),
        trial("of attention alone", 3, 4, upsilon=1, b=2, c=5, f=10, head=1),
    )


def strided(self, x):
    return x if self.stride == 1 else halved(x, self.stride)


def smaller(self, x):
    return halved(x, 2) if self.downsample else x


def keys_queries_values(self, stacked):
    dk, dv = self.widths
    k, q, v = stacked.split([dk, dk, dv], dim=1)
    return q, k, v


def heads_outside(self, x):
    return rearrange(x, "b (head d) h w -> b head h w d", head=self.heads)


def sized(self, q):
    return self.tables(*q.shape[-3:-1])


def plain_queries(self, q):
    return q


def merged(self, y):
    return rearrange(y, "b head h w e -> b (head e) h w")


def last_projection(self, y):
    return self.out(y)


def bilinear(self, y, x):
    if not self.downsample:
        return y
    size = [-(-n // self.stride) for n in x.shape[-2:]]
    return F.interpolate(y, size=size, mode="bilinear", align_corners=False)


def convolution_first(self, x, y):
    return y if self.conv is None else torch.cat([self.conv(x), y], 1)


def layer_recipe(
    striding=strided,
    shrinking=smaller,
    splitting=keys_queries_values,
    heading=heads_outside,
    placing=sized,
    asking=plain_queries,
    merging=merged,
    projecting=last_projection,
    enlarging=bilinear,
    joining=convolution_first,
):
    """`AttentionAugmentedConv2d` with some of its steps replaced."""

    class Answer(AttentionAugmentedConv2d):
        def project(self, x):
            stacked = self.kqv(shrinking(self, striding(self, x)))
            return tuple(heading(self, part) for part in splitting(self, stacked))

        def attention(self, x):
            q, k, _ = self.project(x)
            return relative_weights(asking(self, q), k, *placing(self, q))

        def forward(self, x):
            q, k, v = self.project(x)
            y = relative_attention_2d(asking(self, q), k, v, *placing(self, q), "skew")
            y = projecting(self, merging(self, y))
            return joining(self, x, enlarging(self, y, x))

    return Answer


def zeros_are_counted(self, x):
    """At the border your means count the zeros outside the picture. A mean is over the pixels
    that there are: `halved`, or count_include_pad=False."""
    return F.avg_pool2d(x, 3, self.stride, 1) if self.stride > 1 else x


def stride_skips(self, x):
    """With a stride you take every other pixel. It is the mean of each 3x3 window: `halved`."""
    return x[..., :: self.stride, :: self.stride]


def stride_takes_the_largest(self, x):
    """With a stride you take the largest of each window. It is the mean: `halved`."""
    return F.max_pool2d(x, 3, self.stride, 1) if self.stride > 1 else x


def never_smaller(self, x):
    """`downsample` is not used: you attend at full resolution. Halve the map once more before
    the projection."""
    return x


def skips_pixels(self, x):
    """For `downsample` you take every other pixel. It is the mean of each 3x3 window:
    `halved(x, 2)`."""
    return x[..., ::2, ::2] if self.downsample else x


def smaller_zeros_counted(self, x):
    """For `downsample` your means count the zeros outside the picture. A mean is over the
    pixels that there are: `halved`, or count_include_pad=False."""
    return F.avg_pool2d(x, 3, 2, 1) if self.downsample else x


@also(shrinking=smaller_zeros_counted)
def all_zeros_counted(self, x):
    """Your means count the zeros outside the picture, with a stride and with `downsample`. A
    mean is over the pixels that there are: `halved`, or count_include_pad=False."""
    return zeros_are_counted(self, x)


@also(shrinking=skips_pixels)
def always_skips(self, x):
    """To make the map smaller you take every other pixel. It is the mean of each 3x3 window:
    `halved`."""
    return stride_skips(self, x)


def smaller_by_the_largest(self, x):
    """For `downsample` you take the largest of each window. It is the mean: `halved`."""
    return F.max_pool2d(x, 3, 2, 1) if self.downsample else x


@also(shrinking=smaller_by_the_largest)
def always_the_largest(self, x):
    """To make the map smaller you take the largest of each window. It is the mean: `halved`."""
    return stride_takes_the_largest(self, x)


def smaller_by_windows_of_2(self, x):
    """For `downsample` you average windows of 2x2. They are 3x3 and overlap: `halved`."""
    return F.avg_pool2d(x, 2, ceil_mode=True) if self.downsample else x


@also(shrinking=smaller_by_windows_of_2)
def windows_of_the_stride(self, x):
    """To make the map smaller you average windows of 2x2 side by side. They are 3x3 and
    overlap: `halved`."""
    return F.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x


def queries_first(self, stacked):
    """You take the first of the three parts for the queries. The order of the weights is k, q,
    v, as in the paper's listing; `project` returns q, k, v."""
    dk, dv = self.widths
    return stacked.split([dk, dk, dv], dim=1)


def values_first(self, stacked):
    """You split in the order v, k, q: the values come last. The order is k, q, v."""
    dk, dv = self.widths
    v, k, q = stacked.split([dv, dk, dk], dim=1)
    return q, k, v


def values_in_front_of_keys(self, stacked):
    """You split in the order v, q, k: the values come last. The order is k, q, v."""
    dk, dv = self.widths
    v, q, k = stacked.split([dv, dk, dk], dim=1)
    return q, k, v


def features_outside(self, x):
    """You split with "(d head)". The head is outside: "(head d)"."""
    return rearrange(x, "b (d head) h w -> b head h w d", head=self.heads)


def pixels_not_moved(self, x):
    """You reshape to b head h w d without moving the features to the end: pixels and features
    get mixed. A permute is missing: rearrange "b (head d) h w -> b head h w d"."""
    b, c, h, w = x.shape
    return x.reshape(b, self.heads, h, w, c // self.heads)


def no_places(self, q):
    """The tables are not used: your attention does not know where anything is. Pass
    `self.tables(h, w)`."""
    return None, None


def tables_never_stretched(self, q):
    """`stretch` is not looked at: you fit the tables yourself. `self.tables(h, w)` does, and
    knows of it."""
    h, w = q.shape[-3:-1]
    return fit_table(self.rows, h), fit_table(self.columns, w)


def tables_from_the_other_end(self, q):
    """Your tables are read from the other end. An offset is key minus query."""
    rows, columns = sized(self, q)
    return rows.flip(0), columns.flip(0)


def tables_exchanged(self, q):
    """Height and width are exchanged: the rows' table is used for the columns."""
    h, w = q.shape[-3:-1]
    columns, rows = self.tables(w, h)
    return rows, columns


def tables_drawn_anew(self, q):
    """You make the tables in the forward pass: they are never learned. Use those of the module:
    `self.tables(h, w)`."""
    h, w, d = q.shape[-3:]
    rows = torch.linspace(-1, 1, (2 * h - 1) * d).reshape(-1, d).to(q)
    return rows, torch.linspace(1, -1, (2 * w - 1) * d).reshape(-1, d).to(q)


def scaled_before(self, q):
    """You divide by sqrt(d) before `relative_attention_2d`, which does it too: once is
    right."""
    return q / math.sqrt(q.shape[-1])


def scale_undone(self, q):
    """Your scores are not divided by sqrt(d)."""
    return q * math.sqrt(q.shape[-1])


def by_the_width_of_all_heads(self, q):
    """You divide by the root of dk, the width of all heads. It is sqrt(d), that of one head."""
    return q / math.sqrt(self.heads)


def merged_features_outside(self, y):
    """You put the heads together with "(e head)". The head is outside: "(head e)"."""
    return rearrange(y, "b head h w e -> b (e head) h w")


def merged_by_reshape(self, y):
    """You reshape b head h w e to channels without moving e in front of h and w: pixels and
    features get mixed. A permute is missing: rearrange "b head h w e -> b (head e) h w"."""
    b, head, h, w, e = y.shape
    return y.reshape(b, head * e, h, w)


def merged_turned(self, y):
    """Your map is turned: you put the pixels back column by column. They are read row by
    row."""
    h, w = y.shape[2:4]
    flat = rearrange(y, "b head h w e -> b head (h w) e")
    return rearrange(flat, "b head (w h) e -> b (head e) h w", h=h, w=w)


def not_projected(self, y):
    """The last 1x1 convolution is missing: `self.out` mixes the heads."""
    return y


def rectified(self, y):
    """You apply a ReLU to the attention. The layer is linear there; the block around it has the
    ReLU."""
    return self.out(y).relu()


def nearest(self, y, x):
    """You enlarge by repeating pixels. It is bilinear: mode="bilinear"."""
    size = [-(-n // self.stride) for n in x.shape[-2:]]
    return F.interpolate(y, size=size, mode="nearest") if self.downsample else y


def bicubic(self, y, x):
    """You enlarge by mode="bicubic". It is bilinear."""
    size = [-(-n // self.stride) for n in x.shape[-2:]]
    return F.interpolate(y, size=size, mode="bicubic") if self.downsample else y


def enlarged_by_2_and_cut(self, y, x):
    """You enlarge by 2 and cut off what is too much: on odd maps the pixels lie elsewhere.
    Enlarge to the size that is wanted: `size=`."""
    if not self.downsample:
        return y
    h, w = (-(-n // self.stride) for n in x.shape[-2:])
    return F.interpolate(y, scale_factor=2, mode="bilinear")[..., :h, :w]


def corners_aligned(self, y, x):
    """You enlarge with align_corners=True: then pixels are points at the corners. They are
    squares: align_corners=False."""
    size = [-(-n // self.stride) for n in x.shape[-2:]]
    if not self.downsample:
        return y
    return F.interpolate(y, size=size, mode="bilinear", align_corners=True)


def attention_first(self, x, y):
    """Your attention comes before the convolution. The convolution's maps come first."""
    return y if self.conv is None else torch.cat([y, self.conv(x)], 1)


def convolution_of_nothing(self, x, y):
    """The convolution is missing: you return the maps of the attention with zeros before
    them."""
    return y if self.conv is None else torch.cat([0 * self.conv(x), y], 1)


def with_a_shortcut(self, x, y):
    """You rectify the convolution. The layer is linear there; the block around it has the
    ReLU."""
    return y if self.conv is None else torch.cat([self.conv(x).relu(), y], 1)


def rectified_at_the_end(self, x, y):
    """You apply a ReLU at the end. The layer is linear in its values; the block around it has
    the ReLU."""
    return convolution_first(self, x, y).relu()


class AttentionByKeys(AttentionAugmentedConv2d):
    """In `attention` q and k have changed roles. The queries come first: relative_weights(q, k,
    …)."""

    def attention(self, x):
        q, k, _ = self.project(x)
        return relative_weights(k, q, *sized(self, q))


class ForwardByKeys(AttentionAugmentedConv2d):
    """In `forward` q and k have changed roles. The queries come first: relative_attention_2d(q,
    k, v, …)."""

    def forward(self, x):
        q, k, v = self.project(x)
        y = self.out(merged(self, relative_attention_2d(k, q, v, *sized(self, q))))
        return convolution_first(self, x, bilinear(self, y, x))


class BlurredWithoutStride(AttentionAugmentedConv2d):
    """You call `halved` also where the stride is 1: it then blurs the map and halves nothing.
    Call it for a larger stride only."""

    def project(self, x):
        x = smaller(self, halved(x, self.stride))
        return tuple(heads_outside(self, t) for t in keys_queries_values(self, self.kqv(x)))


class ScaledInProject(AttentionAugmentedConv2d):
    """You divide q by sqrt(d) in `project`. `relative_weights` and `relative_attention_2d` do
    it: return the queries as they are."""

    def project(self, x):
        q, k, v = super().project(x)
        return q / math.sqrt(q.shape[-1]), k, v


class PlacesNotInForward(AttentionAugmentedConv2d):
    """`forward` does not use the tables: pass `*self.tables(h, w)` to `relative_attention_2d`
    as well."""

    def forward(self, x):
        y = self.out(merged(self, relative_attention_2d(*self.project(x))))
        return convolution_first(self, x, bilinear(self, y, x))


class LayerByEinsum(AttentionAugmentedConv2d):
    """One product after the other, heads as a batch, enlarged before the last projection."""

    def project(self, x):
        if self.stride > 1:
            x = F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        if self.downsample:
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        dk = self.widths[0]
        y = torch.einsum("oc,bchw->bhwo", self.kqv.weight[:, :, 0, 0], x)
        k, q, v = y[..., :dk], y[..., dk : 2 * dk], y[..., 2 * dk :]
        return tuple(t.unflatten(-1, (self.heads, -1)).movedim(3, 1) for t in (q, k, v))

    def attention(self, x):
        q, k, _ = self.project(x)
        scores = from_q_and_k(q, k)
        h, w = q.shape[-3:-1]
        scores = scores + by_columns_of_the_product(q, *self.tables(h, w))
        return (scores / q.shape[-1] ** 0.5).softmax(-1)

    def forward(self, x):
        v = self.project(x)[2]
        y = self.attention(x) @ v.flatten(2, 3)
        y = y.unflatten(2, v.shape[2:4]).permute(0, 1, 4, 2, 3).flatten(1, 2)
        if self.downsample:
            size = [(n - 1) // self.stride + 1 for n in x.shape[-2:]]
            y = F.interpolate(y, size, mode="bilinear")
        y = F.conv2d(y, self.out.weight)
        return y if self.conv is None else torch.cat((self.conv(x), y), dim=1)


class LayerByHeads(AttentionAugmentedConv2d):
    """One head at a time, with torch's attention and a bias."""

    def project(self, x):
        for times in [self.stride] * (self.stride > 1) + [2] * self.downsample:
            x = halved(x, times)
        k, q, v = torch.split(self.kqv(x), [self.widths[0]] * 2 + [self.widths[1]], dim=1)
        return tuple(
            torch.stack([part.movedim(1, -1) for part in t.chunk(self.heads, 1)], 1)
            for t in (q, k, v)
        )

    def attention(self, x):
        q, k, _ = self.project(x)
        return weights_late_scale(q, k, *self.tables(*q.shape[2:4]))

    def forward(self, x):
        q, k, v = self.project(x)
        h, w, d = q.shape[-3:]
        heads = []
        for head in range(self.heads):
            bias = gathered_flat(q[:, head], *self.tables(h, w)) / math.sqrt(d)
            y = F.scaled_dot_product_attention(
                *(t[:, head].flatten(1, 2) for t in (q, k, v)), attn_mask=bias
            )
            heads.append(y.mT.unflatten(-1, (h, w)))
        y = self.out(torch.cat(heads, 1))
        return convolution_first(self, x, bilinear(self, y, x))


EXERCISE = Exercise(
    id="relative_2d.attention_augmented_conv",
    solution=AttentionAugmentedConv2d,
    probes={
        "project": ("b head g u d", "b head g u d", "b head g u e"),
        "attention": "b head i j",
        "forward": "b f y x",
    },
    trials=layer_trials,
    blank=("project", "attention", "forward"),
    slips=(
        AttentionByKeys,
        ForwardByKeys,
        BlurredWithoutStride,
        ScaledInProject,
        PlacesNotInForward,
        *family(
            layer_recipe,
            paired=(
                queries_first,
                features_outside,
                merged_features_outside,
                scale_undone,
                scaled_before,
                not_projected,
                attention_first,
                merged_by_reshape,
                no_places,
            ),
            striding=(
                zeros_are_counted,
                stride_skips,
                stride_takes_the_largest,
                all_zeros_counted,
                always_skips,
                always_the_largest,
                windows_of_the_stride,
            ),
            shrinking=(
                never_smaller,
                skips_pixels,
                smaller_zeros_counted,
                smaller_by_the_largest,
                smaller_by_windows_of_2,
            ),
            splitting=(queries_first, values_first, values_in_front_of_keys),
            heading=(features_outside, pixels_not_moved),
            placing=(
                no_places,
                tables_never_stretched,
                tables_from_the_other_end,
                tables_exchanged,
                tables_drawn_anew,
            ),
            asking=(scaled_before, scale_undone, by_the_width_of_all_heads),
            merging=(merged_features_outside, merged_by_reshape, merged_turned),
            projecting=(not_projected, rectified),
            enlarging=(nearest, bicubic, corners_aligned, enlarged_by_2_and_cut),
            joining=(
                attention_first,
                convolution_of_nothing,
                with_a_shortcut,
                rectified_at_the_end,
            ),
        ),
    ),
    hints=(
        "conv, kqv, out and the tables were made. In which order does x meet them?",
        (
            "x, made smaller by `halved` for a stride and once more for `downsample`, goes"
            " through `self.kqv`; its channels are k, q, v, each cut into heads. The result"
            " of `relative_attention_2d` is put together, goes through `self.out`, is"
            " enlarged if it was made smaller, and stands behind `self.conv(x)`."
        ),
        (
            "project: k, q, v = self.kqv(…).split([dk, dk, dv], dim=1)\n"
            '    each "b (head d) h w -> b head h w d"; return q, k, v\n'
            "attention: relative_weights(q, k, *self.tables(h, w))\n"
            "forward: y = relative_attention_2d(q, k, v, *self.tables(h, w), …)\n"
            '    self.out of "b head h w e -> b (head e) h w", enlarged if it was halved\n'
            "    torch.cat([self.conv(x), y], dim=1); either part may be missing"
        ),
    ),
    minutes=25,
    difficulty=4,
    otherwise=(LayerByEinsum, LayerByHeads),
    laws=("rows_sum_to_one", "examples_do_not_mix"),
)
