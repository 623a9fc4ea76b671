"""The page in a real browser: no errors, no requests, clean for axe in light, dark and on a phone, usable by keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kept_results
import pytest

from edgekit.results.store import open_store
from edgekit.verbs.report import report

SCREENS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1100, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1100, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}
#: as a test of this machine must: no sandbox for root, and nothing that Chromium fetches for itself
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    store = open_store(str(folder / "results.sqlite"))
    kept_results.fill(store)
    path = folder / "report.html"
    path.write_text(report(store).text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason='pip install "playwright"')
    with playwright.sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


class Shown:
    """The page on one screen, with everything the browser had to say."""

    def __init__(self, browser: Any, file: Path, screen: str) -> None:
        self.context = browser.new_context(reduced_motion="reduce", **SCREENS[screen])
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())


@pytest.fixture(params=SCREENS)
def shown(request: pytest.FixtureRequest, browser: Any, file: Path) -> Iterator[Shown]:
    found = Shown(browser, file, request.param)
    yield found
    found.context.close()


@pytest.fixture
def wide(browser: Any, file: Path) -> Iterator[Shown]:
    found = Shown(browser, file, "light")
    yield found
    found.context.close()


def unfold(page: Any) -> None:
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")


def test_the_page_is_clean_for_axe_and_asks_for_nothing(shown: Shown, file: Path):
    from axe_playwright_python.sync_playwright import Axe

    unfold(shown.page)
    # axe is a script, and the page's policy allows none but its own: the driver evaluates it beside the policy
    found = Axe().run(shown.page).response["violations"]
    assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found] == []
    assert shown.said == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [file.as_uri()]


def test_nothing_is_wider_than_the_screen_and_what_scrolls_can_be_reached_by_keys(shown: Shown):
    unfold(shown.page)
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    hidden = """[...document.querySelectorAll('.scroll, pre')]
        .filter((box) => box.scrollWidth > box.clientWidth && box.tabIndex !== 0).length"""
    assert shown.page.evaluate(hidden) == 0


def test_each_screen_has_the_drawings_made_for_it(shown: Shown):
    widths = shown.page.evaluate(
        "[...document.querySelectorAll('svg')].map((one) => one.getBoundingClientRect().width)"
    )
    drawn = [width for width in widths if width]
    assert len(drawn) * 2 == len(widths)
    sizes = shown.page.evaluate(
        """[...document.querySelectorAll('svg text')].filter((text) => text.getBoundingClientRect().width)
            .map((text) => text.getBoundingClientRect().height)"""
    )
    assert min(sizes) >= 9  # CSS pixels: an SVG that was made for another width would be shrunk below this


def test_the_colours_follow_the_scheme(browser: Any, file: Path):
    found = {}
    for scheme in ("light", "dark"):
        screen = Shown(browser, file, scheme)
        found[scheme] = screen.page.evaluate(
            """[getComputedStyle(document.body).backgroundColor,
                getComputedStyle(document.querySelector('svg.wide text')).fill]"""
        )
        screen.context.close()
    assert found["light"][0] == "rgb(255, 255, 255)"
    assert found["dark"][0] == "rgb(20, 23, 28)"
    assert found["light"][1] != found["dark"][1]


def test_a_request_would_be_refused_by_the_policy(wide: Shown):
    tried = """() => new Promise((done) => { document.addEventListener('securitypolicyviolation',
        (event) => done(event.effectiveDirective));
        const image = new Image(); image.src = 'https://192.0.2.1/x.png' })"""
    assert wide.page.evaluate(tried) == "img-src"


def test_a_table_is_sorted_by_keys_alone(wide: Shown):
    rows = "[...document.querySelectorAll('table[data-sortable] tbody tr')]"
    column = f"{rows}.map((row) => Number(row.cells[3].dataset.value))"
    heading = wide.page.locator("table[data-sortable] thead th").nth(3)
    heading.get_by_role("button").focus()
    wide.page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    values = wide.page.evaluate(column)
    assert values == sorted(values)
    wide.page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") == "descending"
    assert wide.page.evaluate(column) == values[::-1]


def test_the_first_tab_leads_past_the_contents(wide: Shown):
    wide.page.keyboard.press("Tab")
    assert wide.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    wide.page.keyboard.press("Enter")
    assert wide.page.evaluate("document.activeElement.id") == "content"


def test_printed_pages_show_the_tables_and_cut_nothing_off(wide: Shown):
    wide.page.emulate_media(media="print")
    wide.page.set_viewport_size({"width": 700, "height": 900})
    wide.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    state = """() => ({
        folded: [...document.querySelectorAll('details')].filter((part) => !part.open).length,
        wide: [...document.querySelectorAll('main *')].filter((one) => one.closest('svg, .unseen') === null
            && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 120)),
        narrow: [...document.querySelectorAll('svg.narrow')]
            .filter((one) => one.getBoundingClientRect().width).length })"""
    assert wide.page.evaluate(state) == {"folded": 0, "wide": [], "narrow": 0}
    wide.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert wide.page.evaluate("[...document.querySelectorAll('details')].every((part) => !part.open)")
    assert wide.page.pdf()[:5] == b"%PDF-"
