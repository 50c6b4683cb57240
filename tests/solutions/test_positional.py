"""What must be true of positions, however they are brought into attention."""

import math
from importlib.util import find_spec

import pytest
import torch
from einops import rearrange
from torch.autograd import gradcheck
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions.positional import (
    CoordConv2d,
    LearnedPositions,
    RelativeAttention,
    masked_softmax,
    relative_index,
    relative_logits,
    rotary,
    rotary_attention,
    sinusoidal,
    sinusoidal_2d,
    skew,
)
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, Q, J, D, E, CLIP = 2, 5, 7, 4, 6, 2


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def places(n, start=0):
    return torch.arange(start, start + n, dtype=torch.float64)


def oracle(name):
    """A test against a package that plain pip leaves out."""
    reason = f"no {name}: pip install -e '.[oracles]'"
    return pytest.mark.skipif(not find_spec(name), reason=reason)


# attention without positions


def test_attention_takes_its_tokens_for_a_heap():
    x, order = random(B, J, D), torch.randperm(J)
    y = scaled_dot_product_attention(x, x, x)
    shuffled = x[:, order]
    assert_close(scaled_dot_product_attention(shuffled, shuffled, shuffled), y[:, order])


# sinusoidal


@pytest.mark.parametrize("dim", [1, 2, 5, 8])
def test_feature_2i_is_a_sine_and_2i_plus_1_a_cosine(dim):
    table = sinusoidal(places(J), dim)
    assert table.shape == (J, dim)
    for p in range(J):
        for feature in range(dim):
            pair = feature // 2
            angle = p / 10000 ** (2 * pair / dim)
            wave = math.cos if feature % 2 else math.sin
            assert table[p, feature].item() == pytest.approx(wave(angle), abs=1e-12)


def test_all_sinusoidal_vectors_have_the_squared_length_d_over_2():
    assert_close(sinusoidal(places(50), 12).square().sum(-1), torch.full((50,), 6.0).double())


def test_the_gram_matrix_of_positions_is_constant_along_its_diagonals():
    table = sinusoidal(places(20), 12)
    gram = table @ table.T
    assert_close(gram[1:, 1:], gram[:-1, :-1])


def test_a_shift_turns_every_pair_by_one_angle():
    table, shifted = sinusoidal(places(20), 12), sinusoidal(places(20, start=3), 12)
    for pair in range(6):
        angle = 3 / 10000 ** (2 * pair / 12)
        sin, cos = table[:, 2 * pair], table[:, 2 * pair + 1]
        turned = sin * math.cos(angle) + cos * math.sin(angle)
        assert_close(shifted[:, 2 * pair], turned)


@oracle("positional_encodings")
@pytest.mark.parametrize("dim", [2, 8, 12])
def test_the_sinusoidal_encoding_is_that_of_positional_encodings(dim):
    from positional_encodings.torch_encodings import PositionalEncoding1D

    theirs = PositionalEncoding1D(dim)(torch.zeros(1, J, dim))[0]
    assert_close(sinusoidal(places(J).float(), dim), theirs)


@oracle("positional_encodings")
def test_for_an_odd_width_positional_encodings_counts_the_frequencies_of_the_next_even_one():
    from positional_encodings.torch_encodings import PositionalEncoding1D

    theirs = PositionalEncoding1D(5)(torch.zeros(1, J, 5))[0]
    assert_close(sinusoidal(places(J).float(), 6)[:, :5], theirs)
    assert not torch.allclose(sinusoidal(places(J).float(), 5), theirs, atol=1e-3)


@oracle("positional_encodings")
def test_the_encoding_of_an_image_is_that_of_positional_encodings():
    from positional_encodings.torch_encodings import PositionalEncoding2D

    theirs = PositionalEncoding2D(8)(torch.zeros(1, 3, 5, 8))[0]
    assert_close(sinusoidal_2d(places(3).float(), places(5).float(), 8), theirs)


def test_an_image_says_its_row_in_the_first_half_and_its_column_in_the_second():
    table = sinusoidal_2d(places(3), places(5), 6)
    assert table.shape == (3, 5, 6)
    for h in range(3):
        for w in range(5):
            both = [sinusoidal(places(1, start=h), 3)[0], sinusoidal(places(1, start=w), 3)[0]]
            assert_close(table[h, w], torch.cat(both))


def test_likeness_of_two_pixels_depends_on_their_offset_alone():
    table = sinusoidal_2d(places(4), places(6), 8)
    gram = torch.einsum("abd,hwd->abhw", table, table)
    assert_close(gram[1:, 1:, 1:, 1:], gram[:-1, :-1, :-1, :-1])


def test_rows_and_columns_need_equal_halves():
    with pytest.raises(ValueError, match="dim=7"):
        sinusoidal_2d(places(2), places(3), 7)


# learned


def test_token_n_gets_row_n_in_every_example():
    layer, x = LearnedPositions(D, 9).double(), random(B, J, D)
    for b in range(B):
        for n in range(J):
            assert_close(layer(x)[b, n], x[b, n] + layer.table[n])


def test_a_table_ends_where_it_ends():
    with pytest.raises(ValueError, match=r"7 tokens.*5 positions"):
        LearnedPositions(D, 5)(torch.zeros(B, J, D))


# relative attention


def relative_by_loops(layer, q, k, v, mask=None):
    """Equations 3 to 5 of Shaw et al., one pair at a time, for one example."""
    clip, y = layer.clip, []
    for i, query in enumerate(q):
        allowed = [j for j in range(len(k)) if mask is None or mask[i, j]]
        rows = {j: max(-clip, min(clip, j - i)) + clip for j in allowed}
        e = [query @ (k[j] + layer.keys[rows[j]]) / math.sqrt(len(query)) for j in allowed]
        shares = [math.exp(s) for s in e]
        terms = [
            s / sum(shares) * (v[j] + layer.values[rows[j]])
            for s, j in zip(shares, allowed, strict=True)
        ]
        y.append(sum(terms, torch.zeros(v.shape[-1], dtype=v.dtype)))
    return torch.stack(y)


@pytest.mark.parametrize("clip", [0, 1, CLIP, 10])
def test_relative_attention_is_equations_3_to_5(clip):
    layer = RelativeAttention(D, E, clip).double().requires_grad_(False)
    q, k, v, mask = random(B, Q, D), random(B, J, D), random(B, J, E), causal_mask(Q, J)
    for b in range(B):
        assert_close(layer(q, k, v)[b], relative_by_loops(layer, q[b], k[b], v[b]))
        assert_close(layer(q, k, v, mask)[b], relative_by_loops(layer, q[b], k[b], v[b], mask))


def test_the_row_of_a_pair_counts_j_minus_i_from_minus_clip():
    expected = [[2, 3, 4, 4], [1, 2, 3, 4], [0, 1, 2, 3]]
    assert relative_index(3, 4, 2).tolist() == expected


def test_each_table_has_2_clip_plus_1_rows():
    layer = RelativeAttention(D, E, CLIP)
    assert layer.keys.shape == (5, D)
    assert layer.values.shape == (5, E)


def test_tables_of_zeros_leave_plain_attention():
    layer = RelativeAttention(D, E, CLIP).double()
    torch.nn.init.zeros_(layer.keys)
    torch.nn.init.zeros_(layer.values)
    q, k, v = random(B, 3, Q, D), random(B, 3, J, D), random(B, 3, J, E)
    assert_close(layer(q, k, v), scaled_dot_product_attention(q, k, v))


def test_with_one_vector_for_all_distances_the_map_is_the_plain_one():
    layer = RelativeAttention(D, E, 0).double()
    q, k = random(B, Q, D), random(B, J, D)
    plain = (q @ k.mT / math.sqrt(D)).softmax(-1)
    assert_close(layer.attention(q, k), plain)


def test_beyond_the_last_pair_clipping_changes_nothing():
    wide, wider = RelativeAttention(D, E, J).double(), RelativeAttention(D, E, J + 3).double()
    wider.load_state_dict(
        {n: torch.nn.functional.pad(w, (0, 0, 3, 3)) for n, w in wide.state_dict().items()}
    )
    q, k, v = random(B, Q, D), random(B, J, D), random(B, J, E)
    assert_close(wide(q, k, v), wider(q, k, v))


@oracle("conformer")
def test_the_map_is_that_of_conformer_with_its_sign_turned():
    from conformer.conformer import Attention

    theirs = Attention(D * 3, heads=3, dim_head=D, max_pos_emb=CLIP).double()
    x = random(B, J, D * 3)
    ours = RelativeAttention(D, D, CLIP).double()
    ours.load_state_dict(
        {
            "keys": theirs.rel_pos_emb.weight.flip(0),  # conformer counts i - j
            "values": torch.zeros_like(ours.values),
        }
    )
    split = "b n (part head d) -> part b head n d"
    q = rearrange(theirs.to_q(x), "b n (head d) -> b head n d", head=3)
    k, v = rearrange(theirs.to_kv(x), split, part=2, head=3)
    y = theirs.to_out(rearrange(ours(q, k, v), "b head n d -> b n (head d)"))
    assert_close(y, theirs(x))


def test_a_query_without_keys_gets_0():
    layer, mask = RelativeAttention(D, E, CLIP).double(), torch.zeros(Q, J, dtype=torch.bool)
    q, k, v = random(B, Q, D), random(B, J, D), random(B, J, E)
    assert (layer(q, k, v, mask) == 0).all()
    assert (masked_softmax(random(Q, J), mask) == 0).all()


# skewing


def gathered(x):
    """Entry i j is the logit of query i for distance j - i, one pair at a time."""
    n = x.shape[-1]
    y = torch.zeros_like(x)
    for i in range(n):
        for j in range(i + 1):
            y[..., i, j] = x[..., i, j - i + n - 1]
    return y


@pytest.mark.parametrize("n", [1, 2, J])
def test_skewing_equals_the_direct_gather(n):
    x = random(B, 3, n, n)
    assert_close(skew(x), gathered(x), rtol=0, atol=0)


def test_skewed_logits_are_those_of_relative_attention():
    """The table of Music Transformer is the left half of Shaw's, the token itself included."""
    layer, q = RelativeAttention(D, E, J - 1).double(), random(B, J, D)
    direct = torch.einsum("bid,ijd->bij", q, layer.keys[relative_index(J, J, J - 1)]).tril()
    assert_close(relative_logits(q, layer.keys[:J]), direct)


def test_skewing_takes_l_d_and_l_l_numbers_where_gathering_takes_l_l_d():
    length, d = 64, 32
    q, table = torch.randn(length, d), torch.randn(length, d)
    index = (relative_index(length, length, length) - 1).clamp(max=length - 1)
    skewed = count(lambda: relative_logits(q, table))
    direct = count(lambda: torch.einsum("id,ijd->ij", q, table[index]).tril())
    assert skewed.largest_tensor == length * (length + 1)
    assert direct.largest_tensor == length * length * d


def test_a_table_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="5 queries and 7 distances"):
        skew(random(Q, J))


# rotary


def test_each_pair_turns_by_position_times_frequency():
    x, positions = random(B, J, D), places(J, start=3)
    y = rotary(x, positions)
    for n in range(J):
        for pair in range(D // 2):
            angle = (3 + n) / 10000 ** (2 * pair / D)
            z = torch.complex(x[:, n, 2 * pair], x[:, n, 2 * pair + 1])
            z = z * complex(math.cos(angle), math.sin(angle))
            assert_close(y[:, n, 2 * pair], z.real)
            assert_close(y[:, n, 2 * pair + 1], z.imag)


def test_turned_products_depend_on_the_difference_of_positions_alone():
    q, k = random(B, J, D), random(B, J, D)
    here = rotary(q, places(J)) @ rotary(k, places(J)).mT
    there = rotary(q, places(J, start=100)) @ rotary(k, places(J, start=100)).mT
    assert_close(here, there)
    assert not torch.allclose(here, q @ k.mT)


def test_turning_keeps_the_length_and_position_0_keeps_all():
    x = random(B, 3, J, D)
    y = rotary(x, places(J))
    assert_close(y.norm(dim=-1), x.norm(dim=-1))
    assert_close(y[..., 0, :], x[..., 0, :], rtol=0, atol=0)


def test_rotary_attention_turns_queries_and_keys_and_leaves_values():
    q, k, v = random(B, J, D), random(B, J, D), random(B, J, E)
    mask, where = causal_mask(J, J), places(J)
    turned = scaled_dot_product_attention(rotary(q, where), rotary(k, where), v, mask)
    assert_close(rotary_attention(q, k, v, where, mask), turned)
    assert_close(rotary_attention(q, k, v, where + 40, mask), turned)


def test_angles_are_exact_enough_in_half_precision():
    """In bfloat16 position 1001 does not exist, so angles must not be made in it."""
    x, positions = torch.randn(4, D), torch.arange(1000, 1004)
    fine = rotary(x, positions)
    assert_close(rotary(x.bfloat16(), positions).float(), fine, rtol=0.02, atol=0.03)


def test_features_that_do_not_come_in_pairs_are_refused():
    with pytest.raises(ValueError, match="d=5"):
        rotary(random(J, 5), places(J))


# CoordConv


@pytest.mark.parametrize(("h", "w"), [(3, 5), (4, 2), (1, 5), (3, 1), (1, 1)])
def test_coordinates_run_from_minus_1_to_1_and_are_0_on_one_pixel(h, w):
    x, y, r = CoordConv2d(3, 4, 3, radius=True).coordinates(random(1, 3, h, w))[0]
    for row in range(h):
        for column in range(w):
            across = 2 * column / (w - 1) - 1 if w > 1 else 0.0
            down = 2 * row / (h - 1) - 1 if h > 1 else 0.0
            expected = [across, down, math.hypot(across, down)]
            assert_close(
                [x[row, column], y[row, column], r[row, column]], expected_of(expected)
            )


def expected_of(numbers):
    return [torch.tensor(number, dtype=torch.float64) for number in numbers]


@pytest.mark.parametrize("radius", [False, True])
def test_without_weights_for_the_coordinates_it_is_a_plain_convolution(radius):
    layer, x = CoordConv2d(3, 4, 3, radius).double(), random(B, 3, 5, 7)
    with torch.no_grad():
        layer.conv.weight[:, 3:] = 0
    weight, bias = layer.conv.weight[:, :3], layer.conv.bias
    assert_close(layer(x), torch.nn.functional.conv2d(x, weight, bias, padding=1))


def test_one_weight_suffices_to_say_the_column():
    layer, x = CoordConv2d(3, 1, 1).double(), random(B, 3, 5, 7)
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.bias.zero_()
        layer.conv.weight[:, 3] = 1
    assert_close(layer(x)[:, 0], layer.coordinates(x)[:, 0])
    assert_close(layer(x)[0, 0, 0], torch.linspace(-1, 1, 7).double())


def test_it_learns_a_weight_for_each_coordinate_and_place_of_the_window():
    def size(layer):
        return sum(p.numel() for p in layer.parameters())

    plain = size(torch.nn.Conv2d(3, 4, 5))
    assert size(CoordConv2d(3, 4, 5)) - plain == 2 * 5 * 5 * 4
    assert size(CoordConv2d(3, 4, 5, radius=True)) - plain == 3 * 5 * 5 * 4


# everything


def test_gradients_are_right():
    q, k, v = (random(*s).requires_grad_() for s in [(1, 3, D), (1, 3, D), (1, 3, 2)])
    relative = RelativeAttention(D, 2, 1).double()
    assert gradcheck(relative, (q, k, v))
    assert gradcheck(lambda q, k, v: rotary_attention(q, k, v, places(3)), (q, k, v))
    assert gradcheck(lambda x: relative_logits(x, k[0]), (q,))
    assert gradcheck(LearnedPositions(D, 3).double(), (q,))
    assert gradcheck(CoordConv2d(1, 2, 3).double(), (random(1, 1, 2, 3).requires_grad_(),))


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_device_are_kept(device, dtype):
    def draw(*sizes):
        return torch.randn(*sizes).to(device, dtype)

    q, v, where = draw(B, 3, J, D), draw(B, 3, J, E), torch.arange(J, device=device)
    image = draw(B, 3, 5, 7)
    results = [
        sinusoidal(where.to(dtype), D),
        sinusoidal_2d(where.to(dtype), where.to(dtype), D),
        LearnedPositions(D, J).to(device, dtype)(q),
        RelativeAttention(D, E, CLIP).to(device, dtype)(q, q, v),
        relative_logits(q, draw(J, D)),
        rotary_attention(q, q, v, where),
        CoordConv2d(3, 4, 3, radius=True).to(device, dtype)(image),
    ]
    assert {(y.dtype, y.device.type) for y in results} == {(dtype, device)}
    assert all(y.isfinite().all() for y in results)


def test_scattered_memory_changes_nothing():
    q, v = random(B, D, J).mT, random(B, E, J).mT
    layer = RelativeAttention(D, E, CLIP).double()
    assert_close(layer(q, q, v), layer(q.contiguous(), q.contiguous(), v.contiguous()))
    assert_close(rotary(q, places(J)), rotary(q.contiguous(), places(J)))
    x = random(B, J, J).mT
    assert_close(skew(x), skew(x.contiguous()))
    image = random(B, 3, 7, 5).mT
    conv = CoordConv2d(3, 4, 3).double()
    assert_close(conv(image), conv(image.contiguous()))
