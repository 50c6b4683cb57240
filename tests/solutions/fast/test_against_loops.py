"""Every implementation of every mechanism beside loops over queries and keys: values and
gradients. A few cases always, 3,000 where ATTNCOURSE_NIGHTLY is set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[2] / "support" / "against_loops.py"


@pytest.mark.parametrize("cases", [60, pytest.param(3000, marks=pytest.mark.nightly)])
def test_values_and_gradients_are_those_of_loops(cases):
    ran = subprocess.run(
        [sys.executable, DRIVER, str(cases)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.startswith(f"{cases} cases")
