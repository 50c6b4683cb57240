"""The texts of an exported package, with places for what differs."""

PYPROJECT = """[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = {name}
version = "0.1.0"
description = "Attention mechanisms of computer vision"
readme = "README.md"
requires-python = ">=3.11"
authors = [{{ name = {author} }}]
dependencies = {needs}

[tool.setuptools.packages.find]
where = ["src"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""

README = """# {title}

Attention mechanisms of computer vision, written by {author}. Each of them passed the checks of
the attention course: its values, gradients and errors are those of the course's own.

| name | chapter | from | passed on |
|---|---|---|---|
{rows}

## Use

```
pip install .
python -c "import {package}"
```

Without a network, where torch and setuptools are there already:
`pip install --no-deps --no-build-isolation .`

## Tests

`python -m pytest` compares each of them with numbers that the course gave on the trials of
its exercise, in `tests/recorded`. The course is not needed for it. What takes functions as
arguments has no numbers there.
{borrowed}"""

BORROWED = """
## What is the course's

These were given in the notebooks, or taken over, and are marked in the files; they are the
course's, under the licence in `LICENSE-attncourse.txt`: {listed}.
"""

TEST = '''"""Each answer gives what the course gave on the trials of its exercise."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.pt"))


def calls(kept):
    """Every call with what it should give: (function or method, arguments, right)."""
    made = getattr(import_module("{package}." + kept["module"]), kept["name"])
    for trial in kept["trials"]:
        owner = made
        if trial["class"]:
            owner = made(**trial["init"]).double()
            names, weights = owner.state_dict(), trial["weights"]
            if names.keys() != weights.keys():
                weights = dict(zip(names, weights.values()))
            owner.load_state_dict(weights)
            owner.train(not trial["evaluate"])
        for one in trial["calls"]:
            whole = not trial["class"] or one["probe"] == "forward"
            yield owner if whole else getattr(owner, one["probe"]), one["given"], one["right"]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_it_gives_what_the_course_gave(path):
    for function, given, right in calls(torch.load(path, weights_only=True)):
        found = function(*given)
        if isinstance(right, str):
            assert found == right
        else:
            torch.testing.assert_close(found, right)
'''
