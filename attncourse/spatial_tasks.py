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
    make: Callable[[], nn.Module], seed: int, places: int = 4, steps: int = 600
) -> Reader:
    """Make a gate and teach it, with its reader, to name the sign."""
    torch.manual_seed(seed)
    reader = Reader(make())
    optimizer = torch.optim.Adam(reader.parameters(), lr=2e-2)
    for _ in range(steps):
        image, answer, *_ = cued_signs(32, places)
        optimizer.zero_grad()
        F.cross_entropy(reader(image), answer).backward()
        optimizer.step()
    return reader.eval()


@torch.no_grad()
def accuracy(reader: nn.Module, places: int = 4, examples: int = 2000) -> float:
    """The share of signs named rightly, on images that do not depend on the caller."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 + places)
        image, answer, *_ = cued_signs(examples, places)
    return (reader(image).argmax(-1) == answer).float().mean().item()
