"""What must be true of attention over a whole image, pixel by pixel and channel by channel."""

import math
import warnings
from importlib.util import find_spec

import pytest
import rounding
import torch
from einops import rearrange
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from attncourse import check
from attncourse.papers.counting import count
from solutions.non_local import (
    FORMS,
    ChannelAttention,
    DANetHead,
    NonLocal,
    PositionAttention,
    concatenation_weights,
    dot_product_mixture,
    dot_product_weights,
    gaussian_weights,
    max_pool,
    mean_iou,
    multiply_adds,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, C, M, H, W, Q, J, E = 2, 6, 4, 3, 5, 8, 7, 9
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
IMAGES = [(H, W), (5, 3), (1, 4), (4, 1), (1, 1)]


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def awake(layer):
    """The layer in double precision with every parameter random: none that starts at 0 hides
    what it multiplies."""
    for p in layer.double().parameters():
        torch.nn.init.normal_(p, std=0.7)
    return layer


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)


# pairwise functions


def pairwise_by_loops(form, q, k, w=None):
    """Equations 2 to 6 of Wang et al. for one image, with their normalisers."""
    f = [[0.0] * len(k) for _ in q]
    for i, query in enumerate(q):
        for j, key in enumerate(k):
            if form in ("gaussian", "embedded"):
                f[i][j] = math.exp(query @ key)
            elif form == "dot":
                f[i][j] = (query @ key).item()
            else:
                f[i][j] = max(0.0, (w @ torch.cat([query, key])).item())
    softmax = form in ("gaussian", "embedded")
    rows = [[x / (sum(row) if softmax else len(k)) for x in row] for row in f]
    return torch.tensor(rows, dtype=torch.float64)


def test_weights_are_equations_2_to_6():
    q, k, w = random(B, Q, M), random(B, J, M), random(2 * M)
    for b in range(B):
        assert_close(gaussian_weights(q, k)[b], pairwise_by_loops("gaussian", q[b], k[b]))
        assert_close(dot_product_weights(q, k)[b], pairwise_by_loops("dot", q[b], k[b]))
        concatenated = pairwise_by_loops("concatenation", q[b], k[b], w)
        assert_close(concatenation_weights(q, k, w)[b], concatenated)


def test_the_gaussian_is_scaled_dot_product_attention_with_scale_1():
    q, k, v = random(B, Q, M), random(B, J, M), random(B, J, E)
    theirs = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    assert_close(gaussian_weights(q, k) @ v, theirs)


def test_the_dot_product_needs_no_map():
    q, k, v = random(B, 3, Q, M), random(B, 3, J, M), random(B, 3, J, E)
    assert_close(dot_product_mixture(q, k, v), dot_product_weights(q, k) @ v)


def test_twice_the_pixels_cost_twice_without_a_map_and_four_times_with_one():
    def spent(mix, n):
        q, k, v = torch.randn(n, M), torch.randn(n, M), torch.randn(n, E)
        return count(lambda: mix(q, k, v))

    def by_map(q, k, v):
        return dot_product_weights(q, k) @ v

    small, large = spent(dot_product_mixture, 100), spent(dot_product_mixture, 200)
    assert large.multiply_adds == 2 * small.multiply_adds == 2 * (2 * 100 * M * E)
    assert large.largest_tensor == 2 * small.largest_tensor
    assert spent(by_map, 200).multiply_adds == 4 * spent(by_map, 100).multiply_adds
    assert spent(by_map, 200).largest_tensor == 200 * 200


def test_concatenation_makes_no_tensor_of_pairs_of_vectors():
    q, k, w = torch.randn(40, 16), torch.randn(30, 16), torch.randn(32)

    def paired(q, k, w):
        left = q[:, None].expand(40, 30, 16)
        right = k[None].expand(40, 30, 16)
        return (torch.cat([left, right], -1) @ w).relu() / 30

    assert_close(concatenation_weights(q, k, w), paired(q, k, w))
    assert count(lambda: concatenation_weights(q, k, w)).largest_tensor == 40 * 30
    assert count(lambda: paired(q, k, w)).largest_tensor == 40 * 30 * 32


def test_a_vector_that_does_not_read_both_is_refused():
    with pytest.raises(ValueError, match=r"7 numbers.*4 each"):
        concatenation_weights(random(Q, M), random(J, M), random(7))


def test_softmax_forms_share_out_1_and_the_others_need_not():
    x = random(B, C, H, W)
    for form in FORMS:
        rows = awake(NonLocal(C, form)).attention(x).sum(-1)
        shares = torch.allclose(rows, torch.ones_like(rows))
        assert shares == (form in ("gaussian", "embedded")), form


# the block


def block_by_loops(layer, x):
    """The block in evaluation mode, pixel by pixel, without pooling."""
    z = x.clone()
    for b in range(len(x)):
        pixels = [x[b, :, h, w] for h in range(x.shape[2]) for w in range(x.shape[3])]
        gaussian = layer.form == "gaussian"
        q = pixels if gaussian else [layer.query(p) for p in pixels]
        k = pixels if gaussian else [layer.key(p) for p in pixels]
        pair = getattr(layer, "pair", None)
        weights = pairwise_by_loops(layer.form, q, k, pair)
        for i in range(len(pixels)):
            y = sum(weights[i, j] * layer.value(p) for j, p in enumerate(pixels))
            y, norm = layer.out(y), layer.norm
            y = (y - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            h, w = divmod(i, x.shape[3])
            z[b, :, h, w] += norm.weight * y + norm.bias
    return z


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("h", "w"), IMAGES)
def test_the_block_is_equation_1_with_its_residual(form, h, w):
    layer, x = awake(NonLocal(C, form, M)).eval().requires_grad_(False), random(B, C, h, w)
    layer.norm.running_mean.normal_()
    layer.norm.running_var.uniform_(0.5, 2)
    assert_close(layer(x), block_by_loops(layer, x))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subsample", [1, 2])
def test_at_the_start_the_block_changes_nothing(form, subsample):
    x = random(B, C, 5, 7)
    layer = NonLocal(C, form, subsample=subsample).double()
    assert_close(layer(x), x, rtol=0, atol=0)
    assert_close(layer.eval()(x), x, rtol=0, atol=0)


def test_at_the_start_only_the_norm_learns():
    layer = NonLocal(C).double()
    layer(random(B, C, H, W)).square().sum().backward()
    moving = {n for n, p in layer.named_parameters() if p.grad.abs().max() > 1e-12}
    assert moving == {"norm.weight", "norm.bias"}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_in_another_order_give_the_same_in_that_order(form):
    layer, x = awake(NonLocal(C, form)), random(B, C, 20)
    order = torch.randperm(20)
    assert_close(layer(x[..., order]), layer(x)[..., order])


@pytest.mark.parametrize("form", FORMS)
def test_a_row_an_image_and_a_video_are_heaps_of_pixels_alike(form):
    layer, x = awake(NonLocal(C, form)), random(B, C, 2, H, W)
    flat = layer(rearrange(x, "b c t h w -> b c (t h w)"))
    assert_close(rearrange(layer(x), "b c t h w -> b c (t h w)"), flat)
    image = layer(rearrange(x, "b c t h w -> b c (t h) w"))
    assert_close(rearrange(image, "b c h w -> b c (h w)"), flat)


def test_images_do_not_mix():
    layer, x = awake(NonLocal(C)).eval(), random(B, C, H, W)
    assert_close(layer(x)[:1], layer(x[:1]))


# pooling


@pytest.mark.parametrize("form", FORMS)
def test_only_keys_and_values_are_pooled_after_they_are_projected(form):
    layer = awake(NonLocal(C, form, M, subsample=2)).eval().requires_grad_(False)
    x = random(B, C, 4, 6)
    plain = awake(NonLocal(C, form, M)).eval()
    plain.load_state_dict(layer.state_dict())
    tokens = rearrange(x, "b c h w -> b (h w) c")
    q = tokens if form == "gaussian" else layer.query(tokens)
    k, v = tokens if form == "gaussian" else layer.key(tokens), layer.value(tokens)
    k, v = (
        rearrange(
            F.max_pool2d(rearrange(t, "b (h w) m -> b m h w", h=4), 2), "b m h w -> b (h w) m"
        )
        for t in (k, v)
    )
    weights = torch.stack(
        [pairwise_by_loops(form, q[b], k[b], getattr(layer, "pair", None)) for b in range(B)]
    )
    assert_close(layer.attention(x), weights)
    y = layer.norm(rearrange(layer.out(weights @ v), "b i c -> b c i"))
    assert_close(layer(x), x + rearrange(y, "b c (h w) -> b c h w", h=4))


def test_pooling_before_the_projections_is_something_else():
    layer, x = awake(NonLocal(C, "embedded", M, subsample=2)), random(1, C, 4, 6)
    after = layer.pool(layer.key(rearrange(x, "b c h w -> b h w c")))
    before = layer.key(layer.pool(rearrange(x, "b c h w -> b h w c")))
    assert (after - before).abs().max() > 0.1


@pytest.mark.parametrize(
    ("space", "window", "keys"),
    [((7,), 2, 4), ((4, 6), 2, 6), ((5, 7), 2, 12), ((1, 1), 2, 1), ((3, 4, 5), (1, 2, 2), 18)],
)
def test_every_pixel_is_in_a_window_and_every_pixel_asks(space, window, keys):
    layer = awake(NonLocal(C, subsample=window))
    x = random(B, C, *space)
    assert layer.attention(x).shape == (B, math.prod(space), keys)
    assert layer.eval()(x).shape == x.shape
    assert max_pool(x, window).amax() == x.amax()


def test_four_axes_of_space_can_be_attended_to_and_not_pooled():
    x = random(B, C, 2, 2, 2, 2)
    assert NonLocal(C).double()(x).shape == x.shape
    with pytest.raises(ValueError, match="4 axes of space"):
        NonLocal(C, subsample=2).double()(x)


# counts


@pytest.mark.parametrize(
    ("channels", "form", "weights"),
    [
        (1024, "embedded", 2_101_760),
        (16, "gaussian", 312),
        (16, "embedded", 584),
        (16, "dot", 584),
        (16, "concatenation", 600),
    ],
)
def test_number_of_weights(channels, form, weights):
    assert sum(p.numel() for p in NonLocal(channels, form).parameters()) == weights


@pytest.mark.parametrize(("h", "w", "subsample", "keys"), [(6, 8, 1, 48), (6, 8, 2, 12)])
def test_multiply_adds_are_those_that_are_counted(h, w, subsample, keys):
    layer, x = NonLocal(12, middle=5, subsample=subsample), torch.randn(1, 12, h, w)
    assert count(lambda: layer(x)).multiply_adds == multiply_adds(12, 5, h * w, keys)


def test_pooling_by_2_divides_the_products_by_4():
    def products(keys):
        return multiply_adds(12, 5, 48, keys) - multiply_adds(12, 5, 48, 0)

    assert products(48) == 4 * products(12)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match=r"form='cosine'.*embedded"):
        NonLocal(8, "cosine")
    with pytest.raises(ValueError, match="middle=0"):
        NonLocal(8, middle=0)
    with pytest.raises(ValueError, match=r"channels=4.*reduction=8"):
        PositionAttention(4)


def test_one_channel_has_a_middle_of_one():
    assert NonLocal(1).double()(random(B, 1, H, W)).shape == (B, 1, H, W)


# against mmcv


@oracle("mmcv")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subsample", [1, 2])
def test_the_block_is_that_of_mmcv(form, subsample):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmcv.cnn.bricks import NonLocal2d

    mode = {"embedded": "embedded_gaussian", "dot": "dot_product"}.get(form, form)
    theirs = NonLocal2d(
        C,
        reduction=1,
        use_scale=False,
        norm_cfg=dict(type="BN"),
        mode=mode,
        sub_sample=subsample == 2,
    )
    theirs, ours = theirs.double(), NonLocal(C, form, C, subsample).double()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.5)
    names = {
        "theta.": "query.",
        "phi.0.": "key.",
        "phi.": "key.",
        "g.0.": "value.",
        "g.": "value.",
        "concat_project.conv.weight": "pair",
        "conv_out.": "out.",
    }
    state = {}
    for name, w in theirs.state_dict().items():
        new = next(
            (n + name.removeprefix(o) for o, n in names.items() if name.startswith(o)), ""
        )
        new = new.replace(".conv.", ".").replace("out.bn.", "norm.").replace("0.", "")
        state[new] = w.flatten() if new == "pair" else w.reshape(w.shape[:2])
    if "out.bias" not in state:  # a convolution before a norm has none there
        state["out.bias"] = torch.zeros(C, dtype=torch.float64)
    ours.load_state_dict(state)
    x = random(B, C, 4, 6)
    assert_close(ours(x), theirs(x))
    assert_close(ours.eval()(x), theirs.eval()(x))


# position attention


def test_position_attention_is_equations_1_and_2():
    layer, x = awake(PositionAttention(C, 3)).requires_grad_(False), random(B, C, H, W)
    for b in range(B):
        pixels = [x[b, :, h, w] for h in range(H) for w in range(W)]
        k, v = [layer.key(p) for p in pixels], [layer.value(p) for p in pixels]
        for i, p in enumerate(pixels):
            shares = [math.exp(layer.query(p) @ key) for key in k]
            y = sum(s / sum(shares) * value for s, value in zip(shares, v, strict=True))
            assert_close(layer(x)[b, :, i // W, i % W], layer.gamma[0] * y + p)


@pytest.mark.parametrize("make", [PositionAttention, lambda c: ChannelAttention()])
@pytest.mark.parametrize(("h", "w"), IMAGES)
def test_with_gamma_0_nothing_changes(make, h, w):
    x = random(B, 16, h, w)
    assert_close(make(16).double()(x), x, rtol=0, atol=0)


def test_position_attention_has_as_many_weights_as_the_formula_says():
    assert sum(p.numel() for p in PositionAttention(16).parameters()) == 341
    assert sum(p.numel() for p in ChannelAttention().parameters()) == 1


def test_position_attention_follows_its_pixels():
    layer, x, order = awake(PositionAttention(C, 3)), random(B, C, 20), torch.randperm(20)
    assert_close(layer(x[..., order]), layer(x)[..., order])


def test_the_map_the_wrong_way_round_gives_something_else():
    layer, x = awake(PositionAttention(C, 3)), random(B, C, 20)
    weights, v = layer.attention(x), layer.value(rearrange(x, "b c n -> b n c"))
    wrong = x + layer.gamma * rearrange(weights.mT @ v, "b n c -> b c n")
    assert (layer(x) - wrong).abs().max() > 0.1


# channel attention


@pytest.mark.parametrize("released", [False, True])
def test_channel_attention_is_equations_3_and_4_or_the_released_codes(released):
    layer, x = awake(ChannelAttention(released)).requires_grad_(False), random(B, C, H, W)
    for b in range(B):
        energy = torch.tensor([[(x[b, i] * x[b, j]).sum() for j in range(C)] for i in range(C)])
        for i in range(C):
            e = [energy[i].max() - e if released else e for e in energy[i]]
            shares = [math.exp(number) for number in e]
            y = sum(s / sum(shares) * x[b, j] for j, s in enumerate(shares))
            assert_close(layer(x)[b, i], layer.gamma[0] * y + x[b, i])


def test_max_minus_e_is_minus_e_since_softmax_does_not_see_a_shift():
    x = random(B, C, H, W)
    energy = torch.einsum("bihw,bjhw->bij", x, x)
    released = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
    assert_close(ChannelAttention(released=True).double().attention(x), released)


def test_the_paper_attends_to_the_channel_itself_and_the_code_to_the_least_alike():
    x = random(B, C, 12, 12)
    paper, code = (ChannelAttention(r).double().attention(x) for r in (False, True))
    energy = torch.einsum("bihw,bjhw->bij", x, x)
    diagonal = torch.arange(C).expand(B, C)
    assert_close(paper.argmax(-1), diagonal)
    assert paper.diagonal(dim1=1, dim2=2).min() > 0.99
    assert_close(code.argmax(-1), energy.argmin(-1))
    assert code.diagonal(dim1=1, dim2=2).max() < 1e-6


@pytest.mark.parametrize("released", [False, True])
def test_channel_attention_follows_channels_and_does_not_see_the_order_of_pixels(released):
    layer, x = awake(ChannelAttention(released)), 0.3 * random(B, C, 20)
    pixels, channels = torch.randperm(20), torch.randperm(C)
    assert_close(layer.attention(x[..., pixels]), layer.attention(x))
    assert_close(layer(x[..., pixels]), layer(x)[..., pixels])
    assert_close(layer(x[:, channels]), layer(x)[:, channels])


def test_products_over_many_pixels_do_not_overflow_in_half_precision():
    weights = ChannelAttention().half().attention(torch.full((1, 3, 100, 100), 4.0).half())
    assert_close(weights, torch.full((1, 3, 3), 1 / 3).half())


# against pytorchcv


@oracle("pytorchcv")
def test_position_attention_is_that_of_pytorchcv_whose_gamma_starts_at_1():
    from pytorchcv.models.danet import PosAttBlock

    theirs, ours = PosAttBlock(16).double(), PositionAttention(16).double()
    state = {
        n.replace("_conv", "").replace("scale.alpha", "gamma"): w.reshape(w.shape[:2])
        for n, w in theirs.state_dict().items()
    }
    ours.load_state_dict(state)
    x = random(B, 16, H, W)
    assert_close(ours(x), theirs(x))
    assert theirs.scale.alpha == 1
    assert PositionAttention(16).gamma == 0


@oracle("pytorchcv")
def test_the_released_channel_attention_is_that_of_pytorchcv():
    from pytorchcv.models.danet import ChaAttBlock

    theirs, ours = ChaAttBlock().double(), ChannelAttention(released=True).double()
    torch.nn.init.constant_(theirs.scale.alpha, 0.7)
    torch.nn.init.constant_(ours.gamma, 0.7)
    x = random(B, C, H, W)
    assert_close(ours(x), theirs(x))


# the head


def test_the_head_for_cityscapes_has_24_million_weights():
    with torch.device("meta"):
        head = DANetHead(2048, 19)
    assert sum(p.numel() for p in head.parameters()) == 23_954_619


def test_the_head_sums_its_branches_and_classifies_each_alone():
    head, x = awake(DANetHead(32, 5)).eval(), random(B, 32, H, W)
    p = head.position_out(head.position(head.position_in(x)))
    c = head.channel_out(head.channel(head.channel_in(x)))
    both, position, channel = head(x)
    assert both.shape == position.shape == channel.shape == (B, 5, H, W)
    assert_close(both, head.both(p + c))
    assert_close(position, head.position_alone(p))
    assert_close(channel, head.channel_alone(c))


# intersection over union


def test_iou_is_counted_over_all_pixels_and_averaged_over_classes():
    truth = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    predicted = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
    assert_close(mean_iou(predicted, truth, 2), torch.tensor((1 / 3 + 5 / 7) / 2))


def test_a_class_that_never_comes_up_is_left_out_and_one_that_is_made_up_is_not():
    truth = torch.zeros(4, 5, dtype=torch.long)
    assert mean_iou(truth, truth, 3) == 1
    predicted = truth.clone()
    predicted[0, 0] = 1
    assert_close(mean_iou(predicted, truth, 3), torch.tensor((19 / 20 + 0) / 2))


def test_pixels_without_a_class_are_not_counted():
    truth = torch.tensor([0, 1, 255, -1])
    assert mean_iou(torch.tensor([0, 1, 0, 1]), truth, 2) == 1


# what the check says


def test_answers_by_way_of_the_large_tensor_are_right_but_too_dear():
    def by_map(q, k, v):
        return dot_product_weights(q, k) @ v

    def by_pairs(q, k, w):
        if len(w) != 2 * q.shape[-1]:
            raise ValueError(f"{q.shape[-1]} channels, and {len(w)} numbers in w")
        shape = (*q.shape[:-1], *k.shape[-2:])
        pairs = torch.cat([q[..., None, :].expand(shape), k[..., None, :, :].expand(shape)], -1)
        return (pairs @ w).relu() / k.shape[-2]

    for id, answer in (("dot_product_mixture", by_map), ("concatenation_weights", by_pairs)):
        verdict = check(f"non_local.{id}", answer)
        assert (verdict.status, verdict.slip) == ("not yet", "largest_tensor")


def test_the_released_codes_readings_pass_and_are_named():
    class Scaled(NonLocal):
        def attention(self, x):
            q, k = self.queries_and_keys(x)
            if self.form == "embedded":
                return gaussian_weights(q / q.shape[-1] ** 0.5, k)
            return super().attention(x)

    verdict = check("non_local.non_local", Scaled)
    assert (verdict.status, verdict.slip) == ("passed", "scaled_like_the_released_code")


def test_a_reading_that_an_argument_forbids_is_a_mistake():
    class LeastAlike(ChannelAttention):
        def attention(self, x):
            energy = torch.einsum("bihw,bjhw->bij", x, x)
            return (energy.amax(-1, keepdim=True) - energy).softmax(-1)

    verdict = check("non_local.channel_attention", LeastAlike)
    assert (verdict.status, verdict.slip) == ("not yet", "released_code_always")


# everything


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subsample", [1, 2])
def test_gradients_of_the_block_are_right(form, subsample):
    layer = awake(NonLocal(3, form, 2, subsample))
    x = random(2, 3, 2, 3).requires_grad_()
    assert gradcheck(layer.eval(), (x,))
    weights = dict(layer.named_parameters())

    def by_weights(*values):
        return torch.func.functional_call(
            layer, dict(zip(weights, values, strict=True)), (x.detach(),)
        )

    assert gradcheck(by_weights, tuple(weights.values()))


def test_gradients_of_dual_attention_are_right():
    x = 0.5 * random(2, 3, 2, 3)
    x.requires_grad_()
    for layer in (PositionAttention(3, 2), ChannelAttention(), ChannelAttention(True)):
        layer = awake(layer)
        assert gradcheck(lambda x, *_, layer=layer: layer(x), (x, *layer.parameters()))
    q, k, v = (random(n, 2).requires_grad_() for n in (3, 4, 4))
    assert gradcheck(dot_product_mixture, (q, k, v))
    assert gradcheck(concatenation_weights, (q, k, random(4).requires_grad_()))


@pytest.mark.parametrize(("h", "w"), [(5, 7), (14, 14), (28, 28), (56, 40)])
def test_all_paths_agree_in_single_precision_but_for_what_sums_are_off_by(h, w):
    torch.manual_seed(0)
    x = torch.randn(1, h * w, 8)
    q, k, v = 0.3 * x, 0.3 * x.flip(-1), x.roll(1, -1)
    exact_q, exact_k, exact_v = (t.double() for t in (q, k, v))
    scores, magnitudes = exact_q @ exact_k.mT, exact_q.abs() @ exact_k.abs().mT
    by_weights = gaussian_weights(q, k) @ v
    fused = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    off = (by_weights - fused).abs()
    assert (off <= rounding.of_attention(scores, magnitudes, exact_v, terms=8)).all()
    by_map, mixed = dot_product_weights(q, k) @ v, dot_product_mixture(q, k, v)
    summed = magnitudes @ exact_v.abs() / (h * w)
    assert ((by_map - mixed).abs() <= 4 * rounding.of_a_sum(h * w) * summed).all()


def layers(channels):
    yield from (NonLocal(channels, form, subsample=s) for form in FORMS for s in (1, 2))
    yield PositionAttention(channels)
    yield from (ChannelAttention(), ChannelAttention(released=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_device_are_kept(device, dtype):
    x = torch.randn(B, 8, H, W).to(device, dtype)
    for layer in layers(8):
        y = layer.to(device, dtype)(x)
        assert (y.dtype, y.device.type, y.shape) == (dtype, device, x.shape)
        assert y.isfinite().all()
    for y in DANetHead(32, 5).to(device, dtype)(torch.randn(B, 32, H, W).to(device, dtype)):
        assert (y.dtype, y.device.type) == (dtype, device)
        assert y.isfinite().all()


def test_any_batch_is_taken():
    for layer in layers(8):
        for b in (0, 1, 3):
            assert layer.eval()(torch.randn(b, 8, H, W)).shape == (b, 8, H, W)


def test_scattered_memory_changes_nothing():
    x = random(B, 8, W, H).mT
    assert not x.is_contiguous()
    for layer in layers(8):
        layer = awake(layer)
        assert_close(layer(x), layer(x.contiguous()))
