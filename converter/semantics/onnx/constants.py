"""Operators that make constants, and casts between number types."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.onnx_types import BFLOAT16, TYPES
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
) -> Any:
    given = [v for v in (value, value_float, value_floats, value_int, value_ints) if v is not None]
    if len(given) != 1:
        raise ValueError("needs exactly one value")
    if value is not None:
        return np.asarray(value)
    is_int = value_int is not None or value_ints is not None
    return np.asarray(given[0], dtype=np.int64 if is_int else np.float32)


def constant_1(*, value: Any) -> Any:
    return np.asarray(value)


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
    if to == BFLOAT16:
        return _round_bfloat16(array)
    if to not in TYPES:
        raise NotAffine(f"casts to the type {to}, which is not supported")
    return array.astype(TYPES[to])


def _float_only(to: int) -> None:
    if to not in (1, 10, 11, BFLOAT16):
        raise NotAffine(
            f"casts a value that depends on the input to {TYPES[to].name}, which rounds"
            if to in TYPES
            else f"casts to the type {to}, which is not supported"
        )


def _round_bfloat16(array: np.ndarray) -> np.ndarray:
    """Round to bfloat16 (nearest, ties to even), held as float32."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


OPERATORS: dict[str, Operator] = {
    "Cast": Operator({6: cast}, moves="first", inert=frozenset({"saturate", "round_mode"})),
    "Constant": Operator({1: constant_1, 12: constant}),
    "ConstantOfShape": Operator({9: constant_of_shape}, shape_operands=frozenset({0})),
    "Shape": Operator({1: shape_1, 15: shape_15}, reads_shape=True),
    "Size": Operator({1: size}, reads_shape=True),
}
