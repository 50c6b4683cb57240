"""What chapter 11 writes, against what it says in equations and against torch's own."""

import inspect
import math
from functools import partial

import ahead
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

import solutions.relative_2d as relative_2d
import solutions.scaled_dot_product as dense
import solutions.sparse as sparse
import solutions.stand_alone as stand_alone
from solutions.fast import gpu
from solutions.fast.augmented import augmented_attention
from solutions.fast.halo import halo_attention
from solutions.fast.kernel import kernel_attention, online_step
from solutions.fast.measure import floor_seconds, ratio, traffic
from solutions.fast.mods import local_mod, relative_mod, sparse_mod
from solutions.fast.tiles import (
    attention_by_tiles,
    attention_gradients,
    merge,
    online_softmax,
)


def draw(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, requires_grad=dtype == torch.float64)


def qkv(i, j, d=3, e=4, batch=(2,)):
    return draw(*batch, i, d), draw(*batch, j, d), draw(*batch, j, e)


# softmax in one pass


@pytest.mark.parametrize("tile", [1, 3, 4, 11, 100])
def test_one_pass_gives_the_softmax_of_two(tile):
    x = draw(2, 3, 11)
    assert_close(online_softmax(x, tile), x.softmax(-1))
    assert_close(online_softmax(x.mT, tile), x.mT.softmax(-1))
    assert torch.autograd.gradcheck(lambda x: online_softmax(x, tile), x)


def test_scores_of_any_size_do_no_harm():
    for x in (torch.tensor([1e30, -1e30, 1e30]), torch.full((5,), -1e30)):
        assert_close(online_softmax(x, 2), x.softmax(-1))
    lowest = torch.tensor([-65504.0, 65504.0, 3.0], dtype=torch.float16)
    assert_close(online_softmax(lowest, 1), lowest.softmax(-1))


def test_hidden_entries_get_nothing_even_where_they_come_first():
    x = torch.tensor([[-math.inf, -math.inf, 1.0, 2.0], [0.0, -math.inf, -math.inf, 3.0]])
    for tile in (1, 2, 3, 4):
        assert_close(online_softmax(x, tile), x.softmax(-1))


# two readings


def read(q, k, v):
    scores = q @ k.mT
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_two_readings_are_one_over_all_keys(cut):
    q, k, v = qkv(5, 7)
    parts = *read(q, k[:, :cut], v[:, :cut]), *read(q, k[:, cut:], v[:, cut:])
    assert_close(merge(*parts), read(q, k, v))


def test_the_order_of_readings_does_not_matter_and_three_merge_too():
    q, k, v = qkv(5, 9)
    a, b, c = (read(q, k[:, some], v[:, some]) for some in (slice(2), slice(2, 6), slice(6, 9)))
    assert_close(merge(*a, *b), merge(*b, *a))
    assert_close(merge(*merge(*a, *b), *c), merge(*a, *merge(*b, *c)))
    assert_close(merge(*merge(*a, *b), *c), read(q, k, v))


def test_what_saw_nothing_adds_nothing():
    y, lse = torch.randn(2, 5, 4), torch.randn(2, 5)
    nothing = torch.zeros(2, 5, 4), torch.full((2, 5), -math.inf)
    assert_close(merge(y, lse, *nothing), (y, lse))
    assert_close(merge(*nothing, y, lse), (y, lse))
    assert_close(merge(*nothing, *nothing), nothing)


def test_readings_of_scores_far_apart_are_merged_without_overflow():
    y, other = torch.ones(1, 1, 2), torch.zeros(1, 1, 2)
    far = merge(y, torch.tensor([[1e30]]), other, torch.tensor([[-1e30]]))
    assert_close(far, (y, torch.tensor([[1e30]])))


def test_gradients_of_a_merge():
    parts = draw(2, 3, 4), draw(2, 3), draw(2, 3, 4), draw(2, 3)
    assert torch.autograd.gradcheck(merge, parts)


# attention in tiles


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("tile", [1, 2, 5, 7, 100])
@pytest.mark.parametrize(("i", "j"), [(7, 7), (3, 11), (11, 3), (1, 1)])
def test_tiles_of_keys_give_the_same_attention(i, j, tile, causal):
    q, k, v = qkv(i, j, batch=(2, 3))
    y, lse = attention_by_tiles(q, k, v, tile, causal)
    mask = dense.causal_mask(i, j) if causal else torch.ones(i, j, dtype=torch.bool)
    assert_close(y, dense.scaled_dot_product_attention(q, k, v, mask))
    assert_close(y, F.scaled_dot_product_attention(q, k, v, mask))
    scores = (q @ k.mT / math.sqrt(3)).masked_fill(~mask, -math.inf)
    assert_close(lse, scores.logsumexp(-1))


def test_tiles_of_large_scores_do_not_overflow():
    q, k, v = (torch.full((1, n, 4), 1e15) for n in (2, 5, 5))
    y, lse = attention_by_tiles(q, k, v, 2)
    assert_close(y, v[:, :2])
    assert lse.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_flow_through_tiles(causal):
    q, k, v = qkv(3, 4, d=2, e=3, batch=(1,))
    assert torch.autograd.gradcheck(lambda *x: attention_by_tiles(*x, 3, causal), (q, k, v))


# its gradients


@pytest.mark.parametrize(("i", "j"), [(5, 7), (7, 5), (1, 1)])
def test_gradients_from_the_output_and_the_log_sum_exp(i, j):
    q, k, v = qkv(i, j, batch=(2, 3))
    y = F.scaled_dot_product_attention(q, k, v)
    dy = torch.randn(y.shape, dtype=y.dtype)
    expected = torch.autograd.grad(y, (q, k, v), dy)
    _, lse = attention_by_tiles(q, k, v, 2)
    assert_close(attention_gradients(dy, q, k, v, y, lse), expected)


# blocks of queries and their halos


def windows_alone(q, k, v, window):
    tables = torch.zeros(2, q.shape[1], window, q.shape[2] // 2, dtype=q.dtype)
    return stand_alone.local_attention(q, k, v, *tables, window)


@pytest.mark.parametrize(("h", "w"), [(7, 5), (8, 12), (1, 1), (1, 9), (3, 2)])
@pytest.mark.parametrize("window", [1, 3, 7])
@pytest.mark.parametrize("block", [1, 2, 4, 9])
def test_blocks_give_the_attention_of_windows(h, w, window, block):
    q, k, v = draw(2, 3, 4, h, w), draw(2, 3, 4, h, w), draw(2, 3, 5, h, w)
    y = halo_attention(q, k, v, window, block)
    assert_close(y, windows_alone(q, k, v, window))


def test_blocks_in_loops_over_pixels():
    q, k, v = draw(1, 1, 2, 5, 6), draw(1, 1, 2, 5, 6), draw(1, 1, 3, 5, 6)
    y = halo_attention(q, k, v, 3, 4)
    for row in range(5):
        for column in range(6):
            near = (
                slice(max(0, row - 1), min(5, row + 2)),
                slice(max(0, column - 1), min(6, column + 2)),
            )
            keys, values = k[0, 0][:, *near].flatten(1), v[0, 0][:, *near].flatten(1)
            expected = values @ (q[0, 0, :, row, column] @ keys).softmax(0)
            assert_close(y[0, 0, :, row, column], expected)


def test_gradients_of_blocks_are_finite_and_right():
    q, k, v = draw(1, 1, 2, 3, 5), draw(1, 1, 2, 3, 5), draw(1, 1, 3, 3, 5)
    assert torch.autograd.gradcheck(lambda *x: halo_attention(*x, 3, 4), (q, k, v))


def test_blocks_of_large_scores():
    q, k, v = (torch.full((1, 1, 2, 3, 3), 1e15) for _ in range(3))
    assert_close(halo_attention(q, k, v, 3, 2), v)


@pytest.mark.parametrize("window", [0, 2, 4])
def test_an_even_window_is_refused(window):
    x = torch.zeros(1, 1, 2, 3, 3)
    with pytest.raises(ValueError, match=f"window={window} has no middle"):
        halo_attention(x, x, x, window, 2)


# places as features


@pytest.mark.parametrize(("h", "w"), [(3, 5), (1, 1), (4, 1), (2, 7)])
@pytest.mark.parametrize("e", [2, 30])
def test_places_as_features_give_the_attention_with_places(h, w, e):
    q, k, v = draw(2, 3, h, w, 4), draw(2, 3, h, w, 4), draw(2, 3, h, w, e)
    rows, columns = draw(2 * h - 1, 4), draw(2 * w - 1, 4)
    y = augmented_attention(q, k, v, rows, columns)
    expected = relative_2d.relative_attention_2d(q, k, v, rows, columns, "naive")
    assert_close(y, expected)
    given, slope = (q, k, v, rows, columns), torch.randn_like(y)
    for one, other in zip(
        torch.autograd.grad(y, given, slope),
        torch.autograd.grad(expected, given, slope),
        strict=True,
    ):
        assert_close(one, other)


# a kernel in Triton

needs_triton = pytest.mark.skipif(
    bool(gpu.available("cuda" if torch.cuda.is_available() else "cpu")),
    reason=gpu.available("cuda" if torch.cuda.is_available() else "cpu"),
)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("i", "j", "d", "e"), [(5, 7, 3, 2), (17, 33, 20, 5), (1, 64, 16, 17)])
def test_the_kernel_reads_as_attention_does(i, j, d, e, dtype):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v = (x.detach().to(device, dtype) for x in qkv(i, j, d, e))
    y, lse = kernel_attention(q, k, v)
    assert_close(y, F.scaled_dot_product_attention(q, k, v))
    assert_close(lse, (q @ k.mT / math.sqrt(d)).logsumexp(-1))


@needs_triton
def test_the_step_may_be_decorated_or_not():
    import triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    q, k, v = (x.detach().to(device) for x in qkv(3, 40))
    decorated = kernel_attention(q, k, v, triton.jit(inspect.unwrap(online_step)))
    assert_close(decorated, kernel_attention(q, k, v, online_step))


AHEAD = """
import torch
from solutions.fast.kernel import kernel_attention
for d, e in ((20, 7), (64, 64)):
    for dtype in (torch.float32, torch.float64):
        shapes = (2, 40, d), (2, 70, d), (2, 70, e)
        kernel_attention(*(torch.zeros(shape, dtype=dtype) for shape in shapes))
"""


@needs_triton
@pytest.mark.parametrize("sm", ahead.TRIED)
def test_the_kernel_and_its_step_fit_on_gpus_that_are_not_here(sm):
    built = ahead.build(sm, AHEAD)
    assert len(built) == 4
    for kernel in built:
        ahead.check(kernel, sm)


# patterns for FlexAttention


@pytest.mark.parametrize(("h", "w"), [(5, 4), (3, 7), (1, 6), (6, 1)])
@pytest.mark.parametrize("window", [1, 3, 5])
def test_the_local_pattern_is_that_of_windows(h, w, window):
    i, j = torch.arange(h * w)[:, None], torch.arange(h * w)
    mask = local_mod(0, 0, i, j, w, window)
    q, k, v = draw(1, 1, 2, h, w), draw(1, 1, 2, h, w), draw(1, 1, 3, h, w)
    line = (x.flatten(-2).mT for x in (q, k, v))
    y = F.scaled_dot_product_attention(*line, mask, scale=1.0)
    assert_close(y, windows_alone(q, k, v, window).flatten(-2).mT)
    assert mask.tolist() == [
        [bool(local_mod(0, 0, a, b, w, window)) for b in range(h * w)] for a in range(h * w)
    ]


@pytest.mark.parametrize(("n", "stride"), [(11, 3), (12, 4), (7, 1), (5, 9)])
def test_the_sparse_pattern_is_the_union_of_chapter_ten(n, stride):
    i, j = torch.arange(n)[:, None], torch.arange(n)
    mask = sparse_mod(0, 0, i, j, stride)
    assert mask.equal(sparse.local_mask(n, stride) | sparse.strided_mask(n, stride))


def test_the_relative_score_is_that_of_axes():
    h, w = 3, 5
    q, rows, columns = draw(2, 3, h, w, 4), draw(2 * h - 1, 4), draw(2 * w - 1, 4)
    down, across = relative_2d.axis_logits(q, rows, columns)
    batch, head, i, j = torch.meshgrid(*map(torch.arange, (2, 3, h * w, h * w)), indexing="ij")
    score = torch.randn(2, 3, h * w, h * w, dtype=q.dtype)
    y = relative_mod(score, batch, head, i, j, down.flatten(2, 3), across.flatten(2, 3), w)
    assert_close(y, score + relative_2d.gathered_logits(q, rows, columns))


@pytest.mark.filterwarnings("ignore")
def test_flex_attention_takes_them_as_they_are():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    h, w = 3, 5
    local, strided, relative = map(inspect.unwrap, (local_mod, sparse_mod, relative_mod))
    q, k, v = (torch.randn(2, 3, h * w, 16) for _ in range(3))
    i, j = torch.arange(h * w)[:, None], torch.arange(h * w)
    for mod in (partial(local, width=w, window=3), partial(strided, stride=3)):
        mask = flex.create_block_mask(mod, 2, 3, h * w, h * w, device="cpu")
        y = flex.flex_attention(q, k, v, block_mask=mask)
        assert_close(y, F.scaled_dot_product_attention(q, k, v, mod(0, 0, i, j)))
    down, across = torch.randn(2, 3, h * w, h), torch.randn(2, 3, h * w, w)
    y = flex.flex_attention(q, k, v, partial(relative, down=down, across=across, width=w))
    bias = (down[..., None] + across[..., None, :]).flatten(-2)
    assert_close(y, F.scaled_dot_product_attention(q, k, v, bias))


# measuring


def test_the_map_costs_four_times_its_size_and_tiles_read_keys_again():
    assert traffic(7, 3) == 4 * 7 * 3 + 4 * 49
    assert traffic(8, 3, 8) == 4 * 8 * 3
    assert traffic(7, 3, 2) == 2 * 21 + 4 * 2 * 21
    assert traffic(1000, 64) / traffic(1000, 64, 250) > 6
    assert isinstance(traffic(7, 3, 2), int)


def test_the_slower_of_computing_and_moving_is_the_floor():
    assert floor_seconds(5e9, 1e6, 1e10, 1e9) == 1.0
    assert floor_seconds(5e6, 3e9, 1e10, 1e9) == 3.0


def test_a_ratio_is_taken_within_rounds():
    ours, theirs = torch.tensor([1.0, 4.0, 2.0]), torch.tensor([2.0, 2.0, 4.0])
    assert_close(ratio(ours, theirs), tuple(torch.tensor([0.5, 0.5, 2.0])))
    even = ratio(torch.tensor([1.0, 2.0]), torch.ones(2))
    assert_close(even, tuple(torch.tensor([1.5, 1.0, 2.0])))
    with pytest.raises(ValueError, match="3 times of ours, 2 of theirs"):
        ratio(ours, theirs[:2])
