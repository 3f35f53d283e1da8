"""Operators that pick or place elements by constant indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import in_type_of
from converter.tracing.affine import check_size, pin
from converter.tracing.functions import axis_of
from converter.tracing.linked import CHOICE

# Updates that may meet in one place.
_MAX_ROUNDS = 1024


def gather(data: Any, indices: Any, *, axis: int = 0) -> Any:
    where = _indices(indices)
    shape = np.shape(data)
    axis = axis_of(axis, len(shape))
    check_size((*shape[:axis], *where.shape, *shape[axis + 1 :]))
    return np.take(data, _wrapped(where, shape[axis]), axis=axis)


def gather_elements(data: Any, indices: Any, *, axis: int = 0) -> Any:
    return _pick([data], _element_places(np.shape(data), _indices(indices), axis))


def gather_nd_11(data: Any, indices: Any) -> Any:
    return gather_nd(data, indices)


def gather_nd(data: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    shape, where = np.shape(data), _indices(indices)
    depth = where.shape[-1] if where.ndim else 0
    if not 0 <= batch_dims < min(len(shape), where.ndim) or batch_dims + depth > len(shape):
        raise ValueError(f"indices of shape {list(where.shape)} do not fit {list(shape)}")
    if depth == 0 or where.shape[:batch_dims] != shape[:batch_dims]:
        raise ValueError(f"indices of shape {list(where.shape)} do not fit {list(shape)}")
    tail = shape[batch_dims + depth :]
    check_size((*where.shape[:-1], *tail))
    batch = np.indices(where.shape[:-1])[:batch_dims]
    parts = [*batch, *np.moveaxis(where, -1, 0)]
    return _pick([data], _slice_places(shape, parts))


def scatter_elements_9(data: Any, indices: Any, updates: Any, *, axis: int = 0) -> Any:
    return scatter_elements(data, indices, updates, axis=axis)


def scatter_elements(
    data: Any, indices: Any, updates: Any, *, axis: int = 0, reduction: str = "none"
) -> Any:
    where = _indices(indices)
    if where.shape != np.shape(updates):
        raise ValueError(
            f"indices of shape {list(where.shape)} for updates of {list(np.shape(updates))}"
        )
    return _scatter(data, _element_places(np.shape(data), where, axis), updates, reduction)


def scatter_nd_11(data: Any, indices: Any, updates: Any) -> Any:
    return scatter_nd(data, indices, updates)


def scatter_nd(data: Any, indices: Any, updates: Any, *, reduction: str = "none") -> Any:
    shape, where = np.shape(data), _indices(indices)
    depth = where.shape[-1] if where.ndim else 0
    if not 0 < depth <= len(shape) or np.shape(updates) != (*where.shape[:-1], *shape[depth:]):
        raise ValueError(
            f"indices of shape {list(where.shape)} and updates of {list(np.shape(updates))} do "
            f"not fit {list(shape)}"
        )
    check_size(np.shape(updates))
    places = _slice_places(shape, list(np.moveaxis(where, -1, 0)))
    return _scatter(data, places, updates, reduction)


def tensor_scatter(
    past_cache: Any,
    update: Any,
    write_indices: Any = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Any:
    if mode not in ("linear", "circular"):
        raise NotAffine(f"scatters in the unknown mode {mode!r}")
    shape, part = np.shape(past_cache), np.shape(update)
    axis = axis_of(axis, len(shape))
    if axis == 0 or len(part) != len(shape) or part[axis] > shape[axis]:
        raise ValueError(f"an update of shape {list(part)} does not fit {list(shape)}")
    if part[:axis] + part[axis + 1 :] != shape[:axis] + shape[axis + 1 :]:
        raise ValueError(f"an update of shape {list(part)} does not fit {list(shape)}")
    start = np.zeros(shape[0], np.int64) if write_indices is None else _indices(write_indices)
    if start.shape != shape[:1]:
        raise ValueError("needs one write index for each sample")
    parts = list(np.indices(part))
    sequence = parts[axis] + start.reshape(-1, *(1,) * (len(part) - 1))
    parts[axis] = sequence % shape[axis] if mode == "circular" else sequence
    if (parts[axis] < 0).any():
        raise ValueError("has a negative write index")
    return _scatter(past_cache, _slice_places(shape, parts), update, "none")


def _scatter(data: Any, places: np.ndarray, updates: Any, reduction: str) -> Any:
    """Return the data with the updates put at flat places, or combined with what is there."""
    shape, size = np.shape(data), math.prod(np.shape(data))
    flat = places.reshape(-1)
    if reduction == "none":
        # Where two updates meet in one place, the last one stays.
        source = np.arange(size)
        source[flat] = size + np.arange(flat.size)
        return _pick([data, updates], source.reshape(shape))
    if reduction == "add":
        total = data
        for index in _rounds(flat, size):
            total = np.add(total, _pick([np.zeros(1), updates], index.reshape(shape) + 1))
        return in_type_of(data, total)
    if reduction == "mul":
        factor = data
        for index in _rounds(flat, size):
            factor = np.multiply(factor, _pick([np.ones(1), updates], index.reshape(shape) + 1))
        return in_type_of(data, factor)
    if reduction not in ("min", "max"):
        raise NotAffine(f"scatters with the unknown reduction {reduction!r}")
    if not isinstance(data, np.ndarray) or not isinstance(updates, np.ndarray):
        raise NotAffine(CHOICE)
    result = np.array(data).reshape(-1)
    extreme = np.minimum if reduction == "min" else np.maximum
    extreme.at(result, flat, updates.reshape(-1))
    return result.reshape(shape)


def _rounds(places: np.ndarray, size: int) -> list[np.ndarray]:
    """Return, round by round, which update meets each place, -1 for none."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if order.size else order > 0
    start = np.maximum.accumulate(np.where(first, np.arange(order.size), 0))
    turn = np.arange(order.size) - start
    rounds = int(turn.max()) + 1 if turn.size else 0
    if rounds > _MAX_ROUNDS:
        raise NotAffine(f"adds more than {_MAX_ROUNDS:,} updates to one place")
    check_size((rounds, size))
    found = []
    for number in range(rounds):
        index = np.full(size, -1)
        mine = turn == number
        index[ordered[mine]] = order[mine]
        found.append(index)
    return found


def _pick(values: list[Any], index: np.ndarray) -> Any:
    """Return elements of several values laid one behind the other, by flat index."""
    if len(values) == 1:
        return np.take(np.reshape(values[0], (-1,)), index)
    return np.take(np.concatenate([np.reshape(value, (-1,)) for value in values]), index)


def _element_places(shape: tuple[int, ...], where: np.ndarray, axis: int) -> np.ndarray:
    """Return flat places for one index a position, along one axis."""
    axis = axis_of(axis, len(shape))
    if where.ndim != len(shape):
        raise ValueError(f"indices of shape {list(where.shape)} do not fit {list(shape)}")
    check_size(where.shape)
    parts: list[np.ndarray] = list(np.indices(where.shape, sparse=True))
    parts[axis] = where
    return _flat(shape, parts)


def _slice_places(shape: tuple[int, ...], parts: list[np.ndarray]) -> np.ndarray:
    """Return flat places of whole slices: `parts` index the leading axes."""
    tail = shape[len(parts) :]
    rest = np.indices(tail, sparse=True)
    wide = [np.reshape(part, np.shape(part) + (1,) * len(tail)) for part in parts]
    return _flat(shape, [*wide, *rest])


def _flat(shape: tuple[int, ...], parts: list[np.ndarray]) -> np.ndarray:
    total: Any = 0
    for size, part in zip(shape, parts, strict=True):
        total = total * size + _wrapped(part, size)
    return np.asarray(total)


def _wrapped(where: np.ndarray, size: int) -> np.ndarray:
    """Return indices counted from the front.

    Raises
    ------
    ValueError
        If one lies outside.
    """
    if where.size and (where.min() < -size or where.max() >= size):
        raise ValueError(f"an index lies outside an axis of {size}")
    return np.where(where < 0, where + size, where)


def _indices(values: Any) -> np.ndarray:
    where = np.asarray(values)
    if where.dtype.kind not in "iu":
        raise ValueError("indices must be integers")
    return where.astype(np.int64, copy=False)


def compress(input: Any, condition: Any, *, axis: int | None = None) -> Any:
    chosen = np.flatnonzero(np.asarray(condition))
    if np.ndim(condition) != 1:
        raise ValueError("the condition must have one axis")
    if axis is None:
        input, axis = np.reshape(input, (-1,)), 0
    axis = axis_of(axis, np.ndim(input))
    pin(input, [input.shape[axis]])
    return np.take(input, _wrapped(chosen, input.shape[axis]), axis=axis)


def trilu(input: Any, k: Any = None, *, upper: int = 1) -> Any:
    shape = np.shape(input)
    if len(shape) < 2:
        raise ValueError("needs two axes")
    (offset,) = (0,) if k is None else integers(k)
    pin(input, shape[-2:])
    offset = min(max(offset, -shape[-2] - 1), shape[-1] + 1)
    row, column = np.ogrid[: shape[-2], : shape[-1]]
    kept = column - row >= offset if upper else column - row <= offset
    zero = np.zeros((), input.dtype if isinstance(input, np.ndarray) else np.float64)
    return np.where(np.broadcast_to(kept, shape), input, zero)


def reverse_sequence(
    input: Any, sequence_lens: Any, *, batch_axis: int = 1, time_axis: int = 0
) -> Any:
    shape = np.shape(input)
    if {batch_axis, time_axis} != {0, 1} or len(shape) < 2:
        raise ValueError("batch and time must be the first two axes")
    lengths = _indices(sequence_lens)
    steps = shape[time_axis]
    if lengths.shape != (shape[batch_axis],) or (lengths < 0).any() or (lengths > steps).any():
        raise ValueError("needs a length within the sequence for each batch entry")
    pin(input, [steps])
    time = np.arange(steps)[:, None]
    source = np.where(time < lengths, lengths - 1 - time, time)  # (time, batch)
    batch = np.broadcast_to(np.arange(lengths.size), source.shape)
    parts = [source, batch] if time_axis == 0 else [batch.T, source.T]
    return _pick([input], _slice_places(shape, parts))


OPERATORS: dict[str, Operator] = {
    "Compress": Operator({9: compress}, accepts="the condition is constant"),
    "Gather": Operator({1: gather}, moves=True, labels=True),
    "GatherElements": Operator({11: gather_elements}, moves=True),
    "GatherND": Operator({11: gather_nd_11, 12: gather_nd}, moves=True),
    "ReverseSequence": Operator({10: reverse_sequence}, accepts="the lengths are constant"),
    "Scatter": Operator(
        {9: scatter_elements_9}, accepts="indices are constant; reduction none, add or mul"
    ),
    "ScatterElements": Operator(
        {11: scatter_elements_9, 16: scatter_elements},
        accepts="indices are constant; reduction none, add or mul",
    ),
    "ScatterND": Operator(
        {11: scatter_nd_11, 16: scatter_nd},
        accepts="indices are constant; reduction none, add or mul",
    ),
    "TensorScatter": Operator({24: tensor_scatter}, accepts="the write indices are constant"),
    "Trilu": Operator({14: trilu}, accepts="k is constant"),
}
