"""The web edition as one meets it, in Chromium, on a desk and on a telephone."""

import importlib.util
import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from browser import CHROMIUM, jupyterlab, reader

pytest.importorskip("sphinx", reason="no sphinx: make install EXTRAS=site")
pytest.importorskip("axe_core_python", reason="no axe-core: make install EXTRAS=test")
from axe_core_python.sync_playwright import Axe
from site_edition import BELOW, MODULES, PAGES, built, served, visitor

from attncourse.book.editions import dumps, make

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="no chromium on the path, or no playwright",
)
LIGHT = 1_000_000  # bytes of the start page, with everything that it fetches
MAPS = 1_000_000  # bytes of a page's maps
MAP = ".attn-explorer__map"
UNFOLDED = """async () => {  // and no longer fading in
    document.querySelectorAll('details').forEach(one => { one.open = true });
    await new Promise(requestAnimationFrame);
    const ends = one => one.effect.getComputedTiming().endTime != Infinity;
    await Promise.allSettled(document.getAnimations().filter(ends).map(one => one.finished));
}"""


@pytest.fixture(scope="module")
def host(tmp_path_factory, request):
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one build for all workers
        shared = shared.parent
    return built(shared, request.config.cache.mkdir("site"))


@pytest.fixture(scope="module")
def address(host):
    with served(host) as address:
        yield address


@pytest.fixture(params=[1400, 390], ids=["desk", "phone"])
def anybody(address, request):
    with visitor(address, request.param) as me:
        yield me


@pytest.fixture
def on_a_desk(address):
    with visitor(address, 1400) as me:
        yield me


def faults(me):
    """What axe-core calls serious or critical, with the first place of each; all unfolded.

    Colours do not hang on the width, and take most of the time: they are looked at on a
    telephone and in the dark."""
    me.page.evaluate(UNFOLDED)
    me.page.evaluate(Axe().axe_script)
    # MathJax's formulas, thousands of nodes, bring names and colours of their own.
    dark = me.page.evaluate("document.documentElement.dataset.theme == 'dark'")
    seen = me.width < 600 or dark
    asked = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": seen}}}
    of = {"exclude": [["mjx-container"]]}
    found = me.page.evaluate("([of, asked]) => axe.run(of, asked)", [of, asked])["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])} places)"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@needs_chromium
@pytest.mark.parametrize("name", [*PAGES, "modules/solutions.channel"])
def test_a_page_loads_alone_fits_and_has_no_serious_fault(anybody, name):
    anybody.open(name)
    if anybody.page.locator("figure[data-explorer]").count():
        anybody.page.locator("figure[data-explorer]").scroll_into_view_if_needed()
        anybody.page.wait_for_selector(MAP)
    assert anybody.errors == []
    assert anybody.hosts == {"127.0.0.1"}
    assert anybody.wider() <= 0
    assert faults(anybody) == []
    assert anybody.page.title()
    assert anybody.page.locator("img:not([alt])").count() == 0


@needs_chromium
@pytest.mark.parametrize("name", ["index", "chapters/05_channel", "papers"])
def test_contrast_suffices_in_the_dark(address, name):
    with visitor(address, 1400, color_scheme="dark") as me:
        me.open(name)
        assert me.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert faults(me) == []


@needs_chromium
def test_the_start_page_is_light(on_a_desk):
    on_a_desk.open("index")
    on_a_desk.page.wait_for_selector(MAP)
    assert on_a_desk.bytes < LIGHT


@needs_chromium
def test_formulas_are_set(on_a_desk):
    on_a_desk.open("chapters/01_scaled_dot_product")
    assert on_a_desk.page.locator("mjx-container").count() > 100
    assert on_a_desk.page.locator("mjx-merror").count() == 0


@needs_chromium
def test_search_finds_a_term(anybody):
    anybody.page.goto(f"{anybody.root}/search.html?q=squeeze")
    anybody.page.wait_for_selector("#search-results li a")
    found = anybody.page.locator("#search-results li a").all_inner_texts()
    assert any("Channel attention" in text for text in found), found
    assert anybody.errors == []


@needs_chromium
def test_the_search_field_leads_to_what_is_found(on_a_desk):
    on_a_desk.open("index")
    on_a_desk.page.keyboard.press("Control+k")
    on_a_desk.page.keyboard.type("rotary")
    on_a_desk.page.keyboard.press("Enter")
    on_a_desk.page.wait_for_selector("#search-results li a")
    assert on_a_desk.errors == []


@needs_chromium
def test_an_answer_is_folded_until_one_looks(on_a_desk):
    on_a_desk.open("chapters/01_scaled_dot_product")
    folded = on_a_desk.page.locator("details.hide", has_text="Show the answer")
    assert folded.count() == 7
    assert not folded.first.locator("pre").is_visible()
    folded.first.locator("summary").click()
    assert folded.first.locator("pre").is_visible()


# ---------------------------------------------------------------- the explorer


def line(me):
    return me.page.locator(".attn-explorer__line").inner_text()


def looks(me, query):
    me.page.wait_for_function(
        "q => document.querySelector('.attn-explorer__box').dataset.query == q", arg=str(query)
    )


def place(me, x, y):
    """A place of the first map, in shares of its width and height, on the screen."""
    box = me.page.locator(f"{MAP} canvas").first.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def explorer(me, page="index"):
    me.open(page)
    me.page.wait_for_selector(MAP)
    me.page.locator(MAP).first.scroll_into_view_if_needed()


@needs_chromium
def test_the_pointer_chooses_the_query_and_a_click_holds_it(on_a_desk):
    explorer(on_a_desk)
    on_a_desk.page.mouse.move(*place(on_a_desk, 0.01, 0.01))
    looks(on_a_desk, 0)
    first = line(on_a_desk)
    on_a_desk.page.mouse.move(*place(on_a_desk, 0.99, 0.99))
    looks(on_a_desk, 8 * 12 - 1)
    assert line(on_a_desk) != first
    on_a_desk.page.mouse.click(*place(on_a_desk, 0.99, 0.99))
    held = line(on_a_desk)
    on_a_desk.page.mouse.move(*place(on_a_desk, 0.5, 0.5))
    looks(on_a_desk, 8 * 12 - 1)
    assert "under the pointer, row 24, column 36" in line(on_a_desk) != held


@needs_chromium
def test_a_finger_chooses_the_query(address):
    with visitor(address, 390) as me:
        explorer(me)
        for x, y, query in ((0.01, 0.01, 0), (0.99, 0.01, 11), (0.01, 0.3, 24)):
            me.page.touchscreen.tap(*place(me, x, y))
            looks(me, query)


@needs_chromium
def test_arrow_keys_choose_the_query_and_the_strongest_places_are_told(on_a_desk):
    explorer(on_a_desk)
    on_a_desk.page.locator(MAP).first.focus()
    before = on_a_desk.page.locator(".attn-explorer__box").get_attribute("data-query")
    on_a_desk.page.keyboard.press("ArrowUp")
    on_a_desk.page.keyboard.press("ArrowLeft")
    looks(on_a_desk, int(before) - 13)
    heard = on_a_desk.page.locator("[aria-live=polite]")
    on_a_desk.page.wait_for_function(
        "document.querySelector('.attn-explorer__heard').textContent.includes('strongest at')"
    )
    told = re.findall(r"(\w+): strongest at row \d+, column \d+, 0\.\d+", heard.inner_text())
    assert told == ["patches", "both"]
    on_a_desk.page.keyboard.press("Enter")
    on_a_desk.page.keyboard.press("ArrowRight")
    looks(on_a_desk, int(before) - 13)
    assert "under the pointer" in line(on_a_desk)


@needs_chromium
def test_the_mechanism_is_chosen_on_either_side(on_a_desk):
    explorer(on_a_desk)
    titles = on_a_desk.page.locator(".attn-explorer__title")
    assert titles.all_inner_texts() == ["patches", "both"]
    on_a_desk.page.get_by_label("Left").select_option("places")
    assert titles.all_inner_texts() == ["places", "both"]
    on_a_desk.page.get_by_label("Beside it").select_option("nothing")
    assert titles.all_inner_texts() == ["places"]


@needs_chromium
def test_without_scripts_a_figure_with_words_stands_there(address):
    with visitor(address, 1400, java_script_enabled=False) as me:
        me.page.goto(f"{me.root}/index.html")
        picture = me.page.locator("figure.attn-explorer img")
        assert picture.is_visible()
        assert picture.get_attribute("alt")


LIVE = """# %%
import os
import torch
from attncourse import explore
os.environ.pop("ATTNCOURSE_STATIC", None)
maps = [torch.rand(1, 2, 6, 6).softmax(-1), torch.rand(1, 2, 6, 6).softmax(-1)]
seen = explore(torch.rand(20, 30), {"one": maps, "two": maps})
seen

# %%
print("query", seen.query)
"""


@needs_chromium
def test_in_jupyterlab_the_same_explorer_talks_to_python(tmp_path):
    pytest.importorskip("anywidget")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "live.ipynb").write_text(dumps(make(LIVE, {}, solved=False)))
    private = tmp_path / "jupyter"
    private.mkdir()
    with jupyterlab(folder, private) as lab, reader(lab, tmp_path / "failed.png") as me:
        me.open("live.ipynb")
        me.run_all()
        me.page.wait_for_selector(MAP)
        assert me.page.locator("figure.attn-explorer").is_hidden()
        me.page.locator(MAP).first.focus()
        me.page.keyboard.press("ArrowUp")
        me.page.keyboard.press("ArrowLeft")
        looks(me, 0)
        box = me.page.locator(f"{MAP} canvas").first.bounding_box()
        me.page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
        looks(me, 5)
        controls = me.page.locator(".attn-explorer__controls")
        controls.get_by_label("Head").select_option("mean of heads")
        me.run_all()
        assert me.outputs("error") == []
        assert me.hosts == {"127.0.0.1"}


# ---------------------------------------------------------------- links and head


class Links(HTMLParser):
    """What a page links to, and the names that can be linked in it."""

    def __init__(self):
        super().__init__()
        self.targets, self.names = [], set()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.names |= {given[k] for k in ("id", "name") if given.get(k)}
        for key in ("href", "src"):
            if given.get(key):
                self.targets.append((tag, given[key]))


@pytest.fixture(scope="module")
def links(host):
    found = {}
    for path in sorted((host / BELOW).rglob("*.html")):
        if "_static" in path.parts:  # a theme's template
            continue
        found[path] = Links()
        found[path].feed(path.read_text("utf-8"))
    return found


def test_links_between_pages_hold(links, host, capsys):
    broken, outgoing = [], set()
    for path, page in links.items():
        for tag, target in page.targets:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https"):
                outgoing.add(target)
                assert tag in ("a", "link"), f"{path.name} fetches {target}"
                continue
            if parts.scheme or (target.startswith("#") and target[1:] in ("", "top")):
                continue
            address, name = urldefrag(urljoin(path.as_uri(), target))
            file = unquote(urlsplit(address).path)
            other = next((p for p in links if str(p) == file), None)
            if not (host / file).is_file():
                broken.append(f"{path.name}: {target} is not there")
            elif name and other and unquote(name) not in links[other].names:
                broken.append(f"{path.name}: {target} names no place")
    assert broken == []
    with capsys.disabled():
        hosts = {urlsplit(link).hostname for link in outgoing}
        print(f"\n{len(outgoing)} links leave the site, to {len(hosts)} hosts; none is fetched")


def test_every_page_has_a_title_and_a_description_of_its_own(host):
    titles = {}
    for name in (*PAGES[:-1], *MODULES):
        text = (host / BELOW / f"{name}.html").read_text("utf-8")
        titles[name] = re.search(r"<title>(.*?)</title>", text, re.DOTALL)[1].strip()
        assert re.search(r'<meta[^>]+name="description"', text), name
        assert 'property="og:image"' in text, name
    assert len(set(titles.values())) == len(titles)


def test_maps_of_a_page_are_compact(host):
    for maps in (host / BELOW / "maps").glob("*.maps"):
        assert maps.stat().st_size < MAPS, maps.name
