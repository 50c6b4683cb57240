"""Sparse attention: a token reads about sqrt(n) others, and two steps reach all before it.

    A_i = {j : i - window < j <= i}                 local      the last `window` tokens
    A_i = {j <= i : (i - j) mod l = 0}              strided    every l-th, counted from i
    A_i = {j <= i : j div l = i div l}              block      what has come of its own block
    A_i = {j <= i : j mod l >= l - c}               summary    the last c of every block
    A_i = A1_i | A2_i                               merged     one softmax over both
    A_i = A_(r mod 2)_i                             interleaved   the layer r decides
    A_i = A1_i, A2_i                                split      half of the heads each
    R_ij = there is a with then_ia and first_aj     reachable  0/1 product, i a, a j -> i j

Axes     b batch (any leading axes), n tokens, i query, j key, d features of q and k, e of v,
         l stride; n = (block place): place counts from 0 to l - 1 inside a block
Units    an attention's weights are shares: over the keys that are allowed they sum to 1
Cost     n (l + n / l) scores a head, least at l = sqrt(n): 2 n sqrt(n) where dense has n²; as
         blocks, which compute what they then mask, 3 n sqrt(n) for strided and 2 n sqrt(n) for
         fixed with c = 1. No tensor is larger
Source   Child, Gray, Radford, Sutskever, "Generating Long Sequences with Sparse Transformers",
         2019, arXiv:1904.10509, secs. 4.2, 4.3 and 5.1 to 5.4
Differs  the local part of `strided` has l keys, as in the authors' released code; the paper's
         set {max(0, i - l), …, i} has l + 1. The union is the same, since i - l is in A2.
         A query that may attend to nothing (the first l - c of `summary`) gets 0; the paper
         leaves it open. Activations are exact GELUs, and nothing is dropped out
"""

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import NamedTuple

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional as F

from solutions import checks
from solutions.arguments import COUNT, FROM_0, INTEGER, equip
from solutions.multi_head import merge_heads, split_heads
from solutions.positional import masked_softmax
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention


def local_mask(n: int, window: int) -> Bool[Tensor, "i j"]:
    """True for the last `window` keys, of which the query itself is one."""
    i, j = rearrange(torch.arange(n), "i -> i 1"), torch.arange(n)
    return (j <= i) & (i - j < window)


def strided_mask(n: int, stride: int) -> Bool[Tensor, "i j"]:
    """True for every stride-th key, counted back from the query, which is one of them."""
    i, j = rearrange(torch.arange(n), "i -> i 1"), torch.arange(n)
    return (j <= i) & ((i - j) % stride == 0)


def block_mask(n: int, stride: int) -> Bool[Tensor, "i j"]:
    """True for the keys of the query's own block, up to the query."""
    i, j = rearrange(torch.arange(n), "i -> i 1"), torch.arange(n)
    return (j <= i) & (j // stride == i // stride)


def summary_mask(n: int, stride: int, summaries: int = 1) -> Bool[Tensor, "i j"]:
    """True for the last `summaries` keys of every block, as far as they are not later.

    The first stride - summaries queries have none at all.
    """
    i, j = rearrange(torch.arange(n), "i -> i 1"), torch.arange(n)
    return (j <= i) & (j % stride >= stride - summaries)


def local_keys(i: int, window: int) -> range:
    """The keys of query i, where `local_mask` is True."""
    return range(max(0, i - window + 1), i + 1)


def strided_keys(i: int, stride: int) -> range:
    """The keys of query i, where `strided_mask` is True."""
    return range(i % stride, i + 1, stride)


def block_keys(i: int, stride: int) -> range:
    """The keys of query i, where `block_mask` is True."""
    return range(i // stride * stride, i + 1)


def summary_keys(i: int, stride: int, summaries: int = 1) -> list[int]:
    """The keys of query i, where `summary_mask` is True."""
    starts = range(stride - summaries, i + 1, stride)
    return [j for start in starts for j in range(start, start + summaries) if j <= i]


def reachable(first: Bool[Tensor, "i j"], then: Bool[Tensor, "i j"]) -> Bool[Tensor, "i j"]:
    """True where a path leads from key j to query i through two layers: the mask `first`
    below, `then` above."""
    return einsum(then.float(), first.float(), "i a, a j -> i j") > 0


def factorised_attention(
    q: Float[Tensor, "*batch head i d"],
    k: Float[Tensor, "*batch head i d"],
    v: Float[Tensor, "*batch head i e"],
    first: Bool[Tensor, "i i"],
    second: Bool[Tensor, "i i"],
    way: str,
    layer: int = 0,
) -> Float[Tensor, "*batch head i e"]:
    """Attention whose heads use two masks in one of three ways. Builds the whole map.

    way  "merged": every head takes both, in one softmax; "interleaved": even layers take the
         first, odd ones the second; "split": the first half of the heads takes the first.
         Raises ValueError, with their number, where heads that are to be split have no halves
    """
    heads = q.shape[-3]
    if way == "merged":
        mask = first | second
    elif way == "interleaved":
        mask = (first, second)[layer % 2]
    elif heads % 2 == 0:
        mask = repeat([first, second], "part i j -> (part half) i j", half=heads // 2)
    else:
        raise ValueError(f"{heads} heads have no halves: split them with an even number")
    return scaled_dot_product_attention(q, k, v, mask)


def in_blocks(
    x: Real[Tensor, "*batch n d"], length: int
) -> Real[Tensor, "*batch block place d"]:
    """The tokens in blocks of `length`; the last block is filled up with zeros."""
    if length < 1:
        raise ValueError(f"blocks of {length} tokens: they need at least 1")
    filled = F.pad(x, (0, 0, 0, -x.shape[-2] % length))
    return rearrange(filled, "... (block place) d -> ... block place d", place=length)


def with_previous(
    x: Real[Tensor, "*batch block place d"],
) -> Real[Tensor, "*batch block key d"]:
    """Every block behind the one before it: twice as many keys. The first is behind zeros."""
    previous = F.pad(x, (0, 0, 0, 0, 1, -1))
    return rearrange([previous, x], "two ... block place d -> ... block (two place) d")


def local_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n e"],
    window: int,
) -> Float[Tensor, "*batch n e"]:
    """Attention to the last `window` keys that never makes an n x n tensor.

    Blocks of `window` queries: all they may see lies in their own block and the one before.
    """
    n = q.shape[-2]
    q = in_blocks(q, window)
    k, v = (with_previous(in_blocks(x, window)) for x in (k, v))
    i = torch.arange(window, device=q.device) + window  # the block before counts from 0
    j = torch.arange(2 * window, device=q.device)
    ago = rearrange(i, "i -> i 1") - j
    first = rearrange(torch.arange(q.shape[-3], device=q.device) == 0, "block -> block 1 1")
    mask = (ago >= 0) & (ago < window) & ~(first & (j < window))
    y = scaled_dot_product_attention(q, k, v, mask)
    return rearrange(y, "... block place e -> ... (block place) e")[..., :n, :]


def strided_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n e"],
    stride: int,
) -> Float[Tensor, "*batch n e"]:
    """Attention to every stride-th key that never makes an n x n tensor.

    Tokens at the same place of their blocks are a short sequence of their own.
    """
    n = q.shape[-2]
    columns = "... block place d -> ... place block d"
    q, k, v = (rearrange(in_blocks(x, stride), columns) for x in (q, k, v))
    mask = causal_mask(q.shape[-2], q.shape[-2]).to(q.device)
    y = scaled_dot_product_attention(q, k, v, mask)
    return rearrange(y, "... place block e -> ... (block place) e")[..., :n, :]


class Part(NamedTuple):
    """One set of keys, in blocks.

    axes     what its keys vary with: "block key" has others for every block, "key place" others
             for every place, "key" has the same for all
    lay      puts tokens, … block place d, into these axes
    allowed  whether query i may see key j; both count tokens from 0
    """

    axes: str
    lay: Callable[[Tensor], Tensor]
    allowed: Callable[[Tensor, Tensor], Tensor]


PATTERNS = {"local": ("local",), "strided": ("local", "strided"), "fixed": ("block", "summary")}
WAYS = ("merged", "interleaved", "split")


def parts_of(pattern: str, stride: int, summaries: int = 1) -> tuple[Part, ...]:
    """The parts of a pattern: two for "strided" and "fixed", one for "local".

    Raises ValueError for a pattern that is none, and for more summaries than a block has keys.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"{pattern=} is none of {', '.join(PATTERNS)}")
    if not 0 < summaries <= stride:
        raise ValueError(f"{summaries=} of a block, but it has {stride} keys")

    def last(x):
        return rearrange(x[..., -summaries:, :], "... block place d -> ... (block place) d")

    parts = {
        "local": Part("block key", with_previous, lambda i, j: (j <= i) & (i - j < stride)),
        "strided": Part(
            "key place", lambda x: x, lambda i, j: (j <= i) & ((i - j) % stride == 0)
        ),
        "block": Part(
            "block key", lambda x: x, lambda i, j: (j <= i) & (j // stride == i // stride)
        ),
        "summary": Part(
            "key", last, lambda i, j: (j <= i) & (j % stride >= stride - summaries)
        ),
    }
    return tuple(parts[name] for name in PATTERNS[pattern])


def masks(pattern: str, n: int, stride: int, summaries: int = 1) -> tuple[Tensor, ...]:
    """The masks i j of the parts of a pattern, A1 and A2."""
    i, j = rearrange(torch.arange(n), "i -> i 1"), torch.arange(n)
    return tuple(part.allowed(i, j) for part in parts_of(pattern, stride, summaries))


def _allowed(
    parts: Sequence[Part], n: int, stride: int, device
) -> Bool[Tensor, "block place key"]:
    """Which scores count. A key that is in two parts counts in the first of them alone."""
    tokens = rearrange(torch.arange(1, n + 1, device=device), "n -> n 1")
    tokens = in_blocks(tokens, stride)  # what is filled up is 0, so not a token
    sizes = dict(block=tokens.shape[-3], place=stride)
    i = tokens - 1
    found = []
    for number, part in enumerate(parts):
        j = repeat(part.lay(tokens), f"{part.axes} 1 -> block place key", **sizes) - 1
        allowed = (j >= 0) & part.allowed(i, j)
        for earlier in parts[:number]:
            allowed = allowed & ~earlier.allowed(i, j)
        found.append(allowed)
    return torch.cat(found, dim=-1)


def _attend(q: Tensor, k: Tensor, v: Tensor, parts: Sequence[Part], stride: int) -> Tensor:
    """One softmax over the keys of all parts, block by block."""
    n, scale = q.shape[-2], 1 / math.sqrt(q.shape[-1])
    allowed = _allowed(parts, n, stride, q.device)
    q, k, v = (in_blocks(x, stride) for x in (q * scale, k, v))
    scores = [
        einsum(q, part.lay(k), f"... block place d, ... {part.axes} d -> ... block place key")
        for part in parts
    ]
    sizes = [one.shape[-1] for one in scores]
    weights = masked_softmax(torch.cat(scores, dim=-1), allowed).split(sizes, dim=-1)
    y = sum(
        einsum(w, part.lay(v), f"... block place key, ... {part.axes} e -> ... block place e")
        for w, part in zip(weights, parts, strict=True)
    )
    return rearrange(y, "... block place e -> ... (block place) e")[..., :n, :]


def sparse_attention(
    q: Float[Tensor, "*batch head n d"],
    k: Float[Tensor, "*batch head n d"],
    v: Float[Tensor, "*batch head n e"],
    pattern: str,
    stride: int,
    summaries: int = 1,
    way: str = "merged",
    layer: int = 0,
) -> Float[Tensor, "*batch head n e"]:
    """`factorised_attention` with the masks of a pattern, and without an n x n tensor.

    pattern  "strided", "fixed", or "local", which has one part only
    way      "merged", "interleaved" (then `layer` counts) or "split"
    """
    parts = parts_of(pattern, stride, summaries)
    if way not in WAYS:
        raise ValueError(f"{way=} is none of {', '.join(WAYS)}")
    if way == "merged":
        return _attend(q, k, v, parts, stride)
    if way == "interleaved":
        return _attend(q, k, v, [parts[layer % len(parts)]], stride)
    heads = q.shape[-3]
    if heads % len(parts):
        raise ValueError(f"{heads} heads have no halves: split them with an even number")
    q, k, v = (x.chunk(len(parts), dim=-3) for x in (q, k, v))
    outputs = [_attend(*qkv, [part], stride) for *qkv, part in zip(q, k, v, parts, strict=True)]
    return torch.cat(outputs, dim=-3)


def map_bytes(n: int, layers: int, heads: int, recompute: bool = False) -> int:
    """What the maps of dense attention take while training, in bytes, at 4 bytes a number.

    With `recompute` only one layer's are kept at a time: they are made anew on the way back.
    """
    kept = 1 if recompute else layers
    return kept * heads * n**2 * 4


class SparseSelfAttention(nn.Module):
    """Causal self-attention in several heads that follow a pattern; "dense" for none.

    Raises ValueError when `heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        pattern: str = "strided",
        stride: int = 8,
        summaries: int = 1,
        way: str = "merged",
        layer: int = 0,
    ):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim=} is not a multiple of {heads=}")
        self.heads, self.pattern, self.stride = heads, pattern, stride
        self.summaries, self.way, self.layer = summaries, way, layer
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """For each token what its heads read from it and from those before."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        if self.pattern == "dense":
            mask = causal_mask(x.shape[-2], x.shape[-2]).to(x.device)
            y = scaled_dot_product_attention(q, k, v, mask)
        else:
            rest = self.stride, self.summaries, self.way, self.layer
            y = sparse_attention(q, k, v, self.pattern, *rest)
        return self.out(merge_heads(y))


class Block(nn.Module):
    """A residual block whose normalisation comes first (eqs. 12 to 14)."""

    def __init__(self, dim: int, attention: nn.Module):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(dim), attention)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """First attention, then two layers for each token by itself."""
        x = x + self.attention(x)
        return x + self.feed_forward(x)


class SparseTransformer(nn.Module):
    """Predicts each token of a sequence from those before it: how likely each symbol is.

    For a picture, n = h w tokens row by row and `stride` its width: then every token is given
    its row and its column, as in the paper. `pattern`, `summaries` and `way` go to every
    `SparseSelfAttention`.
    """

    attends = SparseSelfAttention  # the layer of every block

    def __init__(
        self,
        symbols: int,
        tokens: int,
        dim: int = 32,
        heads: int = 2,
        layers: int = 2,
        stride: int = 8,
        pattern: str = "strided",
        summaries: int = 1,
        way: str = "merged",
    ):
        super().__init__()
        self.symbol = nn.Embedding(symbols + 1, dim)  # the last one begins every stream
        self.row = nn.Parameter(torch.randn(-(-tokens // stride), dim))
        self.column = nn.Parameter(torch.randn(stride, dim))
        rest = pattern, stride, summaries, way
        self.blocks = nn.Sequential(
            *(Block(dim, self.attends(dim, heads, *rest, layer=r)) for r in range(layers))
        )
        self.read = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, symbols))
        _quiet_ends(self)

    def forward(self, x: Int[Tensor, "b n"]) -> Float[Tensor, "b n symbols"]:
        """Logits for every token; those for token i depend on tokens 0 to i - 1."""
        n = x.shape[-1]
        begin = self.symbol.num_embeddings - 1
        before = F.pad(x, (1, 0), value=begin)[..., :n]
        place = rearrange(self.row, "row d -> row 1 d") + self.column
        place = rearrange(place, "row column d -> (row column) d")
        if n > len(place):
            raise ValueError(f"{n} tokens, but there are places for {len(place)}")
        return self.read(self.blocks(self.symbol(before) + place[:n]))


def _quiet_ends(model: SparseTransformer) -> None:
    """Deep models begin as quiet as shallow ones (sec. 5.2)."""
    for block in model.blocks:
        for end in (block.attention[-1].out, block.feed_forward[-1]):
            layers = len(model.blocks)
            nn.init.normal_(end.weight, std=0.5 / math.sqrt(2 * layers * end.in_features))


def _places_and_quiet_ends(model: SparseTransformer) -> None:
    nn.init.normal_(model.row)
    nn.init.normal_(model.column)
    _quiet_ends(model)


def _possible(heads: int, pattern: str, stride: int, summaries: int, way: str, **_) -> None:
    """What `sparse_attention` would refuse at the first call."""
    if way not in WAYS:
        raise ValueError(f"{way=} is none of {', '.join(WAYS)}")
    if pattern == "dense":
        return
    if pattern not in PATTERNS:
        raise ValueError(f"{pattern=} is none of {', '.join(PATTERNS)}, dense")
    parts = len(parts_of(pattern, stride, summaries))
    if way == "split" and heads % parts:
        raise ValueError(f"{heads=} have no halves: split them with an even number")


# What is asked before the functions above, which stay as one writes them on paper.


def _masks(q, k, v, first, second, way: str, layer: int = 0) -> None:
    if way not in WAYS:
        raise ValueError(f"{way=} is none of {', '.join(WAYS)}")
    checks.sizes(("first", first, "i j"), ("second", second, "i j"))
    for mask in (first, second):
        checks.attention(q, k, v, mask)


def _so_many(n: int = 0, stride: int = 1, summaries: int = 1, i: int = 0) -> None:
    if not 0 < summaries <= stride:
        raise ValueError(f"{summaries=} of a block, but it has {stride} keys")


def _together(make: Callable) -> Callable:
    """The same for leading axes and heads that are 1 and stand for all; what no token reads is
    nothing."""

    @wraps(make)
    def attention(q: Tensor, k: Tensor, v: Tensor, *rest, **more) -> Tensor:
        q, k, v = checks.line(q, k, v)
        return make(q, k, v, *rest, **more) if q.shape[-2] else v.clone()

    return attention


_line_of = checks.numbers(n=FROM_0, window=COUNT, stride=COUNT, summaries=INTEGER)
_keys_of = checks.numbers(i=FROM_0, window=COUNT, stride=COUNT, summaries=INTEGER)
_steps = checks.numbers(window=COUNT, stride=COUNT, summaries=INTEGER, layer=INTEGER)
local_mask = _line_of(local_mask)
strided_mask = _line_of(strided_mask)
block_mask = _line_of(block_mask)
summary_mask = _line_of(checks.before(_so_many)(summary_mask))
masks = _line_of(masks)
local_keys = _keys_of(local_keys)
strided_keys = _keys_of(strided_keys)
block_keys = _keys_of(block_keys)
summary_keys = _keys_of(checks.before(_so_many)(summary_keys))
in_blocks = checks.numbers(length=INTEGER)(in_blocks)
parts_of = _steps(parts_of)
factorised_attention = _steps(checks.before(_masks)(factorised_attention))
local_attention = _steps(_together(local_attention))
strided_attention = _steps(_together(strided_attention))
sparse_attention = _steps(_together(sparse_attention))
equip(Block)
equip(SparseSelfAttention, check=_possible)
equip(SparseTransformer, check=_possible, reset=_places_and_quiet_ends)
