# %% [markdown]
# # 10 · Sparse attention
#
# The map of attention has $n^2$ numbers: that is what ends long sequences. You will write patterns in
# which a token reads about $\sqrt n$ others, prove that two steps still reach everything, compute them
# without ever building the map, and measure what that buys, today as well. **120 min · CPU is enough**

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
from attncourse import check, hint, papers
from attncourse.book import claim, plots, result
from attncourse.papers import counting
from attncourse.tasks import sequences as streams
from solutions import sparse
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import SparseTransformer, in_blocks, local_keys, strided_keys

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b`, `head` | examples in a batch, heads |
# | `n` | tokens of a sequence; `i` queries, `j` keys |
# | `l` | the stride: how long a block is; `c` summaries at its end |
# | `block`, `place` | n = (block place): which block, and where in it, from 0 to l - 1 |
# | `d`, `e` | features of a query or key, of a value |
#
# The patterns are those of Child, Gray, Radford and Sutskever, "Generating Long Sequences with Sparse
# Transformers" (2019). All are causal: $j \le i$.

# %% [markdown]
# ## 10.1 What the map costs
#
# Training keeps the map of every head of every layer for the way back. Look at how that grows, for
# the 64 layers and 4 heads of the authors' announcement.

# %%
tokens = torch.logspace(2.5, 5, 50)
one = 4 * tokens**2 * 4 / 1e9
gigabytes = {"one layer, 4 heads": one, "64 layers": 64 * one}
fig, ax = plt.subplots(figsize=(5.6, 2.6))
plots.lines(ax, tokens, gigabytes, "tokens n", "GB", "Maps grow with the square of the length")
ax.axhline(16, color="black", ls=":", lw=0.8, label="a GPU of 2019, 16 GB")
ax.set(xscale="log", yscale="log")
ax.legend()
plots.show(
    fig, "Two parallel straight lines of slope 2 that cross 16 GB near 4 and 30 thousand."
)

# %% [markdown]
# **Predict.** A CIFAR-10 picture is $32 \cdot 32 \cdot 3 = 3072$ tokens. How many bytes do the maps of 64
# layers with 4 heads take, at 4 bytes a number? And if only one layer's are kept at a time, the
# others being made anew on the way back?
#
# <details><summary>Answer</summary>
#
# $64 \cdot 4 \cdot 3072^2 \cdot 4 = 9.66 \cdot 10^9$ bytes, and a 64th of it, $0.151 \cdot 10^9$.
#
# </details>
#
# | | what it is |
# |---|---|
# | `n`, `layers`, `heads` | whole numbers |
# | `recompute` | True: one layer's maps at a time |
# | `map_bytes(…)` | bytes, a whole number; the map is built whole, also above the diagonal |

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
    print(f"{n:6} tokens: {kept / 1e9:6.4g} GB kept, {anew / 1e9:7.4g} GB made anew")
print(papers.compare_all("openai-blog"))

# %% [markdown]
# **What you should see.** The table of the announcement comes out of the formula. Its figures are not
# rounded in one way: 9.66 and 154.6 are cut off to 9.6 and 154, while 589.8 and 0.15099 are
# rounded to 590 and 0.151. If you are off by 2, half of the map is missing; it is masked,
# but it is built.

# %% [markdown]
# ## 10.2 The last few, and every l-th
#
# Write 64 tokens in rows of 8, like a small picture. A token could read the last 8, or its column.
# Together that is about $2 \sqrt n$ keys instead of $n$.

# %%
near, column = torch.zeros(64), torch.zeros(64)
near[[*local_keys(45, 8)]], column[[*strided_keys(45, 8)]] = 0.6, 0.6
near[45] = column[45] = 1
fig, axs = plt.subplots(1, 2, figsize=(5.6, 2.5))
for ax, seen, title in zip(axs, (near, column), ("The last 8", "Every 8th"), strict=True):
    seen = rearrange(seen, "(row column) -> row column", row=8)
    plots.heat(ax, seen, "column, j mod 8", "row, j div 8", title, bar=False)
plots.show(fig, "Token 45 in an 8 by 8 picture: left the 7 tokens before it, right its column.")

# %%
print("the last 8 of query 45:", [*local_keys(45, 8)])
print("every 8th of query 45: ", [*strided_keys(45, 8)])
print("as ranges:             ", local_keys(45, 8), "and", strided_keys(45, 8))

# %% [markdown]
# $$
# A^{(1)}_i = \{\, j : 0 \le i - j < w \,\} \qquad
# A^{(2)}_i = \{\, j \le i : (i - j) \bmod l = 0 \,\}
# $$
#
# The paper writes $\max(0, i - l), \dots, i$ for the first set: $l + 1$ keys. The authors' released code
# takes $l$. Here `window` says how many keys there are, the query itself being one of them.
#
# | | axes | what it is |
# |---|---|---|
# | `local_mask(n, window)` | `i j` | True where the query may attend |
# | `strided_mask(n, stride)` | `i j` | as well |

# %% [markdown]
# **Predict.** For $n = 64$ and a window of 8: how many pairs are True?
#
# <details><summary>Answer</summary>
#
# Query $i$ has $\min(i + 1, 8)$ keys: $1 + 2 + \dots + 7$, then 57 times 8. That makes 484. Dense causal
# attention has $64 \cdot 65 / 2 = 2080$.
#
# </details>
#
# ### Exercise: `local_mask`

# %% exercise="sparse.local_mask"

# %%
check("sparse.local_mask", local_mask)

# %% [markdown]
# Stuck? `hint("sparse.local_mask")`. To read on without solving it:
# `from solutions.sparse import local_mask`.
#
# **Predict.** And the strided mask, with a stride of 8?
#
# <details><summary>Answer</summary>
#
# Query $i$ has $\lfloor i / 8 \rfloor + 1$ keys: $8 \cdot (1 + 2 + \dots + 8) = 288$.
#
# </details>
#
# ### Exercise: `strided_mask`

# %% exercise="sparse.strided_mask"

# %%
check("sparse.strided_mask", strided_mask)

# %% [markdown]
# Stuck? `hint("sparse.strided_mask")`. To read on without solving it:
# `from solutions.sparse import strided_mask`.

# %%
local, strided = local_mask(64, 8), strided_mask(64, 8)
print("local", local.sum().item(), " strided", strided.sum().item(), " dense", 64 * 65 // 2)
print("union", (local | strided).sum().item())
plus_one = local_mask(64, 9)
print(
    "with l + 1 local keys:", plus_one.sum().item(), " union", (plus_one | strided).sum().item()
)
claim(
    torch.equal(local | strided, plus_one | strided), "l keys or l + 1: the union is the same"
)

# %% [markdown]
# **What you should see.** 484, 288, and 708 for the union: 484 + 288 - 64, since the query itself is in
# both. The two readings of the local set differ in the key $i - l$ alone, and that key is in the
# strided set anyway. If your strided count is 484, you divide where the remainder is meant.

# %% [markdown]
# ## 10.3 Blocks and their summaries
#
# Text has no columns. The *fixed* pattern lets a token read its own block, and of all blocks the last
# $c$ cells: those could read the whole block, and pass it on.
#
# $$
# A^{(1)}_i = \{\, j \le i : \lfloor j / l \rfloor = \lfloor i / l \rfloor \,\} \qquad
# A^{(2)}_i = \{\, j \le i : j \bmod l \ge l - c \,\}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `block_mask(n, stride)` | `i j` | the own block, up to the query |
# | `summary_mask(n, stride, summaries)` | `i j` | the last cells of every block, c = `summaries` |

# %% [markdown]
# **Predict.** With blocks of 8, which keys has query 16 in the first mask? A widely used library gave
# it eight more.
#
# <details><summary>Answer</summary>
#
# Itself alone: it begins a block. With block ends that are off by one it also reads tokens 8 to 15.
#
# </details>
#
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
# None. The first summary is token 7. Queries 0 to 6 have an empty row.
#
# </details>
#
# ### Exercise: `summary_mask`

# %% exercise="sparse.summary_mask"

# %%
check("sparse.summary_mask", summary_mask)

# %% [markdown]
# Stuck? `hint("sparse.summary_mask")`. To read on without solving it:
# `from solutions.sparse import summary_mask`.

# %%
block, summary = block_mask(64, 8), summary_mask(64, 8)
fig, axs = plt.subplots(2, 2, figsize=(5.2, 5))
titles = "local: 484", "strided: 288", f"block: {block.sum()}", f"summary: {summary.sum()}"
four = (local, strided, block, summary)
for ax, mask, title in zip(axs.flat, four, titles, strict=True):
    plots.heat(ax, mask, "key j", "query i", title, bar=False)
plots.show(fig, "A band, diagonal stripes, triangles along the diagonal, and vertical stripes.")

# %% [markdown]
# ### Empty rows
#
# **Predict.** What does attention return for queries 0 to 6 if it masks with minus infinity, with
# `summary` alone?
#
# <details><summary>Answer</summary>
#
# A softmax over nothing but $-\infty$ is $0 / 0$: NaN, and after one backward step every weight of the
# network is NaN. The paper does not mention these rows.
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
# **What you should see.** Seven rows of NaN: $l - c$. They come up as soon as summaries have a layer or
# a head of their own. If there are eight, your summary cell does not see itself.

# %% [markdown]
# ## 10.4 Two steps reach everything
#
# Token 45 reads 40; one layer below, 40 has read 8. So 45 hears of 8 without reading it. Whether $i$
# hears of $j$ through some token $a$ is a product of matrices of 0 and 1:
#
# $$ R_{ij} = 1 \iff \sum_a \text{then}_{ia}\,\text{first}_{aj} > 0 $$
#
# | | axes | what it is |
# |---|---|---|
# | `first`, `then` | `i j` | masks: the lower layer, the upper one |
# | `reachable(first, then)` | `i j` | True where two layers connect |

# %% [markdown]
# **Predict.** First local, then strided: which pairs $j \le i$ does that reach? And first block, then
# summary?
#
# <details><summary>Answer</summary>
#
# Strided: all of them. Going from $i$ in steps of $l$ one lands within $l - 1$ of $j$, and the local
# layer has read that far. Block and summary: not all. Queries 0 to 6 have no summary to go through,
# and nobody above reads the tokens of a block that is not yet finished.
#
# </details>
#
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
    made = {"local": local_mask(64, 8), "strided": strided_mask(64, 8)}
    made |= {"block": block_mask(64, 8), "summary": summary_mask(64, 8)}
    made["fixed"] = made["block"] | made["summary"]
    return reachable(made[first], made[then])


stacks = ("local", "strided"), ("strided", "local"), ("block", "summary"), ("fixed", "fixed")
for first, then in stacks:
    print(f"first {first:7} then {then:8} {two_steps(first, then).sum().item():5} of 2080")

# %%
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.4))
for ax, (first, then) in zip(axs, stacks[1:], strict=True):
    reached = two_steps(first, then)
    plots.heat(ax, reached, "key j", "query i", f"{first}, then {then}", bar=False)
axs[1].set(ylabel="")
axs[2].set(ylabel="")
plots.show(
    fig, "Left and right a full triangle; the middle one ends in steps: near tokens miss."
)
full = causal_mask(64, 64)
claim(torch.equal(two_steps("local", "strided"), full), "strided: two steps reach everything")
claim(torch.equal(two_steps("fixed", "fixed"), full), "fixed: two merged ones do")

# %% [markdown]
# **What you should see.** 2080 three times, and 1856 for block and summary. There the first rows are
# empty, and so are the triangles along the diagonal. Merged, the pattern closes the gap. That two
# steps *reach* everything does not say that everything gets through: one summary cell has to hold a
# whole block. Section 10.8 measures it.

# %% [markdown]
# ## 10.5 Two patterns, several heads
#
# Three ways to use two masks (section 5.1 of the paper). *Merged*: every head takes both.
# *Interleaved*: layers take turns. *Split*: half of the heads each.
#
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `… head i d`, `… head i e` | as many keys as queries |
# | `first`, `second` | `i i` | masks |
# | `way`, `layer` | | "merged", "interleaved", "split"; layers count from 0 |
# | result | `… head i e` | builds the whole map still |

# %% [markdown]
# **Predict.** Merged: does it matter whether you join the masks before the softmax, or take the mean
# of two attentions after it?
#
# <details><summary>Answer</summary>
#
# Yes. Two softmaxes give each pattern half of the weight, whatever the scores say, and the query
# itself, which is in both, comes twice. One softmax lets the keys of both compete.
#
# </details>
#
# ### Exercise: `factorised_attention`
#
# "split": the first half of the heads takes `first`. A `ValueError` where there are no halves.

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
claim((merged - theirs).abs().max() < 1e-5, "merged is torch's attention with the union")
halves = [F.scaled_dot_product_attention(q, k, v, attn_mask=m) for m in (local, strided)]
apart = (merged - sum(halves) / 2).abs().max().item()
claim(apart > 0.1, "and it is not the mean of two attentions")

# %% [markdown]
# **What you should see.** The first claim is equality with torch's own attention. So far nothing is
# saved: the map is there, and most of it is masked.

# %% [markdown]
# ## 10.6 Without the map
#
# Cut the sequence into blocks of $w$ tokens. All that a query of one block may see locally lies in
# its block and in the one before. So a block of queries meets $2 w$ keys, and all blocks at once make
# $n \cdot 2 w$ scores instead of $n^2$.

# %%
i, j = torch.arange(4)[:, None] + 4, torch.arange(8)
inside = ((j <= i) & (i - j < 4)).float()
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6), width_ratios=(1, 1.3))
shade = causal_mask(16, 16) * 0.2 + local_mask(16, 4) * 0.8
plots.heat(axs[0], shade, "key j", "query i", "16 tokens, window 4", bar=False)
axs[0].add_patch(plt.Rectangle((3.5, 7.5), 8, 4, fill=False, color="red", lw=2))
plots.heat(axs[1], inside, "key: block before, own block", "place", "One block", bar=False)
plots.show(fig, "Left, a band; a red frame of 4 by 8 round one block of it. Right, that block.")

# %% [markdown]
# `in_blocks(x, length)` is given: it fills the sequence up with zeros and cuts it,
# `… (block place) d -> … block place d`. You write the keys.
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `… block place d` | tokens in blocks |
# | `with_previous(x)` | `… block key d` | the block before, then the own: twice as many keys |
#
# **Predict.** What stands in front of the first block? What if you take `roll`?
#
# <details><summary>Answer</summary>
#
# Zeros. `roll` would put the last block there, and the first tokens would read the future.
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
#
# ### Exercise: `local_attention`
#
# Any $n$, any leading axes, and the check counts your largest tensor. The zeros in front of the
# first block are keys like others unless the mask hides them: they would have score 0.
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
# Strided attention needs no predecessor. Tokens at the same place of their blocks are a short
# sequence, and in it attention is plainly causal. Move the axes, and it is dense.
#
# **Predict.** The sequence is filled up at its end. Why does nobody see the zeros there?
#
# <details><summary>Answer</summary>
#
# They are later than every true token: the causal mask hides them. Filled up in front, they would be
# seen by all.
#
# </details>
#
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
claim((far - dense[1]).abs().max() < 1e-5, "strided: equal to the dense mask")

# %% [markdown]
# ### Both in one softmax
#
# Merged heads need one softmax over the scores of both parts. In the layout `block place key` the two
# sets of scores lie side by side; a key that is in both counts once. `sparse_attention` does that for
# all patterns and ways, in value and gradient as with the mask.

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
# **Predict.** The largest tensor for $n = 1024$ and $l = 32$, one head: dense, strided, fixed with
# $c = 1$?
#
# <details><summary>Answer</summary>
#
# Dense: $n^2 = 1048576$. Strided: for each query two blocks and a column, $n\,(2 l + n / l) = 98304$.
# Fixed: one block and the summaries, $n\,(l + n / l) = 65536$.
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
# **What you should see.** $n^2$, $3 n \sqrt n$ and $2 n \sqrt n$, to the last digit. The patterns hold
# $2 n \sqrt n$ pairs at most; strided blocks compute half of their local scores in vain. Why
# $l = \sqrt n$? $n\,(l + n / l)$ is least where its derivative, $1 - n / l^2$, is 0.

# %% [markdown]
# ## 10.7 Time and memory, measured
#
# `benchmarks/sparse.py` runs each case in a process of its own, forward and backward, 8 heads of 32
# features, float32, one thread. What was measured is in `results/sparse.json`.
#
# **Predict.** By which power of $n$ does the time of strided attention grow? And what about torch's
# *fused* dense attention: time, memory?
#
# <details><summary>Answer</summary>
#
# 1.5 if products dominate. Fused attention never stores the map: memory grows with $n$, time with
# $n^2$.
#
# </details>

# %%
kept = result("sparse")
for name, curve in kept["curves"].items():
    points = zip(curve["n"], curve["seconds"], curve["mib"], strict=True)
    n, seconds, mib = list(points)[-1]
    powers = f"time ~ n^{curve['slope']}, keeping its memory n^{curve['slope_keeping']}"
    print(f"{name:17} n = {n:6}: {seconds:5.2f} s, {mib:5} MiB; {powers}")

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
for name, curve in kept["curves"].items():
    axs[0].plot(curve["n"], curve["seconds"], marker=".", label=name)
    axs[1].plot(curve["n"], curve["mib"], marker=".")
axs[0].set(xlabel="tokens n", ylabel="seconds", title="Sparse is quicker …")
axs[1].set(xlabel="tokens n", ylabel="MiB", title="… and needs more than fused")
for ax in axs:
    ax.set(xscale="log", yscale="log")
axs[0].legend(fontsize=7)
plots.show(
    fig, "Seconds and MiB over n: the built map grows fastest in both; fused needs least."
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
# **What you should see.** Exponents on either side of 1.5, for products that are counted as exactly
# $n^{1.5}$. Small cases fit into caches, and large tensors are given back to the system and cleared
# anew in each run; told to keep its memory, the same code is 1.7 times quicker at 16,384 tokens.
# Quote the allocator with every such number.
#
# ### Thirty times longer?
#
# The announcement speaks of sequences 30 times longer than possible before. Give both 1 GiB, one head.
#
# **Predict.** How does the ratio of the longest lengths grow with the bound?
#
# <details><summary>Answer</summary>
#
# Let dense reach $N$: then $N^2 = 3 M^{3/2}$ for strided, so $M / N = N^{1/3} / 3^{2/3}$. At
# $N = 9000$ that is 10; for 30 one needs $N = 240000$: a map of 230 GB.
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
# **What you should see.** About 8 and 10 times, where the count of scores gives 10 and 13: features
# and masks take room as well. Thirty times does not come out at this size; the ratio depends on the
# memory one has, and the announcement compares with earlier work rather than with one bound.
#
# And today: the argument of memory holds against attention that builds its map. Fused attention needs
# memory that grows with $n$ alone, less than sparse blocks do. What remains is time: $n^{1.5}$
# against $n^2$.

# %% [markdown]
# ## 10.8 Copy from far back
#
# A task for reach: 16 random symbols out of 4, then the same 16 once more. Foretell the second half.
# Look at two examples:

# %%
torch.manual_seed(0)
fig, ax = plt.subplots(figsize=(6.2, 1.3))
title = "Sixteen symbols, and the same again"
plots.heat(ax, streams.copies(2, 16, 4) / 3, "token", "example", title, bar=False)
ax.axvline(15.5, color="red")
plots.show(fig, "Two rows of 32 cells in four colours; the right half repeats the left one.")

# %% [markdown]
# **Predict.** Two local layers with a window of 6: how far back does a token hear? How many of the
# second half does such a network get right at best? And strided with $l = 6$?
#
# <details><summary>Answer</summary>
#
# Each layer adds 5, and the input comes one token late: 11. The original is 16 back. Symbols are
# drawn independently, so what it hears says nothing: 1/4, whatever is trained. Strided, two steps
# reach everything: nothing stands against 1.
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
claim(found["local"] < 0.28, "local windows stay at one in four")
claim(found["strided"] > 0.95, "two strided steps copy")

# %% [markdown]
# ### All ways, several seeds
#
# `benchmarks/sparse_images.py` trained these for 600 steps and four seeds each, all with two layers and
# two heads unless it says otherwise.

# %%
rows = result("sparse_images")["copies"]
print("share of the second half foretold, lowest to highest of 4 seeds; ceiling of local 0.25")
for name, row in rows.items():
    low, high = min(row["right"]), max(row["right"])
    print(f"{name:33} {low:.3f} … {high:.3f}")

# %%
lowest, highest = ({n: f(r["right"]) for n, r in rows.items()} for f in (min, max))
claim(highest["local"] < 0.28, "local: at the ceiling that was derived")
claim(lowest["strided, merged"] > 0.9, "strided: copies")
claim(
    highest["fixed, merged"] < 0.95, "fixed with one summary: reached, but not all gets through"
)
means = {name: sum(row["right"]) / 4 for name, row in rows.items()}
for remedy in ("fixed, merged, 3 summaries", "fixed, merged, 3 layers, 4 heads"):
    claim(means[remedy] > means["fixed, merged"] + 0.05, f"{remedy}: better on average")

# %% [markdown]
# **What you should see.** Local windows stay at 1/4. All strided ways copy. *Fixed* reaches everything
# too, yet two heads have to put six symbols into one summary cell. More summaries help, and so do
# more heads and layers, though seeds spread widely. To be reachable is a condition, not a promise.
# The paper gives its fixed heads several summaries (c = 32 of l = 128 for text) and many heads.

# %% [markdown]
# ## 10.9 Pictures, pixel by pixel
#
# The paper's own use: foretell each pixel from those before it, and draw from it. Digits of 8 x 8
# pixels with four grey levels are streams of 64; the stride is the width, so the strided pattern reads
# the row and the column.

# %%
train, test = streams.pixel_streams(4), streams.pixel_streams(4, test=True)
fig, axs = plt.subplots(2, 8, figsize=(6, 1.7))
for ax, stream in zip(axs.flat, train[:16], strict=True):
    plots.image(ax, rearrange(stream, "(h w) -> h w", h=8) / 3, "")
fig.suptitle("Sixteen of 1347 digits in four levels of grey")
plots.show(fig, "Sixteen small pictures of digits, white on black, coarse.")

# %% [markdown]
# **Predict.** How many bits a pixel does it take if all four levels are equally likely? And a code
# that knows how often each pixel has each level, but not its neighbours?
#
# <details><summary>Answer</summary>
#
# $\log_2 4 = 2$. With a histogram for each of the 64 pixels: the mean of their entropies, measured
# below, 1.12. Every model that learns anything about neighbours is below it.
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
claim(reached < independent - 0.1, "it has learned from the pixels before")

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
drawn = streams.sample(model, 16, 64)
shuffled = train[torch.randint(len(train), (16, 64)), torch.arange(64)]  # pixel by pixel
fig, axs = plt.subplots(4, 8, figsize=(6, 3.2))
for ax, stream in zip(axs.flat, torch.cat([drawn, shuffled]), strict=True):
    plots.image(ax, rearrange(stream, "(h w) -> h w", h=8) / 3, "")
fig.suptitle("Drawn by the model (above), and with independent pixels (below)")
plots.show(fig, "Above, strokes and loops, some like digits. Below, blurred noise.")

# %% [markdown]
# ### Dense, strided, fixed, at equal weights
#
# Four seeds each, 400 steps, the same 26 thousand weights; beside them three causal 3 x 3
# convolutions with 30 thousand.
#
# **Predict.** Dense attention can do whatever strided can. Must it foretell better?
#
# <details><summary>Answer</summary>
#
# On pictures it has learned from without end, never worse. On unseen ones, after 400 steps, no: what it
# can do more, it first has to learn not to do.
#
# </details>

# %%
kept = result("sparse_images")
sparse_ones = {name: sparse.masks(name, 64, 8) for name in ("local", "strided", "fixed")}
pairs = {name: torch.stack(two).any(0).sum().item() for name, two in sparse_ones.items()}
pairs["dense"] = 2080
print(f"independent pixels    {kept['independent']:.3f} bits a pixel")
for name, row in kept["pictures"].items():
    low, high = min(row["test"]), max(row["test"])
    print(f"{name:13} {low:.3f} … {high:.3f}    pairs a head {pairs.get(name, '-')}")

# %%
ranges = {n: (min(row["test"]), max(row["test"])) for n, row in kept["pictures"].items()}
claim(max(r[1] for r in ranges.values()) < kept["independent"], "all beat independent pixels")
low, high = zip(ranges["dense"], ranges["strided"], strict=True)
claim(max(low) < min(high), "dense and strided: the ranges overlap, so neither is ahead")
claim(ranges["fixed"][0] > ranges["dense"][1], "fixed, one summary: behind dense in every seed")
claim(ranges["convolutions"][1] < ranges["strided"][0], "convolutions: ahead of all of them")

# %% [markdown]
# **What you should see.** Strided foretells as well as dense attention with a third of the pairs, and
# so do local windows: an 8 x 8 digit asks little from far. Fixed is behind. On CIFAR-10 the paper
# has 2.80 bits strided, 2.82 dense, 2.85 fixed (Table 2), with models incomparably larger.
#
# And three plain convolutions are ahead of all. They know from the start that neighbours are alike
# everywhere, and 1347 small digits are not enough to learn it. Of long streams, these pictures say
# nothing; section 10.8 does.

# %% [markdown]
# ### Ablation: the wrong stride
#
# The strided pattern lives from the stride being the width: then its second half is a column. Four
# seeds more, with a stride of 7 on pictures that are 8 wide.
#
# **Predict.** What are the keys then, and does it hurt?
#
# <details><summary>Answer</summary>
#
# A diagonal: one row up is one column to the right. Row and column, which the model is told for each
# token, are then wrong as well. Two steps still reach everything, so it need not hurt much; measure.
#
# </details>

# %%
slanted = kept["pictures"]["strided, stride 7"]["test"]
print(f"stride 8: {ranges['strided'][0]:.3f} … {ranges['strided'][1]:.3f} bits a pixel")
print(f"stride 7: {min(slanted):.3f} … {max(slanted):.3f} bits a pixel")
claim(min(slanted) > ranges["strided"][1], "with the wrong width more bits, in every seed")

# %% [markdown]
# **What you should see.** More bits, in every seed. For text there
# is no such width, and the paper's strided pattern does badly there: 1.13 bits a byte on Enwik8, where
# fixed gives 0.99 and dense 1.00 (Table 2). A sparse pattern is a guess about the data.

# %% [markdown]
# ## 10.10 What remains
#
# - Patterns with $O(\sqrt n)$ keys reach everything in two steps; whether it gets *through* is another
#   question, and blocks with one summary are a bottleneck.
# - In blocks, no tensor is larger than $O(n \sqrt n)$; time grew with $n^{1.4}$
#   to $n^{1.7}$ here.
# - Memory is no argument against fused attention, time is.
#
# Chapter 11 makes both fast: attention that never stores the map, and patterns rearranged so that it
# sees dense pieces.
