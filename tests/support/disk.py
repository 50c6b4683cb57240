"""A disk that is full."""

import errno
import os

import pytest

from attncourse import files


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full while `disk.full`."""

    class Disk:
        full = False

    def fsync(number, real=os.fsync):
        if Disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    monkeypatch.setattr(files.os, "fsync", fsync)
    return Disk
