"""The record of `positional.learned_positions`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Trial
from solutions.positional import (
    LearnedPositions,
)


def learned_trials():
    def trial(name, length, **sizes):
        init = dict(dim=sizes["dim"], length=length)
        return Trial(name, sizes | {"length": length}, dict(x="b n dim"), init)

    return (
        trial("on two examples", b=2, n=5, dim=4, length=11),
        trial("with as many tokens as places", b=3, n=7, dim=5, length=7),
        Trial(
            "with an axis of heads, b head n dim",
            dict(b=2, head=3, n=4, dim=6, length=9),
            dict(x="b head n dim"),
            dict(dim=6, length=9),
        ),
    )


def longer_than_the_table():
    sizes = dict(b=2, n=6, dim=4, length=5)
    init = dict(dim=4, length=5)
    return (Trial("6 tokens where there are 5 places", sizes, dict(x="b n dim"), init),)


class PlacesMissing(LearnedPositions):
    """The places are not added: you return x as it came."""

    def forward(self, x):
        return x + 0 * self.table[0]


class PlacesAlone(LearnedPositions):
    """You return the places alone. They are added to the tokens: x + …"""

    def forward(self, x):
        return 0 * x + self.table[: x.shape[-2]]


class AlongTheBatch(LearnedPositions):
    """Each example gets a place, not each token: your table runs along the first axis, b. It
    runs along n, the last but one."""

    def forward(self, x):
        return x + self.table[: x.shape[0]].reshape(-1, *[1] * (x.ndim - 2), x.shape[-1])


class LastPlaces(LearnedPositions):
    """You take the last n rows of the table. A short sequence begins at place 0."""

    def forward(self, x):
        return x + self.table[-x.shape[-2] :]


class FirstPlaceForAll(LearnedPositions):
    """All tokens get the place 0. Token n gets row n."""

    def forward(self, x):
        return x + self.table[0]


class PlacesBackwards(LearnedPositions):
    """Your places run backwards: the first token gets the last place."""

    def forward(self, x):
        return x + self.table[: x.shape[-2]].flip(0)


class OnePlaceLate(LearnedPositions):
    """You are one row late: token 0 gets row 0, not row 1."""

    def forward(self, x):
        return x + self.table.roll(-1, 0)[: x.shape[-2]]


class Multiplied(LearnedPositions):
    """You multiply tokens and places. They are added."""

    def forward(self, x):
        return x * self.table[: x.shape[-2]]


class Appended(LearnedPositions):
    """You put the places beside the features of the tokens. They are added: the width stays."""

    def forward(self, x):
        places = self.table[: x.shape[-2]].expand(x.shape)
        return torch.cat([x, places], dim=-1)


class PlacesNormed(LearnedPositions):
    """You norm the sum. Tokens and places are added, no more."""

    def forward(self, x):
        return F.layer_norm(x + self.table[: x.shape[-2]], x.shape[-1:])


class SameNumberForAllFeatures(LearnedPositions):
    """You add one number to all features of a token. A place is a vector: row n of the
    table."""

    def forward(self, x):
        return x + self.table[: x.shape[-2]].mean(-1, keepdim=True)


class TokensScaled(LearnedPositions):
    """You multiply the tokens by sqrt(dim) first. The Transformer does that where it embeds
    words; here x is taken as it is."""

    def forward(self, x):
        return x * math.sqrt(x.shape[-1]) + self.table[: x.shape[-2]]


class LearnedLoops(LearnedPositions):
    def forward(self, x):
        tokens = [x[..., n, :] + self.table[n] for n in range(x.shape[-2])]
        return torch.stack(tokens, dim=-2)


class LearnedEmbedding(LearnedPositions):
    def forward(self, x):
        where = torch.arange(x.shape[-2], device=x.device)
        return F.embedding(where, self.table).expand_as(x) + x


EXERCISE = Exercise(
    id="positional.learned_positions",
    solution=LearnedPositions,
    probes={"forward": "b n dim"},
    trials=learned_trials,
    blank=("forward",),
    slips=(
        PlacesMissing,
        PlacesAlone,
        AlongTheBatch,
        LastPlaces,
        FirstPlaceForAll,
        PlacesBackwards,
        OnePlaceLate,
        Multiplied,
        Appended,
        TokensScaled,
        PlacesNormed,
        SameNumberForAllFeatures,
    ),
    hints=(
        "The table has `length` rows. Which of them does a sequence of n tokens need?",
        (
            "The first n, one for each token, the same for every example of the batch: axes"
            " are matched from the right, so n dim meets b n dim as it should."
        ),
        (
            "n = x.shape[-2]; raise ValueError if n is more than the table has\n"
            "return x + the first n rows of self.table"
        ),
    ),
    minutes=4,
    difficulty=1,
    otherwise=(LearnedLoops, LearnedEmbedding),
    refuses=longer_than_the_table,
    laws=("examples_do_not_mix", "tokens_and_places_count_once", "one_step_more_or_less"),
    skip=frozenset({"kind"}),
)
