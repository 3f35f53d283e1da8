"""Lookups of codes: not affine in the code, and affine in the indicators of its levels.

A traced value is a code where it is an element of an input, moved about and perhaps looked up
before. A lookup puts indicators on the tape as a source of their own, ``1`` where the element
has a level and ``0`` elsewhere; what the lookup returns is a linear map of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.errors import NotAffine, TooLarge
from converter.levels import EXACT, MAX_LEVELS, Bins, Codes, Levels, Vocabulary
from converter.tracing.affine import Affine, Tape, check_size
from converter.tracing.primitives import Source, finite
from converter.tracing.views import ZERO, Origin, View, view

NO_CODE = "looks up a number that is computed, and no code of an input"


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


def expand(value: Any, levels: Levels, table: np.ndarray, *, zeros: bool = False) -> Any:
    """Return a row of a table for each code, ``table[level]``.

    Parameters
    ----------
    value : Affine or ndarray, shape (...)
    levels : Levels
        The codes that the table knows.
    table : ndarray, shape (levels, columns)
    zeros : bool
        Whether a code that the table does not have gives zeros; else it is an error.

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
    found = _codes(value, levels)
    resolved = [_resolved(value.tape, origin, levels, table, zeros) for origin in found.origins]
    return _assembled(value.tape, found, resolved)


def _assembled(tape: Tape, found: View, resolved: Sequence[tuple[Levels, np.ndarray]]) -> Affine:
    """Return rows of tables, one table of the levels of each origin; shape (..., columns)."""
    if not resolved:
        raise NotAffine("looks up nothing")
    parts, order = [], []
    whose = np.argsort(found.part, axis=None, kind="stable")
    ends = np.searchsorted(found.part.reshape(-1)[whose], np.arange(1, len(resolved)))
    for origin, (levels, table), chosen in zip(
        found.origins, resolved, np.split(whose, ends), strict=True
    ):
        places = found.place.reshape(-1)[chosen]
        parts.append(_looked_up(tape, origin.entry, levels, table, places))
        order.append(chosen)
    result: Any = parts[0]
    if len(parts) > 1:
        result = np.take(np.concatenate(parts), np.argsort(np.concatenate(order)), axis=0)
    shaped: Affine = result.reshape((*found.place.shape, -1))
    return shaped


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
    _check(levels, codes)
    if isinstance(value, np.ndarray):
        return _constant_rows(value, levels, codes[:, None])[..., 0]
    found = _codes(value, levels)
    return recoded(
        value.tape, found, [_resolved(value.tape, one, levels, codes) for one in found.origins]
    )


def recoded(tape: Tape, found: View, resolved: Sequence[tuple[Levels, np.ndarray]]) -> Affine:
    """Return a code for each level of each origin, as `recode`.

    Parameters
    ----------
    tape : Tape
    found : View
    resolved : sequence of (Levels, ndarray of shape (levels,))
    """
    columns = [(levels, finite(codes[:, None])) for levels, codes in resolved]
    result = _assembled(tape, found, columns).reshape(found.place.shape)
    kinds = {kind_of(codes) for _, codes in resolved}
    if not kinds <= set("iu"):
        return result
    origins = [
        Origin(origin.entry, levels, codes)
        for origin, (levels, codes) in zip(found.origins, resolved, strict=True)
    ]
    tape.coded[result.index] = View(tuple(origins), found.part, found.place)
    return result.as_kind("u" if "u" in kinds else "i")


def kind_of(codes: np.ndarray) -> str:
    """Return the kind (see `Affine`) of a value that holds some codes."""
    if codes.dtype.kind == "f":
        return "f"
    return "i" if codes.dtype.kind in "iu" and codes.dtype.itemsize >= 4 else "u"


def present(value: Any, levels: Levels, table: np.ndarray, *, zeros: bool = False) -> Any:
    """Return for each set of codes along the last axis which columns of a table they meet.

    Parameters
    ----------
    value : Affine or ndarray, shape (..., k)
    levels : Levels
    table : ndarray of 0 and 1, shape (levels, columns)
        Each level has a column of its own, or none.
    zeros : bool
        As for `expand`.

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
    found = _codes(value, levels)
    if found.place.shape[-1] == 1:
        return expand(value, levels, table, zeros=zeros)[..., 0, :]
    if len(found.origins) != 1:
        raise NotAffine("marks which codes of several inputs are present")
    (origin,) = found.origins
    own, rows = _resolved(value.tape, origin, levels, table, zeros)
    if (np.count_nonzero(rows, axis=0) > 1).any():
        raise NotAffine("marks the presence of several levels by one number")
    groups = found.place.reshape(-1, found.place.shape[-1])
    row, group, members = _rows(value.tape, origin.entry, groups)
    source = _indicators(value.tape, origin.entry, members, own)
    result = _gathered(np.matmul(source, rows), row, group)
    return np.reshape(result, (*found.place.shape[:-1], table.shape[1]))


def check_levels(count: int) -> None:
    """Refuse more levels than are taken, before anything of their number is allocated.

    Raises
    ------
    TooLarge
    """
    if count > MAX_LEVELS:
        raise TooLarge(f"tells {count:,} levels apart; at most {MAX_LEVELS:,} are taken")


def _check(levels: Levels, table: np.ndarray) -> None:
    check_levels(levels.count)
    if len(table) != levels.count:
        raise ValueError(f"a table of {len(table)} rows for {levels.count} levels")


def _codes(value: Affine, levels: Levels) -> View:
    found = view(value)
    if found is None or (value.kind == "c" and isinstance(levels, Bins)):
        # All other levels are of whole numbers, and know no fraction that might be cut off.
        raise NotAffine(NO_CODE)
    used, part = np.unique(found.part, return_inverse=True)
    origins = tuple(found.origins[number] for number in used)
    return View(origins, part.reshape(found.part.shape), found.place)


def _constant_rows(value: np.ndarray, levels: Levels, table: np.ndarray) -> np.ndarray:
    place = levels.match(value.reshape(-1))
    if (place < 0).any():
        raise ValueError("a constant is looked up that the table does not know")
    return table[place].reshape(*value.shape, table.shape[1])


def _resolved(
    tape: Tape, origin: Origin, levels: Levels, table: np.ndarray, zeros: bool = False
) -> tuple[Levels, np.ndarray]:
    """Return the levels of the raw input, and the table's row for each of them."""
    if origin.levels is None or origin.values is None:
        if not origin.changed:
            return held_levels(tape, origin, levels), table
        if not isinstance(levels, Codes):
            raise NotAffine(NO_CODE)
        own, table = _known_codes(origin, levels, table)
        return held_levels(tape, origin, own), table
    place = levels.match(origin.values)
    if zeros and (place < 0).any():
        rows = table[place]
        rows[place < 0] = 0
        return origin.levels, rows
    if (place < 0).any():
        missing = origin.levels.labels[int(np.argmax(place < 0))]
        raise NotAffine(
            f"looks up a code that its table of {levels.count} does not have (level {missing!r})"
        )
    return origin.levels, table[place]


def held_levels(tape: Tape, origin: Origin, levels: Levels) -> Levels:
    """Return levels of raw values that are held in an input's type first."""
    for dtype in (*reversed(origin.types), tape.types[origin.entry]):
        levels = levels.read_as(dtype)
    return levels


def _known_codes(origin: Origin, levels: Codes, table: np.ndarray) -> tuple[Levels, np.ndarray]:
    """Return the raw values that a function turns into the codes of a table: all there are.

    Where one half of them does what the other half does (negative codes that are counted from the
    end of the table), it is left out, as an Embedding has no levels for them either.

    Raises
    ------
    NotAffine
        If there are none, or no end of them.
    """
    offset = abs(int(origin.of(ZERO)[0]))
    reach = min(max(4 * levels.size, 1 << 12) + 2 * offset, EXACT // 4)
    raw = np.arange(-reach, reach + 1)
    place = levels.match(origin.of(raw))
    known = np.flatnonzero(place >= 0)
    if _meets_far_ones(origin, levels, reach) or (
        known.size and (known[0] == 0 or known[-1] == len(raw) - 1)
    ):
        raise NotAffine("turns any number of codes into one, so that they are no levels")
    half, odd = divmod(len(known), 2)
    if half and not odd and np.array_equal(place[known[:half]], place[known[half:]]):
        # Codes that fall as the raw ones rise are below zero in the upper half.
        falls = (np.diff(place[known[:half]]) < 0).all()
        known = known[:half] if half > 1 and falls else known[half:]
    if not known.size:
        raise NotAffine(NO_CODE)
    best = raw[known]
    own = levels if np.array_equal(best, np.arange(levels.size)) else None
    return own or Vocabulary(tuple(best.tolist()), buckets=0), table[place[known]]


def _meets_far_ones(origin: Origin, levels: Codes, reach: int) -> bool:
    """Tell whether a table takes codes of raw values far away, as far as they can be computed."""
    powers = 1 << np.arange(EXACT.bit_length() - 1)
    far = np.concatenate([-powers, powers, 1 - powers, powers - 1])
    far = far[np.abs(far) >= reach]
    while far.size:
        try:
            return bool((levels.match(origin.of(far)) >= 0).any())
        except NotAffine:
            far = far[np.abs(far) < np.abs(far).max()]
    return False


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
    if groups.shape[1] == 1:  # sorting rows of an array takes many times as long
        single, group = np.unique(within, return_inverse=True)
        return row[:, 0], group.reshape(-1), single[:, None]
    members, group = np.unique(within, axis=0, return_inverse=True)
    return row[:, 0], group.reshape(-1), members


def _indicators(tape: Tape, entry: int, members: np.ndarray, levels: Levels) -> Affine:
    """Return the indicators of an input's elements: the same ones where they are asked again."""
    tape.looked_up += 1
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
