"""Of several exercises of the chapter: fast."""

import math

import torch

from attncourse.exercises.record import Given, Trial

HIDDEN = -math.inf


def places_of(n, *sizes):
    """Indices of batch, head, i and j that broadcast to a map, as FlexAttention has them."""
    axes = [torch.arange(m) for m in (*sizes, n, n)]
    return [x[(...,) + (None,) * (len(axes) - 1 - at)] for at, x in enumerate(axes)]


def mod_trials(chosen):
    """Trials of a mask_mod: for each number of tokens, with these words."""

    def trials():
        found = []
        for n, more in chosen:
            batch, head, i, j = places_of(n, 1, 1)
            given = {
                "batch": Given("1 1 1 1", batch),
                "head": Given("1 1 1", head),
                "i": Given("i 1", i),
                "j": Given("j", j),
            }
            said = ", ".join(f"{name}={value}" for name, value in more.items())
            found.append(Trial(f"for {n} tokens, {said}", dict(i=n, j=n), given | more))
        return tuple(found)

    return trials
