"""Where the course lies on this machine: in a clone, or installed without one.

               in a clone          installed from a wheel
notebooks()    notebooks/learner   attncourse/notebooks, in the package
results()      results             attncourse/results, in the package
work()         work                the work folder one stands in, else ./work
root()         the clone           UserError
"""

import sys
from pathlib import Path

from attncourse.errors import UserError

TOP = Path(__file__).resolve().parents[1]  # holds the package: a clone, or site-packages
MARK = ".handed_out.json"  # in every work folder: the digests of what was handed out


def clone() -> Path | None:
    """The clone of the course that this package runs from, if it runs from one."""
    whole = (TOP / "pyproject.toml").is_file() and (TOP / "notebooks").is_dir()
    return TOP if whole else None


def root() -> Path:
    """The clone, for what is done to the course itself. Raises UserError without one."""
    if folder := clone():
        return folder
    raise UserError(
        f"this needs a clone of the course, and {TOP / 'attncourse'} is not in one: "
        "clone it and run the same command there, or `make test`."
    )


def notebooks() -> Path:
    """The learner edition of every chapter."""
    folder = clone()
    return folder / "notebooks" / "learner" if folder else TOP / "attncourse" / "notebooks"


def results() -> Path:
    """What took long, was measured once and is shown in the notebooks."""
    return (clone() or TOP / "attncourse") / "results"


def work() -> Path:
    """The learner's folder. Notebooks run inside it, so that without a clone it is looked for
    upwards first."""
    if folder := clone():
        return folder / "work"
    return stood_in() or Path.cwd() / "work"


def stood_in() -> Path | None:
    """The work folder that one stands in, as a notebook of it does; None outside of all."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was deleted meanwhile
        return None
    return next((folder for folder in (here, *here.parents) if (folder / MARK).is_file()), None)


def extra(name: str) -> str:
    """How to add an extra of pyproject.toml to what is installed here, for messages."""
    folder = clone()
    if folder and Path(sys.prefix) == folder / ".venv":
        return f"make install EXTRAS={name}"
    return f'pip install -e ".[{name}]"' if folder else f'pip install "WHEEL[{name}]"'
