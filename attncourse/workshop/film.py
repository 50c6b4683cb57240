"""The README's picture of the explorer: `python -m attncourse.workshop.film` films it.

A pointer goes round the photograph of the start page, which must have been built (`make site`);
each of its stops is a frame of `docs/explorer.gif`.
"""

import io
import math
import shutil
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from attncourse import places
from attncourse.files import write_whole
from attncourse.workshop import web

WIDTH, FRAMES, PAUSE = 760, 28, 260  # pixels, stops, milliseconds at each
FLAGS = ["--no-sandbox", "--disable-gpu"]
MAP, BOX = ".attn-explorer__map canvas", ".attn-explorer__box"
POINTER = """([x, y]) => {
    const dot = document.querySelector('#pointer') ?? document.body.appendChild(
        Object.assign(document.createElement('div'), { id: 'pointer' }));
    dot.style.cssText = `position: fixed; z-index: 9999; pointer-events: none; left: ${x - 8}px;
        top: ${y - 8}px; width: 16px; height: 16px; border-radius: 8px; background: #ffffffcc;
        border: 3px solid #d55e00`;
}"""


def path(stop: int) -> tuple[float, float]:
    """Where the pointer is, in shares of the picture: once round it, on a figure of eight."""
    turn = 2 * math.pi * stop / FRAMES
    return 0.5 + 0.42 * math.sin(turn), 0.5 + 0.34 * math.sin(2 * turn)


def frames(address: str) -> list[Image.Image]:
    """The explorer of the start page at every stop."""
    from playwright.sync_api import sync_playwright

    browsers = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, browsers)), None)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.set_default_timeout(600_000)  # a limit that only stops hangs
        page.goto(address)
        page.wait_for_selector(MAP)
        page.locator(BOX).scroll_into_view_if_needed()
        canvas = page.locator(MAP).first.bounding_box()
        taken = []
        for stop in range(FRAMES):
            x, y = path(stop)
            at = canvas["x"] + x * canvas["width"], canvas["y"] + y * canvas["height"]
            page.mouse.move(*at)
            page.evaluate(POINTER, at)
            taken.append(Image.open(io.BytesIO(page.locator(BOX).screenshot())))
        browser.close()
    return taken


def film(root: Path) -> Path:
    """Write the animation; returns where. All frames share their colours."""
    with web.server(web.pages(root).parent, 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        taken = frames(f"http://127.0.0.1:{serving.server_port}/index.html")
        serving.shutdown()
    rows = [np.asarray(each.convert("RGB")) for each in taken[:: FRAMES // 4]]
    palette = Image.fromarray(np.concatenate(rows)).quantize(224, dither=Image.Dither.NONE)
    first, *others = (
        each.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
        for each in taken
    )
    packed = io.BytesIO()
    first.save(
        packed,
        "GIF",
        save_all=True,
        append_images=others,
        duration=PAUSE,
        loop=0,
        optimize=True,
    )
    target = root / "docs" / "explorer.gif"
    write_whole(target, packed.getvalue())
    return target


if __name__ == "__main__":
    print(film(places.root()))
