"""What must be true of pictures taken apart and put together, however it is written."""

import pytest
import torch
from einops import rearrange
from torch.autograd import gradcheck
from torch.testing import assert_close

from attncourse.tasks.pictures import photograph
from solutions import shapes

B, H, W, P, Q, C = 2, 3, 5, 4, 7, 6


def draw(*sizes):
    """Normal random numbers in double precision."""
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def pictures():
    """b h w c."""
    return draw(B, H, W, C)


@pytest.fixture
def picture():
    """(h p) (w q) c."""
    return draw(H * P, W * Q, C)


def assert_exactly(one, other):
    assert_close(one, other, rtol=0, atol=0)


# what the functions compute, with loops as the oracle


def test_a_strip_shows_picture_b_from_column_b_w_on(pictures):
    strip = shapes.strip(pictures)
    assert strip.shape == (H, B * W, C)
    for b in range(B):
        assert_exactly(strip[:, b * W : (b + 1) * W], pictures[b])


def test_patch_n_is_cut_out_at_row_n_over_w_and_column_n_modulo_w(picture):
    patches = shapes.patches(picture, P, Q)
    assert patches.shape == (H * W, P, Q, C)
    for n, patch in enumerate(patches):
        top, left = n // W * P, n % W * Q
        assert_exactly(patch, picture[top : top + P, left : left + Q])


def test_a_pooled_pixel_is_the_mean_of_its_patch(picture):
    pooled = shapes.pool(picture, P, Q)
    assert pooled.shape == (H, W, C)
    for h in range(H):
        for w in range(W):
            patch = picture[h * P : (h + 1) * P, w * Q : (w + 1) * Q]
            assert_close(pooled[h, w], sum(pixel for row in patch for pixel in row) / (P * Q))


def test_an_enlarged_picture_shows_pixel_y_over_p_x_over_q(pictures):
    small = pictures[0]
    large = shapes.enlarge(small, P, Q)
    assert large.shape == (H * P, W * Q, C)
    for y in range(H * P):
        for x in range(W * Q):
            assert_exactly(large[y, x], small[y // P, x // Q])


def test_a_mean_colour_is_the_mean_of_all_pixels_of_one_picture(pictures):
    pixels = [[pixel for row in one for pixel in row] for one in pictures]
    assert_close(
        shapes.channel_means(pictures), torch.stack([sum(p) / (H * W) for p in pixels])
    )


def test_grey_adds_the_channels_by_their_weights(pictures):
    weights = draw(C)
    expected = sum(weights[c] * pictures[0, :, :, c] for c in range(C))
    assert_close(shapes.grey(pictures[0], weights), expected)


def test_similarity_holds_every_pair(pictures):
    x, y = draw(H, C), draw(W, C).flip(0)
    table = shapes.similarity(x, y)
    assert table.shape == (H, W)
    for i in range(H):
        for j in range(W):
            assert_close(table[i, j], sum(a * b for a, b in zip(x[i], y[j], strict=True)))


# laws between them


def test_a_mosaic_of_the_patches_is_the_picture(picture):
    assert_exactly(shapes.mosaic(shapes.patches(picture, P, Q), W), picture)


def test_the_patches_of_a_mosaic_are_the_tiles():
    tiles = draw(H * W, P, Q, C)
    assert_exactly(shapes.patches(shapes.mosaic(tiles, W), P, Q), tiles)


def test_a_mosaic_of_one_row_is_a_strip(pictures):
    assert_exactly(shapes.mosaic(pictures, B), shapes.strip(pictures))


def test_pooling_undoes_enlarging(pictures):
    assert_close(shapes.pool(shapes.enlarge(pictures[0], P, Q), P, Q), pictures[0])


def test_enlarging_what_was_pooled_is_a_projection(picture):
    def once(x):
        return shapes.enlarge(shapes.pool(x, P, Q), P, Q)

    assert_close(once(once(picture)), once(picture))


def test_pooling_keeps_the_mean_colour(picture):
    pooled = shapes.pool(picture, P, Q)
    assert_close(shapes.channel_means(pooled[None]), shapes.channel_means(picture[None]))


def test_pooling_is_the_mean_colour_of_each_patch(picture):
    colours = shapes.channel_means(shapes.patches(picture, P, Q))
    assert_close(colours, rearrange(shapes.pool(picture, P, Q), "h w c -> (h w) c"))


def test_grey_with_equal_weights_is_the_mean_of_the_channels(pictures):
    equal = torch.full((C,), 1 / C, dtype=torch.float64)
    assert_close(shapes.grey(pictures[0], equal), pictures[0].mean(-1))


def test_similarity_with_itself_is_symmetric_and_never_negative():
    x = draw(H, C)
    table = shapes.similarity(x, x)
    assert_close(table, table.T)
    assert torch.linalg.eigvalsh(table).min() > -1e-12


def test_pictures_do_not_mix(pictures):
    assert_exactly(shapes.channel_means(pictures)[:1], shapes.channel_means(pictures[:1]))


# what holds for any input


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (shapes.strip, (draw(2, 3, 4, 2),)),
        (lambda x: shapes.patches(x, 2, 3), (draw(4, 6, 2),)),
        (lambda x: shapes.mosaic(x, 3), (draw(6, 2, 3, 2),)),
        (lambda x: shapes.pool(x, 2, 3), (draw(4, 6, 2),)),
        (lambda x: shapes.enlarge(x, 2, 3), (draw(4, 3, 2),)),
        (shapes.channel_means, (draw(2, 3, 4, 2),)),
        (shapes.grey, (draw(3, 4, 2), draw(2))),
        (shapes.similarity, (draw(3, 2), draw(4, 2))),
    ],
    ids="strip patches mosaic pool enlarge channel_means grey similarity".split(),
)
def test_gradients_are_right(function, inputs):
    assert gradcheck(function, [x.requires_grad_() for x in inputs])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_is_kept(dtype):
    x = draw(4, 6, 2).to(dtype)
    for y in (
        shapes.pool(x, 2, 3),
        shapes.grey(x, x[0, 0]),
        shapes.similarity(x[0], x[1]),
        shapes.channel_means(x[None]),
    ):
        assert y.dtype == dtype


def test_a_patch_may_be_one_pixel_or_the_whole_picture(picture):
    assert_exactly(shapes.patches(picture, 1, 1), rearrange(picture, "h w c -> (h w) 1 1 c"))
    assert_exactly(shapes.patches(picture, H * P, W * Q), picture[None])


def test_layout_in_memory_does_not_matter(picture):
    turned = picture.transpose(0, 1)
    assert_exactly(shapes.patches(turned, Q, P), shapes.patches(turned.contiguous(), Q, P))


@pytest.mark.parametrize("function", [shapes.patches, shapes.pool])
def test_patches_that_do_not_divide_the_picture_are_refused(function):
    with pytest.raises(ValueError, match="10 x 9 pixels do not divide into patches of 4 x 3"):
        function(draw(10, 9, 2), 4, 3)
    with pytest.raises(ValueError, match="9 x 10 pixels do not divide into patches of 3 x 4"):
        function(draw(9, 10, 2), 3, 4)


def test_a_mosaic_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="7 tiles do not fill rows of 3"):
        shapes.mosaic(draw(7, 2, 3, 1), 3)


# the photographs


@pytest.mark.parametrize("name", ["china", "flower"])
def test_a_photograph_has_the_size_asked_for_and_lies_between_0_and_1(name):
    picture = photograph(name, 60, 85)
    assert picture.shape == (60, 85, 3)
    assert picture.dtype == torch.float32
    assert picture.min() >= 0
    assert 0.5 < picture.max() <= 1


def test_a_small_photograph_is_the_pooled_large_one():
    large = photograph(height=384, width=576).double()
    assert_close(photograph(height=96, width=144).double(), shapes.pool(large, 4, 4))


def test_a_photograph_at_full_size_has_the_pixels_of_the_file():
    pixels = photograph("flower", 427, 640).double() * 255
    assert_close(pixels, pixels.round(), rtol=0, atol=1e-4)


def test_an_unknown_photograph_is_refused_with_the_names():
    with pytest.raises(ValueError, match='no photograph "lena"; there are china, flower'):
        photograph("lena")


def test_a_photograph_larger_than_the_file_is_refused():
    with pytest.raises(ValueError, match="china has 427 x 640 pixels, too few for 428 x 10"):
        photograph("china", 428, 10)
