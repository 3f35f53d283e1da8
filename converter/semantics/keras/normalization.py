"""Normalisation by stored statistics: BatchNormalization (inference), Normalization, Rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.layer import Layer
from converter.tracing.primitives import finite

# keras.backend.epsilon() as shipped; Normalization divides by at least this.
_EPSILON = 1e-7


def batch_normalization(
    x: Any,
    *,
    axis: Any,
    epsilon: float,
    moving_mean: Any,
    moving_variance: Any,
    gamma: Any = None,
    beta: Any = None,
    center: bool = True,
    scale: bool = True,
    renorm: bool = False,
    virtual_batch_size: Any = None,
    moving_stddev: Any = None,
    renorm_mean: Any = None,
    renorm_stddev: Any = None,
    adjustment: Any = None,
) -> Any:
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` with the moving statistics.

    Renormalisation is of training alone.
    """
    if virtual_batch_size is not None or adjustment is not None:
        raise NotAffine("divides batches or adjusts them, which is not supported")
    shape = _kept(x, axis)
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)):
        raise ValueError(f"epsilon must be a number, not {epsilon!r}")
    if not math.isfinite(epsilon):
        raise ValueError("epsilon is not finite")
    if (_shaped(moving_variance, shape) + epsilon <= 0).any():
        raise ValueError("the moving variance is negative")
    factor = 1.0 / np.sqrt(np.add(_shaped(moving_variance, shape), np.float64(epsilon)))
    if scale:
        factor = factor * _shaped(gamma, shape)
    y = np.multiply(_shift(x, -_shaped(moving_mean, shape)), factor)
    return np.add(y, _shaped(beta, shape)) if center else y


def normalization(
    x: Any,
    *,
    axis: Any,
    mean: Any,
    variance: Any,
    invert: bool = False,
    count: Any = None,
) -> Any:
    """``(x - mean) / max(sqrt(variance), epsilon)``, or its inverse."""
    shape = _kept(x, () if axis is None else axis)
    if (_given(variance, shape) < 0).any():
        raise ValueError("the variance is negative")
    center, spread = _given(mean, shape), np.sqrt(_given(variance, shape))
    spread = np.maximum(spread, _EPSILON)
    if invert:
        return _shift(np.multiply(x, spread), center)
    return np.divide(_shift(x, -center), spread)


def rescaling(x: Any, *, scale: Any, offset: Any = 0.0) -> Any:
    return _shift(np.multiply(x, finite(scale)), finite(offset))


def _shift(x: Any, constant: np.ndarray) -> Any:
    """Add a constant that is not trained; one that is zero is no intercept."""
    return np.add(x, constant) if np.any(constant) else x


def _kept(x: Any, axis: Any) -> tuple[int, ...]:
    """Return the shape along which statistics vary: 1 on every axis not named."""
    rank = np.ndim(x)
    axes = [axis] if isinstance(axis, int) else axis
    if not isinstance(axes, Sequence) or any(
        not isinstance(a, int) or not -rank <= a < rank for a in axes
    ):
        raise ValueError(f"axis {axis} does not exist in a value of {rank} axes")
    kept = {a % rank for a in axes}
    if 0 in kept:
        raise NotAffine("has statistics for each row of the batch")
    return tuple(x.shape[a] if a in kept else 1 for a in range(rank))


def _shaped(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    return finite(values).reshape(shape)


def _given(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Shape stored statistics, or ones given in the configuration, which may be fewer."""
    array = finite(values)
    size = 1
    for extent in shape:
        size *= extent
    if array.size == size:
        return array.reshape(shape)
    if array.size == 1:
        return array.reshape((1,) * len(shape))
    # Fewer axes than are kept: aligned with them from the right.
    kept = [axis for axis, extent in enumerate(shape) if extent != 1]
    expanded = [1] * len(shape)
    for axis, extent in zip(kept[::-1], array.shape[::-1], strict=False):
        expanded[axis] = extent
    return np.broadcast_to(array.reshape(expanded), shape)


LAYERS: dict[str, Layer] = {
    "BatchNormalization": Layer(
        batch_normalization,
        inert=frozenset(
            {"momentum", "synchronized", "renorm_clipping", "renorm_momentum", "fused"}
        ),
    ),
    "Normalization": Layer(normalization),
    "Rescaling": Layer(rescaling),
}
