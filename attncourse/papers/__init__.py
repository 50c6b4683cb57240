"""What the papers printed, how they counted, and whether a built model agrees.

    figures("cbam.table4")                    rows of the papers' tables, as printed
    figure("cbam.table4.resnet50+cbam")       one of them
    compare("cbam.table4.resnet50+cbam")      built here and counted by the paper's rule
    compare(model, "cbam.table4.resnet50")    the same of a model of yours
    contradictions()                          printed figures that cannot both be right

An id is paper.table.row. `papers.json` holds the tables in the words of the papers, with a
confidence for each: "verbatim" was read in the paper or in what its authors released,
"second-hand" in a translation, in notes or in another's text, "computed" by building the model.
Zeros at the end are as the column prints its other figures.
"""

from attncourse.papers.builds import build, buildable
from attncourse.papers.comparing import Comparison, Line, compare, compare_all
from attncourse.papers.contradictions import Contradiction, contradictions
from attncourse.papers.figures import Printed, Row, Rule, UnknownFigure, figure, figures, slug

__all__ = [
    "Comparison",
    "Contradiction",
    "Line",
    "Printed",
    "Row",
    "Rule",
    "UnknownFigure",
    "build",
    "buildable",
    "compare",
    "compare_all",
    "contradictions",
    "figure",
    "figures",
    "slug",
]
