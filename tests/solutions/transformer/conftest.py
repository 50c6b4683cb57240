"""A decoder layer, a model and sentences, for the tests of this folder."""

import pytest
import torch
from transformer_parts import (
    DIM,
    HEADS,
    HIDDEN,
    LAYERS,
    NORMS,
    SOURCES,
    TARGETS,
    WORDS,
    B,
    random,
    shuffled,
)

from solutions.transformer import BEGIN, PAD, DecoderLayer, Transformer


@pytest.fixture(params=NORMS)
def norm(request):
    return request.param


@pytest.fixture
def decoder(norm):
    return shuffled(DecoderLayer(DIM, HEADS, HIDDEN, norm))


@pytest.fixture
def model(norm):
    return shuffled(Transformer(9, WORDS, DIM, HEADS, HIDDEN, LAYERS, norm))


@pytest.fixture
def x():
    return random(B, TARGETS, DIM)


@pytest.fixture
def memory():
    return random(B, SOURCES, DIM)


@pytest.fixture
def source():
    """Two sentences, the second with two words of padding."""
    words = torch.randint(3, 9, (B, SOURCES))
    words[1, -2:] = PAD
    return words


@pytest.fixture
def target():
    return torch.cat([torch.full((B, 1), BEGIN), torch.randint(3, WORDS, (B, 4))], dim=1)
