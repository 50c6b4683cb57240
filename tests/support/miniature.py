"""A course of one chapter and two exercises, in a folder of its own, for tests of the tools."""

import importlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

from attncourse import course
from attncourse.book.building import build
from attncourse.course import Chapter
from attncourse.exercises.record import Exercise, Trial

ANSWERS = '''"""The solutions of the miniature, and a check for its notebook."""

import torch
from torch import nn

from attncourse.checker.verdict import Verdict


def double(x, twice: int = 2):
    """Twice x."""
    # the secret of doubling
    doubled_at_last = x * twice
    return doubled_at_last


class Gain(nn.Module):
    """A gain for each channel."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, channels))

    def attention(self, x):
        """The gains. Raises ValueError, with both numbers, for other channels."""
        if x.shape[-1] != len(self.gain):
            raise ValueError(f"{x.shape[-1]=} is not {len(self.gain)=}")
        return self.gain.sigmoid().square()  # squares are secret

    def forward(self, x):
        scaled_by_gains = x * self.attention(x)

        # one more secret
        return scaled_by_gains
        # and a last one

    def extra_repr(self):
        return f"{len(self.gain)}"


def check(id, answer):
    try:
        (answer(3) if isinstance(answer, type) else answer)(torch.ones(3))
    except NotImplementedError:
        return Verdict(id, "not attempted", "Write it, then run this cell again.")
    return Verdict(id, "passed", "It agrees with the solution on 1 trial.")
'''

SCRIPT = """# %% [markdown]
# # 7 · Miniature
#
# You will write two things. **About 5 minutes**, of which 5 minutes are exercises.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

from attncourse.book.plots import lines, show
from miniature_answers import check

# %% [markdown]
# ## 7.1 Double

# %% exercise="miniature.double"

# %%
check("miniature.double", double)

# %% [markdown]
# Stuck? `hint("miniature.double")`, or go on with
# `from solutions.miniature_answers import double`.

# %%
x = torch.arange(3.0)
double(x), object()

# %% tags=["nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(3, 2))
lines(ax, x, {"y": double(x)}, "x", "y", "A line of slope 2")
show(fig, "a straight line that rises by 2 for each step")

# %% exercise="miniature.gain"

# %%
check("miniature.gain", Gain)

# %% [markdown]
# Stuck? `hint("miniature.gain")`, or `from solutions.miniature_answers import Gain, double`.

# %%
print(Gain(3)(x))

# %%
print("the end")
"""


@dataclass
class Miniature:
    """Its folder, its chapter, its exercises, and what it is made of."""

    root: Path
    chapter: Chapter
    exercises: list[Exercise]
    answers: ModuleType
    script: str = SCRIPT

    def edit(self, old: str, new: str) -> None:
        """Change the script of the chapter."""
        path = self.root / "notebooks" / "src" / f"{self.chapter.stem}.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def change(self, n: int, **fields) -> None:
        """Change the record of the n-th exercise."""
        self.exercises[n] = replace(self.exercises[n], **fields)

    def notebook(self, edition: str) -> Path:
        return self.root / "notebooks" / edition / f"{self.chapter.stem}.ipynb"


@pytest.fixture
def miniature(tmp_path, monkeypatch):
    """The registry holds one made-up chapter, whose files lie in a temporary folder."""
    root = tmp_path / "course"
    (root / "notebooks" / "src").mkdir(parents=True)
    (root / "miniature_answers.py").write_text(ANSWERS)
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("PYTHONPATH", str(root), prepend=":")  # for the kernels
    answers = importlib.import_module("miniature_answers")
    monkeypatch.setitem(sys.modules, "miniature_answers", answers)

    names = "double", "gain"
    chapter = Chapter(7, "miniature", "Miniature", "two things", "a line", 5, names)
    exercises = _exercises(answers)
    written = course.record

    def record(chapter, name):
        return exercises[names.index(name)] if name in names else written(chapter, name)

    monkeypatch.setattr(course, "record", record)
    monkeypatch.setattr(course, "CHAPTERS", (chapter,))
    (root / "notebooks" / "src" / f"{chapter.stem}.py").write_text(SCRIPT)
    yield Miniature(root, chapter, exercises, answers)
    sys.modules.pop("miniature_answers", None)


_BUILT: dict[str, bytes] = {}


@pytest.fixture
def solved(miniature):
    """The miniature with both editions, the solved one executed; once for all tests."""
    if not _BUILT:
        assert build(root=miniature.root) == []
        _BUILT.update({e: miniature.notebook(e).read_bytes() for e in ("learner", "solved")})
    for edition, content in _BUILT.items():
        miniature.notebook(edition).parent.mkdir(exist_ok=True)
        miniature.notebook(edition).write_bytes(content)
    return miniature


def _exercises(answers: ModuleType) -> list[Exercise]:
    import torch

    def trials():
        return (Trial("plain", {"b": 2, "c": 3}, {"x": "b c"}),)

    def module_trials():
        return (Trial("plain", {"b": 2, "c": 3}, {"x": "b c"}, {"channels": 3}),)

    def triples(x, twice=2):
        """You triple."""
        return x * 3

    def halves(x, twice=2):
        """You halve."""
        return x / 2

    def squares(x, twice=2):
        """You square."""
        return x * x

    def keeps(x, twice=2):
        """You return what you were given."""
        return x * 1

    def adds(x, twice=2):
        return x + x

    def stacks(x, twice=2):
        return torch.stack([x, x]).sum(0)

    class NoSquare(answers.Gain):
        """The square is missing."""

        def attention(self, x):
            return self.gain.sigmoid()

    class NoSigmoid(answers.Gain):
        """The sigmoid is missing."""

        def attention(self, x):
            return self.gain.square()

    class Adds(answers.Gain):
        """You add the gains."""

        def forward(self, x):
            return x + self.attention(x)

    class Divides(answers.Gain):
        """You divide by the gains."""

        def forward(self, x):
            return x / self.attention(x)

    def refuse_others(layer, x):
        if x.shape[-1] != len(layer.gain):
            raise ValueError(f"{x.shape[-1]} channels, {len(layer.gain)} gains")

    def other_channels():
        init = dict(channels=4)
        return (Trial("5 channels and 4 gains", dict(b=2), dict(x="b 5"), init, says=(5, 4)),)

    class Einsum(answers.Gain):
        def forward(self, x):
            return torch.einsum("...c,c->...c", x, self.attention(x))

        def attention(self, x):
            refuse_others(self, x)
            return torch.square(1 / (1 + torch.exp(-self.gain)))

    class Pow(answers.Gain):
        def attention(self, x):
            refuse_others(self, x)
            return torch.sigmoid(self.gain) ** 2

        def forward(self, x):
            return self.attention(x) * x

    return [
        Exercise(
            id="miniature.double",
            solution=answers.double,
            probes={"double": "b c"},
            trials=trials,
            slips=(triples, halves, squares, keeps),
            hints=("How often is x in 2 x?", "Twice.", "x * 2"),
            minutes=2,
            difficulty=1,
            otherwise=(adds, stacks),
        ),
        Exercise(
            id="miniature.gain",
            solution=answers.Gain,
            probes={"attention": " c", "forward": "b c"},
            trials=module_trials,
            slips=(NoSquare, NoSigmoid, Adds, Divides),
            hints=("What is a gain?", "A number in (0, 1).", "x * s"),
            minutes=3,
            difficulty=1,
            blank=("attention", "forward"),
            otherwise=(Einsum, Pow),
            refuses=other_channels,
        ),
    ]
