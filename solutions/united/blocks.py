"""What ViT, Swin and ConViT have in common: patches as tokens, and blocks with the norm before.

    e = E [pixels of the patch] + bias        embedding     b c h w -> b dim high wide
    q, k, v = W_qkv x                         one matrix    b n dim -> b head n d, three times
    y = [softmax(q kᵀ / sqrt(d)) v] W_proj    attention     b n dim
    F(x) = W_2 gelu(W_1 x)                    for a token   dim -> hidden -> dim
    x' = x + attention(norm(x)), then x' + F(norm(x'))      block, as in chapter 4 with "pre"

Axes     b batch, n tokens, i query, j key, dim = (head d); high wide patches down and across
Units    attention weights sum to 1 over j, for every head
Cost     a block: 4 dim² + 2 dim hidden weights and as many multiply-adds a token, beside them
         2 n dim a token for the two products; embedding: channels patch² dim weights
Source   Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929,
         eqs. 1-4; Hendrycks and Gimpel, 2016, arXiv:1606.08415 (GELU)
Differs  no dropout and no stochastic depth, which belong to the recipes of training. Names of
         weights are timm's, whose q, k and v are one matrix, in that order
"""

import math

from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import equip
from solutions.multi_head import merge_heads, split_heads
from solutions.scaled_dot_product import attention_weights


def patch_embedding(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "dim c dy dx"],
    bias: Float[Tensor, " dim"],
) -> Float[Tensor, "b n dim"]:
    """A token for each patch, row by row: one matrix for the pixels of a patch, and a bias.

    The patches are as large as the weight says and do not overlap. Raises ValueError, with
    height and width, where they do not fill the picture.
    """
    h, w = x.shape[-2:]
    dy, dx = weight.shape[-2:]
    if h % dy or w % dx:
        raise ValueError(f"patches of {dy} x {dx} do not fill a picture of {h} x {w}")
    patches = rearrange(x, "b c (high dy) (wide dx) -> b (high wide) c dy dx", dy=dy, dx=dx)
    return einsum(patches, weight, "b n c dy dx, dim c dy dx -> b n dim") + bias


class PatchEmbedding(nn.Module):
    """`patch_embedding` as a layer, computed as what it is: a convolution with a stride."""

    def __init__(self, dim: int, patch: int, channels: int = 3, norm: bool = False):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, patch)
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b high wide dim"]:
        """A token for each patch, as a map. Raises ValueError, with the numbers, where patches
        do not fill the picture."""
        (h, w), patch = x.shape[-2:], self.proj.stride[0]
        if h % patch or w % patch:
            raise ValueError(f"{patch=} does not divide a picture of {h} x {w}")
        return self.norm(rearrange(self.proj(x), "b dim high wide -> b high wide dim"))


class SelfAttention(nn.Module):
    """Multi-head self-attention whose queries, keys and values come from one matrix.

    bias  whether this matrix has a bias
    Raises ValueError when `heads` does not divide `dim`.
    """

    def __init__(self, dim: int, heads: int, bias: bool = True):
        super().__init__()
        divided(dim, heads)
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim)

    def project(self, x: Float[Tensor, "b n dim"]) -> tuple[Float[Tensor, "b head n d"], ...]:
        """Queries, keys and values of each head."""
        return tuple(split_heads(part, self.heads) for part in self.qkv(x).chunk(3, -1))

    def attention(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b head n n"]:
        """The map of each head."""
        q, k, _ = self.project(x)
        return attention_weights(q, k)

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """For each token what its heads read from all."""
        q, k, v = self.project(x)
        return self.proj(merge_heads(attention_weights(q, k) @ v))


class Mlp(nn.Module):
    """Two layers for every token, with a GELU between."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """For each token a function of that token alone."""
        return self.fc2(F.gelu(self.fc1(x)))


class PreNormBlock(nn.Module):
    """Attention of any kind, then the small network, each with a norm before and added to its
    input.

    attention  the layer that attends, for tokens or for maps of tokens
    eps        what a norm adds to the variance
    """

    def __init__(self, dim: int, hidden: int, attention: nn.Module, eps: float = 1e-6):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """x + attention(norm(x)), and then the same with the small network."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def divided(dim: int, heads: int) -> int:
    """Features of a head. Raises ValueError when `heads` does not divide `dim`."""
    if dim % heads:
        raise ValueError(f"{dim=} is not a multiple of {heads=}")
    return dim // heads


def small(module: nn.Module) -> None:
    """Start linear layers small, as transformers for images do: truncated, deviation 0.02,
    biases 0; convolutions with the variance 1 / inputs."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        inputs = module.weight[0].numel()
        nn.init.trunc_normal_(module.weight, std=math.sqrt(1 / inputs))
        nn.init.zeros_(module.bias)


equip(PatchEmbedding, norm=None)
equip(SelfAttention, Mlp, PreNormBlock, norm=None)
