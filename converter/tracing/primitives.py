"""The handful of linear maps that a tape is made of, each with its adjoint.

Every primitive maps arrays of shape ``(K, *source)`` to ``(K, *target)``, the same linear map
for each of the K rows, in the values' type; `adjoint` maps the other way. ``<A u, v> == <u, A*
v>`` is tested for each. Constants are kept as they came out of the file (a view of a memory map,
often float32) and are cast to float64 one block at a time, when they are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from converter.errors import ModelFileError, NotFinite

Shape = tuple[int, ...]

# Elements of a weight that are cast to float64 at once: 0.5 MB, so that a block is still in a
# core's cache when the product reads it.
_BLOCK = 1 << 16
# With many rows the product itself is the cost, and it wants larger blocks.
_BLOCK_MANY_ROWS = 1 << 20
# Elements up to which looking at each is cheaper than preparing for an overflowing sum.
_SMALL = 1 << 12


class Primitive(Protocol):
    """A linear map from the operands' shapes to `target`."""

    def forward(self, *values: np.ndarray) -> np.ndarray:
        """Apply the map to arrays of shape (K, *source)."""

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        """Apply the transposed map to an array of shape (K, *target), once per operand."""


class Source:
    """An input of the trace (or a stand-in for a refused value): it has no operand."""

    def forward(self, *values: np.ndarray) -> np.ndarray:
        raise AssertionError("a source is seeded, never computed")

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return ()


class Add:
    """The sum of several values of one shape."""

    def __init__(self, count: int) -> None:
        self.count = count

    def forward(self, *values: np.ndarray) -> np.ndarray:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (value,) * self.count


class Scale:
    """The product with a constant that broadcasts to the value's shape."""

    def __init__(self, constant: np.ndarray | np.floating) -> None:
        self.constant = np.asarray(constant)

    def forward(self, *values: np.ndarray) -> np.ndarray:
        return values[0] * finite(self.constant)

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (value * finite(self.constant),)


class Shift:
    """The sum with a constant: the identity for the linear part, an entry for the offset.

    Parameters
    ----------
    constant : ndarray
        Broadcasts to the value's shape.
    where : ndarray of bool, optional
        Where the constant really stands. Elsewhere it is filler (the part of a concatenation
        that belongs to other operands) and does not count as an intercept.
    """

    def __init__(self, constant: np.ndarray, where: np.ndarray | None = None) -> None:
        self.constant = constant
        self.where = where

    def forward(self, *values: np.ndarray) -> np.ndarray:
        return values[0]

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (value,)

    def offset(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the intercept's share, and whether there is one, for each row of a cotangent.

        Parameters
        ----------
        value : ndarray, shape (K, *shape)
            Cotangents of the sum.

        Returns
        -------
        share : ndarray of float64, shape (K,)
        present : ndarray of bool, shape (K,)
        """
        shape = value.shape[1:]
        rows = value.reshape(len(value), -1)
        constant = np.broadcast_to(finite(self.constant), shape).reshape(-1)
        used = rows != 0
        if self.where is not None:
            used = used & np.broadcast_to(self.where, shape).reshape(-1)
        return rows @ constant, used.any(axis=1)


class Take:
    """A gather: ``target.flat = source.flat[index]``, with 0 where the index is -1.

    It serves reshape, transpose, slice, pad, tile and their like. `index` None means all
    elements in their order (a reshape).
    """

    def __init__(self, source: Shape, target: Shape, index: np.ndarray | None = None) -> None:
        self.source, self.target, self.index = source, target, index

    def forward(self, *values: np.ndarray) -> np.ndarray:
        return gather(values[0], self.index, self.target)

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (scatter_add(value, self.index, self.source),)


class Held(Take):
    """The same numbers, held in a type that may change codes: views must look at it.

    Parameters
    ----------
    shape : tuple of int
    dtype : str
        ``float16`` and ``bfloat16`` round whole numbers, ``int32`` wraps those of 64 bits around.
    """

    def __init__(self, shape: Shape, dtype: str) -> None:
        super().__init__(shape, shape)
        self.dtype = dtype


class Join:
    """Several values put into one: ``target.flat[index] = source.flat`` for each of them.

    Parameters
    ----------
    sources : sequence of tuple of int
    indices : sequence of ndarray of int
        Where the elements of each go; no place is taken twice, and what is not taken is 0.
    target : tuple of int
    """

    def __init__(
        self, sources: Sequence[Shape], indices: Sequence[np.ndarray], target: Shape
    ) -> None:
        self.sources, self.indices, self.target = sources, indices, target

    def forward(self, *values: np.ndarray) -> np.ndarray:
        rows = len(values[0])
        result = np.zeros((rows, math.prod(self.target)), values[0].dtype)
        for value, index in zip(values, self.indices, strict=True):
            result[:, index] = value.reshape(rows, -1)
        return result.reshape(rows, *self.target)

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        pairs = zip(self.indices, self.sources, strict=True)
        return tuple(gather(value, index, source) for index, source in pairs)


class Sum:
    """The sum over some axes, which stay with size one."""

    def __init__(self, source: Shape, axes: Sequence[int]) -> None:
        self.source = source
        self.axes = tuple(axis + 1 for axis in axes)

    def forward(self, *values: np.ndarray) -> np.ndarray:
        return values[0].sum(axis=self.axes, keepdims=True)

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.broadcast_to(value, (len(value), *self.source)),)


class Broadcast:
    """Repetition along new leading axes and axes of size one, as numpy broadcasts."""

    def __init__(self, source: Shape, target: Shape) -> None:
        self.target = target
        self.aligned = (1,) * (len(target) - len(source)) + source
        self.source = source
        self.axes = tuple(
            axis + 1 for axis, (a, b) in enumerate(zip(self.aligned, target, strict=True)) if a != b
        )

    def forward(self, *values: np.ndarray) -> np.ndarray:
        value = values[0].reshape(len(values[0]), *self.aligned)
        return np.broadcast_to(value, (len(value), *self.target))

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (value.sum(axis=self.axes, keepdims=True).reshape(len(value), *self.source),)


class Contract:
    """A contraction with a constant: ``einsum("source,constant->target")``.

    Every label of the source stands in the constant or the target, and every label of the
    constant in the source or the target, each once an operand; plain sums are `Sum`.

    Parameters
    ----------
    constant : ndarray
        Kept as it is, usually a view of the file.
    source, labels, target : str
        One letter an axis, for the value, the constant and the result.
    """

    def __init__(self, constant: np.ndarray, source: str, labels: str, target: str) -> None:
        self.constant = constant
        self.source, self.labels, self.target = source, labels, target

    def forward(self, *values: np.ndarray) -> np.ndarray:
        return _contract(values[0], self.constant, self.source, self.labels, self.target)

    def adjoint(self, value: np.ndarray) -> tuple[np.ndarray, ...]:
        return (_contract(value, self.constant, self.target, self.labels, self.source),)


def gather(value: np.ndarray, index: np.ndarray | None, target: Shape) -> np.ndarray:
    """Return ``value.flat[index]`` for each row, 0 where the index is -1."""
    rows = len(value)
    if index is None:
        return value.reshape(rows, *target)
    if value[:1].size == 0:
        return np.zeros((rows, *target), value.dtype)
    taken = value.reshape(rows, -1)[:, index]
    empty = index < 0
    if empty.any():
        taken[:, empty] = 0.0
    return taken.reshape(rows, *target)


def scatter_add(value: np.ndarray, index: np.ndarray | None, target: Shape) -> np.ndarray:
    """Return zeros of shape (K, *target) with the elements of each row added at `index`."""
    rows = len(value)
    if index is None:
        return value.reshape(rows, *target)
    size = math.prod(target)
    flat = value.reshape(rows, -1)
    kept = index >= 0
    if not kept.all():
        flat, index = flat[:, kept], index[kept]
    result = np.zeros((rows, size), value.dtype)
    if index.size == 0:
        return result.reshape(rows, *target)
    if np.bincount(index, minlength=size).max() <= 1:
        result[:, index] = flat
    else:
        order = np.argsort(index, kind="stable")
        places, starts = np.unique(index[order], return_index=True)
        result[:, places] = np.add.reduceat(flat[:, order], starts, axis=1)
    return result.reshape(rows, *target)


def _contract(
    value: np.ndarray, constant: np.ndarray, source: str, labels: str, target: str
) -> np.ndarray:
    rows = len(value)
    size = dict(zip(source, value.shape[1:], strict=True))
    size.update(zip(labels, constant.shape, strict=True))
    batch = [label for label in labels if label in source and label in target]
    summed = [label for label in labels if label in source and label not in target]
    made = [label for label in labels if label not in source]
    free = [label for label in source if label not in labels]

    def extent(names: list[str]) -> int:
        return math.prod(size[label] for label in names)

    place = {label: axis + 1 for axis, label in enumerate(source)}
    value = value.transpose(
        [place[label] for label in batch] + [0] + [place[label] for label in free + summed]
    ).reshape(extent(batch), rows * extent(free), extent(summed))
    place = {label: axis for axis, label in enumerate(labels)}
    constant = constant.transpose([place[label] for label in batch + summed + made]).reshape(
        extent(batch), extent(summed), extent(made)
    )
    result = np.empty((extent(batch), rows * extent(free), extent(made)), value.dtype)
    for one, matrix, out in zip(value, constant, result, strict=True):
        out[...] = product(one, matrix)
    order = batch + ["*"] + free + made
    return result.reshape([rows if label == "*" else size[label] for label in order]).transpose(
        [order.index("*")] + [order.index(label) for label in target]
    )


def product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return ``rows @ matrix`` in the rows' type, reading the matrix once, block by block.

    Parameters
    ----------
    rows : ndarray of float64 or longdouble, shape (m, c)
    matrix : ndarray of any real type, shape (c, k), usually a view of a file

    Returns
    -------
    ndarray, shape (m, k)

    Raises
    ------
    ModelFileError
        If the matrix holds a NaN or an infinity.
    """
    unique, inverse = _distinct(rows, matrix)
    result = np.zeros((len(unique), matrix.shape[1]), rows.dtype)
    elements = _BLOCK if len(unique) <= 8 else _BLOCK_MANY_ROWS
    by_row = abs(matrix.strides[0]) >= abs(matrix.strides[1])
    long, short = matrix.shape if by_row else matrix.shape[::-1]
    step = max(1, elements // max(1, short))
    for start in range(0, long, step):
        part = slice(start, start + step)
        if by_row:
            result += unique[:, part] @ finite(matrix[part])
        else:
            result[:, part] = unique @ finite(matrix[:, part])
    return result if inverse is None else result[inverse]


def _distinct(rows: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the distinct rows and where each row stands among them.

    The two rows of a trace carry the same numbers through a network that treats rows alike,
    and zeros across: three quarters of the products would be done for nothing.
    """
    if matrix.size < _BLOCK or not 1 < len(rows) <= 4096:
        return rows, None
    seen: dict[bytes, int] = {}
    inverse = np.fromiter(
        (seen.setdefault(row.tobytes(), len(seen)) for row in rows), np.intp, len(rows)
    )
    if len(seen) == len(rows):
        return rows, None
    _, first = np.unique(inverse, return_index=True)
    return rows[first], inverse


def finite(constant: Any) -> np.ndarray:
    """Return the constant in float64, having checked that every element is finite.

    Raises
    ------
    ModelFileError
        If it holds a NaN or an infinity.
    """
    try:
        block = np.asarray(constant)
        if block.dtype.kind not in "fiub":
            raise TypeError
        block = block.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        raise ModelFileError(f"expected numbers, found {constant!r:.60}") from None
    if block.size <= _SMALL:
        sound = bool(np.isfinite(block).all())
    else:
        # One sum is the cheapest pass that a NaN or an infinity cannot survive; a sum that
        # overflows on finite numbers is told apart by the slower test.
        with np.errstate(over="ignore", invalid="ignore"):
            sound = bool(np.isfinite(block.sum()) or np.isfinite(block).all())
    if not sound:
        raise NotFinite("a weight or constant holds NaN or infinite values")
    return block
