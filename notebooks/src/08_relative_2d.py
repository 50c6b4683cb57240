# %% [markdown]
# # 8 · Relative positions in the plane
#
# You will teach attention how far up, down, left and right another pixel is, in five ways that give
# one result, and build the convolution that shares its channels with attention. Then you see
# who still finds a pixel from places where it was never asked. **110 min · CPU is enough**

# %%
import math
from collections.abc import Callable
from functools import cache, partial
from statistics import median

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint
from attncourse.book import claim, plots
from attncourse.papers import counting
from attncourse.papers.cost import cost
from attncourse.tasks import relative as relative_tasks
from attncourse.tasks.pictures import digits, photograph
from attncourse.tasks.relative import POSITIONS, SEEN, UNSEEN

# %%
from solutions.backbones import ResNet, WideResNet
from solutions.backbones.augmented import augmented_resnet, augmented_wide_resnet
from solutions.multi_head import MultiHeadAttention
from solutions.relative_2d import (
    IMPLEMENTATIONS,
    check_tables,
    fit_table,
    halved,
    offsets,
    parameters,
    relative_attention_2d,
)

# %%
torch.manual_seed(0)
torch.set_num_threads(1)

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b`, `c`, `head` | examples, channels, heads |
# | `h` `w` | row and column of a **query** |
# | `y` `x` | row and column of a **key** |
# | `i`, `j` | queries and keys in a line: `i = (h w)`, `j = (y x)` |
# | `d`, `e` | features of a key, of a value, in one head |
# | `r`, `s` | rows of the two tables, $2h-1$ and $2w-1$ |

# %% [markdown]
# ## 8.1 Two tables for all pairs
#
# In chapter 3 a pair of tokens had one distance. A pair of pixels has two: so many rows down, so
# many columns to the right. Look at the same offset, 3 down and 4 to the right, at two places.

# %%
photo = photograph("china")
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3))
for ax, (h, w) in zip(axs, ((20, 30), (50, 90)), strict=True):
    plots.image(ax, photo, f"query at {h}, {w}; key at {h + 24}, {w + 32}")
    ax.plot([w, w + 32], [h, h + 24], color="w", lw=2)
    ax.plot(w, h, "o", color="w", ms=7)
    ax.plot(w + 32, h + 24, "s", color="w", ms=7)
plots.show(fig, "The temple twice, with the same arrow at two places.")

# %% [markdown]
# A vector for every offset would be a table of $(2h-1)(2w-1)$. Bello et al. (2019) take the sum of
# one vector for rows and one for columns:
#
# $$ s_{ij} = \frac{q_i \cdot (k_j + R_{y-h} + C_{x-w})}{\sqrt d} $$
#
# **Predict.** How many vectors for a map of 28 x 28, with the sum and without?
#
# <details><summary>Answer</summary>
#
# 55 + 55 = 110 instead of 55 · 55 = 3025. Offsets run from -27 to 27.
#
# </details>

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `q` | `… h w d` | queries, already divided by $\sqrt d$ |
# | `rows`, `columns` | `r d`, `s d` | $R$ and $C$, one vector for each offset |
# | result | `… i j` | $q_i \cdot (R + C)$ for every pair |
#
# `offsets(n)` is the `n n` table of row numbers: key minus query, plus $n - 1$, since a table counts
# from 0. `check_tables` takes `h`, `w` and both tables, and raises where they do not fit.

# %% [markdown]
# ### Exercise: `gathered_logits`
#
# As it is defined: lay out a vector for every pair, then multiply. Never mind the memory.

# %% exercise="relative_2d.gathered_logits"

# %%
check("relative_2d.gathered_logits", gathered_logits)

# %% [markdown]
# Stuck? `hint("relative_2d.gathered_logits")` gives one hint at a time. To read on without solving
# it: `from solutions.relative_2d import gathered_logits`.

# %%
q = torch.ones(9, 13, 1)  # all queries alike
far = torch.arange(-8.0, 9)[:, None], torch.arange(-12.0, 13)[:, None]
near = -far[0].square() / 4, -far[1].square() / 4
right = 0 * far[0], far[1].clamp(max=3)

# %%
fig, axs = plt.subplots(2, 2, figsize=(6.4, 3.8))
names = "near me", "to my right"
for line, tables, name in zip(axs, (near, right), names, strict=True):
    shares = gathered_logits(q, *tables).softmax(-1)
    maps = rearrange(shares, "(h w) (y x) -> h w y x", h=9, y=9)
    for ax, (h, w) in zip(line, ((2, 3), (6, 7)), strict=True):
        plots.heat(ax, maps[h, w], "x", "y", name, high=maps.max().item(), bar=False)
        ax.plot(w, h, "x", color="w")
plots.show(fig, "A spot around the query that moves with it; a band to its right, likewise.")

# %% [markdown]
# **What you should see.** Two tables say "near me" and "to my right", for whoever asks: the map moves
# with the cross. Should the band lie to the left, you count query minus key. Should it lie below,
# height and width are exchanged: a frequent mistake that square maps hide.

# %%
q, rows, columns = (
    torch.randn(28 * 28, 20).unflatten(0, (28, 28)),
    torch.randn(55, 20),
    torch.randn(55, 20),
)
spent = counting.count(lambda: gathered_logits(q, rows, columns)).largest_tensor
print(f"largest tensor {spent:,}, the map itself {784**2:,}")
claim(spent == 784**2 * 20, "(h w)² d numbers: d times the map")

# %% [markdown]
# ## 8.2 The skew, to both sides
#
# 12 million numbers, where the map of a head has 0.6. As in chapter 3: multiply first, `i r` is
# small, then bring each number to its key. Now offsets have both signs, $2n - 1$ of them.

# %%
n, r = 5, 9
offset = repeat(torch.arange(-4, 5), "r -> i r", i=n)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.5))
wanted = offsets(n) - (n - 1)
names = "What you have: a column an offset", "What you want: a column a key"
for ax, table, name, across in zip(
    axs, (offset, wanted), names, ("row of the table r", "key j"), strict=True
):
    plots.signed(ax, table, across, "query i", name, limit=4, bar=False)
    for i, j in [(i, j) for i in range(n) for j in range(table.shape[1])]:
        ax.text(j, i, int(table[i, j]), ha="center", va="center")
plots.show(fig, "Five rows from -4 to 4; and a square whose diagonal is 0.")

# %% [markdown]
# **Predict.** Number the cells on the left line by line from 0. Which are wanted for query 0, which
# for query 1, for $n = 5$? What is the step?
#
# <details><summary>Answer</summary>
#
# 4 to 8, then 12 to 16: row $i$ begins $n - 1 + i\,(2n - 2)$. A step of $2n-2$, where rows have
# $2n-1$ cells. Pad one cell a row: they have $2n$, and the step is $2n-1$, which is a row of a
# table again.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `… i r` | column $r$ is the offset $r - (n-1)$ |
# | `rel_to_abs(x)` | `… i j` | entry $ij$ is the offset $j - i$ |

# %% [markdown]
# ### Exercise: `rel_to_abs`
#
# A `ValueError` where $r$ is not $2n - 1$.

# %% exercise="relative_2d.rel_to_abs"

# %%
check("relative_2d.rel_to_abs", rel_to_abs)

# %% [markdown]
# Stuck? `hint("relative_2d.rel_to_abs")`. To read on without solving it:
# `from solutions.relative_2d import rel_to_abs`.

# %%
claim(torch.equal(rel_to_abs(offset), wanted), "the left table becomes the right one")

# %% [markdown]
# ### Exercise: `relative_logits_1d`
#
# One axis: `… i d` and `r d` to `… i j`. No tensor `i j d` on the way; the check counts.

# %% exercise="relative_2d.relative_logits_1d"

# %%
check("relative_2d.relative_logits_1d", relative_logits_1d)

# %% [markdown]
# Stuck? `hint("relative_2d.relative_logits_1d")`. To read on without solving it:
# `from solutions.relative_2d import relative_logits_1d`.

# %% [markdown]
# ### Exercise: `relative_logits_2d`
#
# $q_i \cdot C_{x-w}$ does not depend on $y$: skew along the columns, and repeat it for all rows of
# keys. The same for the rows, on the map turned.

# %% exercise="relative_2d.relative_logits_2d"

# %%
check("relative_2d.relative_logits_2d", relative_logits_2d)

# %% [markdown]
# Stuck? `hint("relative_2d.relative_logits_2d")`. To read on without solving it:
# `from solutions.relative_2d import relative_logits_2d`.

# %%
apart = (relative_logits_2d(q, rows, columns) - gathered_logits(q, rows, columns)).abs().max()
claim(apart < 1e-4, "skewed logits are the gathered ones")
spent = counting.count(lambda: relative_logits_2d(q, rows, columns)).largest_tensor
print(f"largest tensor {spent:,}")
claim(spent == 784**2, "and nothing is larger than the map")

# %% [markdown]
# **What you should see.** 614,656: a twentieth, since d = 20. The paper counts like this too: for
# 8 heads, $O(8\,(hw)^2)$. If yours is larger, a table of pairs is still made somewhere.

# %% [markdown]
# ## 8.3 No skew at all
#
# The skew is clever, and it is not needed. `rows[offsets(h)]` is `h y d`: pairs of *rows*, not of
# pixels. For 28 x 28 and d = 20:
#
# | | numbers |
# |---|---|
# | vectors of all pairs of pixels | 12,293,120 |
# | vectors of all pairs of rows | 15,680 |
#
# So what a query says to each row of the map, and to each column, is an einsum each.

# %% [markdown]
# ### Exercise: `axis_logits`
#
# | | axes | what it is |
# |---|---|---|
# | first | `… h w y` | $q_{hw} \cdot R_{y-h}$ |
# | second | `… h w x` | $q_{hw} \cdot C_{x-w}$ |

# %% exercise="relative_2d.axis_logits"

# %%
check("relative_2d.axis_logits", axis_logits)

# %% [markdown]
# Stuck? `hint("relative_2d.axis_logits")`. To read on without solving it:
# `from solutions.relative_2d import axis_logits`.

# %%
down, across = axis_logits(q, rows, columns)
both = rearrange(down, "h w y -> h w y 1") + rearrange(across, "h w x -> h w 1 x")
both = rearrange(both, "h w y x -> (h w) (y x)")
claim(
    (both - relative_logits_2d(q, rows, columns)).abs().max() < 1e-4,
    "a broadcast sum is all it takes",
)
print(f"before the sum: 2 x {down.numel():,} numbers; after it {both.numel():,}")

# %% [markdown]
# **What you should see.** Twice 21,952. Only the sum is large, and section 8.6 will do without it.

# %% [markdown]
# ## 8.4 The map, and what moves with the picture
#
# $q$ is divided by $\sqrt d$ once, before *both* products: the logits of places are scaled like those
# of content. Much code scales only the content; the timm package has an option for it, off at first.
#
# **Predict.** d = 64, and the places are not divided. How much louder are they?
#
# <details><summary>Answer</summary>
#
# $\sqrt{64} = 8$ times. At the start, when tables and keys are equally long, attention then sees
# hardly anything but places.
#
# </details>

# %% [markdown]
# ### Exercise: `relative_weights`
#
# `logits(q, rows, columns)` gives the places; without tables there is content alone.

# %% exercise="relative_2d.relative_weights"

# %%
check("relative_2d.relative_weights", relative_weights)

# %% [markdown]
# Stuck? `hint("relative_2d.relative_weights")`. To read on without solving it:
# `from solutions.relative_2d import relative_weights`.

# %% [markdown]
# ### Move the frame
#
# Cut a frame out of a photograph, and another one 2 rows down and 3 columns to the right. A pair of
# pixels that is in both should be scored alike. Measured on untrained networks that differ
# in how they learn about places:

# %%
photo = rearrange(photograph("china", 8, 11), "h w c -> 1 c h w")
picture = torch.cat([photo, photo.mean(1, keepdim=True)], 1)
for positions in POSITIONS:
    torch.manual_seed(0)
    apart = relative_tasks.moved(relative_tasks.Offset(positions), picture, (2, 3))
    print(f"{positions:10}", "moves along" if apart < 1e-5 else "changes with the place")
    claim((apart < 1e-5) == (positions in ("none", "relative")), f"{positions}: as derived")

# %% [markdown]
# **What you should see.** Without positions and with relative ones the scores of the pair stay, up to
# rounding: nothing in the formula says where the frame lies. All absolute schemes change
# them. One thing moves even so: *which* keys there are. At the border other pixels enter the softmax, so
# weights are equal up to a common factor, and only in the interior of a large picture does one
# not notice.

# %% [markdown]
# ## 8.5 A task in which only the offset counts
#
# Every pixel must name the colour one below and two to its right. Each picture has twelve pixels of
# each of four colours, in random order.

# %%
torch.manual_seed(0)
x, colour = relative_tasks.mosaics(1)
fig, ax = plt.subplots(figsize=(3.6, 2.6))
ax.imshow(colour[0], cmap="viridis", vmin=0, vmax=3)
ax.annotate("", (4, 3), (2, 2), arrowprops=dict(color="w", width=2, headwidth=9))
ax.set(title="What is one below and two to the right?", xlabel="w", ylabel="h")
for edge in (1.5, 3.5):
    ax.axvline(edge, color="w", lw=1, ls=":")
plots.show(
    fig, "A mosaic of six by eight in four colours, an arrow, and two columns set apart."
)

# %% [markdown]
# Training asks in columns 0, 1, 4 and 5. Columns 2 and 3, between the dotted lines, are never asked
# there, though every offset they need occurs in training.
#
# **Predict.** The best share of right answers for attention without positions?
#
# <details><summary>Answer</summary>
#
# It sees its own colour and the heap of all pixels. Of the 47 others 11 have its colour, 12 have any
# other one, and each is equally likely to be the one in question. So it names another colour: 12/47 =
# 0.255.
#
# </details>


# %%
@cache
def taught(positions, seed):
    """A network trained in the seen columns."""
    return relative_tasks.train_offset(positions, seed)


def found(positions, columns):
    """The shares of right answers for three seeds, in order."""
    return sorted(
        relative_tasks.offset_accuracy(taught(positions, seed), columns) for seed in range(3)
    )


# %% tags=["nbval-ignore-output"]
print("             columns trained     never asked")
for positions in POSITIONS:
    seen, unseen = found(positions, SEEN), found(positions, UNSEEN)
    print(
        f"{positions:12} {seen[0]:.2f} … {seen[-1]:.2f}         {unseen[0]:.2f} … {unseen[-1]:.2f}"
    )

# %%
claim(found("none", SEEN)[-1] < 0.28, "without positions: 12/47, as derived")
claim(
    found("learned", SEEN)[0] > 0.95, "a learned vector a place: solved where it was trained …"
)
claim(found("learned", UNSEEN)[-1] < 0.35, "… and near chance where nobody asked")
claim(found("relative", UNSEEN)[0] > 0.95, "relative: solved everywhere")
claim(found("CoordConv", SEEN)[-1] < 0.5, "CoordConv: not even where it was trained")

# %% [markdown]
# **What you should see.** *Learned* places know nothing of each other: what was learned at column 1
# says nothing about column 2. *Relative* ones have no choice but to generalise, since columns are not in
# their formula. *CoordConv* gains little: for one query its scores are a linear function of the key's
# coordinates, largest at a corner, never in the middle. It can point at the border only.

# %% [markdown]
# *Sinusoidal* positions did well: waves are smooth, and columns 2 and 3 lie between trained ones. So
# ask for more: the same pictures, but the frame lies 10 rows and 20 columns further on in a larger
# picture.

# %% tags=["nbval-ignore-output"]
shifted = []
for seed in range(3):
    taught("sinusoidal", seed).places.origin = 10, 20
    shifted.append(relative_tasks.offset_accuracy(taught("sinusoidal", seed), SEEN))
    taught("sinusoidal", seed).places.origin = 0, 0
print("sinusoidal, frame moved:", *(f"{x:.2f}" for x in sorted(shifted)))
claim(max(shifted) < 0.8, "between trained places it can read, beyond them it cannot")

# %% [markdown]
# For *relative* there is nothing to move: the frame's place is no input of it.
#
# ### What the tables have learned

# %%
network = taught("relative", 0)
q, k, _ = network.attend.project(network.embed(x))
with torch.no_grad():
    weights = relative_weights(q, k, network.attend.rows, network.attend.columns)
maps = rearrange(weights, "1 head (h w) (y x) -> head h w y x", h=6, y=6).mean(0)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4))
for ax, w in zip(axs, (0, 3), strict=True):
    name = f"query in column {w}, {'never asked' if w in UNSEEN else 'asked in training'}"
    plots.heat(ax, maps[2, w], "x", "y", name, bar=False)
    ax.plot(w, 2, "x", color="w")
plots.show(fig, "Two maps: bright one row below and two columns right of the query, in both.")

# %% [markdown]
# **What you should see.** The mean of the heads has its brightest pixel one below and two to the
# right of the cross, on both sides. The offset was learned, not the place. An offset that
# never occurred in training would be as blind as a place: hence the choice of the columns.

# %% [markdown]
# ## 8.6 One product that does all
#
# Fused attention (`F.scaled_dot_product_attention`) never stores the map. But it takes a bias only as
# a tensor of the map's size. Can the places hide in $q$ and $k$? Write $\mathbf 1_y$ for the unit
# vector with its 1 at $y$:
#
# $$
# q_i \cdot (k_j + R_{y-h} + C_{x-w}) =
# \begin{pmatrix} q_i \\ (q_i \cdot R_{y'-h})_{y'} \\ (q_i \cdot C_{x'-w})_{x'} \end{pmatrix} \cdot
# \begin{pmatrix} k_j \\ \mathbf 1_y \\ \mathbf 1_x \end{pmatrix}
# $$

# %% [markdown]
# The middle part has what the query says to every row, and the key picks its own. It is exact.
#
# **Predict.** How many numbers are the new queries, for 56 x 56, d = 32? And the map?
#
# <details><summary>Answer</summary>
#
# 3136 · (32 + 56 + 56) = 451,584. The map: 3136² = 9,834,496 a head. $O(hw\,(d + h + w))$ against
# $O((hw)^2)$.
#
# </details>

# %%
sides, d = torch.tensor([7, 14, 28, 56, 112]), 32
n = sides.double() ** 2
largest = {"gathered": n**2 * d, "skewed, broadcast": n**2, "augmented": n * (d + 2 * sides)}
fig, ax = plt.subplots(figsize=(5, 2.8))
title = "One form grows with the side to the power of 3"
plots.lines(ax, sides, largest, "side of the map in pixels", "largest tensor a head", title)
ax.set(xscale="log", yscale="log", xticks=sides.tolist(), xticklabels=sides.tolist())
ax.minorticks_off()
plots.show(
    fig, "Three rising lines on logarithmic axes; that of the augmented form is the lowest."
)

# %% [markdown]
# ### Exercise: `augmented_pair`
#
# | | axes | what it is |
# |---|---|---|
# | first | `… i m` | q, what it says to rows, what it says to columns |
# | second | `… j m` | k, a one for its row, a one for its column |

# %% exercise="relative_2d.augmented_pair"

# %%
check("relative_2d.augmented_pair", augmented_pair)

# %% [markdown]
# Stuck? `hint("relative_2d.augmented_pair")`. To read on without solving it:
# `from solutions.relative_2d import augmented_pair`.

# %%
torch.manual_seed(0)
q, k, v = torch.randn(3, 1, 2, 14, 10, 8).unbind()
rows, columns = torch.randn(27, 8) / 3, torch.randn(19, 8) / 3
long_q, long_k = augmented_pair(q / math.sqrt(8), k, rows, columns)
claim(
    torch.allclose(
        (long_q @ long_k.mT).softmax(-1), relative_weights(q, k, rows, columns), atol=1e-6
    ),
    "one product, one softmax: the same map",
)

# %% [markdown]
# `relative_attention_2d(q, k, v, rows, columns, implementation)` has all five, under the names
# `naive`, `skew`, `broadcast`, `fused` (a bias, made once) and `augmented`.


# %%
def call(way):
    """The attention of q, k and v, in one of five ways."""
    return relative_attention_2d(q, k, v, rows, columns, way)


ways = "naive", "skew", "broadcast", "fused", "augmented"
for way in ways:
    largest = counting.count(partial(call, way)).largest_tensor
    print(f"{way:10} largest tensor {largest:9,}")
    claim((call(way) - call("skew")).abs().max() < 1e-6, f"{way}: the same")

# %% [markdown]
# **What you should see.** Five equal results. `fused` still makes the bias; `augmented` makes nothing of
# the map's size. And the time? Wall clocks on a shared machine lie, so the calls take turns and
# medians are compared; only ratios mean something.

# %%
q, k, v = torch.randn(3, 2, 8, 32, 32, 32).unbind()
rows, columns = torch.randn(2, 63, 32).unbind()


def train(way):
    """Forward and backward."""
    leaves = [x.clone().requires_grad_() for x in (q, k, v, rows, columns)]
    relative_attention_2d(*leaves, way).sum().backward()


# %% tags=["nbval-ignore-output"]
for name, run, rounds in (("forward", call, 5), ("and backward", train, 3)):
    spent = relative_tasks.alternate({way: partial(run, way) for way in ways[1:]}, rounds)
    usual = median(spent["skew"])
    print(f"{name:14} time over that of the skew: median, least, most")
    for way, times in spent.items():
        print(f"{way:14}", *(f"{x / usual:.2f}" for x in (median(times), times[0], times[-1])))

# %% [markdown]
# **What you should see.** 2 x 8 heads of 32 x 32 pixels, one thread. Forward, `fused` and `augmented` take
# a quarter to two thirds of the skew. In training the bias needs a gradient, and torch's fast kernel does
# not give one: `fused` falls back, `augmented` keeps a lead. Run it again before you believe
# a second digit; on another machine, measure anew. Below 14 x 14 there is little to win.

# %% [markdown]
# ## 8.7 The augmented convolution
#
# Attention sees far, a convolution sees sharply. Bello et al. keep both: of $F$ output channels, $dv$
# come from attention, the others from a convolution.
#
# $$ \text{out} = [\,\text{conv}(x),\; W_o\,[o_1, \dots, o_{\text{heads}}]\,] \qquad
# dk = \kappa F \quad dv = \upsilon F $$
#
# **Predict.** 3x3, 64 channels in and out, $\kappa = \upsilon = 1/4$: more or fewer weights than the
# convolution's 36,864?
#
# <details><summary>Answer</summary>
#
# $9 \cdot 64 \cdot 48 + 64 \cdot (16 + 16 + 16) + 16^2 = 30{,}976$: 5,888 fewer. A channel of
# attention is cheaper than one of a 3x3.
#
# </details>

# %% [markdown]
# ### Exercise: `attention_widths`
#
# The paper demands at least 20 key features **in each head**. Its parameters come out when $dk$ and $dv$ are
# rounded down to a multiple of the heads. Without values, no keys: `(0, 0)`.

# %% exercise="relative_2d.attention_widths"

# %%
check("relative_2d.attention_widths", attention_widths)

# %% [markdown]
# Stuck? `hint("relative_2d.attention_widths")`. To read on without solving it:
# `from solutions.relative_2d import attention_widths`.

# %% [markdown]
# ### The module
#
# | | axes | what it is |
# |---|---|---|
# | `project(x)` | `b head h w d`, twice, `b head h w e` | q, k and v; `self.kqv` stacks **k, q, v** |
# | `attention(x)` | `b head i j` | the map |
# | `forward(x)` | `b f y x` | the convolution's maps first |
#
# A stride halves the attention's input by `halved(x, stride)`, 3x3 means. With `downsample`
# it is halved once more, and what `self.out` gives is enlarged by bilinear interpolation, `align_corners=False`.

# %% [markdown]
# ### Exercise: `AttentionAugmentedConv2d`
#
# `self.tables(h, w)` gives the two tables for a map of that size; `relative_attention_2d` and
# `relative_weights` do the rest. With upsilon = 0 there is no `kqv`, with upsilon = 1 no `conv`.

# %% exercise="relative_2d.attention_augmented_conv"

# %%
check("relative_2d.attention_augmented_conv", AttentionAugmentedConv2d)

# %% [markdown]
# Stuck? `hint("relative_2d.attention_augmented_conv")`. To read on without solving it:
# `from solutions.relative_2d import AttentionAugmentedConv2d`.

# %% [markdown]
# ### Two limits
#
# With tables of zeros and all channels, it must be chapter 2 on flattened pixels; without
# values, a convolution.


# %%
def as_multi_head(layer):
    """Multi-head attention with the layer's weights, and no biases."""
    plain = MultiHeadAttention(40, 2)
    weights = (*layer.kqv.weight.flatten(1).chunk(3), layer.out.weight.flatten(1))
    parts = plain.key, plain.query, plain.value, plain.out
    for part, weight in zip(parts, weights, strict=True):
        part.load_state_dict({"weight": weight, "bias": torch.zeros(40)})
    return plain


# %%
x = torch.randn(2, 40, 5, 7)
layer = AttentionAugmentedConv2d(40, 40, 3, 1, 1, 2, (5, 7))
nn.init.zeros_(layer.rows), nn.init.zeros_(layer.columns)
flat = as_multi_head(layer)(rearrange(x, "b c h w -> b (h w) c"))
same = torch.allclose(rearrange(layer(x), "b c h w -> b (h w) c"), flat, atol=1e-6)
claim(same, "it is multi-head attention on pixels in a line")
layer = AttentionAugmentedConv2d(40, 24, upsilon=0)
claim(torch.equal(layer(x), layer.conv(x)), "and without values a convolution")

# %% [markdown]
# ### Any size
#
# Tables are made for one size. On a smaller map the middle of a table is used, on a larger one all
# offsets beyond the last share its vector: offsets keep their meaning in pixels. For the same scene at another
# resolution, `stretch=True` interpolates instead.

# %%
table = torch.arange(-3.0, 4)[:, None]
for name, n, stretch in (("smaller", 3, False), ("larger", 6, False), ("stretched", 6, True)):
    print(f"{name:10}", *(f"{x:.1f}" for x in fit_table(table, n, stretch)[:, 0].tolist()))

# %% [markdown]
# ### How much attention? Parameters
#
# The paper's last ablation lets attention take a quarter of the channels, half, three quarters, all of
# them.


# %%
def weights_of(channels, share):
    """The weights of a layer on 14 x 14 pixels."""
    widths = attention_widths(channels, share, share, 8)
    return parameters(channels, channels, 3, *widths, 8, (14, 14)) if share else 9 * channels**2


# %%
shares, curves = [s / 16 for s in range(17)], {}
for channels in (256, 512):
    counts = [weights_of(channels, share) for share in shares]
    curves[f"{channels} channels"] = [n / counts[0] for n in counts]
fig, ax = plt.subplots(figsize=(4.8, 2.6))
title = "Attention is cheaper than a 3x3"
plots.lines(ax, shares, curves, "share of attention", "weights of the layer", title)
plots.show(fig, "Two curves that fall from about 1 to a half and less.")

# %%
with torch.device("meta"):
    networks = {s: augmented_resnet(50, kappa=s, upsilon=s) for s in (0.25, 0.5, 0.75, 1.0)}
sizes = {s: sum(p.numel() for p in one.parameters()) for s, one in networks.items()}
for share, size in sizes.items():
    print(f"ResNet-50, stages 2 to 4, share {share:4}: {size / 1e6:.1f} M")
claim(
    sorted(sizes.values(), reverse=True) == list(sizes.values()),
    "the more attention, the fewer weights",
)

# %% [markdown]
# **What you should see.** From 24.3 M down to 19.4 M, where the plain network has 25.6 M. The bump at
# the start is the least width: 20 features a head, however small the share.
#
# ### How much attention? Digits
#
# Two convolutions for the 8 x 8 digits, the second with a share of attention. Two seeds each.

# %% tags=["nbval-ignore-output"]
right = {}
for share in (0, 0.25, 0.5, 0.75, 1):
    right[share] = [relative_tasks.train_small(share, seed)[1] for seed in range(2)]
    size = sum(p.numel() for p in relative_tasks.Small(share).parameters())
    print(
        f"share {share:4}: {size:5} weights   right {min(right[share]):.3f} … {max(right[share]):.3f}"
    )
claim(min(min(x) for x in right.values()) > 0.8, "all shares read digits, attention alone too")

# %% [markdown]
# **What you should see.** All work, and two seeds of one share differ about as much as the shares do: nothing
# here says which is best. On ImageNet, the paper says, attention alone gains 2.8 points by relative positions; beside a
# convolution they matter less (next table). Digits of 8 x 8 cannot show that.
#
# | places, AA-ResNet-50 | none | 2D sine | CoordConv | relative |
# |---|---|---|---|---|
# | top-1, printed by the paper | 77.5 | 77.5 | 77.5 | 77.7 |

# %% [markdown]
# ### Printed, and counted
#
# Printed figures are from the paper's tables; parameters of ours are counted.

# %%
with torch.device("meta"):
    ours = {
        ("ResNet-50", 25.6): ResNet(50),
        ("AA-ResNet-50", 25.8): augmented_resnet(50),
        ("WRN-28-10", 36.3): WideResNet(28, 10.0, shortcut="pooled"),
        ("AA-WRN-28-10", 36.2): augmented_wide_resnet(),
        ("ResNet-34", 21.8): ResNet(34),
        ("AA-ResNet-34", 20.7): augmented_resnet(34),
    }

# %%
print("millions of weights    printed  counted")
for (name, printed), model in ours.items():
    counted = sum(p.numel() for p in model.parameters()) / 1e6
    fits = abs(counted - printed) < 0.06
    print(f"{name:22} {printed:7} {counted:8.2f}", "" if fits else " differs")
    claim(fits == (name not in ("AA-WRN-28-10", "AA-ResNet-34")), f"{name}: as told below")

# %% [markdown]
# **What you should see.** AA-ResNet-50 comes out to the digit, with 0.2 F, at least 160 key features, and 0.1 F rounded
# down to a multiple of 8. AA-ResNet-34 and AA-WRN-28-10 do **not** come out of the published description.
# We leave it at that: a model tuned until its count fits would prove nothing.

# %%
with torch.device("meta"):
    dense = cost(ours["AA-ResNet-50", 25.8], (1, 3, 224, 224)).multiply_adds
products = 0
for layer in ours["AA-ResNet-50", 25.8].modules():
    if hasattr(layer, "widths"):
        products += ((len(layer.rows) + 1) // 2) ** 4 * sum(layer.widths)
print(f"AA-ResNet-50 printed 8.3 G, twice our multiply-adds {2 * dense / 1e9:.2f} G,")
print(f"with the two products of the attention {2 * (dense + products) / 1e9:.2f} G")

# %% [markdown]
# **What you should see.** 8.52 and 9.44, and 8.3 printed. Neither fits; the paper counts two for a
# multiply-add elsewhere (8.2 for the plain network, which is exact), so how it counted attention
# we do not know.

# %% [markdown]
# ### Where it looks

# %%
network, _ = relative_tasks.train_small(0.5, 0)
image = digits(test=True).image[:1]
with torch.no_grad():
    maps = network.second.attention(network.bn1(network.first(image)).relu())

# %% tags=["nbval-ignore-output"]
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.1))
plots.image(axs[0], 1 - image[0, 0], "A pixel asks")
for head, ax in enumerate(axs[1:]):
    one = rearrange(maps[0, head, 2 * 8 + 3], "(y x) -> y x", y=8)
    plots.heat(
        ax, one, "x", "y", f"head {head} looks", high=maps[0, :, 19].max().item(), bar=False
    )
for ax in axs:
    ax.plot(3, 2, "x", color="tab:red")
plots.show(fig, "A digit of eight by eight, and where its marked pixel looks in each head.")

# %% [markdown]
# **What you should see.** Two heads that look at different parts of the map, far beyond a 3x3 window. What they
# look for differs between machines and seeds; that they may look anywhere does not.
#
# ## What to take along
#
# | form | largest tensor | when |
# |---|---|---|
# | gathered | $(hw)^2 d$ | to define it |
# | skewed, broadcast | $(hw)^2$ a head | when the map itself is wanted |
# | augmented | $hw\,(d + h + w)$ | otherwise |
#
# Relative positions score a pair by its offset: what is learned at one place holds at all. An augmented
# convolution gives some channels to them. Chapter 9 asks what is left when the convolutions go.
