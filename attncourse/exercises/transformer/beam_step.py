"""The record of `transformer.beam_step`."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import (
    beam_step,
)


def beam_trials():
    first = Given("b beam", torch.tensor([[0.0, -math.inf, -math.inf]] * 2).double())
    return (
        Trial(
            "with 3 beams",
            dict(b=2, beam=3, words=7, width=4),
            dict(log_p="b beam", next_log_p="b beam words", width=4),
        ),
        Trial(
            "with more beams than words",
            dict(b=3, beam=5, words=4, width=2),
            dict(log_p="b beam", next_log_p="b beam words", width=2),
        ),
        Trial(
            "with one beam alive",
            dict(b=2, beam=3, words=7, width=5),
            dict(log_p=first, next_log_p="b beam words", width=5),
        ),
    )


def beams(
    log_p,
    next_log_p,
    width,
    sums=lambda old, new: old[..., None] + new,
    largest=True,
    split=lambda place, beam, words: (place // words, place % words),
):
    """A step of the beam with some of its parts changed."""
    every = sums(log_p, next_log_p)
    best, place = every.flatten(1).topk(width, largest=largest)
    return best, *split(place, *every.shape[1:])


def past_forgotten(log_p, next_log_p, width):
    """The log-probability of the beams so far is forgotten. A way is as likely as all its words
    together: log_p + next_log_p."""
    return beams(log_p, next_log_p, width, sums=lambda old, new: new)


def log_p_multiplied(log_p, next_log_p, width):
    """You multiply logarithms. Probabilities are multiplied, their logarithms are added."""
    return beams(log_p, next_log_p, width, sums=lambda old, new: old[..., None] * new)


def added_as_probabilities(log_p, next_log_p, width):
    """You add probabilities: exp of both. It is their logarithms that are added."""
    return beams(
        log_p, next_log_p, width, sums=lambda old, new: old.exp()[..., None] + new.exp()
    )


def least_likely_ways(log_p, next_log_p, width):
    """You keep the least likely ways. Keep the likeliest."""
    return beams(log_p, next_log_p, width, largest=False)


def beam_and_word_exchanged(log_p, next_log_p, width):
    """Beams and words are exchanged in what you return: first the log-probabilities, then the
    beams, then the words."""
    best, beam, word = beams(log_p, next_log_p, width)
    return best, word, beam


def divided_by_beams(log_p, next_log_p, width):
    """You divide the place by the number of beams. Words change fastest in (beam word): divide
    by the number of words."""
    return beams(
        log_p,
        next_log_p,
        width,
        split=lambda place, beam, words: (place // beam, place % beam),
    )


def places_not_split(log_p, next_log_p, width):
    """You return the place in (beam word) for the word. The word is the remainder of its
    division by the number of words."""
    return beams(
        log_p, next_log_p, width, split=lambda place, beam, words: (place // words, place)
    )


def last_step_only(log_p, next_log_p, width):
    """You return the log-probability of the last word. It is that of the whole way so far."""
    _, beam, word = beams(log_p, next_log_p, width)
    new = next_log_p.flatten(1).gather(1, beam * next_log_p.shape[-1] + word)
    return new, beam, word


def one_word_for_each_beam(log_p, next_log_p, width):
    """Each beam goes on with its best word only. The best ways may all continue one beam."""
    every = log_p[..., None] + next_log_p
    best, word = every.max(-1)
    best = F.pad(best, (0, max(0, width - best.shape[1])), value=-math.inf)
    best, beam = best.topk(width)
    word = F.pad(word, (0, max(0, width - word.shape[1]))).gather(1, beam)
    return best, beam, word


def one_beam_for_each_word(log_p, next_log_p, width):
    """Each word continues its best beam only. Two of the best ways may add the same word."""
    best, beam = (log_p[..., None] + next_log_p).max(1)
    best, word = best.topk(width)
    return best, beam.gather(1, word), word


def best_words_of_each_beam(log_p, next_log_p, width):
    """You take the best words of each beam and cut the list: the first beam gets all places.
    The `width` best are chosen among all beams and words together."""
    every = log_p[..., None] + next_log_p
    best, word = every.topk(min(width, every.shape[-1]), dim=-1)
    beam = torch.arange(every.shape[1])[:, None].expand(word.shape)
    return tuple(part.flatten(1)[:, :width] for part in (best, beam, word))


def normalised_again(log_p, next_log_p, width):
    """You normalise over all ways (a log_softmax). What is returned are the log-probabilities
    themselves, log_p + next_log_p."""
    every = log_p[..., None] + next_log_p
    return beams(
        log_p, next_log_p, width, sums=lambda *_: every - every.logsumexp((1, 2), True)
    )


def words_normalised_again(log_p, next_log_p, width):
    """You apply a log_softmax to `next_log_p`. These are log-probabilities already."""
    return beams(log_p, next_log_p.log_softmax(-1), width)


def returned_as_probabilities(log_p, next_log_p, width):
    """You return probabilities, exp of what is asked for: their logarithms."""
    best, beam, word = beams(log_p, next_log_p, width)
    return best.exp(), beam, word


def ways_of_the_whole_batch(log_p, next_log_p, width):
    """You choose among the ways of all examples together: the batch is mixed. Each example has
    its own `width` ways."""
    every = log_p[..., None] + next_log_p
    b, beam, words = every.shape
    best, place = every.flatten().topk(width * b)
    parts = best, place // words % beam, place % words
    return tuple(part.reshape(b, width) for part in parts)


def fractions_of_beams(log_p, next_log_p, width):
    """You divide with `/`, so that beams come out as fractions. `//` leaves the remainder
    out."""
    return beams(
        log_p,
        next_log_p,
        width,
        split=lambda place, beam, words: (place / words, place % words),
    )


def words_first_in_the_place(log_p, next_log_p, width):
    """You join the axes as (word beam) and take the place apart as (beam word). Keep one
    order."""
    every = rearrange(log_p[..., None] + next_log_p, "b beam word -> b (word beam)")
    best, place = every.topk(width)
    words = next_log_p.shape[-1]
    return best, place // words, place % words


def worst_of_the_best_first(log_p, next_log_p, width):
    """The ways come in the wrong order. The likeliest comes first."""
    return tuple(part.flip(-1) for part in beams(log_p, next_log_p, width))


def step_by_sorting(log_p, next_log_p, width):
    every = (log_p.unsqueeze(-1) + next_log_p).flatten(1)
    order = every.argsort(dim=-1, descending=True)[:, :width]
    beam = torch.div(order, next_log_p.shape[-1], rounding_mode="floor")
    return every.gather(-1, order), beam, order - beam * next_log_p.shape[-1]


def step_by_stages(log_p, next_log_p, width):
    """First the best words of each beam, then the best of these."""
    most = min(width, next_log_p.shape[-1])
    new, word = next_log_p.topk(most, dim=-1)
    every, word = (log_p[..., None] + new).flatten(1), word.flatten(1)
    best, place = every.topk(width, dim=-1)
    return best, place // most, word.gather(1, place)


EXERCISE = Exercise(
    id="transformer.beam_step",
    solution=beam_step,
    probes={"beam_step": ("b width", "b width", "b width")},
    trials=beam_trials,
    slips=(
        past_forgotten,
        log_p_multiplied,
        added_as_probabilities,
        least_likely_ways,
        beam_and_word_exchanged,
        divided_by_beams,
        places_not_split,
        last_step_only,
        one_word_for_each_beam,
        one_beam_for_each_word,
        best_words_of_each_beam,
        normalised_again,
        words_normalised_again,
        returned_as_probabilities,
        ways_of_the_whole_batch,
        fractions_of_beams,
        words_first_in_the_place,
        worst_of_the_best_first,
    ),
    hints=(
        "How likely is a way that goes on with a word, if you know how likely both are?",
        (
            "Logarithms add: b beam 1 + b beam words. Put beams and words into one axis,"
            " (beam word), and take the topk. How do you get beam and word back from the"
            " place in it?"
        ),
        (
            "every = log_p as b beam 1, plus next_log_p\n"
            "best, place = topk of every as b (beam word)\n"
            "beam = place // words, word = place % words"
        ),
    ),
    minutes=10,
    difficulty=3,
    otherwise=(step_by_sorting, step_by_stages),
    laws=("ways_are_the_best",),
)
