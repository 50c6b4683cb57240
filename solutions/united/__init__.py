"""Convolution and attention as one: attention that is a convolution, and the networks between.

as_convolution               heads that read one pixel each: a convolution, up to a bound
blocks, vision_transformer   patches as tokens, and their encoder (ViT)
windows, pyramid             attention in shifted windows, and its network (Swin)
gated                        attention that starts as a convolution, with a gate (ConViT)
coatnet                      a depthwise kernel inside the softmax
"""

from solutions.united.as_convolution import (
    attention_as_convolution,
    leak,
    offset_encoding,
    patch_kernel,
    shift_vectors,
)
from solutions.united.blocks import (
    Mlp,
    PatchEmbedding,
    PreNormBlock,
    SelfAttention,
    patch_embedding,
)
from solutions.united.coatnet import RelativeAttention2d
from solutions.united.gated import ConViT, GatedPositionalAttention, convit
from solutions.united.pyramid import PatchMerging, SwinTransformer, swin
from solutions.united.vision_transformer import (
    VisionTransformer,
    attention_distance,
    grid_positions,
    vit,
)
from solutions.united.windows import (
    ShiftedWindowAttention,
    merge_windows,
    relative_bias_index,
    shift_mask,
    split_windows,
)

__all__ = [
    "ConViT",
    "GatedPositionalAttention",
    "Mlp",
    "PatchEmbedding",
    "PatchMerging",
    "PreNormBlock",
    "RelativeAttention2d",
    "SelfAttention",
    "ShiftedWindowAttention",
    "SwinTransformer",
    "VisionTransformer",
    "attention_as_convolution",
    "attention_distance",
    "convit",
    "grid_positions",
    "leak",
    "merge_windows",
    "offset_encoding",
    "patch_embedding",
    "patch_kernel",
    "relative_bias_index",
    "shift_mask",
    "shift_vectors",
    "split_windows",
    "swin",
    "vit",
]
