"""All cells of a study, in an order that is fair wherever it stops, and its report.

First each mechanism's learning rate is chosen: the same grid, epochs and seed for all, judged
on pictures held out. Then the networks at the budget are trained, one seed after another; then
the network without attention at all the rates, to see what the rate alone does; at last the
networks at the base's width, with the rate of their mechanism.
"""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from attncourse.tasks.cifar10 import cifar10
from attncourse.training.checkpoints import alone_in, refuse_others
from attncourse.training.study.cells import Cell, Data, run, split
from attncourse.training.study.options import Options
from attncourse.training.study.report import (
    SETTINGS,
    at_rate,
    read_settings,
    write,
    write_settings,
)
from attncourse.training.study.variants import Variant, variants, within
from attncourse.training.workers import device_of
from solutions.capstone import MECHANISMS


def tuned(mechanism: str, options: Options) -> list[Cell]:
    """The cells that choose a mechanism's rate, in the network of the budget."""
    variant = within(mechanism, options)
    return [Cell(variant, rate, options.tuning_seed, tuning=True) for rate in options.rates]


def chosen(found: Sequence[dict[str, Any]], options: Options) -> float:
    """The rate with the best accuracy on the pictures held out; the smaller of equals."""
    scores = [one["accuracy"] for one in found]
    return options.rates[scores.index(max(scores))]


def share_of_this_process() -> tuple[int, int]:
    """Which of the processes that torchrun has started this is, and how many there are."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def device_here(name: str) -> torch.device:
    """The device of that name; the process's own GPU where torchrun has started several."""
    device = device_of(name)
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device


def study(
    options: Options,
    data: Path | None,
    into: Path,
    device: str = "auto",
    mechanisms: Iterable[str] = tuple(MECHANISMS),
    console: Console | None = None,
    report: bool = False,
) -> Path | None:
    """Train what is not there yet; the report, or None in a process that is not the last.

    report  train nothing, and report what is there
    Raises UserError for data that are not there and for a folder of another study.
    """
    rank, count = share_of_this_process()
    mechanisms = tuple(mechanisms)
    console = console or Console(highlight=False, quiet=rank > 0)
    here, folder = device_here(device), into / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(into / f"process{rank}"):
        pictures = cifar10("train", data, options.train + options.held)
        test = cifar10("test", data, options.test)
        if rank == 0:
            _same_study(into, options)
        if not report:
            parts = split(pictures, test, options, here)
            _train(mechanisms[rank::count], options, parts, folder, console)
        official = pictures.official and test.official
        return write(into, options, mechanisms, here, official, whole=not report)


def _same_study(into: Path, options: Options) -> None:
    """Keep the settings; raise UserError if the folder has others. More seeds go on with what
    is there."""
    if (into / SETTINGS).is_file():
        ours, theirs = options.settings(), read_settings(into)
        del ours["seeds"], theirs["seeds"]
        refuse_others(into / SETTINGS, theirs, ours)
    write_settings(into, options)


def _train(
    mechanisms: Sequence[str], options: Options, data: Data, folder: Path, console: Console
) -> None:
    todo = variants(options, mechanisms)
    tuning = {mechanism: tuned(mechanism, options) for mechanism in mechanisms}
    controls = len(options.rates) * ("none" in mechanisms)
    epochs = options.epochs * (len(todo) + controls) * len(options.seeds)
    epochs += options.tuning_epochs * sum(map(len, tuning.values()))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    columns += (TimeRemainingColumn(elapsed_when_finished=True),)
    nowhere = not (console.is_terminal or console.is_jupyter)  # a log, say
    done, began, trained = 0, time.monotonic(), 0
    with Progress(*columns, console=console, disable=nowhere) as bar:
        line = bar.add_task("epochs", total=epochs)

        def tick() -> None:
            bar.update(line, advance=1)

        def cell_of(cell: Cell) -> dict[str, Any]:
            nonlocal done, trained
            there = (folder / cell.name).is_file()
            bar.update(line, description=cell.name.removesuffix(".json"))
            found = run(cell, options, data, folder, tick)
            done += cell.epochs(options)
            bar.update(line, completed=done)
            if not there:
                trained += cell.epochs(options)
                left = (time.monotonic() - began) / trained * (epochs - done) / 60
                said = f"{cell.name.removesuffix('.json')}  {found['accuracy']:.3f}"
                console.print(f"{said}  {done} of {epochs} epochs, {left:.0f} min left")
            return found

        rates = {m: chosen([cell_of(c) for c in cells], options) for m, cells in tuning.items()}
        at_budget, at_width = todo[: len(mechanisms)], todo[len(mechanisms) :]

        def every_seed(networks: Sequence[Variant]) -> None:
            for seed in options.seeds:
                for variant in networks:
                    cell_of(Cell(variant, rates[variant.mechanism], seed))

        every_seed(at_budget)
        for rate in options.rates if "none" in mechanisms else ():
            for cell in at_rate(rate, options):
                cell_of(cell)
        every_seed(at_width)
