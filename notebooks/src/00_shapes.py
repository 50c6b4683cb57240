# %% [markdown]
# # 0 · Shapes
#
# You will write eight short functions that cut pictures up, put them together, average,
# enlarge, weigh and compare them. Every attention mechanism of this course is made of these
# moves. On the way you get to know `check`, which tells you what is wrong with an answer, and
# `hint`. **20 min · CPU is enough**

# %%
import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor

from attncourse import check, hint, solution
from attncourse.book import claim, plots
from attncourse.tasks.pictures import photograph

# %% [markdown]
# ## The letters
#
# Each axis has a letter, the same one in text, formulas, code and figures.
#
# | letter | axis |
# |---|---|
# | `b` | pictures of a batch |
# | `h` `w` | height and width in pixels, never heads |
# | `c` | channels: red, green, blue |
# | `p` `q` | height and width of a patch |
# | `n` | patches of a picture, all `h` rows and `w` columns of them |
# | `i` `j` | the two partners where all pairs are formed |
# | `d` | the features of one of them |

# %%
photos = torch.stack([photograph("china"), photograph("flower")])
print("b h w c =", *photos.shape)
fig, axs = plt.subplots(1, 2)
for b, name in enumerate(["a temple", "a dahlia"]):
    plots.image(axs[b], photos[b], f"b = {b}: {name}")
plots.show(fig, "Two photographs: a temple by a lake, and an orange dahlia before dark leaves.")

# %% [markdown]
# ## einops: say the axes before and after
#
# | | letters | numbers |
# |---|---|---|
# | `rearrange` | move, join, come apart | all stay |
# | `reduce` | one is missing on the right | are averaged along it (or summed, …) |
# | `repeat` | one is new on the right | are copied along it |
# | `einsum` | one is shared by the inputs | are multiplied along it, and summed if it is missing on the right |
#
# Brackets join two axes to one. **The first letter in them is the outer one**: `(h w)` takes
# all of one row, then all of the next.

# %%
x = rearrange(torch.arange(6), "(h w) -> h w", h=2)
print(x)
print("(h w)", *rearrange(x, "h w -> (h w)").tolist())
print("(w h)", *rearrange(x, "h w -> (w h)").tolist())

# %% [markdown]
# **What you should see.** `(h w)` reads the table row by row, 0 1 2 3 4 5. `(w h)` reads it
# column by column, 0 3 1 4 2 5. Nothing else in this chapter goes wrong as often as the order in
# a bracket.

# %% [markdown]
# ## 0.1 rearrange: side by side
#
# A strip shows all pictures of a batch beside each other. Its column $x$ is column
# $x \bmod w$ of picture $\lfloor x / w \rfloor$.
#
# **Predict.** `photos` is 2 96 144 3. Which shape has the strip?
# <details><summary>Answer</summary>
# 96 288 3: the heights stay, the widths add up to 2 · 144.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `pictures` | `b h w c` | a batch of pictures |
# | `strip(pictures)` | `h width c` | one wide picture |

# %% [markdown]
# ### Exercise: `strip`
#
# Take out `raise NotImplementedError`, write your line, run the cell and the check below it.

# %% exercise="shapes.strip"

# %%
check("shapes.strip", strip)

# %% [markdown]
# Stuck? `hint("shapes.strip")` gives one hint at a time: a question, the idea, the pattern with
# a hole. To read on without solving it: `from solutions.shapes import strip`.

# %% [markdown]
# ### What a wrong answer is told
#
# `check` runs your function on small made-up inputs in which every axis has another size, and
# compares with the solution. If it knows your mistake, it names it. Here is one, on purpose:
# look at the bracket.


# %%
def interleaved(pictures):
    return rearrange(pictures, "b h w c -> h (w b) c")


check("shapes.strip", interleaved)

# %% [markdown]
# **What you should see.** A card: *not yet*, the cause in its first line, then on which sizes it
# was seen and the number that is furthest off.
#
# Hints come one at a time, the first as a question. `solution("shapes.strip")` shows the
# answer, after asking.

# %%
hint("shapes.strip", 1)

# %% [markdown]
# Now the same two functions on the photographs:

# %%
right, wrong = strip(photos), interleaved(photos)
fig, axs = plt.subplots(2, 1, figsize=(4.6, 3.5))
plots.image(axs[0], right, "(b w): all columns of one picture, then all of the next")
plots.image(axs[1], wrong, "(w b): a column of each in turn")
plots.show(
    fig,
    """Above, the temple and the dahlia side by side. Below, both in one another as if
    seen through a grating.""",
)
claim((right[:, :144] == photos[0]).all(), "the first 144 columns of the strip are the temple")

# %% [markdown]
# **What you should see.** Both pictures are 96 288 3, so no shape gives the mistake away: only
# the order of letters differs. If your strip looks like the lower one, exchange them.

# %% [markdown]
# ## 0.2 rearrange: cut into patches
#
# Vision transformers begin with this cut. The pixel in row $y$, column $x$ goes to the
# patch in row $\lfloor y / p \rfloor$, column $\lfloor x / q \rfloor$ of a grid, and there to
# row $y \bmod p$, column $x \bmod q$.

# %%
photo = photograph("china")
fig, ax = plt.subplots(figsize=(3.6, 2.6))
plots.image(ax, photo, "To be cut along the lines: p = q = 16 pixels")
ax.hlines([y - 0.5 for y in range(16, 96, 16)], -0.5, 143.5, color="white", lw=1)
ax.vlines([x - 0.5 for x in range(16, 144, 16)], -0.5, 95.5, color="white", lw=1)
plots.show(fig, "The temple under a white grid of 6 rows and 9 columns.")

# %% [markdown]
# **Predict.** How many patches of 16 x 16 pixels does a picture of 96 x 144 give?
# <details><summary>Answer</summary>
# h = 96 / 16 = 6 rows of w = 144 / 16 = 9, so n = 54.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `height width c` | height = h · p, width = w · q |
# | `patches(picture, p, q)` | `n p q c` | n = h · w patches, row by row |

# %% [markdown]
# ### Exercise: `patches`
#
# A bracket on the left of the arrow takes an axis apart. `rearrange(…, p=p, q=q)` says how long
# the pieces are; einops works out `h` and `w`, and raises an error where the division leaves a
# rest.

# %% exercise="shapes.patches"

# %%
check("shapes.patches", patches)

# %% [markdown]
# Stuck? `hint("shapes.patches")`. To read on without solving it:
# `from solutions.shapes import patches`.

# %%
cut = patches(photo, 16, 16)
fig, axs = plt.subplots(6, 9, figsize=(4.8, 3.4))
for n, ax in enumerate(axs.flat):
    plots.image(ax, cut[n], "")
fig.suptitle("54 patches, row by row", fontsize=9)
plots.show(fig, "The temple in 54 square pieces with white gaps between them.")
claim(len(cut) == 54, "96 x 144 pixels make 54 patches of 16 x 16")

# %% [markdown]
# **What you should see.** The photograph with gaps. If the pieces look like small copies of the
# whole, you took every 6th row instead of 16 neighbours; if they stand in the wrong
# order, look at the bracket of `n`.

# %% [markdown]
# ## 0.3 rearrange: put together again
#
# A mosaic lays tiles out in rows of `w`: tile $n$ goes to row $\lfloor n / w \rfloor$, column
# $n \bmod w$.
#
# **Predict.** Cut the photograph up and put it together again. By how much does the result
# differ?
# <details><summary>Answer</summary>
# By 0, exactly: nothing is computed, numbers only move.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `tiles` | `n p q c` | pictures of one size |
# | `mosaic(tiles, w)` | `height width c` | one picture, w tiles to a row |

# %% [markdown]
# ### Exercise: `mosaic`

# %% exercise="shapes.mosaic"

# %%
check("shapes.mosaic", mosaic)

# %% [markdown]
# Stuck? `hint("shapes.mosaic")`. To read on without solving it:
# `from solutions.shapes import mosaic`.

# %%
again = mosaic(patches(photo, 16, 16), 9)
claim((again == photo).all(), f"all {photo.numel()} numbers are back in their places")

# %% [markdown]
# **What you should see.** 41472 = 96 · 144 · 3 numbers, each where it was. Two functions undo
# each other: a test that needs no solution to compare with.

# %%
cut = patches(photo, 16, 16)
shuffled = cut[torch.randperm(54, generator=torch.Generator().manual_seed(0))]
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.9), width_ratios=[9, 6])
plots.image(axs[0], mosaic(shuffled, 9), "The same 54 patches, shuffled")
plots.image(axs[1], mosaic(cut, 6), "In order, but w = 6")
plots.show(
    fig,
    """Left, the patches of the temple in random order. Right, all in order in a picture
    6 patches wide and 9 high: the temple falls apart into slanting pieces.""",
)

# %% [markdown]
# **What you should see.** You notice at once that the left picture is shuffled. A mean of the
# patches does not, and neither does attention: without help it treats patches as a heap.
# Chapter 03 gives them places.

# %% [markdown]
# ## 0.4 reduce: pool
#
# Each patch becomes one pixel, its mean:
#
# $$ y_{hw} = \frac{1}{pq} \sum_{\text{pixels of patch } hw} x $$
#
# **Predict.** The mean of the photograph is some number $\mu$. What is the mean of its pooled
# version?
# <details><summary>Answer</summary>
# Also μ: all patches have equally many pixels, so the mean of their means is the mean.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `height width c` | height = h · p, width = w · q |
# | `pool(picture, p, q)` | `h w c` | one pixel for each patch |

# %% [markdown]
# ### Exercise: `pool`

# %% exercise="shapes.pool"

# %%
check("shapes.pool", pool)

# %% [markdown]
# Stuck? `hint("shapes.pool")`. To read on without solving it:
# `from solutions.shapes import pool`.

# %%
small = {size: pool(photo, size, size) for size in (4, 8, 16)}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
for ax, (size, y) in zip(axs, small.items(), strict=True):
    plots.image(ax, y, f"p = q = {size}: {y.shape[0]} x {y.shape[1]} pixels")
plots.show(
    fig, "The temple pooled three times coarser each: at 6 x 9 pixels it is a few blots."
)
apart = max((y.mean() - photo.mean()).abs() for y in small.values())
claim(apart < 1e-5, "pooled or not, the mean is the same")

# %% [markdown]
# **What you should see.** 24 x 36, 12 x 18 and 6 x 9 pixels, equally bright. If yours is white,
# you took the sum, or "max", instead of the mean.

# %% [markdown]
# ## 0.5 repeat: enlarge
#
# The other way: each pixel becomes a patch of equal ones. Row $y$ of the result is row
# $\lfloor y / p \rfloor$ of the picture, and columns likewise.
#
# **Predict.** What is `pool(enlarge(x, p, q), p, q)`? And `enlarge(pool(x, p, q), p, q)`?
# <details><summary>Answer</summary>
# The first is x: the mean of equal pixels is that pixel. The second is not: what pooling has
# averaged away does not come back.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `h w c` | |
# | `enlarge(picture, p, q)` | `height width c` | height = h · p, width = w · q |

# %% [markdown]
# ### Exercise: `enlarge`

# %% exercise="shapes.enlarge"

# %%
check("shapes.enlarge", enlarge)

# %% [markdown]
# Stuck? `hint("shapes.enlarge")`. To read on without solving it:
# `from solutions.shapes import enlarge`.

# %%
coarse = enlarge(pool(photo, 8, 8), 8, 8)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
plots.image(axs[0], photo, "The photograph")
plots.image(axs[1], coarse, "= its patches' means")
plots.image(axs[2], photo - coarse, "+ what pooling forgets", -0.5, 0.5)
plots.show(fig, "The temple; the temple in blocks of one colour; grey with the edges only.")
twice = enlarge(pool(coarse, 8, 8), 8, 8)
claim((twice - coarse).abs().max() < 1e-6, "what was pooled once loses nothing the second time")

# %% [markdown]
# **What you should see.** What is forgotten is what varies within a patch: edges and texture.
# In the right picture mid-grey means 0. If the middle one shows the temple many times over, you
# repeated the picture, not its pixels: look at the brackets.

# %% [markdown]
# ## 0.6 reduce: the mean colour
#
# One mean for each channel of each picture:
#
# $$ z_{bc} = \frac{1}{hw} \sum_{h, w} x_{bhwc} $$
#
# **Predict.** 54 patches go in instead of pictures. What comes out, and where did you see those
# numbers before?
# <details><summary>Answer</summary>
# 54 colours, n c: the pixels of the pooled picture, row by row.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `pictures` | `b h w c` | a batch of pictures |
# | `channel_means(pictures)` | `b c` | their mean colours |

# %% [markdown]
# ### Exercise: `channel_means`

# %% exercise="shapes.channel_means"

# %%
check("shapes.channel_means", channel_means)

# %% [markdown]
# Stuck? `hint("shapes.channel_means")`. To read on without solving it:
# `from solutions.shapes import channel_means`.

# %%
colours = repeat(channel_means(photos), "b c -> b h w c", h=8, w=8)
fig, axs = plt.subplots(1, 4, figsize=(6.4, 1.5), width_ratios=[3, 1, 3, 1])
for b in range(2):
    plots.image(axs[2 * b], photos[b], f"b = {b}")
    plots.image(axs[2 * b + 1], colours[b], "its mean")
plots.show(fig, "Beside the temple a patch of mid-grey, beside the dahlia one of dark green.")

# %% [markdown]
# **What you should see.** Mid-grey for the temple, dark green for the dahlia: its orange drowns
# in the leaves. A mean says how much, never where. If you see two grey patches, you averaged
# the channels too.

# %%
one = channel_means(patches(photo, 16, 16))
other = rearrange(pool(photo, 16, 16), "h w c -> (h w) c")
claim(
    (one - other).abs().max() < 1e-6, "the mean colours of the patches are the pooled picture"
)

# %% [markdown]
# **What you should see.** Two ways that share no line agree up to rounding. Chapter 05 starts
# from these `b c` numbers: from them a network decides which channels count.

# %% [markdown]
# ## 0.7 einsum: weigh the channels
#
# The eye takes green for brighter than blue. A grey picture of a television signal is
#
# $$ y = 0.299\,R + 0.587\,G + 0.114\,B \qquad\qquad \text{(ITU-R BT.601)} $$
#
# **Predict.** How bright is a pure green pixel, (0, 1, 0)? And a white one?
# <details><summary>Answer</summary>
# 0.587, and 0.299 + 0.587 + 0.114 = 1.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `h w c` | |
# | `weights` | `c` | how much each channel counts |
# | `grey(picture, weights)` | `h w` | the weighted sum |

# %% [markdown]
# ### Exercise: `grey`
#
# `einsum(one, other, "axes of one, axes of other -> axes to keep")`.

# %% exercise="shapes.grey"

# %%
check("shapes.grey", grey)

# %% [markdown]
# Stuck? `hint("shapes.grey")`. To read on without solving it:
# `from solutions.shapes import grey`.

# %%
dahlia = photograph("flower")
luma = grey(dahlia, torch.tensor([0.299, 0.587, 0.114]))
warmth = grey(dahlia, torch.tensor([1.0, 0.0, -1.0]))
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
plots.image(axs[0], dahlia, "The dahlia, h w c")
plots.image(axs[1], luma, "0.299 R + 0.587 G + 0.114 B")
plots.image(axs[2], warmth, "R − B: the blossom alone", -1, 1)
plots.show(fig, "The dahlia in colour; in grey; red minus blue, where it alone is bright.")
claim(
    warmth[40:60, 60:80].min() > warmth[:80, :30].max(),
    "red less blue parts blossom and leaves",
)

# %% [markdown]
# **What you should see.** With the right weights the blossom stands out by itself: its darkest
# pixel in the middle is above the brightest of the leaves at the left. Which weights are right
# depends on the picture, and learning to choose them is channel attention.

# %% [markdown]
# ## 0.8 einsum: all pairs
#
# Vectors that point the same way have a large inner product. For all pairs at once:
#
# $$ s_{ij} = \sum_d x_{id}\, y_{jd} $$
#
# **Predict.** Rows of length 1, each compared with itself: which numbers stand on the diagonal?
# <details><summary>Answer</summary>
# 1: the inner product of a vector with itself is its squared length. No other number is larger.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `i d` | vectors |
# | `y` | `j d` | more vectors |
# | `similarity(x, y)` | `i j` | how alike each pair is |

# %% [markdown]
# ### Exercise: `similarity`

# %% exercise="shapes.similarity"

# %%
check("shapes.similarity", similarity)

# %% [markdown]
# Stuck? `hint("shapes.similarity")`. To read on without solving it:
# `from solutions.shapes import similarity`.

# %% [markdown]
# ### Which patches look like this one?
#
# Cut the dahlia into 12 x 18 patches of 8 x 8 pixels, take its mean colour off, and make each
# patch a row of length 1. Then every patch is compared with every other.


# %%
def resemblance():
    """How alike all patches of the dahlia are, i j, between -1 and 1."""
    dahlia = photograph("flower")
    contrast = dahlia - channel_means(dahlia[None])
    rows = rearrange(patches(contrast, 8, 8), "n p q c -> n (p q c)")
    rows = rows / rows.norm(dim=-1, keepdim=True)
    return similarity(rows, rows)


# %%
table = resemblance()
row, column = 5, 9
chosen = rearrange(table[row * 18 + column], "(h w) -> h w", w=18)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3), width_ratios=[1, 1.2])
plots.image(axs[0], photograph("flower"), "The patch in the frame …")
axs[0].add_patch(plt.Rectangle((column * 8 - 0.5, row * 8 - 0.5), 8, 8, fill=False, lw=2))
plots.signed(axs[1], chosen, "w", "h", "… resembles the blossom", limit=1)
plots.show(fig, "Left the dahlia, one patch framed. Right a map: blossom red, leaves blue.")

# %%
table = resemblance()
claim((table.diagonal() - 1).abs().max() < 1e-5, "every patch resembles itself by 1")
chosen = rearrange(table[99], "(h w) -> h w", w=18)
claim(chosen[3:9, 6:11].min() > 0.5, "the blossom resembles it by more than 0.5")
claim(chosen[:, 13:].max() < -0.2, "all leaves at the right resemble it negatively")
claim(chosen[11, 9:12].min() > 0.2, "at the lower edge it finds a second blossom")

# %% [markdown]
# **What you should see.** Patch 99 = 5 · 18 + 9 resembles itself by 1, the blossom by more than
# 0.5, the leaves by less than 0: they lie on the other side of the mean colour. It also finds a
# second blossom at the lower edge: no place was compared, only looks. If the map is speckled,
# look at the order `(h w)`.

# %% [markdown]
# ## 0.9 The rules that hold in every exercise
#
# An answer may be right on one input and still break in the next cell. So `check` tries six
# things in each exercise of the course, whether its text speaks of them or not.

# %% [markdown]
# 1. **The type stays.** What comes in as double goes out as double, half precision as half.
# 2. **Gradients flow** to everything that the result depends on.
# 3. **Inputs are not changed.** They belong to the caller.
# 4. **The device is that of the input**: what you make yourself takes `device=x.device`.
# 5. **Nothing is kept** from one call to the next.
# 6. **Any size goes**: one picture, one pixel, even or odd; a star as in `*batch` stands for any
#    number of axes.

# %% [markdown]
# Here is `channel_means` six times, each of which breaks one rule. Read the first line of each
# verdict.

# %%
kept = {}


def single(pictures):
    return channel_means(pictures.float())


def detached(pictures):
    return channel_means(pictures.detach())


def in_place(pictures):
    pictures *= 2
    return channel_means(pictures) / 2


def on_the_cpu(pictures):
    return channel_means(pictures) + torch.zeros(1)


def remembering(pictures):
    return kept.setdefault(pictures.shape, channel_means(pictures))


# %%
def squeezed(pictures):
    return reduce(pictures.squeeze(), "b h w c -> b c", "mean")


for broken in (single, detached, in_place, on_the_cpu, remembering, squeezed):
    verdict = check("shapes.channel_means", broken)
    claim(verdict.status != "passed", f"{broken.__name__} is not accepted")
    print(verdict.message.splitlines()[0], end="\n\n")

# %% [markdown]
# **What you should see.** Each line names the rule that is broken, although all six give the
# right numbers at least once. When an answer of yours breaks such a rule, `hint` says it first.

# %% [markdown]
# Each row of this table says whom a patch resembles. Turn the rows into shares that sum to 1,
# let each patch take the mean of the others by these shares, and you have attention. That is
# chapter 01.
