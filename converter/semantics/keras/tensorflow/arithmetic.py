"""Arithmetic, links, reductions and products."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.ops import elementwise, products
from converter.semantics.keras.tensorflow.operands import operand_of
from converter.semantics.onnx import nonlinear
from converter.semantics.onnx.reduction import cum_sum
from converter.semantics.onnx.refusal import traced
from converter.tracing.affine import pin
from converter.tracing.functions import axis_of


def add(x: Any, y: Any) -> Any:
    return np.add(operand_of(x), operand_of(y))


def subtract(x: Any, y: Any) -> Any:
    return np.subtract(operand_of(x), operand_of(y))


def multiply(x: Any, y: Any) -> Any:
    return np.multiply(operand_of(x), operand_of(y))


def scalar_mul(scalar: Any, x: Any) -> Any:
    return np.multiply(operand_of(scalar), operand_of(x))


def divide(x: Any, y: Any) -> Any:
    return np.divide(operand_of(x), operand_of(y))


def divide_no_nan(x: Any, y: Any) -> Any:
    return elementwise.divide_no_nan(operand_of(x), operand_of(y))


def power(x: Any, y: Any) -> Any:
    return elementwise.power(operand_of(x), operand_of(y))


def add_n(inputs: Any) -> Any:
    return reduce(np.add, map(operand_of, inputs))


def identity(input: Any) -> Any:
    return input


def cast(x: Any, dtype: Any) -> Any:
    return elementwise.cast(x, dtype=dtype)


def bias_add(value: Any, bias: Any, data_format: Any = None) -> Any:
    bias = operand_of(bias)
    if np.ndim(bias) != 1:
        raise ValueError("a bias that is no list")
    if data_format in (None, "N...C", "NHWC", "NWC", "NDHWC"):
        return np.add(value, bias)
    if data_format in ("NC...", "NCHW", "NCW", "NCDHW"):
        return np.add(value, np.reshape(bias, (-1, *(1,) * (np.ndim(value) - 2))))
    raise NotAffine(f"has the unknown data format {data_format!r}")


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
) -> Any:
    if a_is_sparse or b_is_sparse or output_type is not None:
        raise NotAffine("multiplies in another type, or sparse matrices")
    a, b = operand_of(a), operand_of(b)
    a = np.swapaxes(a, -1, -2) if transpose_a or adjoint_a else a
    return products.matmul(a, np.swapaxes(b, -1, -2) if transpose_b or adjoint_b else b)


def matvec(a: Any, b: Any, transpose_a: bool = False) -> Any:
    return matmul(a, np.expand_dims(operand_of(b), -1), transpose_a)[..., 0]


def tensordot(a: Any, b: Any, axes: Any) -> Any:
    return products.tensordot(operand_of(a), operand_of(b), axes=axes)


def reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduces(
        input_tensor: Any,
        axis: Any = None,
        keepdims: Any = None,
        reduction_indices: Any = None,
        keep_dims: Any = None,
    ) -> Any:
        along = reduction_indices if axis is None else axis
        kept = bool(keep_dims if keepdims is None else keepdims)
        return function(operand_of(input_tensor), axis=along, keepdims=kept)

    return reduces


def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Any:
    pin(x, [np.shape(x)[axis_of(axis, np.ndim(x))]])
    return cum_sum(x, np.array(axis), exclusive=int(exclusive), reverse=int(reverse))


def softmax(logits: Any, axis: Any = None, dim: Any = None) -> Any:
    along = dim if axis is None else axis
    return elementwise.softmax(logits, axis=-1 if along is None else along)


def log_softmax(logits: Any, axis: Any = None, dim: Any = None) -> Any:
    along = dim if axis is None else axis
    return elementwise.log_softmax(logits, axis=-1 if along is None else along)


def leaky_relu(features: Any, alpha: Any = 0.2) -> Any:
    return elementwise.leaky_relu(features, negative_slope=alpha)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    return nonlinear.clip(t, operand_of(clip_value_min), operand_of(clip_value_max))


def argmax(input: Any, axis: Any = None, dimension: Any = None, output_type: Any = None) -> Any:
    along = dimension if axis is None else axis
    return elementwise.argmax(input, axis=0 if along is None else along)


def argmin(input: Any, axis: Any = None, dimension: Any = None, output_type: Any = None) -> Any:
    along = dimension if axis is None else axis
    return elementwise.argmin(input, axis=0 if along is None else along)


def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: Any
) -> Any:
    given = [operand_of(one) for one in (mean, variance, offset, scale, variance_epsilon)]
    if any(traced(one) for one in given):
        raise NotAffine("normalises by values that depend on the input")
    center, spread, shift, factor, epsilon = given
    inverse = 1.0 / np.sqrt(np.asarray(spread, dtype=np.float64) + epsilon)
    y = np.multiply(np.subtract(x, center), inverse if factor is None else inverse * factor)
    return y if shift is None else np.add(y, shift)


def one_operand(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Give a function of one operand, whatever TensorFlow calls that operand."""

    def apply(x: Any) -> Any:
        return function(x)

    return apply


def comparison(name: str) -> Callable[..., Any]:
    compares = elementwise.OPERATORS[name].function
    assert compares is not None

    def compare(x: Any, y: Any) -> Any:
        return compares(operand_of(x), operand_of(y))

    return compare
