"""Categories in languages that compare a column with constants: which comparison is which level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converter.errors import printable
from converter.levels import EXACT, OTHER, Bins, Codes, Vocabulary
from converter.model import AffineModel
from converter.variables import Variable

_INT32 = 2**31 - 1
# Types that hold whole numbers up to EXACT without rounding them.
_WIDE = frozenset({"float32", "float64", "int32"})


@dataclass(frozen=True, slots=True)
class Lookup:
    """A category as a chain of comparisons of one column.

    Parameters
    ----------
    column : str
    text : bool
        Whether the constants are words.
    equal : list of (str or int, int)
        Constants, and the column of coefficients of each.
    below : list of (float, bool, int)
        Of bins, from the lowest: an upper bound, whether it is included, and the column of
        coefficients; the last has the bound infinity.
    other : int or None
        The column of coefficients of any other word or whole number.
    limits : tuple of int, or None
        Between which whole numbers these lie, if not any is one.
    """

    column: str
    text: bool
    equal: list[tuple[str | int, int]]
    below: list[tuple[float, bool, int]]
    other: int | None = None
    limits: tuple[int, int] | None = None


def parts_of(model: AffineModel, format_name: str) -> tuple[list[tuple[str, int]], list[Lookup]]:
    """Return the numbers among a model's columns, and its categories.

    Returns
    -------
    numbers : list of (str, int)
        Name, and column of coefficients.
    lookups : list of Lookup

    Raises
    ------
    ValueError
        If a category cannot be told by comparisons, or not exactly.
    """
    if not model.variables:
        return [(name, place) for place, name in enumerate(model.feature_names)], []
    names, numbers, lookups, start = model.elements, [], [], 0
    for one in model.variables:
        if one.levels is None:
            numbers.append((names[one.elements[0]], start))
        else:
            lookups.append(_lookup(one, names[one.elements[0]], start, format_name))
        start += one.width
    return numbers, lookups


def _lookup(one: Variable, column: str, start: int, format_name: str) -> Lookup:
    levels, shown = one.levels, printable(one.name, 60)

    def refusal(why: str) -> ValueError:
        return ValueError(f"{format_name}: the category {shown!r} {why}")

    if not one.exhaustive:
        raise refusal("is a set of levels, of which a row may have several")
    if isinstance(levels, Bins):
        return Lookup(column, False, [], _bounds(levels, start, refusal))
    text = isinstance(levels, Vocabulary) and levels.text
    if not text and not _WIDE.issuperset(levels.types if levels is not None else ()):
        raise refusal("is held in a type that rounds whole numbers")
    if isinstance(levels, Codes):
        if levels.size > EXACT:
            raise refusal("has more codes than single precision tells apart")
        return Lookup(column, False, [(code, start + code) for code in range(levels.size)], [])
    if not isinstance(levels, Vocabulary) or levels.buckets > 1:
        raise refusal("is told by a hash function, which only the network has")
    tokens = [(token, start + levels.start + i) for i, token in enumerate(levels.tokens)]
    if levels.mask is not None:
        tokens.insert(0, (levels.mask, start))
    if not text and any(abs(token) > EXACT for token, _ in tokens):
        raise refusal("has codes beyond those that single precision tells apart")
    other = start + int(levels.mask is not None) if levels.buckets else None
    limits = (-EXACT, EXACT) if levels.unknown == OTHER else None
    if limits is None and "int32" in levels.types:
        limits = (-_INT32, _INT32)
    return Lookup(column, text, [(_token(one), at) for one, at in tokens], [], other, limits)


def _token(token: str | bytes | int) -> str | int:
    return token.decode("utf-8", "surrogateescape") if isinstance(token, bytes) else token


def _bounds(
    levels: Bins, start: int, refusal: Callable[[str], ValueError]
) -> list[tuple[float, bool, int]]:
    """Return the bounds of bins for numbers as they are, before any type rounds them.

    A number is rounded to the nearest of single precision and then compared with a boundary that
    is one: it is below where it is below the middle between that and its neighbour, and on the
    middle if it is rounded to the even one of both.
    """
    if not set(levels.types) <= {"float32", "float64"}:
        raise refusal("is held in a type that rounds numbers")
    found = []
    for place, boundary in enumerate(levels.boundaries):
        bound, included = float(boundary), False
        if "float32" in levels.types:
            single = np.float32(boundary)
            if float(single) != bound:
                raise refusal("has bounds in another precision")
            lower = np.nextafter(single, np.float32(-np.inf))
            bound = (float(lower) + float(single)) / 2.0
            included = bool(single.view(np.uint32) & 1)
        found.append((bound, included, start + place))
    found.append((float("inf"), True, start + len(levels.boundaries)))
    return found
