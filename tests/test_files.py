"""A file is written whole or not at all."""

import pytest

from attncourse.files import write_whole


def test_a_write_that_fails_leaves_the_old_file(tmp_path, disk):
    write_whole(tmp_path / "a", b"old")
    disk.full = True
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
