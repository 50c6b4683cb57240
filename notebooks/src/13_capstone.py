# %% [markdown]
# # 13 · Capstone
#
# You have built one mechanism after another, each in its own chapter, with its own task and its own paper. Every
# one of these papers has a table in which its mechanism wins. They cannot be compared with each other: one was
# trained with another schedule, another added a third to the computation, a third was tuned for a year
# while its baseline was copied from an older table. Which mechanism would you take?

# %% [markdown]
# That question has a method. Put the mechanisms into **one network**, here fourteen of them, give all **one
# budget** of multiply-adds, train them alike, tune each as much as the network without any, do it with several
# seeds, and ask of each difference whether it is larger than the spread. What happens otherwise was seen in 2021:
# [ResNet strikes back](https://arxiv.org/abs/2110.00476) (Wightman, Touvron and Jégou) trained the ResNet-50 of
# 2015 as carefully as its successors, and it reached 80.4 % on ImageNet, some four points more than the weights
# with which newer networks had been compared. Much of what these had gained was the training.

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
# | the cost of a stage, the width for a budget, two paired tests, a Pareto front; the parts of a detector | one network with fourteen mechanisms, which differences are real, and where attention belongs | the mechanisms of chapters 5 to 9, chapter 9's way of counting, chapter 12's windows |
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
import statistics
from bisect import bisect_left
from collections.abc import Callable
from functools import cache, partial

import matplotlib.pyplot as plt
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, explore, hint, mine
from attncourse.book import claim, maps, plots
from attncourse.book.drawings import capstone as drawn
from attncourse.book.drawings import detection as drawings
from attncourse.book.results import result
from attncourse.book.study import NAMES, SHORT, chosen, differences, fronts
from attncourse.book.study import half, in_stage, networks, short, spread
from attncourse.papers import figure, figures
from attncourse.papers.cost import columns, cost

# %%
from attncourse.tasks.detection import scenes
from attncourse.tasks.pictures import digits
from attncourse.training import kept
from attncourse.training.study import fitting
from solutions.capstone import MECHANISMS, RetinaNet, SmallResNet, create_network, three_widths
from solutions.capstone.boxes import BACKGROUND, IGNORED, middles
from solutions.capstone.shifted import ShiftedWindowAttention2d
from solutions.stand_alone import StandAloneSelfAttention2d

# %% [markdown]
# ## 13.1 One network, a place for everything
#
# The network is He et al.'s [ResNet for CIFAR](https://arxiv.org/abs/1512.03385): a 3x3 **stem**, three
# **stages** of residual blocks between which the maps halve and the channels double, a mean over the pixels
# and a linear layer. A mechanism can stand at one of three places in it. A **gate** scales the branch of each
# block before the addition. A mechanism **between** the stages, or behind the last, works on the maps themselves.
# And what attends within the maps can stand **instead** of a 3x3 convolution.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.places(),
    "Above: image, stem, three stages with a green place a behind each, marked between, then mean and linear"
    " layer. Below: one residual block, x through two green 3x3, marked instead, and a green a, marked gate,"
    " to a sum with the shortcut, then relu and y.",
)

# %% [markdown]
# Each mechanism comes from the chapter that built it and stands where its paper put it; the library finds it
# by name (`create_attention`). Reductions are 4 where the papers have 16, because these networks are narrow. In the
# tables GE stands for gather-excite, AA for the attention-augmented convolution and SASA for stand-alone self-attention.

# %%
rows = [
    [name, place.kind if place else "", place.says if place else "no attention"]
    for name, place in MECHANISMS.items()
]
print(columns(["name", "place", "what it is"], rows))

# %%
x = torch.randn(2, 3, 32, 32)
for name in MECHANISMS:
    shape = create_network(name, blocks=1)(x).shape
    assert shape == (2, 10), f"{name}: {shape}"
claim(len(MECHANISMS) == 15, "each of the fifteen networks gives ten scores for a picture")

# %% [markdown]
# **Predict.** Squeeze-and-excitation is put into every block. By how much does it raise the network's
# multiply-adds: a tenth of a percent, one percent, or ten?
#
# <details><summary>Answer</summary>
#
# By about a tenth of a percent. Its two layers cost $c^2 / 2$ multiply-adds an *image*, a 3x3 convolution
# $9\,c^2$ a *pixel*.
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
# A network with more channels can do more, and costs more. So a mechanism that adds to the cost
# must be compared with a network that spends the same elsewhere. We fix a **budget**, the multiply-adds of the
# network without attention, and give each mechanism the width with which it spends just that.

# %% [markdown]
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
# The formula above as a function. A stride rounds up: 7 rows become 4.

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
# taken; no width is below `step`.

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


budget = spends("none", 4 * 16)  # all widths are scaled by one factor, and rounded to fours
for name in ("none", "se", "sasa"):
    quarters = width_for(partial(spends, name), budget, step=4)
    share = spends(name, quarters) / budget
    print(f"{name:5} {three_widths(quarters / 4)} at {100 * share:.0f} % of the budget")

# %% [markdown]
# ## 13.3 What a difference is worth
#
# Train the same network twice with two seeds, and the accuracies differ. If two *mechanisms* differ by as
# much, nothing has been found. Two things help. The first is **pairing**: both networks get the same seed, that
# is the same pictures in the same order, and one looks at their difference seed by seed. Whatever moves both
# accuracies in the same direction cancels in it. The numbers of this drawing are made up; whether pairing helps
# in a real study is measured in section 13.4.

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
# The mean and its standard error. One seed has no spread: `ValueError`.

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
# pictures that only the first has right, and `lost` ones that only the second has right.

# %% [markdown]
# If both networks were equally good, each of these would be the toss of a fair coin. This is McNemar's test in its exact form, the
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
# The sum, with `math.comb`.

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
# ### An A/A test
#
# How large are differences between *equal* networks? Train one network on digits with four seeds and once more
# with four others, and compare as if these were two mechanisms. It takes some ten seconds.

# %% tags=["nbval-ignore-output"]
train, test = digits(), digits(test=True)
rgb = partial(repeat, pattern="b 1 h w -> b rgb h w", rgb=3)


@cache
def reads(seed):
    """Which of the 450 test digits a small network reads, trained with a seed."""
    torch.manual_seed(seed)
    network = create_network(widths=(8, 8, 16), blocks=1)
    fitting.fit(network, rgb(train.image), train.label, epochs=2, rate=0.01, seed=seed)
    return fitting.right(network, rgb(test.image), test.label)


# %% tags=["nbval-ignore-output"]
a = torch.stack([reads(seed) for seed in range(4)])
b = torch.stack([reads(seed) for seed in range(4, 8)])
mean, error = paired_difference(*(x.float().mean(1) for x in (a, b)))
print(f"difference {100 * mean:+.1f} points, standard error {100 * error:.1f}")
for seed, (x, y) in enumerate(zip(a, b, strict=True)):
    gained, lost = (x & ~y).sum().item(), (y & ~x).sum().item()
    print(f"pair {seed}: {gained:3} gained, {lost:3} lost, p = {sign_test(gained, lost):.2g}")

# %% [markdown]
# **What you should see.** The mean difference is of the size of its error, as it should be. Single pairs of
# equal networks can nevertheless have a small p: the sign test has found, rightly, that these two *trained
# networks* differ. It does not know that a seed made them differ.

# %% [markdown]
# ## 13.4 The study
#
# `attncourse train study` trains the network with each mechanism at one budget, and once more at equal width
# where that is another network. On GPUs it takes all of CIFAR-10. With `--small` it is made for two cores, and
# that run is shown here: 2,000 pictures, five epochs, one block a stage and a stem that halves the picture at
# once. Such networks are right in less than half of the cases, where CIFAR-10's best are near 100 %. They rank
# mechanisms *for these conditions*: little data, little time, small networks.

# %% [markdown]
# Every mechanism, and the network without one, got the same help: three learning rates, two epochs each, one
# seed that is used for nothing else, judged on 1,500 training pictures that no network is trained on. Then
# come the runs that count, three seeds each, judged once on 5,000 test pictures.

# %% jupyter={"source_hidden": true}
study = result("study_small")
table = []
for row in chosen(study, "at_budget"):
    spent = (row["multiply_adds"] + row["attention"]) / 1e6
    widths = "-".join(map(str, row["channels"]))
    cells = [f"{row['parameters'] / 1e3:.0f} k", f"{spent:.2f} M", f"{row['train_ms']:.2f}"]
    cells += [f"{row['training_bytes'] / 1e6:.0f}", f"{row['rate']:g}"]
    table.append([NAMES[row["mechanism"]], widths, *cells, *spread(row["accuracy"])])
heads = ["", "widths", "weights", "mult-adds", "ms", "MB", "rate", "right, %", "seeds"]
print(columns(heads, table))

# %% [markdown]
# The columns: channels of the three stages; weights; multiply-adds for one picture; milliseconds of a processor
# for a picture in training, on the machine named below; memory of a training step of 50 pictures; the learning
# rate that was chosen; the mean of three seeds on the test set, with the lowest and the highest. Widths come in
# fours, so that the budget is met to within 6 %.

# %%
print(f"{study['minutes'] / 60:.2f} hours of training on {study['hardware']}")
cells = {row["mechanism"]: row for row in chosen(study, "at_budget")}
for name in ("none", "sasa"):
    row = cells[name]
    print(f"{name}: {row['train_ms']:.2f} ms, {row['training_bytes'] / 1e6:.0f} MB")
off = [
    (row["multiply_adds"] + row["attention"]) / study["budget"] - 1
    for row in chosen(study, "at_budget")
]
claim(max(map(abs, off)) < 0.06, "every mechanism is within 6 % of the budget")
dearer = cells["sasa"]["train_ms"] / cells["none"]["train_ms"]
claim(dearer > 2, "for the same multiply-adds, attention in windows takes over twice the time")

# %% [markdown]
# Equal multiply-adds are not equal cost. Stand-alone attention in all stages takes three times as long as the
# convolutions, and nearly thirty times the memory, because each pixel makes small products with a window
# of its own. (Chapter 11's kernels lower both; they are not used here.)

# %% [markdown]
# **Predict.** Fourteen mechanisms are compared with the network that has none. At the usual level of 5 in 100,
# how many of them would stand out if *none* of them did anything?
#
# <details><summary>Answer</summary>
#
# $14 \cdot 0.05 = 0.7$: on average nearly one, even if all share the three runs of the network without attention, which
# makes the tests hang together. Whoever tests fourteen and reports the best reports luck.
# **Bonferroni's** rule divides the level by the number of tests.
#
# </details>

# %% jupyter={"source_hidden": true}
fig = differences(study)
fig.suptitle(
    "No interval lies to the right of 0; four kinds of windows lie to the left", size=9
)
plots.show(
    fig,
    "For each of fourteen mechanisms three dots, the differences to the network without attention, seed by seed,"
    " over a grey 95 % interval; at equal multiply-adds on the left, at equal width on the right.",
)

# %% [markdown]
# Each dot is one seed: the mechanism's accuracy less that of the network without attention. The grey bar is
# the 95 % interval of the mean, by Student's distribution with two degrees of freedom. Where the bar crosses
# the line, three seeds do not tell the mechanism from none.


# %%
def compared(row):
    """A mechanism against none: mean, half of the interval, both kinds of p."""
    a = row["against_none"]
    signs = " ".join(f"{p:.1g}" for p in a["sign_test"])
    return [f"{100 * a['mean']:+.1f}", f"{half(row):.1f}", f"{a['t_test']:.2g}", signs]


others = [row for row in chosen(study, "at_budget") if row["mechanism"] != "none"]
heads = ["", "points", "±", "p, seeds", "p, pictures, seed by seed"]
print(columns(heads, [[NAMES[row["mechanism"]], *compared(row)] for row in others]))

# %%
p = {row["mechanism"]: row["against_none"]["t_test"] for row in others}
better = [r for r in others if r["against_none"]["interval"][0] > 0]
worse = [r for r in others if r["against_none"]["interval"][1] < 0]
print(f"{len(better)} are better than none, {len(worse)} worse, by the interval of each")
for row in worse:
    print(f"  worse: {NAMES[row['mechanism']]}, rate {row['rate']:g}")
strict = [name for name in p if p[name] < 0.05 / len(p)]
print(f"by Bonferroni's rule, p < {0.05 / len(p):.4f}: {len(strict)} of {len(p)}")

# %%
claim(not better, "no mechanism is better than none beyond its interval")
instead = [r for r in worse if MECHANISMS[r["mechanism"]].kind == "instead"]
claim(len(instead) == 4, "all four kinds of windows in place of convolutions are worse")
claim(not strict, "by the strict rule three seeds settle nothing")
tiny = [r for r in others if max(r["against_none"]["sign_test"]) < 0.01]
print("the pictures settle it for every seed:", ", ".join(NAMES[r["mechanism"]] for r in tiny))

# %%
none = torch.tensor(cells["none"]["accuracy"], dtype=torch.float64)
errors = []
for row in others:
    a = torch.tensor(row["accuracy"], dtype=torch.float64)
    unpaired = ((a.var() + none.var()) / len(a)).sqrt()
    errors.append((paired_difference(a, none)[1] / unpaired).item())
print(f"error by pairs / without pairs: {min(errors):.2f} to {max(errors):.2f},", end=" ")
print(f"smaller for {sum(e < 1 for e in errors)} of {len(errors)}")

# %% [markdown]
# **What you should see.** Nothing is better than no attention at all, beyond its interval. Non-local, DANet's
# position attention and SE are ahead by less than a point, which may be chance. What takes the place of
# convolutions by windows is worse, by about three points, and GALA is by four; GE and ECA are worse by half as much.

# %% [markdown]
# CBAM's interval excludes 0 as well, while no sign test of its three pairs finds a difference (p from 0.5 to 0.6).
# The two do not contradict each other: a difference of four tenths of a point is too small to be seen in one pair of
# networks on 5,000 pictures, and three differences may be alike by chance. We leave it open.

# %% [markdown]
# With fourteen tests and Bonferroni's rule three seeds settle nothing, and SASA in all stages misses it by a
# hair: with two degrees of freedom that rule is hard to reach. By the pictures the networks named in the last line
# differ at p < 0.01 with every seed, which is no strict rule for 42 tests; and it is about these trained networks, not
# about their mechanisms.

# %% [markdown]
# Does pairing help? The last line compares the error of the paired difference with that of two separate groups:
# it is smaller for 11 of 14, and larger for the others, whose seeds move the two networks independently. Pairing
# costs nothing, but it is no magic.

# %% [markdown]
# On the right, at equal width, each network has the channels of the one without attention, and spends what that
# takes. SE, GE, ECA and CBAM cost so little that they are the same networks on both sides. Of the others:

# %%
wider = {row["mechanism"]: row for row in chosen(study, "at_width")}
gains = {}
for row in others:
    other = wider.get(row["mechanism"])
    if other is None or other["channels"] == row["channels"]:
        continue
    means = [100 * statistics.mean(one["accuracy"]) for one in (row, other)]
    gains[NAMES[row["mechanism"]]] = means[1] - means[0]
    print(f"{NAMES[row['mechanism']]:21} {means[0]:.1f} %, at equal width {means[1]:.1f} %")
helped = [name for name, gain in gains.items() if gain > 0.1]
print("helped by more channels:", "; ".join(helped))
claim(len(helped) == 2, "more channels help two of the ten")

# %% [markdown]
# More channels help two of the ten, by a point at most, and the shifted windows fall back further. (The rates were not
# tuned anew, and each mean has an interval of one to three points.) So the budget decides little here: what is
# behind at equal multiply-adds is not clearly behind for lack of channels.

# %% [markdown]
# ### How much is the learning rate, how much the mechanism?
#
# Look at the column of rates. Choosing among three rates with 1,500 pictures is itself a measurement with noise,
# and not every mechanism got the same. So here is a control: the network *without attention* at each of the
# three rates, with the same seeds and epochs. What it gains or loses is the rate's doing alone.

# %%
for rate, shares in study["none_at_rate"].items():
    got = [row for row in others if f"{row['rate']:g}" == rate]
    base = statistics.mean(shares)
    print(
        f"none at {rate:5}: {100 * base:.1f} %, {len(shares)} seeds; chosen by {len(got)} mechanisms"
    )
    for row in got:
        gain = 100 * (statistics.mean(row["accuracy"]) - base)
        print(f"    {NAMES[row['mechanism']]:20} {gain:+.1f} points over none at this rate")

# %%
at = {rate: statistics.mean(shares) for rate, shares in study["none_at_rate"].items()}
claim(
    at["0.01"] == max(at.values()), "none chose the rate that is its best on the test set too"
)
claim(at["0.01"] - at["0.03"] > 0.01, "the highest rate costs it more than a point")
cbam = next(row for row in others if row["mechanism"] == "cbam")
claim(statistics.mean(cbam["accuracy"]) > at["0.03"], "CBAM is ahead of none at its own rate")

# %% [markdown]
# **What you should see.** The rate alone moves the network without attention by as much as most mechanisms do.
# ECA has three weights a block and lost a point and a half: a good part of that is the smaller rate that the
# tuning gave it. CBAM, a little behind, is ahead of none *at its rate*. So the study compares mechanisms
# *together with the tuning they got*, equal for all and too coarse to be exact. With the full study's larger
# set for tuning that noise shrinks; it does not vanish.

# %% [markdown]
# ## 13.5 Beside the papers' tables
#
# The papers compare at full size, and their gains look like this. An error that falls and an accuracy that
# rises are both written as a gain in points.

# %%
PRINTED = {
    "SE, ResNet-110, CIFAR-10": ("gather-excite.table5.resnet-110-", "baseline", "se"),
    "GE, ResNet-110, CIFAR-10": (
        "gather-excite.table5.resnet-110-",
        "baseline",
        "ge-theta-minus",
    ),
    "SE, ResNet-50, ImageNet": ("cbam.table4.resnet50", "", "+se"),
    "CBAM, ResNet-50, ImageNet": ("cbam.table4.resnet50", "", "+cbam"),
    "AA, ResNet-50, ImageNet": ("aa.imagenet.", "resnet-50", "aa-resnet-50"),
    "SASA, ResNet-50, ImageNet": ("sasa.table1.resnet-50-", "baseline", "full-attn"),
}


# %%
def printed_gain(stem, without, with_it):
    """Points that a paper's table gives a mechanism, and how surely we read it."""
    rows = [figure(stem + name) for name in (without, with_it)]
    named = next(name for name in rows[0].printed if "error" in name or "accuracy" in name)
    gain = rows[1].printed[named].value - rows[0].printed[named].value
    return -gain if "error" in named else gain, rows[1].confidence


ours = {"SE": "se", "GE": "ge", "CBAM": "cbam", "AA": "augmented", "SASA": "sasa"}
here = {row["mechanism"]: row["against_none"] for row in others}

# %%
table, inside = [], []
for says, place in PRINTED.items():
    gain, confidence = printed_gain(*place)
    against = here[ours[says.partition(",")[0]]]
    low, high = (100 * edge for edge in against["interval"])
    inside += [says] if low < gain < high else []
    shown = [f"{100 * against['mean']:+.1f}", f"{low:+.1f} … {high:+.1f}"]
    table.append([says, f"{gain:+.2f}", *shown, "yes" if says in inside else "no"])
print(columns(["", "printed", "here", "95 % interval", "inside?"], table))
claim({says[:2] for says in inside} == {"SE"}, "only SE's printed gains are possible here")

# %% [markdown]
# **What that says.** Of the five mechanisms whose gains are compared, only SE's printed gains lie in the interval that
# was found here; it is also a wide one. The four others lie outside:
# under these conditions those mechanisms do not gain what their papers print. That does not refute the papers,
# whose conditions are others: networks of 50 or 110 layers, 50,000 pictures on CIFAR-10 and over a million on ImageNet,
# a hundred epochs and more. But it does contradict that a mechanism helps whatever the conditions are. The
# tables, for their part, print one number for each network and no spread.

# %% [markdown]
# Why does attention in windows lose here? Three guesses, which the study does not decide. A convolution *assumes* that neighbours in a
# certain direction matter, and need not learn it from 2,000 pictures (chapter 9 saw the same with digits). In
# stage 3 the maps have 4 x 4 pixels, so that a window of 5 sees nearly everything and is local attention in name
# only. And 200 steps are few for weights that first have to find out where to look.

# %% [markdown]
# ## 13.6 Search
#
# One can also ask the question without a list of candidates: which operation belongs into which stage? Stage 1
# has a convolution or stand-alone attention, stages 2 and 3 one of these or the augmented convolution (in stage 1
# its attention among all pairs of pixels alone would exceed the budget). With four shares of the budget, to
# which the width is solved, that makes 2 · 3 · 3 · 4 = 72 networks.

# %% [markdown]
# Two things are wanted, accuracy and few multiply-adds, and there is no best for both. A network is
# **dominated** if another costs no more, scores no less, and is better in one of the two. What is left when all
# dominated ones are crossed out is the **Pareto front**: the networks among which one can only choose by what one
# is willing to spend.

# %% [markdown]
# ### Exercise: `pareto_front`
#
# A mask over `n` networks. Of two that are alike, both stay.

# %% exercise="capstone.pareto_front"

# %%
check("capstone.pareto_front", pareto_front)

# %% [markdown]
# Stuck? `hint("capstone.pareto_front")`. To read on without solving it:
# `from solutions.capstone import pareto_front`.

# %%
price, score = torch.tensor([3.0, 1.0, 2.0, 4.0, 2.5]), torch.tensor([0.7, 0.4, 0.6, 0.65, 0.5])
front = pareto_front(price, score)
print(price[front].tolist(), "are on the front")
claim(
    front.tolist() == [True, True, True, False, False],
    "3, 1 and 2 are; 4 and 2.5 are dominated",
)

# %% [markdown]
# `attncourse train search` looks for the front. [Optuna](https://arxiv.org/abs/1907.10902) proposes what to
# train next by **TPE**, which models where good networks lie by what was found so far
# ([Bergstra et al. 2011](https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization)).
# Beside it the same number of networks is drawn at **random**, the baseline that every search has to beat. Both
# judge a network as the study tunes: two epochs, on pictures held out.

# %% jupyter={"source_hidden": true}
found = result("study_search_small")
fig = fronts(found)
plots.show(
    fig,
    "Accuracy on held-out pictures over multiply-adds: grey squares of random search, blue dots of TPE, and a"
    " staircase through the front of each.",
)

# %%
each = {name: networks(found, name) for name in ("tpe", "random")}
for name, trained in each.items():
    best = max(trained, key=lambda one: one["accuracy"])
    print(
        f"{name:6} {len(found['trials'][name])} trials, {len(trained)} different networks;",
        end=" ",
    )
    where = f"{short(best['operations'])} at {best['share']:.0%} of the budget"
    print(f"best {100 * best['accuracy']:.1f} %, {where}")
both = {(o["operations"], o["share"]): o for trained in each.values() for o in trained}
print(f"{len(both)} different networks together, of 72")

# %% [markdown]
# The letters: C convolution, A augmented, S stand-alone attention, in stages 1, 2 and 3. Which operation is good
# in which stage? Average over all networks that have it there:

# %%
table = []
for stage in (1, 2, 3):
    for operation, letter in SHORT.items():
        if got := in_stage(both.values(), stage, operation):
            table.append([f"stage {stage}, {letter}", str(len(got)), *spread(got)])
print(columns(["", "networks", "right, %", "range"], table))

# %%
mean_of = {
    (stage, op): statistics.mean(got)
    for stage in (1, 3)
    for op in SHORT
    if (got := in_stage(both.values(), stage, op))
}
lead = mean_of[1, "convolution"] - mean_of[1, "stand_alone"]
claim(lead > 0.02, "in stage 1 a convolution is two points ahead")
lead = mean_of[3, "convolution"] - mean_of[3, "augmented"]
claim(abs(lead) < 0.01, "in stage 3 augmented and plain are level")

# %% [markdown]
# ### "Convolution early, attention late"
#
# In Table 3 of [Ramachandran et al.](https://arxiv.org/abs/1906.05909) the stages of a ResNet-50 are attention
# or convolution in turn, and the authors conclude that convolutions belong into the early stages and attention
# into the late ones. Here are their pattern, the same turned round, and the network that the searches found
# best. Each is trained as in the study, at the whole budget, with three seeds, and judged on the test set.

# %%
table, on_test = [], {}
for one in found["patterns"]:
    letters = short(one["operations"])
    on_test[letters] = 100 * torch.tensor(one["accuracy"])
    widths = "-".join(map(str, one["channels"]))
    table.append([letters, widths, *spread(one["accuracy"])])
print(columns(["stages", "widths", "right, %", "3 seeds"], table))

# %%
for late, early in (("C C S", "S C C"), ("C S S", "S S C")):
    mean, error = paired_difference(on_test[late], on_test[early])
    print(f"{late} less {early}: {mean:+.1f} points, 95 % interval ± {4.303 * error:.1f}")

# %% [markdown]
# **What you should see.** In the averages stand-alone attention in stage 1 costs more than two points. But these
# are averages over networks that a search chose, with other stages and other budgets mixed in. The clean comparison
# is smaller: S C C has 43.2 % on the test set where C C C has 44.0. Late in the network the augmented
# convolution is level with the plain one. Stand-alone attention in stage 3 is *not* ahead
# of the same in stage 1; it is behind, by less than its interval. So their pattern is neither confirmed nor
# refuted. Our last maps have 4 x 4 pixels, theirs 7 x 7.

# %% [markdown]
# The two searches end with the same best network, and random search has the better front in the middle. TPE begins with
# ten random trials, here the very ten of the other search, for both have one seed; after them it comes back to networks it knows, so that
# it has trained fewer different ones. 24 trials in a space of 72 leave little to be clever about. What a search
# is worth shows in large spaces, and only beside random search.

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
# Real detection sets take days. Ours takes minutes, and has some of their difficulties: digits of any colour and size,
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


# %% jupyter={"source_hidden": true}
def outlined(ax, boxes, colour, **look):
    """Frames without words."""
    for left, top, right, bottom in boxes.tolist():
        corner = left - 0.5, top - 0.5
        sides = right - left, bottom - top
        ax.add_patch(plt.Rectangle(corner, *sides, fill=False, ec=colour, **look))


picture, boxes = seen.image[2], seen.boxes[2]
fig, axs = plt.subplots(1, 2, figsize=(6.4, 3.3))
plots.image(axs[0], picture, "Two anchors at one place of each map")
starts = (0, 16, 8), (512, 8, 4), (640, 4, 2)  # where a map begins, its side, a place of it
for (start, side, middle), colour in zip(starts, palette, strict=True):
    at = start + 2 * (side * middle + middle)
    outlined(axs[0], placed[at : at + 2], colour, lw=1.8)
plots.image(axs[1], picture, "Green: is to find it. Grey: is not asked")
overlap = box_iou(boxes[1:2], placed)[0]
outlined(axs[1], placed[(overlap >= 0.4) & (overlap < 0.5)], "#bbbbbb", lw=1.2)
outlined(axs[1], placed[overlap >= 0.5], "#2ca02c", lw=1.5)
outlined(axs[1], boxes[1:2], "white", lw=2.2, ls="--")
plots.show(
    fig,
    f"""Twice a picture with digits. Left, three pairs of boxes around one place, small, medium and large. Right, a
    digit in a dashed white frame, {(overlap >= 0.5).sum()} green anchors that overlap it by a half or more, and grey
    ones that overlap it by two fifths.""",
)

# %% [markdown]
# **What you should see.** On the left are the anchors of one place on each of the three maps of this small detector;
# they stand at every place. On the right are those that must answer for one digit. A truth that no anchor overlaps by a
# half would have nobody to find it.

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
# %% [markdown]
# With $\gamma = 2$ the background is turned down so far that the rare class needs less weight than one expects:
# the paper's best $\alpha$ is 0.25.
#
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
# ends each level. On every level the same two **heads** look at every place: one gives a score for each class, the
# other the four numbers of `encode`.

# %% [markdown]
# The loss of the scores is the focal loss of all anchors that count. That of the boxes is the smooth L1 distance
# between the four numbers and those that `encode` gives for the anchor's truth. Both sums are divided
# by the number of anchors that have a truth.

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
# ### Three backbones
#
# The detector was trained on the chapter's network as it is, with CBAM in every block, and with stand-alone
# attention for the 3x3s of stage 3; all with the same pictures, schedule and rate, each with three seeds
# (`attncourse train detection`). Measured by section 13.4 this comparison is *not fair*: one rate for all, tuned for
# none, and 6 % more multiply-adds with attention in stage 3. It shows what such a table looks like. Training lasts a
# minute or two, so all whole digits are one class.

# %% [markdown]
# How good is a detector? Take its boxes by their scores, the best first. After each, **precision** is the share
# of boxes so far that are right, and **recall** the share of truths that were found. A box is right if it overlaps
# a truth by at least, say, 0.5 that no earlier box has found. The mean of the precision over all recalls is the
# **average precision** (AP). COCO's AP, counted here by pycocotools, is its mean over ten overlaps from 0.5 to
# 0.95.

# %% [markdown]
# **By hand.** Four truths, and five boxes, the best score first: right, right, wrong, right, wrong. The precision
# after each is 1, 1, 2/3, 3/4, 3/5, the recall 1/4, 1/2, 1/2, 3/4, 3/4. For each recall one takes the best precision
# that is reached there or later: 1, 1 and 3/4, and 0 for the recall of 1, which is never reached. Their mean is 0.69.

# %%
right = torch.tensor([1.0, 1, 0, 1, 0])
precision, recall = right.cumsum(0) / torch.arange(1, 6), right.cumsum(0) / 4
reached = [precision[recall >= level] for level in (0.25, 0.5, 0.75, 1.0)]
best = [each.max().item() if len(each) else 0.0 for each in reached]
print("best precision for each recall", best, f"  AP {sum(best) / 4:.2f}")
claim(abs(sum(best) / 4 - 0.6875) < 1e-6, "by hand it was (1 + 1 + 3/4 + 0) / 4")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(4.6, 2.5))
ax.bar(
    [0.125, 0.375, 0.625, 0.875],
    best,
    0.25,
    color="#cfe8df",
    ec="white",
    label="AP is this area",
)
for n, (x, y, hit) in enumerate(zip(recall, precision, right, strict=True)):
    ax.plot(x, y, "o" if hit else "x", color="#009e73" if hit else "#d55e00", ms=7)
    ax.annotate(f"box {n + 1}", (x, y), (5, -11), textcoords="offset points", size=8)
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.1))
ax.set(
    xticks=(0, 0.25, 0.5, 0.75, 1),
    title="Four truths, five boxes: circles right, crosses wrong",
)
ax.legend(loc="lower left")
plots.show(
    fig,
    "Precision against recall after each of five boxes, and under them an area of steps: 1 up to a recall of a"
    " half, 3/4 up to three quarters, then 0.",
)

# %% [markdown]
# A baseline that looks at no picture, and puts the likeliest boxes everywhere, is printed beside the detectors.

# %%
known = result("detection")
backbones = known["costs"]
rows = {name: [run for run in known["runs"] if run["backbone"] == name] for name in backbones}
for name, spent in backbones.items():
    told = f"{spent['parameters']:,} parameters, {spent['multiply_adds']:,} multiply-adds"
    print(f"{name:6} {told}")

# %%
for name, runs in rows.items():
    ap, ap50 = (sorted(run[key] for run in runs) for key in ("AP", "AP50"))
    print(f"{name:8} AP {ap[1]:.3f}, from {ap[0]:.3f} to {ap[2]:.3f}; AP50 {ap50[1]:.3f}")
blind = known["baseline"]
print(f"no look  AP {blind['AP']:.3f}; AP50 {blind['AP50']:.3f}")

# %%
base = torch.tensor([run["AP"] for run in rows["none"]], dtype=torch.float64)
for name in ("cbam", "sasa3"):
    other = torch.tensor([run["AP"] for run in rows[name]], dtype=torch.float64)
    mean, error = paired_difference(other, base)
    print(f"{name} against none: {mean:+.3f}, 95 % interval ± {4.303 * error:.3f}")
    claim((other < base).all() and mean < -4.303 * error, f"{name} finds less, in every seed")
claim(min(base) > 2 * blind["AP"], "every detector finds more than who does not look")

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(2, 3, figsize=(6.4, 4.6))
shown = rows["none"][0]["shown"][:3], rows["sasa3"][0]["shown"][:3]
for row, (name, found) in enumerate(
    zip(("no attention", "attention in stage 3"), shown, strict=True)
):
    for ax, picture, true, one in zip(axs[row], seen.image, seen.boxes, found, strict=False):
        plots.image(ax, picture, name)
        for left, top, right, bottom in true.tolist():
            edges = (left - 0.5, top - 0.5), right - left, bottom - top
            ax.add_patch(plt.Rectangle(*edges, fill=False, ec="white", lw=1.2, ls="--"))
        words = [f"{score:.1f}" for score in one["scores"]]
        framed(ax, one["boxes"], words, palette[row])
fig.suptitle("Dashed white: the truths. Coloured: what two detectors find, with their scores")
plots.show(
    fig,
    "Three test pictures, above with the boxes of the detector without attention, below with those of the one with stand-alone attention in stage 3; each box has a score of 0.3 or more."
    " Dashed white frames stand around the whole digits.",
)

# %% [markdown]
# ### What you should see
#
# At this one rate the detectors with attention find less: with CBAM and with attention in stage 3 average precision is
# lower than without any, in each of the three seeds, and by more than the interval. Whether that is the mechanism or the
# rate this table cannot tell; in section 13.4 the rate alone moved a network by two points. Besides, nothing was
# trained on pictures of another task before, and training is short.

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
# ### Networks that are trained already
#
# Three small networks come with the course, trained on two cores to read the one whole digit in such a picture: with
# CBAM in every block for two minutes, with stand-alone attention or with shifted windows in stages 2 and 3 for twenty.
# `kept.load` gives them, and `attncourse train kept` makes them again. They are far from
# perfect; but they have learnt something, and are there without waiting.

# %%
image, digit, scene = kept.pictures(200, 77)
for name in kept.names():
    told = kept.about(name)
    right = kept.accuracy(kept.load(name), image, digit)
    print(f"{name:12} {right:.1%} of 200 new pictures, {told['accuracy']:.1%} of 2,000")
    claim(right > 2 * told["baseline"], "more than twice as often right as who does not look")
print(f"always the most frequent digit: {told['baseline']:.1%}")

# %% [markdown]
# Where do they look? Both kinds of windows have two layers on 16 x 16 pixels. For 60 pictures we take the mean weight
# that pixels around the digit give to pixels of its box, beside what they would give if they read all pixels of
# their windows alike.


# %% jupyter={"source_hidden": true}
@torch.no_grad()
def looks(network, image):
    """The maps `head i j` of the layers of attention that are given 16 x 16 pixels."""
    found = []

    def see(layer, given, _):
        x = given[0]
        if x.shape[-1] == 16 and isinstance(layer, StandAloneSelfAttention2d):
            found.append(maps.from_windows(layer.attention(x)[0]))
        elif x.shape[-1] == 16:
            x = rearrange(x, "b c h w -> b h w c")
            found.append(maps.from_shifted(layer.windows, x))

    kinds = StandAloneSelfAttention2d, ShiftedWindowAttention2d
    hooks = [
        layer.register_forward_hook(see)
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    network(image)
    for hook in hooks:
        hook.remove()
    return found


def in_box(box):
    """True for the pixels of a 16 x 16 map whose middle lies in a box of the image."""
    x0, y0, x1, y1 = (box / 2).tolist()
    at = torch.arange(16) + 0.5
    down, across = (at > y0) & (at < y1), (at > x0) & (at < x1)
    return rearrange(down[:, None] & across, "h w -> (h w)")


# %% jupyter={"source_hidden": true}
def onto_digit(name):
    """For each layer the weight from around the box into it, and its share of the windows."""
    network, both = kept.load(name), []
    for picture, boxes in zip(image[:60], scene.boxes, strict=False):
        box = in_box(boxes[0])
        each = [layer.mean(0) for layer in looks(network, picture[None])]
        alike = [(layer > 0) / (layer > 0).sum(-1, keepdim=True) for layer in each]
        both.append([[m[~box][:, box].sum(-1).mean() for m in ms] for ms in (each, alike)])
    return torch.tensor(both).mean(0)


for name in ("stand_alone", "windows"):
    weight, share = onto_digit(name)
    for layer in range(2):
        print(f"{name:12} layer {layer + 1}: {weight[layer]:.2f}, if alike {share[layer]:.2f}")
    claim(weight[1] > 1.1 * share[1], "the second layer looks at the digit more than by chance")

# %%
each = {name: looks(kept.load(name), image[:1]) for name in ("stand_alone", "windows")}
explore(image[0], each, queries=(16, 16), keys=(16, 16), query=(4, 2), name="kept")

# %% [markdown]
# **What you should see.** The first layer of either network hardly prefers the digit; the second one does, with
# stand-alone attention most of all. With shifted windows a query cannot look beyond its window, and the windows of the
# two layers lie differently. A map shows where a layer reads, not why the network decides as it does.

# %% [markdown]
# ## Which mechanism would you take?
#
# That was the question of the opening. For networks of this size, trained for minutes: none. SE, non-local and position
# attention are ahead by less than chance. SE is the one to try first, for a tenth of a percent of the multiply-adds; but
# look at its time, a fifth more in the table of section 13.3. What costs three times the time must show a gain in
# *your* conditions before you take it; this chapter gives you the network, the budget and the tests to ask. With more data and time the answer may change, as
# it does in the papers.

# %% [markdown]
# ## What you have learnt
#
# | question | how it is answered |
# |---|---|
# | is a mechanism better? | in one network, at equal multiply-adds, tuned as much as the baseline |
# | is the difference real? | paired by seed, beside its interval; with many mechanisms, at a stricter level |
# | are these two networks different? | picture by picture, by a sign test; it does not know about seeds |
# | what is worth its cost? | the Pareto front, where nothing else is better and cheaper |
# | is a search worth its trouble? | beside as many networks drawn at random |
# | do small networks tell about large ones? | only where the conditions are alike: data, time, resolution |

# %% [markdown]
# ### Explain it to somebody
#
# <details><summary>1. Why equal multiply-adds, and what does that leave unequal?</summary>
#
# A wider network is better and dearer, so that a mechanism must be compared with what its cost would have bought
# elsewhere. Equal multiply-adds are not equal time or memory: attention in windows makes many small products and
# large intermediate maps, and takes longer for the same count.
#
# </details>
#
# <details><summary>2. Why look at differences seed by seed?</summary>
#
# The seed decides which pictures come when, and both networks share that. As far as it moves both accuracies in
# the same direction it cancels in the difference; how far that is, the data tell.
#
# </details>
#
# <details><summary>3. The sign test says p = 0.001, the paired t-test p = 0.3. Who is right?</summary>
#
# Both. These two trained networks differ; whether the two *mechanisms* do, over all seeds, is open.
#
# </details>
#
# <details><summary>4. Why must the baseline be tuned as much as the rest?</summary>
#
# Here the rate alone moved the network without attention from 42.1 to 44.0 %, more than most mechanisms did.
# Whoever tunes one side only measures the tuning.
#
# </details>
#
# <details><summary>5. Three seeds show nothing. Is the mechanism useless?</summary>
#
# That does not follow. The interval says how large an effect would have been seen; smaller ones stay
# possible, and at another size or with more data the answer may differ.
#
# </details>

# %% [markdown]
# ### What came after
#
# - [ResNet strikes back](https://arxiv.org/abs/2110.00476) (2021): three training recipes, several seeds, and
#   what of the newer networks' lead is left.
# - [A ConvNet for the 2020s](https://arxiv.org/abs/2201.03545) (2022): from ResNet to Swin's design in single
#   steps, each measured at equal cost.
# - [ConvNets Match Vision Transformers at Scale](https://arxiv.org/abs/2310.16764) (2023): the comparison of
#   this chapter at equal budgets of pre-training, up to 110,000 hours of TPU cores.
# - [Deep Reinforcement Learning at the Edge of the Statistical Precipice](https://arxiv.org/abs/2108.13264)
#   (2021): what few runs can show, with intervals instead of single numbers.
# - [Accounting for Variance in Machine Learning Benchmarks](https://arxiv.org/abs/2103.03098) (2021): which
#   sources of chance there are beside the seed of the weights, and how to compare in spite of them.

# %% [markdown]
# ### References
#
# - K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition, CVPR 2016.
#   https://arxiv.org/abs/1512.03385
# - P. Ramachandran, N. Parmar, A. Vaswani, I. Bello, A. Levskaya, J. Shlens: Stand-Alone Self-Attention in
#   Vision Models, NeurIPS 2019. https://arxiv.org/abs/1906.05909
# - T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan, S. Belongie: Feature Pyramid Networks for Object
#   Detection, CVPR 2017. https://arxiv.org/abs/1612.03144
# - T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: Focal Loss for Dense Object Detection, ICCV 2017.
#   https://arxiv.org/abs/1708.02002

# %% [markdown]
# Of comparing, testing and searching:
#
# - R. Wightman, H. Touvron, H. Jégou: ResNet strikes back, 2021. https://arxiv.org/abs/2110.00476
# - I. Bello et al.: Revisiting ResNets, NeurIPS 2021. https://arxiv.org/abs/2103.07579
# - Q. McNemar: Note on the sampling error of the difference between correlated proportions or
#   percentages, Psychometrika 1947. https://doi.org/10.1007/BF02295996
# - T. Akiba, S. Sano, T. Yanase, T. Ohta, M. Koyama: Optuna, KDD 2019. https://arxiv.org/abs/1907.10902
# - J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl: Algorithms for Hyper-Parameter Optimization, NeurIPS 2011.
# - A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009 (CIFAR-10).
