# %% [markdown]
# # 9 · Stand-alone self-attention
#
# Can a network see without convolutions? You will let every pixel attend to a window around it,
# write the layer that takes the place of a 3 x 3 convolution and the stem that takes the place of
# the first one, and check what a paper prints of the whole network. **120 min · CPU is enough**

# %%
import math
from functools import cache, partial

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint, papers
from attncourse.book import claim, plots
from attncourse.papers import counting
from attncourse.tasks.pictures import photograph
from attncourse.tasks.denoising import blur, psnr
from attncourse.tasks.windows import attention as small_attention
from attncourse.tasks.windows import convolution, explained, readers
from attncourse.tasks.windows import train_digits, train_pointer
from solutions.backbones import StandAloneResNet
from solutions.stand_alone import AttentionStem

china = rearrange(photograph("china"), "h w c -> 1 c h w")

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` `c` | pictures in a batch, channels; c = (head d) |
# | `h` `w` | height and width in pixels |
# | `dy` `dx` | row and column of a place in a window, from 0 |
# | `d`, `half` | features of a head, and d / 2 of them |
# | `e` | outgoing channels |
# | `mix` | mixtures: matrices that a place of the stem can choose from |

# %% [markdown]
# ## 9.1 Windows
#
# Attention over all pixels of a photograph costs their number squared. A convolution never asked
# for that: it looks at a window. So let the pixels attend within windows as well. Three of them,
# 25 pixels wide; the middle of each is the pixel that asks.

# %%
fig, ax = plt.subplots(figsize=(5.0, 3.5))
plots.image(ax, china[0], "Three pixels and what each of them may read")
for y, x in ((48, 70), (5, 8), (90, 132)):
    box = plt.Rectangle((x - 12.5, y - 12.5), 25, 25, fill=False, color="#e69f00", lw=2)
    ax.add_patch(box)
    ax.plot(x, y, "o", color="#e69f00")
ax.set(xlim=(-16, 160), ylim=(106, -16))
plots.show(fig, "A temple with three square frames; two of them reach beyond the picture.")

# %% [markdown]
# Two windows reach beyond the picture. There we put zeros, for now:
#
# $$
# X_{h w\,dy\,dx} = x_{h + dy - r,\; w + dx - r} \qquad r = \lfloor \text{window} / 2 \rfloor
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `… h w` | a picture, with any axes in front |
# | `windows(x, window)` | `… h w dy dx` | the window of every pixel |
#
# **Predict.** How many numbers does that make of 64 channels with 56 x 56 pixels, for window 7?
#
# <details><summary>Answer</summary>
#
# $64 \cdot 56 \cdot 56 \cdot 49 = 9{,}834{,}496$: 49 times the picture. `unfold` makes it as a view,
# which stores the padded picture alone.
#
# </details>

# %% [markdown]
# ### Exercise: `windows`
#
# `x.unfold(axis, window, 1)` cuts an axis into windows and puts their places last. An even window
# has no middle: a `ValueError`.

# %% exercise="stand_alone.windows"

# %%
check("stand_alone.windows", windows)

# %% [markdown]
# Stuck? `hint("stand_alone.windows")`. To read on without solving it:
# `from solutions.stand_alone import windows`.

# %%
near = windows(china, 25)
fig, axs = plt.subplots(1, 3, figsize=(6.2, 2.1))
for ax, (y, x) in zip(axs, ((48, 70), (5, 8), (90, 132)), strict=True):
    plots.image(ax, near[0, :, y, x], f"window of pixel {y}, {x}")
    ax.plot(12, 12, "o", color="#e69f00")
plots.show(fig, "The three cut-outs. Two have black margins where there is no picture.")
numbers = counting.count(lambda: windows(china, 25)).largest_tensor
print("in the windows", near.numel(), "· stored", numbers)

# %% [markdown]
# **What you should see.** The marked pixel in the middle of each cut-out, black margins at the
# edges, and 625 times as many numbers in the windows as in the picture, of which only the padded
# picture is stored. If a cut-out is mirrored along its diagonal, your dy and dx are exchanged.

# %% [markdown]
# ### Which places are in the picture?
#
# A mask, as in chapter 1: True where a query may attend.
#
# | | axes | what it is |
# |---|---|---|
# | `inside(height, width, window)` | `h w dy dx` | boolean |
#
# **Predict.** In a window of 7, how many places does a corner pixel have inside?
#
# <details><summary>Answer</summary>
#
# 4 rows of 4: 16 of 49. A pixel on an edge, away from corners, has $4 \cdot 7 = 28$.
#
# </details>

# %% [markdown]
# ### Exercise: `inside`
#
# One line, if you use `windows`.

# %% exercise="stand_alone.inside"

# %%
check("stand_alone.inside", inside)

# %% [markdown]
# Stuck? `hint("stand_alone.inside")`. To read on without solving it:
# `from solutions.stand_alone import inside`.

# %%
places = reduce(inside(12, 18, 7).float(), "h w dy dx -> h w", "sum")
fig, ax = plt.subplots(figsize=(4.6, 2.8))
plots.heat(ax, places, "w", "h", "Places inside, window 7", low=0, high=49)
plots.show(fig, "A plateau of 49 that falls off towards the edges, to 16 in the corners.")
print("corner", int(places[0, 0]), "· edge", int(places[0, 9]), "· middle", int(places[6, 9]))

# %% [markdown]
# ## 9.2 A vector for each place
#
# A window is a heap: without positions, attention would not know the pixel above from the one on
# the left. Chapter 3 gave each *distance* a vector. Here a place has a row and a column, and a
# vector of each, one half of the features from either (Ramachandran et al. 2019, section 3):
#
# $$ r_{dy\,dx} = [\,\text{row}_{dy},\ \text{column}_{dx}\,] $$
#
# | | axes | what it is |
# |---|---|---|
# | `rows`, `columns` | `head dy half`, `head dx half` | two tables for each head |
# | `relative_embeddings(rows, columns)` | `head d dy dx` | a vector for each place |

# %% [markdown]
# **Predict.** How many numbers are in the tables of all heads, for 64 channels and window 7? How
# many would it take to give every place a vector of its own?
#
# <details><summary>Answer</summary>
#
# $2 \cdot 7 \cdot 32 = 448$, which is window times c. Separate vectors: $49 \cdot 64 = 3136$.
#
# </details>

# %% [markdown]
# ### Exercise: `relative_embeddings`
#
# Join row and column *within* each head. The most used implementation on the web joins them first
# and cuts the heads afterwards: half of its heads see rows alone.

# %% exercise="stand_alone.relative_embeddings"

# %%
check("stand_alone.relative_embeddings", relative_embeddings)

# %% [markdown]
# Stuck? `hint("stand_alone.relative_embeddings")`. To read on without solving it:
# `from solutions.stand_alone import relative_embeddings`.

# %%
torch.manual_seed(1)
rows, columns, q = torch.randn(1, 7, 4), torch.randn(1, 7, 4), torch.randn(8)
score = einsum(q, relative_embeddings(rows, columns)[0], "d, d dy dx -> dy dx")
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.5))
plots.signed(axs[0], score, "dx", "dy", "q · r of one query: rows plus columns")
share = rearrange(score, "dy dx -> (dy dx)").softmax(0)
share = rearrange(share, "(dy dx) -> dy dx", dy=7)
plots.heat(axs[1], share, "dx", "dy", "Its softmax: rows times columns", high=share.max())
plots.show(fig, "Left, a plaid of red and blue. Right, few bright cells in a plaid.")
claim(torch.linalg.matrix_rank(share, rtol=1e-4) == 1, "the shares are an outer product")

# %% [markdown]
# **What you should see.** A plaid. By place alone a head can prefer *a row and a column*, so one
# pixel, a line or a block, but not, say, two opposite corners: $e^{a + b} = e^a e^b$, the shares
# are an outer product. What else it wants to find, it has to find by content.

# %% [markdown]
# ## 9.3 Scores in a window
#
# $$
# s_{dy\,dx} = q_{hw} \cdot k_{h + dy - r,\, w + dx - r} + q_{hw} \cdot r_{dy\,dx} \qquad
# A = \operatorname{softmax}_{dy\,dx}\, s
# $$
#
# The paper does not divide by $\sqrt d$. One softmax runs over all places of the window that are
# inside.
#
# | | axes | what it is |
# |---|---|---|
# | `q`, `k` | `b head d h w` | a query and a key for each pixel, in each head |
# | `local_weights(q, k, rows, columns, window)` | `b head h w dy dx` | the map |

# %% [markdown]
# **Predict.** Forget the mask, and let all scores be 0. Beyond the edges the keys and values are
# zeros. How much weight do the real pixels of a corner get, for window 5?
#
# <details><summary>Answer</summary>
#
# All 25 places get 1/25, and 9 of them are real: 0.36. The corners of every map would fade to a
# third. A much used port of this paper does just that.
#
# </details>

# %% [markdown]
# ### Exercise: `local_weights`
#
# Two einsums, a mask, a softmax. For the softmax, make dy and dx one axis, and two again
# afterwards. `inside` makes its mask on the CPU: move it `.to(q.device)`.

# %% exercise="stand_alone.local_weights"

# %%
check("stand_alone.local_weights", local_weights)

# %% [markdown]
# Stuck? `hint("stand_alone.local_weights")`. To read on without solving it:
# `from solutions.stand_alone import local_weights`.

# %%
colours = rearrange(4 * china - 2, "b c h w -> b 1 c h w")
x = F.pad(colours, (0, 0, 0, 0, 0, 1), value=2.0)  # a fourth feature: d has to be even
none = torch.zeros(1, 25, 2)
map_ = local_weights(x, x, none, none, 25)[0, 0]
fig, axs = plt.subplots(1, 3, figsize=(6.2, 2.1))
for ax, (y, w) in zip(axs, ((48, 70), (5, 8), (90, 132)), strict=True):
    plots.image(ax, map_[y, w] / map_[y, w].max(), f"map of pixel {y}, {w}")
plots.show(fig, "Three maps: like colours bright, nothing at all beyond the edges.")
claim((map_.sum((-1, -2)) - 1).abs().max() < 1e-5, "every pixel spends exactly 1")

# %% [markdown]
# **What you should see.** Without tables the map asks for colours alone; beyond the edges it is
# black, and yet every window sums to 1. If yours fades at the edges, the places outside still take
# their share: hide the scores, before the softmax.

# %% [markdown]
# ## 9.4 Local attention
#
# $$ y_{hw} = \sum_{dy\,dx} A_{hw\,dy\,dx}\; v_{h + dy - r,\, w + dx - r} $$
#
# | | axes | what it is |
# |---|---|---|
# | `v` | `b head d h w` | a value for each pixel |
# | `local_attention(q, k, v, rows, columns, window)` | `b head d h w` | the mean of each window |
#
# **Predict.** What comes out for window 1? And for a window of $2 \max(h, w) - 1$?
#
# <details><summary>Answer</summary>
#
# Window 1: the softmax of one score is 1, so $y = v$. The large window reaches every pixel from
# every other one: global attention, as in chapter 2.
#
# </details>

# %% [markdown]
# ### Exercise: `local_attention`

# %% exercise="stand_alone.local_attention"

# %%
check("stand_alone.local_attention", local_attention)

# %% [markdown]
# Stuck? `hint("stand_alone.local_attention")`. To read on without solving it:
# `from solutions.stand_alone import local_attention`.

# %%
torch.manual_seed(0)
q, k, v = torch.randn(3, 2, 4, 8, 7, 9)  # 2 pictures, 4 heads, 8 features, 7 x 9 pixels
none = torch.zeros(4, 17, 4)
ours = local_attention(q, k, v, none, none, window=17)
flat = (rearrange(x, "b head d h w -> b head (h w) d") for x in (q, k, v))
theirs = rearrange(
    F.scaled_dot_product_attention(*flat, scale=1), "b head (h w) d -> b head d h w", h=7
)
claim((ours - theirs).abs().max() < 1e-5, "a window over everything is torch's attention")
one = torch.zeros(4, 1, 4)
claim(torch.equal(local_attention(q, k, v, one, one, 1), v), "a window of 1 gives the value")

# %% [markdown]
# ### Use it: an old friend
#
# Photographers smooth noise without smoothing edges by a *bilateral filter*: a mean with weights
# that fall off with the distance and with the difference of colours,
# $e^{-(dy^2 + dx^2) / 2\rho^2} \cdot e^{-|x_i - x_j|^2 / 2\sigma^2}$.
#
# Multiply out: $-|x_i - x_j|^2 / 2\sigma^2 = x_i \cdot x_j / \sigma^2 - |x_j|^2 / 2\sigma^2$ and
# something that is the same for all keys. That is $q \cdot k$. And $-dy^2 / 2\rho^2 - dx^2 /
# 2\rho^2$ is a row plus a column. So it *is* local attention, with six features and no weights to
# learn.


# %%
def bilateral(picture, sigma=0.3, rho=1.5, window=9):
    """The mean of a window, weighted by distance and by difference of colours."""
    x = rearrange(picture, "h w c -> 1 1 c h w") / sigma
    one, size = torch.ones_like(x[:, :, :1]), x.square().sum(2, keepdim=True)
    q = torch.cat([one, x, one, one], dim=2)
    k = torch.cat([0 * one, x, 0 * one, -size / 2], dim=2)
    far = -(torch.arange(window) - window // 2).square() / (2 * rho**2)
    rows = F.pad(far[None, :, None], (0, 2))  # its number stands where q has its first 1 …
    columns = F.pad(far[None, :, None], (1, 1))  # … and here where it has its second
    y = local_attention(q, k, sigma * x, rows, columns, window)
    return rearrange(y, "1 1 c h w -> h w c")


# %%
torch.manual_seed(0)
clean = photograph("china")
noisy = clean + 0.1 * torch.randn_like(clean)
best = max(
    (blur(noisy, width) for width in (0.5, 0.6, 0.7, 0.8, 1)), key=lambda y: psnr(y, clean)
)
shown = {"noisy": noisy, "best blur": best, "local attention": bilateral(noisy)}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.9))
for ax, (name, picture) in zip(axs, shown.items(), strict=True):
    plots.image(ax, picture[20:68, 40:112].clamp(0, 1), f"{name} {psnr(picture, clean):.1f} dB")
plots.show(fig, "A noisy roof, a blurred one, and one that is smooth with sharp edges.")

# %%
gain = psnr(bilateral(noisy), clean) - psnr(best, clean)
claim(gain > 1, "a decibel more than any blur")
y, x = 40, 60
part = noisy[y - 4 : y + 5, x - 4 : x + 5]
dy, dx = torch.arange(-4, 5)[:, None], torch.arange(-4, 5)
weight = torch.exp(-(dy**2 + dx**2) / (2 * 1.5**2))
weight = weight * torch.exp(-(part - noisy[y, x]).square().sum(-1) / (2 * 0.3**2))
by_hand = einsum(weight, part, "dy dx, dy dx c -> c") / weight.sum()
claim((bilateral(noisy)[y, x] - by_hand).abs().max() < 1e-5, "and it is the filter, exactly")

# %% [markdown]
# **What you should see.** About 20 dB, 24.9 and 26.5 (more is better), and equality with the
# filter written out. It only *reads* a window, but its weights depend on what it finds there.
# With $\sigma \to \infty$ nothing is left of that, and it is the blur. A trained layer chooses its
# own features to compare, in several heads.

# %% [markdown]
# ## 9.5 What happens at the edges, and other windows
#
# Local attention was invented several times, with windows laid differently. Which pixels does a
# corner pixel (top) read, which one in the middle (bottom)? The window is 5.

# %%
names = {"blocks": "Swin", "halo": "HaloNet", "neighbourhood": "NATTEN"}
fig, axs = plt.subplots(2, 4, figsize=(6.4, 3.4))
kinds = "stand-alone", "neighbourhood", "blocks", "halo"
for column, kind in enumerate(kinds):
    seen = readers(kind, 12, 12, 5).float()
    for ax, (y, x) in zip(axs[:, column], ((0, 0), (6, 4)), strict=True):
        plots.image(ax, seen[y, x], f"{names.get(kind, kind)}: {int(seen[y, x].sum())}")
        ax.plot(x, y, "o", color="#e69f00")
        ax.spines[:].set_visible(True)
plots.show(fig, "Eight small maps: which pixels one pixel reads, for four kinds of windows.")

# %% [markdown]
# | | who shares keys | at an edge | a pixel of the border |
# |---|---|---|---|
# | stand-alone | nobody | places outside are masked | has fewer keys |
# | neighbourhood (NATTEN) | nobody | the window moves inwards | is not in the middle |
# | blocks (Swin) | all pixels of a block | blocks end there | never sees the next block |
# | halo (HaloNet) | a block reads its own rim | places outside are masked | has fewer keys |
#
# Swin moves its blocks by half in every second layer, so that borders differ. HaloNet, by the same
# group, is the fast form of this paper: a block's queries share one set of keys.


# %%
def difference():
    """How far the two kinds of windows are apart, at each of 12 x 16 pixels."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 8, 12, 16)
    none = torch.zeros(2, 5, 4)
    ours = local_attention(q, k, v, none, none, window=5)
    seen = rearrange(readers("neighbourhood", 12, 16, 5), "h w y x -> (h w) (y x)")
    flat = (rearrange(x, "b head d h w -> b head (h w) d") for x in (q, k, v))
    natten = F.scaled_dot_product_attention(*flat, attn_mask=seen, scale=1)
    natten = rearrange(natten, "b head (h w) d -> b head d h w", h=12)
    return reduce((ours - natten).abs(), "1 head d h w -> h w", "max")


# %%
apart = difference()
fig, ax = plt.subplots(figsize=(4.4, 2.6))
title = "The two differ at the rim alone"
plots.heat(ax, apart, "w", "h", title, high=apart.max().item())
plots.show(fig, "A dark rectangle with a bright rim, two pixels wide.")
claim(apart[2:-2, 2:-2].max() < 1e-5, "in the interior both are the same")
claim(apart[0].min() > 0.01, "in the outermost row nowhere")

# %% [markdown]
# **What you should see.** Exactly 0 where the window fits, and a rim of `window // 2` pixels where
# it does not. Neither is wrong. On small maps the rim is most of the picture: of 7 x 7 pixels, one
# has a window of 7 that meets no edge. There the mask matters most.

# %% [markdown]
# ## 9.6 The layer
#
# It takes the place of a 3 x 3 convolution: three projections, heads, local attention, and, for
# a stride, the mean of 2 x 2 pixels afterwards.
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `b c h w` | maps |
# | `attention(x)` | `b head h w dy dx` | the map, at full size |
# | `forward(x)` | `b e h2 w2` | e channels; h2 = h / stride, rounded up |
#
# There is no output projection: the 1 x 1 convolution behind it in a bottleneck does that. With
# `scaled` the logits are divided by $\sqrt d$; `self.scale` knows.

# %% [markdown]
# ### Exercise: `StandAloneSelfAttention2d`
#
# `self.split` cuts the heads. On an odd map the last row and column are averaged among
# themselves, so that 7 becomes 4, as with a strided convolution.

# %% exercise="stand_alone.stand_alone_self_attention"

# %%
check("stand_alone.stand_alone_self_attention", StandAloneSelfAttention2d)

# %% [markdown]
# Stuck? `hint("stand_alone.stand_alone_self_attention")`. To read on without solving it:
# `from solutions.stand_alone import StandAloneSelfAttention2d`.

# %%
torch.manual_seed(0)
for size in (7, 15, 1):
    layer = StandAloneSelfAttention2d(16, heads=4, window=5, stride=2)
    print(f"{size:2} x {size}", tuple(layer(torch.randn(2, 16, size, size)).shape))
weights = {
    k: sum(p.numel() for p in StandAloneSelfAttention2d(64, 8, k).parameters())
    for k in (3, 7, 19)
}
print("parameters for windows of 3, 7 and 19:", *weights.values())
print("a 3 x 3 and a 7 x 7 convolution      :", 9 * 64**2, 49 * 64**2)

# %% [markdown]
# **What you should see.** 4, 8 and 1 pixels across; and parameters that hardly notice the window:
# only the two tables grow, by c numbers for a step. A convolution has a matrix for every place.

# %% [markdown]
# ### Look over there
#
# Every pixel must say what stands one row up and two columns to the right. Pixels are independent
# random numbers; we look at those whose window of 5 meets no edge.
#
# **Predict.** What share of the variance can a layer explain that does not know places?
#
# <details><summary>Answer</summary>
#
# It sees its own pixel and a heap of 24 others. The right one is each of them equally often, so the
# best guess is their mean, whose variance is 1/24 of a pixel's: it explains $1/24 = 0.042$, and
# nothing does better. A window of 3 does not reach the pixel: 0. With places: all of it, 1.
#
# </details>


# %%
@cache
def pointed(position, window, seed):
    """How much of the right pixel a trained layer explains."""
    make = partial(small_attention, 16, window, position)
    return explained(train_pointer(make, seed))


def spread(results):
    """The lowest and the highest, in words."""
    return f"{min(results):6.3f} to {max(results):.3f}"


# %% tags=["nbval-ignore-output"]
for position in ("none", "relative"):
    print(f"{position:12}", spread([pointed(position, 5, seed) for seed in range(3)]))
blind = [pointed("none", 5, seed) for seed in range(3)]
claim(max(blind) < 1 / 24 + 0.01, "without places, at most one in twenty-four")
claim(min(blind) > 0.02, "and nearly that much is found")
claim(min(pointed("relative", 5, seed) for seed in range(3)) > 0.98, "with tables, everything")

# %% tags=["nbval-ignore-output"]
short = [pointed("relative", 3, seed) for seed in range(2)]
absolute = [pointed("absolute", 5, seed) for seed in range(2)]
alone = [pointed("place alone", 5, seed) for seed in range(2)]
print("window of 3 ", spread(short))
print("absolute    ", spread(absolute))
print("q · r alone ", spread(alone))
claim(max(short) < 0.02, "too small a window: nothing")
claim(min(absolute) > 0.9, "absolute places can be turned into steps")
claim(min(alone) > 0.98, "and what keys hold is not needed")

# %% [markdown]
# **What you should see.** 0.04 without places, as derived; 1 with tables; 0 with a window that does
# not reach. Absolute positions manage as well, more slowly: the step is a rotation of the sines
# (chapter 3). And $q \cdot r$ alone suffices: *here* it is the place that counts. In the paper's
# table 6 it costs a whole network half a point, 76.9 instead of 77.4 %.

# %% [markdown]
# ## 9.7 What it costs
#
# Count multiply-adds a pixel, for c channels. A 3 x 3 convolution has $9 c^2$. Attention projects
# three times and then, for each place of the window, needs $q \cdot k$, $q \cdot r$ and weights times
# $v$.
#
# **Predict.** How large may the window be, at 128 channels, until attention costs as much as the
# convolution? Leave out $q \cdot r$, as the paper does.
#
# <details><summary>Answer</summary>
#
# $3 c^2 + 2 k^2 c \le 9 c^2$ gives $k^2 \le 3 c = 384$, so $k = 19$: 141,568 against 147,456.
#
# </details>

# %% [markdown]
# ### Exercise: `multiply_adds`
#
# | | |
# |---|---|
# | `multiply_adds(channels, window, relative)` | a pixel's; $q \cdot r$ counts if `relative` |

# %% exercise="stand_alone.multiply_adds"

# %%
check("stand_alone.multiply_adds", multiply_adds)

# %% [markdown]
# Stuck? `hint("stand_alone.multiply_adds")`. To read on without solving it:
# `from solutions.stand_alone import multiply_adds`.

# %%
layer, x = StandAloneSelfAttention2d(64, 8, 7), torch.randn(1, 64, 10, 12)
counted = counting.count(lambda: layer(x))
print("formula", 120 * multiply_adds(64, 7, True), "· counted", counted.multiply_adds)
print(
    "largest tensor",
    counted.largest_tensor,
    "=",
    counted.largest_tensor // x.numel(),
    "pictures",
)
claim(counted.multiply_adds == 120 * multiply_adds(64, 7, True), "formula and counter agree")

# %% [markdown]
# ### Exercise: `largest_window`
#
# The same question for any width and any convolution: an odd number, and 0 where nothing fits.

# %% exercise="stand_alone.largest_window"

# %%
check("stand_alone.largest_window", largest_window)

# %% [markdown]
# Stuck? `hint("stand_alone.largest_window")`. To read on without solving it:
# `from solutions.stand_alone import largest_window`.

# %%
wide = torch.arange(1, 26, 2)
cost = {f"attention, c = {c}": (3 * c + 2 * wide**2) / (9 * c) for c in (32, 128, 512)}
fig, ax = plt.subplots(figsize=(5.6, 3.0))
title = "As dear as a 3 x 3 convolution: window 9, 19, 39"
plots.lines(ax, wide, cost, "window", "multiply-adds, in 3 x 3 convolutions", title)
ax.axhline(1, color="black", lw=1, ls=":")
ax.plot(19, largest_window(128) ** 2 * 2 / (9 * 128) + 1 / 3, "o", color="black")
ax.set(ylim=(0, 3), xlim=(1, 25))
plots.show(fig, "Three parabolas; the one for 128 channels meets the line at 1 near 19.")
print("largest windows:", {c: largest_window(c) for c in (32, 64, 128, 256, 512)})

# %% [markdown]
# **What you should see.** 19 at 128 channels, as the paper says. The window grows with
# $\sqrt{3 c}$: attention is cheap where channels are many, late in a network, and dear where they
# are few. But look at the largest tensor: our form copies 49 pictures, and time follows memory. Here
# a layer takes tens of times as long as the convolution that it undercuts. Chapter 11 mends that.

# %% [markdown]
# ## 9.8 The stem: values that know their place
#
# In the first layer a pixel is three numbers. Content says little there, and a convolution is good
# at edges. The paper's remedy: the *values* depend on the place in a 4 x 4 block. A few matrices,
# and each place mixes them with its own shares:
#
# $$
# p_{dy\,dx\,m} = \operatorname{softmax}_m\,(\text{row}_{dy} + \text{column}_{dx}) \cdot \nu_m
# \qquad v = \Bigl(\sum_m p_{dy\,dx\,m} W_m\Bigr) x
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `shares()` | `dy dx mix` | for each place a share of each matrix |
# | `forward(x)` | `b e h w` | the values |

# %% [markdown]
# **Predict.** With 16 matrices and shares of 0 and 1, every place of a block has a matrix of its own.
# What is the mean of the values over a block then?
#
# <details><summary>Answer</summary>
#
# A sum of 16 matrices, each times its own pixel: a 4 x 4 convolution with stride 4, divided by 16.
#
# </details>

# %% [markdown]
# ### Exercise: `SpatialValues`
#
# Blocks are laid from the top left corner; at the other edges they may be cut off.

# %% exercise="stand_alone.spatial_values"

# %%
check("stand_alone.spatial_values", SpatialValues)

# %% [markdown]
# Stuck? `hint("stand_alone.spatial_values")`. To read on without solving it:
# `from solutions.stand_alone import SpatialValues`.

# %%
values, place = SpatialValues(3, 8, block=4, mixtures=16, dim=8), torch.eye(4)
with torch.no_grad():
    values.rows.copy_(F.pad(place, (0, 4)))  # row n has its 1 at n, column n at 4 + n,
    values.columns.copy_(F.pad(place, (4, 0)))
    pair = [repeat(place, "y d -> (y x) d", x=4), repeat(place, "x d -> (y x) d", y=4)]
    values.mixture.copy_(50 * torch.cat(pair, dim=1))  # matrix (y x) wants row y and column x
    means = reduce(values(china), "b e (h dy) (w dx) -> b e h w", "mean", dy=4, dx=4)
    kernel = rearrange(values.value.weight, "(y x e) c 1 1 -> e c y x", y=4, x=4)
    claim(
        (means - F.conv2d(china, kernel / 16, stride=4)).abs().max() < 1e-5,
        "a 4 x 4 convolution",
    )

# %% [markdown]
# **What you should see.** Equality: with enough mixtures the stem holds every 4 x 4 convolution of
# stride 4. The paper takes 4 mixtures and learns the shares. Its stem then attends within the
# blocks and keeps the maximum of each: a quarter of the size, as with 7 x 7 and pooling.

# %%
torch.manual_seed(0)
stem = AttentionStem().eval()
with torch.no_grad():
    maps = stem(china)[0, :8]
fig, axs = plt.subplots(2, 4, figsize=(6.4, 2.5))
for ax, grid in zip(axs.flat, maps, strict=True):
    plots.image(ax, grid, "", low=maps.min().item(), high=maps.max().item())
fig.suptitle(
    f"Before training: {china.shape[2]} x {china.shape[3]} become {maps.shape[1]} x {maps.shape[2]}"
)
plots.show(fig, "Eight coarse grey versions of the temple, some of them inverted.")

# %% [markdown]
# ## 9.9 A network without convolutions
#
# `StandAloneResNet` is the residual network of chapter 5 with the layer in place of its 3 x 3
# convolutions. What does the paper print, and what comes out?

# %%
with torch.device("meta"):  # shapes alone: nothing is computed
    small, large = StandAloneResNet(26), StandAloneResNet(50)
    without = StandAloneResNet(50, stem="attention")
print(papers.compare(small, "sasa.table1.resnet-26-conv-stem+attn"), "\n")
print(papers.compare(large, "sasa.table1.resnet-50-conv-stem+attn"), "\n")
print(papers.compare(without, "sasa.table1.resnet-50-full-attn"))

# %% [markdown]
# **What you should see.** To the digit: 10.3 and 18.0 M parameters; 4.5, 7.0 and 7.2 G. ResNet-38
# has 14.2 M and 5.7 G. The last row needs $q \cdot r$ in the stem too: the text leaves it open, and
# without it 7.1 comes out.
#
# The text lets each head project its own share of the channels, $W \in \mathbb{R}^{d_{out}/N \times
# d_{in}/N}$. The tables do not. Count it:

# %%
with torch.device("meta"):
    grouped = StandAloneResNet(50, grouped=True)
for name, model in (("as in the text", grouped), ("as in the tables", large)):
    tables = sum(
        p.numel() for n, p in model.named_parameters() if n.endswith((".rows", ".columns"))
    )
    total = sum(p.numel() for p in model.parameters())
    print(f"{name:17} {total - tables:,} and {tables:,} in tables")

# %%
with torch.device("meta"):
    others = {f"k{k}": StandAloneResNet(50, window=k) for k in (3, 5, 7, 9, 11)}
for name, model in others.items():
    (line,) = papers.compare(model, f"sasa.table4.{name}").lines
    print(
        f"window {name[1:]:2}  printed {line.printed}   {line.computed / 1e9:.2f}   {line.agreement}"
    )

# %% [markdown]
# **What you should see.** 18.0 M with full projections, 14.7 M with grouped ones: the tables have
# full ones. Windows of 5, 7 and 9 come out; 11 gives 7.79 for a printed 7.7, cut off where the
# others are rounded; 3 gives 6.5 for 6.6. The baseline ResNet-38 is 6.4 here and 6.5 there. We leave
# it at that. Accuracies take ImageNet and are not checked. Tables 3 and 5 are on held-out *training*
# pictures: never compare their 80.2 with the 77.4 of the others.

# %% [markdown]
# ### Ablation on real data: which window, which position?
#
# A small network: a 1 x 1 stem, a layer on 8 x 8 pixels, one on 4 x 4, each added to its input. It
# learns 200 of the written digits and names 450 others. The commonest digit among these makes a
# tenth of them.


# %%
@cache
def named(first, second, seed):
    """The share of unseen digits named; a layer is (position, window) or None, a convolution."""
    layers = [
        partial(small_attention, position=way[0], window=way[1]) if way else convolution
        for way in (first, second)
    ]
    return train_digits(*layers, seed=seed)


def seeds(first, second):
    """The results of three seeds."""
    return [named(first, second, seed) for seed in range(3)]


# %% tags=["nbval-ignore-output"]
windows_tried = {k: seeds(("relative", k), ("relative", k)) for k in (1, 3, 5)}
for k, found in windows_tried.items():
    print(f"window {k}", spread(found))
one, three, five = (torch.tensor(found) for found in windows_tried.values())
claim(one.max() < 0.4, "a pixel alone knows little")
claim(one.max() < three.min() and three.mean() < five.mean(), "a wider window helps")

# %% tags=["nbval-ignore-output"]
ways = {
    way: torch.tensor(seeds((way, 5), (way, 5))) for way in ("none", "absolute", "place alone")
}
ways["relative"] = five
for way, found in ways.items():
    print(f"{way:12}", spread(found.tolist()))
claim(ways["none"].max() < five.min(), "without positions much is lost")
claim((ways["place alone"].mean() - five.mean()).abs() < 0.12, "q · r alone is not far off")

# %% [markdown]
# **What you should see.** About 0.2, 0.5 and 0.7 for windows of 1, 3 and 5; 0.4 without positions. As
# in the paper's tables 4 to 6, the window helps, positions matter most, and $q \cdot r$ alone goes
# a long way: here it is rather better, 0.68 to 0.78 over eight seeds. Unlike there, absolute
# positions do no worse: the digits all stand in the middle of eight pixels, so *where* something is
# says much.

# %% tags=["nbval-ignore-output"]
attends, keeps = ("relative", 5), None
lead, late = torch.tensor(seeds(keeps, keeps)), torch.tensor(seeds(keeps, attends))
soon, both = torch.tensor(seeds(attends, keeps)), torch.tensor(seeds(attends, attends))
print("two convolutions        ", spread(lead.tolist()))
print("convolution, attention  ", spread(late.tolist()))
print("attention, convolution  ", spread(soon.tolist()))
print("attention, attention    ", spread(both.tolist()))
claim(lead.mean() > both.mean(), "two convolutions beat attention alone on few digits")
claim(late.mean() > both.mean(), "so does a convolution with attention later")

# %% [markdown]
# **What you should see.** Two convolutions lead with 0.80 to 0.83; with attention late 0.72 to 0.82,
# with attention early 0.73 to 0.80; attention alone 0.64 to 0.76 (eight seeds). The paper's table 3
# likewise recommends convolutions early and attention late. With 200 digits to learn from, what a
# layer *assumes* counts, and a convolution assumes more. That says little of large networks: on
# ImageNet the paper's attention is ahead of its baseline, 77.6 to 76.9 %.

# %% [markdown]
# ## What to take along
#
# | | 3 x 3 convolution | stand-alone attention |
# |---|---|---|
# | what weighs a neighbour | its place | its place and what it holds |
# | weights | 9 c² | 3 c² + window c |
# | multiply-adds a pixel | 9 c² | 3 c² + 3 window² c |
# | a larger window | costs weights | costs hardly any |
# | memory, as written here | one picture | window² pictures |
# | edges | zeros are summed in | places outside are hidden |
#
# Chapter 10 leaves windows behind: patterns that reach everything in two steps. Chapter 11 makes
# this layer fast.
