"""Where an answer departs first: one probe on one trial, and what is said of it as evidence."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attncourse.checker.case import Case
from attncourse.checker.equal import comparable, parts_comparable
from attncourse.checker.stages import first_stage
from attncourse.checker.telling import worst, wrong_kind
from attncourse.checker.trials import Prepared
from attncourse.exercises.source import source, written


@dataclass(eq=False)
class Departure:
    """What a probe gives on a declared trial, and what is right there."""

    case: Case
    index: int
    probe: str
    y: Any
    right: Any

    @property
    def trial(self) -> Prepared:
        return self.case.trials[self.index]

    @property
    def axes(self) -> str | tuple[str, ...]:
        """The letters of what is returned."""
        return self.case.ex.probes[self.probe]

    @property
    def seen(self) -> str:
        """On which trial."""
        return self.trial.seen

    @cached_property
    def wrong(self) -> str | None:
        """Of which wrong kind it is, if it is of one."""
        return wrong_kind(self.probe, self.y, self.right, self.axes, self.trial)

    @cached_property
    def worst(self) -> str:
        """The element that is furthest off; "" where there is nothing to measure."""
        measurable = comparable(self.y, self.right) or parts_comparable(self.y, self.right)
        return worst(self.y, self.right, self.axes) if measurable else ""

    @cached_property
    def done(self) -> tuple[str, ...]:
        """That the probes before this one are right on every trial, if there are any."""
        before = self.case.before(self.probe)
        if not before or not all(map(self.case.right_everywhere, before)):
            return ()
        names = " and ".join(f"`{one}`" for one in before)
        verb = "is" if len(before) == 1 else "are"
        return (f"{names} {verb} right; look into {self._where(before)}.",)

    def _where(self, right: list[str]) -> str:
        """The methods that are written and not known to be right, of which this probe is one
        or by which it is made."""
        ex = self.case.ex
        names = dict.fromkeys(node.name for node, *_ in written(ex, source(ex)))
        left = [n for n in names if n not in right and n not in ex.probes]
        own = [self.probe] if self.probe in names or not left else []
        return " and ".join(f"`{n}`" for n in own or left)

    @cached_property
    def stage(self) -> str | None:
        """The first layer of a module that is given something else than in the solution."""
        case = self.case
        if not case.ex.is_module or self.probe != case.last_probe:
            return None
        return first_stage(case.ex, case.answer, self.trial, self.probe)
