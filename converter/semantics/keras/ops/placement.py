"""Operations that pick or place elements by constant indices, and that look codes up."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.levels import Codes
from converter.semantics.keras.geometry import whole_numbers
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.ops.elementwise import cast
from converter.semantics.onnx import indexing
from converter.semantics.onnx.refusal import traced
from converter.tracing.codes import expand, kind_of, present
from converter.tracing.functions import axis_of


def take(x: Any, indices: Any, *, axis: Any = None) -> Any:
    """Pick elements; of a constant table by a code, look the code up."""
    if traced(indices):
        if traced(x):
            raise NotAffine("picks by an index that depends on the input")
        kind = kind_of(np.asarray(x))
        table = np.asarray(x, dtype=np.float64)
        table = table.reshape(-1) if axis is None else np.moveaxis(table, axis, 0)
        rank, along = np.ndim(indices), 0 if axis is None else axis_of(axis, np.ndim(x))
        flat = table.reshape(len(table), -1)
        rows = expand(indices, Codes(len(table)), flat)
        shape = np.shape(indices)
        rows = rows.reshape((*shape, *table.shape[1:]))
        # The axes in front of the one that was looked up come first again.
        order = [*range(rank, rank + along), *range(rank), *range(rank + along, np.ndim(rows))]
        return rows.transpose(order).as_kind(kind)
    if axis is None:
        x, axis = np.reshape(x, (-1,)), 0
    return indexing.gather(x, np.asarray(indices), axis=axis)


def take_along_axis(x: Any, indices: Any, *, axis: Any = None) -> Any:
    where = _constant(indices)
    if axis is None:
        return indexing.gather_elements(np.reshape(x, (-1,)), where, axis=0)
    along = axis_of(axis, np.ndim(x))
    shapes = [
        tuple(1 if i == along else size for i, size in enumerate(np.shape(one)))
        for one in (x, where)
    ]
    joint = list(np.broadcast_shapes(*shapes))
    x = np.broadcast_to(x, [*joint[:along], np.shape(x)[along], *joint[along + 1 :]])
    where = np.broadcast_to(where, [*joint[:along], where.shape[along], *joint[along + 1 :]])
    return indexing.gather_elements(x, where, axis=along)


def _constant(indices: Any) -> np.ndarray:
    if traced(indices):
        raise NotAffine("picks or places by an index that depends on the input")
    return np.asarray(indices)


def scatter(indices: Any, values: Any, *, shape: Any) -> Any:
    """Add values into zeros."""
    target = whole_numbers(shape, "shape")
    return indexing.scatter_nd(np.zeros(target), _constant(indices), values, reduction="add")


def scatter_update(inputs: Any, indices: Any, updates: Any, *, reduction: Any = None) -> Any:
    if reduction not in (None, "add", "mul", "max", "min"):
        raise NotAffine(f"scatters with the unknown reduction {reduction!r}")
    return indexing.scatter_nd(inputs, _constant(indices), updates, reduction=reduction or "none")


def one_hot(
    x: Any, *, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Any:
    levels = _classes(num_classes)
    if not traced(x):
        raise NotAffine("encodes a constant")
    hot = expand(x, levels, np.eye(num_classes, dtype=bool), zeros=True)
    return np.moveaxis(hot, -1, axis).as_kind(_kind(dtype))


def multi_hot(
    inputs: Any,
    *,
    num_classes: Any = None,
    num_tokens: Any = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
) -> Any:
    count = num_tokens if num_classes is None else num_classes
    levels = _classes(count)
    if not traced(inputs) or np.ndim(inputs) != 2 or axis not in (-1, 2):
        raise NotAffine("encodes sets that do not lie along the last axis")
    return present(inputs, levels, np.eye(count, dtype=bool)).as_kind(_kind(dtype))


def _kind(dtype: Any) -> str:
    """Return the kind of numbers that are made in a type; by default, floating point ones."""
    return "f" if dtype is None else kind_of(cast(np.zeros(0, np.int64), dtype=dtype))


def _classes(count: Any) -> Codes:
    if type(count) is not int or not 0 < count <= 1 << 13:
        raise NotAffine(f"encodes {count!r} classes one by one; an Embedding is meant here")
    return Codes(count)


OPERATORS: dict[str, Layer] = {
    "MultiHot": Layer(multi_hot, whole="kept"),
    "OneHot": Layer(one_hot, whole="kept"),
    "Scatter": Layer(scatter, whole="wraps"),
    "ScatterUpdate": Layer(scatter_update, whole="wraps"),
    "Take": Layer(take, whole="kept"),
    "TakeAlongAxis": Layer(take_along_axis, moves=True, whole="kept"),
}
