"""Translation as the loop wants a task, and the model that does it."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from attncourse.tasks.text import Pairs
from attncourse.training.translation.batches import Batch, buckets, padded
from attncourse.training.translation.options import Options
from attncourse.training.translation.words import Tokenizer, bleu
from solutions import transformer
from solutions.transformer import PAD, Transformer, label_smoothing_loss


class Translation:
    """Pairs to train a Transformer on, as `attncourse.training.loop` wants a task."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        train: Pairs,
        val: Pairs,
        options: Options,
        device: torch.device,
    ):
        self.tokenizer, self.val, self.options, self.device = tokenizer, val, options, device
        self.train_words = [tokenizer.encode(texts) for texts in train]
        self.val_words = [tokenizer.encode(texts) for texts in val]

    @cached_property
    def _val_batches(self) -> list[Batch]:
        return self._batches(self.val_words)

    def _batches(self, words: list[list[Tensor]], generator=None) -> list[Batch]:
        source, target = words
        sizes = [(len(s), len(t)) for s, t in zip(source, target, strict=True)]
        return [
            Batch(padded([source[i] for i in chosen]), padded([target[i] for i in chosen]))
            for chosen in buckets(sizes, self.options.tokens, generator)
        ]

    def batches(self, epoch: int) -> list[Batch]:
        """The training pairs in the order of this epoch."""
        generator = torch.Generator().manual_seed(1_000_003 * self.options.seed + epoch)
        return self._batches(self.train_words, generator)

    def loss(
        self, model: nn.Module, batch: Batch, smoothing: float | None = None
    ) -> tuple[Tensor, int]:
        """The smoothed cross-entropies of a batch, summed, and how many words there are."""
        smoothing = self.options.smoothing if smoothing is None else smoothing
        batch = Batch(*(words.to(self.device) for words in batch))
        words = int((batch.target != PAD).sum())
        logits = model(batch.source, batch.given)
        # A loss in bfloat16 would have three digits.
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return words * label_smoothing_loss(logits, batch.target, smoothing), words

    def validate(self, model: nn.Module) -> dict[str, float]:
        """The cross-entropy a word, without smoothing, and the BLEU of greedy decoding."""
        losses = [self.loss(model, batch, smoothing=0.0) for batch in self._val_batches]
        loss = sum(loss.item() for loss, _ in losses) / sum(count for _, count in losses)
        said = translate(model, self.tokenizer, self.val.source, tokens=self.options.tokens)
        return {"loss": loss, "bleu": bleu(said, self.val.target)[0]}


def translate(
    model: Transformer,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    beam: int = 1,
    alpha: float = 0.6,
    tokens: int = 2048,
) -> list[str]:
    """The translation of each text, by beam search, or greedily where `beam` is 1."""
    device = next(model.parameters()).device
    words = tokenizer.encode(texts)
    said = [""] * len(texts)
    for chosen in buckets([(len(row), 0) for row in words], tokens):
        source = padded([words[i] for i in chosen]).to(device)
        longest = source.shape[1] * 3 // 2 + 10
        found = transformer.translate(model, source, longest, beam, alpha)
        for i, text in zip(chosen, tokenizer.decode(found), strict=True):
            said[i] = text
    return said


def build(options: Options, words: int) -> Transformer:
    """The model of these options, with one matrix for source, target and output."""
    return Transformer(
        words,
        words,
        options.dim,
        options.heads,
        options.hidden,
        options.layers,
        options.norm,
        options.dropout,
        share=True,
    )
