"""Run as a script: give up rights, then become the program.

    python -I -S confine.py '{"limits": …, "uid": …, "keep": …, …}' PROGRAM ARGUMENTS…

With "keep", where no namespace ends what is left over, this process stays and watches: when the
program ends, or when it is told to, it ends all that came of it.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress

SUBREAPER, DEATH = 36, 1
TURNS = 200  # looks for what is left over, at most


def main() -> None:
    plan, program = json.loads(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if not plan.get("keep"):
        shut_in(plan)
        os.execv(program[0], program)
    libc.prctl(SUBREAPER, 1, 0, 0, 0)  # what loses its parent becomes a child of ours
    libc.prctl(DEATH, signal.SIGTERM, 0, 0, 0)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.append(1))
    pid = os.fork()
    if not pid:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        libc.prctl(DEATH, signal.SIGKILL, 0, 0, 0)
        shut_in(plan)
        os.execv(program[0], program)
    for fd in (0, 1):
        os.close(fd)  # the pipe is the program's alone
    while not told:
        done, _ = os.waitpid(-1, os.WNOHANG)
        if done == pid:
            break
        time.sleep(0.01)
    end_all(plan.get("uid"))


def shut_in(plan: dict) -> None:
    """Limits, then another user, then what the kernel refuses; in this order, for each needs
    the rights that the next gives up."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import landlock
    import seccomp

    os.setsid() if os.getpid() != os.getsid(0) else None
    for name, limit in plan["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))
    if (uid := plan.get("uid")) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    if plan.get("landlock"):
        landlock.restrict(plan["read"], plan["look"], plan["write"])
    seccomp.restrict()


def children() -> list[int]:
    """Every process that came of this one, near or far."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat") as file:
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
    found, more = set(), {os.getpid()}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return sorted(found)


def end_all(uid: int | None) -> None:
    """End all that came of this process; first stop it, so that nothing new is begun."""
    if uid is not None and not os.fork():  # all at once, as that user
        with suppress(OSError):
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    for _ in range(TURNS):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in children():
                with suppress(OSError):
                    os.kill(pid, number)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not children():
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
