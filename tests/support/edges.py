"""Calls at the edges of every public operator, of its reference and of each implementation of
`solutions.fast`: python edges.py prints a JSON object with "" or what is odd, for each call.

Both give the same, or both raise ValueError with the same words. In a process of its own, since
tests check every shape on the way.
"""

import itertools
import json
import math

import torch
from torch.testing import assert_close

from solutions import (
    fast,
    multi_head,
    relative_2d,
    scaled_dot_product,
    sparse,
    stand_alone,
)
from solutions.fast import native

HERE = {name: not native.available(name) for name in ("local", "relative_2d")}
TYPES = {"int": torch.int64, "double": torch.float64, "bool": torch.bool, "half": torch.float16}


def true(*shape):
    return torch.ones(shape, dtype=torch.bool)


def changed(tensors):
    """Each tensor in turn as it should not be: its axes, its type, its device, its layout."""
    yield "as they should be", tensors
    for name, x in tensors.items():
        if x is None:
            continue
        for axis, n in itertools.product(range(x.ndim), (0, 1, 2, 7)):
            if n != x.shape[axis]:
                other = torch.ones([*x.shape[:axis], n, *x.shape[axis + 1 :]])
                yield f"{name}: axis {axis} is {n}", tensors | {name: other.to(x.dtype)}
        yield f"{name}: an axis more", tensors | {name: x[None]}
        yield f"{name}: an axis less", tensors | {name: x.flatten(0, 1)}
        yield f"{name}: no axis", tensors | {name: x.sum().to(x.dtype)}
        for kind, dtype in TYPES.items():
            yield f"{name}: {kind}", tensors | {name: x.to(dtype)}
        yield f"{name}: meta", tensors | {name: x.to("meta")}
        yield f"{name}: a list", tensors | {name: x.tolist()}
        yield f"{name}: sparse", tensors | {name: x.to_sparse()}
    floats = {n: x for n, x in tensors.items() if x is not None and x.is_floating_point()}
    for kind, dtype in TYPES.items():
        yield f"all {kind}", tensors | {n: x.to(dtype) for n, x in floats.items()}
    for name, value in (("1e30", 1e30), ("nan", math.nan), ("infinite", math.inf)):
        yield f"all {name}", tensors | {n: torch.full_like(x, value) for n, x in floats.items()}
    yield "all expanded", tensors | {n: x[..., :1].expand(x.shape) for n, x in floats.items()}


def local_calls():
    shapes = dict(
        q=(2, 3, 4, 5, 6),
        k=(2, 3, 4, 5, 6),
        v=(2, 3, 5, 5, 6),
        rows=(3, 3, 2),
        columns=(3, 3, 2),
    )
    ways = ["auto", "blocked", *(["native"] if HERE["local"] else [])]
    slow = stand_alone.local_attention
    for window in (3, 4, 0, -1, 3.0, True, 5):
        for say, x in changed(randn(shapes)) if window == 3 else [("", randn(shapes))]:
            given = (*x.values(), window)
            for way in ways:
                quick = lambda g=given, w=way: fast.local_attention(*g, w)  # noqa: E731
                yield f"local {way}, {window=}, {say}", quick, lambda g=given: slow(*g)


def relative_calls():
    shapes = dict(q=(2, 5, 6, 4), k=(2, 5, 6, 4), v=(2, 5, 6, 7), rows=(9, 4), columns=(11, 4))
    ways = ["auto", "skew", "rows", *(["native"] if HERE["relative_2d"] else [])]
    both = dict.fromkeys(("rows", "columns"))
    more = [(f"no {name}", randn(shapes) | {name: None}) for name in both]
    for say, x in itertools.chain(
        changed(randn(shapes)), more, [("none", randn(shapes) | both)]
    ):
        for way in ways:
            quick = lambda x=x, w=way: fast.relative_attention_2d(*x.values(), w)  # noqa: E731
            slow = lambda x=x: relative_2d.relative_attention_2d(*x.values())  # noqa: E731
            yield f"relative {way}, {say}", quick, slow


def sparse_calls():
    shapes = dict(q=(1, 2, 7, 4), k=(1, 2, 7, 4), v=(1, 2, 7, 3))
    good = dict(pattern="fixed", stride=3, summaries=2, way="split", layer=0)
    wrong = [
        {"stride": 0}, {"stride": -2}, {"stride": 2.0}, {"stride": True}, {"pattern": "dia"},
        {"way": "both"}, {"summaries": 4}, {"summaries": 0}, {"summaries": 1.0},
        {"layer": 1.5, "way": "interleaved"}, {"layer": -1, "way": "interleaved"},
    ]  # fmt: skip
    calls = [(say, x, good) for say, x in changed(randn(shapes))]
    calls += [(str(one), randn(shapes), good | one) for one in wrong]
    calls += [("9 keys", randn(shapes | {"k": (1, 2, 9, 4), "v": (1, 2, 9, 3)}), good)]
    calls += [("no token", randn({n: (1, 2, 0, 4) for n in shapes}), good)]
    for say, x, rest in calls:
        given = dict(x) | rest
        quick = lambda g=given: fast.sparse_attention(**g)  # noqa: E731
        yield f"sparse, {say}", quick, lambda g=given: sparse.sparse_attention(**g)


def plain_calls():
    shapes = dict(q=(2, 5, 4), k=(2, 7, 4), v=(2, 7, 3))
    masks = [true(5, 7), true(7, 5), true(3, 2, 5, 7), true(4, 5, 7), true(7), true(2, 1, 1)]
    masks += [true(), ~true(5, 7), torch.ones(5, 7), torch.ones(5, 7).long(), [[True] * 7] * 5]
    masks += [true(5, 7).to("meta")]
    calls = [(say, x) for say, x in changed(randn(shapes))]
    calls += [(f"mask {n}", randn(shapes) | {"mask": m}) for n, m in enumerate(masks)]
    for say, x in calls:
        for way in ("auto", "tiled", "reference"):
            yield (
                f"plain {way}, {say}",
                lambda x=x, w=way: fast.scaled_dot_product_attention(**x, implementation=w),
                lambda x=x: scaled_dot_product.scaled_dot_product_attention(**x),
            )


def head_calls():
    x, masks = torch.ones(2, 5, 8), [true(5, 5), true(4, 5), true(1, 5, 5), true(3, 5, 5)]
    masks += [true(5), torch.ones(5, 5), true(1, 2, 5, 5), true(5, 5).to("meta"), ~true(5, 5)]
    contexts = [torch.ones(s) for s in ((3, 6, 8), (2, 6, 9), (6, 8), (2, 0, 8), (2, 6, 8))]
    contexts += [torch.ones(2, 6, 8).double(), torch.ones(2, 6, 8).to("meta")]
    inputs = [torch.ones(s) for s in ((2, 5, 9), (5, 8), (1, 2, 5, 8), (0, 5, 8), (2, 1, 8))]
    given = [dict(x=x, mask=m) for m in masks] + [dict(x=x, context=c) for c in contexts]
    given += [dict(x=one) for one in inputs]
    quick, slow = fast.MultiHeadAttention(8, 2), multi_head.MultiHeadAttention(8, 2)
    slow.load_state_dict(quick.state_dict())
    for n, more in enumerate(given):
        yield f"heads {n}", lambda m=more: quick(**m), lambda m=more: slow(**m)


def randn(shapes):
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def outcome(call):
    try:
        return call().detach()
    except Exception as error:
        return error


def odd(one, other) -> str:
    """ "" where both give the same, or both refuse in the same words."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        told = [
            str(x) if isinstance(x, ValueError) else f"{type(x).__name__}: {x}"[:200]
            for x in (one, other)
        ]
        both = isinstance(one, ValueError) and isinstance(other, ValueError)
        return "" if both and told[0] == told[1] else " | ".join(told)
    if (one.shape, one.dtype, one.device) != (other.shape, other.dtype, other.device):
        return f"{one.shape} {one.dtype} | {other.shape} {other.dtype}"
    near = 64 * 2**-11 if one.dtype == torch.float16 else 2e-5  # roundings of the type
    try:
        if one.device.type != "meta":
            kept = (
                ~other.isnan()
            )  # what the reference hides by a share of 0 may be hidden better
            assert kept[one.isnan()].sum() == 0, "more nan than in the reference"
            one, other = one[kept].float(), other[kept].float()
            assert_close(one, other, atol=near, rtol=near)
    except AssertionError as error:
        return str(error)[:200]
    return ""


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    calls = (local_calls, relative_calls, sparse_calls, plain_calls, head_calls)
    print(json.dumps({s: odd(outcome(a), outcome(b)) for c in calls for s, a, b in c()}))
