"""Compare an answer with the solution and say what is wrong, in the words of the chapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import isasyncgen, iscoroutine, isgenerator, signature
from typing import Any

import torch
from torch import Tensor, nn

from attncourse.checker import stages
from attncourse.checker.alterations import altered, everywhere, given_to_layers
from attncourse.checker.crashes import explain, shapes_on_line, told
from attncourse.checker.laws import GENERAL, LAWS, Look
from attncourse.checker.read_off import OF_SEVERAL, READ_OFF, count_in_letters
from attncourse.checker.running import Crash, attempt, calm
from attncourse.checker.sheet import (
    FLOAT32,
    LARGE,
    STRIDED,
    Prepared,
    Result,
    arguments,
    build,
    digest,
    gradients,
    may_be_same,
    outcome,
    parameters,
    probe_of,
    run,
    same,
    sheet,
)
from attncourse.checker.verdict import NOT_ATTEMPTED, NOT_YET, PASSED, Verdict
from attncourse.course import exercise
from attncourse.errors import UnknownExercise
from attncourse.exercises.letters import largest, number, place, spell
from attncourse.exercises.record import Exercise, Slip
from attncourse.papers import counting

STOPPED = "KeyboardInterrupt"
# said before one step is found that is done otherwise, since they name the cause more closely
IN_BETTER_WORDS = {"gains_are_themselves", "coordinates_span_the_picture", *READ_OFF}


def check(id: str | Exercise, answer: Any) -> Verdict:
    """The verdict on `answer`, the learner's own function or class for exercise `id`.

    Never raises for a mistake of the learner's, whatever the answer is, and leaves no trace:
    inputs are clones, random numbers are as before, what the answer prints is dropped.
    """
    try:
        ex = id if isinstance(id, Exercise) else exercise(id)
    except UnknownExercise as error:
        return Verdict(str(id), NOT_YET, str(error))
    try:
        with calm():
            return _Examination(ex, answer).verdict()
    except KeyboardInterrupt:
        return Verdict(ex.id, NOT_YET, "Stopped. Your answer had not come to an end.")
    except Exception as error:
        first, *_ = [*str(error).splitlines(), ""]
        text = f"The check itself fails on this answer: {type(error).__name__}: {first}"
        return Verdict(ex.id, NOT_YET, _short(text) + "\nThat is a defect of the course.")


@dataclass(frozen=True)
class Fault:
    """What is wrong: the cause in one line, evidence, and the slip's name if it has one."""

    cause: str
    evidence: tuple[str, ...] = ()
    slip: str | None = None


class _Examination:
    """One answer to one exercise, looked at from the coarsest to the finest."""

    def __init__(self, ex: Exercise, answer: Any):
        self.ex, self.answer, self.sheet = ex, answer, sheet(ex)
        self.unwritten: list[str] = []
        self.notes: list[str] = []

    @property
    def trials(self) -> Sequence[Prepared]:
        return self.sheet.trials

    def verdict(self) -> Verdict:
        if reason := self.ex.needs():
            return Verdict(self.ex.id, NOT_ATTEMPTED, f"Not checked: {reason}")
        if self.waits():
            text = "`__init__` calls something that you have not written yet: that comes first."
            return Verdict(self.ex.id, NOT_ATTEMPTED, text)
        if fault := self.wrong_form():
            return self.not_yet(fault)
        first = self.results[0]
        if first.note:
            self.notes.append(first.note)
        self.unwritten = [p for p, y in first.outcomes.items() if _unwritten(y)]
        if self.unwritten and len(self.unwritten) == len(self.ex.probes):
            what = " and ".join(f"`{p}`" for p in self.unwritten)
            text = f"Write {what}, then run this cell again."
            return Verdict(self.ex.id, NOT_ATTEMPTED, text)
        if variant := self.variant():
            return Verdict(
                self.ex.id, PASSED, f"Passed, as a variant. {variant.message}", variant.name
            )
        for find in (
            self.wrong_values,
            self.random,
            self.memory,
            self.wrong_variations,
            self.wrong_mode,
            self.too_many_calls,
            self.not_refused,
        ):
            if fault := find():
                return self.not_yet(fault)
        if self.unwritten:
            done = " and ".join(f"`{p}`" for p in self.ex.probes if p not in self.unwritten)
            left = " and ".join(f"`{p}`" for p in self.unwritten)
            return self.not_yet(Fault(f"{done} is right. Still to be written: {left}."))
        for find in (self.graph_kept, self.wrong_gradients, self.wrong_device, self.wrong_cost):
            if fault := find():
                return self.not_yet(fault)
        agree = " and ".join(f"`{p}`" for p in self.ex.probes)
        n = len(self.trials)
        text = [
            f"{agree} {'agree' if len(self.ex.probes) > 1 else 'agrees'} with the solution on"
            f" {n} trials."
        ]
        if remark := self.remark():
            text.append(remark)
        return Verdict(self.ex.id, PASSED, "\n".join(text + self.notes))

    def not_yet(self, fault: Fault) -> Verdict:
        lines = [fault.cause[:1].upper() + fault.cause[1:], *fault.evidence, *self.notes]
        lines = [line for text in lines for line in _short(text).splitlines()][:11]
        lines.append(f'Stuck? `hint("{self.ex.id}")`')
        return Verdict(self.ex.id, NOT_YET, "\n".join(lines), fault.slip)

    def waits(self) -> bool:
        """Whether a module cannot be built because an earlier exercise is not written."""
        if not (self.ex.is_module and isinstance(self.answer, type)):
            return False
        if "__init__" in self.ex.blank:
            return False
        return _unwritten(self.results[0].fault)

    # 1. what it is

    def wrong_form(self) -> Fault | None:
        """Not a function or class at all, or one that cannot be built."""
        ex, answer = self.ex, self.answer
        kind = "class" if ex.is_module else "function"
        ask = f'Pass the {kind} itself: `check("{ex.id}", {ex.name})`.'
        if ex.is_module:
            if isinstance(answer, nn.Module):
                return Fault(
                    f"This is a `{type(answer).__name__}` that is already built. {ask}"
                )
            if not callable(answer):
                return Fault(f"This is {_a(answer)}, not a class. {ask}")
        elif isinstance(answer, type):
            return Fault(f"This is the class `{answer.__name__}`, not a function. {ask}")
        elif not callable(answer):
            return Fault(f"This is {_a(answer)}, not a function. {ask}")
        if fault := self.other_order():
            return fault
        first = self.results[0]
        if isinstance(first.fault, str):
            return Fault(first.fault)
        if isinstance(first.fault, Crash):
            if first.fault.unwritten:
                return Fault("`__init__` is still to be written; take the one of the stub.")
            return self.crashed(first.fault, "__init__", self.trials[0])
        return None

    def other_order(self) -> Fault | None:
        """The right arguments in another order: told before anything crashes on them."""
        for probe in self.ex.probes:
            owner = getattr(self.answer, probe, None) if self.ex.is_module else self.answer
            mine = attempt(lambda o=owner: list(signature(o).parameters))
            names = list(parameters(self.ex, probe))
            if self.ex.through:  # these are the inputs of a trial, not the answer's own
                names = list(signature(self.ex.solution).parameters)
            if not isinstance(mine, list) or mine == names:
                continue
            first, wanted = [[n[:1] for n in ns if n != "self"] for ns in (mine, names)]
            if first != wanted and sorted(first) == sorted(wanted) == sorted(set(wanted)):
                return Fault(
                    f"`{probe}` takes ({', '.join(mine)}); the exercise calls it with "
                    f"({', '.join(names)}), in this order.",
                    (),
                    "arguments_in_another_order",
                )
        return None

    @cached_property
    def results(self) -> list[Result]:
        """What the answer makes of the declared trials. Stops at an interrupt."""
        results = []
        for index in self.sheet.declared:
            results.append(self.run(index))
        return results

    @cached_property
    def digests(self) -> dict[tuple[int, str], Any]:
        """Of what the answer makes of each trial and probe."""
        return {
            (index, probe): digest(result.outcomes.get(probe))
            for index, result in enumerate(self.results)
            for probe in self.ex.probes
        }

    def run(self, index: int) -> Result:
        result = run(self.ex, self.answer, self.trials[index])
        crashes = [y for y in (*result.outcomes.values(), result.fault) if isinstance(y, Crash)]
        if any(crash.kind == STOPPED for crash in crashes):
            raise KeyboardInterrupt
        return result

    # 2. to 4. and 6. to 8.: what it returns

    def wrong_values(self) -> Fault | None:
        """The first declared trial and probe that depart, and why."""
        for index, result in enumerate(self.results):
            if result.fault:
                return Fault(str(result.fault), (self.seen(self.trials[index]),))
            for probe in self.ex.probes:
                y, right = result.outcomes.get(probe), self.sheet.expected(index, probe)
                if probe in self.unwritten:
                    continue
                if result.changed and result.changed[0] == probe:
                    return self.changes_input(result, index)
                if not same(y, right):
                    return self.diagnose(index, probe, y, right)
        return None

    def changes_input(self, result: Result, index: int) -> Fault:
        probe, name = result.changed
        if name not in self.trials[0].inputs and self.ex.is_module:
            return Fault(
                f"`{probe}` changes the weights `{name}` of the layer. Only training may.",
                ("Compute a new tensor from them instead.",),
                "changes_its_weights",
            )
        value = self.trials[index].inputs.get(name)
        if isinstance(value, nn.Module):
            return Fault(
                f"`{probe}` leaves gradients in the weights of `{name}`. `torch.autograd.grad`"
                " gives those of one tensor; `backward` adds to every weight on the way.",
                (),
                "leaves_gradients",
            )
        if isinstance(value, Tensor) and same(self.left(index, probe, name), value):
            return Fault(
                f"`{probe}` makes its input `{name}` ask for gradients; it belongs to the"
                " caller. Detach it first: `detach()` gives a tensor of your own.",
                (),
                "changes_its_input",
            )
        return Fault(
            f"`{probe}` changes its input `{name}` in place; it belongs to the caller. Return a"
            " new tensor.",
            ("Methods whose name ends in an underscore, `+=` and `x[…] = …` work in place.",),
            "changes_its_input",
        )

    def left(self, index: int, probe: str, name: str) -> Any:
        """What an input holds after a probe."""
        trial = self.trials[index]
        built, _, _ = build(self.ex, self.answer, trial)
        inputs = trial.fresh()
        outcome(self.ex, built, probe, inputs)
        return inputs[name].detach()

    def diagnose(self, index: int, probe: str, y: Any, right: Any) -> Fault:
        """Why a probe departs on a declared trial."""
        trial = self.trials[index]
        if fault := self.random() or self.random(index):
            return fault
        if isinstance(y, Crash):
            named = self.recognised(index, probe)
            return self.crashed(y, probe, trial, named)
        axes = self.ex.probes[probe]
        seen = self.seen(trial)
        comparable = _comparable(y, right) or _parts_comparable(y, right)
        worst = _worst(y, right, axes) if comparable else ""
        done = self.right_before(probe)
        if found := self.recognised(index, probe):
            slip, whole = found
            rest = done if whole else ("On other inputs something else departs as well.",)
            return Fault(
                slip.message, (seen, worst, *rest) if worst else (seen, *rest), slip.name
            )
        if wrong := _wrong_kind(probe, y, right, axes, trial):
            if terms := self.counted_otherwise(probe):
                return Fault(terms, (wrong, seen))
            return Fault(wrong, (seen, *done))
        if _nearly(y, right):
            return Fault(
                f"`{probe}` is right to a few digits only: is a part of it computed in single "
                "precision (`.float()`, `dtype=`), or a small number added?",
                (seen, worst),
                "loses_precision",
            )
        if said := self.one_step(index, probe, y, right):
            return Fault(said, (seen, worst, *done))
        stage = self.first_stage(index, probe)
        if isinstance(y, Tensor) and y.is_floating_point() and y.isinf().any():
            what = (
                f"`{probe}` returns {y.isinf().sum().item()} values that are not finite (inf)."
            )
            return Fault(what, tuple(t for t in (stage, seen) if t))
        if not self.ex.is_module and _rearranged(y, right):
            return self.rearranged(probe, (seen, worst))
        lawful = isinstance(y, Tensor) or _parts_comparable(y, right)
        reason = self.broken_law(trial, probe, y, right) if lawful else None
        if reason:
            return Fault(reason, tuple(t for t in (stage, seen, worst) if t))
        if isinstance(y, Tensor) and y.is_floating_point() and not y.isfinite().all():
            bad = (~y.isfinite() & right.isfinite()).sum().item()
            if bad:
                return Fault(
                    f"`{probe}` returns {bad} values that are not finite (nan).",
                    tuple(t for t in (stage, seen) if t),
                )
        if said := self.everywhere(probe):
            return Fault(said, (seen, worst, *done))
        if stage:
            return Fault(stage, (seen, worst, *done))
        if _rearranged(y, right):
            return self.rearranged(probe, (seen, worst, *done))
        return Fault(worst, (seen, *done, *self.earlier(index)))

    def counted_otherwise(self, probe: str) -> str | None:
        """Of a count: which term is too much or too little, if the trials agree on it."""
        places = [(i, self.results[i].outcomes.get(probe)) for i in self.sheet.declared]
        right = [self.sheet.expected(i, probe) for i in self.sheet.declared]
        if not all(type(y) is int for y in (*(y for _, y in places), *right)):
            return None
        inputs = [self.trials[i].inputs for i in self.sheet.declared]
        said = attempt(lambda: count_in_letters(inputs, [y for _, y in places], right))
        return said if isinstance(said, str) else None

    def rearranged(self, probe: str, evidence: tuple[str, ...]) -> Fault:
        """The right numbers at other places."""
        return Fault(
            f"`{probe}` returns the right numbers in another order: is an axis reshaped where "
            "it should be moved? `rearrange` moves it.",
            evidence,
            "right_numbers_in_another_order",
        )

    def right_before(self, probe: str) -> tuple[str, ...]:
        """That the probes before this one are right on every trial, if there are any."""
        before = list(self.ex.probes)[: list(self.ex.probes).index(probe)]
        if not before or not all(self.right_everywhere(one) for one in before):
            return ()
        names = " and ".join(f"`{one}`" for one in before)
        return (f"{names} {'is' if len(before) == 1 else 'are'} right; look into `{probe}`.",)

    def right_everywhere(self, probe: str) -> bool:
        """Whether a probe is right on every trial."""
        return all(
            same(result.outcomes.get(probe), self.sheet.expected(i, probe))
            for i, result in enumerate(self.results)
        )

    def earlier(self, index: int) -> tuple[str, ...]:
        """Which trials were right before this one: a cause often lies in the difference."""
        right = [self.trials[i].name for i in range(index)]
        return (f"Right {', '.join(right)}.",) if right else ()

    def seen(self, trial: Prepared) -> str:
        """On which trial."""
        sizes = ", ".join(f"{axis}={n}" for axis, n in trial.sizes.items())
        return f"Seen {trial.name} ({sizes})." if sizes else f"Seen {trial.name}."

    def recognised(self, index: int, probe: str) -> tuple[Slip, bool] | None:
        """The slip that gives what the answer gives, and whether it does so on every trial."""
        every = list(range(len(self.results)))
        order = [index, *(i for i in every if i != index)]
        probes = [p for p in self.ex.probes if p not in self.unwritten]
        alike = [
            i for i in order if self.trials[i].inputs.keys() == self.trials[index].inputs.keys()
        ]
        looks = [(probes, order)] + ([([probe], order)] if len(probes) > 1 else [])
        for which, where in looks:
            for slip in self.sheet.slips:
                if self.fits(slip, which, where):
                    return slip, True
        if 1 < len(alike) < len(every):
            for slip in self.sheet.slips:
                if not slip.parts and self.fits(slip, [probe], alike):
                    return slip, False
        return None

    def fits(self, slip: Slip, probes: Sequence[str], indices: Sequence[int]) -> bool:
        """Whether a slip, made in any way, gives what the answer gives, unlike the solution."""
        ways = range(len(slip.answers))
        return any(self.fits_so(slip, way, probes, indices) for way in ways)

    def fits_so(
        self, slip: Slip, way: int, probes: Sequence[str], indices: Sequence[int]
    ) -> bool:
        """Whether a slip gives what the answer gives, when it is made in one way."""
        told_apart = False
        for index in indices:
            for probe in probes:
                y = self.results[index].outcomes.get(probe)
                if not may_be_same(
                    self.digests[index, probe],
                    self.sheet.digest_of_slip(slip, index, probe, way),
                ) or not same(y, self.sheet.of_slip(slip, index, probe, way)):
                    return False
                right = self.sheet.expected(index, probe)
                told_apart |= not isinstance(y, Crash) and not same(y, right)
        return told_apart

    def variant(self) -> Slip | None:
        """The other published reading that the answer follows on every trial, if any."""
        if self.unwritten:
            return None
        every, probes = range(len(self.results)), list(self.ex.probes)
        found = (s for s in self.sheet.slips if s.variant and self.fits(s, probes, every))
        return next(found, None)

    def broken_law(
        self, trial: Prepared, probe: str, y: Any, right: Any, laws: Sequence[str] = ()
    ) -> str | None:
        """The first law of the exercise that the answer breaks; of several returns, the first
        that is wrong."""
        axes, at = self.ex.probes[probe], None
        names = laws or self.ex.laws

        def ask(**changes):
            built, fault, _ = build(self.ex, self.answer, trial)
            if fault is not None:
                return fault
            inputs = trial.fresh() | changes
            with torch.set_grad_enabled("gradients" in self.ex.skip):
                return attempt(
                    lambda: probe_of(self.ex, built, probe)(*arguments(self.ex, probe, inputs))
                )

        def ask_one(**changes):
            found = ask(**changes)
            return found if isinstance(found, Crash) else found[at]

        look = whole = Look(trial, probe, axes, y, right, ask)
        if isinstance(right, tuple):
            at = next(n for n, pair in enumerate(zip(y, right, strict=True)) if not same(*pair))
            axes = axes[at] if isinstance(axes, tuple) else axes
            look = Look(trial, probe, axes, y[at], right[at], ask_one)
        for name in names:
            all_at_once = name in OF_SEVERAL
            said = attempt(lambda n=name, w=all_at_once: LAWS[n](whole if w else look))
            if isinstance(said, str):
                return said if at is None or all_at_once else f"In [{at}]: {said}"
        return None

    def everywhere(self, probe: str) -> str | None:
        """What is done to the right result, the same everywhere."""
        said = attempt(lambda: everywhere(self.ex, probe, self.answers(probe)))
        return said if isinstance(said, str) else None

    def answers(self, probe: str) -> list[Any]:
        """What the answer makes of each declared trial."""
        return [result.outcomes.get(probe) for result in self.results]

    def one_step(self, index: int, probe: str, y: Any, expected: Any) -> str | None:
        """The one step of the solution that the answer does otherwise."""
        better = [name for name in self.ex.laws if name in IN_BETTER_WORDS]
        if better and (isinstance(y, Tensor) or _parts_comparable(y, expected)):
            if said := self.broken_law(self.trials[index], probe, y, expected, better):
                return said
        answers = self.answers(probe)
        before = self.ex.probes if self.ex.is_module else ()
        before = list(before)[: list(self.ex.probes).index(probe)]
        right = tuple(one for one in before if self.right_everywhere(one))
        given = attempt(
            lambda: given_to_layers(self.ex, self.answer, self.trials[index], probe)
        )
        given = {} if isinstance(given, Crash) else given
        said = attempt(lambda: altered(self.ex, index, probe, answers, right, given))
        if not isinstance(said, str) and GENERAL & set(self.ex.laws):
            said = self.everywhere(probe)
        return said if isinstance(said, str) else None

    def first_stage(self, index: int, probe: str) -> str | None:
        """The first layer of a module that is given something else than in the solution."""
        if not self.ex.is_module or probe != list(self.ex.probes)[-1]:
            return None
        trial = self.trials[index]

        def used(layer: str) -> bool:
            found = gradients(self.ex, self.answer, trial, probe)
            slopes = [found[n] for n in found if n.startswith(f"{layer}.")]
            return any(slope is not None and slope.abs().max() > 0 for slope in slopes)

        def inside():
            mine, fault, _ = build(self.ex, self.answer, trial)
            right, _, _ = build(self.ex, self.ex.solution, trial)
            if fault is not None:
                return None
            return stages.departs(
                stages.calls(mine, arguments(self.ex, probe, trial.fresh())),
                stages.calls(right, arguments(self.ex, probe, trial.fresh())),
                trial,
                used,
            )

        said = attempt(inside)
        return said if isinstance(said, str) else None

    def crashed(self, crash: Crash, probe: str, trial: Prepared, named=None) -> Fault:
        """The learner's own line, the shapes in letters, and the likely cause."""
        if named and named[1]:
            slip = named[0]
            return Fault(
                slip.message, (self.seen(trial), f"There it ends in {crash.kind}."), slip.name
            )
        if crash.kind == "Returned":  # said already, by the kernel that a step is part of
            return Fault(crash.text, (self.seen(trial),))
        cause = explain(crash, trial.sizes)
        text = crash.text.strip().splitlines()
        error = f"{crash.kind}: {text[0]}" if text else crash.kind
        where = (
            f"`{probe}` stops at line {crash.lineno}: `{crash.line}`"
            if crash.line
            else f"`{probe}` stops"
        )
        if not cause:
            cause = f"{where} with {error}"
            shapes = told(shapes_on_line(crash, trial.sizes))
            return Fault(cause, tuple(t for t in (shapes, self.seen(trial)) if t))
        return Fault(cause, (where, error, self.seen(trial)))

    # standard checks on an answer whose values are right

    def random(self, index: int = 0) -> Fault | None:
        """Whether a second call on the same input gives something else."""
        again = self.run(index)
        for probe, y in self.results[index].outcomes.items():
            other = again.outcomes.get(probe)
            if isinstance(y, Tensor) and isinstance(other, Tensor) and not same(other, y):
                return Fault(
                    f"Two calls of `{probe}` on the same input give different results: is "
                    "there dropout, a layer or a random number made inside it, or something "
                    "kept from call to call?",
                    (),
                    "random",
                )
        return None

    def memory(self) -> Fault | None:
        """Whether the order of the calls matters: something is kept from one to the next."""
        for index in reversed(self.sheet.declared):
            again = self.run(index)
            for probe, y in self.results[index].outcomes.items():
                if isinstance(y, Tensor) and not same(again.outcomes.get(probe), y):
                    return Fault(
                        f"`{probe}` depends on earlier calls: something is kept outside of it, "
                        "such as a mask or a result. Compute from the arguments alone.",
                        (self.seen(self.trials[index]),),
                        "remembers_earlier_calls",
                    )
        return None

    def wrong_variations(self) -> Fault | None:
        """The first trial again: large numbers, scattered memory, single precision."""
        for index in range(len(self.results), len(self.trials)):
            trial = self.trials[index]
            expected = {probe: self.sheet.expected(index, probe) for probe in self.ex.probes}
            if any(_hopeless(y) for y in expected.values()):
                continue
            result = self.run(index)
            for probe, right in expected.items():
                y = result.outcomes.get(probe, result.fault)
                if probe in self.unwritten or same(y, right, trial.dtype):
                    continue
                return self.varied(index, probe, y, right)
        return None

    def varied(self, index: int, probe: str, y: Any, right: Any) -> Fault:
        """Why a probe departs on a variation only."""
        trial = self.trials[index]
        crash = self.crashed(y, probe, trial) if isinstance(y, Crash) else None
        if trial.group == STRIDED:
            return Fault(
                f"`{probe}` is right only for inputs that are contiguous in memory. `rearrange`"
                " takes any layout; `view` does not.",
                (crash.cause, *crash.evidence) if crash else (),
                "needs_contiguous",
            )
        if crash:
            return Fault(crash.cause, crash.evidence)
        if trial.group == FLOAT32 and isinstance(y, Tensor) and y.dtype != right.dtype:
            return Fault(
                f"`{probe}` returns {_dtype(y)} for an input of {_dtype(right)}. Keep the dtype"
                " of the input.",
                (),
                "changes_the_dtype",
            )
        for slip in self.sheet.slips:
            ways = range(len(slip.answers))
            tries = (
                self.sheet.of_slip(slip, index, probe, way)
                for way in ways
                if self.right_otherwise(slip, way, probe)
            )
            if any(same(one, y, trial.dtype) for one in tries):
                return Fault(slip.message, (self.seen(trial),), slip.name)
        parts = y if isinstance(y, (tuple, list)) else (y,)
        finite = all(p.isfinite().all() for p in parts if isinstance(p, Tensor))
        if trial.group == LARGE and not finite:
            return Fault(
                f"`{probe}` overflows: {trial.name} it returns inf or nan. exp of a large score"
                " is inf, and 0 / 0 is nan; subtract the largest score of the row that counts"
                " first, or use `softmax`.",
                (),
                "overflows",
            )
        if trial.group == LARGE:
            answers = [*self.answers(probe), *[None] * (index - len(self.results)), y]
            said = attempt(lambda: altered(self.ex, index, probe, answers))
            if isinstance(said, str):
                return Fault(said, (self.seen(trial),))
        if trial.group == LARGE and isinstance(y, Tensor) and _comparable(y, right):
            return Fault(
                f"`{probe}` is right, except {trial.name}: exp of what is far below the"
                " largest score is 0. Subtract the largest score that counts, without those"
                " that are hidden, or use `softmax`."
                if (y == 0).sum() > (right == 0).sum()
                else f"`{probe}` is right, except {trial.name}.",
                (self.seen(trial), _worst(y, right, self.ex.probes[probe])),
            )
        wrong = _wrong_kind(probe, y, right, self.ex.probes[probe], trial)
        return Fault(wrong or _worst(y, right, self.ex.probes[probe]), (self.seen(trial),))

    def right_otherwise(self, slip: Slip, way: int, probe: str) -> bool:
        """Whether a slip gives what is right on all declared trials, as the answer does."""
        return all(
            same(self.sheet.of_slip(slip, i, probe, way), self.sheet.expected(i, probe))
            for i in self.sheet.declared
        )

    def known_by(self, trace: Callable[[Callable], Any], mine: Any) -> Slip | None:
        """The slip that gives what is right, and leaves the same trace as the answer: its
        gradients, or what it spends."""
        probe = list(self.ex.probes)[-1]
        for slip in self.sheet.slips:
            if self.right_otherwise(slip, 0, probe) and _alike(trace(slip.answer), mine):
                return slip
        return None

    def wrong_mode(self) -> Fault | None:
        """Whether the other mode, of training and evaluation, changes what it should not."""
        if not self.ex.is_module:
            return None
        trial = replace(self.trials[0], evaluate=not self.trials[0].evaluate)
        mine, right = run(self.ex, self.answer, trial), run(self.ex, self.ex.solution, trial)
        here, there = "in training mode", "after `.eval()`"
        if trial.evaluate is False:
            here, there = there, here
        for probe, expected in right.outcomes.items():
            if probe not in self.unwritten and not same(mine.outcomes.get(probe), expected):
                return Fault(f"`{probe}` is right {here} and departs {there}.")
        return None

    def too_many_calls(self) -> Fault | None:
        """Whether a BatchNorm in training counts more calls than in the solution."""
        probe = list(self.ex.probes)[-1]
        for index in self.sheet.declared:
            trial = self.trials[index]
            counted = [n for n in trial.weights or () if n.endswith("num_batches_tracked")]
            if trial.evaluate or not counted:
                continue
            moved = []
            for answer in (self.answer, self.ex.solution):
                built, _, _ = build(self.ex, answer, trial)
                outcome(self.ex, built, probe, trial.fresh())
                state = built.state_dict()
                moved.append([int(state[n]) if n in state else 0 for n in counted])
            for name, mine, right in zip(counted, *moved, strict=True):
                if mine > right:
                    layer = name.rpartition(".")[0]
                    return Fault(
                        f"The values are right, but `self.{layer}` runs {mine} times where"
                        f" {right} is enough: in training each call moves its statistics. Keep"
                        " the first result.",
                        (self.seen(trial),),
                        "calls_too_often",
                    )
        return None

    def not_refused(self) -> Fault | None:
        """Whether it takes what it should refuse with a ValueError."""
        for trial in self.sheet.refused:
            result = run(self.ex, self.answer, trial)
            for probe in self.ex.probes:
                y = result.outcomes.get(probe, result.fault)
                enough = "kind" in self.ex.skip or getattr(y, "kind", "") == "ValueError"
                if probe in self.unwritten or (isinstance(y, Crash) and enough):
                    continue
                how = f"ends in {y.kind} for" if isinstance(y, Crash) else "does not refuse"
                return Fault(
                    f"The values are right, but `{probe}` {how} {trial.name}: raise a"
                    " `ValueError` that says what is wrong.",
                    (),
                    "not_refused",
                )
        return None

    def graph_kept(self) -> Fault | None:
        """Whether a result that should be plain numbers still hangs on what it came from."""
        if "gradients" not in self.ex.skip:
            return None
        for index, result in enumerate(self.results):
            for probe, y in result.outcomes.items():
                right = self.sheet.expected(index, probe)
                if isinstance(y, Tensor) and y.requires_grad and not right.requires_grad:
                    return Fault(
                        f"What `{probe}` returns still holds the graph it was computed with."
                        " Detach what it is made of: its maker keeps all of it in memory.",
                        ("The values are right.",),
                        "graph_kept",
                    )
        return None

    def wrong_gradients(self) -> Fault | None:
        """Whether gradients reach every input and parameter, and are right."""
        if "gradients" in self.ex.skip:
            return None
        probe = list(self.ex.probes)[-1]
        for index in self.sheet.declared:
            right = self.sheet.expected_gradients(index, probe)
            if not isinstance(right, dict) or all(g is None for g in right.values()):
                continue
            trial = self.trials[index]
            mine = gradients(self.ex, self.answer, trial, probe)
            if isinstance(mine, Crash):
                fault = self.crashed(mine, probe, trial)
                return Fault(fault.cause, ("While gradients are computed:", *fault.evidence))
            lost = [
                name
                for name, wanted in right.items()
                if mine.get(name) is None and wanted is not None and wanted.abs().max() > 0
            ]
            for name, wanted in right.items():
                got = mine.get(name)
                off = got is not None and wanted is not None and not same(got, wanted)
                if (lost or off) and (
                    slip := self.known_by(
                        lambda s, t=trial: gradients(self.ex, s, t, probe), mine
                    )
                ):
                    return Fault(slip.message, (self.seen(trial),), slip.name)
                if lost:
                    names = ", ".join(f"`{one}`" for one in lost[:4])
                    return Fault(
                        f"No gradient reaches {names}: is there a `detach`, `.data`,"
                        " `no_grad`, `.item()`, numpy or a newly made tensor on the way?",
                        ("The values are right.", self.seen(trial)),
                        "no_gradient",
                    )
                if off:
                    if got.isnan().any():
                        cause = (
                            f"The gradient for `{name}` is nan although the values are right."
                        )
                        more = (
                            "Replacing nan after the softmax is too late: mask before it."
                            if any(_is_mask(x) for x in trial.inputs.values())
                            else "Somewhere inside an exp overflows, or 0 is divided by 0."
                        )
                    elif _nearly(got, wanted):
                        cause = (
                            f"The values and the gradient for `{name}` are right to a few"
                            " digits only."
                        )
                        more = "Is a small number added, such as an epsilon in a denominator?"
                    else:
                        cause = f"The values are right, but the gradient for `{name}` is not."
                        more = "Is a part of it detached, or divided by nearly nothing?"
                    return Fault(cause, (more, self.seen(trial)), "wrong_gradient")
        return None

    def wrong_device(self) -> Fault | None:
        """Whether something is made on a device of its own, found without having another
        one."""
        if "device" in self.ex.skip:
            return None
        for index in self.sheet.declared:
            for probe in self.ex.probes:
                inputs = {n: _to_meta(x) for n, x in self.trials[index].inputs.items()}
                if not any(isinstance(x, Tensor) for x in inputs.values()):
                    continue
                here = build(self.ex, self.answer, self.trials[index])[0]
                if isinstance(here, nn.Module):
                    here = here.to("meta")
                y = attempt(
                    lambda h=here, p=probe, i=inputs: probe_of(self.ex, h, p)(
                        *arguments(self.ex, p, i)
                    )
                )
                moved = isinstance(y, Tensor) and y.device.type != "meta"
                mixed = isinstance(y, Crash) and (
                    "same device" in y.text
                    or "is not on the expected device" in y.text
                    or ("copy out of meta" in y.text and "cpu" in y.line)
                )
                if moved or mixed:
                    line = (f"`{y.line}`",) if mixed and y.line else ()
                    return Fault(
                        f"`{probe}` makes a tensor on the CPU wherever its input lies. Pass "
                        "`device=x.device`.",
                        line,
                        "leaves_the_device",
                    )
        return None

    def wrong_cost(self) -> Fault | None:
        """Where cost is the point: counts against those of the solution."""
        if not self.ex.cost:
            return None
        trial, probe = self.trials[0], list(self.ex.probes)[-1]

        def spent(answer: Callable) -> counting.Count:
            built, _, _ = build(self.ex, answer, trial)
            return counting.count(
                lambda: probe_of(self.ex, built, probe)(
                    *arguments(self.ex, probe, trial.fresh())
                )
            )

        mine, right = attempt(lambda: spent(self.answer)), spent(self.ex.solution)
        if isinstance(mine, Crash):
            return None
        for what, factor, yours, ours in (
            (
                "largest tensor",
                self.ex.cost.largest_tensor,
                mine.largest_tensor,
                right.largest_tensor,
            ),
            (
                "multiply-adds",
                self.ex.cost.multiply_adds,
                mine.multiply_adds,
                right.multiply_adds,
            ),
        ):
            if factor is not None and yours > factor * ours:
                if slip := self.known_by(lambda one: attempt(lambda: spent(one)), mine):
                    dear = f"{yours:,} numbers where {ours:,} are enough."
                    if what != "largest tensor":
                        dear = f"{yours:,} {what} where {ours:,} are enough."
                    return Fault(slip.message, (dear, self.seen(trial)), slip.name)
                unit = "numbers" if what == "largest tensor" else "multiply-adds"
                where = "your largest tensor holds" if what == "largest tensor" else "you spend"
                return Fault(
                    f"Right, but too dear: {where} {yours:,} {unit}; {ours:,} are enough.",
                    (self.seen(trial),),
                    what.replace(" ", "_").replace("-", "_"),
                )
        return None

    def remark(self) -> str | None:
        """What is said of the trial outside the contract proper."""
        trial = self.sheet.remark
        if trial is None:
            return None
        mine, right = run(self.ex, self.answer, trial), run(self.ex, self.ex.solution, trial)
        if mine.fault is None and all(
            same(mine.outcomes[p], y) for p, y in right.outcomes.items()
        ):
            return None
        return f"A remark: it does not hold {trial.name}, which later chapters need."


def _a(answer: Any) -> str:
    """ "a str", "None", "a tensor of shape (2, 3)"."""
    if answer is None:
        return "None"
    if isinstance(answer, Tensor):
        return f"a tensor of shape {tuple(answer.shape)}, as if it had been called already"
    if isgenerator(answer) or isasyncgen(answer):
        return "a generator"
    return f"a value of type {type(answer).__name__}"


def _alike(one: Any, other: Any) -> bool:
    """The same gradients, or the same counts."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[n], other[n]) for n in one)
    return type(one) is type(other) and one == other


def _unwritten(y: Any) -> bool:
    return isinstance(y, Crash) and y.unwritten


def _hopeless(y: Any) -> bool:
    """A trial on which the solution itself is of no use."""
    return isinstance(y, Crash) or (
        isinstance(y, Tensor) and y.is_floating_point() and not y.isfinite().all()
    )


def _is_mask(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype == torch.bool


def _to_meta(x: Any) -> Any:
    return x.to("meta") if isinstance(x, Tensor) else x


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _comparable(y: Any, right: Any) -> bool:
    return (
        isinstance(y, Tensor)
        and isinstance(right, Tensor)
        and y.shape == right.shape
        and y.device == right.device
        and y.numel() > 0
    )


def _parts_comparable(y: Any, right: Any) -> bool:
    """Several tensors each, of the same shapes."""
    return (
        isinstance(right, tuple)
        and isinstance(y, (tuple, list))
        and len(y) == len(right)
        and all(_comparable(a, b) for a, b in zip(y, right, strict=True))
    )


def _wrong_kind(probe: str, y: Any, right: Any, axes: Any, trial: Prepared) -> str | None:
    """Type, number of returns, shape, dtype or device, in this order; None if all agree."""
    if y is None:
        return f"`{probe}` returns None. Is a `return` missing?"
    if isgenerator(y):
        return f"`{probe}` returns a generator: `yield` where `return` was meant?"
    if iscoroutine(y):
        return f"`{probe}` returns a coroutine: it is written with `async def`."
    if isinstance(right, tuple):
        if not isinstance(y, (tuple, list)):
            return f"`{probe}` returns {_kind(y)}; it should return {len(right)} values."
        if len(y) != len(right):
            return f"`{probe}` returns {len(y)} values; it should return {len(right)}."
        for number_, (a, b) in enumerate(zip(y, right, strict=True)):
            part = axes[number_] if isinstance(axes, tuple) else axes
            if wrong := _wrong_kind(f"{probe}[{number_}]", a, b, part, trial):
                return wrong
        return None
    if not isinstance(right, Tensor):
        if type(y) is not type(right):
            return f"`{probe}` returns {_kind(y)}; it should return {_kind(right)}."
        if same(y, right):  # one of several values, and not the wrong one
            return None
        return f"`{probe}` returns {y!r}; it should return {right!r}."
    if isinstance(y, (tuple, list)):
        return (
            f"`{probe}` returns {len(y)} values ({', '.join(_kind(v) for v in y[:4])}); it"
            f" should return one tensor, {axes}."
        )
    if not isinstance(y, Tensor):
        return f"`{probe}` returns {_kind(y)}, not a tensor. Is a return wrong?"
    if y.shape != right.shape:
        text = f"`{probe}` returns {spell(y.shape, trial.sizes)}; it should return {axes}."
        lost = [size for size in right.shape if size not in y.shape]
        if y.ndim == right.ndim - 1 and len(lost) == 1 and lost != [1]:
            axis = spell(lost, trial.sizes)
            text += f" The axis {axis} is missing: was it summed, averaged or never made?"
        elif 1 in right.shape and y.shape == right.squeeze().shape:
            text += " A `squeeze` takes away every axis of length 1; say which one you mean."
        return text
    if y.dtype != right.dtype:
        return f"`{probe}` returns {_dtype(y)}; it should return {_dtype(right)}."
    if y.device != right.device:
        return f"`{probe}` returns a tensor on {y.device}; it should stay on {right.device}."
    return None


def _nearly(y: Any, right: Any) -> bool:
    """Right in the first digits: what single precision or a small constant leaves."""
    if _parts_comparable(y, right):
        return all(same(*pair) or _nearly(*pair) for pair in zip(y, right, strict=True))
    if not _comparable(y, right) or not right.is_floating_point():
        return False
    scale = right.abs().max().clamp(min=1e-12)
    return bool(((y - right).abs().max() < 1e-5 * scale).item())


def _rearranged(y: Any, right: Any) -> bool:
    """The same numbers at other places."""
    if not _comparable(y, right) or not right.is_floating_point():
        return False
    return torch.allclose(y.flatten().sort().values, right.flatten().sort().values)


def _kind(y: Any) -> str:
    if y is None:
        return "None"
    return "a tensor" if isinstance(y, Tensor) else f"a value of type {type(y).__name__}"


def _worst(y: Any, right: Any, axes: Any) -> str:
    """The element that is furthest off, in letters."""
    if isinstance(right, tuple):
        axes = axes if isinstance(axes, tuple) else [axes] * len(right)
        pairs = [(n, *three) for n, three in enumerate(zip(y, right, axes, strict=True))]
        rest = [n for n, a, b, _ in pairs if same(a, b)]
        verb = "is" if len(rest) == 1 else "are"
        fine = f" {' and '.join(f'[{n}]' for n in rest)} {verb} right."
        return next(
            (
                f"In [{n}]: {_worst(a, b, ax)}" + (fine if rest else "")
                for n, a, b, ax in pairs
                if not same(a, b)
            ),
            "",
        )
    if right.dtype == torch.bool:
        off = y != right
        at = largest(off)
        where = place(at, axes) if y.ndim else "all"
        return (
            f"{off.sum().item()} of {off.numel()} are wrong: {bool(y[at])} at {where}; it"
            f" should be {bool(right[at])}."
        )
    off = (y.double() - right.double()).abs()
    off = torch.where(y.isfinite(), off, torch.inf)
    if not y.ndim:
        return f"The result is {number(y.item())}; it should be {number(right.item())}."
    at = largest(off)
    wrong = (
        ~torch.isclose(y.double(), right.double(), rtol=1e-6, atol=1e-8, equal_nan=True)
    ).sum()
    mine, wanted = number(y[at].item()), number(right[at].item())
    if mine == wanted:
        mine, wanted = f"{y[at].item():.10g}", f"{right[at].item():.10g}"
    return (
        f"The result is {mine} at {place(at, axes)}; it should be "
        f"{wanted} ({wrong.item()} of {y.numel()} numbers are off)."
    )


def _short(text: str) -> str:
    """A line that no error message of somebody else's can blow up."""
    return text if len(text) <= 400 else text[:397] + "…"
