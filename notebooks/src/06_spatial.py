# %% [markdown]
# # 6 · Spatial attention
#
# Squeeze-and-excitation (chapter 5) decides *which* feature maps count in an image. It cannot decide
# *where*: a gain multiplies a whole map, so a map that finds fur is turned up on the dog and on the
# carpet alike. In July 2018 Sanghyun Woo, Jongchan Park, Joon-Young Lee and In So Kweon published two
# blocks that decide both: [BAM](https://arxiv.org/abs/1807.06514) (BMVC 2018) and
# [CBAM](https://arxiv.org/abs/1807.06521) (ECCV 2018). They give every pixel a gain as well, and they
# cost almost nothing beyond squeeze-and-excitation.
#
# **About 2½ hours**, of which 87 minutes are exercises. A CPU is enough.

# %% [markdown]
# ### What came of it
#
# | ImageNet, top-1 error | alone | with squeeze-and-excitation | with CBAM |
# |---|---|---|---|
# | ResNet-18 | 29.60 % | 29.41 % | 29.27 % |
# | ResNet-50 | 24.56 % | 23.14 % | 22.66 % |
# | ResNet-101 | 23.38 % | 22.35 % | 21.51 % |
# | ResNeXt-50 | 22.85 % | 21.91 % | 21.92 % |
#
# (Table 4 of the CBAM paper, one run each.) CBAM is half a point better than squeeze-and-excitation on a
# ResNet-50: 0.34 of it come with the maximum and 0.14 with the spatial gate (their Tables 1 and 2). On a
# ResNeXt-50 it is no better. It stayed, being cheap:
# [YOLOv4](https://arxiv.org/abs/2004.10934) has a modified form of its spatial gate, and the timm library
# offers CBAM for many networks.

# %% [markdown]
# ### Two more questions of the same years
#
# Do networks look where people look? Drew Linsley and colleagues asked in
# [Learning what and where to attend](https://arxiv.org/abs/1805.08819) (ICLR 2019). In their online
# game *ClickMe* people uncovered the parts of an image that give the object away, and the abstract
# counts nearly half a million such maps. Their block, **GALA**, was trained to agree with them.
#
# And how does one find out where a network looks? [Grad-CAM](https://arxiv.org/abs/1610.02391)
# (Selvaraju et al., ICCV 2017) needs no attention in the network, only its gradients. It is still widely
# used.

# %% [markdown]
# All blocks of this chapter share one question: how do a gain for channels and a gain for pixels meet?
# CBAM multiplies them, BAM adds them before the sigmoid, and GALA learns how much of both it wants.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | CBAM's two gates and CBAM itself, BAM, two further gates, Grad-CAM | which ablations of the paper a task can tell apart; what made a network say "flower"; the paper's table of weights, counted to the digit | `squeeze` and the bottleneck of chapter 5 |
#
# A first reading leaves out what is marked so, and takes about two hours.

# %% [markdown]
# | letter | what it counts | | letter | what it is |
# |---|---|---|---|---|
# | `b` | images in a batch | | $M$, $B$ | gains; logits, from which gains come |
# | `c` | channels, each a feature map; as an index, one of them | | $g$, $l$, $a$, $\mu$ | the parts of GALA (section 6.6) |
# | `h` `w` | height and width in pixels | | $A$, $S$, $\alpha$, $L$ | the parts of Grad-CAM (section 6.7) |
# | `k` | classes; as an index, one of them | | | |
#
# A gain that belongs to a channel is `b c`. One that belongs to a pixel is `b h w`. As the papers do, we
# mark the two by an index: $M_c$ and $B_c$ are for channels, $M_s$ and $B_s$ are spatial.

# %%
from collections.abc import Callable, Sequence
from functools import cache, partial

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint
from attncourse.book import claim, plots
from attncourse.book.drawings import spatial as drawn
from attncourse.book.results import result
from attncourse.papers import compare
from attncourse.tasks import spatial as tasks
from attncourse.tasks.pictures import photograph
from solutions.channel import SqueezeExcite, bottleneck, squeeze
from solutions.spatial import Head, ProjectedSpatialGate, centred

# %% [markdown]
# ## 6.1 The channel gate: what the largest value knows
#
# The task comes in two halves. This one needs gains for channels. An image has eight channels. Channels
# 0 to 3 hold **signs**: one pixel of each is +1 or -1. Channels 4 to 7 hold **cues**: cue 0 belongs to
# signs 0, cue 1 to signs 1, and so on. One of the four cues differs from the others, and the sign in the
# channel of the same number is the answer. In half of the images that cue is brighter everywhere; in
# the others it has one peak. (The four marks in every cue matter from section 6.2 on. In the code,
# `plane` is the number of the channel that counts.)


# %% jupyter={"source_hidden": true}
def draw_planes(axs, image, plane):
    """Four channels of signs and their four cues; around those that count lies a frame."""
    for c, (ax, grid) in enumerate(zip(axs, image, strict=True)):
        if c < 4:
            plots.signed(ax, grid, "", "", f"signs {c}", limit=1, bar=False)
        else:
            plots.heat(ax, grid, "", "", f"cue {c - 4}", high=3, bar=False)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, color="#999999", linewidth=0.6)
        if c % 4 == plane:
            corner, side = -0.5 - len(grid) / 32, len(grid) * 17 / 16
            look = dict(fill=False, ec="#d55e00", lw=2, clip_on=False)
            ax.autoscale(False)
            ax.add_patch(plt.Rectangle((corner, corner), side, side, **look))


# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
image, answer, plane, _, peak = tasks.cued_signs(8, places=1)
fig = plt.figure(figsize=(6.4, 2.7))
for part, which, how in zip(
    fig.subfigures(1, 2),
    (~peak, peak),
    ("One cue is brighter", "One cue has a peak"),
    strict=True,
):
    b = which.nonzero()[0].item()
    draw_planes(part.subplots(2, 4).flat, image[b], plane[b].item())
    part.suptitle(f"{how}: the answer is {'−+'[answer[b].item()]}", fontsize=9)
    part.supxlabel("signs: red +1, blue −1; cues: yellow 3", fontsize=8)
alt = """Two images of eight channels: four with one red or blue pixel, and below each its cue with four
marks. In the first one cue is brighter, in the second one has a peak; it and its signs have a frame."""
plots.show(fig, alt)

# %% [markdown]
# In a photograph the channels of signs stand for feature maps that may or may not matter, and the cues
# for context: a texture that is everywhere, such as fur, raises the mean of its map; a part that is
# small and certain, such as an eye, raises the maximum alone. In this task the two are separated
# exactly: the brighter cue has the same maximum as the others, and the one with a peak has the same
# mean.

# %%
named = {"another": 4 + (plane + 1) % 4, "counts": 4 + plane}
for kind, which in (("brighter", ~peak), ("a peak", peak)):
    for name, c in named.items():
        grid = image[which, c[which]][0]
        print(f"{kind:9} {name:8} mean {grid.mean():.2f}   largest {grid.max():.0f}")

# %% [markdown]
# **Predict.** The reader adds up each channel of signs, weighted by its gain. How often can it be right
# if the gate sees only the mean of each channel?
#
# <details><summary>Answer</summary>
#
# Where the cue is brighter, always. Where it is a peak, the gate sees nothing and the reader takes a
# vote of four signs: 3 : 1 splits come up 8 times in 16 and the majority is right 3 times in 4; 2 times
# in 16 all agree; 6 times it is a tie. That is 11/16. Together
# $\tfrac12 (1 + \tfrac{11}{16}) = \tfrac{27}{32}$. The same holds for a gate that sees only the
# largest values.
#
# </details>

# %% [markdown]
# ### Both, through one MLP
#
# Squeeze-and-excitation asks every channel for its mean. Woo et al. argue that the maximum gathers
# another clue, about what is distinctive in an object. Their **channel gate** asks for the mean and for the
# largest value, sends both through the *same* two layers, adds what comes out, and takes the sigmoid
# last.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.channel_gate(),
    "The maps x are pooled by mean and by maximum to two vectors of c numbers. Both go through one"
    " MLP; the results are added, a sigmoid makes gains of them, and each map of x is scaled.",
)

# %% [markdown]
# $$
# M_c = \sigma\Bigl(\sum_{p} W_\text{up}\, \mathrm{relu}(W_\text{down}\, p(x))\Bigr), \qquad
# p \in \{\text{mean}, \text{max}\}
# $$
#
# (Woo et al. 2018, equation 2. *Released code: both layers have biases; so have ours.*)
#
# | | axes | what it is |
# |---|---|---|
# | $p(x)$ | `b c` | mean or largest value over h, w |
# | $M_c$ | `b c` | gains, each in (0, 1) |
# | $y$ | `b c h w` | x, each map times its gain |

# %% [markdown]
# **Predict.** Is it the same to add mean and maximum first, and run the MLP once?
#
# <details><summary>Answer</summary>
#
# No, because relu(u) + relu(v) is not relu(u + v). The example that follows shows it.
#
# </details>

# %% [markdown]
# ### Once by hand
#
# Take two channels of 2 x 2 pixels, and a bottleneck of one unit without biases:
#
# $$
# x_0 = \begin{pmatrix} 1 & 3 \\ 2 & 2 \end{pmatrix}, \;
# x_1 = \begin{pmatrix} 0 & 0 \\ 4 & 0 \end{pmatrix}, \;
# W_\text{down} = \begin{pmatrix} 1 & -1 \end{pmatrix}, \;
# W_\text{up} = \begin{pmatrix} 2 \\ -2 \end{pmatrix}
# $$
#
# The means are (2, 1): the unit computes 2 - 1 = 1, and $W_\text{up}$ makes (2, -2) of it. The largest
# values are (3, 4): the unit computes -1, the ReLU makes it 0, and nothing is added. The sum is
# (2, -2) and the gains are (0.88, 0.12). Had we added first, the unit would have seen 5 - 5 = 0 and
# both gains would be one half.

# %%
mean, most = torch.tensor([2.0, 1.0]), torch.tensor([3.0, 4.0])
down, up = torch.tensor([1.0, -1.0]), torch.tensor([2.0, -2.0])
gains = (up * (mean @ down).relu() + up * (most @ down).relu()).sigmoid()
print("each pool through the MLP:", *(f"{g:.2f}" for g in gains.tolist()))
claim((gains - torch.tensor([0.88, 0.12])).abs().max() < 0.005, "the gains are 0.88 and 0.12")
added_first = (up * ((mean + most) @ down).relu()).sigmoid()
claim((added_first == 0.5).all(), "added first, both gains are one half")

# %% [markdown]
# ### Exercise: `ChannelGate`
#
# `self.pools` holds the names of the pools, and `reduce` takes these names as they are.

# %% exercise="spatial.channel_gate"

# %%
check("spatial.channel_gate", ChannelGate)

# %% [markdown]
# Stuck? `hint("spatial.channel_gate")` gives one hint at a time. To read on without solving it:
# `from solutions.spatial import ChannelGate`.

# %% [markdown]
# ### With the mean alone it is squeeze-and-excitation

# %%
torch.manual_seed(0)
gate, se = ChannelGate(16, 4, pools=("mean",)), SqueezeExcite(16, 4, bias=True)
se.load_state_dict(gate.state_dict())
x = torch.randn(2, 16, 5, 7)
claim((gate(x) - se(x)).abs().max() < 1e-6, "same weights, same result as chapter 5's block")
both = ChannelGate(16, 4)
both.load_state_dict(gate.state_dict())
claim((both(x) - se(x)).abs().max() > 0.05, "with the maximum added the result differs")
again = sum(n * c * c // 8 for c, n in {256: 3, 512: 4, 1024: 6, 2048: 3}.items())
plain = compare("cbam.table4.resnet50+se").lines[1].computed
print(f"ResNet-50: {plain / 1e9:.3f} billion multiply-adds; {(plain + again) / 1e9:.3f}")

# %% [markdown]
# **What you should see.** The two blocks agree: chapter 5's block is a special case of this one, and its
# weights load. The maximum costs no weights, only a second run of the MLP: in a ResNet-50 that is 3.863
# instead of 3.860 billion multiply-adds, as printed. (With the spatial gate it becomes 3.864, the paper's
# Table 4.)

# %% [markdown]
# ### Ablation: mean, maximum, both (the paper's Table 1)
#
# Now we train small networks. Their learning rate was chosen on other seeds and other images than those
# that are shown (section 6.3 has all of it).


# %%
tried = result("spatial_rates")


@cache
def readers(gate, places=4, seeds=3, **options):
    """Trained readers with this gate, for seeds that were not used to choose the rate."""
    make, rate = partial(gate, **options), tried["chosen"]
    return [tasks.train_reader(make, 10 + seed, places, rate=rate) for seed in range(seeds)]


def report(name, found, places=4):
    """Print and return the median accuracy on 2000 images that nothing was chosen on."""
    seen = dict(places=places, examples=2000, images=9000)  # `images` is their seed
    right = torch.tensor([tasks.accuracy(one, **seen) for one in found])
    print(f"{name:24} median {right.median():.3f}   {right.min():.3f} to {right.max():.3f}")
    return right.median().item()


# %% tags=["nbval-ignore-output"]
gate = partial(ChannelGate, 8, 1)
found = {"no gate": report("no gate", readers(nn.Identity, 1), 1)}
for pools in (("mean",), ("max",), ("mean", "max")):
    name = " and ".join(pools)
    found[name] = report(name, readers(gate, 1, pools=pools), 1)
print(f"ceilings: vote {tasks.vote(4):.4f}, one cue {(1 + tasks.vote(4)) / 2:.4f}")
claim(found["no gate"] < 0.72, "without a gate: the vote, 11/16, and no more")
claim(max(found["mean"], found["max"]) < 0.88, "one pool: 27/32, and no more")
claim(found["mean and max"] > 0.95, "both pools: nearly always right")

# %% [markdown]
# **What you should see.** The accuracies come near the ceilings that you derived: 11/16 without a gate,
# 27/32 with either pool, 1 with both; the maximum alone stays a little below in the median. (Three seeds
# on 2000 images each: chance moves the figure of one network by about one hundredth.)

# %% [markdown]
# On ImageNet the paper's Table 1 prints top-1 errors of 24.56 (no gate), 23.14 (mean), 23.20 (max) and
# 22.80 (both), one run each. The order is the same, but between mean and both there is a third of a
# point. The task shows what each pool *can* see; it does not show how often photographs need it.

# %% [markdown]
# ## 6.2 The spatial gate: where
#
# Now the task gets its second half, which needs gains for pixels. Every channel of signs has *four*
# signs, one in each quadrant, at the same four places in all channels. In the cues, one of these places
# has a mark at each corner of the 7 x 7 pixels around it. The answer is the sign in the channel that
# counts *and* at the place that is marked.


# %% jupyter={"source_hidden": true}
def mark_places(ax, image, place, colour="w"):
    """A circle around the place that counts, squares around the other places with signs."""
    for spot in image[:4].abs().sum(0).nonzero():
        shape, size = ("o", 11) if (spot == place).all() else ("s", 7)
        ax.plot(spot[1], spot[0], shape, mfc="none", mec=colour, ms=size)


# %% jupyter={"source_hidden": true}
torch.manual_seed(3)
image, answer, plane, place, _ = tasks.cued_signs(1)
fig, axs = plt.subplots(2, 4, figsize=(6.4, 3.6))
draw_planes(axs.flat, image[0], plane[0].item())
for n, ax in enumerate(axs.flat):
    mark_places(ax, image[0], place[0], "k" if n < 4 else "w")
fig.suptitle(f"The answer is the sign in channel {plane.item()}, at the circle", fontsize=9)
alt = """Eight channels of 16 by 16 pixels. Four have four signs each, at the same places in all: one
has a circle, three have squares. In the four cues there are marks around the circle."""
plots.show(fig, alt)

# %% [markdown]
# In a photograph the marks stand for the surroundings that tell an object from its background: what is
# at a pixel does not decide whether the pixel matters, but what is around it does.
#
# **Predict.** How often is a reader right that knows neither channel nor place, how often one that
# knows the channel, and one that knows both? (Sixteen, four and one sign vote.)
#
# <details><summary>Answer</summary>
#
# The one that counts tips the vote where the others are split as evenly as they can be; elsewhere the
# others decide: $\tfrac12 + \binom{n-1}{\lfloor (n-1)/2 \rfloor} / 2^n$ for $n$ signs. For 4 signs this is 11/16,
# for one it is 1, and for 16 the code below prints it.
#
# </details>

# %%
for signs in (16, 4, 1):
    print(f"voting signs {signs:2}: right in {tasks.vote(signs):.3f} of the images")

# %% [markdown]
# ### Two numbers for each pixel
#
# The **spatial gate** pools over the *channels*: every pixel is described by the largest and by the mean
# of its channels. These two maps go through one convolution with a large window, a normalisation and a
# sigmoid, which gives one gain for every pixel.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.spatial_gate(),
    "The maps x are pooled over the channels, by maximum and by mean, to two maps h w. One 7 x 7"
    " convolution makes one map of them, a sigmoid makes gains, and each pixel of x is scaled.",
)

# %% [markdown]
# $$
# M_s = \sigma\bigl(\mathrm{norm}\,(f * [\,\max_c x;\ \mathrm{mean}_c\, x\,])\bigr)
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $[\max; \mathrm{mean}]$ | `b two h w` | each pixel described by two numbers |
# | $f$ | 7 x 7 | a convolution from two maps to one |
# | $M_s$ | `b h w` | gains, each in (0, 1) |
#
# *Paper (equation 3): the mean comes first, and there is no normalisation. Released code: the maximum
# first, no bias, and a BatchNorm. Ours is the released form, since the weights that people exchange
# have it; `check` accepts the paper's order and says whose reading it is.*

# %% [markdown]
# ### Once by hand
#
# Take one row of three pixels with two channels, (4, 0), (0, 0) and (1, 1), and let $f$ be a 1 x 1
# window that subtracts the mean from the maximum. The maxima are 4, 0, 1 and the means 2, 0, 1, so
# the logits are 2, 0, 0 and the gains 0.88, 0.5, 0.5. So the difference says that
# *one channel stands out* at a pixel, which neither number says alone.

# %%
pixels = torch.tensor([[4.0, 0, 1], [0, 0, 1]])  # c w
gains = (pixels.amax(0) - pixels.mean(0)).sigmoid()
print("gains:", *(f"{g:.2f}" for g in gains.tolist()))
claim((gains - torch.tensor([0.88, 0.5, 0.5])).abs().max() < 0.005, "0.88, 0.5 and 0.5")

# %% [markdown]
# ### Exercise: `SpatialGate`

# %% exercise="spatial.spatial_gate"

# %%
check("spatial.spatial_gate", SpatialGate)

# %% [markdown]
# Stuck? `hint("spatial.spatial_gate")`. To read on without solving it:
# `from solutions.spatial import SpatialGate`.

# %%
torch.manual_seed(0)
gate, x = SpatialGate().eval(), torch.randn(2, 16, 5, 7)
apart = (gate.attention(x.flip(1)) - gate.attention(x)).abs().max()
claim(apart < 1e-6, "the order of the channels does not matter to it")
shapes = [(2, 16, 7, 7), (2, 16, 1, 1), (2, 16, 1, 9), (2, 16, 6, 5)]
claim(
    all(gate(torch.randn(size)).shape == size for size in shapes),
    "square, odd, flat or one pixel: it fits",
)
nn.init.zeros_(gate.norm.weight)
claim((gate.attention(x) == 0.5).all(), "with the norm's weight 0, each gain is one half")

# %% [markdown]
# **What you should see.** The gate for pixels does not care which channel is which, as the gate for
# channels does not care where a pixel lies. (*Released code:* the BatchNorm's weight starts at 0, so
# that all gains start at one half, as in the last claim.)

# %% [markdown]
# ### On a photograph
#
# Let us set the weights by hand, as in the example: all 49 weights of the maximum equal, all 49 of the
# mean equal and negative. The channels are red, green and blue. Where one of them stands out, a colour
# is strong.


# %%
def strong_colours():
    """A photograph, and the gains of a gate whose weights are set by hand."""
    photo, gate = photograph("flower", 64, 96), SpatialGate().eval()
    with torch.no_grad():
        gate.conv.weight[:, 0], gate.conv.weight[:, 1] = 1 / 49, -1 / 49
        gate.norm.weight.fill_(40), gate.norm.bias.fill_(-8)
        return photo, gate.attention(rearrange(photo, "h w c -> 1 c h w"))[0]


photo, gains = strong_colours()
claim(gains[32, 48] > 0.9, "the middle of the flower passes")
claim(gains[:8, :8].max() < 0.1, "the leaves in the corner do not")

# %% jupyter={"source_hidden": true}
photo, gains = strong_colours()
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
plots.image(axs[0], photo, "x, three channels")
plots.heat(axs[1], gains, "", "", "gains: strong colour", bar=False)
plots.image(axs[2], photo * rearrange(gains, "h w -> h w 1"), "y: what passes")
axs[1].set(xticks=[], yticks=[])
fig.colorbar(axs[1].images[0], ax=axs[1], shrink=0.7, label="gain")
alt = """A photograph of an orange dahlia before dark leaves (from scikit-learn); a map of gains, bright
on the flower and dark elsewhere; and the flower alone on black."""
plots.show(fig, alt)

# %% [markdown]
# **What you should see.** The gate cuts the flower out, with two descriptors and one window. A trained
# gate does not get raw colours but hundreds of feature maps; what it finds is the same kind of thing:
# places where some map responds much more than the rest.

# %% [markdown]
# ## 6.3 CBAM: which channels, then which pixels
#
# CBAM puts the two gates one behind the other in every block of a network, behind the last convolution
# and before the shortcut is added. First the channel gate scales x; then the spatial gate looks at what
# is left and scales that.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.cbam(),
    "x goes into the channel gate, whose gains, one for each channel, scale x to x'. That goes into"
    " the spatial gate, whose gains, one for each pixel, scale it to y.",
)

# %% [markdown]
# $$
# x' = M_c(x)\, x, \qquad y = M_s(x')\, x'
# $$
#
# | `order` | the channel gate sees | the spatial gate sees |
# |---|---|---|
# | `"channel-spatial"` | x | x scaled by channel |
# | `"spatial-channel"` | x scaled by pixel | x |
# | `"parallel"` | x | x |
#
# *Paper: it does not say how the gains of parallel gates are combined. Here they are multiplied, as they
# are in a sequence.*

# %% [markdown]
# **Predict.** All weights of both gates are 0. What is y?
#
# <details><summary>Answer</summary>
#
# x / 4, since each gate gives one half. You can test an implementation from outside in this way: the CBAM
# of [External-Attention-pytorch](https://github.com/xmu-xiaoma666/External-Attention-pytorch) gives
# 1.25 x, because it adds x on top, which neither the paper nor its released code does.
#
# </details>

# %% [markdown]
# ### Exercise: `CBAM`
#
# `attention` returns the product of the gains, `b c h w`, and `forward` applies it. Call each gate once
# only, because its BatchNorm counts the calls.

# %% exercise="spatial.cbam"

# %%
check("spatial.cbam", CBAM)

# %% [markdown]
# Stuck? `hint("spatial.cbam")`. To read on without solving it: `from solutions.spatial import CBAM`.

# %% [markdown]
# ### Before we compare: how the settings were chosen
#
# The ablations train small networks, and their learning rate must not be chosen on the images that we then
# show. So three rates were tried on *other seeds* (100 to 102) and *other images*, with CBAM in three
# orders, and the rate with the best mean was kept. Here is all of it. Some runs end near one half, which is
# guessing: a gate that shuts the right channel early passes no gradient through it. So we compare what
# the gates *can* do, at a rate where most runs train, and not how easily they train.

# %% jupyter={"source_hidden": true}
print("fraction right on validation images, seeds", *tried["seeds"])
for rate in tried["settings"]["rates"]:
    runs = [run for run in tried["runs"] if run["rate"] == rate]
    for order in dict.fromkeys(run["order"] for run in runs):
        right = [f"{run['right']:.2f}" for run in runs if run["order"] == order]
        print(f"rate {rate:<6} {order:16}", *right)
print("chosen:", tried["chosen"])

# %% [markdown]
# ### Ablation: pooling or a 1 x 1 convolution, 3 x 3 or 7 x 7 (Table 2)
#
# The paper describes a pixel by two pooled numbers, or by one learned mixture of its channels (a 1 x 1
# convolution). Then it convolves, with a small or a large window.
#
# **Predict.** There are four rows: pooling or a 1 x 1 convolution, each followed by 3 x 3 or by 7 x 7.
# Which of them can reach 1 in our task?
#
# <details><summary>Answer</summary>
#
# Those with 7 x 7. A mark is three pixels away from its place and a 3 x 3 sees one pixel far, so that all
# four places look alike to it: the vote, 11/16. A mixture can single out the channels of cues as well as
# a maximum can.
#
# </details>

# %% tags=["nbval-ignore-output"]
cbam, options = partial(CBAM, 8, 1), dict(kernel=7, describe="pool")
found = {"no gate": report("no gate", readers(nn.Identity, seeds=1))}
found["channel gate"] = report("channel gate", readers(partial(ChannelGate, 8, 1)))
for describe, kernel, seeds in (("conv", 3, 3), ("conv", 7, 3), ("pool", 3, 3), ("pool", 7, 5)):
    name = f"{describe}, {kernel} x {kernel}"
    trained = readers(cbam, seeds=seeds, kernel=kernel, describe=describe)
    found[name] = report(name, trained)
narrow = max(found["channel gate"], found["conv, 3 x 3"], found["pool, 3 x 3"])
claim(narrow < 0.73, "without the marks: the vote, 11/16, and no more")
wide = min(found["conv, 7 x 7"], found["pool, 7 x 7"])
claim(wide > 0.9, "with 7 x 7 the marks are seen, however a pixel is described")

# %% [markdown]
# **What you should see.** The accuracies separate the windows and not the descriptions: both 3 x 3 rows
# stay at the vote, both 7 x 7 rows reach 1. The paper's Table 2 prints 22.80 for the channel gate alone;
# with a 1 x 1 convolution 22.96 (3 x 3) and 22.90 (7 x 7), with pooling 22.68 and 22.66. There the
# description makes the difference and the window hardly any. A task of our own tells
# what a part *can* do, and a benchmark whether it is needed.

# %% [markdown]
# ### Ablation: the order (Table 3)
#
# **Predict.** In half of the images a peak tells which channel counts, and it lies anywhere. If the spatial
# gate comes first and opens only the marked place, what does the channel gate see of the peak?
#
# <details><summary>Answer</summary>
#
# Nothing: the peak has been scaled away. Brightness still tells the channel, so that
# $\tfrac12(1 + \tfrac{11}{16}) = \tfrac{27}{32}$ is left. There is one way out: a spatial gate that opens
# the marked place *and* the peaks.
#
# </details>

# %% tags=["nbval-ignore-output"]
found = {}
found["channel-spatial"] = report("channel-spatial", readers(cbam, seeds=5, **options))
for order in ("spatial-channel", "parallel"):
    found[order] = report(order, readers(cbam, seeds=5, order=order))
claim(found["channel-spatial"] > 0.9, "channels first: the median is nearly 1")
claim(found["spatial-channel"] < 0.9, "pixels first: the median stays near 27/32")
claim(found["parallel"] > 0.9, "in parallel: the median is nearly 1")

# %% [markdown]
# **What you should see.** Five seeds each: with channels first and in parallel the runs are right nearly
# always. With pixels first most runs stop near 27/32, as predicted, but a run can find the way out.
# Whether one did can be measured: how large is the gain of the spatial gate at a peak?


# %%
@torch.no_grad()
def at_the_peak(reader):
    """The mean gain of a spatial gate that comes first, at the peak that tells the channel."""
    torch.manual_seed(77)
    image, _, plane, _, peak = tasks.cued_signs(500)
    b = torch.arange(500)
    where = rearrange(image[b, 4 + plane], "b h w -> b (h w)").argmax(-1)
    gains = rearrange(reader.gate.spatial.attention(image), "b h w -> b (h w)")
    return gains[b, where][peak].mean().item()


# %% tags=["nbval-ignore-output"]
first = readers(cbam, seeds=5, order="spatial-channel")
pairs = sorted((at_the_peak(one), tasks.accuracy(one, images=9000)) for one in first)
for gain, right in pairs:
    print(f"gain at the peak {gain:.2f}   right {right:.3f}")
claim(all(right < 0.9 for gain, right in pairs if gain < 0.05), "a shut peak: 27/32 or less")

# %% [markdown]
# **What you should see.** The runs that shut the peak are the ones that stop at 27/32. The second gate sees
# only what the first lets through. In the paper's Table 3 the errors are 22.66 with channels first, 22.78
# with pixels first and 22.95 in parallel, one run each; which order wins depends on what the second gate
# needs to see.


# %% tags=["nbval-ignore-output"]
@cache
def open_places():
    """500 images, and gains: where it counts, at other places, in other channels."""
    torch.manual_seed(6)
    image, _, plane, place, _ = tasks.cued_signs(500)
    gains = readers(cbam, seeds=5, **options)[0].gate.attention(image).detach()
    b, (row, column) = torch.arange(500), place.T
    there = image[:, :4].abs().sum(1) > 0
    there[b, row, column] = False
    others = (plane + torch.arange(1, 4)[:, None]) % 4
    seen = gains[b, plane, row, column], gains[b, plane][there], gains[b, others, row, column]
    return image, plane, place, gains, seen


# %% tags=["nbval-ignore-output"]
here, elsewhere, others = open_places()[-1]
print(f"the channel that counts, at the marked place: {here.mean():.2f}")
print(f"the channel that counts, at three others:     {elsewhere.mean():.2f}")
print(f"the three other channels, at that place:      {others.mean():.2f}")
claim(here.mean() > 0.7, "in the channel that counts, the gate is open at the marked place")
claim(elsewhere.mean() < 0.2, "it is nearly shut at the three other places with signs")
claim(others.mean() < 0.4, "and at the marked place the other channels have smaller gains")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
image, plane, place, gains, (_, _, others) = open_places()
one = others.amax(0).argmin()
fig, axs = plt.subplots(1, 4, figsize=(6.4, 2.0))
for c, ax in enumerate(axs):
    plots.heat(ax, gains[one, c], "", "", f"gains of signs {c}", bar=False)
    ax.set(xticks=[], yticks=[])
    mark_places(ax, image[one], place[one])
fig.suptitle(f"Signs {plane[one].item()} count, at the circle", fontsize=9)
alt = """Four maps of gains. In the one that counts the circle is bright and the three squares are
dark; the other three maps are dark at all four. Other bright pixels hold no sign."""
plots.show(fig, alt)

# %% [markdown]
# **What you should see.** In the channel that counts, the gate is open at the circle and shut at the squares.
# The picture shows the clearest of 500 images; in the mean over all of them the other channels are not quite
# shut at the circle, as the last printed line says. At pixels without a sign the gains multiply zeros,
# so nothing in training says what they should be, and some are bright.

# %% [markdown]
# ## 6.4 BAM: add first, squash once
#
# CBAM's gates multiply, so either of them can shut a pixel. In BAM, by the same authors, the two
# views *discuss* before anything is decided: a channel branch and a spatial branch each compute
# **logits**, these are added, and only the sum goes through a sigmoid. What it lets through is added to
# x, so that nothing can be lost. CBAM stands in every block; BAM stands between the stages of a network,
# three times in a ResNet.
#
# Its spatial branch uses **dilated** convolutions. A 3 x 3 with dilation 4 reads pixels that lie four
# apart, so that two of them see a wide surrounding for few weights: whether a pixel matters depends on
# its context.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.bam(),
    "x goes into a channel branch, which gives c logits, and a spatial branch, which gives h w"
    " logits. Their broadcast sum goes through a sigmoid to a map M of c h w gains; x times M is"
    " added to x.",
)

# %% [markdown]
# $$
# y = x + x\,\sigma(B_c + B_s)
# $$
#
# | | axes | how it is computed |
# |---|---|---|
# | $B_c$ | `b c` | squeeze-and-excitation's two layers, up to the point where it would squash |
# | $B_s$ | `b h w` | 1 x 1 to c / 16 maps, two 3 x 3 with dilation 4, 1 x 1 to one map |
#
# *Paper: one BatchNorm ends each branch. Released code
# ([attention-module](https://github.com/Jongchan/attention-module)): a BatchNorm and a ReLU follow each
# hidden layer, none the last, and the branches are multiplied. Ours: norms as released, the sum as
# printed.*

# %% [markdown]
# **Predict.** Suppose that each branch squashed its own logits before the sum. In which range would the
# gains $\sigma(\sigma(B_c) + \sigma(B_s))$ lie?
#
# <details><summary>Answer</summary>
#
# The inner sum is between 0 and 2, so the gains are between $\sigma(0)$ and $\sigma(2)$, from one half to
# less than nine tenths: no gain could fall below one half. This is why a branch must end in logits, which
# may be negative.
#
# </details>

# %% [markdown]
# ### Exercise: `ChannelBranch`
#
# Two things change against `SqueezeExcite`: one follows from the prediction, the other from the line on
# the released code.

# %% exercise="spatial.channel_branch"

# %%
check("spatial.channel_branch", ChannelBranch)

# %% [markdown]
# Stuck? `hint("spatial.channel_branch")`. To read on without solving it:
# `from solutions.spatial import ChannelBranch`.

# %% [markdown]
# **Predict.** A 3 x 3 convolution with dilation 4 looks at every fourth pixel. How many pixels across
# does one output of $B_s$ see, and at how many of them does it look?
#
# <details><summary>Answer</summary>
#
# Each of the two reaches 4 pixels to either side: 1 + 2 · 2 · 4 = 17 across. The steps are -8, -4, 0, 4
# and 8 in each direction, so it looks at 25 pixels of the 289.
#
# </details>

# %% [markdown]
# ### Exercise: `SpatialBranch`
#
# Four convolutions; a norm and a ReLU after each of the first three.

# %% exercise="spatial.spatial_branch"

# %%
check("spatial.spatial_branch", SpatialBranch)

# %% [markdown]
# Stuck? `hint("spatial.spatial_branch")`. To read on without solving it:
# `from solutions.spatial import SpatialBranch`.


# %%
@cache
def seen_by_one():
    """Which pixels the logit of pixel 10, 12 depends on, with every ReLU open."""
    torch.manual_seed(0)
    branch, x = SpatialBranch(32).eval(), torch.randn(1, 32, 21, 25, requires_grad=True)
    for norm in branch.norms:
        nn.init.constant_(norm.bias, 5.0)
    (slope,) = torch.autograd.grad(branch(x)[0, 10, 12], x)
    return reduce(slope.abs(), "1 c h w -> h w", "sum") > 0


claim(seen_by_one().sum() == 25, "one logit depends on 25 pixels")
across = seen_by_one().any(0).nonzero().diff(dim=0).sum() + 1
claim(across == 17, "and they are 17 pixels across")

# %% jupyter={"source_hidden": true}
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.3))
for ax in axs:
    plots.image(ax, photograph("china", 63, 75)[21:42, 25:50], "x")
axs[1].imshow(seen_by_one(), cmap="Greys_r", alpha=0.6, vmin=0, vmax=1)
axs[1].plot(12, 10, "x", color="#d55e00", ms=9, mew=2)
axs[1].annotate("", (3.4, 16), (20.6, 16), arrowprops=dict(arrowstyle="<->", color="w"))
axs[1].text(12, 15.6, "17 pixels", color="w", ha="center", va="bottom", size=8)
axs[1].set_title("what one logit at the cross looks at")
alt = """A piece of a photograph of a temple (from scikit-learn), and the same under a lattice of five
by five bright cells, four pixels apart and 17 across, around a cross."""
plots.show(fig, alt)

# %% [markdown]
# ### Exercise: `BAM`
#
# `self.combine` is `"sum"`, as in the paper, or `"product"`, which multiplies the logits as the released
# code does.

# %% exercise="spatial.bam"

# %%
check("spatial.bam", BAM)

# %% [markdown]
# Stuck? `hint("spatial.bam")`. To read on without solving it: `from solutions.spatial import BAM`.

# %% [markdown]
# **Predict.** Let the spatial branch have no opinion, $B_s = 0$. What is y with the sum, and with the
# product?
#
# <details><summary>Answer</summary>
#
# With the sum it is $x\,(1 + \sigma(B_c))$: the channel branch decides alone. With the product it is
# $x\,(1 + \sigma(0)) = \tfrac32 x$, whatever $B_c$ says.
#
# </details>

# %%
torch.manual_seed(0)
x, spread = torch.randn(4, 32, 9, 11), {}
for combine in ("sum", "product"):
    bam = BAM(32, combine=combine).eval()
    nn.init.zeros_(bam.spatial.out.weight), nn.init.zeros_(bam.spatial.out.bias)
    gain = bam.attention(x)
    print(f"{combine:8} gains from {gain.min():.3f} to {gain.max():.3f}")
    spread[combine] = (gain.max() - gain.min()).item()
claim(spread["sum"] > 0.1, "sum: the channel branch still decides")
claim(spread["product"] < 1e-6, "product: one silent branch silences the other")

# %% [markdown]
# **What you should see.** Only the product is silenced by one silent branch. With this test you can tell
# the two readings of any implementation apart, without its source. The number of weights cannot tell
# them: section 6.8 counts the same for both.

# %% [markdown]
# ## 6.5 SResNet: 46 weights (may be skipped at first reading)
#
# How little does a spatial gate need? Xu Ma ([github.com/ma-xu](https://github.com/ma-xu)) published
# code, without a paper or a table, for a layer that sees only the *mean* of the channels and shrinks it on
# the way. It is the smallest gate in this course, and it has a fault that is worth meeting.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.spatial_layer(),
    "The mean of the channels of x, 6 by 6 pixels, goes through a 5 x 5 and a 3 x 3 with stride 2 to"
    " 3 by 3 pixels; each becomes a block of 2 by 2; a last 3 x 3 and a sigmoid give the gains.",
)

# %% [markdown]
# **Predict.** Count the weights, biases included. And what happens to a map of 7 x 7?
#
# <details><summary>Answer</summary>
#
# 25 + 9 + 9 and three biases: 46, whatever the number of channels. Stride 2 makes 4 of 7, and blocks make
# 8 of 4: the released code stops with an error on 7 x 7, and on 1 x 1 it returns 2 x 2 without a
# word. So the blocks must be cut to h and w, before the last convolution.
#
# </details>

# %% [markdown]
# ### Exercise: `SpatialLayer`
#
# Follow the figure; cut the repeated blocks to h and w.

# %% exercise="spatial.spatial_layer"

# %%
check("spatial.spatial_layer", SpatialLayer)

# %% [markdown]
# Stuck? `hint("spatial.spatial_layer")`. To read on without solving it:
# `from solutions.spatial import SpatialLayer`.

# %%
torch.manual_seed(0)
layer, x = SpatialLayer(), torch.randn(2, 16, 7, 9)
print("weights:", sum(p.numel() for p in layer.parameters()))
flat = repeat(x.mean(1), "b h w -> b c h w", c=16)
apart = (layer.attention(flat) - layer.attention(x)).abs().max()
claim(apart < 1e-6, "it sees the mean of the channels and nothing else")
sizes = [(7, 7), (1, 1), (8, 5)]
kept = all(layer(torch.randn(2, 3, h, w)).shape == (2, 3, h, w) for h, w in sizes)
claim(kept, "it keeps maps of 7 x 7, 1 x 1 and 8 x 5")

# %% tags=["nbval-ignore-output"]
name, tiny = "channel gate and this", lambda: nn.Sequential(ChannelGate(8, 1), SpatialLayer())
right = report(name, readers(tiny))
print("weights of CBAM's spatial gate:", sum(p.numel() for p in SpatialGate().parameters()))
print(
    "of BAM's branch, 256 channels: ", sum(p.numel() for p in SpatialBranch(256).parameters())
)
claim(right > 0.6, "with 46 weights the gate is at least not in the way")

# %% [markdown]
# **What you should see.** The range is wide: some seeds find the marks with these 46 weights and reach 1,
# others stay at the vote of the channel gate alone. Its view is large enough; to learn it through one mean
# and two ReLUs is hard. CBAM's gate has about twice as many weights, BAM's branch nearly two
# hundred times as many.

# %% [markdown]
# ## 6.6 GALA: sum and product, and a sign (may be skipped at first reading)
#
# CBAM multiplies what it says of channels and pixels, BAM adds it. Linsley et al. (2019) let every channel
# *learn* how much of each it wants, and replace the sigmoid by tanh, so that a gain may even turn the
# sign of a feature. In training, a second loss pulls the sum of the gains towards the ClickMe map of
# the image, that is, towards what people found important.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.gala(),
    "x goes into a global branch, which gives g for each channel, and a local branch, which gives l"
    " for each pixel. a times their sum and mu times their product are added; tanh makes gains of"
    " both signs, which scale x to y.",
)

# %% [markdown]
# $$
# y = x \tanh\bigl(a\,(g + l) + \mu\, g\, l\bigr)
# $$
#
# | | axes | how it is computed |
# |---|---|---|
# | $g$ | `b c` | mean, down, ReLU, up |
# | $l$ | `b h w` | 1 x 1, ReLU, 1 x 1 to one map |
# | $a$, $\mu$ | `c` | learned: how much of the sum, how much of the product |
#
# *Paper: section 3, where $\mu$ is written $m$. Released code
# ([gala_tpu](https://github.com/serre-lab/gala_tpu)): a sigmoid unless another function is chosen, which
# `check` knows as a variant; and one more 5 x 5 convolution in $l$. Ours: as printed.*

# %% [markdown]
# **Predict.** What is y for $a = \mu = 0$? For $a = 0$, which rank does the matrix of the logits have, c by
# (h w)?
#
# <details><summary>Answer</summary>
#
# y is 0 (with a sigmoid it would be x / 2). The rank is 1: a column of channels times a row of pixels;
# with the sum as well it is at most 2.
#
# </details>

# %% [markdown]
# ### Exercise: `GALA`

# %% exercise="spatial.gala"

# %%
check("spatial.gala", GALA)

# %% [markdown]
# Stuck? `hint("spatial.gala")`. To read on without solving it: `from solutions.spatial import GALA`.

# %%
torch.manual_seed(0)
gala, x = GALA(8).double(), torch.randn(1, 8, 5, 7).double()
for a, mu, rank in [(0, 1, 1), (1, 0, 2), (1, 1, 2)]:
    nn.init.constant_(gala.additive, a), nn.init.constant_(gala.multiplicative, mu)
    logits = rearrange(gala.attention(x).atanh(), "1 c h w -> c (h w)")
    found = torch.linalg.matrix_rank(logits, rtol=1e-9).item()
    claim(found == rank, f"a = {a} and mu = {mu}: the logits have rank {rank}, of at most 8")
claim((gala.attention(x) < 0).any(), "some gains turn the sign")
nn.init.zeros_(gala.additive), nn.init.zeros_(gala.multiplicative)
claim((gala(x) == 0).all(), "with a = mu = 0 nothing passes")

# %% [markdown]
# **What you should see.** The ranks are 1, 2 and 2: whatever the weights, a gate of this kind is a sum of at
# most two products of a channel and a pixel. CBAM's gains in parallel have rank 1. That makes these gates
# cheap, and it is their limit: they cannot say "this map here, that map there" freely.
#
# GALA also meets chapter 5: for $l = \mu = 0$ and $a = \tfrac12$ its gains are
# $\tanh(g / 2) = 2\,\sigma(g) - 1$, squeeze-and-excitation stretched to (-1, 1).

# %% [markdown]
# ## 6.7 Grad-CAM: what did it look at?
#
# Gates are weights inside a network that one can look at. But what made a network *without* gates say
# "flower"? Zhou et al. answered this in 2016 for networks that end in an average and one linear layer
# ([class activation maps](https://arxiv.org/abs/1512.04150)). Selvaraju et al. found in 2017 that
# gradients do the same for *any* network. Two tests follow: two photographs, then digits among clutter,
# that is, among pieces of other digits. Such digits look like this.

# %% jupyter={"source_hidden": true}
torch.manual_seed(2)
image, label, box = tasks.clutter(3, test=True)


def frame(ax, one):
    """Draw a frame around the 8 x 8 pixels of the digit."""
    row, column = one.any(1).nonzero()[0], one.any(0).nonzero()[0]
    ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 8, 8, fill=False, ec="#d55e00", lw=1))


fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
for b, ax in enumerate(axs):
    plots.image(ax, 1 - image[b], f"digit {label[b].item()}"), frame(ax, box[b])
plots.show(fig, "Three cluttered images; a frame around the digit in each.")

# %% [markdown]
# ### Gradients say which maps support a class
#
# Take the maps $A$ behind the last convolution and the score $S$ of one class. If a map were a little
# brighter everywhere, would the score rise? That is the gradient, averaged over the pixels. Maps that
# support the class get a positive weight $\alpha_c$, maps that contradict it a negative one, and the
# weighted sum of the maps says *where* the support lies.

# %% jupyter={"source_hidden": true}
plots.show(
    drawn.grad_cam(),
    "An image goes through the features to maps A, and through the head to scores. Backward from the"
    " score S of one class come gradients in the shape of A; their means over the pixels are the"
    " weights alpha. The maps A times alpha, summed over c and rectified, are the map L.",
)

# %% [markdown]
# $$
# \alpha_c = \operatorname*{mean}_{\text{pixels}} \frac{\partial S}{\partial A_c}, \qquad
# L = \mathrm{relu}\Bigl(\sum_c \alpha_c A_c\Bigr)
# $$
#
# (Selvaraju et al. 2017, equations 1 and 2.)
#
# | | axes | what it is |
# |---|---|---|
# | $A$ | `b c h w` | maps inside the network |
# | $S$ | `b` | the score of one class for each image, before the softmax |
# | $\alpha$ | `b c` | how much each map supports it |
# | $L$ | `b h w` | where the support lies |

# %% [markdown]
# **Predict.** The head takes the mean of each map and is linear: $S_k = \sum_c W_{kc} \bar A_c + \beta_k$.
# What is $\alpha_c$, and what do the pixels of $\sum_c \alpha_c A_c$ add up to?
#
# <details><summary>Answer</summary>
#
# Every pixel of $A_c$ counts $W_{kc} / (h w)$ in the score, so that is $\alpha_c$. Added over the pixels
# this gives $\sum_c W_{kc} \bar A_c = S_k - \beta_k$: the map divides the score among the pixels.
#
# </details>

# %% [markdown]
# ### Exercise: `grad_cam`
#
# `head(maps)` gives the scores of all classes, `b k`.

# %% exercise="spatial.grad_cam"

# %%
check("spatial.grad_cam", grad_cam)

# %% [markdown]
# Stuck? `hint("spatial.grad_cam")`. To read on without solving it:
# `from solutions.spatial import grad_cam`. For a model of your own, `split_at(model, layer, x)` in
# `solutions.spatial` gives its `maps` and its `head`.

# %% [markdown]
# ### What made it say "flower"?
#
# A small network with your CBAM learns to tell pieces of one photograph from pieces of the other: a
# temple (0) and a dahlia (1). Then it gets both at once, side by side, and we ask for either class.

# %%
names = ("china", "flower")
photos = torch.stack([rearrange(photograph(n, 96, 144), "h w c -> c h w") for n in names])


def pieces(examples, side=32):
    """Pieces of 32 x 32 pixels, and which photograph they are from."""
    label = torch.randint(2, (examples,))
    tops, lefts = torch.randint(96 - side, (examples,)), torch.randint(144 - side, (examples,))
    cut = zip(label, tops, lefts, strict=True)
    return torch.stack(
        [photos[n, :, top : top + side, left : left + side] for n, top, left in cut]
    ), label


# %% tags=["nbval-ignore-output"]
@cache
def support():
    """Both photographs side by side, and what supports either class in them."""
    net = tasks.train_recogniser(partial(CBAM, reduction=4), 0, steps=60, draw=pieces)
    both = rearrange(photos[:, :, 16:80, 40:104], "b c h w -> 1 c h (b w)")
    maps = net.features(both).detach()
    return both[0], [grad_cam(maps, net.head, torch.tensor([k]))[0] for k in (0, 1)]


right_half = [(one[:, 32:].sum() / one.sum()).item() for one in support()[1]]
print("fraction of the map on the dahlia's half:", *(f"{x:.2f}" for x in right_half))
claim(right_half[0] < 0.3, 'what supports "temple" lies on the temple\'s half')
claim(right_half[1] > 0.7, 'what supports "flower" lies on the flower\'s half')


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
def laid_over(ax, one, h, w):
    """A map over a picture of h x w pixels: the smaller its value, the more transparent."""
    one = (one / one.max().clamp(min=1e-12)).numpy()
    rows, columns = (n // size for n, size in zip((h, w), one.shape, strict=True))
    one = one.repeat(rows, 0).repeat(columns, 1)
    return ax.imshow(one, cmap="viridis", vmin=0, vmax=1, alpha=0.9 * one**0.5)


both, maps = support()
fig, axs = plt.subplots(1, 2, figsize=(6.4, 1.9))
for ax, one, name in zip(axs, maps, ("temple", "flower"), strict=True):
    plots.image(ax, both.mean(0), f'what supports "{name}"')
    seen = laid_over(ax, one, *both.shape[1:])
fig.colorbar(seen, ax=axs, shrink=0.8, label="L / its largest")
alt = """A picture of a temple, left, and a dahlia, right (photographs from scikit-learn, in grey), twice.
For "temple" the map colours the left half only, for "flower" the petals only."""
plots.show(fig, alt)

# %% [markdown]
# **What you should see.** One network, one picture, two questions, two different maps. The centre of the dahlia
# stays nearly grey: the petals were enough to tell the photographs apart. A map shows what *this* network
# used, not what the thing is.

# %% [markdown]
# ### With and without CBAM
#
# The cluttered digits can be measured, since we know where the digit lies. Three convolutions, with
# CBAM behind the last or without; two seeds each. Woo et al. show such maps of ImageNet networks (their
# Figure 4) and report that with CBAM the maps cover the object better. How much of a map lies in our
# frame? The frame is 64 of 384 pixels, so a map that knows nothing has one sixth in it.

# %% tags=["nbval-ignore-output"]
STEPS = 190
plain, gated = (lambda c: nn.Identity()), partial(CBAM, reduction=4)
nets = {"without": [tasks.train_recogniser(plain, seed, STEPS) for seed in range(2)]}

# %% tags=["nbval-ignore-output"]
nets["with CBAM"] = [tasks.train_recogniser(gated, seed, STEPS) for seed in range(2)]

# %% tags=["nbval-ignore-output"]
torch.manual_seed(9)
image, label, box = tasks.clutter(1000, test=True)


@cache
def in_frame(net):
    """How often a network is right, and how much of its maps lies in the frame."""
    maps = net.features(image).detach()
    right = (net.head(maps).argmax(-1) == label).float().mean().item()
    return right, tasks.share_inside(grad_cam(maps, net.head, label), box).mean().item()


# %% tags=["nbval-ignore-output"]
for name, ones in nets.items():
    for right, inside in map(in_frame, ones):
        print(f"{name:10} right {right:.2f}   in the frame {inside:.2f}")
found = [[in_frame(net)[1] for net in ones] for ones in nets.values()]
claim(min(map(min, found)) > 0.5, "in all maps more than three times what chance gives")
claim(
    sum(found[0]) > sum(found[-1]), "in the mean the maps without CBAM have more in the frame"
)

# %% [markdown]
# **What you should see.** All four networks look at the digit far more than chance would. CBAM does not
# make them right more often in these runs, and the maps *without* CBAM have more in the frame. So a tidy
# map is no proof of quality, and attention does not promise a tidier map. (Two seeds and one small task
# say nothing about ImageNet.)


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
def overlay(ax, net, b):
    """What supports the right class, over image b."""
    maps = net.features(image[b : b + 1]).detach()
    return laid_over(ax, grad_cam(maps, net.head, label[b : b + 1])[0], *image.shape[-2:])


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
fig, axs = plt.subplots(3, 4, figsize=(6.4, 3.8))
for row, name in zip(axs, ("the image", *nets), strict=False):
    for b, ax in enumerate(row):
        what = f"digit {label[b].item()}" if name == "the image" else name
        plots.image(ax, 1 - image[b, 0], what), frame(ax, box[b])
        if name in nets:
            seen = overlay(ax, nets[name][0], b)
fig.colorbar(seen, ax=axs[1:], shrink=0.8, label="L / its largest")
plots.show(
    fig,
    "Four cluttered digits, each in a frame; below them the maps of a network without CBAM and of"
    " one with it, both brightest in or near the frame.",
)

# %% [markdown]
# ### The law on your own network

# %%
net = next(reversed(nets.values()))[0]  # with CBAM, once it is written
maps = net.features(image[:4]).detach()
raw = grad_cam(maps, net.head, label[:4], rectify=False)
score = net.head(maps)[torch.arange(4), label[:4]] - net.read.bias[label[:4]]
apart = (reduce(raw, "b h w -> b", "sum") - score).abs().max()
claim(apart < 1e-3, "the pixels of the raw map add up to the score without its bias")
weights = net.read.weight[label[:4]] / maps[0, 0].numel()
direct = einsum(weights, maps, "b c, b c h w -> b h w")
claim((raw - direct).abs().max() < 1e-4, "the weights alpha are those of the head over h w")

# %% [markdown]
# **What you should see.** The two claims hold for any weights, trained or not: under such a head Grad-CAM needs
# no gradient and *is* the class activation map of 2016. If your sum is off by a factor of 96 (the maps
# have 96 pixels), you sum where equation 1 takes a mean.

# %% [markdown]
# ### Ablation: the probability instead of the score


# %%
def of_softmax(maps, head, classes, rectify=True):
    """The gradient of what comes after the softmax."""
    return grad_cam(maps, lambda maps: head(maps).softmax(-1), classes, rectify)


check("spatial.grad_cam", of_softmax)

# %% [markdown]
# **What you should see.** The check names the mistake. A probability also rises when the other classes fall, so
# this map mixes what supports the class with what speaks against its rivals; and where the network is
# sure, the gradient vanishes.

# %% [markdown]
# ## 6.8 The papers' tables, counted (may be skipped at first reading)
#
# **Predict.** How many weights does CBAM add to a block of c channels, with reduction 16 and a 7 x 7 window?
#
# <details><summary>Answer</summary>
#
# Two layers, $2 c^2 / 16$, their biases $c / 16 + c$, a convolution of $2 \cdot 49$, and two of
# BatchNorm. In ResNet-50, with three blocks of 256 channels, four of 512, six of 1024 and three of
# 2048, this makes 2,532,592.
#
# </details>

# %%
blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
added = sum(n * sum(p.numel() for p in CBAM(c).parameters()) for c, n in blocks.items())
print(f"CBAM adds {added:,} weights to ResNet-50: {25_557_032 + added:,}")
claim(added == 2_532_592, "CBAM adds 2,532,592 weights")
added = sum(sum(p.numel() for p in BAM(c).parameters()) for c in (256, 512, 1024))
print(f"BAM adds {added:,} weights: {25_557_032 + added:,}")
claim(25_557_032 + added == 25_915_099, "with BAM ResNet-50 has 25,915,099")

# %%
compare("cbam.table4.resnet50+cbam")

# %%
compare("bam.imagenet.resnet50+bam")

# %% [markdown]
# **What you should see.** Every figure comes out to the digit. One multiply-add is one FLOP here, and the
# ResNet-50 has its stride in the first 1 x 1 convolution, as He et al. had it. The released code of BAM and
# CBAM has it in the 3 x 3.

# %%
compare("cbam.table1.resnet50+avgpool-se")

# %% [markdown]
# **What you should see.** This row is off: Table 1 gives squeeze-and-excitation 25.92 M weights and 3.94 G,
# where Tables 2 and 4 give the same model 28.09 M and 3.860 G. The pair of Table 1 is that of ResNet-50
# with *BAM*, which you counted above. Table 4 is the one to use.

# %%
for row in ("1x1-conv-k3", "1x1-conv-k7", "avg-max-k3", "avg-max-k7"):
    for line in compare(f"cbam.table2.channel+spatial-{row}").lines:
        print(f"{row:12} {line.metric:10} {line.printed!s:8} {line.agreement}")

# %% [markdown]
# **What you should see.** One row does not come out: with a 1 x 1 convolution and 3 x 3 the paper prints
# 3.862 G, where nearly the same is counted as with 7 x 7, 3.869 G. The weights fit. And the caption of
# the paper's Table 6 says +0.9 mAP for CBAM, where its rows say +1.1 and +1.7.

# %% [markdown]
# ## What you have learnt
#
# | gate | looks at | gains for | how they meet | weights |
# |---|---|---|---|---|
# | CBAM, channel | mean and maximum over h, w | channels | | $c^2/8$ and biases |
# | CBAM, spatial | maximum and mean over c, 7 x 7 | pixels | after the channels, a product | 100 |
# | BAM | both at once | both | sum of logits, one sigmoid, plus x | $c^2/8$ and a branch |
# | SResNet | mean over c, shrunk | pixels | | 46 |
# | GALA | both at once | both, with a sign | learned sum and product | |
#
# Grad-CAM shows where any network found support for a class. Each gate scales what is there; none moves
# anything from one pixel to another.

# %% [markdown]
# ### Explain it to somebody
#
# 1. Why does CBAM pool by mean *and* maximum?
# <details><summary>Answer</summary>The mean sees what is everywhere, the maximum what is small and certain. Each misses what the other sees.</details>
#
# 2. What does the spatial gate know about a pixel?
# <details><summary>Answer</summary>The largest and the mean of the channels, there and in the 7 x 7 pixels around it. It does not know which channel was largest.</details>
#
# 3. Why must BAM's branches end in logits?
# <details><summary>Answer</summary>After their own sigmoids the sum would be positive, and the last sigmoid could never go below one half.</details>

# %% [markdown]
# 4. When does it matter which gate comes first?
# <details><summary>Answer</summary>When the second needs to see something that the first shuts out, such as our peak.</details>
#
# 5. What does a bright pixel in a Grad-CAM map mean?
# <details><summary>Answer</summary>That maps which raise the score of this class are active there, in this network. Not that the object is there.</details>

# %% [markdown]
# ### What came after
#
# - [Coordinate attention](https://arxiv.org/abs/2103.02907) (Hou et al., CVPR 2021) pools along rows and
#   along columns separately, so that the channel gains know where.
# - [Triplet attention](https://arxiv.org/abs/2010.03045) (Misra et al., 2020) lets channels meet rows, and
#   channels meet columns, in three cheap branches.
# - [Selective kernels](https://arxiv.org/abs/1903.06586) (Li et al., CVPR 2019) use gains to choose between
#   windows of different sizes.
# - [Grad-CAM++](https://arxiv.org/abs/1710.11063) (Chattopadhay et al., 2017) and
#   [Score-CAM](https://arxiv.org/abs/1910.01279) (Wang et al., 2019) weigh the maps in other ways;
#   `check` knows several such ways.

# %% [markdown]
# - [Sanity checks for saliency maps](https://arxiv.org/abs/1810.03292) (Adebayo et al., 2018) showed that
#   some methods give the same map for a random network. Grad-CAM passed.
#
# All gates of this chapter look at a pixel's surroundings or at the mean of the whole image. None of them
# compares one pixel with another. Chapter 7 does.

# %% [markdown]
# ### References
#
# - Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. <https://arxiv.org/abs/1807.06521>
# - Park, Woo, Lee, Kweon. BAM: Bottleneck Attention Module. <https://arxiv.org/abs/1807.06514>
# - Linsley, Shiebler, Eberhardt, Serre. Learning what and where to attend. <https://arxiv.org/abs/1805.08819>
# - Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra. Grad-CAM. <https://arxiv.org/abs/1610.02391>
# - Zhou, Khosla, Lapedriza, Oliva, Torralba. Learning Deep Features for Discriminative Localization.
#   <https://arxiv.org/abs/1512.04150>
# - Hu, Shen, Sun. Squeeze-and-Excitation Networks. <https://arxiv.org/abs/1709.01507>
