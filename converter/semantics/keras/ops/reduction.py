"""Sums, means and differences along axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.ops.elementwise import axes_of, cast
from converter.semantics.onnx import linking
from converter.semantics.onnx.reduction import cum_prod, cum_sum
from converter.semantics.onnx.refusal import traced
from converter.tracing.affine import Affine, pin
from converter.tracing.functions import PRODUCT, axis_of
from converter.tracing.linked import Linked, UsedLink


def sum_(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return np.sum(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


def mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return np.mean(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


def average(x: Any, weights: Any = None, *, axis: Any = None) -> Any:
    axes = axes_of(axis, np.ndim(x))
    if weights is None:
        return np.mean(x, axis=axes)
    if traced(weights):
        raise NotAffine("weights a mean by values that depend on the input")
    given = np.asarray(weights, dtype=np.float64)
    if given.ndim == 1 and np.ndim(x) > 1:
        if len(axes) != 1:
            raise ValueError("has one axis of weights for several axes")
        given = given.reshape([-1 if i == axes[0] else 1 for i in range(np.ndim(x))])
    given = np.broadcast_to(given, np.shape(x))
    total = given.sum(axis=axes)
    if not np.all(total):
        raise ValueError("has weights that sum to zero")
    return np.divide(np.sum(np.multiply(x, given), axis=axes), total)


def moments(
    x: Any, *, axes: Any, keepdims: bool = False, synchronized: bool = False
) -> tuple[Any, Any]:
    along = axes_of(axes, np.ndim(x))
    center = np.mean(x, axis=along, keepdims=keepdims)
    if not traced(x):
        return center, np.var(x, axis=along, keepdims=keepdims)
    return center, NotAffine(
        "a variance, a non-linear function of values that depend on the input",
        shape=np.shape(center),
    )


def cumsum(x: Any, *, axis: Any = None, dtype: Any = None) -> Any:
    if dtype is not None:
        x = cast(x, dtype=dtype)
    if axis is None:
        x, axis = np.reshape(x, (-1,)), 0
    pin(x, [np.shape(x)[axis_of(axis, np.ndim(x))]])
    return cum_sum(x, np.array(axis))


def cumprod(x: Any, *, axis: Any = None, dtype: Any = None) -> Any:
    if axis is None:
        x, axis = np.reshape(x, (-1,)), 0
    return cum_prod(x, np.array(axis))


def diff(a: Any, *, n: int = 1, axis: int = -1) -> Any:
    along = axis_of(axis, np.ndim(a))
    size = np.shape(a)[along]
    if not 0 <= n < 64:
        raise ValueError(f"takes differences {n!r} times")
    pin(a, [size])
    for _ in range(n):
        places = np.arange(np.shape(a)[along])
        a = np.subtract(np.take(a, places[1:], axis=along), np.take(a, places[:-1], axis=along))
    return a


def trapezoid(y: Any, *, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    along = axis_of(axis, np.ndim(y))
    size = np.shape(y)[along]
    pin(y, [size])
    if x is None:
        widths = np.full(max(size - 1, 0), float(dx))
    elif traced(x) or np.ndim(x) != 1:
        raise NotAffine("integrates over places that are no constant list")
    else:
        widths = np.diff(np.asarray(x, dtype=np.float64))
    weights = np.zeros(size)
    weights[:-1] += widths / 2.0
    weights[1:] += widths / 2.0
    shape = [-1 if i == along else 1 for i in range(np.ndim(y))]
    return np.sum(np.multiply(y, weights.reshape(shape)), axis=along)


def trace(x: Any, *, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    from converter.semantics.keras.ops.movement import diagonal

    return np.sum(diagonal(x, offset=offset, axis1=axis1, axis2=axis2), axis=-1)


def prod(x: Any, *, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    axes = axes_of(axis, np.ndim(x))
    if not traced(x):
        return np.prod(x, axis=axes, keepdims=keepdims)
    return _over_one(x, axes, keepdims, PRODUCT)


def _over_one(x: Any, axes: tuple[int, ...], keepdims: bool, reason: str) -> Any:
    if math.prod(np.shape(x)[a] for a in axes) != 1:
        raise UsedLink() if isinstance(x, Linked) else NotAffine(reason)
    return x if keepdims else np.squeeze(x, axis=axes)


def _extreme(name: str) -> Callable[..., Any]:
    function = linking.OPERATORS[name].versions[1]
    assert function is not None

    def extreme(x: Any, *, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
        if initial is not None and isinstance(x, (Affine, Linked)):
            raise NotAffine("limits a value that depends on the input")
        axes = axes_of(axis, np.ndim(x))
        return function(x, axes=np.array(axes, dtype=np.int64), keepdims=int(keepdims))

    return extreme


maximum, minimum = _extreme("ReduceMax"), _extreme("ReduceMin")

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Amax": maximum,
    "Amin": minimum,
    "Average": average,
    "Cumprod": cumprod,
    "Cumsum": cumsum,
    "Diff": diff,
    "Max": maximum,
    "Mean": mean,
    "Min": minimum,
    "Moments": moments,
    "Prod": prod,
    "Sum": sum_,
    "Trace": trace,
    "Trapezoid": trapezoid,
}

OPERATORS: dict[str, Layer] = {
    name: Layer(function, whole="wraps") for name, function in _FUNCTIONS.items()
}
