# %% [markdown]
# # 3 · Positions
#
# You will find that attention cannot tell left from right, and write six remedies: sinusoidal,
# learned, relative and rotary positions, the skewing trick, and coordinates for convolutions. Then
# you see who still finds a neighbour in a longer row. **120 min · CPU is enough**

# %%
import math
from functools import cache

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint
from attncourse.book import claim, plots
from attncourse.papers import counting
from attncourse.tasks.pictures import photograph
from attncourse.tasks.order import Reader, accuracy, dots, train_finder, train_reader
from solutions.positional import masked_softmax
from solutions.scaled_dot_product import attention_weights, scaled_dot_product_attention

torch.manual_seed(0)
places = torch.arange(64.0)

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` | examples in a batch |
# | `n` | tokens of a sequence; $p$ is the position of one |
# | `i`, `j` | queries, keys |
# | `d`, `e` | features of a query or key, of a value |
# | `r` | rows of a table with one vector for each distance |
# | `h` `w` `c` | height and width in pixels, channels |

# %% [markdown]
# ## 3.1 Attention takes its tokens for a heap
#
# Look at self-attention on eight random tokens, and on the same tokens shuffled. Is anything in
# the right map that was not in the left one?

# %%
torch.manual_seed(0)
x, order = torch.randn(8, 6), torch.randperm(8)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6))
plots.heat(axs[0], attention_weights(x, x), "key j", "query i", "Eight tokens", bar=False)
shuffled = attention_weights(x[order], x[order])
plots.heat(axs[1], shuffled, "key j", "query i", "Shuffled: the same numbers")
for ax, names in zip(axs, (range(8), order.tolist()), strict=True):
    ax.set(xticks=range(8), yticks=range(8), xticklabels=names, yticklabels=names)
plots.show(fig, "Two maps of eight by eight; in the right one rows and columns change places.")

# %% [markdown]
# **Predict.** Shuffle the tokens, attend, undo the shuffling. How far is the result from
# attending at once?
#
# <details><summary>Answer</summary>
#
# 0 up to rounding. Let $P$ reorder rows. The scores become $P q k^\top P^\top$: rows and columns
# move. A softmax over a row does not care for the order in it. Then $P^\top$ meets $P v$, and
# $P^\top P = 1$.
#
# </details>
#
# $$
# \operatorname{softmax}\!\Bigl(\tfrac{P q\,(P k)^\top}{\sqrt d}\Bigr) P v
# = P \operatorname{softmax}\!\Bigl(\tfrac{q k^\top}{\sqrt d}\Bigr) v
# $$
#
# One says: self-attention is permutation *equivariant*.

# %%
torch.manual_seed(0)
x, order = torch.randn(8, 6), torch.randperm(8)
at_once = scaled_dot_product_attention(x, x, x)
mixed = x[order]
detour = scaled_dot_product_attention(mixed, mixed, mixed)[order.argsort()]
claim((detour - at_once).abs().max() < 1e-6, "shuffling and undoing it changes nothing")

# %% [markdown]
# ### A task in which order matters
#
# Sixteen different symbols in random order. Every token must name its left neighbour.
#
# **Predict.** What is the best share of right answers for a network of embedding, attention and
# readout, without positions?
#
# <details><summary>Answer</summary>
#
# Fix the symbols and shuffle them in all ways. The token with symbol $s$ always gives the same
# answer $g(s)$: it moves along. Its true left neighbour is each of the 15 others equally often. So
# $g(s)$ is right in 1 of 15 rows: 0.0667, whatever the weights.
#
# </details>

# %% tags=["nbval-ignore-output"]
blind = train_reader(Reader, seed=0)
found = accuracy(blind, examples=1000)
print(f"without positions {found:.3f}")
print(f"the ceiling       {1 / 15:.3f}")
claim(found < 0.08, "without positions, one in fifteen, give or take the rows drawn")

# %% [markdown]
# **What you should see.** The ceiling, after 600 steps as after 6000. What is missing is no
# training: the order is not in what the network sees. So it has to be put there. Two ways are
# common: **add** a vector to each token that says where it is, or let the **score** of a pair know
# the distance.

# %% [markdown]
# ## 3.2 Sinusoidal positions
#
# A clock tells time by hands of different speed: one alone comes round too soon, together they
# are unique for long. Look at four hands, sine only.

# %%
fig, ax = plt.subplots(figsize=(6.2, 2.1))
hands = {f"pair {i}": (places * 10000 ** (-2 * i / 8)).sin() for i in range(4)}
plots.lines(ax, places, hands, "position p", "sine", "Each pair is ten times slower (d = 8)")
ax.legend(ncols=4, loc="lower center")
ax.set(ylim=(-1.9, 1.1))
plots.show(
    fig, "Four sine curves: one swings fast, the next ten times slower, the last hardly."
)

# %% [markdown]
# $$
# P_{p,\,2i} = \sin(p\,\omega_i) \qquad P_{p,\,2i+1} = \cos(p\,\omega_i) \qquad
# \omega_i = 10000^{-2i/d}
# $$
#
# (Vaswani et al. 2017, section 3.5.) With an odd $d$ the last sine has no cosine.
#
# | | axes | what it is |
# |---|---|---|
# | `positions` | `n` | 0, 1, 2, …, or any other numbers |
# | `sinusoidal(positions, dim)` | `n dim` | a row for each position |
#
# **Predict.** How long is each row, squared, for $d = 32$?
#
# <details><summary>Answer</summary>
#
# $\sin^2 + \cos^2 = 1$ for each of the 16 pairs: $d / 2 = 16$, for every position.
#
# </details>

# %% [markdown]
# ### Exercise: `sinusoidal`
#
# Angles first, `n pair`. Then sine and cosine in turn: that is a `rearrange` of the two.

# %% exercise="positional.sinusoidal"

# %%
check("positional.sinusoidal", sinusoidal)

# %% [markdown]
# Stuck? `hint("positional.sinusoidal")` gives one hint at a time. To read on without solving it:
# `from solutions.positional import sinusoidal`.

# %%
table = sinusoidal(places, 32)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
title = "A row for each position"
plots.signed(axs[0], table[:32], "feature", "position", title, limit=1)
title = "All inner products: stripes"
plots.heat(axs[1], table @ table.T, "position", "position", title, high=20)
plots.show(fig, "Left, waves that slow down to the right. Right, diagonal stripes.")

# %%
table = sinusoidal(places, 32)
norms, gram = table.square().sum(-1), table @ table.T
print("squared length of row 0 and of row 63:", norms[0].item(), round(norms[63].item(), 3))
claim((norms - 16).abs().max() < 1e-4, "every row has the squared length d / 2 = 16")
claim((gram[1:, 1:] - gram[:-1, :-1]).abs().max() < 1e-3, "each diagonal holds one number")

# %% [markdown]
# **What you should see.** Stripes: the product of two rows depends on their distance alone,
# since $\sin a \sin b + \cos a \cos b = \cos(a - b)$:
#
# $$ P_p \cdot P_{q} = \sum_i \cos\bigl((p - q)\,\omega_i\bigr) $$
#
# Such a matrix is called Toeplitz. If yours has a chequered or fading pattern, sine and cosine of
# a pair do not share their frequency: the commonest mistake in this formula.

# %% [markdown]
# ### A shift is a rotation
#
# Go $k$ steps on: every pair turns by the angle $k\,\omega_i$, wherever it is. So one fixed matrix
# takes row $p$ to row $p + k$, for all $p$. The paper hoped that this lets a network learn to
# attend by distance. Section 3.7 tests the hope.

# %%
table = sinusoidal(places, 32)
angle = 5 * 10000 ** (-torch.arange(0, 32, 2) / 32)
sin, cos = table[:, 0::2], table[:, 1::2]
later = [sin * angle.cos() + cos * angle.sin(), cos * angle.cos() - sin * angle.sin()]
later = rearrange(later, "wave n pair -> n (pair wave)")
claim((later[:-5] - table[5:]).abs().max() < 1e-4, "five steps turn row p into row p + 5")

# %% [markdown]
# ### Ablation: the commonest mistake
#
# Let $i$ count features instead of pairs, so that sine and cosine have frequencies of their own.


# %%
def unpaired(positions, dim):
    """The exponent of every feature is its own."""
    angles = positions[:, None] * 10000 ** (-2 * torch.arange(dim) / dim)
    return torch.where(torch.arange(dim) % 2 == 0, angles.sin(), angles.cos())


table = unpaired(places, 32)
fig, ax = plt.subplots(figsize=(3.6, 2.8))
plots.heat(ax, table @ table.T, "position", "position", "Unpaired: no stripes", high=20)
plots.show(fig, "Inner products whose diagonals vary: a chequered matrix, no even stripes.")
check("positional.sinusoidal", unpaired)

# %% [markdown]
# **What you should see.** No stripes: how alike two positions are now depends on where they are.
# The shape is right, training still works somehow, and nothing crashes. A person found this
# one in the wild only by drawing the very figure above.

# %% [markdown]
# ## 3.3 Learned positions
#
# Instead of a formula, a table: row $p$ is a parameter, and descent decides what it says.
#
# $$ y_n = x_n + T_n $$
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `b n dim` | tokens |
# | $T$ | `length dim` | the table, `length` at least `n` |
#
# **Predict.** A table of length 64 is trained on rows of 16 tokens only. What do rows 16 to 63
# hold afterwards?
#
# <details><summary>Answer</summary>
#
# What they held before. No gradient ever reached them: they are still the random numbers of the
# start.
#
# </details>

# %% [markdown]
# ### Exercise: `LearnedPositions`
#
# A `ValueError` with both numbers where there are more tokens than rows.

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
# **What you should see.** 16 of 64, the first ones. If it is 2, your table runs along the batch.
# A learned table knows nothing of a place it has not seen, and nothing ties row 7 to row 8.

# %% [markdown]
# ## 3.4 Relative positions: the score knows the distance
#
# A neighbour is a neighbour at position 3 and at 300. So give the *pair* a vector that depends on
# $j - i$. Far is far: from `clip` on, all distances share one. That makes $2\,\text{clip} + 1$
# vectors. Here is which one each pair gets, for clip = 2:

# %%
drawn = "234444444 123444444 012344444 001234444 000123444 000012344 000001234"
rows = [[int(cell) for cell in line] for line in drawn.split()]
fig, ax = plt.subplots(figsize=(4.4, 2.7))
title = "Row of the table for each pair (clip = 2)"
plots.heat(ax, torch.tensor(rows), "key j", "query i", title, low=0, high=4, bar=False)
for i, j in [(i, j) for i in range(7) for j in range(9)]:
    ax.text(j, i, rows[i][j], ha="center", va="center", color="wk"[rows[i][j] > 2])
plots.show(fig, "Seven by nine cells. Stripes along the diagonals from row 0 to row 4.")

# %% [markdown]
# **Predict.** Which row belongs to a token and itself, which to its left neighbour? Which rows
# does a sequence of 1000 tokens use?
#
# <details><summary>Answer</summary>
#
# $0 + 2 = 2$ and $-1 + 2 = 1$. The same five as a sequence of ten.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `relative_index(queries, keys, clip)` | `i j` | whole numbers from 0 to 2 clip |

# %% [markdown]
# ### Exercise: `relative_index`

# %% exercise="positional.relative_index"

# %%
check("positional.relative_index", relative_index)

# %% [markdown]
# Stuck? `hint("positional.relative_index")`. To read on without solving it:
# `from solutions.positional import relative_index`.

# %% [markdown]
# ### The formulas
#
# Keys and values each get a table (Shaw, Uszkoreit and Vaswani 2018, equations 3 to 5):
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
# | $a^K$, $a^V$ | `r d`, `r e` | r = 2 clip + 1, shared by all heads |
# | mask | `i j` or with axes in front | True where a query may attend |

# %% [markdown]
# **Predict.** With clip = 0 there is one vector for all distances. What does $a^K$ do to the map
# then?
#
# <details><summary>Answer</summary>
#
# Nothing. It adds $q_i \cdot a$ to all scores of row $i$, and a softmax does not see what is the
# same for all keys.
#
# </details>
#
# Do not build $k_j + a_{j-i}$ for every example: that takes `b i j d` numbers. Multiply out. The
# second product, $q_i \cdot a_{j-i}$, needs the gathered table `i j d` once.

# %% [markdown]
# ### Exercise: `RelativeAttention`
#
# `self.index(q, k)` gives the row for each pair. `masked_softmax(scores, mask)` is what you wrote
# in chapter 1: shares over the keys that may be attended to, and 0 for a query that has none.

# %% exercise="positional.relative_attention"

# %%
check("positional.relative_attention", RelativeAttention)

# %% [markdown]
# Stuck? `hint("positional.relative_attention")`. To read on without solving it:
# `from solutions.positional import RelativeAttention`.

# %%
torch.manual_seed(0)
layer, x = RelativeAttention(8, 8, clip=3), torch.randn(12, 8)
with torch.no_grad():
    layer.keys *= 3  # to see more
    map_ = layer.attention(x[:1].expand(12, 8), x[:1].expand(12, 8))
fig, ax = plt.subplots(figsize=(3.8, 2.8))
title = "Twelve equal tokens: only distance counts"
plots.heat(ax, map_, "key j", "query i", title, high=map_.max().item())
plots.show(fig, "A map of twelve by twelve whose pattern moves along the diagonal.")

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
# **What you should see.** In the figure every row shows the same pattern, moved by one; only the
# edges cut it off, and beyond three steps all keys are alike. With tables of zeros, plain
# attention is left. If the pattern runs the other way, you count $i - j$.

# %% [markdown]
# ## 3.5 Skewing: the same without the large tensor
#
# For long sequences `i j d` is too much: 2048 tokens and 64 features make 268 million numbers. But
# $q_i \cdot a_r$ for all rows of the table is only `i r`. The numbers are there, each in the wrong
# column. Music Transformer (Huang et al. 2018, section 3.4) moves them for causal attention, where
# $j \le i$.

# %%
distance = repeat(torch.arange(-4, 1), "r -> i r", i=5)
wanted = [[0] * 5, [-1] + [0] * 4, [-2, -1, 0, 0, 0], [-3, -2, -1, 0, 0], [-4, -3, -2, -1, 0]]
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6))
plots.signed(axs[0], distance, "row r", "query i", "Have: a column a distance", 4, bar=False)
plots.signed(axs[1], torch.tensor(wanted), "key j", "query i", "Want: a column a key", 4)
plots.show(fig, "Left, columns from -4 to 0. Right, a triangle; row i has moved left by 4 - i.")

# %% [markdown]
# **Predict.** Column $r$ belongs to distance $r - (n - 1)$. By how much must row $i$ move so that
# the token itself stands in column $i$?
#
# <details><summary>Answer</summary>
#
# It stands in column $n - 1$, and moves left by $n - 1 - i$: the last row stays, the first moves by
# $n - 1$.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `… i r` | a number for each query and distance, r = i = n |
# | `skew(x)` | `… i j` | for each query and key; 0 where $j > i$ |
#
# The trick: put a column of zeros on the left and read the numbers, row by row, into rows of $n$.
# Each row then begins one later than the one above.

# %% [markdown]
# ### Exercise: `skew`
#
# `F.pad(x, (1, 0))`, two patterns with brackets, one row dropped, and `tril`. A `ValueError` where
# $x$ is not square.

# %% exercise="positional.skew"

# %%
check("positional.skew", skew)

# %% [markdown]
# Stuck? `hint("positional.skew")`. To read on without solving it:
# `from solutions.positional import skew`.

# %% [markdown]
# ### Exercise: `relative_logits`
#
# $s_{ij} = q_i \cdot E_{j-i}$ for $j \le i$. The last row of $E$ is for the token itself. This
# check also counts: the largest tensor that you make.
#
# | | axes | what it is |
# |---|---|---|
# | $q$ | `… i d` | queries |
# | $E$ | `i d` | a vector for each distance from $-(n-1)$ to 0 |

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
# **Predict.** The largest tensor of both ways for L = 256, d = 32.
#
# <details><summary>Answer</summary>
#
# Gathered: $L^2 d = 2097152$. Skewed: the padded product, $L (L + 1) = 65792$. The tables themselves
# are $L d = 8192$ either way.
#
# </details>

# %%
print("   L   gathered, L L d   skewed, L (L + 1)   ratio")
for length in (64, 128, 256):
    q, table = torch.randn(length, 32), torch.randn(length, 32)
    direct = counting.count(lambda q=q, t=table: gathered(q, t)).largest_tensor
    skewed = counting.count(lambda q=q, t=table: relative_logits(q, t)).largest_tensor
    print(f"{length:4}   {direct:15,}   {skewed:17,}   {direct / skewed:5.1f}")

# %% [markdown]
# **What you should see.** The ratio nears $d = 32$. The paper's table says the same: beyond the
# map itself, $L^2$ for any attention, relative positions take $O(L^2 d)$ gathered and $O(L d)$
# skewed. If your ratio is 1, something still makes a vector for every pair.

# %% [markdown]
# ## 3.6 Rotary positions: what is used today
#
# No table and nothing added: turn the queries and keys. Each pair of features is a point in a
# plane, and at position $p$ it turns by the angle $p\,\omega_i$. Look at one pair of a query that
# stays the same, at eight positions:

# %%
fig, ax = plt.subplots(figsize=(2.9, 2.7))
for p in range(8):
    tip = math.cos(0.4 * p), math.sin(0.4 * p)
    ax.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "->"})
    ax.text(1.2 * tip[0], 1.12 * tip[1], f"p = {p}", ha="center")
ax.set(
    xlim=(-1.4, 1.4), ylim=(-0.2, 1.3), aspect="equal", title="One pair, turned by 0.4 a step"
)
ax.set(xlabel="feature 2i", ylabel="feature 2i + 1", xticks=[], yticks=[])
plots.show(fig, "Eight arrows from the origin, fanned out from right to left over 160 degrees.")

# %% [markdown]
# **Predict.** Turn $q$ by $i\,\omega$ and $k$ by $j\,\omega$. What does their inner product depend
# on?
#
# <details><summary>Answer</summary>
#
# On the angle between them, which has changed by $(j - i)\,\omega$: on the distance, and on nothing
# else about the places. In matrices, $(R^i q) \cdot (R^j k) = q \cdot R^{\,j-i} k$.
#
# </details>
#
# $$
# (a, b) \to (a \cos p\,\omega_i - b \sin p\,\omega_i,\;\; a \sin p\,\omega_i + b \cos p\,\omega_i)
# \qquad \omega_i = 10000^{-2i/d}
# $$
#
# for each pair $(a, b)$ of features $(2i, 2i + 1)$ (Su et al. 2021, equations 15 and 34).

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | $x$ | `… n d` | queries or keys, `d` even |
# | `positions` | `n` | where each token stands |
# | `rotary(x, positions)` | `… n d` | as long as before, and turned |
#
# ### Exercise: `rotary`
#
# All sines and cosines you need are in `sinusoidal(positions, d)`. Where `x` is in half precision,
# angles must not be: make the positions at least float32 (`torch.promote_types`), and give the
# waves the dtype of `x`. A `ValueError` for an odd `d`.

# %% exercise="positional.rotary"

# %%
check("positional.rotary", rotary)

# %% [markdown]
# Stuck? `hint("positional.rotary")`. To read on without solving it:
# `from solutions.positional import rotary`.

# %% [markdown]
# ### Exercise: `rotary_attention`
#
# Queries, keys and values of the same tokens, and where these stand. Which of the three turn?

# %% exercise="positional.rotary_attention"

# %%
check("positional.rotary_attention", rotary_attention)

# %% [markdown]
# Stuck? `hint("positional.rotary_attention")`. To read on without solving it:
# `from solutions.positional import rotary_attention`.

# %%
torch.manual_seed(0)
q, k = torch.randn(64, 32), torch.randn(64, 32)
here = rotary(q, places) @ rotary(k, places).T
there = rotary(q, places + 100) @ rotary(k, places + 100).T
claim((here - there).abs().max() < 1e-3, "a hundred places further on, all scores are the same")
claim((here - q @ k.T).abs().max() > 1, "and they are not those without positions")

# %%
ones = torch.ones(64, 32)
score = rotary(ones, places) @ rotary(ones, places).T / 32
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.6))
plots.heat(axs[0], score, "key j", "query i", "Equal q and k: stripes again")
plots.lines(axs[1], places, {"": score[0]}, "distance", "score / d", "Nearer is more alike")
plots.show(
    fig, "Left, diagonal stripes, bright in the middle. Right, a curve that falls and wavers."
)
waves = sinusoidal(places, 32)
claim((score - waves @ waves.T / 16).abs().max() < 1e-5, "it is the stripes of section 3.2")

# %% [markdown]
# **What you should see.** The same stripes as in 3.2, and no accident: two equal vectors of ones,
# turned, have the product $2 \sum_i \cos((j - i)\,\omega_i)$. Added, the waves are mixed with the
# content, and every layer may lose them. Turned, they reach the score as a distance by
# construction, in every layer anew.

# %% [markdown]
# ## 3.7 Train short, test long
#
# Back to the left neighbours. Four readers learn on rows of 16 symbols at positions 0 to 15. Then
# they meet rows that begin later, and longer rows. Each differs from the blind one in one line.


# %%
def sines():
    return Reader(places=lambda p: sinusoidal(p.float(), 32))


def learned():
    layer = LearnedPositions(32, 64)
    return Reader(places=lambda p: layer(torch.zeros(64, 32))[p], part=layer)


# %%
def relative():
    layer = RelativeAttention(32, 32, clip=4)
    return Reader(attend=lambda q, k, v, p: layer(q, k, v), part=layer)


def turned():
    return Reader(attend=rotary_attention)


schemes = {"sinusoidal": sines, "learned": learned, "relative": relative, "rotary": turned}

# %% [markdown]
# **Predict.** For each scheme: a row of 16 that begins at position 32, and a row of 64 that begins
# at 0.
#
# <details><summary>Answer</summary>
#
# *Relative* and *rotary* scores know distances alone: a later start changes nothing at all. *Learned*:
# rows 16 and up are noise, so 1/15 = 0.067 for the late row; of the 63 neighbours in the long one, the
# first 15 are found: 15/63 = 0.238, and a little by chance. *Sinusoidal*: the shift is a rotation, but
# whether the network learned to use that is open. For length 64, *relative* has seen all its vectors;
# *rotary* meets distances from 16 to 63 for the first time.
#
# </details>


# %%
@cache
def reader(name, seed, starts=1):
    """A trained reader; made once."""
    return train_reader(schemes[name], seed, starts=starts)


def spread(name, starts=1, **where):
    """The accuracy of four readers that differ by their seed, lowest first."""
    return sorted(accuracy(reader(name, seed, starts), **where) for seed in range(4))


# %% tags=["nbval-ignore-output"]
print("lowest to highest of 4 seeds")
print("             as trained      start at 32     length 64")
for name in schemes:
    results = spread(name), spread(name, start=32), spread(name, length=64)
    print(f"{name:11}" + "".join(f"  {r[0]:.3f} … {r[-1]:.3f}" for r in results))

# %% tags=["nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.4, 2.8))
for name in schemes:
    starts = range(0, 49, 2)
    each = torch.tensor([spread(name, start=s) for s in starts])
    ax.plot(starts, each.mean(1), label=name, ls="--" if name == "rotary" else "-")
    ax.fill_between(starts, each[:, 0], each[:, -1], alpha=0.2)
ax.axhline(1 / 15, color="black", lw=0.8, ls=":", label="without order")
ax.set(xlabel="first position of the row", ylabel="neighbours found", ylim=(0, 1.05))
ax.set_title("Trained at 0: only what knows distances does not mind a later start")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plots.show(fig, "Relative and rotary stay at 1, learned falls to 1/15, sinusoidal wavers.")

# %%
for name in schemes:
    claim(spread(name)[0] > 0.95, f"{name}: solved where it was trained")
claim(spread("relative", start=32) == spread("relative"), "relative: the start plays no part")
claim(spread("rotary", start=32)[0] > 0.95, "rotary: a later start changes nothing")
claim(spread("learned", start=32)[-1] < 0.12, "learned: blind where it was not trained")
late = spread("sinusoidal", start=32)
claim(0.15 < late[0] and late[-1] < 0.95, "sinusoidal: something is left, and no more")

# %%
claim(spread("relative", length=64)[0] > 0.98, "relative: as good on rows of 64")
claim(spread("rotary", length=64)[0] > 0.75, "rotary: nearly as good on rows of 64")
claim(0.2 < spread("learned", length=64)[0], "learned: 15 of 63 neighbours are found …")
claim(spread("learned", length=64)[-1] < 0.32, "… and not many more")
claim(spread("sinusoidal", length=64)[-1] < 0.6, "sinusoidal: most of a long row is lost")

# %% [markdown]
# **What you should see.** *Learned* falls on a straight line until its last trained row is passed,
# then stays at 1/15. *Sinusoidal* falls too, then wavers: queries and keys were only ever asked
# to agree at positions 0 to 15, and many matrices do that which are not the rotation. How well
# these do elsewhere depends on how the hands happen to stand there. *Relative* and *rotary* do not
# notice the start: it is not in their formula.

# %% [markdown]
# Length is another matter. *Relative* is clipped: what is farther than 4 looks like 4, and 4
# was trained. For *rotary*, distances from 16 on are new: nothing tells the slow pairs what they
# should say there, and now and then a far key wins. So models with rotary positions are
# trained anew, or their angles stretched, before they read longer texts.

# %% [markdown]
# ### Ablation: is it the encoding, or the training?
#
# Train the two absolute schemes again, on rows of 16 as before, but let each batch begin
# anywhere from 0 to 48.

# %% tags=["nbval-ignore-output"]
for name in ("sinusoidal", "learned"):
    for where in ({"start": 32}, {"length": 64}):
        found = spread(name, starts=49, **where)
        print(f"{name:10} {where!s:15} {found[0]:.3f} … {found[-1]:.3f}")

# %%
for name in ("sinusoidal", "learned"):
    claim(spread(name, starts=49, start=32)[0] > 0.85, f"{name}: late rows are read")
    claim(spread(name, starts=49, length=64)[0] > 0.4, f"{name}: long ones better than before")

# %% [markdown]
# **What you should see.** Both now read late rows. Absolute positions *can* say where a
# neighbour is, if training has been everywhere. Relative ones need not be told twice: what they
# learn at one place holds at all. That is what is meant by building a symmetry in.

# %% [markdown]
# ## 3.8 Images: rows and columns
#
# The patches of a photograph have two positions. A sinusoidal encoding gives half of the features
# to the row and half to the column. Look at what must come out: how like the marked pixel is every
# other?

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.4))
plots.image(axs[0], photograph("china"), "96 x 144 pixels, 12 x 18 patches of 8")
row, column = torch.meshgrid(torch.arange(12) - 3, torch.arange(18) - 5, indexing="ij")
speeds = 10000 ** (-torch.arange(0, 32, 2) / 32)
alike = sum((row * s).cos() + (column * s).cos() for s in speeds) / 32
plots.heat(axs[1], alike, "w", "h", "Wanted: near in row, near in column", low=0.2)
axs[1].plot(5, 3, "x", color="black")
plots.show(fig, "The temple, and a map with a bright cross: its arms are row 3 and column 5.")

# %% [markdown]
# **Predict.** Encode row $h$ and column $w$ apart, $d/2$ features each, side by side. What is
# the inner product of two pixels?
#
# <details><summary>Answer</summary>
#
# The sum of two products as in 3.2: $\sum_i \cos(\Delta h\,\omega_i) + \sum_i \cos(\Delta w\,\omega_i)$,
# with $d/4$ pairs each. A cross.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `rows`, `columns` | `h`, `w` | positions |
# | `sinusoidal_2d(rows, columns, dim)` | `h w dim` | the row in the first half, the column in the second |

# %% [markdown]
# ### Exercise: `sinusoidal_2d`
#
# A `ValueError` for an odd `dim`.

# %% exercise="positional.sinusoidal_2d"

# %%
check("positional.sinusoidal_2d", sinusoidal_2d)

# %% [markdown]
# Stuck? `hint("positional.sinusoidal_2d")`. To read on without solving it:
# `from solutions.positional import sinusoidal_2d`.

# %%
table = sinusoidal_2d(places[:12], places[:18], 64)
alike = einsum(table[3, 5], table, "d, h w d -> h w") / 32
flat = rearrange(sinusoidal(torch.arange(216.0), 64), "(h w) d -> h w d", h=12)
reading = einsum(flat[3, 5], flat, "d, h w d -> h w") / 32
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3))
plots.heat(axs[0], alike, "w", "h", "Row and column: a cross", low=0.2, bar=False)
plots.heat(axs[1], reading, "w", "h", "In reading order: a row", low=0.2)
plots.show(fig, "Left, a bright cross at row 3 and column 5. Right, a band along row 3 alone.")
claim(alike[4, 5] > 0.9 and reading[4, 5] < 0.75, "only the left one knows who is below")

# %% [markdown]
# **What you should see.** On the left the pixel below is as close as the one beside it. On the
# right, positions in reading order, below is 18 steps away. If you see a single stripe on the left,
# one half does not know its axis. Which half comes first is a convention: the row in DETR, the
# column in the masked autoencoder's code.

# %% [markdown]
# ## 3.9 CoordConv: where am I?
#
# A convolution has the opposite trouble: it knows its neighbours and not its place. Moved input
# gives moved output, and a pooled output is the same for every place. The remedy is blunt:
# the coordinates become input channels.

# %%
image, where = dots(9, 13)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
for ax, b in zip(axs, (16, 60, 115), strict=True):
    across, down = where[b].tolist()
    plots.image(ax, image[b, 0], f"x = {across:.2f}, y = {down:.2f}")
plots.show(fig, "Three black images with one white pixel each, and its two coordinates above.")

# %% [markdown]
# **Predict.** One pixel of 9 x 13 is bright; a network of a 1 x 1 convolution and the maximum of
# each channel over the image is to say where. Its mean squared error for column and row, if the
# convolution sees no coordinates?
#
# <details><summary>Answer</summary>
#
# All images hold the same pixels in another order, so all outputs are equal. The best constant is
# the mean, 0, and the error the variance of $n$ equal steps from -1 to 1, $(n + 1) / (3 (n - 1))$:
# 14/36 = 0.389 for columns, 10/24 = 0.417 for rows.
#
# </details>

# %% [markdown]
# $$
# x_{hw} = \frac{2w}{W - 1} - 1 \qquad y_{hw} = \frac{2h}{H - 1} - 1 \qquad
# r_{hw} = \sqrt{x_{hw}^2 + y_{hw}^2}
# $$
#
# (Liu et al. 2018, section 3.) $H$ and $W$ are height and width; on an axis of one pixel the
# coordinate is 0.
#
# | | axes | what it is |
# |---|---|---|
# | `x` | `b c h w` | an image |
# | `coordinates(x)` | `b xyr h w` | columns, rows and, with `radius`, distances |
# | `forward(x)` | `b e h w` | the convolution of both, the image first |

# %% [markdown]
# ### Exercise: `CoordConv2d`

# %% exercise="positional.coord_conv"

# %%
check("positional.coord_conv", CoordConv2d)

# %% [markdown]
# Stuck? `hint("positional.coord_conv")`. To read on without solving it:
# `from solutions.positional import CoordConv2d`.

# %%
photo = rearrange(photograph("china"), "h w c -> 1 c h w")
maps = CoordConv2d(3, 8, 3, radius=True).coordinates(photo)[0]
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.7))
names = "x: columns", "y: rows", "r: from the middle"
for ax, grid, name in zip(axs, maps, names, strict=True):
    plots.signed(ax, grid, "w", "h", name, limit=1.5, bar=False)
    ax.set(xticks=(0, 72, 143), yticks=(0, 48, 95))
fig.colorbar(axs[0].images[0], ax=axs)
plots.show(fig, "Blue to red from left to right; from top to bottom; from the middle outwards.")
print("corner", *(round(x, 3) for x in maps[:, 0, 0].tolist()))

# %% [markdown]
# **What you should see.** The corner is at -1, -1, and $\sqrt 2 = 1.414$ from the middle. If a map
# leaves [-1, 1] on this wide picture, you scaled the columns by the height: the authors' own code
# does, and square images never show it. If r is 0 off the middle, look for a stray 0.5: the most
# used port has one.


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
for seed in range(2):
    for coordinates in (False, True):
        column, row = error(coordinates, seed)
        print(f"coordinates: {coordinates!s:5}   column {column:.4f}   row {row:.4f}")

# %%
ceiling = torch.tensor([14 / 36, 10 / 24])
blind = torch.stack([error(False, seed) for seed in range(2)])
claim((blind - ceiling).abs().max() < 0.02, "without coordinates, the variance is left")
seeing = torch.stack([error(True, seed) for seed in range(2)])
claim(seeing.max() < 0.01, "with coordinates, the dot is found")

# %% [markdown]
# **What you should see.** 0.389 and 0.417 as derived, and with coordinates almost 0. The window was
# 1 x 1 on purpose: a wider convolution sees the zeros around the image, and deep stacks of
# them do learn a little of where they are.

# %% [markdown]
# ## What to take along
#
# | scheme | weights | a later start | longer rows |
# |---|---|---|---|
# | sinusoidal | none | must be trained | must be trained |
# | learned | length · d | must be trained | impossible beyond the table |
# | relative (Shaw) | (2 clip + 1)(d + e) | exact | as far as clipping holds |
# | rotary | none | exact | nearly, then it frays |
#
# Chapter 4 builds the Transformer with sinusoidal positions, as in 2017. Chapter 8 carries the
# relative ones over to two dimensions, where a picture may be moved in two ways.
