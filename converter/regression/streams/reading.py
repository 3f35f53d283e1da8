"""From pieces of a table to blocks of numbers: regressors, response, weights, groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from converter.errors import DataError, printable
from converter.regression.coding import Coding, matched
from converter.regression.streams.sources import Wanted
from converter.regression.tables import Table, infinite, is_missing, table_of, ungrouped
from converter.variables import Variable


class OtherLabels(Exception):
    """The response is not in classes that are numbered from 0 on, as it was taken to be."""


@dataclass
class Tally:
    """Rows that were read, and what was wrong with some.

    Parameters
    ----------
    rows, incomplete : int
        Rows read, and those of them that lack a value or hold an infinite one.
    missing, infinite : Counter
        By column, how many values are missing or infinite.
    ungrouped : Counter
        By column of groups, how many are missing.
    """

    rows: int = 0
    incomplete: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    infinite: Counter[str] = field(default_factory=Counter)
    ungrouped: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Tally) -> None:
        self.rows += other.rows
        self.incomplete += other.incomplete
        self.missing.update(other.missing)
        self.infinite.update(other.infinite)
        self.ungrouped.update(other.ungrouped)

    def check(self, source: str, where: str | None, drop: bool) -> None:
        """Refuse what cannot be used.

        Parameters
        ----------
        source : str
        where : str or None
            Which rows were wanted.
        drop : bool
            Rows that cannot be used are left out.

        Raises
        ------
        DataError
            If values are infinite or missing and not to be left out, or no rows are left.
        """
        if not drop and self.infinite:
            raise infinite(source, self.infinite)
        if not drop and self.missing:
            counts = ", ".join(f"{printable(one, 60)} ({n})" for one, n in self.missing.items())
            raise DataError(
                f"{source}: {self.incomplete} of {self.rows} rows have missing values, in {counts};"
                " fill them in, or leave those rows out with missing='drop' (--missing drop)"
            )
        if not drop and self.ungrouped:
            name, count = next(iter(self.ungrouped.items()))
            raise ungrouped(f"the column {name!r} of groups", count, source)
        if not self.rows and where is not None:
            raise DataError(f"{source}: no row has {printable(where)}")
        if self.rows <= self.incomplete:
            raise DataError(f"{source}: no rows are left")


@dataclass(frozen=True)
class Block:
    """Some complete rows.

    Parameters
    ----------
    X : ndarray of float64, shape (n, p)
    y : ndarray of float64, shape (n,)
    weights : ndarray of float64, shape (n,), or None
    groups : list of (ndarray, ndarray)
        For each way of grouping some labels, and the place of each row's, shape (n,).
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    groups: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Reader:
    """How the rows of a regression are taken out of pieces of a table.

    Parameters
    ----------
    source : str
        What messages call the table.
    target : str
    weights : str or None
    groups : tuple of str
    names : tuple of str
        The columns of regressors that are numbers; with categories those of the inputs' elements,
        "" where the model does not use one.
    has_constant : bool
    where : str or None
    variables : tuple of Variable
        Of a model with categories.
    coding : Coding or None
        Of these; None before it is known.
    classes : int
        Of a response in classes that are numbered from 0 on, how many there are.
    numbers : mapping, or None
        Of a response in labels, the number of each.
    typed : bool
        Whether the table itself says what its columns hold.
    """

    source: str
    target: str
    weights: str | None
    groups: tuple[str, ...]
    names: tuple[str, ...]
    has_constant: bool
    where: str | None = None
    variables: tuple[Variable, ...] = ()
    coding: Coding | None = None
    classes: int = 0
    numbers: Mapping[Any, float] | None = None
    typed: bool = True

    @cached_property
    def coded(self) -> frozenset[int]:
        """The places among `names` of columns that hold codes, and no numbers."""
        categories = [one for one in self.variables if one.levels is not None]
        return frozenset(element for one in categories for element in one.elements)

    @property
    def regressors(self) -> list[str]:
        """The columns of regressors that are numbers."""
        return [n for place, n in enumerate(self.names) if n and place not in self.coded]

    @property
    def wanted(self) -> Wanted:
        """What is to be read of the table."""
        text = {self.names[e] for one in self.variables if one.text for e in one.elements}
        numbers = set(self.regressors)
        numbers |= {self.weights or ""} | ({self.target} if self.numbers is None else set())
        chosen = (*self.names, self.target, self.weights, *self.groups)
        return Wanted(
            tuple(dict.fromkeys(name for name in chosen if name)),
            self.where,
            frozenset(text | (set(self.groups) - numbers)),
            frozenset(numbers),
        )

    def block(self, piece: pa.Table, tally: Tally) -> Block:
        """Return the complete rows of a piece, and count the others.

        Raises
        ------
        DataError
            If a column does not hold numbers, a value is no level, or a weight is not positive.
        OtherLabels
            If the response is not in numbered classes.
        """
        if not self.variables and not self.groups and self.numbers is None:
            found = self._plain(piece)
            if found is not None:
                tally.rows += len(piece)
                return found
        columns, y, weights, groups, keep = self._taken(piece, tally)
        kept = int(keep.sum())
        chosen: Any = slice(None) if kept == len(piece) else keep
        if weights is not None:
            weights = weights[chosen]
            if not (weights > 0).all():
                raise DataError(f"{self.source}: weights must be positive")
        X = self._regressors(columns, chosen, kept)
        return Block(X, y[chosen], weights, [(labels, at[chosen]) for labels, at in groups])

    def _plain(self, piece: pa.Table) -> Block | None:
        """Return the rows of a piece of numbers; None if they need a closer look."""
        table = table_of(piece, self.source)
        y = table.numbers(self.target)
        weights = None if self.weights is None else table.numbers(self.weights)
        X = self._regressors([table.numbers(name) for name in self.names], slice(None), len(y))
        # A sum without NaN and infinities is neither, but for huge numbers.
        with np.errstate(over="ignore", invalid="ignore"):
            total = X.sum() + y.sum() + (0.0 if weights is None else weights.sum())
        if not np.isfinite(total) or (weights is not None and not (weights > 0).all()):
            return None
        self._check_codes(y)
        return Block(X, y, weights, [])

    def levels(self, piece: pa.Table) -> list[list[np.ndarray]]:
        """Return the numbers and levels of a piece's complete rows; see `matched`."""
        columns, *_, keep = self._taken(piece, Tally())
        return self._found(columns, keep)

    def _taken(self, piece: pa.Table, tally: Tally) -> tuple[Any, ...]:
        """Return regressors, response, weights, groups, and which rows are complete."""
        table = table_of(piece, self.source)
        keep = np.ones(len(piece), dtype=bool)
        used = self._columns(table, tally, keep)
        y = self._response(table, tally, keep)
        weights = None
        if self.weights is not None:
            weights = self._checked(table.numbers(self.weights), self.weights, tally, keep)
        groups = [self._grouped(piece[name], name, tally, keep) for name in self.groups]
        tally.rows += len(piece)
        tally.incomplete += len(piece) - int(keep.sum())
        return used, y, weights, groups, keep

    def _columns(self, table: Table, tally: Tally, keep: np.ndarray) -> list[Any]:
        """Return the regressors' columns: numbers, or codes as distinct values and their places."""
        found: list[Any] = []
        for place, name in enumerate(self.names):
            if not name:
                found.append(None)
            elif place in self.coded:
                values, at = _encoded(table.columns[name])
                gone = np.array([is_missing(one) for one in values], dtype=bool)
                empty = (at < 0) | gone[at] if len(gone) else at < 0
                _count(empty, name, tally.missing, keep)
                found.append((values, at))
            else:
                found.append(self._checked(table.numbers(name), name, tally, keep))
        return found

    def _found(self, columns: Sequence[Any], chosen: Any) -> list[list[np.ndarray]]:
        """Return the numbers and levels of the chosen rows; see `matched`."""
        used, places = [], {}
        for place, (name, column) in enumerate(zip(self.names, columns, strict=True)):
            if isinstance(column, tuple):
                values, at = column
                distinct, places[place] = np.unique(at[chosen], return_inverse=True)
                used.append((name, values[distinct]))
            else:
                used.append((name, None if column is None else column[chosen]))
        found = matched(self.variables, used, self.source, numbered=False)
        return [
            [
                levels[places[element]] if element in places else levels
                for element, levels in zip(one.elements, each, strict=True)
            ]
            for one, each in zip(self.variables, found, strict=True)
        ]

    def _regressors(self, columns: Sequence[Any], chosen: Any, count: int) -> np.ndarray:
        first = int(self.has_constant)
        if self.coding is not None:
            coded = self.coding.regressors(self.variables, self._found(columns, chosen))
            X = np.empty((count, first + coded.shape[1]), order="F")
            X[:, first:] = coded
        else:
            X = np.empty((count, first + len(columns)), order="F")
            for place, column in enumerate(columns, first):
                X[:, place] = column[chosen]
        X[:, :first] = 1.0
        return X

    def _response(self, table: Table, tally: Tally, keep: np.ndarray) -> np.ndarray:
        if self.numbers is not None:
            values, at = _encoded(table.columns[self.target])
            numbers = np.array(
                [*(np.nan if is_missing(one) else self.numbers[one] for one in values), np.nan]
            )
            y = numbers[at]
            _count(np.isnan(y), self.target, tally.missing, keep)
            return y
        y = self._checked(table.numbers(self.target), self.target, tally, keep)
        self._check_codes(y[~np.isnan(y)])
        return y

    def _check_codes(self, y: np.ndarray) -> None:
        if self.classes and not ((y == np.rint(y)) & (y >= 0) & (y < self.classes)).all():
            raise OtherLabels

    def _checked(self, values: np.ndarray, name: str, tally: Tally, keep: np.ndarray) -> np.ndarray:
        # The sum of a column without NaN and infinities is neither, but for huge numbers.
        with np.errstate(over="ignore", invalid="ignore"):
            total = values.sum()
        if not np.isfinite(total):
            _count(np.isnan(values), name, tally.missing, keep)
            _count(np.isinf(values), name, tally.infinite, keep)
        return values

    def _grouped(
        self, column: Any, name: str, tally: Tally, keep: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return labels of groups, and the place of each row's."""
        values, at = _encoded(column)
        for place, value in enumerate(values.tolist()):
            values[place] = self._label(value)
        gone = np.array([*map(is_missing, values), True], dtype=bool)
        _count(gone[at], name, tally.ungrouped, keep)
        return values, at

    def _label(self, value: Any) -> Any:
        """Return the label of a group; digits in text that does not say what it is are numbers."""
        if self.typed or not isinstance(value, str):
            return value
        try:
            return int(value)
        except ValueError:
            return value


def _count(bad: np.ndarray, name: str, into: Counter[str], keep: np.ndarray) -> None:
    count = int(bad.sum())
    if count:
        into[name] += count
        keep &= ~bad


def _encoded(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a column, and the place of each row's; -1 where it is null."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_dictionary(column.type):
        try:
            column = column.dictionary_encode()
        except pa.ArrowNotImplementedError:
            raise DataError(
                f"values of type {column.type} tell no groups or classes apart; give numbers or "
                "words"
            ) from None
    listed_ = column.dictionary.to_pylist()
    values = np.empty(len(listed_), dtype=object)
    values[:] = listed_
    return values, column.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def distinct(column: Any) -> list[Any]:
    """Return the distinct values of a column that are not missing."""
    return [one for one in _encoded(column)[0].tolist() if not is_missing(one)]
