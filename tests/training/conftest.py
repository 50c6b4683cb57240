"""A run that nothing happened to, and a disk that is full."""

import errno
import os

import pytest
from endings import ending
from small_run import trainer

from attncourse.training import checkpoints


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The end of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("unbroken")
    trainer(folder).run()
    return ending(folder)


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full while `disk.full`."""

    class Disk:
        full = False

    def fsync(number, real=os.fsync):
        if Disk.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    monkeypatch.setattr(checkpoints.os, "fsync", fsync)
    return Disk
