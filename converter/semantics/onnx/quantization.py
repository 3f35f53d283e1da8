"""Weights stored as small integers, and what turns them back into numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.onnx_types import TYPES
from converter.semantics.onnx.operator import Operator
from converter.tracing.affine import check_size


def dequantize_linear_10(x: Any, x_scale: Any, x_zero_point: Any = None) -> Any:
    return _dequantize(x, x_scale, x_zero_point, None, 0)


def dequantize_linear_13(x: Any, x_scale: Any, x_zero_point: Any = None, *, axis: int = 1) -> Any:
    return _dequantize(x, x_scale, x_zero_point, axis, 0)


def dequantize_linear_21(
    x: Any, x_scale: Any, x_zero_point: Any = None, *, axis: int = 1, block_size: int = 0
) -> Any:
    return _dequantize(x, x_scale, x_zero_point, axis, block_size)


def dequantize_linear(
    x: Any,
    x_scale: Any,
    x_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Any:
    result = _dequantize(x, x_scale, x_zero_point, axis, block_size)
    if output_dtype and isinstance(result, np.ndarray):
        if output_dtype not in (1, 10, 11):
            raise NotAffine(f"dequantises to the type {output_dtype}, which is not supported")
        return result.astype(TYPES[output_dtype])
    return result


def _dequantize(x: Any, scale: Any, zero: Any, axis: int | None, block: int) -> Any:
    """Return ``(x - zero point) * scale``, by tensor, along an axis, or in blocks along it."""
    shape = np.shape(x)
    if zero is not None and np.shape(zero) != np.shape(scale):
        raise ValueError("scale and zero point differ in shape")
    if isinstance(x, np.ndarray):
        x = x.astype(np.float64)
    centred = x
    if zero is not None:
        offset = zero.astype(np.float64) if isinstance(zero, np.ndarray) else zero
        centred = np.subtract(x, _spread(offset, shape, axis, block))
    result = np.multiply(centred, _spread(scale, shape, axis, block))
    if isinstance(result, np.ndarray) and isinstance(scale, np.ndarray):
        return result.astype(scale.dtype)
    return result


def _spread(values: Any, shape: tuple[int, ...], axis: int | None, block: int) -> Any:
    """Bring a scale or zero point to a shape that broadcasts to the values'."""
    if np.size(values) == 1 and np.ndim(values) <= 1:
        return np.reshape(values, ())
    rank = len(shape)
    if axis is None or not -rank <= axis < rank:
        raise ValueError(f"a scale of shape {list(np.shape(values))} needs an axis")
    axis %= rank
    if np.ndim(values) == 1 and not block:
        if np.shape(values) != (shape[axis],):
            raise ValueError(f"{np.size(values)} scales for an axis of {shape[axis]}")
        return np.reshape(values, (1,) * axis + (-1,) + (1,) * (rank - axis - 1))
    if block < 1 or np.ndim(values) != rank:
        raise ValueError(f"a scale of shape {list(np.shape(values))} needs a block size")
    blocks = -(-shape[axis] // block)
    if np.shape(values) != (*shape[:axis], blocks, *shape[axis + 1 :]):
        raise ValueError(
            f"a scale of shape {list(np.shape(values))} does not fit blocks of {block} in "
            f"{list(shape)}"
        )
    check_size(shape)
    return np.take(values, np.arange(shape[axis]) // block, axis=axis)


OPERATORS: dict[str, Operator] = {
    "DequantizeLinear": Operator(
        {
            10: dequantize_linear_10,
            13: dequantize_linear_13,
            21: dequantize_linear_21,
            23: dequantize_linear,
        },
        accepts="x and zero point are constant, or the scale is",
    ),
}
