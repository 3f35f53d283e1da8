"""Arguments of `convert` that need the table, or each other, to be understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import DataError
from converter.regression.families import COVARIANCES, OWN_COVARIANCES, SETTINGS
from converter.regression.tables import is_missing, listed, load, ungrouped


@dataclass(frozen=True)
class Request:
    """What is asked of a table, for one regression; see `converter.convert`.

    `complete` marks the rows whose groups and times are there.
    """

    data: Any
    features: Sequence[str] | Mapping[str, str] | None = None
    weights: Any = None
    missing: str = "raise"
    base: Mapping[str, Any] | None = None
    scaler: Any = None
    target_scaler: Any = None
    cov_type: str = "nonrobust"
    cov_kwds: dict[str, Any] | None = None
    training_data: bool = True
    complete: np.ndarray | None = None


def covariance_of(
    cov_type: str, cov_kwds: dict[str, Any] | None, data: Any, missing: str = "raise"
) -> tuple[dict[str, Any] | None, list[str], np.ndarray | None]:
    """Return the settings of a covariance, columns that they name as values, and these names.

    Last a mark for each row whose group or time is there; None if all are, or none is asked for.

    Raises
    ------
    ValueError
        If statsmodels has no such covariance, or it is not told what it needs.
    DataError
        If a column has missing values, and rows with such are not to be left out.
    """
    check_settings(cov_type, cov_kwds)
    return _columns(cov_kwds, data, missing)


def check_settings(cov_type: str, cov_kwds: dict[str, Any] | None) -> None:
    """Refuse a covariance that there is not, or what it is told.

    Raises
    ------
    ValueError
    """
    own = [kind for kinds in OWN_COVARIANCES.values() for kind in kinds]
    if cov_type not in (*COVARIANCES, *own):
        raise ValueError(f"cov_type must be one of {', '.join(COVARIANCES)}, not {cov_type!r}")
    lacking = [key for key in COVARIANCES.get(cov_type, ()) if key not in (cov_kwds or {})]
    if lacking:
        raise ValueError(
            f"cov_type {cov_type!r} needs cov_kwds with {' and '.join(lacking)}"
            + "".join(f" (--{key})" for key in lacking if key in ("groups", "maxlags"))
        )
    allowed = SETTINGS.get(cov_type, ())
    strange = [key for key in cov_kwds or {} if key not in allowed]
    if strange:
        kinds = [kind for kind, keys in SETTINGS.items() if strange[0] in keys]
        raise ValueError(
            f"cov_type {cov_type!r} knows no {strange[0]!r}"
            + (f"; it knows {', '.join(allowed)}" if allowed else "")
            + (f" (cov_type {' or '.join(kinds)} does)" if kinds else "")
        )
    if cov_type == "hac-panel" and not {"groups", "time"} & set(cov_kwds or {}):
        raise ValueError("cov_type 'hac-panel' needs cov_kwds with groups or time")
    lags = (cov_kwds or {}).get("maxlags", 0)
    if not isinstance(lags, (int, np.integer)) or lags < 0:
        raise ValueError(f"maxlags must be a whole number, 0 or more, not {lags!r}")


def _columns(
    cov_kwds: dict[str, Any] | None, data: Any, missing: str
) -> tuple[dict[str, Any] | None, list[str], np.ndarray | None]:
    """Return groups and times as whole numbers, the columns that they are named by, and marks."""
    found, names, whole = dict(cov_kwds or {}), [], None
    for key, coded in (("groups", _groups), ("time", _times)):
        given = found.get(key)
        if given is None:
            continue
        named = [given] if isinstance(given, str) else []
        if isinstance(given, (list, tuple)) and all(isinstance(one, str) for one in given):
            table_rows = load(data).rows
            named = list(given) if len(given) != table_rows else []
        if named:
            names += named
            table = load(data)
            ways = [table.values(name) for name in named]
        else:
            ways = _ways(given)
            table = load(data)
            index = getattr(given, "index", None)
            equals = getattr(index, "equals", None)
            if table.index is not None and equals is not None and not equals(table.index):
                raise DataError(f"{key} has another index than the table; align them first")
            if len(ways[0]) != table.rows:
                raise DataError(f"{key} has {len(ways[0])} values for {table.rows} rows")
        if len(ways) > (2 if key == "groups" else 1):
            raise ValueError(
                f"{key} takes one column"
                + " or two" * (key == "groups")
                + f", and {len(ways)} are given"
            )
        if any(len(way) != len(ways[0]) for way in ways):
            raise ValueError(f"both columns of {key} must be of one length")
        for place, way in enumerate(ways):
            there = np.array([not is_missing(one) for one in way.tolist()], dtype=bool)
            if there.all():
                ways[place] = np.array(way.tolist())
                continue
            what = f"the column {named[place]!r} of {key}" if named else key
            if not there.any():
                raise DataError(f"{what} has no values")
            if missing != "drop":
                raise ungrouped(what, int((~there).sum()), table.source)
            whole = there if whole is None else whole & there
            # Such rows are left out.
            ways[place] = np.array(np.where(there, way, way[there][:1]).tolist())
        found[key] = coded(ways[0]) if len(ways) == 1 else np.column_stack(list(map(coded, ways)))
    return (found if cov_kwds is not None else None), names, whole


def check_covariance(regression: str, cov_type: str) -> None:
    """Refuse a kind of covariance that a regression does not have.

    Raises
    ------
    ValueError
        Naming those that it has.
    """
    kinds = ("nonrobust", *OWN_COVARIANCES.get(regression, tuple(COVARIANCES)[1:]))
    if cov_type not in kinds:
        raise ValueError(
            f"the cov_type of {regression} must be one of {', '.join(kinds)}, not {cov_type!r}"
        )


def _ways(given: Any) -> list[np.ndarray]:
    """Return the columns of groups: of an array (n,) or (n, 2), or of a pair of arrays (n,)."""
    if isinstance(given, (list, tuple)) and len(given) == 2 and np.ndim(given[0]) == 1:
        return [_values(one) for one in given]
    array = _values(given)
    return [array] if array.ndim == 1 else list(array.reshape(len(array), -1).T)


def _values(given: Any) -> np.ndarray:
    """Return values as an array; of words as they are, for NaN among them is no word."""
    array = np.asarray(given)
    return array if array.dtype.kind in "iufbM" else np.asarray(given, dtype=object)


def _groups(values: np.ndarray) -> np.ndarray:
    """Number groups from 0 on: statsmodels takes memory for the largest number."""
    codes = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    if len(codes[0]) < 2:
        raise ValueError("groups must tell at least two groups apart")
    return np.asarray(codes[1])


def _times(values: np.ndarray) -> np.ndarray:
    """Number times from 0 on, in their order; whole numbers keep their gaps, which are lags.

    Unless they are far apart: statsmodels would then number them in the order of the rows.
    """
    if values.dtype.kind in "iu" and int(values.max()) - int(values.min()) <= 2 * len(values):
        return np.asarray(values - values.min(), dtype=np.int64)
    return np.asarray(np.unique(values, return_inverse=True)[1])


def kept_of(
    cov_kwds: dict[str, Any] | None, kept: np.ndarray | None, rows: int
) -> dict[str, Any] | None:
    """Leave out of groups and times the rows that were left out of the table.

    Raises
    ------
    DataError
        If they are not one a row.
    """
    if cov_kwds is None:
        return None
    found = dict(cov_kwds)
    for key in ("groups", "time"):
        if found.get(key) is None:
            continue
        if kept is not None and len(found[key]) == len(kept):
            found[key] = found[key][kept]
        if len(found[key]) != rows:
            raise DataError(f"{key} has {len(found[key])} values for {rows} rows")
    if found.get("maxlags", 0) >= rows:
        raise DataError(f"maxlags is {found['maxlags']}, and there are {rows} rows")
    ways = () if found.get("groups") is None else np.atleast_2d(found["groups"].T)
    if any((way == way[0]).all() for way in ways):
        raise DataError("groups must tell at least two groups apart on the rows that are left")
    return found


def targets_of(target: Any, names: list[str]) -> list[Any]:
    """Return the response of each output."""
    wanted = f"the model has {len(names)} outputs ({listed(names)})"
    if isinstance(target, Mapping):
        if set(target) != set(names):
            raise ValueError(f"{wanted}; target has {listed(list(map(str, target)))}")
        return [target[name] for name in names]
    if isinstance(target, np.ndarray) and target.ndim == 2:
        target = list(target.T)
    if isinstance(target, (list, tuple)) and len(target) == len(names):
        return list(target)
    raise ValueError(
        f"{wanted}: choose one with output= (--output), or give a target for each of them "
        "(target=[..], --target A,B)"
    )
