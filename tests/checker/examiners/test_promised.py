"""What the stub leaves open is tried, in exercises that say nothing of it."""

import pytest
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attncourse import check
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Exercise, Given, Trial

MASK = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])


def attend(
    q: Float[Tensor, "*batch i d"],
    k: Float[Tensor, "*batch j d"],
    mask: Bool[Tensor, "*#batch #i #j"] | None = None,
    scaled: bool = True,
) -> Float[Tensor, "*batch i j"]:
    scores = q @ k.mT / (k.shape[-1] ** 0.5 if scaled else 1)
    if mask is None:
        return scores.softmax(-1)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights.nan_to_num(0.0)


class Centred(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim))

    def centre(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        return x - x.mean(1, keepdim=True)

    def forward(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b n dim"]:
        n = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
        return x + self.gamma * self.centre(x) * rearrange(n, "n -> n 1")


def exercise(solution, trials, **more):
    return Exercise(
        id=f"toys.{solution.__name__}",
        solution=solution,
        trials=lambda: trials,
        slips=(),
        hints=("?",),
        minutes=1,
        difficulty=1,
        **more,
    )


ATTEND = exercise(
    attend,
    (
        Trial("plain", dict(b=3, i=2, j=5, d=4), dict(q="b i d", k="b j d")),
        Trial(
            "masked",
            dict(b=3, i=2, j=5, d=4),
            dict(q="b i d", k="b j d", mask=Given("i j", MASK)),
        ),
    ),
    probes={"attend": "b i j"},
)
CENTRED = exercise(
    Centred,
    (Trial("plain", dict(b=3, n=5, dim=4), dict(x="b n dim"), dict(dim=4)),),
    probes={"forward": "b n dim"},
    blank=("centre", "forward"),
)


def three_axes(q, k, mask=None, scaled=True):
    torch.einsum("bid,bjd->bij", q, k)
    return attend(q, k, mask, scaled)


def zeros_hidden(q, k, mask=None, scaled=True):
    there = (k != 0).any(-1).unsqueeze(-2)
    return attend(q, k, there if mask is None else mask & there, scaled)


def nothing_allowed(q, k, mask=None, scaled=True):
    y = attend(q, k, mask, scaled)
    return torch.where(y.sum(-1, keepdim=True) == 0, 1 / y.shape[-1], y)


def always_scaled(q, k, mask=None, scaled=True):
    return attend(q, k, mask)


def whole_masks(q, k, mask=None, scaled=True):
    if mask is not None:
        mask = mask[..., : q.shape[-2], : k.shape[-2]].reshape(-1, q.shape[-2], k.shape[-2])
    return attend(q, k, mask, scaled)


def even_keys(q, k, mask=None, scaled=True):
    y = attend(q, k, mask, scaled)
    return y if y.shape[-1] % 2 or y.shape[-1] == 4 else y.flip(-1)


def in_order(q, k, mask=None, scaled=True):
    if q.ndim == 3 and q.stride(0) < q.stride(1):
        q = q.flip(0)
    return attend(q, k, mask, scaled)


@pytest.mark.parametrize(
    ("answer", "slip"),
    [
        (three_axes, "needs_so_many_axes"),
        (zeros_hidden, "takes_zeros_for_padding"),
        (nothing_allowed, "needs_a_mixed_mask"),
        (always_scaled, "ignores_an_argument"),
        (whole_masks, "needs_a_whole_mask"),
        (even_keys, "needs_these_sizes"),
        (in_order, "needs_contiguous"),
    ],
)
def test_an_answer_that_is_right_on_the_trials_alone_is_told_where_it_is_not(answer, slip):
    verdict = check(ATTEND, answer)
    assert (verdict.status, verdict.slip) == ("not yet", slip), verdict


def test_the_cause_is_told_with_the_letters_of_the_variation():
    message = check(ATTEND, three_axes).message
    assert "one axis more (`q` as more b i d, `k` as more b j d)" in message
    assert "any number of axes" in message


def test_right_answers_pass():
    def by_hand(q, k, mask=None, scaled=True):
        scores = torch.einsum("...id,...jd->...ij", q, k)
        scores = scores * (q.shape[-1] ** -0.5 if scaled else 1)
        if mask is not None:
            scores = torch.where(mask, scores, -torch.inf)
        return scores.softmax(-1).nan_to_num(0)

    assert check(ATTEND, by_hand).status == "passed"


def test_a_squeeze_of_every_axis_of_length_1_is_told():
    class Squeezed(Centred):
        def forward(self, x):
            return super().forward(rearrange(x.squeeze(), "b n d -> b n d"))

    verdict = check(CENTRED, Squeezed)
    assert verdict.slip == "needs_longer_axes"
    assert "with an axis of length 1, b = 1" in verdict.message


class Keeping(Centred):
    """Keeps the positions of its first call."""

    def forward(self, x):
        if not hasattr(self, "n"):
            self.n = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
        return x + self.gamma * self.centre(x) * self.n[:, None]


class KeepingTheFirst(Centred):
    """Wrong in the second call alone, without an error."""

    kept = None

    def forward(self, x):
        self.kept = x.shape[0] if self.kept is None else self.kept
        return super().forward(x) * (1 if x.shape[0] == self.kept else 2)


@pytest.mark.parametrize("answer", [Keeping, KeepingTheFirst])
def test_what_is_kept_of_the_first_call_is_found(answer):
    assert check(CENTRED, answer).slip == "remembers_earlier_calls"


def test_a_method_that_is_reached_through_another_is_called_by_itself():
    class Around(Centred):
        def centre(self, x):
            return x

        def forward(self, x):
            n = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
            return x + self.gamma * (x - x.mean(1, keepdim=True)) * n[:, None]

    verdict = check(CENTRED, Around)
    assert verdict.slip == "method_departs"
    assert "`centre`" in verdict.message


def test_other_initial_values_are_told():
    class FromOne(Centred):
        def __init__(self, dim):
            super().__init__(dim)
            nn.init.ones_(self.gamma)

    verdict = check(CENTRED, FromOne)
    assert verdict.slip == "begins_otherwise"
    assert "`gamma` begins at 1 where" in verdict.message


def test_a_result_that_is_right_in_the_first_digits_is_a_remark():
    class Short(copy(CENTRED)):
        def centre(self, x):
            return super().centre(x) * (1 if x.shape[1] == 5 else 1 + 5e-6)

    verdict = check(CENTRED, Short)
    assert verdict.status == "passed"
    assert "What is made in single precision?" in verdict.message


def test_any_type_of_integers_is_right():
    def places(q: Float[Tensor, "*batch i d"]):
        return q.argmax(-1)

    def small(q):
        return q.argmax(-1).int()

    trial = Trial("plain", dict(b=3, i=2, d=4), dict(q="b i d"))
    ex = exercise(places, (trial,), probes={"places": "b i"}, skip=frozenset({"gradients"}))
    assert check(ex, small).status == "passed"
