"""What a run is told, what it trains, and how far it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from torch import Tensor, nn

from attncourse.errors import UserError


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
