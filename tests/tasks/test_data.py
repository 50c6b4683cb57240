"""The pictures that ship with scikit-learn, and CIFAR-10: read, and fetched."""

import errno
import gzip
import hashlib
import io
import os
import pickle
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from typer.testing import CliRunner

from attncourse import cli
from attncourse.errors import UserError
from attncourse.tasks import data
from attncourse.tasks.data import cifar10, digits, download_cifar10


def test_no_digit_is_both_for_training_and_for_testing():
    train, test = digits(), digits(test=True)
    assert train.image.shape == (1347, 1, 8, 8)
    assert test.image.shape == (450, 1, 8, 8)
    rows = [d.image.flatten(1).tolist() for d in (train, test)]
    assert len(train.label) + len(test.label) == 1797
    assert rows[0][-1] != rows[1][0]


def test_every_digit_is_there_about_equally_often():
    for one in (digits(), digits(test=True)):
        counts = one.label.bincount(minlength=10)
        assert len(counts) == 10
        assert counts.min() > 0.08 * len(one.label)


def test_paper_is_0_and_ink_is_1():
    image, _ = digits()
    assert image.dtype == torch.float32
    assert (image.min(), image.max()) == (0, 1)
    corners = image[:, 0, :: image.shape[2] - 1, :: image.shape[3] - 1]
    assert corners.mean() < 0.05


# ---------------------------------------------------------------- CIFAR-10


def made_up(seed, count):
    """Rows as in a batch: red, green and blue planes of 32 x 32 bytes."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 256, (count, 3072), dtype=np.uint8)
    return rows, random.integers(0, 10, count).tolist()


NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


def batches(count=3):
    """The files of the official layout, small."""
    stored = {}
    for seed, name in enumerate([*data.BATCHES["train"], *data.BATCHES["test"]]):
        rows, labels = made_up(seed, count)
        stored[name] = {"batch_label": name, "data": rows, "labels": labels}
    stored["batches.meta"] = {"label_names": NAMES, "num_vis": 3072}
    return stored


@pytest.fixture
def cifar(tmp_path):
    """A folder with cifar-10-batches-py in it."""
    place = tmp_path / "with spaces" / data.CIFAR10
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
    (cifar / data.CIFAR10 / "data_batch_2").unlink()
    assert len(cifar10("train", cifar, 3).image) == 3
    with pytest.raises(UserError, match="no data_batch_2 in"):
        cifar10("train", cifar, 4)


def test_the_folder_may_be_named_by_the_environment_or_be_the_inner_one(cifar, monkeypatch):
    for name in (cifar, cifar / data.CIFAR10):
        monkeypatch.setenv("ATTNCOURSE_DATA", str(name))
        assert len(cifar10("test").image) == 3
        monkeypatch.delenv("ATTNCOURSE_DATA")
        assert len(cifar10("test", name).image) == 3
        assert len(cifar10("test", str(name)).image) == 3


def test_what_was_fetched_is_found_without_being_named(cifar, monkeypatch, tmp_path):
    monkeypatch.delenv("ATTNCOURSE_DATA", raising=False)
    monkeypatch.setattr(data.places, "work", lambda: tmp_path / "course" / "work")
    with pytest.raises(UserError, match=r"or fetch it: attncourse data cifar10"):
        cifar10()
    home = tmp_path / "course" / "work" / "data"
    home.mkdir(parents=True)
    (cifar / data.CIFAR10).rename(home / data.CIFAR10)
    assert len(cifar10("test").image) == 3


def test_a_copy_is_told_from_the_official_files(cifar, monkeypatch):
    copy = cifar10("test", cifar)
    assert not copy.official
    assert copy.title == "CIFAR-10 (not the official files)"
    found = hashlib.md5((cifar / data.CIFAR10 / "test_batch").read_bytes()).hexdigest()
    monkeypatch.setitem(data.OFFICIAL, "test_batch", found)
    assert cifar10("test", cifar).title == "CIFAR-10"


def test_pickles_of_python_2_are_read(cifar):
    """The official files are: text is bytes in them, and numpy.core is where numpy's parts
    were."""
    rows, labels = made_up(7, 4)
    (cifar / data.CIFAR10 / "test_batch").write_bytes(_as_python2(rows, labels))
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
    path = cifar / data.CIFAR10 / "test_batch"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"test_batch is broken: .*{why}") as caught:
        cifar10("test", cifar)
    assert "\n" not in str(caught.value)
    assert "never called" not in capsys.readouterr().out


def test_a_batch_cut_short_is_one_line(cifar):
    path = cifar / data.CIFAR10 / "test_batch"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="test_batch is broken"):
        cifar10("test", cifar)


def test_another_split_is_told():
    with pytest.raises(ValueError, match='neither "train" nor "test"'):
        cifar10("val")


def test_the_real_one_is_read_whole():
    if not os.environ.get("ATTNCOURSE_DATA"):
        pytest.skip("ATTNCOURSE_DATA is not set")
    if not (data.where(data.CIFAR10) / "test_batch").is_file():
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


# ---------------------------------------------------------------- fetching it


class Server(BaseHTTPRequestHandler):
    """Serves one file; the class's settings say how badly."""

    content, ranges, cut, status, asked = b"", True, (), 200, []

    def do_GET(self):
        kind = type(self)
        kind.asked.append(self.headers.get("Range"))
        start, whole = 0, len(kind.content)
        if kind.status != 200:
            self.send_error(kind.status)
            return
        if kind.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= whole:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(whole - start))
        self.end_headers()
        stop = kind.cut[len(kind.asked) - 1] if len(kind.asked) <= len(kind.cut) else whole
        self.wfile.write(kind.content[start : max(stop, start)])

    def log_message(self, *_):
        pass


def archive(**more):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        files = {f"{data.CIFAR10}/{n}": pickle.dumps(c, 3) for n, c in batches().items()}
        for name, content in (files | more).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def server(monkeypatch):
    """An address on this machine that serves an archive, with the right checksum."""
    Server.content, Server.ranges, Server.cut, Server.status = archive(), True, (), 200
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/cifar-10-python.tar.gz"
        monkeypatch.setattr(data, "URL", url)
        monkeypatch.setattr(data, "MD5", hashlib.md5(Server.content).hexdigest())
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield Server
        running.shutdown()
        thread.join()


PART = "cifar-10-python.tar.gz.part"


def left(folder):
    """What lies in a folder, but for the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".cifar10.lock")


def test_it_is_fetched_checked_and_unpacked(server, tmp_path):
    place = download_cifar10(tmp_path / "new" / "folder")
    assert place == tmp_path / "new" / "folder" / data.CIFAR10
    assert left(place.parent) == [data.CIFAR10]
    assert len(cifar10("train", place.parent).image) == 15
    assert place.stat().st_mode & 0o777 == 0o755


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    download_cifar10(tmp_path)
    download_cifar10(tmp_path)
    assert len(server.asked) == 1


def test_what_is_there_and_not_whole_is_left_alone(server, tmp_path):
    mine = tmp_path / data.CIFAR10 / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"lacks data_batch_1, .* move it away first"):
        download_cifar10(tmp_path)
    assert mine.read_text() == "mine"
    assert server.asked == []


def test_a_connection_that_breaks_goes_on_where_it_was(server, tmp_path):
    server.cut = (5000, 5000, 30_000)
    download_cifar10(tmp_path)
    assert server.asked == [None, "bytes=5000-", "bytes=5000-", "bytes=30000-"]
    assert left(tmp_path) == [data.CIFAR10]


def test_one_that_keeps_breaking_is_one_line_and_the_next_run_goes_on(server, tmp_path):
    server.cut = 4 * (5000,)
    with pytest.raises(
        UserError, match=r"connection was lost\. 5,000 bytes are here"
    ) as caught:
        download_cifar10(tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == [PART]
    assert (tmp_path / PART).read_bytes() == server.content[:5000]
    download_cifar10(tmp_path)
    assert server.asked[4:] == ["bytes=5000-"]
    assert left(tmp_path) == [data.CIFAR10]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server, tmp_path):
    server.ranges = False
    (tmp_path / PART).write_bytes(b"x" * 100)
    download_cifar10(tmp_path)
    assert left(tmp_path) == [data.CIFAR10]


def test_a_part_that_is_whole_already_is_not_fetched(server, tmp_path):
    (tmp_path / PART).write_bytes(server.content)
    download_cifar10(tmp_path)
    assert left(tmp_path) == [data.CIFAR10]


@pytest.mark.parametrize("before", [b"", b"another beginning", None])
def test_a_wrong_checksum_keeps_nothing(server, tmp_path, before, monkeypatch):
    if before is None:  # what is sent is wrong, and longer than the right one
        before, server.content = b"", server.content + b"more"
    elif not before:
        monkeypatch.setattr(data, "MD5", "0" * 32)
    if before:
        (tmp_path / PART).write_bytes(before)
    with pytest.raises(
        UserError, match=r"sent something else: its md5 is [0-9a-f]{32} instead"
    ):
        download_cifar10(tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize(("status", "says"), [(404, "Is the address right"), (503, "later")])
def test_a_refusal_is_one_line(server, tmp_path, status, says):
    server.status = status
    with pytest.raises(UserError, match=rf"tar.gz: {status} .*{says}"):
        download_cifar10(tmp_path)
    assert left(tmp_path) == []


def test_offline_is_one_line(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    says = r"cannot fetch CIFAR-10 from 127.0.0.1: Connection refused.* works without it"
    with pytest.raises(UserError, match=says):
        download_cifar10(tmp_path, f"http://127.0.0.1:{port}/x")
    assert left(tmp_path) == []


@pytest.mark.parametrize("url", ["nowhere", "ftp-but-wrong:/x", "http://"])
def test_an_address_that_is_none_is_one_line(tmp_path, url):
    with pytest.raises(UserError) as caught:
        download_cifar10(tmp_path, url)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_nothing_half_has_the_name(server, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"No space left on device\. Free 360 MB"):
        download_cifar10(tmp_path)
    assert left(tmp_path) == [PART]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another folder: --folder"):
        download_cifar10(tmp_path / "file" / "below")


def test_two_downloads_do_not_write_the_same_file(server, tmp_path):
    with FileLock(tmp_path / ".cifar10.lock"), pytest.raises(UserError, match="is running"):
        download_cifar10(tmp_path)


def test_no_path_of_the_archive_is_used(server, tmp_path, monkeypatch):
    outside = {"../outside": b"x", f"{data.CIFAR10}/../../outside": b"x", "/outside": b"x"}
    server.content = archive(**outside)
    monkeypatch.setattr(data, "MD5", hashlib.md5(server.content).hexdigest())
    place = download_cifar10(tmp_path / "a" / "b")
    assert sorted(path.name for path in place.iterdir()) == sorted(data.OFFICIAL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_an_archive_of_something_else_is_one_line(server, tmp_path, monkeypatch):
    for content in (b"no archive", gzip.compress(b"no archive either")):
        server.content = content
        monkeypatch.setattr(data, "MD5", hashlib.md5(content).hexdigest())
        with pytest.raises(UserError, match="is no archive of CIFAR-10"):
            download_cifar10(tmp_path)
        assert data.CIFAR10 not in left(tmp_path)
        (tmp_path / PART).unlink(missing_ok=True)


def test_the_command_fetches_it_and_says_where(server, tmp_path):
    result = CliRunner().invoke(cli.app, ["data", "cifar10", "--folder", str(tmp_path)])
    assert result.exit_code == 0
    assert f"CIFAR-10 is in {tmp_path / data.CIFAR10}" in result.output
    assert len(cifar10("test", tmp_path).image) == 3


def test_the_command_fails_in_one_line(server, tmp_path):
    server.status = 404
    result = CliRunner().invoke(cli.app, ["data", "cifar10", "--folder", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"attncourse: {data.URL}: 404 ")
    assert result.stderr.count("\n") == 1
