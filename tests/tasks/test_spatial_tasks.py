"""The tasks of chapter 06: what tells the answer, what does not, and how far a vote goes."""

from itertools import product

import pytest
import torch
from torch import nn

from attncourse.tasks.spatial import (
    PLANES,
    Reader,
    Recogniser,
    accuracy,
    clutter,
    cued_signs,
    share_inside,
    train_reader,
    train_recogniser,
    vote,
)
from solutions.spatial import CBAM


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("places", [1, 4])
def test_the_answer_is_the_sign_in_the_cued_plane_at_the_marked_place(places):
    image, answer, plane, place, _ = cued_signs(200, places)
    b = torch.arange(200)
    sign = image[b, plane, place[:, 0], place[:, 1]]
    assert ((sign > 0).long() == answer).all()
    assert set(sign.tolist()) == {-1, 1}
    assert (image[:, :PLANES].abs().sum((2, 3)) == places).all()


@pytest.mark.parametrize("places", [1, 4])
def test_a_bright_plane_differs_in_its_mean_alone_and_a_peak_in_the_largest_value(places):
    image, _, plane, _, peak = cued_signs(200, places)
    b, cues = torch.arange(200), image[:, PLANES:]
    means, largest = cues.mean((2, 3)), cues.amax((2, 3))
    other = (plane + 1) % PLANES
    torch.testing.assert_close(means[b, plane][peak], means[b, other][peak])
    assert (largest[b, plane][peak] == 3).all()
    assert (means[b, plane] - means[b, other])[~peak].min() > 0.3
    assert (largest[b, plane][~peak] == 1).all()
    assert (largest[b, other] == 1).all()
    assert 60 < peak.sum() < 140


def test_marks_stand_at_the_corners_of_7_x_7_pixels_in_every_plane_of_cues():
    image, _, plane, place, _ = cued_signs(50)
    b, other = torch.arange(50), PLANES + (plane + 1) % PLANES
    for down, across in product((-3, 3), repeat=2):
        rows, columns = place[:, 0] + down, place[:, 1] + across
        assert (image[b, other, rows, columns] == 1).all()
    assert (image[b, other].sum((1, 2)) == 4).all()


def test_within_one_pixel_all_places_look_alike():
    """A 3x3 sees no mark, and so cannot tell the place."""
    image, _, plane, _, _ = cued_signs(50)
    b, other = torch.arange(50), PLANES + (plane + 1) % PLANES
    spots = image[:, 0] != 0
    near = nn.functional.max_pool2d(spots.float()[:, None], 3, 1, 1)[:, 0] > 0
    assert (image[b, other][near] == 0).all()


def test_the_answer_is_a_fair_coin_and_every_plane_and_quadrant_comes_up():
    _, answer, plane, place, _ = cued_signs(2000)
    assert abs(answer.float().mean() - 0.5) < 0.05
    assert (plane.bincount() > 400).all()
    assert ((place // 8) @ torch.tensor([2, 1])).bincount().min() > 400


@pytest.mark.parametrize("signs", [1, 2, 3, 4, 5, 9])
def test_the_vote_is_counted_over_all_signs(signs):
    right = 0.0
    for row in product((-1, 1), repeat=signs):
        total = sum(row)
        right += 0.5 if total == 0 else float((total > 0) == (row[0] > 0))
    assert vote(signs) == pytest.approx(right / 2**signs)


def test_votes_that_the_chapter_prints():
    assert vote(4) == 11 / 16
    assert vote(16) == pytest.approx(0.598, abs=1e-3)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="places=3"):
        cued_signs(2, places=3)
    with pytest.raises(ValueError, match="signs=0"):
        vote(0)


def test_the_reader_sees_no_plane_of_cues():
    reader = Reader(nn.Identity())
    image, *_ = cued_signs(5)
    hidden = image.clone()
    hidden[:, PLANES:] = 7
    assert torch.equal(reader(hidden), reader(image))


def test_training_and_testing_do_not_depend_on_the_caller():
    reader = train_reader(nn.Identity, seed=1, places=1, steps=3)
    state = torch.get_rng_state()
    found = accuracy(reader, places=1, examples=50)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again = train_reader(nn.Identity, seed=1, places=1, steps=3)
    assert accuracy(again, places=1, examples=50) == found


def test_other_images_may_be_asked_for_and_the_rate_changes_what_is_learnt():
    reader = train_reader(nn.Identity, seed=1, places=1, steps=3)
    assert accuracy(reader, 1, 400) != accuracy(reader, 1, 400, images=9000)
    slower = train_reader(nn.Identity, seed=1, places=1, steps=3, rate=1e-3)
    assert not torch.equal(slower.read.weight, reader.read.weight)


@pytest.mark.parametrize("test", [False, True])
def test_a_digit_lies_in_its_box(test):
    image, label, box = clutter(20, test)
    assert image.shape == (20, 1, 16, 24)
    assert (box.sum((1, 2)) == 64).all()
    assert ((image >= 0) & (image <= 1)).all()
    assert (image[:, 0][box].reshape(20, 64).sum(1) > 5).all()
    assert label.min() >= 0
    assert label.max() <= 9
    from attncourse.tasks.pictures import digits

    known = {tuple(one.flatten().tolist()) for one in digits(test).image}
    assert all(tuple(i[0][m].tolist()) in known for i, m in zip(image, box, strict=True))


def test_the_share_in_a_box_counts_what_lies_in_it():
    box = torch.zeros(2, 4, 8, dtype=torch.bool)
    box[:, :2, :4] = True
    maps = torch.zeros(2, 2, 4)
    maps[0, 0, :2] = 3
    maps[0, 1, 3] = 2
    assert share_inside(maps, box).tolist() == [0.75, 0]
    assert share_inside(torch.ones(2, 4, 8), box).tolist() == [0.25, 0.25]


def test_recognisers_have_a_place_for_attention():
    image, _, _ = clutter(3)
    for attention in (lambda c: nn.Identity(), lambda c: CBAM(c, 4)):
        net = train_recogniser(attention, seed=0, steps=2)
        assert not net.training
        torch.testing.assert_close(net(image), net.head(net.features(image)))
        assert net(image).shape == (3, 10)
    assert Recogniser(planes=3)(torch.rand(2, 3, 32, 32)).shape == (2, 10)
