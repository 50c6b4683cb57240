"""The text of a run: found, read, and refused in a line that names file and line."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from commands import fails
from counted import OPTIONS, counted

from attncourse.errors import UserError
from attncourse.training.translation.batches import padded
from attncourse.training.translation.running import TEST, folder, read
from attncourse.training.translation.words import Tokenizer


def test_plain_and_gzip_are_read_alike(text):
    plain = read(text, "train", OPTIONS)
    assert plain == counted(120, 0)
    path = text / "train.de"
    path.with_name("train.de.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert read(text, "train", OPTIONS) == plain


LATIN = "ein\nzwölf\n".encode("latin1")
LONG = b"ein\n" + 81 * b"x" + b"\n"
BAD = {
    "fewer lines": (
        "val.de",
        b"eins\nzwei\n",
        r"val\.en has 12 lines and val\.de 2: line 3 ",
    ),
    "empty": ("val.de", b"", r"val\.de is empty: it should have one sentence a line\."),
    "empty gzip": ("val.de.gz", gzip.compress(b""), r"val\.de\.gz is empty"),
    "not UTF-8": ("val.de", LATIN, r"val\.de, line 2: byte 3 is 0xf6, which is no UTF-8\."),
    "not UTF-8, gzip": ("train.en.gz", gzip.compress(LATIN), r"train\.en\.gz, line 2: byte 3"),
    "too long": (
        "train.de",
        LONG,
        r"train\.de, line 2: 81 characters, more than the limit",
    ),
    "blank": ("val.de", b"eins\n \nzwei\n", r"val\.de, line 2 is blank"),
    "broken": (
        "val.de.gz",
        gzip.compress(b"eins\n")[:-9],
        r"val\.de\.gz is a broken gzip",
    ),
    "missing": ("val.de", None, r"no val\.de or val\.de\.gz in "),
    "few words": ("train.de", b"a\n" * 120, r"no vocabulary of 900 words from this text: "),
}


@pytest.mark.parametrize(("name", "data", "message"), BAD.values(), ids=BAD)
def test_bad_text_is_one_line_that_names_file_and_line(text, name, data, message):
    plain = text / name.removesuffix(".gz")
    plain.unlink()
    if data is not None:
        (text / name).write_bytes(data)
    into = text.parent / "run"
    command = ("train", "translate", "--data", str(text), "--into", str(into))
    said = fails(*command, "--longest", "80", "--vocabulary", "900")
    with pytest.raises(UserError, match=message):
        raise UserError(said)
    assert not into.exists()


def test_no_folder_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("ATTNCOURSE_DATA", raising=False)
    assert "set ATTNCOURSE_DATA to a folder that has multi30k/train.en" in fails(
        "train", "translate"
    )
    monkeypatch.setenv("ATTNCOURSE_DATA", str(tmp_path / "away"))
    assert f"there is no folder {tmp_path / 'away'}" in fails("train", "translate")


def test_the_folder_may_hold_several_sets_of_data(tmp_path):
    assert folder(tmp_path) == tmp_path
    (tmp_path / "multi30k").mkdir()
    assert folder(tmp_path) == tmp_path / "multi30k"


def test_multi30k_is_read_whole():
    data = os.environ.get("ATTNCOURSE_DATA")
    if not data or not (Path(data) / "multi30k").is_dir():
        pytest.skip("ATTNCOURSE_DATA is not set to a folder with multi30k in it")
    options = replace(OPTIONS, longest=500)
    splits = [read(folder(Path(data)), split, options) for split in ("train", "val", TEST)]
    assert [len(pairs.source) for pairs in splits] == [29_000, 1_014, 1_000]
    words = Tokenizer.train([*splits[0].source, *splits[0].target], 4000)
    assert len(words) == 4000
    rows = padded(words.encode(splits[2].target))
    assert words.decode(rows) == splits[2].target
