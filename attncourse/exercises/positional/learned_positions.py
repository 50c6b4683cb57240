"""Learned positions: a vector of its own for each place is added."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.positional import LearnedPositions


def trials():
    def trial(name, length, **sizes):
        init = dict(dim=sizes["dim"], length=length)
        return Trial(name, sizes | {"length": length}, dict(x="b n dim"), init)

    return (
        trial("on two examples", b=2, n=5, dim=4, length=11),
        trial("with as many tokens as places", b=3, n=7, dim=5, length=7),
        Trial(
            "with an axis of heads, b head n dim",
            dict(b=2, head=3, n=4, dim=7, length=9),
            dict(x="b head n dim"),
            dict(dim=7, length=9),
        ),
    )


def longer_than_the_table():
    sizes = dict(b=2, n=6, dim=4, length=5)
    init = dict(dim=4, length=5)
    return (
        Trial("6 tokens where there are 5 places", sizes, dict(x="b n dim"), init, says=(6, 5)),
    )


# fmt: off
SUMS = (
    wrong("PlacesMissing", "x + self.table[:tokens]", "x",
          "The places are not added: you return x as it came."),
    wrong("PlacesAlone", "x + self.table[:tokens]", "self.table[:tokens].expand_as(x)",
          "You return the places alone. They are added to the tokens: x + …"),
    wrong("Appended", "x + self.table[:tokens]",
          "torch.cat([x, self.table[:tokens].expand_as(x)], dim=-1)",
          "You put the places beside the features of the tokens. They are added: the width stays."),
    wrong("TokensScaled", "x + self", "x * math.sqrt(x.shape[-1]) + self",
          "You multiply the tokens by sqrt(dim) first. The Transformer does that where it embeds"
          " words; here x is taken as it is."),
)

PLACES = (
    wrong("AlongTheBatch", "self.table[:tokens]",
          "self.table[: len(x)].reshape(-1, *[1] * (x.ndim - 2), x.shape[-1])",
          "Each example gets a place, not each token: your table runs along the first axis, b. It"
          " runs along n, the last but one."),
    wrong("LastPlaces", "[:tokens]", "[-tokens:]",
          "You take the last n rows of the table. A short sequence begins at place 0."),
    wrong("FirstPlaceForAll", "[:tokens]", "[0]",
          "All tokens get the place 0. Token n gets row n."),
    wrong("PlacesBackwards", "[:tokens]", "[:tokens].flip(0)",
          "Your places run backwards: the first token gets the last place."),
    wrong("OnePlaceLate", "self.table[:tokens]", "self.table.roll(-1, 0)[:tokens]",
          "You are one row late: token 0 gets row 0, not row 1."),
)
# fmt: on


def refuse_beyond(x, table):
    if x.shape[-2] > len(table):
        raise ValueError(f"there are {len(table)} places for {x.shape[-2]} tokens")


class LearnedLoops(LearnedPositions):
    def forward(self, x):
        refuse_beyond(x, self.table)
        tokens = [x[..., n, :] + self.table[n] for n in range(x.shape[-2])]
        return torch.stack(tokens, dim=-2)


class LearnedEmbedding(LearnedPositions):
    def forward(self, x):
        refuse_beyond(x, self.table)
        where = torch.arange(x.shape[-2], device=x.device)
        return F.embedding(where, self.table).expand_as(x) + x


EXERCISE = Exercise(
    id="positional.learned_positions",
    solution=LearnedPositions,
    probes={"forward": "b n dim"},
    trials=trials,
    blank=("forward",),
    slips=(*SUMS, *PLACES),
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
)
