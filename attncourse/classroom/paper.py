"""What an answer is asked outside of what its notebook knows, and whether it replies right.

Inputs are drawn from a secret seed, one for each run; the solution, and every published
variant, answers the same questions here. Only numbers that
came out of the sandbox are looked at: the words of a check decide nothing by themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from torch import Tensor

from attncourse.checker.building import build
from attncourse.checker.calling import gradients, outcome
from attncourse.checker.ending import undisturbed
from attncourse.checker.equal import chosen, hopeless, nearly, same
from attncourse.checker.examiners.refusals import said
from attncourse.checker.running import Crash, calm
from attncourse.checker.trials import STRIDED, VALUES, Prepared, prepare, three_more
from attncourse.checker.varied import variations
from attncourse.classroom.inside.frames import Crashed, Named, Unsendable, packed
from attncourse.exercises.edited import slips_of
from attncourse.exercises.record import Exercise, Given, Trial

TURNS = 3  # how often other numbers are drawn for each trial
CALL, REFUSED, GRADIENTS = "call", "refused", "gradients"


@dataclass(frozen=True, eq=False)
class Question:
    """One trial on which an answer is asked, by which probes.

    exact  whether the first digits do not suffice
    says   of what is refused: numbers and words that the text of the error must hold
    names  the inputs that stand in the record, because they cannot be sent
    """

    kind: str
    trial: Prepared
    probes: tuple[str, ...]
    exact: bool = True
    says: tuple[int | str, ...] = ()
    names: Mapping[str, Named] = ()

    def packed(self, body: bytearray) -> dict[str, Any]:
        """The question in the types of JSON. Raises Unsendable."""
        trial = {
            "group": self.trial.group,
            "init": dict(self.trial.init),
            "inputs": {**self.trial.inputs, **dict(self.names)},
            "weights": self.trial.weights and dict(self.trial.weights),
            "evaluate": self.trial.evaluate,
        }
        kind = GRADIENTS if self.kind == GRADIENTS else CALL
        return {"kind": kind, "probes": self.probes, "trial": packed(trial, body)}


class Paper:
    """The questions of one exercise, with every set of right replies to them."""

    def __init__(self, ex: Exercise, seed: str):
        self.ex, self.seed = ex, seed
        self.named: dict[int, Named] = {}
        self.kept: list[Any] = []  # so that what is named stays what it is
        with undisturbed(), calm():
            self.questions = [q for q in self._questions() if self._sendable(q)]
            self.right = [
                [self._reply(one, q) for q in self.questions] for one in self._answers()
            ]

    def packed(self, body: bytearray) -> list[dict[str, Any]]:
        """All questions, as they are sent."""
        return [question.packed(body) for question in self.questions]

    def fault(self, replies: Any) -> str | None:
        """Which probe departs from every right set of replies; None where one agrees."""
        if not isinstance(replies, list) or len(replies) != len(self.questions):
            return next(iter(self.ex.probes))
        faults = [self._departs(right, replies) for right in self.right]
        return None if None in faults else faults[0]

    @property
    def optional(self) -> bool:
        """Whether there are machines that cannot check the exercise."""
        return self.ex.needs is not str

    # ------------------------------------------------------------ the questions

    def _questions(self) -> Iterator[Question]:
        ex, probes = self.ex, tuple(self.ex.probes)
        trials = self._keep(ex.trials())
        declared = [self._prepare(t, "trials", n) for n, t in enumerate(trials)]
        for trial in (*declared, *three_more(ex, declared[0])):
            if trial.group != STRIDED:  # numbers lose their place in memory on the way
                yield Question(CALL, trial, probes, trial.group == VALUES)
        yield from self._larger(trials[0])
        last = declared[-1]
        for trial in [declared[0], last][
            : 1 + (last.inputs.keys() != declared[0].inputs.keys())
        ]:
            yield from self._varied(trial, None if trial is declared[0] else declared[0])
        if not any(isinstance(x, Tensor) for x in declared[0].inputs.values()):
            yield from self._other_numbers(declared)
        for n, trial in enumerate(self._keep(ex.refuses())):
            yield Question(
                REFUSED, self._prepare(trial, "refuses", n), probes, True, trial.says
            )
        if "gradients" not in ex.skip:
            yield Question(GRADIENTS, declared[0], probes[-1:], False)

    def _varied(self, trial: Prepared, simpler: Prepared | None) -> Iterator[Question]:
        """Variations of a trial that the solution answers."""
        answered = {None}
        for varied in variations(self.ex, trial, simpler):
            if varied.after not in answered:
                continue
            found = self._called(self.ex.solution, varied.trial, tuple(self.ex.probes))
            good = tuple(probe for probe, y in found.items() if not hopeless(y))
            if good and not (varied.ties and any(chosen(found[probe]) for probe in good)):
                answered.add(varied)
                yield Question(CALL, varied.trial, good, False)

    def _larger(self, trial: Trial) -> Iterator[Question]:
        """A batch larger than all that the notebook tries, of a size that nobody knows; as far
        as everybody agrees who is right."""
        made = any(isinstance(x, Tensor | Given) for x in trial.inputs.values())
        if made or "b" not in trial.sizes or "sizes" in self.ex.skip:
            return
        sizes = {**trial.sizes, "b": Random(f"{self.seed} {self.ex.id}").randint(9, 19)}
        other = self._prepare(replace(trial, sizes=sizes), "trials", 0)
        found = self._called(self.ex.solution, other, tuple(self.ex.probes))
        good = tuple(probe for probe, y in found.items() if not hopeless(y))
        agree = (self._called(one, other, good) for one in self.ex.otherwise)
        if good and all(same(one[probe], found[probe]) for one in agree for probe in good):
            yield Question(CALL, other, good, False)

    def _other_numbers(self, declared: list[Prepared]) -> Iterator[Question]:
        """Other numbers where nothing is drawn, as far as everybody agrees who is right: what
        only the solution makes something of was not promised."""
        dice = Random(f"{self.seed} {self.ex.id}")
        for trial in declared * TURNS:
            inputs = {name: _other(value, dice) for name, value in trial.inputs.items()}
            other = replace(trial, name="with other numbers", group=VALUES, inputs=inputs)
            probes = tuple(self.ex.probes)
            found = self._called(self.ex.solution, other, probes)
            agree = (self._called(one, other, probes) for one in self.ex.otherwise)
            if any(map(hopeless, found.values())):
                continue
            if all(same(one[probe], found[probe]) for one in agree for probe in probes):
                yield Question(CALL, other, probes, False)

    def _keep(self, trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
        self.kept.append(trials)
        return trials

    def _prepare(self, trial: Trial, group: str, index: int) -> Prepared:
        """A trial drawn from the secret seed; what cannot be sent is named."""
        for name, value in trial.inputs.items():
            value = value.value if isinstance(value, Given) else value
            if callable(value):
                self.named[id(value)] = Named(group, index, name)
        try:
            return prepare(self.ex, trial, f"{self.seed} {trial.name}")
        except ValueError:  # no module can be built
            return prepare(self.ex, trial, f"{self.seed} {trial.name}", weights=False)

    def _sendable(self, question: Question) -> bool:
        names = {
            name: self.named[id(value)]
            for name, value in question.trial.inputs.items()
            if id(value) in self.named
        }
        object.__setattr__(question, "names", names)
        try:
            question.packed(bytearray())
        except Unsendable:
            return False
        return True

    # ------------------------------------------------------------ the replies

    def _answers(self) -> list[Callable]:
        """The solution, and every published variant in each of its ways."""
        variants = [slip for slip in slips_of(self.ex) if slip.variant]
        return [self.ex.solution, *(way() for slip in variants for way in slip.answers)]

    def _called(self, answer: Callable, trial: Prepared, probes: tuple[str, ...]) -> Any:
        built, fault, _ = build(self.ex, answer, trial)
        if fault is not None:
            return dict.fromkeys(probes, fault)
        return {probe: outcome(self.ex, built, probe, trial.fresh()) for probe in probes}

    def _reply(self, answer: Callable, question: Question) -> Any:
        if question.kind == GRADIENTS:
            return gradients(self.ex, answer, question.trial, question.probes[0])
        return self._called(answer, question.trial, question.probes)

    def _departs(self, right: list[Any], replies: list[Any]) -> str | None:
        for question, wanted, got in zip(self.questions, right, replies, strict=True):
            if question.kind == GRADIENTS:
                if not _same_gradients(wanted, got):
                    return f"the gradient of {question.probes[0]}"
                continue
            for probe in question.probes:
                y = got.get(probe) if isinstance(got, dict) else None
                if not _agrees(question, wanted[probe], y):
                    return probe
        return None


def _other(value: Any, dice: Random) -> Any:
    """Another number of its kind; several of them; what is no number, as it is."""
    if isinstance(value, tuple):
        return tuple(_other(part, dice) for part in value)
    if type(value) is int and value > 0:
        return dice.choice((value, value + dice.randint(1, 5), value * dice.randint(2, 4)))
    if type(value) is float:
        return value * dice.uniform(0.5, 2)
    return value


def _agrees(question: Question, right: Any, y: Any) -> bool:
    """Whether a reply is right; where the solution has none to give, every one is."""
    if isinstance(right, Crash) and question.kind == REFUSED:
        if right.kind != "ValueError":
            return True
        return (
            isinstance(y, Crashed)
            and y.kind == "ValueError"
            and all(said(one, y.text) for one in question.says)
        )
    if isinstance(right, str) and question.kind == REFUSED:  # it cannot be built
        return isinstance(y, Crashed)
    if isinstance(right, Crash) or (hopeless(right) and question.trial.group != VALUES):
        return True
    if isinstance(y, Crashed):
        return False
    return same(y, right, question.trial.dtype) or (not question.exact and nearly(y, right))


def _same_gradients(right: Any, y: Any) -> bool:
    """Whether gradients reach all that those of the solution reach, with the same numbers."""
    if not isinstance(right, dict):
        return True
    for name, wanted in right.items():
        if not isinstance(wanted, Tensor) or hopeless(wanted) or not wanted.any():
            continue
        got = y.get(name) if isinstance(y, dict) else None
        if not isinstance(got, Tensor) or not (same(got, wanted) or nearly(got, wanted)):
            return False
    return True
