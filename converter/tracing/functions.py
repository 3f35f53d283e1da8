"""What numpy's functions mean on a traced value: the rules behind its protocols.

Each rule leaves linear primitives on the tape, or raises `NotAffine` with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from string import ascii_letters
from typing import Any, cast

import numpy as np

from converter.errors import NotAffine
from converter.tracing.affine import Affine, broadcast_to, check_size, movement
from converter.tracing.primitives import (
    Add,
    Contract,
    Join,
    Scale,
    Shape,
    Shift,
    Sum,
    Take,
    finite,
)

PRODUCT = "multiplies two values that both depend on the input"


def _numeric(constant: Any) -> np.ndarray:
    array = np.asarray(constant)
    if array.dtype.kind not in "fiub":
        raise NotAffine(f"combines numbers with a constant of type {array.dtype}")
    return array


def _joint_shape(a: Shape, b: Shape) -> Shape:
    """Return the shape that two operands broadcast to; most need no broadcasting."""
    if a == b or not b or (len(a) > len(b) and a[-len(b) :] == b):
        return a
    return np.broadcast_shapes(a, b)


def _add(a: Any, b: Any) -> Affine:
    if not isinstance(a, Affine):
        a, b = b, a
    shape = _joint_shape(a.shape, np.shape(b))
    a = broadcast_to(a, shape)
    if isinstance(b, Affine):
        return a.tape.record(Add(2), [a, broadcast_to(b, shape)], shape)
    return a.tape.record(Shift(_numeric(b)), [a], shape)


def _multiply(a: Any, b: Any) -> Affine:
    if isinstance(a, Affine) and isinstance(b, Affine):
        raise NotAffine(PRODUCT)
    value, constant = (a, b) if isinstance(a, Affine) else (b, a)
    constant = _numeric(constant)
    shape = _joint_shape(value.shape, constant.shape)
    value = broadcast_to(value, shape)
    return value.tape.record(Scale(constant), [value], shape)


def _divide(a: Any, b: Any) -> Affine:
    if isinstance(b, Affine):
        raise NotAffine("divides by a value that depends on the input")
    if a.kind != "f":
        raise NotAffine("divides integers, which truncates")
    divisor = finite(_numeric(b))
    if not divisor.all():
        raise NotAffine("divides by a constant that is zero")
    shape = np.broadcast_shapes(a.shape, divisor.shape)
    a = broadcast_to(a, shape)
    return a.tape.record(Scale(1.0 / divisor), [a], shape)


def _negative(a: Affine) -> Affine:
    return a.tape.record(Scale(np.float64(-1.0)), [a], a.shape)


def _matmul(a: Any, b: Any) -> Affine:
    if isinstance(a, Affine) and isinstance(b, Affine):
        raise NotAffine(PRODUCT)
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        raise ValueError("a matrix product needs operands with axes")
    if np.ndim(a) == 1:
        row = np.matmul(a[None, :], b)
        return row[0] if np.ndim(b) == 1 else row[..., 0, :]
    if np.ndim(b) == 1:
        return np.matmul(a, b[:, None])[..., 0]
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"shapes {list(a.shape)} and {list(b.shape)} do not fit a matrix product")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    check_size((*batch, a.shape[-2], b.shape[-1]))
    names = ascii_letters[: len(batch)]
    i, k, j = "xyz"

    def labels(operand: Any, last: str) -> tuple[Any, str]:
        """Name the axes; axes along which the constant does not vary get no name."""
        extra = len(batch) - (operand.ndim - 2)
        if isinstance(operand, Affine):
            operand = broadcast_to(operand, (*batch, *operand.shape[-2:]))
            return operand, names + last
        kept = [axis for axis in range(extra, len(batch)) if operand.shape[axis - extra] != 1]
        squeezed = operand.reshape(
            *(operand.shape[axis - extra] for axis in kept), *operand.shape[-2:]
        )
        return squeezed, "".join(names[axis] for axis in kept) + last

    a, of_a = labels(a, i + k)
    b, of_b = labels(b, k + j)
    if isinstance(a, Affine):
        return contract(a, b, of_a, of_b, names + i + j)
    return contract(b, a, of_b, of_a, names + i + j)


def contract(value: Affine, constant: Any, source: str, labels: str, target: str) -> Affine:
    """Contract a traced value with a constant, as ``einsum("source,labels->target")``.

    Each label stands at most once in each operand.

    Raises
    ------
    ValueError
        If sizes do not agree.
    """
    constant = _numeric(constant)
    size = dict(zip(source, value.shape, strict=True))
    for label, extent in zip(labels, constant.shape, strict=True):
        if size.setdefault(label, extent) != extent:
            raise ValueError(
                f"shapes {list(value.shape)} and {list(constant.shape)} do not fit a product"
            )
    lonely = tuple(
        axis for axis, label in enumerate(labels) if label not in source and label not in target
    )
    if lonely:
        constant = np.sum(constant, axis=lonely, dtype=np.float64)
        labels = "".join(label for axis, label in enumerate(labels) if axis not in lonely)
    summed = tuple(
        axis for axis, label in enumerate(source) if label not in labels and label not in target
    )
    if summed:
        value = np.sum(value, axis=summed)
        source = "".join(label for axis, label in enumerate(source) if axis not in summed)
    shape = tuple(size[label] for label in target)
    return value.tape.record(Contract(constant, source, labels, target), [value], shape)


def _einsum(subscripts: str, *operands: Any) -> Affine:
    """``numpy.einsum`` with one traced operand, explicit output and no repeated axes."""
    before, arrow, target = subscripts.replace(" ", "").partition("->")
    terms = before.split(",")
    traced = [i for i, operand in enumerate(operands) if isinstance(operand, Affine)]
    if len(traced) > 1:
        raise NotAffine(PRODUCT)
    if not arrow or "." in subscripts or any(len(set(t)) < len(t) for t in [*terms, target]):
        raise NotAffine("is an einsum in a form that is not supported")
    source = terms.pop(traced[0])
    constants = [operand for i, operand in enumerate(operands) if i != traced[0]]
    labels = "".join(dict.fromkeys("".join(terms)))
    labels = "".join(label for label in labels if label in source or label in target)
    if not constants:
        labels, constant = "", np.float64(1.0)
    elif len(constants) == 1 and terms[0] == labels:
        constant = constants[0]
    else:
        size: dict[str, int] = {}
        for term, one in zip(terms, constants, strict=True):
            size.update(zip(term, np.shape(one), strict=True))
        check_size([size[label] for label in labels])
        constant = np.einsum(",".join(terms) + "->" + labels, *constants)
    return contract(operands[traced[0]], constant, source, labels, target)


def _sum(a: Affine, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Affine:
    axes = range(a.ndim) if axis is None else np.atleast_1d(axis)
    wanted = sorted({axis_of(int(one), a.ndim) for one in axes})
    shape = tuple(1 if i in wanted else size for i, size in enumerate(a.shape))
    total = a.tape.record(Sum(a.shape, wanted), [a], shape)
    return total if keepdims else movement(np.squeeze, total, axis=tuple(wanted))


def _mean(a: Affine, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Affine:
    total = _sum(a, axis=axis, keepdims=keepdims)
    count = a.size // total.size if total.size else 0
    if count == 0:
        raise NotAffine("takes the mean of no elements")
    return total / count


def axis_of(axis: int, ndim: int) -> int:
    """Return an axis counted from the front.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} does not exist in a value of {ndim} axes")
    return axis % ndim


def _concatenate(arrays: Sequence[Any], axis: int = 0) -> Affine:
    first = next(array for array in arrays if isinstance(array, Affine))
    axis = axis_of(int(axis), first.ndim)
    for array in arrays:
        shape = np.shape(array)
        if len(shape) != first.ndim or any(
            shape[i] != first.shape[i] for i in range(first.ndim) if i != axis
        ):
            raise ValueError(
                f"shapes {[list(np.shape(a)) for a in arrays]} cannot be joined on axis {axis}"
            )
    total = sum(array.shape[axis] for array in arrays)
    shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    check_size(shape)
    positions = np.arange(math.prod(shape)).reshape(shape)
    parts: list[Affine] = []
    places: list[np.ndarray] = []
    filler = np.zeros(shape)
    where = np.zeros(shape, dtype=bool)
    start = 0
    for array in arrays:
        place = (slice(None),) * axis + (slice(start, start + array.shape[axis]),)
        start += array.shape[axis]
        if isinstance(array, Affine):
            parts.append(array)
            places.append(positions[place].reshape(-1))
        else:
            filler[place] = _numeric(array)
            where[place] = True
    join = Join([part.shape for part in parts], places, shape)
    value = parts[0].tape.record(join, parts, shape)
    if where.any():
        value = value.tape.record(Shift(filler, where), [value], shape)
    return value


def _split(ary: Affine, indices_or_sections: Any, axis: int = 0) -> list[Affine]:
    positions = np.arange(ary.shape[axis_of(axis, ary.ndim)])
    parts = np.split(positions, indices_or_sections)
    return [movement(np.take, ary, part, axis=axis) for part in parts]


def _stack(arrays: Sequence[Any], axis: int = 0) -> Affine:
    return _concatenate([np.expand_dims(array, axis) for array in arrays], axis=axis)


def _pad(array: Affine, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Affine:
    if mode != "constant":
        return movement(np.pad, array, pad_width, mode=mode, **kwargs)
    fill = kwargs.pop("constant_values", 0)
    padded = movement(np.pad, array, pad_width, constant_values=-1)
    if np.any(fill):
        where = np.pad(np.zeros(array.shape, dtype=bool), pad_width, constant_values=True)
        padded = array.tape.record(Shift(np.where(where, fill, 0.0), where), [padded], padded.shape)
    return padded


def _where(condition: Any, x: Any, y: Any) -> Affine:
    """``numpy.where`` with a constant condition."""
    if isinstance(condition, Affine):
        raise NotAffine("chooses among values that depend on the input")
    kept = np.asarray(condition, dtype=bool)
    shape = np.broadcast_shapes(kept.shape, np.shape(x), np.shape(y))
    check_size(shape)
    kept = np.broadcast_to(kept, shape)
    parts = [_masked(value, mask, shape) for value, mask in ((x, kept), (y, ~kept))]
    traced = [part for part in parts if isinstance(part, Affine)]
    if len(traced) == 2:
        return _add(*traced)
    ((constant, where),) = [part for part in parts if not isinstance(part, Affine)]
    if not where.any():
        return traced[0]
    return traced[0].tape.record(Shift(constant, where), traced, shape)


def _masked(value: Any, mask: np.ndarray, shape: Shape) -> Any:
    """Return a value that is zero where the mask is not set; of a constant, with the mask."""
    if not isinstance(value, Affine):
        # What is not chosen may be infinite.
        return finite(np.where(mask, _numeric(value), 0.0)), mask
    positions = np.broadcast_to(np.arange(value.size).reshape(value.shape), shape)
    index = np.where(mask, positions, -1).reshape(-1)
    return value.tape.record(Take(value.shape, shape, index), [value], shape)


def _moving(function: Any) -> Callable[..., Affine]:
    return lambda a, *args, **kwargs: movement(function, a, *args, **kwargs)


UFUNCS: dict[np.ufunc, Callable[..., Affine]] = {
    np.add: _add,
    np.subtract: lambda a, b: _add(a, np.negative(b)),
    np.multiply: _multiply,
    np.divide: _divide,
    np.negative: _negative,
    np.positive: lambda a: a,
    np.matmul: _matmul,
}

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.broadcast_to: broadcast_to,
    np.concatenate: _concatenate,
    np.einsum: _einsum,
    np.mean: _mean,
    np.pad: _pad,
    np.shape: lambda a: cast(Affine, a).shape,
    np.ndim: lambda a: cast(Affine, a).ndim,
    np.size: lambda a: cast(Affine, a).size,
    np.split: _split,
    np.stack: _stack,
    np.sum: _sum,
    np.where: _where,
} | {
    function: _moving(function)
    for function in (
        np.expand_dims,
        np.flip,
        np.moveaxis,
        np.repeat,
        np.reshape,
        np.roll,
        np.squeeze,
        np.swapaxes,
        np.take,
        np.tile,
        np.transpose,
    )
}
