"""Scalers that were applied to the data before training, to be folded into the coefficients."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import DataError, printable
from converter.model import AffineModel


@dataclass(frozen=True, slots=True)
class Scaler:
    """``scaled = (raw - shift) / scale``, column by column.

    Parameters
    ----------
    shift, scale : ndarray of float64, shape (columns,) or ()
    """

    shift: np.ndarray
    scale: np.ndarray


def scaler_of(given: Any, width: int, what: str, names: Sequence[str] = ()) -> Scaler:
    """Understand a scaler.

    Parameters
    ----------
    given : fitted StandardScaler or MinMaxScaler, or mapping
        A mapping has ``mean`` and ``scale``, or ``data_min`` and ``data_max`` (and
        ``feature_range``, by default ``[0, 1]``); each a number or a list.
    width : int
        Columns that it must fit.
    what : str
        For messages.
    names : sequence of str, optional
        The columns; a scaler that was fitted on named columns is matched with them.

    Raises
    ------
    DataError
        If it is none of these, is not fitted, or has other columns.
    """
    if isinstance(given, Mapping):
        shift, scale = _from_mapping(given, what)
    elif hasattr(given, "data_min_") and hasattr(given, "scale_") and hasattr(given, "min_"):
        if getattr(given, "clip", False):
            raise DataError(f"{what}: a MinMaxScaler with clip=True is not affine")
        # scikit-learn: scaled = raw * scale_ + min_
        factor = np.asarray(given.scale_, dtype=np.float64)
        shift, scale = -np.asarray(given.min_, dtype=np.float64) / factor, 1.0 / factor
    elif hasattr(given, "with_mean") and hasattr(given, "with_std"):
        if not hasattr(given, "scale_"):
            raise DataError(f"{what}: the StandardScaler is not fitted")
        shift = np.asarray(given.mean_ if given.with_mean else 0.0, dtype=np.float64)
        scale = np.asarray(given.scale_ if given.with_std else 1.0, dtype=np.float64)
    else:
        raise DataError(
            f"{what}: expected a fitted StandardScaler or MinMaxScaler, or "
            '{"mean": [...], "scale": [...]}'
        )
    for name, values in (("mean", shift), ("scale", scale)):
        if values.shape not in ((), (width,)) or not np.isfinite(values).all():
            some = ", ".join(printable(one) for one in names[:8])
            which = f", one each for {some}" if len(names) == width else ""
            raise DataError(
                f"{what}: {name} has shape {list(values.shape)} where {width} finite numbers are "
                f"expected{which}"
            )
    if not np.all(scale):
        raise DataError(f"{what}: a scale is zero")
    shift, scale = np.broadcast_to(shift, (width,)), np.broadcast_to(scale, (width,))
    fitted = [str(name) for name in getattr(given, "feature_names_in_", ())]
    if not fitted or not names:
        return Scaler(shift, scale)
    if set(fitted) != set(names):
        raise DataError(
            f"{what} was fitted on the columns {', '.join(fitted)}; the model is given "
            f"{', '.join(names)}"
        )
    order = [fitted.index(name) for name in names]
    return Scaler(shift[order], scale[order])


def _from_mapping(given: Mapping[str, Any], what: str) -> tuple[np.ndarray, np.ndarray]:
    def numbers(key: str) -> np.ndarray:
        try:
            return np.asarray(given[key], dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{what}: {key!r} does not hold numbers") from None

    keys = set(given)
    if keys == {"mean", "scale"}:
        return numbers("mean"), numbers("scale")
    if {"data_min", "data_max"} <= keys <= {"data_min", "data_max", "feature_range"}:
        low, high = numbers("data_min"), numbers("data_max")
        bounds = np.asarray(given.get("feature_range", (0.0, 1.0)), dtype=np.float64)
        if bounds.shape != (2,) or bounds[0] >= bounds[1]:
            raise DataError(f"{what}: 'feature_range' must be two rising numbers")
        scale = (high - low) / (bounds[1] - bounds[0])
        return low - bounds[0] * scale, scale
    raise DataError(
        f"{what}: has the keys {sorted(map(str, keys))}; expected mean and scale, or data_min and "
        "data_max"
    )


def scalers_of(scaler: Any, target_scaler: Any) -> tuple[Any, Any]:
    """Tell the scaler of the inputs from that of the target, reading files.

    Parameters
    ----------
    scaler, target_scaler : scaler, mapping, path or None
        Either may hold both, as a mapping (or a file of one) with ``inputs`` and ``target``.

    Returns
    -------
    inputs, target : scaler, mapping or None

    Raises
    ------
    DataError
        If a file cannot be read, or the target's scaler is given twice.
    """
    inputs, target = _pair(scaler)
    alone, named = _pair(target_scaler)
    second = alone if named is None else named
    if target is not None and second is not None:
        raise DataError("the target's scaler is given twice")
    return inputs, second if target is None else target


def _pair(given: Any) -> tuple[Any, Any]:
    """Return what is given for the inputs and, where it says so, for the target."""
    if isinstance(given, (str, os.PathLike)):
        given = _read(given)
    if isinstance(given, Mapping) and given and set(given) <= {"inputs", "target"}:
        return given.get("inputs"), given.get("target")
    return given, None


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    shown = printable(os.fspath(path))
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{shown}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown}: is not JSON: {printable(str(error))}") from None
    if not isinstance(value, dict):
        raise DataError(f"{shown}: expected an object with mean and scale")
    return value


def part_of_scaler(scaler: Any, place: int, count: int) -> Any:
    """Return the scaler of one of several targets."""
    if scaler is None:
        return None
    whole = scaler_of(scaler, count, "the scaler of the targets")
    return {"mean": [float(whole.shift[place])], "scale": [float(whole.scale[place])]}


def unscale(
    model: AffineModel,
    scaler: Any,
    target_scaler: Any,
    names: Sequence[str] = (),
    linear: bool | None = None,
) -> AffineModel:
    """Return the model in the units of the raw data; scalers as `scalers_of` returns them.

    Only numbers are scaled: indicators of categories stay as they are. With ``z = (x - m) / s``
    and ``t = (y - my) / sy``, the network's ``t = a + b z`` is
    ``y = my + sy (a - b m / s) + (sy b / s) x``.

    Parameters
    ----------
    model : AffineModel
    scaler, target_scaler : scaler, mapping or None
    names : sequence of str
        Of the columns, where the scaler was fitted on named ones.
    linear : bool, optional
        Whether the response is a number in some unit; by default what link and family say.

    Raises
    ------
    DataError
        If a scaler does not fit, or the target's is given for a link other than the identity.
    """
    coef, intercept, has = model.coef, model.intercept, model.has_intercept
    if scaler is not None:
        number = model.number
        width = int(np.count_nonzero(number))
        inputs = scaler_of(scaler, width, "the scaler of the inputs", names)
        scaled = coef[:, number] / inputs.scale
        coef = coef.copy()
        coef[:, number] = scaled
        intercept = intercept - scaled @ inputs.shift
        has = has | (scaled * inputs.shift).any(axis=1)
    if target_scaler is not None:
        if linear is None:
            linear = model.link == "identity" and model.family == "gaussian"
        if not linear:
            raise DataError(
                "a scaler of the target belongs to a linear regression, whose target is a number "
                "in some unit; classes and counts are not scaled"
            )
        target = scaler_of(target_scaler, len(coef), "the scaler of the target")
        coef = coef * target.scale[:, None]
        intercept = intercept * target.scale + target.shift
        has = has | (target.shift != 0)
    return replace(model, coef=coef, intercept=intercept, has_intercept=has)
