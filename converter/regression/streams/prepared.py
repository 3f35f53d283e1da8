"""A regression on a table that is streamed: what is read of it, and what a first pass found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from converter.errors import DataError
from converter.regression.arguments import Request, check_covariance
from converter.regression.choice import Choice
from converter.regression.coding import coding_of, occurrences
from converter.regression.design import Columns, numbered, numbers_of, roles_of
from converter.regression.moments import Moments
from converter.regression.prepared import (
    Prepared,
    Regression,
    check_counts,
    check_response,
    classes_of,
    unscaled,
)
from converter.regression.response import Response
from converter.regression.robust import MEstimator
from converter.regression.streams.reading import OtherLabels, Reader, distinct
from converter.regression.streams.rows import Rows, Seen
from converter.regression.streams.sandwich import ALIKE, KINDS
from converter.regression.streams.sources import Source, Wanted, Watch
from converter.regression.tables import NotNumeric, plain_number, table_of

# Distinct labels of a response that are looked at.
_LABELS = 100_000


@dataclass(frozen=True)
class Draft:
    """A regression on a stream before its rows were read.

    Parameters
    ----------
    choice : Choice
    request : Request
        Whose data are a `Source`.
    reader : Reader
    chosen : list of str
        The table's columns in the model's order.
    """

    choice: Choice
    request: Request
    reader: Reader
    chosen: list[str]

    @property
    def source(self) -> Source:
        found = self.request.data
        assert isinstance(found, Source)
        return found


@dataclass(frozen=True)
class Streamed(Regression):
    """A regression and the state of its rows at the network's coefficients.

    Parameters
    ----------
    rows : Rows
    start : Seen
    """

    rows: Rows
    start: Seen

    @property
    def response(self) -> Response:
        return self.rows.response

    @property
    def moments(self) -> Moments:
        return self.start.moments

    @property
    def constant_columns(self) -> list[str]:
        level = (self.rows.lowest == self.rows.highest) & (self.rows.lowest != 0)
        return [name for name, same in zip(self.terms, level, strict=True) if same]

    def pearson(self, params: np.ndarray) -> tuple[float, float]:
        # At the optimum, or a last small step before it.
        chi2, variance = self.rows.last.state.pearson
        return float(chi2), float(variance)

    @property
    def held(self) -> Prepared:
        raise DataError(
            "outputs that share parameters are estimated together, which needs the rows in memory: "
            "give more of it (memory=, --memory), or convert without restricted"
        )


def draft(
    choice: Choice, request: Request, target: Any, others: Sequence[str], where: str | None = None
) -> Draft:
    """Find out which columns are what, by names and types.

    Parameters
    ----------
    choice : Choice
    request : Request
        Whose data are a `Source`.
    target : str
    others : sequence of str
        Columns that are the responses of other outputs, and those of groups.
    where : str, optional
        Which rows; see `converter.regression.where`.

    Raises
    ------
    DataError
        If a column is missing or not numeric, or what is asked needs the rows in memory.
    ValueError
        If an argument is not acceptable.
    """
    source = request.data
    # The columns without their rows: names and types are all that is looked at.
    table = table_of(source.schema.empty_table(), source.name)
    target = str(target)
    weights = request.weights
    classes = tuple(classes_of(choice))
    groups = tuple(groups_of(request.cov_kwds))
    for name in (target, *([weights] if weights is not None else []), *groups):
        table.check(name)
    chosen, _ = roles_of(choice.model, table, request.features, target, weights, others)
    plain = plain_number(table.columns[target])
    model = choice.model
    names = chosen
    if model.categorical:
        elements = dict(zip(model.columns, chosen, strict=True))
        names = [elements.get(one, "") for one in model.elements]
    elif request.base:
        raise DataError("base names a level of a category; this model has none")
    reader = Reader(
        source=source.name,
        target=target,
        weights=weights,
        groups=groups,
        names=tuple(names),
        has_constant=True,
        where=where,
        typed=source.typed,
        variables=tuple(model.variables) if model.categorical else (),
        classes=len(classes) if plain and classes == numbers_of(classes) else 0,
    )
    beside = [weights] if weights is not None else []
    for name in [*reader.regressors, *beside, *([] if classes else [target])]:
        try:
            table.numbers(name)
        except NotNumeric as error:
            raise _shown(source, name, where, error) from None
    return Draft(choice, request, reader, chosen)


def groups_of(cov_kwds: dict[str, Any] | None) -> list[str]:
    """Return the columns of groups.

    Raises
    ------
    ValueError
        If they are no names of columns.
    """
    given = (cov_kwds or {}).get("groups")
    if given is None:
        return []
    names = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(one, str) for one in names) or len(names) > 2:
        raise ValueError("groups of rows that are streamed name a column, or two")
    return names


def names_columns(request: Request, target: Any) -> bool:
    """Tell whether response, weights and groups are columns of the table."""
    given = [request.weights, *_targets(target)]
    groups = (request.cov_kwds or {}).get("groups")
    given += groups if isinstance(groups, (list, tuple)) else [groups]
    return all(map(_is_name, given))


def _is_name(given: Any) -> bool:
    return given is None or isinstance(given, (str, int, np.integer))


def _targets(target: Any) -> list[Any]:
    if isinstance(target, Mapping):
        return list(target.values())
    return list(target) if isinstance(target, (list, tuple)) else [target]


def check(choice: Choice, request: Request, target: Any) -> None:
    """Refuse what needs the rows in memory.

    Raises
    ------
    DataError
        If the regression, or its covariance, needs them.
    ValueError
        If response or weights are no names of columns.
    """
    likelihood = choice.likelihood
    check_covariance(likelihood.regression, request.cov_type)
    room = "give more memory (memory=, --memory), or a sample of them"
    if isinstance(likelihood, MEstimator):
        raise DataError(
            f"a {likelihood.name} regression needs its rows in memory, and these are streamed: "
            f"{room}"
        )
    if request.cov_type not in KINDS + (() if likelihood.scaled else ALIKE):
        raise DataError(
            f"the {request.cov_type} covariance needs the rows in memory, and these are streamed: "
            f"{room}; or ask for {', '.join(KINDS[:1] + KINDS[2:])}"
        )
    for name, given in (("target", _targets(target)), ("weights", [request.weights])):
        if not all(map(_is_name, given)):
            raise ValueError(f"{name} must name a column of a table whose rows are streamed")


def _shown(source: Source, name: str, where: str | None, error: NotNumeric) -> NotNumeric:
    """Return an error with a value that is no number, which is looked for in the rows."""
    row = 0
    for piece in source.tables(Wanted((name,), where)):
        found = NotNumeric(name, source.name, error.kind, piece[name], row)
        if found.found:
            return found
        row += len(piece)
    return error


def survey(drawn: Draft, watch: Watch) -> Streamed:
    """Read the rows for the first time, at the network's coefficients.

    Raises
    ------
    DataError
        If there are rows that cannot be used.
    """
    try:
        return _survey(drawn, watch)
    except OtherLabels:
        # The response is numbered otherwise: see how, and begin again.
        return _survey(replace(drawn, reader=replace(drawn.reader, classes=0)), watch)


def _survey(drawn: Draft, watch: Watch) -> Streamed:
    request, source, reader = drawn.request, drawn.source, drawn.reader
    drop = request.missing == "drop"
    if request.missing not in ("raise", "drop"):
        raise DataError(f"missing must be 'raise' or 'drop', not {request.missing!r}")
    classes, labels, passes = classes_of(drawn.choice), (), 0
    if classes and not reader.classes:
        passes += 1
        reader, labels = _labelled(drawn, classes, watch)
    coding = None
    model = drawn.choice.model
    if reader.variables:
        passes += 1
        counts = source.reduced(_Occurring(reader), reader.wanted, watch).counts
        if counts is None:
            raise DataError(f"{source.name}: no rows are left")
        coding = coding_of(model.variables, _names(model, drawn), counts, request.base, source.name)
        reader = replace(reader, coding=coding)
    names = drawn.chosen if coding is None else list(coding.terms)
    design = Columns(
        names=names, target=reader.target, coding=coding, labels=labels, columns=drawn.chosen
    )
    choice = drawn.choice
    folded = unscaled(choice, choice.model, request, design)
    coded = folded if coding is None else coding.identified(folded)
    has_constant = choice.equations(coded)[2]
    reader = replace(reader, has_constant=has_constant)
    bare = Regression(choice, request, design, folded, has_constant)
    robust = request.cov_type.startswith("HC")
    rows = Rows(source, reader, choice.likelihood, watch, robust, passes)
    start = rows.survey(bare.params, bare.terms, drop)
    if choice.likelihood.name == "poisson":
        check_counts(start.state.largest)
    check_response(choice, rows.response, reader.target, reader.weights is not None)
    design = replace(design, dropped=rows.tally.incomplete)
    return Streamed(choice, request, design, folded, has_constant, rows, start)


def _names(model: Any, drawn: Draft) -> list[str]:
    """Return what the table calls each element of the inputs; else the model's own name."""
    return [
        name or element for name, element in zip(drawn.reader.names, model.elements, strict=True)
    ]


def _labelled(drawn: Draft, classes: Sequence[str], watch: Watch) -> tuple[Reader, tuple[Any, ...]]:
    """Return the reader of a response in labels, and what they are."""
    reader = drawn.reader
    wanted = Wanted((reader.target,), reader.where)
    seen = drawn.source.reduced(_Distinct(reader.target), wanted, watch).values
    values = np.empty(len(seen), dtype=object)
    values[:] = list(seen)
    numbers, labels = numbered(values, classes, reader.target, reader.source)
    if not labels and all(isinstance(one, (bool, int, float)) for one in seen):
        return replace(reader, classes=0), ()
    return replace(reader, numbers=dict(zip(seen, numbers.tolist(), strict=True))), labels


@dataclass
class _Values:
    """Distinct values of a column, in the order in which they come."""

    values: dict[Any, None]

    def merge(self, other: _Values) -> _Values:
        self.values |= other.values
        return self


@dataclass(frozen=True)
class _Distinct:
    """Finds the distinct values of a column."""

    column: str

    def __call__(self, tables: Iterator[pa.Table]) -> _Values:
        found = _Values({})
        for table in tables:
            if len(found.values) <= _LABELS:
                found.values |= dict.fromkeys(distinct(table[self.column]))
        return found


@dataclass
class _Counts:
    """How often each level of each category occurs; None before any row."""

    counts: list[np.ndarray] | None

    def merge(self, other: _Counts) -> _Counts:
        if self.counts is None or other.counts is None:
            return other if self.counts is None else self
        return _Counts([a + b for a, b in zip(self.counts, other.counts, strict=True)])


@dataclass(frozen=True)
class _Occurring:
    """Counts the levels of categories in complete rows."""

    reader: Reader

    def __call__(self, tables: Iterator[pa.Table]) -> _Counts:
        found = _Counts(None)
        for table in tables:
            levels = self.reader.levels(table)
            found = found.merge(_Counts(occurrences(self.reader.variables, levels)))
        return found
