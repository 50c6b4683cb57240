"""Where a residual block has its gate, found out by two probes."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.channel import placement_of

BLOCKS = {  # by themselves, so that they can be handed out where `residual` is asked for
    "standard": lambda x, branch, gate: torch.relu(x + gate(branch(x))),
    "pre": lambda x, branch, gate: torch.relu(x + branch(gate(x))),
    "post": lambda x, branch, gate: gate(torch.relu(x + branch(x))),
    "identity": lambda x, branch, gate: torch.relu(gate(x) + branch(x)),
}


def trials():
    def trial(name, block):
        return Trial(name, {}, dict(block=block))

    def twice(x, branch, gate):
        return gate(gate((x + branch(x)).relu()))

    def strict(block):
        """A block that names its arguments as it likes, and looks at what it is given."""

        def wary(maps, f, g):
            if maps.ndim != 4 or not maps.is_floating_point():
                raise TypeError(f"x is b c h w, and this is {tuple(maps.shape)}")
            if getattr(f(maps), "shape", None) != maps.shape:
                raise TypeError("the branch does not keep the shape of what it is given")
            return block(maps, f, g)

        return wary

    return (
        *(trial(f'for "{name}"', block) for name, block in BLOCKS.items()),
        trial(
            'for "post" with other names, which looks at what it is given',
            strict(BLOCKS["post"]),
        ),
        trial("for a block that has its gate twice", twice),
        trial("for a block without a gate", lambda x, branch, gate: (x + branch(x)).relu()),
    )


# fmt: off
PROBES = (
    *often(
        wrong("silent_probe_alone", "(1.0, 0.5)", "1.0",
              'One probe is not enough: with F = 0 "standard" and "pre" look alike, and so do'
              ' "post" and "identity". Let F return a constant as well.',
              ('(1.0, 1.0): "pre",', ""), ("(0.5, 0.5)", "0.5"), ('(0.5, 1.0): "identity",', ""),
              ("(silent, steady)", "silent")),
    ),
    wrong("gate_handed_first", "block(x, torch.zeros_like, halve)",
          "block(x, halve, torch.zeros_like)",
          "You hand the block its gate before its branch. It is called as block(x, branch, gate).",
          ("block(x, torch.ones_like, halve)", "block(x, halve, torch.ones_like)")),
    wrong("steady_probe_alone", "(1.0, 0.5)", "1.5",
          "With F a constant alone you cannot tell which half of the sum was halved: probe with F ="
          " 0 as well, and look at what of x is left.",
          ("(1.0, 1.0)", "2.0"), ("(0.5, 0.5)", "1.0"), ('(0.5, 1.0): "identity",', ""),
          ("(silent, steady)", "silent + steady")),
    wrong("constant_not_apart", ".item() - silent", ".item()",
          "You look at the whole output of the second probe. Take off what the first one gave: what"
          " is left comes from the branch."),
    wrong("nothing_of_x", "torch.ones(1, 1, 1, 1)", "-torch.ones(1, 1, 1, 1)",
          'You say "none of the four" of all four: does anything of x come through? Where x is 0 or'
          " negative the ReLU of the block leaves 0. Probe with x above 0, and with numbers that"
          " floats hold exactly."),
    wrong("linear_branch", "torch.ones_like", "lambda t: t",
          "Your branch returns its input, so that a gate before it and one after it look alike."
          " Let it return a constant."),
)

GATES = (
    wrong("gate_that_does_nothing", "t / 2", "t",
          'Your gate returns what it is given, so that every placement looks like "pre". Let it'
          " halve."),
    wrong("gate_that_adds", "t / 2", "t + 1",
          "Your gate adds a number. One that scales is the measure here: x is then left whole or"
          " halved, and so is what the branch adds."),
    wrong("branch_that_halves", "t / 2", "t",
          "Your branch halves and your gate does nothing, so that all four look alike. It is the"
          " gate that must halve: where it stands is what you are looking for.",
          ("torch.ones_like", "lambda t: torch.ones_like(t) / 2")),
)

NAMES = (
    wrong("names_of_standard_and_pre", '"standard"', '"pre"',
          '"standard" and "pre" are exchanged. A gate before the branch cannot touch a constant.',
          ('"pre"', '"standard"')),
    wrong("names_of_post_and_identity", '"post"', '"identity"',
          '"post" and "identity" are exchanged. A gate on the shortcut leaves the constant whole;'
          " one after the block halves everything.",
          ('"identity"', '"post"')),
    wrong("names_of_standard_and_identity", '"standard"', '"identity"',
          '"standard" and "identity" are exchanged. A gate on the branch leaves x whole; one on the'
          " shortcut halves it.",
          ('"identity"', '"standard"')),
    wrong("names_of_pre_and_post", '"pre"', '"post"',
          '"pre" and "post" are exchanged. Behind the block the gate halves everything, before the'
          " branch nothing that a probe sees.",
          ('"post"', '"pre"')),
)

NONE = often(
    wrong("nothing_for_none", ', "none of the four")', ")",
          'For a block that is none of the four you return None. Return "none of the four", in'
          " words."),
    wrong("always_one_of_four", '"none of the four"', '"post"',
          'You name one of the four where the block is none of them. Say "none of the four".'),
)
# fmt: on


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
    trials=trials,
    slips=(*PROBES, *GATES, *NAMES, *NONE),
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
