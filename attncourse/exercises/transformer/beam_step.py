"""One step of a beam search: the likeliest ways to go on, among all beams and words."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import Wrong, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import beam_step


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


def chosen(name: str, lines: str, message: str) -> Wrong:
    """What is written instead of the last two lines."""
    lines_of_the_solution = (
        'best, place = rearrange(every, "b beam word -> b (beam word)").topk(width)\n'
        "return best, place // words, place % words"
    )
    return wrong(name, lines_of_the_solution, lines, message)


# fmt: off
SUMS = (
    wrong("past_forgotten", 'rearrange(log_p, "b beam -> b beam 1") + ', "",
          "The log-probability of the beams so far is forgotten. A way is as likely as all its"
          " words together: log_p + next_log_p."),
    wrong("log_p_multiplied", " + next_log_p", " * next_log_p",
          "You multiply logarithms. Probabilities are multiplied, their logarithms are added."),
    wrong("added_as_probabilities", '-> b beam 1") + next_log_p',
          '-> b beam 1").exp() + next_log_p.exp()',
          "You add probabilities: exp of both. It is their logarithms that are added."),
    wrong("words_normalised_again", " + next_log_p", " + next_log_p.log_softmax(-1)",
          "You apply a log_softmax to `next_log_p`. These are log-probabilities already."),
)

PLACES = (
    wrong("beam_and_word_exchanged", "place // words, place % words",
          "place % words, place // words",
          "Beams and words are exchanged in what you return: first the log-probabilities, then the"
          " beams, then the words."),
    wrong("divided_by_beams", "words = next_log_p.shape[-1]", "words = next_log_p.shape[1]",
          "You divide the place by the number of beams. Words change fastest in (beam word): divide"
          " by the number of words."),
    wrong("places_not_split", "place % words", "place",
          "You return the place in (beam word) for the word. The word is the remainder of its"
          " division by the number of words."),
    wrong("fractions_of_beams", "place // words", "place / words",
          "You divide with `/`, so that beams come out as fractions. `//` leaves the remainder"
          " out."),
)

CHOICES = (
    chosen("one_beam_for_each_word",
           "best, beam = every.max(1)\n"
           "best, word = best.topk(width)\n"
           "return best, beam.gather(1, word), word",
           "Each word continues its best beam only. Two of the best ways may add the same word."),
    chosen("best_words_of_each_beam",
           "best, word = every.topk(min(width, words))\n"
           "beam = torch.arange(every.shape[1])[:, None].expand(word.shape)\n"
           "return tuple(part.flatten(1)[:, :width] for part in (best, beam, word))",
           "You take the best words of each beam and cut the list: the first beam gets all places."
           " The `width` best are chosen among all beams and words together."),
    chosen("ways_of_the_whole_batch",
           "b, beams = log_p.shape\n"
           "best, place = every.flatten().topk(b * width)\n"
           "parts = best, place // words % beams, place % words\n"
           'return tuple(rearrange(part, "(b w) -> b w", b=b) for part in parts)',
           "You choose among the ways of all examples together: the batch is mixed. Each example"
           " has its own `width` ways."),
)
# fmt: on


def one_word_for_each_beam(log_p, next_log_p, width):
    """Each beam goes on with its best word only. The best ways may all continue one beam."""
    every = log_p[..., None] + next_log_p
    best, word = every.max(-1)
    best = F.pad(best, (0, max(0, width - best.shape[1])), value=-math.inf)
    best, beam = best.topk(width)
    word = F.pad(word, (0, max(0, width - word.shape[1]))).gather(1, beam)
    return best, beam, word


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
    slips=(*SUMS, *PLACES, *CHOICES, one_word_for_each_beam),
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
