"""What `from_torch` takes over from torch's layers, and what it refuses, by name.

    bias=False                          converted: ours have biases, which start at 0
    batch_first=False                   converted: ours takes the batch first in any case
    kdim, vdim                          refused unless they are embed_dim
    add_bias_kv, add_zero_attn          refused: ours has no keys that are nobody's
    dropout                             not taken over: as torch's layer in evaluation
    activation                          a ReLU, as a name, function or module; others refused
    norm_first, layer_norm_eps          converted

Differs  what is refused is a ValueError that names torch's argument, never other numbers
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RELUS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)


def attention_refused(layer: nn.Module) -> None:
    """Raises ValueError where our attention cannot give what torch's gives."""
    if not isinstance(layer, nn.MultiheadAttention):
        raise ValueError(f"{type(layer).__name__} is no nn.MultiheadAttention")
    dim, kdim, vdim = layer.embed_dim, layer.kdim, layer.vdim
    if (kdim, vdim) != (dim, dim):
        raise ValueError(
            f"{kdim=}, {vdim=}: ours reads keys and values of the width of its queries, {dim}"
        )
    if layer.bias_k is not None or layer.bias_v is not None:
        raise ValueError("add_bias_kv=True: ours has no further key and value with weights")
    if layer.add_zero_attn:
        raise ValueError("add_zero_attn=True: ours has no further key and value of zeros")


def projections(layer: nn.MultiheadAttention) -> list[tuple[Tensor, Tensor | None]]:
    """Weight and bias of q, k, v and of what follows; a bias that there is not is None.

    Torch stacks the three input projections as rows of one matrix, in the order q, k, v.
    """
    weights, stacked = layer.in_proj_weight.chunk(3), layer.in_proj_bias
    biases = [None] * 3 if stacked is None else stacked.chunk(3)
    return [*zip(weights, biases, strict=True), (layer.out_proj.weight, layer.out_proj.bias)]


@torch.no_grad()
def copy(mine: nn.Linear | nn.LayerNorm, weight: Tensor, bias: Tensor | None) -> None:
    """Weights as they are, without their history; a missing bias is 0."""
    mine.weight.copy_(weight)
    if bias is None:
        mine.bias.zero_()
    else:
        mine.bias.copy_(bias)


def norm_copied(mine: nn.LayerNorm, theirs: nn.Module) -> None:
    """A norm with its epsilon. Raises ValueError for another than a LayerNorm with weights."""
    same = type(theirs) is nn.LayerNorm and theirs.normalized_shape == mine.normalized_shape
    if not same or theirs.weight is None:
        raise ValueError(f"{theirs} is no LayerNorm of {mine.normalized_shape[0]} with weights")
    mine.eps = theirs.eps
    copy(mine, theirs.weight, theirs.bias)


def activation_refused(activation: Callable) -> None:
    """Raises ValueError unless it is known to be a ReLU."""
    if type(activation) is nn.ReLU or activation in RELUS:
        return
    name = getattr(activation, "__name__", None) or repr(activation)
    raise ValueError(f"activation={name} is not a ReLU, which is all that ours has")
