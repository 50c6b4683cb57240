"""What `check` answers: a status, a cause, and a card to read in JupyterLab."""

import html
import re
from dataclasses import dataclass

PASSED, NOT_ATTEMPTED, NOT_YET = "passed", "not attempted", "not yet"
TAKEN_OVER = "taken over"  # right, but the course's own
COLOURS = {
    PASSED: "#007a5a",
    TAKEN_OVER: "#0b57a0",
    NOT_ATTEMPTED: "#5f6368",
    NOT_YET: "#b3400d",
}


@dataclass(frozen=True, repr=False)
class Verdict:
    """The verdict on one answer.

    id       the exercise
    status   "passed", "taken over", "not attempted" or "not yet"
    slip     the name of the slip recognised, or None
    message  at most 12 lines; the first one carries the cause
    """

    id: str
    status: str
    message: str
    slip: str | None = None

    def __bool__(self) -> bool:
        """True if the answer passed, so that `assert check(id, answer)` does what it says."""
        return self.status == PASSED

    def __repr__(self) -> str:
        return f"{self.id}: {self.status}\n{self.message}"

    def worth(self, points: float) -> "Worth":
        """The same, as points earned of so many: all of them, or 0."""
        return Worth(self, points)

    def _repr_html_(self) -> str:
        """A card in literal colours: readable in light and dark, and in a notebook not
        trusted."""
        colour = COLOURS[self.status]
        first, *rest = (_html(line) for line in self.message.splitlines())
        more = "".join(
            f'<div style="color: #3c4043; margin-top: 3px">{line}</div>' for line in rest
        )
        return (
            f'<div class="attncourse-verdict" style="background: #ffffff; color: #202124; '
            f"border: 1px solid #dadce0; border-left: 6px solid {colour}; padding: 8px 12px; "
            f'max-width: 48em; font-family: sans-serif; font-size: 14px; line-height: 1.45">'
            f'<div style="color: {colour}; font-weight: bold">{html.escape(self.id)}: '
            f"{self.status}</div>"
            f'<div style="color: #202124; margin-top: 3px">{first}</div>{more}</div>'
        )


@dataclass(frozen=True, repr=False)
class Worth:
    """A verdict as a graded cell of nbgrader ends in it: its text is the points, and nothing
    else; beside it there is the card."""

    verdict: Verdict
    points: float

    @property
    def earned(self) -> float:
        return float(self.points) if self.verdict else 0.0

    def __repr__(self) -> str:
        return repr(self.earned)

    def _repr_html_(self) -> str:
        said = f"{self.earned:g} of {self.points:g} points"
        return f'{self.verdict._repr_html_()}<div style="font-size: 13px">{said}</div>'


def _html(line: str) -> str:
    """A line of a message, with what stands in backticks set as code."""
    code = r'<code style="background: #f1f3f4; color: #202124; padding: 0 3px">\1</code>'
    return re.sub(r"`([^`]+)`", code, html.escape(line))
