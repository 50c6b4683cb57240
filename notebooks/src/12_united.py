# %% [markdown]
# # 12 · Convolution and attention as one
#
# For nine chapters convolution and attention stood side by side. A convolution knows *where* a neighbour
# is and treats all images alike; attention knows *what* is there and finds it anywhere. By 2019 networks of
# either kind read images equally well (chapter 9). Nobody knew whether the two were rivals or relatives.
#
# Jean-Baptiste Cordonnier, Andreas Loukas and Martin Jaggi answered in
# [On the Relationship between Self-Attention and Convolutional Layers](https://arxiv.org/abs/1911.03584)
# (ICLR 2020): attention with nine heads *contains* every 3 x 3 convolution, and the weights can be written
# down.

# %% [markdown]
# A year later Alexey Dosovitskiy and his colleagues at Google left convolutions out almost entirely. Their
# **vision transformer**, or ViT ([An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929), ICLR 2021),
# reads an image as a sentence of patches. It beat the best convolutional networks, but only after it had
# seen 300 million images. What a convolution assumes, it has to learn.
#
# The answers came within months. [Swin](https://arxiv.org/abs/2103.14030) brought windows back and became the
# best paper of ICCV 2021; [ConViT](https://arxiv.org/abs/2103.10697) starts as a convolution and may leave it;
# [CoAtNet](https://arxiv.org/abs/2106.04803) puts a kernel inside the softmax.

# %% [markdown]
# ### What came of it
#
# | ImageNet, 224 x 224, without further data | top-1 | parameters | multiply-adds |
# |---|---|---|---|
# | DeiT-S, a ViT | 79.8 % | 22 M | 4.6 G |
# | ConViT-S | 81.3 % | 27 M | 5.4 G |
# | Swin-T | 81.3 % | 29 M | 4.5 G |
# | CoAtNet-0 | 81.6 % | 25 M | 4.2 G |
#
# (Table 1 of Swin and of ConViT, Table 4 of CoAtNet, taken at second hand from texts that quote them.) Vision
# transformers have been used far beyond such tables since:
# [CLIP](https://arxiv.org/abs/2103.00020) compares images with texts by one, and
# [DINOv2](https://arxiv.org/abs/2304.07193) trains one without labels.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | nine heads that are a convolution, and the bound on how far they are off; a ViT; Swin's shifted windows; ConViT's gate; CoAtNet's kernel | `conv2d` and attention agree as you predicted; where heads look in a photograph; a gate that moves in training; who needs how much data | heads (chapter 2), positions (3), relative tables (8), windows (9) |
#
# **About 4½ hours**, of which 140 minutes are exercises. A CPU is enough.

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` `c` `f` | images, channels that enter, channels that leave |
# | `h` `w` | rows and columns of a map, `i` a query on it and `j` a key, row by row |
# | `dy` `dx` | row and column of a place in a kernel or patch, from its upper left |
# | `n`, `dim` | tokens, and their features: dim = (head d) |
# | `high` `wide` | patches, or windows, down and across |
# | `win` | windows, row by row |
#
# Besides, $\Delta$ is the shift of a head, $r$ the three numbers of an offset, and $g$ a gate.

# %%
import math

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, explore, hint, papers
from attncourse.book import claim, plots
from attncourse.book.drawings import united as drawings
from attncourse.papers.cost import cost
from attncourse.tasks.lookups import two_lookups
from attncourse.tasks.pictures import photograph
from attncourse.tasks.united import KINDS, mixer, right, train


# %%
from solutions.multi_head import merge_heads, split_heads
from solutions.positional import masked_softmax
from solutions.relative_2d import relative_logits_2d
from solutions.resizing import resize_positions
from solutions.scaled_dot_product import attention_weights
from solutions.united import PatchEmbedding, PreNormBlock, SelfAttention
from solutions.united import merge_windows, patch_kernel
from solutions.united.blocks import divided, small
from solutions.united.gated import as_convolution
from solutions.united.vision_transformer import grid_of

china = rearrange(photograph("china"), "h w c -> 1 c h w")

# %% [markdown]
# ## 12.1 A head that reads one pixel
#
# What does a 3 x 3 convolution do? For each pixel it reads nine neighbours, sends each through a matrix of its
# own, and adds up. A head of attention reads a *mixture* of pixels and sends it through a matrix. So nine heads
# are a convolution if each of them puts all its weight on one neighbour: the first on the pixel above and to
# the left, the last on the one below and to the right.

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.heads_as_places(),
    """A padded map with a framed query. Three of nine heads have a map of weights with one bright cell each, at the
    shifts -1 -1, -1 0 and 1 1. What each reads goes through its own learned matrix, and all nine are summed to y.""",
)

# %% [markdown]
# Where a head looks must depend on the offset $\delta$ from query to key alone. Take three numbers for an
# offset, $r_\delta = (\delta_x, \delta_y, |\delta|^2)$, and a vector $v$ for each head. With
#
# $$ v_\Delta = \alpha\, (2 \Delta_x,\ 2 \Delta_y,\ -1) \qquad
# v_\Delta \cdot r_\delta = -\alpha\, |\delta - \Delta|^2 + \alpha\, |\Delta|^2 $$
#
# the logits are a parabola around the shift $\Delta$: its top is the pixel that the head is to read. The last
# term is the same for all keys, and a softmax does not see it. We call $\alpha$ the **sharpness**.
# (Lemma 2 of the [paper](https://arxiv.org/abs/1911.03584), which calls it the quadratic encoding.)

# %% [markdown]
# ### Once by hand
#
# On a line with five keys at the offsets -2 to 2, let $\Delta = 1$ and $\alpha = 1$. Then $v \cdot r = 2 \delta -
# \delta^2$, which is $-8, -3, 0, 1, 0$. The softmax gives 0.00, 0.01, 0.21, 0.57, 0.21: the key at offset 1 has the
# most, and both its neighbours get $\exp(-1)$ times as much. With $\alpha = 5$ they get $\exp(-5)$ times as much.

# %%
offset = torch.arange(-2.0, 3)
logits = 2 * offset - offset**2
for sharp in (1, 5):
    told = (sharp * logits).softmax(0)
    print(f"sharpness {sharp}:", *(f"{share:.2f}" for share in told))
told = logits.softmax(0)
claim((told[2] / told[3] - math.exp(-1)).abs() < 1e-6, "a neighbour gets exp(-1) times as much")

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `offset_encoding(height, width, reach)` | `i j three` | $\delta_x$, $\delta_y$, $\delta_x^2 + \delta_y^2$ for each query and key |
#
# Queries are the pixels of the map. Keys are those of the *padded* map, with `reach` more on every side, so
# that a head can read the zeros beyond the edge as a convolution does.
#
# **Predict.** Map of 4 x 5, reach 1: how many queries and how many keys are there?
#
# <details><summary>Answer</summary>
#
# 20 queries, and $6 \cdot 7 = 42$ keys.
#
# </details>

# %% [markdown]
# ### Exercise: `offset_encoding`
#
# Key minus query, columns first. (Difficulty 2, 8 minutes.)

# %% exercise="united.offset_encoding"

# %%
check("united.offset_encoding", offset_encoding)

# %% [markdown]
# Stuck? `hint("united.offset_encoding")`. To read on without solving it:
# `from solutions.united.as_convolution import offset_encoding`.

# %% [markdown]
# ### Exercise: `shift_vectors`
#
# Now set the weights: a vector for each place of a kernel, row by row. The middle of the kernel is the shift 0; of
# an even window it lies between two places. (Difficulty 3, 8 minutes.)
#
# | | axes | what it is |
# |---|---|---|
# | `shift_vectors(window, sharpness)` | `head three` | $v_\Delta$ for each place, head = (dy dx) |

# %% exercise="united.shift_vectors"

# %%
check("united.shift_vectors", shift_vectors)

# %% [markdown]
# Stuck? `hint("united.shift_vectors")`. To read on without solving it:
# `from solutions.united.as_convolution import shift_vectors`.

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(2, 5, figsize=(6.4, 2.9))
places = offset_encoding(7, 7)[24]  # from the pixel in the middle
for row, sharp in zip(axs, (0.5, 4.0), strict=True):
    heads = einsum(shift_vectors(3, sharp), places, "head r, j r -> head j").softmax(-1)
    for ax, head in zip(row, (0, 1, 4, 5, 8), strict=True):
        grid = rearrange(heads[head], "(h w) -> h w", w=7)
        plots.heat(ax, grid, "", "", f"head {head}", bar=False)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(f"sharpness {sharp:g}")
plots.show(
    fig,
    """The weights of five of nine heads for the pixel in the middle of 7 by 7. At sharpness 0.5 each is a soft blot, at
    4 a single bright cell: above and to the left for head 0, in the middle for head 4, below and to the right for
    head 8.""",
)

# %% [markdown]
# **What you should see.** Each head looks at one place of the 3 x 3 kernel: head 0 above and to the left, head 4 at the
# pixel itself, head 8 below and to the right. At sharpness 0.5 the heads are soft blots, at 4 single cells. If
# the order of your heads runs down columns, `dy` and `dx` have changed places.

# %% [markdown]
# ## 12.2 How much leaks
#
# A softmax never gives everything to one key. How much do the others get? Before it is divided, a key at the
# offset $(x, y)$ from the head's pixel weighs $\exp(-\alpha (x^2 + y^2))$, and this is a product of one
# number for the column and one for the row. So the sum over the plane is a square:
#
# $$ \text{leak} = 1 - \frac{1}{\bigl(\sum_{n} \exp(-\alpha n^2)\bigr)^2} \qquad n = -\text{reach} \dots \text{reach} $$
#
# **Predict.** For large $\alpha$ this is about $4 \exp(-\alpha)$, the four nearest neighbours. Which sharpness
# brings it below a thousandth?
#
# <details><summary>Answer</summary>
#
# $4 \exp(-\alpha) < 0.001$, so $\alpha > \ln 4000 = 8.3$.
#
# </details>

# %% [markdown]
# ### Exercise: `leak`
#
# (Difficulty 3, 7 minutes.) A number comes out, no tensor.

# %% exercise="united.leak"

# %%
check("united.leak", leak)

# %% [markdown]
# Stuck? `hint("united.leak")`. To read on without solving it:
# `from solutions.united.as_convolution import leak`.

# %%
for sharp in (0.5, 2.0, 8.0, 8.5):
    print(
        f"sharpness {sharp:3}: {leak(sharp, 20):.2g} leaks, 4 exp(-a) = {4 * math.exp(-sharp):.2g}"
    )
claim(leak(8.5, 20) < 0.001 < leak(8.0, 20), "a thousandth is reached between 8 and 8.5")

# %% [markdown]
# ## 12.3 Attention computes a convolution
#
# Everything is at hand. The logits of head $\Delta$ are $v_\Delta \cdot r$; the values are the pixels of the padded map;
# the head's matrix is the kernel's, $W_\Delta$:
#
# $$ y_i = \sum_\Delta W_\Delta \sum_j \operatorname{softmax}_j (v_\Delta \cdot r_{ij})\, x_j
# \ \longrightarrow\ \sum_\Delta W_\Delta\, x_{i + \Delta} \qquad (\alpha \to \infty) $$
#
# What a head reads is off by at most its leak times the span of the values, and so
#
# $$ |\,y - \operatorname{conv}(x)\,| \ \le\ \text{leak}(\alpha) \cdot (\max x - \min x) \cdot \textstyle\sum |W| $$
#
# Here $x$ is the *padded* map, with its zeros: a head at the edge may read one of them in place of a pixel.

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `x` | `b c h w` | the maps |
# | `kernel` | `f c dy dx` | as `F.conv2d` takes it |
# | `attention_as_convolution(x, kernel, sharpness)` | `b f h w` | by attention |
#
# **Predict.** How many heads does a 5 x 5 kernel take, and how many numbers have their maps for 32 x 32 pixels?
#
# <details><summary>Answer</summary>
#
# 25 heads, each with $32^2$ queries and $36^2$ keys: $25 \cdot 1024 \cdot 1296 \approx 33$ million. It is a proof, and no
# way to compute a convolution.
#
# </details>

# %% [markdown]
# ### Exercise: `attention_as_convolution`
#
# Refuse an even kernel with a `ValueError`. (Difficulty 3, 15 minutes.)

# %% exercise="united.attention_as_convolution"

# %%
check("united.attention_as_convolution", attention_as_convolution)

# %% [markdown]
# Stuck? `hint("united.attention_as_convolution")`. To read on without solving it:
# `from solutions.united.as_convolution import attention_as_convolution`.

# %%
grey = reduce(photograph("china", 24, 36).double(), "h w c -> 1 1 h w", "mean")
edges = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).double()[None, None]  # Sobel
exact, padded = F.conv2d(grey, edges, padding=1), F.pad(grey, (1, 1, 1, 1))
span, total = (padded.max() - padded.min()).item(), edges.abs().sum().item()
off, predicted = {}, {}
for sharp in (0.5, 2.0, 5.0, 12.0, 25.0):
    off[sharp] = (attention_as_convolution(grey, edges, sharp) - exact).abs().max().item()
    predicted[sharp] = leak(sharp, 37) * span * total  # the padded map is 38 wide
    print(f"sharpness {sharp:4}: off by {off[sharp]:.2g}, bound {predicted[sharp]:.2g}")
claim(all(off[s] <= predicted[s] for s in off), "attention keeps to the predicted bound")

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 4, figsize=(6.4, 1.75))
for ax, sharp in zip(axs, (0.5, 2.0, 5.0, None), strict=True):
    y = exact if sharp is None else attention_as_convolution(grey, edges, sharp)
    name = "convolution" if sharp is None else f"attention, {sharp:g}"
    plots.signed(ax, y[0, 0], "", "", name, limit=2.0, bar=False)
    ax.set(xticks=[], yticks=[])
plots.show(
    fig,
    """Upright edges of the temple in red and blue, by attention at sharpness 0.5, 2 and 5, and by the convolution. At 0.5
    they are pale and blurred, at 5 they cannot be told from the convolution.""",
)

# %% [markdown]
# **What you should see.** The filter for upright edges comes out blurred at sharpness 0.5 and cannot be told from the
# convolution at 5. In every line the error stays below the bound that was predicted before, and it falls with
# $\exp(-\alpha)$. Attention *contains* convolution: what a convolution can do, attention can do, too. (If only the
# edges of your map are off, the keys have no padding.)

# %% [markdown]
# ### Nine heads on patches
#
# A vision transformer sees patches, not pixels. There nine heads are enough for *any* kernel that reaches no further
# than the next patch: a convolution of pixels is a 3 x 3 convolution of patches with larger matrices
# ([Li et al., 2021](https://arxiv.org/abs/2111.01353)). `patch_kernel` makes these matrices.

# %%
torch.manual_seed(0)
x, kernel = torch.rand(1, 3, 12, 16).double(), torch.randn(2, 3, 5, 5).double()
tokens = rearrange(x, "b c (high y) (wide x) -> b (c y x) high wide", y=4, x=4)
y = attention_as_convolution(tokens, patch_kernel(kernel, 4), 60.0)
y = rearrange(y, "b (f y x) high wide -> b f (high y) (wide x)", y=4, x=4)
gap = (y - F.conv2d(x, kernel, padding=2)).abs().max()
claim(gap < 1e-10, "nine heads on patches of 4 x 4 are a 5 x 5 convolution of pixels")

# %% [markdown]
# ### And the reverse?
#
# Can a convolution do what attention does? Take the lookups of chapter 2: six tokens stand in random order, each
# with a colour and a number, and a question names two colours. The answer is the difference of their numbers. One
# convolution, however wide, is a linear function of what it is given, and where a number *stands* tells
# nothing about the answer.
#
# **Predict.** Which share of the variance can the best linear function explain? And attention with the colours as
# keys?
#
# <details><summary>Answer</summary>
#
# None: a number is asked for first as often as second, so its covariance with the answer is 0, and colours and
# questions know nothing of numbers. Two sharp heads read both numbers: all.
#
# </details>

# %%
torch.manual_seed(1)
task = two_lookups(40_000, questions=1)
hot = [F.one_hot(t, 6).flatten(1).float() for t in (task.colour, task.asked)]
given = torch.cat([task.number, *hot], 1)  # all that a window over everything sees
best = torch.linalg.lstsq(given[:20_000], task.answer[:20_000], driver="gelsd").solution
rest = task.answer[20_000:] - given[20_000:] @ best
linear = 1 - rest.square().mean().item() / task.answer[20_000:].square().mean().item()
print(f"the best linear function explains {max(linear, 0):.2f}")
claim(linear < 0.01, "a convolution explains nothing")

# %%
q, k = F.one_hot(task.asked[:, 0], 6).float(), F.one_hot(task.colour, 6).float()
read = (60 * q @ k.mT).softmax(-1) @ task.number[..., None]  # b, two heads, one number
left = (read[:, 0] - read[:, 1] - task.answer).abs().max()
claim(left < 1e-4, "two heads with the colours as keys explain everything")

# %% [markdown]
# **What you should see.** The best linear function explains nothing on examples that it was not fitted to; two heads,
# whose weights are set and not learned, give the answer. So the two are not equal: attention contains convolution, and
# one convolution does not contain attention. (Several layers with nonlinearities between them can do more, at more cost.)

# %% [markdown]
# ## 12.4 An image as a sentence: patches
#
# The **vision transformer** takes a Transformer's encoder (chapter 4) and gives it an image. The image is cut into
# patches of 16 x 16 pixels, and one matrix turns the pixels of each patch into a token. A learned vector stands
# before them, the **class token**, which has no place in the image and will carry the answer. A learned
# **position embedding** is added to every token.

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.patches_as_tokens(),
    """A picture is cut into patches. The pixels of one go through a learned matrix E and become its token. The tokens stand
    below the class token; learned positions are added, and the sum goes through the blocks to the head.""",
)

# %% [markdown]
# $$ e_{\text{patch}} = \sum_{c\,dy\,dx} E_{c\,dy\,dx}\; x_{c\,dy\,dx} + \text{bias} $$
#
# (Eq. 1 of the [paper](https://arxiv.org/abs/2010.11929).)
#
# | | axes | what it is |
# |---|---|---|
# | `weight`, `bias` | `dim c dy dx`, `dim` | one matrix for all patches |
# | `patch_embedding(x, weight, bias)` | `b n dim` | a token for each patch, row by row |
#
# **Predict.** An image of 224 x 224 in patches of 16: how many tokens, and how many numbers has one patch?
#
# <details><summary>Answer</summary>
#
# $14 \cdot 14 = 196$ tokens; $3 \cdot 16 \cdot 16 = 768$ numbers, as many as ViT-B has features.
#
# </details>

# %% [markdown]
# ### Exercise: `patch_embedding`
#
# Refuse an image that patches do not fill, with a `ValueError`. (Difficulty 2, 6 minutes.)

# %% exercise="united.patch_embedding"

# %%
check("united.patch_embedding", patch_embedding)

# %% [markdown]
# Stuck? `hint("united.patch_embedding")`. To read on without solving it:
# `from solutions.united.blocks import patch_embedding`.

# %%
torch.manual_seed(0)
weight, bias = torch.randn(64, 3, 16, 16), torch.randn(64)
strided = F.conv2d(china, weight, bias, stride=16)
tokens = patch_embedding(china, weight, bias)
gap = (tokens - rearrange(strided, "b dim high wide -> b (high wide) dim")).abs().max()
print(f"{tokens.shape[1]} tokens")
claim(gap < 1e-3, "patch embedding is a convolution with stride 16")

# %% [markdown]
# **What you should see.** The two agree up to rounding: the network "without convolutions" begins with one, whose stride
# is as large as its kernel. The words "almost entirely" above stood for this one.

# %% [markdown]
# ### Positions for an image of another size
#
# The positions are a table that is learned for one size, 1 + 14 · 14 rows at 224 pixels. A larger image has more
# patches. The paper keeps the patch size and interpolates the table, as if it were a small image with `dim`
# colours. The class token's row has no place, and is kept.
#
# | | axes | what it is |
# |---|---|---|
# | `table` | `n dim` | the class token's row, then the old grid, row by row |
# | `grid_positions(table, old, new)` | `m dim` | the same for the new grid |
#
# *Paper: it does not say how; here bilinearly, with pixels as areas.*

# %% [markdown]
# **Predict.** Why not interpolate the table as one long line?
#
# <details><summary>Answer</summary>
#
# The last patch of a row and the first of the next are neighbours on the line, and far apart in the image.
#
# </details>

# %% [markdown]
# ### Exercise: `grid_positions`
#
# `F.interpolate` wants an image, b dim high wide. (Difficulty 2, 7 minutes.)

# %% exercise="united.grid_positions"

# %%
check("united.grid_positions", grid_positions)

# %% [markdown]
# Stuck? `hint("united.grid_positions")`. To read on without solving it:
# `from solutions.united.vision_transformer import grid_positions`.

# %% jupyter={"source_hidden": true}
waves = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij"))
slanted = torch.stack([waves.sum(0), waves[0] - waves[1]])
table = rearrange((0.8 * slanted).sin(), "dim y x -> (y x) dim")
table = torch.cat([torch.zeros(1, 2), table])
larger = grid_positions(table, (6, 9), (12, 18))
line = F.interpolate(table[1:].T[None], 12 * 18, mode="linear")[0].T
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
for ax, (name, rows, wide) in zip(axs, (("learned, 6 x 9", table[1:], 9),
        ("as a grid, 12 x 18", larger[1:], 18), ("as a line: torn", line, 18)), strict=True):  # fmt: skip
    plots.signed(ax, rearrange(rows[:, 0], "(y x) -> y x", x=wide), "", "", name, 1.0, False)
    ax.set(xticks=[], yticks=[])
plots.show(
    fig,
    """One feature of a table of positions as a picture: slanting stripes. Interpolated as a grid they stay slanting
    stripes with finer steps; interpolated as a line they fall apart into another pattern.""",
)

# %%
torch.manual_seed(0)
table = torch.randn(13, 5)
there = resize_positions(table, (6, 5), kept=1, old=(3, 4))
claim(
    torch.equal(grid_positions(table, (3, 4), (6, 5)), there),
    "the library's `resize_positions` gives the same",
)

# %% [markdown]
# **What you should see.** As a grid the slanting stripes of the feature keep their shape, in finer steps. As a line
# they fall apart: each old row is stretched over two new ones, and the end of one row runs into the start of the
# next.

# %% [markdown]
# ## 12.5 The vision transformer
#
# The rest is chapter 4's encoder with the norm *before* each part, and a GELU in the small network:
#
# $$ z_0 = [\,\text{class};\, e_1; \dots; e_n\,] + T \qquad
# z' = z + \operatorname{attention}(\operatorname{norm} z) \qquad z'' = z' + F(\operatorname{norm} z') $$
#
# and after all blocks $y = W \operatorname{norm}(z)_0$, a score for each class from the class token alone.
# (Eqs. 1 to 4.)
#
# | | axes | what it is |
# |---|---|---|
# | `tokens(x)` | `b n dim` | what enters the first block, n = 1 + patches |
# | `forward(x)` | `b classes` | the scores |

# %% [markdown]
# **Predict.** Nothing in the image sends the class token anything at first. How does it come to know what is in it?
#
# <details><summary>Answer</summary>
#
# As a query it reads from all patches, in every block: it is a question that is learned.
#
# </details>

# %% [markdown]
# ### Exercise: `VisionTransformer`
#
# The layers are made; `self.patch_embed(x)` is `b high wide dim`. (Difficulty 3, 15 minutes.)

# %% exercise="united.vision_transformer"

# %%
check("united.vision_transformer", VisionTransformer)

# %% [markdown]
# Stuck? `hint("united.vision_transformer")`. To read on without solving it:
# `from solutions.united.vision_transformer import VisionTransformer`.

# %% [markdown]
# ### Do the counts come out?
#
# Your class takes all sizes of the family. Count the weights at 224 x 224 with 1,000 classes:

# %%
with torch.device("meta"):  # shapes alone: nothing is computed
    nets = {
        "vit-b-16": VisionTransformer(768, 12, 12),
        "vit-l-16": VisionTransformer(1024, 24, 16),
        "deit-s": VisionTransformer(384, 12, 6),
    }
for name, net in nets.items():
    (line,) = papers.compare(net, f"computed.transformers.{name}").lines
    print(f"{name:9} {line.printed!s:>9} {line.computed:12,}  {line.agreement}")

# %%
with torch.device("meta"):
    wide_patches = VisionTransformer(1024, 24, 16, patch=32)
for name in ("base", "large", "huge"):
    (line,) = papers.compare(f"vit.table1.vit-{name}").lines
    print(
        f"ViT-{name:6} printed {line.printed!s:>6}, counted {line.computed:11,}: {line.agreement}"
    )
counted = sum(p.numel() for p in wide_patches.parameters())
print(f"ViT-large with patches of 32: {counted:,}")

# %% [markdown]
# **What you should see.** Your class has the weights of timm's and torchvision's networks, to the printed digit:
# 86.57, 304.33 and 22.05 M.
#
# <details><summary>And the paper's own Table 1?</summary>
#
# It prints 86, 307 and 632 M. Base is cut off, Huge agrees, Large does not come out: it has 304 M with patches of 16.
# With patches of 32 it would be 306.5 M, which rounds to the printed 307. The paper does not say which patch its table is
# for.
#
# </details>

# %% [markdown]
# ### How far does a head look?
#
# A convolution looks at its kernel. A head of a ViT may look anywhere, so the paper measured it: the
# **attention distance** of a head is the mean distance, in pixels, from a query to its keys, weighted by
# attention (Figure 7).
#
# $$ D_{\text{head}} = \operatorname{mean}_i \frac{\sum_j A_{ij}\, |\,\text{place}_i - \text{place}_j\,|}{\sum_j A_{ij}} $$
#
# The class token has no place and is left out; the rows that remain no longer sum to 1, hence the divisor.
#
# | | axes | what it is |
# |---|---|---|
# | `attention_distance(weights, wide, patch)` | `head` | of `b head n n`, patches alone |

# %% [markdown]
# **Predict.** A head looks at all patches of a 14 x 14 grid alike. Is its distance nearer to 30, 116 or 220 pixels?
#
# <details><summary>Answer</summary>
#
# About 116: the mean distance of two random points in a square is $0.52$ of its side, and the side is 224 pixels.
#
# </details>

# %% [markdown]
# ### Exercise: `attention_distance`
#
# (Difficulty 2, 8 minutes.)

# %% exercise="united.attention_distance"

# %%
check("united.attention_distance", attention_distance)

# %% [markdown]
# Stuck? `hint("united.attention_distance")`. To read on without solving it:
# `from solutions.united.vision_transformer import attention_distance`.

# %%
alike = torch.full((1, 1, 196, 196), 1 / 196)
print(f"all alike: {attention_distance(alike, 14, 16).item():.0f} pixels")
torch.manual_seed(0)
untrained = VisionTransformer(192, 4, 3, patch=8, size=(96, 144))
with torch.no_grad():
    maps = untrained.attention(china)[..., 1:, 1:]  # layer b head n n, patches alone
far = torch.stack([attention_distance(layer, 18, 8) for layer in maps])
print("untrained, by layer:", *(f"{mean:.0f}" for mean in far.mean(-1)))
claim((far.max() - far.min()) < 3, "an untrained ViT looks everywhere alike, in all its heads")

# %% [markdown]
# **What you should see.** An untrained ViT looks everywhere alike: all its heads have nearly the same distance, the mean
# distance of two patches. In the paper's Figure 7 trained heads differ: in the first layers some look close by and some
# across the whole image, in the last ones nearly all look far.

# %% [markdown]
# ### Where it looks: colours as queries and keys
#
# Training a ViT takes days. But a single layer can be given queries and keys by hand: the mean colour of each patch.
# As in chapter 9's bilateral filter a further feature makes their product fall with the distance of two colours.
# Point at a patch, or tap it, or choose it with the arrow keys.

# %%
colour = 24 * reduce(china, "b c (high y) (wide x) -> b (high wide) c", "mean", y=8, x=8)
size, one = colour.square().sum(-1, keepdim=True), torch.ones_like(colour[..., :1])
q, k = torch.cat([colour, one], -1), torch.cat([colour, -size / 2], -1)  # near: a like colour
offsets = offset_encoding(12, 18)
near = einsum(offsets, torch.tensor([0, 0, -0.15]), "i j r, r -> i j").expand(1, -1, -1)
looks = {
    "by content": attention_weights(q, k),
    "by place": near.softmax(-1),
    "half and half": (attention_weights(q, k) + near.softmax(-1)) / 2,
}
explore(china[0], looks, queries=(12, 18), keys=(12, 18), query=(6, 9), name="united")

# %% [markdown]
# **What you should see.** By content a patch looks at patches of a like colour, wherever they are. By place it looks
# around itself. The third map is half of each: section 12.8 lets every head choose the shares.

# %% [markdown]
# ## 12.6 Windows side by side
#
# Attention over all tokens costs the square of their number, 196² in ViT-B/16. A network that finds small objects wants
# patches of 4 pixels: 3136 tokens, and 256 times the cost. Ze Liu and his colleagues at Microsoft went back to windows, but
# not to those of chapter 9. In **Swin** ("shifted windows") they lie *side by side* and do not overlap: all tokens of a
# window share their keys, so nothing is copied.

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.shifted_windows(),
    """A map of 6 by 6 tokens in four windows; in the next layer the windows are shifted by one, which makes nine of
    different size; the map rolled by one has four windows again, whose tokens come from up to four parts, in four
    colours.""",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `x` | `b h w dim` | a map of tokens |
# | `split_windows(x, window)` | `b win i dim` | windows, and the tokens of each, both row by row |
#
# **Predict.** With windows of 7, what do the two products of attention cost a token, compared with global attention over 56
# x 56 tokens?
#
# <details><summary>Answer</summary>
#
# 49 keys instead of 3136: a 64th.
#
# </details>

# %% [markdown]
# ### Exercise: `split_windows`
#
# Refuse a map that windows do not fill. (Difficulty 1, 4 minutes.)

# %% exercise="united.split_windows"

# %%
check("united.split_windows", split_windows)

# %% [markdown]
# Stuck? `hint("united.split_windows")`. To read on without solving it:
# `from solutions.united.windows import split_windows`.

# %%
x = torch.randn(2, 6, 9, 5)
claim(torch.equal(merge_windows(split_windows(x, 3), 6, 9), x), "merged again: the same map")

# %% [markdown]
# ### The shift, and its mask
#
# Windows that never move are islands. So in every second layer they are shifted by half a window. That would leave smaller
# windows at the edges; instead the map is rolled up and to the left (a **cyclic shift**), so that all windows are whole (middle and right of the
# figure, with windows of 3 and a shift of 1). What came from the opposite edge is now a neighbour that it never was, and a mask hides it.
#
# | | axes | what it is |
# |---|---|---|
# | `shift_mask(height, width, window, shift)` | `win i j` | True where i may see j |
#
# `shift` is (rows, columns); the last `shift` rows and columns of the rolled map came from the other edge.

# %% [markdown]
# **Predict.** A map of 4 x 4, windows of 2, a roll of 1. How many of the 16 pairs may see each other in the last window, in the
# lower right corner?
#
# <details><summary>Answer</summary>
#
# Its four tokens came from the four corners of the map: each sees itself alone, 4 pairs.
#
# </details>

# %% [markdown]
# ### Exercise: `shift_mask`
#
# `split_windows` cuts a map of labels just as well. (Difficulty 3, 10 minutes.)

# %% exercise="united.shift_mask"

# %%
check("united.shift_mask", shift_mask)

# %% [markdown]
# Stuck? `hint("united.shift_mask")`. To read on without solving it:
# `from solutions.united.windows import shift_mask`.

# %% jupyter={"source_hidden": true}
mask = shift_mask(8, 8, 4, (2, 2))
fig, axs = plt.subplots(1, 4, figsize=(6.4, 2.0), sharey=True)
for number, (ax, may) in enumerate(zip(axs, mask, strict=True)):
    plots.heat(ax, may.float(), "key j", "", f"window {number}", bar=False)
    ax.set_xticks([0, 5, 10, 15])
axs[0].set_ylabel("query i")
plots.show(
    fig,
    """Four masks of 16 by 16. In window 0 all may see all. In window 1 two parts see themselves, in a checkered
    pattern; in window 2 two blocks do; in window 3 both patterns together leave four parts.""",
)
print("pairs that may see each other, by window:", *mask.sum((-1, -2)).tolist())

# %% [markdown]
# **What you should see.** In the first window all see all. The next two hold two parts each, side by side or one above the
# other, and the last one holds four. All tokens see at least themselves.

# %% [markdown]
# ## 12.7 Swin's attention
#
# Positions are relative here: a number $B$ for each offset, added to the scores. It does not depend on the query as chapter 8's
# $q \cdot r$ did, and one **relative position bias** table of (2 window - 1)² numbers serves a head.
#
# $$ A = \operatorname{softmax}_j \bigl(q_i \cdot k_j / \sqrt d + B_{i - j}\bigr) $$
#
# (Eq. 4.) Here $i - j$ stands for two numbers, the row of $i$ minus the row of $j$ and the same for columns. *Rows of the table count query minus key, as in the released code; chapter 8 counts key minus query.*

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.bias_table(),
    """A window of 2 by 2 tokens with token 2 framed; a table of 3 by 3 numbers by rows and columns of query minus key; a
    grid of 4 by 4 that says for each query i and key j which number of the table it takes. Row 2 reads 7, 6, 4, 3.""",
)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | `relative_bias_index(height, width)` | `i j` | which row of the table belongs to each pair |
#
# **Predict.** A window of 7 x 7: how many rows has the table, and which one belongs to a token and itself?
#
# <details><summary>Answer</summary>
#
# $13 \cdot 13 = 169$; the middle one, number 84.
#
# </details>

# %% [markdown]
# ### Exercise: `relative_bias_index`
#
# Also for windows that are not square. (Difficulty 2, 7 minutes.)

# %% exercise="united.relative_bias_index"

# %%
check("united.relative_bias_index", relative_bias_index)

# %% [markdown]
# Stuck? `hint("united.relative_bias_index")`. To read on without solving it:
# `from solutions.united.windows import relative_bias_index`.

# %%
torch.manual_seed(0)
rows, columns = torch.randn(7, 1), torch.randn(5, 1)  # chapter 8: a vector of one feature
theirs = relative_logits_2d(torch.ones(4, 3, 1), rows, columns)
table = rows.flip(0) + rearrange(columns.flip(0), "x 1 -> x")  # query minus key
ours = rearrange(table, "y x -> (y x)")[relative_bias_index(4, 3)]
claim((ours - theirs).abs().max() < 1e-6, "equal queries: chapter 8's logits are such a bias")

# %% [markdown]
# **What you should see.** Chapter 8's logits are a special case of the table: where all queries are alike, $q \cdot R + q \cdot C$
# is a number for the row plus one for the column. Swin's table is freer in one way, since it need not be a sum, and less
# free in another: it cannot depend on the query.

# %% [markdown]
# ### Exercise: `ShiftedWindowAttention`
#
# Pad, roll, cut, attend, put together, roll back, cut off the padding. `padded`, `shifts`, `may`, `bias` and `project` are given.
# (Difficulty 4, 20 minutes.)
#
# | | axes | what it is |
# |---|---|---|
# | `windows(x)` | `b win i dim` | of the padded and rolled map |
# | `weights(q, k, may)` | `b win head i j` | scaled products and the bias, under a masked softmax |
# | `forward(x)` | `b h w dim` | a map of the size that came in |

# %% exercise="united.shifted_window_attention"

# %%
check("united.shifted_window_attention", ShiftedWindowAttention)

# %% [markdown]
# Stuck? `hint("united.shifted_window_attention")`. To read on without solving it:
# `from solutions.united.windows import ShiftedWindowAttention`.


# %%
def reached(*shifts):
    """Which tokens the answer at row 5, column 5 depends on, after some layers."""
    torch.manual_seed(0)
    y = start = torch.randn(1, 12, 12, 8, requires_grad=True)
    for shift in shifts:
        y = y + ShiftedWindowAttention(8, 2, 4, shift)(y)
    (slope,) = torch.autograd.grad(y[0, 5, 5].sum(), start)
    return slope[0].abs().sum(-1) > 0


# %%
ways = {"one layer": (0,), "two, not shifted": (0, 0), "two, the second shifted": (0, 2)}
seen = {name: reached(*shifts) for name, shifts in ways.items()}
print(*(f"{name}: {int(them.sum())}" for name, them in seen.items()), sep=" · ")
claim(seen["two, not shifted"].sum() == 16, "without a shift a window stays an island")

# %% jupyter={"source_hidden": true}
maps = {name: reached(*shifts) for name, shifts in ways.items()}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.3))
for ax, (name, them) in zip(axs, maps.items(), strict=True):
    plots.heat(ax, them.float(), "w", "h", name, bar=False)
    ax.plot(5, 5, "o", color="#d55e00")
plots.show(
    fig,
    """Three maps of 12 by 12 with a dot at row 5, column 5. After one layer, and after two without a shift, its window of 4
    by 4 is bright; with the second layer shifted, 8 by 8 tokens are.""",
)

# %% [markdown]
# **What you should see.** Two layers whose windows stay where they are reach 16 tokens, as one does. With the second one
# shifted, the token reaches 64: four windows have met.

# %% [markdown]
# ### The pyramid
#
# Swin starts with patches of 4 pixels, and between its four stages merges 2 x 2 tokens to one with twice the features, as a
# convolutional network halves its maps. So it fits wherever a ResNet did, for instance in detection. `swin("T")` builds it
# from the layer above.

# %%
for name in "TSB":
    (line,) = papers.compare(f"computed.transformers.swin-{name.lower()}").lines
    both = papers.compare(f"swin.table1.swin-{name.lower()}").lines
    print(f"Swin-{name} {line.printed!s:>8} {line.computed:11,}  {line.agreement}")
    for one in both:
        print(f"   Table 1: {one.metric:10} {one.printed!s:>7}  {one.agreement}")

# %% [markdown]
# **What you should see.** The counts are 28.29, 49.61 and 87.77 M, to the digit of timm and torchvision, and the paper's
# multiply-adds, 4.5, 8.7 and 15.4 G, come out. Its Table 1 prints 29 M for Swin-T, where the class has 28.3 M: that
# does not come out.

# %% [markdown]
# ## 12.8 A gate between place and content: ConViT
#
# Section 12.3 says that attention *can* be a convolution. Stéphane d'Ascoli and his colleagues took that as a start: in their
# **gated positional self-attention**, or GPSA, each head has two maps, one by place and one by content, and a gate $g$ mixes
# them. The place starts as a convolution: `pos_proj` holds `shift_vectors`, with the sharpness `strength`, and the
# values are the tokens themselves (`v` is the identity). Training may then leave it.

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.gate(),
    """From x come products of queries and keys, through a softmax: the map by content. From the offsets r come products with
    v, through another softmax: the map by place, a diagonal. Content times 1 - g plus place times g is A.""",
)

# %% [markdown]
# $$ A = (1 - g) \operatorname{softmax}_j (q_i \cdot k_j / \sqrt d) + g \operatorname{softmax}_j (v \cdot r_{ij})
# \qquad g = \sigma(\lambda) $$
#
# (Section 3 of the [paper](https://arxiv.org/abs/2103.10697); $\lambda$ starts at 1, one number a head.)
#
# | | axes | what it is |
# |---|---|---|
# | `positional(x)` | `head i j` | the map by place |
# | `attention(x)` | `b head i j` | both, as the gate says |
# | `forward(x)` | `b h w dim` | what the heads read |
#
# **Predict.** Why two softmaxes, and not one over the sum of both logits?
#
# <details><summary>Answer</summary>
#
# Logits of place reach -100 where a key is far, and those of content are small at first: under one softmax, content would
# have no say. The gate gives each its share, whatever their scale.
#
# </details>

# %% [markdown]
# ### Exercise: `GatedPositionalAttention`
#
# (Difficulty 3, 15 minutes.) `self.gates()` gives $g$, one number a head.

# %% exercise="united.gated_positional_attention"

# %%
check("united.gated_positional_attention", GatedPositionalAttention)

# %% [markdown]
# Stuck? `hint("united.gated_positional_attention")`. To read on without solving it:
# `from solutions.united.gated import GatedPositionalAttention`.

# %%
torch.manual_seed(0)
layer = GatedPositionalAttention(18, 9, strength=30.0)  # the strength is the heads' sharpness
with torch.no_grad():
    layer.gating_param.fill_(30.0)  # by place alone
    x = torch.randn(1, 6, 8, 18)
    kernel = torch.zeros(18, 3, 3, 2, 3, 3)  # head (dy dx) reads its 2 channels at dy dx
    for head, matrix in enumerate(rearrange(layer.proj.weight, "f (head d) -> head f d", d=2)):
        kernel[:, head // 3, head % 3, :, head // 3, head % 3] = matrix
    kernel = rearrange(kernel, "f y x d dy dx -> f (y x d) dy dx")
    y = F.conv2d(rearrange(x, "b h w c -> b c h w"), kernel, layer.proj.bias)
    gap = (layer(x)[:, 1:-1, 1:-1] - rearrange(y, "b c h w -> b h w c")).abs().max()
claim(gap < 1e-5, "with the gate at place and sharp heads the layer is a 3 x 3 convolution")

# %% [markdown]
# **What you should see.** Away from the edges the layer *is* a convolution, one in which each head carries its own two
# channels to its place. At the edges a head without its pixel reads the nearest one, since here the keys have no padding.

# %% [markdown]
# ## 12.9 How much data does it take?
#
# Now the question of the story, in small. Three networks have two blocks, 36 features wide. They read handwritten digits of
# 8 x 8 pixels as 16 patches, four down and four across. They differ in one layer: a 3 x 3 convolution and a matrix (in two
# groups, so that the costs are near each other); attention; or GPSA that starts as a convolution. All learn
# for 200 steps of 50 digits, from few digits or many. The rate was chosen on digits that are not used here.

# %%
for kind in KINDS:
    one = cost(mixer(kind), (1, 4, 4, 36))
    spent = one.multiply_adds + one.attention
    print(f"{kind:12} {spent:,} multiply-adds in the layer, {one.parameters:,} parameters")

# %% tags=["nbval-ignore-output"]
AMOUNTS = (50, 200, 1000)
named = {
    kind: torch.tensor([[right(train(kind, n, seed)[0]) for seed in range(3)] for n in AMOUNTS])
    for kind in KINDS
}
print("digits learned from:", *(f"{n:>16}" for n in AMOUNTS))
for kind, shares in named.items():
    told = (f"{s.median():.2f} ({s.min():.2f}-{s.max():.2f})" for s in shares)
    print(f"{kind:18}", *(f"{text:>17}" for text in told))

# %% tags=["nbval-ignore-output"]
few = {kind: shares[:2].mean() for kind, shares in named.items()}
gap = (named["convolution"] - named["attention"]).mean(-1)
claim(few["convolution"] > few["gated"] > few["attention"], "from few digits: in this order")
claim(gap[0] > gap[2], "with more digits attention comes nearer")
claim(gap[2] < 0.1, "from 1000 it is less than 0.1 behind")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(5.2, 3.2))
for kind, mark in zip(KINDS, "os^", strict=True):
    middle, low, high = (f(named[kind], -1) for f in (torch.median, torch.amin, torch.amax))
    line = ax.plot(AMOUNTS, middle.values, f"{mark}-", label=kind)
    ax.fill_between(AMOUNTS, low, high, alpha=0.2, color=line[0].get_color())
ax.axhline(0.1, color="#777777", ls=":", label="one name for all")
ax.set(xscale="log", xlabel="digits learned from", ylabel="share of unseen digits named", ylim=(0, 1),
       title="With more digits, attention catches up", xticks=AMOUNTS, xticklabels=AMOUNTS)  # fmt: skip
ax.legend(loc="lower right")
plots.show(
    fig,
    """Three curves over 50, 200 and 1000 digits. The convolution is highest, gated attention between, attention lowest; the
    gaps close to the right. Bands are the ranges of three seeds.""",
)

# %% [markdown]
# **What you should see.** From few digits the convolution is ahead, and attention that starts as one comes second. With more
# digits the gaps close (medians and ranges of three seeds above), and the ranges of the two kinds of attention overlap. That
# is one half of the papers' finding; the other half, that attention *overtakes*, would take far more data than there is here.
# The networks are tiny, and the digits stand in the middle. The convolution also spends an eighth more multiply-adds than
# attention, and a third more weights.

# %% [markdown]
# ### What becomes of the gates
#
# The gates of GPSA start at $\sigma(1) = 0.73$, and then belong to the network. Here they are while it learns from 1000 digits:

# %% tags=["nbval-ignore-output"]
net, gates = train("gated", 1000, seed=0)
gates = torch.stack(gates)  # time layer head
claim((gates[0] - 1 / (1 + math.exp(-1))).abs().max() < 1e-6, "all gates start at 0.73")
print(f"at the end from {gates[-1].min():.2f} to {gates[-1].max():.2f}")
claim((gates[-1] - gates[0]).abs().max() > 0.02, "training moves them")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.5), sharey=True)
for number, ax in enumerate(axs):
    ax.plot(torch.arange(len(gates)) * 10, gates[:, number])
    ax.set(xlabel="step", title=f"block {number}: nine gates", ylim=(0, 1))
axs[0].set_ylabel("share by place")
plots.show(
    fig,
    """The nine gates of two blocks over 200 steps: they start together at 0.73 and spread as training goes on.""",
)

# %% [markdown]
# **What you should see.** All gates start together and spread while the network trains. After so short a training they have not
# gone far. In the paper, over 300 epochs on ImageNet, they leave place behind in the later layers and keep to it in some
# heads of the first ones.

# %% [markdown]
# ## 12.10 A kernel inside the softmax: CoAtNet
#
# The last step of the union is the shortest. A **depthwise convolution** weighs a neighbour by its place, $y_i = \sum_j w_{i-j}\, x_j$;
# attention weighs it by content. Zihang Dai and his colleagues added the two *before* the softmax:

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.kernel_in_softmax(),
    """The scaled products of queries and keys, i j, plus a learned number for each offset, a matrix with equal diagonals;
    the sum goes through one softmax and gives the weights A.""",
)

# %% [markdown]
# $$ A_{ij} = \operatorname{softmax}_j \bigl(q_i \cdot k_j / \sqrt d + w_{i-j}\bigr) $$
#
# (Eq. 3, there without projections.) It is Swin's attention with *one* window that covers the map. A map of another
# size has its kernel interpolated. The network puts two stages of convolution blocks first and two of this attention after
# them. Of the orders that the authors tried, they chose the one that did well from little data and from much.
#
# | | axes | what it is |
# |---|---|---|
# | `weights(q, k, height, width)` | `b head i j` | content and kernel under one softmax |
# | `forward(x)` | `b h w dim` | what the heads read |
#
# **Predict.** All queries are 0. What is the layer then?
#
# <details><summary>Answer</summary>
#
# Weights $\exp(w_{i-j})$, divided by their sum over the map: a depthwise convolution with a positive kernel, normalised.
#
# </details>

# %% [markdown]
# ### Exercise: `RelativeAttention2d`
#
# (Difficulty 2, 10 minutes.) `self.kernel(height, width)` is the table for a map of this size.

# %% exercise="united.relative_attention_2d"

# %%
check("united.relative_attention_2d", RelativeAttention2d)

# %% [markdown]
# Stuck? `hint("united.relative_attention_2d")`. To read on without solving it:
# `from solutions.united.coatnet import RelativeAttention2d`.

# %%
torch.manual_seed(0)
layer, x = RelativeAttention2d(6, 6, (5, 7)), torch.randn(1, 5, 7, 6)
with torch.no_grad():
    layer.relative_position_bias_table.normal_()
    layer.qkv.weight[:12], layer.qkv.bias[:12] = 0, 0  # no content
    v = rearrange(layer.qkv(x)[..., 12:], "b h w c -> b c h w")
    table = rearrange(layer.relative_position_bias_table, "(y x) c -> c 1 y x", y=9)
    kernel, full = table.flip(-1, -2).exp(), dict(padding=(4, 6), groups=6)
    y = F.conv2d(v, kernel, **full) / F.conv2d(torch.ones_like(v), kernel, **full)
    gap = (layer(x) - layer.proj(rearrange(y, "b c h w -> b h w c"))).abs().max()
claim(gap < 1e-5, "without content: a depthwise convolution, normalised")

# %% [markdown]
# **What you should see.** The two agree: without content, attention with a kernel in its softmax *is* a depthwise convolution,
# divided by what it makes of ones. With content, it is both at once.

# %% [markdown]
# ## 12.11 Everything in one notation
#
# Nearly all of the course's attention over maps is one sentence, $A = \operatorname{softmax}_{j \in N(i)} (\text{content} + \text{place})$.
# Two rows depart from it: the convolution has a matrix for each place and no softmax, and ConViT mixes two softmaxes.
#
# | mechanism | keys N(i) | content | place | chapter |
# |---|---|---|---|---|
# | convolution | window around i | none | a matrix for each offset | |
# | non-local, DANet | all | q · k | none | 7 |
# | augmented convolution | all | q · k | q · (R + C) | 8 |
# | stand-alone | window around i | q · k | q · [row, column] | 9 |
# | sparse | two patterns | q · k | learned, absolute | 10 |
# | ViT | all | q · k | learned, absolute | 12 |
# | Swin | window that i lies in | q · k | B, a number for each offset | 12 |
# | ConViT | all | q · k, share 1 - g | v · r, share g | 12 |
# | CoAtNet | all | q · k | w, a number for each offset | 12 |

# %% [markdown]
# **What about speed?** The map of a ViT is the plain one, so torch's fused `scaled_dot_product_attention` takes its place without
# any change (chapter 11). Swin's and CoAtNet's numbers go into its `attn_mask`, which is added to the scores. GPSA has no such
# form: its two softmaxes are mixed, so that both maps must be made, or two attentions computed and their *outputs* mixed.

# %%
torch.manual_seed(0)
layer, x = ShiftedWindowAttention(16, 2, 4, 2), torch.randn(2, 8, 12, 16)
q, k, v = layer.project(layer.windows(x))
bias = layer.bias().masked_fill(~layer.may(8, 12)[:, None], -math.inf)
fused = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
gap = (fused - layer.attention(x) @ v).abs().max()
claim(gap < 1e-5, "fused attention with bias and mask gives what the layer gives")

# %% [markdown]
# ## What you have learnt
#
# | | convolution | attention |
# |---|---|---|
# | decides by | place | content, and place if told |
# | contains the other | no | yes: a head for each place of the kernel |
# | off by, at sharpness $\alpha$ | | leak · span · sum of abs W, with a leak of about $4 \exp(-\alpha)$ |
# | assumes | neighbours matter, everywhere alike | no neighbourhood and no order |
# | from few examples | ahead | behind, less so if it starts as a convolution |
# | another size | as it is | positions are interpolated, or relative |
# | cost in the number of tokens | linear | square, or linear in windows |

# %% [markdown]
# ### Explain it to somebody
#
# <details><summary>1. Why does a convolution of K x K take K² heads, and on patches only nine?</summary>
#
# A sharp head reads one token. Pixels of the kernel are K² tokens; the patches that it touches are at most nine.
#
# </details>
#
# <details><summary>2. Why is the third number of an offset its square?</summary>
#
# Then a product with a vector is a parabola, which has its top at the pixel that the head is to read.
#
# </details>
#
# <details><summary>3. What is the class token for?</summary>
#
# It asks all patches, in every block, and carries the answer; no patch has to. (The mean of all tokens serves as well,
# with another learning rate: the paper's appendix D.3.)
#
# </details>

# %% [markdown]
# <details><summary>4. Why does Swin roll its maps, and why does it need a mask then?</summary>
#
# Shifted windows would be cut at the edges. Rolled, all are whole; but opposite edges meet in one window and must not see each
# other.
#
# </details>
#
# <details><summary>5. Why does ConViT's start help most where data are few?</summary>
#
# It knows already that neighbours matter. From many examples attention finds that out by itself.
#
# </details>

# %% [markdown]
# ### What came beside it, and after
#
# - [DeiT](https://arxiv.org/abs/2012.12877) (2020): how to train a ViT on ImageNet alone; S and Ti are its sizes.
# - [CvT](https://arxiv.org/abs/2103.15808) (2021): queries, keys and values by depthwise convolutions.
# - [Early convolutions help transformers see better](https://arxiv.org/abs/2106.14881) (2021): a stem of small convolutions
#   instead of one with a stride of 16.
# - [How do vision transformers work?](https://arxiv.org/abs/2202.06709) (2022): attention as a low-pass filter, convolution as a
#   high-pass one.
# - [ConvNeXt](https://arxiv.org/abs/2201.03545) (2022): a pure convolutional network with Swin's design, as accurate as Swin.
# - [MaxViT](https://arxiv.org/abs/2204.01697) (2022): windows and a grid of far tokens in turn.
# - [Vision transformers need registers](https://arxiv.org/abs/2309.16588) (2023): further tokens beside the class token.

# %% [markdown]
# ### References
#
# - J.-B. Cordonnier, A. Loukas, M. Jaggi: On the Relationship between Self-Attention and Convolutional Layers, ICLR 2020.
#   https://arxiv.org/abs/1911.03584
# - S. Li, X. Chen, D. He, C.-J. Hsieh: Can Vision Transformers Perform Convolution?, 2021. https://arxiv.org/abs/2111.01353
# - A. Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021. https://arxiv.org/abs/2010.11929
# - H. Touvron et al.: Training data-efficient image transformers, ICML 2021. https://arxiv.org/abs/2012.12877
# - Z. Liu et al.: Swin Transformer, ICCV 2021. https://arxiv.org/abs/2103.14030

# %% [markdown]
# - S. d'Ascoli et al.: ConViT, ICML 2021. https://arxiv.org/abs/2103.10697
# - Z. Dai, H. Liu, Q. V. Le, M. Tan: CoAtNet, NeurIPS 2021. https://arxiv.org/abs/2106.04803
# - Photograph: "china" of scikit-learn's samples, by
#   [danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035), CC BY 2.0.
#
# Chapter 13 puts fourteen mechanisms of the course into one network, under one budget.
