"""Operators that move, repeat or drop elements and compute nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.tracing.affine import check_size, pin
from converter.tracing.functions import axis_of

# Exporters write "to the end" as the largest integer that they have.
_ENDLESS = 2**31 - 1


def reshape(data: Any, shape: Any, *, allowzero: int = 0) -> Any:
    target = [int(size) for size in np.asarray(shape).reshape(-1)]
    if not allowzero:
        for axis, size in enumerate(target):
            if size == 0:
                if axis >= np.ndim(data):
                    raise ValueError(f"the shape {target} copies an axis that does not exist")
                target[axis] = data.shape[axis]
    return np.reshape(data, tuple(target))


def reshape_5(data: Any, shape: Any) -> Any:
    return reshape(data, shape)


def flatten(input: Any, *, axis: int = 1) -> Any:
    rank = np.ndim(input)
    if not -rank <= axis <= rank:
        raise ValueError(f"axis {axis} does not exist")
    axis = axis + rank if axis < 0 else axis
    shape = np.shape(input)
    return np.reshape(input, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def squeeze_1(data: Any, *, axes: Any = None) -> Any:
    return np.squeeze(data, axis=None if axes is None else integers(axes))


def squeeze(data: Any, axes: Any = None) -> Any:
    return squeeze_1(data, axes=axes)


def unsqueeze_1(data: Any, *, axes: Any) -> Any:
    return np.expand_dims(data, axis=integers(axes))


def unsqueeze(data: Any, axes: Any) -> Any:
    return unsqueeze_1(data, axes=axes)


def transpose(data: Any, *, perm: Any = None) -> Any:
    return np.transpose(data, None if perm is None else integers(perm))


def concat(*inputs: Any, axis: int) -> Any:
    return np.concatenate(inputs, axis=axis)


def slice_1(data: Any, *, starts: Any, ends: Any, axes: Any = None) -> Any:
    return slice_10(data, starts, ends, axes)


def slice_10(data: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    first, last = integers(starts), integers(ends)
    along = tuple(range(len(first))) if axes is None else integers(axes)
    by = (1,) * len(first) if steps is None else integers(steps)
    if not len(first) == len(last) == len(along) == len(by):
        raise ValueError("starts, ends, axes and steps differ in length")
    rank = np.ndim(data)
    if any(not -rank <= axis < rank for axis in along):
        raise ValueError(f"an axis among {list(along)} does not exist")
    if len({axis % rank for axis in along}) < len(along):
        raise ValueError("an axis is named twice")
    key = [slice(None)] * rank
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        size = data.shape[axis]
        key[axis % rank] = _range(start, end, step, size)
        if abs(step) > 1 or any(size <= abs(n) < _ENDLESS for n in (start, end)):
            pin(data, [size])
    return data[tuple(key)]


def _range(start: int, end: int, step: int, size: int) -> slice:
    """Return the Python slice for ONNX's start, end and step, clamped as ONNX clamps them."""
    if step == 0:
        raise ValueError("a step of zero")
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    if size == 0:
        return slice(0, 0)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    # A Python slice cannot say "down to and including 0" with a number.
    return slice(start, None if end < 0 else end, step)


def split_2(input: Any, *, axis: int = 0, split: Any = None, node_outputs: int) -> Any:
    return _split(input, axis, split, node_outputs, even=True)


def split_13(input: Any, split: Any = None, *, axis: int = 0, node_outputs: int) -> Any:
    return _split(input, axis, split, node_outputs, even=True)


def split_18(
    input: Any,
    split: Any = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    node_outputs: int,
) -> Any:
    if (split is None) == (num_outputs is None):
        raise ValueError("needs either the input split or the attribute num_outputs")
    return _split(input, axis, split, num_outputs or 0, even=False)


def _split(data: Any, axis: int, split: Any, parts: int, *, even: bool) -> Any:
    rank = np.ndim(data)
    axis = axis_of(axis, rank)
    size = data.shape[axis]
    if split is not None:
        sizes = list(integers(split))
    elif parts <= 0:
        raise ValueError("splits into no parts")
    elif even and size % parts:
        raise ValueError(f"an axis of {size} does not split into {parts} equal parts")
    else:
        width = -(-size // parts)
        sizes = [width] * (parts - 1) + [size - width * (parts - 1)]
    if sum(sizes) != size or min(sizes) < 0:
        raise ValueError(f"the parts {sizes} do not add up to {size}")
    pin(data, [size])
    ends = np.cumsum(sizes)
    before = (slice(None),) * (axis % rank)
    return tuple(
        data[(*before, slice(int(end) - width, int(end)))]
        for end, width in zip(ends, sizes, strict=True)
    )


def expand(input: Any, shape: Any) -> Any:
    target = np.broadcast_shapes(np.shape(input), integers(shape))
    check_size(target)
    return np.broadcast_to(input, target)


def check_flags(*flags: int) -> None:
    """Refuse a flag that is neither 0 nor 1, which runtimes read differently.

    Raises
    ------
    ValueError
    """
    if any(flag not in (0, 1) for flag in flags):
        raise ValueError(f"has a flag that is neither 0 nor 1 among {list(flags)}")


_SHAPE = frozenset({1})

OPERATORS: dict[str, Operator] = {
    "Concat": Operator({4: concat}, moves=True),
    "Expand": Operator({8: expand}, moves=True, shape_operands=_SHAPE),
    "Flatten": Operator({1: flatten}, moves=True, labels=True),
    "Reshape": Operator(
        {5: reshape_5, 14: reshape}, moves=True, shape_operands=_SHAPE, labels=True
    ),
    "Slice": Operator({1: slice_1, 10: slice_10}, moves=True),
    "Split": Operator({2: split_2, 13: split_13, 18: split_18}, moves=True),
    "Squeeze": Operator({1: squeeze_1, 13: squeeze}, moves=True, labels=True),
    "Transpose": Operator({1: transpose}, moves=True),
    "Unsqueeze": Operator({1: unsqueeze_1, 13: unsqueeze}, moves=True, labels=True),
}
