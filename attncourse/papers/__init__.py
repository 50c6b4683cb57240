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

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache, partial
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.errors import nearest
from attncourse.papers.cost import Cost, Text, columns, cost

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
def _rows() -> dict[str, Row]:
    stored = json.loads(files("attncourse.papers").joinpath("papers.json").read_text("utf-8"))
    rows = {}
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
            rows[row.id] = row
    return rows


def figures(under: str = "") -> tuple[Row, ...]:
    """All rows, or those of a paper or a table. Raises UnknownFigure."""
    rows = _rows().values()
    if not under:
        return tuple(rows)
    found = tuple(row for row in rows if f"{row.id}.".startswith(f"{under}."))
    if not found:
        tables = {".".join(row.id.split(".")[:n]): None for row in rows for n in (1, 2)}
        raise UnknownFigure(f'There is no "{under}" among the figures.{nearest(under, tables)}')
    return found


def figure(id: str) -> Row:
    """One row by its id. Raises UnknownFigure with the nearest id."""
    try:
        return _rows()[id]
    except (KeyError, TypeError):
        raise UnknownFigure(f'There is no figure "{id}".{nearest(id, _rows())}') from None


# ---------------------------------------------------------------- built here


def build(id: str) -> nn.Module:
    """The model of a row, as its paper describes it. Raises ValueError where none is known."""
    if figure(id).id not in _builders():
        raise ValueError(f'nothing here builds "{id}": compare(model, "{id}") a model of yours')
    return _builders()[id]()


def buildable() -> tuple[str, ...]:
    """The ids that `compare` knows how to compute."""
    return (*_builders(), *_formulas())


@cache
def _builders() -> dict[str, Callable[[], nn.Module]]:
    """What builds the model of a row; `solutions` is imported when it is asked for."""
    from solutions.backbones import (
        MnasNet,
        MobileNet,
        ResNet,
        StandAloneResNet,
        WideResNet,
        augmented_resnet,
        augmented_wide_resnet,
    )
    from solutions.channel import ECA, GatherExcite, SqueezeExcite
    from solutions.relative_2d import AttentionAugmentedConv2d
    from solutions.spatial import BAM, CBAM, ChannelGate
    from solutions.stand_alone import AttentionStem
    from solutions.transformer import Transformer

    se = partial(SqueezeExcite, bias=True)
    v1 = partial(ResNet, stride_in="1x1")
    small = partial(ResNet, stem="small", classes=100)
    resnext = partial(ResNet, groups=32, width=4)
    wide = partial(WideResNet, 28, 10, shortcut="pooled")

    def ge(channels: int) -> nn.Module:
        side = 56 * 256 // channels  # 56 x 56 maps of 256 channels, 28 x 28 of 512, …
        return GatherExcite(channels, (side, side), learned=True)

    def augmented(make: Callable[..., nn.Module], *given: int) -> nn.Module:
        """With its logits computed as they are written: the fast form spends more products."""
        model = make(*given)
        for layer in model.modules():
            if isinstance(layer, AttentionAugmentedConv2d):
                layer.implementation = "broadcast"
        return model

    def gate(*pools: str) -> Callable[[int], nn.Module]:
        return partial(ChannelGate, pools=pools)

    def reduced(reduction: int) -> Callable[[int], nn.Module]:
        return partial(se, reduction=reduction)

    plain = ("mean", "max")
    built = {
        "senet.table2.resnext-50": partial(resnext, 50),
        "senet.table2.resnext-101": partial(resnext, 101),
        "senet.table2.se-resnext-50": partial(resnext, 50, se),
        "senet.table2.se-resnext-101": partial(resnext, 101, se),
        "senet.table16.resnet-50": partial(v1, 50),
        "senet.table16.nosqueeze": partial(v1, 50, _NoSqueeze),
        "senet.table16.se": partial(v1, 50, se),
        "gather-excite.table1.resnet-50": partial(v1, 50),
        "gather-excite.table1.ge-theta-stage2": partial(v1, 50, ge, stages=(1,)),
        "gather-excite.table1.ge-theta-stage3": partial(v1, 50, ge, stages=(2,)),
        "gather-excite.table1.ge-theta-stage4": partial(v1, 50, ge, stages=(3,)),
        "gather-excite.table1.ge-theta-all": partial(v1, 50, ge),
        "bam.imagenet.resnet50+bam": partial(v1, 50, between=BAM),
        "cbam.table1.resnet50-baseline": partial(v1, 50),
        "cbam.table1.resnet50+avgpool-se": partial(v1, 50, gate("mean")),
        "cbam.table1.resnet50+maxpool": partial(v1, 50, gate("max")),
        "cbam.table1.resnet50+avgpool-maxpool": partial(v1, 50, gate(*plain)),
        "cbam.table2.channel-se": partial(v1, 50, gate("mean")),
        "cbam.table2.channel": partial(v1, 50, gate(*plain)),
        "aa.cifar100.wrn-28-10": wide,
        "aa.cifar100.se-wrn-28-10": partial(wide, attention=SqueezeExcite),
        "aa.cifar100.aa-wrn-28-10": partial(augmented, augmented_wide_resnet),
        "aa.imagenet.aa-resnet-34": partial(augmented, augmented_resnet, 34),
        "aa.imagenet.aa-resnet-50": partial(augmented, augmented_resnet, 50),
        "aa.imagenet.resnet-34": partial(ResNet, 34),
        "aa.imagenet.resnet-50": partial(ResNet, 50),
        "aa.imagenet.se-resnet-50": partial(ResNet, 50, SqueezeExcite),
        "transformer.table3.base-n6-d512-ff2048-h8-dk64-dv64-p.1-ls.1-100k": partial(
            Transformer, 37_000, 37_000, share=True
        ),
        "transformer.table3.big-n6-d1024-ff4096-h16-p.3-300k": partial(
            Transformer, 37_000, 37_000, 1024, 16, 4096, share=True
        ),
        "computed.torchvision.resnext50-32x4d": partial(resnext, 50),
        "computed.torchvision.resnext101-32x8d": partial(ResNet, 101, groups=32, width=8),
        "computed.torchvision.resnext101-64x4d": partial(ResNet, 101, groups=64, width=4),
        "computed.torchvision.wide-resnet50-2": partial(ResNet, 50, width=128),
        "computed.torchvision.wide-resnet101-2": partial(ResNet, 101, width=128),
        "computed.timm.resnet50-block-args-attn-layer-se": partial(ResNet, 50, se),
        "computed.timm.seresnet50": partial(ResNet, 50, se),
        "computed.timm.resnet50-block-args-attn-layer-eca": partial(ResNet, 50, ECA),
        "computed.wrn.wrn-28-10-cifar-10": partial(WideResNet, 28, 10, classes=10),
        "computed.wrn.wrn-28-10-cifar-100": partial(WideResNet, 28, 10),
        "computed.wrn.wrn-28-10-cifar-100-zero-pad-shortcuts": wide,
        "computed.wrn.wrn-28-8-cifar-100": partial(WideResNet, 28, 8),
        "computed.wrn.wrn-16-8-cifar-10": partial(WideResNet, 16, 8, classes=10),
        "computed.wrn.wrn-40-4-cifar-10": partial(WideResNet, 40, 4, classes=10),
        "computed.attention.resnet50+cbam-official-code": partial(ResNet, 50, CBAM),
        "computed.attention.resnet18+cbam": partial(ResNet, 18, CBAM),
        "computed.attention.resnet50+bam-official-code": partial(ResNet, 50, between=BAM),
        "computed.attention.resnet50-cifar-100": partial(small, 50),
        "computed.attention.resnet50+bam-cifar-100": partial(small, 50, between=BAM),
        "computed.macs.resnet18": partial(ResNet, 18),
        "computed.macs.resnet34": partial(ResNet, 34),
        "computed.macs.resnet50-v1.5-stride-in-3x3": partial(ResNet, 50),
        "computed.macs.resnet50-v1-stride-in-first-1x1": partial(v1, 50),
        "computed.macs.resnext50-32x4d-v1.5": partial(resnext, 50),
        "computed.macs.resnext50-32x4d-v1": partial(resnext, 50, stride_in="1x1"),
        "computed.macs.resnext101-32x4d-v1.5": partial(resnext, 101),
        "computed.macs.resnext101-32x4d-v1": partial(resnext, 101, stride_in="1x1"),
        "computed.macs.resnet-26-1-2-4-1-v1.5": partial(ResNet, 26),
        "computed.macs.resnet-38-2-3-5-2-v1.5": partial(ResNet, 38),
        "computed.macs.wrn-28-10-cifar-100": partial(WideResNet, 28, 10),
        "computed.macs.wrn-28-10-cifar-100-zero-pad": wide,
        "computed.sasa.resnet-26-baseline": partial(ResNet, 26),
        "computed.sasa.resnet-38-baseline": partial(ResNet, 38),
    }  # fmt: skip
    for version in ("senet", "senet-cvpr"):
        built[f"{version}.table3.mobilenet"] = MobileNet
        built[f"{version}.table3.se-mobilenet"] = partial(MobileNet, se)
    for name, widen in (("0-5", 0.5), ("0-75", 0.75), ("1-0", 1.0), ("1-3", 1.3)):
        built[f"computed.torchvision.mnasnet{name}"] = partial(MnasNet, "B1", widen=widen)
    for depth in (18, 34, 50, 101, 152):
        built[f"resnet.table1.resnet-{depth}"] = partial(v1, depth)
        built[f"computed.torchvision.resnet{depth}"] = partial(ResNet, depth)
    for depth in (50, 101, 152):
        built[f"senet.table2.resnet-{depth}"] = partial(v1, depth)
        built[f"senet.table2.se-resnet-{depth}"] = partial(v1, depth, se)
    for depth in (101, 152):
        built[f"computed.macs.resnet{depth}-v1"] = partial(v1, depth)
        built[f"computed.macs.resnet{depth}-v1.5"] = partial(ResNet, depth)
    for depth in (26, 38, 50):
        built[f"sasa.table1.resnet-{depth}-baseline"] = partial(ResNet, depth)
    for depth in (26, 50):
        own = partial(StandAloneResNet, depth)
        built[f"sasa.table1.resnet-{depth}-conv-stem+attn"] = own
        built[f"sasa.table1.resnet-{depth}-full-attn"] = partial(own, stem="attention")
    for window in (3, 5, 7, 9, 11):
        built[f"sasa.table4.k{window}"] = partial(StandAloneResNet, 50, window=window)
    built["sasa.table5.relative"] = partial(StandAloneResNet, 50)
    built["sasa.table7.spatially-aware-values"] = partial(StandAloneResNet, stem="attention")
    built["sasa.table7.stand-alone"] = lambda: StandAloneResNet(stem=AttentionStem(mixtures=1))
    for depth in (18, 34, 50, 101):
        built[f"cbam.table4.resnet{depth}"] = partial(v1, depth)
        built[f"cbam.table4.resnet{depth}+se"] = partial(v1, depth, se)
        built[f"cbam.table4.resnet{depth}+cbam"] = partial(v1, depth, CBAM)
    for table in ("senet.table10", "senet-cvpr.table7"):
        built[f"{table}.resnet-50-original"] = partial(v1, 50)
        for reduction in (4, 8, 16, 32):
            built[f"{table}.se-resnet-50-r{reduction}"] = partial(v1, 50, reduced(reduction))
    for describe, words in (("conv", "1x1-conv"), ("pool", "avg-max")):
        for kernel in (3, 7):
            built[f"cbam.table2.channel+spatial-{words}-k{kernel}"] = partial(
                v1, 50, partial(CBAM, kernel=kernel, describe=describe)
            )
    return built


class _NoSqueeze(nn.Module):
    """Squeeze-and-excitation without the mean: the two layers at every pixel."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // reduction, 1)
        self.up = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(self.down(x).relu()).sigmoid()


@cache
def _formulas() -> dict[str, Mapping[str, int]]:
    """What is computed without a model."""
    sizes = {"1024-text-tokens": 1024, "32x32x3": 32 * 32 * 3, "64x64x3": 64 * 64 * 3}
    sizes["24000-audio-samples"] = 24_000
    layer = {name: 4 * n**2 * 4 for name, n in sizes.items()}  # 4 heads, 4 bytes
    return {
        f"openai-blog.memory.{name}": {"stored": 64 * size, "recomputed": size}
        for name, size in layer.items()
    }


# ---------------------------------------------------------------- compared


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
    if model is None and id in _formulas():
        computed = _formulas()[id]
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
    key = _key(_builders().get(id)), _small(id)
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


# ---------------------------------------------------------------- contradictions


@dataclass(frozen=True, repr=False)
class Contradiction:
    """Figures that cannot both be right, each with its source, and what to make of them."""

    what: str
    figures: tuple[tuple[str, str], ...]  # the figure; an id, or the place in words
    says: str

    def __repr__(self) -> str:
        told = "\n".join(f"{text}: {_place(where)}" for text, where in self.figures)
        return f"{self.what}\n{told}\n{self.says}"


def _place(where: str) -> str:
    if where not in _rows():
        return where
    row = _rows()[where]
    return f"{row.label}, {row.source}; {row.confidence}"


def contradictions() -> tuple[Contradiction, ...]:
    """Printed figures that contradict each other, or the model they are printed for."""
    return CONTRADICTIONS


CONTRADICTIONS = (
    Contradiction(
        "ResNet-50 with squeeze-and-excitation, in one paper",
        (
            ("25.92 M", "cbam.table1.resnet50+avgpool-se"),
            ("3.94 G", "cbam.table1.resnet50+avgpool-se"),
            ("28.09 M", "cbam.table4.resnet50+se"),
            ("3.860 G", "cbam.table4.resnet50+se"),
            ("25.92 M", "bam.imagenet.resnet50+bam"),
        ),
        "Table 1 has the figures of ResNet-50 with BAM. Use Table 4, which comes out.",
    ),
    Contradiction(
        "What CBAM adds to the detection of objects",
        (
            ("+0.9 mAP", "CBAM, caption of table 6"),
            ("27.0 %", "cbam.table6.resnet50"),
            ("28.1 %", "cbam.table6.resnet50+cbam"),
            ("29.1 %", "cbam.table6.resnet101"),
            ("30.8 %", "cbam.table6.resnet101+cbam"),
        ),
        "The rows differ by 1.1 and 1.7.",
    ),
    Contradiction(
        "Where ResNet-50 with CBAM halves its maps",
        (
            ("3.864 G", "cbam.table4.resnet50+cbam"),
            ("4.096 G", "counted of the released code's structure, stride in the 3x3"),
        ),
        "The paper counts with the stride in the first 1x1; the code has it in the 3x3.",
    ),
    Contradiction(
        "How BAM's branches meet",
        (("M_c + M_s", "BAM, formula"), ("M_c * M_s", "BAM, released code")),
        "The paper adds, the code multiplies; the number of parameters is the same.",
    ),
    Contradiction(
        "The projections of stand-alone self-attention, ResNet-50",
        (
            ("14711336", "computed.sasa.resnet-50-grouped-projections-as-the-text-says"),
            ("18.0 M", "sasa.table1.resnet-50-conv-stem+attn"),
        ),
        "The text has them grouped; the table needs the full ones, 18,012,200.",
    ),
    Contradiction(
        "The accuracy of stand-alone self-attention with relative positions",
        (
            ("80.2 %", "sasa.table5.relative"),
            ("77.4 %", "sasa.table1.resnet-50-conv-stem+attn"),
        ),
        "Tables 3 and 5 are on held-out training images, 1, 4, 6 and 7 on ImageNet's "
        "validation set: never compare across.",
    ),
    Contradiction(
        "The error of ResNet-50 on ImageNet",
        (
            ("24.80 %", "senet.table2.resnet-50"),
            ("24.56 %", "cbam.table4.resnet50"),
            ("23.30 %", "senet.table10.resnet-50-original"),
        ),
        "Three schedules of training; compare only what was trained alike.",
    ),
    Contradiction(
        "BLEU of the big Transformer, English to French",
        (
            ("41.8", "transformer.table2.transformer-big"),
            ("41.0", "Vaswani et al., section 6.1"),
        ),
        "The table and the text of one paper.",
    ),
    Contradiction(
        "Multiply-adds of ResNet-34 in attention-augmented convolution",
        (
            ("7.4 G", "aa.imagenet.resnet-34"),
            ("3.664 G", "cbam.table4.resnet34"),
        ),
        "Twice 3.664 is 7.33. AA-ResNet-34, the parameters of AA-WRN-28-10 and most FLOPs of "
        "that paper do not come out of its description either.",
    ),
    Contradiction(
        "ResNet-50 with CBAM, as released and in timm",
        (
            ("28089624", "computed.attention.resnet50+cbam-official-code"),
            ("28073576", "computed.timm.resnet50-block-args-attn-layer-cbam"),
        ),
        "timm's MLP has no biases. Its gernet is GPU-Efficient ResNet, not Gather-Excite.",
    ),
)  # fmt: skip
