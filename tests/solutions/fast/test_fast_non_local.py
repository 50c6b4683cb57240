"""Non-local, position and multi-head attention without a map: as their references."""

import pytest
import torch
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions import multi_head, non_local
from solutions.fast import multi_head as fast_multi_head
from solutions.fast import non_local as fast
from solutions.fast import scaled_dot_product as tiles


def same(plain, quick, implementation, *given):
    """Values, and gradients of the input and of every weight."""
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_()
    quick.load_state_dict(plain.state_dict())
    quick.implementation = implementation
    found = []
    for layer in (plain.double(), quick.double()):
        x = given[0].detach().requires_grad_()
        y = layer(x, *given[1:])
        wave = torch.linspace(0, 3, y.numel(), dtype=y.dtype).cos().reshape(y.shape)
        weights = [x, *layer.parameters()]
        found.append([y, *torch.autograd.grad((y * wave).sum(), weights, allow_unused=True)])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        assert_close(one, other)


@pytest.mark.parametrize("implementation", ["auto", *fast.IMPLEMENTATIONS])
@pytest.mark.parametrize("form", non_local.FORMS)
@pytest.mark.parametrize("space", [(5, 7), (1, 1), (6,), (2, 3, 4)])
@pytest.mark.parametrize("subsample", [1, 2])
def test_the_same_weights_give_the_same_block(implementation, form, space, subsample):
    given = dict(form=form, middle=3, subsample=subsample)
    x = torch.randn(2, 6, *space, dtype=torch.float64)
    plain, quick = non_local.NonLocal(6, **given), fast.NonLocal(6, **given)
    same(plain.eval(), quick.eval(), implementation, x)
    exact = form in ("gaussian", "embedded")
    chosen = "torch" if implementation == "auto" else implementation
    assert quick.runs(x) == (chosen if exact else "reference")


@pytest.mark.parametrize("implementation", ["auto", *fast.IMPLEMENTATIONS])
@pytest.mark.parametrize("space", [(5, 7), (1, 1), (6,)])
def test_the_same_weights_give_the_same_position_attention(implementation, space):
    x = torch.randn(2, 16, *space, dtype=torch.float64)
    plain, quick = non_local.PositionAttention(16), fast.PositionAttention(16)
    same(plain, quick, implementation, x)
    assert quick.runs(x) == ("reference" if implementation == "auto" else implementation) or (
        implementation == "auto" and quick.runs(x) == "torch"
    )


def test_the_head_of_danet_takes_it():
    plain, quick = non_local.DANetHead(64, 5), fast.DANetHead(64, 5)
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(1, 64, 5, 6)
    for one, other in zip(quick.eval()(x), plain.eval()(x), strict=True):
        assert_close(one, other)
    assert quick.position.runs(torch.randn(1, 16, 5, 6)) == "torch"


def test_which_one_is_taken_depends_on_the_widths_and_the_pixels():
    def chosen(pixels, m, e):
        return fast.choose(*(torch.empty(1, pixels, width) for width in (m, m, e)))

    assert chosen(4096, 32, 32) == "torch"
    assert chosen(4096, 8, 64) == "torch"
    assert chosen(4096, 16, 128) == "tiled"
    assert chosen(400, 16, 128) == "reference"


@pytest.mark.parametrize("implementation", ["tiled", "torch"])
def test_there_is_no_map(implementation, monkeypatch):
    # from outside an operator is not counted
    monkeypatch.setattr(tiles, "operator", lambda *given: tiles.by_tiles(*given[:-1]))
    q, k, v = (torch.randn(1, 2000, 4) for _ in "qkv")
    call = lambda: fast.gaussian_mixture(q, k, v, implementation)  # noqa: E731
    assert count(call).largest_tensor <= 2000 * 512


@pytest.mark.parametrize("implementation", ["auto", "reference", "tiled", "torch"])
def test_the_same_weights_give_the_same_heads(implementation):
    plain = multi_head.MultiHeadAttention(12, 3)
    quick = fast_multi_head.MultiHeadAttention(12, 3)
    x, context = (torch.randn(2, n, 12, dtype=torch.float64) for n in (5, 7))
    mask = torch.rand(2, 5, 7) < 0.6
    mask[:, 1] = False
    for given in ((x,), (x, context), (x, context, mask), (x, context, mask[0])):
        same(plain, quick, implementation, *given)
    keys = mask[:, :1] | True
    same(plain, quick, implementation, x, context, keys)
    assert quick.runs(x) == ("torch" if implementation == "auto" else implementation)


def test_what_there_is_not_is_told():
    q, k, v = (torch.randn(1, 3, 2) for _ in "qkv")
    with pytest.raises(ValueError, match="no implementation='flash': there are auto, ref"):
        fast.gaussian_mixture(q, k, v, "flash")
