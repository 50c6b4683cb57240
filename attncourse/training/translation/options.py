"""What a run depends on."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """What a run depends on; the command line explains each and has the defaults."""

    source: str
    target: str
    epochs: int
    patience: int
    watch: str
    seed: int
    dim: int
    heads: int
    hidden: int
    layers: int
    norm: str
    dropout: float
    smoothing: float
    vocabulary: int
    tokens: int
    warmup: int
    longest: int
    precision: str
    beam: int
    alpha: float
    save_every: int

    FREE = ("epochs", "patience", "save_every", "beam", "alpha")  # no annotation: not a field

    def settings(self) -> dict[str, Any]:
        """Those that a checkpoint depends on."""
        return {name: value for name, value in asdict(self).items() if name not in self.FREE}
