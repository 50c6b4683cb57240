"""The vision transformer: its tokens, and the score that its class token carries."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.vision_transformer import VisionTransformer, grid_positions


def network_trials():
    def trial(name, h, w, size, patch, **sizes):
        sizes |= dict(h=h, w=w, n=1 + (h // patch) * (w // patch))
        init = dict(dim=sizes["dim"], depth=2, heads=3, patch=patch, size=size)
        init |= dict(classes=sizes["classes"], channels=sizes["c"])
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on pictures of its own size", 8, 16, (8, 16), 4, b=7, c=3, dim=12, classes=5),
        trial("on larger pictures", 15, 12, (6, 9), 3, b=4, c=2, dim=18, classes=7),
        trial("on pictures of as many patches", 6, 8, (4, 12), 2, b=2, c=4, dim=15, classes=6),
        trial("on smaller pictures", 4, 8, (8, 6), 2, b=3, c=5, dim=12, classes=7),
    )


# fmt: off
TOKENS = (
    *often(
        wrong("positions_not_added", " + positions", "",
              "The positions are missing: attention cannot tell where a patch lies."),
        wrong("patches_in_columns", "-> b (high wide) dim", "-> b (wide high) dim",
              "Your patches are in order of columns. They are in order of rows: (high wide)."),
        wrong("class_token_last", "[first, made]", "[made, first]",
              "The class token comes last. It is the first of the tokens, and the first row of the"
              " positions is its own."),
    ),
    wrong("positions_stretched_as_a_line", "grid_positions(positions, self.grid, new)",
          "F.interpolate(positions.T[None], 1 + new[0] * new[1], mode=\"linear\")[0].T",
          "For another size you stretch the table as a line. It is a grid behind the class token's"
          " row: `grid_positions`."),
    wrong("positions_without_the_class_token", "torch.cat([first, made], 1) + positions",
          "torch.cat([first, made + positions[1:]], 1)",
          "The class token has no position added. Its row is the first of the table."),
    wrong("as_many_patches_left_alone", "new != self.grid", "new[0] * new[1] != self.grid[0] * self.grid[1]",
          "You interpolate only where the number of patches differs. A grid of 2 x 6 is another than"
          " one of 3 x 4: compare both sides."),
    wrong("positions_cut_off", "grid_positions(positions, self.grid, new)", "positions[: 1 + new[0] * new[1]]",
          "For another size you cut the table off. It is a grid behind the class token's row, to be"
          " interpolated: `grid_positions`."),
    wrong("positions_twice", " + positions", " + 2 * positions",
          "The positions count twice."),
)

SCORES = (
    *often(
        wrong("norm_forgotten", "self.norm(z)[:, 0]", "z[:, 0]",
              "The last norm is missing: blocks with the norm before leave their sum as it is, and"
              " `self.norm` comes before the head."),
        wrong("mean_of_tokens", "self.norm(z)[:, 0]", "self.norm(z).mean(1)",
              "You average over the tokens. Here the class token alone answers. (The paper's"
              " appendix D.3 tries the mean too, with another learning rate.)"),
        wrong("last_token", "[:, 0]", "[:, -1]",
              "You read the last token, a patch. The class token is the first."),
    ),
    wrong("norm_of_the_mean", "self.norm(z)[:, 0]", "self.norm(z.mean(1))",
          "You average over the tokens before the norm. Here the class token alone answers."),
    wrong("mean_of_patches", "self.norm(z)[:, 0]", "self.norm(z)[:, 1:].mean(1)",
          "You average over the patches and leave out the class token. It is the other way round:"
          " the class token alone answers."),
    wrong("norm_before_the_blocks", "z = self.tokens(x)\nfor block in self.blocks:", "z = self.norm(self.tokens(x))\nfor block in self.blocks:",
          "`self.norm` stands before the blocks. It comes after them, before the head.",
          ("self.norm(z)[:, 0]", "z[:, 0]")),
    wrong("head_forgotten", "self.head(self.norm(z)[:, 0])", "self.norm(z)[:, 0]",
          "The head is missing: you return the features of the class token, not a score for each"
          " class."),
    wrong("softmax_at_the_end", "self.head(self.norm(z)[:, 0])", "self.head(self.norm(z)[:, 0]).softmax(-1)",
          "You take a softmax at the end. The loss does that: return the scores themselves."),
    wrong("one_block_alone", "for block in self.blocks:", "for block in self.blocks[:1]:",
          "You run one block. All of `self.blocks` follow each other."),
    wrong("blocks_beside", "z = block(z)", "z = z + block(z)",
          "You add each block to its input. A block holds its two residual connections already."),
)
# fmt: on


class TransformerBySlices(VisionTransformer):
    def tokens(self, x):
        made = self.patch_embed(x)
        b, high, wide, _ = made.shape
        table = self.pos_embed.squeeze(0)
        if (high, wide) != tuple(self.grid):
            table = grid_positions(table, self.grid, (high, wide))

        z = torch.cat([self.cls_token.expand(b, -1, -1), made.flatten(1, 2)], dim=1)
        return z + table

    def forward(self, x):
        z = self.tokens(x)
        for n in range(len(self.blocks)):
            z = self.blocks[n](z)
        return F.linear(self.norm(z[:, 0]), self.head.weight, self.head.bias)


class TransformerByParts(VisionTransformer):
    def tokens(self, x):
        made = self.patch_embed(x)
        old, new = self.grid, (made.shape[1], made.shape[2])
        places = grid_positions(self.pos_embed[0], old, new)
        first = self.cls_token[0] + places[:1]
        rest = made.reshape(len(x), -1, made.shape[-1]) + places[1:]
        return torch.cat([first.unsqueeze(0).repeat(len(x), 1, 1), rest], 1)

    def forward(self, x):
        z = self.tokens(x)
        for block in self.blocks:
            z = z + block.attn(block.norm1(z))
            z = z + block.mlp(block.norm2(z))
        return self.head(self.norm(z))[:, 0]


def patches_that_do_not_fill():
    def trial(name, said, **init):
        given = dict(dim=12, depth=1, heads=3, patch=4, size=8, classes=5, channels=3) | init
        return Trial(name, dict(b=2, c=3, h=8, w=16), dict(x="b c h w"), given, says=said)

    return (
        trial("patches that do not fill the picture", (3,), patch=3),
        trial("heads that do not divide dim", (12, 5), heads=5),
    )


EXERCISE = Exercise(
    id="united.vision_transformer",
    solution=VisionTransformer,
    probes={"tokens": "b n dim", "forward": "b classes"},
    trials=network_trials,
    blank=("tokens", "forward"),
    slips=(*TOKENS, *SCORES),
    hints=(
        "Which tokens enter the first block, in which order, and what is added to them?",
        "`self.patch_embed(x)` is a map of tokens, b high wide dim. The class token stands before"
        " them, once for each picture, and the table `pos_embed[0]` is added, by `grid_positions`"
        " where the grid is not `self.grid`. After the blocks: norm, the first token, head.",
        "tokens: made = self.patch_embed(x); positions for its grid\n"
        "    the class token repeated for b, then made as b (high wide) dim\n"
        "    plus positions\n"
        "forward: z = self.tokens(x), each block in turn\n"
        "    self.head of token 0 of self.norm(z)",
    ),
    minutes=15,
    difficulty=3,
    otherwise=(TransformerBySlices, TransformerByParts),
    refuses=patches_that_do_not_fill,
    laws=("examples_do_not_mix",),
)
