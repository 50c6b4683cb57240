"""Digits in clutter: whole ones have a box around their ink, and what is tested is unseen."""

import pytest
import torch

from attncourse.tasks import detection
from attncourse.tasks.detection import scenes, single_digits
from attncourse.tasks.pictures import digits


def test_pictures_boxes_and_labels_belong_together():
    made = scenes(40, 3)
    assert made.image.shape == (40, 3, 64, 64)
    assert made.image.min() >= 0
    assert made.image.max() <= 1
    for boxes, labels in zip(made.boxes, made.labels, strict=True):
        assert boxes.shape == (len(labels), 4)
        assert 1 <= len(labels) <= 4
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= 64).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 3).all()
    assert {len(labels) for labels in made.labels} == {1, 2, 3, 4}
    assert set(torch.cat(made.labels).tolist()) == set(range(10))


def test_the_seed_decides_everything():
    for make in (scenes, single_digits):
        one, again, other = make(3, 5), make(3, 5), make(3, 6)
        assert torch.equal(one.image, again.image)
        assert all(map(torch.equal, one.boxes, again.boxes))
        assert not torch.equal(one.image, other.image)


def test_a_longer_set_begins_as_the_shorter():
    assert torch.equal(scenes(2, 5).image, scenes(4, 5).image[:2])


def test_the_box_is_close_around_the_ink(monkeypatch):
    """On black, without pieces of others, what is left of the picture is the digit."""
    monkeypatch.setattr(detection, "_grounds", lambda test: [torch.zeros(3, 90, 90)])
    monkeypatch.setattr(detection, "_piece", lambda ink, corner: ink[:0])
    made = single_digits(12, 1)
    for image, (box,) in zip(made.image, made.boxes, strict=True):
        left, top, right, bottom = box.long().tolist()
        inside = image[:, top:bottom, left:right]
        assert inside.sum() > 0.8 * image.sum()
        for edge in (inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1]):
            assert edge.max() > 0.3 * 0.4  # ink of the palest colour


def test_boxes_of_one_picture_keep_apart():
    for boxes in scenes(60, 8).boxes:
        for i, one in enumerate(boxes):
            for other in boxes[i + 1 :]:
                low = torch.maximum(one[:2], other[:2])
                assert not (torch.minimum(one[2:], other[2:]) - low > 2).all()


@pytest.mark.parametrize("test", [False, True])
def test_digits_and_grounds_for_testing_are_others(monkeypatch, test):
    asked = []
    monkeypatch.setattr(detection, "digits", lambda part: asked.append(part) or digits(part))
    scenes(1, 0, test)
    assert asked == [test]
    train, unseen = detection._grounds(False), detection._grounds(True)
    for one, other in zip(train, unseen, strict=True):
        whole = torch.cat([one, other], -1)
        assert whole.shape == (3, 213, 320)


def test_single_digits_are_one_each():
    made = single_digits(9, 2)
    assert made.image.shape == (9, 3, 32, 32)
    assert {len(labels) for labels in made.labels} == {1}
