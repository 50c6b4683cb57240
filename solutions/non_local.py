"""Non-local attention: every pixel looks at the whole image, in one layer.

    A_ij = softmax_j(x_i · x_j)                    Gaussian
    A_ij = softmax_j(q_i · k_j)                    embedded Gaussian: attention with scale 1
    A_ij = q_i · k_j / N                           dot product: A v = q (kᵀ v) / N, linear in N
    A_ij = relu(w · [q_i, k_j]) / N                concatenation: w · [q, k] = w_q · q + w_k · k
    z = x + norm(W A v)                            the block; norm starts at 0, so z starts as x
    z = x + gamma A v,  A = softmax_j(q_i · k_j)   position attention, gamma starts at 0
    z = x + gamma A x,  A = softmax_j(x_i · x_j)   channel attention: i, j are channels

Axes     b batch, c channels, any axes of space after them (w, h w or t h w), n their product,
         i query, j key (pixels; channels in channel attention), N keys, m middle of the
         bottleneck, e features of a value
Units    x is a sum of products over c or m features, not scaled: logits grow with the width
Cost     4 c m multiply-adds a pixel for the layers, 2 n m for each pixel for the map; keys and
         values pooled 2 x 2 divide the second by 4
Source   Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, arXiv:1711.07971,
         eqs. 1-6 and sec. 3.3;
         Fu et al., "Dual Attention Network for Scene Segmentation", CVPR 2019,
         arXiv:1809.02983, eqs. 1-4 and fig. 2
Differs  the authors' non-local code divides logits by sqrt(m) and pools before it projects; the
         paper does neither. Pooling takes the remaining pixels of odd maps into windows of
         their own. DANet's text has normalised queries and keys, its code plain layers, as
         here; its channel attention is softmax(E) in the paper, softmax(max − E) in the code
"""

import torch
from einops import einsum, rearrange, unpack
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import equip

FORMS = ("gaussian", "embedded", "dot", "concatenation")


def gaussian_weights(
    q: Float[Tensor, "*batch i m"], k: Float[Tensor, "*batch j m"]
) -> Float[Tensor, "*batch i j"]:
    """For each query i its weights over the keys j: exp(q_i · k_j) over its sum, not scaled."""
    return einsum(q, k, "... i m, ... j m -> ... i j").softmax(-1)


def dot_product_weights(
    q: Float[Tensor, "*batch i m"], k: Float[Tensor, "*batch j m"]
) -> Float[Tensor, "*batch i j"]:
    """The products of queries and keys over the number of keys. May be negative."""
    return einsum(q, k, "... i m, ... j m -> ... i j") / k.shape[-2]


def dot_product_mixture(
    q: Float[Tensor, "*batch i m"],
    k: Float[Tensor, "*batch j m"],
    v: Float[Tensor, "*batch j e"],
) -> Float[Tensor, "*batch i e"]:
    """What the dot-product weights make of the values, without the map i j.

    Its cost grows with i + j, not with i times j.
    """
    summary = einsum(k, v, "... j m, ... j e -> ... m e") / k.shape[-2]
    return einsum(q, summary, "... i m, ... m e -> ... i e")


def concatenation_weights(
    q: Float[Tensor, "*batch i m"], k: Float[Tensor, "*batch j m"], w: Float[Tensor, " two_m"]
) -> Float[Tensor, "*batch i j"]:
    """relu(w · [q_i, k_j]) over the number of keys.

    The first half of w reads the query, the second the key. So each is read once and the two
    numbers are added; no tensor of pairs of vectors is made. Raises ValueError, with m and the
    length of w, unless that is 2 m.
    """
    m = q.shape[-1]
    if len(w) != 2 * m:
        raise ValueError(f"w has {len(w)} numbers; it reads a query and a key of {m} each")
    from_query = einsum(q, w[:m], "... i m, m -> ... i")
    from_key = einsum(k, w[m:], "... j m, m -> ... j")
    return (from_query[..., :, None] + from_key[..., None, :]).relu() / k.shape[-2]


def max_pool(x: Float[Tensor, "b c *space"], window: int | tuple[int, ...]) -> Tensor:
    """The largest value of each window, in one to three dimensions; every pixel is in one."""
    pools = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
    if x.ndim not in pools:
        raise ValueError(f"{x.ndim - 2} axes of space; pooling knows 1 to 3")
    return pools[x.ndim](x, window, ceil_mode=True)


class NonLocal(nn.Module):
    """Adds to each pixel a mixture of all pixels, weighted by one of four pairwise functions.

    form       "embedded", "gaussian", "dot" or "concatenation"
    middle     width of queries, keys and values; half of the channels if left out
    subsample  window of the max pooling of keys and values: 2 as in the paper, or one number
               for each axis of space, such as (1, 2, 2) for t h w
    """

    def __init__(
        self,
        channels: int,
        form: str = "embedded",
        middle: int | None = None,
        subsample: int | tuple[int, ...] = 1,
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"there is no {form=}; there are {', '.join(FORMS)}")
        middle = max(channels // 2, 1) if middle is None else middle
        if channels < 1 or middle < 1:
            raise ValueError(f"{channels=} and {middle=}; both must be at least 1")
        self.form, self.subsample = form, subsample
        if form != "gaussian":
            self.query = nn.Linear(channels, middle)
            self.key = nn.Linear(channels, middle)
        if form == "concatenation":
            self.pair = nn.Parameter(torch.randn(2 * middle) / (2 * middle) ** 0.5)
        self.value = nn.Linear(channels, middle)
        self.out = nn.Linear(middle, channels)
        self.norm = nn.BatchNorm1d(channels)
        nn.init.zeros_(self.norm.weight)

    def pool(self, tokens: Float[Tensor, "b *space m"]) -> Float[Tensor, "b j m"]:
        """The tokens that are attended to: of each window of pixels the largest, per
        feature."""
        if self.subsample != 1:
            windows = max_pool(rearrange(tokens, "b ... m -> b m ..."), self.subsample)
            tokens = rearrange(windows, "b m ... -> b ... m")
        return rearrange(tokens, "b ... m -> b (...) m")

    def queries_and_keys(
        self, x: Float[Tensor, "b c *space"]
    ) -> tuple[Float[Tensor, "b i m"], Float[Tensor, "b j m"]]:
        """What is compared: pixels as they are for the Gaussian form, else projected."""
        x = rearrange(x, "b c ... -> b ... c")
        if self.form == "gaussian":
            return rearrange(x, "b ... c -> b (...) c"), self.pool(x)
        return rearrange(self.query(x), "b ... m -> b (...) m"), self.pool(self.key(x))

    def attention(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b i j"]:
        """The map: how much key j counts for pixel i."""
        q, k = self.queries_and_keys(x)
        if self.form == "dot":
            return dot_product_weights(q, k)
        if self.form == "concatenation":
            return concatenation_weights(q, k, self.pair)
        return gaussian_weights(q, k)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The pixels with what they found added."""
        v = self.pool(self.value(rearrange(x, "b c ... -> b ... c")))
        if self.form == "dot":
            y = dot_product_mixture(*self.queries_and_keys(x), v)
        else:
            y = self.attention(x) @ v
        found = self.norm(rearrange(self.out(y), "b i c -> b c i"))
        return x + unpack(found, [x.shape[2:]], "b c *")[0]


def multiply_adds(channels: int, middle: int, pixels: int, keys: int) -> int:
    """Multiply-adds of a non-local block (embedded Gaussian) for one image.

    Every pixel is projected, also where keys and values are pooled afterwards.
    """
    projections = 4 * pixels * channels * middle
    products = 2 * pixels * keys * middle
    return projections + products


class PositionAttention(nn.Module):
    """DANet's position attention: a pixel gathers from the pixels that are like it."""

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        if channels < reduction:
            raise ValueError(f"{channels=} leave no feature for queries with {reduction=}")
        self.query = nn.Linear(channels, channels // reduction)
        self.key = nn.Linear(channels, channels // reduction)
        self.value = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def attention(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b i j"]:
        """The map: for each pixel i its weights over the pixels j."""
        x = rearrange(x, "b c ... -> b (...) c")
        return gaussian_weights(self.query(x), self.key(x))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The pixels with gamma times what they gathered added."""
        v = self.value(rearrange(x, "b c ... -> b (...) c"))
        y = rearrange(self.attention(x) @ v, "b i c -> b c i")
        return x + self.gamma * unpack(y, [x.shape[2:]], "b c *")[0]


class ChannelAttention(nn.Module):
    """DANet's channel attention: a feature map gathers from others. One parameter, gamma.

    released  False for the paper's softmax(E), in which alike channels gather from each other;
              True for the released code's softmax(max − E) = softmax(−E), in which a channel
              gathers from those least like it
    """

    def __init__(self, released: bool = False):
        super().__init__()
        self.released = released
        self.gamma = nn.Parameter(torch.zeros(1))

    def attention(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c c"]:
        """The map: for each channel its weights over all channels, on the last axis.

        Products are summed over all pixels, so in single precision at least: half precision is
        summed in single, double in double. The map has the type of x.
        """
        maps = rearrange(x, "b c ... -> b c (...)")
        maps = maps.to(torch.promote_types(x.dtype, torch.float32))
        energy = einsum(maps, maps, "b i n, b j n -> b i j")
        return (-energy if self.released else energy).softmax(-1).to(x.dtype)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """The feature maps with gamma times what they gathered added."""
        y = self.attention(x) @ rearrange(x, "b c ... -> b c (...)")
        return x + self.gamma * unpack(y, [x.shape[2:]], "b c *")[0]


def conv_norm_relu(channels: int, out_channels: int) -> nn.Sequential:
    """A 3 x 3 convolution, normalised, then rectified."""
    conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


def classifier(channels: int, classes: int, dropout: float) -> nn.Sequential:
    """Scores of the classes for every pixel."""
    return nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(channels, classes, 1))


class DANetHead(nn.Module):
    """The segmentation head of DANet: position and channel attention side by side, summed.

    Both work on a quarter of the channels. Besides the sum, each branch is classified on its
    own, for two more losses in training.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        reduction: int = 4,
        released: bool = False,
        dropout: float = 0.1,
    ):
        super().__init__()
        inner = channels // reduction
        self.position_in, self.channel_in = (conv_norm_relu(channels, inner) for _ in range(2))
        self.position = PositionAttention(inner)
        self.channel = ChannelAttention(released)
        self.position_out, self.channel_out = (conv_norm_relu(inner, inner) for _ in range(2))
        self.both = classifier(inner, classes, dropout)
        self.position_alone = classifier(inner, classes, dropout)
        self.channel_alone = classifier(inner, classes, dropout)

    def forward(
        self, x: Float[Tensor, "b c h w"]
    ) -> tuple[
        Float[Tensor, "b classes h w"],
        Float[Tensor, "b classes h w"],
        Float[Tensor, "b classes h w"],
    ]:
        """Scores of each class for every pixel: from both branches, and from each alone."""
        p = self.position_out(self.position(self.position_in(x)))
        c = self.channel_out(self.channel(self.channel_in(x)))
        return self.both(p + c), self.position_alone(p), self.channel_alone(c)


def mean_iou(
    predicted: Int[Tensor, "*batch"], truth: Int[Tensor, "*batch"], classes: int
) -> Float[Tensor, ""]:
    """Intersection over union of each class, counted over all pixels, averaged over classes.

    A pixel whose truth is none of the classes is not counted (255, say, or −1); one at least
    is, and predictions are classes. A class that is neither there nor predicted is left out of
    the mean, which has torch's default type.
    """
    counted = (truth >= 0) & (truth < classes)
    predicted, truth = predicted[counted], truth[counted]
    each = rearrange(torch.arange(classes, device=truth.device), "classes -> classes 1")
    said, there = predicted == each, truth == each
    both, either = (said & there).sum(-1), (said | there).sum(-1)
    return (both / either)[either > 0].mean()


def _eighth_for_queries(channels: int, reduction: int, **_) -> None:
    inner = channels // reduction
    if inner < 8:
        raise ValueError(
            f"{channels=} with {reduction=} leave {inner}, and queries are an eighth of that:"
            f" take at least {8 * reduction} channels"
        )


def _start_as_x(block: NonLocal) -> None:
    if block.form == "concatenation":
        nn.init.normal_(block.pair, std=len(block.pair) ** -0.5)
    nn.init.zeros_(block.norm.weight)


def _gamma(attention: PositionAttention | ChannelAttention) -> None:
    nn.init.zeros_(attention.gamma)


equip(NonLocal, reset=_start_as_x)
equip(PositionAttention, reset=_gamma)
equip(ChannelAttention, reset=_gamma)
equip(DANetHead, check=_eighth_for_queries)
