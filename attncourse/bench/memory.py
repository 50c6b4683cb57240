"""What a way needs at its peak, beyond what the process holds before it: inputs, libraries.

    echo '{"setting": {…}, "jobs": [["local", 0, "native", true], …]}' |
    python -m attncourse.bench.memory

Every way is measured in a process of its own, which branches off from one that has loaded
everything and computed nothing. The way has run once at a tiny size before, so that what is
loaded on first use is not counted. On a GPU torch counts itself.
"""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

import torch

from attncourse.bench.measuring import Setting, Way, part

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2**20
Job = tuple[str, int, str, bool]  # mechanism, which case, way, with the way back


def jobs(setting: Setting, names: Sequence[str]) -> list[Job]:
    """All that is asked of these mechanisms; what a way cannot do will fail by itself."""
    return [
        (name, number, way, back)
        for name in names
        for number, case in enumerate(part(name).cases(setting))
        if case.core or setting.full
        for way in case.ways
        if way not in case.spare
        for back in (False, True)
    ]


def peaks(setting: Setting, jobs: Sequence[Job]) -> dict[Job, float | None]:
    """MiB of each in a process of its own; None where it fails or cannot be told (Windows)."""
    given = json.dumps({"setting": asdict(setting), "jobs": jobs})
    command = [sys.executable, "-m", "attncourse.bench.memory"]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise RuntimeError(f"memory could not be measured: {said[-1]}")
    return dict(zip(jobs, json.loads(done.stdout.splitlines()[-1]), strict=True))


def on_gpu(way: Way, back: bool) -> float:
    """MiB that torch takes on the device beyond what it holds."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    way.run(back)
    torch.cuda.synchronize()
    return round((torch.cuda.max_memory_allocated() - before) / MIB, 1)


def needed(way: Way, back: bool) -> float:
    """MiB that this process takes beyond what it holds."""
    with suppress(OSError, AttributeError):  # what is free goes back, so that it counts again
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        CLEAR.write_text("5")  # the peak is counted from here
    before = _resident()
    way.run(back)
    return round((_most() - before) / MIB, 1)


def _resident() -> int:
    return _said("VmRSS") if STATUS.is_file() else _most()


def _most() -> int:
    if STATUS.is_file():
        return _said("VmHWM")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _said(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())[1])


def one(setting: Setting, job: Job) -> float:
    """What one way needs."""
    mechanism, number, name, back = job
    tiny = next(iter(part(mechanism).cases(replace(setting, tiny=True))))
    with suppress(Exception):  # a way may be unable to do tiny sizes
        tiny.make(name).run(back)
    way = part(mechanism).cases(setting)[number].make(name)
    return needed(way, back)


def apart(setting: Setting, job: Job) -> float | None:
    """The same in a branch of this process."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, json.dumps(one(setting, job)).encode())
            os._exit(0)
        except BaseException as error:
            print(f"{job}: {error}", file=sys.stderr)
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if status == 0 and said else None


def main() -> None:
    """Answer the jobs in one line."""
    given = json.load(sys.stdin)
    setting = Setting(**given["setting"])
    torch.set_num_threads(setting.threads)
    import_module("torch._dynamo")  # which torch loads on first use: once, not in every branch
    for name in {job[0] for job in given["jobs"]}:
        part(name)
    if not hasattr(os, "fork"):
        print(json.dumps([None] * len(given["jobs"])))
        return
    print(json.dumps([apart(setting, tuple(job)) for job in given["jobs"]]))


if __name__ == "__main__":
    main()
