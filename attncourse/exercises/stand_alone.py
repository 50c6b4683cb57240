"""Chapter 09, stand-alone self-attention: what is asked, what goes wrong, what helps."""

import math
from dataclasses import replace

import torch
from einops import einsum, rearrange, repeat
from torch.nn import functional as F

from attncourse.families import also, family
from attncourse.letters import shape_of
from attncourse.registry import Exercise, Given, Slip, Trial, slip
from solutions.stand_alone import (
    SpatialValues,
    StandAloneSelfAttention2d,
    inside,
    largest_window,
    local_attention,
    local_weights,
    multiply_adds,
    relative_embeddings,
    windows,
)


def in_ways(answer, *ways):
    """A slip that is also known when it is made in other ways."""
    return replace(slip(answer), ways=ways)


# windows


def windows_trials():
    def trial(name, window, axes="b c h w", **sizes):
        sizes |= dict(dy=window, dx=window)
        return Trial(name, sizes, dict(x=axes, window=window))

    return (
        trial("for window = 5", 5, b=2, c=3, h=6, w=7),
        trial(
            "for window = 3 with an axis of heads",
            3,
            "b head d h w",
            b=2,
            head=4,
            d=6,
            h=5,
            w=7,
        ),
        trial("for a window larger than the picture", 7, b=3, c=5, h=1, w=4),
        trial("for window = 1", 1, b=2, c=3, h=4, w=5),
    )


def even_windows():
    return (
        Trial(
            "an even window, which has no middle",
            dict(b=2, h=5, w=6),
            dict(x="b h w", window=4),
        ),
    )


def refuse_even(window):
    if window % 2 == 0:
        raise ValueError("even")


def padded_windows(x, window, left, right):
    padded = F.pad(x, (left, right, left, right))
    return padded.unfold(-2, window, 1).unfold(-2, window, 1)


def places_transposed(x, window):
    """Rows and columns of your windows are exchanged: the first axis of a window, dy, runs
    down, the second, dx, across."""
    return windows(x, window).mT


def windows_turned(x, window):
    """Your windows are turned round: place 0, 0 is the pixel above and to the left, at
    h - window // 2, not the one below."""
    return windows(x, window).flip(-1, -2)


def not_padded(x, window):
    """The picture is not padded: there are fewer windows than pixels. Put window // 2 zeros
    around it first."""
    return padded_windows(x, min(window, *x.shape[-2:]), 0, 0)


def not_padded_at_all(x, window):
    return padded_windows(x, window, 0, 0)


def across_alone(x, window):
    return padded_windows(F.pad(x, (window // 2, window // 2)), window, 0, 0)


def begins_at_the_pixel(x, window):
    """Your windows begin at the pixel. It stands in their middle: as many zeros on the left and
    top as on the right and bottom."""
    return padded_windows(x, window, 0, window - 1)


def ends_at_the_pixel(x, window):
    """Your windows end at the pixel. It stands in their middle: as many zeros on the left and
    top as on the right and bottom."""
    return padded_windows(x, window, window - 1, 0)


def one_too_late(x, window):
    """Your windows are one pixel off: the middle of a window, at place window // 2, is the
    pixel itself."""
    return padded_windows(x, window, window // 2 - 1, window // 2 + 1)


def one_too_early(x, window):
    """Your windows are one pixel off, up and to the left: the middle of a window, at place
    window // 2, is the pixel itself."""
    return padded_windows(x, window, window // 2 + 1, window // 2 - 1)


def padded_too_much(x, window):
    """You pad by `window` on each side: there are more windows than pixels. Half a window,
    window // 2, is enough."""
    return padded_windows(x, window, window, window)


def padded_by_one_more(x, window):
    """You pad by one pixel too many on each side: window // 2 is enough, as the pixel itself
    stands in the middle."""
    return padded_windows(x, window, window // 2 + 1, window // 2 + 1)


def as_wide_as_high(x, window):
    """You take the height for both axes. A picture need not be square: h and w differ."""
    r, h = window // 2, x.shape[-2]
    padded = F.pad(x, (r, r, r, r))
    rows = [
        torch.stack([padded[..., dy : dy + h, dx : dx + h] for dx in range(window)], -1)
        for dy in range(window)
    ]
    return torch.stack(rows, -2)


def padded_across_only(x, window):
    """You pad left and right alone. Above and below want zeros too: F.pad takes the last axis
    first, (left, right, top, bottom)."""
    padded = F.pad(x, (window // 2, window // 2))
    rows = min(window, x.shape[-2])
    return padded.unfold(-2, rows, 1).unfold(-2, window, 1)


def beyond(x, window, taken):
    """Windows of a picture that goes on in some way beyond its edges."""
    reach = window // 2
    h, w = (taken(torch.arange(-reach, n + reach), n) for n in x.shape[-2:])
    return x[..., h, :][..., w].unfold(-2, window, 1).unfold(-2, window, 1)


def edges_repeated(x, window):
    """Beyond the edges you repeat the last pixel. There should be zeros."""
    return beyond(x, window, lambda i, n: i.clamp(0, n - 1))


def edges_reflected(x, window):
    """Beyond the edges you mirror the picture. There should be zeros."""
    return beyond(
        x, window, lambda i, n: (n - 1 - (i % (2 * n - 2) - n + 1).abs()) if n > 1 else 0 * i
    )


def padded_with_ones(x, window):
    """Beyond the edges you put ones. There should be zeros."""
    return windows(x - 1, window) + 1


def across_turned(x, window):
    """Left and right are exchanged in your windows: dx = 0 is the pixel on the left."""
    return windows(x, window).flip(-1)


def counted_from_the_front(x, window):
    """You count the axes from the front: with an axis of heads, rows are not axis 2. Rows and
    columns are the last two: -2 and -1."""
    reach = window // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    return padded.unfold(2, window, 1).unfold(3, window, 1)


def wrapped_around(x, window):
    """Your windows wrap around: beyond the right edge comes the left one. There should be
    zeros."""
    return beyond(x, window, lambda i, n: i % n)


def spread_out(x, window):
    """You take every second pixel: a window is dilated. Its places are neighbours."""
    wide = windows(x, 2 * window - 1)
    return wide[..., ::2, ::2]


def shifted_at_the_edges(x, window):
    """At the edges you move the window back into the picture. That is neighbourhood attention;
    here the pixel stays in the middle and zeros fill up."""
    if min(x.shape[-2:]) < window:
        return windows(x, window)
    h, w = (
        (torch.arange(n) - window // 2).clamp(0, n - window)[:, None] + torch.arange(window)
        for n in x.shape[-2:]
    )
    return x[..., h, :][..., w].movedim(-3, -2)


def blocks_instead(x, window):
    """You cut the picture into blocks: one window for every `window` pixels. Every pixel has a
    window of its own: stride 1."""
    reach = window // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    return padded.unfold(-2, window, window).unfold(-2, window, window)


def places_before_pixels(x, window):
    """The places come before the pixels: dy dx h w. They come last: h w dy dx."""
    return rearrange(windows(x, window), "... h w dy dx -> ... dy dx h w")


def raw_reshape(x, window):
    """You reshape dy dx h w to h w dy dx without moving an axis: places and pixels get mixed.
    Use `rearrange`."""
    found = rearrange(windows(x, window), "... h w dy dx -> ... dy dx h w")
    return found.reshape(*x.shape, window, window)


def places_in_one_axis(x, window):
    """The places of a window are one axis, (dy dx). Keep rows and columns apart: dy dx."""
    return rearrange(windows(x, window), "... dy dx -> ... (dy dx)")


def windows_by_unfold(x, window):
    refuse_even(window)
    flat = x.reshape(-1, 1, *x.shape[-2:])
    found = F.unfold(flat, window, padding=window // 2)
    found = rearrange(found, "b (dy dx) (h w) -> b h w dy dx", dy=window, h=x.shape[-2])
    return found.reshape(*x.shape, window, window)


def windows_by_shifts(x, window):
    refuse_even(window)
    r, (h, w) = window // 2, x.shape[-2:]
    padded = F.pad(x, (r, r, r, r))
    rows = [
        torch.stack([padded[..., dy : dy + h, dx : dx + w] for dx in range(window)], -1)
        for dy in range(window)
    ]
    return torch.stack(rows, -2)


def windows_by_loops(x, window):
    refuse_even(window)
    r, (h, w) = window // 2, x.shape[-2:]
    found = x.new_zeros(*x.shape, window, window)
    for i in range(h):
        for j in range(w):
            for dy in range(window):
                for dx in range(window):
                    y, z = i + dy - r, j + dx - r
                    if 0 <= y < h and 0 <= z < w:
                        found[..., i, j, dy, dx] = x[..., y, z]
    return found


# inside


def inside_trials():
    return tuple(
        Trial(name, dict(h=h, w=w, dy=k, dx=k), dict(height=h, width=w, window=k))
        for name, h, w, k in (
            ("for 6 x 8 pixels, window = 5", 6, 8, 5),
            ("for 4 x 2 pixels, window = 3", 4, 2, 3),
            ("for 2 x 1 pixels, window = 7", 2, 1, 7),
            ("for window = 1", 3, 4, 1),
        )
    )


def at(height, width, window):
    """Row and column of every place of every window."""
    y = torch.arange(height)[:, None] + torch.arange(window) - window // 2
    x = torch.arange(width)[:, None] + torch.arange(window) - window // 2
    return rearrange(y, "h dy -> h 1 dy 1"), rearrange(x, "w dx -> 1 w 1 dx")


def between(y, x, top, bottom, left, right):
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def everywhere(height, width, window):
    """All places are inside, also those beyond the edges. There the picture of ones has to be
    padded with zeros."""
    return torch.ones(height, width, window, window, dtype=torch.bool)


def outside(height, width, window):
    """Yours is True outside the picture. A mask is True where a query may attend: inside."""
    return ~inside(height, width, window)


def rows_alone_count(height, width, window):
    """You look at the rows alone: a place to the left or right of the picture is outside
    too."""
    y, x = at(height, width, window)
    return (y >= 0) & (y < height) & (x == x)


def columns_alone_count(height, width, window):
    """You look at the columns alone: a place above or below the picture is outside too."""
    y, x = at(height, width, window)
    return (x >= 0) & (x < width) & (y == y)


def either_is_enough(height, width, window):
    """A place is inside if its row *and* its column are. You take `or`."""
    y, x = at(height, width, window)
    return ((y >= 0) & (y < height)) | ((x >= 0) & (x < width))


def first_pixels_left_out(height, width, window):
    """Your first row and column are outside: pixels count from 0, so 0 is inside."""
    return between(*at(height, width, window), 1, height, 1, width)


def one_beyond(height, width, window):
    """The pixel after the last one is inside in yours: the last row is height - 1, the last
    column width - 1."""
    return between(*at(height, width, window), 0, height + 1, 0, width + 1)


def last_pixels_left_out(height, width, window):
    """Your last row and column are outside: height - 1 and width - 1 are inside."""
    return between(*at(height, width, window), 0, height - 1, 0, width - 1)


def far_edges_forgotten(height, width, window):
    """You look at the top and left edge alone. A place may lie below or to the right of the
    picture as well."""
    y, x = at(height, width, window)
    return (y >= 0) & (x >= 0)


def near_edges_forgotten(height, width, window):
    """You look at the bottom and right edge alone. A place may lie above or to the left of the
    picture as well."""
    y, x = at(height, width, window)
    return (y < height) & (x < width)


def height_and_width_exchanged(height, width, window):
    """You compare rows with the width and columns with the height. It is the other way
    round."""
    return between(*at(height, width, window), 0, width, 0, height)


def counted_from_the_pixel(height, width, window):
    """Your windows begin at the pixel. It stands in their middle: place dy is row
    h + dy - window // 2."""
    y, x = at(height, width, window)
    return between(y + window // 2, x + window // 2, 0, height, 0, width)


def whole_windows_only(height, width, window):
    """You leave out every window that meets an edge. It is the places beyond the edge that are
    left out, one by one."""
    whole = inside(height, width, window).all(-1, keepdim=True).all(-2, keepdim=True)
    return whole.expand(height, width, window, window)


def rows_and_columns_exchanged(height, width, window):
    """Rows and columns of your windows are exchanged: the first axis of a window, dy, runs
    down, the second, dx, across."""
    return inside(height, width, window).mT


def middle_left_out(height, width, window):
    """You leave out the pixel itself, in the middle of its window. It is inside like the
    others."""
    own = torch.zeros(window, window, dtype=torch.bool)
    own[window // 2, window // 2] = True
    return inside(height, width, window) & ~own


def diamond(height, width, window):
    """Your windows are diamonds: you add the steps down and across. A window is a square, and
    each of the two may be as far as window // 2."""
    step = (torch.arange(window) - window // 2).abs()
    return inside(height, width, window) & (step[:, None] + step <= window // 2)


def places_first(height, width, window):
    """The places come before the pixels: dy dx h w. They come last: h w dy dx."""
    return rearrange(inside(height, width, window), "h w dy dx -> dy dx h w")


def ones_and_zeros(height, width, window):
    """You return numbers. A mask is boolean: `dtype=torch.bool`, or compare with 0."""
    return inside(height, width, window).float()


def inside_by_comparison(height, width, window):
    y, x = at(height, width, window)
    return (y >= 0) & (y < height) & (x >= 0) & (x < width)


def inside_by_loops(height, width, window):
    r = window // 2
    return torch.tensor(
        [
            [
                [
                    [0 <= i + y - r < height and 0 <= j + x - r < width for x in range(window)]
                    for y in range(window)
                ]
                for j in range(width)
            ]
            for i in range(height)
        ]
    )


def inside_by_unfold(height, width, window):
    ones = F.unfold(torch.ones(1, 1, height, width), window, padding=window // 2)
    return rearrange(ones, "1 (dy dx) (h w) -> h w dy dx", dy=window, h=height) > 0.5


# the vector of a place


def embedding_trials():
    def trial(name, **sizes):
        sizes["d"] = 2 * sizes["half"]
        return Trial(name, sizes, dict(rows="head dy half", columns="head dx half"))

    return (
        trial("for 2 heads, 5 x 7 places", head=2, dy=5, dx=7, half=3),
        trial("for 4 heads, 3 x 1 places", head=4, dy=3, dx=1, half=5),
    )


def spread(rows, columns):
    """Both tables as head half dy dx."""
    return torch.broadcast_tensors(rows.mT[..., None], columns.mT[..., None, :])


def vectors_added(rows, columns):
    """You add row and column. They are put one after the other: d = 2 half features."""
    return rows.mT[..., None] + columns.mT[..., None, :]


def vectors_multiplied(rows, columns):
    """You multiply row and column. They are put one after the other: d = 2 half features."""
    return rows.mT[..., None] * columns.mT[..., None, :]


def column_comes_first(rows, columns):
    """The column comes first in your vectors. The first half of the features is the row's."""
    return torch.cat(spread(rows, columns)[::-1], 1)


def halves_interleaved(rows, columns):
    """Row and column take turns in your features. The first half is the row's, the second the
    column's."""
    return rearrange([*spread(rows, columns)], "two head half dy dx -> head (half two) dy dx")


def rows_for_half_of_the_heads(rows, columns):
    """You put all rows before all columns and cut the heads afterwards: the first heads see
    rows alone, the last ones columns alone. Join within each head."""
    joined = rearrange([*spread(rows, columns)], "two head half dy dx -> (two head half) dy dx")
    return rearrange(joined, "(head d) dy dx -> head d dy dx", head=len(rows))


def table_of_rows_turned(rows, columns):
    """Your rows run backwards: row 0 of the table belongs to dy = 0."""
    return relative_embeddings(rows.flip(1), columns)


def both_tables_turned(rows, columns):
    """Both tables run backwards: entry 0 belongs to dy = 0 and dx = 0, above and to the
    left."""
    return relative_embeddings(rows.flip(1), columns.flip(1))


def table_of_columns_turned(rows, columns):
    """Your columns run backwards: row 0 of their table belongs to dx = 0, on the left."""
    return relative_embeddings(rows, columns.flip(1))


def joined_along_the_heads(rows, columns):
    """You join along the heads: there are twice as many, half as wide. Join along the
    features."""
    return torch.cat(spread(rows, columns), 0)


def places_exchanged(rows, columns):
    """Your places are dx dy. Rows run along dy, the first axis of a window: dy dx."""
    return relative_embeddings(rows, columns).mT


def features_at_the_end(rows, columns):
    """The features come last: head dy dx d. They come before the places: head d dy dx."""
    return rearrange(relative_embeddings(rows, columns), "head d dy dx -> head dy dx d")


def first_heads_table(rows, columns):
    """All heads get the table of the first. Each has its own."""
    return relative_embeddings(rows[:1], columns[:1]).expand(len(rows), -1, -1, -1)


def rows_twice(rows, columns):
    """Both halves are the row's. The second half is the column's."""
    first, second = spread(rows, columns)
    return torch.cat([first, first + 0 * second], 1)


def columns_twice(rows, columns):
    """Both halves are the column's. The first half is the row's."""
    first, second = spread(rows, columns)
    return torch.cat([second + 0 * first, second], 1)


def rows_down_and_across(rows, columns):
    return relative_embeddings(rows, rows)


def columns_down_and_across(rows, columns):
    return relative_embeddings(columns, columns)


def tables_reshaped(rows, columns):
    """You reshape the tables, where their axes have to be moved: features and places get mixed.
    Use `rearrange`."""
    head, dy, half = rows.shape
    dx = columns.shape[1]
    first, second = rows.reshape(head, half, dy, 1), columns.reshape(head, half, 1, dx)
    return torch.cat(torch.broadcast_tensors(first, second), 1)


def tables_end_to_end(rows, columns):
    """You put the tables one below the other: dy + dx places in a row. A place has a row *and*
    a column: dy times dx of them."""
    return torch.cat([rows, columns], 1).mT


def columns_taken_off(rows, columns):
    """Your columns have the other sign. They stand in the second half as they are."""
    return relative_embeddings(rows, -columns)


def joined_along_dy(rows, columns):
    """You join along dy: twice as many rows of places. Join along the features."""
    return torch.cat(spread(rows, columns), 2)


def embeddings_by_repeat(rows, columns):
    down = repeat(rows, "head dy half -> head half dy dx", dx=columns.shape[1])
    across = repeat(columns, "head dx half -> head half dy dx", dy=rows.shape[1])
    return torch.cat((down, across), dim=1)


def embeddings_by_loops(rows, columns):
    head, height, half = rows.shape
    width = columns.shape[1]
    found = rows.new_zeros(head, 2 * half, height, width)
    for dy in range(height):
        for dx in range(width):
            found[:, :half, dy, dx] = rows[:, dy]
            found[:, half:, dy, dx] = columns[:, dx]
    return found


# the weights: one recipe


def attention_trials(values=False):
    def trial(name, window, **sizes):
        sizes |= dict(dy=window, dx=window)
        inputs = dict(q="b head d h w", k="b head d h w")
        inputs |= dict(v="b head d h w") if values else {}
        inputs |= dict(rows="head dy half", columns="head dx half", window=window)
        return Trial(name, sizes, inputs)

    def zeros(trial):
        """The same with a pixel whose key is 0, which is inside all the same."""
        k = torch.randn(
            shape_of("b head d h w", trial.sizes),
            generator=torch.Generator().manual_seed(0),
            dtype=torch.float64,
        )
        k[..., 1, 2] = 0
        return replace(trial, inputs=trial.inputs | dict(k=Given("b head d h w", k)))

    return (
        trial("for window = 5", 5, b=2, head=3, d=8, half=4, h=6, w=7),
        trial("for a window larger than the picture", 7, b=3, head=5, d=2, half=1, h=4, w=6),
        trial("on a single row of pixels, window = 3", 3, b=2, head=5, d=8, half=4, h=1, w=6),
        zeros(trial("where a key is 0, window = 3", 3, b=2, head=5, d=8, half=4, h=7, w=6)),
    )


def weights_trials():
    return attention_trials()


def output_trials():
    sizes = dict(b=2, head=5, d=8, half=4, e=9, h=6, w=7, dy=3, dx=3)
    inputs = dict(q="b head d h w", k="b head d h w", v="b head e h w")
    inputs |= dict(rows="head dy half", columns="head dx half", window=3)
    wide = Trial("with values that are wider than queries", sizes, inputs)
    return (*attention_trials(values=True), wide)


def right_content(q, k, window):
    return einsum(q, windows(k, window), "b n d h w, b n d h w y x -> b n h w y x")


def right_place(q, k, r, window):
    return einsum(q, r, "b n d h w, n d y x -> b n h w y x")


def sum_of_both(content, place, d):
    return content + place


def seen(scores):
    h, w, window = scores.shape[-4:-1]
    return inside(h, w, window)


def hide(scores):
    return scores.masked_fill(~seen(scores), -math.inf)


def over_the_window(scores):
    return scores.flatten(-2).softmax(-1).reshape(scores.shape)


def as_it_is(weights):
    return weights


def mixed(weights, q, k, v, window):
    return einsum(weights, windows(v, window), "b n h w y x, b n d h w y x -> b n d h w")


def weights_recipe(
    content=right_content,
    place=right_place,
    table=relative_embeddings,
    joining=sum_of_both,
    masking=hide,
    normalising=over_the_window,
    after=as_it_is,
    mixing=None,
):
    """`local_weights` with some of its steps replaced."""

    def answer(q, k, rows, columns, window):
        places = place(q, k, table(rows, columns), window)
        scores = joining(content(q, k, window), places, q.shape[2])
        return after(normalising(masking(scores)))

    return answer


def attention_recipe(mixing=mixed, **steps):
    """`local_attention` with some of its steps replaced."""

    def answer(q, k, v, rows, columns, window):
        weights = weights_recipe(**steps)(q, k, rows, columns, window)
        return mixing(weights, q, k, v, window)

    return answer


def divided_by_root(content, place, d):
    return (content + place) / math.sqrt(d)


# content


def each_features_place(q, k, r, window):
    return q[..., None, None] * r[:, :, None, None]


def mixed_feature_by_feature(weights, q, k, v, window):
    return (weights * windows(v, window)).sum((-1, -2))


@also(place=each_features_place, mixing=mixed_feature_by_feature)
def not_summed_over_d(q, k, window):
    """The sum over the features d is missing: every feature has a softmax of its own. q · k is
    one number for a head: sum the products over d. (A much used repository has this
    mistake.)"""
    return q[..., None, None] * windows(k, window)


def place_summed_apart_by_query(q, k, r, window):
    return einsum(q, r, "b n d h w, n e y x -> b n h w y x")


def summed_apart(q, k, window):
    """Your einsum has different letters for the features of q and k, so each is summed on its
    own. Give both the letter d, then products are summed."""
    return einsum(q, windows(k, window), "b n d h w, b n e h w y x -> b n h w y x")


def queries_in_windows(q, k, window):
    """You put the queries into windows and leave the keys. It is the keys of a window that a
    pixel asks: `windows(k, window)`."""
    return right_content(k, q, window)


def keys_turned_round(q, k, window):
    """Your keys are turned round in the window: place 0, 0 is above and to the left, at
    h - window // 2."""
    return right_content(q, k, window).flip(-1, -2)


def keys_transposed(q, k, window):
    """Rows and columns of the window are exchanged for the keys: dy runs down, dx across."""
    return right_content(q, k, window).mT


def window_begins_at_the_pixel(q, k, window):
    """The window of your keys begins at the pixel. It stands in the middle: pad both sides by
    window // 2."""
    near = padded_windows(k, window, 0, window - 1)
    return einsum(q, near, "b n d h w, b n d h w y x -> b n h w y x")


def no_content(q, k, window):
    """What the keys hold plays no part: q · k is missing, or all places get the key of the
    pixel itself. Put the keys into windows. (The paper tries q · r alone in its table 6.)"""
    return 0 * right_content(q, k, window)


def queries_for_keys(q, k, window):
    """Queries meet queries: q takes the place of k. It is q · k."""
    return right_content(q, q, window)


def keys_for_queries(q, k, window):
    """Keys meet keys: k takes the place of q. It is q · k."""
    return right_content(k, k, window)


def place_by_own_key(q, k, r, window):
    return right_place(k, k, r, window)


@also(place=place_by_own_key)
def roles_exchanged(q, k, window):
    """Queries and keys are exchanged: the pixel asks with its key. It asks with q."""
    return right_content(k, q, window)


@also(place=place_by_own_key)
def keys_for_queries_everywhere(q, k, window):
    """The queries are not used: the pixel asks with its key. It asks with q."""
    return right_content(k, k, window)


@also(place=place_summed_apart_by_query)
def summed_apart_from_the_sum(q, k, window):
    """Your einsum has different letters for the features of q and of key plus vector, so each
    is summed on its own. Give both the letter d, then products are summed."""
    return summed_apart(q, k, window)


def absolute_content(q, k, window):
    """You take the absolute value of q · k. Its sign counts."""
    return right_content(q, k, window).abs()


def cosine_content(q, k, window):
    """You divide q and k by their lengths. The scores are plain products."""
    return right_content(F.normalize(q, dim=2), F.normalize(k, dim=2), window)


# place


def no_place(q, k, r, window):
    """The keys do not know where they are: q · r is missing in the scores."""
    return 0


def place_by_keys(q, k, r, window):
    """You multiply the vector of a place with the key. It meets the query: q · r."""
    return einsum(windows(k, window), r, "b n d h w y x, n d y x -> b n h w y x")


def place_by_the_pixels_key(q, k, r, window):
    """You multiply the vectors of the places with the pixel's own key. They meet the query:
    q · r."""
    return right_place(k, k, r, window)


def place_without_query(q, k, r, window):
    """You add the sum of r to the scores, a number that no query has a say in. It is q · r."""
    return r.sum(1)[:, None, None]


def place_summed_apart(q, k, r, window):
    """Your einsum has different letters for the features of q and r, so each is summed on its
    own. Give both the letter d."""
    return einsum(q, r, "b n d h w, n e y x -> b n h w y x")


def places_turned_round(q, k, r, window):
    """The vectors are turned round in the window: entry 0 of a table belongs to dy = 0, above
    the pixel."""
    return right_place(q, k, r.flip(-1, -2), window)


def places_transposed_in_scores(q, k, r, window):
    """Rows and columns of the window are exchanged for the vectors: the rows' table runs along
    dy."""
    return right_place(q, k, r.mT, window)


def place_of_first_head(q, k, r, window):
    """All heads get the vectors of the first. Each has its own tables."""
    return right_place(q, k, r[:1].expand_as(r), window)


def place_twice(q, k, r, window):
    """q · r counts twice. Once is enough."""
    return 2 * right_place(q, k, r, window)


# table


def tables_exchanged(rows, columns):
    """The two tables are exchanged: you pass the columns where the rows belong."""
    return relative_embeddings(columns, rows)


def columns_before_rows(rows, columns):
    """The column comes first in your vectors. The first half of the features is the row's."""
    return column_comes_first(rows, columns)


def rows_table_alone(rows, columns):
    """The table of the columns is not used: left and right are alike to you."""
    return relative_embeddings(rows, 0 * columns)


def columns_table_alone(rows, columns):
    """The table of the rows is not used: above and below are alike to you."""
    return relative_embeddings(0 * rows, columns)


def rows_reach_half_of_the_heads(rows, columns):
    """The first heads see rows alone and the last ones columns alone. Each head has both: join
    the tables within a head. (Published code has this mistake.)"""
    return rows_for_half_of_the_heads(rows, columns)


# joining


def content_scaled_alone(content, place, d):
    """You divide q · k by sqrt(d) and q · r not. The paper divides neither."""
    return content / math.sqrt(d) + place


def place_scaled_alone(content, place, d):
    """You divide q · r by sqrt(d) and q · k not. The paper divides neither."""
    return content + place / math.sqrt(d)


def divided_by_width(content, place, d):
    """You divide the scores by d. The paper does not divide them."""
    return (content + place) / d


def multiplied_by_root(content, place, d):
    """You multiply the scores by sqrt(d). The paper takes them as they are."""
    return (content + place) * math.sqrt(d)


def place_taken_off(content, place, d):
    """You subtract q · r. It is added."""
    return content - place


def terms_multiplied(content, place, d):
    """You multiply q · k and q · r. They are added."""
    return content * place


def terms_averaged(content, place, d):
    """You take the mean of q · k and q · r. They are added."""
    return (content + place) / 2


# masking


def beyond_the_edges_too(scores):
    """Zeros beyond the edges take their share: a key of zeros has the score q · r, not -inf.
    Hide what is not `inside`."""
    return scores


def mask_turned_over(scores):
    """Your mask is inverted: `inside` is True where a query may attend, and you hide just
    that."""
    return scores.masked_fill(seen(scores), -math.inf)


def filled_with_zero(scores):
    """Scores beyond the edges become 0, and exp(0) = 1 is a full share. Fill with -inf."""
    return scores.masked_fill(~seen(scores), 0.0)


def zeroed(weights):
    return weights * seen(weights)


@also(after=zeroed)
def hidden_after_the_softmax(scores):
    """You hide the places beyond the edges after the softmax: they have taken their share. Hide
    the scores."""
    return scores


def hidden_one_too_far(scores):
    """You hide the outermost row and column of the picture too. They are inside."""
    h, w, window = scores.shape[-4:-1]
    here = between(*at(h, w, window), 1, max(h - 1, 2), 1, max(w - 1, 2))
    return scores.masked_fill(~here, -math.inf)


def rows_hidden_alone(scores):
    """You hide what is above and below the picture, and not what is left and right of it."""
    return scores.masked_fill(~rows_alone_count(*scores.shape[-4:-1]), -math.inf)


def columns_hidden_alone(scores):
    """You hide what is left and right of the picture, and not what is above and below it."""
    return scores.masked_fill(~columns_alone_count(*scores.shape[-4:-1]), -math.inf)


def middle_hidden(scores):
    """You hide the pixel itself. It is a place of its window like any other."""
    window = scores.shape[-1]
    own = torch.zeros(window, window, dtype=torch.bool)
    own[window // 2, window // 2] = True
    return hide(scores).masked_fill(own, -math.inf)


# normalising


def over_columns_alone(scores):
    """Your softmax runs over dx alone: every row of the window sums to 1. It runs over dy and
    dx together."""
    return scores.softmax(-1)


def over_rows_alone(scores):
    """Your softmax runs over dy alone: every column of the window sums to 1. It runs over dy
    and dx together."""
    return scores.softmax(-2)


def one_axis_then_the_other(scores):
    """You take a softmax over dx and another over dy. One softmax runs over both together: make
    them one axis."""
    return scores.softmax(-1).nan_to_num(0).softmax(-2)


def over_pixels(scores):
    """Your softmax runs over the pixels h w. It runs over the places of a pixel's window."""
    return scores.flatten(-4, -3).softmax(-3).reshape(scores.shape).nan_to_num(0)


def over_heads(scores):
    """Your softmax runs over the heads. It runs over the places of the window."""
    return scores.softmax(1).nan_to_num(0)


def over_all_windows(scores):
    """Your softmax runs over all windows of the picture together. Every pixel has its own."""
    return scores.flatten(-4).softmax(-1).reshape(scores.shape)


def bare_scores(scores):
    """The softmax is missing."""
    return scores.masked_fill(scores == -math.inf, 0)


def sigmoids(scores):
    """You take a sigmoid. The weights of a window are shares: a softmax."""
    return scores.sigmoid()


def softmax_of_softmax(scores):
    """You take the softmax twice. Once is enough."""
    return over_the_window(over_the_window(scores))


def naive_softmax(scores):
    """Your exp overflows for large scores. `softmax` subtracts the largest first."""
    powers = scores.exp()
    return powers / powers.sum((-1, -2), keepdim=True)


# mixing


def own_value(weights, q, k, v, window):
    """The weights meet the pixel's own value alone, and sum to 1: you return v. Put the values
    into windows too."""
    return weights.sum((-1, -2))[:, :, None] * v


def values_turned_round(weights, q, k, v, window):
    """Your values are turned round in the window. Keys and values lie alike."""
    return mixed(weights.flip(-1, -2), q, k, v, window)


def values_transposed(weights, q, k, v, window):
    """Rows and columns of the window are exchanged for the values."""
    return mixed(weights.mT, q, k, v, window)


def keys_for_values(weights, q, k, v, window):
    """You average the keys. It is the values that are averaged."""
    return mixed(weights, q, k, k, window)


def values_not_weighted(weights, q, k, v, window):
    """The weights are not used: you sum all values of a window."""
    return windows(v, window).sum((-1, -2)) + 0 * own_value(weights, q, k, v, window)


def plain_mean_of_values(weights, q, k, v, window):
    """The weights are not used: you take the plain mean of a window."""
    return windows(v, window).mean((-1, -2)) + 0 * own_value(weights, q, k, v, window)


def weights_averaged(weights, q, k, v, window):
    """You divide by the number of places. The weights sum to 1 already."""
    return mixed(weights, q, k, v, window) / window**2


def first_heads_weights(weights, q, k, v, window):
    """All heads use the weights of the first."""
    return mixed(weights[:, :1].expand_as(weights), q, k, v, window)


def largest_only(weights, q, k, v, window):
    """You take the value with the largest weight. All values count, each by its weight."""
    flat = weights.flatten(-2)
    chosen = F.one_hot(flat.argmax(-1), flat.shape[-1]).to(weights).reshape(weights.shape)
    return mixed(chosen, q, k, v, window)


def value_added(weights, q, k, v, window):
    """You add the pixel's own value. It is in the window already."""
    return mixed(weights, q, k, v, window) + v


def values_summed_over_features(weights, q, k, v, window):
    """Your einsum sums over the features of v. They stay: b head d h w."""
    y = mixed(weights, q, k, v, window)
    return y.sum(2, keepdim=True).expand_as(y)


def output_scaled(weights, q, k, v, window):
    """You divide the output by sqrt(d). Nothing is scaled."""
    return mixed(weights, q, k, v, window) / math.sqrt(q.shape[2])


def output_rectified(weights, q, k, v, window):
    """You add a ReLU. There is none."""
    return mixed(weights, q, k, v, window).relu()


def values_from_queries(weights, q, k, v, window):
    """You average the queries. It is the values that are averaged."""
    return mixed(weights, q, k, q, window)


def heads_summed(weights, q, k, v, window):
    """You sum over the heads. Each keeps its own features: b head d h w."""
    y = mixed(weights, q, k, v, window)
    return y.sum(1, keepdim=True).expand_as(y)


def first_examples_weights(weights, q, k, v, window):
    """All examples use the weights of the first. Each has its own."""
    return mixed(weights[:1].expand_as(weights), q, k, v, window)


def largest_product(weights, q, k, v, window):
    """You take the largest of the weighted values. They are summed."""
    return (weights[:, :, None] * windows(v, window)).amax((-1, -2))


def values_given_away(weights, q, k, v, window):
    """Your pixels give their values away, and the output sums what arrives. A pixel collects:
    its weights meet the values of its own window."""
    parts = rearrange(
        weights[:, :, None] * v[..., None, None], "b n d h w y x -> b (n d y x) (h w)"
    )
    given = F.fold(parts, v.shape[-2:], window, padding=window // 2)
    return given.unflatten(1, v.shape[1:3])


def values_window_begins_at_the_pixel(weights, q, k, v, window):
    """The window of your values begins at the pixel. It stands in the middle, as for the
    keys."""
    near = padded_windows(v, window, 0, window - 1)
    return einsum(weights, near, "b n h w y x, b n d h w y x -> b n d h w")


STEPS = dict(
    content=(
        not_summed_over_d,
        summed_apart,
        queries_in_windows,
        keys_turned_round,
        keys_transposed,
        window_begins_at_the_pixel,
        no_content,
        queries_for_keys,
        keys_for_queries,
        keys_for_queries_everywhere,
        summed_apart_from_the_sum,
        roles_exchanged,
        absolute_content,
        cosine_content,
    ),
    place=(
        no_place,
        place_by_keys,
        place_by_the_pixels_key,
        place_without_query,
        place_summed_apart,
        places_turned_round,
        places_transposed_in_scores,
        place_of_first_head,
        place_twice,
    ),
    table=(
        tables_exchanged,
        columns_before_rows,
        rows_table_alone,
        columns_table_alone,
        rows_reach_half_of_the_heads,
    ),
    joining=(
        content_scaled_alone,
        place_scaled_alone,
        divided_by_width,
        multiplied_by_root,
        place_taken_off,
        terms_multiplied,
        terms_averaged,
    ),
    masking=(
        beyond_the_edges_too,
        mask_turned_over,
        filled_with_zero,
        hidden_after_the_softmax,
        hidden_one_too_far,
        rows_hidden_alone,
        columns_hidden_alone,
        middle_hidden,
    ),
    normalising=(
        over_columns_alone,
        over_rows_alone,
        one_axis_then_the_other,
        over_pixels,
        over_heads,
        over_all_windows,
        bare_scores,
        sigmoids,
        softmax_of_softmax,
        naive_softmax,
    ),
)
# Values beyond the edges are 0: whether their weights are is not seen in the output.
MASKINGS = tuple(step for step in STEPS["masking"] if step is not hidden_after_the_softmax)
PAIRED = (
    keys_turned_round,
    keys_transposed,
    no_place,
    place_by_keys,
    place_summed_apart,
    place_without_query,
    places_turned_round,
    tables_exchanged,
    columns_before_rows,
    content_scaled_alone,
    beyond_the_edges_too,
    mask_turned_over,
    filled_with_zero,
    hidden_after_the_softmax,
    over_columns_alone,
    own_value,
    values_turned_round,
)
UNSAID = dict(joining=(divided_by_root,), after=(lambda weights: weights.nan_to_num(0),))


SCALED = (
    "You divide the scores by sqrt(d), as chapter 1 does and HaloNet after this paper. The"
    " paper itself does not: its widths are small, and its queries learn their length."
)


def maps_averaged_over_heads(q, k, rows, columns, window):
    """You average the maps of the heads. Each head has its own."""
    weights = local_weights(q, k, rows, columns, window)
    return weights.mean(1, keepdim=True).expand_as(weights)


def first_examples_map(q, k, rows, columns, window):
    """All examples get the map of the first. Each has its own."""
    weights = local_weights(q, k, rows, columns, window)
    return weights[:1].expand_as(weights)


def places_left_in_one_axis(q, k, rows, columns, window):
    """The places of the window are one axis, (dy dx). Make them two again after the softmax."""
    return local_weights(q, k, rows, columns, window).flatten(-2)


def place_after_the_softmax(q, k, rows, columns, window):
    """You add q · r after the softmax. It is part of the scores."""
    r = relative_embeddings(rows, columns)
    return weights_recipe(place=no_place)(q, k, rows, columns, window) + right_place(
        q, k, r, window
    )


def hidden_where_keys_are_zero(q, k, rows, columns, window):
    """You take a key of zeros for a place outside. A pixel inside may have such a key as well:
    ask `inside`, not the numbers."""
    steps = dict(masking=lambda scores: scores.masked_fill(gone, -math.inf))
    gone = (windows(k, window) == 0).all(2)
    return weights_recipe(**steps)(q, k, rows, columns, window)


def output_hidden_where_keys_are_zero(q, k, v, rows, columns, window):
    weights = hidden_where_keys_are_zero(q, k, rows, columns, window)
    return mixed(weights, q, k, v, window)


def places_added_to_values(q, k, v, rows, columns, window):
    """You add the vectors of the places to the values. They are part of the scores alone."""
    weights, r = (
        local_weights(q, k, rows, columns, window),
        relative_embeddings(rows, columns),
    )
    y = mixed(weights, q, k, v, window)
    return y + einsum(weights, r, "b n h w y x, n d y x -> b n d h w")


HiddenWhereKeysAreZero = Slip(
    "hidden_where_keys_are_zero",
    " ".join(hidden_where_keys_are_zero.__doc__.split()),
    output_hidden_where_keys_are_zero,
)
DividedByRootInWeights = Slip(
    "divided_by_root", SCALED, weights_recipe(joining=divided_by_root), variant=True
)
DividedByRoot = Slip(
    "divided_by_root", SCALED, attention_recipe(joining=divided_by_root), variant=True
)


def weights_by_loops(q, k, rows, columns, window):
    b, head, _, h, w = q.shape
    r, found = window // 2, q.new_zeros(b, head, h, w, window, window)
    for i in range(h):
        for j in range(w):
            places = [
                (y, x)
                for y in range(window)
                for x in range(window)
                if 0 <= i + y - r < h and 0 <= j + x - r < w
            ]
            scores = []
            for y, x in places:
                near = torch.cat([rows[:, y], columns[:, x]], -1) + k[..., i + y - r, j + x - r]
                scores.append((q[..., i, j] * near).sum(-1))
            shares = torch.stack(scores, -1).softmax(-1)
            for n, (y, x) in enumerate(places):
                found[..., i, j, y, x] = shares[..., n]
    return found


def weights_by_unfold(q, k, rows, columns, window):
    b, head, d, h, w = q.shape
    near = F.unfold(k.reshape(b, head * d, h, w), window, padding=window // 2)
    near = near.reshape(b, head, d, window * window, h, w)
    r = embeddings_by_repeat(rows, columns).reshape(head, d, window * window, 1, 1)
    scores = (q.unsqueeze(3) * (near + r)).sum(2).movedim(2, -1)
    scores = scores.masked_fill(~inside_by_unfold(h, w, window).flatten(2).to(q.device), -1e9)
    return F.softmax(scores, dim=-1).unflatten(-1, (window, window))


def weights_by_halves(q, k, rows, columns, window):
    content = (q[..., None, None] * windows(k, window)).sum(2)
    up, side = q.chunk(2, dim=2)
    down = einsum(up, rows, "b n d h w, n y d -> b n h w y")
    across = einsum(side, columns, "b n d h w, n x d -> b n h w x")
    scores = content + down[..., :, None] + across[..., None, :]
    scores = scores.where(inside(*q.shape[-2:], window).to(q.device), -1e30)
    powers = (scores - scores.amax((-1, -2), keepdim=True)).exp()
    return powers / powers.sum((-1, -2), keepdim=True)


def attention_by_shifts(q, k, v, rows, columns, window):
    weights = weights_by_halves(q, k, rows, columns, window)
    r, (h, w) = window // 2, q.shape[-2:]
    padded, y = F.pad(v, (r, r, r, r)), torch.zeros_like(v)
    for dy in range(window):
        for dx in range(window):
            y = y + weights[:, :, None, :, :, dy, dx] * padded[..., dy : dy + h, dx : dx + w]
    return y


def attention_by_matrices(q, k, v, rows, columns, window):
    weights = weights_by_unfold(q, k, rows, columns, window)
    near = windows(v, window)
    y = rearrange(weights, "b n h w y x -> b n h w 1 (y x)") @ rearrange(
        near, "b n d h w y x -> b n h w (y x) d"
    )
    return rearrange(y, "b n h w 1 d -> b n d h w")


def attention_by_dense_mask(q, k, v, rows, columns, window):
    h, w = q.shape[-2:]
    reach, flat = window // 2, [x.flatten(-2).mT for x in (q, k, v)]
    n = torch.arange(h * w, device=q.device)
    dy, dx = n // w - (n // w)[:, None] + reach, n % w - (n % w)[:, None] + reach
    near = (dy >= 0) & (dy < window) & (dx >= 0) & (dx < window)
    r = embeddings_by_repeat(rows, columns)[
        :, :, dy.clamp(0, window - 1), dx.clamp(0, window - 1)
    ]
    bias = einsum(flat[0], r, "b n i d, n d i j -> b n i j").masked_fill(~near, -math.inf)
    y = F.scaled_dot_product_attention(*flat, attn_mask=bias, scale=1.0)
    return y.mT.reshape(v.shape)


# the layer: one recipe


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


InputAdded = Slip(
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


# costs


def cost_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial("for 12 channels, window = 5", channels=12, window=5, relative=True),
        trial(
            "for 128 channels, window = 19, without q · r",
            channels=128,
            window=19,
            relative=False,
        ),
        trial("for 64 channels, window = 7", channels=64, window=7, relative=True),
    )


def products_alone(channels, window, relative=True):
    """You count the products alone. The three projections cost c² each."""
    return (2 + relative) * window**2 * channels


def projections_alone(channels, window, relative=True):
    """You count the projections alone. Each place of the window costs c for q · k, c for
    weights times v, and c for q · r."""
    return 3 * channels**2


def side_for_area(channels, window, relative=True):
    """You count `window` places. A window has window² of them."""
    return 3 * channels**2 + (2 + relative) * window * channels


def one_product_alone(channels, window, relative=True):
    """You count one product for each place. There are two, q · k and weights times v, and q · r
    on top."""
    return 3 * channels**2 + (1 + relative) * window**2 * channels


def place_always(channels, window, relative=True):
    """You count q · r although `relative` is False."""
    return 3 * channels**2 + 3 * window**2 * channels


def place_never(channels, window, relative=True):
    """You leave out q · r where `relative` is True: window² c more."""
    return 3 * channels**2 + 2 * window**2 * channels


def four_projections(channels, window, relative=True):
    """You count four projections. This layer has three: nothing comes after the heads."""
    return 4 * channels**2 + (2 + relative) * window**2 * channels


def as_a_convolution(channels, window, relative=True):
    """You count window² c² as for a convolution. Attention has no matrix for each place: a
    place costs c, not c²."""
    return 3 * channels**2 + (2 + relative) * window**2 * channels**2


def multiplied_and_added(channels, window, relative=True):
    """You count multiplications and additions apart: twice as many. One multiply-add is one;
    the paper's tables count two."""
    return 2 * (3 * channels**2 + (2 + relative) * window**2 * channels)


def place_through_matrix(channels, window, relative=True):
    """You count q · r once a pixel, c. It costs c for each place of the window."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * channels


def convolution_counted(channels, window, relative=True):
    """You count a 3 x 3 convolution. Count attention: three projections and the products."""
    return 9 * channels**2


def one_projection(channels, window, relative=True):
    """You count one projection. Queries, keys and values are three."""
    return channels**2 + (2 + relative) * window**2 * channels


def places_without_features(channels, window, relative=True):
    """You count one multiply-add for each place. A product of two vectors costs their length, c
    in all heads."""
    return 3 * channels**2 + (2 + relative) * window**2


def projected_in_every_place(channels, window, relative=True):
    """You project keys and values anew in every window. They are made once a pixel and then
    read by all windows around: 3 c² in all."""
    return (1 + 2 * window**2) * channels**2 + (2 + relative) * window**2 * channels


def all_projected_in_every_place(channels, window, relative=True):
    """You count the projections for each place of the window. They are made once a pixel: 3
    c²."""
    return 3 * window**2 * channels**2 + (2 + relative) * window**2 * channels


def place_by_tables(channels, window, relative=True):
    """You count q · r by its two tables, window c. That is how little it can cost; the paper
    counts it for each place, window² c, and so do we."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * window * channels


def place_inverted(channels, window, relative=True):
    """`relative` works the wrong way round: q · r counts where it is True."""
    return 3 * channels**2 + (3 - relative) * window**2 * channels


def place_by_both_tables(channels, window, relative=True):
    """You count q · r once for each row and once for each column, 2 window c. That can be done;
    the paper counts it for each place, window² c, and so do we."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * 2 * window * channels


def place_by_half(channels, window, relative=True):
    """You count half of the features for q · r. A place has a vector of d: half of the row and
    half of the column."""
    return 3 * channels**2 + 2 * window**2 * channels + relative * window**2 * channels // 2


def projections_in_places_alone(channels, window, relative=True):
    """You count the projections alone, and for each place of the window. They are made once a
    pixel, 3 c²; then come the products, window² c each."""
    return 3 * window**2 * channels**2


def cost_by_steps(channels, window, relative=True):
    steps = [channels * channels] * 3 + [channels * window * window] * 2
    return sum(steps) + (channels * window * window if relative else 0)


def cost_factored(channels, window, relative=True):
    return channels * (3 * channels + (3 if relative else 2) * window**2)


def window_trials():
    def trial(name, **sizes):
        return Trial(name, {}, sizes)

    return (
        trial("for 128 channels and 3 x 3", channels=128, kernel=3),
        trial("for 64 channels and 3 x 3", channels=64, kernel=3),
        trial("for 64 channels and 5 x 5", channels=64, kernel=5),
        trial("for 27 channels and 3 x 3", channels=27, kernel=3),
        trial("for 110 channels and 3 x 3", channels=110, kernel=3),
        trial("for 6 channels and 7 x 7", channels=6, kernel=7),
        trial("for 3 channels and 3 x 3", channels=3, kernel=3),
        trial("for 16 channels and 1 x 1", channels=16, kernel=1),
        trial("for 1 channel and 3 x 3", channels=1, kernel=3),
        trial("for 40,000 channels and 3 x 3", channels=40000, kernel=3),
    )


def fitting(channels, kernel, cost, odd=True):
    """The largest window that costs no more than a convolution."""
    limit = kernel**2 * channels**2
    return max((k for k in range(1, 999, 1 + odd) if cost(channels, k) <= limit), default=0)


def even_windows_too(channels, kernel=3):
    """Yours may be even. A window has a middle, so its width is odd."""
    return fitting(channels, kernel, lambda c, k: 3 * c**2 + 2 * k**2 * c, odd=False)


def rounded_up(channels, kernel=3):
    """Yours is one step too large: it costs more than the convolution. Round down."""
    found = largest_window(channels, kernel)
    return found + 2 if found else 1


def projections_forgotten(channels, kernel=3):
    """You leave out the projections: 3 c² on the side of attention."""
    return fitting(channels, kernel, lambda c, k: 2 * k**2 * c)


def place_counted(channels, kernel=3):
    """You count q · r. Here it is left out, as in the paper's comparison: 3 c² + 2 window²
    c."""
    return fitting(channels, kernel, lambda c, k: 3 * c**2 + 3 * k**2 * c)


def one_product_counted(channels, kernel=3):
    """You count one product for each place. There are two, q · k and weights times v."""
    return fitting(channels, kernel, lambda c, k: 3 * c**2 + k**2 * c)


def four_projections_counted(channels, kernel=3):
    """You count four projections. This layer has three."""
    return fitting(channels, kernel, lambda c, k: 4 * c**2 + 2 * k**2 * c)


def root_not_taken(channels, kernel=3):
    """You give the number of places, window². The window is its root."""
    square = (kernel**2 - 3) * channels // 2
    return max(square - (square % 2 == 0), 0)


def always_for_3_x_3(channels, kernel=3):
    """You compare with a 3 x 3 convolution whatever `kernel` is. It costs kernel² c²."""
    return largest_window(channels, 3)


def kernel_not_squared(channels, kernel=3):
    """You count `kernel` places for the convolution. It has kernel²."""
    limit = kernel * channels**2
    return max(
        (k for k in range(1, 999, 2) if 3 * channels**2 + 2 * k**2 * channels <= limit),
        default=0,
    )


def at_least_one(channels, kernel=3):
    """You give 1 where even a single pixel costs too much. There it is 0."""
    return max(largest_window(channels, kernel), 1)


def next_odd_number_above(channels, kernel=3):
    """From an even root you go up to the next odd number: too dear. Go down."""
    square = (kernel**2 - 3) * channels // 2
    if square < 1:
        return 0
    root = math.isqrt(square)
    return root if root % 2 else root + 1


def rounded_to_the_nearest(channels, kernel=3):
    """You round the root to the nearest whole number, which may be too large. Round down:
    `math.isqrt`."""
    square = (kernel**2 - 3) * channels / 2
    if square < 1:
        return 0
    root = round(math.sqrt(square))
    return root if root % 2 else root - 1


def less_than_nothing(channels, kernel=3):
    """Where nothing fits you give -1. It is 0."""
    return largest_window(channels, kernel) or -1


def strictly_cheaper(channels, kernel=3):
    """You ask for less than the convolution. As much is allowed: <=."""
    limit = kernel**2 * channels**2
    fits = (k for k in range(1, 999, 2) if 3 * channels**2 + 2 * k**2 * channels < limit)
    return max(fits, default=0)


def smallest_that_fits(channels, kernel=3):
    """You give the smallest window that fits. The largest is asked for."""
    return min(largest_window(channels, kernel), 1)


def at_least_three(channels, kernel=3):
    """Your search begins at 3. A window of 1 is one too."""
    found = largest_window(channels, kernel)
    return found if found > 1 else 0


def nothing_said(channels, kernel=3):
    """Where nothing fits you return None. It is 0."""
    return largest_window(channels, kernel) or None


def window_by_search(channels, kernel=3):
    window = 0
    while 3 * channels**2 + 2 * (window + 2) ** 2 * channels <= kernel**2 * channels**2:
        window += 2
    one = 3 * channels + 2 <= kernel**2 * channels
    odd = [
        k for k in range(1, window + 3, 2) if 3 * channels + 2 * k**2 <= kernel**2 * channels
    ]
    return odd[-1] if one else 0


def window_by_root(channels, kernel=3):
    square = (kernel**2 - 3) * channels / 2
    if square < 1:
        return 0
    return 2 * int((math.sqrt(square + 1e-9) - 1) // 2) + 1


# values that know their place


def values_trials():
    def trial(name, **sizes):
        sizes["dx"] = sizes["dy"]
        init = dict(channels=sizes["c"], out_channels=sizes["e"], block=sizes["dy"])
        init |= dict(mixtures=sizes["mix"], dim=sizes["d"])
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("for blocks of 4, some cut off", b=2, c=3, e=5, mix=6, dy=4, d=8, h=11, w=13),
        trial("for blocks of 3 that fit", b=2, c=4, e=7, mix=5, dy=3, d=10, h=6, w=9),
        trial("on a single row", b=3, c=4, e=6, mix=2, dy=5, d=8, h=1, w=7),
    )


def row_plus_column(rows, columns):
    return rows[:, None] + columns


def with_mixtures(place, mixture):
    return einsum(place, mixture, "y x d, m d -> y x m")


def over_mixtures(scores):
    return scores.softmax(-1)


def tiled(h, w, block):
    return torch.arange(h) % block, torch.arange(w) % block


def mixtures_outside(y, mixtures):
    return rearrange(y, "b (m e) h w -> b m e h w", m=mixtures)


def weighted_sum(shares, values):
    return einsum(shares, values, "h w m, b m e h w -> b e h w")


def values_recipe(
    placing=row_plus_column,
    scoring=with_mixtures,
    normalising=over_mixtures,
    ordering=lambda shares: shares,
    tiling=tiled,
    splitting=mixtures_outside,
    mixing=weighted_sum,
):
    """`SpatialValues` with some of its steps replaced."""

    class Answer(SpatialValues):
        def shares(self):
            scores = scoring(placing(self.rows, self.columns), self.mixture)
            return ordering(normalising(scores))

        def forward(self, x):
            dy, dx = tiling(*x.shape[-2:], self.block)
            scores = scoring(placing(self.rows, self.columns), self.mixture)
            shares = normalising(scores)[dy][:, dx]
            return mixing(shares, splitting(self.value(x), self.mixtures))

    return Answer


def row_times_column(rows, columns):
    """You multiply the vectors of row and column. They are added."""
    return rows[:, None] * columns


def row_alone(rows, columns):
    """The columns are not used: a place has a row and a column."""
    return rows[:, None] + 0 * columns


def column_alone(rows, columns):
    """The rows are not used: a place has a row and a column."""
    return 0 * rows[:, None] + columns


def column_down(rows, columns):
    """Rows and columns are exchanged: the first axis of a block, dy, has the rows."""
    return rows + columns[:, None]


def scaled_scores(place, mixture):
    """You divide by sqrt(d). The paper does not."""
    return with_mixtures(place, mixture) / math.sqrt(place.shape[-1])


def features_summed_apart(place, mixture):
    """Your einsum has different letters for the features of place and mixture, so each is
    summed on its own. Give both the letter d."""
    return einsum(place, mixture, "y x d, m f -> y x m")


def over_rows_of_the_block(scores):
    """Your softmax runs over dy. It runs over the mixtures: a place shares itself out among the
    matrices."""
    return scores.softmax(0)


def over_columns_of_the_block(scores):
    """Your softmax runs over dx. It runs over the mixtures: a place shares itself out among the
    matrices."""
    return scores.softmax(1)


def over_the_block(scores):
    """Your softmax runs over the places of the block. It runs over the mixtures: a place shares
    itself out among the matrices."""
    return scores.flatten(0, 1).softmax(0).reshape(scores.shape)


def no_softmax(scores):
    """The softmax is missing: the shares of a place sum to 1 over the mixtures."""
    return scores


def sigmoid_of_scores(scores):
    """You take a sigmoid. The shares of a place sum to 1 over the mixtures: a softmax."""
    return scores.sigmoid()


def best_mixture_alone(scores):
    """Your shares are 0 and 1: you take the mixture with the largest score. All of them have a
    share: a softmax."""
    return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores)


def mixtures_first(shares):
    """The mixtures come first: mix dy dx. They come last: dy dx mix."""
    return rearrange(shares, "y x m -> m y x")


def block_exchanged(shares):
    """Your places are dx dy. Rows come first: dy dx."""
    return rearrange(shares, "y x m -> x y m")


def stretched(h, w, block):
    """You stretch one block over the whole picture. It is repeated, as tiles are: the place of
    pixel h is h % block."""
    return torch.arange(h) * block // h, torch.arange(w) * block // w


def places_drawn_out(h, w, block):
    """You repeat each place, "(dy n)", so that one block covers the picture. It is the block
    that is repeated, "(n dy)": pixel h has the place h % block."""
    return torch.arange(h) // -(-h // block), torch.arange(w) // -(-w // block)


def blocks_turned(h, w, block):
    """Your places run backwards. Pixel 0 has place 0."""
    return (-1 - torch.arange(h)) % block, (-1 - torch.arange(w)) % block


def number_of_the_block(h, w, block):
    """You take the number of the block, h // block. The place *in* the block is h % block."""
    return (torch.arange(h) // block) % block, (torch.arange(w) // block) % block


def tiled_from_the_end(h, w, block):
    """You lay the blocks from the bottom right corner. They begin at the top left: pixel 0 has
    place 0."""
    return (torch.arange(h) - h) % block, (torch.arange(w) - w) % block


def tiled_one_late(h, w, block):
    """Your blocks begin at pixel 1. Pixel 0 has place 0."""
    return (torch.arange(h) - 1) % block, (torch.arange(w) - 1) % block


def first_place_for_all(h, w, block):
    """All pixels get the shares of place 0, 0. Each has those of its own place in the block."""
    return torch.zeros(h, dtype=torch.long), torch.zeros(w, dtype=torch.long)


def tiled_from_one(h, w, block):
    """Your places count from 1. Pixel 0 has place 0."""
    return (torch.arange(h) + 1) % block, (torch.arange(w) + 1) % block


def first_block_alone(h, w, block):
    """Behind the first block you keep its last place. The block is repeated: h % block."""
    return torch.arange(h).clamp(max=block - 1), torch.arange(w).clamp(max=block - 1)


def blocks_of_four(h, w, block):
    """You take blocks of 4 whatever `block` is: `self.block` knows."""
    return torch.arange(h) % 4 % block, torch.arange(w) % 4 % block


def rows_repeat_alone(h, w, block):
    """The place is that of the row for both axes in yours: dx is w % block."""
    return torch.arange(h) % block, torch.zeros(w, dtype=torch.long)


def mixtures_inside(y, mixtures):
    """You cut the channels as "(e mix)". A mixture is e channels in a row: "(mix e)"."""
    return rearrange(y, "b (e m) h w -> b m e h w", m=mixtures)


def plain_sum(shares, values):
    """The shares are not used: you sum the values of all matrices."""
    return values.sum(1) + 0 * weighted_sum(shares, values)


def plain_mean(shares, values):
    """The shares are not used: you average the values of all matrices."""
    return values.mean(1) + 0 * weighted_sum(shares, values)


def best_matrix_alone(shares, values):
    """You take the matrix with the largest share. All of them count, each by its share."""
    chosen = F.one_hot(shares.argmax(-1), shares.shape[-1]).to(shares)
    return weighted_sum(chosen, values)


def not_mixed(shares, values):
    """The mixtures are still there: sum over them, weighted by the shares."""
    return einsum(shares, values, "h w m, b m e h w -> b m e h w")


def divided_by_mixtures(shares, values):
    """You average over the mixtures. The shares sum to 1 already: sum."""
    return weighted_sum(shares, values) / values.shape[1]


class SoftmaxesMultiplied(SpatialValues):
    """You take a softmax for the row and one for the column, and multiply them. One softmax,
    over the scores of row plus column: then the shares sum to 1."""

    def shares(self):
        rows, columns = self.rows @ self.mixture.mT, self.columns @ self.mixture.mT
        return rows.softmax(-1)[:, None] * columns.softmax(-1)


class SoftmaxesAveraged(SpatialValues):
    """You take a softmax for the row and one for the column, and their mean. One softmax, over
    the scores of row plus column."""

    def shares(self):
        rows, columns = self.rows @ self.mixture.mT, self.columns @ self.mixture.mT
        return (rows.softmax(-1)[:, None] + columns.softmax(-1)) / 2


class ValuesByLoops(SpatialValues):
    def shares(self):
        table = [
            [self.mixture @ (row + column) for column in self.columns] for row in self.rows
        ]
        return torch.stack([torch.stack(line) for line in table]).softmax(-1)

    def forward(self, x):
        shares, y = self.shares(), self.value(x)
        parts = y.chunk(self.mixtures, dim=1)
        h, w = x.shape[-2:]
        total = 0
        for m, part in enumerate(parts):
            grid = shares[..., m].repeat(-(-h // self.block), -(-w // self.block))
            total = total + grid[:h, :w] * part
        return total


class ValuesByMatrices(SpatialValues):
    """The matrices are mixed first: one for each place of the block."""

    def shares(self):
        rows, columns = self.rows @ self.mixture.mT, self.columns @ self.mixture.mT
        return F.softmax(rows.unsqueeze(1) + columns.unsqueeze(0), dim=2)

    def forward(self, x):
        matrices = rearrange(self.value.weight, "(m e) c 1 1 -> m e c", m=self.mixtures)
        own = einsum(self.shares(), matrices, "y x m, m e c -> y x e c")
        h, w = x.shape[-2:]
        own = own[torch.arange(h) % self.block][:, torch.arange(w) % self.block]
        return einsum(own, x, "h w e c, b c h w -> b e h w")


EXERCISES = [
    Exercise(
        id="stand_alone.windows",
        solution=windows,
        probes={"windows": "b c h w dy dx"},
        trials=windows_trials,
        slips=(
            places_transposed,
            windows_turned,
            in_ways(not_padded, not_padded_at_all),
            begins_at_the_pixel,
            ends_at_the_pixel,
            one_too_late,
            one_too_early,
            padded_too_much,
            padded_by_one_more,
            as_wide_as_high,
            in_ways(padded_across_only, across_alone),
            edges_repeated,
            edges_reflected,
            wrapped_around,
            padded_with_ones,
            across_turned,
            counted_from_the_front,
            shifted_at_the_edges,
            spread_out,
            blocks_instead,
            places_before_pixels,
            raw_reshape,
            places_in_one_axis,
        ),
        hints=(
            "A window of 5 around the pixel at row 0: which rows does it cover?",
            (
                "Rows -2 to 2, of which two are not there. So first put window // 2 zeros on"
                " every side (`F.pad` takes left, right, top, bottom). `x.unfold(axis, window,"
                " 1)` then cuts windows along one axis and puts their places last."
            ),
            (
                "padded = F.pad(x, four times window // 2)\n"
                "unfold along the rows, then along the columns: ... h w dy dx\n"
                "The axis to unfold is the last but one, both times"
            ),
        ),
        minutes=8,
        difficulty=2,
        otherwise=(windows_by_unfold, windows_by_shifts, windows_by_loops),
        refuses=even_windows,
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="stand_alone.inside",
        solution=inside,
        probes={"inside": "h w dy dx"},
        trials=inside_trials,
        slips=(
            everywhere,
            outside,
            rows_alone_count,
            columns_alone_count,
            either_is_enough,
            first_pixels_left_out,
            one_beyond,
            last_pixels_left_out,
            far_edges_forgotten,
            near_edges_forgotten,
            height_and_width_exchanged,
            counted_from_the_pixel,
            whole_windows_only,
            rows_and_columns_exchanged,
            middle_left_out,
            diamond,
            places_first,
            ones_and_zeros,
        ),
        hints=(
            "What does `windows` put where there is no picture?",
            "Zeros. So what do the windows of a picture of ones hold?",
            "windows of a boolean picture of ones, height x width",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(inside_by_comparison, inside_by_loops, inside_by_unfold),
        skip=frozenset({"gradients", "large"}),
    ),
    Exercise(
        id="stand_alone.relative_embeddings",
        solution=relative_embeddings,
        probes={"relative_embeddings": "head d dy dx"},
        trials=embedding_trials,
        slips=(
            vectors_added,
            vectors_multiplied,
            column_comes_first,
            halves_interleaved,
            rows_for_half_of_the_heads,
            table_of_rows_turned,
            table_of_columns_turned,
            both_tables_turned,
            joined_along_the_heads,
            places_exchanged,
            features_at_the_end,
            first_heads_table,
            in_ways(rows_twice, rows_down_and_across),
            in_ways(columns_twice, columns_down_and_across),
            tables_reshaped,
            tables_end_to_end,
            columns_taken_off,
            joined_along_dy,
        ),
        hints=(
            "What do all places of one row of the window have in common?",
            (
                "The first half of their vector. Copy the rows along dx and the columns along"
                " dy: both are head half dy dx. Then put them one after the other along the"
                " features."
            ),
            (
                'repeat(rows, "head dy half -> head half dy dx", dx=…), the columns alike\n'
                "torch.cat of both along the axis of the halves"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(embeddings_by_repeat, embeddings_by_loops),
    ),
    Exercise(
        id="stand_alone.local_weights",
        solution=local_weights,
        probes={"local_weights": "b head h w dy dx"},
        trials=weights_trials,
        slips=(
            *family(
                weights_recipe,
                paired=PAIRED,
                unsaid=UNSAID,
                **STEPS,
            ),
            place_after_the_softmax,
            maps_averaged_over_heads,
            first_examples_map,
            places_left_in_one_axis,
            hidden_where_keys_are_zero,
            DividedByRootInWeights,
        ),
        hints=(
            "How many scores does a pixel have, and of which two terms is each the sum?",
            (
                "window² of them: q with each key of `windows(k, window)` and q with each"
                " vector of `relative_embeddings(rows, columns)`. Both sums run over d. What is"
                " not `inside` becomes -inf. One softmax over dy and dx together: make them one"
                " axis."
            ),
            (
                "content: q (b head d h w) with windows of k, over d -> b head h w dy dx\n"
                "position: q with the vectors (head d dy dx), over d -> b head h w dy dx\n"
                "their sum, -inf where not inside(h, w, window), moved to q.device\n"
                "softmax over (dy dx), and apart again"
            ),
        ),
        minutes=20,
        difficulty=4,
        otherwise=(weights_by_loops, weights_by_unfold, weights_by_halves),
        laws=(
            "shares_of_the_window",
            "nothing_beyond_the_edges",
            "content_and_place_in_windows",
            "examples_do_not_mix",
        ),
    ),
    Exercise(
        id="stand_alone.local_attention",
        solution=local_attention,
        probes={"local_attention": "b head d h w"},
        trials=output_trials,
        slips=(
            *family(
                attention_recipe,
                paired=PAIRED,
                unsaid=UNSAID,
                **(STEPS | dict(masking=MASKINGS)),
                mixing=(
                    own_value,
                    values_turned_round,
                    values_transposed,
                    keys_for_values,
                    values_not_weighted,
                    plain_mean_of_values,
                    weights_averaged,
                    first_heads_weights,
                    largest_only,
                    value_added,
                    output_scaled,
                    output_rectified,
                    values_from_queries,
                    values_summed_over_features,
                    values_window_begins_at_the_pixel,
                    heads_summed,
                    first_examples_weights,
                    largest_product,
                    values_given_away,
                ),
            ),
            places_added_to_values,
            HiddenWhereKeysAreZero,
            DividedByRoot,
        ),
        hints=(
            "The weights have the axes b head h w dy dx. Which axes does the output have?",
            "Put the values into windows as well. Sum over dy and dx, keep the rest.",
            "einsum of weights and windows(v, window): dy and dx are not in the result",
        ),
        minutes=6,
        difficulty=2,
        otherwise=(attention_by_shifts, attention_by_matrices, attention_by_dense_mask),
        laws=(
            "equal_values_stay",
            "values_reach_half_a_window",
            "output_is_a_mixture_of_values",
            "examples_do_not_mix",
        ),
    ),
    Exercise(
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
    ),
    Exercise(
        id="stand_alone.multiply_adds",
        solution=multiply_adds,
        probes={"multiply_adds": ""},
        trials=cost_trials,
        slips=(
            products_alone,
            projections_alone,
            side_for_area,
            one_product_alone,
            place_always,
            place_never,
            four_projections,
            as_a_convolution,
            multiplied_and_added,
            place_through_matrix,
            convolution_counted,
            one_projection,
            places_without_features,
            projected_in_every_place,
            all_projected_in_every_place,
            place_by_tables,
            place_inverted,
            place_by_both_tables,
            place_by_half,
            projections_in_places_alone,
        ),
        hints=(
            "How many numbers are multiplied for one score q · k, in all heads together?",
            (
                "d in each head, so c in all. The same for weights times v, and for q · r."
                " There are window² places. A projection is a c x c matrix."
            ),
            "3 c² + (3 or 2) window² c",
        ),
        minutes=5,
        difficulty=2,
        otherwise=(cost_by_steps, cost_factored),
    ),
    Exercise(
        id="stand_alone.largest_window",
        solution=largest_window,
        probes={"largest_window": ""},
        trials=window_trials,
        slips=(
            even_windows_too,
            rounded_up,
            projections_forgotten,
            place_counted,
            one_product_counted,
            four_projections_counted,
            root_not_taken,
            always_for_3_x_3,
            kernel_not_squared,
            at_least_one,
            next_odd_number_above,
            rounded_to_the_nearest,
            less_than_nothing,
            strictly_cheaper,
            smallest_that_fits,
            at_least_three,
            nothing_said,
        ),
        hints=(
            "Write both costs down, with c for the channels, and divide by c. What is left?",
            (
                "3 c + 2 window² <= kernel² c. Solve it for the window, and take the next odd"
                " number below. `math.isqrt` rounds a root down. Nothing fits: 0."
            ),
            (
                "square = (kernel² - 3) c // 2; 0 if that is less than 1\n"
                "its whole root, one less if even"
            ),
        ),
        minutes=6,
        difficulty=2,
        otherwise=(window_by_search, window_by_root),
    ),
    Exercise(
        id="stand_alone.spatial_values",
        solution=SpatialValues,
        probes={"shares": "dy dx mix", "forward": "b e h w"},
        trials=values_trials,
        blank=("shares", "forward"),
        slips=(
            *family(
                values_recipe,
                paired=(
                    row_times_column,
                    column_down,
                    over_rows_of_the_block,
                    over_columns_of_the_block,
                    over_the_block,
                    no_softmax,
                    stretched,
                    number_of_the_block,
                    mixtures_inside,
                    plain_mean,
                ),
                placing=(row_times_column, row_alone, column_alone, column_down),
                scoring=(scaled_scores, features_summed_apart),
                normalising=(
                    over_rows_of_the_block,
                    over_columns_of_the_block,
                    over_the_block,
                    no_softmax,
                    sigmoid_of_scores,
                    best_mixture_alone,
                ),
                ordering=(mixtures_first, block_exchanged),
                tiling=(
                    stretched,
                    places_drawn_out,
                    blocks_turned,
                    number_of_the_block,
                    tiled_from_the_end,
                    tiled_one_late,
                    first_place_for_all,
                    rows_repeat_alone,
                    tiled_from_one,
                    first_block_alone,
                    blocks_of_four,
                ),
                splitting=(mixtures_inside,),
                mixing=(
                    plain_sum,
                    plain_mean,
                    best_matrix_alone,
                    not_mixed,
                    divided_by_mixtures,
                ),
            ),
            slip(SoftmaxesMultiplied),
            slip(SoftmaxesAveraged),
        ),
        hints=(
            "Which axis of dy dx mix has to sum to 1, if a place shares itself out?",
            (
                "mix. Each place has the vector row + column; its product with the vector of"
                " each mixture is a score. Pixel h, w has the place h % block, w % block: index"
                " the shares with both. `self.value` gives the values of all matrices, (mix e)."
            ),
            (
                "shares: rows (dy 1 d) + columns (dx d), times self.mixture over d, softmax\n"
                "forward: shares[h % block][:, w % block]              h w mix\n"
                '    values "b (mix e) h w -> b mix e h w"\n'
                "    their product, summed over mix"
            ),
        ),
        minutes=12,
        difficulty=3,
        otherwise=(ValuesByLoops, ValuesByMatrices),
        laws=("shares_of_a_place", "examples_do_not_mix"),
    ),
]
