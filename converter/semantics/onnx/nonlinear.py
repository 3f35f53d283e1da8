"""Operators that are never affine in a value that depends on the input, each with its reason.

Those that are a plain numpy function are still evaluated on constants (exporters compute shapes
and scales with them); the function also tells the shape of the result, so that the rest of the
network can be examined in the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.semantics.onnx.operator import Operator

ACTIVATION = "a non-linear activation of a value that depends on the input"
_FUNCTION = "a non-linear function of a value that depends on the input"
_COMPARE = "compares values that depend on the input"
_CHOICE = "chooses among values that depend on the input"
_STATISTICS = "normalises by statistics of the values themselves"
_ROUNDS = "rounds a value that depends on the input"
_LINK_INSIDE = "a softmax; only sigmoid at the very end is a known link"


def _unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def apply(x: Any) -> Any:
        return function(x)

    return apply


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def apply(a: Any, b: Any) -> Any:
        return function(a, b)

    return apply


def _variadic(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def apply(*data: Any) -> Any:
        result = data[0]
        for other in data[1:]:
            result = function(result, other)
        return result

    return apply


def _where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _leaky_relu(x: Any, *, alpha: float = 0.01) -> Any:
    return np.where(x < 0, np.multiply(x, alpha), x)


def _elu(x: Any, *, alpha: float = 1.0) -> Any:
    return np.where(x < 0, alpha * np.expm1(x), x)


def _softmax(x: Any, *, axis: int = -1) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def _softmax_1(x: Any, *, axis: int = 1) -> Any:
    shape = np.shape(x)
    rows = int(np.prod(shape[: axis % max(len(shape), 1)]))
    return np.reshape(_softmax(np.reshape(x, (rows, -1))), shape)


def _clip(input: Any, min: Any = None, max: Any = None) -> Any:
    low = -np.inf if min is None else min
    high = np.inf if max is None else max
    return np.minimum(np.maximum(input, low), high)


def _clip_6(input: Any, *, min: float = -3.4028235e38, max: float = 3.4028235e38) -> Any:
    return _clip(input, np.float64(min), np.float64(max))


def _pow(x: Any, y: Any) -> Any:
    """The result has the base's type; an integer to a negative power is truncated."""
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        power = np.power(x.astype(np.float64) if x.dtype.kind in "iu" else x, y)
        return power.astype(x.dtype)
    return np.power(x, y)


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, 0.0)


def _table(
    reason: str, since: int, functions: dict[str, Callable[..., Any]]
) -> dict[str, Operator]:
    return {name: Operator({since: f}, refusal=reason) for name, f in functions.items()}


def _refused(reason: str, *names: str, keeps_shape: bool = False) -> dict[str, Operator]:
    refused = Operator({1: None}, refusal=reason, keeps_shape=keeps_shape)
    return dict.fromkeys(names, refused)


OPERATORS: dict[str, Operator] = {
    "Relu": Operator({6: _unary(_relu)}, refusal=ACTIVATION),
    "LeakyRelu": Operator({6: _leaky_relu}, refusal=ACTIVATION),
    "Elu": Operator({6: _elu}, refusal=ACTIVATION),
    "Softplus": Operator({1: _unary(_softplus)}, refusal=ACTIVATION),
    "Tanh": Operator({6: _unary(np.tanh)}, refusal=ACTIVATION),
    "Clip": Operator({6: _clip_6, 11: _clip}, refusal="limits a value that depends on the input"),
    "Softmax": Operator({1: _softmax_1, 13: _softmax}, refusal=_LINK_INSIDE),
    "Where": Operator({9: _where}, refusal=_CHOICE),
    "Pow": Operator({7: _pow}, refusal="a power of a value that depends on the input"),
    "Max": Operator({6: _variadic(np.maximum)}, refusal=_CHOICE),
    "Min": Operator({6: _variadic(np.minimum)}, refusal=_CHOICE),
    **_table(
        _FUNCTION,
        6,
        {
            "Abs": _unary(np.abs),
            "Exp": _unary(np.exp),
            "Log": _unary(np.log),
            "Reciprocal": _unary(lambda x: np.divide(1.0, x)),
            "Sqrt": _unary(np.sqrt),
        },
    ),
    **_table(
        _FUNCTION,
        7,
        {
            "Acos": _unary(np.arccos),
            "Asin": _unary(np.arcsin),
            "Atan": _unary(np.arctan),
            "Cos": _unary(np.cos),
            "Sin": _unary(np.sin),
            "Tan": _unary(np.tan),
        },
    ),
    **_table(
        _FUNCTION,
        9,
        {
            "Acosh": _unary(np.arccosh),
            "Asinh": _unary(np.arcsinh),
            "Atanh": _unary(np.arctanh),
            "Cosh": _unary(np.cosh),
            "Sinh": _unary(np.sinh),
            "Sign": _unary(np.sign),
        },
    ),
    **_table(_ROUNDS, 6, {"Ceil": _unary(np.ceil), "Floor": _unary(np.floor)}),
    **_table(_ROUNDS, 11, {"Round": _unary(np.round)}),
    **_table(
        _COMPARE,
        7,
        {
            "Equal": _binary(np.equal),
            "Greater": _binary(np.greater),
            "Less": _binary(np.less),
        },
    ),
    **_table(
        _COMPARE,
        12,
        {"GreaterOrEqual": _binary(np.greater_equal), "LessOrEqual": _binary(np.less_equal)},
    ),
    **_table(
        _COMPARE,
        7,
        {
            "And": _binary(np.logical_and),
            "Or": _binary(np.logical_or),
            "Xor": _binary(np.logical_xor),
            "Not": _unary(np.logical_not),
        },
    ),
    **_refused(
        ACTIVATION,
        *("Celu", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "Mish", "PRelu", "Selu"),
        *("Shrink", "Softsign", "Swish", "ThresholdedRelu"),
        keeps_shape=True,
    ),
    **_refused(ACTIVATION, "SwiGLU"),
    **_refused(_FUNCTION, "Erf", "CumProd", "LogSoftmax", keeps_shape=True),
    **_refused(_FUNCTION, "Det", "ReduceProd"),
    **_refused(_FUNCTION, "ReduceL1", "ReduceL2", "ReduceSumSquare"),
    **_refused(_FUNCTION, "ReduceLogSum", "ReduceLogSumExp"),
    **_refused(
        _CHOICE,
        *("ArgMax", "ArgMin", "MaxPool", "GlobalMaxPool", "MaxRoiPool", "ReduceMax", "ReduceMin"),
        *("TopK", "NonMaxSuppression", "NonZero", "Unique"),
    ),
    **_refused(_FUNCTION, "LpPool", "GlobalLpPool"),
    **_refused(
        _STATISTICS,
        *("GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization"),
        *("LpNormalization", "MeanVarianceNormalization", "RMSNormalization"),
        keeps_shape=True,
    ),
    **_refused("a gated recurrent layer multiplies values that depend on the input", "GRU", "LSTM"),
    **_refused(
        "an attention layer multiplies values that depend on the input",
        *("Attention", "LinearAttention"),
    ),
    **_refused(
        _ROUNDS,
        *("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"),
        *("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BitCast", "Mod"),
    ),
    **_refused(
        "draws random numbers",
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
        *("RandomUniform", "RandomUniformLike"),
    ),
    **_refused(_COMPARE, "IsInf", "IsNaN"),
}
