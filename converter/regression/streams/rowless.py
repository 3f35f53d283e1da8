"""statsmodels' results of rows that were streamed past.

What statsmodels computes from the rows, and a pass has summed up, is put where statsmodels keeps
it; what stands for the rows refuses everything else in one sentence. Saved, the results are
statsmodels' own, as after its `remove_data`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.discrete.discrete_model import Logit, LogitResults
from statsmodels.regression.linear_model import OLS, WLS, RegressionResultsWrapper

from converter.errors import DataError
from converter.regression.families import Likelihood
from converter.regression.likelihood_overrides import (
    GivenLogitResults,
    GivenMultinomialResults,
    GivenPoissonResults,
    GivenProbitResults,
)
from converter.regression.moments import Moments, triangular
from converter.regression.overrides import Given, GivenOLSResults, GivenWLSResults
from converter.regression.pinned import (
    KINDS,
    adjust_nothing,
    check_variances,
    given_likelihood,
    given_regression,
    put,
)
from converter.regression.response import Response
from converter.regression.streams.shape import UNKNOWN, Shape

_GONE = (
    "this needs the rows themselves, which were streamed past and not kept: convert with room for "
    "them (memory=, --memory), or a sample of them"
)
# Rows that stand for all while statsmodels makes its objects, and shares of them that are exact.
_STAND_IN = 10_000
# Share of perfect predictions from which statsmodels says so.
_MANY = 0.1


class NoRows:
    """Stands for rows that are not there: knows their shape, and refuses to be read."""

    def __init__(self, *shape: int) -> None:
        self.shape, self.ndim = shape, len(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(_GONE)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ValueError(_GONE)

    def __getitem__(self, place: Any) -> NoReturn:
        raise ValueError(_GONE)

    def __iter__(self) -> NoReturn:
        raise ValueError(_GONE)

    def __copy__(self) -> NoRows:
        return self

    def __deepcopy__(self, memo: Any) -> NoRows:
        return self

    def __reduce__(self) -> Any:
        # Whoever opens the file need not have this package: None, as statsmodels leaves it.
        return type(None), ()


def _refusing(*names: str) -> None:
    def refuse(self: NoRows, *args: Any) -> NoReturn:
        raise ValueError(_GONE)

    for name in names:
        setattr(NoRows, name, refuse)


_refusing(
    *(
        f"__{side}{name}__"
        for name in ("add", "sub", "mul", "truediv", "pow", "matmul")
        for side in ("", "r")
    ),
    *("__neg__", "__lt__", "__le__", "__gt__", "__ge__"),
)


@dataclass(frozen=True)
class Header:
    """What results are called, and what is known of their rows.

    Parameters
    ----------
    terms : list of str
    target : str
    has_constant : bool
    response : Response
    weighted : bool
    labels : sequence
        Of several classes, what statsmodels is to call them.
    """

    terms: list[str]
    target: str
    has_constant: bool
    response: Response
    weighted: bool = False
    labels: Sequence[Any] = ()

    def stand_in(self) -> pd.DataFrame:
        """Return regressors of no meaning, but for a constant."""
        rows, width = max(len(self.labels), 3) + 1, len(self.terms)
        places = np.arange(rows * width, dtype=np.float64).reshape(rows, width)
        if self.has_constant:
            places[:, 0] = 1.0
        return pd.DataFrame(places, columns=self.terms)


class _Rowless(Given):
    """Results without rows."""

    def predict(self, exog: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(exog, (list, tuple, np.ndarray)) and np.ndim(exog) == 1:
            exog = np.asarray(exog).reshape(-1, len(self.model.exog_names))
        return super().predict(exog, *args, **kwargs)

    def get_prediction(self, exog: Any = None, *args: Any, **kwargs: Any) -> Any:
        if exog is None:
            raise ValueError(_GONE)
        return super().get_prediction(exog, *args, **kwargs)


class _Regression(_Rowless):
    #: Returns the shape of the residuals.
    _shape: Callable[[], Shape]

    def _own(self) -> None:
        super()._own()
        try:
            self._shaped()
        except (DataError, ValueError):  # what is saved must not need rows that are gone
            self._summary_cache |= UNKNOWN

    def _shaped(self) -> None:
        """Fill what statsmodels' summary computes of the residuals."""
        kept = self.__dict__.setdefault("_summary_cache", {})
        if "durbin_watson" not in kept:
            kept |= self._shape().tests()

    def summary(self, *args: Any, **kwargs: Any) -> Any:
        self._shaped()
        return super().summary(*args, **kwargs)

    def summary2(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("summary2 reads the rows, which were streamed past; summary does not")

    def __reduce_ex__(self, protocol: Any) -> Any:
        made = super().__reduce_ex__(protocol)
        return *made[:2], {name: one for name, one in made[2].items() if name != "_shape"}


class RowlessOLSResults(_Regression, GivenOLSResults):
    """OLS results without rows."""


class RowlessWLSResults(_Regression, GivenWLSResults):
    """WLS results without rows."""


class RowlessLogitResults(_Rowless, GivenLogitResults):
    """Logit results without rows."""


class RowlessProbitResults(_Rowless, GivenProbitResults):
    """Probit results without rows."""


class RowlessPoissonResults(_Rowless, GivenPoissonResults):
    """Poisson results without rows."""


class RowlessMultinomialResults(_Rowless, GivenMultinomialResults):
    """MNLogit results without rows."""


_ROWLESS: dict[str, Any] = {
    "Logit": RowlessLogitResults,
    "Probit": RowlessProbitResults,
    "Poisson": RowlessPoissonResults,
    "MNLogit": RowlessMultinomialResults,
}


def ols_results(
    header: Header,
    params: np.ndarray,
    moments: Moments,
    shape: Callable[[], Shape],
    robust: Mapping[str, Any],
    **given: Any,
) -> RegressionResultsWrapper:
    """Return OLS (or WLS) results at given parameters.

    Parameters
    ----------
    header : Header
    params : ndarray, shape (p,)
    moments : Moments
        At `params`.
    shape : callable
        Returns the shape of the residuals there.
    robust : mapping
        What statsmodels sets on results with a robust covariance.
    **given
        ``astray``, ``label``, ``estimated`` and ``rank``, as for `pinned.ols_results`.
    """
    exog, response = header.stand_in(), header.response
    endog = pd.Series(exog.to_numpy()[:, -1], name=header.target)
    kind: Any = RowlessWLSResults if header.weighted else RowlessOLSResults
    more = {"weights": np.ones(len(endog))} if header.weighted else {}
    model = (WLS if header.weighted else OLS)(endog, exog, hasconst=header.has_constant, **more)
    nobs, rss = response.count, moments.total
    results = given_regression(kind, model, params, moments, rss, nobs, **given)
    _without_rows(model, header)
    # Triangular, the first axis is that of the constant.
    fitted = triangular(moments.design) @ params
    half = nobs / 2.0
    results._cache |= {
        "nobs": float(nobs),
        "centered_tss": response.squares,
        "uncentered_tss": response.about_zero,
        "ess": float(fitted[int(header.has_constant) :] @ fitted[int(header.has_constant) :]),
        "llf": -half * np.log(2.0 * np.pi * rss / nobs) - half + 0.5 * response.log_weights,
    }
    results._shape = shape
    results._summary_cache = {"rank_deficient": nobs < len(header.terms)}
    put(results, robust)
    adjust_nothing(results)
    check_variances(results, results.cov_type)
    return RegressionResultsWrapper(results)


def likelihood_results(
    header: Header,
    likelihood: Likelihood,
    params: np.ndarray,
    moments: Moments,
    llnull: float,
    close: int,
    robust: Mapping[str, Any],
    note: str | None = None,
    **given: Any,
) -> Any:
    """Return maximum-likelihood results at given parameters.

    Parameters
    ----------
    header, params, moments, robust
        As for `ols_results`.
    likelihood : Likelihood
    llnull : float
        Log-likelihood without regressors.
    close : int
        Outcomes that are predicted perfectly.
    note : str, optional
        What the summary is to say of the parameters.
    **given
        ``astray``, ``label``, ``estimated``, ``rank``, ``converged`` and ``iterations``, as for
        `pinned.likelihood_results`.
    """
    exog, nobs = header.stand_in(), header.response.count
    codes = np.arange(len(exog)) % max(len(header.labels), 2)
    values = np.array(header.labels, dtype=object)[codes] if header.labels else codes
    endog = pd.Series(values, name=header.target)
    model_kind, _, wrapper = KINDS[likelihood.regression]
    model = model_kind(endog, exog, check_rank=False, hasconst=header.has_constant)
    values_ = (moments.value, llnull)
    kind = _ROWLESS[likelihood.regression]
    results = given_likelihood(kind, model, params, moments, nobs, values_, robust, **given)
    _without_rows(model, header)
    results.nobs, results._note = nobs, note
    results._cache.pop("fittedvalues", None)
    if likelihood.name == "binomial":
        results._separation_etext = _perfect(close / nobs)
    check_variances(results, results.cov_type)
    return wrapper(results)


def _perfect(share: float) -> list[str]:
    """Return what statsmodels says of outcomes that are predicted perfectly, in its own words."""
    count = round(share * _STAND_IN)
    if 0 < share < 1:
        count = min(max(count, 1), _STAND_IN - 1)
        limit = round(_MANY * _STAND_IN)
        count = max(count, limit + 1) if share > _MANY else min(count, limit)
    y = np.arange(_STAND_IN) % 2
    far = np.where(np.arange(_STAND_IN) < count, 2e3 * y - 1e3, 0.0)
    model = Logit(y, far[:, None], check_rank=False)
    fit = LikelihoodModelResults(model, np.ones(1), np.eye(1))
    fit.mle_retvals = {"converged": True}
    return list(LogitResults(model, fit)._separation_etext)


def _without_rows(model: Any, header: Header) -> None:
    """Put what stands for the rows in their places."""
    for name in ("xnames", "ynames", "row_labels"):  # found on demand, in the rows
        getattr(model.data, name)
    nobs, width = header.response.count, len(header.terms)
    matrix, vector = NoRows(nobs, width), NoRows(nobs)
    model.exog = model.wexog = model.data.exog = model.data.orig_exog = matrix
    model.endog = model.wendog = model.data.endog = model.data.orig_endog = vector
    if isinstance(model, (OLS, WLS)):
        model.pinv_wexog, model.nobs = NoRows(width, nobs), float(nobs)
        model.weights = vector
