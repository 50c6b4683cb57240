"""A printed row against a built network: to the digit, or by how much it is off."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from attncourse.papers.builds import build, buildable, builders, formulas
from attncourse.papers.cost import Cost, Text, columns, cost
from attncourse.papers.figures import Printed, Row, Rule, figure, figures


@dataclass(frozen=True)
class Line:
    """One figure, printed and computed. `agreement`: "to the digit", or by how much it is
    off."""

    metric: str
    printed: Printed
    computed: int

    @property
    def agreement(self) -> str:
        return self.printed.agrees(self.computed)


@dataclass(frozen=True, repr=False)
class Comparison:
    """A row of a paper against a built model."""

    row: Row
    lines: tuple[Line, ...]

    @property
    def agrees(self) -> bool:
        """Whether every figure comes out, rounded to the digit that is printed."""
        return all(line.agreement == "to the digit" for line in self.lines)

    def __repr__(self) -> str:
        cells = [
            (line.metric, str(line.printed), f"{line.computed:,}", line.agreement)
            for line in self.lines
        ]
        table = columns([self.row.id, "printed", "computed", "agreement"], cells)
        return f"{table}\n{self.row.source}; {self.row.confidence}\n{self.row.rule.says}"


def compare(model: nn.Module | str, id: str | None = None, input: Any = None) -> Comparison:
    """A row's figures, printed and counted of a model: compare(model, id), or compare(id).

    Without a model the paper's is built, on the meta device, where it costs no memory. `input`
    is what it is called with, where that is not the paper's. Raises UnknownFigure for another
    id, and ValueError for a row of which nothing can be counted.
    """
    if id is None:
        model, id = None, model
    row = figure(id)
    if model is None and id in formulas():
        computed = formulas()[id]
    elif not COUNTABLE & set(row.printed):
        raise ValueError(f'"{id}" prints {", ".join(row.printed)}: nothing to count')
    elif model is None and input is None:
        computed = _counted(_spent(id), row.rule)
    else:
        model = build(id) if model is None else model
        computed = _counted(
            cost(model, _input(model, id) if input is None else input), row.rule
        )
    lines = (
        Line(name, printed, computed[name])
        for name, printed in row.printed.items()
        if name in computed
    )
    return Comparison(row, tuple(lines))


COUNTABLE = {"parameters", "FLOPs", "multiply-adds", "running statistics"}


def _counted(spent: Cost, rule: Rule) -> Mapping[str, int]:
    kept = spent.running_statistics
    multiply_adds = spent.multiply_adds + spent.attention
    return {
        "parameters": spent.parameters + (kept if rule.statistics else 0),
        "running statistics": kept,
        "multiply-adds": multiply_adds,
        "FLOPs": rule.factor * multiply_adds,
    }


SPENT: dict[Any, Cost] = {}  # many rows are of the same network


def _spent(id: str) -> Cost:
    """What the model of a row costs, built on the meta device."""
    key = _key(builders().get(id)), _small(id)
    if key not in SPENT:
        with torch.device("meta"):
            model = build(id)
        SPENT[key] = cost(model, _input(model, id))
    return SPENT[key]


def _key(make: Any) -> Any:
    """What two builders have in common that build the same network."""
    if not isinstance(make, partial):
        return make
    options = tuple(sorted((name, _key(value)) for name, value in make.keywords.items()))
    return make.func, tuple(map(_key, make.args)), options


def _input(model: nn.Module, id: str) -> Any:
    """One image of the paper's size; one word for a translator."""
    if id.startswith("transformer."):
        word = torch.ones(1, 1, dtype=torch.long, device=next(model.parameters()).device)
        return word, word
    return (1, 3, 32, 32) if _small(id) else (1, 3, 224, 224)


def _small(id: str) -> bool:
    return "cifar" in id or id.startswith("computed.wrn.")


def compare_all(under: str) -> Text:
    """Every row below a table's id that can be built, as one table."""
    cells = [
        (one.row.label, line.metric, str(line.printed), f"{line.computed:,}", line.agreement)
        for one in (compare(row.id) for row in figures(under) if row.id in buildable())
        for line in one.lines
    ]
    return columns([under, "", "printed", "computed", "agreement"], cells)
