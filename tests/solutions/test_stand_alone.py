"""What must be true of attention in windows, and of networks without convolutions."""

import math
import warnings
from importlib.util import find_spec

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions.stand_alone import (
    AttentionStem,
    SpatialValues,
    StandAloneSelfAttention2d,
    inside,
    largest_window,
    local_attention,
    local_weights,
    multiply_adds,
    parameters,
    relative_embeddings,
    windows,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, HEADS, D, E, H, W, WINDOW = 2, 3, 4, 7, 6, 8, 5


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def drawn(window=WINDOW, h=H, w=W, e=E):
    """q, k, v and the tables of rows and columns."""
    q, k, v = random(B, HEADS, D, h, w), random(B, HEADS, D, h, w), random(B, HEADS, e, h, w)
    return q, k, v, random(HEADS, window, D // 2), random(HEADS, window, D // 2)


def layer(*args, **options):
    """A module in double precision with tables that matter."""
    module = StandAloneSelfAttention2d(*args, **options).double()
    nn.init.normal_(module.rows)
    nn.init.normal_(module.columns)
    return module


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)


def by_the_equation(q, k, v, rows, columns, window):
    """Eq. 3 of the paper, one pixel of one head at a time, places outside left out."""
    reach, out = window // 2, torch.zeros_like(v)
    _, _, _, height, width = q.shape
    for b, head, h, w in torch.cartesian_prod(
        *map(torch.arange, (*q.shape[:2], height, width))
    ):
        here, scores, values = q[b, head, :, h, w], [], []
        for y in range(max(0, h - reach), min(height, h + reach + 1)):
            for x in range(max(0, w - reach), min(width, w + reach + 1)):
                r = torch.cat([rows[head, y - h + reach], columns[head, x - w + reach]])
                scores.append(here @ k[b, head, :, y, x] + here @ r)
                values.append(v[b, head, :, y, x])
        shares = torch.stack(scores).softmax(0)
        out[b, head, :, h, w] = shares @ torch.stack(values)
    return out


# windows


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize(("h", "w"), [(6, 8), (5, 3), (1, 1), (1, 4)])
def test_place_dy_dx_of_a_window_is_the_pixel_that_many_steps_from_its_middle(h, w, window):
    x, reach = random(B, h, w), window // 2
    found = windows(x, window)
    assert found.shape == (B, h, w, window, window)
    for i, j, dy, dx in torch.cartesian_prod(*map(torch.arange, (h, w, window, window))):
        y, z = i + dy - reach, j + dx - reach
        there = x[:, y, z] if 0 <= y < h and 0 <= z < w else torch.zeros(B).double()
        assert_close(found[:, i, j, dy, dx], there)


def test_windows_are_those_of_unfold():
    x = random(B, 7, H, W)
    theirs = rearrange(
        F.unfold(x, 5, padding=2), "b (c dy dx) (h w) -> b c h w dy dx", c=7, dy=5, h=H
    )
    assert_close(windows(x, 5), theirs)


def test_windows_copy_the_picture_once_and_not_once_a_place():
    x = torch.randn(64, 20, 30)
    assert count(lambda: windows(x, 7)).largest_tensor == 64 * 26 * 36


@pytest.mark.parametrize("window", [0, 2, 4, -3])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(ValueError, match=f"window={window} has no middle"):
        windows(random(H, W), window)
    with pytest.raises(ValueError, match=f"window={window} has no middle"):
        StandAloneSelfAttention2d(8, 2, window)


@pytest.mark.parametrize(("h", "w", "window"), [(6, 8, 5), (3, 1, 7), (1, 1, 3)])
def test_a_place_is_inside_if_it_lies_in_the_picture(h, w, window):
    seen, reach = inside(h, w, window), window // 2
    assert seen.dtype == torch.bool
    for i, j, dy, dx in torch.cartesian_prod(*map(torch.arange, (h, w, window, window))):
        there = 0 <= i + dy - reach < h and 0 <= j + dx - reach < w
        assert seen[i, j, dy, dx] == there


def test_the_vector_of_a_place_is_its_row_then_its_column():
    rows, columns = random(HEADS, 5, 2), random(HEADS, 7, 2)
    vectors = relative_embeddings(rows, columns)
    assert vectors.shape == (HEADS, 4, 5, 7)
    for head in range(HEADS):
        for dy in range(5):
            for dx in range(7):
                expected = torch.cat([rows[head, dy], columns[head, dx]])
                assert_close(vectors[head, :, dy, dx], expected)


# local attention


@pytest.mark.parametrize(("h", "w", "window"), [(6, 8, 5), (5, 3, 3), (1, 1, 3), (2, 1, 7)])
def test_local_attention_is_the_equation_of_the_paper(h, w, window):
    q, k, v, rows, columns = drawn(window, h, w)
    y = local_attention(q, k, v, rows, columns, window)
    assert y.shape == v.shape
    assert_close(y, by_the_equation(q, k, v, rows, columns, window))


def test_weights_sum_to_one_and_are_zero_beyond_the_edges():
    q, k, _, rows, columns = drawn()
    weights = local_weights(q, k, rows, columns, WINDOW)
    assert weights.shape == (B, HEADS, H, W, WINDOW, WINDOW)
    assert_close(weights.sum((-1, -2)), torch.ones(B, HEADS, H, W).double())
    assert (weights[..., ~inside(H, W, WINDOW)] == 0).all()
    assert (weights[..., inside(H, W, WINDOW)] > 0).all()


def test_equal_values_come_out_as_they_are_in_the_corners_too():
    """Zeros around the picture that took a share would pull the edges towards 0."""
    q, k, _, rows, columns = drawn()
    v = torch.ones(B, HEADS, E, H, W).double()
    assert_close(local_attention(q, k, v, rows, columns, WINDOW), v)


def test_a_window_that_covers_the_picture_is_global_attention():
    q, k, v, rows, columns = drawn(window=2 * W - 1)
    tokens = [rearrange(x, "b head d h w -> b head (h w) d") for x in (q, k, v)]
    place, bias = relative_embeddings(rows, columns), torch.empty(B, HEADS, H * W, H * W)
    for i, j in torch.cartesian_prod(torch.arange(H * W), torch.arange(H * W)):
        dy, dx = j // W - i // W + W - 1, j % W - i % W + W - 1
        bias[..., i, j] = (tokens[0][:, :, i] * place[:, :, dy, dx]).sum(-1)
    y = F.scaled_dot_product_attention(*tokens, attn_mask=bias.double(), scale=1)
    y = rearrange(y, "b head (h w) e -> b head e h w", h=H)
    assert_close(local_attention(q, k, v, rows, columns, 2 * W - 1), y, rtol=1e-5, atol=1e-6)


def test_without_tables_it_does_not_matter_where_in_the_window_a_key_stands():
    q, k, v, rows, columns = drawn(window=2 * W - 1)
    order = torch.randperm(H * W)

    def attend(shuffled):
        def mixed(x):
            tokens = rearrange(x, "b head d h w -> b head d (h w)")
            return tokens[..., order if shuffled else slice(None)]

        pictures = [
            rearrange(mixed(x), "b head d (h w) -> b head d h w", h=H) for x in (q, k, v)
        ]
        y = local_attention(*pictures, 0 * rows, 0 * columns, 2 * W - 1)
        return rearrange(y, "b head e h w -> b head e (h w)")

    assert_close(attend(True), attend(False)[..., order])


def test_a_picture_that_moves_moves_the_output_along():
    q, k, v, rows, columns = drawn(h=12, w=13, window=3)
    moved = [x.roll((2, 3), (-2, -1)) for x in (q, k, v)]
    y = local_attention(q, k, v, rows, columns, 3).roll((2, 3), (-2, -1))
    again = local_attention(*moved, rows, columns, 3)
    assert_close(again[..., 3:-1, 4:-1], y[..., 3:-1, 4:-1])


def test_pictures_and_heads_do_not_mix():
    q, k, v, rows, columns = drawn()
    y = local_attention(q, k, v, rows, columns, WINDOW)
    one = (slice(1, 2), slice(2, 3))
    alone = local_attention(q[one], k[one], v[one], rows[2:], columns[2:], WINDOW)
    assert_close(y[one], alone)


def test_local_attention_has_the_gradient_of_the_equation():
    q, k, v, rows, columns = (x.requires_grad_() for x in drawn(window=3, h=3, w=2, e=1))
    assert gradcheck(lambda *x: local_attention(*x, 3), (q, k, v, rows, columns))


# the layer


def test_one_pixel_alone_in_its_window_gives_the_value():
    module, x = layer(10, heads=1, window=1), random(B, 10, H, W)
    assert_close(module(x), module.value(x))
    module = layer(12, heads=3, window=7)
    x = random(B, 12, 1, 1)
    assert_close(module(x), module.value(x))


def test_the_layer_is_local_attention_of_its_projections_head_by_head():
    module, x = layer(9, heads=3, window=5, out_channels=12), random(B, 9, H, W)
    q, k, v = module.query(x), module.key(x), module.value(x)
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        one = [y[:, None, part] for y in (q, k, v)]
        tables = module.rows[head, None], module.columns[head, None]
        expected = local_attention(*one, *tables, 5)
        assert_close(module(x)[:, part], expected[:, 0])


def test_the_map_is_what_the_layer_averages_with():
    module, x = layer(12, heads=3, window=5), random(B, 12, H, W)
    near = windows(module.split(module.value(x)), 5)
    y = (module.attention(x)[:, :, None] * near).sum((-1, -2))
    assert_close(module(x), rearrange(y, "b head d h w -> b (head d) h w"))


@pytest.mark.parametrize(("h", "w", "stride"), [(6, 8, 2), (5, 7, 2), (1, 1, 2), (7, 6, 3)])
def test_a_stride_averages_afterwards_and_keeps_the_size_of_a_strided_convolution(h, w, stride):
    module, x = layer(12, 3, 5, stride=stride), random(B, 12, h, w)
    plain = layer(12, 3, 5)
    plain.load_state_dict(module.state_dict())
    y, full = module(x), plain(x)
    assert y.shape[-2:] == (math.ceil(h / stride), math.ceil(w / stride))
    for i in range(y.shape[-2]):
        for j in range(y.shape[-1]):
            part = full[..., stride * i :, stride * j :][..., :stride, :stride]
            assert_close(y[..., i, j], part.mean((-1, -2)))


def test_scaled_logits_are_divided_by_the_root_of_a_heads_width():
    module, x = layer(12, 3, 5, scaled=True), random(B, 12, H, W)
    plain = layer(12, 3, 5)
    plain.load_state_dict(module.state_dict())
    nn.init.normal_(plain.query.weight)
    module.query.load_state_dict({"weight": plain.query.weight * 2})  # sqrt(d) = 2
    assert_close(module(x), plain(x))
    assert_close(module.attention(x), plain.attention(x))


def test_grouped_projections_see_the_channels_of_their_head_alone():
    module, x = layer(12, 3, 5, grouped=True), random(B, 12, H, W)
    y = module(x)
    x[:, 4:] = 0
    assert_close(module(x)[:, :4], y[:, :4])
    assert sum(p.numel() for p in module.parameters()) == 3 * 12**2 // 3 + 5 * 12


@pytest.mark.parametrize(("channels", "heads"), [(10, 4), (12, 4), (6, 6)])
def test_heads_whose_features_have_no_halves_are_refused(channels, heads):
    with pytest.raises(ValueError, match=rf"channels={channels} is not a multiple of 2 heads"):
        StandAloneSelfAttention2d(channels, heads)


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="channels=9 is not a multiple of heads=2"):
        StandAloneSelfAttention2d(9, 2, out_channels=12, grouped=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_and_single_precision_are_kept_and_close(dtype):
    module, x = layer(12, 3, 5, stride=2), random(B, 12, 7, 5)
    y, tolerance = module(x), {torch.float16: 2e-2, torch.bfloat16: 0.2}.get(dtype, 1e-4)
    low = module.to(dtype)(x.to(dtype))
    assert low.dtype == dtype
    assert_close(low.double(), y, rtol=0, atol=tolerance)


def test_scattered_inputs_and_empty_batches_are_fine():
    module, x = layer(12, 3, 5), random(B, W, H, 12)
    strange = rearrange(x, "b w h c -> b c h w")
    assert_close(module(strange), module(strange.contiguous()))
    assert module(strange[:0]).shape == (0, 12, H, W)
    assert_close(module(strange[:1]), module(strange)[:1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives():
    module, x = layer(12, 3, 5, stride=2), random(B, 12, 7, 5)
    stem, picture = AttentionStem(3, 8, 2).double().eval(), random(B, 3, 9, 6)
    expected = module(x), stem(picture)
    assert_close(module.cuda()(x.cuda()).cpu(), expected[0])
    assert_close(stem.cuda()(picture.cuda()).cpu(), expected[1])


# what it costs


@pytest.mark.parametrize("window", [1, 3, 7])
def test_parameters_are_three_matrices_and_tables_that_alone_know_the_window(window):
    module = StandAloneSelfAttention2d(24, 3, window)
    found = sum(p.numel() for p in module.parameters())
    assert found == parameters(24, window)
    assert found - 24 * window == parameters(24, 1) - 24 == 3 * 24**2


@pytest.mark.parametrize("window", [3, 5, 7])
def test_multiply_adds_are_those_counted(window):
    module, x = StandAloneSelfAttention2d(24, 3, window), torch.randn(1, 24, H, W)
    assert count(lambda: module(x)).multiply_adds == H * W * multiply_adds(24, window)


def test_a_window_of_19_costs_as_much_as_a_3_x_3_convolution_of_128_channels():
    convolution = 9 * 128**2
    assert multiply_adds(128, 19, relative=False) == 141_568 <= convolution == 147_456
    assert multiply_adds(128, 21, relative=False) > convolution
    assert largest_window(128) == 19


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("channels", [1, 2, 3, 16, 64, 511])
def test_no_larger_window_is_as_cheap_as_the_convolution(channels, kernel):
    fits = [
        window
        for window in range(1, 200, 2)
        if multiply_adds(channels, window, relative=False) <= kernel**2 * channels**2
    ]
    assert largest_window(channels, kernel) == max(fits, default=0)


# independent implementations


def tokens(x):
    return rearrange(x, "b head d h w -> b h w head d")


@oracle("halonet_pytorch")
def test_halo_attention_with_blocks_of_one_pixel_is_stand_alone():
    from halonet_pytorch import HaloAttention

    reach, heads, d = 2, 3, 4
    window, half = 2 * reach + 1, d // 2
    halo = HaloAttention(dim=12, block_size=1, halo_size=reach, dim_head=d, heads=heads)
    ours = layer(12, heads, window, scaled=True)
    halo.to_out = nn.Identity()
    with torch.no_grad():
        ours.rows.copy_(ours.rows[:1].expand_as(ours.rows))  # theirs share one table
        ours.columns.copy_(ours.columns[:1].expand_as(ours.columns))
        halo.double()
        halo.to_q.weight.copy_(ours.query.weight[..., 0, 0])
        keys, values = ours.key.weight[..., 0, 0], ours.value.weight[..., 0, 0]
        halo.to_kv.weight.copy_(torch.cat([keys, values]))
        table = halo.rel_pos_emb
        table.rel_height.zero_()[window - 1 :, :half] = ours.rows[0]
        table.rel_width.zero_()[window - 1 :, half:] = ours.columns[0]
    x = random(B, 12, H, W)
    # Its mask is in single precision, whatever the picture is in: zeros and ones all the same.
    assert_close(halo(x), ours(x))


@oracle("natten")
def test_neighbourhood_attention_is_equal_where_the_window_does_not_meet_an_edge():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from natten import na2d

        q, k, v = (torch.randn(B, HEADS, 8, 9, 11) for _ in range(3))
        theirs = na2d(tokens(q), tokens(k), tokens(v), kernel_size=5, scale=1.0)
    none = torch.zeros(HEADS, 5, 4)
    ours = tokens(local_attention(q, k, v, none, none, 5))
    assert_close(ours[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], rtol=1e-4, atol=1e-5)
    border = torch.ones(9, 11, dtype=torch.bool)
    border[2:-2, 2:-2] = False
    assert ((ours - theirs).abs().amax((0, -1, -2))[border] > 1e-3).all()


# the stem


def test_the_shares_of_a_place_sum_to_one_over_the_mixtures():
    values = SpatialValues(3, 5, block=4, mixtures=6, dim=7).double()
    shares = values.shares()
    assert shares.shape == (4, 4, 6)
    assert_close(shares.sum(-1), torch.ones(4, 4).double())
    for dy in range(4):
        for dx in range(4):
            logits = values.mixture @ (values.rows[dy] + values.columns[dx])
            assert_close(shares[dy, dx], logits.softmax(0))


@pytest.mark.parametrize(("h", "w"), [(8, 12), (5, 7), (1, 1)])
def test_each_place_of_a_block_has_its_own_mean_of_the_matrices(h, w):
    values, x = SpatialValues(3, 5, 4, 6, 7).double(), random(B, 3, h, w)
    matrices = rearrange(values.value.weight, "(mix e) c 1 1 -> mix e c", mix=6)
    y = values(x)
    for i in range(h):
        for j in range(w):
            shares = values.shares()[i % 4, j % 4]
            matrix = sum(share * one for share, one in zip(shares, matrices, strict=True))
            assert_close(y[..., i, j], x[..., i, j] @ matrix.T)


def test_with_one_mixture_values_do_not_know_their_place():
    values, x = SpatialValues(3, 5, mixtures=1).double(), random(B, 3, H, W)
    assert_close(values(x), values.value(x))


@pytest.mark.parametrize(("h", "w"), [(4, 8), (7, 5), (1, 1), (3, 9)])
def test_the_stem_attends_within_blocks_and_takes_their_largest(h, w):
    stem, x = AttentionStem(3, 8, heads=2, block=4).double(), random(B, 3, h, w)
    for p in stem.parameters():
        nn.init.normal_(p)
    stem.norm.running_mean.normal_()
    stem.eval()
    q, k, v = stem.query(x), stem.key(x), stem.values(x)
    y = torch.zeros(B, 8, h, w).double()
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        for i, j in torch.cartesian_prod(torch.arange(h), torch.arange(w)):
            top, left = i // 4 * 4, j // 4 * 4
            here, scores, values = q[:, part, i, j], [], []
            for a in range(top, min(h, top + 4)):
                for b in range(left, min(w, left + 4)):
                    row, column = stem.rows[head, a - i + 3], stem.columns[head, b - j + 3]
                    r = torch.cat([row, column])
                    scores.append((here * (k[:, part, a, b] + r)).sum(-1))
                    values.append(v[:, part, a, b])
            shares = torch.stack(scores).softmax(0)
            y[:, part, i, j] = (shares[..., None] * torch.stack(values)).sum(0)
    y = stem.norm(y)
    found = stem(x)
    assert found.shape == (B, 8, math.ceil(h / 4), math.ceil(w / 4))
    for i in range(found.shape[-2]):
        for j in range(found.shape[-1]):
            block = y[..., 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
            assert_close(found[..., i, j], block.amax((-1, -2)))


def test_the_stems_maps_are_shares_of_real_pixels():
    stem = AttentionStem(3, 8, heads=2).double()
    weights = stem.attention(random(B, 3, 6, 5))
    assert weights.shape == (B, 2, 2, 2, 16, 16)
    assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]).double())
    corner = rearrange(weights[:, :, 1, 1], "b head i (y x) -> b head i y x", y=4)
    assert (corner[..., 2:, :] == 0).all()
    assert (corner[..., 1:] == 0).all()


def test_a_stem_whose_heads_have_no_halves_is_refused():
    with pytest.raises(ValueError, match="out_channels=12 is not a multiple of 2 heads=8"):
        AttentionStem(3, 12, heads=4)


def test_blocks_and_channels_of_the_stem_do_not_look_beyond():
    stem, x = AttentionStem(3, 8, 2).double().eval(), random(B, 3, 8, 12)
    y = stem(x)
    x[..., 4:, :] = 0
    assert_close(stem(x)[..., 0, :], y[..., 0, :])
