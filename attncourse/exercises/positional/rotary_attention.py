"""The record of `positional.rotary_attention`."""

import math

import torch
from einops import einsum
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.positional.shared import rotary_complex
from attncourse.exercises.record import Exercise, Given, Trial, slip
from solutions.positional import (
    masked_softmax,
    rotary,
    rotary_attention,
    sinusoidal,
)
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention


def rotary_attention_trials():
    def trial(name, positions, mask=None, front="b", **sizes):
        inputs = dict(q=f"{front} n d", k=f"{front} n d", v=f"{front} n e")
        inputs["positions"] = Given("n", torch.tensor(positions))
        return Trial(name, sizes, inputs | ({} if mask is None else dict(mask=mask)))

    causal = Given("n n", causal_mask(5, 5))
    return (
        trial("at positions 0, 1, 3, 7 and 8", [0, 1, 3, 7, 8], b=2, n=5, d=4, e=6),
        trial("with a causal mask", [5, 6, 9, 1, 2], causal, b=3, n=5, d=2, e=4),
        trial(
            "with an axis of heads", [2, 3, 4, 9], front="b head", b=2, head=3, n=4, d=8, e=10
        ),
    )


def rotary_attention_recipe(turning_q=rotary, turning_k=rotary, turning_v=None, ending=None):
    """`rotary_attention` with some of its steps replaced."""

    def answer(q, k, v, positions, mask=None):
        q, k = turning_q(q, positions), turning_k(k, positions)
        v = v if turning_v is None else turning_v(v, positions)
        y = scaled_dot_product_attention(q, k, v, mask)
        return y if ending is None else ending(y, positions)

    return answer


def leave(x, positions):
    return x


def queries_not_turned(x, positions):
    """The queries are not turned. Queries and keys turn, each by its own position."""
    return x


def queries_turned_back(x, positions):
    """You turn the queries the other way: then the sum of the positions counts, not their
    difference."""
    return rotary(x, -positions)


def queries_turned_twice(x, positions):
    """You turn the queries twice."""
    return rotary(x, 2 * positions)


def keys_not_turned(x, positions):
    """The keys are not turned. Queries and keys turn, each by its own position."""
    return x


def keys_turned_back(x, positions):
    """You turn the keys the other way: then the sum of the positions counts, not their
    difference."""
    return rotary(x, -positions)


@also(turning_k=leave)
def nothing_turned(x, positions):
    """Nothing is turned: this is plain attention, and positions play no part."""
    return x


def counted(x, positions):
    return rotary(x, torch.arange(len(positions)))


@also(turning_k=counted)
def positions_not_used(x, positions):
    """You count 0, 1, 2, … yourself: the positions that come in are not used."""
    return counted(x, positions)


def waves_added(x, positions):
    return x + sinusoidal(positions.to(x), x.shape[-1])


@also(turning_k=waves_added)
def added_not_turned(x, positions):
    """You add sinusoidal positions to queries and keys. Rotary positions turn them."""
    return waves_added(x, positions)


def values_turned_too(x, positions):
    """You turn the values as well. They stay: what is read must not depend on where."""
    return rotary(x, positions)


def output_turned(y, positions):
    """You turn the output. Queries and keys turn, before they meet."""
    return rotary(y, positions)


@slip
def no_mask_taken(q, k, v, positions, mask=None):
    """The mask is not used: masked keys are attended to."""
    return rotary_attention(q, k, v, positions)


@slip
def causal_without_a_mask(q, k, v, positions, mask=None):
    """You hide the future where no mask is given. Without a mask nothing is hidden."""
    if mask is None:
        mask = causal_mask(q.shape[-2], k.shape[-2]).to(q.device)
    return rotary_attention(q, k, v, positions, mask)


@slip
def keys_turned_by_other_positions(q, k, v, positions, mask=None):
    """The keys are turned by the positions backwards. Query and key of a token share its
    position."""
    k = rotary(k, positions.flip(0))
    return scaled_dot_product_attention(rotary(q, positions), k, v, mask)


@slip
def waves_on_the_values(q, k, v, positions, mask=None):
    """You add sinusoidal positions to the values. They stay: what is read must not depend on
    where."""
    return rotary_attention(q, k, v + sinusoidal(positions.to(v), v.shape[-1]), positions, mask)


@slip
def mask_turned_round(q, k, v, positions, mask=None):
    """The mask is inverted: it is True where a query may attend, and you hide just that."""
    return rotary_attention(q, k, v, positions, mask if mask is None else ~mask)


@slip
def not_scaled(q, k, v, positions, mask=None):
    """The scores are not divided by sqrt(d)."""
    return rotary_attention(q * math.sqrt(q.shape[-1]), k, v, positions, mask)


@slip
def scaled_by_d(q, k, v, positions, mask=None):
    """You divide the scores by d. Attention divides by sqrt(d)."""
    return rotary_attention(q / math.sqrt(q.shape[-1]), k, v, positions, mask)


def rotary_attention_functional(q, k, v, positions, mask=None):
    q, k = rotary_complex(q, positions), rotary_complex(k, positions)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def rotary_attention_stacked(q, k, v, positions, mask=None):
    q, k = rotary(torch.stack([q, k]), positions)
    scores = einsum(q, k, "... i d, ... j d -> ... i j") * q.shape[-1] ** -0.5
    return masked_softmax(scores, mask) @ v


EXERCISE = Exercise(
    id="positional.rotary_attention",
    solution=rotary_attention,
    probes={"rotary_attention": "b n e"},
    trials=rotary_attention_trials,
    slips=(
        *family(
            rotary_attention_recipe,
            turning_q=(
                queries_not_turned,
                queries_turned_back,
                queries_turned_twice,
                nothing_turned,
                positions_not_used,
                added_not_turned,
            ),
            turning_k=(keys_not_turned, keys_turned_back),
            turning_v=(values_turned_too,),
            ending=(output_turned,),
            paired=(),
        ),
        no_mask_taken,
        causal_without_a_mask,
        keys_turned_by_other_positions,
        waves_on_the_values,
        mask_turned_round,
        not_scaled,
        scaled_by_d,
    ),
    hints=(
        "Which of q, k and v decide who looks at whom?",
        (
            "q and k. Each is turned by its own position; then their product depends on the"
            " difference alone. v stays: it is what is read."
        ),
        "scaled_dot_product_attention of q turned, k turned, v and the mask",
    ),
    minutes=3,
    difficulty=1,
    otherwise=(rotary_attention_functional, rotary_attention_stacked),
    laws=(
        "output_is_a_mixture_of_values",
        "examples_do_not_mix",
        "one_step_more_or_less",
    ),
    skip=frozenset({"large"}),
)
