"""A task in which only the offset counts, small networks for it, and measuring honestly."""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.tasks.pictures import digits
from solutions.positional import CoordConv2d, sinusoidal_2d
from solutions.relative_2d import AttentionAugmentedConv2d, relative_weights

HEIGHT, WIDTH, COLOURS = 6, 8, 4
HEADS = 4
DOWN, RIGHT = 1, 2  # where the pixel is whose colour is asked for
SEEN, UNSEEN = (0, 1, 4, 5), (2, 3)  # columns of the queries, in training and afterwards


def mosaics(
    examples: int,
) -> tuple[Float[Tensor, "b colour h w"], Int[Tensor, "b h w"]]:
    """Pictures of 6 x 8 pixels in which each of four colours has exactly twelve, and which
    colour each pixel has.

    Who does not know where the pixels are can tell the colour at an offset in 12 of 47 cases.
    """
    pixels = repeat(torch.arange(COLOURS), "colour -> b (colour n)", b=examples, n=12)
    order = torch.rand(examples, HEIGHT * WIDTH).argsort(-1)
    colour = rearrange(pixels.gather(-1, order), "b (h w) -> b h w", h=HEIGHT)
    return rearrange(F.one_hot(colour, COLOURS).float(), "b h w c -> b c h w"), colour


class Sinusoidal(nn.Module):
    """Adds to each pixel the waves of its row and column.

    origin  the row and column of the first pixel in a larger picture
    """

    def __init__(self):
        super().__init__()
        self.origin = 0, 0

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The maps with their places added."""
        _, c, *size = x.shape
        places = (o + torch.arange(float(n)) for o, n in zip(self.origin, size, strict=True))
        return x + rearrange(sinusoidal_2d(*places, c), "h w c -> c h w").to(x)


class Learned(nn.Module):
    """Adds to each pixel a vector that is learned for its place."""

    def __init__(self, channels: int, height: int, width: int):
        super().__init__()
        self.table = nn.Parameter(torch.randn(channels, height, width))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The maps with their places added."""
        return x + self.table


POSITIONS = ("none", "sinusoidal", "learned", "CoordConv", "relative")


class Offset(nn.Module):
    """A 1x1 convolution, places in one of five ways, one layer of attention, a 1x1 readout."""

    def __init__(self, positions: str, channels: int = 32):
        super().__init__()
        if positions not in POSITIONS:
            raise ValueError(f"{positions=} is none of {', '.join(POSITIONS)}")
        self.embed = nn.Conv2d(COLOURS, channels, 1)
        places = {
            "sinusoidal": Sinusoidal,
            "learned": lambda: Learned(channels, HEIGHT, WIDTH),
            "CoordConv": lambda: CoordConv2d(channels, channels, 1),
        }
        self.places = places.get(positions, nn.Identity)()
        size = (HEIGHT, WIDTH) if positions == "relative" else None
        self.attend = AttentionAugmentedConv2d(
            channels, channels, 1, 1, 1, heads=HEADS, size=size, implementation="skew"
        )
        self.name = nn.Conv2d(channels, COLOURS, 1)

    def forward(self, x: Float[Tensor, "b colour h w"]) -> Float[Tensor, "b colour h w"]:
        """For each pixel the scores of the colours."""
        return self.name(self.attend(self.places(self.embed(x))))


def asked(x: Tensor, columns: Sequence[int]) -> Tensor:
    """The queries in these columns that have a pixel at the offset."""
    return x[..., : HEIGHT - DOWN, list(columns)]


def answers(colour: Tensor, columns: Sequence[int]) -> Tensor:
    """The colours at the offset from those queries."""
    return colour[..., DOWN:, [w + RIGHT for w in columns]]


def train_offset(positions: str, seed: int, steps: int = 250, lr: float = 1e-2) -> Offset:
    """Teach a network the colour one below and two to the right, in the seen columns alone."""
    torch.manual_seed(seed)
    network = Offset(positions)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        x, colour = mosaics(32)
        loss = F.cross_entropy(asked(network(x), SEEN), answers(colour, SEEN))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@torch.no_grad()
def offset_accuracy(network: Offset, columns: Sequence[int], examples: int = 500) -> float:
    """The share of colours named rightly, on pictures that do not depend on the caller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000)
        x, colour = mosaics(examples)
    named = asked(network(x), columns).argmax(1)
    return (named == answers(colour, columns)).float().mean().item()


@torch.no_grad()
def moved(
    network: Offset, picture: Float[Tensor, "b colour h w"], by: tuple[int, int]
) -> float:
    """How far the scores of a pair change when the frame moves `by` rows and columns.

    Of pairs in both frames; each query's scores up to a constant, which a softmax does not see.
    """
    down, right = by
    h, w = picture.shape[-2] - down, picture.shape[-1] - right
    scores = []
    for top, left in ((0, 0), by):
        x = network.places(network.embed(picture[..., top : top + h, left : left + w]))
        q, k, _ = network.attend.project(x)
        log = relative_weights(q, k, *network.attend.tables(h, w)).log()
        scores.append(rearrange(log, "b head (h w) (y x) -> b head h w y x", h=h, y=h))
    first = scores[0][:, :, down:, right:, down:, right:]
    second = scores[1][:, :, : h - down, : w - right, : h - down, : w - right]
    apart = first - second
    return (
        (apart - reduce(apart, "b head h w y x -> b head h w 1 1", "mean")).abs().max().item()
    )


class Small(nn.Module):
    """Two convolutions for written digits; the second gives a share to attention."""

    def __init__(self, share: float, positions: bool = True):
        super().__init__()
        size = (8, 8) if positions else None
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = AttentionAugmentedConv2d(16, 32, 3, share, share, 2, size)
        self.bn1, self.bn2 = nn.BatchNorm2d(16), nn.BatchNorm2d(32)
        self.name = nn.Linear(32, 10)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b digit"]:
        """Scores of the ten digits."""
        x = self.bn1(self.first(x)).relu()
        x = self.bn2(self.second(x)).relu()
        return self.name(reduce(x, "b c h w -> b c", "mean"))


def train_small(
    share: float, seed: int, epochs: int = 6, positions: bool = True
) -> tuple[nn.Module, float]:
    """A network taught on the digits that ship with scikit-learn, and its share of right
    answers on the unseen ones."""
    torch.manual_seed(seed)
    network, data, test = Small(share, positions), digits(), digits(test=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    batches = -(-len(data.label) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs * batches)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.label)).split(64):
            loss = F.cross_entropy(network(data.image[batch]), data.label[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        right = (network(test.image).argmax(-1) == test.label).float().mean().item()
    return network, right


def alternate(
    calls: Mapping[str, Callable[[], object]], rounds: int = 7
) -> dict[str, list[float]]:
    """Seconds for each call in each round, in order of size; all take turns in a round.

    What disturbs the machine for a while then disturbs them alike. One round before does not
    count.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - start)
    return {name: sorted(times[1:]) for name, times in spent.items()}
