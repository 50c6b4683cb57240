"""What a learner types: `lab`, `reset`, `check`, `export`, and `info` about the machine."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from attncourse import places
from attncourse.cli.common import console
from attncourse.workshop import workspace

commands = typer.Typer()
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@commands.command(context_settings=PASS_ON)
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


@commands.command()
def reset(chapter: Annotated[str, typer.Argument(help="name or number, as 01 or shapes")]):
    """Put a fresh copy of a chapter's notebook into work/; yours is kept under a dated name."""
    from attncourse import course

    name = f"{course.chapter(chapter).stem}.ipynb"
    kept = workspace.reset(places.work(), places.notebooks(), name)
    console.print(f"work/{name} is fresh{f'; yours is work/{kept.name}' if kept else ''}.")


@commands.command()
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


@commands.command()
def export(
    folder: Annotated[Path, typer.Argument(help="a new folder, named as the package")],
    name: Annotated[str | None, typer.Option(help="yours; default: that of your login")] = None,
):
    """Make an installable package of what has passed in your notebooks, with its tests."""
    from attncourse.workshop import exporting

    made = exporting.export(places.work(), folder, name)
    for id, why in made.left_out.items():
        console.print(escape(f"left out: {id} ({why})"), soft_wrap=True)
    count = f"{len(made.ids)} answer{'s' if len(made.ids) > 1 else ''}"
    console.print(
        f"{count} of yours in {made.folder}: `pip install {made.folder.resolve()}`, "
        f"then `import {made.package}`.",
        soft_wrap=True,
    )


@commands.command()
def info():
    """Show versions, devices, and what is optional and missing."""
    from attncourse.workshop import info

    table = Table(show_header=False, box=None)
    for name, value in (info.versions() | info.devices() | info.fast()).items():
        table.add_row(name, value)
    for name, (here, purpose) in info.optional().items():
        table.add_row(name, "here" if here else f"missing; for {escape(purpose)}")
    console.print(table)
