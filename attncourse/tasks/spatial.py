"""Made-up and real tasks in which it matters where one looks, and the small networks for
them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.tasks.pictures import digits

PLANES = 4  # planes of signs, and as many planes of cues
QUADRANT = 8  # pixels across
CORNER = 3  # how far the marks stand from the place they mark


class Cued(NamedTuple):
    """Signs, and cues for which one counts.

    image   b c h w: four planes of signs, then four planes of cues
    answer  b, 1 where the sign that counts is +, else 0
    plane   b, the plane of the sign that counts, from 0 to 3
    place   b 2, its row and column
    peak    b, True where the plane is told by a peak, False where by brightness
    """

    image: Float[Tensor, "b c h w"]
    answer: Int[Tensor, " b"]
    plane: Int[Tensor, " b"]
    place: Int[Tensor, "b 2"]
    peak: Bool[Tensor, " b"]


def cued_signs(examples: int, places: int = 4) -> Cued:
    """Which sign stands in the cued plane at the marked place?

    Each plane of signs has one sign, + or -, at each of `places` places, 1 or 4, the same in
    all planes; each place lies near the middle of a quadrant of its own. The *place* that
    counts has a mark at each corner of the 7 x 7 pixels around it, in all planes of cues. The
    *plane* that counts has a plane of cues that differs from the others: it is brighter
    everywhere, with the same largest value, or it has one peak, with the same mean."""
    if places not in (1, 4):
        raise ValueError(f"{places=} is neither 1 nor 4")
    b = torch.arange(examples)
    side = QUADRANT * (2 if places == 4 else 1)
    corner = torch.tensor([(i, j) for i in (0, QUADRANT) for j in (0, QUADRANT)][:places])
    where = corner + torch.randint(CORNER, QUADRANT - CORNER, (examples, places, 2))
    signs = torch.randint(2, (examples, PLANES, places)) * 2 - 1
    image = torch.zeros(examples, 2 * PLANES, side, side)
    rows, columns = rearrange(where, "b place rc -> rc b 1 place")
    example, plane = rearrange(b, "b -> b 1 1"), rearrange(torch.arange(PLANES), "c -> 1 c 1")
    image[example, plane, rows, columns] = signs.float()

    chosen = torch.randint(places, (examples,))
    place = where[b, chosen]
    for down in (-CORNER, CORNER):
        for across in (-CORNER, CORNER):
            image[b, PLANES:, place[:, 0] + down, place[:, 1] + across] = 1

    plane, peak = torch.randint(PLANES, (examples,)), torch.rand(examples) < 0.5
    cue = image[b, PLANES + plane]
    bright = cue.clamp(min=0.5)
    spot = torch.randint(side, (2, examples))
    peaked = cue.clone()
    peaked[b, spot[0], spot[1]] = 3
    surplus = reduce(peaked - cue, "b h w -> b 1 1", "sum") / (side**2 - 1)
    low = peaked - surplus
    low[b, spot[0], spot[1]] = 3
    image[b, PLANES + plane] = torch.where(rearrange(peak, "b -> b 1 1"), low, bright)
    answer = (signs[b, plane, chosen] > 0).long()
    return Cued(image, answer, plane, place, peak)


def vote(signs: int) -> float:
    """How often the majority of so many signs agrees with one of them; a tie is a coin toss.

    The others balance exactly in one way out of many; then the one decides, else they do.
    """
    if signs < 1:
        raise ValueError(f"{signs=} must be at least 1")
    return 0.5 + math.comb(signs - 1, (signs - 1) // 2) / 2**signs


class Reader(nn.Module):
    """Gates all planes, adds up each plane of signs, reads the answer off linearly."""

    def __init__(self, gate: nn.Module):
        super().__init__()
        self.gate, self.read = gate, nn.Linear(PLANES, 2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b two"]:
        """A score for - and one for +."""
        return self.read(reduce(self.gate(x)[:, :PLANES], "b c h w -> b c", "sum"))


def train_reader(
    make: Callable[[], nn.Module],
    seed: int,
    places: int = 4,
    steps: int = 600,
    rate: float = 2e-2,
) -> Reader:
    """Make a gate and teach it, with its reader, to name the sign."""
    torch.manual_seed(seed)
    reader = Reader(make())
    optimizer = torch.optim.Adam(reader.parameters(), lr=rate)
    for _ in range(steps):
        image, answer, *_ = cued_signs(32, places)
        optimizer.zero_grad()
        F.cross_entropy(reader(image), answer).backward()
        optimizer.step()
    return reader.eval()


@torch.no_grad()
def accuracy(
    reader: nn.Module, places: int = 4, examples: int = 2000, images: int = 1000
) -> float:
    """The fraction of signs named rightly, on images that do not depend on the caller.

    images  which images: another number gives others, as for choosing a learning rate
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(images + places)
        image, answer, *_ = cued_signs(examples, places)
    return (reader(image).argmax(-1) == answer).float().mean().item()


class Clutter(NamedTuple):
    """Written digits, each somewhere in a larger image full of pieces of other digits.

    image  b 1 h w, grey from 0 (paper) to 1 (ink), 16 x 24 pixels
    label  b, from 0 to 9
    box    b h w, True on the 8 x 8 pixels of the digit
    """

    image: Float[Tensor, "b 1 h w"]
    label: Int[Tensor, " b"]
    box: Bool[Tensor, "b h w"]


def clutter(examples: int, test: bool = False, pieces: int = 8) -> Clutter:
    """Digits of scikit-learn in clutter, drawn anew at each call.

    A piece is a quarter of a digit, 4 x 4 pixels, somewhere; the digit lies on top of them.
    """
    source, labels = digits(test)
    h, w, side, quarter = 16, 24, 8, 4
    image = torch.zeros(examples, h, w)
    b = rearrange(torch.arange(examples), "b -> b 1 1")

    def spots(size: int) -> tuple[Tensor, Tensor]:
        top, left = (torch.randint(n - size + 1, (examples,)) for n in (h, w))
        grid = torch.arange(size)
        return (
            rearrange(top, "b -> b 1 1") + rearrange(grid, "h -> 1 h 1"),
            rearrange(left, "b -> b 1 1") + rearrange(grid, "w -> 1 1 w"),
        )

    quarters = rearrange(source, "b 1 (i h) (j w) -> (b i j) h w", i=2, j=2)
    for _ in range(pieces):
        image[b, *spots(quarter)] = quarters[torch.randint(len(quarters), (examples,))]
    which = torch.randint(len(source), (examples,))
    digit, place = rearrange(source[which], "b 1 h w -> b h w"), spots(side)
    image[b, *place] = digit
    box = torch.zeros(examples, h, w, dtype=torch.bool)
    box[b, *place] = True
    return Clutter(rearrange(image, "b h w -> b 1 h w"), labels[which], box)


class Recogniser(nn.Module):
    """Three convolutions, attention behind the last, the mean of each map, scores.

    attention  from channels to a module
    planes     of the image: 1 where it is grey, 3 where it is in colour
    """

    def __init__(self, attention: Callable[[int], nn.Module] = nn.Identity, planes: int = 1):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(planes, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            attention(32),
        )
        self.read = nn.Linear(32, 10)

    def head(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Scores out of the maps: their means, read linearly."""
        return self.read(reduce(maps, "b c h w -> b c", "mean"))

    def forward(self, x: Float[Tensor, "b planes h w"]) -> Float[Tensor, "b classes"]:
        """A score for each class."""
        return self.head(self.features(x))


def train_recogniser(
    attention: Callable[[int], nn.Module],
    seed: int,
    steps: int = 250,
    draw: Callable[[int], tuple[Tensor, ...]] = clutter,
) -> Recogniser:
    """Make a recogniser and teach it what `draw` draws, images and labels, so many at a time.

    Those are digits in clutter where nothing else is said.
    """
    torch.manual_seed(seed)
    net = Recogniser(attention, planes=draw(1)[0].shape[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    for _ in range(steps):
        image, label, *_ = draw(64)
        optimizer.zero_grad()
        F.cross_entropy(net(image), label).backward()
        optimizer.step()
        slower.step()
    return net.eval()


def share_inside(
    maps: Float[Tensor, "b h w"], box: Bool[Tensor, "b i j"]
) -> Float[Tensor, " b"]:
    """How much of each map, which is nowhere negative, lies in the box; 0 for an empty map."""
    h, w = maps.shape[-2:]
    cells = reduce(box.to(maps), "b (h p) (w q) -> b h w", "mean", h=h, w=w)
    whole = reduce(maps, "b h w -> b", "sum")
    return reduce(maps * cells, "b h w -> b", "sum") / whole.clamp(min=1e-12)
