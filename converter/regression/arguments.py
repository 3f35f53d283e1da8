"""Arguments of `convert` that need the table, or each other, to be understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.errors import DataError
from converter.regression.families import COVARIANCES, OWN_COVARIANCES
from converter.regression.tables import listed, load


@dataclass(frozen=True)
class Request:
    """What is asked of a table, for one regression; see `converter.convert`."""

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


def covariance_of(
    cov_type: str, cov_kwds: dict[str, Any] | None, data: Any
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the settings of a covariance, columns that they name as values, and these names.

    Raises
    ------
    ValueError
        If statsmodels has no such covariance, or it is not told what it needs.
    DataError
        If a column that is named has missing values.
    """
    own = [kind for kinds in OWN_COVARIANCES.values() for kind in kinds]
    if cov_type not in (*COVARIANCES, *own):
        raise ValueError(f"cov_type must be one of {', '.join(COVARIANCES)}, not {cov_type!r}")
    lacking = [key for key in COVARIANCES.get(cov_type, ()) if key not in (cov_kwds or {})]
    if lacking:
        raise ValueError(f"cov_type {cov_type!r} needs cov_kwds with {' and '.join(lacking)}")
    found, beside = _named_columns(cov_kwds, data)
    _check_kwds(found or {})
    return found, beside


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


def _check_kwds(cov_kwds: Mapping[str, Any]) -> None:
    lags = cov_kwds.get("maxlags", 0)
    if not isinstance(lags, (int, np.integer)) or lags < 0:
        raise ValueError(f"maxlags must be a whole number, not {lags!r}")
    groups = cov_kwds.get("groups")
    if groups is not None and not isinstance(groups, str):
        arrays = groups if isinstance(groups, tuple) else np.atleast_2d(np.asarray(groups).T)
        if any(len(set(map(str, one))) < 2 for one in arrays):
            raise ValueError("groups must tell at least two groups apart")


def _named_columns(
    cov_kwds: dict[str, Any] | None, data: Any
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return groups and times that are named by their column as values, and these names."""
    found, names = dict(cov_kwds or {}), []
    for key in ("groups", "time"):
        if isinstance(found.get(key), str):
            names.append(found[key])
            values = load(data).values(found[key])
            if any(one is None or one != one for one in values):
                raise DataError(f"the column {found[key]!r} of {key} has missing values")
            # Their own order: of times it matters.
            found[key] = np.unique(np.array(values.tolist()), return_inverse=True)[1]
    return (found if cov_kwds is not None else None), names


def kept_of(cov_kwds: dict[str, Any] | None, kept: np.ndarray | None) -> dict[str, Any] | None:
    """Leave out of groups and times the rows that were left out of the table."""
    if cov_kwds is None or kept is None:
        return cov_kwds
    return {
        key: np.asarray(value)[kept] if np.shape(value)[:1] == kept.shape else value
        for key, value in cov_kwds.items()
    }


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
