"""The record of `spatial.grad_cam`."""

import torch
from einops import einsum, reduce
from torch import nn
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.spatial import (
    grad_cam,
)


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


def chosen_score(scores, classes):
    return scores[torch.arange(len(scores)), classes].sum()


def mean_over_pixels(gradient):
    return gradient.mean((2, 3), keepdim=True)


def weighted_sum(gains, maps):
    return (gains * maps).sum(1)


def as_told(raw, rectify):
    return raw.relu() if rectify else raw


def cam_recipe(
    scoring=chosen_score, averaging=mean_over_pixels, summing=weighted_sum, ending=as_told
):
    """`grad_cam` with some of its steps replaced."""

    def answer(maps, head, classes, rectify=True):
        with torch.enable_grad():
            maps = maps.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(scoring(head(maps), classes), maps)
        return ending(summing(averaging(gradient), maps.detach()), rectify)

    return answer


def of_the_softmax(scores, classes):
    """You differentiate the probability after the softmax. The score before it is meant: a
    probability also rises when other classes fall."""
    return chosen_score(scores.softmax(-1), classes)


def of_the_log_softmax(scores, classes):
    """You differentiate the logarithm of the probability. The score before the softmax is
    meant."""
    return chosen_score(scores.log_softmax(-1), classes)


def of_the_loss(scores, classes):
    """You differentiate the loss. It is the score of the class: the sign is turned, and the
    softmax is in it."""
    return F.cross_entropy(scores, classes)


def of_the_summed_loss(scores, classes):
    """You differentiate the loss, summed. It is the score of the class: the sign is turned, and
    the softmax is in it."""
    return F.cross_entropy(scores, classes, reduction="sum")


def all_classes(scores, classes):
    """You differentiate the sum of all scores. Only that of the class asked for counts."""
    return scores.sum()


def first_class_for_all(scores, classes):
    """All images get the map of the first image's class. Each has its own in `classes`."""
    return scores[:, classes[0]].sum()


def best_class(scores, classes):
    """You take the class with the largest score. It is the class asked for, `classes`."""
    return scores.amax(-1).sum()


def every_class_asked_for(scores, classes):
    """`scores[:, classes]` takes the classes of all images for every image. Pick one for each:
    `scores[arange, classes]`."""
    return scores[:, classes].sum()


def mean_over_the_batch(scores, classes):
    """You average the scores over the batch: the maps shrink with its size. Sum them; images do
    not mix."""
    return chosen_score(scores, classes) / len(scores)


def of_a_sigmoid(scores, classes):
    """You differentiate a sigmoid of the score. The score itself is meant."""
    return scores[torch.arange(len(scores)), classes].sigmoid().sum()


def next_class(scores, classes):
    """You take the class after the one asked for. Classes count from 0, as `classes` does."""
    return chosen_score(scores, (classes + 1) % scores.shape[-1])


def best_of_the_batch(scores, classes):
    """You take the one largest score of the batch. Each image has its class in `classes`."""
    return scores.amax()


def sign_turned(scores, classes):
    """The sign of the score is turned: you see what speaks against the class."""
    return -chosen_score(scores, classes)


def against_the_others(scores, classes):
    """You subtract the scores of the other classes. Only that of the class asked for counts."""
    return 2 * chosen_score(scores, classes) - scores.sum()


def first_image_alone(scores, classes):
    """Only the first image is differentiated: the maps of the others are 0."""
    return scores[0, classes[0]]


def slopes_of(maps, head, classes):
    """The maps, and the gradient of each image's score."""
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(chosen_score(head(maps), classes), maps)
    return maps.detach(), gradient


def plus_plus(maps, head, classes, rectify=True):
    """These are the gains of Grad-CAM++, which weighs the pixels of each gradient. Grad-CAM
    takes their plain mean."""
    maps, slope = slopes_of(maps, head, classes)
    cubes = (maps * slope**3).sum((2, 3), keepdim=True)
    shares = slope**2 / (2 * slope**2 + cubes + 1e-8)
    raw = ((shares * slope.relu()).sum((2, 3), keepdim=True) * maps).sum(1)
    return raw.relu() if rectify else raw


def by_the_maps(maps, head, classes, rectify=True):
    """These are the gains of XGrad-CAM, in which pixels count as much as the map holds there.
    Grad-CAM takes the plain mean of the gradient."""
    maps, slope = slopes_of(maps, head, classes)
    gains = (slope * maps).sum((2, 3)) / (maps.sum((2, 3)) + 1e-7)
    raw = (gains[:, :, None, None] * maps).sum(1)
    return raw.relu() if rectify else raw


def summed_over_pixels(gradient):
    """The gains are summed over the pixels. Equation 1 averages."""
    return gradient.sum((2, 3), keepdim=True)


def largest_gradient(gradient):
    """The gains are the largest gradients. Equation 1 averages over the pixels."""
    return gradient.amax((2, 3), keepdim=True)


def pixel_by_pixel(gradient):
    """You multiply gradient and map pixel by pixel: that is HiResCAM. Grad-CAM averages the
    gradient over the pixels first."""
    return gradient


def positive_pixels(gradient):
    """You drop negative gradients and multiply pixel by pixel: that is LayerCAM. Grad-CAM
    averages the gradient, signs and all, over the pixels."""
    return gradient.relu()


def positive_gradients(gradient):
    """You drop negative gradients before the mean. Gains keep their sign; the ReLU comes at the
    end."""
    return gradient.relu().mean((2, 3), keepdim=True)


def positive_gains(gradient):
    """You drop negative gains. They keep their sign; the ReLU comes at the end."""
    return gradient.mean((2, 3), keepdim=True).relu()


def absolute_gains(gradient):
    """You take absolute gains: what speaks against the class counts for it."""
    return gradient.mean((2, 3), keepdim=True).abs()


def squared_gradients(gradient):
    """The gains are means of squared gradients. They keep their sign: the plain mean."""
    return gradient.square().mean((2, 3), keepdim=True)


def gains_of_all_images(gradient):
    """The gains are averaged over the batch as well: images mix."""
    return gradient.mean((0, 2, 3), keepdim=True)


def length_of_the_gradient(gradient):
    """The gains are the lengths of the gradients. They are means, with their signs."""
    return gradient.flatten(2).norm(dim=2)[..., None, None]


def gains_as_shares(gradient):
    """You take a softmax of the gains. They stay as they are, with their signs."""
    return gradient.mean((2, 3), keepdim=True).softmax(1)


def gains_of_length_one(gradient):
    """You bring the gains to length 1. They stay as they are: then the map shares out the
    score."""
    return F.normalize(gradient.mean((2, 3), keepdim=True), dim=1)


def averaged_gains(gradient):
    """The gains are averaged over the channels too: each map has its own."""
    return gradient.mean((1, 2, 3), keepdim=True)


def equal_gains(gradient):
    """The gains are left out: you add up the maps as they are."""
    return torch.ones_like(gradient[:, :, :1, :1])


def averaged_maps(gains, maps):
    """You average the weighted maps over the channels. Equation 2 sums."""
    return (gains * maps).mean(1)


def rectified_maps(gains, maps):
    """You rectify each weighted map before the sum. The ReLU comes after it: maps that speak
    against the class must be able to outweigh others."""
    return (gains * maps).relu().sum(1)


def positive_maps(gains, maps):
    """You cut off negative values of the maps before they are weighted. The ReLU comes after
    the sum."""
    return (gains * maps.relu()).sum(1)


def gains_without_maps(gains, maps):
    """The maps themselves are missing: you return the sum of the gradients."""
    return (gains.expand_as(maps)).sum(1)


def squared_maps(gains, maps):
    """You multiply by the squares of the maps. It is the maps themselves."""
    return (gains * maps.square()).sum(1)


def strongest_map(gains, maps):
    """You keep the strongest of the weighted maps. They are summed."""
    return (gains * maps).amax(1)


def never_rectified(raw, rectify):
    """The ReLU is missing: with `rectify` only what speaks for the class is kept."""
    return raw


def always_rectified(raw, rectify):
    """`rectify` is not looked at: with False what speaks against the class stays."""
    return raw.relu()


def rectify_inverted(raw, rectify):
    """`rectify` is read the wrong way round."""
    return raw if rectify else raw.relu()


def absolute_map(raw, rectify):
    """You take the absolute value of the map. What speaks against the class becomes 0."""
    return raw.abs() if rectify else raw


def stretched(raw, rectify):
    """You stretch the map to 0 … 1. That belongs to the figure: the values are comparable
    between images, and sum to the score under a linear head."""
    y = as_told(raw, rectify)
    low, high = y.amin((1, 2), keepdim=True), y.amax((1, 2), keepdim=True)
    return (y - low) / (high - low + 1e-7)


def from_the_smallest(raw, rectify):
    """You take the smallest value off the map. Equation 2 has a ReLU: what speaks against the
    class becomes 0."""
    return raw - raw.amin((1, 2), keepdim=True) if rectify else raw


def over_the_largest(raw, rectify):
    """You divide the map by its largest value. That belongs to the figure: the values are
    comparable between images."""
    y = as_told(raw, rectify)
    return y / (y.amax((1, 2), keepdim=True) + 1e-7)


def one_at_the_largest(raw, rectify):
    """With `rectify` you divide the map by its largest value. That belongs to the figure: the
    values are comparable between images."""
    y = raw.relu()
    return y / y.amax((1, 2), keepdim=True).clamp(min=1e-12) if rectify else raw


def squashed_map(raw, rectify):
    """You squash the map by a sigmoid. Equation 2 has a ReLU."""
    return raw.sigmoid() if rectify else raw


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
    slips=(
        plus_plus,
        by_the_maps,
        *family(
            cam_recipe,
            paired=(of_the_softmax, summed_over_pixels, never_rectified, averaged_maps),
            scoring=(
                of_the_softmax,
                of_the_log_softmax,
                of_the_loss,
                of_the_summed_loss,
                all_classes,
                first_class_for_all,
                best_class,
                best_of_the_batch,
                next_class,
                every_class_asked_for,
                mean_over_the_batch,
                of_a_sigmoid,
                sign_turned,
                against_the_others,
                first_image_alone,
            ),
            averaging=(
                summed_over_pixels,
                largest_gradient,
                pixel_by_pixel,
                positive_pixels,
                positive_gradients,
                positive_gains,
                absolute_gains,
                squared_gradients,
                gains_of_all_images,
                length_of_the_gradient,
                gains_as_shares,
                gains_of_length_one,
                averaged_gains,
                equal_gains,
            ),
            summing=(
                averaged_maps,
                rectified_maps,
                positive_maps,
                gains_without_maps,
                squared_maps,
                strongest_map,
            ),
            ending=(
                never_rectified,
                always_rectified,
                rectify_inverted,
                absolute_map,
                stretched,
                over_the_largest,
                from_the_smallest,
                one_at_the_largest,
                squashed_map,
            ),
        ),
    ),
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
