# %% [markdown]
# # 5 · Channel attention
#
# You will write the squeeze-and-excitation block, put it in four places of a residual block, and
# find out from the outside where it is; then gather-excite and ECA. You see gains that undo a
# photographic negative, and the papers' tables coming out. **75 min · CPU is enough**

# %%
import math
from collections.abc import Callable
from functools import cache, partial

import matplotlib.pyplot as plt
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint
from attncourse.book import claim, plots
from attncourse.papers import compare, compare_all, figure
from attncourse.tasks.channel import CueReader, PlaneReader, accuracy, cue_task, cues
from attncourse.tasks.channel import negatives, photographs, train, unseen_negatives
from attncourse.tasks.pictures import digits, photograph
from solutions.backbones import ResNet
from solutions.channel import PLACEMENTS, bottleneck, eca_window, gather_filters, identity

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` | images in a batch |
# | `c` | channels: feature maps, or planes |
# | `h` `w` | height and width in pixels |
# | `m` | middle of the bottleneck, `c` / reduction |
# | `u` `v` | rows and columns of a gathered map |

# %% [markdown]
# ## 5.1 Squeeze
#
# Look at the task first. Each image has eight planes. One of planes 0 to 3 is bright: the *cue*.
# If plane $i$ is bright, the answer is the sign of plane $4 + i$, and the other three signs are
# distraction.

# %%
torch.manual_seed(4)
drawn = cue_task(1)
fig, axs = plt.subplots(1, 8, figsize=(6.4, 1.5), sharey=True)
for c, ax in enumerate(axs):
    plots.signed(ax, drawn.image[0, c], "w", "h" * (c == 0), f"c = {c}", limit=3, bar=False)
    ax.set(xticks=[], yticks=[])
cue, answer = drawn.cue.item(), "minus" if drawn.answer.item() == 0 else "plus"
fig.suptitle(f"Plane {cue} is bright, so read plane {4 + cue}: {answer}", fontsize=9)
plots.show(
    fig, "Eight noisy planes; of the first four one is red, of the last four all are tinted."
)

# %% [markdown]
# Noise hides single pixels, not whole planes: the mean of 35 pixels is nearly six times as quiet.
# So sum up each plane by its mean.
#
# $$ z_c = \frac1{h\,w} \sum_{i=1}^{h} \sum_{j=1}^{w} x_{cij} \qquad\text{(Hu et al. 2018, eq. 2)} $$
#
# | | axes | what it is |
# |---|---|---|
# | $x$ | `b c h w` | feature maps |
# | $z$ | `b c` | the mean of each map |
#
# **Predict.** Shuffle the pixels of an image. What happens to $z$?
# <details><summary>Answer</summary>
#
# Nothing: a sum does not care for order. Where something is cannot be read from $z$.
#
# </details>

# %% [markdown]
# ### Exercise: `squeeze`

# %% exercise="channel.squeeze"

# %%
check("channel.squeeze", squeeze)

# %% [markdown]
# Stuck? `hint("channel.squeeze")` gives one hint at a time. To read on without solving it:
# `from solutions.channel import squeeze`.

# %%
torch.manual_seed(0)
x = torch.randn(2, 8, 5, 7)
pixels = rearrange(x, "b c h w -> b c (h w)")[..., torch.randperm(35)]
shuffled = rearrange(pixels, "b c (h w) -> b c h w", h=5)
claim((squeeze(shuffled) - squeeze(x)).abs().max() < 1e-6, "shuffled pixels, the same means")

# %% [markdown]
# ## 5.2 Excite: let the image set the gains
#
# A network that weighs the planes the same way in every image can only take a vote.
#
# **Predict.** With four signs, one of which counts, how often is the majority right?
# <details><summary>Answer</summary>
#
# 3 : 1 splits come up 8 times in 16 and the majority is then right 3 times in 4; all agree 2 times
# in 16; 6 times in 16 it is a tie. So
# $\tfrac{8}{16}\cdot\tfrac34 + \tfrac{2}{16} + \tfrac{6}{16}\cdot\tfrac12 = \tfrac{11}{16} \approx 0.69$.
#
# </details>

# %% [markdown]
# To do better, the weights must depend on the image:
#
# $$
# s = \sigma\bigl(W_\text{up}\,\mathrm{relu}(W_\text{down}\,z)\bigr), \qquad y = s \odot x
# \qquad \text{(eqs. 3 and 4)}
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $W_\text{down}$, $W_\text{up}$ | `m c`, `c m` | two layers, so that channels hear of each other |
# | $s$ | `b c` | gains, each in (0, 1) |
# | $y$ | `b c h w` | the maps, scaled |
#
# A sigmoid, not a softmax: several channels may be loud at once.

# %% [markdown]
# ### Exercise: `SqueezeExcite`
#
# The layers are there. Write `attention`, which computes $s$, and `forward`, which applies it. Two
# lines each.

# %% exercise="channel.squeeze_excite"

# %%
check("channel.squeeze_excite", SqueezeExcite)

# %% [markdown]
# Stuck? `hint("channel.squeeze_excite")`. To read on without solving it:
# `from solutions.channel import SqueezeExcite`.

# %%
torch.manual_seed(0)
x, layer = torch.randn(2, 12, 5, 7), SqueezeExcite(12, reduction=4)
nn.init.zeros_(layer.up.weight)
claim((layer(x) - x / 2).abs().max() < 1e-6, "with weights of 0 every gain is 1/2")

# %% [markdown]
# ### Does it find the cue?
#
# Gate the planes, average each, read the answer off linearly; 300 steps. Beside it the same
# network without a gate, three seeds each.


# %%
@cache
def cued(gated, seed):
    """A trained reader of cues, and its accuracy on images it has not seen."""
    gate = partial(SqueezeExcite, 8, reduction=1) if gated else nn.Identity
    net = train(lambda: CueReader(gate()), cues(300), seed)
    torch.manual_seed(100)
    seen = cue_task(4000)
    return net, accuracy(net, seen.image, seen.answer)


# %% tags=["nbval-ignore-output"]
scores = {gated: [cued(gated, seed)[1] for seed in range(3)] for gated in (True, False)}
for gated, name in ((True, "gated"), (False, "fixed")):
    print(f"{name}  {min(scores[gated]):.3f} … {max(scores[gated]):.3f}")
print(f"vote   {11 / 16:.3f}")
claim(min(scores[True]) > 0.98, "gains of the image's own: nearly always right")
claim(all(abs(s - 11 / 16) < 0.03 for s in scores[False]), "fixed weights: the vote, no more")

# %% [markdown]
# **What you should see.** The fixed network lands on the vote, give or take the images drawn. The
# gated one is right nearly always. If yours stays at the vote, look at the gains below: are they
# the same in every row?


# %%
@cache
def gated_images():
    """A trained reader with gates, images it has not seen, and the gains it gives them."""
    net = cued(True, 0)[0]
    torch.manual_seed(100)
    seen = cue_task(4000)
    return net, seen, net.gate.attention(seen.image).detach()


# %%
_, seen, gains = gated_images()
by_cue = torch.stack([gains[seen.cue == i].mean(0) for i in range(4)])
fig, ax = plt.subplots(figsize=(4.5, 2.2))
plots.heat(ax, by_cue, "plane c", "cued plane", "Mean gain: the cue opens its own plane")
plots.show(fig, "Four rows of eight gains; in columns 4 to 7 the diagonal is the brightest.")
opened = by_cue[:, 4:].argmax(-1).tolist()
claim(opened == [0, 1, 2, 3], "cue i opens plane 4 + i the widest")

# %% [markdown]
# **What you should see.** Planes 4 to 7 form a bright diagonal: cue $i$ opens plane $4 + i$ and
# shuts the other three. Planes 0 to 3 carry no answer, and their gains mean nothing; they differ
# from seed to seed.

# %% [markdown]
# ### Ablation: is it the gain, or that the gain depends on the image?
#
# Leave the network as it is, but hand each image the gains of another. If the gate had only
# learned which planes matter *on average*, nothing would change.
#
# **Predict.** How often is it right with the gains of an image drawn at random?
# <details><summary>Answer</summary>
#
# One time in four the cue is the same. Otherwise it reads a plane whose sign is a coin toss:
# $\tfrac14 + \tfrac34\cdot\tfrac12 = \tfrac58$.
#
# </details>


# %%
@torch.no_grad()
def right_with(choose):
    """The share of right answers when the gains, b c, are chosen by hand."""
    net, seen, gains = gated_images()
    said = net.read(squeeze(seen.image) * choose(gains)).argmax(-1)
    return (said == seen.answer).float().mean().item()


# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
choices = (lambda s: s, lambda s: s.mean(0), lambda s: s[torch.randperm(len(s))])
shares = [right_with(choose) for choose in choices]
for whose, share in zip(("its own", "the mean image", "another image"), shares, strict=True):
    print(f"gains of {whose:15} {share:.3f}")
claim(shares[0] > 0.98, "its own gains: nearly always right")
claim(abs(shares[1] - 11 / 16) < 0.06, "the mean image's: about the vote")
claim(abs(shares[2] - 5 / 8) < 0.03, "another image's: about 5/8, worse than none")

# %% [markdown]
# **What you should see.** About 1, 11/16 and 5/8. A wrong cue is worse than none. What helps is
# not the gain but its dependence on the image.

# %% [markdown]
# ## 5.3 A real one: digits, and their negatives
#
# Each digit is photographed in colour under a lamp of random colour. Half of the photographs are
# negatives, as on film. Six planes: red, green and blue from -1 to 1, and minus these. Gains in
# (0, 1) can undo the negative: open the other three planes.

# %%
torch.manual_seed(0)
found = digits()
few = type(found)(found.image[:8], found.label[:8])
shown = photographs(few, torch.tensor([0, 1] * 4))[:, :3]
fig, axs = plt.subplots(1, 8, figsize=(6.4, 1.2))
for ax, picture, label in zip(axs, shown, few.label.tolist(), strict=True):
    plots.image(ax, picture, f"{label}", low=-1, high=1)
plots.show(fig, "Eight coloured digits on black, every other one a negative: dark on light.")

# %% [markdown]
# **Predict.** Scores that are linear in the planes, with fixed weights, are what a network has
# without gains. Show every image and its negative. What is the best share of right answers, for
# ten classes as frequent as each other?
# <details><summary>Answer</summary>
#
# The margin of class A over B is $d(x) = w \cdot x + k$, and for the negative $d(-x) = 2k - d(x)$.
# Right on both takes $k > 0$. Seen from B it is $-k$. So one class at most can be right on both
# of a pair, the other nine on one of two: $(2 + 9)/20 = 0.55$.
#
# </details>

# %% [markdown]
# The network: gate the six planes, take their mean, and read ten scores off its 64 pixels. All is
# linear but the gate. A baseline learns six gains that are the same for all images; a reference
# sees no negatives, in training or test, so there is nothing to undo.


# %%
class OwnGains(nn.Module):
    """One gain a plane, learned, the same for every image."""

    def __init__(self, channels):
        super().__init__()
        self.gains = nn.Parameter(torch.randn(channels))

    def forward(self, x):
        return x * rearrange(self.gains, "c -> c 1 1")


# %%
@cache
def read(make, share=0.5, seed=0):
    """A trained reader with this gate, and its accuracy on digits it has not seen."""
    net = train(lambda: PlaneReader(make(6)), negatives(300, share), seed)
    return net, accuracy(net, *unseen_negatives(share))


def report(name, make, share=0.5, seeds=5):
    """Print and return lowest, median and highest accuracy over the seeds."""
    low, *_, high = all_ = sorted(read(make, share, seed)[1] for seed in range(seeds))
    middle = all_[seeds // 2]
    print(f"{name:34} {low:.3f} … {middle:.3f} … {high:.3f}")
    return low, middle, high


# %% tags=["nbval-ignore-output"]
excite = partial(SqueezeExcite, reduction=1)
print("lowest, median and highest of 5 seeds")
fixed = report("the same gains for all images", OwnGains)
gated = report("squeeze-and-excitation", excite)
alone = report("no negatives (reference)", OwnGains, share=0)
claim(fixed[-1] < 0.55, "fixed gains stay below 11/20")
claim(gated[1] > 0.85, "with gains of its own, an image and its negative are read alike")
claim(gated[1] > alone[1] - 0.03, "nearly as well as where there are no negatives")

# %% [markdown]
# **What you should see.** About 0.92 for the reference: a linear reader misreads one digit in
# twelve anyway. The gate comes within a point or two; of 30 other seeds, 28 did, and two stayed at
# 0.5 (the ablation says why). Fixed gains are far below their own ceiling of 0.55: to reach it a
# reader must give up half of every class but one, and cross-entropy, which punishes being
# sure and wrong, prefers to know nothing.

# %%
best = max((read(excite, seed=seed) for seed in range(5)), key=lambda result: result[1])
gains = best[0].gate.attention(unseen_negatives()[0]).detach()
rows = torch.stack([gains[:450].mean(0), gains[450:].mean(0)])
fig, ax = plt.subplots(figsize=(5.2, 1.8))
plots.heat(ax, rows, "plane c", "", "Mean gains: the negative opens the other planes")
ax.set(xticks=range(6), xticklabels=["r", "g", "b", "-r", "-g", "-b"])
ax.set(yticks=[0, 1], yticklabels=["positive", "negative"])
plots.show(fig, "Two rows of six gains: where one row is bright the other is dark.")
halves = reduce(rows, "film (sign rgb) -> film sign", "mean", rgb=3)
flip = (halves[0, 0] - halves[0, 1]) * (halves[1, 0] - halves[1, 1])
claim(flip < 0, "the planes that a positive opens are those that its negative shuts")

# %% [markdown]
# ### Ablation: how narrow may the middle be?
#
# With reduction 1 there are 6 hidden units, with 2 there are 3. In principle two would do: one
# that fires on positives, one on negatives.

# %% tags=["nbval-ignore-output"]
narrow = report("squeeze-and-excitation, m = 3", partial(SqueezeExcite, reduction=2), seeds=8)
claim(narrow[-1] > 0.85, "with 3 hidden units the task can be solved")

# %% [markdown]
# **What you should see.** The best seeds are as good as before, but more of them stay near 0.5 (7
# of 30 when this was written, with 6 units 2 of 30): all hidden units fire on the same kind of film,
# the other kind never gets a gradient, and half of the images stay unread. A ReLU that never fires
# does not learn.

# %% [markdown]
# ## 5.4 What it costs, and the paper's table
#
# Squeeze-and-excitation stands in every block of a network. ResNet-50 has 3, 4, 6 and 3 blocks
# with 256, 512, 1024 and 2048 channels at their end.
#
# **Predict.** How many weights does it add, without biases, with reduction 16?
# <details><summary>Answer</summary>
#
# Two matrices of $c \cdot c/16$ a block:
# $\tfrac{2}{16}(3\cdot256^2 + 4\cdot512^2 + 6\cdot1024^2 + 3\cdot2048^2) = 2\,514\,944$.
# Nearly two thirds of it in the last three blocks.
#
# </details>
#
# $$ \frac{2}{r} \sum_{s} N_s\, C_s^2 \qquad\text{(eq. 5, without biases)} $$

# %% [markdown]
# ### Exercise: `added_parameters`
#
# Write it with the biases that `bias=True` asks for. `bottleneck(channels, reduction)` is $m$.

# %% exercise="channel.added_parameters"

# %%
check("channel.added_parameters", added_parameters)

# %% [markdown]
# Stuck? `hint("channel.added_parameters")`. To read on without solving it:
# `from solutions.channel import added_parameters`.

# %%
blocks = ((3, 256), (4, 512), (6, 1024), (3, 2048))
biased = partial(SqueezeExcite, bias=True)
with torch.device("meta"):  # shapes without numbers
    networks = ResNet(50), ResNet(50, SqueezeExcite), ResNet(50, biased)
plain, se, se_biased = (sum(p.numel() for p in net.parameters()) for net in networks)
print(f"ResNet-50 {plain:,}   + SE {se:,}   + SE with biases {se_biased:,}")
claim(se - plain == added_parameters(blocks), "formula and network agree")
claim(se_biased - plain == added_parameters(blocks, bias=True), "… with biases too")

# %% [markdown]
# **What you should see.** 25,557,032, then 28,071,976 and 28,088,024. Now the paper's own table,
# built here and counted by its rule. The authors count what a file of theirs stores: running means
# and variances of the batch norms too, and biases, which eq. 5 leaves out.

# %%
compare_all("senet.table10")

# %%
rows = [compare(f"senet.table10.se-resnet-50-r{r}") for r in (4, 8, 16, 32)]
for built in rows:
    print(f"{built.row.label:18} top-1 error {built.row.printed['top-1 error']}")
claim(all(built.agrees for built in rows), "all four counts agree with the printed ones")

# %% [markdown]
# Errors are theirs; nothing here was trained on ImageNet. From $r = 32$ to 16 the error falls by
# 0.44, from 16 to 4 by 0.03 for 7.5 million weights. The authors took 16.
#
# Beware of comparing across papers. ResNet-50 itself has an error of 24.80 in the conference version
# and of 23.30 in the journal's, for another schedule. And CBAM's Table 1 prints 25.92 M for
# squeeze-and-excitation, which is ResNet-50 with *BAM*; its Table 4 has it right.

# %%
compare_all("senet.table16")

# %% [markdown]
# **What you should see.** *NoSqueeze* runs the same two layers at every pixel: as many weights, a
# tenth more multiply-adds, and an error of 22.93 where the mean gives 22.28. The mean is no
# shortcut; what the whole image says is what helps. One figure does not come out: 3.87 G is printed
# for SE, and 3.860 counted, which CBAM's Table 4 prints as well.

# %% [markdown]
# ## 5.5 Four places for a gate
#
# A residual block adds a branch $F$ to its input. Where should the gate $G$ stand?
#
# | placement | $y$ | their error |
# |---|---|---|
# | standard | $\mathrm{relu}(x + G(F(x)))$ | 22.28 |
# | pre | $\mathrm{relu}(x + F(G(x)))$ | 22.23 |
# | post | $G(\mathrm{relu}(x + F(x)))$ | 22.78 |
# | identity | $\mathrm{relu}(G(x) + F(x))$ | 22.20 |
#
# (SENet, journal version, Table 14; top-1 of ResNet-50 in per cent.) Where a block changes the size,
# $x$ on the left of the sum is `shortcut(x)`.

# %%
names = ("SE", "SE-PRE", "SE-POST", "SE-Identity")
table = [figure(f"senet.table14.{name.lower()}") for name in names]
for name, row in zip(PLACEMENTS, table, strict=True):
    print(f"{name:9} {row.printed['top-1 error']}")

# %% [markdown]
# ### Exercise: `residual`

# %% exercise="channel.residual"

# %%
check("channel.residual", residual)

# %% [markdown]
# Stuck? `hint("channel.residual")`. To read on without solving it:
# `from solutions.channel import residual`.
#
# **Predict.** A new block often starts with $F = 0$ (the last batch norm has weight 0), so that
# the network begins as if the block were not there. For which placements is that still so?
# <details><summary>Answer</summary>
#
# For standard and pre: what is gated is 0. In post and identity $x$ itself goes through the gate.
#
# </details>

# %%
torch.manual_seed(0)
x, gate = torch.rand(2, 8, 5, 7), SqueezeExcite(8, reduction=2)
left = {p: residual(x, torch.zeros_like, gate, p) for p in PLACEMENTS}
for placement in ("standard", "pre"):
    claim(torch.equal(left[placement], x), f"{placement}: with F = 0 the block is not there")
for placement in ("post", "identity"):
    claim(torch.equal(left[placement], gate(x)), f"{placement}: with F = 0 the gate is left")

# %% [markdown]
# ### Which one is it?
#
# You are handed a block and may not look inside. You may choose its branch and its gate. Let the
# gate halve, `lambda t: t / 2`, and let $x = 1$.
#
# **Predict.** What comes out of each of the four for $F = 0$, and how much more for $F = 1$?
# <details><summary>Answer</summary>
#
# | | $F = 0$ | $F = 1$ adds |
# |---|---|---|
# | standard | 1 | 1/2 |
# | pre | 1 | 1 |
# | post | 1/2 | 1/2 |
# | identity | 1/2 | 1 |
#
# </details>

# %% [markdown]
# ### Exercise: `placement_of`
#
# It returns one of the four names, or "none of the four".

# %% exercise="channel.placement_of"

# %%
check("channel.placement_of", placement_of)

# %% [markdown]
# Stuck? `hint("channel.placement_of")`. To read on without solving it:
# `from solutions.channel import placement_of`.


# %%
def drawn_so(x, branch, gate):
    """The gate scales the branch, as the paper draws it."""
    f = branch(x)
    return F.relu(gate(f) + x)


def mistaken(x, branch, gate):
    """As in a bug that somebody reported: the gate stands on the shortcut."""
    return F.relu(branch(x) + gate(x))


print(placement_of(drawn_so), "·", placement_of(mistaken))
claim(placement_of(drawn_so) == "standard", "the gate on the branch")
claim(placement_of(mistaken) == "identity", "the gate on the shortcut")

# %% [markdown]
# **What you should see.** Two numbers tell the four apart, without training. A block that has no
# gate at all reads as "pre": a branch that returns a constant does not show what it was given. A
# third probe, with a branch that returns its input, would tell.

# %% [markdown]
# ## 5.6 Gather-excite: attention of any reach
#
# Squeeze-and-excitation gives one gain to a whole map. Gather-excite (Hu et al. 2018, NeurIPS) asks
# how far a pixel should look: *gather* around every $e$-th pixel, then let every pixel take the
# gain of the nearest. Extent $e$ gathers what is nearer than $e$ rows and columns.

# %%
grey = reduce(photograph("china", 48, 72), "h w rgb -> 1 1 h w", "mean")
fig, axs = plt.subplots(1, 4, figsize=(6.4, 1.5))
views = {"a photograph": grey}
for e in (2, 8):
    parts = F.avg_pool2d(grey, 2 * e - 1, e, e - 1, count_include_pad=False)
    views[f"extent {e}"] = F.interpolate(parts, (48, 72))
views["the whole map"] = grey.mean().expand(1, 1, 48, 72)
for ax, (title, view) in zip(axs, views.items(), strict=True):
    plots.image(ax, view[0, 0], title)
plots.show(fig, "A temple, then in ever coarser squares, at last one even grey.")

# %% [markdown]
# | form | gather | weights |
# |---|---|---|
# | θ⁻ | mean of what is nearer than $e$ | none |
# | θ | filters, one a channel, and batch norm | $(hw + 2)\,c$; local: $(9 + 2)\,c$ a halving |
# | θ⁺ | θ, then ReLU and the two layers of 5.2 | both |
#
# $$ y = x \odot \sigma\bigl(\text{spread}(\text{gather}(x))\bigr) $$
#
# θ of the whole map is one filter as large as the map; a local θ halves the map by 3x3 filters,
# once for $e = 2$, twice for 4, with a ReLU between.

# %% [markdown]
# ### Exercise: `gather`
#
# θ⁻ first. Around pixel 0, extent $e$ reaches $e - 1$ pixels to one side: what is beyond the border
# counts neither as a value nor as a pixel. On an axis of 7 with $e = 2$ there are means around 0,
# 2, 4 and 6.

# %% exercise="channel.gather"

# %%
check("channel.gather", gather)

# %% [markdown]
# Stuck? `hint("channel.gather")`. To read on without solving it:
# `from solutions.channel import gather`.
#
# ### Exercise: `GatherExcite`
#
# `__init__` makes `self.filters` (None for θ⁻) and `self.layers` (None but for θ⁺, where its
# ReLU comes with them). Write what goes through what. Spread with `F.interpolate(…, (h, w))`.

# %% exercise="channel.gather_excite"

# %%
check("channel.gather_excite", GatherExcite)

# %% [markdown]
# Stuck? `hint("channel.gather_excite")`. To read on without solving it:
# `from solutions.channel import GatherExcite`.
#
# **Predict.** What is θ⁻ of the whole map with the two layers behind it? And θ⁻ whose extent is
# larger than the map?
# <details><summary>Answer</summary>
#
# Squeeze-and-excitation, with biases. And θ⁻ of the whole map: around pixel 0 everything is
# near, and there is no second mean.
#
# </details>

# %%
torch.manual_seed(0)
x, se = torch.randn(2, 12, 5, 7), SqueezeExcite(12, 4, bias=True)
ge = GatherExcite(12, reduction=4)
for mine, theirs in ((ge.layers[1], se.down), (ge.layers[3], se.up)):
    weight = rearrange(theirs.weight.detach(), "m c -> m c 1 1")
    mine.load_state_dict({"weight": weight, "bias": theirs.bias.detach()})
claim((ge(x) - se(x)).abs().max() < 1e-6, "means of the whole map and two layers: SE itself")
wide = GatherExcite(12, extent=7)(x) - GatherExcite(12)(x)
claim(wide.abs().max() < 1e-6, "an extent as large as the map is the whole map")

# %% [markdown]
# **What you should see.** Both equalities hold: squeeze-and-excitation is one member of a family.
# If the second fails on your side, look at the border: do zeros count as pixels?

# %% [markdown]
# ### The negatives once more, and the paper's table
#
# θ⁻ has no weights at all: its gains are $\sigma(\text{mean})$. For the planes of 5.3 the mean of a
# dark plane is about -0.5, of its negative 0.5.
#
# **Predict.** What are these gains? What is left of $p$ and $-p$ in the mean of the six planes?
# <details><summary>Answer</summary>
#
# About $\sigma(-0.5) = 0.38$ and $\sigma(0.5) = 0.62$. The dark plane is left with
# $0.38 - 0.62$: turned round, in a positive as in a negative.
#
# </details>

# %% tags=["nbval-ignore-output"]
print("lowest, median and highest of 5 seeds")
bare = report("θ⁻, no weights in the gate", GatherExcite)
claim(0.8 < bare[0], "gains of 0.38 and 0.62 break the tie between a plane and its negative")
learned = sorted(read(excite, seed=seed)[1] for seed in range(5))
claim(bare[-1] < learned[2], "and fall short of gains that are learned")

# %% [markdown]
# **What you should see.** Nearly 0.9. Planes come in pairs $p$ and $-p$, so the mean of both is
# $(s_1 - s_2)\,p$: whichever of the two is the lighter wins, in a positive and in its negative. A
# small difference is enough for a sign, and the reader scales it up. It does not have to be learned.

# %%
compare_all("gather-excite.table1")

# %% [markdown]
# **What you should see.** All parameters come out; "stage 2" of the paper is the first of the four.
# One of the FLOPs does not: the paper prints 3.87 G for all stages, the filters and the network
# make 3.863. What else they counted is not said.
#
# The earliest stage costs most ($56 \times 56$ weights a channel) and helps least: an error of 23.29
# beside 23.30 without.

# %% [markdown]
# ## 5.7 ECA: what came after
#
# Two layers of $c \cdot c/r$ weights, only to let channels hear of each other? ECA (Wang et al. 2020)
# slides *one* small filter along the list of channels:
#
# $$ s = \sigma(k * z), \qquad \text{window } \Bigl|\tfrac{\log_2 c}{2} + \tfrac12\Bigr|_\text{odd} $$
#
# | | axes | what it is |
# |---|---|---|
# | $z$, $s$ | `b c` | means and gains, as before |
# | $k$ | `window` | 3, 5 or 7 weights, the same for all channels |
#
# **Predict.** How many weights does it add to ResNet-50?
# <details><summary>Answer</summary>
#
# The windows are 5, 5, 5 and 7 for 256 to 2048 channels:
# $3\cdot5 + 4\cdot5 + 6\cdot5 + 3\cdot7 = 86$.
#
# </details>

# %% [markdown]
# ### Exercise: `ECA`

# %% exercise="channel.eca"

# %%
check("channel.eca", ECA)

# %% [markdown]
# Stuck? `hint("channel.eca")`. To read on without solving it:
# `from solutions.channel import ECA`.

# %%
with torch.device("meta"):
    added = sum(p.numel() for p in ResNet(50, ECA).parameters()) - plain
print(f"ECA {added}   SE {added_parameters(blocks):,}")
claim(added == 86, "86 weights in the whole of ResNet-50")

# %% tags=["nbval-ignore-output"]
print("lowest, median and highest of 5 seeds")
slid = report("ECA, 3 weights", partial(ECA, window=3))
claim(slid[0] > 0.85, "three weights undo the negative too")

# %% [markdown]
# **What you should see.** 86 in place of 2.5 million, and the negatives are read. But who is whose
# neighbour in the list of channels is an accident of training: here neighbours happen to be of the
# same sign. Move the planes, and ECA's gains change otherwise than by moving.

# %%
torch.manual_seed(0)
x, order = torch.randn(2, 12, 5, 7), torch.randperm(12)
for gate, minds in ((GatherExcite(12), False), (ECA(12, window=3), True)):
    apart = (gate(x[:, order]) - gate(x)[:, order]).abs().max()
    name = "θ⁻ does not mind" if not minds else "ECA minds"
    claim((apart > 1e-3) == minds, f"{name} the order of the channels")

# %% [markdown]
# ## 5.8 Gains by class and by depth
#
# The paper's best figure: in a trained network, do the gains depend on what the image shows? Take
# a small ResNet-18 with squeeze-and-excitation in all eight blocks, 60 steps on the digits, and
# record the gains of each block for the digits it has not seen.


# %%
@cache
def gains_of_digits(seed):
    """For each block the gains on unseen digits, b c, of a network trained for 60 steps."""
    torch.manual_seed(seed)
    stem = nn.Conv2d(1, 64, 3, padding=1)
    net = ResNet(18, SqueezeExcite, classes=10, stem=stem, widen=0.5)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(60):
        chosen = torch.randint(len(found.label), (64,))
        loss = F.cross_entropy(net(found.image[chosen]), found.label[chosen])
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    return recorded(net.eval())


# %%
test = digits(test=True)


@torch.no_grad()
def recorded(net):
    """The gains of every gate while the unseen digits pass, and how many are named rightly."""
    gates = [layer for layer in net.modules() if isinstance(layer, SqueezeExcite)]
    seen = []
    for gate in gates:
        gate.register_forward_pre_hook(lambda gate, given: seen.append(gate.attention(*given)))
    right = (net(test.image).argmax(-1) == test.label).float().mean().item()
    return seen, right


# %%
seen, right = gains_of_digits(0)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.6), sharey=True)
for ax, block in zip(axs, (1, 5, 7), strict=True):
    classes = torch.stack([seen[block][test.label == d].mean(0) for d in range(10)])
    for d in (0, 1, 4, 8):
        ax.plot(classes[d, :32], label=f"{d}", lw=1)
    ax.plot(classes.mean(0)[:32], color="black", lw=1.6, label="all")
    ax.set(xlabel="channel c", title=f"block {block + 1} of 8", ylim=(0, 1))
axs[0].set_ylabel("mean gain")
axs[0].legend(ncols=2, fontsize=8)
plots.show(fig, "Mean gains of four digits: one line early, wildly apart in the last block.")


# %%
def apart(seed):
    """For each block how far the classes' mean gains are apart: their standard deviation."""
    gains, _ = gains_of_digits(seed)
    means = [torch.stack([s[test.label == d].mean(0) for d in range(10)]) for s in gains]
    return torch.stack([by_class.std(0).mean() for by_class in means])


# %% tags=["nbval-ignore-output"]
spread = torch.stack([apart(seed) for seed in range(3)])
rights = [gains_of_digits(seed)[1] for seed in range(3)]
print("digits named rightly, 3 seeds:", " ".join(f"{r:.2f}" for r in rights))
print("apart, block by block:", " ".join(f"{s:.3f}" for s in spread.mean(0)))
claim(min(rights) > 0.75, "the networks name most digits")
claim((spread[:, :4].amax(1) < 0.02).all(), "early blocks: all classes have the same gains")
claim((spread[:, 6:].amin(1) > 0.05).all(), "the last two blocks: every class has its own")

# %%
fig, ax = plt.subplots(figsize=(4.6, 2.4))
curves = {f"seed {seed}": apart(seed) for seed in range(3)}
title = "The deeper, the more a gain says of the class"
plots.lines(ax, range(1, 9), curves, "block", "classes apart (std of gains)", title)
plots.show(fig, "Three curves near 0 up to block 4, then rising to about 0.12.")

# %% [markdown]
# **What you should see.** As in the paper (section on the role of excitation): early gains are the
# same for all classes, late ones say what the image shows. Two things differ. After 60 steps the early
# gains have hardly left 1/2, where they began. And in the paper's SE-ResNet-50 the last two gates tell
# the classes apart less again, one of them near 1 throughout; here they do so the most.
#
# Next: gains for places, not only for channels.
