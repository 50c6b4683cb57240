"""The paper's numbers: parameters, Table 3, the smoothed loss and the schedule."""

import math
from itertools import product

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close
from transformer_parts import TARGETS, WORDS, B, learned, random

from solutions.transformer import (
    PAD,
    DecoderLayer,
    EncoderLayer,
    Transformer,
    label_smoothing_loss,
    learning_rate,
    parameters,
)


def test_layers_of_the_base_model_have_the_known_sizes():
    assert learned(EncoderLayer(512, 8, 2048)) == 3_152_384
    assert learned(DecoderLayer(512, 8, 2048)) == 4_204_032
    assert parameters(0, 512, 2048, 6) == 44_138_496
    with torch.device("meta"):
        base = Transformer(5, 5, share=True)
    assert learned(base) == 44_138_496 + 5 * 512


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("words", "dim", "hidden"), [(11, 12, 20), (7, 6, 5)])
def test_the_formula_counts_the_parameters(words, dim, hidden, layers):
    model = Transformer(words, words, dim, 3, hidden, layers, share=True)
    assert parameters(words, dim, hidden, layers) == learned(model)


# Table 3 of the paper: what a row changes, and how many millions it has (base: 65).
ROWS = (
    (dict(layers=2), 36),
    (dict(layers=4), 50),
    (dict(layers=8), 80),
    (dict(hidden=1024), 53),
    (dict(hidden=4096), 90),
)


@pytest.mark.parametrize(("change", "millions"), ROWS)
def test_rows_of_table_3_differ_as_the_formula_says(change, millions):
    base = dict(words=0, dim=512, hidden=2048, layers=6)
    difference = parameters(**base | change) - parameters(**base)
    assert abs(difference / 1e6 - (millions - 65)) <= 1  # two figures, each rounded


def test_no_one_vocabulary_gives_all_rows_of_table_3_but_about_41000_words_come_near():
    rows = [({}, 65), (dict(dim=256), 28), (dict(dim=1024), 168), *ROWS]
    base = dict(dim=512, hidden=2048, layers=6)
    for change, millions in rows:
        for words, off in ((37_000, 6), (40_700, 1.5)):
            assert abs(parameters(words, **base | change) / 1e6 - millions) < off
    big = parameters(40_700, 1024, 4096, 6) / 1e6
    assert abs(big - 213) < 6  # printed for both pairs of languages, one with 32000 words


def paper_loss(logits, target, smoothing):
    """Szegedy et al., section 7, one word at a time."""
    total, n = 0.0, 0
    for b, i in product(range(target.shape[0]), range(target.shape[1])):
        if target[b, i] == PAD:
            continue
        z = logits[b, i].exp().tolist()
        for word in range(len(z)):
            q = smoothing / len(z) + (1 - smoothing) * (word == int(target[b, i]))
            total -= q * math.log(z[word] / sum(z))
        n += 1
    return torch.tensor(total / n, dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_the_smoothed_loss_is_that_of_szegedy_and_of_torch(smoothing):
    logits = random(B, TARGETS, WORDS)
    words = torch.tensor([[4, 5, 6, 2, 0], [7, 2, 0, 0, 0]])
    loss = label_smoothing_loss(logits, words, smoothing)
    assert_close(loss, paper_loss(logits, words, smoothing))
    theirs = F.cross_entropy(
        logits.flatten(0, 1), words.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )
    assert_close(loss, theirs)


def test_smoothing_has_its_lowest_loss_where_the_prediction_is_the_smoothed_target():
    words, q = torch.tensor([[3]]), torch.full((1, 1, WORDS), 0.1 / WORDS).double()
    q[0, 0, 3] += 0.9
    lowest = label_smoothing_loss(q.log(), words)
    assert_close(lowest, -(q * q.log()).sum())
    for _ in range(20):
        assert label_smoothing_loss(q.log() + 0.1 * random(1, 1, WORDS), words) > lowest


def test_logits_of_padding_get_no_gradient():
    logits = random(1, 3, WORDS).requires_grad_()
    label_smoothing_loss(logits, torch.tensor([[4, 2, PAD]])).backward()
    assert (logits.grad[0, 2] == 0).all()
    assert (logits.grad[0, :2] != 0).all()


def test_the_rate_rises_along_a_line_and_falls_as_one_over_the_root():
    step = torch.arange(1, 20_001).double()
    rate = learning_rate(step, 512)
    assert rate.argmax() == 3999
    assert_close(rate[3999].item(), 512**-0.5 * 4000**-0.5)
    assert_close(rate[:4000], step[:4000] * rate[0])
    assert_close(rate[4 * 4000 - 1], rate[3999] / 2)
    assert (rate[4000:].diff() < 0).all()
