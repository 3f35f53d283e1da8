"""Arithmetic, links, decisions and types, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.activations import LINKS, STRAIGHT, activate
from converter.semantics.keras.geometry import biased
from converter.semantics.keras.layer import Layer
from converter.semantics.onnx import linking, nonlinear
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import refuse, traced
from converter.tracing import algebra
from converter.tracing.affine import Affine
from converter.tracing.linked import ACTIVATION, CHOICE, FUNCTION, Linked, UsedLink
from converter.tracing.primitives import finite
from converter.tracing.reach import depends_only_on
from converter.tracing.views import held, view

#: Types of keras.config that hold floating point numbers.
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_WHOLE = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})
_CUTS = "cuts off the fraction of a value that depends on the input"


def add(x1: Any, x2: Any) -> Any:
    return biased(x1, x2) if traced(x1) and not traced(x2) else np.add(x1, x2)


def subtract(x1: Any, x2: Any) -> Any:
    return np.subtract(x1, x2)


def multiply(x1: Any, x2: Any) -> Any:
    return np.multiply(x1, x2)


def divide(x1: Any, x2: Any) -> Any:
    return np.divide(x1, x2)


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """Divide; by zero the result is zero."""
    if not traced(x2):
        divisor = np.asarray(x2, dtype=np.float64)
        if not divisor.all():
            inverse = np.divide(1.0, divisor, out=np.zeros_like(divisor), where=divisor != 0)
            return np.multiply(x1, inverse)
    return np.divide(x1, x2)


def negative(x: Any) -> Any:
    return np.negative(x)


def identity(x: Any) -> Any:
    return x


def _scaled(factor: float) -> Any:
    def scale(x: Any) -> Any:
        return np.multiply(x, np.float64(factor))

    return scale


def power(x1: Any, x2: Any) -> Any:
    return nonlinear.pow_(_array(x1), _array(x2))


def _array(x: Any) -> Any:
    return x if traced(x) else np.asarray(x)


def clip(x: Any, *, x_min: Any = None, x_max: Any = None) -> Any:
    return nonlinear.clip(x, x_min, x_max)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        raise NotAffine("finds places where a condition holds")
    refuse("chooses among values that depend on the input", condition)
    if isinstance(x1, Linked) or isinstance(x2, Linked):
        raise UsedLink()
    return np.where(np.asarray(condition, dtype=bool), x1, x2)


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Choose by the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ValueError("has not as many conditions as choices")
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


def _changes(x: Affine, dtype: Any) -> bool:
    """Tell whether numbers that were looked up are other ones, or wrap otherwise, after a cast."""
    found = view(x) if x.kind in "iuw" else None
    looked_up = [] if found is None else [one for one in found.origins if one.changed]
    if x.kind in "uw":
        return bool(looked_up)
    return dtype == "int32" and any(
        one.values is not None and np.abs(one.values.astype(np.float64)).max(initial=0) >= 2.0**31
        for one in looked_up
    )


def cast(x: Any, *, dtype: Any) -> Any:
    """Cast; a code that is cast to whole numbers may still be looked up, and nothing else."""
    if isinstance(x, Affine) and _changes(x, dtype):
        raise NotAffine(_CUTS)
    if dtype in FLOATS:
        if isinstance(x, Affine):
            if x.kind == "c":
                raise NotAffine(_CUTS)
            return held(x.as_float(), dtype)
        return x if traced(x) else np.asarray(x).astype(np.float64)
    if not isinstance(dtype, str) or dtype not in _WHOLE | {"bool"}:
        raise NotAffine(f"casts to the unknown type {dtype!r}")
    if isinstance(x, Affine):
        if x.kind in "iu" and dtype in ("int32", "int64"):
            return held(x.as_kind("i"), dtype)  # small ones are held exactly
        if dtype not in ("int32", "int64") or view(x) is None:
            raise NotAffine(_CUTS)
        return held(x, dtype).as_kind("c")
    if isinstance(x, Linked):
        raise UsedLink()
    return _whole(np.asarray(x), dtype)


def _whole(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Return constants as whole numbers, their fractions cut off."""
    if dtype != "bool" and numbers.dtype.kind == "f":
        limits = np.iinfo(dtype)
        # What becomes of other numbers depends on the machine.
        if not np.all((numbers > float(limits.min) - 1.0) & (numbers < float(limits.max) + 1.0)):
            raise NotAffine(f"casts a number to {dtype}, which does not hold it")
    return numbers.astype(dtype)


def convert_to_tensor(x: Any, *, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    if sparse or ragged:
        raise NotAffine("makes a sparse or ragged tensor")
    return x if dtype is None else cast(x, dtype=dtype)


def full_like(x: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    """Return a value of the shape of `x`, and of its type where none is named."""
    fill = _in_type_of(x, fill_value) if dtype is None else cast(fill_value, dtype=dtype)
    return np.broadcast_to(fill, np.shape(x))


def zeros_like(x: Any, *, dtype: Any = None) -> Any:
    return full_like(x, 0, dtype=dtype)


def ones_like(x: Any, *, dtype: Any = None) -> Any:
    return full_like(x, 1, dtype=dtype)


def _in_type_of(x: Any, fill: Any) -> Any:
    kind = x.kind if isinstance(x, Affine) else "f"
    if isinstance(x, np.ndarray) and x.dtype.kind != "f":
        return cast(fill, dtype=str(x.dtype))
    if isinstance(x, Affine) and not depends_only_on(
        x, {*x.tape.inputs, *x.tape.indicators.values()}
    ):
        raise NotAffine("makes a value of the type of one that is refused, which is not known")
    if kind == "f":
        return cast(fill, dtype="float64")
    if kind != "i":
        raise NotAffine("makes a value of the type of small integers, booleans or text")
    # Of 32 bits or 64: a number that both hold.
    fill = cast(fill, dtype="int32")
    return fill if traced(fill) else fill.astype(np.int64)


def exp2(x: Any) -> Any:
    return algebra.exp(np.multiply(x, np.float64(math.log(2.0))))


def expm1(x: Any) -> Any:
    return np.subtract(algebra.exp(x), np.float64(1.0))


def log1p(x: Any) -> Any:
    return algebra.log(np.add(x, np.float64(1.0)))


def _logarithm(base: float) -> Any:
    def logarithm(x: Any) -> Any:
        return np.multiply(algebra.log(x), np.float64(1.0 / math.log(base)))

    return logarithm


def erfc(x: Any) -> Any:
    return np.subtract(np.float64(1.0), algebra.erf(x))


def softmax(x: Any, *, axis: Any = -1) -> Any:
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    if len(axes) == 1:
        return linking.softmax(x, axis=axes[0])
    rank = np.ndim(x)
    if any(type(one) is not int or not -rank <= one < rank for one in axes):
        raise ValueError(f"axis {axis!r} does not exist")
    return algebra.softmax(x, tuple(one % rank for one in axes))


def log_softmax(x: Any, *, axis: Any = -1) -> Any:
    return linking.log_softmax(x, axis=axis)


def logsumexp(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    axes = axes_of(axis, np.ndim(x))
    if isinstance(x, Affine) and math.prod(x.shape[a] for a in axes) == 1:
        return x if keepdims else np.squeeze(x, axis=axes)
    return algebra.log_sum_exp(x, axes, keepdims)


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """Return axes counted from the front; all of them where none is named."""
    if axis is None:
        return tuple(range(rank))
    several = axis if isinstance(axis, (list, tuple)) else [axis]
    if any(type(one) is not int or not -rank <= one < rank for one in several):
        raise ValueError(f"axis {axis!r} does not exist in a value of {rank} axes")
    return tuple(sorted({one % rank for one in several}))


def leaky_relu(x: Any, *, negative_slope: Any = 0.2) -> Any:
    return nonlinear.leaky_relu(x, alpha=float(finite(negative_slope)))


def _unbent(name: str) -> Callable[..., Any]:
    """Return an activation that is the identity between bounds, whatever its alpha."""

    def apply(x: Any, *, alpha: Any = 1.0) -> Any:
        return activate(x, name)

    return apply


def shrink(x: Any, *, threshold: Any = 0.5) -> Any:
    """Set what is below a threshold to zero; nothing is below zero."""
    if threshold == 0:
        return x
    raise _refused(ACTIVATION, x)


def _refused(reason: str, x: Any) -> NotAffine:
    return UsedLink() if isinstance(x, Linked) else NotAffine(reason, shape=np.shape(x))


def argmax(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _arg(linking.arg_max, x, axis, keepdims)


def argmin(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return _arg(linking.arg_min, x, axis, keepdims)


def _arg(function: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    if axis is None:
        raise _refused(CHOICE, x)
    return function(x, axis=axis, keepdims=int(keepdims))


def _binary_of(operator: Operator) -> Callable[..., Any]:
    """Return an operation of two operands that ONNX has too."""
    function = operator.versions[max(operator.versions)]
    assert function is not None

    def apply(x1: Any, x2: Any) -> Any:
        return function(_array(x1), _array(x2))

    return apply


def round_(x: Any, *, decimals: int = 0) -> Any:
    if decimals:
        raise _refused("rounds a value that depends on the input", x)
    return linking.round_(x)


def size(x: Any) -> Any:
    return np.asarray(np.size(x))


def ndim(x: Any) -> Any:
    return np.asarray(np.ndim(x))


def _numpy(function: Callable[..., Any], reason: str) -> Layer:
    """Return an operation that is refused on traced values, and computed on constants."""

    def compute(*x: Any) -> Any:
        return np.asarray(function(*x))

    return Layer(compute, reason)


_COMPARES = "compares values that depend on the input"
_ROUNDS = "rounds a value that depends on the input"

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Absolute": linking.absolute,
    "Abs": linking.absolute,
    "Fabs": linking.absolute,
    "Add": add,
    "Clip": clip,
    "Conj": identity,
    "Conjugate": identity,
    "Copy": identity,
    "Deg2rad": _scaled(math.pi / 180.0),
    "Divide": divide,
    "DivideNoNan": divide_no_nan,
    "Erf": algebra.erf,
    "Erfc": erfc,
    "Exp": LINKS["exponential"],
    "Exp2": exp2,
    "Expm1": expm1,
    "HardShrink": shrink,
    "LeakyRelu": leaky_relu,
    "Log": algebra.log,
    "Log10": _logarithm(10.0),
    "Log1p": log1p,
    "Log2": _logarithm(2.0),
    "LogSoftmax": log_softmax,
    "Logsumexp": logsumexp,
    "Multiply": multiply,
    "Negative": negative,
    "Power": power,
    "Rad2deg": _scaled(180.0 / math.pi),
    "Real": identity,
    "Reciprocal": linking.reciprocal,
    "Sigmoid": LINKS["sigmoid"],
    "SoftShrink": shrink,
    "Softmax": softmax,
    "StopGradient": identity,
    "Subtract": subtract,
    "Tanh": algebra.tanh,
    "TrueDivide": divide,
    "Where": where,
    "Maximum": _binary_of(nonlinear.OPERATORS["Max"]),
    "Minimum": _binary_of(nonlinear.OPERATORS["Min"]),
    "Select": select,
}
_NUMPY: dict[str, dict[str, str]] = {
    CHOICE: {"Fmax": "fmax", "Fmin": "fmin"},
    _COMPARES: {
        "Equal": "equal",
        "Isfinite": "isfinite",
        "Isinf": "isinf",
        "Isnan": "isnan",
        "Isneginf": "isneginf",
        "Isposinf": "isposinf",
        "Isreal": "isreal",
        "LogicalAnd": "logical_and",
        "LogicalNot": "logical_not",
        "LogicalOr": "logical_or",
        "LogicalXor": "logical_xor",
        "NotEqual": "not_equal",
        "Sign": "sign",
        "Signbit": "signbit",
    },
    _ROUNDS: {
        "Ceil": "ceil",
        "Floor": "floor",
        "FloorDivide": "floor_divide",
        "Fmod": "fmod",
        "Mod": "mod",
        "Trunc": "trunc",
    },
    FUNCTION: {
        "Angle": "angle",
        "Arccos": "arccos",
        "Arccosh": "arccosh",
        "Arcsin": "arcsin",
        "Arcsinh": "arcsinh",
        "Arctan": "arctan",
        "Arctan2": "arctan2",
        "Arctanh": "arctanh",
        "Cbrt": "cbrt",
        "Cos": "cos",
        "Cosh": "cosh",
        "Heaviside": "heaviside",
        "Hypot": "hypot",
        "I0": "i0",
        "Ldexp": "ldexp",
        "Logaddexp": "logaddexp",
        "Logaddexp2": "logaddexp2",
        "Nextafter": "nextafter",
        "Sin": "sin",
        "Sinc": "sinc",
        "Sinh": "sinh",
        "Sqrt": "sqrt",
        "Square": "square",
        "Tan": "tan",
    },
}

OPERATORS: dict[str, Layer] = {
    **{
        name: Layer(_unbent(activation), accepts=STRAIGHT)
        for name, activation in (
            *(("Celu", "celu"), ("Elu", "elu"), ("HardTanh", "hard_tanh")),
            *(("Relu", "relu"), ("Relu6", "relu6")),
        )
    },
    **{name: Layer(function, whole="wraps") for name, function in _FUNCTIONS.items()},
    **{
        name: _numpy(getattr(np, function), reason)
        for reason, functions in _NUMPY.items()
        for name, function in functions.items()
    },
    "Argmax": Layer(argmax, labels=True),
    "Argmin": Layer(argmin, labels=True),
    "Array": Layer(convert_to_tensor, whole="kept"),
    "Cast": Layer(cast, whole="kept", labels=True),
    "ConvertToTensor": Layer(convert_to_tensor, whole="kept"),
    "EmptyLike": Layer(None, "makes a value that is not initialised", keeps_shape=True),
    "FullLike": Layer(full_like, whole="kept"),
    "Greater": Layer(_binary_of(linking.OPERATORS["Greater"]), labels=True),
    "GreaterEqual": Layer(_binary_of(linking.OPERATORS["GreaterOrEqual"]), labels=True),
    "Less": Layer(_binary_of(linking.OPERATORS["Less"]), labels=True),
    "LessEqual": Layer(_binary_of(linking.OPERATORS["LessOrEqual"]), labels=True),
    "Ndim": Layer(ndim, reads_shape=True),
    "OnesLike": Layer(ones_like, whole="kept"),
    "Round": Layer(round_),
    "Rsqrt": _numpy(lambda x: 1.0 / np.sqrt(x), FUNCTION),
    "SaturateCast": Layer(None, "limits a value to the range of a type", keeps_shape=True),
    "Size": Layer(size, reads_shape=True),
    "ZerosLike": Layer(zeros_like, whole="kept"),
}
