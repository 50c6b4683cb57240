"""Start JupyterLab on the learner's folder, on this machine only and without its news."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from attncourse.errors import UserError


def command(work: Path, first: str, extra: Sequence[str]) -> list[str]:
    """The command that starts JupyterLab; what the user gives in `extra` goes before ours."""
    port = asked_port(extra)
    if port:
        refuse_taken(port)
    defaults = {
        ("--ServerApp.ip", "--ip"): "127.0.0.1",
        ("--ServerApp.root_dir", "--notebook-dir", "--ServerApp.notebook_dir"): str(work),
        ("--ServerApp.answer_yes", "-y"): "True",  # Ctrl-C ends it without a question
        ("--LabApp.default_url", "--ServerApp.default_url"): f"/lab/tree/{first}",
        ("--LabApp.workspaces_dir",): str(work / ".jupyterlab"),  # this course's layout only
        ("--LabApp.news_url",): "None",
        ("--LabApp.check_for_updates_class",): "jupyterlab.NeverCheckForUpdate",
        ("--LabApp.extension_manager",): "readonly",  # does not ask a package index
    }
    if port:
        defaults["--ServerApp.port_retries",] = "0"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        defaults["--ServerApp.allow_root", "--allow-root"] = "True"
    given = {argument.partition("=")[0] for argument in extra}
    ours = [
        f"{names[0]}={value}" for names, value in defaults.items() if given.isdisjoint(names)
    ]
    return [sys.executable, "-m", "jupyterlab", *ours, *extra]


def asked_port(extra: Sequence[str]) -> int | None:
    """The port the user asks for, if any. Raises UserError if it is not one."""
    for i, argument in enumerate(extra):
        name, equals, value = argument.partition("=")
        if name in {"--port", "--ServerApp.port"}:
            value = value if equals else "".join(extra[i + 1 : i + 2])
            if not value.isdecimal() or int(value) > 65535:
                raise UserError(f'"{value}" is not a port: give a number up to 65535.')
            return int(value)
    return None


def refuse_taken(port: int) -> None:
    """Raises UserError if nothing can listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used ({error.strerror}): give another one, "
                f"--port={port + 1 if port < 65535 else 8888}, or none to get one that is free."
            ) from None


def environment() -> dict[str, str]:
    """The environment with our defaults for JupyterLab's settings before those of the system.

    The user's own settings stay where they are, and go before ours.
    """
    ours = Path(__file__).with_name("jupyter")
    others = os.environ.get("JUPYTER_CONFIG_PATH")
    return os.environ | {
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, (str(ours), others)))
    }


def start(arguments: Sequence[str]) -> int:
    """Become JupyterLab; on Windows, where one cannot, run it and return its exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execve(arguments[0], arguments, environment())
    process = subprocess.Popen(arguments, env=environment())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # JupyterLab has heard it too
            continue
