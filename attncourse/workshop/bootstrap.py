"""Make `.venv` and install the course into it: what `make` runs before everything else.

Standard library only, and written so that an old Python can read it and say it is too old.
Installs only when pyproject.toml or constraints.txt has changed since the last time.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed.txt"
LOG = VENV / "install.log"
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST = (3, 11)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class CannotInstall(Exception):
    """What went wrong and what to do, in one line."""


def main():
    """Bring `.venv` up to date; print nothing where nothing is to be done."""
    try:
        install()
    except CannotInstall as error:
        sys.exit(f"attncourse: {error}")
    except OSError as error:
        sys.exit(f"attncourse: cannot write {error.filename or VENV}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("attncourse: stopped; the same command goes on where it was.")


def install():
    """Make the virtual environment where there is none, and install what changed."""
    wanted = fingerprint()
    if runs(PYTHON) and STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    if not runs(PYTHON, "-m", "pip", "--version"):
        make_venv()
    say("Installing the course into .venv (the first time takes some minutes)")
    if STAMP.exists():
        STAMP.unlink()
    LOG.write_text("", encoding="utf-8")
    # Older ones know no groups, and download whole wheels to answer a dry run.
    pip("install", "--quiet", "pip>=25.1")
    torch = settle_torch()
    own = brings_triton()
    pins = CONSTRAINTS.read_text(encoding="utf-8")
    pins = re.sub(r"(?m)^torch==.*$", "torch==" + torch, pins)
    if own:
        pins = re.sub(r"(?m)^triton==.*\n", "", pins)
    pinned = VENV / "constraints.txt"
    pinned.write_text(pins, encoding="utf-8")
    pip("install", "--quiet", "-c", str(pinned), "-e", target(kernels=not own))
    alone = "{}:oracles-alone".format(ROOT / "pyproject.toml")
    pip("install", "--quiet", "--no-deps", "-c", str(pinned), "--group", alone)
    STAMP.write_text(wanted, encoding="utf-8")
    say(f"Installed, with torch {torch}")


def target(kernels=True):
    """The course and what its tests need; what drives a browser only where there is one, and
    Triton only where torch has none of its own."""
    browser = ",browser" if any(map(shutil.which, BROWSERS)) else ""
    return f"{ROOT}[oracles,translate{',kernels' if kernels else ''}{browser}]"


def fingerprint():
    """Changes whenever there is something to install."""
    parts = [
        (ROOT / "pyproject.toml").read_bytes(),
        CONSTRAINTS.read_bytes(),
        target().encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


# ---------------------------------------------------------------- the virtual environment


def make_venv():
    """A fresh `.venv`, from this Python or, if it is too old, from a newer one on the path."""
    python = sys.executable if sys.version_info >= OLDEST else newer_python()
    if not runs(python, "-c", "import venv, ensurepip"):
        raise CannotInstall(
            f"{python} cannot make virtual environments. On Debian and Ubuntu: "
            "apt install python3-venv. Then run the same command again."
        )
    made = run([python, "-m", "venv", "--clear", str(VENV)])
    if made.returncode:
        raise CannotInstall(f"cannot make .venv: {last_line(made.stdout)}")


def newer_python():
    """A Python on the path that is new enough, although the one that runs this is not."""
    for minor in range(14, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and runs(found, "--version"):
            return found
    raise CannotInstall(
        "needs Python 3.11 or newer, and {} is {}.{}. Install a newer one, or name it: "
        "make lab PYTHON=python3.12".format(sys.executable, *sys.version_info[:2])
    )


# ---------------------------------------------------------------- torch


def settle_torch():
    """The version of torch in `.venv`, installed first if need be.

    One that is there and within bounds stays: it is large. Without an NVIDIA GPU it must be a
    build for CPUs, also where the one that pip would take brings CUDA along.
    """
    bounds = re.search(
        r'"(torch[^"]*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ).group(1)
    there = installed_torch(bounds)
    if there:
        return there
    pin = re.search(r"(?m)^torch==\S+", CONSTRAINTS.read_text(encoding="utf-8")).group(0)
    if sys.platform == "linux" and not has_gpu() and brings_cuda(pin):
        say("This machine has no NVIDIA GPU: taking the build of torch for CPUs")
        pip("install", "--quiet", "uv")
        uv = [str(PYTHON), "-m", "uv", "pip", "install", "--quiet", "--python", str(PYTHON)]
        done = logged([*uv, "--torch-backend=cpu", "-c", str(CONSTRAINTS), pin])
        if done.returncode:
            raise CannotInstall(
                f"cannot fetch {pin} for CPUs: {why(done.stdout)} Behind a mirror, "
                "name one that has it (PIP_INDEX_URL or PIP_FIND_LINKS), and run: "
                f"{PYTHON} -m pip install {pin}"
            )
    else:
        pip("install", "--quiet", "-c", str(CONSTRAINTS), pin)
    return installed_torch(bounds) or pin.split("==")[1]


def installed_torch(bounds):
    """The version of torch in `.venv`, if it imports and is within `bounds`, else None."""
    code = (
        "import sys, torch; from importlib.metadata import version\n"
        "from pip._vendor.packaging.requirements import Requirement\n"
        "v = version('torch'); sys.exit(not Requirement(sys.argv[1]).specifier.contains(v))"
    )
    if not runs(PYTHON, "-c", code, bounds):
        return None
    code = "from importlib.metadata import version; print(version('torch'))"
    return run([str(PYTHON), "-c", code]).stdout.strip()


def has_gpu():
    """Whether an NVIDIA GPU is there: asked of the driver, since torch is not."""
    cards = Path("/proc/driver/nvidia/gpus")
    listed = shutil.which("nvidia-smi") and run(["nvidia-smi", "-L"])
    return bool(listed and listed.stdout.startswith("GPU ")) or (
        cards.is_dir() and any(cards.iterdir())
    )


def brings_cuda(pin):
    """Whether the torch that pip would take here is one with CUDA; asks, downloads nothing."""
    report = VENV / "report.json"
    pip("install", "--quiet", "--dry-run", "--no-deps", "--report", str(report), pin)
    taken = json.loads(report.read_text(encoding="utf-8"))["install"][0]["metadata"]
    _, _, build = taken["version"].partition("+")
    needs = " ".join(taken.get("requires_dist", ())).lower()
    return not build.startswith("cpu") and bool(build or "nvidia" in needs or "cuda" in needs)


def brings_triton():
    """Whether the torch in `.venv` asks for a Triton of its own, as builds with CUDA do."""
    code = (
        "from importlib.metadata import requires\n"
        "from pip._vendor.packaging.requirements import Requirement\n"
        "asked = map(Requirement, requires('torch') or ())\n"
        "here = (r for r in asked if not r.marker or r.marker.evaluate({'extra': ''}))\n"
        "print(any(r.name.endswith('triton') for r in here))"
    )
    return run([str(PYTHON), "-c", code]).stdout.strip() == "True"


# ---------------------------------------------------------------- running programs


def say(text):
    """One line of progress, at once."""
    print(f"attncourse: {text}", flush=True)


def run(command):
    """Run a program; its output, both streams together, comes back as text."""
    text = {"universal_newlines": True, "errors": "replace"}  # as Python 3.6 says it
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **text)


def runs(program, *arguments):
    """Whether a program is there and ends well."""
    try:
        return run([str(program), *arguments]).returncode == 0
    except OSError:
        return False


def logged(command):
    """Run a program and keep what it said in the log."""
    done = run(command)
    with open(str(LOG), "a", encoding="utf-8") as log:
        log.write("$ {}\n{}\n".format(" ".join(command), done.stdout))
    return done


def pip(*arguments):
    """Run the pip of `.venv`. Raises CannotInstall with the cause in one line."""
    done = logged([str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments])
    if done.returncode:
        raise CannotInstall(f"pip failed: {why(done.stdout)} All of it: {LOG}")


CAUSES = (
    (
        r"NewConnectionError|NameResolutionError|name resolution|Name or service not known"
        r"|Network is unreachable|Connection refused|Max retries|dns error|ConnectTimeout",
        "the package index cannot be reached. Connect to the network and run the same command "
        "again; what is there already is kept.",
    ),
    (r"No space left|Errno 28", "the disk is full. Torch alone takes about a gigabyte."),
    (
        r"No matching distribution found for (\S+)",
        "there is no {0} for this Python and machine. Another may have it: remove .venv, "
        "then make lab PYTHON=python3.12.",
    ),
)


def why(output):
    """The cause of a failed installation in one line, as far as it is a known one."""
    for pattern, cause in CAUSES:
        found = re.search(pattern, output)
        if found:
            return cause.format(*found.groups())
    return last_line(output)


def last_line(output):
    """The last line that says ERROR, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output."]
    return next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])


if __name__ == "__main__":
    main()
