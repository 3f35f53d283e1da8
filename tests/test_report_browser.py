"""Reports in a real browser: they are read, sorted and filtered, and ask nobody for anything.

Debian's chromium, driven by Playwright; accessibility by axe-core. Where there is no browser these
tests are skipped, unless CONVERTER_BROWSER=required.
"""

from __future__ import annotations

import os
import shutil

import pytest
from conftest import FIXTURES
from test_report import evil_network

import converter

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
REQUIRED = os.environ.get("CONVERTER_BROWSER") == "required"
pytestmark = pytest.mark.skipif(
    not CHROMIUM and not REQUIRED, reason="no chromium on this machine (apt-get install chromium)"
)
DATA = FIXTURES / "diabetes.csv"
# Rules of WCAG 2 that axe-core can decide.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    quiet = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(quiet))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens a page; at the end it must not have complained or asked."""
    complaints: list[str] = []
    asked: list[str] = []
    opened = []

    def visit(path, **settings):
        context = browser.new_context(offline=True, **settings)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("dialog"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        opened.append(context)
        return page

    yield visit
    for context in opened:
        context.close()
    assert not complaints
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    regression = folder / "regression.html"
    converter.report(FIXTURES / "diabetes_l2.keras", DATA, "progression", path=regression)
    logistic = folder / "logistic.html"
    converter.report(
        FIXTURES / "spector_logistic.keras", FIXTURES / "spector.csv", "GRADE", path=logistic
    )
    refused = folder / "refused.html"
    converter.report(
        FIXTURES / "diabetes_relu.onnx", DATA, "progression", path=refused, verify=True
    )
    evil = folder / "evil.html"
    converter.report(evil_network(folder / "evil.onnx", "Relu"), path=evil)
    return {"regression": regression, "logistic": logistic, "refused": refused, "evil": evil}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    names = ("diabetes_stopped", "diabetes_deep", "diabetes_relu", "longley_linear")
    for name in names:
        (folder / f"{name}.onnx").write_bytes((FIXTURES / f"{name}.onnx").read_bytes())
    (folder / "broken.onnx").write_bytes(b"nothing")
    batch = converter.batch(folder, DATA, "progression", ledger=folder / "l.sqlite", workers=0)
    return batch.report(folder / "report").path


def _violations(page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
@pytest.mark.parametrize("kind", ["regression", "logistic", "refused", "evil"])
def test_a_page_is_accessible_by_day_and_at_night(browser, pages, kind, scheme, width):
    # axe is put into the page, which the page's own policy would forbid.
    context = browser.new_context(
        offline=True,
        color_scheme=scheme,
        bypass_csp=True,
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()
    page.goto(pages[kind].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert _violations(page) == []
    context.close()


def test_the_index_is_accessible(browser, index):
    context = browser.new_context(offline=True, bypass_csp=True)
    page = context.new_page()
    page.goto(index.as_uri())
    assert _violations(page) == []
    context.close()


@pytest.mark.parametrize("kind", ["regression", "logistic", "refused", "evil"])
def test_a_page_fits_a_phone(visit, pages, kind):
    page = visit(pages[kind], viewport={"width": 360, "height": 640}, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_colours_follow_the_reader(visit, pages):
    shown = {}
    for scheme in ("light", "dark"):
        page = visit(pages["regression"], color_scheme=scheme)
        shown[scheme] = page.evaluate(
            "[getComputedStyle(document.documentElement).backgroundColor,"
            " getComputedStyle(document.querySelector('figure svg text')).fill]"
        )
    assert shown["light"] == ["rgb(255, 255, 255)", "rgb(27, 31, 35)"]
    assert shown["dark"] == ["rgb(20, 23, 26)", "rgb(230, 233, 236)"]


def test_a_page_is_read_without_script_and_by_keyboard(visit, pages):
    page = visit(pages["regression"], java_script_enabled=False)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    page.get_by_text("What this means, and what to do (penalty)").first.click()
    assert page.get_by_text("L1 and L2 penalties move the minimum towards zero.").first.is_visible()
    page.get_by_role("link", name="Provenance").click()
    assert page.get_by_role("heading", name="Provenance").is_visible()


def test_headings_and_tables_are_there_for_a_screen_reader(visit, pages):
    page = visit(pages["regression"])
    assert page.get_by_role("heading", level=1).count() == 1
    table = page.get_by_role("table", name="Network against optimum")
    heads = table.get_by_role("columnheader").all_inner_texts()
    assert heads == ["Term", "network", "optimum", "std err at optimum", "drift (std errs)"]
    assert table.get_by_role("rowheader").count() == 11
    assert page.get_by_role("img").count() == 4


def test_a_page_prints_whole(visit, pages):
    page = visit(pages["regression"])
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    # What is folded away on a screen is on paper.
    assert page.get_by_text("L1 and L2 penalties move the minimum towards zero.").first.is_visible()
    assert page.get_by_role("table", name="Weights and constants of the file").is_visible()


def test_labels_of_axes_are_inside_their_plots(visit, pages):
    page = visit(pages["regression"])
    outside = page.evaluate(
        """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
            const box = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('text')].filter(text => {
                const own = text.getBoundingClientRect();
                return own.left < box.left - 1 || own.right > box.right + 1;
            }).map(text => text.textContent);
        })"""
    )
    assert outside == []


def test_a_name_that_is_a_script_does_nothing(visit, pages):
    page = visit(pages["evil"])
    assert page.locator("script, img").count() == 0
    assert page.get_by_text("<script>alert(1)</script>").count() > 0


def test_the_index_sorts(visit, index):
    page = visit(index)

    def column(place: int) -> list[str]:
        return page.locator(f"#models tbody tr > :nth-child({place})").all_inner_texts()

    head = page.get_by_role("columnheader", name="Largest drift")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    drifts = column(6)
    numbers = [float(one) for one in drifts if one != "\u2013"]
    assert len(numbers) == 2
    assert numbers == sorted(numbers)
    assert drifts[2:] == ["\u2013"] * 3
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(one) for one in column(6)[:2]] == numbers[::-1]
    assert column(6)[2:] == ["\u2013"] * 3
    page.get_by_role("columnheader", name="Model").get_by_role("button").click()
    assert column(1) == sorted(column(1))
    assert head.get_attribute("aria-sort") is None


def test_the_index_filters(visit, index):
    page = visit(index)
    shown, rows = page.locator("#shown"), page.locator("#models tbody tr:visible")
    assert shown.inner_text() == "5 of 5 models shown"
    page.get_by_label("Search").fill("DIABETES relu")
    assert rows.count() == 1
    assert shown.inner_text() == "1 of 5 models shown"
    page.get_by_label("Search").fill("")
    page.get_by_label("Status").select_option("failed")
    assert [one.split("/")[-1] for one in rows.locator("th").all_inner_texts()] == [
        "broken.onnx",
        "longley_linear.onnx",
    ]
    page.get_by_label("Status").select_option("all")
    page.get_by_label("Optimality").select_option("not at the optimum")
    assert rows.count() == 1
    rows.get_by_role("link").click()
    assert page.get_by_role("heading", level=1).inner_text() == "diabetes_stopped.onnx"
    page.get_by_role("link", name="All models").click()
    assert page.url == index.as_uri()


def test_without_script_the_index_is_a_plain_table(visit, index):
    page = visit(index, java_script_enabled=False)
    assert page.locator("#models tbody tr:visible").count() == 5
    assert not page.get_by_label("Search").is_visible()
