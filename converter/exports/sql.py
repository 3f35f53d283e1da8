"""A model as an SQL query: standard SQL, whose numbers are doubles and whose names are quoted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np

import converter
from converter.errors import printable
from converter.exports.layout import refuse_link
from converter.exports.lookups import Lookup, parts_of
from converter.exports.response import on_response
from converter.model import AffineModel

_LINKS = ("identity", "logit", "softmax", "log", "cloglog")
# Terms of the series of 1 - exp(-t), for t up to exp(_SMALL).
_TERMS, _SMALL = 13, -2.0
# From here on 1 - exp(-exp(x)) is one in double precision, long before exp(x) overflows, and so is
# 1 - exp(-2 x), which remains NaN where x is: in DuckDB that is above all numbers.
_LARGE = 30.0
# Terms of a sum, one behind the other.
_CHAIN = 100
# Classes that are compared with each other at a time.
_COMPARED = 8
_MAX = float(np.finfo(float).max)


def sql(model: AffineModel, *, table: str = "data", linear_predictor: bool = False) -> bytes:
    """Return a query: the model's outputs for each row, and behind them the table's columns.

    What a link is computed from is between them; the link may be one that the network left to its
    loss. A NULL, or a level that the network does not
    know, makes the row's outputs NULL. ``EXP`` is the only function that is called but for the
    rounding of codes (in SQLite it is one of the built-in mathematical functions).

    The table may have a column that is called as one of ours, for it may be anything, the
    response or an earlier query's result. Ours come first, and of two columns of one name DuckDB
    and SQLite take the first for it; other databases refuse the query.

    Parameters
    ----------
    model : AffineModel
    table : str
    linear_predictor : bool
        Leave out the link.

    Raises
    ------
    ValueError
        If SQL has no function for the link, a category cannot be told by comparisons, or names
        of columns differ in case alone.
    """
    model = on_response(model)
    link = "identity" if linear_predictor else model.link
    if not linear_predictor:
        refuse_link(
            model,
            "sql",
            _LINKS,
            "for which standard SQL has no function: linear_predictor=True (--linear-predictor) "
            "leaves it out",
        )
    head = f"-- {model.family} regression, link {model.link}; converter {converter.__version__}\n"
    query = _Query(model, table)
    names = query.named(model.output_names)
    changed = sum(a != b for a, b in zip(names, model.output_names, strict=True))
    if changed:
        head += "-- Outputs that are called as inputs are have a number behind their names.\n"
    etas = _linear_predictors(model, query.column)
    if link == "identity":
        query.select(etas, names)
    else:
        predictors = query.named([f"linear predictor {i + 1}" for i in range(len(etas))])
        query.step("linear", etas, predictors)
        query.select(_linked(query, model.groups, link, predictors), names)
    return f"{head}{query.text}\n".encode()


class _Query:
    """A query as it grows: steps, each of which adds columns before those of the one before."""

    def __init__(self, model: AffineModel, table: str) -> None:
        self.source = identifier(table)
        self.steps: list[str] = []
        self.text = ""
        self.sources = {table.casefold()}
        self.taken: dict[str, str] = {}
        for name in model.columns:
            other = self.taken.setdefault(name.casefold(), name)
            if other != name:
                raise ValueError(
                    f"sql: the columns {printable(other)!r} and {printable(name)!r} differ in case "
                    "alone, and databases hold them for one: rename one of them"
                )
        # Several steps are computed one by one: SQLite would write one out in the other, again
        # for each time that it is named.
        self.as_ = "AS MATERIALIZED" if model.link == "softmax" else "AS"

    def named(self, names: Sequence[str]) -> list[str]:
        """Return names that no other column that is known of has, whatever their case."""
        found = []
        for name in names:
            own, number_ = name, 1
            while own.casefold() in self.taken:
                own = f"{name}_{number_}"
                number_ += 1
            self.taken[own.casefold()] = own
            found.append(own)
        return found

    def column(self, name: str) -> str:
        """Return a column of the last step; without its table SQLite may take it for a string."""
        return f"{self.source}.{identifier(name)}"

    def select(self, values: Sequence[str], names: Sequence[str]) -> None:
        """End the query by these columns."""
        steps = ",\n".join(self.steps)
        self.text = f"{'WITH ' if steps else ''}{steps}{chr(10) if steps else ''}"
        self.text += self._select(values, names)

    def step(self, source: str, values: Sequence[str], names: Sequence[str]) -> None:
        """Add columns that the next ones are computed from."""
        name = source
        while name in self.sources:
            name += "_"
        self.sources.add(name)
        self.steps.append(f"{identifier(name)} {self.as_} (\n{self._select(values, names)}\n)")
        self.source = identifier(name)

    def _select(self, values: Sequence[str], names: Sequence[str]) -> str:
        columns = [f"{v} AS {identifier(name)}" for v, name in zip(values, names, strict=True)]
        listed = ",\n  ".join([*columns, f"{self.source}.*"])
        return f"SELECT\n  {listed}\nFROM {self.source}"


def _linear_predictors(model: AffineModel, quoted: Callable[[str], str]) -> list[str]:
    numbers, lookups = parts_of(model, "sql")
    found = []
    for row, coef in enumerate(model.coef):
        terms = [f"{number(coef[at])} * {_double(quoted(name))}" for name, at in numbers]
        terms += [_case(one, coef, quoted(one.column)) for one in lookups]
        if model.has_intercept[row]:
            terms.insert(0, number(model.intercept[row]))
        found.append(_sum(terms, "\n    "))
    return found


def _double(column: str) -> str:
    """Return a column as doubles, whatever kind of number or truth value it holds."""
    return f"CAST({column} AS DOUBLE PRECISION)"


def _case(one: Lookup, coef: np.ndarray, column: str) -> str:
    """Return the coefficient of a row's level."""
    lines = [
        f"WHEN {column} = {string(value) if isinstance(value, str) else value} "
        f"THEN {number(coef[at])}"
        for value, at in one.equal
    ]
    value = _double(column)
    for bound, included, at in one.below:
        then = f"THEN {number(coef[at])}"
        if np.isfinite(bound):
            lines.append(f"WHEN {value} {'<=' if included else '<'} {number(bound)} {then}")
            continue
        # In DuckDB NaN is above all numbers, infinity too, and equal to itself.
        lines.append(f"WHEN {value} <= {number(_MAX)} {then}")
        lines.append(f"WHEN EXP(-{value}) = 0E0 {then}")
    if one.other is not None:
        test = f"{column} IS NOT NULL" if one.text else f"{column} = ROUND({column})"
        if not one.text:
            low, high = one.limits or (number(-_MAX), number(_MAX))
            test += f" AND {column} BETWEEN {low} AND {high}"
        lines.append(f"WHEN {test} THEN {number(coef[one.other])}")
    return f"CASE {' '.join(lines)} ELSE NULL END"


def _linked(
    query: _Query, groups: Sequence[int], link: str, predictors: Sequence[str]
) -> list[str]:
    if link == "softmax":
        return _softmax(query, groups, predictors)
    write: dict[str, Callable[[str], str]] = {
        "logit": _expit,
        "log": lambda x: f"EXP({x})",
        "cloglog": _inverse_cloglog,
    }
    return [write[link](query.column(name)) for name in predictors]


def _expit(x: str) -> str:
    """Return the logistic function, no exponential of which overflows."""
    return f"CASE WHEN {x} >= 0E0 THEN 1E0 / (1E0 + EXP(-{x})) ELSE EXP({x}) / (1E0 + EXP({x})) END"


def _inverse_cloglog(x: str) -> str:
    """Return ``1 - exp(-exp(x))``, by its series where the difference would lose its digits."""
    t = f"EXP({x})"
    series = "1E0"
    for n in range(_TERMS, 1, -1):
        series = f"(1E0 - {t} / {n}E0 * {series})"
    return (
        f"CASE WHEN {x} > {number(_LARGE)} THEN 1E0 - EXP(-2E0 * {x}) WHEN {x} < {number(_SMALL)} "
        f"THEN {t} * {series} ELSE 1E0 - EXP(-{t}) END"
    )


def _softmax(query: _Query, groups: Sequence[int], predictors: Sequence[str]) -> list[str]:
    """Return probabilities: exponentials of distances from the largest, over their sum.

    Largest and sum are columns of their own; the text grows as the number of classes.
    """
    numbers = list(dict.fromkeys(groups))
    members = {
        one: [name for name, own in zip(predictors, groups, strict=True) if own == one]
        for one in numbers
    }
    largest, count = dict(members), 0
    while count == 0 or any(len(names) > 1 for names in largest.values()):
        values, added = [], []
        for one, names in largest.items():
            parts = [names[i : i + _COMPARED] for i in range(0, len(names), _COMPARED)]
            values += [_largest([query.column(name) for name in part]) for part in parts]
            largest[one] = query.named(
                [f"softmax maximum {count + i + 1}" for i in range(len(parts))]
            )
            count += len(parts)
            added += largest[one]
        query.step("maximum", values, added)

    def exponential(name: str, group: int) -> str:
        return f"EXP({query.column(name)} - {query.column(largest[group][0])})"

    sums = query.named([f"softmax sum {i + 1}" for i in range(len(numbers))])
    query.step("sum", [_sum([exponential(n, one) for n in members[one]]) for one in numbers], sums)
    total = {one: query.column(name) for one, name in zip(numbers, sums, strict=True)}
    return [
        f"{exponential(name, one)} / {total[one]}"
        for name, one in zip(predictors, groups, strict=True)
    ]


def _largest(values: Sequence[str]) -> str:
    if len(values) == 1:
        return values[0]
    lines = []
    for place, one in enumerate(values[:-1]):
        tests = " AND ".join(f"{one} >= {other}" for other in values[place + 1 :])
        lines.append(f"WHEN {tests} THEN {one}")
    return f"CASE {' '.join(lines)} ELSE {values[-1]} END"


def _sum(terms: Sequence[str], between: str = " ") -> str:
    """Return a sum; of many terms in parts, because databases bound the depth of an expression."""
    parts = list(terms)
    while len(parts) > _CHAIN:
        chunks = [parts[i : i + _CHAIN] for i in range(0, len(parts), _CHAIN)]
        parts = [f"({_sum(chunk, between)})" for chunk in chunks]
    found = parts[0] if parts else "0E0"
    for part in parts[1:]:
        minus = part.startswith("-")
        found += f"{between}- {part[1:]}" if minus else f"{between}+ {part}"
    return found


def number(value: float) -> str:
    """Return a double as a literal of that type, with the exponent that makes it one.

    In as few digits as lie well within half the distance to its neighbours: whoever reads it in
    a little more than double precision reads it back exactly.
    """
    value = float(value)
    room = Decimal(math.ulp(value)) * 9 / 20
    for digits in range(17):
        text = f"{value:.{digits}E}"
        if float(text) == value and abs(Decimal(text) - Decimal(value)) <= room:
            break
    mantissa, exponent = text.split("E")
    return f"{mantissa}E{int(exponent)}"


def identifier(name: str) -> str:
    """Return a name as SQL quotes it.

    Raises
    ------
    ValueError
        If it holds a character that no SQL text may.
    """
    return '"' + _checked(name).replace('"', '""') + '"'


def string(text: str) -> str:
    """Return text as SQL quotes it; see `identifier`."""
    return "'" + _checked(text).replace("'", "''") + "'"


def _checked(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"sql: the name {text!r} holds a null character, which ends an SQL text")
    return text
