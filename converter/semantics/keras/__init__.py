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
from converter.formats.keras_policy import computed_in
from converter.formats.keras_wrappers import WRAPPED
from converter.network import Node
from converter.registry import custom_layer
from converter.semantics import Rule
from converter.semantics.keras import (
    activations,
    augmentation,
    categorical,
    convolution,
    core,
    einsum,
    merging,
    normalization,
    pooling,
    recurrent,
    refused,
    resizing,
    wrappers,
)
from converter.semantics.keras.calls import bind, operands_of
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.settings import settings_of

LAYERS: dict[str, Layer] = {
    **core.LAYERS,
    **einsum.LAYERS,
    **convolution.LAYERS,
    **pooling.LAYERS,
    **resizing.LAYERS,
    **augmentation.LAYERS,
    **merging.LAYERS,
    **normalization.LAYERS,
    **activations.LAYERS,
    **recurrent.LAYERS,
    **categorical.LAYERS,
    **refused.LAYERS,
}


def _table(domain: str) -> tuple[dict[str, Layer], str]:
    """Return the table of a domain, and what its entries are; most networks are layers alone."""
    if domain == OPERATORS:
        from converter.semantics.keras import ops

        return ops.OPERATORS, "operation"
    if domain == TENSORFLOW:
        from converter.semantics.keras.tensorflow import FUNCTIONS

        return FUNCTIONS, "TensorFlow function"
    return (wrappers.LAYERS, "wrapper") if domain == WRAPPED else (LAYERS, "layer")


def rule_for(node: Node) -> Rule:
    """Return the meaning of a Keras layer; see `converter.semantics.rule_for`."""
    if node.refusal:
        raise NotAffine(node.refusal)
    table, kind = _table(node.domain)
    layer = table.get(node.operation)
    if node.domain == CUSTOM:
        taught = custom_layer(node.operation)
        layer = None if taught is None else Layer(taught[1].function, inert=taught[1].inert)
    if layer is None:
        way_out = (
            ": export the model to ONNX or SavedModel, or teach its meaning "
            "(converter.register_layer)"
        )
        raise NotAffine(
            f"an unknown {kind}; nothing is known about what it computes"
            + (way_out if kind == "layer" else "")
        )
    if layer.function is None:
        return Rule(_refusing(layer.refusal), refusal=layer.refusal, keeps_shape=layer.keeps_shape)
    operation = node.domain in (OPERATORS, TENSORFLOW)
    typed = not operation and not _typed_by_codes(node)
    rounds = not operation and node.operation not in categorical.LAYERS
    try:
        settings = settings_of(
            layer, node.attributes, node.weights, operation=operation, typed=typed
        )
    except NotAffine as error:
        if node.domain != CUSTOM:
            raise
        raise NotAffine(
            f"{error.reason} (the function registered for it takes settings as keywords; "
            "inert= names those without effect)"
        ) from None
    return Rule(
        bind(
            node,
            layer.function,
            settings,
            whole=layer.whole,
            dtype=computed_in(node.attributes) if rounds else "",
        ),
        refusal=layer.refusal,
        moves=layer.moves,
        labels=layer.labels,
        reads_shape=layer.reads_shape,
        shape_operands=operands_of(node, layer.function, layer.shapes),
    )


def _refusing(reason: str) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Return the meaning of what is not evaluated, not even on constants."""

    def refuse(operands: list[Any]) -> tuple[Any, ...]:
        raise NotAffine(reason)

    return refuse


def _typed_by_codes(node: Node) -> bool:
    """Tell whether a layer's dtype is that of codes, and not of the numbers that it computes."""
    if node.operation not in categorical.TABLES:
        return node.operation in categorical.LAYERS
    # The first of Keras 2, and Keras 1, call a table's dtype what its input has.
    dtype = node.attributes.get("dtype")
    return isinstance(dtype, str) and dtype.startswith(("int", "uint"))
