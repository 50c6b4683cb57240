"""Attention with rotary positions: queries and keys are turned, values are not."""

import torch
from einops import einsum
from torch.nn import functional as F

from attncourse.exercises.edits import by_hand, wrong
from attncourse.exercises.positional.shared import rotary_complex
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.positional import masked_softmax, rotary, rotary_attention
from solutions.scaled_dot_product import causal_mask


def trials():
    def trial(name, positions, mask=None, front="b", **sizes):
        inputs = dict(q=f"{front} n d", k=f"{front} n d", v=f"{front} n e")
        inputs["positions"] = Given("n", torch.tensor(positions))
        return Trial(name, sizes, inputs | ({} if mask is None else dict(mask=mask)))

    causal = Given("n n", causal_mask(5, 5))
    return (
        trial("at positions 0, 1, 3, 7 and 8", [0, 1, 3, 7, 8], b=2, n=5, d=4, e=6),
        trial("at positions between", [0.5, 2.25, 3.0], b=2, n=3, d=6, e=5),
        trial("with a causal mask", [5, 6, 9, 1, 2], causal, b=3, n=5, d=2, e=4),
        trial(
            "with an axis of heads", [2, 3, 4, 9], front="b head", b=2, head=3, n=4, d=8, e=10
        ),
    )


# fmt: off
TURNS = (
    wrong("queries_not_turned", "rotary(q, positions)", "q",
          "The queries are not turned. Queries and keys turn, each by its own position."),
    wrong("queries_turned_back", "rotary(q, positions)", "rotary(q, -positions)",
          "You turn the queries the other way: then the sum of the positions counts, not their"
          " difference."),
    wrong("queries_turned_twice", "rotary(q, positions)", "rotary(q, 2 * positions)",
          "You turn the queries twice."),
    wrong("keys_not_turned", "rotary(k, positions)", "k",
          "The keys are not turned. Queries and keys turn, each by its own position."),
    wrong("keys_turned_back", "rotary(k, positions)", "rotary(k, -positions)",
          "You turn the keys the other way: then the sum of the positions counts, not their"
          " difference."),
    wrong("keys_turned_by_other_positions", "rotary(k, positions)", "rotary(k, positions.flip(0))",
          "The keys are turned by the positions backwards. Query and key of a token share its"
          " position."),
    wrong("nothing_turned", "rotary(q, positions), rotary(k, positions)", "q, k",
          "Nothing is turned: this is plain attention, and positions play no part."),
    wrong("positions_not_used", "rotary(q, positions)", "rotary(q, torch.arange(q.shape[-2]))",
          "You count 0, 1, 2, … yourself: the positions that come in are not used.",
          ("rotary(k, positions)", "rotary(k, torch.arange(k.shape[-2]))")),
    wrong("keys_count_themselves", "rotary(k, positions)", "rotary(k, torch.arange(k.shape[-2]))",
          "You turn the keys as if they stood at 0, 1, 2, …. They stand where the queries do: take"
          " `positions` for both."),
    wrong("queries_from_the_first", "rotary(q, positions)", "rotary(q, positions - positions[0])",
          "You count the queries from the first position and the keys from 0. Only differences of"
          " positions matter, so both must be counted alike."),
    wrong("queries_for_keys", "(q, k, v, mask)", "(k, q, v, mask)",
          "Queries and keys are exchanged: row i must compare query i with all keys."),
    wrong("added_not_turned", "rotary(q, positions)",
          "q + sinusoidal(positions.to(q), q.shape[-1])",
          "You add sinusoidal positions to queries and keys. Rotary positions turn them.",
          ("rotary(k, positions)", "k + sinusoidal(positions.to(k), k.shape[-1])")),
)

VALUES = (
    wrong("values_turned_too", "(q, k, v, mask)", "(q, k, rotary(v, positions), mask)",
          "You turn the values as well. They stay: what is read must not depend on where."),
    wrong("waves_on_the_values", "(q, k, v, mask)",
          "(q, k, v + sinusoidal(positions.to(v), v.shape[-1]), mask)",
          "You add sinusoidal positions to the values. They stay: what is read must not depend on"
          " where."),
    wrong("output_turned", "scaled_dot_product_attention(q, k, v, mask)",
          "rotary(scaled_dot_product_attention(q, k, v, mask), positions)",
          "You turn the output. Queries and keys turn, before they meet."),
    wrong("output_turned_back", "scaled_dot_product_attention(q, k, v, mask)",
          "rotary(scaled_dot_product_attention(q, k, v, mask), -positions)",
          "You turn the output back. The values were not turned, so that nothing is to be undone."),
)

MASKS = (
    wrong("no_mask_taken", "(q, k, v, mask)", "(q, k, v)",
          "The mask is not used: masked keys are attended to."),
    wrong("mask_turned_round", "(q, k, v, mask)", "(q, k, v, mask if mask is None else ~mask)",
          "The mask is inverted: it is True where a query may attend, and you hide just that."),
    wrong("causal_without_a_mask", "return scaled_dot_product_attention",
          "if mask is None:\n"
          "    mask = q.new_ones(q.shape[-2], k.shape[-2]).tril().bool()\n"
          "return scaled_dot_product_attention",
          "You hide the future where no mask is given. Without a mask nothing is hidden."),
)

SCALES = (
    by_hand("return scaled_dot_product_attention(q, k, v, mask)",
            "scores = q @ k.mT / math.sqrt(q.shape[-1])\n"
            "return masked_softmax(scores, mask) @ v"),
    wrong("not_scaled", " / math.sqrt(q.shape[-1])", "",
          "The scores are not divided by sqrt(d)."),
    wrong("scaled_by_d", "math.sqrt(q.shape[-1])", "q.shape[-1]",
          "You divide the scores by d. Attention divides by sqrt(d)."),
)
# fmt: on


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
    trials=trials,
    slips=(*TURNS, *VALUES, *MASKS, *SCALES),
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
