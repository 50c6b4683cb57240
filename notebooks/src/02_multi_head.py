# %% [markdown]
# # 2 · Multi-head attention
#
# **About 1½ hours**, of which 34 minutes are exercises. A CPU is enough.
#
# With one softmax a query has one set of weights, and what it reads is one mean. But a token
# often has to look at several others for several reasons. In a sentence a verb needs its subject
# and its object; in a photograph the corner of a window needs the other corners and the wall
# around it. Once two values have been averaged, nobody can tell which came from where.

# %% jupyter={"source_hidden": true}
from functools import cache, partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float
from matplotlib.colors import PowerNorm
from matplotlib.patheffects import withStroke
from torch import Tensor, nn

# %% jupyter={"source_hidden": true}
from attncourse import check, explore, hint
from attncourse.book import claim, diagrams, plots
from attncourse.book.drawings import multi_head as drawings
from attncourse.papers import counting
from attncourse.tasks.denoising import places
from attncourse.tasks.lookups import explained_by_one_mixture, two_lookups
from attncourse.tasks.pictures import photograph
from solutions.multi_head import from_torch
from solutions.scaled_dot_product import attention_weights, causal_mask, padding_mask

# %% jupyter={"source_hidden": true}
said = """A query asks how far a ball at 7 is from a player at 2. One head gives each the weight one half and
    passes on 4.5, which many pairs give. Two heads pass on 7 and 2, and W_o subtracts them: 5."""
plots.show(drawings.one_mean_or_two(), said)

# %% [markdown]
# Ashish Vaswani and seven colleagues gave this reason in section 3.2.2 of [Attention Is All You
# Need](https://arxiv.org/abs/1706.03762) (NeurIPS 2017), and a remedy. They project queries, keys
# and values several times, to fewer features each, and let each projection attend for itself.
# Such a small attention is a **head**. The results of all heads are put side by side and mixed by
# a last projection. Because every head is narrower, all of them together cost no more than one of
# full width. Is one head really too few? Section 2.4 proves it for the question above, **how much larger one
# number is than another**: one head can explain half of the answer, and two explain all of it.

# %% [markdown]
# ### What came of it
#
# | heads | features of a head | perplexity | BLEU |
# |---|---|---|---|
# | 1 | 512 | 5.29 | 24.9 |
# | 4 | 128 | 5.00 | 25.5 |
# | 8 | 64 | 4.92 | 25.8 |
# | 16 | 32 | 4.91 | 25.8 |
# | 32 | 16 | 5.01 | 25.4 |
#
# (Table 3, rows (A), and the base model: English to German, development set. **Perplexity** is $e$ to the
# mean loss of a word piece, and less is better; BLEU tells from 0 to 100 how much a translation shares with
# those that people made.) One head loses 0.9 BLEU in the paper's table. Too many heads lose as
# well, presumably because a head of 16 features has little to compare with, which section 2.3 calls the
# low-rank bottleneck.

# %% [markdown]
# Vision transformers still use the layer as it was written down in 2017; language models have thinned out
# its keys and values (section 2.5). A [vision
# transformer](https://arxiv.org/abs/2010.11929) of base size has 12 heads in each layer, and in
# [DINO](https://arxiv.org/abs/2104.14294), trained without labels, different heads attend to
# different objects of a photograph.
#
# | you write | you see | you need |
# |---|---|---|
# | heads split and merged, `MultiHeadAttention`, its costs | the output of `nn.MultiheadAttention`, to rounding; two heads on a photograph; a task that two heads solve and one provably cannot | `attention_weights` and the masks from chapter 01 |

# %% [markdown]
# ### The letters
#
# | letter | axis |
# |---|---|
# | `b` | examples in a batch |
# | `n` | tokens; `i` and `j` where one token asks and another answers |
# | `head` | heads, always the word |
# | `d` | features of one head |
# | `dim` | features of a token, `dim = (head d)` |
# | `group` | heads of keys and values, in section 2.5 |
# | $c$ | the context, in section 2.2: the tokens that answer |
# | $f$, $s$ | the first and the second token that a question asks for, in section 2.4 |
#
# All imports of the chapter stand in the two folded cells above the first figure.

# %% [markdown]
# ## 2.1 Split and merge: every head gets features of its own
#
# The features of each token are cut into as many consecutive pieces as there are heads. Here are
# two tokens with six features each, numbered, and what two heads get of them.


# %% jupyter={"source_hidden": true}
def split(ax):
    """Two tokens of six features, cut into two heads, and merged again."""
    grid, numbers = diagrams.numbers, np.arange(12).reshape(2, 6)
    shades = np.tile([0.2, 0.2, 0.2, 0.9, 0.9, 0.9], (2, 1))
    grid(ax, 0.6, 1.9, numbers, "n", "(head d)", "x", shades)
    grid(ax, 6.6, 3.0, numbers[:, :3], "n", "d", "head 0", shades[:, :3])
    grid(ax, 6.6, 0.6, numbers[:, 3:], "n", "d", "head 1", shades[:, 3:])
    grid(ax, 11, 1.9, numbers, "n", "(head d)", "merged", shades)
    for y in 3.6, 1.2:
        diagrams.arrow(ax, (4.3, 2.5 + (y - 2.4) / 4), (6.1, y))
        diagrams.arrow(ax, (8.5, y), (10.5, 2.5 + (y - 2.4) / 4))


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(15, 5.2)
split(ax)
said = """Two tokens, 0 to 5 and 6 to 11. Head 0 gets 0, 1, 2 of the first and 6, 7, 8 of the second,
    head 1 the other three of each. Merged, they stand as before."""
plots.show(fig, said)

# %% [markdown]
# **Predict.** There are 12 features and 3 heads. Which head gets feature 7, and where in that
# head does it stand?
#
# <details><summary>Answer</summary>
#
# Each head has $d = 12 / 3 = 4$ features, and $7 = 1 \cdot 4 + 3$. So it stands in head 1, at
# place 3.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `b n (head d)` | tokens; heads are the outer part of the last axis |
# | pieces | `b head n d` | for each head all tokens, with `d` features each |
#
# The axis `head` moves to the left of `n`, next to `b`. Everything from chapter 01 then works on
# the last two axes, and treats heads as it treats examples: each by itself.

# %% [markdown]
# ### Exercise: `split_heads`
#
# One `rearrange`, and a `ValueError` with both numbers where `heads` does not divide the features.

# %% exercise="multi_head.split_heads"

# %%
check("multi_head.split_heads", split_heads)

# %% [markdown]
# Stuck? `hint("multi_head.split_heads")` gives one hint at a time. To read on without
# solving it: `from solutions.multi_head import split_heads`.

# %% [markdown]
# ### Exercise: `merge_heads`
#
# The inverse: it puts the pieces of each token side by side again, head 0 first.

# %% exercise="multi_head.merge_heads"

# %%
check("multi_head.merge_heads", merge_heads)

# %% [markdown]
# Stuck? `hint("multi_head.merge_heads")`. To read on without solving it:
# `from solutions.multi_head import merge_heads`.

# %% [markdown]
# ### Follow the features
#
# The next cell gives each feature its own number as its value, so that you see where it goes.

# %%
features = rearrange(torch.arange(12), "dim -> 1 1 dim")
for head, piece in enumerate(split_heads(features, 3)[0]):
    print("head", head, "has features", piece[0].tolist())
print("merged again:   ", merge_heads(split_heads(features, 3))[0, 0].tolist())

# %% [markdown]
# **What you should see.** The printed lists show that feature 7 is the last of head 1, as
# predicted, and that merging undoes splitting. If your head 1 has the features 1, 4, 7 and 10,
# your pattern says `(d head)`. If the tokens are mixed up, you used a reshape where an axis had
# to be moved.

# %% [markdown]
# ### Once by hand: why two heads see more than one
#
# A query $(1, 0 \mid 0, 2)$ meets the keys $(2, 0 \mid 0, 0)$ and $(0, 1 \mid 0, 1)$; the bar
# separates two heads of $d = 2$ features. In head 0 the inner products are 2 and 0, in head 1
# they are 0 and 2. Divided by $\sqrt 2$, they give the weights 0.80 and 0.20 in head 0, and 0.20
# and 0.80 in head 1: each head prefers another key. A single head adds all products up. Both keys
# then get the score 2, and hence the weight 0.50 each.

# %%
q = torch.tensor([[[1.0, 0, 0, 2]]])
k = torch.tensor([[[2.0, 0, 0, 0], [0, 1, 0, 1]]])
for heads in (2, 1):
    a = attention_weights(split_heads(q, heads), split_heads(k, heads))
    print(heads, "heads:" if heads > 1 else "head: ", *(f"{x:.2f}" for x in a.flatten()))
two = attention_weights(split_heads(q, 2), split_heads(k, 2))
claim(two[0, 0, 0, 0] > 0.75, "head 0 prefers key 0")
claim(two[0, 1, 0, 1] > 0.75, "head 1 prefers key 1")
claim(a.flatten()[0] == 0.5, "a single head cannot decide between them")

# %% [markdown]
# ### Two heads look at a photograph
#
# The same can be seen on real pixels. Each pixel of the temple gets eight features: four that compare its
# colour, and four that compare its place, made as in section 1.8 of chapter 01. Nothing is
# trained. As two heads they attend for two reasons. As a single head of eight features the scores
# are added, so a pixel counts only in so far as it is near *and* of the same colour.


# %%
def colours_and_places(picture):
    """Queries and keys of every pixel: four features of its colour, four of its place."""
    colour = rearrange(picture, "h w rgb -> (h w) rgb") / 0.1
    place = places(*picture.shape[:2]) / 5
    one, none = torch.ones(len(place), 1), torch.zeros(len(place), 1)
    half = [-reduce(x**2, "n d -> n 1", "sum") / 2 for x in (colour, place)]
    # places have two features and one more; a zero fills them up to four
    q = torch.cat([colour, one, place, one, none], dim=-1)
    k = torch.cat([colour, half[0], place, half[1], none], dim=-1)
    return q[None], k[None]


# %%
picture, row, column = photograph("china", 48, 72).double(), 24, 33


def maps_of(pixels, heads):
    """What these pixels attend to: head i j."""
    q, k = colours_and_places(picture)
    q = q[:, pixels] * (8 / heads) ** 0.5  # undoes the division by the root of d
    return attention_weights(split_heads(q, heads), split_heads(k, heads))[0]


def looks_at(heads):
    """The weights of one pixel of a roof, as a picture for each head."""
    a = maps_of([row * 72 + column], heads)
    return rearrange(a, "head 1 (h w) -> head h w", h=48)


# %% jupyter={"source_hidden": true}
def marked(ax, colour="#d55e00"):
    """A hollow square around the pixel that asks; the pixel itself stays visible."""
    where = column - 1.5, row - 1.5
    ax.add_patch(plt.Rectangle(where, 3, 3, fc="none", ec="white", lw=2.6))
    ax.add_patch(plt.Rectangle(where, 3, 3, fc="none", ec=colour, lw=1.3))


def over(ax, a, title):
    """Parts of the largest weight over the photograph in grey; colours by the square root."""
    plots.image(ax, reduce(picture, "h w rgb -> h w", "mean"), f"{title} (peak {a.max():.3f})")
    part = a / a.max()
    shown = ax.imshow(part, norm=PowerNorm(0.5, 0, 1), alpha=(30 * part).clamp(max=0.95))
    marked(ax)
    for line in (15.5, 32.5):
        ax.axhline(line, color="white", lw=0.9, ls="--")
    return plt.cm.ScalarMappable(shown.norm, shown.cmap)


# %% jupyter={"source_hidden": true}
maps = {"head 0: its colour": looks_at(2)[0], "head 1: its place": looks_at(2)[1]}
maps["one head: both"] = looks_at(1)[0]
fig, axs = plt.subplots(2, 2, figsize=(6.4, 4.2))
plots.image(axs[0, 0], picture, "A pixel of an orange roof")
marked(axs[0, 0])
for ax, (title, a) in zip(axs.flat[1:], maps.items(), strict=True):
    scale = over(ax, a, title)
fig.colorbar(scale, ax=axs, label="each map: weight / its own peak (√ scale)", shrink=0.8)
said = """A pixel of an orange roof in a square, and what it attends to: by colour parts of
    many roofs, by place a disc around it, by both in one head the edge of its own roof and a few
    spots above and below. Two dashed lines lie 8 rows above and below it."""
plots.show(fig, said)

# %%
far = (torch.arange(48) - row).abs() > 8
colour, place = looks_at(2)[:, far].sum((1, 2))
both = looks_at(1)[:, far].sum()
print(
    f"weight more than 8 rows away: colour {colour:.2f}, place {place:.2f}, one head {both:.2f}"
)
claim(colour > 0.5, "by colour, more than half of the weight lies more than 8 rows away")
claim(both < 0.1, "a single head gives those rows less than a tenth")

# %% [markdown]
# **What you should see.** In the maps, head 0 finds the colour in many roofs, mostly on the side that is lit
# alike. Head 1 marks a disc around the pixel. The single head loses the roofs beyond the dashed lines, because they are far away, and
# most of the disc, because it has another colour. Two heads keep both answers apart. (Each map has its own
# scale, up to the peak in its title.)
#
# Now choose pixels yourself, every third of them. Where is the single head much narrower than
# the place alone, and where hardly at all?
#
# <details><summary>Answer</summary>
#
# At the edge of a roof it is much narrower: most pixels near by have another colour. In the sky at the right
# all pixels near by are alike, and its map is nearly the disc.
#
# </details>

# %%
grid = rearrange(
    torch.arange(48 * 72), "(h down w across) -> h down w across", h=16, down=3, w=24
)
few = grid[:, 1, :, 1].flatten()
two, single = maps_of(few, 2), maps_of(few, 1)
maps = {"head 0: colour": two[:1], "head 1: place": two[1:], "one head: both": single}
explore(picture, maps, queries=(16, 24), query=(12, 11), name="heads")

# %% [markdown]
# ### Ablation: the other order
#
# The pattern `(d head)` would deal the features out to the heads in turn, like cards. Is that
# wrong?

# %%
dealt = rearrange(features, "b n (d head) -> b head n d", head=3)
print("head 1 has features", dealt[0, 1, 0].tolist())
back = rearrange(dealt, "b head n d -> b n (d head)")
print("merged the same way: ", back[0, 0].tolist())
print("merged the other way:", merge_heads(dealt)[0, 0].tolist())

# %% [markdown]
# **What you should see.** The first two lines show that nothing is lost if features are merged
# the way they were split: a layer with random weights has no reason to prefer one order. The last
# line shows that feature 7 ends elsewhere if they are split one way and merged the other. There
# is a second trap, in section 2.2: weights that somebody else trained depend on the order in
# which they were trained.

# %% [markdown]
# ## 2.2 Multi-head attention
#
# The whole layer has four projections. Queries come from the tokens $x$ that ask; keys and values
# come from the tokens $c$ that answer, the **context**. If $c = x$, this is **self-attention**,
# otherwise **cross-attention**. The three results are split into heads, every head attends for
# itself, and the heads are merged and projected once more.


# %% jupyter={"source_hidden": true}
GREY = "#777777"


def layers(ax):
    """Tokens and context, the three projections behind them, and the cut into heads."""
    x = diagrams.matrix(ax, 0.6, 5.68, np.full((3, 6), 0.6), "i dim", "x", side=0.25)
    c = diagrams.matrix(ax, 0.6, 1.65, np.full((4, 6), 0.4), "j dim", "c", side=0.25)
    for y, name, start in (5.74, "q", x), (3.14, "k", c), (0.54, "v", c):
        W = diagrams.layer(ax, 2.75, y, f"$W_{name}$", 0.95)
        split = diagrams.layer(ax, 4.2, y, "split", 1.05, colour=GREY)
        ways = (start.right, W.left), (W.right, split.left), (split.right, (5.8, y + 0.31))
        diagrams.arrows(ax, *ways)


# %% jupyter={"source_hidden": true}
def three_heads(ax):
    """Queries, keys, values and maps of three heads, one slice for each."""
    blue = [diagrams.shade(diagrams.DATA, x) for x in (1, 0.65, 0.35)]
    green = [diagrams.shade(diagrams.ATTENTION, x) for x in (1, 0.65, 0.35)]
    for y, letter, name in (5.6, "i", "q"), (3.0, "j", "k"), (0.4, "j", "v"):
        diagrams.tensor(ax, 6.2, y, (0.75, 0.9, 0.6), f"head {letter} d", name, blue)
        for line in np.linspace(y, y + 0.9, 4 if letter == "i" else 5):  # 3 or 4 tokens
            ax.plot((6.2, 6.8), (line, line), color=diagrams.INK, lw=0.6)
        for line in (6.2, 6.5, 6.8):  # of 2 features each
            ax.plot((line, line), (y, y + 0.9), color=diagrams.INK, lw=0.6)
    diagrams.tensor(ax, 11.2, 4.3, (0.75, 0.9, 1.0), "head i j", "A", green)
    text = "softmax\n$q k^\\top / \\sqrt{d} + M$"
    soft = diagrams.layer(ax, 8.2, 4.25, text, 2.4, 1.0, diagrams.ATTENTION)
    diagrams.arrow(ax, (8.0, 6.4), (9.0, 6.4), (9.0, 5.33))
    diagrams.arrow(ax, (8.0, 3.6), (9.4, 3.6), soft.bottom)
    diagrams.arrow(ax, soft.right, (10.85, 4.75))


def mask(ax):
    """The mask, three queries by four keys, and its way to the softmax."""
    may = np.tri(3, 4, 1, dtype=bool)
    grid = diagrams.matrix(ax, 9.6, 7.6, 0.15 * may, "i j", "mask, M", GREY, 0.3, hidden=~may)
    diagrams.arrow(ax, (grid.middle[0], 6.95), (grid.middle[0], 5.33))


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 9.9)
layers(ax)
three_heads(ax)
mask(ax)
times = diagrams.join(ax, 14.4, 4.75, "@")
diagrams.arrows(ax, ((13.2, 4.75), times.left), ((8.0, 1.0), (14.4, 1.0), times.bottom))
merge = diagrams.layer(ax, 13.7, 5.9, "merge", 1.4, 0.6, GREY)
out = diagrams.layer(ax, 13.7, 7.2, "$W_o$", 1.4, 0.6)
y = diagrams.matrix(ax, 13.65, 8.6, np.full((3, 6), 0.6), "", "y", side=0.25)
diagrams.label(ax, (13.53, 8.97), "i", "right")
diagrams.label(ax, (14.6, 8.5), "dim", "left", "top")
diagrams.arrows(ax, (times.top, merge.bottom), (merge.top, out.bottom), (out.top, y.bottom))
said = """x gives q, c gives k and v; each is split into three heads of two features. A softmax, which a mask enters,
    makes three maps A; they multiply v; the heads are merged and go through W_o to y."""
plots.show(fig, said)

# %% [markdown]
# $$
# q, k, v = x W_q^\top,\; c\,W_k^\top,\; c\,W_v^\top \qquad
# A = \operatorname{softmax}_j \Bigl(\frac{q k^\top}{\sqrt d} + M\Bigr) \qquad
# y = \bigl[A v,\ \text{heads side by side}\bigr]\, W_o^\top
# $$
#
# (Vaswani et al. 2017, section 3.2.2. Here each $W$ is the matrix that torch stores, outputs by
# inputs, hence the $^\top$; the paper writes $x W$ for its transpose. The paper has no biases;
# like torch's layer, ours has.)
#
# | | axes | what it is |
# |---|---|---|
# | $x$, $c$ | `b i dim`, `b j dim` | tokens; $c = x$ in self-attention |
# | $W_q$, $W_k$, $W_v$ | `(head d) dim` | each row makes one feature, so rows belong to heads |
# | $q$; $k$, $v$ | `b head i d`; `b head j d` | projected, then split |
# | $A$ | `b head i j` | one map for each head |
# | mask, $M$ | `i j` or `b i j` | the same for all heads: True where a query may attend, where $M = 0$; elsewhere $M = -\infty$ |
# | $W_o$ | `dim (head d)` | columns belong to heads |
# | $y$ | `b i dim` | merged, then projected |

# %% [markdown]
# PyTorch has this layer. Here is what it makes of five tokens that look at seven others. Yours
# will have to draw the same three maps; a ring marks the largest weight of each query.

# %%
torch.manual_seed(0)
theirs = nn.MultiheadAttention(12, 3, batch_first=True)
for weight in (theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.bias):
    nn.init.normal_(weight, std=0.5)  # torch starts biases at 0, where they would prove nothing
x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
maps = theirs(x, context, context, average_attn_weights=False)[1]

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.3), sharey=True)
for head, ax in enumerate(axs):
    plots.heat(ax, maps[0, head], "key j", "query i", f"head {head}", bar=False)
    ring = {"mfc": "none", "mec": "#d55e00", "ms": 8, "mew": 1.8}
    ax.plot(maps[0, head].argmax(-1), range(5), "o", **ring)
    ax.label_outer()
fig.colorbar(axs[0].images[0], ax=axs, label="weight")
fig.suptitle("Three heads attend to the same keys in three ways", fontsize=9)
plots.show(
    fig, "Three maps, five queries by seven keys; the rings lie in different places in each."
)

# %% [markdown]
# **Predict.** A mask leaves a query nothing to attend to. What should your layer return for that
# token?
#
# <details><summary>Answer</summary>
#
# By the convention of chapter 01 its weights are 0, so every head reads 0. Zero times $W_o$ is 0.
# What is left is the bias of the last projection, the same for all such queries.
#
# </details>
#
# The $\sqrt d$ contains the $d$ of one head, because that is the number of features over which $q
# k^\top$ sums.

# %% [markdown]
# ### Exercise: `MultiHeadAttention`
#
# The four layers are there. Write `attention`, which computes $A$, and `forward`, which uses it.
# `attention_weights` from chapter 01 does the middle part; it accepts any axes in front of `i d`.
# A mask has no axis for heads, so insert one before you use it.

# %% exercise="multi_head.multi_head_attention"

# %%
check("multi_head.multi_head_attention", MultiHeadAttention)

# %% [markdown]
# Stuck? `hint("multi_head.multi_head_attention")`. To read on without solving it:
# `from solutions.multi_head import MultiHeadAttention`.

# %% [markdown]
# ### The same weights, the same output
#
# PyTorch stacks $W_q$, $W_k$ and $W_v$ on top of each other in one matrix. `from_torch` cuts it
# into three. The names of its layers are those of yours, so you can load the result.

# %%
ours = MultiHeadAttention(12, 3)
ours.load_state_dict(from_torch(theirs).state_dict())
for name, weight in ours.state_dict().items():
    print(f"{name:13} {tuple(weight.shape)}")

# %% [markdown]
# The masks of `nn.MultiheadAttention` say the opposite of ours: there, True means *may not
# attend*. Hence each `~` below.


# %%
def agree(mine, its):
    return torch.allclose(mine, its[0], atol=1e-5)


drawn = ours.attention(x, context)
claim(torch.allclose(drawn, maps, atol=1e-5), "your layer draws torch's three maps")
may, there = causal_mask(5, 7), padding_mask(torch.tensor([7, 4]), 7)
not_there = ~rearrange(there, "b 1 j -> b j")
print("self-attention ", agree(ours(x), theirs(x, x, x)))
print("cross-attention", agree(ours(x, context), theirs(x, context, context)))
causal = theirs(x, context, context, attn_mask=~may)
print("causal mask    ", agree(ours(x, context, may), causal))
padded = theirs(x, context, context, key_padding_mask=not_there)
print("padding mask   ", agree(ours(x, context, there), padded))

# %% [markdown]
# **What you should see.** The maps are those of the figure above, and all four comparisons are
# True: you have written the layer that the library ships. If the maps differ already, your keys come from
# $x$ instead of the context. An error that speaks of 5 and 7 means that keys and values come from different
# tokens. If the last two are False, look at the mask: its new axis for
# heads stands just before `i j`.

# %%
nothing = torch.ones(5, 7, dtype=torch.bool)
nothing[2] = False
alone = ours(x, context, nothing)[:, 2]
print("query 2 gets the bias of out:", torch.allclose(alone, ours.out.bias.expand(2, 12)))
torchs = theirs(x, context, context, attn_mask=~nothing)[0][:, 2]
print("torch's layer gives nan:     ", bool(torchs.isnan().all()))
fast = theirs(x, context, context, attn_mask=~nothing, need_weights=False)[0][:, 2]
print("and without maps, the bias:  ", torch.allclose(fast, alone, atol=1e-6))

# %% [markdown]
# **What you should see.** All three lines are True. The first is as predicted. The second shows that
# torch's layer, where it returns its maps, computes $-\infty$ minus $-\infty$ in the softmax, which is not a
# number. Called with `need_weights=False`, recent versions of torch take another path, which gives the bias,
# as yours does.

# %% [markdown]
# ### Ablation: one head, and the other order (may be skipped at first reading)
#
# With one head there is nothing to split, and the layer is plain attention between four
# projections.

# %%
one = MultiHeadAttention(12, 1)
plain = attention_weights(one.query(x), one.key(context)) @ one.value(context)
same = torch.allclose(one(x, context), one.out(plain), atol=1e-6)
print("one head is plain attention:", same)

# %% [markdown]
# Now the order of section 2.1. The next function computes what your layer computes, with `(d
# head)` in both places.


# %%
def dealt_out(layer, x, context):
    """What the layer gives when features are dealt out to the heads like cards."""
    projected = layer.query(x), layer.key(context), layer.value(context)
    q, k, v = (rearrange(p, "b n (d head) -> b head n d", head=layer.heads) for p in projected)
    return layer.out(rearrange(attention_weights(q, k) @ v, "b head n d -> b n (d head)"))


expected = theirs(x, context, context)
print("torch's weights, the other order:", agree(dealt_out(ours, x, context), expected))

# %% [markdown]
# The order of the features only decides which row of $W_q$ belongs to which head. If the rows are
# dealt out in the same way, and the columns of $W_o$ too, the result should be the old one.

# %%
order = rearrange(torch.arange(12), "(head d) -> (d head)", head=3)
weights = ours.state_dict()
for name in ("query", "key", "value"):
    for part in ("weight", "bias"):
        weights[f"{name}.{part}"] = weights[f"{name}.{part}"][order]
weights["out.weight"] = weights["out.weight"][:, order]
renamed = MultiHeadAttention(12, 3)
renamed.load_state_dict(weights)
print("rows dealt out as well:          ", agree(dealt_out(renamed, x, context), expected))

# %% [markdown]
# **What you should see.** The first comparison is False and the second True. Both orders describe
# the same family of layers, and training from random weights would never tell them apart. Weights
# that are copied from elsewhere do: no shape is wrong, nothing is raised, and the output is a
# different one. That is why a layer should be compared with an independent implementation before
# its weights are trusted.

# %% [markdown]
# ## 2.3 What it costs
#
# Eight heads instead of one, at the same price: is that really so? This section counts. $W_q$ is
# one matrix, `dim` by `dim`, however many heads there are. As torch stores it, its columns take
# the features of the input, and its rows belong to heads. In $W_o$ the columns belong to heads.


# %% jupyter={"source_hidden": true}
def bands(ax, x, heads, upright=False):
    """A square cut into as many bands as there are heads, each with its name."""
    width = 3.6 / heads
    for head in range(heads):
        colour = diagrams.shade(diagrams.LEARNED, 0.25 + 0.4 * (head % 2))
        where = (x + head * width, 0.9) if upright else (x, 4.5 - (head + 1) * width)
        sides = (width, 3.6) if upright else (3.6, width)
        ax.add_patch(plt.Rectangle(where, *sides, fc=colour, ec=diagrams.INK, lw=0.8))
        middle = [start + side / 2 for start, side in zip(where, sides, strict=True)]
        turn = 90 * upright
        ax.text(*middle, f"head {head}", ha="center", va="center", size=8, rotation=turn)
    diagrams.label(ax, (x + 1.8, 0.75), "(head d)" if upright else "dim", "center", "top")
    name = "W_o" if upright else "W_q"
    many = f"{heads} head{'s' * (heads > 1)}"
    diagrams.title(ax, x + 1.8, 4.5, f"${name}$: {many},\nd = {12 // heads}")


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(19.2, 6.2)
for x, heads in (2.0, 1), (6.1, 3), (10.2, 6):
    bands(ax, x, heads)
bands(ax, 15.3, 3, upright=True)
diagrams.label(ax, (1.85, 2.7), "(head d)", "right")
diagrams.label(ax, (15.15, 2.7), "dim", "right")
said = """The square of W_q three times: whole, in 3 bands of 4 rows, in 6 bands of 2 rows. That of W_o
    once, in 3 upright bands of 4 columns."""
plots.show(fig, said)

# %% [markdown]
# **Predict.** The base model of the paper has $\text{dim} = 512$ and 8 heads. Does such a layer
# learn more numbers with 16 heads, fewer, or as many?
#
# <details><summary>Answer</summary>
#
# It learns as many. The four matrices keep their size. With 16 heads they are cut into more and
# narrower bands.
#
# </details>
#
# How many **multiply-adds** does each product below take? As an example, a 2 × 3 and a 3 × 5
# matrix take $2 \cdot 3 \cdot 5 = 30$. The additions of biases and the softmax are not counted.
#
# | | a product of |
# |---|---|
# | $q$, and the output | `i dim`, `dim dim` |
# | $k$, $v$ | `j dim`, `dim dim` |
# | $q k^\top$, in every head | `i d`, `d j` |
# | $A v$, in every head | `i j`, `j d` |
#
# <details><summary>Answer</summary>
#
# $q$ and the output take $i\,\text{dim}^2$ each, $k$ and $v$ take $j\,\text{dim}^2$ each. The products $q k^\top$
# and $A v$ take $i\,j\,d$ each in one head, and so $i\,j\,\text{dim}$ each in all heads.
#
# </details>

# %% [markdown]
# ### Exercise: `parameters`
#
# How many numbers does a layer learn, biases included?

# %% exercise="multi_head.parameters"

# %%
check("multi_head.parameters", parameters)

# %% [markdown]
# Stuck? `hint("multi_head.parameters")`. To read on without solving it:
# `from solutions.multi_head import parameters`.

# %% [markdown]
# ### Exercise: `multiply_adds`
#
# For one example, with `queries` tokens that ask and `keys` tokens that answer.

# %% exercise="multi_head.multiply_adds"

# %%
check("multi_head.multiply_adds", multiply_adds)

# %% [markdown]
# Stuck? `hint("multi_head.multiply_adds")`. To read on without solving it:
# `from solutions.multi_head import multiply_adds`.

# %% [markdown]
# ### Formula against count
#
# `counting.count`, a small counter of this course, watches the layer run and adds up the products that it
# really makes.

# %%
tokens = torch.randn(1, 10, 64)
for heads in (1, 2, 4, 8):
    layer = MultiHeadAttention(64, heads)
    learned = sum(p.numel() for p in layer.parameters())
    made = counting.count(partial(layer, tokens)).multiply_adds
    right = (parameters(64, heads), multiply_adds(64, heads, 10, 10)) == (learned, made)
    maps = layer.attention(tokens).numel()
    print(
        f"{heads=}  {learned} weights  {made} multiply-adds  maps of {maps}  formulas right: {right}"
    )

# %% [markdown]
# **What you should see.** Every line has 16640 weights and 176640 multiply-adds and ends in True:
# the formulas agree with what was counted. Twice as many heads make twice as many products $q
# k^\top$, each half as wide, since $\text{head} \cdot d = \text{dim}$. Only the size of the maps
# grows, `head i j`, because every head keeps a map of its own.

# %% [markdown]
# ### Projections or maps: which cost more?
#
# For self-attention the projections take $4\,n\,\text{dim}^2$ multiply-adds, and the two products
# with the map take $2\,n^2\,\text{dim}$. The figure shows both for the base size of a vision
# transformer, `dim` = 768. Two pictures of 224 by 224 pixels are marked: one in patches of 16 by
# 16, and one in which every pixel is a token.

# %% jupyter={"source_hidden": true}
n = 2 ** torch.arange(4, 17)
projections = [4 * int(m) * 768**2 for m in n]
every = [multiply_adds(768, 12, int(m), int(m)) for m in n]
products = [all_of_it - p for all_of_it, p in zip(every, projections, strict=True)]
fig, ax = plt.subplots(figsize=(5.2, 3.0))
ys = {"projections": projections, "q kᵀ and A v": products}
title = "dim = 768: up to n = 2 dim the projections cost more"
plots.lines(ax, n, ys, "tokens n", "multiply-adds", title)
for m, name in (196, "196\npatches"), (1536, "1536\n= 2 dim"), (50_176, "50,176\npixels"):
    ax.axvline(m, color="grey", linestyle=":", lw=1)
    ax.text(m * 1.08, 1.5e5, name, size=8, va="bottom", color="#555555")
ax.legend(frameon=True, framealpha=1, edgecolor="none")
ax.set(xscale="log", yscale="log", ylim=(1e5, None), xlim=(14, 3e5))
said = """Two rising lines, log scales. The steeper one, q k and A v, crosses at 1536 tokens: it is the
    lower one at 196 tokens and the higher one at 50,176."""
plots.show(fig, said)

# %%
for m in (196, 1536, 50_176):
    part = 1 - 4 * m * 768**2 / multiply_adds(768, 12, m, m)
    print(f"n = {m:6,}: the two products are {100 * part:.0f} % of the multiply-adds")

# %% [markdown]
# **What you should see.** The two lines cross at $n = 2\,\text{dim} = 1536$ tokens. In patches of
# 16 the picture has $14 \cdot 14 = 196$ tokens, and the quadratic term $n^2$ is the smaller part.
# Where every pixel is a token, it is nearly everything.

# %% [markdown]
# ### Ablation: heads of full width (may be skipped at first reading)
#
# Suppose each head kept all 64 features instead of a part of them.

# %%
for heads in (1, 2, 4, 8):
    rows = heads * 64  # W_q, W_k, W_v get this many rows, and W_o this many columns
    full = 4 * 64 * rows + 3 * rows + 64
    print(f"{heads=}  {full} weights  {full / parameters(64, heads):.3g} times as many")

# %% [markdown]
# **What you should see.** With eight heads the layer has nearly eight times the weights, and so on. The
# paper narrows its heads to $d = \text{dim} / (\text{number of heads})$, so that many cost no more
# than one.
# The price is paid in width: with $d = 8$ a head compares query and key by 8 numbers, not 64.
# [Bhojanapalli and colleagues](https://arxiv.org/abs/2002.07028) (2020) call this the low-rank
# bottleneck. The scores $q k^\top$ of $n$ tokens are the product of an `n d` and a `d n` matrix, whose rank is at
# most $d$. With fewer features than tokens most matrices of scores cannot be reached, and most maps neither.

# %% [markdown]
# ## 2.4 What two heads can do and one cannot
#
# Each of six tokens has a colour of its own and a number. A question names two colours: *how much
# larger is the number of the first than that of the second?* An example has its six tokens in random order
# and four questions.
#
# The task stands for a frequent one in images. "How far is the ball to the left of the player?"
# needs two things that are found for different reasons, and then compared.

# %%
NAMES = ["blue", "orange", "green", "red", "pink", "light blue"]
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"]
torch.manual_seed(1)
task = two_lookups(1)
first, second = (NAMES[colour] for colour in task.asked[0, 0])
f, s = task.place[0, 0].tolist()
z_f, z_s = task.number[0, f].item(), task.number[0, s].item()
print(f"{first} is token {f}, {second} is token {s}")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.2, 2.6))
ax.axhline(0, color="grey", linewidth=0.8)
role = {f: ": f", s: ": s"}
ax.scatter(range(6), task.number[0], s=90, c=[COLOURS[one] for one in task.colour[0]], zorder=2)
ax.hlines([z_f, z_s], [f, s], 6, linestyles=":", colors="black", zorder=1)
ax.annotate("", (6, z_f), (6, z_s), arrowprops={"arrowstyle": "->"})
ax.text(6.1, (z_f + z_s) / 2, f"t = {z_f - z_s:.2f}", va="center")
for j, colour in enumerate(task.colour[0].tolist()):
    at = {"xytext": (-8, 0), "ha": "right", "va": "center"} if j == 5 else {"xytext": (6, 6)}
    text = NAMES[colour] + role.get(j, "")
    ax.annotate(text, (j, task.number[0, j]), textcoords="offset points", **at)
ax.set(xlabel="token j", ylabel="number z", xlim=(-0.5, 7.2), xticks=range(6))
ax.margins(y=0.2)
ax.set_title(f"{first} minus {second}: {z_f:.2f} - ({z_s:.2f}) = {task.answer[0, 0]:.2f}")
plots.show(fig, f"Six coloured points; an arrow leads from the height of {second} to {first}.")

# %% [markdown]
# The numbers $z_j$ are independent and normal, with variance 1. To make a proof possible, we let the
# queries and keys see only the colours, and the values only the numbers: the value of a token is its number
# times a fixed vector, plus a constant. Since the weights sum to 1, all that a head can pass on, whatever
# its width, is
#
# $$
# r = \sum_j a_j z_j, \qquad a_j \ge 0, \quad \sum_j a_j = 1, \qquad \text{asked for: } t = z_f - z_s
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $z$ | `b j` | the number of each token |
# | $f$, $s$ | `b i` | the place of the first token asked for, and of the second |
# | $a$ | `b i j` | the weights of one head |
# | $r$ | `b i` | what that head reads, a weighted mean or **mixture** of the numbers |
# | $t$ | `b i` | the target, that is the right answer, with variance 2 |

# %% [markdown]
# The **variance explained** is one minus the mean squared error of the best guess, divided by the variance
# of $t$.
#
# **Predict.** A head puts all of its weight on the first token, so $r = z_f$. Which part of the
# variance of $t$ does it explain? Can other weights do better?
#
# <details><summary>Answer</summary>
#
# With $r = z_f$ the part $z_f$ is known and $z_s$ is not: 1 of 2, or one half. No weights do
# better. Given a question, $t$ and $r$ are weighted sums of the same independent normal numbers, hence
# jointly normal with mean 0, and the best guess of $t$ from $r$, linear or not, is a multiple of $r$. It explains the squared correlation:
#
# $$
# \frac{\operatorname{cov}(t, r)^2}{\operatorname{var} t \,\operatorname{var} r}
# = \frac{(a_f - a_s)^2}{2 \sum_j a_j^2}
# \le \frac{\max(a_f, a_s)^2}{2 \sum_j a_j^2} \le \frac12 .
# $$
#
# The first inequality needs $a \ge 0$: the difference of two such numbers is no larger than the
# larger one. Equality holds where all the weight lies on $f$, or all on $s$.
#
# </details>

# %% [markdown]
# The ceiling of one head is **one half**: it can do no better than to look at one of the two
# tokens and ignore the other. This holds for any width, any $W_o$ and any network that reads $r$.

# %% jupyter={"source_hidden": true}
a = torch.linspace(0, 1, 101)
weights = torch.stack([a, 1 - a], dim=-1)  # the first gets a, the second the remainder
ys = {"difference": explained_by_one_mixture(weights, 0, 1, sign=-1)}
fig, ax = plt.subplots(figsize=(5.2, 2.6))
title = "One mixture explains at most half of a difference"
plots.lines(ax, a, ys, "weight $a_f$ of token f; $a_s = 1 - a_f$", "variance explained", title)
ax.axhline(0.5, color="grey", linestyle=":")
marks = {(0, 0.5): "all on s", (1, 0.5): "all on f", (0.5, 0): "half and half: it cancels"}
for (x, y), text in marks.items():
    ax.plot(x, y, "o", color="C3", ms=5, clip_on=False)
    side = {0: "left", 0.5: "center", 1: "right"}[x]
    ax.annotate(
        text, (x, y), (0, 22 if y == 0 else 6), textcoords="offset points", ha=side, size=8.5
    )
ax.set(ylim=(0, 0.62), xlim=(0, 1))
plots.show(fig, "The curve is at a half at both ends, and falls to 0 where both get the same.")

# %% [markdown]
# ### Test the proof (may be skipped at first reading)
#
# The next cell draws weights over six tokens, from even to sharp, and looks for some that get
# past one half. Then it makes the best use of one mixture that anybody can: it sorts many examples
# by $r$, cuts them into narrow slices, and guesses in each slice the mean target of that slice.

# %%
torch.manual_seed(0)
weights = (10 * torch.rand(100_000, 1) * torch.randn(100_000, 6)).softmax(-1)
most = explained_by_one_mixture(weights, 0, 1).max()
z_f, z_s = torch.randn(2, 200_000)
in_order = (z_f - z_s)[(0.9 * z_f + 0.1 * z_s).argsort()]
slices = reduce(in_order, "(slice n) -> slice", "mean", slice=200)
formula = explained_by_one_mixture(torch.tensor([0.9, 0.1]), 0, 1)
print(f"best of 100000: {most:.3f}   formula at 0.9, 0.1: {formula:.3f}")
claim(most < 0.5001, "none of 100000 random heads explains more than one half")
close = abs(slices.var() / 2 - formula) < 0.02
claim(close, "guessing slice by slice explains what the formula says")

# %% [markdown]
# **What you should see.** The best of all random heads reaches 0.500, and no more. For the
# weights 0.9 and 0.1 the formula gives $0.8^2 / (2 \cdot 0.82) = 0.390$, and guessing slice by
# slice explains the same. Such a guess may be any function of $r$, and gains nothing by it.

# %% [markdown]
# ### A network for it
#
# The question becomes a query, and the colours become keys. Red asked for first and red asked for
# second are different words, with different embeddings.
#
# | part of a task | axes | what it is |
# |---|---|---|
# | `colour`, `number` | `b j` | of each token |
# | `asked`, `place` | `b i pair` | first and second along `pair`: the two colours that a question names, and where their tokens stand |
# | `answer` | `b i` | the difference of their numbers |


# %%
class Words(nn.Module):
    """Questions and tokens as vectors, from colours alone: b i dim and b j dim."""

    def __init__(self, dim, colours=6):
        super().__init__()
        self.asked, self.colour = nn.Embedding(2 * colours, dim), nn.Embedding(colours, dim)
        for embedding in (self.asked, self.colour):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, task):
        second = torch.tensor([0, self.colour.num_embeddings])  # the second has its own words
        asked = self.asked(task.asked + second)
        return reduce(asked, "b i pair dim -> b i dim", "sum"), self.colour(task.colour)


# %% [markdown]
# Your layer makes the maps out of these, and the numbers are the values. The class below repeats
# your `forward`, with keys and values from different places, as the proof requires.


# %%
class Net(nn.Module):
    """Weights from the colours, values from the numbers, and a linear answer."""

    def __init__(self, heads, dim=16):
        super().__init__()
        self.words, self.number = Words(dim), nn.Linear(1, dim)
        self.layer, self.read = MultiHeadAttention(dim, heads), nn.Linear(dim, 1)

    def attention(self, task):
        return self.layer.attention(*self.words(task))

    def forward(self, task):
        v = self.layer.value(self.number(rearrange(task.number, "b j -> b j 1")))
        read = merge_heads(self.attention(task) @ split_heads(v, self.layer.heads))
        return rearrange(self.read(self.layer.out(read)), "b i 1 -> b i")


# %% [markdown]
# The width is 16 in all cases, so networks with 1, 2 and 4 heads have the same number of weights.
# All are trained for the same 500 steps, from three starts each, and tested on new rows of tokens
# with new numbers. (There are only $6 \cdot 5 = 30$ different questions, and all have been asked.)


# %%
@cache
def trained(heads, seed=0, sign=-1):
    torch.manual_seed(seed)
    net = Net(heads)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(500):
        task = two_lookups(128, sign=sign)
        loss = (net(task) - task.answer).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %%
@torch.no_grad()
def explained(net, sign=-1):
    """The part of the variance that is explained, on new rows of tokens with new numbers."""
    torch.manual_seed(1000)
    task = two_lookups(10_000, sign=sign)
    return 1 - ((net(task) - task.answer).square().mean() / task.answer.var()).item()


# %% tags=["nbval-ignore-output"]
for heads in (1, 2, 4):
    found = [explained(trained(heads, seed)) for seed in range(3)]
    print(f"{heads=}     " + "   ".join(f"{part:.3f}" for part in found))
print("always 0    0.000   (the mean answer)")
print("one mixture 0.500   (the ceiling)")

# %%
found = {n: [explained(trained(n, seed)) for seed in range(3)] for n in (1, 2, 4)}
one = found[1]
claim(0.45 < min(one) and max(one) < 0.52, "one head explains 0.45 to 0.52 from every start")
claim(max(found[2]) > 0.98, "the best start with two heads explains more than 0.98")
claim(max(found[4]) > 0.98, "the best start with four heads explains more than 0.98")

# %% tags=["nbval-ignore-output"] jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.2, 2.3))
for row, parts in enumerate(found.values()):
    ax.barh(row, sum(parts) / 3, 0.6, color="#bfe3d6")
    ax.plot(parts, [row - 0.15, row, row + 0.15], "o", color="#009e73", ms=5, clip_on=False)
ax.axvline(0.5, color="black", ls=":", lw=1.2)
ax.text(0.51, -0.52, "ceiling of one head", size=8.5, va="bottom")
ax.set(yticks=range(3), yticklabels=("1 head", "2 heads", "4 heads"), xlim=(0, 1.02))
ax.set(xlabel="variance explained (a dot for each start)", ylim=(2.5, -0.9))
ax.set_title("One head stays at one half; two heads explain everything")
said = """Three bars with three dots each. One head ends at a dotted line at one half; two heads and four heads
    end at 1."""
plots.show(fig, said)

# %% [markdown]
# **What you should see.** One head lands on its ceiling, one half, from every start, give or take
# a hundredth for the examples drawn. Two heads of half the width reach 1, and four heads gain nothing more. If all your networks stay near 0,
# suspect a map that is the same for every question.


# %%
@cache
def best(heads):
    """The best of three starts."""
    return max((trained(heads, seed) for seed in range(3)), key=explained)


# %% jupyter={"source_hidden": true}
def mark(ax, place):
    """White marks, edged in black: rings on the first tokens asked for, crosses on the second."""
    edge = [withStroke(linewidth=3.4, foreground="black")]
    for which, (marker, name) in enumerate(
        (("o", "asked for first"), ("x", "asked for second"))
    ):
        style = {"color": "white", "mfc": "none", "ms": 7, "mew": 1.6, "path_effects": edge}
        ax.plot(place[:, which], range(len(place)), marker, label=name, **style)


# %% jupyter={"source_hidden": true}
torch.manual_seed(4)
task = two_lookups(1)
by_head = torch.cat([net.attention(task)[0].detach() for net in (best(1), best(2))])
names = "the only head", "head 0 of two", "head 1 of two"
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.4), sharey=True)
for ax, grid, name in zip(axs, by_head, names, strict=True):
    mark(plots.heat(ax, grid, "token j", "question i", name, bar=False), task.place[0])
    ax.label_outer()
fig.colorbar(axs[0].images[0], ax=axs, label="weight")
fig.legend(
    *axs[0].get_legend_handles_labels(),
    loc="outside lower center",
    ncols=2,
    facecolor="#bbbbbb",
    frameon=True,
)
fig.suptitle("One head must choose; two heads take one token each", size=9)
plots.show(fig, "The only head is bright at one token asked for, two heads at both.")


# %%
@torch.no_grad()
def on_asked(net):
    """For each head its mean weight on the first token asked for, and on the second."""
    task = two_lookups(1000)
    place = repeat(task.place, "b i pair -> b head i pair", head=net.layer.heads)
    return reduce(net.attention(task).gather(-1, place), "b head i pair -> head pair", "mean")


claim(on_asked(best(1)).max() > 0.9, "the only head gives one of the two more than 0.9")
found = reduce(on_asked(best(2)), "head pair -> pair", "max")
claim((found > 0.9).all(), "each of the two tokens gets more than 0.9 from one of two heads")

# %% [markdown]
# **What you should see.** In each row of the left map one cell is bright, and it carries the same
# mark in every row: this head always takes the first token, or always the second. Of the two maps
# on the right, one takes the first token and the other the second. Which head takes which token differs from
# start to start.
#
# What does $W_o$ do with them? All that follows a map is linear, so one can multiply it out: by how much does
# the answer change if what a head reads grows by 1?


# %%
def per_unit(net):
    """For each head, the change of the answer when what it reads grows by 1."""
    heads = net.layer.heads
    v = rearrange(
        net.layer.value.weight @ net.number.weight, "(head d) 1 -> head d", head=heads
    )
    out = rearrange(net.read.weight @ net.layer.out.weight, "1 (head d) -> head d", head=heads)
    return reduce(v * out, "head d -> head", "sum").tolist()


# %% tags=["nbval-ignore-output"]
for heads in (1, 2, 4):
    print(f"{heads=}:", *(f"{change:+.2f}" for change in per_unit(best(heads))))

# %%
less, more = sorted(per_unit(best(2)))
claim(-1.1 < less < -0.9 and 0.9 < more < 1.1, "of two heads, one counts +1 and the other -1")

# %% [markdown]
# **What you should see.** Of the two heads one is added, with about $+1$, and the other is subtracted, with
# about $-1$. No softmax could subtract; $W_o$ can. Among the four heads two count about $+1$ and $-1$, and the
# other two nearly nothing.

# %% [markdown]
# ### Ablation: take a head away
#
# The next function sets to 0 the columns of $W_o$ that read one head, and leaves everything else
# as it was trained.


# %%
@torch.no_grad()
def without(net, head):
    """A copy of the network whose last projection ignores one head."""
    heads = net.layer.heads
    copy = Net(heads)
    copy.load_state_dict(net.state_dict())
    columns = rearrange(
        torch.arange(copy.layer.out.in_features), "(head d) -> head d", head=heads
    )
    copy.layer.out.weight[:, columns[head]] = 0
    return copy


# %% tags=["nbval-ignore-output"]
for heads in (2, 4):
    for head in range(heads):
        part = explained(without(best(heads), head))
        print(f"{heads} heads, without head {head}: {part:.3f}")

# %%
left = [explained(without(best(2), head)) for head in range(2)]
claim(max(left) < 0.52, "with either of its two heads gone, the network is at a half at most")

# %% [markdown]
# **What you should see.** If either of its two heads is taken away, the network falls back under
# the ceiling of one head, as it must: what is left is one mixture. It explains what the one-head networks explain of the same test
# examples. Of four heads, those that count nearly 0 can be taken away without loss. If one of the others goes, a
# half is left or a little less: where it counted for slightly more than 1, slightly more than $z_f$ or $z_s$ is
# missing now.

# %% [markdown]
# ### How many heads do large models need?
#
# The same has been found in trained translators. [Elena Voita and
# colleagues](https://arxiv.org/abs/1905.09418) (ACL 2019) removed 38 of the 48 heads of an
# English-Russian encoder and lost 0.15 BLEU (abstract); the ones that remained had recognisable
# roles, such as attending to a neighbour or to a syntactic relation. [Paul Michel and
# colleagues](https://arxiv.org/abs/1905.10650) (NeurIPS 2019) found that many heads can be
# removed after training, and that some layers do with a single one.
#
# So a large model is trained with more heads than it needs afterwards. Why the spare ones help while it is
# trained is an open question that our small task cannot answer: here two heads succeeded from all three starts.

# %% [markdown]
# ### Ablation: plus instead of minus
#
# Now the question is for $z_f + z_s$. There are still two tokens to be read.
#
# **Predict.** Is one head still too few?
#
# <details><summary>Answer</summary>
#
# One head is enough. With the weight one half on each token, twice what it reads is the sum.
#
# </details>

# %% tags=["nbval-ignore-output"]
for seed in range(3):
    print(f"one head, sum: {explained(trained(1, seed, sign=1), sign=1):.3f}")

# %%
sums = [explained(trained(1, seed, sign=1), sign=1) for seed in range(3)]
claim(min(sums) > 0.8, "one head explains more than 0.8 of a sum from each start")

# %% jupyter={"source_hidden": true}
a = torch.linspace(0, 1, 101)
weights = torch.stack([a, 1 - a], dim=-1)
kinds = {"difference": -1, "sum": 1}
ys = {name: explained_by_one_mixture(weights, 0, 1, sign=x) for name, x in kinds.items()}
fig, ax = plt.subplots(figsize=(5.2, 2.6))
title = "One mixture explains half of a difference, but all of a sum"
plots.lines(ax, a, ys, "weight $a_f$ of token f; $a_s = 1 - a_f$", "variance explained", title)
ax.axhline(0.5, color="grey", linestyle=":")
plots.show(fig, "Both curves are at a half at both ends; in the middle one is 0, the other 1.")

# %% [markdown]
# **What you should see.** The curve of the sum is at 1 where the curve of the difference is at 0.
# One head now explains all but a few thousandths, from each start. So one head can look at two tokens at once. What it cannot do is keep them apart.
#
# All of this holds because the keys see only the colours. If they saw the numbers, the weights could carry
# information about them, and there would be no such ceiling.

# %% [markdown]
# ## 2.5 Fewer keys and values: MQA and GQA (may be skipped at first reading)
#
# A language model writes one token at a time, and for each new one it needs the keys and values
# of all earlier tokens. They are kept in the **KV cache**, which you will build in chapter 04.
# With long texts this cache limits the speed: each new token makes one query a head, but the keys and values
# of all earlier tokens must be fetched from memory for it. Noam Shazeer proposed in
# 2019 that all heads use the same keys and values, [multi-query
# attention](https://arxiv.org/abs/1911.02150) (MQA). [Grouped-query
# attention](https://arxiv.org/abs/2305.13245) (GQA; Ainslie and colleagues, 2023) lies in
# between: each of a few groups of heads has its own keys and values.


# %% jupyter={"source_hidden": true}
def shared_keys(ax, x, name, groups):
    """Four heads of queries above, the keys and values that they use below."""
    diagrams.title(ax, x + 2.4, 3.4, name)
    kept = f"cache: {2 * groups} vectors a token"
    ax.text(x + 2.4, 0.15, kept, ha="center", va="top", size=8.5)
    for group in range(groups):
        middle = x + 1.28 * (4 / groups * (group + 0.5) - 0.5) + 0.48
        diagrams.layer(ax, middle - 0.54, 0.5, f"k v {group}", 1.08, 0.6, diagrams.LEARNED)
        for head in range(4 // groups * group, 4 // groups * (group + 1)):
            diagrams.layer(ax, x + 1.28 * head, 2.6, f"q {head}", 0.96, 0.6, diagrams.DATA)
            top = x + 1.28 * head + 0.48
            ax.plot([top, middle], [2.55, 1.15], color=diagrams.INK, lw=1.2)


# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(17.4, 4.6)
ax.set_ylim(-0.5, 4.1)
for x, name, groups in (
    (0.4, "multi-head", 4),
    (6.3, "grouped-query", 2),
    (12.2, "multi-query", 1),
):
    shared_keys(ax, x, name, groups)
said = """Four query heads each: with four, two, and one pair of keys and values, so that the cache
    holds 8, 4 and 2 vectors for each token."""
plots.show(fig, said)

# %% [markdown]
# In code only the keys and values change: they have fewer heads, and each is repeated for the
# heads of its group. `torch.nn.functional.scaled_dot_product_attention` does this if it is called
# with `enable_gqa=True`. The next cell compares the two, and then counts, for `dim` = 64 and 8
# heads, the numbers that the cache keeps for each token.


# %%
def grouped(q, k, v):
    """Attention of b head i d to keys and values b group j d: each group serves several heads."""
    times = q.shape[1] // k.shape[1]
    k, v = (repeat(x, "b group j d -> b (group times) j d", times=times) for x in (k, v))
    return attention_weights(q, k) @ v


# %%
torch.manual_seed(0)
q = torch.randn(2, 8, 5, 8)
for group in (8, 2, 1):
    k, v = torch.randn(2, 2, group, 7, 8)
    theirs_too = nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    claim(
        torch.allclose(grouped(q, k, v), theirs_too, atol=1e-5),
        f"{group} {'groups' if group > 1 else 'group'}: torch's result",
    )
    print(f"heads of k and v: {group}   numbers a token: {2 * group * 8}")

# %% [markdown]
# **What you should see.** The three claims hold, and the cache shrinks from 128 numbers a token
# to 32 and 16. The larger models of [Llama 2](https://arxiv.org/abs/2307.09288) (2023) use
# grouped queries with 8 groups. How much that matters shows a model of 32 layers, each with 32 heads of 128
# features, after 4096 tokens, at two bytes a number:

# %%
for group in (32, 8):
    size = 2 * 2 * 32 * group * 128 * 4096  # bytes; keys and values; layers, groups, d, tokens
    print(f"{group:2} heads of keys and values: {size / 2**30:g} GiB for each text")

# %% [markdown]
# ## What you have now
#
# The chapter began with an objection: once two values have been averaged, nobody can tell which came from where.
# You have measured it. One head explains half of a difference and no weights can do better; two heads of
# half the width explain all of it, at the same price.
#
# | | | what to remember |
# |---|---|---|
# | split | `b n (head d) -> b head n d` | heads are the outer part of the features |
# | attend | `b head i j` | one softmax for each head; the scale has the $d$ of one head |
# | merge and project | `b head n d -> b n (head d)`, then $W_o$ | only $W_o$ mixes heads; it can subtract |
# | cost | $4\,\text{dim}^2$ weights | the same for any number of heads |
# | one head | one half of the variance | a single mixture of values cannot keep two tokens apart |
# | MQA, GQA | fewer heads of keys and values | a smaller cache for the same queries |

# %% [markdown]
# ### Explain it to somebody
#
# 1. Why not one head of full width?
# <details><summary>Answer</summary>
# It has one set of weights, so what it reads is one mean. Two tokens that are needed for two reasons are averaged and cannot be separated
# afterwards.
# </details>
#
# 2. Why do eight heads cost no more than one?
# <details><summary>Answer</summary>
# Each has an eighth of the features. The projections have the same size, and the products q kᵀ sum over an eighth of the features in each
# of eight heads.
# </details>
#
# 3. What is the last projection for?
# <details><summary>Answer</summary>
# Up to there the heads stand side by side. W_o mixes them: it can add one and subtract another.
# </details>

# %% [markdown]
# 4. What is the difference between self-attention and cross-attention?
# <details><summary>Answer</summary>
# In self-attention queries, keys and values come from the same tokens. In cross-attention keys and values come from others, the context.
# </details>
#
# 5. Somebody's pretrained weights fit your layer, and the output is nonsense. What would you suspect?
# <details><summary>Answer</summary>
# The order of the features, (head d) or (d head); then the order of q, k and v in a stacked matrix, and the sense of the mask.
# </details>

# %% [markdown]
# ### What came after
#
# - [What Does BERT Look At?](https://arxiv.org/abs/1906.04341) (2019) reads the heads of a trained model one by one, and finds syntax in some.
# - [Talking-heads attention](https://arxiv.org/abs/2003.02436) (2020) mixes the heads before and after the softmax, too.
# - [Multi-head latent attention](https://arxiv.org/abs/2405.04434) (DeepSeek-V2, 2024) stores a short vector from which keys and values of all
#   heads are computed.

# %% [markdown]
# ### References
#
# - Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762), NeurIPS 2017.
# - Voita et al., [Analyzing Multi-Head Self-Attention: Specialized Heads Do the Heavy Lifting, the Rest Can Be Pruned](https://arxiv.org/abs/1905.09418), ACL 2019.
# - Michel, Levy, Neubig, [Are Sixteen Heads Really Better than One?](https://arxiv.org/abs/1905.10650), NeurIPS 2019.
# - Shazeer, [Fast Transformer Decoding: One Write-Head is All You Need](https://arxiv.org/abs/1911.02150), 2019.
# - Ainslie et al., [GQA](https://arxiv.org/abs/2305.13245), EMNLP 2023.
#
# Neither heads nor softmax know where a token stands: shuffle all tokens, and the outputs are
# shuffled with them. Chapter 03 gives them positions.
