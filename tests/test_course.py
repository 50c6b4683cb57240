"""The one list of chapters and exercises."""

import pytest

from attncourse.course import chapter, exercise, exercises
from attncourse.errors import UnknownExercise


def test_an_unknown_name_comes_back_with_the_nearest():
    with pytest.raises(UnknownExercise, match=r'Did you mean "multi_head[.]split_heads"'):
        exercise("multi_head.split_head")
    with pytest.raises(UnknownExercise, match='Did you mean "01_scaled_dot_product"'):
        chapter("scaled_dot")
    assert chapter("1") is chapter("01_scaled_dot_product.ipynb")


def test_every_exercise_has_its_chapters_name_in_its_id():
    assert all(chapter(ex.chapter).name == ex.chapter for ex in exercises().values())
