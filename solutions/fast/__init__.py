"""The same mechanisms, faster on a named device: same names, same weights, same results.

Each file says what it computes differently and why that is faster; `attncourse bench` measures
it beside the reference and beside what one would use instead.
"""

from solutions.fast.local import StandAloneSelfAttention2d, local_attention
from solutions.fast.sparse import SparseSelfAttention, SparseTransformer, sparse_attention

__all__ = [
    "SparseSelfAttention",
    "SparseTransformer",
    "StandAloneSelfAttention2d",
    "local_attention",
    "sparse_attention",
]
