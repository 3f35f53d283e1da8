"""Sums and means along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.semantics.onnx.movement import integers
from converter.semantics.onnx.operator import Operator


def _by_attribute(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the older form: axes are an attribute; without it, all axes."""

    def reduce(data: Any, *, axes: Any = None, keepdims: int = 1) -> Any:
        along = None if axes is None else integers(axes)
        return _in_own_type(function(data, axis=along, keepdims=bool(keepdims)), data)

    return reduce


def _in_own_type(result: Any, data: Any) -> Any:
    """Cast the mean of integers back to integers, as ONNX's types demand."""
    return np.asarray(result).astype(data.dtype) if isinstance(data, np.ndarray) else result


def _by_input(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the newer form: axes are an input; empty means all axes, or none if so asked."""

    def reduce(
        data: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Any:
        along = () if axes is None else integers(axes)
        if not along and noop_with_empty_axes:
            return data
        return _in_own_type(function(data, axis=along or None, keepdims=bool(keepdims)), data)

    return reduce


OPERATORS: dict[str, Operator] = {
    "ReduceMean": Operator({1: _by_attribute(np.mean), 18: _by_input(np.mean)}),
    "ReduceSum": Operator({1: _by_attribute(np.sum), 13: _by_input(np.sum)}),
}
