"""Masks together: what is padding, what is later, what somebody forbids; and torch's masks.

    may[b, i, j] = given[b, i, j] and j <= i and j < lengths[b]        True where i may see j
    MultiHeadAttention(12, 3)(x, mask=attention_mask(6, 6, lengths))
    MultiHeadAttention(12, 3)(x, mask=mask_from_torch(attn_mask, key_padding_mask, heads=3))

Axes     b batch, i query, j key; lengths b, how many keys are no padding
Differs  torch's nn.MultiheadAttention and nn.Transformer say True where a query may NOT
         attend, or add -inf there; its scaled_dot_product_attention, and all that is here, says
         True where it may. A query that may attend to nothing reads 0 here and NaN there
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from solutions import checks
from solutions.arguments import COUNT, FROM_0
from solutions.scaled_dot_product import causal_mask, padding_mask


def combine(*masks: Shaped[Tensor, "..."] | None) -> Bool[Tensor, "..."] | None:
    """True where all masks are; axes of length 1 stand for all. None is no mask.

    Raises ValueError for what is not bool, and for shapes that do not fit.
    """
    given = [mask for mask in masks if mask is not None]
    for mask in given:
        if mask.dtype != torch.bool:
            raise ValueError(
                f"a mask is bool, True where a query may attend, not {mask.dtype}: make 0 and 1"
                " such by .bool(), and torch's masks by mask_from_torch"
            )
    try:
        shape = torch.broadcast_shapes(*(mask.shape for mask in given))
    except RuntimeError:
        shapes = ", ".join(str(tuple(mask.shape)) for mask in given)
        raise ValueError(f"masks of {shapes} do not fit each other") from None
    together = None
    for mask in given:
        together = mask.expand(shape) if together is None else together & mask
    return together


def attention_mask(
    queries: int,
    keys: int,
    lengths: Int[Tensor, " b"] | None = None,
    causal: bool = False,
    mask: Shaped[Tensor, "..."] | None = None,
) -> Bool[Tensor, "*b i j"] | None:
    """One mask of everything, i j, or b i j where it varies; None where all may be seen.

    lengths  of each example how many keys are no padding
    causal   query i sees keys up to j = i
    mask     a further one, i j or b i j, with axes of length 1 where it does not vary

    Raises ValueError for lengths that there cannot be, and for masks that do not fit.
    """
    device = next((t.device for t in (mask, lengths) if t is not None), None)
    later = causal_mask(queries, keys).to(device) if causal else None
    padded = None
    if lengths is not None:
        if lengths.numel() and not 0 <= lengths.min() <= lengths.max() <= keys:
            raise ValueError(f"lengths={lengths.tolist()} of {keys=}: from 0 to {keys}")
        padded = padding_mask(lengths, keys)
    together = combine(mask, later, padded)
    if together is None:
        return None
    shape = tuple(together.shape)
    fits = shape[-2:-1] in ((1,), (queries,)) and shape[-1] in (1, keys)
    if len(shape) not in (2, 3) or not fits:
        raise ValueError(f"a mask of {shape} for {queries=} and {keys=}: i j or b i j")
    return together.expand(*shape[:-2], queries, keys)


def mask_from_torch(
    attn_mask: Shaped[Tensor, "..."] | None = None,
    key_padding_mask: Shaped[Tensor, "b j"] | None = None,
    heads: int = 1,
) -> Bool[Tensor, "..."] | None:
    """Our mask for the two that torch's nn.MultiheadAttention takes: i j or b i j.

    attn_mask         i j, or (b head) i j, which must be alike in all heads
    key_padding_mask  b j

    Each is bool, True where nobody may attend, or is added: 0 or -inf. Raises ValueError for
    other numbers, which are no mask.
    """
    if attn_mask is not None:
        attn_mask = _may(attn_mask, "attn_mask")
        if attn_mask.ndim == 3:
            if len(attn_mask) % heads:
                raise ValueError(f"attn_mask has {len(attn_mask)} maps for {heads=}")
            each = rearrange(attn_mask, "(b head) i j -> head b i j", head=heads)
            if not (each == each[:1]).all():
                raise ValueError("attn_mask differs from head to head: ours has one for all")
            attn_mask = each[0]
    if key_padding_mask is not None:
        key_padding_mask = rearrange(_may(key_padding_mask, "key_padding_mask"), "b j -> b 1 j")
    return combine(attn_mask, key_padding_mask)


def _may(mask: Tensor, name: str) -> Tensor:
    """True where a query may attend."""
    if mask.dtype == torch.bool:
        return ~mask
    if not mask.is_floating_point() or not ((mask == 0) | (mask == -torch.inf)).all():
        raise ValueError(f"{name} is added and has others than 0 and -inf: that is no mask")
    return mask == 0


attention_mask = checks.numbers(queries=FROM_0, keys=FROM_0)(attention_mask)
mask_from_torch = checks.numbers(heads=COUNT)(mask_from_torch)
