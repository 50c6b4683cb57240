"""What solution and slips make of the trials, from a record: where the solution is not there.

The same questions as of a `Sheet`, which `check` asks of either. What only running the solution
could tell is not answered: then nothing is said.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attncourse.checker.ending import undisturbed
from attncourse.checker.equal import UNKNOWN
from attncourse.checker.running import calm
from attncourse.checker.sketch import load
from attncourse.checker.tried import Refused, Right, Tried
from attncourse.checker.varied import Varied
from attncourse.exercises.record import Exercise, Slip
from attncourse.papers.counting import Count


class Recorded(Tried):
    """Trials of one exercise, with sketches of what the solution and the slips make of them."""

    knows_the_solution = False

    def __init__(self, ex: Exercise, record: Mapping[str, Any]):
        super().__init__(ex)
        self.record = record
        self._loaded: dict[tuple, Any] = {}

    def _load(self, *path: Any) -> Any:
        """What stands in the record under these names; None where nothing does."""
        if path not in self._loaded:
            found: Any = self.record
            for name in path:
                found = found.get(str(name)) if isinstance(found, dict) else None
            self._loaded[path] = load(found)
        return self._loaded[path]

    def _each(self, *path: Any) -> dict[str, Any]:
        """The same of each probe, or name."""
        found: Any = self.record
        for name in path:
            found = found.get(str(name), {})
        return {name: self._load(*path, name) for name in found}

    @cached_property
    def slips(self) -> tuple[Slip, ...]:
        """All slips in the order in which they are tried, without what makes them."""
        return tuple(
            Slip(
                one["name"],
                one["message"],
                (_unknown,) * len(one["ways"]),
                one["variant"],
                tuple(one["parts"]),
            )
            for one in self.record["slips"]
        )

    @cached_property
    def _slips(self) -> dict[str, Mapping[str, Any]]:
        return {one["name"]: one for one in self.record["slips"]}

    def _of_slip(self, slip: Slip, way: int, *path: Any) -> Any:
        key = ("slip", slip.name, way, *path)
        if key not in self._loaded:
            found: Any = self._slips[slip.name]["ways"][way]
            for name in path:
                found = found.get(str(name)) if isinstance(found, dict) else None
            self._loaded[key] = load(found)
        return self._loaded[key]

    @cached_property
    def varied(self) -> dict[int, tuple[Right, ...]]:
        with undisturbed(), calm():
            return {i: tuple(self._varied(i)) for i in self.to_vary}

    def _varied(self, index: int):
        for number, one in enumerate(self.every_variation[index]):
            if str(number) in self.record["varied"].get(str(index), {}):
                yield Right(one, self._each("varied", index, number))

    @cached_property
    def refused(self) -> tuple[Refused, ...]:
        with undisturbed(), calm():
            return tuple(
                Refused(
                    prepared,
                    trial.says,
                    self._each("refused", number, "errors"),
                    self._each("refused", number, "others"),
                )
                for number, (trial, prepared) in enumerate(self.prepared_to_refuse())
            )

    def expected(self, index: int, probe: str) -> Any:
        return self._load("expected", index, probe)

    def of_slip(self, slip: Slip, index: int, probe: str, way: int = 0) -> Any:
        return self._of_slip(slip, way, "outcomes", index, probe)

    def digest_of_slip(self, slip: Slip, index: int, probe: str, way: int = 0) -> Any:
        return UNKNOWN

    def of_slip_varied(self, slip: Slip, way: int, varied: Varied, probe: str) -> Any:
        for index, group in self.varied.items():
            for number, one in enumerate(group):
                if one.varied is varied:
                    return self._of_slip(slip, way, "varied", index, number, probe)
        return None

    def expected_gradients(self, index: int, probe: str) -> Any:
        return self._each("gradients", index) or None

    def gradients_of_slip(self, slip: Slip, index: int, probe: str) -> Any:
        found = self._slips[slip.name]["ways"][0].get("gradients", {}).get(str(index))
        return found and {n: self._of_slip(slip, 0, "gradients", index, n) for n in found}

    @cached_property
    def spent(self) -> Count | None:
        return _count(self.record.get("spent"))

    def spent_of_slip(self, slip: Slip) -> Count | None:
        return _count(self._slips[slip.name]["ways"][0].get("spent"))

    @property
    def in_other_mode(self) -> Mapping[str, Any]:
        return self._each("other_mode")

    @property
    def of_negated(self) -> Mapping[str, Any]:
        return self._each("negated")

    @property
    def of_remark(self) -> Mapping[str, Any]:
        return self._each("remark")

    def calls_in(self, index: int) -> Mapping[str, int]:
        return self.record["calls"].get(str(index), {})


def _count(kept: list[int] | None) -> Count | None:
    return Count(*kept) if kept else None


def _unknown() -> Any:
    raise NotImplementedError("what makes this slip is not handed out")
