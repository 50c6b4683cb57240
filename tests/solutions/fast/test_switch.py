"""One switch for all implementations: a function, a context, an environment variable."""

import os
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from solutions import fast
from solutions.fast import in_use, local, use

LAYERS = [
    (lambda: fast.MultiHeadAttention(8, 2), (2, 5, 8), "reference"),
    (lambda: fast.SelfAttention(8, 2), (2, 5, 8), "reference"),
    (lambda: fast.NonLocal(8), (2, 8, 3, 4), "reference"),
    (lambda: fast.PositionAttention(8), (2, 8, 3, 4), "reference"),
    (lambda: fast.SparseSelfAttention(8, 2, stride=3), (2, 7, 8), "reference"),
    (lambda: fast.StandAloneSelfAttention2d(8, 2, window=3), (2, 8, 3, 4), "reference"),
    (
        lambda: fast.AttentionAugmentedConv2d(8, 8, upsilon=0.5, heads=2, size=(3, 4)),
        (2, 8, 3, 4),
        "augmented",
    ),
]
every = pytest.mark.parametrize(("make", "shape", "reference"), LAYERS)


@pytest.fixture(autouse=True)
def _as_before():
    before = in_use()
    yield
    use(before)


@every
def test_the_reference_is_taken_everywhere_and_gives_the_same(make, shape, reference):
    layer, x = make().double().eval(), torch.randn(shape, dtype=torch.float64)
    chosen, y = layer.runs(x), layer(x)
    with use("reference") as told:
        assert told.before == "auto"
        assert layer.runs(x) == reference
        assert_close(layer(x), y)
    assert layer.runs(x) == chosen
    assert use("reference").before == "auto"  # as a function
    assert layer.runs(x) == reference
    use("auto")
    assert layer.runs(x) == chosen


def test_what_is_called_is_what_was_asked_for(monkeypatch):
    called = []
    for name in ("blocked", "operator"):
        real = getattr(local, name)
        record = lambda *given, r=real, n=name: called.append(n) or r(*given)  # noqa: E731
        monkeypatch.setattr(local, name, record)
    layer, x = fast.StandAloneSelfAttention2d(8, 2, window=3), torch.randn(1, 8, 3, 4)
    with use("blocked"):
        layer(x)
        with use("reference"):
            layer(x)
        assert called == ["blocked"]
        layer(x)
    assert called == ["blocked"] * 2


@every
def test_what_a_layer_names_itself_comes_first(make, shape, reference):
    layer, x = make(), torch.randn(shape)
    with use("triton"):
        layer.implementation = reference
        assert layer.runs(x) == reference
        layer(x)


def test_what_a_mechanism_has_not_leaves_it_as_it_was():
    layer, x = fast.MultiHeadAttention(8, 2), torch.randn(2, 5, 8)
    with use("blocked"):
        assert layer.runs(x) == "torch"
        layer(x)


def test_what_cannot_run_says_why(monkeypatch):
    monkeypatch.setattr(local.native, "available", lambda name: "no C compiler")
    layer = fast.StandAloneSelfAttention2d(8, 2, window=3)
    with use("native"), pytest.raises(ValueError, match="native kernel cannot run: no C comp"):
        layer(torch.randn(1, 8, 3, 4))


def test_the_switch_is_put_back_after_an_error():
    with pytest.raises(RuntimeError, match="mine"), use("reference"):
        raise RuntimeError("mine")
    assert in_use() == "auto"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("referense", "'referense': did you mean 'reference'"),
        ("natve", "did you mean 'native'"),
        ("", "there are augmented, auto"),
        ("xyzzy", "there are augmented, auto"),
    ],
)
def test_an_unknown_name_is_told_and_nothing_changes(name, said):
    with pytest.raises(ValueError, match=said):
        use(name)
    assert in_use() == "auto"


@every
def test_a_call_leaves_no_trace_in_the_layer(make, shape, reference):
    layer, x = make(), torch.randn(shape)
    before = {name: dict(vars(module)) for name, module in layer.named_modules()}
    layer(x)
    layer.runs(x)
    for name, module in layer.named_modules():
        assert vars(module).keys() == before[name].keys()
        kept = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        assert kept == {k: v for k, v in before[name].items() if not k.startswith("_")}


PROGRAM = """
import torch
from solutions import fast
layer, x = fast.NonLocal(8).eval(), torch.randn(2, 8, 3, 4)
compiled = torch.compile(layer, fullgraph=True, backend="eager")
y = compiled(x)
told = [fast.in_use(), layer.runs(x)]
with fast.use("tiled"):
    told.append(layer.runs(x))
    torch.testing.assert_close(compiled(x), y)
print(*told)
"""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "auto torch tiled"),
        ("", "auto torch tiled"),
        ("reference", "reference reference tiled"),
        ("natve", "ATTNCOURSE_FAST: no mechanism has an implementation 'natve': did you mean"),
    ],
)
def test_the_environment_sets_it_from_the_start(value, said):
    env = {k: v for k, v in os.environ.items() if k != "ATTNCOURSE_FAST"}
    env |= {} if value is None else {"ATTNCOURSE_FAST": value}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True
    )
    assert said in (ran.stderr if ran.returncode else ran.stdout)
