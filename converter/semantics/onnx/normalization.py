"""Normalisation: by statistics that the file holds, or by those of the values themselves.

By their own statistics, values are normalised to numbers that are not affine in them. Scale and
bias come after that: in these the operators are affine where the values are constant. So is the
mean, which some of them give as a further output, in the values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import attempt, refuse
from converter.semantics.precision import double, floating, in_type_of
from converter.tracing.functions import axis_of
from converter.tracing.primitives import finite

#: Why a normalisation is refused on traced values.
STATISTICS = "normalises by statistics of the values themselves"


def batch_normalization(
    x: Any, scale: Any, b: Any, mean: Any, var: Any, *, epsilon: float = 1e-5, momentum: float = 0.9
) -> Any:
    """Inference form: (x - mean) / sqrt(var + epsilon) * scale + b along axis 1."""
    scale, b, mean, var = (_along_channels(p, x) for p in (scale, b, mean, var))
    return _batch_normalized(x, scale, b, mean, var, epsilon)


def batch_normalization_7(
    x: Any,
    scale: Any,
    b: Any,
    mean: Any,
    var: Any,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Any:
    if spatial:
        return batch_normalization(x, scale, b, mean, var, epsilon=epsilon, momentum=momentum)
    return _batch_normalized(x, scale, b, mean, var, epsilon)


def batch_normalization_14(
    x: Any,
    scale: Any,
    b: Any,
    input_mean: Any,
    input_var: Any,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Any:
    """Return y, running_mean, running_var; outside training y alone: ONNX operators."""
    if not training_mode:
        return batch_normalization(x, scale, b, input_mean, input_var, epsilon=epsilon)
    floating(x)
    axes = tuple(axis for axis in range(np.ndim(x)) if axis != 1)
    shape = np.shape(x)
    factor, shift = _along_channels(scale, x), _along_channels(b, x)

    def running(past: Any, current: Any) -> Any:
        result = np.add(
            np.multiply(double(past), np.float64(momentum)),
            np.multiply(current, np.float64(1.0 - momentum)),
        )
        return in_type_of(past, result)

    def variance() -> Any:
        refuse("takes the variance of values that depend on the input", x)
        return running(input_var, np.var(double(x), axis=axes))

    y = attempt(lambda: _scaled(x, _standardized(x, axes, epsilon)[0], factor, shift), shape)
    mean = running(input_mean, np.mean(double(x), axis=axes))
    return y, mean, attempt(variance, (shape[1],))


def _along_channels(parameter: Any, x: Any) -> Any:
    """Bring one number for each channel to a shape that broadcasts along axis 1."""
    if np.ndim(x) < 2:
        raise ValueError("needs a batch and a channel axis")
    if np.size(parameter) != x.shape[1]:
        raise ValueError(f"{np.size(parameter)} numbers for {x.shape[1]} channels")
    return np.reshape(parameter, (x.shape[1],) + (1,) * (np.ndim(x) - 2))


def _batch_normalized(x: Any, scale: Any, b: Any, mean: Any, var: Any, epsilon: float) -> Any:
    if isinstance(var, np.ndarray):
        var = finite(var)
    factor = np.divide(scale, np.sqrt(np.add(var, np.float64(epsilon))))
    return np.add(np.multiply(np.subtract(x, mean), factor), b)


def instance_normalization(input: Any, scale: Any, B: Any, *, epsilon: float = 1e-5) -> Any:
    """Normalise each channel of each sample: ONNX operators, InstanceNormalization."""
    floating(input, scale, B)
    if np.ndim(input) < 3:
        raise ValueError("needs axes behind the batch and the channels")
    factor, shift = _along_channels(scale, input), _along_channels(B, input)
    normalized = _standardized(input, tuple(range(2, np.ndim(input))), epsilon)[0]
    return _scaled(input, normalized, factor, shift)


def group_normalization_18(
    X: Any, scale: Any, bias: Any, *, epsilon: float = 1e-5, num_groups: int
) -> Any:
    """Normalise groups of channels, each with a scale: ONNX operators, GroupNormalization-18."""
    grouped = _grouped(X, num_groups)
    factor, shift = _along_channels(scale, grouped), _along_channels(bias, grouped)
    floating(X, scale, bias)
    result = _scaled(X, _standardized(grouped, (2,), epsilon, np.shape(X))[0], factor, shift)
    return np.reshape(result, np.shape(X))


def group_normalization(
    X: Any,
    scale: Any,
    bias: Any,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
) -> Any:
    """Normalise groups of channels, scale channels: ONNX operators, GroupNormalization."""
    _check_stash(stash_type)
    floating(X, scale, bias)
    grouped = _grouped(X, num_groups)
    factor, shift = _along_channels(scale, X), _along_channels(bias, X)
    normalized = _standardized(grouped, (2,), epsilon, np.shape(X))[0]
    return _scaled(X, np.reshape(normalized, np.shape(X)), factor, shift)


def _grouped(X: Any, num_groups: int) -> Any:
    """Reshape to batch, groups, and all the numbers of each group."""
    shape = np.shape(X)
    if len(shape) < 2 or num_groups < 1 or shape[1] % num_groups:
        raise ValueError(f"{num_groups} groups do not divide the channels of {list(shape)}")
    return np.reshape(X, (shape[0], num_groups, math.prod(shape[1:]) // num_groups))


def layer_normalization(
    X: Any,
    Scale: Any,
    B: Any = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Any:
    """Normalise the trailing axes; Y, Mean, InvStdDev: ONNX operators, LayerNormalization."""
    _check_stash(stash_type)
    floating(X, Scale, B)
    axes, shape = _trailing(axis, X), np.shape(X)
    _check_unidirectional(shape, Scale, B)

    def saved(result: Any) -> Any:
        return result.astype(np.float32) if isinstance(result, np.ndarray) else result

    y = attempt(lambda: _scaled(X, _standardized(X, axes, epsilon)[0], Scale, B), shape)
    mean = saved(np.mean(double(X), axis=axes, keepdims=True))
    inverse = attempt(lambda: saved(_standardized(X, axes, epsilon)[1]), _outer(shape, axes))
    return y, mean, inverse


def rms_normalization(
    X: Any, scale: Any, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    """Divide by the root of the mean square: ONNX operators, RMSNormalization."""
    _check_stash(stash_type)
    floating(X, scale)
    axes = _trailing(axis, X)
    _check_unidirectional(np.shape(X), scale)
    refuse(STATISTICS, X, shape=np.shape(X))
    wide = double(X)
    root = np.sqrt(np.mean(np.square(wide), axis=axes, keepdims=True) + epsilon)
    return in_type_of(scale, np.multiply(wide / root, double(scale)))


def _standardized(
    x: Any, axes: tuple[int, ...], epsilon: float, shape: tuple[int, ...] | None = None
) -> tuple[Any, Any]:
    """Return constants less their mean and divided by their deviation, and one over the latter.

    A number alone is its own mean: what is left of it is zero, traced or not.

    Raises
    ------
    NotAffine
        On traced values, with the shape of the result (by default that of `x`).
    """
    lengths = np.shape(x)
    if math.prod(lengths[axis] for axis in axes) == 1 and epsilon > 0.0:
        return np.zeros(lengths), np.full(_outer(lengths, axes), epsilon**-0.5)
    refuse(STATISTICS, x, shape=lengths if shape is None else shape)
    wide = double(x)
    centred = wide - np.mean(wide, axis=axes, keepdims=True)
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    inverse = 1.0 / np.sqrt(variance + epsilon)
    return centred * inverse, inverse


def _outer(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if place in axes else size for place, size in enumerate(shape))


def _scaled(x: Any, normalized: np.ndarray, scale: Any, bias: Any) -> Any:
    result = np.multiply(normalized, double(scale))
    return in_type_of(x, result if bias is None else np.add(result, double(bias)))


def _trailing(axis: int, x: Any) -> tuple[int, ...]:
    return tuple(range(axis_of(axis, np.ndim(x)), np.ndim(x)))


def _check_stash(stash_type: int) -> None:
    if stash_type != 1:
        raise NotAffine(f"takes its statistics in the type {stash_type}, which is not supported")


def _check_unidirectional(shape: tuple[int, ...], *parameters: Any) -> None:
    for parameter in parameters:
        if parameter is not None and np.broadcast_shapes(shape, np.shape(parameter)) != shape:
            raise ValueError(
                f"a parameter of shape {list(np.shape(parameter))} does not broadcast to "
                f"{list(shape)}"
            )


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": Operator(
        {7: batch_normalization_7, 9: batch_normalization, 14: batch_normalization_14},
        accepts="scale, bias, mean and variance are constant (inference)",
    ),
    "GroupNormalization": Operator(
        {18: group_normalization_18, 21: group_normalization},
        accepts="X is constant",
    ),
    "InstanceNormalization": Operator(
        {6: instance_normalization},
        accepts="X is constant",
    ),
    "LayerNormalization": Operator(
        {17: layer_normalization},
        accepts="X is constant (its mean always)",
    ),
    "RMSNormalization": Operator(
        {23: rms_normalization},
        accepts="X is constant",
    ),
}
