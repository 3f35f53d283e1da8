"""The meaning of Keras layers: tables from class to a numpy function.

A layer is a plain function whose positional parameters are those of Keras' `call`; its
keyword-only parameters are the configuration keys that matter, spelled as Keras spells them, and
the layer's weights by role. That signature is the schema: a key that is neither there nor known to
have no effect on inference is a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from converter.errors import NotAffine
from converter.formats.keras_config import CUSTOM, OPERATORS, TENSORFLOW
from converter.formats.keras_wrappers import WRAPPED
from converter.network import Node
from converter.registry import custom_layer
from converter.semantics import Rule
from converter.semantics.keras import (
    activations,
    categorical,
    core,
    merging,
    normalization,
    ops,
    recurrent,
    tensorflow,
    wrappers,
)
from converter.semantics.keras.calls import bind, keywords, operands_of
from converter.semantics.keras.layer import Layer

LAYERS: dict[str, Layer] = {
    **core.LAYERS,
    **merging.LAYERS,
    **normalization.LAYERS,
    **activations.LAYERS,
    **recurrent.LAYERS,
    **categorical.LAYERS,
    **core.REFUSED,
}

_TABLES: dict[str, tuple[dict[str, Layer], str]] = {
    OPERATORS: (ops.OPERATORS, "operation"),
    WRAPPED: (wrappers.LAYERS, "wrapper"),
    TENSORFLOW: (tensorflow.FUNCTIONS, "TensorFlow function"),
}

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

_FLOATS = frozenset(
    {"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"}
)


def rule_for(node: Node) -> Rule:
    """Return the meaning of a Keras layer; see `converter.semantics.rule_for`."""
    if node.refusal:
        raise NotAffine(node.refusal)
    table, kind = _TABLES.get(node.domain, (LAYERS, "layer"))
    layer = table.get(node.operation)
    if node.domain == CUSTOM:
        taught = custom_layer(node.operation)
        layer = None if taught is None else Layer(taught[1].function, inert=taught[1].inert)
    if layer is None:
        raise NotAffine(f"an unknown {kind}; nothing is known about what it computes")
    if layer.function is None:
        return Rule(_refusing(layer.refusal), refusal=layer.refusal, keeps_shape=layer.keeps_shape)
    own = node.domain in (OPERATORS, TENSORFLOW)
    if not own and node.operation not in categorical.LAYERS:  # whose dtype is that of codes
        _check_dtype(node)
    settings: dict[str, Any] = dict(node.weights)
    known = keywords(layer.function)
    for key, value in node.attributes.items():
        if key in known:
            settings.setdefault(key, value)
        elif key in _NULL:
            if value is not None:
                raise NotAffine(f"has {key} set to {value!r}, which is not supported")
        elif not (key in _NODE if own else _inert(key, layer)):
            raise NotAffine(f"has the setting {key!r}, which is not known")
    missing = [key for key, required in known.items() if required and key not in settings]
    if missing:
        raise NotAffine(f"does not say its {', '.join(missing)}")
    return Rule(
        bind(node, layer.function, settings, whole=layer.whole),
        refusal=layer.refusal,
        moves=layer.moves,
        elementwise=layer.elementwise,
        labels=layer.labels,
        reads_shape=layer.reads_shape,
        shape_operands=operands_of(node, layer.function, layer.shapes),
    )


def _inert(key: str, layer: Layer) -> bool:
    """Tell whether a key of a layer's configuration has no effect on inference."""
    return key in _INERT or key in layer.inert or key.endswith(_INERT_SUFFIXES)


def _refusing(reason: str) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Return the meaning of what is not evaluated, not even on constants."""

    def refuse(operands: list[Any]) -> tuple[Any, ...]:
        raise NotAffine(reason)

    return refuse


def _check_dtype(node: Node) -> None:
    """Refuse quantised and integer policies; floating point ones change the precision only."""
    policy = node.attributes.get("dtype")
    if isinstance(policy, dict):
        config = policy.get("config")
        name = config.get("name") if isinstance(config, dict) else None
        if policy.get("class_name") not in ("DTypePolicy", "Policy", "FloatDTypePolicy"):
            raise NotAffine(f"has the dtype policy {policy.get('class_name')}, not supported")
        policy = name
    if policy is not None and not (isinstance(policy, str) and policy in _FLOATS):
        raise NotAffine(f"computes in {policy}, which is not supported")
