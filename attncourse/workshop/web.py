"""The web edition: built, and served on this machine only."""

import contextlib
import functools
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

from attncourse import places
from attncourse.errors import UserError

TOOLS = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline", "sphinxext")


def pages(root: Path) -> Path:
    """The start page, where the site has been built."""
    return root / "site" / "_build" / "html" / "index.html"


def build(root: Path) -> None:
    """Build all pages. Raises UserError where a tool is missing, or Sphinx warned."""
    if missing := [tool for tool in TOOLS if find_spec(tool) is None]:
        raise UserError(f"{', '.join(missing)} not installed: {places.extra('site')}")
    from attncourse.book.web import building

    if building.build(root, root / "site" / "_build"):
        raise UserError("Sphinx had warnings, which are errors; they are said above.")


class Quiet(SimpleHTTPRequestHandler):
    """Files, without a line for each."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def log_message(self, *args):
        pass


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder's files. Raises UserError where the port is taken."""
    handler = functools.partial(Quiet, directory=str(folder))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UserError(
            f"port {port} cannot be used ({error.strerror}): give another, --port={port + 1}."
        ) from None


def serve(root: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve the built pages until Ctrl-C."""
    with server(pages(root).parent, port) as serving, contextlib.suppress(KeyboardInterrupt):
        say(f"http://127.0.0.1:{serving.server_port}/")
        serving.serve_forever()
