"""Chapter 00, shapes: what is asked, what goes wrong, what helps."""

import torch
from einops import rearrange, reduce, repeat

from attncourse.registry import Exercise, Trial
from solutions import shapes

# Divisible every which way, so that an answer with two letters exchanged still computes.
ONE = {"h": 6, "w": 5, "p": 2, "q": 4, "c": 7}
OTHER = {"h": 2, "w": 7, "p": 5, "q": 3, "c": 4}


def cut_trials():
    """Trials for functions of a picture (h p) (w q) c and a patch of p x q pixels."""
    return tuple(
        Trial(name, s, {"picture": "(h p) (w q) c", "p": s["p"], "q": s["q"]})
        for name, s in (("on a wide picture", ONE), ("on another picture", OTHER))
    )


# ------------------------------------------------------------------ strip


def interleaved_columns(pictures):
    """Your pictures are interleaved, a column of each in turn: that is `(w b)`. The outer
    letter stands first: `(b w)` is all columns of one picture, then all of the next."""
    return rearrange(pictures, "b h w c -> h (w b) c")


def stacked(pictures):
    """Your pictures stand on top of each other: `(b h) w c`. Side by side, b joins the width:
    `h (b w) c`."""
    return rearrange(pictures, "b h w c -> (b h) w c")


def interleaved_rows(pictures):
    """You joined b to the height, `(h b)`, a row of each picture in turn. It belongs to the
    width: `h (b w) c`."""
    return rearrange(pictures, "b h w c -> (h b) w c")


def strip_reshaped(pictures):
    """`reshape` and `view` keep the numbers in the order `b h w c` and cut them anew, so rows
    get mixed. Here b moves past h: name both sides, `b h w c -> h (b w) c`."""
    b, h, w, c = pictures.shape
    return pictures.reshape(h, b * w, c)


def strip_lying(pictures):
    """h and w are exchanged: your strip lies on its side. Rows come first: `h (b w) c`."""
    return rearrange(pictures, "b h w c -> w (b h) c")


def in_the_channels(pictures):
    """Your pictures lie behind each other, as channels `(b c)`. Side by side, b joins the
    width: `h (b w) c`."""
    return rearrange(pictures, "b h w c -> h w (b c)")


def first_repeated(pictures):
    """You show picture b = 0 several times. Each picture of the batch is to appear once."""
    return repeat(pictures[0], "h w c -> h (b w) c", b=len(pictures))


def strip_by_cat(pictures):
    return torch.cat(list(pictures), dim=1)


def strip_by_permute(pictures):
    b, h, w, c = pictures.shape
    return pictures.permute(1, 0, 2, 3).reshape(h, b * w, c)


# ------------------------------------------------------------------ patches


def every_hth_pixel(picture, p, q):
    """Your patches hold pixels that lie h rows and w columns apart: that is `(p h) (q w)`.
    The outer letter stands first: `(h p)` is h patches of p neighbouring rows."""
    return rearrange(picture, "(p h) (q w) c -> (h w) p q c", p=p, q=q)


def column_by_column(picture, p, q):
    """Your patches are right and their order is not: `(w h)` counts down the columns. Row by
    row is `(h w)`."""
    return rearrange(picture, "(h p) (w q) c -> (w h) p q c", p=p, q=q)


def patches_reshaped(picture, p, q):
    """`reshape` and `view` cut the rows of the picture into pieces and mix them. Take the
    axes apart first, `(h p) (w q) c`; only then can h and w be joined."""
    return picture.reshape(-1, p, q, picture.shape[-1])


def patches_lying(picture, p, q):
    """Each of your patches is mirrored at its diagonal, `q p`. Its rows come first: `p q`."""
    return rearrange(picture, "(h p) (w q) c -> (h w) q p c", p=p, q=q)


def p_and_q_exchanged(picture, p, q):
    """Your patches are q pixels high, p wide. The height is `(h p)`, the width is `(w q)`."""
    return rearrange(picture, "(h q) (w p) c -> (h w) q p c", p=p, q=q)


def still_a_grid(picture, p, q):
    """Your patches still stand in a grid `h w`. Join its two axes to one: `(h w)`."""
    return rearrange(picture, "(h p) (w q) c -> h w p q c", p=p, q=q)


def flattened(picture, p, q):
    """Your patches are rows of numbers, `(p q c)`. Here each stays a picture: `p q c`."""
    return rearrange(picture, "(h p) (w q) c -> (h w) (p q c)", p=p, q=q)


def patches_channels_first(picture, p, q):
    """Your patches have their channels first, `c p q`. Here the channels come last: `p q c`."""
    return rearrange(picture, "(h p) (w q) c -> (h w) c p q", p=p, q=q)


def patches_by_loops(picture, p, q):
    height, width, _ = picture.shape
    corners = ((y, x) for y in range(0, height, p) for x in range(0, width, q))
    return torch.stack([picture[y : y + p, x : x + q] for y, x in corners])


def patches_by_unfold(picture, p, q):
    return picture.unfold(0, p, p).unfold(1, q, q).permute(0, 1, 3, 4, 2).flatten(0, 1)


def patches_by_reshape(picture, p, q):
    height, width, c = picture.shape
    grid = picture.reshape(height // p, p, width // q, q, c)
    return grid.transpose(1, 2).reshape(-1, p, q, c)


# ------------------------------------------------------------------ mosaic


def rows_for_columns(tiles, w):
    """Your mosaic has w rows. It should have w columns: w is the number of tiles in a row,
    and h follows from n = `(h w)`."""
    return rearrange(tiles, "(h w) p q c -> (h p) (w q) c", h=w)


def filled_downwards(tiles, w):
    """You fill the mosaic column by column: `(w h)`. The tiles come row by row: `(h w)`."""
    return rearrange(tiles, "(w h) p q c -> (h p) (w q) c", w=w)


def interleaved_pixels(tiles, w):
    """Your tiles are interleaved, a pixel of each in turn: `(p h) (q w)`. The tile is the
    outer letter, so it stands first: `(h p) (w q)`."""
    return rearrange(tiles, "(h w) p q c -> (p h) (q w) c", w=w)


def interleaved_across(tiles, w):
    """The height is right; across, your tiles are interleaved, a pixel of each in turn: `(q
    w)`. The tile is the outer letter: `(w q)`."""
    return rearrange(tiles, "(h w) p q c -> (h p) (q w) c", w=w)


def interleaved_down(tiles, w):
    """The width is right; downwards, your tiles are interleaved, a pixel of each in turn: `(p
    h)`. The tile is the outer letter: `(h p)`."""
    return rearrange(tiles, "(h w) p q c -> (p h) (w q) c", w=w)


def mosaic_reshaped(tiles, w):
    """`reshape` and `view` lay the tiles out one after the other, without moving p past w.
    The order of the axes changes too: `(h w) p q c -> (h p) (w q) c`."""
    n, p, q, c = tiles.shape
    return tiles.reshape(n // w * p, w * q, c)


def mosaic_lying(tiles, w):
    """Your mosaic is mirrored at its diagonal: the width stands first. Rows come first: `(h
    p) (w q) c`."""
    return rearrange(tiles, "(h w) p q c -> (w q) (h p) c", w=w)


def tiles_lying(tiles, w):
    """The grid is right, but each tile in it is mirrored at its diagonal: p belongs to h and
    q to w, `(h p) (w q)`."""
    return rearrange(tiles, "(h w) p q c -> (h q) (w p) c", w=w)


def one_long_row(tiles, w):
    """All your tiles stand in one row: w is not used. Take n apart into `(h w)`, with w
    given."""
    return rearrange(tiles, "n p q c -> p (n q) c")


def mosaic_by_cat(tiles, w):
    rows = [torch.cat(list(tiles[i : i + w]), dim=1) for i in range(0, len(tiles), w)]
    return torch.cat(rows)


def mosaic_by_permute(tiles, w):
    n, p, q, c = tiles.shape
    return (
        tiles.reshape(n // w, w, p, q, c).permute(0, 2, 1, 3, 4).reshape(n // w * p, w * q, c)
    )


def mosaic_trials():
    return tuple(
        Trial(name, s, {"tiles": "(h w) p q c", "w": s["w"]})
        for name, s in (("on a grid", ONE), ("on another grid", OTHER))
    )


# ------------------------------------------------------------------ pool


def largest(picture, p, q):
    """You keep the largest number of each patch, "max". Asked is the mean."""
    return reduce(picture, "(h p) (w q) c -> h w c", "max", p=p, q=q)


def sums(picture, p, q):
    """You add up each patch, "sum", which is `(p q)` times too much. Asked is the mean."""
    return reduce(picture, "(h p) (w q) c -> h w c", "sum", p=p, q=q)


def mean_of_far_pixels(picture, p, q):
    """You average pixels that lie h rows and w columns apart: that is `(p h) (q w)`.
    Neighbours are the inner letter: `(h p) (w q)`."""
    return reduce(picture, "(p h) (q w) c -> h w c", "mean", p=p, q=q)


def mean_within_the_grid(picture, p, q):
    """You average over the patches and keep the place within one: `p q c`. The letters that
    you want to keep are `h w c`."""
    return reduce(picture, "(h p) (w q) c -> p q c", "mean", p=p, q=q)


def corners(picture, p, q):
    """You keep one pixel of each patch and throw the others away. Asked is their mean."""
    return picture[::p, ::q]


def pool_exchanged(picture, p, q):
    """p and q are exchanged: your patches are q pixels high and p wide. The height is `(h
    p)`, the width is `(w q)`."""
    return reduce(picture, "(h q) (w p) c -> h w c", "mean", p=p, q=q)


def channels_averaged_too(picture, p, q):
    """The channels are averaged as well: c is missing on the right. Keep the colours: `h w
    c`."""
    return reduce(picture, "(h p) (w q) c -> h w", "mean", p=p, q=q)


def pool_lying(picture, p, q):
    """h and w are exchanged: your picture is mirrored at its diagonal. Rows come first: `h w
    c`."""
    return reduce(picture, "(h p) (w q) c -> w h c", "mean", p=p, q=q)


def pool_by_torch(picture, p, q):
    planes = picture.permute(2, 0, 1)
    return torch.nn.functional.avg_pool2d(planes, (p, q)).permute(1, 2, 0)


def pool_by_patches(picture, p, q):
    height, width, c = picture.shape
    return patches_by_loops(picture, p, q).mean((1, 2)).reshape(height // p, width // q, c)


# ------------------------------------------------------------------ enlarge


def tiled(picture, p, q):
    """You repeat the whole picture, as tiles on a wall: `(p h) (q w)`. To repeat each pixel,
    the pixel is the outer letter: `(h p) (w q)`."""
    return repeat(picture, "h w c -> (p h) (q w) c", p=p, q=q)


def tiled_across(picture, p, q):
    """The height is right; across, the whole picture is repeated: `(q w)`. The pixel is the
    outer letter: `(w q)`."""
    return repeat(picture, "h w c -> (h p) (q w) c", p=p, q=q)


def tiled_down(picture, p, q):
    """The width is right; downwards, the whole picture is repeated: `(p h)`. The pixel is the
    outer letter: `(h p)`."""
    return repeat(picture, "h w c -> (p h) (w q) c", p=p, q=q)


def enlarge_exchanged(picture, p, q):
    """p and q are exchanged: your picture is `(h q)` high and `(w p)` wide. p belongs to h, q
    to w."""
    return repeat(picture, "h w c -> (h q) (w p) c", p=p, q=q)


def blended(picture, p, q):
    """You blend neighbouring pixels into each other. Here nothing is computed: each pixel is
    repeated as it is."""
    height, width, _ = picture.shape
    planes = rearrange(picture, "h w c -> 1 c h w")
    large = torch.nn.functional.interpolate(planes, (height * p, width * q), mode="bilinear")
    return rearrange(large, "1 c h w -> h w c")


def zeros_between(picture, p, q):
    """One pixel of each patch is right and the others are 0. All `(p q)` are to be the same."""
    h, w, c = picture.shape
    large = picture.new_zeros(h * p, w * q, c)
    large[::p, ::q] = picture
    return large


def not_joined(picture, p, q):
    """The new axes stand by themselves: `h p w q c`. Join them to a height and a width: `(h
    p) (w q) c`."""
    return repeat(picture, "h w c -> h p w q c", p=p, q=q)


def enlarge_lying(picture, p, q):
    """h and w are exchanged: your picture is mirrored at its diagonal. The height comes
    first: `(h p) (w q) c`."""
    return repeat(picture, "h w c -> (w q) (h p) c", p=p, q=q)


def shared_out(picture, p, q):
    """Your pixels are `(p q)` times too dark: each is shared out among its patch. Each is
    repeated as it is."""
    return repeat(picture / (p * q), "h w c -> (h p) (w q) c", p=p, q=q)


def enlarge_by_torch(picture, p, q):
    return picture.repeat_interleave(p, dim=0).repeat_interleave(q, dim=1)


def enlarge_by_kron(picture, p, q):
    return torch.kron(picture.contiguous(), picture.new_ones(p, q, 1))


def enlarge_by_loops(picture, p, q):
    h, w, _ = picture.shape
    rows = [torch.stack([picture[y // p, x // q] for x in range(w * q)]) for y in range(h * p)]
    return torch.stack(rows)


def enlarge_trials():
    return tuple(
        Trial(name, s, {"picture": "h w c", "p": s["p"], "q": s["q"]})
        for name, s in (("on a high picture", ONE), ("on a wide picture", OTHER))
    )


# ------------------------------------------------------------------ channel_means


def one_colour_for_all(pictures):
    """All your pictures share one colour: b is averaged too. Keep b on the right: `b c`."""
    return reduce(pictures, "b h w c -> c", "mean")


def one_number_a_picture(pictures):
    """You get one number a picture: c is averaged too. Keep c on the right: `b c`."""
    return reduce(pictures, "b h w c -> b", "mean")


def as_if_channels_first(pictures):
    """You average over w and c, as if the axes were `b c h w`. Here the channels come last:
    average over h and w."""
    return pictures.mean((2, 3))


def mean_of_the_channels(pictures):
    """You average over c and keep the pixels, `b h w`. It is the other way round: average
    over h and w, keep c."""
    return reduce(pictures, "b h w c -> b h w", "mean")


def only_down(pictures):
    """You average over h only. w has to go as well: `b c`."""
    return reduce(pictures, "b h w c -> b w c", "mean")


def channel_sums(pictures):
    """You add up the pixels, which is `(h w)` times too much. Asked is the mean."""
    return reduce(pictures, "b h w c -> b c", "sum")


def channel_peaks(pictures):
    """You keep the largest number of each channel, "max". Asked is the mean."""
    return reduce(pictures, "b h w c -> b c", "max")


def colours_lying(pictures):
    """Your result is `c b`. One row a picture: `b c`."""
    return reduce(pictures, "b h w c -> c b", "mean")


def axes_of_length_one(pictures):
    """The averaged axes are still there, with length 1: `b 1 1 c`. Leave them out: `b c`."""
    return reduce(pictures, "b h w c -> b 1 1 c", "mean")


def means_by_torch(pictures):
    return pictures.mean((1, 2))


def means_by_loops(pictures):
    return torch.stack(
        [picture.flatten(0, 1).sum(0) / picture[..., 0].numel() for picture in pictures]
    )


def means_trials():
    return tuple(
        Trial(name, sizes, {"pictures": "b h w c"})
        for name, sizes in (
            ("on 2 pictures", {"b": 2, "h": 5, "w": 7, "c": 3}),
            ("on 3 pictures", {"b": 3, "h": 4, "w": 2, "c": 5}),
        )
    )


# ------------------------------------------------------------------ grey


def plain_mean(picture, weights):
    """Your channels all count the same: the weights are not used. Multiply each channel by
    its weight, then add."""
    return reduce(picture, "h w c -> h w", "mean")


def plain_sum(picture, weights):
    """You add the channels without their weights. In einsum both go in: `h w c, c -> h w`."""
    return reduce(picture, "h w c -> h w", "sum")


def reversed_channels(picture, weights):
    """The weights meet the channels in reverse, blue for red. Channel c has weight c."""
    return picture @ weights.flip(0)


def not_summed(picture, weights):
    """You weigh the channels and do not add them: c is still there. A letter that is missing
    on the right is summed: `h w c, c -> h w`."""
    return picture * weights


def mean_of_weighted(picture, weights):
    """You take the mean of the weighted channels, which is c times too little. Take their
    sum."""
    return (picture * weights).mean(-1)


def weights_made_to_sum_to_one(picture, weights):
    """You divide by the sum of the weights. Use them as they come: whoever calls decides."""
    return picture @ weights / weights.sum()


def grey_lying(picture, weights):
    """h and w are exchanged: your picture is mirrored at its diagonal. Rows come first: `h
    w`."""
    return rearrange(picture @ weights, "h w -> w h")


def one_channel(picture, weights):
    """You use channel c = 0 only. Every channel counts, each times its weight."""
    return picture[..., 0] * weights[0]


def grey_by_matmul(picture, weights):
    return picture @ weights


def grey_by_sum(picture, weights):
    return (picture * weights).sum(-1)


def grey_by_loops(picture, weights):
    return sum(picture[:, :, c] * weights[c] for c in range(len(weights)))


def grey_trials():
    return tuple(
        Trial(name, sizes, {"picture": "h w c", "weights": "c"})
        for name, sizes in (
            ("on 3 channels", {"h": 5, "w": 7, "c": 3}),
            ("on 4 channels", {"h": 6, "w": 2, "c": 4}),
        )
    )


# ------------------------------------------------------------------ similarity


def keys_first(x, y):
    """Your table is `j i`. One row for each row of x: `i j`."""
    return y @ x.T


def summed_over_j(x, y):
    """You add up all rows of y: j is missing on the right, so it is summed. Keep i and j, sum
    over d: `i d, j d -> i j`."""
    return x * y.sum(0)


def d_not_summed(x, y):
    """d is still there: your products are not added. A letter that is missing on the right is
    summed: `i d, j d -> i j`."""
    return x[:, None] * y


def mean_over_d(x, y):
    """You take the mean over d, which is d times too little. An inner product is the sum."""
    return x @ y.T / x.shape[-1]


def over_root_of_d(x, y):
    """You divide by sqrt(d). That comes in chapter 01; here the inner product is all."""
    return x @ y.T / x.shape[-1] ** 0.5


def cosines(x, y):
    """You divide by the lengths of the rows, which gives cosines. Here the rows are taken as
    they are: the inner product is all."""
    return torch.nn.functional.normalize(x, dim=-1) @ torch.nn.functional.normalize(y, dim=-1).T


def shares(x, y):
    """A softmax has gone over your table. That comes in chapter 01; here the inner product is
    all."""
    return (x @ y.T).softmax(-1)


def x_with_itself(x, y):
    """You compare x with itself: your table is `i i`. The second vector of each pair is a row
    of y."""
    return x @ x.T


def distances(x, y):
    """You compute distances, which are small where rows are alike. The inner product is large
    there."""
    return (x[:, None] - y).square().sum(-1).sqrt()


def similarity_by_matmul(x, y):
    return x @ y.T


def similarity_by_loops(x, y):
    return torch.stack([torch.stack([(one * other).sum() for other in y]) for one in x])


def similarity_by_torch(x, y):
    return torch.nn.functional.linear(x, y)


def similarity_trials():
    return tuple(
        Trial(name, sizes, {"x": "i d", "y": "j d"})
        for name, sizes in (
            ("with more rows in y", {"i": 3, "j": 5, "d": 4}),
            ("with more rows in x", {"i": 7, "j": 2, "d": 5}),
        )
    )


def strip_trials():
    return tuple(
        Trial(name, sizes, {"pictures": "b h w c"})
        for name, sizes in (
            ("on 2 pictures", {"b": 2, "h": 5, "w": 7, "c": 3}),
            ("on 4 pictures", {"b": 4, "h": 3, "w": 2, "c": 5}),
        )
    )


EXERCISES = [
    Exercise(
        id="shapes.strip",
        solution=shapes.strip,
        probes={"strip": "h (b w) c"},
        trials=strip_trials,
        slips=(
            interleaved_columns,
            stacked,
            interleaved_rows,
            strip_reshaped,
            strip_lying,
            in_the_channels,
            first_repeated,
        ),
        hints=(
            "Which axis of the result grows when one more picture is put beside the others?",
            "b joins w. Going right, all columns of one picture come before those of the "
            "next, so b changes slowest: it is the outer letter and stands first, (b w).",
            'rearrange(pictures, "b h w c -> h ( … ) c"), with two letters in the brackets.',
        ),
        minutes=1,
        difficulty=1,
        otherwise=(strip_by_cat, strip_by_permute),
    ),
    Exercise(
        id="shapes.patches",
        solution=shapes.patches,
        probes={"patches": "(h w) p q c"},
        trials=cut_trials,
        slips=(
            every_hth_pixel,
            column_by_column,
            patches_reshaped,
            patches_lying,
            p_and_q_exchanged,
            still_a_grid,
            flattened,
            patches_channels_first,
        ),
        hints=(
            "Row y of the picture: in which row of patches is it, and which row within "
            "the patch?",
            "The height is h patches of p rows each. The patch is the outer letter: (h p). The "
            "width likewise. Then h and w join to one axis of patches, row by row: (h w).",
            'rearrange(picture, "( … ) ( … ) c -> ( … ) p q c", p=p, q=q): einops works '
            "out h and w.",
        ),
        minutes=2,
        difficulty=2,
        otherwise=(patches_by_loops, patches_by_unfold, patches_by_reshape),
    ),
    Exercise(
        id="shapes.mosaic",
        solution=shapes.mosaic,
        probes={"mosaic": "(h p) (w q) c"},
        trials=mosaic_trials,
        slips=(
            rows_for_columns,
            filled_downwards,
            interleaved_pixels,
            interleaved_across,
            interleaved_down,
            mosaic_reshaped,
            mosaic_lying,
            tiles_lying,
            one_long_row,
        ),
        hints=(
            "What undoes an arrow?",
            "The pattern of `patches`, read from right to left: n comes apart into (h w), "
            "and h joins p, w joins q. One of h and w has to be given, the other follows.",
            'rearrange(tiles, "( … ) p q c -> ( … ) ( … ) c", w=w).',
        ),
        minutes=1,
        difficulty=2,
        otherwise=(mosaic_by_cat, mosaic_by_permute),
    ),
    Exercise(
        id="shapes.pool",
        solution=shapes.pool,
        probes={"pool": "h w c"},
        trials=cut_trials,
        slips=(
            largest,
            sums,
            mean_of_far_pixels,
            mean_within_the_grid,
            corners,
            pool_exchanged,
            channels_averaged_too,
            pool_lying,
        ),
        hints=(
            "Each patch becomes one pixel. Which letters are left, and which are averaged "
            "away?",
            "The left side is that of `patches`. A letter that is missing on the right of "
            '`reduce` is averaged: leave out p and q, and say "mean".',
            'reduce(picture, "( … ) ( … ) c -> …", "mean", p=p, q=q).',
        ),
        minutes=1,
        difficulty=2,
        otherwise=(pool_by_torch, pool_by_patches),
    ),
    Exercise(
        id="shapes.enlarge",
        solution=shapes.enlarge,
        probes={"enlarge": "(h p) (w q) c"},
        trials=enlarge_trials,
        slips=(
            tiled,
            tiled_across,
            tiled_down,
            enlarge_exchanged,
            blended,
            zeros_between,
            not_joined,
            enlarge_lying,
            shared_out,
        ),
        hints=(
            "Going down the result: does the pixel change first, or the copy of it?",
            "A letter that is new on the right of `repeat` makes copies. All p copies of "
            "a row come before the next row, so h is the outer letter: (h p). The width "
            "likewise.",
            'repeat(picture, "h w c -> ( … ) ( … ) c", p=p, q=q).',
        ),
        minutes=1,
        difficulty=2,
        otherwise=(enlarge_by_torch, enlarge_by_kron, enlarge_by_loops),
    ),
    Exercise(
        id="shapes.channel_means",
        solution=shapes.channel_means,
        probes={"channel_means": "b c"},
        trials=means_trials,
        slips=(
            one_colour_for_all,
            one_number_a_picture,
            as_if_channels_first,
            mean_of_the_channels,
            only_down,
            channel_sums,
            channel_peaks,
            colours_lying,
            axes_of_length_one,
        ),
        hints=(
            "A colour is c numbers, and each picture has its own. Which axes are averaged "
            "away?",
            "h and w go, b and c stay: leave h and w out on the right.",
            'reduce(pictures, "b h w c -> …", "mean").',
        ),
        minutes=1,
        difficulty=1,
        otherwise=(means_by_torch, means_by_loops),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="shapes.grey",
        solution=shapes.grey,
        probes={"grey": "h w"},
        trials=grey_trials,
        slips=(
            plain_mean,
            plain_sum,
            reversed_channels,
            not_summed,
            mean_of_weighted,
            weights_made_to_sum_to_one,
            grey_lying,
            one_channel,
        ),
        hints=(
            "A pixel has c numbers and there are c weights. What is left of them in the "
            "result?",
            "Multiply where the letter c agrees, then sum over it. In `einsum` a letter "
            "that is missing on the right is summed.",
            'einsum(picture, weights, "h w c, … -> …").',
        ),
        minutes=1,
        difficulty=1,
        otherwise=(grey_by_matmul, grey_by_sum, grey_by_loops),
    ),
    Exercise(
        id="shapes.similarity",
        solution=shapes.similarity,
        probes={"similarity": "i j"},
        trials=similarity_trials,
        slips=(
            keys_first,
            summed_over_j,
            d_not_summed,
            mean_over_d,
            over_root_of_d,
            cosines,
            shares,
            x_with_itself,
            distances,
        ),
        hints=(
            "Of the three letters i, j, d: which ones does a table of all pairs keep?",
            "i and j are different letters, so every i meets every j. d is in both and "
            "not on the right: there they are multiplied and summed.",
            'einsum(x, y, "i d, … -> …").',
        ),
        minutes=1,
        difficulty=2,
        otherwise=(similarity_by_matmul, similarity_by_loops, similarity_by_torch),
    ),
]
