"""A network and a stream of rows become a statsmodels regression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import DataError
from converter.regression.caveats import Caveat
from converter.regression.caveats.rows import few_groups, streamed_caveats
from converter.regression.conclude import (
    Estimate,
    caveats_of,
    check_rows,
    check_size,
    parameters_of,
)
from converter.regression.conversion import Conversion
from converter.regression.moments import Moments
from converter.regression.optimality import compare, fits_exactly
from converter.regression.response import Response
from converter.regression.restriction import Restriction
from converter.regression.separation import separating
from converter.regression.streams.prepared import Streamed
from converter.regression.streams.rows import Rows, Seen
from converter.regression.streams.search import Found, search
from converter.regression.streams.shape import Shape
from converter.regression.streams.sources import quiet

# Rows and numbers of which a linear program is asked whether outcomes can be told apart.
_SAMPLE, _CELLS = 20_000, 1 << 21


@dataclass(frozen=True, repr=False)
class StreamedConversion(Conversion):
    """A network as a regression on rows that were streamed past and not kept."""

    _response: Response | None = None
    _weighted: bool = False
    _rows: Rows | None = None
    _start: Seen | None = None
    _found: Found | None = None

    def _results(
        self,
        params: np.ndarray,
        moments: Moments,
        told: tuple[str | None, str | None],
        search: tuple[bool, int],
        estimated: float,
        covariance: np.ndarray | None,
    ) -> Any:
        from converter.regression.streams import rowless
        from converter.regression.streams.sandwich import robust_of

        assert self._response is not None
        assert self._start is not None
        assert self._found is not None
        network = moments is self._moments
        seen = self._start if network else self._found.seen
        likelihood = self._likelihood
        header = rowless.Header(
            terms=self._terms,
            target=self._design.target,
            has_constant=len(self._terms) > len(self._design.names),
            response=self._response,
            weighted=self._weighted,
            labels=self._labels,
        )
        df_resid = self.nobs - estimated
        robust = robust_of(
            likelihood, seen.state, moments, self._cov_type, self._cov_kwds, df_resid
        )
        given: dict[str, Any] = {
            "label": told[0],
            "astray": told[1],
            "estimated": estimated,
            "rank": int(self.parameters),
        }
        if likelihood.linear:
            if self._cov_type == "fixed scale":
                given |= {"cov_type": self._cov_type, "cov_kwds": self._cov_kwds}
            exact = network or self._found.there
            shape = (lambda: seen.state.shape) if exact else (lambda: self._shape_at(params))
            return rowless.ols_results(header, params, moments, shape, robust, **given)
        given |= {"converged": search[0], "iterations": search[1]}
        close = seen.state.close
        return rowless.likelihood_results(
            header, likelihood, params, moments, self._null, close, robust, **given
        )

    @property
    def _labels(self) -> tuple[Any, ...]:
        """What statsmodels is to call several classes; nothing of fewer."""
        if not self._outcomes:
            return ()
        return self._class_labels() or tuple(range(len(self._outcomes) + 1))

    def _shape_at(self, params: np.ndarray) -> Shape:
        """Return the shape of the residuals at other coefficients, for which a pass is made."""
        if self._rows is None:
            raise ValueError(
                "the summary of the refit needs another pass over the rows, which a copy of a "
                "conversion does not make: call refit.summary() before"
            )
        return self._rows.at(params).state.shape

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_rows": None}


def conclude(
    one: Streamed,
    restriction: Restriction | None,
    together: np.ndarray | None,
    rounded: Callable[[], list[np.ndarray]],
    passes: int | None,
) -> Conversion:
    """Estimate, compare, and say what there is to say; see `converter.regression.conclude`.

    Parameters
    ----------
    one : Streamed
    restriction, together, rounded
        As there.
    passes : int, optional
        Read the rows no more than that often, where there is a choice.
    """
    choice, design, request, rows = one.choice, one.design, one.request, one.rows
    likelihood, params = choice.likelihood, one.params
    for name, reach in zip(one.terms, rows.reach, strict=True):
        check_size(name, float(reach) * np.sqrt(rows.count))
    check_size(design.target, float(np.sqrt(rows.response.about_zero)))
    start = one.start
    if restriction is not None:
        start = replace(start, moments=replace(start.moments, tangent=restriction.tangent))
    moments = start.moments
    parameters = parameters_of(one, rows.columns, restriction)
    check_rows(one, parameters)
    groups = _groups(one)
    found = search(rows, start, passes)
    optimum = found.optimum
    if optimum.doubted:
        optimum = replace(optimum, converged=optimum.converged and _overlaps(one, moments))
    saturated = restriction is None and moments.rank < parameters
    compared = compare(
        likelihood,
        one.labels,
        params,
        moments,
        optimum,
        gain=float("inf") if saturated and moments.hides_gradient else None,
        evaluated=not request.training_data,
    )
    exact = likelihood.scaled and fits_exactly(optimum)
    estimate = Estimate(moments, rows.columns, parameters, optimum, compared, [], exact)
    said = caveats_of(one, estimate, restriction, together, rounded, groups)
    said.append(streamed_caveats(likelihood, rows.passes, found.last, found.there))
    rows.watch = quiet
    return StreamedConversion(
        model=one.model,
        family=likelihood.name,
        nobs=rows.count,
        dropped=design.dropped,
        optimality=compared,
        caveats=said,
        training_data=request.training_data,
        parameters=parameters,
        _design=design,
        _likelihood=likelihood,
        _exog=None,
        _terms=one.terms,
        _outcomes=one.outcomes,
        _params=params,
        _moments=moments,
        _optimum=optimum,
        _cov_type=request.cov_type,
        _cov_kwds=request.cov_kwds,
        _null=one.null,
        passes=rows.passes,
        _response=rows.response,
        _weighted=rows.reader.weights is not None,
        _rows=rows,
        _start=start,
        _found=found,
    )


def _overlaps(one: Streamed, moments: Moments) -> bool:
    """Tell whether some rows prove that nothing tells the outcomes apart.

    What tells those of all rows apart tells those of any of them apart.
    """
    width = len(one.params)
    X, y = one.rows.sample(min(_SAMPLE, max(_CELLS // width, 1)))
    if moments.tangent is not None:
        if len(moments.tangent) != X.shape[1]:
            return False
        X = X @ moments.tangent
    return separating(one.choice.likelihood, X, y) == []


def _groups(one: Streamed) -> list[Caveat]:
    counts = [groups.count for groups in one.start.state.groups[:2]]
    if not counts:
        return []
    if min(counts) < 2:
        raise DataError("groups must tell at least two groups apart on the rows that are left")
    return few_groups(min(counts), len(one.params))
