"""Maps that one can touch: what is packed, and what is refused."""

import base64
import gzip
import io

import numpy as np
import pytest
import torch
from PIL import Image

from attncourse.book import explorer
from attncourse.book.explorer import explore, keep, pack, thinned


def maps(heads=2, i=6, j=24):
    torch.manual_seed(0)
    return torch.randn(1, heads, i, j).softmax(-1)


def packed_of(series, queries=(2, 3), keys=(4, 6)):
    layers = {name: explorer._layers(each) for name, each in series.items()}
    return pack(np.full((8, 12, 3), 0.5), layers, queries, keys, 4, "words")


def rows_of(spec, packed):
    """What explorer.js reads: every row, whole weights again."""
    raw = gzip.decompress(packed)
    j = spec["keys"][0] * spec["keys"][1]
    n = len(raw) // (4 + j)
    most = np.frombuffer(raw[: 4 * n], "<f4")
    levels = np.frombuffer(raw[4 * n :], np.uint8).reshape(n, j)
    return most[:, None] * (levels / 255.0) ** 2


def test_weights_come_back_to_a_hundredth_of_the_largest_of_their_row():
    one, two = maps(), [maps(1), maps(3)]
    spec, packed = packed_of({"one": one, "two": two})
    rows = rows_of(spec, packed)
    wanted = torch.cat([m[0].flatten(0, 1) for m in (one, *two)]).numpy()
    assert rows.shape == wanted.shape == (6 * 6, 24)
    assert (abs(rows - wanted) <= 0.01 * wanted.max(1, keepdims=True)).all()
    places = [(layer["heads"], layer["at"]) for s in spec["series"] for layer in s["layers"]]
    assert places == [(2, 0), (1, 12), (3, 18)]


def test_the_same_maps_give_the_same_bytes():
    assert packed_of({"one": maps()}) == packed_of({"one": maps()})


def test_a_row_of_zeros_stays_one():
    none = torch.zeros(6, 24)
    spec, packed = packed_of({"none": none})
    assert (rows_of(spec, packed) == 0).all()


def test_the_picture_goes_along():
    spec, _ = packed_of({"one": maps()})
    picture = base64.b64decode(spec["image"].partition(",")[2])
    assert Image.open(io.BytesIO(picture)).size == (12, 8)


def test_thinned_maps_hold_a_quarter_of_the_queries_and_know_their_places():
    torch.manual_seed(0)
    one, two = (torch.randn(4 * 6, 24).softmax(-1) for _ in range(2))
    spec, packed = packed_of({"one": one, "two": two}, queries=(4, 6))
    fewer, light = thinned(spec, packed)
    whole = rows_of(spec, packed).reshape(2, 4, 6, 24)
    np.testing.assert_array_equal(
        rows_of(fewer, light).reshape(2, 2, 3, 24), whole[:, 1::2, 1::2]
    )
    assert fewer["own"] == [6 * r + c for r in (1, 3) for c in (1, 3, 5)]
    assert [layer["at"] for s in fewer["series"] for layer in s["layers"]] == [0, 6]


def test_maps_with_a_name_are_kept_where_they_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv(explorer.KEEP, str(tmp_path / "maps"))
    assert explore(torch.rand(8, 12), maps(i=24), name="mine") is None  # no notebook here
    assert {p.name for p in (tmp_path / "maps").iterdir()} == {"mine.json", "mine.maps"}
    keep(tmp_path, "other", {}, b"")
    assert (tmp_path / "other.maps").read_bytes() == b""


def test_a_function_of_the_image_and_every_form_of_maps_are_taken():
    image = torch.rand(3, 8, 12)
    for given in (maps(i=24), maps(i=24)[0], maps(i=24)[0, 0], [maps(i=24)], {"a": maps(i=24)}):
        assert explore(image, given) is None  # no notebook here: a figure
    asked = []
    explore(image, lambda seen: asked.append(seen) or {"of it": maps(i=24)})
    assert asked[0] is image


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(maps=torch.rand(24)), r"\(24,\)"),
        (dict(maps=-maps()), "-"),
        (dict(maps=maps(j=23)), "j=23"),
        (dict(maps=maps(), queries=(2, 4)), "2 x 4 places are not i=6"),
        (dict(maps=maps(), query=6), "query=6"),
        (dict(maps={}), "empty"),
        (dict(maps=[]), "empty"),
        (dict(maps=[maps(), maps(i=24)]), r"\(6, 24\) and \(24, 24\)"),
        (dict(maps=maps(), image=torch.rand(2, 3, 4, 5)), r"\(2, 3, 4, 5\)"),
    ],
)
def test_what_does_not_fit_is_told_with_its_numbers(given, says):
    given = {"image": torch.rand(8, 12)} | given
    with pytest.raises(ValueError, match=says):
        explore(given.pop("image"), given.pop("maps"), **given)
