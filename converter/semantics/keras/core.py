"""Dense, shapes, and layers that act in training only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.formats.keras_policy import Quantization
from converter.semantics.keras.activations import activate
from converter.semantics.keras.geometry import whole_numbers
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.lora import merged
from converter.semantics.keras.quantization import check_weight_only, dequantized


def dense(
    x: Any,
    *,
    units: int,
    kernel: Any,
    bias: Any = None,
    use_bias: bool = True,
    activation: Any = None,
    lora_rank: Any = None,
    lora_alpha: Any = None,
    lora_kernel_a: Any = None,
    lora_kernel_b: Any = None,
    quantization: Quantization | None = None,
    quantization_config: Any = None,
    kernel_scale: Any = None,
    kernel_zero: Any = None,
    g_idx: Any = None,
    awq_scales: Any = None,
) -> Any:
    """``activation(x @ kernel + bias)`` on the last axis, whatever the rank."""
    if np.ndim(x) < 2:
        raise ValueError("Dense needs a batch axis and an axis of features")
    if quantization is not None:
        shape = (np.shape(x)[-1], units)
        check_weight_only(quantization, quantization_config)
        kernel = dequantized(
            quantization, kernel, shape, kernel_scale, kernel_zero, g_idx, awq_scales
        )
    elif quantization_config is not None:
        raise NotAffine("has a quantization_config and no quantised dtype, which is not supported")
    kernel = merged(kernel, lora_kernel_a, lora_kernel_b, lora_rank, lora_alpha)
    if kernel.ndim != 2 or kernel.shape[1] != units:
        raise ValueError(f"a kernel of shape {list(kernel.shape)} does not make {units!r} units")
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
    order = whole_numbers(dims, "dims")
    if sorted(order) != list(range(1, np.ndim(x))):
        raise ValueError(f"dims {list(order)} do not name each axis once, from 1 on")
    return np.transpose(x, (0, *order))


def masking(x: Any, *, mask_value: Any = 0.0) -> Any:
    """Put zeros for steps that hold the value alone; where that is zero, nothing changes.

    The mask that goes with it is followed by the reader (`converter.formats.keras_masks`).
    """
    if isinstance(mask_value, bool) or not isinstance(mask_value, (int, float)) or mask_value:
        raise NotAffine(
            f"puts zeros for steps that hold {mask_value!r} alone, which depends on the input",
            shape=np.shape(x),
        )
    return x


def identity(x: Any) -> Any:
    return x


_TRAINING_ONLY = Layer(
    identity,
    whole="kept",
    inert=frozenset({"rate", "noise_shape", "stddev", "data_format", "l1", "l2"}),
)

LAYERS: dict[str, Layer] = {
    "Dense": Layer(dense),
    "Flatten": Layer(flatten, whole="kept"),
    "Identity": Layer(identity, whole="kept"),
    "Masking": Layer(masking, whole="kept"),
    "Permute": Layer(permute, whole="kept"),
    "Reshape": Layer(reshape, whole="kept"),
    "TFDIdentity": Layer(identity, whole="kept"),  # of keras.utils.FeatureSpace
    **dict.fromkeys(
        (
            *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout"),
            *("GaussianNoise", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        ),
        _TRAINING_ONLY,
    ),
}
