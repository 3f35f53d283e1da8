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

_ONE_STEP = (
    "The coefficients are one step of {:.2g} standard errors from where the rows were read last; "
    "standard errors are those there, and the log-likelihood is that of its parabola."
)
# Rows and numbers of which a linear program is asked whether outcomes can be told apart.
_SAMPLE, _CELLS = 20_000, 1 << 21
# Difference of sums of squares, beside these, that rounding makes.
_SAME = 1e-6


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
        network = told[0] is not None
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
            shape = (
                (lambda: seen.state.shape) if exact else (lambda: self._shape_at(params, moments))
            )
            return rowless.ols_results(header, params, moments, shape, robust, **given)
        there = network or self._found.there
        if not there:  # what is known of where the step leads
            moments = replace(moments, value=moments.value + moments.gain / 2.0)
            given["note"] = _ONE_STEP.format(self._found.last)
        given |= {"converged": search[0] and there, "iterations": search[1]}
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

    def _shape_at(self, params: np.ndarray, moments: Moments) -> Shape:
        """Return the shape of the residuals at other coefficients, for which a pass is made."""
        if self._rows is None:
            raise ValueError(
                "the tests of the residuals in a summary of the refit need another pass over the "
                "rows, which a copy of a conversion does not make: call refit.summary() before"
            )
        rows = self._rows
        seen = rows.at(params) if rows.source.stamp == rows.stamp else None
        squares = np.nan if seen is None else seen.moments.total
        if not abs(squares - moments.total) <= _SAME * moments.total:
            raise ValueError(
                f"{rows.source.name}: has changed since it was converted, and the tests of the "
                "residuals in a summary of the refit need its rows: convert it again"
            )
        assert seen is not None
        return seen.state.shape

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
    start = one.start
    if restriction is not None:
        start = replace(start, moments=replace(start.moments, tangent=restriction.tangent))
    moments = start.moments
    parameters = parameters_of(one, rows.columns, restriction)
    check_rows(one, parameters)
    groups = _groups(one)
    found = search(rows, start, passes)
    optimum = found.optimum
    apart: list[int] = []
    if optimum.doubted and (found.there or passes is None or rows.passes < passes):
        places = _apart(one, moments)
        apart = places or []
        optimum = replace(optimum, converged=optimum.converged and places == [])
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
    estimate = Estimate(moments, rows.columns, parameters, optimum, compared, apart, exact)
    said = caveats_of(one, estimate, restriction, together, rounded, groups)
    robust = rows.robust or bool(rows.reader.groups)
    how = (found.last, found.there, optimum.converged, robust)
    said.append(streamed_caveats(likelihood, rows.passes, *how))
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


def _apart(one: Streamed, moments: Moments) -> list[int] | None:
    """Return the parameters that tell the outcomes apart; None if that is too much to find out.

    What tells those of all rows apart tells those of any of them apart: where it does not, a sample
    proves that nothing does.
    """
    count = min(_SAMPLE, max(_CELLS // len(one.params), 1))
    X, y, _ = one.rows.sample(count)
    places = separating(one.choice.likelihood, X, y, moments.tangent)
    return places if not places or len(y) == one.rows.count else None


def _groups(one: Streamed) -> list[Caveat]:
    counts = [groups.count for groups in one.start.state.groups[:2]]
    if not counts:
        return []
    if min(counts) < 2:
        raise DataError("groups must tell at least two groups apart on the rows that are left")
    return few_groups(min(counts), len(one.params))
