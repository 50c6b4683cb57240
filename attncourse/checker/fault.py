"""What is wrong with an answer, as an examiner finds it, and how it becomes a verdict."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from attncourse.checker.verdict import NOT_YET, Verdict

LINES, LETTERS = 11, 400  # of a message, before the line with the hint; of a line


@dataclass(frozen=True)
class Fault:
    """What is wrong: the cause in one line, evidence, and the slip's name if it has one.

    Evidence that there is not, None or "", is left out.
    """

    cause: str
    evidence: tuple[str | None, ...] = ()
    slip: str | None = None

    def verdict(self, id: str, notes: Sequence[str] = ()) -> Verdict:
        """The verdict on the answer to this exercise; `notes` are said below the evidence."""
        texts = [_indexed(sentence(self.cause)), *self.evidence, *notes]
        lines = [line for text in texts if text for line in short(text).splitlines()][:LINES]
        lines.append(f'Stuck? `hint("{id}")`')
        return Verdict(id, NOT_YET, "\n".join(lines), self.slip)


SHORT_WORDS = "a an as at be by do go if in is it me my no of on or so to up us we".split()
GREEK = "alpha beta gamma delta kappa upsilon theta".split()


def sentence(text: str) -> str:
    """A text that begins with a capital, unless its first word is one of code: `j`, `dk`."""
    word = re.match(r"\w*", text)[0]
    short = len(word) <= 2 and word.lower() not in SHORT_WORDS
    return text if short or word in GREEK or not word.isalpha() else text[:1].upper() + text[1:]


def _indexed(text: str) -> str:
    """A text in which layers of a list are written as in code: `self.encoder[1]`."""
    return re.sub(r"(self(?:\.[a-z_]\w*)+)\.(\d+)\b", r"\1[\2]", text)


def short(text: str) -> str:
    """A text that no error message of somebody else's can blow up."""
    return text if len(text) <= LETTERS else text[: LETTERS - 3] + "…"
