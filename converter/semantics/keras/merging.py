"""Layers that merge several tensors: Add, Subtract, Average, Multiply, Concatenate."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from converter.semantics.keras.core import whole_numbers
from converter.semantics.keras.layer import Layer


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


_CHOICE = "chooses among values that depend on the input"

LAYERS: dict[str, Layer] = {
    "Add": Layer(add, whole="wraps"),
    "Average": Layer(average, whole="wraps"),
    "Concatenate": Layer(concatenate, whole="kept"),
    "Maximum": Layer(maximum, _CHOICE),
    "Minimum": Layer(minimum, _CHOICE),
    "Multiply": Layer(multiply, whole="wraps"),
    "Subtract": Layer(subtract, whole="wraps"),
}
