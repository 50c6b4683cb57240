"""A training loop that can be killed: it goes on where it was, to the same last bit.

What is random in a step is decided by the seed and the number of the step, never by what ran
before. So a checkpoint needs no more than the weights, the optimizer and how far it is.
"""

import io
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout
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

CHECKPOINT = "checkpoint.pt"


class Stopped(UserError):
    """The user stopped the run; the checkpoint has all of it."""


class Task(Protocol):
    """What is trained: where batches come from, what they cost, and how good a model is."""

    def batches(self, epoch: int) -> Sequence[Any]:
        """The batches of an epoch, in order, decided by the epoch and the task alone."""

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, int]:
        """The sum of the losses of a batch's items, and how many items there are."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures of a model in eval mode, on data that it is not trained on."""


@dataclass(frozen=True)
class Plan:
    """How long to train, and how.

    epochs      at most so many
    patience    stop after so many epochs without a better `watch`
    watch       the figure of `validate` that decides: smaller is better for "loss", larger for
                any other
    rate        the learning rate of each step, counted from 1
    average     how much of the running mean of the weights stays from step to step, less at
                first. The mean is what is validated and kept
    clip        the longest gradient
    save_every  steps between checkpoints; there is one after every epoch too
    """

    epochs: int
    patience: int
    rate: Callable[[int], float]
    watch: str = "loss"
    seed: int = 0
    average: float = 0.997
    clip: float = 1.0
    save_every: int = 100
    bfloat16: bool = False


@dataclass
class Record:
    """How far a run is, and what it has seen."""

    step: int = 0  # of all epochs
    epoch: int = 0  # the epochs that are complete
    batch: int = 0  # the batches of the next one that are
    loss: float = 0.0  # sum over their items
    items: int = 0
    all_items: int = 0
    seconds: float = 0.0  # of training and validation, over all sittings
    cpu_seconds: float = 0.0  # of this process in them: fewer where the machine is shared
    history: list[dict[str, float]] = field(default_factory=list)  # one entry an epoch
    best: float = -inf
    best_epoch: int = 0

    def finished(self, plan: Plan) -> bool:
        """Whether nothing is left to train."""
        return self.epoch >= plan.epochs or self.epoch - self.best_epoch >= plan.patience


# ---------------------------------------------------------------- several processes


@dataclass(frozen=True)
class Workers:
    """The processes that train together: this one, or as many as torchrun has started."""

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009  never changed

    @property
    def leads(self) -> bool:
        """Whether this is the one that validates, prints and writes."""
        return self.rank == 0

    def sum(self, *numbers: float) -> list[float]:
        """Each number, summed over the processes."""
        if self.count == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        return sums.tolist()

    def share(self, batches: Sequence[Any]) -> Sequence[Any]:
        """This one's batches: as many as every other's, so at most a few are left out."""
        even = len(batches) // self.count * self.count
        return batches[self.rank : even : self.count]


def device_of(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises UserError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f'cannot compute on "{name}": {why}. Try --device cpu.') from None
    return device


@contextmanager
def workers(device: str = "auto") -> Iterator[Workers]:
    """Join the processes that torchrun has started, if it has: one GPU each, where there are
    GPUs."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers(device=device_of(device))
        return
    here = device_of(device)
    if here.type == "cuda":
        here = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        yield Workers(distributed.get_rank(), count, here)
    finally:
        distributed.destroy_process_group()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 itself: then it is faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(known.get("avx512_bf16") or known.get("amx_bf16"))


# ---------------------------------------------------------------- checkpoints


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all: what was there stays until the new one is on disk."""
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU. Raises UserError for a file that is not one."""
    data = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= {"settings", "record", "best"}:
            raise ValueError("something else")
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
        raise UserError(
            f"{path} is not a checkpoint, or not all of one. Move it away to begin anew."
        ) from None
    return state


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; it is made if need be. Raises UserError."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another run trains in {folder}. Wait for it, or choose another with --into."
        ) from None
    try:
        yield
    finally:
        lock.release()


# ---------------------------------------------------------------- the loop


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


def refuse_others(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raise UserError, naming what differs, if a checkpoint is of a run with other settings."""
    names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    if names:
        differ = ", ".join(f"{n} {theirs.get(n)}, not {ours.get(n)}" for n in names)
        raise UserError(
            f"{path} is of another run, with {differ}. Take the same options to go on with it, "
            "or another folder with --into."
        )


def _seed(*numbers: int) -> None:
    """Make what is random from here on a function of these numbers."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
