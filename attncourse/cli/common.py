"""What all commands share: one program, one line for what fails, one console."""

import errno
import sys

import typer
from rich.console import Console
from typer.core import TyperGroup

from attncourse.errors import UserError

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
            fail(f"{error.format_message()} See `{command} --help`.", code=2)
        except UserError as error:
            fail(str(error))
        except OSError as error:
            what = (
                f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
            )
            fail(f"{what}. {HINTS.get(error.errno, '')}".rstrip())
        except KeyError as error:
            if type(error).__name__ != "UnknownExercise":  # its module imports torch
                raise
            fail(str(error))


def fail(message: str, code: int = 1) -> None:
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
