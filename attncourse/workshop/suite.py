"""What `attncourse test` runs: the steps, defined once."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rich.console import Console
from rich.table import Table

from attncourse import places
from attncourse.errors import UserError


@dataclass(frozen=True)
class Step:
    """One part of the validation: every command is run, with `python -m` before it, in this
    process's environment with what the step changes in it."""

    name: str
    says: str
    commands: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


# The tests of `fast` once more where other kernels in C run, or none: those of the two
# mechanisms that have such, and of the switch between ways. What is left out computes the same
# whichever kernels there are (tiles, pieces, Triton), or asks torch's compiler about operators
# that stay what they are. The first file asserts that the kernels are what the step says.
KERNELS = " ".join(
    f"tests/solutions/fast/test_{name}.py"
    for name in (
        "kernels_of_this_run",
        "fast_local",
        "fast_relative_2d",
        "fast_checked",
        "fast_info",
        "switch",
    )
)
LEFT_OUT = ("triton", "sparse", "tiled", "environment", "torch_finds", "exported", "compiled")


def _once_more(more: Sequence[str]) -> tuple[str, ...]:
    """The command; `more` are words of names of tests that are left out too."""
    left_out = " or ".join((*LEFT_OUT, *more))
    return (f"pytest {KERNELS} -q -k 'not ({left_out})'",)


STEPS = (
    Step("lint", "style and format", ("ruff check .", "ruff format --check .")),
    Step("unit", "unit tests", ("pytest tests -q -n 2 --dist worksteal",)),
    Step(
        "bare",
        "fast implementations where there is no compiler",
        _once_more(()),
        {"ATTNCOURSE_KERNELS": "none", "PATH": "", "CC": ""},
    ),
    Step(
        "narrow",
        "fast implementations with the shortest vectors",
        _once_more(("blocked", "rows")),
        {"ATTNCOURSE_KERNELS": "16", "ATTNCOURSE_VECTOR_BYTES": "16"},
    ),
    Step("doctor", "every exercise complete, every slip caught", ("attncourse doctor",)),
    Step("editions", "the notebooks are in step", ("attncourse build --check --no-execute",)),
    Step(
        "notebooks",
        "solved notebooks give their outputs again",
        (
            "pytest -q --nbval --nbval-current-env --nbval-cell-timeout=1800 "
            "--nbval-sanitize-with tests/nbval_sanitize.cfg -n 2 --dist loadfile "
            "notebooks/solved",
        ),
    ),
)


TOOLS = ("beartype", "jupytext", "nbval", "pytest", "ruff", "xdist")


def choose(names: Sequence[str]) -> tuple[Step, ...]:
    """The steps of these names, all for none. Raises UserError with the nearest name."""
    known = {step.name: step for step in STEPS}
    for name in names:
        if name not in known:
            from attncourse.errors import nearest

            raise UserError(f'there is no step "{name}".{nearest(name, known)}')
    return tuple(known[name] for name in names) if names else STEPS


def need_tools() -> None:
    """Raises UserError where what the steps call is not installed: learners need none of it."""
    if missing := [tool for tool in TOOLS if find_spec(tool) is None]:
        raise UserError(f"{', '.join(missing)} not installed: {places.extra('test')}")


def run(steps: Sequence[Step], root: Path) -> list[str]:
    """Run the steps from the root of the clone; returns the names of those that failed."""
    console, failed, seconds = Console(highlight=False), [], {}
    with TemporaryDirectory() as scratch:
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": _ipython(scratch),
            "ATTNCOURSE_STATIC": "1",  # figures, not widgets: the same outputs on every run
            "ATTNCOURSE_COMPILE_SECONDS": "1800",  # a slow machine is no hanging compiler
        }
        for step in steps:
            console.print(f"[bold]{step.name}[/bold]: {step.says}")
            start = perf_counter()
            for command in step.commands:
                arguments = [sys.executable, "-m", *shlex.split(command)]
                own = environment | step.environment
                if subprocess.run(arguments, cwd=root, env=own).returncode:
                    failed.append(step.name)
            seconds[step.name] = perf_counter() - start
    table = Table("step", "result", "seconds", box=None, pad_edge=False)
    for name, spent in seconds.items():
        result = "[red]failed[/red]" if name in failed else "[green]passed[/green]"
        table.add_row(name, result, f"{spent:.1f}")
    console.print("", table)
    return sorted(set(failed), key=failed.index)


def _ipython(scratch: str) -> str:
    """An IPython folder without a history, which two kernels at once would lock."""
    profile = Path(scratch) / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text("c.HistoryManager.enabled = False\n")
    return str(profile.parent)
