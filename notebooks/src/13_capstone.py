# %% [markdown]
# # 13 · Capstone
#
# You have built some twenty mechanisms, each in its own chapter, with its own task and its own paper. Every
# one of these papers has a table in which its mechanism wins. They cannot be compared with each other: one was
# trained with another schedule, another added a third to the computation, a third was tuned for a year
# while its baseline was copied from an older table. Which mechanism would you take?

# %% [markdown]
# That question has a method. Put every mechanism into **one network**, give all of them **one budget** of
# multiply-adds, train them on the same data for as long, tune each as much as the network without any, do it
# with several seeds, and ask of each difference whether it is larger than the spread. In 2021
# [ResNet strikes back](https://arxiv.org/abs/2110.00476) (Wightman, Touvron and Jégou) did this for a single
# network, the ResNet-50 of 2015: trained as carefully as its successors, it went from 76.1 to
# 80.4 % on ImageNet. Much of what newer networks had gained was the training.

# %% [markdown]
# ### What came of such comparisons
#
# | who compared | what was held equal | what they found |
# |---|---|---|
# | [Bello et al. 2021](https://arxiv.org/abs/2103.07579), ResNet-RS | the network family, training improved | training and scaling matter more than architecture |
# | [Liu et al. 2022](https://arxiv.org/abs/2201.03545), ConvNeXt | training and multiply-adds of Swin | convolutions, arranged like Swin, are level with it |
# | [Smith et al. 2023](https://arxiv.org/abs/2310.16764) | the budget of pre-training | convolutions and vision transformers end alike |
#
# This chapter makes the comparison at a size that fits your machine. Small networks say little about large
# ones, and the chapter says where that matters; the method is the same at any size.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | the cost of a stage, the width for a budget, two paired tests, a Pareto front | one network with fifteen mechanisms, which differences are real, and where attention belongs | the mechanisms of chapters 5 to 9, counting from chapter 9 |
#
# **About 2½ hours**, of which 30 minutes are exercises. A CPU is enough: what takes longer was trained
# before and is read from a file.
#
# | letter | what it counts |
# |---|---|
# | `b` | images in a batch |
# | `c` `e` | channels that enter a stage, and channels that leave it |
# | `h` `w` | height and width in pixels |
# | `n` | seeds in sections 13.3 and 13.4, networks in section 13.6 |

# %%
import math
from bisect import bisect_left
from collections.abc import Callable
from functools import partial

import matplotlib.pyplot as plt
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

# %%
from attncourse import check, hint
from attncourse.book import claim, plots
from attncourse.book.drawings import capstone as drawn
from attncourse.papers.cost import columns, cost
from solutions.capstone import MECHANISMS, create_network, three_widths

# %% [markdown]
# ## 13.1 One network, a place for everything
#
# The network is He et al.'s [ResNet for CIFAR](https://arxiv.org/abs/1512.03385): a 3x3 **stem**, three
# **stages** of residual blocks between which the maps halve and the channels double, a mean over the pixels
# and a linear layer. A mechanism can stand at one of three places in it. A **gate** scales the branch of each
# block before the addition. A mechanism **between** two stages works on the maps themselves. And what attends
# within the maps can stand **instead** of a 3x3 convolution.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.places(),
    "Above: image, stem, three stages with a green place a behind each, marked between, then mean and linear"
    " layer. Below: one residual block, x through two green 3x3, marked instead, and a green a, marked gate,"
    " to a sum with the shortcut, then relu and y.",
)

# %% [markdown]
# Each mechanism comes from the chapter that built it and stands where its paper put it; the library finds it
# by name (`create_attention`). Reductions are 4 where the papers have 16, because these networks are narrow.

# %%
rows = [
    [name, place.kind if place else "", place.says if place else "no attention"]
    for name, place in MECHANISMS.items()
]
print(columns(["name", "place", "what it is"], rows))

# %%
x = torch.randn(2, 3, 32, 32)
for name in MECHANISMS:
    network = create_network(name, blocks=1)
    claim(network(x).shape == (2, 10), f"{name}: ten scores for each picture")

# %% [markdown]
# **Predict.** Squeeze-and-excitation is put into every block. By how much does it raise the network's
# multiply-adds: a tenth of a percent, one percent, or ten?
#
# <details><summary>Answer</summary>
#
# By about a tenth of a percent. Its two layers work on one vector an image, a convolution on every pixel. The
# 256 to 64 multiply-adds per channel pair that a 3x3 spends on its maps make that difference.
#
# </details>

# %%
small = dict(blocks=1, stem=2, window=5)
spent = {}
for name in ("none", "se", "sasa"):
    one = cost(create_network(name, **small), (1, 3, 32, 32))
    spent[name] = one.multiply_adds + one.attention
    print(f"{name:5} {one.parameters:7,} weights, {spent[name]:9,} multiply-adds")
added = spent["se"] / spent["none"] - 1
claim(added < 0.002, f"SE adds {100 * added:.2f} % of the multiply-adds")

# %% [markdown]
# ## 13.2 One budget
#
# A network with more channels is nearly always better, and costs more. So a mechanism that adds to the cost
# must be compared with a network that spends the same elsewhere. We fix a **budget**, the multiply-adds of the
# network without attention, and give each mechanism the width with which it spends just that.
#
# First the price of a stage. A 3x3 convolution from `c` to `e` channels costs $9\,c\,e$ multiply-adds for each
# pixel that comes out. A stage has `blocks` blocks of two such convolutions, and a 1x1 on the first block's
# shortcut where the shape changes:
#
# $$
# \text{stage} = \text{pixels} \cdot \bigl(9\,c\,e + [\text{shape changes}]\, c\,e + 9\,(2\,\text{blocks} - 1)\, e^2\bigr)
# $$

# %% [markdown]
# **By hand.** A stage of one block takes 2 channels on 4 x 4 pixels to 3 channels with a stride of 2. It works
# on 2 x 2 = 4 pixels. The first convolution costs 9 · 2 · 3 = 54 a pixel, the shortcut 2 · 3 = 6, the second
# convolution 9 · 3 · 3 = 81. Together 4 · (54 + 6 + 81) = 564.

# %% [markdown]
# ### Exercise: `stage_multiply_adds`
#
# The formula above as a function. A stride rounds up: 7 rows become 4. (Difficulty 2, 6 minutes.)

# %% exercise="capstone.stage_multiply_adds"

# %%
check("capstone.stage_multiply_adds", stage_multiply_adds)

# %% [markdown]
# Stuck? `hint("capstone.stage_multiply_adds")` gives one hint at a time. To read on without solving it:
# `from solutions.capstone import stage_multiply_adds`.

# %%
claim(stage_multiply_adds(2, 3, 1, 4, 4, 2) == 564, "the stage of the example costs 564")
stages = ((16, 16, 1, 32), (16, 32, 2, 32), (32, 64, 2, 16))
formula = 32 * 32 * 9 * 3 * 16 + 64 * 10  # the stem and the last layer
formula += sum(stage_multiply_adds(c, e, 3, n, n, stride) for c, e, stride, n in stages)
counted = cost(create_network(), (1, 3, 32, 32)).multiply_adds
print(f"three blocks a stage: {formula:,} by the formula, {counted:,} counted")
claim(formula == counted, "the formula gives what running the network counts")

# %% [markdown]
# ### The width for a budget
#
# Costs grow with the width, so that the width for a budget can be searched: double until it is too dear, then
# halve the interval. Attention divides its channels among heads, and so not every width exists: we take
# multiples of a step, and of the two around the budget the one that is nearer.

# %% [markdown]
# ### Exercise: `width_for`
#
# `cost` is a function from a width to a number that grows. Where two widths are equally near, the smaller is
# taken; no width is below `step`. (Difficulty 2, 7 minutes.)

# %% exercise="capstone.width_for"

# %%
check("capstone.width_for", width_for)

# %% [markdown]
# Stuck? `hint("capstone.width_for")`. To read on without solving it:
# `from solutions.capstone import width_for`.

# %% [markdown]
# **Predict.** Attention in windows of 5 takes the place of all 3x3 convolutions. At the budget, is the
# network wider than the one without attention, or narrower?
#
# <details><summary>Answer</summary>
#
# Chapter 9's law decides it: $3c^2 + 3 \cdot 25\,c$ against $9c^2$ a pixel. With 16 channels attention costs
# $768 + 1200$ and the convolution $2304$; but where the map halves, attention works on the large map and
# averages afterwards. The two effects nearly cancel, and it comes out a little narrower.
#
# </details>


# %%
def spends(name, quarters):
    """Multiply-adds of the small network with a mechanism, for a width in quarters."""
    with torch.device("meta"):
        network = create_network(name, three_widths(quarters / 4), **small)
    one = cost(network, (1, 3, 32, 32))
    return one.multiply_adds + one.attention


budget = spends("none", 4 * 16)
for name in ("none", "se", "sasa"):
    quarters = width_for(partial(spends, name), budget, step=4)
    share = spends(name, quarters) / budget
    print(f"{name:5} {three_widths(quarters / 4)} at {100 * share:.0f} % of the budget")

# %% [markdown]
# ## 13.3 What a difference is worth
#
# Train the same network twice with two seeds, and the accuracies differ. If two *mechanisms* differ by as
# much, nothing has been found. Two things help. The first is **pairing**: both networks get the same seed, that
# is the same pictures in the same order, and one looks at their difference seed by seed. What both owe to the
# seed cancels in it.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.pairing(),
    "Left: accuracies of two networks, joined seed by seed; the three lines lie far apart and run parallel."
    " Right: the three differences lie close together above 0. Made-up numbers.",
)

# %% [markdown]
# With $n$ seeds, $d = a - b$ has a mean and a **standard error**, the spread of that mean:
#
# $$
# \bar d = \frac1n \sum_k d_k, \qquad s^2 = \frac{1}{n-1} \sum_k (d_k - \bar d)^2, \qquad \text{error} = \frac{s}{\sqrt n}
# $$
#
# The **paired t-test** asks how far $\bar d$ lies from 0 in units of this error. With three seeds the error is
# itself poorly known, and Student's distribution makes up for that: a 95 % interval is 4.3 errors wide on each
# side, not 2.

# %% [markdown]
# ### Exercise: `paired_difference`
#
# The mean and its standard error. One seed has no spread: `ValueError`. (Difficulty 2, 5 minutes.)

# %% exercise="capstone.paired_difference"

# %%
check("capstone.paired_difference", paired_difference)

# %% [markdown]
# Stuck? `hint("capstone.paired_difference")`. To read on without solving it:
# `from solutions.capstone import paired_difference`.

# %%
a, b = torch.tensor([0.53, 0.47, 0.59]), torch.tensor([0.51, 0.44, 0.565])
mean, error = paired_difference(a, b)
apart = ((a.var() + b.var()) / 3).sqrt()
print(f"difference {mean:.3f}; error {error:.4f} by pairs, {apart:.3f} without pairing")
print(f"Student's factor for three seeds: {4.303:.1f}")
claim(error < apart / 10, "pairing makes the error ten times smaller in this example")

# %% [markdown]
# The second help is to look at single pictures. Two networks with one seed are asked about the same pictures.
# Where both are right, or both wrong, one learns nothing about which is better. The rest is a count: `gained`
# pictures that only the first has right, and `lost` ones that only the second has right. If both networks were
# equally good, each of these would be the toss of a fair coin. This is McNemar's test in its exact form, the
# **sign test**:
#
# $$
# p = \min\Bigl(1,\; 2 \sum_{k=0}^{\min(\text{gained},\, \text{lost})} \binom{n}{k}\, 2^{-n}\Bigr), \qquad n = \text{gained} + \text{lost}
# $$

# %% [markdown]
# **Predict.** Five coins all fall on heads. How often do five fair coins fall at least as unevenly?
#
# <details><summary>Answer</summary>
#
# Five heads or five tails: 2 of 32, or 6 in 100. Five differing pictures can never pass for evidence at
# the usual 5 in 100.
#
# </details>

# %% [markdown]
# ### Exercise: `sign_test`
#
# The sum, with `math.comb`. (Difficulty 2, 5 minutes.)

# %% exercise="capstone.sign_test"

# %%
check("capstone.sign_test", sign_test)

# %% [markdown]
# Stuck? `hint("capstone.sign_test")`. To read on without solving it:
# `from solutions.capstone import sign_test`.

# %%
for gained, lost in ((5, 0), (60, 40), (600, 400)):
    print(f"{gained} gained, {lost} lost: p = {sign_test(gained, lost):.2g}")
claim(sign_test(5, 0) == 2 / 32, "five to nothing: 2 in 32")

# %% [markdown]
# The two tests ask different things. The sign test compares *these two trained networks*: with thousands of
# pictures it is sharp, and it knows nothing of what another seed would have given. The t-test compares *the
# mechanisms*: it knows about seeds and pays for having few of them. A difference that only the first one finds
# may be luck in the training.

# %% [markdown]
# ## 13.4 The study
#
# Here all mechanisms are trained at one budget, and what came out is read from a kept run.

# %% [markdown]
# ## 13.5 Beside the papers' tables
#
# Here our differences stand beside those that the papers print for large networks.

# %% [markdown]
# ## 13.6 Search
#
# Instead of comparing a few networks one can search among many, under a budget.
#
# A network is **dominated** if another costs no more, scores no less, and is better in one of the two. What
# is left when all dominated ones are crossed out is the **Pareto front**.

# %% [markdown]
# ### Exercise: `pareto_front`
#
# A mask over `n` networks. Of two that are alike, both stay. (Difficulty 3, 7 minutes.)

# %% exercise="capstone.pareto_front"

# %%
check("capstone.pareto_front", pareto_front)

# %% [markdown]
# Stuck? `hint("capstone.pareto_front")`. To read on without solving it:
# `from solutions.capstone import pareto_front`.

# %% [markdown]
# ## 13.7 Detection
#
# Does what holds for classification carry over to finding things? This section builds a small detector.

# %% [markdown]
# ## 13.8 Your own library
#
# What has passed `check` is yours: this section turns it into a package with your name on it.

# %% [markdown]
# ## What you have learnt
#
# | question | how it is answered |
# |---|---|
# | is a mechanism better? | at equal multiply-adds, each tuned as much as the baseline |
# | is a difference real? | paired by seed, beside its spread; by picture, with a sign test |
# | what is worth its cost? | the Pareto front, where nothing is better and cheaper |

# %% [markdown]
# ### References
#
# - K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016.
#   https://arxiv.org/abs/1512.03385
# - R. Wightman, H. Touvron, H. Jégou: ResNet strikes back, 2021. https://arxiv.org/abs/2110.00476
# - I. Bello et al.: Revisiting ResNets, NeurIPS 2021. https://arxiv.org/abs/2103.07579
# - Q. McNemar: Note on the sampling error of the difference between correlated proportions or
#   percentages, Psychometrika 1947. https://doi.org/10.1007/BF02295996
