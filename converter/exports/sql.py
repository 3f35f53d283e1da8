"""A model as an SQL query: standard SQL, whose numbers are doubles and whose names are quoted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np

import converter
from converter.exports.layout import fresh, refuse_link
from converter.exports.lookups import Lookup, parts_of
from converter.model import AffineModel

_LINKS = ("identity", "logit", "softmax", "log", "cloglog")
# Terms of the series of 1 - exp(-t), for t up to exp(_SMALL).
_TERMS, _SMALL = 13, -2.0
# exp(-exp(x)) is zero in double precision from here on, long before exp(x) overflows.
_LARGE = 30.0
# Terms of a sum, one behind the other.
_CHAIN = 100
# Logarithm of the largest ratio of probabilities.
_HUGE = 700.0


def sql(model: AffineModel, *, table: str = "data", linear_predictor: bool = False) -> bytes:
    """Return a query: the table's columns, and beside them the model's outputs for each row.

    Behind a link the linear predictors are columns too. A NULL, or a level that the network does
    not know, makes the row's outputs NULL. ``EXP`` is the only function that is called (in SQLite
    it is one of the built-in mathematical functions).

    Parameters
    ----------
    model : AffineModel
    table : str
    linear_predictor : bool
        Leave out the link.

    Raises
    ------
    ValueError
        If SQL has no function for the link, or a category cannot be told by comparisons.
    """
    link = "identity" if linear_predictor else model.link
    if not linear_predictor:
        refuse_link(
            model,
            "sql",
            _LINKS,
            "for which standard SQL has no function: linear_predictor=True (--linear-predictor) "
            "leaves it out",
        )
    etas = _linear_predictors(model)
    head = f"-- {model.family} regression, link {model.link}; converter {converter.__version__}\n"
    if link == "identity":
        query = _select("*", etas, model.output_names, identifier(table))
        return f"{head}{query}\n".encode()
    # Not case alone may tell them from columns of the table.
    taken = {name.lower() for name in (*model.columns, *model.output_names)}
    names = [fresh(f"linear predictor {i + 1}", taken) for i in range(len(etas))]
    inner = _select("*", etas, names, identifier(table), "  ")
    alias = identifier("linear")
    values = _linked(model, link, [f"{alias}.{identifier(name)}" for name in names])
    query = _select(f"{alias}.*", values, model.output_names, f"(\n{inner}\n) AS {alias}")
    return f"{head}{query}\n".encode()


def _select(
    everything: str, values: Sequence[str], names: Sequence[str], source: str, indent: str = ""
) -> str:
    columns = [f"{v} AS {identifier(name)}" for v, name in zip(values, names, strict=True)]
    listed = f",\n{indent}  ".join([everything, *columns])
    return f"{indent}SELECT\n{indent}  {listed}\n{indent}FROM {source}"


def _linear_predictors(model: AffineModel) -> list[str]:
    numbers, lookups = parts_of(model, "sql")
    found = []
    for row, coef in enumerate(model.coef):
        terms = [f"{number(coef[at])} * {identifier(name)}" for name, at in numbers]
        terms += [_case(one, coef) for one in lookups]
        if model.has_intercept[row]:
            terms.insert(0, number(model.intercept[row]))
        found.append(_sum(terms, "\n    "))
    return found


def _case(one: Lookup, coef: np.ndarray) -> str:
    """Return the coefficient of a row's level."""
    column = identifier(one.column)
    lines = [
        f"WHEN {column} = {string(value) if isinstance(value, str) else value} "
        f"THEN {number(coef[at])}"
        for value, at in one.equal
    ]
    for bound, included, at in one.below:
        known = f"{column} IS NOT NULL" if np.isinf(bound) else ""
        test = known or f"{column} {'<=' if included else '<'} {number(bound)}"
        lines.append(f"WHEN {test} THEN {number(coef[at])}")
    if one.other is not None:
        test = f"{column} IS NOT NULL" if one.text else f"{column} = ROUND({column})"
        if one.limits is not None:
            low, high = one.limits
            test += f" AND {column} BETWEEN {low} AND {high}"
        lines.append(f"WHEN {test} THEN {number(coef[one.other])}")
    return f"CASE {' '.join(lines)} ELSE NULL END"


def _linked(model: AffineModel, link: str, etas: list[str]) -> list[str]:
    if link == "softmax":
        return _softmax(model, etas)
    write: dict[str, Callable[[str], str]] = {
        "logit": _expit,
        "log": lambda x: f"EXP({x})",
        "cloglog": _inverse_cloglog,
    }
    return [write[link](eta) for eta in etas]


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
        f"CASE WHEN {x} > {number(_LARGE)} THEN 1E0 WHEN {x} < {number(_SMALL)} "
        f"THEN {t} * {series} ELSE 1E0 - EXP(-{t}) END"
    )


def _softmax(model: AffineModel, etas: list[str]) -> list[str]:
    """Return probabilities, each one over a sum of exponentials of differences from its own.

    Beyond exp(_HUGE) times as likely an other class is cut off: both are then zero to 300 places.
    """
    found = list(etas)
    for place, own in enumerate(etas):
        others = [i for i, one in enumerate(model.groups) if one == model.groups[place]]
        terms = []
        for other in others:
            apart = f"{etas[other]} - {own}"
            capped = f"CASE WHEN {apart} > {number(_HUGE)} THEN {number(_HUGE)} ELSE {apart} END"
            terms.append("1E0" if other == place else f"EXP({capped})")
        found[place] = f"1E0 / ({_sum(terms)})"
    return found


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
