"""`attncourse data`: data sets that are not part of the course."""

from pathlib import Path
from typing import Annotated

import typer

from attncourse.cli.common import console

commands = typer.Typer(help="Fetch data sets that are not part of the course.")


@commands.command("cifar10")
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
