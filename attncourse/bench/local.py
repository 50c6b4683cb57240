"""Local 2D attention in a window of 7, with relative rows and columns.

unfold       windows copied, multiplied and summed, as the popular repositories have it
convolution  3 x 3, of equal width
flex, natten   a window alone, no positions; natten's window moves inwards at the borders
layer, halonet   with projections; halonet: blocks of 7 x 7 with a halo of 3
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.bench.measuring import Absent, Case, Setting, Way, asked, layer, runs_here
from attncourse.bench.reporting import Figure
from solutions import stand_alone
from solutions.fast import local

WHAT = "local 2D attention, window 7, relative rows and columns"
WINDOW = 7
FIGURE = Figure(
    "pixels (64 channels, 4 heads)",
    ("unfold", "reference", "blocked", "native", "triton", "convolution", "flex"),
    ours="auto",
    over=("convolution",),
)
# b c h w heads; the first sizes are on the figure
SHOWN = ((2, 64, 14, 14, 4), (2, 64, 28, 28, 4), (2, 64, 56, 56, 4))
SMALL = (*SHOWN, (1, 128, 56, 56, 8), (1, 256, 28, 28, 8))
FULL = (*SMALL, (8, 64, 28, 28, 4), (1, 256, 56, 56, 8), (1, 512, 14, 14, 8))
TINY = ((1, 8, 6, 5, 2),)


def cases(setting: Setting) -> list[Case]:
    """From few pixels to many; peers at one size, or with `full` at all."""
    sizes = TINY if setting.tiny else FULL if setting.full else SMALL
    if setting.device != "cpu" and not setting.tiny:
        sizes = [(16 * b, *rest) for b, *rest in sizes]
    peers = {size for size in sizes if setting.full or size == sizes[len(sizes) > 1]}
    if setting.device != "cpu":
        peers = set(sizes)
    return [_case(size, setting, size in peers, k) for k, size in enumerate(sizes)]


def _case(size: tuple[int, ...], setting: Setting, peers: bool, number: int) -> Case:
    b, c, h, w, heads = size
    d = c // heads

    def attention():
        shapes = [(b, heads, d, h, w)] * 3 + [(heads, WINDOW, d // 2)] * 2
        return [setting.randn(*shape) / math.sqrt(d) for shape in shapes]

    pairs = b * heads * int(stand_alone.inside(h, w, WINDOW).sum())
    products, places = 2 * pairs * d, b * c * h * w * WINDOW
    projections = 3 * b * c * c * h * w

    def ours(implementation: str) -> Way:
        runs_here(implementation, setting)
        call = partial(
            lambda *x, name: local.local_attention(*x, WINDOW, name), name=implementation
        )
        return Way(call, attention(), products + places)

    def picture():
        return setting.randn(b, c, h, w)

    def whole() -> Way:
        module = local.StandAloneSelfAttention2d(c, heads=heads, window=WINDOW)
        return layer(setting.here(module), picture(), products + places + projections)

    def convolution() -> Way:
        weight = setting.randn(c, c, 3, 3) / math.sqrt(9 * c)
        return Way(partial(F.conv2d, padding=1), [picture(), weight], 9 * b * c * c * h * w)

    ways: dict[str, Callable[[], Way]] = {
        "convolution": convolution,
        "unfold": lambda: Way(unfold, attention(), products + places),
    }
    for name in local.IMPLEMENTATIONS:
        ways[name] = partial(ours, name)
    if peers:
        ways |= {
            "layer": whole,
            "halonet": lambda: layer(setting.here(_halonet(c, heads)), picture()),
            "flex": lambda: _flex(attention()[:3], setting, products),
            "natten": lambda: _natten(attention()[:3], setting, products),
        }
    return Case(
        f"{b} x {c} x {h} x {w}, {heads} heads",
        dict(zip(("b", "c", "h", "w", "heads"), size, strict=True)),
        ways,
        over=("convolution", "unfold", "natten", "flex", "halonet"),
        alike=("unfold", *local.IMPLEMENTATIONS),
        auto=lambda: asked(local.choose, attention()[0], WINDOW, attention()[2]),
        at=h * w if number < len(SHOWN) else None,
        core=h >= 28 and (number in (1, 3, 4) or setting.full),
        spare=("flex", "natten"),
    )


def unfold(q, k, v, rows, columns):
    """Windows are copied, multiplied and summed."""
    near = stand_alone.windows(k, WINDOW)
    place = stand_alone.relative_embeddings(rows, columns)
    place = rearrange(place, "head d dy dx -> head d 1 1 dy dx")
    keys = rearrange(near + place, "b head d h w dy dx -> b head d h w (dy dx)")
    scores = (rearrange(q, "... h w -> ... h w 1") * keys).sum(2)
    seen = stand_alone.inside(*q.shape[-2:], WINDOW).to(q.device)
    seen = rearrange(seen, "h w dy dx -> h w (dy dx)")
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    values = rearrange(
        stand_alone.windows(v, WINDOW), "b head d h w dy dx -> b head d h w (dy dx)"
    )
    return (rearrange(weights, "b head h w near -> b head 1 h w near") * values).sum(-1)


def _halonet(c: int, heads: int) -> torch.nn.Module:
    from halonet_pytorch import HaloAttention

    return HaloAttention(dim=c, block_size=7, halo_size=3, dim_head=c // heads, heads=heads)


def flex(setting: Setting) -> Callable:
    """FlexAttention, compiled for the size that it will be called with first."""
    if setting.tiny and setting.device == "cpu":
        raise Absent("it is compiled, which takes longer than tiny sizes are for")
    from torch.nn.attention.flex_attention import flex_attention

    torch._dynamo.reset()
    return torch.compile(flex_attention, dynamic=False)


def _flex(qkv, setting: Setting, multiply_adds: int) -> Way:
    compiled = flex(setting)
    from torch.nn.attention.flex_attention import create_block_mask

    h, w = qkv[0].shape[-2:]
    reach = WINDOW // 2

    def near(_, __, i, j):
        return ((i // w - j // w).abs() <= reach) & ((i % w - j % w).abs() <= reach)

    mask = create_block_mask(near, None, None, h * w, h * w, device=setting.device)
    qkv = [rearrange(x, "b head d h w -> b head (h w) d").contiguous() for x in qkv]
    return Way(
        lambda q, k, v: compiled(q, k, v, block_mask=mask, scale=1.0),
        qkv,
        multiply_adds,
        no_way_back="FlexAttention has none on a CPU" if setting.device == "cpu" else "",
        compiled=True,
    )


def _natten(qkv, setting: Setting, multiply_adds: int) -> Way:
    if setting.tiny and setting.device == "cpu":
        raise Absent("it is compiled, which takes longer than tiny sizes are for")
    from natten import na2d

    qkv = [rearrange(x, "b head d h w -> b h w head d").contiguous() for x in qkv]
    return Way(
        lambda q, k, v: na2d(q, k, v, kernel_size=WINDOW, scale=1.0),
        qkv,
        multiply_adds,
        no_way_back="natten has none on a CPU" if setting.device == "cpu" else "",
        compiled=True,
    )
