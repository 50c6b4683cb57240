"""Help on the way: hints, one rung at a time, and at the end the solution."""

import html
import inspect
from dataclasses import dataclass

from attncourse.checker import rules
from attncourse.course import exercise
from attncourse.exercises.handed import handed_out

_given: dict[str, int] = {}


@dataclass(frozen=True, repr=False)
class Note:
    """A text that reads well in JupyterLab and in a terminal."""

    title: str
    text: str

    def __repr__(self) -> str:
        return f"{self.title}\n{self.text}"

    def _repr_html_(self) -> str:
        return (
            '<div style="background: #ffffff; color: #202124; border: 1px solid #dadce0; '
            "border-left: 6px solid #0072b2; padding: 8px 12px; max-width: 48em; "
            'font-family: sans-serif; font-size: 14px; line-height: 1.45">'
            f'<div style="color: #0072b2; font-weight: bold">{html.escape(self.title)}</div>'
            '<pre style="background: #ffffff; color: #202124; white-space: pre-wrap; '
            f'margin: 3px 0 0; font-size: 13px">{html.escape(self.text)}</pre></div>'
        )


def hint(id: str, rung: int | None = None) -> Note:
    """The next hint for an exercise: a question first, then the idea, then the pseudocode.

    If your last answer broke one of the standing rules of chapter 00, that is said first.
    `rung` asks for one of them by number, from 1; without it each call goes one further and
    stays at the last. Raises UnknownExercise with the nearest id, ValueError for a rung there
    is not.
    """
    ex = exercise(id)
    if not ex.hints:
        return Note(id, "There are no hints to this exercise in this assignment.")
    if rung is None:
        rung = _given[id] = min(_given.get(id, 0) + 1, len(ex.hints))
    elif not 1 <= rung <= len(ex.hints):
        raise ValueError(f"{id} has hints 1 to {len(ex.hints)}; there is no {rung=}")
    title = f"{id}: hint {rung} of {len(ex.hints)}"
    rule = rules.broken(id)
    said = f"A rule of every exercise is broken: {rule}\n\n" if rule else ""
    return Note(title, said + ex.hints[rung - 1])


def solution(id: str, sure: bool | None = None) -> Note:
    """The solution of an exercise, after asking once.

    Where nobody can be asked (a notebook that runs by itself), `sure=True` shows it.
    """
    ex = exercise(id)
    if handed_out(id):
        return Note(id, "The solution is not part of this assignment.")
    if sure is None:
        try:
            sure = input(f"Show the solution of {id}? [y/N] ").strip().lower() in {"y", "yes"}
        except (EOFError, RuntimeError, NotImplementedError):
            return Note(id, f'Nobody here to ask. `solution("{id}", sure=True)` shows it.')
    if not sure:
        return Note(id, f'Not shown. `hint("{id}")` helps without giving it away.')
    return Note(f"{id}: the solution", inspect.getsource(ex.solution).rstrip())
