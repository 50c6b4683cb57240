"""Gated positional self-attention: it starts as a convolution and may leave it (ConViT).

    A = (1 - g) softmax(q kᵀ / sqrt(d)) + g softmax(v · r)     g = sigmoid(λ), one a head
    r_ij = (columns, rows, squared distance) from i to j       as_convolution.offset_encoding
    v    starts as that of a shift, a place of a kernel of sqrt(heads) x sqrt(heads)
    W_v  starts as the identity; λ starts at 1
    y = [A W_v x, heads side by side] W_proj

Axes     b batch, h w rows and columns of a map of tokens, n = (h w); i query, j key; r three
         numbers of an offset; dim = (head d)
Units    both softmaxes sum to 1 over j, and so does A
Cost     4 dim² + dim + 5 heads weights; (h w)² (3 dim) multiply-adds for the products
Source   d'Ascoli, Touvron, Leavitt, Morcos, Biroli, Sagun, "ConViT: Improving Vision
         Transformers with Soft Convolutional Inductive Biases", ICML 2021, arXiv:2103.10697,
         sec. 3
Differs  the map may have any height and width; as in the released code the rows of A are not
         normalised once more (they sum to 1), and heads that are no square are refused here.
         Names of weights are those of the code: qk and v without biases
"""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from solutions.arguments import POSITIVE, equip
from solutions.multi_head import merge_heads, split_heads
from solutions.scaled_dot_product import attention_weights
from solutions.united.as_convolution import offset_encoding, shift_vectors
from solutions.united.blocks import PatchEmbedding, PreNormBlock, SelfAttention, divided, small
from solutions.united.vision_transformer import grid_of, grid_positions


class GatedPositionalAttention(nn.Module):
    """Attention by place and by content, and a gate for each head between the two.

    strength  how sharply a head looks at its pixel at first
    Raises ValueError when `heads` does not divide `dim` or is no square number.
    """

    def __init__(self, dim: int, heads: int, strength: float = 1.0):
        super().__init__()
        divided(dim, heads)
        if math.isqrt(heads) ** 2 != heads:
            raise ValueError(f"{heads=} is no square number: they start as a kernel's places")
        self.heads, self.strength = heads, strength
        self.qk = nn.Linear(dim, 2 * dim, bias=False)
        self.v = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.pos_proj = nn.Linear(3, heads)
        self.gating_param = nn.Parameter(torch.ones(heads))
        as_convolution(self)

    def gates(self) -> Float[Tensor, " head"]:
        """How much of each head's weights goes by place."""
        return self.gating_param.sigmoid()

    def positional(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "head i j"]:
        """The weights by place alone, for a map of this height and width."""
        offset = offset_encoding(*x.shape[1:3]).to(self.pos_proj.weight)
        return rearrange(self.pos_proj(offset), "i j head -> head i j").softmax(-1)

    def attention(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b head i j"]:
        """The map of each head: of both kinds, as the gate says."""
        tokens = rearrange(x, "b h w dim -> b (h w) dim")
        q, k = (split_heads(part, self.heads) for part in self.qk(tokens).chunk(2, -1))
        gate = rearrange(self.gates(), "head -> head 1 1")
        return (1 - gate) * attention_weights(q, k) + gate * self.positional(x)

    def forward(self, x: Float[Tensor, "b h w dim"]) -> Float[Tensor, "b h w dim"]:
        """For each token what its heads read from the map."""
        v = split_heads(self.v(rearrange(x, "b h w dim -> b (h w) dim")), self.heads)
        y = self.proj(merge_heads(self.attention(x) @ v))
        return rearrange(y, "b (h w) dim -> b h w dim", h=x.shape[1])


def as_convolution(attention: nn.Module) -> None:
    """Start as a convolution: values as they are, each head at its place of a kernel."""
    with torch.no_grad():
        nn.init.eye_(attention.v.weight)
        nn.init.ones_(attention.gating_param)
        side = math.isqrt(attention.heads)
        attention.pos_proj.weight.copy_(shift_vectors(side, attention.strength))
        nn.init.zeros_(attention.pos_proj.bias)


class ConViT(nn.Module):
    """A vision transformer whose first blocks attend by gate; the class token comes after them.

    local   how many of the `depth` blocks are gated
    Otherwise as VisionTransformer.
    """

    def __init__(
        self,
        dim: int = 768,
        depth: int = 12,
        heads: int = 16,
        local: int = 10,
        strength: float = 1.0,
        patch: int = 16,
        size: int | tuple[int, int] = 224,
        classes: int = 1000,
        channels: int = 3,
    ):
        super().__init__()
        if not 0 <= local <= depth:
            raise ValueError(f"{local=} blocks of {depth=}")
        self.patch, self.grid, self.local = patch, grid_of(size, patch), local
        self.patch_embed = PatchEmbedding(dim, patch, channels)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        places = self.grid[0] * self.grid[1]
        self.pos_embed = nn.Parameter(torch.randn(1, places, dim) * 0.02)
        self.blocks = nn.ModuleList(
            PreNormBlock(
                dim,
                4 * dim,
                GatedPositionalAttention(dim, heads, strength)
                if n < local
                else SelfAttention(dim, heads, bias=False),
            )
            for n in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        _start(self)

    def gates(self) -> Float[Tensor, "layer head"]:
        """How much goes by place, in each gated block and head."""
        gated = [block.attn.gates() for block in self.blocks[: self.local]]
        return torch.stack(gated) if gated else self.head.weight.new_empty(0, 0)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """A score for each class, from the class token alone."""
        z = self.patch_embed(x)
        new, positions = tuple(z.shape[1:3]), self.pos_embed[0]
        if new != self.grid:
            with_first = torch.cat([positions[:1], positions])
            positions = grid_positions(with_first, self.grid, new)[1:]
        z = z + rearrange(positions, "(high wide) dim -> high wide dim", high=new[0])
        for block in self.blocks[: self.local]:
            z = block(z)
        first = repeat(self.cls_token, "1 1 dim -> b 1 dim", b=len(x))
        z = torch.cat([first, rearrange(z, "b high wide dim -> b (high wide) dim")], 1)
        for block in self.blocks[self.local :]:
            z = block(z)
        return self.head(self.norm(z)[:, 0])


SIZES = {
    "Ti": dict(dim=192, heads=4),
    "Ti+": dict(dim=256, heads=4),
    "S": dict(dim=432, heads=9),
    "S+": dict(dim=576, heads=9),
    "B": dict(dim=768, heads=16),
    "B+": dict(dim=1024, heads=16),
}


def convit(name: str, **more) -> ConViT:
    """A network by the paper's name: `convit("S")`, Ti, Ti+, S, S+, B or B+.

    `more` are arguments of ConViT. Raises ValueError for another name.
    """
    if name not in SIZES:
        raise ValueError(f"{name=}: one of {', '.join(SIZES)}")
    return ConViT(**(SIZES[name] | more))


def _start(net: ConViT) -> None:
    nn.init.trunc_normal_(net.cls_token, std=0.02)
    nn.init.trunc_normal_(net.pos_embed, std=0.02)
    net.apply(small)
    for block in net.blocks[: net.local]:
        as_convolution(block.attn)


equip(GatedPositionalAttention, reset=as_convolution, strength=POSITIVE)
equip(ConViT, reset=_start, strength=POSITIVE)
