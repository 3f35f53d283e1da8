"""Sampling of images at constant places: GridSample, RoiAlign, AffineGrid, CenterCropPad."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.interpolation import cubic
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.sampled import inside, weighted
from converter.semantics.precision import contract, double, floating, in_type_of
from converter.tracing.affine import check_size, pin

# The coefficient of the cubic filter.
_CUBIC = -0.75
# Regions are looked at one by one; this many take a second.
_MOST_REGIONS = 1 << 14
# Far outside any image; places beyond are kept from overflowing.
_FAR = 2.0**40


def grid_sample_16(
    X: Any,
    grid: Any,
    *,
    align_corners: int = 0,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Any:
    names = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
    if mode not in names or np.ndim(X) != 4:
        raise ValueError(f"the mode {mode!r} on data of {np.ndim(X)} axes")
    return grid_sample(
        X, grid, align_corners=align_corners, mode=names[mode], padding_mode=padding_mode
    )


def grid_sample(
    X: Any,
    grid: Any,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Any:
    """Interpolate at the places of a grid: ONNX operators, GridSample.

    Raises
    ------
    NotAffine
        If the places depend on the input, or lie halfway between neighbours of which rounding
        errors choose one.
    """
    if not isinstance(grid, np.ndarray):
        raise NotAffine("samples at places that depend on the input")
    if mode not in ("linear", "nearest", "cubic"):
        raise ValueError(f"the mode {mode!r} is unknown")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"the padding_mode {padding_mode!r} is unknown")
    floating(grid)
    if mode != "nearest":
        floating(X)
    rank = np.ndim(X) - 2
    if rank < 1 or grid.ndim != rank + 2 or grid.shape[-1] != rank or 0 in X.shape:
        raise ValueError(f"a grid of {list(grid.shape)} for data of {list(np.shape(X))}")
    batch, channels, *spatial = X.shape
    if grid.shape[0] != batch:
        raise ValueError(f"{grid.shape[0]} grids for {batch} images")
    if not np.isfinite(grid).all():
        raise ValueError("a grid that is not finite")
    made = grid.shape[1:-1]
    check_size((batch, channels, *made))
    steps = []
    for axis, size in enumerate(spatial):
        # The coordinates of a place are listed from the innermost axis outwards.
        where = grid[..., rank - 1 - axis].reshape(batch, math.prod(made))
        steps.append(_steps(where, size, mode, padding_mode, bool(align_corners)))
    if mode == "nearest" and isinstance(X, np.ndarray) and X.dtype.kind != "f":
        result = weighted(X.astype(np.float64), steps)
    else:
        result = weighted(double(X), steps)
    return in_type_of(X, np.reshape(result, (batch, channels, *made)))


def _steps(
    where: np.ndarray, size: int, mode: str, padding: str, align: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the elements that take part along one axis, and their weights."""
    low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)

    def into(places: np.ndarray) -> np.ndarray:
        """Bring places beyond the border back, as the padding mode says."""
        out = (places < low) | (places > high)
        if padding == "border":
            return np.where(out, np.clip(places, 0, size - 1), places)
        if padding == "reflection":
            return np.where(out, _reflect(places, low, high), places)
        return places

    places = _place(where, size, align)
    if mode == "nearest":
        nearest = np.rint(places)
        if not np.array_equal(nearest, np.rint(_place(where.astype(np.float32), size, align))):
            raise NotAffine("chooses among neighbours at equal distance, which depends on rounding")
        return [(inside(into(nearest).astype(np.int64), size), np.ones(where.shape))]
    out = (places < low) | (places > high)
    if mode == "cubic" and padding == "border" and np.any(out & (places > -1) & (places < size)):
        # onnx's reference moves the place to the border; onnxruntime moves its neighbours.
        raise NotAffine("samples just beyond the border, which runtimes do differently")
    places = into(places)
    first = np.floor(places)
    part = places - first
    if mode == "linear":
        weights = [1.0 - part, part]
    else:
        first = first - 1
        weights = [
            cubic(part + 1, _CUBIC),
            cubic(part, _CUBIC),
            cubic(1 - part, _CUBIC),
            cubic(2 - part, _CUBIC),
        ]
    return [
        (inside(into(first + n).astype(np.int64), size), weight) for n, weight in enumerate(weights)
    ]


def _place(where: np.ndarray, size: int, align: bool) -> np.ndarray:
    """Scale places from [-1, 1] to elements, in the precision of `where`."""
    places = (where + 1) / 2 * (size - 1) if align else ((where + 1) * size - 1) / 2
    return np.clip(places, -_FAR, _FAR)


def _reflect(places: np.ndarray, low: float, high: float) -> np.ndarray:
    span = high - low
    if not span:
        return np.full(places.shape, low)
    ahead = np.mod(places - low, 2 * span)
    return np.minimum(ahead, 2 * span - ahead) + low


def affine_grid(theta: Any, size: Any, *, align_corners: int = 0) -> Any:
    """Apply matrices to the places of a regular grid: ONNX operators, AffineGrid."""
    floating(theta)
    target = integers(size)
    rank = len(target) - 2
    if rank not in (2, 3) or min(target) < 1:
        raise ValueError(f"a size of {list(target)[:20]}")
    if np.shape(theta) != (target[0], rank, rank + 1):
        raise ValueError(f"theta of {list(np.shape(theta))} for a size of {list(target)}")
    check_size((*target[2:], rank + 1))
    check_size((target[0], *target[2:], rank))
    if align_corners and min(target[2:]) == 1:
        raise NotAffine("aligns the corners of a single element, which is not specified")
    steps = [
        np.linspace(-1, 1, n) if align_corners else (2 * np.arange(n) + 1) / n - 1
        for n in target[2:]
    ]
    # Coordinates are listed from the innermost axis outwards, then the homogeneous one.
    places = np.meshgrid(*steps, indexing="ij")[::-1]
    base = np.stack([place.reshape(-1) for place in (*places, np.ones_like(places[0]))], axis=1)
    result = contract("nij,pj->npi", theta, base)
    return in_type_of(theta, np.reshape(result, (target[0], *target[2:], rank)))


def roi_align_10(
    X: Any,
    rois: Any,
    batch_indices: Any,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    return roi_align(
        X,
        rois,
        batch_indices,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


def roi_align(
    X: Any,
    rois: Any,
    batch_indices: Any,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    """Average regions of images, by bilinear samples: ONNX operators, RoiAlign.

    The samples of a region form a grid, so that rows and columns are averaged one after the
    other. The details (where a sample counts as outside, the least size of a region) are those
    of the paper's code, https://arxiv.org/abs/1703.06870, as in onnxruntime.
    """
    if not isinstance(rois, np.ndarray) or not isinstance(batch_indices, np.ndarray):
        raise NotAffine("samples at places that depend on the input")
    floating(X, rois)
    if np.ndim(X) != 4 or rois.ndim != 2 or rois.shape[1] != 4:
        raise ValueError("wants images of four axes, and regions of four numbers")
    if len(rois) > _MOST_REGIONS:
        raise ValueError(f"{len(rois)} regions; at most {_MOST_REGIONS} are computed")
    which = np.array(integers(batch_indices), dtype=np.int64)
    if batch_indices.shape != (len(rois),) or np.any((which < 0) | (which >= X.shape[0])):
        raise ValueError("wants the index of an image for each region")
    if mode not in ("avg", "max"):
        raise ValueError(f"the mode {mode!r} is unknown")
    if coordinate_transformation_mode not in ("half_pixel", "output_half_pixel"):
        raise ValueError(f"{coordinate_transformation_mode!r} is unknown")
    if min(output_height, output_width) < 1 or sampling_ratio < 0 or not np.isfinite(rois).all():
        raise ValueError("an output without elements, or regions that are not finite")
    shape = (len(rois), X.shape[1], output_height, output_width)
    check_size(shape)
    if mode == "max":
        raise NotAffine("chooses the largest among samples", shape=shape)
    check_size((len(rois), *X.shape[1:]))
    half = coordinate_transformation_mode == "half_pixel"
    rows, columns = (
        np.array(
            [
                _region(start, end, X.shape[axis], made, sampling_ratio, spatial_scale, half)
                for start, end in rois[:, [place, place + 2]]
            ]
        ).reshape(len(rois), made, X.shape[axis])
        for axis, place, made in ((2, 1, output_height), (3, 0, output_width))
    )
    images = np.take(X, which, axis=0)
    result = contract("rchq,rqw->rchw", contract("rciq,rhi->rchq", images, rows), _swap(columns))
    return in_type_of(X, result)


def _swap(matrices: np.ndarray) -> np.ndarray:
    return np.swapaxes(matrices, 1, 2)


def _region(
    start: float, end: float, size: int, made: int, ratio: int, scale: float, half: bool
) -> np.ndarray:
    """Return the weights (made, size) of elements along one axis of one region."""
    shift = 0.5 if half else 0.0
    first = float(start) * scale - shift
    length = float(end) * scale - shift - first
    begin, stop = (
        np.float32(edge) * np.float32(scale) - np.float32(shift) for edge in (start, end)
    )
    single = stop - begin
    if not half:
        length, single = max(length, 1.0), max(single, np.float32(1.0))
    count = ratio
    if not ratio:
        count = math.ceil(length / made)
        if math.ceil(single / np.float32(made)) != count:
            raise NotAffine("samples a region as often as rounding decides")
    check_size((made, max(count, 0), 1))
    check_size((made, size))
    matrix = np.zeros((made, size))
    if count <= 0:
        return matrix
    samples = (np.arange(made)[:, None] + (np.arange(count) + 0.5) / count) * (length / made)
    where = first + samples
    counted = (where >= -1) & (where <= size)
    where = np.clip(where, 0, size - 1)
    low = np.floor(where).astype(np.int64)
    part = where - low
    row = np.arange(made)[:, None]
    np.add.at(matrix, (row, low), counted * (1 - part) / count)
    np.add.at(matrix, (row, np.minimum(low + 1, size - 1)), counted * part / count)
    return matrix


def center_crop_pad(input_data: Any, shape: Any, *, axes: Any = None) -> Any:
    """Crop or pad with zeros about the centre: ONNX operators, CenterCropPad."""
    rank = np.ndim(input_data)
    along = tuple(range(rank)) if axes is None else integers(axes)
    wanted = integers(shape)
    if any(not -rank <= axis < rank for axis in along) or len(wanted) != len(along):
        raise ValueError(f"a shape of {len(wanted)} for the axes {list(along)[:20]}")
    along = tuple(axis % rank for axis in along)
    if len(set(along)) < len(along):
        raise ValueError("an axis is named twice")
    target = list(np.shape(input_data))
    key = [slice(None)] * rank
    width = [(0, 0)] * rank
    for axis, made in zip(along, wanted, strict=True):
        size, target[axis] = target[axis], made
        if made != size:
            pin(input_data, [size])
        start = abs(size - made) // 2
        if made < size:
            key[axis] = slice(start, start + made)
        else:
            width[axis] = (start, made - size - start)
    check_size(target)
    cropped = input_data[tuple(key)]
    return np.pad(cropped, width) if any(map(any, width)) else cropped


_SHAPE = frozenset({1})

OPERATORS: dict[str, Operator] = {
    "AffineGrid": Operator(
        {20: affine_grid}, shape_operands=_SHAPE, accepts="the size is constant"
    ),
    "CenterCropPad": Operator({18: center_crop_pad}, shape_operands=_SHAPE),
    "GridSample": Operator({16: grid_sample_16, 20: grid_sample}, accepts="the grid is constant"),
    "RoiAlign": Operator({10: roi_align_10, 16: roi_align}, accepts="rois are constant; mode avg"),
}
