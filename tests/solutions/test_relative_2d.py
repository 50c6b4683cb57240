"""What must be true of attention that knows offsets in the plane, however it is computed."""

import math

import pytest
import rounding
import torch
from einops import rearrange
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attncourse.papers.counting import count
from solutions.multi_head import MultiHeadAttention
from solutions.relative_2d import (
    IMPLEMENTATIONS,
    LOGITS,
    AttentionAugmentedConv2d,
    attention_widths,
    augmented_pair,
    axis_logits,
    broadcast_logits,
    fit_table,
    gathered_logits,
    multiply_adds,
    parameters,
    rel_to_abs,
    relative_attention_2d,
    relative_logits_1d,
    relative_logits_2d,
    relative_weights,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, HEADS, H, W, D, E = 2, 3, 4, 5, 7, 6


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def tables(h, w, d=D, dtype=torch.float64):
    return torch.randn(2 * h - 1, d, dtype=dtype), torch.randn(2 * w - 1, d, dtype=dtype)


def queries(h=H, w=W, d=D):
    return random(B, HEADS, h, w, d)


def loops(q, rows, columns):
    """q_i · (R_(y-h) + C_(x-w)), pair by pair, for one map h w d."""
    h, w, _ = q.shape
    found = torch.zeros(h * w, h * w, dtype=q.dtype)
    for a in range(h):
        for b in range(w):
            for y in range(h):
                for x in range(w):
                    place = rows[y - a + h - 1] + columns[x - b + w - 1]
                    found[a * w + b, y * w + x] = q[a, b].dot(place)
    return found


# logits


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize(("h", "w"), [(4, 5), (5, 2), (1, 3), (3, 1), (1, 1)])
def test_every_form_of_the_logits_is_the_definition_pair_by_pair(logits, h, w):
    q, (rows, columns) = queries(h, w), tables(h, w)
    found = logits(q, rows, columns)
    assert found.shape == (B, HEADS, h * w, h * w)
    for b in range(B):
        for head in range(HEADS):
            assert_close(found[b, head], loops(q[b, head], rows, columns))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_skew_moves_offset_j_minus_i_to_key_j(n):
    x = random(B, n, 2 * n - 1)
    y = rel_to_abs(x)
    assert y.shape == (B, n, n)
    for i in range(n):
        for j in range(n):
            assert_close(y[:, i, j], x[:, i, j - i + n - 1])


@pytest.mark.parametrize("r", [8, 10, 11, 5])
def test_the_skew_wants_a_column_for_each_offset(r):
    with pytest.raises(ValueError, match=f"5 queries and {r} offsets; there must be 9"):
        rel_to_abs(random(B, 5, r))


def test_on_one_axis_the_logits_are_those_of_shaw_without_clipping():
    from solutions.positional import relative_index

    q, table = random(B, W, D), random(2 * W - 1, D)
    by_pair = torch.einsum("bid,ijd->bij", q, table[relative_index(W, W, W - 1)])
    assert_close(relative_logits_1d(q, table), by_pair)


def test_logits_of_pairs_with_one_offset_and_one_query_are_equal():
    q, (rows, columns) = random(1, 1, 1, D).expand(1, H, W, D), tables(H, W)
    found = rearrange(
        relative_logits_2d(q, rows, columns), "1 (h w) (y x) -> h w y x", h=H, y=H
    )
    assert_close(found[1:, 1:, 1:, 1:], found[:-1, :-1, :-1, :-1])


def test_a_table_of_another_map_is_refused_with_the_numbers():
    rows, columns = tables(H, W)
    for logits in (gathered_logits, relative_logits_2d, broadcast_logits, axis_logits):
        with pytest.raises(ValueError, match="columns has 7 offsets; 5 columns need 9"):
            logits(queries(), rows, rows)
    with pytest.raises(ValueError, match="rows has 9 offsets; 4 rows need 7"):
        gathered_logits(queries(), columns, columns)


def test_a_query_speaks_to_rows_and_to_columns_apart():
    q, (rows, columns) = queries(), tables(H, W)
    down, across = axis_logits(q, rows, columns)
    assert down.shape == (B, HEADS, H, W, H)
    assert across.shape == (B, HEADS, H, W, W)
    both = down[..., :, None] + across[..., None, :]
    assert_close(both.flatten(-2).flatten(2, 3), relative_logits_2d(q, rows, columns))


def test_longer_queries_and_keys_have_the_scores_as_plain_products():
    q, k, (rows, columns) = queries(), queries(), tables(H, W)
    longer_q, longer_k = augmented_pair(q, k, rows, columns)
    assert longer_q.shape == longer_k.shape == (B, HEADS, H * W, D + H + W)
    content = q.flatten(2, 3) @ k.flatten(2, 3).mT
    assert_close(longer_q @ longer_k.mT, content + gathered_logits(q, rows, columns))
    assert_close(longer_k[..., D:].unique(), torch.tensor([0.0, 1.0]).double())
    assert_close(longer_k[..., D:].sum(-1).unique(), torch.tensor([2.0]).double())


# attention


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("h", "w"), [(4, 5), (1, 3), (1, 1)])
def test_attention_is_the_definition_with_loops(implementation, h, w):
    q, k, v = queries(h, w), queries(h, w), queries(h, w, E)
    rows, columns = tables(h, w)
    y = relative_attention_2d(q, k, v, rows, columns, implementation)
    assert y.shape == v.shape
    for b in range(B):
        for head in range(HEADS):
            place = loops(q[b, head], rows, columns)
            content = q[b, head].flatten(0, 1) @ k[b, head].flatten(0, 1).T
            weights = ((content + place) / math.sqrt(D)).softmax(-1)
            assert_close(y[b, head].flatten(0, 1), weights @ v[b, head].flatten(0, 1))


@pytest.mark.parametrize(("h", "w"), [(5, 7), (14, 14), (28, 28), (56, 40)])
def test_all_paths_agree_in_single_precision_but_for_what_sums_are_off_by(h, w):
    q, k, v = torch.randn(3, 1, 2, h, w, 8).unbind()
    rows, columns = (table / math.sqrt(8) for table in tables(h, w, 8, torch.float32))
    naive = ("naive",) if h * w < 1000 else ()  # 160 MB a table, beyond
    want = relative_attention_2d(q, k, v, rows, columns, "skew")
    allowed = rounded(*(t.double() for t in (q, k, v, rows, columns)))
    for implementation in (*naive, "broadcast", "fused", "augmented"):
        y = relative_attention_2d(q, k, v, rows, columns, implementation)
        assert ((y - want).abs() <= allowed).all(), implementation


def rounded(q, k, v, rows, columns):
    """How far two ways to compute relative attention may be apart in single precision."""

    def scores(q, k, rows, columns):
        place = relative_logits_2d(q, rows, columns)
        content = q.flatten(-3, -2) @ k.flatten(-3, -2).mT
        return (content + place) / math.sqrt(q.shape[-1])

    exact = scores(q, k, rows, columns)
    magnitudes = scores(*(t.abs() for t in (q, k, rows, columns)))
    off = rounding.of_attention(exact, magnitudes, v.flatten(-3, -2), terms=3 * q.shape[-1])
    return off.unflatten(-2, q.shape[-3:-1])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("e", [2, 9])
def test_gradients_are_right_in_every_path(implementation, e):
    h, w, d = 2, 3, 2
    inputs = random(1, 2, h, w, d), random(1, 2, h, w, d), random(1, 2, h, w, e)
    inputs = [x.requires_grad_() for x in (*inputs, *tables(h, w, d))]
    gradcheck(lambda *a: relative_attention_2d(*a, implementation), inputs)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_all_paths_have_the_same_gradients(implementation):
    parts = [queries(), queries(), queries(H, W, E), *tables(H, W)]
    weight, found = queries(H, W, E), {}
    for way in ("skew", implementation):
        leaves = [x.clone().requires_grad_() for x in parts]
        (relative_attention_2d(*leaves, way) * weight).sum().backward()
        found[way] = [x.grad for x in leaves]
    assert_close(found[implementation], found["skew"])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_without_tables_it_is_torchs_attention(implementation):
    q, k, v = queries(), queries(), queries(H, W, E)
    theirs = F.scaled_dot_product_attention(*(x.flatten(2, 3) for x in (q, k, v)))
    y = relative_attention_2d(q, k, v, implementation=implementation)
    assert_close(y.flatten(2, 3), theirs)


def test_weights_are_shares_and_mix_the_values():
    q, k, v, both = queries(), queries(), queries(H, W, E), tables(H, W)
    weights = relative_weights(q, k, *both)
    assert_close(weights.sum(-1), torch.ones(B, HEADS, H * W, dtype=torch.float64))
    y = (weights @ v.flatten(2, 3)).unflatten(2, (H, W))
    assert_close(y, relative_attention_2d(q, k, v, *both))


def test_an_unknown_implementation_is_refused():
    q = queries()
    with pytest.raises(ValueError, match="'quick' is none of naive, skew"):
        relative_attention_2d(q, q, q, implementation="quick")
    with pytest.raises(ValueError, match="'quick' is none of naive, skew"):
        AttentionAugmentedConv2d(3, 16, implementation="quick")


def test_the_map_of_equal_pixels_moves_with_the_query():
    q, (rows, columns) = random(1, 1, 1, D).expand(1, H, W, D), tables(H, W)
    log = relative_weights(q, q, rows, columns).log()
    grid = rearrange(log, "1 (h w) (y x) -> h w y x", h=H, y=H)
    apart = grid[1:, 1:, 1:, 1:] - grid[:-1, :-1, :-1, :-1]
    assert_close(apart, apart[..., :1, :1].expand_as(apart))  # but for the norm of each row


@pytest.mark.parametrize("h", [3, 5])
def test_bottleneck_transformers_attention_on_a_map_that_is_not_square(h):
    theirs = pytest.importorskip(
        "bottleneck_transformer_pytorch"
    ).bottleneck_transformer_pytorch
    layer = theirs.Attention(dim=8, fmap_size=(h, 4), heads=2, dim_head=D, rel_pos_emb=True)
    x = torch.randn(B, 8, h, 4)
    q, k, v = (
        rearrange(part, "b (head d) h w -> b head h w d", head=2)
        for part in layer.to_qkv(x).chunk(3, dim=1)
    )
    places = layer.pos_emb.rel_height, layer.pos_emb.rel_width
    for implementation in IMPLEMENTATIONS:
        y = relative_attention_2d(q, k, v, *places, implementation)
        assert_close(rearrange(y, "b head h w d -> b (head d) h w"), layer(x))


# what it costs


def largest(call):
    return count(call).largest_tensor


def test_the_largest_tensor_of_each_form():
    h, w, d = 6, 7, 16
    q, (rows, columns) = random(1, 1, h, w, d), tables(h, w, d)
    n = h * w
    assert largest(lambda: gathered_logits(q, rows, columns)) == n**2 * d
    assert largest(lambda: relative_logits_2d(q, rows, columns)) == n**2
    assert largest(lambda: broadcast_logits(q, rows, columns)) == n**2
    assert largest(lambda: augmented_pair(q, q, rows, columns)) == n * (d + h + w)


def test_the_augmented_path_makes_nothing_of_the_size_of_the_map():
    h, w, d = 20, 18, 8
    q, both = torch.randn(1, 2, h, w, d), tables(h, w, d, torch.float32)
    spent = largest(lambda: relative_attention_2d(q, q, q, *both, "augmented"))
    assert spent <= 2 * h * w * (d + h + w) < 2 * (h * w) ** 2


class Made(TorchDispatchMode):
    """Counts the tensors of at least so many numbers that own their memory."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers, self.seen = numbers, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.numel() >= self.numbers:
                self.seen.add(leaf.untyped_storage().data_ptr())
        return result


def test_the_fused_path_makes_the_bias_once():
    h, w, d = 20, 18, 8
    q, both = torch.randn(1, 2, h, w, d), tables(h, w, d, torch.float32)
    with torch.no_grad(), Made(2 * (h * w) ** 2) as made:
        relative_attention_2d(q, q, q, *both, "fused")
    assert len(made.seen) == 1


# tables for other sizes


def test_a_table_for_a_smaller_map_is_the_middle():
    table = random(2 * 7 - 1, D)
    assert_close(fit_table(table, 4), table[3:-3])
    assert fit_table(table, 7) is table


def test_beyond_the_last_offset_all_share_its_vector():
    table = random(2 * 3 - 1, D)
    wide = fit_table(table, 5)
    assert wide.shape == (9, D)
    assert_close(wide[2:-2], table)
    assert_close(wide[:2], table[:1].expand(2, D))
    assert_close(wide[-2:], table[-1:].expand(2, D))


def test_a_stretched_table_keeps_its_middle_and_its_ends():
    table = random(2 * 3 - 1, D)
    wide = fit_table(table, 5, stretch=True)
    assert wide.shape == (9, D)
    assert_close(wide[::2], table)
    assert_close(wide[1::2], (table[1:] + table[:-1]) / 2)
    assert_close(fit_table(random(1, D), 3, stretch=True).shape, torch.Size([5, D]))


# how many channels


@pytest.mark.parametrize(
    ("channels", "kappa", "upsilon", "heads", "dk", "dv"),
    [
        (128, 0.2, 0.1, 8, 160, 8),  # the stages of ResNet-50
        (256, 0.2, 0.1, 8, 160, 24),
        (512, 0.2, 0.1, 8, 160, 48),
        (640, 0.4, 0.2, 8, 256, 128),
        (1000, 0.3, 0.25, 7, 294, 245),
        (64, 0.2, 0.0, 8, 0, 0),
        (64, 0.2, 0.1, 8, 0, 0),  # 6.4 maps are none for eight heads
        (30, 0.3, 0.3, 3, 60, 9),
        (24, 1.0, 1.0, 4, 80, 24),
    ],
)
def test_widths_are_rounded_down_to_the_heads_and_keys_have_twenty(
    channels, kappa, upsilon, heads, dk, dv
):
    assert attention_widths(channels, kappa, upsilon, heads) == (dk, dv)


# the layer


def layer(h=H, w=W, **options):
    chosen = dict(kappa=0.5, upsilon=0.5, heads=3, size=(h, w)) | options
    return AttentionAugmentedConv2d(5, 12, 3, **chosen).double()


def test_the_convolution_comes_first_and_the_attention_after():
    aa, x = layer(), random(B, 5, H, W)
    y = aa(x)
    assert aa.widths == (60, 6)
    assert y.shape == (B, 12, H, W)
    assert_close(y[:, :6], F.conv2d(x, aa.conv.weight, padding=1))
    k, q, v = torch.einsum("oc,bchw->bohw", aa.kqv.weight[..., 0, 0], x).split([60, 60, 6], 1)
    heads = []
    for head in range(3):
        cut = slice(20 * head, 20 * head + 20), slice(2 * head, 2 * head + 2)
        q_h, k_h = (rearrange(t[:, cut[0]], "b d h w -> b h w d") for t in (q, k))
        place = torch.stack([loops(one, aa.rows, aa.columns) for one in q_h])
        scores = (q_h.flatten(1, 2) @ k_h.flatten(1, 2).mT + place) / math.sqrt(20)
        heads.append(scores.softmax(-1) @ v[:, cut[1]].flatten(2).mT)
    mixed = torch.cat(heads, -1).mT.unflatten(-1, (H, W))
    assert_close(y[:, 6:], torch.einsum("oc,bchw->bohw", aa.out.weight[..., 0, 0], mixed))


def test_with_zero_tables_it_is_multi_head_attention_on_flattened_pixels():
    aa = AttentionAugmentedConv2d(40, 40, kappa=1, upsilon=1, heads=2, size=(H, W)).double()
    nn.init.zeros_(aa.rows), nn.init.zeros_(aa.columns)
    plain = MultiHeadAttention(40, 2).double()
    for ours, theirs in zip(
        (plain.key, plain.query, plain.value), aa.kqv.weight.flatten(1).chunk(3), strict=True
    ):
        ours.load_state_dict({"weight": theirs, "bias": torch.zeros(40)})
    plain.out.load_state_dict({"weight": aa.out.weight.flatten(1), "bias": torch.zeros(40)})
    x = random(B, 40, H, W)
    tokens = rearrange(x, "b c h w -> b (h w) c")
    assert_close(aa.attention(x), plain.attention(tokens))
    assert_close(rearrange(aa(x), "b c h w -> b (h w) c"), plain(tokens))


def test_without_values_it_is_a_convolution():
    aa = layer(upsilon=0)
    plain = nn.Conv2d(5, 12, 3, padding=1, bias=False).double()
    plain.load_state_dict(aa.conv.state_dict())
    x = random(B, 5, H, W)
    assert_close(aa(x), plain(x))
    assert [name for name, _ in aa.named_parameters()] == ["conv.weight"]
    with pytest.raises(ValueError, match="no map"):
        aa.attention(x)


def test_with_all_channels_it_is_attention_alone():
    aa, x = layer(upsilon=1), random(B, 5, H, W)
    assert aa.conv is None
    assert aa(x).shape == (B, 12, H, W)
    order = torch.randperm(H * W)
    none = layer(upsilon=1, size=None)  # and without positions the pixels are a heap
    shuffled = none(x.flatten(2)[..., order].unflatten(-1, (H, W)))
    assert_close(shuffled.flatten(2), none(x).flatten(2)[..., order])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_layer_is_the_same_in_every_path(implementation):
    ours, reference = layer(implementation=implementation), layer(implementation="naive")
    ours.load_state_dict(reference.state_dict())
    x = random(B, 5, H, W)
    assert_close(ours(x), reference(x))
    assert_close(ours.attention(x), reference.attention(x))


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 4), (7, 3), (6, 9), (4, 5)])
@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("options", [{}, dict(stride=2), dict(downsample=True)])
def test_any_size_gives_the_size_of_the_convolution(h, w, stretch, options):
    aa = layer(stretch=stretch, **options)
    x = random(B, 5, h, w)
    assert aa(x).shape == (B, 12, *F.conv2d(x, aa.conv.weight, None, aa.stride, 1).shape[-2:])


@pytest.mark.parametrize(
    ("stride", "downsample"), [(2, False), (1, True), (2, True), (3, True)]
)
def test_tables_are_made_for_the_map_that_is_attended(stride, downsample):
    aa = layer(9, 11, stride=stride, downsample=downsample)
    q, _, _ = aa.project(random(B, 5, 9, 11))
    assert (len(aa.rows), len(aa.columns)) == (2 * q.shape[2] - 1, 2 * q.shape[3] - 1)


def test_the_mean_at_the_border_is_over_the_pixels_that_there_are():
    aa = layer(downsample=True)
    ones = torch.ones(B, 5, 5, 7, dtype=torch.float64)
    q, _, _ = aa.project(ones)
    assert_close(q, q[..., :1, :1, :].expand_as(q))
    y = aa(ones)[:, 6:]
    assert_close(y, y[..., :1, :1].expand_as(y))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_stays_and_is_near(implementation, dtype):
    aa = layer(implementation=implementation)
    x = random(B, 5, H, W)
    want = aa(x)
    y = aa.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    assert (y.double() - want).abs().max() < {2: 5e-2, 4: 1e-5}[dtype.itemsize]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_strided_input_and_an_empty_batch(implementation):
    aa, x = layer(implementation=implementation), random(B, 5, H, W)
    apart = random(H, W, B, 5).permute(2, 3, 0, 1).copy_(x)
    assert not apart.is_contiguous()
    assert_close(aa(apart), aa(x))
    assert aa(x[:0]).shape == (0, 12, H, W)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_cuda_gives_the_same(implementation):
    aa, x = layer(implementation=implementation), random(B, 5, H, W)
    want = aa(x)
    assert_close(aa.cuda()(x.cuda()).cpu(), want)


def test_images_do_not_mix():
    aa, x = layer(), random(B, 5, H, W)
    assert_close(aa(x)[:1], aa(x[:1]))


def test_every_parameter_is_taught():
    for options in ({}, dict(stride=2), dict(downsample=True), dict(upsilon=1)):
        aa = layer(**options)
        aa(random(B, 5, H, W)).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in aa.parameters())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (dict(upsilon=1.2), "upsilon=1.2 is no fraction"),
        (dict(kernel=2), "kernel=2 is even"),
        (dict(upsilon=1, heads=5), "out_channels=12 is not a multiple of heads=5"),
    ],
)
def test_what_cannot_be_built_is_told(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        AttentionAugmentedConv2d(**(dict(in_channels=5, out_channels=12) | options))


def test_parameters_are_as_counted():
    aa = layer()
    dk, dv = aa.widths
    assert sum(p.numel() for p in aa.parameters()) == parameters(5, 12, 3, dk, dv, 3, (H, W))
    plain = parameters(64, 64, 3, 0, 0)
    assert plain == 9 * 64 * 64
    assert parameters(64, 64, 3, 16, 16) - plain == -5888  # kappa = upsilon = 1/4


def test_multiply_adds_are_as_counted():
    aa = layer(size=None, implementation="skew")
    spent = count(lambda: aa(random(1, 5, H, W))).multiply_adds
    assert spent == multiply_adds(5, 12, 3, *aa.widths, (H, W))


# what moves when the picture moves


def test_what_is_moved_before_an_empty_ground_moves_in_the_output_too():
    """Empty pixels have no key, no value and one share; there are as many before as after."""
    aa = layer(9, 11, upsilon=1)
    x = torch.zeros(B, 5, 9, 11, dtype=torch.float64)
    x[:, :, 3:5, 4:7] = random(B, 5, 2, 3)
    where = slice(3, 5), slice(4, 7)
    there = slice(5, 7), slice(5, 8)
    # offsets of the pixels of the patch among each other; the ground adds the same to all
    q, k, _ = aa.project(x)
    scores = rearrange(
        relative_weights(q, k, aa.rows, aa.columns).log(),
        "b head (h w) (y x) -> b head h w y x",
        h=9,
        y=9,
    )
    q, k, _ = aa.project(x.roll((2, 1), (2, 3)))
    after = rearrange(
        relative_weights(q, k, aa.rows, aa.columns).log(),
        "b head (h w) (y x) -> b head h w y x",
        h=9,
        y=9,
    )
    one = scores[(slice(None),) * 2 + where + where].flatten(-2)
    two = after[(slice(None),) * 2 + there + there].flatten(-2)
    assert_close(one - one[..., :1], two - two[..., :1])
