"""CIFAR-10 is read from a folder, and a file that is broken is named."""

import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from small_cifar import NAMES, batches, made_up

from attncourse.errors import UserError
from attncourse.tasks import cifar10 as reading
from attncourse.tasks import folders
from attncourse.tasks.cifar10 import cifar10
from attncourse.tasks.folders import CIFAR10


@pytest.fixture
def cifar(tmp_path):
    """A folder with cifar-10-batches-py in it."""
    place = tmp_path / "with spaces" / CIFAR10
    place.mkdir(parents=True)
    for name, content in batches().items():
        (place / name).write_bytes(pickle.dumps(content, protocol=3))
    return place.parent


def test_pictures_are_b_rgb_h_w_from_0_to_1_in_the_order_of_the_files(cifar):
    train, test = cifar10("train", cifar), cifar10("test", cifar)
    assert train.image.shape == (15, 3, 32, 32)
    assert test.image.shape == (3, 3, 32, 32)
    assert train.image.dtype == torch.float32
    for n in range(15):
        rows, labels = made_up(n // 3, 3)
        for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (2, 31, 30)):
            rgb, h, w = place
            byte = rows[n % 3][1024 * rgb + 32 * h + w]
            assert train.image[n, *place] == torch.tensor(int(byte)) / 255
        assert train.label[n] == labels[n % 3]
    assert train.label.dtype == torch.int64
    assert train.names == tuple(NAMES)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 14, 15, 16])
def test_the_first_so_many_are_the_beginning_of_all(cifar, count):
    every, first = cifar10("train", cifar), cifar10("train", cifar, count)
    assert len(first.image) == len(first.label) == min(count, 15)
    assert torch.equal(first.image, every.image[:count])
    assert torch.equal(first.label, every.label[:count])


def test_only_the_files_that_are_needed_are_read(cifar):
    (cifar / CIFAR10 / "data_batch_2").unlink()
    assert len(cifar10("train", cifar, 3).image) == 3
    with pytest.raises(UserError, match="no data_batch_2 in"):
        cifar10("train", cifar, 4)


def test_the_folder_may_be_named_by_the_environment_or_be_the_inner_one(cifar, monkeypatch):
    for name in (cifar, cifar / CIFAR10):
        monkeypatch.setenv("ATTNCOURSE_DATA", str(name))
        assert len(cifar10("test").image) == 3
        monkeypatch.delenv("ATTNCOURSE_DATA")
        assert len(cifar10("test", name).image) == 3
        assert len(cifar10("test", str(name)).image) == 3


def test_what_was_fetched_is_found_without_being_named(cifar, monkeypatch, tmp_path):
    monkeypatch.delenv("ATTNCOURSE_DATA", raising=False)
    monkeypatch.setattr(folders.places, "work", lambda: tmp_path / "course" / "work")
    with pytest.raises(UserError, match=r"or fetch it: attncourse data cifar10"):
        cifar10()
    home = tmp_path / "course" / "work" / "data"
    home.mkdir(parents=True)
    (cifar / CIFAR10).rename(home / CIFAR10)
    assert len(cifar10("test").image) == 3


def test_a_copy_is_told_from_the_official_files(cifar, monkeypatch):
    copy = cifar10("test", cifar)
    assert not copy.official
    assert copy.title == "CIFAR-10 (not the official files)"
    found = hashlib.md5((cifar / CIFAR10 / "test_batch").read_bytes()).hexdigest()
    monkeypatch.setitem(reading.OFFICIAL, "test_batch", found)
    assert cifar10("test", cifar).title == "CIFAR-10"


def test_pickles_of_python_2_are_read(cifar):
    """The official files are: text is bytes in them, and numpy.core is where numpy's parts
    were."""
    rows, labels = made_up(7, 4)
    (cifar / CIFAR10 / "test_batch").write_bytes(_as_python2(rows, labels))
    test = cifar10("test", cifar)
    assert test.label.tolist() == labels
    assert torch.equal(test.image.flatten(1), torch.tensor(rows) / 255)


def _as_python2(rows, labels):
    """{'data': rows, 'labels': labels} as Python 2 wrote it, by protocol 2."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    minus = b"J\xff\xff\xff\xff"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + 2 * minus + b"K\x00tb"
    content = b"T" + rows.size.to_bytes(4, "little") + rows.tobytes()
    shape = b"K" + bytes([len(rows)]) + b"M" + (3072).to_bytes(2, "little") + b"\x86"
    state = b"(K\x01" + shape + kind + b"\x89" + content + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + state + b"U\x06labels" + numbers + b"u."


class Harmful:
    def __reduce__(self):
        return print, ("never called",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Ran out of input"),
        (b"\x80\x02}q", "."),
        (b"not a pickle", "."),
        (pickle.dumps([1, 2]), "a list in it, no dictionary"),
        (pickle.dumps({"data": 3}), "no pictures and labels in it"),
        (pickle.dumps({"data": np.zeros((2, 3072)), "labels": [1, 2]}), "no rows of bytes"),
        (
            pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}),
            r"\(2, 3072\) bytes and \(1,\) labels do not fit",
        ),
        (
            pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}),
            "labels from 1 to 10",
        ),
        (pickle.dumps(Harmful()), r"builtins\.print has no place in it"),
        (pickle.dumps(os.system), r"\w+\.system has no place in it"),
    ],
)
def test_a_broken_batch_is_one_line_that_names_it(cifar, content, why, capsys):
    path = cifar / CIFAR10 / "test_batch"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"test_batch is broken: .*{why}") as caught:
        cifar10("test", cifar)
    assert "\n" not in str(caught.value)
    assert "never called" not in capsys.readouterr().out


def test_a_batch_cut_short_is_one_line(cifar):
    path = cifar / CIFAR10 / "test_batch"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="test_batch is broken"):
        cifar10("test", cifar)


def test_another_split_is_told():
    with pytest.raises(ValueError, match='neither "train" nor "test"'):
        cifar10("val")


def test_the_real_one_is_read_whole():
    if not os.environ.get("ATTNCOURSE_DATA"):
        pytest.skip("ATTNCOURSE_DATA is not set")
    if not (folders.where(CIFAR10) / "test_batch").is_file():
        pytest.skip("no cifar-10-batches-py in the folder of ATTNCOURSE_DATA")
    test = cifar10("test")
    assert test.image.shape == (10_000, 3, 32, 32)
    assert test.label.bincount().tolist() == 10 * [1_000]
    assert test.names[0] == "airplane"
    # the mean colour of CIFAR-10 is a warm grey: red, green, blue
    assert test.image.mean((0, 2, 3)).tolist() == pytest.approx([0.494, 0.485, 0.450], abs=0.01)
    train = cifar10("train", count=20_001)
    assert len(train.image) == len(train.label) == 20_001
    assert train.label.bincount().min() > 1_800
    if train.official:
        assert train.label[:3].tolist() == [6, 9, 9]  # a frog, two trucks
