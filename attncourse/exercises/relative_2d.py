"""Chapter 08, relative positions in the plane: what is asked, what goes wrong, what helps."""

import math
from dataclasses import replace

import torch
from einops import einsum, rearrange, repeat
from torch.nn import functional as F

from attncourse.families import also, family
from attncourse.registry import Cost, Exercise, Slip, Trial, slip
from solutions.relative_2d import (
    AttentionAugmentedConv2d,
    attention_widths,
    augmented_pair,
    axis_logits,
    fit_table,
    gathered_logits,
    halved,
    offsets,
    rel_to_abs,
    relative_attention_2d,
    relative_logits_1d,
    relative_logits_2d,
    relative_weights,
)

# The logits of places: one recipe for all exercises that make them.


def plane_trials():
    def trial(name, front="b head", **sizes):
        inputs = dict(q=f"{front} h w d", rows="r d", columns="s d")
        n = sizes["h"] * sizes["w"]
        sizes |= dict(r=2 * sizes["h"] - 1, s=2 * sizes["w"] - 1, i=n, j=n)
        return Trial(name, sizes, inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=2, head=3, h=4, w=6, d=20),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
        trial("on a single row of 4 pixels", b=3, head=2, h=1, w=4, d=5),
    )


def key_minus_query(n):
    return offsets(n)


def both_multiplied(q, down, across):
    pair = down[:, None, :, None] + across[None, :, None]
    return einsum(q, pair, "... h w d, h w y x d -> ... h w y x")


def in_reading_order(logits):
    return rearrange(logits, "... h w y x -> ... (h w) (y x)")


def as_it_is(logits, q):
    return logits


def plane(
    indexing=key_minus_query,
    reading=lambda table, index: table[index],
    multiplying=both_multiplied,
    flattening=in_reading_order,
    ending=as_it_is,
):
    """`gathered_logits` with some of its steps replaced."""

    def answer(q, rows, columns):
        h, w = q.shape[-3:-1]
        down, across = reading(rows, indexing(h)), reading(columns, indexing(w))
        return ending(flattening(multiplying(q, down, across)), q)

    return answer


def query_minus_key(n):
    """You count query minus key, i - j: your tables are read from the other end. An offset is
    key minus query."""
    return offsets(n).mT


def place_of_the_key(n):
    """Your vectors belong to the place of the key, whatever the query: that is an absolute
    position. The row of the table is key minus query, plus n - 1."""
    return torch.arange(n).expand(n, n)


def place_of_the_query(n):
    """Your vectors belong to the place of the query, whatever the key. The row of the table is
    key minus query, plus n - 1."""
    return torch.arange(n)[:, None].expand(n, n)


def not_shifted(n):
    """Your offsets begin at -(n - 1), and a table counts from 0: add n - 1. (A negative index
    counts from the end without a word.)"""
    return offsets(n) - (n - 1)


def only_how_far(n):
    """You take the absolute distance: above and below, left and right share a vector. The sign
    counts."""
    return (offsets(n) - (n - 1)).abs() + n - 1


def distances_from_0(n):
    """You take the absolute distance, counted from row 0 of the table. The sign counts: key
    minus query, plus n - 1."""
    return (offsets(n) - (n - 1)).abs()


def one_row_late(n):
    """Your rows are 1 too high, as if the table had 2n + 1 of them: offset 0 is row n - 1 of
    2n - 1."""
    return (offsets(n) + 1).clamp(max=2 * n - 2)


def one_row_early(n):
    """Your rows are 1 too low: offset 0 is row n - 1."""
    return (offsets(n) - 1).clamp(min=0)


def later_alike(n):
    """All keys below, or to the right, share the vector of offset 0, as if they were masked:
    they have vectors of their own."""
    return offsets(n).clamp(max=n - 1)


def wraps_around(n):
    """You take key minus query modulo n, as on a torus: above the query comes the bottom row.
    The row of the table is key minus query, plus n - 1."""
    return (offsets(n) - (n - 1)) % n


def one_query_for_all_pixels(q, down, across):
    """You ask with the mean query of the map. Each pixel asks with its own: q at h w."""
    return both_multiplied(q.mean((-3, -2), keepdim=True).expand(q.shape), down, across)


def one_query_for_all_heads(q, down, across):
    """All heads ask with their mean query. The tables are shared, the queries are not."""
    mean = q.mean(-4, keepdim=True) if q.ndim > 4 else q
    return both_multiplied(mean.expand(q.shape), down, across)


def half_for_rows_half_for_columns(q, down, across):
    """You take half of the features for rows and half for columns, as chapter 9 will. Here the
    two vectors have all d features, and are added."""
    half = q.shape[-1] // 2
    first = torch.arange(q.shape[-1], device=q.device) < half
    return both_multiplied(q, down * first, across * ~first)


def rows_alone(q, down, across):
    """The columns are missing: your logits know how far above or below a key is, and not how
    far to the side."""
    return both_multiplied(q, down, 0 * across)


def columns_alone(q, down, across):
    """The rows are missing: your logits know how far to the side a key is, and not how far
    above or below."""
    return both_multiplied(q, 0 * down, across)


def vectors_multiplied(q, down, across):
    """You multiply the vectors of row and column with each other. They are added: q · (R +
    C)."""
    pair = down[:, None, :, None] * across[None, :, None]
    return einsum(q, pair, "... h w d, h w y x d -> ... h w y x")


def logits_multiplied(q, down, across):
    """You multiply what a query says to the row and to the column of a key. The two are
    added."""
    return rows_alone(q, down, across) * columns_alone(q, down, across)


def columns_subtracted(q, down, across):
    """You subtract what the columns say. Both are added: q · (R + C)."""
    return both_multiplied(q, down, -across)


def rows_counted_twice(q, down, across):
    """The rows are added twice, as by a broadcast that is summed. Once: q · (R + C)."""
    return both_multiplied(q, 2 * down, across)


def mean_of_both(q, down, across):
    """You take the mean of the logits of rows and columns. They are added."""
    return both_multiplied(q, down, across) / 2


def not_with_the_query(q, down, across):
    """You add the sums of R and C: a bias in which the query has no say. It is q · (R + C)."""
    ones = torch.ones_like(q)
    return both_multiplied(ones, down, across)


def with_the_query_of_the_key(q, down, across):
    """You multiply the vector of a pair with q at the place of the key. It is the query's own:
    q at h w."""
    pair = down[:, None, :, None] + across[None, :, None]
    return einsum(q, pair, "... y x d, h w y x d -> ... h w y x")


def keys_column_by_column(logits):
    """You number the keys column by column, (x y). They are read row by row, (y x), like the
    queries: otherwise key and value j are different pixels."""
    return rearrange(logits, "... h w y x -> ... (h w) (x y)")


def queries_column_by_column(logits):
    """You number the queries column by column, (w h). They are read row by row: (h w)."""
    return rearrange(logits, "... h w y x -> ... (w h) (y x)")


def column_by_column(logits):
    """You number all pixels column by column. They are read row by row: (h w) and (y x)."""
    return rearrange(logits, "... h w y x -> ... (w h) (x y)")


def keys_down(logits):
    """Your rows are keys and your columns queries: j i. The queries go down: i j."""
    return rearrange(logits, "... h w y x -> ... (y x) (h w)")


def axes_mixed(logits):
    """You flatten without moving the axes into place: h w y x has to be read as (h w) (y x); in
    your order h and y, w and x stand together."""
    h, w = logits.shape[-4:-2]
    mixed = rearrange(logits, "... h w y x -> ... h y w x")
    return mixed.reshape(*mixed.shape[:-4], h * w, h * w)


def turned_axes_mixed(logits):
    """You flatten w x h y as it lies. It has to be read as (h w) (y x): move the axes first."""
    h, w = logits.shape[-4:-2]
    mixed = rearrange(logits, "... h w y x -> ... w x h y")
    return mixed.reshape(*mixed.shape[:-4], h * w, h * w)


def divided_already(logits, q):
    """You divide by sqrt(d) here. The queries come divided: these are plain products."""
    return logits / math.sqrt(q.shape[-1])


def divided_by_d(logits, q):
    """You divide by d here. The queries come divided by sqrt(d): these are plain products."""
    return logits / q.shape[-1]


def earlier_pixels_alone(logits, q):
    """You set the logits of later pixels to 0, as in the Transformer's decoder. In a picture
    all keys are there."""
    return logits.tril()


def rectified_logits(logits, q):
    """You apply a ReLU. Logits may be negative: these are plain products."""
    return logits.relu()


def softmax_already(logits, q):
    """You take a softmax here. The content has to be added first: these are plain products."""
    return logits.softmax(-1)


PLANE = family(
    plane,
    paired=(query_minus_key, keys_column_by_column, divided_already, rows_alone, columns_alone),
    indexing=(
        query_minus_key,
        place_of_the_key,
        place_of_the_query,
        not_shifted,
        only_how_far,
        distances_from_0,
        one_row_late,
        one_row_early,
        later_alike,
        wraps_around,
    ),
    multiplying=(
        rows_alone,
        columns_alone,
        vectors_multiplied,
        logits_multiplied,
        columns_subtracted,
        rows_counted_twice,
        mean_of_both,
        not_with_the_query,
        with_the_query_of_the_key,
        one_query_for_all_pixels,
        one_query_for_all_heads,
        half_for_rows_half_for_columns,
    ),
    flattening=(
        keys_column_by_column,
        queries_column_by_column,
        column_by_column,
        keys_down,
        axes_mixed,
    ),
    ending=(
        divided_already,
        divided_by_d,
        earlier_pixels_alone,
        rectified_logits,
        softmax_already,
    ),
)


def halves_read(of_rows=in_reading_order, of_columns=in_reading_order):
    """`gathered_logits` in which the two halves are read in orders of their own."""

    def answer(q, rows, columns):
        h, w = q.shape[-3:-1]
        down, across = rows[offsets(h)], columns[offsets(w)]
        return of_rows(rows_alone(q, down, across)) + of_columns(columns_alone(q, down, across))

    return answer


def half_slips():
    """A permute is missing in one half: what ports of the paper's code got wrong most often."""
    orders = (
        (keys_column_by_column, "numbers the keys column by column, (x y)"),
        (queries_column_by_column, "numbers the queries column by column, (w h)"),
        (column_by_column, "numbers all pixels column by column"),
        (keys_down, "has keys down and queries across, j i"),
        (axes_mixed, "is flattened before its axes are in place"),
        (turned_axes_mixed, "is flattened as w x h y"),
    )
    for half in ("rows", "columns"):
        for order, says in orders:
            yield Slip(
                f"{half}_{order.__name__}",
                f"The half of the {half} {says}; the other half is right. A permute is missing:"
                " both are (h w) (y x) before they are added.",
                halves_read(**{f"of_{half}": order}),
            )


HALVES = tuple(half_slips())


def rows_turned(q, rows, columns):
    """Your rows are read from the other end, your columns are right: below is y - h > 0, as
    right is x - w > 0."""
    return gathered_logits(q, rows.flip(0), columns)


def columns_turned(q, rows, columns):
    """Your columns are read from the other end, your rows are right: right is x - w > 0, as
    below is y - h > 0."""
    return gathered_logits(q, rows, columns.flip(0))


def gathered_loops(q, rows, columns):
    h, w = q.shape[-3:-1]
    pixels, lines = [(a, b) for a in range(h) for b in range(w)], []
    for a, b in pixels:
        places = [rows[y - a + h - 1] + columns[x - b + w - 1] for y, x in pixels]
        lines.append(torch.stack([(q[..., a, b, :] * place).sum(-1) for place in places], -1))
    return torch.stack(lines, -2)


def gathered_flat(q, rows, columns):
    h, w, d = q.shape[-3:]
    n = torch.arange(h * w, device=q.device)
    down = (n // w)[None] - (n // w)[:, None] + h - 1
    across = (n % w)[None] - (n % w)[:, None] + w - 1
    flat = q.reshape(*q.shape[:-3], h * w, 1, d)
    return (flat * (rows[down] + columns[across])).sum(-1)


def by_columns_of_the_product(q, rows, columns):
    h, w = q.shape[-3:-1]
    n = torch.arange(h * w, device=q.device)
    flat = q.flatten(-3, -2)
    found = 0
    for table, place, size in ((rows, n // w, h), (columns, n % w, w)):
        product = flat @ table.T
        where = (place[None, :] - place[:, None] + size - 1).expand(*product.shape[:-1], h * w)
        found = found + product.gather(-1, where)
    return found


# the skew


def skew_trials():
    def trial(name, front="b", **sizes):
        r = 2 * sizes["i"] - 1
        return Trial(name, sizes | dict(r=r, j=sizes["i"]), dict(x=f"{front} i r"))

    return (
        trial("for 4 queries and 7 offsets", b=2, i=4),
        trial("with an axis of heads, 5 queries", "b head", b=2, head=3, i=5),
        trial("for one query", b=3, i=1),
    )


def width(x):
    return x.shape[-2]


def padded_on_the_left(x):
    """You put the column of zeros on the left. It goes to the right, so that each row begins
    one step later than the one above: `F.pad(x, (0, 1))`."""
    n = width(x)
    flat = F.pad(F.pad(x, (1, 0)).flatten(-2), (0, n - 1))
    return flat.unflatten(-1, (n + 1, 2 * n - 1))[..., :n, n - 1 :]


def first_columns_kept(x):
    """After the reshape you keep the first n columns. The wanted ones are the last n: from
    column n - 1 on."""
    n = width(x)
    flat = F.pad(F.pad(x, (0, 1)).flatten(-2), (0, n - 1))
    return flat.unflatten(-1, (n + 1, 2 * n - 1))[..., :n, :n]


def first_row_dropped(x):
    """After the reshape you drop the first row. It is the last that is too many: it holds
    padding."""
    n = width(x)
    flat = F.pad(F.pad(x, (0, 1)).flatten(-2), (0, n - 1))
    return flat.unflatten(-1, (n + 1, 2 * n - 1))[..., 1:, n - 1 :]


def not_skewed(x):
    """Your rows are not moved: column r is still an offset. In row i key 0 is column
    n - 1 - i."""
    return x[..., : width(x)]


def not_skewed_from_the_middle(x):
    """You cut off the negative offsets and move nothing: in row i key 0 is column n - 1 - i."""
    return x[..., width(x) - 1 :]


def offsets_reversed(x):
    """You read the offsets from the other end: i - j. Column r is the offset r - (n - 1), key
    minus query."""
    return rel_to_abs(x.flip(-1))


def moved_the_other_way(x):
    """Your rows move the wrong way: row i begins at column i. It begins at column
    n - 1 - i: each row one further to the left."""
    n = width(x)
    return torch.stack([x[..., i, i : i + n] for i in range(n)], -2)


def earlier_keys_alone(x):
    """You set later keys to 0, as in the Transformer's decoder. In a picture all keys are
    there."""
    return rel_to_abs(x).tril()


def keys_go_down(x):
    """Your rows are keys: j i. The queries go down, i j."""
    return rel_to_abs(x).mT


def one_offset_too_far(x):
    """You are one column late: the diagonal shows offset 1. Offset 0 is column n - 1."""
    return rel_to_abs(x.roll(-1, -1))


def one_offset_short(x):
    """You are one column early: the diagonal shows offset -1. Offset 0 is column n - 1."""
    return rel_to_abs(x.roll(1, -1))


def music_transformer(x):
    """You skew as in chapter 3, one-sided: with negative offsets only, and garbage above the
    diagonal. Here there are 2n - 1 offsets: later keys have columns of their own."""
    n = width(x)
    past = x[..., :n]
    return F.pad(past, (1, 0)).flatten(-2).unflatten(-1, (n + 1, n))[..., 1:, :]


def only_how_far_on_a_line(x):
    """You take the absolute distance: left and right neighbours share a column. Column r is the
    offset r - (n - 1), with its sign."""
    n = width(x)
    far = (offsets(n) - (n - 1)).abs() + n - 1
    return x.gather(-1, far.expand(*x.shape[:-1], n))


def distances_from_column_0(x):
    """You take the absolute distance, counted from column 0. Column r is the offset r - (n -
    1), with its sign."""
    n = width(x)
    far = (offsets(n) - (n - 1)).abs()
    return x.gather(-1, far.expand(*x.shape[:-1], n))


def without_n_minus_1(x):
    """You read column j - i: a negative index counts from the end, so the diagonal is the most
    negative offset. Column j - i + n - 1."""
    n = width(x)
    return x.gather(-1, ((offsets(n) - (n - 1)) % x.shape[-1]).expand(*x.shape[:-1], n))


def reshaped_without_padding(x):
    """You reshape without padding: rows stay aligned as they were read, and numbers of
    different queries mix. One number more in each row makes each begin one step later."""
    n = width(x)
    return x.reshape(*x.shape[:-2], 2 * n - 1, n)[..., :n, :]


def cut_into_rows_of_n(x):
    """You pad and cut the line into rows of n: 2n of them, which mixes queries. Rows of 2n - 1
    move each query by one."""
    n = width(x)
    return F.pad(x, (0, 1)).reshape(*x.shape[:-2], 2 * n, n)[..., :n, :]


def queries_and_keys_mixed_up(x):
    """You take row j of x for query i: the number at offset j - i that the *key* gives. It is
    row i, the query's own."""
    n = width(x)
    turned = offsets(n).mT.expand(*x.shape[:-1], n)
    return x.gather(-1, turned).mT.contiguous()


def scaled_on_the_way(x):
    """You scale on the way. Skewing moves numbers and changes none."""
    return rel_to_abs(x) / math.sqrt(width(x))


def queries_turned(x):
    """Your queries are upside down: row i holds what belongs to query n - 1 - i."""
    return rel_to_abs(x).flip(-2)


def one_column_late_at_most_the_last(x):
    """You are one column late, and cut off what is beyond the table: the diagonal shows offset
    1. Offset 0 is column n - 1."""
    n = x.shape[-2]
    index = (offsets(n, x.device) + 1).clamp(max=2 * n - 2)
    return x.gather(-1, index.expand(*x.shape[:-1], n))


def one_column_early_at_least_the_first(x):
    """You are one column early, and cut off what is before the table: the diagonal shows offset
    -1. Offset 0 is column n - 1."""
    n = x.shape[-2]
    index = (offsets(n, x.device) - 1).clamp(min=0)
    return x.gather(-1, index.expand(*x.shape[:-1], n))


def keys_turned(x):
    """Your keys are turned: column j holds what belongs to key n - 1 - j."""
    return rel_to_abs(x).flip(-1)


def later_keys_alone(x):
    """You set earlier keys to 0. In a picture all keys are there, before and after."""
    return rel_to_abs(x).triu()


SKEWS = (
    one_column_late_at_most_the_last,
    one_column_early_at_least_the_first,
    keys_turned,
    later_keys_alone,
    padded_on_the_left,
    first_columns_kept,
    first_row_dropped,
    not_skewed,
    not_skewed_from_the_middle,
    offsets_reversed,
    moved_the_other_way,
    earlier_keys_alone,
    keys_go_down,
    one_offset_too_far,
    one_offset_short,
    music_transformer,
    queries_turned,
    only_how_far_on_a_line,
    distances_from_column_0,
    without_n_minus_1,
    reshaped_without_padding,
    cut_into_rows_of_n,
    queries_and_keys_mixed_up,
    scaled_on_the_way,
)


def skew_by_gather(x):
    n = width(x)
    return x.gather(-1, offsets(n, x.device).expand(*x.shape[:-1], n))


def skew_by_rows(x):
    n = width(x)
    return torch.stack([x[..., i, n - 1 - i : 2 * n - 1 - i] for i in range(n)], dim=-2)


def skew_as_in_the_paper(x):
    n = x.shape[-2]
    flat = F.pad(F.pad(x, (0, 1)).reshape(*x.shape[:-2], -1), (0, n - 1))
    return flat.reshape(*x.shape[:-2], n + 1, 2 * n - 1)[..., :n, n - 1 :]


# one axis


def line_trials():
    def trial(name, front="b", **sizes):
        sizes |= dict(r=2 * sizes["i"] - 1, j=sizes["i"])
        return Trial(name, sizes, dict(q=f"{front} i d", table="r d"))

    return (
        trial("for 13 queries", b=2, i=13, d=32),
        trial("on the rows of a map", "b head h", b=2, head=4, h=3, i=5, d=6),
    )


def skewed_by(wrong):
    """`relative_logits_1d` with a slip of `rel_to_abs` inside."""
    one = wrong if isinstance(wrong, Slip) else slip(wrong)
    return replace(one, answer=lambda q, table: one.answer(q @ table.mT))


def largest_tensor(q, table):
    """Right, but a vector for every pair is gathered first."""
    rows = table[offsets(q.shape[-2])]
    return einsum(q, rows, "... i d, i j d -> ... i j")


def line_divided(q, table):
    """You divide by sqrt(d) here. The queries come divided: these are plain products."""
    return relative_logits_1d(q, table) / math.sqrt(q.shape[-1])


def feature_sums(q, table):
    """You sum the features of q and of the table apart: the letter d must be the same on both
    sides of the comma."""
    return rel_to_abs(q.sum(-1, keepdim=True) * table.sum(-1))


def own_row(q, table):
    """You multiply query i with one row of the table, the i-th. Every query meets every row;
    the skew sorts them."""
    n = q.shape[-2]
    return (q * table[:n]).sum(-1, keepdim=True).expand(*q.shape[:-1], n).contiguous()


def line_by_gather(q, table):
    n = q.shape[-2]
    return torch.take_along_dim(q @ table.mT, offsets(n, q.device).expand(*q.shape[:-1], n), -1)


def line_by_rows(q, table):
    n = q.shape[-2]
    rows = [
        torch.matmul(table[n - 1 - i : 2 * n - 1 - i], q[..., i, :, None])[..., 0]
        for i in range(n)
    ]
    return torch.stack(rows, dim=-2)


WholeTable = Slip(
    "largest_tensor",
    "Right, but a vector for every pair of pixels is laid out first.",
    gathered_logits,
)


def skewed_in_the_plane(wrong):
    """`relative_logits_2d` with a slip of `rel_to_abs` inside."""
    one = slip(wrong)

    def answer(q, rows, columns):
        down = one.answer(rearrange(q @ rows.mT, "... h w r -> ... w h r"))
        down = rearrange(down, "... w h y -> ... h w y 1")
        across = one.answer(q @ columns.mT)
        return in_reading_order(down + rearrange(across, "... h w x -> ... h w 1 x"))

    return replace(one, answer=answer)


PLANE_SKEWS = tuple(
    map(
        skewed_in_the_plane,
        (
            padded_on_the_left,
            first_columns_kept,
            first_row_dropped,
            not_skewed_from_the_middle,
            moved_the_other_way,
            music_transformer,
            reshaped_without_padding,
            cut_into_rows_of_n,
            queries_turned,
        ),
    )
)


def rows_of_a_reshape(q, rows, columns):
    """For the rows you reshape q to w h: the queries of other pixels get there. Move the axes:
    rearrange "... h w d -> ... w h d"."""
    turned = q.reshape(*q.shape[:-3], q.shape[-2], q.shape[-3], q.shape[-1])
    down = relative_logits_1d(turned, rows).transpose(-3, -2)
    across = relative_logits_1d(q, columns)
    return in_reading_order(down[..., None] + across[..., None, :])


def plane_by_skew(q, rows, columns):
    down = relative_logits_1d(q.transpose(-3, -2), rows).transpose(-3, -2)
    across = relative_logits_1d(q, columns)
    return (down.unsqueeze(-1) + across.unsqueeze(-2)).flatten(-2).flatten(-3, -2)


def plane_without_skew(q, rows, columns):
    down, across = axis_logits(q, rows, columns)
    h, w = q.shape[-3:-1]
    down = repeat(down, "... h w y -> ... (h w) (y x)", x=w)
    return down + repeat(across, "... h w x -> ... (h w) (y x)", y=h)


# what a query says to rows and columns


def axis_trials():
    def trial(name, **sizes):
        inputs = dict(q="b head h w d", rows="r d", columns="s d")
        h, w = sizes["h"], sizes["w"]
        return Trial(name, sizes | dict(r=2 * h - 1, s=2 * w - 1, y=h, x=w), inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=2, head=3, h=4, w=6, d=5),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
        trial("on one column of 3 pixels", b=2, head=1, h=3, w=1, d=4),
    )


def two(indexing=key_minus_query, asking=lambda q: q, ending=lambda y, x, q: (y, x)):
    def answer(q, rows, columns):
        h, w = q.shape[-3:-1]
        down = einsum(asking(q), rows[indexing(h)], "... h w d, h y d -> ... h w y")
        across = einsum(asking(q), columns[indexing(w)], "... h w d, w x d -> ... h w x")
        return ending(down, across, q)

    return answer


def one_query_for_all(q):
    """You multiply with the mean query of the map. Each pixel asks with its own."""
    return q.mean((-3, -2), keepdim=True).expand(q.shape)


def columns_first(down, across, q):
    """The two come in the wrong order: first what a query says to the rows, h w y, then what it
    says to the columns, h w x."""
    return across, down


def two_divided(down, across, q):
    """You divide by sqrt(d) here. The queries come divided: these are plain products."""
    return down / math.sqrt(q.shape[-1]), across / math.sqrt(q.shape[-1])


def summed_to_the_map(down, across, q):
    """You add the two already: that makes the large map. Return them apart, h w y and h w x."""
    both = in_reading_order(down[..., None] + across[..., None, :])
    return both, both


def not_sorted(q, rows, columns):
    """You multiply with the whole tables: your last axes are offsets, r and s. Take for each
    query the rows of the table that belong to y = 0, 1, …: `rows[offsets(h)]` is h y d."""
    return q @ rows.mT, q @ columns.mT


def cut_not_sorted(q, rows, columns):
    """You cut the products to h and w columns: that takes the most negative offsets, the same
    for all queries. Sort them first: `rows[offsets(h)]` is h y d."""
    h, w = q.shape[-3:-1]
    return (q @ rows.mT)[..., :h], (q @ columns.mT)[..., :w]


def cut_from_the_middle(q, rows, columns):
    """You take the last h and w products with the tables: offset 0 and above, the same for all
    queries. Sort them first: `rows[offsets(h)]` is h y d."""
    h, w = q.shape[-3:-1]
    return (q @ rows.mT)[..., h - 1 :], (q @ columns.mT)[..., w - 1 :]


def rows_not_moved_back(q, rows, columns):
    """What a query says to the rows comes as w h y: move the axes back, h w y."""
    down, across = axis_logits(q, rows, columns)
    return down.transpose(-3, -2), across


def down_of_a_reshape(q, rows, columns):
    """For the rows you reshape the map: numbers of other pixels get there. Where an axis moves,
    `rearrange` it."""
    h, w, d = q.shape[-3:]
    turned = q.reshape(*q.shape[:-3], w, h, d)
    down = relative_logits_1d(turned, rows).transpose(-3, -2)
    return down, relative_logits_1d(q, columns)


def down_turned(q, rows, columns):
    """Your rows are read from the other end, your columns are right: below is y - h > 0."""
    return axis_logits(q, rows.flip(0), columns)


def across_turned(q, rows, columns):
    """Your columns are read from the other end, your rows are right: right is x - w > 0."""
    return axis_logits(q, rows, columns.flip(0))


def softmax_of_each(q, rows, columns):
    """You take a softmax here. The content has to be added first: these are plain products."""
    return tuple(x.softmax(-1) for x in axis_logits(q, rows, columns))


def keys_before_queries(q, rows, columns):
    """In your einsum the table is read as y h d: what belongs to a key is given to a query.
    `offsets` has queries down: h y d."""
    h, w = q.shape[-3:-1]
    down = einsum(q, rows[offsets(h)], "... h w d, y h d -> ... h w y")
    return down, einsum(q, columns[offsets(w)], "... h w d, x w d -> ... h w x")


def rows_by_gather(q, rows, columns):
    h, w = q.shape[-3:-1]
    down = (q.unsqueeze(-2) * rows[offsets(h, q.device)].unsqueeze(1)).sum(-1)
    across = q.unsqueeze(-2) @ columns[offsets(w, q.device)].mT
    return down, across.squeeze(-2)


def rows_by_skew(q, rows, columns):
    down = relative_logits_1d(q.transpose(-3, -2), rows).transpose(-3, -2)
    return down, relative_logits_1d(q, columns)


# the map


def weight_trials():
    def trial(name, places=True, **sizes):
        inputs = dict(q="b head h w d", k="b head h w d")
        inputs |= dict(rows="r d", columns="s d") if places else {}
        h, w = sizes["h"], sizes["w"]
        sizes |= dict(r=2 * h - 1, s=2 * w - 1) if places else {}
        return Trial(name, sizes | dict(i=h * w, j=h * w), inputs)

    return (
        trial("on a map of 2 x 5 pixels", b=3, head=4, h=2, w=5, d=6),
        trial("on a map of 4 x 3 pixels", b=2, head=1, h=4, w=3, d=8),
        trial("without tables", False, b=2, head=3, h=4, w=5, d=7),
    )


def from_q_and_k(q, k):
    return einsum(q, k, "... h w d, ... y x d -> ... h w y x").flatten(-2).flatten(-3, -2)


def from_q(q, k, rows, columns):
    return 0 if rows is None else relative_logits_2d(q, rows, columns)


def sum_over_root(content, place, d, heads):
    return (content + place) / math.sqrt(d)


def over_keys(scores):
    return scores.softmax(-1)


def weights_recipe(
    content=from_q_and_k, placing=from_q, scaling=sum_over_root, normalising=over_keys
):
    """`relative_weights` with some of its steps replaced."""

    def answer(q, k, rows=None, columns=None, logits=relative_logits_2d):
        place = placing(q, k, rows, columns)
        return normalising(scaling(content(q, k), place, q.shape[-1], q.shape[-4]))

    return answer


def keys_flattened_column_by_column(q, k):
    """You flatten the keys column by column, (x y), and the queries row by row. Both are read
    row by row."""
    return from_q_and_k(q, k.transpose(-3, -2).reshape(k.shape))


def places_missing(q, k, rows, columns):
    """The places are missing: you score keys by what they hold alone. Add `logits(q, rows,
    columns)`."""
    return 0


def places_of_k(q, k, rows, columns):
    """You ask the tables with k. It is the query that knows how far it wants to look: q."""
    return from_q(k, k, rows, columns)


def tables_turned(q, k, rows, columns):
    """Your tables are read from the other end: i - j. An offset is key minus query."""
    return 0 if rows is None else relative_logits_2d(q, rows.flip(0), columns.flip(0))


def place_columns_missing(q, k, rows, columns):
    """The columns are missing in the places: only rows are told apart."""
    return 0 if rows is None else relative_logits_2d(q, rows, 0 * columns)


def place_rows_missing(q, k, rows, columns):
    """The rows are missing in the places: only columns are told apart."""
    return 0 if rows is None else relative_logits_2d(q, 0 * rows, columns)


def places_transposed(q, k, rows, columns):
    """The map of the places is turned, j i. Its rows are queries, like those of q kᵀ: no
    transpose."""
    return relative_logits_2d(q, rows, columns).mT


def places_of_both(q, k, rows, columns):
    """You ask the tables with q and with k. The query alone knows where it looks: q."""
    return from_q(q, k, rows, columns) + from_q(k, q, rows, columns)


def places_for_one_head(q, k, rows, columns):
    """Only the first head gets the places. All heads share the tables: each asks them with its
    own queries."""
    place = from_q(q, k, rows, columns)
    if rows is not None:
        place[:, 1:] = 0
    return place


def places_of_the_first_head(q, k, rows, columns):
    """All heads get the places that the first one asks for. Each asks with its own queries."""
    return from_q(q[:, :1], k, rows, columns)


def place_unscaled(content, place, d, heads):
    """The places are not scaled: you divide q · k alone. Divide q by sqrt(d) before both
    products."""
    return content / math.sqrt(d) + place


def content_unscaled(content, place, d, heads):
    """The content is not scaled: you divide the places alone. Divide q by sqrt(d) before both
    products."""
    return content + place / math.sqrt(d)


def place_scaled_twice(content, place, d, heads):
    """The places are divided by sqrt(d) twice: once with q, and once more in the sum."""
    return content / math.sqrt(d) + place / d


def all_scaled_twice(content, place, d, heads):
    """You divide by d, or by sqrt(d) twice. Once by sqrt(d): the queries."""
    return (content + place) / d


def unscaled(content, place, d, heads):
    """Nothing is scaled. Divide q by sqrt(d) before both products."""
    return content + place


def by_all_heads(content, place, d, heads):
    """You divide by the root of dk, the width of all heads. It is that of one: sqrt(d) with
    d = dk / heads."""
    return (content + place) / math.sqrt(d * heads)


def content_scaled_twice(content, place, d, heads):
    """The content is divided by sqrt(d) twice: once alone, and once more in the sum."""
    return content / d + place / math.sqrt(d)


def fourth_root(content, place, d, heads):
    """You divide by the fourth root of d. That is for dividing q *and* k; dividing q alone
    takes sqrt(d)."""
    return (content + place) / d**0.25


def by_the_number_of_pixels(content, place, d, heads):
    """You divide by the root of the number of pixels. It is the width that counts: sqrt(d), the
    last axis of q."""
    return (content + place) / math.sqrt(content.shape[-1])


def times_root_of_d(content, place, d, heads):
    """You multiply q by sqrt(d). Divide."""
    return (content + place) * math.sqrt(d)


def place_times_content(content, place, d, heads):
    """You multiply content and places. They are added: q · (k + R + C)."""
    return content * place / d if isinstance(place, torch.Tensor) else content / math.sqrt(d)


def place_subtracted(content, place, d, heads):
    """You subtract the places. They are added to the content."""
    return (content - place) / math.sqrt(d)


def place_alone(content, place, d, heads):
    """What the keys hold plays no part: q · k is missing."""
    return (0 * content + place) / math.sqrt(d)


def over_queries(scores):
    """Your softmax runs over the queries i. It runs over the keys j, the last axis."""
    return scores.softmax(-2)


def over_heads(scores):
    """Your softmax runs over the heads. It runs over the keys j, the last axis."""
    return scores.softmax(-3)


def over_a_row_of_keys(scores):
    """Your softmax runs over each row of the picture apart, as if the keys were still y x. It
    runs over all pixels at once."""
    n = scores.shape[-1]
    w = next(x for x in range(math.isqrt(n) + 1, n + 1) if n % x == 0)
    w = {10: 5, 12: 3, 20: 5}.get(n, w)
    return scores.unflatten(-1, (-1, w)).softmax(-1).flatten(-2)


def softmax_twice(scores):
    """You take the softmax twice. Once is enough."""
    return scores.softmax(-1).softmax(-1)


def no_softmax(scores):
    """The softmax is missing: you return the bare scores."""
    return scores


def sigmoid(scores):
    """A sigmoid is no share: the weights of a query sum to 1 over the keys. Take a softmax."""
    return scores.sigmoid()


def keys_ask(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """q and k have changed roles: your rows belong to the keys. The query asks: it is q that is
    divided and that meets the tables."""
    return relative_weights(k, q, rows, columns)


def places_by_the_key_turned(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """You ask the tables with k and turn the result: the key then says where it wants to be
    seen from. It is the query that knows where it looks: logits(q, …)."""
    scores = from_q_and_k(q, k)
    if rows is not None:
        scores = scores + relative_logits_2d(k, rows, columns).mT
    return (scores / math.sqrt(q.shape[-1])).softmax(-1)


def place_after_the_softmax(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """You add the places after the softmax. They are part of the scores: before it."""
    q = q / math.sqrt(q.shape[-1])
    return from_q_and_k(q, k).softmax(-1) + from_q(q, k, rows, columns)


def two_softmaxes(q, k, rows=None, columns=None, logits=relative_logits_2d):
    """You take a softmax of content and places apart and add. One softmax, of the sum."""
    q = q / math.sqrt(q.shape[-1])
    weights = from_q_and_k(q, k).softmax(-1)
    if rows is None:
        return weights
    return (weights + relative_logits_2d(q, rows, columns).softmax(-1)) / 2


def weights_by_augmenting(q, k, rows=None, columns=None, logits=None):
    q = q * q.shape[-1] ** -0.5
    if rows is None:
        return F.softmax(q.flatten(-3, -2) @ k.flatten(-3, -2).mT, dim=-1)
    a, b = augmented_pair(q, k, rows, columns)
    return F.softmax(a @ b.mT, dim=-1)


def weights_late_scale(q, k, rows=None, columns=None, logits=None):
    scores = torch.einsum("...hwd,...yxd->...hwyx", q, k).flatten(-2).flatten(-3, -2)
    if rows is not None:
        scores = scores + gathered_loops(q, rows, columns)
    scores = scores / q.shape[-1] ** 0.5
    e = (scores - scores.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


# one product that does all


def pair_trials():
    def trial(name, **sizes):
        h, w = sizes["h"], sizes["w"]
        inputs = dict(q="b head h w d", k="b head h w d", rows="r d", columns="s d")
        sizes |= dict(r=2 * h - 1, s=2 * w - 1, i=h * w, j=h * w, m=sizes["d"] + h + w)
        return Trial(name, sizes, inputs)

    return (
        trial("on a map of 4 x 6 pixels", b=2, head=3, h=4, w=6, d=8),
        trial("on a map of 5 x 2 pixels", b=4, head=1, h=5, w=2, d=6),
    )


def said(q, rows, columns):
    return axis_logits(q, rows, columns)


def ones(h, w, like):
    row = torch.eye(h).to(like)[:, None].expand(h, w, h)
    column = torch.eye(w).to(like)[None].expand(h, w, w)
    return row, column


def joined(x, *parts):
    front = x.shape[:-3]
    return torch.cat([x, *(p.expand(*front, *p.shape[-3:]) for p in parts)], -1).flatten(-3, -2)


def augmenting(saying=said, marking=ones, joining_q=joined, joining_k=joined):
    """`augmented_pair` with some of its steps replaced."""

    def answer(q, k, rows, columns):
        h, w = q.shape[-3:-1]
        return joining_q(q, *saying(q, rows, columns)), joining_k(k, *marking(h, w, k))

    return answer


def said_scaled(q, rows, columns):
    """You divide what the query says by sqrt(d). q comes divided: append plain products."""
    return tuple(x / math.sqrt(q.shape[-1]) for x in axis_logits(q, rows, columns))


def said_turned(q, rows, columns):
    """Your tables are read from the other end: i - j. An offset is key minus query."""
    return axis_logits(q, rows.flip(0), columns.flip(0))


def said_absolute(q, rows, columns):
    """You cut the products with the tables to h and w columns: the most negative offsets, the
    same for all queries. `axis_logits` sorts them."""
    h, w = q.shape[-3:-1]
    return (q @ rows.mT)[..., :h], (q @ columns.mT)[..., :w]


def marks_column_by_column(h, w, like):
    """Your ones number the pixels column by column: pixel 1 would be in row 1. Reading row by
    row, the row stays the same for w pixels: "h y -> (h w) y"."""
    row = torch.eye(h).to(like).repeat(w, 1).reshape(h, w, h)
    column = torch.eye(w).to(like).repeat_interleave(h, 0).reshape(h, w, w)
    return row, column


def marks_of_rows_repeated(h, w, like):
    """Your ones for the rows change from pixel to pixel. Reading row by row, the row stays the
    same for w pixels: "h y -> (h w) y", or repeat_interleave(w)."""
    _, column = ones(h, w, like)
    return torch.eye(h).to(like).repeat(w, 1).reshape(h, w, h), column


def marks_of_columns_repeated(h, w, like):
    """Your ones for the columns stay for several pixels. Reading row by row, the column changes
    with every pixel: "w x -> (h w) x", or repeat(h, 1)."""
    row, _ = ones(h, w, like)
    return row, torch.eye(w).to(like).repeat_interleave(h, 0).reshape(h, w, w)


def marks_turned(h, w, like):
    """Your ones count rows and columns from the far end. Row 0 has its 1 first."""
    row, column = ones(h, w, like)
    return row.flip(-1), column.flip(-1)


def marks_all_ones(h, w, like):
    """Your marks are 1 everywhere: every key gets the sum over all rows and columns. A key has
    one 1 for its own row and one for its own column."""
    row, column = ones(h, w, like)
    return torch.ones_like(row), torch.ones_like(column)


def marks_missing(h, w, like):
    """Your marks are 0: what the query appends meets nothing. A key has a 1 for its own row and
    one for its own column."""
    row, column = ones(h, w, like)
    return 0 * row, 0 * column


def marks_of_rows_alone(h, w, like):
    """The keys have no 1 for their column: only rows are told apart."""
    row, column = ones(h, w, like)
    return row, 0 * column


def columns_before_rows_in_k(x, row, column):
    """In k the columns come before the rows, in q the rows before the columns: the wrong ones
    meet. The same order in both."""
    return joined(x, column, row)


def columns_before_rows_in_q(x, row, column):
    """In q the columns come before the rows, in k the rows before the columns: the wrong ones
    meet. Rows first in both."""
    return joined(x, column, row)


def key_not_flattened_alike(x, row, column):
    """You flatten the keys column by column. Pixels are read row by row: (h w)."""
    front = x.shape[:-3]
    both = torch.cat([x, *(p.expand(*front, *p.shape[-3:]) for p in (row, column))], -1)
    return both.transpose(-3, -2).flatten(-3, -2)


def content_left_out_of_k(x, row, column):
    """The content of the keys is missing: k itself comes first, then the ones."""
    return joined(0 * x, row, column)


def content_left_out_of_q(x, row, column):
    """The content of the queries is missing: q itself comes first, then what it says to rows
    and columns."""
    return joined(0 * x, row, column)


def content_scaled(x, row, column):
    """You divide q by sqrt(d) here. The queries come divided: q is taken as it is."""
    return joined(x / math.sqrt(x.shape[-1]), row, column)


def keys_scaled(x, row, column):
    """You divide k by sqrt(d) here. The queries come divided: k is taken as it is."""
    return content_scaled(x, row, column)


def query_not_flattened_alike(x, row, column):
    """You flatten the queries column by column. Pixels are read row by row: (h w)."""
    return key_not_flattened_alike(x, row, column)


def content_last_in_k(x, row, column):
    """In k the content comes last, in q first: the wrong features meet. The same order in
    both."""
    parts = [p.expand(*x.shape[:-3], *p.shape[-3:]) for p in (row, column)]
    return torch.cat([*parts, x], -1).flatten(-3, -2)


def content_last_in_q(x, row, column):
    """In q the content comes last, in k first: the wrong features meet. The same order in
    both."""
    return content_last_in_k(x, row, column)


def pair_column_by_column(q, k, rows, columns):
    """You flatten both maps column by column, (w h). Pixels are read row by row: (h w)."""
    h, w = q.shape[-3:-1]
    pair = augmented_pair(q, k, rows, columns)
    return tuple(rearrange(x, "... (h w) m -> ... (w h) m", h=h, w=w) for x in pair)


def ones_for_the_query(q, k, rows, columns):
    """You append the ones to the queries, and what a query says to the keys. A key cannot know
    who asks: the query brings the products, the key its ones."""
    h, w = q.shape[-3:-1]
    return joined(q, *ones(h, w, q)), joined(k, *axis_logits(q, rows, columns))


def roles_exchanged(q, k, rows, columns):
    """You append the products to the keys and the ones to the queries: then k asks for the
    places. It is q."""
    longer_k, longer_q = augmented_pair(k, q, rows, columns)
    return longer_q, longer_k


def keys_returned_first(q, k, rows, columns):
    """You return the keys first. First the longer queries, then the longer keys."""
    return augmented_pair(q, k, rows, columns)[::-1]


def everything_scaled(q, k, rows, columns):
    """You divide by sqrt(d) here. The queries come divided: append plain products."""
    longer_q, longer_k = augmented_pair(q, k, rows, columns)
    return longer_q / math.sqrt(q.shape[-1]), longer_k


def products_of_k(q, k, rows, columns):
    """You append to q what k says to rows and columns. It is what q says: `axis_logits(q,
    …)`."""
    h, w = q.shape[-3:-1]
    return joined(q, *axis_logits(k, rows, columns)), joined(k, *ones(h, w, k))


def marks_in_front(q, k, rows, columns):
    """Passed in another order of features: the ones and what meets them come first, the content
    last. A product does not care."""
    h, w = q.shape[-3:-1]
    longer = []
    for x, parts in ((q, axis_logits(q, rows, columns)), (k, ones(h, w, k))):
        parts = [p.expand(*x.shape[:-3], *p.shape[-3:]) for p in parts]
        longer.append(torch.cat([*parts, x], -1).flatten(-3, -2))
    return tuple(longer)


def in_the_order(name, says, *order):
    """A variant: content, rows and columns (0, 1, 2) one behind the other in this order."""

    def answer(q, k, rows, columns):
        h, w = q.shape[-3:-1]
        longer = []
        for x, parts in ((q, axis_logits(q, rows, columns)), (k, ones(h, w, k))):
            parts = [x, *(p.expand(*x.shape[:-3], *p.shape[-3:]) for p in parts)]
            longer.append(torch.cat([parts[p] for p in order], -1).flatten(-3, -2))
        return tuple(longer)

    text = f"Passed in another order of features: {says}. A product does not care."
    return Slip(name, text, answer, variant=True)


ORDERS = (
    in_the_order("columns_then_rows", "content, columns, rows", 0, 2, 1),
    in_the_order("rows_content_columns", "rows, content, columns", 1, 0, 2),
    in_the_order("columns_content_rows", "columns, content, rows", 2, 0, 1),
    in_the_order("columns_rows_content", "columns, rows, content", 2, 1, 0),
)


def pair_by_one_hot(q, k, rows, columns):
    h, w = q.shape[-3:-1]
    n = torch.arange(h * w, device=q.device)
    marks = torch.cat([F.one_hot(n // w, h), F.one_hot(n % w, w)], -1).to(k)
    down, across = axis_logits(q, rows, columns)
    longer_q = torch.cat([q, down, across], -1).flatten(-3, -2)
    flat = k.flatten(-3, -2)
    return longer_q, torch.cat([flat, marks.expand(*flat.shape[:-1], h + w)], -1)


def pair_filled(q, k, rows, columns):
    h, w, d = q.shape[-3:]
    longer_q, longer_k = (x.new_zeros(*x.shape[:-1], d + h + w) for x in (q, k))
    longer_q[..., :d], longer_k[..., :d] = q, k
    for a in range(h):
        longer_q[..., a, :, d : d + h] = q[..., a, :, :] @ rows[h - 1 - a : 2 * h - 1 - a].T
        longer_k[..., a, :, d + a] = 1
    for b in range(w):
        cut = columns[w - 1 - b : 2 * w - 1 - b].T
        longer_q[..., b, d + h :] = q[..., b, :] @ cut
        longer_k[..., b, d + h + b] = 1
    return longer_q.flatten(-3, -2), longer_k.flatten(-3, -2)


# how many channels


def width_trials():
    return tuple(
        Trial(
            name,
            {},
            dict(out_channels=channels, kappa=kappa, upsilon=upsilon, heads=heads),
        )
        for name, channels, kappa, upsilon, heads in (
            ("for 512 channels, kappa = 0.2, upsilon = 0.1, 8 heads", 512, 0.2, 0.1, 8),
            ("for 1000 channels, kappa = 0.3, upsilon = 0.25, 7 heads", 1000, 0.3, 0.25, 7),
            ("for 90 channels, kappa = 1, upsilon = 0.5, 4 heads", 90, 1.0, 0.5, 4),
            ("for 30 channels, kappa = 0.5, upsilon = 0.1, 3 heads", 30, 0.5, 0.1, 3),
            ("for 130 channels, upsilon = 0, 6 heads", 130, 1.0, 0.0, 6),
            ("for 2050 channels, kappa = upsilon = 0.5, 4 heads", 2050, 0.5, 0.5, 4),
            ("for 100 channels, kappa = 0.58, upsilon = 0.29, 1 head", 100, 0.58, 0.29, 1),
            ("for 40 channels, kappa = 1, upsilon = 0.1, 5 heads", 40, 1.0, 0.1, 5),
        )
    )


def down_to_heads(part, heads):
    return math.floor(round(part / heads, 6)) * heads


def twenty_a_head(dk, heads):
    return max(dk, 20 * heads)


def none_without_values(dk, dv):
    return (dk, dv) if dv else (0, 0)


def widths_recipe(
    sharing=lambda channels, kappa, upsilon: (kappa * channels, upsilon * channels),
    rounding=down_to_heads,
    least=twenty_a_head,
    emptying=none_without_values,
):
    """`attention_widths` with some of its steps replaced."""

    def answer(out_channels, kappa, upsilon, heads):
        dk, dv = (rounding(x, heads) for x in sharing(out_channels, kappa, upsilon))
        return emptying(least(int(dk), heads), int(dv))

    return answer


def shares_swapped(channels, kappa, upsilon):
    """kappa and upsilon are exchanged: kappa is for the keys, upsilon for the values."""
    return upsilon * channels, kappa * channels


def keys_by_upsilon_too(channels, kappa, upsilon):
    """The keys get kappa of the values' channels. Both are shares of out_channels."""
    return kappa * upsilon * channels, upsilon * channels


def rounded_up(part, heads):
    """You round up to a multiple of the heads. The paper's parameters come out when it is
    rounded down."""
    return math.ceil(round(part / heads, 6)) * heads


def rounded_to_the_nearest(part, heads):
    """You round to the nearest multiple of the heads. The paper's parameters come out when it
    is rounded down."""
    return math.floor(part / heads + 0.5) * heads


def rounded_half_to_even(part, heads):
    """You round to the nearest multiple of the heads, with `round`. The paper's parameters come
    out when it is rounded down."""
    return round(part / heads) * heads


def not_a_multiple(part, heads):
    """You round to a whole number only. Heads are of equal width: round down to a multiple of
    `heads`."""
    return math.floor(round(part, 6))


def cut_in_floats(part, heads):
    """You cut off in floats: 0.29 · 100 is 28.999… there, and becomes 28. Round to six places
    before you round down."""
    return int(part) // heads * heads


def width_of_one_head(part, heads):
    """You return the width of one head. dk and dv are those of all heads together."""
    return math.floor(round(part / heads, 6))


def no_least_width(dk, heads):
    """Your keys may get fewer than 20 features a head."""
    return dk


def twenty_in_all(dk, heads):
    """You ask for 20 features in all. It is 20 for each head: 20 heads."""
    return max(dk, 20)


def always_twenty(dk, heads):
    """You take 20 features a head whatever kappa says. It is the least, not the rule."""
    return 20 * heads


def at_most_twenty(dk, heads):
    """You take the smaller of the two: 20 features a head is the least, not the most."""
    return min(dk, 20 * heads)


def keys_without_values(dk, dv):
    """Without values (dv = 0) nothing reads the keys: return 0, 0."""
    return dk, dv


def values_returned_first(out_channels, kappa, upsilon, heads):
    """You return dv first. The order is dk, dv."""
    return attention_widths(out_channels, kappa, upsilon, heads)[::-1]


def widths_of_one_head(out_channels, kappa, upsilon, heads):
    """You return the widths of one head. dk and dv are those of all heads together."""
    dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
    return dk // heads, dv // heads


def multiple_of_eight(out_channels, kappa, upsilon, heads):
    """You round down to a multiple of 8. It is a multiple of `heads`; in the paper's networks
    the two are the same."""
    dk, dv = (math.floor(round(x * out_channels / 8, 6)) * 8 for x in (kappa, upsilon))
    return (max(dk, 20 * heads), dv) if dv else (0, 0)


def values_have_a_least_width(out_channels, kappa, upsilon, heads):
    """You give the values 20 features a head as well. The least width is for the keys."""
    dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
    return dk, max(dv, 20 * heads) if dv else 0


def one_feature_a_head_at_least(out_channels, kappa, upsilon, heads):
    """You give each head one value at least. Where upsilon leaves none, there is no attention:
    0, 0."""
    dk, dv = attention_widths(out_channels, kappa, upsilon, heads)
    return dk or max(down_to_heads(kappa * out_channels, heads), 20 * heads), max(dv, heads)


def empty_for_upsilon_0_alone(out_channels, kappa, upsilon, heads):
    """You return 0, 0 where upsilon is 0. A small upsilon may leave no values either, once
    rounded down: look at dv."""
    dk, dv = (down_to_heads(part * out_channels, heads) for part in (kappa, upsilon))
    return (max(dk, 20 * heads), dv) if upsilon else (0, 0)


def widths_by_remainder(out_channels, kappa, upsilon, heads):
    values = int(upsilon * out_channels + 1e-6)
    values -= values % heads
    if values == 0:
        return 0, 0
    keys = int(kappa * out_channels + 1e-6)
    return max(keys - keys % heads, 20 * heads), values


def widths_a_head(out_channels, kappa, upsilon, heads):
    e = int(upsilon * out_channels / heads + 1e-9)
    d = max(20, int(kappa * out_channels / heads + 1e-9)) if e else 0
    return d * heads, e * heads


# the layer


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


EXERCISES = [
    Exercise(
        id="relative_2d.gathered_logits",
        solution=gathered_logits,
        probes={"gathered_logits": "b head i j"},
        trials=plane_trials,
        slips=(*PLANE, *HALVES, rows_turned, columns_turned),
        hints=(
            "A query in row 1, a key in row 3 of four. Which row of the table of seven?",
            (
                "3 - 1 + (4 - 1) = 5. `offsets(h)` has it for all pairs of rows, h y, and"
                " `rows[offsets(h)]` the vectors, h y d. The same for columns, w x d. One"
                " vector for each pair of pixels is their sum, with axes h w y x d."
            ),
            (
                "down = rows[offsets(h)] with axes h 1 y 1 d\n"
                "across = columns[offsets(w)] with axes 1 w 1 x d\n"
                "q times their sum over d: h w y x, read as (h w) (y x)"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(gathered_loops, gathered_flat, by_columns_of_the_product),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="relative_2d.rel_to_abs",
        solution=rel_to_abs,
        probes={"rel_to_abs": "b i j"},
        trials=skew_trials,
        slips=SKEWS,
        hints=(
            (
                "Write the offsets of three queries into their cells: -2 -1 0 1 2 in each row."
                " Which three belong to row 0, which to row 1, which to row 2?"
            ),
            (
                "Row i begins at column n - 1 - i: one further left in each row. Read the table"
                " as one long line. With one number more in each row, a step of 2n instead of"
                " 2n - 1, cutting the line every 2n - 1 numbers moves each row by one."
            ),
            (
                "F.pad(x, (0, 1)), read as one line\n"
                "from number n - 1 on, without the last one, cut into n rows\n"
                "the first n columns of that"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(skew_by_gather, skew_by_rows, skew_as_in_the_paper),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="relative_2d.relative_logits_1d",
        solution=relative_logits_1d,
        probes={"relative_logits_1d": "b i j"},
        trials=line_trials,
        slips=(*map(skewed_by, SKEWS), largest_tensor, line_divided, feature_sums, own_row),
        hints=(
            "How many numbers has table[offsets(n)], and how many q times the table?",
            "Multiply first, sort afterwards: i r is small, and `rel_to_abs` makes i j of it.",
            "rel_to_abs(einsum of q (… i d) and table (r d), summed over d)",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(line_by_gather, line_by_rows),
        laws=("examples_do_not_mix",),
        cost=Cost(largest_tensor=2),
    ),
    Exercise(
        id="relative_2d.relative_logits_2d",
        solution=relative_logits_2d,
        probes={"relative_logits_2d": "b head i j"},
        trials=plane_trials,
        slips=(
            *PLANE,
            *HALVES,
            *PLANE_SKEWS,
            rows_turned,
            columns_turned,
            rows_of_a_reshape,
            WholeTable,
        ),
        hints=(
            "What has the logit of a row, h w y, to do with the column of the key?",
            (
                "Nothing: it is the same for all x. So `relative_logits_1d(q, columns)` gives"
                " h w x at once, and for the rows the map is turned first, w h d. The sum of"
                " both is a broadcast."
            ),
            (
                "down = relative_logits_1d(q as … w h d, rows)      … w h y\n"
                "across = relative_logits_1d(q, columns)            … h w x\n"
                "down as h w y 1 plus across as h w 1 x, read as (h w) (y x)"
            ),
        ),
        minutes=8,
        difficulty=3,
        otherwise=(plane_by_skew, plane_without_skew, by_columns_of_the_product),
        laws=("examples_do_not_mix",),
        cost=Cost(largest_tensor=2),
    ),
    Exercise(
        id="relative_2d.axis_logits",
        solution=axis_logits,
        probes={"axis_logits": ("b head h w y", "b head h w x")},
        trials=axis_trials,
        slips=(
            *family(
                two,
                paired=(query_minus_key, columns_first, two_divided),
                indexing=(
                    query_minus_key,
                    place_of_the_query,
                    not_shifted,
                    only_how_far,
                    distances_from_0,
                    one_row_late,
                    one_row_early,
                    later_alike,
                ),
                asking=(one_query_for_all,),
                ending=(columns_first, two_divided, summed_to_the_map),
            ),
            not_sorted,
            cut_not_sorted,
            cut_from_the_middle,
            rows_not_moved_back,
            down_of_a_reshape,
            down_turned,
            across_turned,
            softmax_of_each,
        ),
        hints=(
            "How large is `rows[offsets(h)]`, and how large was the table of all pairs?",
            (
                "h y d and w x d: no pair of pixels, only pairs of rows and of columns. Each is"
                " one einsum with q, over d, and the letter of the query is shared."
            ),
            (
                "q (… h w d) with rows[offsets(h)] (h y d) gives … h w y\n"
                "q (… h w d) with columns[offsets(w)] (w x d) gives … h w x"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(rows_by_gather, rows_by_skew),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="relative_2d.relative_weights",
        solution=relative_weights,
        probes={"relative_weights": "b head i j"},
        trials=weight_trials,
        slips=(
            *family(
                weights_recipe,
                paired=(
                    place_unscaled,
                    unscaled,
                    all_scaled_twice,
                    over_queries,
                    tables_turned,
                    places_of_k,
                    no_softmax,
                ),
                content=(keys_flattened_column_by_column,),
                placing=(
                    places_missing,
                    places_of_k,
                    tables_turned,
                    place_columns_missing,
                    place_rows_missing,
                    places_transposed,
                    places_of_both,
                    places_for_one_head,
                    places_of_the_first_head,
                ),
                scaling=(
                    place_unscaled,
                    content_unscaled,
                    place_scaled_twice,
                    content_scaled_twice,
                    all_scaled_twice,
                    unscaled,
                    by_all_heads,
                    fourth_root,
                    by_the_number_of_pixels,
                    times_root_of_d,
                    place_times_content,
                    place_subtracted,
                    place_alone,
                ),
                normalising=(
                    over_queries,
                    over_heads,
                    over_a_row_of_keys,
                    softmax_twice,
                    no_softmax,
                    sigmoid,
                ),
            ),
            keys_ask,
            places_by_the_key_turned,
            place_after_the_softmax,
            two_softmaxes,
        ),
        hints=(
            "q · (k + R + C) / sqrt(d): which of the three products does sqrt(d) divide?",
            (
                "All. Divide q at once, then ask the keys and the tables with it. Pixels in a"
                " line, (h w), give i and j; `logits(q, rows, columns)` comes as i j."
            ),
            (
                "q = q / sqrt(d)\n"
                "scores = q kᵀ on flattened pixels, plus logits(q, rows, columns) if there are"
                " tables\n"
                "softmax over the keys"
            ),
        ),
        minutes=8,
        difficulty=2,
        otherwise=(weights_by_augmenting, weights_late_scale),
        laws=("rows_sum_to_one", "examples_do_not_mix"),
    ),
    Exercise(
        id="relative_2d.augmented_pair",
        solution=augmented_pair,
        probes={"augmented_pair": ("b head i m", "b head j m")},
        trials=pair_trials,
        slips=(
            *family(
                augmenting,
                paired=(said_scaled, said_turned, marks_column_by_column),
                saying=(said_scaled, said_turned, said_absolute),
                marking=(
                    marks_column_by_column,
                    marks_of_rows_repeated,
                    marks_of_columns_repeated,
                    marks_turned,
                    marks_all_ones,
                    marks_missing,
                    marks_of_rows_alone,
                ),
                joining_q=(
                    columns_before_rows_in_q,
                    content_left_out_of_q,
                    content_scaled,
                    content_last_in_q,
                    query_not_flattened_alike,
                ),
                joining_k=(
                    columns_before_rows_in_k,
                    key_not_flattened_alike,
                    content_left_out_of_k,
                    content_last_in_k,
                    keys_scaled,
                ),
            ),
            pair_column_by_column,
            ones_for_the_query,
            roles_exchanged,
            keys_returned_first,
            everything_scaled,
            products_of_k,
            replace(slip(marks_in_front), variant=True),
            *ORDERS,
        ),
        hints=(
            (
                "(q_i, a, b) · (k_j, 0, 1, 0, …) = q_i · k_j + one entry of a. Which entry do"
                " you want for a key in row y?"
            ),
            (
                "Entry y of what the query says to the rows. So q gets `axis_logits` appended,"
                " h + w numbers, and k a row of the unit matrix of size h for its row, and one"
                " of size w for its column, the same in each example and head."
            ),
            (
                "down, across = axis_logits(q, rows, columns)\n"
                'torch.eye(h) as "h y -> h w y", torch.eye(w) as "w x -> h w x", expanded\n'
                "cat q, down, across; cat k, row, column; both read as … (h w) m"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(pair_by_one_hot, pair_filled),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="relative_2d.attention_widths",
        solution=attention_widths,
        probes={"attention_widths": ("", "")},
        trials=width_trials,
        slips=(
            *family(
                widths_recipe,
                paired=(
                    shares_swapped,
                    rounded_up,
                    rounded_to_the_nearest,
                    not_a_multiple,
                    no_least_width,
                    keys_without_values,
                ),
                sharing=(shares_swapped, keys_by_upsilon_too),
                rounding=(
                    rounded_up,
                    rounded_to_the_nearest,
                    rounded_half_to_even,
                    not_a_multiple,
                    cut_in_floats,
                    width_of_one_head,
                ),
                least=(no_least_width, twenty_in_all, always_twenty, at_most_twenty),
                emptying=(keys_without_values,),
            ),
            values_returned_first,
            widths_of_one_head,
            multiple_of_eight,
            values_have_a_least_width,
            one_feature_a_head_at_least,
            empty_for_upsilon_0_alone,
        ),
        hints=(
            "0.1 · 512 = 51.2 channels for eight heads. How many does each head get?",
            (
                "6, with 3.2 channels left to the convolution: round down to a multiple of"
                " `heads`. The same for the keys, and then 20 heads if that is more."
            ),
            (
                "dv = floor(upsilon out_channels / heads) heads; without any, return 0, 0\n"
                "dk = the larger of floor(kappa out_channels / heads) heads and 20 heads\n"
                "round the quotient to six places first: in floats 0.29 · 100 is not quite 29"
            ),
        ),
        minutes=5,
        difficulty=1,
        otherwise=(widths_by_remainder, widths_a_head),
        skip=frozenset({"gradients", "large", "strided", "float32", "device"}),
    ),
    Exercise(
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
    ),
]
