"""At its edges every operator of `solutions.fast` does what its reference does: the same
numbers, or one ValueError in the same words. The calls are in tests/support/edges.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

DRIVER = Path(__file__).parents[2] / "support" / "edges.py"


def test_reference_and_fast_give_the_same_or_refuse_in_the_same_words():
    ran = subprocess.run(
        [sys.executable, DRIVER],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    assert len(found) > 1000
    assert not {call: why for call, why in found.items() if why}
