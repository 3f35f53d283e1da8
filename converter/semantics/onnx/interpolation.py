"""The weights of interpolation along one axis, as ONNX's Resize defines them.

Source: ONNX operators, Resize (version 19): coordinate_transformation_mode, nearest_mode, and
the filters of the modes linear and cubic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converter.errors import NotAffine
from converter.tracing.affine import check_size


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis to be resized.

    Parameters
    ----------
    size, made : int
        Elements before and after.
    scale : float
        As given, or made / size; the effective size size * scale may be fractional.
    start, end : float
        Region of interest, in units of the axis; tf_crop_and_resize alone uses it.
    """

    size: int
    made: int
    scale: float
    start: float
    end: float


def _half_pixel(axis: Axis, x: np.ndarray) -> np.ndarray:
    return (x + 0.5) / axis.scale - 0.5


def _half_pixel_symmetric(axis: Axis, x: np.ndarray) -> np.ndarray:
    adjustment = axis.made / (axis.scale * axis.size)
    return axis.size / 2 * (1 - adjustment) + (x + 0.5) / axis.scale - 0.5


def _pytorch_half_pixel(axis: Axis, x: np.ndarray) -> np.ndarray:
    return _half_pixel(axis, x) if axis.made > 1 else np.zeros(x.shape)


def _align_corners(axis: Axis, x: np.ndarray) -> np.ndarray:
    return x * (axis.size - 1) / (axis.made - 1) if axis.made > 1 else np.zeros(x.shape)


def _asymmetric(axis: Axis, x: np.ndarray) -> np.ndarray:
    return x / axis.scale


def _tf_half_pixel_for_nn(axis: Axis, x: np.ndarray) -> np.ndarray:
    return (x + 0.5) / axis.scale


def _tf_crop_and_resize(axis: Axis, x: np.ndarray) -> np.ndarray:
    last = axis.size - 1
    if axis.made > 1:
        return axis.start * last + x * (axis.end - axis.start) * last / (axis.made - 1)
    return np.full(x.shape, 0.5 * (axis.start + axis.end) * last)


Coordinates = Callable[[Axis, np.ndarray], np.ndarray]

COORDINATES: dict[str, Coordinates] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": _asymmetric,
    "tf_crop_and_resize": _tf_crop_and_resize,
}
# Since opset 11 until 12, and since opset 19.
FOR_NN = {"tf_half_pixel_for_nn": _tf_half_pixel_for_nn}
SYMMETRIC = {"half_pixel_symmetric": _half_pixel_symmetric}

NEAREST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}

# Version 10 does not say how it rounds; onnxruntime rounds down to enlarge, and up to shrink.
EITHER = "floor or ceil"


@dataclass(frozen=True, slots=True)
class Method:
    """The attributes of a Resize that say how an element is computed."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool
    extrapolation: float


def nearest_elements(axis: Axis, coordinates: Coordinates, mode: str) -> np.ndarray:
    """Return which element each new one is.

    Runtimes compute coordinates in 32 or in 64 bits; where they would choose different elements,
    the file does not say which it means.

    Raises
    ------
    NotAffine
        In that case.
    """
    indices = []
    for kind in (np.float64, np.float32):
        where = np.clip(coordinates(axis, np.arange(axis.made, dtype=kind)), -(2.0**40), 2.0**40)
        roundings = [NEAREST[m] for m in (("floor", "ceil") if mode == EITHER else (mode,))]
        indices += [np.clip(rounded(where), 0, axis.size - 1) for rounded in roundings]
    if any(not np.array_equal(indices[0], other) for other in indices[1:]):
        raise NotAffine("chooses among neighbours at equal distance, which depends on rounding")
    return indices[0].astype(np.int64)


def weight_matrix(axis: Axis, where: np.ndarray, method: Method) -> np.ndarray:
    """Return the weights of an axis' elements (size) in the new ones (made).

    Elements beyond the ends have the value of the last one; with exclude_outside they have no
    weight, and those within are scaled to make one.
    """
    stretch = max(1.0, 1.0 / axis.scale) if method.antialias else 1.0
    reach = (1.0 if method.mode == "linear" else 2.0) * stretch
    if not axis.made:
        return np.zeros((0, axis.size))
    check_size((axis.made, math.ceil(2 * reach) + 2))
    check_size((axis.made, axis.size))
    places = np.floor(where - reach)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    distance = np.abs(places - where[:, None]) / stretch
    if method.mode == "linear":
        weights = np.maximum(1.0 - distance, 0.0)
    else:
        weights = cubic(distance, method.cubic_a)
    if method.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    if method.exclude_outside:
        weights = np.where((places >= 0) & (places < axis.size), weights, 0.0)
        total = weights.sum(axis=1, keepdims=True)
        if not total.all():
            raise NotAffine("interpolates where there is no element to give weight to")
        weights = weights / total
    matrix = np.zeros((axis.made, axis.size))
    column = np.clip(places, 0, axis.size - 1).astype(np.int64)
    np.add.at(matrix, (np.arange(axis.made)[:, None], column), weights)
    return matrix


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Return Keys' kernel (1981, equation 4, with a for -1/2) at distances in elements."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
