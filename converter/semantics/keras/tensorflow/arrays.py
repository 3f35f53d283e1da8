"""Functions that move, join, cut and look up, and those that read shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.ops import elementwise, movement, placement
from converter.semantics.keras.tensorflow.operands import operand_of, sizes_of
from converter.semantics.onnx import indexing
from converter.semantics.onnx.refusal import traced
from converter.tracing.affine import check_size


def reshape(tensor: Any, shape: Any) -> Any:
    return np.reshape(tensor, sizes_of(shape))


def concat(values: Any, axis: int) -> Any:
    return np.concatenate([operand_of(one) for one in values], axis=axis)


def stack(values: Any, axis: int = 0) -> Any:
    return np.stack([operand_of(one) for one in values], axis=axis)


def unstack(value: Any, num: Any = None, axis: int = 0) -> Any:
    return movement.unstack(value, num=num, axis=axis)


def split(value: Any, num_or_size_splits: Any, axis: int = 0, num: Any = None) -> Any:
    if type(num_or_size_splits) is int:
        return movement.split(value, indices_or_sections=num_or_size_splits, axis=axis)
    sizes = list(sizes_of(num_or_size_splits))
    size = np.shape(value)[axis]
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = size - sum(one for one in sizes if one >= 0)
    if sum(sizes) != size or min(sizes) < 0:
        raise ValueError(f"parts of {sizes} do not make {size}")
    ends = np.cumsum(sizes)[:-1].tolist()
    return movement.split(value, indices_or_sections=ends, axis=axis)


def expand_dims(input: Any, axis: Any = None, dim: Any = None) -> Any:
    return movement.expand_dims(operand_of(input), axis=dim if axis is None else axis)


def squeeze(input: Any, axis: Any = None, squeeze_dims: Any = None) -> Any:
    axis = squeeze_dims if axis is None else axis
    return movement.squeeze(input, axis=axis or None if isinstance(axis, list) else axis)


def transpose(a: Any, perm: Any = None, conjugate: bool = False) -> Any:
    return movement.transpose(a, axes=perm)


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    widths = np.asarray(paddings)
    if widths.dtype.kind not in "iu" or widths.shape != (np.ndim(tensor), 2):
        raise ValueError(f"paddings {paddings!r} do not fit {np.ndim(tensor)} axes")
    kind = mode.lower()
    if kind not in ("constant", "reflect", "symmetric"):
        raise NotAffine(f"pads in the unknown mode {mode!r}")
    value = operand_of(constant_values) if kind == "constant" else None
    return movement.pad(tensor, value, pad_width=widths.tolist(), mode=kind)


def tile(input: Any, multiples: Any) -> Any:
    return movement.tile(input, repeats=list(sizes_of(multiples)))


def repeat(input: Any, repeats: Any, axis: Any = None) -> Any:
    return movement.repeat(input, repeats=repeats, axis=axis)


def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
) -> Any:
    if batch_dims:
        raise NotAffine("gathers batch by batch, which is not supported")
    where = operand_of(indices)
    return placement.take(operand_of(params), where, axis=0 if axis is None else axis)


def embedding_lookup(params: Any, ids: Any, max_norm: Any = None) -> Any:
    if max_norm is not None:
        raise NotAffine("limits the norm of what it looks up")
    return placement.take(operand_of(params), operand_of(ids), axis=0)


def gather_nd(params: Any, indices: Any, batch_dims: int = 0) -> Any:
    where = operand_of(indices)
    if traced(where):
        raise NotAffine("picks by an index that depends on the input")
    return indexing.gather_nd(params, np.asarray(where), batch_dims=batch_dims)


def reverse(tensor: Any, axis: Any) -> Any:
    return movement.flip(tensor, axis=axis)


def roll(input: Any, shift: Any, axis: Any) -> Any:
    return movement.roll(input, shift=shift, axis=axis)


def slice_(input_: Any, begin: Any, size: Any) -> Any:
    return movement.slice_(input_, list(sizes_of(begin)), shape=list(sizes_of(size)))


def get_item(tensor: Any, slice_spec: Any) -> Any:
    """Index as Python does; a slice is written out as a dictionary."""
    several = slice_spec if isinstance(slice_spec, list) else [slice_spec]
    return movement.get_item(tensor, [_key(one) for one in several])


def _key(one: Any) -> Any:
    if isinstance(one, dict):
        if set(one) != {"start", "stop", "step"}:
            raise NotAffine("indexes by something that is no constant number or slice")
        return slice(*(_bound(one[name]) for name in ("start", "stop", "step")))
    if isinstance(one, str) and one == "...":
        return Ellipsis
    return _bound(one)


def _bound(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iu":
        return int(value.reshape(()))
    return value


def strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
    var: Any = None,
) -> Any:
    if var is not None:
        raise NotAffine("assigns to a variable")
    first, last = sizes_of(begin), sizes_of(end)
    by = (1,) * len(first) if strides is None else sizes_of(strides)
    keys: list[Any] = []
    for i, (a, b, step) in enumerate(zip(first, last, by, strict=True)):
        bit = 1 << i
        if ellipsis_mask & bit:
            keys.append(Ellipsis)
        elif new_axis_mask & bit:
            keys.append(None)
        elif shrink_axis_mask & bit:
            keys.append(a)
        else:
            start = None if begin_mask & bit else a
            keys.append(slice(start, None if end_mask & bit else b, step))
    return movement.get_item(input_, keys)


def broadcast_to(input: Any, shape: Any) -> Any:
    target = sizes_of(shape)
    check_size(target)
    return np.broadcast_to(operand_of(input), target)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return elementwise.where(operand_of(condition), operand_of(x), operand_of(y))


def zeros_like(input: Any, dtype: Any = None, optimize: bool = True, layout: Any = None) -> Any:
    return elementwise.zeros_like(input, dtype=dtype)


def ones_like(input: Any, dtype: Any = None, optimize: bool = True, layout: Any = None) -> Any:
    return elementwise.ones_like(input, dtype=dtype)


def fill(dims: Any, value: Any) -> Any:
    target = sizes_of(dims)
    check_size(target)
    return np.broadcast_to(operand_of(value), target)


def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: Any = None,
    dtype: Any = None,
) -> Any:
    low, high = 0.0 if off_value is None else off_value, 1.0 if on_value is None else on_value
    hot = placement.one_hot(indices, num_classes=depth, axis=-1 if axis is None else axis)
    if low == 0.0 and high == 1.0:
        return hot
    return np.add(np.multiply(hot, np.float64(high - low)), np.float64(low))


def shape(input: Any, out_type: Any = None) -> Any:
    return np.array(np.shape(input), dtype=np.int64)


def size(input: Any, out_type: Any = None) -> Any:
    return np.asarray(np.size(input))


def rank(input: Any) -> Any:
    return np.asarray(np.ndim(input))
