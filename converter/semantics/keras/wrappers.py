"""What wrappers need around the layers inside them; see `converter.formats.keras_wrappers`."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.semantics.keras.layer import Layer
from converter.semantics.precision import floating


def time_distributed(x: Any, sequences: Any = None, *, to_rows: bool) -> Any:
    """Take the steps of a sequence for rows, or give rows back to the sequence they came from."""
    shape = np.shape(x if to_rows else sequences)
    if len(shape) < 3:
        raise ValueError("TimeDistributed needs an axis of steps and one of features")
    if to_rows:
        return np.reshape(x, (shape[0] * shape[1], *shape[2:]))
    return np.reshape(x, (*shape[:2], *np.shape(x)[1:]))


def spectral_normalization(y: Any, x: Any) -> Any:
    """Return the result of the layer inside, in the type of what it was given."""
    floating(x)
    return y


def flip(x: Any, *, axis: int) -> Any:
    return np.flip(x, axis=axis)


LAYERS: dict[str, Layer] = {
    "Flip": Layer(flip, whole="kept"),
    "SpectralNormalization": Layer(spectral_normalization, whole="kept"),
    "TimeDistributed": Layer(time_distributed, whole="kept"),
}
