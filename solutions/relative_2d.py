"""Relative positions in the plane: a pixel knows how far, and in which direction, another is.

    s_ij = q_i · (k_j + R_(y-h) + C_(x-w)) / sqrt(d)    query at h w, key at y x
    A = softmax over j of s                             weights, b head i j
    o = [A v, heads side by side] W_o                   attention, dv channels
    out = [conv(x), o]                                  augmented, f - dv and dv channels

    q_i · R_(y-h) for all pairs, three ways:
    gathered     q_i · R[entry of the pair]             makes (h w)² d numbers
    skewed       (q_i · R_r) moved from r to y          makes (h w)² numbers a head
    augmented    [q, q R, q C] · [k, 1_y, 1_x]          makes h w (d + h + w) numbers a head

Axes     b batch, c channels, h w row and column of a query i = (h w), y x those of a key
         j = (y x), d features of a key, e of a value, r entries of a
         table, f = out_channels, m = d + h + w
Units    offsets count pixels: entry r of a table for h rows is the offset r - (h - 1)
Cost     weights: k² c (f - dv) + c (2 dk + dv) + dv², and (2 h - 1 + 2 w - 1) d for the tables,
         which all heads share; multiply-adds: (h w)² (dk + dv) for the two products
Source   Bello, Zoph, Vaswani, Shlens, Le, "Attention Augmented Convolutional Networks", ICCV
         2019, arXiv:1904.09925, sec. 3 and appendix A; in one dimension Shaw et al. 2018 and
         Huang et al. 2018, see positional.py
Differs  the skew pads once, the paper's twice; a stride shrinks the input of the attention by
         a 3x3 average, of which the paper speaks only for saving memory; a mean at the border
         is over the pixels that there are; k, q and v are stacked in the order k, q, v, as in
         the paper's listing
"""

import math
from collections.abc import Callable

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import COUNT, FROM_0, equip


def offsets(n: int, device: torch.device | None = None) -> Int[Tensor, "n n"]:
    """Which of the 2n - 1 entries of a table the query i and the key j of one axis use:
    j - i, from -(n - 1) to n - 1, counted from 0."""
    place = torch.arange(n, device=device)
    return place - rearrange(place, "i -> i 1") + n - 1


def check_tables(
    h: int, w: int, rows: Float[Tensor, "r d"], columns: Float[Tensor, "s d"]
) -> None:
    """Raises ValueError where the tables have not an entry for each offset of an h w map of
    features."""
    for name, table, n in (("rows", rows, h), ("columns", columns, w)):
        if len(table) != 2 * n - 1:
            raise ValueError(
                f"the table of {name} has {len(table)} offsets; {n} {name} need {2 * n - 1}:"
                " see fit_table"
            )


def gathered_logits(
    q: Float[Tensor, "*batch h w d"],
    rows: Float[Tensor, "r d"],
    columns: Float[Tensor, "s d"],
) -> Float[Tensor, "*batch i j"]:
    """q_i · (R + C) with the vectors of every pair laid out: as defined, (h w)² d numbers."""
    h, w = q.shape[-3:-1]
    check_tables(h, w, rows, columns)
    down = rearrange(rows[offsets(h, q.device)], "h y d -> h 1 y 1 d")
    across = rearrange(columns[offsets(w, q.device)], "w x d -> 1 w 1 x d")
    logits = einsum(q, down + across, "... h w d, h w y x d -> ... h w y x")
    return rearrange(logits, "... h w y x -> ... (h w) (y x)")


def rel_to_abs(x: Float[Tensor, "*batch i r"]) -> Float[Tensor, "*batch i j"]:
    """From one column an offset to one column a key: entry i j is x at offset j - i.

    Column r of x belongs to offset r - (n - 1). Raises ValueError, with n and r, unless
    r = 2n - 1.
    """
    n, r = x.shape[-2:]
    if r != 2 * n - 1:
        raise ValueError(f"{n} queries and {r} offsets; there must be {2 * n - 1}")
    line = rearrange(F.pad(x, (0, 1)), "... i r -> ... (i r)")[..., n - 1 : -1]
    return rearrange(line, "... (i r) -> ... i r", i=n)[..., :n]


def relative_logits_1d(
    q: Float[Tensor, "*batch i d"], table: Float[Tensor, "r d"]
) -> Float[Tensor, "*batch i j"]:
    """q_i · T_(j-i) on one axis; never makes an i j d tensor."""
    return rel_to_abs(einsum(q, table, "... i d, r d -> ... i r"))


def relative_logits_2d(
    q: Float[Tensor, "*batch h w d"],
    rows: Float[Tensor, "r d"],
    columns: Float[Tensor, "s d"],
) -> Float[Tensor, "*batch i j"]:
    """q_i · (R + C) by skewing along each axis: no tensor larger than the attention map."""
    check_tables(*q.shape[-3:-1], rows, columns)
    down = relative_logits_1d(rearrange(q, "... h w d -> ... w h d"), rows)
    across = relative_logits_1d(q, columns)
    logits = rearrange(down, "... w h y -> ... h w y 1") + rearrange(
        across, "... h w x -> ... h w 1 x"
    )
    return rearrange(logits, "... h w y x -> ... (h w) (y x)")


def axis_logits(
    q: Float[Tensor, "*batch h w d"],
    rows: Float[Tensor, "r d"],
    columns: Float[Tensor, "s d"],
) -> tuple[Float[Tensor, "*batch h w y"], Float[Tensor, "*batch h w x"]]:
    """The position scores of each row of keys, and of each column: no skew, no large tensor.

    Their sum, one along each axis, is `relative_logits_2d`.
    """
    h, w = q.shape[-3:-1]
    check_tables(h, w, rows, columns)
    down = einsum(q, rows[offsets(h, q.device)], "... h w d, h y d -> ... h w y")
    across = einsum(q, columns[offsets(w, q.device)], "... h w d, w x d -> ... h w x")
    return down, across


def broadcast_logits(
    q: Float[Tensor, "*batch h w d"],
    rows: Float[Tensor, "r d"],
    columns: Float[Tensor, "s d"],
) -> Float[Tensor, "*batch i j"]:
    """q_i · (R + C) as a sum of scores of rows and columns: makes the attention map once."""
    # In order of axes, so that the sum is too and need not be copied for its last shape.
    down, across = (part.contiguous() for part in axis_logits(q, rows, columns))
    logits = rearrange(down, "... y -> ... y 1") + rearrange(across, "... x -> ... 1 x")
    return rearrange(logits, "... h w y x -> ... (h w) (y x)")


def augmented_pair(
    q: Float[Tensor, "*batch h w d"],
    k: Float[Tensor, "*batch h w d"],
    rows: Float[Tensor, "r d"],
    columns: Float[Tensor, "s d"],
) -> tuple[Float[Tensor, "*batch i m"], Float[Tensor, "*batch j m"]]:
    """Longer queries and keys whose plain products are q_i · (k_j + R + C): nothing is scaled.

    The query brings its position scores of all rows and columns, the key a 1 for its own row
    and one for its own column: m = d + h + w features.
    """
    h, w = q.shape[-3:-1]
    row = repeat(torch.eye(h).to(k), "h y -> h w y", w=w).expand(*k.shape[:-1], h)
    column = repeat(torch.eye(w).to(k), "w x -> h w x", h=h).expand(*k.shape[:-1], w)
    longer = torch.cat([q, *axis_logits(q, rows, columns)], -1), torch.cat([k, row, column], -1)
    return tuple(rearrange(x, "... h w m -> ... (h w) m") for x in longer)


def fused(
    q: Float[Tensor, "*batch i m"],
    k: Float[Tensor, "*batch j m"],
    v: Float[Tensor, "*batch j e"],
    bias: Float[Tensor, "*batch i j"] | None = None,
) -> Float[Tensor, "*batch i e"]:
    """Torch's own attention, without a scale, on what its fast kernels ask for.

    They want one width for q, k and v, and its numbers side by side: zeros fill up.
    """
    e = v.shape[-1]
    width = max(q.shape[-1], e)
    q, k, v = (F.pad(x, (0, width - x.shape[-1])).contiguous() for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)[..., :e]


def relative_weights(
    q: Float[Tensor, "*batch h w d"],
    k: Float[Tensor, "*batch h w d"],
    rows: Float[Tensor, "r d"] | None = None,
    columns: Float[Tensor, "s d"] | None = None,
    logits: Callable[..., Tensor] = relative_logits_2d,
) -> Float[Tensor, "*batch i j"]:
    """The attention map: a key is scored by what it holds and by where it is from the query.

    Without tables, by what it holds alone. `logits` gives the position scores.
    """
    q = q / math.sqrt(q.shape[-1])
    i, j = (rearrange(x, "... h w d -> ... (h w) d") for x in (q, k))
    scores = einsum(i, j, "... i d, ... j d -> ... i j")
    if rows is not None:
        scores = scores + logits(q, rows, columns)
    return scores.softmax(-1)


LOGITS: dict[str, Callable[..., Tensor]] = {
    "naive": gathered_logits,
    "skew": relative_logits_2d,
    "broadcast": broadcast_logits,
}
IMPLEMENTATIONS = (*LOGITS, "fused", "augmented")


def relative_attention_2d(
    q: Float[Tensor, "*batch h w d"],
    k: Float[Tensor, "*batch h w d"],
    v: Float[Tensor, "*batch h w e"],
    rows: Float[Tensor, "r d"] | None = None,
    columns: Float[Tensor, "s d"] | None = None,
    implementation: str = "augmented",
) -> Float[Tensor, "*batch h w e"]:
    """For each pixel the weighted mean of all values.

    implementation  "naive", "skew" and "broadcast" make the attention map; "fused" makes the
                    position scores, once, and leaves the rest to torch; "augmented" makes
                    nothing of the size of that map. All give the same

    Raises ValueError for another name.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"{implementation=} is none of {', '.join(IMPLEMENTATIONS)}")
    h = v.shape[-3]
    line = rearrange(v, "... y x e -> ... (y x) e")
    if implementation in LOGITS:
        y = relative_weights(q, k, rows, columns, LOGITS[implementation]) @ line
        return rearrange(y, "... (h w) e -> ... h w e", h=h)
    q, bias = q / math.sqrt(q.shape[-1]), None
    if rows is not None and implementation == "augmented":
        q, k = augmented_pair(q, k, rows, columns)
    else:
        bias = None if rows is None else broadcast_logits(q, rows, columns)
        q, k = (rearrange(x, "... h w d -> ... (h w) d") for x in (q, k))
    return rearrange(fused(q, k, line, bias), "... (h w) e -> ... h w e", h=h)


def fit_table(
    table: Float[Tensor, "r d"], n: int, stretch: bool = False
) -> Float[Tensor, "s d"]:
    """A table for an axis of n pixels, 2n - 1 entries, out of one for another length.

    An offset keeps its meaning in pixels: a shorter axis uses the middle of the table, on a
    longer one all offsets beyond the last have its vector. With `stretch` the ends keep
    theirs instead, for the same scene in another resolution: entries between are interpolated.
    """
    r, s = len(table), 2 * n - 1
    if r == s:
        return table
    if stretch:
        columns = rearrange(table, "r d -> 1 d r")
        columns = F.interpolate(columns, size=s, mode="linear", align_corners=True)
        return rearrange(columns, "1 d s -> s d")
    wanted = torch.arange(s, device=table.device) - (n - 1)
    return table[wanted.clamp(-(r // 2), r // 2) + r // 2]


def attention_widths(
    out_channels: int, kappa: float | int, upsilon: float | int, heads: int
) -> tuple[int, int]:
    """How many features all keys have, and all values: dk and dv.

    dv is upsilon out_channels, dk is kappa out_channels, both rounded down to a multiple of
    `heads`; but a key has at least 20 features in each head. Without values no keys.
    """

    def share(part: float | int) -> int:
        return math.floor(round(part * out_channels / heads, 6)) * heads

    dv = share(upsilon)
    return (max(share(kappa), 20 * heads), dv) if dv else (0, 0)


def halved(x: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c h2 w2"]:
    """The mean of each 3x3 window at every `stride`-th pixel, over the pixels that there are;
    with a stride of 1 the feature map as it is."""
    if stride == 1:
        return x
    return F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)


class AttentionAugmentedConv2d(nn.Module):
    """A convolution that gives part of its output channels to attention over all pixels.

    kappa       dk / out_channels, and `upsilon` dv / out_channels: 0 is a convolution, 1 is
                attention alone
    size        rows and columns of the input for which tables of relative positions are made;
                None is attention without positions. Other sizes are welcome: see `fit_table`
    downsample  attend at half the resolution and enlarge what comes out, to save memory
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        kappa: float | int = 0.2,
        upsilon: float | int = 0.1,
        heads: int = 8,
        size: int | tuple[int, int] | None = None,
        stride: int = 1,
        downsample: bool = False,
        stretch: bool = False,
        implementation: str = "augmented",
    ):
        super().__init__()
        if not 0 <= upsilon <= 1:
            raise ValueError(f"{upsilon=} is no fraction: it is between 0 and 1")
        if not kernel % 2:
            raise ValueError(f"{kernel=} is even: the two parts would differ in size")
        if upsilon == 1 and out_channels % heads:
            raise ValueError(f"{out_channels=} is not a multiple of {heads=}")
        if implementation not in IMPLEMENTATIONS:
            raise ValueError(f"{implementation=} is none of {', '.join(IMPLEMENTATIONS)}")
        self.heads, self.stride, self.downsample = heads, stride, downsample
        self.stretch, self.implementation = stretch, implementation
        dk, dv = self.widths = attention_widths(out_channels, kappa, upsilon, heads)
        self.conv = self.kqv = self.out = self.rows = self.columns = None
        if dv < out_channels:
            self.conv = nn.Conv2d(
                in_channels, out_channels - dv, kernel, stride, kernel // 2, bias=False
            )
        if dv:
            self.kqv = nn.Conv2d(in_channels, 2 * dk + dv, 1, bias=False)
            self.out = nn.Conv2d(dv, dv, 1, bias=False)
        if dv and size is not None:
            h, w = size if isinstance(size, tuple) else (size, size)
            for _ in range(downsample):
                h, w = -(-h // 2), -(-w // 2)
            h, w, d = -(-h // stride), -(-w // stride), dk // heads
            self.rows = nn.Parameter(torch.randn(2 * h - 1, d) / math.sqrt(d))
            self.columns = nn.Parameter(torch.randn(2 * w - 1, d) / math.sqrt(d))

    def project(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v, b head h w d, at the resolution at which attention runs: `halved` by the
        stride, then for `downsample`. The channels of `kqv` are those of k, q and v in this
        order, of each (head d)."""
        x = halved(x, self.stride)
        x = halved(x, 2) if self.downsample else x
        narrow, wide = self.widths
        k, q, v = self.kqv(x).split([narrow, narrow, wide], dim=1)
        return tuple(
            rearrange(each, "b (head d) h w -> b head h w d", head=self.heads)
            for each in (q, k, v)
        )

    def tables(self, h: int, w: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """The tables of rows and columns for a feature map of this size."""
        if self.rows is None:
            return None, None
        return fit_table(self.rows, h, self.stretch), fit_table(self.columns, w, self.stretch)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b head i j"]:
        """The attention map of each head. Raises ValueError without a channel for attention."""
        if self.kqv is None:
            raise ValueError("upsilon=0 left no channel for attention: there is no map")
        q, k, _ = self.project(x)
        return relative_weights(q, k, *self.tables(*q.shape[-3:-1]))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h2 w2"]:
        """The channels of the convolution, then those of the attention."""
        if self.kqv is None:
            return self.conv(x)
        q, k, v = self.project(x)
        tables = self.tables(*q.shape[-3:-1])
        y = relative_attention_2d(q, k, v, *tables, self.implementation)
        y = self.out(rearrange(y, "b head h w e -> b (head e) h w"))
        if self.downsample:
            size = [-(-n // self.stride) for n in x.shape[-2:]]
            y = F.interpolate(y, size=size, mode="bilinear", align_corners=False)
        return y if self.conv is None else torch.cat([self.conv(x), y], dim=1)


def parameters(
    in_channels: int,
    out_channels: int,
    kernel: int,
    dk: int,
    dv: int,
    heads: int = 1,
    size: tuple[int, int] | None = None,
) -> int:
    """How many numbers an AttentionAugmentedConv2d learns; `size` is that of its input."""
    convolution = kernel**2 * in_channels * (out_channels - dv)
    attention = in_channels * (2 * dk + dv) + dv**2
    places = 0 if size is None else (2 * sum(size) - 2) * dk // heads
    return convolution + attention + places


def multiply_adds(
    in_channels: int, out_channels: int, kernel: int, dk: int, dv: int, size: tuple[int, int]
) -> int:
    """Multiply-adds for one image: both parts, the two products of the attention, and the last
    projection; stride 1, tables not counted."""
    pixels = size[0] * size[1]
    dense = kernel**2 * in_channels * (out_channels - dv) + in_channels * (2 * dk + dv) + dv**2
    return pixels * dense + pixels**2 * (dk + dv)


def _a_value_in_each_head(
    out_channels: int,
    kernel: int,
    kappa: float | int,
    upsilon: float | int,
    heads: int,
    implementation: str,
    **_,
) -> None:
    """A share for attention that is less than a value a head would be a plain convolution."""
    if not kernel % 2 or implementation not in IMPLEMENTATIONS:
        return  # the constructor says so
    if not upsilon > 0 or attention_widths(out_channels, kappa, upsilon, heads)[1]:
        return
    least = max(1, math.floor(heads * (1 - 1e-6) / upsilon))
    while not attention_widths(least, kappa, upsilon, heads)[1]:
        least += 1
    raise ValueError(
        f"{upsilon=} of {out_channels=} is less than one value for each of {heads=}, so nothing"
        f" would attend: take {least} channels or more, fewer heads or a larger upsilon"
    )


def _tables_of_offsets(conv: AttentionAugmentedConv2d) -> None:
    for table in (conv.rows, conv.columns):
        if table is not None:
            nn.init.normal_(table, std=table.shape[-1] ** -0.5)


def _fit(q, k, v, rows=None, columns=None, *_, **__) -> None:
    checks.relative(q, k, v, rows, columns)


def _odd(table: Tensor, n: int, stretch: bool = False) -> None:
    if not len(table) % 2:
        raise ValueError(
            f"a table of {len(table)} entries has none for the offset 0: odd ones do"
        )


relative_attention_2d = checks.before(_fit)(relative_attention_2d)
fit_table = checks.numbers(n=COUNT)(checks.before(_odd)(fit_table))
offsets = checks.numbers(n=FROM_0)(offsets)
halved = checks.numbers(stride=COUNT)(halved)
attention_widths = checks.numbers(out_channels=COUNT, heads=COUNT)(attention_widths)
equip(AttentionAugmentedConv2d, check=_a_value_in_each_head, reset=_tables_of_offsets)
