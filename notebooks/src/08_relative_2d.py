# %% [markdown]
# # 8 · Relative positions in the plane
#
# Attention does not know where a pixel stands: shuffle the pixels, and the result is shuffled with them.
# For text it had been given *relative* positions (chapter 3). In 2019 Irwan Bello, Barret Zoph, Ashish Vaswani,
# Jonathon Shlens and Quoc Le did the same for images, which have two directions, and then asked a bolder
# question: if attention knows places, how much of a convolution can it replace?

# %% [markdown]
# Why mix the two? A convolution knows exactly which neighbour is which, and is cheap, but it sees few pixels;
# attention is costly but sees the whole image. In their
# [attention augmented convolution](https://arxiv.org/abs/1904.09925) (ICCV 2019) each does what it is good at.
#
# **About 2½ hours**, of which 92 minutes are exercises. A CPU is enough.

# %% [markdown]
# ### What came of it
#
# | | plain | with squeeze-and-excitation | augmented |
# |---|---|---|---|
# | ResNet-34, ImageNet, top-1 | 73.6 % | 74.3 % | 74.7 % |
# | ResNet-50, ImageNet, top-1 | 76.4 % | 77.5 % | 77.7 % |
# | ResNet-101, ImageNet, top-1 | 77.9 % | 78.4 % | 78.7 % |
# | RetinaNet on ResNet-50, COCO, AP | 36.8 | 36.5 | 38.2 |
#
# (Tables and Figure 1 of the paper. COCO is a collection of photographs in which objects are to be found,
# RetinaNet a network that finds them, and AP, the average precision, its score.) Over squeeze-and-excitation the
# layer gains little in classification, 0.2 to 0.4 points, and more in detection, 1.7 points. The relative positions
# have outlived the layer: the same scores, from one table for rows and one for columns, stand in
# [BoTNet](https://arxiv.org/abs/2101.11605), [MViTv2](https://arxiv.org/abs/2112.01526) and in the image
# encoder of [Segment Anything](https://arxiv.org/abs/2304.02643).

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | relative positions in four ways that give one result; the augmented convolution | which kinds of positions find a pixel from where they were never asked; what each form costs; the paper's weights, counted | the skew of chapter 3, heads from chapter 2 |
#
# On a first reading, skip the marked sections; it then takes about two hours.

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `h` `w` | height and width of a feature map, and in patterns the row and column of a *query* |
# | `y` `x` | in patterns the row and column of a *key*; in `forward(x)` the letter x is the input |
# | $R$, $C$ | the two tables, `rows` and `columns` in code |
# | `y - h`, `x - w` | how many rows down and how many columns right the key is from the query |
#
# A **feature map** has the axes `h w`, one number for each pixel; an **attention map** has the axes `i j`, one
# for each pair of a query $i$ and a key $j$, with `i = (h w)` and `j = (y x)`. Other letters are explained
# where they come up.

# %%
import math
from collections.abc import Callable
from functools import cache, partial
from statistics import median

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int
from matplotlib import patheffects
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, explore, hint
from attncourse.book import claim, plots
from attncourse.book.drawings import relative_2d as drawn
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
# ### A puzzle
#
# Each pixel of a mosaic has to name the colour one below and two to its right. In photographs such an offset
# stands for how parts lie: the wheel is below the door, wherever the car is. (The last row and the last two columns
# have no such pixel and are not asked.) In training the question is asked in columns 0, 1, 4 and 5 only.
# Afterwards it is asked in columns 2 and 3.

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
x, colour = relative_tasks.mosaics(1)
fig, ax = plt.subplots(figsize=(4.4, 3.3))
ax.imshow(colour[0], cmap="viridis", vmin=0, vmax=3)
ax.plot([1.55, 1.55, 3.45, 3.45], [-0.6, -0.8, -0.8, -0.6], color="k", lw=1.2, clip_on=False)
ax.text(2.5, -0.95, "never asked in training", ha="center", va="bottom", size=8.5)
ax.annotate("", (7, 3), (5, 2), arrowprops=dict(color="#d55e00", width=2.5, headwidth=10))
ax.plot(5, 2, "o", color="#d55e00")
ax.set_title("Which colour is one below and two to the right?", pad=28)
ax.set(xlabel="column", ylabel="row")
ax.set_ylim(5.5, -0.5)
plots.show(
    fig,
    "A mosaic of six by eight in four colours, an arrow from a query in column 5, and a bracket over columns 2 and 3.",
)

# %% [markdown]
# A network with a learned vector for every place answers perfectly in the columns where it was trained, and
# hardly better than by guessing in the two others. One with relative positions answers perfectly in both. Why?
# Section 8.5 lets you see it happen.
#
# ### The layer we are heading for
#
# Most of its channels come from a 3 x 3 convolution, the others from attention over the whole feature map.
# The first six sections build the green box, section 8.7 the rest.

# %% jupyter={"source_hidden": true}
HEADING_FOR = """x goes into a 3 x 3 convolution, which gives f - dv channels, and into keys, queries and
values, attention with the tables R and C, and a last layer, which gives dv channels. The output has
both, concatenated along the channel axis: the channels of the attention are the last ones."""
plots.show(drawn.augmented_convolution(), HEADING_FOR)

# %% [markdown]
# ## 8.1 Two tables for all pairs
#
# In chapter 3 a pair of tokens had one distance. A pair of pixels has two: the key lies so many rows down and
# so many columns to the right of the query. Whatever is learned for "24 down and 32 to the right" should hold
# everywhere in the picture.

# %% jupyter={"source_hidden": true}
photo = photograph("china")
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4))
edge = [patheffects.withStroke(linewidth=2.5, foreground="black")]
pointing = dict(
    arrowstyle="-|>", lw=2.5, color="#e69f00", mutation_scale=18, shrinkA=0, shrinkB=0
)
for ax, (row, column) in zip(axs, ((20, 30), (50, 90)), strict=True):
    plots.image(ax, photo, f"Query in row {row}, column {column}")
    ax.annotate("", (column + 32, row + 24), (column, row), arrowprops=pointing)
    ax.plot(column, row, "o", color="#e69f00", ms=7)
    middle = (column + 8, row + 29)
    ax.text(*middle, "24 down, 32 right", color="w", ha="center", va="top", path_effects=edge)
plots.show(
    fig,
    "A photograph of a temple (from scikit-learn) twice, with the same arrow from two places: 24 down, 32 right.",
)

# %% [markdown]
# A vector for every offset would be a table of $(2h-1)(2w-1)$ vectors. Bello et al. take the **sum** of a
# vector for the rows and a vector for the columns.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.two_tables(),
    "A feature map of five by seven pixels with a query and a key, 2 rows down and 3 columns to the"
    " right. Beside it the table R with entries from -4 to 4, where +2 is marked, and the table C from -6 to 6,"
    " where +3 is marked.",
)

# %% [markdown]
# $$ \text{score}_{ij} = \frac{q_i \cdot (k_j + R_{y-h} + C_{x-w})}{\sqrt d} $$
#
# (Section 3 of the paper; $d$ counts the features of a key in one head.) The part
# $q_i \cdot (R_{y-h} + C_{x-w})$ comes from the positions alone. We call it the **position score**. A
# score before the softmax is also called a **logit**, hence the names of the functions.
#
# **Predict.** How many vectors are there for a feature map of 28 x 28, with the sum and without?
#
# <details><summary>Answer</summary>
#
# Offsets run from -27 to 27, which makes 55 on each axis. With the sum there are 55 + 55 = 110 vectors, without
# it 55 · 55 = 3025.
#
# </details>

# %% [markdown]
# ### Once by hand
#
# Let $d = 1$, $q_i = 2$, and let the two keys be equal, $k_j = 1$. One lies right beside the query (0 down, 1
# right), the other two rows below it (2 down, 0 right). The tables say "near is good": $R_0 = C_0 = 0$,
# $C_{+1} = -0.5$, $R_{+2} = -2$.
#
# The scores are 2 · (1 + 0 - 0.5) = 1 and 2 · (1 - 2 + 0) = -2. Their softmax is 0.95 and 0.05, although
# what the keys *hold* is the same.

# %%
q, k = 2.0, 1.0
places = torch.tensor([0 - 0.5, -2 + 0])  # R + C for either key
scores = q * (k + places)
print("scores", scores.tolist(), "weights", *(f"{w:.2f}" for w in scores.softmax(-1).tolist()))
claim(scores.softmax(-1)[0] > 0.9, "of two equal keys the near one gets nine tenths and more")

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `q` | `… h w d` | queries, already divided by $\sqrt d$ |
# | `rows`, `columns` | `r d`, `s d` | $R$ and $C$, one vector for each of the $2h-1$ and $2w-1$ offsets |
# | result | `… i j` | $q_i \cdot (R + C)$ for every pair |
#
# `offsets(n)[i, j]` $= j - i + n - 1$ says which table entry the pair $(i, j)$ uses on an axis of $n$ pixels.
# The $n - 1$ is there because a table counts from 0. `check_tables` takes `h`, `w` and both tables, and raises where they do not fit.

# %% [markdown]
# ### Exercise: `gathered_logits`
#
# Write it as it is defined: lay out a vector for every pair, then multiply. Ignore memory for now.

# %% exercise="relative_2d.gathered_logits"

# %%
check("relative_2d.gathered_logits", gathered_logits)

# %% [markdown]
# Stuck? `hint("relative_2d.gathered_logits")` gives one hint at a time. To read on without solving
# it: `from solutions.relative_2d import gathered_logits`.

# %% [markdown]
# Two pairs of tables are made by hand. The first pair takes a quarter of the squared distance off the score; the
# second prefers a key the more, the further to the right it is, up to three columns; from there on all are alike. The figure shows the attention weights of two
# queries under each pair.

# %%
q = torch.ones(9, 13, 1)  # all queries alike
far = torch.arange(-8.0, 9)[:, None], torch.arange(-12.0, 13)[:, None]
near = -far[0].square() / 4, -far[1].square() / 4
right = 0 * far[0], far[1].clamp(max=3)

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(2, 2, figsize=(6.4, 4.1))
photo = 0.5 + 0.5 * reduce(photograph("china", 90, 130), "h w c -> h w", "mean")
where = dict(extent=(-0.5, 129.5, 89.5, -0.5), cmap="viridis", vmin=0, vmax=1)
names = "First pair: near me", "Second pair: to my right"
for line, tables, name in zip(axs, (near, right), names, strict=True):
    weights = gathered_logits(q, *tables).softmax(-1)
    maps = rearrange(weights, "(h w) (y x) -> h w y x", h=9, y=9)
    for ax, (row, column) in zip(line, ((2, 3), (6, 7)), strict=True):
        plots.image(ax, photo, name)
        over = ax.imshow(maps[row, column] / maps[row, column].max(), alpha=0.7, **where)
        ax.plot(10 * column + 4.5, 10 * row + 4.5, "x", color="tab:red", mew=2.5, ms=8)
fig.colorbar(over, ax=axs, shrink=0.7, label="weight, as a fraction of the largest")
alt = """A grey photograph four times under attention weights. Above, a bright spot around a red cross;
below, everything from three columns right of the cross on is bright."""
plots.show(fig, alt)

# %% [markdown]
# **What you should see.** The attention map moves with the query, which is marked by the cross: the same tables
# say "near me", or "to my right", for whoever asks. Should the bright part lie to the left, you count query minus key.
# Should it lie below, height and width are exchanged, a frequent mistake that square feature maps hide.

# %%
torch.manual_seed(0)
q = torch.randn(28, 28, 20)
rows, columns = torch.randn(55, 20), torch.randn(55, 20)
spent = counting.count(lambda: gathered_logits(q, rows, columns)).largest_tensor
print(f"largest tensor {spent:,}, the attention map itself {784**2:,}")
claim(spent == 784**2 * 20, "it has (h w)² d numbers, d times the attention map")

# %% [markdown]
# ## 8.2 A row and a column at a time
#
# The definition makes 12 million numbers where the attention map of one head has 0.6 million, and 28 x 28 pixels
# are not many. The remedy is a look at the formula. For one query, $q_i \cdot R_{y-h}$ depends only on
# the *row* of the key, and $q_i \cdot C_{x-w}$ only on its *column*. So we compute h numbers for the
# rows and w numbers for the columns, and the position score of a key is the sum of the two that belong to it.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.axis_logits(),
    "For one query: five position scores, one for each row, and seven, one for each column; their sums"
    " fill a table of five by seven, one number for each key.",
)

# %% [markdown]
# A query needs one vector of the table for each row of keys, and all queries of one row of the image need the same
# ones. So we look up a vector for every pair of *rows*, `rows[offsets(h)]` with the axes `h y d`, and multiply
# each query with the vectors of its row. The result has one number for each row of keys, `h w y`. The columns
# go the same way. For 28 x 28 pixels and d = 20 that is a difference:
#
# | | numbers |
# |---|---|
# | vectors of all pairs of pixels | 12,293,120 |
# | vectors of all pairs of rows | 15,680 |

# %% [markdown]
# ### Exercise: `axis_logits`
#
# | | axes | what it is |
# |---|---|---|
# | first | `… h w y` | $q_i \cdot R_{y-h}$, for each row of keys |
# | second | `… h w x` | $q_i \cdot C_{x-w}$, for each column of keys |

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
apart = (both - gathered_logits(q, rows, columns)).abs().max()
claim(apart < 1e-4, "the sums are the position scores of the definition")
print(f"before the sum: 2 x {down.numel():,} numbers; after it {both.numel():,}")

# %% [markdown]
# **What you should see.** Before the sum there are twice 21,952 numbers. Only the sum is large, and section 8.6
# does without it.

# %% [markdown]
# ### Where these scores live today
#
# | | what is added to the score | learned, for a feature map of $h \times w$ |
# |---|---|---|
# | Bello et al. | $q_i \cdot (R_{y-h} + C_{x-w}) / \sqrt d$ | $(2h - 1 + 2w - 1)\, d$, for all heads together |
# | MViTv2, Segment Anything | $q_i \cdot R_{y-h} + q_i \cdot C_{x-w}$ | the same number |
# | Swin | a number $B_{y-h,\,x-w}$, whatever $q_i$ is | $(2h-1)(2w-1)$ for each head |
#
# **Decomposed relative positions** is what MViTv2 calls the second row. It *is* your `axis_logits` and their
# broadcast sum. (In the [code](https://github.com/facebookresearch/segment-anything) of Segment Anything the
# queries in it are not divided by $\sqrt d$, and offsets count query minus key.) [Swin](https://arxiv.org/abs/2103.14030) has small windows,
# 7 x 7 by default, so it can afford a table of all offsets, a **bias table** of one number each.


# %%
def bias_table(table, h, w):
    """Swin's positions: a number for each offset, `r s`, laid out for every pair, `i j`."""
    pairs = table[
        rearrange(offsets(h), "h y -> h 1 y 1"), rearrange(offsets(w), "w x -> 1 w 1 x")
    ]
    return rearrange(pairs, "h w y x -> (h w) (y x)")


# %%
torch.manual_seed(0)
r, s = torch.randn(13), torch.randn(13)
one = torch.ones(7, 7, 1)  # queries that are all 1
ours = gathered_logits(one, rearrange(r, "r -> r 1"), rearrange(s, "s -> s 1"))
swin = bias_table(rearrange(r, "r -> r 1") + s, 7, 7)
claim((ours - swin).abs().max() < 1e-5, "a bias table that is a sum is the case q = 1 of ours")
print("learned for 7 x 7:", 13 * 13, "numbers a head against", 26, "times d for all heads")

# %% [markdown]
# **What you should see.** The two meet where Swin's table happens to be a sum of rows and columns and all
# queries are 1. Swin's table is freer in the offset, since it need not be a sum; Bello's tables are freer in
# the query, which may ask "what is to my right" or "what is below me" depending on what it holds.

# %% [markdown]
# ## 8.3 The skew, as the paper has it (may be skipped)
#
# For text, where there is one axis and nothing simpler, a trick was known.
# [Huang et al.](https://arxiv.org/abs/1809.04281) had found it in 2018 for Music Transformer, where keys lie in
# the past only; Bello et al. extended it to both signs and two axes. It is a fine piece of thinking in
# memory. To skip it: `from solutions.relative_2d import rel_to_abs, relative_logits_1d, relative_logits_2d`.
#
# As in chapter 3 we multiply every query with the whole table first, since the result `i r` is small, and then
# move each number to its key. Here $r$ counts the $2n - 1$ offsets on an axis of $n$ pixels.

# %% jupyter={"source_hidden": true}
n = 5
offset = repeat(torch.arange(-4, 5), "r -> i r", i=n)
wanted = offsets(n) - (n - 1)
fig, cell = plt.figure(figsize=(6.4, 2.7), layout="none"), 0.36
for left, table, name, across in (
    (0.5, offset, "Given: one column per offset", "table entry r"),
    (4.4, wanted, "Wanted: one column per key", "key j"),
):
    width = table.shape[1] * cell
    ax = fig.add_axes((left / 6.4, 0.58 / 2.7, width / 6.4, n * cell / 2.7))
    plots.signed(ax, table, across, "query i", name, limit=8, bar=False)
    for i, j in [(i, j) for i in range(n) for j in range(table.shape[1])]:
        ax.text(j, i, int(table[i, j]), ha="center", va="center")
plots.show(fig, "Five rows from -4 to 4; and a square whose diagonal is 0.")

# %% [markdown]
# **Predict.** Number the cells on the left line by line from 0. Which are wanted for query 0, and which for
# query 1? What is the step from the one to the other?
#
# <details><summary>Answer</summary>
#
# Query 0 wants the cells 4 to 8, query 1 the cells 12 to 16, so the step is 8. In general what query $i$ wants
# begins at $n - 1 + i\,(2n - 2)$, and the step is $2n-2$, while a row has $2n-1$ cells.
#
# </details>

# %% [markdown]
# The numbers that query $i$ wants begin at cell 4, 12, 20, …, that is 8 cells apart. If we drop the first four cells
# and cut the rest into rows of 9, the rows begin at 4, 13, 22, …: the second row begins one cell too late, the
# third two. So we first add one empty cell to every row. Now the wanted numbers begin 9 cells apart as well, at
# 4, 13, 22, …, and a cut into rows of 9 puts each at the beginning of a row.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.padded_strip(),
    "Three rows of the offsets -2 to 2; each gets a cell more; all are read as one strip in which three"
    " runs of three cells are framed; the strip, cut anew from the third cell on into rows of five,"
    " begins each row with one run; its first three columns are the result, the others are hatched.",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `x` | `… i r` | column $r$ is the offset $r - (n-1)$ |
# | `rel_to_abs(x)` | `… i j` | for each pair the number that belongs to the offset $j - i$ |

# %% [markdown]
# ### Exercise: `rel_to_abs`
#
# Raise a `ValueError` where $r$ is not $2n - 1$.

# %% exercise="relative_2d.rel_to_abs"

# %%
check("relative_2d.rel_to_abs", rel_to_abs)

# %% [markdown]
# Stuck? `hint("relative_2d.rel_to_abs")`. To read on without solving it:
# `from solutions.relative_2d import rel_to_abs`.

# %%
claim(torch.equal(rel_to_abs(offset), wanted), "the given table becomes the wanted one")

# %% [markdown]
# ### Exercise: `relative_logits_1d`
#
# On one axis, `… i d` and `r d` become `… i j`. No tensor `i j d` may be made on the way; the check counts.

# %% exercise="relative_2d.relative_logits_1d"

# %%
check("relative_2d.relative_logits_1d", relative_logits_1d)

# %% [markdown]
# Stuck? `hint("relative_2d.relative_logits_1d")`. To read on without solving it:
# `from solutions.relative_2d import relative_logits_1d`.

# %% [markdown]
# ### Exercise: `relative_logits_2d`
#
# As in section 8.2, $q_i \cdot C_{x-w}$ is the same for all rows of keys: skew along the columns, and
# repeat. For the rows do the same on the transposed feature map.

# %% exercise="relative_2d.relative_logits_2d"

# %%
check("relative_2d.relative_logits_2d", relative_logits_2d)

# %% [markdown]
# Stuck? `hint("relative_2d.relative_logits_2d")`. To read on without solving it:
# `from solutions.relative_2d import relative_logits_2d`.

# %%
apart = (relative_logits_2d(q, rows, columns) - gathered_logits(q, rows, columns)).abs().max()
claim(apart < 1e-4, "skewed position scores are the gathered ones")
spent = counting.count(lambda: relative_logits_2d(q, rows, columns)).largest_tensor
print(f"largest tensor {spent:,}")
claim(spent == 784**2, "nothing is larger than the attention map")

# %% [markdown]
# **What you should see.** The largest tensor has 614,656 numbers, a twentieth of the definition's, since d = 20.
# The paper counts the same, $(hw)^2$ numbers for each head. If yours is larger, a table of pairs is still made
# somewhere.

# %% [markdown]
# ## 8.4 The attention map, and what moves with the picture
#
# The attention map is the softmax of the whole score, content and position:
#
# $$ A = \operatorname{softmax}_j \frac{q_i \cdot k_j + q_i \cdot (R_{y-h} + C_{x-w})}{\sqrt d} $$
#
# In this formula both parts are divided by $\sqrt d$, and it is enough to divide q once. Not all code does so: in
# [timm](https://github.com/huggingface/pytorch-image-models) the layer `BottleneckAttn` divides the content
# only, unless `scale_pos_embed=True` is given.
#
# **Predict.** Let d = 64, and let the position scores not be divided. How much larger are they?
#
# <details><summary>Answer</summary>
#
# They are $\sqrt{64} = 8$ times as large. At the start, when the vectors of tables and keys have about equal
# norm, attention then sees hardly anything but positions.
#
# </details>

# %% [markdown]
# ### Exercise: `relative_weights`
#
# `logits(q, rows, columns)` gives the position scores; without tables there is content alone.

# %% exercise="relative_2d.relative_weights"

# %%
check("relative_2d.relative_weights", relative_weights)

# %% [markdown]
# Stuck? `hint("relative_2d.relative_weights")`. To read on without solving it:
# `from solutions.relative_2d import relative_weights`.

# %% [markdown]
# ### Move the frame
#
# Cut a frame out of a photograph, and another one 2 rows down and 3 columns to the right. A pair of pixels
# that is in both should be scored alike.

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.4, 3.1))
plots.image(ax, photograph("china", 8, 11), "The same pair of pixels in two frames")
for row, column, colour_, name in ((0, 0, "#e69f00", "frame 1"), (2, 3, "#d55e00", "frame 2")):
    look = dict(fill=False, ec=colour_, lw=2.5, clip_on=False)
    ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 8, 6, **look))
    ax.text(column - 0.3, row + 5.3, name, color="w", va="bottom", path_effects=edge)
ax.annotate("", (6, 4), (4, 3), arrowprops=pointing | dict(color="w"))
ax.plot((4, 6), (3, 4), "o", color="w", mec="k", ms=7)
ax.text(4, 2.6, "query", color="w", ha="center", va="bottom", path_effects=edge)
ax.text(6, 4.4, "key", color="w", ha="center", va="top", path_effects=edge)
alt = """A photograph of 8 by 11 large pixels with two overlapping frames of 6 by 8. A query and a key, joined
by an arrow, lie in both."""
plots.show(fig, alt)

# %% [markdown]
# We measure this on untrained networks that differ in how places enter:
#
# | name | how a pixel's place enters |
# |---|---|
# | none | not at all |
# | sinusoidal | a vector of waves, fixed for its row and column, is added to its features (chapter 3) |
# | learned | a vector that is learned for this very place is added to its features |
# | CoordConv | its row and column are two more channels of the input ([Liu et al.](https://arxiv.org/abs/1807.03247)) |
# | relative | by this chapter's position scores |

# %%
photo = rearrange(photograph("china", 8, 11), "h w c -> 1 c h w")
picture = torch.cat([photo, photo.mean(1, keepdim=True)], 1)
change = {}
for positions in POSITIONS:
    torch.manual_seed(0)
    change[positions] = relative_tasks.moved(relative_tasks.Offset(positions), picture, (2, 3))
    print(f"{positions:10}", "same scores" if change[positions] < 1e-5 else "other scores")
moving = [positions for positions in POSITIONS if change[positions] < 1e-5]
claim(
    moving == ["none", "relative"],
    "the scores stay only without positions and with relative ones",
)

# %% [markdown]
# **What you should see.** Without positions and with relative ones the scores of the pair stay, up to rounding:
# nothing in the formula says where the frame lies. All absolute schemes change them. One thing changes even
# so: *which* keys there are. At the border other pixels enter the softmax, so weights are equal up to a
# common factor.

# %% [markdown]
# ## 8.5 A task in which only the offset counts
#
# Now the puzzle of the first page. Every pixel must name the colour one below and two to its right; each mosaic has
# twelve pixels of each of four colours, in random order. Training asks in columns 0, 1, 4 and 5. Columns 2
# and 3 are never asked there, though every offset that they need occurs in training.
#
# **Predict.** What is the best fraction of right answers for attention without positions?
#
# <details><summary>Answer</summary>
#
# It sees its own colour and the unordered set of all pixels. Of the 47 others 11 have its own colour and 12
# have each of the other ones, and each is equally likely to be the one in question. So it names another colour
# and is right in 12 of 47 cases.
#
# </details>


# %%
@cache
def taught(positions, seed):
    """A network trained in the seen columns."""
    return relative_tasks.train_offset(positions, seed)


def found(positions, columns):
    """The fractions of right answers for three seeds, in order."""
    return sorted(
        relative_tasks.offset_accuracy(taught(positions, seed), columns) for seed in range(3)
    )


# %% tags=["nbval-ignore-output"]
print(f"12/47 = {12 / 47:.3f}")
print("             columns trained     never asked")
for positions in POSITIONS:
    seen, unseen = found(positions, SEEN), found(positions, UNSEEN)
    print(
        f"{positions:12} {seen[0]:.2f} … {seen[-1]:.2f}         {unseen[0]:.2f} … {unseen[-1]:.2f}"
    )

# %%
claim(found("none", SEEN)[-1] < 0.28, "without positions it reaches 12/47 and no more")
claim(found("learned", SEEN)[0] > 0.95, "learned positions solve it where they were trained")
claim(found("learned", UNSEEN)[-1] < 0.35, "but are near chance where nobody asked")
claim(found("relative", UNSEEN)[0] > 0.95, "relative positions solve it where nobody asked")
claim(
    found("CoordConv", SEEN)[-1] < 0.5, "CoordConv does not solve it even where it was trained"
)

# %% [markdown]
# **What you should see.** Here is the answer to the puzzle. *Learned* places know nothing of each other: what was
# learned at column 1 says nothing about column 2. *Relative* ones must generalise, since columns are not in their formula. *CoordConv* gains
# little in this one layer: for one query its scores by place are a linear function of the key's coordinates, which is
# largest at a corner and never in the middle.

# %% [markdown]
# *Sinusoidal* positions did well: waves are smooth, and columns 2 and 3 lie between trained ones. So we ask for
# more: the same pictures, but the frame lies 10 rows and 20 columns further on in a larger picture.

# %% tags=["nbval-ignore-output"]
shifted = []
for seed in range(3):
    taught("sinusoidal", seed).places.origin = 10, 20
    shifted.append(relative_tasks.offset_accuracy(taught("sinusoidal", seed), SEEN))
    taught("sinusoidal", seed).places.origin = 0, 0
print("sinusoidal, frame moved:", *(f"{right:.2f}" for right in sorted(shifted)))
claim(max(shifted) < 0.8, "beyond the trained places sinusoidal positions do worse")

# %% [markdown]
# For *relative* nothing can change, and nothing need be run: the frame's place is not among its inputs.
#
# ### What the tables have learned


# %% tags=["nbval-ignore-output"]
@cache
def learned_weights():
    """A mosaic, and the attention weights of the network with relative positions."""
    torch.manual_seed(0)
    x, colour = relative_tasks.mosaics(1)
    network = taught("relative", 0)
    q, k, _ = network.attend.project(network.embed(x))
    with torch.no_grad():
        weights = relative_weights(q, k, network.attend.rows, network.attend.columns)
    return plt.get_cmap("viridis")(colour[0] / 3)[..., :3], weights


alt = "A mosaic with a query in column 3, never asked; brightest is the pixel one below and two right."
explore(*learned_weights(), query=(2, 3), name="offset", alt=alt)

# %% tags=["nbval-ignore-output"]
maps = rearrange(learned_weights()[1], "1 head (h w) (y x) -> head h w y x", h=6, y=6).mean(0)
hit = [maps[r, c].argmax() == 8 * (r + 1) + c + 2 for r in range(5) for c in range(6)]
right, beside = maps[2, 3, 3, 5], maps[2, 3, 3, 4]
print(f"the largest weight is at the offset for {sum(hit)} of {len(hit)} queries")
print(f"query (2, 3): {right:.2f} there, {beside:.2f} one to the left of it")
claim(sum(hit) > 24, "the largest weight is nearly always one below and two to the right")

# %% [markdown]
# **What you should see.** The brightest pixel is one below and two to the right of the query, also in column 3,
# where nobody ever asked. The mean of the heads gives some weight to the pixel beside it; the largest weight
# decides. Where the page is live, move the query: the bright pixel moves along. What was learned is the
# offset and not the place. An offset that never occurred in training would be as unknown as a place.

# %% [markdown]
# ## 8.6 One product that does all (may be skipped at first reading)
#
# Fused attention (`F.scaled_dot_product_attention`, chapter 11) never stores the attention map. But it takes a
# bias only as a tensor of that map's size. Can the positions hide in $q$ and $k$? The query brings along its
# position scores of *all* rows and *all* columns, and the key picks by a 1 at its own row and its own column.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.longer_pair(),
    "A query of d numbers followed by h position scores of rows and w of columns; a key of d numbers"
    " followed by a one at its row and a one at its column, zeros elsewhere.",
)

# %% [markdown]
# $$
# q_i \cdot (k_j + R_{y-h} + C_{x-w}) =
# \begin{pmatrix} q_i \\ \text{to each row} \\ \text{to each column} \end{pmatrix} \cdot
# \begin{pmatrix} k_j \\ \text{one at its row} \\ \text{one at its column} \end{pmatrix}
# $$
#
# Nothing is approximated here. We call this pair the *lengthened* query and key; each has $m = d + h + w$ features.
# (In code it is called `augmented`, which has nothing to do with the augmented convolution of section 8.7.)
#
# **Predict.** For 56 x 56 pixels and d = 32, how many numbers do the lengthened queries have, and how many the
# attention map?
#
# <details><summary>Answer</summary>
#
# The queries have 3136 · (32 + 56 + 56) = 451,584 numbers, the attention map 3136² = 9,834,496 for each head. One
# grows as $hw\,(d + h + w)$, the other as $(hw)^2$.
#
# </details>

# %% jupyter={"source_hidden": true}
sides, d = torch.tensor([7, 14, 28, 56, 112]), 32
n = sides.double() ** 2
largest = {"gathered": n**2 * d, "skewed, broadcast, fused: the attention map": n**2}
largest["lengthened"] = n * (d + 2 * sides)
fig, ax = plt.subplots(figsize=(5.4, 3.0))
title = "Only the lengthened form stays below the attention map (d = 32)"
across = "side of the feature map in pixels"
up = "numbers in the largest\ntensor, for one head"
plots.lines(ax, sides, largest, across, up, title)
ax.set(xscale="log", yscale="log", xticks=sides.tolist(), xticklabels=sides.tolist())
ax.minorticks_off()
plots.show(
    fig, "Three rising lines on logarithmic axes; that of the lengthened form is the lowest."
)

# %% [markdown]
# ### Exercise: `augmented_pair`
#
# | | axes | what it is |
# |---|---|---|
# | first | `… i m` | q, its position scores of the rows, those of the columns |
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
weights = (long_q @ long_k.mT).softmax(-1)
apart = (weights - relative_weights(q, k, rows, columns)).abs().max()
claim(apart < 1e-5, "one product and one softmax give the same attention map")

# %% [markdown]
# `relative_attention_2d(q, k, v, rows, columns, implementation)` has five implementations: `naive` (gathered),
# `skew`, `broadcast` (section 8.2), `fused` (the position scores, made once and given to torch's own attention as
# a bias) and `augmented` (the lengthened pair). By their largest tensor they are the groups of the figure.


# %%
def call(way):
    """The attention of q, k and v, in one of five ways."""
    return relative_attention_2d(q, k, v, rows, columns, way)


ways = "naive", "skew", "broadcast", "fused", "augmented"
for way in ways:
    largest = counting.count(partial(call, way)).largest_tensor
    print(f"{way:10} largest tensor {largest:9,}")
same = all((call(way) - call("skew")).abs().max() < 1e-5 for way in ways)
claim(same, "all five implementations give the same result")

# %% [markdown]
# **What you should see.** The five results are equal. `fused` still makes the bias; `augmented` makes nothing of
# the attention map's size. And the time? On a shared machine clocks are unreliable, so the calls take turns,
# medians are compared, and only ratios mean something.

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
# **What you should see.** The table shows times for 2 x 8 heads of 32 x 32 pixels on one thread. Forward, `fused`
# and `augmented` usually take well under the time of the skew. On a CPU torch's fast program for attention computes no
# gradient for a bias. In training it therefore uses a slower one when there is a bias, and `augmented` keeps a
# lead. Run it again before you believe a second digit, and measure anew on another machine.

# %% [markdown]
# ## 8.7 The augmented convolution
#
# The green box of the first diagram is finished. Some of the output channels come from attention with relative
# positions and the others from an ordinary convolution; the two are concatenated along the channel axis.

# %% [markdown]
# Two fractions decide the sizes. Of $f$ output channels attention gets the fraction $\upsilon$, which are $dv$
# channels; and its keys have $dk$ features, $\kappa$ times as many as there are output channels. Both count all
# heads together. With $o_1, o_2, \dots$ for the outputs of the heads and a last 1 x 1 layer $W_o$,
#
# $$ \text{out} = [\,\text{conv},\; W_o\,[o_1, \dots, o_{\text{heads}}]\,] \qquad
# dk = \kappa f \quad dv = \upsilon f $$
#
# (Section 3.2 of the paper.) Two rules complete this:
#
# - A key has at least **20 features in each head**, whatever $\kappa$ says. The paper gives no reason; with very few
#   features a query could not tell many offsets apart.
# - $dk$ and $dv$ are rounded down to a multiple of the heads. This is our reading, with which the printed number
#   of weights comes out.

# %% [markdown]
# ### Exercise: `attention_widths`
#
# Return $dk$ and $dv$. If there are no values, there are no keys either: return `(0, 0)`.

# %% exercise="relative_2d.attention_widths"

# %%
check("relative_2d.attention_widths", attention_widths)

# %% [markdown]
# Stuck? `hint("relative_2d.attention_widths")`. To read on without solving it:
# `from solutions.relative_2d import attention_widths`.

# %% [markdown]
# **Predict.** A 3 x 3 convolution from 64 to 64 channels has 36,864 weights. We give a quarter of the output to
# attention, $\kappa = \upsilon = \tfrac14$. With *one* head, are there more or fewer weights (tables apart)?
# And with eight heads?
#
# <details><summary>Answer</summary>
#
# | | one head | eight heads |
# |---|---|---|
# | $dk$ | $\max(16, 20) = 20$ | $\max(16, 160) = 160$ |
# | convolution | $9 \cdot 64 \cdot 48 = 27{,}648$ | 27,648 |
# | k, q, v | $64\,(20 + 20 + 16) = 3{,}584$ | $64\,(160 + 160 + 16) = 21{,}504$ |
# | $W_o$ | $16^2 = 256$ | 256 |
# | sum | 31,488 | 49,408 |
#
# With one head there are fewer weights than in the convolution, with eight a third more.
#
# </details>

# %% [markdown]
# ### The module
#
# | | axes | what it is |
# |---|---|---|
# | `project(x)` | `b head h w d`, twice, `b head h w e` | q, k and v; `self.kqv` stacks **k, q, v**; `e` counts the features of a value |
# | `attention(x)` | `b head i j` | the attention map |
# | `forward(x)` | `b f h2 w2` | the convolution's channels first; `h2`, `w2` are height and width after a stride |
#
# With a stride, `halved(x, stride)` shrinks the attention's input by 3 x 3 means. With `downsample` it is
# halved once more, and what `self.out` gives is enlarged by bilinear interpolation, `align_corners=False`.

# %% [markdown]
# ### Exercise: `AttentionAugmentedConv2d`
#
# `self.tables(h, w)` gives the two tables for a feature map of that size; `relative_attention_2d` and
# `relative_weights` do the rest. With upsilon = 0 there is no `kqv`, with upsilon = 1 no `conv`.

# %% exercise="relative_2d.attention_augmented_conv"

# %%
check("relative_2d.attention_augmented_conv", AttentionAugmentedConv2d)

# %% [markdown]
# Stuck? `hint("relative_2d.attention_augmented_conv")`. To read on without solving it:
# `from solutions.relative_2d import AttentionAugmentedConv2d`.

# %%
plain, counted = 9 * 64 * 64, {}
for heads in (1, 8):
    layer = AttentionAugmentedConv2d(64, 64, kappa=0.25, upsilon=0.25, heads=heads)
    counted[heads] = sum(p.numel() for p in layer.parameters())
    print(f"{heads} heads: {counted[heads]:,} weights, a convolution {plain:,}")
claim(counted == {1: 31_488, 8: 49_408}, "one head has 31,488 weights, eight have 49,408")

# %% [markdown]
# ### Two limits
#
# If the tables hold zeros and attention gets all channels, the layer must equal chapter 2's multi-head attention
# over the pixels in a line. If attention gets no channel, it must equal a convolution.


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
same = torch.allclose(rearrange(layer(x), "b c h w -> b (h w) c"), flat, atol=1e-5)
claim(same, "with all channels it is multi-head attention over pixels in a line")
layer = AttentionAugmentedConv2d(40, 24, upsilon=0)
claim(torch.equal(layer(x), layer.conv(x)), "without attention it is a convolution")

# %% [markdown]
# ### Any size
#
# Tables are made for one size. On a smaller feature map the middle of a table is used; on a larger one all offsets
# beyond the last have its vector. So offsets keep their meaning in pixels. For the same scene at another
# resolution, `stretch=True` interpolates instead, as vision Transformers do.

# %%
table = torch.arange(-3.0, 4)[:, None]
for name, n, stretch in (("smaller", 3, False), ("larger", 6, False), ("stretched", 6, True)):
    print(f"{name:10}", *(f"{x:.1f}" for x in fit_table(table, n, stretch)[:, 0].tolist()))

# %% [markdown]
# ### How the number of weights changes with the share of attention
#
# How much of a convolution can attention replace? The paper's last ablation gives attention a quarter of the
# channels, half, three quarters, and all of them. First let us count what each costs.


# %%
def weights_of(channels, part):
    """The weights of a layer on 14 x 14 pixels with this part of its channels for attention."""
    widths = attention_widths(channels, part, part, 8)
    return parameters(channels, channels, 3, *widths, 8, (14, 14)) if part else 9 * channels**2


def curves():
    """The weights over those of the convolution, for sixteenths of the channels."""
    found = {}
    for channels in (256, 512):
        counts = [weights_of(channels, part / 16) for part in range(17)]
        found[f"{channels} channels"] = [n / counts[0] for n in counts]
    return found


# %%
claim(
    curves()["256 channels"][1] > 1,
    "with a sixteenth of 256 channels there are more weights than in the 3 x 3",
)
claim(
    max(curve[-1] for curve in curves().values()) < 0.5,
    "with all channels there are less than half",
)

# %% jupyter={"source_hidden": true}
drawn_curves = curves()
fig, ax = plt.subplots(figsize=(5.2, 2.6))
title = "A little attention may cost weights; much of it saves them"
parts = [part / 16 for part in range(17)]
up = "weights / those of a\n3 x 3 convolution"
plots.lines(ax, parts, drawn_curves, "part of the channels that attention gets", up, title)
ax.axhline(1, color="#888888", lw=1, ls=":")
alt = """Two curves over the part of the channels that attention gets; both first rise above the dotted
line at 1 and then fall to less than a half."""
plots.show(fig, alt)

# %%
with torch.device("meta"):
    parts = 0.25, 0.5, 0.75, 1.0
    networks = {part: augmented_resnet(50, kappa=part, upsilon=part) for part in parts}
sizes = {part: sum(p.numel() for p in one.parameters()) for part, one in networks.items()}
for part, size in sizes.items():
    print(f"ResNet-50, stages 2 to 4, part {part:4}: {size / 1e6:.1f} M")
ordered = sorted(sizes.values(), reverse=True) == list(sizes.values())
claim(ordered, "from a quarter on, the more attention, the fewer weights")

# %% [markdown]
# **What you should see.** The network shrinks from 24.3 M to 19.4 M weights, where the plain one has 25.6 M. The
# rise at the start of the narrower curves is the least width: 160 features for the keys, however small the part. In
# the early stages this is why the paper's AA-ResNet-50, which gives attention a tenth, has *more* weights than
# ResNet-50.
#
# And what does the share do to accuracy? The abstract of the paper answers in words: attention can replace
# convolutions in these stages and stays competitive, but the best results come from combining both.

# %% [markdown]
# ### Does the share of attention matter for digits?
#
# A network of two convolutions reads the 8 x 8 digits, and its second layer gives a part of the channels to
# attention. Each part is trained with two seeds.

# %% tags=["nbval-ignore-output"]
right = {}
for part in (0, 0.25, 0.5, 0.75, 1):
    right[part] = [relative_tasks.train_small(part, seed)[1] for seed in range(2)]
    size = sum(p.numel() for p in relative_tasks.Small(part).parameters())
    low, high = sorted(right[part])
    print(f"part {part:4}: {size:5} weights   right {low:.3f} … {high:.3f}")
claim(
    min(min(x) for x in right.values()) > 0.8,
    "networks with every part read digits, also with attention alone",
)

# %% [markdown]
# **What you should see.** All of them work. With two seeds of each part we cannot tell which is best. And the positions? On ImageNet, the paper reports, attention *alone* gains
# 2.8 points by relative positions. Beside a convolution, which knows its neighbours, they gain only 0.2:
#
# | the paper's table of position encodings, AA-ResNet-50 | none | 2D sine | CoordConv | relative |
# |---|---|---|---|---|
# | top-1 | 77.5 | 77.5 | 77.5 | 77.7 |

# %% [markdown]
# ### For reference: the paper's numbers of weights (may be skipped)
#
# Here are the weights printed in the paper's tables beside those of our networks. AA means attention augmented, and
# WRN-28-10 is a residual network of 28 layers that are ten times as wide as usual.

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
differ = []
for (name, printed), model in ours.items():
    counted = sum(p.numel() for p in model.parameters()) / 1e6
    differ += [name] if abs(counted - printed) > 0.06 else []
    print(f"{name:22} {printed:7} {counted:8.2f}", " differs" if name in differ else "")
claim(differ == ["AA-WRN-28-10", "AA-ResNet-34"], "two networks do not come out, the others do")

# %% [markdown]
# **What you should see.** AA-ResNet-50 comes out to the digit, with 0.2 f and at least 160 features for the keys,
# and 0.1 f for the values, rounded down to a multiple of 8 (the paper's $\kappa$ and $\upsilon$).
# AA-ResNet-34 and AA-WRN-28-10 do **not** come out of the published description. We leave it at that, since a
# model tuned until its count fits would prove nothing.

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
# **What you should see.** Neither 8.52 nor 9.44 is the printed 8.3. Elsewhere the paper counts two operations for a
# multiply-add (8.2 for the plain network, which is exact), so how it counted attention we do not know.

# %% [markdown]
# ## What you have learnt
#
# | form | largest tensor | when |
# |---|---|---|
# | gathered | $(hw)^2 d$ | to define it |
# | broadcast, skewed, fused | $(hw)^2$ for each head | when the attention map itself is wanted |
# | lengthened | $hw\,(d + h + w)$ | otherwise |
#
# *Why did relative positions solve the puzzle?* They score a pair by its offset, so what is learned at one place
# holds at all places. *How much of a convolution can attention replace?* In stages 2 to 4, all of it, and the network
# even has fewer weights; but the best results, the paper finds, come from both together. The stem and the first
# stage stayed convolutions: chapter 9 asks what is left when they go, too.

# %% [markdown]
# ### Explain it to somebody
#
# 1. Why are there two tables and not one?
# <details><summary>Answer</summary>A vector for each offset in the plane would be a table of (2h-1)(2w-1). A sum of one for rows and one for columns needs only 2h-1 + 2w-1.</details>
#
# 2. What does the skew do?
# <details><summary>Answer</summary>It brings numbers that are sorted by offset into the order of keys, by padding, reading as a strip and cutting anew. Nothing is copied for pairs.</details>
#
# 3. Why do relative positions generalise to columns that were never asked?
# <details><summary>Answer</summary>The column is not in the formula, only the offset is; and all offsets occurred.</details>

# %% [markdown]
# 4. How do places hide in a plain product?
# <details><summary>Answer</summary>The query carries its position scores of all rows and all columns, the key a one at its own.</details>
#
# 5. Does an augmented convolution have fewer weights than a convolution?
# <details><summary>Answer</summary>It depends: a channel of attention is cheaper than one of a 3 x 3, but each head has keys of at least 20 features.</details>

# %% [markdown]
# ### What came after
#
# - [Stand-alone self-attention](https://arxiv.org/abs/1906.05909) (Ramachandran et al., 2019) drops the
#   convolutions: chapter 9.
# - [BoTNet](https://arxiv.org/abs/2101.11605) (Srinivas et al., 2021) puts these scores into the last blocks
#   of a ResNet.
# - [Swin](https://arxiv.org/abs/2103.14030) (Liu et al., 2021): windows with a bias table (section 8.2).
# - [MViTv2](https://arxiv.org/abs/2112.01526) (Li et al., 2021) and
#   [Segment Anything](https://arxiv.org/abs/2304.02643) (Kirillov et al., 2023): decomposed relative positions.
# - [CoAtNet](https://arxiv.org/abs/2106.04803) (Dai et al., 2021): convolutions first, attention with a bias
#   table after.
# - [RoPE for vision](https://arxiv.org/abs/2403.13298) (Heo et al., 2024): rotations in two directions, which
#   need no table.

# %% [markdown]
# ### References
#
# - Bello, Zoph, Vaswani, Shlens, Le. Attention Augmented Convolutional Networks.
#   <https://arxiv.org/abs/1904.09925>
# - Shaw, Uszkoreit, Vaswani. Self-Attention with Relative Position Representations.
#   <https://arxiv.org/abs/1803.02155>
# - Huang et al. Music Transformer. <https://arxiv.org/abs/1809.04281>
# - Liu et al. An intriguing failing of convolutional neural networks and the CoordConv solution.
#   <https://arxiv.org/abs/1807.03247>
