"""The commands: `attncourse lab`, `test`, `check`, … Each imports what it needs itself.

A file holds those of one kind, thin: what a command does stands in the room that it is of.
"""

from attncourse.cli import data, learning, making, teaching, training
from attncourse.cli.common import app

app.add_typer(learning.commands)
app.add_typer(teaching.commands)
app.add_typer(making.commands)
app.add_typer(data.commands, name="data")
app.add_typer(training.commands, name="train")
