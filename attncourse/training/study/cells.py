"""The runs of a study, each with a file of its own: what is there is not trained again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attncourse.errors import UserError
from attncourse.files import write_whole
from attncourse.tasks.cifar10 import Pictures
from attncourse.training.study.fitting import fit, right
from attncourse.training.study.options import Options
from attncourse.training.study.variants import Variant, build


@dataclass(frozen=True)
class Data:
    """Pictures, whitened by the mean and the deviation of those that are trained on."""

    train: tuple[Tensor, Tensor]
    held: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def split(train: Pictures, test: Pictures, options: Options, device: torch.device) -> Data:
    """The three sets of a study. Raises UserError where there are too few pictures."""
    asked = options.train + options.held, options.test
    for pictures, count in zip((train, test), asked, strict=True):
        if len(pictures.label) < count:
            raise UserError(f"{len(pictures.label)} pictures, and the study needs {count}.")
    seen = train.image[: options.train]
    mean, deviation = (f((0, 2, 3), keepdim=True) for f in (seen.mean, seen.std))

    def part(pictures: Pictures, begin: int, end: int) -> tuple[Tensor, Tensor]:
        image = (pictures.image[begin:end] - mean) / deviation
        return image.to(device), pictures.label[begin:end].to(device)

    return Data(
        part(train, 0, options.train),
        part(train, options.train, asked[0]),
        part(test, 0, asked[1]),
    )


@dataclass(frozen=True)
class Cell:
    """One network trained once.

    tuning  judged on pictures held out, after fewer epochs, to choose the rate
    """

    variant: Variant
    rate: float
    seed: int
    tuning: bool = False

    @property
    def name(self) -> str:
        """The name of its file."""
        kind = "tune" if self.tuning else "run"
        return f"{kind}_{self.variant.name}_{self.rate:g}_{self.seed}.json"

    def epochs(self, options: Options) -> int:
        """How long it trains."""
        return options.tuning_epochs if self.tuning else options.epochs


def run(
    cell: Cell, options: Options, data: Data, folder: Path, tick: Callable[[], None]
) -> dict[str, Any]:
    """Train a cell and write its file; read it where it is there."""
    if (path := folder / cell.name).is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    with torch.random.fork_rng():
        torch.manual_seed(cell.seed)
        network = build(cell.variant, options).to(data.train[0].device)
        how = dict(batch=options.batch, crop=options.crop, tick=tick)
        seconds = fit(network, *data.train, cell.epochs(options), cell.rate, cell.seed, **how)
    judged = right(network, *(data.held if cell.tuning else data.test)).cpu()
    found = {
        "accuracy": round(judged.double().mean().item(), 5),
        "train_seconds": round(seconds, 2),
        "right": np.packbits(judged.numpy()).tobytes().hex(),
    }
    write_whole(path, json.dumps(found).encode())
    return found


def is_right(found: dict[str, Any], count: int) -> np.ndarray:
    """Which of `count` pictures a cell had right."""
    bits = np.frombuffer(bytes.fromhex(found["right"]), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(bool)
