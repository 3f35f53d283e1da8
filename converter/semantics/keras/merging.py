"""Layers that merge several tensors: Add, Subtract, Average, Multiply, Concatenate."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.geometry import whole_numbers
from converter.semantics.keras.layer import Layer
from converter.tracing.functions import axis_of


def _aligned(tensors: Any) -> list[Any]:
    """Give all tensors one rank, new axes behind the batch axis, as Keras merges them.

    Numpy would put them in front of it, where rows would meet each other.
    """
    if not isinstance(tensors, (list, tuple)) or len(tensors) < 2:
        raise ValueError("merges fewer than two tensors")
    rank = max(np.ndim(tensor) for tensor in tensors)
    aligned = []
    for tensor in tensors:
        missing = rank - np.ndim(tensor)
        if missing and np.ndim(tensor):
            tensor = np.expand_dims(tensor, axis=tuple(range(1, 1 + missing)))
        aligned.append(tensor)
    return aligned


def add(inputs: Any) -> Any:
    return reduce(np.add, _aligned(inputs))


def subtract(inputs: Any) -> Any:
    a, b = _aligned(inputs)
    return np.subtract(a, b)


def multiply(inputs: Any) -> Any:
    return reduce(np.multiply, _aligned(inputs))


def average(inputs: Any) -> Any:
    return np.divide(add(inputs), np.float64(len(inputs)))


def maximum(inputs: Any) -> Any:
    return reduce(np.maximum, _aligned(inputs))


def minimum(inputs: Any) -> Any:
    return reduce(np.minimum, _aligned(inputs))


def concatenate(inputs: Any, *, axis: int = -1) -> Any:
    (along,) = whole_numbers(axis, "axis")
    return np.concatenate(inputs, axis=along)


def dot(inputs: Any, *, axes: Any, normalize: bool = False) -> Any:
    """Multiply rows of two tensors along an axis of each; source: `batch_dot` of keras.layers.Dot.

    What is left of the axes of the first comes before what is left of the second's.
    """
    if normalize:
        raise NotAffine("divides values by their norm, which depends on the input")
    if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
        raise ValueError("multiplies two tensors")
    a, b = inputs
    along = whole_numbers(axes, "axes")
    first, second = along * 2 if len(along) == 1 else along
    first, second = axis_of(first, np.ndim(a)), axis_of(second, np.ndim(b))
    if not first or not second or np.shape(a)[first] != np.shape(b)[second]:
        raise ValueError(f"axes {axes!r} do not fit {list(np.shape(a))} and {list(np.shape(b))}")
    a, b = np.moveaxis(a, first, -1), np.moveaxis(b, second, 1)
    kept, more = np.shape(a)[1:-1], np.shape(b)[2:]
    a = np.reshape(a, (np.shape(a)[0], math.prod(kept), np.shape(a)[-1]))
    b = np.reshape(b, (*np.shape(b)[:2], math.prod(more)))
    product = np.matmul(a, b)
    shape = (*kept, *more) or (1,)
    return np.reshape(product, (np.shape(product)[0], *shape))


_CHOICE = "chooses among values that depend on the input"

LAYERS: dict[str, Layer] = {
    "Add": Layer(add, whole="wraps"),
    "Average": Layer(average, whole="wraps"),
    "Concatenate": Layer(concatenate, whole="kept"),
    "Dot": Layer(dot, whole="wraps"),
    "Maximum": Layer(maximum, _CHOICE),
    "Minimum": Layer(minimum, _CHOICE),
    "Multiply": Layer(multiply, whole="wraps"),
    "Subtract": Layer(subtract, whole="wraps"),
    "TFDConcat": Layer(concatenate, whole="kept"),  # of keras.utils.FeatureSpace
}
