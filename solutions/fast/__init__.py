"""The same mechanisms, faster on a named device: same names, same weights, same results.

Each file says what it computes differently and why that is faster; `attncourse bench` measures
it beside the reference and beside what one would use instead. `use("reference")` and the like
switch all of them; `layer.runs(x)` says what a layer takes.
"""

from solutions.fast.local import StandAloneSelfAttention2d, local_attention
from solutions.fast.multi_head import MultiHeadAttention
from solutions.fast.non_local import DANetHead, NonLocal, PositionAttention
from solutions.fast.relative_2d import AttentionAugmentedConv2d, relative_attention_2d
from solutions.fast.scaled_dot_product import scaled_dot_product_attention, tiled_attention
from solutions.fast.sparse import SparseSelfAttention, SparseTransformer, sparse_attention
from solutions.fast.switch import from_environment, in_use, use
from solutions.fast.united import SelfAttention
from solutions.fast.whole import faster

__all__ = [
    "AttentionAugmentedConv2d",
    "DANetHead",
    "MultiHeadAttention",
    "NonLocal",
    "PositionAttention",
    "SelfAttention",
    "SparseSelfAttention",
    "SparseTransformer",
    "StandAloneSelfAttention2d",
    "faster",
    "in_use",
    "local_attention",
    "relative_attention_2d",
    "scaled_dot_product_attention",
    "sparse_attention",
    "tiled_attention",
    "use",
]

from_environment()
