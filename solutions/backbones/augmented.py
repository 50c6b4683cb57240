"""Residual and mobile networks in which attention does a share of the convolutions' work.

    3x3 -> [3x3 to F - dv maps, attention to dv maps]     dk and dv: kappa F and upsilon F
    AA-ResNet       every 3x3 of the last three stages    kappa 0.2, upsilon 0.1, 8 heads
    AA-WRN-28-10    the first 3x3 of every block          kappa 0.2, upsilon 0.1, 8 heads
    AA-MnasNet      1x1 that widen, maps of <= 14 x 14    kappa 0.1, upsilon 0.1, 4 heads

Axes     as in residual.py, wide.py and mobile.py; F channels that come out of a convolution
Cost     trainable weights for 224 x 224 (32 x 32): AA-ResNet-50 25,813,872; see the table in
         chapter 8 for what is printed beside what comes out
Source   Bello, Zoph, Vaswani, Shlens, Le, "Attention Augmented Convolutional Networks", ICCV
         2019, arXiv:1904.09925, sec. 4
Differs  which convolutions of MnasNet are augmented, and on which maps, is our choice: no
         printed figure of it is held against ours
"""

import torch
from torch import nn

from solutions.backbones.mobile import Inverted, MnasNet
from solutions.backbones.residual import Attention, ResNet
from solutions.backbones.wide import WideResNet
from solutions.relative_2d import AttentionAugmentedConv2d, attention_widths


def smaller(n: int, times: int) -> int:
    """The length of an axis that is halved so many times; odd lengths are rounded up."""
    for _ in range(times):
        n = (n + 1) // 2
    return n


def augmented_resnet(
    depth: int,
    image: int = 224,
    stages: tuple[int, ...] = (2, 3, 4),
    kappa: float = 0.2,
    upsilon: float = 0.1,
    heads: int = 8,
    positions: bool = True,
    *,
    attention: Attention | None = None,
    classes: int = 1000,
    groups: int = 1,
    width: int = 64,
    stem: str | nn.Module = "imagenet",
    stride_in: str = "3x3",
    between: Attention | None = None,
    placement: str = "standard",
    widen: int | float = 1,
    zero_init: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> ResNet:
    """A ResNet whose 3x3 convolutions in these stages are augmented.

    image      height and width for which the tables of positions are made; others are welcome
    positions  False for attention without them
    attention  and all that follow: as in ResNet
    """
    begun = 0 if stem == "small" else 2

    def augment(channels: int, out_channels: int, stride: int, stage: int) -> nn.Module | None:
        if stage not in stages or not attention_widths(out_channels, kappa, upsilon, heads)[1]:
            return None
        entering = smaller(image, begun + stage - 1 - (stride > 1))
        size = entering if positions else None
        return AttentionAugmentedConv2d(
            channels, out_channels, 3, kappa, upsilon, heads, size, stride
        )

    return ResNet(
        depth,
        attention,
        classes,
        groups=groups,
        width=width,
        stem=stem,
        stride_in=stride_in,
        between=between,
        spatial=augment,
        placement=placement,
        widen=widen,
        zero_init=zero_init,
        device=device,
        dtype=dtype,
    )


def augmented_wide_resnet(
    depth: int = 28,
    widen: float = 10.0,
    image: int = 32,
    kappa: float = 0.2,
    upsilon: float = 0.1,
    heads: int = 8,
    shortcut: str = "pooled",
    *,
    attention: Attention | None = None,
    classes: int = 100,
    between: Attention | None = None,
    bottleneck: bool = False,
    stride_in: str = "3x3",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> WideResNet:
    """A wide residual network with the first 3x3 of every block augmented, as for CIFAR.

    image      height and width for which the tables of positions are made; others are welcome
    attention  and all that follow: as in WideResNet
    """

    def augment(channels: int, out_channels: int, stride: int, stage: int) -> nn.Module | None:
        if not attention_widths(out_channels, kappa, upsilon, heads)[1]:
            return None
        size = smaller(image, stage - 1 - (stride > 1))
        return AttentionAugmentedConv2d(
            channels, out_channels, 3, kappa, upsilon, heads, size, stride
        )

    return WideResNet(
        depth,
        widen,
        attention,
        classes,
        shortcut=shortcut,
        between=between,
        spatial=augment,
        bottleneck=bottleneck,
        stride_in=stride_in,
        device=device,
        dtype=dtype,
    )


def augmented_mnasnet(
    kind: str = "A1",
    image: int = 224,
    largest: int = 14,
    kappa: float = 0.1,
    upsilon: float = 0.1,
    heads: int = 4,
    *,
    attention: Attention | None = None,
    classes: int = 1000,
    widen: int | float = 1,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> MnasNet:
    """A MnasNet whose widening 1x1 convolutions are augmented, on maps of at most `largest`
    pixels in height.

    image      height and width for which the tables of positions are made; others are welcome
    attention  and all that follow: as in MnasNet
    """
    network = MnasNet(kind, attention, classes, widen, device=device, dtype=dtype)
    n, place = smaller(image, 1), dict(device=device, dtype=dtype)
    for block in network.modules():
        if not isinstance(block, Inverted):
            continue
        convolutions = [
            m for m in block.modules() if isinstance(m, nn.Conv2d) and m.bias is None
        ]
        widening, stride = convolutions[0], max(m.stride[0] for m in convolutions)
        dv = attention_widths(widening.out_channels, kappa, upsilon, heads)[1]
        if n <= largest and dv:
            channels = widening.in_channels, widening.out_channels
            augmented = AttentionAugmentedConv2d(
                *channels, 1, kappa, upsilon, heads, n, **place
            )
            name = next(name for name, m in block.named_modules() if m is widening)
            parent, _, child = name.rpartition(".")
            setattr(block.get_submodule(parent), child, augmented)
        n = smaller(n, stride > 1)
    return network
