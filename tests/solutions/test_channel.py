"""What must be true of channel attention, however it is written."""

import warnings
from functools import partial

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from solutions.channel import (
    ECA,
    PLACEMENTS,
    GatherExcite,
    SqueezeExcite,
    added_parameters,
    eca_window,
    gather,
    placement_of,
    residual,
    squeeze,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, C, H, W, R = 2, 12, 5, 7, 4
RESNET_50 = ((3, 256), (4, 512), (6, 1024), (3, 2048))


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def numbers(layer):
    """How many numbers a layer learns."""
    return sum(p.numel() for p in layer.parameters())


def lively(layer):
    """A layer in double precision whose numbers are all drawn, running statistics too."""
    layer = layer.double()
    for p in layer.parameters():
        nn.init.normal_(p, std=0.7)
    for name, kept in layer.named_buffers():
        if "running" in name:
            kept.copy_(random(*kept.shape).abs() + 0.3)
    return layer


def every_module():
    return {
        "squeeze-excite": SqueezeExcite(C, R),
        "squeeze-excite with biases": SqueezeExcite(C, R, bias=True),
        "θ⁻ of the whole map": GatherExcite(C),
        "θ⁻ with extent 3": GatherExcite(C, extent=3),
        "θ with extent 4": GatherExcite(C, extent=4, learned=True),
        "θ of the whole map": GatherExcite(C, (H, W), learned=True),
        "θ⁺ of the whole map": GatherExcite(C, (H, W), learned=True, reduction=R),
        "θ⁺ with extent 2": GatherExcite(C, extent=2, learned=True, reduction=R),
        "eca": ECA(C),
    }


EVERY = [pytest.param(layer, id=name) for name, layer in every_module().items()]
PIXELWISE = [
    pytest.param(layer, id=name)
    for name, layer in every_module().items()
    if "extent" not in name
]
ANY_SIZE = [
    pytest.param(layer, id=name)
    for name, layer in every_module().items()
    if not ("θ" in name and "θ⁻" not in name and "whole" in name)
]


# squeeze-and-excitation


def paper(layer, image):
    """Equations 2 to 4 for one image, c h w, one feature map and one unit at a time."""
    z = [sum(row.sum() for row in fmap) / fmap.numel() for fmap in image]
    down, up = layer.down, layer.up
    hidden = []
    for unit in range(down.out_features):
        t = sum(w * x for w, x in zip(down.weight[unit], z, strict=True))
        t = t if down.bias is None else t + down.bias[unit]
        hidden.append(torch.clamp(t, min=0))
    scaled = []
    for channel, fmap in enumerate(image):
        t = sum(w * x for w, x in zip(up.weight[channel], hidden, strict=True))
        t = t if up.bias is None else t + up.bias[channel]
        scaled.append(fmap / (1 + torch.exp(-t)))
    return torch.stack(scaled)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6)])
def test_squeeze_excite_computes_the_equations_of_the_paper(bias, size):
    layer, x = lively(SqueezeExcite(C, R, bias)), random(B, C, *size)
    assert_close(layer(x), torch.stack([paper(layer, image) for image in x]))


@pytest.mark.parametrize("bias", [False, True])
def test_squeeze_excite_is_the_block_of_pytorchcv(bias):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        att = pytest.importorskip("pytorchcv.models.common.att")
    theirs = att.SEBlock(C, R, use_conv=False).double()
    ours = SqueezeExcite(C, R, bias=True).double()
    ours.load_state_dict(
        {
            "down.weight": theirs.fc1.weight,
            "down.bias": theirs.fc1.bias * bias,
            "up.weight": theirs.fc2.weight,
            "up.bias": theirs.fc2.bias * bias,
        }
    )
    if not bias:
        nn.init.zeros_(theirs.fc1.bias), nn.init.zeros_(theirs.fc2.bias)
    x = random(B, C, H, W)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("bias", "counted"), [(False, 512), (True, 580)])
def test_for_64_channels_it_learns_as_many_numbers_as_the_formula_says(bias, counted):
    assert numbers(SqueezeExcite(64, 16, bias)) == counted
    assert added_parameters(((1, 64),), 16, bias) == counted


def test_resnet_50_grows_by_what_was_counted():
    assert added_parameters(RESNET_50) == 2_514_944
    assert added_parameters(RESNET_50, bias=True) - added_parameters(RESNET_50) == 16_048
    assert 25_557_032 + added_parameters(RESNET_50, bias=True) == 28_088_024


@pytest.mark.parametrize(
    ("reduction", "printed"), [(4, 35.7), (8, 30.7), (16, 28.1), (32, 26.9)]
)
def test_the_parameters_of_the_papers_reductions_come_out(reduction, printed):
    with_statistics = 25_557_032 + 2 * 26_560
    total = with_statistics + added_parameters(RESNET_50, reduction, bias=True)
    assert round(total / 1e6, 1) == printed


@pytest.mark.parametrize(("channels", "reduction"), [(12, 5), (4, 16), (0, 4), (8, 0)])
def test_channels_that_do_not_divide_are_refused(channels, reduction):
    with pytest.raises(ValueError, match=rf"channels={channels}.*reduction={reduction}"):
        SqueezeExcite(channels, reduction)


# what is true of every gate


@pytest.mark.parametrize("layer", EVERY)
def test_gains_lie_between_0_and_1_and_scale_x(layer):
    layer, x = lively(layer), random(B, C, H, W)
    gains = layer.attention(x)
    assert ((gains > 0) & (gains < 1)).all()
    assert gains.std() > 0.01
    spread = gains if gains.ndim == 4 else rearrange(gains, "b c -> b c 1 1")
    layer.train(layer.training)
    assert_close(layer(x), x * spread)


@pytest.mark.parametrize("layer", PIXELWISE)
def test_gains_of_the_whole_map_are_the_same_for_all_its_pixels(layer):
    layer, x = lively(layer), random(B, C, H, W)
    gains = layer(x) / x
    assert_close(gains, gains[..., :1, :1].expand_as(gains))


@pytest.mark.parametrize(
    "layer", [SqueezeExcite(C, R), SqueezeExcite(C, R, bias=True), GatherExcite(C), ECA(C)]
)
def test_means_do_not_see_where_things_are(layer):
    layer, x = lively(layer), random(B, C, H, W)
    shuffle = torch.randperm(H * W)
    pixels = rearrange(layer(x), "b c h w -> b c (h w)")[..., shuffle]
    mixed = rearrange(x, "b c h w -> b c (h w)")[..., shuffle]
    mixed = rearrange(mixed, "b c (h w) -> b c h w", h=H)
    assert_close(rearrange(layer(mixed), "b c h w -> b c (h w)"), pixels)


def test_a_filter_over_the_whole_map_does_see_where_things_are():
    layer, x = lively(GatherExcite(C, (H, W), learned=True)).eval(), random(B, C, H, W)
    assert (layer.attention(x.flip(-1)) - layer.attention(x)).abs().max() > 0.01


@pytest.mark.parametrize("layer", EVERY)
def test_images_do_not_mix(layer):
    layer, x = lively(layer).eval(), random(B, C, H, W)
    assert_close(layer(x)[:1], layer(x[:1]))


@pytest.mark.parametrize("layer", EVERY)
def test_no_images_give_no_images(layer):
    assert layer.double().eval()(random(0, C, H, W)).shape == (0, C, H, W)


@pytest.mark.parametrize(
    "layer",
    [
        SqueezeExcite(C, R),
        GatherExcite(C, extent=2, learned=True, reduction=R),
        GatherExcite(C, (H, W), learned=True, reduction=R),
        ECA(C),
    ],
)
def test_zero_weights_halve_the_input(layer):
    layer, x = layer.double(), random(B, C, H, W)
    for p in layer.parameters():
        nn.init.zeros_(p)
    assert_close(layer(x), x / 2)


@pytest.mark.parametrize("layer", ANY_SIZE)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (6, 1), (2, 3), (9, 4)])
def test_any_map_will_do(layer, size):
    layer, x = lively(layer).eval(), random(B, C, *size)
    assert layer(x).shape == x.shape
    assert layer(x).isfinite().all()


@pytest.mark.parametrize("layer", EVERY)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_is_kept(layer, dtype):
    layer, x = lively(layer).eval(), random(B, C, H, W)
    right = layer(x)
    y = layer.to(dtype)(x.to(dtype))
    layer.double()
    assert y.dtype == dtype
    rough = {torch.float16: 0.02, torch.bfloat16: 0.15, torch.float32: 1e-4}[dtype]
    assert_close(y.double(), right, rtol=rough, atol=rough)


@pytest.mark.parametrize("layer", EVERY)
def test_any_layout_in_memory_will_do(layer):
    layer, x = lively(layer).eval(), random(B, C, H, W)
    scattered = rearrange(rearrange(x, "b c h w -> w h c b").contiguous(), "w h c b -> b c h w")
    assert not scattered.is_contiguous()
    assert_close(layer(scattered), layer(x))


@pytest.mark.parametrize("layer", EVERY)
def test_gradients_are_right(layer):
    layer, x = lively(layer).eval(), random(1, C, H, W)
    assert gradcheck(layer, x.requires_grad_())


# where the gate stands


def half(x):
    return x / 2


def lift(x):
    """No gain, but what stands before a ReLU and what behind it gives something else."""
    return x / 2 + 0.1


def drawn(placement, x, f):
    """One residual block with `lift` as its gate, as the paper draws it, pixel by pixel."""
    y = torch.empty_like(x)
    for at in torch.cartesian_prod(*map(torch.arange, x.shape)):
        at = tuple(at)
        match placement:
            case "standard":
                y[at] = max(0, x[at] + lift(f(x[at])))
            case "pre":
                y[at] = max(0, x[at] + f(lift(x[at])))
            case "post":
                y[at] = lift(max(0, x[at] + f(x[at])))
            case "identity":
                y[at] = max(0, lift(x[at]) + f(x[at]))
    return y


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_gate_stands_where_the_paper_draws_it(placement):
    x = random(B, 3, 2, 4)
    f = lambda t: t * t - 2 * t - 0.3  # noqa: E731
    assert_close(residual(x, f, lift, placement), drawn(placement, x, f))


@pytest.mark.parametrize(
    ("placement", "silent", "steady"),
    [("standard", 1, 0.5), ("pre", 1, 1), ("post", 0.5, 0.5), ("identity", 0.5, 1)],
)
def test_two_probes_tell_the_placements_apart(placement, silent, steady):
    x, c = random(B, C, H, W).abs(), 3.0
    assert_close(residual(x, torch.zeros_like, half, placement), silent * x)
    constant = residual(x, lambda t: torch.full_like(t, c), half, placement)
    assert_close(constant, silent * x + steady * c)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_placement_is_named_from_the_outside(placement):
    assert placement_of(partial(residual, placement=placement)) == placement


@pytest.mark.parametrize(
    "block",
    [
        lambda x, branch, gate: gate(gate((x + branch(x)).relu())),
        lambda x, branch, gate: (branch(x) + gate(gate(x))).relu(),
    ],
)
def test_what_is_none_of_the_four_is_called_so(block):
    assert placement_of(block) == "none of the four"


def test_without_a_gate_the_two_probes_read_as_before_the_branch():
    assert placement_of(lambda x, branch, gate: (x + branch(x)).relu()) == "pre"


def test_a_block_that_says_nothing_is_the_identity_where_the_gate_is_beside_it():
    x, gate = random(B, C, H, W).abs(), lively(SqueezeExcite(C, R))
    for placement in ("standard", "pre"):
        assert_close(residual(x, torch.zeros_like, gate, placement), x)
    for placement in ("post", "identity"):
        assert_close(residual(x, torch.zeros_like, gate, placement), gate(x))


def test_before_the_branch_the_gate_is_as_wide_as_the_input():
    x, wider = random(B, C, H, W), nn.Conv2d(C, 20, 1).double()
    gates = {"pre": C, "standard": 20, "post": 20, "identity": 20}
    for placement, width in gates.items():
        gate = SqueezeExcite(width, 4).double()
        assert residual(x, wider, gate, placement, shortcut=wider).shape == (B, 20, H, W)


def test_an_unknown_placement_is_refused():
    with pytest.raises(ValueError, match="'after' is none of standard, pre, post, identity"):
        residual(random(1, 1, 1, 1), half, half, "after")


# gather-excite


@pytest.mark.parametrize("extent", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1), (9, 4)])
def test_gathering_averages_the_pixels_that_are_nearer_than_the_extent(extent, size):
    x = random(B, 3, *size)
    rows, columns = (range(0, n, extent) for n in size)
    y = gather(x, extent)
    assert y.shape == (B, 3, len(rows), len(columns))
    for u, row in enumerate(rows):
        for v, column in enumerate(columns):
            near = [
                x[..., i, j]
                for i in range(size[0])
                for j in range(size[1])
                if abs(i - row) < extent and abs(j - column) < extent
            ]
            assert_close(y[..., u, v], torch.stack(near).mean(0))


@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1), (3, 10)])
@pytest.mark.parametrize("extent", [2, 4])
def test_every_pixel_takes_the_gain_of_its_part_of_the_map(size, extent):
    layer, x = GatherExcite(3, extent=extent), random(B, 3, *size)
    z, y = gather(x, extent), layer(x)
    (h, w), (u, v) = size, z.shape[-2:]
    for i in range(h):
        for j in range(w):
            gain = 1 / (1 + torch.exp(-z[..., i * u // h, j * v // w]))
            assert_close(y[..., i, j], x[..., i, j] * gain)


def test_without_parameters_the_whole_map_is_gated_by_the_sigmoid_of_its_mean():
    x = random(B, C, H, W)
    layer = GatherExcite(C)
    assert numbers(layer) == 0
    gain = rearrange(squeeze(x).sigmoid(), "b c -> b c 1 1")
    assert_close(layer(x), x * gain)


def test_with_two_layers_behind_the_means_it_is_squeeze_and_excitation():
    se, ge = lively(SqueezeExcite(C, R, bias=True)), GatherExcite(C, reduction=R).double()
    ones = {"weight": "c m -> c m 1 1", "bias": "c -> c"}
    for name, layer in (("down", ge.layers[1]), ("up", ge.layers[3])):
        theirs = getattr(se, name).state_dict()
        layer.load_state_dict({n: rearrange(w, ones[n]) for n, w in theirs.items()})
    x = random(B, C, H, W)
    assert_close(ge(x), se(x))


@pytest.mark.parametrize("extent", [7, 8, 100])
def test_an_extent_as_large_as_the_map_is_the_whole_map(extent):
    x = random(B, C, H, W)
    assert_close(GatherExcite(C, extent=extent)(x), GatherExcite(C)(x))


def test_an_extent_of_1_asks_every_pixel_alone():
    x = random(B, C, H, W)
    assert_close(GatherExcite(C, extent=1)(x), x * x.sigmoid())


def test_theta_weighs_the_whole_map_by_a_filter_for_each_channel():
    layer, x = lively(GatherExcite(C, (H, W), learned=True)).eval(), random(B, C, H, W)
    filters, norm = layer.filters
    for b in range(B):
        for c in range(C):
            z = sum(
                filters.weight[c, 0, i, j] * x[b, c, i, j] for i in range(H) for j in range(W)
            )
            z = (z - norm.running_mean[c]) / (norm.running_var[c] + norm.eps).sqrt()
            z = z * norm.weight[c] + norm.bias[c]
            assert_close(layer(x)[b, c], x[b, c] * torch.sigmoid(z))


def test_theta_with_an_extent_halves_the_map_that_often_with_a_relu_between():
    layer, x = lively(GatherExcite(3, extent=4, learned=True)).eval(), random(B, 3, H, W)

    def halved(t, filters, norm):
        h, w = t.shape[-2:]
        y = torch.empty(B, 3, (h + 1) // 2, (w + 1) // 2, dtype=t.dtype)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                total = 0
                for p in range(max(2 * i - 1, 0), min(2 * i + 2, h)):
                    for q in range(max(2 * j - 1, 0), min(2 * j + 2, w)):
                        total += (
                            filters.weight[:, 0, p - 2 * i + 1, q - 2 * j + 1] * t[..., p, q]
                        )
                scale = norm.weight / (norm.running_var + norm.eps).sqrt()
                y[..., i, j] = (total - norm.running_mean) * scale + norm.bias
        return y

    first, norm, _, second, second_norm = layer.filters
    z = halved(halved(x, first, norm).clamp(min=0), second, second_norm)
    assert (z < 0).any()  # no relu behind the last
    assert_close(layer.gather(x), z)


def test_theta_plus_has_a_relu_between_the_gather_and_the_layers():
    layer = lively(GatherExcite(C, (H, W), learned=True, reduction=R)).eval()
    x = random(B, C, H, W)
    z = layer.gather(x)[..., 0, 0]
    assert (z < 0).any()
    down, up = layer.layers[1], layer.layers[3]
    hidden = (z.clamp(min=0) @ down.weight[..., 0, 0].T + down.bias).clamp(min=0)
    gains = torch.sigmoid(hidden @ up.weight[..., 0, 0].T + up.bias)
    assert_close(layer(x), x * gains[..., None, None])


def test_gather_excite_adds_to_resnet_50_what_was_counted():
    sizes = (56, 28, 14, 7)
    added = [
        blocks * numbers(GatherExcite(c, (s, s), learned=True))
        for (blocks, c), s in zip(RESNET_50, sizes, strict=True)
    ]
    assert sum(added) == 5_549_568
    local = sum(
        blocks * numbers(GatherExcite(c, extent=8, learned=True)) for blocks, c in RESNET_50
    )
    assert local == 498_432


@pytest.mark.parametrize(
    ("stages", "printed"),
    [((0,), 28.0), ((1,), 27.2), ((2,), 26.8), ((0, 1, 2, 3), 31.2)],
)
def test_the_parameters_of_the_stages_that_gather_come_out(stages, printed):
    total, sizes = 25_557_032 + 2 * 26_560, (56, 28, 14, 7)
    for stage in stages:
        blocks, channels = RESNET_50[stage]
        layer = GatherExcite(channels, (sizes[stage],) * 2, learned=True)
        kept = sum(t.numel() for name, t in layer.named_buffers() if "running" in name)
        total += blocks * (numbers(layer) + kept)
    assert round(total / 1e6, 1) == printed


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (dict(learned=True), "need its size"),
        (dict(extent=0), "extent=0"),
        (dict(extent=1, learned=True), "extent=1 is no power of two"),
        (dict(extent=6, learned=True), "extent=6 is no power of two"),
        (dict(reduction=5), "channels=12.*reduction=5"),
    ],
)
def test_what_does_not_fit_is_refused(asked, says):
    with pytest.raises(ValueError, match=says):
        GatherExcite(C, **asked)


def test_a_map_of_another_size_than_its_filters_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 7\).*\(5, 7\)"):
        GatherExcite(C, (H, W), learned=True).double()(random(B, C, 4, W))


# eca


@pytest.mark.parametrize("window", [1, 3, 5])
def test_eca_weighs_the_means_of_neighbouring_channels(window):
    layer, x = lively(ECA(C, window)), random(B, C, H, W)
    z, w = x.mean((-2, -1)), layer.conv.weight[0, 0]
    for c in range(C):
        near = range(max(c - window // 2, 0), min(c + window // 2 + 1, C))
        total = sum(w[n - c + window // 2] * z[:, n] for n in near)
        assert_close(layer.attention(x)[:, c], torch.sigmoid(total))


def test_the_window_of_eca_grows_with_the_logarithm_of_the_channels():
    assert [eca_window(c) for c in (1, 2, 64, 128, 256, 512, 2048)] == [1, 1, 3, 5, 5, 5, 7]


def test_eca_learns_as_many_numbers_as_its_window_has():
    assert numbers(ECA(64)) == 3
    assert sum(blocks * numbers(ECA(c)) for blocks, c in RESNET_50) == 86


@pytest.mark.parametrize("window", [0, 2, -1])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(ValueError, match=f"window={window}"):
        ECA(C, window)
