"""Networks as the real exporters write them: folded, and compared with the original framework."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import FIXTURES

import converter

FOLDER = FIXTURES / "exporters"
CASES = {case["file"]: case for case in json.loads((FOLDER / "cases.json").read_text())}
ACCEPTED = [name for name, case in CASES.items() if case["verdict"] != "rejected"]
REFUSED = [name for name, case in CASES.items() if case["verdict"] == "rejected"]


@pytest.mark.parametrize("name", ACCEPTED)
def test_folds_to_what_the_framework_computes(name):
    case = CASES[name]
    path = FOLDER / name
    found = converter.inspect(path, output=case["output"])
    assert found.verdict == case["verdict"], found.findings
    assert found.link == case["link"]
    folded = converter.fold(path, output=case["output"])
    with np.load(path.with_suffix(".npz")) as saved:
        names = [str(one) for one in saved["input_names"]]
        points = {one: saved[f"input_{place}"] for place, one in enumerate(names)}
        expected = saved["output"]
    assert {one for one, _ in folded.inputs} == set(names)
    computed = folded.predict(points)
    expected = expected.reshape(computed.shape)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(computed, expected, rtol=0, atol=case["tolerance"] * scale)


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_is_no_regression(name):
    found = converter.inspect(FOLDER / name)
    assert found.verdict == "rejected"
    assert found.findings
