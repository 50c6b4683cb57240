from dataclasses import replace

import pytest

from attncourse import course
from attncourse.errors import UnknownExercise
from attncourse.exercises.edits import same, wrong
from attncourse.exercises.record import slip, variant
from attncourse.workshop import doctor
from attncourse.workshop.doctor import chosen, examine, examine_exercise, leaks, stray_files


def expect_only(problems, *said):
    """The one problem, which says all of this in one line."""
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    for text in said:
        assert text in problems[0]


@pytest.fixture
def double(miniature):
    return miniature.exercises[0]


@pytest.fixture
def gain(miniature):
    return miniature.exercises[1]


# ------------------------------------------------------------------ one exercise


def test_sound_exercises_have_no_problems(double, gain):
    assert examine_exercise(double) == []
    assert examine_exercise(gain) == []


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("hints", "miniature.double: has 2 hints; at least 3 are needed"),
        ("slips", "miniature.double: has 3 slips; at least 4 are needed"),
        ("otherwise", "has 1 correct answers written another way; at least 2 are needed"),
    ],
)
def test_too_few_are_counted(double, field, said):
    short = replace(double, **{field: getattr(double, field)[1:]})
    expect_only(
        examine_exercise(short), said, f"`{field}` in attncourse/exercises/miniature/double.py"
    )


def test_a_slip_that_is_right_is_not_caught(double):
    def same(x, twice=2):
        """You do the same."""
        return x + x

    problems = examine_exercise(replace(double, slips=(*double.slips, same)))
    expect_only(problems, "the slip same is not caught", 'passed: "')


def test_two_slips_that_are_alike_cannot_both_be_named(double):
    def trebles(x, twice=2):
        """You treble."""
        return x + x + x

    problems = examine_exercise(replace(double, slips=(*double.slips, trebles)))
    expect_only(problems, "the slip trebles is taken for triples")


def test_two_slips_of_one_name_are_told(double):
    again = (*double.slips, double.slips[0])
    assert any(
        '2 slips are called "triples"' in p
        for p in examine_exercise(replace(double, slips=again))
    )


def test_a_record_without_slips_is_told(double):
    expect_only(
        examine_exercise(replace(double, slips=())), "has 0 slips; at least 4 are needed"
    )


def test_every_edit_that_does_not_fit_is_told_with_the_file_to_mend(double):
    slips = (
        wrong("gone", "x ** twice", "x", "You square."),
        wrong("unclear", "doubled_at_last", "doubled", "You rename."),
        wrong("cut", "x * twice", "x * (twice", "You forget a bracket."),
        same("x * twice", "x + + + twice )"),
    )
    problems = examine_exercise(replace(double, slips=slips))
    assert len(problems) == 4
    for problem, said in zip(
        problems,
        ("stands nowhere", "stands 2 times", "is no Python", "is no Python"),
        strict=True,
    ):
        assert said in problem
        assert problem.endswith("Mend it in attncourse/exercises/miniature/double.py.")
        assert "\n" not in problem


def test_a_slip_with_a_name_that_is_not_there_is_told(double):
    unknown = wrong("typo", "x * twice", "x * twce", "You multiply by something else.")
    problems = examine_exercise(replace(double, slips=(*double.slips, unknown)))
    expect_only(problems, "the slip typo ends in NameError: name 'twce' is not defined")


def test_another_right_way_to_write_a_step_must_pass(double):
    way = same("x * twice", "x * twice * 1.5")
    expect_only(
        examine_exercise(replace(double, slips=(*double.slips, way))),
        "x * twice * 1.5, correct but written another way, does not pass",
    )


def test_what_the_stub_promises_must_be_tried(gain):
    untried = examine_exercise(replace(gain, refuses=tuple))
    assert [p.partition(". ")[0] for p in untried] == [
        "miniature.gain: its stub speaks of a ValueError in 1 places, and 0 trials try it",
        "miniature.gain: its stub promises a ValueError with numbers, which no trial looks for",
        "miniature.gain: no trial comes to "
        "'raise ValueError(f\"{x.shape[-1]=} is not {len(self.gain)=}\")' in its solution",
    ]
    assert all("in attncourse/exercises/miniature/gain.py." in problem for problem in untried)
    (trial,) = gain.refuses()
    expect_only(
        examine_exercise(replace(gain, refuses=lambda: (replace(trial, says=()),))),
        "promises a ValueError with numbers, which no trial looks for",
    )
    said = examine_exercise(replace(gain, refuses=lambda: (replace(trial, says=(5, 6)),)))
    expect_only(said, "its solution does not pass", "its text does not say 6")
    fits = replace(trial, name="4 channels", inputs=dict(x="b 4"))
    said = examine_exercise(replace(gain, refuses=lambda: (trial, fits)))
    assert any("the solution does not refuse 4 channels" in p for p in said)


def test_what_the_learner_is_to_raise_must_be_promised(gain, monkeypatch):
    monkeypatch.setattr(doctor, "docstrings", lambda ex: [])
    expect_only(
        examine_exercise(gain),
        "the learner is to raise a ValueError of which the stub says nothing",
        "miniature_answers.py",
    )


def test_a_variant_must_pass_and_be_named(double):
    def thrice(x, twice=2):
        """The released code takes three."""
        return x * 4

    def nothing(x, twice=2):
        """The released code is wrong."""
        return x + x

    assert examine_exercise(replace(double, slips=(*double.slips, variant(thrice)))) == []
    same = replace(double, slips=(*double.slips, variant(nothing)))
    expect_only(examine_exercise(same), "the variant nothing is caught, but not named")


def test_a_correct_answer_that_fails_is_named(double):
    wrong = replace(double, otherwise=(*double.otherwise, double.slips[0]))
    expect_only(
        examine_exercise(wrong), "triples, correct but written another way, does not pass"
    )


def test_a_solution_that_fails_its_own_trials_is_told(double):
    def noisy(x):
        """Noise."""
        import torch

        return x + torch.rand(())

    assert any(
        "its solution does not pass" in p
        for p in examine_exercise(replace(double, solution=noisy))
    )


def test_a_stub_with_nothing_left_out_is_told(gain):
    expect_only(
        examine_exercise(replace(gain, blank=())),
        "its stub does not count",
        "`blank` names no method",
    )


def test_a_blank_that_is_not_a_method_is_told(gain):
    expect_only(examine_exercise(replace(gain, blank=("attend",))), "blank names attend")


# ------------------------------------------------------------------ leaks


def test_a_line_of_the_solution_in_a_notebook_is_a_leak(double):
    cells = [("notebooks/src/a.py", "y = 1\ndoubled_at_last = x * twice\n")]
    expect_only(leaks(double, cells), '"doubled_at_last = x * twice"', "notebooks/src/a.py")


def test_what_says_nothing_is_no_leak(double, gain):
    assert leaks(double, [("a", "return doubled_at_last"), ("b", "x * 2")]) == []
    assert leaks(gain, [("a", "if x.shape[-1] != len(self.gain):")]) == []


def test_comments_of_the_solution_are_secret_too(double):
    expect_only(leaks(double, [("a", "# the secret of doubling")]), "the secret of doubling")


# ------------------------------------------------------------------ the course


@pytest.fixture
def whole(solved):
    shelf = solved.root / "attncourse" / "exercises"
    shelf.mkdir(parents=True)
    (shelf / "miniature.py").write_text("")
    return solved


def test_a_whole_course_has_no_problems_and_each_defect_is_told(whole):
    assert examine(whole.root) == []

    (whole.root / "notebooks" / "src" / "02_old.py").write_text("")
    expect_only(examine(whole.root), "notebooks/src/02_old.py belongs to no chapter")
    (whole.root / "notebooks" / "src" / "02_old.py").unlink()

    whole.edit("**About 5 min", "**About 6 min")
    problems = examine(whole.root)
    assert problems[0] == (
        "notebooks/src/07_miniature.py: the opening does not say "
        '"**About 5 minutes**, of which 5 minutes are exercises"'
    )
    assert all("Run `make notebooks`." in p for p in problems[1:])
    whole.edit("**About 6 min", "**About 5 min")

    whole.edit("x = torch.arange(3.0)", "doubled_at_last = x * twice")
    assert any("can be read in notebooks/src/07_miniature.py" in p for p in examine(whole.root))


def test_of_all_records_those_named_alone_are_examined(whole):
    whole.change(0, hints=())
    assert examine(whole.root, ["miniature.gain"]) == []
    expect_only(examine(whole.root, ["miniature.double"]), "miniature.double: has 0 hints")


def test_with_one_exercise_the_cell_and_the_editions_are_looked_at_too(whole):
    whole.edit('# %% exercise="miniature.gain"', "# %%\nx = 1")
    problems = examine(whole.root, ["miniature.gain"])
    assert any("miniature.gain: cited 0 times" in p for p in problems)
    assert any("Run `make notebooks`." in p for p in problems)


def test_an_exercise_that_is_not_listed_is_told_with_the_list(whole):
    with pytest.raises(UnknownExercise, match=r'lists no exercise "miniature\.gian"'):
        chosen(["miniature.gian"])
    assert chosen(["miniature.gain"]) == ["miniature.gain"]


def test_a_chapter_without_files_is_told_once(miniature):
    script = miniature.root / "notebooks" / "src" / "07_miniature.py"
    script.unlink()
    expect_only(examine(miniature.root), "notebooks/src/07_miniature.py is missing")


def test_a_record_that_cannot_be_used_is_one_line(whole):
    def trials():
        raise RuntimeError("no trials today")

    whole.change(0, trials=trials)
    expect_only(
        examine(whole.root), "miniature.double: its solution does not pass", "no trials today"
    )


def test_an_id_that_is_not_that_of_its_file_is_told(whole):
    whole.change(1, id="other.Gain")
    said = 'attncourse/exercises/miniature/gain.py: its id is "other.Gain"; it should be'
    assert any(said in p for p in examine(whole.root))


def test_an_exercise_that_is_listed_twice_is_told(whole, monkeypatch):
    twice = replace(whole.chapter, exercises=("double", "gain", "gain"))
    monkeypatch.setattr(course, "CHAPTERS", (twice,))
    assert any('lists "gain" 2 times. Take out all but one.' in p for p in examine(whole.root))


def test_every_shelf_is_swept(tmp_path):
    for shelf in ("solutions", "attncourse/exercises", "notebooks"):
        (tmp_path / shelf).mkdir(parents=True, exist_ok=True)
        (tmp_path / shelf / "lost.py").write_text("")
        (tmp_path / shelf / "__init__.py").write_text("")
    (tmp_path / "solutions" / "fast").mkdir()
    assert [p.split()[0] for p in stray_files(tmp_path)] == [
        "solutions/lost.py",
        "attncourse/exercises/lost.py",
        "notebooks/lost.py",
    ]


# ------------------------------------------------------------------ the rules of the notebooks


def test_the_slip_helper_takes_its_message_from_the_docstring(double):
    assert slip(double.slips[0]).message == "You triple."
