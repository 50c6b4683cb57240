"""Does it change what it is given: an input, or a weight of its layers?"""

from typing import Any

from torch import Tensor, nn

from attncourse.checker.building import build
from attncourse.checker.calling import outcome
from attncourse.checker.departure import Departure
from attncourse.checker.equal import same
from attncourse.checker.fault import Fault


def explain(departure: Departure) -> Fault | None:
    case, probe = departure.case, departure.probe
    owner, name = case.results[departure.index].changed or ("", "")
    if owner != probe:
        return None
    if name not in case.trials[0].inputs and case.ex.is_module:
        return Fault(
            f"`{probe}` changes the weights `{name}` of the layer. Only training may.",
            ("Compute a new tensor from them instead.",),
            "changes_its_weights",
        )
    value = departure.trial.inputs.get(name)
    if isinstance(value, nn.Module):
        return Fault(
            f"`{probe}` leaves gradients in the weights of `{name}`. `torch.autograd.grad`"
            " gives those of one tensor; `backward` adds to every weight on the way.",
            (),
            "leaves_gradients",
        )
    if isinstance(value, Tensor) and same(_left(departure, name), value):
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


def _left(departure: Departure, name: str) -> Any:
    """What an input holds after the probe."""
    case, trial = departure.case, departure.trial
    built = build(case.ex, case.answer, trial).answer
    inputs = trial.fresh()
    outcome(case.ex, built, departure.probe, inputs)
    return inputs[name].detach()
