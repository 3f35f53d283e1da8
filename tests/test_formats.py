"""Every way in which Keras 3 writes one model down gives the same numbers."""

from __future__ import annotations

import json

import keras
import keras_zoo
import numpy as np
import pytest
from keras import layers

import converter


@pytest.fixture(scope="module")
def made():
    """A nested model with shared layers, its points and Keras' own predictions."""
    model = keras_zoo.build(keras_zoo.nested)
    points = np.random.default_rng(0).normal(size=(5, 4))
    return model, points, model.predict(points, verbose=0)


def _same(path, made):
    _, points, expected = made
    np.testing.assert_allclose(converter.fold(path).predict(points), expected, rtol=1e-10)


def test_a_folder(made, tmp_path):
    made[0].save(tmp_path / "m", zipped=False)
    _same(tmp_path / "m", made)
    found = converter.inspect(tmp_path / "m")
    assert len(found.sha256) == 64
    assert found.size > 0


@pytest.mark.parametrize("names", [("m.json", "m.weights.h5"), ("config.json", "model.weights.h5")])
def test_a_pair(made, tmp_path, names):
    config, weights = (tmp_path / name for name in names)
    config.write_text(made[0].to_json())
    made[0].save_weights(weights)
    _same(config, made)
    _same(weights, made)


def test_half_a_pair_says_what_is_missing(made, tmp_path):
    (tmp_path / "m.json").write_text(made[0].to_json())
    with pytest.raises(converter.ModelFileError, match=r"beside it as m\.weights\.h5"):
        converter.inspect(tmp_path / "m.json")
    made[0].save_weights(tmp_path / "n.weights.h5")
    with pytest.raises(converter.ModelFileError, match=r"beside it as n\.json"):
        converter.inspect(tmp_path / "n.weights.h5")


def test_shards(tmp_path):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model = keras.Sequential(
        [keras.Input((100,)), layers.Dense(200), layers.Dense(300), layers.Dense(2)]
    )
    (tmp_path / "m.json").write_text(model.to_json())
    model.save_weights(tmp_path / "m.weights.json", max_shard_size=0.0005)
    assert len(list(tmp_path.glob("m_0*.weights.h5"))) > 1
    points = np.random.default_rng(0).normal(size=(3, 100))
    expected = model.predict(points, verbose=0)
    for name in ("m.json", "m.weights.json"):
        np.testing.assert_allclose(converter.fold(tmp_path / name).predict(points), expected)


def test_shards_are_taken_from_the_models_own_folder(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "m.json").write_text(model.to_json())
    model.save_weights(tmp_path / "other.weights.h5")
    table = {"metadata": {}, "weight_map": {"/layers/dense/vars": "../other.weights.h5"}}
    (tmp_path / "m" / "m.weights.json").write_text(json.dumps(table))
    with pytest.raises(converter.ModelFileError):
        converter.fold(tmp_path / "m" / "m.json")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_dictionaries_of_inputs_and_outputs(tmp_path, suffix):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    inputs = {"b": keras.Input((2,), name="late"), "a": keras.Input((3,), name="early")}
    shared = layers.Dense(2, name="shared")
    one = shared(layers.Concatenate()([inputs["a"], inputs["b"]]))
    two = shared(layers.Concatenate()([inputs["b"], inputs["a"]]))
    model = keras.Model(inputs, {"z": one, "y": layers.Dense(1)(two)})
    model.save(tmp_path / f"m.{suffix}")
    rng = np.random.default_rng(1)
    points = {"a": rng.normal(size=(4, 3)), "b": rng.normal(size=(4, 2))}
    expected = model.predict(points, verbose=0)
    found = converter.inspect(tmp_path / f"m.{suffix}")
    assert {one.name for one in found.inputs} == {"a", "b"}
    for key, values in expected.items():
        folded = converter.fold(tmp_path / f"m.{suffix}", output=key)
        np.testing.assert_allclose(folded.predict(points), values)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_names_that_repeat_were_changed_or_look_like_paths(tmp_path, suffix):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="dense")], name="dense_1")
    x = inputs = keras.Input((3,))
    x = layers.Dense(3, name="dense_2")(x)
    x = inner(x)
    x = layers.Dense(3, name="dense")(x)
    x = inner(x)
    model = keras.Model(inputs, layers.Dense(2, name="layers.vars")(x))
    model.layers[1].name = "renamed"
    for variable in model.variables:
        variable.assign(np.random.default_rng(len(variable.path)).normal(size=variable.shape))
    model.save(tmp_path / f"m.{suffix}")
    points = np.random.default_rng(2).normal(size=(4, 3))
    np.testing.assert_allclose(
        converter.fold(tmp_path / f"m.{suffix}").predict(points),
        model.predict(points, verbose=0),
        rtol=1e-10,
    )


def test_deeply_nested_models(tmp_path):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3)])
    for depth in range(8):
        x = keras.Input((3,))
        model = keras.Model(
            x, layers.Add()([model(x), layers.Dense(3)(model(x))]), name=f"m{depth}"
        )
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
        points = np.random.default_rng(3).normal(size=(2, 3))
        np.testing.assert_allclose(
            converter.fold(tmp_path / f"m.{suffix}").predict(points),
            model.predict(points, verbose=0),
            rtol=1e-8,
        )


@pytest.mark.parametrize("suffix", ["keras", "h5", "json"])
def test_a_nested_model_that_was_trained_by_itself(tmp_path, suffix):
    """Its optimizer stands beside its layers in the archive."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(32, 3))
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(1)])
    inner.compile("adam", "mse", metrics=["mae"])
    inner.fit(x, x.sum(axis=1), verbose=0)
    model = keras.Sequential([keras.Input((2, 3)), layers.TimeDistributed(inner), layers.Flatten()])
    if suffix != "json":
        model.save(tmp_path / f"m.{suffix}")
    else:
        (tmp_path / "m.json").write_text(model.to_json())
        model.save_weights(tmp_path / "m.weights.h5")
    points = rng.normal(size=(5, 2, 3))
    folded = converter.fold(tmp_path / f"m.{suffix}")
    np.testing.assert_allclose(folded.predict(points), model.predict(points, verbose=0), atol=1e-5)
    assert folded.predict(points[:0]).shape == (0, 2)
