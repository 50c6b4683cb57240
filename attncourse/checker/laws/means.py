"""Means of maps: every pixel counts, and counts alike."""

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law
from attncourse.exercises.letters import number


@law
def pixels_are_all_alike(look: Look) -> str | None:
    """Means of whole maps do not change when the pixels change places."""
    x = look.trial.inputs.get("x")
    if look.axes != "b c" or not isinstance(x, Tensor) or x.ndim != 4 or x.shape[-1] < 2:
        return None
    pixels = x.flatten(2)
    order = torch.randperm(pixels.shape[-1], generator=torch.Generator().manual_seed(0))
    again = look.ask(x=pixels[..., order].reshape(x.shape))
    if not isinstance(again, Tensor) or close(again, look.y):
        return None
    return (
        "Shuffle the pixels of an image, and your result changes. That of a mean over h and w"
        " does not: is it taken over all pixels, once, and over nothing else?"
    )


@law
def a_mean_keeps_what_is_even(look: Look) -> str | None:
    """The mean of a map that is 1 everywhere is 1, and the mean of -x is minus that of x."""
    x = look.trial.inputs.get("x")
    if not isinstance(x, Tensor):
        return None
    flat = look.ask(x=torch.ones_like(x))
    if isinstance(flat, Tensor) and flat.shape == look.y.shape:
        worst = flat.flatten()[(flat - 1).abs().argmax()].item()
        if abs(worst - 1) > 1e-6:
            return (
                f"Of maps that are 1 everywhere you return {number(worst)}; their mean is 1. Is"
                " the sum divided by the number of pixels that were summed?"
            )
    minus = look.ask(x=-x)
    if isinstance(minus, Tensor) and not close(minus, -look.y):
        return (
            "Turn the sign of all pixels, and your result should turn its sign. It does not:"
            " this is no mean of the pixels."
        )
    return None


@law
def pixels_of_the_mean(look: Look) -> str | None:
    """Which pixels count in a mean around a pixel, and how much: read off an answer that is
    linear, by maps that are 1 at one pixel."""
    x, extent = look.trial.inputs.get("x"), look.trial.inputs.get("extent")
    if not isinstance(extent, int) or not isinstance(x, Tensor) or look.y.ndim != 4:
        return None
    c, h, w = x.shape[1:]
    maps = torch.eye(h * w, dtype=x.dtype).reshape(h * w, 1, h, w).expand(-1, c, -1, -1)
    counts = look.ask(x=maps.contiguous())
    if not isinstance(counts, Tensor) or counts.shape != (h * w, *look.y.shape[1:]):
        return None
    shares = counts.reshape(h, w, *counts.shape[1:])
    if not close(torch.einsum("bchw,hwcuv->bcuv", x, shares), look.y):
        return None
    rows, columns = torch.arange(h)[:, None], torch.arange(w)
    _, _, us, vs = look.y.shape
    near = {
        (u, v): ((rows - u * extent).abs() < extent) & ((columns - v * extent).abs() < extent)
        for u in range(us)
        for v in range(vs)
    }
    first = sorted(near, key=lambda at: -near[at].sum().item())  # where no border is near
    said = (_other_pixels(shares[:, :, 0, *at], near[at], at, extent) for at in first)
    return next(filter(None, said), None)


def _other_pixels(mine: Tensor, wanted: Tensor, at: tuple[int, int], extent: int) -> str | None:
    """Which pixels count in one mean that should not, or count otherwise than the rest."""
    u, v = at
    where = f"Around u={u}, v={v}, which is pixel h={u * extent}, w={v * extent},"
    for seen, verb in (
        (wanted & (mine.abs() < 1e-9), "leave out"),
        (~wanted & (mine.abs() > 1e-9), "count"),
    ):
        if seen.any():
            h, w = seen.nonzero()[0].tolist()
            more = seen.sum().item() - 1
            others = f" and {more} more" if more else ""
            return (
                f"{where} you {verb} the pixel h={h}, w={w}{others}. The mean"
                f" is over the {wanted.sum().item()} that are nearer than {extent} in rows"
                " and nearer in columns."
            )
    counted = mine[wanted]
    if close(counted, counted.mean().expand_as(counted)):
        return None
    return (
        f"{where} pixels count differently: from {number(counted.min().item())} to"
        f" {number(counted.max().item())}. In a mean of {len(counted)} each counts"
        f" 1 / {len(counted)}."
    )
