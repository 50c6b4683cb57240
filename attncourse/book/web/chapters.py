"""The solved notebooks as pages: figures as files, answers folded, stubs shown before them."""

import base64
import hashlib
import io
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from attncourse.course import CHAPTERS, Chapter

FIGURES = "figures"  # a folder of the site's root
PICTURE = re.compile(r'src="data:image/png;base64,([A-Za-z0-9+/=\s]+)"')
CODE = {"code_prompt_show": "Show the code", "code_prompt_hide": "Hide the code"}
ANSWER = {"code_prompt_show": "Show the answer", "code_prompt_hide": "Hide the answer"}


def pages(root: Path, into: Path, extra: Path) -> None:
    """Every chapter as a page in `into/chapters`, its figures in `extra/figures`."""
    for folder in (into / "chapters", extra / FIGURES):
        folder.mkdir(parents=True, exist_ok=True)
    for chapter in CHAPTERS:
        solved, learner = (
            nbformat.read(root / "notebooks" / edition / f"{chapter.stem}.ipynb", as_version=4)
            for edition in ("solved", "learner")
        )
        nbformat.write(
            page(chapter, solved, learner, extra / FIGURES),
            into / "chapters" / f"{chapter.stem}.ipynb",
        )


def page(
    chapter: Chapter, solved: NotebookNode, learner: NotebookNode, figures: Path
) -> NotebookNode:
    """A solved notebook for the web. Its cells keep their ids, and can be linked by them."""
    stubs = {cell.id: cell.source for cell in learner.cells}
    cells = []
    for cell in solved.cells:
        if cell.cell_type == "markdown":
            # a target for the glossary: MyST's, before the first block of the cell
            cell.source = f"({anchor(chapter, cell.id)})=\n\n{cell.source}"
        elif "exercise" in cell.metadata:
            stub = nbformat.v4.new_code_cell(stubs[cell.id], id=f"{cell.id[:58]}-stub")
            cells.append(stub)
            cell.metadata = _folded(ANSWER)
        elif cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata = _folded(CODE)
        for output in cell.get("outputs", ()):
            _keep_pictures_apart(output, figures)
        cells.append(cell)
    solved.cells = cells
    solved.metadata.title = chapter.title
    return solved


def anchor(chapter: Chapter, cell: str) -> str:
    """The name under which a cell can be linked from every page."""
    return f"c{chapter.number:02}-{cell}".lower()


def _folded(prompts: dict[str, str]) -> NotebookNode:
    return nbformat.from_dict({"tags": ["hide-input"], "mystnb": prompts})


def _keep_pictures_apart(output: NotebookNode, figures: Path) -> None:
    """A picture within a page's HTML becomes a file, fetched when it comes into view."""
    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = PICTURE.sub(lambda found: _saved(found, figures), data["text/html"])
        for kind in ("image/png", "text/plain"):
            data.pop(kind, None)


def _saved(found: re.Match, figures: Path) -> str:
    picture = base64.b64decode(found[1])
    name = f"{hashlib.sha256(picture).hexdigest()[:16]}.png"
    (figures / name).write_bytes(picture)
    width, height = Image.open(io.BytesIO(picture)).size
    return (
        f'src="../{FIGURES}/{name}" loading="lazy" decoding="async" '
        f'style="aspect-ratio:{width}/{height}"'
    )
