"""Who reads whom in windows, a picture in which every pixel must look elsewhere, and digits by
a network of two layers."""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.tasks.pictures import digits
from solutions.positional import sinusoidal_2d
from solutions.stand_alone import StandAloneSelfAttention2d

POSITIONS = ("relative", "absolute", "none", "place alone")
KINDS = ("stand-alone", "neighbourhood", "blocks", "halo")


# ---------------------------------------------------------------- who reads whom


def readers(kind: str, height: int, width: int, window: int) -> Bool[Tensor, "h w y x"]:
    """True where pixel h w reads pixel y x.

    stand-alone    the window around each pixel, as much of it as lies in the picture
    neighbourhood  the window is moved until it lies in the picture (NATTEN)
    blocks         the block of window x window pixels that the pixel lies in (Swin)
    halo           the block of half the window, rounded up, and a rim of half the window,
                   rounded down (HaloNet: as many keys as 3/2 windows across)
    Raises ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind=} is none of {', '.join(KINDS)}")
    rows, columns = (_along(kind, n, window) for n in (height, width))
    return rearrange(rows, "h y -> h 1 y 1") & rearrange(columns, "w x -> 1 w 1 x")


def _along(kind: str, length: int, window: int) -> Bool[Tensor, "i j"]:
    """The same on one axis."""
    i, j = torch.arange(length)[:, None], torch.arange(length)
    reach = window // 2
    if kind == "stand-alone":
        return (j - i).abs() <= reach
    if kind == "neighbourhood":
        first = (i - reach).clamp(0, max(length - window, 0))
        return (j >= first) & (j < first + window)
    if kind == "blocks":
        return i // window == j // window
    block = window - reach
    first = i // block * block
    return (j >= first - reach) & (j < first + block + reach)


# ---------------------------------------------------------------- layers to compare


class Placed(nn.Module):
    """Adds to each pixel where it is in the picture, then attends."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e i j"]:
        c, h, w = x.shape[1:]
        where = sinusoidal_2d(torch.arange(h).to(x), torch.arange(w).to(x), c)
        return self.layer(x + rearrange(where, "h w c -> c h w"))


def attention(
    channels: int, window: int = 5, position: str = "relative", heads: int = 2
) -> nn.Module:
    """Stand-alone attention that knows of places in one of four ways.

    relative     q · k + q · r
    absolute     q · k, with sinusoidal positions added to the pixels
    none         q · k
    place alone  q · r
    Raises ValueError for another one.
    """
    if position not in POSITIONS:
        raise ValueError(f"{position=} is none of {', '.join(POSITIONS)}")
    layer = StandAloneSelfAttention2d(channels, heads, window)
    if position in ("absolute", "none"):
        for table in (layer.rows, layer.columns):
            nn.init.zeros_(table).requires_grad_(False)
    if position == "place alone":
        nn.init.zeros_(layer.key.weight).requires_grad_(False)
    return Placed(layer) if position == "absolute" else layer


# ---------------------------------------------------------------- look over there


class Pointer(nn.Module):
    """A grey picture to another: 16 channels for each pixel, one layer, one number for each."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.embed, self.layer = nn.Conv2d(1, 16, 1), layer
        self.read = nn.Conv2d(16, 1, 1)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        return self.read(self.layer(self.embed(x)))


def elsewhere(x: Float[Tensor, "b 1 h w"], dy: int, dx: int) -> Float[Tensor, "b 1 h w"]:
    """For each pixel the value of the one dy below and dx to the right; around the edges it
    wraps."""
    return x.roll((-dy, -dx), (-2, -1))


def middle(x: Float[Tensor, "b 1 h w"], margin: int = 3) -> Float[Tensor, "b 1 y x"]:
    """The pixels whose windows meet no edge."""
    return x[..., margin:-margin, margin:-margin]


def train_pointer(
    make: Callable[[], nn.Module],
    seed: int,
    dy: int = -1,
    dx: int = 2,
    steps: int = 200,
    size: int = 12,
) -> Pointer:
    """Make a layer of 16 channels and teach it to say what stands dy below and dx to the right,
    in pictures of independent normal pixels."""
    torch.manual_seed(seed)
    pointer = Pointer(make())
    taught = [p for p in pointer.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(taught, lr=1e-2)
    for _ in range(steps):
        x = torch.randn(8, 1, size, size)
        loss = F.mse_loss(middle(pointer(x)), middle(elsewhere(x, dy, dx)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return pointer


@torch.no_grad()
def explained(pointer: nn.Module, dy: int = -1, dx: int = 2, size: int = 12) -> float:
    """The share of the variance that it explains, on pictures that do not depend on the
    caller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000)
        x = torch.randn(64, 1, size, size)
    there = middle(elsewhere(x, dy, dx))
    error = (middle(pointer(x)) - there).square().mean() / there.square().mean()
    return 1 - error.item()


# ---------------------------------------------------------------- digits


class DigitNet(nn.Module):
    """Two layers on 8 x 8 and 4 x 4 pixels, each added to what comes in; no stem but a 1 x 1.

    layers  from channels to a module, one for each layer
    """

    def __init__(self, *layers: Callable[[int], nn.Module], channels: int = 16):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 1)
        self.layers = nn.ModuleList(make(channels) for make in layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in layers)
        self.name = nn.Linear(channels, 10)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b classes"]:
        x = self.stem(x)
        for n, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = F.avg_pool2d(x, 2) if n else x
            x = (x + norm(layer(x))).relu()
        return self.name(x.mean((-2, -1)))


def convolution(channels: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(channels, channels, 3, padding=1)


def train_digits(
    *layers: Callable[[int], nn.Module], seed: int = 0, examples: int = 200, epochs: int = 15
) -> float:
    """Teach a `DigitNet` the first digits; returns the share of the 450 unseen it names."""
    torch.manual_seed(seed)
    net, (image, label), unseen = DigitNet(*layers), digits(), digits(test=True)
    image, label = image[:examples], label[:examples]
    taught = [p for p in net.parameters() if p.requires_grad]
    steps = epochs * (examples // 20)
    optimizer = torch.optim.Adam(taught)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, steps)
    for _ in range(epochs):
        for batch in torch.randperm(examples).split(20)[: examples // 20]:
            loss = F.cross_entropy(net(image[batch]), label[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        named = net.eval()(unseen.image).argmax(-1)
    return (named == unseen.label).float().mean().item()
