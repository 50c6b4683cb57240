"""A whole number that is none is refused by every function that asks for one: True, two and a
half, less than there can be; with its name and the number."""

import inspect

import pytest
import torch
from every_layer import library_modules

from solutions import (
    masks,
    multi_head,
    positional,
    relative_2d,
    resizing,
    scaled_dot_product,
    shapes,
    sparse,
    stand_alone,
    transformer,
)
from solutions.fast import halo, local, pooling
from solutions.fast import scaled_dot_product as quick
from solutions.fast import sparse as quick_sparse


def randn(*shape):
    return torch.randn(shape)


def line(*lead):
    return dict(q=randn(*lead, 7, 4), k=randn(*lead, 7, 4), v=randn(*lead, 7, 3))


def near():
    table = dict(rows=randn(2, 3, 2), columns=randn(2, 3, 2), window=3)
    return dict(q=randn(1, 2, 4, 5, 6), k=randn(1, 2, 4, 5, 6), v=randn(1, 2, 3, 5, 6)) | table


PICTURE = dict(picture=randn(4, 6, 3), p=2, q=3)
BOTH = dict(first=torch.ones(7, 7).bool(), second=torch.ones(7, 7).bool(), way="merged")
PATTERN = dict(pattern="fixed", stride=3, summaries=2)
WORD = torch.ones(1, 1, dtype=torch.long)
MODEL = transformer.Transformer(5, 5, dim=8, heads=2, hidden=4, layers=1)
# what is called, and with what it works
CALLS = [
    (masks.attention_mask, dict(queries=3, keys=4)),
    (masks.mask_from_torch, dict(attn_mask=None, key_padding_mask=None, heads=2)),
    (multi_head.split_heads, dict(x=randn(2, 3, 8), heads=2)),
    (positional.sinusoidal, dict(positions=torch.arange(3.0), dim=4)),
    (
        positional.sinusoidal_2d,
        dict(rows=torch.arange(3.0), columns=torch.arange(2.0), dim=4),
    ),
    (positional.relative_index, dict(queries=3, keys=4, clip=2)),
    (relative_2d.offsets, dict(n=3)),
    (relative_2d.fit_table, dict(table=randn(5, 2), n=4)),
    (relative_2d.halved, dict(x=randn(1, 2, 5, 6), stride=2)),
    (relative_2d.attention_widths, dict(out_channels=16, kappa=0.5, upsilon=0.5, heads=2)),
    (resizing.resize_positions, dict(table=randn(5, 3), size=7, kept=1)),
    (scaled_dot_product.causal_mask, dict(queries=3, keys=4)),
    (scaled_dot_product.padding_mask, dict(lengths=torch.tensor([2]), keys=4)),
    (shapes.patches, PICTURE),
    (shapes.pool, PICTURE),
    (shapes.enlarge, PICTURE),
    (shapes.mosaic, dict(tiles=randn(6, 2, 3, 1), columns=3)),
    (sparse.local_mask, dict(n=5, window=2)),
    (sparse.strided_mask, dict(n=5, stride=2)),
    (sparse.block_mask, dict(n=5, stride=2)),
    (sparse.summary_mask, dict(n=5, stride=3, summaries=2)),
    (sparse.local_keys, dict(i=5, window=2)),
    (sparse.strided_keys, dict(i=5, stride=2)),
    (sparse.block_keys, dict(i=5, stride=2)),
    (sparse.summary_keys, dict(i=5, stride=3, summaries=2)),
    (sparse.masks, dict(n=5) | PATTERN),
    (sparse.parts_of, PATTERN),
    (sparse.in_blocks, dict(x=randn(2, 5, 3), length=2)),
    (sparse.factorised_attention, line(1, 2) | BOTH | dict(layer=0)),
    (sparse.local_attention, line(2) | dict(window=2)),
    (sparse.strided_attention, line(2) | dict(stride=2)),
    (sparse.sparse_attention, line(1, 2) | PATTERN | dict(layer=0)),
    (quick_sparse.local_attention, line(2) | dict(window=2)),
    (quick_sparse.strided_attention, line(2) | dict(stride=2)),
    (quick_sparse.sparse_attention, line(1, 2) | PATTERN | dict(layer=0)),
    (quick.tiled_attention, line(2) | dict(rows=2, columns=3)),
    (
        transformer.beam_search,
        dict(logits=lambda x, rows: randn(len(x), 5), start=WORD, longest=2, width=2),
    ),
    (transformer.translate, dict(model=MODEL, source=WORD, longest=2, width=2)),
    (stand_alone.windows, dict(x=randn(5, 6), window=3)),
    (stand_alone.inside, dict(height=4, width=5, window=3)),
    (
        stand_alone.local_weights,
        {name: x for name, x in near().items() if name != "v"},
    ),
    (stand_alone.local_attention, near()),
    (local.local_attention, near()),
    (
        halo.halo_attention,
        {**{n: x for n, x in near().items() if n in "qkv"}, "window": 3, "block": 2},
    ),
    (pooling.averaged, dict(x=randn(1, 2, 5, 6), stride=2)),
    (pooling.by_counting, dict(x=randn(1, 2, 5, 6), stride=2)),
]
# These take any number: `layer` counts on in circles, and what is negative is told otherwise.
CIRCLES = {"layer"}
OTHERWISE = {
    "window": "has no middle|must be",
    "summaries": "of a block|must be",
    "length": "blocks of -3|must be",
    "kept": "kept=-3 of .* leave no places|must be",
}
NAMES = [f"{f.__module__[10:]}.{f.__name__}" for f, _ in CALLS]


def whole_numbers(function):
    """Its arguments that are whole numbers."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.annotation is int or "int |" in str(p.annotation)]


@pytest.mark.parametrize(("function", "given"), CALLS, ids=NAMES)
def test_what_is_no_whole_number_is_refused(function, given):
    function(**given)
    asked = [name for name in whole_numbers(function) if type(given.get(name)) is int]
    assert asked
    for name in asked:
        for value in (True, 2.5, "2", *(() if name in CIRCLES else (-3,))):
            said = OTHERWISE.get(name, f"{name}={value!r} must be")
            with pytest.raises(ValueError, match=said):
                function(**{**given, name: value})


# Formulas, which take tensors and fractions too; what makes layers, whose constructors ask;
# what is called by others that have asked.
NOT_ASKED = {
    "parameters", "multiply_adds", "map_bytes", "largest_window", "added_parameters",
    "mean_iou", "learning_rate", "eca_window", "centred", "least_width", "smaller", "eights",
    "bottleneck", "gather", "gather_filters", "convolution", "normalised", "activated",
    "begin", "through", "windows", "conv_norm_relu", "classifier", "max_pool", "divisor",
    "reduced", "plain", "nothing", "tokens", "create_attention", "augmented_resnet",
    "augmented_wide_resnet", "augmented_mnasnet", "check_tables", "split_at", "greedy",
    "beam_step", "sizes", "spread", "positive", "features", "whole",
    "real", "local",
}  # fmt: skip


def test_no_function_that_asks_for_one_is_left_out():
    here = {f.__name__ for f, _ in CALLS}
    for module in library_modules():
        for name, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == module.__name__
            if not own or name[0] == "_" or module.__name__.count(".") > 1:
                continue  # packages within the library have tests of their own
            if whole_numbers(value):
                assert name in here | NOT_ASKED, f"{module.__name__}.{name}"
