"""Is it the learner's own, or the course's, wrapped, inherited, borrowed; or torch's?

Asked where all else is right: the answer is called once more, on the first and on the last
trial, and it is heard what runs. What earlier exercises asked for may be the course's own.
"""

from attncourse.checker.calling import run
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.listening import is_code_of, listening, own_code
from attncourse.checker.running import attempt
from attncourse.checker.verdict import TAKEN_OVER, Verdict


def examine(case: Case) -> Fault | Verdict | None:
    ex, own = case.ex, own_code(case.ex)
    functions = (*ex.ready, *ex.forbidden)
    with listening(own, functions) as heard:
        for index in {0, len(case.sheet.declared) - 1}:
            attempt(lambda i=index: run(ex, case.answer, case.trials[i]))
    itself = None if ex.is_module else is_code_of(case.answer, own)
    taken = sorted((heard.names & set(own.values())) | ({itself} - {None}))
    if taken:
        names = " and ".join(f"`{name}`" for name in taken)
        return Verdict(
            ex.id,
            TAKEN_OVER,
            f"{names} of the course {'is' if len(taken) == 1 else 'are'} what runs here: taken"
            " over from `solutions`.\nThe notebook goes on with it. It counts as passed when"
            " you have written it.",
        )
    for name in sorted(heard.names & set(ex.forbidden)):
        return Fault(
            f"Right, but `{_short(name)}` does it for you. Build it from smaller steps, as the"
            " stub says.",
            (),
            "ready_made",
        )
    for name in sorted(heard.names):
        case.remarks.append(
            f"A remark: `{_short(name)}` of torch does here what the exercise is to build."
        )
    return None


def _short(name: str) -> str:
    """ "F.softmax" for "torch.nn.functional.softmax"."""
    name = name.partition("(")[0].replace("torch.nn.functional.", "F.")
    return name.replace("torch.nn.", "nn.")
