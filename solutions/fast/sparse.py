"""Sparse attention, faster: tokens rearranged so that dense attention does all the work.

    local        a block and the one before it: rows of `stride` queries and twice as many keys
    column       the tokens at one place of their blocks: rows of n / stride, causal
    block        a block by itself, causal
    summary      the tokens at one place, and the last c of every block before: rows that share
                 their keys
    merged       two of them, put together by their log-sum-exp: exact, one softmax over both

Axes     as in solutions.sparse: n = (block place) tokens, place counts from 0 to stride - 1
Cost     as in solutions.sparse, but no score is stored: memory for q, k, v, y and their
         gradients. The keys of `summary` get their gradients place by place: c times as many
Source   Child et al., 2019, arXiv:1904.10509, sec. 5.4, which has kernels for it; the rest as
         in solutions.fast.pieces
Differs  as solutions.sparse does. The rearrangement is a view, with torch's own fused
         attention on it on the CPU, and on a GPU solutions.fast.tiled_triton; elsewhere each
         piece makes its map
"""

import math
from collections.abc import Callable

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from solutions import checks, sparse
from solutions.arguments import COUNT, INTEGER
from solutions.fast import once
from solutions.fast.autocast import exactly, lowered
from solutions.fast.pieces import Piece, attend, by_kernels, causal, gradients
from solutions.fast.switch import switched
from solutions.multi_head import merge_heads, split_heads

IMPLEMENTATIONS = ("reference", "pieces")


def sparse_attention(
    q: Float[Tensor, "*batch head n d"],
    k: Float[Tensor, "*batch head n d"],
    v: Float[Tensor, "*batch head n e"],
    pattern: str,
    stride: int,
    summaries: int = 1,
    way: str = "merged",
    layer: int = 0,
    implementation: str = "auto",
) -> Float[Tensor, "*batch head n e"]:
    """As `solutions.sparse.sparse_attention`, by the implementation that is asked for.

    Raises ValueError for what does not fit together; leading axes and heads may be 1 and stand
    for all.
    """
    q, k, v = checks.line(q, k, v)
    implementation = choose(q) if implementation == "auto" else implementation
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if implementation == "reference":
        return sparse.sparse_attention(q, k, v, pattern, stride, summaries, way, layer)
    sparse.parts_of(pattern, stride, summaries)  # what cannot be is told as there
    if way not in sparse.WAYS:
        raise ValueError(f"{way=} is none of {', '.join(sparse.WAYS)}")
    parts = sparse.PATTERNS[pattern]
    if way == "merged":
        return _by_pieces(q, k, v, pattern, stride, summaries)
    if way == "interleaved":
        return _by_pieces(q, k, v, ALONE[parts[layer % len(parts)]], stride, summaries)
    heads = q.shape[-3]
    if heads % len(parts):
        raise ValueError(f"{heads} heads have no halves: split them with an even number")
    q, k, v = (x.chunk(len(parts), dim=-3) for x in (q, k, v))
    read = [
        _by_pieces(*qkv, ALONE[part], stride, summaries)
        for *qkv, part in zip(q, k, v, parts, strict=True)
    ]
    return torch.cat(read, dim=-3)


def local_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n e"],
    window: int,
) -> Float[Tensor, "*batch n e"]:
    """As `solutions.sparse.local_attention`: the last `window` keys."""
    return _by_pieces(q, k, v, "local", window, 1)


def strided_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n e"],
    stride: int,
) -> Float[Tensor, "*batch n e"]:
    """As `solutions.sparse.strided_attention`: every stride-th key."""
    return _by_pieces(q, k, v, "column", stride, 1)


@switched(*IMPLEMENTATIONS)
def choose(q: Tensor) -> str:
    """What "auto" takes. On the CPU pieces were faster at every length that was measured; on a
    GPU they are taken where the Triton kernels run, which is not measured yet."""
    if once.transforming():  # which does not know operators of others
        return "reference"
    return "pieces" if q.device.type == "cpu" or by_kernels(q) else "reference"


def _by_pieces(q: Tensor, k: Tensor, v: Tensor, kind: str, stride: int, summaries: int):
    """The leading axes as one, and back again."""
    q, k, v = checks.line(q, k, v)
    shape = v.shape
    q, k, v = (x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]) for x in (q, k, v))
    return operator(q, k, v, kind, stride, summaries)[0].reshape(shape)


# ---------------------------------------------------------------- the pieces of each pattern


def _tokens(x: Tensor) -> Tensor:
    """Each block a row: b block place d."""
    return x


def _columns(x: Tensor) -> Tensor:
    """Swaps block and place: each column a row, and back."""
    return rearrange(x, "b block place d -> b place block d")


def _local(stride: int, blocks: int, like: Tensor) -> list[Piece]:
    """The first block has none before it."""
    pieces = [causal(lambda x: x[:, :1], lambda x: x[:, :1], fresh=True)]
    if blocks == 1:
        return pieces

    def pairs(x: Tensor) -> Tensor:  # each block behind the one before: they overlap
        line = rearrange(x, "b block place d -> b (block place) d")
        return rearrange(line.unfold(-2, 2 * stride, stride), "b block d key -> b block key d")

    def collect(to: Tensor, grad: Tensor) -> None:
        to[:, :-1] += grad[:, :, :stride]
        to[:, 1:] += grad[:, :, stride:]

    ago = torch.arange(stride)[:, None] + stride - torch.arange(2 * stride)
    mask = _added((ago >= 0) & (ago < stride), like)
    return [*pieces, Piece(lambda x: x[:, 1:], pairs, collect, mask=mask, fresh=True)]


def _column(stride: int, blocks: int, like: Tensor) -> list[Piece]:
    return [causal(_columns, _columns, fresh=True, back=_columns)]


def _earlier_columns(stride: int, blocks: int, like: Tensor) -> list[Piece]:
    """The same without the query itself."""
    if blocks == 1:
        return []
    return [causal(lambda x: _columns(x[:, 1:]), lambda x: _columns(x[:, :-1]))]


def _block(stride: int, blocks: int, like: Tensor) -> list[Piece]:
    return [causal(_tokens, _tokens, fresh=True, back=_tokens)]


def _summaries_before(summaries: int, stride: int, blocks: int, like: Tensor) -> list[Piece]:
    """The summaries of the blocks before the query's own."""
    if blocks == 1:
        return []

    def keys(x: Tensor) -> Tensor:  # the same for all places
        last = rearrange(x[:, :-1, -summaries:], "b block place d -> b 1 (block place) d")
        return last.expand(-1, stride, -1, -1)

    def collect(to: Tensor, grad: Tensor) -> None:
        whole = grad.sum(1)
        to[:, :-1, -summaries:] += rearrange(
            whole, "b (block place) d -> b block place d", place=summaries
        )

    mask = None
    if summaries > 1:
        block = torch.arange(blocks - 1)
        own = repeat(block, "block -> (block place)", place=summaries)
        mask = _added(block[:, None] >= own, like)
    return [Piece(lambda x: _columns(x[:, 1:]), keys, collect, summaries == 1, mask)]


def _summaries_of_own(summaries: int, stride: int, blocks: int, like: Tensor) -> list[Piece]:
    def last(x: Tensor) -> Tensor:
        return x[:, :, -summaries:]

    return [causal(last, last)]


def _added(seen: Tensor, like: Tensor) -> Tensor:
    """A mask as what is added to the scores."""
    mask = torch.zeros(seen.shape, dtype=like.dtype)
    return mask.masked_fill(~seen, -math.inf).to(like.device)


KINDS: dict[str, tuple[Callable[..., list[Piece]], ...]] = {
    "local": (_local,),
    "column": (_column,),
    "strided": (_local, _earlier_columns),
    "block": (_block,),
    "summary": (_summaries_before, _summaries_of_own),
    "fixed": (_block, _summaries_before),
}
ALONE = {"local": "local", "strided": "column", "block": "block", "summary": "summary"}


def _pieces(kind: str, stride: int, summaries: int, like: Tensor) -> list[Piece]:
    found: list[Piece] = []
    for make in KINDS[kind]:
        given = (summaries,) if make in (_summaries_before, _summaries_of_own) else ()
        found += make(*given, stride, like.shape[1], like)
    return found


def _ready(x: Tensor, stride: int, width: int) -> Tensor:
    """In blocks of one width, b block place d, features side by side in memory."""
    wider, longer = width - x.shape[-1], -x.shape[-2] % stride
    if wider or longer:  # padding copies, also by nothing
        x = F.pad(x, (0, wider, 0, longer))
    return rearrange(x.contiguous(), "b (block place) d -> b block place d", place=stride)


def _line(x: Tensor, n: int, width: int) -> Tensor:
    return rearrange(x, "b block place d -> b (block place) d")[:, :n, :width].contiguous()


# ---------------------------------------------------------------- as an operator of torch


@torch.library.custom_op("attncourse::sparse_attention", mutates_args=())
@exactly
def operator(
    q: Tensor, k: Tensor, v: Tensor, kind: str, stride: int, summaries: int
) -> tuple[Tensor, Tensor]:
    """Attention by the pieces of a kind, b n e, and the log-sum-exp of its scores, b n 1."""
    _check(q, k, v, kind, stride, summaries)
    n, d, e = *q.shape[-2:], v.shape[-1]
    width = max(d, e)
    if 0 in (len(q), n, width):
        return v.new_zeros(v.shape), q.new_zeros((len(q), n, 1), dtype=_exact(q))
    blocks = [_ready(x, stride, width) for x in (q, k, v)]
    pieces = _pieces(kind, stride, summaries, blocks[0])
    y, total = attend(*blocks, pieces, 1 / math.sqrt(max(d, 1)))
    return _line(y, n, e).to(q.dtype), _line(total, n, 1)


@operator.register_fake
def _(q, k, v, kind, stride, summaries):
    _check(q, k, v, kind, stride, summaries)
    return v.new_empty(v.shape), q.new_empty((*q.shape[:-1], 1), dtype=_exact(q))


@torch.library.custom_op("attncourse::sparse_attention_backward", mutates_args=())
@exactly
def backward(
    dy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    y: Tensor,
    total: Tensor,
    kind: str,
    stride: int,
    summaries: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v."""
    _check_back(dy, q, k, v, y, total, kind, stride, summaries)
    n, d, e = *q.shape[-2:], v.shape[-1]
    width = max(d, e)
    if 0 in (len(q), n, width):
        return tuple(x.new_zeros(x.shape) for x in (q, k, v))
    dy, q_, k_, v_, y = (_ready(x, stride, width) for x in (dy, q, k, v, y))
    total = _ready(total, stride, 1)
    pieces = _pieces(kind, stride, summaries, q_)
    grads = gradients(dy, q_, k_, v_, y, total, pieces, 1 / math.sqrt(max(d, 1)))
    return tuple(
        _line(grad, n, x.shape[-1]).to(x.dtype)
        for grad, x in zip(grads, (q, k, v), strict=True)
    )


@backward.register_fake
def _(dy, q, k, v, y, total, kind, stride, summaries):
    _check_back(dy, q, k, v, y, total, kind, stride, summaries)
    return tuple(x.new_empty(x.shape) for x in (q, k, v))


def _check(q, k, v, kind: str, stride: int, summaries: int) -> None:
    checks.sizes(("q", q, "b n d"), ("k", k, "b n d"), ("v", v, "b n e"))
    checks.alike(("q", q), ("k", k), ("v", v))
    checks.features(q.shape[-1])
    if kind not in KINDS:
        raise ValueError(f"{kind=} is none of {', '.join(KINDS)}")
    if not 0 < summaries <= stride:
        raise ValueError(f"{summaries=} of a block, but it has {stride} keys")


def _check_back(dy, q, k, v, y, total, kind: str, stride: int, summaries: int) -> None:
    _check(q, k, v, kind, stride, summaries)
    given = ("dy", dy, "b n e"), ("y", y, "b n e"), ("total", total, "b n one")
    checks.sizes(("v", v, "b n e"), *given, one=1)
    checks.alike(("q", q), ("dy", dy), ("y", y))
    checks.tables(q, ("total", total))


def _keep(ctx, inputs, output):
    *tensors, ctx.kind, ctx.stride, ctx.summaries = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, dy, _):
    grads = backward(dy, *ctx.saved_tensors, ctx.kind, ctx.stride, ctx.summaries)
    return *grads, None, None, None


operator.register_autograd(_backward, setup_context=_keep)
lowered("sparse_attention")


def _exact(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


# ---------------------------------------------------------------- the layer


_steps = checks.numbers(window=COUNT, stride=COUNT, summaries=INTEGER, layer=INTEGER)
local_attention = _steps(local_attention)
strided_attention = _steps(strided_attention)
sparse_attention = _steps(sparse_attention)


class SparseSelfAttention(sparse.SparseSelfAttention):
    """The layer of `solutions.sparse`, same weights and same results, by a fast
    implementation; "dense" is torch's fused attention.

    implementation  may be changed at any time: "auto", "reference" or "pieces"
    """

    implementation: str = "auto"

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """For each token what its heads read from it and from those before."""
        chosen = self.runs(x)
        if chosen == "reference":
            return super().forward(x)
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        if self.pattern == "dense":
            q, k, v = (part.contiguous() for part in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            rest = self.stride, self.summaries, self.way, self.layer, chosen
            y = sparse_attention(q, k, v, self.pattern, *rest)
        return self.out(merge_heads(y))

    def runs(self, x: Float[Tensor, "b n dim"]) -> str:
        """The implementation that `forward` takes for such tokens."""
        return choose(x) if self.implementation == "auto" else self.implementation


class SparseTransformer(sparse.SparseTransformer):
    """The model of `solutions.sparse` with these layers in the place of its own."""

    attends = SparseSelfAttention
