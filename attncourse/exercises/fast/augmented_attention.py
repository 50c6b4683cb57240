"""The record of `fast.augmented_attention`."""

import math

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.fast.augmented import augmented_attention
from solutions.relative_2d import relative_attention_2d

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import in_ways


def augmented_trials():
    def trial(name, **sizes):
        h, w = sizes["h"], sizes["w"]
        sizes |= {"r": 2 * h - 1, "s": 2 * w - 1}
        three = {"q": "b head h w d", "k": "b head h w d", "v": "b head h w e"}
        return Trial(name, sizes, three | {"rows": "r d", "columns": "s d"})

    return (
        trial("on 7 x 12 pixels", b=2, head=3, h=7, w=12, d=5, e=4),
        trial("with values wider than all of q' and k'", b=1, head=2, h=3, w=4, d=6, e=17),
        trial("on one row of pixels", b=2, head=3, h=1, w=6, d=4, e=8),
    )


def root_d(q):
    return q / math.sqrt(q.shape[-1])


def as_it_is(q, d):
    return q


def by_offset(n):
    place = torch.arange(n)
    return place - place[:, None] + n - 1


def what_it_says(q, rows, columns, index):
    h, w = q.shape[-3:-1]
    down = einsum(q, rows[index(h)], "... h w d, h y d -> ... h w y")
    across = einsum(q, columns[index(w)], "... h w d, w x d -> ... h w x")
    return [down, across]


def ones_of_places(h, w):
    row = torch.eye(h).double()[:, None].expand(h, w, h)
    column = torch.eye(w).double()[None].expand(h, w, w)
    return [row, column]


def filled_up(v, width):
    return F.pad(v, (0, width - v.shape[-1]))


def first_features(y, e):
    return y[..., :e]


def by_fused(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def augmented_recipe(
    scaling=root_d,
    scaling_places=as_it_is,
    indexing=by_offset,
    saying=what_it_says,
    placing=ones_of_places,
    filling=filled_up,
    attending=by_fused,
    cutting=first_features,
):
    def answer(q, k, v, rows, columns):
        h, w, d = q.shape[-3:]
        places = saying(scaling_places(scaling(q), d), rows, columns, indexing)
        ones = [one.to(k).expand(*k.shape[:-3], *one.shape) for one in placing(h, w)]
        q, k = torch.cat([scaling(q), *places], -1), torch.cat([k, *ones], -1)
        q, k, v_ = (rearrange(x, "... h w m -> ... (h w) m") for x in (q, k, v))
        width = max(q.shape[-1], v.shape[-1])
        q, k = (F.pad(x, (0, width - x.shape[-1])).contiguous() for x in (q, k))
        y = cutting(attending(q, k, filling(v_, width).contiguous()), v.shape[-1])
        return rearrange(y, "... (h w) e -> ... h w e", h=h)

    return answer


def nothing_scaled(q):
    """You do not scale: all scores, those of places too, are divided by sqrt(d)."""
    return q


def scaled_by_d_here(q):
    """You divide by d. It is sqrt(d), once: is q scaled, and the call scales again?"""
    return q / q.shape[-1]


def places_scaled_twice(q, d):
    """You scale the places twice: down and across are made of q that is scaled already."""
    return q / math.sqrt(d)


def places_not_scaled(q, d):
    """You scale what q and k say, and not the places: q · R and q · C are divided by sqrt(d)
    too. Scale q first, then make down and across of it."""
    return q * math.sqrt(d)


def offsets_turned(n):
    """Your offsets have the wrong sign. Row r of a table is the offset r - (h - 1) of *key
    minus query*, and not the other way round."""
    place = torch.arange(n)
    return place[:, None] - place + n - 1


def offsets_from_zero(n):
    """You index with key minus query alone: negative ones count from the end of the table. Add
    n - 1, so that the offset -(n - 1) is row 0."""
    place = torch.arange(n)
    return place - place[:, None]


def offsets_one_off(n):
    """Your offsets are off by one: key minus query + n - 1, so that offset 0 is the middle row
    of the table."""
    place = torch.arange(n)
    return (place - place[:, None] + n) % (2 * n - 1)


def distances(n):
    """You take the distance without its sign. Above and below have rows of their own: key minus
    query + n - 1."""
    place = torch.arange(n)
    return (place - place[:, None]).abs() + n - 1


def places_of_keys(n):
    """You index the tables with the place of the key alone. They hold offsets: key minus query
    + n - 1."""
    return torch.arange(n).expand(n, n)


def rows_alone(q, rows, columns, index):
    """The columns are missing: a query says something to each row *and* to each column."""
    down, across = what_it_says(q, rows, columns, index)
    return [down, torch.zeros_like(across)]


def columns_alone(q, rows, columns, index):
    """The rows are missing: a query says something to each row *and* to each column."""
    down, across = what_it_says(q, rows, columns, index)
    return [torch.zeros_like(down), across]


def no_places(q, rows, columns, index):
    """Places do not count in your result: what the query says to rows and columns must stand
    beside q, and the ones beside k."""
    return [torch.zeros_like(part) for part in what_it_says(q, rows, columns, index)]


def places_doubled(q, rows, columns, index):
    """Places count twice in your result: added to q, or as features *and* as a bias."""
    return [2 * part for part in what_it_says(q, rows, columns, index)]


def places_of_the_first(q, rows, columns, index):
    """You take down and across of the first pixel for all of them. Each query has its own."""
    parts = what_it_says(q, rows, columns, index)
    return [part[..., :1, :1, :].expand_as(part) for part in parts]


def turned_ones(h, w):
    """The ones of your keys are in the wrong order: pixel (h w) of a line is in row h, that is
    one every w pixels. The ones for rows repeat along w, those for columns along h."""
    row = rearrange(torch.eye(h)[:, None].expand(h, w, h), "h w y -> (w h) y")
    column = rearrange(torch.eye(w)[None].expand(h, w, w), "h w x -> (w h) x")
    return [rearrange(x.contiguous(), "(h w) y -> h w y", h=h).double() for x in (row, column)]


def ones_from_the_end(h, w):
    """Your ones run from the last row and column to the first. Key (y x) has its ones at y and
    x."""
    return [one.flip(-1) for one in ones_of_places(h, w)]


def zeros_in_front(v, width):
    """You fill v up in front and keep the first features. Fill up behind: `F.pad(v, (0,
    more))`."""
    return F.pad(v, (width - v.shape[-1], 0))


def filled_with_ones(v, width):
    """You fill v up and return what was filled up in part. The first e features are the
    result."""
    return F.pad(v, (0, width - v.shape[-1]), value=1.0).roll(1, -1)


def default_scale(q, k, v):
    """You scale q, and the call scales once more, by 1 / sqrt of the width of q'. Say
    `scale=1.0`."""
    return F.scaled_dot_product_attention(q, k, v)


def content_scaled_twice(q, k, v, rows, columns):
    """You scale k too, so that q · k is divided by d. Scale q alone: then the places are scaled
    as well, and each once."""
    return augmented_recipe()(q, k / math.sqrt(k.shape[-1]), v, rows, columns)


def distances_from_zero(n):
    """You take the distance without its sign, and count from the first row of the table. Above
    and below have rows of their own: key minus query + n - 1."""
    place = torch.arange(n)
    return (place - place[:, None]).abs()


def scale_left_to_the_call(q, k, v, rows, columns):
    """You leave the scale to the call, which takes 1 / sqrt(m), the width of q' and k'. It is 1
    / sqrt(d): scale q yourself and say `scale=1.0`."""
    return augmented_recipe(nothing_scaled, attending=default_scale)(q, k, v, rows, columns)


def scaled_by_the_longer(q, k, v, rows, columns):
    d, m = q.shape[-1], sum(q.shape[-3:])
    return augmented_recipe()(q * math.sqrt(d / m), k, v, rows, columns)


def columns_before_rows(h, w):
    """The ones of your keys stand in another order than what the queries say: down goes with
    the ones for rows, across with those for columns."""
    return ones_of_places(h, w)[::-1]


def last_features(y, e):
    """You keep the last e features. The zeros stand behind v: the first e are the result."""
    return y[..., -e:]


def all_features(y, e):
    """You do not cut the filled up features off: keep the first e."""
    return y


def values_not_filled(q, k, v, rows, columns):
    """v is narrower than q' and k': then torch takes a slower way without a word, and makes the
    whole map. Fill v up with zeros to their width, and cut the result."""
    return augmented_by(q, k, v, rows, columns, fill=False)


def not_contiguous(q, k, v, rows, columns):
    """q', k' or v is not contiguous: then torch takes a slower way without a word, and makes
    the whole map. Say `.contiguous()` before the call."""
    return augmented_by(q, k, v, rows, columns, contiguous=False)


def bias_for_places(q, k, v, rows, columns):
    """You give the places as a bias: right, but it has a number for each pair of pixels. As
    features of q' and k' they need h + w for each."""
    return relative_attention_2d(q, k, v, rows, columns, "fused")


def all_scores_made(q, k, v, rows, columns):
    """You make the map yourself. One call of `F.scaled_dot_product_attention` on q', k' and v
    never holds it."""
    return relative_attention_2d(q, k, v, rows, columns, "broadcast")


def augmented_by(q, k, v, rows, columns, fill=True, contiguous=True):
    h, w, d = q.shape[-3:]
    q = q * d**-0.5
    y, x = torch.arange(h, device=q.device), torch.arange(w, device=q.device)
    down = torch.einsum("...hwd,hyd->...hwy", q, rows[y[None] - y[:, None] + h - 1])
    across = torch.einsum("...hwd,wxd->...hwx", q, columns[x[None] - x[:, None] + w - 1])
    line = torch.arange(h * w, device=q.device)
    places = torch.cat([F.one_hot(line // w, h), F.one_hot(line % w, w)], -1).to(k.dtype)
    q = torch.cat([q, down, across], -1).flatten(-3, -2)
    k = torch.cat([k.flatten(-3, -2), places.expand(*k.shape[:-3], h * w, h + w)], -1)
    e, v = v.shape[-1], v.flatten(-3, -2)
    if fill:
        wide = max(q.shape[-1], e)
        q, k, v = (F.pad(one, (0, wide - one.shape[-1])) for one in (q, k, v))
    if not contiguous:
        q, k, v = (one.mT.contiguous().mT for one in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    return y[..., :e].unflatten(-2, (h, w))


def augmented_by_sums(q, k, v, rows, columns):
    h, w, d = q.shape[-3:]
    q = q * d**-0.5
    down = torch.stack(
        [
            torch.stack([(q[..., i, :, :] @ rows[y - i + h - 1]) for y in range(h)], -1)
            for i in range(h)
        ],
        -3,
    )
    across = torch.stack(
        [
            torch.stack([(q[..., i, :] @ columns[x - i + w - 1]) for x in range(w)], -1)
            for i in range(w)
        ],
        -2,
    )
    ones = torch.zeros(h, w, h + w, dtype=k.dtype, device=k.device)
    for y in range(h):
        for x in range(w):
            ones[y, x, y] = ones[y, x, h + x] = 1
    longer = torch.cat([q, down, across], -1)
    keys = torch.cat([k, ones.expand(*k.shape[:-1], h + w)], -1)
    wide = max(longer.shape[-1], v.shape[-1])
    three = [
        F.pad(x, (0, wide - x.shape[-1])).flatten(-3, -2).contiguous()
        for x in (longer, keys, v)
    ]
    y = F.scaled_dot_product_attention(*three, scale=1.0)[..., : v.shape[-1]]
    return y.unflatten(-2, (h, w))


EXERCISE = Exercise(
    id="fast.augmented_attention",
    solution=augmented_attention,
    probes={"augmented_attention": "b head h w e"},
    trials=augmented_trials,
    slips=(
        *family(
            augmented_recipe,
            paired=(
                nothing_scaled,
                places_not_scaled,
                offsets_turned,
                turned_ones,
                default_scale,
                last_features,
                rows_alone,
            ),
            scaling=(nothing_scaled, scaled_by_d_here),
            scaling_places=(places_scaled_twice, places_not_scaled),
            indexing=(
                offsets_turned,
                offsets_from_zero,
                offsets_one_off,
                distances,
                distances_from_zero,
                places_of_keys,
            ),
            saying=(
                rows_alone,
                columns_alone,
                no_places,
                places_doubled,
                places_of_the_first,
            ),
            placing=(
                turned_ones,
                columns_before_rows,
                ones_from_the_end,
            ),
            filling=(zeros_in_front, filled_with_ones),
            attending=(default_scale,),
            cutting=(last_features, all_features),
        ),
        in_ways(scale_left_to_the_call, scaled_by_the_longer),
        content_scaled_twice,
        values_not_filled,
        not_contiguous,
        bias_for_places,
        all_scores_made,
    ),
    hints=(
        "A key in row 2 gets q · R_(2-h) from a query in row h. The query knows it for"
        " every row. With which features must the key be longer, so that a product picks"
        " row 2?",
        "q' = [q, down, across], k' = [k, 1 for its row, 1 for its column]: q' · k' is"
        " all of the score. Scale q by sqrt(d) first and say scale=1.0. v gets zeros to"
        " the same width; everything contiguous.",
        "q = q / sqrt(d)\n"
        'down: q, rows[y - y_query + h - 1], "... h w d, h y d -> ... h w y"; across too\n'
        "row: eye(h) repeated over w; column: eye(w) repeated over h\n"
        "cat, (h w) as one axis, pad all three to one width, contiguous\n"
        "F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :e], back to h w",
    ),
    minutes=20,
    difficulty=4,
    otherwise=(augmented_by, augmented_by_sums),
    laws=("a_constant_factor", "examples_do_not_mix"),
    cost=Cost(largest_tensor=1.5, multiply_adds=1.5),
)
