"""TensorFlow SavedModels: read as data, equal to what TensorFlow computes, refused where due."""

from __future__ import annotations

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

import converter

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
}  # fmt: skip

REFUSED: dict[str, Callable] = {
    "relu": tf.nn.relu,
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
    "loop": lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [0, x])[1],
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
    for name, function in {**AFFINE, **REFUSED, **{k: f for k, (f, _) in LINKED.items()}}.items():
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

    module.inner, module.counted = inner, counted
    tf.saved_model.save(
        module, str(where / "module"), signatures={"serving_default": inner, "counted": counted}
    )

    keras.config.set_floatx("float64")
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
    single = name in ("cast", "batch_norm", "resize")
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
    assert model.feature_names == ("a[0]", "a[1]", "b[0]", "b[1]", "b[2]", "b[3]")
    np.testing.assert_allclose(np.diag(model.coef[:, 2:]), [1.5, 2.5, -0.5, 4.0])
    np.testing.assert_allclose(model.intercept, 0.25 * np.arange(1.0, 5.0))
    model = converter.fold(folder / "module", output="one")
    np.testing.assert_allclose(np.diag(model.coef[:, :2]), [1.5, -2.5])


def test_signatures_are_chosen_by_name(folder):
    with pytest.raises(ValueError, match="choose a signature"):
        converter.fold(folder / "ops")
    with pytest.raises(ValueError, match="no signature 'nowhere'"):
        converter.fold(folder / "ops", signature="nowhere")
    with pytest.raises(ValueError, match="only a TensorFlow SavedModel"):
        converter.inspect(FIXTURES / "marriages.keras", signature="serving_default")


def test_a_function_that_changes_its_variables_is_refused(folder):
    (finding,) = converter.inspect(folder / "module", signature="counted").findings
    assert "changes a variable" in finding.reason


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
