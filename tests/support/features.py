"""What people do with a layer in torch, done with each of ours: python features.py [THING ...]
prints a JSON object with "" or what went wrong, for each layer and each thing done.

In a process of its own, as users have it: tests check every shape on the way, which
torch.compile cannot trace. A layer is one of `solutions.fast` under "auto", or the reference
with the same weights; what comes out is compared with the reference in the plainest use.
"""

import copy
import io
import json
import pickle
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from solutions import fast, multi_head, non_local, relative_2d, sparse, stand_alone


class Kind(NamedTuple):
    """A layer: its class, what it is made with, and the shape of an input."""

    make: Callable[..., nn.Module]
    given: dict
    shape: tuple[int, ...]
    sizes: tuple[tuple[int, ...], ...]  # other inputs
    small: tuple[int, ...]  # the smallest
    way: str = ""  # the implementation, where it is not "auto"

    def layer(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        torch.manual_seed(1)
        layer = self.new()
        with torch.no_grad():  # some begin as nothing
            for parameter in layer.parameters():
                parameter.copy_(torch.randn_like(parameter) / 4)
        return layer.to(dtype).eval()  # a norm over a batch of one pixel is another matter

    def new(self) -> nn.Module:
        layer = self.make(**self.given)
        if self.way:
            layer.implementation = self.way
        return layer

    def x(self, shape=None, dtype: torch.dtype = torch.float32, seed: int = 2) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.randn(shape or self.shape, dtype=dtype)


IMAGE = (2, 8, 5, 6), ((1, 8, 7, 4), (3, 8, 2, 9)), (1, 8, 1, 1)
LINE = (2, 7, 8), ((1, 10, 8), (3, 2, 8)), (1, 1, 8)
WIDE = (2, 16, 5, 6), ((1, 16, 7, 4),), (1, 16, 1, 1)
AUGMENTED = dict(in_channels=8, out_channels=16, kappa=0.5, upsilon=0.5, heads=2, size=(5, 6))
WINDOW = dict(channels=8, heads=2, window=3)
PAIRS = {  # reference, fast, what they are made with, inputs
    "local": (stand_alone, "StandAloneSelfAttention2d", WINDOW, IMAGE),
    "local, strided": (stand_alone, "StandAloneSelfAttention2d", WINDOW | {"stride": 2}, IMAGE),
    "augmented": (relative_2d, "AttentionAugmentedConv2d", AUGMENTED, IMAGE),
    "heads": (multi_head, "MultiHeadAttention", dict(dim=8, heads=2), LINE),
    "non-local": (non_local, "NonLocal", dict(channels=8), IMAGE),
    "position": (non_local, "PositionAttention", dict(channels=16), WIDE),
    "sparse": (sparse, "SparseSelfAttention", dict(dim=8, heads=2, stride=3), LINE),
}
KINDS, REFERENCE = {}, {}
for _name, (_module, _class, _given, _inputs) in PAIRS.items():
    REFERENCE[_name] = Kind(getattr(_module, _class), _given, *_inputs)
    KINDS[_name] = REFERENCE[_name]._replace(make=getattr(fast, _class, None) or
                                             getattr(fast.non_local, _class))  # fmt: skip
WAYS = {"local": "blocked", "augmented": "rows", "heads": "tiled"}  # where no kernel runs
for _name, _way in WAYS.items():
    KINDS[f"{_name}, {_way}"] = KINDS[_name]._replace(way=_way)
    REFERENCE[f"{_name}, {_way}"] = REFERENCE[_name]
CASES = [(f"fast {name}", kind, REFERENCE[name]) for name, kind in KINDS.items()]
CASES += [(name, REFERENCE[name], REFERENCE[name]) for name in PAIRS]
FEATURES: dict[str, Callable[[Kind, Kind], None]] = {}
UNIT = {torch.float16: 2**-11, torch.bfloat16: 2**-8}


def feature(function):
    FEATURES[function.__name__] = function
    return function


def use(layer, x):
    """The output, and gradients of the input and of the weights: all that training asks for."""
    x = x.detach().requires_grad_()
    y = layer(x)
    wave = torch.linspace(0, 3, y.numel(), dtype=y.dtype).cos().reshape(y.shape)
    some = [p for p in layer.parameters() if p.requires_grad]
    grads = torch.autograd.grad((y * wave).sum(), [x, *some], allow_unused=True)
    return [y.detach(), *(torch.zeros(()) if g is None else g for g in grads)]


def same(one, other, **close):
    for a, b in zip(one, other, strict=True):
        assert_close(a, b, **close)


def near(one, other, units: float):
    """Within so many units in the last place of the largest number: roundings of 16 bits."""
    for a, b in zip(one, other, strict=True):
        size = max(1.0, b.abs().max().item()) if b.numel() else 1.0
        off = (a.double() - b.double()).abs().max().item() if b.numel() else 0.0
        assert off <= units * size, f"off by {off / size:.2g}, allowed {units:.2g}"


SINGLE = dict(atol=2e-5, rtol=2e-5)


@feature
def plain(kind, reference):
    same(use(kind.layer(), kind.x()), use(reference.layer(), kind.x()), **SINGLE)


@feature
def autocast(kind, reference):
    for dtype, unit in UNIT.items():
        layer = kind.layer()
        with torch.autocast("cpu", dtype):
            found = use(layer, kind.x())
        assert all(g.dtype == torch.float32 for g in found[1:])
        near(found, use(reference.layer(), kind.x()), 64 * unit)
        with torch.autocast("cpu", dtype):
            x = kind.x().requires_grad_()
            layer(x).float().square().mean().backward()  # as some write it: all of it within


@feature
def sixteen_bits(kind, reference):
    for dtype, unit in UNIT.items():
        layer, exact = kind.layer(dtype), reference.layer(dtype).float()
        found = use(layer, kind.x().to(dtype))
        assert all(g.dtype == dtype for g in found)
        near(found, use(exact, kind.x().to(dtype).float()), 64 * unit)


@feature
def double_precision(kind, reference):
    x = kind.x(dtype=torch.float64)
    same(use(kind.layer(torch.float64), x), use(reference.layer(torch.float64), x))


@feature
def checkpointed(kind, reference):
    layer = kind.layer()
    expected = use(layer, kind.x())
    for reentrant in (False, True):
        call = lambda x, r=reentrant: checkpoint(layer, x, use_reentrant=r)  # noqa: E731
        x = kind.x().requires_grad_()
        layer.zero_grad()
        y = call(x)
        wave = torch.linspace(0, 3, y.numel()).cos().reshape(y.shape)
        (y * wave).sum().backward()
        same([y.detach(), x.grad], expected[:2])
        same([p.grad for p in layer.parameters() if p.grad is not None],
             [g for g in expected[2:] if g.ndim])  # fmt: skip


@feature
def compiled(kind, reference):
    layer = kind.layer()
    torch.compiler.reset()
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    same(use_of(whole, layer, kind.x()), use(layer, kind.x()), **SINGLE)


@feature
def made_by_inductor(kind, reference):
    layer = kind.layer()
    torch.compiler.reset()
    whole = torch.compile(layer, fullgraph=True)
    same(use_of(whole, layer, kind.x()), use(layer, kind.x()), **SINGLE)


def use_of(call, layer, x):
    x = x.detach().requires_grad_()
    y = call(x)
    wave = torch.linspace(0, 3, y.numel(), dtype=y.dtype).cos().reshape(y.shape)
    some = [x, *layer.parameters()]
    grads = torch.autograd.grad((y * wave).sum(), some, allow_unused=True)
    return [y.detach(), *(torch.zeros(()) if g is None else g for g in grads)]


@feature
def exported(kind, reference):
    layer = kind.layer()
    for train in (True, False):
        module = torch.export.export(layer.train(train), (kind.x(),)).module()
        for seed in (2, 3):
            assert_close(module(kind.x(seed=seed)), layer(kind.x(seed=seed)), **SINGLE)


@feature
def copied(kind, reference):
    layer = kind.layer()
    expected = use(layer, kind.x())
    same(use(copy.deepcopy(layer), kind.x()), expected)
    same(use(pickle.loads(pickle.dumps(layer)), kind.x()), expected)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    same(use(torch.load(file, weights_only=False), kind.x()), expected)


@feature
def weights_both_ways(kind, reference):
    for one, other in ((kind, reference), (reference, kind)):
        layer, given = one.new().eval(), other.layer()
        layer.load_state_dict(given.state_dict(), strict=True)
        same(use(layer, kind.x()), use(given, kind.x()), **SINGLE)


@feature
def distributed(kind, reference):
    layer = kind.layer()
    expected = use(layer, kind.x())
    if not torch.distributed.is_initialized():
        file = tempfile.NamedTemporaryFile()
        FILES.append(file)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{file.name}", rank=0, world_size=1
        )
    everywhere = nn.parallel.DistributedDataParallel(layer)
    x = kind.x().requires_grad_()
    y = everywhere(x)
    wave = torch.linspace(0, 3, y.numel()).cos().reshape(y.shape)
    (y * wave).sum().backward()
    same([p.grad for p in layer.parameters()], expected[2:])


FILES = []


@feature
def nothing_then_real(kind, reference):
    with torch.device("meta"):
        empty = kind.new()
        assert empty(torch.empty(kind.shape)).is_meta
    empty(torch.empty(kind.shape, device="meta")).sum().backward()
    same(use(kind.layer(), kind.x()), use(reference.layer(), kind.x()), **SINGLE)
    real = empty.to_empty(device="cpu").eval()
    real.load_state_dict(reference.layer().state_dict())
    same(use(real, kind.x())[:1], use(reference.layer(), kind.x())[:1], **SINGLE)


@feature
def inference_then_training(kind, reference):
    layer, x = kind.layer(), kind.x((2, *kind.sizes[0][1:]))
    with torch.inference_mode():
        first = layer(x).clone()
    found = use(layer, x)
    assert_close(first.clone(), found[0], **SINGLE)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        layer(x)
    same(use(layer, x), found)
    same(use(layer.double(), x.double()), found, check_dtype=False, **SINGLE)


@feature
def anomalies_looked_for(kind, reference):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            found = use(kind.layer(), kind.x())
    same(found, use(kind.layer(), kind.x()))


@feature
def twice_differentiated(kind, reference):
    """As the reference, or one error that says so; the reference as finite differences say."""
    x = kind.x(
        kind.sizes[-1] if kind.sizes[-1][0] == 1 else (1, *kind.shape[1:]), torch.float64
    )

    def twice(layer):
        if layer is plainest and hasattr(layer, "implementation"):
            layer.implementation = "skew"  # the others are torch's own attention
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(layer(point).square().sum(), point, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), point)[0]

    plainest = reference.layer(torch.float64)
    if kind is reference:
        assert twice(plainest).isfinite().all()
        assert torch.autograd.gradgradcheck(plainest, x.requires_grad_(), fast_mode=True)
        return
    or_one_line(lambda: twice(kind.layer(torch.float64)), lambda: twice(plainest))


def or_one_line(call, right):
    try:
        found = call()
    except (RuntimeError, NotImplementedError) as error:
        if any(words in str(error) for words in CLEAR):
            return
        raise
    expected = right()
    found, expected = (x if isinstance(x, tuple | list) else [x] for x in (found, expected))
    same(found, expected, **SINGLE)


CLEAR = (  # what torch says
    "no autograd formula",  # twice through one of our operators
    "is not implemented",  # twice through its own attention
    "is differentiated once, not twice: take implementation='reference'",  # blocks, rows
    "must override the setup_context",  # torch.func of an operator that was asked for by name
)


@feature
def functional_gradients(kind, reference):
    def slopes(one):
        layer, x = one.layer(torch.float64), kind.x(dtype=torch.float64)
        weights = dict(layer.named_parameters())
        total = lambda w: torch.func.functional_call(layer, w, (x,)).square().sum()  # noqa: E731
        return list(torch.func.grad(total)(weights).values())

    or_one_line(lambda: slopes(kind), lambda: slopes(reference))


@feature
def mapped_over_examples(kind, reference):
    def each(one):
        layer, x = one.layer(torch.float64), kind.x(dtype=torch.float64)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, where it falls back to a loop
            return torch.func.vmap(layer)(x[:, None])

    or_one_line(lambda: each(kind), lambda: kind_by_example(reference, kind))


def kind_by_example(reference, kind):
    layer, x = reference.layer(torch.float64), kind.x(dtype=torch.float64)
    with torch.no_grad():
        return torch.stack([layer(one[None]) for one in x])


@feature
def frozen_weights(kind, reference):
    def partly(one):
        layer = one.layer()
        for parameter in list(layer.parameters())[::2]:
            parameter.requires_grad_(False)
        return use(layer, kind.x())

    same(partly(kind), partly(reference), **SINGLE)
    layer, x = kind.layer().requires_grad_(False), kind.x()
    assert not layer(x).requires_grad


@feature
def no_examples(kind, reference):
    x = kind.x((0, *kind.shape[1:]))
    found = use(kind.layer(), x)
    assert found[0].shape == (0, *kind.layer()(kind.x()).shape[1:])
    assert not any(g.any() for g in found[1:])


@feature
def the_smallest(kind, reference):
    x = kind.x(kind.small)
    same(use(kind.layer(), x), use(reference.layer(), x), **SINGLE)


@feature
def changing_sizes(kind, reference):
    layer, other = kind.layer(), reference.layer()
    for shape in (*kind.sizes, kind.shape, *kind.sizes):
        same(use(layer, kind.x(shape)), use(other, kind.x(shape)), **SINGLE)


@feature
def laid_out_otherwise(kind, reference):
    x = kind.x()
    expected = use(kind.layer(), x)
    if x.ndim == 4:
        last = x.to(memory_format=torch.channels_last)
        same(use(kind.layer(), last), expected, **SINGLE)
        same(use(kind.layer().to(memory_format=torch.channels_last), last), expected, **SINGLE)
    same(use(kind.layer(), x.mT.contiguous().mT), expected, **SINGLE)
    wide = torch.cat([x, x], -1)[..., : x.shape[-1]]
    same(use(kind.layer(), wide), expected, **SINGLE)


@feature
def views_that_overlap(kind, reference):
    one = kind.x()[:1].expand(kind.shape)
    shape, many = kind.shape, kind.x().numel()
    line = torch.randn(many)
    slid = line.as_strided(shape, [1] * len(shape))
    for x in (one, slid):
        with torch.no_grad():
            assert_close(kind.layer()(x), reference.layer()(x.contiguous()), **SINGLE)


@feature
def no_number_in_one_place(kind, reference):
    """It reaches all that listen to it, and nobody that the reference keeps it from."""
    x = kind.x()
    at = (0, slice(None), *(n // 2 for n in x.shape[2:])) if x.ndim == 4 else (0, 4)
    bad = x.clone()
    bad[at] = torch.nan
    with torch.no_grad():
        found, expected = kind.layer()(bad), reference.layer()(bad)
        moved = x.clone()
        moved[at] += 1
        hears = reference.layer()(x) != reference.layer()(moved)
    none = found.isnan()
    assert none[hears].all()
    assert not (none & ~expected.isnan()).any()
    kept = ~expected.isnan()
    assert_close(found[kept], expected[kept], **SINGLE)


@feature
def extreme_scores(kind, reference):
    for scale in (1e3, 1e8, 1e14):  # scores as the square of that
        x = kind.x(dtype=torch.float64) * scale
        with torch.no_grad():
            assert kind.layer()(x.float()).isfinite().all()
            found, expected = kind.layer(x.dtype)(x), reference.layer(x.dtype)(x)
        size = expected.abs().max()
        assert_close(found / size, expected / size)


SLOW, COMPILERS = {"made_by_inductor"}, {"compiled", "made_by_inductor"}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    found = {}
    for label, kind, reference in CASES:
        for thing, do in FEATURES.items():
            if thing not in (names or FEATURES.keys() - SLOW):
                continue
            if kind is reference and thing in COMPILERS:
                continue  # seconds each, and of no interest: what is fast is compiled
            try:
                do(kind, reference)
                found[f"{label}: {thing}"] = ""
            except Exception:
                found[f"{label}: {thing}"] = traceback.format_exc()[-1500:]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
