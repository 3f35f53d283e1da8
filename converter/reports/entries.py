"""What a ledger holds of one model, read as a stranger's file is: no cell is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from converter.batches.ledger import Ledger
from converter.batches.work import FAILED, REGRESSION, REJECTED
from converter.errors import Finding

Row = dict[str, Any]

#: Verdicts on regressions, the worst last.
VERDICTS = ("", "optimum", "consistent", "close", "not at the optimum", "contradicted")
# Levels of JSON, and characters of it, that a cell may have.
_LONGEST = 1 << 20
_TEXT = {
    "model": (
        *("key", "status", "model", "data", "filter", "options", "labels", "sha256", "target"),
        *("data_sha256", "verdict", "link", "family", "loss", "format", "findings", "finished"),
    ),
    "regression": ("output", "family", "link", "verdict", "sentence"),
    "coefficient": ("output", "outcome", "term"),
    "caveat": ("output", "topic", "sentence"),
    "failure": ("kind", "sentence", "detail"),
}
_NUMBERS = {
    "model": ("run", "inputs", "outputs", "nobs", "dropped", "seconds"),
    "regression": (
        *("nobs", "df_model", "df_resid", "parameters", "r_squared", "adj_r_squared", "sigma"),
        *("pseudo_r_squared", "statistic", "p_value", "log_lik", "aic", "bic", "max_drift"),
        *("optimality_statistic", "optimality_p_value"),
    ),
    "coefficient": (
        *("coef", "bse", "statistic", "p", "low", "high", "optimum", "optimum_bse", "drift"),
    ),
    "caveat": (),
    "failure": (),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything that a ledger holds of one model.

    Parameters
    ----------
    key : str
    status : str
    model : dict
        Its row of the table ``model``.
    findings : list of Finding
    options, labels : dict
    regressions, coefficients, caveats : list of dict
    failure : dict or None
    """

    key: str
    status: str
    model: Row
    findings: list[Finding] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    regressions: list[Row] = field(default_factory=list)
    coefficients: list[Row] = field(default_factory=list)
    caveats: list[Row] = field(default_factory=list)
    failure: Row | None = None


class _Damaged(ValueError):
    """A cell holds what no ledger has."""


def entry_of(book: Ledger, model: Row) -> Entry:
    """Return what a ledger holds of a model; of a damaged record, that it is damaged.

    Parameters
    ----------
    book : Ledger
    model : dict
        A row of the table ``model``.
    """
    key = model["key"]
    try:
        _check("model", [model])
        if model["status"] not in (REGRESSION, REJECTED, FAILED):
            raise _Damaged("status")
        rows = {
            "regression": book.rows("regression", key, order="output"),
            "coefficient": book.rows("coefficient", key, order="rowid"),
            "caveat": book.rows("caveat", key, order="rowid"),
            "failure": book.rows("failure", key),
        }
        for table, several in rows.items():
            _check(table, several)
        if any((one["verdict"] or "") not in VERDICTS for one in rows["regression"]):
            raise _Damaged("verdict")
        return Entry(
            key,
            model["status"],
            model,
            _json(model, "findings", _findings, []),
            _json(model, "options", _mapping, {}),
            _json(model, "labels", _mapping, {}),
            rows["regression"],
            rows["coefficient"],
            rows["caveat"],
            rows["failure"][0] if rows["failure"] else None,
        )
    except _Damaged as error:
        return _damaged(model, str(error))


def _damaged(model: Row, column: str) -> Entry:
    """Return an entry that says which column of it holds what no ledger has."""
    key = model["key"]
    sentence = f"the ledger's record of it is damaged: {column} holds what no ledger has"
    blank = dict.fromkeys(model)
    shown = key if isinstance(key, str) else repr(key)
    path = model["model"] if isinstance(model["model"], str) else ""
    failure = {"kind": "ledger", "sentence": sentence, "detail": ""}
    return Entry(
        shown, FAILED, {**blank, "key": shown, "model": path, "status": FAILED}, failure=failure
    )


def _check(table: str, rows: Sequence[Row]) -> None:
    for row in rows:
        for name in _TEXT[table]:
            if row[name] is not None and not isinstance(row[name], str):
                raise _Damaged(name)
        for name in _NUMBERS[table]:
            if row[name] is not None and not isinstance(row[name], (int, float)):
                raise _Damaged(name)
    required = {"model": ("key", "status", "model"), "failure": ("sentence", "detail")}
    for row in rows:
        for name in required.get(table, ("output",)):
            if row[name] is None:
                raise _Damaged(name)


def _json(row: Row, name: str, shape: Callable[[Any], Any], empty: Any) -> Any:
    """Return a cell of JSON as what it should be."""
    text = row[name]
    if not text:
        return empty
    if len(text) > _LONGEST:
        raise _Damaged(name)
    try:
        return shape(json.loads(text))
    except (ValueError, RecursionError):
        raise _Damaged(name) from None


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _findings(value: Any) -> list[Finding]:
    names = ("node", "operation", "reason")
    if not isinstance(value, list) or any(
        not isinstance(one, dict) or any(not isinstance(one.get(n), str) for n in names)
        for one in value
    ):
        raise ValueError
    return [Finding(*(one[name] for name in names)) for one in value]


def responses_of(entry: Entry) -> list[str]:
    """Return the columns of the responses."""
    text = entry.model["target"] or "[]"
    try:
        found = json.loads(text) if len(text) <= _LONGEST else text
    except (ValueError, RecursionError):
        found = text
    if isinstance(found, dict):
        return [f"{key}: {value}" for key, value in found.items()]
    return list(map(str, found)) if isinstance(found, list) else [str(found)]
