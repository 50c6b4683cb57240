"""What cannot be computed is refused."""

import pytest
import torch
from einops import rearrange, reduce, repeat
from told import first_line, written

from attncourse import check
from attncourse.exercises.edited import copy
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import residual
from solutions.positional import sinusoidal


def _refusing():
    """An exercise whose answer refuses a width of 0, and one that says so otherwise."""

    def halves(x, width):
        if width == 0:
            raise ValueError("no width")
        return x / width

    trials = (Trial("plain", dict(b=2, i=3), dict(x="b i", width=2)),)
    refused = (Trial("a width of 0", dict(b=2, i=3), dict(x="b i", width=0)),)
    return Exercise(
        id="shapes.halves",
        solution=halves,
        probes={"halves": "b i"},
        trials=lambda: trials,
        slips=(),
        hints=(),
        minutes=1,
        difficulty=1,
        refuses=lambda: refused,
    )


def test_what_should_be_refused_must_end_in_a_value_error():
    ex = _refusing()

    def silent(x, width):
        return x / max(width, 1)

    def asserted(x, width):
        assert width
        return x / width

    assert check(ex, copy(ex))
    verdict = check(ex, silent)
    assert verdict.slip == "not_refused"
    assert "does not refuse a width of 0" in verdict.message
    assert "ends in AssertionError for a width of 0" in check(ex, asserted).message


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("7 features, 3 heads", None),
        ("dim=7 is not a multiple of heads=3", None),
        ("no", "7 and 3"),
        ("", "7 and 3"),
        ("7 features", "3"),
        ("17 features in 3.5 heads", "7 and 3"),
        ("features: 7. heads: 3.", None),
    ],
)
def test_the_text_of_an_error_holds_the_numbers(text, missing):
    def split_heads(x, heads):
        if x.shape[-1] % heads:
            raise ValueError(text)
        return rearrange(x, "b n (head d) -> b head n d", head=heads)

    verdict = check("multi_head.split_heads", split_heads)
    assert verdict.status == ("not yet" if missing else "passed")
    if missing:
        assert verdict.slip == "refused_without_numbers"
        assert first_line(verdict) == (
            "For 7 features in 3 heads `split_heads` raises a ValueError, but its text does not"
            f" say {missing}."
        )


def test_what_einops_says_itself_is_no_value_error():
    def pool(picture, p, q):
        return reduce(picture, "(h p) (w q) c -> h w c", "mean", p=p, q=q)

    def drops(picture, p, q):
        h, w = picture.shape[0] // p, picture.shape[1] // q
        return pool(picture[: h * p, : w * q], p, q)

    said = first_line(check("shapes.pool", pool))
    assert "ends in EinopsError for 7 x 8 pixels in patches of 3 x 4" in said
    assert "raise a `ValueError` that says 7 and 8 and 3 and 4" in said
    assert "does not refuse 7 x 8 pixels" in first_line(check("shapes.pool", drops))


def test_a_module_that_cannot_be_built_is_refused_in_its_constructor():
    class Rounds(written("multi_head.multi_head_attention")):
        def __init__(self, dim, heads):
            super().__init__(dim - dim % heads, heads)

    verdict = check("multi_head.multi_head_attention", Rounds)
    assert "for dim = 7 and 3 heads: raise a `ValueError`" in first_line(verdict)


def test_what_one_method_refuses_another_need_not():
    made = written("relative_2d.attention_augmented_conv")

    class WithoutConvolution(made):
        def forward(self, x):
            return super().forward(x) * (1 if self.kqv is not None else 2)

    class Refuses(made):
        def forward(self, x):
            if self.kqv is None:
                raise ValueError("no channel for attention")
            return super().forward(x)

    id = "relative_2d.attention_augmented_conv"
    assert check(id, made).status == "passed"
    said = first_line(check(id, WithoutConvolution))
    assert "not those of `forward` for upsilon=0, which leaves no map" in said
    assert "For upsilon=0, which leaves no map `forward` stops" in first_line(
        check(id, Refuses)
    )


def test_what_the_stub_says_is_refused_must_be_refused():
    def takes_anything(x, branch, gate, placement="standard", shortcut=lambda t: t):
        known = placement in ("standard", "pre", "post", "identity")
        return residual(x, branch, gate, placement if known else "standard", shortcut)

    def another_error(x, branch, gate, placement="standard", shortcut=lambda t: t):
        if placement == "between":
            raise KeyError(placement)
        return residual(x, branch, gate, placement, shortcut)

    verdict = check("channel.residual", takes_anything)
    assert verdict.slip == "not_refused"
    assert '`residual` does not refuse the unknown placement "between"' in first_line(verdict)
    assert "ends in KeyError" in first_line(check("channel.residual", another_error))
    assert check("channel.residual", written("channel.residual")).status == "passed"


def test_a_variant_refuses_what_is_refused():
    def columns_first(rows, columns, dim):
        half = dim // 2
        r = repeat(sinusoidal(rows, half), "h d -> h w d", w=len(columns))
        c = repeat(sinusoidal(columns, dim - half), "w d -> h w d", h=len(rows))
        return torch.cat([c, r], dim=-1)

    verdict = check("positional.sinusoidal_2d", columns_first)
    assert verdict.slip == "not_refused"
    assert "does not refuse dim = 5" in verdict.message
