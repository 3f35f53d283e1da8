"""Operators that make constants, and casts between number types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.containers import round_bfloat16
from converter.formats.onnx_types import BFLOAT16, STRING, TYPES
from converter.semantics.onnx.operator import Operator
from converter.tracing.affine import Affine, check_size
from converter.tracing.linked import Linked


def constant(
    *,
    value: Any = None,
    value_float: float | None = None,
    value_floats: Any = None,
    value_int: int | None = None,
    value_ints: Any = None,
    value_string: Any = None,
    value_strings: Any = None,
    sparse_value: Any = None,
) -> Any:
    strings = value_string if value_string is None else [value_string]
    strings = value_strings if strings is None else strings
    tensors = (value, sparse_value, value_float, value_floats, value_int, value_ints, strings)
    given = [v for v in tensors if v is not None]
    if len(given) != 1:
        raise ValueError("needs exactly one value")
    if isinstance(given[0], np.ndarray):
        return given[0]
    if strings is not None:
        array = np.array(strings, dtype=object)
        return array.reshape(()) if value_string is not None else array
    is_int = value_int is not None or value_ints is not None
    return np.asarray(given[0], dtype=np.int64 if is_int else np.float32)


def constant_1(*, value: Any) -> Any:
    return np.asarray(value)


def constant_11(*, value: Any = None, sparse_value: Any = None) -> Any:
    return constant(value=value, sparse_value=sparse_value)


def constant_of_shape(input: Any, *, value: Any = None) -> Any:
    fill = np.zeros(1, np.float32) if value is None else np.asarray(value)
    if fill.size != 1:
        raise ValueError("the value must have one element")
    shape = tuple(int(size) for size in np.asarray(input).reshape(-1))
    check_size(shape)
    return np.broadcast_to(fill.reshape(()), shape)


def shape_1(data: Any) -> Any:
    return np.asarray(np.shape(data), dtype=np.int64)


def shape_15(data: Any, *, start: int = 0, end: int | None = None) -> Any:
    return shape_1(data)[start:end]


def size(data: Any) -> Any:
    return np.asarray(np.size(data), dtype=np.int64)


def cast(input: Any, *, to: int) -> Any:
    if isinstance(input, Linked):
        _float_only(to)
        return input
    if isinstance(input, Affine):
        if to == 7 and input.kind in "iu":
            return input.as_kind("i")
        _float_only(to)
        return input.as_float()
    array = np.asarray(input)
    if to == STRING:
        if array.dtype.kind not in "iubO":
            raise NotAffine("casts numbers to strings")
        return np.array([str(v) for v in array.reshape(-1)], dtype=object).reshape(array.shape)
    if array.dtype.kind == "O":
        raise NotAffine("casts strings to numbers")
    if to == BFLOAT16:
        return round_bfloat16(array)
    if to not in TYPES:
        raise NotAffine(f"casts to the type {to}, which is not supported")
    return array.astype(TYPES[to])


def cast_like(input: Any, target_type: Any) -> Any:
    """Cast to the type of another value; of a traced one only the kind of number is known."""
    if isinstance(target_type, (Affine, Linked)):
        kind = target_type.kind if isinstance(target_type, Affine) else "f"
        if isinstance(input, Affine) and (kind == "f" or kind == input.kind == "i"):
            return input.as_kind(kind)
        if kind != "f" or (isinstance(input, np.ndarray) and input.dtype.kind not in "fiub"):
            raise NotAffine("casts to the type of a value that depends on the input")
        return input if isinstance(input, Linked) else input.astype(np.float64)
    types = {dtype: number for number, dtype in reversed(TYPES.items())}
    if target_type.dtype.kind == "O":
        return cast(input, to=STRING)
    return cast(input, to=types[target_type.dtype])


def range_(start: Any, limit: Any, delta: Any) -> Any:
    """Count from start to limit, which is left out, by delta."""
    first, last, step = (np.asarray(v).reshape(()) for v in (start, limit, delta))
    if not np.isfinite([float(v) for v in (first, last, step)]).all() or step == 0:
        raise ValueError("needs finite numbers and a step other than zero")
    if first.dtype.kind in "iu":
        count = max(-((int(first) - int(last)) // int(step)), 0)
    else:
        count = max(math.ceil((float(last) - float(first)) / float(step)), 0)
    check_size((count,))
    return (first + np.arange(count) * step).astype(first.dtype)


def range_27(start: Any, limit: Any, delta: Any, *, stash_type: int = 1) -> Any:
    if stash_type != 1:
        raise NotAffine(f"has the unknown stash_type {stash_type}")
    return range_(start, limit, delta)


def one_hot(indices: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    where = np.asarray(indices)
    (count,) = (int(n) for n in np.asarray(depth).reshape(-1))
    rank = where.ndim + 1
    if count < 1 or not -rank <= axis < rank or np.shape(values) != (2,):
        raise ValueError("needs a positive depth, an axis that exists, and two values")
    axis %= rank
    check_size((*where.shape[:axis], count, *where.shape[axis:]))
    where = np.where((where >= -count) & (where < 0), where + count, where)
    levels = np.arange(count).reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))
    hot = np.expand_dims(where, axis) == levels
    return np.take(values, hot.astype(np.int64))


def eye_like(input: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    shape = np.shape(input)
    if len(shape) != 2:
        raise ValueError("needs two axes")
    if dtype is not None and dtype not in TYPES:
        raise NotAffine(f"makes numbers of the type {dtype}, which is not supported")
    if dtype is None and isinstance(input, Affine) and input.kind != "f":
        raise NotAffine("makes integers of a type that is not known")
    own = input.dtype if isinstance(input, np.ndarray) else np.dtype(np.float64)
    check_size(shape)
    row, column = np.ogrid[: shape[0], : shape[1]]
    return (column - row == k).astype(own if dtype is None else TYPES[dtype])


def _float_only(to: int) -> None:
    if to not in (1, 10, 11, BFLOAT16):
        raise NotAffine(
            f"casts a value that depends on the input to {TYPES[to].name}, which rounds"
            if to in TYPES
            else f"casts to the type {to}, which is not supported"
        )


OPERATORS: dict[str, Operator] = {
    "Cast": Operator(
        {6: cast}, moves=True, labels=True, inert=frozenset({"saturate", "round_mode"})
    ),
    "CastLike": Operator({15: cast_like}, labels=True, inert=frozenset({"saturate", "round_mode"})),
    "Constant": Operator({1: constant_1, 11: constant_11, 12: constant}),
    "ConstantOfShape": Operator({9: constant_of_shape}, shape_operands=frozenset({0})),
    "EyeLike": Operator({9: eye_like}, reads_shape=True),
    "OneHot": Operator({9: one_hot}, accepts="indices and depth are constant"),
    "Range": Operator({11: range_, 27: range_27}, accepts="all operands are constant"),
    "Shape": Operator({1: shape_1, 15: shape_15}, reads_shape=True),
    "Size": Operator({1: size}, reads_shape=True),
}
