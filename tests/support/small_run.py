"""A run of seconds: a small network, with dropout, and a script that trains it.

    python small_run.py FOLDER [STEP]

kills itself, as nothing else can be, in that step. Under torchrun it trains in several
processes.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from attncourse.training.loop import Trainer
from attncourse.training.plan import Plan
from attncourse.training.workers import Workers, workers

EPOCHS, BATCHES = 3, 5
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(Path(__file__).parents[2]),
    "OMP_NUM_THREADS": "1",
}
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows kills at once with either


class Sines:
    """y = sin(x), learned from batches of 8; `during` is called in every step with its number,
    and in every validation with None."""

    def __init__(self, during=lambda step: None, joined=1, val=None):
        self.during, self.joined, self.val = during, joined, val
        self.steps = self.validations = 0

    def batches(self, epoch):
        generator = torch.Generator().manual_seed(epoch)
        x = torch.rand(BATCHES * self.joined, 8 // self.joined, 1, generator=generator)
        return list(x)

    def loss(self, model, x):
        self.steps += 1
        self.during(self.steps)
        return (model(x) - x.sin()).square().sum(), len(x)

    def validate(self, model):
        self.during(None)
        self.validations += 1
        if self.val:
            return {
                "loss": self.val[self.validations - 1],
                "bleu": self.val[self.validations - 1],
            }
        x = torch.linspace(0, 1, 11).unsqueeze(-1)
        return {"loss": (model(x) - x.sin()).square().mean().item()}


def network(dropout=0.5):
    """The same for every seed of the run."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))


def trainer(folder, task=None, dropout=0.5, workers=None, settings=None, **plan):
    """A trainer of the network, on its way to `folder`."""
    model = network(dropout)
    chosen = {"epochs": EPOCHS, "patience": EPOCHS, "save_every": 2, "average": 0.9} | plan
    plan = Plan(rate=lambda step: 0.01 / step, **chosen)
    adam = torch.optim.Adam(model.parameters())
    settings = settings or {"dropout": dropout}
    return Trainer(model, task or Sines(), adam, plan, folder, settings, workers or Workers())


def main(folder, last=0):
    def during(step):
        if step == last:
            os.kill(os.getpid(), KILL)

    with workers("cpu") as here:
        dropout = 0.5 if here.count == 1 else 0.0
        trainer(folder, Sines(during, joined=here.count), dropout, here).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
