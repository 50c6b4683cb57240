"""Where the course lies on this machine."""

from pathlib import Path

from attncourse.errors import UserError


def root() -> Path:
    """The clone of the course that this package runs from."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "pyproject.toml").is_file():
        raise UserError(
            f"{folder} is not a clone of the course: install it from one, "
            "with `pip install -e .` inside it."
        )
    return folder
