"""The record of `transformer.label_smoothing_loss`."""

import torch
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Given, Trial, variant
from solutions.transformer import (
    PAD,
    label_smoothing_loss,
)


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


def log_p_of(logits, target):
    """Logarithms of the shares, and those of the right words."""
    log_p = logits.log_softmax(-1)
    return log_p, log_p.gather(-1, target.unsqueeze(-1)).squeeze(-1)


def mean_over_words(loss, target):
    return loss[target != PAD].mean()


def not_smoothed(logits, target, smoothing=0.1):
    """Nothing is smoothed: this is the plain cross-entropy."""
    return mean_over_words(-log_p_of(logits, target)[1], target)


def shares_exchanged(logits, target, smoothing=0.1):
    """The right word gets `smoothing`. It gets 1 - smoothing, and all words share the rest."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words(-smoothing * right - (1 - smoothing) * log_p.mean(-1), target)


def rest_for_every_word(logits, target, smoothing=0.1):
    """Every word gets the whole rest. They share it: smoothing / words for each."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words(-(1 - smoothing) * right - smoothing * log_p.sum(-1), target)


def right_word_keeps_all(logits, target, smoothing=0.1):
    """The right word keeps 1, and the rest comes on top: the shares sum to more than 1. It
    gets 1 - smoothing."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words(-right - smoothing * log_p.mean(-1), target)


def rest_lost(logits, target, smoothing=0.1):
    """The right word gets 1 - smoothing, and nobody gets the rest. All words share it."""
    return mean_over_words(-(1 - smoothing) * log_p_of(logits, target)[1], target)


def padding_counted(logits, target, smoothing=0.1):
    """Padding is counted as a word. Take the mean over words that are no padding."""
    log_p, right = log_p_of(logits, target)
    return (-(1 - smoothing) * right - smoothing * log_p.mean(-1)).mean()


def padding_divides(logits, target, smoothing=0.1):
    """The loss of padding is left out, but the sum is divided by all places. Divide by the
    number of words."""
    log_p, right = log_p_of(logits, target)
    loss = -(1 - smoothing) * right - smoothing * log_p.mean(-1)
    return loss.masked_fill(target == PAD, 0).mean()


def rest_on_padding(logits, target, smoothing=0.1):
    """Where the target is padding you drop the right word, but keep the smoothed rest. Padding
    counts for nothing."""
    log_p, right = log_p_of(logits, target)
    there = target != PAD
    return (-(1 - smoothing) * right * there - smoothing * log_p.mean(-1)).sum() / there.sum()


def summed(logits, target, smoothing=0.1):
    """You sum over the words. Take the mean, or longer batches get longer steps."""
    log_p, right = log_p_of(logits, target)
    return (-(1 - smoothing) * right - smoothing * log_p.mean(-1))[target != PAD].sum()


def mean_of_means(logits, target, smoothing=0.1):
    """You take the mean of each sentence and then their mean: a word of a short sentence counts
    more. Take one mean over all words."""
    log_p, right = log_p_of(logits, target)
    loss, there = -(1 - smoothing) * right - smoothing * log_p.mean(-1), target != PAD
    return ((loss * there).sum(-1) / there.sum(-1)).mean()


def sign_missing(logits, target, smoothing=0.1):
    """The sign is missing: the loss is minus the logarithm, and it is never negative."""
    log_p, right = log_p_of(logits, target)
    return mean_over_words((1 - smoothing) * right + smoothing * log_p.mean(-1), target)


def shares_not_logarithms(logits, target, smoothing=0.1):
    """You use the shares themselves. The loss has their logarithms."""
    p = logits.softmax(-1)
    right = p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return mean_over_words(-(1 - smoothing) * right - smoothing * p.mean(-1), target)


def bare_logits(logits, target, smoothing=0.1):
    """The softmax is missing: you use the bare logits as if they were logarithms of shares."""
    right = logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return mean_over_words(-(1 - smoothing) * right - smoothing * logits.mean(-1), target)


def padding_gets_no_share(logits, target, smoothing=0.1):
    """The rest is shared among the words that are neither right nor padding, words - 2 of them,
    as in "The Annotated Transformer". Here all words share it, padding too."""
    log_p, right = log_p_of(logits, target)
    others = (log_p[..., 1:].sum(-1) - right) / (log_p.shape[-1] - 2)
    return mean_over_words(-(1 - smoothing) * right - smoothing * others, target)


def right_word_without_its_part(logits, target, smoothing=0.1):
    """The right word gets 1 - smoothing and the others smoothing / words, which does not sum to
    1: the right word has its part of the rest as well, 1 - smoothing + smoothing / words."""
    log_p, right = log_p_of(logits, target)
    rest = log_p.mean(-1) - right / log_p.shape[-1]
    return mean_over_words(-(1 - smoothing) * right - smoothing * rest, target)


def always_a_tenth(logits, target, smoothing=0.1):
    """`smoothing` is not used: you always smooth by 0.1."""
    return label_smoothing_loss(logits, target, 0.1)


def divergence(logits, target, smoothing=0.1):
    """This is the KL divergence, the loss less the entropy of the target. The gradient is the
    same; the loss is the cross-entropy itself."""
    words = logits.shape[-1]
    share = torch.full_like(logits, smoothing / words)
    share = share + (1 - smoothing) * F.one_hot(target, words)
    loss = (share.xlogy(share) - share * logits.log_softmax(-1)).sum(-1)
    return mean_over_words(loss, target)


def mean_over_the_vocabulary(logits, target, smoothing=0.1):
    """You take the mean over the words of the vocabulary as well (as `kl_div` does with
    "mean"). Over them it is a sum."""
    return label_smoothing_loss(logits, target, smoothing) / logits.shape[-1]


def divided_by_sentences(logits, target, smoothing=0.1):
    """You divide the sum over words by the number of sentences. Divide it by the number of
    words that are no padding."""
    return summed(logits, target, smoothing) / len(target)


def softmax_before_the_logarithm(logits, target, smoothing=0.1):
    """You apply a softmax before log_softmax, or before `cross_entropy`, which has one of its
    own. They want the logits."""
    return label_smoothing_loss(logits.softmax(-1), target, smoothing)


@variant
def others_share_the_rest(logits, target, smoothing=0.1):
    """The words that are wrong share the rest among themselves: smoothing / (words - 1) for
    each, as in the authors' Tensor2Tensor. Szegedy et al., whom the paper cites, let the right
    word have its part of it."""
    log_p, right = log_p_of(logits, target)
    others = (log_p.sum(-1) - right) / (log_p.shape[-1] - 1)
    return mean_over_words(-(1 - smoothing) * right - smoothing * others, target)


def loss_of_torch(logits, target, smoothing=0.1):
    return F.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


def loss_by_one_hot(logits, target, smoothing=0.1):
    words = logits.shape[-1]
    wanted = F.one_hot(target, words) * (1 - smoothing) + smoothing / words
    there = (target != PAD).to(logits)
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    return -(wanted * log_p * there[..., None]).sum() / there.sum()


EXERCISE = Exercise(
    id="transformer.label_smoothing_loss",
    solution=label_smoothing_loss,
    probes={"label_smoothing_loss": ""},
    trials=loss_trials,
    slips=(
        not_smoothed,
        shares_exchanged,
        rest_for_every_word,
        right_word_keeps_all,
        rest_lost,
        padding_counted,
        padding_divides,
        rest_on_padding,
        summed,
        mean_of_means,
        sign_missing,
        shares_not_logarithms,
        bare_logits,
        padding_gets_no_share,
        right_word_without_its_part,
        always_a_tenth,
        divergence,
        mean_over_the_vocabulary,
        divided_by_sentences,
        softmax_before_the_logarithm,
        others_share_the_rest,
    ),
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
)
