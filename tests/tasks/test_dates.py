"""What must be true of the made-up dates: one right answer each, and a test never seen."""

from datetime import date, timedelta
from itertools import combinations
from random import Random

import pytest
import torch

from attncourse.tasks.dates import (
    DAYS,
    FIRST,
    HELD_OUT,
    LAST,
    LETTERS,
    MONTHS,
    WORDS,
    dates,
    misspelt,
    numbers,
    spellings,
    texts,
    written,
)
from solutions.transformer import BEGIN, END, PAD


def test_the_same_seed_gives_the_same_dates_and_another_seed_others():
    one, again, other = dates(50, seed=3), dates(50, seed=3), dates(50, seed=4)
    assert one.text == again.text
    assert torch.equal(one.source, again.source)
    assert one.text != other.text


def test_drawing_dates_leaves_torchs_random_numbers_alone():
    before = torch.get_rng_state()
    dates(10)
    assert torch.equal(torch.get_rng_state(), before)


def test_days_held_out_never_come_up_in_training():
    assert not set(dates(5000).iso) & set(dates(5000, held_out=True).iso)
    held = dates(500, held_out=True).iso
    assert all(date.fromisoformat(iso).toordinal() % HELD_OUT == 0 for iso in held)


def test_days_lie_within_a_hundred_years_so_that_two_figures_name_one_year():
    days = [date.fromisoformat(iso) for iso in dates(5000).iso]
    assert min(days) >= FIRST
    assert max(days) <= LAST
    years = {(FIRST + timedelta(days=n)).year for n in range((LAST - FIRST).days + 1)}
    assert len({year % 100 for year in years}) == len(years) == 100


def test_no_text_stands_for_two_days():
    meant = {}
    for seed in range(3):
        drawn = dates(20_000, seed=seed)
        for text, iso in zip(drawn.text, drawn.iso, strict=True):
            assert meant.setdefault(text.lower(), iso) == iso


def test_no_misspelt_month_can_be_read_as_another():
    known = {name: spellings(name) | {name, name[:3]} for name in MONTHS}
    for one, other in combinations(MONTHS, 2):
        assert not known[one] & known[other]


def test_a_misspelling_is_one_slip_of_the_pen():
    assert {"Fbruary", "Febuary", "Feburary", "Febrruary"} <= spellings("February")
    assert "February" not in spellings("February")
    for name in MONTHS + DAYS:
        for found in spellings(name):
            assert found[0] == name[0]
            assert abs(len(found) - len(name)) <= 1
            assert set(found) <= set(name)
    assert misspelt("May", Random(0)) == "May"


def test_there_are_many_ways_to_write_a_day():
    day, dice = date(1987, 2, 3), Random(0)
    found = {written(day, dice) for _ in range(3000)}
    assert {"1987-02-03", "3.2.1987", "2/3/1987", "3 February 1987"} <= found
    assert len(found) > 800
    assert any("'87" in text for text in found)
    assert any(text.startswith("Tue") for text in found)
    assert not any(text.startswith(("Wed", "Mon")) for text in found)


def test_letters_become_numbers_and_come_back():
    drawn = dates(300)
    assert texts(drawn.source) == [text.lower() for text in drawn.text]
    assert texts(drawn.target) == drawn.iso
    assert (drawn.target[:, 0] == BEGIN).all()
    assert (drawn.target[:, 11] == END).all()
    assert drawn.target.shape == (300, 12)
    assert int(drawn.source.max()) < WORDS == 3 + len(set(LETTERS))


def test_shorter_texts_are_padded_at_the_end():
    assert numbers(["31", "1"]).tolist() == [[16, 14], [14, PAD]]
    assert numbers(["1"], begin=True).tolist() == [[BEGIN, 14, END]]
    assert numbers([]).shape == (0, 0)


def test_texts_stop_at_the_end():
    assert texts(torch.tensor([[BEGIN, 14, END, 16, PAD], [16, 16, PAD, PAD, PAD]])) == [
        "1",
        "33",
    ]


def test_an_unknown_letter_is_named():
    with pytest.raises(ValueError, match="'ä' in '3 März' is none of"):
        numbers(["3 März"])
