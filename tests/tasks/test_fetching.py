"""CIFAR-10 is fetched whole, checked and unpacked, or nothing of it is kept."""

import errno
import gc
import hashlib
import io
import pickle
import socket
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest
from commands import call, fails
from filelock import FileLock
from small_cifar import batches

from attncourse.errors import UserError
from attncourse.tasks import fetching
from attncourse.tasks.cifar10 import OFFICIAL, cifar10
from attncourse.tasks.fetching import download_cifar10
from attncourse.tasks.folders import CIFAR10

# pooch leaves the connections of failed tries to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected():
    yield
    gc.collect()


class Server(BaseHTTPRequestHandler):
    """Serves one file; the class's settings say how badly."""

    content, cut, status, asked = b"", (), 200, 0

    def do_GET(self):
        kind = type(self)
        kind.asked += 1
        if kind.status != 200:
            self.send_error(kind.status)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(kind.content)))
        self.end_headers()
        stop = kind.cut[kind.asked - 1] if kind.asked <= len(kind.cut) else None
        self.wfile.write(kind.content[:stop])

    def log_message(self, *_):
        pass


def archive(**more):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        files = {f"{CIFAR10}/{n}": pickle.dumps(c, 3) for n, c in batches().items()}
        for name, content in (files | more).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def hurried(monkeypatch):
    """Nobody waits before a second try."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.fixture
def server(monkeypatch, hurried):
    """An address on this machine that serves an archive, with the right checksum."""
    Server.content, Server.cut, Server.status, Server.asked = archive(), (), 200, 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/cifar-10-python.tar.gz"
        monkeypatch.setattr(fetching, "URL", url)
        monkeypatch.setattr(fetching, "MD5", hashlib.md5(Server.content).hexdigest())
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield Server
        running.shutdown()
        thread.join()


def left(folder):
    """What lies in a folder, but for the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".cifar10.lock")


def test_it_is_fetched_checked_and_unpacked(server, tmp_path):
    place = download_cifar10(tmp_path / "new" / "folder")
    assert place == tmp_path / "new" / "folder" / CIFAR10
    assert left(place.parent) == [CIFAR10]
    assert len(cifar10("train", place.parent).image) == 15
    assert place.stat().st_mode & 0o777 == 0o755


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    download_cifar10(tmp_path)
    download_cifar10(tmp_path)
    assert server.asked == 1


def test_what_is_there_and_not_whole_is_left_alone(server, tmp_path):
    mine = tmp_path / CIFAR10 / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"lacks data_batch_1, .* move it away first"):
        download_cifar10(tmp_path)
    assert mine.read_text() == "mine"
    assert server.asked == 0


def test_a_connection_that_breaks_is_tried_again(server, tmp_path):
    server.cut = (5000, 0)
    download_cifar10(tmp_path)
    assert server.asked == 3
    assert left(tmp_path) == [CIFAR10]


def test_one_that_keeps_breaking_is_one_line_and_the_next_run_begins_anew(server, tmp_path):
    server.cut = 3 * (5000,)
    with pytest.raises(UserError, match=r"\(5000 bytes read, .*Run it again") as caught:
        download_cifar10(tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []
    download_cifar10(tmp_path)
    assert left(tmp_path) == [CIFAR10]


def test_what_a_killed_run_left_is_cleared_away(server, tmp_path):
    (tmp_path / ".cifar10" / CIFAR10).mkdir(parents=True)
    (tmp_path / ".cifar10" / CIFAR10 / "test_batch").write_bytes(b"half")
    (tmp_path / ".cifar10" / "tmp1234").write_bytes(b"half")
    download_cifar10(tmp_path)
    assert left(tmp_path) == [CIFAR10]
    assert len(cifar10("test", tmp_path).image) == 3


@pytest.mark.parametrize("sent", [b"", b"another file", b"all of it, and more"])
def test_a_wrong_checksum_keeps_nothing(server, tmp_path, sent):
    server.content = server.content + sent if sent.startswith(b"all") else sent
    says = r"MD5 hash .* does not match .* expected md5:[0-9a-f]{32} but got"
    with pytest.raises(UserError, match=says) as caught:
        download_cifar10(tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize(("status", "says"), [(404, "Is the address right"), (503, "later")])
def test_a_refusal_is_one_line(server, tmp_path, status, says):
    server.status = status
    with pytest.raises(UserError, match=rf"tar.gz: {status} .*{says}"):
        download_cifar10(tmp_path)
    assert left(tmp_path) == []


def test_offline_is_one_line(tmp_path, hurried):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    says = (
        r"cannot fetch CIFAR-10 from http://127.0.0.1:\d+/x: Connection refused.* works without"
    )
    with pytest.raises(UserError, match=says):
        download_cifar10(tmp_path, f"http://127.0.0.1:{port}/x")
    assert left(tmp_path) == []


@pytest.mark.parametrize("url", ["nowhere", "ftp-but-wrong:/x", "http://"])
def test_an_address_that_is_none_is_one_line(tmp_path, url):
    with pytest.raises(UserError) as caught:
        download_cifar10(tmp_path, url)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_nothing_half_has_the_name(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.Untar, "__call__", full)
    with pytest.raises(UserError, match=r"No space left on device\. Free 360 MB"):
        download_cifar10(tmp_path)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another folder: --folder"):
        download_cifar10(tmp_path / "file" / "below")


def test_two_downloads_do_not_write_the_same_file(server, tmp_path):
    with FileLock(tmp_path / ".cifar10.lock"), pytest.raises(UserError, match="is running"):
        download_cifar10(tmp_path)


def test_no_path_of_the_archive_is_used(server, tmp_path, monkeypatch):
    outside = {"../outside": b"x", f"{CIFAR10}/../../outside": b"x", "/outside": b"x"}
    server.content = archive(**outside)
    monkeypatch.setattr(fetching, "MD5", hashlib.md5(server.content).hexdigest())
    place = download_cifar10(tmp_path / "a" / "b")
    assert sorted(path.name for path in place.iterdir()) == sorted(OFFICIAL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_the_command_fetches_it_and_says_where(server, tmp_path):
    result = call("data", "cifar10", "--folder", str(tmp_path))
    assert result.exit_code == 0
    assert f"CIFAR-10 is in {tmp_path / CIFAR10}" in result.output
    assert len(cifar10("test", tmp_path).image) == 3


def test_the_command_fails_in_one_line(server, tmp_path):
    server.status = 404
    said = fails("data", "cifar10", "--folder", str(tmp_path))
    assert said.startswith(f"attncourse: {fetching.URL}: 404 ")
