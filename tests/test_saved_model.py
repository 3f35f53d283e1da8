"""TensorFlow SavedModels: read as data, equal to what TensorFlow computes, refused where due."""

from __future__ import annotations

import inspect
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import FIXTURES
from keras import layers
from tensorflow.python.framework import op_def_registry

import converter
from converter.formats.crc32c import crc32c
from converter.formats.saved_model import _OUTPUTS as OUTPUTS
from converter.semantics.tensorflow import _TYPES as TYPE_ATTRIBUTES
from converter.semantics.tensorflow import OPERATIONS

_R = np.random.default_rng(4)
C42 = _R.uniform(0.5, 1.5, (4, 2))
C34 = _R.uniform(0.5, 1.5, (3, 4))
V4 = _R.uniform(0.5, 1.5, 4)
KERNEL = _R.uniform(-1.0, 1.0, (2, 2, 1, 3))

#: Of x with the shape (rows, 3, 4), each is affine.
AFFINE: dict[str, Callable] = {
    "arithmetic": lambda x: 2.0 * (1.0 - x) / 3.0 + x * V4 - x / V4,
    "negative": lambda x: -x,
    "add_n": lambda x: tf.add_n([x, 2.0 * x]),
    "div_no_nan": lambda x: tf.math.divide_no_nan(x, tf.constant([1.0, 0.0, 2.0, 4.0], tf.float64)),
    "pow": lambda x: x**1.0,
    "select": lambda x: tf.where(tf.constant(C34 > 1.0), x, 3.0 * x),
    "matmul": lambda x: tf.matmul(x, tf.constant(C42[None])),
    "matmul_transposed": lambda x: tf.matmul(x, tf.constant(C34[None]), transpose_b=True),
    "matmul_of_two_axes": lambda x: tf.matmul(x[:, 0], tf.constant(C42)),
    "einsum": lambda x: tf.einsum("bij,jk->bki", x, C42),
    "tensordot": lambda x: tf.tensordot(x, C42, [[2], [0]]),
    "tensordot_of_the_middle": lambda x: tf.tensordot(x, C42[:3], [[1], [0]]),
    "cross": lambda x: tf.linalg.cross(
        x[..., :3], tf.broadcast_to(C34[:, :3], tf.shape(x[..., :3]))
    ),
    "diagonal_of_a_matrix": lambda x: tf.linalg.diag_part(tf.linalg.diag(x)),
    "diagonal_matrices": lambda x: tf.linalg.diag(x)[..., 1],
    "diagonal_set": lambda x: tf.linalg.set_diag(x, x[..., 0] * 2.0),
    "diagonal_set_along_columns": lambda x: tf.linalg.set_diag(
        tf.transpose(x, [0, 2, 1]), x[:, 0, :3]
    ),
    "trace_by_a_mask": lambda x: tf.reduce_sum(x[..., :3] * tf.eye(3, dtype=tf.float64), [1, 2])[
        :, None
    ],
    "bias_add": lambda x: tf.nn.bias_add(x, V4),
    "reshape": lambda x: tf.reshape(x, [-1, 12]),
    "reshape_by_rows": lambda x: tf.reshape(x, [tf.shape(x)[0], 6, 2]),
    "reshape_by_padded_shape": lambda x: tf.reshape(
        x, tf.pad(tf.shape(x), [[tf.maximum(3 - tf.rank(x), 0), 0]], constant_values=1)
    ),
    "reshape_by_joined_shape": lambda x: tf.reshape(
        x, tf.concat([tf.reshape(tf.shape(x)[:1], [-1]), [2, 6]], axis=0)
    ),
    "squeeze": lambda x: tf.squeeze(tf.expand_dims(x, 1), [1]),
    "transpose": lambda x: tf.transpose(x, [0, 2, 1]),
    "concat": lambda x: tf.concat([x, 2.0 * x], axis=1),
    "stack": lambda x: tf.stack([x, -x], axis=2),
    "unstack": lambda x: tf.unstack(x, axis=1)[1] + tf.unstack(x, axis=1)[2],
    "split": lambda x: tf.split(x, 2, axis=2)[1] - tf.split(x, [1, 2, 1], axis=2)[1],
    "slice": lambda x: tf.slice(x, [0, 1, 0], [-1, 2, 3]),
    "strided_slice": lambda x: x[:, ::2, None, 1:],
    "strided_slice_from_the_end": lambda x: x[..., -1] + x[:, 0, 0:1],
    "gather": lambda x: tf.gather(x, [0, 2], axis=1),
    "gather_nd": lambda x: tf.transpose(tf.gather_nd(tf.transpose(x, [1, 2, 0]), [[0, 1], [2, 3]])),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 2]], constant_values=1.5),
    "mirror_pad": lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 0]], mode="REFLECT"),
    "tile": lambda x: tf.tile(x, [1, 2, 1]),
    "broadcast": lambda x: x + tf.broadcast_to(V4, [3, 4]),
    "fill_by_rows": lambda x: tf.concat(
        [x[:, 0], tf.fill([tf.shape(x)[0], 1], tf.constant(2.0, tf.float64))], 1
    ),
    "like": lambda x: x + tf.ones_like(x) - tf.zeros_like(x),
    "reduce": lambda x: tf.reduce_sum(x, [1, 2], keepdims=True) + x,
    "reduce_mean": lambda x: tf.reduce_mean(x, axis=1),
    "reduce_of_one": lambda x: tf.reduce_max(x[:, :1], axis=1) + tf.reduce_prod(x[:, 1:2], axis=1),
    "cumsum": lambda x: tf.cumsum(x, axis=1, reverse=True),
    "reverse": lambda x: tf.reverse(x, [1]),
    "roll": lambda x: tf.roll(x, [1, 2], [1, 2]),
    "band": lambda x: tf.linalg.band_part(x, 0, 1),
    "diagonal": lambda x: tf.linalg.diag_part(x),
    "cast": lambda x: tf.cast(tf.cast(x, tf.float32), tf.float64),
    "identities": lambda x: tf.stop_gradient(tf.identity(x)),
    "leaky_relu": lambda x: tf.nn.leaky_relu(x, alpha=1.0),
    "conv2d": lambda x: tf.nn.conv2d(x[..., None], KERNEL, [1, 2, 1, 1], "SAME"),
    "conv2d_explicit": lambda x: tf.nn.conv2d(
        x[..., None], KERNEL, 1, [[0, 0], [1, 0], [0, 2], [0, 0]]
    ),
    "conv1d": lambda x: tf.nn.conv1d(x, _kernel_1d(), 1, "VALID"),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x[..., None], KERNEL, [1, 1, 1, 1], "VALID"),
    "avg_pool": lambda x: tf.nn.avg_pool2d(x[..., None], 2, 1, "SAME"),
    "max_pool_of_one": lambda x: tf.nn.max_pool2d(x[..., None], 1, 2, "VALID"),
    "space_to_depth": lambda x: tf.nn.space_to_depth(x[:, :2, :, None], 2),
    "batch_norm": lambda x: tf.compat.v1.nn.fused_batch_norm(
        tf.cast(x[..., None], tf.float32), [1.5], [0.5], [0.25], [2.0], is_training=False
    )[0],
    "resize": lambda x: tf.image.resize(x[..., None], [5, 7]),
    "resize_smooth": lambda x: tf.image.resize(x[..., None], [2, 7], antialias=True),
    "resize_lanczos": lambda x: tf.image.resize(x[..., None], [5, 3], "lanczos3"),
    "tensordot_by_rows": lambda x: tf.reshape(
        tf.reshape(x, [-1, 4]) @ C42, tf.concat([tf.shape(x)[:2], [2]], 0)
    ),
    "repeat_by_rows": lambda x: tf.concat(tf.split(tf.repeat(x, 2, axis=1), 3, axis=1)[:2], 2),
    "squeezed": lambda x: x + tf.squeeze(tf.constant(C34[None, :, :, None])),
    "select_along_the_first_axis": lambda x: x[:, :, :3] * tf.raw_ops.Select(
        condition=[True, False, True], x=C34[:, :3], y=-C34[:, :3]
    ),
    "branch_by_shape": lambda x: tf.cond(tf.shape(x)[1] > 2, lambda: 2.0 * x, lambda: x * x),
    "branch_in_a_branch": lambda x: tf.cond(
        tf.shape(x)[2] > 5,
        lambda: tf.nn.relu(x),
        lambda: tf.cond(tf.rank(x) > 2, lambda: x * V4 + 1.0, lambda: x * x),
    ),
    "whole_numbers": lambda x: x * tf.cast(
        tf.constant([7, -7, 2, 9]) // 2 + tf.constant([7, -7, 2, 9]) % 4, tf.float64
    ),
    "bits": lambda x: x * tf.cast(tf.bitwise.right_shift(
        tf.bitwise.bitwise_and(tf.constant([7, 200, 90, 1], tf.uint8), np.uint8(0xF8)),
        np.uint8(1),
    ), tf.float64),
    "functions_of_constants": lambda x: x * tf.floor(tf.cos(tf.nn.relu(V4 - 1.0)) * 9.0),
    "loop": lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [0, x])[1],
    "steps": lambda x: tf.transpose(
        tf.scan(lambda a, b: 0.5 * a + b * V4, tf.transpose(x, [1, 0, 2])), [1, 0, 2]
    ),
    "blocks_of_rows": lambda x: tf.batch_to_space(
        2.0 * tf.space_to_batch(x[..., None], [2, 2], [[0, 1], [0, 0]]), [2, 2], [[0, 1], [0, 0]]
    ),
    "scatter": lambda x: x * tf.scatter_nd([[1], [3]], tf.constant([2.0, 5.0], tf.float64), [4]),
    "zeros_by_rows": lambda x: x[:, 0, :2] + tf.zeros([tf.shape(x)[0], 4], tf.float64) @ C42,
    "bounds_of_the_type": lambda x: tf.saturate_cast(tf.cast(x, tf.float32), tf.float64),
}  # fmt: skip


def _count(x):
    return tf.range(tf.shape(x)[0])


# What tells rows apart from the fourth on, or later.
_STEPS = tf.constant([0.0, 0.0, 0.0, 0.0, 1.0, 1.0], tf.float64)
_LATE: dict[str, Callable] = {
    "gather_at_most": lambda x: tf.gather(x, tf.minimum(_count(x), 3)),
    "gather_remainder": lambda x: tf.gather(x, _count(x) % 1000),
    "gather_bits": lambda x: tf.gather(x, tf.bitwise.bitwise_and(_count(x), 3)),
    "gather_where": lambda x: tf.gather(x, tf.where(_count(x) < 4, _count(x), 0)),
    "gather_nd_at_most": lambda x: tf.gather_nd(x, tf.minimum(_count(x), 3)[:, None]),
    "add_late": lambda x: x + tf.cast(tf.maximum(_count(x) - 3, 0), tf.float64)[:, None, None],
    "times_early": lambda x: x * tf.cast(_count(x) < 4, tf.float64)[:, None, None],
    "select_early": lambda x: tf.where((_count(x) < 4)[:, None, None], x, 2.0 * x),
    "cubic": lambda x: (
        x + tf.cast(_count(x) * (_count(x) - 1) * (_count(x) - 2), tf.float64)[:, None, None]
    ),
    "table_cut": lambda x: x + _STEPS[: tf.shape(x)[0], None, None],
    "table_slice": lambda x: x + tf.slice(_STEPS, [0], [tf.shape(x)[0]])[:, None, None],
    "table_gather": lambda x: x + tf.gather(_STEPS, _count(x))[:, None, None],
    "repeated_and_cut": lambda x: (
        x
        + tf.reshape(tf.tile(_STEPS[None, 2:], [tf.shape(x)[0], 1]), [-1])[
            : tf.shape(x)[0], None, None
        ]
    ),
    "slice_at_most": lambda x: tf.transpose(
        tf.slice(tf.transpose(x), [0, 0, 0], [4, 3, tf.minimum(4, tf.shape(x)[0])])
    ),
    "ones_by_rows": lambda x: x * tf.cast(tf.fill(tf.shape(x), tf.shape(x)[0] // 700), x.dtype),
    "just_999_rows": lambda x: (
        x * tf.cast(tf.fill([1, 1, 1], tf.cast(tf.shape(x)[0] == 999, tf.int32)), x.dtype)
    ),
}
REFUSED: dict[str, Callable] = {
    **_LATE,
    "relu": tf.nn.relu,
    "relu_in_a_branch": lambda x: tf.cond(tf.rank(x) > 2, lambda: tf.nn.relu(x), lambda: x),
    "branch_by_rows": lambda x: tf.cond(tf.shape(x)[0] > 2, lambda: x, lambda: 2.0 * x),
    "bounds": lambda x: tf.minimum(tf.cast(x, tf.float32), 1e30),
    "mask": lambda x: tf.where(tf.reduce_any(x != 0.0, axis=-1, keepdims=True), x, 1.0),
    "square": tf.square,
    "product": lambda x: x * x,
    "abs": tf.abs,
    "maximum": lambda x: tf.maximum(x, 0.5),
    "max": lambda x: tf.reduce_max(x, axis=1),
    "where": lambda x: tf.where(x > 0.0, x, 0.0 * x),
    "floor": tf.floor,
    "cast_and_back": lambda x: tf.cast(tf.cast(x, tf.int32), tf.float64),
    "mean_of_rows": lambda x: x - tf.reduce_mean(x, axis=0),
    "cond": lambda x: tf.cond(tf.reduce_sum(x) > 0.0, lambda: x, lambda: -x),
    "loop_by_values": lambda x: tf.while_loop(
        lambda y: tf.reduce_sum(y) > 1.0, lambda y: (y * 0.5,), [x]
    )[0],
    "loop_by_rows": lambda x: tf.while_loop(
        lambda i, y: i < tf.shape(x)[0], lambda i, y: (i + 1, y * 2.0), [0, x]
    )[1],
    "relu_in_a_loop": lambda x: tf.while_loop(
        lambda i, y: i < 2, lambda i, y: (i + 1, tf.nn.relu(y)), [0, x]
    )[1],
    "unrolled_over_rows": lambda x: tf.scan(lambda a, b: a + b, x),
    "random": lambda x: x + tf.random.normal([3, 4], dtype=tf.float64),
    "numpy": lambda x: tf.reshape(tf.numpy_function(lambda a: a, [x], tf.float64), [-1, 3, 4]),
    "rows": lambda x: tf.cast(tf.shape(x)[0], tf.float64) * x,
}

LINKED: dict[str, tuple[Callable, str]] = {
    "sigmoid": (tf.sigmoid, "logit"),
    "spelled": (lambda x: 1.0 / (1.0 + tf.exp(-x)), "logit"),
    "softmax": (tf.nn.softmax, "softmax"),
    "exp": (tf.exp, "log"),
    "probit": (lambda x: 0.5 * (1.0 + tf.math.erf(x / np.sqrt(2.0))), "probit"),
}


def _kernel_1d() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1.0, 1.0, (2, 4, 3))


def _endless(x):
    return tf.while_loop(lambda i, y: i >= 0, lambda i, y: (i * 1, y), [0, x])[1]


def _answering(function: Callable) -> Callable:
    def call(x):
        return {"y": function(x)}

    return call


class _Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(np.array([1.5, 2.5, -0.5, 4.0]), name="scale")
        self.same_name = tf.Variable(np.float64(0.25), name="scale")
        self.half = tf.Variable(np.array([1.5, -2.5], np.float16))
        self.steps = tf.Variable(0)
        self.captured = tf.constant([1.0, 2.0, 3.0, 4.0], tf.float64)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Folders: ops (a signature for each case), keras_export, module, counted, several."""
    where = tmp_path_factory.mktemp("saved_models")
    spec = [tf.TensorSpec([None, 3, 4], tf.float64, name="x")]
    module = _Module()
    signatures = {}
    linked = {name: function for name, (function, _) in LINKED.items()}
    for name, function in {**AFFINE, **REFUSED, **linked, "endless": _endless}.items():
        call = tf.function(_answering(function), input_signature=spec)
        signatures[name] = call.get_concrete_function()
        setattr(module, f"call_{name}", call)
    tf.saved_model.save(module, str(where / "ops"), signatures=signatures)

    module = _Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float64, name="b"),
                                  tf.TensorSpec([None, 2], tf.float32, name="a")])  # fmt: skip
    def inner(b, a):
        half = tf.cast(module.half, tf.float32)
        return {"two": b * module.scale + module.same_name * module.captured, "one": a * half}

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float64, name="b")])
    def counted(b):
        module.steps.assign_add(1)
        return b * tf.cast(module.steps, tf.float64)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float64, name="b")])
    def counting(b):
        module.steps.assign_add(1)
        return b * module.scale

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float64, name="b")])
    def branched(b):
        tf.cond(
            tf.constant(True),
            lambda: module.scale.assign(2.0 * module.scale),
            lambda: module.scale.assign_add(module.scale),
        )
        return b * module.scale

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float64, name="b")])
    def looped(b):
        for _ in tf.range(3):
            module.scale.assign_add(module.scale)
        return b * module.scale

    for function in (inner, counted, counting, branched, looped):
        setattr(module, f"call_{function.__name__}", function)
    tf.saved_model.save(
        module,
        str(where / "module"),
        signatures={
            "serving_default": inner,
            **{one.__name__: one for one in (counted, counting, branched, looped)},
        },
    )

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    x = keras.Input((6, 5, 2), name="picture")
    y = layers.Conv2D(3, 3, strides=2, padding="same")(x)
    y = layers.BatchNormalization()(y)
    y = layers.AveragePooling2D(2, padding="same")(y)
    y = layers.Conv2DTranspose(2, 3, strides=2, padding="same")(y)
    y = layers.Dropout(0.3)(layers.Flatten()(y))
    model = keras.Model(x, layers.Dense(2)(y))
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(_R.uniform(0.3, 1.5, variable.shape))
    model.export(str(where / "keras_export"), verbose=False)
    points = _R.normal(size=(4, 6, 5, 2))
    np.savez(where / "keras_export.npz", x=points, y=model.predict(points, verbose=0))
    return where


def _called(folder, signature, **feeds):
    function = tf.saved_model.load(str(folder)).signatures[signature]
    return {k: np.asarray(v) for k, v in function(**feeds).items()}


@pytest.fixture(scope="session")
def values(folder):
    """What TensorFlow computes for each case, and at which points."""
    points = np.random.default_rng(2).uniform(-1.5, 1.5, (5, 3, 4))
    loaded = tf.saved_model.load(str(folder / "ops"))
    names = [*AFFINE, *LINKED]
    x = tf.constant(points)
    return points, {n: np.asarray(loaded.signatures[n](x=x)["y"], np.float64) for n in names}


@pytest.mark.parametrize("name", AFFINE)
def test_affine(folder, values, name):
    points, expected = values
    folded = converter.fold(folder / "ops", signature=name)
    assert folded.link == "identity"
    single = name in ("cast", "batch_norm", "bounds_of_the_type") or name.startswith("resize")
    np.testing.assert_allclose(
        folded.predict(points), expected[name].reshape(5, -1), rtol=0, atol=2e-5 if single else 1e-9
    )


@pytest.mark.parametrize("name", REFUSED)
def test_refused(folder, name):
    found = converter.inspect(folder / "ops", signature=name)
    assert found.verdict == "rejected"
    assert found.findings


@pytest.mark.parametrize("name", LINKED)
def test_linked(folder, values, name):
    points, expected = values
    folded = converter.fold(folder / "ops", signature=name)
    assert folded.link == LINKED[name][1]
    np.testing.assert_allclose(folded.predict(points), expected[name].reshape(5, -1), rtol=1e-9)


def test_a_keras_export(folder):
    with np.load(folder / "keras_export.npz") as saved:
        x, y = saved["x"], saved["y"]
    model = converter.fold(folder / "keras_export")
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-9)
    assert model.format == "saved_model"
    assert model.loss is None


def test_variables_of_one_name_constants_and_types(folder):
    model = converter.fold(folder / "module", output="two")
    # The function's own order, which its signature does not keep.
    assert model.feature_names == ("b[0]", "b[1]", "b[2]", "b[3]", "a[0]", "a[1]")
    np.testing.assert_allclose(np.diag(model.coef[:, :4]), [1.5, 2.5, -0.5, 4.0])
    np.testing.assert_allclose(model.intercept, 0.25 * np.arange(1.0, 5.0))
    model = converter.fold(folder / "module", output="one")
    np.testing.assert_allclose(np.diag(model.coef[:, 4:]), [1.5, -2.5])


def test_signatures_are_chosen_by_name(folder):
    with pytest.raises(ValueError, match="choose a signature"):
        converter.fold(folder / "ops")
    with pytest.raises(ValueError, match="no signature 'nowhere'"):
        converter.fold(folder / "ops", signature="nowhere")
    with pytest.raises(ValueError, match="only a TensorFlow SavedModel"):
        converter.inspect(FIXTURES / "marriages.keras", signature="serving_default")


@pytest.mark.parametrize("name", ["counted", "branched", "looped"])
def test_a_function_that_changes_its_variables_is_refused(folder, name):
    (finding,) = converter.inspect(folder / "module", signature=name).findings
    assert "changes a variable" in finding.reason


def test_loops_without_end_are_stopped(folder):
    with pytest.raises(converter.ModelFileError, match="more than 100,000 operations"):
        converter.inspect(folder / "ops", signature="endless")


def test_a_variable_that_is_changed_and_not_computed_with_does_no_harm(folder):
    model = converter.fold(folder / "module", signature="counting")
    np.testing.assert_allclose(np.diag(model.coef), [1.5, 2.5, -0.5, 4.0])


def test_a_folder_of_keras_2_says_how_it_was_trained():
    path = FIXTURES / "tf_keras_saved" / "two_heads"
    found = converter.inspect(path)
    losses = {one.name: one.loss for one in found.outputs}
    assert losses == {"price": "mean_squared_error", "kind": "categorical_crossentropy"}
    assert any("L2(0.01) on its kernel" in note for note in found.notes)
    with np.load(path.with_suffix(".npz")) as saved:
        arrays = dict(saved)
    for name in ("price", "kind"):
        model = converter.fold(path, output=name)
        np.testing.assert_allclose(model.predict(arrays), arrays[name], rtol=1e-9)


def test_inputs_and_outputs_of_an_export_keep_their_order(tmp_path):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    z, a = keras.Input((2,), name="z"), keras.Input((1,), name="a")
    outputs = [layers.Dense(1)(one) for one in (z, a, *[z] * 9)]
    model = keras.Model([z, a], outputs)
    model.export(str(tmp_path / "m"), verbose=False)
    found = converter.inspect(tmp_path / "m")
    assert [one.name for one in found.inputs] == ["z", "a"]
    assert [one.name for one in found.outputs] == [f"output_{n}" for n in range(11)]


def test_a_sequential_model_of_keras_2_says_how_it_was_trained():
    path = FIXTURES / "tf_keras_saved" / "sequential"
    model = converter.fold(path)
    assert (model.loss, model.link) == ("binary_crossentropy", "logit")
    with np.load(path.with_suffix(".npz")) as saved:
        np.testing.assert_allclose(model.predict(saved["input_1"]), saved["dense"], rtol=1e-9)


def test_training_that_cannot_be_made_out_is_said(copy):
    path = copy()
    metadata = path / "keras_metadata.pb"
    metadata.write_bytes(metadata.read_bytes().replace(b"batch_input_shape", b"batch_output_shap"))
    _cut(metadata, 0.5)
    found = converter.inspect(path, output="price")
    assert found.verdict == "affine"
    assert any("cannot be made out" in note for note in found.notes)


def test_verification_runs_the_signature(folder):
    checked = converter.verify(folder / "ops", signature="conv2d")
    assert checked.agrees
    assert checked.runtime.startswith("tensorflow")


def test_the_command_line_takes_a_signature(folder, capsys):
    from converter.cli import main

    status = main(["inspect", str(folder / "ops"), "--signature", "relu"], standalone_mode=False)
    assert status == 1
    assert "Relu" in capsys.readouterr().out


def test_reading_imports_no_tensorflow(folder):
    code = (
        "import sys, converter\n"
        f"assert converter.inspect({str(folder / 'keras_export')!r}).verdict == 'affine'\n"
        "assert not {'tensorflow', 'keras', 'google'} & {n.split('.')[0] for n in sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _default(attribute):
    if not attribute.HasField("default_value"):
        return inspect.Parameter.empty
    value = attribute.default_value
    kind = value.WhichOneof("value")
    if kind == "list":
        return (*value.list.i, *value.list.s, *value.list.f, *value.list.b)
    found = getattr(value, kind)
    return found.decode() if kind == "s" else found


@pytest.mark.parametrize("name", [n for n, one in OPERATIONS.items() if one.function])
def test_attributes_are_tensorflows_own_with_its_defaults(name):
    """Files leave out attributes that have TensorFlow's default."""
    definition = op_def_registry.get(name)
    operation = OPERATIONS[name]
    parameters = inspect.signature(operation.function).parameters
    settings = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for attribute in definition.attr:
        if attribute.name in settings:
            ours = settings.pop(attribute.name).default
            if attribute.type == "type":
                continue
            theirs = _default(attribute)
            if attribute.name == "dilations":
                assert ours is None
                assert set(theirs) == {1}
            elif isinstance(theirs, float):
                assert ours == pytest.approx(theirs)
            else:
                assert ours == theirs
        else:
            assert attribute.name in TYPE_ATTRIBUTES | operation.inert
    assert not settings
    outputs = tuple(one.name for one in definition.output_arg)
    assert len(outputs) == 1 or OUTPUTS[name] == outputs


# Hostile and damaged folders ----------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    def make():
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        shutil.copytree(FIXTURES / "tf_keras_saved" / "two_heads", tmp_path / "m")
        return tmp_path / "m"

    return make


def _cut(path, size):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * size)])


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index",
                                  "variables/variables.data-00000-of-00001"])  # fmt: skip
def test_cut_anywhere(copy, name):
    for size in (0.0, 0.1, 0.5, 0.9, 0.99):
        path = copy()
        _cut(path / name, size)
        try:
            converter.inspect(path)
        except converter.ModelFileError as error:
            said = str(error)
        else:
            continue
        assert str(path) in said


def test_flipped_bytes_raise_nothing_of_their_own(copy):
    rng = np.random.default_rng(0)
    for name in ("saved_model.pb", "variables/variables.index"):
        path = copy()
        content = (path / name).read_bytes()
        for _ in range(150):
            changed = bytearray(content)
            for place in rng.integers(0, len(changed), rng.choice([1, 4, 16])):
                changed[place] = rng.integers(256)
            (path / name).write_bytes(changed)
            try:
                converter.inspect(path)
            except ValueError as error:
                caught = error
            else:
                continue
            assert type(caught) in (converter.ModelFileError, ValueError)
            assert str(path) in str(caught)


def test_shards_are_not_looked_for_elsewhere(copy):
    path = copy()
    shard = path / "variables" / "variables.data-00000-of-00001"
    secret = path.parent / "secret"
    shard.rename(secret)
    os.symlink(secret, shard)
    with pytest.raises(converter.ModelFileError, match="passes through a link"):
        converter.fold(path, output="price")
    shard.unlink()
    with pytest.raises(converter.ModelFileError, match=r"no variables/variables\.data-00000"):
        converter.fold(path, output="price")


def test_a_table_whose_blocks_lead_out(copy):
    path = copy()
    index = path / "variables" / "variables.index"
    content = bytearray(index.read_bytes())
    content[-48:-8] = b"\xff\xff\xff\xff\x7f" * 8
    index.write_bytes(content)
    with pytest.raises(converter.ModelFileError, match="beyond the end"):
        converter.fold(path, output="price")
    struct.pack_into("<Q", content, len(content) - 8, 1)
    index.write_bytes(content)
    with pytest.raises(converter.ModelFileError, match="is none, or is cut short"):
        converter.fold(path, output="price")


def test_functions_that_call_themselves(tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(FIXTURES / "tf_keras_saved" / "two_heads", tmp_path / "m")
    record = saved_model_pb2.SavedModel()
    record.ParseFromString((tmp_path / "m" / "saved_model.pb").read_bytes())
    library = record.meta_graphs[0].graph_def.library
    for function in library.function:
        for node in function.node_def:
            if node.op == "StatefulPartitionedCall":
                node.attr["f"].func.name = function.signature.name
    (tmp_path / "m" / "saved_model.pb").write_bytes(record.SerializeToString())
    with pytest.raises(converter.ModelFileError, match=r"calls itself|gives"):
        converter.fold(tmp_path / "m", output="price")


def test_text_graphs_have_a_way_out(tmp_path):
    (tmp_path / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    with pytest.raises(converter.ModelFileError, match=r"saved_model\.pb"):
        converter.inspect(tmp_path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum_of_rfc_3720(data, expected):
    assert crc32c(data) == expected
    # Long data take another path.
    long = data * 7_300
    state = 0xFFFFFFFF
    for byte in long:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    assert crc32c(long) == state ^ 0xFFFFFFFF


def test_a_flipped_bit_of_a_variable_is_damage(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(FIXTURES / "tf_keras_saved" / "two_heads", copy)
    (shard,) = (copy / "variables").glob("variables.data-*")
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    with pytest.raises(converter.ModelFileError, match="does not match its checksum"):
        converter.fold(copy)
