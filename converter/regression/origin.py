"""Where the rows of a regression came from, as far as another program can be told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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

    @property
    def unchanged(self) -> bool:
        """Whether the file is what it was, by sizes and times."""
        return self.stamp is not None and _stamp(self.path) == self.stamp


def origin_of(
    data: Any,
    target: Any,
    weights: Any,
    where: str | None,
    missing: str,
    cov_kwds: Mapping[str, Any] | None,
) -> Origin:
    """Return what was given to `converter.convert` for one regression, without the rows."""
    path = os.fspath(data) if isinstance(data, (str, os.PathLike)) else None
    named = {
        key: given
        for key, given in (cov_kwds or {}).items()
        if key in ("groups", "time") and _names(given)
    }
    values = [name for name, one in (("target", target), ("weights", weights)) if _is_values(one)]
    values += [key for key in ("groups", "time") if key in (cov_kwds or {}) and key not in named]
    return Origin(
        path=path,
        kind="file" if path is not None else kind_of(data),
        stamp=_stamp(path),
        target=str(target) if isinstance(target, (str, int)) else None,
        weights=weights if isinstance(weights, str) else None,
        where=where,
        missing=missing,
        cov_columns=named,
        values=tuple(values),
    )


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
