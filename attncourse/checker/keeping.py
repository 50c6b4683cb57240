"""`check` as notebooks have it: what passes in a work folder is kept as the learner's own."""

from dataclasses import replace
from typing import Any

from attncourse import places
from attncourse.checker.case import Case
from attncourse.checker.ending import SECONDS, Stopped, limited
from attncourse.checker.examination import check as examine
from attncourse.checker.examination import examined
from attncourse.checker.frames import is_learners
from attncourse.checker.running import calm
from attncourse.checker.verdict import PASSED, Verdict
from attncourse.course import exercise
from attncourse.exercises.record import Exercise
from attncourse.mine import shelf
from attncourse.mine.alone import Entangled, alone


def check(id: str | Exercise, answer: Any, *, seconds: float = SECONDS) -> Verdict:
    """The verdict on `answer`, the learner's own function or class for exercise `id`.

    Never raises for a mistake of the learner's, whatever the answer is, and leaves no trace:
    inputs are clones, random numbers are as before, what the answer prints is dropped. It is
    stopped after `seconds` of processor time. In a work folder, and only there, an answer that
    passes is kept in `mine`, for `attncourse.mine`.
    """
    verdict = examine(id, answer, seconds=seconds)
    if not verdict or places.stood_in() is None:
        return verdict
    try:
        said = _keep(id if isinstance(id, Exercise) else exercise(id), answer, seconds)
    except Entangled as error:
        said = f"Not kept in your library: {error}."
    except shelf.Unusable as error:
        said = f"Not kept in your library: alone it does not run ({error})."
    except OSError as error:
        said = f"Not kept in your library: {error.strerror or error}."
    except (Stopped, KeyboardInterrupt, MemoryError):
        said = "Not kept in your library: it took too long."
    except Exception as error:  # of ours: the verdict stands all the same
        said = f"Not kept in your library: {type(error).__name__}: {str(error)[:80]}"
    return replace(verdict, message=f"{verdict.message}\n{said}")


def _keep(ex: Exercise, answer: Any, seconds: float) -> str:
    """Put the answer on the shelf, if it passes once more from its own file. Says where it is.
    Raises Entangled, Unusable, OSError."""
    work = places.stood_in()
    body, path = alone(answer, ex.name, is_learners), shelf.path_of(work, ex.id)
    here = path.relative_to(work.parent)
    with calm(), limited(seconds):
        once_more = shelf.loaded(body, path, f"mine.{ex.id}", ex.name)
        again = examined(Case(ex, once_more))
    if again.status != PASSED:
        raise Entangled(f"from a file of its own it is {again.status}")
    older = shelf.put(work, ex.id, body)
    return f"Kept in your library, {here}" + (
        f"; the one before: {older.name}." if older else "."
    )
