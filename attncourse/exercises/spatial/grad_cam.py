"""Grad-CAM: where the maps speak for a class, by the gradients of its score."""

import torch
from einops import einsum, reduce
from torch import nn
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.spatial import grad_cam


def fixed(*sizes):
    """Weights of a head, always the same ones."""
    n = torch.tensor(sizes).prod().item()
    return (torch.arange(1, n + 1) * 2.4).sin().double().reshape(sizes)


def linear_head(maps):
    """The mean of each map, then a linear layer: the end of a residual network."""
    c = maps.shape[1]
    return maps.mean((2, 3)) @ fixed(c, 5).to(maps) + fixed(5).to(maps)


def curved_head(maps):
    """Scores whose gradients depend on the maps and on the place."""
    _, c, h, w = maps.shape
    z = torch.einsum("bchw,ck,hw->bk", maps.sin(), fixed(c, 4).to(maps), fixed(h, w).to(maps))
    return z + (z / 3).square()


class WeightedHead(nn.Module):
    """A head with weights of its own, which want gradients in training."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(fixed(channels, 6))

    def forward(self, maps):
        return (maps + maps.square() / 4).mean((2, 3)) @ self.weight.to(maps)


def cam_trials():
    def trial(name, head, classes, rectify=True, **sizes):
        inputs = dict(
            maps="b c h w",
            head=head,
            classes=Given("b", torch.tensor(classes)),
            rectify=rectify,
        )
        return Trial(name, sizes, inputs)

    return (
        trial("with a linear head", linear_head, [3, 0], b=2, c=6, h=5, w=7),
        trial("with a curved head", curved_head, [1, 3, 0], b=3, c=4, h=2, w=5),
        trial("without rectifying", curved_head, [2, 0], False, b=2, c=3, h=6, w=4),
        trial("with a head that has weights", WeightedHead(5), [4, 1], b=2, c=5, h=3, w=4),
    )


# fmt: off
CHOSEN = "scores[torch.arange(len(scores), device=scores.device), classes]"
GAINS = 'reduce(gradient, "b c h w -> b c", "mean")'
WEIGHTED = 'einsum(gains, maps.detach(), "b c, b c h w -> b h w")'

SCORES = (
    *often(
        wrong("of_the_softmax", "head(maps)", "head(maps).softmax(-1)",
              "You differentiate the probability after the softmax. The score before it is meant: a"
              " probability also rises when other classes fall."),
    ),
    wrong("of_the_log_softmax", "head(maps)", "head(maps).log_softmax(-1)",
          "You differentiate the logarithm of the probability. The score before the softmax is"
          " meant."),
    wrong("of_the_loss", "chosen.sum()", "F.cross_entropy(scores, classes)",
          "You differentiate the loss. It is the score of the class: the sign is turned, and the"
          " softmax is in it."),
    wrong("of_the_summed_loss", "chosen.sum()",
          'F.cross_entropy(scores, classes, reduction="sum")',
          "You differentiate the loss, summed. It is the score of the class: the sign is turned,"
          " and the softmax is in it."),
    wrong("mean_over_the_batch", "chosen.sum()", "chosen.mean()",
          "You average the scores over the batch: the maps shrink with its size. Sum them; images"
          " do not mix."),
    wrong("sign_turned", "chosen.sum()", "-chosen.sum()",
          "The sign of the score is turned: you see what speaks against the class."),
    wrong("first_image_alone", "chosen.sum()", "chosen[0]",
          "Only the first image is differentiated: the maps of the others are 0."),
)

CLASSES = (
    wrong("all_classes", "chosen.sum()", "scores.sum()",
          "You differentiate the sum of all scores. Only that of the class asked for counts."),
    wrong("against_the_others", "chosen.sum()", "2 * chosen.sum() - scores.sum()",
          "You subtract the scores of the other classes. Only that of the class asked for counts."),
    wrong("first_class_for_all", CHOSEN, "scores[:, classes[0]]",
          "All images get the map of the first image's class. Each has its own in `classes`."),
    wrong("every_class_asked_for", CHOSEN, "scores[:, classes]",
          "`scores[:, classes]` takes the classes of all images for every image. Pick one for each:"
          " `scores[arange, classes]`."),
    wrong("best_class", CHOSEN, "scores.amax(-1)",
          "You take the class with the largest score. It is the class asked for, `classes`."),
    wrong("best_of_the_batch", CHOSEN, "scores.amax()",
          "You take the one largest score of the batch. Each image has its class in `classes`."),
    wrong("next_class", ", classes]", ", (classes + 1) % scores.shape[-1]]",
          "You take the class after the one asked for. Classes count from 0, as `classes` does."),
)

MEANS = (
    *often(
        wrong("summed_over_pixels", '"mean"', '"sum"',
              "The gains are summed over the pixels. Equation 1 averages."),
    ),
    wrong("pixel_by_pixel", WEIGHTED, "(gradient * maps.detach()).sum(1)",
          "You multiply gradient and map pixel by pixel: that is HiResCAM. Grad-CAM averages the"
          " gradient over the pixels first."),
    wrong("positive_pixels", WEIGHTED, "(gradient.relu() * maps.detach()).sum(1)",
          "You drop negative gradients and multiply pixel by pixel: that is LayerCAM. Grad-CAM"
          " averages the gradient, signs and all, over the pixels."),
    wrong("plus_plus", f"gains = {GAINS}",
          "cubes = (maps.detach() * gradient**3).sum((2, 3), keepdim=True)\n"
          "shares = gradient**2 / (2 * gradient**2 + cubes + 1e-8)\n"
          "gains = (shares * gradient.relu()).sum((2, 3))",
          "These are the gains of Grad-CAM++, which weighs the pixels of each gradient. Grad-CAM"
          " takes their plain mean."),
    wrong("by_the_maps", GAINS,
          "(gradient * maps.detach()).sum((2, 3)) / (maps.detach().sum((2, 3)) + 1e-7)",
          "These are the gains of XGrad-CAM, in which pixels count as much as the map holds there."
          " Grad-CAM takes the plain mean of the gradient."),
)

SUMS = (
    *often(
        wrong("averaged_maps", '-> b h w")', '-> b h w") / maps.shape[1]',
              "You average the weighted maps over the channels. Equation 2 sums."),
    ),
    wrong("equal_gains", WEIGHTED, "maps.detach().sum(1)",
          "The gains are left out: you add up the maps as they are."),
    wrong("gains_without_maps", WEIGHTED, "gains.sum(1)[:, None, None].expand_as(maps[:, 0])",
          "The maps themselves are missing: you return the sum of the gradients."),
    wrong("rectified_maps", WEIGHTED, "(gains[..., None, None] * maps.detach()).relu().sum(1)",
          "You rectify each weighted map before the sum. The ReLU comes after it: maps that speak"
          " against the class must be able to outweigh others."),
    wrong("strongest_map", WEIGHTED, "(gains[..., None, None] * maps.detach()).amax(1)",
          "You keep the strongest of the weighted maps. They are summed."),
)

ENDS = (
    *often(
        wrong("never_rectified", "raw.relu() if rectify else raw", "raw",
              "The ReLU is missing: with `rectify` only what speaks for the class is kept."),
    ),
    wrong("always_rectified", " if rectify else raw", "",
          "`rectify` is not looked at: with False what speaks against the class stays."),
    wrong("rectify_inverted", "raw.relu() if rectify else raw", "raw if rectify else raw.relu()",
          "`rectify` is read the wrong way round."),
    wrong("from_the_smallest", "raw.relu() if",  "raw - raw.amin((1, 2), keepdim=True) if",
          "You take the smallest value off the map. Equation 2 has a ReLU: what speaks against the"
          " class becomes 0."),
    wrong("rectified_too_early", 'raw = einsum(gains, maps.detach(), "b c, b c h w -> b h w")',
          'raw = einsum(gains, maps.detach(), "b c, b c h w -> b c h w")\n'
          'raw = (raw.relu() if rectify else raw).sum(1)',
          "You rectify each channel before they are added. Equation 2 adds the channels, so that some"
          " speak against others, and rectifies the sum."),
    wrong("over_the_largest", "return raw.relu() if rectify else raw",
          "y = raw.relu() if rectify else raw\n"
          "return y / (y.amax((1, 2), keepdim=True) + 1e-7)",
          "You divide the map by its largest value. That belongs to the figure: the values are"
          " comparable between images."),
    wrong("stretched", "return raw.relu() if rectify else raw",
          "y = raw.relu() if rectify else raw\n"
          "y = y - y.amin((1, 2), keepdim=True)\n"
          "return y / (y.amax((1, 2), keepdim=True) + 1e-7)",
          "You stretch the map to 0 … 1. That belongs to the figure: the values are comparable"
          " between images, and sum to the score under a linear head."),
)
# fmt: on


def cam_image_by_image(maps, head, classes, rectify=True):
    """One image at a time, one channel at a time."""
    results = []
    for one, k in zip(maps, classes.tolist(), strict=True):
        with torch.enable_grad():
            one = one[None].detach().requires_grad_()
            (slope,) = torch.autograd.grad(head(one)[0, k], one)
        raw = sum(slope[0, c].mean() * one[0, c].detach() for c in range(one.shape[1]))
        results.append(raw.clamp(min=0) if rectify else raw)
    return torch.stack(results)


def cam_by_onehot(maps, head, classes, rectify=True):
    """The whole batch backwards at once."""
    maps = maps.clone().requires_grad_(True)
    scores = head(maps)
    onehot = F.one_hot(classes, scores.shape[-1]).to(scores)
    slope = torch.autograd.grad(scores, maps, grad_outputs=onehot)[0]
    raw = torch.einsum("bc,bchw->bhw", slope.mean(dim=[2, 3]), maps).detach()
    return F.relu(raw) if rectify else raw


def cam_by_gather(maps, head, classes, rectify=True):
    """With gather, and einops."""
    maps = maps.detach().requires_grad_()
    picked = head(maps).gather(1, classes[:, None])
    slope = torch.autograd.grad(picked.sum(), maps)[0]
    gains = reduce(slope, "b c h w -> b c 1 1", "mean")
    raw = einsum(gains, maps, "b c p q, b c h w -> b h w").detach()
    return raw.clamp_min(0) if rectify else raw


EXERCISE = Exercise(
    id="spatial.grad_cam",
    solution=grad_cam,
    probes={"grad_cam": "b h w"},
    trials=cam_trials,
    slips=(*SCORES, *CLASSES, *MEANS, *SUMS, *ENDS),
    hints=(
        "If every pixel of map A_c rose a little, would the score of the class rise"
        " or fall?"
        " That number is the gain of the map.",
        "Make the maps a leaf that wants gradients, score them, pick each image's"
        " class, and"
        " let `torch.autograd.grad` differentiate the sum of the picked scores. The gain is"
        " the mean of the gradient over h and w.",
        "maps = maps.detach().requires_grad_(); scores = head(maps)\n"
        "chosen = scores[arange(b), classes]; gradient = grad of chosen.sum() by maps\n"
        "gains = gradient, b c h w -> b c, mean\n"
        "sum over c of gains and maps, b h w; relu if rectify",
    ),
    minutes=15,
    difficulty=3,
    otherwise=(cam_image_by_image, cam_by_onehot, cam_by_gather),
    laws=("a_constant_factor", "examples_do_not_mix"),
    skip=frozenset({"gradients", "large", "device"}),
)
