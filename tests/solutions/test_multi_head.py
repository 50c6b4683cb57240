"""What must be true of multi-head attention, however it is written."""

import math

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions.multi_head import (
    MultiHeadAttention,
    from_torch,
    merge_heads,
    multiply_adds,
    parameters,
    split_heads,
)
from solutions.scaled_dot_product import attention_weights, causal_mask, padding_mask

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, QUERIES, KEYS, HEADS, D = 2, 5, 7, 3, 4
DIM = HEADS * D


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


@pytest.fixture
def layer():
    return MultiHeadAttention(DIM, HEADS).double()


@pytest.fixture
def x():
    """The tokens that ask, b i dim."""
    return random(B, QUERIES, DIM)


@pytest.fixture
def context():
    """The tokens that answer, b j dim."""
    return random(B, KEYS, DIM)


@pytest.fixture
def mask():
    """Different for every example, query and key; nobody is left without a key."""
    mask = torch.rand(B, QUERIES, KEYS) < 0.5
    mask[..., 0] = True
    return mask


@torch.no_grad()
def paper(layer, x, context, mask=None):
    """Section 3.2.2, one example, head, query and key at a time: the maps and the output."""
    d = layer.query.out_features // layer.heads
    maps = torch.zeros(len(x), layer.heads, x.shape[1], context.shape[1]).to(x)
    output = torch.empty_like(x)
    for b in range(len(x)):
        q, k, v = layer.query(x[b]), layer.key(context[b]), layer.value(context[b])
        read = torch.zeros_like(q)
        for head in range(layer.heads):
            own = slice(head * d, (head + 1) * d)  # the features of this head
            for i in range(len(q)):
                may = [j for j in range(len(k)) if mask is None or mask[b, i, j]]
                shares = [math.exp(q[i, own] @ k[j, own] / math.sqrt(d)) for j in may]
                for j, share in zip(may, shares, strict=True):
                    maps[b, head, i, j] = share / sum(shares)
                    read[i, own] += maps[b, head, i, j] * v[j, own]
        output[b] = read @ layer.out.weight.T + layer.out.bias
    return maps, output


# the two halves of the change of axes


def test_a_head_gets_consecutive_features(x):
    pieces = split_heads(x, HEADS)
    assert pieces.shape == (B, HEADS, QUERIES, D)
    for head in range(HEADS):
        assert_close(pieces[:, head], x[..., head * D : (head + 1) * D], rtol=0, atol=0)


def test_merging_undoes_splitting(x):
    assert_close(merge_heads(split_heads(x, HEADS)), x, rtol=0, atol=0)


def test_splitting_undoes_merging():
    pieces = random(B, HEADS, QUERIES, D)
    assert_close(split_heads(merge_heads(pieces), HEADS), pieces, rtol=0, atol=0)


def test_one_head_has_all_the_features(x):
    assert_close(split_heads(x, 1)[:, 0], x, rtol=0, atol=0)


def test_as_many_heads_as_features_have_one_each(x):
    assert split_heads(x, DIM).shape == (B, DIM, QUERIES, 1)


def test_heads_that_do_not_divide_are_refused(x):
    with pytest.raises(ValueError, match="dim=12 is not a multiple of heads=5"):
        split_heads(x, 5)
    with pytest.raises(ValueError, match="dim=12 is not a multiple of heads=5"):
        MultiHeadAttention(12, 5)


# the equations


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 12])
def test_it_computes_the_equations_of_the_paper(x, context, heads):
    layer = MultiHeadAttention(DIM, heads).double()
    maps, output = paper(layer, x, context)
    assert_close(layer.attention(x, context), maps)
    assert_close(layer(x, context), output)


def test_without_a_context_it_attends_to_itself(layer, x):
    maps, output = paper(layer, x, x)
    assert_close(layer.attention(x), maps)
    assert_close(layer(x), output)


def test_with_a_mask_the_shares_go_to_the_keys_that_are_left(layer, x, context, mask):
    maps, output = paper(layer, x, context, mask)
    assert_close(layer.attention(x, context, mask), maps)
    assert_close(layer(x, context, mask), output)


def test_shares_of_every_head_and_query_sum_to_one_over_the_keys(layer, x, context, mask):
    shares = layer.attention(x, context, mask)
    assert (shares >= 0).all()
    assert_close(shares.sum(-1), torch.ones(B, HEADS, QUERIES).double())


def test_one_head_is_plain_attention_between_projections(x, context):
    layer = MultiHeadAttention(DIM, 1).double()
    weights = attention_weights(layer.query(x), layer.key(context))
    assert_close(layer(x, context), layer.out(weights @ layer.value(context)))


def test_values_come_from_the_context_alone(layer, x):
    same = random(B, 1, DIM).expand(
        B, KEYS, DIM
    )  # whatever the shares, their mean is this token
    assert_close(layer(x, same), layer.out(layer.value(same[:, :QUERIES])))


# the oracles


def torch_layer(heads):
    theirs = nn.MultiheadAttention(DIM, heads, batch_first=True, dtype=torch.float64)
    nn.init.normal_(theirs.in_proj_bias)  # torch starts them at 0, where they prove nothing
    nn.init.normal_(theirs.out_proj.bias)
    return theirs


def theirs_of(theirs, x, context, **masks):
    """Torch's output and maps, each head on its own."""
    return theirs(x, context, context, average_attn_weights=False, **masks)


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 12])
def test_with_torchs_weights_it_gives_torchs_output(x, context, heads):
    theirs = torch_layer(heads)
    ours = from_torch(theirs)
    for source in (x, context):
        output, maps = theirs_of(theirs, x, source)
        assert_close(ours(x, source), output)
        assert_close(ours.attention(x, source), maps)
    assert_close(ours(x), theirs_of(theirs, x, x)[0])


def test_torchs_attn_mask_is_ours_negated(x, context):
    theirs, may = torch_layer(HEADS), causal_mask(QUERIES, KEYS)
    output, maps = theirs_of(theirs, x, context, attn_mask=~may)
    assert_close(from_torch(theirs)(x, context, may), output)
    assert_close(from_torch(theirs).attention(x, context, may), maps)


def test_torchs_attn_mask_for_every_example_is_ours_repeated_over_the_heads(x, context, mask):
    theirs = torch_layer(HEADS)
    repeated = torch.stack([m for m in mask for _ in range(HEADS)])
    output, maps = theirs_of(theirs, x, context, attn_mask=~repeated)
    assert_close(from_torch(theirs)(x, context, mask), output)
    assert_close(from_torch(theirs).attention(x, context, mask), maps)


def test_torchs_key_padding_mask_is_ours_negated(x, context):
    theirs, may = torch_layer(HEADS), padding_mask(torch.tensor([KEYS, 4]), KEYS)
    output, maps = theirs_of(theirs, x, context, key_padding_mask=~may[:, 0])
    assert_close(from_torch(theirs)(x, context, may), output)
    assert_close(from_torch(theirs).attention(x, context, may), maps)


def test_from_torch_copies_and_keeps_the_dtype():
    theirs = torch_layer(HEADS).float()
    ours = from_torch(theirs)
    with torch.no_grad():
        ours.query.weight.zero_()
    assert ours.query.weight.dtype == torch.float32
    assert (theirs.in_proj_weight != 0).all()


def test_it_agrees_with_torchs_attention_given_a_head_axis(layer, x, context, mask):
    q, k, v = (
        part.unflatten(-1, (HEADS, D)).transpose(1, 2)
        for part in (layer.query(x), layer.key(context), layer.value(context))
    )
    read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])
    assert_close(layer(x, context, mask), layer.out(read.transpose(1, 2).flatten(2)))


# masks


def test_a_mask_for_all_examples_is_that_mask_for_each(layer, x, context, mask):
    assert_close(
        layer(x, context, mask[0]), layer(x, context, mask[:1].expand(B, QUERIES, KEYS))
    )


def test_a_mask_may_have_axes_of_length_one(layer, x, context):
    keys, queries = padding_mask(torch.tensor([3, 6]), KEYS), torch.rand(QUERIES, 1) < 0.5
    assert_close(layer(x, context, keys), layer(x, context, keys.expand(B, QUERIES, KEYS)))
    assert_close(layer(x, context, queries), layer(x, context, queries.expand(QUERIES, KEYS)))


def test_a_mask_that_allows_everything_changes_nothing(layer, x, context):
    everything = torch.ones(QUERIES, KEYS, dtype=torch.bool)
    assert_close(layer(x, context, everything), layer(x, context))


def test_a_key_that_may_not_be_seen_does_not_matter(layer, x, context, mask):
    mask[..., 3] = False
    changed = context.clone()
    changed[:, 3] = 100
    assert_close(layer(x, changed, mask), layer(x, context, mask))


def test_a_causal_query_does_not_see_what_comes_later(layer, x):
    later = x.clone()
    later[:, 3:] = random(B, QUERIES - 3, DIM)
    mask = causal_mask(QUERIES, QUERIES)
    assert_close(layer(later, mask=mask)[:, :3], layer(x, mask=mask)[:, :3])


def test_a_query_that_may_attend_to_nothing_gets_the_bias_of_out_alone(layer, x, context, mask):
    mask[1, 2] = False
    assert (layer.attention(x, context, mask)[1, :, 2] == 0).all()
    output = layer(x.requires_grad_(), context, mask)
    assert_close(output[1, 2], layer.out.bias)
    output.sum().backward()
    assert x.grad.isfinite().all()


# symmetries


def test_tokens_in_another_order_give_the_outputs_in_that_order(layer, x):
    order = torch.randperm(QUERIES)
    assert_close(layer(x[:, order]), layer(x)[:, order])


def test_the_order_of_the_context_does_not_matter(layer, x, context):
    assert_close(layer(x, context[:, torch.randperm(KEYS)]), layer(x, context))


def test_examples_do_not_mix(layer, x, context, mask):
    for b in range(B):
        alone = layer(x[b : b + 1], context[b : b + 1], mask[b : b + 1])
        assert_close(layer(x, context, mask)[b : b + 1], alone)


def test_heads_do_not_mix_before_the_last_projection(layer, x, context):
    own = slice(D, 2 * D)  # the features of head 1
    before = layer.attention(x, context)
    for projection in (layer.query, layer.key):
        nn.init.normal_(projection.weight[own])
    after = layer.attention(x, context)
    assert not torch.allclose(before[:, 1], after[:, 1])
    assert_close(before[:, [0, 2]], after[:, [0, 2]])


def test_a_head_whose_columns_of_out_are_zero_does_not_matter(layer, x, context):
    own = slice(D, 2 * D)
    with torch.no_grad():
        layer.out.weight[:, own] = 0
        before = layer(x, context)
        for projection in (layer.query, layer.key, layer.value):
            nn.init.normal_(projection.weight[own])
    assert_close(layer(x, context), before)


def test_heads_in_another_order_give_the_same_output(layer, x, context):
    order = rearrange(torch.arange(DIM), "(head d) -> head d", d=D)[[2, 0, 1]].flatten()
    shuffled = MultiHeadAttention(DIM, HEADS).double()
    for name in ("query", "key", "value"):
        old, new = getattr(layer, name), getattr(shuffled, name)
        new.load_state_dict({"weight": old.weight[order], "bias": old.bias[order]})
    shuffled.out.load_state_dict({"weight": layer.out.weight[:, order], "bias": layer.out.bias})
    assert_close(shuffled(x, context), layer(x, context))


# gradients, types, memory


def test_gradients_are_right():
    layer = MultiHeadAttention(4, 2).double()
    x, context = random(2, 2, 4).requires_grad_(), random(2, 3, 4).requires_grad_()
    mask = torch.tensor([[True, False, True], [False, False, False]])
    assert torch.autograd.gradcheck(layer, (x, context, mask))
    assert torch.autograd.gradcheck(layer, (x,))


def test_gradients_reach_every_weight(layer, x, context):
    layer(x, context).square().sum().backward()
    for name, weight in layer.named_parameters():
        if name == "key.bias":  # it adds the same to all scores of a query, and cancels
            assert_close(weight.grad, torch.zeros_like(weight))
        else:
            assert (weight.grad != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_it_keeps_the_dtype(layer, x, context, mask, dtype):
    exact = layer(x, context, mask)
    rounded = layer.to(dtype)(x.to(dtype), context.to(dtype), mask)
    assert rounded.dtype == dtype
    slack = 8 * torch.finfo(dtype).eps  # a few roundings of numbers of size 1
    assert_close(rounded.double(), exact, rtol=slack, atol=slack)


def test_non_contiguous_inputs_work(layer, x, context):
    strided = rearrange(rearrange(x, "b i dim -> dim i b").contiguous(), "dim i b -> b i dim")
    assert not strided.is_contiguous()
    assert_close(layer(strided, context), layer(x, context))
    assert_close(layer(x, context.repeat_interleave(2, 1)[:, ::2]), layer(x, context))
    assert_close(split_heads(strided, HEADS), split_heads(x, HEADS))


def test_one_token_and_no_example_work(layer):
    one = random(1, 1, DIM)
    assert_close(layer(one), layer.out(layer.value(one)))
    assert layer(random(0, QUERIES, DIM), random(0, KEYS, DIM)).shape == (0, QUERIES, DIM)


# what it costs


@pytest.mark.parametrize(("dim", "heads"), [(12, 1), (12, 3), (10, 5), (7, 7)])
def test_the_formula_counts_the_parameters(dim, heads):
    layer = MultiHeadAttention(dim, heads)
    assert parameters(dim, heads) == sum(p.numel() for p in layer.parameters())


@pytest.mark.parametrize("heads", [1, 2, 3, 6])  # torch makes no product of it where d = 1
@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (7, 5), (1, 1), (3, 11)])
def test_the_formula_counts_the_multiply_adds(heads, queries, keys):
    layer = MultiHeadAttention(DIM, heads).double()
    x, context = random(1, queries, DIM), random(1, keys, DIM)
    counted = count(lambda: layer(x, context)).multiply_adds
    assert multiply_adds(DIM, heads, queries, keys) == counted


def test_as_many_heads_as_you_like_cost_the_same():
    assert len({parameters(DIM, heads) for heads in (1, 2, 3, 4, 6, 12)}) == 1
    assert len({multiply_adds(DIM, heads, QUERIES, KEYS) for heads in (1, 2, 3, 4, 6, 12)}) == 1


def test_the_maps_take_more_room_with_every_head(x, context):
    for heads in (6, 12):
        layer = MultiHeadAttention(DIM, heads).double()
        largest = count(lambda layer=layer: layer(x, context)).largest_tensor
        assert largest == B * heads * QUERIES * KEYS
