"""The record of `transformer.parameters`."""

import torch

from attncourse.exercises.record import Exercise, Trial
from solutions.transformer import (
    Transformer,
    parameters,
)


def parameter_trials():
    def trial(name, **inputs):
        return Trial(name, {}, inputs)

    return (
        trial("for 11 words, dim = 12", words=11, dim=12, hidden=20, layers=3),
        trial("for the base model", words=37_000, dim=512, hidden=2048, layers=6),
        trial("for a single layer", words=5, dim=6, hidden=7, layers=1),
    )


def numbers_of(words, dim, hidden, layers, **changes):
    """The sum with some of its terms changed."""
    part = dict(attention=4 * dim**2 + 4 * dim, norm=2 * dim, cross=1, norms=5, tables=1)
    part |= dict(feed_forward=2 * dim * hidden + hidden + dim) | changes
    attention = (2 + part["cross"]) * part["attention"]
    layer = attention + 2 * part["feed_forward"] + part["norms"] * part["norm"]
    return part["tables"] * words * dim + layers * layer


def cross_not_counted(words, dim, hidden, layers):
    """You count one attention in a decoder layer. It has two: to its words, and to the
    memory."""
    return numbers_of(words, dim, hidden, layers, cross=0)


def one_norm_too_few(words, dim, hidden, layers):
    """You count as many norms in a decoder layer as in an encoder layer. It has three, one for
    each step."""
    return numbers_of(words, dim, hidden, layers, norms=4)


def norms_not_counted(words, dim, hidden, layers):
    """You leave out the norms: each has a scale and a shift of length dim."""
    return numbers_of(words, dim, hidden, layers, norms=0)


def norms_without_shift(words, dim, hidden, layers):
    """You count one vector a norm. It has two, scale and shift."""
    return numbers_of(words, dim, hidden, layers, norm=dim)


def final_norms_counted(words, dim, hidden, layers):
    """You count a norm at the end of encoder and decoder. Only pre-norm has them."""
    return numbers_of(words, dim, hidden, layers) + 4 * dim


def no_biases(words, dim, hidden, layers):
    """You leave out the biases of the linear layers."""
    return numbers_of(
        words, dim, hidden, layers, attention=4 * dim**2, feed_forward=2 * dim * hidden
    )


def biases_of_attention_alone(words, dim, hidden, layers):
    """You leave out the biases of the feed-forward networks: hidden + dim each."""
    return numbers_of(words, dim, hidden, layers, feed_forward=2 * dim * hidden)


def biases_of_the_networks_alone(words, dim, hidden, layers):
    """You leave out the biases of the attentions: 4 dim each."""
    return numbers_of(words, dim, hidden, layers, attention=4 * dim**2)


def output_bias_counted(words, dim, hidden, layers):
    """You count a bias of the output, one number a word. `out` has none."""
    return numbers_of(words, dim, hidden, layers) + words


def one_matrix_in_feed_forward(words, dim, hidden, layers):
    """You count one matrix in the feed-forward network. It has two, up and down."""
    return numbers_of(words, dim, hidden, layers, feed_forward=dim * hidden + hidden + dim)


def three_matrices_in_attention(words, dim, hidden, layers):
    """You count three matrices in an attention. It has four: query, key, value and out."""
    return numbers_of(words, dim, hidden, layers, attention=3 * dim**2 + 3 * dim)


def three_tables(words, dim, hidden, layers):
    """You count the matrix of words three times. Source, target and output share it."""
    return numbers_of(words, dim, hidden, layers, tables=3)


def two_tables(words, dim, hidden, layers):
    """You count the matrix of words twice. Source, target and output share it."""
    return numbers_of(words, dim, hidden, layers, tables=2)


def words_not_counted(words, dim, hidden, layers):
    """You leave out the matrix of words: words times dim more."""
    return numbers_of(words, dim, hidden, layers, tables=0)


def encoder_only(words, dim, hidden, layers):
    """You count the encoder alone. The decoder has as many layers, and larger ones."""
    attention, feed_forward = 4 * dim**2 + 4 * dim, 2 * dim * hidden + hidden + dim
    return words * dim + layers * (attention + feed_forward + 4 * dim)


def parameters_of_the_model(words, dim, hidden, layers):
    with torch.device("meta"):
        model = Transformer(words, words, dim, 1, hidden, layers, share=True)
    return sum(weight.numel() for weight in model.parameters())


def parameters_by_piece(words, dim, hidden, layers):
    square, norm = dim * (dim + 1), dim + dim
    network = hidden * (dim + 1) + dim * (hidden + 1)
    return words * dim + layers * (12 * square + 2 * network + 5 * norm)


EXERCISE = Exercise(
    id="transformer.parameters",
    solution=parameters,
    probes={"parameters": ""},
    trials=parameter_trials,
    slips=(
        cross_not_counted,
        one_norm_too_few,
        norms_not_counted,
        norms_without_shift,
        final_norms_counted,
        no_biases,
        biases_of_attention_alone,
        biases_of_the_networks_alone,
        output_bias_counted,
        one_matrix_in_feed_forward,
        three_matrices_in_attention,
        three_tables,
        two_tables,
        words_not_counted,
        encoder_only,
    ),
    hints=(
        "What does one attention learn, one feed-forward network, one norm?",
        (
            "4 dim² + 4 dim for an attention, 2 dim m + m + dim for a network, 2 dim for a"
            " norm. How many of each are in an encoder layer, and in a decoder layer?"
        ),
        "words dim + layers (3 attentions + 2 networks + 5 norms)",
    ),
    minutes=5,
    difficulty=2,
    otherwise=(parameters_of_the_model, parameters_by_piece),
)
