"""What is called on a trial: a function as it is, a module with the trial's weights."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from attncourse.checker.running import Crash, attempt
from attncourse.checker.trials import Prepared
from attncourse.exercises.record import Exercise


class Built(NamedTuple):
    """An answer ready to be called.

    answer  the function or the layer; None if there is none
    fault   why there is none: a Crash, or a sentence about the layers
    note    what was let pass when the weights were copied
    """

    answer: Any = None
    fault: Crash | str | None = None
    note: str = ""


def build(ex: Exercise, answer: Callable, trial: Prepared) -> Built:
    """An answer made ready for a trial, or why it cannot be."""
    if not ex.is_module:
        return Built(answer)
    layer = attempt(lambda: answer(**trial.init))
    if isinstance(layer, Crash):
        return Built(fault=layer)
    if not isinstance(layer, nn.Module):
        return Built(fault=f"`{ex.name}(…)` makes a {type(layer).__name__}, not an nn.Module.")
    mine = attempt(lambda: layer.to(trial.dtype).state_dict())
    if isinstance(mine, Crash):
        return Built(fault=f"`super().__init__()` is missing in `__init__`: {mine.text}")
    if trial.weights is None:  # the solution refuses to be built
        return Built(layer)
    wanted, note = trial.weights, ""
    if mine.keys() != wanted.keys():
        if [tuple(w.shape) for w in mine.values()] != [tuple(w.shape) for w in wanted.values()]:
            return Built(fault=_other_layers(mine, wanted))
        note = f"Your layers have other names than {_layers(wanted)}; taken in their order."
        wanted = dict(zip(mine, wanted.values(), strict=True))
    if wrong := _other_shape(mine, wanted):
        return Built(fault=wrong)
    begun = attempt(lambda: begin(layer, wanted, trial))
    if isinstance(begun, Crash):
        return Built(fault=begun)
    return Built(layer, note=note)


def in_order(wanted: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[Tensor]:
    """The weights of a module in the order of the exercise: by their names where these are
    right, else as they come."""
    return [own[n] for n in wanted] if own.keys() == wanted.keys() else [*own.values()]


def begin(layer: nn.Module, weights: Mapping[str, Tensor], trial: Prepared) -> None:
    """Give a module its weights and statistics, in their order where they have other names, and
    the mode of the trial."""
    own = layer.state_dict()
    if own.keys() != weights.keys():
        weights = dict(zip(own, weights.values(), strict=True))
    layer.load_state_dict(weights)
    layer.train(not trial.evaluate)


def _layers(state: Mapping[str, Tensor]) -> str:
    return ", ".join(dict.fromkeys(n.rpartition(".")[0] or n for n in state))


def _other_layers(mine: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Which weights are missing, and which nobody asked for."""
    missing = [n for n in wanted if n not in mine]
    extra = [n for n in mine if n not in wanted]
    text = "Your layers are not those of the exercise"
    text += f"; missing: {', '.join(missing)}" if missing else ""
    text += f"; not asked for: {', '.join(extra)}" if extra else ""
    return text + ". Leave the given `__init__` as it is."


def _other_shape(mine: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """The first weight that is not as large as it should be."""
    for name, w in wanted.items():
        if mine[name].shape != w.shape:
            return (
                f"`{name}` has shape {tuple(mine[name].shape)}; it should have"
                f" {tuple(w.shape)}. Leave the given `__init__` as it is."
            )
    return None
