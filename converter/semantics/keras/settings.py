"""A layer's configuration and weights as the arguments of the function that says what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converter.errors import NotAffine, printable
from converter.formats.keras_calls import array
from converter.formats.keras_policy import Quantization, policy_of
from converter.semantics.keras.calls import keywords
from converter.semantics.keras.layer import Layer

_INERT = frozenset(
    {
        *("name", "trainable", "seed", "batch_shape", "batch_input_shape", "input_shape"),
        *("dtype", "build_input_shape", "autocast", "batch_size", "sparse", "ragged"),
    }
)
# What Keras 2 adds to a function that it wraps as a layer.
_NODE = frozenset({"name", "trainable", "dtype", "function"})
_INERT_SUFFIXES = ("_initializer", "_regularizer", "_constraint")
# Keys that exist only to say that something is off; any other value changes the meaning.
_NULL = frozenset({"quantization_config", "lora_rank", "lora_alpha"})


def settings_of(
    layer: Layer,
    attributes: Mapping[str, Any],
    weights: Mapping[str, Any],
    *,
    operation: bool = False,
    typed: bool = True,
) -> dict[str, Any]:
    """Return the keyword arguments for a layer's function.

    Parameters
    ----------
    layer : Layer
    attributes, weights : mapping
        As the file has them.
    operation : bool
        It is an operation, which has no settings but its own.
    typed : bool
        Whether the policy says in what numbers the layer computes.

    Raises
    ------
    NotAffine
        If the layer has a setting that the function does not know or lacks one that it needs, or
        computes in anything but floating point numbers.
    """
    assert layer.function is not None
    known = keywords(layer.function)
    settings: dict[str, Any] = dict(weights)
    policy = policy_of(attributes) if typed else None
    if isinstance(policy, str):
        raise NotAffine(f"computes in {printable(policy)}, which is not supported")
    if policy is not None:
        if policy.mode == "float8" or "quantization" not in known:
            raise NotAffine(_rounded(policy))
        settings["quantization"] = policy
    for key, value in attributes.items():
        if key in known:
            settings.setdefault(key, _plain(value, key))
        elif key in _NULL:
            if value is not None:
                raise NotAffine(f"has {key} set to {value!r}, which is not supported")
        elif not (key in _NODE if operation else _inert(key, layer)):
            raise NotAffine(f"has the setting {key!r}, which is not known")
    missing = [key for key, required in known.items() if required and key not in settings]
    if missing:
        raise NotAffine(f"does not say its {', '.join(missing)}")
    odd = [key for key in settings if key not in known]
    if odd:
        raise NotAffine(f"stores the weight {printable(odd[0])!r}, which is not known")
    return settings


def _inert(key: str, layer: Layer) -> bool:
    """Tell whether a key of a layer's configuration has no effect on inference."""
    return key in _INERT or key in layer.inert or key.endswith(_INERT_SUFFIXES)


def _rounded(policy: Quantization) -> str:
    return (
        f"rounds what it is given to {policy.mode}, a step function; convert the network before "
        "it is quantised, or quantise its weights alone"
    )


def _plain(value: Any, key: str) -> Any:
    """Return a setting, arrays that are written out in JSON as arrays."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        if isinstance(config, dict):
            return array(config, f"the setting {key!r}")
    return value
