"""TensorFlow Lite models: float ones equal their interpreter, those that round are refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import converter

pytest.importorskip("tflite")


def dense() -> tuple:
    x = keras.Input((4,), name="x")
    y = layers.Dense(1)(layers.Concatenate()([layers.Dense(3)(x), 2.0 * x]))
    return keras.Model(x, y), "identity"


def logistic() -> tuple:
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(1, activation="sigmoid")(layers.Dense(3)(x))), "logit"


def softmax() -> tuple:
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(3, activation="softmax")(x)), "softmax"


def convolutions() -> tuple:
    x = keras.Input((6, 7, 2), name="x")
    y = layers.Conv2D(3, 3, strides=2, padding="same")(x)
    y = layers.BatchNormalization()(y)
    y = layers.DepthwiseConv2D(2, depth_multiplier=2)(y)
    y = layers.AveragePooling2D(2, padding="same")(y)
    y = layers.ZeroPadding2D(1)(y)
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(y))), "identity"


def shapes() -> tuple:
    x = keras.Input((4, 6), name="x")
    y = layers.Permute((2, 1))(x)
    y = layers.Reshape((3, 8))(y)
    y = layers.Concatenate(axis=1)([y, y[:, ::2, :]])
    y = keras.ops.mean(y, axis=1) + keras.ops.sum(y, axis=1)
    return keras.Model(x, y), "identity"


def codes() -> tuple:
    x = keras.Input((3,), dtype="int32", name="x")
    y = layers.Dense(2)(layers.Flatten()(layers.Embedding(5, 2)(x)))
    y += layers.CategoryEncoding(5, output_mode="one_hot")(x[:, :1]) @ np.ones((5, 2), np.float32)
    return keras.Model(x, y), "identity"


def bins() -> tuple:
    x = keras.Input((3,), name="x")
    y = layers.Discretization([-0.5, 0.5], output_mode="one_hot")(x[:, :1])
    return keras.Model(x, layers.Dense(1)(layers.Concatenate()([x[:, 1:], y]))), "identity"


CASES = {
    case.__name__: case for case in (dense, logistic, softmax, convolutions, shapes, codes, bins)
}


def relu() -> tuple:
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(1)(layers.Dense(3, activation="relu")(x))), ""


def _converted(path, model, **options):
    lite = tf.lite.TFLiteConverter.from_keras_model(model)
    for name, value in options.items():
        setattr(lite, name, value)
    path.write_bytes(lite.convert())
    return path


def _interpreted(path, points):
    interpreter = tf.lite.Interpreter(model_path=str(path))
    place = interpreter.get_input_details()[0]["index"]
    made = []
    interpreter.resize_tensor_input(place, [1, *points.shape[1:]])
    interpreter.allocate_tensors()
    for row in points.astype(interpreter.get_input_details()[0]["dtype"]):
        interpreter.set_tensor(place, row[None])
        interpreter.invoke()
        made.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(made)


@pytest.fixture(scope="module", autouse=True)
def _single_precision():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.parametrize("name", CASES)
def test_float_models(tmp_path, name):
    keras.utils.set_random_seed(1)
    model, link = CASES[name]()
    path = _converted(tmp_path / "m.tflite", model)
    points = np.random.default_rng(0).normal(size=(5, *model.inputs[0].shape[1:]))
    if model.inputs[0].dtype == "int32":
        points = np.clip(np.rint(2.0 + 2.0 * points), 0, 4)
    folded = converter.fold(path)
    assert folded.format == "tflite"
    assert folded.link == link
    expected = _interpreted(path, points)
    np.testing.assert_allclose(folded.predict(points), expected.reshape(5, -1), atol=2e-5)


def test_verification_runs_the_interpreter(tmp_path):
    path = _converted(tmp_path / "m.tflite", dense()[0])
    assert converter.verify(path, points=8).agrees


def test_weights_in_half_precision_are_affine(tmp_path):
    model, _ = dense()
    path = _converted(
        tmp_path / "m.tflite",
        model,
        optimizations=[tf.lite.Optimize.DEFAULT],
        target_spec=tf.lite.TargetSpec(supported_types=[tf.float16]),
    )
    points = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(
        converter.fold(path).predict(points), _interpreted(path, points), atol=1e-5
    )


def test_activations_that_follow_are_refused(tmp_path):
    path = _converted(tmp_path / "m.tflite", relu()[0])
    assert "Relu" in {one.operation for one in converter.inspect(path).findings}


def test_means_of_whole_marks_are_refused(tmp_path):
    """They are cut off: of two marks, the mean is zero."""
    x = keras.Input((2,), dtype="int32", batch_size=1, name="x")
    marks = keras.ops.one_hot(x, 5, dtype="int32")

    class Mean(layers.Layer):
        def call(self, marks):
            return tf.cast(tf.reduce_mean(marks, 1), tf.float32)

    path = _converted(tmp_path / "m.tflite", keras.Model(x, Mean()(marks)))
    assert "averages whole numbers" in str(converter.inspect(path).findings)


def test_kernels_that_round_what_they_are_given_are_refused(tmp_path):
    x = keras.Input((64,), name="x")
    model = keras.Model(x, layers.Dense(1)(layers.Dense(64)(x)))
    path = _converted(tmp_path / "m.tflite", model, optimizations=[tf.lite.Optimize.DEFAULT])
    found = converter.inspect(path)
    assert found.verdict == "rejected"
    assert any("rounds what it is given" in one.reason for one in found.findings)


def test_damage_raises_nothing_of_its_own(tmp_path):
    path = _converted(tmp_path / "m.tflite", dense()[0])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(8, len(changed), rng.choice([1, 4, 16])):
            changed[place] = rng.integers(256)
        path.write_bytes(bytes(changed[: rng.integers(20, len(changed) + 1)]))
        try:
            converter.inspect(path)
        except converter.ModelFileError as error:
            said = str(error)
        else:
            continue
        assert str(path) in said


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(2, 3, dilation_rate=2),
        lambda: layers.Conv2D(2, 3, dilation_rate=(2, 3), padding="same"),
        lambda: layers.DepthwiseConv2D(3, dilation_rate=2),
    ],
)
def test_dilated_convolutions(tmp_path, layer):
    x = keras.Input((9, 8, 3), name="x")
    path = _converted(tmp_path / "m.tflite", keras.Model(x, layer()(x)))
    points = np.random.default_rng(0).normal(size=(3, 9, 8, 3))
    np.testing.assert_allclose(
        converter.fold(path).predict(points),
        _interpreted(path, points).reshape(len(points), -1),
        atol=1e-4,
    )


def test_blocks_and_depth(tmp_path):
    x = keras.Input((4, 6, 8), name="x")
    y = keras.ops.depth_to_space(x, 2)
    path = _converted(tmp_path / "m.tflite", keras.Model(x, keras.ops.space_to_depth(y, 4)))
    points = np.random.default_rng(0).normal(size=(2, 4, 6, 8))
    np.testing.assert_allclose(
        converter.fold(path).predict(points),
        _interpreted(path, points).reshape(len(points), -1),
        atol=1e-5,
    )
