"""Products: bilinear operations, affine where all operands but one are constant."""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_letters
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.keras.geometry import whole_numbers
from converter.semantics.keras.layer import Layer
from converter.semantics.onnx import arithmetic
from converter.semantics.onnx.refusal import traced
from converter.tracing.affine import check_size, pin
from converter.tracing.functions import axis_of
from converter.tracing.primitives import finite


def matmul(x1: Any, x2: Any) -> Any:
    return np.matmul(_array(x1), _array(x2))


def _array(x: Any) -> Any:
    return x if traced(x) else np.asarray(x, dtype=np.float64)


def _einsum(equation: str, *operands: Any) -> Any:
    return arithmetic.einsum(*map(_array, operands), equation=equation)


def einsum(*operands: Any, subscripts: str) -> Any:
    return _einsum(subscripts, *operands)


def dot(x1: Any, x2: Any) -> Any:
    """Multiply as ``numpy.dot``: the last axis of one and the last but one of the other."""
    x1, x2 = _array(x1), _array(x2)
    if not np.ndim(x1) or not np.ndim(x2):
        return np.multiply(x1, x2)
    if np.ndim(x2) == 1:
        return tensordot(x1, x2, axes=[[-1], [0]])
    return tensordot(x1, x2, axes=[[-1], [np.ndim(x2) - 2]])


def inner(x1: Any, x2: Any) -> Any:
    if not np.ndim(x1) or not np.ndim(x2):
        return np.multiply(x1, x2)
    return tensordot(x1, x2, axes=[[-1], [-1]])


def outer(x1: Any, x2: Any) -> Any:
    return _einsum("a,b->ab", np.reshape(_array(x1), (-1,)), np.reshape(_array(x2), (-1,)))


def vdot(x1: Any, x2: Any) -> Any:
    return _einsum("a,a->", np.reshape(_array(x1), (-1,)), np.reshape(_array(x2), (-1,)))


def tensordot(x1: Any, x2: Any, *, axes: Any = 2) -> Any:
    """Sum over pairs of axes."""
    first, second = np.ndim(x1), np.ndim(x2)
    if type(axes) is int:
        pairs = [(first - axes + i, i) for i in range(axes)]
    else:
        left, right = (whole_numbers(one, "axes") for one in axes)
        if len(left) != len(right):
            raise ValueError("names different numbers of axes")
        pairs = [(axis_of(a, first), axis_of(b, second)) for a, b in zip(left, right, strict=True)]
    labels = ascii_letters[: first + second]
    one, other = list(labels[:first]), list(labels[first:])
    for a, b in pairs:
        other[b] = one[a]
    kept = [c for c in (*one, *other) if (c in one) != (c in other)]
    return _einsum(f"{''.join(one)},{''.join(other)}->{''.join(kept)}", x1, x2)


def kron(x1: Any, x2: Any) -> Any:
    rank = max(np.ndim(x1), np.ndim(x2))
    a, b = (
        np.reshape(_array(x), (1,) * (rank - np.ndim(x)) + tuple(np.shape(x))) for x in (x1, x2)
    )
    left, right = ascii_letters[:rank], ascii_letters[rank : 2 * rank]
    both = "".join(pair for pairs in zip(left, right, strict=True) for pair in pairs)
    shape = tuple(m * n for m, n in zip(np.shape(a), np.shape(b), strict=True))
    check_size(shape)
    return np.reshape(_einsum(f"{left},{right}->{both}", a, b), shape)


def cross(
    x1: Any, x2: Any, *, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """Multiply vectors of three."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(_array(x1), axisa, -1), np.moveaxis(_array(x2), axisb, -1)
    if np.shape(a)[-1] != 3 or np.shape(b)[-1] != 3:
        raise NotAffine("multiplies vectors of another length than three")
    parts = [
        np.subtract(
            np.multiply(a[..., (i + 1) % 3], b[..., (i + 2) % 3]),
            np.multiply(a[..., (i + 2) % 3], b[..., (i + 1) % 3]),
        )
        for i in range(3)
    ]
    return np.moveaxis(np.stack(parts, axis=-1), -1, axisc)


def correlate(x1: Any, x2: Any, *, mode: str = "valid") -> Any:
    """Correlate two sequences, of which one is constant."""
    if mode not in ("valid", "same", "full") or np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise NotAffine("correlates in an unknown mode, or along several axes")
    size, other = np.shape(x1)[0], np.shape(x2)[0]
    full = size + other - 1
    check_size((full, size))
    pin(x1, [size])
    pin(x2, [other])
    a, b = _array(x1), _array(x2)
    # Place k of the full result sums x1[i] x2[j] with i - j + (other - 1) = k.
    i, j = np.arange(size), np.arange(other)
    if traced(b):
        matrix = np.zeros((full, other))
        for k, value in enumerate(a):
            matrix[k - j + other - 1, j] += value
        result = np.matmul(matrix, b)
    else:
        matrix = np.zeros((full, size))
        for k, value in enumerate(b):
            matrix[i - k + other - 1, i] += value
        result = np.matmul(matrix, a)
    if mode == "full":
        return result
    width = max(size, other) - (min(size, other) - 1 if mode == "valid" else 0)
    start = min(size, other) - 1 if mode == "valid" else (full - width) // 2
    return result[start : start + width]


def solve(a: Any, b: Any) -> Any:
    """Solve ``a x = b`` for a constant matrix."""
    return _solved(a, b, np.linalg.inv)


def _solved(a: Any, b: Any, inverse: Any) -> Any:
    if traced(a):
        raise NotAffine("inverts a matrix that depends on the input")
    try:
        inverted = inverse(finite(a))
    except np.linalg.LinAlgError:
        raise ValueError("a matrix that has no inverse") from None
    vector = np.ndim(b) == np.ndim(a) - 1
    result = np.matmul(inverted, np.expand_dims(b, -1) if vector else b)
    return result[..., 0] if vector else result


def solve_triangular(a: Any, b: Any, *, lower: bool = False) -> Any:
    kept = np.tril if lower else np.triu
    return _solved(a, b, lambda matrix: np.linalg.inv(kept(matrix)))


def lstsq(a: Any, b: Any, *, rcond: Any = None) -> Any:
    if rcond is not None or np.ndim(a) != 2:
        raise NotAffine("solves least squares in a form that is not supported")
    return _solved(a, b, np.linalg.pinv)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Correlate": correlate,
    "Cross": cross,
    "Dot": dot,
    "Einsum": einsum,
    "Inner": inner,
    "Kron": kron,
    "Lstsq": lstsq,
    "Matmul": matmul,
    "Outer": outer,
    "Solve": solve,
    "SolveTriangular": solve_triangular,
    "Tensordot": tensordot,
    "Vdot": vdot,
}

OPERATORS: dict[str, Layer] = {
    name: Layer(function, whole="wraps") for name, function in _FUNCTIONS.items()
}
