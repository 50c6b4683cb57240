"""What the fast implementations set out to reach, as data; and what became of it.

A goal holds at every size that it names. One that holds at some of them is told as such.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FORWARD, BOTH = "forward", "forward + backward"
DEVICES = {"cpu": "run on the CPU", "cuda": "CUDA device"}
MEMORY = {"memory, forward": FORWARD, "memory, forward + backward": BOTH}


@dataclass(frozen=True)
class Goal:
    """One row.

    what   a direction, "memory, " and a direction, "slope", "MiB", or "way back"
    sense  "faster": at least so many times; "slower": at most so many times the time, or the
           exponent; "less": at most this share of the memory, or so many MiB
    at     least and greatest of each size that counts
    """

    part: str
    work: str
    way: str
    over: str
    what: str
    sense: str
    bound: float
    at: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def asks(self) -> str:
        """The goal in words."""
        if self.what == "way back":
            return "a way back that it lacks"
        number = f"{self.bound:g}"
        if self.what == "slope":
            return f"time grows as n to at most {number}"
        if self.what == "MiB":
            return f"trained in {self.bound:,.0f} MiB"
        if self.what in MEMORY:
            return f"{MEMORY[self.what]}: memory at most {self.bound:.2g} of its"
        if self.sense == "faster" and self.bound <= 1:
            return (
                f"{self.what}: never slower"
                if self.bound == 1
                else (f"{self.what}: at least {number} of its speed")
            )
        if self.sense == "faster":
            return f"{self.what}: {number} times as fast"
        return f"{self.what}: at most {number} of its time"


def _both(part, work, way, over, sense, bounds, **more) -> list[Goal]:
    """Forward, and forward + backward."""
    return [
        Goal(part, work, way, over, what, sense, bound, **more)
        for what, bound in zip((FORWARD, BOTH), bounds, strict=True)
    ]


def _memory(part, work, way, over, share, **more) -> list[Goal]:
    return [Goal(part, work, way, over, what, "less", share, **more) for what in MEMORY]


MAPS = {"h": (28, 56), "heads": (4, 8)}
SIDES = {"side": (28, 56)}
LONG = {"n": (16384, 16384)}
LOCAL, KERNEL = "local, PyTorch alone", "local, kernel in C"
RELATIVE = "relative 2D"
HEADS = "multi-head attention"

GOALS = (
    *_both("local", LOCAL, "blocked", "unfold", "faster", (20, 8), at=MAPS),
    *_memory("local", LOCAL, "blocked", "unfold", 1 / 5, at=MAPS),
    *_both("local", KERNEL, "native", "unfold", "faster", (35, 20), at=MAPS),
    *_memory("local", KERNEL, "native", "unfold", 1 / 15, at=MAPS),
    *_both(
        "local", f"{KERNEL}, 64 channels", "native", "convolution", "slower", (1.0, 1.15),
        at=MAPS | {"c": (64, 64)},
    ),
    *_both(
        "local", f"{KERNEL}, 256 channels", "native", "convolution", "slower", (0.6, 0.6),
        at=MAPS | {"c": (256, 256)},
    ),
    Goal("local", KERNEL, "native", "natten", FORWARD, "faster", 50, MAPS),
    Goal("local", KERNEL, "native", "flex", FORWARD, "faster", 1, MAPS),
    Goal("local", KERNEL, "native", "natten", "way back", "", 1, MAPS),
    Goal("local", KERNEL, "native", "flex", "way back", "", 1, MAPS),
    *_both(
        "layers", "stand-alone layer, 64 channels", "stand-alone", "convolution", "slower",
        (1.5, 1.8), at=MAPS | {"c": (64, 64)},
    ),
    Goal("networks", "a step of StandAloneResNet-26", "stand-alone", "ResNet-26", BOTH,
         "slower", 1.3),
    *_both("relative", RELATIVE, "auto", "no places", "slower", (0.97, 0.97), at=SIDES),
    *_both("relative", RELATIVE, "auto", "skew", "faster", (4, 2.5), at=SIDES),
    *_memory("relative", RELATIVE, "auto", "skew", 1 / 10, at=SIDES),
    *_both("relative", f"{RELATIVE}, layer", "layer", "timm", "faster", (4, 2.5), at=SIDES),
    *_memory("relative", f"{RELATIVE}, layer", "layer", "timm", 1 / 10, at=SIDES),
    *_both(
        "sparse", "strided, split heads", "strided, split", "dense", "faster", (20, 18), at=LONG
    ),
    Goal("sparse", "strided, split heads", "strided, split", "", "slope", "slower", 1.2),
    Goal(
        "sparse", "strided, 262,144 tokens", "strided, split", "", "MiB", "less", 8192,
        {"n": (262144, 262144)},
    ),
    *_both("sparse", "fixed, split heads", "fixed, split", "dense", "faster", (2, 2), at=LONG),
    *_both("sparse", "fixed, one softmax", "fixed, merged", "dense", "faster", (2, 2), at=LONG),
    *_both(
        "non_local", "dot product, linear order", "dot product, linear", "dot product, dense",
        "faster", (25, 25), at={"side": (64, 64)},
    ),
    *_both("heads", HEADS, "ours", "torch, train", "faster", (1, 1), at={"n": (196, 1 << 20)}),
    Goal("heads", HEADS, "ours", "torch, eval", FORWARD, "faster", 1, {"n": (196, 1 << 20)}),
    Goal("heads", HEADS, "ours", "torch, eval", FORWARD, "faster", 2.3, {"n": (1024, 1 << 20)}),
    *_both("local", "local, GPU", "auto", "flex", "faster", (2, 2), at=MAPS, device="cuda"),
    *_both("local", "local, GPU", "auto", "natten", "faster", (2, 2), at=MAPS, device="cuda"),
    *_both(
        "relative", f"{RELATIVE}, GPU", "auto", "no places", "faster", (0.8, 0.8),
        at=SIDES, device="cuda",
    ),
    *_both(
        "tiled", "tiled attention, GPU", "triton", "fused", "faster", (0.5, 0.5),
        device="cuda",
    ),
)  # fmt: skip


def verdicts(
    runs: Sequence[Mapping[str, Any]], part: str, goals: Iterable[Goal] = GOALS
) -> list[dict[str, Any]]:
    """Every goal of this mechanism with what was measured: by the allocator as it comes, by
    the tuned one, and with the instructions that most processors have."""
    found = []
    for goal in goals:
        if goal.part != part:
            continue
        default, tuned = (chosen(runs, goal.device, which) for which in ("default", "tuned"))
        here = verdict(goal, default)
        here["tuned"] = verdict(goal, tuned)["measured"] if tuned else {}
        fewer = chosen(runs, goal.device, "default", "AVX2")
        here["AVX2"] = verdict(goal, fewer)["measured"] if fewer else {}
        found.append(here)
    return found


def chosen(
    runs, device: str, allocator: str, instructions: str | None = None
) -> Mapping[str, Any] | None:
    """The run on this device with the fewest threads, with these instructions; with the widest
    that were measured, if none are named."""
    fit = [
        run
        for run in runs
        if run["device"] == device
        and run["measured"] == "yes"
        and (run["allocator"] == allocator or (device == "cuda" and allocator == "default"))
        and instructions in (None, run.get("instructions"))
    ]
    narrow = {"AVX2": 1, "DEFAULT": 2}
    return min(
        fit,
        key=lambda run: (run["threads"], narrow.get(run.get("instructions"), 0)),
        default=None,
    )


def verdict(goal: Goal, run: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was measured at each size; reached at all of them, at some, at none, or unknown."""
    asked = asdict(goal) | {"asks": goal.asks, "at": {k: list(v) for k, v in goal.at.items()}}
    if run is None:
        return asked | {
            "measured": {},
            "verdict": "not measured",
            "why": f"no {DEVICES[goal.device]}",
        }
    measured: dict[str, dict[str, Any]] = {}
    why = "no such size in this run"
    if goal.what == "slope":
        exponents = run["slopes"].get(BOTH, {})
        if goal.way in exponents:
            measured["all sizes"] = {"value": exponents[goal.way]}
        else:
            why = "fewer than three lengths"
    else:
        for case in run["cases"]:
            size = case["size"]
            if not all(lo <= size.get(key, lo - 1) <= hi for key, (lo, hi) in goal.at.items()):
                continue
            value = _value(goal, case)
            if isinstance(value, dict):
                measured[case["name"]] = value
            else:
                why = value
    if not measured:
        return asked | {"measured": {}, "verdict": "not measured", "why": why}
    for value in measured.values():
        value["reached"] = _holds(goal, value["value"])
    good = sum(value["reached"] for value in measured.values())
    said = (
        "reached"
        if good == len(measured)
        else f"at {good} of {len(measured)} sizes"
        if good
        else "missed"
    )
    return asked | {"measured": measured, "verdict": said, "why": ""}


def _value(goal: Goal, case: Mapping[str, Any]) -> dict[str, Any] | str:
    """What a case says to a goal, or why it says nothing."""
    way = case.get("auto", "auto") if goal.way == "auto" else goal.way
    left_out, no_way_back = case["left out"], case.get("no way back", {})
    for name in filter(None, (way, goal.over)):
        if name in left_out:
            return f"{name}: {left_out[name]}"
        if name not in case[FORWARD]["ways"]:
            return f"{name} is not measured at this size"
    if goal.what == "way back":
        return {"value": int(way not in no_way_back and goal.over in no_way_back)}
    if goal.what == "MiB" or goal.what in MEMORY:
        number = int(MEMORY.get(goal.what, BOTH) == BOTH)
        ours = case.get("MiB", {}).get(way, [None, None])[number]
        if goal.what == "MiB":
            return "memory was not measured" if ours is None else {"value": ours}
        theirs = case.get("MiB", {}).get(goal.over, [None, None])[number]
        if None in (ours, theirs):
            return "memory was not measured at this size"
        return {"value": float(f"{ours / max(theirs, 0.1):.3g}"), "MiB": [ours, theirs]}
    rows = case[goal.what]["ways"]
    if goal.over not in rows:
        return f"{goal.over}: {no_way_back.get(goal.over, 'not measured')}"
    if way not in rows:
        return f"{way}: {no_way_back.get(way, 'not measured')}"
    middle, least, most = rows[way]["over"][goal.over]
    value = {"value": middle, "least": least, "most": most}
    if goal.sense == "faster":
        value = {"value": 1 / middle, "least": 1 / most, "most": 1 / least}
        value = {name: float(f"{x:.4g}") for name, x in value.items()}
    if "over floor" in rows[way]:
        value["over floor"] = rows[way]["over floor"]
    return value | ({"way": way} if goal.way == "auto" else {})


def _holds(goal: Goal, value: float) -> bool:
    return value >= goal.bound if goal.sense in ("faster", "") else value <= goal.bound
