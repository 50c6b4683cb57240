"""Stand-alone self-attention: every pixel attends to the window around it, without convolution.

    q, k, v = W_q x, W_k x, W_v x                   project   b c h w -> b head d h w
    r_(dy dx) = [row_dy, column_dx]                 place     head dy, head dx -> head d dy dx
    s_(dy dx) = q · k_(dy dx of its window) + q · r score     b head h w dy dx
    A = softmax over dy, dx within the picture      weights   b head h w dy dx
    y = Σ A_(dy dx) v_(dy dx of its window)         output    b head d h w
    y = mean of y over stride x stride pixels       stride    b c h w
    v = Σ_mix p_(mix dy dx) W_mix x                 stem      a place in its block mixes values

Axes     b batch, c channels, f = (head d) those that leave, h w height and width in pixels, dy
         dx place of a key in the window, e features of v
Units    A sums to 1 over dy and dx together, for every pixel and head
Cost     3 c² weights and window c for the tables; 3 c² + 3 window² c multiply-adds a pixel (2
         window² c without q · r). This form makes window² c numbers a pixel: it copies k and v
         into windows
Source   Ramachandran, Parmar, Vaswani, Bello, Levskaya, Shlens, "Stand-Alone Self-Attention in
         Vision Models", NeurIPS 2019, arXiv:1906.05909, sec. 3
Differs  places outside the picture are masked, of which the paper says nothing; projections are
         full c x c, as the paper's tables count them, `grouped` ones are those of its text;
         each head has its tables, with the variance 1 / d at first; on odd maps the last row
         and column are averaged alone. The stem's logits have q · r too: its costs need it
"""

import math
from collections.abc import Callable
from functools import wraps

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import COUNT, FROM_0, INTEGER, equip


def windows(x: Shaped[Tensor, "*batch h w"], window: int) -> Shaped[Tensor, "*batch h w dy dx"]:
    """For every pixel the window x window pixels around it, with 0 beyond the edges.

    It is a view: nothing is copied but the padded picture. Raises ValueError, with the window,
    for an even one, which has no middle.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"{window=} has no middle: take an odd number")
    reach = window // 2
    padded = F.pad(x, (reach, reach, reach, reach))
    return padded.unfold(-2, window, 1).unfold(-2, window, 1)


def inside(height: int, width: int, window: int) -> Bool[Tensor, "h w dy dx"]:
    """True where a place of a pixel's window lies in the picture: there it may attend."""
    return windows(torch.ones(height, width, dtype=torch.bool), window)


def relative_embeddings(
    rows: Float[Tensor, "head dy half"], columns: Float[Tensor, "head dx half"]
) -> Float[Tensor, "head d dy dx"]:
    """A vector for each place in the window: that of its row, then that of its column."""
    down = rearrange(rows, "head dy half -> head half dy 1")
    across = rearrange(columns, "head dx half -> head half 1 dx")
    down, across = torch.broadcast_tensors(down, across)
    return torch.cat([down, across], dim=1)


def local_weights(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
) -> Float[Tensor, "b head h w dy dx"]:
    """The attention weights of each pixel over the places of its window. 0 beyond the edges."""
    near, place = windows(k, window), relative_embeddings(rows, columns)
    content = einsum(q, near, "b head d h w, b head d h w dy dx -> b head h w dy dx")
    position = einsum(q, place, "b head d h w, head d dy dx -> b head h w dy dx")
    seen = inside(*q.shape[-2:], window).to(q.device)
    scores = (content + position).masked_fill(~seen, -math.inf)
    weights = rearrange(scores, "... dy dx -> ... (dy dx)").softmax(-1)
    return rearrange(weights, "... (dy dx) -> ... dy dx", dy=window)


def local_attention(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
) -> Float[Tensor, "b head e h w"]:
    """For each pixel the weighted mean of the values in its window.

    Nothing is scaled. Raises ValueError, with the window, for an even one.
    """
    weights = local_weights(q, k, rows, columns, window)
    near = windows(v, window)
    return einsum(weights, near, "b head h w dy dx, b head e h w dy dx -> b head e h w")


class StandAloneSelfAttention2d(nn.Module):
    """Takes the place of a 3 x 3 convolution: attention in a window, then average pooling.

    out_channels  as `channels` if not given
    scaled        divide the logits by sqrt(d), which the paper does not
    grouped       a head projects its own part of the channels, as in the paper's text
    Raises ValueError when `heads` does not divide the channels into even widths.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        window: int = 7,
        stride: int = 1,
        out_channels: int | None = None,
        scaled: bool = False,
        grouped: bool = False,
    ):
        super().__init__()
        out_channels = channels if out_channels is None else out_channels
        if window < 1 or window % 2 == 0:
            raise ValueError(f"{window=} has no middle: take an odd number")
        if out_channels % (2 * heads):
            raise ValueError(
                f"channels={out_channels} is not a multiple of 2 heads={2 * heads}: in each"
                " head rows and columns get one half of the features"
            )
        if grouped and channels % heads:
            raise ValueError(f"{channels=} is not a multiple of {heads=}")
        d = out_channels // heads
        self.heads, self.window, self.stride = heads, window, stride
        self.scale = d**-0.5 if scaled else 1.0
        groups = heads if grouped else 1
        self.query = nn.Conv2d(channels, out_channels, 1, groups=groups, bias=False)
        self.key = nn.Conv2d(channels, out_channels, 1, groups=groups, bias=False)
        self.value = nn.Conv2d(channels, out_channels, 1, groups=groups, bias=False)
        self.rows = nn.Parameter(torch.randn(heads, window, d // 2) * d**-0.5)
        self.columns = nn.Parameter(torch.randn(heads, window, d // 2) * d**-0.5)

    def split(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b head d h w"]:
        """The channels of each head on their own."""
        return rearrange(x, "b (head d) h w -> b head d h w", head=self.heads)

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b head h w dy dx"]:
        """The attention weights of each head and pixel over the places of its window."""
        q, k = self.split(self.query(x)) * self.scale, self.split(self.key(x))
        return local_weights(q, k, self.rows, self.columns, self.window)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h2 w2"]:
        """The outputs of the heads, side by side; with a stride, averaged over its pixels."""
        q, k = self.split(self.query(x)) * self.scale, self.split(self.key(x))
        v = self.split(self.value(x))
        y = local_attention(q, k, v, self.rows, self.columns, self.window)
        y = rearrange(y, "b head d h w -> b (head d) h w")
        return y if self.stride == 1 else F.avg_pool2d(y, self.stride, ceil_mode=True)


class SpatialValues(nn.Module):
    """A 1 x 1 convolution that knows its place: each place of a block mixes several matrices.

    The mixing weights, `shares`, are a softmax over the mixtures: every place has a weighted
    mean of the matrices.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        block: int = 4,
        mixtures: int = 4,
        dim: int = 16,
    ):
        super().__init__()
        self.block, self.mixtures = block, mixtures
        self.value = nn.Conv2d(channels, mixtures * out_channels, 1, bias=False)
        self.rows = nn.Parameter(torch.randn(block, dim) * dim**-0.5)
        self.columns = nn.Parameter(torch.randn(block, dim) * dim**-0.5)
        self.mixture = nn.Parameter(torch.randn(mixtures, dim))

    def shares(self) -> Float[Tensor, "dy dx mix"]:
        """The weight of each matrix at each place of the block: (row + column) · mixture,
        softmax over the mixtures."""
        place = rearrange(self.rows, "dy d -> dy 1 d") + self.columns
        return einsum(place, self.mixture, "dy dx d, mix d -> dy dx mix").softmax(-1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h w"]:
        """The values: blocks are laid from the top left corner and may be cut off at the
        edges. The channels of `value` are (mix e)."""
        h, w = x.shape[-2:]
        dy = torch.arange(h, device=x.device) % self.block
        dx = torch.arange(w, device=x.device) % self.block
        shares = self.shares()[dy][:, dx]
        values = rearrange(self.value(x), "b (mix e) h w -> b mix e h w", mix=self.mixtures)
        return einsum(shares, values, "h w mix, b mix e h w -> b e h w")


class AttentionStem(nn.Module):
    """Instead of the first convolution: attention within blocks, values that know their place,
    a norm, and the maximum of each block.

    Raises ValueError when `heads` does not divide the channels into even widths.
    """

    def __init__(
        self,
        channels: int = 3,
        out_channels: int = 64,
        heads: int = 4,
        block: int = 4,
        mixtures: int = 4,
    ):
        super().__init__()
        if out_channels % (2 * heads):
            raise ValueError(f"{out_channels=} is not a multiple of 2 heads={2 * heads}")
        d = out_channels // heads
        self.heads, self.block = heads, block
        self.query = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.key = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.values = SpatialValues(channels, out_channels, block, mixtures, d)
        places = 2 * block - 1
        self.rows = nn.Parameter(torch.randn(heads, places, d // 2) * d**-0.5)
        self.columns = nn.Parameter(torch.randn(heads, places, d // 2) * d**-0.5)
        self.norm = nn.BatchNorm2d(out_channels)

    def blocks(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b head d high wide i"]:
        """The pixels of each block as tokens, in each head; 0 where a block is cut off."""
        h, w = x.shape[-2:]
        padded = F.pad(x, (0, -w % self.block, 0, -h % self.block))
        return rearrange(
            padded,
            "b (head d) (high y) (wide x) -> b head d high wide (y x)",
            head=self.heads,
            y=self.block,
            x=self.block,
        )

    def places(self) -> Float[Tensor, "head d i j"]:
        """The vector of each pair of pixels in a block, by their distance."""
        n = torch.arange(self.block, device=self.rows.device)
        offset = n - rearrange(n, "i -> i 1") + self.block - 1  # of key and query
        down = rearrange(self.rows[:, offset], "head yi yj half -> head half yi 1 yj 1")
        across = rearrange(self.columns[:, offset], "head xi xj half -> head half 1 xi 1 xj")
        pairs = torch.cat(torch.broadcast_tensors(down, across), dim=1)
        return rearrange(pairs, "head d yi xi yj xj -> head d (yi xi) (yj xj)")

    def attention(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b head high wide i j"]:
        """The map within each block. Pixels beyond the edge get 0."""
        q, k = self.blocks(self.query(x)), self.blocks(self.key(x))
        content = einsum(
            q, k, "b head d high wide i, b head d high wide j -> b head high wide i j"
        )
        position = einsum(
            q, self.places(), "b head d high wide i, head d i j -> b head high wide i j"
        )
        ones = self.blocks(x.new_ones(1, self.heads, *x.shape[-2:]))[0, 0, 0]
        real = rearrange(ones > 0, "high wide j -> high wide 1 j")
        return (content + position).masked_fill(~real, -math.inf).softmax(-1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e high wide"]:
        """A map with a pixel for each block."""
        h, w = x.shape[-2:]
        v = self.blocks(self.values(x))
        y = einsum(
            self.attention(x),
            v,
            "b head high wide i j, b head d high wide j -> b head d high wide i",
        )
        y = rearrange(
            y, "b head d high wide (y x) -> b (head d) (high y) (wide x)", y=self.block
        )
        return F.max_pool2d(self.norm(y[..., :h, :w]), self.block, ceil_mode=True)


def parameters(channels: int, window: int) -> int:
    """How many numbers a StandAloneSelfAttention2d learns: three matrices and two tables."""
    return 3 * channels**2 + window * channels


def multiply_adds(channels: int, window: int, relative: bool = True) -> int:
    """Multiply-adds a pixel: three projections; q · k, weights times v and, if counted,
    q · r."""
    products = 3 if relative else 2
    return 3 * channels**2 + products * window**2 * channels


def largest_window(channels: int, kernel: int = 3) -> int:
    """The largest odd window for which attention costs no more than a kernel x kernel
    convolution, q · r not counted; 0 when even a single pixel costs more."""
    square = (kernel**2 - 3) * channels // 2  # 3 c² + 2 window² c <= kernel² c²
    if square < 1:
        return 0
    root = math.isqrt(square)
    return root if root % 2 else root - 1


def _places(attention: StandAloneSelfAttention2d | AttentionStem) -> None:
    for table in (attention.rows, attention.columns):
        nn.init.normal_(table, std=(2 * table.shape[-1]) ** -0.5)


def _places_and_mixtures(values: SpatialValues) -> None:
    for table in (values.rows, values.columns):
        nn.init.normal_(table, std=table.shape[-1] ** -0.5)
    nn.init.normal_(values.mixture)


def _fit(q, k, v, rows, columns, window: int) -> None:
    given = checks.local(q, k, v, rows, columns, window, free="b head dy dx")
    checks.alike(*zip(("q", "k", "v", "rows", "columns"), given, strict=True))


def _or_empty(make: Callable) -> Callable:
    """What a map without a pixel reads: nothing."""

    @wraps(make)
    def attention(q, k, v, rows, columns, window):
        if 0 in q.shape[-2:]:
            return checks.local(q, k, v, rows, columns, window, free="b head dy dx")[2].clone()
        return make(q, k, v, rows, columns, window)

    return attention


windows = checks.numbers(window=INTEGER)(windows)
local_weights = checks.numbers(window=INTEGER)(local_weights)
inside = checks.numbers(height=FROM_0, width=FROM_0, window=COUNT)(inside)
local_attention = checks.before(_fit)(_or_empty(local_attention))
local_attention = checks.numbers(window=INTEGER)(local_attention)

equip(StandAloneSelfAttention2d, reset=_places, window=INTEGER)  # odd: it asks itself
equip(SpatialValues, reset=_places_and_mixtures)
equip(AttentionStem, reset=_places)
