"""Conversion of networks behind other links, and of classifiers as skl2onnx writes them."""

from __future__ import annotations

import numpy as np
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
