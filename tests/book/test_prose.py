"""What the prose of the chapters says in numbers stands in an output, or beside its source."""

import re
from decimal import Decimal

import pytest
from built import saved

from attncourse.course import CHAPTERS

# Not prose: code, formulas, tags, addresses, tables, headings, and numbers of sections.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<[^>]*>|\]\([^)]*\)|^\|.*$|^#+ .*$"
    r"|[Ss]ections? \d+\.\d+|\b\d+\.\d+(?= (and|or|to) \d+\.\d+ (of|in) (chapter|this))",
    re.DOTALL | re.MULTILINE,
)
SOURCE = re.compile(r"http|\bTable\b|\beqs?\.|et al\.|\bpaper'?s?\b|\babstract\b|\breported?\b")
NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*\.\d+(?![\w.]*\d)")


def numbers(text):
    return [Decimal(n.replace("−", "-").replace(",", "")) for n in NUMBER.findall(text)]


def said(cell):
    """The decimal numbers of a cell's paragraphs that name no source."""
    for paragraph in re.split(r"\n\s*\n", cell.source):
        if not SOURCE.search(paragraph):
            yield from ((n, paragraph) for n in numbers(NOT_PROSE.sub(" ", paragraph)))


def printed(notebook):
    """Every number that some output shows."""
    found = set()
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            text = "\n".join((output.get("text", ""), data.get("text/plain", "")))
            found |= {
                Decimal(n.replace("−", "-").replace(",", ""))
                for n in re.findall(r"[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?", text)
            }
    return found


def stands(number, outputs):
    """Whether an output shows it, to as many digits or more; or as a share of 100."""
    step = Decimal(1).scaleb(number.as_tuple().exponent)
    return any(
        abs(shown - number) <= step / 2
        for output in outputs
        for shown in (output, output * 100, -output)
    )


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_number_of_the_prose_stands_in_an_output(chapter):
    notebook = saved("solved", chapter)
    outputs = printed(notebook)
    missing = [
        f"{number}: {' '.join(paragraph.split())[:120]}"
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for number, paragraph in said(cell)
        if not stands(number, outputs)
    ]
    assert missing == []


def test_a_number_that_no_output_shows_is_seen():
    outputs = {Decimal("0.81432"), Decimal("-3.2")}
    assert stands(Decimal("0.81"), outputs)
    assert stands(Decimal("81.4"), outputs)
    assert stands(Decimal("3.2"), outputs)
    assert not stands(Decimal("0.82"), outputs)
    assert numbers(NOT_PROSE.sub(" ", "by 0.5, $0.7$, `0.8` and in section 5.4: −1.25")) == [
        Decimal("0.5"),
        Decimal("-1.25"),
    ]
