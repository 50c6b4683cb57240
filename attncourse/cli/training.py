"""`attncourse train`: what takes longer than a notebook should."""

from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attncourse import places
from attncourse.cli.common import console

commands = typer.Typer(help="Train what takes longer than a notebook should.")


class Precision(StrEnum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Watch(StrEnum):
    bleu = "bleu"
    loss = "loss"


class Norm(StrEnum):
    pre = "pre"
    post = "post"


def _option(text: str, **limits):
    return typer.Option(help=text, **limits)


@commands.command()
def translate(
    data: Annotated[
        Path | None, _option("folder with multi30k/train.en, …", envvar="ATTNCOURSE_DATA")
    ] = None,
    into: Annotated[
        Path | None, _option("folder of this run; default: translate in the work folder")
    ] = None,
    device: Annotated[str, _option("auto, cpu, cuda, cuda:1, …")] = "auto",
    source: Annotated[str, _option("end of the file names to translate from")] = "en",
    target: Annotated[str, _option("end of the file names to translate to")] = "de",
    epochs: Annotated[int, _option("at most so many", min=1)] = 40,
    patience: Annotated[int, _option("stop after so many without a better one", min=1)] = 6,
    watch: Annotated[Watch, _option("the figure on the validation set that decides")] = "bleu",
    seed: Annotated[int, _option("decides all that is random", min=0)] = 0,
    dim: Annotated[int, _option("features of a token", min=1)] = 256,
    heads: Annotated[int, _option("of each attention; a divisor of dim", min=1)] = 4,
    hidden: Annotated[int, _option("width of the feed-forward network", min=1)] = 512,
    layers: Annotated[int, _option("of the encoder, and of the decoder", min=1)] = 3,
    norm: Annotated[Norm, _option("before each sublayer, or after it as in 2017")] = "pre",
    dropout: Annotated[float, _option("share set to 0 in training", min=0, max=0.9)] = 0.3,
    smoothing: Annotated[float, _option("of the labels", min=0, max=0.9)] = 0.1,
    vocabulary: Annotated[int, _option("words for both languages", min=8)] = 4000,
    tokens: Annotated[int, _option("in a batch, with the padding", min=1)] = 2048,
    warmup: Annotated[int, _option("steps until the rate falls", min=1)] = 1000,
    longest: Annotated[int, _option("characters a sentence may have", min=1)] = 500,
    precision: Annotated[Precision, _option("auto: what is fast on the device")] = "auto",
    beam: Annotated[int, _option("alive at a time when the test set is read", min=1)] = 5,
    alpha: Annotated[float, _option("length penalty of the beam", min=0)] = 0.6,
    save_every: Annotated[int, _option("steps between checkpoints", min=1)] = 100,
):
    """Train a translator; stopped or killed, the same command goes on where it was.

    On several GPUs: torchrun --nproc-per-node=2 -m attncourse train translate
    """
    given = {name: str(v) if isinstance(v, StrEnum) else v for name, v in locals().items()}
    from attncourse.training.translation.options import Options
    from attncourse.training.translation.running import train as run

    into = into or places.work() / "translate"
    names = (field.name for field in fields(Options))
    options = Options(**{name: given[name] for name in names})
    result = run(options, data, into, device)
    if result:
        console.print(
            f"BLEU {result['bleu']:.1f} on {result['test']}, {result['signature']}, "
            f"after {result['minutes']} min; all of it: {into / 'result.json'}",
            soft_wrap=True,
        )


@commands.command("study")
def study_mechanisms(
    data: Annotated[
        Path | None, _option("folder with cifar-10-batches-py", envvar="ATTNCOURSE_DATA")
    ] = None,
    into: Annotated[
        Path | None, _option("folder of this study; default: study in the work folder")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="for two cores: a small network, few pictures")
    ] = False,
    device: Annotated[str, _option("auto, cpu, cuda, cuda:1, …")] = "auto",
    seeds: Annotated[int, _option("so many of each network", min=2)] = 3,
    report: Annotated[
        bool, typer.Option("--report", help="train nothing: report what is there so far")
    ] = False,
):
    """Train one network with every mechanism, at equal multiply-adds and at equal width.

    Stopped or killed, the same command goes on with the next network. With --small it takes at
    most six hours on two cores: 2,000 pictures, five epochs. Without it, with 45,000 pictures
    and 60 epochs, it is for GPUs: torchrun --nproc-per-node=2 -m attncourse train study
    """
    from attncourse.book import study as drawing
    from attncourse.training.study import running
    from attncourse.training.study.options import FULL, SMALL

    options = replace(SMALL if small else FULL, seeds=tuple(range(seeds)))
    into = (into or places.work() / "study") / options.name
    path = running.study(options, data, into, device, report=report)
    if path:
        figure = drawing.save(path)
        console.print(f"all of it: {path} and {figure}", soft_wrap=True)


@commands.command("search")
def search_placements(
    data: Annotated[
        Path | None, _option("folder with cifar-10-batches-py", envvar="ATTNCOURSE_DATA")
    ] = None,
    into: Annotated[
        Path | None, _option("folder of the study; default: study in the work folder")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="for two cores: a small network, few pictures")
    ] = False,
    device: Annotated[str, _option("auto, cpu, cuda, cuda:1, …")] = "auto",
    trials: Annotated[int, _option("of each of the two searches", min=1)] = 24,
):
    """Search for the operation of each stage, by Optuna and at random; it goes on where it was.

    It needs the extra study, and with --small about an hour.
    """
    from attncourse.training.study import search
    from attncourse.training.study.options import FULL, SMALL

    options = SMALL if small else FULL
    into = (into or places.work() / "study") / options.name
    path = search.search(options, data, into, trials, device)
    console.print(f"all of it: {path}", soft_wrap=True)


@commands.command()
def detection(
    into: Annotated[
        Path | None, _option("folder of these runs; default: detection in the work folder")
    ] = None,
    seeds: Annotated[int, _option("how many", min=1)] = 3,
):
    """Train a small detector on three backbones; killed, it goes on with the run it was in.

    Ten minutes of one core for three seeds. The result is detection.json in the folder.
    """
    from attncourse.training.detection.running import compare

    into = into or places.work() / "detection"
    compare(into, range(seeds), console=console)
    console.print(f"all of it: {into / 'detection.json'}", soft_wrap=True)


@commands.command()
def kept(
    name: Annotated[str, typer.Argument(help="cbam, stand_alone or windows")],
    into: Annotated[
        Path | None, _option("folder of the weights; default: kept in the work folder")
    ] = None,
):
    """Train a network whose weights are in the package once more; minutes on one core."""
    from attncourse.training.kept import keep

    into = into or places.work() / "kept"
    found = keep(name, into)
    console.print(
        f"{name}: {found['accuracy']:.1%} of the digits, {found['baseline']:.1%} for the most "
        f"frequent one alone; the weights are in {into}",
        soft_wrap=True,
    )
