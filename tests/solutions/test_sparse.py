"""What must be true of sparse patterns, and of attention that follows them."""

import json
import math
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch.autograd import gradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention
from solutions.sparse import (
    PATTERNS,
    WAYS,
    SparseSelfAttention,
    SparseTransformer,
    block_keys,
    block_mask,
    factorised_attention,
    in_blocks,
    local_attention,
    local_keys,
    local_mask,
    map_bytes,
    masks,
    reachable,
    sparse_attention,
    strided_attention,
    strided_keys,
    strided_mask,
    summary_keys,
    summary_mask,
    with_previous,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, HEADS, N, D, E, STRIDE = 2, 4, 11, 3, 5, 3


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def qkv(n=N, heads=HEADS):
    return random(B, heads, n, D), random(B, heads, n, D), random(B, heads, n, E)


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)


# masks and lists of keys

SIZES = [(1, 1), (5, 1), (7, 3), (9, 3), (16, 4), (4, 9)]


@pytest.mark.parametrize(("n", "stride"), SIZES)
def test_each_mask_is_the_set_of_the_paper_written_with_loops(n, stride):
    made = [f(n, stride) for f in (local_mask, strided_mask, block_mask, summary_mask)]
    for mask in made:
        assert mask.shape == (n, n)
        assert mask.dtype == torch.bool
    for i in range(n):
        for j in range(n):
            sets = (
                max(0, i - stride + 1) <= j <= i,
                j <= i and (i - j) % stride == 0,
                j <= i and j // stride == i // stride,
                j <= i and j % stride in range(stride - 1, stride),
            )
            assert tuple(bool(mask[i, j]) for mask in made) == sets, (i, j)


@pytest.mark.parametrize(("n", "stride"), SIZES)
def test_the_lists_of_keys_are_where_the_masks_are_true(n, stride):
    summaries = max(1, stride // 2)
    for i in range(n):
        for mask, keys in (
            (local_mask(n, stride), local_keys(i, stride)),
            (strided_mask(n, stride), strided_keys(i, stride)),
            (block_mask(n, stride), block_keys(i, stride)),
            (summary_mask(n, stride, summaries), summary_keys(i, stride, summaries)),
        ):
            assert list(keys) == mask[i].nonzero().flatten().tolist()


def test_the_counts_for_64_tokens_and_a_stride_of_8():
    local, strided = masks("strided", 64, 8)
    assert (local.sum(), strided.sum(), (local | strided).sum()) == (484, 288, 708)
    assert causal_mask(64, 64).sum() == 2080


def test_with_l_plus_1_local_keys_as_in_the_paper_the_union_is_the_same():
    ours, papers = local_mask(64, 8), local_mask(64, 9)
    assert papers.sum() == 540
    assert torch.equal(ours | strided_mask(64, 8), papers | strided_mask(64, 8))


def test_counts_are_closed_sums():
    n, stride = 23, 5
    assert local_mask(n, stride).sum() == sum(min(i + 1, stride) for i in range(n))
    assert strided_mask(n, stride).sum() == sum(i // stride + 1 for i in range(n))
    assert block_mask(n, stride).sum() == sum(i % stride + 1 for i in range(n))
    assert summary_mask(n, stride).sum() == sum((i + 1) // stride for i in range(n))


def test_at_their_ends_the_patterns_are_the_causal_mask():
    causal = causal_mask(N, N)
    assert torch.equal(local_mask(N, N), causal)
    assert torch.equal(strided_mask(N, 1), causal)
    assert torch.equal(block_mask(N, N), causal)
    assert torch.equal(summary_mask(N, 4, 4), causal)


def test_the_first_queries_have_no_summary_to_read():
    empty = ~summary_mask(20, 5, 2).any(-1)
    assert empty.nonzero().flatten().tolist() == [0, 1, 2]
    block, summary = masks("fixed", 20, 5, 2)
    assert (block | summary).any(-1).all()


def test_naive_attention_gives_nan_on_the_empty_rows_and_ours_0():
    q, k, v = qkv()
    mask = summary_mask(N, STRIDE)
    naive = (q @ k.mT).masked_fill(~mask, -math.inf).softmax(-1) @ v
    assert naive[..., :2, :].isnan().all()
    assert not naive[..., 2:, :].isnan().any()
    y = sparse_attention(q, k, v, "fixed", STRIDE, way="interleaved", layer=1)
    assert (y[..., :2, :] == 0).all()
    assert y.isfinite().all()


# two hops


@pytest.mark.parametrize(("n", "stride"), [(11, 3), (16, 4), (64, 8)])
def test_two_strided_steps_reach_everything_in_either_order(n, stride):
    local, strided = masks("strided", n, stride)
    assert torch.equal(reachable(local, strided), causal_mask(n, n))
    assert torch.equal(reachable(strided, local), causal_mask(n, n))


@pytest.mark.parametrize(("n", "stride"), [(11, 3), (16, 4), (64, 8)])
def test_fixed_steps_reach_everything_only_when_they_are_merged(n, stride):
    block, summary = masks("fixed", n, stride)
    causal = causal_mask(n, n)
    assert torch.equal(reachable(block | summary, block | summary), causal)
    assert not torch.equal(reachable(block, summary), causal)  # early rows are empty
    assert not torch.equal(reachable(summary, block), causal)


def test_reachable_is_a_search_through_one_key_between():
    first, then = torch.rand(6, 6) < 0.3, torch.rand(6, 6) < 0.3
    for i in range(6):
        for j in range(6):
            found = any(then[i, a] and first[a, j] for a in range(6))
            assert bool(reachable(first, then)[i, j]) == found


# heads


def test_the_three_ways_of_the_heads_written_out():
    q, k, v = qkv()
    first, second = masks("strided", N, STRIDE)
    merged = factorised_attention(q, k, v, first, second, "merged")
    assert_close(merged, scaled_dot_product_attention(q, k, v, first | second))
    for layer in range(3):
        y = factorised_attention(q, k, v, first, second, "interleaved", layer)
        assert_close(y, scaled_dot_product_attention(q, k, v, second if layer % 2 else first))
    y = factorised_attention(q, k, v, first, second, "split")
    for head in range(HEADS):
        mask = first if head < HEADS // 2 else second
        alone = scaled_dot_product_attention(q[:, head], k[:, head], v[:, head], mask)
        assert_close(y[:, head], alone)


def test_merging_is_not_the_mean_of_two_softmaxes():
    q, k, v = qkv()
    first, second = masks("strided", N, STRIDE)
    mean = sum(scaled_dot_product_attention(q, k, v, m) for m in (first, second)) / 2
    merged = factorised_attention(q, k, v, first, second, "merged")
    assert not torch.allclose(mean, merged, atol=1e-3)


def test_an_odd_number_of_heads_has_no_halves():
    q, k, v = qkv(heads=3)
    with pytest.raises(ValueError, match="3 heads"):
        sparse_attention(q, k, v, "strided", STRIDE, way="split")
    with pytest.raises(ValueError, match="3 heads"):
        factorised_attention(q, k, v, *masks("strided", N, STRIDE), "split")


# blocks

LENGTHS = [1, 2, 3, 4, 7, 9, 11, 12, 13]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("window", [1, 3, 4, 20])
def test_local_attention_in_blocks_is_attention_with_the_local_mask(n, window):
    q, k, v = qkv(n)
    dense = scaled_dot_product_attention(q, k, v, local_mask(n, window))
    assert_close(local_attention(q, k, v, window), dense)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("stride", [1, 3, 4, 20])
def test_strided_attention_in_blocks_is_attention_with_the_strided_mask(n, stride):
    q, k, v = qkv(n)
    dense = scaled_dot_product_attention(q, k, v, strided_mask(n, stride))
    assert_close(strided_attention(q, k, v, stride), dense)


CASES = [
    (pattern, summaries, way, layer)
    for pattern in PATTERNS
    for summaries in ((1, 2) if pattern == "fixed" else (1,))
    for way, layer in (("merged", 0), ("interleaved", 0), ("interleaved", 1), ("split", 0))
]


def dense(q, k, v, pattern, stride, summaries, way, layer):
    made = masks(pattern, q.shape[-2], stride, summaries)
    if len(made) == 1:
        return scaled_dot_product_attention(q, k, v, made[0])
    return factorised_attention(q, k, v, *made, way, layer)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_blocks_value_and_gradient_are_those_of_the_dense_mask(n, case):
    pattern, summaries, way, layer = case
    for stride in (2, 3, 5):
        inputs = [x.requires_grad_() for x in qkv(n)]
        g = random(B, HEADS, n, E)
        ours = sparse_attention(*inputs, pattern, stride, summaries, way, layer)
        theirs = dense(*inputs, pattern, stride, summaries, way, layer)
        assert_close(ours, theirs)
        for a, b in zip(
            torch.autograd.grad(ours, inputs, g),
            torch.autograd.grad(theirs, inputs, g),
            strict=True,
        ):
            assert_close(a, b)
            assert a.isfinite().all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_finite_differences(case):
    pattern, summaries, way, layer = case
    inputs = [random(1, 2, 5, d).requires_grad_() for d in (2, 2, 3)]
    assert gradcheck(lambda *x: sparse_attention(*x, pattern, 3, summaries, way, layer), inputs)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_the_largest_tensor_grows_as_n_sqrt_n(pattern):
    largest = {}
    for stride in (4, 8, 16):
        n = stride**2
        q = torch.randn(1, 1, n, 2)
        spent = count(lambda q=q, s=stride: sparse_attention(q, q, q, pattern, s))
        largest[n] = spent.largest_tensor
    keys = 3 if pattern == "strided" else 2  # local: two blocks of keys, else one; and sqrt(n)
    assert largest == {n: keys * n * math.isqrt(n) for n in largest}


def test_each_part_alone_makes_no_larger_tensor_either():
    q = torch.randn(1, 1, 256, 2)
    assert count(lambda: local_attention(q, q, q, 16)).largest_tensor <= 2 * 256 * 16
    assert count(lambda: strided_attention(q, q, q, 16)).largest_tensor <= 256 * 16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_the_dtype_stays(pattern, dtype):
    q, k, v = (x.to(dtype) for x in qkv())
    y = sparse_attention(q, k, v, pattern, STRIDE)
    assert y.dtype == dtype
    assert y.isfinite().all()
    wanted = dense(*(x.double() for x in (q, k, v)), pattern, STRIDE, 1, "merged", 0)
    assert_close(y.double(), wanted, rtol=0.05, atol=0.03)


def test_scattered_memory_and_any_leading_axes_are_taken():
    q, k, v = qkv()
    turned = [rearrange(x, "b head n d -> d n head b").contiguous() for x in (q, k, v)]
    scattered = [rearrange(x, "d n head b -> b head n d") for x in turned]
    y = sparse_attention(q, k, v, "strided", STRIDE)
    assert_close(sparse_attention(*scattered, "strided", STRIDE), y)
    more = [x[None] for x in (q, k, v)]
    assert_close(sparse_attention(*more, "strided", STRIDE)[0], y)
    none = [x[:0] for x in (q, k, v)]
    assert sparse_attention(*none, "fixed", STRIDE).shape == (0, HEADS, N, E)


def test_later_tokens_change_nothing():
    q, k, v = qkv()
    for pattern in PATTERNS:
        y = sparse_attention(q, k, v, pattern, STRIDE)
        for x in (k, v):
            kept = x.clone()
            x[..., 7:, :] += 100
            assert_close(sparse_attention(q, k, v, pattern, STRIDE)[..., :7, :], y[..., :7, :])
            x.copy_(kept)


def test_bad_names_and_numbers_are_refused_in_one_line():
    q, k, v = qkv()
    with pytest.raises(ValueError, match="pattern='stridden' is none of local, strided, fixed"):
        sparse_attention(q, k, v, "stridden", STRIDE)
    with pytest.raises(ValueError, match="way='mixed'"):
        sparse_attention(q, k, v, "strided", STRIDE, way="mixed")
    with pytest.raises(ValueError, match="summaries=4 of a block, but it has 3 keys"):
        sparse_attention(q, k, v, "fixed", STRIDE, summaries=4)


def test_blocks_are_filled_up_and_follow_their_predecessor():
    x = torch.arange(1.0, 6.0)[:, None]
    blocks = in_blocks(x, 3)[..., 0]
    assert blocks.tolist() == [[1, 2, 3], [4, 5, 0]]
    both = with_previous(in_blocks(x, 3))[..., 0]
    assert both.tolist() == [[0, 0, 0, 1, 2, 3], [1, 2, 3, 4, 5, 0]]


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_16384_tokens_forward_and_backward_stay_under_2_gib(pattern):
    script = Path(__file__).parents[2] / "benchmarks" / "sparse.py"
    command = [sys.executable, str(script), "--one", pattern, "16384", "8", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["whole"] < 2048  # MiB, with all that torch takes itself


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_multiply_adds_grow_as_n_sqrt_n(pattern):
    spent = {}
    for stride in (8, 16, 32):
        q = torch.randn(1, 1, stride**2, 4)
        call = partial(sparse_attention, q, q, q, pattern, stride)
        spent[stride] = count(call).multiply_adds
    assert spent[16] == 8 * spent[8]  # four times the tokens, 4 to the 1.5
    assert spent[32] == 8 * spent[16]


# independent implementations


@oracle("local_attention")
@pytest.mark.filterwarnings("ignore")
def test_local_attention_is_the_packages_with_its_exact_window():
    from local_attention import LocalAttention

    window, n = 4, 16
    layer = LocalAttention(
        window, causal=True, look_backward=1, exact_windowsize=True, autopad=True,
        use_rotary_pos_emb=False,
    )  # fmt: skip
    q, k, v = (torch.randn(2, n, 8) for _ in range(3))
    theirs = layer(q, k, v)
    papers = scaled_dot_product_attention(q, k, v, local_mask(n, window + 1))
    assert_close(theirs, papers, rtol=1e-4, atol=1e-5)  # l + 1 keys, as the paper's A1
    assert not torch.allclose(theirs, local_attention(q, k, v, window), atol=1e-3)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_torchs_fused_attention_with_the_mask_gives_the_same(pattern):
    q, k, v = qkv()
    first, second = masks(pattern, N, STRIDE)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=first | second)
    assert_close(sparse_attention(q, k, v, pattern, STRIDE), theirs)


@pytest.mark.filterwarnings("ignore")
def test_flex_attention_with_the_formula_gives_the_same():
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    n, stride = 128, 11
    q, k, v = (torch.randn(1, 2, n, 16) for _ in range(3))

    def strided(b, h, i, j):
        return (i >= j) & ((i - j < stride) | ((i - j) % stride == 0))

    def fixed(b, h, i, j):
        return (i >= j) & ((i // stride == j // stride) | (j % stride == stride - 1))

    for pattern, formula in (("strided", strided), ("fixed", fixed)):
        allowed = create_block_mask(formula, 1, 1, n, n, device="cpu")
        with torch.no_grad():
            theirs = flex_attention(q, k, v, block_mask=allowed)
        assert_close(sparse_attention(q, k, v, pattern, stride), theirs, rtol=1e-4, atol=1e-5)


# memory


def test_the_memory_of_dense_maps_is_that_of_the_blogs_table():
    """64 layers, 4 heads. The blog cuts some figures off and rounds others."""
    printed = {1024: (1.0, 0.016), 3072: (9.6, 0.151), 12288: (154, 2.4), 24000: (590, 9.2)}
    cut, rounded = [], []
    for n, figures in printed.items():
        for recompute, figure in zip((False, True), figures, strict=True):
            ours = map_bytes(n, 64, 4, recompute) / 1e9
            digit = 10 ** (len(str(figure).partition(".")[2]))
            assert abs(ours - figure) < 1 / digit
            cut += [figure] if math.floor(ours * digit) / digit == figure else []
            rounded += [figure] if round(ours * digit) / digit == figure else []
    assert cut == [1.0, 0.016, 9.6, 154, 2.4, 9.2]
    assert rounded == [0.151, 2.4, 590, 9.2]


# modules


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pattern", ["dense", *PATTERNS])
def test_self_attention_never_looks_ahead_whatever_the_pattern(pattern, way):
    layer = SparseSelfAttention(8, 2, pattern, stride=3, way=way).double()
    x = random(2, 7, 8)
    y = layer(x)
    x[:, 5:] += 1
    assert_close(layer(x)[:, :5], y[:, :5])


def test_self_attention_is_multi_head_attention_where_the_pattern_is_full():
    layer = SparseSelfAttention(8, 2, "dense").double()
    x = random(2, 7, 8)
    whole = layer(x)
    layer.pattern, layer.stride = "local", 7
    assert_close(layer(x), whole)
    with pytest.raises(ValueError, match="dim=9 is not a multiple of heads=2"):
        SparseSelfAttention(9, 2)


@pytest.mark.parametrize("pattern", ["dense", "local", "strided", "fixed"])
def test_the_logits_of_a_token_depend_on_those_before_it_alone(pattern):
    model = SparseTransformer(5, 12, dim=8, stride=4, layers=2, pattern=pattern).double()
    x = torch.randint(5, (3, 12))
    before = model(x)
    assert before.shape == (3, 12, 5)
    for token in range(12):
        other = x.clone()
        other[:, token] = (other[:, token] + 1) % 5
        after = model(other)
        assert_close(after[:, : token + 1], before[:, : token + 1])


def test_a_stream_may_be_shorter_than_the_places_and_not_longer():
    model = SparseTransformer(5, 12, dim=8, stride=4)
    x = torch.randint(5, (3, 12))
    assert_close(model(x[:, :7]), model(x)[:, :7])
    with pytest.raises(ValueError, match="13 tokens, but there are places for 12"):
        model(torch.randint(5, (1, 13)))


def test_with_two_layers_every_earlier_token_reaches_the_last():
    torch.manual_seed(0)
    x = torch.randint(5, (1, 16))
    for pattern, reached in (("strided", 15), ("fixed", 15), ("local", 7)):
        model = SparseTransformer(5, 16, dim=8, stride=4, layers=2, pattern=pattern).double()
        before, heard = model(x)[0, -1], 0
        for token in range(15):
            other = x.clone()
            other[0, token] = (other[0, token] + 1) % 5
            heard += bool((model(other)[0, -1] - before).abs().max() > 1e-12)
        assert heard == reached, pattern
