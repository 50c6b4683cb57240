"""The commands: `attncourse lab`, `test`, `check`, … Each imports what it needs itself."""

import errno
import json
import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from attncourse import places
from attncourse.errors import UserError
from attncourse.workshop import workspace

UsageError = typer.BadParameter.__base__  # typer does not export what its parser raises

HINTS = {
    errno.ENOSPC: "Free some space and run it again; what was there is unchanged.",
    errno.EDQUOT: "Free some space and run it again; what was there is unchanged.",
    errno.EROFS: "Go on in a folder that you may write to.",
    errno.EACCES: "Give yourself the right to it, or go on in a folder of your own.",
    errno.EPERM: "Give yourself the right to it, or go on in a folder of your own.",
}


class OneLine(TyperGroup):
    """Commands whose expected failures are one line on stderr and an exit code."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except UsageError as error:
            command = error.ctx.command_path if error.ctx else ctx.command_path
            _fail(f"{error.format_message()} See `{command} --help`.", code=2)
        except UserError as error:
            _fail(str(error))
        except OSError as error:
            what = (
                f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
            )
            _fail(f"{what}. {HINTS.get(error.errno, '')}".rstrip())
        except KeyError as error:
            if type(error).__name__ != "UnknownExercise":  # its module imports torch
                raise
            _fail(str(error))


def _fail(message: str, code: int = 1) -> None:
    print("attncourse: " + " ".join(message.split()), file=sys.stderr)
    raise typer.Exit(code)


app = typer.Typer(
    cls=OneLine,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Build every attention mechanism of computer vision from scratch.",
)
console = Console(highlight=False)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=PASS_ON)
def lab(ctx: typer.Context):
    """Copy what is new into work/ and open JupyterLab there; options go to JupyterLab."""
    from attncourse.workshop import lab

    work, notebooks = places.work(), places.notebooks()
    start = lab.command(work, next(iter(workspace.editions(notebooks))), ctx.args)
    _say_filled(workspace.fill(work, notebooks))
    raise typer.Exit(lab.start(start))


def _say_filled(filled: workspace.Filled) -> None:
    for says, names in (
        ("added to work/", filled.added),
        ("there already", filled.same),
        ("there already, with your work, left alone", filled.yours),
    ):
        if names:
            console.print(f"{says}: {', '.join(names)}", soft_wrap=True)
    for name in filled.newer:
        console.print(
            f"left alone: {name} is not the course's present edition. "
            f"`attncourse reset {Path(name).stem}` brings that and keeps a copy of yours.",
            soft_wrap=True,
        )


@app.command()
def reset(chapter: Annotated[str, typer.Argument(help="name or number, as 01 or shapes")]):
    """Put a fresh copy of a chapter's notebook into work/; yours is kept under a dated name."""
    from attncourse import course

    name = f"{course.chapter(chapter).stem}.ipynb"
    kept = workspace.reset(places.work(), places.notebooks(), name)
    console.print(f"work/{name} is fresh{f'; yours is work/{kept.name}' if kept else ''}.")


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="a saved notebook, as work/00_shapes.ipynb")],
    seconds: Annotated[
        float, typer.Option(min=0.1, help="of processor time for each exercise")
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable verdicts")] = False,
):
    """Check every exercise in a saved notebook. This runs the functions it defines.

    The exit code is 0 only if all of them pass. What is the course's own, imported or wrapped,
    counts as taken over.
    """
    from attncourse.classroom import grading

    report = grading.grade(notebook, seconds)
    if as_json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        _show(report)
    raise typer.Exit(not report.passed)


COLOURS = {
    "passed": "green",
    "taken over": "blue",
    "not yet": "red",
    "not attempted": "yellow",
    "could not be marked": "magenta",
}


def _show(report) -> None:
    table = Table("exercise", "verdict", "what to know", title=report.notebook.name)
    for result in report.results:
        status = f"[{COLOURS[result.status]}]{result.status}[/]"
        table.add_row(escape(result.id), status, escape(result.message.partition("\n")[0]))
    console.print(table)
    for note in report.notes:
        console.print(escape(note), soft_wrap=True)
    counts = ", ".join(f"{n} {status}" for status, n in report.counts.items())
    console.print(f"Exercises: {counts}.")


@app.command()
def release(
    folder: Annotated[Path, typer.Argument(help="a new folder; FOLDER.zip is made beside it")],
    chapters: Annotated[str, typer.Option(help="by numbers or names, as 05,06")],
    exercises: Annotated[
        str, typer.Option(help="of these chapters, as squeeze,eca; all, if none is named")
    ] = "",
    points: Annotated[
        str, typer.Option(help="2 for each; squeeze=1,eca=3 for some; 1 where nothing is said")
    ] = "",
    due: Annotated[str | None, typer.Option(help="a date, as 2027-03-01T23:59")] = None,
    hints: Annotated[int, typer.Option(min=0, max=3, help="rungs that are handed out")] = 3,
    title: Annotated[str | None, typer.Option(help="default: those of the chapters")] = None,
    nbgrader: Annotated[
        bool, typer.Option("--nbgrader", help="a course folder as well: FOLDER-nbgrader")
    ] = False,
    gradescope: Annotated[
        bool, typer.Option("--gradescope", help="an autograder as well: FOLDER-gradescope.zip")
    ] = False,
):
    """Hand out an assignment: notebooks, checks, hints and named slips, without the answers.

    What the notebooks need of the course goes into a package that students install. It holds no
    answer to these exercises: `check` there compares with a record. FOLDER.zip is what students
    are given; what is asked for beside it is the teacher's.
    """
    from attncourse.exercises import interpreter  # noqa: F401, I001 (goes before Triton)
    from attncourse.classroom.assignment import plan
    from attncourse.classroom.releasing import refuse_there
    from attncourse.classroom.releasing import release as hand_out

    assignment = plan(chapters, exercises, points, due, hints, title)
    more = [f"{folder.name}-nbgrader"] * nbgrader + [
        f"{folder.name}-gradescope.zip"
    ] * gradescope
    refuse_there(folder, *more)
    with console.status("") as status:
        done = hand_out(folder, assignment, lambda what: status.update(escape(what)))
        beside = []
        if nbgrader:
            from attncourse.classroom.nbgrading import write_course

            beside.append(write_course(done.folder, assignment))
        if gradescope:
            from attncourse.classroom.gradescope import write_autograder

            beside.append(write_autograder(done.folder, assignment))
    _say_released(done, assignment)
    for path in beside:
        console.print(f"for you, not for students: {path}", soft_wrap=True)


def _say_released(done, assignment) -> None:
    worth = sum(assignment.points.values())
    console.print(
        f"{done.zip}: {len(assignment.points)} exercises, {worth:g} points", soft_wrap=True
    )
    for id, why in done.kept.items():
        console.print(f"answer to {id} is in it: {escape(why)} runs it", soft_wrap=True)
    for stem, ids in done.uses.items():
        console.print(
            f"{stem} asks once more for what {', '.join(ids)} asks for: it builds on that",
            soft_wrap=True,
        )
    for id, rungs in done.hints.items():
        console.print(
            f"hints of {id}: {rungs}, for the next holds a line of the answer", soft_wrap=True
        )
    for line in done.shown:
        console.print(f"given code, which the notebooks need: {escape(line)}", soft_wrap=True)


@app.command()
def grade(
    submissions: Annotated[
        list[Path], typer.Argument(help="notebooks, folders, zips: what students handed in")
    ],
    into: Annotated[Path, typer.Option(help="a folder for the reports")],
    assignment: Annotated[
        Path | None, typer.Option(help="the folder that was handed out; default: the course")
    ] = None,
    chapters: Annotated[str, typer.Option(help="of the course, as 05,06")] = "",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="at a time; default: all cores")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="of processor time an exercise")] = 10.0,
    taken_over: Annotated[
        float, typer.Option(min=0, max=1, help="share of the points for the course's own")
    ] = 0.0,
    ready: Annotated[
        float, typer.Option(min=0, max=1, help="share for a ready function of torch")
    ] = 1.0,
    one_student: Annotated[
        bool, typer.Option("--one-student", help="all of it is one student's")
    ] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="go on where no sandbox works: trust everybody")
    ] = False,
):
    """Grade what students handed in, each in a sandbox, with reports for all.

    Stopped, the same command goes on where it was. The exit code is 0 if all could be marked.
    """
    from attncourse.classroom.command import grade as mark_all

    whole = mark_all(
        submissions,
        assignment,
        into,
        console,
        chapters=chapters,
        jobs=jobs,
        seconds=seconds,
        taken_over=taken_over,
        ready=ready,
        unsafe=unsafe,
        one_student=one_student,
    )
    left = sum(any(mark.unmarked for mark in one.marks) for one in whole.students)
    if left:
        _fail(f"{left} of {len(whole.students)} could not be marked; each page says why.")


@app.command("test")
def run_all(
    only: Annotated[
        list[str] | None,
        typer.Option(help="run this step only; may be repeated: lint, unit, doctor, …"),
    ] = None,
):
    """Run everything: lint, tests, doctor, both editions of the notebooks."""
    from attncourse.workshop import suite

    steps, root = suite.choose(only or ()), places.root()
    suite.need_tools()
    failed = suite.run(steps, root)
    if failed:
        _fail(f"failed: {', '.join(failed)}. One alone: attncourse test --only {failed[0]}")


@app.command()
def lint():
    """Check style and format with ruff."""
    from attncourse.workshop import suite

    root = places.root()
    suite.need_tools()
    if suite.run(suite.choose(["lint"]), root):
        _fail("ruff found something. It mends most of it: ruff check --fix . && ruff format .")


@app.command()
def doctor(
    exercises: Annotated[
        list[str] | None,
        typer.Argument(help="as shapes.strip: these alone; all, if none is named"),
    ] = None,
):
    """Prove that every exercise is complete and that its slips are caught and named."""
    from attncourse.workshop import suite

    root = places.root()
    suite.need_tools()
    from attncourse.workshop.doctor import chosen, examine

    only = chosen(exercises or ())
    healthy = f"{', '.join(only)} is complete" if only else "every exercise is complete"
    _outcome(examine(root, only), f"healthy: {healthy}.")


@app.command()
def build(
    chapters: Annotated[list[str] | None, typer.Argument(help="all, if none is named")] = None,
    check: Annotated[bool, typer.Option("--check", help="write nothing, compare only")] = False,
    no_execute: Annotated[
        bool, typer.Option("--no-execute", help="leave the solved edition as it is")
    ] = False,
):
    """Build the two editions of the notebooks from notebooks/src."""
    from attncourse import course
    from attncourse.workshop import suite

    root = places.root()
    suite.need_tools()
    from attncourse.book import building

    chosen = [course.chapter(name) for name in chapters or ()] or None
    problems = building.build(chosen, check=check, execute=not no_execute, root=root)
    _outcome(problems, "the notebooks are in step." if check else "built.")


@app.command()
def site(
    build: Annotated[
        bool, typer.Option("--build", help="build the pages, and serve nothing")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free")] = 8000,
):
    """Serve the web edition on this machine, 127.0.0.1; built first where it is not there."""
    from attncourse.workshop import web

    root = places.root()
    if build or not web.pages(root).is_file():
        web.build(root)
    console.print(f"the pages are in {web.pages(root).parent}", soft_wrap=True)
    if not build:
        web.serve(root, port, lambda url: console.print(f"{url}   (Ctrl-C ends it)"))


def _outcome(problems: list[str], well: str) -> None:
    for problem in problems:
        console.print(escape(problem), soft_wrap=True)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        _fail(f"{count}, said above.")
    console.print(well)


@app.command()
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="this mechanism only; may be repeated: "
            "local, relative, sparse, tiled, heads, non_local"
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="larger sizes, more rounds")] = False,
    threads: Annotated[int, typer.Option(min=1, help="of the CPU")] = 1,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; default: both where there are both")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="where to; default: results of the clone")
    ] = None,
):
    """Measure the fast implementations beside their references and beside what one would use.

    All ways take turns in one process: time, peak memory, and a floor beside each. Tables are
    shown, JSON and figures written. Less than five minutes; with --full about an hour. What
    chapter 10 trained is measured by scripts of its own: benchmarks/sparse.py and
    benchmarks/sparse_images.py.
    """
    if not into and not places.clone():
        raise UserError("name a folder for what is measured: attncourse bench --into FOLDER")
    from attncourse.bench import running

    folder = into or places.results()
    if failed := running.everything(only or (), full, threads, device, folder):
        _fail(f"failed: {', '.join(failed)}")


@app.command()
def info():
    """Show versions, devices, and what is optional and missing."""
    from attncourse.workshop import info

    table = Table(show_header=False, box=None)
    for name, value in (info.versions() | info.devices() | info.fast()).items():
        table.add_row(name, value)
    for name, (here, purpose) in info.optional().items():
        table.add_row(name, "here" if here else f"missing; for {escape(purpose)}")
    console.print(table)


data = typer.Typer(help="Fetch data sets that are not part of the course.")
app.add_typer(data, name="data")


@data.command("cifar10")
def fetch_cifar10(
    folder: Annotated[
        Path | None,
        typer.Option(
            help="where to; default: data in the work folder", envvar="ATTNCOURSE_DATA"
        ),
    ] = None,
    url: Annotated[str | None, typer.Option(help="another address of the archive")] = None,
):
    """CIFAR-10, 170 MB; broken off, the same command begins it anew."""
    from attncourse.tasks.fetching import download_cifar10

    console.print(f"CIFAR-10 is in {download_cifar10(folder, url)}", soft_wrap=True)


train = typer.Typer(help="Train what takes longer than a notebook should.")
app.add_typer(train, name="train")


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


@train.command()
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


if __name__ == "__main__":
    app()
