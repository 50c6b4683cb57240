"""Of several exercises of the chapter: shapes."""

import torch

from attncourse.exercises.record import Trial

# Divisible every which way, so that an answer with two letters exchanged still computes.
ONE = {"h": 6, "w": 5, "p": 2, "q": 4, "c": 7}
OTHER = {"h": 2, "w": 7, "p": 5, "q": 3, "c": 4}


def in_patches(sizes):
    """The same sizes where rows and columns are those of patches, and have their words."""
    words = {"h": "row", "w": "column"}
    return {words.get(letter, letter): size for letter, size in sizes.items()}


def cut_trials(axes="(h p) (w q) c", one=ONE, other=OTHER):
    """Trials for functions of a picture and of a patch of p x q pixels."""
    return tuple(
        Trial(name, s, {"picture": axes, "p": s["p"], "q": s["q"]})
        for name, s in (("on a wide picture", one), ("on another picture", other))
    )


def uncut_trials():
    """Trials with a remainder, of height or of width, that no patch holds."""
    height = {"height": 7, "width": 8, "c": 5}
    return (
        Trial(
            "7 x 8 pixels in patches of 3 x 4",
            height,
            {"picture": "height width c", "p": 3, "q": 4},
            says=(7, 8, 3, 4),
        ),
        Trial(
            "6 x 10 pixels in patches of 4 x 3",  # 12 divides 60, 4 does not divide 6
            {"height": 6, "width": 10, "c": 5},
            {"picture": "height width c", "p": 4, "q": 3},
            says=(6, 10, 4, 3),
        ),
        Trial(
            "9 x 10 pixels in patches of 3 x 4",
            {"height": 9, "width": 10, "c": 5},
            {"picture": "height width c", "p": 3, "q": 4},
            says=(9, 10, 3, 4),
        ),
    )


def refuse_rest(picture, p, q):
    """The guard that correct answers share."""
    height, width, _ = picture.shape
    if height % p or width % q:
        raise ValueError(f"{p=} and {q=} do not divide {height} x {width}")


def patches_by_loops(picture, p, q):
    refuse_rest(picture, p, q)
    height, width, _ = picture.shape
    corners = ((y, x) for y in range(0, height, p) for x in range(0, width, q))
    return torch.stack([picture[y : y + p, x : x + q] for y, x in corners])
