"""A made-up translation: dates as people write them, into the one way that ISO 8601 knows.

"the 3rd of  Febuary '87"  ->  "1987-02-03"

Every text has one right answer: numbers with dots are day.month.year, with slashes
month/day/year, with dashes year-month-day; two figures of a year mean 1950 to 2049.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from random import Random
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from solutions.transformer import BEGIN, END, PAD

FIRST, LAST = date(1950, 1, 1), date(2049, 12, 31)
MONTHS = (
    "January February March April May June July August September October November December"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LETTERS = " '(),-./:?0123456789abcdefghijklmnopqrstuvwxyz"  # capitals are written small
WORDS = 3 + len(LETTERS)  # padding, begin and end come first
AROUND = ("{}", "{}", "{}", "{}", "on {}", "date: {}", "({})", "{}.", "born {}", "{} ?")
HELD_OUT = 10  # every tenth day is kept for testing


class Dates(NamedTuple):
    """Dates twice: as people write them, and in ISO's way.

    text    as people write it           source  b j, its letters as numbers, then padding
    iso     ten letters, "1987-02-03"    target  b i, BEGIN, its letters, END
    """

    text: list[str]
    iso: list[str]
    source: Int[Tensor, "b j"]
    target: Int[Tensor, "b i"]


def dates(examples: int, seed: int = 0, held_out: bool = False) -> Dates:
    """Days drawn evenly from a hundred years, each written in a way drawn at random.

    With `held_out` days that never come up without it, for testing.
    """
    dice = Random(f"{seed} {held_out}")
    days = [_day(dice, held_out) for _ in range(examples)]
    text, iso = [written(day, dice) for day in days], [day.isoformat() for day in days]
    return Dates(text, iso, numbers(text), numbers(iso, begin=True))


def _day(dice: Random, held_out: bool) -> date:
    while True:
        day = FIRST + timedelta(dice.randrange((LAST - FIRST).days + 1))
        if (day.toordinal() % HELD_OUT == 0) == held_out:
            return day


def written(day: date, dice: Random) -> str:
    """One of the ways in which people write a day, with their slips of the pen."""
    form = dice.choice((_figures, _day_first, _month_first, _year_first))
    text = dice.choice(AROUND).format(form(day, dice))
    if dice.random() < 0.2:  # a space too many
        place = dice.choice([n for n, letter in enumerate(text) if letter == " "] or [0])
        text = text[:place] + " " + text[place:]
    return text


def _figures(day: date, dice: Random) -> str:
    two = dice.choice((True, False))  # figures for day and month
    d, m = (f"{n:02}" if two else str(n) for n in (day.day, day.month))
    order = dice.choice(("{d}.{m}.{y}", "{d}. {m}. {y}", "{m}/{d}/{y}", "{Y}-{m}-{d}"))
    return order.format(d=d, m=m, y=_year(day, dice, ("", "")), Y=day.year)


def _day_first(day: date, dice: Random) -> str:
    d = dice.choice((str(day.day), _ordinal(day.day), f"the {_ordinal(day.day)}"))
    of = " of " if d[-1].isalpha() and dice.random() < 0.7 else " "
    comma = dice.choice((",", "", ""))
    return f"{_weekday(day, dice)}{d}{of}{_month(day, dice)}{comma} {_year(day, dice)}"


def _month_first(day: date, dice: Random) -> str:
    d = dice.choice((str(day.day), _ordinal(day.day)))
    return f"{_weekday(day, dice)}{_month(day, dice)} {d}, {_year(day, dice)}"


def _year_first(day: date, dice: Random) -> str:
    return f"{day.year}{dice.choice((' ', ', '))}{_month(day, dice)} {day.day}"


def _ordinal(n: int) -> str:
    last = "th" if n in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{last}"


def _year(day: date, dice: Random, apostrophe: Iterable[str] = ("'", "")) -> str:
    if dice.random() < 0.3:
        return dice.choice(tuple(apostrophe)) + f"{day.year % 100:02}"
    return str(day.year)


def _month(day: date, dice: Random) -> str:
    name = MONTHS[day.month - 1]
    if dice.random() < 0.3 and len(name) > 4:
        return name[:3] + dice.choice((".", ""))
    return misspelt(name, dice) if dice.random() < 0.3 else name


def _weekday(day: date, dice: Random) -> str:
    if dice.random() < 0.7:
        return ""
    name = DAYS[day.weekday()]
    name = name[:3] if dice.random() < 0.5 else misspelt(name, dice)
    return name + dice.choice((", ", " "))


def misspelt(name: str, dice: Random) -> str:
    """A name with one letter doubled or left out, or two swapped; three letters stay."""
    return name if len(name) < 4 else dice.choice(sorted(spellings(name)))


def spellings(name: str) -> set[str]:
    """All ways to misspell a name by one letter. Its first letter stays, and no other month
    is meant."""
    found = set()
    for n in range(1, len(name)):
        found |= {name[:n] + name[n] + name[n:], name[:n] + name[n + 1 :]}
        if n > 1:
            found.add(name[: n - 1] + name[n] + name[n - 1] + name[n + 1 :])
    return found - {name}


def numbers(texts: Iterable[str], begin: bool = False) -> Int[Tensor, "b n"]:
    """Texts as numbers, padded to the longest; with `begin` between BEGIN and END.

    Raises ValueError for a letter that has no number.
    """
    rows = []
    for text in texts:
        try:
            row = [3 + LETTERS.index(letter) for letter in text.lower()]
        except ValueError:
            unknown = next(letter for letter in text.lower() if letter not in LETTERS)
            raise ValueError(f"{unknown!r} in {text!r} is none of {LETTERS!r}") from None
        rows.append([BEGIN, *row, END] if begin else row)
    longest = max(map(len, rows), default=0)
    padded = [row + [PAD] * (longest - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(len(rows), longest)


def texts(words: Int[Tensor, "b n"]) -> list[str]:
    """Numbers as texts, as far as END; padding and BEGIN are left out."""
    found = []
    for row in words.tolist():
        end = row.index(END) if END in row else len(row)
        found.append("".join(LETTERS[n - 3] for n in row[:end] if n >= 3))
    return found
