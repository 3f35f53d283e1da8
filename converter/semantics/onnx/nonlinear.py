"""Operators that are never affine in a value that depends on the input, or by their arguments.

A LeakyRelu of slope one is the identity, and so are others at some setting; the rest is refused,
each with its reason. What is a plain numpy function is evaluated on constants (exporters
compute shapes and scales with them); it also tells the shape of a refused result, so that the
rest of the network can be examined in the same run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from converter.links import expit
from converter.semantics.onnx.normalization import STATISTICS
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import refuse, traced
from converter.tracing import algebra
from converter.tracing.linked import ACTIVATION, CHOICE, FUNCTION, Linked, UsedLink

_COMPARE = "compares values that depend on the input"
_ROUNDS = "rounds a value that depends on the input"
_LIMITS = "limits a value that depends on the input"


def _unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def apply(x: Any) -> Any:
        return np.asarray(function(x))

    return apply


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def apply(a: Any, b: Any) -> Any:
        return np.asarray(function(a, b))

    return apply


def _extreme(function: Callable[[Any, Any], Any], neutral: float) -> Callable[..., Any]:
    def apply(*data: Any) -> Any:
        if traced(*data):
            shape, sign = np.broadcast_shapes(*map(np.shape, data)), np.sign(neutral)
            bounds = [one for one in data if isinstance(one, np.ndarray)]
            rest = [one for one in data if not isinstance(one, np.ndarray)]
            # A bound beyond which nothing lies bounds nothing; or nothing lies before it.
            kept = [one for one in bounds if not _idle(one, sign, rest)]
            if kept and all(_idle(one, -sign, rest) for one in kept):
                return np.broadcast_to(reduce(function, bounds), shape)
            data = (*rest, *kept)
            if len(data) == 1:
                return data[0] if data[0].shape == shape else np.broadcast_to(data[0], shape)
        if len(data) == 1:
            return data[0]
        refuse(CHOICE, *data)
        result = data[0]
        for other in data[1:]:
            result = function(result, other)
        return np.asarray(result)

    return apply


def _where(condition: Any, x: Any, y: Any) -> Any:
    refuse(CHOICE, condition)
    if isinstance(x, Linked) or isinstance(y, Linked):
        raise UsedLink()
    return np.where(condition, x, y)


def relu(X: Any) -> Any:
    if algebra.within(X, 0.0):
        return X
    if algebra.within(X, high=0.0):
        return np.zeros(X.shape)
    refuse(ACTIVATION, X)
    return np.maximum(X, 0)


def leaky_relu(X: Any, *, alpha: float = 0.01) -> Any:
    if alpha == 1.0 or algebra.within(X, 0.0):
        return X
    refuse(ACTIVATION, X)
    return np.where(X < 0, np.multiply(X, np.asarray(alpha, X.dtype)), X)


def prelu(X: Any, slope: Any) -> Any:
    if isinstance(slope, np.ndarray) and np.all(slope == 1.0):
        if np.broadcast_shapes(np.shape(X), slope.shape) != np.shape(X):
            raise ValueError("the slope does not broadcast to the value")
        return X
    if algebra.within(X, 0.0) and np.broadcast_shapes(np.shape(X), np.shape(slope)) == np.shape(X):
        return X
    refuse(ACTIVATION, X)
    # In the slope the operator is linear.
    return np.where(X < 0, np.multiply(slope, X), X)


def thresholded_relu(X: Any, *, alpha: float = 1.0) -> Any:
    if alpha == -math.inf:
        return X
    refuse(ACTIVATION, X)
    return np.where(alpha < X, X, np.zeros((), X.dtype))


def shrink(input: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    if lambd <= 0.0 and bias == 0.0:
        return input
    refuse(ACTIVATION, input)
    zero = np.zeros((), input.dtype)
    high = np.where(input > lambd, input - np.asarray(bias, input.dtype), zero)
    return np.where(input < -lambd, input + np.asarray(bias, input.dtype), high)


def elu(X: Any, *, alpha: float = 1.0) -> Any:
    if algebra.within(X, 0.0):
        return X
    refuse(ACTIVATION, X)
    return np.where(X < 0, alpha * np.expm1(X), X)


def clip(input: Any, min: Any = None, max: Any = None) -> Any:
    refuse("limits by a value that depends on the input", min, max)
    if traced(input):
        if (min is None or _idle(min, -1.0, [input])) and (max is None or _idle(max, 1.0, [input])):
            return input
        refuse(_LIMITS, input)
    result = input if min is None else np.maximum(input, min)
    return np.asarray(result if max is None else np.minimum(result, max))


def _idle(bound: Any, sign: float, values: Sequence[Any]) -> bool:
    """Tell whether nothing lies beyond a bound, below it (sign -1) or above (sign 1)."""
    limit = np.asarray(bound)
    if np.all(limit * sign == np.inf):
        return True
    return all(
        algebra.within(one, limit) if sign < 0 else algebra.within(one, high=limit)
        for one in values
    )


def clip_6(input: Any, *, min: float = -3.4028235e38, max: float = 3.4028235e38) -> Any:
    """Without bounds: the defaults are the ends of float32, in which the operator computes."""
    limit = float(np.finfo(np.float32).max)
    if traced(input) and min <= -limit and max >= limit:
        return input
    low, high = np.float64(min), np.float64(max)
    if isinstance(input, np.ndarray) and input.dtype.kind == "f":
        return np.clip(input, low, high).astype(input.dtype)
    return clip(input, low, high)


def pow_(x: Any, y: Any) -> Any:
    """The result has the base's type; an integer to a negative power is truncated."""
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        power = np.power(x.astype(np.float64) if x.dtype.kind in "iu" else x, y)
        return np.asarray(power).astype(x.dtype)
    if traced(x) and isinstance(y, np.ndarray) and np.all((y == 1) | (y == 0)):
        if np.all(y == 1):
            shape = np.broadcast_shapes(np.shape(x), y.shape)
            return x if shape == np.shape(x) else np.broadcast_to(x, shape)
        if not isinstance(x, Linked):
            return np.where(y == 1, x, np.ones(()))
    refuse("a power of a value that depends on the input", x)
    refuse("a power whose exponent depends on the input", y)
    return np.power(x, y)


def swish(X: Any, *, alpha: float = 1.0) -> Any:
    """``x * sigmoid(alpha x)``: half of x where alpha is 0."""
    if alpha == 0.0:
        return np.multiply(X, np.asarray(0.5, X.dtype) if isinstance(X, np.ndarray) else 0.5)
    refuse(ACTIVATION, X)
    return (X * expit(alpha * X)).astype(X.dtype)


def swi_glu(A: Any, B: Any, *, alpha: float = 1.0) -> Any:
    if np.shape(A) != np.shape(B):
        raise ValueError("the operands differ in shape")
    return np.multiply(swish(A, alpha=alpha), B)


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, 0.0)


def is_inf(X: Any, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    found = (np.inf == X) & bool(detect_positive)
    return np.asarray(found | ((-np.inf == X) & bool(detect_negative)))


def _table(
    reason: str, since: int, functions: dict[str, Callable[..., Any]]
) -> dict[str, Operator]:
    return {name: Operator({since: f}, refusal=reason) for name, f in functions.items()}


def _refused(reason: str, *names: str, keeps_shape: bool = False) -> dict[str, Operator]:
    return {
        name: Operator({_SINCE.get(name, 1): None}, refusal=reason, keeps_shape=keeps_shape)
        for name in names
    }


# The opset that introduced an operator, where it is not among the oldest.
_SINCE = {
    **dict.fromkeys(("MeanVarianceNormalization", "NonZero", "TfIdfVectorizer"), 9),
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "Mod", "NonMaxSuppression"), 10),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QuantizeLinear", "StringNormalizer"), 10),
    **dict.fromkeys(("BitShift", "Det", "DynamicQuantizeLinear", "Unique"), 11),
    **dict.fromkeys(("Celu", "SoftmaxCrossEntropyLoss"), 12),
    **dict.fromkeys(("HardSwish",), 14),
    **dict.fromkeys(("Bernoulli",), 15),
    **dict.fromkeys(("LayerNormalization",), 17),
    **dict.fromkeys(("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"), 18),
    **dict.fromkeys(("GroupNormalization", "Mish"), 18),
    **dict.fromkeys(("Gelu", "ImageDecoder", "RegexFullMatch", "StringConcat", "StringSplit"), 20),
    **dict.fromkeys(("Attention", "RMSNormalization"), 23),
    **dict.fromkeys(("BitCast",), 26),
    **dict.fromkeys(("LinearAttention",), 27),
}


_ANY = frozenset(range(8))

OPERATORS: dict[str, Operator] = {
    "Relu": Operator({6: relu}, accepts="it cannot be negative (a probability, an exponential)"),
    "LeakyRelu": Operator({6: leaky_relu}, accepts="alpha is 1, or it cannot be negative"),
    "PRelu": Operator(
        {7: prelu}, accepts="the slope is 1 (or only the slope depends on the input)"
    ),
    "Shrink": Operator({9: shrink}, accepts="bias is 0 and lambd not positive"),
    "ThresholdedRelu": Operator({10: thresholded_relu}, accepts="alpha is minus infinity"),
    "Elu": Operator({6: elu}, accepts="it cannot be negative (a probability, an exponential)"),
    "Softplus": Operator({1: _unary(_softplus)}, refusal=ACTIVATION),
    "Clip": Operator(
        {6: clip_6, 11: clip},
        infinite=frozenset({1, 2}),
        accepts="there are no bounds, or infinite ones, or nothing lies beyond them",
    ),
    "Where": Operator(
        {9: _where}, labels=True, infinite=frozenset({1, 2}), accepts="the condition is constant"
    ),
    "Pow": Operator({7: pow_}, accepts="the exponent is 1 or 0"),
    "Max": Operator(
        {6: _extreme(np.maximum, -np.inf)},
        infinite=_ANY,
        accepts="it has one operand, or the others are infinite, or bounds beyond which it is not",
    ),
    "Min": Operator(
        {6: _extreme(np.minimum, np.inf)},
        infinite=_ANY,
        accepts="it has one operand, or the others are infinite, or bounds beyond which it is not",
    ),
    **_table(FUNCTION, 6, {"Sqrt": _unary(np.sqrt)}),
    **_table(
        FUNCTION,
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
        FUNCTION,
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
    "Equal": Operator({7: _binary(np.equal)}, refusal=_COMPARE, labels=True),
    "Not": Operator({1: _unary(np.logical_not)}, refusal=_COMPARE, labels=True),
    **_table(
        _COMPARE,
        7,
        {
            "And": _binary(np.logical_and),
            "Or": _binary(np.logical_or),
            "Xor": _binary(np.logical_xor),
        },
    ),
    **_table(_COMPARE, 9, {"IsNaN": _unary(np.isnan)}),
    "IsInf": Operator({10: is_inf}, refusal=_COMPARE),
    **_refused(
        ACTIVATION,
        *("Celu", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Selu", "Softsign"),
        keeps_shape=True,
    ),
    "SwiGLU": Operator({28: swi_glu}, accepts="the gate is constant, or alpha is 0"),
    "Swish": Operator({24: swish}, accepts="alpha is 0"),
    **_refused(FUNCTION, "Det", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"),
    **_refused(
        CHOICE,
        *("MaxRoiPool", "TopK", "NonMaxSuppression", "NonZero", "Unique", "StringSplit"),
        *("StringConcat", "StringNormalizer", "RegexFullMatch", "TfIdfVectorizer"),
        "ImageDecoder",
    ),
    **_refused(FUNCTION, "GlobalLpPool"),
    **_refused(
        STATISTICS,
        *("LRN", "LpNormalization", "MeanVarianceNormalization"),
        keeps_shape=True,
    ),
    **_refused("a gated recurrent layer multiplies values that depend on the input", "GRU", "LSTM"),
    **_refused(
        _ROUNDS,
        *("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"),
        *("ConvInteger", "MatMulInteger"),
        *("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "BitCast", "Mod"),
    ),
    **{
        name: Operator({_SINCE.get(name, 1): None}, refusal="draws random numbers", random=True)
        for name in (
            *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
            *("RandomUniform", "RandomUniformLike"),
        )
    },
}
