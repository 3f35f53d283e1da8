"""statsmodels' results of maximum likelihood where parameters need not be it; see `overrides`."""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.discrete.discrete_model import (
    DiscreteResults,
    LogitResults,
    MultinomialResults,
    PoissonResults,
    ProbitResults,
)

from converter.regression.overrides import Given, at_optimum, cache_readonly


class _Discrete(Given, DiscreteResults):  # type: ignore[misc]
    def set_null_options(
        self, llnull: float | None = None, attach_results: bool = True, **kwargs: Any
    ) -> None:
        if llnull is None and not self.k_constant:
            llnull = self.llnull
        super().set_null_options(llnull, attach_results, **kwargs)

    set_null_options.__doc__ = DiscreteResults.set_null_options.__doc__

    @cache_readonly  # type: ignore[untyped-decorator]
    def im_ratio(self) -> Any:
        """Ratio of both estimates of the information."""
        self.require_optimum("im_ratio", "a score of zero")
        return DiscreteResults.im_ratio.func(self)

    def info_criteria(self, crit: str, dk_params: float = 0) -> Any:
        """Return an information criterion: ``aic``, ``bic``, ``tic`` or ``gbic``."""
        terms = self.nobs - self.df_resid
        if crit.lower() in ("aic", "bic"):
            return self.criterion(crit, dk_params)
        if crit.lower() in ("tic", "gbic"):
            self.require_optimum(f"info_criteria({crit!r})", "a score of zero")
        if crit.lower() != "gbic":
            return super().info_criteria(crit, dk_params)
        sign = np.linalg.slogdet(self.im_ratio)[1]
        value = -2.0 * self.llf + terms * np.log(self.nobs) - sign
        return value, value + np.trace(self.im_ratio)

    def score_test(
        self,
        exog_extra: Any = None,
        params_constrained: Any = None,
        hypothesis: str = "joint",
        cov_type: str | None = None,
        cov_kwds: Any = None,
        k_constraints: int | None = None,
        **kwargs: Any,
    ) -> Any:
        if params_constrained is None and (
            exog_extra is not None or k_constraints not in (None, self.params.size)
        ):
            self.require_optimum("score_test", "a score of zero in the model's own terms")
        if exog_extra is None and (cov_type or self.cov_type) != "nonrobust":
            raise ValueError(
                "without exog_extra, score_test is only there for cov_type='nonrobust'"
            )
        return super().score_test(
            exog_extra,
            params_constrained,
            hypothesis,
            cov_type,
            cov_kwds,
            k_constraints,
            **kwargs,
        )

    score_test.__doc__ = DiscreteResults.score_test.__doc__
    get_influence = at_optimum(DiscreteResults.get_influence, "a score of zero")


class GivenLogitResults(_Discrete, LogitResults):  # type: ignore[misc]
    """Logit results at given parameters."""


class GivenProbitResults(_Discrete, ProbitResults):  # type: ignore[misc]
    """Probit results at given parameters."""


class GivenPoissonResults(_Discrete, PoissonResults):  # type: ignore[misc]
    """Poisson results at given parameters."""

    get_diagnostic = at_optimum(PoissonResults.get_diagnostic, "residuals of a fit")


class GivenMultinomialResults(_Discrete, MultinomialResults):  # type: ignore[misc]
    """MNLogit results at given parameters."""

    def get_influence(self) -> Any:
        raise ValueError("statsmodels has no influence measures of a multinomial regression")

    def get_prediction(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            "statsmodels has no intervals for the probabilities of several classes: predict and "
            "get_margeff are there"
        )

    def get_margeff(
        self, at: str = "overall", method: str = "dydx", *args: Any, **kwargs: Any
    ) -> Any:
        if method in ("dyex", "eyex"):
            raise ValueError(
                f"statsmodels has no {method!r} of several equations; 'dydx' or 'eydx'"
            )
        return super().get_margeff(at, method, *args, **kwargs)

    get_margeff.__doc__ = MultinomialResults.get_margeff.__doc__

    def wald_test_terms(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            "wald_test_terms takes one equation, and there are several: use wald_test with a "
            "matrix of one column a parameter, equation by equation"
        )
