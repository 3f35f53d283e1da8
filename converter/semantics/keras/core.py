"""Dense, shapes, and layers that act in training only; and what is refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.activations import activate
from converter.semantics.keras.layer import Layer


def dense(
    x: Any,
    *,
    units: int,
    kernel: Any,
    bias: Any = None,
    use_bias: bool = True,
    activation: Any = None,
) -> Any:
    """``activation(x @ kernel + bias)`` on the last axis, whatever the rank."""
    if kernel.ndim != 2 or kernel.shape[1] != units:
        raise ValueError(f"a kernel of shape {list(kernel.shape)} does not make {units!r} units")
    if np.ndim(x) < 2:
        raise ValueError("Dense needs a batch axis and an axis of features")
    y = np.matmul(x, kernel)
    if use_bias:
        if np.shape(bias) != (units,):
            raise ValueError(f"a bias of shape {list(np.shape(bias))} does not fit {units} units")
        y = np.add(y, bias)
    return activate(y, activation)


def flatten(x: Any, *, data_format: str | None = None) -> Any:
    shape = np.shape(x)
    if data_format not in (None, "channels_last", "channels_first"):
        raise NotAffine(f"has the unknown data format {data_format!r}")
    if data_format == "channels_first" and len(shape) > 1:
        x = np.moveaxis(x, 1, -1)
    return np.reshape(x, (shape[0], math.prod(shape[1:])))


def reshape(x: Any, *, target_shape: Any) -> Any:
    return np.reshape(x, (x.shape[0], *whole_numbers(target_shape, "target_shape")))


def permute(x: Any, *, dims: Any) -> Any:
    return np.transpose(x, (0, *whole_numbers(dims, "dims")))


def whole_numbers(values: Any, name: str) -> tuple[int, ...]:
    """Return a list of integers of a configuration, or one integer as such a list."""
    several = values if isinstance(values, (list, tuple)) else [values]
    if any(type(value) is not int for value in several):
        raise ValueError(f"{name} must hold whole numbers, not {values!r}")
    return tuple(several)


def identity(x: Any) -> Any:
    return x


_TRAINING_ONLY = Layer(
    identity,
    inert=frozenset({"rate", "noise_shape", "stddev", "data_format", "l1", "l2"}),
)

LAYERS: dict[str, Layer] = {
    "Dense": Layer(dense),
    "Flatten": Layer(flatten),
    "Identity": Layer(identity),
    "Permute": Layer(permute),
    "Reshape": Layer(reshape),
    **dict.fromkeys(
        (
            *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout"),
            *("GaussianNoise", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        ),
        _TRAINING_ONLY,
    ),
}

_CHOICE = "chooses among values that depend on the input"
_ATTENTION = "an attention layer multiplies values that depend on the input"
_STATISTICS = "normalises by statistics of the values themselves"

REFUSED: dict[str, Layer] = {
    **dict.fromkeys(
        (
            *("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "GlobalMaxPooling1D"),
            *("GlobalMaxPooling2D", "GlobalMaxPooling3D"),
        ),
        Layer(None, _CHOICE),
    ),
    **dict.fromkeys(
        ("AdditiveAttention", "Attention", "GroupQueryAttention", "MultiHeadAttention"),
        Layer(None, _ATTENTION),
    ),
    **dict.fromkeys(
        ("GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"),
        Layer(None, _STATISTICS, keeps_shape=True),
    ),
}
