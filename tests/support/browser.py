"""A real JupyterLab and a real browser, and what one sees in it of a notebook."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
TOKEN = "read-only-by-nobody"
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # every cell in the page, not only those in view
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
OPENED = """path => window.jupyterapp?.shell.currentWidget?.context?.path == path"""
READY = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.revealed;
}"""
IDLE = """() =>
    window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status == 'idle'
"""
RUN = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
# What is awaited in the page has no end of its own: a dialog can wait for ever.
WITHIN = """seconds => Promise.race([
    Promise.resolve((%s)()).then(() => 'over'),
    new Promise(resolve => setTimeout(() => resolve('not over'), 1000 * seconds)),
])"""
TRUSTED = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    return [...cells].some(cell => cell.type == 'code' && cell.trusted);
}"""
DARK = """async () => {
    await window.jupyterapp.commands.execute(
        'apputils:change-theme', {theme: 'JupyterLab Dark'}
    );
    while (document.body.dataset.jpThemeLight != 'false')
        await new Promise(resolve => setTimeout(resolve, 50));
}"""
STOP = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.shutdown()"
CELLS = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON().cells"
ALL_RAN = f"() => ({CELLS})().every(c => c.cell_type != 'code' || c.execution_count)"
CARDS = """() => [...document.querySelectorAll('.jp-OutputArea-output')].map(output => {
    const card = output.querySelector('div[style]');
    const style = card && getComputedStyle(card);
    return {
        text: output.innerText.trim(),
        height: output.getBoundingClientRect().height,
        colour: style && style.color,
        background: style && style.backgroundColor,
    };
}).filter(card => /^[a-z0-9_]+[.][a-z0-9_]+: (passed|taken|not)/.test(card.text))"""
FIGURES = """() => Promise.all([...document.querySelectorAll('.jp-OutputArea-output img')].map(
    async img => {
        await img.decode().catch(() => null);
        const shown = img.getBoundingClientRect().width;
        return {alt: img.alt, width: img.naturalWidth, shown};
    }
))"""


@dataclass
class Lab:
    """A running JupyterLab."""

    folder: Path
    port: int

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={TOKEN}&reset"


@contextlib.contextmanager
def jupyterlab(folder: Path, private: Path, wait: float = 600) -> Iterator[Lab]:
    """JupyterLab on the notebooks in `folder`; all of its own files lie in `private`."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(private / "ipython")}
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        env[f"JUPYTER_{name}"] = str(private / name.lower())
    for name in ("SETTINGS_DIR", "WORKSPACES_DIR"):
        env[f"JUPYTERLAB_{name}"] = str(private / name.lower())
    env.pop("MPLBACKEND", None)
    env["ATTNCOURSE_STATIC"] = "1"  # as the solved edition was built: figures, not widgets
    for name, settings in SETTINGS.items():
        file = private / "settings_dir" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    log = private / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        until = time.monotonic() + wait
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield Lab(folder, port)
    finally:
        server.terminate()
        try:
            server.wait(120)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@dataclass
class Reader:
    """Somebody who looks at notebooks in JupyterLab."""

    lab: Lab
    page: object  # of playwright
    hosts: set[str] = field(default_factory=set)  # that were asked for something

    def __post_init__(self):
        self.page.on("request", self._note)

    def _note(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(parts.hostname)

    def _do(self, script: str, seconds: int = 600) -> None:
        """Do something in the page that comes to an end."""
        said = self.page.evaluate(WITHIN % script, seconds)
        assert said == "over", f"not over after {seconds} s: {script}"

    def open(self, notebook: str) -> None:
        """Open a notebook and wait until all of it is there and its kernel is idle."""
        assert (self.lab.folder / notebook).is_file(), f"there is no {notebook}"
        self.page.goto(self.lab.url(notebook))
        self.page.wait_for_function(OPENED, arg=notebook, timeout=600_000)
        self._do(READY)
        self.page.wait_for_function(IDLE, timeout=600_000)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")

    def run_all(self, seconds: int = 3600) -> None:
        """Run all cells, as the menu does, and wait until the run is over."""
        self._do(RUN, seconds)  # over at the first error, though the other cells go on
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.page.evaluate(ALL_RAN):
            self.page.wait_for_timeout(100)
        self.page.wait_for_timeout(300)  # the last output is drawn

    def trusted(self) -> bool:
        """Whether JupyterLab shows any output as it came, without washing it."""
        return self.page.evaluate(TRUSTED)

    def turn_dark(self) -> None:
        """Change to JupyterLab's dark theme."""
        self._do(DARK)

    def stop(self) -> None:
        """End the kernel of the notebook that is open."""
        self._do(STOP)

    def code_cells(self) -> list[dict]:
        """The code cells as they would be saved now."""
        return [cell for cell in self.page.evaluate(CELLS) if cell["cell_type"] == "code"]

    def outputs(self, kind: str) -> list[dict]:
        """All outputs of one type: "error", "stream" …"""
        found = [output for cell in self.code_cells() for output in cell["outputs"]]
        return [output for output in found if output["output_type"] == kind]

    def verdicts(self) -> dict[str, str]:
        """The status on each card that can be seen and read, by exercise."""
        found = {}
        for card in self.page.evaluate(CARDS):
            assert card["height"] > 20, f"not to be seen: {card}"
            assert card["background"] == "rgb(255, 255, 255)", f"no ground of its own: {card}"
            assert card["colour"] != card["background"], f"not to be read: {card}"
            name, status = re.match(
                r"(\S+): (passed|taken over|not attempted|not yet)", card["text"]
            ).groups()
            found.setdefault(name, status)  # a wrong answer on purpose comes after it
        return found

    def figures(self) -> list[str]:
        """What each figure says in words; every one is drawn."""
        found = self.page.evaluate(FIGURES)
        for figure in found:
            assert figure["width"] > 0, f"not drawn: {figure}"
            assert figure["shown"] > 0, f"not shown: {figure}"
            assert figure["alt"].strip(), f"without words: {figure}"
        return [figure["alt"] for figure in found]


@contextlib.contextmanager
def reader(lab: Lab, screenshot: Path) -> Iterator[Reader]:
    """A browser with one page; if what is done with it fails, a screenshot is kept."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 1600})
            me = Reader(lab, page)
            try:
                yield me
                me.stop()
            except BaseException:
                with contextlib.suppress(Exception):
                    page.screenshot(path=screenshot, full_page=True)
                    print(f"screenshot: {screenshot}")
                raise
        finally:
            browser.close()
