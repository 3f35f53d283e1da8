"""Proof that a trace of two rows holds for any number: no step mixes rows or tells them apart.

Two traces of one network, of two and of three rows, are compared step by step. Every value must
lie in memory as P x rows x S, for the same P and S in both; gathers must take each row's elements
from the same row, at the same places; constants must be the same in both traces and along the
rows. What holds so for each step holds for any number of rows, as long as constants and indices
do not depend on it: that is for the rules to say (`converter.tracing.sizes`, `pin`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.tracing.affine import Affine, Entry, Tape
from converter.tracing.codes import Indicators
from converter.tracing.primitives import (
    Add,
    Broadcast,
    Contract,
    Join,
    Scale,
    Shape,
    Shift,
    Source,
    Sum,
    Take,
)

# Numbers of rows of the two traces.
_A, _B = 2, 3

# How the rows lie in a value: (P, S); None for a value that has none.
_Layout = tuple[int, int] | None


class _Mixed(Exception):
    """A step that is not the same for every row, or whose sizes follow no law."""


def uniform(two: Tape, three: Tape, pairs: Sequence[tuple[Affine, Affine]]) -> bool:
    """Tell whether some values are, row by row, the same function for any number of rows.

    Parameters
    ----------
    two, three : Tape
        Of the traces of two and of three rows.
    pairs : sequence of (Affine, Affine)
        The values, in both traces.
    """
    if any(a.index != b.index for a, b in pairs):
        return False
    wanted = {a.index for a, _ in pairs}
    for index in range(max(wanted, default=-1), -1, -1):
        if index in wanted:
            wanted.update(two.entries[index].operands)
    layouts: dict[int, _Layout] = {}
    try:
        for index in sorted(wanted):
            if index >= len(three.entries):
                raise _Mixed
            layouts[index] = _layout(two.entries[index], three.entries[index], layouts)
    except _Mixed:
        return False
    # The rows come first, and nothing stands between them.
    return all(layouts[a.index] == (1, math.prod(a.shape[1:])) for a, _ in pairs)


def uniform_constants(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two constants with the rows first are the same, and the same for each row."""
    try:
        _same_along(a, b, np.shape(a), 0 if np.ndim(a) else None)
    except _Mixed:
        return False
    return True


def _layout(a: Entry, b: Entry, layouts: dict[int, _Layout]) -> _Layout:
    one, other = a.primitive, b.primitive
    if type(one) is not type(other) or a.operands != b.operands:
        raise _Mixed
    axis = _row_axis(a.shape, b.shape)
    known = [layouts[operand] for operand in a.operands]
    if isinstance(one, Source):
        if isinstance(one, Indicators) and isinstance(other, Indicators) and one.key != other.key:
            raise _Mixed
        return None if axis is None else (math.prod(a.shape[:axis]), _size(a.shape, axis))
    first = known[0]
    if isinstance(one, Add):
        if any(layout != first for layout in known):
            raise _Mixed
        return first
    if isinstance(one, Join) and isinstance(other, Join):
        return _joined(one, other, known, a.shape, b.shape, axis)
    if isinstance(one, Take) and isinstance(other, Take):
        if one.index is not None and other.index is not None:
            return _taken(one.index, other.index, first, a.shape, axis)
        if one.index is not None or other.index is not None:
            raise _Mixed
        return _reshaped(first, a.shape, axis)
    if isinstance(one, Scale) and isinstance(other, Scale):
        _same_along(one.constant, other.constant, a.shape, axis)
        return first
    if isinstance(one, Shift) and isinstance(other, Shift):
        _same_along(one.constant, other.constant, a.shape, axis)
        if one.where is not None or other.where is not None:
            _same_along(one.where, other.where, a.shape, axis)
        return first
    if isinstance(one, Broadcast):
        if first is None:
            return None if axis is None else (math.prod(a.shape[:axis]), _size(a.shape, axis))
        return _moved(first, one.aligned, axis, a.shape, axis)
    if isinstance(one, Sum):
        if first is not None and (axis is None or axis + 1 in one.axes):
            raise _Mixed
        return None if first is None else _moved(first, one.source, axis, a.shape, axis)
    if isinstance(one, Contract) and isinstance(other, Contract):
        return _contracted(one, other, first, a, axis)
    raise _Mixed


def _row_axis(a: Shape, b: Shape) -> int | None:
    """Return the axis whose size is proportional to the number of rows; others must agree."""
    if len(a) != len(b):
        raise _Mixed
    differing = [i for i, (m, n) in enumerate(zip(a, b, strict=True)) if m != n]
    if not differing:
        return None
    if len(differing) > 1 or a[differing[0]] * _B != b[differing[0]] * _A:
        raise _Mixed
    return differing[0]


def _size(shape: Shape, axis: int) -> int:
    """Return S where the rows are the outermost part of their axis."""
    return math.prod(shape[axis:]) // _A


def _reshaped(layout: _Layout, shape: Shape, axis: int | None) -> _Layout:
    """Check that no other axis of a new shape cuts across the rows."""
    if layout is None:
        return None
    if axis is None or layout[0] % math.prod(shape[:axis]):
        raise _Mixed
    inner = layout[0] // math.prod(shape[:axis])
    if (shape[axis] // _A) % inner:
        raise _Mixed
    return layout


def _moved(
    layout: tuple[int, int], before: Shape, from_axis: int | None, after: Shape, axis: int | None
) -> _Layout:
    """Return the layout where axes other than the rows' changed in size or place."""
    if from_axis is None or axis is None or before[from_axis] != after[axis]:
        raise _Mixed
    inner = layout[0] // math.prod(before[:from_axis])
    total = math.prod(after[:axis]) * inner
    return total, math.prod(after) // (_A * total)


def _contracted(
    one: Contract, other: Contract, layout: _Layout, entry: Entry, axis: int | None
) -> _Layout:
    if not _equal(one.constant, other.constant):
        raise _Mixed
    if layout is None:
        if axis is not None:
            raise _Mixed
        return None
    if axis is None or one.target[axis] not in one.source or one.target[axis] in one.labels:
        raise _Mixed
    sizes = dict(zip(one.target, entry.shape, strict=True))
    sizes.update(zip(one.labels, one.constant.shape, strict=True))
    before = tuple(sizes[label] for label in one.source)
    return _moved(layout, before, one.source.index(one.target[axis]), entry.shape, axis)


def _equal(a: Any, b: Any) -> bool:
    """Tell whether two constants are the same; damaged numbers are somebody else's business."""
    if a is b:
        return True
    inexact = np.asarray(a).dtype.kind == "f"
    return np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=inexact)


def _same_along(a: Any, b: Any, shape: Shape, axis: int | None) -> None:
    """Check that a constant is the same in both traces, and for each row."""
    if a is b:
        return
    if a is None or b is None or np.ndim(a) != np.ndim(b):
        raise _Mixed
    place = None if axis is None else axis - (len(shape) - np.ndim(a))
    if place is not None and place >= 0 and a.shape[place] != b.shape[place]:
        for constant in (a, b):
            first = np.broadcast_to(_first(constant, place), constant.shape)
            if not _equal(constant, first):
                raise _Mixed
        a, b = _first(a, place), _first(b, place)
    if not _equal(a, b):
        raise _Mixed


def _first(constant: np.ndarray, axis: int) -> np.ndarray:
    return constant[(slice(None),) * axis + (slice(0, 1),)]


def _candidates(shape: Shape, axis: int) -> list[tuple[int, int]]:
    """Return the layouts that a value of some shape may have, by the rows' place in their axis."""
    outer, extent = math.prod(shape[:axis]), shape[axis] // _A
    rest = math.prod(shape[axis + 1 :])
    divisors = [d for d in range(1, min(extent, 4096) + 1) if extent % d == 0]
    if extent not in divisors:
        divisors.append(extent)
    return [(outer * d, extent // d * rest) for d in divisors]


def _taken(
    a: np.ndarray, b: np.ndarray, layout: _Layout, shape: Shape, axis: int | None
) -> _Layout:
    """Check that a gather takes each row's elements from that row, at the same places."""
    if layout is None:
        if axis is None and np.array_equal(a, b):
            return None
        raise _Mixed
    if axis is None:
        raise _Mixed
    for candidate in _candidates(shape, axis):
        if _same_places(a, b, layout, candidate):
            return candidate
    raise _Mixed


def _same_places(
    a: np.ndarray, b: np.ndarray, source: tuple[int, int], target: tuple[int, int]
) -> bool:
    """Tell whether the gathers of both traces treat all rows alike."""
    if a.size != target[0] * _A * target[1] or b.size != target[0] * _B * target[1]:
        return False
    first, second = _row_places(a, source, target, _A), _row_places(b, source, target, _B)
    return first is not None and second is not None and np.array_equal(first, second)


def _row_places(
    index: np.ndarray, source: tuple[int, int], target: tuple[int, int], rows: int
) -> np.ndarray | None:
    """Return where each element of a row comes from within its row; None if rows differ.

    Parameters
    ----------
    index : ndarray of int, shape (elements of the target,)
        Places in the source, -1 for none.
    source, target : tuple of int
        Layouts.
    rows : int

    Returns
    -------
    ndarray of int, shape (P, S) of the target, or None
    """
    inner = source[1]
    places = index.reshape(target[0], rows, target[1])
    part, rest = np.divmod(places, rows * inner)
    row, element = np.divmod(rest, inner)
    there = places >= 0
    if not np.array_equal(row[there], np.broadcast_to(np.arange(rows)[:, None], row.shape)[there]):
        return None
    own = np.where(there, part * inner + element, -1)
    return own[:, 0] if np.array_equal(own, np.broadcast_to(own[:, :1], own.shape)) else None


def _joined(
    one: Join, other: Join, known: list[_Layout], a: Shape, b: Shape, axis: int | None
) -> _Layout:
    """Check a concatenation: each part's rows go to the rows of the result."""
    if all(layout is None for layout in known):
        if axis is None and all(map(np.array_equal, one.indices, other.indices)):
            return None
        raise _Mixed
    if axis is None:
        raise _Mixed
    sizes = math.prod(a), math.prod(b)
    indices = [_inverted(j.indices, size) for j, size in zip((one, other), sizes, strict=True)]
    for candidate in _candidates(a, axis):
        if all(
            layout is not None and _part_fits(number, layout, candidate, indices)
            for number, layout in enumerate(known)
        ):
            return candidate
    raise _Mixed


def _inverted(indices: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    """Return, for each part, the gather that brings it to its places in the whole."""
    found = []
    for index in indices:
        inverse = np.full(size, -1)
        inverse[index] = np.arange(len(index))
        found.append(inverse)
    return found


def _part_fits(
    number: int, layout: tuple[int, int], target: tuple[int, int], indices: list[list[np.ndarray]]
) -> bool:
    return _same_places(indices[0][number], indices[1][number], layout, target)
