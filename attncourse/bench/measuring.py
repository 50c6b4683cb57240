"""Ways to the same result, in turns; ratios within a round; a floor beside each.

    forward               the result, without a gradient
    forward + backward    and the gradients of every input and weight
    ratio                 of two times of the same round; its median, least and most are kept
    floor                 the longer of operations / matrix rate and bytes / copy rate, both
                          rates measured in the same run

With one thread on a CPU the processor's time is taken, which others on the machine disturb
less; with several the time that passes; on a GPU the time between two events.

A pass back has twice the products of the pass forward; it reads the inputs again and the
gradient of the result, and writes a gradient for each input. That is what a floor counts. It
knows nothing of the exponential function, nor of caches that are faster than memory.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from inspect import signature
from statistics import linear_regression, median
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

DIRECTIONS = {"forward": False, "forward + backward": True}
SEED = 0
ROUNDS = (3, 25)  # at least, at most
ALIKE = {torch.float32: 1e-3}  # ways that differ by more are told


class Absent(Exception):
    """Why a way is left out, in one line."""


@dataclass(frozen=True)
class Setting:
    """What decides on the sizes, and where they are measured.

    tiny  sizes for tests, and for what is loaded before memory is measured
    """

    device: str = "cpu"
    full: bool = False
    threads: int = 1
    tiny: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Single precision on a CPU, bfloat16 elsewhere."""
        return torch.float32 if self.device == "cpu" else torch.bfloat16

    def randn(self, *shape: int) -> Tensor:
        """Normal numbers, alike for all ways that ask for the same after the same seed."""
        return torch.randn(shape).to(self.device, self.dtype)

    def here(self, layer: nn.Module) -> nn.Module:
        """The layer on this device, in this precision."""
        return layer.to(self.device, self.dtype)

    @property
    def clock(self) -> str:
        """Which time is taken."""
        if self.device != "cpu":
            return "device"
        coarse = time.get_clock_info("process_time").resolution > 1e-4
        return "wall" if self.threads > 1 or coarse else "processor"


@dataclass(frozen=True)
class Way:
    """A function, what it is given, and its work.

    multiply_adds  of the pass forward; None where it does other work, and has no floor here
    weights        of a layer: they get gradients as well
    no_way_back    why it has none; "" where it has
    compiled       its first call does not count at all
    """

    call: Callable[..., Tensor]
    given: Sequence[Tensor]
    multiply_adds: int | None = None
    weights: Sequence[Tensor] = ()
    no_way_back: str = ""
    compiled: bool = False

    def run(self, back: bool) -> Tensor:
        """The result; with `back`, gradients are made and dropped."""
        if not back:
            with torch.no_grad():
                return self.call(*self.given)
        leaves = [x.detach().requires_grad_() for x in self.given]
        y = self.call(*leaves)
        torch.autograd.grad(y, [*leaves, *self.weights], y.detach())
        return y.detach()


def layer(module: nn.Module, x: Tensor, multiply_adds: int | None = None, **more) -> Way:
    """A layer as a way."""
    weights = [p for p in module.parameters() if p.requires_grad]
    return Way(module, [x], multiply_adds, weights, **more)


@dataclass(frozen=True)
class Case:
    """Ways that are compared at one size.

    ways   by name, made when they are asked for; making one may raise: it is left out
    over   the ways that the others are compared with
    alike  the ways that give the same as the first of them
    auto   says which way "auto" takes
    at     where it stands on the figure's axis; None where it is not shown
    core   measured with the tuned allocator as well, and its memory too
    spare  ways whose memory is not measured, nor they with the tuned allocator
    """

    name: str
    size: Mapping[str, int]
    ways: Mapping[str, Callable[[], Way]]
    over: Sequence[str]
    alike: Sequence[str] = ()
    auto: Callable[[], str] | None = None
    at: int | None = None
    core: bool = False
    spare: Sequence[str] = ()

    def make_all(self) -> tuple[dict[str, Way], dict[str, str]]:
        """The ways that can be made, and why the others cannot."""
        made, left_out = {}, {}
        for name in self.ways:
            try:
                made[name] = self.make(name)
            except Exception as error:  # a peer that is not there, or an implementation
                left_out[name] = reason(error)
        return made, left_out

    def without(self, names: Sequence[str]) -> "Case":
        """The same with fewer ways."""
        return replace(self, ways={k: way for k, way in self.ways.items() if k not in names})

    def make(self, name: str) -> Way:
        """One way, with inputs that are the same for all."""
        torch.manual_seed(SEED)
        return self.ways[name]()


def part(name: str) -> ModuleType:
    """The mechanism of this name."""
    return import_module(f"attncourse.bench.{name}")


def reason(error: Exception) -> str:
    """An error in one line."""
    said = " ".join(str(error).split())[:200]
    return said if isinstance(error, Absent) else f"{type(error).__name__}: {said}"


def runs_here(implementation: str, setting: Setting) -> None:
    """Raises Absent for a kernel that only its interpreter would run."""
    if implementation == "triton" and setting.device == "cpu":
        raise Absent("for a GPU; a CPU has only its interpreter")


def asked(choose: Callable[..., str], *given: Any) -> str:
    """What `choose` says of as many of these as it looks at."""
    return choose(*given[: len(signature(choose).parameters)])


# ---------------------------------------------------------------- time


def timed(run: Callable[[], Any], clock: str) -> float:
    """Seconds of one run."""
    if clock == "device":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3
    now = time.process_time if clock == "processor" else time.perf_counter
    start = now()
    run()
    return now() - start


def turns(
    runs: Mapping[str, Callable[[], Any]],
    clock: str,
    rounds: tuple[int, int] = ROUNDS,
    seconds: float = math.inf,
) -> dict[str, list[float]]:
    """Seconds of each, round by round: all of them in every round, in the same order.

    At least and at most so many rounds; in between, until they took so many seconds.
    """
    spent: dict[str, list[float]] = {name: [] for name in runs}
    least, most = rounds
    for done in range(most):
        if done >= least and sum(map(sum, spent.values())) > seconds:
            break
        for name, run in runs.items():
            spent[name].append(timed(run, clock))
    return spent


def spread(values: Iterable[float]) -> list[float]:
    """Median, least and most, to four digits."""
    values = list(values)
    return [float(f"{x:.4g}") for x in (median(values), min(values), max(values))]


def ratios(spent: Mapping[str, Sequence[float]], over: str) -> dict[str, list[float]]:
    """Of each to one of them, taken within each round: median, least and most."""
    return {
        name: spread(one / two for one, two in zip(times, spent[over], strict=True))
        for name, times in spent.items()
    }


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent of the size in the time, by least squares in logarithms."""
    logs = ([math.log(x) for x in values] for values in (sizes, seconds))
    return round(linear_regression(*logs).slope, 2)


# ---------------------------------------------------------------- floors


def rates(setting: Setting) -> dict[str, float]:
    """Operations a second in a product of matrices, bytes a second in a copy: the best seen."""
    n, m = (1024, 2**26) if setting.device == "cpu" else (8192, 2**28)
    if setting.tiny:
        n, m = 64, 2**12
    a, b = setting.randn(n, n), setting.randn(n, n)
    one = torch.zeros(m, dtype=setting.dtype, device=setting.device)
    two = torch.ones_like(one)
    runs = {"matrix": lambda: a @ b, "copy": lambda: two.copy_(one)}
    spent = turns(runs, setting.clock, (8, 8))
    work = {"matrix": 2 * n**3, "copy": 2 * one.nbytes}
    return {name: float(f"{work[name] / min(times):.4g}") for name, times in spent.items()}


def floor(way: Way, out: Tensor, back: bool, rates: Mapping[str, float]) -> float | None:
    """Seconds that the operations or the bytes alone would take, whichever is more."""
    if way.multiply_adds is None:
        return None
    operations = 2 * way.multiply_adds * (3 if back else 1)
    read = sum(x.nbytes for x in (*way.given, *way.weights))
    moved = 3 * read + 2 * out.nbytes if back else read + out.nbytes
    return max(operations / rates["matrix"], moved / rates["copy"])


# ---------------------------------------------------------------- a case


def measure(
    case: Case, setting: Setting, rates: Mapping[str, float], seconds: float
) -> dict[str, Any]:
    """Times, ratios and floors of a case, in about so many seconds a direction."""
    made, left_out = case.make_all()
    found: dict[str, Any] = {"name": case.name, "size": dict(case.size), "at": case.at}
    found["left out"] = left_out
    results: dict[str, Tensor] = {}
    for direction, back in DIRECTIONS.items():
        runs, floors = {}, {}
        for name, way in made.items():
            if name in left_out:
                continue
            if back and way.no_way_back:
                found.setdefault("no way back", {})[name] = way.no_way_back
                continue
            try:
                out = _warm(way, back, setting)
            except Exception as error:  # no memory, or a size that it cannot do
                left_out[name] = reason(error)
                continue
            runs[name] = partial(way.run, back)
            floors[name] = floor(way, out, back, rates)
            if not back and name in case.alike:
                results[name] = out
        if not back:
            found["off"] = differences(results)
            results.clear()
        rounds = (2, 2) if setting.tiny else ROUNDS
        spent = turns(runs, setting.clock, rounds, seconds)
        found[direction] = {
            "rounds": len(next(iter(spent.values()), ())),
            "ways": _rows(spent, floors, case.over),
        }
    if case.auto is not None:
        try:
            found["auto"] = case.auto()
        except Exception as error:
            left_out["auto"] = reason(error)
    return found


def _warm(way: Way, back: bool, setting: Setting) -> Tensor:
    """The result of a run that does not count: what is made on first use is made here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2 if way.compiled or setting.device != "cpu" else 1):
            out = way.run(back)
    return out


def _rows(
    spent: Mapping[str, Sequence[float]],
    floors: Mapping[str, float | None],
    over: Sequence[str],
) -> dict[str, dict[str, Any]]:
    compared = {name: ratios(spent, name) for name in over if name in spent}
    rows: dict[str, dict[str, Any]] = {}
    for name, times in spent.items():
        row: dict[str, Any] = {"ms": spread(1e3 * t for t in times)}
        row["over"] = {base: found[name] for base, found in compared.items()}
        if (least := floors.get(name)) is not None:
            row["floor ms"] = float(f"{1e3 * least:.4g}")
            row["over floor"] = float(f"{median(times) / least:.3g}")
        rows[name] = row
    return rows


def differences(results: Mapping[str, Tensor]) -> dict[str, float]:
    """How far each is from the first at most."""
    if not results:
        return {}
    first, *_ = results.values()
    return {
        name: float(f"{(y.double() - first.double()).abs().max().item():.2g}")
        for name, y in results.items()
        if y is not first and y.numel()
    }


def slopes(cases: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each way that was measured at three sizes of the figure or more."""
    found: dict[str, dict[str, float]] = {}
    for direction in DIRECTIONS:
        points: dict[str, list[tuple[float, float]]] = {}
        for case in cases:
            for name, row in case[direction]["ways"].items() if case["at"] else ():
                points.setdefault(name, []).append((case["at"], row["ms"][0]))
        found[direction] = {
            name: slope(*zip(*line, strict=True))
            for name, line in points.items()
            if len({at for at, _ in line}) >= 3
        }
    return found
