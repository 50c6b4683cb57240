"""The words of a text, by sentencepiece, and how well it is translated, by sacrebleu."""

import io
from collections.abc import Sequence
from importlib import import_module

import torch
from jaxtyping import Int
from torch import Tensor

from attncourse import places
from attncourse.errors import UserError
from solutions.transformer import BEGIN, END, PAD

UNKNOWN = 3


def library(name: str):
    try:
        return import_module(name)
    except ImportError:
        raise UserError(f"{name} is missing: {places.extra('translate')}") from None


class Tokenizer:
    """Byte-pair encoding by sentencepiece, one vocabulary for both languages.

    Its first words are those of the Transformer: PAD, BEGIN, END.
    """

    def __init__(self, model: bytes):
        self.model = model
        self.pieces = library("sentencepiece").SentencePieceProcessor(model_proto=model)

    @classmethod
    def train(cls, texts: Sequence[str], words: int) -> "Tokenizer":
        """Merge the most frequent pairs of neighbours until there are so many words."""
        model = io.BytesIO()
        try:
            library("sentencepiece").SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type="bpe",
                vocab_size=words,
                character_coverage=1.0,
                max_sentence_length=4 * max(map(len, texts)) + 1,  # in bytes
                pad_id=PAD,
                bos_id=BEGIN,
                eos_id=END,
                unk_id=UNKNOWN,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            why = str(error).strip().splitlines()[-1].rpartition("] ")[2]
            raise UserError(f"no vocabulary of {words} words from this text: {why}") from None
        return cls(model.getvalue())

    def __len__(self) -> int:
        return self.pieces.get_piece_size()

    def encode(self, texts: Sequence[str]) -> list[Tensor]:
        """The words of each text as numbers, END after them."""
        return [torch.tensor([*words, END]) for words in self.pieces.encode(list(texts))]

    def decode(self, words: Int[Tensor, "b n"]) -> list[str]:
        """The text of each row, up to its END."""
        rows = []
        for row in words.tolist():
            row = row[: row.index(END)] if END in row else row
            rows.append([word for word in row if word not in (PAD, BEGIN)])
        return self.pieces.decode(rows)


def bleu(
    said: Sequence[str], right: Sequence[str], lowercase: bool = False
) -> tuple[float, str]:
    """BLEU of the corpus by sacrebleu, and the signature that says how it was computed."""
    metric = library("sacrebleu").BLEU(lowercase=lowercase)
    score = metric.corpus_score(list(said), [list(right)]).score
    return score, str(metric.get_signature())
