"""Devices and allocators one after the other, each in a process of its own; then the files.

C's allocator gives large tensors back to the system, which clears their pages anew each time.
"tuned" is glibc's, told by its environment variables to keep what it has. A processor with
AVX-512 also does as if it had AVX2 alone, which most processors have: all libraries that ask
are told so.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attncourse.bench import PARTS, goals, measuring, memory, reporting
from attncourse.bench.measuring import Case, Setting
from attncourse.errors import UserError

TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
SMALLER = {  # for oneDNN, for torch's own kernels, for MKL, for ours
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATTNCOURSE_VECTOR_BYTES": "32",
}
WITH_SMALLER = ("local", "layers", "networks", "relative")  # what hangs on it most
SECONDS = {False: 1.0, True: 6.0}  # for the rounds of a case and direction; small, full


def everything(
    only: Sequence[str], full: bool, threads: int, device: str | None, folder: Path
) -> list[str]:
    """Measure, show and write; the mechanisms that failed.

    Raises UserError for a mechanism or a device that there is not.
    """
    for name in only:
        if name not in PARTS:
            raise UserError(f'nothing is called "{name}"; there are {", ".join(PARTS)}')
    parts = [name for name in PARTS if not only or name in only]
    to, start, runs = reporting.console(), time.perf_counter(), plan(device, threads)
    if (load := _load()) > 0.3:
        to.print(f"[yellow]Others are at work here (load {load:.1f}): times will be noisy.[/]")
    found: dict[str, list] = {name: [] for name in parts}
    for run in runs:
        if run["measured"] != "yes":
            to.print(f"{run['device']}: measured: none; {run['why']}")
        results = apart(run, parts, full) if run["measured"] == "yes" else {}
        for name in parts:
            found[name] += [results[name]] if name in results else []
    rows, absent = [], [run for run in runs if run["measured"] != "yes"]
    for name in parts:
        rows += put(name, found[name] + absent, folder) if found[name] else []
    to.print(reporting.goals_table(rows))
    for line in reporting.unknown(rows):
        to.print(line, markup=False)
    to.print(f"{(time.perf_counter() - start) / 60:.1f} minutes; written to {folder}")
    due = {name: sum(run in absent or _is_for(run, name) for run in runs) for name in parts}
    return [name for name in parts if len(found[name]) + len(absent) < due[name]]


def _load() -> float:
    """How much others compute; 0 where it cannot be told."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def plan(device: str | None, threads: int) -> list[dict[str, Any]]:
    """What is run: on the CPU with the allocator as it comes and tuned, then on a GPU."""
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise UserError("there is no CUDA device here: leave --device out, or take cpu.")
    if device not in (None, "cpu", "cuda"):
        raise UserError(f'"{device}" is no device to measure on: take cpu or cuda.')
    runs = []
    if device != "cuda":
        glibc = platform.libc_ver()[0] == "glibc"
        has = reporting.instructions()
        common = {"device": "cpu", "threads": threads, "measured": "yes", "instructions": has}
        runs.append(common | {"allocator": "default"})
        if glibc:
            runs.append(common | {"allocator": "tuned"})
        if has == "AVX512":
            runs.append(common | {"allocator": "default", "instructions": "AVX2"})
    if cuda and device != "cpu":
        runs.append(
            {"device": "cuda", "threads": threads, "measured": "yes", "allocator": "torch"}
        )
    elif not cuda:
        runs.append({"device": "cuda", "measured": "none", "why": "no CUDA device here"})
    return runs


def apart(run: Mapping[str, Any], parts: Sequence[str], full: bool) -> dict[str, dict]:
    """The mechanisms in one process, with the allocator that is asked for."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "TRITON_INT"))}
    env["OMP_NUM_THREADS"] = str(run["threads"])
    if run["allocator"] == "tuned":
        env |= TUNED
    if _imitates(run):
        env |= SMALLER
        parts = [name for name in parts if _is_for(run, name)]
    with TemporaryDirectory() as scratch:
        given = {"run": dict(run), "parts": list(parts), "full": full, "into": scratch}
        command = [sys.executable, "-m", "attncourse.bench.running", json.dumps(given)]
        subprocess.run(command, env=env)  # what is there is read, also where it fails
        return {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in map(Path(scratch).joinpath, (f"{name}.json" for name in parts))
            if path.is_file()
        }


def _imitates(run: Mapping[str, Any]) -> bool:
    """Whether it does as if the processor had less than it has."""
    return run.get("instructions", reporting.instructions()) != reporting.instructions()


def _is_for(run: Mapping[str, Any], name: str) -> bool:
    """Whether a mechanism is measured in a run: all are, where nothing is imitated."""
    return not _imitates(run) or name in WITH_SMALLER


def one(
    name: str,
    run: Mapping[str, Any],
    setting: Setting,
    rates: Mapping[str, float],
    peaks: Mapping[tuple, float | None],
) -> dict[str, Any]:
    """A mechanism on a device with an allocator, measured in this process and shown."""
    to, start = reporting.console(), time.perf_counter()
    part = measuring.part(name)
    to.rule(part.WHAT, align="left")
    to.print(
        f"{_where(run)}; {rates['matrix'] / 1e9:.4g} GFLOP/s in a product of matrices, "
        f"{rates['copy'] / 1e9:.4g} GB/s in a copy"
    )
    cases = list(enumerate(part.cases(setting)))
    if run["allocator"] == "tuned" and not setting.full:
        cases = [(k, case.without(case.spare)) for k, case in cases if case.core]
    measured = []
    for k, case in cases:
        found = measuring.measure(case, setting, rates, SECONDS[setting.full])
        if mib := _memory(peaks, setting, name, k, case, found):
            found["MiB"] = mib
        reporting.show_case(found, to, case.over)
        _disagree(found, measuring.ALIKE.get(setting.dtype), to)
        measured.append(found)
    return {
        **run,
        **reporting.about(run["device"], run["threads"], setting.clock),
        "mode": "full" if setting.full else "small",
        "dtype": str(setting.dtype).removeprefix("torch."),
        "rates": rates,
        "cases": measured,
        "slopes": measuring.slopes(measured),
        "minutes": round((time.perf_counter() - start) / 60, 4),
    }


def _where(run: Mapping[str, Any]) -> str:
    if run["device"] == "cuda":
        return "CUDA device, bfloat16"
    how = " ".join(f"{k}={v}" for k, v in TUNED.items())
    allocator = f"tuned ({how})" if run["allocator"] == "tuned" else "as C comes with it"
    plural = "s" if run["threads"] > 1 else ""
    has = run.get("instructions", "")
    return f"CPU with {has}, {run['threads']} thread{plural}, allocator {allocator}"


def _memory(
    peaks: Mapping[tuple, float | None],
    setting: Setting,
    name: str,
    number: int,
    case: Case,
    found: Mapping[str, Any],
) -> dict[str, list[float | None]]:
    """MiB, forward and forward + backward, of all ways that were timed."""
    rows = [found[direction]["ways"] for direction in measuring.DIRECTIONS]
    mib: dict[str, list[float | None]] = {}
    for way in rows[0]:
        pair = []
        for back, timed in enumerate(rows):
            spent = peaks.get((name, number, way, bool(back))) if way in timed else None
            if way in timed and setting.device != "cpu":
                spent = memory.on_gpu(case.make(way), bool(back))
            pair.append(spent)
        if pair != [None, None]:
            mib[way] = pair
    return mib


def _disagree(found: Mapping[str, Any], bound: float | None, to) -> None:
    for name, off in found["off"].items() if bound else ():
        if not off <= bound:
            to.print(f"[red]{name} is off by {off}: it is not the same work[/]")


def put(name: str, runs: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Write results/fast_NAME.json and its figures; the goals with their verdicts."""
    path = folder / f"fast_{name}.json"
    runs = reporting.merged(reporting.read(path), runs)
    done = [run for run in runs if run["measured"] == "yes"]
    first = min(done, key=lambda run: (run["device"] != "cpu", run["allocator"] != "default",
                                       run["threads"]), default={})  # fmt: skip
    part, figures = measuring.part(name), []
    folder.mkdir(parents=True, exist_ok=True)
    for device, ending in (("cpu", ""), ("cuda", "_cuda")):
        shown = goals.chosen(runs, device, "default")
        if shown:
            drawn = reporting.draw(part.FIGURE, shown, folder / f"fast_{name}{ending}.png")
            figures += [drawn.name] if drawn else []
    found = goals.verdicts(runs, name)
    reporting.write(path, {
        "schema": reporting.SCHEMA,
        "what": part.WHAT,
        "seeds": [measuring.SEED],
        **{key: first.get(key) for key in ("hardware", "versions", "threads", "clock", "date")},
        "allocators": {
            "default": "as C comes with it",
            "tuned": " ".join(f"{key}={value}" for key, value in TUNED.items()),
        },
        "minutes": round(sum(run["minutes"] for run in done), 4),
        "figures": figures,
        "goals": found,
        "runs": runs,
    })  # fmt: skip
    return found


def main() -> None:
    """The mechanisms that are named, each written as soon as it is measured."""
    given = json.loads(sys.argv[1])
    run, names = given["run"], given["parts"]
    setting = Setting(run["device"], given["full"], run["threads"])
    torch.set_num_threads(setting.threads)
    rates, peaks = measuring.rates(setting), {}
    if run["allocator"] == "default" and "ATTNCOURSE_VECTOR_BYTES" not in os.environ:
        peaks = memory.peaks(setting, memory.jobs(setting, names))
    for name in names:
        found = one(name, run, setting, rates, peaks)
        path = Path(given["into"]) / f"{name}.json"
        path.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
