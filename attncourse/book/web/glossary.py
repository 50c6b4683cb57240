"""The glossary: every bold term of the chapters, with the sentence that introduces it."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from attncourse.book.web.chapters import anchor
from attncourse.course import CHAPTERS, Chapter

BOLD = re.compile(r"\*\*([^*]+?)\*\*")
# Bold for its weight in the sentence, or as a label: no term that one looks up.
NO_TERMS = set(
    """about add all channels content control excites fixed gains interleaved memory merged not
    one-half position predict relative scales signs split squeezes stages starts-as-the-identity
    strided sum turn add bias cues""".split()
)
LABEL = re.compile(r"[.:?]$|^\W|\d|^About|,|^(The|Any|one|building|Nothing|Gradients|starts) ")
HEAD = """# Glossary

Every term that a chapter introduces in bold, with the sentence that does so.
The link goes to the place.

"""


@dataclass(frozen=True)
class Term:
    """A term, and where it stands in bold."""

    name: str
    sentence: str
    chapter: Chapter
    cell: str


def is_term(bold: str) -> bool:
    """Whether a bold text is a term, and neither a label nor a stress."""
    return not LABEL.search(bold) and bold.lower().replace(" ", "-") not in NO_TERMS


def terms(root: Path) -> list[Term]:
    """Every term of every chapter, by name; one that several introduce has several entries."""
    found = {}
    for chapter in CHAPTERS:
        path = root / "notebooks" / "solved" / f"{chapter.stem}.ipynb"
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "markdown":
                continue
            for paragraph in re.split(r"\n\s*\n|\n(?=[-|] )", cell.source):
                if paragraph.startswith(("|", "#")):
                    continue
                for bold in BOLD.findall(paragraph):
                    name = " ".join(bold.split())
                    if is_term(name):
                        term = Term(name, _sentence(paragraph, bold), chapter, cell.id)
                        found.setdefault((name.lower(), chapter.number), term)
    return sorted(found.values(), key=lambda t: (t.name.lower(), t.chapter.number))


def _sentence(paragraph: str, bold: str) -> str:
    text = " ".join(re.sub(r"</?(details|summary)[^>]*>", " ", paragraph).split())
    wanted = f"**{' '.join(bold.split())}**"
    sentences = re.split(r"(?<=[.?!]) (?=[A-Z])|^[-*] ", text)
    return next((s for s in sentences if wanted in s), text)


def page(root: Path) -> str:
    """The page, in MyST."""
    entries: dict[str, list[Term]] = {}
    for term in terms(root):
        entries.setdefault(term.name.lower(), []).append(term)
    parts = [HEAD]
    for of_one in entries.values():
        name = min((term.name for term in of_one), key=lambda n: n != n.lower())
        said = " ".join(
            f"{term.sentence} [Chapter {term.chapter.number:02}: {term.chapter.title}]"
            f"(#{anchor(term.chapter, term.cell)})."
            for term in of_one
        )
        parts.append(f"{name}\n: {said}\n\n")
    return "".join(parts)
