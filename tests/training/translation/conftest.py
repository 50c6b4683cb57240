"""A text of numbers in a folder, and its words. All of it needs the extra `translate`."""

import pytest
from counted import counted, write_text

from attncourse.training.translation.words import Tokenizer


@pytest.fixture(autouse=True, scope="session")
def libraries():
    pytest.importorskip(
        "sentencepiece", reason='no sentencepiece: pip install -e ".[translate]"'
    )
    pytest.importorskip("sacrebleu", reason='no sacrebleu: pip install -e ".[translate]"')


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path / "text", 120, 12)


@pytest.fixture(scope="module")
def tokenizer():
    pairs = counted(120, 0)
    return Tokenizer.train([*pairs.source, *pairs.target], 60)
