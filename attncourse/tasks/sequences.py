"""Streams to be foretold symbol by symbol: copies from far back, and pictures as pixels."""

import math
from collections.abc import Callable, Iterator

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.tasks.pictures import digits

SIDE = 8  # pixels of a digit in height and width


def copies(examples: int, half: int, symbols: int) -> Int[Tensor, "b n"]:
    """Streams of `half` random symbols, and the same once more.

    In the second half token i is token i - half; who cannot hear that far back can do no better
    than 1 / symbols, since symbols are drawn independently.
    """
    first = torch.randint(symbols, (examples, half))
    return torch.cat([first, first], dim=-1)


def hears(layers: int, window: int) -> int:
    """How many tokens back a stack of local layers hears: token i depends on i - hears … i - 1.

    A layer adds window - 1; the input itself comes one token late.
    """
    return layers * (window - 1) + 1


def pixel_streams(levels: int = 4, test: bool = False) -> Int[Tensor, "b n"]:
    """Written digits, 8 x 8, as streams of 64 grey levels, row by row."""
    if not 2 <= levels <= 17:
        raise ValueError(f"{levels=}: digits have 17 grey levels, and one tells nothing")
    grey = (digits(test).image * 16).round().long()  # 0 … 16
    return rearrange(grey * levels // 17, "b 1 h w -> b (h w)")


def bits_of_independent_pixels(
    train: Int[Tensor, "b n"], test: Int[Tensor, "b n"], levels: int
) -> float:
    """Bits a pixel if each has a histogram of its own: no code does better that sees no other.

    Every level is counted once more than it came, so that none is impossible.
    """
    counts = F.one_hot(train, levels).sum(0) + 1
    shares = counts / counts.sum(-1, keepdim=True)
    found = shares.log2().expand(len(test), -1, -1).gather(-1, test[..., None])
    return -found.mean().item()


@torch.no_grad()
def bits(model: nn.Module, streams: Int[Tensor, "b n"], start: int = 0) -> float:
    """How many bits a token from `start` on costs if the model foretells it."""
    said = model(streams)[:, start:]
    loss = F.cross_entropy(rearrange(said, "b n s -> (b n) s"), streams[:, start:].flatten())
    return loss.item() / math.log(2)


@torch.no_grad()
def right(model: nn.Module, streams: Int[Tensor, "b n"], start: int) -> float:
    """The share of tokens from `start` on whose likeliest symbol is the true one."""
    named = model(streams)[:, start:].argmax(-1)
    return (named == streams[:, start:]).float().mean().item()


def shuffled(
    streams: Int[Tensor, "b n"], size: int, steps: int
) -> Iterator[Int[Tensor, "b n"]]:
    """Batches drawn at random."""
    for _ in range(steps):
        yield streams[torch.randint(len(streams), (size,))]


def train(
    make: Callable[[], nn.Module],
    batches: Callable[[], Iterator[Int[Tensor, "b n"]]],
    seed: int,
    steps: int,
    start: int = 0,
    rate: float = 3e-3,
) -> nn.Module:
    """Make a model and teach it to foretell the tokens from `start` on.

    The learning rate climbs for a twentieth of the steps, then falls to 0 as a cosine.
    """
    torch.manual_seed(seed)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min((s + 1) / warm, 0.5 * (1 + math.cos(math.pi * s / steps))),
    )
    for batch in batches():
        said = model(batch)[:, start:]
        loss = F.cross_entropy(rearrange(said, "b n s -> (b n) s"), batch[:, start:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


def learn_to_copy(
    make: Callable[[], nn.Module], seed: int, half: int, symbols: int, steps: int
) -> nn.Module:
    """A model taught on fresh copies; only the second half is asked for."""

    def batches():
        for _ in range(steps):
            yield copies(32, half, symbols)

    return train(make, batches, seed, steps, start=half, rate=5e-3)


def learn_pictures(
    make: Callable[[], nn.Module], seed: int, levels: int = 4, steps: int = 400
) -> nn.Module:
    """A model taught on the digits that are for training."""
    streams = pixel_streams(levels)
    return train(make, lambda: shuffled(streams, 32, steps), seed, steps, rate=1e-2)


@torch.no_grad()
def sample(model: nn.Module, examples: int, tokens: int, seed: int = 0) -> Int[Tensor, "b n"]:
    """Streams drawn from a model, token by token."""
    generator = torch.Generator().manual_seed(seed)
    streams = torch.zeros(examples, tokens, dtype=torch.long)
    for i in range(tokens):
        shares = model(streams)[:, i].softmax(-1)
        streams[:, i] = torch.multinomial(shares, 1, generator=generator)[:, 0]
    return streams


class CausalConvolutions(nn.Module):
    """A picture's pixels foretold by convolutions that see only what came before.

    Each is 3 x 3 with the weights right of the middle and below it, and in the first layer the
    middle too, kept at 0. So a pixel sees a triangle above it that grows with every layer.
    """

    def __init__(self, levels: int, channels: int = 32, layers: int = 3, side: int = SIDE):
        super().__init__()
        self.side = side
        self.pixel = nn.Embedding(levels, channels)
        self.place = nn.Parameter(torch.zeros(channels, side, side))
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers)
        )
        self.read = nn.Conv2d(channels, levels, 1)
        before = torch.arange(9) < 4
        self.register_buffer("before", rearrange(before, "(h w) -> h w", h=3))
        self.register_buffer("until", rearrange(torch.arange(9) <= 4, "(h w) -> h w", h=3))

    def forward(self, x: Int[Tensor, "b n"]) -> Float[Tensor, "b n levels"]:
        """Logits for every pixel; those for pixel i depend on pixels 0 to i - 1."""
        y = rearrange(self.pixel(x), "b (h w) c -> b c h w", h=self.side)
        for number, layer in enumerate(self.layers):
            seen = self.until if number else self.before
            found = F.conv2d(y, layer.weight * seen, layer.bias, padding=1)
            y = (y + found if number else found + self.place).relu()
        return rearrange(self.read(y), "b c h w -> b (h w) c")
