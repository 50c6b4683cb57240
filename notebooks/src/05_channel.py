# %% [markdown]
# # 5 · Channel attention
#
# By 2017 convolutional networks had grown deep, and most of the effort had gone into *where* they
# look: larger receptive fields, several scales side by side, connections that skip layers. Much less
# had gone into *which* of its own feature maps, its **channels**, a layer should believe. A convolution
# adds its input channels up with weights that are the same for every image, so that a map which detects
# fur has the same say in a photograph of a car as in one of a dog.

# %% [markdown]
# Jie Hu, Li Shen and Gang Sun made this their question in
# [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507) (CVPR 2018). Their block looks
# at the whole image, computes a **gain** for each channel, and multiplies every channel by its gain. It
# adds a tenth to the weights of a ResNet-50 and next to nothing to its computation.
#
# Three questions are open at this point, and the chapter answers them. Does it help that a channel is
# scaled, or that the *image* decides how? How many weights does this take? And must the gain be one for
# the whole map?

# %% [markdown]
# ### What came of it
#
# | ImageNet, one crop of 224 x 224 | top-1 error | with the block |
# |---|---|---|
# | ResNet-50 | 24.80 % | 23.29 % |
# | ResNet-101 | 23.17 % | 22.38 % |
# | ResNeXt-50 | 22.11 % | 21.10 % |
#
# (Table 2 of the paper.) A ResNet-50 with the block is nearly as good as a ResNet-101 without it, at
# half the computation. Networks built from such blocks won the last ImageNet challenge, ILSVRC 2017:
# the paper's abstract reports a top-5 error of 2.251 %, a quarter less than the winner of the year
# before. The block has stayed in use. You meet it inside
# [MobileNetV3](https://arxiv.org/abs/1905.02244) and
# [EfficientNet](https://arxiv.org/abs/1905.11946), and the mechanisms of chapter 06 start from it.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | the squeeze-and-excitation block and its four places in a residual block; gather-excite; ECA | gains that undo a photographic negative; gains drawn over a photograph; the papers' tables, counted to the digit | `reduce` and `rearrange` from chapter 00 |
#
# **About 2 hours**, of which 57 minutes are exercises. A CPU is enough.
#
# | letter | what it counts |
# |---|---|
# | `b` | images in a batch |
# | `c` | channels, which are feature maps or the colour channels of an image |
# | `h` `w` | height and width in pixels |
# | `m` | middle of the bottleneck, `c` divided by the reduction |
# | `u` `v` | rows and columns of a gathered map |
#
# Besides, $s$ is the gains, $e$ the extent in section 5.6, and $k$ the filter of section 5.7. Queries, keys
# and values do not occur in this chapter.

# %%
import math
from collections.abc import Callable
from functools import cache, partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint
from attncourse.book import claim, diagrams, plots
from attncourse.papers import compare_all, figure
from attncourse.tasks.channel import CueReader, PlaneReader, accuracy, cue_task, cues
from attncourse.tasks.channel import negatives, photographs, train, unseen_negatives
from attncourse.tasks.pictures import digits, photograph
from solutions.backbones import ResNet
from solutions.channel import PLACEMENTS, bottleneck, eca_window, gather_filters, identity

# %% [markdown]
# ## 5.1 Squeeze, excite, scale
#
# The block works in three steps. It first **squeezes** each feature map into one number, its mean
# over all pixels, which is called **global average pooling**. From these `c` numbers a small network
# with a **bottleneck** of `m` units computes `c` gains between 0 and 1: it **excites** some
# channels and quiets others. Finally it **scales** every channel by its gain. A module that does this is
# called a **gate**, since it lets through a part of what it is given.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16.6, 5.6)
gains, means = [0.15, 0.9, 0.35, 0.7, 0.05, 1.0], [0.9, 0.6, 0.75, 0.5, 1.0, 0.7]
tints = [diagrams.shade(diagrams.DATA, mean) for mean in means]
x = diagrams.tensor(ax, 0.5, 1.1, (1.3, 1.7, 1.5), "c h w", "x", tints)
z = diagrams.vector(ax, 5.2, 2.3, means, "c", "z")
down = diagrams.layer(ax, 6.1, 2.95, r"$W_\mathrm{down}$")
m = diagrams.vector(ax, 8.25, 2.94, [0.7, 0.2], "m")
up = diagrams.layer(ax, 9.1, 2.95, r"$W_\mathrm{up}$")
s = diagrams.vector(ax, 11.1, 2.3, gains, "c", "s", diagrams.ATTENTION)
pale = [diagrams.shade(diagrams.DATA, a * b) for a, b in zip(means, gains, strict=True)]
times = diagrams.join(ax, 12.5, 3.26, "×", radius=0.26)
y = diagrams.tensor(ax, 13.6, 1.1, (1.3, 1.7, 1.5), "c h w", "y = s x", pale)
steps = {"mean\nover h, w": ((3.4, 3.26), z), "": (z.right, down), "relu": (down.right, m)}
for text, (start, end) in (steps | {" ": (m.right, up), "σ": (up.right, s)}).items():
    diagrams.arrow(ax, start, end.left, text=text)
diagrams.arrow(ax, s.right, times.left)
diagrams.arrow(ax, times.right, (13.5, 3.26))
diagrams.arrow(ax, (1.25, 0.6), (1.25, 0.25), (12.5, 0.25), times.bottom)
for where, name in ((4.3, "1 squeeze"), (8.4, "2 excite"), (12.5, "3 scale")):
    diagrams.step(ax, where, 5.25, name)
plots.show(
    fig,
    "A stack of feature maps x is averaged over height and width to a vector z of length c. A layer"
    " W_down and a relu make m numbers of it, a layer W_up and a sigmoid the vector of gains s. Each"
    " map of x, which comes along below, is multiplied by its gain in a node ×: some maps of y are pale.",
)

# %% [markdown]
# ### Once by hand
#
# Take an image with three channels of 2 x 2 pixels, and a middle of one unit, $c = 3$ and $m = 1$:
#
# $$
# x_0 = \begin{pmatrix} 1 & 3 \\ 2 & 2 \end{pmatrix}, \quad
# x_1 = \begin{pmatrix} 0 & 0 \\ 4 & 0 \end{pmatrix}, \quad
# x_2 = \begin{pmatrix} 3 & 3 \\ 2 & 4 \end{pmatrix}, \qquad
# W_\text{down} = (1\;\; {-1}\;\; 0), \quad
# W_\text{up} = \begin{pmatrix} 2 \\ -2 \\ 0 \end{pmatrix}
# $$
#
# The means are $z = (2, 1, 3)$. The first layer gives the one number $2 - 1 = 1$, and the ReLU leaves it
# alone because it is positive. The second layer makes three numbers of it, $(2, -2, 0)$, and the sigmoid
# turns these into the gains $s = (0.88, 0.12, 0.50)$. The first channel passes almost unchanged, while
# the bright pixel of the second falls from 4 to about 0.48.

# %%
z = torch.tensor([2.0, 1.0, 3.0])
down, up = torch.tensor([[1.0, -1.0, 0.0]]), torch.tensor([[2.0], [-2.0], [0.0]])
s = (up @ (down @ z).relu()).sigmoid()
print("gains", *(f"{gain:.2f}" for gain in s), f"  the bright pixel becomes {4 * s[1]:.2f}")
apart = s - torch.tensor([0.88, 0.12, 0.5])
claim(apart.abs().max() < 0.005, "the gains are 0.88, 0.12 and 0.50")

# %% [markdown]
# ### In symbols
#
# $$
# z = \operatorname*{mean}_\text{pixels}\, x, \qquad
# s = \sigma\bigl(W_\text{up}\, \mathrm{relu}(W_\text{down}\, z)\bigr), \qquad
# y = s \odot x
# $$
#
# (Paper, eqs. 2 to 4.)
#
# | | axes | what it is |
# |---|---|---|
# | $x$, $y$ | `b c h w` | feature maps, before and after |
# | $z$ | `b c` | the mean of each map |
# | $W_\text{down}$, $W_\text{up}$ | `m c`, `c m` | two layers, through which channels learn of each other |
# | $s$ | `b c` | the gains, each between 0 and 1 |
#
# *Released code:* the authors' Caffe models keep a bias in both layers, and the equations have none.
# `bias=True` gives the released form.

# %% [markdown]
# The last step is a sigmoid and not a softmax, because channels do not exclude each other: several may
# be needed at once. The journal version of the paper compared sigmoid, tanh and ReLU in this place (Table
# 12): their errors are 22.28, 23.00 and 23.47 %.

# %% [markdown]
# **Predict.** Shuffle the pixels of an image, all channels alike. What happens to the gains?
#
# <details><summary>Answer</summary>
#
# Nothing happens to them. The mean of a map does not depend on the order of its pixels, and the gains
# depend on the means alone. The block sees *what* is in the image, and not *where* it is.
#
# </details>

# %% [markdown]
# ### Exercise: `squeeze`
#
# Step 1 of the diagram, in one line.

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
# ### Exercise: `SqueezeExcite`
#
# The layers are there. Write `attention`, which returns $s$, and `forward`, which applies it. Each
# takes one or two lines.

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
# ## 5.2 Why the image must set the gains
#
# The next task needs gains that differ from image to image. Each image has eight channels. One of the
# channels 0 to 3 is bright: it is the *cue*. If channel $a$ is bright, the answer is the sign of
# channel $4 + a$, and the signs of the other three are a distraction. In real images such cues are
# context: a map that responds to snow may decide whether the map for fur or the map for feathers is to
# be trusted.

# %% jupyter={"source_hidden": true}
torch.manual_seed(4)
drawn = cue_task(1)
fig, axs = plt.subplots(2, 4, figsize=(6.4, 2.9))
for c, ax in enumerate(axs.flat):
    plots.signed(ax, drawn.image[0, c], "", "", f"channel {c}", limit=3, bar=False)
    ax.set(xticks=[], yticks=[])
axs[0, 0].set_ylabel("cues")
axs[1, 0].set_ylabel("signs")
fig.supxlabel("red: above 0, blue: below 0", fontsize=8.5)
cue, answer = drawn.cue.item(), "minus" if drawn.answer.item() == 0 else "plus"
fig.suptitle(
    f"Channel {cue} is bright, so read channel {4 + cue}: the answer is {answer}", fontsize=9
)
plots.show(
    fig,
    "Eight noisy channels of 5 by 7 pixels. Of the upper four one is red all over, the cue; the lower"
    " four are each tinted red for plus or blue for minus.",
)

# %% [markdown]
# The noise hides single pixels but not whole channels, because the mean of 35 pixels is nearly six
# times less noisy than one pixel. A network that reads the means by one linear layer weighs the channels alike in
# every image, and can only take a vote among the signs.

# %% [markdown]
# **Predict.** With four signs, one of which counts, how often is the majority right? (A tie is
# decided by a coin.)
#
# <details><summary>Answer</summary>
#
# Splits of 3 to 1 come up 8 times in 16, and the majority is then right 3 times in 4. All four agree 2
# times in 16, and 6 times in 16 there is a tie. Together
# $\tfrac{8}{16}\cdot\tfrac34 + \tfrac{2}{16} + \tfrac{6}{16}\cdot\tfrac12 = \tfrac{11}{16} \approx 0.69$.
#
# </details>

# %% [markdown]
# Now train a network that gates the channels, averages each, and reads the answer off linearly. Beside
# it stands the same network without a gate; both take 300 steps, with three seeds each.


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
print("right, lowest to highest of 3 seeds")
for gated, name in ((True, "with the gate"), (False, "without it")):
    print(f"{name:14} {min(scores[gated]):.3f} … {max(scores[gated]):.3f}")
print(f"the vote       {11 / 16:.3f}")
claim(min(scores[True]) > 0.98, "with the gate, every seed is right in over 98 %")
claim(
    all(abs(s - 11 / 16) < 0.03 for s in scores[False]), "without it, 11/16, give or take 0.03"
)

# %% [markdown]
# **What you should see.** The network without a gate ends at the vote, up to the chance of the images
# drawn, and the one with the gate is right nearly always. If yours stays at the vote, look at the
# gains below: are they the same in every row?


# %%
@cache
def gated_images():
    """A trained reader with gates, images it has not seen, and the gains it gives them."""
    net = cued(True, 0)[0]
    torch.manual_seed(100)
    seen = cue_task(4000)
    return net, seen, net.gate.attention(seen.image).detach()


# %% jupyter={"source_hidden": true}
_, seen, gains = gated_images()
by_cue = torch.stack([gains[seen.cue == a].mean(0) for a in range(4)])
fig, ax = plt.subplots(figsize=(4.2, 2.4))
title = "Each cue opens its own channel"
plots.heat(ax, by_cue[:, 4:], "channel that holds a sign", "cue", title, bar=False)
ax.set(xticks=range(4), xticklabels=range(4, 8), yticks=range(4))
fig.colorbar(ax.images[0], ax=ax, label="mean gain")
plots.show(
    fig,
    "Four rows of gains, one for each cue, over the channels 4 to 7: the diagonal is the brightest.",
)
opened = by_cue[:, 4:].argmax(-1).tolist()
claim(opened == [0, 1, 2, 3], "cue a opens channel 4 + a the widest")

# %% [markdown]
# **What you should see.** The gains of channels 4 to 7 form a bright diagonal: cue $a$ opens channel
# $4 + a$ and closes the other three. The gains of channels 0 to 3 are not shown: these channels carry no
# answer, so that their gains differ from seed to seed.

# %% [markdown]
# ### Ablation: is it the gain, or that the gain depends on the image?
#
# Leave the network as it is, but give each image the gains of another one. If the gate had only
# learned which channels matter *on average*, nothing would change.
#
# **Predict.** How often is it right with the gains of an image drawn at random?
#
# <details><summary>Answer</summary>
#
# One time in four the cue happens to be the same. Otherwise the network reads a channel whose sign is
# a coin toss: $\tfrac14 + \tfrac34\cdot\tfrac12 = \tfrac58$.
#
# </details>


# %%
@torch.no_grad()
def right_with(choose):
    """The fraction of right answers when the gains, b c, are chosen by hand."""
    net, seen, gains = gated_images()
    said = net.read(squeeze(seen.image) * choose(gains)).argmax(-1)
    return (said == seen.answer).float().mean().item()


# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
choices = (lambda s: s, lambda s: s.mean(0), lambda s: s[torch.randperm(len(s))])
right = [right_with(choose) for choose in choices]
names = ("its own gains", "the mean gains of all images", "the gains of another image")
for whose, found in zip(names, right, strict=True):
    print(f"{whose:29} {found:.3f}")
claim(right[0] > 0.98, "its own gains: right in over 98 %")
claim(abs(right[1] - 11 / 16) < 0.06, "the mean gains of all images: within 0.06 of the vote")
claim(abs(right[2] - 5 / 8) < 0.03, "another image's gains: within 0.03 of 5/8")

# %% [markdown]
# **What you should see.** The three numbers are close to 1, 11/16 and 5/8. A wrong cue is worse than
# none. What helps is not that there is a gain, but that it depends on the image.

# %% [markdown]
# ## 5.3 Digits and their negatives
#
# Now the same idea with pictures. Each handwritten digit is photographed in colour under a lamp of
# random colour, and half of the photographs are negatives, as on film. A network is given six channels:
# red, green and blue from -1 to 1, and the same three with the opposite sign. Gains between 0 and 1 can
# undo the negative, by opening the other three channels. The negative stands for what differs between
# images for reasons that have nothing to do with their content: exposure, film, an infrared camera.

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
found = digits()
few = type(found)(found.image[:8], found.label[:8])
shown = photographs(few, torch.tensor([0, 1] * 4))[:, :3]
fig, axs = plt.subplots(2, 4, figsize=(5.2, 2.9))
for ax, picture, label in zip(axs.flat, shown, few.label.tolist(), strict=True):
    plots.image(ax, picture, f"a {label}", low=-1, high=1)
    ax.spines[:].set(visible=True, color="#999999")
fig.suptitle("Every other photograph is a negative", fontsize=9)
plots.show(
    fig, "Eight coloured digits: four on black, and four negatives, dark on a light ground."
)

# %% [markdown]
# **Predict.** Without gains, the scores of the classes are linear in the channels. Show every image
# together with its negative. What is the largest fraction of right answers, for ten classes that are
# equally frequent?
#
# <details><summary>Answer</summary>
#
# Compare two classes A and B. Their scores differ by $\ell(x) + q$, where $\ell$ is linear and $q$ a
# constant; for the negative they differ by $-\ell(x) + q$. Class A can win on both only if $q > 0$,
# and class B only if $q < 0$. So at most one of the ten classes can be right on both images of a pair,
# and the other nine on one of two: $(2 + 9)/20 = 0.55$. This is a ceiling. A trained network may stay far
# below it, near the 0.10 of guessing.
#
# </details>

# %% [markdown]
# The network gates the six channels, takes their mean, and reads ten scores off its 64 pixels. All of
# it is linear but the gate. A *baseline* learns six gains that are the same for all images, and a
# *reference* is trained and tested without negatives, so that it has nothing to undo.


# %%
class OwnGains(nn.Module):
    """One gain a channel, learned, the same for every image."""

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
print("right: lowest, median and highest of 5 seeds")
fixed = report("the same gains for all images", OwnGains)
gated = report("squeeze-and-excitation", excite)
alone = report("no negatives (reference)", OwnGains, share=0)
claim(fixed[-1] < 0.55, "fixed gains stay below 11/20")
claim(gated[1] > 0.85, "with gains of the image's own, the median is above 85 %")
claim(gated[1] > alone[1] - 0.03, "it comes within 3 points of the reference without negatives")

# %% [markdown]
# **What you should see.** The reference is right in about 92 of 100 cases, since a linear reader
# misreads one digit in twelve anyway, and the gated network comes within a point or two of it. Fixed
# gains stay near guessing, far below even their own ceiling of 11/20. A likely reason is the loss: to reach
# the ceiling, a reader would have to be wrong on half of the images of nine classes, and cross-entropy
# punishes confident mistakes so heavily that guessing costs less.

# %% jupyter={"source_hidden": true}
best = max((read(excite, seed=seed) for seed in range(5)), key=lambda result: result[1])
gains = best[0].gate.attention(unseen_negatives()[0]).detach()
rows = torch.stack([gains[:450].mean(0), gains[450:].mean(0)])
fig, ax = plt.subplots(figsize=(5.6, 2.2))
wide = "r, g, b" if rows[0, :3].mean() > rows[0, 3:].mean() else "−r, −g, −b"
title = f"This run reads positives through {wide}"
plots.heat(ax, rows, "channel", "", title, bar=False)
fig.colorbar(ax.images[0], ax=ax, label="mean gain")
ax.set(xticks=range(6), xticklabels=["r", "g", "b", "−r", "−g", "−b"])
ax.set(yticks=[0, 1], yticklabels=["positive", "negative"])
plots.show(fig, "Two rows of six gains: where one row is bright the other is dark.")
halves = reduce(rows, "film (sign rgb) -> film sign", "mean", rgb=3)
flip = (halves[0, 0] - halves[0, 1]) * (halves[1, 0] - halves[1, 1])
claim(flip < 0, "the three channels that a positive opens wider, its negative closes")

# %% [markdown]
# **What you should see.** Positives and negatives are read through opposite channels. The seed decides
# which three serve the positives, since the reader after the gate can turn all signs around.

# %% [markdown]
# ### Ablation: how narrow may the middle be? (may be skipped at first reading)
#
# With a reduction of 1 the middle has 6 units, with 2 it has 3. In principle two would do: one that
# fires on positives and one on negatives. Here are eight seeds of each.

# %% tags=["nbval-ignore-output"]
gates = {6: excite, 3: partial(SqueezeExcite, reduction=2)}
for m, gate in gates.items():
    scores = sorted(read(gate, seed=seed)[1] for seed in range(8))
    print(f"{m} units in the middle:", *(f"{score:.2f}" for score in scores))
    claim(scores[-1] > 0.85, f"with {m} units the best of eight seeds is above 85 %")

# %% [markdown]
# **What you should see.** The best seeds are as good with three units as with six. With three, two of the eight
# seeds stay near one half. One way to end there are **dead ReLUs**: if all units in the middle give 0 for one kind
# of film, its gains are all 1/2, a channel and its negative cancel, and no gradient passes through the units
# to change that.

# %% [markdown]
# ## 5.4 What it costs
#
# Squeeze-and-excitation stands in every block of a network. ResNet-50 has four **stages** of 3, 4, 6
# and 3 blocks, from which 256, 512, 1024 and 2048 channels come out. The reduction is 16.

# %% [markdown]
# **Predict.** Which stage gets the most weights added: the one with the most blocks or the one with
# the most channels? And what happens to their number if the images become twice as large?
#
# <details><summary>Answer</summary>
#
# The last stage does. The weights of a block grow with the *square* of its channels, so that three
# blocks with 2048 channels count twice as much as six with 1024. The size of the images does not
# matter, since the squeeze leaves nothing of it.
#
# </details>

# %% [markdown]
# ### Exercise: `added_parameters`
#
# Work the number out from the two layers of a block, for any number of stages and with the biases that
# `bias=True` asks for. `bottleneck(channels, reduction)` is `m`.

# %% exercise="channel.added_parameters"

# %%
check("channel.added_parameters", added_parameters)

# %% [markdown]
# Stuck? `hint("channel.added_parameters")`. To read on without solving it:
# `from solutions.channel import added_parameters`.
#
# The paper sums this up in its eq. 5. With $N$ blocks in a stage it reads, in the letters used here:
#
# $$ \frac{2}{\text{reduction}} \sum_{\text{stages}} N\, c^2 $$

# %%
blocks = ((3, 256), (4, 512), (6, 1024), (3, 2048))
biased = partial(SqueezeExcite, bias=True)
with torch.device("meta"):  # shapes without numbers
    networks = ResNet(50), ResNet(50, SqueezeExcite), ResNet(50, biased)
plain, se, se_biased = (sum(p.numel() for p in net.parameters()) for net in networks)
print(f"ResNet-50 {plain:,}   + SE {se:,}   + SE with biases {se_biased:,}")
last = added_parameters(blocks[3:]) / added_parameters(blocks)
print(f"added {added_parameters(blocks):,}, of which {last:.0%} in the last stage")
claim(se - plain == added_parameters(blocks), "formula and network agree")
claim(se_biased - plain == added_parameters(blocks, bias=True), "they agree with biases too")

# %% [markdown]
# **What you should see.** The block adds 2,514,944 weights to the 25,557,032 that ResNet-50 trains, a
# tenth. Nearly two thirds of them stand in the last stage.

# %% [markdown]
# ## 5.5 Four places for a gate
#
# A **residual block** adds what a branch $F$ of convolutions computes to its own input, which reaches
# the sum through a **shortcut** (or **skip connection**). The gate $G$ can stand in four places: after the
# branch (*standard*), before it (*pre*), after the sum (*post*), or on the shortcut (*identity*). The
# journal version of the paper compares them.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 7.4)
COLOURS = {"F": diagrams.LEARNED, "G": diagrams.ATTENTION, "relu": diagrams.HIDDEN}


def chain(ax, start, parts, at, y, end):
    """Boxes in a row, joined by arrows from start to end."""
    for part in parts:
        wide = 0.9 if part == "relu" else 0.8
        box = diagrams.layer(ax, at, y - 0.31, part, wide, colour=COLOURS[part.strip("$")])
        diagrams.arrow(ax, start, box.left)
        start, at = box.right, at + wide + 0.5
    diagrams.arrow(ax, start, *end)


places = {"standard": (["$F$", "$G$"], [], []), "pre": (["$G$", "$F$"], [], [])}
places |= {"post": (["$F$"], [], ["$G$"]), "identity": (["$F$"], ["$G$"], [])}
for number, (name, (branch, shortcut, after)) in enumerate(places.items()):
    x, y = 0.3 + 8.1 * (number % 2), 4.6 - 3.9 * (number // 2)
    ax.text(x, y + 2.3, name, weight="bold")
    diagrams.label(ax, (x, y), "x")
    plus = diagrams.join(ax, x + 4.1, y)
    ax.plot([x + 0.5, x + 0.5], [y, y + 1.4], color=diagrams.INK, lw=1.2)
    chain(ax, (x + 0.5, y + 1.4), branch, x + 1.0, y + 1.4, [(x + 4.1, y + 1.4), plus.top])
    chain(ax, (x + 0.2, y), shortcut, x + 1.65, y, [plus.left])
    chain(ax, plus.right, ["relu", *after], x + 4.7, y, [(x + 7.25, y)])
    diagrams.label(ax, (x + 7.45, y), "y")
plots.show(
    fig,
    "Four residual blocks. Standard: the gate G stands after the branch F, before the sum. Pre: G"
    " stands before F. Post: G stands after the sum and its relu. Identity: G stands on the shortcut.",
)

# %% [markdown]
# **Predict.** A new block is often started with $F = 0$, by giving its last batch norm the weight 0, so
# that training begins as if the block were not there. For which of the four placements does this still
# work?
#
# <details><summary>Answer</summary>
#
# It works for standard and pre, given that $x$ comes from a ReLU and passes the last one unchanged. In standard the
# gate scales 0; in pre the branch returns 0 whatever the gate has done. In post and identity, $x$ itself passes through the gate and comes out smaller.
#
# </details>

# %% [markdown]
# ### Exercise: `residual`
#
# Read the four off the diagram. Where a block changes the size, the sum gets `shortcut(x)` in place of
# $x$; ask yourself whether the gate stands before or after it.

# %% exercise="channel.residual"

# %%
check("channel.residual", residual)

# %% [markdown]
# Stuck? `hint("channel.residual")`. To read on without solving it:
# `from solutions.channel import residual`.

# %%
torch.manual_seed(0)
x, gate = torch.rand(2, 8, 5, 7), SqueezeExcite(8, reduction=2)
left = {p: residual(x, torch.zeros_like, gate, p) for p in PLACEMENTS}
for placement in ("standard", "pre"):
    claim(torch.equal(left[placement], x), f"{placement}: with F = 0 the block is not there")
for placement in ("post", "identity"):
    claim(torch.equal(left[placement], gate(x)), f"{placement}: with F = 0 the gate is left")

# %% jupyter={"source_hidden": true}
print("top-1 error of ResNet-50 with the gate in each place (journal version, Table 14)")
for name, row in zip(PLACEMENTS, ("se", "se-pre", "se-post", "se-identity"), strict=True):
    print(f"{name:9} {figure(f'senet.table14.{row}').printed['top-1 error']}")

# %% [markdown]
# **What you should see.** The paper trained one network for each place. Only post is clearly worse, with
# 22.78 %. The other three lie within a tenth of a point of each other, and one run each cannot rank them.

# %% [markdown]
# ### Which one is it? (may be skipped at first reading)
#
# You are handed a block and may not look inside. You may call it with a branch and a gate of your own
# choice, and look at what comes out. This is how one tests code that somebody else wrote.
#
# **Predict.** Let the branch return 0. What can you tell from the output, and what not?
#
# <details><summary>Answer</summary>
#
# You can tell whether $x$ passed through the gate: in post and identity it did. You cannot tell
# standard from pre, nor post from identity. For that, the branch has to return something.
#
# </details>

# %% [markdown]
# ### Exercise: `placement_of`
#
# Find two probes that tell the four apart: an $x$, a gate and two branches. The function returns one
# of the four names, or "none of the four" where the probes give what none of the four would give.

# %% exercise="channel.placement_of"

# %%
check("channel.placement_of", placement_of)

# %% [markdown]
# Stuck? `hint("channel.placement_of")`. To read on without solving it:
# `from solutions.channel import placement_of`.


# %%
def on_the_branch(x, branch, gate):
    """The gate scales the branch, as the paper draws it."""
    f = branch(x)
    return F.relu(gate(f) + x)


def on_the_shortcut(x, branch, gate):
    """The gate scales what the branch is added to."""
    return F.relu(branch(x) + gate(x))


print(placement_of(on_the_branch), "·", placement_of(on_the_shortcut))
claim(placement_of(on_the_branch) == "standard", "the gate on the branch is standard")
claim(placement_of(on_the_shortcut) == "identity", "the gate on the shortcut is identity")

# %% [markdown]
# **What you should see.** Two numbers tell the four apart, without any training. One of them is a
# mistake that has been made: an implementation of SENet in TensorFlow gated the shortcut where it
# meant to gate the branch
# ([kobiso/SENet-tensorflow-slim #2](https://github.com/kobiso/SENet-tensorflow-slim/issues/2)).

# %% [markdown]
# ## 5.6 Gather-excite: context of any extent
#
# Squeeze-and-excitation gives one gain to a whole map. But a channel that finds sky should count above
# and not below. Hu, Shen and three colleagues therefore asked whether the whole image is always the
# right context. In [Gather-Excite](https://arxiv.org/abs/1810.12348) (NeurIPS 2018) the gain can depend on the
# place. How far a channel should look they left open, as a number. In their runs the widest context, the whole map,
# was the best one: learned, in all stages, it lowers the error of ResNet-50 from 23.30 to 22.00 % (top-1, Table 1
# of the paper).

# %% [markdown]
# The **gather** operator takes means at every $e$-th pixel, each over the pixels that are nearer than $e$:
# a window of $2e - 1$ pixels. The number $e$ is called the **extent**. The **excite** operator gives all pixels of a
# square of e x e the gain of one mean, the one around the square's upper left corner (if $e$
# divides the sides; else the squares are as even as they can be).

# %% jupyter={"source_hidden": true}
grey = reduce(photograph("china", 48, 72), "h w rgb -> 1 1 h w", "mean")
fig, axs = plt.subplots(2, 2, figsize=(6.4, 4.4))
views = {"a photograph": grey}
for e in (2, 8):
    parts = F.avg_pool2d(grey, 2 * e - 1, e, e - 1, count_include_pad=False)
    views[f"extent {e}: means over {2 * e - 1} x {2 * e - 1} pixels"] = F.interpolate(
        parts, (48, 72)
    )
views["mean of the whole map"] = grey.mean().expand(1, 1, 48, 72)
for ax, (title, view) in zip(axs.flat, views.items(), strict=True):
    plots.image(ax, view[0, 0], title)
plots.show(
    fig, "A temple in grey; then the same in ever coarser squares, at last one even grey."
)

# %% [markdown]
# **What you should see.** Each square holds one mean. It covers more than its square: with extent 8, the
# 15 x 15 pixels around the square's corner. The larger the extent, the less of the place is left. (The
# photograph is `china.jpg` of scikit-learn, by danielbuechele, CC BY 2.0.)
#
# $$ y = x \odot \mathrm{spread}\bigl(\sigma(\mathrm{gather}(x))\bigr) $$
#
# The paper calls this form **θ⁻**, because its gathering has no weights θ.

# %% [markdown]
# ### Once by hand: means that overlap
#
# On an axis of 7 pixels with extent 2, the means lie around the pixels 0, 2, 4 and 6. Each covers what
# is *nearer than* 2, so that three pixels count in the middle and two at the border: what lies beyond
# the border counts neither as a value nor as a pixel.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(14, 5.5)
values, means = [4, 2, 0, 1, 2, 6, 4], [3, 1, 3, 5]
cover = np.zeros((4, 7))
for row in range(4):
    near = [p for p in range(7) if abs(p - 2 * row) < 2]
    cover[row, near] = 1 / len(near)
words = [["" if not w else f"1/{round(1 / w)}" for w in row] for row in cover]
side = 0.9
top = np.array(values) / 7
diagrams.vector(ax, 2.6, 4.1, top, name="seven pixels", across=True, side=side)
for n, value in enumerate(values):
    ax.text(2.6 + side * (n + 0.5), 4.1 + side / 2, value, ha="center", va="center")
diagrams.matrix(ax, 2.6, 0.1, cover, colour=diagrams.HIDDEN, side=side, text=words)
for row, mean in enumerate(means):
    y = 0.1 + side * (3.5 - row)
    ax.text(2.4, y, f"around {2 * row}", ha="right", va="center")
    diagrams.arrow(ax, (9.0, y), (10.4, y))
    diagrams.matrix(ax, 10.5, y - side / 2, [[mean / 7]], side=side, text=[[mean]])
diagrams.title(ax, 10.95, 3.7, "four means")
plots.show(
    fig,
    "Seven pixels with values 4, 2, 0, 1, 2, 6, 4. The mean around 0 takes pixels 0 and 1, that around"
    " 2 takes 1 to 3, around 4 takes 3 to 5, around 6 takes 5 and 6: the means are 3, 1, 3 and 5.",
)

# %%
row = torch.tensor([4.0, 2, 0, 1, 2, 6, 4])
by_hand = [row[max(p - 1, 0) : p + 2].mean().item() for p in (0, 2, 4, 6)]
print("means around 0, 2, 4 and 6:", *by_hand)
claim(by_hand == [3.0, 1.0, 3.0, 5.0], "the means are 3, 1, 3 and 5")

# %% [markdown]
# ### Exercise: `gather`
#
# Write θ⁻, for any extent, and for the whole map where none is given.

# %% exercise="channel.gather"

# %%
check("channel.gather", gather)

# %% [markdown]
# Stuck? `hint("channel.gather")`. To read on without solving it:
# `from solutions.channel import gather`.

# %% [markdown]
# ### Gathering that is learned
#
# The means may also be replaced by a filter whose weights are learned. The paper calls this form **θ**. For
# the whole map there is one filter a channel, as large as the map. For extent 2 there is a filter of 3 x 3
# at every other pixel; for extent 4 two such filters follow each other, and for extent 8 three. Each is
# followed by a batch norm. In **θ⁺** a ReLU and the two layers of section 5.1 come after the filters, so
# that the channels learn of each other.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(19.7, 11.0)
small = np.array([[0.3, 0.7, 0.4], [0.9, 0.2, 0.5], [0.4, 0.6, 0.3]])
pixels = 0.2 + 0.5 * (np.indices((6, 6)).sum(0) % 3 == 0)
layers = ("batch\nnorm", "relu", r"$W_\mathrm{down}$", "relu", r"$W_\mathrm{up}$")
forms = {"θ⁻: means, nothing is learned": ("mean", ())}
forms["θ: a learned filter for each channel"] = "filter", layers[:1]
forms["θ⁺: θ, then the two layers of section 5.1"] = "filter", layers
for number, (name, (way, boxes)) in enumerate(forms.items()):
    y = 8.1 - 3.65 * number
    ax.text(0.3, y + 2.3, name, weight="bold")
    x = diagrams.matrix(ax, 0.45, y + 0.1, pixels, side=0.3)
    u = diagrams.matrix(ax, 5.0, y + 0.4, small, side=0.4)
    spread = np.kron(small, np.ones((2, 2)))
    s = diagrams.matrix(ax, 15.6, y + 0.1, spread, colour=diagrams.ATTENTION, side=0.3)
    diagrams.arrow(ax, x.right, u.left, text=f"{way}, every\ne-th pixel")
    start, at = u.right, 6.6
    for text in boxes:
        colour = diagrams.HIDDEN if text == "relu" else diagrams.LEARNED
        width = 1.3 if text != "relu" else 0.9
        box = diagrams.layer(ax, at, y + 0.59, text, width, 0.82, colour=colour)
        diagrams.arrow(ax, start, box.left)
        start, at = box.right, at + width + 0.35
    diagrams.arrow(ax, start, s.left)
    ax.text(14.65, y + 1.1, "σ, spread", ha="center", va="bottom", size=8.5)
    times = diagrams.join(ax, 18.2, y + 1.0, "×", radius=0.28)
    diagrams.arrow(ax, s.right, times.left)
    diagrams.arrow(ax, times.right, (19.0, y + 1.0))
    diagrams.label(ax, (19.2, y + 1.0), "y")
    diagrams.label(ax, (0.3, y + 1.0), "x", "right", "center")
    diagrams.arrow(ax, (0.75, y), (0.75, y - 0.75), (18.2, y - 0.75), times.bottom)
    for box, text, off in ((x, "h × w", 1.2), (u, "u × v", 0.6), (s, "h × w", 0.9)):
        diagrams.label(ax, (box.x + off, box.y - 0.14), text, "center", "top")
plots.show(
    fig,
    "Three rows, for one channel each. A map x of h by w pixels is gathered to u by v numbers, a sigmoid"
    " is taken, the numbers are spread over squares of the map, and x is multiplied by them. In the first"
    " row the gathering is a mean, in the second a learned filter and a batch norm; in the third a relu,"
    " W_down, a relu and W_up follow.",
)

# %% [markdown]
# | form | what gathers | weights |
# |---|---|---|
# | θ⁻ | means | none |
# | θ, whole map | one filter a channel, as large as the map, and a batch norm | $(h w + 2)\,c$ |
# | θ, extent 2, 4 or 8 | 1, 2 or 3 filters a channel of 3 x 3 with stride 2, each with a batch norm | $11\,c$ a filter |
# | θ⁺ | θ, then the two layers of section 5.1 | both together |
#
# *Paper against released code:* the paper defines extents 2, 4 and 8. The authors' released files have
# the whole map only; the local filters here follow the paper's text.
#
# **Predict.** A learned 3 x 3 filter that stands at every other pixel sees the same pixels as the mean
# of extent 2. What must its nine weights be to give the same result?
#
# <details><summary>Answer</summary>
#
# Each must be 1/9. At the border the two still differ: the filter counts the zeros beyond it as
# pixels, and the mean does not.
#
# </details>

# %%
torch.manual_seed(0)
x, filters = torch.randn(2, 3, 9, 11), gather_filters(3, (9, 11), extent=2).eval()
print(filters)
nn.init.constant_(filters[0].weight, 1 / 9)
apart = (filters(x) - gather(x, 2)).abs()
claim(apart[..., 1:-1, 1:-1].max() < 1e-4, "inside, θ with weights of 1/9 is θ⁻")
claim(apart.max() > 0.01, "at the border they differ")

# %% [markdown]
# ### Exercise: `GatherExcite`
#
# `__init__` makes `self.filters` (None for θ⁻) and `self.layers` (None but for θ⁺, where its first
# ReLU comes with them). Follow the diagram: decide what goes through what, and where the sigmoid
# stands. `F.interpolate(…, (h, w))`, as it comes, spreads the gathered gains over the squares.

# %% exercise="channel.gather_excite"

# %%
check("channel.gather_excite", GatherExcite)

# %% [markdown]
# Stuck? `hint("channel.gather_excite")`. To read on without solving it:
# `from solutions.channel import GatherExcite`.

# %% [markdown]
# ### Gains over a photograph
#
# Here are the gains of θ⁻ with extent 8 on the three colour channels of the photograph. First each
# channel is given mean 0 and standard deviation 1, as a network's batch norm would do.

# %% jupyter={"source_hidden": true}
photo = rearrange(photograph("china"), "h w c -> 1 c h w")
with torch.no_grad():
    centred = photo - reduce(photo, "b c h w -> b c 1 1", "mean")
    size = reduce(centred**2, "b c h w -> b c 1 1", "mean").sqrt()
    gains = GatherExcite(3, extent=8).attention(centred / size)[0]
red, _, blue = (reduce(gain, "(u p) (v q) -> u v", "mean", p=8, q=8) for gain in gains)
fig, axs = plt.subplots(2, 2, figsize=(6.4, 4.0))
plots.image(axs[0, 0], photograph("china"), "The photograph")
plots.heat(axs[0, 1], red, "", "", "Gains of red: high in the sky", bar=False)
plots.heat(axs[1, 0], blue, "", "", "Gains of blue: high in the sky", bar=False)
plots.signed(axs[1, 1], red - blue, "", "", "Red minus blue: the roofs differ", bar=False)
fig.colorbar(axs[1, 0].images[0], ax=axs[:, 0], location="left", label="gain", shrink=0.7)
fig.colorbar(axs[1, 1].images[0], ax=axs[:, 1], label="gain of red − gain of blue", shrink=0.7)
for ax in axs.flat:
    ax.set(xticks=[], yticks=[])
plots.show(
    fig,
    "A temple before a pale sky; the gains of its red and of its blue, in squares of 8 pixels, high in the"
    " sky and low under the roof; and their difference, which is largest at the red roofs.",
)
claim((red - blue).abs().max() > 0.05, "at some places red and blue differ by more than 0.05")

# %% [markdown]
# **What you should see.** A channel is turned up where it is bright in a neighbourhood and down where
# it is dark. Sky and shade decide for all channels nearly alike; red is ahead of blue at the red woodwork, and behind
# it in the blue part of the sky.
# These gains depend on the place, which the gains of squeeze-and-excitation never do.
#
# **Predict.** What is θ⁻ of the whole map with the two layers after it? And θ⁻ whose extent is
# larger than the map?
#
# <details><summary>Answer</summary>
#
# The first is squeeze-and-excitation, with biases. The second is θ⁻ of the whole map: around pixel 0
# everything is near, and there is no second mean.
#
# </details>

# %%
torch.manual_seed(0)
x, se = torch.randn(2, 12, 5, 7), SqueezeExcite(12, 4, bias=True)
ge = GatherExcite(12, reduction=4)
for mine, theirs in ((ge.layers[1], se.down), (ge.layers[3], se.up)):
    weight = rearrange(theirs.weight.detach(), "m c -> m c 1 1")
    mine.load_state_dict({"weight": weight, "bias": theirs.bias.detach()})
claim((ge(x) - se(x)).abs().max() < 1e-6, "means of the whole map and two layers are SE itself")
wide = GatherExcite(12, extent=7)(x) - GatherExcite(12)(x)
claim(wide.abs().max() < 1e-6, "an extent as large as the map is the whole map")

# %% [markdown]
# **What you should see.** Both equalities hold: squeeze-and-excitation is one member of a family. If
# the second fails on your side, look at the border, where zeros must not count as pixels.

# %% [markdown]
# ### The negatives once more (may be skipped at first reading)
#
# θ⁻ has no weights at all: its gains are the sigmoid of the means. In the digits of section 5.3 a
# dark channel has a mean near $-1/2$ and its negative one near $1/2$.
#
# **Predict.** What are these two gains? What is left of a channel $p$ and its negative $-p$ when the
# network takes the mean of the six?
#
# <details><summary>Answer</summary>
#
# About $\sigma(-1/2) = 0.38$ and $\sigma(1/2) = 0.62$. The dark channel is left with
# $0.38 - 0.62$, a negative factor. In a positive and in its negative it is the same channel that is
# dark, so that both leave the same picture.
#
# </details>

# %% tags=["nbval-ignore-output"]
print("right: lowest, median and highest of 5 seeds")
bare = report("θ⁻, no weights in the gate", GatherExcite)
learned = sorted(read(excite, seed=seed)[1] for seed in range(5))
claim(bare[0] > 0.8, "gains without a single weight read over 80 % of positives and negatives")
claim(bare[-1] < learned[2], "the best seed stays below the median of gains that are learned")

# %% [markdown]
# **What you should see.** A gate without weights is right in nearly nine cases of ten. A small
# difference between two gains is enough to fix the sign, and the linear reader after it scales the
# rest up. Not everything that helps has to be learned.

# %% [markdown]
# ## 5.7 ECA: neighbours instead of a bottleneck
#
# In 2020 Qilong Wang and colleagues asked which part of the block does the work. Their paper,
# [ECA-Net](https://arxiv.org/abs/1910.03151) (CVPR 2020), argues that the bottleneck *harms*, since it
# mixes all channels into a few numbers and so loses the direct link between a channel and its gain.
# What matters is that a channel learns of *some* others. **Efficient channel attention** (ECA)
# therefore slides one small filter along the list of channels.

# %% jupyter={"source_hidden": true}
fig, ax = diagrams.canvas(16, 6)
cells = [0.5, 0.6, 0.3, 0.8, 0.2, 0.7, 0.4, 0.6]
heights = [0.9 + 0.42 * (7.5 - n) for n in range(8)]
thin = {"color": diagrams.LEARNED, "lw": 0.7}
for x, end, name in ((1.2, 6.2, "Squeeze-and-excitation"), (9.6, 14.0, "ECA, window 3")):
    ax.text(x - 0.6, 5.5, name, weight="bold")
    diagrams.vector(ax, x, 0.9, cells, "c", "z", side=0.42)
    diagrams.vector(ax, end, 0.9, cells[::-1], "c", "s", diagrams.ATTENTION, side=0.42)
diagrams.vector(ax, 3.7, 2.16, [0.7, 0.2], "m", side=0.42)
for n in heights:
    for middle in (2.79, 2.37):
        ax.plot([1.66, 3.66], [n, middle], **thin)
        ax.plot([4.16, 6.16], [middle, n], **thin)
for row in range(8):
    for other in range(max(row - 1, 0), min(row + 2, 8)):
        ends = [heights[other], heights[row]]
        ax.plot([10.06, 13.96], ends, **thin | {"lw": 2.4 if row == 3 else 0.7})
        if row == 3:
            along = 0.35 if other == row else 0.12
            at = 10.06 + 3.9 * along, ends[0] + along * (ends[1] - ends[0])
            white = {"fc": "white", "ec": "none", "pad": 0.6}
            ax.text(*at, f"$k_{other - 2}$", ha="center", va="center", bbox=white)
for x, text in ((3.9, "2 c m weights"), (12.0, "3 weights, the same everywhere")):
    ax.text(x, 0.1, text, ha="center")
plots.show(
    fig,
    "Left, squeeze-and-excitation: lines from all eight means z to two middle units, and from these to"
    " all eight gains s. Right, ECA: each gain has lines from its own mean and its two neighbours only;"
    " for one of them they are marked k_0, k_1, k_2.",
)

# %% [markdown]
# $$ s = \sigma(k * z), \qquad \text{window} = \Bigl|\frac{\log_2 c}{2} + \frac12\Bigr|_\text{odd} $$
#
# (Eqs. 9 and 12 of the paper. The star is a convolution along `c`, with zeros beyond both ends, and
# $|t|_\text{odd}$ is the odd number that is nearest to $t$.)
#
# | | axes | what it is |
# |---|---|---|
# | $z$, $s$ | `b c` | means and gains, as before |
# | $k$ | `window` | 3, 5 or 7 weights, the same for all channels |
#
# In small numbers: let $z = (1, 0, -1, 2)$ and $k = (\tfrac12, 1, \tfrac12)$. Before the sigmoid,
# channel 2 gets $\tfrac12 \cdot 0 + 1 \cdot (-1) + \tfrac12 \cdot 2 = 0$, and therefore the gain 1/2.

# %%
z, k = [0.0, 1, 0, -1, 2, 0.0], [0.5, 1, 0.5]  # zeros beyond both ends
before = [sum(a * z[p + n] for n, a in enumerate(k)) for p in range(4)]
print("before the sigmoid:", *before)
claim(before == [1.0, 0.0, 0.0, 1.5], "by hand: 1, 0, 0 and 1.5")

# %% [markdown]
# **Predict.** The same filter serves all channels. If you reorder the channels, are the gains reordered
# and nothing else?
#
# <details><summary>Answer</summary>
#
# No. Who is whose neighbour changes, and with it what every gain depends on. Squeeze-and-excitation gives
# reordered gains if the rows and columns of its weights are reordered too, and θ⁻ gives them anyway.
#
# </details>

# %% [markdown]
# ### Exercise: `ECA`
#
# `self.conv` is the filter. It runs along the last axis, and wants a batch and a channel axis before
# it.

# %% exercise="channel.eca"

# %%
check("channel.eca", ECA)

# %% [markdown]
# Stuck? `hint("channel.eca")`. To read on without solving it:
# `from solutions.channel import ECA`.

# %%
torch.manual_seed(0)
x, order = torch.randn(2, 12, 5, 7), torch.randperm(12)
for gate, minds in ((GatherExcite(12), False), (ECA(12, window=3), True)):
    apart = (gate(x[:, order]) - gate(x)[:, order]).abs().max()
    name = "ECA minds" if minds else "θ⁻ does not mind"
    claim((apart > 1e-3) == minds, f"{name} the order of the channels")

# %% tags=["nbval-ignore-output"]
print("right: lowest, median and highest of 5 seeds")
slid = report("ECA, 3 weights", partial(ECA, window=3))
claim(slid[0] > 0.85, "three weights read over 85 % of positives and negatives")

# %% [markdown]
# **What you should see.** Three weights undo the negatives of section 5.3. (The width 3 is chosen by hand: the
# formula gives 1 for six channels. The order of the channels there, where neighbours have the same sign, may help.)
# In a trained network the order is an accident, and the filter and the layers before it adapt to each other.

# %% [markdown]
# The paper's abstract says that its modules add **80** parameters to a ResNet-50, and that top-1 accuracy
# rises by more than 2 points. The formula above gives 86, as the notes at the end of the chapter show. Either
# number is next to nothing beside the 2.5 million of squeeze-and-excitation.

# %% [markdown]
# ## 5.8 Do the gains depend on what the image shows?
#
# The authors of squeeze-and-excitation looked into a trained network: are the gains different for
# images of different classes? Do the same on a small scale, with a ResNet-18 that has the block in all
# eight of its residual blocks. It is trained for 60 steps on the digits, and its gains are recorded on
# digits that it has not seen. After so few steps this is a sketch of the paper's experiment, not a
# repetition: the early gates have hardly left the gain 1/2 with which they began.

# %% [markdown]
# Therefore the *size* of their differences says little. The question is put to each block on its own scale:
# of all the variation of its gains from image to image, which share is explained by the class? If the share
# is near 1, images of a class have equal gains; if the class plays no part, it is near 0.


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
found, test = digits(), digits(test=True)


@torch.no_grad()
def recorded(net):
    """The gains of every gate on the unseen digits, and the fraction that is named rightly."""
    gates = [layer for layer in net.modules() if isinstance(layer, SqueezeExcite)]
    seen = []
    for gate in gates:
        gate.register_forward_pre_hook(lambda gate, given: seen.append(gate.attention(*given)))
    right = (net(test.image).argmax(-1) == test.label).float().mean().item()
    return seen, right


# %% jupyter={"source_hidden": true}
seen, right = gains_of_digits(0)
fig, axs = plt.subplots(2, 1, figsize=(6.4, 3.2), sharex=True)
claims = {1: "all digits have gains near 1/2", 7: "every digit has gains of its own"}
for ax, (block, what) in zip(axs, claims.items(), strict=True):
    classes = torch.stack([seen[block][test.label == d].mean(0) for d in range(10)])
    title = f"Block {block + 1} of 8: {what}"
    plots.heat(ax, classes[:, :32], "channel" * (block == 7), "digit", title, bar=False)
    ax.set(aspect="auto", yticks=range(0, 10, 3))
fig.colorbar(axs[0].images[0], ax=axs, label="mean gain")
plots.show(
    fig,
    "Two tables of ten digits by 32 channels. In block 2 all cells have the colour of one half; in block"
    " 8 the cells of a column differ from digit to digit.",
)


# %%
def explained(gains, labels):
    """The share of the variance over images that the labels explain, over all channels."""
    mean = torch.stack([gains[labels == d].mean(0) for d in range(10)])[labels]
    return (
        (mean - gains.mean(0)).square().sum() / (gains - gains.mean(0)).square().sum()
    ).item()


def shares(seed, labels=test.label):
    """That share for each of the eight blocks."""
    return [explained(gains, labels) for gains in gains_of_digits(seed)[0]]


# %% tags=["nbval-ignore-output"]
share = torch.tensor([shares(seed) for seed in range(3)])
mixed = test.label[torch.randperm(450, generator=torch.Generator().manual_seed(0))]
rights = [gains_of_digits(seed)[1] for seed in range(3)]
print("digits named rightly, 3 seeds:   ", " ".join(f"{r:.2f}" for r in rights))
print("share explained, block by block: ", " ".join(f"{s:.2f}" for s in share.mean(0)))
claim(min(rights) > 0.75, "each network names over 75 % of the digits")
claim(
    share[:, :4].max() < share[:, 6:].min(),
    "the class explains less in blocks 1 to 4 than in 7 and 8",
)
claim(share[:, 6:].min() > 0.65, "in blocks 7 and 8 it explains over 65 % in every network")
claim(max(shares(0, mixed)) < 0.1, "labels in random order explain less than 10 %")

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(6.4, 2.3))
curves = {f"seed {seed}": shares(seed) for seed in range(3)}
curves["labels in random order"] = shares(0, mixed)
title = "Late gates depend on the class more than early ones"
plots.lines(ax, range(1, 9), curves, "block", "share explained by the class", title)
ax.set(ylim=(0, 1))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plots.show(
    fig,
    "Three curves, one a seed, between a quarter and a half up to block 4, above one half in blocks 5 and"
    " 6 and near 0.8 in 7 and 8. A fourth, for labels in random order, stays near 0.",
)

# %% [markdown]
# **What you should see.** In the last two blocks the class explains most of what varies, and in the first
# four blocks less than in the last. The paper found the same direction on ImageNet (Hu et al., its section
# on the role of excitation): early gains serve all classes alike, and late ones depend on the class.
#
# One thing differs. In the paper's SE-ResNet-50 the last two gates tell the classes apart *less* again;
# here they tell them apart the most.

# %% [markdown]
# ## 5.9 What makes the block work?
#
# The journal version of the paper took its block apart on ImageNet. Two of its findings say what you can
# rely on. The first asks how narrow the middle may be, and the second whether the mean is needed: one
# could run the same two layers at every pixel, without it. The paper calls this *NoSqueeze*.
#
# **Predict.** NoSqueeze has as many weights as the block. Is its error that of the block, that of the plain
# network, or between the two?

# %% jupyter={"source_hidden": true}
rows = {"no block": "table16.resnet-50"}
rows |= {f"reduction {r}": f"table10.se-resnet-50-r{r}" for r in (4, 8, 16, 32)}
second = {"no block": "table16.resnet-50", "NoSqueeze": "table16.nosqueeze"}
second["block, reduction 16"] = "table16.se"
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3))
titles = "A reduction of 16 suffices", "The mean helps by itself"
for ax, names, title in zip(axs, (rows, second), titles, strict=True):
    for y, (name, row) in enumerate(names.items()):
        error = figure(f"senet.{row}").printed["top-1 error"]
        colour = diagrams.HIDDEN if name == "no block" else diagrams.ATTENTION
        ax.plot([22.0, error.value], [y, y], color=colour, lw=1.5)
        ax.plot(error.value, y, "o", color=colour, ms=7)
        ax.text(error.value + 0.07, y, error.text, va="center", size=8.5)
        print(f"{name:20} {error}")
    ax.set(xlim=(22, 23.7), yticks=range(len(names)), yticklabels=names, title=title)
    ax.set(xlabel="top-1 error, %", ylim=(len(names) - 0.5, -0.5))
plots.show(
    fig,
    "Errors of ResNet-50 on ImageNet. Left: 23.30 without the block, and with reductions of 4, 8, 16 and"
    " 32 22.25, 22.26, 22.28 and 22.72. Right: 23.30 without, 22.93 with NoSqueeze, 22.28 with the block.",
)

# %% [markdown]
# **What you should see.** The block takes ResNet-50 from 23.30 to 22.28 %. Smaller reductions than 16 buy
# almost nothing, and 32 is too narrow (Table 10 of the paper). NoSqueeze has as many weights, costs a tenth
# more multiply-adds, and ends between the two, at 22.93 % (Table 16). So the mean is more than a way to
# save computation: what helps is knowledge of the whole image. These are the paper's runs, one each;
# nothing here was trained on ImageNet.

# %% [markdown]
# ## What you have learnt
#
# The opening asked three questions. **Is it the gain, or that the image decides it?** It is the image: with
# the gains of another image the cue task falls from nearly 1 to 5/8, below the 11/16 of a network without
# gains. **How many weights does it take?** For a ResNet-50, 2,514,944 in squeeze-and-excitation and some eighty in
# ECA; for the negatives none at all. **Must the gain be one for the whole map?** It need not: gather-excite can
# give each place its own. But on ImageNet the widest context was the best one, and chapter 06 comes back to places.

# %% [markdown]
# | mechanism | the gain of a channel depends on | weights for `c` channels |
# |---|---|---|
# | squeeze-and-excitation | the means of all channels, through a bottleneck | $2\,c\,m$ |
# | gather-excite θ⁻ | its own mean within the extent | none |
# | gather-excite θ | its own map, through a filter | $(h w + 2)\,c$, or $11\,c$ a local filter |
# | gather-excite θ⁺ | the filtered maps of all channels | both |
# | ECA | its own mean and its neighbours' | 3 to 7 in all |
#
# All of them turn channels up or down by what the image shows, and by default none gives a gain to a single
# pixel. Of the four places in a residual block, only the one after the sum was clearly worse in the
# paper's runs.

# %% [markdown]
# ## Explain it to somebody
#
# <details><summary>1. Why can a convolution not do what the gains do?</summary>
#
# Its weights are the same for every image. A gain is computed from the image, so that a channel may
# count in one image and not in another.
#
# </details>
#
# <details><summary>2. Why is the squeeze a mean over the whole map, and what is lost by it?</summary>
#
# It gives every gain a view of the whole image, which no small filter has. All knowledge of place is
# lost: shuffled pixels get the same gains.
#
# </details>
#
# <details><summary>3. Why a sigmoid and not a softmax?</summary>
#
# Channels do not compete; several may be needed at once, and a softmax over hundreds of them would
# make all gains tiny.
#
# </details>

# %% [markdown]
# <details><summary>4. How do you find out where a block has its gate, without reading its code?</summary>
#
# Call it with a gate that halves. A branch of 0 shows whether the input passes through the gate, and a
# constant branch shows whether the branch does.
#
# </details>
#
# <details><summary>5. A paper says 80 and your program counts 86. What do you do?</summary>
#
# Look for the rule of counting and for the released settings, write down every reading and its number,
# and say which is known and which is a guess.
#
# </details>

# %% [markdown]
# ## What came after
#
# - [Selective Kernel Networks](https://arxiv.org/abs/1903.06586) (2019) let the gains choose between
#   branches with filters of different size.
# - [GCNet](https://arxiv.org/abs/1904.11492) (2019) replaces the mean by a learned weighted mean over
#   the pixels, and so joins this chapter with the non-local block of chapter 07.
# - [ResNeSt](https://arxiv.org/abs/2004.08955) (2020) gates groups of channels that compete by a
#   softmax.
# - [FcaNet](https://arxiv.org/abs/2012.11879) (2020) observes that a mean is the lowest frequency of a
#   cosine transform, and squeezes by several.
# - [Coordinate Attention](https://arxiv.org/abs/2103.02907) (2021) squeezes rows and columns apart, so
#   that the place is not lost.
# - [RegNetY](https://arxiv.org/abs/2003.13678) (2020), MobileNetV3 and EfficientNet keep the block, within the
#   branch before its last convolution: it is the form that has lasted.
#
# Chapter 06 gives gains to places, and not only to channels.

# %% [markdown]
# ## For reference: the papers' tables
#
# This section counts what the papers print; nothing later needs it. The authors of squeeze-and-excitation
# count everything that their file stores: also the running means and variances of the batch norms, and
# the biases that their equation leaves out. Therefore ResNet-50 has 25,610,152 parameters here and
# 25,557,032 trainable weights in section 5.4.

# %% jupyter={"source_hidden": true}
compare_all("senet.table10")

# %% jupyter={"source_hidden": true}
compare_all("senet.table16")

# %% [markdown]
# All counts of parameters come out to the digit. One printed figure does not: the paper gives 3.87 G FLOPs
# for the block, and the count is 3.86 G, which is also what Table 4 of
# [CBAM](https://arxiv.org/abs/1807.06521) prints.
#
# Beware of comparing errors across papers. In the conference version, ResNet-50 itself has an error
# of 24.80 % (the table at the head of this chapter) and not 23.30 %, because the training schedule was
# another.

# %% jupyter={"source_hidden": true}
for row in (
    "resnet-50",
    "ge-theta-stage2",
    "ge-theta-stage3",
    "ge-theta-stage4",
    "ge-theta-all",
):
    entry = figure(f"gather-excite.table1.{row}")
    print(f"{entry.label:16} top-1 error {entry.printed['top-1 error']}")
compare_all("gather-excite.table1")

# %% [markdown]
# Table 1 of Gather-Excite puts learned gathering of the whole map into one stage of ResNet-50, or into
# all; what the paper calls stage 2 is the first of the four. All counts of parameters come out. One count of
# FLOPs does not: the paper prints 3.87 G for all stages, and filters and network together make 3.863 G.
# The earliest stage costs the most, with 56 x 56 weights a channel, and helps the least: its error is
# 23.29 % beside 23.30 % without (Table 1).

# %% [markdown]
# ### ECA: 80 or 86 parameters?
#
# The formula of section 5.7 leaves open which odd number is nearest when two are equally near. Here are
# three readings, with the windows of the four stages and the weights that they add to ResNet-50.

# %% jupyter={"source_hidden": true}
stages, channels = (3, 4, 6, 3), (256, 512, 1024, 2048)
print("before rounding:", *((math.log2(c) + 1) / 2 for c in channels))
readings = {"cut to a whole number, then up to an odd one": [eca_window(c) for c in channels]}
readings["nearest odd number, 6 down to 5"] = [5, 5, 5, 5]
readings["released weights"] = [3, 5, 5, 7]
for name, windows in readings.items():
    print(f"{name}: {windows}  {sum(n * w for n, w in zip(stages, windows, strict=True))}")
with torch.device("meta"):
    added = sum(p.numel() for p in ResNet(50, ECA).parameters()) - plain
claim(added == 86, "the class of this chapter adds 86 weights to ResNet-50")

# %% [markdown]
# The first reading is that of the class here and of the library
# [timm](https://github.com/huggingface/pytorch-image-models), and it counts 86. The paper's 80 comes out with
# 5 everywhere, or with the windows of the [released weights](https://github.com/BangguWu/ECANet). As these
# were trained, they are the likelier explanation; the formula does not give 3 for 256 channels.

# %% [markdown]
# ## References
#
# - Hu, Shen, Sun: Squeeze-and-Excitation Networks. CVPR 2018, journal version TPAMI 2020.
#   <https://arxiv.org/abs/1709.01507>
# - Hu, Shen, Albanie, Sun, Vedaldi: Gather-Excite: Exploiting Feature Context in Convolutional Neural
#   Networks. NeurIPS 2018. <https://arxiv.org/abs/1810.12348>
# - Wang et al.: ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks. CVPR 2020.
#   <https://arxiv.org/abs/1910.03151>
# - He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition. CVPR 2016.
#   <https://arxiv.org/abs/1512.03385>
# - Howard et al.: Searching for MobileNetV3. ICCV 2019. <https://arxiv.org/abs/1905.02244>
# - Tan, Le: EfficientNet. ICML 2019. <https://arxiv.org/abs/1905.11946>
