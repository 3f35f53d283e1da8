"""Functions of TensorFlow applied to KerasTensors, as Keras 2 records them (TFOpLambda).

Each is a plain function whose parameters are those of the public function, by its names of today
and of ``compat.v1``. Source: tf_keras.src.layers.core.tf_op_layer and TensorFlow's API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converter.semantics.keras.layer import Layer
from converter.semantics.keras.ops import elementwise, reduction
from converter.semantics.keras.tensorflow import arithmetic, arrays
from converter.tracing import algebra
from converter.tracing.functions import PRODUCT
from converter.tracing.linked import ACTIVATION, CHOICE, FUNCTION


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
            "__operators__.add": arithmetic.add,
            "cast": arithmetic.cast,
            "clip_by_value": arithmetic.clip_by_value,
            "identity": arithmetic.identity,
            "math.abs": arithmetic.one_operand(
                elementwise.OPERATORS["Absolute"].function or arithmetic.identity
            ),
            "math.add": arithmetic.add,
            "math.add_n": arithmetic.add_n,
            "math.divide": arithmetic.divide,
            "math.divide_no_nan": arithmetic.divide_no_nan,
            "math.erf": arithmetic.one_operand(algebra.erf),
            "math.erfc": arithmetic.one_operand(elementwise.erfc),
            "math.exp": arithmetic.one_operand(algebra.exp),
            "math.expm1": arithmetic.one_operand(elementwise.expm1),
            "math.log": arithmetic.one_operand(algebra.log),
            "math.log1p": arithmetic.one_operand(elementwise.log1p),
            "math.multiply": arithmetic.multiply,
            "math.multiply_no_nan": arithmetic.multiply,
            "math.negative": arithmetic.one_operand(np.negative),
            "math.pow": arithmetic.power,
            "math.real": arithmetic.identity,
            "math.reciprocal": arithmetic.one_operand(
                elementwise.OPERATORS["Reciprocal"].function or arithmetic.identity
            ),
            "math.scalar_mul": arithmetic.scalar_mul,
            "math.sigmoid": arithmetic.one_operand(algebra.sigmoid),
            "math.subtract": arithmetic.subtract,
            "math.tanh": arithmetic.one_operand(algebra.tanh),
            "math.truediv": arithmetic.divide,
            "nn.bias_add": arithmetic.bias_add,
            "nn.leaky_relu": arithmetic.leaky_relu,
            "nn.log_softmax": arithmetic.log_softmax,
            "nn.softmax": arithmetic.softmax,
            "realdiv": arithmetic.divide,
            "stop_gradient": arithmetic.identity,
            "where": arrays.where,
        }
    ),
    **_MOVES(
        {
            "__operators__.getitem": arrays.get_item,
            "broadcast_to": arrays.broadcast_to,
            "expand_dims": arrays.expand_dims,
            "gather": arrays.gather,
            "gather_nd": arrays.gather_nd,
            "repeat": arrays.repeat,
            "reshape": arrays.reshape,
            "reverse": arrays.reverse,
            "roll": arrays.roll,
            "slice": arrays.slice_,
            "split": arrays.split,
            "squeeze": arrays.squeeze,
            "strided_slice": arrays.strided_slice,
            "tile": arrays.tile,
            "transpose": arrays.transpose,
            "unstack": arrays.unstack,
        }
    ),
    **_layers(moves=True, whole="kept")({"concat": arrays.concat, "stack": arrays.stack}),
    **_OTHERS(
        {
            "fill": arrays.fill,
            "linalg.matmul": arithmetic.matmul,
            "linalg.matvec": arithmetic.matvec,
            "math.cumsum": arithmetic.cumsum,
            "math.reduce_logsumexp": arithmetic.reduced(elementwise.logsumexp),
            "math.reduce_max": arithmetic.reduced(reduction.maximum),
            "math.reduce_mean": arithmetic.reduced(reduction.mean),
            "math.reduce_min": arithmetic.reduced(reduction.minimum),
            "math.reduce_prod": arithmetic.reduced(reduction.prod),
            "math.reduce_sum": arithmetic.reduced(reduction.sum_),
            "nn.batch_normalization": arithmetic.batch_normalization,
            "nn.embedding_lookup": arrays.embedding_lookup,
            "one_hot": arrays.one_hot,
            "ones_like": arrays.ones_like,
            "pad": arrays.pad,
            "tensordot": arithmetic.tensordot,
            "zeros_like": arrays.zeros_like,
        }
    ),
    **_layers(reads_shape=True)({"rank": arrays.rank, "shape": arrays.shape, "size": arrays.size}),
    **_layers(labels=True)(
        {
            "math.argmax": arithmetic.argmax,
            "math.argmin": arithmetic.argmin,
            "math.greater": arithmetic.comparison("Greater"),
            "math.greater_equal": arithmetic.comparison("GreaterEqual"),
            "math.less": arithmetic.comparison("Less"),
            "math.less_equal": arithmetic.comparison("LessEqual"),
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
