"""A training loop that can be killed: it goes on where it was, to the same last bit.

What is random in a step is decided by the seed and the number of the step, never by what ran
before. So a checkpoint needs no more than the weights, the optimizer and how far it is.
"""

import io
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from attncourse.errors import UserError
from attncourse.files import write_whole
from attncourse.training.checkpoints import CHECKPOINT, load, refuse_others
from attncourse.training.plan import Plan, Record, Stopped, Task
from attncourse.training.workers import Workers


class Trainer:
    """One run, from its beginning or from where its checkpoint left it.

    `settings` is all that the result depends on: a checkpoint of other settings is refused.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        folder: Path,
        settings: dict[str, Any],
        workers: Workers | None = None,
        console: Console | None = None,
    ):
        self.workers = workers or Workers()
        self.task, self.optimizer, self.plan = task, optimizer, plan
        self.path = folder / CHECKPOINT
        self.settings = settings | {"seed": plan.seed, "workers": self.workers.count}
        self.console = console or Console(highlight=False, quiet=not self.workers.leads)
        self.model = model.to(self.workers.device)
        self.averaged = AveragedModel(self.model, multi_avg_fn=running_mean(plan.average))
        self.record = Record()
        self.best: dict[str, Tensor] = {}
        self.saved = True
        self.asked = False  # to stop, of this process
        self.stop = False  # agreed by all of them

    def run(self) -> Record:
        """Train to the end; the best weights are in `best`. Raises Stopped, UserError."""
        if self.path.exists():
            self._restore()
        model: nn.Module = self.model
        if self.workers.count > 1:
            model = DistributedDataParallel(self.model)
        gpu = [self.workers.device] if self.workers.device.type == "cuda" else []
        with self._signals(), torch.random.fork_rng(gpu):
            while not self.record.finished(self.plan):
                self._epoch(model)
        if not self.saved:
            self._save(must=True)
        return self.record

    def _epoch(self, model: nn.Module) -> None:
        record = self.record
        batches = self.workers.share(self.task.batches(record.epoch))
        if not batches:
            raise UserError(
                f"fewer batches than processes ({self.workers.count}): start fewer."
            )
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        columns += (TextColumn("{task.fields[now]}"), TimeRemainingColumn())
        nowhere = not (self.console.is_terminal or self.console.is_jupyter)  # a log, say
        with Progress(*columns, console=self.console, transient=True, disable=nowhere) as bar:
            line = bar.add_task(
                f"epoch {record.epoch + 1}", total=len(batches), completed=record.batch, now=""
            )
            items, seconds = record.items, record.seconds
            for batch in batches[record.batch :]:
                with self._timed():
                    self._step(model, batch)
                speed = (record.items - items) / (record.seconds - seconds)
                said = f"loss {record.loss / record.items:.3f} · {speed:,.0f} tokens/s"
                bar.update(line, advance=1, now=said)
                if self.stop or record.step % self.plan.save_every == 0:
                    self._save(must=self.stop)
                    self._end_if_stopped()
            bar.update(line, now="validating")
            self._end_of_epoch()

    def _step(self, model: nn.Module, batch: Any) -> None:
        record, plan = self.record, self.plan
        _seed(plan.seed, record.step, self.workers.rank)
        model.train()
        with self._precision():
            loss, items = self.task.loss(model, batch)
        loss_sum, items, stops = self.workers.sum(loss.item(), items, self.asked)
        self.stop = bool(stops)
        # DistributedDataParallel takes the mean over the processes.
        (loss * (self.workers.count / items)).backward()
        length = nn.utils.clip_grad_norm_(self.model.parameters(), plan.clip)
        if not torch.isfinite(length):
            raise UserError(
                f"the gradient of step {record.step + 1} is not finite: try a lower learning "
                "rate or float32. The last checkpoint is as it was."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate(record.step + 1)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.averaged.update_parameters(self.model)
        record.step += 1
        record.batch += 1
        record.loss += loss_sum
        record.items += int(items)
        record.all_items += int(items)

    def _end_of_epoch(self) -> None:
        record = self.record
        with self._timed():
            figures = self._validate()
        record.epoch += 1
        entry = {"epoch": record.epoch, "train_loss": record.loss / record.items} | figures
        record.history.append(entry)
        record.batch, record.loss, record.items = 0, 0.0, 0
        watched = figures[self.plan.watch]
        score = -watched if self.plan.watch == "loss" else watched
        better = score > record.best
        if better:
            record.best, record.best_epoch = score, record.epoch
            weights = self.averaged.module.state_dict()
            self.best = {name: w.detach().cpu().clone() for name, w in weights.items()}
        said = " · ".join(f"{name} {value:.4g}" for name, value in entry.items())
        mark = " · best so far" if better else ""
        self.console.print(f"{said}{mark} · {record.seconds / 60:.1f} min")
        self._save(must=self.stop)
        self._end_if_stopped()

    def _validate(self) -> dict[str, float]:
        """The first process's figures, for all of them."""
        figures: list[dict[str, float] | None] = [None]
        if self.workers.leads:
            model = self.averaged.module.eval()
            with torch.no_grad(), self._precision():
                figures = [self.task.validate(model)]
        if self.workers.count > 1:
            distributed.broadcast_object_list(figures, device=self.workers.device)
        return figures[0]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        clock, cpu = time.perf_counter(), time.process_time()
        yield
        self.record.seconds += time.perf_counter() - clock
        self.record.cpu_seconds += time.process_time() - cpu

    def _precision(self):
        if not self.plan.bfloat16:
            return nullcontext()
        return torch.autocast(self.workers.device.type, torch.bfloat16)

    # ------------------------------------------------------------ stopping and going on

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after a step; a second one ends it at once."""

        def note(number, frame):
            self.asked = True
            signal.signal(number, before[number])

        numbers = (signal.SIGINT, signal.SIGTERM)
        try:
            before = {number: signal.signal(number, note) for number in numbers}
        except ValueError:  # not the main thread, which alone gets signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end_if_stopped(self) -> None:
        if self.stop:
            record = self.record
            raise Stopped(
                f"stopped after step {record.step}, {record.epoch} epochs complete. The same "
                "command goes on from there."
            )

    def _save(self, must: bool = False) -> None:
        """Write the checkpoint. If that fails, the one before stays, and training goes on.

        must  raise instead: there is no later chance
        """
        if not self.workers.leads:
            return
        buffer = io.BytesIO()
        torch.save(self._state(), buffer)
        try:
            write_whole(self.path, buffer.getbuffer())
            self.saved = True
        except OSError as error:
            known, self.saved = not self.saved, False
            if must:
                raise UserError(
                    f"cannot write {self.path}: {error.strerror}. The checkpoint before it is "
                    "unchanged: make room, and the same command goes on from there."
                ) from None
            if not known:
                self.console.print(
                    f"cannot write {self.path}: {error.strerror}. The one before it is "
                    "unchanged; training goes on, and tries again.",
                    soft_wrap=True,
                )

    def _state(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "record": asdict(self.record),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def _restore(self) -> None:
        state = load(self.path)
        refuse_others(self.path, state["settings"], self.settings)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.record, self.best = Record(**state["record"]), state["best"]
        if not self.record.finished(self.plan):
            self.console.print(
                f"going on from {self.path}: step {self.record.step}, "
                f"{self.record.epoch} epochs complete",
                soft_wrap=True,
            )


def running_mean(average: float) -> Callable:
    """A mean over about 1 / (1 - average) steps, and over a tenth of the steps while those are
    fewer: it forgets the beginning."""

    def update(means: list[Tensor], weights: list[Tensor], steps: Tensor) -> None:
        stays = min(average, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(stays)(means, weights, steps)

    return update


def _seed(*numbers: int) -> None:
    """Make what is random from here on a function of these numbers."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
