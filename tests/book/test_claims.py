import numpy as np
import pytest
import torch

from attncourse.book.claims import ClaimFailed, claim


@pytest.mark.parametrize("true", [True, np.bool_(True), torch.tensor(2) > 1])
def test_a_claim_that_holds_prints_one_line(capsys, true):
    assert claim(true, "the gain is above 1") is None
    assert capsys.readouterr().out == "holds: the gain is above 1\n"


@pytest.mark.parametrize("false", [False, np.bool_(False), torch.tensor(0) > 1])
def test_a_claim_that_does_not_hold_fails_with_its_sentence(capsys, false):
    with pytest.raises(ClaimFailed, match="does not hold here: the gain is above 1"):
        claim(false, "the gain is above 1")
    assert issubclass(ClaimFailed, AssertionError)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("neither", [1, None, "yes", torch.ones(2) > 0, torch.tensor(1.0)])
def test_what_is_neither_true_nor_false_is_an_error_in_one_line(neither):
    with pytest.raises(TypeError, match=r"^a claim holds or does not[^\n]*$"):
        claim(neither, "so it is")


@pytest.mark.parametrize("sentence", ["", " ", None])
def test_a_claim_needs_a_sentence(sentence):
    with pytest.raises(TypeError, match="a condition and a sentence"):
        claim(True, sentence)
