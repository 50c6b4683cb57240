"""Printed figures that cannot both be right, and what to make of them."""

from dataclasses import dataclass

from attncourse.papers.figures import rows


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
    if where not in rows():
        return where
    row = rows()[where]
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
