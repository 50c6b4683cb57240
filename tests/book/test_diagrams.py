"""Diagrams: what is drawn where, in which colour, with which letters."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle, FancyArrowPatch, Polygon, Rectangle

from attncourse.book import diagrams, plots


@pytest.fixture
def ax():
    fig, ax = diagrams.canvas(16, 5)
    yield ax
    plt.close(fig)


def cells(ax):
    return [patch for patch in ax.patches if type(patch) is Rectangle]


def words(ax):
    return {text.get_text(): text for text in ax.texts}


def test_a_canvas_is_as_wide_as_a_page_and_no_unit_is_stretched():
    fig, ax = diagrams.canvas(16, 5)
    plots.show(fig, "nothing yet")  # wider is refused there
    assert ax.get_aspect() == 1
    width, height = fig.get_size_inches()
    assert width / height == pytest.approx(16 / 5)


def test_the_first_row_of_a_matrix_is_on_top_and_larger_is_darker(ax):
    box = diagrams.matrix(ax, 2, 1, [[0.0, 0.5, 1.0], [0.2, 0.4, 0.6]], "i j", "a", side=0.5)
    drawn = cells(ax)
    assert len(drawn) == 6
    assert drawn[0].get_xy() == (2, 1.5)
    assert drawn[3].get_xy() == (2, 1)
    brightness = [sum(cell.get_facecolor()[:3]) for cell in drawn]
    assert brightness[0] > brightness[1] > brightness[2]
    assert drawn[2].get_facecolor() == pytest.approx(to_rgba(diagrams.DATA))
    assert (box.width, box.height) == (1.5, 1.0)
    assert words(ax)["i"].get_position()[0] < 2
    assert words(ax)["j"].get_position()[1] < 1


def test_a_hidden_cell_is_hatched_grey_and_says_nothing(ax):
    hidden = np.array([[False, True]])
    diagrams.matrix(ax, 0, 0, [[0.25, 0.75]], text="{:.2f}", hidden=hidden)
    seen, masked = cells(ax)
    assert masked.get_facecolor() == to_rgba(diagrams.HIDDEN)
    assert masked.get_hatch()
    assert not seen.get_hatch()
    assert set(words(ax)) == {"0.25", ""}  # the empty one: no name


def test_cells_take_words_of_their_own(ax):
    diagrams.matrix(ax, 0, 0, np.zeros((2, 2)), text=[["a", "b"], ["", "d"]])
    assert {"a", "b", "d"} <= set(words(ax))


def test_a_tensor_has_its_letters_on_its_edges_and_a_slice_for_each_colour(ax):
    box = diagrams.tensor(ax, 1, 1, (1.2, 2, 1.5), "c h w", "x", [diagrams.DATA] * 4)
    assert len([p for p in ax.patches if isinstance(p, Polygon)]) == 4 * 6  # 3 faces, on white
    text = words(ax)
    assert text["h"].get_position()[0] < 1
    assert text["w"].get_position()[1] < 1
    assert text["c"].get_position()[0] > 1 + 1.5
    assert text["x"].get_weight() == "bold"
    assert (box.width, box.height) == (2.7, 3.2)


def test_an_arrow_goes_around_corners_and_tells_what_happens(ax):
    a = diagrams.layer(ax, 1, 1, "$W$")
    b = diagrams.join(ax, 6, 3, "×")
    diagrams.arrow(ax, a.right, (6, a.middle[1]), b.bottom, text="scale")
    (line,) = ax.lines
    assert [*zip(*line.get_data(), strict=True)] == [a.right, (6, a.middle[1])]
    (head,) = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert head._posA_posB == [(6, a.middle[1]), b.bottom]
    assert words(ax)["scale"].get_position()[1] > a.middle[1]
    assert [p.center for p in ax.patches if isinstance(p, Circle)] == [(6, 3)]


def test_a_vector_stands_or_lies(ax):
    standing = diagrams.vector(ax, 1, 1, [0.1, 0.9, 0.4], "c", "z")
    lying = diagrams.vector(ax, 5, 1, [0.1, 0.9, 0.4], "c", across=True)
    assert standing.height == pytest.approx(3 * 0.32)
    assert (lying.width, lying.height) == (standing.height, standing.width)


def test_a_table_of_numbers_says_them_and_names_its_axes_by_any_words(ax):
    box = diagrams.numbers(ax, 2, 1, [[1, 2.5], [0, 4]], "(h p)", "(w q)", "x")
    text = words(ax)
    assert {"1", "2.5", "0", "4", "(h p)", "(w q)", "x"} <= set(text)
    assert text["(h p)"].get_position()[0] < box.x
    assert text["(w q)"].get_position()[1] < box.y
    brightness = [sum(cell.get_facecolor()[:3]) for cell in cells(ax)]
    assert brightness[2] == max(brightness)
    assert brightness[3] == min(brightness)


def test_one_row_of_numbers_lies_in_the_form_and_the_shades_that_are_asked_for(ax):
    diagrams.numbers(ax, 0, 0, [0.24, 0.66], shades=[1, 0], form="{:.2f}")
    one, other = cells(ax)
    assert {"0.24", "0.66"} <= set(words(ax))
    assert sum(one.get_facecolor()[:3]) < sum(other.get_facecolor()[:3])


def test_arrows_are_drawn_along_each_way(ax):
    diagrams.arrows(ax, ((1, 1), (3, 1)), ((1, 2), (4, 2), (4, 3)))
    heads = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert [head._posA_posB for head in heads] == [[(1, 1), (3, 1)], [(4, 2), (4, 3)]]
    assert len(ax.lines) == 1  # the stretch before the corner
