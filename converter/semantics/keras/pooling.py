"""Poolings: means of windows, which are linear, and maxima, which are not.

Source: keras.src.layers.pooling; "same" pads as TensorFlow does, and padding does not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.geometry import (
    each_axis,
    from_first,
    resized,
    spatial_axes,
    to_first,
)
from converter.semantics.keras.layer import Layer
from converter.semantics.precision import floating
from converter.semantics.windows import Windows, averages, lone, patches, sliding, spatial_shape
from converter.tracing.affine import check_size, pin

_CHOICE = "chooses the largest among values that depend on the input"


def average_pooling(
    x: Any, *, pool_size: Any, strides: Any, padding: str, data_format: str = "channels_last"
) -> Any:
    """Return the means of windows."""
    floating(x)
    x = to_first(x, data_format)
    return from_first(averages(x, _windows(x, pool_size, strides, padding)), data_format)


def max_pooling(
    x: Any, *, pool_size: Any, strides: Any, padding: str, data_format: str = "channels_last"
) -> Any:
    """Return the largest elements of windows; one of one element has no choice."""
    x = to_first(x, data_format)
    windows = _windows(x, pool_size, strides, padding)
    shape = (*np.shape(x)[:2], *windows.output)
    index = windows.index(x)
    single = lone(index)
    if single is not None:
        return from_first(np.reshape(patches(x, single), shape), data_format)
    if not isinstance(x, np.ndarray):
        raise NotAffine(_CHOICE, shape=np.shape(from_first(np.empty(shape), data_format)))
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    largest = np.max(patches(x, index, lowest), axis=2)
    return from_first(np.reshape(largest, shape), data_format)


def _windows(x: Any, pool_size: Any, strides: Any, padding: str) -> Windows:
    if padding not in ("valid", "same"):
        raise NotAffine(f"has the unknown padding {padding!r}")
    spatial = spatial_shape(x)
    kernel = each_axis(pool_size, len(spatial), "pool_size")
    along = kernel if strides is None else each_axis(strides, len(spatial), "strides")
    windows = sliding(
        spatial, kernel, auto_pad="SAME_UPPER" if padding == "same" else "VALID", strides=along
    )
    check_size((*np.shape(x)[:2], *kernel, *windows.output))
    return windows


def global_average_pooling(
    x: Any, *, data_format: str = "channels_last", keepdims: bool = False
) -> Any:
    """Return the mean over all spatial axes."""
    axes = spatial_axes(x, data_format)
    return np.mean(x, axis=axes, keepdims=bool(keepdims))


def global_max_pooling(
    x: Any, *, data_format: str = "channels_last", keepdims: bool = False
) -> Any:
    """Return the largest element over all spatial axes."""
    axes = spatial_axes(x, data_format)
    for axis in axes:
        pin(x, [np.shape(x)[axis]])
    if all(np.shape(x)[axis] == 1 for axis in axes):
        return x if keepdims else np.squeeze(x, axis=axes)
    if isinstance(x, np.ndarray):
        return np.max(x, axis=axes, keepdims=bool(keepdims))
    raise NotAffine(_CHOICE, shape=np.shape(np.sum(np.empty(x.shape), axes, keepdims=keepdims)))


def adaptive_average_pooling(x: Any, *, output_size: Any, data_format: str) -> Any:
    """Return the means of as many windows as are asked for, of almost equal sizes."""
    floating(x)
    axes = spatial_axes(x, data_format)
    matrices = []
    for axis, made in zip(axes, each_axis(output_size, len(axes), "output_size"), strict=True):
        size = np.shape(x)[axis]
        pin(x, [size])
        check_size((made, size))
        within = _adaptive(size, made)
        matrices.append(within / within.sum(axis=1, keepdims=True))
    return resized(x, matrices, axes)


def adaptive_max_pooling(x: Any, *, output_size: Any, data_format: str) -> Any:
    """Return the largest elements of as many windows as are asked for."""
    axes = spatial_axes(x, data_format)
    sizes = each_axis(output_size, len(axes), "output_size")
    shape = list(np.shape(x))
    for axis, made in zip(axes, sizes, strict=True):
        size = np.shape(x)[axis]
        pin(x, [size])
        check_size((made, size))
        shape[axis] = made
        within = _adaptive(size, made)
        if (within.sum(axis=1) > 1).any():
            raise NotAffine(_CHOICE, shape=_shaped(np.shape(x), axes, sizes))
        x = np.take(x, within.argmax(axis=1), axis=axis)
    return x


def _shaped(
    shape: tuple[int, ...], axes: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[int, ...]:
    made = list(shape)
    for axis, size in zip(axes, sizes, strict=True):
        made[axis] = size
    return tuple(made)


def _adaptive(size: int, made: int) -> np.ndarray:
    """Return which elements (size) belong to which window (made)."""
    if size < 1:
        raise ValueError("pools an axis without elements")
    places = np.arange(made)
    start, end = places * size // made, -(-(places + 1) * size // made)
    element = np.arange(size)
    return (element >= start[:, None]) & (element < end[:, None])


def _each(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{rank}D" for name in names for rank in (1, 2, 3))


LAYERS: dict[str, Layer] = {
    **dict.fromkeys(_each("AveragePooling", "AvgPool"), Layer(average_pooling)),
    **dict.fromkeys(_each("MaxPooling", "MaxPool"), Layer(max_pooling, whole="kept")),
    **dict.fromkeys(_each("GlobalAveragePooling", "GlobalAvgPool"), Layer(global_average_pooling)),
    **dict.fromkeys(
        _each("GlobalMaxPooling", "GlobalMaxPool"), Layer(global_max_pooling, whole="kept")
    ),
    **dict.fromkeys(_each("AdaptiveAveragePooling"), Layer(adaptive_average_pooling)),
    **dict.fromkeys(_each("AdaptiveMaxPooling"), Layer(adaptive_max_pooling, whole="kept")),
}
