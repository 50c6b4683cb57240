"""What a study is told."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """What a study depends on.

    channels       of the three stages of the network without attention: its multiply-adds are
                   the budget
    blocks         of each stage
    stem           the stride of the first convolution
    window         of stand-alone attention
    train, held    pictures that are trained on, the first of the training set, and pictures
                   behind them, on which the learning rates are chosen
    test           pictures of the test set, from its first
    epochs         of a run; `tuning_epochs` of one that chooses a rate
    rates          those that are tried for every mechanism
    tuning_seed    of the runs that choose; none of `seeds`
    crop           pixels by which a picture is moved at random, beside being mirrored
    """

    name: str
    channels: tuple[int, int, int]
    blocks: int
    stem: int
    window: int
    train: int
    held: int
    test: int
    batch: int
    epochs: int
    tuning_epochs: int
    rates: tuple[float, ...]
    tuning_seed: int
    seeds: tuple[int, ...]
    crop: int

    def settings(self) -> dict[str, Any]:
        """All of it, as JSON would give it back."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self).items()}


SMALL = Options(
    name="small",
    channels=(16, 32, 64),
    blocks=1,
    stem=2,
    window=5,
    train=2000,
    held=1500,
    test=5000,
    batch=50,
    epochs=5,
    tuning_epochs=2,
    rates=(0.003, 0.01, 0.03),
    tuning_seed=100,
    seeds=(0, 1, 2),
    crop=0,
)
FULL = Options(
    name="full",
    channels=(16, 32, 64),
    blocks=3,
    stem=1,
    window=7,
    train=45000,
    held=5000,
    test=10000,
    batch=128,
    epochs=60,
    tuning_epochs=20,
    rates=(0.001, 0.003, 0.01),
    tuning_seed=100,
    seeds=(0, 1, 2),
    crop=4,
)
