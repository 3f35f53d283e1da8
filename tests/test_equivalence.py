"""What is folded equals what the original runtime computes, at random points, in float64."""

from __future__ import annotations

import os
import tempfile

import keras_zoo
import numpy as np
import onnx_zoo
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import converter


def _points(shapes, rows, seed=5):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-3.0, 3.0, (rows, *shape)) for shape in shapes]


def _close(found, expected):
    expected = np.asarray(expected)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(
        found, expected.reshape(len(expected), -1), rtol=0, atol=1e-12 * scale
    )


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", [*keras_zoo.AFFINE, *keras_zoo.LOGISTIC])
def test_keras(saved_keras, name, suffix):
    case = {**keras_zoo.AFFINE, **keras_zoo.LOGISTIC}[name]
    model, *paths = saved_keras(case)
    path = paths[suffix == "h5"]
    points = _points([tensor.shape[1:] for tensor in model.inputs], 6)
    expected = model.predict(points if len(points) > 1 else points[0], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    verdict = "linked" if name in keras_zoo.LOGISTIC else "affine"
    assert converter.inspect(path).verdict == verdict
    for place, values in enumerate(expected):
        folded = converter.fold(path, output=place)
        assert folded.link == ("logit" if verdict == "linked" else "identity")
        _close(folded.predict(points if len(points) > 1 else points[0]), values)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", keras_zoo.LINKED)
def test_keras_links(saved_keras, name, suffix):
    case, link = keras_zoo.LINKED[name]
    model, *paths = saved_keras(case)
    path = paths[suffix == "h5"]
    (points,) = _points([(4,)], 6)
    folded = converter.fold(path)
    assert folded.link == link
    _close(folded.predict(points), model.predict(points, verbose=0))


def _original(path, points):
    """Run the model: onnxruntime, or the reference where it lacks a double-precision kernel."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        return ReferenceEvaluator(str(path)).run(None, points)[0]
    return session.run(None, points)[0]


@pytest.mark.parametrize("name", [*onnx_zoo.AFFINE, *onnx_zoo.LOGISTIC])
def test_onnx(saved_onnx, name):
    path = saved_onnx({**onnx_zoo.AFFINE, **onnx_zoo.LOGISTIC}[name])
    folded = converter.fold(path)
    rows = 1 if name == "fixed_batch" else 6
    names = [one for one, _ in folded.inputs]
    shapes = [one.shape[1:] for one in converter.inspect(path).inputs]
    points = dict(zip(names, _points(shapes, rows), strict=True))
    _close(folded.predict(points), _original(path, points))
    assert folded.link == ("logit" if name in onnx_zoo.LOGISTIC else "identity")


def test_presence_of_an_intercept_is_the_architectures(saved_keras, saved_onnx):
    _, path, _ = saved_keras(keras_zoo.no_bias)
    assert not converter.fold(path).has_intercept.any()
    assert converter.fold(path).intercept == 0.0
    _, path, _ = saved_keras(keras_zoo.dense_chain)
    assert converter.fold(path).has_intercept.all()
    assert converter.fold(saved_onnx(onnx_zoo.matmul_add)).has_intercept.all()
    assert not converter.fold(saved_onnx(onnx_zoo.means)).has_intercept.any()
    # Concatenated constants belong to their own columns and to no other.
    folded = converter.fold(saved_onnx(onnx_zoo.zeros_of_batch))
    assert folded.has_intercept.all()
    assert (folded.intercept == 2.5).all()


def test_a_fixed_offset_of_zero_is_no_intercept():
    keras = pytest.importorskip("keras")

    def scaled(offset):
        return keras.Sequential(
            [
                keras.Input((2,)),
                keras.layers.Rescaling(0.5, offset=offset),
                keras.layers.Dense(1, use_bias=False),
            ]
        )

    for offset in (0.0, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.keras")
            scaled(offset).save(path)
            assert converter.fold(path).has_intercept.all() == bool(offset)


def test_lower_precision_changes_the_rounding_only(saved_keras):
    _, *paths = saved_keras(keras_zoo.lower_precision)
    a, b = (converter.fold(path).coef for path in paths)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a).min() > 0


def test_a_model_without_rows_is_one_observation(saved_onnx):
    path = saved_onnx(onnx_zoo.dot)
    folded = converter.fold(path)
    x = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(folded.predict(x[None])[0, 0], _original(path, {"x": x}))


def test_an_ignored_input_keeps_its_columns(saved_onnx):
    folded = converter.fold(saved_onnx(onnx_zoo.unused_input))
    assert folded.feature_names == ("idle[0]", "idle[1]", "x[0]", "x[1]", "x[2]", "x[3]")
    assert (folded.coef[:, :2] == 0.0).all()


def test_inputs_are_in_the_models_own_order(saved_keras):
    _, path, _ = saved_keras(keras_zoo.merges)
    assert converter.fold(path).feature_names[:3] == ("b[0]", "b[1]", "b[2]")
