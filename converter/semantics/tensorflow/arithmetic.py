"""Arithmetic, links, reductions and products."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras import tensorflow
from converter.semantics.keras.ops import elementwise, products, reduction
from converter.semantics.onnx import linking, nonlinear
from converter.semantics.onnx.reduction import cum_sum
from converter.semantics.onnx.refusal import traced
from converter.semantics.tensorflow.operator import Operation
from converter.tracing import algebra
from converter.tracing.affine import pin
from converter.tracing.functions import axis_of
from converter.tracing.linked import CHOICE, FUNCTION


def add_n(*inputs: Any) -> Any:
    return reduce(np.add, inputs)


def divide(x: Any, y: Any) -> Any:
    if not traced(x) and not traced(y) and np.asarray(x).dtype.kind in "iu":
        raise NotAffine("divides whole numbers")
    return np.divide(x, y)


def matmul(
    a: Any,
    b: Any,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    grad_a: bool = False,
    grad_b: bool = False,
) -> Any:
    return tensorflow.matmul(a, b, transpose_a, transpose_b)


def batch_matmul(
    x: Any,
    y: Any,
    *,
    adj_x: bool = False,
    adj_y: bool = False,
    grad_x: bool = False,
    grad_y: bool = False,
) -> Any:
    return tensorflow.matmul(x, y, adj_x, adj_y)


def bias_add(value: Any, bias: Any, *, data_format: str = "NHWC") -> Any:
    if data_format == "NHWC":
        return np.add(value, bias)
    return tensorflow.bias_add(value, bias, data_format)


def einsum(*inputs: Any, equation: str) -> Any:
    return products.einsum(*inputs, subscripts=equation)


def _axes(axis: Any, rank: int) -> list[int]:
    if traced(axis):
        raise NotAffine("reduces along an axis that depends on the input")
    return [int(one) for one in np.asarray(axis).reshape(-1)]


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduces(input: Any, axis: Any, *, keep_dims: bool = False) -> Any:
        along = _axes(axis, np.ndim(input))
        if not along:
            return input
        return function(input, axis=along, keepdims=keep_dims)

    return reduces


def _prod(x: Any, *, axis: Any, keepdims: bool) -> Any:
    result = reduction.prod(x, axis=axis, keepdims=keepdims)
    return result.astype(x.dtype) if isinstance(x, np.ndarray) else result


def cumsum(x: Any, axis: Any, *, exclusive: bool = False, reverse: bool = False) -> Any:
    (along,) = _axes(axis, np.ndim(x))
    pin(x, [np.shape(x)[axis_of(along, np.ndim(x))]])
    return cum_sum(x, np.array(along), exclusive=int(exclusive), reverse=int(reverse))


def softmax(logits: Any) -> Any:
    return elementwise.softmax(logits, axis=-1)


def log_softmax(logits: Any) -> Any:
    return elementwise.log_softmax(logits, axis=-1)


def leaky_relu(features: Any, *, alpha: float = 0.2) -> Any:
    return elementwise.leaky_relu(features, negative_slope=alpha)


def arg_max(input: Any, dimension: Any, *, output_type: Any = "int64") -> Any:
    (along,) = _axes(dimension, np.ndim(input))
    return elementwise.argmax(input, axis=along)


def arg_min(input: Any, dimension: Any, *, output_type: Any = "int64") -> Any:
    (along,) = _axes(dimension, np.ndim(input))
    return elementwise.argmin(input, axis=along)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    return nonlinear.clip(t, clip_value_min, clip_value_max)


def _keras(name: str) -> Callable[..., Any]:
    function = elementwise.OPERATORS[name].function
    assert function is not None
    return function


def _constants(function: Callable[..., Any], reason: str) -> Operation:
    def compute(*x: Any) -> Any:
        result = np.asarray(function(*x))
        kind = getattr(x[0], "dtype", result.dtype)
        return result.astype(kind) if result.dtype.kind == kind.kind == "f" else result

    return Operation(compute, reason, elementwise=True)


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Abs": linking.absolute,
    "Add": np.add,
    "AddV2": np.add,
    "AddN": add_n,
    "ClipByValue": clip_by_value,
    "Div": divide,
    "DivNoNan": elementwise.divide_no_nan,
    "Erf": algebra.erf,
    "Erfc": elementwise.erfc,
    "Exp": algebra.exp,
    "Expm1": elementwise.expm1,
    "Inv": linking.reciprocal,
    "LeakyRelu": leaky_relu,
    "Log": algebra.log,
    "Log1p": elementwise.log1p,
    "LogSoftmax": log_softmax,
    "Mul": np.multiply,
    "MulNoNan": np.multiply,
    "Neg": np.negative,
    "Pow": elementwise.power,
    "RealDiv": divide,
    "Reciprocal": linking.reciprocal,
    "Select": elementwise.where,
    "SelectV2": elementwise.where,
    "Sigmoid": algebra.sigmoid,
    "Softmax": softmax,
    "Sub": np.subtract,
    "Tanh": algebra.tanh,
    "Round": linking.round_,
}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "Max": reduction.maximum,
    "Mean": reduction.mean,
    "Min": reduction.minimum,
    "Prod": _prod,
    "Sum": reduction.sum_,
}
_COMPARES = "compares values that depend on the input"
_ROUNDS = "rounds a value that depends on the input"

_ON_CONSTANTS: dict[str, dict[str, Callable[..., Any]]] = {
    CHOICE: {"Maximum": np.maximum, "Minimum": np.minimum},
    _COMPARES: {
        "Equal": np.equal,
        "LogicalAnd": np.logical_and,
        "LogicalNot": np.logical_not,
        "LogicalOr": np.logical_or,
        "NotEqual": np.not_equal,
    },
    _ROUNDS: {"FloorDiv": np.floor_divide, "FloorMod": np.mod},
    FUNCTION: {
        "Rsqrt": lambda x: 1.0 / np.sqrt(x),
        "Sqrt": np.sqrt,
        "Square": np.square,
        "SquaredDifference": lambda x, y: np.square(x - y),
    },
}

OPERATIONS: dict[str, Operation] = {
    **{name: Operation(function, elementwise=True) for name, function in _ELEMENTWISE.items()},
    **{
        name: Operation(_reduction(function), inert=frozenset({"keepdims"}))
        for name, function in _REDUCTIONS.items()
    },
    **{
        name: Operation(_keras(name), elementwise=True, labels=True)
        for name in ("Greater", "GreaterEqual", "Less", "LessEqual")
    },
    **{
        name: _constants(function, reason)
        for reason, functions in _ON_CONSTANTS.items()
        for name, function in functions.items()
    },
    "ArgMax": Operation(arg_max, labels=True),
    "ArgMin": Operation(arg_min, labels=True),
    "BatchMatMul": Operation(batch_matmul),
    "BatchMatMulV2": Operation(batch_matmul),
    "BatchMatMulV3": Operation(batch_matmul),
    "BiasAdd": Operation(bias_add),
    "BiasAddV1": Operation(np.add),
    "Cumsum": Operation(cumsum),
    "Einsum": Operation(einsum),
    "MatMul": Operation(matmul),
}
