"""The weights with which TensorFlow resizes pictures, along one axis.

Source: tensorflow/core/kernels/image: resize_bilinear_op, resize_nearest_neighbor_op,
resize_bicubic_op, resize_area_op and scale_and_translate_op, all with half-pixel centres. They
compute places in 32 bits, and so does this: a place that is rounded otherwise may belong to
another element, and the bicubic kernel is read from a table of 1,024 places.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converter.tracing.affine import check_size

_TABLE = 1 << 10


def matrix(size: int, made: int, method: str, antialias: bool) -> np.ndarray:
    """Return the weights of an axis' elements in the new ones, of shape (made, size).

    Raises
    ------
    ValueError
        If an axis has no elements, or the method is none that TensorFlow knows.
    """
    if size < 1 or made < 1:
        raise ValueError(f"resizes an axis of {size} elements to {made}")
    check_size((made, size))
    if method in _KERNELS or (antialias and method in _SMOOTHED):
        return _translated(size, made, _SMOOTHED.get(method, method), antialias)
    if method not in _PLAIN:
        raise ValueError(f"the interpolation {method!r} is unknown")
    return _PLAIN[method](size, made)


def _centres(size: int, made: int) -> np.ndarray:
    """Return where the new elements' centres lie, in elements from the beginning of the axis."""
    scale = np.float32(size) / np.float32(made)
    return (np.arange(made, dtype=np.float32) + np.float32(0.5)) * scale


def _sparse(size: int, columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return a matrix from each row's columns and their weights; equal columns add up."""
    found = np.zeros((len(columns), size))
    np.add.at(found, (np.arange(len(columns))[:, None], columns), weights)
    return found


def _nearest(size: int, made: int) -> np.ndarray:
    column = np.clip(np.floor(_centres(size, made)).astype(np.int64), 0, size - 1)
    return _sparse(size, column[:, None], np.ones((made, 1)))


def _bilinear(size: int, made: int) -> np.ndarray:
    where = _centres(size, made) - np.float32(0.5)
    below = np.floor(where)
    share = (where - below).astype(np.float64)
    columns = np.stack([np.maximum(below, 0), np.minimum(np.ceil(where), size - 1)], axis=1)
    weights = np.stack([1.0 - share, share], axis=1)
    return _sparse(size, columns.astype(np.int64), weights)


def _bicubic(size: int, made: int) -> np.ndarray:
    where = _centres(size, made) - np.float32(0.5)
    below = np.floor(where)
    # Halves are rounded to even, as lrintf does.
    offset = np.rint((where - below) * np.float32(_TABLE)) / _TABLE
    distance = np.stack([1.0 + offset, offset, 1.0 - offset, 2.0 - offset], axis=1)
    columns = below.astype(np.int64)[:, None] + np.arange(-1, 3)
    weights = np.where((columns >= 0) & (columns < size), _keys(distance.astype(np.float64)), 0.0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return _sparse(size, np.clip(columns, 0, size - 1), weights)


def _area(size: int, made: int) -> np.ndarray:
    scale = np.float32(size) / np.float32(made)
    start = (np.arange(made, dtype=np.float32) * scale).astype(np.float64)[:, None]
    end = (np.arange(1, made + 1, dtype=np.float32) * scale).astype(np.float64)[:, None]
    element = np.arange(size, dtype=np.float64)
    covered = np.maximum(np.minimum(end, element + 1) - np.maximum(start, element), 0.0)
    return covered / float(scale)


def _translated(size: int, made: int, kernel: str, antialias: bool) -> np.ndarray:
    """Sample with a kernel, which grows with the step where `antialias`."""
    function, radius = _KERNELS[kernel]
    step = np.float32(1.0) / (np.float32(made) / np.float32(size))
    stretch = float(max(step, np.float32(1.0))) if antialias else 1.0
    centre = ((np.arange(made, dtype=np.float32) + np.float32(0.5)) * step).astype(np.float64)
    first = np.clip(np.ceil(centre - radius * stretch - 0.5), 0, size - 1)
    last = np.clip(np.floor(centre + radius * stretch - 0.5), 0, size - 1)
    element = np.arange(size)
    distance = np.abs(element + 0.5 - centre[:, None]) / stretch
    within = (element >= first[:, None]) & (element <= last[:, None])
    weights = np.where(within, function(distance), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    used = (centre >= 0) & (centre <= size)
    weights = np.where(used[:, None], weights, 0.0)
    return np.divide(weights, total, out=np.zeros_like(weights), where=np.abs(total) > 1e-35)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - x, 0.0)


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel (1981, equation 4)."""
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _mitchell(x: np.ndarray) -> np.ndarray:
    """Mitchell's and Netravali's cubic kernel (1988), with B = C = 1/3."""
    near = (7.0 / 6.0 * x - 2.0) * x * x + 8.0 / 9.0
    far = ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(radius: float) -> Callable[[np.ndarray], np.ndarray]:
    def kernel(x: np.ndarray) -> np.ndarray:
        angle = np.pi * np.maximum(x, 1e-3)
        value = radius * np.sin(angle) * np.sin(angle / radius) / (angle * angle)
        return np.where(x > radius, 0.0, np.where(x <= 1e-3, 1.0, value))

    return kernel


def _gaussian(x: np.ndarray) -> np.ndarray:
    return np.where(x < 1.5, np.exp(-2.0 * x * x), 0.0)


_PLAIN: dict[str, Callable[[int, int], np.ndarray]] = {
    "area": _area,
    "bicubic": _bicubic,
    "bilinear": _bilinear,
    "nearest": _nearest,
}
# What takes the place of a plain method where it smooths; the others take no notice.
_SMOOTHED = {"bilinear": "triangle", "bicubic": "keyscubic"}
_KERNELS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "gaussian": (_gaussian, 1.5),
    "keyscubic": (_keys, 2.0),
    "lanczos3": (_lanczos(3.0), 3.0),
    "lanczos5": (_lanczos(5.0), 5.0),
    "mitchellcubic": (_mitchell, 2.0),
    "triangle": (_triangle, 1.0),
}
