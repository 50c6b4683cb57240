"""What who makes the course types: `test`, `lint`, `doctor`, `build`, `site`, `bench`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from attncourse import places
from attncourse.cli.common import console, fail
from attncourse.errors import UserError

commands = typer.Typer()


def _clone_with_tools() -> Path:
    """The clone, where making the course is possible. Raises UserError where it is not."""
    from attncourse.workshop import suite

    root = places.root()
    suite.need_tools()
    return root


@commands.command("test")
def run_all(
    only: Annotated[
        list[str] | None,
        typer.Option(help="run this step only; may be repeated: lint, unit, doctor, …"),
    ] = None,
):
    """Run everything: lint, tests, doctor, both editions of the notebooks."""
    from attncourse.workshop import suite

    steps = suite.choose(only or ())
    if failed := suite.run(steps, _clone_with_tools()):
        fail(f"failed: {', '.join(failed)}. One alone: attncourse test --only {failed[0]}")


@commands.command()
def lint():
    """Check style and format with ruff."""
    from attncourse.workshop import suite

    root = _clone_with_tools()
    if suite.run(suite.choose(["lint"]), root):
        fail("ruff found something. It mends most of it: ruff check --fix . && ruff format .")


@commands.command()
def doctor(
    exercises: Annotated[
        list[str] | None,
        typer.Argument(help="as shapes.strip: these alone; all, if none is named"),
    ] = None,
):
    """Prove that every exercise is complete and that its slips are caught and named."""
    root = _clone_with_tools()
    from attncourse.workshop.doctor import chosen, examine

    only = chosen(exercises or ())
    healthy = f"{', '.join(only)} is complete" if only else "every exercise is complete"
    _outcome(examine(root, only), f"healthy: {healthy}.")


@commands.command()
def build(
    chapters: Annotated[list[str] | None, typer.Argument(help="all, if none is named")] = None,
    check: Annotated[bool, typer.Option("--check", help="write nothing, compare only")] = False,
    no_execute: Annotated[
        bool, typer.Option("--no-execute", help="leave the solved edition as it is")
    ] = False,
):
    """Build the two editions of the notebooks from notebooks/src."""
    root = _clone_with_tools()
    from attncourse import course
    from attncourse.book import building

    chosen = [course.chapter(name) for name in chapters or ()] or None
    problems = building.build(chosen, check=check, execute=not no_execute, root=root)
    _outcome(problems, "the notebooks are in step." if check else "built.")


@commands.command()
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
        fail(f"{count}, said above.")
    console.print(well)


@commands.command()
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
        fail(f"failed: {', '.join(failed)}")
