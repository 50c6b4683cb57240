"""The diagrams of the chapters: every word inside the picture, and none upon another."""

import inspect
from itertools import combinations

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from attncourse.book import plots
from attncourse.book.drawings import (
    capstone,
    detection,
    multi_head,
    non_local,
    relative_2d,
    spatial,
    united,
)


def drawings(module):
    """The functions of a module that draw a figure and take nothing."""
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if inspect.signature(function).return_annotation is Figure:
            yield pytest.param(function, id=f"{module.__name__.split('.')[-1]}.{name}")


def words(figure):
    """What stands in a figure, and where."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [text for ax in figure.axes for text in ax.texts if text.get_text()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


@pytest.mark.parametrize(
    "draw",
    [
        p
        for module in (spatial, non_local, relative_2d, united, capstone, detection, multi_head)
        for p in drawings(module)
    ],
)
def test_words_lie_inside_and_apart(draw):
    figure = draw()
    found = words(figure)
    width, height = figure.bbox.width, figure.bbox.height
    outside = [w for w, b in found if b.x0 < 0 or b.y0 < 0 or b.x1 > width or b.y1 > height]
    upon = [(one, two) for (one, a), (two, b) in combinations(found, 2) if a.overlaps(b)]
    plt.close(figure)
    assert found
    assert (outside, upon) == ([], [])
    assert figure.get_figwidth() <= plots.WIDEST
