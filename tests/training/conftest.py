"""A run that nothing happened to, and a disk that is full."""

import pytest
from endings import ending
from small_run import trainer


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The end of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("unbroken")
    trainer(folder).run()
    return ending(folder)
