"""Operators on KerasTensors (``a + b``, ``2 * x``), as Keras 3 records them in a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.semantics.keras.layer import Layer


def add(a: Any, b: Any) -> Any:
    return np.add(a, b)


def subtract(a: Any, b: Any) -> Any:
    return np.subtract(a, b)


def multiply(a: Any, b: Any) -> Any:
    return np.multiply(a, b)


def divide(a: Any, b: Any) -> Any:
    return np.divide(a, b)


def negative(a: Any) -> Any:
    return np.negative(a)


OPERATORS: dict[str, Layer] = {
    "Add": Layer(add),
    "Divide": Layer(divide),
    "Multiply": Layer(multiply),
    "Negative": Layer(negative),
    "Subtract": Layer(subtract),
    "TrueDivide": Layer(divide),
}
