"""Operations that are computed on constants and refused, each with its reason, on all else.

Graphs compute sizes, indices and unpacked weights with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.semantics.tensorflow.operator import Operation
from converter.tracing.linked import ACTIVATION, FUNCTION

_COMPARES = "compares values that depend on the input"
_ROUNDS = "rounds a value that depends on the input"
_BITS = "computes with the bits of whole numbers"


def _constants(function: Callable[..., Any], reason: str) -> Operation:
    def compute(*x: Any) -> Any:
        result = np.asarray(function(*x))
        kind = getattr(x[0], "dtype", result.dtype)
        return result.astype(kind) if result.dtype.kind == kind.kind == "f" else result

    return Operation(compute, reason, inert=frozenset({"incompatible_shape_error"}), text=True)


def _truth(function: Callable[..., Any]) -> Operation:
    def reduces(input: Any, axis: Any, *, keep_dims: bool = False) -> Any:
        along = tuple(int(one) for one in np.asarray(axis).reshape(-1))
        return function(np.asarray(input, dtype=bool), axis=along, keepdims=keep_dims)

    return Operation(reduces, _COMPARES)


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, 0.0)


_FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    _COMPARES: {
        "Equal": np.equal,
        "IsFinite": np.isfinite,
        "IsInf": np.isinf,
        "IsNan": np.isnan,
        "LogicalAnd": np.logical_and,
        "LogicalNot": np.logical_not,
        "LogicalOr": np.logical_or,
        "NotEqual": np.not_equal,
    },
    _ROUNDS: {
        "Ceil": np.ceil,
        "Floor": np.floor,
        "FloorDiv": np.floor_divide,
        "FloorMod": np.mod,
        "Mod": np.fmod,
        "Rint": np.rint,
    },
    _BITS: {
        "BitwiseAnd": np.bitwise_and,
        "BitwiseOr": np.bitwise_or,
        "BitwiseXor": np.bitwise_xor,
        "Invert": np.invert,
        "LeftShift": np.left_shift,
        "RightShift": np.right_shift,
    },
    ACTIVATION: {
        "Softplus": _softplus,
        "Softsign": lambda x: x / (np.abs(x) + 1),
    },
    FUNCTION: {
        "Acos": np.arccos,
        "Acosh": np.arccosh,
        "Asin": np.arcsin,
        "Asinh": np.arcsinh,
        "Atan": np.arctan,
        "Atan2": np.arctan2,
        "Atanh": np.arctanh,
        "Cos": np.cos,
        "Cosh": np.cosh,
        "Rsqrt": lambda x: 1.0 / np.sqrt(x),
        "Sign": np.sign,
        "Sin": np.sin,
        "Sinh": np.sinh,
        "Sqrt": np.sqrt,
        "Square": np.square,
        "SquaredDifference": lambda x, y: np.square(x - y),
        "Tan": np.tan,
    },
}

OPERATIONS: dict[str, Operation] = {
    **{
        name: _constants(function, reason)
        for reason, functions in _FUNCTIONS.items()
        for name, function in functions.items()
    },
    "All": _truth(np.all),
    "Any": _truth(np.any),
    "Where": Operation(np.argwhere, _COMPARES),
}
