"""Custom layers: refused with the way out, or traced once their meaning has been taught."""

from __future__ import annotations

import importlib.metadata
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers

import converter
from converter import registry


@keras.saving.register_keras_serializable(package="Zoo")
class Stretch(layers.Layer):
    """``x * gamma * factor + beta``."""

    def __init__(self, factor=1.0, note="", **kwargs):
        super().__init__(**kwargs)
        self.factor, self.note = factor, note

    def build(self, shape):
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(shape[-1],), trainable=False)

    def call(self, x):
        return x * self.gamma * self.factor + self.beta

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "note": self.note}


@pytest.fixture(scope="module")
def model():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3), Stretch(2.5, name="stretch")])
    outer = keras.Sequential([keras.Input((4,)), layers.Dense(3), inner, layers.Dense(2)])
    rng = np.random.default_rng(0)
    for variable in outer.variables:
        variable.assign(rng.normal(size=variable.shape))
    return outer


@pytest.fixture
def path(model, tmp_path, request):
    path = tmp_path / f"m.{getattr(request, 'param', 'keras')}"
    model.save(path)
    return path


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    registry._load_entry_points.cache_clear()
    yield
    registry._load_entry_points.cache_clear()


def _teach(name="Zoo>Stretch", **more):
    more = {"weights": ["gamma", "beta"], "frozen": ["beta"], "inert": ["note"], **more}

    @converter.register_layer(name, **more)
    def stretch(x, *, gamma, beta, factor):
        return np.add(np.multiply(x, gamma * factor), beta)


@pytest.mark.parametrize("path", ["keras", "h5"], indirect=True)
def test_an_unknown_class_is_refused_with_the_way_out(path):
    finding = converter.inspect(path).findings[-1]
    assert finding.node.endswith("/stretch")
    assert "Zoo>Stretch" in finding.reason
    assert "register_layer" in finding.reason
    assert "ONNX" in finding.reason


@pytest.mark.parametrize("path", ["keras", "h5"], indirect=True)
def test_a_taught_class_is_traced_like_any_other(model, path):
    _teach()
    points = np.random.default_rng(1).normal(size=(5, 4))
    np.testing.assert_allclose(
        converter.fold(path).predict(points), model.predict(points, verbose=0), rtol=1e-12
    )


def test_keys_that_were_not_spoken_of_are_refused(path):
    _teach(inert=[])
    with pytest.raises(converter.Rejected, match="the setting 'note', which is not known"):
        converter.fold(path)


def test_weights_must_be_all_that_the_file_holds(path):
    @converter.register_layer("Zoo>Stretch", weights=["gamma"], inert=["note", "factor"])
    def stretch(x, *, gamma):
        return x * gamma

    with pytest.raises(converter.ModelFileError, match="needs the weights gamma"):
        converter.fold(path)


def test_what_is_not_affine_is_refused_in_taught_layers_too(path):
    @converter.register_layer("Zoo>Stretch", weights=["gamma", "beta"], inert=["note", "factor"])
    def stretch(x, *, gamma, beta):
        return np.tanh(x * gamma) + beta

    with pytest.raises(converter.Rejected, match="tanh"):
        converter.fold(path)


def test_installed_modules_are_asked_when_a_custom_class_turns_up(model, path, monkeypatch):
    loaded = []

    def load():
        loaded.append(1)
        _teach()
        return types.ModuleType("plugin")

    entry = types.SimpleNamespace(load=load)
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [entry] if group == "converter.layers" else [],
    )
    converter.fold(path)
    converter.fold(path)
    assert loaded == [1]


def test_a_name_needs_a_package_or_a_module():
    with pytest.raises(ValueError, match="Package>Class"):
        converter.register_layer("Dense")


def test_a_class_that_borrows_a_built_in_name_is_custom(tmp_path):
    def dense(package):
        @keras.saving.register_keras_serializable(package=package)
        class Dense(layers.Dense):
            def call(self, x):
                return super().call(x) ** 2

        return Dense

    model = keras.Sequential([keras.Input((3,)), dense("evil")(2, name="borrowed")])
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
        (finding,) = converter.inspect(tmp_path / f"m.{suffix}").findings
        assert (finding.node, "evil>Dense" in finding.reason) == ("borrowed", True)


def test_subclassed_models_are_refused_with_the_way_out(tmp_path):
    @keras.saving.register_keras_serializable(package="Zoo")
    class Own(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.zeros((1, 3)))
    model.save(tmp_path / "m.keras")
    (finding,) = converter.inspect(tmp_path / "m.keras").findings
    assert "Zoo>Own" in finding.reason
    assert "ONNX" in finding.reason


def test_reading_a_custom_class_imports_nothing_that_the_file_names(path):
    sys.modules.pop("zoo_that_does_not_exist", None)
    before = set(sys.modules)
    converter.inspect(path)
    assert not {name for name in set(sys.modules) - before if "zoo" in name.lower()}


class Twice(layers.Layer):
    """A class that was not registered, as one of a script."""

    def call(self, x):
        return 2.0 * x


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("module", ["__main__", "my_layers"])
def test_a_class_that_was_not_registered(tmp_path, monkeypatch, suffix, module):
    monkeypatch.setattr(Twice, "__module__", module)
    monkeypatch.setitem(sys.modules, module, sys.modules[__name__])
    model = keras.Sequential([keras.Input((3,)), Twice(), layers.Dense(2)])
    path = tmp_path / f"m.{suffix}"
    model.save(path)
    assert "register_layer" in converter.inspect(path).findings[0].reason

    @converter.register_layer(f"{module}.Twice")
    def twice(x):
        return np.multiply(x, 2.0)

    points = np.random.default_rng(1).normal(size=(5, 3))
    expected = model.predict(points, verbose=0)
    np.testing.assert_allclose(converter.fold(path).predict(points), expected, atol=1e-5)
