"""The Transformer: attention, a small network for each token, and nothing that recurs.

    F(x) = W_down relu(W_up x)                feed-forward       b n dim -> b n m -> b n dim
    x' = norm(x + f(x))                       post-norm          around every f
    x' = x + f(norm(x))                       pre-norm           the named variant
    encoder layer   f = attention x to x, then F                 b j dim -> b j dim
    decoder layer   f = causal attention x to x, attention x to memory, then F
    p = softmax over words of W x             next word          b i dim -> b i words

Axes     b batch, n tokens, i tokens of the target, j of the source, dim = (head d), m hidden
Units    logits are logarithms of odds; a mask is True where a query may attend
Cost     an encoder layer learns 4 dim² + 2 dim m weights (and biases), a decoder layer
         8 dim² + 2 dim m; a cache makes a step as dear as one token, not as all so far
Source   Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, sec. 3-6;
         Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020,
         arXiv:2002.04745 (pre-norm); Szegedy et al., "Rethinking the Inception Architecture",
         CVPR 2016, arXiv:1512.00567, sec. 7 (label smoothing); Wu et al., "Google's Neural
         Machine Translation System", 2016, arXiv:1609.08144, eq. 14 (length penalty)
Differs  the projections of attention have biases, as in torch; dropout where the paper has it
         (after each f and on the embeddings), while torch also drops weights and hidden units
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solutions.multi_head import MultiHeadAttention, merge_heads, split_heads
from solutions.scaled_dot_product import attention_weights, causal_mask

PAD, BEGIN, END = 0, 1, 2  # the first three words of every vocabulary


class FeedForward(nn.Module):
    """The same small network for every token: wider, rectified, back (eq. 2)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """For each token a function of that token alone."""
        return self.down(self.up(x).relu())


class Residual(nn.Module):
    """A way around a function, and a norm: after the sum ("post") or before the function
    ("pre").

    Raises ValueError for any other norm.
    """

    def __init__(self, dim: int, norm: str = "post", dropout: float = 0.1):
        super().__init__()
        if norm not in ("post", "pre"):
            raise ValueError(f'{norm=} is neither "post" nor "pre"')
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def before(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """What the function is given: x, normalised or as it is."""
        return self.norm(x) if self.pre else x

    def forward(
        self, x: Float[Tensor, "b n dim"], function: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "b n dim"]:
        """norm(x + function(x)), or x + function(norm(x)). Dropout acts on the function's
        output."""
        y = x + self.dropout(function(self.before(x)))
        return y if self.pre else self.norm(y)


class EncoderLayer(nn.Module):
    """Tokens that attend to each other, then think by themselves."""

    def __init__(
        self, dim: int, heads: int, hidden: int, norm: str = "post", dropout: float = 0.1
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(dim, heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.around_attention = Residual(dim, norm, dropout)
        self.around_feed_forward = Residual(dim, norm, dropout)

    def attention(
        self, x: Float[Tensor, "b n dim"], mask: Bool[Tensor, "*#b #n #n"] | None = None
    ) -> Float[Tensor, "b head n n"]:
        """The map of each head."""
        return self.self_attention.attention(self.around_attention.before(x), mask=mask)

    def forward(
        self, x: Float[Tensor, "b n dim"], mask: Bool[Tensor, "*#b #n #n"] | None = None
    ) -> Float[Tensor, "b n dim"]:
        """Attention, then the feed-forward network, each with its way around."""
        x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
        return self.around_feed_forward(x, self.feed_forward)


class Cache(NamedTuple):
    """What a decoder layer remembers: keys and values of the words so far and of the
    memory."""

    keys: Float[Tensor, "b head i d"]
    values: Float[Tensor, "b head i d"]
    memory_keys: Float[Tensor, "b head j d"]
    memory_values: Float[Tensor, "b head j d"]


class DecoderLayer(nn.Module):
    """Tokens that attend to earlier ones, then to the memory, then think by themselves."""

    def __init__(
        self, dim: int, heads: int, hidden: int, norm: str = "post", dropout: float = 0.1
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(dim, heads)
        self.cross_attention = MultiHeadAttention(dim, heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.around_self = Residual(dim, norm, dropout)
        self.around_cross = Residual(dim, norm, dropout)
        self.around_feed_forward = Residual(dim, norm, dropout)

    def attention(
        self,
        x: Float[Tensor, "b i dim"],
        memory: Float[Tensor, "b j dim"],
        memory_mask: Bool[Tensor, "*#b #i #j"] | None = None,
    ) -> tuple[Float[Tensor, "b head i i"], Float[Tensor, "b head i j"]]:
        """The maps of each head: tokens on earlier tokens, and tokens on the memory."""
        causal = causal_mask(x.shape[1], x.shape[1]).to(x.device)
        own = self.self_attention.attention(self.around_self.before(x), mask=causal)
        x = self.around_self(x, lambda x: self.self_attention(x, mask=causal))
        x = self.around_cross.before(x)
        return own, self.cross_attention.attention(x, memory, memory_mask)

    def forward(
        self,
        x: Float[Tensor, "b i dim"],
        memory: Float[Tensor, "b j dim"],
        memory_mask: Bool[Tensor, "*#b #i #j"] | None = None,
    ) -> Float[Tensor, "b i dim"]:
        """Causal attention, attention to the memory, the feed-forward network, each with its
        way around. `memory_mask` is True where a token may attend to the memory."""
        causal = causal_mask(x.shape[1], x.shape[1]).to(x.device)
        x = self.around_self(x, lambda x: self.self_attention(x, mask=causal))
        x = self.around_cross(x, lambda x: self.cross_attention(x, memory, memory_mask))
        return self.around_feed_forward(x, self.feed_forward)

    def start(self, memory: Float[Tensor, "b j dim"]) -> Cache:
        """The cache before the first token: no words yet, and the memory, projected once."""
        layer = self.cross_attention
        keys, values = (
            split_heads(layer.key(memory), layer.heads),
            split_heads(layer.value(memory), layer.heads),
        )
        return Cache(keys[:, :, :0], values[:, :, :0], keys, values)

    def step(
        self,
        x: Float[Tensor, "b 1 dim"],
        cache: Cache,
        memory_mask: Bool[Tensor, "*#b 1 #j"] | None = None,
    ) -> tuple[Float[Tensor, "b 1 dim"], Cache]:
        """One more token: what `forward` gives for the last one, and the longer cache."""
        own, other = self.self_attention, self.cross_attention
        if memory_mask is not None:
            memory_mask = rearrange(memory_mask, "... i j -> ... 1 i j")

        def read_own(x):
            nonlocal cache
            q, k, v = (split_heads(f(x), own.heads) for f in (own.query, own.key, own.value))
            read, keys, values = attend_and_remember(q, k, v, cache.keys, cache.values)
            cache = cache._replace(keys=keys, values=values)
            return own.out(merge_heads(read))

        def read_memory(x):
            q = split_heads(other.query(x), other.heads)
            weights = attention_weights(q, cache.memory_keys, memory_mask)
            return other.out(merge_heads(weights @ cache.memory_values))

        x = self.around_self(x, read_own)
        x = self.around_cross(x, read_memory)
        return self.around_feed_forward(x, self.feed_forward), cache


def attend_and_remember(
    q: Float[Tensor, "b head 1 d"],
    k: Float[Tensor, "b head 1 d"],
    v: Float[Tensor, "b head 1 d"],
    keys: Float[Tensor, "b head past d"],
    values: Float[Tensor, "b head past d"],
) -> tuple[
    Float[Tensor, "b head 1 d"],
    Float[Tensor, "b head now d"],
    Float[Tensor, "b head now d"],
]:
    """One query attends to all keys so far, its own among them: what it reads, and the keys and
    values with one more each."""
    keys, values = torch.cat([keys, k], dim=-2), torch.cat([values, v], dim=-2)
    return attention_weights(q, keys) @ values, keys, values


def _sinusoidal(n: int, dim: int) -> Float[Tensor, "n dim"]:
    """Sines and cosines of the position, ever slower: features 2 f and 2 f + 1 turn together."""
    rate = 10_000 ** (-torch.arange(0, dim, 2) / dim)
    angle = rearrange(torch.arange(n), "n -> n 1") * rate
    waves = torch.stack([angle.sin(), angle.cos()], dim=-1)
    return rearrange(waves, "n f wave -> n (f wave)")[:, :dim]


class Maps(NamedTuple):
    """Attention maps, one for each layer: encoder b head j j, decoder b head i i, cross
    b head i j."""

    encoder: list[Tensor]
    decoder: list[Tensor]
    cross: list[Tensor]


class Transformer(nn.Module):
    """An encoder that reads the source, and a decoder that writes the target word by word.

    Words are numbers; 0 is padding, 1 begins a target and 2 ends it. With `share` the source,
    the target and the output use one matrix. Raises ValueError where vocabularies of different
    size would have to.
    """

    def __init__(
        self,
        source_words: int,
        target_words: int,
        dim: int = 512,
        heads: int = 8,
        hidden: int = 2048,
        layers: int = 6,
        norm: Literal["post", "pre"] = "post",
        dropout: float = 0.1,
        share: bool = False,
    ):
        super().__init__()
        if share and source_words != target_words:
            raise ValueError(
                f"{source_words=} and {target_words=} cannot share a matrix: not equal"
            )
        self.dim = dim
        self.source = nn.Embedding(source_words, dim)
        self.target = self.source if share else nn.Embedding(target_words, dim)
        self.out = nn.Linear(dim, target_words, bias=False)
        if share:
            self.out.weight = self.source.weight
        sizes = (dim, heads, hidden, norm, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        pre = norm == "pre"  # post-norm has normalised already, in its last layer
        self.encoder_norm = nn.LayerNorm(dim) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(dim) if pre else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self):
        """Glorot's for every matrix; embeddings such that, times sqrt(dim), they have size 1."""
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        for layer in (self.source, self.target, self.out):
            nn.init.normal_(layer.weight, std=self.dim**-0.5)

    def embed(
        self, words: Int[Tensor, "b n"], embedding: nn.Embedding, first: int = 0
    ) -> Float[Tensor, "b n dim"]:
        """Words as vectors, with their positions added; the first stands at position
        `first`."""
        x = embedding(words) * math.sqrt(self.dim)
        positions = _sinusoidal(first + words.shape[1], self.dim)[first:]
        return self.dropout(x + positions.to(x))

    def encode(self, source: Int[Tensor, "b j"]) -> Float[Tensor, "b j dim"]:
        """The memory: each source word as it is understood in its sentence."""
        x, mask = self.embed(source, self.source), padding(source)
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x)

    def decode(
        self,
        target: Int[Tensor, "b i"],
        memory: Float[Tensor, "b j dim"],
        source: Int[Tensor, "b j"],
    ) -> Float[Tensor, "b i words"]:
        """After each target word the logits of the next. `source` says what is padding."""
        x, mask = self.embed(target, self.target), padding(source)
        for layer in self.decoder:
            x = layer(x, memory, mask)
        return self.out(self.decoder_norm(x))

    def forward(
        self, source: Int[Tensor, "b j"], target: Int[Tensor, "b i"]
    ) -> Float[Tensor, "b i words"]:
        """After each target word the logits of the next: `target` begins with BEGIN."""
        return self.decode(target, self.encode(source), source)

    def attention(self, source: Int[Tensor, "b j"], target: Int[Tensor, "b i"]) -> Maps:
        """Every map of every layer and head."""
        maps, mask = Maps([], [], []), padding(source)
        x = self.embed(source, self.source)
        for layer in self.encoder:
            maps.encoder.append(layer.attention(x, mask))
            x = layer(x, mask)
        memory, x = self.encoder_norm(x), self.embed(target, self.target)
        for layer in self.decoder:
            own, cross = layer.attention(x, memory, mask)
            maps.decoder.append(own)
            maps.cross.append(cross)
            x = layer(x, memory, mask)
        return maps


def padding(source: Int[Tensor, "b j"]) -> Bool[Tensor, "b 1 j"]:
    """The mask of a batch of sentences: True where there is a word."""
    return rearrange(source != PAD, "b j -> b 1 j")


class Incremental:
    """The next word's logits, at the cost of one word a call: all that came before is cached.

    Call it with the target so far, which grows by one word from call to call. `rows` says which
    row of the last call each row continues, where that is not the same one.
    """

    def __init__(self, model: Transformer, source: Int[Tensor, "b j"]):
        self.model, self.mask = model, padding(source)
        memory = model.encode(source)
        self.caches = [layer.start(memory) for layer in model.decoder]

    def __call__(
        self, target: Int[Tensor, "b i"], rows: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b words"]:
        if rows is not None:
            self.mask = self.mask[rows]
            self.caches = [Cache(*(part[rows] for part in cache)) for cache in self.caches]
        model, first = self.model, self.caches[0].keys.shape[-2]
        if target.shape[1] != first + 1:
            raise ValueError(
                f"{target.shape[1]} words, of which {first} are known: not one more"
            )
        x = model.embed(target[:, -1:], model.target, first)
        for n, layer in enumerate(model.decoder):
            x, self.caches[n] = layer.step(x, self.caches[n], self.mask)
        return rearrange(model.out(model.decoder_norm(x)), "b 1 words -> b words")


def greedy(
    logits: Callable[[Tensor], Tensor], start: Int[Tensor, "b 1"], longest: int
) -> Int[Tensor, "b i"]:
    """Always the likeliest next word, until every example has ended or has `longest` words.

    `logits` maps targets so far, b i, to the logits of the next word, b words. `start` is the
    first word of each, BEGIN. It is kept; after its END an example has PAD.
    """
    target = start
    ended = torch.zeros_like(start[:, 0], dtype=torch.bool)
    while target.shape[1] <= longest and not ended.all():
        word = logits(target).argmax(-1).masked_fill(ended, PAD)
        target = torch.cat([target, rearrange(word, "b -> b 1")], dim=-1)
        ended = ended | (word == END)
    return target


def length_penalty(length: Float[Tensor, "*n"], alpha: float) -> Float[Tensor, "*n"]:
    """What the log-probability of so many words is divided by (Wu et al., eq. 14)."""
    return ((5 + length) / 6) ** alpha


def beam_step(
    log_p: Float[Tensor, "b beam"], next_log_p: Float[Tensor, "b beam words"], width: int
) -> tuple[Float[Tensor, "b width"], Int[Tensor, "b width"], Int[Tensor, "b width"]]:
    """The `width` likeliest ways to go on: their log-probabilities, the beams that they
    continue and the words that they add, the likeliest first."""
    words = next_log_p.shape[-1]
    every = rearrange(log_p, "b beam -> b beam 1") + next_log_p
    best, place = rearrange(every, "b beam word -> b (beam word)").topk(width)
    return best, place // words, place % words


def beam_search(
    logits: Callable[[Tensor, Tensor], Tensor],
    start: Int[Tensor, "b 1"],
    longest: int,
    width: int = 4,
    alpha: float = 0.6,
) -> Int[Tensor, "b i"]:
    """The best target found with `width` alive at a time, by log p / length_penalty.

    `logits` maps targets so far, (b beam) i, and the rows of the last call that they continue,
    to the logits of the next word. Length counts the words after BEGIN, END with them. An
    example of which nothing has ended after `longest` words gives its likeliest.
    """
    b = len(start)
    target = repeat(start, "b 1 -> b beam 1", beam=width)
    first = torch.arange(b * width, device=start.device)
    rows = first  # which row of the last call each row continues
    offset = rearrange(first[::width], "b -> b 1")  # where the rows of each example begin
    found = start.new_full((b, 1 + longest), PAD)
    found_score = torch.full((b,), -math.inf, device=start.device)
    log_p = None
    for length in range(1, longest + 1):
        flat = rearrange(target, "b beam i -> (b beam) i")
        step = logits(flat, rows).float().log_softmax(-1)
        step = rearrange(step, "(b beam) words -> b beam words", beam=width)
        if log_p is None:  # all beams are alike: let only the first go on
            log_p = torch.full((b, width), -math.inf, device=start.device)
            log_p[:, 0] = 0
        # Of twice as many at most half end here, so `width` stay alive.
        best, beam, word = beam_step(log_p, step, min(2 * width, width * step.shape[-1]))
        longer = torch.cat(
            [target.gather(1, repeat(beam, "b w -> b w i", i=length)), word[..., None]], dim=-1
        )
        penalty = length_penalty(torch.tensor(float(length)), alpha).item()
        last = length == longest
        ends = (word == END) | last
        score = (best / penalty).masked_fill(~ends, -math.inf)
        score, which = score.max(-1)
        better = score > found_score
        candidate = longer[torch.arange(b, device=start.device), which]
        found[better] = PAD
        found[better, : length + 1] = candidate[better]
        found_score = torch.where(better, score, found_score)
        alive, keep = best.masked_fill(word == END, -math.inf).topk(width)
        target = longer.gather(1, repeat(keep, "b w -> b w i", i=length + 1))
        log_p, rows = alive, rearrange(offset + beam.gather(1, keep), "b beam -> (b beam)")
        # Words only cost: no log-probability rises, and no penalty is larger than the last.
        hope = alive[:, 0] / length_penalty(torch.tensor(float(longest)), alpha).item()
        if (found_score >= hope).all():
            break
    return found[:, : int((found != PAD).sum(-1).max())]
