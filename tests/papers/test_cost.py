"""What a network costs: against formulas, and against torch's own counter."""

from dataclasses import replace

import pytest
import torch
from einops import einsum
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from attncourse.papers.cost import cost, table
from attncourse.papers.counting import count
from solutions.backbones import ResNet
from solutions.multi_head import MultiHeadAttention, multiply_adds
from solutions.spatial import CBAM


def torchs_count(model, *inputs):
    """Multiply-adds by torch's counter, which knows no kinds."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(*inputs)
    return counter.get_total_flops() // 2


# ---------------------------------------------------------------- products


@pytest.mark.parametrize(
    ("options", "h", "w"),
    [
        ({"stride": 2, "padding": 1}, 4, 6),  # of 7 x 11
        ({"dilation": 2}, 3, 7),
        ({"padding": (2, 0)}, 9, 9),
        ({"stride": (1, 3), "padding": 1, "groups": 2}, 7, 4),
        ({"bias": False}, 5, 9),
    ],
)
def test_a_convolution_multiplies_its_kernel_at_every_place(options, h, w):
    layer, x = nn.Conv2d(4, 6, 3, **options), torch.zeros(2, 4, 7, 11)
    made = cost(layer, x)
    assert made.multiply_adds == 2 * 6 * h * w * 9 * 4 // options.get("groups", 1)
    assert made.multiply_adds == torchs_count(layer, x)
    assert made.attention == 0


def test_a_depthwise_convolution_costs_one_kernel_a_channel():
    layer = nn.Conv2d(5, 5, (3, 7), padding=(1, 3), groups=5, bias=False)
    assert cost(layer, (2, 5, 4, 6)).multiply_adds == 2 * 5 * 4 * 6 * 21
    assert cost(layer, (2, 5, 4, 6)).parameters == 5 * 21


def test_a_transposed_convolution_multiplies_its_kernel_at_every_place_of_the_input():
    layer, x = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), torch.zeros(1, 4, 5, 7)
    assert cost(layer, x).multiply_adds == 4 * 5 * 7 * 3 * 9 == torchs_count(layer, x)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_fully_connected_layer_multiplies_every_weight_once_a_row(shape, bias):
    rows = torch.Size(shape[:-1]).numel()
    assert cost(nn.Linear(3, 7, bias=bias), shape).multiply_adds == rows * 21


@pytest.mark.parametrize("head", [1, 4])
@pytest.mark.parametrize("causal", [True, False])
def test_products_of_queries_with_keys_stand_apart(head, causal):
    """n^2 d for q k, n^2 d for A v; 4 n d^2 for the projections."""
    n, dim = 7, 12

    def scores(x):
        q = x.unflatten(-1, (head, -1)).transpose(1, 2)
        return F.scaled_dot_product_attention(q, q, q, is_causal=causal)

    assert cost(scores, (1, n, dim)).attention == 2 * n * n * dim
    assert cost(scores, torch.zeros(1, n, dim, device="meta")).attention == 2 * n * n * dim
    for layer in (
        MultiHeadAttention(dim, head),
        nn.MultiheadAttention(dim, head, batch_first=True),
    ):
        x = torch.zeros(1, n, dim)
        inputs = x if isinstance(layer, MultiHeadAttention) else (x, x, x)
        made = cost(layer, inputs)
        assert made.attention == 2 * n * n * dim
        assert made.multiply_adds == 4 * n * dim * dim
        assert made.multiply_adds + made.attention == multiply_adds(dim, head, n, n)


def test_keys_and_values_may_be_of_different_width():
    q, k, v = torch.zeros(2, 3, 4), torch.zeros(2, 5, 4), torch.zeros(2, 5, 7)
    made = cost(F.scaled_dot_product_attention, (q, k, v))
    assert made.attention == 2 * 3 * 5 * (4 + 7)


def test_a_product_with_what_comes_of_weights_alone_is_a_product_by_weights():
    weight = nn.Parameter(torch.zeros(5, 4))

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            rows = self.weight.softmax(-1).index_select(0, torch.arange(3)) * 2
            same = torch.einsum("bd,jd->bj", x, rows)
            return torch.einsum("bj,bd->jd", same, x) @ torch.ones(4, 6)

    made = cost(Table(), (2, 4))
    assert made.multiply_adds == 2 * 4 * 3 + 3 * 4 * 6
    assert made.attention == 2 * 3 * 4


@pytest.mark.parametrize(
    "make", [torch.ones_like, lambda x: x.new_ones(2, 3), lambda x: x.new_full((2, 3), 0.5)]
)
def test_what_takes_only_its_shape_from_the_input_does_not_depend_on_it(make):
    made = cost(lambda x: make(x) @ x.T, (2, 3))
    assert (made.multiply_adds, made.attention) == (12, 0)


def test_what_is_written_into_zeros_depends_on_what_is_written():
    def windows(x):
        room = torch.zeros(2, 5)
        room[:, 1:4] = x
        return room @ room.T

    assert cost(windows, (2, 3)).attention == 20


@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize("write", ["einsum", "einops", "matmul", "bmm"])
def test_a_contraction_over_an_axis_of_length_1_counts_too(write, d):
    ways = {
        "einsum": lambda q, k: torch.einsum("bid,bjd->bij", q, k),
        "einops": lambda q, k: einsum(q, k, "b i d, b j d -> b i j"),
        "matmul": lambda q, k: q @ k.mT,
        "bmm": lambda q, k: torch.bmm(q, k.mT),
    }
    q, k = torch.zeros(2, 3, d), torch.zeros(2, 5, d)
    assert cost(ways[write], (q, k)).attention == 2 * 3 * 5 * d
    assert count(lambda: ways[write](q, k)).multiply_adds == 2 * 3 * 5 * d


@pytest.mark.parametrize(
    ("equation", "shapes", "right"),
    [
        ("bi,bi->b", [(2, 3), (2, 3)], 6),
        ("i,i", [(3,), (3,)], 3),
        ("ij,jk", [(2, 3), (3, 5)], 30),
        ("...ij,...kj->...ik", [(7, 2, 3), (7, 5, 3)], 210),
        ("...ij,...kj", [(7, 2, 3), (5, 3)], 210),
        ("b...,...c->bc", [(2, 3, 5), (3, 5, 7)], 210),
        ("ij,jk,kl->il", [(2, 3), (3, 5), (5, 7)], 2 * 3 * 5 + 2 * 5 * 7),
        ("bijm,m->bij", [(2, 3, 5, 7), (7,)], 210),
        ("bc,bchw->bchw", [(2, 3), (2, 3, 5, 7)], 0),  # a scaling: nothing is summed
        ("i,j->ij", [(2,), (3,)], 0),
        ("bidm,bjm->bij", [(2, 3, 4, 5), (2, 6, 5)], 2 * 3 * 6 * 5),  # d is summed before
        ("ij->i", [(2, 3)], 0),
    ],
)
def test_einsum_is_counted_by_its_letters(equation, shapes, right):
    inputs = [torch.zeros(shape) for shape in shapes]
    assert cost(lambda *x: torch.einsum(equation, *x), inputs).attention == right
    assert cost(lambda *x: torch.einsum(equation, list(x)), inputs).attention == right


def test_products_of_vectors_count():
    a, m = torch.zeros(3), torch.zeros(5, 3)
    assert cost(torch.dot, (a, a)).attention == 3
    assert cost(torch.mv, (m, a)).attention == 15
    assert cost(lambda m, a: m @ a, (m, a)).attention == 15


def test_inside_vmap_every_image_counts():
    q, k = torch.zeros(2, 3, 4), torch.zeros(2, 5, 4)
    both = torch.vmap(lambda q, k: torch.einsum("id,jd->ij", q, k))
    assert count(lambda: both(q, k)).multiply_adds == 2 * 3 * 5 * 4


def test_a_layer_called_twice_counts_twice_and_has_its_weights_once():
    shared = nn.Linear(3, 3)
    made = cost(nn.Sequential(shared, nn.ReLU(), shared), (2, 3))
    assert made.multiply_adds == 2 * 2 * 9
    assert made.parameters == 12


def test_scalings_pooling_and_normalisation_are_no_multiply_adds():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Sigmoid())
    made = cost(model, (2, 3, 4, 6))
    assert (made.multiply_adds, made.attention) == (0, 0)


# ---------------------------------------------------------------- parameters


def test_parameters_are_those_that_are_trained_and_running_statistics_stand_apart():
    model = nn.Sequential(
        nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.BatchNorm2d(5, affine=False)
    )
    made = cost(model, (1, 3, 2, 2))
    assert made.parameters == 3 * 5 + 5 + 2 * 5
    assert made.running_statistics == 4 * 5
    model[0].requires_grad_(False)
    assert cost(model, (1, 3, 2, 2)).parameters == 2 * 5


def test_a_function_has_no_parameters():
    assert cost(F.relu, (3,)).parameters == 0


# ---------------------------------------------------------------- tensors and memory


def test_the_largest_tensor_is_named_and_weights_are_not_made():
    model = nn.Sequential(nn.Linear(3, 1000), nn.Linear(1000, 2))
    model = nn.ModuleDict({"body": model, "head": nn.Linear(2, 5000)})
    model.forward = lambda x: model["head"](model["body"](x))
    made = cost(model, (1, 3))
    assert (made.largest_tensor, made.largest_layer) == (5000, "head")
    made = cost(model["body"], (7, 3))
    assert (made.largest_tensor, made.largest_layer) == (7000, "0")


def test_a_repeated_view_stores_nothing_and_a_view_of_the_input_is_not_made():
    assert cost(lambda x: x.expand(1000, 3), (3,)).largest_tensor == 0
    assert cost(lambda x: (x + 1).expand(1000, 3), (3,)).largest_tensor == 3


def test_memory_holds_the_input_and_what_is_made_until_it_is_dropped():
    a, b, c = 40, 400, 12  # bytes: 10, 100 and 3 numbers
    model = nn.Sequential(nn.Linear(10, 100), nn.Linear(100, 3))
    assert cost(model, (10,)).peak_memory == a + b + c
    assert cost(lambda x: (x + 1) + 1, (10,)).peak_memory == 3 * a
    assert cost(lambda x: (((x + 1) + 1) + 1) + 1, (10,)).peak_memory == 3 * a
    assert cost(model.double(), (10,)).peak_memory == 2 * (a + b + c)


def test_an_operation_in_place_needs_no_memory():
    apart = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.ReLU())
    within = nn.Sequential(nn.Linear(10, 100), nn.ReLU(inplace=True), nn.ReLU(inplace=True))
    assert cost(apart, (10,)).peak_memory - cost(within, (10,)).peak_memory == 400
    assert cost(within, (10,)).multiply_adds == 1000


def test_training_keeps_what_backward_needs():
    deep = nn.Sequential(*[layer for _ in range(8) for layer in (nn.Linear(50, 50), nn.Tanh())])
    made = cost(deep, (20, 50), training=True)
    activation, gradients = 4 * 20 * 50, 4 * made.parameters
    # forward: the input of a layer, its own and the next
    assert made.peak_memory <= 4 * activation
    # at the end of forward the input and 8 outputs of Tanh are kept, and every gradient at the
    # end of backward
    assert made.training_memory >= max(9 * activation, gradients)
    assert made.training_memory <= 12 * activation + gradients
    assert cost(deep, (20, 50)).training_memory is None


def test_a_score_matrix_is_memory_and_the_fused_routine_has_none():
    n, d = 64, 4

    def plain(x):
        return (x @ x.mT).softmax(-1) @ x

    def fused(x):
        return F.scaled_dot_product_attention(x, x, x, scale=1.0)

    apart, together = cost(plain, (1, n, d)), cost(fused, (1, 1, n, d))
    assert apart.attention == together.attention == 2 * n * n * d
    assert apart.largest_tensor == n * n
    assert apart.peak_memory == 4 * (2 * n * n + n * d)
    assert together.peak_memory < 4 * n * n


# ---------------------------------------------------------------- leaves no trace


def noisy():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())


def test_mode_statistics_gradients_hooks_and_random_numbers_are_as_before():
    model = nn.Sequential(noisy(), nn.Linear(36, 2))
    model[0][1].eval()
    model[1].weight.grad = torch.ones(2, 36)
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    cost(model, torch.ones(2, 3, 5, 5), training=True)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(model[1].weight.grad, torch.ones(2, 36))
    assert not any(
        m._forward_hooks or m._forward_pre_hooks or m._forward_hooks_always_called
        for m in model.modules()
    )
    assert torch.backends.mha.get_fastpath_enabled()


def test_they_are_as_before_when_the_model_fails():
    model = nn.Sequential(noisy(), nn.Linear(35, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        cost(model, (2, 3, 5, 5))
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_on_the_meta_device_the_counts_are_the_same_and_nothing_is_computed():
    real = cost(noisy(), (2, 3, 9, 7), training=True)
    with torch.device("meta"):
        model = noisy()
    meta = cost(model, (2, 3, 9, 7), training=True)
    assert meta.peak_memory == pytest.approx(real.peak_memory, rel=0.01)
    assert replace(meta, peak_memory=0) == replace(real, peak_memory=0)
    with torch.device("meta"):  # 40 GB of weights, had they been made
        large = nn.Sequential(*[nn.Linear(10_000, 10_000) for _ in range(100)])
    assert cost(large, (1_000, 10_000)).multiply_adds == 100 * 10**11


def test_an_input_that_is_no_input_is_told():
    with pytest.raises(ValueError, match="a tensor, several, or the shape of one"):
        cost(F.relu, ("x",))


def test_nothing_to_train_is_told():
    with pytest.raises(ValueError, match="no parameter of the model requires a gradient"):
        cost(nn.ReLU(), (3,), training=True)


# ---------------------------------------------------------------- the table


def test_the_table_has_a_column_for_each_model_and_no_row_without_a_number():
    one = cost(nn.Linear(30, 100), (2, 30))
    shown = repr(table({"thin": one, "wide": cost(nn.Linear(30, 1000), (2, 30))}))
    head, _, parameters, *rest = shown.splitlines()
    assert head.split() == ["thin", "wide"]
    assert parameters.split() == ["parameters", "3,100", "31,000"]
    assert "training" not in shown
    assert len({len(line) for line in rest}) <= 2
    assert repr(one).splitlines()[0].split() == ["parameters", "3,100"]


# ---------------------------------------------------------------- whole networks


def test_a_resnet_50_is_counted_as_torchs_counter_does():
    with torch.device("meta"):
        model, image = ResNet(50, CBAM), torch.zeros(1, 3, 224, 224)
    made = cost(model, image)
    assert made.multiply_adds == torchs_count(model.eval(), image)
    assert (made.parameters, made.running_statistics) == (28_089_624, 53_152)
    assert (made.largest_tensor, made.largest_layer) == (64 * 112 * 112, "conv1")


def test_the_mlp_of_cbam_runs_once_for_each_pool():
    c, m, h, w = 32, 2, 5, 7
    made = cost(CBAM(c, reduction=16, kernel=3), (1, c, h, w))
    assert made.multiply_adds == 2 * (2 * c * m) + 2 * 9 * h * w
    assert made.parameters == 2 * c * m + m + c + 2 * 9 + 2
