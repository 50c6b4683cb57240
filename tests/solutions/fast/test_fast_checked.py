"""Every operator of torch that we have, forward and back: torch finds nothing wrong with it,
what it is given stays as it was, and each axis, type and number that does not fit is told."""

import pytest
import torch

from solutions import checks
from solutions.fast import local, native, relative_2d, scaled_dot_product, sparse

COMPILED = pytest.mark.skipif(
    bool(native.available("local") or native.available("relative_2d")), reason="no C compiler"
)


def randn(*shapes, dtype=torch.float64):
    return [torch.randn(shape, dtype=dtype) for shape in shapes]


def local_given(b=2, h=3, w=5, e=3):
    tensors = randn((b, 2, 4, h, w), (b, 2, 4, h, w), (b, 2, e, h, w), (2, 3, 2), (2, 3, 2))
    return local.operator, local.backward, tensors, [3]


def relative_given(b=2, h=3, w=4, e=3):
    tables = (max(2 * h - 1, 0), 4), (max(2 * w - 1, 0), 4)
    tensors = randn((b, h, w, 4), (b, h, w, 4), (b, h, w, e), *tables)
    return relative_2d.operator, relative_2d.backward, tensors, []


def sparse_given(b=2, n=7, e=3, kind="strided"):
    tensors = randn((b, n, 4), (b, n, 4), (b, n, e))
    return sparse.operator, sparse.backward, tensors, [kind, 3, 1]


def tiled_given(b=2, i=5, y=2, x=3, e=3, mask=False):
    tensors = randn((b, i, 4), (b, y * x, 4), (b, y * x, e), (b, i, y), (b, i, x))
    allowed = torch.rand(i, y * x) < 0.7 if mask else None
    rest = [not mask, 0.5, 3, 4, False]
    return (
        scaled_dot_product.operator,
        scaled_dot_product.backward,
        [*tensors[:3], allowed, *tensors[3:]],
        rest,
    )


CASES = {
    "local": (local_given, COMPILED),
    "relative": (relative_given, COMPILED),
    "sparse": (sparse_given, ()),
    "tiled": (tiled_given, ()),
}
SIZES = {
    "local": [{}, {"b": 0}, {"h": 0}, {"w": 1, "h": 1}, {"e": 0}, {"b": 1, "w": 17}],
    "relative": [{}, {"b": 0}, {"h": 0}, {"w": 1, "h": 1}, {"e": 0}, {"b": 1, "w": 17}],
    "sparse": [{}, {"b": 0}, {"n": 0}, {"n": 1}, {"e": 0}, {"kind": "fixed", "n": 9}],
    "tiled": [{}, {"b": 0}, {"i": 0}, {"y": 0}, {"e": 0}, {"i": 1, "mask": True}],
}


def operators(*, every_size=True):
    return [
        pytest.param(make, size, id=f"{name} {size or ''}", marks=marks)
        for name, (make, marks) in CASES.items()
        for size in (SIZES[name] if every_size else [{}])
    ]


def back(forward, tensors, rest):
    """What the way back is given, after a run of the way there."""
    out, lse = forward(*tensors, *rest)
    return [torch.randn_like(out), *tensors, out, lse]


def unchanged(call, tensors):
    before = [None if x is None else x.clone() for x in tensors]
    found = call(*tensors)
    for x, y in zip(tensors, before, strict=True):
        assert x is y or torch.equal(x, y)
    return found


@pytest.mark.parametrize(("make", "size"), operators())
def test_what_is_given_stays_as_it_was(make, size):
    forward, backward, tensors, rest = make(**size)
    out, lse = unchanged(lambda *x: forward(*x, *rest), tensors)
    given = back(forward, tensors, rest)
    grads = unchanged(lambda *x: backward(*x, *rest), given)
    assert out.isfinite().all()
    where = [x for x in tensors if x is not None and x.is_floating_point()]
    for grad, x in zip(grads, where, strict=True):
        assert grad.shape == x.shape
        assert grad.isfinite().all()
    if not lse.numel():
        assert not any(grad.any() for grad in grads)


@pytest.mark.parametrize(("make", "size"), operators())
def test_torch_finds_nothing_wrong(make, size):
    forward, backward, tensors, rest = make(**size)
    views = [x.mT.contiguous().mT if x is not None else x for x in tensors]
    for some in (tensors, views):
        given = back(forward, some, rest)
        tests = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(backward, (*given, *rest), test_utils=tests)
        leaves = [
            x.requires_grad_() if x is not None and x.is_floating_point() else x for x in some
        ]
        torch.library.opcheck(forward, (*leaves, *rest), test_utils=tests)


@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize(("make", "size"), operators(every_size=False))
def test_each_axis_that_does_not_fit_is_told(make, size, way):
    forward, backward, tensors, rest = make(**size)
    call, given = forward, tensors
    if way == "back":
        call, given = backward, back(forward, tensors, rest)
    own = {local.operator: 2}.get(forward, tensors[2].ndim - 1)  # the width of v is its own
    for at, x in enumerate(given):
        if x is None:
            continue
        others = [*given[:at], None, *given[at + 1 :]], at
        for axis in range(x.ndim):
            if way == "there" and (at, axis) == (2, own):
                continue
            for n in {0, 1, x.shape[axis] + 1} - {x.shape[axis]}:
                shape = [*x.shape[:axis], n, *x.shape[axis + 1 :]]
                refused(call, *others, torch.randn(shape, dtype=x.dtype), rest, r"\d")
        for other in (x[None], x.flatten(0, 1), x.int(), x.float(), x.bfloat16(), x.to("meta")):
            refused(call, *others, other, rest, r"\w")
        refused(call, *others, x.to_sparse(), rest, "plain tensor|SparseCPU")


def refused(call, others, at, x, rest, match):
    others[at] = x
    with pytest.raises((ValueError, NotImplementedError), match=match):
        call(*others, *rest)


@pytest.mark.parametrize(
    ("make", "at", "value"),
    [
        pytest.param(local_given, 0, -1, marks=COMPILED),
        pytest.param(local_given, 0, 2, marks=COMPILED),
        pytest.param(local_given, 0, 33, marks=COMPILED),
        (sparse_given, 0, "nothing"),
        (sparse_given, 1, 0),
        (sparse_given, 2, 4),
        (sparse_given, 2, 0),
        (tiled_given, 2, 0),
        (tiled_given, 3, -4),
    ],
)
def test_each_number_that_cannot_be_is_told(make, at, value):
    forward, backward, tensors, rest = make()
    given = back(forward, tensors, rest)
    rest[at] = value
    with pytest.raises(ValueError, match=str(value)):
        forward(*tensors, *rest)
    with pytest.raises(ValueError, match=str(value)):
        backward(*given, *rest)


# ---------------------------------------------------------------- what checks say


def test_the_numbers_are_said():
    q, k, v = randn((2, 5, 4), (2, 7, 4), (3, 7, 3))
    named = ("q", q, "*batch i d"), ("k", k, "*batch j d"), ("v", v, "*batch j e")
    with pytest.raises(ValueError, match=r"q \(2, 5, 4\), k \(2, 7, 4\), v \(3, 7, 3\): the l"):
        checks.sizes(*named)
    with pytest.raises(ValueError, match="the leading axes do not broadcast"):
        checks.spread(*named)
    with pytest.raises(ValueError, match="d is 7 in k and 4 in q"):
        checks.sizes(("q", q, "b i d"), ("k", k.mT, "b j d"))
    with pytest.raises(ValueError, match="d is 4 in q and 5 asked for"):
        checks.sizes(("q", q, "b i d"), d=5)
    with pytest.raises(ValueError, match=r"q has the shape \(2, 5, 4\); its axes are b d"):
        checks.sizes(("q", q, "b d"))


def test_what_broadcasts_is_expanded_and_nothing_is_copied():
    q, k = randn((3, 1, 4), (2, 1, 7, 4))
    one, other = checks.spread(("q", q, "*batch i d"), ("k", k, "*batch j d"))
    assert one.shape == (2, 3, 1, 4)
    assert other.shape == (2, 3, 7, 4)
    assert one.data_ptr() == q.data_ptr()
    first, second = randn((1, 2), (3, 1))
    found = checks.spread(("x", first, "a b"), ("y", second, "a b"), free="a b")
    assert [x.shape for x in found] == [(3, 2)] * 2


def test_types_devices_and_masks_are_told():
    q, k = randn((2, 3), (2, 3))
    with pytest.raises(ValueError, match="q is of float64 and k of float32: give"):
        checks.alike(("q", q), ("k", k.float()))
    with pytest.raises(ValueError, match="k is of int64: attention is for float16, bfloat16"):
        checks.alike(("q", q), ("k", k.long()))
    with pytest.raises(ValueError, match="q is on cpu and k on meta: give them one device"):
        checks.alike(("q", q), ("k", k.to("meta")))
    with pytest.raises(ValueError, match=r"laid out as torch.sparse_coo: give a plain tensor"):
        checks.alike(("q", q.to_sparse()), ("k", k))
    with torch.autocast("cpu", torch.bfloat16):
        checks.alike(("q", q.float()), ("k", k.bfloat16()))
        with pytest.raises(ValueError, match="float64 and k of bfloat16"):
            checks.alike(("q", q), ("k", k.bfloat16()))
    for mask in (torch.ones(2, 3), torch.ones(2, 3, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"the mask is of \w+64|32: give one of bool"):
            checks.allowed(mask, (4, 2, 3), q.device)
    with pytest.raises(ValueError, match=r"a mask of \(3, 2\) does not broadcast to a map of"):
        checks.allowed(torch.ones(3, 2, dtype=torch.bool), (4, 2, 3), q.device)
    with pytest.raises(ValueError, match=r"a mask of \(1, 1, 1, 1\) does not broadcast"):
        checks.allowed(torch.ones(1, 1, 1, 1, dtype=torch.bool), (4, 2, 3), q.device)
