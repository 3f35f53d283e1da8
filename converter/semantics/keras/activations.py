"""Activations, by string, by record or by layer: linear ones, links, and all others as refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from converter.errors import NotAffine, printable
from converter.formats.keras_config import foreign
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.settings import settings_of
from converter.tracing.algebra import exp, log_softmax, sigmoid, softmax, tanh, within
from converter.tracing.linked import Linked, UsedLink
from converter.tracing.primitives import finite

#: When an activation that bends at bounds does nothing.
STRAIGHT = "what it is given lies where it does not bend (a probability, an exponential)"
ACTIVATION = "a non-linear activation of a value that depends on the input"
SOFTMAX = "a softmax of another kind, which is no known link"


def _last(x: Any) -> tuple[int]:
    return (np.ndim(x) - 1,)


#: Names of keras.activations that are links where nothing follows, or parts of one.
LINKS: dict[str, Callable[[Any], Any]] = {
    "exponential": exp,
    "log_softmax": lambda x: log_softmax(x, _last(x)),
    "sigmoid": sigmoid,
    "softmax": lambda x: softmax(x, _last(x)),
    "tanh": tanh,
}

#: Names of keras.activations that are not linear, with the reason.
NONLINEAR: dict[str, str] = dict.fromkeys(
    (
        *("celu", "elu", "gelu", "glu", "hard_shrink", "hard_sigmoid"),
        *("hard_silu", "hard_swish", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu"),
        *("relu6", "selu", "silu", "soft_shrink", "softplus", "softsign", "sparse_plus"),
        *("sparse_sigmoid", "squareplus", "swish", "tanh_shrink", "threshold"),
    ),
    ACTIVATION,
) | {"sparsemax": SOFTMAX}


#: Those of them that are the identity between bounds.
UNBENT: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("celu", "elu", "leaky_relu", "relu"), (0.0,)),
    "hard_tanh": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
}


def activate(x: Any, activation: Any) -> Any:
    """Apply an activation as a configuration names it.

    Raises
    ------
    NotAffine
        If it is neither linear nor a link, custom, or unknown.
    """
    if isinstance(activation, Mapping):
        return _recorded(x, activation)
    if activation is None or activation == "linear":
        return x
    if not isinstance(activation, str):
        raise NotAffine(_custom(activation), operation="activation", shape=np.shape(x))
    if activation in LINKS:
        linked = LINKS[activation](x)
        return replace(linked, operation=activation) if isinstance(linked, Linked) else linked
    if activation in UNBENT and within(x, *UNBENT[activation]):
        return x
    if activation in NONLINEAR:
        raise _refused(x, NONLINEAR[activation], activation)
    raise NotAffine(
        "an unknown activation; nothing is known about what it computes",
        operation=activation,
        shape=np.shape(x),
    )


def _refused(x: Any, reason: str, operation: str | None = None) -> NotAffine:
    if isinstance(x, Linked):
        return UsedLink()
    return NotAffine(reason, operation=operation, shape=np.shape(x))


# Where Keras looks for a function whose record names no module of its own.
_MODULES = frozenset({"builtins", "keras.activations", "keras.src.activations.activations"})


def _recorded(x: Any, record: Mapping[str, Any]) -> Any:
    """Apply an activation that is written down as a function or as a layer.

    Source: keras.src.saving.serialization_lib, `deserialize_keras_object`.
    """
    kind, config = record.get("class_name"), record.get("config")
    if kind == "function" and isinstance(config, str):
        registered = record.get("registered_name")
        ours = record.get("module", "builtins") in _MODULES and registered in (
            None,
            "function",
            config,
        )
        if ours and (config in LINKS or config in NONLINEAR or config == "linear"):
            return activate(x, config)
    layer = LAYERS.get(kind) if isinstance(kind, str) else None
    if layer is None or not isinstance(config, Mapping) or foreign(record, str(kind)):
        raise NotAffine(_custom(record), operation="activation", shape=np.shape(x))
    if layer.function is None:
        raise _refused(x, layer.refusal, str(kind))
    try:
        result = layer.function(x, **settings_of(layer, config, {}))
    except NotAffine as error:
        error.operation = error.operation or str(kind)
        raise
    return replace(result, operation=str(kind)) if isinstance(result, Linked) else result


def _custom(activation: Any) -> str:
    name = activation
    if isinstance(activation, Mapping):
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


def relu(x: Any, *, max_value: Any = None, negative_slope: Any = 0.0, threshold: Any = 0.0) -> Any:
    """Bend at the threshold and at the maximum; with slope 1 and neither of them, do nothing."""
    if max_value is None and _number(negative_slope) == 1.0 and _number(threshold) == 0.0:
        return x
    top = np.inf if max_value is None else _number(max_value)
    if _number(threshold) == 0.0 and within(x, 0.0, top):
        return x
    raise _refused(x, ACTIVATION)


def leaky_relu(x: Any, *, negative_slope: Any = None, alpha: Any = None) -> Any:
    """Bend at zero; with slope 1, do nothing. Keras 2 calls the slope alpha."""
    if (negative_slope is None) == (alpha is None):
        raise NotAffine("does not say its slope", shape=np.shape(x))
    if _number(negative_slope if alpha is None else alpha) == 1.0 or within(x, 0.0):
        return x
    raise _refused(x, ACTIVATION)


def prelu(x: Any, *, alpha: Any, shared_axes: Any = None) -> Any:
    """Bend at zero, with a slope for each element; where all are 1, do nothing."""
    slopes = finite(alpha)
    if np.broadcast_shapes(np.shape(x)[1:], slopes.shape) != np.shape(x)[1:]:
        raise ValueError(f"slopes of shape {list(slopes.shape)} for {list(np.shape(x))}")
    if (slopes == 1.0).all() or within(x, 0.0):
        return x
    raise _refused(x, ACTIVATION)


def elu(x: Any, *, alpha: Any = 1.0) -> Any:
    """Bend at zero."""
    return activate(x, "elu")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iuf":
            raise ValueError(f"wants a number, not {value!r}")
        return float(array.reshape(()))
    return float(value)


LAYERS: dict[str, Layer] = {
    "Activation": Layer(activation_layer, whole="kept"),
    "ELU": Layer(elu, accepts=STRAIGHT),
    "LeakyReLU": Layer(leaky_relu),
    "PReLU": Layer(prelu),
    "ReLU": Layer(relu),
    "Softmax": Layer(softmax_layer),
    "ThresholdedReLU": Layer(None, ACTIVATION, keeps_shape=True),
}
