# %% [markdown]
# # 0 · Shapes
#
# **About 1 hour**, of which 9 minutes are exercises. A CPU is enough.
#
# Attention is easy to write down and easy to get wrong. Most of its code does not compute
# anything: it cuts pictures into pieces, moves axes past each other and puts the pieces together
# again. PyTorch does this with `reshape`, `permute` and `transpose`, which know sizes but not
# names. If two axes are exchanged by mistake, the shapes often still fit, nothing stops, and what comes out is
# wrong.
#
# Here is such a mistake. Two photographs of 96 x 144 pixels were to be laid side by side.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor

from attncourse import check, hint, solution
from attncourse.book import claim, diagrams, plots
from attncourse.tasks.pictures import photograph

# %% jupyter={"source_hidden": true}
photos = torch.stack([photograph("china"), photograph("flower")])
right = photos.permute(1, 0, 2, 3).reshape(96, 288, 3)
wrong = photos.permute(1, 2, 0, 3).reshape(96, 288, 3)
fig, axs = plt.subplots(2, 1, figsize=(3.6, 3.0))
plots.image(axs[0], right, f"meant: shape {' '.join(map(str, right.shape))}")
plots.image(axs[1], wrong, f"got: shape {' '.join(map(str, wrong.shape))}")
plots.show(
    fig,
    """Above, a temple and a dahlia side by side. Below, a picture of the same size in which both
    are mixed, as if seen through a grating.""",
)

# %% [markdown]
# **This is the bug.** Both results have the shape 96 288 3 and hold the same numbers, so no error
# is raised. Two lines of code made these pictures. Can you tell which one is right?
#
# ```python
# photos.permute(1, 2, 0, 3).reshape(96, 288, 3)
# photos.permute(1, 0, 2, 3).reshape(96, 288, 3)
# ```

# %% [markdown]
# Alex Rogozhnikov answered this with a small language in which every change of axes names the
# axes before and after it. He published the library in 2018 and described it in [Einops: Clear
# and Reliable Tensor Manipulations with Einstein-like
# Notation](https://openreview.net/forum?id=oapKSVM2bcj) (ICLR 2022). In einops the two lines read:
#
# ```python
# rearrange(photos, "b h w c -> h (w b) c")
# rearrange(photos, "b h w c -> h (b w) c")
# ```
#
# Each line says what it does: the first lays down a column of each picture in turn, the second all
# columns of one picture and then all of the next. So the second is right, in both pairs; but nothing in 1, 2, 0, 3
# and 1, 0, 2, 3 said so. All changes of axes in this course are written in this way.

# %% [markdown]
# With no more than such changes of axes, a photograph becomes a sequence of patches that a
# transformer can read. The **vision transformer** begins so. In 2021, pretrained on 300 million pictures, it
# classified 88.55 % of [ImageNet](https://arxiv.org/abs/2010.11929) correctly. The two best convolutional networks had
# 88.5 and 87.54 %, and their pretraining took five and four times the computation (Table 2 there). You write its first
# step in section 0.2.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | eight short functions: each is one pattern, and in three of them a test of the sizes comes first. They cut pictures up, put them together, average, enlarge, weigh and compare them | a photograph taken apart and put together again; a flower whose patches find each other | PyTorch tensors and their shapes |
#
# Most of what the course does with axes is one of these eight. On the way you meet its tools:
# `check` says what is wrong with an answer, `hint` helps, and `claim` tests what the text says.

# %% [markdown]
# ### The letters
#
# Every axis has a letter or a word that means the same everywhere: in text, formulas, code and
# figures. Where a section gives a tensor a letter of its own, it says so.
#
# | letter | axis |
# |---|---|
# | `b` | pictures of a batch |
# | `h` `w` | height and width of a picture in pixels; of the small one where there are two |
# | `height` `width` | the same of the large picture, which is cut into patches or put together |
# | `c` | channels: red, green, blue |
# | `row` `column` | rows and columns of patches |
# | `p` `q` | height and width of a patch in pixels |
# | `n` | patches of a picture, counted row by row |
# | `i` `j` | the two partners wherever all pairs are formed |
# | `d` | the features of one of them, that is, the numbers that describe it |

# %% jupyter={"source_hidden": true}
print("b h w c =", *photos.shape)
fig, axs = plt.subplots(1, 2)
for b, name in enumerate(["a temple", "a dahlia"]):
    plots.image(axs[b], photos[b], f"b = {b}: {name}")
plots.show(fig, "Two photographs: a temple by a lake, and an orange dahlia before dark leaves.")

# %% [markdown]
# The two photographs ship with scikit-learn. They are by *danielbuechele* (temple) and *vultilion*
# (dahlia), both on Flickr, under the licence [CC BY 2.0](https://creativecommons.org/licenses/by/2.0/).
# A photograph is stored as `h w c`, and several of them in a batch as `b h w c`.

# %% [markdown]
# ### Four operations
#
# | | letters | numbers |
# |---|---|---|
# | `rearrange` | are moved, joined or taken apart | all stay |
# | `reduce` | one is missing on the right | are averaged along it (or summed, …) |
# | `repeat` | one is new on the right | are copied along it |
# | `einsum` | one is common to both inputs | are multiplied along it, and summed if it is missing on the right; a letter of *one* input stays an axis, so that each number of one input meets each of the other |
#
# The figure applies each of them to a few small numbers.


# %% jupyter={"source_hidden": true}
grid = diagrams.numbers


def four_operations(ax, table):
    """Each operation on one table, one below the other: what goes in, an arrow, what comes out."""
    for y in 7.5, 5.2, 0.6:
        grid(ax, 0.7, y, table, "h", "w")
    for x, y, column in (4.1, 5.2, (1, 4)), (0.7, 2.9, (1, 4)), (6.4, 0.6, (4, 13)):
        grid(ax, x, y, np.array([column]).T, "h")
    grid(ax, 3.65, 7.8, table.flatten(), "", "(h w)")
    grid(ax, 3.0, 2.9, [[1, 1, 1], [4, 4, 4]], "h", "w")
    grid(ax, 3.15, 0.9, [[1, 0, 2]], "", "w")
    ax.text(2.82, 1.2, "×", ha="center", va="center", size=12)
    ways = (2.65, 8.1, 3.5), (2.65, 5.8, 3.75), (1.45, 3.5, 2.65), (5.1, 1.2, 6.05)
    for x, y, end in ways:
        diagrams.arrow(ax, (x, y), (end, y))


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(7.4, 9.6, 3.7)
four_operations(ax, np.array([[0, 1, 2], [3, 4, 5]]))
names = (
    "rearrange   h w -> (h w)",
    "reduce   h w -> h",
    "repeat   h -> h w",
    "einsum   h w, w -> h",
)
for y, name in zip((9.0, 6.7, 4.4, 2.1), names, strict=True):
    ax.text(0.2, y, name, weight="bold")
for x, y, what in (3.17, 5.9, "mean"), (2.0, 3.6, "copy"), (5.55, 1.3, "add\nover w"):
    ax.text(x, y, what, ha="center", va="bottom", size=8)
plots.show(
    fig,
    """Four operations on the table 0 1 2, 3 4 5. rearrange joins its axes to 0 1 2 3 4 5; reduce
    averages each row to 1 and 4; repeat copies 1 and 4 three times; einsum multiplies each row
    with the weights 1 0 2 and adds, which gives 4 and 13.""",
)

# %% [markdown]
# The cells that draw figures are folded: you can open them, but nothing in them is needed.
#
# The next cell computes the same in einops. `claim(condition, sentence)` prints the sentence if the
# condition is true, and stops the notebook if it is not. You meet it wherever the text says
# something about numbers, so that you need not take the text's word for it.

# %%
x = torch.tensor([[0.0, 1, 2], [3, 4, 5]])
mean = reduce(x, "h w -> h", "mean")
weighed = einsum(x, torch.tensor([1.0, 0, 2]), "h w, w -> h")
print("mean over w", mean.tolist(), "  weighed", weighed.tolist())
claim(repeat(mean, "h -> h w", w=3)[1].tolist() == [4, 4, 4], "repeat copies 4 three times")
claim(weighed.tolist() == [4, 13], "0 · 1 + 1 · 0 + 2 · 2 = 4, and 3 · 1 + 4 · 0 + 5 · 2 = 13")

# %% [markdown]
# ### The order in a bracket
#
# Brackets join two axes to one. **The first letter in them is the outer one**, which changes
# slowly: `(h w)` takes all of one row, then all of the next.

# %%
x = rearrange(torch.arange(6), "(h w) -> h w", h=2)
print(x)
print("(h w)", *rearrange(x, "h w -> (h w)").tolist())
print("(w h)", *rearrange(x, "h w -> (w h)").tolist())

# %% [markdown]
# **What you should see.** The two printed lists hold the same numbers in different orders. `(h w)`
# reads the table row by row, 0 1 2 3 4 5, and `(w h)` reads it column by column, 0 3 1 4 2 5. The
# order of the letters in a bracket is the most frequent mistake in this chapter, and no shape
# gives it away.

# %% [markdown]
# ### How to read a signature
#
# The functions that you write say in their first line which axes go in and which come out:
#
# ```python
# def strip(pictures: Float[Tensor, "b h w c"]) -> Float[Tensor, "h width c"]:
# ```
#
# `Float[Tensor, "b h w c"]` is a **shape annotation** of the library
# [jaxtyping](https://docs.kidger.site/jaxtyping/): a tensor of floating-point numbers with four
# axes. The same letter is the same size wherever it stands. A new word such as `width` is an axis
# of some other size. A star, as in `"*batch d"`, stands for any number of axes in front. Where one
# axis stands alone, as in `" c"`, a space is written before it; only code checkers need it, which
# would otherwise take the letter for the name of a variable.

# %% [markdown]
# ## 0.1 rearrange: side by side
#
# The pictures of a batch are to be laid beside each other in one wide picture, a strip. Its column
# number $x$ is column $x \bmod w$ of picture $\lfloor x / w \rfloor$. (The brackets
# $\lfloor\;\rfloor$ round down, and $\bmod$ is the remainder.)

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(10.4, 2.6, 4.8)
one, other = np.array([[0, 1], [2, 3]]), np.array([[4, 5], [6, 7]])
light, dark = np.full((2, 2), 0.25), np.full((2, 2), 0.9)
grid(ax, 0.8, 0.7, one, "h", "w", "b = 0", light)
grid(ax, 3.3, 0.7, other, "h", "w", "b = 1", dark)
diagrams.arrow(ax, (4.8, 1.3), (6.4, 1.3), text="strip")
grid(ax, 7.2, 0.7, np.hstack([one, other]), "h", "width", "", np.hstack([light, dark]))
plots.show(
    fig,
    """Two pictures of two by two pixels, 0 to 3 and 4 to 7, become one of two by four: the
    first at the left, the second at the right.""",
)

# %% [markdown]
# **Predict.** `photos` is 2 96 144 3. Which shape does the strip have?
# <details><summary>Answer</summary>
# 96 288 3: the heights stay, and the widths add up to 2 · 144.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `pictures` | `b h w c` | a batch of pictures |
# | `strip(pictures)` | `h width c` | one wide picture |

# %% [markdown]
# ### Exercise: `strip`
#
# Replace the line `raise NotImplementedError` by yours, run the cell, and then run the check below
# it.

# %% exercise="shapes.strip"

# %%
check("shapes.strip", strip)

# %% [markdown]
# Stuck? `hint("shapes.strip")` gives one hint at a time: a question, the idea, and the pattern with
# gaps. To read on without solving it, run `from solutions.shapes import strip`.
#
# An answer that passes is kept in `work/mine`, and later chapters can go on with it:
# `from attncourse import mine` gives `mine.strip`, which is yours where it passed and the course's
# otherwise. `attncourse export` makes an installable package of all that you have written.

# %% [markdown]
# ### What `check` says about a wrong answer
#
# `check` runs your function on small random inputs in which no two axes have the same size, and
# compares the results with those of the solution. If it recognises your mistake, it names it. The
# function below makes one on purpose: look at its bracket.


# %%
def interleaved(pictures):
    return rearrange(pictures, "b h w c -> h (w b) c")


check("shapes.strip", interleaved)

# %% [markdown]
# **What you should see.** A card appears with the verdict *not yet*. Its first line names the
# cause; below it stand the sizes on which the mistake was seen and the number that is furthest
# off.
#
# Hints come one at a time, and the first is a question. `solution("shapes.strip")` shows the
# solution, after asking whether you want to see it.

# %%
hint("shapes.strip", 1)

# %% [markdown]
# The wrong function is the bug of the opening. Nothing is lost by it, so it can be repaired.
#
# **Predict.** Somebody sends you the striped picture, and the photographs are gone. Which pattern
# gets both of them back?
# <details><summary>Answer</summary>
# The same one, read backwards: rearrange(striped, "h (w b) c -> b h w c", b=2). The columns 0, 2,
# 4, … are the temple and the columns 1, 3, 5, … the dahlia.
# </details>

# %%
striped = interleaved(photos)
claim((striped == wrong).all(), "the wrong bracket makes the striped picture of the opening")
back = rearrange(striped, "h (w b) c -> b h w c", b=2)
claim((back == photos).all(), "read backwards, the wrong pattern gives both photographs back")
claim((strip(photos) == right).all(), "yours is the picture that was meant")

# %% [markdown]
# **What you should see.** All three claims hold. The right and the wrong strip have the same shape,
# 96 288 3, and only the order of two letters tells them apart. If the last claim fails, swap `b` and
# `w` in your bracket.

# %% [markdown]
# ## 0.2 rearrange: cut into patches
#
# Alexey Dosovitskiy and eleven colleagues showed in [An Image is Worth 16x16
# Words](https://arxiv.org/abs/2010.11929) (ICLR 2021) that a network without any convolution can
# classify images: it reads a photograph as a sequence of patches, as one reads words. Their
# vision transformer (ViT) begins with this cut.
#
# A picture of `height` by `width` pixels is divided into patches of `p` by `q` pixels, which are
# then numbered row by row. The pixel at $(y, x)$ falls into
# the patch in row $\lfloor y / p \rfloor$ and column $\lfloor x / q \rfloor$. Within that patch
# it stands in row $y \bmod p$ and column $x \bmod q$.

# %% jupyter={"source_hidden": true}
pixels = np.arange(24).reshape(4, 6)
number = np.kron([[0, 1], [2, 3]], np.ones((2, 3)))


def whole_and_patches(ax, whole, parts):
    """The picture with its left edge at `whole`, its patches from `parts` on, pixel 22 framed."""
    tints = np.array([0.0, 0.95, 0.65, 0.3])
    grid(ax, whole, 1.1, pixels, "", "", "4 x 6 pixels", tints[number.astype(int)])
    for k in range(2):
        where = whole - 0.1, 2.9 - 1.2 * k
        ax.text(*where, f"row {k}", ha="right", va="center", size=8.5)
        ax.text(whole + 0.9 + 1.8 * k, 1.0, f"column {k}", ha="center", va="top", size=8.5)
    corners = [(parts, 2.75), (parts + 2.6, 2.75), (parts, 0.5), (parts + 2.6, 0.5)]
    for n, (x, y) in enumerate(corners):
        names = ("p", "q") if n == 0 else ("", "")
        patch = pixels[number == n].reshape(2, 3)
        grid(ax, x, y, patch, *names, f"n = {n}", np.full((2, 3), tints[n]))
    for corner in (whole + 4 * 0.6, 1.1), (parts + 2.6 + 0.6, 0.5):
        ax.add_patch(plt.Rectangle(corner, 0.6, 0.6, fill=False, lw=2.4, ec="#d55e00"))


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(11.8, 4.6, 5.4)
whole_and_patches(ax, 1.3, 7.2)
diagrams.arrow(ax, (5.1, 2.3), (6.6, 2.3), text="p = 2,\nq = 3")
said = """A picture of four by six numbered pixels is cut into four patches of two by three, in
    two rows and two columns. The last, n = 3, holds the pixels 15, 16, 17 and 21, 22, 23; pixel 22 is framed on both sides."""
plots.show(fig, said)

# %% [markdown]
# ### Follow one pixel
#
# Pixel 22, framed in the figure, stands at $y = 3$, $x = 4$. Hence it lies in row
# $\lfloor 3 / 2 \rfloor = 1$ and column $\lfloor 4 / 3 \rfloor = 1$ of the patches, and the
# number of its patch is $n = 1 \cdot 2 + 1 = 3$, since each row holds two patches. Within the patch
# it stands in row $3 \bmod 2 = 1$ and column $4 \bmod 3 = 1$.
#
# **Predict.** How many patches of 16 x 16 pixels does a photograph of 96 x 144 pixels give?
# <details><summary>Answer</summary>
# There are 96 / 16 = 6 rows and 144 / 16 = 9 columns of patches, so n = 54.
# </details>

# %%
photo = photograph("china")
print("height width c =", *photo.shape)

# %% [markdown]
# ### Exercise: `patches`
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `height width c` | `height = (row p)`, `width = (column q)` |
# | `patches(picture, p, q)` | `n p q c` | `n = (row column)` patches, row by row |
#
# A bracket on the left of the arrow takes an axis apart. `rearrange(…, p=p, q=q)` says how long the
# pieces are; einops works out the number of rows and columns. Your function must first refuse a
# picture that cannot be divided without a remainder:
#
# ```python
# if height % p or width % q:
#     raise ValueError(f"{height} x {width} pixels do not divide into patches of {p} x {q}")
# ```

# %% exercise="shapes.patches"

# %%
check("shapes.patches", patches)

# %% [markdown]
# Stuck? `hint("shapes.patches")`. To read on without solving it:
# `from solutions.shapes import patches`.

# %%
numbered = rearrange(torch.arange(24.0), "(h w) -> h w 1", h=4)
claim(patches(numbered, 2, 3)[3, 1, 1, 0] == 22, "pixel 22 stands in patch 3, row 1, column 1")
cut = patches(photo, 16, 16)
claim(len(cut) == 54, "96 x 144 pixels make 54 patches of 16 x 16")

# %% jupyter={"source_hidden": true}
cut = patches(photo, 16, 16)
fig, axs = plt.subplots(6, 9, figsize=(4.8, 3.4))
for n, ax in enumerate(axs.flat):
    plots.image(ax, cut[n], "")
    if n in (0, 1, 2, 8, 9, 10, 17, 45, 53):
        behind = dict(fc="white", ec="none", pad=0.8)
        ax.text(0.5, 0.5, n, size=8, va="top", bbox=behind)
fig.suptitle("54 patches, row by row; some bear their number n", fontsize=9)
plots.show(
    fig, "The temple in 54 square pieces with white gaps; some are numbered, row by row."
)

# %% [markdown]
# **What you should see.** The figure shows the photograph with white gaps between its 54 patches.
# If the pieces look like small copies of the whole, you took every 6th row instead of 16
# neighbouring ones. If they stand in the wrong order, look at the bracket that makes `n`.

# %% [markdown]
# ## 0.3 rearrange: put together again
#
# A vision transformer computes something for every patch. To look at it one needs a picture again,
# so the patches are to be put back together. A **mosaic** lays out pictures of one size, its tiles,
# row by row in a given number of columns; here the tiles are the patches.
#
# **Predict.** You cut the photograph into patches and put them together again. By how much do the
# numbers of the result differ from those of the photograph?
# <details><summary>Answer</summary>
# By 0, exactly: nothing is computed, numbers only move.
# </details>

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(11.8, 4.6, 5.4)
whole_and_patches(ax, 7.8, 0.7)
diagrams.arrow(ax, (5.3, 2.3), (6.5, 2.3), text="2 columns")
said = """The four patches of the last figure, now at the left, are put together to the picture of
    four by six pixels; pixel 22 of patch n = 3 returns to the lower right."""
plots.show(fig, said)

# %% [markdown]
# Tile number $n$ goes to row $\lfloor n / \text{columns} \rfloor$ and column $n \bmod \text{columns}$. In the figure, tile 3
# goes to row $\lfloor 3 / 2 \rfloor = 1$ and column $3 \bmod 2 = 1$.

# %% [markdown]
# ### Exercise: `mosaic`
#
# | | axes | what it is |
# |---|---|---|
# | `tiles` | `n p q c` | pictures of one size |
# | `mosaic(tiles, columns)` | `height width c` | one picture, so many tiles wide |

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
# **What you should see.** The claim says that all 41472 = 96 · 144 · 3 numbers are where they
# were. Two functions that undo each other are a strong test of both, and it needs no solution to
# compare with.

# %% jupyter={"source_hidden": true}
cut = patches(photo, 16, 16)
shuffled = cut[torch.randperm(54, generator=torch.Generator().manual_seed(0))]
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.9), width_ratios=[9, 6])
plots.image(axs[0], mosaic(shuffled, 9), "The same 54 patches, shuffled")
plots.image(axs[1], mosaic(cut, 6), "In order, but in 6 columns")
plots.show(
    fig,
    """Left, the patches of the temple in random order. Right, all in order in a picture
    6 patches wide and 9 high: the temple falls apart into slanting pieces.""",
)

# %% [markdown]
# **What you should see.** On the right the patches are in order, but in 6 columns. The
# picture is 9 patches wide, so that its rows are cut after 6, 12 and 18 patches, each time elsewhere. On the left you notice at once that they are
# shuffled. The mean of all
# patches does not notice it, and neither does attention: unless it is given positions, it treats
# the patches as an **unordered set**. Chapter 03 is about giving it positions.

# %% [markdown]
# ## 0.4 reduce: pool
#
# To decide something about a whole region, one does not need its single pixels. Convolutional
# networks therefore shrink their pictures from stage to stage, and a block of chapter 05 asks of a region as a whole
# whether it shows fur or leaves. **Average pooling** makes one: each pixel of the small picture is the mean of one
# patch. The small picture has `h` by `w` pixels, so the large one has `(h p)` by `(w q)`.

# %% jupyter={"source_hidden": true}
fine = np.array([[1, 3, 0, 0], [5, 7, 0, 0], [2, 2, 8, 0], [2, 2, 0, 0]])
tint = np.kron(np.array([[0.9, 0.1], [0.35, 0.6]]), np.ones((2, 2)))
fig, ax = diagrams.canvas(9.6, 3.4, 4.8)
grid(ax, 1.2, 0.7, fine, "(h p)", "(w q)", "", tint)
diagrams.arrow(ax, (3.8, 1.9), (6.6, 1.9), text="mean over p, q")
grid(ax, 7.3, 1.3, [[4, 0], [2, 2]], "h", "w", "", np.array([[0.9, 0.1], [0.35, 0.6]]))
plots.show(
    fig,
    """A table of four by four numbers becomes one of two by two. The upper left four, 1, 3, 5
    and 7, become their mean 4; four zeros become 0; 2, 2, 2, 2 and 8, 0, 0, 0 both become 2.""",
)

# %% [markdown]
# Both patches in the lower row have the mean 2, although one of them is even and the other has a
# single bright pixel. Pooling keeps the mean of a patch and forgets how the values are
# distributed within it.
#
# **Predict.** The mean of the photograph is some number $\mu$. What is the mean of its pooled
# version?
# <details><summary>Answer</summary>
# It is also μ: all patches have equally many pixels, so the mean of their means is the mean.
# </details>

# %% [markdown]
# ### Exercise: `pool`
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `height width c` | `height = (h p)`, `width = (w q)` |
# | `pool(picture, p, q)` | `h w c` | one pixel for each patch |

# %% exercise="shapes.pool"

# %%
check("shapes.pool", pool)

# %% [markdown]
# Stuck? `hint("shapes.pool")`. To read on without solving it:
# `from solutions.shapes import pool`.

# %%
fine = torch.tensor([[1.0, 3, 0, 0], [5, 7, 0, 0], [2, 2, 8, 0], [2, 2, 0, 0]])
pooled = rearrange(pool(rearrange(fine, "h w -> h w 1"), 2, 2), "h w 1 -> h w")
claim(pooled.tolist() == [[4, 0], [2, 2]], "the figure's numbers come out: 4 0, 2 2")
small = {size: pool(photo, size, size) for size in (4, 8, 16)}
apart = max((y.mean() - photo.mean()).abs() for y in small.values())
claim(apart < 1e-5, "pooled or not, the mean of the photograph is the same")

# %% jupyter={"source_hidden": true}
small = {size: pool(photo, size, size) for size in (4, 8, 16)}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
for ax, (size, y) in zip(axs, small.items(), strict=True):
    plots.image(ax, y, f"p = q = {size}: {y.shape[0]} x {y.shape[1]} pixels")
plots.show(
    fig, "The temple pooled, each time more coarsely: at 6 x 9 pixels it is a few blots."
)

# %% [markdown]
# **What you should see.** The three pictures have 24 x 36, 12 x 18 and 6 x 9 pixels and are equally
# bright. If yours are white, you took the sum instead of the mean; if they are merely too bright,
# you took the maximum.

# %% [markdown]
# ## 0.5 repeat: enlarge
#
# What was computed on the coarse picture must act on the fine one. Say you have a number for each of 6 x 9 patches, how
# much a network looks at it, and want to lay it over the 96 x 144 pixels. **Nearest-neighbour
# upsampling** makes a small picture large: each pixel becomes a patch of `p` by `q` equal pixels.
# Row $y$ of the result is row $\lfloor y / p \rfloor$ of the picture, and the
# same holds for the columns.
#
# **Predict.** What is `pool(enlarge(x, p, q), p, q)`? And what is `enlarge(pool(x, p, q), p, q)`?
# <details><summary>Answer</summary>
# The first is x, because the mean of equal pixels is that pixel. The second is not x in general:
# what pooling has averaged away does not come back.
# </details>

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(9.6, 3.4, 4.8)
shades = np.array([[0.1, 0.35], [0.6, 0.9]])
grid(ax, 0.9, 1.3, [[1, 2], [3, 4]], "h", "w", "", shades)
diagrams.arrow(ax, (2.4, 1.9), (4.9, 1.9), text="copy along p, q")
tint = np.kron(shades, np.ones((2, 3)))
large = np.kron([[1, 2], [3, 4]], np.ones((2, 3)))
grid(ax, 5.8, 0.7, large, "(h p)", "(w q)", "", tint)
plots.show(
    fig,
    """A table of two by two, 1 2 and 3 4, becomes four by six: each number fills a block of
    two rows and three columns.""",
)

# %% [markdown]
# ### Exercise: `enlarge`
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `h w c` | a small picture |
# | `enlarge(picture, p, q)` | `height width c` | `height = (h p)`, `width = (w q)` |

# %% exercise="shapes.enlarge"

# %%
check("shapes.enlarge", enlarge)

# %% [markdown]
# Stuck? `hint("shapes.enlarge")`. To read on without solving it:
# `from solutions.shapes import enlarge`.

# %%
coarse = enlarge(pool(photo, 8, 8), 8, 8)
twice = enlarge(pool(coarse, 8, 8), 8, 8)
claim(
    (twice - coarse).abs().max() < 1e-6, "a picture pooled once loses nothing the second time"
)

# %% jupyter={"source_hidden": true}
coarse = enlarge(pool(photo, 8, 8), 8, 8)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
plots.image(axs[0], photo, "The photograph")
plots.image(axs[1], coarse, "= the means (p = q = 8)")
plots.image(axs[2], photo - coarse, "+ the rest (grey is 0)", -0.5, 0.5)
plots.show(fig, "The temple; the temple in blocks of one colour; grey with the edges only.")

# %% [markdown]
# **What you should see.** The right picture shows what pooling has forgotten, with mid-grey for
# 0: it is what varies within a patch, edges and texture. If your middle picture shows the temple
# many times over, you repeated the whole picture and not its pixels; look at the brackets.

# %% [markdown]
# ## 0.6 reduce: the mean colour
#
# To decide which channels of a picture matter, a network needs a short summary of each of them.
# **Global average pooling** keeps one number for each channel of each picture, the mean over all of
# its pixels.

# %% jupyter={"source_hidden": true}
RGB = {"R": "#c1272d", "G": "#1a8a3a", "B": "#0072b2"}
SPOTS = np.random.default_rng(2).uniform(0.05, 1, (3, 3, 4))


def planes(ax, x, y):
    """A picture as three planes of 3 x 4 pixels, red in front; its letters at the edges."""
    for c, colour in reversed(list(enumerate(RGB.values()))):
        diagrams.matrix(ax, x + 0.4 * c, y + 0.4 * c, SPOTS[c], colour=colour, side=0.5)
    diagrams.label(ax, (x - 0.12, y + 0.75), "h", "right", "center")
    diagrams.label(ax, (x + 1.0, y - 0.12), "w", "center", "top")
    diagrams.label(ax, (x + 2.55, y + 0.2), "c", "left", "center")


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(8.6, 3.8, 4.2)
planes(ax, 0.8, 0.7)
diagrams.title(ax, 2.2, 3.0, "picture b")
diagrams.arrow(ax, (4.2, 1.8), (6.6, 1.8), text="mean over h, w")
for c, (letter, colour) in enumerate(RGB.items()):
    mean = [[SPOTS[c].mean()]]
    diagrams.matrix(ax, 7.0, 2.1 - 0.5 * c, mean, colour=colour, side=0.5, text=[[letter]])
diagrams.title(ax, 7.25, 2.6, "$z_b$")
diagrams.label(ax, (7.25, 0.98), "c", "center", "top")
plots.show(
    fig,
    """A picture as three planes of three by four pixels, some dark and some pale, in red, green
    and blue. The mean over h and w leaves a vector z with one cell for each channel: R, G, B.""",
)

# %% [markdown]
# $$ z_{bc} = \frac{1}{h\, w} \sum_{y=0}^{h-1} \sum_{x=0}^{w-1} \text{pictures}_{b\, y\, x\, c} $$
#
# Here $y$ and $x$ run over the rows and columns of pixels.
#
# | | axes | what it is |
# |---|---|---|
# | `pictures` | `b h w c` | a batch of pictures |
# | `channel_means(pictures)` | `b c` | their mean colours, $z$ |
#
# **Predict.** You give `channel_means` the 54 patches of the photograph as if they were pictures of
# a batch. Which numbers come out?
# <details><summary>Answer</summary>
# 54 colours, n c: they are the pixels of the pooled picture, row by row.
# </details>

# %% [markdown]
# ### Exercise: `channel_means`

# %% exercise="shapes.channel_means"

# %%
check("shapes.channel_means", channel_means)

# %% [markdown]
# Stuck? `hint("shapes.channel_means")`. To read on without solving it:
# `from solutions.shapes import channel_means`.

# %% jupyter={"source_hidden": true}
colours = repeat(channel_means(photos), "b c -> b h w c", h=8, w=8)
fig, axs = plt.subplots(1, 4, figsize=(6.4, 1.5), width_ratios=[3, 1, 3, 1])
for b in range(2):
    plots.image(axs[2 * b], photos[b], f"b = {b}")
    plots.image(axs[2 * b + 1], colours[b], "its mean")
plots.show(fig, "Beside the temple a patch of mid-grey, beside the dahlia one of dark green.")

# %% [markdown]
# **What you should see.** The mean colour of the temple is a mid-grey and that of the dahlia a dark
# green, because its orange is lost among the leaves. A mean says how much of something there is,
# and never where.

# %%
one = channel_means(patches(photo, 16, 16))
other = rearrange(pool(photo, 16, 16), "h w c -> (h w) c")
claim(
    (one - other).abs().max() < 1e-6, "the mean colours of the patches are the pooled picture"
)

# %% [markdown]
# **What you should see.** The claim holds: two ways that have no line in common agree up to
# rounding. Channel attention, in chapter 05, starts from these `b c` numbers: from them a network
# decides which channels matter.

# %% [markdown]
# ## 0.7 einsum: weigh the channels
#
# Often one number a pixel has to be made of all its channels. A weighted sum is the simplest way.
# The best-known one makes a grey picture: the eye sees green as brighter than blue, so the luma $\ell$ of a
# television signal weighs the channels differently:
#
# $$ \ell = 0.299\,R + 0.587\,G + 0.114\,B \qquad\qquad \text{(ITU-R BT.601)} $$

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(11.4, 3.8, 5)
planes(ax, 0.8, 0.7)
diagrams.title(ax, 2.2, 3.0, "picture")
shares = np.array([0.299, 0.587, 0.114])
diagrams.vector(ax, 5.2, 1.1, shares, "c", "weights", diagrams.LEARNED, side=0.45)
ax.text(4.5, 1.75, "×", size=13, ha="center", va="center")
diagrams.arrow(ax, (6.0, 1.75), (8.0, 1.75), text="add over c")
luma = einsum(torch.tensor(SPOTS), torch.tensor(shares), "c h w, c -> h w")
diagrams.matrix(ax, 8.6, 1.0, luma, "h w", r"luma $\ell$", "#555555", side=0.5)
said = """The three planes of a picture are multiplied with a vector of three weights and summed
    over the channels c; one grey plane of h by w is left."""
plots.show(fig, said)

# %% [markdown]
# **Predict.** How bright is a pure green pixel, (0, 1, 0)? And a white one, (1, 1, 1)?
# <details><summary>Answer</summary>
#
# $0.587$, and $0.299 + 0.587 + 0.114 = 1$.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `picture` | `h w c` | a picture |
# | `weights` | `c` | how much each channel counts |
# | `grey(picture, weights)` | `h w` | the weighted sum |

# %% [markdown]
# ### Exercise: `grey`
#
# `einsum` takes both tensors and one pattern:
# `einsum(one, other, "axes of one, axes of other -> axes to keep")`.

# %% exercise="shapes.grey"

# %%
check("shapes.grey", grey)

# %% [markdown]
# Stuck? `hint("shapes.grey")`. To read on without solving it:
# `from solutions.shapes import grey`.

# %% [markdown]
# Luma is one choice of weights. Another asks how much redder than green a pixel is: 1, -1 and 0. Both are tried on two
# regions, which the figure frames: a red wall of the temple and the bushes at the right.

# %%
redness = grey(photo, torch.tensor([1.0, -1.0, 0.0]))
luma = grey(photo, torch.tensor([0.299, 0.587, 0.114]))
quarters = torch.tensor([0.25, 0.5, 0.75])
for name, shown in {"luma": luma, "R - G": redness}.items():
    wall = shown[41:53, 37:69].quantile(quarters)
    bush = shown[72:90, 95:140].quantile(quarters)
    for what, (low, median, high) in {"wall": wall, "bushes": bush}.items():
        print(f"{name:5} {what:6} median {median:5.2f}, half of it {low:5.2f} to {high:5.2f}")
    if name == "luma":
        claim(wall[0] < bush[2] and bush[0] < wall[2], "in luma wall and bushes overlap")
    else:
        claim(wall[0] > bush[2], "in red minus green they do not")

# %% jupyter={"source_hidden": true}
redness = grey(photo, torch.tensor([1.0, -1.0, 0.0]))
luma = grey(photo, torch.tensor([0.299, 0.587, 0.114]))
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.1))
plots.image(axs[0], photo, "The photograph")
plots.image(axs[1], luma, "Luma: wall like bushes")
fig.colorbar(axs[1].images[0], ax=axs[1], label="luma", location="bottom")
title = "R − G: the wall stands out"
plots.signed(axs[2], redness, "", "", title, limit=0.4, bar=False)
fig.colorbar(axs[2].images[0], ax=axs[2], label="R − G", location="bottom")
fig.colorbar(axs[1].images[0], ax=axs[0], location="bottom").ax.set_visible(False)
axs[2].set(xticks=[], yticks=[])
for ax in axs:
    for x, y, width, height in (37, 41, 32, 12), (95, 72, 45, 18):
        frame = dict(fill=False, ec="#e69f00", lw=1.6)
        ax.add_patch(plt.Rectangle((x - 0.5, y - 0.5), width, height, **frame))
plots.show(
    fig,
    """The temple three times with a wall and bushes framed: in colour; in grey, where both are
    equally dark; red minus green, where the wall is red, the bushes nearly white, the sky blue.""",
)

# %% [markdown]
# **What you should see.** In luma half of the wall and half of the bushes have the same values. Red
# minus green tells them apart: for the bushes it is close to 0. (The sky has more green than red.)
#
# Which weights are the right ones depends on what is looked for. The result, one number for each
# pixel, is the form of spatial attention (chapter 06). The weights, one for each channel, are what
# channel attention (chapter 05) computes from the picture.

# %% [markdown]
# ## 0.8 einsum: all pairs
#
# Of vectors of equal length, those that point the same way have the largest **inner product**.
# Attention (chapter 01) compares each of one set of vectors, the **queries**, with each of another,
# the **keys**. It needs the products of all pairs at once, here of the rows of `x` and of `y`. The letters $i$ and $j$
# each stand in one input only, so that each row of one meets each row of the other:
#
# $$ s_{ij} = \sum_d x_{id}\, y_{jd} $$

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(10.6, 4.7, 5.0)
rows, columns = np.array([[1, 0], [1, 1], [0, 2]]), np.array([[1, 1], [2, 0]])
dark, light = [0.9, 0.9], [0.2, 0.2]
grid(ax, 0.8, 0.8, rows, "i", "d", "x", [light, light, dark])
grid(ax, 3.2, 2.5, columns, "j", "d", "y", [dark, light])
grid(ax, 8.6, 0.8, rows @ columns.T, "i", "j", "s", [light, light, [0.9, 0.2]])
for way in ((2.05, 1.1), (8.5, 1.1)), ((4.45, 3.4), (5.6, 3.4), (8.5, 1.3)):
    ax.plot(*zip(*way, strict=True), color=diagrams.INK, lw=0.9)
ax.text(
    5.2, 1.75, "multiply, add over d:\n0 · 1 + 2 · 1 = 2", ha="center", va="center", size=8.5
)
said = """x holds three vectors of two features, y two. s is a table of three by two: the third of
    x, (0, 2), and the first of y, (1, 1), are dark; a line leads from each to the dark cell of s,
    which holds their inner product 2."""
plots.show(fig, said)

# %% [markdown]
# **Predict.** Take vectors of length 1 and compare each of them with all. Which numbers stand on the
# diagonal of the table?
# <details><summary>Answer</summary>
# 1: the inner product of a vector with itself is its squared length. No other number is larger.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `i d` | vectors |
# | `y` | `j d` | more vectors |
# | `similarity(x, y)` | `i j` | how similar each pair is |

# %% [markdown]
# ### Exercise: `similarity`

# %% exercise="shapes.similarity"

# %%
check("shapes.similarity", similarity)

# %% [markdown]
# Stuck? `hint("shapes.similarity")`. To read on without solving it:
# `from solutions.shapes import similarity`.

# %%
x, y = torch.tensor([[1.0, 0], [1, 1], [0, 2]]), torch.tensor([[1.0, 1], [2, 0]])
print(similarity(x, y))
claim(similarity(x, y)[2, 0] == 2, "the third of x and the first of y have the product 2")

# %% [markdown]
# ### Which patches look like this one?
#
# The next function cuts the dahlia into 12 x 18 patches of 8 x 8 pixels. It subtracts the mean
# colour of the photograph: colours are never negative, and without this step all patches would point into the same
# corner and resemble each other. It makes each patch a vector of length 1 and compares every patch with every other one.


# %%
def resemblance():
    """How alike all patches of the dahlia are, i j, between -1 and 1."""
    dahlia = photograph("flower")
    contrast = dahlia - channel_means(dahlia[None])
    rows = rearrange(patches(contrast, 8, 8), "n p q c -> n (p q c)")
    rows = rows / rows.norm(dim=-1, keepdim=True)
    return similarity(rows, rows)


# %% jupyter={"source_hidden": true}
table = resemblance()
chosen = rearrange(table[5 * 18 + 9], "(row column) -> row column", column=18)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.9))
plots.image(axs[0], photograph("flower"), "Patch 99: row 5, column 9")
axs[0].set_xticks(np.arange(0, 18, 3) * 8 + 3.5, range(0, 18, 3))
axs[0].set_yticks(np.arange(0, 12, 2) * 8 + 3.5, range(0, 12, 2))
plots.signed(axs[1], chosen, "column", "", "Blossom resembles blossom", limit=1, bar=False)
bars = dict(location="bottom", ticks=(-1, 0, 1), label="similarity to patch 99")
fig.colorbar(axs[1].images[0], ax=axs[1], shrink=0.9, **bars)
fig.colorbar(axs[1].images[0], ax=axs[0], location="bottom").ax.set_visible(False)
for ax, side, colour in (axs[0], 8, "white"), (axs[1], 1, "black"):
    corner = 9 * side - 0.5, 5 * side - 0.5
    ax.add_patch(plt.Rectangle(corner, side, side, fill=False, lw=1.5, ec=colour))
    corner = 9 * side - 0.5, 11 * side - 0.5  # the second blossom
    second = dict(fill=False, lw=1.2, ls="--", ec=colour)
    ax.add_patch(plt.Rectangle(corner, 3 * side, side, **second))
axs[0].set(xlabel="column", ylabel="row")
plots.show(
    fig,
    "Left the dahlia, one patch framed, and dashed a part of a second blossom below. Right a map:"
    " blossom red, paler at its rim, leaves blue, the second blossom red; the same frames.",
)

# %%
table = resemblance()
claim((table.diagonal() - 1).abs().max() < 1e-5, "every patch resembles itself by 1")
chosen = rearrange(table[99], "(row column) -> row column", column=18)
claim(chosen[3:9, 6:11].min() > 0.5, "the inner blossom resembles it by more than 0.5")
claim(chosen[:, 13:].max() < -0.2, "all leaves at the right resemble it by less than -0.2")
claim(chosen[11, 9:12].min() > 0.2, "at the lower edge it finds a second blossom")

# %% [markdown]
# **What you should see.** The map is one row of the table, drawn as a picture. Patch 99 = 5 · 18 + 9
# resembles itself by 1 and the inner part of the blossom by more than 0.5. For the leaves the numbers are
# negative, because they lie on the other side of the mean colour. The patch also finds a second
# blossom at the lower edge (dashed): no positions were compared, only appearance. If your map is speckled,
# look at the order in `(row column)`.
#
# Turn every row of this table into weights that sum to 1, let each patch take the mean of all
# patches with these weights, and you have **attention**. That is chapter 01.

# %% [markdown]
# ## 0.9 The rules that hold in every exercise
#
# An answer may be right on one input and still break in the next cell. Therefore `check` tries six
# things in every exercise of the course, whether the text mentions them or not.

# %% [markdown]
# 1. **The type stays.** What comes in as double goes out as double, and half precision
#    (16 bits a number) as half.
# 2. **Gradients flow** to everything that the result depends on.
# 3. **Inputs are not changed.** They belong to the caller.
# 4. **The device is that of the input**: a tensor that you make yourself takes `device=x.device`.
# 5. **Each call computes its results anew.** Nothing is remembered from an earlier call.
# 6. **Any size and any layout in memory is accepted**: one picture, one pixel, even or odd sizes,
#    and numbers that lie in memory in any order (`view` wants one order, `rearrange` takes any). A
#    star as in `*batch` stands for any number of axes.

# %% [markdown]
# Here is `channel_means` six times, and each version breaks one rule. Read the first line of each
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
    return channel_means(pictures) + torch.zeros(1, dtype=pictures.dtype)


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
# **What you should see.** Each of the six verdicts names the rule that is broken, although all six
# functions give the right numbers at least once. A wrong device is found even where there is no GPU, because
# `check` follows which tensors come from the input and which were made elsewhere. What the fifth does would return the first picture's
# colours for the next picture of the same size. When an answer of yours breaks such a rule, `hint`
# says so first.

# %% [markdown]
# ## What you have now
#
# The opening asked which of two lines is right, and nothing in them told. You have since written
# the right one, undone the wrong one, and found a blossom with the same few patterns:
#
# | function | pattern | where it comes back |
# |---|---|---|
# | `strip` | `b h w c -> h (b w) c` | heads of attention, side by side (chapter 02) |
# | `patches` | `(row p) (column q) c -> (row column) p q c` | the first layer of a vision transformer |
# | `mosaic` | `(row column) p q c -> (row p) (column q) c` | a map of attention, drawn as a picture |
# | `pool` | `(h p) (w q) c -> h w c` | gather-excite, which judges whole regions (chapter 05) |
# | `enlarge` | `h w c -> (h p) (w q) c` | a coarse map laid over a photograph: Grad-CAM, which shows what a decision rests on (chapter 06) |
# | `channel_means` | `b h w c -> b c` | squeeze-and-excitation (chapter 05) |
# | `grey` | `h w c, c -> h w` | spatial attention (chapter 06) |
# | `similarity` | `i d, j d -> i j` | the scores of attention (chapter 01) |

# %% [markdown]
# ### Explain it to somebody
#
# 1. What is the difference between `(h w)` and `(w h)`?
# <details><summary>Answer</summary>
# The first letter is the outer one and changes slowly. (h w) takes the numbers row by row, (w h)
# column by column.
# </details>
#
# 2. How does einops know that a letter is to be averaged, copied or summed?
# <details><summary>Answer</summary>
# In reduce a letter that is missing on the right is averaged (or summed, …). In repeat a letter that
# is new on the right is copied. In einsum a letter that is missing on the right is summed.
# </details>
#
# 3. Why is a test of the shape alone not enough?
# <details><summary>Answer</summary>
# A strip and its interleaved version have the same shape and different contents.
# </details>

# %% [markdown]
# 4. How many patches of 16 x 16 does a picture of 224 x 224 pixels give, and how many numbers does
#    each hold?
# <details><summary>Answer</summary>
# 14 · 14 = 196 patches with 16 · 16 · 3 = 768 numbers each. That is the input of a ViT-B/16, the
# base size of the vision transformer with patches of 16 pixels.
# </details>
#
# 5. Which of the eight functions lose information?
# <details><summary>Answer</summary>
# pool, channel_means and grey do, because they sum numbers up. similarity does as well: even
# similarity(x, x) tells only the lengths of the vectors and the angles between them, and not where
# they point. The others can be undone if you know the sizes.
# </details>

# %% [markdown]
# ### Before, beside and after
#
# - `np.einsum` and `torch.einsum` are older and know only single letters; einops takes words, and this course
#   uses them: `head` is a head, and `h` is a height.
# - [einx](https://github.com/fferflo/einx) extends the notation to indexing and to whole layers.
# - [Named tensors](https://nlp.seas.harvard.edu/NamedTensor) were Alexander Rush's proposal to keep
#   the names inside the tensor; PyTorch has had an experimental version of them since 1.3.
# - [jaxtyping](https://docs.kidger.site/jaxtyping/) lets a type checker test the annotations while a program runs.

# %% [markdown]
# ### References
#
# - Rogozhnikov, [Einops: Clear and Reliable Tensor Manipulations with Einstein-like Notation](https://openreview.net/forum?id=oapKSVM2bcj), ICLR 2022; its [documentation](https://einops.rocks).
# - Dosovitskiy et al., [An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale](https://arxiv.org/abs/2010.11929), ICLR 2021.
# - Kidger, [jaxtyping](https://docs.kidger.site/jaxtyping/).
