"""Resize and Upsample: interpolation between elements, one axis at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.interpolation import (
    COORDINATES,
    EITHER,
    FOR_NN,
    NEAREST,
    SYMMETRIC,
    Axis,
    Coordinates,
    Method,
    nearest_elements,
    weight_matrix,
)
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import contract, double, floating, in_type_of
from converter.tracing.affine import check_size, pin


def _resize(
    x: Any,
    roi: Any,
    scales: Any,
    sizes: Any,
    method: Method,
    *,
    known: dict[str, Coordinates],
    axes: Any = None,
    policy: Any = "stretch",
) -> Any:
    """Resize axis by axis; source: ONNX operators, Resize (version 19)."""
    if method.mode not in ("nearest", "linear", "cubic"):
        raise ValueError(f"the mode {method.mode!r} is unknown")
    if method.coordinates not in known:
        raise ValueError(f"the coordinate transformation {method.coordinates!r} is unknown")
    if method.nearest not in NEAREST and method.nearest != EITHER:
        raise ValueError(f"the nearest_mode {method.nearest!r} is unknown")
    if method.coordinates in FOR_NN and method.mode != "nearest":
        raise NotAffine("interpolates at coordinates that are meant for nearest neighbours")
    if method.antialias and (
        method.mode == "nearest" or method.coordinates == "tf_crop_and_resize"
    ):
        raise NotAffine("smooths in a combination of attributes that is not specified")
    along = _axes(axes, np.ndim(x))
    if policy != "stretch" and axes is not None and min(integers(axes), default=0) < 0:
        # The formula is clear; onnxruntime leaves the data as they are.
        raise NotAffine("keeps the aspect of axes counted from the end, which runtimes differ on")
    plan = _plan(np.shape(x), along, roi, scales, sizes, policy, method)
    shape = list(np.shape(x))
    for place, axis in zip(along, plan, strict=True):
        shape[place] = axis.made
    check_size(shape)
    result = x
    outside: Any = np.zeros((), dtype=bool)
    for place, axis in zip(along, plan, strict=True):
        if axis.made == axis.size and axis.scale == 1.0 and (axis.start, axis.end) == (0.0, 1.0):
            continue  # every form of interpolation is the identity there
        if not axis.size:
            raise ValueError("resizes an axis without elements")
        pin(x, [axis.size])
        cropped = method.coordinates == "tf_crop_and_resize"
        if axis.made == axis.size and (shape == list(x.shape) or method.antialias or cropped):
            # The formula interpolates here; onnxruntime copies.
            raise NotAffine("resizes to the same size, which runtimes do differently")
        where = known[method.coordinates](axis, np.arange(axis.made, dtype=np.float64))
        if cropped:
            apart = (where < 0) | (where > axis.size - 1)
            outside = outside | apart.reshape(-1, *(1,) * (len(shape) - place - 1))
        where = np.clip(where, -(2.0**40), 2.0**40)
        if method.mode == "nearest":
            index = nearest_elements(axis, known[method.coordinates], method.nearest)
            result = np.take(result, index, axis=place)
            continue
        floating(x)
        result = _along(double(result), weight_matrix(axis, where, method), place)
    if outside.any():
        floating(x)
        result = np.multiply(result, ~outside * 1.0)
        if method.extrapolation:
            result = np.add(result, outside * method.extrapolation)
    return in_type_of(x, result)


def _axes(axes: Any, rank: int) -> tuple[int, ...]:
    along = tuple(range(rank)) if axes is None else integers(axes)
    if any(not -rank <= axis < rank for axis in along):
        raise ValueError(f"an axis among {list(along)[:20]} does not exist")
    along = tuple(axis % rank for axis in along)
    if len(set(along)) < len(along):
        raise ValueError("an axis is named twice")
    return along


def _plan(
    shape: tuple[int, ...],
    along: tuple[int, ...],
    roi: Any,
    scales: Any,
    sizes: Any,
    policy: Any,
    method: Method,
) -> list[Axis]:
    """Work out the size of each axis, from scales or from sizes."""
    region = np.array([0.0] * len(along) + [1.0] * len(along))
    if method.coordinates == "tf_crop_and_resize":
        region = np.asarray(roi, dtype=np.float64) if roi is not None else region
        if region.shape != (2 * len(along),) or not np.isfinite(region).all():
            raise ValueError("a region of interest that is not two numbers for each axis")
    starts, ends = region[: len(along)].tolist(), region[len(along) :].tolist()
    extents = [shape[axis] for axis in along]
    # Exporters write an empty tensor for the one that is not given.
    has_scales = scales is not None and np.size(scales) > 0
    has_sizes = sizes is not None and np.size(sizes) > 0
    if has_scales == has_sizes:
        raise ValueError("wants either scales or sizes")
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise ValueError(f"the keep_aspect_ratio_policy {policy!r} is unknown")
    if has_sizes:
        made = list(integers(sizes))
        if len(made) != len(along) or min(made) < 1 or min(extents) < 1:
            raise ValueError(f"sizes {made[:20]} for axes of {extents}")
        factors = [wanted / size for wanted, size in zip(made, extents, strict=True)]
        if policy != "stretch":
            one = min(factors) if policy == "not_larger" else max(factors)
            factors = [one] * len(along)
            made = [math.floor(one * size + 0.5) for size in extents]
    else:
        # Scales are 32-bit numbers, and so is the product that the size is rounded down from.
        single = np.asarray(scales, dtype=np.float32)
        if single.shape != (len(along),) or not (single > 0).all() or np.isinf(single).any():
            raise ValueError("scales that are not one positive number for each axis")
        whole = np.asarray(extents, np.float32)
        spans = whole * (np.asarray(ends, np.float32) - np.asarray(starts, np.float32))
        made = [int(size) for size in np.floor(spans * single).astype(np.float64)]
        if made != [int(size) for size in np.floor(whole * single).astype(np.float64)]:
            # The formula counts the region of interest in; both runtimes leave it out.
            raise NotAffine("crops and scales at once, which runtimes do differently")
        factors = single.astype(np.float64).tolist()
    return [Axis(*numbers) for numbers in zip(extents, made, factors, starts, ends, strict=True)]


def _along(x: Any, matrix: np.ndarray, axis: int) -> Any:
    labels = "abcdefghijklmnopqrstuvwxy"[: np.ndim(x)]
    made = labels.replace(labels[axis], "z")
    return contract(f"{labels},z{labels[axis]}->{made}", x, matrix)


def resize_10(X: Any, scales: Any, *, mode: str = "nearest") -> Any:
    """Resize as version 10 does: by scales, asymmetric, the lower neighbour."""
    if mode == "cubic":
        raise ValueError("the mode 'cubic' is unknown")
    rounding = EITHER if np.any(np.less(scales, 1)) else "floor"
    method = Method(mode, "asymmetric", rounding, 0.0, False, False, 0.0)
    return _resize(X, None, scales, None, method, known=COORDINATES)


def upsample_7(X: Any, *, mode: str = "nearest", scales: Any) -> Any:
    return upsample(X, scales, mode=mode)


def upsample(X: Any, scales: Any, *, mode: str = "nearest") -> Any:
    """Enlarge: ONNX operators, Upsample. The formula is that of Resize 10."""
    if np.any(np.less(scales, 1)):
        raise ValueError("scales below one")
    return resize_10(X, scales, mode=mode)


def upsample_10(X: Any, scales: Any, *, mode: str = "nearest") -> Any:
    raise NotAffine("is deprecated since opset 10, and has no meaning there")


def resize_11(
    X: Any,
    roi: Any,
    scales: Any,
    sizes: Any = None,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    method = Method(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        False,
        extrapolation_value,
    )
    return _resize(X, roi, scales, sizes, method, known=COORDINATES | FOR_NN)


def resize_13(
    X: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    method = Method(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        False,
        extrapolation_value,
    )
    return _resize(X, roi, scales, sizes, method, known=COORDINATES)


def resize_18(
    X: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: Any = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    if coordinate_transformation_mode in SYMMETRIC:
        raise ValueError(f"{coordinate_transformation_mode} is unknown before opset 19")
    return resize(
        X,
        roi,
        scales,
        sizes,
        antialias=antialias,
        axes=axes,
        coordinate_transformation_mode=coordinate_transformation_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
        keep_aspect_ratio_policy=keep_aspect_ratio_policy,
        mode=mode,
        nearest_mode=nearest_mode,
    )


def resize(
    X: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: int = 0,
    axes: Any = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Any:
    """Resize by interpolation: ONNX operators, Resize."""
    method = Method(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        bool(antialias),
        extrapolation_value,
    )
    return _resize(
        X,
        roi,
        scales,
        sizes,
        method,
        known=COORDINATES | SYMMETRIC,
        axes=axes,
        policy=keep_aspect_ratio_policy,
    )


_SIZES = frozenset({3})

OPERATORS: dict[str, Operator] = {
    "Resize": Operator(
        {10: resize_10, 11: resize_11, 13: resize_13, 18: resize_18, 19: resize},
        shape_operands=_SIZES,
    ),
    "Upsample": Operator({7: upsample_7, 9: upsample, 10: upsample_10}),
}
