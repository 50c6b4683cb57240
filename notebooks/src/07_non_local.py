# %% [markdown]
# # 7 · Non-local and dual attention
#
# A convolution sees three pixels across. To connect two corners of an image one stacks dozens of them,
# and the signal weakens on the way. In 2005 Antoni Buades, Bartomeu Coll and Jean-Michel Morel had shown
# for photographs that distance need not matter: their
# [non-local means](https://doi.org/10.1109/CVPR.2005.38) remove noise from a pixel by averaging pixels
# that look alike, wherever they are.

# %% [markdown]
# In 2017 Xiaolong Wang, Ross Girshick, Abhinav Gupta and Kaiming He made a trainable layer of the idea,
# [Non-local Neural Networks](https://arxiv.org/abs/1711.07971) (CVPR 2018). Their introduction says why:
# stacked local steps waste computation, are hard to train, and make it difficult to pass messages back and
# forth over long distances. Their field was video: in Figure 1 a block relates a ball in the first frame to
# the ball in the last two. They noticed that one form of their layer is the attention of the Transformer,
# which had appeared in the same year for translation. So attention came to images by two roads at once.

# %% [markdown]
# ### What came of it
#
# | Kinetics, video, top-1 | ResNet-50 | ResNet-101 |
# |---|---|---|
# | without a block | 71.8 % | 73.1 % |
# | 1 non-local block | 72.7 % | 74.3 % |
# | 5 blocks | 73.8 % | 75.1 % |
# | 10 blocks | 74.3 % | 75.1 % |
#
# (Table 2c of the paper.) Kinetics is a collection of short videos, each of one human action; the rows say
# how many non-local blocks were added. A ResNet-50 with five blocks beats a ResNet-101 without any.
#
# In [DANet](https://arxiv.org/abs/1809.02983) (CVPR 2019) Jun Fu and colleagues let pixels ask pixels *and*
# channels ask channels, and reached 81.5 % mIoU (mean intersection over union, section 7.1) on the test
# set of Cityscapes, street scenes to be segmented (the paper's Table 3). Vision Transformers, in 2020, kept
# the attention and dropped the convolutions.
#
# **About 2½ hours**, of which 79 minutes are exercises. A CPU is enough.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | the non-local block in its four forms, two of them without the map that defines them; DANet's two attentions and its head; mIoU | arrows from every pixel to the entry of a legend that it needs; what a pixel of a photograph looks at; where the paper and the code of DANet part | attention from chapter 1, CBAM from chapter 6 |
#
# Sections marked "may be skipped" can be left out at first; the rest takes about two hours.

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` | images |
# | `c`, `m` | channels; features in the middle of a bottleneck |
# | `h` `w` | height and width in pixels; $n = h w$ |
# | `i`, `j` | what asks (query), what is looked at (key); $N$ is the number of keys |
# | `e` | features of a value |
#
# Until section 7.8 queries and keys are pixels. There they are channels.

# %%
import math
from functools import cache

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, repeat, unpack
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, explore, hint
from attncourse.book import claim, diagrams, plots
from attncourse.book.drawings import non_local as drawn
from attncourse.papers import counting
from attncourse.tasks import scenes as scene_tasks
from attncourse.tasks.pictures import photograph
from attncourse.tasks.scenes import KINDS, SYMBOLS, Segmenter, named, unseen
from solutions.non_local import FORMS, classifier, conv_norm_relu, dot_product_weights, max_pool
from solutions.spatial import CBAM

torch.manual_seed(0)
scenes = unseen()

# %% [markdown]
# ## 7.1 A map and its legend
#
# The task of this chapter is to read maps. There are countries in red, green and blue, and left of them a
# legend of three pairs: a spot of colour, and beside it a symbol, a spot of two pixels in black, yellow or
# violet. The
# three symbols are the classes. Every pixel of a country is to be named by the symbol beside its colour,
# and the legend is drawn anew for each map. In photographs the legend stands for anything far away that
# decides what a thing
# is: the road that makes a grey patch a car and not a roof.

# %% jupyter={"source_hidden": true}
palette = torch.cat([SYMBOLS, torch.ones(1, 3)])  # paper is class -1, the last colour
fig, axs = plt.subplots(2, 3, figsize=(6.4, 3.5))
for (above, below), b in zip(axs.T, (5, 21, 44), strict=True):
    plots.image(above, scenes.image[b], f"map {b}")
    plots.image(below, palette[scenes.truth[b]], "the answer")
    above.text(-0.5, 11.9, "legend", ha="left", va="top", size=8)
    above.text(11, 11.9, "countries", ha="center", va="top", size=8)
plots.show(
    fig,
    "Three maps of red, green and blue countries; left of each three pairs of a colour and a"
    " symbol in black, yellow or violet. Below, the countries in the colours of their symbols.",
)

# %% [markdown]
# **Predict.** The countries begin in column 5, and the legend stands in columns 0 and 1. A network of three
# 3 x 3 convolutions sees three pixels far in each direction. Which fraction of the pixels can it name
# rightly, at
# best?
#
# <details><summary>Answer</summary>
#
# It can name one third of them. The legend gives each colour one of three classes at random, and no pixel
# within reach of a
# country depends on that choice. This holds for every network that does not reach the legend,
# however well it is trained.
#
# </details>

# %% [markdown]
# ### How segmentation is scored
#
# The fraction of right pixels flatters a network that forgets small classes. **Intersection over union**
# (IoU) takes each class by itself. For one class, let $P$ be the set of pixels that the network gives to
# the class, and $T$ the set of pixels that truly belong to it. If the two shapes coincide, the score is 1,
# and if they do not touch, it is 0:
#
# $$ \mathrm{IoU} = \frac{|P \cap T|}{|P \cup T|} \qquad
# \text{mIoU} = \text{its mean over the classes} $$
#
# | | axes | what it is |
# |---|---|---|
# | `predicted`, `truth` | any | the class of each pixel |
# | `mean_iou(…)` | one number | intersections and unions over **all** pixels, then divided |
#
# A pixel whose truth is no class (-1 and 255 are common) is not counted. A class that is in neither is left
# out of the mean.

# %% [markdown]
# **Predict.** Three classes are equally frequent. What is the mIoU of calling everything class 0?
#
# <details><summary>Answer</summary>
#
# Class 0 has an intersection of one third of the pixels, and a union of all of them, so that its IoU is
# 1/3. The two others have no intersection, and their IoU is 0. The mean is 1/9, although a third of the
# pixels is right.
#
# Guessing at random does better: each class has $|P \cap T| = 1/9$ and $|P \cup T| = 5/9$, and its IoU is
# 1/5. This is also
# the most that can be had without the legend: calling a fraction $r$ of the pixels a class gives
# $r / (1 + 2r)$, which bends downwards, so that equal fractions are best.
#
# </details>

# %% [markdown]
# ### Exercise: `mean_iou`

# %% exercise="non_local.mean_iou"

# %%
check("non_local.mean_iou", mean_iou)

# %% [markdown]
# Stuck? `hint("non_local.mean_iou")` gives one hint at a time. To read on without solving it:
# `from solutions.non_local import mean_iou`.

# %%
chance = torch.randint(KINDS, scenes.truth.shape, generator=torch.Generator().manual_seed(0))
guessed = mean_iou(chance, scenes.truth, KINDS).item()
constant = mean_iou(torch.zeros_like(chance), scenes.truth, KINDS).item()
print(f"at random {guessed:.3f}, always class 0 {constant:.3f}")
claim(mean_iou(scenes.truth, scenes.truth, KINDS) == 1, "a perfect answer has an mIoU of 1")
claim(abs(guessed - 1 / 5) < 0.01, "guessing reaches 1/5, the ceiling without the legend")
claim(abs(constant - 1 / 9) < 0.02, "one class for all reaches 1/9")

# %% [markdown]
# ### A network that cannot reach
#
# All comparisons below train the same small network, with something in its middle. Here there is nothing. (Each
# convolution has a batch norm and a ReLU behind it. The loss is the cross entropy of all pixels, over 16 new maps a step.)

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 2.4)
boxes = [("map", 1.5, "#56b4e9"), ("3 x 3", 1.9, diagrams.LEARNED)]
boxes += [("3 x 3", 1.9, diagrams.LEARNED), ("?", 1.6, diagrams.ATTENTION)]
boxes += [("3 x 3", 1.9, diagrams.LEARNED), ("1 x 1", 1.9, diagrams.LEARNED)]
boxes += [("scores", 1.7, "#56b4e9")]
channels = "3", "32", "32", "32", "32", "3"
left, before = 0.3, None
for number, (name, width, colour) in enumerate(boxes):
    box = diagrams.layer(ax, left, 0.9, name, width, colour=colour)
    if before is not None:
        diagrams.arrow(ax, before.right, box.left)
        middle = (before.right[0] + box.left[0]) / 2
        ax.text(middle, 0.55, channels[number - 1], ha="center", size=8.5)
    left, before = left + width + 0.5, box
ax.text(0.3, 0.55, "channels", ha="left", size=8.5)
ax.text(8.3, 1.95, "what is compared", ha="center", size=8.5)
plots.show(
    fig,
    "A row of boxes: the map, two 3 x 3 convolutions, a box with a question mark, a 3 x 3 and a 1 x 1"
    " convolution, scores. Between them 32 channels of 12 by 18 pixels.",
)


# %% jupyter={"source_hidden": true}
@cache
def reader(middle, seed, steps=300):
    """A network that was taught to read maps, with one of these between its convolutions."""
    middles = {
        "nothing": lambda: None,
        "CBAM": lambda: CBAM(32, reduction=8),
        "position": lambda: PositionAttention(32),
        "channel, paper": lambda: ChannelAttention(),
        "channel, released": lambda: ChannelAttention(released=True),
    } | {form: lambda form=form: NonLocal(32, form) for form in FORMS}
    return scene_tasks.train(lambda: Segmenter(middles[middle]()), seed, steps)


# %%
@cache
def scores(middle, seeds=2, steps=300):
    """The mIoU on unseen maps for each seed, the lowest first."""
    found = []
    for seed in range(seeds):
        predicted = named(reader(middle, seed, steps), scenes.image)
        found.append(mean_iou(predicted, scenes.truth, KINDS).item())
    return sorted(found)


def report(middle, seeds=2, steps=300):
    """One line: the mIoU of each seed."""
    found = " ".join(f"{score:.2f}" for score in scores(middle, seeds, steps))
    print(f"{middle:18} mIoU {found}   ({steps} steps)")


# %% tags=["nbval-ignore-output"]
report("nothing", seeds=3)
named_so = [named(reader("nothing", seed), scenes.image) for seed in range(3)]
right = [scene_tasks.accuracy(predicted, scenes.truth) for predicted in named_so]
print("pixels named rightly:", *(f"{fraction:.3f}" for fraction in sorted(right)))
claim(max(right) < 0.38, "without the legend one pixel in three is right, and no more")
claim(
    scores("nothing", seeds=3)[-1] < 0.22,
    "the mIoU stays below 1/5, up to the chance of 200 maps",
)

# %% [markdown]
# **What you should see.** A third of the pixels is right, up to the chance of 200 maps, and the mIoU is
# between 1/9 and 1/5. Nothing is wrong with the training. More convolutions would reach the legend in the
# end, one pixel for each of them; a map 18 pixels wide needs many. Attention needs one layer.

# %% [markdown]
# ## 7.2 Every pixel asks every pixel
#
# Picture one pixel $i$ of a small image, with a line to every pixel $j$, itself included. The thicker the
# line, the more of what $j$ holds flows to $i$. This is a **non-local operation**: each pixel receives a
# mixture of what all pixels hold,
#
# $$ y_i = \frac{1}{\mathcal C} \sum_j f(q_i, k_j)\, v_j $$
#
# (Wang et al. 2018, equation 1.) The function $f$ is the thickness of the line: it says how much the pixel
# $j$ matters for $i$. Here $q_i$, the query, describes the pixel that asks, $k_j$, the key, the pixel that
# is looked at, and $v_j$, the value, is what flows. The division by $\mathcal C$ makes the sum comparable
# between images of different size. The paper tries four functions $f$, which we meet one after the other.

# %% [markdown]
# The first is the **Gaussian** form, where $q$ and $k$ are the pixel's own features $x$:
#
# $$ f = e^{q_i \cdot k_j} \qquad \mathcal C = \sum_j f(q_i, k_j) $$
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$ | `… i m`, `… j m` | pixels as tokens, any axes in front |
# | `gaussian_weights(q, k)` | `… i j` | for each pixel its weights over all |

# %% [markdown]
# ### Once by hand
#
# Take three pixels with one feature each, 0, 1 and 2, which are queries, keys and values at once. The pixel
# with the 1 asks. Its products with the keys are 0, 1 and 2, their exponentials 1, 2.72 and 7.39, and over
# their sum 11.11 the weights are 0.09, 0.24 and 0.67. The mixture is therefore
# 0.09 · 0 + 0.24 · 1 + 0.67 · 2 = 1.58.
#
# The largest weight does not go to the pixel that is *equal* to the query but to the one that is
# *larger*. We shall meet this again in a photograph.

# %%
values = torch.tensor([0.0, 1.0, 2.0])
weights = (1.0 * values).exp() / (1.0 * values).exp().sum()
print(*(f"{x:.2f}" for x in values.exp()), f"sum {values.exp().sum():.2f}")
print("weights", *(f"{w:.2f}" for w in weights), f"mixture {(weights * values).sum():.2f}")
claim(weights.argmax() == 2, "the pixel with the 1 looks most at the pixel with the 2")

# %% [markdown]
# **Predict.** $f / \mathcal C$ is something that you wrote in chapter 1, but for one factor. Which?
#
# <details><summary>Answer</summary>
#
# Exponentials over their sum are a softmax over $j$. Scaled dot-product attention divides by $\sqrt m$
# first; the paper does not. So it is attention with scale 1.
#
# </details>
#
# *The paper has no scale. The authors' [code](https://github.com/facebookresearch/video-nonlocal-net)
# divides the products by $\sqrt m$. We follow the paper.*

# %% [markdown]
# ### Exercise: `gaussian_weights`

# %% exercise="non_local.gaussian_weights"

# %%
check("non_local.gaussian_weights", gaussian_weights)

# %% [markdown]
# Stuck? `hint("non_local.gaussian_weights")`. To read on without solving it:
# `from solutions.non_local import gaussian_weights`.

# %%
torch.manual_seed(0)
q, k, v = torch.randn(2, 35, 8), torch.randn(2, 12, 8), torch.randn(2, 12, 16)
theirs = F.scaled_dot_product_attention(q, k, v, scale=1.0)
apart = (gaussian_weights(q, k) @ v - theirs).abs().max()
claim(apart < 1e-5, "with scale 1, torch's attention is the Gaussian form")

# %% [markdown]
# ### What a pixel of a photograph looks at
#
# The plain Gaussian form compares pixels as they are, $q = k = x$. We take the three colours of each pixel
# of a photograph (from scikit-learn) as its features, once raw and once *standardised*: minus their mean,
# over their standard deviation.
#
# Beside them stands the ancestor. **Non-local means** compare not pixels but patches, here of 3 x 3
# pixels, and not by a product but by their distance: $e^{-\|p_i - p_j\|^2 / \tau}$ over its sum, for patches
# $p$. The constant $\tau$, here 0.2, sets how fast the weight falls with the distance.


# %%
def colour_maps(standardise):
    """The map of a small photograph, each pixel described by its colour; y x is the key."""
    x = rearrange(photograph("china", 24, 36), "h w c -> (h w) c")
    if standardise:
        x = (x - x.mean(0)) / x.std(0)
    return rearrange(gaussian_weights(x, x), "(h w) (y x) -> h w y x", h=24, y=24)


def patch_maps(tau=0.2):
    """The weights of non-local means for the same photograph."""
    x = rearrange(photograph("china", 24, 36), "h w c -> 1 c h w")
    patches = F.unfold(F.pad(x, [1] * 4, mode="reflect"), 3)[0].T
    weights = (-torch.cdist(patches, patches).square() / tau).softmax(-1)
    return rearrange(weights, "(h w) (y x) -> h w y x", h=24, y=24)


# %% jupyter={"source_hidden": true}
def draw_map(ax, weights, name):
    """The weights of one query, bright for the largest 2 in 100."""
    plots.heat(ax, weights, "", "", name, high=weights.quantile(0.98).item(), bar=False)
    ax.set(xticks=[], yticks=[])


# %% jupyter={"source_hidden": true}
shown = {"raw product": colour_maps(False), "standardised": colour_maps(True)}
shown["non-local means"] = patch_maps()
fig, axs = plt.subplots(2, 4, figsize=(6.4, 2.8))
for row, what, h, w in zip(axs, ("sky", "trees"), (2, 21), (30, 4), strict=True):
    plots.image(row[0], photograph("china", 24, 36), f"from the {what}")
    row[0].plot(w, h, "x", color="white", markersize=10, markeredgewidth=4)
    row[0].plot(w, h, "x", color="red", markersize=8, markeredgewidth=2)
    for ax, (name, maps) in zip(row[1:], shown.items(), strict=True):
        draw_map(ax, maps[h, w], name)
fig.supxlabel("dark: 0; yellow: the largest 2 in 100 weights of each map", fontsize=8)
alt = """A photograph of a temple twice, a cross in the sky and one in the trees. The raw maps are alike
for both; standardised, sky finds sky and trees find what is dark; so do non-local means."""
plots.show(fig, alt)

# %%
favourite = rearrange(colour_maps(False), "h w y x -> (h w) (y x)").argmax(-1)
claim(len(favourite.unique()) == 1, "with raw colours all 864 pixels prefer the same one")
brightest = rearrange(photograph("china", 24, 36), "h w c -> (h w) c").norm(dim=-1).argmax()
claim(favourite[0] == brightest, "it is the one with the longest vector: the brightest")
own = rearrange(patch_maps(), "h w y x -> (h w) (y x)").argmax(-1)
claim((own == torch.arange(864)).all(), "non-local means: each pixel prefers itself")

# %% [markdown]
# **What you should see.** A product is not a similarity. Colours are never negative, and this photograph has no
# pure colours, so the brightest pixel has the largest product with everyone, and all look there, as in the
# example by hand. With the mean taken off, the sky agrees with the brightest part of the sky, and the tree
# with what is dark, be it wood or leaves. A distance has no such fault (a query's own length is the same for all keys,
# and the softmax ignores it):
# $-\|a - b\|^2 = 2\, a \cdot b - \|a\|^2 - \|b\|^2$ subtracts the squared length of the key.

# %% [markdown]
# Each map has a scale of its own: from the full yellow on, a weight belongs to the largest 2 % of its map.
#
# If the weights of one pixel do not add up to 1, your softmax runs over $i$.
#
# All three maps, for any query: move from the sky down into the trees. Which map does not notice?

# %%
shown = {"raw product": colour_maps(False), "standardised": colour_maps(True)}
shown["non-local means"] = patch_maps()
shown = {
    name: rearrange(each[::2, ::2], "h w y x -> (h w) (y x)") for name, each in shown.items()
}
photo = photograph("china", 24, 36)
explore(photo, shown, queries=(12, 18), keys=(24, 36), query=(1, 15), name="alike")

# %% [markdown]
# What "alike" should mean, the **embedded Gaussian** leaves to training: queries and keys are each a linear layer of $x$, so
# that the network decides what similarity means. `gaussian_weights` serves both Gaussian forms. With the
# layers we are back at the Transformer's attention, as the paper says itself.

# %% [markdown]
# ## 7.3 Dot product: a map that nobody needs
#
# The third form drops the exponential. Some division is needed, since inputs vary in size; the paper
# divides by the number of keys and not by the sum of $f$, because this simplifies the gradient:
#
# $$ f = q_i \cdot k_j \qquad \mathcal C = N $$
#
# Nothing stands between the two products now, and three matrices may be multiplied in either order.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.two_orders(),
    "Above, queries times keys make a large square map i j, which times the values gives y. Below, keys"
    " times values make a small matrix m e, and the queries times it give the same y.",
)

# %% [markdown]
# **Predict.** For 56 x 56 pixels and $m = e = 64$: how many numbers does the tensor in the middle hold, above
# and below?
#
# <details><summary>Answer</summary>
#
# Above it holds $3136^2$ numbers, nearly ten million. Below it holds $64 \cdot 64 = 4096$, which is 2401
# times fewer, and this number does not grow with the image.
#
# </details>
#
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$, $v$ | `… i m`, `… j m`, `… j e` | |
# | `dot_product_mixture(q, k, v)` | `… i e` | $\frac1N \sum_j (q_i \cdot k_j)\, v_j$ |

# %% [markdown]
# ### Exercise: `dot_product_mixture`
#
# Write it without a tensor `i j`. The check measures your largest tensor.

# %% exercise="non_local.dot_product_mixture"

# %%
check("non_local.dot_product_mixture", dot_product_mixture)

# %% [markdown]
# Stuck? `hint("non_local.dot_product_mixture")`. To read on without solving it:
# `from solutions.non_local import dot_product_mixture`.


# %%
def by_map(q, k, v):
    """The same numbers, by way of the map."""
    weights = dot_product_weights(q, k)
    return weights @ v


torch.manual_seed(0)
q, k, v = torch.randn(3, 2, 400, 16)
apart = (dot_product_mixture(q, k, v) - by_map(q, k, v)).abs().max()
claim(apart < 1e-5, "the two orders give the same numbers")
check("non_local.dot_product_mixture", by_map)


# %%
def spent(mix, side):
    """Multiply-adds for an image of this many pixels squared, and 64 features."""
    tokens = torch.randn(side**2, 64)
    return counting.count(lambda: mix(tokens, tokens, tokens)).multiply_adds


claim(
    spent(by_map, 56) == 16 * spent(by_map, 28),
    "with the map, four times the pixels cost 16 times as much",
)
claim(
    spent(dot_product_mixture, 56) == 4 * spent(dot_product_mixture, 28),
    "without it, they cost 4 times as much",
)

# %% jupyter={"source_hidden": true}
sides, ways = [7, 14, 28, 56], {"with the map": by_map, "without": dot_product_mixture}
counted = {name: [spent(mix, side) / 1e6 for side in sides] for name, mix in ways.items()}
fig, ax = plt.subplots(figsize=(4.6, 2.6))
title = "Four times the pixels: 16 times, or 4 times"
pixels = [side**2 for side in sides]
plots.lines(ax, pixels, counted, "pixels n", "millions of multiply-adds", title)
ax.set(xscale="log", yscale="log")
ax.plot(64, 2 * 64**3 / 1e6, "ko", ms=5)
ax.annotate("n = 64", (64, 2 * 64**3 / 1e6), (90, 0.3), size=8)
plots.show(fig, "Two straight lines that cross at n = 64; the one with the map is steeper.")

# %% [markdown]
# **What you should see.** The lines have slopes of 2 and 1, and the check calls the way by the map right but
# too expensive. They meet where $n$ equals the width, 64. If your result differs, look for a softmax, which
# forbids the exchange: $\operatorname{softmax}(q k^\top) v$ cannot be done in the other order. **Linear
# attention**
# ([Katharopoulos et al. 2020](https://arxiv.org/abs/2006.16236)) replaces the softmax by a product of
# features, $\phi(q)\,\phi(k)^\top$ over its sum, to get this order back.

# %% [markdown]
# ## 7.4 Concatenation: a sum in disguise (may be skipped at first reading)
#
# The fourth form reads both vectors, one behind the other, with one row of weights:
#
# $$ f = \operatorname{relu}\bigl(w \cdot [q_i, k_j]\bigr) \qquad \mathcal C = N $$
#
# Written down as it stands, this makes all pairs of vectors first: a tensor `i j 2m`.

# %% [markdown]
# **Predict.** Can you do without that tensor? And what would happen with a softmax over $j$ in place of the
# relu?
#
# <details><summary>Answer</summary>
#
# $w \cdot [q_i, k_j] = w_q \cdot q_i + w_k \cdot k_j$: one number for each query and one for each key,
# added crosswise as in the figure below. A softmax over $j$ does not see what is the same for all $j$: the
# query would cancel,
# and every pixel would get the same map. Only the relu lets query and key meet.
#
# </details>

# %% [markdown]
# Because $w \cdot [q_i, k_j] = w_q \cdot q_i + w_k \cdot k_j$, where $w_q$ and $w_k$ are the two halves of $w$,
# each query and each key is read once and becomes one number. The table of all pairs is a table of sums:

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.crosswise(),
    "A column of numbers, one for each query, and a row, one for each key; a table of their sums; and"
    " the same table with its negative entries set to 0 and the others divided by 4, the number of keys.",
)

# %%
a, b = torch.tensor([1.0, -2, 3]), torch.tensor([0.0, 1, -1, 2])
sums = rearrange(a, "i -> i 1") + b
claim((sums[0] == torch.tensor([1.0, 2, 0, 3])).all(), "first row of the table: 1 2 0 3")
same = (sums.softmax(-1) - sums.softmax(-1)[0]).abs().max() < 1e-6
claim(same, "with a softmax in place of the relu all rows are equal: the query has cancelled")

# %% [markdown]
# | | axes | what it is |
# |---|---|---|
# | $q$, $k$, $w$ | `… i m`, `… j m`, `two_m` | the first half of $w$ reads the query |
# | `concatenation_weights(q, k, w)` | `… i j` | the table, rectified, over $N$ |

# %% [markdown]
# ### Exercise: `concatenation_weights`
#
# Raise a `ValueError` where $w$ is not twice as long as a query.

# %% exercise="non_local.concatenation_weights"

# %%
check("non_local.concatenation_weights", concatenation_weights)

# %% [markdown]
# Stuck? `hint("non_local.concatenation_weights")`. To read on without solving it:
# `from solutions.non_local import concatenation_weights`.


# %%
def by_pairs(q, k, w):
    """All pairs of vectors, one behind the other, then w."""
    queries = repeat(q, "i m -> i j m", j=len(k))
    keys = repeat(k, "j m -> i j m", i=len(q))
    return (torch.cat([queries, keys], dim=-1) @ w).relu() / len(k)


torch.manual_seed(0)
q, k, w = torch.randn(196, 32), torch.randn(196, 32), torch.randn(64)
claim((concatenation_weights(q, k, w) - by_pairs(q, k, w)).abs().max() < 1e-5, "both agree")
for name, make in (("by pairs", by_pairs), ("by a sum", concatenation_weights)):
    largest = counting.count(lambda make=make: make(q, k, w)).largest_tensor
    print(f"{name}: largest tensor {largest:,} numbers")

# %% [markdown]
# **What you should see.** The largest tensor has 38,416 numbers and not 2,458,624: the factor $2m = 64$ is
# gone. If values are off, the halves of $w$ may be exchanged, or each part rectified before the sum.

# %% [markdown]
# ## 7.5 The block
#
# Two things turn the operation into a layer: a **bottleneck**, which halves the channels inside, and a
# **residual** or skip connection around it. A normalisation whose weight starts at 0 stands before the
# sum, so that the block **starts as the identity** and can be put into a network that is trained already.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.non_local_block(),
    "x goes through three layers to queries, keys and values. Queries times keys, through a softmax,"
    " make a map A of pixels by pixels; A times the values goes through a layer and a norm, and is"
    " added to x.",
)

# %% [markdown]
# $$ z = x + \operatorname{norm}(W y) \qquad q, k, v = \text{layers of } x, \text{ to } m = c/2 $$
#
# The paper calls $q$, $k$, $v$ $\theta$, $\phi$, $g$. A 1 x 1 convolution is a linear layer on each
# pixel; here it is an `nn.Linear` on the last axis, so that a row, an image and a video all fit: in a video
# the tokens are the pixels of all frames. We stay with images.
#
# | | axes | what it is |
# |---|---|---|
# | `x`, `forward(x)` | `b c h w` | |
# | `attention(x)` | `b i j` | the map of the form |
# | `pool(tokens)` | `b … m` to `b j m` | given: max pooling if `subsample` > 1, then flat |

# %% [markdown]
# **Predict.** `subsample=2` pools 2 x 2, to save work. Which of $q$, $k$, $v$ may be pooled? And which
# parameters get a gradient in the very first step?
#
# <details><summary>Answer</summary>
#
# Only keys and values may be pooled. If queries were pooled too, $y$ would have a quarter of the pixels and
# could not be added to $x$. So every pixel still asks, and the map has $n \cdot n / 4$ entries. In the
# first step only `norm`
# learns: what lies before it is multiplied by its weight, 0.
#
# </details>
#
# *The paper pools after the layers; the authors' code pools before them, which is cheaper and not the same.
# We follow the paper.*

# %% [markdown]
# ### Exercise: `NonLocal`
#
# | name | $f(q_i, k_j)$ | $\mathcal C$ | $q$ and $k$ are |
# |---|---|---|---|
# | Gaussian | $e^{q_i \cdot k_j}$ | $\sum_j f$ | $x$ itself |
# | embedded Gaussian | $e^{q_i \cdot k_j}$ | $\sum_j f$ | learned layers of $x$ |
# | dot product | $q_i \cdot k_j$ | $N$ | learned layers of $x$ |
# | concatenation | $\operatorname{relu}(w \cdot [q_i, k_j])$ | $N$ | learned layers of $x$ |
#
# `queries_and_keys` returns the pixels themselves for the Gaussian form, and the outputs of the layers for
# the others; keys pass through `self.pool`. The two Gaussian forms share `gaussian_weights`, the
# concatenation has its own function and takes `self.pair` for $w$. `attention` returns the map in every
# form, but `forward` may use `dot_product_mixture` for `"dot"`. If you skipped section 7.4, run
# `from solutions.non_local import concatenation_weights` first.

# %% exercise="non_local.non_local"

# %%
check("non_local.non_local", NonLocal)

# %% [markdown]
# Stuck? `hint("non_local.non_local")`. To read on without solving it:
# `from solutions.non_local import NonLocal`.

# %%
torch.manual_seed(0)
x = torch.randn(2, 16, 5, 7)
for form in FORMS:
    layer = NonLocal(16, form, subsample=2)
    claim(torch.equal(layer(x), x), f"{form}: the identity at the start")
layer = NonLocal(16)
layer(x).square().sum().backward()
print("learns at once:", *(n for n, p in layer.named_parameters() if p.grad.abs().max() > 1e-6))

# %% [markdown]
# ### It reads the legend
#
# Now the same small network, with one block between its convolutions.

# %% tags=["nbval-ignore-output"]
report("nothing", seeds=3)
report("embedded", seeds=3)
claim(scores("nothing", seeds=3)[-1] < 0.22, "without the block the mIoU stays at chance")
claim(scores("embedded", seeds=3)[0] > 0.95, "with it, nearly every pixel is right")


# %%
def legend_maps():
    """What each pixel of the unseen maps looks at: b h w y x, y x the key."""
    network = reader("embedded", 0)
    with torch.no_grad():
        weights = network.middle.attention(network.stem(scenes.image))
    return rearrange(weights, "b (h w) (y x) -> b h w y x", h=12, y=12)


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
weights = legend_maps()
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.0))
for ax, b in zip(axs, (5, 21, 44), strict=True):
    plots.image(ax, scenes.image[b], f"map {b}")
    for h, w in [(1, 9), (5, 15), (10, 11), (7, 6)]:
        for key in weights[b, h, w].flatten().topk(3).indices.tolist():
            weight = weights[b, h, w].flatten()[key].item()
            at = dict(xy=(key % 18, key // 18), xytext=(w, h))
            ax.annotate("", **at, arrowprops=dict(arrowstyle="->", alpha=weight, lw=1.5))
fig.supxlabel("arrows: from a pixel to what it looks at; darker: more weight", fontsize=8)
plots.show(
    fig, "Arrows from four pixels of each map to the legend, to the entry of their colour."
)

# %% tags=["nbval-ignore-output"]
weights, b = legend_maps()[:, :, 5:], rearrange(torch.arange(200), "b -> b 1 1")
on_legend = weights[..., :2].sum((-1, -2)).mean().item()
country = rearrange(scenes.image[..., 5:], "b c h w -> b h w 1 c")
kind = (country - scene_tasks.COLOURS).square().sum(-1).argmin(-1)
row = rearrange(scenes.entry[b, kind, 0], "b h w -> b h w 1")  # the first of two rows
entry = (torch.arange(12) == row) | (torch.arange(12) == row + 1)
right = (weights[..., :2].sum(-1) * entry).sum(-1).mean().item()
print(
    f"weight on the legend {on_legend:.2f}, on the entry of the pixel's own colour {right:.2f}"
)
claim(on_legend > 0.9, "more than nine tenths of the weights of countries lie on the legend")
claim(right > 0.9, "and more than nine tenths on the entry of their own colour")

# %% [markdown]
# **What you should see.** The arrows show the three largest weights of four pixels. Each pixel looks at the
# entry of its own colour, across the whole map, and at little else: on average more than nine tenths
# of the weight lie on that entry of the legend. Nobody told the network that there is a legend. A pixel
# of a country is 4 to 16 columns
# away from its symbol, and this distance costs the block nothing, since it knows no distance at all.

# %% [markdown]
# ### Ablation: the four forms, and CBAM
#
# All get the same 300 steps. CBAM (chapter 6) sees the whole image as well, but through two pooled numbers
# for each channel.

# %% tags=["nbval-ignore-output"]
for middle in ("embedded", "gaussian", "dot", "concatenation", "CBAM"):
    report(middle)
claim(scores("embedded")[0] > 0.95, "embedded: both seeds have solved it")
claim(scores("dot")[-1] < 0.95, "dot product: neither has, after 300 steps")
claim(0.2 < scores("CBAM")[-1] < 0.9, "CBAM: better than chance, and far from solved")

# %% [markdown]
# **What you should see.** The embedded form has solved the task; no other form has in both seeds. One run of
# the Gaussian form is still at chance, and the seeds differ much. With two seeds and 300 steps we see how
# fast they learn, not what they could learn. One reason for the dot product's lag may be that it is divided
# by $N$ and so mixes in a little of every pixel, while a softmax can look at one entry alone. CBAM, whose
# numbers are the same for all pixels, is above 1/5: what is pooled over an image holds something of its legend, and the
# layers behind can use that at each pixel.

# %% [markdown]
# On Kinetics the four came out alike: 72.5, 72.7, 72.9 and 72.8 % top-1 for Gaussian, embedded, dot
# product and concatenation, against 71.8 % without (Wang et al., Table 2a).

# %% [markdown]
# ## 7.6 What it costs (may be skipped at first reading)
#
# Let there be $n$ pixels and $N$ keys, $c$ channels outside and $m$ inside.
#
# **Predict.** How many multiply-adds do the layers take, and how many the two products with the map? From
# how many pixels on does a block with $m = c/2$ cost more than a 3 x 3 convolution of $c$ to $c$ channels?
#
# <details><summary>Answer</summary>
#
# Four layers of $c m$ for each pixel, and $n N m$ each for $q k^\top$ and $A v$. A convolution takes $9 c^2$
# for a pixel, the block $4 c \cdot c/2 + 2 n \cdot c/2 = 2 c^2 + n c$. They meet at $n = 7 c$: for 64
# channels at 448 pixels, about 21 x 21.
#
# </details>

# %% [markdown]
# ### Exercise: `multiply_adds`
#
# Count the embedded form, for one image. The layers work on every pixel, also where keys are pooled.

# %% exercise="non_local.multiply_adds"

# %%
check("non_local.multiply_adds", multiply_adds)

# %% [markdown]
# Stuck? `hint("non_local.multiply_adds")`. To read on without solving it:
# `from solutions.non_local import multiply_adds`.


# %%
def costs(side):
    """Multiply-adds counted for 64 channels: convolution, block, block with pooling, CBAM."""
    x, layers = torch.randn(1, 64, side, side), [nn.Conv2d(64, 64, 3, padding=1, bias=False)]
    layers += [NonLocal(64), NonLocal(64, subsample=2), CBAM(64)]
    return [counting.count(lambda f=f: f.eval()(x)).multiply_adds for f in layers]


print(f"at 21 x 21 pixels: convolution {costs(21)[0]:,}, block {costs(21)[1]:,}")
claim(
    costs(21)[0] - costs(21)[1] == 441 * 64 * (448 - 441), "they differ by (7c - n) c a pixel"
)
claim(costs(20)[1] == multiply_adds(64, 32, 400, 400), "the formula is what is counted")
claim(costs(20)[2] == multiply_adds(64, 32, 400, 100), "with pooling too")

# %% jupyter={"source_hidden": true}
sides = [4, 8, 12, 16, 24, 32, 48]
names = "3 x 3 convolution", "non-local", "non-local, keys pooled", "CBAM"
each = torch.stack([torch.tensor(costs(side)) / side**2 for side in sides])
fig, ax = plt.subplots(figsize=(6.2, 2.9))
title = "Attention costs more for each pixel, the more there are"
curves = dict(zip(names, rearrange(each, "side layer -> layer side"), strict=True))
plots.lines(ax, [side**2 for side in sides], curves, "pixels n", "multiply-adds a pixel", title)
ax.set(xscale="log", yscale="log", ylim=(50, 3e6))
ax.legend(ncols=2, loc="upper left")
ax.plot(448, 9 * 64**2, "ko", ms=5)
ax.annotate("n = 448", (448, 9 * 64**2), (400, 6e3), size=8)
plots.show(fig, "A flat line for the convolution; the block crosses it at 448 pixels.")

# %% [markdown]
# **Predict.** CBAM with reduction 16 takes $c^2/4$ for the whole image and 98 for each pixel. When is it
# cheaper than a block?
#
# <details><summary>Answer</summary>
#
# The block takes $2 c^2 + n c$ for each pixel. Already for one pixel $2c^2 + c > c^2/4 + 98$ from 16
# channels on, and more pixels only help CBAM. CBAM is therefore cheaper for all networks with 16 channels or more.
#
# </details>


# %%
def cbam(c, n):
    """Multiply-adds of CBAM with reduction 16 and a 7 x 7 kernel."""
    return c * c // 4 + 98 * n


claim(cbam(64, 400) == costs(20)[3], "the formula is what is counted")
always = all(
    cbam(c, n) < multiply_adds(c, c // 2, n, n)
    for c in range(16, 2049, 16)
    for n in range(1, 99)
)
claim(always, "from 16 to 2048 channels and up to 98 pixels, CBAM is cheaper")
print(f"28 x 28, 256 channels: {multiply_adds(256, 128, 784, 784) / cbam(256, 784):.0f} times")

# %% [markdown]
# **What you should see.** A gate multiplies what is there and moves nothing. Attention moves features between
# pixels and pays for every pair. So the paper puts its blocks where maps are small: 1 to 10 of them in
# the middle stages of a ResNet, at 28 x 28 and 14 x 14 pixels.

# %% [markdown]
# ### Three ways to pay less
#
# **Criss-cross attention** ([Huang et al. 2019](https://arxiv.org/abs/1811.11721)) lets a pixel ask its own
# row and column only, and does so twice. From a pixel to any other the path then turns once, at the pixel
# that shares the row of the one and the column of the other. **Axial
# attention** ([Ho et al. 2019](https://arxiv.org/abs/1912.12180)) attends along rows and along columns in
# two separate layers. **GCNet** ([Cao et al. 2019](https://arxiv.org/abs/1904.11492)) found that in trained
# networks the
# maps hardly depend on the query, as in our raw colours, and computes *one* map for all.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.three_routes(),
    "Three maps of eight by eight pixels: all cells coloured for non-local attention; one row and one"
    " column through a cross for criss-cross attention; two soft spots and no cross for GCNet.",
)

# %%
for side in (14, 28, 97):
    n = side * side
    routes = {"non-local": n * n, "criss-cross, twice": 2 * n * (2 * side - 1), "GCNet": n}
    print(
        f"{side} x {side}:", *(f"{name} {pairs:,}" for name, pairs in routes.items()), sep="  "
    )

# %% [markdown]
# **What you should see.** In the three designs the number of weights grows as $n^2$, as $n^{3/2}$ and as
# $n$: a row has $\sqrt n$ pixels, and each of the $n$ pixels reads a row and a column. On our maps with a
# legend each pixel needs an entry that depends on its own colour, which one map for all cannot choose; whether the layers
# behind it could make up for that we have not tried.

# %% [markdown]
# ## 7.7 DANet: position attention
#
# In a street scene two pixels of the same bus may be far apart, and should be labelled alike. Fu et al. (2019)
# let each pixel gather from the pixels that are similar to it. Their **position attention** is the
# embedded form without a bottleneck for the values, and with one number in place of the last layer and the
# norm: $\gamma$, which starts at 0.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.position_attention(),
    "x goes through three layers to queries and keys of c / 8 features and values of c. Queries times"
    " keys, through a softmax, make a map of pixels by pixels; it times the values, times gamma, is"
    " added to x.",
)

# %% [markdown]
# $$ z = x + \gamma\, A\, v \qquad A = \operatorname{softmax}_j(q_i \cdot k_j) $$
#
# | | axes | what it is |
# |---|---|---|
# | `attention(x)` | `b i j` | i, j pixels; no scale here either |
# | `forward(x)` | `b c h w` | |
#
# *The paper (section 3.2) gives queries and keys all $c$ channels; the authors'
# [code](https://github.com/CASIA-IVA-Lab/DANet) gives them $c/8$, and so do we.*

# %% [markdown]
# **Predict.** How many parameters does position attention have with 512 channels, and how many has the
# non-local block?
#
# <details><summary>Answer</summary>
#
# Two layers of $512 \cdot 64 + 64$, one of $512^2 + 512$, and $\gamma$: 328,321. The block has four
# of $512 \cdot 256$ and their biases, and the norm: 526,592.
#
# </details>

# %% [markdown]
# ### Exercise: `PositionAttention`

# %% exercise="non_local.position_attention"

# %%
check("non_local.position_attention", PositionAttention)

# %% [markdown]
# Stuck? `hint("non_local.position_attention")`. To read on without solving it:
# `from solutions.non_local import PositionAttention`.

# %%
torch.manual_seed(0)
x, layer = torch.randn(2, 512, 3, 5), PositionAttention(512)
claim(torch.equal(layer(x), x), "while gamma is 0, the layer changes nothing")
print("position attention:", sum(p.numel() for p in layer.parameters()))
print("non-local block:   ", sum(p.numel() for p in NonLocal(512).parameters()))
order = torch.randperm(15)
flat = rearrange(x, "b c h w -> b c 1 (h w)")
nn.init.ones_(layer.gamma)
moved = (layer(flat[..., order]) - layer(flat)[..., order]).abs().max()
claim(moved < 1e-3, "shuffled pixels give the shuffled result, since it knows no places")

# %% tags=["nbval-ignore-output"]
report("position", seeds=3, steps=600)
claim(
    scores("position", 3, 600)[0] > 0.9, "after 600 steps position attention reads the legend"
)

# %% [markdown]
# **What you should see.** All three seeds read the legend after 600 steps. (The block above had 300. This layer is
# given twice as many, since it starts slowly.) While $\gamma$ is near 0, little
# gradient reaches queries, keys and values,
# which are what has to be learnt; the block, whose norm has the weight 0 at first, shares this fault. The port of
# this layer in
# [pytorchcv](https://github.com/osmr/imgclsmob) starts with $\gamma = 1$ instead: then the layer is no
# identity, and a trained network around it is disturbed at once.

# %% [markdown]
# ## 7.8 DANet: channel attention
#
# Why should a channel read another? On our legend it will help little, and it is worth understanding why;
# in photographs it may help more. Some feature maps respond to the same things, say to wheels
# and to cars, and what one of them has found is evidence for the other.
#
# **Channel attention** turns the image on its side: now the *feature maps* are the tokens, with $n$
# features each. There are no
# layers at all.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.channel_attention(),
    "x, flattened to one row of n numbers for each channel, is multiplied with itself to a map of"
    " channels by channels; a softmax makes weights A of it, and gamma A x is added to x.",
)

# %% [markdown]
# $$ E_{ij} = \sum_{\text{pixels}} x_i\, x_j \qquad A = \operatorname{softmax}_j E \qquad z = x + \gamma A x $$
#
# | | axes | what it is |
# |---|---|---|
# | `attention(x)` | `b i j` | i, j **channels** |
# | `released` | True or False | which of two readings |
#
# *The paper (equation 3) takes $\operatorname{softmax}_j E_{ij}$; the authors' code takes
# $\operatorname{softmax}_j(\max_j E_{ij} - E_{ij})$. We write both: the code's with `released=True`, else
# the paper's.*

# %% [markdown]
# **Predict.** What is $\operatorname{softmax}(\max - E)$ in simpler terms? To which channel does a channel
# attend then?
#
# <details><summary>Answer</summary>
#
# A softmax does not see a shift, so it is $\operatorname{softmax}(-E)$: the channel *least* like it gets the
# most. A maximum against overflow would be *subtracted from* $E$ and change nothing. Asked about it, the
# authors wrote that the operation improves convergence in training
# ([issue 45](https://github.com/CASIA-IVA-Lab/DANet/issues/45)).
#
# </details>

# %% [markdown]
# ### Exercise: `ChannelAttention`

# %% exercise="non_local.channel_attention"

# %%
check("non_local.channel_attention", ChannelAttention)

# %% [markdown]
# Stuck? `hint("non_local.channel_attention")`. To read on without solving it:
# `from solutions.non_local import ChannelAttention`.

# %% [markdown]
# ### On a photograph
#
# Eight maps of one photograph: its colours, some differences of them, its edges. All are standardised, to
# mean 0 and standard deviation 1.


# %%
def feature_maps():
    """Eight maps of a photograph, each with mean 0 and spread 1: 1 c h w."""
    r, g, b = rearrange(photograph("china", 24, 36), "h w c -> c h w")
    grey = (r + g + b) / 3
    down, across = grey.diff(dim=0, prepend=grey[:1]), grey.diff(dim=1, prepend=grey[:, :1])
    maps = torch.stack([r, g, b, -grey, r - b, g - r, down, across])
    maps = maps - maps.mean((1, 2), keepdim=True)
    return rearrange(maps / maps.std((1, 2), keepdim=True), "c h w -> 1 c h w")


NAMES = ["red", "green", "blue", "dark", "red−blue", "green−red", "down", "across"]

# %% jupyter={"source_hidden": true}
x = feature_maps()
fig, axs = plt.subplots(2, 4, figsize=(6.4, 2.6))
fig.supxlabel("red: above the mean; blue: below", fontsize=8)
for ax, grid, name in zip(axs.flat, x[0], NAMES, strict=True):
    plots.signed(ax, grid, "", "", name, limit=3, bar=False)
    ax.set(xticks=[], yticks=[])
plots.show(
    fig,
    "Eight maps of a photograph of a temple (from scikit-learn): red, green and blue look alike, dark is"
    " their negative, two show differences of colours, two show edges.",
)

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 3.7))
fig.get_layout_engine().set(h_pad=0.1)
e = einsum(x, x, "b i h w, b j h w -> b i j")[0] / 864
paper, code = (ChannelAttention(released).attention(x)[0] for released in (False, True))
plots.signed(axs[0], e, "channel j", "", "E / n: likeness", limit=1, bar=False)
plots.heat(axs[1], paper, "channel j", "", "Paper: itself", bar=False)
plots.heat(axs[2], code, "channel j", "", "Code: the least like", bar=False)
for ax in axs:
    ax.set(xticks=range(8), yticks=[])
    ax.set_xticklabels(NAMES, rotation=90)
axs[0].set(ylabel="channel i", yticks=range(8), yticklabels=NAMES)
look = dict(location="top", shrink=0.8, aspect=16)
fig.colorbar(axs[0].images[0], ax=axs[0], **look)
for ax in axs[1:]:
    fig.colorbar(ax.images[0], ax=ax, label="weight", **look)
alt = "Likeness of eight channels; the paper's map, a diagonal; the code's, bright elsewhere."
plots.show(fig, alt)

# %%
x = feature_maps()
paper, code = (ChannelAttention(released).attention(x)[0] for released in (False, True))
e = einsum(x, x, "b i h w, b j h w -> b i j")[0]
claim(paper.diagonal().min() > 0.99, "paper: each of these channels attends to itself")
claim((code.argmax(-1) == e.argmin(-1)).all(), "code: each attends to the one least like it")
for i in (0, 3, 6):
    print(f"released code: {NAMES[i]:8} attends to {NAMES[code[i].argmax()]}")

# %% [markdown]
# **What you should see.** For *standardised* maps the paper's formula gives the diagonal: all rows of $x$ are
# equally long, and no product of two equally long vectors exceeds that of one with itself; summed over 864
# pixels, the lead is large. Then $A x = x$,
# and the layer adds $\gamma$ times each channel to itself. The maps inside a network are not standardised,
# as the next section shows.

# %% [markdown]
# ### In a trained network
#
# We train the reader with both readings for the same 600 steps and three seeds as position attention had
# above, and look at the maps inside.

# %% tags=["nbval-ignore-output"]
for middle in ("position", "channel, paper", "channel, released"):
    report(middle, seeds=3, steps=600)


# %%
def inside(middle, seed):
    """Maps of channels by channels in a trained reader, and how long each channel is."""
    network = reader(middle, seed, 600)
    with torch.no_grad():
        x = network.stem(scenes.image)
        return network.middle.attention(x), rearrange(x, "b c h w -> b c (h w)").norm(dim=-1)


# %% tags=["nbval-ignore-output"]
own, others_louder = torch.arange(32), []
for seed in range(3):
    weights, length = inside("channel, paper", seed)
    best = weights.argmax(-1)
    itself, largest = (best == own).float().mean(), weights.amax(-1).mean()
    print(f"seed {seed}: attends most to itself {itself:.2f}, largest weight {largest:.2f}")
    others_louder.append((length.gather(-1, best) >= length * 0.999)[best != own].all().item())
    claim(itself < 0.5 and largest > 0.7, "most channels attend to another, and to one only")
claim(all(others_louder), "each channel that prefers another prefers one with a larger norm")

# %% [markdown]
# **What you should see.** Inside the trained reader most channels attend most to *another*
# channel, and nearly all its weight goes to that single one. This is section 7.2's brightest pixel again:
# $E$ is a plain product, summed over 216 pixels, so its differences are large and the softmax picks one.
#
# That channel always has the larger norm $\|x_j\|$. Since $E_{ij} \le \|x_i\|\,\|x_j\|$ (Cauchy and
# Schwarz), channel $i$ can prefer
# $j$ to itself, $E_{ij} > \|x_i\|^2$, only if $\|x_j\| > \|x_i\|$.

# %% tags=["nbval-ignore-output"]
least = scores("position", 3, 600)[0]
for middle in ("channel, paper", "channel, released"):
    claim(
        scores(middle, 3, 600)[-1] < least - 0.1,
        f"{middle}: each seed stays below every seed of position attention",
    )

# %% [markdown]
# **What you should see.** With equal budgets both readings of channel attention stay behind position attention
# in every seed; the released form gets further than the paper's in two of three. One reason, which we have not
# tested, may be that $E$ and its weights are the same for all pixels of an image: no pixel can ask for its
# own entry of the legend. That some seeds are well above 1/5 shows that part of it is read all the same, as by CBAM. On Cityscapes it gained 4.25 points (Fu et al.,
# Table 1; section 7.9); there, perhaps, it helps to know what kind of scene it is.

# %% [markdown]
# ## 7.9 The head: both in parallel
#
# The **backbone** is the network that computes the feature maps, here a ResNet whose last strides were
# replaced by dilated convolutions, so that its maps keep 1/8 of the image's resolution. DANet puts two
# branches on top, side by side, because "which pixels are alike" and "which maps belong together" are
# different questions.
#
# In each branch a 3 x 3 convolution first brings the channels down to a quarter. Then comes the attention,
# then another 3 x 3 convolution. The two results are added, and a 1 x 1 convolution turns the sum into a
# score for every class. In training each branch is also classified *alone*, and the three losses are
# added.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.danet_head(),
    "x goes into two branches: a 3 x 3 convolution to a quarter of the channels, position or channel"
    " attention, and another 3 x 3. Each branch is classified alone, for training only, and so is their sum, which is the result.",
)

# %% [markdown]
# **Predict.** Why are the branches classified alone, although only the sum is used afterwards? And are there
# millions or tens of millions of parameters, for 2048 channels and 19 classes?
#
# <details><summary>Answer</summary>
#
# Under a loss on the sum alone one branch could do all the work while the other stays at zero; a loss of
# its own makes each useful. There are tens of millions of parameters: the first convolutions have nearly 19
# million,
# $2 \cdot 2048 \cdot 512 \cdot 9$, and the second a quarter of that. A whole ResNet-50 has about
# as many.
#
# </details>

# %% [markdown]
# ### Exercise: `DANetHead`
#
# The layers are there. Decide which of them each of the three outputs needs.

# %% exercise="non_local.danet_head"

# %%
check("non_local.danet_head", DANetHead)

# %% [markdown]
# Stuck? `hint("non_local.danet_head")`. To read on without solving it:
# `from solutions.non_local import DANetHead`.

# %%
with torch.device("meta"):  # shapes without numbers: nothing is allocated
    head = DANetHead(2048, 19)
size = {name: sum(p.numel() for p in part.parameters()) for name, part in head.named_children()}
for name, count in size.items():
    print(f"{name:15} {count:12,}")
claim(sum(size.values()) == 23_954_619, "the head has 23,954,619 parameters in all")

# %% [markdown]
# The paper reports this mIoU for a dilated ResNet-50 on the validation set of Cityscapes (Fu et al., Table 1):
#
# | | mIoU | gain |
# |---|---|---|
# | without attention | 70.03 | |
# | + channel attention | 74.28 | 4.25 |
# | + position attention | 75.74 | 5.71 |
# | + both | 76.34 | 6.31 |
#
# These are one run each, and no spread is given. Both together add 0.6 to the better of the two (Table 1):
# the two kinds of attention help with much of the same.

# %% [markdown]
# ## What you have learnt
#
# Can a layer connect two corners of an image at once? Yes: on our maps three convolutions stayed at chance, and
# one non-local block between them read the legend from up to 16 columns away, because every pixel may look at
# every other and distance costs nothing. The price is a map of $n^2$ weights. A dot product avoids the map, at
# the cost of focus; channel attention has a small map, but the same for all pixels.

# %% [markdown]
# | | attends over | weights | multiply-adds a pixel | starts as the identity by |
# |---|---|---|---|---|
# | non-local, Gaussian | pixels | softmax, scale 1 | $c^2 + \frac32 nc$ | norm weight 0 |
# | non-local, embedded Gaussian | pixels | softmax, scale 1 | $2c^2 + nc$ | norm weight 0 |
# | dot product | pixels | product over $N$ | $\frac52 c^2$ | norm weight 0 |
# | concatenation | pixels | relu, over $N$ | $2c^2 + \frac12 nc$ | norm weight 0 |
# | position attention | pixels | softmax, scale 1 | $\frac54 c^2 + \frac98 nc$ | $\gamma = 0$ |
# | channel attention | channels | softmax of E or −E | $2c^2$ | $\gamma = 0$ |
#
# The costs follow from section 7.6. For the dot product four layers make $4 \cdot c \cdot \frac c2 = 2c^2$,
# and two products with a matrix of $\frac c2$ by $\frac c2$ make $\frac12 c^2$.
#
# None of these layers knows where a pixel stands. Chapter 8 tells them.

# %% [markdown]
# ### Explain it to somebody
#
# 1. What can a non-local block do that a gate cannot?
# <details><summary>Answer</summary>It moves features from any pixel to any other; a gate only scales what
# is there.</details>
#
# 2. Why is a plain product of colours a bad similarity?
# <details><summary>Answer</summary>The longest vector has the largest product with nearly everyone, so all
# look at the brightest pixel.</details>
#
# 3. Why does the dot-product form need no map, while the softmax forms need one?
# <details><summary>Answer</summary>Without anything between the two products they can be done in the other
# order; a softmax stands between them.</details>

# %% [markdown]
# 4. Why do these blocks start as the identity?
# <details><summary>Answer</summary>So that they can be put into a trained network without disturbing
# it.</details>
#
# 5. What did the released code of DANet's channel attention turn around?
# <details><summary>Answer</summary>It takes the softmax of max − E, that is of −E: a channel gathers from
# those least like it.</details>

# %% [markdown]
# ### What came after
#
# - [GCNet](https://arxiv.org/abs/1904.11492) (Cao et al., 2019): one map for all queries, at the cost of a
#   squeeze-and-excitation block.
# - [CCNet](https://arxiv.org/abs/1811.11721) (Huang et al., 2019) and
#   [Axial-DeepLab](https://arxiv.org/abs/2003.07853) (Wang et al., 2020): rows and columns instead of all.
# - [Disentangled non-local networks](https://arxiv.org/abs/2006.06668) (Yin et al., 2020) separate what
#   belongs to the pair from what belongs to the key alone, the brightest pixel of section 7.2.
# - [SAGAN](https://arxiv.org/abs/1805.08318) (Zhang et al., 2018) put the block into a network that makes
#   images.

# %% [markdown]
# - [DETR](https://arxiv.org/abs/2005.12872) (Carion et al., 2020) detects objects by a Transformer over the
#   pixels of a ResNet; [ViT](https://arxiv.org/abs/2010.11929) (Dosovitskiy et al., 2020) drops the ResNet.
# - [Linear attention](https://arxiv.org/abs/2006.16236) (Katharopoulos et al., 2020) and
#   [efficient attention](https://arxiv.org/abs/1812.01243) (Shen et al., 2018) return to the order of
#   section 7.3.

# %% [markdown]
# ### References
#
# - Wang, Girshick, Gupta, He. Non-local Neural Networks. <https://arxiv.org/abs/1711.07971>
# - Fu, Liu, Tian, Li, Bao, Fang, Lu. Dual Attention Network for Scene Segmentation.
#   <https://arxiv.org/abs/1809.02983>. Up to its third version it says that queries and keys of the
#   position attention pass a norm and a ReLU; the fourth corrects this ([issue
#   61](https://github.com/CASIA-IVA-Lab/DANet/issues/61)).
# - Buades, Coll, Morel. A non-local algorithm for image denoising. CVPR 2005.
#   <https://doi.org/10.1109/CVPR.2005.38>
# - Vaswani et al. Attention Is All You Need. <https://arxiv.org/abs/1706.03762>
