"""Every layer of the library once: its class, small arguments, and the shapes of its inputs."""

import importlib
import pkgutil
from functools import partial

import torch
from torch import nn

import solutions
from solutions import (
    capstone,
    channel,
    multi_head,
    non_local,
    positional,
    relative_2d,
    scaled_dot_product,
    sparse,
    spatial,
    stand_alone,
    transformer,
    united,
)
from solutions.backbones import mobile, residual, wide
from solutions.backbones import stand_alone as stand_alone_net

MAP = ((2, 12, 5, 7),)  # b c h w
TOKENS = ((2, 6, 12),)  # b n dim
LAST = ((2, 5, 7, 12),)  # b h w dim


def conv(channels, out_channels, stride):
    return nn.Conv2d(channels, out_channels, 3, stride, 1)


def words(*sizes):
    return partial(torch.ones, *sizes, dtype=torch.long)


# class, arguments, inputs: shapes, or what makes one
LAYERS = [
    (channel.SqueezeExcite, dict(channels=12, reduction=3), MAP),
    (channel.GatherExcite, dict(channels=12, size=(5, 7), learned=True, reduction=3), MAP),
    (channel.ECA, dict(channels=12), MAP),
    (multi_head.MultiHeadAttention, dict(dim=12, heads=3), TOKENS),
    (non_local.NonLocal, dict(channels=12, form="concatenation", subsample=2), MAP),
    (non_local.PositionAttention, dict(channels=12, reduction=4), MAP),
    (non_local.ChannelAttention, dict(), MAP),
    (non_local.DANetHead, dict(channels=12, classes=3, reduction=1), MAP),
    (positional.LearnedPositions, dict(dim=12, length=9), TOKENS),
    (positional.RelativeAttention, dict(q_dim=12, v_dim=12, clip=2), 3 * TOKENS),
    (positional.CoordConv2d, dict(channels=12, out_channels=5, window=3), MAP),
    (
        relative_2d.AttentionAugmentedConv2d,
        dict(in_channels=12, out_channels=14, upsilon=0.5, heads=2, size=(5, 7)),
        MAP,
    ),
    (
        scaled_dot_product.AdditiveAttention,
        dict(query_dim=12, key_dim=12, hidden=5),
        3 * TOKENS,
    ),
    (sparse.SparseSelfAttention, dict(dim=12, heads=2, stride=4), TOKENS),
    (sparse.Block, dict(dim=12, attention=nn.Identity()), TOKENS),
    (sparse.SparseTransformer, dict(symbols=5, tokens=9, dim=12, stride=3), (words(2, 6),)),
    (spatial.ChannelGate, dict(channels=12, reduction=3), MAP),
    (spatial.SpatialGate, dict(kernel=5), MAP),
    (spatial.ProjectedSpatialGate, dict(channels=12, kernel=5), MAP),
    (spatial.CBAM, dict(channels=12, reduction=3), MAP),
    (spatial.ChannelBranch, dict(channels=12, reduction=3), MAP),
    (spatial.SpatialBranch, dict(channels=12, reduction=3), MAP),
    (spatial.BAM, dict(channels=12, reduction=3), MAP),
    (spatial.SpatialLayer, dict(), MAP),
    (spatial.GALA, dict(channels=12, reduction=3), MAP),
    (stand_alone.StandAloneSelfAttention2d, dict(channels=12, heads=3, window=3), MAP),
    (stand_alone.SpatialValues, dict(channels=12, out_channels=5), MAP),
    (stand_alone.AttentionStem, dict(channels=12, out_channels=16, heads=2), MAP),
    (transformer.FeedForward, dict(dim=12, hidden=5), TOKENS),
    (transformer.Residual, dict(dim=12), (*TOKENS, lambda: torch.relu)),
    (transformer.EncoderLayer, dict(dim=12, heads=3, hidden=5), TOKENS),
    (transformer.DecoderLayer, dict(dim=12, heads=3, hidden=5), 2 * TOKENS),
    (
        transformer.Transformer,
        dict(source_words=7, target_words=9, dim=12, heads=3, hidden=5, layers=2),
        (words(2, 6), words(2, 4)),
    ),
    (united.PatchEmbedding, dict(dim=5, patch=3, channels=12, norm=True), ((2, 12, 6, 9),)),
    (united.SelfAttention, dict(dim=12, heads=3), TOKENS),
    (united.Mlp, dict(dim=12, hidden=5), TOKENS),
    (united.PreNormBlock, dict(dim=12, hidden=5, attention=nn.Identity()), TOKENS),
    (
        united.VisionTransformer,
        dict(dim=12, depth=2, heads=3, patch=4, size=8, classes=5),
        ((2, 3, 12, 8),),
    ),
    (united.ShiftedWindowAttention, dict(dim=12, heads=3, window=3, shift=1), LAST),
    (united.PatchMerging, dict(dim=12), LAST),
    (
        united.pyramid.SwinStage,
        dict(dim=12, depth=2, heads=3, window=3, expansion=2.0, merge=False),
        LAST,
    ),
    (
        united.SwinTransformer,
        dict(dim=6, depths=(1, 2), heads=(2, 3), window=3, classes=5),
        ((2, 3, 20, 24),),
    ),
    (united.GatedPositionalAttention, dict(dim=12, heads=4), LAST),
    (
        united.ConViT,
        dict(dim=12, depth=2, heads=4, local=1, patch=4, size=8, classes=5),
        ((2, 3, 12, 8),),
    ),
    (united.RelativeAttention2d, dict(dim=12, heads=3, size=(5, 6)), LAST),
    (
        capstone.ShiftedWindowAttention2d,
        dict(channels=12, heads=3, window=3, shift=1, stride=2, out_channels=6),
        MAP,
    ),
    (
        capstone.SmallResNet,
        dict(widths=(4, 6, 8), blocks=1, classes=5, stem=2),
        ((2, 3, 20, 24),),
    ),
    (
        capstone.FeaturePyramid,
        dict(widths=(3, 5, 7), out_channels=4),
        ((2, 3, 9, 12), (2, 5, 5, 6), (2, 7, 3, 4)),
    ),
    (
        residual.Basic,
        dict(channels=12, planes=6, stride=2, window=conv, attention=None, placement="pre"),
        MAP,
    ),
    (
        residual.Bottleneck,
        dict(
            channels=12,
            planes=6,
            stride=2,
            window=conv,
            attention=None,
            placement="pre",
            middle=5,
            stride_in="1x1",
        ),
        MAP,
    ),
    (residual.ResNet, dict(depth=18, widen=0.1, zero_init=True, classes=5), ((2, 3, 20, 24),)),
    (wide.PooledShortcut, dict(channels=12, out_channels=15, stride=2), MAP),
    (
        wide.PreActivation,
        dict(
            channels=12,
            out_channels=16,
            stride=2,
            window=conv,
            attention=None,
            pooled=False,
            bottleneck=True,
            stride_in="3x3",
        ),
        MAP,
    ),
    (wide.WideResNet, dict(depth=10, widen=0.5, classes=5), ((2, 3, 20, 24),)),
    (
        mobile.Inverted,
        dict(channels=12, out_channels=12, expansion=2, window=3, stride=1, attention=None),
        MAP,
    ),
    (mobile.MobileNet, dict(widen=0.05, classes=5), ((2, 3, 36, 40),)),
    (mobile.MnasNet, dict(kind="B1", widen=0.05, classes=5), ((2, 3, 36, 40),)),
    (
        stand_alone_net.StandAloneResNet,
        dict(depth=26, stem="attention", widen=0.25, window=3, classes=5),
        ((2, 3, 36, 40),),
    ),
]
# What others inherit from, and what takes a layer that is made already.
BASES = {"ResidualBlock", "HeConv2d", "Pixels", "ChannelsLast", "RetinaNet"}


def inputs(shapes, dtype=torch.float32, device=None):
    """Inputs of these shapes; what is no shape makes its own."""
    with torch.device(device or "cpu"):
        return [s() if callable(s) else torch.randn(s, dtype=dtype) for s in shapes]


def library_modules():
    """Every module of the library, but those that need Triton."""
    found = pkgutil.walk_packages(solutions.__path__, "solutions.")
    return [importlib.import_module(m.name) for m in found if "triton" not in m.name]


def library_layers():
    """Every class of layers that a module of the library defines."""
    return {
        cls
        for module in library_modules()
        for cls in vars(module).values()
        if isinstance(cls, type)
        and issubclass(cls, nn.Module)
        and cls.__module__ == module.__name__
        and not cls.__name__.startswith("_")
    }
