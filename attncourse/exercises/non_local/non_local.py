"""The non-local block: every pixel gets a mixture of all, by one of four pairwise functions."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.edits import by_hand, often, published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.non_local import NonLocal


def block_trials():
    """Evaluation mode first: in training BatchNorm hides factors and lets examples mix."""

    def trial(form, subsample=1, training=False, **sizes):
        h, w = sizes["h"], sizes["w"]
        keys = math.ceil(h / subsample) * math.ceil(w / subsample)
        init = dict(channels=sizes["c"], form=form, middle=sizes["m"], subsample=subsample)
        init |= dict(middle=None) if sizes["c"] == 1 else {}
        sizes |= dict(j=keys, i=h * w)
        name = f'with form="{form}"'
        name += f", subsample={subsample}" if subsample > 1 else ""
        name += " in training mode" if training else ""
        return Trial(name, sizes, dict(x="b c h w"), init, not training)

    return (
        trial("embedded", b=2, c=7, m=4, h=3, w=5),
        trial("gaussian", b=2, c=3, m=4, h=5, w=2),
        trial("dot", b=3, c=6, m=5, h=2, w=4),
        trial("concatenation", b=2, c=4, m=3, h=5, w=3),
        trial("embedded", 2, b=2, c=8, m=3, h=5, w=4),
        trial("dot", 2, b=2, c=7, m=5, h=4, w=6),
        trial("gaussian", 3, b=2, c=3, m=2, h=5, w=4),
        trial("concatenation", 2, b=3, c=5, m=2, h=3, w=7),
        trial("embedded", training=True, b=2, c=7, m=3, h=4, w=3),
        trial("embedded", b=2, c=1, m=1, h=5, w=4),  # half of one channel is one
    )


def flat(block, tokens):
    return rearrange(tokens, "b ... m -> b (...) m")


def means(block, tokens):
    maps = rearrange(tokens, "b h w m -> b m h w")
    maps = F.avg_pool2d(maps, block.subsample, ceil_mode=True)
    return rearrange(maps, "b m h w -> b (h w) m")


def every_other(block, tokens):
    return flat(block, tokens[:, :: block.subsample, :: block.subsample])


def without_edges(block, tokens):
    maps = F.max_pool2d(rearrange(tokens, "b h w m -> b m h w"), block.subsample)
    return rearrange(maps, "b m h w -> b (h w) m")


def pooled_by(name, pool, message):
    """Keys and values pooled in another way."""
    roles = ("x)", "self.key(x))", "self.value(")
    first, *others = ((f"self.pool({role}", f"{pool}(self, {role}") for role in roles)
    return wrong(name, *first, message, *others)


# fmt: off
WRITTEN_OUT = (
    by_hand("return dot_product_weights(q, k)", "return q @ k.mT / k.shape[-2]"),
    by_hand("return concatenation_weights(q, k, self.pair)",
            "m = q.shape[-1]\n"
            "pairs = (q @ self.pair[:m])[..., :, None] + (k @ self.pair[m:])[..., None, :]\n"
            "return pairs.relu() / k.shape[-2]"),
    by_hand("return gaussian_weights(q, k)", "scores = q @ k.mT\nreturn scores.softmax(-1)"),
    by_hand('if self.form == "dot":\n'
            "    y = dot_product_mixture(*self.queries_and_keys(x), v)\n"
            "else:\n"
            "    y = self.attention(x) @ v",
            "weights = self.attention(x)\ny = weights @ v"),
)

PIXELS = (
    *often(
        wrong("reshaped_to_tokens", 'x = rearrange(x, "b c ... -> b ... c")',
              "x = x.reshape(len(x), *x.shape[2:], x.shape[1])",
              "You reshape b c h w to b (h w) c in one go: the numbers of different pixels get"
              " mixed. Move the channels to the end, then flatten.",
              ('self.value(rearrange(x, "b c ... -> b ... c"))',
               "self.value(x.reshape(len(x), *x.shape[2:], x.shape[1]))")),
    ),
    wrong("height_and_width_swapped", 'x = rearrange(x, "b c ... -> b ... c")',
          'x = rearrange(x, "b c h w -> b w h c")',
          "Your pixels come column by column, (w h), and the result is read row by row: height and"
          " width are exchanged on the way in. The order is (h w).",
          ('self.value(rearrange(x, "b c ... -> b ... c"))',
           'self.value(rearrange(x, "b c h w -> b w h c"))')),
)

LAYERS = (
    wrong("query_and_key_swapped", "self.query(x)", "self.key(x)",
          "Queries and keys have changed places: `self.query` makes what asks.",
          ("self.key(x)", "self.query(x)")),
    wrong("rectified_projections", "self.query(x)", "self.query(x).relu()",
          "You put a relu after the projections. There is none: they are linear.",
          ("self.key(x)", "self.key(x).relu()"), ('c")))', 'c")).relu())')),
)

POOLS = (
    *often(
        pooled_by("nothing_pooled", "flat",
                  "Nothing is pooled: with `subsample` keys and values go through `self.pool`."),
    ),
    wrong("queries_pooled", 'rearrange(x, "b ... c -> b (...) c"), self', "self.pool(x), self",
          "You pool the queries too: then only some pixels ask, and the block no longer returns one"
          " vector a pixel. Pool keys and values alone.",
          ('rearrange(self.query(x), "b ... m -> b (...) m")', "self.pool(self.query(x))")),
    pooled_by("averaged", "means",
              "You pool by the mean. The paper pools by the maximum: `self.pool`."),
    pooled_by("strided", "every_other",
              "You keep every so-many-th pixel as key. Pooling keeps the largest of each window."),
    pooled_by("edges_cut_off", "without_edges",
              "Your pooling drops the last row or column of odd maps (`ceil_mode=False`). With"
              " `self.pool` every pixel is in a window."),
)

SOFTMAX_FORMS = (
    *often(
        wrong("both_scaled", "scores = q @ k.mT", "scores = q @ k.mT / math.sqrt(q.shape[-1])",
              "You divide the Gaussian forms by the root of the width of q. The products are taken"
              " as they are: the authors' code scales the embedded form only, the paper none."),
        wrong("both_over_queries", "scores.softmax(-1)", "scores.softmax(-2)",
              "Your softmax runs over the queries i. It runs over the keys, the last axis."),
    ),
    wrong("both_by_root_of_channels", "scores = q @ k.mT",
          "scores = q @ k.mT / math.sqrt(x.shape[1])",
          "You divide the Gaussian forms by sqrt(channels). The products are taken as they are."),
    wrong("both_times_root", "scores = q @ k.mT", "scores = q @ k.mT / q.shape[-1] ** -0.5",
          "You multiply the Gaussian forms by the root of the width of q: dividing by width**-0.5"
          " does that, a bug that was published once. The products are taken as they are."),
    wrong("both_exponential_over_n", "scores.softmax(-1)", "scores.exp() / k.shape[-2]",
          "You divide exponentials by N. In the Gaussian forms they are divided by their sum over"
          " the keys: a softmax."),
    wrong("by_root_of_channels", "scores = q @ k.mT",
          'scale = math.sqrt(x.shape[1]) if self.form == "embedded" else 1\n'
          "scores = q @ k.mT / scale",
          "You divide by sqrt(channels), the width of x. (One popular library does, though its"
          " queries are narrower.) The products are taken as they are."),
    wrong("times_root_of_m", "scores = q @ k.mT",
          'scale = q.shape[-1] ** -0.5 if self.form == "embedded" else 1\n'
          "scores = q @ k.mT / scale",
          "You multiply by sqrt(m): dividing by m**-0.5 does that, a bug that was published once."
          " The products are taken as they are."),
    wrong("embedded_over_queries", "return scores.softmax(-1)",
          'return scores.softmax(-2 if self.form == "embedded" else -1)',
          "Your softmax runs over the queries i. It runs over the keys, the last axis."),
    wrong("gaussian_scaled", "scores = q @ k.mT",
          'scale = math.sqrt(q.shape[-1]) if self.form == "gaussian" else 1\n'
          "scores = q @ k.mT / scale",
          "You scale the Gaussian form by sqrt(channels). Its products are taken as they are."),
    wrong("gaussian_cosine", "scores = q @ k.mT",
          'if self.form == "gaussian":\n'
          "    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)\n"
          "scores = q @ k.mT",
          "In the Gaussian form you divide pixels by their lengths (cosine). They are compared as"
          " they are."),
)

OVER_N = (
    *often(
        wrong("dot_not_divided", "return q @ k.mT / k.shape[-2]", "return q @ k.mT",
              '1/N is missing in the form "dot": divide by the number of keys.'),
        wrong("pairs_not_divided", "pairs.relu() / k.shape[-2]", "pairs.relu()",
              "1/N is missing in the concatenation form: divide by the number of keys."),
        wrong("neither_divided", "return q @ k.mT / k.shape[-2]", "return q @ k.mT",
              '1/N is missing in the forms "dot" and "concatenation": divide by the number of keys.',
              ("pairs.relu() / k.shape[-2]", "pairs.relu()")),
        wrong("softmax_in_all_forms", "q @ k.mT / k.shape[-2]", "(q @ k.mT).softmax(-1)",
              'You take a softmax in all four forms. "dot" and "concatenation" have none: they'
              " divide by N, the number of keys.",
              ("pairs.relu() / k.shape[-2]", "pairs.relu().softmax(-1)")),
        wrong("pairs_not_rectified", "pairs.relu()", "pairs",
              "The relu is missing in the concatenation form."),
        wrong("pairs_key_first", "q @ self.pair[:m]", "q @ self.pair[m:]",
              "In the concatenation form the halves of `self.pair` are exchanged: the first half"
              " reads the query.",
              ("k @ self.pair[m:]", "k @ self.pair[:m]")),
    ),
    wrong("softmax_in_the_dot_form", "q @ k.mT / k.shape[-2]", "(q @ k.mT).softmax(-1)",
          'You take a softmax in the form "dot". It has none: it divides by N.'),
    wrong("dot_over_queries", "k.mT / k.shape", "k.mT / q.shape",
          'In the form "dot" you divide by the number of pixels that ask. After pooling there are'
          " fewer keys: N counts the keys."),
    wrong("dot_by_root_of_m", "k.mT / k.shape[-2]", "k.mT / math.sqrt(q.shape[-1])",
          'You divide the form "dot" by sqrt(m). It divides by N, the number of keys.'),
    wrong("both_over_pixels", "k.mT / k.shape", "k.mT / q.shape",
          'You divide "dot" and "concatenation" by the number of pixels that ask. After pooling'
          " there are fewer keys: N counts the keys.",
          ("relu() / k.shape", "relu() / q.shape")),
    wrong("pairs_over_pixels", "relu() / k.shape", "relu() / q.shape",
          "In the concatenation form you divide by the number of pixels that ask. N counts the keys,"
          " which are fewer after pooling."),
    wrong("pairs_softmax", "pairs.relu() / k.shape[-2]", "pairs.relu().softmax(-1)",
          "You take a softmax in the concatenation form. It has a relu, and divides by N."),
    wrong("pairs_softmax_without_relu", "pairs.relu() / k.shape[-2]", "pairs.softmax(-1)",
          "You take a softmax in the concatenation form, and no relu. It has a relu, and divides by"
          " N. (In a softmax the query would cancel.)"),
)

ENDS = (
    *often(
        wrong("weights_transposed", "weights @ v", "weights.mT @ v",
              "You mix with the transposed weights: sum over the keys j, the last axis of the map."
              " In `v @ map` with v as b m j the map must be transposed."),
        wrong("no_residual", "x + unpack", "unpack", "The residual is missing: x + …"),
        wrong("no_norm", "self.norm(rearrange", "(rearrange",
              "`self.norm` is missing after the last layer."),
        wrong("norm_of_the_sum", '"b i c -> b c i"))',
              '"b i c -> b c i") + rearrange(x, "b c ... -> b c (...)"))',
              "You normalise the sum. Normalise what was found, then add x: else the block cannot"
              " start as the identity.",
              ("x + unpack", "unpack")),
    ),
    wrong("gated", "x + unpack", "x * unpack",
          "You make a gate of what was found (sigmoid times x). It is added to x.",
          ('"b c *")[0]', '"b c *")[0].sigmoid()')),
    wrong("raw_reshape", 'unpack(found, [x.shape[2:]], "b c *")[0]',
          'rearrange(found, "b c i -> b i c").reshape(x.shape)',
          "You reshape b (h w) c to b c h w in one go: channels and pixels get mixed. Move the"
          " channels forward first."),
    wrong("written_down_the_columns", 'unpack(found, [x.shape[2:]], "b c *")[0]',
          'rearrange(found, "b c (w h) -> b c h w", h=x.shape[2])',
          "You write the pixels down the columns, (w h). They come in the order (h w)."),
)

SCALED = ("return gaussian_weights(q, k)",
          'scale = math.sqrt(q.shape[-1]) if self.form == "embedded" else 1\n'
          "return gaussian_weights(q / scale, k)")
READINGS = (
    published("pooled_before_projecting", "self.pool(self.key(x))", "self.key(self.pool(x))",
              "You pool x before it is projected to keys and values, as the authors' released code"
              " does: cheaper, since fewer pixels are projected. The paper pools after, and a"
              " maximum does not commute with a projection.",
              ("self.pool(self.value(", "self.value(self.pool(")),
    published("scaled_like_the_released_code", *SCALED,
              "You divide the embedded form by sqrt(m), as the authors' released code does. The"
              " paper's equation has no scale."),
    published("the_released_code", "self.pool(self.key(x))", "self.key(self.pool(x))",
              "You follow the authors' released code twice: it divides the embedded form by sqrt(m)"
              " and pools before it projects. The paper does neither.",
              ("self.pool(self.value(", "self.value(self.pool("), SCALED),
)
# fmt: on


class ByConvolutions(NonLocal):
    """Convolutions of 1 x 1 instead of layers on the last axis, batched products."""

    def conv(self, layer, x):
        y = F.conv1d(x.flatten(2), layer.weight[..., None], layer.bias)
        return y.unflatten(2, x.shape[2:])

    def pooled(self, x):
        if self.subsample != 1:
            pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[x.ndim - 3]
            x = pool(x, self.subsample, ceil_mode=True)
        return x.flatten(2)

    def attention(self, x):
        gaussian = self.form == "gaussian"
        theta = (x if gaussian else self.conv(self.query, x)).flatten(2).transpose(1, 2)
        phi = self.pooled(x if gaussian else self.conv(self.key, x))
        if self.form == "concatenation":
            m, n = phi.shape[1:]
            a = theta @ self.pair[:m, None]
            b = self.pair[None, m:] @ phi
            return torch.relu(a + b) / n
        f = torch.bmm(theta, phi)
        return f / f.shape[-1] if self.form == "dot" else F.softmax(f, dim=-1)

    def forward(self, x):
        g = self.pooled(self.conv(self.value, x))
        y = torch.bmm(g, self.attention(x).transpose(1, 2)).reshape(len(x), -1, *x.shape[2:])
        return x + self.norm(self.conv(self.out, y).flatten(2)).view_as(x)


class PixelByPixel(NonLocal):
    """One query at a time."""

    def queries_and_keys(self, x):
        x = x.movedim(1, -1)
        q, k = (x, x) if self.form == "gaussian" else (self.query(x), self.key(x))
        return q.flatten(1, -2), self.pool(k)

    def attention(self, x):
        q, k = self.queries_and_keys(x)
        rows = []
        for i in range(q.shape[1]):
            if self.form == "concatenation":
                pairs = torch.cat([q[:, i : i + 1].expand_as(k), k], dim=-1)
                rows.append((pairs @ self.pair).clamp(min=0) / k.shape[1])
                continue
            row = (q[:, i : i + 1] * k).sum(-1)
            soft = self.form in ("gaussian", "embedded")
            rows.append(row.softmax(-1) if soft else row / k.shape[1])
        return torch.stack(rows, dim=1)

    def forward(self, x):
        v = self.pool(self.value(x.movedim(1, -1)))
        y = torch.einsum("bij,bjm->bim", self.attention(x), v)
        return self.norm(self.out(y).movedim(1, -1)).unflatten(-1, x.shape[2:]) + x


EXERCISE = Exercise(
    id="non_local.non_local",
    solution=NonLocal,
    probes={"attention": "b i j", "forward": "b c h w"},
    trials=block_trials,
    blank=("queries_and_keys", "attention", "forward"),
    slips=(
        *WRITTEN_OUT,
        *PIXELS,
        *LAYERS,
        *POOLS,
        *SOFTMAX_FORMS,
        *OVER_N,
        *ENDS,
        *READINGS,
    ),
    hints=(
        "Which of queries, keys and values are pooled, and what must the block return?",
        (
            "Channels to the end, then the layers: they work on the last axis. Queries are"
            " flattened, keys and values go through `self.pool`. Each form has its function"
            " above; `self.pair` is the w of the concatenation. Then out, norm, and add x."
        ),
        (
            'queries_and_keys: x as "b ... c"; for the Gaussian form both are x,\n'
            "    else query(x), key(x); flatten the queries, pool the keys\n"
            "attention: the weights of the form\n"
            "forward: v = pool(value(x)); y = out(attention(x) @ v), b i c\n"
            '    norm takes "b c i"; reshape to x, and add x'
        ),
    ),
    minutes=25,
    difficulty=4,
    otherwise=(ByConvolutions, PixelByPixel),
    laws=("examples_do_not_mix",),
    tied=("h w i j",),
)
