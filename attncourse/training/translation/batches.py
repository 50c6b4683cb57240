"""Sentences of about one length, put together and padded."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from solutions.transformer import BEGIN, PAD


class Batch(NamedTuple):
    """Sentences of about one length, padded. The target is what to predict, END at its end."""

    source: Int[Tensor, "b j"]
    target: Int[Tensor, "b i"]

    @property
    def given(self) -> Int[Tensor, "b i"]:
        """What the decoder is given: the target, one place later, BEGIN before it."""
        begin = torch.full_like(self.target[:, :1], BEGIN)
        return torch.cat([begin, self.target[:, :-1]], dim=-1)


def buckets(
    sizes: Sequence[tuple[int, int]], tokens: int, generator: torch.Generator | None = None
) -> list[list[int]]:
    """Which examples go together: neighbours in length, at most `tokens` with the padding.

    sizes      the lengths of each example's source and target
    generator  shuffles examples of equal length, and the batches; None leaves them sorted
    A single example that is longer goes alone.
    """
    n = len(sizes)
    noise = torch.rand(n, generator=generator).tolist() if generator else [0.0] * n
    order = sorted(range(n), key=lambda i: (max(sizes[i]), sum(sizes[i]), noise[i], i))
    batches, longest = [], 0
    for i in order:
        longest = max(longest, *sizes[i])
        if not batches or (len(batches[-1]) + 1) * longest > tokens:
            batches.append([])
            longest = max(sizes[i])
        batches[-1].append(i)
    if generator:
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        batches = [batches[i] for i in shuffled]
    return batches


def padded(rows: Sequence[Tensor]) -> Int[Tensor, "b n"]:
    """Rows of different length as one tensor, PAD behind the short ones."""
    return pad_sequence(list(rows), batch_first=True, padding_value=PAD)
