"""A run that is killed, stopped or out of disk goes on to the same last bit."""

import signal
import subprocess
import sys

import pytest
import small_run
import torch
from endings import ending, same
from small_run import BATCHES, EPOCHS, KILL, Sines, trainer

from attncourse.errors import UserError
from attncourse.training.checkpoints import CHECKPOINT, load
from attncourse.training.plan import Stopped


class PowerCut(BaseException):
    """Nothing that the code under test would catch."""


def cut(moment):
    """Something to do during a run: it ends in that step, or in that validation ("1st")."""
    seen = []

    def during(step):
        seen.append(step)
        if step == moment or (moment == "in validation" and step is None):
            raise PowerCut

    return during


# ---------------------------------------------------------------- going on


def test_a_killed_run_goes_on_to_the_same_end(tmp_path, unbroken):
    """A real process and a real SIGKILL, in the middle of the second epoch."""
    script = [sys.executable, small_run.__file__, str(tmp_path), "9"]
    killed = subprocess.run(script, env=small_run.ENVIRONMENT)
    assert abs(killed.returncode) == KILL
    assert load(tmp_path / CHECKPOINT)["record"]["step"] == 8
    trainer(tmp_path).run()
    assert same(ending(tmp_path), unbroken)


@pytest.mark.parametrize("moment", [1, 2, 3, BATCHES, BATCHES + 1, 14, "in validation"])
def test_a_run_goes_on_from_wherever_it_ended(tmp_path, unbroken, moment):
    with pytest.raises(PowerCut):
        trainer(tmp_path, Sines(cut(moment))).run()
    trainer(tmp_path).run()
    assert same(ending(tmp_path), unbroken)


def test_going_on_does_not_train_twice(tmp_path):
    with pytest.raises(PowerCut):
        trainer(tmp_path, Sines(cut(10))).run()
    rest = Sines()
    trainer(tmp_path, rest).run()
    assert rest.steps == EPOCHS * BATCHES - 8  # the checkpoint is of step 8
    again = Sines()
    trainer(tmp_path, again).run()
    assert again.steps == again.validations == 0


def test_a_longer_run_goes_on_from_a_shorter_one(tmp_path, unbroken):
    trainer(tmp_path, epochs=1).run()
    trainer(tmp_path).run()
    assert same(ending(tmp_path), unbroken)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_loses_no_step(tmp_path, unbroken, number):
    def during(step):
        if step == 6:
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="after step 6, 1 epochs complete"):
        trainer(tmp_path, Sines(during)).run()
    assert signal.getsignal(number) is before
    assert load(tmp_path / CHECKPOINT)["record"]["step"] == 6
    trainer(tmp_path).run()
    assert same(ending(tmp_path), unbroken)


def test_the_seed_decides(tmp_path, unbroken):
    trainer(tmp_path, seed=1).run()
    assert not same(ending(tmp_path)["model"], unbroken["model"])


def test_every_step_drops_other_units(tmp_path):
    seen = []

    class Watched(Sines):
        def batches(self, epoch):
            return [torch.ones(8, 1)] * 3

        def loss(self, model, x):
            seen.append(model[2](torch.ones(99)).tolist())
            return super().loss(model, x)

    trainer(tmp_path, Watched(), epochs=1).run()
    assert len({tuple(row) for row in seen}) == 3


def test_a_run_leaves_the_random_numbers_of_others_alone(tmp_path):
    made = trainer(tmp_path)
    before = torch.get_rng_state()
    made.run()
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------- what is kept, and when


@pytest.mark.parametrize(
    ("watch", "figures", "best"),
    [("loss", [3, 1, 2, 1, 0], 2), ("bleu", [1, 3, 2, 3, 9], 2), ("loss", [5, 4, 3, 2, 1], 5)],
)
def test_it_stops_after_two_epochs_without_a_better_one(tmp_path, watch, figures, best):
    plan = {"epochs": 5, "patience": 2, "watch": watch}
    run = trainer(tmp_path, Sines(val=figures), **plan)
    record = run.run()
    assert record.best_epoch == best
    assert record.epoch == min(best + 2, 5)
    other = trainer(tmp_path / "other", Sines(val=figures), **plan | {"epochs": best})
    (tmp_path / "other").mkdir()
    other.run()
    assert same(run.best, other.averaged.module.state_dict())


def test_what_is_validated_is_the_running_mean_of_the_weights(tmp_path):
    steps = []

    class Watched(Sines):
        def loss(self, model, x):
            steps.append(model[0].weight.detach().clone())  # before step 1, 2, …
            return super().loss(model, x)

        def validate(self, model):
            self.mean = model[0].weight.clone()
            return super().validate(model)

    run = trainer(tmp_path, task := Watched(), epochs=1, average=0.3)
    run.run()
    weights = [*steps, run.model[0].weight.detach()][1:]
    mean = weights[0]
    for step, weight in enumerate(weights[1:], start=1):
        stays = min(0.3, (1 + step) / (10 + step))  # 2/11, 3/12, 4/13, then 0.3
        mean = stays * mean + (1 - stays) * weight
    torch.testing.assert_close(task.mean, mean)


def test_bfloat16_is_used_where_it_is_asked_for(tmp_path):
    seen = set()

    class Watched(Sines):
        def loss(self, model, x):
            seen.add(model(x).dtype)
            return super().loss(model, x)

    run = trainer(tmp_path, Watched(), epochs=1, bfloat16=True)
    run.run()
    assert seen == {torch.bfloat16}
    assert {w.dtype for w in run.model.parameters()} == {torch.float32}


def test_a_gradient_that_is_not_finite_ends_the_run_and_spoils_nothing(tmp_path):
    class Broken(Sines):
        def loss(self, model, x):
            loss, items = super().loss(model, x)
            return (loss * torch.inf if self.steps == 4 else loss), items

    with pytest.raises(UserError, match=r"gradient of step 4 is not finite.*lower"):
        trainer(tmp_path, Broken()).run()
    state = ending(tmp_path)
    assert state["record"]["step"] == 2
    assert all(w.isfinite().all() for w in state["model"].values())


def test_a_disk_that_is_full_for_a_while_changes_nothing(tmp_path, unbroken, disk, capsys):
    kept = []

    def during(step):
        disk.full = step in range(6, 11)
        if step == 10:
            kept.append(load(tmp_path / CHECKPOINT)["record"]["step"])

    trainer(tmp_path, Sines(during)).run()
    assert kept == [5]  # the end of the first epoch
    said = capsys.readouterr().out
    assert said.count("No space left on device. The one before it is unchanged") == 1
    assert same(ending(tmp_path), unbroken)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_disk_that_is_full_at_the_end_loses_nothing(tmp_path, unbroken, disk):
    def during(step):
        disk.full = step is None or step > 12

    with pytest.raises(UserError, match=r"No space left.*before it is unchanged: make room"):
        trainer(tmp_path, Sines(during)).run()
    assert load(tmp_path / CHECKPOINT)["record"]["step"] == 12
    disk.full = False
    trainer(tmp_path).run()
    assert same(ending(tmp_path), unbroken)
