"""A step of a beam: the ways returned are what they say, and no better one is left out."""

import math

import torch
from torch import Tensor

from attncourse.checker.laws.look import Look, close, law, of_several, said_first
from attncourse.exercises.letters import number, place


@of_several
@said_first
@law
def ways_are_the_best(look: Look) -> str | None:
    """Whether the ways returned are what they say, and whether a better one is left out."""
    log_p, new = map(look.trial.inputs.get, ("log_p", "next_log_p"))
    if log_p is None or not isinstance(look.y, (tuple, list)):
        return None
    best, beam, word = look.y
    every = log_p[..., None] + new
    beams, words = new.shape[1:]
    if beam.min() < 0 or beam.max() >= beams or word.min() < 0 or word.max() >= words:
        return (
            f"Your beams run from {beam.min()} to {beam.max()} and your words from"
            f" {word.min()} to {word.max()}; there are beams 0 to {beams - 1} and words 0 to"
            f" {words - 1}."
        )
    own = every[torch.arange(len(every))[:, None], beam, word]
    if close(best, own):
        return _not_the_best(look, every)
    return _other_numbers(look, own)


def _not_the_best(look: Look, every: Tensor) -> str | None:
    """Ways with the right numbers, but not the likeliest, or not once each and in order."""
    best, beam, word = look.y
    words = every.shape[-1]
    spoiled = {n: _first_kept(look.trial.inputs[n]) for n in ("log_p", "next_log_p")}
    other = look.ask(**spoiled)
    if isinstance(other, tuple) and not close(other[0][0], best[0]):
        return (
            "The examples of a batch mix: changing b=1 changes what you return for b=0."
            " Each example has its own `width` ways."
        )
    for b, ways in enumerate(beam * words + word):
        if len(ways.unique()) < len(ways):
            return f"The same way is there twice (b={b}). All ways differ in beam or word."
        left = every[b].flatten().clone()
        left[ways] = -math.inf
        if left.max() > best[b].min() + 1e-9:
            k, w = divmod(int(left.argmax()), words)
            return (
                f"A better way is left out: beam {k} with word {w} has"
                f" {number(left.max().item())} (b={b}), the last that you keep has"
                f" {number(best[b].min().item())}. Take the likeliest over beams and words"
                " together."
            )
    if (best.diff() > 0).any():
        return "The ways are right and come in the wrong order: the likeliest comes first."
    return None


def _other_numbers(look: Look, own: Tensor) -> str:
    """Ways that are returned with numbers which are not their own."""
    best, beam, word = look.y
    new = look.trial.inputs["next_log_p"]
    if close(best, new[torch.arange(len(new))[:, None], beam, word]):
        return (
            "What you return first is the log-probability of the last word alone. Add that of"
            " the beam so far: log_p + next_log_p."
        )
    for step, what in ((torch.exp, "exp of"), (torch.neg, "minus"), (torch.log, "log of")):
        if close(best, step(own)):
            return f"What you return first is {what} what it should be: log p of each way."
    if close(best, look.expected[0]):
        at = tuple(int(z) for z in (best - own).abs().nonzero()[0])
        return (
            "The log-probabilities are right, but the beams and words are not theirs: at"
            f" {place(at, 'b width')} you name beam {beam[at]} with word {word[at]}. From the"
            " place in (beam word) get beam = place // words, word = place % words."
        )
    if close(best[:, 1:] - best[:, :-1], own[:, 1:] - own[:, :-1]):
        return (
            "The same number is added to the log-probabilities of all ways of an example: is"
            " something normalised once more? They are log_p + next_log_p as they come."
        )
    at = tuple(int(z) for z in (~torch.isclose(best, own)).nonzero()[0])
    return (
        f"At {place(at, 'b width')} you return {number(best[at].item())}, but beam {beam[at]}"
        f" with word {word[at]} has log_p + next_log_p = {number(own[at].item())}."
    )


def _first_kept(x: Tensor) -> Tensor:
    """The first example as it is, the others shifted far away."""
    x = x.clone()
    x[1:] = x[1:] - 7 + x[1:].abs()
    return x
