"""What every layer has beside its mathematics: checked arguments, a device, a type, a reset."""

import inspect
import math
import re

import numpy as np
import pytest
import torch
from every_layer import BASES, LAYERS, inputs, library_layers
from torch import nn
from torch.testing import assert_close

from solutions import fast
from solutions.arguments import ARGUMENTS, ODD, PLACE, each, real, sides, whole
from solutions.backbones import (
    MobileNet,
    ResNet,
    StandAloneResNet,
    WideResNet,
    augmented_mnasnet,
    augmented_resnet,
    augmented_wide_resnet,
)
from solutions.channel import ECA, GatherExcite, SqueezeExcite
from solutions.multi_head import MultiHeadAttention
from solutions.non_local import DANetHead, NonLocal, PositionAttention
from solutions.positional import CoordConv2d, LearnedPositions, RelativeAttention
from solutions.relative_2d import AttentionAugmentedConv2d, attention_widths
from solutions.sparse import SparseSelfAttention, SparseTransformer, in_blocks
from solutions.spatial import BAM, CBAM, GALA, SpatialGate
from solutions.stand_alone import AttentionStem, SpatialValues, StandAloneSelfAttention2d
from solutions.transformer import EncoderLayer, FeedForward, Residual, Transformer
from solutions.united.pyramid import SwinStage, SwinTransformer

every_layer = pytest.mark.parametrize(
    ("cls", "arguments", "shapes"), LAYERS, ids=[cls.__name__ for cls, *_ in LAYERS]
)


def test_every_layer_of_the_library_is_tried_here():
    here = {cls.__name__ for cls, *_ in LAYERS}
    assert {cls.__name__ for cls in library_layers()} - BASES == here


# arguments that make no sense

NONSENSE = [
    (
        lambda: MultiHeadAttention(12, 0),
        r"dim=12, heads=0\): heads must be a whole number, at",
    ),
    (lambda: MultiHeadAttention(12, -3), "heads=-3"),
    (lambda: fast.MultiHeadAttention(12, -3), "heads=-3"),
    (lambda: MultiHeadAttention(-12, 3), "dim=-12"),
    (lambda: SqueezeExcite(8, 16), "channels=8 is not a multiple of reduction=16"),
    (lambda: SqueezeExcite(8, 0), "reduction=0"),
    (lambda: SqueezeExcite(0), "channels=0"),
    (lambda: ECA(8, 4), "window=4 must be odd"),
    (lambda: ECA(0), "channels=0"),
    (lambda: GatherExcite(8, extent=-2), "extent=-2"),
    (lambda: GatherExcite(8, size=(0, 4), learned=True), r"size=\(0, 4\)"),
    (
        lambda: GatherExcite(8, size=(3, 4, 5), learned=True),
        r"size=\(3, 4, 5\), .*: size must be \(h",
    ),
    (lambda: NonLocal(8, subsample=0), "subsample=0"),
    (lambda: NonLocal(8, subsample=(2, 0)), r"subsample=\(2, 0\)"),
    (lambda: NonLocal(8, middle=0), "middle=0"),
    (lambda: PositionAttention(4, 8), "channels=4 leave no feature"),
    (lambda: PositionAttention(8, 0), "reduction=0"),
    (lambda: DANetHead(30, 5), "take at least 32 channels"),
    (lambda: fast.DANetHead(30, 5), "take at least 32 channels"),
    (
        lambda: DANetHead(32, 5, dropout=1.5),
        r"dropout=1.5\): dropout must be a number",
    ),
    (lambda: LearnedPositions(8, 0), "length=0"),
    (lambda: RelativeAttention(8, 8, -1), "clip=-1"),
    (lambda: CoordConv2d(3, 8, 4), r"window=4\): window must be an odd whole number"),
    (lambda: SpatialGate(4), "kernel=4 has no middle"),
    (lambda: SpatialGate(-3), "kernel=-3"),
    (lambda: CBAM(8, 4, kernel=6), "kernel=6 has no middle"),
    (lambda: BAM(8, 4, dilation=0), "dilation=0"),
    (lambda: GALA(8, 16), "channels=8 is not a multiple of reduction=16"),
    (lambda: StandAloneSelfAttention2d(8, 0), "heads=0"),
    (lambda: StandAloneSelfAttention2d(8, -2), "heads=-2"),
    (lambda: StandAloneSelfAttention2d(8, 2, stride=0), "stride=0"),
    (lambda: fast.StandAloneSelfAttention2d(8, 2, window=4), "window=4 has no middle"),
    (lambda: SpatialValues(8, 8, block=0), "block=0"),
    (lambda: AttentionStem(3, 8, 2, mixtures=0), "mixtures=0"),
    (lambda: AttentionAugmentedConv2d(8, 16, heads=0), "heads=0"),
    (lambda: AttentionAugmentedConv2d(8, 80, kernel=2), "kernel=2 is even"),
    (lambda: AttentionAugmentedConv2d(8, 16, stride=0), "stride=0"),
    (lambda: AttentionAugmentedConv2d(8, 16, upsilon=math.nan), "upsilon=nan"),
    (lambda: AttentionAugmentedConv2d(8, 16, upsilon=-0.5), "upsilon=-0.5"),
    (lambda: AttentionAugmentedConv2d(8, 16, kappa=-0.2), "kappa=-0.2"),
    (lambda: AttentionAugmentedConv2d(8, 16, heads=1, size=(5, 0)), r"size=\(5, 0\)"),
    (lambda: SparseSelfAttention(8, 2, "diagonal"), "pattern='diagonal' is none of local"),
    (lambda: SparseSelfAttention(8, 2, way="both"), "way='both' is none of merged"),
    (lambda: SparseSelfAttention(8, 2, stride=0), "stride=0"),
    (lambda: SparseSelfAttention(8, 2, stride=4, summaries=5), "summaries=5 of a block"),
    (lambda: SparseSelfAttention(9, 3, way="split"), "heads=3 have no halves"),
    (lambda: fast.SparseSelfAttention(8, 2, "diagonal"), "pattern='diagonal'"),
    (lambda: SparseTransformer(5, 9, pattern="diagonal"), "pattern='diagonal'"),
    (lambda: fast.SparseTransformer(5, 0), "tokens=0"),
    (lambda: in_blocks(torch.ones(5, 2), 0), "blocks of 0 tokens"),
    (lambda: FeedForward(8, 0), "hidden=0"),
    (lambda: Residual(8, dropout=-0.1), "dropout=-0.1"),
    (lambda: Residual(8, dropout=math.nan), "dropout=nan"),
    (lambda: EncoderLayer(8, 2, 16, dropout=2.0), "dropout=2.0"),
    (lambda: Transformer(9, 9, 8, 2, 16, layers=0), "layers=0"),
    (lambda: ResNet(18, classes=0), "classes=0"),
    (lambda: ResNet(50, groups=0), "groups=0"),
    (lambda: ResNet(18, widen=0.01), "widen=0.01 leaves none of 64 channels"),
    (lambda: WideResNet(10, widen=-1), r"widen=-1\): widen must be a number, above 0"),
    (lambda: MobileNet(widen=0.02), "widen=0.02 leaves none of 32"),
    (lambda: StandAloneResNet(26, stages=(5,)), r"stages=\(5,\) has others"),
    (lambda: StandAloneResNet(26, heads=0), "heads=0"),
]


@pytest.mark.parametrize(("make", "said"), NONSENSE)
def test_what_makes_no_sense_is_refused_with_its_numbers_when_the_layer_is_made(make, said):
    with pytest.raises(ValueError, match=said):
        make()


COUNTS = {name for name, (rule, _) in ARGUMENTS.items() if rule and "whole" in rule.says}


@every_layer
def test_no_count_may_be_negative_a_fraction_or_a_truth(cls, arguments, shapes):
    """Every whole number of every layer, also those that stand at their default."""
    names = [name for name in inspect.signature(cls).parameters if name in COUNTS]
    for name in names:
        if callable(arguments.get(name)):  # what makes a convolution
            continue
        if name == "expansion" and cls in (SwinStage, SwinTransformer):  # a ratio, as 3.5
            continue
        for value in (-1, 2.5, True, "3"):
            said = f"{name}={value!r}.* (must be|has no middle)"
            with pytest.raises(ValueError, match=said):
                cls(**{**arguments, name: value})


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (whole(1), [1, 7, np.int64(3)], [0, -1, 2.0, math.nan, "3", None, True]),
        (ODD, [1, 7, np.int32(3)], [0, -1, 2, 3.0]),
        (real(0, 1), [0, 1, 0.5, np.float32(0.5)], [-0.1, 1.1, math.nan, "no", None, True]),
        (real(0, above=True), [1e-9, 10**9], [0, -1, math.inf]),
        (each(whole(1)), [2, (2, 1), [3]], [0, (2, 0), ()]),
        (sides(alone=True), [2, (2, 1), [3, 4]], [0, (2, 0), (), (1, 2, 3), 2.5]),
        (sides(alone=False), [(2, 1)], [2]),
    ],
)
def test_a_rule_holds_for_numbers_of_any_make(rule, yes, no):
    assert all(rule.holds(value) for value in yes)
    assert not any(rule.holds(value) for value in no)


# a layer never becomes another one


@pytest.mark.parametrize(
    ("upsilon", "heads", "out_channels"),
    [(0.1, 8, 64), (0.1, 8, 79), (0.3, 4, 13), (1e-6, 3, 7)],
)
@pytest.mark.parametrize("cls", [AttentionAugmentedConv2d, fast.AttentionAugmentedConv2d])
def test_a_share_that_leaves_nothing_for_attention_is_refused(
    cls, upsilon, heads, out_channels
):
    with pytest.raises(ValueError, match=f"{out_channels=} is less than one value") as told:
        cls(3, out_channels, upsilon=upsilon, heads=heads)
    least = int(re.search(r"take (\d+) channels", str(told.value))[1])
    assert attention_widths(least, 0.2, upsilon, heads)[1] == heads  # this one works
    assert attention_widths(least - 1, 0.2, upsilon, heads)[1] == 0  # and none before


def test_the_smallest_width_that_is_told_makes_a_layer_that_attends():
    with pytest.raises(ValueError, match="take 80 channels"):
        AttentionAugmentedConv2d(64, 64)
    assert AttentionAugmentedConv2d(64, 80).kqv is not None
    assert AttentionAugmentedConv2d(64, 64, upsilon=0).kqv is None  # asked for


# device and type


@every_layer
def test_every_layer_is_made_where_and_as_it_is_asked_for(cls, arguments, shapes):
    torch.manual_seed(0)
    plain = cls(**arguments)
    torch.manual_seed(0)
    double = cls(**arguments, dtype=torch.float64)
    far = cls(**arguments, device="meta", dtype=torch.bfloat16)
    assert {t.device.type for t in far.state_dict().values()} <= {"meta"}
    for name, tensor in plain.state_dict().items():
        wanted = torch.bfloat16 if tensor.is_floating_point() else tensor.dtype
        assert far.state_dict()[name].dtype == wanted
        assert far.state_dict()[name].shape == tensor.shape
        assert_close(double.state_dict()[name], tensor, check_dtype=False)
    y = double.eval()(*inputs(shapes, torch.float64))
    assert {t.dtype for t in (y if isinstance(y, tuple) else (y,))} == {torch.float64}


@every_layer
def test_torchs_own_ways_work_too(cls, arguments, shapes):
    with torch.device("meta"):
        assert {t.device.type for t in cls(**arguments).state_dict().values()} <= {"meta"}
    torch.set_default_dtype(torch.float64)
    try:
        double = cls(**arguments)
    finally:
        torch.set_default_dtype(torch.float32)
    floats = [t for t in double.state_dict().values() if t.is_floating_point()]
    assert {t.dtype for t in floats} <= {torch.float64}


@pytest.mark.parametrize(
    "make", [augmented_mnasnet, lambda **k: augmented_resnet(26, **k), augmented_wide_resnet]
)
def test_whole_networks_too(make):
    network = make(widen=0.5, classes=3, device="meta", dtype=torch.float16)
    floats = [t for t in network.state_dict().values() if t.is_floating_point()]
    assert {(t.device.type, t.dtype) for t in floats} == {("meta", torch.float16)}


# the reset


@every_layer
def test_a_reset_starts_every_weight_as_the_constructor_does(cls, arguments, shapes):
    """From weights that were never there: made on no device, then given memory."""
    torch.manual_seed(1)
    made = [cls(**arguments) for _ in range(2)]
    reset = []
    for seed in range(2):
        torch.manual_seed(100 + seed)
        layer = cls(**arguments, device="meta").to_empty(device="cpu")
        for tensor in layer.state_dict().values():
            tensor.fill_(77)
        layer.reset_parameters()
        reset.append(layer.state_dict())
    for name, tensor in made[0].state_dict().items():
        first = torch.stack([m.state_dict()[name] for m in made]).double()
        again = torch.stack([state[name] for state in reset]).double()
        if first.eq(tensor).all():  # it starts at a number
            assert_close(again, first)
            continue
        assert not (again == 77).any()
        assert not again[0].equal(again[1])
        if first.numel() >= 100:
            assert 0.7 < again.std() / first.std() < 1.4, name
        else:
            assert again.abs().max() < 4 * first.abs().max(), name


def test_a_reset_keeps_one_matrix_for_all_words():
    model = Transformer(7, 7, 12, 3, 5, 1, share=True)
    model.reset_parameters()
    assert model.out.weight is model.source.weight
    assert 0.5 < model.out.weight.std() * 12**0.5 < 1.5


# what a reader and an editor see


@every_layer
def test_every_argument_is_explained(cls, arguments, shapes):
    parameters = inspect.signature(cls).parameters
    kinds = {p.kind for p in parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    assert list(parameters)[-2:] == list(PLACE)
    for name in parameters:
        assert name in cls.__doc__, f"{cls.__name__}: nothing is said of {name}"


def test_every_signature_of_the_library_is_explicit():
    for cls in library_layers():
        for p in inspect.signature(cls).parameters.values():
            if cls.__name__ not in BASES:
                assert p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD), cls
    for make in (augmented_resnet, augmented_wide_resnet, augmented_mnasnet):
        kinds = {p.kind for p in inspect.signature(make).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD}


def test_too_few_arguments_are_told_by_python():
    with pytest.raises(TypeError, match=r"missing .* argument: 'heads'"):
        MultiHeadAttention(12)
    with pytest.raises(TypeError, match="unexpected keyword argument 'head'"):
        MultiHeadAttention(12, 3, head=3)


def test_who_inherits_is_checked_and_placed_too():
    class Mine(SqueezeExcite):
        def __init__(self, channels, **place):
            super().__init__(channels, 4, **place)
            self.more = nn.Linear(3, 3)

    assert Mine(8, dtype=torch.float64).down.weight.dtype == torch.float64
    with pytest.raises(ValueError, match="channels=9 is not a multiple"):
        Mine(9)
