"""How many numbers a Transformer learns."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.transformer import Transformer, parameters


def parameter_trials():
    def trial(name, **inputs):
        return Trial(name, {}, inputs)

    return (
        trial("for 11 words, dim = 12", words=11, dim=12, hidden=20, layers=3),
        trial("for the base model", words=37_000, dim=512, hidden=2048, layers=6),
        trial("for a single layer", words=5, dim=6, hidden=7, layers=1),
    )


# fmt: off
ATTENTIONS = (
    wrong("cross_not_counted", "= 2 * attention", "= attention",
          "You count one attention in a decoder layer. It has two: to its words, and to the"
          " memory."),
    wrong("three_matrices_in_attention", "4 * dim**2 + 4 * dim", "3 * dim**2 + 3 * dim",
          "You count three matrices in an attention. It has four: query, key, value and out."),
    wrong("one_matrix_in_feed_forward", "2 * dim * hidden", "dim * hidden",
          "You count one matrix in the feed-forward network. It has two, up and down."),
)

BIASES = (
    wrong("no_biases", "4 * dim**2 + 4 * dim", "4 * dim**2",
          "You leave out the biases of the linear layers.",
          ("hidden + hidden + dim", "hidden")),
    wrong("biases_of_attention_alone", "hidden + hidden + dim", "hidden",
          "You leave out the biases of the feed-forward networks: hidden + dim each."),
    wrong("biases_of_the_networks_alone", "4 * dim**2 + 4 * dim", "4 * dim**2",
          "You leave out the biases of the attentions: 4 dim each."),
    wrong("output_bias_counted", "words * dim", "words * (dim + 1)",
          "You count a bias of the output, one number a word. `out` has none."),
)

NORMS = (
    wrong("one_norm_too_few", "3 * norm", "2 * norm",
          "You count as many norms in a decoder layer as in an encoder layer. It has three, one for"
          " each step."),
    wrong("norms_not_counted", " + 2 * norm", "",
          "You leave out the norms: each has a scale and a shift of length dim.",
          (" + 3 * norm", "")),
    wrong("norms_without_shift", "norm = 2 * dim", "norm = dim",
          "You count one vector a norm. It has two, scale and shift."),
    wrong("final_norms_counted", "words * dim", "words * dim + 2 * norm",
          "You count a norm at the end of encoder and decoder. Only pre-norm has them."),
)

TABLES = (
    wrong("three_tables", "words * dim", "3 * words * dim",
          "You count the matrix of words three times. Source, target and output share it."),
    wrong("half_of_the_layers", "+ layers * (", "+ layers // 2 * (",
          "You divide the layers between encoder and decoder. Each of the two has `layers` of them."),
    wrong("two_tables", "words * dim", "2 * words * dim",
          "You count the matrix of words twice. Source, target and output share it."),
    wrong("encoder_only", "(encoder_layer + decoder_layer)", "encoder_layer",
          "You count the encoder alone. The decoder has as many layers, and larger ones."),
)
# fmt: on


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
    slips=(*ATTENTIONS, *BIASES, *NORMS, *TABLES),
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
