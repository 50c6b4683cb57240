import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from attncourse.book import plots


@pytest.fixture
def ax():
    fig, ax = plt.subplots(figsize=(3, 2))
    yield ax
    plt.close(fig)


@pytest.fixture
def shown(monkeypatch):
    """What `show` sends to the notebook."""
    import IPython.display

    sent = []
    monkeypatch.setattr(plots, "_shell", object)
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: sent.append(data))
    return sent


def test_weights_are_drawn_on_the_scale_from_0_to_1(ax):
    assert plots.heat(ax, torch.full((2, 3), 0.4, requires_grad=True), "j", "i", "t") is ax
    assert ax.images[0].get_clim() == (0, 1)
    assert ax.images[0].get_cmap().name == "viridis"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")) == ("j", "i", "t")
    assert len(ax.figure.axes) == 2  # the map and its colour bar


def test_a_scale_shown_once_is_enough(ax):
    plots.heat(ax, np.eye(3), "j", "i", "t", bar=False)
    assert len(ax.figure.axes) == 1


def test_signed_maps_are_white_at_0(ax):
    assert plots.signed(ax, torch.tensor([[-3.0, 1.0]]), "j", "i", "t") is ax
    assert ax.images[0].get_clim() == (-3, 3)
    assert ax.images[0].get_cmap().name == "RdBu_r"


def test_a_map_of_zeros_has_a_scale(ax):
    plots.signed(ax, np.zeros((2, 2)), "j", "i", "t")
    assert ax.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (5, 7, 1)])
def test_pictures_of_one_channel_are_grey(ax, shape):
    assert plots.image(ax, torch.rand(shape), "t") is ax
    assert ax.images[0].get_array().shape == (5, 7)
    assert ax.images[0].get_cmap().name == "gray"
    assert ax.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("shape", [(3, 5, 7), (5, 7, 3)])
def test_pictures_in_colour_may_have_channels_first_or_last(ax, shape):
    plots.image(ax, 2 * torch.rand(shape), "t")  # too bright: clipped, without a warning
    assert ax.images[0].get_array().shape == (5, 7, 3)


def test_other_shapes_are_refused_with_the_shape(ax):
    with pytest.raises(ValueError, match=r"\(2, 5, 7\)"):
        plots.image(ax, torch.rand(2, 5, 7), "t")
    with pytest.raises(ValueError, match="this has 1"):
        plots.heat(ax, torch.rand(3), "j", "i", "t")


def test_several_lines_have_a_legend(ax):
    assert plots.lines(ax, [0, 1], {"a": [0, 1], "b": torch.ones(2)}, "x", "y", "t") is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.lines[0].get_color() == "#0072B2"


def test_a_figure_is_shown_as_page_picture_and_words(ax, shown):
    plots.heat(ax, np.eye(3), "j", "i", "t")
    plots.show(ax.figure, 'the "diagonal"\n  is bright')
    (bundle,) = shown
    assert bundle["text/plain"] == 'the "diagonal" is bright'
    assert 'alt="the &quot;diagonal&quot; is bright"' in bundle["text/html"]
    assert "background-color:#ffffff" in bundle["text/html"]
    assert not re.search("<svg|<style|<script|var\\(", bundle["text/html"])
    png = base64.b64decode(bundle["image/png"])
    width, height = (int.from_bytes(png[n : n + 4]) for n in (16, 20))
    assert (width, height) == (330, 220)  # 3 in by 2 in at 110 dpi
    assert 'width="330"' in bundle["text/html"]
    assert not plt.fignum_exists(ax.figure.number)


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        _, ax = plt.subplots()
        plots.show(plots.lines(ax, [0, 1], {"a": [0, 1]}, "x", "y", "t").figure, "a line")
    assert shown[0] == shown[1]
    png = base64.b64decode(shown[0]["image/png"])
    assert b"Software" not in png
    assert b"matplotlib" not in png.lower()


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_a_figure_without_words_is_refused_in_one_line(ax, alt):
    with pytest.raises(ValueError, match=r"^say in `alt` what the figure shows[^\n]*$"):
        plots.show(ax.figure, alt)


def test_a_figure_wider_than_the_page_is_refused():
    fig, _ = plt.subplots(figsize=(7, 2))
    with pytest.raises(ValueError, match=r"7\.00 in wide; at most 6\.4"):
        plots.show(fig, "too wide")
    assert not plt.fignum_exists(fig.number)


def test_outside_a_notebook_nothing_is_printed(ax, capsys):
    plots.show(ax.figure, "words")
    assert capsys.readouterr() == ("", "")
    assert not plt.fignum_exists(ax.figure.number)
