"""Digits, and small networks that differ in one layer: a convolution, attention, or attention
that starts as a convolution."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from attncourse.tasks.pictures import digits
from solutions.united import (
    GatedPositionalAttention,
    PatchEmbedding,
    PreNormBlock,
    SelfAttention,
)

KINDS = ("convolution", "attention", "gated")
SIDE, DIM, HEADS, BLOCKS = 8, 36, 9, 2


class Convolution(nn.Module):
    """A 3 x 3 convolution of a map of tokens in two groups of channels, then a matrix."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=2)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h w dim"]:
        y = self.conv(rearrange(x, "b h w dim -> b dim h w"))
        return self.proj(rearrange(y, "b dim h w -> b h w dim"))


class Everywhere(nn.Module):
    """Self-attention of all tokens of a map."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attention = SelfAttention(dim, heads)

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h w dim"]:
        y = self.attention(rearrange(x, "b h w dim -> b (h w) dim"))
        return rearrange(y, "b (h w) dim -> b h w dim", h=x.shape[1])


def mixer(kind: str, dim: int = DIM, heads: int = HEADS) -> nn.Module:
    """The layer in which the networks differ. Raises ValueError for another kind."""
    if kind not in KINDS:
        raise ValueError(f"{kind=} is none of {', '.join(KINDS)}")
    if kind == "convolution":
        return Convolution(dim)
    return (
        Everywhere(dim, heads) if kind == "attention" else GatedPositionalAttention(dim, heads)
    )


class Named(nn.Module):
    """Patches of 2 x 2 pixels with learned positions, two blocks, the mean over the map, ten
    scores."""

    def __init__(self, kind: str):
        super().__init__()
        self.patches = PatchEmbedding(DIM, 2, channels=1)
        self.places = nn.Parameter(0.02 * torch.randn(SIDE // 2, SIDE // 2, DIM))
        blocks = (PreNormBlock(DIM, 2 * DIM, mixer(kind)) for _ in range(BLOCKS))
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.head = nn.LayerNorm(DIM), nn.Linear(DIM, 10)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b classes"]:
        z = self.norm(self.blocks(self.patches(x) + self.places))
        return self.head(z.mean((1, 2)))


def train(
    kind: str, examples: int, seed: int, steps: int = 200, rate: float = 1e-2, held: int = 0
) -> tuple[Named, list[Float[Tensor, "layer head"]]]:
    """Teach a network so many digits, drawn by the seed, in as many steps of 50 whatever their
    number; and its gates before every tenth step and at the end, if it has any.

    held  how many of the last digits of the training set are kept out of it
    Raises ValueError, with both numbers, where there are not so many digits.
    """
    torch.manual_seed(seed)
    net, (image, label) = Named(kind), digits()
    most = len(image) - held
    if examples > most:
        raise ValueError(f"{examples=} of {most}")
    chosen = torch.randperm(most)[:examples]
    image, label = image[chosen], label[chosen]
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    gates = []
    for step in range(steps + 1):
        if kind == "gated" and step % 10 == 0:
            gates.append(torch.stack([block.attn.gates().detach() for block in net.blocks]))
        if step == steps:
            break
        batch = torch.randint(examples, (50,))
        loss = F.cross_entropy(net(image[batch]), label[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval(), gates


@torch.no_grad()
def right(net: nn.Module, held: int = 0) -> float:
    """The share of unseen digits that it names: of the test set, or, for choosing settings, of
    the last `held` of the training set."""
    image, label = digits(test=not held)
    image, label = image[-held:], label[-held:]
    return (net(image).argmax(-1) == label).double().mean().item()
