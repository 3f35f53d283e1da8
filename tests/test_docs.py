"""The documentation says what the code does."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import FIXTURES

import converter
from converter.exports import FORMATS
from converter.regression.caveats import TOPICS

ROOT = FIXTURES.parent
DOCS = ROOT / "docs"


def test_the_readmes_table_of_operators_is_current():
    docs = runpy.run_path(str(ROOT / "docs" / "operators.py"))
    text = (ROOT / "README.md").read_text()
    assert docs["current"](text) == text, "run: python docs/operators.py"


def test_the_list_of_operations_is_current():
    docs = runpy.run_path(str(ROOT / "docs" / "operators.py"))
    text = (ROOT / "docs" / "operations.md").read_text()
    assert docs["operations"]() == text, "run: python docs/operators.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built as the README says."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d"]
        + [str(folder / "read"), str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


class _Page(HTMLParser):
    """What a page has a browser fetch, where it leads to, and what can be pointed at in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.names: set[str] = set()
        self.formulas = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.add(given.get("id") or "")
        self.formulas += tag == "math"
        for name in ("src", "srcset", "data", "poster", "action"):
            self.fetched.append(given.get(name) or "")
        if tag == "link" or tag == "use":
            self.fetched.append(given.get("href") or "")


def test_pages_fetch_nothing_from_a_network(site):
    pages = sorted(site.glob("*.html"))
    assert len(pages) > 15
    for page in pages:
        away = [one for one in _Page(page).fetched if re.match(r"(\w+:)?//", one)]
        assert not away, page
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()[^;)]*//[^;)]*", sheet.read_text())
        assert not found, sheet


def test_formulas_are_there_without_a_script(site):
    assert _Page(site / "statistics.html").formulas > 40
    assert "MathJax" not in (site / "statistics.html").read_text()


def test_the_reference_has_every_public_name(site):
    names = _Page(site / "api.html").names
    assert {f"converter.{name}" for name in converter.__all__} <= names


def test_each_topic_of_a_caveat_is_a_section(site):
    assert set(TOPICS) <= _Page(site / "caveats.html").names


# Tests of features that a row may speak of before they are there, by their package.
COMING = {"test_report.py": "reports", "test_exports_*.py": "exports"}


def test_the_threats_name_tests_that_exist():
    seen = 0
    for row in (DOCS / "security.md").read_text().splitlines():
        place = "test_bad_input.py"
        for name in re.findall(r"`(?:tests/)?(test_[\w*]+(?:\.py)?)`", row):
            seen += 1
            if not name.endswith(".py"):
                assert f"def {name}(" in (ROOT / "tests" / place).read_text(), (place, name)
                continue
            place = name
            there = place not in COMING or (ROOT / "converter" / COMING[place]).exists()
            assert not there or list((ROOT / "tests").glob(place)), place
    assert seen > 50


def test_the_readme_lists_every_export():
    text = (ROOT / "README.md").read_text()
    section = text[text.index("\n## Exports\n") :]
    rows = [line for line in section[: section.index("\n## ", 1)].splitlines() if line[:3] == "| `"]
    for one in FORMATS.values():
        (row,) = (row for row in rows if f"`{one.suffixes[0]}`" in row)
        assert all(f"`{suffix}`" in row for suffix in one.suffixes)
        assert one.home == "tables" or f"| `{one.name}` |" in row
        needs = row.split("|")[3].strip()
        assert needs == ("no" if "model" in one.takes else "yes")
