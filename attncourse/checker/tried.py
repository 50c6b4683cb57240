"""What answers are compared on, whoever knows what is right there."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from attncourse.checker.ending import undisturbed
from attncourse.checker.running import Crash, calm
from attncourse.checker.trials import VALUES, Prepared, prepare, three_more
from attncourse.checker.varied import Varied, variations
from attncourse.exercises.record import Exercise, Trial


class Right(NamedTuple):
    """A variation of a trial, with what the solution gives for each probe that it answers."""

    varied: Varied
    outcomes: Mapping[str, Any]


class Refused(NamedTuple):
    """A trial that must be refused, what the error's text must say, with which errors the
    solution refuses it, by probe, and what its other probes give."""

    trial: Prepared
    says: tuple[int | str, ...]
    errors: Mapping[str, Crash]
    others: Mapping[str, Any]


class Tried:
    """The trials of one exercise, drawn, and varied."""

    def __init__(self, ex: Exercise):
        self.ex = ex

    @cached_property
    def trials(self) -> tuple[Prepared, ...]:
        """The declared trials, then the variations on the first of them."""
        with undisturbed(), calm():
            trials = [prepare(self.ex, t, t.name) for t in self.ex.trials()]
            more = [*three_more(self.ex, trials[0])]
            if trials[-1].inputs.keys() != trials[0].inputs.keys():  # with a mask, say
                more += three_more(self.ex, trials[-1], large=False)
            return (*trials, *more)

    @property
    def declared(self) -> range:
        """The indices of the trials that the exercise lists itself."""
        return range(sum(t.group == VALUES for t in self.trials))

    @property
    def to_vary(self) -> list[int]:
        """The first trial, and the last if it has other inputs."""
        last = len(self.declared) - 1
        other = self.trials[0].inputs.keys() != self.trials[last].inputs.keys()
        return [0, last] if other else [0]

    @cached_property
    def every_variation(self) -> dict[int, tuple[Varied, ...]]:
        """These trials varied in what the stub leaves open, whatever the solution makes of
        it."""
        first, ex = self.trials[0], self.ex
        with undisturbed(), calm():
            return {
                index: tuple(variations(ex, self.trials[index], first if index else None))
                for index in self.to_vary
            }

    @cached_property
    def remark(self) -> Prepared | None:
        """The trial outside the contract proper, if there is one."""
        with undisturbed(), calm():
            return self.ex.remark and prepare(self.ex, self.ex.remark(), "remark")

    @property
    def other_mode(self) -> Prepared:
        """The first trial in the other mode, of training and of evaluation."""
        return replace(self.trials[0], evaluate=not self.trials[0].evaluate)

    @property
    def negated(self) -> Prepared | None:
        """The first trial with other numbers; None where none are drawn."""
        first = self.trials[0]
        others = {n: -first.inputs[n] for n in first.drawn}
        return replace(first, inputs=first.inputs | others) if others else None

    def prepared_to_refuse(self) -> Iterator[tuple[Trial, Prepared]]:
        """The trials that must end in a ValueError."""
        for trial in self.ex.refuses():
            try:
                yield trial, prepare(self.ex, trial, trial.name)
            except ValueError:  # no module can be built
                yield trial, prepare(self.ex, trial, trial.name, weights=False)
