"""The record of `channel.residual`."""

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.channel import (
    PLACEMENTS,
    identity,
    residual,
)


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


def residual_trials():
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
            dict(b=2, c=10, h=3, w=4, d=5, i=6, j=7),
            inputs | dict(placement=Given("", placement), shortcut=shrink),
        )

    return (*map(trial, PLACEMENTS), *map(other, PLACEMENTS), *map(shrinking, PLACEMENTS))


def refused_placements():
    inputs = dict(x="b c h w", branch=bend, gate=weigh, placement=Given("", "between"))
    return (Trial('the unknown placement "between"', KEPT, inputs | dict(shortcut=identity)),)


def standard(x, branch, gate, shortcut):
    return (shortcut(x) + gate(branch(x))).relu()


def pre(x, branch, gate, shortcut):
    return (shortcut(x) + branch(gate(x))).relu()


def post(x, branch, gate, shortcut):
    return gate((shortcut(x) + branch(x)).relu())


def beside(x, branch, gate, shortcut):
    return (gate(shortcut(x)) + branch(x)).relu()


def residual_recipe(standard=standard, pre=pre, post=post, identity=beside):
    """`residual` with some of its placements replaced."""
    places = dict(standard=standard, pre=pre, post=post, identity=identity)

    def answer(x, branch, gate, placement="standard", shortcut=lambda t: t):
        return places[placement](x, branch, gate, shortcut)

    return answer


def standard_is_post(x, branch, gate, shortcut):
    """In "standard" your gate stands behind the addition. It scales the branch before it is
    added: x + gate(F(x))."""
    return post(x, branch, gate, shortcut)


def standard_gates_the_sum(x, branch, gate, shortcut):
    """In "standard" your gate scales the sum, before the ReLU. It scales the branch alone:
    x + gate(F(x))."""
    return gate(shortcut(x) + branch(x)).relu()


def standard_gates_the_shortcut(x, branch, gate, shortcut):
    """In "standard" your gate stands on the shortcut. It scales the branch: x + gate(F(x))."""
    return beside(x, branch, gate, shortcut)


def standard_without_shortcut(x, branch, gate, shortcut):
    """In "standard" x is not added: it is x + gate(F(x))."""
    return gate(branch(x)).relu()


def standard_relu_too_early(x, branch, gate, shortcut):
    """In "standard" your ReLU comes before the addition. It comes after: relu(x + …)."""
    return shortcut(x) + gate(branch(x)).relu()


def standard_rectified_branch(x, branch, gate, shortcut):
    """In "standard" there is a ReLU on the branch as well. There is one, over the sum:
    relu(x + gate(F(x)))."""
    return (shortcut(x) + gate(branch(x).relu())).relu()


def standard_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "standard" you add x itself. It is `shortcut(x)` that is added, since a block may
    change the size."""
    return (x + gate(branch(x))).relu()


def pre_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "pre" you add x itself. It is `shortcut(x)` that is added, since a block may change
    the size."""
    return (x + branch(gate(x))).relu()


def post_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "post" you add x itself. It is `shortcut(x)` that is added, since a block may change
    the size."""
    return gate((x + branch(x)).relu())


def identity_without_the_shortcuts_layer(x, branch, gate, shortcut):
    """In "identity" you gate x itself. It is gate(shortcut(x)), since a block may change the
    size."""
    return (gate(x) + branch(x)).relu()


def pre_rectified_branch(x, branch, gate, shortcut):
    """In "pre" there is a ReLU on the branch as well. There is one, over the sum:
    relu(x + F(gate(x)))."""
    return (shortcut(x) + branch(gate(x)).relu()).relu()


def post_gates_the_branch(x, branch, gate, shortcut):
    """In "post" your gate scales the branch before it is added. It comes last, over the whole:
    gate(relu(x + F(x)))."""
    return gate(branch(x)) + shortcut(x)


def identity_gates_the_branch_too(x, branch, gate, shortcut):
    """In "identity" you gate what the branch gives as well. The gate scales x alone:
    gate(x) + F(x)."""
    return (gate(shortcut(x)) + gate(branch(x))).relu()


def standard_gains_squared(x, branch, gate, shortcut):
    """In "standard" you multiply F(x) by gate(F(x)). `gate` returns its input scaled, not the
    gains."""
    f = branch(x)
    return (shortcut(x) + f * gate(f)).relu()


def standard_gate_of_x(x, branch, gate, shortcut):
    """In "standard" you multiply F(x) by gate(x). `gate` returns its input scaled, not the
    gains, and its input is the branch: gate(F(x))."""
    f = branch(x)
    return (shortcut(x) + f * gate(shortcut(x))).relu()


def pre_is_standard(x, branch, gate, shortcut):
    """In "pre" your gate stands behind the branch. It stands before it: x + F(gate(x))."""
    return standard(x, branch, gate, shortcut)


def pre_gates_both(x, branch, gate, shortcut):
    """In "pre" you gate x for the shortcut as well. The shortcut keeps x as it came:
    x + F(gate(x))."""
    return (shortcut(gate(x)) + branch(gate(x))).relu()


def pre_without_shortcut(x, branch, gate, shortcut):
    """In "pre" x is not added: it is x + F(gate(x))."""
    return branch(gate(x)).relu()


def pre_relu_too_early(x, branch, gate, shortcut):
    """In "pre" your ReLU comes before the addition. It comes after: relu(x + …)."""
    return shortcut(x) + branch(gate(x)).relu()


def post_before_the_relu(x, branch, gate, shortcut):
    """In "post" your gate stands before the ReLU. It stands behind it: gate(relu(x + F(x)))."""
    return gate(shortcut(x) + branch(x)).relu()


def post_is_standard(x, branch, gate, shortcut):
    """In "post" your gate scales the branch. It scales what comes out of the block:
    gate(relu(x + F(x)))."""
    return standard(x, branch, gate, shortcut)


def post_without_relu(x, branch, gate, shortcut):
    """In "post" the ReLU is missing: gate(relu(x + F(x)))."""
    return gate(shortcut(x) + branch(x))


def post_relu_twice(x, branch, gate, shortcut):
    """In "post" you gate the branch and then the sum again. There is one gate, at the end."""
    return gate(standard(x, branch, gate, shortcut))


def identity_is_standard(x, branch, gate, shortcut):
    """In "identity" your gate scales the branch. It stands on the shortcut: gate(x) + F(x)."""
    return standard(x, branch, gate, shortcut)


def identity_gates_both(x, branch, gate, shortcut):
    """In "identity" the branch gets the gated x as well. It gets x as it came: gate(x) +
    F(x)."""
    return (gate(shortcut(x)) + branch(gate(x))).relu()


def identity_before_the_shortcut(x, branch, gate, shortcut):
    """In "identity" your gate stands before the shortcut's own layer. It scales what the
    shortcut gives, as wide as the output: gate(shortcut(x))."""
    return (shortcut(gate(x)) + branch(x)).relu()


def identity_without_branch(x, branch, gate, shortcut):
    """In "identity" the branch is not added: it is gate(x) + F(x)."""
    return gate(shortcut(x)).relu()


def identity_relu_too_early(x, branch, gate, shortcut):
    """In "identity" your ReLU does not cover the shortcut. It comes last: relu(gate(x) +
    F(x))."""
    return gate(shortcut(x)) + branch(x).relu()


PLACES = dict(standard=standard, pre=pre, post=post, identity=beside)


def pre_and_post_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "pre" and "post" are exchanged: before the branch, and behind the block."""
    names = dict(pre="post", post="pre")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def standard_and_identity_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "standard" and "identity" are exchanged: the gate on the branch, and on the shortcut."""
    names = dict(standard="identity", identity="standard")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def standard_and_pre_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "standard" and "pre" are exchanged: behind the branch, and before it."""
    names = dict(standard="pre", pre="standard")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def standard_and_post_exchanged(x, branch, gate, placement="standard", shortcut=identity):
    """ "standard" and "post" are exchanged: on the branch before the addition, and behind the
    whole block."""
    names = dict(standard="post", post="standard")
    return PLACES[names.get(placement, placement)](x, branch, gate, shortcut)


def placement_ignored(x, branch, gate, placement="standard", shortcut=identity):
    """The placement is not looked at: you return the standard block for all four."""
    return standard(x, branch, gate, shortcut)


def shortcut_ignored(x, branch, gate, placement="standard", shortcut=identity):
    """The shortcut is not used: you add x itself. It is `shortcut(x)` that is added, since a
    block may change the size."""
    return PLACES[placement](x, branch, gate, identity)


def no_relu_anywhere(x, branch, gate, placement="standard", shortcut=identity):
    """The ReLU is missing in all four. The sum goes through it."""
    s, f = shortcut(x), branch(gate(x) if placement == "pre" else x)
    return dict(
        standard=lambda: s + gate(f),
        pre=lambda: s + f,
        post=lambda: gate(s + f),
        identity=lambda: gate(s) + f,
    )[placement]()


def no_gate(x, branch, gate, placement="standard", shortcut=identity):
    """The gate is not used: you return the block without attention."""
    return (shortcut(x) + branch(x)).relu()


def never_added(x, branch, gate, placement="standard", shortcut=identity):
    """The shortcut is not added: the block is no longer a residual one."""
    f = branch(gate(x)) if placement == "pre" else branch(x)
    return gate(f).relu() if placement == "standard" else f.relu()


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
    trials=residual_trials,
    slips=(
        *family(
            residual_recipe,
            standard=(
                standard_is_post,
                standard_gates_the_sum,
                standard_gates_the_shortcut,
                standard_without_shortcut,
                standard_relu_too_early,
                standard_gains_squared,
                standard_gate_of_x,
                standard_rectified_branch,
                standard_without_the_shortcuts_layer,
            ),
            pre=(
                pre_is_standard,
                pre_gates_both,
                pre_without_shortcut,
                pre_relu_too_early,
                pre_rectified_branch,
                pre_without_the_shortcuts_layer,
            ),
            post=(
                post_before_the_relu,
                post_is_standard,
                post_gates_the_branch,
                post_without_the_shortcuts_layer,
                post_without_relu,
                post_relu_twice,
            ),
            identity=(
                identity_is_standard,
                identity_gates_both,
                identity_before_the_shortcut,
                identity_without_branch,
                identity_relu_too_early,
                identity_gates_the_branch_too,
                identity_without_the_shortcuts_layer,
            ),
            paired=(
                standard_gates_the_sum,
                standard_relu_too_early,
                standard_gains_squared,
                pre_gates_both,
                pre_relu_too_early,
                post_before_the_relu,
                post_without_relu,
                identity_gates_both,
                identity_before_the_shortcut,
                identity_relu_too_early,
            ),
        ),
        pre_and_post_exchanged,
        standard_and_identity_exchanged,
        standard_and_pre_exchanged,
        standard_and_post_exchanged,
        placement_ignored,
        shortcut_ignored,
        no_relu_anywhere,
        no_gate,
        never_added,
    ),
    hints=(
        "Draw the block: x, the branch F, the sum, the ReLU. On which arrow is the gate?",
        (
            "standard: between F and the sum. pre: between x and F, and not on the"
            " shortcut. post: behind the ReLU. identity: between the shortcut and the sum."
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
)
