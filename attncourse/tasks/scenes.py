"""Scenes to be segmented in which no pixel can be named from its surroundings alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.non_local import conv_norm_relu

KINDS = 3  # colours of countries, and as many classes
MARGIN = 5  # columns left of the countries; the legend stands in the first two
COLOURS = torch.tensor([[0.85, 0.30, 0.25], [0.30, 0.65, 0.35], [0.30, 0.45, 0.80]])
SYMBOLS = torch.tensor([[0.10, 0.10, 0.10], [0.95, 0.80, 0.20], [0.75, 0.45, 0.75]])
NOISE = 0.05


class Scenes(NamedTuple):
    """Maps with a legend.

    image  b 3 h w, red, green and blue: countries in three colours, and left of them the
           legend, three pairs of a colour and the symbol of a class
    truth  b h w, the class that the legend gives to the colour of each country; -1 elsewhere
    entry  b k 2, row and column where colour k stands in the legend: for drawing, not for
           solving
    """

    image: Float[Tensor, "b 3 h w"]
    truth: Int[Tensor, "b h w"]
    entry: Int[Tensor, "b kinds 2"]


def maps(examples: int, height: int = 12, width: int = 18, countries: int = 8) -> Scenes:
    """Maps whose legend is drawn anew for each: which colour means what, and in which row.

    Who does not see the legend can do no better than guess: one country in three.
    Raises ValueError where legend or countries find no room.
    """
    if height < 3 * KINDS or width <= MARGIN:
        raise ValueError(
            f"{height} x {width} pixels; a map needs at least {3 * KINDS} x {MARGIN + 1}"
        )
    b = torch.arange(examples)
    colour = _countries(examples, height, width - MARGIN, countries)
    meaning = torch.randint(KINDS, (examples, KINDS))  # of each colour, a class
    slot = torch.rand(examples, KINDS).argsort(-1)
    rows = slot * (height // KINDS) + torch.randint(height // KINDS - 1, (examples, KINDS))
    image = torch.ones(examples, height, width, 3)
    image[:, :, MARGIN:] = COLOURS[colour]
    for row in (rows, rows + 1):
        image[b[:, None], row, 0] = COLOURS
        image[b[:, None], row, 1] = SYMBOLS[meaning]
    image = image + NOISE * torch.randn(image.shape)
    truth = torch.full((examples, height, width), -1)
    truth[:, :, MARGIN:] = meaning[rearrange(b, "b -> b 1 1"), colour]
    entry = torch.stack([rows, torch.zeros_like(rows)], dim=-1)
    return Scenes(rearrange(image, "b h w c -> b c h w"), truth, entry)


def _countries(examples: int, height: int, width: int, countries: int) -> Int[Tensor, "b h w"]:
    """The colour of each pixel: that of the nearest of some capitals."""
    size = torch.tensor([height, width])
    capital = torch.rand(examples, countries, 2) * size
    pixel = torch.cartesian_prod(torch.arange(height), torch.arange(width)) + 0.5
    nearest = torch.cdist(pixel.expand(examples, -1, -1), capital).argmin(-1)
    colour = torch.randint(KINDS, (examples, countries)).gather(1, nearest)
    return rearrange(colour, "b (h w) -> b h w", h=height)


class Segmenter(nn.Module):
    """A small convolutional network that names the class of every pixel.

    middle  a module between its convolutions that keeps the shape, such as attention
    """

    def __init__(self, middle: nn.Module | None = None, channels: int = 32):
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm_relu(3, channels), conv_norm_relu(channels, channels)
        )
        self.middle = nn.Identity() if middle is None else middle
        self.head = nn.Sequential(
            conv_norm_relu(channels, channels), nn.Conv2d(channels, KINDS, 1)
        )

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes h w"]:
        """Scores of the classes for each pixel."""
        return self.head(self.middle(self.stem(x)))


def train(
    make: Callable[[], nn.Module], seed: int, steps: int = 300, lr: float = 3e-3
) -> nn.Module:
    """Make a network and teach it to read maps; what comes back is in evaluation mode.

    The losses of a network with several outputs are added.
    """
    torch.manual_seed(seed)
    network = make()
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        scenes = maps(16)
        outputs = network(scenes.image)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = sum(F.cross_entropy(y, scenes.truth, ignore_index=-1) for y in outputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def unseen(examples: int = 200) -> Scenes:
    """Maps to be tested on, always the same; the random numbers of the caller are left
    alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000)
        return maps(examples)


@torch.no_grad()
def named(network: nn.Module, image: Float[Tensor, "b 3 h w"]) -> Int[Tensor, "b h w"]:
    """The class of the highest score for each pixel; of the first output, if there are
    several."""
    scores = network(image)
    return (scores[0] if isinstance(scores, tuple) else scores).argmax(1)


def accuracy(predicted: Int[Tensor, "b h w"], truth: Int[Tensor, "b h w"]) -> float:
    """The share of pixels of the countries that are named rightly."""
    counted = truth >= 0
    return (predicted == truth)[counted].float().mean().item()
