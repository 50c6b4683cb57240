"""Of the whole course, a package without one answer; and what stays in smaller ones."""

import ast

import pytest

from attncourse import course
from attncourse.classroom import pruning
from attncourse.classroom.cutting import cut
from attncourse.classroom.pruning import prune
from attncourse.classroom.recording import inputs_as_data
from attncourse.errors import Broken


def pruned(ids, *stems):
    records = {id: {"inputs": inputs_as_data(course.exercise(id))} for id in ids}
    return prune(ids, {stem: cut(course.chapter(stem), ids) for stem in stems}, records, 2)


def written(text, name):
    """Whether a definition has more in a body than what a stub has."""
    (node,) = (n for n in ast.parse(text).body if getattr(n, "name", None) == name)
    bodies = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)]
    return not any(ast.unparse(body.body[-1]) == "raise NotImplementedError" for body in bodies)


def test_all_answers_of_the_course_are_blanked_at_once():
    found = pruned(course.known_ids())
    assert found.kept == {}
    for ex in course.exercises().values():
        text = found.files[f"{ex.solution.__module__.replace('.', '/')}.py"].decode()
        assert not written(text, ex.name), ex.id


def test_answers_of_earlier_chapters_stay_where_given_cells_run_them():
    found = pruned(course.chapter("02").ids, "02_multi_head")
    assert found.kept["scaled_dot_product.causal_mask"] == "notebook 02_multi_head"
    text = found.files["solutions/scaled_dot_product.py"].decode()
    assert written(text, "attention_weights")
    assert "def additive" not in text.lower()
    assert not any(place.startswith("solutions/fast") for place in found.files)


def test_a_record_is_without_slips_other_answers_and_further_hints():
    text = pruned(["channel.squeeze"]).files["attncourse/exercises/channel/squeeze.py"].decode()
    assert "slips=()" in text
    assert "otherwise" not in text
    assert "wrong(" not in text
    assert course.exercise("channel.squeeze").hints[1][:20] in text
    assert course.exercise("channel.squeeze").hints[2][:20] not in text


def test_only_the_chosen_exercises_are_listed():
    text = pruned(["channel.eca"]).files["attncourse/course.py"].decode()
    names = {}
    exec(compile(text, "course.py", "exec"), names)
    assert [chapter.ids for chapter in names["CHAPTERS"]] == [("channel.eca",)]


def test_trials_that_run_another_answer_are_refused(monkeypatch):
    record = pruning.handed_record

    def running(ex, *given):
        text = record(ex, *given)
        return (
            text.replace("slips=()", "slips=(squeeze,)")
            + "\nfrom solutions.channel import squeeze\n"
        )

    monkeypatch.setattr(pruning, "handed_record", running)
    with pytest.raises(
        Broken, match=r"channel\.eca: its trials run the answer to channel\.squeeze"
    ):
        pruned(["channel.squeeze", "channel.eca"])
