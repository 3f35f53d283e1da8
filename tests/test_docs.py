"""The documentation says what the code does."""

from __future__ import annotations

import runpy

from conftest import FIXTURES

from converter.exports import FORMATS

ROOT = FIXTURES.parent


def test_the_readmes_table_of_operators_is_current():
    docs = runpy.run_path(str(ROOT / "docs" / "operators.py"))
    text = (ROOT / "README.md").read_text()
    assert docs["current"](text) == text, "run: python docs/operators.py"


def test_the_list_of_operations_is_current():
    docs = runpy.run_path(str(ROOT / "docs" / "operators.py"))
    text = (ROOT / "docs" / "operations.md").read_text()
    assert docs["operations"]() == text, "run: python docs/operators.py"


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
