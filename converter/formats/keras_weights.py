"""Which weights a Keras layer stores, in which order, and under which archive path.

Source: `build` and `save_own_variables` of each layer class in Keras 3 and tf_keras.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Role:
    """A weight of a layer.

    Parameters
    ----------
    name : str
        Its name in the layer.
    trainable : bool
        Whether training changes it.
    copied : bool
        It is a layer's inside this one, of which archives of Keras 3 hold a second copy.
    """

    name: str
    trainable: bool = True
    copied: bool = False


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


def _embedding(config: Config) -> list[Role]:
    return [Role("embeddings")]


def _none(config: Config) -> list[Role]:
    return []


def _simple_rnn_cell(config: Config) -> list[Role]:
    bias = [Role("bias")] if config.get("use_bias", True) else []
    return [Role("kernel"), Role("recurrent_kernel"), *bias]


def _spectral_normalization(config: Config) -> list[Role]:
    return [Role("kernel", copied=True), Role("vector_u", False)]


_ROLES: dict[str, Callable[[Config], list[Role]]] = {
    "BatchNormalization": _batch_normalization,
    "Dense": _dense,
    "Embedding": _embedding,
    "Normalization": _normalization,
    "PReLU": _prelu,
    "SimpleRNNCell": _simple_rnn_cell,
    "SpectralNormalization": _spectral_normalization,
    **dict.fromkeys(
        (
            *("Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average"),
            *("Concatenate", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise"),
            *("Identity", "InputLayer", "LeakyReLU", "Maximum", "Minimum", "Multiply"),
            *("Permute", "ReLU", "Rescaling", "Reshape", "Softmax", "SpatialDropout1D"),
            *("SpatialDropout2D", "SpatialDropout3D", "Subtract", "ThresholdedReLU"),
            *("CategoryEncoding", "Discretization", "HashedCrossing", "Hashing"),
            *("IntegerLookup", "StringLookup", "TextVectorization"),
            *("Bidirectional", "Masking", "RNN", "SimpleRNN", "StackedRNNCells"),
            "TimeDistributed",
        ),
        _none,
    ),
}


def roles(class_name: str, config: Config) -> list[Role] | None:
    """Return the weights of a built-in layer in stored order, or None if it is not known."""
    known = _ROLES.get(class_name)
    return None if known is None else known(config)


def part_records(class_name: str, config: Config) -> Iterator[tuple[str, Any]]:
    """Yield the records of the layers inside a wrapper, with their paths in an archive.

    Source: the attributes that hold them (``self.forward_layer``), which archives spell out.
    """
    if class_name in ("TimeDistributed", "SpectralNormalization"):
        yield "layer", config.get("layer")
    elif class_name == "Bidirectional":
        forward = config.get("layer")
        backward = config.get("backward_layer")
        yield "forward_layer", forward
        yield "backward_layer", _backwards(forward) if backward is None else backward
    elif class_name == "RNN":
        yield "cell", config.get("cell")
    elif class_name == "SimpleRNN":
        yield "cell", {"class_name": "SimpleRNNCell", "config": {**config, "name": ""}}
    elif class_name == "StackedRNNCells":
        used: dict[str, int] = {}
        cells = config.get("cells")
        for cell in cells if isinstance(cells, list) else [None]:
            name = snake_case(str(cell.get("class_name")) if isinstance(cell, Mapping) else "")
            yield f"cells/{numbered(name, used)}", cell


def _backwards(record: Any) -> Any:
    """Return the record of the layer that Bidirectional makes for the other direction."""
    if not isinstance(record, Mapping) or not isinstance(record.get("config"), Mapping):
        return record
    # Keras gives it the same settings but for this one, and a name of its own.
    config = {**record["config"], "name": ""}
    config["go_backwards"] = not config.get("go_backwards", False)
    return {
        **{key: value for key, value in record.items() if key != "shared_object_id"},
        "config": config,
    }


def numbered(name: str, used: dict[str, int]) -> str:
    """Return a class name with the number that archives give to its next occurrence."""
    count = used[name] = used.get(name, -1) + 1
    return f"{name}_{count}" if count else name


def snake_case(class_name: str) -> str:
    """Return a class name as Keras spells it in archive paths (keras.src.utils.naming)."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
