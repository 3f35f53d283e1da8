"""Arithmetic, links, reductions and products."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.ops import elementwise, products, reduction
from converter.semantics.keras.tensorflow import arithmetic as functions
from converter.semantics.onnx import linking, nonlinear
from converter.semantics.onnx.reduction import cum_sum
from converter.semantics.onnx.refusal import refuse, traced
from converter.semantics.tensorflow.operator import Operation
from converter.tracing import algebra
from converter.tracing.affine import Affine, pin
from converter.tracing.functions import axis_of
from converter.tracing.linked import ACTIVATION


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
    return functions.matmul(a, b, transpose_a, transpose_b)


def batch_matmul(
    x: Any,
    y: Any,
    *,
    adj_x: bool = False,
    adj_y: bool = False,
    grad_x: bool = False,
    grad_y: bool = False,
) -> Any:
    return functions.matmul(x, y, adj_x, adj_y)


def batch_matmul_3(
    x: Any,
    y: Any,
    *,
    Tout: Any,
    adj_x: bool = False,
    adj_y: bool = False,
    grad_x: bool = False,
    grad_y: bool = False,
) -> Any:
    if not traced(x) and not traced(y):
        x, y = elementwise.cast(x, dtype=Tout), elementwise.cast(y, dtype=Tout)
    return functions.matmul(x, y, adj_x, adj_y)


def bias_add(value: Any, bias: Any, *, data_format: str = "NHWC") -> Any:
    if data_format == "NHWC":
        return np.add(value, bias)
    return functions.bias_add(value, bias, data_format)


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
        whole = isinstance(input, np.ndarray) and input.dtype.kind in "iu"
        integer = isinstance(input, Affine) and input.kind != "f"
        if (whole or integer) and function is reduction.mean:
            raise NotAffine("averages whole numbers")
        result = function(input, axis=along, keepdims=keep_dims)
        return np.asarray(result).astype(input.dtype) if whole else result

    return reduces


def cumsum(x: Any, axis: Any, *, exclusive: bool = False, reverse: bool = False) -> Any:
    (along,) = _axes(axis, np.ndim(x))
    pin(x, [np.shape(x)[axis_of(along, np.ndim(x))]])
    return cum_sum(x, np.array(along), exclusive=int(exclusive), reverse=int(reverse))


def softmax(logits: Any) -> Any:
    return elementwise.softmax(logits, axis=-1)


def log_softmax(logits: Any) -> Any:
    return elementwise.log_softmax(logits, axis=-1)


def elu(features: Any) -> Any:
    return nonlinear.elu(features)


def relu_6(features: Any) -> Any:
    if algebra.within(features, 0.0, 6.0):
        return features
    refuse(ACTIVATION, features)
    return np.clip(features, 0, 6)


def leaky_relu(features: Any, *, alpha: float = 0.2) -> Any:
    return elementwise.leaky_relu(features, negative_slope=alpha)


def arg_max(input: Any, dimension: Any, *, output_type: Any = "int64") -> Any:
    (along,) = _axes(dimension, np.ndim(input))
    return elementwise.argmax(input, axis=along)


def arg_min(input: Any, dimension: Any, *, output_type: Any = "int64") -> Any:
    (along,) = _axes(dimension, np.ndim(input))
    return elementwise.argmin(input, axis=along)


def select(condition: Any, t: Any, e: Any) -> Any:
    """Choose element by element; a condition with one axis chooses along the first."""
    if np.ndim(condition) == 1 and np.ndim(t) > 1:
        condition = np.reshape(condition, (-1, *(1,) * (np.ndim(t) - 1)))
    return elementwise.where(condition, t, e)


def cross(a: Any, b: Any) -> Any:
    return products.cross(a, b)


def _extreme(name: str, sign: float) -> Operation:
    """Return an operation that is the identity where a bound is as far off as the type allows."""
    versions = nonlinear.OPERATORS[name].versions
    function = versions[max(versions)]
    assert function is not None

    def extreme(x: Any, y: Any, *, T: Any = None) -> Any:
        if not traced(x) and not traced(y):
            return function(x, y)
        x, y = (_unbound(one, T, sign) for one in (x, y))
        value, bound = (x, y) if isinstance(x, Affine) else (y, x)
        if not isinstance(value, Affine) or not isinstance(bound, np.ndarray):
            return function(x, y)
        least = value.tape.least.get(value.index)
        if sign > 0 and least is not None and np.all(bound <= least):
            return np.array(np.broadcast_to(bound, np.broadcast_shapes(x.shape, y.shape)))
        try:
            return function(x, y)
        except NotAffine as refused:
            if sign < 0 and bound.size and T in ("int32", "int64"):
                refused.least = float(bound.min())
            raise

    return Operation(extreme, infinite=frozenset({0, 1}))


def _unbound(bound: Any, kind: Any, sign: float) -> Any:
    """Return a bound that no number of the type goes beyond as an infinite one."""
    if not isinstance(bound, np.ndarray) or kind not in _LARGEST:
        return bound
    return np.full(bound.shape, np.inf * sign) if np.all(bound * sign >= _LARGEST[kind]) else bound


_LARGEST = {kind: float(np.finfo(kind).max) for kind in ("float16", "float32", "float64")}


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, *, T: Any = None) -> Any:
    low, high = clip_value_min, clip_value_max
    if traced(t):
        low, high = _unbound(low, T, -1.0), _unbound(high, T, 1.0)
    return nonlinear.clip(t, low, high)


def _keras(name: str) -> Callable[..., Any]:
    function = elementwise.OPERATORS[name].function
    assert function is not None
    return function


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Abs": linking.absolute,
    "Add": elementwise.add,
    "AddV2": elementwise.add,
    "AddN": add_n,
    "Div": divide,
    "DivNoNan": elementwise.divide_no_nan,
    "Elu": elu,
    "Erf": algebra.erf,
    "Erfc": elementwise.erfc,
    "Exp": algebra.exp,
    "Expm1": elementwise.expm1,
    "Inv": linking.reciprocal,
    "LeakyRelu": leaky_relu,
    "Log": algebra.log,
    "Log1p": elementwise.log1p,
    "LogSoftmax": log_softmax,
    "Mul": elementwise.multiply,
    "MulNoNan": elementwise.multiply,
    "Neg": elementwise.negative,
    "Pow": elementwise.power,
    "RealDiv": divide,
    "Relu": nonlinear.relu,
    "Relu6": relu_6,
    "Reciprocal": linking.reciprocal,
    "SelectV2": elementwise.where,
    "Sigmoid": algebra.sigmoid,
    "Softmax": softmax,
    "Sub": elementwise.subtract,
    "Tanh": algebra.tanh,
    "Round": linking.round_,
}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "Max": reduction.maximum,
    "Mean": reduction.mean,
    "Min": reduction.minimum,
    "Prod": reduction.prod,
    "Sum": reduction.sum_,
}
OPERATIONS: dict[str, Operation] = {
    **{name: Operation(function) for name, function in _ELEMENTWISE.items()},
    **{
        name: Operation(_reduction(function), inert=frozenset({"keepdims"}))
        for name, function in _REDUCTIONS.items()
    },
    **{
        name: Operation(_keras(name), labels=True)
        for name in ("Greater", "GreaterEqual", "Less", "LessEqual")
    },
    "ArgMax": Operation(arg_max, labels=True),
    "ArgMin": Operation(arg_min, labels=True),
    "BatchMatMul": Operation(batch_matmul),
    "BatchMatMulV2": Operation(batch_matmul),
    "BatchMatMulV3": Operation(batch_matmul_3),
    "BiasAdd": Operation(bias_add),
    "ClipByValue": Operation(clip_by_value, infinite=frozenset({1, 2})),
    "BiasAddV1": Operation(elementwise.add),
    "Select": Operation(select),
    "Cross": Operation(cross),
    "Cumsum": Operation(cumsum),
    "Einsum": Operation(einsum),
    "MatMul": Operation(matmul),
    "Maximum": _extreme("Max", -1.0),
    "Minimum": _extreme("Min", 1.0),
}
