"""Operators that pad, repeat or rearrange whole blocks of elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.tracing.affine import check_size, pin


def pad_2(data: Any, *, pads: Any, mode: str = "constant", value: float = 0.0) -> Any:
    return pad(data, pads, np.float64(value), mode=mode)


def pad_11(data: Any, pads: Any, constant_value: Any = None, *, mode: str = "constant") -> Any:
    return pad(data, pads, constant_value, mode=mode)


def pad_18(
    data: Any, pads: Any, constant_value: Any = None, axes: Any = None, *, mode: str = "constant"
) -> Any:
    if mode == "wrap":
        raise NotAffine("pads in the mode 'wrap', which opset 19 introduced")
    return pad(data, pads, constant_value, axes, mode=mode)


def pad(
    data: Any, pads: Any, constant_value: Any = None, axes: Any = None, *, mode: str = "constant"
) -> Any:
    shape, rank = np.shape(data), np.ndim(data)
    widths = integers(pads)
    along = tuple(range(rank)) if axes is None else integers(axes)
    if any(not -rank <= axis < rank for axis in along) or len(widths) != 2 * len(along):
        raise ValueError(f"{len(widths)} pads for the axes {list(along)} of {list(shape)}")
    along = tuple(axis % rank for axis in along)
    if len(set(along)) < len(along):
        raise ValueError("an axis is named twice")
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(along):
        before[axis], after[axis] = widths[place], widths[len(along) + place]
    cut = [max(-width, 0) for width in before], [max(-width, 0) for width in after]
    if any(a + b > size for a, b, size in zip(*cut, shape, strict=True)):
        raise ValueError("removes more than there is")
    check_size([size + a + b for size, a, b in zip(shape, before, after, strict=True)])
    pin(data, [shape[axis] for axis in along if before[axis] or after[axis]])
    kept = data[tuple(slice(a, size - b) for a, b, size in zip(*cut, shape, strict=True))]
    width = [(max(a, 0), max(b, 0)) for a, b in zip(before, after, strict=True)]
    if mode == "constant":
        return _constant_pad(kept, width, constant_value)
    if mode not in ("edge", "reflect", "wrap"):
        raise NotAffine(f"pads in the unknown mode {mode!r}")
    if any(map(any, cut)):
        raise NotAffine("removes elements and pads by those that stay, which is not supported")
    sizes = np.shape(kept)
    if any(sum(pair) and not size for pair, size in zip(width, sizes, strict=True)):
        raise ValueError("pads an axis without elements")
    return np.pad(kept, width, mode=mode)  # type: ignore[call-overload]


def _constant_pad(data: Any, width: list[tuple[int, int]], value: Any) -> Any:
    if value is None:
        return np.pad(data, width)
    if np.size(value) != 1:
        raise ValueError("the constant to pad with must be a single value")
    value = np.reshape(value, ())
    if isinstance(value, (np.ndarray, np.generic)):
        return np.pad(data, width, constant_values=value)
    edge = np.pad(np.zeros(np.shape(data)), width, constant_values=1.0)
    return np.add(np.pad(data, width), np.multiply(value, edge))


def tile(input: Any, repeats: Any) -> Any:
    times = integers(repeats)
    if len(times) != np.ndim(input) or min(times, default=0) < 0:
        raise ValueError(f"repeats {list(times)} do not fit {list(np.shape(input))}")
    check_size([size * count for size, count in zip(np.shape(input), times, strict=True)])
    return np.tile(input, times)


def depth_to_space_1(input: Any, *, blocksize: int) -> Any:
    return depth_to_space(input, blocksize=blocksize)


def depth_to_space(input: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    if mode not in ("DCR", "CRD"):
        raise NotAffine(f"rearranges in the unknown mode {mode!r}")
    n, c, h, w = _image(input)
    b = blocksize
    if b < 1 or c % (b * b):
        raise ValueError(f"{c} channels do not make blocks of {b}")
    if mode == "DCR":
        parts = np.transpose(np.reshape(input, (n, b, b, c // b**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        parts = np.transpose(np.reshape(input, (n, c // b**2, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return np.reshape(parts, (n, c // b**2, h * b, w * b))


def space_to_depth(input: Any, *, blocksize: int) -> Any:
    n, c, h, w = _image(input)
    b = blocksize
    if b < 1 or h % b or w % b:
        raise ValueError(f"a picture of {h} x {w} does not divide into blocks of {b}")
    parts = np.transpose(np.reshape(input, (n, c, h // b, b, w // b, b)), (0, 3, 5, 1, 2, 4))
    return np.reshape(parts, (n, c * b * b, h // b, w // b))


def space_to_depth_28(input: Any, *, blocksize: int, mode: str = "DCR") -> Any:
    if mode not in ("DCR", "CRD"):
        raise NotAffine(f"rearranges in the unknown mode {mode!r}")
    if mode == "DCR":
        return space_to_depth(input, blocksize=blocksize)
    n, c, h, w = _image(input)
    moved = space_to_depth(input, blocksize=blocksize)
    b = blocksize
    parts = np.transpose(np.reshape(moved, (n, b * b, c, h // b, w // b)), (0, 2, 1, 3, 4))
    return np.reshape(parts, (n, c * b * b, h // b, w // b))


def _image(input: Any) -> tuple[int, int, int, int]:
    if np.ndim(input) != 4:
        raise ValueError("needs four axes: N, C, H, W")
    n, c, h, w = np.shape(input)
    if not math.prod((n, c, h, w)):
        raise ValueError("has no elements")
    return n, c, h, w


OPERATORS: dict[str, Operator] = {
    "DepthToSpace": Operator({1: depth_to_space_1, 11: depth_to_space}, moves=True),
    "Pad": Operator(
        {2: pad_2, 11: pad_11, 18: pad_18, 19: pad},
        accepts="pads are constant; modes constant, edge, reflect, wrap",
    ),
    "SpaceToDepth": Operator({1: space_to_depth, 28: space_to_depth_28}, moves=True),
    "Tile": Operator({6: tile}, moves=True, shape_operands=frozenset({1})),
}
