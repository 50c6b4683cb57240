"""Tasks that fixed weights for the planes of an image cannot solve, and gains of its own"
" can."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.tasks.pictures import Digits, digits
from solutions.channel import squeeze


class Cued(NamedTuple):
    """Images of 2 k planes, what is to be answered, and which plane was bright.

    image   b c h w with c = 2 k, in units of the noise
    answer  b, 0 or 1
    cue     b, from 0 to k - 1
    """

    image: Float[Tensor, "b c h w"]
    answer: Int[Tensor, " b"]
    cue: Int[Tensor, " b"]


def cue_task(examples: int, k: int = 4, height: int = 5, width: int = 7) -> Cued:
    """One of the first k planes is bright, the cue. If it is plane i, the answer is the sign of
    plane k + i; the signs of the others distract.

    Who weighs the planes alike in all images can take a vote: right in 11 of 16, for k = 4.
    """
    cue, sign = torch.randint(k, (examples,)), 2 * torch.randint(2, (examples, k)) - 1
    level = torch.cat([F.one_hot(cue, k), sign], dim=1)
    image = rearrange(level, "b c -> b c 1 1") + torch.randn(examples, 2 * k, height, width)
    return Cued(image, (sign[torch.arange(examples), cue] + 1) // 2, cue)


def photographs(found: Digits, negative: Int[Tensor, " b"]) -> Float[Tensor, "b 6 h w"]:
    """Each digit photographed in colour, under a lamp of a colour drawn at random; where
    `negative` is 1, as the negative of the film.

    Three planes hold red, green and blue from -1 (dark) to 1, the other three minus these.
    """
    lamp = 0.5 + 0.5 * torch.rand(len(negative), 3)
    colour = 2 * rearrange(lamp, "b rgb -> b rgb 1 1") * found.image - 1
    sign = rearrange(1 - 2 * negative, "b -> b 1 1 1")
    return torch.cat([sign * colour, -sign * colour], dim=1)


class PlaneReader(nn.Module):
    """Scores that are linear in the mean of the gated planes: a gain for each plane, a weight
    for each pixel."""

    def __init__(self, gate: nn.Module, pixels: int = 64, classes: int = 10):
        super().__init__()
        self.gate, self.read = gate, nn.Linear(pixels, classes)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """One score for each class."""
        return self.read(reduce(self.gate(x), "b c h w -> b (h w)", "mean"))


class CueReader(nn.Module):
    """Scores that are linear in the means of the gated planes."""

    def __init__(self, gate: nn.Module, planes: int = 8):
        super().__init__()
        self.gate, self.read = gate, nn.Linear(planes, 2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b answer"]:
        """One score for each answer."""
        return self.read(squeeze(self.gate(x)))


def cues(steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the cue task, drawn afresh."""
    for _ in range(steps):
        drawn = cue_task(128)
        yield drawn.image, drawn.answer


def negatives(steps: int, share: float = 0.5) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of digits to train on, of which a share are negatives, by lot."""
    found = digits()
    for _ in range(steps):
        chosen = torch.randint(len(found.label), (128,))
        batch = Digits(found.image[chosen], found.label[chosen])
        lot = (torch.rand(128) < share).long()
        yield photographs(batch, lot), batch.label


def unseen_negatives(share: float = 0.5) -> tuple[Tensor, Tensor]:
    """The digits kept for testing, always under the same lamps: each once as it is and, unless
    the share is 0, once as its negative."""
    found = digits(test=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = photographs(found, torch.zeros(len(found.label), dtype=torch.long))
    if not share:
        return images, found.label
    return torch.cat([images, -images]), torch.cat([found.label, found.label])


def train(
    make: Callable[[], nn.Module],
    batches: Iterator[tuple[Tensor, Tensor]],
    seed: int,
    rate: float = 2e-2,
) -> nn.Module:
    """Make a network, train it on the batches, and return it in eval mode."""
    torch.manual_seed(seed)
    network = make()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for x, y in batches:
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """The share of right answers."""
    return (network(x).argmax(-1) == y).float().mean().item()
