"""Slips that combine."""

from attncourse.exercises import families


def doubled(x):
    """Twice."""
    return 2 * x


def negated(x):
    """Minus."""
    return -x


def shifted(x):
    """One more."""
    return x + 1


def recipe(first=lambda x: x, second=lambda x: x):
    return lambda x: second(first(x))


def test_a_family_has_every_slip_and_every_two_of_different_steps():
    made = families.family(recipe, first=[doubled, negated], second=[shifted])
    assert [one.name for one in made] == [
        "doubled",
        "negated",
        "shifted",
        "doubled + shifted",
        "negated + shifted",
    ]
    assert [one.answer(3) for one in made] == [6, -3, 4, 7, -2]
    assert made[3].message == "Two things at once. Twice. And: One more."


def test_a_choice_may_take_two_steps_and_then_meets_neither():
    @families.also(second=negated)
    def both(x):
        """Both."""
        return x + 5

    made = families.family(recipe, first=[both], second=[shifted])
    assert [one.name for one in made] == ["both", "shifted"]
    assert made[0].answer(1) == -6
