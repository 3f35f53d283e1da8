"""Spatial axes of Keras layers: data formats, sizes given for each axis or once for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.errors import NotAffine

_FORMATS = ("channels_last", "channels_first")


def whole_numbers(values: Any, name: str) -> tuple[int, ...]:
    """Return a list of integers of a configuration, or one integer as such a list."""
    several = values if isinstance(values, (list, tuple)) else [values]
    if any(type(value) is not int for value in several):
        raise ValueError(f"{name} must hold whole numbers, not {values!r}")
    return tuple(several)


def each_axis(values: Any, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """Return one number for each of `rank` axes; a single number serves all of them."""
    numbers = whole_numbers(values, name)
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank or any(number < least for number in numbers):
        raise ValueError(f"{name} is {values!r}, which does not fit {rank} spatial axes")
    return numbers


def pairs(values: Any, rank: int, name: str) -> tuple[tuple[int, int], ...]:
    """Return amounts at the beginning and at the end of each of `rank` axes."""
    if rank == 1 and isinstance(values, (list, tuple)) and len(values) == 2:
        values = [values] if not isinstance(values[0], (list, tuple)) else values
    if not isinstance(values, (list, tuple)):
        values = [values]
    several = list(values) * (rank if len(values) == 1 and rank > 1 else 1)
    found = []
    for value in several:
        numbers = whole_numbers(value, name)
        first, second = numbers * 2 if len(numbers) == 1 else numbers
        found.append((first, second))
    if len(found) != rank or any(number < 0 for pair in found for number in pair):
        raise ValueError(f"{name} is {values!r}, which does not fit {rank} spatial axes")
    return tuple(found)


def is_first(data_format: Any) -> bool:
    """Tell whether the channels stand in front of the spatial axes.

    Raises
    ------
    NotAffine
        If the format is none that Keras knows.
    """
    if data_format not in _FORMATS:
        raise NotAffine(f"has the unknown data format {data_format!r}")
    return data_format == "channels_first"


def spatial_axes(x: Any, data_format: Any) -> tuple[int, ...]:
    """Return the places of the spatial axes of a value."""
    rank = np.ndim(x)
    if rank < 3:
        raise ValueError("wants a batch axis, a channel axis and at least one more")
    return tuple(range(2, rank)) if is_first(data_format) else tuple(range(1, rank - 1))


def to_first(x: Any, data_format: Any) -> Any:
    """Bring the channels in front of the spatial axes."""
    spatial_axes(x, data_format)
    return x if is_first(data_format) else np.moveaxis(x, -1, 1)


def from_first(x: Any, data_format: Any) -> Any:
    """Bring the channels back to where the layer has them."""
    return x if is_first(data_format) else np.moveaxis(x, 1, -1)


def resized(x: Any, matrices: Sequence[np.ndarray], axes: Sequence[int]) -> Any:
    """Apply a matrix (made, size) along each of some axes."""
    labels = "abcdefghijklmnopqrstuvwxy"[: np.ndim(x)]
    for matrix, axis in zip(matrices, axes, strict=True):
        made = labels.replace(labels[axis], "z")
        x = np.einsum(f"{labels},z{labels[axis]}->{made}", x, matrix)
    return x


def biased(x: Any, bias: Any) -> Any:
    """Add a bias that has its axes in their places, as numpy broadcasts it.

    Raises
    ------
    NotAffine
        If Keras on TensorFlow adds it along another axis than it does elsewhere: it takes any
        constant that varies along one axis alone for a bias of the last axis, or else of the
        first, that has its length (keras.src.backend.tensorflow.numpy.add).
    """
    shape, given = np.shape(x), np.shape(bias)
    varied = [axis - len(given) for axis, size in enumerate(given) if size > 1]
    if len(varied) == 1 and len(shape) > 1 and np.ptp(bias):
        (axis,) = varied
        size = given[axis]
        taken = -1 if shape[-1] == size else 1 - len(shape) if shape[1] == size else axis
        if taken != axis:
            raise NotAffine(
                f"adds a bias of {size} numbers where another axis has {size} places too, which "
                "Keras does differently on TensorFlow and elsewhere",
                shape=shape,
            )
    return np.add(x, bias)
