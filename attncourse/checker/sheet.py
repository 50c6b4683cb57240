"""What answers are compared on, and what the solution and each slip make of it.

`check` looks at nothing else: all that it knows of the solution comes from a `Sheet`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from inspect import signature
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from attncourse.checker.running import Crash, attempt, calm
from attncourse.exercises.edited import slips_of
from attncourse.exercises.letters import draw
from attncourse.exercises.record import Exercise, Given, Slip, Trial

VALUES, LARGE, STRIDED, FLOAT32 = "values", "large", "strided", "float32"


@dataclass(frozen=True)
class Prepared:
    """A trial with its numbers drawn, and with the weights that every module is given."""

    name: str
    group: str
    sizes: Mapping[str, int]
    inputs: Mapping[str, Any]
    axes: Mapping[str, str]
    init: Mapping[str, Any]
    weights: Mapping[str, Tensor] | None
    evaluate: bool = False

    def fresh(self) -> dict[str, Any]:
        """The inputs, cloned, so that nobody can spoil them for the next."""
        return {name: _clone(value) for name, value in self.inputs.items()}

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of this trial."""
        return torch.float32 if self.group == FLOAT32 else torch.float64


@dataclass(frozen=True)
class Result:
    """What an answer makes of one trial.

    outcomes  a value or a Crash for each probe
    fault     why there are none: a Crash, or a sentence about the layers
    changed   (probe, name) of the first input or weight that was changed in place
    note      what was let pass when the weights were copied
    """

    outcomes: Mapping[str, Any]
    fault: Crash | str | None = None
    changed: tuple[str, str] | None = None
    note: str = ""


def _clone(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.is_contiguous():
        return value.clone()
    return _strided(value)


def _strided(value: Tensor) -> Tensor:
    """The same numbers scattered in memory: no two neighbours, and the last axes exchanged."""
    if value.ndim >= 2:
        return torch.stack([value.mT, value.mT], dim=-1)[..., 0].mT
    return torch.stack([value, value], dim=-1)[..., 0] if value.ndim else value


def prepare(ex: Exercise, trial: Trial, seed: str) -> Prepared:
    """Draw a trial's inputs and the weights of its modules, always the same for the same
    seed."""
    generator = torch.Generator().manual_seed(crc32(f"{ex.id} {seed}".encode()))
    inputs, axes = {}, {}
    for name, value in trial.inputs.items():
        if isinstance(value, str):
            inputs[name], axes[name] = draw(value, trial.sizes, generator), value
        elif isinstance(value, Given):
            inputs[name], axes[name] = value.value, value.axes
        else:
            inputs[name] = value
    weights = None
    if ex.is_module:
        state = ex.solution(**trial.init).state_dict()
        weights = {
            name: (
                0.5 * torch.randn(w.shape, generator=generator, dtype=torch.float64)
                if w.is_floating_point()
                else w
            )
            for name, w in state.items()
        }
        for name in weights:  # a running variance is positive
            if name.endswith("running_var"):
                weights[name] = weights[name].abs() + 0.5
    return Prepared(
        trial.name, VALUES, trial.sizes, inputs, axes, trial.init, weights, trial.evaluate
    )


def variations(ex: Exercise, first: Prepared, large: bool = True) -> Iterator[Prepared]:
    """The first trial once more: with large numbers, scattered in memory, in single
    precision."""

    def turned(group: str, name: str, turn: Callable[[Tensor], Tensor], weights=first.weights):
        inputs = {
            n: turn(x) if isinstance(x, Tensor) and x.is_floating_point() else x
            for n, x in first.inputs.items()
        }
        return replace(first, group=group, name=name, inputs=inputs, weights=weights)

    tensors = [x for x in first.inputs.values() if isinstance(x, Tensor)]
    floats = [x for x in tensors if x.is_floating_point()]
    if floats and large and LARGE not in ex.skip:
        yield turned(LARGE, f"{first.name}, a thousand times as large", lambda x: 1000 * x)
    if floats and STRIDED not in ex.skip:
        yield turned(STRIDED, f"{first.name}, not contiguous in memory", _strided)
    if floats and FLOAT32 not in ex.skip:
        single = first.weights and {
            n: w.float() if w.is_floating_point() else w for n, w in first.weights.items()
        }
        yield turned(FLOAT32, f"{first.name}, in single precision", Tensor.float, single)


def build(
    ex: Exercise, answer: Callable, trial: Prepared
) -> tuple[Any, Crash | str | None, str]:
    """The object whose probes are called, why there is none, and what was let pass."""
    if not ex.is_module:
        return answer, None, ""
    layer = attempt(lambda: answer(**trial.init))
    if isinstance(layer, Crash):
        return None, layer, ""
    if not isinstance(layer, nn.Module):
        return None, f"`{ex.name}(…)` makes a {type(layer).__name__}, not an nn.Module.", ""
    mine = attempt(lambda: layer.to(trial.dtype).state_dict())
    if isinstance(mine, Crash):
        return None, f"`super().__init__()` is missing in `__init__`: {mine.text}", ""
    wanted, note = trial.weights, ""
    if mine.keys() != wanted.keys():
        shapes = [tuple(w.shape) for w in mine.values()]
        if shapes == [tuple(w.shape) for w in wanted.values()]:
            note = f"Your layers have other names than {_layers(wanted)}; taken in their order."
            wanted = dict(zip(mine, wanted.values(), strict=True))
        else:
            missing = [n for n in wanted if n not in mine]
            extra = [n for n in mine if n not in wanted]
            text = "Your layers are not those of the exercise"
            text += f"; missing: {', '.join(missing)}" if missing else ""
            text += f"; not asked for: {', '.join(extra)}" if extra else ""
            return None, text + ". Leave the given `__init__` as it is.", ""
    for name, w in wanted.items():
        if mine[name].shape != w.shape:
            return (
                None,
                (
                    f"`{name}` has shape {tuple(mine[name].shape)}; it should have"
                    f" {tuple(w.shape)}. Leave the given `__init__` as it is."
                ),
                "",
            )
    loaded = attempt(lambda: _begin(layer, wanted, trial))
    if isinstance(loaded, Crash):
        return None, loaded, ""
    return layer, None, note


def _begin(layer: nn.Module, weights: Mapping[str, Tensor], trial: Prepared) -> None:
    """Give a module its weights and statistics, and the mode of the trial."""
    layer.load_state_dict(weights)
    layer.train(not trial.evaluate)


def _layers(state: Mapping[str, Tensor]) -> str:
    return ", ".join(dict.fromkeys(n.rpartition(".")[0] or n for n in state))


def probe_of(ex: Exercise, built: Any, probe: str) -> Callable:
    """What is called for a probe. A class may lack the method: then an AttributeError,
    later."""
    if ex.through:
        return partial(ex.through, built)
    if not ex.is_module:
        return built
    if probe == "forward":
        return built
    return getattr(built, probe)


@cache
def parameters(ex: Exercise, probe: str) -> tuple[str, ...]:
    """The names of what a probe takes: inputs of a trial go to the parameters of their name."""
    if ex.through:
        return tuple(signature(ex.through).parameters)[1:]  # the first is the answer
    owner = getattr(ex.solution, probe) if ex.is_module else ex.solution
    return tuple(signature(owner).parameters)


def arguments(ex: Exercise, probe: str, inputs: Mapping[str, Any]) -> list[Any]:
    """The inputs of a trial that a probe takes, in the order of the call."""
    return [inputs[name] for name in parameters(ex, probe) if name in inputs]


def run(ex: Exercise, answer: Callable, trial: Prepared) -> Result:
    """All probes of an answer on one trial."""
    built, fault, note = build(ex, answer, trial)
    if fault is not None:
        return Result({}, fault, note=note)
    outcomes, changed = {}, None
    for probe in ex.probes:
        inputs = trial.fresh()
        outcomes[probe] = outcome(ex, built, probe, inputs)
        changed = changed or _changed(ex, built, trial, probe, inputs)
        if isinstance(outcomes[probe], Crash) and outcomes[probe].kind == "KeyboardInterrupt":
            break
    return Result(outcomes, None, changed, note)


def outcome(ex: Exercise, built: Any, probe: str, inputs: Mapping[str, Any]) -> Any:
    """What one probe gives, or the Crash it ends in."""

    def call():
        with torch.set_grad_enabled("gradients" in ex.skip):  # it may take some itself
            return probe_of(ex, built, probe)(*arguments(ex, probe, inputs))

    return attempt(call)


def _changed(
    ex: Exercise, built: Any, trial: Prepared, probe: str, inputs: Mapping[str, Any]
) -> tuple[str, str] | None:
    """(probe, name) of an input or a weight that is not as it was. Statistics may move; an
    input may not begin to ask for gradients, nor a module among the inputs get any."""
    for n, x in inputs.items():
        if isinstance(x, nn.Module) and any(w.grad is not None for w in x.parameters()):
            x.zero_grad(set_to_none=True)
            return probe, n
    kept = [(n, x, inputs[n]) for n, x in trial.inputs.items() if isinstance(x, Tensor)]
    if ex.is_module:
        state = zip(trial.weights.items(), built.state_dict().values(), strict=True)
        moving = ("running_", "num_batches")
        kept += [(n, x, now) for (n, x), now in state if not any(m in n for m in moving)]
    return next(((probe, n) for n, before, now in kept if not _equal(before, now)), None)


def _equal(before: Tensor, after: Tensor) -> bool:
    """Still the same numbers, with gradients asked for or not, as before."""
    if after.requires_grad != before.requires_grad:
        return False
    return after.shape == before.shape and torch.equal(after.nan_to_num(), before.nan_to_num())


def gradients(ex: Exercise, answer: Callable, trial: Prepared, probe: str) -> Any:
    """The gradient of a fixed weighted sum of a probe's output, for each input and parameter.

    A dict from names to tensors or None, or the Crash, or None where there is no gradient to
    have.
    """

    def compute():
        built, fault, _ = build(ex, answer, trial)
        if fault is not None:
            return None
        inputs = trial.fresh()
        leaves = {
            name: value.requires_grad_()
            for name, value in inputs.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        given = {n: value.clone() if n in leaves else value for n, value in inputs.items()}
        if ex.is_module:
            names = trial.weights  # in this order, whatever the learner calls them
            leaves |= dict(zip(_trainable(names, built), built.parameters(), strict=False))
        output = probe_of(ex, built, probe)(*arguments(ex, probe, given))
        total = 0.0
        parts = output if isinstance(output, (tuple, list)) else (output,)
        for number, part in enumerate(parts):
            if isinstance(part, Tensor) and part.is_floating_point() and part.requires_grad:
                dice = torch.Generator().manual_seed(number)
                weights = torch.randn(part.shape, generator=dice, dtype=torch.float32)
                total = total + (part * weights.to(part)).sum()
        if not isinstance(total, Tensor):
            return dict.fromkeys(leaves)
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        return dict(zip(leaves, found, strict=True))

    return attempt(compute)


def _trainable(names: Mapping[str, Tensor], built: nn.Module) -> list[str]:
    own = dict(built.named_parameters())
    if own.keys() <= names.keys():
        return list(own)
    return [n for n in names if "running_" not in n and "num_batches" not in n]


class Sheet:
    """Trials of one exercise, with what the solution and the slips make of them."""

    def __init__(self, ex: Exercise):
        self.ex = ex
        self._outcomes: dict[tuple[str, int, str], Any] = {}
        self._digests: dict[tuple[str, int, str], Any] = {}
        self._layers: dict[int, nn.Module] = {}
        self._gradients: dict[tuple[int, str], Any] = {}

    @cached_property
    def trials(self) -> tuple[Prepared, ...]:
        """The declared trials, then the variations on the first of them."""
        with calm():
            trials = [prepare(self.ex, t, t.name) for t in self.ex.trials()]
            more = [*variations(self.ex, trials[0])]
            if trials[-1].inputs.keys() != trials[0].inputs.keys():  # with a mask, say
                more += variations(self.ex, trials[-1], large=False)
            return (*trials, *more)

    @property
    def declared(self) -> range:
        """The indices of the trials that the exercise lists itself."""
        return range(sum(t.group == VALUES for t in self.trials))

    @cached_property
    def remark(self) -> Prepared | None:
        """The trial outside the contract proper, if there is one."""
        with calm():
            return self.ex.remark and prepare(self.ex, self.ex.remark(), "remark")

    @cached_property
    def refused(self) -> tuple[Prepared, ...]:
        """The trials that must end in a ValueError."""
        with calm():
            return tuple(prepare(self.ex, t, t.name) for t in self.ex.refuses())

    @cached_property
    def slips(self) -> tuple[Slip, ...]:
        """All slips in the order in which they are tried: single ones first."""
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
            self._digests[key] = digest(self.of_slip(slip, index, probe, way))
        return self._digests[key]

    def expected_gradients(self, index: int, probe: str) -> Any:
        """The gradients of the solution, as `gradients` gives them."""
        key = index, probe
        if key not in self._gradients:
            with calm():
                self._gradients[key] = gradients(
                    self.ex, self.ex.solution, self.trials[index], probe
                )
        return self._gradients[key]

    def _outcome(
        self, name: str, answer: Callable[[], Callable], index: int, probe: str
    ) -> Any:
        key = name, index, probe
        if key not in self._outcomes:
            with calm():
                built = self._build(answer(), index)
                fault = isinstance(built, Crash)
                inputs = self.trials[index].fresh()
                y = built if fault else outcome(self.ex, built, probe, inputs)
            if isinstance(y, Crash) and y.kind == "KeyboardInterrupt":
                raise KeyboardInterrupt  # meant for us; nothing half done is kept
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
                _begin(self._layers[index], self.trials[index].weights, self.trials[index])
            return self._layers[index]
        layer, fault, _ = build(self.ex, answer, self.trials[index])
        if fault is None:
            return layer
        return fault if isinstance(fault, Crash) else Crash("Unlike", fault)


@cache
def sheet(ex: Exercise) -> Sheet:
    """The sheet of an exercise, made once."""
    return Sheet(ex)


def same(y: Any, expected: Any, dtype: torch.dtype = torch.float64) -> bool:
    """Equal in type, shape and value: broadcasting must never make an answer right."""
    if isinstance(expected, (tuple, list)):
        return (
            isinstance(y, (tuple, list))
            and len(y) == len(expected)
            and all(same(a, b, dtype) for a, b in zip(y, expected, strict=True))
        )
    if isinstance(expected, Crash) or isinstance(y, Crash):
        return isinstance(y, Crash) and isinstance(expected, Crash)
    if isinstance(expected, float):
        return isinstance(y, float) and math.isclose(y, expected, rel_tol=1e-6, abs_tol=1e-8)
    if not isinstance(expected, Tensor):
        return type(y) is type(expected) and y == expected
    if not isinstance(y, Tensor) or y.shape != expected.shape or y.dtype != expected.dtype:
        return False
    if y.device != expected.device:
        return False
    rtol, atol = (1e-6, 1e-8) if dtype == torch.float64 else (1e-3, 1e-4)
    return torch.allclose(y, expected, rtol=rtol, atol=atol, equal_nan=True)


def digest(y: Any) -> tuple[tuple[int, ...], float, float] | None:
    """Shape, sum and sum of magnitudes of a tensor, quick to compare; else None."""
    if not isinstance(y, Tensor) or not y.is_floating_point():
        return None
    finite = y.nan_to_num(0.0, 1e30, -1e30)
    return tuple(y.shape), finite.sum().item(), finite.abs().sum().item()


def may_be_same(one: Any, other: Any) -> bool:
    """False only where two digests belong to outcomes that are not the `same`."""
    if one is None or other is None:
        return one is other
    (shape, total, size), (other_shape, other_total, other_size) = one, other
    slack = 1e-5 * (size + other_size) + 1e-6
    return shape == other_shape and abs(total - other_total) <= slack


def slips(ex: Exercise) -> tuple[Slip, ...]:
    """Every slip of an exercise that differs from the solution and from all simpler slips.

    Single slips are all kept, whatever they give: two alike are a defect that doctor reports.
    """
    known, kept = sheet(ex), []
    places = [(i, p) for i in known.declared for p in ex.probes]
    single = {one.name: one for one in known.slips}
    with calm():
        seen = {_fingerprint([known.expected(*at) for at in places])}
        for one in known.slips:
            outcomes = [known.of_slip(one, *at) for at in places]
            simpler = [
                [known.of_slip(single[part], *at) for at in places] for part in one.parts
            ]
            shown = _fingerprint(outcomes)
            if one.parts and (shown in seen or any(same(outcomes, part) for part in simpler)):
                continue
            seen.add(shown)
            for way in range(1, len(one.answers)):
                seen.add(_fingerprint([known.of_slip(one, *at, way) for at in places]))
            kept.append(one)
    return tuple(kept)


def _fingerprint(value: Any) -> Any:
    """Alike for outcomes that are alike up to rounding."""
    if isinstance(value, Crash):
        return "crash"
    if isinstance(value, Tensor):
        finite = value.double().nan_to_num(1e30, 1e31, -1e31)
        return tuple(value.shape), *(f"{x:.6e}" for x in _moments(finite))
    if isinstance(value, (tuple, list)):
        return tuple(_fingerprint(part) for part in value)
    return repr(value)


def _moments(x: Tensor) -> tuple[float, ...]:
    """A few weighted sums that two different tensors do not share."""
    flat = x.flatten()
    ramp = torch.arange(1, flat.numel() + 1, dtype=torch.float64)
    return flat.sum().item(), (flat * ramp.sin()).sum().item(), (flat * ramp.cos()).sum().item()
