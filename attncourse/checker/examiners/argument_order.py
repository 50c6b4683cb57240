"""Does it take the right arguments in another order? Told before anything crashes on them."""

from inspect import signature

from attncourse.checker.calling import parameters
from attncourse.checker.case import Case
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt


def examine(case: Case) -> Fault | None:
    for probe in case.ex.probes:
        owner = getattr(case.answer, probe, None) if case.ex.is_module else case.answer
        mine = attempt(lambda o=owner: list(signature(o).parameters))
        names = list(parameters(case.ex, probe))
        if case.ex.through:  # these are the inputs of a trial, not the answer's own
            names = list(signature(case.ex.solution).parameters)
        if isinstance(mine, list) and _in_another_order(mine, names):
            return Fault(
                f"`{probe}` takes ({', '.join(mine)}); the exercise calls it with "
                f"({', '.join(names)}), in this order.",
                (),
                "arguments_in_another_order",
            )
    return None


def _in_another_order(mine: list[str], names: list[str]) -> bool:
    """Whether the first letters, all different, are the same ones in another order."""
    first, wanted = [[n[:1] for n in ns if n != "self"] for ns in (mine, names)]
    if mine == names or first == wanted:
        return False
    return sorted(first) == sorted(wanted) == sorted(set(wanted))
