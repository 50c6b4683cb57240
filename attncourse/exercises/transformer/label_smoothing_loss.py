"""Cross-entropy with a smoothed target, over words that are no padding."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import published, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import PAD, label_smoothing_loss


def loss_trials():
    def trial(name, right, smoothing, **sizes):
        target = Given("b i", torch.tensor(right))
        inputs = dict(logits="b i words", target=target, smoothing=smoothing)
        return Trial(name, sizes, inputs)

    padded = [[4, 5, 1, 2, 0, 0], [7, 3, 2, 0, 0, 0]]
    return (
        trial("without padding", [[4, 5, 2], [1, 3, 2]], 0.1, b=2, i=3, words=7),
        trial("with padding", padded, 0.2, b=2, i=6, words=9),
        trial("without smoothing", padded, 0.0, b=2, i=6, words=8),
    )


# fmt: off
SHARES = (
    wrong("not_smoothed", "-(1 - smoothing) * right - smoothing * any_word", "-right",
          "Nothing is smoothed: this is the plain cross-entropy."),
    wrong("always_a_tenth", "log_p =", "smoothing = 0.1\nlog_p =",
          "`smoothing` is not used: you always smooth by 0.1."),
    wrong("padding_gets_no_share", "any_word\n",
          "(log_p[..., 1:].sum(-1) - right) / (log_p.shape[-1] - 2)\n",
          "You spread the rest over the words that are neither right nor padding, words - 2 of"
          ' them, as in "The Annotated Transformer". Here it is spread over all words, padding too.'),
    wrong("right_word_without_its_part", "any_word\n", "(any_word - right / log_p.shape[-1])\n",
          "The right word gets 1 - smoothing and the others smoothing / words, which does not sum"
          " to 1: the right word has its part of the rest as well, 1 - smoothing + smoothing /"
          " words."),
    published("others_share_the_rest", "any_word\n",
              "(log_p.sum(-1) - right) / (log_p.shape[-1] - 1)\n",
              "You spread the rest over the wrong words alone: smoothing / (words - 1)"
              " for each, as in the authors' Tensor2Tensor. Szegedy et al., whom the paper cites,"
              " let the right word have its part of it."),
)

MEANS = (
    wrong("rest_on_padding", "(1 - smoothing) * right", "(1 - smoothing) * right * (target != PAD)",
          "Where the target is padding you drop the right word, but keep the smoothed rest. Padding"
          " counts for nothing.",
          ("loss[target != PAD].mean()", "loss.sum() / (target != PAD).sum()")),
    wrong("summed", ".mean()", ".sum()",
          "You sum over the words. Take the mean, or longer batches get longer steps."),
    wrong("sign_missing", "-(1 - smoothing) * right - smoothing",
          "(1 - smoothing) * right + smoothing",
          "The sign is missing: the loss is minus the logarithm, and it is never negative."),
)

LOGARITHMS = (
    wrong("shares_not_logarithms", "log_softmax", "softmax",
          "You use the probabilities themselves. The loss has their logarithms."),
    wrong("bare_logits", "logits.log_softmax(-1)", "logits",
          "The softmax is missing: you use the bare logits as if they were logarithms of probabilities."),
    wrong("softmax_before_the_logarithm", "logits.log_softmax", "logits.softmax(-1).log_softmax",
          "You apply a softmax before log_softmax, or before `cross_entropy`, which has one of its"
          " own. They want the logits."),
)
# fmt: on


def loss_of_torch(logits, target, smoothing=0.1):
    return F.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


def loss_by_one_hot(logits, target, smoothing=0.1):
    words = logits.shape[-1]
    wanted = F.one_hot(target, words).to(logits) * (1 - smoothing) + smoothing / words
    there = (target != PAD).to(logits)
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    return -(wanted * log_p * there[..., None]).sum() / there.sum()


EXERCISE = Exercise(
    id="transformer.label_smoothing_loss",
    solution=label_smoothing_loss,
    probes={"label_smoothing_loss": ""},
    trials=loss_trials,
    slips=(*SHARES, *MEANS, *LOGARITHMS),
    hints=(
        "What is the loss of one word if the target is a distribution q over all words?",
        (
            "- sum over words of q log p. With q = smoothing / words for every word, and"
            " 1 - smoothing more for the right one, the sum falls into two terms."
        ),
        (
            "log p = log_softmax(logits), b i words\n"
            "right = log p of the target word, b i (gather)\n"
            "loss = - (1 - smoothing) right - smoothing (mean of log p over words)\n"
            "mean of it where the target is not PAD"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(loss_of_torch, loss_by_one_hot),
    laws=("shares_of_the_target",),
    ready=("torch.nn.functional.cross_entropy(label_smoothing)",),
)
