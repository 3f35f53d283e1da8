"""Fit a table to a model: which column is which input, and what to do with missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converter.errors import DataError, printable
from converter.model import AffineModel, names_its_inputs
from converter.regression.arguments import Request
from converter.regression.coding import Coding, code
from converter.regression.tables import Table, infinite, is_missing, label_of, listed, load


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a regression calls its columns.

    Parameters
    ----------
    names : list of str
        The regressors, as the table calls them; ``C(column)[level]`` for indicators.
    target : str
    dropped : int
        Rows left out for missing values.
    coding : Coding or None
        How categories were coded, where there are any.
    labels : tuple
        Of a response in classes: the label of each class that `y` numbers; empty where the
        table holds these numbers themselves.
    columns : list of str
        The table's column for each of the model's `columns`.
    """

    names: list[str]
    target: str
    dropped: int = 0
    coding: Coding | None = None
    labels: tuple[Any, ...] = ()
    columns: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> list[str]:
        """The names of the regressors that are numbers."""
        if self.coding is None:
            return self.names
        return [name for name, other in zip(self.names, self.coding.number, strict=True) if other]


@dataclass(frozen=True, kw_only=True)
class Design(Columns):
    """Response and regressors, complete and numeric.

    Parameters
    ----------
    full : ndarray of float64, shape (n, 1 + p)
        A column of ones, and the regressors in the order of the model's inputs; of categories
        the indicators of all levels that occur, but for the base. By columns, as BLAS likes it.
    y : ndarray of float64, shape (n,)
    weights : ndarray of float64, shape (n,), or None
    kept : ndarray of bool, shape (rows of the table,), or None
        The rows used; None if all were.
    index : object
        Labels of the rows used: a pandas Index, or the places in the table; None if these are
        all of a table without labels.
    """

    full: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    kept: np.ndarray | None = None
    index: Any = None

    def exog(self, has_constant: bool) -> np.ndarray:
        """Return the regressors, with the column of ones or without."""
        return self.full if has_constant else self.full[:, 1:]


def design_of(
    model: AffineModel,
    request: Request,
    target: Any,
    classes: Sequence[str] = (),
    others: Sequence[str] = (),
) -> Design:
    """Take regressors, response and weights out of a table.

    Parameters
    ----------
    classes : sequence of str
        Of a response in classes, what the network calls them; empty if it is a number.
    others : sequence of str
        Columns that are the responses of other outputs.
    model, target
        As for `converter.convert`.
    request : Request
        The rest of what was given there.

    Raises
    ------
    DataError
        If columns are missing, too many, not numeric, or have missing or infinite values.
    """
    table, weights, base = load(request.data), request.weights, request.base
    y, target_name = _column(table, target, "target", "y", classes)
    labels: tuple[Any, ...] = ()
    if classes:
        y, labels = numbered(y, classes, target_name or "y", table.source)
    w, weights_name = (None, None) if weights is None else _column(table, weights, "weights", "")
    chosen, names = roles_of(model, table, request.features, target_name, weights_name, others)
    elements = names
    used = read(model, table, chosen, names)
    used[target_name or "y"] = y
    if w is not None:
        used[weights_name or "weights"] = w
    keep = _complete(used, table, request.missing)
    if request.complete is not None:
        keep = request.complete if keep is None else keep & request.complete
    if keep is not None:
        used = {name: values[keep] for name, values in used.items()}
        y = y[keep]
        w = None if w is None else w[keep]
    if not len(y):
        raise DataError(f"{table.source}: no rows are left")
    if w is not None and not (w > 0).all():
        raise DataError(f"{table.source}: weights must be positive")
    coding = None
    if model.categorical:
        called = dict(zip(model.columns, names, strict=True))
        columns = [(called.get(n, n), used.get(called.get(n, ""))) for n in model.elements]
        X, coding = code(model.variables, columns, base, table.source)
        names, regressors = list(coding.terms), list(X.T)
    else:
        if base:
            raise DataError("base names a level of a category; this model has none")
        regressors = [used[name] for name in names]
    full = np.empty((len(y), 1 + len(regressors)), order="F")
    full[:, 0] = 1.0
    for place, column in enumerate(regressors, 1):
        full[:, place] = column
    dropped, index = table.rows - len(y), table.index
    if keep is not None:
        index = np.flatnonzero(keep) if index is None else index[keep]
    return Design(
        names=names,
        target=target_name or "y",
        dropped=dropped,
        coding=coding,
        labels=labels,
        columns=elements,
        full=full,
        y=y,
        weights=w,
        kept=keep,
        index=index,
    )


def roles_of(
    model: AffineModel,
    table: Table,
    features: Sequence[str] | Mapping[str, str] | None,
    target: str | None,
    weights: str | None,
    others: Sequence[str],
) -> tuple[list[str], list[str]]:
    """Return the table's column for each of the model's, and what it is called.

    Parameters
    ----------
    model : AffineModel
    table : Table
    features
        As for `converter.convert`.
    target, weights : str or None
        The columns of response and weights, where they are columns of the table.
    others : sequence of str
        The columns of other responses, and of groups.

    Raises
    ------
    DataError
        If columns are missing, too many, or given twice.
    """
    if weights is not None and weights == target:
        raise DataError(f"{table.source}: {weights!r} is the target, and given as weights")
    taken = {name for name in (target, weights, *others) if name is not None}
    free = [name for name in table.names if name not in taken]
    apart = [f"the weights {weights}"] if weights is not None else []
    apart += [printable(name, 60) for name in others]
    beside = " and ".join(["the target", *apart])
    chosen = _features(model, table, free, features, beside)
    for name in (target, *others):
        if name in chosen:
            raise DataError(f"the target {name!r} is among the features")
    return chosen, chosen if table.named else list(model.columns)


def numbered(
    values: np.ndarray, classes: Sequence[str], name: str, source: str
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Return classes as numbers from 0 on, missing ones as NaN, and what each number stands for.

    Numbers from 0 to K - 1 are those of the network's units; labels that the network has names
    for are matched by name; others stand in their sorted order, as statsmodels and scikit-learn
    number them.
    """
    if values.dtype.kind == "f":
        return values, ()
    distinct = {one for one in values.tolist() if not is_missing(one)}
    count, numbered = len(classes), numbers_of(classes)
    names = {one: label_of(one) for one in distinct}
    numeric = all(isinstance(one, (bool, int, float)) for one in distinct)
    if numeric and classes == numbered and distinct <= set(range(count)):
        return np.array([np.nan if is_missing(v) else float(v) for v in values]), ()
    shown = listed(sorted(names.values()))
    if set(names.values()) <= set(classes):
        labels = [None if is_missing(v) else names[v] for v in values.tolist()]
        return _placed(labels, list(classes))
    if count == 2 and numeric and len(distinct) != 2:
        return np.array([np.nan if is_missing(v) else float(v) for v in values]), ()
    if len(distinct) != count or len({type(one) for one in distinct}) > 1:
        raise DataError(
            f"{source}: the target {printable(name)!r} holds {len(distinct)} classes ({shown}); "
            f"the network has {count} ({listed(list(classes))})"
        )
    return _placed(values.tolist(), sorted(distinct))


def numbers_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes that are called by their numbers."""
    return tuple(map(str, range(len(classes))))


def _placed(values: Sequence[Any], labels: list[Any]) -> tuple[np.ndarray, tuple[Any, ...]]:
    place = {label: number for number, label in enumerate(labels)}
    numbers = [np.nan if is_missing(value) else place[value] for value in values]
    return np.array(numbers, dtype=np.float64), tuple(labels)


def read(
    model: AffineModel, table: Table, chosen: list[str], names: list[str]
) -> dict[str, np.ndarray]:
    """Return the columns of a table as the model wants them: numbers, or codes as they are."""
    place = {name: element for element, name in enumerate(model.elements)}
    numbers = {e for one in model.variables if one.levels is None for e in one.elements}
    text = {e for one in model.variables if one.text for e in one.elements}
    used = {}
    for column, name, element in zip(chosen, names, model.columns, strict=True):
        at = place[element]
        coded = model.categorical and at not in numbers
        used[name] = table.values(column, at in text) if coded else table.numbers(column)
    return used


def _column(
    table: Table, given: Any, role: str, default: str, classes: Sequence[str] = ()
) -> tuple[np.ndarray, str | None]:
    """Return a column given by name, by place (of an array), or as values of its own.

    Numbers, or of a response in classes that are not numbered as these are, values as they are.
    """

    def read(source: Table, name: str) -> np.ndarray:
        if not classes:
            return source.numbers(name)
        codes = source.codes(name, len(classes)) if classes == numbers_of(classes) else None
        return source.values(name) if codes is None else codes

    if isinstance(given, (int, np.integer)) and table.named and str(given) in table.names:
        given = str(given)  # a column that is called by a number
    if isinstance(given, str):
        return read(table, given), given
    if isinstance(given, (int, np.integer)) and not table.named:
        if not -len(table.names) <= given < len(table.names):
            raise DataError(f"the array has {len(table.names)} columns; there is no {given}")
        name = table.names[given]
        return read(table, name), name
    own = getattr(given, "name", None)
    if np.size(given) != table.rows:
        if isinstance(given, (list, tuple)) and all(isinstance(one, str) for one in given):
            raise DataError(
                f"{len(given)} columns are given as the {role}; one output has one column"
            )
        raise DataError(f"the {role} has {np.size(given)} values; the table has {table.rows} rows")
    equals = getattr(getattr(given, "index", None), "equals", None)
    if table.index is not None and equals is not None and not equals(table.index):
        raise DataError(
            f"the {role} is a Series whose index differs from the DataFrame's; align them first"
        )
    values = read(load({"values": np.asarray(given).reshape(-1)}), "values")
    # A Series has a name; if the table has it too, that column is no regressor.
    return values, own if isinstance(own, str) and own else None


def _features(
    model: AffineModel,
    table: Table,
    others: list[str],
    features: Sequence[str] | Mapping[str, str] | None,
    beside: str,
) -> list[str]:
    """Return the column for each coefficient, in the model's order."""
    wanted = list(model.columns)
    if isinstance(features, str):
        raise DataError("features must be a list of columns, not one name")
    if isinstance(features, Mapping):
        unknown = [name for name in features if name not in wanted]
        lacking = [name for name in wanted if name not in features]
        if unknown or lacking:
            raise DataError(
                f"features must name a column for each input of the model ({listed(wanted)})"
            )
        return [features[name] for name in wanted]
    if features is not None:
        chosen = [str(name) for name in features]
        if len(chosen) != len(wanted):
            raise DataError(
                f"features lists {len(chosen)} columns; the model has {len(wanted)} inputs: "
                f"{listed(wanted)}"
            )
        if len(set(chosen)) < len(chosen):
            raise DataError("features lists a column twice")
        if set(chosen) == set(wanted):
            return wanted  # the names say which is which, whatever their order
        return chosen
    if table.named:
        lacking = [name for name in wanted if name not in others]
        if not lacking:
            return wanted
        taken = [name for name in lacking if name in table.names]
        if taken:
            raise DataError(
                f"{table.source}: the column {taken[0]!r} is an input of the model, and given as "
                f"{beside}"
            )
        if names_its_inputs(model.inputs):
            raise DataError(
                f"{table.source}: the model names its inputs, and the table has no column "
                f"{listed(lacking)}. The model wants {listed(wanted)}; the table has "
                f"{listed(others)}. Rename the columns, or give features= (--features)"
            )
    if len(others) != len(wanted):
        text = [] if model.categorical else [n for n in others if not table.numeric(n)]
        hint = f" (not numeric: {listed(text)})" if text else ""
        raise DataError(
            f"{table.source}: the model has {len(wanted)} inputs ({listed(wanted)}); the table has "
            f"{len(others)} columns beside {beside}: {listed(others)}{hint}. Choose the columns "
            "in the model's order with features= (--features A,B,C)"
        )
    return others


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "O":
        return np.array([is_missing(value) for value in values], dtype=bool)
    return np.isnan(values)


def _complete(used: dict[str, np.ndarray], table: Table, missing: str) -> np.ndarray | None:
    if missing not in ("raise", "drop"):
        raise DataError(f"missing must be 'raise' or 'drop', not {missing!r}")
    # The sum of squares of a column without NaN and infinities is neither, but for huge numbers.
    with np.errstate(over="ignore", invalid="ignore"):
        used = {
            name: v for name, v in used.items() if v.dtype.kind != "f" or not np.isfinite(v @ v)
        }
    endless = {name: np.isinf(v) for name, v in used.items() if v.dtype.kind == "f"}
    beyond = {name: int(one.sum()) for name, one in endless.items() if one.any()}
    if beyond and missing != "drop":
        raise infinite(table.source, beyond)
    empty = {name: _missing(values) for name, values in used.items()}
    holes = {name: int(one.sum()) for name, one in empty.items()}
    if not any(holes.values()) and not beyond:
        return None
    keep = ~np.any([*empty.values(), *endless.values()], axis=0)
    if missing == "drop":
        return keep
    where = ", ".join(f"{printable(name, 60)} ({count})" for name, count in holes.items() if count)
    raise DataError(
        f"{table.source}: {int((~keep).sum())} of {table.rows} rows have missing values, in "
        f"{where}; fill them in, or leave those rows out with missing='drop' (--missing drop)"
    )
