"""Every layer under "auto", by what is taken where no kernel runs, and its reference does what
people do with layers in torch.

What is done is in tests/support/features.py, which runs once, in a process of its own. With
`ATTNCOURSE_INDUCTOR=1` layers are compiled to the end too, which takes minutes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import features
import pytest

DRIVER = Path(features.__file__)
QUICK = [name for name in features.FEATURES if name not in features.SLOW]
CASES = [
    (layer, thing)
    for layer, kind, reference in features.CASES
    for thing in QUICK
    if kind is not reference or thing not in features.COMPILERS
]


def run(*things: str) -> dict[str, str]:
    ran = subprocess.run(
        [sys.executable, DRIVER, *things],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return run()


@pytest.mark.parametrize(("layer", "thing"), CASES)
def test_it_works(found, layer, thing):
    assert found[f"{layer}: {thing}"] == ""


def test_nothing_is_left_out(found):
    assert set(found) == {f"{layer}: {thing}" for layer, thing in CASES}


@pytest.mark.skipif("ATTNCOURSE_INDUCTOR" not in os.environ, reason="takes minutes")
def test_inductor_makes_the_same_of_it():
    assert not {name: why for name, why in run("made_by_inductor").items() if why}
