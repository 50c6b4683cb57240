"""A 1 x 1 convolution that knows its place in a block: each place mixes several matrices."""

import torch
from einops import einsum, rearrange
from torch.nn import functional as F

from attncourse.exercises.edits import Wrong, often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.stand_alone import SpatialValues


def values_trials():
    def trial(name, **sizes):
        sizes["dx"] = sizes["dy"]
        init = dict(channels=sizes["c"], out_channels=sizes["e"], block=sizes["dy"])
        init |= dict(mixtures=sizes["mix"], dim=sizes["d"])
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("for blocks of 4, some cut off", b=2, c=3, e=5, mix=7, dy=4, d=9, h=11, w=13),
        trial("for blocks of 3 that fit", b=2, c=4, e=7, mix=5, dy=3, d=10, h=6, w=9),
        trial("on a single row", b=3, c=4, e=6, mix=2, dy=5, d=8, h=1, w=7),
    )


def tiled(name: str, place: str, message: str) -> Wrong:
    """A slip in the place of pixel h of `size` in its block, and that of pixel w alike."""
    pairs = (
        (f"torch.arange({size}, device=x.device) % self.block", place.replace("size", size))
        for size in "hw"
    )
    (old, new), across = pairs
    return wrong(name, old, new, message, across)


# fmt: off
SCORES = 'einsum(place, self.mixture, "dy dx d, mix d -> dy dx mix")'
MIXED = 'einsum(shares, values, "h w mix, b mix e h w -> b e h w")'

SHARES = (
    *often(
        wrong("column_down", 'rearrange(self.rows, "dy d -> dy 1 d") + self.columns',
              'self.rows + rearrange(self.columns, "dx d -> dx 1 d")',
              "Rows and columns are exchanged: the first axis of a block, dy, has the rows."),
        wrong("over_rows_of_the_block", ".softmax(-1)", ".softmax(0)",
              "Your softmax runs over dy. It runs over the mixtures: the weights of each"
              " place sum to 1."),
        wrong("over_columns_of_the_block", ".softmax(-1)", ".softmax(1)",
              "Your softmax runs over dx. It runs over the mixtures: the weights of each"
              " place sum to 1."),
        wrong("over_the_block", ".softmax(-1)",
              ".flatten(0, 1).softmax(0).unflatten(0, (self.block, -1))",
              "Your softmax runs over the places of the block. It runs over the mixtures: the"
              " weights of each place sum to 1."),
        wrong("no_softmax", ".softmax(-1)", "",
              "The softmax is missing: the shares of a place sum to 1 over the mixtures."),
    ),
    wrong("scaled_scores", ".softmax(-1)", ".div(math.sqrt(place.shape[-1])).softmax(-1)",
          "You divide by sqrt(d). The paper does not."),
    wrong("features_summed_apart", "mix d", "mix e",
          "Your einsum has different letters for the features of place and mixture, so each is"
          " summed on its own. Give both the letter d."),
    wrong("best_mixture_alone", f"return {SCORES}.softmax(-1)",
          f"scores = {SCORES}\nreturn F.one_hot(scores.argmax(-1), self.mixtures).to(scores)",
          "Your shares are 0 and 1: you take the mixture with the largest score. All of them have a"
          " share: a softmax."),
    wrong("SoftmaxesMultiplied", f"return {SCORES}.softmax(-1)",
          "rows, columns = ((t @ self.mixture.mT).softmax(-1) for t in (self.rows, self.columns))\n"
          "return rows[:, None] * columns",
          "You take a softmax for the row and one for the column, and multiply them. One softmax,"
          " over the scores of row plus column: then the shares sum to 1."),
    wrong("SoftmaxesAveraged", f"return {SCORES}.softmax(-1)",
          "rows, columns = ((t @ self.mixture.mT).softmax(-1) for t in (self.rows, self.columns))\n"
          "return (rows[:, None] + columns) / 2",
          "You take a softmax for the row and one for the column, and their mean. One softmax, over"
          " the scores of row plus column."),
)

TILES = (
    *often(
        tiled("stretched", "torch.arange(size) * self.block // size",
              "You stretch one block over the whole picture. It is repeated, as tiles are: the"
              " place of pixel h is h % block."),
        tiled("number_of_the_block", "torch.arange(size) // self.block % self.block",
              "You take the number of the block, h // block. The place *in* the block is h %"
              " block."),
    ),
    tiled("places_drawn_out", "torch.arange(size) // math.ceil(size / self.block)",
          'You repeat each place, "(dy n)", so that one block covers the picture. It is the block'
          ' that is repeated, "(n dy)": pixel h has the place h % block.'),
    tiled("blocks_turned", "(-1 - torch.arange(size)) % self.block",
          "Your places run backwards. Pixel 0 has place 0."),
    tiled("tiled_from_the_end", "(torch.arange(size) - size) % self.block",
          "You lay the blocks from the bottom right corner. They begin at the top left: pixel 0 has"
          " place 0."),
    tiled("tiled_one_late", "(torch.arange(size) - 1) % self.block",
          "Your blocks begin at pixel 1. Pixel 0 has place 0."),
    tiled("tiled_from_one", "(torch.arange(size) + 1) % self.block",
          "Your places count from 1. Pixel 0 has place 0."),
    tiled("first_place_for_all", "torch.zeros(size, dtype=torch.long)",
          "All pixels get the shares of place 0, 0. Each has those of its own place in the block."),
    tiled("first_block_alone", "torch.arange(size).clamp(max=self.block - 1)",
          "Behind the first block you keep its last place. The block is repeated: h % block."),
    tiled("blocks_of_four", "torch.arange(size) % 4 % self.block",
          "You take blocks of 4 whatever `block` is: `self.block` knows."),
)

MIXES = (
    *often(
        wrong("mixtures_inside", "(mix e)", "(e mix)",
              'You cut the channels as "(e mix)". A mixture is e channels in a row: "(mix e)".'),
        wrong("plain_mean", MIXED, "values.mean(1)",
              "The shares are not used: you average the values of all matrices."),
    ),
    wrong("plain_sum", MIXED, "values.sum(1)",
          "The shares are not used: you sum the values of all matrices."),
    wrong("best_matrix_alone", "self.shares()[dy][:, dx]",
          "self.shares()[dy][:, dx]\n"
          "shares = F.one_hot(shares.argmax(-1), self.mixtures).to(shares)",
          "You take the matrix with the largest weight. All of them count, each by its weight."),
)
# fmt: on


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
    slips=(*SHARES, *TILES, *MIXES),
    hints=(
        "Which axis of dy dx mix has to sum to 1, if the weights of a place sum to 1?",
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
    tied=("dy dx",),
)
