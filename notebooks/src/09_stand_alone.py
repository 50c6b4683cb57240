# %% [markdown]
# # 9 · Stand-alone self-attention
#
# In 2019 attention had entered vision as an addition. Non-local blocks (chapter 7) and augmented
# convolutions (chapter 8) were added to networks of convolutions. Even chapter 8's network "with attention alone"
# kept convolutions in its **stem**, the first layers, which shrink the image: attention over all pixels is too
# expensive while the image is large. So nobody knew: *can a network see without convolutions?*

# %% [markdown]
# Prajit Ramachandran, Niki Parmar, Ashish Vaswani and their colleagues at Google tried it in
# [Stand-Alone Self-Attention in Vision Models](https://arxiv.org/abs/1906.05909) (NeurIPS 2019). They kept the
# convolution's own idea, the small window, and let attention work inside it. In a ResNet it replaced every
# **spatial** convolution, that is, every one that looks at more than one pixel (those of 1 x 1 stayed).

# %% [markdown]
# ### What came of it
#
# | ImageNet, top-1 | accuracy | parameters | operations (two per multiply-add) |
# |---|---|---|---|
# | ResNet-50, convolutions | 76.9 % | 25.6 M | 8.2 G |
# | the same, attention behind a convolutional stem | 77.4 % | 18.0 M | 7.0 G |
# | the same, attention everywhere | 77.6 % | 18.0 M | 7.2 G |
#
# (Table 1 of the paper.) So a network without a single spatial convolution was more accurate than the
# one with them, and it needed 12 % fewer operations and 30 % fewer parameters. (The paper's abstract says 29 %. For
# detection on COCO it reports equal precision with 39 % fewer operations.)
#
# Fewer operations need not mean less time: as we write the layer here it is slow, which chapter 11 measures. HaloNet, by the same group, gave it
# a fast form two years later, which you will build in chapter 11. Attention in windows lives today in
# [Swin](https://arxiv.org/abs/2103.14030) and in
# [Neighborhood Attention](https://arxiv.org/abs/2204.07143).

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | windows and their mask, relative embeddings, local attention, the layer, the stem, the cost law | a classic denoising filter that is local attention; what a window cannot see; most of the paper's counts | attention weights (chapter 1), heads (2), relative positions (3) |
#
# **About 2½ hours**, of which 79 minutes are exercises. A CPU is enough.
#
# | letter | what it counts |
# |---|---|
# | `b` `c` | images in a batch, channels that enter |
# | `f` | channels that leave a layer; f = (head d), and f = c unless the layer is told otherwise |
# | `h` `w` | height and width in pixels |
# | `i` | a pixel as a query: its row and its column |
# | `dy` `dx` | row and column of a place in a window, counted from 0 at its upper left |
# | `reach` | window // 2, so that (dy - reach, dx - reach) is the offset from the query |
# | `d`, `half` | features of a query or key in one head, and d / 2 of them |
# | `e` | features of a value |
# | `r` | the vector of a place in a window |
# | `mix` | mixtures: matrices among which a place of the stem chooses (section 9.8) |

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
from attncourse import check, explore, hint, papers
from attncourse.book import claim, diagrams, maps, plots
from attncourse.papers import counting
from attncourse.papers.cost import cost as spent_by
from attncourse.tasks.pictures import photograph
from attncourse.tasks.denoising import blur, psnr
from attncourse.tasks.windows import attention as small_attention
from attncourse.tasks.windows import convolution, explained, readers
from attncourse.tasks.windows import train_digits, train_pointer
from solutions.backbones import StandAloneResNet
from solutions.stand_alone import AttentionStem

china = rearrange(photograph("china"), "h w c -> 1 c h w")

# %% [markdown]
# ## 9.1 Windows
#
# Attention over all pixels of an image costs the square of their number. A convolution never had
# that problem, since it reads a small **window** around each pixel. We let attention do the same: every
# pixel is a query, and its keys are the pixels of its own window. The photograph shows three
# queries (dots) and their windows, 25 pixels wide. Two of the windows reach beyond the image.

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.0, 3.5))
plots.image(ax, china[0], "Three pixels and what each of them may read")
for y, x in ((48, 70), (5, 8), (90, 132)):
    box = plt.Rectangle((x - 12.5, y - 12.5), 25, 25, fill=False, color="#e69f00", lw=2)
    ax.add_patch(box)
    ax.plot(x, y, "o", color="#e69f00")
ax.set(xlim=(-16, 160), ylim=(106, -16))
plots.show(
    fig,
    "A photograph of a temple with three square frames, a dot in the middle of each. Two frames reach beyond the edge of the image.",
)

# %% [markdown]
# What stands beyond the edge? For now we put zeros there (**padding**), and cut the window of every
# pixel out of the padded image, as the next figure shows for two pixels:

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.6)
seed = torch.Generator().manual_seed(3)
padded = F.pad(torch.rand(4, 6, generator=seed) * 0.7 + 0.2, (1, 1, 1, 1))
beyond = F.pad(torch.zeros(4, 6), (1, 1, 1, 1), value=1.0).bool()
diagrams.matrix(ax, 0.9, 0.9, padded, "", "x, padded", side=0.6, hidden=beyond)
for ends, letter, middle in (
    (((0.7, 1.5), (0.7, 3.9)), "h", (0.45, 2.7)),
    (((1.5, 0.7), (5.1, 0.7)), "w", (3.3, 0.35)),
):
    bracket = dict(arrowstyle="|-|,widthA=0.35,widthB=0.35", shrinkA=0, shrinkB=0, lw=1.2)
    ax.annotate("", *ends, arrowprops=bracket)
    diagrams.label(ax, middle, letter)
for left, top, colour in ((0, 0, "#d55e00"), (3, 2, "#0072b2")):
    corner = (0.9 + 0.6 * left, 0.9 + 0.6 * (3 - top))
    ax.add_patch(plt.Rectangle(corner, 1.8, 1.8, fill=False, ec=colour, lw=2.5, zorder=5))
cut = diagrams.matrix(ax, 9.4, 3.0, padded[:3, :3], "dy dx", "window of the corner pixel",
                      side=0.6, hidden=beyond[:3, :3])  # fmt: skip
own = diagrams.matrix(ax, 9.4, 0.5, padded[2:5, 3:6], "dy dx", side=0.6)
ax.text(11.5, 1.4, "window of an\ninner pixel", weight="bold", va="center")
diagrams.arrow(ax, (6.0, 3.9), (8.7, 3.9), text="cut out", colour="#d55e00")
diagrams.arrow(ax, (6.0, 1.4), (8.7, 1.4), text="cut out", colour="#0072b2")
plots.show(
    fig,
    """An image of 4 by 6 pixels, marked by brackets h and w, with a hatched border of zeros. A window of 3 by 3
    around the corner pixel contains five hatched cells, one around an inner pixel none.""",
)

# %% [markdown]
# $$
# X_{i,\,dy\,dx} = x_{i + (dy - \text{reach},\, dx - \text{reach})} \qquad
# \text{reach} = \lfloor \text{window} / 2 \rfloor
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `… h w` | an image, with any axes in front |
# | `windows(x, window)` | `… h w dy dx` | the window of every pixel |
#
# **Predict.** How many numbers does that make of 64 channels with 56 x 56 pixels, for window 7?
#
# <details><summary>Answer</summary>
#
# $64 \cdot 56 \cdot 56 \cdot 49 = 9{,}834{,}496$: 49 times the image. `unfold` makes it as a view,
# which stores the padded image alone. The copy comes later, when a product needs all windows in memory, one
# after the other.
#
# </details>

# %% [markdown]
# ### Exercise: `windows`
#
# `x.unfold(axis, window, 1)` cuts an axis into windows and puts the places within them last. An even
# window has no middle; refuse it with a `ValueError`.

# %% exercise="stand_alone.windows"

# %%
check("stand_alone.windows", windows)

# %% [markdown]
# Stuck? `hint("stand_alone.windows")`. To read on without solving it:
# `from solutions.stand_alone import windows`.

# %% jupyter={"source_hidden": true}
near, real = windows(china, 25), windows(torch.ones(96, 144), 25)
fig, axs = plt.subplots(1, 3, figsize=(6.2, 2.1))
for ax, (y, x) in zip(axs, ((48, 70), (5, 8), (90, 132)), strict=True):
    colours = rearrange(near[0, :, y, x], "c dy dx -> dy dx c")
    ax.imshow(torch.cat([colours, real[y, x, :, :, None]], -1))  # where not real: transparent
    ax.add_patch(
        plt.Rectangle((-0.5, -0.5), 25, 25, fc="#d9d9d9", hatch="////", ec="#999999", zorder=-1)
    )
    ax.plot(12, 12, "o", mfc="none", mec="#d55e00", mew=2, ms=8)
    ax.set(title=f"window of pixel {y}, {x}", xticks=[], yticks=[])
plots.show(
    fig,
    "Three pieces of the photograph with a ring in the middle of each. Two have hatched margins where the image ends.",
)
numbers = counting.count(lambda: windows(china, 25)).largest_tensor
print("in the windows", near.numel(), "· stored", numbers)

# %% [markdown]
# **What you should see.** The three pieces of the photograph have their query in the middle, and the
# two at the edge have hatched margins: there stands the padding, zeros. All windows together have
# 25,920,000 numbers, 625 times as many as the image, yet only the 60,480 numbers of the padded image are stored. If a
# piece is mirrored along its diagonal, then your dy and dx have changed places.

# %% [markdown]
# ### Which places lie in the image?
#
# Padding must not be mistaken for pixels, so we need a mask as in chapter 1: True where a query may
# attend.
#
# | | axes | what it is |
# |---|---|---|
# | `inside(height, width, window)` | `h w dy dx` | boolean |
#
# **Predict.** In a window of 7, how many places of a corner pixel lie inside?
#
# <details><summary>Answer</summary>
#
# 4 rows of 4: 16 of 49. A pixel at an edge, away from the corners, has $4 \cdot 7 = 28$.
#
# </details>

# %% [markdown]
# ### Exercise: `inside`
#
# It takes one line if you use `windows`.

# %% exercise="stand_alone.inside"

# %%
check("stand_alone.inside", inside)

# %% [markdown]
# Stuck? `hint("stand_alone.inside")`. To read on without solving it:
# `from solutions.stand_alone import inside`.

# %% jupyter={"source_hidden": true}
places = reduce(inside(12, 18, 7).float(), "h w dy dx -> h w", "sum")
fig, ax = plt.subplots(figsize=(6.4, 3.8))
plots.heat(ax, places, "w", "h", "Places inside, window 7", low=0, high=49)
for y, x in [(y, x) for y in range(12) for x in range(18)]:
    dark = "k" if places[y, x] > 30 else "w"
    ax.text(x, y, int(places[y, x]), ha="center", va="center", size=8, color=dark)
plots.show(
    fig,
    "A map of 12 by 18 pixels: 49 places in the interior, fewer towards the edges, and 16 in the corners.",
)
print("corner", int(places[0, 0]), "· edge", int(places[0, 9]), "· middle", int(places[6, 9]))

# %% [markdown]
# **What you should see.** A number in the map says how many of the 49 places of a pixel's window lie in the image:
# 16 in a corner, and all 49 from the fourth row and column on. In the second row from the top, away from the
# corners, there are 5 rows of 7, which makes 35; in the third there are 42. (The axes h and w are rows and columns.)

# %% [markdown]
# ## 9.2 A vector for each place: relative embeddings
#
# Attention treats its keys as an unordered set. Without positions it cannot tell the pixel above
# from the pixel on the left. Chapter 3 gave each *distance* a learned vector, a **relative position
# embedding**. Here a place has a row and a column, and each of these has a vector of its own that
# fills one half of the features. A window of 7 then needs 7 + 7 vectors instead of 49.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 6.2)
marked = torch.zeros(3, 3)
marked[2, 1] = 0.9
diagrams.matrix(ax, 0.9, 2.1, marked, "dy dx", "a place", side=0.6)
tables = (
    (3.6, 2, [[0.2, 0.3], [0.5, 0.4], [0.9, 0.7]], "dy half", "rows", (11.0, 3.45), "row 2"),
    (
        0.7,
        1,
        [[0.3, 0.8], [0.6, 0.2], [0.1, 0.5]],
        "dx half",
        "columns",
        (13.0, 2.15),
        "column 1",
    ),
)
for up, chosen, values, letters, name, end, words in tables:
    diagrams.matrix(ax, 5.6, up, values, letters, name, diagrams.LEARNED, 0.6)
    low = up + 0.6 * (2 - chosen)
    ax.add_patch(
        plt.Rectangle((5.6, low), 1.2, 0.6, fill=False, ec="#d55e00", lw=2.5, zorder=5)
    )
    diagrams.arrow(ax, (2.8, 2.5), (4.8, low + 0.3))
    diagrams.arrow(ax, (6.9, low + 0.3), (end[0], low + 0.3), end)
    ax.text(8.9, low + 0.4, words, ha="center", va="bottom", weight="bold", color="#d55e00")
diagrams.vector(ax, 10.0, 2.3, [0.9, 0.7, 0.6, 0.2], "", "", diagrams.LEARNED, 1.0, across=True)
diagrams.label(ax, (11.8, 2.18), "d", "center", "top")
ax.text(14.2, 2.8, "r", weight="bold", va="center")
plots.show(
    fig,
    """A place in row 2 and column 1 of a window of three by three. Arrows lead to row 2 of the
    learned table of rows and to entry 1 of the table of columns, both framed; these two vectors of
    two numbers are the first and the second half of the vector r.""",
)

# %% [markdown]
# $$ r_{dy\,dx} = [\,\text{row}_{dy},\ \text{column}_{dx}\,] $$
#
# (Section 2.2 of the [paper](https://arxiv.org/abs/1906.05909).)
#
# | | axes | what it is |
# |---|---|---|
# | `rows`, `columns` | `head dy half`, `head dx half` | two tables for each head |
# | `relative_embeddings(rows, columns)` | `head d dy dx` | a vector for each place |
#
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
# Join row and column *within* each head. A widely copied
# [port of the paper](https://github.com/leaderj1001/Stand-Alone-Self-Attention) gives the row to the
# first half of *all* channels and cuts the heads afterwards, so that half of its heads see rows
# alone and the other half columns alone.

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
weights = rearrange(score, "dy dx -> (dy dx)").softmax(0)
weights = rearrange(weights, "(dy dx) -> dy dx", dy=7)
claim(torch.linalg.matrix_rank(weights, rtol=1e-4) == 1, "the weights are an outer product")

# %% jupyter={"source_hidden": true}
score = einsum(q, relative_embeddings(rows, columns)[0], "d, d dy dx -> dy dx")
weights = rearrange(rearrange(score, "dy dx -> (dy dx)").softmax(0), "(dy dx) -> dy dx", dy=7)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.5))
plots.signed(axs[0], score, "dx", "dy", "q · r of one query: a row plus a column")
title = "Its softmax: a row times a column"
plots.heat(axs[1], weights, "dx", "dy", title, high=weights.max())
plots.show(
    fig,
    """Left, scores of a window of 7 by 7 in red and blue: each is the sum of its row and
    its column. Right, the softmax: few bright cells, where a bright row and column cross.""",
)

# %% [markdown]
# **What you should see.** The scores form a plaid of rows and columns. By position alone a head
# can therefore prefer a row *and* a column: one pixel, a line or a block, but not two opposite
# corners. The reason is $\exp(a + b) = \exp(a) \exp(b)$: after the softmax the weights are an outer
# product, of rank 1. Whatever else the head is to find, it has to find by content.

# %% [markdown]
# ## 9.3 Scores in a window
#
# Now the mechanism as a whole. The query of a pixel meets two things at each place of its window:
# the key that stands there (**content**) and the embedding of the place (**position**). Both products
# add up to one score. Places outside the image are masked, one softmax runs over the rest, and the
# weights average the values.

# %% jupyter={"source_hidden": true}
plt.rcParams["font.size"] = 11.5  # read on a narrow page, too
fig, ax = diagrams.canvas(14.2, 8.6)
out = torch.zeros(3, 3, dtype=torch.bool)
out[0], out[:, 0] = True, True
q_ = diagrams.vector(ax, 0.6, 3.2, [0.5, 0.8, 0.3, 0.6], "d", "q of i", side=0.5)
ks = diagrams.matrix(ax, 2.6, 5.8, [[0.1, 0.4, 0.2], [0.5, 0.8, 0.3], [0.3, 0.6, 0.9]], "dy dx",
                     "keys k, each d", side=0.6, hidden=out)  # fmt: skip
rs = diagrams.matrix(ax, 2.6, 0.9, [[0.7, 0.4, 0.2], [0.5, 0.3, 0.1], [0.9, 0.7, 0.4]], "dy dx",
                     "places r, each d", diagrams.LEARNED, 0.6)  # fmt: skip
up, low = diagrams.join(ax, 5.2, 6.7, "·", 0.3), diagrams.join(ax, 5.2, 1.8, "·", 0.3)
plus = diagrams.join(ax, 6.9, 4.2, radius=0.3)
diagrams.arrow(ax, (1.3, 4.2), (5.2, 4.2), up.bottom)
diagrams.arrow(ax, (1.3, 4.2), (5.2, 4.2), low.top)
diagrams.arrow(ax, ks.right, up.left)
diagrams.arrow(ax, rs.right, low.left)
diagrams.arrow(ax, up.right, (6.9, 6.7), plus.top)
diagrams.arrow(ax, low.right, (6.9, 1.8), plus.bottom)
ax.text(6.4, 6.85, "content", ha="center", va="bottom")
ax.text(6.4, 1.65, "position", ha="center", va="top")
soft = diagrams.layer(ax, 7.6, 3.55, "mask,\nsoftmax", 1.8, 1.3, diagrams.ATTENTION)
diagrams.arrow(ax, plus.right, soft.left)
a = [[0, 0, 0], [0, 0.175, 0.475], [0, 0.175, 0.175]]
before = len(ax.texts)
A = diagrams.matrix(ax, 10.6, 3.0, a, "dy dx", "weights A", diagrams.ATTENTION, 0.8,
                    "{:.3f}", out)  # fmt: skip
for text in ax.texts[before : before + 4]:
    text.set_size(8.5)
diagrams.arrow(ax, soft.right, (9.95, 4.2))
times = diagrams.join(ax, 13.6, 4.2, "Σ", 0.3)
vs = diagrams.matrix(ax, 10.6, 0.6, [[0.1, 0.2, 0.5], [0.2, 0.5, 0.7], [0.6, 0.4, 0.8]], "dy dx",
                     "", side=0.6, hidden=out)  # fmt: skip
ax.text(9.8, 1.5, "values v,\neach e", weight="bold", ha="right", va="center")
diagrams.arrow(ax, A.right, times.left)
diagrams.arrow(ax, vs.right, (13.6, vs.right[1]), times.bottom)
y_ = diagrams.vector(ax, 13.35, 5.6, [0.5, 0.4, 0.7, 0.6], "", "y", side=0.5)
diagrams.label(ax, (13.2, 6.6), "e", "right")
diagrams.arrow(ax, times.top, y_.bottom)
plots.show(
    fig,
    """The query of one pixel is multiplied with the keys of its 3 by 3 window and with
    the learned embeddings of the nine places. The sums go through a mask, which hides the five
    places outside the image, and a softmax. The weights average the values of the window to y.""",
)
plt.rcParams["font.size"] = 9

# %% [markdown]
# ### Once by hand
#
# The query $q = (1, 2)$ stands in the upper left corner of an image, and the window is 3 wide. Four of
# its nine places lie inside, and there the keys are $(1, 0)$, $(1, 1)$ in the first row and
# $(2, -1)$, $(1, 0)$ in the second. Each embedding $r$ has two numbers, the first for the row and the second for the
# column. The row's number is 0 for the query's own row and 1 for the row below. The column's number is 0 for
# the query's own column and $-1/2$ for the column to the right. Then

# %% [markdown]
# $$
# q \cdot k = \begin{pmatrix} 1 & 3 \\ 0 & 1 \end{pmatrix}, \quad
# q \cdot r = \begin{pmatrix} 0 & -1 \\ 1 & 0 \end{pmatrix}, \quad
# s = \begin{pmatrix} 1 & 2 \\ 1 & 1 \end{pmatrix}, \quad
# A = \frac{1}{3 \exp(1) + \exp(2)} \begin{pmatrix} \exp(1) & \exp(2) \\ \exp(1) & \exp(1) \end{pmatrix}
# $$
#
# The pixel to the right gets 0.475 of the weight, each of the other three 0.175. (These are the weights of the
# figure above.)

# %%
q_now, places = torch.tensor([1.0, 2]), torch.tensor([[[0, 0], [0, -0.5]], [[1, 0], [1, -0.5]]])
keys_now = torch.tensor([[[1.0, 0], [1, 1]], [[2, -1], [1, 0]]])
s = (keys_now + places) @ q_now
A = rearrange(rearrange(s, "dy dx -> (dy dx)").softmax(0), "(dy dx) -> dy dx", dy=2)
print(s.tolist(), [[round(a, 3) for a in row] for row in A.tolist()])
claim((A[0, 1] / A[0, 0] - math.e).abs() < 1e-5, "a score higher by 1: exp(1) times the weight")

# %% [markdown]
# ### In symbols
#
# $$
# s_{i,\,dy\,dx} = q_i \cdot k_{i + (dy - \text{reach},\, dx - \text{reach})} + q_i \cdot r_{dy\,dx} \qquad
# A = \operatorname{softmax}_{dy\,dx}\, s
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `q`, `k` | `b head d h w` | a query and a key for each pixel, in each head |
# | `local_weights(q, k, rows, columns, window)` | `b head h w dy dx` | the attention weights |
#
# *The paper does not divide the scores by $\sqrt d$. It says nothing about edges, so the mask is our choice.*

# %% [markdown]
# **Predict.** Forget the mask, and let all scores be 0. Beyond the edges, keys and values are
# zeros. How much weight do the real pixels of a corner get, for window 5?
#
# <details><summary>Answer</summary>
#
# All 25 places get 1/25, and 9 of them are real: 0.36. The corners of every feature map would be
# darkened to a third. The
# [port named above](https://github.com/leaderj1001/Stand-Alone-Self-Attention) pads without a mask.
#
# </details>

# %% [markdown]
# ### Exercise: `local_weights`
#
# You need two einsums, a mask and a softmax. For the softmax, merge dy and dx into one axis, and split
# them again afterwards. `inside` makes its mask on the CPU: move it `.to(q.device)`.

# %% exercise="stand_alone.local_weights"

# %%
check("stand_alone.local_weights", local_weights)

# %% [markdown]
# Stuck? `hint("stand_alone.local_weights")`. To read on without solving it:
# `from solutions.stand_alone import local_weights`.


# %% [markdown]
# Let us compare colours. A plain dot product would favour *bright* colours, since white times anything is large. The
# remedy is the one of section 1.8: the key gets a fourth feature, $-|x_j|^2 / 2$, which the query meets with a 1. The
# score $x_i \cdot x_j - |x_j|^2 / 2$ is largest where $x_j$ equals $x_i$.


# %%
@cache
def similar():
    """For each pixel the weights of its window, by colours alone: the tables are zeros."""
    x, none = rearrange(8 * china, "b c h w -> b 1 c h w"), torch.zeros(1, 25, 2)
    size = reduce(x.square(), "b head c h w -> b head 1 h w", "sum")
    q, k = torch.cat([x, torch.ones_like(size)], 2), torch.cat([x, -size / 2], 2)
    return local_weights(q, k, none, none, 25)[0, 0]


claim((similar().sum((-1, -2)) - 1).abs().max() < 1e-5, "the weights of every window sum to 1")
claim(similar()[48, 70].argmax() == 25 * 25 // 2, "no colour is nearer than the query's own")

# %% jupyter={"source_hidden": true}
map_ = similar()
fig, ax = plt.subplots(figsize=(6.2, 3.7))
ax.imshow(rearrange(china[0], "c h w -> h w c") * 0.65 + 0.35, zorder=-2)
for y, w in ((48, 70), (5, 8), (90, 132)):
    over, where = map_[y, w] / map_[y, w].max(), (w - 12.5, w + 12.5, y + 12.5, y - 12.5)
    seen_here = inside(96, 144, 25)[y, w]
    over = over.masked_fill(~seen_here, math.nan)
    drawn = ax.imshow(over, extent=where, vmin=0, vmax=1, zorder=1)
    hatched = dict(fill=False, hatch="////", ec="#b0b0b0", zorder=-1)
    ax.add_patch(plt.Rectangle(where[::3], 25, 25, **hatched))
    ax.plot(w, y, "o", mfc="none", mec="#d55e00", mew=2, ms=8, zorder=3)
fig.colorbar(drawn, ax=ax, shrink=0.8, label="weight, as a fraction of the largest")
ax.set(xlim=(-16, 160), ylim=(106, -16), xticks=[], yticks=[])
ax.set_title("Attention weights in three windows: bright where colours are alike")
ax.spines[:].set_visible(False)
plots.show(
    fig,
    """The photograph of the temple, pale, with the attention weights of three windows
    drawn in their places. Pixels of the query's colour are bright. The parts beyond the edge of
    the image are hatched: they have no weight.""",
)

# %% [markdown]
# **What you should see.** Each of the three maps is bright where the photograph has the colour of its
# query (ring), since with tables of zeros only colours are compared. The parts beyond the edge are
# hatched and have no weight, and yet every window sums to 1: the scores are masked before the softmax.

# %% [markdown]
# ## 9.4 Local attention
#
# The last step is the one of every attention: the weights average the values.
#
# $$ y_i = \sum_{dy\,dx} A_{i,\,dy\,dx}\; v_{i + (dy - \text{reach},\, dx - \text{reach})} $$
#
# | | axes | what it is |
# |---|---|---|
# | `v` | `b head e h w` | a value for each pixel; here e = d, but it may differ |
# | `local_attention(q, k, v, rows, columns, window)` | `b head e h w` | the mean of each window |
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
q, k, v = torch.randn(3, 2, 4, 8, 7, 9)  # 2 images, 4 heads, 8 features, 7 x 9 pixels
none = torch.zeros(4, 17, 4)
ours = local_attention(q, k, v, none, none, window=17)
flat = (rearrange(x, "b head d h w -> b head (h w) d") for x in (q, k, v))
theirs = rearrange(
    F.scaled_dot_product_attention(*flat, scale=1), "b head (h w) d -> b head d h w", h=7
)
claim((ours - theirs).abs().max() < 1e-5, "a window over everything: torch's global attention")
one = torch.zeros(4, 1, 4)
claim(torch.equal(local_attention(q, k, v, one, one, 1), v), "a window of 1 returns the values")

# %% [markdown]
# ### Use it: the bilateral filter
#
# Local attention has an ancestor. Photographers remove noise without blurring edges with a **bilateral
# filter** ([Tomasi and Manduchi 1998](https://doi.org/10.1109/ICCV.1998.710815)): each pixel becomes a
# mean of its window, with weights that fall with the distance *and* with the difference of colour,
#
# $$
# \exp\bigl(-((dy - \text{reach})^2 + (dx - \text{reach})^2) / 2\rho^2\bigr) \cdot \exp\bigl(-|x_i - x_j|^2 / 2\sigma^2\bigr).
# $$

# %% [markdown]
# Here $\rho$ says how far in pixels, and $\sigma$ how far in colour, a pixel may be and still count. Multiply out:
# $-|x_i - x_j|^2 / 2\sigma^2$ is $x_i \cdot x_j / \sigma^2 - |x_j|^2 / 2\sigma^2$ and a term
# that is the same for all keys, which the softmax ignores. This is a product $q \cdot k$, the same as in the last
# figure. The *squared* distance is the sum of a number for the row and a number for the column, and that is exactly
# what $q \cdot r$ can express. So the filter *is* local attention, with six features and nothing to learn.


# %%
def filter_parts(picture, sigma=0.3, rho=1.5, window=9):
    """Queries and keys of the filter, the colours over sigma, and the embeddings."""
    x = rearrange(picture, "h w c -> 1 1 c h w") / sigma
    one, size = torch.ones_like(x[:, :, :1]), x.square().sum(2, keepdim=True)
    q = torch.cat([one, x, one, one], dim=2)
    k = torch.cat([0 * one, x, 0 * one, -size / 2], dim=2)
    far = -(torch.arange(window) - window // 2).square() / (2 * rho**2)
    rows = F.pad(far[None, :, None], (0, 2))  # its number stands where q has its first 1 …
    columns = F.pad(far[None, :, None], (1, 1))  # … and here where it has its second
    return q, k, rows, columns, window


# %%
def bilateral(picture, **settings):
    """The mean of a window, weighted by distance and by difference of colours."""
    q, k, rows, columns, window = filter_parts(picture, **settings)
    v = rearrange(picture, "h w c -> 1 1 c h w")
    y = local_attention(q, k, v, rows, columns, window)
    return rearrange(y, "1 1 c h w -> h w c")


# %%
torch.manual_seed(0)
clean = photograph("china")
noisy = clean + 0.1 * torch.randn_like(clean)
blurs = [blur(noisy, width) for width in (0.5, 0.6, 0.7, 0.8, 1)]
best = max(blurs, key=lambda y: psnr(y, clean))
shown = {"noisy": noisy, "best blur": best, "local attention": bilateral(noisy)}
for name, picture in shown.items():
    print(f"{name:16} {psnr(picture, clean):.1f} dB")

# %% jupyter={"source_hidden": true}
shown = {"noisy": noisy, "best blur": best, "local attention": bilateral(noisy)}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.9))
for ax, (name, picture) in zip(axs, shown.items(), strict=True):
    plots.image(ax, picture[20:68, 40:112].clamp(0, 1), name)
plots.show(
    fig,
    """A piece of the temple's roof three times: with coloured noise, blurred, and after
    local attention, smooth with sharp edges.""",
)

# %%
gain = psnr(bilateral(noisy), clean) - psnr(best, clean)
claim(gain > 1, "more than a decibel better than the best of these blurs")
y, x = 40, 60
part = noisy[y - 4 : y + 5, x - 4 : x + 5]
down, right = torch.arange(-4, 5)[:, None], torch.arange(-4, 5)
weight = torch.exp(-(down**2 + right**2) / (2 * 1.5**2))
weight = weight * torch.exp(-(part - noisy[y, x]).square().sum(-1) / (2 * 0.3**2))
by_hand = einsum(weight, part, "dy dx, dy dx c -> c") / weight.sum()
claim(
    (bilateral(noisy)[y, x] - by_hand).abs().max() < 1e-5,
    "at the pixel tried, it is the filter written out",
)

# %% [markdown]
# **What you should see.** The signal-to-noise ratio (more is better) rises from about 20 dB to 24.9 with the
# best blur and to 26.5 with local attention, which equals the filter written out. The roof's edges stay sharp, because
# a pixel of the sky gets hardly any weight from a pixel of the roof. As $\sigma \to \infty$ the weights no longer
# depend on the colours, and a blur is left. A trained layer chooses for itself which features to compare, in several
# heads.

# %% [markdown]
# Here are the filter's own maps, on a smaller photograph. Move the query from the sky over the edge of a roof and back:
# with colours in it the window stops at the edge, without them it is the same everywhere.

# %%
small = photograph("china", 24, 36)
filters = {"distance and colour": 0.1, "distance alone": 1000.0}
filters = {
    name: maps.from_windows(local_weights(*filter_parts(small, sigma=sigma))[0])
    for name, sigma in filters.items()
}
explore(small, filters, query=(10, 12), name="bilateral")

# %% [markdown]
# The comparison is an illustration and no benchmark: the blur's width was chosen among five with the clean picture
# at hand, and the filter's settings were set by hand ($\sigma$ is three times the noise), not on another
# photograph as in chapter 1.

# %% [markdown]
# ## 9.5 At the edges, and other windows (may be skipped at first reading)
#
# Local attention was invented several times, with the windows laid differently. There are four rules:
#
# - **Stand-alone**, this chapter's rule: the window of 5 is centred on its query and cut off at the edge of the image.
# - **Neighbourhood** (NATTEN): at an edge the window of 5 moves inwards until it fits.
# - **Blocks** (Swin): the image is cut into blocks of 5, and a pixel reads its own block.
# - **Halo** (HaloNet): the image is cut into blocks of 3. All pixels of a block read the block and a rim of 2 pixels
#   around it, its *halo*.

# %% [markdown]
# The figure shows which pixels are read by a corner pixel (above) and by an inner one (below). The dot is the query, and
# thick lines are the borders of blocks.

# %% jupyter={"source_hidden": true}
names = {"blocks": "Swin", "halo": "HaloNet", "neighbourhood": "NATTEN"}
sizes = {"blocks": 5, "halo": 3}
fig, axs = plt.subplots(2, 4, figsize=(6.4, 3.5))
kinds = "stand-alone", "neighbourhood", "blocks", "halo"
picture = rearrange(china[0, :, :, 24:120], "c h w -> h w c")
for column, kind in enumerate(kinds):
    seen = readers(kind, 12, 12, 5)
    for ax, (y, x) in zip(axs[:, column], ((0, 0), (6, 4)), strict=True):
        keys = f"{names.get(kind, kind)}: {int(seen[y, x].sum())} keys"
        ax.imshow(picture, extent=(-0.5, 11.5, 11.5, -0.5))
        veil = torch.ones(12, 12, 4)
        veil[..., 3] = 0.8 * ~seen[y, x]
        ax.imshow(veil)
        for place in range(1, 12):
            thick = kind in sizes and place % sizes[kind] == 0
            line = dict(color="#222222" if thick else "#aaaaaa", lw=1.6 if thick else 0.4)
            ax.axvline(place - 0.5, **line), ax.axhline(place - 0.5, **line)
        ax.plot(x, y, "o", color="#d55e00", mec="w", ms=8)
        ax.set(title=keys, xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
plots.show(
    fig,
    """Two rows of four small photographs under a grid of 12 by 12, pale except for what one pixel
    reads. For a corner pixel, stand-alone and HaloNet windows are cut off, NATTEN's is moved inwards,
    Swin's is the block in which the pixel lies. For an inner one all but Swin's surround it.""",
)

# %% [markdown]
# | | which queries have the same keys | at an edge | a pixel near the image's or its block's border |
# |---|---|---|---|
# | stand-alone | none | places outside are masked | has fewer keys there |
# | neighbourhood ([NATTEN](https://arxiv.org/abs/2204.07143)) | nine in each corner, none inside | the window moves inwards | is not in the middle |
# | blocks ([Swin](https://arxiv.org/abs/2103.14030)) | all of a block | blocks end there | never sees the next block |
# | halo ([HaloNet](https://arxiv.org/abs/2103.12731)) | all of a block | places outside are masked, here | sees beyond its block |
#
# Swin shifts its blocks by half their width in every second layer, so that the borders differ, and
# it adds one learned number (a **relative position bias**) for each head and offset instead of
# $q \cdot r$. HaloNet, by the group of this chapter's paper, is the fast form of this chapter's layer: all queries of a
# block share one set of keys, which has to be fetched only once. You write it in chapter 11.


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


# %% jupyter={"source_hidden": true}
apart = difference()
fig, ax = plt.subplots(figsize=(4.4, 2.6))
title = "Stand-alone and NATTEN differ at the rim alone"
plots.heat(ax, apart, "w", "h", title, high=apart.max().item())
plots.show(
    fig,
    "How far two kinds of windows differ, for each of 12 by 16 pixels: nothing in the interior, something in a rim of two pixels.",
)
claim(apart[2:-2, 2:-2].max() < 1e-5, "stand-alone and neighbourhood agree in the interior")
claim(apart[0].min() > 0.01, "and they differ everywhere in the outermost row")

# %% [markdown]
# **What you should see.** The colour says how far the outputs of the two rules are apart at a pixel (the largest
# difference of any feature). Where the window fits into the image they agree up to rounding; in a rim of `window // 2`
# pixels they do not. Neither rule is wrong. But on small maps the rim is most of the image: of 7 x 7 pixels, the last
# stage of a ResNet, only one has a window of 7 that meets no edge. There the rule matters most.

# %% [markdown]
# ## 9.6 The layer
#
# The layer takes the place of a 3 x 3 convolution. It has three 1 x 1 convolutions (projections),
# heads, local attention, and, where the convolution had a stride, a mean over 2 x 2 pixels
# afterwards.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5)
x_ = diagrams.tensor(ax, 0.6, 1.6, (0.6, 1.5, 1.3), "c h w", "x")
names = (("query", 3.6), ("key", 2.2), ("value", 0.8))
made = [diagrams.layer(ax, 3.6, up, name, 1.5, 0.8) for name, up in names]
table = diagrams.layer(ax, 6.3, 3.9, "rows, columns", 2.5, 0.7)
core = diagrams.layer(
    ax, 6.3, 1.5, "local attention\nin each head", 2.5, 1.5, diagrams.ATTENTION
)
for one, up in zip(made, (2.7, 2.25, 1.8), strict=True):
    diagrams.arrow(ax, x_.right, one.left)
    diagrams.arrow(ax, one.right, (6.2, up))
diagrams.arrow(ax, table.bottom, core.top)
diagrams.tensor(ax, 10.3, 1.5, (0.6, 1.5, 1.3), "f h w")
diagrams.arrow(ax, (8.9, 1.75), (10.2, 1.75))
diagrams.tensor(ax, 13.5, 1.5, (0.4, 1.1, 0.65), "f h2 w2", "y")
diagrams.arrow(ax, (12.4, 1.68), (13.4, 1.68))
ax.text(12.6, 3.7, "mean of 2 x 2,\nif the stride is 2", ha="center", va="bottom", size=8.5)
plots.show(
    fig,
    """The maps x go through three learned projections, query, key and value. Local
    attention in each head, with its learned tables of rows and columns, gives f channels of the
    same size. With a stride of 2 a mean over 2 by 2 pixels halves height and width.""",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `x` | `b c h w` | feature maps |
# | `attention(x)` | `b head h w dy dx` | the attention weights, at full size |
# | `forward(x)` | `b f h2 w2` | f channels; h2 = h / stride, rounded up |
#
# There is no output projection, because the 1 x 1 convolution that follows in a bottleneck does
# that. With `scaled` the scores are divided by $\sqrt d$; `self.scale` holds the factor.
#
# *In the paper's text (section 2.2) a head sees only its own part of the channels; in its tables every head sees
# all of them. The class does as the tables do. Section 9.9 counts both.*

# %% [markdown]
# ### Exercise: `StandAloneSelfAttention2d`
#
# The projections and tables are there, and `self.split` cuts the heads. Use your `local_weights` and
# `local_attention`. On an odd map the last row and column are averaged among themselves, so that 7
# becomes 4, as with a strided convolution.

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
layers = [StandAloneSelfAttention2d(64, 8, window) for window in (3, 7, 19)]
counts = [sum(p.numel() for p in layer.parameters()) for layer in layers]
print("parameters for windows of 3, 7 and 19:", *counts)
print("a 3 x 3 and a 7 x 7 convolution      :", 9 * 64**2, 49 * 64**2)

# %% [markdown]
# **What you should see.** The maps are 4, 8 and 1 pixels across, and the number of parameters hardly
# depends on the window: only the two tables grow, by c numbers for each further row and column of the window. A
# convolution needs another c x c matrix for every further place.

# %% [markdown]
# ### Look over there
#
# Section 8.5 asked every pixel for the colour at a fixed offset, as a detector of parts looks for the wheel below the
# door. Here is the same question for a layer that sees only a window. Every pixel must say
# what stands one row up and two columns to the right. Pixels are independent random numbers, and we look at those
# whose window of 5 meets no edge. The pixel that is asked for lies in the last column of a window of 5, and just outside
# a window of 3.
#
# **Predict.** What fraction of the variance can a layer without positions explain?
#
# <details><summary>Answer</summary>
#
# It sees its own pixel and an unordered set of 24 others. The right one is each of them with equal
# probability, so the best guess is their mean, whose variance is 1/24 of a pixel's: it explains
# $1/24 = 0.042$, and nothing does better. A window of 3 does not reach the pixel: 0. With positions
# it can explain everything: 1.
#
# </details>


# %%
@cache
def pointed(position, window, seed):
    """The part of the pixel's variance that a trained layer explains."""
    make = partial(small_attention, 16, window, position)
    return explained(train_pointer(make, seed))


def spread(results):
    """The lowest and the highest, in words."""
    low, high = (round(found, 3) + 0.0 for found in (min(results), max(results)))  # no -0
    return f"{low:6.3f} to {high:.3f}"


# %% tags=["nbval-ignore-output"]
for position in ("none", "relative"):
    print(f"{position:12}", spread([pointed(position, 5, seed) for seed in range(3)]))
blind = [pointed("none", 5, seed) for seed in range(3)]
claim(
    max(blind) < 1 / 24 + 0.01, "without positions, at most 1/24 (and a hundredth for chance)"
)
claim(min(blind) > 0.02, "and at least half of that is found")
claim(min(pointed("relative", 5, seed) for seed in range(3)) > 0.98, "with tables, over 98 %")

# %% tags=["nbval-ignore-output"]
short = [pointed("relative", 3, seed) for seed in range(2)]
absolute = [pointed("absolute", 5, seed) for seed in range(2)]
alone = [pointed("place alone", 5, seed) for seed in range(2)]
print("window of 3 ", spread(short))
print("absolute    ", spread(absolute))
print("q · r alone ", spread(alone))
claim(max(short) < 0.02, "a window that does not reach the pixel explains under 2 %")
claim(min(absolute) > 0.9, "absolute positions explain over 90 %")
claim(min(alone) > 0.98, "q · r alone, without the content of the keys, over 98 %")

# %% [markdown]
# **What you should see.** The trained layers explain 0.04 of the variance without positions, as derived, 1 with
# the tables of relative embeddings, and 0 with a window that does not reach. And $q \cdot r$ alone suffices, because in
# *this* task only the place counts.

# %% [markdown]
# For *absolute* positions, the sines of chapter 3 were added to every pixel before the layer, which then has $q \cdot k$
# alone. That manages almost as well (0.989 and more), since between sines a step is a rotation, which the
# projections can learn.
#
# In a whole network the content matters more: in Table 6 of the paper, $q \cdot r$ alone costs half a
# point, 76.9 % instead of 77.4 %.

# %% [markdown]
# ## 9.7 What it costs
#
# Does attention in a window pay? Count multiply-adds for one pixel and c channels. A 3 x 3
# convolution has $9 c^2$. Attention has three projections, $3 c^2$, and then, for each place of the
# window, c for $q \cdot k$, c for $q \cdot r$ and c for weights times v.
#
# **Predict.** How large may the window be, at 64 channels, until attention costs as much as the
# convolution? Leave out $q \cdot r$, as the paper does.
#
# <details><summary>Answer</summary>
#
# $3 c^2 + 2\,\text{window}^2 c \le 9 c^2$ gives $\text{window}^2 \le 3 c = 192$, so 13: 33,920 against 36,864.
# (With 128 channels, $19^2 = 361 \le 384$.)
#
# </details>

# %% [markdown]
# ### Exercise: `multiply_adds`
#
# | | |
# |---|---|
# | `multiply_adds(channels, window, relative)` | of one pixel; $q \cdot r$ counts if `relative` |

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
    "copies of x",
)
claim(counted.multiply_adds == 120 * multiply_adds(64, 7, True), "formula and counter agree")

# %% [markdown]
# ### Exercise: `largest_window`
#
# The same question for any number of channels and any convolution: return an odd number, and 0 where
# nothing fits.

# %% exercise="stand_alone.largest_window"

# %%
check("stand_alone.largest_window", largest_window)

# %% [markdown]
# Stuck? `hint("stand_alone.largest_window")`. To read on without solving it:
# `from solutions.stand_alone import largest_window`.

# %% jupyter={"source_hidden": true}
wide = torch.arange(1, 41, 2)
cost = {f"attention, c = {c}": (3 * c + 2 * wide**2) / (9 * c) for c in (32, 128, 512)}
fig, ax = plt.subplots(figsize=(5.6, 3.0))
title = "No more expensive than a 3 x 3 up to windows of 9, 19, 39"
plots.lines(ax, wide, cost, "window", "multiply-adds, in 3 x 3 convolutions", title)
ax.axhline(1, color="black", lw=1, ls=":")
for c in (32, 128, 512):
    ax.plot(largest_window(c), (3 * c + 2 * largest_window(c) ** 2) / (9 * c), "o", color="k")
ax.set(ylim=(0, 3), xlim=(1, 40))
plots.show(
    fig,
    "The cost of attention against its window for 32, 128 and 512 channels: three parabolas. Dots mark the largest windows that cost no more than the convolution: 9, 19, 39.",
)
print("largest windows:", {c: largest_window(c) for c in (32, 64, 128, 256, 512)})

# %% [markdown]
# **What you should see.** The vertical axis is the cost of attention as a multiple of a 3 x 3 convolution's (dotted, 1).
# The curve for 128 channels crosses it just above window 19, as the paper says. (Like the paper's, this count leaves
# out $q \cdot r$.) The largest window grows with $\sqrt{3 c}$: attention is cheap where channels are many, which is in the later layers of a network, and expensive
# where they are few.

# %% [markdown]
# But look at the largest tensor above: our layer copies its input 49 times, and copying takes time, which no
# count of multiply-adds shows. Section 11.6 times this layer beside a convolution of equal width. There you find how
# much slower it is, and the form that removes this fault.

# %% [markdown]
# ## 9.8 The stem: values that know their place (may be skipped at first reading)
#
# In the first layer a pixel is three numbers. Its content says little, and finding an edge means to subtract one place
# from another. But one head averages with positive weights, and one value matrix for all places gives it nothing to
# subtract. With the plain layer as its stem the network reaches 76.2 % only (Table 7 of the paper), 1.2 less than behind
# a convolutional stem.

# %% [markdown]
# The paper therefore makes the *values* depend on the place in a 4 x 4 block: there are a few value
# matrices, and each place mixes them with weights of its own. With them the network reaches 77.6 % (Table 7).

# %% [markdown]
# All else is as before. Queries and keys are 1 x 1 convolutions of the pixels. Each of the 16 pixels of a block
# attends to the 16 pixels of its own block, with the scores $q \cdot k + q \cdot r$ of section 9.3. Then the maximum
# over a block is kept, so that height and width shrink to a quarter, as after a 7 x 7 convolution and pooling.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 6.6)
here = torch.full((4, 4), 0.15)
here[1, 2] = 0.9
block = diagrams.matrix(ax, 0.9, 3.3, here, "dy dx", "a 4 x 4 block", side=0.55)
row = diagrams.vector(
    ax, 4.6, 4.9, [0.7, 0.3, 0.5], "", "row 1", diagrams.LEARNED, 0.45, across=True
)
col = diagrams.vector(
    ax, 4.6, 3.3, [0.2, 0.6, 0.4], "", "column 2", diagrams.LEARNED, 0.45, across=True
)
diagrams.arrow(ax, (3.2, 4.7), row.left)
diagrams.arrow(ax, (3.2, 4.7), col.left)
add = diagrams.join(ax, 7.0, 4.5)
diagrams.arrow(ax, row.right, add.left)
diagrams.arrow(ax, col.right, add.left)
mixer = diagrams.layer(ax, 7.9, 4.05, "times $\\nu$,\nsoftmax", 1.7, 0.9)
diagrams.arrow(ax, add.right, mixer.left)
p_ = diagrams.vector(ax, 10.5, 4.25, [0.1, 0.7, 0.15, 0.05], "mix", "weights p",
                     diagrams.ATTENTION, 0.5, across=True)  # fmt: skip
diagrams.arrow(ax, mixer.right, p_.left)
pixel = diagrams.vector(ax, 2.0, 0.5, [0.9, 0.5, 0.3], "c", "", side=0.45, across=True)
ax.text(1.8, 0.72, "the pixel", weight="bold", ha="right", va="center")
mats = diagrams.layer(ax, 5.6, 0.35, "matrices  W₁ … W₄", 3.0, 0.8)
diagrams.arrow(ax, pixel.right, mats.left)
mix_ = diagrams.join(ax, 11.5, 0.75, "Σ")
diagrams.arrow(ax, mats.right, mix_.left, text="four values")
diagrams.arrow(ax, (11.5, 3.7), mix_.top)
v_ = diagrams.vector(
    ax, 12.9, 0.5, [0.6, 0.2, 0.8, 0.4], "e", "its value", side=0.45, across=True
)
diagrams.arrow(ax, mix_.right, v_.left)
plots.show(
    fig,
    """The place of a pixel in its 4 by 4 block selects a learned row and a learned column
    vector. Their sum, times the vectors nu, goes through a softmax and gives four weights. These
    mix what four matrices make of the pixel into one value.""",
)

# %% [markdown]
# $$
# p_{dy\,dx\,\text{mix}} = \operatorname{softmax}_{\text{mix}}\,
# (\text{row}_{dy} + \text{column}_{dx}) \cdot \nu_{\text{mix}}
# \qquad v = \Bigl(\sum_{\text{mix}} p_{dy\,dx\,\text{mix}} W_{\text{mix}}\Bigr) x
# $$
#
# | | axes | what it is |
# |---|---|---|
# | `shares()` | `dy dx mix` | for each place, the weight of each matrix |
# | `forward(x)` | `b e h w` | the values |
#
# **Predict.** With 16 matrices and weights of 0 and 1, every place of a block has a matrix of its own.
# What is the mean of the values over a block then?
#
# <details><summary>Answer</summary>
#
# A sum of 16 matrices, each times its own pixel, divided by 16: a 4 x 4 convolution with stride 4,
# divided by 16.
#
# </details>

# %% [markdown]
# ### Exercise: `SpatialValues`
#
# Blocks are laid from the upper left corner, and at the other edges they may be cut off.

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
        "the mean over each block is a 4 x 4 convolution with stride 4",
    )

# %% [markdown]
# **What you should see.** The two are equal: with enough matrices these values, averaged over blocks, are any 4 x 4
# convolution of stride 4, edge filters among them. The paper takes 4 matrices and learns the weights.
#
# The figure shows the temple after the whole stem (values, attention and maximum) with random weights: eight
# maps, a quarter as high and wide as the photograph. Some are light where others are dark, and in three of them the
# outline of the roof stands out, though nothing has been learnt yet.

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
stem = AttentionStem().eval()
with torch.no_grad():
    maps = stem(china)[0, :8]
fig, axs = plt.subplots(2, 4, figsize=(6.4, 2.5))
for ax, grid in zip(axs.flat, maps, strict=True):
    plots.image(ax, grid, "", low=grid.min().item(), high=grid.max().item())
before, after = (" x ".join(map(str, image.shape[-2:])) for image in (china, maps))
fig.suptitle(f"Before training: {before} become {after}; each map has its own scale")
plots.show(
    fig,
    "Eight coarse grey maps of the temple after the untrained stem, some light where others are dark.",
)

# %% [markdown]
# ## 9.9 For reference: the paper's counts (may be skipped at first reading)
#
# `StandAloneResNet` is the residual network of chapter 5 with our layer in place of its 3 x 3
# convolutions. Here we compare its parameters and operations with those that the paper prints. (The paper's figures are
# taken at second hand, from texts that quote its tables.)

# %%
with torch.device("meta"):  # shapes alone: nothing is computed
    nets = {
        "resnet-26-conv-stem+attn": StandAloneResNet(26),
        "resnet-50-conv-stem+attn": StandAloneResNet(50),
        "resnet-50-full-attn": StandAloneResNet(50, stem="attention"),
    }
for name, model in nets.items():
    print(f"{name:26}printed      counted   agreement")
    for line in papers.compare(model, f"sasa.table1.{name}").lines:
        print(f"  {line.metric:20}{line.printed!s:>10} {line.computed:15,}   {line.agreement}")

# %%
with torch.device("meta"):
    middle = StandAloneResNet(38)
    spent = spent_by(middle, (1, 3, 224, 224))
weights, flops = spent.parameters, 2 * (spent.multiply_adds + spent.attention)
print(
    f"ResNet-38: printed 14.1 M, counted {weights:,}; printed 5.7 G, counted {flops / 1e9:.2f} G"
)
claim(f"{weights / 1e6:.1f}" != "14.1", "we do not count the printed parameters of ResNet-38")
claim(f"{flops / 1e9:.1f}" == "5.7", "but we count its printed operations")

# %% [markdown]
# **What you should see.** For ResNet-26 and ResNet-50, parameters and operations agree with Table 1 of the paper to
# the digit. So do the operations of ResNet-38, but not its parameters: we count 14.2 M, and the paper prints 14.1 M,
# perhaps cut off instead of rounded.
#
# The paper's text gives each of N heads only its own part of the channels to project, $W \in \mathbb{R}^{d_{out}/N
# \times d_{in}/N}$. Its tables can tell whether that is what was built. We count both ways:

# %%
with torch.device("meta"):
    grouped = StandAloneResNet(50, grouped=True)
for name, model in (
    ("as in the text", grouped),
    ("as in the tables", nets["resnet-50-conv-stem+attn"]),
):
    tables = sum(
        p.numel() for n, p in model.named_parameters() if n.endswith((".rows", ".columns"))
    )
    total = sum(p.numel() for p in model.parameters())
    print(f"{name:17} {total - tables:,} and {tables:,} in tables")

# %%
with torch.device("meta"):
    others = {size: StandAloneResNet(50, window=size) for size in (3, 5, 7, 9, 11)}
for size, model in others.items():
    (line,) = papers.compare(model, f"sasa.table4.k{size}").lines
    print(
        f"window {size:2}  printed {line.printed}   {line.computed / 1e9:.2f}   {line.agreement}"
    )

# %% [markdown]
# **What you should see.** If every head sees all channels there are 18.0 M parameters, otherwise 14.7 M, so the paper's
# tables are of the former. The operations for windows of 5, 7 and 9 agree with the paper's Table 4; window 11 agrees if
# the paper cut 7.79 off to 7.7, and window 3 does not agree (6.5 here, 6.6 in the paper).
#
# The accuracies would take ImageNet and are not checked here. Tables 3 and 5 of the paper are on
# held-out *training* images, so their accuracies cannot be compared with those of its other tables.

# %% [markdown]
# ## 9.10 Can a network see without convolutions?
#
# We come back to the opening question, with a network small enough to train here. Its stem is a 1 x 1 convolution, which
# sees one pixel only. Then come a layer on 8 x 8 pixels and a layer on 4 x 4, each added to its input. It learns
# from 200 handwritten digits and names 450 others. Always naming the most frequent digit would be right for about a
# tenth of them.

# %% [markdown]
# First both layers are local attention, and we take away its two parts in turn: the window, which shrinks to a single
# pixel, and the positions. *Absolute* positions are again sines added to the pixels; *place alone* is $q \cdot r$ without
# $q \cdot k$.
#
# **Predict.** Which of the two will the network miss more?


# %%
@cache
def named(first, second, seed):
    """The fraction of unseen digits named; a layer is (position, window) or None, a convolution."""
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
claim(one.max() < 0.4, "with a single pixel, under 40 % in every seed")
claim(
    one.max() < three.min() and three.mean() < five.mean(), "the wider the window, the better"
)

# %% tags=["nbval-ignore-output"]
kinds = "none", "absolute", "place alone"
ways = {way: torch.tensor(seeds((way, 5), (way, 5))) for way in kinds} | {"relative": five}
for way, found in ways.items():
    print(f"{way:12}", spread(found.tolist()), f"  mean {found.mean():.2f}")
claim(ways["none"].max() < five.min(), "without positions it is worse in every seed")
claim(
    (ways["place alone"].mean() - five.mean()).abs() < 0.12,
    "q · r alone is within 0.12 of both together",
)
claim(
    ways["absolute"].mean() > five.mean(), "absolute positions are ahead of relative ones here"
)

# %% [markdown]
# **What you should see.** With a window of 5 the network names on average 0.69 of the digits (the ranges are of
# three seeds). With a single pixel it names about 0.2, but that takes away positions as well: a window of one place has
# none. Without positions, in the same window of 5, 0.39 are left. And $q \cdot r$ alone is as good as content and position together (0.70 and 0.69).

# %% [markdown]
# In the paper, too, both help: on ImageNet a window of 7 gains 1.0 point over one of 3 (Table 4), and
# relative positions gain 2.6 points over none (Table 5).
#
# One result is *unlike* the paper's: absolute positions are ahead of relative ones here (0.74). All these
# digits stand in the middle of 8 x 8 pixels, so that it says much where on the map something is. In Table 5 of the
# paper relative positions win, on photographs in which objects stand anywhere.

# %% [markdown]
# Now convolutions come back, 3 x 3, into one of the two layers or into both. All networks take the same 150 steps. A
# layer of attention with window 5 has 848 weights and takes 1,968 multiply-adds per pixel ($q \cdot r$ included); a
# convolution has 2,320 and 2,304.

# %% tags=["nbval-ignore-output"]
attends, keeps = ("relative", 5), None
lead, late = torch.tensor(seeds(keeps, keeps)), torch.tensor(seeds(keeps, attends))
soon, both = torch.tensor(seeds(attends, keeps)), torch.tensor(seeds(attends, attends))
print("two convolutions        ", spread(lead.tolist()))
print("convolution, attention  ", spread(late.tolist()))
print("attention, convolution  ", spread(soon.tolist()))
print("attention, attention    ", spread(both.tolist()))
claim(lead.mean() > both.mean(), "two convolutions are better than attention alone")
claim(late.mean() > both.mean(), "and so is a convolution with attention behind it")

# %% [markdown]
# **What you should see.** On average over three seeds, two convolutions are better than attention alone, and so is a
# convolution with attention behind it. They also have more weights, and 150 steps may be too few for attention, so that
# this does not say why. A likely reason is what a layer *assumes* before it has seen any image, its **inductive
# bias**: a convolution assumes more, which helps when there are 200 digits to learn from. Table 3 of the paper
# likewise recommends convolutions early and attention late.

# %% [markdown]
# So **can a network see without convolutions?** Yes. Attention in windows names 0.69 of the digits here, though
# fewer than convolutions do. On ImageNet, with more than a million images, the paper's attention is ahead of
# them, 77.6 against 76.9 %, with fewer parameters and operations. What remains is its speed, the subject of chapter 11.

# %% [markdown]
# ## What you have learnt
#
# | | 3 x 3 convolution | stand-alone attention |
# |---|---|---|
# | what decides a neighbour's weight | its place | its place and its content |
# | weights | 9 c² | 3 c² + window c |
# | multiply-adds a pixel | 9 c² | 3 c² + 3 window² c |
# | a larger window | costs weights | costs hardly any weights, and multiply-adds by its square |
# | memory, as written here | one image | window² images |
# | edges | zeros are summed in | places outside are masked |

# %% [markdown]
# ### Explain it to somebody
#
# <details><summary>1. Why does attention in windows not cost the square of the number of pixels?</summary>
#
# Each query has window² keys, however large the image is.
#
# </details>
#
# <details><summary>2. Why relative and not absolute positions?</summary>
#
# q · r depends on the offset within the window, not on where the window lies. What a head has learnt
# to find, it finds anywhere in the image, as a convolution does.
#
# </details>
#
# <details><summary>3. Why mask before the softmax, rather than after it?</summary>
#
# The softmax divides by a sum over all scores. If the padding is in the sum, the real pixels get too
# little.
#
# </details>
#
# <details><summary>4. Which patterns can a head not prefer by position alone?</summary>
#
# By position alone its weights are a row times a column, a matrix of rank 1. All other patterns are out of
# reach, such as two opposite corners.
#
# </details>
#
# <details><summary>5. The layer needs fewer operations than a convolution and is slower. Why?</summary>
#
# As written here, it copies window² keys and values for each pixel, and these copies must move through memory.
# Chapter 11 measures it, and avoids them.
#
# </details>

# %% [markdown]
# ### What came beside it, and after

# %% [markdown]
# - [Local Relation Networks](https://arxiv.org/abs/1904.11491) (Hu et al., 2019) appeared in the same spring with
#   the same idea: how two pixels compare, and where they lie, decides the weights in a window.
# - [Axial-DeepLab](https://arxiv.org/abs/2003.07853) (2020) attends along rows and then along
#   columns, and so reaches the whole image. It has positions for q, k and v.
# - [Exploring Self-attention for Image Recognition](https://arxiv.org/abs/2004.13621) (2020) gives every channel
#   weights of its own.

# %% [markdown]
# - [ViT](https://arxiv.org/abs/2010.11929) (2020) cuts the image into patches, and attends to all of them.
# - [HaloNet](https://arxiv.org/abs/2103.12731) (2021) is the fast form of this layer (chapter 11).
# - [Swin](https://arxiv.org/abs/2103.14030) (2021) shifts its blocks from layer to layer. It was long the usual backbone
#   for detection.
# - [Neighborhood Attention](https://arxiv.org/abs/2204.07143) (2022) brought windows that move inwards at edges, with
#   fast kernels.
# - [ConvNeXt](https://arxiv.org/abs/2201.03545) (2022) is the convolutions' reply: it takes over the
#   design of Swin.

# %% [markdown]
# ### References
#
# - P. Ramachandran, N. Parmar, A. Vaswani, I. Bello, A. Levskaya, J. Shlens: Stand-Alone Self-Attention in
#   Vision Models, NeurIPS 2019. https://arxiv.org/abs/1906.05909
# - C. Tomasi, R. Manduchi: Bilateral Filtering for Gray and Color Images, ICCV 1998.
#   https://doi.org/10.1109/ICCV.1998.710815
# - Photograph: "china" of scikit-learn's samples, by
#   [danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035), CC BY 2.0.
#
# Chapter 10 leaves windows behind: its sparse patterns reach every pixel in two steps. Chapter 11 makes
# this chapter's layer fast.
