"""Words are made of text and text of words; BLEU compares."""

import pytest
import torch
from commands import fails
from counted import counted

from attncourse import places
from attncourse.training.translation import words as module
from attncourse.training.translation.batches import padded
from attncourse.training.translation.words import Tokenizer, bleu
from solutions.transformer import BEGIN, END, PAD


def test_the_first_words_are_those_of_the_transformer(tokenizer):
    assert tokenizer.pieces.pad_id() == PAD
    assert tokenizer.pieces.bos_id() == BEGIN
    assert tokenizer.pieces.eos_id() == END
    assert len(tokenizer) == 60


def test_text_comes_back_from_its_words(tokenizer):
    texts = counted(50, 5).target
    rows = padded(tokenizer.encode(texts))
    assert ((rows == END).sum(-1) == 1).all()
    assert tokenizer.decode(rows) == texts
    begun = torch.cat([torch.full((50, 1), BEGIN), rows], dim=-1)
    assert tokenizer.decode(begun) == texts


def test_what_comes_after_the_end_is_not_read(tokenizer):
    (row,) = tokenizer.encode(["eins zwei"])
    assert tokenizer.decode(torch.cat([row, row]).unsqueeze(0)) == ["eins zwei"]


def test_the_same_text_makes_the_same_vocabulary():
    texts = counted(50, 5).target
    assert Tokenizer.train(texts, 40).model == Tokenizer.train(texts, 40).model


def test_a_missing_library_is_one_line_that_says_how_to_get_it(text, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    said = fails("train", "translate", "--data", str(text))
    assert f"sentencepiece is missing: {places.extra('translate')}" in said


def test_bleu_of_the_reference_is_100():
    texts = counted(5, 0).target
    assert bleu(texts, texts)[0] == pytest.approx(100)
    assert bleu(texts, texts[::-1])[0] < 50
    capitals = [text.upper() for text in texts]
    assert bleu(texts, capitals)[0] < 50
    score, signature = bleu(texts, capitals, lowercase=True)
    assert score == pytest.approx(100)
    assert "case:lc" in signature
