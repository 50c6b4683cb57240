"""What must be true of the non-local block: each pixel asks all pixels."""

import math
import warnings

import pytest
import torch
from einops import rearrange
from non_local_parts import IMAGES, B, C, E, H, J, M, Q, W, awake, oracle, random
from torch.nn import functional as F
from torch.testing import assert_close

from attncourse import check
from attncourse.papers.counting import count
from solutions.non_local import (
    FORMS,
    ChannelAttention,
    NonLocal,
    PositionAttention,
    concatenation_weights,
    dot_product_mixture,
    dot_product_weights,
    gaussian_weights,
    max_pool,
    multiply_adds,
)


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


def test_answers_by_way_of_the_large_tensor_are_right_but_cost_too_much():
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


def test_a_reading_that_an_argument_forbids_is_a_mistake():
    class LeastAlike(ChannelAttention):
        def attention(self, x):
            energy = torch.einsum("bihw,bjhw->bij", x, x)
            return (energy.amax(-1, keepdim=True) - energy).softmax(-1)

    verdict = check("non_local.channel_attention", LeastAlike)
    assert (verdict.status, verdict.slip) == ("not yet", "released_code_always")
