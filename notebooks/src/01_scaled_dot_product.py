# %% [markdown]
# # 1 · Scaled dot-product attention
#
# **About 2 hours**, of which 45 minutes are exercises. A CPU is enough.
#
# In 2014 a neural translator consisted of two recurrent networks. The first read the sentence and
# compressed it into a single vector; the second wrote the translation from that vector alone. It
# was as long for a sentence of 50 words as for one of 5, so long sentences lost their contents.
# Kyunghyun Cho and colleagues had just
# [measured it](https://arxiv.org/abs/1409.1259): the quality fell quickly as sentences grew longer.

# %% [markdown]
# Dzmitry Bahdanau, Kyunghyun Cho and Yoshua Bengio removed the bottleneck in [Neural Machine
# Translation by Jointly Learning to Align and Translate](https://arxiv.org/abs/1409.0473) (ICLR
# 2015). Their network keeps one vector for each word of the source. Before the second network writes
# a word, it compares its **state**, the vector that it holds at that moment, with all of them and takes
# their mean, weighted by how well each one fits.
# The network computes these weights itself, and learns how along with everything else. The step has
# been called **attention** ever since.

# %% [markdown]
# ### What came of it
#
# | English to French, BLEU | one vector | with attention |
# |---|---|---|
# | trained on sentences of up to 30 words | 13.93 | 21.50 |
# | trained on sentences of up to 50 words | 17.82 | 26.75 |
#
# (Table 1 of the paper, all sentences of the test set. **BLEU** tells, from 0 to 100, how many short word
# sequences a translation shares with those that people made.) A year later [Show,
# Attend and Tell](https://arxiv.org/abs/1502.03044) let a network look at parts of a photograph
# while it wrote a caption. In 2017 [Attention Is All You Need](https://arxiv.org/abs/1706.03762)
# threw the recurrent networks away and kept attention, in the form that you write here. It runs
# today inside vision transformers, image generators and language models.

# %% [markdown]
# The idea of a weighted mean is older. Nadaraya and Watson proposed it in 1964 for regression: to
# predict at a point, average the known values with weights that decrease with the distance. And
# non-local means, from 2005, denoises a photograph in that way. Section 1.8 does the same with the
# attention that you will have written.
#
# | you write | you see | you need |
# |---|---|---|
# | the softmax, additive and dot-product scores, two masks, scaled dot-product attention | that yours equals torch's, gradients included; a photograph whose patches denoise each other | `einsum` and `rearrange` from chapter 00 |

# %%
import math
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attncourse import check, explore, hint, solution
from attncourse.book import claim, diagrams, plots
from attncourse.tasks.pictures import photograph
from attncourse.tasks.denoising import blur, places, psnr, surroundings

# %% [markdown]
# ### A dictionary that answers inexact questions
#
# A Python dictionary compares your **query** with its **keys**, and returns the **value** of the
# one key that is equal. If there is none, it fails. Attention is the soft version of it. For every
# key it computes a **score** that says how well the key fits the query. The **softmax**
# turns the scores into **attention weights**, which are positive and sum to 1. The answer is the
# mean of all values with these weights. Since every step is differentiable, what makes a good
# query or key can be learned.

# %% [markdown]
# What is read, be it a word, a pixel or a patch, is called a **token**. Often the same tokens ask and
# answer; then there are $n$ queries and $n$ keys.
#
# In the translator the query is what the second network wants to say next, and the vectors of the words are keys
# *and* values. They may differ: a key is what a token is found by, a value what it hands over.


# %% jupyter={"source_hidden": true}
def one_query(ax, q, k, s, a, v, y):
    """One query: above, keys, scores and weights; below, the values that these weigh."""
    number, green = diagrams.numbers, diagrams.ATTENTION
    query = number(ax, 0.8, 6.9, q, "", "d", "query q")
    keys = number(ax, 0.8, 4.1, k, "j", "d", "keys k")
    scores = number(ax, 5.6, 4.1, s, "j", "", "scores")
    weights = number(ax, 9.0, 3.9, a, "j", "", "weights", a, green, 0.75, "{:.2f}")
    values = number(ax, 4.0, 0.7, v, "j", "e", "values v")
    times = diagrams.join(ax, 6.9, 1.6, "×")
    output = number(ax, 9.0, 1.25, y, "", "e", "output y", None, diagrams.DATA, 0.7, "{:.1f}")
    ax.plot([query.right[0], 3.7, 3.7], [7.2, 7.2, 5.0], color=diagrams.INK, lw=1.2)
    diagrams.arrow(ax, keys.right, (5.2, 5.0))
    ax.text(4.35, 5.1, "q · k", ha="center", va="bottom", size=8.5)
    diagrams.arrow(ax, scores.right, (8.6, 5.0), text="/ √d, softmax")
    diagrams.arrow(ax, weights.bottom, (9.38, 3.1), (6.9, 3.1), times.top)
    diagrams.arrow(ax, values.right, times.left)
    diagrams.arrow(ax, times.right, output.left, text="add over j")


# %% jupyter={"source_hidden": true}
q, k = np.array([[1, 2, 0, 1]]), np.array([[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0]])
s, v = k @ q.T, np.array([[10, 0], [0, 10], [10, 10]])
a = np.exp(s / 2) / np.exp(s / 2).sum()
fig, ax = diagrams.canvas(11.0, 8.1, 5.2)
one_query(ax, q, k, s, a, v, a.T @ v)
said = """A query of four features is compared with three keys. The scores 4, 2, 0 become the
    weights 0.67, 0.24, 0.09. An arrow takes these down to the values (10, 0), (0, 10), (10, 10), which
    are multiplied with them and added to the output (7.6, 3.3)."""
plots.show(fig, said)

# %% [markdown]
# ### Once by hand
#
# The query $(1, 2, 0, 1)$ meets the keys $(2, 1, 0, 0)$, $(0, 1, 1, 0)$ and $(0, 0, 2, 0)$. Its inner
# products with them are $1 \cdot 2 + 2 \cdot 1 = 4$, $2 \cdot 1 = 2$ and 0. There are $d = 4$ features,
# so all scores are divided by $\sqrt 4 = 2$, which leaves 2, 1 and 0. Their exponentials are 7.39, 2.72 and 1, with the
# sum 11.11. Divided by it, they are the weights 0.67, 0.24 and 0.09. The output is
# $0.67 \cdot (10, 0) + 0.24 \cdot (0, 10) + 0.09 \cdot (10, 10)$, or nearly $(7.6, 3.3)$: mostly the
# value of the key that fits best.

# %%
s = torch.tensor([4.0, 2, 0]) / math.sqrt(4)
a = s.exp() / s.exp().sum()
y = a @ torch.tensor([[10.0, 0], [0, 10], [10, 10]])
print("exp", s.exp(), "sum", s.exp().sum(), "\nweights", a, "\noutput", y)
claim((a - torch.tensor([0.67, 0.24, 0.09])).abs().max() < 0.006, "weights 0.67, 0.24, 0.09")
claim((y - torch.tensor([7.6, 3.3])).abs().max() < 0.06, "the output is nearly (7.6, 3.3)")

# %% [markdown]
# ### The letters
#
# The weight of key $j$ for query $i$ is $a_{ij}$. A table of these weights, with a row for each query and
# a column for each key, is called the **attention map** $A$. A letter also stands for the size of its
# axis, as in $\sqrt d$.
#
# | letter | what it counts |
# |---|---|
# | `b` | examples in a batch |
# | `i`, `j` | queries, keys |
# | `n` | tokens, where the same tokens ask and answer |
# | `d`, `e` | features of a query or key, of a value |
# | `m` | hidden features |
# | `h` `w`, `c` | height and width in pixels, channels |

# %% [markdown]
# The chapter goes through these steps one by one: the softmax, then two kinds of score, then the
# masks that say who may look where, and finally the whole.
#
# ## 1.1 The softmax: scores become weights
#
# The left panel shows the scores of four keys and the right one the weights that we want: all are
# positive, they sum to 1, and a larger score gets a larger weight.

# %% jupyter={"source_hidden": true}
scores = torch.tensor([2.0, 0.0, 1.0, -1.0])
wanted = [0.644, 0.087, 0.237, 0.032]
fig, axs = plt.subplots(1, 2, figsize=(6.4, 1.9))
axs[0].bar_label(axs[0].bar(range(4), scores, color="C5"), fmt="{:g}", padding=1)
axs[0].set(title="Scores: any number", xlabel="key j", ylabel="score", xticks=range(4))
axs[0].set_ylim(-1.6, 2.6)
axs[0].axhline(0, color="black", linewidth=0.8)
axs[1].bar_label(axs[1].bar(range(4), wanted, color="C0"), fmt="{:.2f}", padding=1)
axs[1].set(title="Weights, in the same order", xlabel="key j", ylabel="weight")
axs[1].set(ylim=(0, 1), xticks=range(4))
plots.show(fig, "Bars: scores 2, 0, 1, -1 of four keys become weights 0.64, 0.09, 0.24, 0.03.")

# %% [markdown]
# The **softmax** takes the exponential of every score, which makes it positive, and divides by the
# sum:
#
# $$
# a_{j} = \frac{\exp s_j}{\sum_{j'} \exp s_{j'}}
# = \frac{\exp(s_j - t)}{\sum_{j'} \exp(s_{j'} - t)}
# \quad\text{for every number } t \qquad\text{(Bahdanau et al. 2015, eq. 6)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $s$, in the code `x` | `... j` | scores, any number of axes in front |
# | $a$ | `... j` | weights, each row with sum 1 |
#
# The second form holds because numerator and denominator both get the factor $\exp(-t)$, which
# cancels.

# %% [markdown]
# **Predict.** Two keys have the scores $0$ and $\ln 3$. What are their weights? And what are they
# if 1000 is added to both scores?
#
# <details><summary>Answer</summary>
#
# The exponentials are $1 : 3$, so the weights are $\tfrac14$ and $\tfrac34$. Adding 1000 changes
# nothing: it is the case $t = -1000$.
# </details>

# %% [markdown]
# ### Exercise: `softmax`
#
# You may choose $t$, one for each row. Choose it so that no exponential can overflow.

# %% exercise="scaled_dot_product.softmax"

# %%
check("scaled_dot_product.softmax", softmax)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.softmax")` gives one hint at a time. To read on without
# solving it: `from solutions.scaled_dot_product import softmax`.

# %%
two = torch.tensor([0, math.log(3)])
print("weights         ", softmax(two))
print("1000 added      ", softmax(two + 1000))
claim(softmax(two + 1000).isfinite().all(), "with 1000 added, all weights are still finite")

# %% [markdown]
# **What you should see.** Both printed lines hold the weights 0.25 and 0.75, as $1 : 3$ demands. If
# the second line is `nan`, you took the exponential before you subtracted anything. If the lines
# differ, your result depends on the size of the scores and not only on their differences.

# %% [markdown]
# ### Ablation: what if nothing is subtracted?

# %%
for score in (10.0, 88.0, 89.0, 1000.0):
    row = torch.tensor([score, 0.0])
    naive = row.exp() / row.exp().sum()
    print(f"score {score:4g}   naive {naive[0]:.4f}   yours {softmax(row)[0]:.4f}")

# %% [markdown]
# **What you should see.** The naive form turns into `nan` between the scores 88 and 89, whereas
# yours gives 1 throughout. The largest number in float32 is $3.4\cdot10^{38} = \exp 88.7$. Beyond
# it `exp` returns `inf`, and `inf / inf` is not a number. Section 1.4 meets scores of 89, where wide
# vectors are compared and nothing is scaled.

# %% [markdown]
# ## 1.2 Additive scores: a small network compares
#
# How well does a key fit a query? Bahdanau and colleagues let a small network decide, which is
# called **additive attention**. It maps the query and the key to `m` hidden features each, adds
# them, applies a tanh, and weighs the result with a vector $u$. It does so for every pair of a
# query and a key.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(14.4, 4.9, 6.2)
q = diagrams.vector(ax, 0.9, 3.0, [0.7, 0.2, 0.5], "", "query i")
k = diagrams.vector(ax, 0.9, 0.5, [0.4, 0.8], "", "key j")
W_q, W_k = diagrams.layer(ax, 2.4, 3.17, "$W_q$"), diagrams.layer(ax, 2.4, 0.5, "$W_k$")
plus, tanh = diagrams.join(ax, 5.6, 2.1), diagrams.layer(ax, 6.7, 1.8, "tanh", colour="#777777")
hidden = diagrams.vector(ax, 9.1, 1.45, [0.9, 0.1, 0.6, 0.3], "m")
u = diagrams.layer(ax, 10.5, 1.8, "$u$", 0.9)
diagrams.vector(ax, 13, 1.95, [0.6], "", "score s")
diagrams.arrows(ax, (q.right, W_q.left), (k.right, W_k.left), (plus.right, tanh.left))
diagrams.arrows(ax, (W_q.right, (5.6, 3.48), plus.top), (W_k.right, (5.6, 0.81), plus.bottom))
diagrams.arrows(ax, (tanh.right, hidden.left), (hidden.right, u.left), (u.right, (12.9, 2.1)))
plots.show(fig, "Query i through W_q plus key j through W_k, then tanh, then u: one score.")

# %% [markdown]
# $$
# s_{ij} = u^\top \tanh(W_q q_i + W_k k_j)
# \qquad\qquad\text{(Bahdanau et al. 2015, appendix A.1.2)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$ | `b i query_dim`, `b j key_dim` | need not be equally wide |
# | $W_q q + W_k k$ | `b i j m` | hidden features of every pair |
# | $s$ | `b i j` | scores |
# | $a$ | `b i j` | weights, the softmax of $s$ over $j$ |
# | $v$ | `b j e` | values |
# | $y$ | `b i e` | for each query the mean of the values with its weights |

# %% [markdown]
# ### What two hidden units can do
#
# Let keys and queries be places on a line. The difference of two tanh steps is a bump, which is
# high only where the key is near the query.
#
# **Predict.** The score is $\tanh(4g + 2) - \tanh(4g - 2)$, where $g$ is the place of the key minus
# that of the query. Whatever $g$ is, between which two numbers does it stay?
#
# <details><summary>Answer</summary>
#
# It lies in $(0, 1.93]$. Since tanh rises, the difference is positive, and it is largest at $g = 0$,
# where it is $\tanh 2 - \tanh(-2) = 2 \tanh 2 = 1.928$. For any $u$ and any inputs $|s| \le \sum_m
# |u_m|$, which is 2 here.
# </details>

# %% jupyter={"source_hidden": true}
gap = torch.linspace(-3, 3, 121)
rise, fall = (4 * gap + 2).tanh(), (4 * gap - 2).tanh()
fig, ax = plt.subplots(figsize=(4.6, 2.1))
steps = {"tanh(4 g + 2)": rise, "tanh(4 g - 2)": fall, "difference": rise - fall}
title = "Two steps make a bump: only near keys score"
plots.lines(ax, gap, steps, "g = place of key j - place of query i", "score", title)
plots.show(fig, "Two S-shaped curves from -1 to 1 and their difference, a bump of height 1.93.")

# %% [markdown]
# ### Exercise: `AdditiveAttention`
#
# The layers are there: `query` and `key` lead to the hidden features, and `score` is $u$. Write
# `scores`, then `attention`, which turns the scores into weights over the keys, then `forward`,
# which averages the values with these weights.

# %% exercise="scaled_dot_product.additive_attention"

# %%
check("scaled_dot_product.additive_attention", AdditiveAttention)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.additive_attention")`. To read on without solving it:
# `from solutions.scaled_dot_product import AdditiveAttention`.

# %% [markdown]
# ### Use it: look up places (may be skipped at first reading)
#
# The next cell puts the bump into the weights by hand. A place $x$ enters as the pair $(x, 1)$, so
# that the second feature can carry the $\pm 2$. The weights are such that a key at $x$ and a query at $x'$
# give
#
# $$
# W_k \binom{x}{1} = \binom{4x}{4x}, \qquad W_q \binom{x'}{1} = \binom{-4x' + 2}{-4x' - 2}, \qquad
# u = \binom{\gamma}{-\gamma}.
# $$
#
# The score is therefore $\gamma$ times the bump, with the gap $x - x'$; the code calls $\gamma$ `gain`.


# %%
@torch.no_grad()
def nearest(gain):
    """Additive attention whose score is a bump, 1.93 times the gain high, where key = query."""
    layer = AdditiveAttention(query_dim=2, key_dim=2, hidden=2)
    layer.query.weight.copy_(torch.tensor([[-4.0, 2.0], [-4.0, -2.0]]))
    layer.key.weight.copy_(torch.tensor([[4.0, 0.0], [4.0, 0.0]]))
    layer.score.weight.copy_(torch.tensor([[gain, -gain]]))
    return layer.requires_grad_(False)


def at(*xs):
    return torch.tensor([[[float(x), 1.0] for x in xs]])


# %% [markdown]
# Seven keys stand at the places 0 to 6, and their values are the squares 0 to 36. Three queries
# stand at 5, 1 and 3.
#
# **Predict.** Let $\sum_m|u_m| = 2$, and choose the other weights as you like. Can one of the seven
# keys get nine tenths of the attention?
#
# <details><summary>Answer</summary>
#
# At best its score is 2 and that of the six others is $-2$, which gives it the weight
# $e^2 / (e^2 + 6 e^{-2}) = 0.901$: barely. In our layer most of the others score 0 and not $-2$, so it
# stays far below. A bounded score bounds the weight.
# </details>

# %%
q, k = at(5, 1, 3), at(*range(7))
v = rearrange(torch.arange(7.0) ** 2, "j -> 1 j 1")
for gain in (1, 2, 4):
    a, y = nearest(gain).attention(q, k), nearest(gain)(q, k, v)
    read = " ".join(f"{number:5.2f}" for number in y.flatten())
    print(f"sum |u| = {2 * gain}   largest weight {a.max():.3f}   read {read}")
s = nearest(4).scores(q, k)[0, 2]  # query 2 stands at 3
print("gain 4, query at 3, scores:", *(f"{number:.3f}" for number in s))

# %% [markdown]
# **What you should see.** The largest weight grows from 0.531 to 0.997, and with a gain of 4 the
# layer reads the squares 25, 1 and 9 almost exactly. The last line shows why: the key at the
# place of the query scores $1.928 \cdot 4 = 7.71$, its two neighbours score $0.036 \cdot 4 =
# 0.144$ each, and the others nothing. If your three queries read the same number, your scores do
# not depend on the query.

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.4, 2.0))
plots.heat(
    ax,
    nearest(4).attention(q, k)[0],
    "key j, at place j",
    "query i",
    "Queries at 5, 1, 3 find the keys there",
)
fig.axes[-1].set_ylabel("weight")
ax.set_aspect("auto")
plots.show(fig, "Map, 3 queries by 7 keys: one bright cell a row, at the keys 5, 1 and 3.")

# %% [markdown]
# ### Ablation: what if the tanh is dropped?
#
# Without the tanh the score is a part that depends on the query plus a part that depends on the
# key. Before you run the cell, think of section 1.1: what does the softmax do with a number that
# is added to a whole row?

# %%
torch.manual_seed(0)
layer = AdditiveAttention(query_dim=2, key_dim=2, hidden=8).requires_grad_(False)
by_query, by_key = layer.score(layer.query(q)), layer.score(layer.key(k))
flat = softmax(by_query + rearrange(by_key, "b j 1 -> b 1 j"))
print(flat[0])
claim((flat - flat[:, :1]).abs().max() < 1e-6, "without tanh every query gets the same weights")

# %% [markdown]
# **What you should see.** The three printed rows are equal. $u^\top W_q q_i$ is added to all
# scores of query $i$, so it cancels in the softmax, and the question no longer has any influence.
# It is the tanh that lets query and key interact.

# %% [markdown]
# ## 1.3 Dot-product scores: directions are compared
#
# An **inner product** also says whether query and key agree. It needs no weights, and no hidden
# axis `b i j m` has to be stored. The figure shows one query and three keys in the plane.

# %% jupyter={"source_hidden": true}
arrows = {"q": (2, 1), "k0": (1, -2), "k1": (2, 1.5), "k2": (-2, 0.5)}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
for c, (name, (x, y)) in enumerate(arrows.items()):
    ax.annotate("", (x, y), (0, 0), arrowprops=dict(arrowstyle="->", color=f"C{c}", lw=1.8))
    ax.text(1.1 * x, 1.12 * y, name, color=f"C{c}", ha="center", va="center")
ax.set(xlim=(-3, 3), ylim=(-2.6, 2.2), xlabel="feature 0", ylabel="feature 1")
ax.set(aspect="equal", anchor="W", title="k1 along q, k2 against, k0 across")
plots.show(fig, "Arrows from 0: q (2, 1), k0 (1, -2) across, k1 (2, 1.5) along, k2 against.")

# %% [markdown]
# **Predict.** What are the inner products of $q = (2, 1)$ with the keys $(1, -2)$, $(2, 1.5)$ and
# $(-2, 0.5)$?
#
# <details><summary>Answer</summary>
#
# $2 - 2 = 0$ (at right angles), $4 + 1.5 = 5.5$ (along), $-4 + 0.5 = -3.5$ (against).
# </details>
#
# $$
# s_{ij} = \sum_d q_{id}\, k_{jd} \qquad\qquad s = q k^\top
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$ | `... i d`, `... j d` | must be equally wide now |
# | $s$ | `... i j` | scores: a row for each query, a column for each key |

# %% [markdown]
# ### Exercise: `dot_product_scores`
#
# One line is enough. Any number of axes may stand in front, which einops writes as `...` in a
# pattern and the annotation as `*batch`.

# %% exercise="scaled_dot_product.dot_product_scores"

# %%
check("scaled_dot_product.dot_product_scores", dot_product_scores)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.dot_product_scores")`. To read on without solving it:
# `from solutions.scaled_dot_product import dot_product_scores`.

# %% [markdown]
# ### Luong's three scores
#
# Minh-Thang Luong, Hieu Pham and Christopher Manning compared scores in [Effective Approaches to
# Attention-based Neural Machine Translation](https://arxiv.org/abs/1508.04025) (EMNLP 2015):
#
# | their name | score | weights |
# |---|---|---|
# | dot | $q^\top k$ | none |
# | general | $q^\top W k$ | a matrix |
# | concat | $u^\top \tanh(W [q; k])$ | two layers: Bahdanau's, with $W = [W_q\ W_k]$ |
#
# *General* is the inner product again, after a linear layer for the query. Multi-head attention, in
# chapter 02, has a layer for the keys as well: $(W_q q)^\top (W_k k) = q^\top W k$ with
# $W = W_q^\top W_k$.

# %%
torch.manual_seed(0)
q, k, W = torch.randn(3, 8), torch.randn(5, 6), torch.randn(8, 6)
general = einsum(q, W, k, "i query, query key, j key -> i j")
claim(
    torch.allclose(general, dot_product_scores(q @ W, k), atol=1e-5),
    "Luong's general score is an inner product with a projected query",
)

# %% [markdown]
# ### Which scores are bounded? (may be skipped at first reading)
#
# The next cell makes the same random queries and keys longer and longer, and computes both kinds of
# score.

# %%
torch.manual_seed(0)
layer = AdditiveAttention(query_dim=8, key_dim=8, hidden=4).double().requires_grad_(False)
bound = layer.score.weight.abs().sum().item()
q, k = torch.randn(2, 1, 5, 8, dtype=torch.float64)
for size in (1, 10, 100, 1000):
    additive = layer.scores(size * q, size * k).abs().max().item()
    dots = dot_product_scores(size * q, size * k).abs().max().item()
    print(f"length x {size:<5} additive {additive:6.3f}   dot product {dots:.3g}")
print(f"the bound of additive scores: {bound:.3f}")
claim(additive <= bound, "no additive score exceeds the sum of |u|")

# %% [markdown]
# **What you should see.** The additive scores stop growing below $\sum_m|u_m|$, whereas the inner
# products grow a hundredfold from line to line, because query and key both become ten times longer.
# This is their price for having no tanh: something else must keep their size in check.

# %% [markdown]
# ### Ablation: does direction decide, or length?

# %%
q = torch.tensor([[2.0, 1.0]])
k = torch.tensor([[2.0, 1.0], [4.0, 0.0], [0.0, 12.0]])
s = dot_product_scores(q, k)
cosine = s / (q.norm() * k.norm(dim=-1))
print("scores ", s[0], "\ncosines", cosine[0])
claim(s.argmax() == 2 and cosine.argmax() == 0, "the longest key wins, not the best aligned")

# %% [markdown]
# **What you should see.** The largest score, 12, belongs to the third key, although the first key *is*
# the query and has the cosine 1. The third wins only because it is long: inner products reward length.
# This will matter in section 1.8, where bright patches are long keys.

# %% [markdown]
# ## 1.4 Why the scores are divided by $\sqrt d$
#
# Take queries and keys whose features are independent, with mean 0 and variance 1.
#
# **Predict.** What is the variance of $q \cdot k$ for $d = 64$?
#
# <details><summary>Answer</summary>
#
# A product of two such numbers has mean $0 \cdot 0 = 0$ and variance $\mathrm E[q^2]\,\mathrm
# E[k^2] = 1$. Variances of independent terms add, so $d$ terms have the variance $d = 64$ and a
# standard deviation of 8. (Vaswani et al. 2017, section 3.2.1, footnote 4)
# </details>
#
# The histograms show how widely the inner products spread.

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
fig, ax = plt.subplots(figsize=(4.6, 2.1))
for d in (4, 64, 1024):
    q, k = torch.randn(2, 5000, d)
    ax.hist((q * k).sum(-1), bins=60, range=(-100, 100), histtype="step", label=f"d = {d}")
ax.set(yscale="log", xlabel="q·k", ylabel="pairs out of 5000")
ax.set_title("The more features, the larger the scores")
ax.legend()
plots.show(
    fig, "Histograms of dot products: a spike for d = 4, from -30 to 30 for 64, wide for 1024."
)

# %% [markdown]
# At $d = 1024$ some pairs score beyond 89, where an unguarded softmax fails (section 1.1). Divided by
# $\sqrt d$, the scores have variance 1, whatever $d$ is.
#
# What does this do to the weights? Their **entropy** $H = -\sum_j a_j \log_2 a_j$ says over how
# many keys the attention is spread: $H = 0$ bits means one key, and $H = \log_2 n$ means all $n$
# keys alike.
#
# **Predict.** There are $n = 512$ keys, whose weights could have up to 9 bits. With scores of
# variance 1, is $H$ nearer to 0 or to 9?
#
# <details><summary>Answer</summary>
#
# It is much nearer to 9. The largest of 512 normal scores is about 3, and the mean of $e^s$ is $e^{1/2}$, so
# that even the largest weight is only about $e^3 / (512\, e^{1/2})$, or 2 %.
#
# Precisely: $H = \ln \sum_j e^{s_j} - \sum_j a_j s_j$ in nats. The first term is $\ln (n\, e^{1/2})$. The
# second is 1, because a normal density weighted with $e^s$ moves its mean from 0 to 1. Hence
# $H \approx \ln n - \tfrac12$, which is $9 - 0.72 = 8.28$ bits.
# </details>


# %%
def spread(d, scale, n=512):
    """Of n x n random scores times scale: variance, mean entropy in bits, summed slopes."""
    torch.manual_seed(d)
    q, k = torch.randn(2, n, d, dtype=torch.float64)
    s = scale * dot_product_scores(q, k)
    a = softmax(s)
    bits = -(a * a.clamp(min=1e-300).log2()).sum(-1).mean().item()
    return s.var().item(), bits, (a * (1 - a)).sum(-1).mean().item()


# %%
widths = torch.tensor([4, 16, 64, 256, 1024])
raw = torch.tensor([spread(d, 1) for d in widths.tolist()])
scaled = torch.tensor([spread(d, d**-0.5) for d in widths.tolist()])
print("   d   raw: variance   bits  slopes   over sqrt(d): variance   bits  slopes")
for d, one, other in zip(widths.tolist(), raw.tolist(), scaled.tolist(), strict=True):
    print("{:4}   {:13.4g}   {:.2f}  {:6.2f}".format(d, *one), end="   ")
    print("{:22.3f}   {:.2f}  {:6.2f}".format(*other))
claim((raw[:, 0] / widths - 1).abs().max() < 0.1, "raw, the variance is d, within 10 %")
claim((scaled[:, 1] - 8.28).abs().max() < 0.1, "over sqrt(d), 8.28 bits for every d, to 0.1")
few, many = raw[-1, 2], scaled[:, 2].min()
claim(few < 0.2 < 0.9 < many, "raw, the slopes vanish with d; scaled, they do not")

# %% jupyter={"source_hidden": true}
raw, scaled = (torch.tensor([spread(d, d**p) for d in widths.tolist()]) for p in (0, -0.5))
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3))
titles = "Raw, the variance of q·k is d ...", "... and one key takes nearly all"
labels = "variance of the scores", "entropy in bits"
for panel, ax in enumerate(axs):
    ys = {"raw": raw[:, panel], "over sqrt(d)": scaled[:, panel]}
    plots.lines(ax, widths, ys, "features d", labels[panel], titles[panel]).set(xscale="log")
axs[0].set(yscale="log")
axs[0].get_legend().remove()
axs[1].set(ylim=(0, 9), yticks=(0, 3, 6, 9))
plots.show(
    fig, "Against d: raw variance up to 1024, raw entropy down to 0; scaled, both level."
)

# %% [markdown]
# **What you should see.** Without the division the variance is $d$, and the entropy sinks until
# one key holds nearly everything: less than a third of a bit is left at $d = 1024$. After the
# division the variance is 1 and the entropy 8.28 bits for every $d$. The columns *slopes* hold
# $\sum_j \partial a_j / \partial s_j = \sum_j a_j (1 - a_j)$, which is nearly 1 where the weight is spread and 0 where
# one key has all of it. Where it is near 0, a small step of a score changes nothing, and gradients that must pass here
# are lost. This is the paper's reason for the scale (section 3.2.1).

# %% [markdown]
# ### Ablation: what if we divide by $d$? (may be skipped at first reading)

# %%
for d in (4, 64, 1024):
    variance, bits, _ = spread(d, 1 / d)
    print(f"d = {d:4}   variance {variance:.4f}, 1/d = {1 / d:.4f}   {bits:.3f} bits of 9")
claim(bits > 8.99, "with d = 1024 divided by d, attention is hardly more than a plain mean")

# %% [markdown]
# **What you should see.** The variance sinks as $d / d^2 = 1/d$. For wide features all scores,
# and hence all weights, become nearly equal: 9 bits. As long as
# queries and keys have independent numbers of variance 1, the square root is the only power that works for every $d$.

# %% [markdown]
# ## 1.5 Masks: who may look where
#
# A model that is to draw a picture pixel by pixel learns from whole pictures: row $i$ predicts pixel $i + 1$ from the
# pixels 0 to $i$, for all $i$ at once. Without a mask it would look the answer up. A **causal
# mask**, which comes from the decoder of the transformer (Vaswani et al. 2017, section 3.2.3), forbids
# it: query $i$ may attend to the keys $j \le i$ only. Read row by row, a picture of 4 by
# 6 pixels is a sequence of 24 tokens. The left panel shows the mask of four tokens, the right one what
# token $i = 14$ of the picture, which is framed, may see.

# %% jupyter={"source_hidden": true}
later = np.triu(np.ones((4, 4), bool), 1)
seen = np.arange(24).reshape(4, 6) > 14
fig, ax = diagrams.canvas(12.4, 4.4, 5.6)
title = "causal mask, n = 4"
diagrams.numbers(ax, 1.2, 1.0, ~later, "query i", "key j", title, ~later, hidden=later)
title = "what token 14 sees"
order = np.arange(24).reshape(4, 6)
diagrams.numbers(ax, 7.6, 1.0, order, "h", "w", title, np.full((4, 6), 0.5), hidden=seen)
ax.add_patch(
    plt.Rectangle((7.6 + 2 * 0.6, 1.0 + 0.6), 0.6, 0.6, fill=False, lw=2.4, ec="#d55e00")
)
said = """Left, a table of four queries and four keys with ones on and below the diagonal and grey
    hatching above it. Right, 24 numbered pixels: 14 is framed, and those after it are hatched."""
plots.show(fig, said)

# %% [markdown]
# $$
# \text{mask}_{ij} = \text{True where query } i \text{ may attend to key } j, \qquad
# \text{causal: } j \le i
# $$
#
# Queries and keys are both counted from the first token, so that the triangle begins in the top left
# corner, as in torch. In all figures of this course,
# what is hidden is hatched in grey.
#
# **Predict.** Of the $24 \cdot 24$ pairs of query and key, how many are allowed? And how many are
# for 3 queries and 5 keys?
#
# <details><summary>Answer</summary>
#
# $1 + 2 + \dots + 24 = 300$, and $1 + 2 + 3 = 6$: query $i$ sees $i + 1$ keys.
# </details>

# %% [markdown]
# ### Exercise: `causal_mask`

# %% exercise="scaled_dot_product.causal_mask"

# %%
check("scaled_dot_product.causal_mask", causal_mask)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.causal_mask")`. To read on without solving it:
# `from solutions.scaled_dot_product import causal_mask`.

# %%
print(causal_mask(3, 5).int())
few, many = causal_mask(3, 5).sum(), causal_mask(24, 24).sum()
print(f"allowed: {few} of 15, and {many} of 576")

# %% [markdown]
# **What you should see.** The printed mask is a triangle of ones in the lower left, and 6 and 300
# pairs are allowed. If you count 3 and 276, a query may not see itself. If the triangle sits at
# the right, your mask is aligned at the bottom right, and query 0 sees three keys.

# %% [markdown]
# ### Padding
#
# Captions have different numbers of words, and pictures of different size different numbers of patches. They are
# put into one tensor by filling the short ones up. What was
# filled in, the **padding**, must not be looked at. The **padding mask** hides those keys from
# every query, so its axis for queries has length 1 and is broadcast when it is used. Masks are
# combined with `&`.

# %% jupyter={"source_hidden": true}
real = np.tile([1, 1, 1, 0], (4, 1)) > 0
causal = ~np.triu(np.ones((4, 4), bool), 1)
fig, ax = diagrams.canvas(14, 4.2, 6.2)
grid, one = diagrams.numbers, real[:1]
grid(ax, 0.8, 1.9, one, "1", "j", "padding, length 3", one, hidden=~one)
for x, name, mask in (5.6, "causal", causal), (10.6, "both", real & causal):
    grid(ax, x, 1.0, mask, "i", "j", name, mask, hidden=~mask)
for x, sign in (4.0, "&"), (9.0, "="):
    ax.text(x, 2.2, sign, size=14, ha="center", va="center")
plots.show(fig, "A row 1 1 1 and a hatched cell, and a causal mask; both: no last column.")

# %% [markdown]
# **Predict.** The lengths are 2, 5 and 0, and there are five keys each. How many places of the
# mask are True? Which queries are in trouble?
#
# <details><summary>Answer</summary>
#
# $2 + 5 + 0 = 7$. The queries of the third example may attend to nothing. Section 1.6 decides what they
# get.
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | `lengths` | `b` | how many keys of each example are real |
# | mask | `b 1 j` | the same for all queries, so an axis of length 1 |

# %% [markdown]
# ### Exercise: `padding_mask`

# %% exercise="scaled_dot_product.padding_mask"

# %%
check("scaled_dot_product.padding_mask", padding_mask)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.padding_mask")`. To read on without solving it:
# `from solutions.scaled_dot_product import padding_mask`.

# %%
mask = padding_mask(torch.tensor([2, 5, 0]), 5)
print(rearrange(mask, "b 1 j -> b j").int(), mask.sum().item())
together = mask & causal_mask(5, 5)
print("with the causal one:", tuple(together.shape), together.sum((1, 2)).tolist())

# %% [markdown]
# **What you should see.** The rows hold 2, 5 and 0 ones. Combined with the causal mask, `b 1 j`
# and `i j` give `b i j`: the five queries of the first example see $1 + 2 + 2 + 2 + 2 = 9$ keys,
# those of the second 15, and those of the third none.

# %% [markdown]
# ## 1.6 The attention map: scores, scale, mask, softmax
#
# All pieces come together in the **attention map**, which holds the weights of all keys for each
# query. A forbidden key must get the weight 0, and the weights of the allowed ones must sum to 1.
# Therefore the score of a forbidden key is set to $-\infty$ *before* the softmax, because
# $\exp(-\infty) = 0$. The formula below adds $-\infty$, which comes to the same.

# %% jupyter={"source_hidden": true}
s = np.array([[2.0, 1, 0], [0, 1, 3], [1, 0, 2]])
hidden = np.triu(np.ones((3, 3), bool), 1)
a = np.where(hidden, 0, np.exp(s))
a = a / a.sum(-1, keepdims=True)
fig, ax = diagrams.canvas(14, 3.8, 6.2)
grid, green = diagrams.numbers, diagrams.ATTENTION
grid(ax, 0.8, 0.8, s, "i", "j", "scores / √d", side=0.7)
grid(ax, 5.9, 0.8, s, "i", "j", "masked", hidden=hidden, side=0.7)
grid(ax, 11, 0.8, a, "i", "j", "weights A", a, green, 0.7, "{:.2f}", hidden)
diagrams.arrow(ax, (3.1, 1.85), (5.3, 1.85), text="−∞ where\nforbidden")
diagrams.arrow(ax, (8.2, 1.85), (10.4, 1.85), text="softmax\nover j")
plots.show(fig, "Scores of three queries; above the diagonal hidden; each row sums to 1.")

# %% [markdown]
# In the last row the scores 1, 0 and 2 become 0.24, 0.09 and 0.67, as in the example at the
# beginning. In the row above, the key with the largest score, 3, is hidden. The other two share
# the attention: their weights are 0.27 and 0.73, as if the third key did not exist.

# %%
s = torch.tensor([[2.0, 1, 0], [0, 1, 3], [1, 0, 2]])
hidden = torch.ones(3, 3).triu(1) == 1
a = s.masked_fill(hidden, -math.inf).softmax(-1)
print(a)
claim((a[hidden] == 0).all(), "hidden keys get the weight 0")
claim((a.sum(-1) - 1).abs().max() < 1e-6, "the weights of each row sum to 1")

# %% [markdown]
# $$
# A = \operatorname{softmax}_j\Bigl(\frac{q k^\top}{\sqrt d} + M\Bigr), \qquad
# M_{ij} = \begin{cases} 0 & \text{mask}_{ij} \\ -\infty & \text{else} \end{cases}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | mask | broadcast to `... i j` | True where the query may attend |
# | $A$ | `... i j` | the map: row $i$ holds the weights of query $i$ |
#
# In the signature below, `Bool[Tensor, "*#batch #i #j"]`, a `#` marks an axis that may have the length
# 1 and is then broadcast.

# %% [markdown]
# **Predict.** A query consists of zeros, and the mask is causal. What does row $i$ of the map hold?
#
# <details><summary>Answer</summary>
#
# All its scores are 0, so the $i + 1$ allowed keys get the same weight: $1 / (i + 1)$ each.
# </details>
#
# A row without any allowed key would be $0/0$. The papers leave this open. We take the convention of
# torch's function `scaled_dot_product_attention`, by which a query that may attend to nothing gets the
# weights 0. (`nn.MultiheadAttention` gives `nan`, as you will see.)

# %% [markdown]
# ### Exercise: `attention_weights`
#
# You have `dot_product_scores`. Use your own softmax or `.softmax(-1)`, and take care of the rows
# in which nothing is allowed.

# %% exercise="scaled_dot_product.attention_weights"

# %%
check("scaled_dot_product.attention_weights", attention_weights)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.attention_weights")`. To read on without solving it:
# `from solutions.scaled_dot_product import attention_weights, dot_product_scores`.

# %%
torch.manual_seed(0)
q, k = 1.5 * torch.randn(2, 6, 8, dtype=torch.float64)
for name, query in ("q = 0", 0 * q), ("random q", q):
    a = attention_weights(query, k, causal_mask(6, 6))
    claim((a.sum(-1) - 1).abs().max() < 1e-12, f"{name}: the weights of each row sum to 1")

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(5.4, 2.3))
titles = "q = 0: row i holds 1 / (i + 1)", "Random q: weights differ"
for ax, query, title in zip(axs, (0 * q, q), titles, strict=True):
    a = attention_weights(query, k, causal_mask(6, 6))
    plots.heat(ax, a, "key j", "query i", title, bar=ax is axs[1])
    for i in range(5):
        box = (i + 0.5, i - 0.5), 5 - i, 1
        ax.add_patch(plt.Rectangle(*box, fc="#d9d9d9", ec="#888888", hatch="////", lw=0))
fig.axes[-1].set_ylabel("weight")
plots.show(
    fig,
    "Two causal maps, 6 by 6, hatched above the diagonal. Left, each row is even; right, not.",
)

# %% [markdown]
# **What you should see.** Both maps are hidden above the diagonal. On the left each row is even, and
# the weights fall from 1 in row 0 to 1/6 in row 5. On the right the rows prefer certain keys, and row
# 0 is still 1, because with a single key there is no choice.

# %% [markdown]
# ### The query that may attend to nothing

# %%
nothing = padding_mask(torch.tensor([3, 0]), 6)
s = dot_product_scores(q, k) / math.sqrt(8)
naive = softmax(s.masked_fill(~nothing, -math.inf))
ours = attention_weights(q.expand(2, 6, 8), k.expand(2, 6, 8), nothing)
print("naive, query 0 of example 1:", naive[1, 0])
print("yours, query 0 of example 1:", ours[1, 0])
claim(naive[1].isnan().all() and (ours[1] == 0).all(), "nan in the naive form, 0 in yours")

# %%
torch.manual_seed(0)
layer, tokens = nn.MultiheadAttention(8, 1, batch_first=True), torch.randn(2, 6, 8)
padding = torch.tensor([[False] * 6, [True] * 6])  # the second example is nothing else
theirs, _ = layer(tokens, tokens, tokens, key_padding_mask=padding)
claim(theirs[1].isnan().all(), "nn.MultiheadAttention gives nan where all keys are padding")

# %% [markdown]
# **What you should see.** The naive form gives six times `nan`, as torch's layer does, and yours gives
# six times 0. The largest score of the row is $-\infty$, and $-\infty - (-\infty)$ is not a number. A single such
# row is enough to turn every weight of a network into `nan` at the next step of training. If
# yours is $1/6$, you filled in a large negative number where $-\infty$ belongs.

# %% [markdown]
# ### Ablation: what if the mask comes after the softmax?

# %%
late = attention_weights(q, k) * causal_mask(6, 6)
print("sums of the rows:", late.sum(-1))
claim((late.sum(-1)[:-1] < 1).all(), "rows that lost keys no longer sum to 1")

# %% [markdown]
# **What you should see.** Only the last row sums to 1. The others gave weight to keys that they
# may not see, and setting it to 0 afterwards makes the output too small. What is worse, the size
# of what is missing depends on the hidden keys, so the future leaks into the present.

# %% [markdown]
# ## 1.7 Scaled dot-product attention
#
# The map says *from where* a query reads, and the values say *what* it reads there. The last step
# is therefore a weighted mean of the values. The figure shows the whole mechanism with its axes; `@`
# is the matrix product, as in Python, the first one of $q$ and $k^\top$. The mask hides the last key.


# %% jupyter={"source_hidden": true}
def whole(ax, q, k, a, v, hidden):
    """Queries, keys, mask, the map, values and output, each with its two letters."""
    Q = diagrams.matrix(ax, 0.7, 4.0, q, "i d", "q")
    K = diagrams.matrix(ax, 0.7, 0.7, k, "j d", "k")
    M = diagrams.matrix(ax, 4.9, 5.6, ~hidden, "i j", "mask", "#bbbbbb", hidden=hidden)
    A = diagrams.matrix(ax, 8.3, 3.4, a, "", "A", diagrams.ATTENTION, hidden=hidden)
    V = diagrams.matrix(ax, 10.5, 0.6, v, "j e", "v")
    Y = diagrams.matrix(ax, 14.2, 3.4, a @ v, "", "y")
    for table, letters in (A, ("i", "j")), (Y, ("i", "e")):
        diagrams.label(ax, (table.x - 0.12, table.y + 1.0), letters[0], "right", "center")
        diagrams.label(ax, (table.middle[0], table.y - 0.12), letters[1], "center", "top")
    return Q, K, M, A, V, Y


# %% jupyter={"source_hidden": true}
rng = np.random.default_rng(3)
q, k, v = rng.random((3, 4)), rng.random((5, 4)), rng.random((5, 2))
hidden = np.tile(np.arange(5) == 4, (3, 1))
a = np.where(hidden, 0, np.exp(3 * q @ k.T))
a = a / a.sum(-1, keepdims=True)
fig, ax = diagrams.canvas(15.4, 7.6)
Q, K, M, A, V, Y = whole(ax, q, k, a, v, hidden)
one, two = diagrams.join(ax, 3.6, 4.0, "@"), diagrams.join(ax, 12.5, 4.0, "@")
steps = "1  divide by √d\n2  mask\n3  softmax over j"
soft = diagrams.layer(ax, 4.55, 3.2, steps, 2.7, 1.6, diagrams.ATTENTION)
diagrams.arrows(ax, (Q.right, (3.6, 4.6), one.top), (K.right, (3.6, 1.7), one.bottom))
diagrams.arrows(ax, (one.right, soft.left), (soft.right, A.left), (A.right, two.left))
diagrams.arrows(
    ax, (V.right, (12.5, 1.6), two.bottom), (two.right, Y.left), ((6.5, 5.52), (6.5, 4.88))
)
said = """q times k goes through scale, mask and softmax, which gives the map A, whose last key is
    hidden by the mask; A times v is y."""
plots.show(fig, said)

# %% [markdown]
# $$
# y = \operatorname{softmax}\Bigl(\frac{q k^\top}{\sqrt d}\Bigr)\, v
# \qquad\qquad\text{(Vaswani et al. 2017, eq. 1)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $A$ | `... i j` | the map of section 1.6 |
# | $v$ | `... j e` | values, as wide as they like |
# | $y$ | `... i e` | for each query a weighted mean of the values |
#
# In the next figure the values are colours, `j e` with `e` = 3. Three queries mix them.

# %% jupyter={"source_hidden": true}
v = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.2, 0.8], [0.1, 0.6, 0.2], [1, 0.8, 0.1], [0, 0, 0]])
a = torch.tensor([[1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 0.2, 0.8, 0]])
y = sum(rearrange(a[:, j], "i -> i 1") * v[j] for j in range(5))
fig, axs = plt.subplots(1, 3, figsize=(6.0, 1.9), width_ratios=(1, 2, 1))
squares = [repeat(colours, "n e -> (n 2) 3 e") for colours in (v, y)]
plots.image(axs[0], squares[0], "Five values v").set(ylabel="key j")
plots.heat(axs[1], a, "key j", "query i", "The map A")
fig.axes[-1].set_ylabel("weight")
for i, j in a.nonzero().tolist():
    ink = "black" if a[i, j] > 0.6 else "white"
    axs[1].text(j, i, f"{a[i, j]:g}", ha="center", va="center", size=8, color=ink)
plots.image(axs[2], squares[1], "Outputs y").set(ylabel="query i")
plots.show(
    fig, "Red, blue, green, yellow, black; outputs: red, purple, and yellow with green in it."
)

# %% [markdown]
# **What you should see.** Query 0 takes red alone. Query 1 takes half of red and half of blue, which is
# purple, and query 2 one fifth of green and four fifths of yellow.
#
# **Predict**, before you run anything: (1) There is only one key. What is $y$? (2) The query is 0. What is
# $y$? (3) Keys and values are shuffled together. What changes?
#
# <details><summary>Answer</summary>
#
# (1) Its value, whatever the query is: the weight of a single key is 1. (2) The plain mean of the values.
# (3) Nothing: a sum has no order. Attention does not know where a token stands, which is the subject of
# chapter 03.
# </details>

# %% [markdown]
# ### Exercise: `scaled_dot_product_attention`

# %% exercise="scaled_dot_product.scaled_dot_product_attention"

# %%
check("scaled_dot_product.scaled_dot_product_attention", scaled_dot_product_attention)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.scaled_dot_product_attention")`. To read on without solving
# it: `from solutions.scaled_dot_product import scaled_dot_product_attention`.

# %%
torch.manual_seed(0)
q, k, v = (torch.randn(2, n, d, dtype=torch.float64) for n, d in ((3, 7), (5, 7), (5, 4)))
y = scaled_dot_product_attention(q, k, v)
one = scaled_dot_product_attention(100 * q, k[:, :1], v[:, :1])
claim(torch.allclose(one, v[:, :1].expand_as(y)), "one key: its value, whatever q")
still = scaled_dot_product_attention(0 * q, k, v)
mean = reduce(v, "b j e -> b 1 e", "mean")
claim(torch.allclose(still, mean.expand_as(y)), "q = 0: the plain mean of the values")
order = torch.randperm(5)
shuffled = scaled_dot_product_attention(q, k[:, order], v[:, order])
claim(torch.allclose(shuffled, y), "keys and values shuffled together: nothing changes")

# %% [markdown]
# **What you should see.** The three claims hold, as predicted. If the first fails, your weights
# do not sum to 1; if the third fails, something depends on the position of a key.

# %% [markdown]
# ### Does it equal torch's?
#
# `torch.nn.functional.scaled_dot_product_attention` is the function that large models run. The
# next cell compares outputs and gradients under each mask, including one with an empty row.

# %%
holes = torch.rand(2, 3, 5) < 0.6
holes[1, 1] = False
masks = {"none": None, "causal": causal_mask(3, 5), "holes": holes}
leaves = [x.requires_grad_() for x in (q, k, v)]
for name, mask in masks.items():
    mine = scaled_dot_product_attention(*leaves, mask)
    torchs = nn.functional.scaled_dot_product_attention(*leaves, attn_mask=mask)
    same = torch.allclose(mine, torchs, rtol=0, atol=1e-12)
    slopes = [torch.autograd.grad(y.sin().sum(), leaves) for y in (mine, torchs)]
    pairs = zip(*slopes, strict=True)
    same_slopes = all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in pairs)
    claim(same and same_slopes, f"mask {name}: output and gradients equal torch's")

# %% [markdown]
# **What you should see.** The three claims say that outputs and gradients agree to twelve
# decimals. What you wrote *is* the attention of the large models. What they add is speed (chapter
# 11) and several heads (chapter 02). If only the last line fails, look at the empty row.

# %% [markdown]
# ### Ablation: what if queries and keys trade places?

# %%
with torch.no_grad():
    there = attention_weights(q, k)
    back = attention_weights(k, q)
    for name, a in ("q, k", there), ("k, q", back):
        print(f"{name}: {tuple(a.shape)}, rows sum to", *(f"{row:.4f}" for row in a.sum(-1)[0]))
    apart = (there - rearrange(back, "b j i -> b i j")).abs().max()
claim(apart > 0.1, "the maps are not each other's transpose, though the scores are")

# %% [markdown]
# **What you should see.** The two maps are not transposes of each other, although their scores
# are, because the softmax runs over a different axis. "How much of its attention does $i$ give to
# $j$?" and "how much does $j$ give to $i$?" are two different questions.

# %% [markdown]
# ## 1.8 A photograph denoises itself
#
# Nothing needs to be trained for attention to be useful. In 2005 Antoni Buades, Bartomeu Coll and
# Jean-Michel Morel proposed [non-local means](https://doi.org/10.1109/CVPR.2005.38): a photograph
# contains the same detail many times, so each pixel can be averaged with all those whose
# surroundings look alike. Chapter 07 returns to the name. Here is a photograph, and the same with
# noise of standard deviation $\sigma = 0.1$ in every pixel and channel.


# %%
def noisy_photograph(name, seed):
    """A photograph of 48 x 72 pixels without noise, and with."""
    torch.manual_seed(seed)
    clean = photograph(name, 48, 72).double()
    return clean, clean + 0.1 * torch.randn_like(clean)


clean, noisy = noisy_photograph("china", 0)

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4))
plots.image(axs[0], clean, "What we want back")
plots.image(axs[1], noisy, "What we have: every pixel is off by about 0.1")
plots.show(fig, "A temple by a lake, 48 by 72 pixels, without noise and with.")

# %% [markdown]
# **Predict.** The **peak signal-to-noise ratio** (PSNR) is $10 \log_{10}(1 / \text{mean squared
# error})$, in decibels, where the 1 is the largest value that a pixel can have. What is it for the noisy picture? And what would it be if each pixel were
# the mean of ten that have the same clean value?
#
# <details><summary>Answer</summary>
#
# The mean squared error is $\sigma^2 = 0.01$, so 20 dB. The mean of ten has a tenth of it: 30 dB. The whole
# art is to know which pixels have the same clean value.
# </details>

# %% [markdown]
# ### To beat: the best blur
#
# A Gaussian blur assumes that neighbouring pixels have the same value. Its width is searched on
# this very picture, with the clean version in hand, among the 23 widths below. In practice one does not have it.

# %%
widths = [n / 20 for n in range(8, 31)]


def best_blur(noisy, clean):
    """The width of the Gaussian, in pixels, that brings the noisy picture nearest to the clean one."""
    return max(widths, key=lambda width: psnr(blur(noisy, width), clean))


width = best_blur(noisy, clean)
blurred = blur(noisy, width)
print(f"noisy {psnr(noisy, clean):.2f} dB")
gain = psnr(blurred, clean) - psnr(noisy, clean)
print(
    f"best blur {psnr(blurred, clean):.2f} dB, with a width of {width} pixels: {gain:.2f} more"
)

# %% [markdown]
# **What you should see.** The noisy picture has nearly 20 dB, as predicted, and the best blur
# gains about 4.5 more with a width of 0.7 pixels. A wider blur would remove more of the noise and
# more of the picture.

# %% [markdown]
# ### From distances to inner products
#
# Non-local means gives pixel $j$ the weight $\exp(-\|p_i - p_j\|^2 / 2\beta^2)$, divided by the
# sum over $j$, where $p_i$ is the noisy patch around pixel $i$ and $\beta$ the **bandwidth**.
# (The paper counts the middle of a patch more; ours counts all pixels alike.) This is a softmax
# over $j$. Moreover,
#
# $$
# -\tfrac12 \|p_i - p_j\|^2 = p_i \cdot p_j - \tfrac12\|p_j\|^2 - \tfrac12 \|p_i\|^2
# $$
#
# The last term is the same for all $j$ and cancels in the softmax. The other two are the inner product of
# the query $(p_i, 1)$ with the key $(p_j, -\tfrac12\|p_j\|^2)$: the 1 of the query meets the last feature
# of the key and lets it pass. Attention divides by $\sqrt{d + 1}$, since there are now $d + 1$ features, so
# the query is multiplied by the same number beforehand.


# %% jupyter={"source_hidden": true}
def two_patches(ax):
    """Two patches of a picture, and what is made of them: a query, a key and a value."""
    spots = np.zeros((7, 7))
    spots[0:3, 3:6], spots[4:7, 1:4] = 0.5, 0.5
    spots[1, 4], spots[5, 2] = 1, 1
    diagrams.matrix(ax, 0.5, 1.2, spots, "", "noisy picture", side=0.46)
    for x, y, colour, name in (1.88, 3.04, "#d55e00", "i"), (0.96, 1.2, "#0072b2", "j"):
        ax.add_patch(plt.Rectangle((x, y), 1.38, 1.38, fill=False, lw=2.4, ec=colour))
        ax.text(
            x + 0.69, y + 0.69, name, ha="center", va="center", style="italic", color="white"
        )
    one = diagrams.vector(ax, 5.1, 3.1, (0.5,) * 9, "", "$p_i$, d = 27", side=0.24)
    other = diagrams.vector(ax, 5.1, 0.3, (0.5,) * 9, "", "$p_j$, d = 27", side=0.24)
    texts = (
        r"query $\sqrt{d + 1}\,(p_i, 1)$",
        r"key $(p_j, -\|p_j\|^2 / 2)$",
        "value: pixel $j$",
    )
    steps = zip((3.78, 1.9, 0.7), texts, strict=True)
    return (
        one,
        other,
        *(diagrams.layer(ax, 6.6, y, text, 3.9, 0.8, diagrams.DATA) for y, text in steps),
    )


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15.4, 6.0)
one, other, q, k, v = two_patches(ax)
soft = diagrams.layer(ax, 11.5, 2.1, "attention\nover all j", 2.1, 1.1, diagrams.ATTENTION)
y = diagrams.vector(ax, 14.5, 2.45, [0.5], "", "$y_i$", side=0.4)
diagrams.arrows(ax, ((3.35, 4.18), one.left), ((2.42, 1.38), other.left))
diagrams.arrows(ax, (one.right, q.left), (other.right, k.left), (soft.right, y.left))
diagrams.arrows(ax, (q.right, (11.45, 3.0)), (k.right, (11.45, 2.55)), (v.right, (11.45, 2.2)))
diagrams.arrows(ax, ((1.65, 1.66), (1.65, 0.05), (6.2, 0.05), (6.2, 1.1), (6.5, 1.1)))
said = """The patch of nine pixels around pixel i becomes p_i and makes the query; the patch around
    another pixel j becomes p_j and makes a key; pixel j itself is the value. Attention over all j
    gives the output y_i."""
plots.show(fig, said)

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | $p$ | `n d` | one row of features for each pixel, `n` = `h w`; for a patch of 3 x 3 pixels and three colours, `d` = 27 |
# | query | `n d+1` | $(p, 1)$, times $\sqrt{d + 1}$, by which attention divides again |
# | key | `n d+1` | $(p, -\tfrac12 \lVert p\rVert^2)$ |
# | value | `n c` | the noisy pixel in the middle of the patch |
#
# The bandwidth goes into the features: for $p / \beta$ the score is $-\|p_i - p_j\|^2 / 2 \beta^2$.
# `surroundings(x, 3)` gives the 27 numbers around every pixel, so these patches overlap, and `places(h, w)`
# its row and column.


# %%
def queries_and_keys(p):
    """Queries and keys whose scaled scores are minus half the squared distances of p."""
    ones = torch.ones(len(p), 1, dtype=p.dtype)
    q = torch.cat([p, ones], dim=-1)
    k = torch.cat([p, -reduce(p**2, "n d -> n 1", "sum") / 2], dim=-1)
    return q * math.sqrt(q.shape[-1]), k


def denoise(p, picture, mask=None):
    """Every pixel as the mean of all pixels whose features are near its own."""
    v = rearrange(picture, "h w c -> (h w) c")
    y = scaled_dot_product_attention(*queries_and_keys(p), v, mask)
    return rearrange(y, "(h w) c -> h w c", h=len(picture))


# %% [markdown]
# ### A blur is attention too
#
# If the features are not patches but *places*, each pixel becomes the mean of those near it, with
# Gaussian weights.
#
# **Predict.** How does this compare with scipy's Gaussian blur of the same width?
#
# <details><summary>Answer</summary>
#
# It is the same, except near the border, where scipy mirrors the picture and attention divides by the weights
# of the pixels that exist.
# </details>

# %%
as_attention = denoise(places(48, 72) / width, noisy)
inside = (slice(4, -4), slice(4, -4))
print(f"blur by scipy         {psnr(blurred, clean):.2f} dB")
print(f"attention over places {psnr(as_attention, clean):.2f} dB")
apart = (as_attention - blurred)[inside].abs().max()
claim(apart < 1e-3, "away from the border, a Gaussian blur is attention over places")

# %% [markdown]
# **What you should see.** The claim holds: away from the border both are the same picture. So the
# question "blur or non-local means?" is the question what queries and keys should be made of.

# %% [markdown]
# ### Patches, then patches and places
#
# Patches have 3 by 3 pixels of three colours, so $d = 27$. Features may also be put side by side,
# `n 27` and `n 2`. Their squared distances then add up, so a pixel must be alike *and* not too
# far away. The bandwidths are chosen on another photograph with other noise, the dahlia, and then
# used on the temple.

# %%
other_clean, other_noisy = noisy_photograph("flower", 100)
other_p, here = surroundings(other_noisy, 3), places(48, 72)


@cache
def bandwidths():
    """The best on the dahlia: of patches alone, and of patches and places side by side."""
    alone, paired = {}, {}
    for beta in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
        alone[beta] = psnr(denoise(other_p / beta, other_noisy), other_clean)
        for width in (3, 5, 8):
            f = torch.cat([other_p / beta, here / width], dim=-1)
            paired[beta, width] = psnr(denoise(f, other_noisy), other_clean)
    return max(alone, key=alone.get), max(paired, key=paired.get)


# %%
beta, (beta_with_places, width_of_places) = bandwidths()
print("chosen on the dahlia:")
print(f"patches alone       bandwidth {beta}")
print(
    f"patches and places  bandwidth {beta_with_places}, and {width_of_places} pixels for places"
)


# %%
def features_of(noisy):
    """The three kinds of features: places, patches, and both side by side."""
    p, (beta, (beta_with_places, width_of_places)) = surroundings(noisy, 3), bandwidths()
    both = torch.cat([p / beta_with_places, here / width_of_places], dim=-1)
    return {"places": here / width, "patches": p / beta, "both": both}


def attended(noisy, kind):
    return denoise(features_of(noisy)[kind], noisy)


# %%
gains = []
for seed in range(3):
    goal, given = noisy_photograph("china", seed)
    blurry = psnr(blur(given, best_blur(given, goal)), goal)
    by_patch, by_both = (psnr(attended(given, kind), goal) for kind in ("patches", "both"))
    gains.append((by_patch - blurry, by_both - blurry))  # in dB
    print(f"noise {seed}: blur {blurry:.2f}, patches {by_patch:.2f}, both {by_both:.2f} dB")
gains = torch.tensor(gains)
print("gains, median:", *(f"{gain:.2f}" for gain in gains.median(0).values))
claim(gains[:, 0].min() > 0.7, "patches beat the best blur by more than 0.7 dB each time")
claim(gains[:, 1].min() > 1.3, "patches and places beat it by more than 1.3 dB each time")

# %% jupyter={"source_hidden": true}
shown = {
    "Best blur": blurred,
    "Attention, patches": attended(noisy, "patches"),
    "Attention, patches and places": attended(noisy, "both"),
}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
for ax, (name, picture) in zip(axs, shown.items(), strict=True):
    plots.image(ax, picture, f"{name}\n{psnr(picture, clean):.1f} dB")
plots.show(fig, "The temple three times: blurred; sharper, with flat walls; the best of both.")

# %% [markdown]
# **What you should see.** The three lines agree: patches gain about 1 dB over the best blur, and
# patches with places about 1.7 dB, which is about a third less squared error. They do so with
# bandwidths from another photograph, while the blur's width was searched on the picture itself. (3 pixels
# is the smallest width that was tried for places; a smaller one might do better still.)

# %% [markdown]
# ### What does one pixel look at?
#
# A row of the map is a picture. The next figure takes a pixel at the end of an orange roof
# and draws its weights over the photograph, for the three kinds of query and key.
#
# **Predict.** For given weights the noise left in $y_i$ has the variance $\sigma^2 \sum_j
# a_{ij}^2$, as if it were the plain mean of $1 / \sum_j a_{ij}^2$ pixels. How many pixels is that for
# a blur of width 0.7? (For a Gaussian in the plane, the integral of its square is $1 / (4 \pi \cdot
# \text{width}^2)$.)
#
# <details><summary>Answer</summary>
#
# $4 \pi \cdot 0.7^2 = 6.2$ pixels.
# </details>

# %%
row, column = 37, 34


def weights_of(row, column, f):
    """One row of the map, that of the pixel at this row and column, as a picture h w."""
    (q, k), i = queries_and_keys(f), row * 72 + column
    return rearrange(attention_weights(q[i : i + 1], k), "1 (h w) -> h w", h=48)


for name, f in features_of(noisy).items():
    a = weights_of(row, column, f)
    read, own = 1 / a.square().sum(), a[row, column]
    print(f"{name:8} as if it read {read:.1f} pixels; weight of the pixel itself {own:.2f}")


# %% jupyter={"source_hidden": true}
def over(ax, a, title):
    """Weights above 0.001 as colours over the photograph in grey, around the pixel."""
    plots.image(ax, reduce(clean, "h w c -> h w", "mean"), title)
    large = np.ma.masked_less(a.numpy(), 0.001)
    drawn = ax.imshow(large, norm="log", vmin=0.001, vmax=1, cmap="viridis")
    ringed(ax)
    return drawn


def ringed(ax):
    """Only the part of the photograph that holds weights; a ring around the pixel."""
    ax.plot(column, row, "o", mfc="none", mec="#d55e00", ms=20, mew=1.0)
    ax.set(xlim=(8.5, 51.5), ylim=(46.5, 3.5))


# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(2, 2, figsize=(5.6, 4.9))
plots.image(axs[0, 0], clean, "The pixel, at the end of a roof")
ringed(axs[0, 0])
titles = "Places: its neighbours", "Patches: the other roofs as well", "Both: near and alike"
for ax, title, f in zip(axs.flat[1:], titles, features_of(noisy).values(), strict=True):
    shown = over(ax, weights_of(row, column, f), title)
fig.colorbar(shown, ax=axs, label="weight (below 0.001 the photograph shows)", shrink=0.8)
plots.show(
    fig,
    """A pixel of an orange roof, and its weights over the temple: with places a round spot; with
    patches the pixel itself and single pixels on several roofs; with both pixels nearby.""",
)

# %% [markdown]
# Now choose pixels yourself: point at one, or tap it, or use the arrow keys (every third pixel can be
# chosen). Try a roof, the sky and the lake. In a notebook that does not run, a pixel of the sky is drawn:
# its patches look alike nearly everywhere in the sky, so that their weights are spread wide.

# %%
few = rearrange(torch.arange(48 * 72), "(h p w q) -> h p w q", h=16, p=3, q=3)[
    :, 1, :, 1
].flatten()
every_third = {}
for name, f in features_of(noisy).items():
    q, k = queries_and_keys(f)
    every_third[name] = attention_weights(q[few], k)
explore(clean, every_third, queries=(16, 24), query=(3, 18), name="temple")

# %% [markdown]
# **What you should see.** In the figure of the roof, with places the pixel reads a spot of about six pixels, as predicted.
# The patch finds orange edges wherever they are, up to the top of the temple, but gives half of
# its attention to itself. With places beside them the patches need not be so similar, and the
# near ones carry more of the weight. Patches thus read fewer pixels here than the blur does, but the right ones: the
# blur's six lie on both sides of the edge.

# %% [markdown]
# ### Ablation: what if the key loses its extra feature? (may be skipped at first reading)
#
# Then the score is the plain $p_i \cdot p_j / \beta^2$, and a key is long where the picture is
# bright. Think of section 1.3 before you run the cell.

# %%
p = surroundings(noisy, 3)
for beta in (0.3, 1, 3):
    q = p / beta * math.sqrt(27)
    plain = scaled_dot_product_attention(q, p / beta, rearrange(noisy, "h w c -> (h w) c"))
    plain = rearrange(plain, "(h w) c -> h w c", h=48)
    print(
        f"beta = {beta:<3}  {psnr(plain, clean):5.2f} dB   mean brightness {plain.mean():.3f}"
    )
    claim(psnr(plain, clean) < 15, f"beta = {beta}: below 15 dB, worse than the noise")
print(f"mean brightness of the clean picture {clean.mean():.3f}")

# %% [markdown]
# **What you should see.** The results have between 5 and 11 dB, far below the noisy picture, and
# they are much too bright. Every pixel asks, and the longest keys answer, which are the brightest
# patches. A larger $\beta$ only leads to the mean of the whole picture. The one extra feature is
# what turns "long" into "near".

# %% [markdown]
# ### Ablation: a pixel that may not see itself (may be skipped at first reading)
#
# A noisy patch is at distance 0 from itself, whereas a perfect twin is at $\|p_i - p_j\|^2 \approx 2 \sigma^2 d$,
# because of the noise in both.
#
# **Predict.** With $\sigma = 0.1$, $d = 27$ and $\beta = 0.3$: how many times the weight of a
# twin does a pixel give to itself?
#
# <details><summary>Answer</summary>
#
# $e^{2 \sigma^2 d / 2 \beta^2} = e^{0.27 / 0.09} = e^3 = 20$ times. A mask can forbid it.
# </details>


# %%
def seeing_and_blind(given, goal, beta):
    """The quality in dB where each pixel may see itself, and where it may not."""
    p = surroundings(given, 3) / beta
    others = ~torch.eye(48 * 72, dtype=torch.bool)
    return psnr(denoise(p, given), goal), psnr(denoise(p, given, others), goal)


# %%
lead = {}
for name in ("china", "flower"):
    goal, given = noisy_photograph(name, 1)
    blurry = psnr(blur(given, best_blur(given, goal)), goal)
    found = {beta: seeing_and_blind(given, goal, beta) for beta in (0.25, 0.3)}
    lead[name] = found[0.25][1] - found[0.3][0]
    print(f"{name:6}   blur {blurry:.2f}", end="")
    for beta, (seeing, blind) in found.items():
        print(f"   beta {beta}: patches {seeing:.2f}, blind {blind:.2f}", end="")
    print(" dB")
claim(lead["flower"] > 0.1, "on the dahlia a pixel that may not see itself does better")
claim(abs(lead["china"]) < 0.2, "on the temple it does as well, to 0.2 dB")

# %% [markdown]
# **What you should see.** On the dahlia a pixel that may not look at itself does better, and on
# the temple it does as well, although it throws its own value away. Each is compared at the better of the two
# bandwidths: without the twentyfold favourite the twins count anyway, and the pixel can be choosier about whom it reads.

# %% [markdown]
# ## What you have now
#
# The translator of 2014 had to press a sentence into one vector. With attention it keeps a vector for each
# word, and each step takes the mean that it needs. You have written that mean, it equals torch's, and
# without any training it leaves about a third less squared error in a photograph than the best blur.
#
# | | formula | what to remember |
# |---|---|---|
# | softmax | $\exp(s_j - t) / \sum_{j'} \exp(s_{j'} - t)$ | a constant cancels, so subtract the maximum |
# | additive score | $u^\top \tanh(W_q q + W_k k)$ | bounded; the tanh lets query and key interact |
# | dot-product score | $q \cdot k$ | no weights and no tanh: unbounded, rewards length |
# | scale | $1 / \sqrt d$ | brings the variance of the scores from $d$ to 1 |
# | mask | $-\infty$ before the softmax | True means *may attend*; masks combine with `&` |
# | attention | $\operatorname{softmax}(q k^\top / \sqrt d)\, v$ | a mean of values; it has no order |
# | denoising | queries and keys from patches | what they are made of decides what attention does |

# %% [markdown]
# ### Explain it to somebody
#
# 1. What is the difference between attention and looking something up in a dictionary?
# <details><summary>Answer</summary>
# A dictionary returns the value of the one equal key. Attention returns a mean of all values, weighted by how
# well their keys fit, and is differentiable.
# </details>
#
# 2. Why is the maximum subtracted in a softmax, and why does it change nothing?
# <details><summary>Answer</summary>
# The exponential of a large score overflows. Subtracting t multiplies numerator and denominator by exp(−t),
# which cancels.
# </details>
#
# 3. What happens to wide queries and keys if the scores are not divided by √d?
# <details><summary>Answer</summary>
# Their scores have the variance d, so one key takes nearly all of the weight; then no weight changes when a score
# does, and no gradient passes.
# </details>

# %% [markdown]
# 4. Why must a mask be applied before the softmax?
# <details><summary>Answer</summary>
# Afterwards the forbidden keys have already taken weight: the rest does not sum to 1, and what is missing tells
# something about them.
# </details>
#
# 5. How is a Gaussian blur a special case of attention?
# <details><summary>Answer</summary>
# Queries and keys are made of places, and the scores are minus half the squared distances. The softmax makes
# Gaussian weights of them.
# </details>

# %% [markdown]
# ### What came after
#
# - [Xu et al. 2015](https://arxiv.org/abs/1502.03044) also tried **hard attention**, which samples one place
#   instead of averaging, and must be trained by reinforcement learning.
# - [Sparsemax](https://arxiv.org/abs/1602.02068) (2016) replaces the softmax by a projection that can give keys
#   a weight of exactly 0.
# - [Query-key normalisation](https://arxiv.org/abs/2010.04245) (2020) takes the length out of queries and keys,
#   the problem of section 1.3; [ViT-22B](https://arxiv.org/abs/2302.05442) (2023) needed a form of it to train
#   stably.

# %% [markdown]
# Two questions have been studied ever since: what follows from weights that must sum to 1, and how can the
# cost of the map be avoided?
#
# - [Attention sinks](https://arxiv.org/abs/2309.17453) (2023): since the weights must sum to 1, a model with
#   nothing to read puts them on the first token. [Registers](https://arxiv.org/abs/2309.16588) (2023) give vision
#   transformers extra tokens for the same purpose.
# - [Linear attention](https://arxiv.org/abs/2006.16236) (2020) replaces the exponential by a product of features,
#   so that the map need not be formed; [FlashAttention](https://arxiv.org/abs/2205.14135) (2022) computes the
#   exact softmax without storing it. Chapter 11 builds the latter's algorithm.

# %% [markdown]
# ### References
#
# - Bahdanau, Cho, Bengio, [Neural Machine Translation by Jointly Learning to Align and Translate](https://arxiv.org/abs/1409.0473), ICLR 2015.
# - Luong, Pham, Manning, [Effective Approaches to Attention-based Neural Machine Translation](https://arxiv.org/abs/1508.04025), EMNLP 2015.
# - Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762), NeurIPS 2017.
# - Buades, Coll, Morel, [A Non-Local Algorithm for Image Denoising](https://doi.org/10.1109/CVPR.2005.38), CVPR 2005.
# - Nadaraya, On Estimating Regression, 1964; Watson, Smooth Regression Analysis, 1964.
#
# Here we chose what queries and keys are made of. In chapter 02 they are learned, several at a
# time.
