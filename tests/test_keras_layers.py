"""Every layer with many arguments: accepted where Keras' numbers are affine, and nowhere else."""

from __future__ import annotations

import inspect

import keras
import keras_layers
import numpy as np
import pytest
from keras import layers

import converter
from converter.formats.keras_config import _RUNS_CODE
from converter.formats.keras_weights import roles
from converter.formats.keras_wrappers import WRAPPERS
from converter.semantics.keras import LAYERS, activations


def _values(model, points):
    return np.asarray(model(points, training=False), dtype=np.float64).reshape(len(points), -1)


def _is_affine(model, shape, tolerance):
    """Tell whether differences do not depend on where they are taken, near zero and far from it."""
    rng = np.random.default_rng(11)
    for scale in (0.01, 1.0, 100.0):
        a, b = rng.normal(size=(2, 4, *shape)) * scale
        values = _values(model, np.concatenate([a, b, a + b, np.zeros_like(a)]))
        of_a, of_b, of_both, of_none = np.split(values, 4)
        size = max(np.abs(values - of_none[0]).max(), 1e-300)
        if np.abs(of_both - of_a - of_b + of_none).max() > max(100 * tolerance, 1e-6) * size:
            return False
    return True


@pytest.mark.parametrize("name", keras_layers.CASES)
def test_accepted_just_where_it_is_affine(name, tmp_path):
    case = keras_layers.CASES[name]
    model = keras_layers.build(case)
    runs = keras_layers.runnable(model)
    size = int(np.prod(case.shape))
    points = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *case.shape)
    affine = _is_affine(runs, case.shape, case.tolerance)
    values = _values(runs, points)
    for suffix in case.formats:
        path = tmp_path / f"model.{suffix}"
        model.save(path)
        found = converter.inspect(path)
        assert (found.verdict == "affine") == affine, (suffix, found.findings)
        if affine:
            folded = converter.fold(path)
            expected = (values[1:] - values[0]).T
            scale = max(np.abs(expected).max(), 1e-300)
            assert np.abs(folded.coef - expected).max() <= case.tolerance * scale
            largest = max(np.abs(values[0]).max(), scale)
            assert np.abs(folded.intercept - values[0]).max() <= case.tolerance * largest


#: Layers that turn codes into numbers; their meaning is in the codes' indicators.
CATEGORICAL = frozenset(
    {
        *("CategoryEncoding", "Discretization", "Embedding", "HashedCrossing", "Hashing"),
        *("IntegerLookup", "ReversibleEmbedding", "StringLookup", "TextVectorization"),
    }
)
#: What is public and no layer that a file could hold; inputs are the reader's.
NO_LAYERS = frozenset({"InputLayer", "InputSpec", "Layer", "Wrapper"})

PUBLIC = sorted(
    {one.__name__ for one in vars(layers).values() if inspect.isclass(one)}
    - CATEGORICAL
    - NO_LAYERS
)


def test_every_layer_of_codes_has_an_entry():
    assert {name for name in CATEGORICAL if hasattr(layers, name)} <= set(LAYERS)
    assert all(roles(name, {}) is not None for name in CATEGORICAL)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_layer_has_an_entry(name):
    layer = LAYERS.get(name)
    assert layer is not None or name in WRAPPERS or name in _RUNS_CODE
    if layer is not None and layer.function is None:
        assert layer.refusal
    elif layer is not None:
        assert roles(name, {}) is not None, "accepted, but its weights are not known"


@pytest.mark.parametrize(
    "name", [one for one in vars(keras.activations) if not one.startswith("_")]
)
def test_every_activation_has_an_entry(name):
    if name not in ("deserialize", "get", "serialize", "linear"):
        assert name in activations.LINKS or activations.NONLINEAR[name]


def _verdict(tmp_path, model, suffix="keras"):
    path = tmp_path / f"one.{suffix}"
    model.save(path)
    return converter.inspect(path)


def _sequential(shape, *parts, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *parts])


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    ("activation", "link"),
    [("sigmoid", "logit"), ("softmax", "softmax"), ("exponential", "log")],
)
def test_links_at_the_end_of_any_layer(tmp_path, activation, link, suffix):
    for parts in (
        [layers.Conv1D(3, 2, activation=activation), layers.Flatten()],
        [layers.EinsumDense("abc,cd->abd", output_shape=(None, 2), activation=activation)],
        [layers.Activation(getattr(keras.activations, activation))],
        [layers.SimpleRNN(2, activation="linear"), layers.Dense(3, activation=activation)],
    ):
        found = _verdict(tmp_path, _sequential((4, 2), *parts), suffix)
        assert (found.verdict, found.link) == ("linked", link)
    found = _verdict(tmp_path, _sequential((4,), layers.Dense(3, activation=layers.Softmax())))
    assert (found.verdict, found.link) == ("linked", "softmax")


def test_a_log_softmax_is_refused_with_its_remedy(tmp_path):
    found = _verdict(tmp_path, _sequential((4,), layers.Dense(3, activation="log_softmax")))
    assert "add an Exp behind it" in found.findings[0].reason


def test_a_bias_that_tensorflow_adds_along_another_axis_is_refused(tmp_path):
    first = {"data_format": "channels_first"}
    model = _sequential((2, 4), layers.DepthwiseConv1D(2, **first, depth_multiplier=1))
    assert _verdict(tmp_path, model).verdict == "affine"  # a bias of zeros is the same everywhere
    model = _sequential((3, 4), layers.DepthwiseConv1D(2, bias_initializer="normal", **first))
    (finding,) = _verdict(tmp_path, model).findings
    assert "differently on TensorFlow" in finding.reason
    inputs = keras.Input((3, 3))
    model = keras.Model(inputs, inputs + np.array([[1.0], [2.0], [3.0]]))
    points = np.random.default_rng(0).normal(size=(2, 3, 3))
    assert not np.allclose(model(points), points + np.array([[1.0], [2.0], [3.0]]))
    (finding,) = _verdict(tmp_path, model).findings
    assert "differently on TensorFlow" in finding.reason


def test_whole_numbers_are_made_floating_point_ones(tmp_path):
    for part in (layers.Rescaling(1 / 255), layers.Dense(2), layers.RandomFlip()):
        model = _sequential((2, 2, 3), part, layers.Flatten(), layers.Dense(1), dtype="uint8")
        path = tmp_path / "one.keras"
        model.save(path)
        points = np.arange(24).reshape(2, 2, 2, 3).astype("uint8")
        np.testing.assert_allclose(
            converter.fold(path).predict(points.astype(float)),
            model.predict(points, verbose=0),
            rtol=1e-5,
        )


@pytest.mark.parametrize(
    ("make", "accepted"),
    [
        (lambda x: layers.Resizing(2, 2)(x), False),  # rounds
        (lambda x: layers.Resizing(4, 4)(x), True),
        (lambda x: layers.Resizing(2, 2, interpolation="nearest")(x), True),
        (lambda x: layers.ZeroPadding2D()(x) * 2, False),  # wraps around
        (lambda x: layers.RandomFlip()(x) * 2, True),
        (lambda x: layers.CenterCrop(2, 2)(x) * 2, True),
        (lambda x: layers.Reshape((16,))(x) * 2, False),
        (lambda x: layers.Dropout(0.5)(x) * 2, False),
        (lambda x: layers.GlobalAveragePooling2D()(x) * 2, True),
        (lambda x: layers.SpectralNormalization(layers.Dense(2))(x), False),  # casts back
    ],
)
def test_what_rounds_or_wraps_whole_numbers_is_refused(tmp_path, make, accepted):
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    outputs = layers.Dense(1)(layers.Flatten()(make(inputs)))
    assert (_verdict(tmp_path, keras.Model(inputs, outputs)).verdict == "affine") == accepted


@pytest.mark.parametrize(
    ("shape", "make", "reason"),
    [
        ((8, 8, 3), lambda: layers.RandomCrop(4, 4), "in some versions of Keras"),
        ((8, 3), lambda: layers.Resizing(4, 4), "one picture"),
        ((4,), lambda: layers.Dense(2, activation=layers.PReLU()), "does not say its alpha"),
        ((4, 2), lambda: layers.Masking(1.0), "depends on the input"),
        ((4,), lambda: layers.Dense(2, activation=lambda x: x), "custom activation"),
        ((4,), lambda: layers.LayerNormalization(), "statistics of the values"),
        ((4, 2), lambda: layers.LSTM(2), "gated recurrent"),
        ((8, 8, 3), lambda: layers.AutoContrast(), "statistics of their own"),
    ],
)
def test_refusals_give_the_reason(tmp_path, shape, make, reason):
    (finding,) = _verdict(tmp_path, _sequential(shape, make())).findings
    assert reason in finding.reason


def _edited(tmp_path, model, change):
    """Save a model, with the first layer's record changed."""
    import json
    import zipfile

    path, edited = tmp_path / "one.keras", tmp_path / "edited.keras"
    model.save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(edited, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                record = json.loads(content)
                change(record["config"]["layers"][1])
                content = json.dumps(record).encode()
            new.writestr(name, content)
    return converter.inspect(edited)


_LEAKY = {
    "module": "keras.layers",
    "class_name": "LeakyReLU",
    "config": {"name": "a", "negative_slope": 1.0},
    "registered_name": None,
}
_FUNCTION = {
    "module": "builtins",
    "class_name": "function",
    "config": "linear",
    "registered_name": "function",
}


@pytest.mark.parametrize(
    ("activation", "affine"),
    [
        (_LEAKY, True),
        (_FUNCTION, True),
        ({"class_name": "LeakyReLU", "config": {"alpha": 1.0}}, True),  # as Keras 2 has it
        ({**_LEAKY, "module": "somewhere"}, False),
        ({**_LEAKY, "registered_name": "somewhere>LeakyReLU"}, False),
        ({**_LEAKY, "config": {"negative_slope": 1.0, "more": 2}}, False),
        ({**_FUNCTION, "config": "somewhere>linear"}, False),
        ({**_FUNCTION, "registered_name": "somewhere>linear"}, False),
        ({**_FUNCTION, "module": "somewhere"}, False),
        ({**_FUNCTION, "config": "relu"}, False),
        ({**_FUNCTION, "config": "identity"}, False),
        ("identity", False),
        (1, False),
    ],
)
def test_an_activation_is_believed_where_it_is_keras_own(tmp_path, activation, affine):
    model = _sequential((3,), layers.Dense(2), layers.Dense(1))
    found = _edited(tmp_path, model, lambda r: r["config"].update(activation=activation))
    assert (found.verdict == "affine") == affine


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"groups": 3, "unheard_of": 1}, "unheard_of"),
        ({"padding": "full"}, "unknown padding"),
        ({"data_format": "channels_middle"}, "unknown data format"),
        ({"dtype": "int8_from_float32"}, "rounds what it is given to int8"),
        ({"dtype": {"class_name": "OddPolicy", "config": {}}}, "OddPolicy"),
    ],
)
def test_settings_that_are_not_known_are_refused(tmp_path, change, reason):
    model = _sequential((5, 2), layers.Conv1D(2, 2), layers.Flatten(), layers.Dense(1))
    found = _edited(tmp_path, model, lambda r: r["config"].update(change))
    assert reason in found.findings[0].reason


def test_dropout_that_is_told_to_train_is_refused_and_a_random_layers_default_is_not(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.RandomFlip()(inputs, training=True))
    assert _verdict(tmp_path, model).verdict == "affine"  # Keras 3 writes that down for all
    model = keras.Model(inputs, layers.Dropout(0.5)(inputs, training=True))
    assert _verdict(tmp_path, model).verdict == "rejected"


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "parts",
    [
        lambda: [keras.Sequential([layers.GlobalAveragePooling1D()])],
        lambda: [keras.Sequential([layers.Dense(2), layers.SimpleRNN(2, activation="linear")])],
        lambda: [keras.Sequential([layers.Dense(2)]), layers.GlobalAveragePooling1D()],
    ],
)
def test_a_mask_that_is_read_in_a_nested_model_is_refused(tmp_path, parts, suffix):
    outputs = layers.Masking()(inputs := keras.Input((3, 2)))
    for part in parts():
        outputs = part(outputs)
    (finding,) = _verdict(tmp_path, keras.Model(inputs, outputs), suffix).findings
    assert "reads a mask" in finding.reason


@pytest.mark.parametrize("equation", ["abc,cd->abz", "abc,cd->abb", "...bc,cd->...bz"])
def test_an_equation_that_makes_an_axis_of_nothing_is_an_error(tmp_path, equation):
    model = _sequential((3, 4), layers.EinsumDense("abc,cd->abd", output_shape=(None, 4)))
    with pytest.raises(converter.errors.ModelFileError, match="makes an axis twice or of nothing"):
        _edited(tmp_path, model, lambda r: r["config"].update(equation=equation))


def _constant(tmp_path, kind, value, dtype):
    """Fold ``x + constant``, the constant written into the file's call."""
    from keras import ops

    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, ops.add(inputs, np.array([1.0, 2.0])))
    constant = {"class_name": kind, "config": {"value": value, "dtype": dtype}}

    def change(record):
        record["inbound_nodes"][0]["args"][1] = constant

    _edited(tmp_path, model, change)
    return converter.fold(tmp_path / "edited.keras")


@pytest.mark.parametrize("kind", ["__numpy__", "__tensor__"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_constants_of_a_call_have_the_type_that_the_file_says(tmp_path, kind, dtype):
    folded = _constant(tmp_path, kind, [3.14159, -0.1], dtype)
    expected = np.asarray(keras.ops.convert_to_tensor([3.14159, -0.1], dtype), dtype=np.float64)
    np.testing.assert_array_equal(folded.intercept, expected)


@pytest.mark.parametrize("kind", ["__numpy__", "__tensor__"])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([2.5, 1.0], "float99"),
        ([2.5, 1.0], "object"),
        ([2.5, 1.0], "M8[ns]"),
        ([2.5, 1.0], None),
        ([2.5, 1.0], ["float32"]),
        (["2.5", "1.0"], "float32"),
        ([300, 1], "uint8"),
        ([None, 1.0], "float32"),
        ([[1.0], [1.0, 2.0]], "float32"),
    ],
)
def test_constants_that_keras_does_not_write_are_errors(tmp_path, kind, value, dtype):
    with pytest.raises(converter.errors.ModelFileError, match="constant"):
        _constant(tmp_path, kind, value, dtype)


@pytest.mark.parametrize("dims", [[-1, 1], [0, 1], [1, 1], [1]])
def test_a_permutation_names_each_axis_once(tmp_path, dims):
    model = _sequential((2, 3), layers.Permute((2, 1)))
    with pytest.raises(converter.errors.ModelFileError, match="each axis once"):
        _edited(tmp_path, model, lambda r: r["config"].update(dims=dims))


@pytest.mark.parametrize("group_size", [-1, 2])
@pytest.mark.parametrize(("mode", "bits"), [("gptq", 3), ("gptq", 4), ("gptq", 8), ("awq", 4)])
@pytest.mark.parametrize("kind", ["Dense", "EinsumDense", "EinsumDense-output"])
def test_calibrated_kernels(tmp_path, kind, mode, bits, group_size):
    shape, layer = {
        "Dense": ((5,), layers.Dense(3)),
        "EinsumDense": ((2, 6), _einsum("abc,cde->abde", (None, 2, 3), "de")),
        "EinsumDense-output": ((2, 3, 2), _einsum("abcd,cde->abe", (None, 7), "e")),
    }[kind]
    model = _sequential(shape, layer)
    settings = {"dataset": None, "tokenizer": None, "group_size": group_size}
    if mode == "gptq":
        config = keras.quantizers.GPTQConfig(weight_bits=bits, **settings)
    else:
        config = keras.quantizers.AWQConfig(**settings)
    layer.quantize(mode, config=config)
    rng = np.random.default_rng(2)
    rows = layer.g_idx.shape[0]
    values = {
        "quantized_kernel": rng.integers(0, 256 if bits != 3 else 8, layer.quantized_kernel.shape),
        "kernel_scale": rng.uniform(0.1, 1.0, layer.kernel_scale.shape),
        "kernel_zero": rng.integers(0, 8, layer.kernel_zero.shape),
        "g_idx": np.arange(rows) // group_size if group_size > 0 else np.zeros(rows),
        "bias": rng.normal(size=layer.bias.shape),
    }
    if mode == "awq":
        values["awq_scales"] = rng.uniform(0.5, 2.0, layer.awq_scales.shape)
    for name, one in values.items():
        getattr(layer, name).assign(one)
    setattr(layer, f"is_{mode}_calibrated", True)
    # Keras 3.15 forgets the zero points, and cannot read such a file itself.
    layer._get_kernel_with_merged_lora = lambda: (layer.kernel, None, layer.kernel_zero)
    path = tmp_path / "one.keras"
    model.save(path)
    points = rng.normal(size=(4, *shape))
    np.testing.assert_allclose(
        converter.fold(path).predict(points), _values(model, points), rtol=1e-5, atol=1e-4
    )


def _einsum(equation, output_shape, bias_axes):
    return layers.EinsumDense(equation, output_shape=output_shape, bias_axes=bias_axes)


@pytest.mark.parametrize(
    ("shape", "make", "change"),
    [
        ((5, 2), lambda: layers.Conv1D(2, 2, padding="causal"), {"dilation_rate": [1 << 30]}),
        ((5, 2), lambda: layers.UpSampling1D(2), {"size": 1 << 40}),
        ((5, 2), lambda: layers.ZeroPadding1D(2), {"padding": [0, 1 << 40]}),
        ((5,), lambda: layers.RepeatVector(2), {"n": 1 << 40}),
        ((5, 4, 2), lambda: layers.Resizing(2, 2), {"height": 1 << 40}),
        ((5, 4, 2), lambda: layers.AveragePooling2D(2), {"pool_size": [1 << 30, 1 << 30]}),
        ((5, 2), lambda: layers.AdaptiveAveragePooling1D(2), {"output_size": [1 << 40]}),
        ((5, 2), lambda: layers.Conv1DTranspose(2, 2), {"strides": [1 << 30]}),
    ],
)
def test_sizes_are_bounded_before_anything_is_made(tmp_path, shape, make, change):
    with pytest.raises(converter.ModelFileError):
        _edited(tmp_path, _sequential(shape, make()), lambda r: r["config"].update(change))


#: What a graph spells out in a form that is not recognised, or draws random numbers even then.
_BY_ITS_CLASS_ALONE = ("Masking", "PReLU", "Random", "Solarization", "Pipeline", "CutMix", "MixUp")


def _exported(name, folder):
    case = keras_layers.CASES[name]
    model = keras_layers.build(case)
    model.save(folder / "model.keras")
    try:
        model.export(str(folder / "export"), verbose=False)
    except (TypeError, ValueError) as error:
        # Where the number of rows is open, or in float64, some layers cannot be traced.
        pytest.skip(f"Keras cannot export it: {str(error)[:60]}")
    found = converter.inspect(folder / "export")
    plain = converter.inspect(folder / "model.keras")
    if name == "Dense-int4-lora":
        assert found.verdict == plain.verdict  # saving rounds the merged kernel again
        return
    if plain.verdict == "rejected" or name.startswith(_BY_ITS_CLASS_ALONE):
        assert found.verdict in ("rejected", plain.verdict)
        return
    assert found.verdict == plain.verdict, found.findings
    one, other = converter.fold(folder / "model.keras"), converter.fold(folder / "export")
    for mine, theirs in ((one.coef, other.coef), (one.intercept, other.intercept)):
        scale = max(np.abs(one.coef).max(), np.abs(mine).max(), 1e-300)
        assert np.abs(mine - theirs).max() <= max(case.tolerance, 1e-9) * scale


# One with channels in front for each that has them at the end: the step is odd.
@pytest.mark.parametrize("name", list(keras_layers.CASES)[::17])
def test_exports_as_saved_models_agree(name, tmp_path):
    _exported(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", keras_layers.CASES)
def test_all_exports_as_saved_models_agree(name, tmp_path):
    _exported(name, tmp_path)
