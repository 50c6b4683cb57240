"""What answers are compared on, and what the solution and each slip make of it.

`check` looks at nothing else: all that it knows of the solution comes from a `Sheet`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any

from torch import nn

from attncourse.checker.building import begin, build
from attncourse.checker.calling import call, calls_in, gradients, outcome, run, run_built
from attncourse.checker.ending import undisturbed
from attncourse.checker.equal import chosen, digest, fingerprint, hopeless, same
from attncourse.checker.recorded import Recorded
from attncourse.checker.running import Crash, attempt, calm
from attncourse.checker.trials import Prepared
from attncourse.checker.tried import Refused, Right, Tried
from attncourse.checker.varied import Varied
from attncourse.exercises.edited import slips_of
from attncourse.exercises.handed import handed_out
from attncourse.exercises.record import Exercise, Slip, Trial
from attncourse.papers.counting import Count, count


def refuses(y: Any) -> bool:
    """Whether an outcome is a ValueError."""
    return isinstance(y, Crash) and y.kind == "ValueError"


def refusals(ex: Exercise, answer: Callable, trial: Prepared) -> dict[str, Any]:
    """What each probe of an answer makes of a trial that is to be refused."""
    built, fault, _ = build(ex, answer, trial)
    if fault is not None:
        return dict.fromkeys(ex.probes, fault)
    return {probe: outcome(ex, built, probe, trial.fresh()) for probe in ex.probes}


def spent(ex: Exercise, answer: Callable, trial: Prepared) -> Count:
    """What an answer spends in one call of its last probe."""
    built, probe = build(ex, answer, trial).answer, list(ex.probes)[-1]
    return count(lambda: call(ex, built, probe, trial.fresh()))


class Sheet(Tried):
    """Trials of one exercise, with what the solution and the slips make of them."""

    knows_the_solution = True

    def __init__(self, ex: Exercise):
        super().__init__(ex)
        self._outcomes: dict[tuple[str, int, str], Any] = {}
        self._digests: dict[tuple[str, int, str], Any] = {}
        self._layers: dict[int, nn.Module] = {}
        self._gradients: dict[tuple[int, str], Any] = {}

    @cached_property
    def varied(self) -> dict[int, tuple[Right, ...]]:
        """The first trial, and the last if it has other inputs, varied in what the stub leaves
        open; with what the solution makes of each, as far as it makes something of it."""
        with undisturbed(), calm():
            return {i: tuple(self._varied(i)) for i in self.to_vary}

    def _varied(self, index: int) -> Iterator[Right]:
        trial, answered = self.trials[index], {None}
        built = build(self.ex, self.ex.solution, trial).answer
        for varied in self.every_variation[index]:
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

    @cached_property
    def refused(self) -> tuple[Refused, ...]:
        """The trials that must end in a ValueError, with what the solution makes of them."""
        with undisturbed(), calm():
            return tuple(self._refused(*pair) for pair in self.prepared_to_refuse())

    def _refused(self, trial: Trial, prepared: Prepared) -> Refused:
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

    def of_slip_varied(self, slip: Slip, way: int, varied: Varied, probe: str) -> Any:
        """What a slip makes of a variation."""
        return run(self.ex, slip.answers[way](), varied.trial).outcomes.get(probe)

    def gradients_of_slip(self, slip: Slip, index: int, probe: str) -> Any:
        """The gradients of a slip, as `gradients` gives them."""
        return gradients(self.ex, slip.answer, self.trials[index], probe)

    @property
    def spent(self) -> Count:
        """What the solution spends on the first trial."""
        return spent(self.ex, self.ex.solution, self.trials[0])

    def spent_of_slip(self, slip: Slip) -> Any:
        """What a slip spends there, or the Crash it ends in."""
        return attempt(lambda: spent(self.ex, slip.answer, self.trials[0]))

    @property
    def in_other_mode(self) -> Mapping[str, Any]:
        """What the solution gives in the other mode."""
        return run(self.ex, self.ex.solution, self.other_mode).outcomes

    @property
    def of_negated(self) -> Mapping[str, Any]:
        """What the solution gives for other numbers of the same shapes."""
        return run(self.ex, self.ex.solution, self.negated).outcomes

    @property
    def of_remark(self) -> Mapping[str, Any]:
        """What the solution gives outside the contract proper."""
        return run(self.ex, self.ex.solution, self.remark).outcomes

    def calls_in(self, index: int) -> Mapping[str, int]:
        """How often functions that are to be called once, and each BatchNorm in training, run
        in one call of the solution."""
        return calls_in(self.ex, self.ex.solution, self.trials[index])

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
def sheet(ex: Exercise) -> Sheet | Recorded:
    """What is known of an exercise, made once: from its solution, or from the record that is
    handed out in its place."""
    record = handed_out(ex.id)
    return Sheet(ex) if record is None else Recorded(ex, record)


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
