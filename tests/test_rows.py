"""Rows do not mix, and are not told apart, whatever their number: 1 to 9 are compared here.

Each case is either refused, or its fold is what onnx's reference computes for every number of
rows. Many of the cases look harmless on two or three rows and are not.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from onnx_zoo import Graph, saved

import converter

END = 2**31 - 1


def _rows(g):
    """Return the number of rows as an integer of one element."""
    return g.add("Gather", g.add("Shape", "x"), g.integers(0))


def _number(g, integers):
    return g.add("Cast", integers, to=11)


def _fifth(g):
    """Return rows // 5 + 1, which is 1 for two rows and for three."""
    return g.add("Add", g.add("Div", _rows(g), g.integers(5)), g.integers(1))


def _rows_last(g):
    return g.add("Transpose", "x", perm=[1, 0])


def _size_enters(g, value, axis=1):
    size = g.add("Gather", g.add("Shape", value), g.integers(axis))
    return g.add("Mul", "x", _number(g, size))


# Refused: not row by row, or not provably so.


def sum_of_as_many_ones_as_rows(g):
    ones = g.add("ConstantOfShape", _rows(g))
    ones = g.add("Add", _number(g, ones), g.constant(1.0))
    return g.add("Add", "x", g.add("ReduceSum", ones, keepdims=0))


def product_of_as_many_ones_as_rows(g):
    ones = g.add("Expand", g.constant([1.0]), _rows(g))
    return g.add("Add", "x", g.add("MatMul", ones, ones))


def size_of_a_constant_of_rows(g):
    constant = g.add("Tile", g.constant([2.0]), _rows(g))
    return g.add("Mul", "x", _number(g, g.add("Size", constant)))


def tiled_by_a_fifth_of_the_rows(g):
    repeats = g.add("Concat", g.integers(1), _fifth(g), axis=0)
    tiled = g.add("Tile", "x", repeats)
    return g.add("Add", "x", g.add("ReduceSum", tiled, g.integers(1), keepdims=1))


def expanded_by_a_fifth_of_the_rows(g):
    target = g.add("Concat", _rows(g), _fifth(g), g.integers(4), axis=0)
    wide = g.add("Expand", g.add("Unsqueeze", "x", g.integers(1)), target)
    return g.add("ReduceSum", wide, g.integers(1), keepdims=0)


def every_fourth_row_counts(g):
    strided = g.add(
        "Slice", _rows_last(g), g.integers(0), g.integers(END), g.integers(1), g.integers(4)
    )
    return _size_enters(g, strided)


def pooled_rows_are_counted(g):
    wide = g.add("Unsqueeze", _rows_last(g), g.integers(0))
    pooled = g.add("AveragePool", wide, kernel_shape=[1], strides=[4])
    return _size_enters(g, pooled, axis=2)


def refused_pooling_is_counted(g):
    wide = g.add("Unsqueeze", _rows_last(g), g.integers(0))
    pooled = g.add("MaxPool", wide, kernel_shape=[2], strides=[4], pads=[1, 1])
    return _size_enters(g, pooled, axis=2)


def dilated_over_rows(g):
    wide = g.add("Reshape", _rows_last(g), g.integers(4, 1, -1))
    h = g.add("Conv", wide, g.weight(1, 1, 3), pads=[2, 2], dilations=[2])
    return g.add("Transpose", g.add("Reshape", h, g.integers(4, -1)), perm=[1, 0])


def first_two_rows_are_changed(g):
    updates = g.constant(np.ones((2, 4)))
    places = g.constant([[0], [1]], np.int64)
    return g.add("ScatterND", "x", places, updates, reduction="add")


def triangle_of_rows(g):
    return g.add("Trilu", "x", g.constant(-2, np.int64), upper=1)


def groups_cut_across_rows(g):
    shifted = g.add(
        "Add", g.add("Reshape", "x", g.integers(4, -1)), g.constant([[1.0], [2], [1], [2]])
    )
    return g.add("Reshape", shifted, g.integers(-1, 4))


def parts_of_four_rows(g):
    parts = g.add("SplitToSequence", "x", g.constant(4, np.int64), axis=0)
    count = g.add("SequenceLength", parts)
    return g.add("Mul", "x", _number(g, count))


def mean_that_broadcasts_along_rows(g):
    return g.add("Sub", "x", g.add("ReduceMean", "x", axes=[1], keepdims=0))


def less_the_mean_of_the_batch(g):
    return g.add("Sub", "x", g.add("ReduceMean", "x", axes=[0], keepdims=1))


def reversed_rows(g):
    return g.add("Slice", "x", g.integers(-1), g.integers(-END), g.integers(0), g.integers(-1))


def softmax_over_rows(g):
    turned = g.add("Softmax", _rows_last(g), axis=1)
    return g.add("Transpose", turned, perm=[1, 0])


REFUSED = [
    sum_of_as_many_ones_as_rows,
    product_of_as_many_ones_as_rows,
    size_of_a_constant_of_rows,
    tiled_by_a_fifth_of_the_rows,
    expanded_by_a_fifth_of_the_rows,
    every_fourth_row_counts,
    pooled_rows_are_counted,
    refused_pooling_is_counted,
    dilated_over_rows,
    first_two_rows_are_changed,
    triangle_of_rows,
    groups_cut_across_rows,
    parts_of_four_rows,
    mean_that_broadcasts_along_rows,
    less_the_mean_of_the_batch,
    reversed_rows,
    softmax_over_rows,
]


# Accepted: whatever is done to the axis of the rows, it is done to each alike.


def sequence_first(g):
    h = g.add("Reshape", "x", g.integers(0, 2, 2))
    h = g.add("Transpose", h, perm=[1, 0, 2])
    h = g.add("Reshape", h, g.integers(-1, 2))
    h = g.add("Gemm", h, g.weight(2, 3), g.weight(3))
    size = g.add("Concat", g.integers(2), _rows(g), g.integers(3), axis=0)
    h = g.add("Transpose", g.add("Reshape", h, size), perm=[1, 0, 2])
    return g.add("Flatten", h)


def a_column_of_ones(g):
    shape = g.add("Concat", _rows(g), g.integers(1), axis=0)
    ones = g.add("Expand", g.constant([[1.0]]), shape)
    return g.add("MatMul", g.add("Concat", "x", ones, axis=1), g.weight(5, 2))


def rows_last_and_back(g):
    h = g.add("MatMul", g.weight(3, 4), _rows_last(g))
    return g.add("Transpose", g.add("Add", h, g.weight(3, 1)), perm=[1, 0])


def rows_in_the_middle(g):
    h = g.add("Transpose", g.add("Reshape", "x", g.integers(-1, 2, 2)), perm=[1, 0, 2])
    h = g.add("CumSum", h, g.constant(2, np.int64))
    return g.add("Flatten", g.add("Transpose", h, perm=[1, 0, 2]))


def repeated_for_each_row(g):
    shape = g.add("Concat", _rows(g), g.integers(4), axis=0)
    return g.add("Add", "x", g.add("Expand", g.weight(4), shape))


def windows_beside_the_rows(g):
    h = g.add("Reshape", "x", g.integers(0, 1, 2, 2))
    h = g.add("Conv", h, g.weight(3, 1, 2, 2), g.weight(3), pads=[1, 0, 0, 1])
    return g.add("Flatten", h)


ACCEPTED = [
    sequence_first,
    a_column_of_ones,
    rows_last_and_back,
    rows_in_the_middle,
    repeated_for_each_row,
    windows_beside_the_rows,
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_what_is_not_row_by_row_is_refused(tmp_path, case):
    path, _ = saved(tmp_path, case)
    with pytest.raises((converter.Rejected, converter.ModelFileError)):
        converter.fold(path)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.__name__)
def test_what_is_row_by_row_holds_for_any_number(tmp_path, case):
    path, model = saved(tmp_path, case)
    folded = converter.fold(path)
    runner = ReferenceEvaluator(model)
    for rows in range(1, 10):
        x = np.random.default_rng(rows).standard_normal((rows, 4))
        (expected,) = runner.run(None, {"x": x})
        np.testing.assert_allclose(folded.predict(x), expected.reshape(rows, -1), rtol=1e-9)


def test_one_row_only(tmp_path):
    """A network that fixes one row inside, and leaves the number open at the door."""
    g = Graph()
    h = g.add("Gemm", g.add("Reshape", "x", g.integers(1, 4)), g.weight(4, 2), g.weight(1, 2))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([g.add("Reshape", h, g.integers(1, 2))]).SerializeToString())
    assert converter.fold(path).coef.shape == (2, 4)


def test_limits_do_not_switch_the_proof_off(tmp_path):
    """Too large for three rows, and not for one: no reason to look at one row alone."""
    g = Graph()
    h = g.add("Sub", "x", g.add("ReduceMean", "x", axes=[0], keepdims=1))
    wide = g.add("Tile", h, g.integers(1, 750_000))
    path = tmp_path / "m.onnx"
    path.write_bytes(
        g.model(
            [g.add("Slice", wide, g.integers(0), g.integers(4), g.integers(1))]
        ).SerializeToString()
    )
    with pytest.raises(converter.ModelFileError, match="elements that are traced at most"):
        converter.fold(path)


@pytest.mark.parametrize("trips", [20_000])
def test_large_values_in_loops_are_stopped(tmp_path, trips):
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [
            helper.make_node("Mul", ["wide", "half"], ["next"]),
            helper.make_node("Identity", ["going"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("wide", TensorProto.DOUBLE, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.DOUBLE, None),
        ],
    )
    g = Graph()
    wide = g.add("Tile", "x", g.integers(1, 400_000))
    g.weights["half"] = np.array(0.5)
    trips_name = g.constant(trips, np.int64)
    g.nodes.append(helper.make_node("Loop", [trips_name, "", wide], ["last"], body=body))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([g.add("ReduceSum", "last", g.integers(1))]).SerializeToString())
    with pytest.raises(converter.ModelFileError, match="elements in all"):
        converter.fold(path)


def test_a_number_of_rows_that_the_network_fixes_is_a_refusal(tmp_path):
    x = keras.Input((12,), name="x")
    fixed = keras.ops.reshape(keras.layers.Dense(12)(x), (5, 12))
    path = tmp_path / "m.keras"
    keras.Model(x, keras.layers.Dense(1)(fixed)).save(path)
    with pytest.raises(converter.Rejected, match="takes 5 rows at once"):
        converter.fold(path)
