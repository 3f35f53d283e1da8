"""From the columns of a sweep to variables: numbers, and categories with one column a level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import printable
from converter.levels import Levels
from converter.tracing.codes import Indicators


def doubles(values: Any, names: Sequence[str]) -> np.ndarray:
    """Return numbers as float64.

    Parameters
    ----------
    values : array-like
    names : sequence of str
        Of the elements of one row.

    Raises
    ------
    ValueError
        If one is no number, naming where it stands.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        cells = np.asarray(values, dtype=object)
        rows = cells.reshape(len(cells), -1) if cells.ndim else cells.reshape(1, 1)
        for row, cell in enumerate(rows):
            for place, value in enumerate(cell):
                if not _is_number(value):
                    name = names[place] if len(cell) == len(names) else f"column {place + 1}"
                    shown = printable(str(value), 60)
                    raise ValueError(
                        f"{name!r} holds {shown!r} in row {row + 1}, which is no number"
                    ) from None
        raise


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Variable:
    """One regressor, or the indicators of one category.

    Parameters
    ----------
    name : str
        Of the input's element: ``x[3]``, or the bare ``city`` where there is only one.
    elements : tuple of int
        Places among the flattened inputs, one behind the other. Several for the indicators of a
        set: 1 where any element has the level.
    levels : Levels or None
        None for a number.
    number : int
        Counts the ways in which one element is looked up, where there are several.
    text : bool
        Whether the input holds text.
    """

    name: str
    elements: tuple[int, ...]
    levels: Levels | None = None
    number: int = 1
    text: bool = False

    @property
    def width(self) -> int:
        """Columns of coefficients."""
        return 1 if self.levels is None else self.levels.count

    @property
    def exhaustive(self) -> bool:
        """Whether each row has exactly one of the levels."""
        return self.levels is not None and len(self.elements) == 1

    def term(self, label: str, name: str | None = None) -> str:
        """Return the name of a level's indicator, ``C(name)[level]``."""
        shown = self.name if name is None else name
        return f"C({shown}{'' if self.number == 1 else f', {self.number}'})[{label}]"

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of its columns."""
        if self.levels is None:
            return (self.name,)
        return tuple(map(self.term, self.levels.labels))

    def columns(self, raw: np.ndarray) -> np.ndarray:
        """Return its columns for some rows.

        Parameters
        ----------
        raw : ndarray, shape (n, elements of all inputs)

        Returns
        -------
        ndarray of float64, shape (n, width)

        Raises
        ------
        ValueError
            If a value has no level.
        """
        if self.levels is None:
            return doubles(raw[:, self.elements], [self.name])
        result = np.zeros((len(raw), self.width))
        for element in self.elements:
            result[np.arange(len(raw)), self.matched(raw[:, element])] = 1.0
        return result

    def matched(self, values: np.ndarray, numbered: bool = True) -> np.ndarray:
        """Return the level of each value.

        Parameters
        ----------
        values : ndarray, shape (n,)
        numbered : bool
            Whether the places of values are those of rows, for messages.

        Raises
        ------
        ValueError
            If one has none.
        """
        assert self.levels is not None
        place = self.levels.match(values)
        if (place < 0).any():
            row = int(np.argmax(place < 0))
            value = values[row]
            shown = printable(str(value), 60)
            found = f"{self.name!r} holds {shown!r}" + f" in row {row + 1}" * numbered
            if isinstance(value, (str, bytes)) and not self.text:
                raise ValueError(f"{found}, which is text; the network looks up numbers here")
            if self.text and not isinstance(value, (str, bytes)):
                kind = "is missing" if value is None or value != value else "is a number"
                raise ValueError(f"{found}, which {kind}; the network looks up words here")
            raise ValueError(
                f"{found}, which the network does not know (it has {_some(self.levels)})"
            )
        return place


def _some(levels: Levels, shown: int = 6) -> str:
    labels = levels.labels
    rest = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return ", ".join(labels[:shown]) + rest


@dataclass(slots=True)
class _Category:
    """Lookups of one element that can share their levels.

    Of each part, which of its levels each shared one is, and its columns.
    """

    levels: Levels
    parts: list[tuple[np.ndarray, slice]]


def merge(
    coef: np.ndarray,
    names: Sequence[Sequence[str]],
    text: Sequence[bool],
    indicators: Sequence[Indicators],
) -> tuple[np.ndarray, tuple[Variable, ...]]:
    """Bring the coefficients of inputs and of their indicators into the order of the inputs.

    Where an element was looked up in several ways, they share levels that tell apart what
    each of them does. Where a code was used as a number too, that number is its level's.

    Parameters
    ----------
    coef : ndarray of float64, shape (outputs, elements + indicators)
        First the elements of all inputs, then the indicators.
    names : sequence of sequence of str
        Of each input's elements.
    text : sequence of bool
        Which inputs hold no numbers.
    indicators : sequence of Indicators

    Returns
    -------
    coef : ndarray of float64, shape (outputs, terms)
    variables : tuple of Variable
    """
    starts = np.cumsum([0, *map(len, names)])
    single: dict[tuple[int, int], list[_Category]] = {}
    several: dict[tuple[int, int], list[tuple[Levels, np.ndarray, slice]]] = {}
    members: set[tuple[int, int]] = set()  # elements of sets
    column = int(starts[-1])
    for one in indicators:
        for group in one.elements:
            columns = slice(column, column + one.levels.count)
            column += one.levels.count
            key = (one.input, int(group[0]))
            if len(group) > 1:
                several.setdefault(key, []).append((one.levels, group, columns))
                members.update((one.input, int(element)) for element in group)
            else:
                _add(single.setdefault(key, []), one.levels, columns)
    blocks: list[np.ndarray] = []
    variables: list[Variable] = []
    for place, own in enumerate(names):
        for element, name in enumerate(own):
            at = int(starts[place]) + element
            number = coef[:, at : at + 1]
            categories = single.get((place, element), [])
            coded = _coded(coef, categories)
            used = bool(number.any())
            if used and categories and categories[0].levels.numbers is not None:
                coded[0] = coded[0] + number * categories[0].levels.numbers
                used = False
            if not text[place] and (used or not (categories or (place, element) in members)):
                blocks.append(number)
                variables.append(Variable(name, (at,)))
            for count, (category, values) in enumerate(zip(categories, coded, strict=True), 1):
                blocks.append(values)
                variables.append(Variable(name, (at,), category.levels, count, text[place]))
            for levels, group, columns in several.get((place, element), []):
                blocks.append(coef[:, columns])
                found = _set(levels, group, own, int(starts[place]))
                variables.append(replace(found, text=text[place]))
    return np.concatenate([np.zeros((len(coef), 0)), *blocks], axis=1), tuple(variables)


def _set(levels: Levels, members: np.ndarray, names: Sequence[str], start: int) -> Variable:
    stem = names[0].split("[")[0]
    if len(members) != len(names):
        stem += f"[{','.join(map(str, members))}]"
    return Variable(stem, tuple(int(start + member) for member in members), levels)


def _add(categories: list[_Category], levels: Levels, columns: slice) -> None:
    for category in categories:
        joined = category.levels.joined(levels)
        if joined is not None:
            category.levels, before, own = joined
            category.parts = [(known[before], place) for known, place in category.parts]
            category.parts.append((own, columns))
            return
    categories.append(_Category(levels, [(np.arange(levels.count), columns)]))


def _coded(coef: np.ndarray, categories: list[_Category]) -> list[np.ndarray]:
    return [
        sum(
            (coef[:, columns][:, own] for own, columns in category.parts),
            start=np.zeros((len(coef), category.levels.count)),
        )
        for category in categories
    ]


def element_names(name: str, shape: tuple[int, ...]) -> list[str]:
    """Return a name for each element of an array: the bare name if there is only one."""
    if math.prod(shape) == 1:
        return [name]
    return [f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]
