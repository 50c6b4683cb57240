"""A checkpoint is whole, of the same run, and of one run at a time."""

import pytest
import torch
from small_run import trainer

from attncourse.errors import UserError
from attncourse.training.checkpoints import CHECKPOINT, alone_in


@pytest.mark.parametrize("left", [1.0, 0.9, 0.5, 0.1, 0.0])
def test_a_broken_checkpoint_is_said_to_be_one(tmp_path, left):
    path = tmp_path / CHECKPOINT
    trainer(tmp_path, epochs=1).run()
    data = path.read_bytes()
    path.write_bytes(before := data[: int(left * len(data)) - 1] if left else b"")
    with pytest.raises(UserError, match=r"checkpoint\.pt is not a checkpoint, or not all"):
        trainer(tmp_path).run()
    assert path.read_bytes() == before


def test_a_file_of_weights_alone_is_no_checkpoint(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="is not a checkpoint"):
        trainer(tmp_path).run()


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    trainer(tmp_path, epochs=1).run()
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(UserError, match=r"another run, with dropout 0\.5, not 0\.1\. Take"):
        trainer(tmp_path, dropout=0.1).run()
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        alone_in(tmp_path / "run"),
        pytest.raises(UserError, match=r"another run trains in .*run"),
        alone_in(tmp_path / "run"),
    ):
        pass
    with alone_in(tmp_path / "run"):
        pass
