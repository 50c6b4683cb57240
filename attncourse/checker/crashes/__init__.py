"""What the commonest errors of torch, einops and Python mean on the learner's line.

Each file holds a table of one family; they are tried in this order, and the first that fits is
told.
"""

import re
from collections.abc import Mapping

from attncourse.checker import running
from attncourse.checker.crashes.kernels import KERNELS
from attncourse.checker.crashes.python import PYTHON
from attncourse.checker.crashes.shapes import SHAPES
from attncourse.checker.crashes.values import VALUES
from attncourse.checker.crashes.words import Crash, Shapes, in_letters, told
from attncourse.checker.fault import Fault
from attncourse.checker.trials import Prepared
from attncourse.exercises.letters import spell
from attncourse.exercises.record import Exercise

KNOWN = (*KERNELS, *SHAPES, *VALUES, *PYTHON)


def crashed(
    crash: running.Crash, probe: str, trial: Prepared, ex: Exercise | None = None
) -> Fault:
    """The learner's own line, the shapes in letters, and the likely cause."""
    crash = Crash(**vars(crash), **(_object(ex, trial) if ex and ex.is_module else {}))
    if crash.kind == "Returned":  # said already, by the kernel that a step is part of
        return Fault(crash.text, (trial.seen,))
    text = crash.text.strip().splitlines()
    error = f"{crash.kind}: {text[0]}" if text else crash.kind
    where = f"`{probe}` stops"
    if crash.line:
        where += f" at line {crash.lineno}: `{crash.line}`"
    if cause := explain(crash, trial.sizes, trial.axes):
        return Fault(cause, (where, error, trial.seen))
    if crash.own and crash.line.startswith("raise") and crash.kind == "ValueError":
        return Fault(
            "Your own check refuses what is allowed here. Is its condition too strict, or the"
            " wrong way round?",
            (where, error, trial.seen),
        )
    shapes = told(shapes_on_line(crash, trial.sizes, trial.axes))
    return Fault(f"{where} with {error}", tuple(t for t in (shapes, trial.seen) if t))


def _object(ex: Exercise, trial: Prepared) -> dict:
    """The class that is asked for, its methods and its layers."""
    methods = [n for n, f in vars(ex.solution).items() if callable(f) and n[0] != "_"]
    layers = dict.fromkeys(n.partition(".")[0] for n in trial.weights or {})
    return dict(owner=ex.name, names=(*methods, *layers))


def explain(
    crash: Crash, sizes: Mapping[str, int], axes: Mapping[str, str] | None = None
) -> str | None:
    """The likely cause in one line, or None for an error that we do not know."""
    shapes = shapes_on_line(crash, sizes, axes or {})
    cut = "is invalid for input of size" in crash.text or "can't divide axis" in crash.text
    turned = re.search(r"\.T\b", crash.line) and not cut
    if turned and any(len(s) > 2 for s in crash.shapes.values()):
        return (
            "`.T` turns all axes round; `.mT` exchanges the last two, `rearrange` says which."
        )
    for pattern, reason in KNOWN:
        if found := re.search(pattern, f"{crash.kind}: {crash.text}", re.DOTALL):
            text = reason(found, crash, shapes) if callable(reason) else reason
            return in_letters(text, sizes)
    return None


def shapes_on_line(crash: Crash, sizes: Mapping[str, int], axes: Mapping[str, str]) -> Shapes:
    """The tensors that the crashed line mentions, by the learner's names, in letters. `axes`
    are those that inputs of these names have."""
    words = set(re.findall(r"[A-Za-z_]\w*", crash.line))
    return {n: spell(s, sizes, axes.get(n, "")) for n, s in crash.shapes.items() if n in words}
