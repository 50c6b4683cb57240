"""The laws of sparse patterns say which keys are read, and which should be."""

import pytest
import torch

from attncourse import check
from attncourse.checker.laws import LAWS, Look
from attncourse.checker.running import attempt
from attncourse.checker.trials import prepare
from attncourse.course import exercise
from solutions.scaled_dot_product import scaled_dot_product_attention
from solutions.sparse import local_mask, strided_mask

SPARSE = ("queries_see_their_keys", "queries_read_their_keys")


def look(id, answer, index=0) -> Look:
    """An answer under the lens, on one of the trials of its exercise."""
    ex = exercise(id)
    trial = prepare(ex, ex.trials()[index], "seed")

    def ask(**changes):
        return attempt(lambda: answer(*(trial.fresh() | changes).values()))

    inputs = trial.fresh().values()
    probe, axes = next(iter(ex.probes.items()))
    return Look(trial, probe, axes, answer(*inputs), ex.solution(*inputs), ask)


def test_a_mask_is_told_as_lists_of_keys():
    def every_other(n, window):
        return local_mask(n, window) & strided_mask(n, 2)

    said = LAWS["queries_see_their_keys"](look("sparse.local_mask", every_other))
    assert said.startswith("query i=5 sees keys 3, 5; it should be keys 3, 4, 5.")

    def inverted(n, window):
        return ~every_other(n, window)

    said = LAWS["queries_see_their_keys"](look("sparse.local_mask", inverted))
    assert "No key may be later" in said


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("id", ["sparse.local_attention", "sparse.strided_attention"])
def test_they_find_no_key_amiss_in_the_solution(id, index):
    said = LAWS["queries_read_their_keys"](look(id, exercise(id).solution, index))
    assert said.startswith("The right keys are read")


@pytest.mark.parametrize("index", range(8))
def test_nor_in_heads_that_share_two_masks(index):
    id = "sparse.factorised_attention"
    said = LAWS["queries_read_their_keys"](look(id, exercise(id).solution, index))
    assert said.startswith("The right keys are read")


def test_the_keys_that_an_answer_reads_are_read_off_it():
    def nearer(q, k, v, window):
        mask = local_mask(q.shape[-2], window - 1).to(q.device)
        return scaled_dot_product_attention(q, k, v, mask)

    verdict = check("sparse.local_attention", nearer)
    assert "reads keys 17, 18, 19; it should be keys 16, 17, 18, 19" in verdict.message


def test_a_head_with_the_wrong_mask_is_named():
    def upper(q, k, v, first, second, way, layer=0):
        return scaled_dot_product_attention(q, k, v, first if way == "merged" else second)

    verdict = check("sparse.factorised_attention", upper)
    assert "head 0, query i=" in verdict.message


def test_they_say_nothing_where_there_are_no_such_inputs():
    plain = look(
        "scaled_dot_product.scaled_dot_product_attention", scaled_dot_product_attention
    )
    for name in SPARSE:
        assert LAWS[name](plain) is None


def test_shares_that_are_nan_are_told_as_such():
    def across(q, k, v, stride):
        mask = strided_mask(q.shape[-2], stride)
        scores = (q @ k.mT).masked_fill(~mask, -torch.inf)
        return scores.softmax(-1) * torch.nan @ v

    assert "0 / 0" in LAWS["queries_read_their_keys"](look("sparse.strided_attention", across))


def heads_at_axis_1(q, k, v, first, second, way, layer=0):
    if way == "split":
        if q.shape[1] % 2:
            raise ValueError("no halves")
        parts = zip(*(x.chunk(2, dim=1) for x in (q, k, v)), (first, second), strict=True)
        return torch.cat([scaled_dot_product_attention(*part) for part in parts], dim=1)
    mask = (first, second)[layer % 2] if way == "interleaved" else first.logical_or(second)
    return scaled_dot_product_attention(q, k, v, mask)


def in_bytes(first, then):
    return then.to(torch.uint8) @ first.to(torch.uint8) > 0


def in_front(q, k, v, stride):
    n, missing = q.shape[-2], -q.shape[-2] % stride
    q, k, v = (torch.cat([0 * x[..., :1, :]] * missing + [x], -2) for x in (q, k, v))
    mask = strided_mask(n + missing, stride).to(q.device)
    return scaled_dot_product_attention(q, k, v, mask)[..., missing:, :]


def one_later(n, stride):
    block = torch.arange(-1, n - 1) // stride
    return (block[:, None] == block).tril()


@pytest.mark.parametrize(
    ("id", "answer", "says"),
    [
        ("sparse.factorised_attention", heads_at_axis_1, "the heads are not axis 1"),
        ("sparse.reachable", in_bytes, "256 of them are 0"),
        ("sparse.strided_attention", in_front, "You fill up in front"),
        ("sparse.block_mask", one_later, "Your blocks begin one token late"),
    ],
)
def test_what_other_people_write_is_told_by_its_cause(id, answer, says):
    verdict = check(id, answer)
    assert not verdict
    assert says in verdict.message.splitlines()[0]


def test_heads_without_halves_must_be_refused():
    def halves_as_they_come(q, k, v, first, second, way, layer=0):
        heads = q.shape[-3]
        turns = torch.stack([first] * (heads // 2) + [second] * (heads - heads // 2))
        masks = dict(merged=first | second, interleaved=(first, second)[layer % 2], split=turns)
        return scaled_dot_product_attention(q, k, v, masks[way])

    verdict = check("sparse.factorised_attention", halves_as_they_come)
    assert "does not refuse 3 heads that are to be split" in verdict.message


def scored(scores, after=lambda y, v: y):
    """`local_attention` with other scores, or something done afterwards."""

    def answer(q, k, v, window):
        mask = local_mask(q.shape[-2], window)
        weights = scores(q, k).masked_fill(~mask, -torch.inf).softmax(-1)
        return after(weights @ v, v)

    return answer


def product(q, k):
    return q @ k.mT / q.shape[-1] ** 0.5


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (scored(lambda q, k: product(k, q)), "Queries and keys are exchanged"),
        (scored(lambda q, k: product(q, q)), "The keys are not used"),
        (scored(lambda q, k: product(k, k)), "The queries are not used"),
        (scored(lambda q, k: 0 * product(q, k)), "q · k plays no part"),
        (scored(lambda q, k: 2 * product(q, k)), "2 times as large"),
        (scored(lambda q, k: product(q, k).tanh()), "The right keys are read"),
        (scored(product, lambda y, v: y + v), "You add the query's own value"),
        (scored(product, lambda y, v: 0 * y), "is the softmax missing?"),
    ],
)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_shares_of_the_right_keys_tell_what_the_scores_are(answer, says, index):
    said = LAWS["queries_read_their_keys"](look("sparse.local_attention", answer, index))
    assert says in said
