"""Lookups of codes: not affine in the code, and affine in the indicators of its levels.

A traced value is a code where it is an element of an input, moved about and perhaps looked up
before. A lookup puts indicators on the tape as a source of their own, ``1`` where the element
has a level and ``0`` elsewhere; what the lookup returns is a linear map of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import NotAffine, TooLarge
from converter.levels import MAX_LEVELS, Codes, Levels, Vocabulary
from converter.tracing.affine import Affine, Tape, check_size
from converter.tracing.primitives import Broadcast, Join, Shape, Shift, Source, Take

NO_CODE = "looks up a number that is computed, and no code of an input"
_MAX_DEPTH = 50


class Indicators(Source):
    """The indicators of an input's levels, of shape (rows, groups, levels).

    Parameters
    ----------
    input : int
        Place among the network's inputs.
    elements : ndarray of int, shape (groups, k)
        Elements of one row of the input. An indicator is 1 where the element of its group has
        the level; where a group has several, if any of them has it.
    levels : Levels
    """

    def __init__(self, input: int, elements: np.ndarray, levels: Levels) -> None:
        self.input, self.elements, self.levels = input, elements, levels

    @property
    def key(self) -> tuple[Any, ...]:
        """What two traces must agree on."""
        return self.input, self.elements.shape, self.elements.tobytes(), self.levels

    def moved_to(self, input: int) -> Indicators:
        """Return the same of an input counted otherwise."""
        return Indicators(input, self.elements, self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where codes come from: an input, and what has been made of its raw values.

    Parameters
    ----------
    entry : int
        The input's place on the tape.
    levels : Levels or None
        None for raw values.
    values : ndarray or None, shape (levels,)
        The code of each level.
    shift : int
        What has been added to raw values.
    """

    entry: int
    levels: Levels | None = None
    values: np.ndarray | None = None
    shift: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A traced value seen as codes.

    Parameters
    ----------
    origins : tuple of Origin
    part : ndarray of int
        Which origin each element has.
    place : ndarray of int, the same shape
        Which element of the flattened input, all rows counted, it is.
    """

    origins: tuple[Origin, ...]
    part: np.ndarray
    place: np.ndarray

    def moved(self, move: Any) -> View:
        return View(self.origins, move(self.part), move(self.place))


def view(value: Affine, depth: int = 0) -> View | None:
    """Return a traced value as codes, or None if it is not made of an input's elements alone."""
    tape = value.tape
    steps = []
    index = value.index
    while index not in tape.coded and index not in tape.inputs:
        entry = tape.entries[index]
        if isinstance(entry.primitive, Join):
            found = _joined(tape, index, depth)
            break
        if not isinstance(entry.primitive, (Take, Broadcast, Shift)):
            return None
        steps.append(entry)
        (index,) = entry.operands
    else:
        found = tape.coded.get(index) or _raw(tape, index)
    for entry in reversed(steps):
        if found is None:
            return None
        found = _stepped(found, entry.primitive, entry.shape)
    return found


def _raw(tape: Tape, index: int) -> View:
    shape = tape.entries[index].shape
    places = np.arange(math.prod(shape)).reshape(shape)
    return View((Origin(index),), np.zeros(shape, dtype=np.int64), places)


def _stepped(found: View, primitive: Any, shape: Shape) -> View | None:
    if isinstance(primitive, Take):
        index = primitive.index
        if index is None:
            return found.moved(lambda array: array.reshape(shape))
        if index.size and index.min() < 0:
            return None  # padding is no code
        return found.moved(lambda array: array.reshape(-1)[index].reshape(shape))
    if isinstance(primitive, Broadcast):
        aligned = primitive.aligned
        return found.moved(lambda array: np.broadcast_to(array.reshape(aligned), shape))
    added = np.unique(np.asarray(primitive.constant, dtype=np.float64))
    if primitive.where is not None or len(added) != 1 or not float(added[0]).is_integer():
        return None
    amount = int(added[0])
    origins = tuple(
        Origin(one.entry, one.levels, one.values, one.shift + amount)
        if one.values is None
        else Origin(one.entry, one.levels, one.values + amount)
        for one in found.origins
    )
    return View(origins, found.part, found.place)


def _joined(tape: Tape, index: int, depth: int) -> View | None:
    entry = tape.entries[index]
    if depth > _MAX_DEPTH or not isinstance(entry.primitive, Join):
        return None
    origins: list[Origin] = []
    part = np.full(math.prod(entry.shape), -1)
    place = np.zeros(part.shape, dtype=np.int64)
    for operand, where in zip(entry.operands, entry.primitive.indices, strict=True):
        found = view(Affine(tape, operand, tape.entries[operand].shape), depth + 1)
        if found is None:
            return None
        part[where] = found.part.reshape(-1) + len(origins)
        place[where] = found.place.reshape(-1)
        origins.extend(found.origins)
    if part.size and part.min() < 0:
        return None
    return View(tuple(origins), part.reshape(entry.shape), place.reshape(entry.shape))


def expand(value: Any, levels: Levels, table: np.ndarray) -> Any:
    """Return a row of a table for each code, ``table[level]``.

    Parameters
    ----------
    value : Affine or ndarray, shape (...)
    levels : Levels
        The codes that the table knows.
    table : ndarray, shape (levels, columns)

    Returns
    -------
    Affine or ndarray, shape (..., columns)

    Raises
    ------
    NotAffine
        If the value is no code, or has levels that the table does not know.
    """
    _check(levels, table)
    if isinstance(value, np.ndarray):
        return _constant_rows(value, levels, table)
    found = _codes(value)
    parts, order = [], []
    for number, origin in enumerate(found.origins):
        chosen = np.flatnonzero(found.part.reshape(-1) == number)
        if not chosen.size:
            continue
        own, rows = _resolved(value.tape, origin, levels, table)
        places = found.place.reshape(-1)[chosen]
        parts.append(_looked_up(value.tape, origin.entry, own, rows, places))
        order.append(chosen)
    if not parts:
        raise NotAffine("looks up nothing")
    result: Any = parts[0]
    if len(parts) > 1:
        result = np.take(np.concatenate(parts), np.argsort(np.concatenate(order)), axis=0)
    return np.reshape(result, (*found.place.shape, table.shape[1]))


def recode(value: Any, levels: Levels, codes: np.ndarray) -> Any:
    """Return another code for each code; it can be looked up again, or be used as a number.

    Parameters
    ----------
    value : Affine or ndarray
    levels : Levels
    codes : ndarray of int, shape (levels,)

    Raises
    ------
    NotAffine
        As `expand`.
    """
    result = expand(value, levels, codes[:, None].astype(np.float64))
    if isinstance(result, np.ndarray):
        return result[..., 0].astype(codes.dtype)
    result = result.reshape(value.shape).as_kind("i")
    found = _codes(value)
    origins = []
    for origin in found.origins:
        own, rows = _resolved(value.tape, origin, levels, codes)
        origins.append(Origin(origin.entry, own, rows))
    value.tape.coded[result.index] = View(tuple(origins), found.part, found.place)
    return result


def present(value: Any, levels: Levels, table: np.ndarray) -> Any:
    """Return for each set of codes along the last axis which columns of a table they meet.

    Parameters
    ----------
    value : Affine or ndarray, shape (..., k)
    levels : Levels
    table : ndarray of 0 and 1, shape (levels, columns)
        Each level has a column of its own, or none.

    Returns
    -------
    Affine or ndarray, shape (..., columns)

    Raises
    ------
    NotAffine
        As `expand`; or if several levels share a column.
    """
    _check(levels, table)
    if isinstance(value, np.ndarray):
        return _constant_rows(value, levels, table).max(axis=-2)
    found = _codes(value)
    if found.place.shape[-1] == 1:
        return expand(value, levels, table)[..., 0, :]
    if len(found.origins) != 1:
        raise NotAffine("marks which codes of several inputs are present")
    (origin,) = found.origins
    own, rows = _resolved(value.tape, origin, levels, table)
    if (np.count_nonzero(rows, axis=0) > 1).any():
        raise NotAffine("marks the presence of several levels by one number")
    groups = found.place.reshape(-1, found.place.shape[-1])
    row, group, members = _rows(value.tape, origin.entry, groups)
    source = _indicators(value.tape, origin.entry, members, own)
    result = _gathered(np.matmul(source, rows), row, group)
    return np.reshape(result, (*found.place.shape[:-1], table.shape[1]))


def _check(levels: Levels, table: np.ndarray) -> None:
    if levels.count > MAX_LEVELS:
        raise TooLarge(f"tells {levels.count:,} levels apart; at most {MAX_LEVELS:,} are taken")
    if len(table) != levels.count:
        raise ValueError(f"a table of {len(table)} rows for {levels.count} levels")


def _codes(value: Affine) -> View:
    found = view(value)
    if found is None:
        raise NotAffine(NO_CODE)
    return found


def _constant_rows(value: np.ndarray, levels: Levels, table: np.ndarray) -> np.ndarray:
    place = levels.match(value.reshape(-1))
    if (place < 0).any():
        raise ValueError("a constant is looked up that the table does not know")
    return table[place].reshape(*value.shape, table.shape[1])


def _resolved(
    tape: Tape, origin: Origin, levels: Levels, table: np.ndarray
) -> tuple[Levels, np.ndarray]:
    """Return the levels of the raw input, and the table's row for each of them."""
    if origin.levels is None or origin.values is None:
        if not origin.shift:
            return levels.read_as(tape.types[origin.entry]), table
        if not isinstance(levels, Codes):
            raise NotAffine(NO_CODE)
        raw = range(-origin.shift, levels.size - origin.shift)
        return Vocabulary(tuple(raw), buckets=0), table
    place = levels.match(origin.values)
    if (place < 0).any():
        missing = origin.levels.labels[int(np.argmax(place < 0))]
        raise NotAffine(
            f"looks up a code that its table of {levels.count} does not have (level {missing!r})"
        )
    return origin.levels, table[place]


def _looked_up(
    tape: Tape, entry: int, levels: Levels, table: np.ndarray, places: np.ndarray
) -> Affine:
    """Return the table's rows for some elements of an input, shape (elements, columns)."""
    row, group, members = _rows(tape, entry, places[:, None])
    source = _indicators(tape, entry, members, levels)
    return _gathered(np.matmul(source, table), row, group)


def _rows(tape: Tape, entry: int, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Say of groups of places in an input in which row they lie, and which groups there are.

    Returns
    -------
    row : ndarray of int, shape (n,)
    group : ndarray of int, shape (n,)
        Which of the distinct groups.
    members : ndarray of int, shape (distinct groups, k)
        Places within a row.
    """
    _, rows = tape.inputs[entry]
    each = math.prod(tape.entries[entry].shape) // rows
    row, within = np.divmod(groups, each)
    if (row != row[:, :1]).any():
        raise NotAffine("looks up codes of several rows at once", rows=True)
    members, group = np.unique(within, axis=0, return_inverse=True)
    return row[:, 0], group.reshape(-1), members


def _indicators(tape: Tape, entry: int, members: np.ndarray, levels: Levels) -> Affine:
    """Return the indicators of an input's elements: the same ones where they are asked again."""
    place, rows = tape.inputs[entry]
    primitive = Indicators(place, members, levels)
    shape = (rows, len(members), levels.count)
    known = tape.indicators.get(primitive.key)
    if known is None:
        check_size(shape)
        known = tape.indicators[primitive.key] = tape.place(primitive, shape).index
    return Affine(tape, known, shape)


def _gathered(made: Affine, row: np.ndarray, group: np.ndarray) -> Affine:
    """Return rows of a value of shape (rows, groups, columns)."""
    rows, groups, columns = made.shape
    flat = made.reshape(rows * groups, columns)
    index = row * groups + group
    if np.array_equal(index, np.arange(rows * groups)):
        return flat
    return np.take(flat, index, axis=0)
