"""A search for the operation of each stage: convolution, augmented or stand-alone attention.

A network is three operations and a share of the budget, to which its width is solved. Two
things are wanted: accuracy on pictures held out, and few multiply-adds. Optuna's sampler (TPE,
tree-structured Parzen estimators) proposes what to train next from what was found; beside it
the same number of networks is drawn at random. Each network is a cell of the study, trained for
its tuning epochs: what is there is not trained again, and trials lie in an SQLite file, so that
a search goes on where it was.

Afterwards some placements are trained as the study trains, with its seeds, and judged on the
test set: those of the paper's Table 3, turned round, and the best that the searches found.

Source  Akiba et al., "Optuna", KDD 2019, arXiv:1907.10902; Bergstra et al., "Algorithms for
        Hyper-Parameter Optimization", NeurIPS 2011; Ramachandran et al., NeurIPS 2019,
        arXiv:1906.05909, table 3
"""

import json
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from attncourse.errors import UserError
from attncourse.files import write_whole
from attncourse.places import extra
from attncourse.tasks.cifar10 import cifar10
from attncourse.training.checkpoints import alone_in
from attncourse.training.study.cells import Cell, Data, run, split
from attncourse.training.study.options import Options
from attncourse.training.study.report import RESULT
from attncourse.training.study.running import device_here
from attncourse.training.study.variants import Variant, multiply_adds, within
from attncourse.training.workers import Workers, hardware

OPERATIONS = (  # of each stage: on the maps of the first, all pairs of pixels are too dear
    ("convolution", "stand_alone"),
    ("convolution", "augmented", "stand_alone"),
    ("convolution", "augmented", "stand_alone"),
)
SHARES = 0.4, 0.6, 0.8, 1.0  # of the budget
RATE, SEED = 0.01, 200  # what most mechanisms took in the study; none of its seeds
SAMPLERS = "tpe", "random"
PATTERNS = {  # of the paper's table 3, and what the study calls them; two are turned round
    "stand_alone+convolution+convolution": "",
    "stand_alone+stand_alone+convolution": "",
    "convolution+convolution+convolution": "none",
    "convolution+convolution+stand_alone": "sasa3",
    "convolution+stand_alone+stand_alone": "sasa23",
    "stand_alone+stand_alone+stand_alone": "sasa",
}


def library():
    """Optuna. Raises UserError where it is missing."""
    try:
        import optuna
    except ImportError:
        raise UserError(f"the search needs Optuna: {extra('study')}.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def search(
    options: Options,
    data: Path | None,
    into: Path,
    trials: int,
    device: str = "auto",
    console: Console | None = None,
) -> Path:
    """Both searches, as many trials each, then the placements on the test set; the report.

    Raises UserError for data or a library that are not there.
    """
    optuna, console = library(), console or Console(highlight=False)
    here, folder = device_here(device), into / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(into / "search"):
        pictures = cifar10("train", data, options.train + options.held)
        test = cifar10("test", data, options.test)
        parts = split(pictures, test, options, here)
        found = {
            name: _trials(optuna, name, trials, options, parts, into, console)
            for name in SAMPLERS
        }
        best = max(found["tpe"] + found["random"], key=lambda one: one["accuracy"])
        patterns = list(dict.fromkeys([*PATTERNS, best["operations"]]))
        shown = [_on_test(name, options, parts, folder, console) for name in patterns]
        report = {
            "settings": options.settings()
            | {"rate": RATE, "search_seed": SEED, "shares": SHARES, "operations": OPERATIONS},
            "seeds": list(options.seeds),
            "budget": multiply_adds(Variant("none", options.channels), options),
            "trials": found,
            "best": best,
            "patterns": shown,
            "minutes": minutes(found, shown, options, folder),
            "versions": {"torch": version("torch"), "optuna": optuna.__version__},
            "hardware": hardware(Workers(device=here)),
        }
        path = into / RESULT.format(f"search_{options.name}")
        write_whole(path, json.dumps(report, indent=1).encode() + b"\n")
    return path


def placed(operations: str, share: float, options: Options) -> Variant:
    """Three operations at the width that spends this share of the budget."""
    return within(operations, options, share)


def minutes(
    found: dict[str, Any], shown: Sequence[dict[str, Any]], options: Options, folder: Path
) -> float:
    """How long all networks of the search trained, each counted once."""

    def variant(one: dict[str, Any]) -> Variant:
        return Variant(one["operations"], tuple(one["channels"]))

    tried = (variant(one) for trials in found.values() for one in trials)
    cells = {Cell(one, RATE, SEED, tuning=True) for one in tried}
    for one in shown:
        last = placed(PATTERNS.get(one["operations"]) or one["operations"], 1.0, options)
        cells |= {Cell(last, RATE, seed) for seed in options.seeds}
    texts = [(folder / cell.name).read_text(encoding="utf-8") for cell in cells]
    return round(sum(json.loads(text)["train_seconds"] for text in texts) / 60, 1)


def _trials(
    optuna, name: str, count: int, options: Options, data: Data, into: Path, console: Console
) -> list[dict[str, Any]]:
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=f"sqlite:///{into / 'search.sqlite'}",
            study_name=name,
            directions=["maximize", "minimize"],
            sampler=samplers[name](seed=SEED),
            load_if_exists=True,
        )

    def objective(trial) -> tuple[float, float]:
        operations = "+".join(
            trial.suggest_categorical(f"stage {stage}", operations)
            for stage, operations in enumerate(OPERATIONS, start=1)
        )
        variant = placed(operations, trial.suggest_categorical("share", SHARES), options)
        cell = Cell(variant, RATE, SEED, tuning=True)
        accuracy = run(cell, options, data, into / "cells", lambda: None)["accuracy"]
        trial.set_user_attr("variant", [variant.mechanism, list(variant.channels)])
        console.print(f"{name} {trial.number + 1} of {count}: {variant.name} {accuracy:.3f}")
        return accuracy, float(multiply_adds(variant, options))

    done = [one for one in study.trials if one.state.name == "COMPLETE"]
    study.optimize(objective, n_trials=max(0, count - len(done)))
    return [_trial(one) for one in study.trials if one.state.name == "COMPLETE"][:count]


def _trial(one) -> dict[str, Any]:
    operations, channels = one.user_attrs["variant"]
    return {
        "operations": operations,
        "share": one.params["share"],
        "channels": channels,
        "accuracy": one.values[0],
        "multiply_adds": int(one.values[1]),
    }


def _on_test(
    operations: str, options: Options, data: Data, folder: Path, console: Console
) -> dict[str, Any]:
    variant = placed(PATTERNS.get(operations) or operations, 1.0, options)
    accuracy: Sequence[float] = [
        run(Cell(variant, RATE, seed), options, data, folder, lambda: None)["accuracy"]
        for seed in options.seeds
    ]
    console.print(f"{variant.name} {' '.join(f'{a:.3f}' for a in accuracy)}")
    return {
        "operations": operations,
        "channels": list(variant.channels),
        "multiply_adds": multiply_adds(variant, options),
        "accuracy": accuracy,
    }
