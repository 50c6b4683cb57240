"""Sizes of trials that agree are told: there a mistake may hide, or a letter be guessed."""

from dataclasses import replace

from attncourse.course import exercise
from attncourse.exercises.record import Trial
from attncourse.workshop.doctor import examine_exercise
from attncourse.workshop.sizes import agreements

SIMILARITY = exercise("shapes.similarity")


def with_sizes(*sizes, **more):
    """An exercise that has trials of these sizes."""
    trials = tuple(Trial("a trial", one, {}) for one in sizes)
    return replace(SIMILARITY, trials=lambda: trials, **more)


def test_sizes_that_can_all_be_told_apart_are_sound():
    assert agreements(with_sizes(dict(i=3, j=5, d=4))) == []


def test_two_of_one_size_are_told():
    assert agreements(with_sizes(dict(i=3, j=3, d=4))) == ["i = j on its first trial"]


def test_a_size_that_is_a_product_of_two_others_is_told():
    assert agreements(with_sizes(dict(b=2, i=3, j=6))) == ["b i = j on its first trial"]


def test_two_products_that_agree_are_told():
    assert agreements(with_sizes(dict(b=3, i=8, j=4, d=6))) == ["b i = j d on its first trial"]


def test_sizes_of_1_say_nothing():
    assert agreements(with_sizes(dict(b=1, i=1, j=4))) == []


def test_letters_that_belong_together_may_agree():
    sizes = dict(h=3, w=5, i=15)
    assert agreements(with_sizes(sizes)) == ["h w = i on its first trial"]
    assert agreements(with_sizes(sizes, tied=("h w i",))) == []


def test_what_agrees_on_a_later_trial_alone_is_told_where_no_trial_tells_it_apart():
    first, later = dict(b=2, i=5), dict(b=2, head=3, i=6)
    assert agreements(with_sizes(first, later)) == ["b head = i on every trial"]
    assert agreements(with_sizes(first, later, dict(b=2, head=3, i=7))) == []


def test_a_sum_counts_where_sizes_are_not_varied_one_after_another():
    sizes = dict(b=2, i=3, j=5)
    assert agreements(with_sizes(sizes)) == []
    skips = frozenset({"sizes"})
    assert agreements(with_sizes(sizes, skip=skips)) == ["b + i = j on its first trial"]


def test_doctor_names_the_sizes_and_the_record():
    trials = SIMILARITY.trials()
    sizes = dict(i=4, j=2, d=8)
    ex = replace(
        SIMILARITY, trials=lambda: (replace(trials[0], sizes=sizes), *trials[1:]), slips=()
    )
    (told,) = [line for line in examine_exercise(ex) if "sizes of its trials" in line]
    assert "i j = d on its first trial" in told
    assert "attncourse/exercises/shapes/similarity.py" in told
