import pytest

from attncourse.workshop.lint import lint, words


def complaints(miniature, old="", new=""):
    assert old in miniature.script
    return lint(miniature.script.replace(old, new), miniature.exercises, 5)


def test_a_sound_script_has_no_complaints(miniature):
    assert complaints(miniature) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("**About 5 min", "**About 6 min", 'does not say "**About 5 minutes**, of which 5'),
        ("which 5 minutes", "which 7 minutes", 'does not say "**About 5 minutes**, of which 5'),
        ("7.1 Double", "7.1 Double \N{ROCKET}", "line 14: an emoji, U+1F680"),
        ("7.1 Double", "7.1 Simply double", 'line 14: "Simply" explains nothing'),
        ('print("the end")', "x = 1\n" * 13, "13 lines of code; at most 12"),
        ('print("the end")', "%matplotlib inline", "not Python"),
        ('print("the end")', "plt.show()", "a figure needs words"),
        ('print("the end")', "", "an empty code cell"),
        ("## 7.1 Double", "word " * 121, "121 words of prose; at most 120"),
        ('# %% exercise="miniature.gain"', "# %%\nGain = 1", "miniature.gain: cited 0 times"),
        ('exercise="miniature.gain"\n', 'exercise="miniature.gain"\nx = 1\n', "leave it empty"),
        ('exercise="miniature.gain"', 'exercise="miniature.gani"', '"miniature.gani" is cited'),
        (
            'check("miniature.gain", Gain)',
            "check(Gain)",
            'must call check("miniature.gain", Gain)',
        ),
        ('hint("miniature.gain")', "hint", 'must name `hint("miniature.gain")`'),
        ("import Gain, double", "import double", "must say how to go on without it"),
    ],
)
def test_each_rule_is_enforced(miniature, old, new, said):
    found = complaints(miniature, old, new)
    assert any(said in complaint for complaint in found), found


def test_exercises_come_in_the_order_of_the_registry(miniature):
    miniature.exercises.reverse()
    (complaint,) = complaints(miniature)
    assert "cited in the order miniature.double, miniature.gain" in complaint


def test_words_are_those_of_the_prose():
    text = """## A heading does not count

    Two words, $x = y$ and `code` and [a link](https://example.org/a/b).

    $$ s = 1 $$

    | a | table |

    <details><summary>Answer</summary>

    hidden

    </details>
    """
    assert words("\n".join(line.strip() for line in text.splitlines())) == 6
