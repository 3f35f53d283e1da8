"""Functions of TensorFlow applied to KerasTensors, as Keras 2 records them (TFOpLambda).

Each is a plain function whose parameters are those of the public function, by its names of today
and of ``compat.v1``. Source: tf_keras.src.layers.core.tf_op_layer and TensorFlow's API.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.layer import Layer
from converter.semantics.keras.ops import elementwise, movement, placement, products, reduction
from converter.semantics.onnx import indexing, nonlinear
from converter.semantics.onnx.reduction import cum_sum
from converter.semantics.onnx.refusal import traced
from converter.tracing import algebra
from converter.tracing.affine import check_size, pin
from converter.tracing.functions import PRODUCT, axis_of
from converter.tracing.linked import ACTIVATION, CHOICE, FUNCTION


def _operand(x: Any) -> Any:
    """Return a constant that the file writes as a list in an array; others as they are."""
    if isinstance(x, (list, tuple)):
        return np.asarray(x) if not _holds_traced(x) else np.stack([_operand(one) for one in x])
    return x


def _holds_traced(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_traced(one) for one in x)
    return traced(x)


def _sizes(shape: Any) -> tuple[int, ...]:
    """Return a shape whose sizes may stand in the file or be computed from another's."""
    if _holds_traced(shape):
        raise NotAffine("has a shape that depends on the input")
    several = shape if isinstance(shape, (list, tuple)) else np.asarray(shape).reshape(-1)
    found = []
    for one in several:
        size = np.asarray(one)
        if size.dtype.kind not in "iu" or size.size != 1:
            raise ValueError(f"a shape of {shape!r}")
        found.append(int(size.reshape(())))
    return tuple(found)


def add(x: Any, y: Any) -> Any:
    return np.add(_operand(x), _operand(y))


def subtract(x: Any, y: Any) -> Any:
    return np.subtract(_operand(x), _operand(y))


def multiply(x: Any, y: Any) -> Any:
    return np.multiply(_operand(x), _operand(y))


def scalar_mul(scalar: Any, x: Any) -> Any:
    return np.multiply(_operand(scalar), _operand(x))


def divide(x: Any, y: Any) -> Any:
    return np.divide(_operand(x), _operand(y))


def divide_no_nan(x: Any, y: Any) -> Any:
    return elementwise.divide_no_nan(_operand(x), _operand(y))


def power(x: Any, y: Any) -> Any:
    return elementwise.power(_operand(x), _operand(y))


def add_n(inputs: Any) -> Any:
    return reduce(np.add, map(_operand, inputs))


def identity(input: Any) -> Any:
    return input


def cast(x: Any, dtype: Any) -> Any:
    return elementwise.cast(x, dtype=dtype)


def bias_add(value: Any, bias: Any, data_format: Any = None) -> Any:
    bias = _operand(bias)
    if np.ndim(bias) != 1:
        raise ValueError("a bias that is no list")
    if data_format in (None, "N...C", "NHWC", "NWC", "NDHWC"):
        return np.add(value, bias)
    if data_format in ("NC...", "NCHW", "NCW", "NCDHW"):
        return np.add(value, np.reshape(bias, (-1, *(1,) * (np.ndim(value) - 2))))
    raise NotAffine(f"has the unknown data format {data_format!r}")


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
) -> Any:
    if a_is_sparse or b_is_sparse or output_type is not None:
        raise NotAffine("multiplies in another type, or sparse matrices")
    a, b = _operand(a), _operand(b)
    a = np.swapaxes(a, -1, -2) if transpose_a or adjoint_a else a
    return products.matmul(a, np.swapaxes(b, -1, -2) if transpose_b or adjoint_b else b)


def matvec(a: Any, b: Any, transpose_a: bool = False) -> Any:
    return matmul(a, np.expand_dims(_operand(b), -1), transpose_a)[..., 0]


def tensordot(a: Any, b: Any, axes: Any) -> Any:
    return products.tensordot(_operand(a), _operand(b), axes=axes)


def reshape(tensor: Any, shape: Any) -> Any:
    return np.reshape(tensor, _sizes(shape))


def concat(values: Any, axis: int) -> Any:
    return np.concatenate([_operand(one) for one in values], axis=axis)


def stack(values: Any, axis: int = 0) -> Any:
    return np.stack([_operand(one) for one in values], axis=axis)


def unstack(value: Any, num: Any = None, axis: int = 0) -> Any:
    return movement.unstack(value, num=num, axis=axis)


def split(value: Any, num_or_size_splits: Any, axis: int = 0, num: Any = None) -> Any:
    if type(num_or_size_splits) is int:
        return movement.split(value, indices_or_sections=num_or_size_splits, axis=axis)
    sizes = list(_sizes(num_or_size_splits))
    size = np.shape(value)[axis]
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = size - sum(one for one in sizes if one >= 0)
    if sum(sizes) != size or min(sizes) < 0:
        raise ValueError(f"parts of {sizes} do not make {size}")
    ends = np.cumsum(sizes)[:-1].tolist()
    return movement.split(value, indices_or_sections=ends, axis=axis)


def expand_dims(input: Any, axis: Any = None, dim: Any = None) -> Any:
    return movement.expand_dims(_operand(input), axis=dim if axis is None else axis)


def squeeze(input: Any, axis: Any = None, squeeze_dims: Any = None) -> Any:
    axis = squeeze_dims if axis is None else axis
    return movement.squeeze(input, axis=axis or None if isinstance(axis, list) else axis)


def transpose(a: Any, perm: Any = None, conjugate: bool = False) -> Any:
    return movement.transpose(a, axes=perm)


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    widths = np.asarray(paddings)
    if widths.dtype.kind not in "iu" or widths.shape != (np.ndim(tensor), 2):
        raise ValueError(f"paddings {paddings!r} do not fit {np.ndim(tensor)} axes")
    kind = mode.lower()
    if kind not in ("constant", "reflect", "symmetric"):
        raise NotAffine(f"pads in the unknown mode {mode!r}")
    value = _operand(constant_values) if kind == "constant" else None
    return movement.pad(tensor, value, pad_width=widths.tolist(), mode=kind)


def tile(input: Any, multiples: Any) -> Any:
    return movement.tile(input, repeats=list(_sizes(multiples)))


def repeat(input: Any, repeats: Any, axis: Any = None) -> Any:
    return movement.repeat(input, repeats=repeats, axis=axis)


def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
) -> Any:
    if batch_dims:
        raise NotAffine("gathers batch by batch, which is not supported")
    where = _operand(indices)
    return placement.take(_operand(params), where, axis=0 if axis is None else axis)


def embedding_lookup(params: Any, ids: Any, max_norm: Any = None) -> Any:
    if max_norm is not None:
        raise NotAffine("limits the norm of what it looks up")
    return placement.take(_operand(params), _operand(ids), axis=0)


def gather_nd(params: Any, indices: Any, batch_dims: int = 0) -> Any:
    where = _operand(indices)
    if traced(where):
        raise NotAffine("picks by an index that depends on the input")
    return indexing.gather_nd(params, np.asarray(where), batch_dims=batch_dims)


def reverse(tensor: Any, axis: Any) -> Any:
    return movement.flip(tensor, axis=axis)


def roll(input: Any, shift: Any, axis: Any) -> Any:
    return movement.roll(input, shift=shift, axis=axis)


def slice_(input_: Any, begin: Any, size: Any) -> Any:
    return movement.slice_(input_, list(_sizes(begin)), shape=list(_sizes(size)))


def get_item(tensor: Any, slice_spec: Any) -> Any:
    """Index as Python does; a slice is written out as a dictionary."""
    several = slice_spec if isinstance(slice_spec, list) else [slice_spec]
    return movement.get_item(tensor, [_key(one) for one in several])


def _key(one: Any) -> Any:
    if isinstance(one, dict):
        if set(one) != {"start", "stop", "step"}:
            raise NotAffine("indexes by something that is no constant number or slice")
        return slice(*(_bound(one[name]) for name in ("start", "stop", "step")))
    if isinstance(one, str) and one == "...":
        return Ellipsis
    return _bound(one)


def _bound(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iu":
        return int(value.reshape(()))
    return value


def strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
    var: Any = None,
) -> Any:
    if var is not None:
        raise NotAffine("assigns to a variable")
    first, last = _sizes(begin), _sizes(end)
    by = (1,) * len(first) if strides is None else _sizes(strides)
    keys: list[Any] = []
    for i, (a, b, step) in enumerate(zip(first, last, by, strict=True)):
        bit = 1 << i
        if ellipsis_mask & bit:
            keys.append(Ellipsis)
        elif new_axis_mask & bit:
            keys.append(None)
        elif shrink_axis_mask & bit:
            keys.append(a)
        else:
            start = None if begin_mask & bit else a
            keys.append(slice(start, None if end_mask & bit else b, step))
    return movement.get_item(input_, keys)


def broadcast_to(input: Any, shape: Any) -> Any:
    target = _sizes(shape)
    check_size(target)
    return np.broadcast_to(_operand(input), target)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return elementwise.where(_operand(condition), _operand(x), _operand(y))


def zeros_like(input: Any, dtype: Any = None, optimize: bool = True, layout: Any = None) -> Any:
    return elementwise.zeros_like(input, dtype=dtype)


def ones_like(input: Any, dtype: Any = None, optimize: bool = True, layout: Any = None) -> Any:
    return elementwise.ones_like(input, dtype=dtype)


def fill(dims: Any, value: Any) -> Any:
    target = _sizes(dims)
    check_size(target)
    return np.broadcast_to(_operand(value), target)


def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: Any = None,
    dtype: Any = None,
) -> Any:
    low, high = 0.0 if off_value is None else off_value, 1.0 if on_value is None else on_value
    hot = placement.one_hot(indices, num_classes=depth, axis=-1 if axis is None else axis)
    if low == 0.0 and high == 1.0:
        return hot
    return np.add(np.multiply(hot, np.float64(high - low)), np.float64(low))


def shape(input: Any, out_type: Any = None) -> Any:
    return np.array(np.shape(input), dtype=np.int64)


def size(input: Any, out_type: Any = None) -> Any:
    return np.asarray(np.size(input))


def rank(input: Any) -> Any:
    return np.asarray(np.ndim(input))


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduces(
        input_tensor: Any,
        axis: Any = None,
        keepdims: Any = None,
        reduction_indices: Any = None,
        keep_dims: Any = None,
    ) -> Any:
        along = reduction_indices if axis is None else axis
        kept = bool(keep_dims if keepdims is None else keepdims)
        return function(_operand(input_tensor), axis=along, keepdims=kept)

    return reduces


def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Any:
    pin(x, [np.shape(x)[axis_of(axis, np.ndim(x))]])
    return cum_sum(x, np.array(axis), exclusive=int(exclusive), reverse=int(reverse))


def softmax(logits: Any, axis: Any = None, dim: Any = None) -> Any:
    along = dim if axis is None else axis
    return elementwise.softmax(logits, axis=-1 if along is None else along)


def log_softmax(logits: Any, axis: Any = None, dim: Any = None) -> Any:
    along = dim if axis is None else axis
    return elementwise.log_softmax(logits, axis=-1 if along is None else along)


def leaky_relu(features: Any, alpha: Any = 0.2) -> Any:
    return elementwise.leaky_relu(features, negative_slope=alpha)


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    return nonlinear.clip(t, _operand(clip_value_min), _operand(clip_value_max))


def argmax(input: Any, axis: Any = None, dimension: Any = None, output_type: Any = None) -> Any:
    along = dimension if axis is None else axis
    return elementwise.argmax(input, axis=0 if along is None else along)


def argmin(input: Any, axis: Any = None, dimension: Any = None, output_type: Any = None) -> Any:
    along = dimension if axis is None else axis
    return elementwise.argmin(input, axis=0 if along is None else along)


def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: Any
) -> Any:
    given = [_operand(one) for one in (mean, variance, offset, scale, variance_epsilon)]
    if any(traced(one) for one in given):
        raise NotAffine("normalises by values that depend on the input")
    center, spread, shift, factor, epsilon = given
    inverse = 1.0 / np.sqrt(np.asarray(spread, dtype=np.float64) + epsilon)
    y = np.multiply(np.subtract(x, center), inverse if factor is None else inverse * factor)
    return y if shift is None else np.add(y, shift)


def _one(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Give a function of one operand, whatever TensorFlow calls that operand."""

    def apply(x: Any) -> Any:
        return function(x)

    return apply


def _compare(name: str) -> Callable[..., Any]:
    compares = elementwise.OPERATORS[name].function
    assert compares is not None

    def compare(x: Any, y: Any) -> Any:
        return compares(_operand(x), _operand(y))

    return compare


def _layers(**more: Any) -> Callable[..., dict[str, Layer]]:
    def entries(functions: dict[str, Callable[..., Any]]) -> dict[str, Layer]:
        return {name: Layer(function, **more) for name, function in functions.items()}

    return entries


_SHAPES = frozenset({"shape", "dims", "begin", "end", "size", "slice_spec", "multiples"})
_ARITHMETIC = _layers(whole="wraps")
_MOVES = _layers(moves=True, labels=True, whole="kept", shapes=_SHAPES)
_OTHERS = _layers(whole="wraps", shapes=_SHAPES)

FUNCTIONS: dict[str, Layer] = {
    **_ARITHMETIC(
        {
            "__operators__.add": add,
            "cast": cast,
            "clip_by_value": clip_by_value,
            "identity": identity,
            "math.abs": _one(elementwise.OPERATORS["Absolute"].function or identity),
            "math.add": add,
            "math.add_n": add_n,
            "math.divide": divide,
            "math.divide_no_nan": divide_no_nan,
            "math.erf": _one(algebra.erf),
            "math.erfc": _one(elementwise.erfc),
            "math.exp": _one(algebra.exp),
            "math.expm1": _one(elementwise.expm1),
            "math.log": _one(algebra.log),
            "math.log1p": _one(elementwise.log1p),
            "math.multiply": multiply,
            "math.multiply_no_nan": multiply,
            "math.negative": _one(np.negative),
            "math.pow": power,
            "math.real": identity,
            "math.reciprocal": _one(elementwise.OPERATORS["Reciprocal"].function or identity),
            "math.scalar_mul": scalar_mul,
            "math.sigmoid": _one(algebra.sigmoid),
            "math.subtract": subtract,
            "math.tanh": _one(algebra.tanh),
            "math.truediv": divide,
            "nn.bias_add": bias_add,
            "nn.leaky_relu": leaky_relu,
            "nn.log_softmax": log_softmax,
            "nn.softmax": softmax,
            "realdiv": divide,
            "stop_gradient": identity,
            "where": where,
        }
    ),
    **_MOVES(
        {
            "__operators__.getitem": get_item,
            "broadcast_to": broadcast_to,
            "expand_dims": expand_dims,
            "gather": gather,
            "gather_nd": gather_nd,
            "repeat": repeat,
            "reshape": reshape,
            "reverse": reverse,
            "roll": roll,
            "slice": slice_,
            "split": split,
            "squeeze": squeeze,
            "strided_slice": strided_slice,
            "tile": tile,
            "transpose": transpose,
            "unstack": unstack,
        }
    ),
    **_layers(moves=True, whole="kept")({"concat": concat, "stack": stack}),
    **_OTHERS(
        {
            "fill": fill,
            "linalg.matmul": matmul,
            "linalg.matvec": matvec,
            "math.cumsum": cumsum,
            "math.reduce_logsumexp": _reduction(elementwise.logsumexp),
            "math.reduce_max": _reduction(reduction.maximum),
            "math.reduce_mean": _reduction(reduction.mean),
            "math.reduce_min": _reduction(reduction.minimum),
            "math.reduce_prod": _reduction(reduction.prod),
            "math.reduce_sum": _reduction(reduction.sum_),
            "nn.batch_normalization": batch_normalization,
            "nn.embedding_lookup": embedding_lookup,
            "one_hot": one_hot,
            "ones_like": ones_like,
            "pad": pad,
            "tensordot": tensordot,
            "zeros_like": zeros_like,
        }
    ),
    **_layers(reads_shape=True)({"rank": rank, "shape": shape, "size": size}),
    **_layers(labels=True)(
        {
            "math.argmax": argmax,
            "math.argmin": argmin,
            "math.greater": _compare("Greater"),
            "math.greater_equal": _compare("GreaterEqual"),
            "math.less": _compare("Less"),
            "math.less_equal": _compare("LessEqual"),
        }
    ),
}


def _refused(reason: str, *names: str, keeps_shape: bool = True) -> None:
    for name in names:
        FUNCTIONS[name] = Layer(None, reason, keeps_shape=keeps_shape)


_refused(
    ACTIVATION,
    *("nn.crelu", "nn.elu", "nn.gelu", "nn.relu", "nn.relu6", "nn.selu", "nn.silu", "nn.softplus"),
    *("math.softplus", "nn.softsign", "nn.swish", "math.log_sigmoid", "keras.activations.relu"),
)
_refused(
    FUNCTION,
    *("math.acos", "math.asin", "math.atan", "math.atan2", "math.ceil", "math.cos", "math.cosh"),
    *("math.floor", "math.floordiv", "math.floormod", "math.mod", "math.rsqrt", "math.round"),
    *("math.sign", "math.sin", "math.sinh", "math.sqrt", "math.square", "math.tan", "round"),
    *("math.squared_difference", "math.asinh", "math.acosh", "math.atanh", "math.lgamma"),
    *("math.l2_normalize", "nn.l2_normalize", "math.sobol_sample", "math.xlogy", "math.zeta"),
)
_refused(
    CHOICE,
    *("math.maximum", "math.minimum", "math.equal", "math.not_equal", "math.logical_and"),
    *("math.logical_or", "math.logical_not", "clip_by_norm"),
)
_refused(CHOICE, "math.top_k", "sort", "argsort", "boolean_mask", keeps_shape=False)
_refused(
    "a variance or a norm, a non-linear function of values that depend on the input",
    *("math.reduce_std", "math.reduce_variance", "norm", "math.reduce_euclidean_norm"),
    keeps_shape=False,
)
_refused(PRODUCT, "linalg.cross", "linalg.inv", "linalg.det", keeps_shape=False)
_refused(
    "Keras 2 saves this function without its operands; export the model to ONNX or SavedModel",
    *("einsum", "meshgrid"),
    keeps_shape=False,
)
_refused(
    "draws random numbers",
    *("nn.dropout", "random.normal", "random.uniform", "compat.v1.nn.dropout"),
    keeps_shape=True,
)

#: Older names of the same functions.
_ALIASES = {
    "compat.v1.expand_dims": "expand_dims",
    "compat.v1.gather": "gather",
    "compat.v1.gather_nd": "gather_nd",
    "compat.v1.ones_like": "ones_like",
    "compat.v1.pad": "pad",
    "compat.v1.reduce_max": "math.reduce_max",
    "compat.v1.reduce_mean": "math.reduce_mean",
    "compat.v1.reduce_min": "math.reduce_min",
    "compat.v1.reduce_prod": "math.reduce_prod",
    "compat.v1.reduce_sum": "math.reduce_sum",
    "compat.v1.math.reduce_sum": "math.reduce_sum",
    "compat.v1.math.reduce_mean": "math.reduce_mean",
    "compat.v1.shape": "shape",
    "compat.v1.size": "size",
    "compat.v1.squeeze": "squeeze",
    "compat.v1.strided_slice": "strided_slice",
    "compat.v1.transpose": "transpose",
    "compat.v1.where": "where",
    "compat.v1.zeros_like": "zeros_like",
    "compat.v1.nn.softmax": "nn.softmax",
    "compat.v1.math.softmax": "nn.softmax",
    "compat.v1.argmax": "math.argmax",
    "linalg.tensordot": "tensordot",
    "math.add_v2": "math.add",
    "math.accumulate_n": "math.add_n",
    "math.cumulative_sum": "math.cumsum",
    "nn.sigmoid": "math.sigmoid",
    "nn.tanh": "math.tanh",
    "sigmoid": "math.sigmoid",
}
FUNCTIONS.update({alias: FUNCTIONS[name] for alias, name in _ALIASES.items()})
