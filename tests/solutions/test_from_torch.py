"""Every variant of torch's layers is converted, with equal numbers, or refused by its name."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from solutions import multi_head, transformer
from solutions.scaled_dot_product import causal_mask, padding_mask

B, QUERIES, KEYS, HEADS, DIM, HIDDEN = 2, 5, 7, 3, 12, 10


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def shuffled(layer):
    """In evaluation, no weight at 0 or 1: a bias that is lost shows."""
    for p in layer.parameters():
        nn.init.normal_(p, std=0.4)
    return layer.double().eval()


ATTENTION = [
    dict(),
    dict(batch_first=True),
    dict(bias=False),
    dict(bias=False, batch_first=True),
    dict(dropout=0.3),
    dict(kdim=DIM, vdim=DIM),
    dict(add_bias_kv=False, add_zero_attn=False),
]


def spelt(value):
    """A value as the name of a test: the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+| of type object", "", str(value))


@pytest.mark.parametrize("options", ATTENTION, ids=spelt)
def test_attention_is_converted(options):
    theirs = shuffled(nn.MultiheadAttention(DIM, HEADS, **options))
    ours = multi_head.from_torch(theirs)
    x, context = random(B, QUERIES, DIM), random(B, KEYS, DIM)
    q, c = (
        (x, context)
        if theirs.batch_first
        else (x.mT.mT.transpose(0, 1), context.transpose(0, 1))
    )
    wanted, weights = theirs(q, c, c, average_attn_weights=False)
    wanted = wanted if theirs.batch_first else wanted.transpose(0, 1)
    assert_close(ours(x, context), wanted)
    assert_close(ours.attention(x, context), weights)


ALIEN = [
    (dict(kdim=9), "kdim=9, vdim=12"),
    (dict(vdim=8), "kdim=12, vdim=8"),
    (dict(kdim=9, vdim=9), "kdim=9, vdim=9"),
    (dict(add_bias_kv=True), "add_bias_kv"),
    (dict(add_zero_attn=True), "add_zero_attn"),
    (dict(add_bias_kv=True, bias=False), "add_bias_kv"),
]


@pytest.mark.parametrize(("options", "named"), ALIEN, ids=spelt)
def test_attention_that_is_otherwise_is_refused_by_the_name_of_the_argument(options, named):
    with pytest.raises(ValueError, match=named):
        multi_head.from_torch(nn.MultiheadAttention(DIM, HEADS, **options))


def test_attention_inside_a_layer_is_refused_too():
    layer = nn.TransformerDecoderLayer(DIM, HEADS, HIDDEN)
    layer.multihead_attn = nn.MultiheadAttention(DIM, HEADS, add_zero_attn=True)
    with pytest.raises(ValueError, match="add_zero_attn"):
        transformer.from_torch(layer)


KINDS = [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer]
VARIANTS = [
    dict(),
    dict(bias=False),
    dict(norm_first=True),
    dict(norm_first=True, bias=False, batch_first=True),
    dict(batch_first=True, layer_norm_eps=0.1),
    dict(dropout=0.0),
    dict(activation="relu"),
    dict(activation=F.relu),
    dict(activation=torch.relu),
    dict(activation=torch.relu_),
    dict(activation=torch.Tensor.relu),
    dict(activation=nn.ReLU()),
    dict(activation=nn.ReLU(inplace=True)),
]


@pytest.mark.parametrize("options", VARIANTS, ids=spelt)
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_converted(kind, options):
    theirs = shuffled(kind(DIM, HEADS, HIDDEN, **options))
    ours = transformer.from_torch(theirs)
    x, memory, first = random(B, QUERIES, DIM), random(B, KEYS, DIM), options.get("batch_first")
    given = [t if first else t.transpose(0, 1) for t in (x, memory)]
    there = padding_mask(torch.tensor([KEYS, 4]), KEYS)
    if kind is nn.TransformerEncoderLayer:
        wanted, got = theirs(given[0]), ours(x)
    else:
        later = ~causal_mask(QUERIES, QUERIES)
        hidden = dict(tgt_mask=later, memory_key_padding_mask=~there[:, 0])
        wanted, got = theirs(*given, **hidden), ours(x, memory, there)
    assert_close(got, wanted if first else wanted.transpose(0, 1))


@pytest.mark.parametrize(
    ("activation", "named"),
    [
        ("gelu", "activation=gelu"),
        (F.gelu, "activation=gelu"),
        (nn.GELU(), "activation=GELU"),
        (nn.LeakyReLU(0.1), "activation=LeakyReLU"),
        (nn.ReLU6(), "activation=ReLU6"),
        (F.relu6, "activation=relu6"),
        (lambda x: x.relu(), "activation=<lambda>"),
    ],
    ids=spelt,
)
@pytest.mark.parametrize("kind", KINDS)
def test_another_activation_is_refused_by_its_name(kind, activation, named):
    with pytest.raises(ValueError, match=named):
        transformer.from_torch(kind(DIM, HEADS, HIDDEN, activation=activation))


def test_another_layer_or_norm_is_refused_by_its_name():
    with pytest.raises(ValueError, match="Linear is no nn"):
        multi_head.from_torch(nn.Linear(3, 3))
    layer = nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN)
    whole = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    with pytest.raises(ValueError, match="TransformerEncoder is no TransformerEncoderLayer"):
        transformer.from_torch(whole)
    for norm in (nn.Identity(), nn.RMSNorm(DIM), nn.LayerNorm(DIM, elementwise_affine=False)):
        layer.norm2 = norm
        with pytest.raises(ValueError, match="is no LayerNorm of 12 with weights"):
            transformer.from_torch(layer)


@pytest.mark.parametrize("training", [True, False])
def test_type_device_and_mode_are_kept_and_nothing_is_shared(training):
    theirs = nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, dtype=torch.bfloat16)
    ours = transformer.from_torch(theirs.train(training))
    assert {p.dtype for p in ours.parameters()} == {torch.bfloat16}
    assert {m.training for m in ours.modules()} == {training}
    assert all(p.requires_grad and p.is_leaf for p in ours.parameters())
    before = ours.feed_forward.up.weight.clone()
    nn.init.zeros_(theirs.linear1.weight)
    assert_close(ours.feed_forward.up.weight, before)
    far = transformer.from_torch(theirs.to("meta"))
    assert {p.device.type for p in far.parameters()} == {"meta"}
