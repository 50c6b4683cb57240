"""The record of `stand_alone.spatial_values`."""

import math

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial, slip
from solutions.stand_alone import (
    SpatialValues,
)


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


EXERCISE = Exercise(
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
)
