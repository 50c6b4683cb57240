"""Calls that do not fit together end in one line or are right: some hundred of them, each time
the same; `ATTNCOURSE_FUZZ=2000` makes more."""

import os
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).parents[2] / "support" / "mismatched.py"


def test_no_call_ends_the_process_and_none_is_wrong_without_a_word():
    cases = os.environ.get("ATTNCOURSE_FUZZ", "200")
    ran = subprocess.run(
        [sys.executable, DRIVER, cases],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    last = ran.stdout.splitlines()[-1:]
    assert ran.returncode == 0, f"ended with {ran.returncode} at {last}\n{ran.stderr[-3000:]}"
    assert "'refused'" in last[0]
