# %% [markdown]
# # 10 · Sparse attention
#
# The map of attention has $n^2$ entries. For a sentence of 100 words that is nothing. But a small image
# of 64 x 64 pixels in three colours, written as one long sequence, has 12,288 tokens, and the maps
# of a deep network then fill 154 gigabytes. By 2019 this had kept Transformers at short pieces: local
# windows of an [image](https://arxiv.org/abs/1802.05751), a minute of
# [music](https://arxiv.org/abs/1809.04281).

# %% [markdown]
# Rewon Child, Scott Gray, Alec Radford and Ilya Sutskever of OpenAI trained a network of 128 layers on
# CIFAR-10 with every key allowed, and then looked at where it looked (Figure 2 of
# [their paper](https://arxiv.org/abs/1904.10509)). Many early layers read the pixels nearby, as a convolution
# does. Two layers had divided the image between them: one read along the row, the other along the
# column. Some layers read all over the image, differently for each pixel. And most of the upper half read very few
# keys at all. The network had been allowed everything, and many of its layers used little of it.

# %% [markdown]
# So why compute the rest? They asked how few keys a token can read and still reach, within two layers,
# everything before it. The answer of
# [Generating Long Sequences with Sparse Transformers](https://arxiv.org/abs/1904.10509) is about
# $2 \sqrt n$: the nearest ones, and every $\sqrt n$-th one further back, which in an image are a row and a
# column. How much is lost by reading so little, and how much time and memory are saved? This chapter
# measures both.

# %% [markdown]
# ### What came of it
#
# | bits a byte, fewer is better | best before | Sparse Transformer |
# |---|---|---|
# | CIFAR-10 | 2.85, PixelSNAIL | 2.80 |
# | ImageNet, 64 x 64 | 3.52, Subscale Pixel Networks | 3.44 |
# | Enwik8 (text) | 0.99, Transformer-XL, 277 M weights | 0.99, 95 M weights |
#
# A model gives every possible next byte a probability $p$. The mean of $-\log_2 p$ over the bytes that did
# come is the number of **bits a byte** that a code built from the model needs; the better the model
# predicts, the fewer they are.

# %% [markdown]
# (Table 1 of the paper.) The paper also models a million samples of audio. The idea has stayed:
# [GPT-3](https://arxiv.org/abs/2005.14165) alternates dense layers with sparse ones in local
# bands, [Longformer](https://arxiv.org/abs/2004.05150) and
# [BigBird](https://arxiv.org/abs/2007.14062) read documents with local windows and a few global tokens,
# and [Mistral 7B](https://arxiv.org/abs/2310.06825) attends within a sliding window.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | four patterns, their reach in two steps, three ways to use them in heads, and attention that never builds the map | who can copy from far back, what memory allows, digits drawn pixel by pixel | masks (chapter 1), heads (2), causality (4) |
#
# **About 2½ hours**, of which 76 minutes are exercises. A CPU is enough.
#
# | letter | what it counts |
# |---|---|
# | `b`, `head` | examples in a batch, heads |
# | `n` | tokens of a sequence; `i` queries, `j` keys; all is causal, $j \le i$ |
# | `l` | the length of a row or block; it is also the **stride** of the column keys and, unless said otherwise, the window |
# | `c` | **summary** tokens at the end of a block (no longer channels) |
# | `block`, `place` | n = (block place): which block, and where in it, from 0 to l - 1 |
# | `d`, `e` | features of a query or key, of a value |

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.nn import functional as F

# %%
from attncourse import check, explore, hint, papers
from attncourse.book import claim, diagrams, plots, result
from attncourse.papers import counting
from attncourse.tasks import sequences as streams
from attncourse.tasks.pictures import photograph
from solutions import sparse
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import SparseTransformer, in_blocks, local_keys, strided_keys

# %% [markdown]
# ## 10.1 What the map costs
#
# While a network is trained, the attention weights of every head and every layer are kept for the
# **backward pass**, which needs them. The figure shows how that grows with the length, for the 64
# layers and 4 heads of the authors' [announcement](https://openai.com/index/sparse-transformer/).

# %% jupyter={"source_hidden": true}
tokens = torch.logspace(2.5, 5, 50)
one = 4 * tokens**2 * 4 / 1e9
gigabytes = {"one layer, 4 heads": one, "64 layers": 64 * one}
fig, ax = plt.subplots(figsize=(5.6, 2.6))
plots.lines(ax, tokens, gigabytes, "tokens n", "GB", "Maps grow with the square of the length")
ax.axhline(16, color="black", ls=":", lw=0.8, label="a GPU of 2019, 16 GB")
for n, words in ((3072, "CIFAR-10\n3,072"), (12288, "64 x 64\n12,288")):
    ax.axvline(n, color="#888888", ls="--", lw=0.8)
    ax.text(n * 1.06, 2.2e-3, words, size=8, va="bottom", color="#555555")
ax.set(xscale="log", yscale="log")
ax.legend(loc="upper left", fontsize=8)
plots.show(
    fig,
    "Gigabytes against tokens, both on logarithmic axes: two parallel lines of slope 2. The maps of 64 layers reach 16 GB near 4 thousand tokens, those of one layer near 30 thousand. Dashed lines mark CIFAR-10, 3,072 tokens, and images of 64 by 64, 12,288 tokens.",
)

# %% [markdown]
# **Predict.** A CIFAR-10 image is $32 \cdot 32 \cdot 3 = 3072$ tokens. How many bytes do the maps of 64
# layers with 4 heads take, at 4 bytes a number? And if only one layer's are kept at a time, the
# others being computed again during the backward pass (**recomputation**, or gradient
# checkpointing)?
#
# <details><summary>Answer</summary>
#
# All maps take $64 \cdot 4 \cdot 3072^2 \cdot 4 = 9.66 \cdot 10^9$ bytes. One layer's maps take a 64th of
# it, $0.151 \cdot 10^9$.
#
# </details>
#
# `map_bytes(n, layers, heads, recompute)` returns the bytes, a whole number. The map is built whole, also
# above the diagonal; with `recompute=True` only one layer's maps are kept at a time.

# %% [markdown]
# ### Exercise: `map_bytes`

# %% exercise="sparse.map_bytes"

# %%
check("sparse.map_bytes", map_bytes)

# %% [markdown]
# Stuck? `hint("sparse.map_bytes")` gives one hint at a time. To read on without solving it:
# `from solutions.sparse import map_bytes`.

# %%
for n in (1024, 3072, 12288, 24000):
    kept, anew = map_bytes(n, 64, 4), map_bytes(n, 64, 4, recompute=True)
    print(f"{n:6} tokens: {kept / 1e9:6.4g} GB kept, {anew / 1e9:7.4g} GB recomputed")
print(papers.compare_all("openai-blog"))

# %% [markdown]
# **What you should see.** Our formula gives the announcement's table, some of whose figures are cut off and
# not rounded. A GPU of that year had 16 GB: the maps of small images fit, those of 64 x 64 pixels do not.
# Recomputation divides the memory by 64, and so moves the limit by a factor of eight in length.
#
# If you are off by a factor of 2, you count half of the map only; the other half is masked, but it is built
# all the same.

# %% [markdown]
# ## 10.2 The strided pattern
#
# How few keys are enough? Write the tokens in rows of length l, like an image. The paper's **strided
# pattern** has two parts. The **local keys** are the last l tokens, about one row. The **column keys** are
# every l-th token back, which stand above the query in its column. A query then has about $l + n / l$ keys.
# This sum is least where its two terms are equal, at $l = \sqrt n$, where it is $2 \sqrt n$ instead of n.


# %% jupyter={"source_hidden": true}
def drawn(ax, x, mask, i, name):
    """Sixteen tokens in rows of 4 with the keys of query i, and the whole mask beside them."""
    numbers = [[str(4 * row + column) for column in range(4)] for row in range(4)]
    keys = rearrange(mask[i].float() * 0.55, "(row column) -> row column", row=4)
    keys[i // 4, i % 4] = 1 if mask[i, i] else 0.2
    side, small = 0.5, 0.215
    diagrams.matrix(ax, x, 1.6, keys, "", "", diagrams.ATTENTION, side, numbers)
    ax.text(x + 1, 1.2, f"keys of query {i}", ha="center", size=8.5)
    diagrams.matrix(ax, x + 3.0, 0.9, mask.float() * 0.8, "i j", "", diagrams.ATTENTION, small)
    ax.add_patch(
        plt.Rectangle((x + 3, 0.9 + small * (15 - i)), 16 * small, small, fill=False, lw=2)
    )
    ax.text(x, 4.75, name, weight="bold")


fig, ax = diagrams.canvas(15, 5.3)
drawn(ax, 0.4, sparse.local_mask(16, 4), 13, "local: the last 4")
drawn(ax, 8.0, sparse.strided_mask(16, 4), 13, "column: every 4th back")
plots.show(
    fig,
    """Sixteen tokens in rows of four. The local keys of query 13 are 10 to 13, its column keys 1, 5,
    9 and 13. The local mask is a band along the diagonal, the column mask consists of parallel
    diagonals, four tokens apart.""",
)

# %% [markdown]
# $$
# \underbrace{K^{(1)}_i = \{\, j : 0 \le i - j < \text{window} \,\}}_{\text{local}} \qquad
# \underbrace{K^{(2)}_i = \{\, j \le i : (i - j) \bmod l = 0 \,\}}_{\text{column}}
# $$
#
# *The paper's first set is $\max(0, i - l), \dots, i$, which is $l + 1$ keys; the authors'
# [code](https://github.com/openai/sparse_attention) takes $l$. Here `window` says how many keys there are,
# the query itself being one of them.*
#
# **Once by hand.** For $l = 3$ and query $i = 7$ the last three keys are 5, 6, 7. The distances 0, 3
# and 6 are multiples of 3, so the column keys are 7, 4, 1. Together they are 1, 4, 5, 6, 7.

# %%
near, column = set(local_keys(7, 3)), set(strided_keys(7, 3))
print("the last 3 of query 7:", sorted(near), " every 3rd:", sorted(column))
claim(near | column == {1, 4, 5, 6, 7}, "together 1, 4, 5, 6 and 7: five of eight tokens")

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `local_mask(n, window)` | `i j` | local keys: True where the query may attend |
# | `strided_mask(n, stride)` | `i j` | column keys: True where the query may attend |
#
# The *strided pattern* is always both parts. In code, `strided_mask`, `strided_attention` and the variable
# `strided` are its second part alone, the column keys.
#
# **Predict.** For $n = 64$ and a window of 8: how many pairs are True?
#
# <details><summary>Answer</summary>
#
# Query $i$ has $\min(i + 1, 8)$ keys. The first seven queries have $1 + 2 + \dots + 7 = 28$ together, the
# other 57 have 8 each, which makes 484. Dense causal
# attention has $64 \cdot 65 / 2 = 2080$.
#
# </details>

# %% [markdown]
# ### Exercise: `local_mask`

# %% exercise="sparse.local_mask"

# %%
check("sparse.local_mask", local_mask)

# %% [markdown]
# Stuck? `hint("sparse.local_mask")`. To read on without solving it:
# `from solutions.sparse import local_mask`.
#
# **Predict.** How many pairs has the mask of the column keys, for $n = 64$ and a stride of 8?
#
# <details><summary>Answer</summary>
#
# Query $i$ has $\lfloor i / 8 \rfloor + 1$ keys, so that all eight blocks have
# $8 \cdot (1 + 2 + \dots + 8) = 288$.
#
# </details>

# %% [markdown]
# ### Exercise: `strided_mask`

# %% exercise="sparse.strided_mask"

# %%
check("sparse.strided_mask", strided_mask)

# %% [markdown]
# Stuck? `hint("sparse.strided_mask")`. To read on without solving it:
# `from solutions.sparse import strided_mask`.

# %%
local, strided = local_mask(64, 8), strided_mask(64, 8)
print("local", local.sum().item(), " column", strided.sum().item(), " dense", 64 * 65 // 2)
print("union", (local | strided).sum().item())
plus_one = local_mask(64, 9)
print(
    "with l + 1 local keys:", plus_one.sum().item(), " union", (plus_one | strided).sum().item()
)
claim(
    torch.equal(local | strided, plus_one | strided),
    "with l local keys or l + 1, the union is the same",
)

# %% [markdown]
# **What you should see.** The masks have 484 and 288 pairs, and their union 708, which is 484 + 288 -
# 64, since the query itself is in both. The paper's reading of the local set and the code's differ in
# the key $i - l$ alone, and that key is in the column anyway. If you counted 484 column pairs, you used
# `//` where `%` is meant.

# %% [markdown]
# ## 10.3 The fixed pattern: blocks and their summaries
#
# Text has no columns, so the strided pattern does badly on it (Table 2 of the paper: 1.13 bits a byte on
# Enwik8, against 0.99 for the pattern of this section and 1.00 for dense attention). For text the paper
# proposes the
# **fixed pattern**. A token reads its own block, and of every block the last $c$ tokens, the **summaries**.
# A summary can read its whole block and pass on what it found.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.3)
drawn(ax, 0.4, sparse.block_mask(16, 4), 13, "block: its own")
drawn(ax, 8.0, sparse.summary_mask(16, 4), 13, "summary: the last of every block")
plots.show(
    fig,
    """Sixteen tokens in rows of four. The block keys of query 13 are 12 and 13, the summary keys 3, 7
    and 11. The block mask consists of triangles along the diagonal, the summary mask of vertical
    stripes.""",
)

# %% [markdown]
# $$
# \underbrace{K^{(1)}_i = \{\, j \le i : \lfloor j / l \rfloor = \lfloor i / l \rfloor \,\}}_{\text{block}}
# \qquad
# \underbrace{K^{(2)}_i = \{\, j \le i : j \bmod l \ge l - c \,\}}_{\text{summary}}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `block_mask(n, stride)` | `i j` | the query's own block, up to the query |
# | `summary_mask(n, stride, summaries)` | `i j` | the last tokens of every block, c = `summaries` |
#
# **Once by hand.** For $l = 3$, $c = 1$ and query $i = 7$: $\lfloor 7 / 3 \rfloor = 2$, so its block is 6,
# 7, 8, of which 8 is still to come. Summaries have the remainder 2: they are 2 and 5.

# %%
own, ends = set(sparse.block_keys(7, 3)), set(sparse.summary_keys(7, 3, 1))
print("own block of query 7:", sorted(own), " summaries:", sorted(ends))
claim(own | ends == {2, 5, 6, 7}, "together 2, 5, 6 and 7")

# %% [markdown]
# **Predict.** With blocks of 8, which keys has query 16 in the first mask?
#
# <details><summary>Answer</summary>
#
# It has itself alone, because it begins a block. The
# [fairseq
# library](https://github.com/facebookresearch/fairseq/blob/main/fairseq/modules/sparse_multihead_attention.py)
# gives it tokens 8 to 15 as well, because there the ends of the blocks are off by one.
#
# </details>

# %% [markdown]
# ### Exercise: `block_mask`

# %% exercise="sparse.block_mask"

# %%
check("sparse.block_mask", block_mask)

# %% [markdown]
# Stuck? `hint("sparse.block_mask")`. To read on without solving it:
# `from solutions.sparse import block_mask`.
#
# **Predict.** With $l = 8$ and $c = 1$: which keys has query 3 in the second mask?
#
# <details><summary>Answer</summary>
#
# It has none. The first summary is token 7, so that queries 0 to 6 have an empty row.
#
# </details>

# %% [markdown]
# ### Exercise: `summary_mask`

# %% exercise="sparse.summary_mask"

# %%
check("sparse.summary_mask", summary_mask)

# %% [markdown]
# Stuck? `hint("sparse.summary_mask")`. To read on without solving it:
# `from solutions.sparse import summary_mask`.

# %%
block, summary = block_mask(64, 8), summary_mask(64, 8)
print("block", block.sum().item(), " summary", summary.sum().item())

# %% jupyter={"source_hidden": true}
flower, query = photograph("flower", 24, 24), 13 * 24 + 9
masks = {"local": local_mask, "strided": strided_mask}
masks |= {"block": block_mask, "summary": summary_mask}
seen = {name: make(576, 24)[query] for name, make in masks.items()}
seen["column"] = seen.pop("strided")
fig, axs = plt.subplots(1, 4, figsize=(6.4, 1.8))
for ax, name in zip(axs, ("local", "column", "block", "summary"), strict=True):
    keys = rearrange(seen[name], "(h w) -> h w 1", h=24)
    shown = torch.where(keys, flower, flower * 0.25 + 0.7)
    plots.image(ax, shown, f"{name}: {keys.sum()} keys")
    ax.plot(9, 13, "o", color="#009e73", ms=5, mec="white")
plots.show(
    fig,
    """A photograph of a flower, 24 by 24 pixels, four times. The pixels that one query reads
    have their colours, all others are pale: the last 24 pixels, the column above it, its own row
    up to it, and the last pixels of the rows above.""",
)

# %% [markdown]
# **What you should see.** If the tokens are the pixels of a photograph, row by row, and the stride is
# its width, then the query (dot) reads with *local* the last 24 pixels, itself included, with *column* what
# is above it, with *block* its own row, and with *summary* the right edge of the image. For an image the
# row and the column are sensible choices, because what lies there is often related to the query. The right
# edge is an arbitrary place.
#
# Point at other pixels, or use the arrow keys; head 0 has the first mask of a pattern and head 1 the second. Which
# pixels have a *fixed* head 1 that reads nothing at all?

# %%
patterns = {"strided": (local_mask, strided_mask), "fixed": (block_mask, summary_mask)}
maps = {
    name: torch.stack([make(384, 24) for make in masks]).double()  # 16 rows of 24 pixels
    for name, masks in patterns.items()
}
maps = {name: keys / keys.sum(-1, keepdim=True).clamp(min=1) for name, keys in maps.items()}
explore(photograph("flower", 16, 24), maps, query=(9, 9), name="patterns")

# %% [markdown]
# **What you should see.** *Fixed*, head 1, is empty for all pixels of the first row but its last one: no row
# has ended before them.

# %% [markdown]
# ### Empty rows
#
# **Predict.** What does attention return for queries 0 to 6 if it masks with minus infinity, and
# `summary` is the only mask?
#
# <details><summary>Answer</summary>
#
# A softmax over nothing but $-\infty$ is $0 / 0$, which is NaN, and after one training step the network's
# weights are NaN. The paper does not mention these rows.
#
# </details>

# %%
torch.manual_seed(0)
q, k, v = torch.randn(3, 64, 16)
block, summary = block_mask(64, 8), summary_mask(64, 8)
naive = (q @ k.T / 4).masked_fill(~summary, -math.inf).softmax(-1) @ v
print("rows of NaN, naive:", naive.isnan().any(-1).sum().item())
ours = scaled_dot_product_attention(q, k, v, summary)
claim((ours[:7] == 0).all() and ours.isfinite().all(), "a query without keys gets 0")
claim((block | summary).any(-1).all(), "together with the blocks, no row is empty")

# %% [markdown]
# **What you should see.** Seven rows are NaN, $l - c$ of them. They appear as soon as summaries have a
# layer or a head of their own. If there are eight, then your summary token does not see itself.

# %% [markdown]
# ## 10.4 Two steps reach everything
#
# Why should so few keys be enough? Because layers are stacked. Suppose that in the upper layer token
# 13 reads token 9, and that in the layer below token 9 has read token 7. Then 13 depends on 7 without
# reading it; we say that 13 **reaches** 7. The number of such paths is a product of matrices of 0 and 1.

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(2, 1, figsize=(6.4, 5.0))
ways = (
    "strided",
    sparse.strided_mask(16, 4),
    sparse.local_mask(16, 4),
    9,
    7,
    "local",
    "column",
)
other = (
    "fixed",
    sparse.summary_mask(16, 4),
    sparse.block_mask(16, 4),
    7,
    5,
    "block",
    "summary",
)
for ax, (name, then, first, between, target, low, high) in zip(axs, (ways, other), strict=True):
    ax.set(xlim=(0, 15), ylim=(0, 5.6), aspect="equal")
    ax.axis("off")
    for up, word in ((0.6, "input"), (2.4, "first layer"), (4.2, "second layer")):
        lit = [
            0.95 if k in {0.6: (target,), 2.4: (between,), 4.2: (13,)}[up] else 0.12
            for k in range(16)
        ]
        diagrams.matrix(ax, 3.6, up, [lit], side=0.66, text=[[str(k) for k in range(16)]])
        ax.text(3.4, up + 0.33, word, ha="right", va="center", weight="bold")
    at = [3.6 + 0.66 * k + 0.33 for k in range(16)]
    for source, mask, up in ((13, then, 2.4), (between, first, 0.6)):
        for k in mask[source].nonzero()[:, 0].tolist():
            on = k == (between if up == 2.4 else target)
            diagrams.arrow(
                ax,
                (at[k], up + 0.68),
                (at[source], up + 1.78),
                colour=diagrams.ATTENTION if on else "#c0c0c0",
            )
    ax.text(0.1, 5.1, f"{name}: first {low}, then {high}", weight="bold", color="#777777")
    for x, colour, words in (
        (7.6, diagrams.ATTENTION, "the path"),
        (10.2, "#c0c0c0", "other keys read"),
    ):
        diagrams.arrow(ax, (x, 5.25), (x + 0.8, 5.25), colour=colour)
        ax.text(x + 0.95, 5.25, words, va="center", size=8.5)
plots.show(
    fig,
    """Two stacks of three rows of sixteen tokens. Strided: token 13 of the second layer reads 1, 5, 9
    and 13 of the first; 9 has read 6 to 9 of the input, among them 7. Fixed: token 13 reads 3, 7 and
    11; 7 has read 4 to 7, among them 5.""",
)

# %% [markdown]
# Write $S$ for the mask of the lower layer, $T$ for that of the upper one, both as 0 and 1, and $a$ for the
# token in between. Then $i$ reaches $j$, written $R_{ij} = 1$, if there is at least one such $a$:
#
# $$ R_{ij} = 1 \iff \sum_a T_{ia}\,S_{aj} > 0 $$
#
# | | axes | what it is |
# |---|---|---|
# | `first`, `then` | `i j` | masks: $S$ of the lower layer, $T$ of the upper one |
# | `reachable(first, then)` | `i j` | $R$: True where a path through both layers leads from j to i |
#
# **Predict.** First local, then column: which pairs $j \le i$ does that reach? And first block, then
# summary?
#
# <details><summary>Answer</summary>
#
# Local and then column reach all of them: going from $i$ in steps of $l$ one lands within $l - 1$ of $j$,
# and the local layer has read that far. Block and then summary do not reach all. Queries 0 to 6 have no
# summary to go through,
# and no summary has seen the tokens of a block that is not yet finished.
#
# </details>

# %% [markdown]
# ### Exercise: `reachable`

# %% exercise="sparse.reachable"

# %%
check("sparse.reachable", reachable)

# %% [markdown]
# Stuck? `hint("sparse.reachable")`. To read on without solving it:
# `from solutions.sparse import reachable`.


# %%
def two_steps(first, then):
    """What two layers reach, given the names of their patterns."""
    made = {"local": local_mask(64, 8), "column": strided_mask(64, 8)}
    made |= {"block": block_mask(64, 8), "summary": summary_mask(64, 8)}
    made["fixed"] = made["block"] | made["summary"]
    return reachable(made[first], made[then])


stacks = ("local", "column"), ("column", "local"), ("block", "summary"), ("fixed", "fixed")
for first, then in stacks:
    print(f"first {first:7} then {then:8} {two_steps(first, then).sum().item():5} of 2080")

# %%
full = causal_mask(64, 64)
claim(torch.equal(two_steps("local", "column"), full), "strided: two steps reach everything")
claim(torch.equal(two_steps("fixed", "fixed"), full), "fixed, merged: two steps do so too")
missed = full & ~two_steps("block", "summary")
claim(missed.sum() == 224, "block, then summary: 224 of 2080 pairs are missed")
itself = torch.eye(64, dtype=torch.bool)
skipping = reachable(block_mask(64, 8) | itself, summary_mask(64, 8) | itself)
claim(torch.equal(skipping, full), "with skip connections around both, none is missed")

# %% jupyter={"source_hidden": true}
missed = full & ~two_steps("block", "summary")
shown = torch.full((64, 64, 3), 0.88)  # grey: later than the query
shown[two_steps("block", "summary")] = torch.tensor((0.0, 0.62, 0.45))
shown[missed] = torch.tensor((0.84, 0.15, 0.16))
fig, ax = plt.subplots(figsize=(5.6, 3.2))
ax.imshow(shown)
ax.set(
    xlabel="key j", ylabel="query i", title="First block, then summary: the nearest are missed"
)
ax.set(xticks=range(0, 64, 16), yticks=range(0, 64, 16))
for up, colour, words in (
    (20, "#009e73", "reached"),
    (28, "#d62728", "missed: 224"),
    (36, "#e0e0e0", "later"),
):
    ax.text(68, up, "■", color=colour, va="center", size=13)
    ax.text(73, up, words, va="center")
plots.show(
    fig,
    """Which keys two layers reach, block and then summary. Below the diagonal most pairs are green,
    reached; red triangles along the diagonal, one for each block, and the whole of the first are
    missed.""",
)

# %% [markdown]
# **What you should see.** Three of the four stacks reach all 2080 pairs; block and then summary reach
# 1856. There the first rows are empty, and so are the triangles along the diagonal. Merged into one
# pattern, the two close that gap. So do **skip connections**, which every Transformer has: what a token has read in the
# first layer it keeps in the second, as if each mask let it read itself.
#
# That two steps *reach* everything does not mean that everything gets through: one summary token has to
# hold a whole block. Section 10.8 measures that.

# %% [markdown]
# ## 10.5 Two patterns, several heads
#
# How does one use two masks? Section 5.1 of the paper names three ways. **Merged**: every head takes
# both at once. **Interleaved**: layers take turns. **Split**: heads of one layer differ; here half of them take the
# first mask, the others the second. Merged reads the most pairs and asks for no right order of layers; the other two
# read fewer.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.7)
one, two = sparse.local_mask(8, 3), sparse.strided_mask(8, 3)
table = {
    "merged": (one | two,) * 4,
    "interleaved": (one, one, two, two),
    "split": (one, two, one, two),
}
for number, (name, four) in enumerate(table.items()):
    left = 1.9 + 4.4 * number
    ax.text(left + 1.86, 5.2, name, ha="center", weight="bold")
    for k, mask in enumerate(four):
        where = (left + 1.95 * (k % 2), 2.7 - 2.2 * (k // 2))
        diagrams.matrix(ax, *where, mask.float() * 0.8, "", "", diagrams.ATTENTION, 0.22)
        if k < 2:
            ax.text(where[0] + 0.88, 4.65, f"head {k}", ha="center", size=8.5)
for up, word in ((3.5, "layer 0"), (1.3, "layer 1")):
    ax.text(1.55, up, word, ha="right", weight="bold")
plots.show(
    fig,
    """Masks of 8 tokens for two heads in two layers. Merged: all four are the union of the local band and
    the column diagonals. Interleaved: the band in both heads of layer 0, diagonals in layer 1. Split: the
    band in head 0, diagonals in head 1, in both layers.""",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `… head i d`, `… head i e` | as many keys as queries |
# | `first`, `second` | `i i` | masks |
# | `way`, `layer` | | "merged", "interleaved", "split"; layers count from 0 |
# | result | `… head i e` | it still builds the whole map |
#
# **Once by hand.** Let all scores of query 7 be 0, with the keys 5, 6, 7 in the first mask and 1, 4, 7 in the
# second. Merged, one softmax over five keys gives 1/5 to each. The mean of two separate attentions
# gives 1/6 to 1, 4, 5, 6, and 1/3 to 7, which is in both.

# %%
scores, first = torch.zeros(8), local_mask(8, 3)[7]
second = strided_mask(8, 3)[7]
hidden = [~(first | second), ~first, ~second]
both, a, b = (scores.masked_fill(mask, -math.inf).softmax(0) for mask in hidden)
print("merged", [round(x, 2) for x in both.tolist()])
print("mean  ", [round(x, 2) for x in ((a + b) / 2).tolist()])
claim(
    (both[7] - 1 / 5).abs() < 1e-6 and ((a + b)[7] / 2 - 1 / 3).abs() < 1e-6,
    "merged 1/5, mean 1/3",
)

# %% [markdown]
# **Predict.** For $n = 64$ and $l = 8$ the masks have 484 and 288 pairs, and their union 708. How many
# pairs does a head see on average, in each of the three ways?
#
# <details><summary>Answer</summary>
#
# A merged head sees 708 pairs. Interleaved and split heads see $(484 + 288) / 2 = 386$ on average, which is
# little more than half the work.
#
# </details>

# %% [markdown]
# ### Exercise: `factorised_attention`
#
# "split": the first half of the heads takes `first`. Raise a `ValueError` where there are no halves.

# %% exercise="sparse.factorised_attention"

# %%
check("sparse.factorised_attention", factorised_attention)

# %% [markdown]
# Stuck? `hint("sparse.factorised_attention")`. To read on without solving it:
# `from solutions.sparse import factorised_attention`.

# %%
torch.manual_seed(0)
q, k, v = torch.randn(3, 2, 4, 64, 16)
local, strided = local_mask(64, 8), strided_mask(64, 8)
merged = factorised_attention(q, k, v, local, strided, "merged")
theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=local | strided)
claim(
    (merged - theirs).abs().max() < 1e-5,
    "merged: equal to torch's attention with the union of the masks",
)
halves = [F.scaled_dot_product_attention(q, k, v, attn_mask=m) for m in (local, strided)]
apart = (merged - sum(halves) / 2).abs().max().item()
claim(apart > 0.1, "and different from the mean of two attentions")

# %% [markdown]
# **What you should see.** Merged attention equals torch's own with the union of the masks, and is not
# the mean of two attentions. So far nothing is saved: the whole map is built, and most of it is masked.

# %% [markdown]
# ## 10.6 Without the map
#
# Masking does not help, for what is masked has been computed. The remedy is to compute only what
# may be seen. Cut the sequence into blocks as long as the window. All local keys of a query lie in
# its own block and in the one before. So every block of queries meets $2 \cdot \text{window}$ keys, and
# all blocks at once make $n \cdot 2\,\text{window}$ scores instead of $n^2$.

# %% jupyter={"source_hidden": true}
i, j = torch.arange(4)[:, None] + 4, torch.arange(8)
inside = (j <= i) * 0.45 + ((j <= i) & (i - j < 4)) * 0.55
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6), width_ratios=(1, 1.3))
shade = causal_mask(16, 16) * 0.45 + local_mask(16, 4) * 0.55
plots.heat(axs[0], shade, "key j", "query i", "16 tokens, window 4: most is hidden", bar=False)
axs[0].add_patch(plt.Rectangle((3.5, 7.5), 8, 4, fill=False, color="red", lw=2))
axs[0].text(15, 2, "later than\nthe query", color="white", ha="right", va="center", size=8)
axs[0].text(0, 12.5, "too far\nback", color="white", ha="left", va="center", size=8)
plots.heat(
    axs[1], inside, "block before | own block", "place", "One block: 4 x 8 scores", bar=False
)
axs[1].axvline(3.5, color="white", ls="--", lw=1)
axs[1].set(xticks=range(8), xticklabels=range(4, 12))
plots.show(
    fig,
    """Left, the local mask of 16 tokens, a yellow band; keys above it are later than the query, keys below
    it too far back, and both are hidden. A red frame of 4 by 8 surrounds one block of queries and its keys.
    Right, that block enlarged: keys 4 to 7 of the block before, 8 to 11 of its own.""",
)

# %% [markdown]
# `in_blocks(x, length)` is given: it fills the sequence up with zeros and cuts it,
# `… (block place) d -> … block place d`. You put the block before in front of every block:

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.4)
for block in range(3):
    own = [str(3 * block + k) for k in range(3)]
    before = [str(3 * block + k - 3) for k in range(3)] if block else ["0"] * 3
    shade, pale = [[0.25 + 0.25 * block] * 3], [[0.25 * block] * 3]
    up, x = 3.9, 3.2 + 4.2 * block
    diagrams.matrix(ax, x, 3.6, shade, "", "", side=0.6, text=[[f"x{k}" for k in own]])
    names = [[f"x{k}" for k in before] if block else ["0", "0", "0"]]
    gone = None if block else [[True] * 3]
    diagrams.matrix(ax, x - 0.95, 1.1, pale, "", "", side=0.6, text=names, hidden=gone)
    diagrams.matrix(ax, x + 0.95, 1.1, shade, "", "", side=0.6, text=[[f"x{k}" for k in own]])
    diagrams.arrow(ax, (x + 1.1, 3.45), (x + 1.8, 1.85))
    if block < 2:
        diagrams.arrow(ax, (x + 1.3, 3.45), (x + 3.9, 1.85), colour=diagrams.ATTENTION)
ax.text(0.2, 3.9, "blocks", weight="bold", va="center")
ax.text(0.2, 2.0, "with previous", weight="bold", va="bottom")
ax.text(3.2, 0.75, "zeros | own", ha="center", va="top", size=8.5)
ax.text(9.5, 0.75, "before | own", ha="center", va="top", size=8.5)
plots.show(
    fig,
    """Nine tokens in three blocks. Below, every block has its predecessor in front of it: zeros and
    block 0; block 0 and block 1; block 1 and block 2. Each block is used twice.""",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | $x$ | `… block place d` | tokens in blocks |
# | `with_previous(x)` | `… block key d` | every block, preceded by the one before it: twice as many keys |
#
# **Predict.** What goes wrong with `roll` instead of zeros in front?
#
# <details><summary>Answer</summary>
#
# `roll` would put the last block in front of the first, and the first tokens would read the future.
#
# </details>

# %% [markdown]
# ### Exercise: `with_previous`
#
# `F.pad` counts its pairs from the last axis on, and a negative number cuts off.

# %% exercise="sparse.with_previous"

# %%
check("sparse.with_previous", with_previous)

# %% [markdown]
# Stuck? `hint("sparse.with_previous")`. To read on without solving it:
# `from solutions.sparse import with_previous`.

# %% [markdown]
# ### Exercise: `local_attention`
#
# It must work for any $n$ and any leading axes, and the check counts your largest tensor. The zeros in
# front of the first block would be keys with score 0: the mask has to hide them. Make the mask on
# `device=q.device`.
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$; $v$ | `… n d`; `… n e` | |
# | `window` | | how many keys, itself included; the length of a block |
# | result | `… n e` | as with `local_mask` |

# %% exercise="sparse.local_attention"

# %%
check("sparse.local_attention", local_attention)

# %% [markdown]
# Stuck? `hint("sparse.local_attention")`. To read on without solving it:
# `from solutions.sparse import local_attention`.

# %% [markdown]
# ### The columns
#
# For the column keys no block before is needed. Tokens at the same place of their blocks form a short
# sequence of their own, and within it attention is causal and dense. So exchange the two axes and call
# ordinary causal attention.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 4.4)
grid = torch.arange(12).reshape(3, 4)
tint = (torch.arange(4) * 0.22 + 0.12).expand(3, 4)
words = [[str(k) for k in row] for row in grid.tolist()]
diagrams.matrix(
    ax, 1.6, 1.3, tint, "block place", "12 tokens in blocks of 4", side=0.65, text=words
)
diagrams.arrow(ax, (4.6, 2.3), (6.9, 2.3), text="exchange axes")
turned = [[str(k) for k in row] for row in grid.T.tolist()]
diagrams.matrix(
    ax, 8.3, 0.9, tint.T, "place block", "4 short sequences", side=0.65, text=turned
)
causal = diagrams.layer(
    ax, 11.5, 1.7, "causal attention\nin each row", 2.7, 1.1, diagrams.ATTENTION
)
diagrams.arrow(ax, (10.4, 2.25), causal.left)
plots.show(
    fig,
    """Twelve tokens in three blocks of four, as a grid. With the axes exchanged its columns become
    four rows, 0 4 8, 1 5 9, 2 6 10 and 3 7 11, and causal attention runs in each row.""",
)

# %% [markdown]
# **Predict.** The sequence is filled up at its end. Why does no token see the zeros there?
#
# <details><summary>Answer</summary>
#
# They are later than every true token, so that the causal mask hides them. Filled up in front, they would be
# seen by all.
#
# </details>

# %% [markdown]
# ### Exercise: `strided_attention`
#
# From `… n d` to `… n e`, as with `strided_mask`, without an n x n tensor.

# %% exercise="sparse.strided_attention"

# %%
check("sparse.strided_attention", strided_attention)

# %% [markdown]
# Stuck? `hint("sparse.strided_attention")`. To read on without solving it:
# `from solutions.sparse import strided_attention`.

# %%
torch.manual_seed(0)
q, k, v = torch.randn(3, 2, 61, 16)  # 61 is no multiple of 8
near, far = local_attention(q, k, v, 8), strided_attention(q, k, v, 8)
dense = [scaled_dot_product_attention(q, k, v, m(61, 8)) for m in (local_mask, strided_mask)]
claim((near - dense[0]).abs().max() < 1e-5, "local: equal to the dense mask")
claim((far - dense[1]).abs().max() < 1e-5, "column: equal to the dense mask")

# %% [markdown]
# ### Both in one softmax
#
# Merged heads need *one* softmax over the scores of both parts. This is where the form without a map is
# hard: the two parts have different keys for different queries. In the layout `block place key` they fit
# side by side. Each query is a row, named by its block and its place, and its row holds the scores with its
# local keys and then those with its column. A key that is in both must count once, so it is hidden in
# the second part. The figure shows this for one block of queries.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.0)
side, first = 0.85, torch.arange(6, 9)
near, column = torch.arange(3, 9).expand(3, 6), torch.arange(3) * 3 + torch.arange(3)[:, None]
parts = (
    (
        3.0,
        near,
        (near <= first[:, None]) & (first[:, None] - near < 3),
        "local: block 1 | block 2",
    ),
    (9.3, column, column < 6, "column: blocks 0, 1, 2"),
)
for x, keys, seen, name in parts:
    diagrams.matrix(ax, x, 1.5, seen * 0.75, "", name, diagrams.ATTENTION, side, hidden=~seen)
    for row, each in enumerate(keys.tolist()):
        for place, key in enumerate(each):
            on = seen[row, place]
            where = (x + (place + 0.5) * side, 1.5 + (2.5 - row) * side)
            box = None if on else {"fc": "white", "ec": "none", "pad": 0.8}
            ax.text(*where, str(key), ha="center", va="center", size=8.5, bbox=box,
                    color="white" if on else "#666666")  # fmt: skip
for row, query in enumerate(first.tolist()):
    ax.text(2.8, 1.5 + (2.5 - row) * side, f"query {query}", ha="right", va="center")
ax.text(0.1, 4.35, "block 2", weight="bold", va="center")
ax.plot((8.7, 8.7), (1.4, 4.2), color="#888888", ls=":", lw=1)
ax.annotate("", (12.0, 1.15), (3.0, 1.15), arrowprops={"arrowstyle": "<->", "lw": 1.2})
ax.text(7.5, 0.95, "one softmax over the row; hatched: hidden", ha="center", va="top", size=8.5)
ax.text(12.15, 2.8, "own block:\nalready in\nthe local part", ha="left", va="center", size=8.5)
plots.show(
    fig,
    """The scores of the queries 6, 7 and 8, block 2 of length 3. Each has a row of nine cells: the keys 3
    to 8, of which its last three are seen, and beside them the keys of its column, for query 7 these are 1, 4
    and 7. The last cell of each column, the query itself, is hidden: it is in the local part. One softmax
    runs over the whole row.""",
)

# %% [markdown]
# For query 7 the seen cells are 5, 6, 7 and 1, 4: the five keys of section 10.2, each once. The *fixed*
# pattern fits in the same layout: a row holds the scores with the $l$ keys of the query's own block, and
# then those with the $c\, n / l$ summaries of all blocks, which are the same keys for every query.
# Summaries that are later, or lie in the query's own block, are hidden. The library's `sparse_attention`
# computes both patterns so. Its values and gradients are those of the masked map:

# %%
torch.manual_seed(0)
q, k, v = (x.requires_grad_() for x in torch.randn(3, 2, 4, 61, 16).unbind())
for pattern in ("strided", "fixed"):
    one = sparse.sparse_attention(q, k, v, pattern, 8)
    two = factorised_attention(q, k, v, *sparse.masks(pattern, 61, 8), "merged")
    g1, g2 = (torch.autograd.grad(y.square().sum(), q)[0] for y in (one, two))
    claim((one - two).abs().max() < 1e-5, f"{pattern}: the values are those of the mask")
    claim((g1 - g2).abs().max() < 1e-4, f"{pattern}: the gradients are, too")

# %% [markdown]
# **Predict.** How large is the largest tensor for $n = 1024$, $l = 32$ and one head: dense, strided, and
# fixed with $c = 1$?
#
# <details><summary>Answer</summary>
#
# Dense attention has $n^2 = 1048576$ scores. Strided attention has two blocks and a column for each query,
# $n\,(2 l + n / l) = 98304$. Fixed attention has one block and the summaries, $n\,(l + n / l) = 65536$.
#
# </details>

# %%
print("    n    dense, n n   strided, 3 n sqrt(n)   fixed, 2 n sqrt(n)")
for stride in (16, 32, 48):
    n = stride**2
    q = torch.randn(1, 1, n, 8)
    full = partial(scaled_dot_product_attention, q, q, q, causal_mask(n, n))
    calls = (
        full,
        *(partial(sparse.sparse_attention, q, q, q, p, stride) for p in ("strided", "fixed")),
    )
    dense, s, f = (counting.count(call).largest_tensor for call in calls)
    print(f"{n:5}  {dense:12,}   {s:20,}   {f:18,}")

# %% [markdown]
# **What you should see.** The largest tensors have $n^2$, $3 n \sqrt n$ and $2 n \sqrt n$ entries, to the
# last digit. The patterns themselves have at most $2 n \sqrt n$ pairs; strided attention in blocks computes
# half of its local scores for nothing, because each query meets two blocks of $l$ keys and may see only $l$
# of them.

# %% [markdown]
# ## 10.7 Time and memory, measured
#
# The times below were measured once, on one thread of an Intel Xeon that other work shared: a forward and a
# backward pass with 8 heads of 32 features. Large tensors cost extra time, because the system takes their
# memory back after use and clears it before the next. The **allocator**, the part of the system that hands
# out memory, can be set to keep it; the printout shows the powers of $n$ for both settings.
#
# **Predict.** With which power of $n$ does the time of strided attention grow? And of torch's *fused*
# dense attention (chapter 11): time, memory?
#
# <details><summary>Answer</summary>
#
# It grows with the power 3/2 if matrix products dominate. Fused attention never stores the map, so that its
# memory grows with $n$ and its time with $n^2$.
#
# </details>

# %%
kept = result("sparse")
for name, curve in kept["curves"].items():
    n, seconds, mib = (curve[key][-1] for key in ("n", "seconds", "mib"))
    powers = (
        f"time ~ n^{curve['slope']} (allocator keeps freed memory: n^{curve['slope_keeping']})"
    )
    print(f"{name:17} n = {n:6}: {seconds:5.2f} s, {mib:5} MiB; {powers}")
curve = kept["curves"]["strided"]
keeping = curve["seconds"][-1] / curve["seconds_keeping"][-1]
print(f"strided, n = {curve['n'][-1]}: {keeping:.1f} times as fast if freed memory is kept")

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
for number, (name, curve) in enumerate(kept["curves"].items()):
    up, built = {"strided": -3, "fixed": -5}.get(name, 0), name == "dense, map built"
    for ax, key in zip(axs, ("seconds", "mib"), strict=True):
        ax.plot(curve["n"], curve[key], marker=".")
        at, words = -2 if built else -1, name.replace(", ", ",\n")
        ax.annotate(words, (curve["n"][at], curve[key][at]), (-10 if built else 5, 5 if built else up),
                    textcoords="offset points", ha="right" if built else "left", va="center",
                    size=7.5, color=f"C{number}")  # fmt: skip
axs[0].set(xlabel="tokens n", ylabel="seconds", title="Time: sparse is fastest")
axs[1].set(xlabel="tokens n", ylabel="MiB", title="Memory: fused needs least")
for ax in axs:
    ax.set(xscale="log", yscale="log", xlim=(850, 42000))
    ax.set(xticks=(1024, 4096, 16384), xticklabels=("1,024", "4,096", "16,384"))
    ax.minorticks_off()
plots.show(
    fig,
    "Seconds and MiB against n for four ways. The map that is built grows fastest in both. Sparse attention takes the least time at the largest n, fused dense attention the least memory.",
)

# %%
curves = kept["curves"]
for name in ("strided", "fixed"):
    at = curves[name]["n"].index(16384)
    claim(curves[name]["process_mib"][at] < 2048, f"{name}, 16,384 tokens: under 2 GiB in all")
    powers = sorted(curves[name][key] for key in ("slope", "slope_keeping"))
    claim(1.3 < powers[0] and powers[1] < 1.8, f"{name}: an exponent near 1.5, well below 2")
    faster = curves["dense, fused"]["seconds"][-1] / curves[name]["seconds"][-1]
    claim(faster > 1.5, f"{name}: quicker than fused dense attention at 16,384 tokens")
claim(curves["dense, fused"]["mib"][-1] < curves["fixed"]["mib"][-1], "fused needs less memory")

# %% [markdown]
# **What you should see.** The exponents lie on either side of 1.5, although the multiply-adds grow with
# exactly $n^{3/2}$. One cause is the memory: where it is kept, the exponents fall below 1.5, and at the
# largest $n$ the same code is faster by the factor printed last. Small cases probably fit into caches as
# well; we did not measure that. An exponent of measured times is therefore a property of a machine and its
# settings, too.

# %% [markdown]
# ### Thirty times longer? (may be skipped at first reading)
#
# The [announcement](https://openai.com/index/sparse-transformer/) speaks of sequences 30 times longer than
# possible before. Give dense and sparse attention 1 GiB each, with one head.
#
# **Predict.** How does the ratio of the longest lengths grow with the memory?
#
# <details><summary>Answer</summary>
#
# Let dense reach $N$ tokens and strided $M$. Both fill the same memory, so
# $N^2 = 3 M^{3/2}$, and $M / N = N^{1/3} / 3^{2/3}$. Dense attention's length $N$ grows as the square root
# of the memory, and the ratio as
# the cube root of $N$. The ratio therefore grows as the sixth root of the memory: ten times the ratio takes
# a million times the memory.
#
# At $N = 9000$ the ratio is 10. For 30 one needs $N = 240000$, whose map takes 230 GB.
#
# </details>

# %%
reach = kept["reach_with_one_head"]
print(
    f"{kept['bound_mib']} MiB, measured: dense with its map {reach['dense, map built']} tokens"
)
for name, keys in (("strided", 3), ("fixed", 2)):
    ratio = reach[name] / reach["dense, map built"]
    derived = reach["dense, map built"] ** (1 / 3) / keys ** (2 / 3)
    print(f"{name:8} {reach[name]:6} tokens: {ratio:.1f} times as long; derived {derived:.1f}")
    claim(3 < ratio < 30, f"{name}: several times as long, and not thirty times here")

# %% [markdown]
# **What you should see.** Sparse attention reaches about 8 and 10 times as far, where the count of scores
# gives 10 and 13: features and masks take memory as well, and several maps are alive at once. Thirty times does not come out at this size.
# The ratio depends on the memory one has, and the announcement compares with earlier work rather
# than with a fixed memory.

# %% [markdown]
# And today? The argument of memory holds against attention that builds its map. Fused attention
# (chapter 11) needs memory that grows with $n$ alone, less than sparse blocks do. What remains is time:
# $n^{3/2}$ against $n^2$. (The measured exponent of fused attention is lower than 2, because the shorter lengths spend
# their time on other things. All of this is one thread of a CPU; elsewhere the factors differ.)

# %% [markdown]
# ## 10.8 Copy from beyond the window
#
# Here is a task that asks for reach and nothing else. Sixteen symbols, each drawn at random from an
# alphabet of four, are followed by the same sixteen again, and the second half is to be predicted. In
# images and texts this is the repeated motif: the second window of a
# house looks like the first, and a name returns after a page. Two examples:

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
fig, ax = plt.subplots(figsize=(6.4, 1.5))
symbols, gap = streams.copies(2, 16, 4), 1.5
shown = F.pad(symbols, (0, 0))
colours = ("#440154", "#31688e", "#35b779", "#fde725")
for row, each in enumerate(shown.tolist()):
    for n, symbol in enumerate(each):
        x = n + gap * (n > 15)
        ax.add_patch(plt.Rectangle((x, 1.1 * (1 - row)), 1, 1, fc=colours[symbol], ec="white"))
for x, words in ((8, "given: 16 symbols"), (24 + gap, "the same again, to be predicted")):
    ax.text(x, 2.45, words, ha="center", size=9)
for row in range(2):
    ax.text(-0.4, 0.5 + 1.1 * (1 - row), f"example {row}", ha="right", va="center", size=8)
ax.annotate("", (4.5, -0.25), (20.5 + gap, -0.25), arrowprops={"arrowstyle": "->", "lw": 1.2})
ax.plot((4.5, 4.5), (-0.4, -0.1), color="black", lw=1)
ax.text(13.2, -0.4, "16 back", ha="center", va="top", size=9)
ax.set(xlim=(-6, 34), ylim=(-1.5, 3.2))
ax.axis("off")
plots.show(
    fig,
    """Two rows of 32 cells in four colours, with a gap in the middle. In each, the right half repeats
    the left one: an arrow leads from one cell 16 back to the one that it copies.""",
)

# %% [markdown]
# **Predict.** Two local layers with a window of 6: how far back does a prediction reach? What fraction of the
# second half can such a network get right at best? And strided with $l = 6$?
#
# <details><summary>Answer</summary>
#
# Each of two layers reaches 5 tokens further back, and the token to be predicted is one ahead of the last
# one that is seen: 5 + 5 + 1 = 11. The original is 16 back. Symbols are drawn independently, so what is
# reached says nothing, and the best is 1/4, whatever is trained. With the strided pattern two steps reach
# everything, so that all of it could be right.
#
# </details>

# %% tags=["nbval-ignore-output"]
print("two layers with a window of 6 hear", streams.hears(layers=2, window=6), "tokens back")
found = {}
for pattern in ("local", "strided"):
    model = streams.learn_to_copy(
        lambda p=pattern: SparseTransformer(4, 32, stride=6, pattern=p), 0, 16, 4, steps=500
    )
    torch.manual_seed(1)
    found[pattern] = streams.right(model, streams.copies(500, 16, 4), start=16)
    print(f"{pattern:8} {found[pattern]:.3f}")
claim(found["local"] < 0.28, "local windows: below 0.28, near the one in four of guessing")
claim(found["strided"] > 0.95, "strided: more than 95 % of the copies are right")

# %% [markdown]
# ### All ways, several seeds
#
# Each of these was trained for 600 steps and with four seeds, all with two layers and two heads unless the
# name says otherwise. *Strided* stands here for the whole pattern, both parts.

# %%
rows = result("sparse_images")["copies"]
print(
    "fraction of the second half predicted, lowest to highest of 4 seeds; ceiling of local 0.25"
)
for name, row in rows.items():
    low, high = min(row["right"]), max(row["right"])
    print(f"{name:33} {low:.3f} … {high:.3f}   mean {sum(row['right']) / 4:.3f}")

# %%
lowest, highest = ({n: f(r["right"]) for n, r in rows.items()} for f in (min, max))
claim(highest["local"] < 0.28, "local: at most 0.28 in every seed, near the derived 0.25")
for name in ("strided, merged", "strided, interleaved", "strided, split"):
    claim(lowest[name] > 0.9, f"{name}: more than 90 % in every seed")
claim(highest["fixed, merged"] < 0.95, "fixed, one summary: less than 95 % in every seed")
means = {name: sum(row["right"]) / 4 for name, row in rows.items()}
for remedy in ("fixed, merged, 3 summaries", "fixed, merged, 3 layers, 4 heads"):
    claim(means[remedy] > means["fixed, merged"] + 0.05, f"{remedy}: better on average")

# %% [markdown]
# **What you should see.** Local windows stay near 1/4, and all strided ways copy. The *fixed* pattern
# reaches everything too, yet it copies less well. A likely reason is a **bottleneck**: what is far away passes through
# one summary token, in which two heads must mix six symbols so that each can be told apart again. With three summaries
# it copies better on average, and with more heads and layers as well. But three summaries also let a query read half
# of the tokens directly, and the seeds spread widely, so that this is no proof. What is shown is that reach is necessary,
# and not sufficient.

# %% [markdown]
# The paper gives its fixed heads several summaries (c = 32 of l = 128 for text) and eight heads.

# %% [markdown]
# ## 10.9 Images, pixel by pixel
#
# This is the paper's own use: predict each pixel from those before it, and draw new images from
# the predictions. Handwritten digits of 8 x 8 pixels with four grey levels stand in for its
# photographs. They are sequences of 64; the stride is the width, so that the strided pattern reads the
# row and the column.

# %%
train, test = streams.pixel_streams(4), streams.pixel_streams(4, test=True)
fig, axs = plt.subplots(2, 8, figsize=(6, 1.7))
for ax, stream in zip(axs.flat, train[:16], strict=True):
    plots.image(ax, rearrange(stream, "(h w) -> h w", h=8) / 3, "")
fig.suptitle("Sixteen of 1347 digits in four levels of grey")
plots.show(fig, "Sixteen small pictures of digits, white on black, coarse.")

# %% [markdown]
# **Predict.** How many bits does a pixel take if all four levels are equally likely?
#
# <details><summary>Answer</summary>
#
# $\log_2 4 = 2$. A code with a histogram for each of the 64 pixels, which knows nothing of the neighbours,
# needs the mean of their entropies; it is printed below. A model that has learnt anything about
# neighbours is below that.
#
# </details>

# %%
independent = streams.bits_of_independent_pixels(train, test, 4)
print(f"equally likely 2.000, independent pixels {independent:.3f} bits a pixel")

# %% tags=["nbval-ignore-output"]
model = streams.learn_pictures(
    lambda: SparseTransformer(4, 64, pattern="strided"), seed=0, steps=400
)
reached = streams.bits(model, test)
print(f"strided, two layers of 32 features: {reached:.3f} bits a pixel on unseen digits")
claim(
    reached < independent - 0.1,
    "more than 0.1 bits below independent pixels: it has learnt from neighbours",
)

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
torch.manual_seed(0)
drawn = streams.sample(model, 16, 64)
shuffled = train[torch.randint(len(train), (16, 64)), torch.arange(64)]  # pixel by pixel
fig, axs = plt.subplots(
    5, 9, figsize=(6.4, 3.5), width_ratios=(1.5, *[1] * 8), height_ratios=(1, 1, 0.2, 1, 1)
)
for ax in (*axs[:, 0], *axs[2]):
    ax.axis("off")
cells = [*axs[:2, 1:].flat, *axs[3:, 1:].flat]
for ax, stream in zip(cells, torch.cat([drawn, shuffled]), strict=True):
    plots.image(ax, rearrange(stream, "(h w) -> h w", h=8) / 3, "")
for ax, name in ((axs[0, 0], "drawn by\nthe model"), (axs[3, 0], "independent\npixels")):
    ax.text(0, 0, name, va="center", weight="bold", size=8)
plots.show(
    fig,
    """Two rows of pictures drawn by the model: strokes and loops, some like digits. After a gap, two rows
    with independent pixels: blurred noise.""",
)

# %% [markdown]
# **What you should see.** In most images that the model drew the bright pixels form connected strokes.
# Where each pixel is drawn on its own, they fall apart more often; the dark margins are in both. Few of the
# model's images are clear digits: the model is small and was trained for 400 steps.

# %% [markdown]
# ### Dense, strided, fixed, with equally many weights
#
# Each was trained for 400 steps with four seeds and 26 thousand weights; beside them stand three causal
# 3 x 3 convolutions with 30 thousand.
#
# **Predict.** Dense attention can do whatever strided can. Must it predict better?
#
# <details><summary>Answer</summary>
#
# With endless training and data it would never be worse. On unseen digits, after 400 steps, it need not be better.
# Dense attention may also look at far pixels. With few images it may find chance connections there, which it
# would have to unlearn.
#
# </details>

# %%
kept = result("sparse_images")
sparse_ones = {name: sparse.masks(name, 64, 8) for name in ("local", "strided", "fixed")}
pairs = {name: torch.stack(two).any(0).sum().item() for name, two in sparse_ones.items()}
pairs["dense"] = 2080
print(f"independent pixels    {kept['independent']:.3f} bits a pixel")
for name, row in [*kept["pictures"].items()][:5]:
    low, high = min(row["test"]), max(row["test"])
    print(f"{name:13} {low:.3f} … {high:.3f}    pairs a head {pairs.get(name, '-')}")

# %%
ranges = {n: (min(row["test"]), max(row["test"])) for n, row in kept["pictures"].items()}
claim(max(r[1] for r in ranges.values()) < kept["independent"], "all beat independent pixels")
low, high = zip(ranges["dense"], ranges["strided"], strict=True)
claim(max(low) < min(high), "dense and strided: the ranges of four seeds overlap")
claim(ranges["fixed"][0] > ranges["dense"][1], "fixed, one summary: behind dense in every seed")
claim(ranges["convolutions"][1] < ranges["strided"][0], "convolutions: ahead in every seed")

# %% [markdown]
# **What you should see.** The ranges of strided and dense attention overlap, although strided has a third
# of the pairs, and so does the range of local windows: an 8 x 8 digit needs little from far away. Fixed is
# behind. On CIFAR-10 the paper has 2.80 bits for strided, 2.82 for dense and 2.85 for fixed (Table 2).
#
# Three plain convolutions are ahead of all of them. They assume from the start that neighbours are
# related in the same way everywhere, which attention has to learn from 1347 small digits. Neither these images nor the
# copies are long: what sparse attention is worth on long sequences, the paper's own figures must say.

# %% [markdown]
# ### Ablation: the wrong stride
#
# The strided pattern makes sense for images because the stride is the width: its column keys then stand
# in a column of the image. What if the stride is 7 and the image is 8 wide?
#
# **Predict.** Where in the image are the column keys then, and does it hurt?
#
# <details><summary>Answer</summary>
#
# They form a diagonal: one row up is one column to the right. Two steps still reach everything, so it
# need not hurt much.
#
# </details>
#
# There is a trap in this experiment. The model also has a learned vector for each row and each column,
# and computes these from the stride. If only the stride is changed, two things change at once. So
# there is a **control**: the keys of stride 7, but the true rows and columns.

# %%
names = ("strided", "strided, stride 7, true places", "strided, stride 7")
bits = {name: torch.tensor(kept["pictures"][name]["test"]) for name in names}
for name, found in bits.items():
    print(f"{name:31} {found.min():.3f} … {found.max():.3f}, mean {found.mean():.3f}")
right, control, both = (found.mean() for found in bits.values())
print(f"from the keys {control - right:.3f}, from rows and columns {both - control:.3f}")
claim(both - control > control - right, "more than half comes from rows and columns")
gap = bits[names[1]].min() - bits["strided"].max()
claim(gap < 0.01, "keys alone: the two ranges lie less than 0.01 apart")

# %% [markdown]
# **What you should see.** With the wrong stride everywhere the model needs clearly more bits, but more than
# half of that loss comes from the wrong rows and columns. With true places, the slanted keys cost about
# a hundredth of a bit on average. The two ranges of four seeds lie less than a hundredth apart. On images
# as small as these, the direction of the column keys matters little.
#
# A sparse pattern is an assumption about the data; for text, which has no width, section 10.3 gave the
# paper's figures.

# %% [markdown]
# ## What you have learnt
#
# How few keys are enough to reach everything before a token in two layers? About $2 \sqrt n$ are, if they
# are a row and a column or a block and its summaries. On our tasks the strided pattern copied from far back
# and predicted images about as well as dense attention, with half of the pairs and with a third; at 16,384 tokens it took
# less than half the time of fused dense attention. The fixed pattern reaches as far, but not everything gets
# through.

# %% [markdown]
# | pattern | a query reads | keys | two steps reach | weak point |
# |---|---|---|---|---|
# | local | the last `window` | window | 2 (window - 1) back | nothing from far |
# | strided | local keys: the last l; column keys: every l-th | about $2 \sqrt n$ | everything | needs a width |
# | fixed | its block, and c summaries of each | about $(1 + c) \sqrt n$ | everything, if merged or with skip connections | what is far passes through few summaries |
# | dense | all before | n | everything in one | $n^2$ time |
#
# In blocks, no tensor is larger than $O(n \sqrt n)$. Fused attention needs still less memory; against it, time is the
# argument, and how much is saved depends on the machine.

# %% [markdown]
# ### Explain it to somebody
#
# <details><summary>1. Why are about two times the square root of n keys enough?</summary>
#
# With about n / l column keys and l local ones, two steps lead anywhere: first by multiples of l, then by
# what is left. The sum n / l + l is least at l = √n, where it is 2 √n.
#
# </details>
#
# <details><summary>2. Why does masking the map save nothing?</summary>
#
# What is masked has been computed and stored first. Only a layout in which hidden pairs do not occur
# saves anything.
#
# </details>
#
# <details><summary>3. What is the difference between reaching a token and copying it?</summary>
#
# It is reached if a path exists. To be copied, it must also get through: what passes through a summary token is mixed
# with all else that does, and must be told apart again.
#
# </details>
#
# <details><summary>4. Which queries of the summary mask read nothing, and what must attention return?</summary>
#
# The first l - c: there is no summary before them. It must return 0 and not NaN.
#
# </details>
#
# <details><summary>5. What is the use of the control in the ablation of the stride?</summary>
#
# The stride enters the model twice. Without the control, the loss from wrong embeddings would be blamed on
# the pattern.
#
# </details>

# %% [markdown]
# ### What came after
#
# - [Axial attention](https://arxiv.org/abs/1912.12180) (2019): rows and then columns, for images.
# - [Longformer](https://arxiv.org/abs/2004.05150) (2020): sliding windows, some of them dilated, and a few
#   tokens that read and are read by all.
# - [BigBird](https://arxiv.org/abs/2007.14062) (2020): windows, global tokens and random keys; with a proof
#   that such patterns are universal approximators.
# - [GPT-3](https://arxiv.org/abs/2005.14165) (2020): dense and locally banded layers in turns.
# - [Reformer](https://arxiv.org/abs/2001.04451) and
#   [Routing Transformer](https://arxiv.org/abs/2003.05997) (2020): patterns that depend on the content.
# - [Linear attention](https://arxiv.org/abs/2006.16236) (2020): no pattern but a product that replaces the
#   softmax,
#   so that the time grows with n.
# - [Mistral 7B](https://arxiv.org/abs/2310.06825) (2023): a sliding window in every layer.

# %% [markdown]
# ### References
#
# - R. Child, S. Gray, A. Radford, I. Sutskever: Generating Long Sequences with Sparse Transformers, 2019.
#   https://arxiv.org/abs/1904.10509 · announcement: https://openai.com/index/sparse-transformer/ ·
#   code: https://github.com/openai/sparse_attention
# - Y. Tay, M. Dehghani, D. Bahri, D. Metzler: Efficient Transformers: A Survey, 2020.
#   https://arxiv.org/abs/2009.06732
# - Photograph: "flower" of scikit-learn's samples, by
#   [vultilion](https://www.flickr.com/photos/vultilion/6056698931), CC BY 2.0.
#
# Chapter 11 makes both fast: attention that never stores its map, and patterns rearranged so that it
# sees dense pieces.
