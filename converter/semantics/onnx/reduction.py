"""Sums and means along axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.movement import check_flags
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import in_type_of
from converter.tracing.affine import Affine, check_size
from converter.tracing.functions import PRODUCT, axis_of
from converter.tracing.linked import Linked, UsedLink


def _by_attribute(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the older form: axes are an attribute; without it, all axes."""

    def reduce(data: Any, *, axes: Any = None, keepdims: int = 1) -> Any:
        check_flags(keepdims)
        along = None if axes is None else integers(axes)
        return in_type_of(data, function(data, axis=along, keepdims=bool(keepdims)))

    return reduce


def _by_input(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the newer form: axes are an input; empty means all axes, or none if so asked."""

    def reduce(
        data: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Any:
        check_flags(keepdims, noop_with_empty_axes)
        along = () if axes is None else integers(axes)
        if not along and noop_with_empty_axes:
            return data
        return in_type_of(data, function(data, axis=along or None, keepdims=bool(keepdims)))

    return reduce


def cum_sum(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    """Sum up to each place along an axis."""
    check_flags(exclusive, reverse)
    along, size = _along(x, axis)
    if isinstance(x, np.ndarray):
        turned = np.flip(x, along) if reverse else x
        total = np.cumsum(turned, axis=along, dtype=x.dtype)
        if exclusive:
            total = total - turned
        return np.flip(total, along) if reverse else total
    check_size((size, size))
    place = np.arange(size)
    reaches = place[:, None] > place if exclusive else place[:, None] >= place
    matrix = reaches.T if reverse else reaches
    return np.moveaxis(np.matmul(np.moveaxis(x, along, -1), matrix.T.astype(np.float64)), -1, along)


def cum_prod(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    along, size = _along(x, axis)
    if isinstance(x, (Affine, Linked)):
        if size != 1:
            raise UsedLink() if isinstance(x, Linked) else NotAffine(PRODUCT)
        return np.ones(x.shape) if exclusive else x
    turned = np.flip(x, along) if reverse else x
    result = np.cumprod(turned, axis=along, dtype=x.dtype)
    if exclusive:
        kept = np.take(result, np.arange(size - 1), axis=along)
        first = np.ones_like(np.take(result, [0], axis=along))
        result = np.concatenate([first, kept], axis=along)
    return np.flip(result, along) if reverse else result


def _along(x: Any, axis: Any) -> tuple[int, int]:
    (along,) = integers(axis)
    return axis_of(along, np.ndim(x)), np.shape(x)[along]


def _prod(data: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if not isinstance(data, (Affine, Linked)):
        return np.prod(data, axis=axis, keepdims=keepdims)
    axes = range(data.ndim) if axis is None else [a % data.ndim for a in np.atleast_1d(axis)]
    if math.prod(data.shape[a] for a in axes) != 1:
        raise UsedLink() if isinstance(data, Linked) else NotAffine(PRODUCT)
    return data if keepdims else np.squeeze(data, axis=tuple(axes))


OPERATORS: dict[str, Operator] = {
    "CumProd": Operator({26: cum_prod}, accepts="over one element"),
    "CumSum": Operator({11: cum_sum}, accepts="the axis is constant"),
    "ReduceMean": Operator({1: _by_attribute(np.mean), 18: _by_input(np.mean)}),
    "ReduceProd": Operator(
        {1: _by_attribute(_prod), 18: _by_input(_prod)}, accepts="over one element"
    ),
    "ReduceSum": Operator({1: _by_attribute(np.sum), 13: _by_input(np.sum)}),
}
