"""The made-up tasks ask what they say, and their ceilings are where they are said to be."""

import pytest
import torch
from torch.testing import assert_close

from attncourse.tasks.lookups import explained_by_one_mixture, two_lookups


def random_shares(*sizes):
    """Shares from nearly equal to nearly all on one token."""
    sharpness = 10 * torch.rand(*sizes[:-1], 1, dtype=torch.float64)
    return (sharpness * torch.randn(*sizes, dtype=torch.float64)).softmax(-1)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_answer_is_the_first_number_minus_or_plus_the_second(sign):
    task = two_lookups(3, questions=5, colours=4, sign=sign)
    for b in range(3):
        number = dict(zip(task.colour[b].tolist(), task.number[b].tolist(), strict=True))
        for i, (first, second) in enumerate(task.asked[b].tolist()):
            assert task.answer[b, i].item() == pytest.approx(
                number[first] + sign * number[second]
            )


def test_each_colour_comes_up_once_an_example():
    task = two_lookups(50, colours=7)
    assert (task.colour.sort(-1).values == torch.arange(7)).all()


def test_a_question_asks_for_two_different_colours_where_they_stand():
    task = two_lookups(50, questions=3)
    assert (task.asked[..., 0] != task.asked[..., 1]).all()
    example = torch.arange(50)[:, None, None]
    assert_close(task.colour[example, task.place], task.asked)


def test_every_ordered_pair_of_colours_is_asked_about_equally_often():
    asked = two_lookups(3000, questions=4, colours=3).asked.flatten(0, 1)
    often = torch.bincount(3 * asked[:, 0] + asked[:, 1], minlength=9).reshape(3, 3) / 12000
    assert_close(often, (1 - torch.eye(3)) / 6, rtol=0, atol=0.02)


def test_numbers_tell_nothing_of_colours_and_places():
    task = two_lookups(4000)
    for c in range(6):
        assert task.number[task.colour == c].mean().abs() < 0.1
    assert task.number.var().item() == pytest.approx(1, abs=0.05)
    assert task.answer.var().item() == pytest.approx(2, abs=0.1)


def test_one_colour_is_refused():
    with pytest.raises(ValueError, match="colours=1: a question asks for two colours"):
        two_lookups(2, colours=1)


def test_no_mixture_explains_more_than_half_of_a_difference():
    assert explained_by_one_mixture(random_shares(100_000, 6), 0, 1).max() <= 0.5 + 1e-12


def test_all_the_weight_on_one_of_the_two_explains_half():
    for token in (2, 4):
        one = torch.eye(6, dtype=torch.float64)[token]
        assert explained_by_one_mixture(one, 2, 4).item() == 0.5


def test_climbing_from_anywhere_ends_at_half():
    logits = torch.randn(8, 6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(1000):
        loss = -explained_by_one_mixture(logits.softmax(-1), 0, 1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = explained_by_one_mixture(logits.detach().softmax(-1), 0, 1)
    assert_close(best, torch.full((8,), 0.5).double(), rtol=0, atol=1e-3)


def test_equal_shares_explain_all_of_a_sum_and_nothing_of_a_difference():
    half = torch.tensor([0.5, 0.5, 0, 0], dtype=torch.float64)
    assert explained_by_one_mixture(half, 0, 1, sign=1).item() == 1
    assert explained_by_one_mixture(half, 0, 1, sign=-1).item() == 0


@pytest.mark.parametrize("sign", [-1, 1])
def test_no_reader_bent_or_straight_explains_more_than_the_formula(sign):
    shares = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)
    x = torch.randn(200_000, 4, dtype=torch.float64)
    y, r = x[:, 0] + sign * x[:, 1], x @ shares
    order = r.argsort()
    bins = y[order].reshape(200, 1000)  # the mean answer for each r: the best reader there is
    explained = bins.mean(1).var() / y.var()
    straight = torch.corrcoef(torch.stack([y, r]))[0, 1] ** 2
    promised = explained_by_one_mixture(shares, 0, 1, sign).item()
    assert straight.item() == pytest.approx(promised, abs=0.01)
    assert explained.item() == pytest.approx(promised, abs=0.01)
