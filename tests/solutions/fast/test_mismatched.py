"""Calls that do not fit together end in one line or are right: some hundred of them, each time
the same; two thousand where ATTNCOURSE_NIGHTLY is set, and as many as ATTNCOURSE_FUZZ says."""

import os
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).parents[2] / "support" / "mismatched.py"


def test_no_call_ends_the_process_and_none_is_wrong_without_a_word():
    nightly = "2000" if os.environ.get("ATTNCOURSE_NIGHTLY") else "200"
    cases = os.environ.get("ATTNCOURSE_FUZZ", nightly)
    ran = subprocess.run(
        [sys.executable, DRIVER, cases],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    last = ran.stdout.splitlines()[-1:]
    assert ran.returncode == 0, f"ended with {ran.returncode} at {last}\n{ran.stderr[-3000:]}"
    assert "'refused'" in last[0]
