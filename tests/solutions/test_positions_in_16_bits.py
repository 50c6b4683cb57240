"""Positions in float16 and bfloat16: made in float32, rounded once."""

import pytest
import torch
from torch.testing import assert_close

from solutions.positional import CoordConv2d, rotary, sinusoidal, sinusoidal_2d
from solutions.transformer import Transformer

HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


def rounded_once(wanted, dtype, slack=1):
    """As near as the type has numbers: half a step of the largest, which is below 2."""
    return dict(rtol=0, atol=slack * torch.finfo(dtype).eps / 2 + 1e-4)


@HALVES
@pytest.mark.parametrize("dim", [64, 63, 700])
def test_sinusoidal_positions_are_those_of_float64_rounded(dtype, dim):
    n = 256 if dtype == torch.bfloat16 else 2048  # these are exact
    positions = torch.arange(n).to(dtype)
    assert positions.unique().numel() == n
    got = sinusoidal(positions, dim)
    assert got.dtype == dtype
    wanted = sinusoidal(positions.double(), dim)
    assert_close(got.double(), wanted, **rounded_once(wanted, dtype))


@HALVES
def test_positions_in_the_plane_too(dtype):
    rows, columns = torch.arange(200).to(dtype), torch.arange(130).to(dtype)
    got = sinusoidal_2d(rows, columns, 24)
    wanted = sinusoidal_2d(rows.double(), columns.double(), 24)
    assert got.dtype == dtype
    assert_close(got.double(), wanted, **rounded_once(wanted, dtype))


@HALVES
def test_no_two_places_are_one_to_a_rotation_however_late(dtype):
    """Whole numbers that 16 bits do not hold: 4096 and 4097 are turned differently."""
    positions = torch.arange(4090, 4110)
    x = torch.ones(20, 8, dtype=dtype)
    got = rotary(x, positions)
    assert got.dtype == dtype
    assert got.unique(dim=0).shape[0] == 20
    wanted = rotary(x.double(), positions)
    # two products and a sum, each rounded
    assert_close(got.double(), wanted, **rounded_once(wanted, dtype, slack=4))


@HALVES
def test_a_transformer_tells_late_words_apart(dtype):
    model = Transformer(5, 5, 16, 2, 8, 1, dtype=dtype).eval()
    words = torch.full((1, 600), 3)
    with torch.no_grad():
        model.source.weight.zero_()
        places = model.embed(words, model.source)[0]
    assert places.dtype == dtype
    wanted = sinusoidal(torch.arange(600.0).double(), 16)
    assert_close(places.double(), wanted, **rounded_once(wanted, dtype))


@HALVES
@pytest.mark.parametrize("width", [2, 300, 1001])
def test_coordinates_are_rounded_once(dtype, width):
    layer = CoordConv2d(3, 4, 3, radius=True)
    x = torch.randn(2, 3, 5, width)
    got = layer.coordinates(x.to(dtype))
    assert got.dtype == dtype
    assert_close(got, layer.coordinates(x.double()).to(dtype), rtol=0, atol=1e-7)
    assert layer.to(dtype)(x.to(dtype)).dtype == dtype
