"""Configurations of Keras 1, in the words of Keras 2.

Source: keras/layers of Keras 1.2.2, and the arguments that Keras 2 renamed
(keras/legacy/interfaces.py of Keras 2.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "TimeDistributedDense": "Dense",
}
_MERGES = {
    "ave": "Average",
    "concat": "Concatenate",
    "max": "Maximum",
    "mul": "Multiply",
    "sum": "Add",
}
_KEYS = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "filter_length": "kernel_size",
    "init": "kernel_initializer",
    "inner_init": "recurrent_initializer",
    "input_dtype": "dtype",
    "length": "size",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
_ORDERINGS = {"tf": "channels_last", "th": "channels_first"}
# What Keras 1 writes down and Keras 2 does not, without effect on inference.
_DROPPED = frozenset(
    {"consume_less", "dropout_U", "dropout_W", "input_length", "output_mask", "output_mask_type"}
)
_ROLES = {
    "W": ("kernel", "embeddings"),
    "U": ("recurrent_kernel",),
    "b": ("bias",),
    "running_mean": ("moving_mean",),
    "running_std": ("moving_variance",),  # the variance, whatever its name
}


def is_old(version: str) -> bool:
    """Tell whether a version of Keras writes files in these words."""
    return version.startswith(("1.", "0."))


def modernised(record: Any) -> Any:
    """Return a layer's or a model's record as Keras 2 would have written it."""
    if isinstance(record, list):
        return [modernised(one) for one in record]
    if not isinstance(record, Mapping) or "class_name" not in record:
        return record
    name, config = record["class_name"], record.get("config")
    if isinstance(config, list):
        return {**record, "config": modernised(config)}
    if not isinstance(config, Mapping):
        return record
    if isinstance(config.get("layers"), list):
        layers = modernised(config["layers"])
        return {**record, "config": {**config, "layers": layers}}
    if name == "Merge":
        name, config = _merge(config)
    new: dict[str, Any] = {}
    embedding = name == "Embedding"
    for key, value in config.items():
        if key in _DROPPED or (key == "input_dim" and not embedding):
            continue
        if embedding and key in ("output_dim", "dropout"):
            if key == "output_dim":
                new[key] = value
            continue
        if key == "mode" and name == "BatchNormalization" and value == 0:
            continue
        if key == "dim_ordering" and value == "th" and name in _CLASSES:
            # Theano turns kernels round, TensorFlow does not; the file does not say which it was.
            new[key] = value
            continue
        new[_KEYS.get(key, key)] = _value(key, value)
    if _CLASSES.get(name) == "Conv1D":
        new.setdefault("data_format", "channels_last")
    if embedding:
        new = {k.replace("kernel_", "embeddings_"): v for k, v in new.items()}
    rows = [new.pop(key) for key in ("nb_row", "nb_col") if key in new]
    rows += [new.pop(key) for key in ("kernel_dim1", "kernel_dim2", "kernel_dim3") if key in new]
    if rows:
        new["kernel_size"] = rows
    return {**record, "class_name": _CLASSES.get(name, name), "config": new}


def _merge(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the layer that a Merge layer is; one that runs code stays what it is."""
    kind = _MERGES.get(str(config.get("mode")))
    if kind is None or config.get("mode_type") != "raw":
        return "Merge", dict(config)
    kept: dict[str, Any] = {"name": config.get("name"), "trainable": True}
    if kind == "Concatenate":
        kept["axis"] = config.get("concat_axis", -1)
    return kind, kept


def _value(key: str, value: Any) -> Any:
    if key == "dim_ordering":
        return _ORDERINGS.get(value, value)
    if key in ("layer", "backward_layer", "cell"):
        return modernised(value)
    if key.endswith(("_regularizer", "_constraint")) and isinstance(value, Mapping):
        settings = {one: number for one, number in value.items() if one != "name"}
        return {
            "class_name": re.sub("Regularizer$", "", str(value.get("name"))),
            "config": settings,
        }
    if key == "padding" and isinstance(value, list) and len(value) == 4:
        return [value[:2], value[2:]]
    return value


def role_names(weight: str, layer: str) -> tuple[str, ...]:
    """Return the roles that a weight's name may stand for.

    Parameters
    ----------
    weight : str
        ``dense_1/kernel:0``, or ``dense_1_W:0`` of Keras 1.
    layer : str
        The layer's name in a file of Keras 1; empty for later ones.
    """
    last = weight.split("/")[-1].split(":")[0]
    if not layer:
        return (last,)
    own = last.removeprefix(f"{layer}_")
    return _ROLES.get(own, (own,))


def kernel(class_name: str, values: np.ndarray) -> np.ndarray:
    """Return a weight in the shape that Keras 2 gives it."""
    if class_name == "Conv1D" and values.ndim == 4 and values.shape[1] == 1:
        return values[:, 0]
    return values
