"""What was measured, as tables on the screen, figures and files."""

import io
import json
import os
import platform
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from attncourse.book import plots

SCHEMA = 1
PACKAGES = ("torch", "einops", "triton", "natten", "halonet-pytorch", "timm")
DIRECTIONS = ("forward", "forward + backward")


@dataclass(frozen=True)
class Figure:
    """What a mechanism's figure shows: time against size, a line for each way.

    x     what the axis counts, and what is fixed
    ways  the lines, as far as they were measured
    ours  whose ratio the titles say; "auto" for what a user gets
    over  over which of these, the first that was measured; dashed
    """

    x: str
    ways: Sequence[str]
    ours: str
    over: Sequence[str]


def about(device: str, threads: int, clock: str) -> dict[str, Any]:
    """Where and with what it was measured."""
    import torch

    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    found = {
        "hardware": f"{_processor()}, {os.cpu_count()} cores",
        "versions": versions,
        "threads": threads,
        "clock": clock,
        "date": date.today().isoformat(),
        "load": [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }
    if device == "cuda":
        found["hardware"] = f"{torch.cuda.get_device_name()}; {found['hardware']}"
        found["versions"]["cuda"] = torch.version.cuda
    return found


def instructions() -> str:
    """The widest instructions that torch finds here, as "AVX2" or "AVX512"; "" on a GPU."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


# ---------------------------------------------------------------- tables


def console() -> Console:
    """As wide as the screen; 140 columns where there is none."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=140)


def number(x: float | None, digits: int = 3) -> str:
    """As few characters as say so many digits."""
    if x is None:
        return "–"
    return f"{x:,.0f}" if abs(x) >= 10**digits else f"{x:.{digits}g}"


def with_spread(values: Sequence[float] | None) -> str:
    """Median, and in brackets least and most."""
    if values is None:
        return "–"
    middle, least, most = map(number, values)
    return f"{middle} ({least} … {most})"


def show_case(case: Mapping[str, Any], to: Console, over: Sequence[str]) -> None:
    """A table a direction: a row for each way."""
    for column, direction in enumerate(DIRECTIONS):
        rows = case[direction]["ways"]
        if not rows:
            continue
        bases = [name for name in over if name in rows][:2]
        table = Table(
            title=f"{case['name']}: {direction}, {case[direction]['rounds']} rounds",
            title_justify="left",
        )
        table.add_column("")
        for title in ("ms", *(f"over {name}" for name in bases), "over its floor", "MiB"):
            table.add_column(title, justify="right")
        for name, row in rows.items():
            mib = case.get("MiB", {}).get(name)
            table.add_row(
                f"{name} (auto)" if name == case.get("auto") else name,
                with_spread(row["ms"]),
                *(with_spread(row["over"][base]) for base in bases),
                number(row.get("over floor")),
                number(mib[column] if mib else None),
            )
        to.print(table)
    for name, why in case["left out"].items():
        to.print(f"  {name} is left out: {why}", style="dim", markup=False)


def goals_table(goals: Sequence[Mapping[str, Any]]) -> Table:
    """Each goal with the worst that was measured, and whether it is reached."""
    table = Table(title="goals: the worst of the sizes that each names", title_justify="left")
    table.add_column("work")
    table.add_column("against")
    table.add_column("goal")
    for name in ("measured", "tuned", "over floor"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for goal in goals:
        worst, tuned = (_worst(goal, goal[key]) for key in ("measured", "tuned"))
        style = {"reached": "green", "missed": "red"}.get(goal["verdict"], "yellow")
        table.add_row(
            goal["work"],
            goal["over"] or "–",
            goal["asks"],
            number(worst["value"]) if worst else "–",
            number(tuned["value"]) if tuned else "–",
            number(worst.get("over floor")) if worst else "–",
            f"[{style}]{goal['verdict']}[/]",
        )
    return table


def unknown(goals: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why goals were not measured, a line for each reason."""
    works: dict[str, list[str]] = {}
    for goal in goals:
        if goal["verdict"] == "not measured":
            named = works.setdefault(goal["why"], [])
            named += [] if goal["work"] in named else [goal["work"]]
    return [f"not measured, {why}: {'; '.join(names)}" for why, names in works.items()]


def _worst(goal: Mapping[str, Any], measured: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not measured:
        return None
    choose = min if goal["sense"] in ("faster", "") else max
    return choose(measured.values(), key=lambda x: x["value"])


# ---------------------------------------------------------------- figures


def draw(figure: Figure, run: Mapping[str, Any], path: Path) -> Path | None:
    """Time against size, forward and forward + backward, with the floor of what is ours.

    None where nothing of it was measured.
    """
    shown = [case for case in run["cases"] if case["at"]]
    fig, axes = plt.subplots(1, 2, figsize=(plots.WIDEST, 3.1), sharey=True)
    fig.get_layout_engine().set(wspace=0.08)
    drawn = [_panel(ax, figure, shown, way) for ax, way in zip(axes, DIRECTIONS, strict=True)]
    if not any(drawn):
        plt.close(fig)
        return None
    axes[0].set_ylabel("milliseconds")
    fig.supxlabel(figure.x, fontsize=9)
    handles: dict[str, Any] = {}
    for ax in axes:
        lines, labels = ax.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    names = (*figure.ways, FLOOR)
    handles = {name: handles[name] for name in names if name in handles}
    fig.legend(handles.values(), handles, loc="outside right center", fontsize=8)
    buffer = io.BytesIO()
    # no version, no date: the same figure gives the same bytes
    fig.savefig(buffer, format="png", dpi=110, bbox_inches=None, metadata={"Software": None})
    path.write_bytes(plots.smaller(buffer))
    plt.close(fig)
    return path


FLOOR = "floor of ours"


def _panel(ax, figure: Figure, cases: Sequence[Mapping[str, Any]], direction: str) -> bool:
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    any_line = False
    for k, name in enumerate(figure.ways):
        line = [
            (case["at"], *case[direction]["ways"][name]["ms"])
            for case in cases
            if name in case[direction]["ways"]
        ]
        if not line:
            continue
        x, middle, least, most = zip(*sorted(line), strict=True)
        colour = colours[k % len(colours)]
        dashed = "--" if name in figure.over else "-"
        ax.plot(x, middle, dashed, color=colour, marker=".", label=name)
        ax.fill_between(x, least, most, color=colour, alpha=0.2, linewidth=0)
        any_line = True
    floors = []
    for case in cases:
        row = case[direction]["ways"].get(_ours(figure, case))
        if row and "floor ms" in row:
            floors.append((case["at"], row["floor ms"]))
    if floors:
        ax.plot(*zip(*sorted(floors), strict=True), ":", color="0.45", label=FLOOR)
    ax.set(xscale="log", yscale="log", title=claim(figure, cases, direction))
    sizes = sorted({case["at"] for case in cases})
    ax.set_xticks(sizes, [f"{x:,}" for x in sizes])
    ax.minorticks_off()
    return any_line


def _ours(figure: Figure, case: Mapping[str, Any]) -> str:
    return case.get("auto", "") if figure.ours == "auto" else figure.ours


def claim(figure: Figure, cases: Sequence[Mapping[str, Any]], direction: str) -> str:
    """The title: our time beside another's at the largest size where both were measured."""
    for over in figure.over:
        for case in sorted(cases, key=lambda case: case["at"], reverse=True):
            rows, ours = case[direction]["ways"], _ours(figure, case)
            if ours not in rows or over not in rows[ours]["over"]:
                continue
            ratio = rows[ours]["over"][over][0]
            much = (
                f"{number(1 / ratio, 2)} times as fast as"
                if ratio < 0.5
                else f"{number(ratio, 2)} times the time of"
            )
            told = textwrap.fill(f"{ours}: {much} {over}", 30)
            return f"{direction}, at {case['at']:,}\n{told}"
    return direction


# ---------------------------------------------------------------- files


def merged(old: Mapping[str, Any] | None, runs: Sequence[Mapping[str, Any]]) -> list:
    """The runs with those of before that they do not replace: a run on another device, or with
    other threads, stays. "None" replaces nothing that was measured."""
    kept = list(old["runs"]) if old and old.get("schema") == SCHEMA else []
    for run in runs:
        same = [x for x in kept if _key(x) == _key(run) or _without(x, run)]
        if run["measured"] != "yes":
            if any(x["device"] == run["device"] for x in kept):
                continue
        kept = [
            x
            for x in kept
            if x not in same and not (x["device"] == run["device"] and x["measured"] != "yes")
        ]
        kept.append(dict(run))
    return sorted(
        kept, key=lambda x: (x["device"], x.get("threads", 0), x.get("allocator", ""))
    )


def _without(old: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether an old run is like this one, and does not say with which instructions."""
    return "instructions" not in old and _key(old)[:3] == _key(run)[:3]


def _key(run: Mapping[str, Any]) -> tuple:
    return run["device"], run.get("allocator"), run.get("threads"), run.get("instructions")


def read(path: Path) -> dict[str, Any] | None:
    """What the file holds; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(path: Path, found: Mapping[str, Any]) -> None:
    """As JSON; lists of numbers stay on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(compact(found) + "\n", encoding="utf-8")


def compact(value: Any, depth: int = 0) -> str:
    """JSON with an entry a line, but what is flat and short on one."""
    flat = json.dumps(value, ensure_ascii=False)
    nested = isinstance(value, dict | list) and len(flat) + depth > 96
    if not nested or not value:
        return flat
    space, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, list):
        return "[" + ",".join(space + compact(x, depth + 1) for x in value) + end + "]"
    entries = (
        f"{space}{json.dumps(k, ensure_ascii=False)}: {compact(v, depth + 1)}"
        for k, v in value.items()
    )
    return "{" + ",".join(entries) + end + "}"
