"""More and fewer axes where the annotation leaves their number open: `*batch`, `*space`."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from attncourse.checker.trials import Prepared
from attncourse.checker.varied.kind import Varied, annotations, changed, numbers
from attncourse.exercises.record import Exercise

MORE = "more"  # the letter of an axis that no trial has


class Star(NamedTuple):
    """Where the axes of a `*batch` stand in an input: from the first to before the last."""

    name: str
    first: int
    last: int


def varied(ex: Exercise, trial: Prepared) -> Iterator[Varied]:
    stars = _stars(ex, trial)
    for name in dict.fromkeys(star.name for star in stars.values()):
        mine = {n: star for n, star in stars.items() if star.name == name}
        often = (
            f"The annotation says *{name}, any number of axes: count axes from the other end,"
            ' or let "..." stand for them.'
        )
        yield Varied(_more(ex, trial, mine), "needs_so_many_axes", often)
        if any(star.last > star.first for star in mine.values()):
            yield Varied(_fewer(trial, mine), "needs_so_many_axes", often)


def _stars(ex: Exercise, trial: Prepared) -> dict[str, Star]:
    """Of each input whose annotation has a star: which axes it stands for on this trial.

    A name that stands for one axis elsewhere, as in "b n d" beside "*b n n", does so here too.
    """
    promised = {name: spelt.split() for name, spelt in annotations(ex).items()}
    plain = {token for tokens in promised.values() for token in tokens}
    found = {}
    for name, tokens in promised.items():
        x = trial.inputs.get(name)
        at = next((n for n, token in enumerate(tokens) if token.startswith("*")), None)
        if at is None or not isinstance(x, Tensor) or tokens[at].lstrip("*#") in plain:
            continue
        found[name] = Star(tokens[at].lstrip("*#"), at, at + x.ndim - len(tokens) + 1)
    return found


def _more(ex: Exercise, trial: Prepared, stars: Mapping[str, Star]) -> Prepared:
    """With one axis more: in front of those that lead, behind those that end."""
    size = next(n for n in range(2, 50) if n not in trial.sizes.values())
    inputs, axes = {}, {}
    for name, star in stars.items():
        x, spelt = trial.inputs[name], trial.axes.get(name, "").split()
        at = star.last if star.first else 0
        if name in trial.drawn and "sizes" not in ex.skip:
            others = numbers(ex, f"more {name}", (*x.shape[:at], size - 1, *x.shape[at:]))
            inputs[name] = torch.cat([x.unsqueeze(at), others], at)
        elif star.last > star.first or (not star.first and x.dtype != torch.bool):
            inputs[name] = torch.stack([x] * size, at)  # a mask without them holds for all
        else:
            continue
        axes[name] = " ".join([*spelt[:at], MORE, *spelt[at:]])
    return _named(trial, "one axis more", inputs, axes, {MORE: size})


def _fewer(trial: Prepared, stars: Mapping[str, Star]) -> Prepared:
    """With none of them; of those that end, one stays."""
    inputs, axes = {}, {}
    for name, star in stars.items():
        x, spelt = trial.inputs[name], trial.axes.get(name, "").split()
        keep = star.first + (1 if star.first else 0)
        for at in reversed(range(keep, star.last)):
            x = x.select(at, 0)
        inputs[name], axes[name] = x.clone(), " ".join([*spelt[:keep], *spelt[star.last :]])
    return _named(trial, "fewer axes", inputs, axes, {})


def _named(
    trial: Prepared, how: str, inputs: Mapping, axes: Mapping, sizes: Mapping
) -> Prepared:
    shown = ", ".join(f"`{name}` as {letters}" for name, letters in axes.items() if letters)
    name = f"with {how}" + (f" ({shown})" if shown else "")
    return changed(
        trial, name, inputs, axes={**trial.axes, **axes}, sizes={**trial.sizes, **sizes}
    )
