"""Multi-head attention: several small attentions side by side, each with a view of its own.

    q, k, v = x W_qᵀ, c W_kᵀ, c W_vᵀ       project   b i (head d), b j (head d)
    A = softmax over j of q kᵀ / sqrt(d)   weights   b head i j
    y = [A v, heads side by side] W_oᵀ     output    b i (head d)

Axes     b batch, n tokens, i query, j key, dim = (head d): heads outside, d features inside
Units    A is a weight: over the keys j it sums to 1, for every head
Cost     4 dim² + 4 dim weights; 2 (i + j) dim² + 2 i j dim multiply-adds an example, for any
         number of heads; head i j numbers for the maps
Source   Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, sec. 3.2.2
Differs  the four projections have biases, as in torch; the paper writes them without
"""

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from solutions import checks
from solutions.arguments import COUNT, equip
from solutions.scaled_dot_product import attention_weights
from solutions.torch_weights import attention_refused, copy, projections


def split_heads(x: Float[Tensor, "b n dim"], heads: int) -> Float[Tensor, "b head n d"]:
    """Cut the features of each token into `heads` consecutive pieces of equal width.

    Raises ValueError, with both numbers, when `heads` does not divide the features.
    """
    if x.shape[-1] % heads:
        raise ValueError(f"dim={x.shape[-1]} is not a multiple of {heads=}")
    return rearrange(x, "b n (head d) -> b head n d", head=heads)


def merge_heads(x: Float[Tensor, "b head n d"]) -> Float[Tensor, "b n dim"]:
    """Put the pieces of each token side by side again: undoes `split_heads`."""
    return rearrange(x, "b head n d -> b n (head d)")


class MultiHeadAttention(nn.Module):
    """Self-attention on x, or cross-attention from x to a context, in several heads.

    Raises ValueError when `heads` does not divide `dim`.
    """

    def __init__(self, dim: int, heads: int):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim=} is not a multiple of {heads=}")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def attention(
        self,
        x: Float[Tensor, "b i dim"],
        context: Float[Tensor, "b j dim"] | None = None,
        mask: Bool[Tensor, "*#b #i #j"] | None = None,
    ) -> Float[Tensor, "b head i j"]:
        """The map of each head. Keys come from the context, or from x where there is none.

        `mask`, i j or b i j with axes of length 1 where it does not vary, is True where a query
        may attend, in every head.
        """
        context = x if context is None else context
        q, k = (
            split_heads(self.query(x), self.heads),
            split_heads(self.key(context), self.heads),
        )
        if mask is not None:
            mask = rearrange(mask, "... i j -> ... 1 i j")  # the same for every head
        return attention_weights(q, k, mask)

    def forward(
        self,
        x: Float[Tensor, "b i dim"],
        context: Float[Tensor, "b j dim"] | None = None,
        mask: Bool[Tensor, "*#b #i #j"] | None = None,
    ) -> Float[Tensor, "b i dim"]:
        """For each token of x what its heads read from the context, or from x where there is
        none."""
        v = split_heads(self.value(x if context is None else context), self.heads)
        return self.out(merge_heads(self.attention(x, context, mask) @ v))


def from_torch(layer: nn.Module) -> MultiHeadAttention:
    """A MultiHeadAttention with the weights of an nn.MultiheadAttention: it gives the same
    output as torch's in evaluation, with the batch first.

    Without biases in torch's layer ours are 0. Raises ValueError for what ours has not: `kdim`
    and `vdim` of other widths, `add_bias_kv`, `add_zero_attn`.
    """
    attention_refused(layer)
    like = layer.out_proj.weight
    place = dict(device=like.device, dtype=like.dtype)
    ours = MultiHeadAttention(layer.embed_dim, layer.num_heads, **place)
    mine = (ours.query, ours.key, ours.value, ours.out)
    for linear, (weight, bias) in zip(mine, projections(layer), strict=True):
        copy(linear, weight, bias)
    return ours.train(layer.training)


def parameters(dim: int, heads: int) -> int:
    """How many numbers a MultiHeadAttention learns: four square matrices and four biases."""
    return 4 * dim**2 + 4 * dim


def multiply_adds(dim: int, heads: int, queries: int, keys: int) -> int:
    """Multiply-adds for one example: the four projections, q kᵀ, and weights times v."""
    projections = 2 * (queries + keys) * dim**2
    products = 2 * queries * keys * dim
    return projections + products


def _three_axes(x: Tensor, heads: int) -> None:
    checks.sizes(("x", x, "b n dim"))


def tokens_fit(
    layer: nn.Module, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
) -> None:
    """Raises ValueError where a layer cannot attend from x to the context."""
    context = x if context is None else context
    width = layer.query.in_features
    found = checks.sizes(("x", x, "b i dim"), ("context", context, "b j dim"), dim=width)
    checks.alike(("x", x), ("context", context))
    if mask is not None and getattr(mask, "ndim", 2) < 2:
        raise ValueError(
            f"the mask has the shape {tuple(mask.shape)}; its axes are i j, or b i j"
        )
    checks.allowed(mask, (found["b"], found["i"], found["j"]), x.device)


split_heads = checks.numbers(heads=COUNT)(checks.before(_three_axes)(split_heads))
MultiHeadAttention.attention = checks.before(tokens_fit)(MultiHeadAttention.attention)
MultiHeadAttention.forward = checks.before(tokens_fit)(MultiHeadAttention.forward)
equip(MultiHeadAttention)
