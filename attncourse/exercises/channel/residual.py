"""A residual block, with its gate in one of four places."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.channel import PLACEMENTS, identity, residual


def bend(t):
    """A branch that is not linear and not odd."""
    return 1.3 - 0.7 * t * t - t


def weigh(t):
    """A gate that looks at its own input: what it is given shows in what it gives."""
    return t * (t.mean((-2, -1), keepdim=True) - 0.3).sigmoid()


def turn(t):
    """A shortcut that keeps the size."""
    return 0.4 - t.flip(1)


def shrink(t):
    """A shortcut to half the height and width and twice the channels."""
    half = t[..., ::2, ::2]
    return torch.cat([half, 0.4 - half], dim=1)


def shrunk_bend(t):
    """A branch to half the height and width and twice the channels."""
    return bend(torch.cat([t, 2 * t], dim=1)[..., ::2, ::2])


KEPT = dict(b=2, c=3, h=5, w=7)


def trials():
    def trial(placement):
        inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", placement))
        return Trial(f'for "{placement}"', KEPT, inputs | dict(shortcut=identity))

    def other(placement):
        inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", placement))
        return Trial(
            f'for "{placement}", the shortcut with a layer',
            KEPT,
            inputs | dict(shortcut=turn),
        )

    def shrinking(placement):
        inputs = dict(x="b d i j", branch=shrunk_bend, gate=weigh)
        return Trial(
            f'for "{placement}" in a block that halves the map',
            dict(b=2, c=10, h=3, w=7, d=5, i=6, j=13),
            inputs | dict(placement=Given("", placement), shortcut=shrink),
        )

    return (*map(trial, PLACEMENTS), *map(other, PLACEMENTS), *map(shrinking, PLACEMENTS))


def refused_placements():
    inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", "between"))
    inputs |= dict(shortcut=identity)
    return (Trial('the unknown placement "between"', KEPT, inputs, says=("between",)),)


# fmt: off
STANDARD = (
    *often(
        wrong("standard_gates_the_sum", "(shortcut(x) + gate(branch(x))).relu()",
              "gate(shortcut(x) + branch(x)).relu()",
              'In "standard" your gate scales the sum, before the ReLU. It scales the branch alone:'
              " x + gate(F(x))."),
        wrong("standard_relu_too_early", "(shortcut(x) + gate(branch(x))).relu()",
              "shortcut(x) + gate(branch(x)).relu()",
              'In "standard" your ReLU comes before the addition. It comes after: relu(x + …).'),
        wrong("standard_gains_squared", "gate(branch(x))", "branch(x) * gate(branch(x))",
              'In "standard" you multiply F(x) by gate(F(x)). `gate` returns its input scaled, not'
              " the gains."),
    ),
    wrong("standard_gate_of_x", "gate(branch(x))", "branch(x) * gate(shortcut(x))",
          'In "standard" you multiply F(x) by gate(x). `gate` returns its input scaled, not the'
          " gains, and its input is the branch: gate(F(x))."),
    wrong("standard_is_post", "(shortcut(x) + gate(branch(x))).relu()",
          "gate((shortcut(x) + branch(x)).relu())",
          'In "standard" your gate stands after the addition. It scales the branch before it is'
          " added: x + gate(F(x))."),
    wrong("standard_gates_the_shortcut", "shortcut(x) + gate(branch(x))",
          "gate(shortcut(x)) + branch(x)",
          'In "standard" your gate stands on the shortcut. It scales the branch: x + gate(F(x)).'),
)

PRE = (
    *often(
        wrong("pre_gates_both", "shortcut(x) + branch(gate", "shortcut(gate(x)) + branch(gate",
              'In "pre" you gate x for the shortcut as well. The shortcut keeps x as it came:'
              " x + F(gate(x))."),
        wrong("pre_relu_too_early", "(shortcut(x) + branch(gate(x))).relu()",
              "shortcut(x) + branch(gate(x)).relu()",
              'In "pre" your ReLU comes before the addition. It comes after: relu(x + …).'),
    ),
    wrong("pre_is_standard", "branch(gate(x))", "gate(branch(x))",
          'In "pre" your gate stands after the branch. It stands before it: x + F(gate(x)).'),
)

POST = (
    *often(
        wrong("post_before_the_relu", "gate((shortcut(x) + branch(x)).relu())",
              "gate(shortcut(x) + branch(x)).relu()",
              'In "post" your gate stands before the ReLU. It stands after it: gate(relu(x +'
              " F(x)))."),
        wrong("post_without_relu", "gate((shortcut(x) + branch(x)).relu())",
              "gate(shortcut(x) + branch(x))",
              'In "post" the ReLU is missing: gate(relu(x + F(x))).'),
    ),
    wrong("post_is_standard", "gate((shortcut(x) + branch(x)).relu())",
          "(shortcut(x) + gate(branch(x))).relu()",
          'In "post" your gate scales the branch. It scales what comes out of the block:'
          " gate(relu(x + F(x)))."),
    wrong("post_gates_the_branch", "gate((shortcut(x) + branch(x)).relu())",
          "shortcut(x) + gate(branch(x))",
          'In "post" your gate scales the branch before it is added. It comes last, over the whole:'
          " gate(relu(x + F(x)))."),
)

IDENTITY = (
    *often(
        wrong("identity_gates_both", "gate(shortcut(x)) + branch(x)",
              "gate(shortcut(x)) + branch(gate(x))",
              'In "identity" the branch gets the gated x as well. It gets x as it came: gate(x) +'
              " F(x)."),
        wrong("identity_before_the_shortcut", "gate(shortcut(x))", "shortcut(gate(x))",
              'In "identity" your gate stands before the shortcut\'s own layer. It scales what the'
              " shortcut gives, as wide as the output: gate(shortcut(x))."),
        wrong("identity_relu_too_early", "(gate(shortcut(x)) + branch(x)).relu()",
              "gate(shortcut(x)) + branch(x).relu()",
              'In "identity" your ReLU does not cover the shortcut. It comes last: relu(gate(x) +'
              " F(x))."),
    ),
    wrong("identity_is_standard", "gate(shortcut(x)) + branch(x)", "shortcut(x) + gate(branch(x))",
          'In "identity" your gate scales the branch. It stands on the shortcut: gate(x) + F(x).'),
)

ALL_FOUR = (
    wrong("pre_and_post_exchanged", '"pre"', '"post"',
          '"pre" and "post" are exchanged: before the branch, and after the block.',
          ('"post"', '"pre"')),
    wrong("standard_and_identity_exchanged", '"standard"', '"identity"',
          '"standard" and "identity" are exchanged: the gate on the branch, and on the shortcut.',
          ('"identity"', '"standard"')),
    wrong("standard_and_pre_exchanged", '"standard"', '"pre"',
          '"standard" and "pre" are exchanged: after the branch, and before it.',
          ('"pre"', '"standard"')),
    wrong("standard_and_post_exchanged", '"standard"', '"post"',
          '"standard" and "post" are exchanged: on the branch before the addition, and after the'
          " whole block.",
          ('"post"', '"standard"')),
    wrong("placement_ignored", 'if placement == "standard":\n    return', "return",
          "The placement is not looked at: you return the standard block for all four."),
    wrong("shortcut_ignored", 'if placement == "standard":',
          'shortcut = identity\nif placement == "standard":',
          "The shortcut is not used: you add x itself. It is `shortcut(x)` that is added, since a"
          " block may change the size."),
)
# fmt: on


def residual_by_match(x, branch, gate, placement="standard", shortcut=identity):
    if placement not in PLACEMENTS:
        raise ValueError(f"no placement {placement}")
    kept, inner = shortcut(x), gate(x) if placement == "pre" else x
    inner = branch(inner)
    if placement == "standard":
        inner = gate(inner)
    elif placement == "identity":
        kept = gate(kept)
    y = torch.clamp(kept + inner, min=0)
    return gate(y) if placement == "post" else y


def residual_by_table(x, branch, gate, placement="standard", shortcut=identity):
    places = {
        "standard": lambda: F.relu(gate(branch(x)) + shortcut(x)),
        "pre": lambda: F.relu(branch(gate(x)) + shortcut(x)),
        "post": lambda: gate(F.relu(branch(x) + shortcut(x))),
        "identity": lambda: F.relu(branch(x) + gate(shortcut(x))),
    }
    try:
        return places[placement]()
    except KeyError:
        raise ValueError(f"{placement} is none of {', '.join(places)}") from None


EXERCISE = Exercise(
    id="channel.residual",
    solution=residual,
    probes={"residual": "b c h w"},
    trials=trials,
    slips=(*STANDARD, *PRE, *POST, *IDENTITY, *ALL_FOUR),
    hints=(
        "Draw the block: x, the branch F, the sum, the ReLU. On which arrow is the gate?",
        (
            "standard: between F and the sum. pre: between x and F, and not on the"
            " shortcut. post: after the ReLU. identity: between the shortcut and the sum."
        ),
        (
            "standard  relu(shortcut(x) + gate(branch(x)))\n"
            "pre       relu(shortcut(x) + branch(gate(x)))\n"
            "post      gate(relu(shortcut(x) + branch(x)))\n"
            "identity  relu(gate(shortcut(x)) + branch(x))"
        ),
    ),
    minutes=8,
    difficulty=2,
    otherwise=(residual_by_match, residual_by_table),
    refuses=refused_placements,
    laws=("gate_stands_where_it_should", "examples_do_not_mix"),
    skip=frozenset({"large"}),
    tied=("b c d", "b h i", "c d h i"),
)
