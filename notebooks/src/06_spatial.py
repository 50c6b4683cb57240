# %% [markdown]
# # 6 · Spatial attention
#
# You will write CBAM's two gates and put them together, BAM, the 46 weights of SResNet, GALA, and
# Grad-CAM. Then you see which ablations a task can tell apart, what networks look at in clutter,
# and CBAM's tables counted to the digit. **120 min · CPU is enough**

# %%
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib.pyplot as plt
import torch
from einops import einsum, rearrange, reduce, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

# %%
from attncourse import check, hint
from attncourse.book import claim, plots
from attncourse.errors import UserError
from attncourse.papers import compare
from attncourse.tasks import spatial as tasks
from attncourse.tasks.cifar10 import cifar10
from solutions.channel import SqueezeExcite, bottleneck, squeeze
from solutions.spatial import Head, ProjectedSpatialGate, centred

# %% [markdown]
# | letter | what it counts |
# |---|---|
# | `b` | images in a batch |
# | `c` | channels |
# | `h` `w` | height and width in pixels |
# | `m` | middle of a bottleneck, c / reduction |
#
# A gain that belongs to a channel is `b c`, one that belongs to a pixel is `b h w`.

# %% [markdown]
# ## 6.1 The channel gate: what the largest value knows
#
# Squeeze-and-excitation asks each map for its mean. Look at two planes that want to be noticed. One
# is brighter everywhere; its largest value is that of any other plane. One has a peak; its mean is
# that of any other.

# %%
torch.manual_seed(0)
image, _, plane, _, peak = tasks.cued_signs(8, places=1)
cues, other = image[torch.arange(8), 4 + plane], image[0, 4 + (plane[0] + 1) % 4]
named = {"any other": other, "brighter": cues[~peak][0], "a peak": cues[peak][0]}
fig, axs = plt.subplots(1, 3, figsize=(6.2, 2.2))
for ax, (title, grid) in zip(axs, named.items(), strict=True):
    title = f"{title}\nmean {grid.mean():.2f}, max {grid.max():.0f}"
    plots.heat(ax, grid, "w", "h", title, high=3, bar=ax is axs[-1])
plots.show(
    fig, "Three planes with four marks each; the second grey all over, the third with a peak."
)

# %% [markdown]
# The task: four planes hold a sign each, four more are their cues. In half the images the plane that
# counts is told by brightness, in half by a peak. The reader adds up each plane of signs and weighs
# the sums.
#
# **Predict.** How often can a gate be right that sees the means only?
#
# <details><summary>Answer</summary>
#
# Where brightness tells, always. Where a peak tells, it takes the vote of four signs: 3 : 1 splits
# come up 8 times in 16 and the majority is right 3 times in 4; 2 times in 16 all agree; 6 times it
# is a tie. That is 11/16. Together $\tfrac12 (1 + \tfrac{11}{16}) = \tfrac{27}{32} \approx 0.844$.
# The same for a gate that sees the largest values only.
#
# </details>

# %% [markdown]
# ### Both, through one MLP
#
# $$
# M_c = \sigma\Bigl(\sum_{p} W_\text{up}\, \mathrm{relu}(W_\text{down}\, p(x))\Bigr), \qquad
# p \in \{\text{mean}, \text{max}\}
# $$
#
# (Woo et al. 2018, equation 2; both layers have biases in the released code.)
#
# | | axes | what it is |
# |---|---|---|
# | $p(x)$ | `b c` | mean or largest value over h, w |
# | $M_c$ | `b c` | gains, each in (0, 1) |
# | $y$ | `b c h w` | x, scaled |
#
# **Predict.** Is it the same to add mean and maximum first and run the MLP once?
#
# <details><summary>Answer</summary>
#
# No: relu(a) + relu(b) is not relu(a + b). Without the ReLU it nearly would be.
#
# </details>

# %% [markdown]
# ### Exercise: `ChannelGate`
#
# `self.pools` holds the names of the pools; `reduce` takes them as they are.

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
print("furthest apart:", (gate(x) - se(x)).abs().max().item())
claim(torch.equal(gate(x), se(x)), "the weights load, and not one number differs")
both = ChannelGate(16, 4)
both.load_state_dict(gate.state_dict())
claim((both(x) - se(x)).abs().max() > 0.05, "with the maximum it is something else")

# %% [markdown]
# **What you should see.** 0.0: chapter 5's block is a case of this one, weights and all. The maximum
# costs no weights, and the MLP a second time: 3.864 against 3.860 GMAC in ResNet-50 (section 6.8).

# %% [markdown]
# ### Ablation: mean, maximum, both (the paper's Table 1)


# %%
def scores(make, places, seeds=3):
    """Accuracies over several seeds."""
    return torch.tensor(
        [
            tasks.accuracy(tasks.train_reader(make, seed, places), places)
            for seed in range(seeds)
        ]
    )


def report(results):
    for name, found in results.items():
        print(f"{name:30} {found.mean():.3f}   from {found.min():.3f} to {found.max():.3f}")


# %% tags=["nbval-ignore-output"]
pools = {
    "no gate": nn.Identity,
    "mean": partial(ChannelGate, 8, 1, ("mean",)),
    "max": partial(ChannelGate, 8, 1, ("max",)),
    "mean and max": partial(ChannelGate, 8, 1),
}
found = {name: scores(make, places=1) for name, make in pools.items()}
report(found)
print(f"ceilings: vote {tasks.vote(4):.4f}, one cue {(1 + tasks.vote(4)) / 2:.4f}")
claim(max(found["mean"].max(), found["max"].max()) < 0.88, "one pool: at most 27/32, nearly")
claim(found["mean and max"].median() > 0.95, "both pools: nearly always right")

# %% [markdown]
# **What you should see.** The vote, 27/32 twice, and 1: three seeds each, on 2000 images, so that
# chance moves a figure by 0.01. On ImageNet the paper prints top-1 errors of 24.56 (no gate), 23.14
# (mean), 23.20 (max) and 22.80 (both), one run each: the same order, but the gap between mean and
# both is a third of a point. The task shows what each pool *can* see; not how often photographs need it.

# %% [markdown]
# ## 6.2 The spatial gate: where
#
# Now four places in each plane, one to a quadrant. The one that counts has a mark at each corner of
# the 7 x 7 pixels around it, in the planes of cues.

# %%
torch.manual_seed(3)
image, answer, plane, place, _ = tasks.cued_signs(1)
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.7))
row, column = place[0].tolist()
signs, marks = image[0, plane[0]], image[0, 4 + (plane[0] + 1) % 4]
plots.signed(axs[0], signs, "w", "h", "Four signs; one counts", limit=1)
plots.heat(axs[1], marks, "w", "h", "Marks around that place")
for ax, colour in zip(axs, "kw", strict=True):
    ax.plot(column, row, "o", mfc="none", mec=colour, ms=12)
plots.show(fig, "Left, four coloured pixels. Right, four marks; a circle in their middle.")

# %% [markdown]
# **Predict.** How often is a reader right that knows neither plane nor place, one that knows the
# plane, and one that knows both?
#
# <details><summary>Answer</summary>
#
# Sixteen signs vote, then four, then one. The others decide unless they balance, and then the right
# one does: $\tfrac12 + \binom{n-1}{\lfloor (n-1)/2 \rfloor} / 2^n$, which is 0.598, 11/16 and 1.
#
# </details>
#
# $$
# M_s = \sigma\bigl(\mathrm{norm}\,(f * [\,\max_c x;\ \mathrm{mean}_c\, x\,])\bigr)
# $$
#
# | | axes | what it is |
# |---|---|---|
# | $[\max; \mathrm{mean}]$ | `b two h w` | each pixel described by two numbers |
# | $f$ | 7 x 7 | a convolution from two planes to one |
# | $M_s$ | `b h w` | gains, each in (0, 1) |

# %% [markdown]
# ### Paper and code
#
# Equation 3 has the mean first and no normalisation. The released code has the maximum first, no
# bias, and a BatchNorm whose weight starts at 0: at the start every gain is a half. Weights that
# people share are in that order, so this is ours. With the mean first `check` passes and says whose
# reading it is.
#
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
claim(apart < 1e-6, "the order of the channels does not matter")
for shape in [(2, 16, 7, 7), (2, 16, 1, 1), (2, 16, 1, 9), (2, 16, 6, 5)]:
    claim(gate(torch.randn(shape)).shape == shape, f"it takes maps of {shape[2:]}")
nn.init.zeros_(gate.norm.weight)
claim((gate.attention(x) == 0.5).all(), "as released, it starts with a half everywhere")

# %% [markdown]
# **What you should see.** Six claims. A gate for channels does not care where pixels lie; a gate for
# pixels does not care which channel is which. Together they should know both.

# %% [markdown]
# ## 6.3 CBAM: what, then where
#
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
# How parallel gates meet, the paper does not say; here their gains multiply, as they do in a sequence.
#
# **Predict.** All weights 0: what is y?
#
# <details><summary>Answer</summary>
#
# x / 4: each gate is a half. An implementation that gives 1.25 x adds x on top; there is a popular one.
#
# </details>

# %% [markdown]
# ### Exercise: `CBAM`
#
# `attention` returns the product of the gains, `b c h w`; `forward` applies it. Call each gate once:
# its BatchNorm counts the calls.

# %% exercise="spatial.cbam"

# %%
check("spatial.cbam", CBAM)

# %% [markdown]
# Stuck? `hint("spatial.cbam")`. To read on without solving it: `from solutions.spatial import CBAM`.

# %% [markdown]
# ### Ablation: a 1x1 convolution or pooling, 3x3 or 7x7 (Table 2)
#
# The paper describes a pixel by two pooled numbers, or by one learned mixture (a 1x1 convolution),
# and then convolves.
#
# **Predict.** Which of the four rows can reach 1 here?
#
# <details><summary>Answer</summary>
#
# Those with 7x7. From the place to a mark it is three pixels; a 3x3 sees one, and the four places look
# alike to it: the vote, 11/16. A mixture can pick the planes of cues as well as a maximum can.
#
# </details>

# %% tags=["nbval-ignore-output"]
found = {"no gate": scores(nn.Identity, 4)}
found["channel gate"] = scores(partial(ChannelGate, 8, 1), 4)
for kernel in (3, 7):
    make = partial(CBAM, 8, 1, kernel, describe="conv")
    found[f"both gates, conv, {kernel}x{kernel}"] = scores(make, 4)
report(found)

# %% tags=["nbval-ignore-output"]
for kernel in (3, 7):
    make = partial(CBAM, 8, 1, kernel)
    found[f"both gates, pool, {kernel}x{kernel}"] = scores(make, 4)
report(found)
narrow = torch.cat([found[f"both gates, {one}, 3x3"] for one in ("conv", "pool")])
wide = [found[f"both gates, {one}, 7x7"].median() for one in ("conv", "pool")]
claim(narrow.max() < 0.73, "a 3x3 sees no mark: the vote, 11/16 = 0.688")
claim(min(wide) > 0.9, "a 7x7 sees them, whatever describes the pixel")

# %% [markdown]
# **What you should see.** 0.6; at most 0.69 or so for the channel gate alone and for 3x3; 1 with the two
# 7x7. This task separates the kernels and not the descriptions. The paper's errors: 22.80 for the channel gate alone; with 1x1 and
# 3x3 22.96, 1x1 and 7x7 22.90, pooled and 3x3 22.68, pooled and 7x7 22.66. There it is the
# description that makes the difference, and the kernel hardly.

# %% [markdown]
# ### Ablation: the order (Table 3)
#
# **Predict.** The peak that tells the plane lies anywhere. What does the channel gate see of it, when
# the spatial gate has worked before?
#
# <details><summary>Answer</summary>
#
# Nothing, if the spatial gate does its work and opens the marked place only. Then brightness still
# tells, the peak does not: $\tfrac12(1 + \tfrac{11}{16}) = \tfrac{27}{32}$ again.
#
# </details>

# %% tags=["nbval-ignore-output"]
found = {
    order: scores(partial(CBAM, 8, 1, order=order), 4)
    for order in ("channel-spatial", "spatial-channel", "parallel")
}
report(found)
claim(found["channel-spatial"].median() > 0.9, "channels first: nearly always right")
claim(found["spatial-channel"].median() < 0.9, "pixels first: the peak is shut out")
claim(found["parallel"].median() > 0.9, "side by side: nearly always right")

# %% [markdown]
# **What you should see.** 1, about 27/32, 1. The second gate sees only what the first lets through. In
# the paper: 22.66 channels first, 22.78 pixels first, 22.95 in parallel. Which order wins depends
# on what the second gate needs to see; the paper has one run of each.

# %% [markdown]
# How these tables were trained: batch 32, 600 steps and the rate come out of a short search for
# settings in which CBAM trains, on the same seeds and the same test set; with others, seeds of
# `"channel-spatial"` ended between 0.696 and 1.000, in one configuration at 0.502. So the tables
# compare mechanisms where CBAM trains, not how easily they train.

# %% tags=["nbval-ignore-output"]
reader = tasks.train_reader(partial(CBAM, 8, 1), seed=0)
torch.manual_seed(5)
image, _, plane, place, _ = tasks.cued_signs(1)
with torch.no_grad():
    gain = reader.gate.attention(image)[0]
fig, axs = plt.subplots(1, 4, figsize=(6.4, 1.9))
for c, ax in enumerate(axs):
    plots.heat(ax, gain[c], "w", "h", f"plane {c}", bar=False)
    ax.plot(place[0, 1], place[0, 0], "o", mfc="none", mec="w", ms=9)
    ax.set(xticks=[0, 5, 10, 15], yticks=[0, 5, 10, 15])
fig.suptitle(f"Gains: plane {plane.item()} counts, at the circle")
plots.show(fig, "Four maps of gains; only the plane that counts is bright, around the circle.")

# %% [markdown]
# **What you should see.** One plane is open, and in it the place with the circle. The gains elsewhere
# meet zeros, so training leaves them as they fall.

# %% [markdown]
# ## 6.4 BAM: add first, squash once
#
# By the same authors. Two branches make logits, one for channels, one for pixels; their sum goes
# through one sigmoid, and what it lets through is added to x:
#
# $$
# y = x + x\,\sigma(B_c + B_s)
# $$
#
# | | axes | layers |
# |---|---|---|
# | $B_c$ | `b c` | mean, down, norm, ReLU, up |
# | $B_s$ | `b h w` | 1x1, two 3x3 with dilation 4, each with norm and ReLU; 1x1 |
#
# CBAM stands in every block, BAM between the stages of a network.

# %% [markdown]
# ### Exercise: `ChannelBranch`
#
# As squeeze-and-excitation, with a normalisation in the middle, and without the sigmoid.

# %% exercise="spatial.channel_branch"

# %%
check("spatial.channel_branch", ChannelBranch)

# %% [markdown]
# Stuck? `hint("spatial.channel_branch")`. To read on without solving it:
# `from solutions.spatial import ChannelBranch`.

# %% [markdown]
# **Predict.** A 3x3 convolution with dilation 4 looks at every fourth pixel. How many pixels across
# does one output of $B_s$ see, and how many of them?
#
# <details><summary>Answer</summary>
#
# Each of the two reaches 4 to either side: 1 + 2 · 2 · 4 = 17 across. Steps are -8, -4, 0, 4 and 8:
# 25 pixels of the 289.
#
# </details>
#
# ### Exercise: `SpatialBranch`

# %% exercise="spatial.spatial_branch"

# %%
check("spatial.spatial_branch", SpatialBranch)

# %% [markdown]
# Stuck? `hint("spatial.spatial_branch")`. To read on without solving it:
# `from solutions.spatial import SpatialBranch`.

# %%
torch.manual_seed(0)
branch, x = SpatialBranch(32).eval(), torch.randn(1, 32, 21, 25, requires_grad=True)
for norm in branch.norms:
    nn.init.constant_(norm.bias, 5.0)  # every ReLU open
(slope,) = torch.autograd.grad(branch(x)[0, 10, 12], x)
seen = reduce(slope.abs(), "1 c h w -> h w", "sum") > 0
fig, ax = plt.subplots(figsize=(3.6, 2.7))
plots.heat(ax, seen.float(), "w", "h", "One logit sees 25 pixels, 17 across", bar=False)
plots.show(fig, "A lattice of five by five bright cells, four apart, around the middle.")
claim(seen.sum() == 25 and seen.any(0).nonzero().diff(dim=0).sum() == 16, "25, 17 across")

# %% [markdown]
# ### Exercise: `BAM`
#
# `self.combine` is `"sum"`, as in the paper. `"product"` multiplies the logits instead: the released
# code does so, and many ask why.

# %% exercise="spatial.bam"

# %%
check("spatial.bam", BAM)

# %% [markdown]
# Stuck? `hint("spatial.bam")`. To read on without solving it: `from solutions.spatial import BAM`.

# %% [markdown]
# **Predict.** Let the spatial branch fall silent, $B_s = 0$. What is y with the sum, and with the
# product?
#
# <details><summary>Answer</summary>
#
# Sum: $x\,(1 + \sigma(B_c))$, the channels still speak. Product: $\sigma(0) = \tfrac12$ whatever
# $B_c$ says, so $y = 1.5\,x$.
#
# </details>

# %%
torch.manual_seed(0)
x = torch.randn(4, 32, 9, 11)
for combine in ("sum", "product"):
    bam = BAM(32, combine=combine).eval()
    nn.init.zeros_(bam.spatial.out.weight), nn.init.zeros_(bam.spatial.out.bias)
    gain = bam.attention(x)
    print(f"{combine:8} gains from {gain.min():.3f} to {gain.max():.3f}")
    silent = (gain - 0.5).abs().max() < 1e-6
    said = "not to" if combine == "sum" else "to"
    claim(silent == (said == "to"), f"{combine}: silence spreads {said} the other branch")

# %% [markdown]
# **What you should see.** Only the product is silenced. By this you can tell any implementation,
# without its source. The three BAMs of ResNet-50 have the same weights either way, so tables of
# parameters cannot tell: section 6.8.

# %% [markdown]
# ## 6.5 SResNet: 46 weights
#
# Xu Ma's spatial layer sees the mean of the channels alone, and coarsely:
#
# mean · 5x5 · ReLU · 3x3 with stride 2 · ReLU · each pixel a block of 2 x 2 · 3x3 · sigmoid
#
# **Predict.** Count the weights, biases included. And what happens to a map of 7 x 7?
#
# <details><summary>Answer</summary>
#
# 25 + 9 + 9 and three biases: 46, whatever the channels. Stride 2 makes 4 of 7, and blocks make 8: the
# released code stops with an error, and on 1 x 1 silently returns 2 x 2. So cut to h and w.
#
# </details>

# %% [markdown]
# ### Exercise: `SpatialLayer`

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
for h, w in [(7, 7), (1, 1), (8, 5)]:
    claim(layer(torch.randn(2, 3, h, w)).shape == (2, 3, h, w), f"it keeps maps of {h} x {w}")

# %% [markdown]
# **What you should see.** 46, and four claims. Compare: CBAM's spatial gate has 100, BAM's spatial
# branch at 256 channels 8,865. If the odd maps fail, cut after the blocks and before the last
# convolution.

# %% [markdown]
# ## 6.6 GALA: sum and product, and a sign
#
# Linsley et al. (2019) let each channel mix both ways of combining what the image says of channels,
# $g$, and what a pixel says of itself, $l$:
#
# $$
# y = x \tanh\bigl(a\,(g + l) + m\, g\, l\bigr)
# $$
#
# | | axes | layers |
# |---|---|---|
# | $g$ | `b c` | mean, down, ReLU, up |
# | $l$ | `b h w` | 1x1, ReLU, 1x1 to one map |
# | $a$, $m$ | `c` | shares of sum and product |

# %% [markdown]
# **Predict.** What is y for a = m = 0? Which rank has the matrix of logits, c by (h w), for a = 0?
# What can tanh do that no sigmoid can?
#
# <details><summary>Answer</summary>
#
# 0 (with a sigmoid x / 2). Rank 1: a column of channels times a row of pixels; with the sum as well
# at most 2. Turn the sign of x.
#
# </details>
#
# ### Exercise: `GALA`
#
# Its released code squashes by a sigmoid unless told otherwise: a variant, which `check` knows.

# %% exercise="spatial.gala"

# %%
check("spatial.gala", GALA)

# %% [markdown]
# Stuck? `hint("spatial.gala")`. To read on without solving it: `from solutions.spatial import GALA`.

# %%
torch.manual_seed(0)
gala, x = GALA(8).double(), torch.randn(1, 8, 5, 7).double()
for a, m, rank in [(0, 1, 1), (1, 0, 2), (1, 1, 2)]:
    nn.init.constant_(gala.additive, a), nn.init.constant_(gala.multiplicative, m)
    logits = rearrange(gala.attention(x).atanh(), "1 c h w -> c (h w)")
    found = torch.linalg.matrix_rank(logits, rtol=1e-9).item()
    print(f"a = {a}, m = {m}: rank {found} of 8")
    claim(found == rank, "as predicted")
claim((gala.attention(x) < 0).any(), "some gains turn the sign")
nn.init.zeros_(gala.additive), nn.init.zeros_(gala.multiplicative)
claim((gala(x) == 0).all(), "without shares GALA is silent")

# %% [markdown]
# **What you should see.** Ranks 1, 2, 2 of 8: whatever the weights, such a map is a sum of few products
# of a channel and a pixel. CBAM's gains in parallel are of that kind as well. It is what makes them
# cheap.
#
# GALA meets chapter 5 too: with $l = 0$, $m = 0$, $a = \tfrac12$ it is
# $\tanh(g / 2) = 2\,\sigma(g) - 1$, squeeze-and-excitation stretched to (-1, 1).

# %% [markdown]
# ## 6.7 Grad-CAM: what did it look at?
#
# A network sorts digits; each lies somewhere in pieces of other digits. Which pixels made it say
# "7"?

# %%
torch.manual_seed(2)
image, label, box = tasks.clutter(3, test=True)
fig, axs = plt.subplots(1, 3, figsize=(6.4, 1.8))
for b, ax in enumerate(axs):
    plots.image(ax, 1 - image[b], f"a {label[b].item()}")
    rows, columns = box[b].any(1).nonzero(), box[b].any(0).nonzero()
    ax.add_patch(plt.Rectangle((columns[0] - 0.5, rows[0] - 0.5), 8, 8, fill=False, ec="C1"))
plots.show(fig, "Three cluttered images; a frame around the digit in each.")

# %% [markdown]
# ### Gradients say which maps speak for a class
#
# $$
# \alpha_c = \frac{1}{h w} \sum_{i, j} \frac{\partial s}{\partial A_{c i j}}, \qquad
# L = \mathrm{relu}\Bigl(\sum_c \alpha_c A_c\Bigr)
# $$
#
# (Selvaraju et al. 2017, equations 1 and 2.)
#
# | | axes | what it is |
# |---|---|---|
# | $A$ | `b c h w` | maps inside the network |
# | $s$ | `b` | score of a class, before the softmax |
# | $\alpha$ | `b c` | how much each map speaks for it |
# | $L$ | `b h w` | where they speak for it |

# %% [markdown]
# **Predict.** The head takes the mean of each map and is linear, $s_k = \sum_c W_{kc} \bar A_c + \beta_k$.
# What is $\alpha_c$, and what do the pixels of $\sum_c \alpha_c A_c$ sum to?
#
# <details><summary>Answer</summary>
#
# Every pixel of $A_c$ counts $W_{kc} / (h w)$, so that is $\alpha_c$. The sum over pixels is
# $\sum_c W_{kc} \bar A_c = s_k - \beta_k$: the map shares the score out among the pixels.
#
# </details>
#
# ### Exercise: `grad_cam`
#
# `head(maps)` gives the scores of all classes, `b k`.

# %% exercise="spatial.grad_cam"

# %%
check("spatial.grad_cam", grad_cam)

# %% [markdown]
# Stuck? `hint("spatial.grad_cam")`. To read on without solving it:
# `from solutions.spatial import grad_cam`. For any model: `split_at(model, layer, x)` in
# `solutions.spatial` gives its `maps` and `head`.

# %% [markdown]
# ### With and without CBAM
#
# Three convolutions, CBAM behind the last or not; three seeds each. How much of a map lies in the
# frame? The frame is 64 of 384 pixels: a map that knows nothing has 0.167 in it.

# %% tags=["nbval-ignore-output"]
plain, gated = (lambda c: nn.Identity()), partial(CBAM, reduction=4)
nets = {"without": [tasks.train_recogniser(plain, seed) for seed in range(3)]}

# %% tags=["nbval-ignore-output"]
nets["with CBAM"] = [tasks.train_recogniser(gated, seed) for seed in range(3)]

# %% tags=["nbval-ignore-output"]
torch.manual_seed(9)
image, label, box = tasks.clutter(1000, test=True)
for name, ones in nets.items():
    for net in ones:
        maps = net.features(image).detach()
        right = (net.head(maps).argmax(-1) == label).float().mean()
        inside = tasks.share_inside(grad_cam(maps, net.head, label), box).mean()
        print(f"{name:10} right {right:.2f}   in the frame {inside:.2f}")
        claim(inside > 0.3 and right > 0.75, "right, and in the frame, far above chance")

# %% [markdown]
# **What you should see.** All six look at the digit far more than chance. They are right equally
# often, within the spread of the seeds, near 0.9; and the maps *without* CBAM have more in the frame,
# near 0.77 against 0.57 to 0.72. A map says what made the score. It is no measure of quality, and
# attention does not promise that it becomes tidier.

# %% tags=["nbval-ignore-output"]
shown = [0, 1, 2, 3]
fig, axs = plt.subplots(3, 4, figsize=(6.4, 4.0))
for ax, b in zip(axs[0], shown, strict=True):
    plots.image(ax, 1 - image[b, 0], f"a {label[b].item()}")
for row, (name, ones) in zip(axs[1:], nets.items(), strict=True):
    maps = ones[0].features(image[shown]).detach()
    drawn = grad_cam(maps, ones[0].head, label[shown])
    for ax, one in zip(row, drawn, strict=True):
        plots.image(ax, one / one.max().clamp(min=1e-9), name)
plots.show(
    fig, "Cluttered digits, and below them maps without and with CBAM, bright on the digit."
)

# %% [markdown]
# ### Photographs, where they are on disk
#
# CIFAR-10 has 32 x 32 pixels and ten kinds of things. It is not part of the course: `attncourse data
# cifar10` fetches it. Without it the next cell prints a line, and you go on.

# %% tags=["nbval-ignore-output"]
try:
    photos, unseen = cifar10("train", count=10_000), cifar10("test", count=1000)
except UserError as error:
    photos = None
    print(f"No photographs here; go on. {error}")


def draw(examples):
    """Some photographs and what they show."""
    which = torch.randint(len(photos.label), (examples,))
    return photos.image[which], photos.label[which]


# %% tags=["nbval-ignore-output"]
if photos:
    fig, axs = plt.subplots(3, 5, figsize=(6.4, 4.2))
    for ax, one, k in zip(axs[0], unseen.image, unseen.label, strict=False):
        plots.image(ax, one, photos.names[k])
    for row, name in zip(axs[1:], ("without", "CBAM"), strict=True):
        attention = gated if name == "CBAM" else plain
        net = tasks.train_recogniser(attention, seed=0, steps=150, draw=draw)
        drawn = grad_cam(net.features(unseen.image[:5]), net.head, unseen.label[:5])
        for ax, one in zip(row, drawn, strict=True):
            plots.image(ax, one / one.max().clamp(min=1e-9), name)
    plots.show(fig, f"{photos.title}: five photographs, and maps without and with CBAM.")

# %% [markdown]
# ### The law on your own network

# %%
net = next(reversed(nets.values()))[0]  # with CBAM, once it is written
maps = net.features(image[:4]).detach()
raw = grad_cam(maps, net.head, label[:4], rectify=False)
score = net.head(maps)[torch.arange(4), label[:4]] - net.read.bias[label[:4]]
apart = (reduce(raw, "b h w -> b", "sum") - score).abs().max()
claim(apart < 1e-3, "the pixels of the raw map sum to the score without its bias")
weights = net.read.weight[label[:4]] / maps[0, 0].numel()
direct = einsum(weights, maps, "b c, b c h w -> b h w")
claim((raw - direct).abs().max() < 1e-4, "the gains are the weights over h w")

# %% [markdown]
# **What you should see.** Two claims that hold for any weights, trained or not. Under such a head
# Grad-CAM needs no gradient. If your sum is off by the factor 96, you sum where equation 1 averages.

# %% [markdown]
# ### Ablation: the probability instead of the score


# %%
def of_softmax(maps, head, classes, rectify=True):
    """The gradient of what comes after the softmax."""
    return grad_cam(maps, lambda maps: head(maps).softmax(-1), classes, rectify)


check("spatial.grad_cam", of_softmax)

# %% [markdown]
# **What you should see.** Recognised by its name. A probability rises when other classes fall, so
# this map mixes what speaks for the class with what speaks against its rivals; and where the network
# is sure, the gradient vanishes.

# %% [markdown]
# ## 6.8 The paper's tables, counted
#
# **Predict.** How many weights does CBAM add to a block of C channels, with reduction 16 and a 7x7?
#
# <details><summary>Answer</summary>
#
# Two layers, $2 C^2 / 16$, their biases $C / 16 + C$, a convolution of $2 \cdot 49$, and two of
# BatchNorm. In ResNet-50, with three blocks of 256 channels, four of 512, six of 1024 and three of
# 2048: 2,532,592.
#
# </details>

# %%
blocks = {256: 3, 512: 4, 1024: 6, 2048: 3}
added = sum(n * sum(p.numel() for p in CBAM(c).parameters()) for c, n in blocks.items())
print(f"CBAM adds {added:,} weights to ResNet-50: {25_557_032 + added:,}")
claim(added == 2_532_592, "as predicted")
added = sum(sum(p.numel() for p in BAM(c).parameters()) for c in (256, 512, 1024))
print(f"BAM adds {added:,} weights: {25_557_032 + added:,}")
claim(25_557_032 + added == 25_915_099, "between the stages, BAM adds a seventh of that")

# %%
compare("cbam.table4.resnet50+cbam")

# %%
compare("bam.imagenet.resnet50+bam")

# %% [markdown]
# **What you should see.** Every figure to the digit. One multiply-add is one FLOP here, and ResNet-50
# has its stride in the first 1x1, as He et al. had it. BAM's and CBAM's released code has it in the
# 3x3: there ResNet-50 with CBAM takes 4.096 G.

# %%
compare("cbam.table1.resnet50+avgpool-se")

# %% [markdown]
# **What you should see.** "Off": Table 1 gives squeeze-and-excitation 25.92 M weights and 3.94 G, Tables
# 2 and 4 give the same model 28.09 M and 3.860 G. The pair of Table 1 is that of ResNet-50 with *BAM*,
# which you counted above. Use Table 4.

# %%
for row in ("1x1-conv-k3", "1x1-conv-k7", "avg-max-k3", "avg-max-k7"):
    for line in compare(f"cbam.table2.channel+spatial-{row}").lines:
        print(f"{row:12} {line.metric:10} {line.printed!s:8} {line.agreement}")

# %% [markdown]
# **What you should see.** One row does not come out: with a 1x1 convolution and 3x3 the paper prints
# 3.862 G, where 3.869 are counted, as with the 7x7. The 1x1 over all channels costs 5.5 M
# multiply-adds, both kernels less than 1 M. The weights fit. And Table 6's caption says +0.9 mAP for
# CBAM where its rows say +1.1 and +1.7.

# %% [markdown]
# You now have every common way to say *what* and *where* by a gain. All of them look at a pixel's
# neighbourhood or at the whole image's mean. None compares one pixel with another. Chapter 7 does.
