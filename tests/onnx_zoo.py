"""Small ONNX networks: each is folded and compared with what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS = "rows"


@dataclass
class Graph:
    """Collects nodes and weights of a graph in double precision."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    rng: Any = field(default_factory=lambda: np.random.default_rng(11))

    def weight(self, *shape: int) -> str:
        return self.constant(self.rng.uniform(-1.5, 1.5, shape))

    def constant(self, values: Any, dtype: Any = None) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values, dtype=dtype)
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def add(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{operation.lower()}{len(self.nodes)}.{i}" for i in range(outputs)]
        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def model(
        self,
        outputs: list[str],
        inputs: dict[str, list[Any]] | None = None,
        opset: int = 17,
        kind: int = TensorProto.DOUBLE,
    ) -> onnx.ModelProto:
        inputs = inputs or {"x": [ROWS, 4]}
        graph = helper.make_graph(
            self.nodes,
            "zoo",
            [helper.make_tensor_value_info(n, kind, shape) for n, shape in inputs.items()],
            [helper.make_tensor_value_info(name, kind, None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )


def saved(folder: Path, case: Callable[[Graph], str]) -> tuple[Path, onnx.ModelProto]:
    """Save the graph that a case builds, given one, up to the output that it returns."""
    graph = Graph()
    model = graph.model([case(graph)])
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path, model


def matmul_add() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Add", g.add("MatMul", "x", g.weight(4, 3)), g.weight(3))
    return g.model([g.add("Add", g.weight(2), g.add("MatMul", h, g.weight(3, 2)))])


def gemm_attributes() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Gemm", "x", g.weight(3, 4), g.weight(3), alpha=0.5, beta=0.25, transB=1)
    h = g.add("Gemm", h, g.weight(3, 3), g.weight(1, 3), beta=0.0)
    h = g.add("Transpose", h, perm=[1, 0])
    return g.model([g.add("Gemm", h, g.weight(3, 2), transA=1, alpha=-2.0)])


def constant_times_data() -> onnx.ModelProto:
    g = Graph()
    column = g.add("Unsqueeze", "x", g.integers(2))
    left = g.add("MatMul", g.weight(3, 4), column)
    return g.model([g.add("Squeeze", left, g.integers(-1))])


def batched_matmul() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Reshape", "x", g.integers(0, 2, 1, 2))
    h = g.add("MatMul", h, g.weight(2, 2, 3))
    return g.model([g.add("MatMul", h, g.weight(3))])


def arithmetic() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Sub", g.weight(1), g.add("Mul", "x", g.weight(4)))
    h = g.add("Div", g.add("Neg", h), g.weight(1, 4))
    h = g.add("Sum", h, "x", g.weight(4), g.add("Identity", "x"))
    h = g.add("Mean", h, "x", "x")
    return g.model([g.add("ReduceSum", g.add("Sub", h, "x"), g.integers(1), keepdims=0)])


def normalised() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Reshape", "x", g.integers(-1, 2, 2))
    variance = g.constant([0.5, 2.0])
    h = g.add("BatchNormalization", h, *(g.weight(2) for _ in range(3)), variance, epsilon=0.1)
    return g.model([g.add("Flatten", h)])


def movements() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Reshape", "x", g.integers(0, 3, 4))
    a, b = g.add("Split", h, g.integers(1, 2), outputs=2, axis=1)
    a = g.add("Expand", a, g.integers(1, 2, 4))
    h = g.add("Concat", a, b, g.add("Transpose", b, perm=[0, 1, 2]), axis=1)
    h = g.add(
        "Slice", h, g.integers(-1, 3), g.integers(-100, 0), g.integers(1, 2), g.integers(-2, -1)
    )
    h = g.add("Gather", h, g.integers(2, 0, -1, 2), axis=2)
    h = g.add("Transpose", h, perm=[0, 2, 1])
    return g.model([g.add("Flatten", h, axis=-2)], {"x": [ROWS, 12]})


def means() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Reshape", "x", g.integers(0, 2, 3))
    a = g.add("ReduceMean", h, axes=[-1], keepdims=0)
    b = g.add("ReduceMean", h, axes=[1, 2], keepdims=1)
    b = g.add("Squeeze", b, g.integers(2))
    return g.model([g.add("Add", a, b)], {"x": [ROWS, 6]})


def lone_maxima() -> onnx.ModelProto:
    """Each window sees one element and padding, which is never the largest."""
    g = Graph()
    h = g.add("Reshape", "x", g.integers(0, 2, 3))
    h = g.add("MaxPool", h, kernel_shape=[2], strides=[3], pads=[1, 1])
    return g.model([g.add("Flatten", h)], {"x": [ROWS, 6]})


def exported_reshape() -> onnx.ModelProto:
    """The way exporters flatten: read the number of rows, and reshape with it."""
    g = Graph()
    rows = g.add("Gather", g.add("Shape", "x"), g.constant(0, np.int64))
    shape = g.add("Concat", g.add("Unsqueeze", rows, g.integers(0)), g.integers(-1), axis=0)
    h = g.add("Reshape", "x", shape)
    return g.model([g.add("Gemm", h, g.weight(4, 1), g.weight(1))], {"x": [ROWS, 2, 2]})


def zeros_of_batch() -> onnx.ModelProto:
    g = Graph()
    zeros = g.add(
        "ConstantOfShape",
        g.add("Shape", "x"),
        value=numpy_helper.from_array(np.array([2.5])),
    )
    return g.model([g.add("Concat", g.add("Add", "x", zeros), zeros, axis=1)])


def size_of_features() -> onnx.ModelProto:
    """The number of columns is a constant of the network; only the number of rows is not."""
    g = Graph()
    columns = g.add("Gather", g.add("Shape", "x"), g.constant(1, np.int64))
    return g.model([g.add("Div", "x", g.add("Cast", columns, to=TensorProto.DOUBLE))])


def constants_only() -> onnx.ModelProto:
    g = Graph()
    c = g.add("Constant", value=numpy_helper.from_array(np.array([4.0, 9.0, 16.0, 25.0])))
    c = g.add("Relu", g.add("Neg", g.add("Sqrt", c)))
    c = g.add("Sub", c, g.add("Constant", value=numpy_helper.from_array(np.array(1.5))))
    return g.model([g.add("Mul", "x", c)])


def rounded_constants() -> onnx.ModelProto:
    """0.7 * 10 is 7 in single precision and a little less in double."""
    g = Graph()
    seven = g.add("Mul", g.constant(0.7, np.float32), g.constant(10.0, np.float32))
    seven = g.add("Cast", g.add("Floor", seven), to=TensorProto.DOUBLE)
    half = g.add("ReduceMean", g.constant([1, 2], np.int64), axes=[0])
    factor = g.add("Add", seven, g.add("Cast", half, to=TensorProto.DOUBLE))
    return g.model([g.add("Mul", "x", factor)])


def dot() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("MatMul", "x", g.weight(4))], {"x": [4]})


def from_integers() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Cast", "x", to=TensorProto.DOUBLE)
    return g.model([g.add("MatMul", h, g.weight(4, 1))], kind=TensorProto.DOUBLE)


def several_inputs() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Concat", "income", "age", axis=1)
    return g.model([g.add("MatMul", h, g.weight(2, 1))], {"age": [ROWS, 1], "income": [ROWS, 1]})


def unused_input() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Mul", "x", g.weight(4))], {"idle": [ROWS, 2], "x": [ROWS, 4]})


def dropout() -> onnx.ModelProto:
    g = Graph()
    kept, _ = g.add("Dropout", "x", g.constant(0.5), outputs=2)
    return g.model([g.add("MatMul", kept, g.weight(4, 2))])


def old_opset() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Unsqueeze", "x", axes=[1])
    h = g.add("Slice", h, axes=[2], starts=[-3], ends=[1000])
    h = g.add("Squeeze", h, axes=[1])
    h = g.add("Dropout", h, ratio=0.3)
    h = g.add("ReduceSum", g.add("Gemm", h, g.weight(3, 2), g.weight(2)), axes=[1])
    return g.model([h], opset=8)


def dead_branch() -> onnx.ModelProto:
    g = Graph()
    g.add("Relu", "x")
    return g.model([g.add("Add", "x", g.weight(4))])


def fixed_batch() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Reshape", "x", g.integers(1, 4))
    return g.model([g.add("MatMul", h, g.weight(4, 2))], {"x": [1, 2, 2]})


def wide_output() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Add", g.add("MatMul", "x", g.weight(4, 9)), g.weight(9))
    return g.model([g.add("Reshape", h, g.integers(-1, 3, 3))])


def logistic() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Sigmoid", g.add("Gemm", "x", g.weight(4, 1), g.weight(1)))])


def logistic_moved() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Sigmoid", g.add("Gemm", "x", g.weight(4, 2), g.weight(2)))
    h = g.add("Unsqueeze", h, g.integers(1))
    return g.model([g.add("Flatten", g.add("Concat", h, h, axis=2))])


AFFINE: dict[str, Callable[[], onnx.ModelProto]] = {
    case.__name__: case
    for case in (
        matmul_add,
        gemm_attributes,
        constant_times_data,
        batched_matmul,
        arithmetic,
        normalised,
        movements,
        means,
        lone_maxima,
        exported_reshape,
        zeros_of_batch,
        size_of_features,
        constants_only,
        rounded_constants,
        from_integers,
        several_inputs,
        unused_input,
        dropout,
        old_opset,
        dead_branch,
        fixed_batch,
        wide_output,
    )
}
LOGISTIC: dict[str, Callable[[], onnx.ModelProto]] = {
    case.__name__: case for case in (logistic, logistic_moved)
}


def relu() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Relu", g.add("MatMul", "x", g.weight(4, 3)))
    return g.model([g.add("Tanh", g.add("MatMul", h, g.weight(3, 1)))])


def hidden_sigmoid() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Sigmoid", g.add("MatMul", "x", g.weight(4, 3)))
    return g.model([g.add("MatMul", h, g.weight(3, 1))])


def product() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Mul", g.add("MatMul", "x", g.weight(4, 4)), "x")])


def quotient() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Div", g.weight(4), "x")])


def mixes_rows() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Sub", "x", g.add("ReduceMean", "x", axes=[0]))])


def rows_in_numbers() -> onnx.ModelProto:
    g = Graph()
    rows = g.add("Gather", g.add("Shape", "x"), g.constant(0, np.int64))
    return g.model([g.add("Mul", "x", g.add("Cast", rows, to=TensorProto.DOUBLE))])


def two_rows_only() -> onnx.ModelProto:
    """An identity for a batch of two, and a mixture of rows for any other."""
    g = Graph()
    return g.model([g.add("Reshape", "x", g.integers(2, -1))])


def later_rows() -> onnx.ModelProto:
    """The fourth row on: nothing in a batch of two or three, a mixture in any larger one."""
    g = Graph()
    rest = g.add("Slice", "x", g.integers(3), g.integers(2**62), g.integers(0))
    return g.model([g.add("Add", "x", g.add("ReduceSum", rest, g.integers(0)))])


def three_rows() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Slice", "x", g.integers(0), g.integers(3), g.integers(0))])


def old_mask() -> onnx.ModelProto:
    g = Graph()
    _, mask = g.add("Dropout", "x", outputs=2)
    return g.model([g.add("Add", "x", g.add("Cast", mask, to=TensorProto.DOUBLE))], opset=8)


def rounding() -> onnx.ModelProto:
    g = Graph()
    h = g.add("Cast", "x", to=TensorProto.INT64)
    return g.model([g.add("Cast", h, to=TensorProto.DOUBLE)])


def training_mode() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Dropout", "x", g.constant(0.5), g.constant(True))])


def unknown_operator() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("Frobnicate", "x")])


def unknown_attribute() -> onnx.ModelProto:
    g = Graph()
    return g.model([g.add("MatMul", "x", g.weight(4, 1), alpha=2.0)])


#: Case -> nodes that must be named, in order.
REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], tuple[str, ...]]] = {
    "relu": (relu, ("Relu_1", "Tanh_3")),
    "hidden_sigmoid": (hidden_sigmoid, ("Sigmoid_1",)),
    "product": (product, ("Mul_1",)),
    "quotient": (quotient, ("Div_0",)),
    "mixes_rows": (mixes_rows, ("sub1.0",)),
    "rows_in_numbers": (rows_in_numbers, ("Mul_3",)),
    "two_rows_only": (two_rows_only, ("reshape0.0",)),
    "later_rows": (later_rows, ("Slice_0",)),
    "three_rows": (three_rows, ("Slice_0",)),
    "old_mask": (old_mask, ("Dropout_0",)),
    "rounding": (rounding, ("Cast_0",)),
    "training_mode": (training_mode, ("Dropout_0",)),
    "unknown_operator": (unknown_operator, ("Frobnicate_0",)),
    "unknown_attribute": (unknown_attribute, ("MatMul_0",)),
}
