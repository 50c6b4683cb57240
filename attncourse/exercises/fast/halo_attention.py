"""The record of `fast.halo_attention`."""

import math

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.fast.halo import halo_attention

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None
from attncourse.exercises.fast.shared import HIDDEN


def halo_trials():
    def trial(name, window, block, **sizes):
        inputs = {"q": "b head d h w", "k": "b head d h w", "v": "b head e h w"}
        return Trial(name, sizes, inputs | {"window": window, "block": block})

    return (
        trial("for window=5, block=4", 5, 4, b=2, head=3, d=11, e=7, h=13, w=14),
        trial(
            "where the blocks fill the map, window=3, block=4",
            3,
            4,
            b=1,
            head=2,
            d=3,
            e=5,
            h=8,
            w=12,
        ),
        trial("for window=3, block=2", 3, 2, b=1, head=2, d=3, e=4, h=5, w=8),
        trial(
            "on a map smaller than the window, window=7, block=4",
            7,
            4,
            b=1,
            head=2,
            d=4,
            e=5,
            h=3,
            w=6,
        ),
        trial("for window=1, block=3", 1, 3, b=1, head=2, d=3, e=6, h=4, w=5),
    )


def even_windows():
    def trial(window):
        inputs = {"q": "b head d h w", "k": "b head d h w", "v": "b head d h w"}
        return Trial(
            f"an even window, {window}",
            dict(b=1, head=1, d=2, h=4, w=5),
            inputs | {"window": window, "block": 2},
        )

    return trial(2), trial(4)


def blocks_of_queries(q, block):
    q = F.pad(q, (0, -q.shape[-1] % block, 0, -q.shape[-2] % block))
    return rearrange(q, "... d (high y) (wide x) -> ... high wide (y x) d", y=block, x=block)


def around(x, window, block):
    """Halos: ... d h w -> ... high wide (y x) d."""
    reach = window // 2
    return halos_from(x, window, block, reach, reach)


def halos_from(x, window, block, above, left, mode="constant"):
    h, w = x.shape[-2:]
    side = block + window - 1
    high, wide = -(-h // block), -(-w // block)
    pad = (
        left,
        wide * block + window - 1 - w - left,
        above,
        high * block + window - 1 - h - above,
    )
    lead = x.shape[:-3]
    x = F.pad(x.reshape(-1, *x.shape[-3:]), pad, mode=mode).reshape(
        *lead, x.shape[-3], -1, 0 + wide * block + window - 1
    )
    x = x.unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(x, "... d high wide y x -> ... high wide (y x) d")


def own_window(window, block):
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    near = (away >= 0) & (away < window)
    return on_both_axes(near)


def on_both_axes(near, together=torch.logical_and):
    both = together(near[:, None, :, None], near[None, :, None, :])
    return rearrange(both, "y x v u -> (y x) (v u)")


def in_the_picture(q, window, block):
    ones = torch.ones(1, *q.shape[-2:], dtype=q.dtype)
    return rearrange(around(ones, window, block)[..., 0] > 0, "high wide j -> high wide 1 j")


def unscaled(q):
    return q


def shares_of_the_seen(scores, seen):
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1)


def top_left(y, h, w, block):
    y = rearrange(y, "... high wide (y x) e -> ... e (high y) (wide x)", y=block, x=block)
    return y[..., :h, :w]


def halo_recipe(
    scaling=unscaled,
    haloing=around,
    nearing=own_window,
    bounding=in_the_picture,
    sharing=shares_of_the_seen,
    ending=top_left,
):
    def answer(q, k, v, window, block):
        if window % 2 == 0:
            raise ValueError(f"{window=}")
        queries = blocks_of_queries(scaling(q), block)
        keys, values = haloing(k, window, block), haloing(v, window, block)
        seen = nearing(window, block) & bounding(q, window, block)
        shares = sharing(queries @ keys.mT, seen)
        return ending(shares @ values, *q.shape[-2:], block)

    return answer


def scaled(q):
    """You divide by sqrt(d). Here nothing is scaled: the caller has done that."""
    return q / math.sqrt(q.shape[2])


def halo_begins_a_row_late(x, window, block):
    """The rows of your halo are off by one, too low. The first row of a halo is window // 2
    above the first row of its block: pad as many on top."""
    return halos_from(x, window, block, window // 2 - 1, window // 2)


def halo_begins_a_row_early(x, window, block):
    """The rows of your halo are off by one, too high. The first row of a halo is window // 2
    above the first row of its block: pad as many on top."""
    return halos_from(x, window, block, window // 2 + 1, window // 2)


def halo_begins_a_column_late(x, window, block):
    """The columns of your halo are off by one, too far right. Pad window // 2 on the left."""
    return halos_from(x, window, block, window // 2, window // 2 - 1)


def halo_begins_a_column_early(x, window, block):
    """The columns of your halo are off by one, too far left. Pad window // 2 on the left."""
    return halos_from(x, window, block, window // 2, window // 2 + 1)


def halo_begins_late(x, window, block):
    """Your halo is off by one in rows and columns: it begins too late. It begins window // 2
    above and left of its block: pad as many."""
    return halos_from(x, window, block, window // 2 - 1, window // 2 - 1)


def halo_begins_early(x, window, block):
    """Your halo is off by one in rows and columns: it begins too early. It begins window // 2
    above and left of its block: pad as many."""
    return halos_from(x, window, block, window // 2 + 1, window // 2 + 1)


def halo_begins_with_its_block(x, window, block):
    """Your halo begins where its block begins. It begins window // 2 above and left of it: pad
    on the left and on top too."""
    return halos_from(x, window, block, 0, 0)


def halo_ends_with_its_block(x, window, block):
    """Your halo ends where its block ends: all of the padding is on top and on the left. It
    reaches window // 2 beyond the block on every side."""
    return halos_from(x, window, block, window - 1, window - 1)


def zero_keys_seen(q, window, block):
    """The zeros beyond the edge are seen: a padded key has the score 0, and a share. Mask what
    is outside of the map."""
    return torch.ones((), dtype=torch.bool)


def inside_turned(q, window, block):
    seen = in_the_picture(q, window, block)
    side = block + window - 1
    return rearrange(seen, "high wide i (y x) -> high wide i (x y)", y=side, x=side)


@also(bounding=inside_turned)
def halo_turned(x, window, block):
    """You exchange rows and columns of a halo: its pixels are in another order than those of
    its window. Keep (y x) everywhere."""
    found = around(x, window, block)
    side = block + window - 1
    return rearrange(found, "... (y x) d -> ... (x y) d", y=side, x=side)


@also(bounding=zero_keys_seen)
def edge_wraps_round(x, window, block):
    """Your map goes on at the opposite edge. Beyond the edge there are no keys: pad with zeros
    and mask them."""
    reach = window // 2
    h, w = x.shape[-2:]
    rows = torch.arange(-reach, -(-h // block) * block + reach) % h
    columns = torch.arange(-reach, -(-w // block) * block + reach) % w
    side = block + window - 1
    x = x[..., rows, :][..., columns].unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(x, "... d high wide y x -> ... high wide (y x) d")


@also(bounding=zero_keys_seen)
def edge_repeated(x, window, block):
    """Your map is continued beyond its edge by its last pixels, and they are seen. There are no
    keys there: pad with zeros and mask them."""
    reach, side = window // 2, block + window - 1
    h, w = x.shape[-2:]
    rows = torch.arange(-reach, -(-h // block) * block + reach).clamp(0, h - 1)
    columns = torch.arange(-reach, -(-w // block) * block + reach).clamp(0, w - 1)
    x = x[..., rows, :][..., columns].unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(x, "... d high wide y x -> ... high wide (y x) d")


def places_before_features(x, window, block):
    """You read an unfolded halo as (place d). `F.unfold` lists all places of a feature, then
    those of the next one: (d place)."""
    found = rearrange(around(x, window, block), "... j d -> ... (d j)")
    return rearrange(found, "... (j d) -> ... j d", d=x.shape[-3])


def whole_halo_seen(window, block):
    """The window is forgotten: every query of a block sees the whole halo. Each sees the window
    x window keys around itself: hide the others."""
    return torch.ones(block**2, (block + window - 1) ** 2, dtype=torch.bool)


def window_cut_in_rows_alone(window, block):
    """You cut the window out in rows alone, and a query sees all columns of the halo. Rows
    *and* columns must be near."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    near = ((away >= 0) & (away < window))[:, None, :, None]
    return rearrange(near.expand(block, block, side, side), "y x v u -> (y x) (v u)")


def window_cut_in_columns_alone(window, block):
    """You cut the window out in columns alone, and a query sees all rows of the halo. Rows
    *and* columns must be near."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    near = ((away >= 0) & (away < window))[None, :, None]
    return rearrange(near.expand(block, block, side, side), "y x v u -> (y x) (v u)")


def rows_or_columns_near(window, block):
    """You show a key that is near in rows *or* in columns: a cross. It is both."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    return on_both_axes((away >= 0) & (away < window), torch.logical_or)


def window_one_too_wide(window, block):
    """Your window is one too wide, at its end: places 0 to window - 1 of the halo, counted from
    the query's own, `<` and not `<=`."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    return on_both_axes((away >= 0) & (away <= window))


def window_one_too_narrow(window, block):
    """Your window lacks its last row and column: places 0 to window - 1 of the halo, counted
    from the query's own."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None]
    return on_both_axes((away >= 0) & (away < max(1, window - 1)))


def reach_left_out(window, block):
    """You leave out the border of the window: distances of window // 2 count, `<=` and not
    `<`."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None] - window // 2
    return on_both_axes(away.abs() < window // 2)


def window_behind_the_query(window, block):
    """Your window is not around the query: in the halo the query itself stands window // 2
    further on. A key at place v of the halo is near query y where 0 <= v - y < window."""
    side = block + window - 1
    away = (torch.arange(side) - torch.arange(block)[:, None]).abs()
    return on_both_axes(away <= window // 2)


def whole_window_each_side(window, block):
    """You reach a whole window to each side. It is window // 2: with the query in the middle
    that makes `window`."""
    side = block + window - 1
    away = torch.arange(side) - torch.arange(block)[:, None] - window // 2
    return on_both_axes(away.abs() <= window)


def first_window_for_all(window, block):
    """Every query of a block has the window of the first one. The window moves with the query:
    0 <= v - y < window."""
    side = block + window - 1
    away = torch.arange(side).expand(block, side)
    return on_both_axes(away < window)


def diamond(window, block):
    """Your window is a diamond: you add the distances in rows and columns. Each by itself is at
    most window // 2."""
    side = block + window - 1
    away = (torch.arange(side) - torch.arange(block)[:, None] - window // 2).abs()
    return on_both_axes(away, torch.add) <= window // 2


def padding_seen_at_the_end(q, window, block):
    """The map is no multiple of the block, and what fills it up is seen: those zeros are
    outside of the map as well."""
    h, w = q.shape[-2:]
    ones = torch.ones(1, h + -h % block, w + -w % block, dtype=q.dtype)
    return rearrange(around(ones, window, block)[..., 0] > 0, "high wide j -> high wide 1 j")


def zero_score_is_outside(q, window, block):
    """Only the borders on top and on the left are masked. Below and on the right there are no
    keys either."""
    h, w = q.shape[-2:]
    ones = torch.ones(1, h, w, dtype=q.dtype)
    reach = window // 2
    inside = F.pad(ones, (reach, -w % block + reach, reach, -h % block + reach))
    inside[..., reach + h :, reach:] = 1
    inside[..., reach:, reach + w :] = 1
    side = block + window - 1
    inside = inside.unfold(-2, side, block).unfold(-2, side, block)
    return rearrange(inside, "1 high wide y x -> high wide 1 (y x)") > 0


def shares_hidden_late(scores, seen):
    """You hide keys after the softmax: the shares that are left do not sum to 1. Set their
    scores to -inf, or very low, before it."""
    return scores.softmax(-1) * seen


def hidden_scores_are_zero(scores, seen):
    """You set hidden scores to 0, which still have a share. It takes -inf, or a very low
    number."""
    return (scores * seen).softmax(-1)


def mask_turned(scores, seen):
    """Your mask is inverted: you hide what is near and show the rest."""
    return scores.masked_fill(seen, torch.finfo(scores.dtype).min).softmax(-1)


def softmax_over_the_block(scores, seen):
    """Your softmax goes over the queries of a block. It goes over the keys j of the halo, the
    last axis."""
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-2)


def nan_beyond_the_edge(scores, seen):
    """A query of the padding may see nothing: with -inf for all of its keys softmax gives nan.
    You cut it off, and its nan comes back in the gradient of v. Fill in a very low number
    instead of -inf."""
    return scores.masked_fill(~seen, HIDDEN).softmax(-1)


def no_softmax(scores, seen):
    """The softmax is missing: the scores must become shares."""
    return scores * seen


def bottom_right(y, h, w, block):
    """You keep the last rows and columns. The padding is behind the map: keep the first h and
    w."""
    y = rearrange(y, "... high wide (y x) e -> ... e (high y) (wide x)", y=block, x=block)
    return y[..., -h:, -w:]


def padding_left_on(y, h, w, block):
    """You do not cut the padding off: keep the first h rows and w columns."""
    return rearrange(y, "... high wide (y x) e -> ... e (high y) (wide x)", y=block, x=block)


def pixels_of_a_block_turned(y, h, w, block):
    """You exchange rows and columns of a block when you put the map together: (y x) was the
    order in which it was cut."""
    y = rearrange(y, "... high wide (x y) e -> ... e (high y) (wide x)", y=block, x=block)
    return y[..., :h, :w]


def blocks_read_in_lines(y, h, w, block):
    """Your map is put together in lines of the wrong order: place and block are exchanged. A
    row is (high y): the block first, then the row in it."""
    y = rearrange(y, "... high wide (y x) e -> ... e (y high) (x wide)", y=block, x=block)
    return y[..., :h, :w]


def a_window_as_reach(q, k, v, window, block):
    """You reach a whole window to each side, in the halo and in the mask. It is window // 2:
    with the query in the middle that makes `window`."""
    return halo_attention(q, k, v, 2 * window + 1 if window % 2 else window, block)


def reach_one_too_far(q, k, v, window, block):
    """You reach one pixel too far to each side. It is window // 2: with the query in the middle
    that makes `window`."""
    return halo_attention(q, k, v, window + 2, block)


def own_block_only(q, k, v, window, block):
    """Your queries see their own block alone: there is no halo. Keys up to window // 2 beyond
    the block belong to some windows."""
    queries = blocks_of_queries(q, block)
    keys, values = blocks_of_queries(k, block), blocks_of_queries(v, block)
    ones = blocks_of_queries(torch.ones(1, *q.shape[-2:], dtype=q.dtype), block)
    away = (torch.arange(block) - torch.arange(block)[:, None]).abs()
    seen = on_both_axes(away <= window // 2) & (ones[..., 0] > 0).unsqueeze(-2)
    shares = shares_of_the_seen(queries @ keys.mT, seen)
    return top_left(shares @ values, *q.shape[-2:], block)


def rest_of_the_map_dropped(q, k, v, window, block):
    """Where the map is no multiple of the block, its last rows and columns stay 0. Fill q up to
    whole blocks, and cut the end off."""
    y = halo_attention(q, k, v, window, block).clone()
    h, w = q.shape[-2:]
    y[..., h - h % block :, :] = 0
    y[..., w - w % block :] = 0
    return y


def every_window_laid_out(q, k, v, window, block):
    """You make a window for each pixel: right, but window² copies of k and v. A block of
    queries shares one halo."""
    if window % 2 == 0:
        raise ValueError(f"{window=}")
    return by_windows(q, k, v, window)


def by_windows(q, k, v, window):
    reach = window // 2

    def windows(x):
        x = F.pad(x, (reach,) * 4)
        x = x.unfold(-2, window, 1).unfold(-2, window, 1)
        return rearrange(x, "... d h w y x -> ... h w (y x) d").contiguous()

    inside = windows(torch.ones_like(q[:, :, :1]))[..., 0] > 0
    scores = einsum(q, windows(k), "b head d h w, b head h w j d -> b head h w j")
    shares = scores.masked_fill(~inside, HIDDEN).softmax(-1)
    return einsum(shares, windows(v), "b head h w j, b head h w j e -> b head e h w")


def the_map_of_all_pixels(q, k, v, window, block):
    """You make the map of all pixels and mask it: right, but (h w)² scores. A block of queries
    meets its halo alone."""
    if window % 2 == 0:
        raise ValueError(f"{window=}")
    h, w = q.shape[-2:]
    y, x = (torch.arange(n, device=q.device) for n in (h, w))
    near = ((y[:, None] - y).abs() <= window // 2)[:, None, :, None] & (
        (x[:, None] - x).abs() <= window // 2
    )[None, :, None, :]
    near = rearrange(near, "h w y x -> (h w) (y x)")
    q, k, v = (rearrange(one, "... d h w -> ... (h w) d") for one in (q, k, v))
    shares = (q @ k.mT).masked_fill(~near, HIDDEN).softmax(-1)
    return rearrange(shares @ v, "... (h w) e -> ... e h w", h=h)


def halo_block_by_block(q, k, v, window, block):
    if window % 2 == 0:
        raise ValueError(f"{window=} is even")
    h, w = q.shape[-2:]
    reach, lines = window // 2, []
    for top in range(0, h, block):
        parts = []
        for left in range(0, w, block):
            rows = slice(max(0, top - reach), min(h, top + block + reach))
            columns = slice(max(0, left - reach), min(w, left + block + reach))
            some = q[..., top : top + block, left : left + block]
            y, x = (torch.arange(n, device=q.device) for n in some.shape[-2:])
            v_, u = (torch.arange(s.start, s.stop, device=q.device) for s in (rows, columns))
            down = (y[:, None] + top - v_).abs() <= reach
            across = (x[:, None] + left - u).abs() <= reach
            near = down[:, None, :, None] & across[None, :, None, :]
            scores = torch.einsum("bcdyx,bcdvu->bcyxvu", some, k[..., rows, columns])
            scores = scores.masked_fill(~near, HIDDEN).flatten(-2).softmax(-1)
            read = torch.einsum("bcyxj,bcej->bceyx", scores, v[..., rows, columns].flatten(-2))
            parts.append(read)
        lines.append(torch.cat(parts, -1))
    return torch.cat(lines, -2)


def halo_by_torch(q, k, v, window, block):
    if window % 2 == 0:
        raise ValueError(f"{window=} is even")
    h, w = q.shape[-2:]
    b, head = q.shape[:2]
    high, wide = -(-h // block), -(-w // block)
    side = block + window - 1

    def halos(x):
        n = x.shape[2]
        x = F.pad(
            x.flatten(0, 1),
            (
                window // 2,
                wide * block - w + window // 2,
                window // 2,
                high * block - h + window // 2,
            ),
        )
        x = F.unfold(x, side, stride=block)
        return x.reshape(b * head, n, side * side, high * wide).permute(0, 3, 2, 1)

    some = F.unfold(
        F.pad(q.flatten(0, 1), (0, wide * block - w, 0, high * block - h)), block, stride=block
    )
    some = some.reshape(b * head, q.shape[2], block * block, -1).permute(0, 3, 2, 1)
    ones = halos(torch.ones_like(q[:, :, :1]))[..., 0] > 0
    away = torch.arange(side, device=q.device) - torch.arange(block, device=q.device)[:, None]
    near = (away >= 0) & (away < window)
    near = (near[:, None, :, None] & near[:, None]).reshape(block**2, side**2)
    bias = torch.zeros(ones.shape[:2] + near.shape, dtype=q.dtype, device=q.device)
    bias = bias.masked_fill(~(near & ones[:, :, None]), -1e30)
    y = F.scaled_dot_product_attention(some, halos(k), halos(v), bias, scale=1.0)
    y = y.permute(0, 3, 2, 1).reshape(b * head, -1, high * wide)
    y = F.fold(y, (high * block, wide * block), block, stride=block)
    return y.reshape(b, head, v.shape[2], high * block, wide * block)[..., :h, :w]


EXERCISE = Exercise(
    id="fast.halo_attention",
    solution=halo_attention,
    probes={"halo_attention": "b head e h w"},
    trials=halo_trials,
    slips=(
        *family(
            halo_recipe,
            paired=(
                scaled,
                whole_halo_seen,
                zero_keys_seen,
                halo_begins_a_row_late,
                halo_begins_early,
                halo_begins_late,
                window_one_too_wide,
                bottom_right,
            ),
            scaling=(scaled,),
            haloing=(
                halo_begins_a_row_late,
                halo_begins_a_row_early,
                halo_begins_a_column_late,
                halo_begins_a_column_early,
                halo_begins_late,
                halo_begins_early,
                halo_begins_with_its_block,
                halo_ends_with_its_block,
                halo_turned,
                edge_wraps_round,
                edge_repeated,
                places_before_features,
            ),
            nearing=(
                whole_halo_seen,
                window_cut_in_rows_alone,
                window_cut_in_columns_alone,
                rows_or_columns_near,
                window_one_too_wide,
                window_one_too_narrow,
                reach_left_out,
                window_behind_the_query,
                whole_window_each_side,
                first_window_for_all,
                diamond,
            ),
            bounding=(zero_keys_seen, padding_seen_at_the_end, zero_score_is_outside),
            sharing=(
                shares_hidden_late,
                hidden_scores_are_zero,
                mask_turned,
                softmax_over_the_block,
                nan_beyond_the_edge,
                no_softmax,
            ),
            ending=(
                bottom_right,
                padding_left_on,
                pixels_of_a_block_turned,
                blocks_read_in_lines,
            ),
        ),
        a_window_as_reach,
        reach_one_too_far,
        own_block_only,
        rest_of_the_map_dropped,
        every_window_laid_out,
        the_map_of_all_pixels,
    ),
    hints=(
        "A block of 4 x 4 queries, a window of 3: which rows of keys does the topmost"
        " query need, which the lowest? How many keys is that for the whole block?",
        "Halos: pad by window // 2 (and up to whole blocks), unfold size block + window -"
        " 1, step block. Query y of a block and row v of its halo are near where 0 <= v -"
        " y < window; the same for columns; and the key lies in the map.",
        "queries: q padded to whole blocks, … (high y) (wide x) to … high wide (y x)\n"
        "halos of k, of v and of a map of ones: F.pad, unfold, unfold, … high wide (y x)\n"
        "scores, a very low number where not (near & inside), softmax over j, times v\n"
        "… high wide (y x) back to (high y) (wide x), the first h and w",
    ),
    minutes=30,
    difficulty=5,
    otherwise=(halo_block_by_block, halo_by_torch),
    refuses=even_windows,
    laws=("a_constant_factor", "examples_do_not_mix"),
    cost=Cost(largest_tensor=1.6, multiply_adds=1.5),
)
