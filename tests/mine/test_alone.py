"""An answer's source, taken out of its notebook, defines the same answer by itself."""

from pathlib import Path

import pytest
import torch
from cells import IMPORTS, Notebook

from attncourse import course
from attncourse.checker.frames import is_learners
from attncourse.mine import shelf
from attncourse.mine.alone import Entangled, alone, free_names


@pytest.fixture
def notebook():
    made = Notebook()
    made.run(IMPORTS)
    return made


def source(answer, name=None):
    return alone(answer, name or answer.__name__, is_learners)


def again(text, name):
    """What a source defines in an empty module."""
    return shelf.loaded(text, Path("alone.py"), "alone", name)


def test_the_names_that_a_piece_of_source_takes():
    text = '''
@decorated(by)
def f(x: Float[Tensor, "b"], y=given) -> int:
    """unused"""
    import json
    def inner(z):
        return z + outer + json.loads(x)
    return [inner(n) for n in f"{named}"] + f(y)
'''
    wanted = "Float Tensor by decorated given int named outer"
    assert free_names(text) == wanted.split()


def test_imports_become_lines_and_numbers_are_written_out(notebook):
    names = notebook.run("""
        RATES = {"slow": (0.5, None)}
        def scaled(x: Float[Tensor, "b"], by=np.float64):
            y = F.relu(reduce(x, "b ->", "sum")) * math.pi + torch.exp(x).sum()
            return partially(max, RATES["slow"][0])(float(y))
    """)
    text = source(names["scaled"])
    assert text.splitlines()[:2] == ["import math", "import numpy as np"]
    assert "from functools import partial as partially" in text
    assert "from torch.nn import functional as F" in text
    assert "nn\n" not in text.replace("torch.nn ", "")  # what is not used is left out
    x = torch.tensor([0.3, -0.2])
    assert again(text, "scaled")(x) == names["scaled"](x)


def test_what_an_answer_calls_comes_along_as_it_is(notebook):
    notebook.run("def twice(x):\n    return 2 * x")
    notebook.run("def four(x):\n    return twice(twice(x))")
    names = notebook.run("""
        class Layer(nn.Module):
            def __init__(self, channels):
                super().__init__()
                self.gain = nn.Parameter(four(torch.ones(channels)))

            def forward(self, x):
                return x * self.gain
    """)
    text = source(names["Layer"])
    assert again(text, "Layer")(3)(torch.ones(3)).tolist() == [4.0, 4.0, 4.0]
    assert text.index("def twice") < text.index("def four") < text.index("class Layer")
    assert text.count("def twice") == 1


def test_what_is_the_courses_is_copied_and_marked(notebook):
    names = notebook.run("""
        from solutions.channel import bottleneck as narrow, squeeze
        def f(x):
            return narrow(12, 4) * squeeze(x)
    """)
    text = source(names["f"])
    assert "# from the course: solutions.channel.squeeze" in text
    assert "# from the course: solutions.channel.bottleneck" in text
    assert "import solutions" not in text
    assert "from solutions" not in text
    assert again(text, "f")(torch.ones(2, 5, 3, 4)).shape == (2, 5)


def test_two_functions_of_one_name_are_not_mixed_up(notebook):
    """The course's layer calls the course's `squeeze`; the answer calls its own."""
    names = notebook.run("""
        from solutions.channel import SqueezeExcite
        def squeeze(x):
            return x.amax((-2, -1))
        def f(x, layer):
            return squeeze(x) + SqueezeExcite.attention(layer, x)
    """)
    text = source(names["f"])
    layer, x = names["SqueezeExcite"](4, 2), torch.randn(3, 4, 2, 5)
    assert torch.equal(again(text, "f")(x, layer), names["f"](x, layer))


def test_functions_that_call_each_other(notebook):
    names = notebook.run("""
        def even(n):
            return n == 0 or odd(n - 1)
        def odd(n):
            return n != 0 and even(n - 1)
    """)
    assert again(source(names["even"]), "even")(10)


def test_an_answer_of_another_name_gets_the_exercises(notebook):
    names = notebook.run("def my_squeeze(x):\n    return x.mean((-2, -1))")
    text = source(names["my_squeeze"], "squeeze")
    assert again(text, "squeeze")(torch.ones(2, 3, 4, 5)).shape == (2, 3)


def test_a_definition_is_found_among_others_of_its_name(notebook):
    names = notebook.run("""
        def f(x):
            return 1

        first = f

        def f(x):
            return 2
    """)
    assert again(source(names["first"]), "f")(0) == 1
    assert again(source(names["f"]), "f")(0) == 2


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("f = lambda x: x", "`<lambda>` has no source"),
        ("f = partially(max, 1)", "a partial has no source"),
        (
            "def g(n):\n    def f(x):\n        return x + n\n    return f\nf = g(2)",
            "inside another",
        ),
        ("w = torch.ones(2)\ndef f(x):\n    return x * w", "`w`, a Tensor, is made elsewhere"),
        ("def f(x):\n    return missing(x)", "`missing` is not defined"),
        ("from math import sqrt as f", "a builtin_function_or_method has no source"),
        ("from einops import rearrange as f", "a library's"),
    ],
)
def test_why_an_answer_cannot_stand_alone(notebook, cell, why):
    with pytest.raises(Entangled, match="^" + ".*" + why.replace("(", r"\(")):
        alone(notebook.run(cell)["f"], "f", is_learners)


@pytest.mark.parametrize("chapter", course.CHAPTERS, ids=lambda chapter: chapter.name)
def test_every_exercise_of_the_course_can(chapter):
    """With the course's own answers, as if the learner had written them."""
    for ex in course.of_chapter(chapter):
        text = alone(ex.solution, ex.name, lambda file: "solutions" in file)
        assert again(text, ex.name).__name__ == ex.name
        lines = [s for s in text.splitlines() if "import" in s]
        assert not [s for s in lines if "solutions" in s or "attncourse" in s]
