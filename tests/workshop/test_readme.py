"""The first page says what the course is made of."""

from pathlib import Path

from PIL import Image

from attncourse import check
from attncourse.course import CHAPTERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_lists_the_chapters_as_the_registry_does():
    rows = [
        line for line in README.splitlines() if line.startswith("| 0") or line.startswith("| 1")
    ]
    assert rows == [
        f"| {c.number:02} | [{c.title}](notebooks/solved/{c.stem}.ipynb) | {c.writes} "
        f"| {c.sees} | {c.minutes} |"
        for c in CHAPTERS
    ]


def test_the_first_screen_ends_with_the_table():
    lines = README.splitlines()
    assert lines.index("## What it is like to learn here") <= 30


def test_what_it_links_to_is_there():
    for target in ("docs/attention.png", "docs/explorer.gif", "CONTRIBUTING.md", "LICENSE"):
        assert (ROOT / target).is_file(), target
    for chapter in CHAPTERS:
        assert (ROOT / f"notebooks/solved/{chapter.stem}.ipynb").is_file()


def test_the_film_of_the_explorer_is_short_and_light():
    film = ROOT / "docs" / "explorer.gif"
    assert film.stat().st_size < 1_000_000
    with Image.open(film) as frames:
        assert 10 <= frames.n_frames <= 60


def test_the_verdict_on_the_first_page_is_what_check_says():
    def answer(q, k, v, mask=None):
        scores = q @ k.mT / k.shape[-2] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1).nan_to_num(0) @ v

    verdict = check("scaled_dot_product.scaled_dot_product_attention", answer)
    assert repr(verdict) in README
