# %% [markdown]
# # 11 · Fast attention
#
# For five years many tried to make attention cheaper by computing less of it: they left pairs out (chapter
# 10), squeezed the keys to fewer, or grouped similar ones. On the GPUs and at the lengths of the time such
# methods often were no faster, as the abstract of
# [FlashAttention](https://arxiv.org/abs/2205.14135) says. In 2021 Markus Rabe and Charles Staats showed that
# exact attention [does not need memory of the order of n²](https://arxiv.org/abs/2112.05682).
#
# In 2022 Tri Dao, Dan Fu, Stefano Ermon, Atri Rudra and Christopher Ré looked at the machine instead of the
# formula. A GPU spends the time of attention not on computing but on *moving* the map of attention weights
# to its memory and back.

# %% [markdown]
# Their algorithm, FlashAttention, computes the same attention exactly, never writes the map down, and for the
# gradient computes its scores a second time. It makes more operations, and all the same it is several times
# as fast. How can that be?

# %% [markdown]
# ### What came of it
#
# | attention of GPT-2 medium, 1024 tokens, forward and backward, A100 | standard | FlashAttention |
# |---|---|---|
# | billion operations | 66.6 | 75.2 |
# | gigabytes moved to and from memory | 40.3 | 4.4 |
# | milliseconds | 41.7 | 7.3 |
#
# (Figure 2 of the paper.) According to its abstract, training of BERT-large became 15 % faster than the
# record of the time in the training benchmark MLPerf, and training of GPT-2, with 1,000 tokens, three times as fast. Today torch's
# `scaled_dot_product_attention` contains it, and hardly a large model is trained without it or its
# successors, [FlashAttention-2](https://arxiv.org/abs/2307.08691) and
# [-3](https://arxiv.org/abs/2407.08608).

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | FlashAttention, forward and backward; the count of its traffic and the floor of its time; windows that share keys; relative positions without a map; the core of a Triton kernel; patterns for FlexAttention; a fair ratio of two times | the same numbers from all; why the paper's table looks as it does; how measurements mislead | scaled dot products (chapter 1), relative positions (8), windows (9), patterns (10) |
#
# **About 5 hours**, of which 160 minutes are exercises. The first six sections are the core and take half of that
# time; there the question is answered. The next three are excursions that may be skipped, and section 11.10
# is about measuring, in this chapter and in all others. A CPU is enough; Triton, where there is one, runs in
# its interpreter.

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `i` `j` | queries and keys; n of both where they are the same tokens |
# | `d`, `e` | features of a query or key, of a value |
# | `tile` | some rows of a matrix, dealt with at a time; in code, how many keys that are |
# | $B$ | queries that are dealt with at a time: the *queries per tile* |
# | `head` `h` `w` | heads; height and width of an image, in pixels |
# | `window` | keys of a local query, window x window of them |
# | `block` | a square of block x block queries |
# | `m`, `l`, `L` | of a row of scores: the largest, the sum of exponentials, the log-sum-exp |
#
# The last three are the letters of FlashAttention-2. $\exp$ is written out, since `e` counts features.
# The **map** is always the n x n map of attention weights; pixels form an image.

# %%
import math
import os
import warnings
from functools import cache, partial
from statistics import median

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

# %%
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # has to be there before Triton is imported
try:
    import triton.language as tl
except ImportError:  # there is Triton for Linux
    tl = None
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

# %%
from attncourse import check, explore, hint
from attncourse.book import claim, diagrams, plots, result
from attncourse.book.drawings import relative_2d as drawn
from attncourse.bench import kept as benchmarks
from attncourse.papers import counting
from attncourse.tasks import fast as fast_tasks
from attncourse.tasks.pictures import photograph
from attncourse.tasks.fast import Warming, alike, how_many, largest_kept, seconds, turns
from solutions import relative_2d, sparse, stand_alone
from solutions.fast import gpu, local
from solutions.fast import sparse as fast_sparse
from solutions.scaled_dot_product import scaled_dot_product_attention

# %%
china = photograph("china")

# %% [markdown]
# ### Why moving costs more than computing
#
# A GPU has a large memory beside its chip, called **HBM** (high-bandwidth memory), and a small one on it,
# called **SRAM**, spread over its processors. Numbers are computed with only when they are in SRAM.
# The figure has the sizes and speeds of an A100, from Figure 1 of the
# [paper](https://arxiv.org/abs/2205.14135).

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 6.8)
levels = (
    ("SRAM, on the chip", "20 MB", "19 TB a second", 2.6, 4.3, diagrams.ATTENTION),
    ("HBM, the GPU's memory", "40 GB", "1.5 TB a second", 5.4, 2.5, diagrams.DATA),
    ("DRAM, the computer's memory", "over 1 TB", "12.8 GB a second", 8.2, 0.7, diagrams.HIDDEN),
)
for name, size, speed, width, up, colour in levels:
    diagrams.layer(ax, 4.6 - width / 2, up, size, width, 1.1, colour)
    ax.text(9.3, up + 0.55, name, weight="bold", va="center")
    ax.annotate(
        "", (4.6, up + 1.75), (4.6, up + 1.15), arrowprops={"arrowstyle": "<->", "lw": 1.3}
    )
    ax.text(4.9, up + 1.45, speed, va="center", size=8.5)
ax.text(4.6, 6.1, "processors", ha="center", va="bottom", weight="bold")
plots.show(
    fig,
    """The processors and below them three boxes, each wider than the one above it: SRAM on the chip, 20
    megabytes, which gives the processors 19 terabytes a second; HBM, the memory of the GPU, 40 gigabytes
    at 1.5 terabytes a second; DRAM of the computer, over a terabyte at 12.8 gigabytes a second. Arrows
    lead both ways between them, with these speeds beside them.""",
)

# %% [markdown]
# | word | what it means |
# |---|---|
# | **kernel** | a program for a GPU that carries out one operation, such as a softmax |
# | **eager** | every operation is a kernel of its own, which reads its inputs from HBM and writes its result there |
# | **fused** | one kernel does several operations, so that what lies between them stays on the chip |
# | **register** | a place for one number in a processor, faster still than SRAM (which NVIDIA calls *shared memory*) |
#
# The map of a single head with 4096 tokens takes 34 MB in 16 bits. It does not fit into SRAM, so three eager
# operations (scores, softmax, product with v) write it to HBM and read it again. A fused one would have to do
# all three on a small piece of the map, and forget the piece. One thing seems to forbid this: a softmax needs
# the whole row.

# %% [markdown]
# ## 11.1 Largest and sum in one pass
#
# Take every pixel of a photograph as a token, and let it ask for its own colour: 13,824 keys. The
# scores are those of chapter 9's bilateral filter without the distance. The figure shows one
# pixel, the pixels that get more than a hundredth of its largest weight, and its larger scores in the order
# in which they come in, row by row from the top.

# %%
q, k, v = alike(china, sigma=0.03)  # 13,824 tokens of 4 features; values are colours
asks = 50 * 144 + 55  # a pixel of the temple
row = q[asks] @ k.T / math.sqrt(4)
print(f"{len(row)} scores, the largest {row.max():.1f}")

# %% jupyter={"source_hidden": true}
fig, places = plt.subplot_mosaic("ab;cc", figsize=(6.4, 4.3), height_ratios=(1, 0.95))
axs = list(places.values())
plots.image(axs[0], china, "The pixel that asks")
weights = rearrange(row.softmax(0), "(h w) -> h w", h=96)
seen = (weights > weights.max() / 100).nonzero()
plots.image(axs[1], china * 0.4 + 0.6, "Where its weight goes")
axs[1].plot(seen[:, 1], seen[:, 0], ".", color="#009e73", ms=4)
for ax in axs[:2]:
    ax.plot(55, 50, "o", color="#e69f00", ms=4)
axs[2].plot(row, ".", ms=1)
far = row.cummax(0).values
rises = (far.diff() > 0.2).nonzero()[:, 0] + 1
title = "Whenever the largest score so far rises, the sum must be rescaled"
label = "score (below 120: not shown)"
plots.lines(axs[2], range(len(row)), {"largest so far": far}, "key j", label, title)
axs[2].plot(rises, far[rises] + 3, "v", color="#d55e00", ms=5, label="rescale")
axs[2].set(ylim=(120, 172), xticks=(0, 5000, 10000))
axs[2].legend(loc="center left", bbox_to_anchor=(0.08, 0.4))
plots.show(
    fig,
    """Left, the photograph of a temple with a dot on one pixel. Right, the photograph pale, with green dots on
    the pixels that get more than a hundredth of the largest weight: parts of the temple of its colour. Below, its
    scores with all keys as dots; a line above them, the largest so far, climbs in steps until key
    7254, and a small mark stands over each step: rescale.""",
)

# %% [markdown]
# Chapter 1's softmax reads such a row three times: for the largest score, for the sum of the
# exponentials, and for the weights. If scores come in **tiles** and are gone afterwards, then the sum has
# to be taken before the largest score is known. That works if one corrects it: when a larger score
# comes, everything summed so far is **rescaled**.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.4)
shown, up = (("1", "3"), ("5", "2"), ("4", "4")), 3.9
for number, pair in enumerate(shown):
    x = 2.0 + 4.6 * number
    values = [[int(s) / 6 for s in pair]]
    diagrams.matrix(ax, x, 3.7, values, "", f"tile {number + 1}", side=0.7, text=[list(pair)])
    diagrams.arrow(ax, (x + 0.7, 3.6), (x + 0.7, 2.4))
says = ("m = 3\nl = 1.14", "m = 5\nl = 1.20", "m = ?\nl = ?")
kept = [diagrams.layer(ax, 1.7 + 4.6 * k, 1.1, words, 2.0, 1.2, diagrams.ATTENTION)
        for k, words in enumerate(says)]  # fmt: skip
diagrams.arrow(ax, kept[0].right, kept[1].left)
diagrams.arrow(ax, kept[1].right, kept[2].left)
ax.text(5.0, 1.25, "rescale by\nexp(3 - 5)", ha="center", va="top", size=8.5)
ax.text(9.6, 1.25, "rescale by\n?", ha="center", va="top", size=8.5)
ax.text(0.1, 4.05, "scores", weight="bold", va="center")
ax.text(0.1, 1.7, "kept", weight="bold", va="center")
plots.show(
    fig,
    """Three tiles of two scores come in one after the other: 1 and 3, 5 and 2, 4 and 4. After
    each, only two numbers are kept, the largest score m and the sum l. Between the first and the
    second tile the sum is rescaled by the exponential of 3 minus 5.""",
)

# %% [markdown]
# **Once by hand.** After the tile (1, 3): $m = 3$ and $l = \exp(1 - 3) + \exp(0) = 1.14$. The tile (5, 2)
# brings a larger score, so $m = 5$. What was summed relative to 3 is rescaled by $\exp(3 - 5)$, and then
# the new terms are added:
#
# $$
# l = 1.14 \cdot \exp(-2) + \exp(0) + \exp(2 - 5) = 0.15 + 1 + 0.05 = 1.20
# $$

# %%
first = math.exp(1 - 3) + math.exp(3 - 3)
second = first * math.exp(3 - 5) + math.exp(5 - 5) + math.exp(2 - 5)
print(f"l after one tile {first:.2f}, after two {second:.2f}")
print(f"of which the first tile {first * math.exp(-2):.2f}, and the score 2 {math.exp(-3):.2f}")
once = sum(math.exp(s - 5) for s in (1, 3, 5, 2))
claim(abs(second - once) < 1e-12, "two steps give the sum of all four scores relative to 5")

# %% [markdown]
# $$
# m' = \max(m, \max_j s_j) \qquad l' = \exp(m - m')\, l + \sum_j \exp(s_j - m')
# $$
#
# (**Online softmax**: [Milakov and Gimelshein 2018](https://arxiv.org/abs/1805.02867).)
#
# | | axes | what it is |
# |---|---|---|
# | $s$ | `… j` | scores; a tile of them at a time |
# | $m$, $l$ | `… 1` | the largest so far, and the sum so far |
# | `online_softmax(x, tile)` | `… j` | the softmax: $\exp(s - m) / l$ in the end |
#
# **Predict.** What are m and l after the third tile of the figure, (4, 4)? And why is it a bad idea to
# subtract nothing: what is $\exp(200)$ in float32?
#
# <details><summary>Answer</summary>
#
# m stays 5, the sum is rescaled by $\exp(5 - 5) = 1$, and l becomes $1.20 + 2 \exp(-1) = 1.94$. The largest number in float32 is about $\exp(88)$, so
# $\exp(200)$ is infinite.
#
# </details>

# %% [markdown]
# ### Exercise: `online_softmax`

# %% exercise="fast.online_softmax"

# %%
check("fast.online_softmax", online_softmax)

# %% [markdown]
# Stuck? `hint("fast.online_softmax")` gives one hint at a time. To read on without solving it:
# `from solutions.fast.tiles import online_softmax`.

# %%
for tile in (1, 100, 5000, len(row)):
    apart = (online_softmax(row, tile) - row.softmax(0)).abs().max().item()
    claim(apart < 1e-6, f"tiles of {tile} give the softmax in three passes")
l_third = second + 2 * math.exp(4 - 5)
print(f"the third tile of the figure: l = {l_third:.2f}")
huge = torch.tensor([1e30, 0.0, 1e30, -1e30])
claim(online_softmax(huge, 1).tolist() == [0.5, 0, 0.5, 0], "scores of 1e30 do not overflow")
naive = row.exp() / row.exp().sum()
print(f"without the largest: {naive.isnan().sum().item()} of {len(row)} weights are nan")

# %% [markdown]
# **What you should see.** The weights are the same for every size of the tile, and nothing overflows.
# Without $m$, every score above 88 becomes infinite, and so does the sum: infinity over infinity is
# not a number.
#
# ### Ablation: a sum that is not rescaled
#
# Leave out $\exp(m - m')$. The sum then keeps old terms as they were, relative to a smaller $m$.
#
# **Predict.** Does the sum come out too large or too small? And where the largest score comes first?
#
# <details><summary>Answer</summary>
#
# It comes out too large, since a term relative to a smaller $m$ counts too much. Where the largest score is in
# the first tile there is nothing to rescale, and the mistake does not show.
#
# </details>


# %%
def without_rescaling(row, tile):
    """The softmax, with the sum of each tile taken relative to the largest so far and left so."""
    parts = row.split(tile)
    far = torch.stack([part.max() for part in parts]).cummax(0).values
    total = sum((part - m).exp().sum() for part, m in zip(parts, far, strict=True))
    return (row - row.max()).exp() / total


for tile in (16, 512):
    wrong, right = without_rescaling(row, tile).sum(), online_softmax(row, tile).sum()
    print(f"tiles of {tile:3}: the weights sum to {wrong:.3f}, with rescaling to {right:.3f}")
first = without_rescaling(row.sort(descending=True).values, 16).sum()
claim((first - 1).abs() < 1e-4, "with the largest score first the mistake does not show")

# %% [markdown]
# **What you should see.** The weights sum to less than 1 as soon as the largest score so far climbs.
# With a single tile, or with sorted scores, they sum to 1: such a test proves nothing here.

# %% [markdown]
# ## 11.2 Merging two partial attentions
#
# The same idea joins whole results. Cut the keys into two parts, and let every query attend to each part
# with a softmax of its own. Can the two outputs be put together as if all keys had been there at
# once? Yes, if each comes with one more number per query: the **log-sum-exp** of its scores, which
# says how much weight there was in that part.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.2)
q_ = diagrams.layer(ax, 0.4, 2.2, "queries q", 1.9, 0.8, diagrams.DATA)
for up, name, k_ in (
    (3.7, "1", "keys, values\nleft half"),
    (0.5, "2", "keys, values\nright half"),
):
    part = diagrams.layer(ax, 3.4, up - 0.1, k_, 2.4, 1.1, diagrams.DATA)
    soft = diagrams.layer(ax, 7.0, up, "attention", 1.9, 0.9, diagrams.ATTENTION)
    diagrams.arrow(ax, part.right, soft.left)
    diagrams.arrow(ax, q_.right, (7.95, 2.6), soft.bottom if up > 2 else soft.top)
    diagrams.arrow(ax, soft.right, (10.2, up + 0.45), (10.2, 2.6 + 0.5 * (up - 2.1) / 1.6))
    ax.text(9.1, up + 0.6, f"y{name}, L{name}", style="italic")
both = diagrams.layer(ax, 9.4, 2.15, "merge", 1.6, 0.9)
diagrams.arrow(ax, both.right, (12.6, 2.6))
ax.text(12.8, 2.6, "y, L of all keys", va="center", weight="bold")
plots.show(
    fig,
    """The queries attend to the left half of the keys and values, and to the right half. Each
    attention gives an output y and a log-sum-exp L. A merge of both gives y and L of all keys.""",
)

# %% [markdown]
# $$
# L = \log\bigl(\exp(L_1) + \exp(L_2)\bigr) \qquad
# y = \exp(L_1 - L)\, y_1 + \exp(L_2 - L)\, y_2
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `y`, `other` | `… i e` | the output from some keys, and from the others |
# | `lse`, `other_lse` | `… i` | $L$ of each, $\log \sum_j \exp(s_j)$; $-\infty$ where there was no key |
# | `merge(…)` | `… i e`, `… i` | $y$ and $L$ of all of them |
#
# **Once by hand.** One key with score 0 has the value 1, so $L_1 = 0$ and $y_1 = 1$. Another three keys have
# score 0 and the value 5, so $L_2 = \log 3$ and $y_2 = 5$. Together $L = \log 4$, the weights are 1/4 and
# 3/4, and $y = 1/4 + 15/4 = 4$: the mean of 1, 5, 5, 5.

# %%
together = math.log(math.exp(0) + math.exp(math.log(3)))
one, three = math.exp(0 - together), math.exp(math.log(3) - together)
print(f"weights {one:.2f} and {three:.2f}, y = {one * 1 + three * 5:.2f}")
claim(
    abs(one + 5 * three - (1 + 5 + 5 + 5) / 4) < 1e-12,
    "merging gives the mean of all four values",
)

# %% [markdown]
# **Predict.** A query has the output 2 from three keys with score 0, and 6 from one key with score 0. What do
# the two give together?
#
# <details><summary>Answer</summary>
#
# $L = \log 4$, and $y = (3 \cdot 2 + 1 \cdot 6) / 4 = 3$. The mean of the two, 4, would give the one key
# as much weight as the three.
#
# </details>

# %% [markdown]
# ### Exercise: `merge`
#
# If neither part has a key for a query, return the output 0 and the log-sum-exp $-\infty$; nothing may become
# NaN.

# %% exercise="fast.merge"

# %%
check("fast.merge", merge)

# %% [markdown]
# Stuck? `hint("fast.merge")`. To read on without solving it:
# `from solutions.fast.tiles import merge`.


# %%
def read(q, k, v):
    """Attention with its map, and the log-sum-exp of its scores."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


small = photograph("china", 48, 72)
q, k, v = alike(small, sigma=0.05)
left = repeat(torch.arange(72) < 28, "w -> (h w)", h=48)
one, two = read(q, k[left], v[left]), read(q, k[~left], v[~left])
y, lse = merge(*one, *two)
claim((y - read(q, k, v)[0]).abs().max() < 1e-4, "the merged output is that of all keys")
claim((lse - read(q, k, v)[1]).abs().max() < 1e-3, "and the log-sum-exp is that of all keys")

# %%
quarters = [read(q, k[i::4], v[i::4]) for i in range(4)]
forth = merge(*merge(*merge(*quarters[0], *quarters[1]), *quarters[2]), *quarters[3])
apart = merge(*merge(*quarters[3], *quarters[1]), *merge(*quarters[0], *quarters[2]))
claim((forth[0] - apart[0]).abs().max() < 1e-4, "the order of four parts does not matter")
nothing = torch.zeros_like(y), torch.full_like(lse, -math.inf)
claim(torch.equal(merge(y, lse, *nothing)[0], y), "a part without keys changes nothing")

# %% jupyter={"source_hidden": true}
_, lse = merge(*one, *two)
weight = rearrange((one[1] - lse).exp(), "(h w) -> h w", h=48)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.1))
plots.image(axs[0], small, "Keys left and right of the line")
axs[0].axvline(27.5, color="#e69f00")
plots.heat(axs[1], weight, "column", "row", "Each query finds its like", bar=False)
axs[1].set(xticks=(0, 20, 40, 60), yticks=(0, 20, 40))
fig.colorbar(axs[1].images[0], ax=axs[1], label="weight of the left half")
plots.show(
    fig,
    """Left, the temple cut in two by a vertical line. Right, the weight that each query gives the
    left half: high for the blue sky on the left, low for the pale sky on the right, about a half for the
    temple and the lake.""",
)

# %% [markdown]
# **What you should see.** Merged parts equal the whole, in any order. The pale sky finds its colours in the
# right half, the temple, which is cut in two, in both. So keys may be divided at will: among tiles, cores
# or machines. Section 11.9 computes chapter 10's pattern in this way, and long texts are decoded so
# ([Flash-Decoding](https://pytorch.org/blog/flash-decoding/)). If your weight is 0.5 throughout, then
# both parts were given equal weight.

# %% [markdown]
# ## 11.3 FlashAttention: the forward pass
#
# Now both ideas together. A tile of queries stays in fast memory. Tiles of keys and values come in one
# after the other. Each time the scores of the tile are computed, m and l are updated, the output so
# far is rescaled, the new part is added, and the scores are forgotten. Only y and L are ever written
# to slow memory.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 8.2)
diagrams.frame(ax, 0.2, 0.5, 4.0, 7.0, "slow memory (HBM)")
diagrams.frame(ax, 5.2, 0.5, 6.3, 7.0, "fast memory (SRAM)")
diagrams.frame(ax, 12.4, 0.5, 2.4, 7.0, "slow memory")
pieces = [[[0.9 if k == on else 0.2] for k in range(4)] for on in range(4)]
qs = diagrams.matrix(ax, 1.5, 4.6, pieces[1], "", "q", side=0.55)
ks = diagrams.matrix(ax, 1.2, 1.0, pieces[2], "", "k", side=0.55)
vs = diagrams.matrix(ax, 1.95, 1.0, pieces[2], "", "v", side=0.55)
mine = diagrams.layer(ax, 5.6, 5.65, "q, one tile", 1.9, 0.7, diagrams.DATA)
theirs = diagrams.layer(ax, 5.6, 3.7, "k, v,\none tile", 1.9, 1.0, diagrams.DATA)
s_ = diagrams.layer(ax, 8.6, 4.6, "scores,\none tile", 2.4, 1.1, diagrams.ATTENTION)
acc = diagrams.layer(ax, 8.6, 1.5, "m, l and ỹ\nso far", 2.4, 1.1, diagrams.ATTENTION)
diagrams.arrow(ax, mine.right, (8.0, 6.0), (8.0, 5.3), (8.5, 5.3))
diagrams.arrow(ax, theirs.right, (8.0, 4.2), (8.0, 4.9), (8.5, 4.9))
diagrams.arrow(ax, s_.bottom, acc.top)
ax.text(9.65, 3.5, "rescale, add,\nforget the scores", ha="right", va="center", size=8.5)
diagrams.arrow(ax, (2.15, 5.98), mine.left)
diagrams.arrow(ax, (2.6, 1.83), (4.7, 1.83), (4.7, 4.2), theirs.left)
diagrams.arrow(ax, acc.left, (6.55, acc.left[1]), theirs.bottom, colour="#777777")
ax.text(5.45, 1.75, "inner loop:\nnext tile of keys", va="top", size=8.5, color="#777777")
ys = diagrams.matrix(ax, 13.35, 4.6, pieces[1], "", "y, L", side=0.55)
for where in ((1.35, 5.7), (13.2, 5.7)):
    diagrams.label(ax, where, "i", "right")
diagrams.label(ax, (1.05, 2.1), "j", "right")
diagrams.arrow(ax, acc.right, (13.62, acc.right[1]), (13.62, 4.5))
ax.text(12.6, 1.75, "y = ỹ / l\nL = m + log l\nwritten once", va="top", size=8.5)
plots.show(
    fig,
    """The tiling loop. In slow memory lie q, k and v, cut into tiles of rows. A tile of q is loaded
    into fast memory and stays; tiles of k and v are loaded one after the other. Their scores update
    m, l and the unnormalised output so far, and are forgotten; the inner loop goes on with the next tile of
    keys. At the end y and L of the tile of queries are written to slow memory once.""",
)

# %% [markdown]
# $$
# \tilde y' = \exp(m - m')\, \tilde y + \sum_j \exp(s_j - m')\, v_j \qquad \text{at the end} \quad
# y = \tilde y / l, \quad L = m + \log l
# $$
#
# ($\tilde y$ is the output so far, not yet divided by the sum.)
#
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `… i d`, `… j d`, `… j e` | scores are $q \cdot k / \sqrt d$ |
# | `tile` | | keys at a time; the last tile may be shorter |
# | `causal` | | query i sees keys up to j = i |
# | result | `… i e`, `… i` | $y$ and $L$ |

# %% [markdown]
# **Predict.** How large is the map of the whole photograph, 13,824 pixels, at 4 bytes a number?
# And the scores of a tile of 256 keys?
#
# <details><summary>Answer</summary>
#
# The map has $13824^2 \cdot 4 = 764 \cdot 10^6$ bytes, and the scores of a tile have
# $13824 \cdot 256 \cdot 4 = 14 \cdot 10^6$, a 54th of it.
#
# </details>

# %% [markdown]
# ### Exercise: `attention_by_tiles`
#
# The check counts your largest tensor. What you make anew (m, l, y, indices) belongs on
# `device=q.device`, with the dtype of q.

# %% exercise="fast.attention_by_tiles"

# %%
check("fast.attention_by_tiles", attention_by_tiles)

# %% [markdown]
# Stuck? `hint("fast.attention_by_tiles")`. To read on without solving it:
# `from solutions.fast.tiles import attention_by_tiles`.
#
# ### How the papers order the loops
#
# You took all queries at once and looped over the keys. In Algorithm 1 of the paper the outer loop runs over
# tiles of keys and the inner one over tiles of queries, whose m, l and y are written and read again each time.
# FlashAttention-2 exchanged the two loops, and the figure above shows its order.


# %%
@cache
def similar():
    """Every pixel's mean of similar colours, and its log-sum-exp."""
    return attention_by_tiles(*alike(china, sigma=0.05), tile=256)


q, k, v = alike(china, sigma=0.05)
y, lse = similar()
theirs = F.scaled_dot_product_attention(*(x[None, None] for x in (q, k, F.pad(v, (0, 1)))))
claim((y - theirs[0, 0, :, :3]).abs().max() < 1e-4, "the result equals torch's fused attention")
count = how_many(china, 0.05, lse)
print(f"from {count.min():.1f} to {count.max():.0f} pixels of {len(q)} are of one's own colour")

# %% jupyter={"source_hidden": true}
y, lse = similar()
count = how_many(china, 0.05, lse)
piece = slice(44, 64), slice(36, 66)
fig, axs = plt.subplots(2, 2, figsize=(6.4, 4.2))
axs, mean = axs.flat, rearrange(y, "(h w) c -> h w c", h=96)
plots.image(axs[0], china[piece], "A piece of the image")
plots.image(axs[1], mean[piece], "y: the mean of like colours")
change = "What is gone, ten times as strong"
plots.image(axs[2], 10 * (china - mean)[piece], change, -0.5, 0.5)
shown = axs[3].imshow(count.log10(), vmin=0, vmax=3.5, cmap="viridis")
axs[3].set(
    xlabel="column", ylabel="row", title="Pixels of each one's colour", yticks=(0, 40, 80)
)
ticks = torch.tensor((3.0, 30.0, 300.0, 2000.0))
bar = fig.colorbar(shown, ax=axs[3], ticks=ticks.log10().tolist(), label="pixels")
bar.ax.set_yticklabels(["3", "30", "300", "2,000"])
plots.show(
    fig,
    """A piece of the temple; the same in smoother colours; their difference, a shift of dark and bright parts towards the
    mean with a fine grain; and how many pixels of the whole image have the colour of each one: nearly two thousand for the sky, a handful along the
    edges of the roofs.""",
)

# %% [markdown]
# **What you should see.** The result equals torch's own, from a map of 764 MB that never existed. And $L$
# can be looked at: once the part that is the same for all keys is taken off, $\exp(L)$ says how many
# pixels have one's colour, from a handful at the edges of the roofs to nearly two thousand in the sky.
#
# ### Ablation: the tile
#
# **Predict.** What happens to multiply-adds and to the largest tensor as tiles get smaller?
#
# <details><summary>Answer</summary>
#
# The multiply-adds stay the same, $n^2 (d + e)$. The largest tensor has $n \cdot$ `tile` numbers, until the
# $n\,e$ numbers of $y$ are more.
#
# </details>

# %%
q, k, v = (torch.randn(1024, 32) for _ in range(3))
print(" tile   multiply-adds   largest tensor")
for tile in (1024, 256, 64, 16):
    spent = counting.count(partial(attention_by_tiles, q, k, v, tile))
    print(f"{tile:5}   {spent.multiply_adds:13,}   {spent.largest_tensor:14,}")
    assert spent.multiply_adds == 1024**2 * 64, "the work of the map"
    assert spent.largest_tensor == 1024 * max(tile, 32), "the memory of a tile"

# %% [markdown]
# **What you should see.** The work is the same, in a 32nd of the memory. Forward, FlashAttention makes the same
# multiply-adds; it only never *stores* the map. The additional operations in the paper's table come from the
# backward pass, which computes the scores again. Why it is faster all the same is the subject of
# section 11.5.

# %% [markdown]
# ## 11.4 The backward pass
#
# For the gradient, chapter 1 kept the map. But with $L$ every weight can be computed again from q and k,
# one by one and in any order: $A_{ij} = \exp(s_{ij} - L_i)$. This is **recomputation**: more operations, so
# that fewer numbers are kept.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 7.0)
diagrams.frame(ax, 0.3, 0.3, 2.6, 6.2, "kept in slow memory")
kept = [
    diagrams.layer(ax, 0.75, up, word, 1.7, 0.75, diagrams.DATA)
    for up, word in ((5.3, "q, k"), (4.1, "L"), (1.9, "y"), (0.7, "v"))
]
A_ = diagrams.layer(ax, 4.3, 5.0, "a tile of A,\nagain", 2.2, 1.1, diagrams.ATTENTION)
dy_ = diagrams.layer(ax, 4.3, 3.3, "dy arrives", 2.2, 0.75, diagrams.LEARNED)
D_ = diagrams.layer(ax, 4.3, 1.7, "D = dy · y", 2.2, 0.85, diagrams.ATTENTION)
dv = diagrams.layer(ax, 8.0, 5.05, "dv = Aᵀ dy", 3.5, 1.0, diagrams.LEARNED)
ds = diagrams.layer(ax, 8.0, 2.9, "dS = A ⊙ (dy vᵀ - D)", 3.5, 1.1, diagrams.ATTENTION)
dq = diagrams.layer(ax, 12.45, 4.2, "dq = dS k / √d", 2.45, 0.75, diagrams.LEARNED)
dk = diagrams.layer(ax, 12.45, 2.0, "dk = dSᵀ q / √d", 2.45, 0.75, diagrams.LEARNED)
ways = [(kept[0].right, A_.left), (kept[1].right, (4.22, 5.25)), (kept[2].right, D_.left)]
ways += [(kept[3].right, (9.75, 1.075), ds.bottom), (A_.right, dv.left)]
ways += [((6.58, 5.3), (7.92, 3.75)), ((6.58, 3.85), (7.92, 5.25)), (dy_.right, ds.left)]
ways += [
    (dy_.bottom, D_.top),
    (D_.right, (7.92, 3.1)),
    (ds.right, dq.left),
    (ds.right, dk.left),
]
diagrams.arrows(ax, *ways)
for up, word in ((4.25, "with k"), (2.35, "with q")):
    ax.text(11.85, up, word, ha="right", va="bottom", size=8.5)
plots.show(
    fig,
    """What the backward pass does. Kept are q, k, v, the log-sum-exp L and the output y. From q,
    k and L a tile of the map A is computed again. A and the arriving gradient dy give dv. dy and y give D.
    From A, dy, v and D comes the gradient dS of the scores; with k it gives dq, with q it gives dk.""",
)

# %% [markdown]
# With the log-sum-exp that your function returned, any row of the map can be had back at any time. Here is the
# whole map of a small image, computed again in one line.

# %%
tiny = photograph("china", 20, 30)
q, k, v = alike(tiny, sigma=0.05)
_, lse = attention_by_tiles(q, k, v, tile=64)
again = (q @ k.T / math.sqrt(4) - lse[:, None]).exp()
claim((again.sum(-1) - 1).abs().max() < 1e-3, "every row computed again sums to 1")
explore(tiny, again, query=(10, 11), name="similar")

# %% [markdown]
# Where the page is live, choose a pixel of the sky, then one of a roof: which pixels have its colour?

# %% [markdown]
# The gradient of a softmax needs a sum over its row. If the score $s_{ij}$ rises, $A_{ij}$ grows and all other
# weights of the row shrink: the weight of key $j'$ changes by $A_{ij'} ([j' = j] - A_{ij})$, where the bracket
# is 1 for the key itself and 0 for the others. So the gradient of $s_{ij}$ is $A_{ij}$ times
# ($dy_i \cdot v_j$ minus a sum $D_i$ over the row). That sum is known already, without the row:
#
# $$
# D_i = \sum_j A_{ij}\, (dy_i \cdot v_j) = dy_i \cdot \sum_j A_{ij} v_j = dy_i \cdot y_i
# $$
#
# $$
# dS = A \odot (dy\,v^\top - D) \qquad dv = A^\top dy \qquad
# dq = \frac{dS\,k}{\sqrt d} \qquad dk = \frac{dS^\top q}{\sqrt d}
# $$
#
# ($\odot$ multiplies number by number. Appendix B of the [paper](https://arxiv.org/abs/2205.14135); its
# $D$ is `delta` in our code.)
#
# **Once by hand.** Two keys have weights $A = (1/4, 3/4)$ and values 0 and 4, so $y = 3$. With $dy = 1$ we
# have $dy\,v = (0, 4)$ and $D = 1 \cdot 3 = 3$, so $dS = (-3/4, 3/4)$: more score for the larger value, at
# the expense of the other.

# %%
A, values = torch.tensor([0.25, 0.75]), torch.tensor([0.0, 4.0])
score = A.log().requires_grad_()
(found,) = torch.autograd.grad((score.softmax(0) * values).sum(), score)
print("autograd:", [round(x, 4) for x in found.tolist()])
claim((found - A * (values - 3)).abs().max() < 1e-6, "autograd finds A (dy v - D), as by hand")

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `dy` | `… i e` | the gradient that arrives at $y$ |
# | `q`, `k`, `v`, `y`, `lse` | as before | all that is kept |
# | result | `… i d`, `… j d`, `… j e` | `dq`, `dk`, `dv` |
#
# **Predict.** For the photograph, in bytes: what is kept beside q, k and v, with the map and
# without?
#
# <details><summary>Answer</summary>
#
# The map takes 764 MB, while $y$ and $L$ take $13824 \cdot (3 + 1) \cdot 4 = 221{,}184$ bytes.
#
# </details>

# %% [markdown]
# ### Exercise: `attention_gradients`
#
# You may compute the whole map here, from `lse`; the library does it tile by tile.

# %% exercise="fast.attention_gradients"

# %%
check("fast.attention_gradients", attention_gradients)

# %% [markdown]
# Stuck? `hint("fast.attention_gradients")`. To read on without solving it:
# `from solutions.fast.tiles import attention_gradients`.
#
# Forward and backward pass together are an operation that torch can differentiate:


# %%
class Tiled(torch.autograd.Function):
    """Attention that keeps y and L, and no map."""

    @staticmethod
    def forward(ctx, q, k, v):
        y, lse = attention_by_tiles(q, k, v, tile=64)
        ctx.save_for_backward(q, k, v, y, lse)
        return y

    @staticmethod
    def backward(ctx, dy):
        return attention_gradients(dy, *ctx.saved_tensors)


# %%
torch.manual_seed(0)
x = [torch.randn(2, 4, 100, 16).requires_grad_() for _ in range(3)]
dy = torch.randn(2, 4, 100, 16)
ways, grads = {"tiled": Tiled.apply, "with its map": scaled_dot_product_attention}, []
for name, attend in ways.items():
    print(f"{name:12} keeps a tensor of {largest_kept(partial(attend, *x)):,} numbers")
    grads.append(torch.autograd.grad(attend(*x), x, dy))
for name, ours, theirs in zip("qkv", *grads, strict=True):
    claim(
        (ours - theirs).abs().max() < 1e-5,
        f"d{name} is the gradient that autograd finds",
    )

# %% [markdown]
# **What you should see.** The gradients are equal, and the largest tensor kept has 12,800 numbers,
# $2 \cdot 4 \cdot 100 \cdot 16$, and not the 80,000 of the map. To compute a thing twice in order not to
# keep it costs operations; section 11.5 shows what it saves.
#
# ### Ablation: without D
#
# **Predict.** If all scores of a row rise by the same amount, nothing changes. What does that say
# of $\sum_j dS_{ij}$? Does it hold without $D$?
#
# <details><summary>Answer</summary>
#
# It is 0: $\sum_j A_{ij} (dy_i \cdot v_j - D_i) = D_i - D_i$. Without $D$ it is $D_i$.
#
# </details>

# %%
q, k, v = (part[0, 0].detach() for part in x)
y, lse = attention_by_tiles(q, k, v, tile=64)
A = (q @ k.mT / 4 - lse[:, None]).exp()
slope, D = dy[0, 0] @ v.mT, (dy[0, 0] * y).sum(-1, keepdim=True)
claim((A * (slope - D)).sum(-1).abs().max() < 1e-5, "with D the rows of dS sum to 0")
claim(((A * slope).sum(-1) - D[:, 0]).abs().max() < 1e-5, "without it they sum to D")

# %% [markdown]
# **What you should see.** With D the rows sum to 0, without it to D. A gradient whose row does not sum to
# 0 asks all scores of a row to rise together, which would change nothing in the output; through q and k it
# then moves weights that should stay.

# %% [markdown]
# ## 11.5 Why it is faster: bytes and operations
#
# Forward, tiled attention makes the same multiply-adds as attention with its map; backward it makes more. So
# why is it faster? A processor computes, and it fetches numbers from memory. Both take time, and both go
# on at the same time. Let us measure how much of either
# this machine does in a second: a large matrix product measures the one, a large copy the other.

# %% tags=["nbval-ignore-output"]
a, b, c = (torch.randn(1024, 1024) for _ in range(3))
x, z = torch.randn(2**24), torch.randn(2**24)
rate = 2 * 1024**3 / seconds(partial(torch.mm, a, b, out=c))
bandwidth = 2 * 4 * 2**24 / seconds(partial(z.copy_, x))  # 4 bytes each, read and written
print(f"{rate / 1e9:.0f} billion operations a second, {bandwidth / 1e9:.1f} billion bytes")
print(f"while one byte moves, {rate / bandwidth:.0f} operations could be done")
claim(rate / bandwidth > 1, "in the time of one byte, more than one operation can be done")

# %% [markdown]
# ### Counting the traffic
#
# Now count the numbers that one head of attention moves. With its map in memory, q, k and v are read and y
# is written; the scores are written and read by the softmax; the weights are written and read for the
# product with v. In tiles, as in the figure of section 11.3, q is read and y written once, but every
# tile of queries reads all of k and v again. The number $B$ of **queries per tile** is the argument `rows`
# of the function.
#
# | | numbers moved |
# |---|---|
# | `traffic(n, d)` | with the map: $4 n d + 4 n^2$ |
# | `traffic(n, d, rows)` | in tiles of $B$ = `rows` queries: q and y once, k and v once for each tile |

# %% [markdown]
# **Predict.** For $n = 1024$, $d = 64$: how many numbers with the map, how many with 256 queries
# at a time?
#
# <details><summary>Answer</summary>
#
# With the map they are $4 \cdot 1024 \cdot 64 + 4 \cdot 1024^2 = 4{,}456{,}448$. In four tiles they are
# $2 \cdot 1024 \cdot 64 \cdot (1 + 4) = 655{,}360$, a seventh.
#
# </details>

# %% [markdown]
# ### Exercise: `traffic`
#
# The last tile of queries may be shorter, and still reads all keys.

# %% exercise="fast.traffic"

# %%
check("fast.traffic", traffic)

# %% [markdown]
# Stuck? `hint("fast.traffic")`. To read on without solving it:
# `from solutions.fast.measure import traffic`.

# %%
print("operations a byte, d = 64, 4 bytes a number      map     B = 64    B = 256")
for n in (256, 1024, 4096, 65536):
    intensity = [4 * n * n * 64 / (4 * traffic(n, 64, B)) for B in (None, 64, 256)]
    print(f"n = {n:6}", " " * 30, "   ".join(f"{each:8.2f}" for each in intensity))
claim(intensity[0] < 64 / 4, "with the map it stays below d / 4, even at n = 65,536")
claim(intensity[2] < 256 / 2, "in tiles it stays below half of the queries per tile")

# %% [markdown]
# **What you should see.** The **arithmetic intensity**, operations for each byte moved, is much higher in
# tiles. Attention makes $2 n^2 d$ multiply-adds, which is $4 n^2 d$ operations. At 4 bytes a number,
#
# $$
# \text{with the map} \quad \frac{n d}{4 (n + d)} < \frac{d}{4} \qquad\qquad
# \text{in tiles} \quad \frac{n}{2\,(1 + n / B)} < \frac{B}{2}
# $$
#
# At 2 bytes a number, as GPUs compute, both limits double, to $d / 2$ and $B$. So one wants many queries per
# tile. What limits them is the fast memory.

# %% [markdown]
# ### What SRAM allows
#
# What lies in fast memory together? $B$ rows of queries and of the output, $T$ rows of keys and of values, each row
# with $d$ numbers, and the tile of scores between them, which is $B \times T$. If the memory holds $M$ numbers, then
#
# $$ 2 B d + 2 T d + B T \le M . $$
#
# A processor of an A100 has 192 KB, which is $M = 98{,}304$ numbers of 2 bytes.

# %%
M, d = 98_304, 64
many = (M - 2 * 64 * d) // (2 * d + 64)
square = max(B for B in range(1, 1000) if 4 * B * d + B * B <= M)
print(f"with tiles of 64 keys: at most {many} queries; with as many keys as queries: {square}")

# %% [markdown]
# With narrow tiles of keys $B$ can be several hundred; kernels take 64 to 256, since they keep scores and output in the
# still smaller registers. Where $B$ is a fixed part of $M / d$, the traffic in tiles, $2 n d \cdot n / B$, is of the order
#
# $$ \frac{n^2 d^2}{M} \qquad \text{against} \qquad 4 n d + 4 n^2 . $$
#
# (These are the counts of Theorem 2 of the [paper](https://arxiv.org/abs/2205.14135). We count each reading of k and v as
# one from HBM; a cache in between serves part of them.)

# %% [markdown]
# **Predict.** By which factor do tiles of 128 queries save traffic, for long sequences and $d = 64$?
#
# <details><summary>Answer</summary>
#
# With the map it is about $4 n^2$, in tiles $2 n d \cdot n / 128 = n^2$: the factor is four.
#
# </details>

# %% [markdown]
# ### The floor
#
# Computing and fetching both take their time. No program can be faster than the slower of the two, even if
# both go on all the time:
#
# $$ t \ge \max\left( \frac{2\,\text{multiply-adds}}{\text{rate}},\;
# \frac{\text{bytes}}{\text{bandwidth}} \right) $$
#
# This is the **roofline model** ([Williams, Waterman and Patterson
# 2009](https://doi.org/10.1145/1498765.1498785)). Where the first term is larger the program is
# **compute-bound**, otherwise **memory-bound**.
#
# | | unit |
# |---|---|
# | `multiply_adds`, `bytes` | what has to be done |
# | `rate`, `bandwidth` | operations, and bytes, a second |
# | `floor_seconds(…)` | seconds |

# %% [markdown]
# **Predict.** 100 billion operations and 10 billion bytes a second, one head, $n = 4096$,
# $d = 64$, in float32, with the map. What is the floor? And if the processor computes ten times
# as fast?
#
# <details><summary>Answer</summary>
#
# Computing $4 \cdot 4096^2 \cdot 64 = 4.29 \cdot 10^9$ operations takes 43 ms, and moving
# $4 \cdot (4 n d + 4 n^2) = 273 \cdot 10^6$ bytes takes 27 ms. So the floor is 43 ms, and the program is
# compute-bound. If the processor computes ten times as fast, the bytes still take 27 ms: that is the floor,
# and the program is memory-bound.
#
# </details>

# %% [markdown]
# ### Exercise: `floor_seconds`

# %% exercise="fast.floor_seconds"

# %%
check("fast.floor_seconds", floor_seconds)

# %% [markdown]
# Stuck? `hint("fast.floor_seconds")`. To read on without solving it:
# `from solutions.fast.measure import floor_seconds`.

# %% [markdown]
# ### A GPU's datasheet in your own function
#
# [NVIDIA's datasheet](https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf)
# gives an A100 with 80 GB: 312 T operations a second in 16 bits, and 2,039 GB a second from
# memory. So in the time of one byte it could do 153 operations. Put these numbers into your functions: one
# head, $d = 64$, 2 bytes a number.

# %%
A100 = 312e12, 2.039e12  # operations and bytes a second, from the datasheet
print(f"operations in the time of a byte: {A100[0] / A100[1]:.0f}")
print("     n   microseconds:   compute       map    B = 128    B = 256")
for n in (1024, 4096, 16384):
    work = 2 * n * n * 64
    ways = [floor_seconds(work, 0, *A100)]
    ways += [floor_seconds(work, 2 * traffic(n, 64, B), *A100) for B in (None, 128, 256)]
    print(f"{n:6}" + " " * 14 + "".join(f"{1e6 * each:11.2f}" for each in ways))
claim(64 / 2 < A100[0] / A100[1], "with the map, at 32 operations a byte, it is memory-bound")
claim(ways[1] > 4.5 * ways[0], "its floor is over 4.5 times that of computing alone")
claim(ways[3] == ways[0], "with 256 queries per tile it is compute-bound")

# %% jupyter={"source_hidden": true}
points = {}
for name, B in (("map", None), ("B = 128", 128), ("B = 256", 256)):
    moved = 2 * traffic(4096, 64, B)
    least = floor_seconds(2 * 4096**2 * 64, moved, *A100)
    points[name] = (4 * 4096**2 * 64 / moved, 4 * 4096**2 * 64 / least / 1e12)
a_byte = torch.logspace(0.7, 3, 200)
roof = torch.minimum(A100[1] * a_byte, torch.tensor(A100[0])) / 1e12
fig, ax = plt.subplots(figsize=(6.0, 2.7))
title = "With its map, attention uses a fifth of what an A100 can compute"
plots.lines(ax, a_byte, {"": roof}, "operations a byte", "T operations a second", title)
for (name, (x, y)), mark in zip(points.items(), "os^", strict=True):
    ax.plot(x, y, mark, ms=7)
    side = ("right", (-8, 3)) if name == "B = 128" else ("left", (6, -14))
    ax.annotate(name, (x, y), side[1], textcoords="offset points", ha=side[0])
ax.axvline(A100[0] / A100[1], color="#888888", ls=":", lw=0.9)
ax.text(5.2, 380, "n = 4,096, d = 64", size=9)
ax.set(xscale="log", yscale="log", ylim=(8, 600))
ax.set(xticks=(10, 32, 153, 1000), xticklabels=("10", "32", "153", "1,000"))
ax.set(yticks=(10, 100, 312), yticklabels=("10", "100", "312"))
ax.minorticks_off()
plots.show(
    fig,
    """The roofline of an A100 for 4,096 tokens: T operations a second against operations a byte. A slope
    rises to a level of 312 at 153 operations a byte. Attention with its map lies on the slope at 32 operations
    a byte, tiles of 128 queries just below the bend, tiles of 256 on the level.""",
)

# %% [markdown]
# **What you should see.** Here is the answer to the question of the first page. On an A100, attention with its
# map reaches at most 32 operations a byte, where the processor could do 153: it waits for memory four fifths
# of its time. Tiles of 128 queries come near the time of computing alone, and tiles of 256 reach it. The map
# is expensive because it is moved, not because it is computed.

# %% [markdown]
# Does the paper's own table agree? It gives the traffic as well. Its card is the one with 40 GB, whose memory
# gives 1,555 GB a second. The caption of its Figure 2 says 1,024 tokens, 16 heads of width 64 and a batch of 64, so that
# we can count the products ourselves: two forward, and four backward, or five where the scores are computed again.

# %%
card = 312e12, 1.555e12  # the A100 with 40 GB
for name, printed, products, moved, took in (
    ("standard", 66.6, 6, 40.3e9, 41.7),
    ("Flash", 75.2, 7, 4.4e9, 7.3),
):
    work = products * 1024**2 * 64 * 16 * 64  # multiply-adds
    least, alone = (1e3 * floor_seconds(work, each, *card) for each in (moved, 0))
    print(f"{name:9} {2 * work / 1e9:.0f} G operations (printed: {printed})", end="; ")
    print(f"computing alone {alone:.2f} ms, floor {least:.2f} ms, measured {took} ms")
    claim(least < took, f"{name} was measured above its floor")

# %% [markdown]
# **What you should see.** For standard attention the traffic alone takes 25.9 of the 41.7 ms measured, ten times as
# long as computing. That is what FlashAttention removed: a ninth of the traffic is left, and now computing sets the floor.
# What remains above it, such as exponentials and processors that wait for each other, was the subject of
# FlashAttention-2 and -3.
#
# The operations that the paper prints are less than a tenth of our count. They would fit a smaller batch than the traffic
# does; we do not know which run they belong to. Their ratio, 1.13, is close to the 7/6 of the count.

# %% [markdown]
# ### And this machine's CPU?
#
# *Eager* attention makes its map with one call of torch after the other; *fused* is torch's own, in tiles.
# Both are measured in turns, with four heads, beside their floors. The two floors are the same wherever both
# ways are compute-bound. (This notebook ran without a GPU.)


# %%
def eager(q, k, v):
    """Attention with its map, each step a call of torch."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def floors(n, B, heads=4, d=64):
    """The floor in seconds, with the map (B is None) or with B queries per tile."""
    work, moved = 2 * heads * n**2 * d, 4 * heads * traffic(n, d, B)
    return floor_seconds(work, moved, rate, bandwidth)


# %% tags=["nbval-ignore-output"]
lengths, measured = (256, 512, 1024, 2048, 4096), {"eager": [], "fused": []}
print("    n    eager: floor, measured    fused: floor, measured   (milliseconds)")
for n in lengths:
    qkv = torch.randn(3, 1, 4, n, 64)
    ways = {"eager": eager, "fused": F.scaled_dot_product_attention}
    spent = turns({name: partial(way, *qkv) for name, way in ways.items()}, rounds=3)
    for name, times in spent.items():
        measured[name].append(median(times))
    shown = floors(n, None), measured["eager"][-1], floors(n, 256), measured["fused"][-1]
    print(f"{n:5}", "{:15.2f} {:9.2f} {:15.2f} {:9.2f}".format(*(1e3 * t for t in shown)))

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
a_byte = torch.logspace(0, 2.7, 100)
roof = torch.minimum(bandwidth * a_byte, torch.tensor(rate)) / 1e9
work, shown = 4 * 4 * 64 * torch.tensor(lengths) ** 2 / 1e9, []
for name, B, mark in (("eager", None, "C1o"), ("fused", 256, "C2s")):
    x = [4 * n**2 * 64 / (4 * traffic(n, 64, B)) for n in lengths]
    least = torch.tensor([floors(n, B) for n in lengths])
    shown.append((x, work / least, f"{name}, predicted", mark, "none"))
    shown.append((x, work / torch.tensor(measured[name]), f"{name}, measured", mark, None))
fig, ax = plt.subplots(figsize=(6.2, 3.2))
title = "Fused attention stays near the roof, eager falls below it"
plots.lines(
    ax, a_byte, {"roof": roof}, "operations a byte", "billion operations a second", title
)
for x, y, name, mark, fill in shown:
    ax.plot(x, y, mark, mfc=fill, label=name)
for x, y, *_ in shown[1::2]:
    for place in (0, -1):
        side = ("right", (-6, -3)) if place == 0 else ("left", (6, -3))
        ax.annotate(f"n = {lengths[place]}", (x[place], y[place]), side[1], size=7.5, ha=side[0],
                    textcoords="offset points")  # fmt: skip
ax.set(xscale="log", yscale="log", ylim=(18, 1.3 * rate / 1e9))
ax.set(yticks=(25, 50, 100), yticklabels=("25", "50", "100"))
ax.set(xticks=(1, 10, 100), xticklabels=("1", "10", "100"))
ax.minorticks_off()
ax.legend(loc="lower right", fontsize=8)
plots.show(
    fig,
    """The roofline of this machine: billion operations a second against operations a byte, a slope
    and then a level. Hollow marks on it are predictions. Measured fused attention is near them, measured
    eager attention far below.""",
)

# %%
least = [floors(n, 256) for n in lengths]
for name in measured:
    slack = min(t / each for t, each in zip(measured[name], least, strict=True))
    claim(slack > 0.5, f"no measured time of {name} is below half of the predicted floor")
claim(
    measured["fused"][-1] < measured["eager"][-1], "at 4096 tokens fused is faster than eager"
)

# %% [markdown]
# **What you should see.** Fused attention lies near the level part of the roof: it is compute-bound most of the
# time. (A measured time can lie a little below its floor, since the floor rests on two measurements.) Eager attention is predicted as high, and with many tokens takes several times as long. A CPU
# computes slowly compared with its memory, so on a CPU the bytes alone do *not* explain eager's time, unlike
# on the A100 above. What does?

# %% [markdown]
# ### Ablation: where eager's time goes (may be skipped at first reading)
#
# **Predict.** There are four calls: $q k^\top$, the division by $\sqrt d$, the softmax, and the product with v.
# Which takes longest, if each had only to compute and to move what we counted?
#
# <details><summary>Answer</summary>
#
# By the count it is either product, for the two have all the counted operations. The division and the softmax
# move $2 n^2$ numbers each, and the softmax takes $n^2$ exponentials, which nobody counted. One thing more was
# not counted: a new tensor of this size comes from the system, which clears it page by page before anyone
# writes.
#
# </details>

# %% tags=["nbval-ignore-output"]
q, k, v = torch.randn(3, 4, 2048, 64)
scores, shares, y = torch.empty(4, 2048, 2048), torch.empty(4, 2048, 2048), torch.empty_like(q)
stages = {
    "q k": partial(torch.bmm, q, k.mT, out=scores),
    "division": partial(torch.div, scores, 8.0, out=shares),
    "softmax": partial(torch.softmax, scores, -1, out=shares),
    "A v": partial(torch.bmm, shares, v, out=y),
    "all four, into new tensors": partial(eager, q, k, v),
}
spent = {name: median(times) for name, times in turns(stages, rounds=5).items()}
for name, time in spent.items():
    print(f"{name:28} {1e3 * time:7.1f} ms")

# %% tags=["nbval-ignore-output"]
*four, whole = spent.values()
print(
    f"the four together {1e3 * sum(four):.1f} ms, new memory {1e3 * (whole - sum(four)):.1f} ms"
)
print(f"floor of one product {500 * floors(2048, None):.1f} ms")

# %% [markdown]
# **What you should see.** If they write into memory that is there already, the four calls together need much
# less time than eager attention; what is left is, as far as we can tell, the price of new memory. Division and softmax, for which we
# counted no operation, take a noticeable part as well. A floor says what is impossible; where the time goes
# has to be measured.

# %% [markdown]
# ## 11.6 Windows that share their keys
#
# Chapter 9 copied a window for each pixel, 49 copies of every key for a window of 7, and was therefore slow
# although it computed little. [HaloNet](https://arxiv.org/abs/2103.12731) (Vaswani et al. 2021) has the
# remedy, and it is a tile again: neighbours want nearly the same keys. A block of 4 x 4 queries gets
# one common **halo** of 10 x 10 keys, and each query masks those outside its own window. The figure shows
# two blocks (solid) with their halos (dashed), and in one of them a query with its own window (white).

# %% jupyter={"source_hidden": true}
flower = photograph("flower", 56, 56)
fig, ax = plt.subplots(figsize=(4.2, 4.2))
plots.image(ax, flower, "One halo serves all queries of a block")
for n in range(0, 57, 4):
    ax.plot((n - 0.5, n - 0.5), (-0.5, 55.5), color="white", lw=0.3)
    ax.plot((-0.5, 55.5), (n - 0.5, n - 0.5), color="white", lw=0.3)
for y, x in ((24, 20), (0, 52)):
    frame = partial(plt.Rectangle, fill=False)
    ax.add_patch(frame((x - 0.5, y - 0.5), 4, 4, color="#7fdbff", lw=2.2))
    ax.add_patch(frame((x - 3.5, y - 3.5), 10, 10, color="#7fdbff", lw=1.8, ls="--"))
    ax.text(
        x + 1.5, y - 5.2, "halo 10 x 10", size=8, ha="center", va="bottom", backgroundcolor="w"
    )
ax.plot(23, 24, "o", color="white", ms=3)
ax.add_patch(plt.Rectangle((19.5, 20.5), 7, 7, fill=False, color="white", lw=1.6, ls=":"))
ax.set(xlim=(-5, 60), ylim=(60, -5))
plots.show(
    fig,
    "A photograph of an orange dahlia under a fine grid of blocks. Two blocks are framed, each inside a larger dashed square, its halo; one halo reaches beyond the image. In the other a query has a dotted window of 7 by 7, inside the halo.",
)

# %% [markdown]
# $$ \text{halo} = \text{block} + \text{window} - 1 $$
#
# In the paper every query sees its whole halo. Here each sees its own window, so that the result equals
# chapter 9's.
#
# **Predict.** For window 7 and blocks of 4: how many scores are computed for each one that is
# needed? How often is each key copied?
#
# <details><summary>Answer</summary>
#
# A query meets $10^2$ keys and needs $7^2$, so twice as many scores are computed, $100 / 49$. A block of 16
# queries copies 100 keys, so each key is copied six times, $100 / 16$. In general these are
# $\text{halo}^2 / \text{window}^2$ and $\text{halo}^2 / \text{block}^2$.
#
# </details>

# %% jupyter={"source_hidden": true}
blocks = torch.arange(1, 29)
halo = (blocks + 6.0) ** 2
curves = {"scores computed for one needed": halo / 49, "copies of each key": halo / blocks**2}
fig, ax = plt.subplots(figsize=(5.6, 2.6))
title = "Small blocks copy much, large ones compute too much"
plots.lines(ax, blocks, curves, "side of a block", "how many", title)
ax.set(yscale="log", xticks=(1, 4, 7, 14, 28))
ax.axvline(7, color="black", ls=":", lw=0.8)
plots.show(
    fig,
    "Two curves against the size of the block: the scores computed for each one needed rise, the copies of a key fall. They cross where the block is 7, the window.",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `b head d h w`, … `e h w` | as in chapter 9; q comes scaled |
# | `window`, `block` | | an odd number; any number |
# | `halo_attention(…)` | `b head e h w` | as local attention, without tables of positions |

# %% [markdown]
# ### Exercise: `halo_attention`
#
# 1. Fill the image up to whole blocks, so that any height and width will do.
# 2. Cut the queries into blocks, and keys and values into overlapping halos: `unfold(axis, halo, block)`.
# 3. Compute the scores of every block with its halo. Mask the keys outside a query's window and those outside
#    the image.
# 4. Take the softmax and the mean of the values.
# 5. Put the blocks together and cut the padding off.
#
# A query of the padding may see no key at all; then $-\infty$ makes NaN of it, and in training of everything, so
# mask with a very low number instead. The check counts your largest tensor, and what you make anew belongs
# on `device=q.device`.

# %% exercise="fast.halo_attention"

# %%
check("fast.halo_attention", halo_attention)

# %% [markdown]
# Stuck? `hint("fast.halo_attention")`. To read on without solving it:
# `from solutions.fast.halo import halo_attention`.
#
# Use it: chapter 9's filter for noise, by colours alone, on 56 x 56 pixels; and the library's
# fast implementations beside the reference.

# %%
torch.manual_seed(0)
noisy = flower + 0.1 * torch.randn_like(flower)
q, k, v = (rearrange(x, "(h w) d -> 1 1 d h w", h=56) for x in alike(noisy, sigma=0.3))
ways = ["blocked"] + ["native"] * (not local.cannot(q, 7))
none = torch.zeros(1, 7, 2)  # no places: tables of zeros
slow = stand_alone.local_attention(q / 2, k, v, none, none, 7)
y = halo_attention(q / 2, k, v, window=7, block=4)
claim((y - slow).abs().max() < 1e-5, "blocks give what chapter 9's reference gives")
for name in ways:
    fast = local.local_attention(q / 2, k, v, none, none, 7, name)
    assert (fast - slow).abs().max() < 1e-5, name

# %%
smooth = rearrange(halo_attention(q / 2, k, v, 7, 4), "1 1 c h w -> h w c")
shown = {"clean": flower, "noisy": noisy, "by blocks": smooth}
errors = [(picture - flower).square().mean().sqrt().item() for picture in shown.values()]
print("error", *(f"{name} {e:.3f}" for name, e in zip(shown, errors, strict=True)))
claim(errors[2] < errors[1] / 2, "more than half of the noise is gone")

# %% jupyter={"source_hidden": true}
smooth = rearrange(halo_attention(q / 2, k, v, 7, 4), "1 1 c h w -> h w c")
shown = {"clean": flower, "noisy": noisy, "by blocks": smooth}
fig, axs = plt.subplots(1, 3, figsize=(6.2, 2.2))
for ax, (name, picture) in zip(axs, shown.items(), strict=True):
    plots.image(ax, picture.clamp(0, 1), name)
plots.show(
    fig, "The dahlia clean, with coloured noise, and after local attention, most of it gone."
)

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
q, k, v = torch.randn(3, 1, 4, 16, 56, 56)
none = torch.zeros(4, 7, 8)
by = {name: partial(local.local_attention, q, k, v, none, none, 7, name) for name in ways}
by |= {"reference": partial(stand_alone.local_attention, q, k, v, none, none, 7)}
by |= {"yours": partial(halo_attention, q, k, v, 7, 4)}
image, weight = torch.randn(1, 64, 56, 56), torch.randn(64, 64, 3, 3)
by |= {"3 x 3 convolution": partial(F.conv2d, image, weight, padding=1)}
spent = {name: median(times) for name, times in turns(by, rounds=5).items()}
for name, time in spent.items():
    print(f"{name:18} {1e3 * time:7.1f} ms, {spent['reference'] / time:5.1f} times as fast")
claim(spent["blocked"] < spent["reference"], "blocks are faster than copied windows")

# %% [markdown]
# **What you should see.** All give the same image, and blocks are several times as fast as copied windows,
# in plain PyTorch. *native* is the same idea in C, where a compiler is found: it takes 16 pixels at a time and
# keeps their scores in registers, so that there are neither windows nor a map anywhere. It takes about as long
# as a 3 x 3 convolution of equal width. If you do not see it, `attncourse info` says why.

# %% [markdown]
# ### Ablation: the block (may be skipped at first reading)
#
# **Predict.** Multiply-adds grow with the block, copies fall. Which block is the fastest for a
# window of 7: 1, 2, 4, 7, 14 or 28?
#
# <details><summary>Answer</summary>
#
# It cannot be worked out from two curves, for a copy and a score do not cost the same. It lies between the
# ends, and at most at 7, for beyond that the copies hardly fall any more.
#
# </details>

# %% tags=["nbval-ignore-output"]
several = {b: partial(halo_attention, q, k, v, 7, b) for b in (1, 2, 4, 7, 14, 28)}
spent = {b: median(times) for b, times in turns(several, rounds=3).items()}
for b, time in spent.items():
    cost = counting.count(several[b])
    print(
        f"block {b:2}: {1e3 * time:6.1f} ms, {cost.multiply_adds / 1e6:6.1f} M multiply-adds,",
        end="",
    )
    print(f" largest tensor {cost.largest_tensor / 1e6:5.2f} M")
claim(spent[4] < min(spent[1], spent[28]), "a block of 4 is faster than 1, and than 28")

# %% [markdown]
# **What you should see.** The time has a minimum in the middle, on the machine that wrote this at blocks of 4 to 7, and
# the largest tensor is the smallest there too. Below it copies dominate, above it scores. HaloNet's
# authors, who have accelerators, take larger blocks: there a unit of its own multiplies whole matrices, and
# the superfluous scores cost it less.

# %% [markdown]
# ### Here the core ends
#
# You have written FlashAttention's forward pass in tiles, and its backward pass from what the tiles keep (the library's
# goes tile by tile as well). You know from a count of bytes why it is faster, and you
# have made chapter 9's layer as fast as its operation count promised. If you have little time, read
# section 11.10 on measuring, and the summary at the end. The next three sections put the same idea to work
# elsewhere: positions without a map, a kernel of one's own, and patterns that one only describes.

# %% [markdown]
# ## 11.7 Relative positions without a map (may be skipped at first reading)
#
# Fused attention knows no relative positions. One can hand it their scores as an `attn_mask`, but then there
# is a map again. Section 8.6 found a form without a map. The query carries, behind its own features, one
# number for every row and one for every column: its position scores. The key carries a 1 at its own row and a
# 1 at its own column, so that the product picks the two numbers that belong to it. Here this pair meets a
# real kernel, which has conditions of its own.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.longer_pair(),
    "The longer query consists of the query, of one number for each row of the image and one for each"
    " column. The longer key consists of the key, a 1 at its own row and a 1 at its own column. Their dot"
    " product is the content plus the two numbers picked.",
)

# %% [markdown]
# $$
# q'_i = \frac{[\,q_i,\; (q_i \cdot R_{y - y_i})_y,\; (q_i \cdot C_{x - x_i})_x\,]}{\sqrt d} \qquad
# k'_j = [\,k_j,\; 1_{y = y_j},\; 1_{x = x_j}\,]
# $$
#
# The ones pick the numbers of the key's own row and column, so that
# $q'_i \cdot k'_j = q_i \cdot (k_j + R_{y_j - y_i} + C_{x_j - x_i}) / \sqrt d$.
#
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `… h w d`, … `e` | one of each for every pixel |
# | `rows`, `columns` | `r d`, `s d` | tables $R$, $C$ for the offsets -(h - 1) … h - 1, and of w |
# | `augmented_attention(…)` | `… h w e` | as `relative_attention_2d` of chapter 8 |
#
# (*Augmented* in the names of functions means this longer pair. It has nothing to do with the augmented
# convolutions of chapter 8.)

# %% [markdown]
# **Predict.** An image of 40 x 40, $d = 32$: how many numbers are the scores of a head, how many the
# longer queries? And how many more multiply-adds does it take than attention without positions?
#
# <details><summary>Answer</summary>
#
# The scores are $1600^2 = 2{,}560{,}000$ numbers, the longer queries $1600 \cdot (32 + 40 + 40) = 179{,}200$, a
# 14th. The first product is 112 long instead of 32, and the second as well, for the kernel wants v as wide.
# So there are $112 / 32$, three and a half times as many multiply-adds.
#
# </details>

# %% [markdown]
# ### Exercise: `augmented_attention`
#
# Take the pair from chapter 8, and make one call of `F.scaled_dot_product_attention` with `scale=1`. Torch
# silently takes a slow implementation unless q, k and v have the same width and are contiguous, that is, lie in
# memory without gaps. So fill up with zeros, and cut the result.

# %% exercise="fast.augmented_attention"

# %%
check("fast.augmented_attention", augmented_attention)

# %% [markdown]
# Stuck? `hint("fast.augmented_attention")`. To read on without solving it:
# `from solutions.fast.augmented import augmented_attention`.

# %%
torch.manual_seed(0)
q, k, v = (torch.randn(1, 4, 40, 40, 32) for _ in range(3))
rows, columns = torch.randn(2, 79, 32) / 4
with_map = partial(relative_2d.relative_attention_2d, q, k, v, rows, columns, "skew")
ours = partial(augmented_attention, q, k, v, rows, columns)
claim(
    (ours() - with_map()).abs().max() < 1e-4,
    "the result is chapter 8's attention, without its map",
)
for name, call in (("with the map", with_map), ("longer pair", ours)):
    cost = counting.count(call)
    print(f"{name:13} largest tensor {cost.largest_tensor:10,}   {cost.multiply_adds:13,}")

# %% tags=["nbval-ignore-output"]
plain = [rearrange(x, "b head h w d -> b head (h w) d") for x in (q, k, v)]
ways = {"no positions": partial(F.scaled_dot_product_attention, *plain)}
ways |= {"longer pair": ours, "with the map": with_map}
spent = turns(ways, rounds=5)
for name, times in spent.items():
    each = [t / none for t, none in zip(times, spent["no positions"], strict=True)]
    print(f"{name:13} {median(each):5.2f} times as long as without positions")

# %% [markdown]
# **What you should see.** The results are equal, with 716,800 numbers in the largest tensor against 10 million. The
# time is near the three and a half times of the count. The form with the map takes longer still,
# though it computes less. (It makes the map several times; we have not taken its time apart.)
#
# ### Ablation: values that are narrower
#
# **Predict.** Do not fill v up: 112 features for q and k, 32 for v. The result is the same. What
# is the largest tensor?
#
# <details><summary>Answer</summary>
#
# It has $4 \cdot 1600^2 = 10{,}240{,}000$ numbers, for torch takes the implementation that builds the map. Nothing
# says so, and nothing is wrong; it is only slow.
#
# </details>

# %%
long_q, long_k = relative_2d.augmented_pair(q / math.sqrt(32), k, rows, columns)
whole = F.pad(plain[2], (0, 80))
for name, v_ in (("v as it is", plain[2]), ("v filled up", whole)):
    call = partial(F.scaled_dot_product_attention, long_q, long_k, v_, scale=1.0)
    print(f"{name:11}: largest tensor {counting.count(call).largest_tensor:10,}")

# %% [markdown]
# **What you should see.** The largest tensor has 10,240,000 numbers against 716,800. A fast implementation has
# conditions. Count or time it, and do not trust the name of a function.

# %% [markdown]
# ## 11.8 A kernel in Triton (may be skipped at first reading)
#
# To keep a tile in SRAM one has to write the kernel oneself. On a GPU thousands of *programs* of it run at
# once, each with a little fast memory of its own.
# [Triton](https://triton-lang.org) is a language for one such program, written in Python and compiled for the
# GPU. Without a GPU its *interpreter* runs the programs one after the other on tensors of the CPU.
# Triton exists for Linux alone; without it, read on, nothing later needs it.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 6.4)
grid = torch.full((4, 2), 0.2)
grid[1, 0] = 0.95
words = [[f"{t}, {h}" for h in range(2)] for t in range(4)]
diagrams.matrix(ax, 1.4, 1.2, grid, "tile head", "one program each", side=0.95, text=words)
diagrams.frame(ax, 5.2, 0.7, 9.5, 4.8, "program 1, 0")
load = diagrams.layer(ax, 5.4, 3.6, "load its\nROWS queries", 2.6, 1.3, diagrams.DATA)
loop = diagrams.layer(ax, 8.5, 3.6, "load COLUMNS\nkeys, values", 2.8, 1.3, diagrams.DATA)
step_ = diagrams.layer(ax, 11.8, 3.6, "scores, mask,\nonline_step", 2.7, 1.3, diagrams.LEARNED)
store = diagrams.layer(ax, 11.8, 1.1, "store\ny and L", 2.7, 1.1, diagrams.DATA)
diagrams.arrow(ax, (3.4, 3.5), (5.1, 3.5))
diagrams.arrow(ax, load.right, loop.left)
diagrams.arrow(ax, loop.right, step_.left)
diagrams.arrow(ax, (12.5, 3.5), (12.5, 2.95), (9.9, 2.95), loop.bottom)
ax.text(9.7, 2.75, "next tile of keys", ha="center", va="top", size=8.5)
diagrams.arrow(ax, (13.6, 3.5), (13.6, 2.3))
plots.show(
    fig,
    """A grid of programs, one for each tile of queries and each head. One of them in detail: it loads
    its queries once, then in a loop keys and values, computes and masks the scores and takes the
    online step, which is yours, and at the end stores y and L.""",
)

# %% tags=["nbval-ignore-output"]
device = "cuda" if torch.cuda.is_available() else "cpu"
print(gpu.available(device) or f"Triton runs here, on {device}")

# %% [markdown]
# The kernel is in `solutions/fast/kernel_triton.py`. A program first finds out which queries are its own:
#
# ```python
#     tile, head = tl.program_id(0), tl.program_id(1)
#     i = tile * ROWS + tl.arange(0, ROWS)  # our queries
#     some_q = tl.load(q + place, (i < queries)[:, None] & (feature < d), 0.0)
# ```
#
# `q` is an address, `place` a matrix of distances from it: one load fetches ROWS x D numbers. Nothing stops it
# at the end of the tensor except the mask, which puts 0 behind the last query and beyond the last feature.

# %% [markdown]
# Then it loops over the keys:
#
# ```python
#     for start in range(0, keys, COLUMNS):
#         j = start + tl.arange(0, COLUMNS)  # the keys of this tile; the last has fewer
#         some_k = tl.load(k + line[:, None] * d + feature, there & (feature < d), 0.0)
#         scores = tl.dot(some_q, tl.trans(some_k), input_precision="ieee") * scale
#         scores = tl.where(j < keys, scores, -float("inf"))
#         largest, total, read = step(scores, some_v, largest, total, read)
# ```
#
# `largest`, `total` and `read` (m, l and $\tilde y$) stay in registers from one tile to the next. Only after the
# loop something is written, once: `read / total`, and `largest + tl.log(total)`. The step is yours.

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `scores`, `v` | `i j`, `j e` | of this tile; $-\infty$ for keys that do not exist |
# | `largest`, `total` | `i` | $m$ and $l$ so far; before the first tile $-\infty$ and 0 |
# | `read` | `i e` | $\tilde y$ so far, before it is divided |
#
# **Predict.** 100 queries and keys, 8 heads, ROWS = 16, COLUMNS = 32: how many programs are
# there? How many keys of the last tile exist?
#
# <details><summary>Answer</summary>
#
# There are $\lceil 100 / 16 \rceil \cdot 8 = 56$ programs. Of the last tile $100 - 3 \cdot 32 = 4$ keys exist.
#
# </details>

# %% [markdown]
# ### Exercise: `online_step`
#
# Write it in Triton's language: `tl.maximum(a, b)`, `tl.max(x, axis)`, `tl.sum(x, axis)`, `tl.exp`,
# `tl.dot(a, b, input_precision="ieee")`; `x[:, None]` adds an axis. Neither einops nor torch can be used inside
# a kernel.

# %% exercise="fast.online_step"

# %%
check("fast.online_step", online_step)

# %% [markdown]
# Stuck? `hint("fast.online_step")`. To read on without solving it:
# `from solutions.fast.kernel import online_step`.

# %% tags=["nbval-ignore-output"]
small = photograph("flower", 12, 18)
q, k, v = (x.to(device) for x in alike(small, sigma=0.1))
found = fast_tasks.through_kernel(online_step, q, k, v)
if found is not None:
    y, lse = attention_by_tiles(q, k, v, tile=32)
    claim(
        (found[0] - y).abs().max() < 1e-4,
        "for 216 pixels the kernel gives what the tiles in PyTorch give",
    )
    claim((found[1] - lse).abs().max() < 1e-4, "and the log-sum-exp is equal, too")
    print("the features, 4 and 3, were filled up to 16")

# %% [markdown]
# **What you should see.** Where Triton runs, there are two equalities: your step, in a loop that somebody
# else wrote, is attention. 216 is a multiple of neither ROWS = 16 nor COLUMNS = 32, so the last tiles of both
# were masked.
#
# ### Ablation: the last tile not masked
#
# **Predict.** Leave the `tl.where` out. The 28 keys that do not exist were loaded as 0 and have
# score 0 and value 0. What becomes of $y$, for 100 keys whose scores are 0 as well?
#
# <details><summary>Answer</summary>
#
# The sum of weights is 128 instead of 100, and the weighted sum of values stays: 100/128 of what it should be.
# With large positive scores the mistake is small, and with 96 keys there is none, so that it survives careless tests.
# With scores far below 0 the keys that do not exist take nearly all the weight.
#
# </details>

# %%
torch.manual_seed(0)
direction, values = torch.randn(100, 16), torch.rand(100, 16)
for largest in (0, 1, 4, 16):
    scores = torch.zeros(100).index_fill(0, torch.tensor([7]), largest)
    right, wrong = (
        F.pad(scores, (0, n)).softmax(-1) @ F.pad(values, (0, 0, 0, n)) for n in (0, 28)
    )
    print(f"one score of {largest:2}: {(wrong / right).mean():.4f} of what it should be")

# %% [markdown]
# **What you should see.** The output is 0.7812 of what it should be, and approaches 1 as one score towers over
# the rest.
# Test kernels with sizes that are no multiple of anything, and with scores near 0.
#
# ### What a GPU does differently, and the interpreter does not show
#
# | | on a GPU | in the interpreter |
# |---|---|---|
# | programs | They run at once, in any order. If two write to the same place, the result depends on who comes last (a *race*). | They run one after the other, so no race shows. |
# | products narrower than 16 | They are refused. | They are computed. |
# | bfloat16 | It is computed natively. | It gives wrong results, so the kernel converts to float32. |
# | fast memory | A program whose tiles are too large does not start. | It is unlimited. |
# | time | Saving it is the purpose of all this. | The time says nothing. |

# %% [markdown]
# So a kernel must pass in the interpreter, but that does not suffice. The library's kernels are also compiled
# for two generations of GPUs, which can be done without having one, and their fast memory is checked.
#
# **Predict.** A program on an H100 may have 232,448 bytes of shared memory. 128 queries, tiles of
# 128 keys, $d = e = 64$, float32: do q, k, v and the scores fit? And for $d = 128$?
#
# <details><summary>Answer</summary>
#
# For $d = 64$ they fit: $4 \cdot (3 \cdot 128 \cdot 64 + 128^2) = 163{,}840$ bytes. For $d = 128$ they do not:
# $4 \cdot (3 \cdot 128 \cdot 128 + 128^2) = 262{,}144$. Then one needs smaller tiles, or numbers of 2 bytes.
#
# </details>

# %% [markdown]
# ## 11.9 Patterns as functions: FlexAttention (may be skipped at first reading)
#
# Must one write a kernel for each pattern? [FlexAttention](https://arxiv.org/abs/2412.05496) (Dong et al. 2024),
# which is part of torch, has one kernel, and you give it a function of indices: whether query i sees key
# j (`mask_mod`), or what its score becomes (`score_mod`). Compiled, your function becomes part of the inner
# loop above. Here it runs uncompiled and builds the map: right numbers, no speed.
#
# | | |
# |---|---|
# | `batch`, `head`, `i`, `j` | indices; pixels of a flattened image: `i = row * width + column` |
# | `mask_mod(batch, head, i, j)` | True where it counts |
# | `score_mod(score, batch, head, i, j)` | the new score |

# %% jupyter={"source_hidden": true}
i, j = torch.arange(60)[:, None], torch.arange(60)
down, across = (i // 10 - j // 10).abs(), (i % 10 - j % 10).abs()
near, strided = (down < 2) & (across < 2), (j <= i) & ((i - j < 8) | ((i - j) % 8 == 0))
fig, axs = plt.subplots(2, 2, figsize=(6.4, 5.2))
grid = torch.zeros(6, 10).index_put((torch.tensor([0]), torch.tensor([9])), torch.tensor(1.0))
axs[0, 0].imshow(grid, cmap="Oranges", vmax=2)
for n in range(60):
    axs[0, 0].text(n % 10, n // 10, n, ha="center", va="center", size=8)
axs[0, 0].set(title="The pixels are numbered row by row", xlabel="column", ylabel="row")
titles = "A window of 3, 10 pixels wide", "The strided pattern, stride 8"
for ax, mask, title in zip(axs.flat[1:3], (near, strided), titles, strict=True):
    plots.heat(ax, mask, "key j", "query i", title, bar=False)
    ax.text(58, 5, "yellow: seen", color="#fde725", ha="right", va="center", size=8)
places = -(down + across)
title = "Position scores: far keys lose"
plots.heat(axs[1, 1], places, "key j", "query i", title, low=-14, high=0, bar=False)
fig.colorbar(axs[1, 1].images[0], ax=axs[1, 1], label="added to the score")
plots.show(
    fig,
    "Above left the 60 pixels of an image 10 wide with their numbers, query 9 marked. Which of 60 keys each query sees: for a window, a band of short stripes; for the strided pattern, a band and parallel diagonals below it. Below right, scores of rows and columns: 0 where key and query are near, negative elsewhere.",
)

# %% [markdown]
# The figure shows the numbering of the pixels and the three patterns that the next three exercises describe:
# chapter 9's window, chapter 10's strided pattern, and chapter 8's positions with tables made by hand.
#
# **Predict.** On an image 10 wide, window 3: is key 20 seen by query 9? And key 19?
#
# <details><summary>Answer</summary>
#
# Query 9 is the last pixel of row 0. Key 20 is the first of row 2, so it is not seen. Key 19 is the last of row
# 1, right below, so it is seen. By $|i - j| \le 11$ alone key 20 would be seen, and key 10 too, which is at
# the other end of the next row.
#
# </details>

# %% [markdown]
# ### Exercise: `local_mod`
#
# In chapter 9's window, rows and columns are at most `window // 2` apart. The function has to work for whole
# numbers and for tensors of them, so use `//`, `%`, `abs` and `&`, but neither `if` nor `and`.

# %% exercise="fast.local_mod"

# %%
check("fast.local_mod", local_mod)

# %% [markdown]
# Stuck? `hint("fast.local_mod")`. To read on without solving it:
# `from solutions.fast.mods import local_mod`.

# %% [markdown]
# ### Exercise: `sparse_mod`
#
# In chapter 10's strided pattern a key is seen if it does not come later, and is one of the last `stride` keys or
# lies a multiple of `stride` back.

# %% exercise="fast.sparse_mod"

# %%
check("fast.sparse_mod", sparse_mod)

# %% [markdown]
# Stuck? `hint("fast.sparse_mod")`. To read on without solving it:
# `from solutions.fast.mods import sparse_mod`.

# %% [markdown]
# ### Exercise: `relative_mod`
#
# Chapter 8's positions: `down[batch, head, i, y]` is what query i adds for row y, and
# `across[batch, head, i, x]` for column x. Add those of the key's row and column. `width` is that
# of the image.

# %% exercise="fast.relative_mod"

# %%
check("fast.relative_mod", relative_mod)

# %% [markdown]
# Stuck? `hint("fast.relative_mod")`. To read on without solving it:
# `from solutions.fast.mods import relative_mod`.


# %%
def flex(q, k, v, mask_mod=None, score_mod=None, scale=None):
    """FlexAttention, uncompiled; of that it warns."""
    n, mask, zero = q.shape[-2], None, torch.tensor(0)
    if score_mod is not None:
        score_mod(torch.tensor(0.0), zero, zero, zero, zero)  # so that its own errors are seen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mask_mod is not None:
            mask = create_block_mask(mask_mod, None, None, n, n, q.device, BLOCK_SIZE=16)
        return flex_attention(q, k, v, score_mod, mask, scale)


# %%
torch.manual_seed(0)
q, k, v = (torch.randn(2, 3, 8, 6, 10) for _ in range(3))
tokens = [rearrange(x, "b head d h w -> b head (h w) d").contiguous() for x in (q, k, v)]
near = flex(*tokens, partial(local_mod, width=10, window=5), scale=1.0)
near = rearrange(near, "b head (h w) d -> b head d h w", h=6)
none = torch.zeros(3, 5, 4)
theirs = stand_alone.local_attention(q, k, v, none, none, 5)
claim((near - theirs).abs().max() < 1e-5, "local_mod gives chapter 9's attention")
few = flex(*tokens, partial(sparse_mod, stride=8))
theirs = sparse.sparse_attention(*tokens, "strided", 8)
claim((few - theirs).abs().max() < 1e-5, "sparse_mod gives chapter 10's strided attention")

# %%
q, k, v = (torch.randn(2, 3, 6, 10, 8) for _ in range(3))
rows, columns = torch.randn(11, 8), torch.randn(19, 8)
down, across = relative_2d.axis_logits(q / math.sqrt(8), rows, columns)
added = [rearrange(x, "b head h w n -> b head (h w) n") for x in (down, across)]
tokens = [rearrange(x, "b head h w d -> b head (h w) d") for x in (q, k, v)]
mod = partial(relative_mod, down=added[0], across=added[1], width=10)
places = rearrange(flex(*tokens, score_mod=mod), "b head (h w) d -> b head h w d", h=6)
theirs = relative_2d.relative_attention_2d(q, k, v, rows, columns, "naive")
claim((places - theirs).abs().max() < 1e-5, "relative_mod gives chapter 8's attention")

# %% [markdown]
# **What you should see.** Three chapters' attention comes from three short functions. There are two limits, in the
# version of torch that this course pins: on a CPU there is no backward pass, and a `score_mod` with tables
# reads memory for each score.

# %% [markdown]
# ### Ablation: the order of the tokens
#
# A mask saves whole tiles only: a tile with a single visible pair is computed. Let a tile be 16 x
# 16 and the image 32 x 32, window 7.
#
# **Predict.** Which part of the tiles is computed if pixels come row by row? And if they come in
# blocks of 4 x 4?
#
# <details><summary>Answer</summary>
#
# About 5 % of the pairs are needed, 49 of 1024, and fewer at the edges. Row by row a tile of queries is half
# a row. It meets 7 rows and needs both halves of each, which is 14 of 64 tiles, 22 %. In blocks a halo of
# 10 x 10 touches 3 x 3 blocks, which is 9 of 64, 14 %. Edges make both a little less.
#
# </details>

# %%
i, j = torch.arange(1024)[:, None], torch.arange(1024)
near = local_mod(0, 0, i, j, width=32, window=7)
order = fast_tasks.in_blocks_of(4, 32, 32)
orders = {"row by row": near, "in blocks of 4 x 4": near[order][:, order]}
for name, mask in orders.items():
    print(f"{name}: {fast_tasks.tiles_touched(mask, 16).float().mean():.1%} of the tiles")
print(f"pairs that count: {near.float().mean():.1%}")

# %% jupyter={"source_hidden": true}
near = local_mod(0, 0, i, j, width=32, window=7)
orders = {"row by row": near, "in blocks of 4 x 4": near[order][:, order]}
fig, axs = plt.subplots(1, 2, figsize=(6.2, 3.0))
for ax, (name, mask) in zip(axs, orders.items(), strict=True):
    tiles = fast_tasks.tiles_touched(mask, 16)
    title = f"{name}: {tiles.float().mean():.1%} computed".capitalize()
    plots.heat(ax, tiles, "tile of keys", "tile of queries", title, bar=False)
    ax.text(62, 5, "yellow: computed", color="#fde725", ha="right", va="center", size=8)
plots.show(
    fig,
    """Which of 64 by 64 tiles are computed. Row by row, a broad band; in blocks of 4 by 4, a
    thin band with a thin one on each side.""",
)

# %% [markdown]
# **What you should see.** 20.7 % and 11.8 % of the tiles are computed for the same 4.3 % of the pairs. The order of
# tokens is free to choose, and it decides what a tiled kernel can leave out. The halo of section 11.6 is the
# same idea.

# %% [markdown]
# ### Use it: a pattern made of dense pieces
#
# In chapter 10's fixed pattern a query reads its own block and the last token of each block before. Within
# a block the first part is dense, and causal. In the order *place by place* so is the second: take all
# queries at the same place of their blocks; each sees the ends of all blocks before its own. These are
# two dense pieces, and `merge` joins them.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 6.0)
block, ends, side = sparse.block_mask(12, 4), sparse.summary_mask(12, 4), 0.34
diagrams.matrix(ax, 0.6, 0.9, block * 0.75, "i j", "fixed, n = 12", diagrams.ATTENTION, side)
for row, column in (ends & ~block).nonzero().tolist():
    where = (0.6 + column * side, 0.9 + (11 - row) * side)
    ax.add_patch(plt.Rectangle(where, side, side, fc=diagrams.LEARNED, ec=diagrams.INK, lw=0.6))
triangle = torch.ones(4, 4).tril() * 0.75
for k in range(3):
    diagrams.matrix(
        ax,
        6.3 + 1.65 * k,
        3.8,
        triangle,
        "",
        f"block {k}",
        side=side,
        colour=diagrams.ATTENTION,
    )
for k in range(4):
    x, words = 6.3 + 1.4 * k, [["3", ""], ["3", "7"]]
    diagrams.matrix(
        ax,
        x,
        1.3,
        torch.ones(2, 2).tril() * 0.75,
        "",
        f"place {k}",
        diagrams.LEARNED,
        0.45,
        words,
    )
ax.text(6.3, 3.65, "own block: causal and dense", va="top", size=8.5)
ax.text(6.3, 1.15, "blocks 1, 2; keys: the ends 3, 7", va="top", size=8.5)
both = diagrams.layer(ax, 12.2, 2.5, "merge", 1.5, 0.9, diagrams.DATA)
diagrams.arrow(ax, (4.8, 3.9), (6.0, 4.5))
diagrams.arrow(ax, (4.8, 2.4), (6.0, 1.8))
diagrams.arrow(ax, (11.2, 4.5), (12.95, 4.5), both.top)
diagrams.arrow(ax, (11.7, 1.75), (12.95, 1.75), both.bottom)
diagrams.arrow(ax, both.right, (14.4, 2.95))
diagrams.label(ax, (14.5, 2.95), "y", "left")
plots.show(
    fig,
    """The fixed pattern of 12 tokens in blocks of 4: green triangles along the diagonal, and orange cells where
    a query reads the last token of an earlier block. The green cells are three dense causal pieces, one for
    each block. The orange cells, sorted by place, are four dense causal pieces, each of the queries of
    blocks 1 and 2 with the keys 3 and 7. A merge of both gives y.""",
)

# %% [markdown]
# **Predict.** How many pairs does it have for 4096 tokens and blocks of 64, how many has dense
# causal attention?
#
# <details><summary>Answer</summary>
#
# A query has $(1 + 64) / 2$ keys in its block and $(0 + 63) / 2$ ends on average, together 64, so there are
# $4096 \cdot 64 = 262{,}144$ pairs. Dense attention has $4096 \cdot 4097 / 2 = 8{,}390{,}656$, 32 times as many.
#
# </details>


# %%
def fixed_by_pieces(q, k, v, stride):
    """The fixed pattern, merged, of two dense pieces: n is a multiple of the stride."""
    rows = "(block place) d -> block place d"
    q, k, v = (rearrange(x, rows, place=stride) for x in (q, k, v))
    y, lse = attention_by_tiles(q, k, v, tile=stride, causal=True)
    ends = [repeat(x[:-1, -1], "block d -> place block d", place=stride) for x in (k, v)]
    later = rearrange(q[1:], "block place d -> place block d")
    far, far_lse = attention_by_tiles(later, *ends, tile=stride, causal=True)
    far = rearrange(far, "place block d -> block place d")
    both, _ = merge(y[1:], lse[1:], far, far_lse.T)
    return rearrange(torch.cat([y[:1], both]), "block place d -> (block place) d")


# %%
torch.manual_seed(0)
q, k, v = (torch.randn(144, 16) for _ in range(3))
(theirs,) = sparse.sparse_attention(q[None], k[None], v[None], "fixed", 12)
ours = fixed_by_pieces(q, k, v, 12)
claim((ours - theirs).abs().max() < 1e-5, "two dense pieces, merged, give the fixed pattern")
spent = counting.count(partial(fixed_by_pieces, q, k, v, 12))
print(f"multiply-adds {spent.multiply_adds:,}, dense {2 * 144 * 144 * 16:,}")

# %% tags=["nbval-ignore-output"]
q, k, v = torch.randn(3, 1, 8, 4096, 32)
ways = {"dense": partial(F.scaled_dot_product_attention, q, k, v, is_causal=True)}
ways |= {"fixed": partial(fast_sparse.sparse_attention, q, k, v, "fixed", 64)}
ways |= {"strided": partial(fast_sparse.sparse_attention, q, k, v, "strided", 64)}
spent = turns(ways, rounds=5)
for name, times in spent.items():
    print(f"{name:8} {1e3 * median(times):7.1f} ms")
claim(
    median(spent["fixed"]) < median(spent["dense"]),
    "the fixed pattern in pieces is faster than dense",
)

# %% [markdown]
# **What you should see.** The results are equal, with a sixth of the multiply-adds for 144 tokens; what the
# causal masks hide is counted in both. The library does the same with torch's fused attention for
# each piece, also in the backward pass. At 4096 tokens it is several times as fast as dense attention,
# though not 32 times, for the pieces are small and merging reads y once more. Memory grows with n, as
# for dense fused attention: chapter 10's blocks needed $n \sqrt n$ numbers, this needs $n$.

# %% [markdown]
# ## 11.10 Measuring without fooling oneself
#
# A processor that works gets warm and slows down; other programs come and go. `Warming` is a made-up machine
# that does so in the same way every time, by a clock of its own: with `slower=0.01` its piece of work number p
# takes $1 + p / 100$ seconds, with p from 0. Two programs, *ours* and *theirs*, are the same piece of
# work. Measure one 20 times, then the other 20 times.
#
# **Predict.** Which medians come out? How much faster is ours?
#
# <details><summary>Answer</summary>
#
# Ours gets p = 0 … 19, with the median 1.095, and theirs 20 … 39, with the median 1.295. Ours seems 1.18
# times as fast, and the two are the same.
#
# </details>

# %%
machine, now = Warming(slower=0.01), {}
for name in ("ours", "theirs"):
    work = partial(machine.work, name)
    now[name] = turns({name: work}, 20, machine.now, warm=0)[name]
one, other = median(now["ours"]), median(now["theirs"])
print(f"one after the other: {one:.3f} and {other:.3f}, {other / one:.3f} times as fast")
machine = Warming(slower=0.01)
both = {name: partial(machine.work, name) for name in ("ours", "theirs")}
then = turns(both, 20, machine.now, warm=0)
one, other = median(then["ours"]), median(then["theirs"])
print(f"in turns:            {one:.3f} and {other:.3f}, {other / one:.3f} times as fast")

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4), sharey=True)
m = torch.arange(40)
one, turn = "One after the other: medians differ", "In turns: medians agree"
ways = {one: (m[:20], m[20:], now), turn: (m[::2], m[1::2], then)}
for ax, (title, (*places, spent)) in zip(axs, ways.items(), strict=True):
    for mark, where, (name, times) in zip("os", places, spent.items(), strict=True):
        (dots,) = ax.plot(where, times, mark, label=name, ms=3)
        ax.axhline(median(times), color=dots.get_color(), lw=1, ls="--")
    ax.set(xlabel="piece of work", title=title)
axs[0].set(ylabel="seconds")
axs[0].legend()
plots.show(
    fig,
    "Seconds of 40 pieces of work, which rise steadily. Left, the first half is one program, the second half the other; right, the two alternate. Dashed lines mark the median of each program: far apart on the left, nearly the same on the right.",
)

# %% [markdown]
# In turns both pay for the same warmth, and what differs from round to round cancels if the ratio
# is taken *within* each round. Take the median of the ratios, and, since one number does not say how sure it
# is, the least and the most.
#
# | | axes | what it is |
# |---|---|---|
# | `ours`, `theirs` | `round` | seconds, of the same rounds |
# | `ratio(ours, theirs)` | three numbers | median, least and most of ours / theirs |
#
# **Predict.** Rounds of (1, 1), (1, 1) and (9, 3) seconds: the median of the ratios? The ratio of
# the means?
#
# <details><summary>Answer</summary>
#
# The ratios are 1, 1 and 3, so their median is 1. The means are 11/3 and 5/3, so their ratio is 11/5, because
# of one bad round.
#
# </details>

# %% [markdown]
# ### Exercise: `ratio`

# %% exercise="fast.ratio"

# %%
check("fast.ratio", ratio)

# %% [markdown]
# Stuck? `hint("fast.ratio")`. To read on without solving it:
# `from solutions.fast.measure import ratio`.


# %%
def spread(ours, theirs):
    """Median, least and most of the ratios."""
    return "{:.3f} ({:.3f} to {:.3f})".format(*ratio(*map(torch.tensor, (ours, theirs))))


def compare(machine, rounds=20, warm=1):
    """The same work twice, in turns."""
    both = {name: partial(machine.work, name) for name in ("ours", "theirs")}
    ours, theirs = turns(both, rounds, machine.now, warm).values()
    return f"means {sum(ours) / sum(theirs):6.3f}, median {spread(ours, theirs)}"


# %% [markdown]
# The machine can be disturbed in two other ways. With `cold=30` the first piece of work of each program takes
# 30 seconds more. With `late=20, every=6` every sixth piece of work is delayed by 20 seconds, because another
# program is served. A round has two pieces, so every sixth is always the second of its round, *theirs*; with
# `every=7` it hits both alike.

# %%
print("it gets warm:          ", compare(Warming(slower=0.01)))
cold = Warming(cold=30)
cold.work("theirs")  # it has run before; ours has not
print("cold start, not warmed:", compare(cold, rounds=3, warm=0))
print("others, now and then:  ", compare(Warming(late=20, every=7)))
print("others, in step:       ", compare(Warming(late=20, every=6)))

# %% [markdown]
# **What you should see.** The medians are 0.99 or 1 throughout. Means are right as long as both programs are
# hit alike, but a cold start of ours alone makes it eleven times as slow, and a disturbance at every
# sixth piece of work always hits *theirs*: eight times. The median is robust against both. The 0.99 of the
# first line has a cause: theirs comes second in each round, when the machine is a little warmer.
#
# ### Ablation: rounds that alternate
#
# **Predict.** Let every second round begin with theirs. What becomes of the 0.99?
#
# <details><summary>Answer</summary>
#
# In half of the rounds ours comes second and pays for the warmth. Half of the ratios are a little below 1,
# half a little above, and their median is 1.
#
# </details>

# %%
machine, found = Warming(slower=0.01), {"ours": [], "theirs": []}
for n in range(20):
    order = ("ours", "theirs") if n % 2 == 0 else ("theirs", "ours")
    spent = turns({name: machine.work for name in order}, 1, machine.now, warm=0)
    for name, (time,) in spent.items():
        found[name].append(time)
middle, least, most = ratio(*map(torch.tensor, found.values()))
print(f"median {middle:.4f}, {least:.3f} to {most:.3f}")
claim((middle - 1).abs() < 1e-3, "rounds that alternate: the median is 1 within a thousandth")

# %% [markdown]
# **What you should see.** The median is 1.000. Now this machine, which is not made up: the same doubling of
# 64 MB into a new tensor and into one that is there; the same product of matrices with its
# numbers in the cache, and after others were there; and a first call.
#
# **Predict.** By what factor does each differ?
#
# <details><summary>Answer</summary>
#
# Nobody can derive it; guess the order. New memory is cleared before it is written, so expect a factor of two
# or more. A cold cache costs less where many operations follow each number, as in a product of matrices. A first
# call may load code, and can cost anything.
#
# </details>

# %% tags=["nbval-ignore-output"]
x, z = torch.randn(2**24), torch.randn(2**24)
a, b, c = (torch.randn(128, 128) for _ in range(3))
product = partial(torch.mm, a, b, out=c)
memory = turns({"new": lambda: x * 2, "kept": lambda: torch.mul(x, 2, out=z)}, rounds=9)
print("new memory over kept:", spread(*memory.values()))
calls = {"wipe": partial(z.copy_, x), "cold": product, "warm": product}
spent = turns(calls, rounds=9)
print("cold cache over warm:", spread(spent["cold"], spent["warm"]))
first = turns({"": lambda: torch.linalg.svd(a)}, rounds=9, warm=0)[""]
print(f"first call over the median of all: {first[0] / median(first):.2f}")

# %% [markdown]
# **What you should see.** New memory and a cold cache change the time of the same work by a factor. (The first call
# is no slower here, since all it needs was loaded before.) Therefore:

# %% [markdown]
# 1. Warm up: what is loaded, compiled or cached first does not count, unless you ask for it.
# 2. Take turns, in one process; ratios within a round; median, least and most.
# 3. Name the machine, threads, allocator and versions. CPU time sums over threads; use it for single-threaded
#    code only.
# 4. Check that both return the same.
# 5. Put the floor beside it: what is far from it can still become faster.
# 6. Compare with what one would use otherwise, not with the slowest thing that one can write.

# %% [markdown]
# ## 11.11 What it came to
#
# Chapter 9 ended with a layer that counted fewer operations than a convolution and yet took longer. The library's
# fast forms of it were measured by the rules above with `attncourse bench`. Here is local attention with
# window 7: copied windows, your blocks, the same idea in C (*native*), and a 3 x 3 convolution of equal width.

# %%
kept = result("fast_local")
forward, both = (benchmarks.ways(kept, way) for way in ("forward", "forward + backward"))
size = max(forward, key=lambda size: len(forward[size]))
print(f"{kept['hardware']}, {kept['threads']} thread; {size}")
print(f"{'milliseconds':20}   forward   forward + backward")
rows = {"unfold": "copied windows", "blocked": "blocks", "native": "native"}
for name, called in (rows | {"convolution": "convolution"}).items():
    print(f"{called:20}   {forward[size][name]:7.2f}   {both[size][name]:18.2f}")
claim(
    forward[size]["native"] < forward[size]["unfold"] / 10,
    "native takes less than a tenth of the time of copied windows",
)

# %% [markdown]
# **What you should see.** Blocks take a sixth of the time of copied windows, and *native* is as fast as the
# convolution, forward and backward. So a small operation count can be turned into time, once nothing is moved
# in vain.

# %% [markdown]
# ## What you have learnt
#
# | | the usual way | in this chapter |
# |---|---|---|
# | largest and sum of a softmax | two passes, a whole row | one pass, with $m$ and $l$ rescaled |
# | the map | $n^2$ numbers | a tile, and $L$ for the backward pass |
# | operations a byte, 16 bits | below d / 2 | below the queries per tile |
# | windows | window² copies of a key | (halo / block)² copies |
# | relative positions | a bias as large as the map | h + w features more |
# | a pattern | a kernel each | a function of indices |
# | a measurement | one run after the other | turns, ratios in a round, a floor |

# %% [markdown]
# ### Explain it to somebody
#
# <details><summary>1. With its backward pass, FlashAttention makes more operations and is faster. Why?</summary>
#
# The time of attention on a GPU is the time of moving the map between chip and memory. It never moves
# the map.
#
# </details>
#
# <details><summary>2. How can a softmax be taken before the whole row is known?</summary>
#
# Keep the largest score and the sum; when a larger score comes, rescale what was summed by the
# exponential of the difference.
#
# </details>
#
# <details><summary>3. What must be kept for the backward pass, and what is computed again?</summary>
#
# q, k, v, y and the log-sum-exp of each row; the weights are computed again, tile by tile.
#
# </details>
#
# <details><summary>4. What keeps one from taking arbitrarily large tiles?</summary>
#
# They must fit into SRAM. Smaller tiles read the keys more often: the traffic is of the order of n² d² / M.
#
# </details>
#
# <details><summary>5. Two programs were timed one after the other, and one is 1.2 times as fast. Is it?</summary>
#
# Perhaps the machine was warmer, the cache cold, or somebody else at work. Take turns and compare within
# rounds.
#
# </details>

# %% [markdown]
# ### What came after, and beside
#
# - [Self-attention Does Not Need O(n²) Memory](https://arxiv.org/abs/2112.05682) (Rabe and Staats 2021), before
#   it: the same rescaling, for memory rather than speed.
# - [FlashAttention-2](https://arxiv.org/abs/2307.08691) (2023): loops exchanged, work divided among more
#   processors; about twice as fast.
# - [FlashAttention-3](https://arxiv.org/abs/2407.08608) (2024): moving and computing overlap on the H100, and
#   8-bit numbers.
# - [PagedAttention](https://arxiv.org/abs/2309.06180) (2023): the key-value cache in pages, for serving (vLLM).
# - [Ring Attention](https://arxiv.org/abs/2310.01889) (2023): `merge` across machines, for very long
#   sequences.
# - [Linear attention](https://arxiv.org/abs/2006.16236) (2020): another function, not the same numbers; without a
#   softmax the sum over keys can be taken first.
# - [Neighborhood attention](https://arxiv.org/abs/2204.07143) and its kernels (NATTEN): section 11.6 on GPUs.

# %% [markdown]
# ### Where it leads
#
# How can an algorithm that computes more be faster? You can now answer with a count: it moves a ninth of the
# bytes. You can write exact attention that keeps no map for the way back; you can cut its keys into parts and
# join the results; and you can say how fast a program could be, and measure fairly how fast it is.
#
# With the map, the memory that grew with n² is gone; the n² operations remain. The windows of chapter 9 and
# the patterns of chapter 10 cut those, and with tiles they keep their promise in seconds. When you meet the
# next mechanism, ask it both questions: what does it compute, and what does it move?

# %% [markdown]
# ### References
#
# - T. Dao, D. Fu, S. Ermon, A. Rudra, C. Ré: FlashAttention, NeurIPS 2022. https://arxiv.org/abs/2205.14135
# - M. Milakov, N. Gimelshein: Online normalizer calculation for softmax, 2018.
#   https://arxiv.org/abs/1805.02867
# - S. Williams, A. Waterman, D. Patterson: Roofline, Communications of the ACM 52(4), 2009.
#   https://doi.org/10.1145/1498765.1498785
# - A. Vaswani et al.: Scaling Local Self-Attention (HaloNet), CVPR 2021. https://arxiv.org/abs/2103.12731
# - J. Dong et al.: Flex Attention, 2024. https://arxiv.org/abs/2412.05496
# - Photographs: scikit-learn's samples "china", by
#   [danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035), and "flower", by
#   [vultilion](https://www.flickr.com/photos/vultilion/6056698931), both CC BY 2.0.
