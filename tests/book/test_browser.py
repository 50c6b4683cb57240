import importlib.util
import shutil

import pytest
from browser import CHROMIUM, jupyterlab, reader

from attncourse.book.editions import ROOT, chapter_exercises, dumps, make
from attncourse.course import CHAPTERS, chapter

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="no playwright: pip install -e '.[test]'",
    ),
]
FIRST = chapter("scaled_dot_product")
# The first real chapter first; what breaks there breaks everywhere.
IN_ORDER = sorted(CHAPTERS, key=lambda one: one != FIRST)
each_chapter = pytest.mark.parametrize("chapter", IN_ORDER, ids=lambda one: one.stem)

FOREIGN = "# %% [markdown]\n# ![a spy](http://example.org/spy.png)\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on copies of both editions, with nothing of the user's."""
    folder = tmp_path_factory.mktemp("notebooks")
    for edition in ("learner", "solved"):
        shutil.copytree(ROOT / "notebooks" / edition, folder / edition)
    foreign = make(FOREIGN, {}, solved=False)
    (folder / "foreign.ipynb").write_text(dumps(foreign))
    with jupyterlab(folder, tmp_path_factory.mktemp("jupyter")) as lab:
        yield lab


@pytest.fixture
def me(lab, tmp_path):
    with reader(lab, tmp_path / "failed.png") as me:
        yield me


def test_the_learner_can_run_all_cells_of_a_chapter_not_yet_solved(me):
    me.open(f"learner/{FIRST.stem}.ipynb")
    me.run_all()
    assert {error["ename"] for error in me.outputs("error")} <= {"NotImplementedError"}
    code = me.code_cells()
    assert [c["source"] for c in code if c["execution_count"] is None] == []
    assert me.verdicts() == dict.fromkeys(chapter_exercises(FIRST), "not attempted")
    assert me.figures()
    assert me.hosts == {"127.0.0.1"}


@each_chapter
def test_the_solved_edition_reads_well_in_any_theme_before_anybody_trusts_it(me, chapter):
    name = f"solved/{chapter.stem}.ipynb"
    pictures = (ROOT / "notebooks" / name).read_text().count('"image/png":')
    me.open(name)
    assert not me.trusted()
    for theme in ("light", "dark"):
        if theme == "dark":
            me.turn_dark()
        assert me.verdicts() == dict.fromkeys(chapter_exercises(chapter), "passed")
        assert len(me.figures()) == pictures
    assert me.hosts == {"127.0.0.1"}


def test_the_solved_edition_of_the_first_chapter_runs(me):
    me.open(f"solved/{FIRST.stem}.ipynb")
    before = me.figures()
    me.run_all()
    assert me.outputs("error") == []
    code = me.code_cells()
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert me.verdicts() == dict.fromkeys(chapter_exercises(FIRST), "passed")
    assert me.figures() == before
    assert me.hosts == {"127.0.0.1"}


def test_a_request_to_another_host_would_be_seen(me):
    me.open("foreign.ipynb")
    me.page.wait_for_selector("img[alt='a spy']", state="attached")
    assert me.hosts == {"127.0.0.1", "example.org"}
