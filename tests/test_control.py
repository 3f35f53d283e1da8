"""Control flow, sequences and functions: what constants decide is run, all else refused."""

from __future__ import annotations

import time

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import converter

D = TensorProto.DOUBLE
_RNG = np.random.default_rng(5)
_W = _RNG.standard_normal((3, 3))


def _value(name, shape=None, kind=D):
    return helper.make_tensor_value_info(name, kind, shape)


def _model(nodes, outputs, initializers=None, functions=(), opset=17, shape=("N", 3), extra=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [_value("x", list(shape))],
        [_value(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (initializers or {}).items()],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), *extra],
        functions=list(functions),
        ir_version=9,
    )


def _saved(tmp_path, model):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def assert_agrees(tmp_path, model, rows=4, shape=(3,)):
    folded = converter.fold(_saved(tmp_path, model))
    x = np.random.default_rng(1).standard_normal((rows, *shape))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(folded.predict(x), expected.reshape(rows, -1), rtol=1e-9)
    return folded


def _branch(nodes, output, name):
    return helper.make_graph(nodes, name, [], [_value(output)])


def _if(condition):
    then = _branch([helper.make_node("MatMul", ["x", "w"], ["t"])], "t", "then")
    other = _branch([helper.make_node("Relu", ["x"], ["e"], name="inside")], "e", "else")
    return helper.make_node("If", [condition], ["y"], then_branch=then, else_branch=other)


def test_a_constant_condition_chooses_a_branch(tmp_path):
    assert_agrees(tmp_path, _model([_if("c")], ["y"], {"w": _W, "c": np.array(True)}))
    found = converter.inspect(_saved(tmp_path, _model([_if("c")], ["y"], {"w": _W, "c": False})))
    assert [finding.node for finding in found.findings] == ["inside"]


def test_a_condition_on_a_fixed_size_is_constant(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["columns"]),
        helper.make_node("Equal", ["columns", "three"], ["c"]),
        _if("c"),
    ]
    constants = {"w": _W, "one": np.array(1), "three": np.array(3)}
    assert_agrees(tmp_path, _model(nodes, ["y"], constants))
    # The number of rows is no constant.
    constants["one"] = np.array(0)
    found = converter.inspect(_saved(tmp_path, _model(nodes, ["y"], constants)))
    assert "number of rows" in found.findings[0].reason


def test_a_condition_on_the_input_is_refused(tmp_path):
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["c"]),
        _if("c"),
    ]
    found = converter.inspect(_saved(tmp_path, _model(nodes, ["y"], {"w": _W, "zero": 0.0})))
    assert found.verdict == "rejected"
    assert found.findings[-1].operation == "If"


def _loop_body(extra=()):
    nodes = [
        helper.make_node("MatMul", ["h", "w"], ["p"]),
        helper.make_node("Cast", ["i"], ["step"], to=D),
        helper.make_node("Add", ["p", "step"], ["h2"]),
        helper.make_node("Identity", ["going"], ["still"]),
        *extra,
    ]
    inputs = [_value("i", [], TensorProto.INT64), _value("going", [], TensorProto.BOOL)]
    return helper.make_graph(
        nodes,
        "body",
        [*inputs, _value("h", ["N", 3])],
        [_value("still", [], TensorProto.BOOL), _value("h2"), _value("p")],
    )


def test_a_loop_is_unrolled(tmp_path):
    nodes = [
        helper.make_node("Loop", ["trips", "", "x"], ["last", "all"], body=_loop_body()),
        helper.make_node("Transpose", ["all"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("Flatten", ["rows"], ["flat"]),
        helper.make_node("Concat", ["flat", "last"], ["y"], axis=1),
    ]
    assert_agrees(tmp_path, _model(nodes, ["y"], {"w": _W, "trips": np.array(3)}))


def test_a_loop_that_never_ends_is_stopped(tmp_path):
    node = helper.make_node("Loop", ["trips", "", "x"], ["last", "all"], body=_loop_body())
    model = _model([node], ["last"], {"w": _W, "trips": np.array(2**62)})
    begun = time.perf_counter()
    with pytest.raises(converter.ModelFileError, match="operations inside loops"):
        converter.fold(_saved(tmp_path, model))
    assert time.perf_counter() - begun < 120


def test_as_many_steps_as_rows_is_refused(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["trips"]),
        helper.make_node("Loop", ["trips", "", "x"], ["last", "all"], body=_loop_body()),
    ]
    found = converter.inspect(
        _saved(tmp_path, _model(nodes, ["last"], {"w": _W, "zero": np.array(0)}))
    )
    assert found.verdict == "rejected"


def _scan(axis, backwards=0):
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "part"], ["next"]),
            helper.make_node("Mul", ["next", "two"], ["seen"]),
        ],
        "body",
        [_value("state"), _value("part")],
        [_value("next"), _value("seen")],
    )
    return helper.make_node(
        "Scan",
        ["start", "x"],
        ["total", "all"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_output_axes=[axis],
        scan_input_directions=[backwards],
        scan_output_directions=[backwards],
    )


def test_a_scan_is_unrolled(tmp_path):
    constants = {"two": 2.0, "zero": np.zeros((1,))}
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["sums"], keepdims=0),
        helper.make_node("Mul", ["sums", "zero"], ["start"]),
        _scan(1),
    ]
    constants["axis"] = np.array([1])
    assert_agrees(tmp_path, _model(nodes, ["all"], constants))
    nodes[-1] = _scan(1, backwards=1)
    folded = converter.fold(_saved(tmp_path, _model(nodes, ["all"], constants)))
    np.testing.assert_array_equal(folded.coef, 2.0 * np.triu(np.ones((3, 3))))


def test_a_scan_over_rows_is_refused(tmp_path):
    model = _model([_scan(0)], ["all"], {"two": 2.0, "start": np.zeros(3)})
    found = converter.inspect(_saved(tmp_path, model))
    assert "each row of the batch" in found.findings[0].reason


def test_sequences_pass_values_on(tmp_path):
    nodes = [
        helper.make_node("SplitToSequence", ["x", "widths"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "minus"], ["last"]),
        helper.make_node("SequenceInsert", ["parts", "last", "zero"], ["more"]),
        helper.make_node("SequenceErase", ["more", "one"], ["fewer"]),
        helper.make_node("ConcatFromSequence", ["fewer"], ["y"], axis=1),
    ]
    constants = {"widths": [1, 2], "minus": -1, "zero": 0, "one": 1}
    constants = {name: np.array(value, np.int64) for name, value in constants.items()}
    folded = assert_agrees(tmp_path, _model(nodes, ["y"], constants))
    np.testing.assert_array_equal(folded.coef, [[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]])


def test_one_part_for_each_row_is_refused(tmp_path):
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0),
        helper.make_node("SequenceLength", ["parts"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=D),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    found = converter.inspect(_saved(tmp_path, _model(nodes, ["y"])))
    assert found.verdict == "rejected"


def _function(name, inputs, outputs, nodes, attributes=(), domain="mine", **kwargs):
    return helper.make_function(
        domain,
        name,
        inputs,
        outputs,
        nodes,
        [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)],
        attributes=list(attributes),
        **kwargs,
    )


_MINE = [helper.make_opsetid("mine", 1)]


def _reference(node, attribute, name, kind):
    made = onnx.AttributeProto(name=attribute, ref_attr_name=name, type=kind)
    node.attribute.append(made)
    return node


def test_functions_of_the_file_are_written_out(tmp_path):
    affine = _function(
        "Affine",
        ["a", "m"],
        ["out", "same"],
        [
            _reference(
                helper.make_node("Gemm", ["a", "m"], ["g"], name="product"),
                "alpha",
                "scale",
                onnx.AttributeProto.FLOAT,
            ),
            helper.make_node("Add", ["g", "a"], ["out"]),
            helper.make_node("Identity", ["a"], ["same"]),
        ],
        ["scale"],
    )
    twice = _function(
        "Twice",
        ["a", "m"],
        ["b"],
        [
            helper.make_node("Affine", ["a", "m"], ["c", "unused"], domain="mine", scale=0.5),
            helper.make_node("Affine", ["c", "m"], ["b", "other"], domain="mine", scale=-2.0),
        ],
    )
    nodes = [helper.make_node("Twice", ["x", "w"], ["y"], domain="mine")]
    assert_agrees(tmp_path, _model(nodes, ["y"], {"w": _W}, [affine, twice], extra=_MINE))


def test_a_function_that_bears_an_operators_name_means_what_it_says(tmp_path):
    fake = _function("Relu", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], domain="")
    fake = onnx.FunctionProto.FromString(fake.SerializeToString())
    folded = converter.fold(
        _saved(tmp_path, _model([helper.make_node("Relu", ["x"], ["y"])], ["y"], {}, [fake]))
    )
    np.testing.assert_array_equal(folded.coef, -np.eye(3))
    fake = _function(
        "Add", ["a", "c"], ["b"], [helper.make_node("Mul", ["a", "c"], ["b"])], domain=""
    )
    nodes = [helper.make_node("Add", ["x", "x"], ["y"], name="sum")]
    found = converter.inspect(_saved(tmp_path, _model(nodes, ["y"], {}, [fake])))
    assert [finding.operation for finding in found.findings] == ["Mul"]


def test_functions_that_call_themselves_are_refused(tmp_path):
    node = helper.make_node("Again", ["a"], ["b"], domain="mine")
    again = _function("Again", ["a"], ["b"], [node])
    nodes = [helper.make_node("Again", ["x"], ["y"], domain="mine")]
    model = _model(nodes, ["y"], {}, [again], extra=_MINE)
    with pytest.raises(converter.ModelFileError, match="calls itself"):
        converter.fold(_saved(tmp_path, model))


def test_functions_that_multiply_are_bounded(tmp_path):
    functions = []
    for level in range(30):
        call = f"F{level + 1}"
        body = [
            helper.make_node(call, ["a"], ["c"], domain="mine"),
            helper.make_node(call, ["c"], ["b"], domain="mine"),
        ]
        if level == 29:
            body = [helper.make_node("Neg", ["a"], ["b"])]
        functions.append(_function(f"F{level}", ["a"], ["b"], body))
    nodes = [helper.make_node("F0", ["x"], ["y"], domain="mine")]
    begun = time.perf_counter()
    with pytest.raises(converter.ModelFileError, match="come to more than"):
        converter.fold(_saved(tmp_path, _model(nodes, ["y"], {}, functions, extra=_MINE)))
    assert time.perf_counter() - begun < 60


def test_nested_branches_are_bounded(tmp_path):
    def nested(depth):
        name = f"y{depth}"
        if not depth:
            return helper.make_node("Neg", ["x"], [name])
        inner = _branch([nested(depth - 1)], f"y{depth - 1}", f"b{depth}")
        return helper.make_node("If", ["c"], [name], then_branch=inner, else_branch=inner)

    begun = time.perf_counter()
    folded = assert_agrees(tmp_path, _model([nested(10)], ["y10"], {"c": True}))
    np.testing.assert_array_equal(folded.coef, -np.eye(3))
    deep = _model([_deep(25)], ["y"], {"c": True})
    with pytest.raises(converter.ModelFileError, match="nested too deeply"):
        converter.fold(_saved(tmp_path, deep))
    assert time.perf_counter() - begun < 60


def _deep(depth):
    node = helper.make_node("Neg", ["x"], ["y"])
    for level in range(depth):
        branch = _branch([node], "y", f"b{level}")
        empty = _branch([helper.make_node("Neg", ["x"], ["y"])], "y", "e")
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=empty)
    return node


def test_sparse_and_small_weights_are_read(tmp_path):
    values = numpy_helper.from_array(np.array([2.0, -3.0]), "w")
    indices = numpy_helper.from_array(np.array([[0, 0], [2, 1]]), "i")
    sparse = helper.make_sparse_tensor(values, indices, [3, 2])
    model = _model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["y"])
    model.graph.sparse_initializer.append(sparse)
    folded = converter.fold(_saved(tmp_path, model))
    np.testing.assert_array_equal(folded.coef, [[2, 0, 0], [0, 0, -3]])
    packed = helper.make_tensor("q", TensorProto.INT4, [3, 1], [-8, 7, 3])
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = _model(nodes, ["y"], {"scale": np.float32(0.5)}, opset=21)
    model.graph.initializer.append(packed)
    np.testing.assert_array_equal(converter.fold(_saved(tmp_path, model)).coef, [[-4, 3.5, 1.5]])
