"""Where the rows of a regression came from, as far as another program can be told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converter.regression.arguments import Request
    from converter.regression.design import Columns

# Values that are listed one by one.
_LISTED = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows of a regression came from.

    Parameters
    ----------
    path : str or None
        The file as it was given; None if the rows were in memory.
    kind : str
        What kind of object they were.
    target, weights : str or None
        Columns of the table; None where there are none, or values of their own were given.
    where : str or None
    missing : str
    cov_columns : mapping of str to (str or list of str)
        Columns that settings of the covariance name.
    values : tuple of str
        The arguments that were given as values, and are columns of no table.
    stamp : object
        Sizes and times of the files then; None if there are none.
    scaling : tuple of (str, float, float)
        Of each column that was scaled before training, what was taken off and what it was divided
        by; the target last.
    asked : tuple of (str, str)
        Arguments of `converter.convert` that were not left as they are, in words.
    """

    path: str | None
    kind: str
    target: str | None
    weights: str | None = None
    where: str | None = None
    missing: str = "raise"
    cov_columns: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[str, ...] = ()
    stamp: object = None
    scaling: tuple[tuple[str, float, float], ...] = ()
    asked: tuple[tuple[str, str], ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether the file is what it was, by sizes and times."""
        return self.stamp is not None and _stamp(self.path) == self.stamp


def origin_of(
    request: Request,
    own: Request,
    data: Any,
    target: Any,
    where: str | None,
    family: str | None,
    design: Columns,
) -> Origin:
    """Return what was given to `converter.convert` for one regression, without the rows.

    Parameters
    ----------
    request, own : Request
        What was given, and with the scalers of this regression.
    data, target, where, family
        As given there, the target of this regression alone.
    design : Columns
    """
    path = os.fspath(data) if isinstance(data, (str, os.PathLike)) else None
    weights, kwds = request.weights, request.cov_kwds or {}
    named = {
        key: given for key, given in kwds.items() if key in ("groups", "time") and _names(given)
    }
    values = [name for name, one in (("target", target), ("weights", weights)) if _is_values(one)]
    values += [key for key in ("groups", "time") if key in kwds and key not in named]
    return Origin(
        path=path,
        kind="file" if path is not None else kind_of(data),
        stamp=_stamp(path),
        target=str(target) if isinstance(target, (str, int)) else None,
        weights=weights if isinstance(weights, str) else None,
        where=where,
        missing=request.missing,
        cov_columns=named,
        values=tuple(values),
        scaling=_scaling(own, design),
        asked=_asked(request, family),
    )


def _scaling(request: Request, design: Columns) -> tuple[tuple[str, float, float], ...]:
    from converter.regression.scaling import scaler_of

    found: list[tuple[str, float, float]] = []
    both = (request.scaler, design.numbers), (request.target_scaler, [design.target])
    for given, names in both:
        if given is not None:
            one = scaler_of(given, len(names), "the scaler", names)
            found += zip(names, one.shift.tolist(), one.scale.tolist(), strict=True)
    return tuple(found)


def _asked(request: Request, family: str | None) -> tuple[tuple[str, str], ...]:
    """Return in words what was asked for beside the rows."""
    given = {
        "family": family,
        "features": request.features,
        "weights": request.weights,
        "missing": None if request.missing == "raise" else request.missing,
        "base": request.base or None,
        "scaler": request.scaler,
        "target_scaler": request.target_scaler,
        "cov_type": None if request.cov_type == "nonrobust" else request.cov_type,
        "cov_kwds": request.cov_kwds or None,
        "training_data": None if request.training_data else "False",
    }
    return tuple((name, _worded(value)) for name, value in given.items() if value is not None)


def _worded(value: Any) -> str:
    """Return an argument in words: values of its own as what kind they are."""
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_worded(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)) and len(value) <= _LISTED:
        return ", ".join(map(_worded, value))
    return f"{kind_of(value)} in memory"


def kind_of(data: Any) -> str:
    """Return what an object is called, and whose it is."""
    kind = type(data)
    home = kind.__module__.split(".")[0]
    return kind.__name__ if home == "builtins" else f"{home} {kind.__name__}"


def _stamp(path: str | None) -> object:
    from converter.regression.streams.damage import stamp_of

    if path is None:
        return None
    if not os.path.isdir(path):
        return stamp_of([path])
    files = [os.path.join(place, one) for place, _, names in os.walk(path) for one in names]
    return sorted(files), stamp_of(sorted(files))


def _names(given: Any) -> bool:
    one = (given,) if isinstance(given, str) else given
    return isinstance(one, (list, tuple)) and all(isinstance(name, str) for name in one)


def _is_values(given: Any) -> bool:
    return given is not None and not isinstance(given, (str, int))
