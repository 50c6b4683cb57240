"""What builds the network of a printed row, as its paper describes it."""

from collections.abc import Callable, Mapping
from functools import cache, partial

from torch import Tensor, nn

from attncourse.papers.figures import figure, slug


def build(id: str) -> nn.Module:
    """The model of a row, as its paper describes it. Raises ValueError where none is known."""
    if figure(id).id not in builders():
        raise ValueError(f'nothing here builds "{id}": compare(model, "{id}") a model of yours')
    return builders()[id]()


def buildable() -> tuple[str, ...]:
    """The ids that `compare` knows how to compute."""
    return (*builders(), *formulas())


@cache
def builders() -> dict[str, Callable[[], nn.Module]]:
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
    from solutions.united import convit, swin, vit

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
        "senet.table16.nosqueeze": partial(v1, 50, NoSqueeze),
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
    for name, letter in (("base", "B/16"), ("large", "L/16"), ("huge", "H/14")):
        built[f"vit.table1.vit-{name}"] = partial(vit, letter)
    for name, letter in (("ti", "Ti/16"), ("s", "S/16"), ("b", "B/16")):
        built[f"deit.table1.deit-{name}"] = partial(vit, letter)
    for name in "TSB":
        for table in ("swin.table1", "computed.transformers"):
            built[f"{table}.swin-{name.lower()}"] = partial(swin, name)
    for name in ("Ti", "S", "B"):
        for table in ("convit.table1", "computed.transformers"):
            built[f"{table}.convit-{name.lower()}"] = partial(convit, name)
    for table in ("swin.table1", "convit.table1", "computed.transformers"):
        built[f"{table}.deit-s"] = partial(vit, "S/16")
    for name in ("B/16", "L/16"):
        built[f"computed.transformers.{slug(f'ViT-{name}')}"] = partial(vit, name)
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


class NoSqueeze(nn.Module):
    """Squeeze-and-excitation without the mean: the two layers at every pixel."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // reduction, 1)
        self.up = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(self.down(x).relu()).sigmoid()


@cache
def formulas() -> dict[str, Mapping[str, int]]:
    """What is computed without a model."""
    sizes = {"1024-text-tokens": 1024, "32x32x3": 32 * 32 * 3, "64x64x3": 64 * 64 * 3}
    sizes["24000-audio-samples"] = 24_000
    layer = {name: 4 * n**2 * 4 for name, n in sizes.items()}  # 4 heads, 4 bytes
    return {
        f"openai-blog.memory.{name}": {"stored": 64 * size, "recomputed": size}
        for name, size in layer.items()
    }
