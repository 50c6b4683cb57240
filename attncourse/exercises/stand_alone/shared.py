"""Of several exercises of the chapter: stand_alone."""

import math
from dataclasses import replace

import torch
from einops import einsum, rearrange, repeat
from torch.nn import functional as F

from attncourse.exercises.families import also, remade
from attncourse.exercises.letters import shape_of
from attncourse.exercises.record import Given, Trial, slip
from solutions.stand_alone import (
    inside,
    relative_embeddings,
    windows,
)


def in_ways(answer, *ways):
    """A slip that is also known when it is made in other ways."""
    return remade(slip(answer), ways=ways)


def refuse_even(window):
    if window % 2 == 0:
        raise ValueError("even")


def padded_windows(x, window, left, right):
    padded = F.pad(x, (left, right, left, right))
    return padded.unfold(-2, window, 1).unfold(-2, window, 1)


def windows_by_unfold(x, window):
    refuse_even(window)
    flat = x.reshape(-1, 1, *x.shape[-2:])
    found = F.unfold(flat, window, padding=window // 2)
    found = rearrange(found, "b (dy dx) (h w) -> b h w dy dx", dy=window, h=x.shape[-2])
    return found.reshape(*x.shape, window, window)


def at(height, width, window):
    """Row and column of every place of every window."""
    y = torch.arange(height)[:, None] + torch.arange(window) - window // 2
    x = torch.arange(width)[:, None] + torch.arange(window) - window // 2
    return rearrange(y, "h dy -> h 1 dy 1"), rearrange(x, "w dx -> 1 w 1 dx")


def between(y, x, top, bottom, left, right):
    return (y >= top) & (y < bottom) & (x >= left) & (x < right)


def rows_alone_count(height, width, window):
    """You look at the rows alone: a place to the left or right of the picture is outside
    too."""
    y, x = at(height, width, window)
    return (y >= 0) & (y < height) & (x == x)


def columns_alone_count(height, width, window):
    """You look at the columns alone: a place above or below the picture is outside too."""
    y, x = at(height, width, window)
    return (x >= 0) & (x < width) & (y == y)


def inside_by_unfold(height, width, window):
    ones = F.unfold(torch.ones(1, 1, height, width), window, padding=window // 2)
    return rearrange(ones, "1 (dy dx) (h w) -> h w dy dx", dy=window, h=height) > 0.5


def spread(rows, columns):
    """Both tables as head half dy dx."""
    return torch.broadcast_tensors(rows.mT[..., None], columns.mT[..., None, :])


def column_comes_first(rows, columns):
    """The column comes first in your vectors. The first half of the features is the row's."""
    return torch.cat(spread(rows, columns)[::-1], 1)


def rows_for_half_of_the_heads(rows, columns):
    """You put all rows before all columns and cut the heads afterwards: the first heads see
    rows alone, the last ones columns alone. Join within each head."""
    joined = rearrange([*spread(rows, columns)], "two head half dy dx -> (two head half) dy dx")
    return rearrange(joined, "(head d) dy dx -> head d dy dx", head=len(rows))


def embeddings_by_repeat(rows, columns):
    down = repeat(rows, "head dy half -> head half dy dx", dx=columns.shape[1])
    across = repeat(columns, "head dx half -> head half dy dx", dy=rows.shape[1])
    return torch.cat((down, across), dim=1)


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


def own_value(weights, q, k, v, window):
    """The weights meet the pixel's own value alone, and sum to 1: you return v. Put the values
    into windows too."""
    return weights.sum((-1, -2))[:, :, None] * v


def values_turned_round(weights, q, k, v, window):
    """Your values are turned round in the window. Keys and values lie alike."""
    return mixed(weights.flip(-1, -2), q, k, v, window)


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


def hidden_where_keys_are_zero(q, k, rows, columns, window):
    """You take a key of zeros for a place outside. A pixel inside may have such a key as well:
    ask `inside`, not the numbers."""
    steps = dict(masking=lambda scores: scores.masked_fill(gone, -math.inf))
    gone = (windows(k, window) == 0).all(2)
    return weights_recipe(**steps)(q, k, rows, columns, window)


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
