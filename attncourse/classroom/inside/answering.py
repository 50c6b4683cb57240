"""An answer called as it is asked to from outside: inputs as they came, outputs as they are."""

from collections.abc import Callable, Mapping
from typing import Any

from attncourse.checker.building import build
from attncourse.checker.calling import gradients, outcome
from attncourse.checker.running import Crash
from attncourse.checker.trials import Prepared

from .frames import Crashed, Named, Unsendable, packed, unpacked


def answer_to(ex: Any, answer: Callable, ask: Mapping[str, Any], given: bytes) -> Any:
    """What an answer makes of one question, ready to be packed."""
    trial = _trial(ex, ask, given)
    if ask["kind"] == "gradients":
        return _plain(gradients(ex, answer, trial, ask["probes"][0]))
    built, fault, _ = build(ex, answer, trial)
    if fault is not None:
        crash = _plain(fault) if isinstance(fault, Crash) else Crashed("Fault", str(fault))
        return dict.fromkeys(ask["probes"], crash)
    return {probe: _plain(outcome(ex, built, probe, trial.fresh())) for probe in ask["probes"]}


def _trial(ex: Any, ask: Mapping[str, Any], given: bytes) -> Prepared:
    value = unpacked(ask["trial"], given)
    return Prepared(
        name="",
        group=value["group"],
        sizes={},
        inputs={name: _here(ex, one) for name, one in value["inputs"].items()},
        axes={},
        init=value["init"],
        weights=value["weights"],
        evaluate=value["evaluate"],
    )


def _here(ex: Any, value: Any) -> Any:
    """A value, or the function or module that the record has in its place."""
    if not isinstance(value, Named):
        return value
    trials = ex.refuses() if value.group == "refuses" else ex.trials()
    there = trials[value.index].inputs[value.name]
    return getattr(there, "value", there)


def _plain(value: Any) -> Any:
    if isinstance(value, Crash):
        return Crashed(value.kind, value.text)
    try:
        packed(value, bytearray())
    except Unsendable as error:
        return Crashed("Unsendable", str(error))
    return value
