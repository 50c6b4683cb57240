"""What the miniature's notebooks hold."""

import nbformat


def built(miniature, edition):
    return nbformat.read(miniature.notebook(edition), as_version=4)


def exercise_cells(notebook):
    return {c.metadata.exercise: c for c in notebook.cells if "exercise" in c.metadata}
