"""What comes through the pipe is a value or is refused; nothing is ever unpickled."""

import json
import os
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attncourse.classroom.inside.frames import (
    Crashed,
    Garbled,
    Reader,
    Unsendable,
    frame,
    packed,
    unpacked,
)


def there_and_back(value):
    body = bytearray()
    return unpacked(json.loads(json.dumps(packed(value, body))), bytes(body))


def received(data, seconds=5.0, **limits):
    """What a reader makes of these bytes."""
    out, into = os.pipe()
    os.write(into, data)
    os.close(into)
    try:
        return Reader(out, **limits).read(seconds)
    finally:
        os.close(out)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 5)])
def test_tensors_come_back_as_they_were(dtype, shape):
    x = (10 * torch.randn(shape)).to(dtype)
    y = there_and_back({"x": (x, [x.mT if x.ndim > 1 else x])})
    assert y["x"][0].dtype == dtype
    torch.testing.assert_close(y["x"][0], x)
    assert y["x"][1][0].shape == (x.mT if x.ndim > 1 else x).shape


@pytest.mark.parametrize("x", [None, True, 3, -(2**70), 0.1, float("inf"), "σ", (1, (2, [3]))])
def test_numbers_and_words_come_back_as_they_were(x):
    y = there_and_back(x)
    assert y == x
    assert type(y) is type(x)


def test_what_is_neither_is_not_sent():
    for value in (
        object(),
        lambda: 1,
        1j,
        torch.randn(2).to_sparse(),
        torch.zeros(2).to("meta"),
    ):
        with pytest.raises(Unsendable):
            packed(value, bytearray())


@pytest.mark.parametrize(
    "data",
    [
        {"tensor": ["float64", [2, 3], 0, 48]},  # beyond what there is
        {"tensor": ["float64", [2], 0, 8]},  # a length that is not its own
        {"tensor": ["float64", [-1], 0, 8]},
        {"tensor": ["object", [1], 0, 8]},
        {"tensor": ["float64", [1 << 62, 1 << 62, 0], 0, 0]},
        {"tensor": ["bool", [8], 0, 8]},  # neither true nor false
        {"tensor": 3},
        {"tuple": {}},
        {"float": "x"},
        {"pickle": "gANj"},
        {"tuple": [{"tuple": [{"tuple": [{"tuple": [{"tuple": [{"tuple": [{"tuple": [
            {"tuple": [{"tuple": [{"tuple": []}]}]}]}]}]}]}]}]}]},
        [],
        None,
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(data):
    with pytest.raises((Garbled, ValueError)):
        unpacked(data, b"\2" * 8)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_nothing_but_these_errors_comes_of_any_json(data):
    try:
        unpacked(data, b"12345678")
    except (Garbled, ValueError):
        pass


def test_tensors_do_not_overlap():
    one = {"tensor": ["uint8", [5], 0, 5]}
    assert unpacked({"list": [one]}, b"12345")[0].tolist() == list(b"12345")
    for many in ({"list": [one, one]}, {"tuple": [one, {"dict": [["x", one]]}]}):
        with pytest.raises(Garbled):
            unpacked(many, b"12345")


@pytest.mark.parametrize("drop", [b"x", frame({"is": "x"})[:1]])
def test_who_sends_a_little_now_and_then_is_watched_and_has_an_end(drop):
    out, into = os.pipe()
    reader, looks = Reader(out, header=2**31), []
    os.write(into, struct.pack("<I", 2**30))

    def watch():
        looks.append(os.write(into, drop))  # something has come before every look

    with pytest.raises(TimeoutError):
        reader.read(0.5, watch)
    assert len(looks) > 1
    os.close(into)
    os.close(out)


def test_a_frame_is_read_whole():
    assert received(frame({"is": "x"}, b"123") + b"rest") == ({"is": "x", "bytes": 3}, b"123")


def test_a_pipe_that_ends_within_a_frame_has_none():
    assert received(frame({"is": "x"}, b"123")[:-1]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        struct.pack("<I", 4) + b"nope",
        struct.pack("<I", 2) + b"{}",
        struct.pack("<I", 50_000) + b"[" * 50_000,
        struct.pack("<I", 16) + b'{"bytes": -1}   ',
        struct.pack("<I", 20) + b'{"bytes": 123456789}',
        b"x" * 3000,
    ],
)
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(Garbled):
        received(data, header=60_000 if len(data) > 4000 else 1000, body=1000)


def test_an_error_is_cut():
    crash = there_and_back(Crashed("ValueError", "x" * 5000))
    assert (crash.kind, len(crash.text)) == ("ValueError", 2000)
