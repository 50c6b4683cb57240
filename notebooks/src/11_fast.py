# %% [markdown]
# # 11 · Fast attention
#
# Same numbers, less time. You will read scores in one pass, put readings together, attend without
# ever holding the map, let neighbours share their keys, complete a kernel for GPUs, and foretell
# from bytes and operations how fast any of it can be. And you will measure in a way that does not
# fool you. **180 min · CPU is enough; Triton, where there is one, runs in its interpreter**

# %%
import math
import os
import warnings
from functools import partial
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
from attncourse import check, hint
from attncourse.book import claim, plots, result
from attncourse.bench import kept as benchmarks
from attncourse.papers import counting
from attncourse.tasks import fast as fast_tasks
from attncourse.tasks.pictures import photograph
from attncourse.tasks.fast import Warming, alike, how_many, largest_kept, seconds, turns
from solutions import relative_2d, sparse, stand_alone
from solutions.fast import gpu, local
from solutions.fast import sparse as fast_sparse
from solutions.scaled_dot_product import scaled_dot_product_attention

china = photograph("china")

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `i` `j` | queries and keys; n of both where they are the same tokens |
# | `d`, `e` | features of a query or key, of a value |
# | `tile`, `rows` | keys, and queries, that are dealt with at a time |
# | `head` `h` `w` | heads; height and width of a map, in pixels |
# | `window` | keys of a local query, window x window of them |
# | `block` | a square of block x block queries |
# | `m`, `l`, `L` | of a row of scores: the largest, the sum, the log-sum-exp |

# %% [markdown]
# ## 11.1 A row in one pass
#
# Take every pixel of a photograph as a token, and let it ask for its own colour: 13,824 keys. The
# scores are those of the filter of chapter 9, distance left out,
# $-|x_i - x_j|^2 / 2\sigma^2$ and something that is the same for all $j$. One pixel's scores, as
# they come in, row by row from the top:

# %%
q, k, v = alike(china, sigma=0.03)  # 13,824 tokens of 4 features; values are colours
asks = 50 * 144 + 55  # a pixel of the temple
row = q[asks] @ k.T / math.sqrt(4)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3), width_ratios=(1, 1.25))
plots.image(axs[0], china, "The pixel that asks")
axs[0].plot(55, 50, "o", color="#e69f00")
axs[1].plot(row, ".", ms=1)
largest = {"largest so far": row.cummax(0).values}
plots.lines(axs[1], range(len(row)), largest, "key j", "score", "The largest so far climbs")
axs[1].set(ylim=(120, 170), xticks=(0, 5000, 10000))
plots.show(fig, "A temple; beside it scores as dots, under a stair that climbs till 7254.")

# %% [markdown]
# Chapter 1's softmax reads such a row three times: for the largest, for the sum, for the shares.
# If scores come by the tile and are gone afterwards, the sum has to be taken before the largest
# is known.
#
# **Predict.** So far the largest was 3 and the sum of $e^{s - 3}$ was 2. A tile with one score,
# 5, comes in. What is the sum now? And what is $e^{200}$ in float32?
#
# <details><summary>Answer</summary>
#
# All shares so far were too large by $e^{5 - 3}$: $2 e^{-2} + 1 = 1.27$. The largest number in
# float32 is $e^{88.7}$, so infinite: without subtracting the largest score it does not work at
# all.
#
# </details>

# %% [markdown]
# $$
# m' = \max(m, \max_j s_j) \qquad l' = e^{m - m'}\, l + \sum_j e^{s_j - m'}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $s$ | `… j` | scores; a tile of them at a time |
# | $m$, $l$ | `… 1` | the largest so far, and the sum so far |
# | `online_softmax(x, tile)` | `… j` | the shares: $e^{s - m} / l$ in the end |
#
# The rule is from Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018).
#
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
    claim(apart < 1e-6, f"tiles of {tile}: the softmax of three passes")
huge = torch.tensor([1e30, 0.0, 1e30, -1e30])
claim(online_softmax(huge, 1).tolist() == [0.5, 0, 0.5, 0], "scores of 1e30 do no harm")
naive = row.exp() / row.exp().sum()
print(f"without the largest: {naive.isnan().sum().item()} of {len(row)} shares are nan")

# %% [markdown]
# **What you should see.** The same shares, whatever the tile, and no overflow. Without $m$
# whatever scores above 88 is infinite, and so is the sum: infinite over infinite is no number.
#
# ### Ablation: a sum that does not fade
#
# Leave out $e^{m - m'}$. The sum then holds old shares as they were, measured from a smaller $m$.
#
# **Predict.** Does it come out too large or too small? And where the largest score comes first?
#
# <details><summary>Answer</summary>
#
# Too large: what was counted from a smaller $m$ counts too much. Where the largest is in the
# first tile there is nothing to fade, and the mistake does not show.
#
# </details>


# %%
def without_fading(row, tile):
    """The shares, with the sum of each tile taken from the largest so far and left so."""
    parts = row.split(tile)
    far = torch.stack([part.max() for part in parts]).cummax(0).values
    total = sum((part - m).exp().sum() for part, m in zip(parts, far, strict=True))
    return (row - row.max()).exp() / total


for tile in (16, 512):
    both = without_fading(row, tile).sum().item(), online_softmax(row, tile).sum().item()
    print(f"tiles of {tile:3}: shares sum to {both[0]:.3f}, and to {both[1]:.3f} with fading")
first = without_fading(row.sort(descending=True).values, 16).sum()
claim((first - 1).abs() < 1e-4, "largest first: the mistake does not show")

# %% [markdown]
# **What you should see.** Shares that sum to less than 1 as soon as the stair of the figure
# climbs. That is why a test with one tile, or with sorted scores, proves nothing here.

# %% [markdown]
# ## 11.2 Two readings, one answer
#
# Cut the photograph in two halves. Each pixel reads the left half, and reads the right half, each
# with a softmax of its own. Can the two be put together as if it had read everything at once? All
# that has to be kept beside each reading is how much there was to read: the log-sum-exp.
#
# $$
# L = \log\bigl(e^{L_1} + e^{L_2}\bigr) \qquad y = e^{L_1 - L}\, y_1 + e^{L_2 - L}\, y_2
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `y`, `other` | `… i e` | what was read from some keys, and from the others |
# | `lse`, `other_lse` | `… i` | $L$ of each, $\log \sum_j e^{s_j}$; $-\infty$: there was nothing |
# | `merge(…)` | `… i e`, `… i` | $y$ and $L$ of all of them |

# %% [markdown]
# **Predict.** A query read 2 from three keys with score 0, and 6 from one key with score 0. What
# is $L$ of each, and what do the two give together?
#
# <details><summary>Answer</summary>
#
# $\log 3$ and $\log 1 = 0$. Together $L = \log 4$, and $y = (3 \cdot 2 + 1 \cdot 6) / 4 = 3$. The
# mean of the two, 4, would give the one key as much as the three.
#
# </details>
#
# ### Exercise: `merge`
#
# Where neither has seen anything: 0 and $-\infty$, no NaN.

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
claim((y - read(q, k, v)[0]).abs().max() < 1e-4, "both halves: as if read at once")
claim((lse - read(q, k, v)[1]).abs().max() < 1e-3, "and so is the log-sum-exp")

# %%
_, lse = merge(*one, *two)
share = rearrange((one[1] - lse).exp(), "(h w) -> h w", h=48)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.1))
plots.image(axs[0], small, "Keys left and right of the line")
axs[0].axvline(27.5, color="#e69f00")
plots.heat(axs[1], share, "w", "h", "What the left half weighs")
plots.show(
    fig, "A temple cut by a line; beside it weights: sky bright on the left, dark on the right."
)

# %%
quarters = [read(q, k[i::4], v[i::4]) for i in range(4)]
forth = merge(*merge(*merge(*quarters[0], *quarters[1]), *quarters[2]), *quarters[3])
apart = merge(*merge(*quarters[3], *quarters[1]), *merge(*quarters[0], *quarters[2]))
claim((forth[0] - apart[0]).abs().max() < 1e-4, "in which order does not matter")
nothing = torch.zeros_like(y), torch.full_like(lse, -math.inf)
claim(torch.equal(merge(y, lse, *nothing)[0], y), "nothing more to read changes nothing")

# %% [markdown]
# **What you should see.** Equality, in any order. The lake finds its colours on the right, the
# temple, which is cut in two, on both sides. So keys may be divided at will: over tiles, cores,
# machines. Chapter 10's merged patterns are fast that way: each part is dense for itself, and
# `merge` makes them one softmax. If your map of weights is 0.5 throughout, the readings were
# weighed alike.

# %% [markdown]
# ## 11.3 Attention by tiles
#
# Now both at once: of a tile of keys take the scores, update $m$ and $l$, add what is read,
# forget the scores.
#
# $$
# y' = e^{m - m'}\, y + \sum_j e^{s_j - m'} v_j \qquad \text{at the end} \quad
# y / l, \quad L = m + \log l
# $$
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
# $13824^2 \cdot 4 = 764 \cdot 10^6$ bytes, and $13824 \cdot 256 \cdot 4 = 14 \cdot 10^6$, a 54th.
#
# </details>
#
# ### Exercise: `attention_by_tiles`
#
# The check counts your largest tensor.

# %% exercise="fast.attention_by_tiles"

# %%
check("fast.attention_by_tiles", attention_by_tiles)

# %% [markdown]
# Stuck? `hint("fast.attention_by_tiles")`. To read on without solving it:
# `from solutions.fast.tiles import attention_by_tiles`.

# %%
q, k, v = alike(china, sigma=0.05)
y, lse = attention_by_tiles(q, k, v, tile=256)
theirs = F.scaled_dot_product_attention(*(x[None, None] for x in (q, k, F.pad(v, (0, 1)))))
claim((y - theirs[0, 0, :, :3]).abs().max() < 1e-4, "torch's fused attention gives the same")
count = how_many(china, 0.05, lse)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.0))
plots.image(axs[0], rearrange(y, "(h w) c -> h w c", h=96), "y: the mean of what is alike")
plots.heat(axs[1], count.log10(), "w", "h", "log10: pixels of my colour", 0, 4)
plots.show(fig, "A temple in slightly fewer colours; beside it sky bright and roof edges dark.")
print(f"from {count.min():.1f} to {count.max():.0f} pixels of {len(q)} are of one's own colour")

# %% [markdown]
# **What you should see.** A map of 764 MB that was never there. And $L$ can be looked at: once
# the part that is the same for all keys is taken off, $e^L$ says how many pixels have one's
# colour, from a handful at the edges of the roofs to thousands in the sky.
#
# ### Ablation: the tile
#
# **Predict.** What happens to multiply-adds and to the largest tensor as tiles get smaller?
#
# <details><summary>Answer</summary>
#
# The multiply-adds stay: $n^2 (d + e)$. The largest tensor is $n \cdot$ `tile`, until $n\,e$
# numbers of $y$ are more.
#
# </details>

# %%
q, k, v = (torch.randn(1024, 32) for _ in range(3))
print(" tile   multiply-adds   largest tensor")
for tile in (1024, 256, 64, 16):
    spent = counting.count(partial(attention_by_tiles, q, k, v, tile))
    print(f"{tile:5}   {spent.multiply_adds:13,}   {spent.largest_tensor:14,}")
    assert spent.multiply_adds == 1024**2 * 64, "the work of the map"
    assert spent.largest_tensor == 1024 * max(tile, 32), "the room of a tile"

# %% [markdown]
# **What you should see.** The same work in a 32nd of the room. Tiled attention computes nothing
# less than the map; it only never *has* it. So why it should be faster is not clear yet: section
# 11.5.

# %% [markdown]
# ## 11.4 The way back
#
# For the gradient, chapter 1 kept the map. But $A_{ij} = e^{s_{ij} - L_i}$: with $L$ every share
# can be made again from q and k, one by one, in any order. What goes back through the softmax
# needs a sum over the row, and that one is known already:
#
# $$
# \sum_j A_{ij}\, (dy_i \cdot v_j) = dy_i \cdot \sum_j A_{ij} v_j = dy_i \cdot y_i =: \delta_i
# $$

# %% [markdown]
# $$
# ds = A\,(dy\,v^\top - \delta) \qquad dv = A^\top dy \qquad
# dq = \frac{ds\,k}{\sqrt d} \qquad dk = \frac{ds^\top q}{\sqrt d}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `dy` | `… i e` | the gradient that comes back to $y$ |
# | `q`, `k`, `v`, `y`, `lse` | as before | all that is kept |
# | result | `… i d`, `… j d`, `… j e` | `dq`, `dk`, `dv` |
#
# **Predict.** For the photograph, in bytes: what is kept beside q, k and v, with the map and
# without?
#
# <details><summary>Answer</summary>
#
# The map is 764 MB. $y$ and $L$ are $13824 \cdot (3 + 1) \cdot 4 = 221{,}184$ bytes.
#
# </details>

# %% [markdown]
# ### Exercise: `attention_gradients`
#
# Make the map whole here, from `lse`; the library does it tile by tile.

# %% exercise="fast.attention_gradients"

# %%
check("fast.attention_gradients", attention_gradients)

# %% [markdown]
# Stuck? `hint("fast.attention_gradients")`. To read on without solving it:
# `from solutions.fast.tiles import attention_gradients`.
#
# Both together are an operation that torch can differentiate:


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
both, grads = (Tiled.apply, scaled_dot_product_attention), []
for attend in both:
    print(f"largest tensor kept for the way back: {largest_kept(partial(attend, *x)):,}")
    grads.append(torch.autograd.grad(attend(*x), x, dy))
for name, ours, theirs in zip("qkv", *grads, strict=True):
    claim((ours - theirs).abs().max() < 1e-5, f"d{name}: the gradient that autograd finds")

# %% [markdown]
# **What you should see.** Equal gradients; kept are 12,800 numbers at most,
# $2 \cdot 4 \cdot 100 \cdot 16$, and not the 80,000 of the map. To compute a thing twice in order
# not to keep it costs time in theory. In practice keeping has its price as well: next section.
#
# ### Ablation: without δ
#
# **Predict.** If all scores of a row rise by the same amount, nothing changes. What does that say
# of $\sum_j ds_{ij}$? Does it hold without $\delta$?
#
# <details><summary>Answer</summary>
#
# It is 0. And $\sum_j A_{ij} (dy_i \cdot v_j - \delta_i) = \delta_i - \delta_i$. Without $\delta$
# it is $\delta_i$.
#
# </details>

# %%
q, k, v = (part[0, 0].detach() for part in x)
y, lse = attention_by_tiles(q, k, v, tile=64)
shares = (q @ k.mT / 4 - lse[:, None]).exp()
slope, delta = dy[0, 0] @ v.mT, (dy[0, 0] * y).sum(-1, keepdim=True)
claim((shares * (slope - delta)).sum(-1).abs().max() < 1e-5, "with δ the rows sum to 0")
claim(((shares * slope).sum(-1) - delta[:, 0]).abs().max() < 1e-5, "without, to δ")

# %% [markdown]
# **What you should see.** Both claims. Without δ the gradient asks all scores of a row to rise or
# to fall together, which would change nothing; through q and k it then moves what should stay.

# %% [markdown]
# ## 11.5 Bytes and operations
#
# A processor computes, and it fetches numbers from memory. Both take time, and both go on at
# once. How much of either does this machine do in a second? A large matrix product measures one,
# a large copy the other.

# %% tags=["nbval-ignore-output"]
a, b, c = (torch.randn(1024, 1024) for _ in range(3))
x, z = torch.randn(2**24), torch.randn(2**24)
rate = 2 * 1024**3 / seconds(partial(torch.mm, a, b, out=c))
bandwidth = 2 * 4 * 2**24 / seconds(partial(z.copy_, x))  # 4 bytes each, read and written
print(f"{rate / 1e9:.0f} billion operations a second, {bandwidth / 1e9:.1f} billion bytes")
print(f"while one byte moves, {rate / bandwidth:.0f} operations could be done")
claim(rate / bandwidth > 1, "computing is the cheaper of the two")

# %% [markdown]
# Now count what attention moves, for one head, in numbers. With its map in memory: q, k and v are
# read and y is written; scores are written, read by the softmax; shares are written, and read for
# the product with v. With `rows` queries at a time scores never leave the chip; but each such
# tile reads k and v anew.
#
# | | what it is |
# |---|---|
# | `traffic(n, d)` | numbers moved with the map: $4 n d + 4 n^2$ |
# | `traffic(n, d, rows)` | without it: q and y once, k and v once a tile of queries |

# %% [markdown]
# **Predict.** For $n = 1024$, $d = 64$: how many numbers with the map, how many with 256 queries
# at a time?
#
# <details><summary>Answer</summary>
#
# $4 \cdot 1024 \cdot 64 + 4 \cdot 1024^2 = 4{,}456{,}448$. In four tiles:
# $2 \cdot 1024 \cdot 64 \cdot (1 + 4) = 655{,}360$, a seventh.
#
# </details>
#
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
print("operations a byte, d = 64      map    64 rows   256 rows")
for n in (256, 1024, 4096, 65536):
    intensity = [4 * n * n * 64 / (4 * traffic(n, 64, rows)) for rows in (None, 64, 256)]
    print(f"n = {n:6}              ", "   ".join(f"{each:8.2f}" for each in intensity))
claim(intensity[0] < 64 / 4, "with the map at most d / 4 operations a byte, however long")
claim(intensity[2] < 256 / 2, "with tiles at most rows / 2")

# %% [markdown]
# **What you should see.** Attention makes $2 n^2 d$ multiply-adds, $4 n^2 d$ operations. With the
# map they come to $n d / 4 (n + d)$ for each of the bytes, at most $d / 4 = 16$. With tiles, to
# $n / 2 (1 + n / \text{rows})$, at most $\text{rows} / 2$. The work is the same; tiles fetch it
# fewer times.
#
# ### The floor
#
# No program can be faster than the slower of the two, even if both go on all the time:
#
# $$ t \ge \max\left( \frac{2\,\text{multiply-adds}}{\text{rate}},\;
# \frac{\text{bytes}}{\text{bandwidth}} \right) $$

# %% [markdown]
# This is the *roofline* of Williams, Waterman and Patterson (2009).
#
# | | unit |
# |---|---|
# | `multiply_adds`, `bytes` | what has to be done |
# | `rate`, `bandwidth` | operations, and bytes, a second |
# | `floor_seconds(…)` | seconds |
#
# **Predict.** 100 billion operations and 10 billion bytes a second, one head, $n = 4096$,
# $d = 64$, in float32, with the map. What is the floor? And if the processor computes ten times
# as fast?
#
# <details><summary>Answer</summary>
#
# $4 \cdot 4096^2 \cdot 64 = 4.29 \cdot 10^9$ operations: 43 ms.
# $4 \cdot (4 n d + 4 n^2) = 273 \cdot 10^6$ bytes: 27 ms. So 43 ms, from computing. Ten times as
# fast: 4.3 and 27, so 27 ms, from memory.
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
#
# Now measure. *Eager* attention makes its map with three calls of torch; *fused* is torch's own,
# by tiles. Both take turns, four heads, and you have foretold both:


# %%
def eager(q, k, v):
    """Attention with its map, each step a call of torch."""
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def floors(n, rows, heads=4, d=64):
    """What you foretell, in seconds, with the map or with some rows at a time."""
    work, moved = 2 * heads * n**2 * d, 4 * heads * traffic(n, d, rows)
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
    told = floors(n, None), measured["eager"][-1], floors(n, 256), measured["fused"][-1]
    print(f"{n:5}", "{:15.2f} {:9.2f} {:15.2f} {:9.2f}".format(*(1e3 * t for t in told)))

# %% tags=["nbval-ignore-output"]
a_byte = torch.logspace(0, 2.7, 100)
roof = torch.minimum(bandwidth * a_byte, torch.tensor(rate)) / 1e9
work, shown = 4 * 4 * 64 * torch.tensor(lengths) ** 2 / 1e9, []
for name, rows, mark in (("eager", None, "C1o"), ("fused", 256, "C2s")):
    x = [4 * n**2 * 64 / (4 * traffic(n, 64, rows)) for n in lengths]
    told = torch.tensor([floors(n, rows) for n in lengths])
    shown.append((x, work / told, f"{name}, foretold", mark, "none"))
    shown.append((x, work / torch.tensor(measured[name]), f"{name}, measured", mark, None))

# %% tags=["nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.2, 3.2))
title = "What is measured stays under what is foretold"
plots.lines(
    ax, a_byte, {"roof": roof}, "operations a byte", "billion operations a second", title
)
for x, y, name, mark, fill in shown:
    ax.plot(x, y, mark, mfc=fill, label=name)
ax.set(xscale="log", yscale="log")
ax.legend(loc="lower right")
alt = "A roof: a slope, then level. Hollow marks on it, full circles far below, squares near."
plots.show(fig, alt)

# %%
least = [floors(n, 256) for n in lengths]
for name in measured:
    slack = min(t / each for t, each in zip(measured[name], least, strict=True))
    claim(slack > 0.5, f"{name}: not faster than the floor of tiles")
claim(measured["fused"][-1] < measured["eager"][-1], "4096 tokens: fused is quicker than eager")

# %% [markdown]
# **What you should see.** Fused lies near the level part of the roof: it computes most of the
# time. Eager is foretold about as high, near the bend, and takes several times as long. So bytes,
# counted as above, do not explain eager's time on a CPU. Where the roof bends further to the
# right they explain more; *measured on a GPU: none, here.*

# %% [markdown]
# ### Ablation: where eager's time goes
#
# **Predict.** Three calls: $q k^\top$, the softmax, the product with v. If each had only to
# compute and to move what the count says, which is the longest?

# %% [markdown]
# <details><summary>Answer</summary>
#
# The products have all the counted operations; the softmax only moves $2 n^2$ numbers and takes
# $n^2$ exponentials, which nobody counted. And one thing more was not counted: a new tensor of
# this size comes from the system, which clears it page by page before anyone writes.
#
# </details>

# %% tags=["nbval-ignore-output"]
q, k, v = torch.randn(3, 4, 2048, 64)
scores, shares, y = torch.empty(4, 2048, 2048), torch.empty(4, 2048, 2048), torch.empty_like(q)
stages = {
    "q k": partial(torch.bmm, q, k.mT, out=scores),
    "softmax": partial(torch.softmax, scores, -1, out=shares),
    "A v": partial(torch.bmm, shares, v, out=y),
    "all three, into new tensors": partial(eager, q, k, v),
}
spent = {name: median(times) for name, times in turns(stages, rounds=5).items()}
for name, time in spent.items():
    print(f"{name:28} {1e3 * time:7.1f} ms")

# %% tags=["nbval-ignore-output"]
print(f"the three together {1e3 * sum([*spent.values()][:3]):.1f} ms", end="; ")
print(f"floor of one product {500 * floors(2048, None):.1f} ms")

# %% [markdown]
# **What you should see.** On the machine that wrote this, the three need about half of what
# `eager` does, where they write into memory that is there already. The rest is dividing by
# $\sqrt d$, which reads and writes the map once more, and new memory. Of the half, the softmax
# takes about as long as a product. A floor tells what cannot be; where the time goes has to be
# measured.

# %% [markdown]
# ## 11.6 Neighbours share their keys
#
# Chapter 9 copied a window for each pixel: 49 times every key, for a window of 7. But neighbours
# want nearly the same keys. Give a block of 4 x 4 queries one *halo* of keys, 10 x 10, and let
# each query hide those that are not in its own window. Two blocks (solid) and their halos
# (dashed):

# %%
flower = photograph("flower", 56, 56)
fig, ax = plt.subplots(figsize=(4.2, 4.2))
plots.image(ax, flower, "Blocks of 4 x 4 queries, and two halos")
for n in range(0, 57, 4):
    ax.plot((n - 0.5, n - 0.5), (-0.5, 55.5), color="white", lw=0.3)
    ax.plot((-0.5, 55.5), (n - 0.5, n - 0.5), color="white", lw=0.3)
for y, x in ((24, 20), (0, 52)):
    frame = partial(plt.Rectangle, fill=False, color="#e69f00", lw=2)
    ax.add_patch(frame((x - 0.5, y - 0.5), 4, 4))
    ax.add_patch(frame((x - 3.5, y - 3.5), 10, 10, ls="--"))
ax.set(xlim=(-5, 60), ylim=(60, -5))
plots.show(fig, "An orange dahlia under a fine grid; two squares, each in a larger dashed one.")

# %% [markdown]
# $$ \text{halo} = \text{block} + \text{window} - 1 $$
#
# **Predict.** For window 7 and blocks of 4: how many scores are computed for each one that is
# needed? How often is each key copied? And for which block are these two equal?
#
# <details><summary>Answer</summary>
#
# A query meets $10^2$ keys and needs $7^2$: 2.04 times the scores. A block of 16 queries copies
# 100 keys: 6.25 times each. In general $\text{halo}^2 / \text{window}^2$ and
# $\text{halo}^2 / \text{block}^2$: equal where block = window, at 3.45.
#
# </details>

# %%
blocks = torch.arange(1, 29)
halo = (blocks + 6.0) ** 2
curves = {"scores done / needed": halo / 49, "copies of a key": halo / blocks**2}
fig, ax = plt.subplots(figsize=(5.6, 2.6))
title = "Small blocks copy, large ones compute in vain"
plots.lines(ax, blocks, curves, "block", "times", title)
ax.set(yscale="log", xticks=(1, 4, 7, 14, 28))
ax.axvline(7, color="black", ls=":", lw=0.8)
plots.show(fig, "A rising and a falling curve that cross where the block is 7, the window.")

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `b head d h w`, … `e h w` | as in chapter 9; q comes scaled |
# | `window`, `block` | | an odd number; any number |
# | `halo_attention(…)` | `b head e h w` | as local attention, without tables of places |
#
# ### Exercise: `halo_attention`
#
# Any map: fill it up to whole blocks, and cut it afterwards. A query of the padding may see no
# key at all: then $-\infty$ makes NaN of it, and in training of everything.
# `unfold(axis, halo, block)` cuts overlapping pieces. The check counts your largest tensor.

# %% exercise="fast.halo_attention"

# %%
check("fast.halo_attention", halo_attention)

# %% [markdown]
# Stuck? `hint("fast.halo_attention")`. To read on without solving it:
# `from solutions.fast.halo import halo_attention`.
#
# Use it: chapter 9's filter for noise, by colours alone, on 56 x 56 pixels. And the library's
# fast ways, beside the reference:

# %%
torch.manual_seed(0)
noisy = flower + 0.1 * torch.randn_like(flower)
q, k, v = (rearrange(x, "(h w) d -> 1 1 d h w", h=56) for x in alike(noisy, sigma=0.3))
ways = ["blocked"] + ["native"] * (not local.cannot(q, 7))
none = torch.zeros(1, 7, 2)  # no places: tables of zeros
slow = stand_alone.local_attention(q / 2, k, v, none, none, 7)
y = halo_attention(q / 2, k, v, window=7, block=4)
claim((y - slow).abs().max() < 1e-5, "blocks: the reference, on a photograph")
for name in ways:
    fast = local.local_attention(q / 2, k, v, none, none, 7, name)
    assert (fast - slow).abs().max() < 1e-5, name

# %%
fig, axs = plt.subplots(1, 3, figsize=(6.2, 2.2))
smooth = rearrange(halo_attention(q / 2, k, v, 7, 4), "1 1 c h w -> h w c")
for ax, (name, picture) in zip(
    axs, {"clean": flower, "noisy": noisy, "by blocks": smooth}.items(), strict=True
):
    off = (picture - flower).square().mean().sqrt()
    plots.image(ax, picture.clamp(0, 1), f"{name}, off by {off:.3f}")
plots.show(fig, "A dahlia, the same with coloured noise, and again with most of it gone.")
claim(off < 0.05, "half of the noise is gone, and more")

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
claim(spent["blocked"] < spent["reference"], "blocks are faster than windows")

# %% [markdown]
# **What you should see.** The same picture from all, and blocks several times as fast as windows,
# in plain PyTorch. *native* is the same idea in C, where a compiler is found: 16 pixels at a
# time, their scores in registers, no window and no map anywhere. It comes near a convolution of
# equal width. If you do not see it, `attncourse info` says why.

# %% [markdown]
# ### Ablation: the block
#
# **Predict.** Multiply-adds grow with the block, copies fall. Which block is the fastest for a
# window of 7: 1, 2, 4, 7, 14 or 28?
#
# <details><summary>Answer</summary>
#
# Not to be worked out from two curves, for a copy and a score do not cost the same. Between the
# ends, and at most 7: beyond, copies hardly fall any more.
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
claim(spent[4] < spent[28] and spent[4] < spent[1], "4 is faster than 1, and than 28")

# %% [markdown]
# **What you should see.** A minimum in the middle; on the machine that wrote this at 4 to 7, and
# the largest tensor is the smallest there too: copies before, scores behind. HaloNet's authors,
# who have accelerators, take larger blocks: a matrix unit wants large products, and what it
# computes in vain costs it less.

# %% [markdown]
# ## 11.7 Places as features
#
# Fused attention knows no relative positions, and with an `attn_mask` for them there is a map
# again, and no way back through it. Chapter 8 found a form without: a query says what it thinks
# of each row and of each column, and a key carries a 1 for its own row and one for its column.
#
# $$
# q' = \frac{[\,q,\; q R,\; q C\,]}{\sqrt d} \qquad k' = [\,k,\; 1_y,\; 1_x\,] \qquad
# q' \cdot k' = \frac{q \cdot (k + R + C)}{\sqrt d}
# $$

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `q`, `k`, `v` | `… h w d`, … `e` | one of each for every pixel |
# | `rows`, `columns` | `r d`, `s d` | tables for the offsets -(h - 1) … h - 1, and of w |
# | `augmented_attention(…)` | `… h w e` | as `relative_attention_2d` of chapter 8 |
#
# **Predict.** A map of 40 x 40, $d = 32$: how many numbers are the scores of a head, how many the
# longer queries? And how many more multiply-adds does it take than attention without places?
#
# <details><summary>Answer</summary>
#
# $1600^2 = 2{,}560{,}000$, and $1600 \cdot (32 + 40 + 40) = 179{,}200$, a 14th. The first product
# is 112 long instead of 32, and the second as well, for the kernel wants v as wide:
# $112 / 32 = 3.5$ times.
#
# </details>

# %% [markdown]
# ### Exercise: `augmented_attention`
#
# One call of `F.scaled_dot_product_attention` with `scale=1`. It takes a slow way, without a
# word, unless q, k and v are of one width and contiguous: fill up with zeros, and cut.

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
claim((ours() - with_map()).abs().max() < 1e-4, "chapter 8's attention, without its map")
for name, call in (("with the map", with_map), ("augmented", ours)):
    cost = counting.count(call)
    print(f"{name:13} largest tensor {cost.largest_tensor:10,}   {cost.multiply_adds:13,}")

# %% tags=["nbval-ignore-output"]
plain = [rearrange(x, "b head h w d -> b head (h w) d") for x in (q, k, v)]
ways = {"no places": partial(F.scaled_dot_product_attention, *plain)}
ways |= {"augmented": ours, "with the map": with_map}
spent = turns(ways, rounds=5)
for name, times in spent.items():
    each = [t / none for t, none in zip(times, spent["no places"], strict=True)]
    print(f"{name:13} {median(each):5.2f} times as long as without places")

# %% [markdown]
# **What you should see.** Equality; 716,800 numbers against 10 million. Time is near the 3.5 of
# the count, and the map takes longer still, though it computes less: it has to be had. The
# library's own way makes the scores of some queries at a time and adds rows and columns to them;
# it does not pay the 3.5. Section 11.11 has its times.
#
# ### Ablation: one width too many
#
# **Predict.** Do not fill v up: 112 features for q and k, 32 for v. The result is the same. What
# is the largest tensor?

# %% [markdown]
# <details><summary>Answer</summary>
#
# $4 \cdot 1600^2 = 10{,}240{,}000$: torch takes the way that builds the map. Nothing says so, and
# nothing is wrong, it is only slow.
#
# </details>

# %%
long_q, long_k = relative_2d.augmented_pair(q / math.sqrt(32), k, rows, columns)
whole = F.pad(plain[2], (0, 80))
for name, v_ in (("v as it is", plain[2]), ("v filled up", whole)):
    call = partial(F.scaled_dot_product_attention, long_q, long_k, v_, scale=1.0)
    print(f"{name:11}: largest tensor {counting.count(call).largest_tensor:10,}")

# %% [markdown]
# **What you should see.** 10,240,000 against 716,800. A fast path has conditions. Whoever relies
# on one counts, or times, and does not trust the name of a function.

# %% [markdown]
# ## 11.8 A kernel in Triton
#
# On a GPU thousands of *programs* run at once, each with a little fast memory of its own. Triton
# is a language for one such program, written in Python and compiled for the GPU. Without a GPU
# its *interpreter* runs the programs one after the other, on tensors of the CPU. There is Triton
# for Linux alone; without it read on, nothing later needs it.

# %% tags=["nbval-ignore-output"]
device = "cuda" if torch.cuda.is_available() else "cpu"
print(gpu.available(device) or f"Triton runs here, on {device}")

# %% [markdown]
# The kernel is in `solutions/fast/kernel_triton.py`. It begins with who I am: which queries are
# mine.
#
# ```python
#     tile, head = tl.program_id(0), tl.program_id(1)
#     i = tile * ROWS + tl.arange(0, ROWS)  # our queries
#     some_q = tl.load(q + place, (i < queries)[:, None] & (feature < d), 0.0)
# ```
#
# `q` is an address, `place` a matrix of distances from it: one load fetches ROWS x D numbers.
# There is no end of a tensor that would stop it. The mask does: behind the last query, and beyond
# the last feature, 0 is put.

# %% [markdown]
# Then a loop, over the keys:
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
# `largest`, `total` and `read` stay in registers from one tile to the next. Only behind the loop
# is something written, once: `read / total`, and `largest + tl.log(total)`. The step is yours.

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `scores`, `v` | `i j`, `j e` | of this tile; $-\infty$ for keys that do not exist |
# | `largest`, `total` | `i` | $m$ and $l$ so far; before the first tile $-\infty$ and 0 |
# | `read` | `i e` | $y$ so far, before it is divided |
#
# **Predict.** 100 queries and keys, 8 heads, ROWS = 16, COLUMNS = 32: how many programs are
# there? How many keys of the last tile exist?
#
# <details><summary>Answer</summary>
#
# $\lceil 100 / 16 \rceil \cdot 8 = 56$. $100 - 3 \cdot 32 = 4$.
#
# </details>

# %% [markdown]
# ### Exercise: `online_step`
#
# In Triton's language: `tl.maximum(a, b)`, `tl.max(x, axis)`, `tl.sum(x, axis)`, `tl.exp`,
# `tl.dot(a, b, input_precision="ieee")`; `x[:, None]` adds an axis. No einops, no methods of
# torch.

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
    claim((found[0] - y).abs().max() < 1e-4, "216 pixels: as tiles in PyTorch")
    claim((found[1] - lse).abs().max() < 1e-4, "and so is the log-sum-exp")
    print("the features, 4 and 3, were filled up to 16")

# %% [markdown]
# **What you should see.** Two equalities, where Triton runs: your step, in a loop that somebody
# else wrote, is attention. 216 queries are $13.5 \cdot 16$, and 216 keys $6.75 \cdot 32$: the
# last of both were masked.
#
# ### Ablation: the last tile not masked
#
# **Predict.** Leave the `tl.where` out. The 28 keys that do not exist were loaded as 0 and have
# score 0 and value 0. What becomes of $y$, for 100 keys whose scores are 0 as well?

# %% [markdown]
# <details><summary>Answer</summary>
#
# The sum is 128 instead of 100, what is read stays: 0.781 of what it should be. With large scores
# the mistake is small and with 96 keys there is none. That is how such a thing survives its
# tests.
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
# **What you should see.** 0.7812, and more as one score towers over the rest. Test kernels with
# sizes that are no multiple of anything, and with scores near 0.
#
# ### What a GPU does differently, and the interpreter does not show
#
# | | on a GPU | in the interpreter |
# |---|---|---|
# | programs | many at once, in any order | one after the other: no race shows |
# | dots narrower than 16 | refused | computed |
# | bfloat16 | native | wrong results: so the kernel casts to float32 |
# | fast memory | a tile too large does not start | unlimited |
# | time | what all this is for | says nothing |

# %% [markdown]
# So a pass in the interpreter is necessary, not sufficient. The library's kernels are also
# compiled ahead of time for two generations of GPUs, which needs none, and fast memory is
# checked.
#
# **Predict.** A program on an H100 may have 232,448 bytes of shared memory. 128 queries, tiles of
# 128 keys, $d = e = 64$, float32: do q, k, v and the scores fit? And for $d = 128$?
#
# <details><summary>Answer</summary>
#
# $4 \cdot (3 \cdot 128 \cdot 64 + 128^2) = 163{,}840$: yes.
# $4 \cdot (3 \cdot 128 \cdot 128 + 128^2) = 262{,}144$: no. Smaller tiles then, or numbers of 2
# bytes.
#
# </details>
#
# How much faster it is on a GPU this notebook does not say: it ran without one.

# %% [markdown]
# ## 11.9 Patterns as functions
#
# Who writes a kernel for each pattern has many kernels. *FlexAttention* of torch has one, and you
# give it a function of indices: whether query i sees key j (`mask_mod`), or what its score
# becomes (`score_mod`). Compiled, your function ends up inside of a kernel as above. Here it runs
# uncompiled, and makes the map: right numbers, no speed.
#
# | | |
# |---|---|
# | `batch`, `head`, `i`, `j` | indices; pixels of a flattened map: $i = h \cdot \text{width} + w$ |
# | `mask_mod(batch, head, i, j)` | True where it counts |
# | `score_mod(score, batch, head, i, j)` | the new score |

# %% [markdown]
# **Predict.** On a map 10 wide, window 3: is key 20 seen by query 9? And key 19?
#
# <details><summary>Answer</summary>
#
# Query 9 is the last of row 0; 20 is the first of row 2: no. 19 is the last of row 1, right
# below: yes. By $|i - j| \le 11$ alone, key 20 would be seen, and key 10 too, which is at the
# other end of the next row.
#
# </details>
#
# ### Exercise: `local_mod`
#
# Chapter 9's window: rows and columns at most `window // 2` apart. It has to work for whole
# numbers and for tensors of them: `//`, `%`, `abs`, `&`; no `if`, no `and`.

# %% exercise="fast.local_mod"

# %%
check("fast.local_mod", local_mod)

# %% [markdown]
# Stuck? `hint("fast.local_mod")`. To read on without solving it:
# `from solutions.fast.mods import local_mod`.
#
# ### Exercise: `sparse_mod`
#
# Chapter 10's strided pattern, merged: causal, and one of the last `stride` keys or a multiple of
# `stride` back.

# %% exercise="fast.sparse_mod"

# %%
check("fast.sparse_mod", sparse_mod)

# %% [markdown]
# Stuck? `hint("fast.sparse_mod")`. To read on without solving it:
# `from solutions.fast.mods import sparse_mod`.
#
# ### Exercise: `relative_mod`
#
# Chapter 8's places: `down[batch, head, i, y]` is what query i says to row y,
# `across[batch, head, i, x]` to column x; add those of the key's row and column. `width` is that
# of the map.

# %% exercise="fast.relative_mod"

# %%
check("fast.relative_mod", relative_mod)

# %% [markdown]
# Stuck? `hint("fast.relative_mod")`. To read on without solving it:
# `from solutions.fast.mods import relative_mod`.

# %%
i, j = torch.arange(60)[:, None], torch.arange(60)
seen = local_mod(0, 0, i, j, width=10, window=5), sparse_mod(0, 0, i, j, stride=8)
down, across = -(torch.arange(6) - i // 10).abs(), -(torch.arange(10) - i % 10).abs()
places = relative_mod(0, 0, 0, i, j, down[None, None], across[None, None], width=10)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.5))
plots.heat(axs[0], seen[0], "key j", "query i", "window 5, 10 wide", bar=False)
plots.heat(axs[1], seen[1], "key j", "", "strided, 8", bar=False)
plots.signed(axs[2], places, "key j", "", "rows, columns: near is 0", bar=False)
plots.show(
    fig, "A band of short stripes; a band and diagonals below; a blue plaid, pale where near."
)


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
claim((near - theirs).abs().max() < 1e-5, "local_mod: chapter 9's attention, without places")
few = flex(*tokens, partial(sparse_mod, stride=8))
theirs = sparse.sparse_attention(*tokens, "strided", 8)
claim((few - theirs).abs().max() < 1e-5, "sparse_mod: chapter 10's, strided and merged")

# %%
q, k, v = (torch.randn(2, 3, 6, 10, 8) for _ in range(3))
rows, columns = torch.randn(11, 8), torch.randn(19, 8)
down, across = relative_2d.axis_logits(q / math.sqrt(8), rows, columns)
said = [rearrange(x, "b head h w n -> b head (h w) n") for x in (down, across)]
tokens = [rearrange(x, "b head h w d -> b head (h w) d") for x in (q, k, v)]
mod = partial(relative_mod, down=said[0], across=said[1], width=10)
places = rearrange(flex(*tokens, score_mod=mod), "b head (h w) d -> b head h w d", h=6)
theirs = relative_2d.relative_attention_2d(q, k, v, rows, columns, "naive")
claim((places - theirs).abs().max() < 1e-5, "relative_mod: chapter 8's")

# %% [markdown]
# **What you should see.** Three chapters' attention from three short functions: a great deal. Two
# things it is not, with the torch that this course pins. On a CPU there is no way back. And a
# `score_mod` with tables reads memory for each score.

# %% [markdown]
# ### Ablation: the order of the tokens
#
# What a mask saves is whole tiles: one that holds a single pair is computed. Let a tile be 16 x
# 16 and a map 32 x 32, window 7.
#
# **Predict.** Which share of tiles is computed if pixels come row by row? And if they come in
# blocks of 4 x 4?

# %% [markdown]
# <details><summary>Answer</summary>
#
# 4.8 % of the pairs are needed, 49 of 1024, at the edges less. Row by row a tile of queries is
# half a row; it meets 7 rows of which it needs both halves: 14 of 64 tiles, 22 %. In blocks a
# halo of 10 x 10 touches 3 x 3 blocks: 9 of 64, 14 %. Edges make it less.
#
# </details>

# %%
i, j = torch.arange(1024)[:, None], torch.arange(1024)
near = local_mod(0, 0, i, j, width=32, window=7)
order = fast_tasks.in_blocks_of(4, 32, 32)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 3.0))
orders = {"row by row": near, "in blocks of 4 x 4": near[order][:, order]}
for ax, (name, mask) in zip(axs, orders.items(), strict=True):
    tiles = fast_tasks.tiles_touched(mask, 16)
    title = f"{name}: {tiles.float().mean():.1%}"
    plots.heat(ax, tiles, "tile of keys", "tile of queries", title, bar=False)
plots.show(fig, "Left, a broad band; right, a thin band with a thin one on each side of it.")
print(f"pairs that count: {near.float().mean():.1%}")

# %% [markdown]
# **What you should see.** 20.7 % and 11.8 % for the same 4.3 % of pairs. The order of tokens is
# free to choose, and it decides what a tiled kernel can leave out. Section 11.6 did no more than
# that.

# %% [markdown]
# ### Use it: a pattern of dense pieces
#
# Chapter 10's fixed pattern reads the own block and the last token of each block before. In rows
# of one block the first part is dense, and causal. In the order *place by place* so is the
# second: the query of block $b$ sees the ends of blocks $0 \dots b - 1$. Two dense pieces, and
# `merge`.
#
# **Predict.** How many pairs does it have for 4096 tokens and blocks of 64, how many has dense
# causal attention?
#
# <details><summary>Answer</summary>
#
# A query has $(1 + 64) / 2$ keys in its block and $(0 + 63) / 2$ ends on average: 64 together, so
# $4096 \cdot 64 = 262{,}144$. Dense: $4096 \cdot 4097 / 2 = 8{,}390{,}656$, 32 times as many.
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
claim((ours - theirs).abs().max() < 1e-5, "two dense pieces are the pattern, exactly")
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
claim(median(spent["fixed"]) < median(spent["dense"]), "pieces are faster than dense")

# %% [markdown]
# **What you should see.** Equality, and a sixth of the multiply-adds for 144 tokens; what the
# causal masks hide is counted in both. The library does the same with torch's fused attention for
# each piece, also on the way back: at 4096 tokens it is several times as fast as dense attention,
# though not 32 times, for pieces are small and merging reads y once more. Memory grows as n, as
# for dense fused attention: what chapter 10 had to give up for its speed comes back.

# %% [markdown]
# ## 11.10 Measuring without fooling oneself
#
# A processor that works gets warm and slows down; other programs come and go. `Warming` is a
# machine with a clock of its own that does so in the same way every time: its m-th piece of work
# takes $1 + m / 100$ seconds, m from 0. Two programs, *ours* and *theirs*, are the same piece of
# work. Measure one 20 times, then the other 20 times.
#
# **Predict.** Which medians come out? How much faster is ours?
#
# <details><summary>Answer</summary>
#
# Ours is m = 0 … 19, median 1.095. Theirs 20 … 39, median 1.295. Ours is 1.18 times as fast, and
# they are the same.
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

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4), sharey=True)
m = torch.arange(40)
ways = {"one after the other": (m[:20], m[20:], now), "in turns": (m[::2], m[1::2], then)}
for ax, (title, (*places, spent)) in zip(axs, ways.items(), strict=True):
    for mark, where, (name, times) in zip("os", places, spent.items(), strict=True):
        ax.plot(where, times, mark, label=name, ms=3)
    ax.set(xlabel="piece of work", title=title)
axs[0].set(ylabel="seconds")
axs[0].legend()
plots.show(fig, "A rising line of dots, twice: left, two halves; right, two kinds by turns.")

# %% [markdown]
# In turns both pay for the same warmth, and what differs from round to round cancels if the ratio
# is taken *within* each round. Then the median, and, since one number does not say how sure it
# is, the least and the most.
#
# | | axes | what it is |
# |---|---|---|
# | `ours`, `theirs` | ` round` | seconds, of the same rounds |
# | `ratio(ours, theirs)` | three numbers | median, least and most of ours / theirs |
#
# **Predict.** Rounds of (1, 1), (1, 1) and (9, 3) seconds: the median of the ratios? The ratio of
# the means?
#
# <details><summary>Answer</summary>
#
# The ratios are 1, 1, 3: median 1. The means are 11/3 and 5/3: 2.2, by one bad round.
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


# %%
print("it gets warm:          ", compare(Warming(slower=0.01)))
cold = Warming(cold=30)
cold.work("theirs")  # it has run before; ours has not
print("cold start, not warmed:", compare(cold, rounds=3, warm=0))
print("others, now and then:  ", compare(Warming(late=20, every=7)))
print("others, in step:       ", compare(Warming(late=20, every=6)))

# %% [markdown]
# **What you should see.** Medians of 0.99 or 1 throughout. Means are right as long as both are
# hit alike: a cold start of ours alone makes it eleven times as slow, and a disturbance at every
# sixth piece of work hits always *theirs*: eight times. Medians stand it. The 0.99 of the first
# line: theirs comes second in each round, when the machine is a little warmer.
#
# ### Ablation: rounds that turn round
#
# **Predict.** Let every second round begin with theirs. What becomes of the 0.99?

# %%
machine, found = Warming(slower=0.01), {"ours": [], "theirs": []}
for n in range(20):
    order = ("ours", "theirs") if n % 2 == 0 else ("theirs", "ours")
    spent = turns({name: machine.work for name in order}, 1, machine.now, warm=0)
    for name, (time,) in spent.items():
        found[name].append(time)
middle, least, most = ratio(*map(torch.tensor, found.values()))
print(f"median {middle:.4f}, {least:.3f} to {most:.3f}")
claim((middle - 1).abs() < 1e-3, "same work, same time")

# %% [markdown]
# **What you should see.** 1.000. Now this machine, which is no made-up one. The same doubling of
# 64 MB into a new tensor and into one that is there; the same product of matrices with its
# numbers in the cache, and after others were there; and a first call.
#
# **Predict.** Which of them makes how much of a difference?

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
# **What you should see.** Differences by a factor, from nothing but circumstances.

# %% [markdown]
# So:
#
# 1. Warm up: what is loaded, compiled or cached first does not count, unless you ask for it.
# 2. Take turns, in one process; ratios within a round; median, least and most.
# 3. Name machine, threads, allocator, versions. The processor's clock adds up threads: take it
#    for one thread only.
# 4. Both have to return the same.
# 5. Put the floor beside it: what is far from it can still become faster.
# 6. Compare with what one would use otherwise, not with the slowest thing that one can write.

# %% [markdown]
# ## 11.11 What it came to
#
# `solutions/fast` was written to goals that were set before. `attncourse bench` measures as
# section 11.10 has it: in turns, ratios within a round, beside what one would use instead, with
# floors. What was kept is in `results/`. First local attention, window 7, at the size at which
# most ways were measured:

# %%
kept = result("fast_local")
forward, both = (benchmarks.ways(kept, way) for way in ("forward", "forward + backward"))
size = max(forward, key=lambda size: len(forward[size]))
print(f"{kept['hardware']}, {kept['threads']} thread; {size}")
print(f"{'milliseconds':20}   forward   forward + backward")
for name, time in forward[size].items():
    back = both[size].get(name)
    print(f"{name:20}   {time:7.2f}   {'no way back' if back is None else f'{back:18.2f}'}")
claim(
    forward[size]["native"] < forward[size]["unfold"] / 10, "native: a tenth of unfold's time"
)

# %% [markdown]
# **What you should see.** *unfold* is what the popular repositories do, *reference* is chapter
# 9's, and *native* is near the convolution, with a way back. Others have kernels for GPUs in
# mind; on a CPU they are far behind, and some cannot go back.

# %% [markdown]
# Now all goals. Each names its sizes, and counts as reached where it is reached at all of them.
# The table has what was measured at the worst size; the figure has it as a share of the goal,
# where 1 is reached and 0.5 is half of it.

# %%
told = benchmarks.goals()
for goal in told:
    worst = benchmarks.worst(goal)
    value = "-" if worst is None else f"{worst:.3g}"
    who = f"{goal['way']} / {goal['over'] or 'alone'}"
    asks = goal["asks"].replace("forward + backward", "both ways")
    print(f"{goal['part']:9} {who:33.33} {asks:38.38} {value:>6} {goal['verdict']}")

# %%
fig, ax = plt.subplots(figsize=(6.4, 7))
benchmarks.draw_goals(ax, told)
plots.show(
    fig, "A dot for each goal about a line at 1: green right of it, the others left of it."
)

# %%
verdicts = [goal["verdict"] for goal in told]
reached, unknown = verdicts.count("reached"), verdicts.count("not measured")
print(f"{len(told)} goals: {reached} reached at all of their sizes, {unknown} not measured,")
print(f"{len(told) - reached - unknown} missed at some or all")

# %% [markdown]
# **What you should see.** Goals reached, goals reached at some sizes, and goals missed; those of
# GPUs are not measured where nobody had one. A goal that was missed stands there as one. Where it
# has to do with how *fast others became* (torch's fused attention on a CPU, a convolution), the
# floor beside it in `results/` says how much is left to gain.

# %% [markdown]
# ## What to take along
#
# | | without | with |
# |---|---|---|
# | softmax | three passes, a whole row | one pass, $m$ and $l$ that fade |
# | the map | $n^2$ numbers | a tile, and $L$ for the way back |
# | operations a byte | at most d / 4 | at most rows / 2 |
# | windows | window² copies of a key | (halo / block)² copies |
# | relative places | a bias as large as the map | h + w features more |
# | a pattern | a kernel each | a function of indices |
# | a number | one run after the other | turns, ratios in a round, a floor |
#
# Chapter 12 puts every mechanism into one backbone, with one budget.
