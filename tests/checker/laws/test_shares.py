"""Each law speaks where it is broken, and only there."""

import pytest
import torch

from attncourse.checker.laws import LAWS, Look
from attncourse.checker.running import Crash, attempt
from attncourse.checker.trials import prepare
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import attention_weights, scaled_dot_product_attention

SIZES = dict(b=2, i=3, j=5, d=7, e=4)
MASK = torch.tensor([[True, False, True, True, False]] * 2 + [[True] * 5])


def look(answer, solution=attention_weights, axes="b i j", masked=False) -> Look:
    """A wrong answer under the lens, on a trial with or without a mask."""
    inputs = dict(q="b i d", k="b j d")
    if solution is scaled_dot_product_attention:
        inputs["v"] = "b j e"
    if masked:
        inputs["mask"] = Given("i j", MASK)
    ex = Exercise("made.up", solution, {"f": axes}, lambda: (), (), (), 1, 1)
    trial = prepare(ex, Trial("", SIZES, inputs), "seed")

    def ask(**changes):
        return attempt(lambda: answer(*(trial.fresh() | changes).values()))

    right = solution(*trial.fresh().values())
    return Look(trial, "f", axes, answer(*trial.fresh().values()), right, ask)


def of(law: str, answer, **kwargs) -> str:
    return LAWS[law](look(answer, **kwargs)) or ""


def test_all_are_silent_about_the_solution():
    for name, law in LAWS.items():
        for masked in (False, True):
            assert law(look(attention_weights, masked=masked)) is None, name


@pytest.mark.parametrize(
    ("law", "answer", "masked", "says"),
    [
        ("rows_sum_to_one", lambda q, k: (q @ k.mT).softmax(-2), False, "sum to 1 over i"),
        ("rows_sum_to_one", lambda q, k: (q @ k.mT).softmax(0), False, "sum to 1 over b"),
        ("rows_sum_to_one", lambda q, k: q @ k.mT, False, "Some weights are negative"),
        (
            "rows_sum_to_one",
            lambda q, k: 0.5 * attention_weights(q, k),
            False,
            "Every row of your weights sums to 0.5, not to 1: is there a factor",
        ),
        (
            "rows_sum_to_one",
            lambda q, k, mask: (q @ k.mT).softmax(-1) * mask,
            True,
            "Mask the scores before the softmax",
        ),
        (
            "masked_keys_do_not_matter",
            lambda q, k, mask: (q @ k.mT).masked_fill(~mask, -1).softmax(-1),
            True,
            "A key that the mask forbids gets weight",
        ),
        (
            "masked_keys_do_not_matter",
            lambda q, k, mask: attention_weights(q, k, ~mask),
            True,
            "The mask is inverted",
        ),
        (
            "scale_is_right",
            lambda q, k: (q @ k.mT / 5).softmax(-1),
            False,
            "as if divided by j = 5 instead of sqrt(d) = 2.646",
        ),
        (
            "scale_is_right",
            lambda q, k: (-q @ k.mT).softmax(-1),
            False,
            "The sign of your scores is turned",
        ),
        (
            "scale_is_right",
            lambda q, k: (
                q @ k.mT / 7**0.5 - (torch.arange(3)[:, None] - torch.arange(5)).abs()
            ).softmax(-1),
            False,
            "depends on the places i and j alone",
        ),
        (
            "scale_is_right",
            lambda q, k: attention_weights(q, k, torch.ones(3, 5).tril(1).bool()),
            False,
            "Key j=4 never gets any weight",
        ),
        (
            "scale_is_right",
            lambda q, k: attention_weights(q, k, torch.ones(3, 5).tril(2).bool()),
            False,
            "is a window or a mask of your own built in?",
        ),
        (
            "rows_sum_to_one",
            lambda q, k: attention_weights(q, k) * torch.nan,
            False,
            "Some of your weights are nan",
        ),
        (
            "examples_do_not_mix",
            lambda q, k: attention_weights(q, k.mean(0, keepdim=True).expand_as(k)),
            False,
            "The examples of a batch mix",
        ),
    ],
)
def test_it_names_what_is_broken(law, answer, masked, says):
    assert says in of(law, answer, masked=masked)


@pytest.mark.parametrize(
    ("law", "answer", "says"),
    [
        (
            "weights_inside_are_right",
            lambda q, k, v: (q @ k.mT).softmax(-1) @ v,
            "as if divided by 1, that is, not at all, instead of sqrt(d)",
        ),
        (
            "weights_inside_are_right",
            lambda q, k, v: attention_weights(q, k) @ v.abs(),
            "What departs is the last step",
        ),
        (
            "output_is_a_mixture_of_values",
            lambda q, k, v: attention_weights(q, k) @ v + 1,
            "With all values 0 your output is not 0",
        ),
        (
            "output_is_a_mixture_of_values",
            lambda q, k, v: attention_weights(q, k) @ v.square(),
            "Twice the values do not give twice the output",
        ),
    ],
)
def test_it_looks_inside_an_answer_that_returns_the_output(law, answer, says):
    said = of(law, answer, solution=scaled_dot_product_attention, axes="b i e")
    assert says in said


def test_an_answer_that_crashes_under_the_lens_is_no_news():
    fragile = look(lambda q, k: attention_weights(q, k) * 0.9)
    broken = Look(
        fragile.trial, "f", "b i j", fragile.y, fragile.expected, lambda **_: Crash("E", "")
    )
    assert LAWS["examples_do_not_mix"](broken) is None
