"""Maps with a legend: what they hold, and what cannot be read without the legend."""

import pytest
import torch

from attncourse.tasks.scenes import (
    COLOURS,
    KINDS,
    MARGIN,
    NOISE,
    SYMBOLS,
    Segmenter,
    accuracy,
    maps,
    named,
    train,
    unseen,
)
from solutions.non_local import DANetHead


def nearest(pixel, palette):
    return (pixel[None] - palette).square().sum(-1).argmin().item()


def test_the_legend_says_the_class_of_every_pixel():
    torch.manual_seed(0)
    scenes = maps(3)
    assert scenes.image.shape == (3, 3, 12, 18)
    for image, truth, entry in zip(*scenes, strict=True):
        meaning = {}
        for kind, (row, column) in enumerate(entry.tolist()):
            assert nearest(image[:, row, column], COLOURS) == kind
            meaning[kind] = nearest(image[:, row, column + 1], SYMBOLS)
        for h in range(12):
            for w in range(18):
                if w < MARGIN:
                    assert truth[h, w] == -1
                else:
                    assert truth[h, w] == meaning[nearest(image[:, h, w], COLOURS)]


def test_between_legend_and_countries_there_is_paper():
    image = maps(20).image[:, :, :, 2:MARGIN]
    assert (image - 1).abs().max() < 6 * NOISE


def test_entries_of_a_legend_do_not_touch_and_stay_inside():
    rows = maps(200, height=11).entry[..., 0].sort(-1).values
    assert (rows.diff(dim=-1) >= 2).all()
    assert rows.min() >= 0
    assert rows.max() + 1 < 11


def test_a_colour_says_nothing_of_its_class():
    """Each class is as frequent for each colour: so a guess is right once in three."""
    torch.manual_seed(0)
    scenes = maps(3000, height=9, width=8)
    hits = torch.zeros(KINDS, KINDS)
    for image, truth, _ in zip(*scenes, strict=True):
        hits[nearest(image[:, 4, 6], COLOURS), truth[4, 6]] += 1
    shares = hits / hits.sum(-1, keepdim=True)
    assert (shares - 1 / KINDS).abs().max() < 0.05


def test_a_network_of_three_convolutions_does_not_see_the_legend():
    network, image = Segmenter().double().eval(), maps(2).image.double()
    other = image.clone()
    other[:, :, :, :2] = torch.rand(2, 3, 12, 2, dtype=torch.float64)
    assert torch.equal(network(image)[..., MARGIN:], network(other)[..., MARGIN:])
    assert not torch.equal(network(image)[..., :MARGIN], network(other)[..., :MARGIN])


def test_training_is_repeated_exactly_and_takes_several_outputs():
    def make():
        stem = Segmenter(channels=8).stem
        return torch.nn.Sequential(stem, DANetHead(8, KINDS, reduction=1))

    one, other = (train(make, seed=3, steps=2) for _ in range(2))
    image = unseen(2).image
    assert torch.equal(named(one, image), named(other, image))
    assert named(one, image).shape == (2, 12, 18)
    assert not one.training


def test_unseen_maps_stay_the_same_and_leave_the_dice_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert torch.equal(unseen(4).image, unseen(4).image)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_paper_does_not_count():
    truth = torch.tensor([[[-1, 0, 1]]])
    assert accuracy(torch.tensor([[[0, 0, 0]]]), truth) == 0.5


def test_too_little_room_is_refused():
    with pytest.raises(ValueError, match=r"8 x 18 pixels.*9 x 6"):
        maps(1, height=8)
