# %% [markdown]
# # 1 · Scaled dot-product attention
#
# You will write the softmax, additive and dot-product scores, two masks and scaled
# dot-product attention, find that it equals torch's, and let the patches of a photograph
# take the noise off each other. **75 min · CPU is enough**

# %%
import math

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attncourse import check, hint, solution
from attncourse.book import claim, plots
from attncourse.tasks.pictures import photograph
from attncourse.tasks.denoising import blur, patches, places, psnr

# %% [markdown]
# Attention is a table one can ask inexactly. A **query** is compared with the **key** of every
# entry; the comparison gives a **score**; scores become shares; and the answer is the mean of
# the **values** in these shares. The chapter goes through it backwards: shares first, then
# scores, then the whole.
#
# | letter | what it counts |
# |---|---|
# | `b` | examples in a batch |
# | `i`, `j` | queries, keys |
# | `d`, `e` | features of a query or key, of a value |
# | `m` | hidden features |

# %% [markdown]
# ## 1.1 Shares: the softmax
#
# Look: on the left the scores of four keys, on the right what one wants of them. All shares
# are positive, they sum to 1, and the order is kept.

# %%
scores = torch.tensor([2.0, 0.0, 1.0, -1.0])
wanted = [0.644, 0.087, 0.237, 0.032]
fig, axs = plt.subplots(1, 2, figsize=(6.4, 1.9))
axs[0].bar(range(4), scores, color="C5")
axs[0].set(title="Scores: any number", xlabel="key j", ylabel="score", xticks=range(4))
axs[0].axhline(0, color="black", linewidth=0.8)
axs[1].bar(range(4), wanted, color="C0")
axs[1].set(title="Shares of 1, in the same order", xlabel="key j", ylabel="share")
axs[1].set(ylim=(0, 1), xticks=range(4))
plots.show(fig, "Bars: scores 2, 0, 1, -1 of four keys become shares 0.64, 0.09, 0.24, 0.03.")

# %% [markdown]
# **Predict.** Two keys have scores $0$ and $\ln 3$. What are their shares?
# And if 1000 is added to both?
#
# <details><summary>Answer</summary>
#
# $e^0 : e^{\ln 3} = 1 : 3$, so $\tfrac14$ and $\tfrac34$. The factor $e^{1000}$ stands above
# and below the fraction line and cancels: the same shares.
# </details>
#
# $$
# a_{j} = \frac{e^{x_j}}{\sum_{j'} e^{x_{j'}}} = \frac{e^{x_j - c}}{\sum_{j'} e^{x_{j'} - c}}
# \quad\text{for every number } c \qquad\text{(Bahdanau et al. 2015, eq. 6)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `... j` | scores, any number of axes in front |
# | $a$ | `... j` | shares, each row with sum 1 |

# %% [markdown]
# ### Exercise: `softmax`
#
# $c$ is yours to choose, one for each row. Choose it so that no exponential can overflow.

# %% exercise="scaled_dot_product.softmax"

# %%
check("scaled_dot_product.softmax", softmax)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.softmax")` gives one hint at a time. To read on without
# solving it: `from solutions.scaled_dot_product import softmax`.

# %%
two = torch.tensor([0, math.log(3)])
print("shares          ", softmax(two))
print("1000 added      ", softmax(two + 1000))
claim(softmax(two + 1000).isfinite().all(), "adding 1000 does no harm")

# %% [markdown]
# **What you should see.** 0.25 and 0.75 in both lines, as $1 : 3$ demands. If the second line
# is `nan`, you took the exponential before the maximum was gone; if the lines differ, something
# other than the softmax depends on the size of the scores.

# %% [markdown]
# ### Ablation: what if nothing is subtracted?

# %%
for x in (10.0, 88.0, 89.0, 1000.0):
    row = torch.tensor([x, 0.0])
    naive = row.exp() / row.exp().sum()
    print(f"score {x:4g}   naive {naive[0]:.4f}   yours {softmax(row)[0]:.4f}")

# %% [markdown]
# **What you should see.** The naive form turns into `nan` between 88 and 89: the largest
# float32 is $3.4\cdot10^{38} = e^{88.7}$, beyond it `exp` gives `inf`, and `inf / inf` is no
# number. Yours says 1 throughout. Scores of 89 are nothing unusual, as section 1.4 shows.

# %% [markdown]
# ## 1.2 Additive scores: a small network compares
#
# The first attention of neural translation let a network with one hidden layer look at query
# and key together. Look at what two hidden units can do: keys and queries are places on a line,
# and the difference of two steps is a bump over the places near the query.

# %%
gap = torch.linspace(-3, 3, 121)
rise, fall = (4 * gap + 2).tanh(), (4 * gap - 2).tanh()
fig, ax = plt.subplots(figsize=(4.6, 2.1))
steps = {"tanh(4 gap + 2)": rise, "tanh(4 gap - 2)": fall, "difference": rise - fall}
title = "Two steps make a bump: only near keys score"
plots.lines(ax, gap, steps, "gap = place of key j - place of query i", "score", title)
plots.show(fig, "Two S-shaped curves from -1 to 1 and their difference, a bump of height 1.93.")

# %% [markdown]
# **Predict.** How high is the bump in the middle? And whatever the inputs, between which two
# numbers does the difference stay?
#
# <details><summary>Answer</summary>
#
# $\tanh 2 - \tanh(-2) = 2 \tanh 2 = 1.928$. Each tanh lies in $(-1, 1)$, so the difference lies
# in $(-2, 2)$. In general $|e| \le \sum_m |w_m|$.
# </details>
#
# $$
# e_{ij} = w^\top \tanh(W_q q_i + W_k k_j)
# \qquad\qquad\text{(Bahdanau et al. 2015, appendix A.1.2)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$ | `b i query_dim`, `b j key_dim` | need not be equally wide |
# | $W_q q + W_k k$ | `b i j m` | hidden features of every pair |
# | $e$ | `b i j` | scores |
# | $y$ | `b i e` | the values `b j e`, averaged in shares of $e$ |

# %% [markdown]
# ### Exercise: `AdditiveAttention`
#
# The layers are there: `query` and `key` lead to the hidden features, `score` is $w$. Write
# `scores`, then `attention`, which makes shares of them over the keys, then `forward`, which
# averages the values.

# %% exercise="scaled_dot_product.additive_attention"

# %%
check("scaled_dot_product.additive_attention", AdditiveAttention)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.additive_attention")`. To read on without solving it:
# `from solutions.scaled_dot_product import AdditiveAttention`.

# %% [markdown]
# ### Let it look up places
#
# The bump, put into weights by hand: a place $x$ enters as $(x, 1)$, so that the second feature
# can carry the $\pm 2$. `loud` multiplies $w$.


# %%
@torch.no_grad()
def nearest(loud):
    """Additive attention whose score is a bump of height 1.93 loud where key = query."""
    layer = AdditiveAttention(query_dim=2, key_dim=2, hidden=2)
    layer.query.weight.copy_(torch.tensor([[-4.0, 2.0], [-4.0, -2.0]]))
    layer.key.weight.copy_(torch.tensor([[4.0, 0.0], [4.0, 0.0]]))
    layer.score.weight.copy_(torch.tensor([[loud, -loud]]))
    return layer.requires_grad_(False)


def at(*xs):
    return torch.tensor([[[float(x), 1.0] for x in xs]])


# %% [markdown]
# Seven keys at the places 0 to 6; their values are the squares. Three queries stand at 5, 1
# and 3.
#
# **Predict.** With $\sum|w| = 2$, can a key get nine tenths of the attention, with weights
# however clever?
#
# <details><summary>Answer</summary>
#
# At best its score is 2 and that of the six others $-2$: a share of
# $e^2 / (e^2 + 6 e^{-2}) = 0.901$. Barely. Here the others score 0 and not $-2$, so it stays
# far below. A bounded score bounds the share.
# </details>

# %%
q, k = at(5, 1, 3), at(*range(7))
v = rearrange(torch.arange(7.0) ** 2, "j -> 1 j 1")
for loud in (1, 2, 4):
    a, y = nearest(loud).attention(q, k), nearest(loud)(q, k, v)
    read = " ".join(f"{number:5.2f}" for number in y.flatten())
    print(f"sum |w| = {2 * loud}   largest share {a.max():.3f}   read {read}")

# %% [markdown]
# **What you should see.** Shares of about 0.53, 0.89 and 0.997, and with the last one the
# squares 25, 1 and 9 almost exactly. The share follows from the bump: the right key scores
# $1.928 \cdot$ `loud`, its two neighbours 0.036, the rest nothing. If your rows read the same
# number, your scores do not depend on the query.

# %%
fig, ax = plt.subplots(figsize=(5.4, 2.0))
plots.heat(
    ax,
    nearest(4).attention(q, k)[0],
    "key j, at place j",
    "query i",
    "Queries at 5, 1, 3 find the keys there",
)
plots.show(fig, "Map, 3 queries by 7 keys: one bright cell a row, at the keys 5, 1 and 3.")

# %% [markdown]
# ### Ablation: what if the tanh is dropped?
#
# The score is then a part from the query plus a part from the key. Think of section 1.1 before
# you run it: what does the softmax do with something that is added to the whole row?

# %%
torch.manual_seed(0)
layer = AdditiveAttention(query_dim=2, key_dim=2, hidden=8).requires_grad_(False)
by_query, by_key = layer.score(layer.query(q)), layer.score(layer.key(k))
flat = softmax(by_query + rearrange(by_key, "b j 1 -> b 1 j"))
print(flat[0])
claim((flat - flat[:, :1]).abs().max() < 1e-6, "without tanh every query gets the same shares")

# %% [markdown]
# **What you should see.** Three equal rows. $w^\top W_q q_i$ is added to all scores of query
# $i$, so it cancels, and what is asked has no influence any more. The tanh is what lets query
# and key meet.

# %% [markdown]
# ## 1.3 Dot-product scores: let the two arrows decide
#
# An inner product also tells whether query and key agree, and it needs no weights and no hidden
# axis `b i j m`. Look at one query and three keys in the plane.

# %%
arrows = {"q": (2, 1), "k0": (1, -2), "k1": (2, 1.5), "k2": (-2, 0.5)}
fig, ax = plt.subplots(figsize=(4.6, 2.4))
for c, (name, (x, y)) in enumerate(arrows.items()):
    ax.annotate("", (x, y), (0, 0), arrowprops=dict(arrowstyle="->", color=f"C{c}", lw=1.8))
    ax.text(1.1 * x, 1.12 * y, name, color=f"C{c}", ha="center", va="center")
ax.set(xlim=(-3, 3), ylim=(-2.6, 2.2), xlabel="feature d = 0", ylabel="feature d = 1")
ax.set(aspect="equal", title="k1 agrees with q, k2 is at odds, k0 neither")
plots.show(fig, "Arrows from 0: q (2, 1), k0 (1, -2) across, k1 (2, 1.5) along, k2 against.")

# %% [markdown]
# **Predict.** The three inner products of $q = (2, 1)$ with the keys $(1, -2)$, $(2, 1.5)$ and
# $(-2, 0.5)$.
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
# | $q$, $k$ | `... i d`, `... j d` | equally wide now |
# | $s$ | `... i j` | scores: queries down, keys across |

# %% [markdown]
# ### Exercise: `dot_product_scores`
#
# One line. Any number of axes may stand in front.

# %% exercise="scaled_dot_product.dot_product_scores"

# %%
check("scaled_dot_product.dot_product_scores", dot_product_scores)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.dot_product_scores")`. To read on without solving it:
# `from solutions.scaled_dot_product import dot_product_scores`.

# %% [markdown]
# ### Who is bounded?
#
# The same random queries and keys, made longer and longer, in both kinds of score.

# %%
torch.manual_seed(0)
layer = AdditiveAttention(query_dim=8, key_dim=8, hidden=4).double().requires_grad_(False)
bound = layer.score.weight.abs().sum().item()
q, k = torch.randn(2, 1, 5, 8, dtype=torch.float64)
for size in (1, 10, 100, 1000):
    additive = layer.scores(size * q, size * k).abs().max().item()
    dots = dot_product_scores(size * q, size * k).abs().max().item()
    print(
        f"length x {size:<5} additive {additive:6.3f} of {bound:.3f}   dot product {dots:.3g}"
    )
claim(additive <= bound, "no additive score exceeds the sum of |w|")

# %% [markdown]
# **What you should see.** Additive scores come to a halt below $\sum|w|$. Dot products grow a
# hundredfold with each line, as both sides became ten times longer. That is their price for
# having no weights: someone has to keep their size in check. If your column grows tenfold, only
# one of the two was made longer.

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
# **What you should see.** The first key *is* the query, and its cosine is 1; the third has the
# largest score, 12, only because it is long. Dot products reward length. Keep it in mind: in
# section 1.8 bright patches are long keys.

# %% [markdown]
# ## 1.4 Why divide by $\sqrt d$?
#
# Take queries and keys whose features are independent, with mean 0 and variance 1, and look how
# far their dot products spread.

# %%
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
# **Predict.** What is the variance of $q \cdot k$ for $d = 64$?
#
# <details><summary>Answer</summary>
#
# A product of two such numbers has mean $0 \cdot 0 = 0$ and variance $\mathrm E[q^2]\,\mathrm
# E[k^2] = 1$. Variances of independent terms add, so $d$ terms have variance $d = 64$, and a
# standard deviation of 8. (Vaswani et al. 2017, section 3.2.1, footnote 4)
# </details>
#
# Divided by $\sqrt d$ the scores have variance 1, whatever $d$.

# %% [markdown]
# What does it do to the shares? Their **entropy** $H = -\sum_j a_j \log_2 a_j$ says over how
# many keys the attention is spread: $H = 0$ bits is one key, $H = \log_2 n$ is all $n$ alike.
#
# **Predict.** $n = 512$ keys with scores of variance 1. $H$?
#
# <details><summary>Answer</summary>
#
# For many normal scores, $\sum_j e^{s_j} \approx n\, e^{1/2}$, and the mean of the scores in
# their own shares is 1. So in nats $H = \ln \sum_j e^{s_j} - \sum_j a_j s_j \approx \ln n +
# \tfrac12 - 1$: in bits $9 - 0.72 = 8.28$, of 9.
# </details>


# %%
def spread(d, scale, n=512):
    """The variance of n x n random scores times scale, and the mean entropy in bits."""
    torch.manual_seed(d)
    q, k = torch.randn(2, n, d, dtype=torch.float64)
    s = scale * dot_product_scores(q, k)
    a = softmax(s)
    return s.var().item(), -(a * a.clamp(min=1e-300).log2()).sum(-1).mean().item()


# %%
widths = torch.tensor([4, 16, 64, 256, 1024])
raw = torch.tensor([spread(d, 1) for d in widths.tolist()])
scaled = torch.tensor([spread(d, d**-0.5) for d in widths.tolist()])
print("        raw                over sqrt(d)\n   d    variance   bits    variance   bits")
for d, one, other in zip(widths, raw, scaled, strict=True):
    print(f"{d:4}    {one[0]:8.4g}   {one[1]:.2f}    {other[0]:8.3f}   {other[1]:.2f}")
claim((raw[:, 0] / widths - 1).abs().max() < 0.1, "raw, the variance is d, within 10 %")
claim((scaled[:, 1] - 8.28).abs().max() < 0.1, "over sqrt(d), 8.28 bits for every d")

# %%
raw, scaled = (torch.tensor([spread(d, d**p) for d in widths.tolist()]) for p in (0, -0.5))
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3))
titles = "Raw, the variance of q·k is d ...", "... and one key takes nearly all"
labels = "variance of the scores", "entropy of the shares, bits"
for n, ax in enumerate(axs):
    ys = {"raw": raw[:, n], "over sqrt(d)": scaled[:, n]}
    plots.lines(ax, widths, ys, "features d", labels[n], titles[n]).set(xscale="log")
axs[0].set(yscale="log")
axs[1].set(ylim=(0, 9), yticks=(0, 3, 6, 9))
plots.show(
    fig, "Against d: raw variance up to 1024, raw entropy down to 0; scaled, both level."
)

# %% [markdown]
# **What you should see.** Raw, the variance is $d$, and the entropy sinks until one key holds
# nearly everything: less than a third of a bit at $d = 1024$. Divided by $\sqrt d$, variance 1
# and 8.28 bits for every $d$. A share near 1 or 0 also has next to no gradient, $\partial a /
# \partial s = a (1 - a)$, so an unscaled attention is hard to train. If the right-hand columns
# drift, check the scale.

# %% [markdown]
# ### Ablation: what if we divide by $d$?

# %%
for d in (4, 64, 1024):
    variance, bits = spread(d, 1 / d)
    print(f"d = {d:4}   variance {variance:.4f}, 1/d = {1 / d:.4f}   {bits:.3f} bits of 9")
claim(bits > 8.99, "with d = 1024 divided by d, attention is hardly more than a plain mean")

# %% [markdown]
# **What you should see.** The variance is $d / d^2 = 1/d$, so for wide features all scores are
# nearly equal and so are the shares: 9 bits. The root is the one power that works for every
# $d$.

# %% [markdown]
# ## 1.5 Masks: who may look where
#
# A model that draws a picture pixel by pixel must not look at what it has not drawn yet. Read
# row by row, a picture of 4 by 6 pixels is 24 tokens. Look at what token $i = 14$ may see.

# %%
seen = rearrange(torch.arange(24) < 15, "(h w) -> h w", h=4).float()
fig, ax = plt.subplots(figsize=(3.4, 1.9))
plots.heat(ax, seen, "w", "h", "Token 14 sees itself and all before it", bar=False)
ax.plot(2, 2, "o", color="C3")
plots.show(fig, "4 by 6 pixels: rows 0, 1 and three of row 2 are bright; the last is marked.")

# %% [markdown]
# **Predict.** Of the $24 \cdot 24$ pairs of query and key, how many are allowed? And for 3
# queries and 5 keys?
#
# <details><summary>Answer</summary>
#
# $1 + 2 + \dots + 24 = 300$, and $1 + 2 + 3 = 6$: query $i$ sees $i + 1$ keys.
# </details>
#
# $$
# \text{mask}_{ij} = \text{True where query } i \text{ may attend to key } j, \qquad
# \text{causal: } j \le i
# $$
#
# Both count from the first (top-left aligned), as in torch. Axes `i j`.

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
# **What you should see.** A triangle of ones in the lower left, 6 and 300 pairs. If you count 3
# and 276, a query may not see itself. If the triangle sits at the right, it is aligned at the
# bottom right, and query 0 sees three keys.

# %% [markdown]
# ### Padding
#
# Examples of different lengths share a tensor and the short ones are filled up. What was filled
# in must not be looked at.
#
# **Predict.** Lengths 2, 5 and 0, five keys each. How many places are True? Which query is in
# trouble?
#
# <details><summary>Answer</summary>
#
# $2 + 5 + 0 = 7$. The queries of the third example may attend to nothing. What then should they
# get? Section 1.6 decides.
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
# **What you should see.** Rows with 2, 5 and 0 ones. Masks combine with `&`, and the axis of
# length 1 stretches: `b 1 j` with `i j` is `b i j`. Five queries of the first example see $1 +
# 2 + 2 + 2 + 2 = 9$ keys, of the second $15$, of the third none.

# %% [markdown]
# ## 1.6 The map: scores, scale, mask, shares
#
# Now put it together. Look at the scores of six tokens under the causal mask: those left white
# must not count, and each row of the rest must become shares.

# %%
torch.manual_seed(0)
s = 5 * torch.randn(6, 6)
s[torch.ones(6, 6).triu(1) == 1] = math.nan
fig, ax = plt.subplots(figsize=(3.6, 2.4))
plots.signed(ax, s, "key j", "query i", "White: must not count", limit=15)
plots.show(fig, "A 6 by 6 table of scores, red and blue, white above the diagonal.")

# %% [markdown]
# A forbidden key must get the share 0, and the allowed ones must sum to 1 among themselves. Its
# score is therefore set to $-\infty$ *before* the softmax, since $e^{-\infty} = 0$.
#
# $$
# A = \operatorname{softmax}_j\Bigl(\frac{q k^\top}{\sqrt d} + M\Bigr), \qquad
# M_{ij} = \begin{cases} 0 & \text{mask}_{ij} \\ -\infty & \text{else} \end{cases}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | mask | stretches to `... i j` | True where the query may attend |
# | $A$ | `... i j` | the map: row $i$ holds the shares of query $i$ |

# %% [markdown]
# **Predict.** A query of zeros, with the causal mask. What does row $i$ of the map hold?
#
# <details><summary>Answer</summary>
#
# All its scores are 0, so the $i + 1$ allowed keys share equally: $1 / (i + 1)$ each.
# </details>
#
# A row without any allowed key would be $0/0$. The papers leave it open; we take torch's
# convention: a query that may attend to nothing gets weights 0.

# %% [markdown]
# ### Exercise: `attention_weights`
#
# You have `dot_product_scores`. Use your own softmax or `.softmax(-1)`, and take care of the
# empty rows.

# %% exercise="scaled_dot_product.attention_weights"

# %%
check("scaled_dot_product.attention_weights", attention_weights)

# %% [markdown]
# Stuck? `hint("scaled_dot_product.attention_weights")`. To read on without solving it:
# `from solutions.scaled_dot_product import attention_weights, dot_product_scores`.

# %%
torch.manual_seed(0)
q, k = 1.5 * torch.randn(2, 6, 8, dtype=torch.float64)
fig, axs = plt.subplots(1, 2, figsize=(5.4, 2.3))
titles = "q = 0: row i holds 1 / (i + 1)", "Random q: shares differ"
for ax, query, title in zip(axs, (0 * q, q), titles, strict=True):
    a = attention_weights(query, k, causal_mask(6, 6))
    plots.heat(ax, a, "key j", "query i", title, bar=ax is axs[1])
    claim((a.sum(-1) - 1).abs().max() < 1e-12, f"{title}; all rows sum to 1")
plots.show(
    fig, "Two causal maps, 6 by 6, dark above the diagonal. Left, each row is even; right, not."
)

# %% [markdown]
# **What you should see.** Nothing above the diagonal. On the left the rows fade evenly from 1
# to 1/6; on the right they have favourites, and row 0 is still 1: with a single key there is no
# choice. If something glows above the diagonal, the mask is inverted.

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

# %% [markdown]
# **What you should see.** Six times `nan` and six times 0. The largest score of the row is
# $-\infty$, and $-\infty - (-\infty)$ is no number. One such row is enough to turn every weight
# of a network into `nan` at the next step. If yours is $1/6$, you filled in a large negative
# number where $-\infty$ belongs.

# %% [markdown]
# ### Ablation: what if the mask comes after the softmax?

# %%
late = attention_weights(q, k) * causal_mask(6, 6)
print("sums of the rows:", late.sum(-1))
claim((late.sum(-1)[:-1] < 1).all(), "rows that lost keys no longer sum to 1")

# %% [markdown]
# **What you should see.** Only the last row sums to 1. The others gave shares to keys they may
# not see, and zeroing them makes the output too small. Worse, the size of what is missing tells
# of the hidden keys: the future leaks.

# %% [markdown]
# ## 1.7 Attention
#
# The map says from whom, the values say what. Look: five values, here colours `j e`, and what
# three queries make of them.

# %%
v = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.2, 0.8], [0.1, 0.6, 0.2], [1, 0.8, 0.1], [0, 0, 0]])
a = torch.tensor([[1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 0.2, 0.8, 0]])
y = sum(rearrange(a[:, j], "i -> i 1") * v[j] for j in range(5))
fig, axs = plt.subplots(1, 3, figsize=(6.0, 1.9), width_ratios=(1, 2, 1))
squares = [repeat(colours, "n e -> (n 2) 3 e") for colours in (v, y)]
plots.image(axs[0], squares[0], "Five values v").set(ylabel="key j")
plots.heat(axs[1], a, "key j", "query i", "in these shares")
plots.image(axs[2], squares[1], "outputs y").set(ylabel="query i")
plots.show(
    fig, "Red, blue, green, yellow, black; outputs: red, purple, and yellow with green in it."
)

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
# | $y$ | `... i e` | for each query a mean of the values |

# %% [markdown]
# **Predict**, before you run anything: (1) There is one key only. What is $y$? (2) The query
# is 0. What is $y$? (3) Keys and values are shuffled together. What changes?
#
# <details><summary>Answer</summary>
#
# (1) Its value, whatever the query: shares of a single key are 1. (2) The plain mean of the
# values. (3) Nothing: a sum has no order. Attention does not know where a token stands, which
# is what chapter 03 is about.
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
# **What you should see.** Three lines that hold. If the first fails, the weights do not sum to
# 1; if the third fails, something depends on the place of a key.

# %% [markdown]
# ### Does it equal torch's?
#
# `torch.nn.functional.scaled_dot_product_attention` is what large models run. Compare outputs
# and gradients, under each mask, the empty row included.

# %%
holes = torch.rand(2, 3, 5) < 0.6
holes[1, 1] = False
masks = {"none": None, "causal": causal_mask(3, 5), "holes": holes}
leaves = [x.requires_grad_() for x in (q, k, v)]
for name, mask in masks.items():
    mine = scaled_dot_product_attention(*leaves, mask)
    torchs = nn.functional.scaled_dot_product_attention(*leaves, attn_mask=mask)
    same = torch.allclose(mine, torchs, atol=1e-12)
    slopes = [torch.autograd.grad(y.sin().sum(), leaves) for y in (mine, torchs)]
    same_slopes = all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*slopes, strict=True))
    claim(same and same_slopes, f"mask {name}: output and gradients equal torch's")

# %% [markdown]
# **What you should see.** Three lines that hold, to twelve decimals. What you wrote *is* the
# attention of the large models; what they add is speed (chapter 11) and heads (chapter 02). If
# only the last line fails, look at the empty row.

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
# **What you should see.** The scores merely turn over, but the shares are taken over the other
# axis. "How much of its attention does $i$ give to $j$" and "how much does $j$ give to $i$" are
# two questions.

# %% [markdown]
# ## 1.8 A photograph denoises itself
#
# Nothing needs to be trained for attention to be useful. Look: a photograph, and the same with
# noise of standard deviation $\sigma = 0.1$ in every pixel and channel.

# %%
torch.manual_seed(0)
clean = photograph("china", 48, 72).double()
noisy = clean + 0.1 * torch.randn_like(clean)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.4))
plots.image(axs[0], clean, "What we want back")
plots.image(axs[1], noisy, "What we have: every pixel is off by about 0.1")
plots.show(fig, "A temple by a lake, 48 by 72 pixels, without noise and with.")

# %% [markdown]
# **Predict.** The peak signal-to-noise ratio is $10 \log_{10}(1 / \text{mean squared error})$,
# in decibels. What is it for the noisy picture? And if each pixel were the mean of ten that
# have the same clean value?
#
# <details><summary>Answer</summary>
#
# The mean squared error is $\sigma^2 = 0.01$, so 20 dB. The mean of ten has a tenth of it: 30
# dB. All the art is to know which pixels have the same clean value.
# </details>

# %% [markdown]
# ### To beat: the best blur
#
# A Gaussian blur bets on neighbours. Its width is searched with the clean picture in hand,
# which in practice one would not have: the strongest baseline there is of this kind.

# %%
grid = [n / 20 for n in range(8, 31)]
width = max(grid, key=lambda one: psnr(blur(noisy, one), clean))
blurred = blur(noisy, width)
print(f"noisy {psnr(noisy, clean):.2f} dB")
print(f"best blur {psnr(blurred, clean):.2f} dB, with a width of {width} pixels")

# %% [markdown]
# **What you should see.** 20 dB as predicted, and about 4.5 more at a width of 0.7 pixels. A
# wider blur takes off more noise and more of the picture.

# %% [markdown]
# ### From distances to dot products
#
# A better bet: pixels with *similar surroundings*. Non-local means (Buades, Coll and Morel,
# CVPR 2005) averages all pixels with weights $e^{-\|p_i - p_j\|^2 / h^2}$, divided by their
# sum, where $p_i$ is the noisy patch around pixel $i$; theirs counts the middle of a patch
# more, ours counts all alike. That is a softmax over $j$. And
#
# $$
# -\tfrac12 \|p_i - p_j\|^2 = p_i \cdot p_j - \tfrac12\|p_j\|^2 - \tfrac12 \|p_i\|^2
# $$
#
# is a dot product, if the key carries one feature more. The last term is the same for all $j$
# and cancels.

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | $p$ | `n d` | one row of features for each pixel, `n` = `h w` |
# | query | `n d+1` | $(p, 1)$, times $\sqrt{d + 1}$, which attention divides by again |
# | key | `n d+1` | $(p, -\tfrac12 \lVert p\rVert^2)$ |
# | value | `n c` | the noisy pixel in the middle of the patch |
#
# The bandwidth goes into the features: $p / s$, so the score is $-\|p_i - p_j\|^2 / 2 s^2$, and
# $h^2 = 2 s^2$.


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
# With *places* as features, a pixel is the mean of those near it, in Gaussian weights.
#
# **Predict.** How will this compare with scipy's blur of the same width?

# %%
as_attention = denoise(places(48, 72) / width, noisy)
inside = (slice(4, -4), slice(4, -4))
print(f"blur by scipy         {psnr(blurred, clean):.2f} dB")
print(f"attention over places {psnr(as_attention, clean):.2f} dB")
apart = (as_attention - blurred)[inside].abs().max()
claim(apart < 1e-3, "away from the border, a Gaussian blur is attention over places")

# %% [markdown]
# **What you should see.** The same picture, except at the border, where scipy mirrors and
# attention shares out among the pixels there are. So the question "blur or non-local means?" is
# the question what queries and keys should be made of.

# %% [markdown]
# ### Patches, then patches and places
#
# Patches are 3 by 3 pixels of three colours: $d = 27$. Features may also be put side by side,
# `n 27` and `n 2`: their squared distances add, so a pixel must be alike *and* not too far.
# Each width is searched as the blur's was.

# %%
p, here = patches(noisy, 3), places(48, 72)
sharp, far = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5), (3, 5, 8)
decibels = {s: psnr(denoise(p / s, noisy), clean) for s in sharp}
best = max(decibels, key=decibels.get)
print(f"patches              {decibels[best]:.2f} dB at s = {best}")

# %%
both = {(s, f): torch.cat([p / s, here / f], dim=-1) for s in sharp[2:] for f in far}
decibels = {widths: psnr(denoise(features, noisy), clean) for widths, features in both.items()}
best = max(decibels, key=decibels.get)
print(f"patches and places   {decibels[best]:.2f} dB at s = {best[0]}, {best[1]} pixels")

# %%
shown = {
    "Best blur": blurred,
    "Attention, patches": denoise(p / 0.3, noisy),
    "Attention, patches and places": denoise(both[0.4, 5], noisy),
}
gain = [psnr(picture, clean) - psnr(blurred, clean) for picture in shown.values()]
claim(gain[1] > 0.5 and gain[2] > 1.2, "patches beat the best blur, and with places even more")
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
for ax, (name, picture) in zip(axs, shown.items(), strict=True):
    plots.image(ax, picture, f"{name}\n{psnr(picture, clean):.1f} dB")
plots.show(fig, "The temple three times: blurred; sharper, with flat walls; the best of both.")

# %% [markdown]
# **What you should see.** About 25.4 dB for patches and 26.2 for both, against 24.5 for the
# blur: 0.9 and 1.7 dB, a third less squared error in the end. If patches come out below 10 dB,
# the extra feature is missing or its sign is wrong. If nothing beats the noisy picture, the
# shares are too sharp: every patch finds only itself.

# %% [markdown]
# ### What does one pixel look at?
#
# A row of the map is a picture. Take a pixel on the lowest of the orange roofs and draw its
# shares over `h w`, for the three kinds of query and key.
#
# **Predict.** For given weights the noise left in $y_i$ has variance
# $\sigma^2 \sum_j a_{ij}^2$, as if it were the plain mean of $1 / \sum_j a_{ij}^2$ pixels. How
# many are that for a blur of width 0.7?
#
# <details><summary>Answer</summary>
#
# For a Gaussian of width $w$ in the plane, $\iint g^2 = 1 / 4 \pi w^2$. So $4 \pi \cdot 0.49 =
# 6.2$ pixels.
# </details>

# %%
h, w = 37, 34
features = {"places": here / width, "patches": p / 0.3, "both": both[0.4, 5]}


def shares_of(h, w, f):
    """The row of the map that belongs to one pixel, as a picture h w."""
    q, k = queries_and_keys(f)
    row = attention_weights(q[h * 72 + w : h * 72 + w + 1], k)
    return rearrange(row, "1 (h w) -> h w", h=48)


# %%
for name, f in features.items():
    a = shares_of(h, w, f)
    n = 1 / a.square().sum()
    print(f"{name:8} as if it read {n:.1f} pixels; share of the pixel itself {a[h, w]:.2f}")

# %%
fig, axs = plt.subplots(2, 2, figsize=(6.4, 4.0), sharex=True, sharey=True)
axs[0, 0].imshow(clean)
axs[0, 0].set(title="The pixel, on the lowest roof", ylabel="h")
axs[0, 0].plot(w, h, "o", mfc="none", mec="C6", ms=10, mew=2)
titles = "Places: its neighbours", "Patches: the other roofs as well", "Both: its own roof"
for ax, title, f in zip(axs.flat[1:], titles, features.values(), strict=True):
    plots.heat(ax, shares_of(h, w, f), "w", "h", title, high=0.02, bar=False)
fig.colorbar(axs[1, 1].images[0], ax=axs, label="share (0.02 and more)", extend="max")
plots.show(
    fig, "A pixel of an orange roof and its shares: a spot; three roofs; the roof around."
)

# %% [markdown]
# **What you should see.** About six pixels for places, as predicted: a spot. The patch finds
# orange edges wherever they are, up to the top of the temple, but gives half of its attention
# to itself. With places beside them the patches need not be so alike, and the near ones carry
# more. If a map is even all over, the features were divided by too large a width.

# %% [markdown]
# ### Ablation: what if the key loses its extra feature?
#
# Then the score is the plain $p_i \cdot p_j / s^2$, and a key is long where the picture is
# bright. Think of section 1.3.

# %%
for s in (0.3, 1, 3):
    q = p / s * math.sqrt(27)
    plain = scaled_dot_product_attention(q, p / s, rearrange(noisy, "h w c -> (h w) c"))
    plain = rearrange(plain, "(h w) c -> h w c", h=48)
    print(f"s = {s:<3}   {psnr(plain, clean):5.2f} dB   mean brightness {plain.mean():.3f}")
print(f"mean brightness of the clean picture {clean.mean():.3f}")
claim(psnr(plain, clean) < 15, "plain dot products make a picture worse than the noise did")

# %% [markdown]
# **What you should see.** Between 5 and 11 dB, far below the noisy picture, and much too
# bright: every pixel asks, and the longest keys answer, which are the brightest patches. A
# larger $s$ only leads to the mean of the whole picture. The one extra feature is what turns
# "long" into "near".

# %% [markdown]
# ### Ablation: a pixel that may not see itself, and another photograph
#
# A noisy patch is at distance 0 from itself, and a perfect twin is at $\|p_i - p_j\|^2 \approx
# 2 \sigma^2 d$, from the noise of both.
#
# **Predict.** With $\sigma = 0.1$, $d = 27$ and $s = 0.3$: how many times the share of a twin
# does a pixel give to itself?
#
# <details><summary>Answer</summary>
#
# $e^{2 \sigma^2 d / 2 s^2} = e^{0.27 / 0.09} = e^3 = 20$ times. A mask can forbid it.
# </details>

# %%
itself = torch.eye(48 * 72, dtype=torch.bool)
for name in ("china", "flower"):
    torch.manual_seed(0)
    x = photograph(name, 48, 72).double()
    y = x + 0.1 * torch.randn_like(x)
    best_blur = max(psnr(blur(y, one), x) for one in grid)
    seeing = psnr(denoise(patches(y, 3) / 0.3, y), x)
    blind = psnr(denoise(patches(y, 3) / 0.25, y, ~itself), x)
    print(f"{name:6}   blur {best_blur:.2f}   patches {seeing:.2f}   blind {blind:.2f} dB")
    claim(best_blur + 0.5 < seeing < blind, f"{name}: patches beat the blur, blind ones more")

# %% [markdown]
# **What you should see.** On both photographs the patches beat the best blur by about 1 dB, and
# a pixel that may not look at itself does better still, by 0.1 dB for the temple and 0.5 for
# the flower, although it throws its own value away. What it gains is a wider average: without
# the twentyfold favourite the others count.

# %% [markdown]
# ## What you have now
#
# A softmax that never overflows, two ways to compare, masks that compose, and an attention that
# equals torch's. Its map is made of nothing but queries and keys; what they are made of,
# places, patches or both, decides what it does. Here we chose them. In chapter 02 they are
# learned, several at a time.
