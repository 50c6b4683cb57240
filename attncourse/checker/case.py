"""The answer under examination, and what every examiner may ask of it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from attncourse.checker.calling import Result, run
from attncourse.checker.equal import digest, same
from attncourse.checker.recorded import Recorded
from attncourse.checker.running import Crash
from attncourse.checker.sheet import Sheet, sheet
from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Exercise


@dataclass(eq=False)
class Case:
    """One answer to one exercise.

    notes    what was let pass: said with every verdict that comes after it
    remarks  what is said on a pass of what nobody promised
    """

    ex: Exercise
    answer: Any
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def sheet(self) -> Sheet | Recorded:
        """The trials, with what the solution and the slips make of them."""
        return sheet(self.ex)

    @property
    def trials(self) -> tuple[Prepared, ...]:
        """The declared trials, then the variations."""
        return self.sheet.trials

    @property
    def last_probe(self) -> str:
        """The whole of what is written, where there are several probes."""
        return list(self.ex.probes)[-1]

    @cached_property
    def results(self) -> list[Result]:
        """What the answer makes of the declared trials."""
        return [self.run(index) for index in self.sheet.declared]

    def run(self, index: int) -> Result:
        """What the answer makes of a trial, made anew."""
        return run(self.ex, self.answer, self.trials[index])

    @cached_property
    def digests(self) -> dict[tuple[int, str], Any]:
        """Of what the answer makes of each trial and probe."""
        return {
            (index, probe): digest(result.outcomes.get(probe))
            for index, result in enumerate(self.results)
            for probe in self.ex.probes
        }

    @cached_property
    def unwritten(self) -> list[str]:
        """The probes that still end in the stub's own NotImplementedError."""
        return [p for p, y in self.results[0].outcomes.items() if is_unwritten(y)]

    def outcomes(self, probe: str) -> list[Any]:
        """What a probe gives on each declared trial."""
        return [result.outcomes.get(probe) for result in self.results]

    def right_everywhere(self, probe: str) -> bool:
        """Whether a probe is right on every declared trial."""
        return all(
            same(y, self.sheet.expected(i, probe)) for i, y in enumerate(self.outcomes(probe))
        )

    def before(self, probe: str) -> list[str]:
        """The probes before this one, on which it may rest."""
        probes = list(self.ex.probes)
        return probes[: probes.index(probe)]


def is_unwritten(y: Any) -> bool:
    return isinstance(y, Crash) and y.unwritten
