"""The commands of the course, as a test calls them."""

from typer.testing import CliRunner

from attncourse import cli


def call(*arguments):
    """What a command leaves: exit code, output, errors."""
    return CliRunner().invoke(cli.app, arguments, prog_name="attncourse")


def fails(*arguments, code=1):
    """The one line on stderr with which a command fails."""
    result = call(*arguments)
    assert result.exit_code == code
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("attncourse: ")
    return result.stderr
