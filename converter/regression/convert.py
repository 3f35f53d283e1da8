"""`convert`: a saved network and a table become a statsmodels regression."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import DataError, printable
from converter.model import AffineModel
from converter.regression.arguments import (
    Request,
    covariance_of,
    kept_of,
    targets_of,
)
from converter.regression.caveats import Caveat, network, rows
from converter.regression.choice import choose, parts_of
from converter.regression.conversion import Conversion
from converter.regression.families import Likelihood
from converter.regression.joint import JointConversion
from converter.regression.moments import Moments
from converter.regression.optimality import Optimality, Optimum, compare, is_exact, optimum_of
from converter.regression.passes import columns_of
from converter.regression.prepared import Prepared, prepare
from converter.regression.restriction import Restriction, restrict
from converter.regression.robust import MEstimator
from converter.regression.scaling import part_of_scaler, scalers_of
from converter.regression.tables import load

if TYPE_CHECKING:
    from converter.weights import Neighbourhood

# Sums of squares of larger numbers overflow.
_LARGEST = 1e145


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
    together = _together(prepared)
    made = {
        name: _concluded(one, restriction, together, partial(_rounded, around, asked, place))
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


def _together(prepared: Sequence[Prepared]) -> np.ndarray | None:
    """Return the coefficients of all outputs that have the same regressors, if they are several."""
    names = prepared[0].design.names
    if len(prepared) == 1 or any(one.design.names != names for one in prepared):
        return None
    return np.concatenate([one.equations for one in prepared])


def _concluded(
    one: Prepared,
    restriction: Restriction | None,
    together: np.ndarray | None,
    rounded: Callable[[], list[np.ndarray]],
) -> Conversion:
    """Estimate, compare, and say what there is to say."""
    choice, design, request = one.choice, one.design, one.request
    likelihood, X, params, labels = choice.likelihood, one.exog, one.params, one.labels
    for name, column in (*zip(one.terms, X.T, strict=True), (design.target, design.y)):
        with np.errstate(over="ignore"):
            fits = column @ column < _LARGEST**2
        if not fits:
            raise DataError(
                f"{printable(name)!r} holds numbers whose squares overflow; use another unit"
            )
    kwds = kept_of(request.cov_kwds, design.kept, len(design.y))
    moments = one.moments
    if restriction is not None:
        moments = replace(moments, tangent=restriction.tangent)
    columns = columns_of(X, moments)
    if restriction is None:  # of the columns: rows that say nothing do not make them dependent
        parameters = float(columns.rank * (len(params) // X.shape[1]))
    else:
        parameters = restriction.parameters
    _check_rows(one, parameters)
    saturated = restriction is None and moments.rank < parameters
    optimum, found, apart = _estimated(one, moments, restriction, saturated)
    said = [
        *rows.fit_caveats(one, moments),
        *rows.perfect_fit(is_exact(likelihood, one.exog, design.y, optimum)),
        *network.evaluation_caveats(likelihood, request.training_data),
        *network.estimator_caveats(likelihood, one.model, request.cov_type, choice.tuned),
        *network.training_caveats(one.model, likelihood.regression),
        *network.restriction_caveats(restriction, len(params)),
        *network.structure_caveats(one.equations, design.names, restriction is not None, together),
        *(() if design.coding is None else rows.coding_caveats(design.coding)),
        *rows.design_caveats(columns, one.terms),
        *rows.saturation_caveats(moments, parameters),
        *rows.group_caveats(request.cov_type, kwds, len(params)),
        *rows.intercept_caveats(one, restriction is not None),
        *rows.response_caveats(one, optimum),
        *rows.separation_caveats([labels[place] for place in apart]),
        *rows.unknown_separation(optimum.doubted and not optimum.converged and not apart),
        *_rounding_caveats(one, moments, optimum, found, rounded),
    ]
    if design.dropped:
        said.append(rows.dropped_rows(design.dropped))
    return Conversion(
        model=one.model,
        family=likelihood.name,
        nobs=len(design.y),
        dropped=design.dropped,
        optimality=found,
        caveats=said,
        training_data=request.training_data,
        parameters=parameters,
        _design=design,
        _likelihood=likelihood,
        _exog=X,
        _terms=one.terms,
        _outcomes=one.outcomes,
        _params=params,
        _moments=moments,
        _optimum=optimum,
        _cov_type=request.cov_type,
        _cov_kwds=kwds,
        _null=one.null,
        _covariance=None
        if restriction is None or restriction.joint is None
        else restriction.joint.covariance,
    )


def _estimated(
    one: Prepared, moments: Moments, restriction: Restriction | None, saturated: bool
) -> tuple[Optimum, Optimality, list[int]]:
    """Return the optimum, the distance from it, and parameters along which there is none."""
    if restriction is not None and restriction.joint is not None:
        return restriction.joint.optimum, restriction.joint.found, []
    likelihood, X, y, params = one.choice.likelihood, one.exog, one.design.y, one.params
    optimum = optimum_of(likelihood, X, y, params, moments, one.design.weights)
    apart: list[int] = []
    if optimum.doubted:
        found_apart = _apart(likelihood, X, y, moments.tangent)
        apart = found_apart or []
        optimum = replace(optimum, converged=optimum.converged and found_apart == [])
    variance, gain = 1.0, float("inf") if saturated and moments.hides_gradient else None
    if isinstance(likelihood, MEstimator):
        variance = likelihood.variance(y - X @ params)
        gain = likelihood.gain(X, y, params, moments)
    found = compare(
        likelihood,
        one.labels,
        params,
        moments,
        optimum,
        variance=variance,
        gain=gain,
        evaluated=not one.request.training_data,
    )
    return optimum, found, apart


def _apart(
    likelihood: Likelihood, X: np.ndarray, y: np.ndarray, tangent: np.ndarray | None
) -> list[int] | None:
    """Return the parameters that tell the outcomes apart; None if that is too much to find out."""
    from converter.regression.separation import separating

    if tangent is None:
        return separating(likelihood, X, y)
    if len(tangent) != X.shape[1]:  # several equations that share parameters
        return None
    places = separating(likelihood, X @ tangent, y)
    if not places:
        return places
    return [int(one) for one in np.flatnonzero(np.abs(tangent[:, places]).max(axis=1) > 0)]


def _rounding_caveats(
    one: Prepared,
    moments: Moments,
    optimum: Optimum,
    found: Optimality,
    rounded: Callable[[], list[np.ndarray]],
) -> list[Caveat]:
    """Say so where single precision of the weights is what keeps a network from its optimum."""
    if (
        found.verdict in ("optimum", "consistent")
        or not optimum.converged
        or np.isnan(moments.gain)
    ):
        return []
    # What single precision can move is small beside the coefficients: nothing else is looked at.
    design = moments.design.astype(np.float64)
    scale = np.linalg.norm(design, axis=0) @ np.abs(one.params)
    if not np.sqrt(moments.gain) <= rows.SINGLE * scale:
        return []
    moved = [float(((design @ (other - one.params)) ** 2).sum()) for other in rounded()]
    return rows.rounding_caveats(moments.gain, moved)


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


def _check_rows(one: Prepared, parameters: float) -> None:
    likelihood, count = one.choice.likelihood, len(one.design.y)
    if likelihood.linear and count <= parameters:
        raise DataError(
            f"{count} rows are too few for {len(one.params)} coefficients: nothing is left to "
            "estimate the residual variance from"
        )
    if not likelihood.linear and count <= min(parameters, one.exog.shape[1]):
        raise DataError(
            f"{count} rows are too few for {one.exog.shape[1]} columns: any outcome is predicted "
            "without error, and there is no maximum-likelihood estimate"
        )


def _folded(model: Any, output: str | int | None, signature: str | None) -> list[AffineModel]:
    if not isinstance(model, AffineModel):
        from converter.inspection import fold_each

        return fold_each(model, output, signature)
    if signature is not None:
        raise ValueError("signature chooses within a file; this model has been folded already")
    return [model if output is None else model.select(output)]
