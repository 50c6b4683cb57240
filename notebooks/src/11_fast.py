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
from attncourse import check, counting, fast_tasks, hint, plots
from attncourse.claims import claim
from attncourse.data import photograph
from attncourse.fast_tasks import Warming, alike, how_many, seconds, turns
from attncourse.results import result
from solutions import relative_2d, sparse, stand_alone
from solutions.fast import local
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
# | `m`, `l`, `L` | of the scores of a row: the largest, the sum, the log-sum-exp |

# %% [markdown]
# ## 11.1 A row in one pass
#
# Take every pixel of a photograph as a token, and let it ask for its own colour: 13,824 keys. The
# scores are those of the filter of chapter 9, distance left out,
# $-|x_i - x_j|^2 / 2\sigma^2$ and something that is the same for all $j$. One pixel's scores, as
# they come in, row by row from the top:

# %%
q, k, v = alike(china, sigma=0.05)  # 13,824 tokens of 4 features; values are colours
asks = 50 * 144 + 55  # a pixel of the temple
row = q[asks] @ k.T / math.sqrt(4)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3), width_ratios=(1, 1.25))
plots.image(axs[0], china, "The pixel that asks")
axs[0].plot(55, 50, "o", color="#e69f00")
kept = {"score": row, "largest so far": row.cummax(0).values}
plots.lines(axs[1], range(len(row)), kept, "key j", "score", "The largest comes late")
axs[1].lines[0].set(linewidth=0.3)
plots.show(fig, "A temple; beside it scores that jump about, and a stair above them that climbs.")

# %% [markdown]
# Chapter 1's softmax reads such a row three times: for the largest, for the sum, for the shares.
# If scores come by the tile and are gone afterwards, the sum has to be taken before the largest
# is known.
#
# **Predict.** So far the largest was 3 and the sum of $e^{s - 3}$ was 2. A tile with one score, 5,
# comes in. What is the sum now? And what is $e^{200}$ in float32?
#
# <details><summary>Answer</summary>
#
# All shares so far were too large by $e^{5 - 3}$: $2 e^{-2} + 1 = 1.27$. The largest number in float32
# is $e^{88.7}$, so infinite: without subtracting the largest score it does not work at all.
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
# **What you should see.** The same shares, whatever the tile, and no overflow. Without $m$ whatever
# scores above 88 is infinite, and so is the sum: infinite over infinite is no number.
#
# ### Ablation: a sum that does not fade
#
# Leave out $e^{m - m'}$. The sum then holds old shares as they were, measured from a smaller $m$.
#
# **Predict.** Does it come out too large or too small? And where the largest score comes first?
#
# <details><summary>Answer</summary>
#
# Too large: what was counted from a smaller $m$ counts too much. Where the largest is in the first
# tile there is nothing to fade, and the mistake does not show.
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
# **What you should see.** Shares that sum to less than 1 as soon as the stair of the figure climbs.
# That is why a test with one tile, or with sorted scores, proves nothing here.

# %% [markdown]
# ## 11.2 Two readings, one answer
#
# Cut the photograph in two halves. Each pixel reads the left half, and reads the right half, each with
# a softmax of its own. Can the two be put together as if it had read everything at once? All that
# has to be kept beside each reading is how much there was to read: the log-sum-exp.
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
# **Predict.** A query read 2 from three keys with score 0, and 6 from one key with score 0. What is
# $L$ of each, and what do the two give together?
#
# <details><summary>Answer</summary>
#
# $\log 3$ and $\log 1 = 0$. Together $L = \log 4$, and $y = (3 \cdot 2 + 1 \cdot 6) / 4 = 3$. The mean
# of the two, 4, would give the one key as much as the three.
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
share = rearrange((one[1] - lse).exp(), "(h w) -> h w", h=48)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.1))
plots.image(axs[0], small, "Keys left and right of the line")
axs[0].axvline(27.5, color="#e69f00")
plots.heat(axs[1], share, "w", "h", "What the left half weighs")
plots.show(fig, "A temple and a line; beside it weights: the temple bright, sky and lake dark.")

# %%
quarters = [read(q, k[i::4], v[i::4]) for i in range(4)]
forth = merge(*merge(*merge(*quarters[0], *quarters[1]), *quarters[2]), *quarters[3])
apart = merge(*merge(*quarters[3], *quarters[1]), *merge(*quarters[0], *quarters[2]))
claim((forth[0] - apart[0]).abs().max() < 1e-4, "in which order does not matter")
nothing = torch.zeros_like(y), torch.full_like(lse, -math.inf)
claim(torch.equal(merge(y, lse, *nothing)[0], y), "nothing more to read changes nothing")

# %% [markdown]
# **What you should see.** Equality, in any order. The temple finds its colours on the left, sky and
# lake on the right. So keys may be divided at will: over tiles, over cores, over machines. Chapter 10's
# merged patterns are fast because of it: each part is dense for itself, and `merge` makes them one
# softmax. If your sky is too dark or too bright, the two readings were weighed alike.

# %% [markdown]
# ## 11.3 Attention by tiles
#
# Now both at once: of a tile of keys take the scores, update $m$ and $l$, add what is read, forget
# the scores.
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
# **Predict.** How large is the map of the whole photograph, 13,824 pixels, at 4 bytes a number? And
# the scores of a tile of 256 keys?
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
drawn = plots.heat(axs[1], count.log10(), "w", "h", "log10: pixels of my colour", 0, 4)
plots.show(fig, "A temple in slightly fewer colours; beside it sky bright and roof edges dark.")
print(f"from {count.min():.1f} to {count.max():.0f} pixels of {len(q)} are of one's own colour")

# %% [markdown]
# **What you should see.** A map of 764 MB that was never there. And $L$ can be looked at: once the
# part that is the same for all keys is taken off, $e^L$ says how many pixels have one's colour, from a
# handful at the edges of the roofs to thousands in the sky.
#
# ### Ablation: the tile
#
# **Predict.** What happens to multiply-adds and to the largest tensor as tiles get smaller?
#
# <details><summary>Answer</summary>
#
# The multiply-adds stay: $n^2 (d + e)$. The largest tensor is $n \cdot$ `tile`, until $n\,e$ numbers of
# $y$ are more.
#
# </details>

# %%
q, k, v = torch.randn(3, 1024, 32)
print(" tile   multiply-adds   largest tensor")
for tile in (1024, 256, 64, 16):
    spent = counting.count(partial(attention_by_tiles, q, k, v, tile))
    print(f"{tile:5}   {spent.multiply_adds:13,}   {spent.largest_tensor:14,}")
    claim(spent.multiply_adds == 1024**2 * 64, "the same work")
    claim(spent.largest_tensor == 1024 * max(tile, 32), "less room")

# %% [markdown]
# **What you should see.** The same work in a 32nd of the room. Tiled attention computes nothing less
# than the map; it only never *has* it. So why it should be faster is not clear yet: section 11.5.

# %% [markdown]
# ## 11.4 The way back
#
# For the gradient, chapter 1 kept the map. But $A_{ij} = e^{s_{ij} - L_i}$: with $L$ every share can be
# made again from q and k, one by one, in any order. What goes back through the softmax needs a sum
# over the row, and that one is known already:
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
# **Predict.** For the photograph, in bytes: what is kept beside q, k and v, with the map and without?
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
dy, kept = torch.randn(2, 4, 100, 16), {}
for name, attend in (("tiled", Tiled.apply), ("eager", scaled_dot_product_attention)):
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, id):
        y = attend(*x)
    kept[name] = max(sizes)
for ours, theirs in zip(
    torch.autograd.grad(Tiled.apply(*x), x, dy),
    torch.autograd.grad(scaled_dot_product_attention(*x), x, dy),
    strict=True,
):
    claim((ours - theirs).abs().max() < 1e-5, "the gradient that autograd finds")
print("largest tensor kept for the way back:", kept)

# %% [markdown]
# **What you should see.** Equal gradients; kept are 12,800 numbers at most, $2 \cdot 4 \cdot 100 \cdot 16$,
# and not the 80,000 of the map. Computing a thing twice to save its memory costs time in theory. In
# practice memory is the slower of the two, as the next section shows.
#
# ### Ablation: without δ
#
# **Predict.** If all scores of a row rise by the same amount, nothing changes. What does that say of
# $\sum_j ds_{ij}$? Does it hold without $\delta$?
#
# <details><summary>Answer</summary>
#
# It is 0. And $\sum_j A_{ij} (dy_i \cdot v_j - \delta_i) = \delta_i - \delta_i$. Without $\delta$ it is
# $\delta_i$.
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
# **What you should see.** Both claims. Without δ the gradient pushes all scores of a row up or down
# together, which does nothing but waste steps, and spoils the direction in q and k.
