"""Calls that do not fit together, to every fast operator: python mismatched.py CASES.

Each case is a call whose shapes, types, views or whole numbers were changed in up to three
places. It must end in a ValueError or a TypeError, or give what the reference gives, values and
gradients; what it is given stays as it was. Every call is printed before it is made, so that
the last line of a process that ended is the call that ended it. In a process of its own, since
tests check every shape on the way.
"""

import math
import sys

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from solutions import fast, non_local, relative_2d, scaled_dot_product, sparse, stand_alone
from solutions.fast import native

OPS = torch.ops.attncourse
NATIVE = not native.available("local") and not native.available("relative_2d")
SIZES = st.sampled_from([1, 2, 3, 4, 5, 6, 9])
REFUSED = (ValueError, TypeError)


def tiles_reference(q, k, v, mask=None, causal=False, scale=None, down=None, across=None):
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = torch.einsum("...id,...jd->...ij", q, k) * scale
    if down is not None:
        places = down[..., :, None] + across[..., None, :]
        scores = scores + places.reshape(*places.shape[:-2], -1)
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool)
    allowed = allowed.tril() if causal else allowed
    allowed = allowed if mask is None else allowed & mask
    scores = scores.masked_fill(~allowed, -math.inf)
    weights = scores.softmax(-1).masked_fill(~allowed.any(-1, keepdim=True), 0)
    return weights @ v


# ---------------------------------------------------------------- calls that fit


@st.composite
def local_call(draw):
    b, head, half, e, h, w = (draw(SIZES) for _ in range(6))
    window = draw(st.sampled_from([1, 3, 5, 7]))
    d = 2 * half
    shapes = [(b, head, d, h, w)] * 2 + [(b, head, e, h, w)] + [(head, window, half)] * 2
    ways = ["blocked", "auto", "reference", *(["native", "operator"] if NATIVE else [])]
    way = draw(st.sampled_from(ways))
    if way == "operator":
        call = lambda *x: OPS.local_attention(*x)[0]  # noqa: E731
    else:
        call = lambda *x: fast.local_attention(*x, way)  # noqa: E731
    return f"local {way}", call, stand_alone.local_attention, shapes, [window]


@st.composite
def relative_call(draw):
    b, head, h, w, d, e = (draw(SIZES) for _ in range(6))
    shapes = [(b, head, h, w, d)] * 2 + [(b, head, h, w, e), (2 * h - 1, d), (2 * w - 1, d)]
    ways = ["rows", "auto", "skew", "augmented", *(["native", "operator"] if NATIVE else [])]
    way = draw(st.sampled_from(ways))
    if way == "operator":
        call = lambda *x: OPS.relative_attention_2d(*x)[0]  # noqa: E731
    else:
        call = lambda *x: fast.relative_attention_2d(*x, way)  # noqa: E731
    right = lambda *x: relative_2d.relative_attention_2d(*x, "skew")  # noqa: E731
    return f"relative {way}", call, right, shapes, []


@st.composite
def sparse_call(draw):
    b, head, n, d, e = (draw(SIZES) for _ in range(5))
    pattern = draw(st.sampled_from(["local", "strided", "fixed"]))
    stride = draw(st.integers(1, 6))
    way = draw(st.sampled_from(["pieces", "auto", "reference", "operator"]))
    shapes = [(b, head, n, d)] * 2 + [(b, head, n, e)]
    right = sparse.sparse_attention
    if way == "operator":
        shapes = [shape[1:] for shape in shapes]
        call = lambda *x: OPS.sparse_attention(*x)[0]  # noqa: E731
    else:
        call = lambda *x: fast.sparse_attention(*x, implementation=way)  # noqa: E731
    return f"sparse {way}", call, right, shapes, [pattern, stride, 1]


@st.composite
def plain_call(draw):
    b, head, i, j, d, e = (draw(SIZES) for _ in range(6))
    shapes = [(b, head, i, d), (b, head, j, d), (b, head, j, e)]
    if draw(st.booleans()):
        shapes.append(draw(st.sampled_from([(i, j), (b, head, i, j), (1, j), (head, 1, 1)])))
    way = draw(st.sampled_from(["torch", "tiled", "reference", "auto"]))
    call = lambda *x: fast.scaled_dot_product_attention(*x, implementation=way)  # noqa: E731
    right = scaled_dot_product.scaled_dot_product_attention
    return f"plain {way}", call, right, shapes, []


@st.composite
def mixture_call(draw):
    b, i, j, d, e = (draw(SIZES) for _ in range(5))
    way = draw(st.sampled_from(["reference", "tiled", "torch", "auto"]))
    call = lambda *x: fast.non_local.gaussian_mixture(*x, way)  # noqa: E731
    right = lambda q, k, v: non_local.gaussian_weights(q, k) @ v  # noqa: E731
    return f"mixture {way}", call, right, [(b, i, d), (b, j, d), (b, j, e)], []


@st.composite
def tiled_call(draw):
    b, i, y, x, d, e = (draw(SIZES) for _ in range(6))
    shapes = [(b, i, d), (b, y * x, d), (b, y * x, e), (b, i, y), (b, i, x)]
    raw = draw(st.booleans())

    def call(q, k, v, down, across, causal, rows):
        if raw:
            rest = causal, 0.5, rows, 4, False
            return OPS.tiled_attention(q, k, v, None, down, across, *rest)[0]
        more = dict(down=down, across=across)
        return fast.tiled_attention(q, k, v, None, causal, 0.5, rows, 4, **more)[0]

    def right(q, k, v, down, across, causal, rows):
        return tiles_reference(q, k, v, None, causal, 0.5, down, across)

    return f"tiled {'operator' if raw else ''}", call, right, shapes, [draw(st.booleans()), 3]


CALLS = st.one_of(
    local_call(), relative_call(), sparse_call(), plain_call(), mixture_call(), tiled_call()
)


# ---------------------------------------------------------------- and what is changed in them


@st.composite
def cases(draw):
    name, call, right, shapes, rest = draw(CALLS)
    torch.manual_seed(draw(st.integers(0, 5)))
    tensors = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    if name.startswith("plain") and len(tensors) == 4:
        tensors[3] = tensors[3] > -0.5
    changes = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["axis", "axis", "axis", "type", "view", "axes", "number"]))
        at = draw(st.integers(0, len(tensors) - 1))
        x = tensors[at]
        if kind == "axis" and x.ndim:
            axis, n = draw(st.integers(0, x.ndim - 1)), draw(st.sampled_from([0, 1, 2, 3, 7]))
            shape = list(x.shape)
            shape[axis] = n
            x = torch.randn(shape, dtype=torch.float64).to(x.dtype)
        elif kind == "type":
            kinds = [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
            x = x.to(draw(st.sampled_from(kinds)))
        elif kind == "axes":
            x = x[None] if draw(st.booleans()) else x.flatten(0, 1) if x.ndim > 1 else x
        elif kind == "view":
            x = draw(st.sampled_from(VIEWS))(x)
        elif kind == "number" and rest:
            where = draw(st.integers(0, len(rest) - 1))
            numbers = ["none"] if isinstance(rest[where], str) else [-1, 0, 2, 3, 40]
            rest[where] = draw(st.sampled_from(numbers))
        tensors[at] = x
        changes.append(kind)
    return name, call, right, tensors, rest, changes


def expanded(x):
    return x[..., :1].expand(x.shape)


def overlapping(x):
    n = x.numel()
    return torch.randn(n + 1, dtype=torch.float64).to(x.dtype).as_strided(
        x.shape, [1] * x.ndim
    ) if n else x  # fmt: skip


def turned(x):
    return x.mT.contiguous().mT if x.ndim > 1 else x


def every_other(x):
    return torch.stack([x, x], -1)[..., 0]


VIEWS = [expanded, overlapping, turned, every_other]


def outcome(call, tensors, rest):
    """Its result and gradients, or what it raises."""
    leaves = [x.detach().requires_grad_() if x.dtype == torch.float64 else x for x in tensors]
    try:
        y = call(*leaves, *rest)
        wave = torch.linspace(0, 3, y.numel(), dtype=y.dtype).cos().reshape(y.shape)
        some = [x for x in leaves if x.requires_grad]
        grads = torch.autograd.grad((y * wave).sum(), some, allow_unused=True)
        return y.detach(), [
            torch.zeros_like(x) if g is None else g for g, x in zip(grads, some, strict=True)
        ]
    except Exception as error:
        return error


def same(one, other):
    (y, grads), (z, slopes) = one, other
    assert y.shape == z.shape, (y.shape, z.shape)
    for a, b in zip((y, *grads), (z, *slopes), strict=True):
        assert_close(a, b, equal_nan=True, atol=1e-9, rtol=1e-7)


def check(case):
    name, call, right, tensors, rest, changes = case
    shapes = ", ".join(f"{tuple(x.shape)} {str(x.dtype)[6:]}" for x in tensors)
    print(name, shapes, rest, changes, flush=True)
    before = [x.clone() for x in tensors]
    found = outcome(call, tensors, rest)
    for x, y in zip(tensors, before, strict=True):
        assert torch.equal(x, y), "what was given has changed"
    if isinstance(found, Exception):
        if changes and isinstance(found, REFUSED):
            COUNTS["refused"] += 1
            return
        raise found
    expected = outcome(right, tensors, rest)
    if isinstance(expected, Exception):
        if found[0].numel() == 0 and not any(g.any() for g in found[1]):
            COUNTS["empty"] += 1
            return  # of nothing: the reference stumbles
        raise AssertionError(f"the reference refuses this: {expected}")
    same(found, expected)
    COUNTS["same"] += 1


COUNTS = {"refused": 0, "same": 0, "empty": 0}


def main(many: int) -> None:
    rules = settings(
        max_examples=many,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    rules(given(cases())(check))()
    print(COUNTS)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]))
