"""Local attention by blocks: a block of queries meets the halo of keys around it."""

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.fast.shared import HIDDEN
from attncourse.exercises.record import Cost, Exercise, Trial
from solutions.fast.halo import halo_attention


def halo_trials():
    def trial(name, window, block, **sizes):
        inputs = {"q": "b head d h w", "k": "b head d h w", "v": "b head e h w"}
        return Trial(name, sizes, inputs | {"window": window, "block": block})

    return (
        trial("for window=5, block=4", 5, 4, b=2, head=3, d=11, e=9, h=13, w=14),
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
            says=(window,),
        )

    return trial(2), trial(4)


def misread(halos):
    """(d place) read as (place d)."""
    line = rearrange(halos, "b head d high wide j -> b head high wide (d j)")
    return rearrange(line, "b head high wide (j d) -> b head d high wide j", d=halos.shape[2])


# fmt: off
SCORES = often(
    wrong("queries_down_the_columns", "b head d high wide (y x)", "b head d high wide (x y)",
          "The queries of a block are listed column by column, (x y), the masks row by row, (y x)."),
    wrong("a_pixel_too_far", "(0 <= ahead) & (ahead < window)", "(0 < ahead) & (ahead <= window)",
          "Your windows lie a pixel too far down and to the right: in the halo the first place of a"
          " query's window is its own number, ahead = 0."),
    wrong("scaled", "F.pad(q, (0", "F.pad(q / math.sqrt(q.shape[2]), (0",
          "You divide by sqrt(d). Here nothing is scaled: the caller has done that."),
)

HALOS = (
    *often(
        wrong("halo_begins_a_row_late", "reach, reach + bottom", "reach - 1, reach + bottom + 1",
              "The rows of your halo are off by one, too low. The first row of a halo is window"
              " // 2 above the first row of its block: pad as many on top."),
        wrong("halo_begins_late", "(reach, reach + right, reach, reach + bottom)",
              "(reach - 1, reach + right + 1, reach - 1, reach + bottom + 1)",
              "Your halo is off by one in rows and columns: it begins too late. It begins window"
              " // 2 above and left of its block: pad as many."),
        wrong("halo_begins_early", "(reach, reach + right, reach, reach + bottom)",
              "(reach + 1, reach + right - 1, reach + 1, reach + bottom - 1)",
              "Your halo is off by one in rows and columns: it begins too early. It begins window"
              " // 2 above and left of its block: pad as many."),
    ),
    wrong("halo_begins_a_row_early", "reach, reach + bottom", "reach + 1, reach + bottom - 1",
          "The rows of your halo are off by one, too high. The first row of a halo is window // 2"
          " above the first row of its block: pad as many on top."),
    wrong("halo_begins_a_column_late", "reach, reach + right", "reach - 1, reach + right + 1",
          "The columns of your halo are off by one, too far right. Pad window // 2 on the left."),
    wrong("halo_begins_a_column_early", "reach, reach + right", "reach + 1, reach + right - 1",
          "The columns of your halo are off by one, too far left. Pad window // 2 on the left."),
    wrong("halo_begins_with_its_block", "(reach, reach + right, reach, reach + bottom)",
          "(0, window - 1 + right, 0, window - 1 + bottom)",
          "Your halo begins where its block begins. It begins window // 2 above and left of it:"
          " pad on the left and on top too."),
    wrong("halo_ends_with_its_block", "(reach, reach + right, reach, reach + bottom)",
          "(window - 1, right, window - 1, bottom)",
          "Your halo ends where its block ends: all of the padding is on top and on the left. It"
          " reaches window // 2 beyond the block on every side."),
    wrong("halo_turned", "... high wide (y x)", "... high wide (x y)",
          "You exchange rows and columns of a halo: its pixels are in another order than those of"
          " its window. Keep (y x) everywhere."),
    wrong("edge_wraps_round", "x = F.pad(x, (reach, reach + right, reach, reach + bottom))",
          "rows = torch.arange(-reach, h + bottom + reach) % h\n"
          "columns = torch.arange(-reach, w + right + reach) % w\n"
          "x = x[..., rows, :][..., columns]",
          "Your map goes on at the opposite edge. Beyond the edge there are no keys: pad with"
          " zeros and mask them."),
    wrong("edge_repeated", "x = F.pad(x, (reach, reach + right, reach, reach + bottom))",
          "rows = torch.arange(-reach, h + bottom + reach).clamp(0, h - 1)\n"
          "columns = torch.arange(-reach, w + right + reach).clamp(0, w - 1)\n"
          "x = x[..., rows, :][..., columns]",
          "Your map is continued beyond its edge by its last pixels, and they are seen. There are"
          " no keys there: pad with zeros and mask them."),
    wrong("places_before_features", "halos(k)", "misread(halos(k))",
          "You read an unfolded halo as (place d). `F.unfold` lists all places of a feature, then"
          " those of the next one: (d place).",
          ("halos(v)", "misread(halos(v))")),
    wrong("a_window_as_reach", "reach, side = window // 2, block + window - 1",
          "reach, side = window, block + 2 * window",
          "You reach a whole window to each side, in the halo and in the mask. It is window // 2:"
          " with the query in the middle that makes `window`.",
          ("ahead < window", "ahead <= 2 * window")),
    wrong("reach_one_too_far", "reach, side = window // 2, block + window - 1",
          "reach, side = window // 2 + 1, block + window + 1",
          "You reach one pixel too far to each side. It is window // 2: with the query in the"
          " middle that makes `window`.",
          ("ahead < window", "ahead < window + 2")),
    wrong("own_block_only", "reach, side = window // 2, block + window - 1",
          "reach, side = 0, block",
          "Your queries see their own block alone: there is no halo. Keys up to window // 2 beyond"
          " the block belong to some windows.",
          ("(0 <= ahead) & (ahead < window)", "ahead.abs() <= window // 2")),
)

WINDOWS = (
    *often(
        wrong("whole_halo_seen", "(0 <= ahead) & (ahead < window)",
              "torch.ones_like(ahead, dtype=torch.bool)",
              "The window is forgotten: every query of a block sees the whole halo. Each sees the"
              " window x window keys around itself: hide the others."),
        wrong("window_one_too_wide", "ahead < window", "ahead <= window",
              "Your window is one too wide, at its end: places 0 to window - 1 of the halo,"
              " counted from the query's own, `<` and not `<=`."),
    ),
    wrong("window_cut_in_rows_alone", "near[:, None, :, None] & near[:, None]",
          "near[:, None, :, None].expand(-1, block, -1, side)",
          "You cut the window out in rows alone, and a query sees all columns of the halo. Rows"
          " *and* columns must be near."),
    wrong("window_cut_in_columns_alone", "near[:, None, :, None] & near[:, None]",
          "near[:, None].expand(block, -1, side, -1)",
          "You cut the window out in columns alone, and a query sees all rows of the halo. Rows"
          " *and* columns must be near."),
    wrong("rows_or_columns_near", "None] & near", "None] | near",
          "You show a key that is near in rows *or* in columns: a cross. It is both."),
    wrong("window_one_too_narrow", "ahead < window", "ahead < window - 1",
          "Your window lacks its last row and column: places 0 to window - 1 of the halo, counted"
          " from the query's own."),
    wrong("reach_left_out", "(0 <= ahead) & (ahead < window)", "(ahead - reach).abs() < reach",
          "You leave out the border of the window: distances of window // 2 count, `<=` and not"
          " `<`."),
    wrong("window_behind_the_query", "(0 <= ahead) & (ahead < window)", "ahead.abs() <= reach",
          "Your window is not around the query: in the halo the query itself stands window // 2"
          " further on. A key at place v of the halo is near query y where 0 <= v - y < window."),
    wrong("whole_window_each_side", "(0 <= ahead) & (ahead < window)",
          "(ahead - reach).abs() <= window",
          "You reach a whole window to each side. It is window // 2: with the query in the middle"
          " that makes `window`."),
    wrong("first_window_for_all",
          "torch.arange(side, device=q.device) - torch.arange(block, device=q.device)[:, None]",
          "torch.arange(side, device=q.device).expand(block, side)",
          "Every query of a block has the window of the first one. The window moves with the"
          " query: 0 <= v - y < window."),
    wrong("diamond", "(0 <= ahead) & (ahead < window)", "(ahead - reach).abs()",
          "Your window is a diamond: you add the distances in rows and columns. Each by itself is"
          " at most window // 2.",
          ("near[:, None, :, None] & near[:, None]",
           "near[:, None, :, None] + near[:, None] <= reach")),
)

EDGES = (
    *often(
        wrong("zero_keys_seen", "near & inside", "near",
              "The zeros beyond the edge are seen: a padded key has the score 0, and a share."
              " Mask what is outside of the map."),
    ),
    wrong("padding_seen_at_the_end", "right, bottom = -w % block, -h % block",
          "right, bottom = -w % block, -h % block\n"
          "q, k, v = (F.pad(x, (0, right, 0, bottom)) for x in (q, k, v))",
          "The map is no multiple of the block, and what fills it up is seen: those zeros are"
          " outside of the map as well.",
          ("(reach, reach + right, reach, reach + bottom)", "(reach, reach, reach, reach)"),
          ("F.pad(q, (0, right, 0, bottom))", "q")),
    wrong("zero_score_is_outside", "inside = rearrange(halos(torch.ones_like(q[0, 0, 0])) > 0,"
          ' "high wide j -> high wide 1 j")',
          "inside = q.new_ones(h + bottom + reach, w + right + reach)\n"
          "inside = F.pad(inside, (reach, 0, reach, 0))\n"
          "inside = inside.unfold(0, side, block).unfold(1, side, block)\n"
          'inside = rearrange(inside > 0, "high wide v u -> high wide 1 (v u)")',
          "Only the borders on top and on the left are masked. Below and on the right there are"
          " no keys either."),
    same("inside = rearrange(halos(torch.ones_like(q[0, 0, 0])) > 0,"
         ' "high wide j -> high wide 1 j")',
         "rows = torch.arange(-reach, h + bottom + reach, device=q.device)\n"
         "columns = torch.arange(-reach, w + right + reach, device=q.device)\n"
         "rows = ((0 <= rows) & (rows < h)).unfold(0, side, block)\n"
         "columns = ((0 <= columns) & (columns < w)).unfold(0, side, block)\n"
         "inside = rows[:, None, :, None] & columns[:, None]\n"
         'inside = rearrange(inside, "high wide v u -> high wide 1 (v u)")'),
)

SHARES = (
    wrong("shares_hidden_late",
          "scores.masked_fill(~(near & inside), torch.finfo(q.dtype).min).softmax(-1)",
          "scores.softmax(-1) * (near & inside)",
          "You hide keys after the softmax: the shares that are left do not sum to 1. Set their"
          " scores to -inf, or very low, before it."),
    wrong("hidden_scores_are_zero", "torch.finfo(q.dtype).min", "0",
          "You set hidden scores to 0, which still have a share. It takes -inf, or a very low"
          " number."),
    wrong("mask_turned", "~(near & inside)", "near & inside",
          "Your mask is inverted: you hide what is near and show the rest."),
    wrong("softmax_over_the_block", "softmax(-1)", "softmax(-2)",
          "Your softmax goes over the queries of a block. It goes over the keys j of the halo,"
          " the last axis."),
    wrong("nan_beyond_the_edge", "torch.finfo(q.dtype).min", "-math.inf",
          "A query of the padding may see nothing: with -inf for all of its keys softmax gives"
          " nan. You cut it off, and its nan comes back in the gradient of v. Fill in a very low"
          " number instead of -inf."),
    wrong("no_softmax",
          "scores.masked_fill(~(near & inside), torch.finfo(q.dtype).min).softmax(-1)",
          "scores * (near & inside)",
          "The softmax is missing: the scores must become shares."),
)

MAPS = (
    *often(
        wrong("bottom_right", ":h, :w", "-h:, -w:",
              "You keep the last rows and columns. The padding is behind the map: keep the first"
              " h and w."),
    ),
    wrong("pixels_of_a_block_turned", "(y x) -> b head e", "(x y) -> b head e",
          "You exchange rows and columns of a block when you put the map together: (y x) was the"
          " order in which it was cut."),
    wrong("blocks_read_in_lines", "b head e (high y) (wide x)", "b head e (y high) (x wide)",
          "Your map is put together in lines of the wrong order: place and block are exchanged. A"
          " row is (high y): the block first, then the row in it."),
    wrong("rest_of_the_map_dropped", "return y[..., :h, :w]",
          "y = y[..., : h // block * block, : w // block * block]\n"
          "return F.pad(y, (0, w % block, 0, h % block))",
          "Where the map is no multiple of the block, its last rows and columns stay 0. Fill q up"
          " to whole blocks, and cut the end off."),
)
# fmt: on


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
        *SCORES,
        *HALOS,
        *WINDOWS,
        *EDGES,
        *SHARES,
        *MAPS,
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
