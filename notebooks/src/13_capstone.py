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
# | the cost of a stage, the width for a budget, two paired tests, a Pareto front; the parts of a detector | one network with fifteen mechanisms, which differences are real, and where attention belongs | the mechanisms of chapters 5 to 9, counting from chapter 9 |
#
# **About 4 hours**, of which 91 minutes are exercises. A CPU is enough: what takes longer was trained
# before and is read from a file.
#
# | letter | what it counts |
# |---|---|
# | `b` | images in a batch |
# | `c` `e` | channels that enter a stage, and channels that leave it |
# | `h` `w` | height and width in pixels |
# | `n` | seeds in sections 13.3 and 13.4, networks in section 13.6, boxes in section 13.7 |
# | `m` `g` `a` | other boxes, truths, anchors |

# %%
import math
from bisect import bisect_left
from collections.abc import Callable
from functools import partial

import matplotlib.pyplot as plt
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint, mine
from attncourse.book import claim, plots
from attncourse.book.drawings import capstone as drawn
from attncourse.book.drawings import detection as drawings
from attncourse.papers import figure, figures
from attncourse.papers.cost import columns, cost
from attncourse.tasks.detection import scenes
from solutions.capstone import MECHANISMS, RetinaNet, SmallResNet, create_network, three_widths
from solutions.capstone.boxes import BACKGROUND, IGNORED, middles

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
# A classifier says what is in a picture. Who drives a car needs to know where, and how many. **Object
# detection** asks for a box around each thing and the class of what is in it. Several papers of this course
# (SE, CBAM, non-local networks, the augmented convolution, stand-alone attention) end with a table on it,
# with the same argument: a backbone that is better on ImageNet should be better here as well. You build the
# detector in which the last two tried this, **RetinaNet**
# ([Lin et al. 2017](https://arxiv.org/abs/1708.02002)), at a small size.

# %% [markdown]
# ### How far a guess is from a truth
#
# Boxes are given by four **edges**: left, top, right, bottom, in pixels. Two of them are compared by their
# **intersection over union** (IoU): the area that both cover, divided by the area that either covers. It
# is 1 for the same box and 0 for boxes that do not meet, and it does not depend on scale.

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.overlap_of_boxes(),
    "Two boxes on a grid of pixels: A, 4 by 4, and B, 4 wide and 3 high, which overlap in 2 by 2 pixels. "
    "Beside them the areas 4, 16 and 12, and the quotient 4 / (16 + 12 - 4) = 1/6.",
)

# %% [markdown]
# **Predict.** Both boxes of the figure are moved until they only touch. What is the width of their overlap by
# the formula "smaller right edge minus larger left edge", and what if they are moved a pixel further apart?
#
# <details><summary>Answer</summary>
#
# It is 0 where they touch, and -1 a pixel further. Two negative sides would multiply to a positive area, so
# each side is cut off at 0.
#
# </details>

# %% [markdown]
# ### Exercise: `box_iou`
#
# Every box with every other, as a table. Two boxes without area have 0, and no NaN.

# %% exercise="capstone.box_iou"

# %%
check("capstone.box_iou", box_iou)

# %% [markdown]
# Stuck? `hint("capstone.box_iou")`. To read on without solving it: `from solutions.capstone import box_iou`.

# %%
pair = torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 6.0, 5.0]])
iou = box_iou(pair[:1], pair[1:]).item()
print(f"the two boxes of the figure: {iou:.4f}")
claim(abs(iou - 1 / 6) < 1e-6, "they have an IoU of 1/6")

# %% [markdown]
# ### Where one looks: anchors
#
# A network gives a fixed number of outputs, and a picture holds any number of things. The way out, from
# [Faster R-CNN](https://arxiv.org/abs/1506.01497) (Ren et al. 2015), is to ask the same question in many
# places: around every pixel of a feature map stand a few **anchors**, boxes of fixed shapes, and of each the
# network says which class is there, if any, and how the box should be moved.
#
# A pixel of a map covers `stride` pixels of the picture, and its anchors stand around the middle of these. An
# anchor of scale $s$ and ratio $r$ has the area $(\text{size}\cdot s)^2$ and is $r$ times as high as wide:
#
# $$
# w_a = \text{size}\; s / \sqrt r, \qquad h_a = \text{size}\; s\, \sqrt r
# $$

# %% [markdown]
# ### Exercise: `anchors`
#
# Row by row, at each pixel all scales, and with each scale all ratios.

# %% exercise="capstone.anchors"

# %%
check("capstone.anchors", anchors)

# %% [markdown]
# Stuck? `hint("capstone.anchors")`. To read on without solving it: `from solutions.capstone import anchors`.

# %%
scales = tuple(2 ** (k / 3) for k in range(3))
nine = middles(anchors(1, 1, 8, 32, scales, (0.5, 1, 2)))
side = (nine[2] * nine[3]).sqrt()
places = [math.ceil(600 / stride) ** 2 for stride in (8, 16, 32, 64, 128)]
print(
    f"RetinaNet's level P3: {len(side)} anchors a place, {side.min():.0f} to {side.max():.1f} pixels"
)
print(f"on a picture of 600 x 600: {9 * sum(places):,} anchors")

# %% [markdown]
# ### A box told from its anchor
#
# The network sees the same pattern for a small thing on a small anchor and for a large thing on a large one.
# So it should answer with the same numbers: shifts of the centre in sides of the anchor, and by which factor
# the sides differ, as logarithms (Faster R-CNN, eq. 2):
#
# $$
# t = \Bigl(\frac{x - x_a}{w_a},\ \frac{y - y_a}{h_a},\ \log\frac{w}{w_a},\ \log\frac{h}{h_a}\Bigr)
# $$
#
# **By hand.** An anchor is 4 wide and 10 high around (12, 25); the truth is 8 wide and 5 high around (15, 27.5).
# The centre is off by 3/4 of a width and 1/4 of a height; it is twice as wide and half as high, log 2 and
# -log 2. The function `middles` gives centre, width and height of boxes.

# %% [markdown]
# ### Exercise: `encode`
#
# Boxes and anchors come in pairs: the first box is told from the first anchor.

# %% exercise="capstone.encode"

# %%
check("capstone.encode", encode)

# %% [markdown]
# Stuck? `hint("capstone.encode")`. To read on without solving it: `from solutions.capstone import encode`.

# %% [markdown]
# ### Exercise: `decode`
#
# The way back, from four numbers to a box.

# %% exercise="capstone.decode"

# %%
check("capstone.decode", decode)

# %% [markdown]
# Stuck? `hint("capstone.decode")`. To read on without solving it: `from solutions.capstone import decode`.

# %%
anchor, truth = (
    torch.tensor([[10.0, 20.0, 14.0, 30.0]]),
    torch.tensor([[11.0, 25.0, 19.0, 30.0]]),
)
for name, box in (("anchor", anchor), ("truth", truth)):
    x, y, w, h = middles(box)[:, 0].tolist()
    print(f"{name}: around ({x:g}, {y:g}), {w:g} wide and {h:g} high")
numbers = encode(truth, anchor)
print("four numbers:", ", ".join(f"{t:.3f}" for t in numbers[0]))
claim((decode(numbers, anchor) - truth).abs().max() < 1e-4, "`decode` undoes `encode`")

# %% [markdown]
# ### Who is to find what
#
# In training every anchor must know what it should have said. It gets the truth that it overlaps most if their
# IoU is at least 1/2. Below 2/5 it should say that nothing is there, the **background**. Between the two it
# would be unfair to ask either, so such an anchor counts as nothing (RetinaNet, sec. 4).

# %% [markdown]
# ### Exercise: `match`
#
# `iou` has a row for each truth `g` and a column for each anchor `a`. `BACKGROUND` is -1 and `IGNORED` is -2.
# A picture may have no truth at all.

# %% exercise="capstone.match"

# %%
check("capstone.match", match)

# %% [markdown]
# Stuck? `hint("capstone.match")`. To read on without solving it: `from solutions.capstone import match`.

# %% [markdown]
# ### The pictures
#
# Real detection sets take days. Ours takes minutes and is hard in the same ways: digits of any colour and size,
# some nearly invisible, on pieces of two photographs, between pieces of other digits that are to be passed
# over. For testing there are other digits, and the other halves of the photographs.

# %% jupyter={"source_hidden": true}
seen = scenes(6, 5_000_000, test=True)
palette = ["#e69f00", "#56b4e9", "#cc79a7"]


def framed(ax, edges, words, colour):
    """Boxes with a word at each, over what the axes show."""
    for (left, top, right, bottom), word in zip(edges, words, strict=True):
        corner = left - 0.5, top - 0.5
        ax.add_patch(
            plt.Rectangle(corner, right - left, bottom - top, fill=False, ec=colour, lw=1.5)
        )
        ax.text(left, top - 1, word, color="white", size=7, backgroundcolor=colour, va="bottom")


fig, axs = plt.subplots(2, 3, figsize=(6.4, 4.4))
for ax, picture, edges, labels in zip(axs.flat, *seen, strict=True):
    plots.image(ax, picture, "")
    framed(ax, edges.tolist(), [str(d) for d in labels.tolist()], "#333333")
fig.suptitle("What is to be found: every whole digit, and no piece of one")
plots.show(
    fig,
    "Six pieces of photographs with digits of many colours; a box and its number around each whole digit.",
)

# %%
net = RetinaNet(create_network("none", blocks=1, stem=2), (32, 64), stride=4, classes=1)
placed = net(seen.image)[2]
truths = [match(box_iou(boxes, placed)) for boxes in seen.boxes]
hits = sum(int((t >= 0).sum()) for t in truths)
print(
    f"{len(placed)} anchors a picture; in six pictures {hits} of {6 * len(placed)} have a truth"
)
claim(hits < 0.1 * 6 * len(placed), "nearly all anchors are background")

# %% [markdown]
# ### A loss that does not drown
#
# That count is the problem of all such detectors. Nearly every anchor is background, and easy. Each costs
# next to nothing, but they are many: in a sum of cross-entropies the easy ones outweigh the few that
# matter. Lin et al. turn down what is right already. With $p_t$ the probability given to what is true,
#
# $$
# \mathrm{FL} = -\alpha_t\, (1 - p_t)^\gamma \log p_t
# $$
#
# (RetinaNet, eq. 5.) $\alpha_t$ is $\alpha$ where the class is there and $1 - \alpha$ where it is not.
# **Predict.** An easy anchor has $p_t = 0.99$. By which factor does $\gamma = 2$ turn its loss down, and by
# which that of an anchor with $p_t = 0.1$?
#
# <details><summary>Answer</summary>
#
# By 0.01² = 1/10,000, and by 0.9² = 0.81.
#
# </details>

# %% [markdown]
# ### Exercise: `focal_loss`
#
# For each score by itself, as a logit. A score that is sure and wrong must not overflow.

# %% exercise="capstone.focal_loss"

# %%
check("capstone.focal_loss", focal_loss)

# %% [markdown]
# Stuck? `hint("capstone.focal_loss")`. To read on without solving it:
# `from solutions.capstone import focal_loss`.

# %% jupyter={"source_hidden": true}
easy, hard = torch.full((10_000,), -4.6), torch.full((10,), -2.2)  # logits: p = 0.01, and 0.1
absent, there = torch.zeros(10_000) > 0, torch.ones(10) > 0
for p_t in (0.99, 0.1):
    print(f"p_t = {p_t}: turned down to {1 - p_t:.2f}² = {(1 - p_t) ** 2:.4f} of it")
print("loss of 10,000 easy anchors and of 10 hard ones")
shares = {}
for gamma in (0, 1, 2):
    parts = [
        focal_loss(x, t, 0.25, gamma).sum().item() for x, t in ((easy, absent), (hard, there))
    ]
    shares[gamma] = parts[1] / sum(parts)
    print(
        f"gamma = {gamma}: {parts[0]:7.3f} and {parts[1]:.3f}; the hard ones are {shares[gamma]:.1%} of the sum"
    )
claim(
    shares[0] < 0.1 < 0.8 < shares[2],
    "without focus the hard anchors drown, with gamma = 2 they lead",
)

# %% [markdown]
# ### What and where at once: a pyramid
#
# Deep maps know what there is, but are coarse; shallow ones know where, but not what. A **feature pyramid**
# ([Lin et al. 2017](https://arxiv.org/abs/1612.03144)) hands down what the coarse ones know. Each map gets
# `e` channels by a 1x1. From the coarsest on, each sum is enlarged and added to the next map, and a 3x3
# ends each level. On every level the same two **heads** look at every place.

# %% jupyter={"source_hidden": true}
plots.show(
    drawings.pyramid_and_heads(),
    "Three feature maps, coarse on top. Each goes through a 1x1. The coarse result is enlarged and added to the "
    "middle one, that sum to the fine one. Each level then goes through a 3x3 to two heads, classes and boxes, "
    "whose weights are the same on every level.",
)

# %% [markdown]
# ### Exercise: `FeaturePyramid`
#
# Enlarge by copying the nearest pixel, to the size of the next map, which may be odd.

# %% exercise="capstone.feature_pyramid"

# %%
check("capstone.feature_pyramid", FeaturePyramid)

# %% [markdown]
# Stuck? `hint("capstone.feature_pyramid")`. To read on without solving it:
# `from solutions.capstone import FeaturePyramid`.

# %% [markdown]
# ### One box for one thing
#
# Many anchors see the same digit. **Non-maximum suppression** keeps the best box of a class, takes away all
# that overlap it much, and goes on with the best of those that are left.

# %% [markdown]
# ### Exercise: `non_maximum_suppression`
#
# Return the indices of the boxes that stay, the best score first. Only a kept box takes others away.

# %% exercise="capstone.non_maximum_suppression"

# %%
check("capstone.non_maximum_suppression", non_maximum_suppression)

# %% [markdown]
# Stuck? `hint("capstone.non_maximum_suppression")`. To read on without solving it:
# `from solutions.capstone import non_maximum_suppression`.

# %%
chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
stay = non_maximum_suppression(chain, torch.tensor([0.9, 0.8, 0.7]), 0.4)
print("of three boxes in a chain stay:", stay.tolist())
claim(stay.tolist() == [0, 2], "the middle one goes for the first, and the third stays")

# %% [markdown]
# ### Beside the papers
#
# At full size the same comparison was made with RetinaNet on COCO by the papers of the augmented convolution
# and of stand-alone attention. Their rows follow, as printed; the second paper attends in the backbone alone
# here, and its heads stay convolutions.

# %%
for id in ("aa.coco.resnet-50", "aa.coco.se-resnet-50", "aa.coco.aa-resnet-50"):
    print(
        f"{figure(id).label:32}",
        *(f"{name} {value};" for name, value in figure(id).printed.items()),
    )
for row in figures("sasa.table2")[:3]:
    named = [f"{name} {row.printed[name]};" for name in ("FLOPs", "parameters", "mAP")]
    print(f"{row.label:32}", *named)

# %% [markdown]
# Attention beside the convolutions gains more than a point of AP at the same cost; in their place it is about
# level, with a quarter fewer parameters. Squeeze-and-excitation, which gained on ImageNet, gains nothing here.
# None of the papers gives a spread.

# %% [markdown]
# ## 13.8 Your own library
#
# Whatever passed `check` in your work folder is kept in `work/mine`, a file for each exercise, with all that it
# calls, so that it imports alone; versions that passed before stay beside it. `from attncourse import mine`
# gives you these: `mine.SqueezeExcite` is yours where it passed, and the course's otherwise. Where two chapters
# have one name, the chapter goes before it, as in `mine.sparse.local_attention`.

# %%
for name in ("SqueezeExcite", "CBAM", "scaled_dot_product_attention", "box_iou"):
    print(f"{name:30}{mine.where(name)}")

# %% [markdown]
# `mine.where()` lists all of them. The table above was printed where the course is built, outside a work
# folder, and so everything is the course's; in your notebook it tells what is yours.
#
# With these classes you can build the chapter's network out of your own code. A `SmallResNet` takes anything
# from channels to a module.

# %%
own = SmallResNet((16, 32, 64), blocks=1, attention=partial(mine.SqueezeExcite, reduction=4))
same = create_network("se", (16, 32, 64), blocks=1)
same.load_state_dict(own.state_dict())
x = torch.rand(2, 3, 32, 32)
claim(
    torch.allclose(own.eval()(x), same.eval()(x), atol=1e-5),
    "your block and the course's give the same scores",
)

# %% [markdown]
# ### A package with your name
#
# In a terminal, `attncourse export ada-attention --name "Ada Lovelace"` makes a folder `ada-attention`
# that anybody can install: your files, a README that says what is yours and what was given, and tests that
# compare each answer with numbers of the course on the trials of its exercise. `pip install ./ada-attention`
# installs it, with `--no-deps --no-build-isolation` even without a network, and `import ada_attention`
# no longer needs the course.

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
# - T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan, S. Belongie: Feature Pyramid Networks for Object
#   Detection, CVPR 2017. https://arxiv.org/abs/1612.03144
# - T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: Focal Loss for Dense Object Detection, ICCV 2017.
#   https://arxiv.org/abs/1708.02002
# - Q. McNemar: Note on the sampling error of the difference between correlated proportions or
#   percentages, Psychometrika 1947. https://doi.org/10.1007/BF02295996
