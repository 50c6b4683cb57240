"""What built notebooks hold: the miniature's, and those of the course."""

import nbformat

from attncourse.book.editions import ROOT


def saved(edition, chapter):
    path = ROOT / "notebooks" / edition / f"{chapter.stem}.ipynb"
    return nbformat.read(path, as_version=4)


def built(miniature, edition):
    return nbformat.read(miniature.notebook(edition), as_version=4)


def exercise_cells(notebook):
    return {c.metadata.exercise: c for c in notebook.cells if "exercise" in c.metadata}
