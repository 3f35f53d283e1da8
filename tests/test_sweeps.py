"""The reverse and the forward sweep find the same map."""

from __future__ import annotations

from fractions import Fraction

import keras_zoo
import numpy as np
import onnx_zoo
import pytest

from converter.folding import fold_network
from converter.formats import read


def assert_sweeps_agree(path):
    network = read(path)
    reverse, forward = (
        fold_network(network, network.outputs, sweep=sweep) for sweep in ("reverse", "forward")
    )
    for name in ("coef", "intercept"):
        a, b = getattr(reverse, name), getattr(forward, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * max(1.0, np.abs(a).max()))
    np.testing.assert_array_equal(reverse.has_intercept, forward.has_intercept)
    assert reverse.links == forward.links


@pytest.mark.parametrize("name", keras_zoo.AFFINE)
def test_keras(saved_keras, name):
    assert_sweeps_agree(saved_keras(keras_zoo.AFFINE[name])[1])


@pytest.mark.parametrize("name", [*onnx_zoo.AFFINE, *onnx_zoo.LOGISTIC])
def test_onnx(saved_onnx, name):
    assert_sweeps_agree(saved_onnx({**onnx_zoo.AFFINE, **onnx_zoo.LOGISTIC}[name]))


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no extended precision here")
@pytest.mark.parametrize("sweep", ["reverse", "forward"])
def test_small_networks_are_folded_in_extended_precision(tmp_path, sweep):
    """Hidden units that nearly cancel: of doubles half the digits would be left."""
    rng = np.random.default_rng(2)
    beta = rng.normal(size=(4, 1))
    large = rng.normal(size=(4, 1)) * 1e8
    hidden = np.hstack([large, large + beta])
    output = np.array([[-1.0 / 3.0], [1.0 / 3.0]])
    g = onnx_zoo.Graph()
    y = g.add("MatMul", g.add("MatMul", "x", g.constant(hidden)), g.constant(output))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([y]).SerializeToString())
    network = read(path)
    found = fold_network(network, network.outputs, sweep=sweep).coef[0]
    weights = [Fraction(float(one)) for one in output[:, 0]]
    exact = [
        float(sum(Fraction(float(w)) * v for w, v in zip(row, weights, strict=True)))
        for row in hidden
    ]
    np.testing.assert_allclose(found, exact, rtol=1e-10)
    assert np.abs((hidden @ output)[:, 0] / exact - 1.0).max() > 1e-10
