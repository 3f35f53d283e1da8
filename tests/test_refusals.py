"""What is not a regression is refused, at the right place, all of it in one run."""

from __future__ import annotations

import keras_zoo
import onnx_zoo
import pytest

import converter


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", keras_zoo.REFUSED)
def test_keras(saved_keras, name, suffix):
    case, nodes = keras_zoo.REFUSED[name]
    path = saved_keras(case)[1 + (suffix == "h5")]
    found = converter.inspect(path)
    assert found.verdict == "rejected"
    assert tuple(finding.node for finding in found.findings) == nodes
    with pytest.raises(converter.Rejected) as caught:
        converter.fold(path)
    assert caught.value.findings == found.findings
    assert all(node in str(caught.value) for node in nodes)


@pytest.mark.parametrize("name", onnx_zoo.REFUSED)
def test_onnx(saved_onnx, name):
    case, nodes = onnx_zoo.REFUSED[name]
    found = converter.inspect(saved_onnx(case))
    assert found.verdict == "rejected"
    assert found.link is None
    assert tuple(finding.node for finding in found.findings) == nodes


def test_the_operation_is_named_as_the_file_names_it(saved_keras):
    _, path, _ = saved_keras(keras_zoo.hidden_relu)
    assert [f.operation for f in converter.inspect(path).findings] == ["relu", "tanh"]
    _, path, _ = saved_keras(keras_zoo.lambda_layer)
    (finding,) = converter.inspect(path).findings
    assert finding.operation == "Lambda"
    assert "never run" in finding.reason


def test_one_good_output_can_be_had_of_a_network_with_a_bad_one(saved_keras):
    import keras

    def mixed() -> keras.Model:
        x = keras.Input((3,))
        good = keras.layers.Dense(1, name="good")(x)
        bad = keras.layers.Dense(1, activation="relu", name="bad")(x)
        return keras.Model(x, [good, bad])

    _, path, _ = saved_keras(mixed)
    found = converter.inspect(path)
    assert found.verdict == "rejected"
    assert [one.verdict for one in found.outputs] == ["affine", "rejected"]
    assert converter.fold(path, output="good").output_names == ("good",)
    with pytest.raises(ValueError, match="no output 'other'"):
        converter.fold(path, output="other")


def test_rejections_survive_pickling(saved_onnx):
    import pickle

    with pytest.raises(converter.Rejected) as caught:
        converter.fold(saved_onnx(onnx_zoo.relu))
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.findings == caught.value.findings
    assert str(again) == str(caught.value)


def test_a_refused_operation_leaves_no_trace_on_the_next(saved_keras):
    import keras

    def beside() -> keras.Model:
        x, y = keras.Input((4, 3, 2), name="x"), keras.Input((2, 3, 2), name="y")
        largest = keras.layers.GlobalMaxPooling2D(name="largest")(x)
        same = keras.layers.Multiply()([y, keras.ops.ones_like(y)])
        return keras.Model([x, y], [largest, keras.layers.Activation("exponential")(same)])

    _, path, _ = saved_keras(beside)
    found = converter.inspect(path)
    assert [one.verdict for one in found.outputs] == ["rejected", "linked"]
    assert [one.node for one in found.findings] == ["largest"]
