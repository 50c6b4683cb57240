"""A notebook executed, in this interpreter, to the same outputs on every machine."""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from attncourse.book.editions import METADATA

TIMEOUT = 1800  # seconds a cell, as nbval has: it stops what hangs, not what is slow


class _ThisPython(KernelSpecManager):
    """The kernel runs in this interpreter, whatever is registered under its name."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(
            argv=make_ipkernel_cmd(
                executable=sys.executable, extra_arguments=["--log-level=ERROR"]
            ),
            **METADATA["kernelspec"],
        )


def run(
    notebook: NotebookNode,
    folder: Path,
    allow_errors: bool = False,
    timeout: int = TIMEOUT,
    maps: Path | None = None,
) -> NotebookNode:
    """Execute a notebook in place: in this interpreter, on one thread, standing in `folder`.

    maps  a folder in which maps are kept that the web edition shows
    """
    import matplotlib.font_manager  # noqa: F401  builds its cache here, not inside a cell

    manager = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        allow_errors=allow_errors,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as profile:
        env = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "IPYTHONDIR": profile,
            "ATTNCOURSE_STATIC": "1",  # figures in place of what needs a kernel
        }
        env.pop("MPLBACKEND", None)  # with agg the figures would vanish
        if maps is not None:
            env["ATTNCOURSE_MAPS"] = str(maps)
        client.execute(env=env, cleanup_kc=True)
    notebook.metadata = nbformat.from_dict(METADATA)  # nbclient adds the Python version
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _mask_addresses(output)
    return notebook


def _mask_addresses(output: NotebookNode) -> None:
    """`<object at 0x7f…>` differs from run to run; pictures in base64 are left alone."""
    texts = output if output.output_type == "stream" else output.get("data", {})
    for key in ("text", "text/plain", "text/html"):
        if isinstance(texts.get(key), str) and ";base64," not in texts[key]:
            texts[key] = re.sub(r"\b0x[0-9a-fA-F]{6,16}\b", "0x0", texts[key])
