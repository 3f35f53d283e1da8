"""Activations, by string or by layer: linear, sigmoid, and all others as refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from converter.errors import NotAffine, printable
from converter.semantics.keras.layer import Layer
from converter.tracing.algebra import exp, sigmoid, softmax
from converter.tracing.linked import Linked, UsedLink

ACTIVATION = "a non-linear activation of a value that depends on the input"
SOFTMAX = "a softmax of another kind, which is no known link"

#: Names of keras.activations that are links where nothing follows.
LINKS: dict[str, Callable[[Any], Any]] = {
    "exponential": exp,
    "sigmoid": sigmoid,
    "softmax": lambda x: softmax(x, (np.ndim(x) - 1,)),
}

#: Names of keras.activations that are not linear, with the reason.
NONLINEAR: dict[str, str] = dict.fromkeys(
    (
        *("celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid"),
        *("hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu"),
        *("relu6", "selu", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus"),
        *("sparse_sigmoid", "squareplus", "swish", "tanh", "tanh_shrink", "threshold"),
    ),
    ACTIVATION,
) | dict.fromkeys(("log_softmax", "sparsemax"), SOFTMAX)


def activate(x: Any, activation: Any) -> Any:
    """Apply an activation as a configuration names it.

    Raises
    ------
    NotAffine
        If it is neither linear nor a link, custom, or unknown.
    """
    if activation is None or activation == "linear":
        return x
    if not isinstance(activation, str):
        raise NotAffine(_custom(activation), operation="activation", shape=np.shape(x))
    if activation in LINKS:
        linked = LINKS[activation](x)
        return replace(linked, operation=activation) if isinstance(linked, Linked) else linked
    if activation in NONLINEAR:
        if isinstance(x, Linked):
            raise UsedLink()
        raise NotAffine(NONLINEAR[activation], operation=activation, shape=np.shape(x))
    raise NotAffine(
        "an unknown activation; nothing is known about what it computes",
        operation=activation,
        shape=np.shape(x),
    )


def _custom(activation: Any) -> str:
    name = activation
    if isinstance(activation, dict):
        config = activation.get("config")
        name = config if isinstance(config, str) else activation.get("class_name", "")
    return (
        f"applies the custom activation {printable(str(name))}; its code is not run, so nothing "
        "is known about it"
    )


def activation_layer(x: Any, *, activation: Any) -> Any:
    return activate(x, activation)


def softmax_layer(x: Any, *, axis: Any = -1) -> Any:
    """Return the softmax along an axis, or along several at once."""
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    rank = np.ndim(x)
    if not all(isinstance(one, int) and -rank <= one < rank for one in axes):
        raise NotAffine(f"has the axis {axis!r}, which does not exist", shape=np.shape(x))
    linked = softmax(x, tuple(one % rank for one in axes))
    return replace(linked, operation="Softmax") if isinstance(linked, Linked) else linked


def _refused(reason: str, *names: str) -> dict[str, Layer]:
    return {name: Layer(None, reason, keeps_shape=True) for name in names}


LAYERS: dict[str, Layer] = {
    "Activation": Layer(activation_layer),
    **_refused(ACTIVATION, "ELU", "LeakyReLU", "PReLU", "ReLU", "ThresholdedReLU"),
    "Softmax": Layer(softmax_layer),
}
