# %% [markdown]
# # 6 · Spatial attention
#
# Squeeze-and-excitation (chapter 5) decides *which* feature maps count in an image. It cannot decide
# *where*: a gain multiplies a whole map, so a map that finds fur is turned up on the dog and on the
# carpet alike. Gather-excite gave each neighbourhood a gain of its own, but in its basic forms for every
# channel separately. Which single pixels matter, judged by all channels together?
#
# In July 2018 Sanghyun Woo, Jongchan Park, Joon-Young Lee and In So Kweon published two blocks that decide
# both questions: [BAM](https://arxiv.org/abs/1807.06514) (BMVC 2018) and
# [CBAM](https://arxiv.org/abs/1807.06521) (ECCV 2018). The picture below shows what a gain for each pixel
# can do.
#
# **About 2½ hours**, of which 87 minutes are exercises. A CPU is enough.

# %%
from collections.abc import Callable, Sequence
from functools import cache, partial

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int
from matplotlib.colors import PowerNorm
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, explore, hint
from attncourse.book import claim, plots
from attncourse.book.drawings import spatial as drawn
from attncourse.book.results import result
from attncourse.papers import compare
from attncourse.tasks import spatial as tasks
from attncourse.tasks.pictures import photograph
from solutions.channel import SqueezeExcite, bottleneck, squeeze
from solutions.spatial import Head, ProjectedSpatialGate, centred

# %% jupyter={"source_hidden": true}
photo = photograph("flower", 64, 96)
x = rearrange(photo, "h w c -> 1 c h w")
stands_out = x.amax(1, keepdim=True) - x.mean(1, keepdim=True)
first_page = (40 * F.avg_pool2d(stands_out, 7, 1, 3) - 8).sigmoid()[0, 0]
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
plots.image(axs[0], photo, "The image x")
plots.heat(axs[1], first_page, "", "", "One gain for each pixel", bar=False)
plots.image(
    axs[2], photo * rearrange(first_page, "h w -> h w 1"), "y: each pixel times its gain"
)
axs[1].set(xticks=[], yticks=[])
fig.colorbar(axs[1].images[0], ax=axs[1], shrink=0.7, label="gain")
alt = """A photograph of an orange dahlia before dark leaves (from scikit-learn); a map of gains, bright
on the flower and dark elsewhere; and the flower alone on black."""
plots.show(fig, alt)

# %% [markdown]
# This gate knows two numbers about each pixel and looks through one window of 7 x 7 pixels, yet it cuts nearly the
# whole dahlia out of its leaves. (Its two numbers were set by hand for this photograph.) By the end of section 6.2 you will have written it.

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
# (Table 4 of the CBAM paper, which prints one number each and no spread.) On a ResNet-50 CBAM is half a point better than
# squeeze-and-excitation: 0.34 of it come with a maximum beside the mean, 0.14 with the gains for pixels
# (their Tables 1 and 2). On a ResNeXt-50 it is no better. For the ResNet-50 with BAM that
# they [released](https://github.com/Jongchan/attention-module), the authors give 76.86 %, an error of 23.14 as well.
#
# CBAM costs almost nothing beyond squeeze-and-excitation. BAM stands in three places only; it has even fewer
# weights, and two per cent more multiply-adds. Being cheap, they stayed:
# [YOLOv4](https://arxiv.org/abs/2004.10934) has a modified form of CBAM's spatial gate, and timm, a PyTorch
# collection of image models, offers CBAM for many networks.

# %% [markdown]
# ### Two more questions of the same years
#
# Can a network be taught to look where people look? Drew Linsley and colleagues asked this in
# [Learning what and where to attend](https://arxiv.org/abs/1805.08819) (ICLR 2019). In their online
# game *ClickMe* people uncovered the parts of an image that give the object away, and the abstract
# counts nearly half a million such maps. Their block, **GALA**, was trained to agree with them.
#
# And how does one find out where a network looks? [Grad-CAM](https://arxiv.org/abs/1610.02391)
# (Selvaraju et al., ICCV 2017) needs no attention in the network, only its gradients. It is still widely
# used.

# %% [markdown]
# One question runs through all blocks of this chapter: how do a gain for channels and a gain for pixels
# meet? CBAM multiplies them, BAM adds them before the sigmoid, and GALA learns how much of both it wants.

# %% [markdown]
# ### What you will do
#
# | you write | you see | you need |
# |---|---|---|
# | CBAM's two gates and CBAM itself, BAM, two further gates, Grad-CAM | which ablations of the paper a task can tell apart; what made a network say "flower"; the paper's table of weights, counted to the digit | `squeeze` and the bottleneck of chapter 5 |
#
# Sections marked "may be skipped" can be left out at first; the rest takes about two hours.

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

# %% [markdown]
# ## 6.1 The channel gate: what the largest value knows
#
# To see what each gate can do, we use one small task whose right answers we know. It comes in two halves.
# The first, in this section, can be solved by gains for channels alone; the second, in section 6.2, needs
# gains for pixels as well.

# %% [markdown]
# An image of the task has eight channels. Four are *sign maps*: one pixel of each is +1 or -1. Four are
# *cue maps*: cue map 0 belongs to sign map 0, and so on. One cue map differs from the others, and the
# sign in the sign map of the same number is the answer. In half of the images that cue map is brighter
# everywhere; in the others it has one peak. (Every cue map also has four marks of value 1, which the
# second half uses. In the code, `plane` is the number of the pair that counts.)


# %% jupyter={"source_hidden": true}
def draw_planes(axs, image, plane):
    """Four sign maps and their four cue maps; around the pair that counts lies a frame."""
    for c, (ax, grid) in enumerate(zip(axs, image, strict=True)):
        if c < 4:
            plots.signed(ax, grid, "", "", "", limit=1.5, bar=False)
        else:
            plots.heat(ax, grid, "", "", "", bar=False).images[0].set_norm(PowerNorm(0.5, 0, 3))
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"sign map {c}" if c < 4 else f"cue map {c - 4}", size=8)
        ax.spines[:].set(visible=True, color="#999999", linewidth=0.6)
        if c % 4 == plane:
            corner, side = -0.5 - len(grid) / 32, len(grid) * 17 / 16
            look = dict(fill=False, ec="#d55e00", lw=2, clip_on=False)
            ax.autoscale(False)
            ax.add_patch(plt.Rectangle((corner, corner), side, side, **look))


# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
image, answer, plane, _, peak = tasks.cued_signs(16, places=1)
fig = plt.figure(figsize=(6.4, 2.9))
for part, which, how in zip(
    fig.subfigures(1, 2),
    (~peak & (answer == 1), peak & (answer == 0)),
    ("One cue map is brighter", "One cue map has a peak"),
    strict=True,
):
    b = which.nonzero()[0].item()
    axs = part.subplots(2, 4)
    draw_planes(axs.flat, image[b], plane[b].item())
    part.suptitle(f"{how}: the answer is {'−+'[answer[b].item()]}", fontsize=9)
    look = dict(orientation="horizontal", shrink=0.8, aspect=30, ticks=[0, 0.5, 1, 3])
    part.colorbar(axs[1, 0].images[0], ax=axs, label="value in a cue map", **look)
fig.supxlabel("signs: red +1, blue −1; orange frame: the pair that counts", fontsize=8)
alt = """Two images of eight channels: four sign maps with one red or blue pixel, and below each its cue
map with four marks. In the first one cue map is brighter, in the second one has a peak; a frame is around
it and its sign map. The answers are + and -."""
plots.show(fig, alt)

# %% [markdown]
# The sign maps stand for feature maps of a photograph that may or may not matter, and the cue maps for
# context: a texture that is everywhere, such as fur, raises the mean of its map; a part that is small and
# certain, such as an eye, raises the maximum alone. The task separates the two exactly. The brighter
# cue map has the same maximum as the others, since the marks are brighter still. The one with a peak has the same
# mean, because all its other pixels are lowered by 3/63, too little to be seen in the figure.

# %%
named = {"another": 4 + (plane + 1) % 4, "counts": 4 + plane}
for kind, which in (("brighter", ~peak), ("a peak", peak)):
    b = which.nonzero()[0].item()  # the image of the figure's kind
    for name, channel in named.items():
        grid = image[b, channel[b]]
        print(f"{kind:9} {name:8} mean {grid.mean():.4f}   largest {grid.max():.0f}")

# %% [markdown]
# The network that has to answer, which we call the *reader*, multiplies every sign map by its gain, adds up
# the pixels of each, and answers + or - by a weighted sum of the four.
#
# **Predict.** How often can the reader be right if its gate sees only the mean of each channel?
#
# <details><summary>Answer</summary>
#
# Where the cue map is brighter, it is always right. Where it has a peak, the gate sees nothing, and all that
# is left is to go with the majority of the four signs, which we call *the vote*. In 8 of 16 cases they
# stand 3 : 1, and the majority is right 3 times in 4; in 2 cases all agree; in 6 there is a tie, which is
# right half of the time. That makes $\tfrac{6 + 2 + 3}{16} = \tfrac{11}{16}$, and over both kinds of
# images $\tfrac12 (1 + \tfrac{11}{16}) = \tfrac{27}{32}$. The same holds for a gate that sees only the
# largest values.
#
# </details>

# %% [markdown]
# ### Mean and maximum through one small network
#
# Squeeze-and-excitation asks every channel for its mean. Woo et al. argue that the maximum gathers
# another clue, about what is distinctive in an object. Their **channel gate** asks for the mean and for the
# largest value. It sends both through the *same* small network of two layers (a multilayer perceptron,
# **MLP**), adds the two results, and takes the sigmoid last.

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
# (Woo et al. 2018, equation 2. Both layers have biases in the authors' code, and so have ours.)
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
# weights can be loaded into it. The maximum costs no weights, only a second run of the MLP, which in a
# ResNet-50 makes 3.863 instead of 3.860 billion multiply-adds.

# %% [markdown]
# ### Ablation: mean, maximum, both (the paper's Table 1)
#
# Now we train small networks. Their learning rate was chosen on other seeds and other images than those
# that are shown here; section 6.3 tells how.


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
claim(found["no gate"] < 0.72, "without a gate the reader is left with the vote, 11/16")
claim(max(found["mean"], found["max"]) < 0.88, "with one pool it reaches 27/32 and no more")
claim(found["mean and max"] > 0.95, "with both pools it is nearly always right")

# %% [markdown]
# **What you should see.** The accuracies come near the ceilings that you derived: 11/16 without a gate,
# 27/32 with either pool, 1 with both; the maximum alone stays a little below in the median. (Three seeds
# on 2000 images each: chance moves the figure of one network by about one hundredth.)

# %% [markdown]
# On ImageNet the paper's Table 1 prints top-1 errors of 24.56 (no gate), 23.14 (mean), 23.20 (max) and
# 22.80 (both). The order is the same, but between mean and both there is a third of a
# point. The task shows what each pool *can* see; it does not show how often photographs need it.

# %% [markdown]
# ## 6.2 The spatial gate: where
#
# The second half of the task needs gains for pixels. Every sign map now has *four* signs, one in each
# quadrant, at the same four places in all maps. In the cue maps, one of these places has a mark at each
# corner of the 7 x 7 pixels around it. The answer is the sign in the map that counts *and* at the place
# that is marked.


# %% jupyter={"source_hidden": true}
def mark_places(ax, image, place, colour="w"):
    """A circle around the place that counts, squares around the other places with signs."""
    for spot in image[:4].abs().sum(0).nonzero():
        shape, size = ("o", 11) if (spot == place).all() else ("s", 7)
        ax.plot(spot[1], spot[0], shape, mfc="none", mec=colour, ms=size)


# %% jupyter={"source_hidden": true}
torch.manual_seed(3)
image, answer, plane, place, _ = tasks.cued_signs(1)
fig, axs = plt.subplots(2, 4, figsize=(6.4, 3.9))
draw_planes(axs.flat, image[0], plane[0].item())
for n, ax in enumerate(axs.flat):
    mark_places(ax, image[0], place[0], "k" if n < 4 else "w")
fig.suptitle(f"The answer is the sign in sign map {plane.item()}, at the circle", fontsize=9)
words = """circle: the place that counts; squares: the other places; orange frame: the maps that count
below: the four corner marks surround the circle; the yellow pixel is the peak"""
fig.supxlabel(words, fontsize=8)
alt = """Eight channels of 16 by 16 pixels. Four have four signs each, at the same places in all: one
has a circle, three have squares. In the four cue maps there are marks around the circle."""
plots.show(fig, alt)

# %% [markdown]
# In a photograph the marks stand for the surroundings that tell an object from its background: what is
# at a pixel does not decide whether the pixel matters, but what is around it does.
#
# **Predict.** How often is a reader right that knows neither map nor place, so that all sixteen signs
# vote? How often is one right that knows the map (four signs vote), and one that knows both?
#
# <details><summary>Answer</summary>
#
# Take four signs, and let the right one be +. The other three are + or - independently of it. If all three
# are + or two are, the majority is +. If two are -, there is a tie. If all three are -, the answer is wrong.
# That is $\tfrac{1 + 3}{8} + \tfrac12 \cdot \tfrac38 = \tfrac{11}{16}$.
#
# In general the right sign helps only where the others are split as evenly as they can be, and otherwise
# they decide, half of the time rightly: $\tfrac12 + \binom{n-1}{\lfloor (n-1)/2 \rfloor} / 2^n$ for $n$
# signs. For one sign this is 1, and for 16 the code below prints it.
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
# The paper (equation 3) puts the mean first and has no normalisation. The authors' code puts the maximum
# first, leaves out the bias and adds a batch normalisation. We follow the code, because the weights that
# people share were trained with it; `check` accepts the paper's order as well.

# %% [markdown]
# ### Once by hand
#
# Take one row of three pixels with two channels, (4, 0), (0, 0) and (1, 1), and let $f$ be a 1 x 1
# window that subtracts the mean from the maximum. The maxima are 4, 0, 1 and the means 2, 0, 1, so
# the logits are 2, 0, 0 and the gains 0.88, 0.5, 0.5. The difference is large where *one channel stands
# out* at a pixel, which neither number says alone.

# %%
pixels = torch.tensor([[4.0, 0, 1], [0, 0, 1]])  # c w
gains = (pixels.amax(0) - pixels.mean(0)).sigmoid()
print("gains:", *(f"{g:.2f}" for g in gains.tolist()))
claim(
    (gains - torch.tensor([0.88, 0.5, 0.5])).abs().max() < 0.005,
    "the gains are 0.88, 0.5 and 0.5",
)

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
    "it keeps square, odd and flat maps, and one pixel",
)
nn.init.zeros_(gate.norm.weight)
claim((gate.attention(x) == 0.5).all(), "with the norm's weight 0, each gain is one half")

# %% [markdown]
# **What you should see.** The gate for pixels does not care which channel is which, as the gate for
# channels does not care where a pixel lies. (In the authors' code the weight of the batch normalisation
# starts at 0, so that all gains start at one half, as in the last claim.)

# %% [markdown]
# ### The picture of the opening
#
# Now you can make the dahlia's gains. The channels are red, green and blue. As in the example by hand, all 49
# weights of the maximum are equal, and all 49 of the mean are equal and negative, so a pixel gets a large
# gain where one colour stands out around it. The factor 40 and the threshold -8 were set by eye.


# %%
@torch.no_grad()
def strong_colours(padding="zeros"):
    """The gains of a gate whose weights are set by hand."""
    gate = SpatialGate().eval()
    gate.conv.padding_mode = padding
    gate.conv.weight[:, 0], gate.conv.weight[:, 1] = 1 / 49, -1 / 49
    gate.norm.weight.fill_(40), gate.norm.bias.fill_(-8)
    return gate.attention(rearrange(photo, "h w c -> 1 c h w"))[0]


# %%
gains, longer = strong_colours(), strong_colours("replicate")
claim((gains - first_page).abs().max() < 0.001, "these are the gains of the opening")
claim(gains[32, 48] > 0.9, "the middle of the flower passes")
claim(gains[:8, :8].max() < 0.1, "the leaves in the corner do not")
print(
    f"second blossom, lower edge: {gains[63, 55]:.2f}; if the image went on: {longer[63, 55]:.2f}"
)

# %% [markdown]
# **What you should see.** Two numbers for each pixel and one window cut the flower out, given a factor and a
# threshold that suit it. The second blossom, at
# the lower edge, stays dark: beyond the border a convolution reads zeros, and there these lower the
# gain from 0.53 to 0.02. A trained gate does not get raw colours but hundreds of feature maps. It may
# find the same kind of thing: places where some map responds much more than the rest.

# %% [markdown]
# ## 6.3 CBAM: which channels, then which pixels
#
# CBAM puts the two gates one behind the other in every block of a residual network, after the last
# convolution and before the shortcut is added. First the channel gate scales x; then the spatial gate looks
# at what is left and scales that.

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
# The paper does not say how the gains of parallel gates are combined. We multiply them, as happens in a
# sequence.

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
# ### Ablation: pooling or a 1 x 1 convolution, 3 x 3 or 7 x 7 (Table 2)
#
# The paper describes a pixel by two pooled numbers, or by one learned mixture of its channels (a 1 x 1
# convolution, which takes the place of the pools):
# $M_s = \sigma(\mathrm{norm}\,(f * (u \cdot x)))$ with one weight $u_c$ for each channel. Then it convolves, with a small or a
# large window.
#
# **Predict.** Pooling or a 1 x 1 convolution can be followed by a 3 x 3 or a 7 x 7 window. Which of these
# four gates can reach 1 in our task?
#
# <details><summary>Answer</summary>
#
# Those with 7 x 7 can. A mark is three pixels away from its place, and a 3 x 3 window sees only one pixel
# far, so that all four places look alike to it and the vote, 11/16, is left. A learned mixture can single
# out the cue maps as well as a maximum can.
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
claim(narrow < 0.73, "gates that do not see the marks are left with the vote, 11/16")
wide = min(found["conv, 7 x 7"], found["pool, 7 x 7"])
claim(wide > 0.9, "gates with 7 x 7 see the marks, however a pixel is described")

# %% [markdown]
# **What you should see.** The window decides and the description does not: both gates with 3 x 3 stay at the
# vote, both with 7 x 7 reach 1. On ImageNet it is the other way round (the paper's Table 2): with a 1 x 1
# convolution the errors are 22.96 (3 x 3) and 22.90 (7 x 7), with pooling 22.68 and 22.66. There the
# description makes the difference and the window hardly any. A task of our own tells what a part *can* do,
# and a benchmark whether it is needed.

# %% [markdown]
# ### Ablation: the order (Table 3)
#
# **Predict.** In half of the images a peak tells which channel counts, and it lies anywhere. If the spatial
# gate comes first and opens only the marked place, what does the channel gate see of the peak?
#
# <details><summary>Answer</summary>
#
# It sees nothing of it: the peak has been scaled away. Brightness still tells the map that counts, so that
# $\tfrac12(1 + \tfrac{11}{16}) = \tfrac{27}{32}$ is left. There is one way out, which is a spatial gate
# that opens the marked place *and* the peaks.
#
# </details>

# %% tags=["nbval-ignore-output"]
found = {}
found["channel-spatial"] = report("channel-spatial", readers(cbam, seeds=5, **options))
for order in ("spatial-channel", "parallel"):
    found[order] = report(order, readers(cbam, seeds=5, order=order))
claim(found["channel-spatial"] > 0.9, "with channels first the median is nearly 1")
claim(found["spatial-channel"] < 0.9, "with pixels first the median stays near 27/32")
claim(found["parallel"] > 0.9, "in parallel the median is nearly 1")

# %% [markdown]
# **What you should see.** With channels first and in parallel all five seeds are right nearly always. With
# pixels first most of them stop near 27/32, as predicted, but a run can find the way out. Whether one did
# can be measured: how large is the gain of the spatial gate at a peak?


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
claim(
    all(right < 0.9 for gain, right in pairs if gain < 0.05),
    "no run that shuts the peak gets beyond 27/32",
)

# %% [markdown]
# **What you should see.** The runs that shut the peak are the ones that stop at 27/32. The second gate sees
# only what the first lets through. In the paper's Table 3 the errors are 22.66 with channels first, 22.78
# with pixels first and 22.95 in parallel; which order wins depends on what the second gate
# needs to see.


# %% [markdown]
# ### What a trained CBAM opens
#
# An image has sixteen places that hold a sign: four places in each of four sign maps. We ask a trained CBAM
# for its gains at these sixteen, put the map that counts and the marked place first, and take the mean over
# 500 images.


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
@cache
def open_places():
    """Mean gains where signs stand: sign maps (the one that counts first) by places (marked first)."""
    torch.manual_seed(6)
    image, _, plane, place, _ = tasks.cued_signs(500)
    gains = readers(cbam, seeds=5, **options)[0].gate.attention(image).detach()
    spots = (image[:, :4].abs().sum(1) > 0).nonzero()
    spots = rearrange(spots, "(b place) brc -> b place brc", place=4)
    marked = (spots[..., 1:] == rearrange(place, "b rc -> b 1 rc")).all(-1)
    order = (~marked).long().argsort(stable=True)
    b, row, column = rearrange(spots[torch.arange(500)[:, None], order], "b s brc -> brc b 1 s")
    maps = (rearrange(plane, "b -> b 1 1") + rearrange(torch.arange(4), "c -> 1 c 1")) % 4
    return gains[b, maps, row, column].mean(0)


# %% tags=["nbval-ignore-output"]
table = open_places()
here, elsewhere, others = table[0, 0], table[0, 1:].mean(), table[1:, 0].mean()
print(f"map that counts, marked place {here:.2f}; its three other places {elsewhere:.2f}")
print(f"three other maps, marked place {others:.2f}")
claim(here > 0.7, "in the map that counts, the gate is open at the marked place")
claim(elsewhere < 0.2, "it is nearly shut at the three other places with signs")
claim(others < 0.4, "and at the marked place the other maps have smaller gains")

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.4, 2.6))
plots.heat(ax, open_places(), "", "", "A trained CBAM opens one of sixteen places", bar=False)
ax.set_xticks(range(4), ["marked place", *["other place"] * 3])
ax.set_yticks(range(4), ["map that counts", *["other map"] * 3])
for row, gains in enumerate(open_places().tolist()):
    for column, gain in enumerate(gains):
        look = dict(ha="center", va="center", color="k" if gain > 0.5 else "w")
        ax.text(column, row, f"{gain:.2f}", **look)
ax.set_aspect(0.45)
fig.colorbar(ax.images[0], ax=ax, shrink=0.9, label="mean gain of 500 images")
alt = """A table of four maps by four places. In the map that counts the marked place has a gain near 1;
all other fifteen gains are near 0 or small."""
plots.show(fig, alt)

# %% [markdown]
# **What you should see.** In the map that counts, the gate is open at the marked place and shut at the others.
# The other maps are not quite shut there. At pixels without a sign the gains multiply zeros, so nothing
# in training says what they should be.

# %% [markdown]
# ### How the learning rate was chosen (may be skipped)
#
# The learning rate of the networks above must not be chosen on the images that we show. So three rates
# were tried on *other seeds* (100 to 102) and *other images*, with CBAM in three orders, and the rate with
# the best mean was kept. The table shows every run. Some runs end near one half, which is guessing: a gate
# that shuts the right map early passes no gradient through it. So the ablations compare what the gates
# *can* do, at a rate where most runs train, and not how easily they train.

# %% jupyter={"source_hidden": true}
print("fraction right on validation images, seeds", *tried["seeds"])
for rate in tried["settings"]["rates"]:
    runs = [run for run in tried["runs"] if run["rate"] == rate]
    for order in dict.fromkeys(run["order"] for run in runs):
        right = [f"{run['right']:.2f}" for run in runs if run["order"] == order]
        print(f"rate {rate:<6} {order:16}", *right)
print("chosen:", tried["chosen"])

# %% [markdown]
# ## 6.4 BAM: add first, then one sigmoid
#
# CBAM's gates multiply, so that one closed gate is enough to shut a feature out. In BAM, by the same authors, neither can decide
# alone: a channel branch and a spatial branch each compute **logits**, the two are added, and the sum goes
# through one sigmoid. What it lets through is added to x, so that nothing can be lost. CBAM stands in every
# block. BAM stands where the maps are halved, three times in a ResNet, so that few of its larger branches are needed.

# %% [markdown]
# Whether a pixel matters depends on its surroundings, so the spatial branch uses **dilated** convolutions. A
# 3 x 3 with dilation 4 reads nine pixels that lie four apart, and two of them in a row see far for few
# weights.

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
# | $B_c$ | `b c` | squeeze-and-excitation's two layers, without the sigmoid at the end |
# | $B_s$ | `b h w` | a 1 x 1 convolution to c / 16 maps, two of 3 x 3 with dilation 4, and a 1 x 1 to one map |
#
# In the paper one batch normalisation ends each branch. In the authors'
# [code](https://github.com/Jongchan/attention-module) a batch normalisation and a ReLU follow each layer
# except the last, and the branches are multiplied. We normalise as the code does, and add as the paper
# does.

# %% [markdown]
# **Predict.** Suppose that each branch applied a sigmoid of its own before the sum. In which range would the
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
# Two things differ from `SqueezeExcite`: there is no sigmoid at the end, and a batch normalisation stands
# before the ReLU.

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
# The branch has four convolutions, and a norm and a ReLU follow each of the first three.

# %% exercise="spatial.spatial_branch"

# %%
check("spatial.spatial_branch", SpatialBranch)

# %% [markdown]
# Stuck? `hint("spatial.spatial_branch")`. To read on without solving it:
# `from solutions.spatial import SpatialBranch`.


# %% jupyter={"source_hidden": true}
def looks_at(logits, x):
    """Which pixels j the logit of each pixel i depends on, as equal shares, `i j`."""
    slope = torch.autograd.functional.jacobian(logits, x)
    seen = reduce(slope.abs(), "1 h w 1 c rows columns -> (h w) (rows columns)", "sum") > 0
    return seen / seen.sum(-1, keepdim=True)


@cache
def views():
    """What BAM's branch looks at, with every ReLU open, and what CBAM's gate looks at."""
    torch.manual_seed(0)
    branch, gate, x = (
        SpatialBranch(8, 2).eval(),
        SpatialGate().eval(),
        torch.randn(1, 8, 21, 25),
    )
    for norm in branch.norms:
        nn.init.constant_(norm.bias, 5.0)
    return looks_at(branch, x), looks_at(gate.attention, x)


# %%
lattice, window = views()
one = rearrange(lattice[10 * 25 + 12] > 0, "(h w) -> h w", h=21)
claim(one.sum() == 25, "one logit depends on 25 pixels")
across = one.any(0).nonzero().diff(dim=0).sum() + 1
claim(across == 17, "and they are 17 pixels across")
claim((window > 0).sum(-1).max() == 49, "a gain of CBAM depends on 49 pixels")

# %%
piece = photograph("china", 63, 75)[21:42, 25:50]
lattice, window = views()
maps = {"CBAM, 7 x 7": window, "BAM, dilation 4": lattice}
alt = """A piece of a photograph of a temple (from scikit-learn) with a query in the middle. For CBAM's gate
a square of 7 by 7 pixels around it is bright; for BAM's branch a lattice of 5 by 5, 17 pixels across."""
explore(piece, maps, queries=(21, 25), query=(10, 12), name="gates", alt=alt)

# %% [markdown]
# **What you should see.** The bright pixels are those on which the gain at the circle depends. CBAM's gate reads
# everything in a small square, BAM's branch reads a wide lattice with holes. Where the page is live, move the
# circle into a corner: how much of each view is left?

# %% [markdown]
# ### Exercise: `BAM`
#
# `self.combine` is `"sum"`, as in the paper, or `"product"`, which multiplies the logits as the authors'
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
# the two readings of any implementation apart, without its source.
#
# **Predict.** BAM multiplies every number by a factor between 1 and 2. In the first half of the task, how often
# can its reader be right? Where the cue map is brighter, the right sign may count 2 and each of the others 1;
# a peak does not show in the means.
#
# <details><summary>Answer</summary>
#
# A sign that counts 2 loses only if the three others all stand against it, so it is right 7 times in 8. With
# a peak the vote is left, 11 in 16. Together $\tfrac12 (\tfrac78 + \tfrac{11}{16}) = \tfrac{25}{32}$, which
# is less than squeeze-and-excitation's 27/32.
#
# </details>

# %% tags=["nbval-ignore-output"]
right = report("BAM", readers(partial(BAM, 8, 1), 1), 1)
print(f"predicted: {25 / 32:.4f}")
claim(right < 0.82, "BAM alone cannot shut a map, so it stays near 25/32")

# %% [markdown]
# **What you should see.** What BAM gains in safety it pays for: a single BAM cannot shut anything. In a network
# three of them follow one another, with convolutions between them that can subtract.

# %% [markdown]
# ## 6.5 SResNet: 46 weights (may be skipped at first reading)
#
# How little does a spatial gate need? Xu Ma ([github.com/ma-xu](https://github.com/ma-xu)) published code,
# without a paper or a table, for the smallest gate in this course. It has a fault that is worth meeting.
#
# The layer takes the mean of all channels, so that one map is left. A 5 x 5 and then a 3 x 3 convolution with
# stride 2, each with a ReLU, shrink it to half its size. Every number is then repeated over a block of
# 2 x 2 pixels, and a last 3 x 3 convolution and a sigmoid make the gains.

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
# The windows have 25 + 9 + 9 weights, and with three biases that makes 46, whatever the number of channels.
# On 7 x 7 pixels the stride leaves 4, and repeating makes 8, one too many. The published code stops with an
# error there, and on 1 x 1 it returns 2 x 2 without a word. So the blocks must be cut to h and w before the
# last convolution.
#
# </details>

# %% [markdown]
# ### Exercise: `SpatialLayer`
#
# Follow the figure, and cut the repeated blocks to h and w.

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
claim(
    right > 0.65, "the median is not below the vote of the channel gate alone, 11/16, by 0.04"
)

# %% [markdown]
# **What you should see.** One of the three seeds finds the marks with these 46 weights; the other two do no
# better than the channel gate alone, so that the view is wide enough, but is not found every time. CBAM's spatial gate has about twice as many weights, BAM's branch nearly two hundred times as many.

# %% [markdown]
# ## 6.6 GALA: sum and product, and a sign (may be skipped at first reading)
#
# CBAM multiplies what it says of channels and pixels, BAM adds it. In GALA (*global and local attention*) a
# global branch gives one number $g$ for each channel, and a local branch one number $l$ for each pixel.
# Every channel then *learns* how much it wants of their sum and of their product. A tanh replaces the
# sigmoid, so that a gain may even turn the sign of a feature.
#
# In training, a second loss pulls the sum of the gains towards the ClickMe map of the image, that is,
# towards what people found important. The abstract reports that this made the network significantly more
# accurate, and the features it uses more similar to those that people use.

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
# This follows section 3 of the paper, where $\mu$ is written $m$. The authors'
# [code](https://github.com/serre-lab/gala_tpu) takes a sigmoid unless another function is chosen, which
# `check` knows as a variant, and has one more 5 x 5 convolution in $l$.

# %% [markdown]
# How freely can such a gate choose? To say "this map here, that map there" it would need a free number for
# every channel and pixel. Write what stands inside the tanh as a matrix with a row for each channel and a
# column for each pixel: its rank says how many products of a channel's number and a pixel's number it holds.
#
# **Predict.** What is y for $a = \mu = 0$? Which rank has the matrix for $a = 0$, and which with the sum as well?
#
# <details><summary>Answer</summary>
#
# y is 0 (with a sigmoid it would be x / 2). For $a = 0$ the rank is 1, since a column of channels is
# multiplied with a row of pixels. With the sum as well it is at most 2.
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
# **What you should see.** The ranks are 1, 2 and 2: whatever the weights, the logits of this gate are a sum of
# at most two products of a channel and a pixel, and the tanh only bends them. CBAM's gains have rank 1 for every image,
# a channel's times a pixel's. That makes these gates cheap, and it is their limit: they cannot say "this map here, that map there"
# freely.
#
# GALA also meets chapter 5: for $l = \mu = 0$ and $a = \tfrac12$ its gains are
# $\tanh(g / 2) = 2\,\sigma(g) - 1$, squeeze-and-excitation stretched to (-1, 1).

# %% [markdown]
# ## 6.7 Grad-CAM: what did it look at?
#
# The gains of a gate can be looked at. But what made a network *without* gates say "flower"? Zhou et al.
# answered this in 2016 for networks that end in an average and one linear layer
# ([class activation maps](https://arxiv.org/abs/1512.04150)). Selvaraju et al. found in 2017 that gradients
# do the same for any network that has feature maps somewhere. Two tests follow: two photographs, and then
# digits in clutter.

# %% [markdown]
# ### Gradients say which maps support a class
#
# Take the maps $A$ behind the last convolution and the score $S$ of one class. If a map were a little
# brighter everywhere, would the score rise? That is the gradient, averaged over the pixels. Maps that
# support the class get a positive weight $\alpha_c$, maps that contradict it a negative one, and the
# weighted sum of the maps says *where* the support lies. Where the sum is negative, the pixels speak for other classes;
# a ReLU leaves these out.

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
# **Predict.** Let the head take the mean $\bar A_c$ of each map and be linear,
# $S_k = \sum_c W_{kc} \bar A_c + \beta_k$, where $W$ are the weights of the last layer and $\beta$ its biases. What
# is $\alpha_c$, and what do the pixels of $\sum_c \alpha_c A_c$ add up to?
#
# <details><summary>Answer</summary>
#
# Every pixel of $A_c$ enters the score with the weight $W_{kc} / (h w)$, so this is $\alpha_c$. Added over the
# pixels the map gives $\sum_c W_{kc} \bar A_c = S_k - \beta_k$: it divides the score among the pixels.
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
    plots.image(ax, both.mean(0), f'What supports "{name}"')
    seen = laid_over(ax, one, *both.shape[1:])
fig.colorbar(seen, ax=axs, shrink=0.8, label="L / its largest")
alt = """A picture of a temple, left, and a dahlia, right (photographs from scikit-learn, in grey), twice.
For "temple" the map colours the left half only, for "flower" the petals only."""
plots.show(fig, alt)

# %% [markdown]
# **What you should see.** One network, one picture, two questions, two different maps. (It was trained on pieces of
# these two photographs.) The centre of the dahlia stays nearly grey, so that by this measure the petals count and it
# does not. A map shows what *this* network used, not what the thing is.

# %% [markdown]
# ### With and without CBAM
#
# Digits among pieces of other digits can be measured, since we know where the digit lies. Woo et al. show maps
# of ImageNet networks (their Figure 4) and report that with CBAM the maps cover the object better. We train
# four networks of three convolutions, two with CBAM behind the last one and two without, and ask how much of
# a map lies in the frame around the digit. The frame is 64 of 384 pixels, so a map that knows nothing has
# one sixth in it.

# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
torch.manual_seed(9)
image, label, box = tasks.clutter(1000, test=True)


def frame(ax, one):
    """Draw a frame around the 8 x 8 pixels of the digit."""
    row, column = one.any(1).nonzero()[0], one.any(0).nonzero()[0]
    ax.add_patch(
        plt.Rectangle((column - 0.5, row - 0.5), 8, 8, fill=False, ec="#d55e00", lw=1.4)
    )


fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
for b, ax in enumerate(axs):
    plots.image(ax, 1 - image[b], f"The digit {label[b].item()} in clutter"), frame(ax, box[b])
plots.show(fig, "Three cluttered images; a frame around the digit in each.")

# %% tags=["nbval-ignore-output"]
STEPS = 190
plain, gated = (lambda c: nn.Identity()), partial(CBAM, reduction=4)
nets = {"without": [tasks.train_recogniser(plain, seed, STEPS) for seed in range(2)]}

# %% tags=["nbval-ignore-output"]
nets["with CBAM"] = [tasks.train_recogniser(gated, seed, STEPS) for seed in range(2)]


# %% tags=["nbval-ignore-output"]
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
claim(
    min(map(min, found)) > 0.5,
    "all maps have more than three times as much in the frame as chance gives",
)
claim(
    sum(found[0]) > sum(found[-1]), "in the mean the maps without CBAM have more in the frame"
)

# %% [markdown]
# **What you should see.** All four networks look at the digit far more than chance would. CBAM does not
# make them right more often in these runs, and the maps *without* CBAM have more in the frame. So attention does not
# promise a tidier map. Whether a tidy map goes with quality, four networks cannot tell, and one small task says
# nothing about ImageNet.


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
def overlay(ax, net, b):
    """What supports the right class, over image b."""
    maps = net.features(image[b : b + 1]).detach()
    found = laid_over(ax, grad_cam(maps, net.head, label[b : b + 1])[0], *image.shape[-2:])
    found.set_alpha(0.75 * found.get_alpha())
    return found


# %% jupyter={"source_hidden": true} tags=["nbval-ignore-output"]
fig, axs = plt.subplots(2, 3, figsize=(6.4, 3.1))
for row, name in zip(axs, nets, strict=True):
    row[0].set_ylabel(name)
    for b, ax in enumerate(row):
        plots.image(ax, 1 - image[b, 0], ""), frame(ax, box[b])
        seen = overlay(ax, nets[name][0], b)
shares = ", ".join(f"{name} {in_frame(ones[0])[1]:.2f}" for name, ones in nets.items())
fig.suptitle(f"Share of the maps within the frame: {shares}", x=0.02, ha="left", fontsize=9)
fig.colorbar(seen, ax=axs, shrink=0.8, label="L / its largest")
plots.show(
    fig,
    "The three cluttered digits, each in a frame: above the maps of a network without CBAM, below of"
    " one with it, both brightest in or near the frame.",
)

# %% [markdown]
# ### The prediction, checked on your own network

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
# no gradient. Before its ReLU it *is* the class activation map of 2016, divided by the number of pixels. The maps have
# half the height and width of the image, 8 x 12 = 96 pixels; if your sum is off by a factor of 96, you sum where
# equation 1 takes a mean.

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
# ## 6.8 For reference: the papers' counts (may be skipped)
#
# **Predict.** How many weights does CBAM add to a block of c channels, with reduction 16 and a 7 x 7 window?
#
# <details><summary>Answer</summary>
#
# The two layers have $2 c^2 / 16$ weights and $c / 16 + c$ biases, the convolution has $2 \cdot 49$ weights,
# and the batch normalisation 2. In a ResNet-50, with three blocks of 256 channels, four of 512, six of
# 1024 and three of 2048, this makes 2,532,592.
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
rows = {
    "CBAM, Table 4": "cbam.table4.resnet50+cbam",
    "BAM, ImageNet table": "bam.imagenet.resnet50+bam",
    "SE, CBAM's Table 4": "cbam.table4.resnet50+se",
    "SE, CBAM's Table 1": "cbam.table1.resnet50+avgpool-se",
}
for name, row in rows.items():
    weights, work = compare(row).lines[:2]
    counted = (
        f"{weights.computed / 1e6:.2f} M weights, {work.computed / 1e9:.3f} G multiply-adds"
    )
    print(f"{name:20} printed {weights.printed}, {work.printed}; counted {counted}")

# %% [markdown]
# **What you should see.** Three rows come out to the digit. The fourth is off: Table 1 of the CBAM paper gives
# squeeze-and-excitation (SE) 25.92 million weights and 3.94 billion multiply-adds, which is the pair of a
# ResNet-50 with *BAM*. Table 4 is the one to use. (The stride of these networks stands in the first 1 x 1
# convolution, as He et al. had it; the authors' code has it in the 3 x 3.)

# %% [markdown]
# ## What you have learnt
#
# *Which pixels matter?* Two pooled numbers and a 7 x 7 window can say so, if the surroundings tell. *How do
# gains for channels and for pixels meet?* As a product, one closed gate is enough, and the gate that comes
# second sees only what the first lets through; as a sum with x beside it, nothing is lost and nothing can be
# shut. *Can networks be taught to look where people look?* Linsley et al. report yes, and a gain in
# accuracy; we have not tried it. *How does one find out where a network looks?* With Grad-CAM, which says what
# supports an answer, not whether it is right.
#
# | gate | looks at | gives gains for | how they meet | weights |
# |---|---|---|---|---|
# | CBAM, channel | mean and maximum over h, w | channels | it comes first | $c^2/8$ and biases |
# | CBAM, spatial | maximum and mean over c, 7 x 7 | pixels | a product, after the channels | 100 |
# | BAM | the mean; a lattice of 25 pixels | both | sum of logits, one sigmoid, plus x | $c^2/8$ and a branch |
# | SResNet | mean over c, shrunk | pixels | it stands alone | 46 |
# | GALA | the mean; each pixel alone | both, with a sign | a learned sum and product, tanh | two branches and $2c$ |

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
# <details><summary>Answer</summary>After sigmoids of their own the sum would be positive, and the last sigmoid could never go below one half.</details>

# %% [markdown]
# 4. When does it matter which gate comes first?
# <details><summary>Answer</summary>It matters when the second needs to see something that the first shuts out, such as our peak.</details>
#
# 5. What does a bright pixel in a Grad-CAM map mean?
# <details><summary>Answer</summary>It means that maps which raise the score of this class are active there, in this network. It does not mean that the object is there.</details>

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
# - [Sanity checks for saliency maps](https://arxiv.org/abs/1810.03292) (Adebayo et al., 2018) showed that
#   some methods give the same map for a random network. Grad-CAM passed.

# %% [markdown]
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
