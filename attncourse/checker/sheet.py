"""What answers are compared on, and what the solution and each slip make of it.

`check` looks at nothing else: all that it knows of the solution comes from a `Sheet`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any, NamedTuple

from torch import nn

from attncourse.checker.building import begin, build
from attncourse.checker.calling import gradients, outcome, run_built
from attncourse.checker.ending import undisturbed
from attncourse.checker.equal import chosen, digest, fingerprint, hopeless, same
from attncourse.checker.running import Crash, calm
from attncourse.checker.trials import VALUES, Prepared, prepare, three_more
from attncourse.checker.varied import Varied, variations
from attncourse.exercises.edited import slips_of
from attncourse.exercises.record import Exercise, Slip, Trial


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


def refuses(y: Any) -> bool:
    """Whether an outcome is a ValueError."""
    return isinstance(y, Crash) and y.kind == "ValueError"


def refusals(ex: Exercise, answer: Callable, trial: Prepared) -> dict[str, Any]:
    """What each probe of an answer makes of a trial that is to be refused."""
    built, fault, _ = build(ex, answer, trial)
    if fault is not None:
        return dict.fromkeys(ex.probes, fault)
    return {probe: outcome(ex, built, probe, trial.fresh()) for probe in ex.probes}


class Sheet:
    """Trials of one exercise, with what the solution and the slips make of them."""

    def __init__(self, ex: Exercise):
        self.ex = ex
        self._outcomes: dict[tuple[str, int, str], Any] = {}
        self._digests: dict[tuple[str, int, str], Any] = {}
        self._layers: dict[int, nn.Module] = {}
        self._gradients: dict[tuple[int, str], Any] = {}

    @cached_property
    def trials(self) -> tuple[Prepared, ...]:
        """The declared trials, then the variations on the first of them."""
        with undisturbed(), calm():
            trials = [prepare(self.ex, t, t.name) for t in self.ex.trials()]
            more = [*three_more(self.ex, trials[0])]
            if trials[-1].inputs.keys() != trials[0].inputs.keys():  # with a mask, say
                more += three_more(self.ex, trials[-1], large=False)
            return (*trials, *more)

    @cached_property
    def varied(self) -> dict[int, tuple[Right, ...]]:
        """The first trial, and the last if it has other inputs, varied in what the stub leaves
        open; with what the solution makes of each, as far as it makes something of it."""
        last = len(self.declared) - 1
        other = self.trials[0].inputs.keys() != self.trials[last].inputs.keys()
        with undisturbed(), calm():
            return {i: tuple(self._varied(i)) for i in ([0, last] if other else [0])}

    def _varied(self, index: int) -> Iterator[Right]:
        trial, answered = self.trials[index], {None}
        built = build(self.ex, self.ex.solution, trial).answer
        for varied in variations(self.ex, trial, self.trials[0] if index else None):
            if varied.after not in answered:
                continue
            if self.ex.is_module:
                begin(built, trial.weights, trial)
            found = run_built(self.ex, built, varied.trial).outcomes
            outcomes = {probe: y for probe, y in found.items() if not hopeless(y)}
            if varied.ties and any(map(chosen, outcomes.values())):
                continue
            if outcomes:
                answered.add(varied)
                yield Right(varied, outcomes)

    @property
    def declared(self) -> range:
        """The indices of the trials that the exercise lists itself."""
        return range(sum(t.group == VALUES for t in self.trials))

    @cached_property
    def remark(self) -> Prepared | None:
        """The trial outside the contract proper, if there is one."""
        with undisturbed(), calm():
            return self.ex.remark and prepare(self.ex, self.ex.remark(), "remark")

    @cached_property
    def refused(self) -> tuple[Refused, ...]:
        """The trials that must end in a ValueError, with what the solution makes of them."""
        with undisturbed(), calm():
            return tuple(self._refused(trial) for trial in self.ex.refuses())

    def _refused(self, trial: Trial) -> Refused:
        try:
            prepared = prepare(self.ex, trial, trial.name)
        except ValueError:  # no module can be built
            prepared = prepare(self.ex, trial, trial.name, weights=False)
        found = refusals(self.ex, self.ex.solution, prepared)
        errors = {probe: y for probe, y in found.items() if refuses(y)}
        others = {probe: y for probe, y in found.items() if not isinstance(y, Crash)}
        return Refused(prepared, trial.says, errors, others)

    @cached_property
    def slips(self) -> tuple[Slip, ...]:
        """All slips in the order in which they are tried: single ones first."""
        with undisturbed():
            return tuple(sorted(slips_of(self.ex), key=lambda slip: len(slip.parts)))

    def expected(self, index: int, probe: str) -> Any:
        """What the solution makes of a trial. Raises where it crashes on a declared one."""
        y = self._outcome("", lambda: self.ex.solution, index, probe)
        if isinstance(y, Crash) and index in self.declared:
            raise RuntimeError(
                f"{self.ex.id}: the solution itself crashes in `{probe}` "
                f"{self.trials[index].name}: {y.kind}: {y.text}"
            )
        return y

    def of_slip(self, slip: Slip, index: int, probe: str, way: int = 0) -> Any:
        """What a slip makes of a trial, made in one of its ways; 0 is the usual one."""
        return self._outcome(f"{slip.name} {way}", slip.answers[way], index, probe)

    def digest_of_slip(self, slip: Slip, index: int, probe: str, way: int = 0) -> Any:
        """The digest of what a slip makes of a trial, made once."""
        key = f"{slip.name} {way}", index, probe
        if key not in self._digests:
            with undisturbed():
                self._digests[key] = digest(self.of_slip(slip, index, probe, way))
        return self._digests[key]

    def expected_gradients(self, index: int, probe: str) -> Any:
        """The gradients of the solution, as `gradients` gives them."""
        key = index, probe
        if key not in self._gradients:
            with undisturbed(), calm():
                self._gradients[key] = gradients(
                    self.ex, self.ex.solution, self.trials[index], probe
                )
        return self._gradients[key]

    def _outcome(
        self, name: str, answer: Callable[[], Callable], index: int, probe: str
    ) -> Any:
        key = name, index, probe
        if key not in self._outcomes:
            with undisturbed(), calm():
                built = self._build(answer(), index)
                fault = isinstance(built, Crash)
                inputs = self.trials[index].fresh()
                y = built if fault else outcome(self.ex, built, probe, inputs)
            self._outcomes[key] = y
        return self._outcomes[key]

    def _build(self, answer: Callable, index: int) -> Any:
        """The solution or a slip, ready to call. Slips that keep `__init__` share one
        module."""
        if not self.ex.is_module:
            return answer
        if index not in self._layers:
            layer, fault, _ = build(self.ex, self.ex.solution, self.trials[index])
            if fault is not None:
                raise RuntimeError(f"{self.ex.id}: the solution cannot be built: {fault}")
            self._layers[index] = layer
        if isinstance(answer, type) and answer.__init__ is self.ex.solution.__init__:
            self._layers[index].__class__ = answer
            if any(True for _ in self._layers[index].buffers()):  # statistics have moved
                begin(self._layers[index], self.trials[index].weights, self.trials[index])
            return self._layers[index]
        layer, fault, _ = build(self.ex, answer, self.trials[index])
        if fault is None:
            return layer
        return fault if isinstance(fault, Crash) else Crash("Unlike", fault)


@cache
def sheet(ex: Exercise) -> Sheet:
    """The sheet of an exercise, made once."""
    return Sheet(ex)


def slips(ex: Exercise) -> tuple[Slip, ...]:
    """Every slip of an exercise that differs from the solution and from all simpler slips.

    Single slips are all kept, whatever they give: two alike are a defect that doctor reports.
    """
    known, kept = sheet(ex), []
    places = [(i, p) for i in known.declared for p in ex.probes]
    single = {one.name: one for one in known.slips}
    with undisturbed(), calm():
        seen = {fingerprint([known.expected(*at) for at in places])}
        for one in known.slips:
            outcomes = [known.of_slip(one, *at) for at in places]
            simpler = [
                [known.of_slip(single[part], *at) for at in places] for part in one.parts
            ]
            shown = fingerprint(outcomes)
            if one.parts and (shown in seen or any(same(outcomes, part) for part in simpler)):
                continue
            seen.add(shown)
            for way in range(1, len(one.answers)):
                seen.add(fingerprint([known.of_slip(one, *at, way) for at in places]))
            kept.append(one)
    return tuple(kept)
