"""The web edition, built once for all tests, served below a folder, and read in a browser."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from browser import CHROMIUM, FLAGS
from filelock import FileLock

from attncourse import places
from attncourse.book.web import building, library
from attncourse.course import CHAPTERS
from attncourse.workshop import web

BELOW = "some/course"  # where the site stands on its host
PAGES = [
    "index",
    *(f"chapters/{chapter.stem}" for chapter in CHAPTERS),
    *("teachers", "library", "papers", "benchmarks", "glossary", "modules/index", "search"),
]
MODULES = [f"modules/{name}" for name in library.modules(places.root())]
RESTED = """() => Promise.all([
    document.fonts.ready,
    window.MathJax?.startup?.promise,
    ...[...document.images].filter(i => i.loading != 'lazy')
        .map(i => i.decode().catch(() => 0)),
])"""


def built(shared: Path, cache: Path) -> Path:
    """The folder above a built site; built by whichever process comes first."""
    host = shared / "host"
    if ready := os.environ.get("ATTNCOURSE_SITE_BUILT"):  # to try one test on what is there
        if not host.is_dir():
            shutil.copytree(ready, host / BELOW)
        return host
    with FileLock(shared / "site.lock"):
        if not host.is_dir():
            work = shared / "building"
            work.mkdir(parents=True, exist_ok=True)
            kept = cache / "papers.json"  # what was counted, by the digest of what counts
            if kept.is_file():
                shutil.copy(kept, work)
            code = building.build(places.root(), work)
            shutil.copy(work / "papers.json", kept)
            assert code == 0, "Sphinx had warnings; they are said above"
            (work / BELOW).parent.mkdir(parents=True)
            os.rename(work / "html", work / BELOW)
            os.rename(work, host)
    return host


@dataclass
class Visitor:
    """Somebody who reads the site."""

    page: object  # of playwright
    root: str
    width: int
    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    bytes: int = 0

    def __post_init__(self):
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)
        self.page.on("requestfailed", lambda r: self.errors.append(f"failed: {r.url}"))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._said)

    def _asked(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname)

    def _answered(self, response):
        self.bytes += int(response.headers.get("content-length", 0))
        if response.status >= 400:
            self.errors.append(f"{response.status}: {response.url}")

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, name: str) -> None:
        """Open a page and wait until its fonts, formulas and first pictures are there."""
        self.page.goto(f"{self.root}/{name}.html")
        self.page.evaluate(RESTED)

    def wider(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine."""
    with web.server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def visitor(address: str, width: int, **options) -> Iterator[Visitor]:
    """A browser on a desk (1400) or a telephone (390), with fingers there."""
    from playwright.sync_api import sync_playwright

    phone = {"has_touch": True, "is_mobile": True} if width < 600 else {}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(
                viewport={"width": width, "height": 844}, **phone, **options
            )
            page.set_default_timeout(120_000)
            yield Visitor(page, f"{address}/{BELOW}", width)
        finally:
            browser.close()
