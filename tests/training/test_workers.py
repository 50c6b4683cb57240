"""Two processes do what one does, on a device that is there."""

import os
import subprocess
import sys

import pytest
import small_run
import torch
from endings import ending
from small_run import Sines, trainer

from attncourse.errors import UserError
from attncourse.training.workers import Workers, device_of


def test_a_device_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match='cannot compute on "tpu9": '):
        device_of("tpu9")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r'cannot compute on "cuda": .* Try --device cpu\.'):
            device_of("cuda")


@pytest.mark.skipif(os.name == "nt", reason="torchrun needs libuv, which Windows builds lack")
def test_two_processes_do_what_one_does_with_batches_twice_as_large(tmp_path):
    """Batches of 4 in each of two processes, by torchrun, or the same two as one batch of 8."""

    class Joined(Sines):
        def batches(self, epoch):
            small = Sines(joined=2).batches(epoch)
            return [torch.cat(pair) for pair in zip(small[::2], small[1::2], strict=True)]

    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = [sys.executable, *torchrun, small_run.__file__, str(two)]
    subprocess.run(script, env=small_run.ENVIRONMENT, check=True, capture_output=True)
    trainer(one, Joined(), dropout=0.0).run()
    one, two = ending(one), ending(two)
    assert two["settings"]["workers"] == 2
    assert two["record"]["all_items"] == one["record"]["all_items"] == 3 * 5 * 8
    torch.testing.assert_close(two["best"], one["best"])
    torch.testing.assert_close(two["record"]["history"], one["record"]["history"])


def test_each_process_gets_as_many_batches_as_every_other():
    shares = [Workers(rank, 3).share(list(range(11))) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
