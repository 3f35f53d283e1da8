"""The reverse and the forward sweep find the same map."""

from __future__ import annotations

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
