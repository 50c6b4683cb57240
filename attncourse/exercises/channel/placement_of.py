"""The record of `channel.placement_of`."""

from functools import partial

import torch

from attncourse.exercises.families import named as a_slip
from attncourse.exercises.families import remade
from attncourse.exercises.record import Exercise, Trial, slip
from solutions.channel import (
    PLACEMENTS,
    placement_of,
    residual,
)


def probe_trials():
    def trial(name, block):
        return Trial(name, {}, dict(block=block))

    def twice(x, branch, gate):
        return gate(gate((x + branch(x)).relu()))

    return (
        *(trial(f'for "{p}"', partial(residual, placement=p)) for p in PLACEMENTS),
        trial("for a block that has its gate twice", twice),
    )


def probed(block, branch, x=1.0, gate=lambda t: t / 2):
    return block(torch.full((1, 1, 1, 1), x), branch, gate).item()


def named(silent, steady):
    return {
        (1.0, 0.5): "standard",
        (1.0, 1.0): "pre",
        (0.5, 0.5): "post",
        (0.5, 1.0): "identity",
    }.get((silent, steady), "none of the four")


def silent_probe_alone(block):
    """One probe is not enough: with F = 0 "standard" and "pre" look alike, and so do "post" and
    "identity". Let F return a constant as well."""
    return {1.0: "standard", 0.5: "post"}.get(
        probed(block, torch.zeros_like), "none of the four"
    )


def steady_probe_alone(block):
    """With F a constant alone you cannot tell which half of the sum was halved: probe with F =
    0 as well, and look at what of x is left."""
    whole = probed(block, torch.ones_like)
    return {1.5: "standard", 2.0: "pre", 1.0: "post"}.get(whole, "none of the four")


def names_of_standard_and_pre(block):
    """ "standard" and "pre" are exchanged. A gate before the branch cannot touch a constant."""
    names = {"standard": "pre", "pre": "standard"}
    found = placement_of(block)
    return names.get(found, found)


def names_of_post_and_identity(block):
    """ "post" and "identity" are exchanged. A gate on the shortcut leaves the constant whole;
    one behind the block halves everything."""
    names = {"post": "identity", "identity": "post"}
    found = placement_of(block)
    return names.get(found, found)


def names_of_standard_and_identity(block):
    """ "standard" and "identity" are exchanged. A gate on the branch leaves x whole; one on the
    shortcut halves it."""
    names = {"standard": "identity", "identity": "standard"}
    found = placement_of(block)
    return names.get(found, found)


def names_of_pre_and_post(block):
    """ "pre" and "post" are exchanged. Behind the block the gate halves everything, before the
    branch nothing that a probe sees."""
    names = {"pre": "post", "post": "pre"}
    found = placement_of(block)
    return names.get(found, found)


def gate_that_does_nothing(block):
    """Your gate returns what it is given, so that every placement looks like "pre". Let it
    halve."""
    silent = probed(block, torch.zeros_like, gate=lambda t: t)
    return named(silent, probed(block, torch.ones_like, gate=lambda t: t) - silent)


def negative_x(block):
    silent = probed(block, torch.zeros_like, -1.0)
    return named(silent, probed(block, torch.ones_like, -1.0) - silent)


def x_of_zeros(block):
    silent = probed(block, torch.zeros_like, 0.0)
    return named(silent, probed(block, torch.ones_like, 0.0) - silent)


NOTHING_OF_X = a_slip(
    "nothing_of_x",
    'You say "none of the four" of all four: does anything of x come through? Where x is 0 or'
    " negative the ReLU of the block leaves 0. Probe with x above 0.",
    negative_x,
    ways=(x_of_zeros,),
)


def constant_not_apart(block):
    """You look at the whole output of the second probe. Take off what the first one gave: what
    is left comes from the branch."""
    return named(probed(block, torch.zeros_like), probed(block, torch.ones_like))


def linear_branch(block):
    """Your branch returns its input, so that a gate before it and one behind it look alike. Let
    it return a constant."""
    silent = probed(block, torch.zeros_like)
    return named(silent, probed(block, lambda t: t) - silent)


def gate_that_adds(block):
    """Your gate adds a number. One that scales is the measure here: x is then left whole or
    halved, and so is what the branch adds."""
    silent = block(torch.ones(1, 1, 1, 1), torch.zeros_like, lambda t: t + 1).item()
    return named(
        silent, block(torch.ones(1, 1, 1, 1), torch.ones_like, lambda t: t + 1).item() - silent
    )


def branch_that_halves(block):
    """Your branch halves and your gate does nothing, so that all four look alike. It is the
    gate that must halve: where it stands is what you are looking for."""
    one = torch.ones(1, 1, 1, 1)

    def nothing(t):
        return t

    silent = block(one, torch.zeros_like, nothing).item()
    return named(silent, block(one, lambda t: torch.ones_like(t) / 2, nothing).item() - silent)


def whole_or_not(block):
    return "standard" if probed(block, torch.zeros_like) == 1 else "post"


def whole_or_half(block):
    found = probed(block, torch.zeros_like)
    return {1.0: "standard", 0.5: "post"}.get(found, "none of the four")


def nothing_for_none(block):
    """For a block that is none of the four you return None. Return "none of the four", in
    words."""
    found = placement_of(block)
    return None if found == "none of the four" else found


SILENT_PROBE = remade(slip(silent_probe_alone), ways=(whole_or_not, whole_or_half))


def always_one_of_four(block):
    """You name one of the four where the block is none of them. Say "none of the four"."""
    found = placement_of(block)
    return "post" if found == "none of the four" else found


def placement_by_zero(block):
    x, shut = torch.ones(1, 2, 3, 4), torch.zeros_like
    twice = (block(x, torch.zeros_like, lambda t: 3 * t) / x).mean().item()
    through = block(x, lambda t: torch.full_like(t, 5.0), shut).mean().item()
    key = round(twice), round(through)
    names = {(1, 1): "standard", (1, 6): "pre", (3, 0): "post", (3, 5): "identity"}
    return names.get(key, "none of the four")


def placement_by_elimination(block):
    ones, two = torch.ones(2, 1, 2, 1), 2.0
    a = float(block(ones, lambda t: 0 * t, lambda t: t / 2)[0, 0, 0, 0])
    b = float(block(ones, lambda t: 0 * t + two, lambda t: t / 2)[0, 0, 0, 0])
    if a == 1:
        return "standard" if b == 2 else "pre" if b == 3 else "none of the four"
    if a == 0.5:
        return "post" if b == 1.5 else "identity" if b == 2.5 else "none of the four"
    return "none of the four"


EXERCISE = Exercise(
    id="channel.placement_of",
    solution=placement_of,
    probes={"placement_of": ""},
    trials=probe_trials,
    slips=(
        SILENT_PROBE,
        steady_probe_alone,
        names_of_standard_and_pre,
        names_of_post_and_identity,
        names_of_standard_and_identity,
        names_of_pre_and_post,
        gate_that_does_nothing,
        NOTHING_OF_X,
        constant_not_apart,
        linear_branch,
        gate_that_adds,
        branch_that_halves,
        nothing_for_none,
        always_one_of_four,
    ),
    hints=(
        "With a branch that returns 0, what is left of x in each of the four?",
        (
            "Let the gate halve and x be 1. F = 0 leaves 1, 1, 1/2, 1/2: the gate is on x's"
            " way or not. F = 1 adds 1/2, 1, 1/2, 1: it is on the branch's way out or not."
        ),
        (
            "silent = block(1, F = 0, gate = half)\n"
            "steady = block(1, F = 1, gate = half) - silent\n"
            "(1, 1/2) standard, (1, 1) pre, (1/2, 1/2) post, (1/2, 1) identity,\n"
            'else "none of the four"'
        ),
    ),
    minutes=8,
    difficulty=3,
    otherwise=(placement_by_zero, placement_by_elimination),
)
