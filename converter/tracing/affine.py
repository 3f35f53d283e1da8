"""The tracing value: an array of affine functions of the network's inputs.

An `Affine` is a shape and a place on a tape of linear primitives. It takes part in numpy
expressions (``__array_ufunc__``, ``__array_function__``, operators), so that the meaning of an
operation is written once, in plain numpy, and serves constants and traced values alike. What
has no affine meaning raises `NotAffine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Any, cast

import numpy as np

from converter.errors import ModelFileError, NotAffine
from converter.tracing.primitives import (
    Add,
    Broadcast,
    Contract,
    Join,
    Primitive,
    Scale,
    Shape,
    Shift,
    Source,
    Sum,
    Take,
    finite,
)

# Elements of one traced value, both rows counted. An index array of that length takes 64 MB.
# A picture of 224 x 224 with 64 channels has 3.2 million.
MAX_ELEMENTS = 1 << 23
# Bytes of gather indices on one tape.
_MAX_INDEX_BYTES = 1 << 27

PRODUCT = "multiplies two values that both depend on the input"


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of the tape: a primitive, the entries it reads, its shape, the node it is for."""

    primitive: Primitive
    operands: tuple[int, ...]
    shape: Shape
    origin: str = ""


class Tape:
    """The linear primitives applied so far, in order.

    Parameters
    ----------
    rows : int
        How many rows the trace chose, where the file leaves it open; else 0.
    """

    def __init__(self, rows: int = 0) -> None:
        self.entries: list[Entry] = []
        self.rows = rows
        # Sizes of axes that the operation under way cut at a given length beyond their end.
        self.cut: list[int] = []
        # The node under way, for messages.
        self.origin = ""
        self._index_bytes = 0

    def record(self, primitive: Primitive, operands: Sequence[Affine], shape: Shape) -> Affine:
        """Append a step and return its value."""
        kind = operands[0].kind
        if kind in "uw" and not isinstance(primitive, (Take, Join, Broadcast)):
            raise NotAffine("computes with small integers or booleans, which wrap around")
        return self._append(primitive, operands, shape, kind)

    def source(self, shape: Shape, kind: str = "f") -> Affine:
        """Return a fresh independent value: an input, or a stand-in for a refused one."""
        return self._append(Source(), (), shape, kind)

    def _append(
        self, primitive: Primitive, operands: Sequence[Affine], shape: Shape, kind: str
    ) -> Affine:
        check_size(shape)
        for operand in operands:
            if operand.tape is not self:
                raise AssertionError("values of two traces were mixed (please report this)")
        if isinstance(primitive, Take) and primitive.index is not None:
            self._index_bytes += primitive.index.nbytes
            if self._index_bytes > _MAX_INDEX_BYTES:
                raise ModelFileError(
                    f"moves elements about too often: more than {_MAX_INDEX_BYTES >> 20} MB would "
                    "be needed to remember where to"
                )
        indices = tuple([operand.index for operand in operands])
        self.entries.append(Entry(primitive, indices, shape, self.origin))
        return Affine(self, len(self.entries) - 1, shape, kind)


def check_size(shape: Sequence[int]) -> None:
    """Refuse a value too large to trace, before anything of its size is allocated.

    Raises
    ------
    ModelFileError
        If the shape is negative somewhere or has more than `MAX_ELEMENTS` elements.
    """
    if len(shape) > 25:
        raise ModelFileError(f"a value has {len(shape)} axes; at most 25 are supported")
    if shape and min(shape) < 0:
        raise ModelFileError(f"a value has the impossible shape {list(shape)}")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelFileError(
            f"a value of shape {list(shape)} has more than the {MAX_ELEMENTS:,} elements "
            "that are traced at most"
        )


class Affine:
    """An array whose elements are affine functions of the network's inputs.

    Parameters
    ----------
    tape : Tape
    index : int
        The tape entry that makes it.
    shape : tuple of int
    kind : str
        ``f`` for floating point; ``i`` for 32- and 64-bit integers, whose division truncates;
        ``u`` for smaller integers and booleans, ``w`` for wide unsigned ones, whose arithmetic
        wraps around.
    """

    __slots__ = ("index", "kind", "shape", "tape")

    def __init__(self, tape: Tape, index: int, shape: Shape, kind: str = "f") -> None:
        self.tape, self.index, self.shape, self.kind = tape, index, shape, kind

    def as_float(self) -> Affine:
        """Return the same numbers as floating point ones."""
        return self.as_kind("f")

    def as_kind(self, kind: str) -> Affine:
        """Return the same numbers as another kind that holds them exactly."""
        return Affine(self.tape, self.index, self.shape, kind)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def T(self) -> Affine:  # noqa: N802 (numpy's name)
        return movement(np.transpose, self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a value without axes")
        return self.shape[0]

    def __bool__(self) -> bool:
        raise NotAffine("branches on a value that depends on the input")

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Affine:
        return movement(lambda array: array[key], self)

    def reshape(self, *shape: Any) -> Affine:
        return movement(np.reshape, self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Affine:
        return movement(np.transpose, self, axes[0] if len(axes) == 1 else (axes or None))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise NotAffine("needs the numbers of a value that depends on the input")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        rule = _UFUNCS.get(ufunc)
        if method != "__call__" or kwargs or rule is None:
            raise NotAffine(f"takes {ufunc.__name__} of a value that depends on the input")
        return rule(*args)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = _FUNCTIONS.get(func)
        if rule is None:
            raise NotAffine(f"applies {func.__name__} to a value that depends on the input")
        return rule(*args, **kwargs)

    def __add__(self, other: Any) -> Any:
        return np.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return np.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return np.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return np.multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return np.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return np.divide(other, self)

    def __matmul__(self, other: Any) -> Any:
        return np.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return np.matmul(other, self)

    def __neg__(self) -> Any:
        return np.negative(self)


def movement(function: Callable[..., Any], value: Affine, *args: Any, **kwargs: Any) -> Affine:
    """Apply a numpy function that only moves, repeats or drops elements.

    The function is run on the elements' positions; where each lands is the gather index.
    """
    positions = np.arange(value.size).reshape(value.shape)
    moved = function(positions, *args, **kwargs)
    check_size(moved.shape)
    index = np.ascontiguousarray(moved).reshape(-1)
    shape = tuple(int(size) for size in moved.shape)
    if index.size == value.size and np.shares_memory(index, positions):
        return value.tape.record(Take(value.shape, shape), [value], shape)
    return value.tape.record(Take(value.shape, shape, index), [value], shape)


def broadcast_to(value: Any, shape: Sequence[int]) -> Any:
    """Repeat a traced value along axes as ``numpy.broadcast_to`` does."""
    target = tuple(int(size) for size in shape)
    if value.shape == target:
        return value
    check_size(target)
    if np.broadcast_shapes(value.shape, target) != target:
        raise ValueError(f"cannot broadcast {list(value.shape)} to {list(target)}")
    return value.tape.record(Broadcast(value.shape, target), [value], target)


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
        constant = np.einsum(",".join(terms) + "->" + labels, *constants)
    return contract(operands[traced[0]], constant, source, labels, target)


def _sum(a: Affine, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Affine:
    axes = range(a.ndim) if axis is None else np.atleast_1d(axis)
    wanted = sorted({_axis(int(one), a.ndim) for one in axes})
    shape = tuple(1 if i in wanted else size for i, size in enumerate(a.shape))
    total = a.tape.record(Sum(a.shape, wanted), [a], shape)
    return total if keepdims else movement(np.squeeze, total, axis=tuple(wanted))


def _mean(a: Affine, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Affine:
    total = _sum(a, axis=axis, keepdims=keepdims)
    count = a.size // total.size if total.size else 0
    if count == 0:
        raise NotAffine("takes the mean of no elements")
    return total / count


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} does not exist in a value of {ndim} axes")
    return axis % ndim


def _concatenate(arrays: Sequence[Any], axis: int = 0) -> Affine:
    first = next(array for array in arrays if isinstance(array, Affine))
    axis = _axis(int(axis), first.ndim)
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
    positions = np.arange(ary.shape[_axis(axis, ary.ndim)])
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


def _moving(function: Any) -> Callable[..., Affine]:
    return lambda a, *args, **kwargs: movement(function, a, *args, **kwargs)


_UFUNCS: dict[np.ufunc, Callable[..., Affine]] = {
    np.add: _add,
    np.subtract: lambda a, b: _add(a, np.negative(b)),
    np.multiply: _multiply,
    np.divide: _divide,
    np.negative: _negative,
    np.positive: lambda a: a,
    np.matmul: _matmul,
}

_FUNCTIONS: dict[Any, Callable[..., Any]] = {
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
