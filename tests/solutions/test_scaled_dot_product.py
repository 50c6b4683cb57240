"""What must be true of attention, however it is written."""

import math
import warnings
from itertools import product

import pytest
import torch
from einops import rearrange, reduce
from torch.nn import functional as F
from torch.testing import assert_close

from solutions.scaled_dot_product import (
    AdditiveAttention,
    attention_weights,
    causal_mask,
    dot_product_scores,
    padding_mask,
    scaled_dot_product_attention,
    softmax,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, QUERIES, KEYS, D, E, M = 2, 3, 5, 7, 11, 6
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
HALVES = [torch.float16, torch.bfloat16, torch.float32]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture
def qkv(device):
    """Queries, keys and values in double precision: b i d, b j d, b j e."""
    shapes = (B, QUERIES, D), (B, KEYS, D), (B, KEYS, E)
    return tuple(torch.randn(shape, dtype=torch.float64, device=device) for shape in shapes)


@pytest.fixture
def additive():
    """Additive attention for queries of width d and keys of width e, in double precision."""
    return AdditiveAttention(query_dim=D, key_dim=E, hidden=M).double()


def with_an_empty_row():
    """A mask of random holes, b i j, in which query 1 of example 1 may attend to nothing."""
    mask = torch.rand(B, QUERIES, KEYS) < 0.6
    mask[..., 0] = True
    mask[1, 1] = False
    return mask


MASKS = {
    "none": lambda: None,
    "causal": lambda: causal_mask(QUERIES, KEYS),
    "padding": lambda: padding_mask(torch.tensor([2, 4]), KEYS),
    "nothing to read": lambda: padding_mask(torch.tensor([0, 4]), KEYS),
    "an empty row": with_an_empty_row,
    "one row for all": lambda: torch.tensor([[True, False, True, True, False]]),
}


@pytest.fixture(params=MASKS, ids=lambda name: name.replace(" ", "-"))
def mask(request, device):
    made = MASKS[request.param]()
    return made if made is None else made.to(device)


def equation_1(query, keys, values, allowed):
    """Vaswani et al. 2017, eq. 1, for one query of one example, one key at a time."""
    scores = [sum(a * b for a, b in zip(query, key, strict=True)) for key in keys]
    powers = [
        math.exp(s / math.sqrt(len(query))) if ok else 0.0
        for s, ok in zip(scores, allowed, strict=True)
    ]
    shares = [p / sum(powers) if any(allowed) else 0.0 for p in powers]
    output = [
        sum(a * v for a, v in zip(shares, one, strict=True))
        for one in zip(*values, strict=True)
    ]
    return shares, output


def each_query(q, k, v, mask):
    """The map and the output of equation 1, query by query: b i j and b i e."""
    mask = torch.ones(()).bool() if mask is None else mask
    mask = mask.expand(B, QUERIES, KEYS).tolist()
    rows = [
        equation_1(q[b, i].tolist(), k[b].tolist(), v[b].tolist(), mask[b][i])
        for b, i in product(range(B), range(QUERIES))
    ]
    maps, outputs = (torch.tensor(each) for each in zip(*rows, strict=True))
    return maps.to(q).unflatten(0, (B, -1)), outputs.to(q).unflatten(0, (B, -1))


def at_every_place(entry, *sizes):
    """The tensor whose element at each index is entry(index)."""
    entries = [float(entry(*at)) for at in product(*map(range, sizes))]
    return torch.tensor(entries).reshape(sizes)


@pytest.fixture(autouse=True)
def _double():
    """Lists become tensors in double precision here."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# ---------------------------------------------------------------- softmax


def test_softmax_is_its_definition():
    x = torch.randn(QUERIES, KEYS)
    shares = [[math.exp(s) / sum(map(math.exp, row)) for s in row] for row in x.tolist()]
    assert_close(softmax(x), torch.tensor(shares))


def test_softmax_agrees_with_torch_for_any_number_of_axes():
    for shape in (KEYS,), (QUERIES, KEYS), (B, QUERIES, KEYS), (2, 3, 4, 5, 6):
        x = torch.randn(shape)
        assert_close(softmax(x), F.softmax(x, dim=-1))


def test_softmax_gives_positive_shares_that_sum_to_1():
    shares = softmax(3 * torch.randn(B, QUERIES, KEYS))
    assert (shares > 0).all()
    assert_close(reduce(shares, "b i j -> b i", "sum"), torch.ones(B, QUERIES))


def test_softmax_keeps_the_order():
    x = torch.randn(QUERIES, KEYS)
    assert torch.equal(softmax(x).argsort(-1), x.argsort(-1))


def test_softmax_ignores_what_is_added_to_a_whole_row():
    x = torch.randn(QUERIES, KEYS)
    assert_close(softmax(x + torch.tensor([[1.0], [-300], [4e3]])), softmax(x))


def test_softmax_of_two_scores_is_the_sigmoid_of_their_difference():
    x = torch.randn(KEYS, 2)
    assert_close(softmax(x)[:, 0], (x[:, 0] - x[:, 1]).sigmoid())


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
def test_softmax_is_finite_for_any_finite_scores(dtype):
    top = torch.finfo(dtype).max
    x = torch.tensor([[top, top, -top], [0, -top, -top], [-top, -top, -top]], dtype=dtype)
    shares = torch.tensor([[1 / 2, 1 / 2, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], dtype=dtype)
    assert_close(softmax(x), shares)


def test_softmax_gives_no_share_to_a_score_of_minus_infinity():
    x = torch.tensor([[-math.inf, 1.0, 2.0], [0.0, -math.inf, -math.inf]])
    assert_close(softmax(x)[0, 1:], softmax(x[0, 1:]))
    assert_close(softmax(x)[1], torch.tensor([1.0, 0, 0]))


def test_the_gradient_of_softmax_is_diag_s_minus_s_s():
    x = torch.randn(KEYS)
    s = softmax(x)
    jacobian = torch.autograd.functional.jacobian(softmax, x)
    assert_close(jacobian, torch.diag(s) - torch.outer(s, s))
    assert torch.autograd.gradcheck(softmax, torch.randn(QUERIES, KEYS, requires_grad=True))


def test_softmax_accepts_strided_input_and_leaves_it_as_it_was():
    x = rearrange(torch.randn(KEYS, QUERIES), "j i -> i j")
    before = x.clone()
    assert_close(softmax(x), softmax(x.contiguous()))
    assert torch.equal(x, before)


# ---------------------------------------------------------------- additive attention


def bahdanau(layer, query, key):
    """e = wᵀ tanh(W_q q + W_k k) for one query and one key, one hidden feature at a time."""
    layer.requires_grad_(False)
    rows = zip(layer.query.weight, layer.key.weight, layer.score.weight[0], strict=True)
    return sum(w * torch.tanh(a @ query + c @ key) for a, c, w in rows)


def test_additive_scores_are_the_equation_of_the_paper(additive):
    q, k = torch.randn(B, QUERIES, D), torch.randn(B, KEYS, E)
    expected = at_every_place(
        lambda b, i, j: bahdanau(additive, q[b, i], k[b, j]), B, QUERIES, KEYS
    )
    assert_close(additive.scores(q, k), expected)


def test_additive_output_is_the_mean_of_the_values_in_shares_of_the_scores(additive):
    q, k, v = torch.randn(B, QUERIES, D), torch.randn(B, KEYS, E), torch.randn(B, KEYS, 4)
    weights = additive.scores(q, k).exp().detach()
    weights = weights / weights.sum(-1, keepdim=True)
    assert_close(additive.attention(q, k), weights)
    y = at_every_place(
        lambda b, i, e: sum(weights[b, i, j] * v[b, j, e] for j in range(KEYS)), B, QUERIES, 4
    )
    assert_close(additive(q, k, v), y)


def test_additive_scores_never_exceed_the_sum_of_the_absolute_weights(additive):
    bound = additive.score.weight.abs().sum()
    for size in 1, 1e3, 1e9:
        scores = additive.scores(
            size * torch.randn(B, QUERIES, D), size * torch.randn(B, KEYS, E)
        )
        assert (scores.abs() <= bound * (1 + 1e-12)).all()


def test_additive_scores_reach_the_bound_where_every_tanh_saturates(additive):
    """One key can meet all the signs of w at once: it has more features than are hidden."""
    signs = additive.score.weight.sign()
    k = 1e3 * torch.linalg.lstsq(additive.key.weight, signs.T).solution.T[None]
    assert_close(
        additive.scores(torch.zeros(1, 1, D), k).squeeze(), additive.score.weight.abs().sum()
    )


def test_dot_products_have_no_bound(qkv):
    q, k, _ = qkv
    assert_close(dot_product_scores(1e6 * q, 1e6 * k), 1e12 * dot_product_scores(q, k))


def test_additive_attention_with_w_of_0_takes_the_plain_mean(additive):
    torch.nn.init.zeros_(additive.score.weight)
    v = torch.randn(B, KEYS, 4)
    y = additive(torch.randn(B, QUERIES, D), torch.randn(B, KEYS, E), v)
    assert_close(y, reduce(v, "b j e -> b 1 e", "mean").expand(B, QUERIES, 4))


def test_additive_attention_does_not_mix_examples(additive):
    q, k, v = torch.randn(B, QUERIES, D), torch.randn(B, KEYS, E), torch.randn(B, KEYS, 4)
    assert_close(additive(q, k, v)[:1], additive(q[:1], k[:1], v[:1]))


def test_the_order_of_the_keys_does_not_matter_to_additive_attention(additive):
    q, k, v = torch.randn(B, QUERIES, D), torch.randn(B, KEYS, E), torch.randn(B, KEYS, 4)
    order = torch.randperm(KEYS)
    assert_close(additive(q, k[:, order], v[:, order]), additive(q, k, v))


def test_gradients_of_additive_attention_are_right(additive):
    shapes = (B, QUERIES, D), (B, KEYS, E), (B, KEYS, 4)
    inputs = tuple(torch.randn(shape, requires_grad=True) for shape in shapes)
    assert torch.autograd.gradcheck(additive, inputs)
    additive(*inputs).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in additive.parameters())


# ---------------------------------------------------------------- dot-product scores


def test_scores_are_inner_products(qkv):
    q, k, _ = qkv
    expected = at_every_place(
        lambda b, i, j: sum(q[b, i, d] * k[b, j, d] for d in range(D)), B, QUERIES, KEYS
    )
    assert_close(dot_product_scores(q, k), expected.to(q))


def test_scores_are_linear_in_queries_and_in_keys(qkv):
    q, k, _ = qkv
    p = torch.randn_like(q)
    two_of_each = dot_product_scores(q, k) + 2 * dot_product_scores(p, k)
    assert_close(dot_product_scores(q + 2 * p, k), two_of_each)
    assert_close(
        dot_product_scores(k, q), rearrange(dot_product_scores(q, k), "b i j -> b j i")
    )


@pytest.mark.parametrize("d", [1, 3, 4, 7])
def test_the_variance_of_a_dot_product_of_independent_signs_is_d(d):
    """Exactly: over all vectors of signs. Divided by sqrt(d), attention makes it 1."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * d).reshape(2**d, d)
    scores = dot_product_scores(signs, signs)
    assert_close(scores.var(unbiased=False), torch.tensor(float(d)))
    logits = attention_weights(signs, signs).log()
    logits = logits - reduce(logits, "i j -> i 1", "mean")
    assert_close(logits.var(unbiased=False), torch.tensor(1.0))


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (7, 4), (6, 6), (1, 3), (2, 1)])
def test_a_query_sees_its_own_place_and_those_before(queries, keys):
    mask = causal_mask(queries, keys)
    assert mask.tolist() == [[j <= i for j in range(keys)] for i in range(queries)]


@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (7, 4), (6, 6)])
def test_the_causal_mask_is_aligned_top_left_as_in_torch(queries, keys, device):
    q, k, v = (torch.randn(B, n, 8, device=device) for n in (queries, keys, keys))
    y = scaled_dot_product_attention(q, k, v, causal_mask(queries, keys).to(device))
    assert_close(y, F.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_what_comes_later_changes_nothing(qkv):
    q, k, v = qkv
    mask = causal_mask(QUERIES, KEYS).to(q.device)
    y = scaled_dot_product_attention(q, k, v, mask)
    for i in range(QUERIES):
        later, other = k.clone(), v.clone()
        later[:, i + 1 :], other[:, i + 1 :] = 1e3, -1e3
        changed = scaled_dot_product_attention(q, later, other, mask)
        assert_close(changed[:, : i + 1], y[:, : i + 1])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_padding_leaves_the_first_keys_of_each_example(dtype, device):
    lengths = [2, 5, 0, 4]
    mask = padding_mask(torch.tensor(lengths, dtype=dtype, device=device), 5)
    assert mask.device.type == device
    assert mask.tolist() == [[[j < length for j in range(5)]] for length in lengths]


def test_a_padding_mask_is_made_where_the_lengths_are():
    """The device without data: whatever is made elsewhere cannot be combined with it."""
    assert padding_mask(torch.zeros(B, dtype=torch.int64, device="meta"), KEYS).is_meta


def test_padding_is_as_if_it_were_not_there(qkv):
    q, k, v = qkv
    lengths = torch.tensor([2, 4], device=q.device)
    y = scaled_dot_product_attention(q, k, v, padding_mask(lengths, KEYS))
    for b, length in enumerate(lengths.tolist()):
        alone = scaled_dot_product_attention(q[b], k[b, :length], v[b, :length])
        assert_close(y[b], alone)


# ---------------------------------------------------------------- attention


def test_it_is_equation_1_for_every_query(qkv, mask):
    maps, outputs = each_query(*qkv, mask)
    assert_close(attention_weights(*qkv[:2], mask), maps)
    assert_close(scaled_dot_product_attention(*qkv, mask), outputs)


def test_it_agrees_with_torch(qkv, mask):
    expected = F.scaled_dot_product_attention(*qkv, attn_mask=mask)
    assert_close(scaled_dot_product_attention(*qkv, mask), expected)


def test_the_weights_of_a_query_sum_to_1_or_to_0_if_it_may_attend_to_nothing(qkv, mask):
    q, k, _ = qkv
    weights = attention_weights(q, k, mask)
    allowed = torch.ones_like(weights).bool() if mask is None else mask.expand_as(weights)
    assert (weights[allowed] > 0).all()
    assert (weights[~allowed] == 0).all()
    assert_close(reduce(weights, "b i j -> b i", "sum"), allowed.any(-1).to(q.dtype))


def test_a_query_that_may_attend_to_nothing_gets_0_where_the_naive_form_gives_nan(qkv):
    q, k, v = qkv
    mask = torch.zeros(QUERIES, KEYS, dtype=torch.bool, device=q.device)
    naive = dot_product_scores(q, k).masked_fill(~mask, -math.inf).softmax(-1)
    assert naive.isnan().all()
    assert (scaled_dot_product_attention(q, k, v, mask) == 0).all()


def test_without_any_keys_the_output_is_0(qkv):
    q, k, v = qkv
    assert torch.equal(
        scaled_dot_product_attention(q, k[:, :0], v[:, :0]), q.new_zeros(B, QUERIES, E)
    )


def test_with_one_key_the_output_is_its_value_whatever_the_query(qkv):
    q, k, v = qkv
    y = scaled_dot_product_attention(q, k[:, :1], v[:, :1])
    assert_close(y, v[:, :1].expand(B, QUERIES, E))


def test_a_query_of_0_takes_the_plain_mean(qkv):
    q, k, v = qkv
    mean = reduce(v, "b j e -> b 1 e", "mean").expand(B, QUERIES, E)
    assert_close(scaled_dot_product_attention(torch.zeros_like(q), k, v), mean)


def test_a_long_query_takes_the_value_of_its_best_key(qkv):
    q, k, v = qkv
    best = dot_product_scores(q, k).argmax(-1)
    expected = torch.stack([v[b, best[b]] for b in range(B)])
    assert_close(scaled_dot_product_attention(1e6 * q, k, v), expected)


def test_the_output_lies_between_the_smallest_and_the_largest_value(qkv):
    y = scaled_dot_product_attention(*qkv)
    low, high = (reduce(qkv[2], "b j e -> b 1 e", how) for how in ("min", "max"))
    assert ((low <= y) & (y <= high)).all()


def test_keys_and_values_may_be_permuted_together(qkv, mask):
    q, k, v = qkv
    order = torch.randperm(KEYS, device=q.device)
    moved = None if mask is None else mask[..., order]
    y = scaled_dot_product_attention(q, k[:, order], v[:, order], moved)
    assert_close(y, scaled_dot_product_attention(*qkv, mask))


def test_permuted_queries_permute_the_output(qkv):
    q, k, v = qkv
    order = torch.randperm(QUERIES, device=q.device)
    y = scaled_dot_product_attention(q[:, order], k, v)
    assert_close(y, scaled_dot_product_attention(q, k, v)[:, order])


def test_the_same_vector_added_to_every_key_changes_nothing(qkv):
    q, k, v = qkv
    shifted = k + torch.randn(B, 1, D, device=q.device)
    assert_close(
        scaled_dot_product_attention(q, shifted, v), scaled_dot_product_attention(q, k, v)
    )


def test_the_output_is_linear_in_the_values(qkv):
    q, k, v = qkv
    other = torch.randn_like(v)
    y = scaled_dot_product_attention(q, k, v + 3 * other)
    parts = [scaled_dot_product_attention(q, k, each) for each in (v, other)]
    assert_close(y, parts[0] + 3 * parts[1])


def test_examples_do_not_mix(qkv):
    assert_close(
        scaled_dot_product_attention(*qkv)[:1],
        scaled_dot_product_attention(*(each[:1] for each in qkv)),
    )


def test_masked_keys_and_values_do_not_matter(qkv):
    q, k, v = qkv
    mask = with_an_empty_row().to(q.device)
    mask[..., 2] = False
    k2, v2 = k.clone(), v.clone()
    k2[:, 2], v2[:, 2] = 1e6, -1e6
    y = scaled_dot_product_attention(q, k2, v2, mask)
    assert_close(y, scaled_dot_product_attention(q, k, v, mask))


def test_a_masked_key_gets_nothing_however_well_it_agrees(device):
    """No number is small enough to stand for minus infinity."""
    q = torch.full((1, 2), -1e150, device=device)
    k = torch.tensor([[1.0, 1], [2, 0], [-1, -1]], device=device)
    mask = torch.tensor([[True, True, False]], device=device)
    expected = torch.tensor([[0.5, 0.5, 0]], device=device)
    assert_close(attention_weights(q, k, mask), expected)


def test_axes_in_front_are_independent_attentions(device):
    q, k, v = (
        torch.randn(B, 4, n, w, device=device) for n, w in ((QUERIES, D), (KEYS, D), (KEYS, E))
    )
    mask = (torch.rand(B, 1, QUERIES, KEYS, device=device) < 0.5) | causal_mask(
        QUERIES, KEYS
    ).to(device)
    y = scaled_dot_product_attention(q, k, v, mask)
    for b in range(B):
        for head in range(4):
            one = q[b, head], k[b, head], v[b, head], mask[b, 0]
            assert_close(y[b, head], scaled_dot_product_attention(*one))


def test_gradients_are_right(qkv, mask):
    inputs = tuple(each.requires_grad_() for each in qkv)
    assert torch.autograd.gradcheck(
        lambda q, k, v: scaled_dot_product_attention(q, k, v, mask), inputs
    )


def test_an_empty_row_sends_no_gradient_and_no_nan(qkv):
    q, k, v = (each.requires_grad_() for each in qkv)
    mask = with_an_empty_row().to(q.device)
    scaled_dot_product_attention(q, k, v, mask).square().sum().backward()
    assert all(each.grad.isfinite().all() for each in (q, k, v))
    assert (q.grad[1, 1] == 0).all()
    assert (q.grad[0] != 0).any()


@pytest.mark.parametrize("dtype", HALVES)
def test_it_keeps_the_dtype_and_its_precision(qkv, mask, dtype):
    q, k, v = (each.to(dtype) for each in qkv)
    y = scaled_dot_product_attention(q, k, v, mask)
    assert y.dtype == attention_weights(q, k, mask).dtype == dtype
    exact = scaled_dot_product_attention(q.double(), k.double(), v.double(), mask)
    rounding = 8 * torch.finfo(dtype).eps
    assert_close(y.double(), exact, rtol=rounding, atol=rounding)


def test_large_scores_do_not_overflow(qkv):
    q, k, v = qkv
    assert scaled_dot_product_attention(1e150 * q, 1e150 * k, v).isfinite().all()


def test_strided_input_gives_the_same_and_nothing_is_changed(qkv, mask):
    strided = tuple(
        rearrange(rearrange(x, "b n d -> d n b").contiguous(), "d n b -> b n d") for x in qkv
    )
    assert not any(x.is_contiguous() for x in strided)
    before = [x.clone() for x in strided]
    y = scaled_dot_product_attention(*strided, mask)
    assert_close(y, scaled_dot_product_attention(*qkv, mask))
    assert all(torch.equal(x, was) for x, was in zip(strided, before, strict=True))


# ---------------------------------------------------------------- errors


def test_queries_and_keys_of_different_width_are_refused(qkv):
    q, _, v = qkv
    with pytest.raises(ValueError, match="d is 11 in k and 7 in q"):
        scaled_dot_product_attention(q, v, v)


def test_as_many_values_as_keys_are_needed(qkv):
    q, k, v = qkv
    with pytest.raises(ValueError, match="j is 4 in v and 5 in k"):
        scaled_dot_product_attention(q, k, v[:, :-1])


def test_a_mask_of_numbers_is_refused(qkv):
    with pytest.raises(ValueError, match="the mask is of float64: give one of bool"):
        scaled_dot_product_attention(*qkv, torch.zeros(QUERIES, KEYS, device=qkv[0].device))


def test_a_mask_that_does_not_fit_the_map_is_refused(qkv):
    with pytest.raises(ValueError, match=r"a mask of \(3, 6\) does not broadcast"):
        scaled_dot_product_attention(*qkv, causal_mask(QUERIES, KEYS + 1).to(qkv[0].device))


def test_nothing_on_the_way_is_no_number_where_a_query_may_attend_to_nothing(qkv):
    """Anomaly detection stops at the first nan of a gradient, hidden afterwards or not."""
    given = [x.clone().requires_grad_() for x in qkv]
    mask = torch.ones(QUERIES, KEYS, dtype=torch.bool, device=given[0].device)
    mask[1] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is slow
        with torch.autograd.detect_anomaly():
            y = scaled_dot_product_attention(*given, mask)
            y.square().sum().backward()
    assert not y[:, 1].any()
    assert not given[0].grad[:, 1].any()
    assert all(x.grad.isfinite().all() for x in given)
