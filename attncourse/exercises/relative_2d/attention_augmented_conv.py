"""The augmented convolution: maps of a convolution, and beside them those of attention."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import Wrong, often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.relative_2d.shared import (
    by_columns_of_the_product,
    from_q_and_k,
    gathered_flat,
    weights_late_scale,
)
from solutions.relative_2d import AttentionAugmentedConv2d, attention_widths, halved


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
        sizes |= dict(h2=y, w2=x, g=g, u=u, i=g * u, j=g * u, h=h, w=w)
        sizes |= dict(d=dk // sizes["head"], e=dv // sizes["head"])
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on a map of 4 x 7 pixels", 4, 7, b=3, c=11, f=37, head=2),
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


def tables(name: str, both: str, message: str) -> Wrong:
    """What is written for the tables, in `attention` and in `forward`."""
    return wrong(
        name,
        "k, *self.tables(*q.shape[-3:-1])",
        f"k, *{both}",
        message,
        ("tables = self.tables(*q.shape[-3:-1])", f"tables = {both}"),
    )


def queries(name: str, q: str, message: str) -> Wrong:
    """What is written for the queries, in `attention` and in `forward`."""
    return wrong(
        name,
        "relative_weights(q",
        f"relative_weights({q}",
        message,
        ("relative_attention_2d(q", f"relative_attention_2d({q}"),
    )


def _where_smaller(pool: str) -> str:
    """A pooling of torch's where the map is to become smaller, and only there."""
    return f"(x if self.stride == 1 else F.{pool}_pool2d(x, 3, self.stride, 1))"


# fmt: off
STRIDES = (
    wrong("zeros_are_counted", "halved(x, self.stride)", _where_smaller("avg"),
          "At the border your means count the zeros outside the picture. A mean is over the pixels"
          " that there are: `halved`, or count_include_pad=False."),
    wrong("smaller_zeros_counted", "halved(x, 2)", "F.avg_pool2d(x, 3, 2, 1)",
          "For `downsample` your means count the zeros outside the picture. A mean is over the"
          " pixels that there are: `halved`, or count_include_pad=False."),
    wrong("all_zeros_counted", "halved(x, self.stride)", _where_smaller("avg"),
          "Your means count the zeros outside the picture, with a stride and with `downsample`. A"
          " mean is over the pixels that there are: `halved`, or count_include_pad=False.",
          ("halved(x, 2)", "F.avg_pool2d(x, 3, 2, 1)")),
    wrong("stride_skips", "halved(x, self.stride)", "x[..., :: self.stride, :: self.stride]",
          "With a stride you take every other pixel. It is the mean of each 3x3 window: `halved`."),
    wrong("skips_pixels", "halved(x, 2)", "x[..., ::2, ::2]",
          "For `downsample` you take every other pixel. It is the mean of each 3x3 window:"
          " `halved(x, 2)`."),
    wrong("always_skips", "halved(x, self.stride)", "x[..., :: self.stride, :: self.stride]",
          "To shrink the feature map you take every other pixel. It is the mean of each 3x3 window:"
          " `halved`.",
          ("halved(x, 2)", "x[..., ::2, ::2]")),
    wrong("stride_takes_the_largest", "halved(x, self.stride)", _where_smaller("max"),
          "With a stride you take the largest of each window. It is the mean: `halved`."),
    wrong("smaller_by_the_largest", "halved(x, 2)", "F.max_pool2d(x, 3, 2, 1)",
          "For `downsample` you take the largest of each window. It is the mean: `halved`."),
    wrong("always_the_largest", "halved(x, self.stride)", _where_smaller("max"),
          "To shrink the feature map you take the largest of each window. It is the mean: `halved`.",
          ("halved(x, 2)", "F.max_pool2d(x, 3, 2, 1)")),
    wrong("smaller_by_windows_of_2", "halved(x, 2)", "F.avg_pool2d(x, 2, ceil_mode=True)",
          "For `downsample` you average windows of 2x2. They are 3x3 and overlap: `halved`."),
    wrong("windows_of_the_stride", "halved(x, self.stride)",
          "F.avg_pool2d(x, self.stride, ceil_mode=True)",
          "To shrink the feature map you average windows of 2x2 side by side. They are 3x3 and"
          " overlap: `halved`.",
          ("halved(x, 2)", "F.avg_pool2d(x, 2, ceil_mode=True)")),
    wrong("never_smaller", "halved(x, 2) if self.downsample else x", "x",
          "`downsample` is not used: you attend at full resolution. Halve it once more before"
          " the projection."),
)

PARTS = (
    *often(
        wrong("queries_first", "k, q, v = self.kqv", "q, k, v = self.kqv",
              "You take the first of the three parts for the queries. The order of the weights is"
              " k, q, v, as in the paper's listing; `project` returns q, k, v."),
        wrong("features_outside", "(head d) h w -> b head h w d", "(d head) h w -> b head h w d",
              'You split with "(d head)". The head is outside: "(head d)".'),
    ),
    wrong("values_first", "k, q, v = self.kqv(x).split([narrow, narrow, wide]",
          "v, k, q = self.kqv(x).split([wide, narrow, narrow]",
          "You split in the order v, k, q: the values come last. The order is k, q, v."),
    wrong("values_in_front_of_keys", "k, q, v = self.kqv(x).split([narrow, narrow, wide]",
          "v, q, k = self.kqv(x).split([wide, narrow, narrow]",
          "You split in the order v, q, k: the values come last. The order is k, q, v."),
    wrong("pixels_not_moved", 'rearrange(each, "b (head d) h w -> b head h w d", head=self.heads)',
          "each.reshape(len(x), self.heads, *x.shape[2:], -1)",
          "You reshape to b head h w d without moving the features to the end: pixels and features"
          ' get mixed. A permute is missing: rearrange "b (head d) h w -> b head h w d".'),
    wrong("ScaledInProject", "in (q, k, v)", "in (q / math.sqrt(narrow // self.heads), k, v)",
          "You divide q by sqrt(d) in `project`. `relative_weights` and `relative_attention_2d` do"
          " it: return the queries as they are."),
)

PLACES = (
    *often(
        tables("no_places", "(None, None)",
               "The tables are not used: your attention does not know where anything is. Pass"
               " `self.tables(h, w)`."),
    ),
    wrong("PlacesNotInForward", "v, *tables, self.implementation", "v",
          "`forward` does not use the tables: pass `*self.tables(h, w)` to `relative_attention_2d`"
          " as well."),
    tables("tables_never_stretched",
           "(fit_table(self.rows, q.shape[-3]), fit_table(self.columns, q.shape[-2]))",
           "`stretch` is not looked at: you fit the tables yourself. `self.tables(h, w)` does, and"
           " knows of it."),
    tables("tables_from_the_other_end", "[t.flip(0) for t in self.tables(*q.shape[-3:-1])]",
           "Your tables are read from the other end. An offset is key minus query."),
    tables("tables_exchanged", "self.tables(q.shape[-2], q.shape[-3])[::-1]",
           "Height and width are exchanged: the rows' table is used for the columns."),
)

QUERIES = (
    *often(
        queries("scaled_before", "q / math.sqrt(q.shape[-1])",
                "You divide by sqrt(d) before `relative_attention_2d`, which does it too: once is"
                " right."),
        queries("scale_undone", "q * math.sqrt(q.shape[-1])",
                "Your scores are not divided by sqrt(d)."),
    ),
    queries("by_the_width_of_all_heads", "q / math.sqrt(self.heads)",
            "You divide by the root of dk, the width of all heads. It is sqrt(d), that of one"
            " head."),
    wrong("AttentionByKeys", "relative_weights(q, k", "relative_weights(k, q",
          "In `attention` q and k have changed roles. The queries come first: relative_weights(q,"
          " k, …)."),
    wrong("ForwardByKeys", "relative_attention_2d(q, k", "relative_attention_2d(k, q",
          "In `forward` q and k have changed roles. The queries come first:"
          " relative_attention_2d(q, k, v, …)."),
)

MERGING = (
    *often(
        wrong("merged_features_outside", "(head e) h w", "(e head) h w",
              'You put the heads together with "(e head)". The head is outside: "(head e)".'),
        wrong("merged_by_reshape", 'rearrange(y, "b head h w e -> b (head e) h w")',
              "y.reshape(len(y), -1, *y.shape[2:4])",
              "You reshape b head h w e to channels without moving e in front of h and w: pixels"
              ' and features get mixed. A permute is missing: rearrange "b head h w e -> b (head e)'
              ' h w".'),
        wrong("not_projected", "y = self.out(rearrange", "y = (rearrange",
              "The last 1x1 convolution is missing: `self.out` mixes the heads."),
        wrong("attention_first", "[self.conv(x), y]", "[y, self.conv(x)]",
              "Your attention comes before the convolution. The convolution's maps come first."),
    ),
    wrong("convolution_of_nothing", "[self.conv(x), y]", "[0 * self.conv(x), y]",
          "The convolution is missing: you return the maps of the attention with zeros before"
          " them."),
)

ENLARGED = (
    wrong("nearest", 'mode="bilinear", align_corners=False', 'mode="nearest"',
          'You enlarge by repeating pixels. It is bilinear: mode="bilinear".'),
    wrong("bicubic", 'mode="bilinear"', 'mode="bicubic"',
          'You enlarge by mode="bicubic". It is bilinear.'),
    wrong("corners_aligned", "align_corners=False", "align_corners=True",
          "You enlarge with align_corners=True: then pixels are points at the corners. They are"
          " squares: align_corners=False."),
    wrong("enlarged_by_2_and_cut", 'size=size, mode="bilinear", align_corners=False)',
          'scale_factor=2, mode="bilinear")[..., : size[0], : size[1]]',
          "You enlarge by 2 and cut off what is too much: on odd maps the pixels lie elsewhere."
          " Enlarge to the size that is wanted: `size=`."),
)
# fmt: on


def refuse_none(layer):
    if not layer.widths[1]:
        raise ValueError("no channel attends")


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
        refuse_none(self)
        q, k, _ = self.project(x)
        scores = from_q_and_k(q, k)
        h, w = q.shape[-3:-1]
        if self.rows is not None:
            scores = scores + by_columns_of_the_product(q, *self.tables(h, w))
        return (scores / q.shape[-1] ** 0.5).softmax(-1)

    def forward(self, x):
        if self.kqv is None:
            return self.conv(x)
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
        refuse_none(self)
        q, k, _ = self.project(x)
        return weights_late_scale(q, k, *self.tables(*q.shape[2:4]))

    def forward(self, x):
        if not self.widths[1]:
            return self.conv(x)
        q, k, v = self.project(x)
        h, w, d = q.shape[-3:]
        heads = []
        for head in range(self.heads):
            bias = None
            if self.rows is not None:
                bias = gathered_flat(q[:, head], *self.tables(h, w)) / math.sqrt(d)
            y = F.scaled_dot_product_attention(
                *(t[:, head].flatten(1, 2) for t in (q, k, v)), attn_mask=bias
            )
            heads.append(y.mT.unflatten(-1, (h, w)))
        y = self.out(torch.cat(heads, 1))
        if self.downsample:
            y = F.interpolate(
                y, [math.ceil(n / self.stride) for n in x.shape[-2:]], mode="bilinear"
            )
        return torch.cat([*([] if self.conv is None else [self.conv(x)]), y], dim=1)


def without_attention():
    sizes = dict(b=2, c=3, h=5, w=7)
    init = dict(in_channels=3, out_channels=8, heads=2, upsilon=0)
    return (Trial("upsilon=0, which leaves no map", sizes, dict(x="b c h w"), init),)


EXERCISE = Exercise(
    id="relative_2d.attention_augmented_conv",
    solution=AttentionAugmentedConv2d,
    probes={
        "project": ("b head g u d", "b head g u d", "b head g u e"),
        "attention": "b head i j",
        "forward": "b f h2 w2",
    },
    trials=layer_trials,
    blank=("project", "attention", "forward"),
    slips=(*STRIDES, *PARTS, *PLACES, *QUERIES, *MERGING, *ENLARGED),
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
    refuses=without_attention,
    tied=("h w h2 w2 g u i j",),
)
