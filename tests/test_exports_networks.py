"""Exports as networks: another runtime computes the same, and folding gives the model back."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace

import hostile
import numpy as np
import onnx
import pytest
from conftest import FIXTURES
from models import affine

import converter

RNG = np.random.default_rng(11)
GROUPED = replace(
    affine(RNG.normal(size=(5, 3)), RNG.normal(size=5), link="softmax", family="multinomial"),
    groups=(0, 1, 0, 1, 1),
)
GRID = replace(
    affine(RNG.normal(size=(6, 3)), RNG.normal(size=6), link="softmax", family="multinomial"),
    groups=(0, 0, 0, 1, 1, 1),
    output_names=tuple(f"grid[{i},{j}]" for i in range(2) for j in range(3)),
)
MIXED = replace(
    affine(RNG.normal(size=(3, 2)), 0.0),
    intercept=np.array([0.0, 1.5, 0.0]),
    has_intercept=np.array([False, True, False]),
)
MODELS = {
    "fixture": lambda: converter.fold(FIXTURES / "longley_linear.keras"),
    "logistic": lambda: converter.fold(FIXTURES / "spector_logistic.keras"),
    "from logits": lambda: converter.fold(FIXTURES / "fair_from_logits.keras"),
    **{
        link: lambda link=link, family=family, n=n: hostile.model(
            link, family, n, groups=(0,) * n if link == "softmax" else None
        )
        for link, family, n in (
            ("identity", "gaussian", 2),
            ("logit", "binomial", 2),
            ("softmax", "multinomial", 3),
            ("log", "poisson", 1),
            ("probit", "binomial", 1),
            ("cloglog", "binomial", 2),
        )
    },
    "two softmaxes, shuffled": lambda: GROUPED,
    "a grid of softmaxes": lambda: GRID,
    "no intercept": lambda: affine(RNG.normal(size=(2, 4))),
    "some intercepts": lambda: MIXED,
    "pictures": lambda: replace(
        affine(RNG.normal(size=(1, 6)), 1.0),
        inputs=(("picture", (2, 2)), ("x", ()), ("z", (1,))),
        feature_names=(*(f"picture[{i},{j}]" for i in range(2) for j in range(2)), "x", "z"),
    ),
}
KERAS = [name for name in MODELS if name not in ("probit", "cloglog", "two softmaxes, shuffled")]


def _inputs(model, rows: int = 40, dtype: str = "float64") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    # Far enough for links to saturate.
    return {
        name: rng.normal(
            scale=rng.choice([0.1, 3.0], size=(rows,) + (1,) * len(shape)), size=(rows, *shape)
        ).astype(dtype)
        for name, shape in model.inputs
    }


def _same(read, model, names: bool = True) -> None:
    np.testing.assert_array_equal(read.coef, model.coef)
    np.testing.assert_array_equal(read.intercept, model.intercept)
    np.testing.assert_array_equal(read.has_intercept, model.has_intercept)
    assert read.link == model.link
    if model.link == "softmax":
        same = np.equal.outer(model.groups, model.groups)
        np.testing.assert_array_equal(np.equal.outer(read.groups, read.groups), same)
    if names:
        assert read.feature_names == model.feature_names
        assert read.output_names == model.output_names


@pytest.mark.parametrize(
    ("name", "float32"),
    [(name, single) for name in MODELS for single in (False, True) if single or name != "probit"],
)
def test_onnx(tmp_path, name, float32):
    import onnxruntime

    model, path = MODELS[name](), tmp_path / "m.onnx"
    model.export(path, float32=float32)
    dtype = "float32" if float32 else "float64"
    exact = model
    if float32:
        exact = replace(
            model,
            coef=model.coef.astype(dtype).astype(float),
            intercept=model.intercept.astype(dtype).astype(float),
        )
    read = converter.fold(path)
    if name == "probit" and float32:  # one over sqrt(2) in single precision
        np.testing.assert_allclose(read.coef, exact.coef, rtol=1e-7)
    else:
        _same(read, exact)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = _inputs(model, dtype=dtype)
    found = np.concatenate([y.reshape(40, -1) for y in session.run(None, inputs)], axis=1)
    assert found.dtype == dtype
    eps = np.finfo(dtype).eps
    X = exact.design(inputs)
    # Rounding of a sum of products, and of what the link makes of it (its slope is below one,
    # but for the exponential).
    bound = eps * (X.shape[1] + 4) * (np.abs(X) @ np.abs(exact.coef.T) + np.abs(exact.intercept))
    expected = exact.predict(inputs)
    factor = np.maximum(expected, 1.0) if model.link == "log" else 1.0
    assert (np.abs(found - expected) <= factor * (bound + 16 * eps)).all()
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["feature_names"]) == list(model.feature_names)
    assert properties["link"] == model.link
    assert properties["precision"] == dtype
    assert properties["loss"] == ("" if model.loss is None else model.loss.describe())


def test_onnx_is_small():
    import onnx

    from converter.exports.onnx import onnx as written

    def operations(model):
        return [one.op_type for one in onnx.load_from_string(written(model)).graph.node]

    assert operations(affine(np.ones((2, 3)), 1.0)) == ["Gemm"]
    assert operations(affine(np.ones((2, 3)), 1.0, link="logit")) == ["Gemm", "Sigmoid"]
    assert operations(MODELS["softmax"]()) == ["Concat", "Gemm", "Softmax"]


def test_onnx_refuses(tmp_path):
    with pytest.raises(ValueError, match="'occupation' is a category"):
        converter.fold(FIXTURES / "marriages.keras").export(tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="overflows in single precision"):
        affine([[1e300]]).export(tmp_path / "m.onnx", float32=True)
    with pytest.raises(ValueError, match="in single precision alone"):
        MODELS["probit"]().export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_regression_exports_its_network_in_the_units_of_the_table(tmp_path):
    import onnxruntime

    scaler = {"mean": [1.0] * 6, "scale": [2.0] * 6}
    made = converter.convert(
        FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "TOTEMP", scaler=scaler
    )
    made.export(tmp_path / "m.onnx")
    read = converter.fold(tmp_path / "m.onnx")
    assert list(read.feature_names) == made.results.model.exog_names[1:]
    _same(read, made.folded)
    X = made.results.model.exog[:, 1:]
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    inputs = {name: X[:, [i]] for i, name in enumerate(read.feature_names)}
    np.testing.assert_allclose(
        session.run(None, inputs)[0][:, 0], made.results.fittedvalues, rtol=1e-12
    )


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("float32", [False, True])
def test_keras(tmp_path, name, float32):
    import keras

    model, path = MODELS[name](), tmp_path / "m.keras"
    model.export(path, float32=float32)
    dtype = "float32" if float32 else "float64"
    exact = model
    if float32:
        exact = replace(
            model,
            coef=model.coef.astype(dtype).astype(float),
            intercept=model.intercept.astype(dtype).astype(float),
        )
    read = converter.fold(path)
    _same(read, exact, names=False)
    assert read.feature_names == tuple(one.replace("/", "_") for one in model.feature_names)
    assert len(read.output_names) == len(model.output_names)
    if all(re.fullmatch(r"[\w/]+(\[[\d,]+\])?", one, re.ASCII) for one in model.output_names):
        assert read.output_names == tuple(one.replace("/", "_") for one in model.output_names)
    assert (read.loss, read.family) == (model.loss, read.family)
    if model.loss is not None:
        assert read.family == model.family
        assert read.loss.settings == model.loss.settings
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = keras.saving.load_model(path)
    assert loaded.count_params() == model.coef.size + int(model.has_intercept.sum())
    inputs = _inputs(model, dtype=dtype)
    # As a graph, in which TensorFlow has its say on names.
    if len(model.output_names) < 4:
        loaded.predict(list(inputs.values()), verbose=0)
    found = loaded([keras.ops.convert_to_tensor(one) for one in inputs.values()])
    parts = found if isinstance(found, list) else [found]
    found = np.concatenate([np.asarray(y).reshape(40, -1) for y in parts], axis=1)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found,
        exact.predict(inputs),
        rtol=1e-12 if not float32 else 2e-4,
        atol=1e-12 if not float32 else 1e-5,
    )


def _mixed():
    """Return models whose outputs end at different depths of layers."""
    from models import affine

    rng = np.random.default_rng(2)

    def made(names, link="identity", groups=None, without=()):
        slopes = rng.normal(size=(len(names), 3))
        model = affine(slopes, rng.normal(size=len(names)), link=link, groups=groups)
        has = np.array([name not in without for name in names])
        return replace(
            model,
            output_names=tuple(names),
            has_intercept=has,
            intercept=np.where(has, model.intercept, 0.0),
            family="multinomial" if link == "softmax" else "gaussian",
        )

    yield made(["p[0]", "p[1]", "q[0,0]", "q[0,1]"])
    yield made(["a", "b[0]", "b[1]", "c"], without=["b[0]"])
    yield made(["a", "b[0,0]", "b[0,1]", "c[0]", "c[1]", "d"], without=["b[0,1]", "c[0]"])
    names = ["a[0]", "a[1]", "b[0]", "b[1]", "c[0,0]", "c[0,1]", "c[1,0]", "c[1,1]"]
    yield made(names, "softmax", groups=(0, 0, 1, 1, 2, 2, 3, 3))


@pytest.mark.parametrize("place", range(4))
def test_keras_gives_each_layer_its_own_weights(tmp_path, place):
    """Keras numbers weights by the depth of layers, not by the order in the file."""
    import keras

    model = list(_mixed())[place]
    model.export(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    X = np.random.default_rng(3).normal(size=(20, 3))
    found = loaded(keras.ops.convert_to_tensor(X))
    parts = found if isinstance(found, list) else [found]
    found = np.concatenate([np.asarray(y).reshape(20, -1) for y in parts], axis=1)
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-12, atol=1e-14)
    _same(converter.fold(tmp_path / "m.keras"), model, names=False)


@pytest.mark.parametrize("suffix", ["onnx", "keras"])
def test_a_regression_of_logits_stays_one(tmp_path, suffix):
    original, data = FIXTURES / "fair_from_logits.keras", FIXTURES / "fair.csv"
    path = tmp_path / f"m.{suffix}"
    converter.fold(original).export(path)
    made = converter.convert(path, data, "affair")
    expected = converter.convert(original, data, "affair")
    assert made.family == "binomial"
    assert made.model.loss.settings == expected.model.loss.settings
    assert made.tidy().equals(expected.tidy())


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"name": 3, "settings": {}}', '{"name": "x", "settings": {"a": []}}', "{}"]
)
def test_metadata_that_no_export_has_is_refused(tmp_path, said):
    model = onnx.load(FIXTURES / "longley_linear.onnx")
    onnx.helper.set_model_props(model, {"other": "anything", "converter.loss": said})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(converter.ModelFileError, match=r"metadata converter\.loss"):
        converter.fold(tmp_path / "m.onnx")


def test_keras_writes_what_it_reads(tmp_path):
    import keras

    model = MODELS["logistic"]()
    model.export(tmp_path / "m.keras")
    keras.saving.load_model(tmp_path / "m.keras").save(tmp_path / "again.keras")
    _same(converter.fold(tmp_path / "again.keras"), model)


def test_keras_refuses(tmp_path):
    for model, words in (
        (MODELS["probit"](), "link 'probit', for which Keras has no activation"),
        (MODELS["cloglog"](), "link 'cloglog'"),
        (GROUPED, "no neighbours"),
        (converter.fold(FIXTURES / "marriages.keras"), "'occupation' is a category"),
    ):
        with pytest.raises(ValueError, match=words):
            model.export(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["onnx", "keras"])
def test_the_same_model_is_the_same_file(tmp_path, suffix):
    for name in ("a", "b"):
        MODELS["softmax"]().export(tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["longley_linear", "spector_logistic", "diabetes_deep_single"])
def test_it_agrees_with_the_network_that_it_came_of(tmp_path, name):
    """Within the bound on rounding that `verify` derives for the original."""
    import onnxruntime

    original, path = FIXTURES / f"{name}.onnx", tmp_path / "m.onnx"
    model = converter.fold(original)
    model.export(path)
    verified = converter.verify(path)
    assert verified.agrees
    X = np.random.default_rng(0).normal(scale=100.0, size=(50, model.coef.shape[1]))
    sessions = [onnxruntime.InferenceSession(str(one)) for one in (original, path)]
    found = []
    for session in sessions:
        (given,) = session.get_inputs()
        kind = np.float32 if given.type == "tensor(float)" else np.float64
        found.append(session.run(None, {given.name: X.astype(np.float32).astype(kind)})[0])
    size = np.abs(X) @ np.abs(model.coef.T) + np.abs(model.intercept)
    eps = np.finfo(found[0].dtype).eps
    assert (np.abs(found[0] - found[1]) <= 100.0 * eps * np.maximum(size, 1.0)).all()


def test_the_command_line(tmp_path, command):
    path = tmp_path / "net"
    done = command(
        *("fold", FIXTURES / "spector_logistic.keras", "-o", path, "--to", "onnx", "--float32"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    exact = converter.fold(FIXTURES / "spector_logistic.keras").coef
    np.testing.assert_array_equal(converter.fold(path).coef, exact.astype(np.float32))
