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
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from solutions import checks, multi_head
from solutions.arguments import COUNT, FROM_0, equip
from solutions.multi_head import MultiHeadAttention, merge_heads, split_heads
from solutions.positional import sinusoidal
from solutions.scaled_dot_product import attention_weights, causal_mask
from solutions.torch_weights import activation_refused, copy, norm_copied

PAD, BEGIN, END = 0, 1, 2  # the first three words of every vocabulary


class FeedForward(nn.Module):
    """The same two layers for every token, with a ReLU between: wider, then back (eq. 2)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        """For each token a function of that token alone."""
        return self.down(self.up(x).relu())


class Residual(nn.Module):
    """A residual connection around a function, and a norm: after the sum ("post") or before the
    function ("pre").

    Raises ValueError for any other norm.
    """

    def __init__(self, dim: int, norm: str = "post", dropout: float = 0.1):
        super().__init__()
        if norm not in ("post", "pre"):
            raise ValueError(f'{norm=} is neither "post" nor "pre"')
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b n dim"], function: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "b n dim"]:
        """norm(x + function(x)), or x + function(norm(x)): `function` is called once. Dropout
        acts on what it gives."""
        if self.pre:
            return x + self.dropout(function(self.norm(x)))
        return self.norm(x + self.dropout(function(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network, each in a residual connection."""

    def __init__(
        self, dim: int, heads: int, hidden: int, norm: str = "post", dropout: float = 0.1
    ):
        super().__init__()
        self.self_attention = MultiHeadAttention(dim, heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.around_attention = Residual(dim, norm, dropout)
        self.around_feed_forward = Residual(dim, norm, dropout)

    def forward(
        self, x: Float[Tensor, "b n dim"], mask: Bool[Tensor, "*#b #n #n"] | None = None
    ) -> Float[Tensor, "b n dim"]:
        """Attention, then the feed-forward network, each in its residual connection. `mask` is
        True where a token may attend."""
        x = self.around_attention(x, lambda x: self.self_attention(x, mask=mask))
        return self.around_feed_forward(x, self.feed_forward)


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the memory, then a feed-forward network."""

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

    def forward(
        self,
        x: Float[Tensor, "b i dim"],
        memory: Float[Tensor, "b j dim"],
        memory_mask: Bool[Tensor, "*#b #i #j"] | None = None,
    ) -> Float[Tensor, "b i dim"]:
        """Causal attention, attention to the memory, the feed-forward network, each in its
        residual connection. `memory_mask` is True where a token may attend to the memory."""
        causal = causal_mask(x.shape[1], x.shape[1]).to(x.device)
        x = self.around_self(x, lambda x: self.self_attention(x, mask=causal))
        x = self.around_cross(x, lambda x: self.cross_attention(x, memory, memory_mask))
        return self.around_feed_forward(x, self.feed_forward)


def from_torch(layer: nn.Module) -> EncoderLayer | DecoderLayer:
    """A layer with the weights of an nn.TransformerEncoderLayer or nn.TransformerDecoderLayer,
    without dropout: it gives the same output as torch's in evaluation, with the batch first; a
    decoder layer, which is causal, as torch's with a causal `tgt_mask`.

    Raises ValueError where torch's has another activation than a ReLU, and where
    `solutions.multi_head.from_torch` does.
    """
    if not isinstance(layer, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        name = type(layer).__name__
        raise ValueError(f"{name} is no TransformerEncoderLayer and no TransformerDecoderLayer")
    activation_refused(layer.activation)
    decodes = isinstance(layer, nn.TransformerDecoderLayer)
    sizes = (layer.linear1.in_features, layer.self_attn.num_heads, layer.linear1.out_features)
    norm = "pre" if layer.norm_first else "post"
    like = layer.linear1.weight
    place = dict(device=like.device, dtype=like.dtype)
    ours = (DecoderLayer if decodes else EncoderLayer)(*sizes, norm, 0.0, **place)
    for mine, theirs in (
        (ours.feed_forward.up, layer.linear1),
        (ours.feed_forward.down, layer.linear2),
    ):
        copy(mine, theirs.weight, theirs.bias)
    attention = multi_head.from_torch(layer.self_attn)
    ours.self_attention.load_state_dict(attention.state_dict())
    if decodes:
        attention = multi_head.from_torch(layer.multihead_attn)
        ours.cross_attention.load_state_dict(attention.state_dict())
        around = (ours.around_self, ours.around_cross, ours.around_feed_forward)
        norms = (layer.norm1, layer.norm2, layer.norm3)
    else:
        around = (ours.around_attention, ours.around_feed_forward)
        norms = (layer.norm1, layer.norm2)
    for one, theirs in zip(around, norms, strict=True):
        norm_copied(one.norm, theirs)
    return ours.train(layer.training)


def padding(source: Int[Tensor, "b j"]) -> Bool[Tensor, "b 1 j"]:
    """The mask of a batch of sentences: True where there is a word."""
    return rearrange(source != PAD, "b j -> b 1 j")


class Transformer(nn.Module):
    """An encoder that reads the source, and a decoder that writes the target word by word.

    Words are numbers: 0 is padding, 1 begins a target and 2 ends it. With `share` source,
    target and output use one matrix; ValueError where the vocabularies differ in size.
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
            raise ValueError(f"{source_words=} and {target_words=} cannot share a matrix")
        self.source = nn.Embedding(source_words, dim)
        self.target = self.source if share else nn.Embedding(target_words, dim)
        self.out = nn.Linear(dim, target_words, bias=False)
        sizes = (dim, heads, hidden, norm, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        pre = norm == "pre"  # with post-norm the last layer has normalised already
        self.encoder_norm = nn.LayerNorm(dim) if pre else nn.Identity()
        self.decoder_norm = nn.LayerNorm(dim) if pre else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        for matrix in (weight for weight in self.parameters() if weight.ndim > 1):
            nn.init.xavier_uniform_(matrix)
        for layer in (self.source, self.target, self.out):
            nn.init.normal_(layer.weight, std=dim**-0.5)  # so that embed gives numbers near 1
        if share:
            self.out.weight = self.source.weight

    def embed(
        self, words: Int[Tensor, "b n"], embedding: nn.Embedding, first: int = 0
    ) -> Float[Tensor, "b n dim"]:
        """Words as vectors, times sqrt(dim), plus their positions `first`, `first` + 1, …"""
        x = embedding(words) * math.sqrt(embedding.embedding_dim)
        positions = torch.arange(first, first + words.shape[1], device=x.device).float()
        return self.dropout(x + sinusoidal(positions, x.shape[-1]).to(x.dtype))

    def encode(self, source: Int[Tensor, "b j"]) -> Float[Tensor, "b j dim"]:
        """The memory: for each source word what the encoder makes of it in its sentence."""
        x = self.embed(source, self.source)
        for layer in self.encoder:
            x = layer(x, padding(source))
        return self.encoder_norm(x)

    def decode(
        self,
        target: Int[Tensor, "b i"],
        memory: Float[Tensor, "b j dim"],
        source: Int[Tensor, "b j"],
    ) -> Float[Tensor, "b i words"]:
        """After each target word the logits of the next. `source` says what is padding."""
        x = self.embed(target, self.target)
        for layer in self.decoder:
            x = layer(x, memory, padding(source))
        return self.out(self.decoder_norm(x))

    def forward(
        self, source: Int[Tensor, "b j"], target: Int[Tensor, "b i"]
    ) -> Float[Tensor, "b i words"]:
        """After each target word the logits of the next. `target` begins with BEGIN."""
        return self.decode(target, self.encode(source), source)


def parameters(words: int, dim: int, hidden: int, layers: int) -> int:
    """How many numbers a post-norm Transformer learns that shares its matrix of words."""
    attention = 4 * dim**2 + 4 * dim
    feed_forward = 2 * dim * hidden + hidden + dim
    norm = 2 * dim
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    return words * dim + layers * (encoder_layer + decoder_layer)


def attention_maps(model: nn.Module, *inputs: Tensor) -> dict[str, Float[Tensor, "b head _ _"]]:
    """The map of every attention inside a model, read off while the model runs.

    The names are those of the layers, such as "decoder.0.cross_attention".
    """
    maps, handles = {}, []
    for name, layer in model.named_modules():
        if isinstance(layer, MultiHeadAttention):

            def note(layer, args, kwargs, name=name):
                maps[name] = layer.attention(*args, **kwargs)

            handles.append(layer.register_forward_pre_hook(note, with_kwargs=True))
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return maps


# training


def label_smoothing_loss(
    logits: Float[Tensor, "b i words"], target: Int[Tensor, "b i"], smoothing: float = 0.1
) -> Float[Tensor, ""]:
    """Cross-entropy with a smoothed target: the mean over words that are no padding.

    The right word gets 1 - smoothing, and the rest is spread evenly over all words (Szegedy et
    al.).
    """
    log_p = logits.log_softmax(-1)
    right = rearrange(log_p.gather(-1, target[..., None]), "b i 1 -> b i")
    any_word = reduce(log_p, "b i words -> b i", "mean")
    loss = -(1 - smoothing) * right - smoothing * any_word
    return loss[target != PAD].mean()


def learning_rate(
    step: Float[Tensor, "*n"], dim: int, warmup: int = 4000
) -> Float[Tensor, "*n"]:
    """Up along a line for `warmup` steps, then down as 1 / sqrt(step); steps count from 1
    (eq. 3)."""
    return dim**-0.5 * torch.minimum(step**-0.5, step * warmup**-1.5)


# decoding


def greedy(
    logits: Callable[[Tensor], Tensor], start: Int[Tensor, "b 1"], longest: int
) -> Int[Tensor, "b i"]:
    """Always the likeliest next word, until every example has ended or has `longest` words.

    `logits` maps targets so far, b i, to the logits of the next word, b words, and is called
    once for each new word. `start` is the first word of each example, BEGIN; it is kept and not
    counted. After its END an example has PAD.
    """
    target, ended = start, torch.zeros_like(start[:, 0], dtype=torch.bool)
    while target.shape[1] <= longest and not ended.all():
        word = logits(target).argmax(-1).masked_fill(ended, PAD)
        target = torch.cat([target, rearrange(word, "b -> b 1")], dim=-1)
        ended = ended | (word == END)
    return target


def length_penalty(length: Float[Tensor, "*n"], alpha: float) -> Float[Tensor, "*n"]:
    """What the log-probability of a target of so many words is divided by (Wu et al., eq.
    14)."""
    return ((5 + length) / 6) ** alpha


def beam_step(
    log_p: Float[Tensor, "b beam"], next_log_p: Float[Tensor, "b beam words"], width: int
) -> tuple[Float[Tensor, "b width"], Int[Tensor, "b width"], Int[Tensor, "b width"]]:
    """The `width` likeliest ways to go on, the likeliest first: their log-probabilities, the
    beams that they continue, and the words that they add."""
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
    """The target with the largest log p / length_penalty that is found with `width` beams.

    `logits` maps targets so far, (b beam) i, and the rows of the last call which they continue
    to the logits of the next word, (b beam) words. A length counts END and not BEGIN. Where
    nothing has ended after `longest` words, the likeliest is taken as it is.
    """
    b, device = len(start), start.device
    own_rows = rearrange(torch.arange(b * width, device=device), "(b beam) -> b beam", b=b)
    beams, rows = repeat(start, "b 1 -> b beam 1", beam=width), own_rows
    lengths = torch.arange(longest + 1, dtype=torch.float32)
    penalties = length_penalty(lengths, alpha).tolist()
    log_p = torch.full((b, width), -math.inf, device=device)
    log_p[:, 0] = 0  # all beams are alike at first: one is enough
    best = start.new_full((b, 1 + longest), PAD)
    best_score = torch.full((b,), -math.inf, device=device)
    used = 1
    for length in range(1, longest + 1):
        step = logits(
            rearrange(beams, "b beam i -> (b beam) i"), rearrange(rows, "b beam -> (b beam)")
        )
        step = rearrange(step.float().log_softmax(-1), "(b beam) words -> b beam words", b=b)
        # At most half of twice as many end here, so enough are left to go on.
        found, parent, word = beam_step(log_p, step, min(2 * width, width * step.shape[-1]))
        longer = torch.cat([_rows(beams, parent), rearrange(word, "b w -> b w 1")], dim=-1)
        ends = word == END
        complete = ends.clone()
        if length == longest:
            complete |= rearrange(best_score == -math.inf, "b -> b 1")
        complete[:, width:] = False  # not among the `width` likeliest
        score, which = (found / penalties[length]).masked_fill(~complete, -math.inf).max(-1)
        if (better := score > best_score).any():
            used = length + 1  # longer than what was best before
            best[better, :used] = longer[better, which[better]]
        best_score = score.maximum(best_score)
        log_p, alive = found.masked_fill(ends, -math.inf).topk(width)
        beams, rows = _rows(longer, alive), own_rows[:, :1] + parent.gather(1, alive)
        # A longer target is never likelier, and no penalty is larger than the last.
        if (best_score >= log_p[:, 0] / penalties[-1]).all():
            break
    return best[:, :used]


def _rows(x: Int[Tensor, "b beam i"], which: Int[Tensor, "b w"]) -> Int[Tensor, "b w i"]:
    """Of each example the rows named, with repetitions."""
    return x.gather(1, repeat(which, "b w -> b w i", i=x.shape[-1]))


# a word at a time, with what is known kept


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
    """The newest token attends to all so far, itself among them: what it reads, then keys and
    values with its own at the end."""
    keys, values = torch.cat([keys, k], dim=-2), torch.cat([values, v], dim=-2)
    return attention_weights(q, keys) @ values, keys, values


class Cache(NamedTuple):
    """What a decoder layer remembers: keys and values of the words so far, and of the
    memory."""

    keys: Float[Tensor, "b head i d"]
    values: Float[Tensor, "b head i d"]
    memory_keys: Float[Tensor, "b head j d"]
    memory_values: Float[Tensor, "b head j d"]


def start_cache(layer: DecoderLayer, memory: Float[Tensor, "b j dim"]) -> Cache:
    """The cache before the first token: no words yet, and the memory, projected once."""
    cross = layer.cross_attention
    keys = split_heads(cross.key(memory), cross.heads)
    values = split_heads(cross.value(memory), cross.heads)
    return Cache(keys[:, :, :0], values[:, :, :0], keys, values)


def decoder_step(
    layer: DecoderLayer,
    x: Float[Tensor, "b 1 dim"],
    cache: Cache,
    memory_mask: Bool[Tensor, "*#b 1 #j"] | None = None,
) -> tuple[Float[Tensor, "b 1 dim"], Cache]:
    """One more token: what the layer gives for the last of all so far, and the longer cache."""
    own, cross = layer.self_attention, layer.cross_attention
    if memory_mask is not None:
        memory_mask = rearrange(memory_mask, "... i j -> ... 1 i j")  # the same for every head

    def read_words(x):
        nonlocal cache
        q, k, v = (split_heads(part(x), own.heads) for part in (own.query, own.key, own.value))
        read, keys, values = attend_and_remember(q, k, v, cache.keys, cache.values)
        cache = cache._replace(keys=keys, values=values)
        return own.out(merge_heads(read))

    def read_memory(x):
        q = split_heads(cross.query(x), cross.heads)
        weights = attention_weights(q, cache.memory_keys, memory_mask)
        return cross.out(merge_heads(weights @ cache.memory_values))

    x = layer.around_self(x, read_words)
    x = layer.around_cross(x, read_memory)
    return layer.around_feed_forward(x, layer.feed_forward), cache


class Incremental:
    """The next word's logits at the cost of one word a call: what came before is kept.

    Call it with the targets so far, which grow by one word from call to call. `rows` names the
    row of the last call that each row continues, if that is not its own.
    """

    def __init__(self, model: Transformer, source: Int[Tensor, "b j"]):
        self.model, self.mask = model, padding(source)
        memory = model.encode(source)
        self.caches = [start_cache(layer, memory) for layer in model.decoder]

    def __call__(
        self, target: Int[Tensor, "b i"], rows: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b words"]:
        """The logits of the word after each target."""
        model, known = self.model, self.caches[0].keys.shape[-2]
        if target.shape[1] != known + 1:
            raise ValueError(f"{target.shape[1]} words after {known}: one more at a time")
        if rows is not None:
            self.mask = self.mask[rows]
            self.caches = [Cache(*(part[rows] for part in cache)) for cache in self.caches]
        x = model.embed(target[:, -1:], model.target, first=known)
        for n, layer in enumerate(model.decoder):
            x, self.caches[n] = decoder_step(layer, x, self.caches[n], self.mask)
        return rearrange(model.out(model.decoder_norm(x)), "b 1 words -> b words")


@torch.no_grad()
def translate(
    model: Transformer,
    source: Int[Tensor, "b j"],
    longest: int,
    width: int = 1,
    alpha: float = 0.6,
) -> Int[Tensor, "b i"]:
    """Targets for the sources, greedily where `width` is 1, else by beams. Dropout is off
    meanwhile."""
    training = model.training
    model.eval()
    try:
        start = torch.full_like(source[:, :1], BEGIN)
        if width == 1:
            return greedy(Incremental(model, source), start, longest)
        rows = repeat(source, "b j -> (b beam) j", beam=width)
        return beam_search(Incremental(model, rows), start, longest, width, alpha)
    finally:
        model.train(training)


def _glorot(model: Transformer) -> None:
    """The matrices as the constructor starts them."""
    for matrix in (weight for weight in model.parameters() if weight.ndim > 1):
        nn.init.xavier_uniform_(matrix)
    for words in (model.source, model.target, model.out):
        nn.init.normal_(words.weight, std=model.source.embedding_dim**-0.5)


beam_search = checks.numbers(longest=FROM_0, width=COUNT)(beam_search)
translate = checks.numbers(longest=FROM_0, width=COUNT)(translate)
equip(FeedForward, Residual, EncoderLayer, DecoderLayer)
equip(Transformer, reset=_glorot)
