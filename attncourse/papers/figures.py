"""What the papers printed, as it stands there, and how they counted."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files

from attncourse.errors import nearest

POWERS = {"": 0, "M": 6, "G": 9, "GB": 9}  # of ten, for what can be counted


class UnknownFigure(KeyError):
    """No figure has this id; the message names the nearest."""

    def __str__(self):
        return self.args[0]


@dataclass(frozen=True)
class Printed:
    """A figure as it stands in the table, and its unit."""

    text: str
    unit: str

    def __str__(self) -> str:
        return f"{self.text} {self.unit}".rstrip()

    @property
    def value(self) -> float:
        return float(self.text)

    def agrees(self, computed: int) -> str:
        """In words: to the digit, or off by how much."""
        printed, exact = Decimal(self.text), Decimal(computed).scaleb(-POWERS[self.unit])
        digit = Decimal(1).scaleb(printed.as_tuple().exponent)
        if exact.quantize(digit, ROUND_HALF_UP) == printed:
            return "to the digit"
        if exact.quantize(digit, ROUND_DOWN) == printed:
            return "to the digit, cut off"
        return f"off by {float(100 * (exact / printed - 1)):+.2g} %"


@dataclass(frozen=True)
class Rule:
    """How a paper counts.

    says        the rule in words
    factor      what one multiply-add is in its FLOPs
    statistics  whether means and variances of normalisation count as parameters
    """

    says: str
    factor: int = 1
    statistics: bool = False


V1 = "FLOPs are multiply-adds of one image of 224 x 224, with the stride in the first 1x1"
V15 = "FLOPs are twice the multiply-adds of one image, with the stride in the 3x3"
TRAINED = "parameters are those that are trained"
STORED = "parameters include the running means and variances of normalisation"
RULES = {
    "resnet": Rule(V1),
    "senet": Rule(f"{V1} (ResNeXt: in the 3x3); {STORED}; the gates have biases", 1, True),
    "gather-excite": Rule(f"{V1}; {STORED}", 1, True),
    "bam": Rule(f"{V1}; {TRAINED}"),
    "cbam": Rule(f"{V1}; {TRAINED}; biases in the MLP, which runs once for each pool"),
    "aa": Rule(f"{V15}; {TRAINED}; pooled shortcuts in the WRN, no biases in the gates", 2),
    "sasa": Rule(f"{V15}; {TRAINED}", 2),
    "vit": Rule(
        f"{TRAINED}; patch, size and head are not stated: 16 pixels (Huge: 14), 224 x 224 and"
        " 1,000 classes here"
    ),
    "deit": Rule(f"{TRAINED}; 1,000 classes"),
    "swin": Rule(f"FLOPs are multiply-adds of one image; {TRAINED}"),
    "convit": Rule(f"FLOPs are multiply-adds of one image; {TRAINED}"),
    "transformer": Rule(f"{TRAINED}; one matrix for 37,000 words of both languages"),
    "openai-blog": Rule("64 layers x 4 heads x n x n x 4 bytes; recomputed: one layer of them"),
    "computed": Rule(f"multiply-adds of one image; {TRAINED}"),
}
RULES["senet-cvpr"] = RULES["senet"]
UNSTATED = Rule("not stated")


@dataclass(frozen=True, repr=False)
class Row:
    """A row of a table: what it is called there, its figures, and where they come from."""

    id: str
    label: str
    source: str
    confidence: str
    printed: Mapping[str, Printed]

    @property
    def rule(self) -> Rule:
        return RULES.get(self.id.split(".")[0], UNSTATED)

    def __repr__(self) -> str:
        told = "\n".join(f"{name}: {printed}" for name, printed in self.printed.items())
        return f"{self.id}\n{self.label}\n{told}\n{self.source}; {self.confidence}"


def slug(label: str) -> str:
    """The last part of an id: "ResNet50 + AvgPool (SE)" is "resnet50+avgpool-se"."""
    plain = re.sub(r"=(?=\d)", "", label.lower().replace(" + ", "+"))
    return re.sub(r"[^a-z0-9+.]+", "-", plain).strip("-.").lstrip("+")


@cache
def rows() -> dict[str, Row]:
    """Every row by its id."""
    stored = json.loads(files("attncourse.papers").joinpath("papers.json").read_text("utf-8"))
    found = {}
    for table, content in stored["tables"].items():
        paper, _, place = table.partition(".")
        number = re.sub(r"^table(s?)", r"table\1 ", place)
        source = f"{stored['papers'][paper]}, {number}: {content['what']}"
        heads = [re.fullmatch(r"(.*?)(?: \[(.*)\])?", head) for head in content["columns"]]
        for label, cells in content["rows"].items():
            printed = {
                head[1]: Printed(cell, head[2] or "")
                for head, cell in zip(heads, cells, strict=True)
                if cell is not None
            }
            row = Row(f"{table}.{slug(label)}", label, source, content["confidence"], printed)
            found[row.id] = row
    return found


def figures(under: str = "") -> tuple[Row, ...]:
    """All rows, or those of a paper or a table. Raises UnknownFigure."""
    every = rows().values()
    if not under:
        return tuple(every)
    found = tuple(row for row in every if f"{row.id}.".startswith(f"{under}."))
    if not found:
        tables = {".".join(row.id.split(".")[:n]): None for row in every for n in (1, 2)}
        raise UnknownFigure(f'There is no "{under}" among the figures.{nearest(under, tables)}')
    return found


def figure(id: str) -> Row:
    """One row by its id. Raises UnknownFigure with the nearest id."""
    try:
        return rows()[id]
    except (KeyError, TypeError):
        raise UnknownFigure(f'There is no figure "{id}".{nearest(id, rows())}') from None
