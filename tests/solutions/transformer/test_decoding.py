"""Greedy and beam search, and decoding with a cache."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformer_parts import DIM, HEADS, HIDDEN, LAYERS, SOURCES, TARGETS, WORDS, B, random

from attncourse.papers.counting import count
from solutions.scaled_dot_product import padding_mask
from solutions.transformer import (
    BEGIN,
    END,
    PAD,
    Incremental,
    Transformer,
    attend_and_remember,
    beam_search,
    beam_step,
    decoder_step,
    greedy,
    length_penalty,
    padding,
    start_cache,
    translate,
)

TABLE = 2 * torch.randn(
    5, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(98)
)


def two_before(target, rows=None):
    """A language of five words in which the next depends on the last two."""
    last = target[:, -1]
    before = target[:, -2] if target.shape[1] > 1 else torch.zeros_like(last)
    return TABLE[before, last]


def score(words, alpha, logits=two_before):
    """log p / penalty of a target after BEGIN."""
    total, target = 0.0, [BEGIN]
    for word in words:
        total += logits(torch.tensor([target])).log_softmax(-1)[0, word].item()
        target.append(word)
    return total / ((5 + len(words)) / 6) ** alpha


def start(examples):
    return torch.full((examples, 1), BEGIN)


def test_greedy_takes_the_likeliest_word_each_time(model, source):
    output = translate(model, source, longest=6)
    assert (output[:, 0] == BEGIN).all()
    for b in range(B):
        target = output[b : b + 1]
        ended = False
        for n in range(1, target.shape[1]):
            likeliest = model(source[b : b + 1], target[:, :n])[0, -1].argmax()
            assert target[0, n] == (PAD if ended else likeliest)
            ended |= bool(target[0, n] == END)


def test_greedy_stops_when_all_have_ended_and_pads_those_that_ended_first():
    def countdown(target):  # example b ends after b words
        n = target.shape[1] - 1
        word = torch.where(torch.arange(3) > n, 4, END)
        return F.one_hot(word, 5).float()

    output = greedy(countdown, start(3), longest=9)
    assert output.tolist() == [[1, 2, 0, 0], [1, 4, 2, 0], [1, 4, 4, 2]]


def test_greedy_gives_up_after_the_longest():
    assert greedy(lambda target: torch.eye(5)[4:], start(1), 3).tolist() == [[1, 4, 4, 4]]


def test_the_penalty_is_one_for_one_word_and_for_alpha_0():
    length = torch.arange(1, 9).double()
    assert length_penalty(length, 0.6)[0] == 1
    assert (length_penalty(length, 0.0) == 1).all()
    assert_close(length_penalty(length, 1.0), (5 + length) / 6)


def test_a_step_of_the_beam_finds_the_best_continuations():
    log_p, following = random(B, 3), random(B, 3, WORDS)
    best, beam, word = beam_step(log_p, following, 4)
    for b in range(B):
        every = sorted(
            ((log_p[b, k] + following[b, k, w]).item(), k, w)
            for k, w in product(range(3), range(WORDS))
        )[::-1][:4]
        found = zip(best[b].tolist(), beam[b].tolist(), word[b].tolist(), strict=True)
        for one, other in zip(found, every, strict=True):
            assert one == pytest.approx(other)


@pytest.mark.parametrize("longest", [1, 4, 8])
def test_one_beam_without_penalty_is_greedy(longest):
    for seed in range(20):
        logits = 3 * torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(seed))

        def last(target, rows=None, logits=logits):
            return logits[torch.arange(2), target[:, -1]]

        wanted = greedy(last, start(2), longest)
        assert beam_search(last, start(2), longest, width=1, alpha=0.0).equal(wanted)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_as_many_beams_as_there_are_targets_find_the_best_of_all(alpha):
    longest = 4
    ended = [
        (*words, END)
        for n in range(longest)
        for words in product([0, 1, 3, 4], repeat=n)  # any but END
    ]
    best = max(ended, key=lambda words: score(words, alpha))
    found = beam_search(two_before, start(1), longest, width=5**longest, alpha=alpha)
    assert found[0, 1:].tolist() == list(best)


def test_more_beams_find_targets_that_are_not_worse_here():
    scores = [
        score(beam_search(two_before, start(1), 8, width, 0.6)[0, 1:].tolist(), 0.6)
        for width in (1, 2, 4, 16)
    ]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0]


def test_a_larger_alpha_never_finds_a_shorter_target_when_all_are_seen():
    lengths = [
        beam_search(two_before, start(1), 4, 5**4, alpha).shape[1]
        for alpha in (0.0, 1.0, 2.0, 4.0)
    ]
    assert lengths == sorted(lengths)


def test_nothing_goes_on_after_its_end():
    """Here END follows END for nothing, and a large penalty would reward the length."""

    def again(target, rows=None):
        after = torch.tensor([0.0, 0, 0.3, 0.7, 0]), torch.tensor([0.0, 0, 1, 0, 0])
        ended = (target == END).any(-1, keepdim=True)
        return torch.where(ended, after[1], after[0]).log()

    found = beam_search(again, start(1), 4, width=3, alpha=4.0)
    assert found.tolist() == [[1, 3, 3, 3, 2]]


def test_beams_of_examples_do_not_mix(norm):
    torch.manual_seed(5)  # where examples get different translations
    model = Transformer(9, WORDS, DIM, HEADS, HIDDEN, 1, norm).double().eval()
    cross = model.decoder[0].cross_attention
    for layer in (model.out, cross.value, cross.out):
        nn.init.normal_(layer.weight, std=2)  # so that the source matters
    sources = torch.randint(3, 9, (6, 5))
    together = translate(model, sources, 6, width=3)
    assert len({tuple(row) for row in together.tolist()}) > 2  # they are told apart
    for b in range(6):
        alone = translate(model, sources[b : b + 1], 6, width=3)
        assert together[b, : alone.shape[1]].equal(alone[0])
        assert (together[b, alone.shape[1] :] == PAD).all()


def test_translating_leaves_the_model_in_training(model, source):
    model.train()
    first = translate(model, source, 5)
    assert model.training
    assert translate(model, source, 5).equal(first)  # without dropout


def test_a_step_with_a_cache_gives_what_the_whole_layer_gives(decoder, x, memory):
    there = padding_mask(torch.tensor([7, 4]), SOURCES)
    whole, cache = decoder(x, memory, there), start_cache(decoder, memory)
    for n in range(TARGETS):
        output, cache = decoder_step(decoder, x[:, n : n + 1], cache, there)
        assert_close(output, whole[:, n : n + 1])
        assert cache.keys.shape == (B, HEADS, n + 1, DIM // HEADS)


def test_remembered_keys_and_values_are_those_of_all_tokens():
    q, k, v = (random(B, HEADS, TARGETS, 4) for _ in range(3))
    keys, values = k[:, :, :0], v[:, :, :0]
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    for n in range(TARGETS):
        own = slice(n, n + 1)
        read, keys, values = attend_and_remember(
            q[:, :, own], k[:, :, own], v[:, :, own], keys, values
        )
        assert_close(read, whole[:, :, own])
    assert_close((keys, values), (k, v))


def test_incremental_decoding_gives_the_logits_of_the_whole(model, source, target):
    whole, step = model(source, target), Incremental(model, source)
    for n in range(1, TARGETS + 1):
        assert_close(step(target[:, :n]), whole[:, n - 1])


def test_incremental_decoding_follows_rows_that_move(model, source, target):
    step = Incremental(model, source)
    step(target[:, :1])
    rows = torch.tensor([1, 0])
    logits = step(target[rows, :2], rows)
    assert_close(logits, model(source[rows], target[rows, :2])[:, -1])


def test_incremental_decoding_refuses_a_jump(model, source, target):
    step = Incremental(model, source)
    with pytest.raises(ValueError, match="3 words after 0"):
        step(target[:, :3])


@pytest.mark.parametrize("width", [1, 3])
def test_with_and_without_a_cache_the_translation_is_the_same(model, source, width):
    from_scratch = source.repeat_interleave(width, 0)
    memory = model.encode(from_scratch)

    def logits(target, rows=None):
        return model.decode(target, memory, from_scratch)[:, -1]

    begin = start(B)
    wanted = greedy(logits, begin, 6) if width == 1 else beam_search(logits, begin, 6, width)
    assert translate(model, source, 6, width).equal(wanted)


def test_a_step_costs_one_token_where_it_would_cost_all(model, source):
    def whole(n):
        target, memory = torch.full((B, n), 5), model.encode(source)
        return count(lambda: model.decode(target, memory, source)).multiply_adds

    def step(n):
        incremental, target = Incremental(model, source), torch.full((B, n), 5)
        for k in range(1, n):
            incremental(target[:, :k])
        return count(lambda: incremental(target)).multiply_adds

    token = B * LAYERS * (6 * DIM**2 + 2 * DIM * HIDDEN + 2 * SOURCES * DIM) + B * DIM * WORDS
    memory = B * LAYERS * 2 * SOURCES * DIM**2
    for n in (4, 9):
        assert step(n) == token + B * LAYERS * 2 * n * DIM
        assert whole(n) == memory + n * (token + B * LAYERS * 2 * n * DIM)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_it_runs_on_the_gpu_as_on_the_cpu(model, source, target):
    there = model(source, target)
    model.cuda()
    assert_close(model(source.cuda(), target.cuda()).cpu(), there)
    for width in (1, 3):
        assert translate(model, source.cuda(), 6, width).is_cuda


def test_masks_and_padding_follow_the_device(norm):
    with torch.device("meta"):
        model = Transformer(9, WORDS, DIM, HEADS, HIDDEN, 1, norm)
        words = torch.zeros(B, 4, dtype=torch.long)
    assert model(words, words).is_meta


def test_padding_is_where_there_is_no_word(source):
    assert padding(source).shape == (B, 1, SOURCES)
    assert padding(source)[:, 0].sum(-1).tolist() == [7, 5]
