"""The pictures that ship with scikit-learn."""

import torch

from attncourse.tasks.pictures import digits


def test_no_digit_is_both_for_training_and_for_testing():
    train, test = digits(), digits(test=True)
    assert train.image.shape == (1347, 1, 8, 8)
    assert test.image.shape == (450, 1, 8, 8)
    rows = [d.image.flatten(1).tolist() for d in (train, test)]
    assert len(train.label) + len(test.label) == 1797
    assert rows[0][-1] != rows[1][0]


def test_every_digit_is_there_about_equally_often():
    for one in (digits(), digits(test=True)):
        counts = one.label.bincount(minlength=10)
        assert len(counts) == 10
        assert counts.min() > 0.08 * len(one.label)


def test_paper_is_0_and_ink_is_1():
    image, _ = digits()
    assert image.dtype == torch.float32
    assert (image.min(), image.max()) == (0, 1)
    corners = image[:, 0, :: image.shape[2] - 1, :: image.shape[3] - 1]
    assert corners.mean() < 0.05
