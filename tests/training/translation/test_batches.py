"""Sentences of about one length go together."""

import random

import torch

from attncourse.training.translation.batches import Batch, buckets
from solutions.transformer import BEGIN, END, PAD


def lengths(n=500):
    """Lengths as sentences have them, source and target alike."""
    choose = random.Random(3)
    source = [choose.randint(4, 40) for _ in range(n)]
    return [(s, max(1, s + choose.randint(-3, 3))) for s in source]


def shuffled(seed):
    return torch.Generator().manual_seed(seed)


def test_every_example_is_in_one_batch():
    for generator in (None, shuffled(0)):
        batches = buckets(lengths(), 300, generator)
        assert sorted(i for batch in batches for i in batch) == list(range(500))


def test_no_batch_has_more_tokens_than_asked_for():
    sizes = lengths()
    for batch in buckets(sizes, 300, shuffled(0)):
        assert len(batch) * max(max(sizes[i]) for i in batch) <= 300


def test_an_example_larger_than_a_batch_goes_alone():
    assert buckets([(3, 3), (50, 2), (3, 2)], 10) == [[2, 0], [1]]


def test_examples_meet_others_in_another_epoch():
    one, other = (set(map(frozenset, buckets(lengths(), 300, shuffled(n)))) for n in (0, 1))
    assert len(one & other) < len(one) / 4


def test_neighbours_in_length_need_little_padding():
    """Drawn at random, about 40 % would be padding."""
    sizes = lengths()
    space = sum(
        len(batch) * max(max(sizes[i]) for i in batch)
        for batch in buckets(sizes, 300, shuffled(0))
    )
    assert 1 - sum(map(max, sizes)) / space < 0.08


def test_the_decoder_is_given_the_target_one_place_later():
    batch = Batch(torch.tensor([[5, END]]), torch.tensor([[7, 8, END, PAD]]))
    assert batch.given.tolist() == [[BEGIN, 7, 8, END]]
