"""`convert`: a saved network and a table become a statsmodels regression."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.model import AffineModel
from converter.regression.arguments import (
    Request,
    covariance_of,
    targets_of,
)
from converter.regression.choice import choose, parts_of
from converter.regression.conclude import conclude, together_of
from converter.regression.conversion import Conversion
from converter.regression.joint import JointConversion
from converter.regression.prepared import Prepared, prepare
from converter.regression.restriction import Restriction, restrict
from converter.regression.scaling import part_of_scaler, scalers_of
from converter.regression.tables import load

if TYPE_CHECKING:
    from converter.weights import Neighbourhood


def convert(
    model: str | os.PathLike[str] | AffineModel,
    data: Any,
    target: Any,
    *,
    features: Sequence[str] | Mapping[str, str] | None = None,
    family: str | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    weights: Any = None,
    output: str | int | None = None,
    missing: str = "raise",
    scaler: Any = None,
    target_scaler: Any = None,
    base: Mapping[str, Any] | None = None,
    signature: str | None = None,
    training_data: bool = True,
    restricted: bool = False,
    where: str | None = None,
) -> Conversion | JointConversion:
    """Turn a saved network and a table into a statsmodels regression.

    Parameters
    ----------
    model : path-like or AffineModel
    data : path-like, DataFrame (pandas, polars), Arrow table, mapping, or array
        Shape (n, columns). Files are CSV, Parquet or Arrow IPC.
    target : str, int, or array-like of shape (n,)
        The response: a column's name (or place, in an array), or its values. Of a network with
        several outputs a list of these in their order, or a mapping by the outputs' names.
    features : sequence of str, or mapping of input name to column, optional
        The columns in the order of the model's inputs. By default those of the inputs' names,
        else all columns of the table but the target (and the weights), in their order.
    family : str, optional
        ``gaussian``, ``binomial``, ``multinomial``, ``poisson``, ``quantile`` or ``huber``; the
        last two may be followed by their setting, ``quantile:0.9`` or ``huber:1.5`` (by default
        that of the training loss, else 0.5 and 1). By default what link and training loss make it.
    cov_type, cov_kwds
        Kind of covariance, as statsmodels takes them; ``groups`` and ``time`` may name a column,
        ``groups`` two.
        Of quantile regression ``robust`` (default) or ``iid``, of Huber's ``H1`` (default), ``H2``
        or ``H3``.
    weights : str or array-like of shape (n,), optional
        Analytic weights (Gaussian family only).
    output : str or int, optional
        Which output, where the model has several.
    missing : {"raise", "drop"}
        What to do with rows that have missing values.
    scaler, target_scaler : fitted scikit-learn scaler, mapping or path, optional
        What was applied to inputs and target before training; folded into the coefficients, so
        that they come out in the table's own units. A mapping has ``mean`` and ``scale``, or
        ``data_min`` and ``data_max``, in the order of the model's inputs (or ``inputs`` and
        ``target``, each such a mapping); a path names such a mapping as JSON. A scaler that was
        fitted on named columns is matched by name.
    base : mapping of str to level, optional
        For columns that are categories, the level that the others are compared with; by default
        the first that occurs and that the network has a name for.
    signature : str, optional
        Which signature of a SavedModel: by default ``serving_default``, or the only one.
    training_data : bool
        False if the network was not trained on these rows. Nothing was then estimated from them:
        the residual variance is RSS / n, and the test asks whether the rows contradict the
        network's coefficients.
    restricted : bool
        Count as parameters only what the architecture can move, and compare with the best that it
        can reach: inputs that it ignores, shared weights, layers narrower than inputs and outputs.
        The coefficients that it can reach are taken to be a plane at the saved weights.
    where : str, optional
        Which rows of the table, as in SQL: comparisons of columns with constants, under AND, OR,
        NOT. Of Parquet files only what can hold such rows is read.

    Returns
    -------
    Conversion
        Or JointConversion, of a network with several outputs of which none was chosen.

    Raises
    ------
    Rejected
        If the network is not a regression.
    ModelFileError
        If the file is damaged, hostile, or not a model.
    DataError
        If the table does not fit the model.
    ValueError
        If an argument is not acceptable.
    """
    for name, value in (("training_data", training_data), ("restricted", restricted)):
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False, not {value!r}")
    around = _around(model, output, signature)
    if restricted and around is None:
        raise ValueError(
            "restricted=True moves the network's weights: give the path of its file, not the "
            "folded model"
        )
    parts = _parts(_folded(model, output, signature), family)
    request = Request(
        data=load(data, where),  # once, for all outputs
        features=features,
        weights=weights,
        missing=missing,
        base=base,
        scaler=scaler,
        target_scaler=target_scaler,
        cov_type=cov_type,
        cov_kwds=cov_kwds,
        training_data=training_data,
    )
    asked = _Asked(parts, request, target, family)
    prepared = asked.prepared
    restrictions: list[Restriction | None] = [None] * len(prepared)
    if restricted:
        assert around is not None
        restrictions = list(restrict(around(), prepared, asked.reading))
    together = together_of(prepared)
    made = {
        name: conclude(one, restriction, together, partial(_rounded, around, asked, place))
        for place, ((name, _), one, restriction) in enumerate(
            zip(parts, prepared, restrictions, strict=True)
        )
    }
    return made.popitem()[1] if len(made) == 1 else JointConversion(made)


@dataclass(frozen=True)
class _Asked:
    """The regressions of a network on one table."""

    parts: list[tuple[str, AffineModel]]
    request: Request
    target: Any
    family: str | None

    @cached_property
    def prepared(self) -> list[Prepared]:
        request = self.request
        kwds, beside, complete = covariance_of(
            request.cov_type, request.cov_kwds, request.data, request.missing
        )
        request = replace(request, cov_kwds=kwds, complete=complete)
        if len(self.parts) == 1:
            return [prepare(choose(self.parts[0][1], self.family), request, self.target, beside)]
        targets = targets_of(self.target, [name for name, _ in self.parts])
        columns = [one for one in targets if isinstance(one, str)]
        scaler, target_scaler = scalers_of(request.scaler, request.target_scaler)
        return [
            prepare(
                choose(part, self.family),
                replace(
                    request,
                    scaler=scaler,
                    target_scaler=part_of_scaler(target_scaler, place, len(targets)),
                ),
                own,
                [*beside, *(one for one in columns if one is not own)],
            )
            for place, ((_, part), own) in enumerate(zip(self.parts, targets, strict=True))
        ]

    def reading(self, models: Sequence[AffineModel]) -> list[np.ndarray]:
        """Return the coefficients of each regression of the network with other weights."""
        parts = _parts(models, self.family)
        return [one.reading(part) for one, (_, part) in zip(self.prepared, parts, strict=True)]


def _rounded(
    around: Callable[[], Neighbourhood] | None, asked: _Asked, place: int
) -> list[np.ndarray]:
    if around is None:
        return []
    return around().rounded(lambda models: asked.reading(models)[place])


def _around(
    model: Any, output: str | int | None, signature: str | None
) -> Callable[[], Neighbourhood] | None:
    """Return what reads the network again to move its weights; None if it was folded already."""
    if isinstance(model, AffineModel):
        return None

    @cache
    def read() -> Neighbourhood:
        from converter.weights import Neighbourhood

        return Neighbourhood.of(model, output, signature)

    return read


def _parts(models: Sequence[AffineModel], family: str | None) -> list[tuple[str, AffineModel]]:
    return [part for one in models for part in parts_of(one, family)]


def _folded(model: Any, output: str | int | None, signature: str | None) -> list[AffineModel]:
    if not isinstance(model, AffineModel):
        from converter.inspection import fold_each

        return fold_each(model, output, signature)
    if signature is not None:
        raise ValueError("signature chooses within a file; this model has been folded already")
    return [model if output is None else model.select(output)]
