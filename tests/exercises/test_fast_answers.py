"""Answers to chapter 11 that nobody listed: what they are told must be so."""

import math

import pytest
import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse import check
from solutions.fast.augmented import augmented_attention


def told(exercise):
    def say(answer):
        verdict = check(f"fast.{exercise}", answer)
        assert verdict.status == "not yet"
        return verdict.slip, verdict.message

    return say


def tiles(hide=None, log=None, begin=-math.inf, scale=None):
    """Attention by tiles as people write it, with a part exchanged."""

    def answer(q, k, v, tile, causal=False):
        factor = (scale or (lambda q: q.shape[-1] ** -0.5))(q)
        m = q.new_full((*q.shape[:-1], 1), begin)
        total, acc = torch.zeros_like(m), q.new_zeros(*q.shape[:-1], v.shape[-1])
        rows = torch.arange(q.shape[-2], device=q.device)[:, None]
        for start in range(0, k.shape[-2], tile):
            s = q @ k[..., start : start + tile, :].mT * factor
            j = torch.arange(s.shape[-1], device=q.device)
            if causal:
                s = s.masked_fill(hide(rows, j, start) if hide else rows < start + j, -math.inf)
            new = torch.maximum(m, s.amax(-1, keepdim=True))
            p, fade = (s - new).exp(), (m - new).exp()
            total = fade * total + p.sum(-1, keepdim=True)
            acc = fade * acc + p @ v[..., start : start + tile, :]
            m = new
        return acc / total, log(m, total) if log else (m + total.log())[..., 0]

    return answer


def test_tiles_as_people_write_them_pass():
    assert check("fast.attention_by_tiles", tiles()).status == "passed"


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (tiles(hide=lambda i, j, start: i < j), "counted_from_the_tile"),
        (tiles(hide=lambda i, j, start: i < j - start), "start_on_the_wrong_side"),
        (tiles(hide=lambda i, j, start: i <= start + j - 1), None),
        (tiles(hide=lambda i, j, start: i <= start + j), "itself_hidden"),
        (tiles(hide=lambda i, j, start: i < start + j - 1), "one_key_ahead"),
        (tiles(log=lambda m, total: m[..., 0] + 0), "log_is_the_largest"),
        (tiles(log=lambda m, total: (m + total.log2())[..., 0]), "log_to_base_two"),
        (tiles(begin=0.0), "begins_at_zero_here"),
        (tiles(scale=lambda q: 1.0), "not_scaled"),
        (tiles(scale=lambda q: 1 / q.shape[-1]), "scaled_by_d"),
    ],
)
def test_tiles_with_a_fault_are_named(answer, slip):
    if slip is None:  # another way of writing what is right
        assert check("fast.attention_by_tiles", answer).status == "passed"
    else:
        assert told("attention_by_tiles")(answer)[0] == slip


def test_of_several_returns_the_wrong_one_is_told_from_the_right_ones():
    _, message = told("attention_by_tiles")(
        tiles(log=lambda m, total: (m + total.log1p())[..., 0])
    )
    assert message.startswith("In [1]: The result is")
    assert "[0] is right." in message


def test_a_factor_in_one_of_several_returns_is_told():
    def answer(dy, q, k, v, y, lse):
        shares = (q @ k.mT / math.sqrt(q.shape[-1]) - lse[..., None]).exp()
        ds = shares * (dy @ v.mT - (dy * y).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
        return ds @ k, 3 * ds.mT @ q, shares.mT @ dy

    _, message = told("attention_gradients")(answer)
    assert "In [1]: Your result is everywhere" in message


def test_single_precision_in_several_returns_is_told():
    def answer(q, k, v, tile, causal=False):
        y, lse = tiles()(q.float(), k.float(), v.float(), tile, causal)
        return y.to(q), lse.to(q)

    assert told("attention_by_tiles")(answer)[0] == "loses_precision"


def test_the_whole_map_costs_too_much_and_is_named():
    def answer(q, k, v, tile, causal=False):
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if causal:
            i, j = (torch.arange(n, device=q.device) for n in scores.shape[-2:])
            scores = scores.masked_fill(i[:, None] < j, -math.inf)
        return torch.softmax(scores, -1) @ v, torch.logsumexp(scores, -1)

    slip, message = told("attention_by_tiles")(answer)
    assert slip == "the_whole_map"
    assert "1,196 numbers where 460 are enough" in message


def halos(q, k, v, window, block, fill, device=None):
    if window % 2 == 0:
        raise ValueError(f"{window=}")
    h, w = q.shape[-2:]
    r, side = window // 2, block + window - 1
    down, right = -h % block, -w % block

    def cut(x):
        x = F.pad(x, (r, right + r, r, down + r))
        x = x.unfold(3, side, block).unfold(4, side, block)
        return rearrange(x, "b n d H W y x -> b n H W (y x) d")

    some = F.pad(q, (0, right, 0, down))
    some = rearrange(some, "b n d (H y) (W x) -> b n H W (y x) d", y=block, x=block)
    y = torch.arange(block, device=q.device)
    far = (torch.arange(side, device=q.device) - r - y[:, None]).abs() > r
    far = (far[:, None, :, None] | far[None, :, None]).flatten(2).flatten(0, 1)
    real = cut(torch.ones_like(q[:, :, :1]))[..., 0] > 0
    scores = (some @ cut(k).mT).masked_fill(far | ~real[..., None, :], fill)
    out = scores.softmax(-1) @ cut(v)
    out = rearrange(out, "b n H W (y x) d -> b n d (H y) (W x)", y=block, x=block)
    return out[..., :h, :w]


def test_nan_that_only_gradients_show_is_named():
    def good(q, k, v, window, block):
        return halos(q, k, v, window, block, -1e30)

    def bad(q, k, v, window, block):
        return halos(q, k, v, window, block, -math.inf)

    assert check("fast.halo_attention", good).status == "passed"
    slip, message = told("halo_attention")(bad)
    assert slip == "nan_beyond_the_edge"
    assert "gradient of v" in message


def test_what_makes_torch_take_the_slow_way_is_named():
    def narrow(q, k, v, rows, columns):
        h, w, d = q.shape[-3:]
        q = q / math.sqrt(d)
        y, x = (torch.arange(n, device=q.device) for n in (h, w))
        down = torch.einsum("...hwd,hyd->...hwy", q, rows[y - y[:, None] + h - 1])
        across = torch.einsum("...hwd,wxd->...hwx", q, columns[x - x[:, None] + w - 1])
        ones = torch.eye(h * w, dtype=q.dtype, device=q.device).unflatten(0, (h, w))
        ones = ones.unflatten(-1, (h, w))
        ones = torch.cat([ones.sum(-1), ones.sum(-2)], -1).expand(*k.shape[:-1], h + w)
        q, k = torch.cat([q, down, across], -1), torch.cat([k, ones], -1)
        q, k, v = (one.flatten(-3, -2).contiguous() for one in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, scale=1.0).unflatten(-2, (h, w))

    assert told("augmented_attention")(narrow)[0] == "values_not_filled"


@pytest.mark.parametrize(
    ("exercise", "answer", "slip"),
    [
        (
            "online_softmax",
            lambda x, tile: torch.cat([part.softmax(-1) for part in x.split(tile, -1)], -1),
            "softmax_of_each_tile",
        ),
        ("online_softmax", lambda x, tile: x.exp() / x.exp().sum(-1, keepdim=True), None),
        (
            "merge",
            lambda y, lse, other, other_lse: (
                (y + other) / 2,
                torch.logaddexp(lse, other_lse),
            ),
            "halves",
        ),
        (
            "merge",
            lambda y, lse, other, other_lse: (
                y * torch.sigmoid(other_lse - lse)[..., None]
                + other * torch.sigmoid(lse - other_lse)[..., None],
                torch.logaddexp(lse, other_lse),
            ),
            "shares_exchanged",
        ),
        (
            "traffic",
            lambda n, d, rows=None: (
                4 * n * (d + n) if not rows else 2 * n * d * (1 + n // rows)
            ),
            "tiles_rounded_down",
        ),
        (
            "floor_seconds",
            lambda multiply_adds, bytes, rate, bandwidth: max(
                multiply_adds / rate, bytes / bandwidth
            ),
            "one_operation_each",
        ),
        (
            "local_mod",
            lambda batch, head, i, j, width, window: (
                (abs(i // width - j // width) <= window)
                & (abs(i % width - j % width) <= window)
            ),
            "whole_window",
        ),
        (
            "sparse_mod",
            lambda batch, head, i, j, stride: (i - j < stride) | ((i - j) % stride == 0),
            "future_seen",
        ),
        (
            "relative_mod",
            lambda score, batch, head, i, j, down, across, width: (
                down[batch, head, i, j // width] + across[batch, head, i, j % width]
            ),
            "score_lost",
        ),
        (
            "relative_mod",
            lambda score, batch, head, i, j, down, across, width: (
                score + down[batch, head, i, j % width] + across[batch, head, i, j % width]
            ),
            "row_by_remainder",  # where there are more columns than rows it is an IndexError
        ),
        (
            "ratio",
            lambda ours, theirs: (
                ours.median() / theirs.median(),
                (ours / theirs).min(),
                (ours / theirs).max(),
            ),
            None,
        ),
    ],
)
def test_short_answers_are_told_what_they_do(exercise, answer, slip):
    found, message = told(exercise)(answer)
    if slip is not None:
        assert found == slip
    assert message


def test_one_entry_of_a_mask_needs_one_answer():
    def answer(batch, head, i, j, stride):
        return (j <= i) and (i - j < stride)

    assert "take `&`" in told("sparse_mod")(answer)[1]


def test_a_maximum_along_an_axis_is_two_things():
    def answer(x, tile):
        return (x - x.max(-1, keepdim=True)).exp()

    def other(x, tile):
        return torch.maximum(x, x.max(-1, keepdim=True))

    for one in (answer, other):
        assert "values and indices" in told("online_softmax")(one)[1]


def test_a_step_on_what_has_no_name_is_told_without_one():
    def doubled(q, k, v, window, block):
        return halos(2 * q, k, v, window, block, -1e30)

    _, message = told("halo_attention")(doubled)
    assert message.startswith("Something is doubled on the way to the softmax.")

    def turned(q, k, v, rows, columns):
        return augmented_attention(q, k, v, rows.flip(0), columns)

    first = told("augmented_attention")(turned)[1].splitlines()[0]
    assert first.endswith("one that is turned round along r.")
