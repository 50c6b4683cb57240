"""The card that a verdict shows."""

from told import SOFTMAX

from attncourse import check


def test_a_card_is_readable_without_styles_and_scripts():
    card = check(SOFTMAX, lambda x: x.softmax(0))._repr_html_()
    assert "background: #ffffff" in card
    assert "var(--" not in card
    assert "<style" not in card
    assert "<script" not in card


def test_a_card_does_not_run_what_an_answer_says():
    def hostile(x):
        raise ValueError("<script>alert(1)</script>")

    assert "<script>" not in check(SOFTMAX, hostile)._repr_html_()
