"""`check`: the examiners in order, of whom the first is heard that has something to say."""

from typing import Any

from attncourse.checker import rules
from attncourse.checker.adopting import adopt
from attncourse.checker.case import Case
from attncourse.checker.ending import SECONDS, Stopped, limited, undisturbed
from attncourse.checker.examiners import (
    argument_order,
    authorship,
    calls,
    construction,
    cost,
    device,
    earlier,
    form,
    gradients,
    graph,
    initial,
    machine,
    memory,
    methods,
    mode,
    not_attempted,
    promised,
    randomness,
    refusals,
    remark,
    unfinished,
    values,
    variant,
    variations,
)
from attncourse.checker.fault import Fault, short
from attncourse.checker.running import calm
from attncourse.checker.stopping import stopped
from attncourse.checker.verdict import NOT_YET, PASSED, Verdict
from attncourse.course import exercise
from attncourse.errors import UnknownExercise
from attncourse.exercises.record import Exercise

EXAMINERS = (
    # Is there something to examine?
    machine,
    earlier,
    form,
    argument_order,
    construction,
    not_attempted,
    # What does it return?
    variant,
    values,
    # The values are right. Are they so whatever is called before, and in every way?
    randomness,
    memory,
    variations,
    mode,
    calls,
    refusals,
    unfinished,
    # Does it keep the standing rules, once it is whole?
    graph,
    gradients,
    device,
    cost,
    # Does it keep what the stub promises beyond the trials?
    promised,
    methods,
    initial,
    # Whose is it?
    authorship,
    # Nobody promised it: said on a pass, never refused.
    remark,
)


def check(id: str | Exercise, answer: Any, *, seconds: float = SECONDS) -> Verdict:
    """The verdict on `answer`, the learner's own function or class for exercise `id`.

    Never raises for a mistake of the learner's, whatever the answer is, and leaves no trace:
    inputs are clones, random numbers are as before, what the answer prints is dropped. It is
    stopped after `seconds` of processor time.
    """
    try:
        ex = id if isinstance(id, Exercise) else exercise(id)
    except UnknownExercise as error:
        return Verdict(str(id), NOT_YET, str(error))
    try:
        case = Case(ex, answer)
        with calm(), limited(seconds) as guard:
            try:
                verdict = examined(case)
                if verdict and not case.sheet.knows_the_solution:
                    adopt(ex, answer)
                return verdict
            except (Stopped, KeyboardInterrupt, MemoryError) as error:
                with undisturbed():
                    if fault := stopped(case, guard, error):
                        return fault.verdict(ex.id)
                    raise
    except KeyboardInterrupt:
        return Verdict(ex.id, NOT_YET, "Stopped. Your answer had not come to an end.")
    except Exception as error:
        first, *_ = [*str(error).splitlines(), ""]
        text = f"The check itself fails on this answer: {type(error).__name__}: {first}"
        return Verdict(ex.id, NOT_YET, short(text) + "\nThat is a defect of the course.")


def examined(case: Case) -> Verdict:
    """What the first examiner says that has something to say; else that the answer passes."""
    rules.last.pop(case.ex.id, None)
    for examiner in EXAMINERS:
        found = examiner.examine(case)
        if isinstance(found, Fault):
            rules.last[case.ex.id] = found.slip
            return found.verdict(case.ex.id, case.notes)
        if found is not None:
            return found
    probes, trials = case.ex.probes, len(case.trials)
    agree = " and ".join(f"`{p}`" for p in probes)
    verb = "agree" if len(probes) > 1 else "agrees"
    text = f"{agree} {verb} with the solution on {trials} trials."
    return Verdict(case.ex.id, PASSED, "\n".join([text, *case.remarks, *case.notes]))
