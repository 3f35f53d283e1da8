"""Sums, products and what is made of them: Add, MatMul, Gemm ..."""

from __future__ import annotations

import math
from functools import reduce
from string import ascii_letters
from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.onnx.operator import Operator
from converter.tracing.affine import check_size


def add(a: Any, b: Any) -> Any:
    return np.add(a, b)


def sub(a: Any, b: Any) -> Any:
    return np.subtract(a, b)


def mul(a: Any, b: Any) -> Any:
    return np.multiply(a, b)


def div(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype.kind in "iu":
        if not b.all():
            raise ValueError("integer division by zero")
        # ONNX truncates towards zero; numpy's integer division rounds down.
        quotient = np.floor_divide(a, b)
        return quotient + ((quotient < 0) & (quotient * b != a)).astype(quotient.dtype)
    return np.divide(a, b)


def neg(x: Any) -> Any:
    return np.negative(x)


def sum_(*data: Any) -> Any:
    return reduce(np.add, data)


def mean(*data: Any) -> Any:
    return np.divide(sum_(*data), np.float64(len(data)))


def identity(x: Any) -> Any:
    return x


def matmul(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and min(a.ndim, b.ndim) > 1:
        shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        check_size(shape)
        if a.dtype.kind != "f" and math.prod(shape) * a.shape[-1] > _MAX_PRODUCTS:
            raise ValueError(f"takes more than {_MAX_PRODUCTS:,} products of integers")
    return np.matmul(a, b)


def gemm(
    a: Any,
    b: Any,
    c: Any = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    if np.ndim(a) != 2 or np.ndim(b) != 2:
        raise ValueError("Gemm multiplies matrices of two axes")
    product = matmul(a.T if transA else a, b.T if transB else b)
    if alpha != 1.0:
        product = np.multiply(product, np.float64(alpha))
    if c is None or beta == 0.0:
        return product
    if np.broadcast_shapes(np.shape(c), np.shape(product)) != np.shape(product):
        raise ValueError(f"C of shape {list(np.shape(c))} does not broadcast to the product")
    return np.add(product, c if beta == 1.0 else np.multiply(c, np.float64(beta)))


def gemm_7(
    a: Any,
    b: Any,
    c: Any,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


def dropout_7(data: Any, *, ratio: float = 0.5) -> Any:
    # The mask is left open outside training; the interpreter refuses whatever uses it.
    return data, None


def dropout(data: Any, ratio: Any = None, training_mode: Any = None) -> Any:
    drops = np.any(0.5 if ratio is None else ratio)
    if training_mode is not None and np.any(training_mode) and drops:
        raise NotAffine("drops values at random (training_mode is set)")
    return data, _everything(data)


def _everything(data: Any) -> np.ndarray:
    return np.broadcast_to(np.bool_(True), np.shape(data))


def einsum(*Inputs: Any, equation: str) -> Any:
    """Contract by an equation: ellipses, diagonals and implicit output as in numpy."""
    terms, target = _equation(equation.replace(" ", ""), [np.ndim(one) for one in Inputs])
    operands = [_diagonal(one, term) for one, term in zip(Inputs, terms, strict=True)]
    terms = ["".join(dict.fromkeys(term)) for term in terms]
    sizes: dict[str, int] = {}
    for place, (one, term) in enumerate(zip(operands, terms, strict=True)):
        # Axes that an ellipsis stands for broadcast: those of size one are dropped.
        single = [
            axis
            for axis, label in enumerate(term)
            if label in _ELLIPSIS and np.shape(one)[axis] == 1
        ]
        operands[place] = np.squeeze(one, axis=tuple(single)) if single else one
        terms[place] = "".join(c for axis, c in enumerate(term) if axis not in single)
        for label, size in zip(terms[place], np.shape(operands[place]), strict=True):
            if sizes.setdefault(label, size) != size:
                raise ValueError(f"the axis {label!r} has the sizes {sizes[label]} and {size}")
    ones = [label for label in target if label not in sizes]
    kept = "".join(label for label in target if label in sizes)
    check_size([sizes[label] for label in kept])
    if math.prod(sizes.values()) > _MAX_PRODUCTS:
        raise ValueError(f"takes more than {_MAX_PRODUCTS:,} products")
    letters = str.maketrans("".join(sizes), ascii_letters[: len(sizes)])
    result = np.einsum((",".join(terms) + "->" + kept).translate(letters), *operands)
    if ones:
        result = np.reshape(result, [sizes.get(label, 1) for label in target])
    if all(isinstance(one, np.ndarray) for one in Inputs):
        return np.asarray(result).astype(Inputs[0].dtype)
    return result


# Products of integers, or of an equation, that are computed at once: half a second's work.
_MAX_PRODUCTS = 1 << 27
# Labels for the axes of an ellipsis, which no equation of letters holds.
_ELLIPSIS = "".join(chr(0x3B1 + n) for n in range(25))


def _equation(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Return the terms and the output with a letter for each axis."""
    before, arrow, target = equation.partition("->")
    terms = before.split(",")
    if len(terms) != len(ranks):
        raise ValueError(f"{len(terms)} terms for {len(ranks)} operands")
    widest = 0
    for place, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        letters = term.replace("...", "", 1)
        if not all(c.isascii() and c.isalpha() for c in letters):
            raise ValueError(f"the equation {equation!r} is malformed")
        if "..." in term:
            width = rank - len(letters)
            if not 0 <= width <= len(_ELLIPSIS):
                raise ValueError(f"the term {term!r} does not fit {rank} axes")
            terms[place] = term.replace("...", _ELLIPSIS[len(_ELLIPSIS) - width :])
            widest = max(widest, width)
        elif len(letters) != rank:
            raise ValueError(f"the term {term!r} does not fit {rank} axes")
    rest = _ELLIPSIS[len(_ELLIPSIS) - widest :]
    if not arrow:
        every = "".join(terms)
        single = sorted(c for c in set(every) if c.isascii() and every.count(c) == 1)
        return terms, rest + "".join(single)
    target = target.replace("...", rest, 1)
    known = set("".join(terms))
    if len(set(target)) < len(target) or not known.issuperset(target):
        raise ValueError(f"the equation {equation!r} is malformed")
    return terms, target


def _diagonal(operand: Any, term: str) -> Any:
    """Keep the elements whose indices agree along axes of one label."""
    if len(set(term)) == len(term):
        return operand
    labels = "".join(dict.fromkeys(term))
    sizes = dict(zip(term, np.shape(operand), strict=True))
    if any(sizes[c] != size for c, size in zip(term, np.shape(operand), strict=True)):
        raise ValueError(f"the term {term!r} takes a diagonal of unequal axes")
    grid = np.indices([sizes[label] for label in labels], sparse=True)
    return operand[tuple(grid[labels.index(label)] for label in term)]


OPERATORS: dict[str, Operator] = {
    "Add": Operator({7: add}),
    "Div": Operator({7: div}, accepts="the divisor is constant"),
    "Dropout": Operator(
        {7: dropout_7, 12: dropout}, inert=frozenset({"seed"}), accepts="always (inference)"
    ),
    "Einsum": Operator({12: einsum}),
    "Gemm": Operator({7: gemm_7, 11: gemm}, accepts="one operand, or only C, depends on the input"),
    "Identity": Operator({1: identity}, moves=True, labels=True),
    "MatMul": Operator({1: matmul}),
    "Mean": Operator({6: mean}),
    "Mul": Operator({7: mul}),
    "Neg": Operator({6: neg}),
    "Sub": Operator({7: sub}),
    "Sum": Operator({6: sum_}),
}
