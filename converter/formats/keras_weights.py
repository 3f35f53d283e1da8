"""Which weights a Keras layer stores, in which order, and under which archive path.

Source: `build` and `save_own_variables` of each layer class in Keras 3 and tf_keras.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Role:
    """A weight of a layer: its name in the layer, and whether training changes it."""

    name: str
    trainable: bool = True


Config = Mapping[str, Any]


def _dense(config: Config) -> list[Role]:
    return [Role("kernel")] + ([Role("bias")] if config.get("use_bias", True) else [])


def _batch_normalization(config: Config) -> list[Role]:
    roles = [Role("gamma")] if config.get("scale", True) else []
    roles += [Role("beta")] if config.get("center", True) else []
    return [*roles, Role("moving_mean", False), Role("moving_variance", False)]


def _normalization(config: Config) -> list[Role]:
    if config.get("mean") is not None:
        return []
    return [Role("mean", False), Role("variance", False), Role("count", False)]


def _prelu(config: Config) -> list[Role]:
    return [Role("alpha")]


def _none(config: Config) -> list[Role]:
    return []


_ROLES: dict[str, Callable[[Config], list[Role]]] = {
    "BatchNormalization": _batch_normalization,
    "Dense": _dense,
    "Normalization": _normalization,
    "PReLU": _prelu,
    **dict.fromkeys(
        (
            *("Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average"),
            *("Concatenate", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise"),
            *("Identity", "InputLayer", "LeakyReLU", "Maximum", "Minimum", "Multiply"),
            *("Permute", "ReLU", "Rescaling", "Reshape", "Softmax", "SpatialDropout1D"),
            *("SpatialDropout2D", "SpatialDropout3D", "Subtract", "ThresholdedReLU"),
        ),
        _none,
    ),
}


def roles(class_name: str, config: Config) -> list[Role] | None:
    """Return the weights of a built-in layer in stored order, or None if it is not known."""
    known = _ROLES.get(class_name)
    return None if known is None else known(config)


def snake_case(class_name: str) -> str:
    """Return a class name as Keras spells it in archive paths (keras.src.utils.naming)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
