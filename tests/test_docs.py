"""The documentation says what the code does."""

from __future__ import annotations

import runpy

from conftest import FIXTURES

ROOT = FIXTURES.parent


def test_the_readmes_table_of_operators_is_current():
    docs = runpy.run_path(str(ROOT / "docs" / "operators.py"))
    text = (ROOT / "README.md").read_text()
    assert docs["current"](text) == text, "run: python docs/operators.py"


def test_the_list_of_operations_is_current():
    docs = runpy.run_path(str(ROOT / "docs" / "operators.py"))
    text = (ROOT / "docs" / "operations.md").read_text()
    assert docs["operations"]() == text, "run: python docs/operators.py"
