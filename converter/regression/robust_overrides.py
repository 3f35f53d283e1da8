"""Results of quantile and Huber's regression whose parameters were given; see `overrides`.

Quantile regression's class inherits from least squares what has no meaning for it: influence and
outliers by the hat matrix, comparisons of sums of squares, empirical likelihood of a mean, robust
covariances after the fact, intervals of observations (with a scale of one). All of it refuses.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from statsmodels.base._prediction_inference import PredictionResultsBase
from statsmodels.regression.quantile_regression import QuantRegResults
from statsmodels.robust.robust_linear_model import RLMResults

from converter.regression.overrides import Given, cache_readonly


def _none(name: str) -> Any:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(
            f"{name} belongs to least squares; there is none of quantile regression "
            "(family='gaussian' gives the least-squares numbers)"
        )

    refuse.__name__ = name
    return refuse


class _Predicts(Given):
    def get_prediction(self, exog: Any = None) -> PredictionResultsBase:
        """Return predicted values of the line with their standard errors and intervals.

        Parameters
        ----------
        exog : array-like, shape (m, p), optional
            Rows of regressors, the intercept's included; by default those of the model.
        """
        rows = np.atleast_2d(np.asarray(self.model.exog if exog is None else exog, dtype=float))
        if rows.shape[1] != len(self.params):
            raise ValueError(
                f"exog has {rows.shape[1]} columns; there are {len(self.params)} terms"
            )
        variance = ((rows @ np.asarray(self.cov_params())) * rows).sum(axis=1)
        return PredictionResultsBase(
            rows @ np.asarray(self.params),
            variance,
            df=self.df_resid,
            dist="t" if self.use_t else "norm",
            row_labels=getattr(exog, "index", None),
        )


class GivenQuantRegResults(_Predicts, QuantRegResults):  # type: ignore[misc]
    """Quantile-regression results; the Wald tests, predictions and summaries are right anywhere."""

    get_influence = _none("get_influence")
    outlier_test = _none("outlier_test")
    el_test = _none("el_test")
    conf_int_el = _none("conf_int_el")
    compare_f_test = _none("compare_f_test")
    compare_lm_test = _none("compare_lm_test")
    compare_lr_test = _none("compare_lr_test")
    get_robustcov_results = _none("get_robustcov_results")
    info_criteria = _none("info_criteria")

    @cache_readonly  # type: ignore[untyped-decorator]
    def ess(self) -> float:
        """No number: there are no sums of squares."""
        return float("nan")

    @cache_readonly  # type: ignore[untyped-decorator]
    def fvalue(self) -> float:
        """Wald statistic of all slopes at the parameters, over their number."""
        return self._slopes[0]

    @cache_readonly  # type: ignore[untyped-decorator]
    def f_pvalue(self) -> float:
        """The p-value of the F-statistic."""
        return self._slopes[1]

    @property
    def _slopes(self) -> tuple[float, float]:
        terms = np.eye(len(self.params))[int(self.k_constant) :]
        if not len(terms):
            return float("nan"), float("nan")
        test = self.f_test(terms)
        return float(test.fvalue), float(test.pvalue)


class GivenRLMResults(_Predicts, RLMResults):  # type: ignore[misc]
    """Huber's results: what statsmodels computes of them holds at any parameters."""
