"""Masks: padding, causality and others in one; torch's masks turned into ours."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from solutions import multi_head
from solutions.masks import attention_mask, combine, mask_from_torch

B, Q, K, HEADS, DIM = 3, 4, 5, 2, 6
LENGTHS = torch.tensor([5, 2, 0])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("more", [None, "i j", "1 j", "b i j", "b 1 j"])
def test_a_query_may_see_what_all_masks_allow(causal, padded, more):
    sizes = {"b": B, "i": Q, "j": K, "1": 1}
    given = None if more is None else torch.rand([sizes[a] for a in more.split()]) < 0.6
    mask = attention_mask(Q, K, LENGTHS if padded else None, causal, given)
    if not causal and not padded and given is None:
        assert mask is None
        return
    assert mask.dtype == torch.bool
    assert mask.shape[-2:] == (Q, K)
    mask = mask.expand(B, Q, K)
    other = torch.ones(B, Q, K, dtype=torch.bool) if given is None else given.expand(B, Q, K)
    for b in range(B):
        for i in range(Q):
            for j in range(K):
                may = bool(other[b, i, j])
                may &= j <= i or not causal
                may &= j < LENGTHS[b] or not padded
                assert mask[b, i, j] == may


def test_padding_is_never_read():
    """What stands in the padding changes nothing; an example of padding alone reads 0."""
    layer = multi_head.MultiHeadAttention(DIM, HEADS, dtype=torch.float64)
    x, context = (torch.randn(B, n, DIM, dtype=torch.float64) for n in (Q, K))
    mask = attention_mask(Q, K, LENGTHS)
    y = layer(x, context, mask)
    filled = context.clone()
    for b, length in enumerate(LENGTHS):
        filled[b, length:] = 1e6
    assert_close(layer(x, filled, mask), y)
    assert_close(y[2], layer.out.bias.expand(Q, DIM))
    for b, length in enumerate(LENGTHS[:2]):
        assert_close(y[b : b + 1], layer(x[b : b + 1], context[b : b + 1, :length]))


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_torchs_masks_mean_the_same_to_ours(added, per_example, padded):
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True).double().eval()
    ours = multi_head.from_torch(theirs)
    x, context = (torch.randn(B, n, DIM, dtype=torch.float64) for n in (Q, K))
    hidden = torch.rand(B if per_example else 1, Q, K) < 0.4
    hidden[..., 0] = False  # somebody is left for every query
    never = torch.arange(K) >= torch.tensor([5, 2, 3])[:, None] if padded else None
    attn = hidden.repeat_interleave(HEADS, 0) if per_example else hidden[0]
    if added:
        attn = torch.zeros(attn.shape, dtype=torch.float64).masked_fill(attn, -torch.inf)
        if padded:
            never = torch.zeros(B, K, dtype=torch.float64).masked_fill(never, -torch.inf)
    wanted, _ = theirs(x, context, context, attn_mask=attn, key_padding_mask=never)
    assert_close(ours(x, context, mask_from_torch(attn, never, HEADS)), wanted)
    assert mask_from_torch() is None


def test_what_is_no_mask_is_told():
    yes = torch.ones(Q, K, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"True where a query may attend, not torch.float32"):
        combine(yes, yes.float())
    with pytest.raises(ValueError, match=r"not torch\.int64"):
        attention_mask(Q, K, mask=yes.long())
    with pytest.raises(ValueError, match=r"masks of \(4, 5\), \(5, 4\) do not fit"):
        combine(yes, yes.mT)
    with pytest.raises(ValueError, match=r"a mask of \(4, 5\) for queries=5 and keys=4"):
        attention_mask(K, Q, mask=yes)
    with pytest.raises(ValueError, match=r"a mask of \(4,\) for"):
        attention_mask(1, 4, mask=yes[:, 0])
    for lengths in ([6, 1], [-1, 2]):
        with pytest.raises(ValueError, match="keys=5: from 0 to 5"):
            attention_mask(Q, K, torch.tensor(lengths))
    with pytest.raises(ValueError, match="attn_mask is added and has others than 0 and -inf"):
        mask_from_torch(torch.full((Q, K), 0.5))
    with pytest.raises(ValueError, match="key_padding_mask is added"):
        mask_from_torch(key_padding_mask=torch.full((B, K), -1e9))
    with pytest.raises(ValueError, match="attn_mask has 3 maps for heads=2"):
        mask_from_torch(torch.zeros(3, Q, K), heads=2)
    uneven = torch.zeros(2, Q, K, dtype=torch.bool)
    uneven[0, 0, 0] = True
    with pytest.raises(ValueError, match="differs from head to head"):
        mask_from_torch(uneven, heads=2)
