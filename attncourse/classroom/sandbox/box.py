"""A program in a box: started on a rung, watched, and ended with all that came of it."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from attncourse import places
from attncourse.classroom.sandbox import ladder
from attncourse.classroom.sandbox.ladder import NONE, Rung, administrator

MEMORY = 3 * 2**30  # bytes of all processes of one box together
PROCESSES, FILES, OUTPUT = 64, 256, 64 * 2**20
DISK = 128 * 2**20  # bytes in the scratch folder, where it is no file system of its own
SAID = 4000  # bytes of what a program says on stderr
GRACE = 5.0  # seconds until what should end is ended

_count = itertools.count()


class Over(Exception):
    """A limit of the box is over; the text says which."""


@dataclass
class Box:
    """A rung, and the folder that programs on it may read."""

    rung: Rung
    stage: Path
    memory: int = MEMORY

    def limits(self) -> dict[str, int]:
        """The limits of each process."""
        many = PROCESSES
        if not administrator() and not self.rung.own_files:  # all of this user's count
            with suppress(psutil.Error):
                mine = os.getuid()
                every = psutil.process_iter(["uids", "num_threads"])
                infos = [p.info for p in every if p.info["uids"]]
                many += sum(i["num_threads"] or 0 for i in infos if i["uids"].real == mine)
        limits = {"DATA": self.memory, "FSIZE": OUTPUT, "NPROC": many}
        return limits | {"NOFILE": FILES, "CORE": 0, "MSGQUEUE": 0, "MEMLOCK": 2**16}

    def environment(self, scratch: str) -> dict[str, str]:
        """What the program finds, and nothing of ours."""
        folder = ladder.folder_of(self.rung, self.stage)
        found = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
        if not (self.stage / "package").is_dir():  # one's own notebook, beside the whole course
            found = dict(os.environ) | found
            before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
            paths = [folder, *filter(None, before), str(places.TOP)]
            return found | {"PYTHONPATH": os.pathsep.join(paths)}
        found |= {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "USER": "student"}
        found |= {"LOGNAME": "student", "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
        found["PYTHONPATH"] = os.pathsep.join([folder, f"{folder}/package", *ladder.sites()])
        for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
            found[f"{name}_NUM_THREADS"] = "1"
        for name in ("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR", "XDG_CACHE_HOME"):
            found[name] = scratch
        return found

    def fault(self) -> str:
        """Why no program runs on this rung; "" where one does."""
        try:
            with self.started([ladder.python(), "-c", "import ctypes; print('in')"]) as running:
                out, _ = running.process.communicate(timeout=ladder.TRIED)
                if out.strip() == b"in":
                    return ""
                return running.says() or f"it ends with {running.process.returncode}"
        except (OSError, subprocess.SubprocessError) as error:
            return str(error).splitlines()[0][:200]

    @contextlib.contextmanager
    def started(
        self, program: Sequence[str], folder: Path | None = None
    ) -> Iterator["Running"]:
        """The program, running; ended on the way out."""
        number = next(_count)
        uid = _uid(number) if self.rung is not NONE and administrator() else None
        scratch = Path(tempfile.mkdtemp(prefix="attncourse-"))
        said = tempfile.TemporaryFile()
        running = None
        try:
            scratch.chmod(0o700)
            if uid is not None:
                os.chown(scratch, uid, uid)
            inside = "/tmp" if self.rung.own_files else str(scratch)
            process = subprocess.Popen(
                ladder.command(self.rung, program, self.stage, scratch, self.limits(), uid),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self.environment(inside),
                cwd=folder or (self.stage if self.rung.own_files else scratch),
                start_new_session=True,
            )
            running = Running(process, scratch, said, self.memory, uid)
            yield running
        finally:
            if running:
                running.end()
            said.close()
            shutil.rmtree(scratch, ignore_errors=True)


def _uid(number: int) -> int:
    """A user whom nobody is, another one for each box, so that limits of one count alone."""
    with suppress(OSError, ValueError):
        text = Path("/proc/self/uid_map").read_text()
        mapped = sum(int(line.split()[2]) for line in text.splitlines())
        if mapped < 2**31:
            return 50_000 + (os.getpid() * 61 + number) % 15_000
    return 1_900_000_000 + os.getpid() % 2**22 * 60 + number % 60


@dataclass
class Running:
    """A program in its box."""

    process: subprocess.Popen
    scratch: Path
    said: object
    memory: int
    uid: int | None
    looks: int = 0
    spent: dict[int, float] = field(default_factory=dict)

    def tree(self) -> list[psutil.Process]:
        """The process and all that came of it."""
        with suppress(psutil.Error):
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def watch(self) -> None:
        """Raises Over where all of it takes more than it may."""
        self.looks += 1
        tree, used = self.tree(), 0
        if len(tree) > 2 * PROCESSES:
            raise Over(f"starts more than {PROCESSES} processes")
        for one in tree:
            with suppress(psutil.Error):
                memory = one.memory_info()
                used += max(memory.rss - getattr(memory, "shared", 0), 0)
                self.spent[one.pid] = sum(one.cpu_times()[:2])
        if used > self.memory:
            raise Over(f"takes more than {self.memory / 2**30:.0f} GiB of memory")
        if self.looks % 8 == 0 and _size(self.scratch) > DISK:
            raise Over(f"writes more than {DISK // 2**20} MiB")

    def cpu(self) -> float:
        """Seconds of processor time, of all processes that were seen."""
        return sum(self.spent.values())

    def says(self) -> str:
        """The last line that it said on stderr."""
        self.said.seek(max(0, os.fstat(self.said.fileno()).st_size - SAID))
        lines = self.said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else ""

    def end(self) -> None:
        """End it with all that came of it."""
        left = self.tree()
        with suppress(ProcessLookupError):
            self.process.terminate()  # a keeper ends its own
        try:
            self.process.wait(GRACE if len(left) > 1 or self.process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            pass
        for one in (*left, *self.tree()):
            with suppress(psutil.Error):
                if one.pid != self.process.pid:
                    one.kill()
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError, ValueError):
                pipe.close()


def _size(folder: Path) -> int:
    """Bytes in a folder, as far as one can look."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(top, name)).st_blocks * 512
    return total


if sys.platform == "win32":  # sizes are counted otherwise, and no limits are set
    DISK = 2**60
