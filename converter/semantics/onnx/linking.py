"""Operators that may be, or may help to spell, the link at the end of a network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.movement import check_flags
from converter.semantics.onnx.operator import Operator
from converter.semantics.precision import in_type_of
from converter.tracing import algebra
from converter.tracing.affine import Affine
from converter.tracing.functions import axis_of
from converter.tracing.linked import CHOICE, FUNCTION, Linked, UsedLink

_COMPARE = "compares values that depend on the input"
_ROUNDS = "rounds a value that depends on the input"


def exp(input: Any) -> Any:
    return in_type_of(input, algebra.exp(input))


def log(input: Any) -> Any:
    return in_type_of(input, algebra.log(input))


def sigmoid(X: Any) -> Any:
    return in_type_of(X, algebra.sigmoid(X))


def tanh(input: Any) -> Any:
    return in_type_of(input, algebra.tanh(input))


def erf(input: Any) -> Any:
    return in_type_of(input, algebra.erf(input))


def reciprocal(X: Any) -> Any:
    if isinstance(X, Affine):
        raise NotAffine(FUNCTION)
    return in_type_of(X, np.divide(np.float64(1.0), X))


def softmax(input: Any, *, axis: int = -1) -> Any:
    return in_type_of(input, _softmax(input, (_axis(axis, input),)))


def softmax_1(input: Any, *, axis: int = 1) -> Any:
    """Before opset 13 the value was a matrix: axes before `axis`, and the rest."""
    return in_type_of(input, _softmax(input, _trailing(axis, input)))


def log_softmax(input: Any, *, axis: int = -1) -> Any:
    return in_type_of(input, _log_softmax(input, (_axis(axis, input),)))


def log_softmax_1(input: Any, *, axis: int = 1) -> Any:
    return in_type_of(input, _log_softmax(input, _trailing(axis, input)))


def _softmax(x: Any, axes: tuple[int, ...]) -> Any:
    if _single(x, axes):
        return np.ones(np.shape(x))
    return algebra.softmax(x, axes)


def _log_softmax(x: Any, axes: tuple[int, ...]) -> Any:
    if _single(x, axes):
        return np.zeros(np.shape(x))
    return algebra.log_softmax(x, axes)


def _single(x: Any, axes: tuple[int, ...]) -> bool:
    """Tell whether groups along `axes` have one member each."""
    return isinstance(x, Affine) and math.prod(x.shape[axis] for axis in axes) == 1


def _axis(axis: int, x: Any) -> int:
    return axis_of(axis, np.ndim(x))


def _trailing(axis: int, x: Any) -> tuple[int, ...]:
    rank = np.ndim(x)
    if not -rank <= axis <= rank:
        raise ValueError(f"axis {axis} does not exist")
    return tuple(range(axis + rank if axis < 0 else axis, rank))


def _hardmax(x: Any, axes: tuple[int, ...]) -> Any:
    if isinstance(x, Linked):
        return algebra.decide(x, x.shape)
    if _single(x, axes):
        return np.ones(np.shape(x))
    if isinstance(x, Affine):
        raise NotAffine(CHOICE)
    shape = np.shape(x)
    flat = np.reshape(np.moveaxis(x, axes, range(-len(axes), 0)), (-1, _extent(shape, axes)))
    ones = np.zeros(flat.shape, x.dtype)
    ones[np.arange(len(flat)), np.argmax(flat, axis=1)] = 1
    kept = [size for i, size in enumerate(shape) if i not in axes]
    return np.moveaxis(ones.reshape([*kept, *(shape[i] for i in axes)]), range(-len(axes), 0), axes)


def _extent(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(shape[axis] for axis in axes)


def hardmax(input: Any, *, axis: int = -1) -> Any:
    return _hardmax(input, (_axis(axis, input),))


def hardmax_1(input: Any, *, axis: int = 1) -> Any:
    return _hardmax(input, _trailing(axis, input))


def _reduce(reducer: Any, data: Any, axes: Any, keepdims: int, noop: int = 0) -> Any:
    check_flags(keepdims, noop)
    rank = np.ndim(data)
    along = () if axes is None else tuple(_axis(a, data) for a in integers(axes))
    if not along and noop:
        return data
    along = along or tuple(range(rank))
    if isinstance(data, Affine) and reducer is not _l1 and _extent(data.shape, along) == 1:
        # Of a single value the largest, the smallest and log(sum(exp)) are the value itself.
        return data if keepdims else np.squeeze(data, axis=along)
    return in_type_of(data, reducer(data, along, bool(keepdims)))


def _largest(data: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(data, Affine):
        return algebra.maximum_along(data, axes, keepdims)
    if isinstance(data, Linked):
        raise UsedLink()
    return np.max(data, axis=axes, keepdims=keepdims)


def _smallest(data: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(data, Affine):
        raise NotAffine(CHOICE)
    if isinstance(data, Linked):
        raise UsedLink()
    return np.min(data, axis=axes, keepdims=keepdims)


def _by_attribute(reducer: Any) -> Any:
    def reduce(data: Any, *, axes: Any = None, keepdims: int = 1) -> Any:
        return _reduce(reducer, data, axes, keepdims)

    return reduce


def _by_input(reducer: Any) -> Any:
    def reduce(
        data: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Any:
        return _reduce(reducer, data, axes, keepdims, noop_with_empty_axes)

    return reduce


def _compare(function: Any) -> Any:
    """Compare constants; a linked value with a constant is a decision."""

    def compare(A: Any, B: Any) -> Any:
        for one, other in ((A, B), (B, A)):
            if isinstance(one, (Affine, Linked)) and isinstance(other, np.ndarray):
                return algebra.decide(one, np.broadcast_shapes(one.shape, other.shape))
        if isinstance(A, (Affine, Linked)) or isinstance(B, (Affine, Linked)):
            raise (
                UsedLink()
                if isinstance(A, Linked) or isinstance(B, Linked)
                else NotAffine(_COMPARE)
            )
        return np.asarray(function(A, B))

    return compare


def _arg(function: Any, data: Any, axis: int, keepdims: int, last: int) -> Any:
    check_flags(keepdims, last)
    axis = _axis(axis, data)
    shape = tuple(
        1 if i == axis else size for i, size in enumerate(np.shape(data)) if keepdims or i != axis
    )
    if isinstance(data, (Affine, Linked)) and data.shape[axis] == 1:
        return np.zeros(shape, np.int64)
    if isinstance(data, (Affine, Linked)) and axis:
        return algebra.decide(data, shape)
    if isinstance(data, (Affine, Linked)):
        raise NotAffine(CHOICE)
    if last:
        place = data.shape[axis] - 1 - function(np.flip(data, axis), axis=axis)
    else:
        place = function(data, axis=axis)
    return np.asarray(place, dtype=np.int64).reshape(shape)


def arg_max_1(data: Any, *, axis: int = 0, keepdims: int = 1) -> Any:
    return _arg(np.argmax, data, axis, keepdims, 0)


def arg_max(data: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    return _arg(np.argmax, data, axis, keepdims, select_last_index)


def arg_min_1(data: Any, *, axis: int = 0, keepdims: int = 1) -> Any:
    return _arg(np.argmin, data, axis, keepdims, 0)


def arg_min(data: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    return _arg(np.argmin, data, axis, keepdims, select_last_index)


def _l1(data: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return np.sum(algebra.absolute(data), axis=axes, keepdims=keepdims)


def absolute(X: Any) -> Any:
    return in_type_of(X, algebra.absolute(X))


def round_(X: Any) -> Any:
    if isinstance(X, Linked):
        return algebra.decide(X, X.shape)
    if isinstance(X, Affine):
        raise NotAffine(_ROUNDS)
    return np.asarray(np.round(X))


OPERATORS: dict[str, Operator] = {
    "Abs": Operator({6: absolute}, accepts="it cannot be negative (a probability, an exponential)"),
    "ArgMax": Operator(
        {1: arg_max_1, 12: arg_max}, accepts="last: a decision on a link, or over one element"
    ),
    "ArgMin": Operator(
        {1: arg_min_1, 12: arg_min}, accepts="last: a decision on a link, or over one element"
    ),
    "Erf": Operator({9: erf}, accepts="it spells the probit link"),
    "Exp": Operator({6: exp}, accepts="it is the log link, or spells another"),
    "Greater": Operator({7: _compare(np.greater)}, accepts="last: a decision on a link"),
    "GreaterOrEqual": Operator(
        {12: _compare(np.greater_equal)}, accepts="last: a decision on a link"
    ),
    "Hardmax": Operator({1: hardmax_1, 13: hardmax}, accepts="last: a decision on a link"),
    "Less": Operator({7: _compare(np.less)}, accepts="last: a decision on a link"),
    "LessOrEqual": Operator({12: _compare(np.less_equal)}, accepts="last: a decision on a link"),
    "Log": Operator({6: log}, accepts="it undoes an exponential"),
    "LogSoftmax": Operator({1: log_softmax_1, 13: log_softmax}, accepts="an Exp follows"),
    "Reciprocal": Operator({6: reciprocal}, accepts="it spells a sigmoid or undoes an exponential"),
    "ReduceL1": Operator(
        {1: _by_attribute(_l1), 18: _by_input(_l1)},
        accepts="it cannot be negative (a probability, an exponential)",
    ),
    "ReduceLogSumExp": Operator(
        {1: _by_attribute(algebra.log_sum_exp), 18: _by_input(algebra.log_sum_exp)},
        accepts="it spells a softmax, or runs over one element",
    ),
    "ReduceMax": Operator(
        {1: _by_attribute(_largest), 18: _by_input(_largest)},
        accepts="a softmax subtracts it, or over one element",
    ),
    "ReduceMin": Operator(
        {1: _by_attribute(_smallest), 18: _by_input(_smallest)}, accepts="over one element"
    ),
    "Round": Operator({11: round_}, accepts="last: a decision on a link"),
    "Sigmoid": Operator({6: sigmoid}, accepts="last: the logit link"),
    "Softmax": Operator({1: softmax_1, 13: softmax}, accepts="last: the softmax link"),
    "Tanh": Operator({6: tanh}, accepts="it spells the logit link"),
}
