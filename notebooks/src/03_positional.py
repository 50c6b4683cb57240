# %% [markdown]
# # 3 · Positions
#
# A recurrent network reads its words one after another, and a convolution knows which pixel lies beside
# which. Attention knows neither. It compares every token with every other and takes an average, and an
# average does not depend on order: "dog bites man" and "man bites dog" are the same to it. When the
# authors of the Transformer removed recurrence in 2017, they had to put the order back by hand. How to
# do so has been asked again and again since, and the answers are this chapter.
#
# **About 3 hours**, of which 89 minutes are exercises. A CPU is enough.

# %% [markdown]
# How much depends on it was measured on translation: with its positions a Transformer reaches 25.8 BLEU,
# and without any 12.5 ([Shaw et al. 2018](https://arxiv.org/abs/1803.02155), Table 3): half of the score
# is lost. (**BLEU** tells from 0 to 100 how much a translation shares with those that people made.)

# %% [markdown]
# The figure shows the question of this chapter. Four small networks learn the same task, to name the left
# neighbour of each token in a sequence of 16 symbols. They differ only in how they are told the positions 0 to
# 15, and all four learn it. Then the same sequences begin at position 32. Two networks do not notice, one
# stumbles, and one fails. **Why?** By the end you will know, because you will have written all four.

# %% jupyter={"source_hidden": true}
import math
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional as F

# %% jupyter={"source_hidden": true}
from attncourse import check, explore, hint
from attncourse.book import claim, diagrams, plots
from attncourse.papers import counting
from attncourse.tasks.order import (
    Reader,
    accuracy,
    dots,
    rows_of_symbols,
    train_finder,
    train_reader,
)
from attncourse.tasks.pictures import photograph
from solutions.positional import masked_softmax
from solutions.scaled_dot_product import attention_weights, scaled_dot_product_attention

# %% jupyter={"source_hidden": true}
# Means of section 3.7, where they are measured, and compared with these.
FIRST_PAGE = {"relative": 1.0, "rotary": 1.0, "sinusoidal": 0.55, "learned": 0.06}
fig, ax = plt.subplots(figsize=(6.4, 1.9))
for row, found in enumerate(FIRST_PAGE.values()):
    ax.barh(row - 0.19, 1.0, 0.36, color="#cccccc", label="at 0 to 15" * (row == 0))
    ax.barh(row + 0.19, found, 0.36, color="#009e73", label="from 32 on" * (row == 0))
ax.set(
    yticks=range(4),
    yticklabels=FIRST_PAGE,
    xlim=(0, 1.02),
    xlabel="fraction of neighbours found",
)
ax.axvline(1 / 15, color="black", lw=0.9, ls=":", label="no order: at most 1/15")
ax.invert_yaxis()
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="asked")
ax.set_title("Trained at 0 to 15, asked from 32 on: two kinds do not notice")
plots.show(
    fig,
    "Two bars for each of four kinds of positions. At the trained places all find every neighbour. From"
    " 32 on relative and rotary still do, sinusoidal finds about half, learned almost none.",
)


# %% [markdown]
# ### Where it lives today
#
# All four kinds are in use. The Vision Transformer and its followers learn a vector for each patch. T5 and
# Swin use relative positions, reduced to one number for each distance. Most language models since
# [LLaMA](https://arxiv.org/abs/2302.13971) use rotary ones, and recent vision models use these in two
# dimensions. Sinusoidal ones mark the pixels in DETR and the steps of diffusion models.
#
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | sinusoidal, learned, relative and rotary positions; the skewing trick; coordinates for convolutions | who still finds a neighbour when a sequence begins later or is longer, and who does not | attention and its mask (chapter 01) |
#
# Sections marked "may be skipped at first reading" come back only in the summary and in the questions at its end.

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` | examples in a batch |
# | `x`, `y` | what goes into a layer and what comes out; no coordinates |
# | `n` | tokens of a sequence; $p$ is the position of one |
# | `i`, `j` | queries, keys; never anything else |
# | `d`, `e` | features of a query or key, of a value; in 3.2 and 3.3 the $d$ of a formula is `dim`, the features of a token |
# | $f$ | pairs of features, each with a frequency $\omega_f$ |
# | `r` | rows of a table that has one vector for each distance; *row* is said of tables and images only |
# | `h` `w` `c` | height and width in pixels or patches, channels |
#
# All imports of the chapter stand in the two folded cells above the first figure.

# %%
torch.manual_seed(0)
steps = torch.arange(64.0)

# %% [markdown]
# ## 3.1 Attention takes its tokens for an unordered set
#
# **Predict.** Eight tokens attend to each other. Then the same tokens are shuffled, and attend again. What
# happens to the numbers in the map of weights? And if you undo the shuffling of the result, how far is it
# from attending at once?
#
# <details><summary>Answer</summary>
#
# The map holds the same numbers at other places, and the result is the same, up to rounding. Let $\Pi$
# reorder the rows. The scores become $\Pi q k^\top \Pi^\top$: their rows and columns move. A softmax over a row does not depend on the order in it. Then $\Pi^\top$
# meets $\Pi v$, and $\Pi^\top \Pi = I$.
#
# </details>
#
# $$
# \operatorname{softmax}\!\Bigl(\tfrac{\Pi q\,(\Pi k)^\top}{\sqrt d}\Bigr) \Pi v
# = \Pi \operatorname{softmax}\!\Bigl(\tfrac{q k^\top}{\sqrt d}\Bigr) v
# $$
#
# One says that self-attention is **permutation equivariant**.

# %%
torch.manual_seed(0)
x, order = torch.randn(8, 6), torch.randperm(8)
at_once = scaled_dot_product_attention(x, x, x)
mixed = x[order]
detour = scaled_dot_product_attention(mixed, mixed, mixed)[order.argsort()]
claim((detour - at_once).abs().max() < 1e-6, "shuffling and undoing it changes nothing")

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
x, order = torch.randn(8, 6), torch.randperm(8)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
title = "Eight tokens, in order"
plots.heat(axs[0], attention_weights(x, x), "key j", "query i", title, bar=False)
title = "Shuffled: each weight moves with its pair"
plots.heat(axs[1], attention_weights(x[order], x[order]), "key j", "query i", title, bar=False)
fig.colorbar(axs[1].images[0], ax=axs[1], label="weight")
for ax, names in zip(axs, (range(8), order.tolist()), strict=True):
    ax.set(xticks=range(8), yticks=range(8), xticklabels=names, yticklabels=names)
plots.show(
    fig,
    "Two maps of eight by eight. In the right one rows and columns have changed places: the weight of"
    " token 7 for itself stands at the lower right on the left, and in the fourth row on the right.",
)

# %% [markdown]
# ### A task in which order matters
#
# A sequence holds sixteen different symbols out of 64, in random order, and every token must name its left
# neighbour. The first token has none and is not asked. In an image this is what it takes to find the patch
# beside a patch: the edge of a wing that goes on, the eye to the left of a nose.
#
# The network of the experiment is called `Reader`, and this is all it does, with 32 features:
#
# ```python
# x = symbol(tokens)               # b n -> b n d: a learned vector for each of the 64 symbols
# x = x + places(positions)        # only if it has absolute positions, n d
# q, k, v = qkv(x)                 # one linear layer makes all three, b n d each
# y = attend(q, k, v, positions)   # one head of attention
# scores = name(y)                 # a linear layer scores all 64 symbols: b n 64
# ```
#
# **Predict.** What is the best fraction of right answers for this network without positions?
#
# <details><summary>Answer</summary>
#
# Fix the symbols and shuffle them in all ways. The token with a given symbol always gives the same
# answer, because shuffling only moves it along. Its true left neighbour is each of the 15 others equally
# often. So it is right in at most 1 of 15 sequences, whatever the weights are. (It is never right, if its
# answer is its own symbol or one that is not there.)
#
# </details>

# %% tags=["nbval-ignore-output"]
blind = train_reader(Reader, seed=0)
found = accuracy(blind, examples=1000)
print(f"without positions {found:.3f}")
print(f"the ceiling       {1 / 15:.3f}")
claim(found < 0.08, "without positions less than 8 % are right; the ceiling is one in fifteen")

# %% [markdown]
# **What you should see.** The accuracy is that of the ceiling, and more training would not raise it above. The
# order is not in what the network sees, so it has to be put there. There are three ways: **add** a vector
# to each token that says where it is, which is an *absolute* position; let the **score** of a pair know
# the distance, which is a *relative* one; or **turn** each query and key by its own position. Then what
# each token gets is absolute, and what the score sees is relative.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 9.8)
DATA, LEARN, READ, GREY = "#56b4e9", diagrams.LEARNED, diagrams.ATTENTION, diagrams.HIDDEN
ways = {"Absolute: added to the tokens (3.2, 3.3)": 7.3}
ways |= {
    "Relative: the query meets a vector of the distance (3.4, 3.5)": 3.9,
    "Rotary: turns queries and keys (3.6)": 0.4,
}
for name, y in ways.items():
    middle = y + 0.61
    ax.text(0.2, y + 1.8, name, weight="bold")
    start = diagrams.layer(ax, 0.4, y + 0.3, "tokens", 1.8, colour=DATA).right
    if name.startswith("Abs"):
        plus = diagrams.join(ax, 3.6, middle)
        box = diagrams.layer(ax, 2.6, y - 0.9, "position", 2.0)
        diagrams.arrow(ax, start, plus.left)
        diagrams.arrow(ax, box.top, plus.bottom)
        start = plus.right
    pair = [
        diagrams.layer(ax, 5.2, y + up, text, 0.9) for up, text in ((0.8, "q"), (-0.2, "k"))
    ]
    for box in pair:
        diagrams.arrow(ax, start, box.left)
    if name.startswith("Rot"):
        turned = [(0.8, "turn by i ω"), (-0.2, "turn by j ω")]
        turned = [diagrams.layer(ax, 7.0, y + up, text, 2.3) for up, text in turned]
        for box, end in zip(pair, turned, strict=True):
            diagrams.arrow(ax, box.right, end.left)
        pair = turned
    score = diagrams.layer(ax, 10.4, y + 0.3, "score", 1.5, colour=READ)
    for box in pair:
        diagrams.arrow(ax, box.right, score.left)
    start = score.right
    if name.startswith("Rel"):
        plus = diagrams.join(ax, 12.9, middle)
        box = diagrams.layer(ax, 11.6, y - 1.0, "q · a of j - i", 2.6)
        diagrams.arrow(ax, start, plus.left)
        diagrams.arrow(ax, box.top, plus.bottom)
        start = plus.right
    soft = diagrams.layer(ax, 13.8, y + 0.3, "softmax", 1.7, colour=GREY)
    diagrams.arrow(ax, start, soft.left)
plots.show(
    fig,
    "Three rows from tokens by q and k to a score and a softmax. In the first a position is added to the"
    " tokens; in the second the product of q with a vector of the distance is added to the score; in the"
    " third q is turned by i times omega and k by j times omega.",
)

# %% [markdown]
# ## 3.2 Sinusoidal positions
#
# A clock tells the time by hands of different speed. One hand alone is soon back where it was; all
# together stand as before only after a long time. The Transformer's positions do the same. Its authors
# could as well have learned them, and chose waves for two reasons
# ([section 3.5](https://arxiv.org/abs/1706.03762) of the paper): a shift by a fixed number of steps is a
# linear map of them, which should make it easy to attend by distance, and they hoped that waves would go
# on beyond the longest sequence of the training. The figure shows the sines of four hands.

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(6.4, 2.4))
fine = torch.linspace(0, 63, 1000)
hands = {f"pair {f}": (fine * 10000 ** (-2 * f / 8)).sin() for f in range(4)}
plots.lines(ax, fine, hands, "position p", "sine", "Each pair is ten times slower (d = 8)")
ax.plot(steps, steps.sin(), "o", color="C0", ms=2.5)
ax.legend(ncols=4, loc="lower center")
ax.set(ylim=(-1.9, 1.1))
plots.show(
    fig, "Four sine curves: one swings fast, the next ten times slower, the last hardly."
)

# %% [markdown]
# $$
# P_{p,\,2f} = \sin(p\,\omega_f) \qquad P_{p,\,2f+1} = \cos(p\,\omega_f) \qquad
# \omega_f = 10000^{-2f/d}
# $$
#
# (Vaswani et al. 2017, section 3.5, where $f$ is called $i$. With an odd $d$ the last sine has no cosine.)
#
# | | axes | what it is |
# |---|---|---|
# | `positions` | `n` | 0, 1, 2, …, or any other numbers |
# | `sinusoidal(positions, dim)` | `n dim` | a row for each position |
#
# In small numbers: for $d = 4$ there are two frequencies, $\omega_0 = 1$ and $\omega_1 = 1/100$. Position
# 1 becomes $(\sin 1, \cos 1, \sin 0.01, \cos 0.01) = (0.84, 0.54, 0.01, 1.00)$.

# %%
omega = [10000 ** (-2 * f / 4) for f in range(2)]
row = [wave(1 * o) for o in omega for wave in (math.sin, math.cos)]
print(
    "frequencies",
    *(f"{o:g}" for o in omega),
    "  position 1:",
    *(f"{value:.2f}" for value in row),
)
apart = torch.tensor(row) - torch.tensor([0.84, 0.54, 0.01, 1.0])
claim(apart.abs().max() < 0.005, "by hand: 0.84, 0.54, 0.01 and 1.00")

# %% [markdown]
# **Predict.** What is the squared length of each row, for $d = 32$?
#
# <details><summary>Answer</summary>
#
# $\sin^2 + \cos^2 = 1$ for each of the 16 pairs, which is $d / 2 = 16$ for every position.
#
# </details>

# %% [markdown]
# ### Exercise: `sinusoidal`
#
# Compute the angles first, `n pair`. Then take sine and cosine in turn, which is a `rearrange` of the
# two. As always (section 0.9), the result has the dtype and lies on the device of its input: whatever
# you make anew takes `dtype=positions.dtype, device=positions.device`.

# %% exercise="positional.sinusoidal"

# %%
check("positional.sinusoidal", sinusoidal)

# %% [markdown]
# Stuck? `hint("positional.sinusoidal")` gives one hint at a time. To read on without solving it:
# `from solutions.positional import sinusoidal`.

# %% jupyter={"source_hidden": true}
table = sinusoidal(steps, 32)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.9))
title = "A row for each position"
plots.signed(axs[0], table[:32], "feature", "position", title, limit=1, bar=False)
fig.colorbar(axs[0].images[0], ax=axs[0], label="value", shrink=0.8, ticks=(-1, 0, 1))
title = "All inner products: stripes"
plots.heat(axs[1], table @ table.T, "position", "position", title, 4, 16, bar=False)
fig.colorbar(
    axs[1].images[0], ax=axs[1], label="inner product", shrink=0.8, ticks=(4, 8, 12, 16)
)
plots.show(fig, "Left, waves that slow down to the right. Right, diagonal stripes.")

# %%
table = sinusoidal(steps, 32)
norms, gram = table.square().sum(-1), table @ table.T
print("squared length of row 0 and of row 63:", norms[0].item(), round(norms[63].item(), 3))
claim((norms - 16).abs().max() < 1e-4, "every row has the squared length d / 2 = 16")
claim((gram[1:, 1:] - gram[:-1, :-1]).abs().max() < 1e-3, "each diagonal holds one number")

# %% [markdown]
# **What you should see.** On the left one row is one position: the waves at the left are fast, and from feature 16 on
# all 32 rows look alike, for those hands have hardly moved yet. The right map consists of stripes: the product of two rows depends on their
# distance alone, since $\sin a \sin b + \cos a \cos b = \cos(a - b)$:
#
# $$ P_p \cdot P_{p'} = \sum_f \cos\bigl((p - p')\,\omega_f\bigr) $$
#
# Such a matrix is called **Toeplitz**. If yours has a chequered pattern, sine and cosine of a pair do
# not have the same frequency, which is the commonest mistake in this formula.

# %% [markdown]
# ### A shift is a rotation
#
# A hand of the clock that goes $t$ steps on turns by the angle $t\,\omega_f$, wherever it stood:
#
# $$
# \begin{pmatrix} \sin (p + t)\,\omega_f \\ \cos (p + t)\,\omega_f \end{pmatrix}
# = \begin{pmatrix} \cos t\,\omega_f & \sin t\,\omega_f \\ -\sin t\,\omega_f & \cos t\,\omega_f \end{pmatrix}
# \begin{pmatrix} \sin p\,\omega_f \\ \cos p\,\omega_f \end{pmatrix}
# $$
#
# The matrix does not contain $p$: the same one takes every position $t$ steps on. The authors hoped that this
# lets a network learn to attend by distance. Section 3.7 tests the hope.

# %%
table = sinusoidal(steps, 32)
angle = 5 * 10000 ** (-torch.arange(0, 32, 2) / 32)
sin, cos = table[:, 0::2], table[:, 1::2]
later = [sin * angle.cos() + cos * angle.sin(), cos * angle.cos() - sin * angle.sin()]
later = rearrange(later, "wave n pair -> n (pair wave)")
claim((later[:-5] - table[5:]).abs().max() < 1e-4, "five steps turn row p into row p + 5")

# %% [markdown]
# ### Ablation: the commonest mistake
#
# Let $f$ count features instead of pairs, so that sine and cosine have frequencies of their own.


# %%
def unpaired(positions, dim):
    """The exponent of every feature is its own."""
    angles = positions[:, None] * 10000 ** (-2 * torch.arange(dim) / dim)
    return torch.where(torch.arange(dim) % 2 == 0, angles.sin(), angles.cos())


check("positional.sinusoidal", unpaired)

# %% jupyter={"source_hidden": true}
table = unpaired(steps, 32)
fig, ax = plt.subplots(figsize=(4.0, 3.0))
title = "Unpaired: checks in place of the stripes"
plots.heat(ax, table @ table.T, "position", "position", title, 4, 16, bar=False)
fig.colorbar(ax.images[0], ax=ax, label="inner product", ticks=(4, 8, 12, 16))
plots.show(fig, "Inner products whose diagonals vary: a chequered matrix, no even stripes.")

# %% [markdown]
# **What you should see.** The stripes are gone: how alike two positions are now depends on where they
# are. The shape is right, training still works somehow, and nothing crashes. In a public implementation
# the mistake was found when somebody drew this very figure
# ([BrianPulfer/PapersReimplementations #9](https://github.com/BrianPulfer/PapersReimplementations/issues/9)).

# %% [markdown]
# ## 3.3 Learned positions
#
# Instead of a formula one can take a table whose row $p$ is a parameter. Training decides what it says.
#
# $$ y_p = x_p + T_p $$
#
# | | axes | what it is |
# |---|---|---|
# | $x$, $y$ | `b n dim` | tokens |
# | $T$ | `length dim` | the table, `length` at least `n` |
#
# **Predict.** A table of length 64 is trained on sequences of 16 tokens only. What do its rows 16 to 63
# hold afterwards?
#
# <details><summary>Answer</summary>
#
# They hold what they held before. No gradient ever reached them: they are still the random numbers of
# the start.
#
# </details>

# %% [markdown]
# ### Exercise: `LearnedPositions`
#
# Raise a `ValueError` with both numbers where there are more tokens than rows.

# %% exercise="positional.learned_positions"

# %%
check("positional.learned_positions", LearnedPositions)

# %% [markdown]
# Stuck? `hint("positional.learned_positions")`. To read on without solving it:
# `from solutions.positional import LearnedPositions`.

# %%
layer = LearnedPositions(32, 64)
layer(torch.randn(2, 16, 32)).square().sum().backward()
reached = layer.table.grad.abs().sum(-1) > 0
print("rows with a gradient:", reached.sum().item(), "of", len(reached))
claim(reached[:16].all() and not reached[16:].any(), "16 tokens teach 16 rows, and no other")

# %% [markdown]
# **What you should see.** The first 16 of 64 rows have a gradient. If only 2 rows have one, your
# table runs along the batch. A learned table knows nothing of a place it has not seen, and nothing ties row 7 to row 8.

# %% [markdown]
# ### A table for images of another size
#
# The Vision Transformer learns a vector for each patch of, say, 12 x 18. For larger images there are more
# patches and no vectors for them. Its authors **interpolate**: they read the table as an image with `dim`
# channels and enlarge it ([Dosovitskiy et al. 2020](https://arxiv.org/abs/2010.11929), section 3.2).

# %%
torch.manual_seed(0)
small = nn.Parameter(0.02 * torch.randn(12 * 18, 64))
grid = rearrange(small, "(h w) dim -> 1 dim h w", h=12)
large = F.interpolate(grid, (24, 36), mode="bicubic", align_corners=False)
large = rearrange(large, "1 dim h w -> (h w) dim")
print("vectors before and after:", len(small), len(large))
claim(len(large) == 4 * len(small), "twice as high and wide: four times as many vectors")

# %% [markdown]
# **What you should see.** 216 vectors became 864. This works because in trained networks neighbouring patches have
# similar vectors (Figure 7 of the paper shows it); for the random ones of the start it would make no sense. Afterwards the network is
# usually fine-tuned for a while at the new size.

# %% [markdown]
# ## 3.4 Relative positions: the score knows the distance
#
# A neighbour is a neighbour at position 3 and at 300. Shaw, Uszkoreit and Vaswani therefore gave the
# *pair* a vector that depends on $j - i$. All distances beyond `clip` to one side share one vector, since
# for a word far away it hardly matters how far it is. That makes $2\,\text{clip} + 1$ vectors. The figure
# shows which one each pair gets, for clip = 2:

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(13, 7.2)
drawn = "234444444 123444444 012344444 001234444 000123444 000012344 000001234"
words = np.array([list(line) for line in drawn.split()])
title = "row of the table for each pair"
diagrams.matrix(ax, 0.9, 0.7, words.astype(int) / 5, "i j", title, side=0.8, text=words)
five = np.arange(5)[:, None]
diagrams.matrix(ax, 11.3, 1.5, five / 5, "", "table", DATA, 0.8, five.astype(str))
for row, name in enumerate(("≤ -2", "-1", "0", "1", "≥ 2")):
    ax.text(11.1, 1.5 + 0.8 * (4.5 - row), name, ha="right", va="center")
ax.text(11.1, 5.65, "j - i", ha="right", va="bottom", style="italic")
plots.show(
    fig,
    "Seven by nine cells with numbers from 0 to 4, the same along every diagonal: 2 on the main one, 1 and"
    " 0 to the left of it, 3 and 4 to the right. Beside it the table of five rows with their distances.",
)

# %% [markdown]
# **Predict.** Now let clip = 4. Which row belongs to a token and itself, and which to its left neighbour?
# Which rows does a sequence of 1000 tokens use?
#
# <details><summary>Answer</summary>
#
# Row $0 + 4 = 4$ and row $-1 + 4 = 3$. A sequence of 1000 uses the same nine rows as one of ten.
#
# </details>

# %% [markdown]
# ### Exercise: `relative_index`
#
# | | axes | what it is |
# |---|---|---|
# | `relative_index(queries, keys, clip)` | `i j` | whole numbers from 0 to 2 clip |

# %% exercise="positional.relative_index"

# %%
check("positional.relative_index", relative_index)

# %% [markdown]
# Stuck? `hint("positional.relative_index")`. To read on without solving it:
# `from solutions.positional import relative_index`.

# %% [markdown]
# ### The formulas
#
# There are two such tables ([Shaw et al. 2018](https://arxiv.org/abs/1803.02155), eqs. 3 and 4). With $a^K$ the
# distance changes *how much* is read. With $a^V$ the reader is also told from *which side* it came, which an average
# of values alone would not say:
#
# $$
# s_{ij} = \frac{q_i \cdot (k_j + a^K_{j-i})}{\sqrt d} \qquad
# A = \operatorname{softmax}_j s \qquad
# y_i = \sum_j A_{ij}\,(v_j + a^V_{j-i})
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $q$; $k$, $v$ | `… i d`; `… j d`, `… j e` | any axes in front, such as `b head` |
# | $a^K$, $a^V$ | `r d`, `r e` | the tables `keys` and `values` of the class; r = 2 clip + 1, the same for all heads; d is `q_dim`, e is `v_dim` |
# | mask | `i j` or with axes in front | True where a query may attend |

# %% [markdown]
# ### Once by hand
#
# Take two tokens, one feature, clip = 1, and keys of 0, so that only the distance counts. Let $q = 1$ for
# both and $a^K = (0, 0, \ln 3)$ for the distances -1, 0 and 1. Token 0 scores itself with 0 and its
# right neighbour with $\ln 3$, so that it attends to them with the weights 1/4 and 3/4. Token 1 has a
# left neighbour, whose distance -1 scores 0: its weights are 1/2 and 1/2.

# %%
a = {-1: 0.0, 0: 0.0, 1: math.log(3)}
scores = torch.tensor([[a[j - i] for j in range(2)] for i in range(2)])
weights = scores.softmax(-1)
print("weights:", *(f"{w:.2f}" for w in weights.flatten().tolist()))
wanted = torch.tensor([[1 / 4, 3 / 4], [1 / 2, 1 / 2]])
claim(
    (weights - wanted).abs().max() < 1e-6, "1/4 and 3/4 for token 0, one half each for token 1"
)

# %% [markdown]
# **Predict.** With clip = 0 there is one vector for all distances. What does $a^K$ do to the attention
# weights then?
#
# <details><summary>Answer</summary>
#
# It does nothing. It adds $q_i \cdot a$ to all scores of row $i$, and a softmax does not change when
# all its inputs grow alike. Shaw's Table 2 shows it: clip = 0 reaches 12.5 BLEU, clip = 1 reaches 25.5.
#
# </details>

# %% [markdown]
# ### Exercise: `RelativeAttention`
#
# Do not build $k_j + a_{j-i}$ for every example, which takes `b i j d` numbers. Multiply out: the second
# product, $q_i \cdot a_{j-i}$, needs the gathered table `i j d` only once. `self.index(q, k)` gives the
# row for each pair, and `masked_softmax(scores, mask)` is the second half
# of your `attention_weights` from chapter 01.

# %% exercise="positional.relative_attention"

# %%
check("positional.relative_attention", RelativeAttention)

# %% [markdown]
# Stuck? `hint("positional.relative_attention")`. To read on without solving it:
# `from solutions.positional import RelativeAttention`.

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
layer, x = RelativeAttention(8, 8, clip=3), torch.randn(12, 8)
with torch.no_grad():
    layer.keys *= 3  # to see more
    x = x[:1].expand(12, 8)
    scores = (x @ x.T + einsum(x, layer.keys[layer.index(x, x)], "i d, i j d -> i j")) / 8**0.5
    weights = layer.attention(x, x)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.7))
low, high = scores.min().item(), scores.max().item()
title = "Equal tokens: a score per distance"
plots.heat(axs[0], scores, "key j", "query i", title, low, high, bar=False)
title = "Each row is divided by its own sum"
plots.heat(axs[1], weights, "key j", "query i", title, 0, weights.max().item(), bar=False)
for ax, name in zip(axs, ("score", "weight"), strict=True):
    fig.colorbar(ax.images[0], ax=ax, label=name, shrink=0.85)
plots.show(
    fig,
    "Left, scores of twelve equal tokens, one colour along each diagonal. Right, the weights, whose"
    " diagonals fade from the upper left to the lower right.",
)

# %%
torch.manual_seed(0)
layer, x, v = RelativeAttention(8, 8, clip=3), torch.randn(12, 8), torch.randn(12, 8)
apart = (layer(x, x, v) - scaled_dot_product_attention(x, x, v)).abs().max()
claim(apart > 0.1, "with its tables it is not plain attention")
nn.init.zeros_(layer.keys), nn.init.zeros_(layer.values)
theirs = F.scaled_dot_product_attention(x[None], x[None], v[None])[0]
apart = (layer(x, x, v) - theirs).abs().max()
claim(apart < 1e-6, "with tables of zeros it is torch's")

# %% [markdown]
# **What you should see.** In the left map each row holds the same scores, moved by one, and beyond three
# steps all keys to one side are alike. The weights on the right differ, because the softmax divides each
# row by its own sum. With tables of zeros, plain attention is left. If the pattern runs the other way,
# you count $i - j$.

# %% [markdown]
# ### One number instead of a vector: T5 and ALiBi
#
# If only the distance is to count, and not what the query holds, a single number for each distance and
# head is enough. It is added to the score as a **bias**. [T5](https://arxiv.org/abs/1910.10683) (2019)
# learns these numbers, with distances in bins that grow wider.
# [Swin](https://arxiv.org/abs/2103.14030) (2021) does so in two dimensions. And
# [ALiBi](https://arxiv.org/abs/2108.12409) (Press, Smith and Lewis 2021) learns nothing: each head has a
# fixed slope by which a key loses score with every step of distance, so that models read texts longer
# than any in their training.

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(6.4, 2.1))
keys = torch.arange(12.0)
fall = {f"slope 1/{s}": ((keys - 11) / s).softmax(-1) for s in (2, 8, 32)}
title = "The steeper the slope, the nearer the keys that a head sees"
plots.lines(ax, keys, fall, "key j", "weight for query 11", title)
ax.set(ylim=(0, 0.45), xticks=range(12))
plots.show(
    fig,
    "ALiBi's weights of twelve keys for the last query, with equal scores. With slope 1/2 they fall fast"
    " with distance, with 1/8 slowly, and with 1/32 all keys count nearly alike.",
)

# %% [markdown]
# **What you should see.** All keys have equal scores here, so that the slope alone decides. The head with
# slope 1/2 reads the last few keys, and the head with slope 1/32 averages nearly all of them.

# %% [markdown]
# ## 3.5 Skewing: the same without the large tensor (may be skipped at first reading)
#
# For long sequences the gathered table `i j d` is too large: 2048 tokens and 64 features make 268 million
# numbers. But $q_i \cdot a_r$ for all rows of the table is only `i r`. The numbers are there; each stands
# in the wrong column. [Music Transformer](https://arxiv.org/abs/1809.04281) (Huang et al. 2018, section
# 3.4) moves them with a trick that adds nothing but a column of zeros. It holds for causal attention,
# where $j \le i$.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 6.0)
n, side, low = 4, 0.72, 1.4
top = low + n * side
tones = np.repeat(np.array([[0.15], [0.4], [0.65], [0.95]]), n, 1)
words = np.array([[str(r - 3) for r in range(n)] for _ in range(n)])
padded = np.hstack([np.zeros((n, 1)), tones])
said = np.hstack([np.full((n, 1), ""), words])
blank = said == ""
cut, told, gaps = (x.reshape(n + 1, n) for x in (padded, said, blank))
gone = np.triu(np.ones((n, n), bool), 1)
grids = (
    (0.8, low, "i r", "1  one column\nper distance", dict(values=tones, text=words)),
    (4.9, low, "", "2  padded\nat the left", dict(values=padded, text=said, hidden=blank)),
    (9.2, low - side, "", "3  cut into\nrows of n", dict(values=cut, text=told, hidden=gaps)),
    (
        12.9,
        low - side,
        "i j",
        "4  one column\nper key",
        dict(values=cut[1:], text=told[1:], hidden=gone),
    ),
)
before = None
for left, down, letters, name, shown in grids:
    box = diagrams.matrix(ax, left, down, letters=letters, side=side, **shown)
    diagrams.title(ax, box.middle[0], top, name)
    if before is not None:
        diagrams.arrow(ax, (before.right[0], 2.7), (box.left[0], 2.7))
    before = box
diagrams.frame(ax, box.x, box.y + box.height, box.width, side)
ax.text(box.middle[0], top - side / 2, "first row dropped", size=8, ha="center", va="center")
plots.show(
    fig,
    "Four grids whose rows have a shade each. First 4 by 4, every row -3, -2, -1, 0. Second the same with"
    " a hatched column of padding at the left. Third the twenty cells, read row by row, cut into five rows"
    " of four. Fourth without the first of these: 0 on the diagonal, -1 and -2 and -3 below it, the upper"
    " triangle hatched.",
)

# %% [markdown]
# Each number is the distance of a key, and each shade a query. The hatched cells of grids 2 and 3 are the padding.
# Those of grid 4 hold what is left over, the padding and numbers of the next query; `tril` clears them.
#
# In grid 2 every row has $n + 1$ cells. Written out as one long list, row $i$ therefore begins at cell
# $i\,(n + 1) = i\,n + i$. In grid 3, whose rows have $n$ cells, this is row $i$, column $i$: each query
# begins one column further right than the one before it. Its last number, the distance 0, stands $n$
# cells later, in row $i + 1$, column $i$. When the first row is dropped, that is row $i$, column $i$: the
# diagonal.

# %% [markdown]
# **Predict.** The zeros are put on the left. What would stand on the diagonal if they were put on the
# right?
#
# <details><summary>Answer</summary>
#
# The zeros themselves would: row $i$ would then read "…, -1, 0, zero, -3, …" with its zero on the
# diagonal, and the distance 0 would stand one column too far left. The side matters.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `… i r` | a number for each query and distance, r = i = n |
# | `skew(x)` | `… i j` | for each query and key; 0 where $j > i$ |

# %% [markdown]
# ### Exercise: `skew`
#
# You need `F.pad(x, (1, 0))`, two patterns with brackets, one row dropped, and `tril`. Raise a
# `ValueError` where $x$ is not square.

# %% exercise="positional.skew"

# %%
check("positional.skew", skew)

# %% [markdown]
# Stuck? `hint("positional.skew")`. To read on without solving it:
# `from solutions.positional import skew`.

# %% [markdown]
# ### Exercise: `relative_logits`
#
# Compute $q_i \cdot a_{j-i}$ for $j \le i$, where $a$ is given as `table` and its last row is for the token
# itself. There is no $\sqrt d$ here: whoever adds these numbers to the scores divides the sum. This check
# also looks at the size of the largest tensor that you make.
#
# | | axes | what it is |
# |---|---|---|
# | $q$ | `… i d` | queries |
# | $a$, `table` | `i d` | a vector for each distance from $-(n-1)$ to 0, as many as queries |

# %% exercise="positional.relative_logits"

# %%
check("positional.relative_logits", relative_logits)

# %% [markdown]
# Stuck? `hint("positional.relative_logits")`. To read on without solving it:
# `from solutions.positional import relative_logits`.


# %%
def gathered(q, table):
    """The direct way: look the vector of every pair up, then multiply."""
    i = torch.arange(len(table))
    rows = (i - i[:, None] + len(table) - 1).clamp(max=len(table) - 1)
    return einsum(q, table[rows], "i d, i j d -> i j").tril()


torch.manual_seed(0)
q, table = torch.randn(64, 32), torch.randn(64, 32)
apart = (relative_logits(q, table) - gathered(q, table)).abs().max()
claim(apart < 1e-4, "skewed and gathered are equal on the triangle")

# %% [markdown]
# **Predict.** How many numbers are in the largest tensor that each of the two ways makes, for 256 tokens
# and d = 32?
#
# <details><summary>Answer</summary>
#
# Gathered: $256^2 \cdot 32 = 2\,097\,152$. Skewed: the padded product, $256 \cdot 257 = 65\,792$. The
# tables themselves have $256 \cdot 32 = 8192$ either way.
#
# </details>

# %%
print("   n   gathered, n n d   skewed, n (n + 1)   ratio")
for length in (64, 128, 256):
    q, table = torch.randn(length, 32), torch.randn(length, 32)
    direct = counting.count(lambda q=q, t=table: gathered(q, t)).largest_tensor
    skewed = counting.count(lambda q=q, t=table: relative_logits(q, t)).largest_tensor
    print(f"{length:4}   {direct:15,}   {skewed:17,}   {direct / skewed:5.1f}")

# %% [markdown]
# **What you should see.** The ratio comes close to $d = 32$, because skewed the largest tensor is the map itself,
# which any attention has. The paper counts what comes on top of the map: $O(n^2 d)$ gathered, and $O(n d)$ skewed. If your ratio is 1, something still makes a vector for every pair.

# %% [markdown]
# ## 3.6 Rotary positions
#
# In 2021 Jianlin Su and colleagues found a way that needs no table and adds nothing to tokens or scores. In
# [RoFormer](https://arxiv.org/abs/2104.09864) the queries and keys are *turned*, which is called
# **rotary position embedding** (RoPE). Each pair of features is a point in a plane, and at position $p$ it
# turns by the angle $p\,\omega_f$. The figure shows one pair of a query and of a key, which at position 0 would both
# lie on the dashed line: first at the positions 1 and 3, then both four positions later.

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.0), sharey=True)


def arc(ax, radius, start, end, colour, text, where):
    """An arc of a circle about the middle, from one angle to another, and its name."""
    angle = np.linspace(start, end, 40)
    ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=colour, lw=1.8)
    x, y = (radius + 0.11) * np.cos(where), (radius + 0.11) * np.sin(where)
    ax.text(x, y, text, ha="center", va="center", size=8.5)


for ax, (i, j) in zip(axs, ((1, 3), (5, 7)), strict=True):
    arc(ax, 1.0, -0.2, np.pi + 0.2, "#cccccc", "", 0)
    ax.plot((0, 1.1), (0, 0), color="#888888", lw=1, ls="--")
    ax.text(1.13, 0, "position 0", va="center", size=8.5, color="#555555")
    for p, name, colour in ((i, "q", LEARN), (j, "k", DATA)):
        tip = np.array([np.cos(0.4 * p), np.sin(0.4 * p)])
        arrow = {"arrowstyle": "-|>", "color": colour, "lw": 2.5, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", tip, (0, 0), arrowprops=arrow)
        side = "center" if abs(tip[0]) < 0.6 else "left" if tip[0] > 0 else "right"
        ax.text(*((1.14 if side == "center" else 1.08) * tip), f"{name} at {p}", ha=side)
    arc(ax, 0.3, 0, 0.4 * j, DATA, f"{j} ω", 0.8 if i == 1 else 1.0)
    arc(ax, 0.53, 0, 0.4 * i, LEARN, f"{i} ω", 0.2 if i == 1 else 1.0)
    arc(ax, 0.76, 0.4 * i, 0.4 * j, READ, "2 ω", 0.2 * (i + j))
    ax.set(xlim=(-1.6, 1.75), ylim=(-0.15, 1.35), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"query at {i}, key at {j}: product cos 2ω")
    ax.spines[:].set_visible(False)
plots.show(
    fig,
    "Two half circles with two arrows each, and a dashed line for position 0. Query at 1 and key at 3:"
    " arcs of 1 and 3 omega from the dashed line, and 2 omega between the arrows. Query at 5 and key at 7:"
    " arcs of 5 and 7 omega, and again 2 omega between them.",
)

# %% [markdown]
# $$
# (a, b) \to (a \cos p\,\omega_f - b \sin p\,\omega_f,\;\; a \sin p\,\omega_f + b \cos p\,\omega_f)
# \qquad \omega_f = 10000^{-2f/d}
# $$
#
# for each pair $(a, b)$ of the features $2f$ and $2f + 1$ (Su et al. 2021, eqs. 15 and 34). Many public models, LLaMA
# in Hugging Face's library among them, pair feature $f$ with $f + d/2$ instead: their weights want their own order.
#
# In small numbers: the pair $(1, 0)$ with $\omega = 1$ becomes $(\cos p, \sin p)$. At the positions 1 and
# 3 the inner product of two such pairs is $\cos 1 \cos 3 + \sin 1 \sin 3 = \cos 2 = -0.42$, and at 5 and 7
# it is $\cos 2$ again.

# %%
first = math.cos(1) * math.cos(3) + math.sin(1) * math.sin(3)
second = math.cos(5) * math.cos(7) + math.sin(5) * math.sin(7)
print(f"positions 1 and 3: {first:.2f}, positions 5 and 7: {second:.2f}")
claim(abs(first - second) < 1e-9, "four positions later the inner product is the same")

# %% [markdown]
# **Predict.** Values are not turned. Why not?
#
# <details><summary>Answer</summary>
#
# The turning is meant for the comparison of query and key, in which only the angle between them is left.
# Values are added up, and a turned value would bring its absolute position into the output.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `… n d` | queries or keys, `d` even |
# | `positions` | `n` | where each token stands |
# | `rotary(x, positions)` | `… n d` | as long as before, and turned |

# %% [markdown]
# ### Exercise: `rotary`
#
# All sines and cosines that you need are in `sinusoidal(positions, d)`. Where `x` is in half precision,
# the angles must not be: make the positions at least float32 (`torch.promote_types`), and give the
# waves the dtype of `x`. Raise a `ValueError` for an odd `d`.

# %% exercise="positional.rotary"

# %%
check("positional.rotary", rotary)

# %% [markdown]
# Stuck? `hint("positional.rotary")`. To read on without solving it:
# `from solutions.positional import rotary`.

# %% [markdown]
# ### Exercise: `rotary_attention`
#
# Given are queries, keys and values of the same tokens, and where these stand.

# %% exercise="positional.rotary_attention"

# %%
check("positional.rotary_attention", rotary_attention)

# %% [markdown]
# Stuck? `hint("positional.rotary_attention")`. To read on without solving it:
# `from solutions.positional import rotary_attention`.

# %%
torch.manual_seed(0)
q, k = torch.randn(64, 32), torch.randn(64, 32)
here = rotary(q, steps) @ rotary(k, steps).T
there = rotary(q, steps + 100) @ rotary(k, steps + 100).T
claim((here - there).abs().max() < 1e-3, "a hundred places further on, all scores are the same")
claim((here - q @ k.T).abs().max() > 1, "and they are not those without positions")

# %%
ones, waves = torch.ones(64, 32), sinusoidal(steps, 32)
score = rotary(ones, steps) @ rotary(ones, steps).T / 32
claim((score - waves @ waves.T / 16).abs().max() < 1e-5, "it is the stripes of section 3.2")

# %% jupyter={"source_hidden": true}
score = rotary(torch.ones(64, 32), steps)
score = score @ score.T / 32
fig, ax = plt.subplots(figsize=(6.4, 2.0))
title = "Equal query and key: on the whole, the nearer, the larger the score"
plots.lines(ax, steps, {"": score[0]}, "distance between query and key", "score / d", title)
plots.show(fig, "A curve that begins at 1 and falls with distance to about 0.4, wavering.")

# %% [markdown]
# **What you should see.** Two equal vectors of ones, turned, have the product
# $2 \sum_f \cos((j - i)\,\omega_f)$, which is that of section 3.2: the curve falls from 1 to about 0.4 and wavers. That
# is for equal vectors; a trained query and key may prefer any distance. The difference lies elsewhere. Added waves
# are mixed with the content of a token, and every layer may lose them. Turned queries and keys bring the
# distance to the score in every layer anew.

# %% [markdown]
# ### The same for images: RoPE in two dimensions
#
# A patch has a row and a column. Turn half of the features by the row and the other half by the column
# ([Heo et al. 2024](https://arxiv.org/abs/2403.13298) compare this form and others for vision). Your
# `rotary` does it.


# %%
def rotary_2d(x, rows, columns):
    """Half of the features turn with the row, half with the column."""
    down, across = rearrange(x, "n (two d) -> two n d", two=2)
    return torch.cat([rotary(down, rows), rotary(across, columns)], dim=-1)


# %%
torch.manual_seed(0)
q, k = torch.randn(60, 32), torch.randn(60, 32)
rows = repeat(torch.arange(6), "h -> (h w)", w=10)
columns = repeat(torch.arange(10), "w -> (h w)", h=6)
here = rotary_2d(q, rows, columns) @ rotary_2d(k, rows, columns).T
there = rotary_2d(q, rows + 2, columns + 3) @ rotary_2d(k, rows + 2, columns + 3).T
claim(
    (here - there).abs().max() < 1e-3, "moved by 2 rows and 3 columns, all scores are the same"
)

# %% [markdown]
# **What you should see.** The image may be moved in both directions, and no score changes. A convolution
# has this property by nature; here attention has it, too.

# %% [markdown]
# ## 3.7 Train short, test long
#
# Back to the question of the opening. Four networks learn on sequences of 16 symbols at positions 0 to 15. Then
# they meet sequences that begin later, and longer ones. Each is the `Reader` of section 3.1 with one line
# changed: `places` or `attend`. What it has in weights of its own is handed over as `part`, so that it is
# trained too.


# %%
def sines():
    return Reader(places=lambda p: sinusoidal(p.float(), 32))


def learned():
    layer = LearnedPositions(32, 64)
    return Reader(places=lambda p: layer.table[p], part=layer)


# %%
def relative():
    layer = RelativeAttention(32, 32, clip=4)
    return Reader(attend=lambda q, k, v, p: layer(q, k, v), part=layer)


def turned():
    return Reader(attend=rotary_attention)


schemes = {"sinusoidal": sines, "learned": learned, "relative": relative, "rotary": turned}

# %% [markdown]
# **Predict.** You have seen which of the four find the neighbours in a sequence that begins at 32. What is the
# reason, for each of them? And in a sequence of 64 that begins at 0, how many neighbours does the *learned*
# table find?
#
# <details><summary>Answer</summary>
#
# The scores of *relative* and *rotary* know distances alone: a later start changes nothing. *Learned*
# has noise from row 16 of its table on, and is right in 1 of 15 at most. For *sinusoidal* the shift is a rotation, but
# whether the network has learned to use that is open. In the long sequence, *learned* finds the first 15 of the 63
# neighbours, $15/63 = 0.238$, and a few by chance.
#
# </details>


# %%
@cache
def reader(name, seed, starts=1):
    """A trained network; made once."""
    return train_reader(schemes[name], seed, starts=starts)


def spread(name, starts=1, **where):
    """The accuracy of four networks that differ by their seed, lowest first."""
    return sorted(accuracy(reader(name, seed, starts), **where) for seed in range(4))


# %% tags=["nbval-ignore-output"]
print("fraction of neighbours found, lowest to highest of 4 seeds")
print("             as trained      start at 32     length 64")
for name in schemes:
    results = spread(name), spread(name, start=32), spread(name, length=64)
    print(f"{name:11}" + "".join(f"  {r[0]:.3f} … {r[-1]:.3f}" for r in results))

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
starts, lengths = range(0, 49, 2), range(16, 65, 8)
asked = [[{"start": s} for s in starts], [{"length": n} for n in lengths]]
for ax, xs, cases in zip(axs, (starts, lengths), asked, strict=True):
    for name in schemes:
        each = torch.tensor([spread(name, **where) for where in cases])
        ax.plot(xs, each.mean(1), label=name, ls="--" if name == "rotary" else "-")
        ax.fill_between(xs, each[:, 0], each[:, -1], alpha=0.2)
axs[0].axhline(1 / 15, color="black", lw=0.8, ls=":", label="without order: at most 1/15")
axs[0].fill_between([], [], color="#bbbbbb", label="band: lowest to highest of 4 seeds")
axs[0].set(xlabel="first position of a sequence of 16", ylim=(0, 1.05))
axs[0].set_ylabel("fraction of neighbours found")
axs[1].set(xlabel="tokens of a sequence from 0 on", xticks=(16, 32, 48, 64))
axs[0].set_title("A later start")
axs[1].set_title("A longer sequence")
fig.suptitle("Trained on 16 tokens from 0: only schemes that know distances go on", size=9)
fig.legend(*axs[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plots.show(
    fig,
    "Left, later starts: relative and rotary stay at 1, learned falls to 1/15 or a little below, sinusoidal"
    " wavers at about a half. Right, longer sequences: relative stays at 1, rotary a little below, sinusoidal"
    " and learned fall to a third and a quarter.",
)

# %% jupyter={"source_hidden": true}
first, late, long = (
    {name: spread(name, **where) for name in schemes}
    for where in ({}, {"start": 32}, {"length": 64})
)
low = min(found[0] for found in first.values())
claim(low > 0.95, "where it was trained, each scheme finds over 95 %")
same = late["relative"] == first["relative"] and late["rotary"][0] > 0.95
claim(same, "from 32 on, relative positions find as many and rotary ones over 95 %")
claim(late["learned"][-1] < 0.12, "learned positions find less than 12 % there")
apart = max(abs(sum(late[name]) / 4 - FIRST_PAGE[name]) for name in schemes)
claim(apart < 0.3, "each mean there tells the story of the opening's bar: all, half, or none")
claim(
    late["sinusoidal"][-1] < late["rotary"][0], "the best sinusoidal seed is below all rotary"
)
claim(long["relative"][0] > 0.98, "in sequences of 64, relative positions find over 98 %")
claim(long["rotary"][0] > 0.75, "rotary ones over 75 %")
claim(long["sinusoidal"][-1] < 0.6, "and sinusoidal ones under 60 %")
found = long["learned"]
claim(0.2 < found[0] and found[-1] < 0.32, "learned ones 20 to 32 %; 15 of 63 are 24 %")

# %% [markdown]
# **What you should see.** The curve of *learned* falls along a straight line until its last trained row
# is passed, and then stays at or a little below 1/15. *Sinusoidal* falls too, and then wavers. *Relative* and
# *rotary* do not notice the start, since it is not in their formula. To see **why**, look at whom the tokens read:
# below are the attention maps of all four for one sequence that begins at 32.


# %% jupyter={"source_hidden": true}
@torch.no_grad()
def read(name, tokens, start):
    """The attention weights of the network with seed 2, b i j."""
    network = reader(name, 2, 1)
    where = start + torch.arange(tokens.shape[-1])
    x = network.symbol(tokens)
    x = x if network.places is None else x + network.places(where)
    q, k, _ = rearrange(network.qkv(x), "b n (part d) -> part b n d", part=3)
    if name == "relative":
        return network.part.attention(q, k)
    one = torch.eye(len(where)).expand(len(q), -1, -1)  # each value tells its own place
    return network.attend(q, k, one, where)


# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
torch.manual_seed(5)
sixteen, long_ones = rows_of_symbols(100, 16), rows_of_symbols(100, 64)
fig, axs = plt.subplots(1, 4, figsize=(6.4, 2.2), sharey=True)
for ax, name in zip(axs, FIRST_PAGE, strict=True):
    plots.heat(ax, read(name, sixteen, 32)[0], "", "", name, 0, 1, bar=False)
    ax.plot(range(15), range(1, 16), ".", color="red", ms=2.5)
    ax.set(xlabel="key", xticks=range(0, 16, 5), yticks=range(0, 16, 5))
axs[0].set_ylabel("query, from 32 on")
fig.colorbar(axs[3].images[0], ax=axs, label="weight", shrink=0.75)
plots.show(
    fig,
    "Four maps of 16 queries and keys with a red dot at each left neighbour. Relative and rotary: the"
    " weight lies under the dots. Sinusoidal: it lies under some of them. Learned: it is spread over all keys.",
)

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
target = torch.arange(63)
print("share of the tokens whose largest weight is at the left neighbour, from 32 on")
for name in FIRST_PAGE:
    best = read(name, sixteen, 32)[:, 1:].argmax(-1)
    print(f"  {name:10} {(best == target[:15]).float().mean():.2f}")
best = read("rotary", long_ones, 0)[:, 1:].argmax(-1)
wrong = best != target
far = (best - target - 1).abs() >= 16
print(f"rotary in sequences of 64: {wrong.float().mean():.3f} read a wrong key,", end=" ")
print(f"{(far & wrong).sum() / wrong.sum():.0%} of them one that is 16 or more steps away")
claim((far & wrong).sum() > 0.9 * wrong.sum(), "rotary: over 90 % of the wrong keys are far")

# %% [markdown]
# **What you should see.** Red dots mark the left neighbours. *Relative* and *rotary* look there. *Learned* spreads
# its weight over all keys, because the rows of its table are still noise. *Sinusoidal* looks there at some positions and elsewhere at
# others: its queries and keys were only ever asked to agree at positions 0 to 15, and many matrices other than the
# rotation achieve that.

# %% [markdown]
# Length, in the right panel of the curves, is another matter. *Relative* is clipped: what is farther than 4 looks like
# 4, and 4 was trained. For *rotary*, distances from 16 on are new, nothing has taught their scores to be low, and the
# last line above says what happens: where it is wrong, a far key has won.

# %% [markdown]
# Language models with rotary positions meet this when they are to read longer texts.
# [Position interpolation](https://arxiv.org/abs/2306.15595) (Chen et al. 2023) divides all positions by a
# factor, so that a text twice as long lies within the trained range, and trains on for a short while.
# [YaRN](https://arxiv.org/abs/2309.00071) (2023) divides mainly those of the slow pairs.

# %% [markdown]
# ### Ablation: is it the encoding, or the training? (may be skipped at first reading)
#
# Train the two absolute schemes again, on sequences of 16 as before, but let each batch begin
# anywhere from 0 to 48.

# %% tags=["nbval-ignore-output"]
for name in ("sinusoidal", "learned"):
    for where in ({"start": 32}, {"length": 64}):
        found = spread(name, starts=49, **where)
        print(f"{name:10} {where!s:15} {found[0]:.3f} … {found[-1]:.3f}")

# %% jupyter={"source_hidden": true}
for name in ("sinusoidal", "learned"):
    late, long = (spread(name, starts=49, **where) for where in ({"start": 32}, {"length": 64}))
    claim(late[0] > 0.85, f"{name}: over 85 % after a later start")
    better = long[0] > spread(name, length=64)[-1]
    claim(better, f"{name}: in sequences of 64, every seed is better than before")

# %% [markdown]
# **What you should see.** Both now read sequences that begin later. In longer ones they are better, not perfect: all
# positions are trained, but never more than 16 keys at once. Absolute positions *can* say where a
# neighbour is, if training has been everywhere. Relative ones need to learn it at one place only, and it
# holds at all others. This is what is meant by **building a symmetry in**.

# %% [markdown]
# ## 3.8 Images: rows and columns
#
# One could number the patches of a photograph in reading order. But then the patch below the marked one
# would be 18 steps away, and the one beside it a single step. Patches have two positions. A sinusoidal
# encoding therefore gives half of the features to the row and half to the column.

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(2, 1, figsize=(6.4, 4.4), height_ratios=(5, 1))
plots.image(axs[0], photograph("china"), "12 x 18 patches of 8 x 8 pixels; one is marked")
for line in range(8, 144, 8):
    axs[0].axvline(line - 0.5, color="white", lw=0.4)
for line in range(8, 96, 8):
    axs[0].axhline(line - 0.5, color="white", lw=0.4)
axs[0].add_patch(plt.Rectangle((39.5, 23.5), 8, 8, fc="none", ec="red", lw=1.8))
halves = torch.cat([sinusoidal(steps[3:4], 32), sinusoidal(steps[5:6], 32)], -1)
title = "Its position: the first 32 numbers say row 3, the other 32 say column 5"
plots.signed(axs[1], halves, "feature", "", title, limit=1, bar=False)
axs[1].axvline(31.5, color=diagrams.INK, lw=2)
axs[1].set(yticks=[], xticks=(0, 16, 32, 48, 63), aspect="auto")
fig.colorbar(axs[1].images[0], ax=axs[1], label="value", ticks=(-1, 0, 1))
plots.show(
    fig,
    "A temple with a grid of 12 by 18 patches, of which the one in row 3 and column 5 is marked. Below it"
    " its 64 numbers in red and blue: the first half fast waves at 3, the second half the same at 5.",
)

# %% [markdown]
# **Predict.** Take the inner products of the marked patch's position with all others. Which patches are
# most like it: those in a disc around it, or which?
#
# <details><summary>Answer</summary>
#
# The product is a sum of two products as in section 3.2, one of rows and one of columns:
# $\sum_f \cos(\Delta_\text{row}\,\omega_f) + \sum_f \cos(\Delta_\text{column}\,\omega_f)$. Each is large where its own distance
# is small, so that the patches of the same row *or* the same column stand out: a cross.
#
# </details>

# %% [markdown]
# ### Exercise: `sinusoidal_2d`
#
# Raise a `ValueError` for an odd `dim`.
#
# | | axes | what it is |
# |---|---|---|
# | `rows`, `columns` | `h`, `w` | positions |
# | `sinusoidal_2d(rows, columns, dim)` | `h w dim` | the row in the first half, the column in the second |

# %% exercise="positional.sinusoidal_2d"

# %%
check("positional.sinusoidal_2d", sinusoidal_2d)

# %% [markdown]
# Stuck? `hint("positional.sinusoidal_2d")`. To read on without solving it:
# `from solutions.positional import sinusoidal_2d`.


# %%
def like_the_marked(table):
    """Inner products of the position of row 3 and column 5 with all others."""
    return einsum(table[3, 5], table, "d, h w d -> h w") / 32


alike = like_the_marked(sinusoidal_2d(steps[:12], steps[:18], 64))
flat = rearrange(sinusoidal(torch.arange(216.0), 64), "(h w) d -> h w d", h=12)
reading = like_the_marked(flat)
print(f"beside {alike[3, 6]:.2f}, below {alike[4, 5]:.2f}", end="; ")
print(f"in reading order: beside {reading[3, 6]:.2f}, below {reading[4, 5]:.2f}")
apart = (alike[4, 5] - alike[3, 6]).abs()
claim(apart < 1e-4, "row and column: the patch below is as near as the one beside it")
claim(reading[4, 5] < reading[3, 6] - 0.2, "in reading order the patch below is less alike")

# %% jupyter={"source_hidden": true}
grids = like_the_marked(sinusoidal_2d(steps[:12], steps[:18], 64)), reading
titles = "Row and column: a cross", "Reading order: a band along row 3"
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4), sharey=True)
for ax, grid, title in zip(axs, grids, titles, strict=True):
    row = "row" if ax is axs[0] else ""
    plots.heat(ax, grid, "column", row, title, reading.min().item(), 1, bar=False)
    ax.add_patch(plt.Rectangle((4.5, 2.5), 1, 1, fill=False, lw=1.8, ec="red"))
fig.colorbar(axs[1].images[0], ax=axs, label="inner product / 32")
plots.show(
    fig,
    "Two maps of 12 by 18 patches, the one in row 3 and column 5 framed. Left, a bright cross through it;"
    " right, a bright band along row 3 and paler ones in the rows beside it.",
)

# %% [markdown]
# **What you should see.** On the left the patch below is as close as the one beside it. On the right the
# patches are numbered in reading order, and the one below is 18 steps away. If you see a single stripe on
# the left, one half does not know its axis. Which half comes first is a convention: it is the row in
# [DETR](https://arxiv.org/abs/2005.12872), and the column in the code of the
# [masked autoencoder](https://arxiv.org/abs/2111.06377).

# %% [markdown]
# Now let the patches attend to each other by these positions alone. Move over the photograph and compare:
# where does the map on the right ignore the patch below? (Everywhere: it is 18 steps away. And at the left edge the
# band goes on at the right end of the row above.)

# %%
photo = photograph("china")  # danielbuechele, CC BY 2.0
both = rearrange(sinusoidal_2d(steps[:12], steps[:18], 64), "h w d -> (h w) d")
order = sinusoidal(torch.arange(216.0), 64)
maps = {"row and column": both, "reading order": order}
maps = {name: attention_weights(x, x) for name, x in maps.items()}
explore(photo, maps, queries=(12, 18), keys=(12, 18), query=(3, 5), name="positions")

# %% [markdown]
# ## 3.9 CoordConv: where am I?
#
# A convolution has the opposite trouble: it knows its neighbours and not its place. If the input moves,
# the output moves with it, and once it is pooled over the image it is the same for every place.
# [Liu et al. 2018](https://arxiv.org/abs/1807.03247) called this "an intriguing failing". Their remedy is
# blunt: the coordinates become input channels.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 7.8)
down, across = np.mgrid[0:1:5j, 0:1:7j]
far = np.hypot(2 * across - 1, 2 * down - 1) / 1.45
x = diagrams.tensor(ax, 0.8, 4.2, (0.9, 1.5, 2.1), "c h w", "x", [DATA] * 3)
for left, grid, name in ((0.4, across, "across"), (3.2, down, "down"), (6.0, far, "radius")):
    diagrams.matrix(ax, left, 0.3, grid, "", name, colour="#555555", side=0.3)
stack = [DATA] * 3 + ["#999999"] * 3
both = diagrams.tensor(ax, 6.0, 3.9, (1.5, 1.5, 2.1), "c+3 h w", "stacked", stack)
conv = diagrams.layer(ax, 10.1, 4.6, "convolution", 2.15, 0.8)
out = diagrams.tensor(ax, 13.1, 4.2, (0.6, 1.5, 2.1), "e h w", "y", [DATA] * 4)
diagrams.arrow(ax, (4.0, 5.0), (5.5, 5.0))
for left in (1.45, 4.25, 7.05):
    ax.plot([left, left], [2.3, 2.75], color=diagrams.INK, lw=1.2)
diagrams.arrow(ax, (1.45, 2.75), (7.05, 2.75), (7.05, 3.45))
diagrams.arrow(ax, (9.45, 5.0), conv.left)
diagrams.arrow(ax, conv.right, (12.72, 5.0))
plots.show(
    fig,
    "A stack x of c maps and three further maps, whose grey rises from left to right, from top to bottom,"
    " and from the middle outwards, are put into one stack of c + 3 maps; a convolution makes y of it.",
)

# %% jupyter={"source_hidden": true}
image, where = dots(9, 13)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.9))
for ax, b in zip(axs, (16, 60, 115), strict=True):
    across, down = where[b].tolist()
    plots.image(ax, image[b, 0], f"across {across:.2f}, down {down:.2f}")
    for line in range(1, 13):
        ax.axvline(line - 0.5, color="#666666", lw=0.4)
        if line < 9:
            ax.axhline(line - 0.5, color="#666666", lw=0.4)
plots.show(fig, "Three black images with one white pixel each, and its two coordinates above.")

# %% [markdown]
# In the task one pixel of 9 x 13 is bright, and a network is to say where. It consists of a 1 x 1
# convolution and the maximum of each channel over the image. (The window is 1 x 1 so that the best that is possible
# without coordinates can be derived; a wider one sees the border.) The task stands for every question about
# *where*: the corner of a box, the gaze of an eye, the tip of a finger.

# %% [markdown]
# Each pixel gets two coordinates, or three:
#
# $$
# \text{across} = \frac{2\,\text{column}}{w - 1} - 1 \qquad
# \text{down} = \frac{2\,\text{row}}{h - 1} - 1 \qquad
# \text{radius} = \sqrt{\text{across}^2 + \text{down}^2}
# $$
#
# (Liu et al. 2018, section 3, with the radius made of the scaled coordinates.) Rows and columns count from 0; there are $h$ rows and $w$ columns. On an
# axis of one pixel the coordinate is 0.

# %% [markdown]
# **Predict.** What is the network's mean squared error for *across*, if the convolution sees no
# coordinates? (The variance of $m$ equally spaced values from -1 to 1 is $(m + 1) / (3 (m - 1))$.)
#
# <details><summary>Answer</summary>
#
# All images hold the same pixels in another order, so that all outputs are equal. The best constant is
# the mean, 0, and the error is the variance: $14/36$ for the 13 columns, and $10/24$ for the 9 rows.
#
# </details>

# %% [markdown]
# ### Why coordinates and a maximum are enough
#
# Suppose one channel of the convolution gives ten times the brightness plus the coordinate across. At
# the dark pixels it gives at most 1, and at the bright one 10 and its coordinate. So the bright pixel
# wins the maximum, and its coordinate passes. Another channel does the same for *down*, and the final
# linear layer takes the 10 away. The next cell does this by hand, for every place of the dot.

# %%
images, where = dots(9, 13)
across = torch.linspace(-1, 1, 13)  # the same in every row
largest = (10 * images[:, 0] + across).amax((1, 2))
apart = (largest - 10 - where[:, 0]).abs().max()
claim(apart < 1e-5, "the maximum, less 10, is the column's coordinate for all 117 dots")

# %% [markdown]
# ### Exercise: `CoordConv2d`
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `b c h w` | an image |
# | `coordinates(x)` | `b xyr h w` | two or three maps, whose axis is called `xyr`: across, down and, with `radius`, the radius |
# | `forward(x)` | `b e h w` | the convolution of both, the image first |

# %% exercise="positional.coord_conv"

# %%
check("positional.coord_conv", CoordConv2d)

# %% [markdown]
# Stuck? `hint("positional.coord_conv")`. To read on without solving it:
# `from solutions.positional import CoordConv2d`.

# %%
photo = rearrange(photograph("china"), "h w c -> 1 c h w")
maps = CoordConv2d(3, 8, 3, radius=True).coordinates(photo)[0]
print("corner", *(round(x, 3) for x in maps[:, 0, 0].tolist()))

# %% jupyter={"source_hidden": true}
maps = CoordConv2d(3, 8, 3, radius=True).coordinates(photo)[0]
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.9))
names = "across", "down", "radius"
for ax, grid, name in zip(axs, maps, names, strict=True):
    plots.signed(ax, grid, "column", "row", name, limit=1.5, bar=False)
    ax.label_outer()
    ax.set(xticks=(0, 72, 143), yticks=(0, 48, 95))
fig.colorbar(axs[0].images[0], ax=axs, label="coordinate", ticks=(-1, 0, 1))
plots.show(fig, "Blue to red from left to right; from top to bottom; from the middle outwards.")

# %% [markdown]
# **What you should see.** The corner lies at -1, -1, and $\sqrt 2 = 1.414$ from the middle. If the map
# across or the map down leaves the range from -1 to 1 on this wide picture, you scaled the columns by the height. The authors'
# own code does, and square images never show it
# ([uber-research/CoordConv #6](https://github.com/uber-research/CoordConv/pull/6)). If the radius is 0
# somewhere else than in the middle, you subtract another 0.5, as in
# [mkocabas/CoordConv-pytorch #13](https://github.com/mkocabas/CoordConv-pytorch/issues/13).


# %%
@cache
def finder(coordinates, seed):
    """A network that was taught to say where the dot is, with or without coordinates."""
    layer = (lambda: CoordConv2d(1, 32, 1)) if coordinates else (lambda: nn.Conv2d(1, 32, 1))
    return train_finder(layer, seed)


def error(coordinates, seed):
    """The mean squared error for column and row."""
    images, where = dots(9, 13)
    return (finder(coordinates, seed)(images) - where).square().mean(0).detach()


# %% tags=["nbval-ignore-output"]
print(f"predicted without coordinates: column {14 / 36:.3f}   row {10 / 24:.3f}")
for seed in range(2):
    for coordinates in (False, True):
        column, row = error(coordinates, seed)
        print(f"coordinates: {coordinates!s:5}   column {column:.4f}   row {row:.4f}")

# %%
ceiling = torch.tensor([14 / 36, 10 / 24])
blind = torch.stack([error(False, seed) for seed in range(2)])
claim((blind - ceiling).abs().max() < 0.02, "without coordinates, the variance is left")
seeing = torch.stack([error(True, seed) for seed in range(2)])
claim(seeing.max() < 0.01, "with coordinates the error is below 0.01")

# %% [markdown]
# **What you should see.** Without coordinates the errors are 0.389 and 0.417, as derived, and with them
# almost 0: the network has found what the cell above does by hand, or something as good. Deep stacks of wider
# convolutions do learn where they are, from the zeros that are padded around the image
# ([Islam, Jia and Bruce 2020](https://arxiv.org/abs/2001.08248)).

# %% [markdown]
# ## What you have learnt
#
# The opening asked why four networks that had learned the same task fared so differently when the sequences
# began at 32. **Relative** and **rotary** positions did not notice, because positions enter their scores only as
# $j - i$. **Sinusoidal** ones stumbled: a shift is a rotation of them, but nothing in the training made the
# network use that. **Learned** ones failed, because no gradient ever reached the rows of their table from 16 on.
#
# | scheme | where it enters | weights | does it work after a later start? | in longer sequences? |
# |---|---|---|---|---|
# | sinusoidal | tokens | none | only if trained there | partly, if trained there |
# | learned | tokens | length · d | only if trained there | partly, if its rows were trained; beyond the table, only interpolated |
# | relative (Shaw) | scores and values | (2 clip + 1)(d + e) | yes: only distance enters | yes: distances beyond clip count as clip |
# | rotary | queries and keys | none | yes: only distance enters | partly: long distances are new |
# | CoordConv | input channels | 2 or 3 more channels per filter | (does not apply) | yes: coordinates stay within -1 to 1 |

# %% [markdown]
# ## Explain it to somebody
#
# <details><summary>1. Why does attention need positions, and a convolution not?</summary>
#
# Attention compares all pairs and averages; shuffled tokens give shuffled outputs. A convolution's
# weights belong to places in its window, so that it knows what lies on which side.
#
# </details>
#
# <details><summary>2. What do the stripes of section 3.2 show?</summary>
#
# The inner product of two sinusoidal positions depends on their distance alone. That does not mean that
# a network which adds them learns to use it.
#
# </details>

# %% [markdown]
# <details><summary>3. Why is a rotary score relative, though each token turns by its own position?</summary>
#
# Query and key turn by $i\,\omega_f$ and $j\,\omega_f$, and an inner product sees only the angle between
# them, which has changed by $(j - i)\,\omega_f$.
#
# </details>

# %% [markdown]
# <details><summary>4. What does skewing save, and how?</summary>
#
# It never makes a vector for each pair. It computes one number for each query and distance, and moves
# them to their keys by a column of zeros and another way of cutting.
#
# </details>
#
# <details><summary>5. A model was trained on images of 224 pixels and gets 448. What happens to its
# positions?</summary>
#
# Learned ones are missing and are interpolated. Sinusoidal ones are there, but the network was not taught to read
# them. Clipped relative ones count all that is far as clip. Rotary ones meet distances that they have not seen; these
# can be scaled down. Coordinates from -1 to 1 only become denser.
#
# </details>

# %% [markdown]
# ## Who found what
#
# | year | what | paper | what came out |
# |---|---|---|---|
# | 2017 | **sinusoidal** positions are added to the tokens | [Vaswani et al.](https://arxiv.org/abs/1706.03762), section 3.5 | learned ones do as well: 25.7 BLEU beside 25.8 (Table 3) |
# | 2018 | **relative** positions: the score knows the distance | [Shaw, Uszkoreit, Vaswani](https://arxiv.org/abs/1803.02155) | English to German: 26.5 → 26.8 BLEU (base), 27.9 → 29.2 (big; Table 1) |
# | 2018 | the same for long music, by **skewing** | [Huang et al.](https://arxiv.org/abs/1809.04281) | memory beside the map from $n^2 d$ to $n d$ |
# | 2018 | **CoordConv**: coordinates for convolutions | [Liu et al.](https://arxiv.org/abs/1807.03247) | learns to turn coordinates into a pixel 150 times faster than a plain convolution (abstract) |
# | 2021 | **rotary** positions (RoPE): queries and keys are turned | [Su et al.](https://arxiv.org/abs/2104.09864) | the usual choice in language models today |

# %% [markdown]
# ## What came after
#
# - [T5's bias](https://arxiv.org/abs/1910.10683) (2019) and
#   [ALiBi](https://arxiv.org/abs/2108.12409) (2021): one number for each distance (section 3.4).
# - [Conditional positions](https://arxiv.org/abs/2102.10882) (CPVT, 2021): a small convolution makes the
#   positions from the image itself.
# - [xPos](https://arxiv.org/abs/2212.10554) (2022): rotary positions whose scores also shrink with
#   distance.
# - [No positions at all](https://arxiv.org/abs/2203.16634) (Haviv et al. 2022): a causal mask gives away a
#   little of the order by itself, since the first token sees one key and the tenth sees ten.
# - [Rotary positions for vision](https://arxiv.org/abs/2403.13298) (2024): how best to turn in two
#   dimensions.
#
# Chapter 04 builds the Transformer with sinusoidal positions, as in 2017. Chapter 08 carries the relative
# ones over to two dimensions, where a picture may be moved in two ways.

# %% [markdown]
# ## References
#
# - Vaswani et al.: Attention Is All You Need. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
# - Shaw, Uszkoreit, Vaswani: Self-Attention with Relative Position Representations. NAACL 2018.
#   <https://arxiv.org/abs/1803.02155>
# - Huang et al.: Music Transformer. ICLR 2019. <https://arxiv.org/abs/1809.04281>
# - Liu et al.: An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution. NeurIPS
#   2018. <https://arxiv.org/abs/1807.03247>
# - Su et al.: RoFormer. 2021. <https://arxiv.org/abs/2104.09864>
# - Press, Smith, Lewis: Train Short, Test Long. ICLR 2022. <https://arxiv.org/abs/2108.12409>
