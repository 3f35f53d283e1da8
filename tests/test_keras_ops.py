"""Operations on KerasTensors: accepted exactly where they are affine, with Keras' own numbers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import converter

_R = np.random.default_rng(8)
M42, M34, M33 = (_R.normal(size=shape) for shape in ((4, 2), (3, 4), (3, 3)))
V3, V4 = _R.uniform(0.5, 1.5, 3), _R.uniform(0.5, 1.5, 4)
MASK = np.array([True, False, True, False])

#: Applied to x of shape (rows, 3, 4), each is affine.
AFFINE: dict[str, Callable] = {
    "add": lambda x: ops.add(x, V4),
    "plus_minus_times_over": lambda x: 2.0 * (1.0 - x) / 3.0 + x * V4 - x / V4,
    "divide": lambda x: ops.divide(x, V4),
    "divide_no_nan": lambda x: ops.divide_no_nan(x, np.array([1.0, 0.0, 2.0, 4.0])),
    "negative": lambda x: -x,
    "power_one": lambda x: x**1,
    "power_zero": lambda x: x**0 + x,
    "degrees": lambda x: ops.deg2rad(x) + ops.rad2deg(x),
    "copies": lambda x: ops.copy(ops.stop_gradient(ops.convert_to_tensor(x))),
    "cast": lambda x: ops.cast(x, "float64"),
    "real": lambda x: ops.real(x) + ops.conj(x),
    "where": lambda x: ops.where(MASK, x, 2.0 * x + 1.0),
    "select": lambda x: ops.select([MASK, ~MASK], [x, 3.0 * x], 5.0),
    "full_like": lambda x: x + ops.full_like(x, 3.0) + ops.ones_like(x) - ops.zeros_like(x),
    "leaky_relu": lambda x: ops.leaky_relu(x, negative_slope=1.0),
    "shrink": lambda x: ops.hard_shrink(x, threshold=0.0) + ops.soft_shrink(x, threshold=0.0),
    "reshape": lambda x: ops.reshape(x, (-1, 2, 6)),
    "ravel_rows": lambda x: ops.reshape(ops.ravel(x), (-1, 12)),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "moveaxis": lambda x: ops.moveaxis(x, 1, 2),
    "swapaxes": lambda x: ops.swapaxes(x, 1, 2),
    "expand_squeeze": lambda x: ops.squeeze(ops.expand_dims(ops.expand_dims(x, 1), -1), (1, -1)),
    "squeeze_all": lambda x: ops.squeeze(x[:, :1]),
    "flip": lambda x: ops.flip(x, axis=1) + ops.fliplr(x),
    "flip_negative": lambda x: ops.flip(x, axis=-1),
    "roll": lambda x: ops.roll(x, 2, axis=1) + ops.roll(x, [1, 3], axis=[1, 2]),
    "rot90": lambda x: ops.rot90(x, k=1, axes=(1, 2)),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "repeat_each": lambda x: ops.repeat(x, [1, 0, 3], axis=1),
    "tile": lambda x: ops.tile(x, (1, 2, 3)),
    "tile_new_axis": lambda x: ops.tile(ops.expand_dims(x, 1), (1, 2, 1, 1)),
    "concatenate": lambda x: ops.concatenate([x, 2.0 * x, x * np.ones((1, 3, 4))], axis=-1),
    "append": lambda x: ops.append(x, -x, axis=1),
    "stack": lambda x: ops.stack([x, 2.0 * x], axis=1),
    "hstack_dstack": lambda x: ops.concatenate([ops.hstack([x, x]), ops.hstack([-x, x])], 2),
    "dstack": lambda x: ops.dstack([x, 3.0 * x]),
    "split": lambda x: ops.split(x, 2, axis=-1)[1] - ops.split(x, [1, 3], axis=-1)[1],
    "array_split": lambda x: ops.array_split(x, 3, axis=2)[0],
    "hsplit": lambda x: ops.hsplit(x, 3)[2],
    "dsplit": lambda x: ops.dsplit(x, 2)[0],
    "unstack": lambda x: ops.unstack(x, axis=1)[1],
    "take": lambda x: ops.take(x, [[0, 2], [1, -1]], axis=1),
    "take_along_axis": lambda x: ops.take_along_axis(x, np.array([[[0, 1, 2, 0]]]), axis=1),
    "get_item": lambda x: x[:, 1:, None, ..., ::2],
    "get_item_number": lambda x: x[:, 0] + x[:, -1, ::-1],
    "get_item_last": lambda x: x[..., -1],
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=2.0),
    "pad_reflect": lambda x: ops.pad(x, ((0, 0), (1, 1), (2, 0)), mode="reflect"),
    "pad_symmetric": lambda x: ops.pad(x, ((0, 0), (1, 1), (2, 0)), mode="symmetric"),
    "diagonal": lambda x: ops.diagonal(x, offset=1, axis1=1, axis2=2),
    "trace": lambda x: ops.trace(x, axis1=1, axis2=2),
    "tril_triu": lambda x: ops.tril(x, k=1) + 2.0 * ops.triu(x),
    "extract_sequences": lambda x: ops.extract_sequences(x, 2, 1),
    "sum": lambda x: ops.sum(x, axis=(1, 2)),
    "sum_kept": lambda x: ops.sum(x, axis=-1, keepdims=True) + x,
    "mean": lambda x: ops.mean(x, axis=1),
    "average": lambda x: ops.average(x, axis=1, weights=V3),
    "moments": lambda x: ops.moments(x, axes=[1])[0],
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "diff": lambda x: ops.diff(x, n=2, axis=2),
    "trapezoid": lambda x: ops.trapezoid(x, dx=0.5, axis=1),
    "max_of_one": lambda x: ops.max(x[:, :1], axis=1) + ops.min(x[:, 1:2], axis=1),
    "prod_of_one": lambda x: ops.prod(x[:, :1], axis=1),
    "matmul": lambda x: ops.matmul(x, M42),
    "matmul_left": lambda x: ops.matmul(M33, x),
    "at": lambda x: x @ M42,
    "dot": lambda x: ops.dot(x, M42),
    "inner": lambda x: ops.inner(x, M34),
    "tensordot": lambda x: ops.tensordot(x, M34, axes=[[1, 2], [0, 1]]),
    "tensordot_one": lambda x: ops.tensordot(x, M42, axes=1),
    "einsum": lambda x: ops.einsum("bij,jk->bki", x, M42),
    "einsum_ellipsis": lambda x: ops.einsum("...j,jk->...k", x, M42),
    "einsum_sum": lambda x: ops.einsum("bij->bj", x),
    "cross": lambda x: ops.cross(ops.transpose(x, (0, 2, 1)), V3),
    "rfft": lambda x: ops.rfft(x)[1],
    "rfft_length": lambda x: ops.rfft(x, fft_length=6)[0],
    "fft": lambda x: ops.fft((x, 2.0 * x))[0],
    "fft2": lambda x: ops.fft2((x, x))[1],
    "ifft2": lambda x: ops.ifft2((x, -x))[0],
    "irfft": lambda x: ops.irfft((x, 0.5 * x), fft_length=5),
    "slice_update": lambda x: ops.concatenate([x[:, :1], 2.0 * x[:, 1:]], axis=1),
    "softmax_of_one": lambda x: ops.softmax(x[:, :1], axis=1) + x[:, 1:2],
    "round_trip": lambda x: ops.log(ops.exp(x)),
    "patches": lambda x: ops.image.extract_patches(x[..., None], (2, 2), strides=1),
    "patches_same": lambda x: ops.image.extract_patches(x[..., None], 2, padding="same"),
    "grey": lambda x: ops.image.rgb_to_grayscale(ops.transpose(x, (0, 2, 1))[..., None, :]),
    "blur": lambda x: ops.image.gaussian_blur(x[..., None], (3, 3), (0.7, 1.3)),
    "edges": lambda x: ops.image.sobel_edges(x[..., None]),
    "pad_images": lambda x: ops.image.pad_images(
        x[..., None], 1, 2, target_height=6, target_width=7
    ),
    "crop_images": lambda x: ops.image.crop_images(
        x[..., None], top_cropping=1, left_cropping=1, target_height=2, target_width=2
    ),
    "space_to_depth": lambda x: ops.nn.space_to_depth(x[:, :2, :, None], 2),
    "depth_to_space": lambda x: ops.nn.depth_to_space(x[:, :, None, :], 2),
    "unfold": lambda x: ops.nn.unfold(x[:, None], 2, padding=1),
    "fold": lambda x: ops.nn.fold(ops.reshape(x, (-1, 4, 3)), output_size=(2, 4), kernel_size=2),
}

#: Likewise, and not affine.
REFUSED: dict[str, Callable] = {
    "square": ops.square,
    "power_two": lambda x: x**2,
    "product": lambda x: x * x,
    "matmul_self": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "quotient": lambda x: 1.0 / (x + 20.0),
    "absolute": ops.absolute,
    "relu": ops.relu,
    "gelu": ops.gelu,
    "silu": ops.silu,
    "leaky_relu": lambda x: ops.leaky_relu(x, negative_slope=0.1),
    "clip": lambda x: ops.clip(x, -1.0, 1.0),
    "maximum": lambda x: ops.maximum(x, 0.5),
    "minimum_self": lambda x: ops.minimum(x, 2.0 * x),
    "max": lambda x: ops.max(x, axis=1),
    "sort": lambda x: ops.sort(x, axis=1),
    "std": lambda x: ops.std(x, axis=1),
    "norm": lambda x: ops.norm(x, axis=1),
    "floor": ops.floor,
    "mod": lambda x: x % 2.0,
    "floor_divide": lambda x: x // 2.0,
    "sin": ops.sin,
    "sqrt": lambda x: ops.sqrt(ops.exp(x)),
    "where": lambda x: ops.where(x > 0.0, x, 0.0),
    "threshold": lambda x: ops.cast(x > 0.0, "float64") * x,
    "cast_and_back": lambda x: ops.cast(ops.cast(x, "int32"), "float64"),
    "exp_inside": lambda x: ops.exp(x) + x,
    "sum_of_rows": lambda x: x + ops.sum(x, axis=0, keepdims=True),
    "mean_of_rows": lambda x: x - ops.mean(x, axis=0, keepdims=True),
    "flip_rows": lambda x: ops.flip(x, axis=0),
    "roll_rows": lambda x: ops.roll(x, 6, axis=0),
    "cumsum_rows": lambda x: ops.cumsum(x, axis=0),
    "first_row": lambda x: x - x[:1, ...],
    "layer_norm": lambda x: ops.normalize(x, axis=-1),
    "logsumexp": lambda x: ops.logsumexp(x, axis=1),
    "softmax_inside": lambda x: ops.softmax(x, axis=1) * x,
    "cumprod": lambda x: ops.cumprod(x, axis=1),
    "top_k": lambda x: ops.top_k(x, 2)[0],
}

#: Behind a link, with its name.
LINKED: dict[str, tuple[Callable, str]] = {
    "sigmoid": (ops.sigmoid, "logit"),
    "sigmoid_spelled": (lambda x: 1.0 / (1.0 + ops.exp(-x)), "logit"),
    "tanh_spelled": (lambda x: 0.5 * (1.0 + ops.tanh(x / 2.0)), "logit"),
    "softmax": (lambda x: ops.softmax(x, axis=-1), "softmax"),
    "softmax_spelled": (
        lambda x: ops.exp(x) / ops.sum(ops.exp(x), axis=-1, keepdims=True),
        "softmax",
    ),
    "softmax_shifted": (
        lambda x: (lambda e: e / ops.sum(e, axis=-1, keepdims=True))(
            ops.exp(x - ops.max(x, axis=-1, keepdims=True))
        ),
        "softmax",
    ),
    "exp": (ops.exp, "log"),
    "expm1": (lambda x: ops.expm1(x) + 1.0, "log"),
    "erf": (lambda x: 0.5 * (1.0 + ops.erf(x / np.sqrt(2.0))), "probit"),
    "erfc": (lambda x: 0.5 * ops.erfc(-x / np.sqrt(2.0)), "probit"),
    "cloglog": (lambda x: 1.0 - ops.exp(-ops.exp(x)), "cloglog"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One model with all of it: {kind: (names, Keras outputs)} and the two files."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    folder = tmp_path_factory.mktemp("ops")
    points = np.random.default_rng(3).uniform(-1.5, 1.5, (5, 3, 4))
    made = {}
    for kind, cases in (
        ("affine", AFFINE),
        ("refused", REFUSED),
        ("linked", {name: function for name, (function, _) in LINKED.items()}),
    ):
        x = keras.Input((3, 4), name="x")
        outputs = [
            keras.layers.Identity(name=f"out_{name}")(function(x))
            for name, function in cases.items()
        ]
        model = keras.Model(x, outputs)
        paths = [folder / f"{kind}.{suffix}" for suffix in ("keras", "h5")]
        for path in paths:
            model.save(path)
        values = model.predict(points, verbose=0)
        made[kind] = dict(zip(cases, values, strict=True)), paths
    return points, made


@pytest.mark.parametrize("place", [0, 1], ids=["keras", "h5"])
@pytest.mark.parametrize("name", AFFINE)
def test_affine(saved, name, place):
    points, made = saved
    values, paths = made["affine"]
    folded = converter.fold(paths[place], output=list(AFFINE).index(name))
    assert folded.link == "identity"
    expected = values[name].reshape(5, -1)
    np.testing.assert_allclose(folded.predict(points), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(saved, name):
    _, made = saved
    _, paths = made["refused"]
    place = list(REFUSED).index(name)
    for path in paths:
        found = converter.inspect(path, output=place)
        assert found.verdict == "rejected", name
        assert found.findings


@pytest.mark.parametrize("place", [0, 1], ids=["keras", "h5"])
@pytest.mark.parametrize("name", LINKED)
def test_linked(saved, name, place):
    points, made = saved
    values, paths = made["linked"]
    folded = converter.fold(paths[place], output=list(LINKED).index(name))
    assert folded.link == LINKED[name][1]
    expected = values[name].reshape(5, -1)
    np.testing.assert_allclose(folded.predict(points), expected, rtol=1e-9, atol=1e-9)


def test_a_code_may_be_cast_and_looked_up(tmp_path):
    x = keras.Input((2,), name="x")
    hot = ops.one_hot(ops.cast(x[:, 0], "int32"), 3)
    table = ops.take(np.arange(6.0).reshape(3, 2), ops.cast(x[:, 1], "int64"), axis=0)
    model = keras.Model(x, ops.concatenate([hot, table], axis=-1))
    model.save(tmp_path / "m.keras")
    raw = np.array([[0.0, 2.0], [2.0, 1.0], [1.0, 0.0]])
    folded = converter.fold(tmp_path / "m.keras")
    assert folded.feature_names == tuple(f"C(x[{i}])[{j}]" for i in range(2) for j in range(3))
    np.testing.assert_allclose(folded.predict(raw), model.predict(raw, verbose=0))


def test_small_integers_wrap_around_until_they_are_floats(tmp_path):
    x = keras.Input((3,), dtype="uint8", name="x")
    scaled = keras.layers.Rescaling(1.0 / 255.0)(x)
    keras.Model(x, keras.layers.Dense(1)(scaled)).save(tmp_path / "good.keras")
    assert converter.inspect(tmp_path / "good.keras").verdict == "affine"
    keras.Model(x, ops.add(x, x)).save(tmp_path / "bad.keras")
    (finding,) = converter.inspect(tmp_path / "bad.keras").findings
    assert "wrap around" in finding.reason


def test_every_operation_of_keras_has_an_entry():
    import importlib
    import inspect
    import pkgutil

    import keras.src.ops
    from keras.src.ops.operation import Operation

    from converter.semantics.keras.ops import OPERATORS

    names = set()
    for module in pkgutil.iter_modules(keras.src.ops.__path__):
        if module.name.endswith("_test"):
            continue
        inside = vars(importlib.import_module(f"keras.src.ops.{module.name}"))
        names |= {
            name
            for name, one in inside.items()
            if inspect.isclass(one) and issubclass(one, Operation) and one is not Operation
        }
    # What is imported there from elsewhere: layers, the functions of whole models.
    names = {name for name in names if name not in ("Layer", "Functional")}
    assert len(names) > 300
    assert not sorted(names - set(OPERATORS))
    for name, layer in OPERATORS.items():
        assert layer.function is not None or layer.refusal, name


#: Applied to whole numbers of shape (rows, 4, 4, 1): Keras rounds, cuts off or wraps what some
#: types do not hold.
OF_WHOLE_NUMBERS: dict[str, Callable] = {
    "full_like": lambda x: ops.full_like(x, 2.5) + x,
    "full_like_array": lambda x: ops.full_like(x, np.array([[[1.5], [-2.7], [3.2], [0.9]]])) + x,
    "full_like_named": lambda x: ops.full_like(x, 2.5, dtype="float32") + ops.cast(x, "float32"),
    "full_like_traced": lambda x: ops.full_like(ops.cast(x, "float32"), x[:, :1]) * 0.5,
    "full_like_cut": lambda x: ops.full_like(x, ops.cast(x[:, :1], "float32") * 0.5),
    "full_like_cut_by_name": lambda x: ops.full_like(
        ops.ones_like(x), 0.5 * ops.cast(x, "float32"), dtype="int32"
    ),
    "full_like_refused": lambda x: ops.full_like(ops.relu(x), 2.5) + x,
    "ones_like": lambda x: ops.ones_like(x) + x,
    "zeros_like": lambda x: ops.zeros_like(x) + 2.5 * ops.cast(x, "float32"),
    "divided_ones": lambda x: ops.ones_like(x) / 2 + ops.cast(x, "float32"),
    "resize": lambda x: ops.image.resize(x, (3, 5)),
    "resize_cubic": lambda x: ops.image.resize(x, (3, 5), interpolation="bicubic"),
    "resize_lanczos": lambda x: ops.image.resize(x, (3, 5), interpolation="lanczos3"),
    "resize_area": lambda x: ops.image.resize(x, (3, 5), interpolation="area"),
    "resize_nearest": lambda x: ops.image.resize(x, (3, 5), interpolation="nearest"),
    "grey": lambda x: ops.image.rgb_to_grayscale(ops.tile(x, (1, 1, 1, 3))),
    "grey_of_grey": ops.image.rgb_to_grayscale,
    "batch_normalization": lambda x: ops.nn.batch_normalization(
        x, np.array([0.5], "float32"), np.array([0.5], "float32"), axis=-1
    ),
}
_WHOLE_AFFINE = frozenset({"full_like_named", "full_like_traced", "resize_nearest", "grey_of_grey"})
_WIDE_AFFINE = frozenset(
    {"full_like", "full_like_array", "ones_like", "zeros_like", "divided_ones"}
)


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "uint8", "uint32"])
@pytest.mark.parametrize("name", OF_WHOLE_NUMBERS)
def test_whole_numbers_stay_what_keras_makes_of_them(tmp_path, name, dtype):
    x = keras.Input((4, 4, 1), dtype=dtype, name="x")
    try:
        model = keras.Model(x, OF_WHOLE_NUMBERS[name](x))
        points = np.random.default_rng(2).integers(0, 101, (6, 4, 4, 1)).astype(dtype)
        expected = np.asarray(model(points), dtype=np.float64).reshape(6, -1)
    except (TypeError, tf.errors.OpError):
        pytest.skip("TensorFlow has no such operation for this type")
    wide = dtype in ("int32", "int64")
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
        found = converter.inspect(tmp_path / f"m.{suffix}")
        accepted = name in _WHOLE_AFFINE or (wide and name in _WIDE_AFFINE)
        assert (found.verdict == "affine") == accepted, found.findings
        if accepted:
            folded = converter.fold(tmp_path / f"m.{suffix}")
            np.testing.assert_allclose(folded.predict(points), expected, rtol=0, atol=1e-4)


def test_a_number_that_a_type_does_not_hold_is_refused(tmp_path):
    x = keras.Input((2,), name="x")
    big = ops.cast(ops.full_like(x, 300.5), "uint8")
    keras.Model(x, x + ops.cast(big, "float32")).save(tmp_path / "m.keras")
    (finding,) = converter.inspect(tmp_path / "m.keras").findings
    assert "does not hold" in finding.reason


@pytest.mark.parametrize(
    "after",
    [
        *(ops.relu, ops.elu, ops.celu, ops.relu6, ops.hard_tanh, ops.leaky_relu, ops.abs),
        *(lambda p: ops.clip(p, 0.0, 1.0), lambda p: ops.maximum(p, 0.0)),
        *(lambda p: layers.ReLU(max_value=1.0)(p), lambda p: layers.ELU()(p)),
        *(lambda p: layers.LeakyReLU()(p), lambda p: layers.PReLU()(p)),
        *(lambda p: layers.Activation("relu")(p), lambda p: layers.Activation("elu")(p)),
    ],
)
@pytest.mark.parametrize("suffix", ["keras", "saved_model"])
def test_what_does_not_bend_a_probability(tmp_path, after, suffix):
    x = keras.Input((3,), name="x")
    model = keras.Model(x, after(layers.Dense(2, activation="sigmoid")(x)))
    path = tmp_path / f"m.{suffix}"
    model.save(path) if suffix == "keras" else model.export(path, verbose=False)
    folded = converter.fold(path)
    data = np.random.default_rng(3).normal(size=(6, 3))
    assert folded.link == "logit"
    np.testing.assert_allclose(folded.predict(data), np.asarray(model(data)), atol=1e-6)


@pytest.mark.parametrize(
    "after",
    [
        *(lambda p: layers.ReLU(max_value=0.5)(p), lambda p: layers.ReLU(threshold=0.5)(p)),
        lambda p: layers.Activation("gelu")(p),
        *(lambda p: ops.clip(p, 0.1, 1.0), lambda p: ops.relu(p - 0.5), lambda p: ops.relu6(8 * p)),
    ],
)
def test_what_bends_a_probability(tmp_path, after):
    x = keras.Input((3,), name="x")
    model = keras.Model(x, after(layers.Dense(2, activation="sigmoid")(x)))
    model.save(tmp_path / "m.keras")
    with pytest.raises(converter.Rejected):
        converter.fold(tmp_path / "m.keras")
