# %% [markdown]
# # 4 · The Transformer
#
# In 2016 translation programs read a sentence with a **recurrent network**: word after word, each step
# waiting for the last. Two things were wrong with that. The steps could not be computed in parallel,
# which made training slow. And what the first word had to say to the fiftieth passed through forty-nine
# steps and grew weaker with each. Attention (chapter 01) had been added to such networks, as a
# shortcut from the decoder to the words of the source.

# %% [markdown]
# Eight people at Google asked what would be left if one kept the shortcut and removed the recurrence.
# Their answer is the paper [Attention Is All You Need](https://arxiv.org/abs/1706.03762) by Ashish
# Vaswani and seven others (NeurIPS 2017), and its model is called the **Transformer**. A footnote of the
# paper says who did what. Jakob Uszkoreit proposed to replace recurrence by self-attention and began to
# try it out. Vaswani and Illia Polosukhin built the first models. Noam Shazeer proposed to scale the
# dot products, to use several heads, and to mark positions without learned parameters.

# %% [markdown]
# ### What came of it
#
# | WMT 2014, English to | German | French | cost of training (German) |
# |---|---|---|---|
# | best single model before | 26.03 BLEU | 40.56 BLEU | $2.0 \cdot 10^{19}$ operations |
# | best ensemble before | 26.36 | 41.29 | $7.7 \cdot 10^{19}$ |
# | Transformer, base | 27.3 | 38.1 | $3.3 \cdot 10^{18}$ |
# | Transformer, big | **28.4** | **41.8** | $2.3 \cdot 10^{19}$ |
#
# (Table 2 of the paper. The first two rows are recurrent networks and convolutional ones, whichever was better.
# **BLEU** tells, from 0 to 100, how many short runs of words agree with a human
# translation.)
# In German the base model beats everything before it, the ensembles included, at a sixth of what the
# best single model cost to train. In French only the big model does. The base model was trained in 12
# hours and the big one in 3.5 days, on eight graphics cards, as the paper reports.

# %% [markdown]
# ### Where it lives today
#
# Within two years the two halves went separate ways. The encoder alone became
# [BERT](https://arxiv.org/abs/1810.04805), which reads; the decoder alone became GPT, which writes, and
# with [GPT-3](https://arxiv.org/abs/2005.14165) the large language models of today. In 2020 an encoder
# was given the patches of an image as its words: the
# [Vision Transformer](https://arxiv.org/abs/2010.11929) (ViT), with which this chapter ends. And
# [DETR](https://arxiv.org/abs/2005.12872) detects objects with both halves, though its decoder has no causal mask
# and finds all objects at once.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | the layers of encoder and decoder, the model, its loss and its learning rate, greedy and beam decoding, the KV cache | your layers give torch's output with torch's weights; a model that you train in a minute reads dates as people write them | multi-head attention (chapter 02), masks (chapter 01), sinusoidal positions (chapter 03) |
#
# **About 4 hours**, of which 87 minutes are exercises. A CPU is enough. Beam search in section 4.4 and the
# whole of section 4.7 may be skipped at first reading.
#
# | letter | what it counts |
# |---|---|
# | `b` | sentences in a batch |
# | `n` | tokens of a sentence, here words or letters |
# | `i`, `j` | queries, keys; in cross-attention the queries are tokens of the target, the keys tokens of the source |
# | $p$ | as an index: the position of a token |
# | `dim` | features of a token, `dim` = (`head` `d`) |
# | `m` | hidden features of the feed-forward network |

# %%
import math
from collections.abc import Callable
from datetime import date
from functools import cache, partial
from itertools import pairwise
from typing import Literal

import matplotlib.pyplot as plt
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
import numpy as np

from attncourse import check, hint
from attncourse.book import claim, diagrams, plots, result
from attncourse.papers import counting
from attncourse.tasks import dates as calendar
from attncourse.tasks.pictures import photograph
from solutions import transformer as library
from solutions.multi_head import MultiHeadAttention, merge_heads, split_heads
from solutions.positional import sinusoidal
from solutions.scaled_dot_product import attention_weights, causal_mask, padding_mask
from solutions.transformer import BEGIN, END, PAD, Incremental, padding

# %% [markdown]
# ### What was wrong with recurrence

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 5.2)
words = ["the", "3rd", "of", "May", "1987"]
for left, name in ((0.5, "Recurrent: step after step"), (9.0, "Self-attention: all at once")):
    ax.text(left - 0.3, 4.7, name, weight="bold")
    colour = diagrams.LEARNED if left < 5 else diagrams.ATTENTION
    for n, word in enumerate(words):
        x = left + 1.4 * n
        ax.text(x + 0.3, 0.4, word, ha="center", va="center")
        diagrams.matrix(ax, x, 0.9, [[0.5]], side=0.6)
        diagrams.matrix(ax, x, 3.4, [[0.6]], side=0.6, colour=colour)
        if left < 5:
            diagrams.arrow(ax, (x + 0.3, 1.55), (x + 0.3, 3.3))
            if n:
                diagrams.arrow(ax, (x - 0.75, 3.7), (x - 0.06, 3.7))
            continue
        for other in range(5):
            ax.plot([left + 1.4 * other + 0.3, x + 0.3], [1.5, 3.4], color=colour, lw=0.9)
plots.show(
    fig,
    "Left, a recurrent network: five words, a state above each, and arrows from each state to the next."
    " Right, self-attention: every one of five outputs is joined to all five words.",
)

# %% [markdown]
# The paper's Table 1 compares the two, for `n` tokens with `dim` features:
#
# | | operations a layer | steps that must wait for each other | longest path between two words |
# |---|---|---|---|
# | recurrent | $n \cdot \text{dim}^2$ | $n$ | $n$ |
# | self-attention | $n^2 \cdot \text{dim}$ | 1 | 1 |
#
# The price stands in the first column: it grows with the square of the length. For sentences, where
# $n$ is smaller than `dim`, this is a bargain; for images it is a problem, which chapters 08 to 11 deal
# with.

# %% [markdown]
# ### The model at a glance
#
# An **encoder** reads the source and makes of it a **memory**: one vector for each of its words. A
# **decoder** writes the target, one word at a time; it looks at what it has written so far and, by
# **cross-attention**, at the memory. Nearly every part of the figure is an exercise.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 15)
READ, LEARN, GREY = diagrams.ATTENTION, diagrams.LEARNED, diagrams.HIDDEN


def tower(ax, left, parts, right):
    """Boxes above each other; beside some of them, left or right, leads a residual connection."""
    boxes, side = [], left + 4.75 if right else left - 0.55
    for y, text, colour, around in parts:
        box = diagrams.layer(ax, left, y, text, 4.2, 0.75, colour)
        if boxes:
            diagrams.arrow(ax, boxes[-1].top, box.bottom)
        if around:
            low, into = (box.middle[0], y - 0.42), left + 4.28 if right else left - 0.08
            diagrams.arrow(ax, low, (side, low[1]), (side, y + 1.77), (into, y + 1.77))
        boxes.append(box)
    return boxes


low, norm = (1.3, "words + positions", LEARN, False), "add, norm"
parts = [low, (3.2, "self-attention", READ, True), (4.6, norm, GREY, False)]
parts += [(6.4, "feed-forward", LEARN, True), (7.8, norm, GREY, False)]
encoder = tower(ax, 1.6, parts, right=False)
parts = [low, (3.2, "causal self-attention", READ, True), (4.6, norm, GREY, False)]
parts += [(6.4, "cross-attention", READ, True), (7.8, norm, GREY, False)]
parts += [(9.6, "feed-forward", LEARN, True), (11.0, norm, GREY, False)]
decoder = tower(ax, 9.6, [*parts, (13.0, "linear, softmax", LEARN, False)], right=True)
diagrams.frame(ax, 0.7, 2.45, 5.5, 6.4, "6 encoder layers")
diagrams.frame(ax, 9.2, 2.45, 5.6, 9.6)
ax.text(14.8, 12.15, "6 decoder layers", ha="right", va="bottom", size=8.5, color="#666666")
top = encoder[-1].top
diagrams.arrow(ax, top, (top[0], 9.6), (7.5, 9.6), (7.5, 6.78), (9.52, 6.78))
ax.text(5.6, 9.7, "memory", ha="center", va="bottom", weight="bold")
ax.text(7.65, 6.9, "keys,\nvalues", ha="left", va="bottom", size=8.5)
for x, text in ((3.7, "source: the 3rd of May 1987"), (11.7, "target so far: begin 1 9 8")):
    ax.text(x, 0.35, text, ha="center", va="center", style="italic")
    diagrams.arrow(ax, (x, 0.65), (x, 1.22))
diagrams.arrow(ax, decoder[-1].top, (11.7, 14.4))
ax.text(11.7, 14.65, "next: 7", ha="center", va="center", style="italic")
plots.show(
    fig,
    "Left the encoder: source words with positions pass self-attention and a feed-forward network, each"
    " with a residual connection around it, then a sum and a norm; six such layers give the memory. Right"
    " the decoder: causal self-attention, cross-attention whose keys and values come from the memory, and"
    " a feed-forward network, six times; a linear layer and a softmax give the next word, 7.",
)

# %% [markdown]
# ## 4.1 A layer: attention, a feed-forward network, residual connections
#
# Why does a layer hold more than attention? Attention is an average, and averages make things alike.
# The next cells stack twelve attentions with nothing else and follow eight different tokens through them.
# Then they do the same with a **residual connection** (or **skip connection**) around each: the layer's
# input is added to what it computes.


# %%
def alike(x):
    """The mean cosine between different tokens: 1 where all point the same way."""
    x = F.normalize(x[0], dim=-1)
    n = len(x)
    return ((x @ x.mT).sum() - n) / (n * n - n)


def along(layers, x):
    """How alike the tokens are, before the first layer and after each."""
    found = [alike(x)]
    for layer in layers:
        x = layer(x)
        found.append(alike(x))
    return torch.stack(found).detach()


# %%
torch.manual_seed(0)
tokens = torch.randn(1, 8, 64)
attentions = [MultiHeadAttention(64, 4) for _ in range(12)]
alone = along(attentions, tokens)
around = along([lambda x, a=a: x + a(x) for a in attentions], tokens)

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.2, 2.6))
ys = {"attention alone": alone, "with residual connections": around}
plots.lines(
    ax, range(13), ys, "layers", "mean cosine", "Attention alone makes all tokens alike"
)
plots.show(fig, "Cosine over layers: one line jumps to 1 at once, the other rises slowly.")
claim(alone[3] > 0.99, "after three attentions alone, the tokens' mean cosine is above 0.99")
claim(around[3] < 0.15, "after three with residual connections it is below 0.15")

# %% [markdown]
# **What you should see.** The line of attention alone jumps to 1: after two or three layers all tokens point
# the same way, and what the sentence said is lost.
# [Dong, Cordonnier and Loukas](https://arxiv.org/abs/2103.03404) proved in 2021 that this must happen,
# and called it **rank collapse**: without residual connections and feed-forward networks, the tokens
# approach each other the faster, the deeper the stack. The residual connection carries every token past
# the average.

# %% [markdown]
# ### Two sublayers, and where the norm stands
#
# A layer has two **sublayers**. In the first, tokens attend to each other. In the second, each token
# passes by itself through the same **feed-forward network**. Why is that needed? Attention only mixes
# tokens: given its weights, what it does to the values is linear. The feed-forward network is where a
# token's own features are computed on.
#
# Around each sublayer leads a residual connection, and to each belongs a **layer normalisation**
# (short: norm), which gives the features of every token mean 0 and variance 1, and then a learned scale
# and shift.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 6.4)
boxes = {"attention": diagrams.ATTENTION, "feed-forward": diagrams.LEARNED}
for y, name in ((3.8, "post-norm (2017): norm(x + f(x))"), (0.3, "pre-norm: x + f(norm(x))")):
    post = name.startswith("post")
    ax.text(0.2, y + 2.0, name, weight="bold")
    diagrams.label(ax, (0.35, y + 0.3), "x")
    start = 0.6, y + 0.3
    for text, colour in boxes.items():
        fork = start[0] + 0.35
        steps = [(text, 2.4, colour), "+", ("norm", 1.2, GREY)]
        steps = steps if post else [("norm", 1.2, GREY), (text, 2.4, colour), "+"]
        at = start[0] + 0.8
        for step in steps:
            if step == "+":
                box = plus = diagrams.join(ax, at + 0.22, y + 0.3)
            else:
                box = diagrams.layer(ax, at, y, step[0], step[1], colour=step[2])
            diagrams.arrow(ax, start, box.left)
            start, at = box.right, box.right[0] + 0.45
        diagrams.arrow(
            ax, (fork, y + 0.3), (fork, y + 1.3), (plus.middle[0], y + 1.3), plus.top
        )
    diagrams.arrow(ax, start, (15.2, y + 0.3))
    diagrams.label(ax, (15.5, y + 0.3), "x'")
plots.show(
    fig,
    "Two rows. Post-norm: x goes through attention, is added to the result, and a norm follows; the same"
    " with the feed-forward network. Pre-norm: the norm stands before attention and before the"
    " feed-forward network, and nothing stands on the residual connection.",
)

# %% [markdown]
# $$
# \begin{aligned}
# F(x) &= W_\text{down} \operatorname{relu}(W_\text{up}\, x) && \text{(eq. 2 of the paper, biases left out)} \\
# \text{post-norm:} \quad x' &= \operatorname{norm}(x + f(x)) && \text{(paper)} \\
# \text{pre-norm:} \quad x' &= x + f(\operatorname{norm}(x)) && \text{(later; what most use today)}
# \end{aligned}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $x$, $x'$ | `b n dim` | tokens |
# | $W_\text{up}\, x$ | `b n m` | hidden features, usually $m = 4\,\text{dim}$ |
# | $f$ | | the function of a sublayer: attention, or $F$ |
#
# *Paper against code:* the two forms are mixed up often. A well-known tutorial,
# [The Annotated Transformer](https://github.com/harvardnlp/annotated-transformer/issues/1), describes
# post-norm and computes pre-norm.

# %% [markdown]
# ### Once by hand
#
# Take a token with two features, $x = (1, 3)$, and let $f$ double its input. A norm turns two numbers
# into $-1$ (the smaller) and $1$ (the larger), however far apart they are. Post-norm computes $x + f(x)
# = (3, 9)$, and the norm makes $(-1, 1)$ of it. Pre-norm begins with $\operatorname{norm}(x) = (-1,
# 1)$, doubles it to $(-2, 2)$, and adds $x$: the result is $(-1, 5)$. In pre-norm $x$ itself is still
# there.

# %%
x, norm = torch.tensor([[1.0, 3.0]]), partial(F.layer_norm, normalized_shape=(2,))
post, pre = norm(x + 2 * x), x + 2 * norm(x)
print("post-norm", *(round(v, 2) for v in post[0].tolist()))
print("pre-norm ", *(round(v, 2) for v in pre[0].tolist()))
claim((post - torch.tensor([-1.0, 1.0])).abs().max() < 1e-3, "post-norm gives (-1, 1)")
claim((pre - torch.tensor([-1.0, 5.0])).abs().max() < 1e-3, "pre-norm gives (-1, 5)")

# %% [markdown]
# **Predict.** In the base model of the paper, `dim` is 512 and `m` is 2048. Which learns more numbers,
# the attention of a layer or its feed-forward network?
#
# <details><summary>Answer</summary>
#
# The feed-forward network does: $2 \cdot 512 \cdot 2048 = 8 \cdot 512^2$ numbers, against
# $4 \cdot 512^2$ of the attention. Two thirds of an encoder layer are not attention.
#
# </details>

# %% [markdown]
# ### Exercise: `FeedForward`
#
# Both layers have a bias, as in the paper.

# %% exercise="transformer.feed_forward"

# %%
check("transformer.feed_forward", FeedForward)

# %% [markdown]
# Stuck? `hint("transformer.feed_forward")` gives one hint at a time. To read on without
# solving it: `from solutions.transformer import FeedForward`.

# %% [markdown]
# ### Exercise: `Residual`
#
# The function $f$ is handed to `forward`. `self.pre` says which of the two forms is wanted. Dropout
# acts on what the function gives, before it is added.

# %% exercise="transformer.residual"

# %%
check("transformer.residual", Residual)

# %% [markdown]
# Stuck? `hint("transformer.residual")`. To read on without solving it:
# `from solutions.transformer import Residual`.

# %% [markdown]
# ### Exercise: `EncoderLayer`
#
# Here are two sublayers, each with its own `Residual`. The attention wants a mask besides its input,
# while `Residual` passes on a single argument: a `lambda` helps.

# %% exercise="transformer.encoder_layer"

# %%
check("transformer.encoder_layer", EncoderLayer)

# %% [markdown]
# Stuck? `hint("transformer.encoder_layer")`. To read on without solving it:
# `from solutions.transformer import EncoderLayer`.

# %% [markdown]
# ### The same weights, the same output
#
# `from_torch` copies the weights of torch's layer into yours. Take care with the masks: in
# `nn.TransformerEncoderLayer` True means that a token may *not* attend.


# %%
def random_weights(layer):
    """Torch starts norms at 1 and biases at 0, where they would prove nothing."""
    for weight in layer.parameters():
        nn.init.normal_(weight, std=0.3)
    return layer.eval()


def agree(mine, its):
    """Whether two outputs are the same up to rounding in single precision."""
    return torch.allclose(mine, its, atol=1e-4)


# %%
torch.manual_seed(0)
x, causal = torch.randn(2, 5, 12), causal_mask(5, 5)
for norm in ("post", "pre"):
    theirs = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, norm_first=norm == "pre")
    random_weights(theirs)
    ours = EncoderLayer(12, 3, 20, norm).eval()
    ours.load_state_dict(library.from_torch(theirs).state_dict())
    masked = agree(ours(x, causal), theirs(x, src_mask=~causal))
    print(f"{norm}-norm: {agree(ours(x), theirs(x))}, with a mask: {masked}")

# %% [markdown]
# **What you should see.** The word True appears four times: your layer is torch's layer. If only
# pre-norm fails, look at what is added: $x$ itself, and not its norm. If only the masks fail, yours is
# not passed on.

# %% [markdown]
# ### Ablation: the residual connection, and where the norm stands
#
# Stack twelve of your layers, in both forms. How large are the features of the tokens after each
# layer, and how alike are the tokens?


# %%
@cache
def stream(norm, depth=12):
    """The size of a token's features after each layer, and how alike the tokens are."""
    torch.manual_seed(0)
    layers = [EncoderLayer(64, 4, 256, norm).eval() for _ in range(depth)]
    x, sizes = tokens, [tokens.std()]
    for layer in layers:
        x = layer(x)
        sizes.append(x.std())
    return torch.stack(sizes).detach(), along(layers, tokens)


# %% jupyter={"source_hidden": true}
sizes, likeness = zip(stream("post"), stream("pre"), strict=True)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.6))
names = ("post-norm", "pre-norm")
ys = dict(zip(names, sizes, strict=True))
plots.lines(axs[0], range(13), ys, "layers", "size of features", "With pre-norm, features grow")
axs[0].set_ylim(0, 1.6)
ys = dict(zip(names, likeness, strict=True))
plots.lines(axs[1], range(13), ys, "layers", "mean cosine", "In both, tokens grow alike slowly")
axs[1].set_ylim(0, 1)
for ax in axs:
    ax.set_xticks(range(0, 13, 3))
plots.show(
    fig, "Left: post-norm stays at 1, pre-norm rises to 1.4. Right: both stay below one half."
)

# %%
sizes, likeness = zip(stream("post"), stream("pre"), strict=True)
claim(abs(sizes[0][-1] - 1) < 0.01, "post-norm: features have size 1 after the last layer")
claim(sizes[1][-1] > 1.1, "pre-norm: after twelve layers features are larger than 1.1")
claim(
    max(last[3] for last in likeness) < 0.5, "in both, the cosine is below 0.5 after 3 layers"
)

# %% [markdown]
# **What you should see.** On the left, post-norm brings every token back to size 1. Pre-norm only ever
# adds, so that its features grow, and one more norm is needed where the layers end. On the right, the
# tokens grow alike much more slowly than with attention alone, in both, since the residual connections carry them
# past the averages.

# %% [markdown]
# ## 4.2 The decoder, teacher forcing, and the whole model
#
# The decoder writes one word at a time. In training, however, the whole right answer is known. For the
# target 1 9 8 7 the decoder is therefore given "begin 1 9 8 7", and is to say "1 9 8 7 end". It gets the
# right words instead of its own, and is asked for the next one at *every* place of the
# sentence at once. This is called **teacher forcing**. Input and answer are the same row of words,
# shifted by one: the input is `target[:, :-1]`, the answer is `target[:, 1:]`.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 6.2)
given, wanted = ["begin", "1", "9", "8", "7"], ["1", "9", "8", "7", "end"]
columns = [5.1 + 2.1 * n for n in range(5)]
rows = [(0.5, given, "the decoder is given\ntarget[:, :-1]", diagrams.DATA)]
rows += [(4.7, wanted, "the loss wants\ntarget[:, 1:]", diagrams.LEARNED)]
for y, words, text, colour in rows:
    ax.text(0.2, y + 0.4, text, va="center")
    for x, word in zip(columns, words, strict=True):
        diagrams.layer(ax, x, y, word, 1.6, 0.8, colour)
ax.text(0.2, 3.55, "each place sees only\nwords up to its own", va="center")
ax.text(0.2, 2.3, "thick: what the place\nthat must say 7 sees", va="center", size=8.5)
for n, x in enumerate(columns):
    for other in columns[: n + 1]:
        bold = {"lw": 2.2} if n == 3 else {"lw": 0.7}
        ax.plot([other + 0.8, x + 0.8], [1.36, 3.3], color=diagrams.ATTENTION, **bold)
    diagrams.matrix(ax, x + 0.55, 3.3, [[0.6]], side=0.5, colour=diagrams.ATTENTION)
    diagrams.arrow(ax, (x + 0.8, 3.88), (x + 0.8, 4.62))
plots.show(
    fig,
    "Two rows of words. Below what the decoder is given: begin, 1, 9, 8, 7. Above what the loss wants: 1,"
    " 9, 8, 7, end. Lines join each place to the words up to it and to none after it; for the fourth"
    " place, which must say 7, they lead to begin, 1, 9 and 8.",
)

# %% [markdown]
# One pass through the decoder thus teaches all next words of a sentence. (The term comes from recurrent networks,
# which are taught in the same way but must compute word after word.) It has a price: when the model writes, it is
# given its own words, which may be wrong, and it has never learned to go on from a mistake. No place may see the words after it; the **causal mask** of chapter 01 takes
# care of that. Two more masks hide the padding of the source: one in the encoder, one in
# cross-attention. Padding of the target needs none: it comes last, so the causal mask hides it from the
# real words, and the loss leaves it out.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(18.2, 6.2)
pad, later = np.arange(9) >= 7, np.triu(np.ones((6, 6), bool), 1)
masks = [("encoder:\nself-attention", 1.7, np.tile(pad, (9, 1)), "source source")]
masks += [("decoder:\nself-attention", 8.0, later, "target target")]
masks += [("decoder:\ncross-attention", 13.2, np.tile(pad, (6, 1)), "target source")]
for name, left, mask, letters in masks:
    low, cells = 4.9 - 0.47 * len(mask), np.full(mask.shape, 0.45)
    box = diagrams.matrix(ax, left, low, cells, letters, colour=READ, side=0.47, hidden=mask)
    ax.text(box.middle[0], 5.1, name, ha="center", va="bottom", weight="bold")
plots.show(
    fig,
    "Three masks. Encoder: the last two columns, which are padding, are hatched. Decoder,"
    " self-attention: the upper triangle is hatched. Decoder, cross-attention: again the last two columns.",
)

# %% [markdown]
# (In a green cell the query may attend to the key; a hatched one is hidden. Rows are queries, columns keys.)
#
# **Predict.** Suppose you forget one of the three masks. With which does the training loss become
# *better*, so that nothing seems to be wrong?
#
# <details><summary>Answer</summary>
#
# It is the causal mask. Without it the answer stands in the input: each place sees the next word and
# can copy it, so that the loss falls fast. Forgotten padding only adds noise. Section 4.6 trains a
# model without the causal mask.
#
# </details>
#
# | sublayer of the decoder | queries | keys and values | hidden |
# |---|---|---|---|
# | `self_attention` | target, `b i dim` | target, `b i dim` | what comes later |
# | `cross_attention` | target, `b i dim` | memory, `b j dim` | padding of the source |
# | `feed_forward` | | | |

# %% [markdown]
# ### Exercise: `DecoderLayer`
#
# The layer makes its causal mask itself, and `memory_mask` is given. Each sublayer has its own
# `Residual`. A new mask lies on the CPU: send it to `x.device`.

# %% exercise="transformer.decoder_layer"

# %%
check("transformer.decoder_layer", DecoderLayer)

# %% [markdown]
# Stuck? `hint("transformer.decoder_layer")`. To read on without solving it:
# `from solutions.transformer import DecoderLayer`.

# %% [markdown]
# ### From words to logits
#
# $$
# x_p = \sqrt{\text{dim}}\; E_{w_p} + P_p, \qquad \text{logits} = W x
# $$
#
# The word $w_p$ at position $p$ selects a row of a learned matrix $E$, its **embedding**. The row is first
# multiplied by $\sqrt{\text{dim}}$, because its numbers are of size $1/\sqrt{\text{dim}}$ and the sines and
# cosines of the position $P_p$ are of size 1. Then $P_p$ is added (chapter 03); `embed` does both. With `share`, $W$ is $E$ too, which is called **weight
# tying** ([Press and Wolf 2016](https://arxiv.org/abs/1608.05859)): the logit of a word is then the
# inner product of its embedding with $x$.
#
# | | axes | what it is |
# |---|---|---|
# | source, target | `b j`, `b i` | words as numbers; 0 is padding, 1 begins, 2 ends |
# | memory | `b j dim` | what the encoder gives |
# | logits | `b i words` | after each target word, for the next |

# %% [markdown]
# ### Exercise: `Transformer`
#
# Write `encode` and `decode`. `padding(source)` is the mask `b 1 j` for everything that attends to
# the source. With post-norm, `encoder_norm` and `decoder_norm` are the identity;
# call them in both cases.

# %% exercise="transformer.transformer"

# %%
check("transformer.transformer", Transformer)

# %% [markdown]
# Stuck? `hint("transformer.transformer")`. To read on without solving it:
# `from solutions.transformer import Transformer`.

# %% [markdown]
# ### Does it leak?
#
# First compare your decoder layer with torch's. Then test four properties of the whole model that no
# loss curve will ever show you.

# %%
torch.manual_seed(0)
x, memory, causal = torch.randn(2, 5, 12), torch.randn(2, 7, 12), causal_mask(5, 5)
there = padding_mask(torch.tensor([7, 4]), 7)
hidden = dict(tgt_mask=~causal, memory_key_padding_mask=~rearrange(there, "b 1 j -> b j"))
for norm in ("post", "pre"):
    theirs = nn.TransformerDecoderLayer(12, 3, 20, batch_first=True, norm_first=norm == "pre")
    random_weights(theirs)
    ours = DecoderLayer(12, 3, 20, norm).eval()
    ours.load_state_dict(library.from_torch(theirs).state_dict())
    print(f"{norm}-norm:", agree(ours(x, memory, there), theirs(x, memory, **hidden)))

# %%
torch.manual_seed(0)
model = random_weights(Transformer(20, 20, 12, 3, 20, layers=2)).double()
source, target = torch.randint(3, 20, (2, 7)), torch.randint(3, 20, (2, 5))
source[1, 4:] = PAD
before, later = model(source, target), target.clone()
later[:, 3] = 19  # perturb word 3
after = model(source, later)
print("no bit changes before word 3:", torch.equal(after[:, :3], before[:, :3]))
print("logits change from word 3 on:", bool((after[:, 3:] != before[:, 3:]).all()))

# %%
single = model(source[1:, :4], target[1:])
print("alone, without its padding:  ", torch.allclose(before[1:], single))
apart = torch.cat([model.encode(source[:1]), model.encode(source[1:])])
print("encoded together or apart:   ", torch.allclose(model.encode(source), apart))

# %% [markdown]
# **What you should see.** The word True appears six times. The first property of the model holds
# exactly, to the bit, because hidden keys get a weight of 0 and not a small one. If the third is False,
# some attention to the source lacks its mask. The fourth fails if examples of a batch get each other's
# mask.

# %% [markdown]
# ### Ablation: what each output depends on
#
# Replace each input token in turn by another one, and measure how much each output changes: once with
# the mask, and once in a copy from which the mask has been taken out.


# %%
class Unhidden(nn.Module):
    """An attention that is given a mask and does not use it."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x, context=None, mask=None):
        return self.attention(x, context)


# %%
@torch.no_grad()
def changes(layer):
    """How much each output changes when one input token is replaced: output, input."""
    torch.manual_seed(1)
    before, moved = layer(x, memory), []
    for p in range(5):
        other = x.clone()
        other[:, p] = torch.randn(2, 12)
        moved.append((layer(other, memory) - before).norm(dim=-1).mean(0))
    return torch.stack(moved, dim=-1)


# %% jupyter={"source_hidden": true}
hiding = DecoderLayer(12, 3, 20).eval()
honest = changes(hiding)
hiding.self_attention = Unhidden(hiding.self_attention)
leaking = changes(hiding)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.7), sharey=True)
titles = ("With the mask: exactly 0 above", "Without it: no 0 anywhere")
for ax, grid, name in zip(axs, (honest, leaking), titles, strict=True):
    grid = grid / grid.max()
    plots.heat(ax, grid, "input token replaced", "output", name, bar=False)
    for row, column in (grid == 0).nonzero().tolist():
        spot = plt.Rectangle(
            (column - 0.5, row - 0.5), 1, 1, fc=GREY, ec="#888888", hatch="////"
        )
        spot.set(lw=0, hatch_linewidth=0.4)
        ax.add_patch(spot)
fig.colorbar(axs[0].images[0], ax=axs, label="change, relative to the largest")
plots.show(fig, "Left: hatched, exactly 0, above the diagonal. Right: every output changes.")
claim(honest.triu(1).max() == 0, "with the mask, no output depends on a later word")
claim((leaking > 0).all(), "without it, every output depends on every word")

# %% [markdown]
# **What you should see.** On the left nothing at all changes above the diagonal, and on the right there
# is no zero. Remember this picture: in section 4.6 a model without the mask is trained,
# and its loss looks splendid.

# %% [markdown]
# ### Exercise: `parameters` (may be skipped at first reading)
#
# How many numbers does a post-norm Transformer with one shared word matrix learn? An attention has
# $4\,\text{dim}^2 + 4\,\text{dim}$ (chapter 02). Count the biases; a norm has a scale
# and a shift for each feature.

# %% exercise="transformer.parameters"

# %%
check("transformer.parameters", parameters)

# %% [markdown]
# Stuck? `hint("transformer.parameters")`. To read on without solving it:
# `from solutions.transformer import parameters`.

# %% [markdown]
# ### The paper's own table
#
# Table 3 varies the base model and prints its parameters in millions. The vocabulary is the same in all
# rows, so that the *differences* between rows of equal dim test your formula alone.

# %%
base = dict(words=37_000, dim=512, hidden=2048, layers=6)
rows = {"base": ({}, 65), "2 layers": (dict(layers=2), 36), "4 layers": (dict(layers=4), 50)}
rows |= {"8 layers": (dict(layers=8), 80), "m = 1024": (dict(hidden=1024), 53)}
rows |= {"m = 4096": (dict(hidden=4096), 90), "dim = 256": (dict(dim=256), 28)}
rows |= {"dim = 1024": (dict(dim=1024), 168)}
print("             paper   formula   to base: paper   formula")
for name, (change, printed) in rows.items():
    millions = parameters(**base | change) / 1e6
    more = millions - parameters(**base) / 1e6
    print(f"{name:10} {printed:7} {millions:9.1f} {printed - 65:+16} {more:+9.1f}")

# %%
missing = 65e6 - parameters(**base)
base["words"] += round(missing / 512, -2)  # each word has dim numbers
for change, _ in (rows["dim = 256"], rows["dim = 1024"]):
    print(f"with {base['words']:,.0f} words: {parameters(**base | change) / 1e6:.1f}")

# %% [markdown]
# **What you should see.** Where only the layers or $m$ change, the differences agree to the rounding. The
# level does not: the formula gives 63.1 million where the paper prints 65. The paper says that there are *about*
# 37,000 words. With 40,700 all comes out, the two rows with another dim included.

# %% [markdown]
# ## 4.3 Training: a smoothed loss and a learning rate that warms up
#
# Plain cross-entropy wants the right word to have probability 1, and no logit is ever large enough for
# that. **Label smoothing** ([Szegedy et al. 2015](https://arxiv.org/abs/1512.00567)) asks for a little
# less: it takes a small part $\varepsilon$ from the right word and spreads it evenly over all words.

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.6), width_ratios=(2, 3))
axs[0].bar(range(10), [0.91] + 9 * [0.01], color=diagrams.LEARNED)
axs[0].set(title="Ten words, ε = 0.1", ylabel="probability wanted", ylim=(0, 1))
axs[0].set(xticks=[0, 5], xticklabels=["right", "nine others"])
p = torch.linspace(0.03, 0.9999, 1000)
ys, lowest = {}, []
for smoothing in (0.0, 0.1, 0.3):
    rest = smoothing / 10
    right = 1 - smoothing + rest  # of 10 words
    ys[f"ε = {smoothing}"] = loss = -right * p.log() - 9 * rest * ((1 - p) / 9).log()
    lowest.append((p[loss.argmin()], loss.min()))
plots.lines(axs[1], p, ys, "p of the right word", "loss", "Being too sure is punished")
for line, (x, y) in zip(axs[1].lines, lowest, strict=True):
    axs[1].plot(x, y, "o", color=line.get_color(), ms=5, clip_on=False)
axs[1].set(ylim=(0, 4), xlim=(0, 1.02))
plots.show(
    fig,
    "Left, ten bars: the right word is to have 0.91, nine others 0.01 each. Right, the loss over p:"
    " without smoothing it falls to 0 at 1, with smoothing its lowest point, marked by a dot, lies before 1.",
)

# %% [markdown]
# $$
# t_w = (1 - \varepsilon)\,[w = \text{right}] + \frac{\varepsilon}{\text{words}},
# \qquad \text{loss} = - \sum_w t_w \log p_w
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $p$ | `b i words` | softmax of the logits |
# | $t$ | `b i words` | the smoothed target |
# | loss | | the mean over the words that are no padding |
#
# The bracket $[w = \text{right}]$ is 1 for the right word and 0 for all others.
#
# In small numbers: with four words, $\varepsilon = 0.2$ and $p = (0.7, 0.1, 0.1, 0.1)$, the target is
# $t = (0.85, 0.05, 0.05, 0.05)$, and the loss is
# $-0.85 \log 0.7 - 3 \cdot 0.05 \log 0.1 = 0.65$.

# %%
t, p = torch.tensor([0.85, 0.05, 0.05, 0.05]), torch.tensor([0.7, 0.1, 0.1, 0.1])
loss = -(t * p.log()).sum()
print(f"smoothed {loss:.2f}, without smoothing {-p[0].log():.2f}")
claim(abs(loss - 0.65) < 0.005, "by hand: the loss is 0.65")

# %% [markdown]
# **Predict.** With $\varepsilon = 0.1$ and 10 words: how far above the others is the logit of
# the right word where the loss is lowest?
#
# <details><summary>Answer</summary>
#
# The loss is lowest where $p = t$: 0.91 for the right word and 0.01 for each other. The logits
# differ by $\log(0.91 / 0.01) = 4.51$, and by no more, however long one trains.
#
# </details>

# %% [markdown]
# ### Exercise: `label_smoothing_loss`
#
# `target` holds the right words, and padding where a sentence has ended.

# %% exercise="transformer.label_smoothing_loss"

# %%
check("transformer.label_smoothing_loss", label_smoothing_loss)

# %% [markdown]
# Stuck? `hint("transformer.label_smoothing_loss")`. To read on without solving it:
# `from solutions.transformer import label_smoothing_loss`.

# %% [markdown]
# ### How far logits grow
#
# Here ten bare logits, of which number 3 is right, take 3000 steps of gradient descent. Torch's own
# loss stands beside yours.

# %%
right = torch.tensor([[3]])


def descended(smoothing):
    """Where 3000 steps take ten logits that start at 0."""
    logits = torch.zeros(1, 1, 10, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=2)
    for _ in range(3000):
        optimizer.zero_grad()
        label_smoothing_loss(logits, right, smoothing).backward()
        optimizer.step()
    return logits


# %%
print(
    f"wanted with smoothing 0.1: {0.91:.2f} and {0.01:.2f}, a gap of {math.log(0.91 / 0.01):.2f}"
)
for smoothing in (0.0, 0.1, 0.3):
    logits = descended(smoothing)
    gap = (logits[0, 0, 3] - logits[0, 0, 4]).item()
    its = F.cross_entropy(logits[0], right[0], label_smoothing=smoothing)
    same = torch.isclose(label_smoothing_loss(logits, right, smoothing), its, atol=1e-6)
    print(f"{smoothing=}  gap {gap:.2f}  as torch's loss {same.item()}")

# %% [markdown]
# **What you should see.** The gap is 4.51 with a smoothing of 0.1, as predicted. Without smoothing it
# is larger and would go on growing for ever. The paper (section 5.4) reports that smoothing makes the
# perplexity worse, because the model learns to be less sure, and the BLEU score better.
#
# *Paper against released code:* the authors' Tensor2Tensor spreads $\varepsilon$ over the *wrong* words
# only. The paper cites Szegedy et al., who spread it over all. `check` accepts the other form and names
# it.

# %% [markdown]
# ### The learning rate: up, then down
#
# $$
# \text{rate} = \text{dim}^{-1/2} \min\bigl(s^{-1/2},\; s\, \text{warmup}^{-3/2}\bigr),
# \qquad s = 1, 2, \dots \qquad \text{(eq. 3)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $s$ | `n` | steps, counted from 1 |
# | rate | `n` | the learning rate that Adam is given |
#
# **Predict.** For the base model, with dim = 512 and warmup = 4000, at which step is the rate highest?
#
# <details><summary>Answer</summary>
#
# It is highest where the two curves meet, at $s = \text{warmup}$, since there both are
# $4000^{-1/2}$. The rate is then $1/\sqrt{512 \cdot 4000}$, about 0.0007.
#
# </details>

# %% [markdown]
# ### Exercise: `learning_rate`
#
# `step` is a tensor, of one number or of many.

# %% exercise="transformer.learning_rate"

# %%
check("transformer.learning_rate", learning_rate)

# %% [markdown]
# Stuck? `hint("transformer.learning_rate")`. To read on without solving it:
# `from solutions.transformer import learning_rate`.

# %% jupyter={"source_hidden": true}
step = torch.arange(1.0, 20_001)
ys = {"base, dim = 512": learning_rate(step, 512), "dim = 256": learning_rate(step, 256)}
ys["dim = 512, warmup 8000"] = learning_rate(step, 512, 8000)
fig, ax = plt.subplots(figsize=(5.2, 2.6))
title = "The rate rises along a line and falls as a root"
plots.lines(ax, step, ys, "step", "learning rate", title)
ax.lines[2].set(linestyle="--", zorder=3)
ax.legend()
plots.show(fig, "Three curves that rise along a line to a peak, and then fall ever slower.")
best = ys["base, dim = 512"].argmax()
print(f"highest at step {best + 1}: {ys['base, dim = 512'][best]:.4f}")

# %% [markdown]
# **What you should see.** The base model's rate peaks at step 4000, at 0.0007. Narrower models take
# larger steps, and a longer warm-up leads to a lower peak.

# %% [markdown]
# ### A measurement: gradients before the first step
#
# No step has been made yet. How large is the gradient that each of twelve decoder layers gets, with
# either norm? [Xiong et al. 2020](https://arxiv.org/abs/2002.04745) asked this.


# %%
def first_gradients(norm, layers=12):
    """The size of the gradient of each decoder layer's last matrix, before any training."""
    torch.manual_seed(0)
    model = Transformer(50, 50, 64, 4, 256, layers, norm, dropout=0.0)
    words = torch.randint(3, 50, (16, 12))
    label_smoothing_loss(model(words, words[:, :-1]), words[:, 1:]).backward()
    last = (layer.feed_forward.down.weight.grad.norm() for layer in model.decoder)
    return torch.stack(list(last))


# %% jupyter={"source_hidden": true}
ys = {f"{norm}-norm": first_gradients(norm) for norm in ("post", "pre")}
fig, ax = plt.subplots(figsize=(5.2, 2.6))
title = "With post-norm the last layers get the largest gradients"
plots.lines(ax, range(1, 13), ys, "layer", "size of gradient", title)
plots.show(fig, "Gradient over depth: post-norm rises to the last layer, pre-norm is flat.")
post, pre = ys.values()
claim(post[-1] > 2 * post[0], "post-norm: the last layer's gradient is over twice the first's")
claim(post[-1] > 2 * pre[-1], "and over twice that of the last layer with pre-norm")

# %% [markdown]
# **What you should see.** With post-norm the last layers get by far the largest gradients. The sum $x + f(x)$ is
# larger than 1, so its norm divides by more than 1, on the way back too: each norm on the residual connection
# shrinks what reaches the layers below. Adam divides each gradient by its own mean size, but at first that mean
# rests on a few uneven gradients, and small steps are safer until it is known: one warms up. With pre-norm the
# gradient passes along the residual connections unchanged. Such models train with a shorter warm-up, and most
# models today are pre-norm. (Nothing is trained here: Xiong et al. did.)

# %% [markdown]
# ## 4.4 Writing: greedy, or with several beams
#
# Before a model is trained, it needs a way to write. A model gives the probability of each next word. Finding the likeliest *sentence* is another matter.
# Here is a language of three words and an end, small enough to see it whole.

# %%
A, B, C = 3, 4, 5
NAMES = {BEGIN: "begin", END: "end", A: "A", B: "B", C: "C"}
table = torch.zeros(6, 6)  # rows: the last word, columns: the next
table[BEGIN, [A, B]] = torch.tensor([0.6, 0.4])
table[A, [A, B, C, END]] = torch.tensor([0.3, 0.25, 0.25, 0.2])
table[B, [C, END]] = torch.tensor([0.95, 0.05])
table[C, [A, END]] = torch.tensor([0.1, 0.9])


def language(target, rows=None):
    """The logits of the next word: here they depend on the last one alone.

    `beam_search` also hands over `rows`, for the cache of section 4.5; it is not needed here.
    """
    return table[target[:, -1]].log()


# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.8, 2.8))
shown = table[[BEGIN, A, B, C]][:, [A, B, C, END]]
plots.heat(ax, shown, "next word", "last word", "Probability of the next word", bar=False)
ax.set_xticks(range(4), ["A", "B", "C", "end"])
ax.set_yticks(range(4), ["begin", "A", "B", "C"])
for row, column in np.ndindex(4, 4):
    p = shown[row, column].item()
    colour = "black" if p > 0.55 else "white"
    ax.text(column, row, f"{p:g}", ha="center", va="center", color=colour)
plots.show(
    fig,
    "A table of probabilities. After begin: A 0.6, B 0.4. After A: A 0.3, B 0.25, C 0.25, end 0.2. After"
    " B: C 0.95, end 0.05. After C: A 0.1, end 0.9.",
)

# %% [markdown]
# **Predict.** What does a model write that always takes the likeliest next word? And which sentence is
# the likeliest of all?
#
# <details><summary>Answer</summary>
#
# It writes A at first, with 0.6, and then A again and again, with 0.3 each: it never ends. The
# likeliest sentence is B C, with $0.4 \cdot 0.95 \cdot 0.9 = 0.342$. Of those that start with A, the
# best is A C, with $0.6 \cdot 0.25 \cdot 0.9 = 0.135$.
#
# </details>
#
# $$
# \log p(\text{sentence}) = \log p(\text{word 1}) + \log p(\text{word 2} \mid \text{word 1}) + \dots
# $$
#
# | | axes | what it is |
# |---|---|---|
# | target | `b i` | words so far; the first is BEGIN |
# | logits | `b words` | of the next word, for each target |
# | beams | `b beam i` | for each example the best targets so far |

# %% [markdown]
# ### Exercise: `greedy`
#
# **Greedy decoding** always takes the likeliest next word. `logits` is a function like `language`
# above. The examples of a batch may end at different times.

# %% exercise="transformer.greedy"

# %%
check("transformer.greedy", greedy)

# %% [markdown]
# Stuck? `hint("transformer.greedy")`. To read on without solving it:
# `from solutions.transformer import greedy`.

# %% [markdown]
# ### Several beams (may be skipped at first reading)
#
# The rest of this section improves on greedy decoding; section 4.6 needs `greedy` alone.
#
# ### Exercise: `length_penalty`
#
# Every further word lowers the probability of a sentence, so that a bare $\log p$ prefers short ones.
# It is therefore divided by $\left(\frac{5 + \text{length}}{6}\right)^{\alpha}$
# ([Wu et al. 2016](https://arxiv.org/abs/1609.08144), eq. 14); `length` is a tensor.

# %% exercise="transformer.length_penalty"

# %%
check("transformer.length_penalty", length_penalty)

# %% [markdown]
# Stuck? `hint("transformer.length_penalty")`. To read on without solving it:
# `from solutions.transformer import length_penalty`.

# %% [markdown]
# ### Beam search
#
# **Beam search** keeps several targets alive, the beams. At each step every beam is continued by every
# word, and of all these the `width` likeliest survive, whichever beam they come from.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 6.6)
diagrams.layer(ax, 0.2, 5.8, "kept", 1.4, 0.65, diagrams.ATTENTION)
diagrams.layer(ax, 1.9, 5.8, "dropped", 1.8, 0.65, diagrams.HIDDEN)
root = diagrams.layer(ax, 0.2, 2.9, "begin", 1.5, 0.8, diagrams.DATA)
first = {"A": (0.6, 4.6, True), "B": (0.4, 1.3, True)}
second = {"A A": (0.18, 6.1, True), "A B": (0.15, 5.1, False), "A C": (0.15, 4.1, False)}
second |= {"A end": (0.12, 3.1, False), "B C": (0.38, 1.8, True), "B end": (0.02, 0.8, False)}
third = {"A A A": (0.054, 6.1, True), "A A B": (0.045, 5.1, False)}
third |= {"A A C": (0.045, 4.1, False), "A A end": (0.036, 3.1, False)}
third |= {"B C end": (0.342, 1.8, True), "B C A": (0.038, 0.8, False)}
drawn = {"": root}
for left, width, level in ((3.3, 1.9, first), (7.2, 2.2, second), (11.9, 3.0, third)):
    for words, (p, y, kept) in level.items():
        colour = diagrams.ATTENTION if kept else diagrams.HIDDEN
        text = f"{words}  {p:g}"
        drawn[words] = diagrams.layer(ax, left, y - 0.4, text, width, 0.8, colour)
        parent = drawn[words.rpartition(" ")[0]]
        diagrams.arrow(ax, parent.right, drawn[words].left)
plots.show(
    fig,
    "A tree with two beams. From begin to A with 0.6 and B with 0.4; both are kept. Of their six"
    " continuations the two likeliest are kept, B C with 0.38 and A A with 0.18; of their six, B C end"
    " with 0.342 and A A A with 0.054. What is kept is green, what is dropped is grey.",
)

# %% [markdown]
# ### Exercise: `beam_step`
#
# One such step. The rows of the result are sorted, the likeliest first.

# %% exercise="transformer.beam_step"

# %%
check("transformer.beam_step", beam_step)

# %% [markdown]
# Stuck? `hint("transformer.beam_step")`. To read on without solving it:
# `from solutions.transformer import beam_step`.

# %% [markdown]
# ### Two beams see what one misses
#
# Here is the tree, computed with your `beam_step`.

# %%
beams, log_p = torch.tensor([[[BEGIN]]]), torch.zeros(1, 1)
for _ in range(3):
    step = language(beams[0]).log_softmax(-1)
    log_p, parent, word = beam_step(log_p, rearrange(step, "beam w -> 1 beam w"), 2)
    beams = torch.cat([beams[:, parent[0]], rearrange(word, "b beam -> b beam 1")], dim=-1)
    for target, p in zip(beams[0], log_p[0].exp(), strict=True):
        print(" ".join(NAMES[w] for w in target.tolist()), f"{p:.3f}", end="    ")
    print()

# %% [markdown]
# `library.beam_search`, which comes ready-made, repeats your step. A beam that ends is taken out of the race
# and kept in a list, so that another one may take its place. At the end the sentences of the list are
# compared by $\log p$ divided by the penalty, and the best one is returned.

# %%
start = torch.tensor([[BEGIN]])


def spelt(target):
    """A target as text, as far as its end."""
    return " ".join(NAMES.get(w, "") for w in target[0].tolist()).strip()


print("greedy:   ", spelt(greedy(language, start, 6)))
for width in (1, 2, 3):
    print(f"{width} beams:  ", spelt(library.beam_search(language, start, 6, width, alpha=0.0)))

# %% [markdown]
# **What you should see.** After one word A leads with 0.6; after two B C leads with 0.38, and
# after three "B C end" with 0.342. One beam without a penalty is greedy decoding: it continues with
# A and never ends. If your beams all start with A, your `beam_step` forgets how likely each beam was.

# %% [markdown]
# ### Ablation: the penalty
#
# In a second language every word is followed by another with probability 0.8 and by the end with 0.2,
# whatever was said before. What does the search find, within ten words, for a rising $\alpha$?

# %%
going_on = torch.full((6, 6), 0.0)
going_on[:, A], going_on[:, END] = 0.8, 0.2
print(f"p of another word {going_on[A, A]:.1f}, p of the end {going_on[A, END]:.1f}")
length = torch.arange(1.0, 11)
log_p = (length - 1) * math.log(0.8) + math.log(0.2)
for alpha in (0.0, 0.5, 1.0, 2.0):
    search = partial(library.beam_search, lambda target, rows: going_on[target[:, -1]].log())
    found = search(start, longest=10, width=8, alpha=alpha)
    best = 1 + (log_p / length_penalty(length, alpha)).argmax().item()
    print(f"{alpha=}  length by the formula {best:2}, found: {spelt(found)}")

# %% [markdown]
# **What you should see.** Without a penalty the search finds the shortest sentence of all, an end and
# nothing else; with a large $\alpha$ it finds the longest. Formula and search agree. The paper uses four
# beams and $\alpha = 0.6$, which its authors found by trying.

# %% [markdown]
# ## 4.5 Writing faster: the KV cache
#
# So far every new word sends all words before it through the decoder again, although nothing about them
# has changed: because of the causal mask, no later word influences them. What a new word needs of the
# earlier ones are their keys and values in the self-attention of every layer. These are kept, in the
# **KV cache**, and at each step one key and one value are added.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 7.4)
pale, rows = np.where(np.arange(5)[:, None] < 4, 0.1, 0.8) * np.ones((5, 3)), {}
x = diagrams.matrix(ax, 0.2, 3.45, [[0.4, 0.8, 0.5]], name="new word", side=0.5)
for y, name, cells in (
    (6.0, "q", [0.9, 0.6, 0.7]),
    (3.39, "k", [0.6, 0.8, 0.5]),
    (0.76, "v", [0.5, 0.7, 0.9]),
):
    w = diagrams.layer(ax, 3.0, y, f"$W_{name}$", 0.9)
    diagrams.arrow(ax, x.right, w.left)
    rows[name] = diagrams.matrix(ax, 4.8, y + 0.08, [cells], side=0.45)
    diagrams.label(ax, (rows[name].middle[0], y + 0.8), name)
    diagrams.arrow(ax, w.right, rows[name].left)
for y, name, word in ((2.75, "k", "keys"), (0.1, "v", "values")):
    kept = diagrams.matrix(ax, 8.2, y, pale, side=0.4)
    ax.text(9.5, y + 1.5, f"{word}, kept", va="center", size=8.5)
    ax.text(9.5, y + 0.2, "the new one", va="center", size=8.5)
    across = rows[name].middle[1]
    diagrams.arrow(ax, rows[name].right, (7.3, across), (7.3, y + 0.2), (8.12, y + 0.2))
times = diagrams.join(ax, 12.0, 1.1, "×")
diagrams.arrow(ax, kept.right, times.left)
weights = diagrams.matrix(ax, 10.95, 6.05, [[0.1, 0.5, 0.2, 0.1, 0.9]], colour=READ, side=0.45)
diagrams.title(ax, weights.middle[0], 6.5, "weights")
diagrams.arrow(ax, rows["q"].right, weights.left, text="q · every key, softmax")
diagrams.arrow(ax, (8.8, 4.83), (8.8, 6.2))
out = diagrams.matrix(ax, 14.2, 0.87, [[0.6, 0.4, 0.8]], name="y", side=0.45)
diagrams.arrow(ax, (12.0, 5.97), times.top)
diagrams.arrow(ax, times.right, out.left)
plots.show(
    fig,
    "A new word is projected to q, k and v. Its key is appended to the keys that were kept, its value to"
    " the values. q with every key gives, by a softmax, one row of weights; these times the values give"
    " the output y.",
)

# %% [markdown]
# $$
# k \leftarrow [k_\text{past}, k], \quad v \leftarrow [v_\text{past}, v], \quad
# y = \operatorname{softmax}\Bigl(\frac{q k^\top}{\sqrt d}\Bigr) v
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$, $v$ | `b head 1 d` | of the new word |
# | $k_\text{past}$, $v_\text{past}$ | `b head past d` | of all words before it |
#
# **Predict.** 1000 words are written. How many times does a word pass through a layer, without
# a cache and with one?
#
# <details><summary>Answer</summary>
#
# $1 + 2 + \dots + 1000 = 500\,500$ times without, and 1000 times with a cache.
#
# </details>

# %% jupyter={"source_hidden": true}
n = torch.arange(1, 101)
fig, ax = plt.subplots(figsize=(5.2, 2.6))
ys = {"all again for every word": n.cumsum(0), "only the new word": n}
title = "A hundred words: computed 5050 times, or 100"
plots.lines(ax, n, ys, "words written", "words computed", title)
plots.show(
    fig, "A parabola that reaches 5050 at a hundred words, and a straight line below it."
)

# %% [markdown]
# ### Exercise: `attend_and_remember`
#
# One step of the figure. Does it need a mask?

# %% exercise="transformer.attend_and_remember"

# %%
check("transformer.attend_and_remember", attend_and_remember)

# %% [markdown]
# Stuck? `hint("transformer.attend_and_remember")`. To read on without solving it:
# `from solutions.transformer import attend_and_remember`.

# %% [markdown]
# ### One at a time, or all at once
#
# Twelve tokens pass through one causal attention, and then the same twelve one after the other.

# %%
torch.manual_seed(0)
layer, x = MultiHeadAttention(64, 4), torch.randn(1, 12, 64)
q, k, v = (split_heads(part(x), 4) for part in (layer.query, layer.key, layer.value))
keys, values, found = k[:, :, :0], v[:, :, :0], []
for n in range(12):
    new = (part[:, :, n : n + 1] for part in (q, k, v))
    read, keys, values = attend_and_remember(*new, keys, values)
    found.append(layer.out(merge_heads(read)))
at_once = layer(x, mask=causal_mask(12, 12))
print("the same:", torch.allclose(torch.cat(found, dim=1), at_once, atol=1e-6))
print("kept:", tuple(keys.shape), tuple(values.shape))

# %% [markdown]
# **What you should see.** The two ways agree: nothing is approximated. No mask was needed for the new word,
# since there are no later words yet.
#
# ### What it saves
#
# `Incremental` in `solutions` does this in every layer of your model, and keeps the keys and values of
# the memory as well. Count the multiply-adds of the n-th word:

# %%
torch.manual_seed(0)
model = Transformer(50, 50, 64, 4, 256, layers=2).eval()
source, target = torch.randint(3, 50, (1, 20)), torch.randint(3, 50, (1, 64))
memory, steps = model.encode(source), Incremental(model, source)
again, kept = [], []
for n in range(1, 65):
    whole = partial(model.decode, target[:, :n], memory, source)
    again.append(counting.count(whole).multiply_adds)
    kept.append(counting.count(partial(steps, target[:, :n])).multiply_adds)
for n in (1, 4, 16, 64):
    print(f"word {n:2}: {again[n - 1]:9,} all again, {kept[n - 1]:7,} with the cache")

# %%
steps, same = Incremental(model, source), []
with torch.no_grad():
    whole = model.decode(target, memory, source)
    for n in range(1, 65):
        same.append(torch.allclose(steps(target[:, :n]), whole[:, n - 1], atol=1e-4))
print("the same logits at every step:", all(same))
slope = {b - a for a, b in pairwise(kept)}
print("more for each word:", slope, "= layers times 2 dim =", {2 * 2 * 64})
claim(again[-1] > 60 * kept[-1], "the 64th word costs over 60 times less with the cache")

# %% [markdown]
# **What you should see.** With the cache a word costs 256 multiply-adds more than the one before, since
# its query meets one more key and value in each of two layers. The logits are the same at every step.

# %% [markdown]
# ### The memory it takes instead
#
# The time that is saved is paid for in memory. How many numbers does the base model keep for the target,
# if it has 1000 words, and how many for a batch of 64 with four beams? (The keys and values of the
# source come on top.)

# %%
one = 6 * 2 * 1000 * 512  # layers, keys and values, words, dim = (head d)
print(f"one target: {one:,} numbers, {4 * one / 2**20:.3g} MiB in single precision")
print(f"64 with four beams: {4 * 64 * 4 * one / 2**30:.3g} GiB")
learned = parameters(37_000, 512, 2048, 6)
print(f"the model itself: {4 * learned / 2**20:.3g} MiB")
for name, heads in (("two groups of heads (GQA)", 2), ("one head (MQA)", 1)):
    print(f"with keys and values for {name}: {4 * 64 * 4 * one * heads / 8 / 2**30:.3g} GiB")

# %% [markdown]
# **What you should see.** The cache of the batch takes 5.86 GiB, over twenty times as much as the
# model. Later models therefore keep fewer keys and values than they have heads.
# [Multi-query attention](https://arxiv.org/abs/1911.02150) (MQA, Shazeer 2019) has one head of keys and
# values for all queries, and [grouped-query attention](https://arxiv.org/abs/2305.13245) (GQA, Ainslie
# et al. 2023) one for each group of heads.

# %% [markdown]
# ## 4.6 A translator of dates
#
# People write dates in many ways, and they misspell them. ISO 8601 knows one way:
# year-month-day. The task stands for all those in which one sequence is turned into another: a language
# into another language, a receipt into its amounts, an image into its caption.

# %%
pool, test = calendar.dates(50_000), calendar.dates(1_000, held_out=True)
for text, iso in zip(test.text[:8], test.iso, strict=False):
    print(f"{text:32} {iso}")
print(f"letters: {calendar.WORDS}, longest text: {pool.source.shape[1]}")

# %% [markdown]
# Each letter is a token, and there are 49 of them with padding, begin and end. Dots mean
# day.month.year and slashes month/day/year; a year of two digits lies between 1950 and 2049. So every
# text has *one* right answer, and a perfect model reaches 100 %. A guess among the days is right once in
# 36,525 times. The test has days that never occur in training.

# %% [markdown]
# **Predict.** The loss is smoothed with $\varepsilon = 0.1$. What is the lowest loss of an honest model, and
# what is that of one that sees the next letter?
#
# <details><summary>Answer</summary>
#
# Both have the same floor, because every text has one right answer. The loss is lowest at $p = t$, where it is the entropy of $t$. The right letter has
# $0.9 + 0.1/49 = 0.902$ and each of the 48 others 0.00204, which gives
# $-0.902 \log 0.902 - 48 \cdot 0.00204 \log 0.00204 = 0.700$.
#
# </details>

# %%
rest = 0.1 / calendar.WORDS
floor = -(0.9 + rest) * math.log(0.9 + rest) - (calendar.WORDS - 1) * rest * math.log(rest)
print(f"right letter {0.9 + rest:.3f}, each other {rest:.5f}, floor of the loss {floor:.3f}")

# %% [markdown]
# ### Train it
#
# What comes ready-made is the following.
#
# | name | what it does |
# |---|---|
# | `calendar.dates`, `numbers`, `texts` | make dates, and turn letters into numbers and back |
# | `Incremental(model, source)` | your decoder with the cache of section 4.5 |
# | `library.attention_maps(model, …)` | the weights of every attention, by name |
#
# Everything is yours: model, loss and learning rate. As the training is short, the rate is also
# multiplied by a line that falls to 0 at the last step. Look at `loss_of`: here are the two shifted
# rows of teacher forcing.


# %%
def loss_of(model, rows):
    """The loss on some rows of the pool, by teacher forcing."""
    source, target = pool.source[rows], pool.target[rows]
    source = source[:, : (source != PAD).sum(-1).max()]
    return label_smoothing_loss(model(source, target[:, :-1]), target[:, 1:])


def rate(step, steps):
    """Warm-up and root, times a line that ends at 0."""
    return learning_rate(torch.tensor(float(step)), 64, warmup=400).item() * (1 - step / steps)


# %%
def train(model, steps, at_most=None):
    """Adam with the paper's settings; the loss of every step."""
    optimizer, losses = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9), []
    for step in range(1, (at_most or steps) + 1):
        optimizer.param_groups[0]["lr"] = rate(step, steps)
        loss = loss_of(model, torch.randint(len(pool.text), (64,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% [markdown]
# The model has one layer on each side, is 64 wide, and has four heads: 93 thousand weights, as the cell
# prints. Training takes about a minute.


# %%
def small():
    return Transformer(calendar.WORDS, calendar.WORDS, 64, 4, 128, layers=1, dropout=0.0)


@cache
def trained():
    """The model after 2000 steps, and its losses."""
    torch.manual_seed(0)
    model = small()
    return model, train(model, steps=2000)


print(f"{sum(weight.numel() for weight in small().parameters()):,} weights")


# %%
def write(model, texts, logits=Incremental):
    """Texts as the model translates them, a letter at a time."""
    source = calendar.numbers(texts)
    with torch.no_grad():
        target = greedy(logits(model, source), torch.full_like(source[:, :1], BEGIN), 12)
    return calendar.texts(target)


def right_in_all(model, texts, isos, logits=Incremental):
    """The fraction of texts of which all ten letters are right."""
    found = write(model, texts, logits)
    return sum(one == iso for one, iso in zip(found, isos, strict=True)) / len(isos)


# %% tags=["nbval-ignore-output"]
model, losses = trained()
accuracy = right_in_all(model, test.text, test.iso)
print(f"right in every letter: {accuracy:.1%} of days never seen")
print(f"loss at the end: {sum(losses[-100:]) / 100:.3f}")
mine = ["3rd of Febuary '87", "Wensday, 12 Sept. 2001", "on 7/4/76", "the 1st of agust 1999"]
claim(
    not any(word in text for text in pool.text for word in ("Sept.", "Wensday")),
    "neither Sept. nor Wensday occurs in the training",
)
for text, iso in zip(mine, write(model, mine), strict=True):
    print(f"{text:32} {iso}")

# %%
model, losses = trained()
accuracy = right_in_all(model, test.text, test.iso)
claim(accuracy > 0.99, "over 99 % of the test are right in every letter")
claim(sum(losses[-100:]) / 100 < floor + 0.02, "the loss has come to within 0.02 of its floor")
claim(min(losses) > floor - 0.01, "and not below it, up to rounding")

# %% [markdown]
# **What you should see.** Nearly all days are right in every letter, and the loss lands on its floor of
# 0.700. If the loss stays near 2, look at the learning rate; if the loss is fine and what the model
# writes is not, look at the mask. The short form "Sept." and the misspelling "Wensday" were never in
# the training.

# %% [markdown]
# ### Where it looks
#
# Draw the attention weights of the cross-attention: rows are the letters being written, columns the
# letters of the text. It is the mean of the four heads.


# %%
def letters(ax, columns, rows):
    """Letters as ticks."""
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)


@cache
def read_off(text):
    """What the model writes for a text, and its maps: the mean of four heads, by name."""
    model, _ = trained()
    iso = write(model, [text])[0]
    words = calendar.numbers([text]), calendar.numbers([iso], begin=True)
    maps = library.attention_maps(model, *words).items()
    return iso, {name: reduce(grid, "1 head i j -> i j", "mean") for name, grid in maps}


# %% jupyter={"source_hidden": true}
text = "the 3rd of febuary 1987"
iso, maps = read_off(text)
cross = maps["decoder.0.cross_attention"][: len(iso)]
fig, ax = plt.subplots(figsize=(6.4, 3.1))
title = "Cross-attention: year, month and day are read one after the other"
plots.heat(ax, cross, "letter read", "letter written", title)
fig.axes[-1].set_ylabel("weight")
letters(ax, text, iso)
plots.show(
    fig,
    "A map with a row for each letter of 1987-02-03 and a column for each letter of: the 3rd of febuary"
    " 1987. Bright cells lie over the year while it is written, then over the month, then over the day.",
)

# %% [markdown]
# Does this hold in general? Write out 200 days of the test as "3 February 1987", and add up the
# attention weights that each part of the answer gives to each part of the text.


# %%
def written_out(day):
    """A day as text, and where in it year, month and day stand."""
    parts = str(day.day), calendar.MONTHS[day.month - 1], str(day.year)
    n, m, _ = (len(part) for part in parts)
    return " ".join(parts), (slice(n + m + 2, None), slice(n + 1, n + m + 1), slice(0, n))


def parts_read(model, iso, parts=(slice(0, 4), slice(5, 7), slice(8, 10))):
    """The weight that each part of an ISO date gives to year, month and day: 3 3."""
    text, where = written_out(date.fromisoformat(iso))
    words = calendar.numbers([text]), calendar.numbers([iso], begin=True)
    grid = library.attention_maps(model, *words)["decoder.0.cross_attention"][0].mean(0)
    return torch.stack([torch.stack([grid[w, r].sum(-1).mean() for r in where]) for w in parts])


# %% jupyter={"source_hidden": true}
model, _ = trained()
found = torch.stack([parts_read(model, iso) for iso in test.iso[:200]]).mean(0)
fig, ax = plt.subplots(figsize=(3.7, 2.9))
plots.heat(ax, found, "part read", "part written", "Each part is read as it is written")
fig.axes[-1].set_ylabel("weight")
letters(ax, ["year", "month", "day"], ["year", "month", "day"])
for (row, column), p in np.ndenumerate(found.numpy()):
    colour = "black" if p > 0.55 else "white"
    ax.text(column, row, f"{p:.2f}", ha="center", va="center", color=colour)
plots.show(fig, "Nine cells with their weights; the three on the diagonal are bright.")
others = found.sum(-1) - found.diagonal()
claim((found.diagonal() > 0.6).all(), "each part gives over 0.6 of its weight to its like")
claim((found.diagonal() > 3 * others).all(), "and less than a third of that to the other parts")


# %% [markdown]
# And the encoder? The letters of a month could read each other, so that the month becomes one thing. Measure
# the weight that the letters of the month give to letters of the month, beside what they would give by
# chance, if they read all letters alike.


# %%
def inside_the_month(model, iso):
    """The weight that letters of the month give to the month, and its part of the letters."""
    text, (_, month, _) = written_out(date.fromisoformat(iso))
    words = calendar.numbers([text]), calendar.numbers([iso], begin=True)
    grid = library.attention_maps(model, *words)["encoder.0.self_attention"][0].mean(0)
    return grid[month, month].sum(-1).mean(), torch.ones(len(text))[month].sum() / len(text)


# %% tags=["nbval-ignore-output"]
model, _ = trained()
read, even = torch.tensor([inside_the_month(model, iso) for iso in test.iso[:200]]).mean(0)
print(f"weight that the month's letters give to the month: {read:.2f}, by chance {even:.2f}")
claim(read > 1.4 * even, "in the encoder, letters of the month read each other above chance")

# %% jupyter={"source_hidden": true}
text = "3 February 1987"
iso, maps = read_off(text)
own = maps["encoder.0.self_attention"]
fig, ax = plt.subplots(figsize=(4.6, 3.7))
title = "Encoder: the frame holds the letters of the month"
plots.heat(ax, own, "letter read", "letter that reads", title, high=own.max().item())
fig.axes[-1].set_ylabel("weight")
letters(ax, text, text)
ax.add_patch(plt.Rectangle((1.5, 1.5), 8, 8, fill=False, ec="white", lw=1.5))
plots.show(
    fig,
    "A square map over the letters of: 3 February 1987; a white frame marks where letters of the month"
    " read letters of the month.",
)

# %% [markdown]
# **What you should see.** In the cross-attention year, month and day are read as they are written.
# Nobody asked for this, since the loss knows nothing of years and months. In the encoder, letters of
# the month give one another about twice the weight that chance would give.

# %% [markdown]
# ### Ablation: without the mask
#
# Here is the model of section 4.2 that sees what it should predict. It is trained for 400 steps, and so
# is an honest one.


# %%
def recomputed(model, source):
    """Logits without a cache, which a model that looks ahead cannot have."""
    memory = model.encode(source)
    return lambda target: model.decode(target, memory, source)[:, -1]


@cache
def cheat():
    """A model that sees the next letter, after 400 steps, and its losses."""
    torch.manual_seed(0)
    model = small()
    model.decoder[0].self_attention = Unhidden(model.decoder[0].self_attention)
    return model, train(model, steps=2000, at_most=400)


# %% jupyter={"source_hidden": true}
losses, cheating = trained()[1], cheat()[1]
fig, ax = plt.subplots(figsize=(5.6, 2.8))
ys = {"honest": losses[:400], "sees the next letter": cheating}
title = "The better loss belongs to the model that cheats"
plots.lines(ax, range(1, 401), ys, "step", "loss", title)
ax.axhline(floor, color="grey", linestyle=":")
ax.text(0, floor, "floor", ha="left", va="bottom", color="grey")
plots.show(
    fig, "Two falling curves; the cheat's reaches the dotted floor, the honest one's is above."
)

# %% tags=["nbval-ignore-output"]
print("writes:", write(cheat()[0], test.text[:3], recomputed), "for", test.iso[:3])

# %%
model, cheating = cheat()
end, honest_end = sum(cheating[-50:]) / 50, sum(trained()[1][350:400]) / 50
claim(end < floor + 0.05, "the cheat's loss is within 0.05 of the floor after 400 steps")
claim(end < honest_end - 0.05, "the honest model's is over 0.05 higher")
cheated = right_in_all(model, test.text[:300], test.iso[:300], recomputed)
claim(cheated < 0.05, "but of the dates that the cheat writes, less than 5 % are right")

# %% [markdown]
# **What you should see.** The cheat's loss is splendid, and what it writes is nonsense. In training it
# copies the letter to its right; when it writes, there is none. No loss curve shows this. Perturbing a
# word shows it, as in section 4.2, and so does writing. The mistake is a real one: somebody trained a
# public implementation to an accuracy of 98 % and got nonsense from it
# ([jadore801120 #19](https://github.com/jadore801120/attention-is-all-you-need-pytorch/issues/19)).

# %% [markdown]
# ### Ablation: a day of the week that is wrong
#
# Some texts name the day of the week, and always the right one. Put a wrong one in front. Does the
# model believe it?

# %% tags=["nbval-ignore-output"]
days = [date.fromisoformat(iso) for iso in test.iso[:300]]
texts = [f"{calendar.DAYS[(day.weekday() + 3) % 7]}, {written_out(day)[0]}" for day in days]
print(f"{texts[0]!r}: {write(trained()[0], texts[:1])[0]}")
print(f"right: {right_in_all(trained()[0], texts, test.iso[:300]):.1%}")

# %%
misled = right_in_all(trained()[0], texts, test.iso[:300])
claim(misled > 0.95, "with a wrong day of the week, over 95 % are still right")

# %% [markdown]
# **What you should see.** Nearly all dates are still right. The day of the week follows from the date
# and says nothing new, and the model has learned to look past it. A map of attention can only suggest such a
# thing; a change of the input, as here, tests it.

# %% [markdown]
# ## 4.7 English to German (may be skipped at first reading)
#
# The same model also learns real sentences: the 29,000 captions of photographs in
# [Multi30K](https://arxiv.org/abs/1605.00459) (Elliott et al. 2016), cut into 4,000 pieces of words. It
# was trained beforehand, for 42 minutes on a CPU. The settings stand at the end of the chapter.

# %%
run = result("translate")
beams, alone = round(run["bleu"], 1), round(run["greedy_bleu"], 1)
print(f"{run['parameters']:,} weights, {run['epochs']} epochs, {run['minutes']:.0f} minutes")
print(f"{beams} BLEU with {run['beam']} beams, {alone} greedy")

# %% jupyter={"source_hidden": true}
curves = run["curves"]
epochs = range(1, run["epochs"] + 1)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.5))
losses_of = {"training": curves["train_loss"], "validation": curves["val_loss"]}
plots.lines(axs[0], epochs, losses_of, "epoch", "loss", "Validation, without dropout, is lower")
title = "Still rising when it was stopped"
plots.lines(axs[1], epochs, {"": curves["val_bleu"]}, "epoch", "BLEU", title)
for ax in axs:
    ax.set_xticks((1, 5, 10, 15))
plots.show(
    fig,
    "Two falling loss curves, and a BLEU that rises from 4 to 36, ever more slowly but to the end.",
)

# %%
for example in run["examples"][:3]:
    print(f"{example['source']}\n  said   {example['said']}\n  right  {example['reference']}\n")
claim(run["bleu"] > 35, "this model of five million weights is past 35 BLEU")
claim(run["minutes"] < 60, "after less than an hour of training on a CPU")

# %% [markdown]
# In English, what it said reads so:
#
# | it said | what happened |
# |---|---|
# | "A man with an orange hat stares at something." | Right, in simpler words than the reference. |
# | "A boxer with terrier runs on a white fence in front of a white fence." | "Boston Terrier" is rare in these captions: it writes another breed that starts with B and adds a terrier. The grass is lost, and the fence is said twice. |
# | "A girl in karate suits shakes a stick with a bat." | The sentence is fluent and the action is invented. |
#
# The mistakes are typical. A model trained on little data writes fluent sentences whose rare words are
# wrong, and nothing in its training keeps it from saying a thing twice. Numbers that others print for this
# test set lie between 35 and 41 BLEU, scored in different ways (see the end of the chapter).

# %% [markdown]
# ## 4.8 From sentences to images
#
# Nothing in the encoder asks for words. In 2020 Alexey Dosovitskiy and eleven colleagues cut an image
# into patches and gave these to a Transformer's encoder as its tokens. Their paper,
# [An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929) (ICLR 2021), calls this the **Vision
# Transformer** (ViT). It is a pre-norm encoder like yours with learned positions, and one more token
# whose output names the class.

# %% jupyter={"source_hidden": true}
photo = photograph("flower")
fig, axs = plt.subplots(2, 1, figsize=(6.4, 4.9), height_ratios=(8, 1))
plots.image(axs[0], photo, "An image cut into patches of 24 x 24 pixels …")
for line in range(24, 144, 24):
    axs[0].axvline(line - 0.5, color="white", lw=1)
for line in range(24, 96, 24):
    axs[0].axhline(line - 0.5, color="white", lw=1)
row = torch.ones(24, 12 * 28, 3)
patches = rearrange(photo, "(rows p) (columns q) c -> (rows columns) p q c", p=24, q=24)
for n in range(12):
    row[:, 28 * n : 28 * n + 24] = patches[n]
plots.image(axs[1], row, "… and its first twelve tokens")
plots.show(
    fig,
    "A dahlia with a grid of 4 by 6 patches over it; below, twelve of the patches in a row.",
)

# %% [markdown]
# (The photograph is `flower.jpg` of scikit-learn, CC BY 2.0.) Your encoder layer takes them as they
# are: flatten each patch, project it to `dim`, and attend.
#
# **Predict.** Without positions, shuffle the patches. How do the outputs change?
#
# <details><summary>Answer</summary>
#
# They are shuffled alike, and change in no other way. An encoder without positions sees a bag of
# patches (section 3.1). That is why ViT adds a learned position to every patch.
#
# </details>

# %%
torch.manual_seed(0)
flat = rearrange(photo, "(rows p) (columns q) c -> 1 (rows columns) (p q c)", p=24, q=24)
project, layer = nn.Linear(24 * 24 * 3, 64), EncoderLayer(64, 4, 256, "pre").eval()
x, order = project(flat), torch.randperm(24)
print("an image of", tuple(photo.shape), "is", x.shape[1], "tokens of", x.shape[2], "features")
apart = (layer(x[:, order]) - layer(x)[:, order]).abs().max()
claim(apart < 1e-5, "shuffled patches give the same outputs, shuffled")

# %% [markdown]
# **What you should see.** An image has become a sentence of 24 tokens, and the layer does not notice the
# difference. Trained on enough images, the paper reports, this model reaches the accuracy of the best
# convolutional networks; on few images it does worse, because it has to learn that neighbouring
# pixels belong together. Much of the rest of this course is about putting that knowledge back.

# %% [markdown]
# ## What you have learnt
#
# In 2016 a translator had to wait for every word and passed the first through forty-nine steps to the
# fiftieth. You have built what replaced it: all places of a sentence are computed at once, and any two words
# are one step apart. Your model reads dates that it has never seen, its loss lands on the floor that you
# computed, and with its mask taken out it cheats.
#
# | part | what it is for | what happens without it |
# |---|---|---|
# | residual connection | carries each token past the average | all tokens become alike after a few layers |
# | feed-forward network | computes on each token by itself | tokens are mixed, but nothing new is computed on each |
# | pre-norm | leaves the residual connection free | the last layers get the largest gradients, and training needs a longer warm-up |
# | causal mask | lets all next words be learned at once | the loss is splendid, and what it writes is nonsense |
# | label smoothing | keeps logits finite | they grow for ever |
# | beams, length penalty | find likelier sentences | greedy decoding may never end |
# | KV cache | makes a new word cost one word | every word costs all words before it |

# %% [markdown]
# ## Explain it to somebody
#
# <details><summary>1. What does a Transformer do that a recurrent network cannot?</summary>
#
# It computes all places of a sentence at once in training, and any two words are one step apart. It
# pays with a cost that grows with the square of the length.
#
# </details>
#
# <details><summary>2. What is teacher forcing, and what does it need the causal mask for?</summary>
#
# The decoder is given the right words and must name the next at every place. Input and answer are one
# row shifted by one, so that without the mask every place could copy the answer.
#
# </details>

# %% [markdown]
# <details><summary>3. What is the difference between self-attention and cross-attention?</summary>
#
# In self-attention queries, keys and values come from the same sequence. In cross-attention the queries
# come from the target, and keys and values from the memory of the source.
#
# </details>

# %% [markdown]
# <details><summary>4. Post-norm or pre-norm: what changes?</summary>
#
# Post-norm normalises after the sum, so that the residual connection itself passes through norms.
# Pre-norm leaves it free: gradients are even, features grow, and a last norm is needed.
#
# </details>
#
# <details><summary>5. Why may keys and values be kept while writing, and what limits this?</summary>
#
# The causal mask keeps later words from changing earlier ones. The cache grows with layers, words and
# heads, and soon takes more memory than the model.
#
# </details>

# %% [markdown]
# ## What came after
#
# - [BERT](https://arxiv.org/abs/1810.04805) (2018): the encoder alone, trained to fill in hidden words.
# - [T5](https://arxiv.org/abs/1910.10683) (2019): the complete encoder-decoder, with every task written
#   as text.
# - [GPT-3](https://arxiv.org/abs/2005.14165) (2020): the decoder alone, at 175 billion weights.
# - [RMSNorm](https://arxiv.org/abs/1910.07467) and
#   [SwiGLU](https://arxiv.org/abs/2002.05202) (2019, 2020): a norm without the mean and a gated
#   feed-forward network, which have replaced the originals in many language models.
# - [DETR](https://arxiv.org/abs/2005.12872) (2020): decoder tokens that each find one object in an
#   image.
# - [ViT](https://arxiv.org/abs/2010.11929) (2020) and [masked autoencoders](https://arxiv.org/abs/2111.06377)
#   (2021): the encoder on patches, and BERT's idea for images.
#
# Chapter 05 leaves tokens for a while and asks what attention over *channels* can do.

# %% [markdown]
# ## For reference: the translation of section 4.7
#
# `attncourse train translate` repeats the run, where the folder of the data is named in `ATTNCOURSE_DATA`.

# %% jupyter={"source_hidden": true}
chosen = run["settings"]
names = ("layers", "dim", "heads", "hidden", "norm", "dropout", "smoothing", "warmup")
print(", ".join(f"{name} {chosen[name]}" for name in names))
print("test set ", run["test"])
print("hardware ", run["hardware"])
print("signature", run["signature"])

# %% [markdown]
# What others print for this test set, trained on the same pairs without the photographs:
#
# | model | BLEU | scored on | printed in |
# |---|---|---|---|
# | Transformer, tiny | 41.02 | tokens in lower case | [the repository of Wu et al. 2021](https://github.com/LividWo/Revisit-MMT) |
# | recurrent network with attention | 39.00 | tokens in lower case | [the repository of Caglayan et al. 2017](https://github.com/lium-lst/wmt17-mmt), one run |
# | Transformer of 6 and of 2 layers | 35.41, 36.45 | tokens as written | [an example of the library DGL](https://github.com/dmlc/dgl/tree/master/examples/pytorch/transformer) |

# %% jupyter={"source_hidden": true}
again = run["again"]
print(f"this run, sentences as written   {run['bleu']:.1f}")
print(f"trained again                    {again['bleu']:.1f}, {again['minutes']:.0f} minutes")
print(f"the second, in lower case        {again['lowercase_bleu']:.1f}")

# %% [markdown]
# **What you should see.** The two runs reach 37.8 and 37.7, which says little about their spread: two
# runs are too few. (The second took longer because its machine was busy.) The result lies among what
# others print, but those figures are not on one scale: lower case forgives wrong capitals, and other
# rules for cutting sentences into tokens make other words. The program
# [sacreBLEU](https://arxiv.org/abs/1804.08771) cuts the sentences itself and says how. Compare BLEU only
# under one signature.

# %% [markdown]
# ## References
#
# - Vaswani et al.: Attention Is All You Need. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
# - Xiong et al.: On Layer Normalization in the Transformer Architecture. ICML 2020.
#   <https://arxiv.org/abs/2002.04745>
# - Dong, Cordonnier, Loukas: Attention Is Not All You Need. ICML 2021.
#   <https://arxiv.org/abs/2103.03404>
# - Szegedy et al.: Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
#   <https://arxiv.org/abs/1512.00567>
# - Wu et al.: Google's Neural Machine Translation System. 2016. <https://arxiv.org/abs/1609.08144>
# - Dosovitskiy et al.: An Image is Worth 16x16 Words. ICLR 2021. <https://arxiv.org/abs/2010.11929>
