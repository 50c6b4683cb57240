"""Figures of the course. Each function draws on the axes it is given and returns them."""

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

WIDEST = 6.4  # inches

plt.style.use(Path(__file__).with_name("course.mplstyle"))


def heat(ax, grid, xlabel, ylabel, title, low=0.0, high=1.0, bar=True) -> Axes:
    """A matrix as colours on a stated scale, so that two figures can be compared by eye.

    bar  False where the axes beside it already show the scale
    """
    return _matrix(ax, grid, xlabel, ylabel, title, low, high, "viridis", bar)


def signed(ax, grid, xlabel, ylabel, title, limit=None, bar=True) -> Axes:
    """A matrix of either sign: white is 0, red above, blue below, to the same depth."""
    grid = _array(grid)
    limit = float(np.abs(grid).max()) or 1.0 if limit is None else limit
    return _matrix(ax, grid, xlabel, ylabel, title, -limit, limit, "RdBu_r", bar)


def image(ax, picture, title, low=0.0, high=1.0) -> Axes:
    """A picture, grey (h w) or in colour, without ticks.

    Colours come last (h w c) or, where the last axis is no colour's, first (c h w).
    """
    picture = _array(picture)
    if picture.ndim == 3 and picture.shape[-1] not in (1, 3) and picture.shape[0] in (1, 3):
        picture = np.moveaxis(picture, 0, -1)
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    if picture.ndim != 2 and (picture.ndim != 3 or picture.shape[-1] != 3):
        raise ValueError(f"a picture is h w, c h w or h w c; this is {picture.shape}")
    if picture.ndim == 3:
        picture = ((picture.astype(float) - low) / (high - low)).clip(0, 1)
    ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def lines(ax, x, ys: Mapping[str, object], xlabel, ylabel, title) -> Axes:
    """One line for each name in `ys`, with a legend where there are several."""
    for name, y in ys.items():
        ax.plot(_array(x), _array(y), label=name)
    if len(ys) > 1:
        ax.legend()
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return ax


def show(fig: Figure, alt: str, explorer: str = "") -> None:
    """Display a figure in a notebook together with what it shows in words, and close it.

    The words are what a screen reader reads. Outside IPython the figure is only closed.
    `explorer` names the maps of a figure that the web edition can bring to life.
    """
    words = " ".join(alt.split()) if isinstance(alt, str) else ""
    if not words:
        plt.close(fig)
        raise ValueError("say in `alt` what the figure shows, for those who cannot see it")
    width = fig.get_figwidth()
    if width > WIDEST + 1e-6:
        plt.close(fig)
        raise ValueError(f"the figure is {width:.2f} in wide; at most {WIDEST} in fit the page")
    bundle = _bundle(fig, words, explorer)
    plt.close(fig)
    if _shell() is not None:
        from IPython.display import display

        display(bundle, raw=True)


def _bundle(fig: Figure, alt: str, explorer: str = "") -> dict[str, str]:
    """The figure as a web page shows it, as a picture, and in words."""
    buffer = io.BytesIO()
    # No version, no date: the same figure gives the same bytes. No tight box: the size is ours.
    fig.savefig(buffer, format="png", bbox_inches=None, metadata={"Software": None})
    png = base64.b64encode(smaller(buffer)).decode()
    width = round(fig.get_figwidth() * fig.dpi)
    named = f'class="attn-explorer" data-explorer="{explorer}" ' if explorer else ""
    return {
        "text/html": (
            f'<figure {named}style="display:inline-block;margin:0;background-color:#ffffff">'
            f'<img src="data:image/png;base64,{png}" alt="{html.escape(alt)}" width="{width}">'
            "</figure>"
        ),
        "image/png": png,
        "text/plain": alt,
    }


def smaller(picture: io.BytesIO) -> bytes:
    """A PNG with the 256 colours that matter most: a third of the bytes, alike to the eye."""
    colours = Image.open(picture).convert("RGB").quantize(256, kmeans=2)
    buffer = io.BytesIO()
    colours.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _shell():
    """The notebook's shell, or None outside one."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _drop_unfinished_figures(shell, kind, error, trace, tb_offset=None) -> None:
    """A cell that needs an exercise not written yet shows the error, and no empty axes."""
    plt.close("all")
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


if _shell() is not None:
    _shell().set_custom_exc((NotImplementedError,), _drop_unfinished_figures)


def _array(values) -> np.ndarray:
    return (
        values.detach().cpu().numpy()
        if isinstance(values, torch.Tensor)
        else np.asarray(values)
    )


def _matrix(ax, grid, xlabel, ylabel, title, low, high, colours, bar) -> Axes:
    grid = _array(grid)
    if grid.ndim != 2:
        raise ValueError(f"a matrix has two axes; this has {grid.ndim}: {grid.shape}")
    drawn = ax.imshow(grid, vmin=low, vmax=high, cmap=colours)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    if bar:
        ax.figure.colorbar(drawn, ax=ax)
    return ax
