"""Make `.venv` and install the course into it with uv: what `make` runs before everything else.

    bootstrap.py                   what a learner needs
    bootstrap.py test oracles      and these extras of pyproject.toml

Standard library only, and written so that an old Python can read it and say it is too old.
What is there already stays; where nothing has changed, nothing is run.
"""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
OLDEST = (3, 11)
OF_PIP = {  # what people tell pip, as uv calls it
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraint",
    "trusted-host": "--allow-insecure-host",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
TORCH = """
import sys
from importlib.metadata import requires, version
from pip._vendor.packaging.requirements import Requirement
print(version("torch"), *requires("torch"))
sys.exit(not Requirement(sys.argv[1]).specifier.contains(version("torch"), prereleases=True))
"""
BY_HAND = (
    "Name a place that has one, in PIP_FIND_LINKS or PIP_INDEX_URL, or install one by hand, "
    f"{PYTHON} -m pip install torch; then run the same command again."
)
CAUSES = (  # what an installer says, and what a user should know
    (r"/whl/(?:cpu|cu\d|rocm|xpu)", f"torch for this machine cannot be fetched. {BY_HAND}"),
    (
        r"NewConnectionError|[Nn]ame ?[Rr]esolution|Name or service|Network is unreachable"
        r"|Connection refused|Max retries|ConnectTimeout|dns error|client error \(Connect\)",
        "the package index cannot be reached. Connect to the network and run the same command "
        "again; what is there already is kept.",
    ),
    (r"No space left|Errno 28", "the disk is full. Torch alone takes about a gigabyte."),
    (
        r"No matching distribution found for (\S+)|Because (\S+) has no wheels",
        "there is no {} for this Python and machine. Another may have it: remove .venv, then "
        "make lab PYTHON=python3.12.",
    ),
    (
        r"(?:Read-only file system|Permission denied): '([^']+)'",
        "{} cannot be written. Use a clone in a folder of your own.",
    ),
    (
        r"ensurepip is not available|No module named '?(?:venv|ensurepip)",
        "this Python makes no virtual environments. On Debian and Ubuntu: apt install "
        "python3-venv. Then run the same command again.",
    ),
    (r"No module named pip", ".venv has no pip. Remove .venv and run the same command again."),
)


class CannotInstall(Exception):
    """What went wrong and what to do, in one line."""


def main(extras):
    """Bring `.venv` up to date; print nothing where nothing is to be done."""
    try:
        install(extras)
    except CannotInstall as error:
        sys.exit(f"attncourse: {error}")
    except OSError as error:
        sys.exit(f"attncourse: cannot write {error.filename or VENV}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("attncourse: stopped; the same command goes on where it was.")


def install(extras):
    """The course, with those extras that are not there as pyproject.toml has them now."""
    if run(PYTHON, "--version").returncode:
        done(python(), "-m", "venv", "--clear", str(VENV))
    lists = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    lists = hashlib.sha256(b"\0".join(lists)).hexdigest()
    stamps = {name: VENV / f"installed-{name}.txt" for name in ("course", *extras)}
    stale = [n for n, s in stamps.items() if not (s.is_file() and s.read_text() == lists)]
    if not stale:
        return
    print(f"attncourse: installing into .venv: {', '.join(stale)} (a first time takes a while)")
    sys.stdout.flush()
    for name in stale:
        stamps[name].write_text("begun")
    add = installer()
    if not torch():
        done(*add, *build(add), "torch", *pins())
    if sys.dont_write_bytecode and "test" in stale and "uv" in add:
        add.append("--compile-bytecode")  # else each of many processes compiles torch anew
    wanted = ",".join(name for name in stale if name != "course")
    done(*add, "-e", f"{ROOT}[{wanted}]" if wanted else str(ROOT), *pins())
    if "oracles" in stale:
        group = f"{ROOT / 'pyproject.toml'}:oracles-alone"
        done(*add, "--no-deps", "--group", group, *pins())
    for name in stale:
        stamps[name].write_text(lists)


def python():
    """This Python or, if it is too old, a newer one on the path."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for found in filter(None, (shutil.which(f"python3.{n}") for n in (14, 13, 12, 11))):
        if run(found, "--version").returncode == 0:
            return found
    raise CannotInstall(
        "needs Python 3.11 or newer, and {} is {}.{}. Install a newer one, or name it: "
        "make lab PYTHON=python3.12".format(sys.executable, *sys.version_info[:2])
    )


def installer():
    """The command that installs: uv, from the path or else put into `.venv`, with what pip is
    told; pip where uv cannot be had."""
    new = ["pip", "install", "--torch-backend=auto", "--group=x", "--help"]  # old ones refuse
    here = [PYTHON, "-m", "uv"]
    uv = next((each for each in (["uv"], here) if run(*each, *new).returncode == 0), None)
    if not uv and run(*PIP, "install", *pins(), "uv").returncode == 0:
        uv = here
    if uv:
        return [*uv, "pip", "install", "--python", PYTHON, *told_to_pip()]
    done(*PIP, "install", "pip>=25.1")  # older ones know no groups
    return [*PIP, "install"]


def told_to_pip():
    """What pip is configured with, as options of uv, which does not read that."""
    told, options = {}, ["--index-strategy", "unsafe-best-match"]  # all indexes alike, as pip
    listed = sorted(run(*PIP, "config", "list").stdout.splitlines(), key=lambda s: s[0] == ":")
    for line in listed:  # what the environment says comes last, and counts
        found = re.match(r"(?:global|install|:env:)\.([\w-]+)=(['\"].*['\"])$", line)
        if found and found.group(1) in OF_PIP:
            told[OF_PIP[found.group(1)]] = ast.literal_eval(found.group(2))
    for name, value in told.items():
        if name.startswith("--"):
            options += [word for one in value.split() for word in (name, one)]
        else:
            os.environ.setdefault(name, value)
    return options


def torch():
    """The version of torch in `.venv` and what it asks for, if it is within our bounds."""
    bounds = re.search(r'"(torch[^"]*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = run(PYTHON, "-c", TORCH, bounds.group(1))
    return "" if found.returncode else found.stdout


def build(add):
    """The option that has uv look which GPU is here, if any, where the torch that would be
    taken without it brings gigabytes for one. Asks, downloads nothing."""
    if not re.search(
        r"\b(nvidia|cuda)-[\w-]+(==|-)\d", done(*add, "--dry-run", "torch", *pins())
    ):
        return []
    if "uv" in add:
        return ["--torch-backend=auto"]
    raise CannotInstall(
        f"pip would take torch with CUDA, and uv, which can choose, cannot be had. {BY_HAND}"
    )


def pins():
    """constraints.txt as an option. A torch that is there stays, and the Triton it brought."""
    there, text = torch(), (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if there:
        text = re.sub(r"(?m)^torch==.*", "torch==" + there.split()[0], text)
    if not there or "triton" in there:
        text = re.sub(r"(?m)^triton==.*\n", "", text)
    (VENV / "constraints.txt").write_text(text, encoding="utf-8")
    return ["-c", str(VENV / "constraints.txt")]


def run(*command):
    """A program that has run; its output, both streams together, as text."""
    text = {"universal_newlines": True, "errors": "replace"}  # as Python 3.6 says it
    try:
        pipe = subprocess.PIPE
        return subprocess.run(command, stdout=pipe, stderr=subprocess.STDOUT, **text)
    except OSError as error:  # it is not there
        return subprocess.CompletedProcess(command, 127, str(error))


def done(*command):
    """What a program said. Raises CannotInstall, with the cause in one line, if it failed."""
    ran = run(*command)
    if ran.returncode == 0:
        return ran.stdout
    cause, log = why(ran.stdout), VENV / "install.log"
    if VENV.is_dir():
        log.write_text("$ {}\n{}".format(" ".join(command), ran.stdout), encoding="utf-8")
        cause += f" All of it: {log}"
    raise CannotInstall(cause)


def why(output):
    """The cause of a failure in one line: a known one, else the first that is called so."""
    for pattern, cause in CAUSES:
        found = re.search(pattern, output)
        if found:
            return cause.format(*filter(None, found.groups()))
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output."]
    named = [line for line in lines if line.startswith(("cause:", "ERROR", "error:"))]
    return min(named, default=lines[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
