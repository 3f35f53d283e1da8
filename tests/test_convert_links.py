"""Conversion of networks behind other links, and of classifiers as skl2onnx writes them."""

from __future__ import annotations

import numpy as np
import onnx_zoo
import pytest
from conftest import FIXTURES

import converter

LOGISTIC = FIXTURES / "exporters" / "skl2onnx" / "logistic.onnx"


def _table(path, rows=300):
    folded = converter.fold(path)
    x = np.random.default_rng(0).standard_normal((rows, folded.coef.shape[1]))
    chances = folded.predict(x)[:, -1]
    y = (np.random.default_rng(1).uniform(size=rows) < chances).astype(int)
    return {f"x{i}": x[:, i] for i in range(x.shape[1])} | {"y": y}


def test_a_binary_classifier_is_the_regression_of_its_second_class():
    made = converter.convert(LOGISTIC, _table(LOGISTIC), "y")
    folded = converter.fold(LOGISTIC)
    assert folded.coef.shape[0] == 2
    np.testing.assert_allclose(folded.coef[0], -folded.coef[1])
    np.testing.assert_array_equal(made.results.params[1:], folded.coef[1])
    assert made.results.model.__class__.__name__ == "Logit"


@pytest.mark.parametrize("operation", ["Softmax", "Exp"])
def test_other_links_are_folded_and_not_converted(tmp_path, operation):
    g = onnx_zoo.Graph()
    eta = g.add("MatMul", "x", g.weight(4, 2))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([g.add(operation, eta)]).SerializeToString())
    table = {f"x{i}": np.arange(9.0) ** i for i in range(4)} | {"y": np.arange(9) % 2}
    for family in (None, "gaussian", "binomial"):
        with pytest.raises(ValueError, match="not yet converted"):
            converter.convert(path, table, "y", family=family)
