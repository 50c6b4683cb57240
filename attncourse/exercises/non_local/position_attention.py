"""DANet's position attention: a pixel gathers from the pixels that are like it."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import by_hand, often, wrong
from attncourse.exercises.non_local.shared import GAMMA
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import PositionAttention


def position_trials():
    def trial(name, evaluate=False, **sizes):
        init = dict(channels=sizes["c"], reduction=sizes["c"] // sizes["m"])
        sizes |= dict(i=sizes["h"] * sizes["w"], j=sizes["h"] * sizes["w"])
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("on images of 3 x 5", b=7, c=8, m=4, h=3, w=5),
        trial("on maps of 4 x 3", b=3, c=6, m=2, h=4, w=3),
        trial("on rows, 1 x 7", b=2, c=9, m=3, h=1, w=7),
    )


# fmt: off
BY_HAND = by_hand("return gaussian_weights(self.query(x), self.key(x))",
                  "q, k = self.query(x), self.key(x)\n"
                  "scores = q @ k.mT\n"
                  "return scores.softmax(-1)")

PIXELS = (
    wrong("pixels_reshaped", 'x = rearrange(x, "b c ... -> b (...) c")',
          "x = x.reshape(len(x), -1, x.shape[1])",
          "You reshape b c h w to b (h w) c in one go: the numbers of different pixels get"
          " mixed. Move the channels to the end, then flatten.",
          ('value(rearrange(x, "b c ... -> b (...) c"))',
           "value(x.reshape(len(x), -1, x.shape[1]))")),
    wrong("columns_first", 'x = rearrange(x, "b c ... -> b (...) c")',
          'x = rearrange(x, "b c h w -> b (w h) c")',
          "Your pixels come column by column, (w h), and the result is read row by row. The order is"
          " (h w).",
          ('value(rearrange(x, "b c ... ->', 'value(rearrange(x, "b c h w ->'),
          ('b (...) c"))', 'b (w h) c"))')),
)

LAYERS = (
    wrong("position_keys_by_query", "self.key(x)", "self.query(x)",
          "The keys go through the layer of the queries. They have their own: `self.key`."),
    wrong("position_roles_swapped", "self.query(x)", "self.key(x)",
          "Queries and keys have changed places: rows belong to the queries, made by"
          " `self.query`, and the softmax runs over the keys.",
          ("self.key(x)", "self.query(x)")),
    wrong("nothing_projected", "self.query(x)", "x",
          "Nothing is projected to queries and keys: `self.query` and `self.key` are missing.",
          ("self.key(x)", "x")),
    wrong("values_compared", "self.query(x)", "self.value(x)",
          "You compare the values. Queries and keys have layers of their own.",
          ("self.key(x)", "self.value(x)")),
    wrong("position_value_without_bias", 'self.value(rearrange(x, "b c ... -> b (...) c"))',
          'rearrange(x, "b c ... -> b (...) c") @ self.value.weight.mT',
          "You leave out the bias of `self.value`: call the layer."),
    wrong("position_rectified", "self.query(x)", "self.query(x).relu()",
          "You put a relu after queries and keys. The paper's text says so, and the authors took it"
          " back: their code has plain layers.",
          ("self.key(x)", "self.key(x).relu()")),
    wrong("position_all_rectified", "self.query(x)", "self.query(x).relu()",
          "You put a relu after queries, keys and values. The layers are plain.",
          ("self.key(x)", "self.key(x).relu()"), ('c"))', 'c")).relu()')),
)

SCORES = (
    wrong("position_scaled", "k.mT", "k.mT / math.sqrt(q.shape[-1])",
          "You divide by the root of the width of queries and keys. DANet does not scale."),
    wrong("position_over_queries", ".softmax(-1)", ".softmax(-2)",
          "Your softmax runs over the queries i. It runs over the keys j, the last axis."),
    wrong("position_scaled_by_channels", "k.mT", "k.mT / math.sqrt(x.shape[-1])",
          "You divide by sqrt(channels). DANet does not scale."),
    wrong("position_keys_down", ".softmax(-1)", ".softmax(-1).mT",
          "Your map is the transposed one: rows are keys. Rows are queries, and sum to 1."),
    wrong("position_max_minus", "scores.softmax(-1)",
          "(scores.amax(-1, keepdim=True) - scores).softmax(-1)",
          "You take the softmax of max − products: the least alike get most. (DANet's released"
          " channel attention does so; its position attention does not.)"),
    wrong("position_cosine", "q @ k.mT", "F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT",
          "You divide queries and keys by their lengths (cosine). The products are plain."),
    wrong("gamma_in_the_scores", "q @ k.mT", "self.gamma * q @ k.mT",
          "You multiply the scores by gamma. Gamma multiplies what was gathered, and no map."),
)

BACK = (
    wrong("position_mixed_transposed", "self.attention(x)", "self.attention(x).mT",
          "The map is used the wrong way round: sum over the keys j, its last axis. In `v @ map`"
          " with v as b c j the map must be transposed. (It trains all the same, and is"
          " wrong.)"),
    wrong("written_raw", "rearrange(self.attention", "(self.attention",
          "You reshape b (h w) c to b c h w in one go: channels and pixels get mixed. Move the"
          " channels forward first.",
          ('@ v, "b i c -> b c i")', "@ v).reshape(len(x), x.shape[1], -1)")),
    wrong("written_column_by_column", '"b i c -> b c i"', '"b (w h) c -> b c (h w)", h=x.shape[2]',
          "You write the result column by column. Pixels are in the order (h w)."),
    wrong("values_and_gathered", "return x + self.gamma",
          'kept = unpack(rearrange(v, "b i c -> b c i"), [x.shape[2:]], "b c *")[0]\n'
          "return kept + self.gamma",
          "You add to the values. It is x that is kept: x + gamma …"),
)
# fmt: on


class PositionByBmm(PositionAttention):
    def conv(self, layer, x):
        return F.conv1d(x.flatten(2), layer.weight[..., None], layer.bias)

    def attention(self, x):
        q, k = self.conv(self.query, x), self.conv(self.key, x)
        return torch.softmax(torch.bmm(q.transpose(1, 2), k), dim=-1)

    def forward(self, x):
        v = self.conv(self.value, x)
        y = torch.bmm(v, self.attention(x).transpose(1, 2)).view(x.shape)
        return self.gamma * y + x


class PositionByEinsum(PositionAttention):
    def attention(self, x):
        x = x.flatten(2).movedim(1, -1)
        return torch.einsum("bim,bjm->bij", self.query(x), self.key(x)).softmax(-1)

    def forward(self, x):
        v = self.value(x.flatten(2).movedim(1, -1))
        y = torch.einsum("bij,bjc->bci", self.attention(x), v).reshape(x.shape)
        return torch.addcmul(x, self.gamma, y)


EXERCISE = Exercise(
    id="non_local.position_attention",
    solution=PositionAttention,
    probes={"attention": "b i j", "forward": "b c h w"},
    trials=position_trials,
    blank=("attention", "forward"),
    slips=often(BY_HAND, *PIXELS, *LAYERS, *SCORES, *BACK, *GAMMA),
    hints=(
        "How does this differ from the embedded form of the non-local block?",
        (
            "No bottleneck for the values, no last layer, no norm: weights times values,"
            " multiplied by gamma, added to x."
        ),
        (
            'attention: tokens "b (...) c"; gaussian_weights(query(tokens), key(tokens))\n'
            'forward: y = attention(x) @ value(tokens); "b i c -> b c i"; reshape to x\n'
            "    x + gamma y"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(PositionByBmm, PositionByEinsum),
    laws=("rows_sum_to_one", "scale_is_right", "examples_do_not_mix"),
    tied=("h w i j",),
)
