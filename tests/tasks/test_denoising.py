"""What must be true of the tools that measure and prepare a noisy picture."""

import pytest
import torch
from torch.testing import assert_close

from attncourse.tasks.denoising import blur, places, psnr, surroundings
from solutions.scaled_dot_product import softmax

H, W, C = 5, 7, 3


@pytest.fixture
def picture():
    return torch.rand(H, W, C, dtype=torch.float64)


def test_an_error_of_a_tenth_everywhere_is_20_decibels(picture):
    assert psnr(picture + 0.1, picture) == pytest.approx(20)
    assert psnr(picture - 0.01, picture) == pytest.approx(40)


def test_a_patch_holds_the_neighbours_of_its_pixel(picture):
    rows = surroundings(picture, 3)
    for y in range(1, H - 1):
        for x in range(1, W - 1):
            around = torch.stack([*picture[y - 1 : y + 2, x - 1 : x + 2].unbind(-1)])
            assert torch.equal(rows[y * W + x], around.flatten())


def test_the_surroundings_of_size_one_are_the_pixel(picture):
    assert torch.equal(surroundings(picture, 1), picture.flatten(0, 1))


def test_surroundings_of_even_size_are_refused(picture):
    with pytest.raises(ValueError, match="odd; this is 4"):
        surroundings(picture, 4)


def test_places_count_rows_and_columns_in_the_order_of_the_patches():
    at = places(H, W)
    assert at.shape == (H * W, 2)
    assert_close(at[W] - at[0], torch.tensor([1.0, 0]).double())
    assert_close(at[1] - at[0], torch.tensor([0, 1.0]).double())
    assert_close(at.mean(0), torch.zeros(2).double())


def test_a_blur_is_a_softmax_over_negative_squared_distances_away_from_the_border():
    spot = torch.zeros(31, 31, 1, dtype=torch.float64)
    spot[15, 15] = 1
    squared = places(31, 31).square().sum(-1)
    weights = softmax(-squared / (2 * 1.5**2))
    assert_close(blur(spot, 1.5).flatten(), weights, rtol=0, atol=1e-4)


def test_a_blur_does_not_mix_channels(picture):
    picture[..., 1] = 0
    assert (blur(picture, 0.8)[..., 1] == 0).all()
