"""Layers that change the size of spatial axes: padding, cropping, repeating, interpolating.

Source: keras.src.layers.reshaping and keras.src.layers.preprocessing.image_preprocessing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras import sampling
from converter.semantics.keras.geometry import (
    each_axis,
    pairs,
    resized,
    spatial_axes,
    whole_numbers,
)
from converter.semantics.keras.layer import Layer
from converter.semantics.precision import floating
from converter.tracing.affine import check_size, pin


def zero_padding(x: Any, *, padding: Any, data_format: str = "channels_last") -> Any:
    axes = spatial_axes(x, data_format)
    return _padded(x, axes, pairs(padding, len(axes), "padding"), 0.0)


def _padded(x: Any, axes: tuple[int, ...], amounts: Any, fill: float) -> Any:
    widths = [(0, 0)] * np.ndim(x)
    shape = list(np.shape(x))
    for axis, (before, after) in zip(axes, amounts, strict=True):
        pin(x, [shape[axis]])
        widths[axis] = (before, after)
        shape[axis] += before + after
    check_size(shape)
    return np.pad(x, widths, constant_values=fill)


def cropping(x: Any, *, cropping: Any, data_format: str = "channels_last") -> Any:
    axes = spatial_axes(x, data_format)
    for axis, (before, after) in zip(axes, pairs(cropping, len(axes), "cropping"), strict=True):
        size = np.shape(x)[axis]
        if before + after >= size:
            raise ValueError(f"cuts {before} and {after} elements off an axis of {size}")
        x = _part(x, axis, before, size - before - after)
    return x


def _part(x: Any, axis: int, start: int, length: int) -> Any:
    pin(x, [np.shape(x)[axis]])
    return x[(slice(None),) * axis + (slice(start, start + length),)]


def up_sampling(
    x: Any, *, size: Any, data_format: str = "channels_last", interpolation: str = "nearest"
) -> Any:
    """Repeat elements, or interpolate between them."""
    axes = spatial_axes(x, data_format)
    factors = each_axis(size, len(axes), "size")
    if interpolation == "nearest":
        shape = list(np.shape(x))
        for axis, factor in zip(axes, factors, strict=True):
            shape[axis] *= factor
            check_size(shape)
            x = np.repeat(x, factor, axis=axis)
        return x
    if len(axes) != 2:
        raise NotAffine("interpolates between other than two spatial axes")
    sizes = [np.shape(x)[axis] * factor for axis, factor in zip(axes, factors, strict=True)]
    return _interpolated(x, axes, sizes, interpolation, False)


def repeat_vector(x: Any, *, n: int) -> Any:
    if np.ndim(x) != 2:
        raise ValueError("repeats a value that is no vector")
    (count,) = whole_numbers(n, "n")
    check_size((np.shape(x)[0], max(count, 0), np.shape(x)[1]))
    return np.repeat(np.expand_dims(x, 1), count, axis=1)


def resizing(
    x: Any,
    *,
    height: int,
    width: int,
    interpolation: str = "bilinear",
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    antialias: bool = False,
    data_format: str = "channels_last",
) -> Any:
    """Interpolate to a given size, the picture cut or filled up before so that it fits."""
    axes, wanted = _picture(x, height, width, data_format)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("both cuts a picture and fills it up")
    if crop_to_aspect_ratio:
        x = _to_aspect(x, axes, wanted)
    if pad_to_aspect_ratio:
        if fill_mode != "constant":
            raise NotAffine(f"fills up in the mode {fill_mode!r}, which is not supported")
        if isinstance(fill_value, bool) or not isinstance(fill_value, (int, float)):
            raise ValueError(f"fill_value must be a number, not {fill_value!r}")
        shape = [np.shape(x)[axis] for axis in axes]
        more = [
            max(scaled - size, 0) // 2
            for scaled, size in zip(_scaled(shape, wanted), shape, strict=True)
        ]
        x = _padded(x, axes, [(one, one) for one in more], fill_value)
    return _interpolated(x, axes, wanted, interpolation, bool(antialias))


def _picture(x: Any, height: int, width: int, data_format: str) -> tuple[Any, tuple[int, ...]]:
    """Return the axes and the sizes wanted of a batch of pictures."""
    wanted = whole_numbers([height, width], "height and width")
    if np.ndim(x) != 4:
        raise NotAffine("is given one picture, and no batch of pictures with the rows in front")
    if min(wanted) < 1:
        raise ValueError(f"makes pictures of {wanted[0]} x {wanted[1]}")
    return spatial_axes(x, data_format), wanted


def _scaled(shape: Any, wanted: Any) -> tuple[int, int]:
    """Return what height goes with the width, and the other way round, in the wanted aspect.

    The division is done in 32 bits, as Keras does it.
    """
    (height, width), (rows, columns) = shape, wanted
    return (
        int(np.float32(width * rows) / np.float32(columns)),
        int(np.float32(height * columns) / np.float32(rows)),
    )


def _to_aspect(x: Any, axes: tuple[int, ...], wanted: tuple[int, ...]) -> Any:
    """Cut the middle out of pictures, as large as the wanted aspect allows."""
    shape = [np.shape(x)[axis] for axis in axes]
    for axis, size, most in zip(axes, shape, _scaled(shape, wanted), strict=True):
        kept = max(min(size, most), 1)
        x = _part(x, axis, (size - kept) // 2, kept)
    return x


def _interpolated(
    x: Any, axes: tuple[int, ...], sizes: Any, interpolation: str, antialias: bool
) -> Any:
    if not isinstance(interpolation, str):
        raise ValueError(f"the interpolation {interpolation!r} is unknown")
    method = interpolation.lower()
    shape = list(np.shape(x))
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
        check_size(shape)
    before = [np.shape(x)[axis] for axis in axes]
    pin(x, before)
    if before == list(sizes) and method not in ("gaussian", "mitchellcubic"):
        return x  # these alone blur what keeps its size
    if method != "nearest":
        floating(x)
    matrices = [
        sampling.matrix(size, made, method, antialias)
        for size, made in zip(before, sizes, strict=True)
    ]
    if method == "nearest":
        for axis, matrix in zip(axes, matrices, strict=True):
            x = np.take(x, matrix.argmax(axis=1), axis=axis)
        return x
    return resized(x, matrices, axes)


def center_crop(x: Any, *, height: int, width: int, data_format: str = "channels_last") -> Any:
    """Cut out the middle; pictures that are too small are enlarged instead."""
    axes, wanted = _picture(x, height, width, data_format)
    spare = [np.shape(x)[axis] - size for axis, size in zip(axes, wanted, strict=True)]
    if min(spare) >= 0:
        for axis, more, size in zip(axes, spare, wanted, strict=True):
            x = _part(x, axis, more // 2, size)
        return x
    return _interpolated(_to_aspect(x, axes, wanted), axes, wanted, "bilinear", False)


def random_crop(
    x: Any,
    *,
    height: int,
    width: int,
    data_format: str = "channels_last",
    rng_type: Any = None,
) -> Any:
    """At inference, leave pictures of the right size alone; what becomes of others depends.

    Keras 2, which alone writes an rng_type, cuts them to the right aspect and resizes them.
    """
    axes, wanted = _picture(x, height, width, data_format)
    if rng_type is not None:
        return _interpolated(_to_aspect(x, axes, wanted), axes, wanted, "bilinear", False)
    if tuple(np.shape(x)[axis] for axis in axes) != wanted:
        raise NotAffine(
            "crops pictures at inference in some versions of Keras and not in others; put a "
            "CenterCrop or a Resizing in its place"
        )
    pin(x, wanted)
    return x


def _each(name: str) -> tuple[str, ...]:
    return tuple(f"{name}{rank}D" for rank in (1, 2, 3))


LAYERS: dict[str, Layer] = {
    "CenterCrop": Layer(center_crop),
    **dict.fromkeys(_each("Cropping"), Layer(cropping, whole="kept")),
    "RandomCrop": Layer(random_crop, inert=frozenset({"bounding_box_format", "factor"})),
    "RepeatVector": Layer(repeat_vector, whole="kept"),
    # It rounds what it makes of whole numbers.
    "Resizing": Layer(resizing, whole="kept", inert=frozenset({"bounding_box_format"})),
    **dict.fromkeys(_each("UpSampling"), Layer(up_sampling, whole="kept")),
    **dict.fromkeys(_each("ZeroPadding"), Layer(zero_padding, whole="kept")),
}
