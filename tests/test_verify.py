"""Verification against the model's own runtime, and the rounding bound behind it."""

from __future__ import annotations

import json
import subprocess

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import FIXTURES
from keras import layers
from onnx import TensorProto, helper
from onnx_zoo import Graph

import converter
from converter import cli, runtimes

EXPORTED = FIXTURES / "exporters"


@pytest.mark.parametrize(
    "path",
    [
        FIXTURES / "longley_linear.onnx",
        FIXTURES / "spector_logistic_single.onnx",
        FIXTURES / "diabetes_deep.keras",
        FIXTURES / "diabetes_deep.h5",
        EXPORTED / "torch_dynamo" / "mlp_fixed_batch_4.onnx",
        EXPORTED / "torch_dynamo" / "external_data.onnx",
        EXPORTED / "torch_torchscript" / "conv2d.onnx",
        EXPORTED / "skl2onnx" / "multinomial_zipmap.onnx",
        EXPORTED / "skl2onnx" / "linear_columns.onnx",
        EXPORTED / "skl2onnx" / "poisson.onnx",
        EXPORTED / "float16" / "mlp.onnx",
    ],
    ids=lambda path: path.name,
)
def test_folded_models_agree_with_their_runtime(path):
    found = converter.verify(path, points=12)
    assert found.agrees, str(found)
    assert found.points == 16
    assert 0.0 <= found.difference <= found.bound
    assert found.runtime.split()[0] == ("onnxruntime" if path.suffix == ".onnx" else "keras")


def _post_transform(path):
    """A single target's LOGISTIC, which onnxruntime ignores: a real disagreement."""
    node = helper.make_node(
        "LinearRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=[1.0, -2.0],
        intercepts=[0.5],
        post_transform="LOGISTIC",
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    return path


def test_a_disagreement_is_found_and_is_trouble(tmp_path):
    path = _post_transform(tmp_path / "m.onnx")
    found = converter.verify(path)
    assert not found.agrees
    assert found.ratio > 1e3
    assert any("ignored by onnxruntime" in note for note in converter.fold(path).notes)
    result = CliRunner().invoke(cli.main, ["fold", "--verify", str(path)], standalone_mode=False)
    assert result.return_value == 2
    assert "DISAGREE" in result.output


def test_the_command_prints_what_was_found():
    path = str(FIXTURES / "longley_linear.onnx")
    result = CliRunner().invoke(cli.main, ["fold", "--verify", path], standalone_mode=False)
    assert result.return_value == 0
    assert "agree at 68 points" in result.output
    result = CliRunner().invoke(
        cli.main, ["fold", "--verify", "--json", path], standalone_mode=False
    )
    assert json.loads(result.output)["verified"]["agrees"] is True


def test_a_missing_runtime_is_named(monkeypatch):
    def absent(*args, **kwargs):
        return subprocess.CompletedProcess(args, 3, "", "")

    monkeypatch.setattr(runtimes.subprocess, "run", absent)
    with pytest.raises(ValueError, match="pip install onnxruntime"):
        converter.verify(FIXTURES / "longley_linear.onnx")


def test_a_model_that_its_runtime_refuses(tmp_path):
    g = Graph()
    # onnxruntime has no kernel for a convolution in double precision.
    h = g.add("Reshape", "x", g.integers(0, 1, 4))
    h = g.add("Conv", h, g.weight(1, 1, 2))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([h]).SerializeToString())
    with pytest.raises(converter.ModelFileError, match=r"m\.onnx: onnxruntime cannot run"):
        converter.verify(path)


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_the_bound_holds_and_is_no_boast(tmp_path, depth):
    rng = np.random.default_rng(depth)
    g = Graph(rng=rng)
    value = "x"
    for _ in range(depth):
        weight = g.constant(rng.standard_normal((4, 4)), np.float32)
        value = g.add("Gemm", value, weight, g.constant(rng.standard_normal(4), np.float32))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([value], kind=TensorProto.FLOAT).SerializeToString())
    found = converter.verify(path, points=200)
    assert found.agrees
    # A bound that is thousands of times too wide would find no mistake.
    assert 1e-4 < found.ratio <= 1.0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_coarsest_type_on_the_way_decides_what_rounding_may_make(tmp_path, policy):
    head = layers.Dense(1, dtype="float32")
    body = layers.Dense(8, dtype=keras.DTypePolicy(policy))
    keras.Sequential([keras.Input((4,)), body, head]).save(tmp_path / "m.keras")
    assert converter.verify(tmp_path / "m.keras", points=20).agrees


@pytest.mark.parametrize("given", ["m.json", "m.weights.h5"])
def test_a_configuration_beside_its_weights(tmp_path, given):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    (tmp_path / "m.json").write_text(model.to_json())
    model.save_weights(tmp_path / "m.weights.h5")
    assert converter.verify(tmp_path / given, points=8).agrees


def test_half_precision_in_a_graph(tmp_path):
    """Near zero float16 rounds by a fixed amount, and not in proportion."""
    body = layers.Dense(8, dtype=keras.DTypePolicy("mixed_float16"))
    model = keras.Sequential([keras.Input((4,)), body, layers.Dense(1, dtype="float32")])
    model.export(tmp_path / "saved", verbose=False)
    found = converter.verify(tmp_path / "saved", points=20)
    assert found.agrees
    assert found.bound < 1.0
