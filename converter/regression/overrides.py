"""statsmodels' results classes where parameters need not minimise the loss.

statsmodels takes for granted that what it reports on is a fit. Of the public methods of its
results, some read the parameters and their covariance only and are right anywhere: params, bse,
tvalues, pvalues, conf_int, cov_params, t_test, f_test, predict, get_prediction, get_distribution,
get_margeff, pred_table, predict_prob, the residuals, HC0_se .. HC3_se, llf, aic, bic, mse_resid,
mse_total, eigenvals, condition_number, save. The others:

====================  ============================================================================
get_influence         deletes a row by one step from a zero score: only at the optimum
outlier_test          as get_influence
el_test, conf_int_el  search from, and bracket by, the least-squares estimate: only at the optimum
compare_lr_test       differences of maximised likelihoods: only at the optimum
compare_lm_test       a function of the restricted fit alone, but statsmodels takes residuals off
                      the optimum for a model that is not nested: nesting is judged by geometry.
                      With ``use_lr``, of the full residuals: only at the optimum. Clustered, what
                      statsmodels returns is too small by a factor n: here it is not
compare_f_test        a difference of minima: the Wald statistic of the restriction instead, which
                      equals it at the optimum; with a robust covariance too
ess, mse_model,       differences of minima: from the fitted values, hence `fvalue` is the Wald
fvalue, f_pvalue      statistic of all slopes
rsquared, llr, ..     comparisons with the null model; may be negative, which is honest: left
info_criteria         of likelihoods: df_model + 1 parameters are counted, whether there is an
                      intercept or several equations: the rank, as aic and bic; ``tic`` and
                      ``gbic`` (and im_ratio) assume a zero score: only at the optimum
score_test            of the parameters themselves and at ``params_constrained``: right anywhere;
                      of further columns, or of fewer restrictions: only at the optimum
get_diagnostic        tests of the residuals of a fit: only at the optimum
set_null_options      recomputes the null model with an intercept, even if there is none here
wald_test             judges the rank of a covariance in its own units: of correlations instead
wald_test_terms       has no meaning for several equations, and fails: refused for MNLogit
t_test_pairwise       needs a formula, and fails without: refused
of MNLogit            get_influence, get_prediction and get_margeff of ``dyex`` and ``eyex`` are
                      not there in statsmodels, and fail: refused; `fittedvalues` fails in the
                      wrapper, for any fit
remove_data           wipes what summary reads: kept
get_robustcov_results makes another object of the same class: told what this one was told
summary, summary2     say how the parameters came about
====================  ============================================================================

Likelihoods are in `likelihood_overrides`.
"""

from __future__ import annotations

import copy
import copyreg
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import statsmodels.stats.sandwich_covariance as sandwich
from scipy import stats
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.regression.linear_model import OLSResults, RegressionResults

from converter.regression.wording import TIED

# Where statsmodels has it changes with the version.
cache_readonly: Any = type(vars(RegressionResults)["ess"])
# Squared distance from the optimum, in standard errors, that a fit may have.
_FITTED = 1e-4
# Sines of angles between columns and a space that they are in.
_WITHIN = 1e-6
_NOTE = "The coefficients are the weights of a network; they were not fitted to these rows."


def at_optimum(method: Callable[..., Any], why: str) -> Callable[..., Any]:
    """Return a method that refuses to work away from the optimum."""

    @functools.wraps(method)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.require_optimum(method.__name__, why)
        return method(self, *args, **kwargs)

    return checked


class Given(LikelihoodModelResults):  # type: ignore[misc]
    """What all kinds have in common."""

    #: Why what assumes a fit does not hold, as a clause with the method's {name}; None at a fit.
    _astray: str | None = None
    #: How the parameters came about, if not by a fit.
    _label: str | None = None
    #: What the summary says of the parameters beside.
    _note: str | None = None
    #: Whether the covariance is that of a restricted regression.
    _tied: bool = False

    def require_optimum(self, name: str, why: str) -> None:
        """Refuse in one sentence away from the optimum."""
        if self._astray is None:
            return
        raise ValueError(f"{name} assumes {why}, and {self._astray.format(name=name)}")

    def criterion(self, crit: str, more: float = 0) -> float:
        """Return AIC or BIC, which count what was estimated from the rows."""
        terms = self.nobs - self.df_resid + more
        return float(
            -2.0 * self.llf + terms * (2.0 if crit.lower() == "aic" else np.log(self.nobs))
        )

    def _own(self) -> None:
        """Fill the cache with what statsmodels would compute in another way."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Whoever opens the file need not have this package.
        kind = next(one for one in type(self).__mro__ if one.__module__.startswith("statsmodels."))
        self._own()
        own = ("_astray", "_label", "_tied", "_note")
        state = {name: value for name, value in vars(self).items() if name not in own}
        if self._label:  # what statsmodels' own class shows of it, so that it stays told
            state["model"] = _labelled(self.model, self._label)
        return copyreg._reconstructor, (kind, object, None), state  # type: ignore[attr-defined]

    def __copy__(self) -> Any:
        other = object.__new__(type(self))
        other.__dict__.update(vars(self))
        return other

    def __deepcopy__(self, memo: Any) -> Any:
        other = memo[id(self)] = object.__new__(type(self))
        other.__dict__.update(copy.deepcopy(vars(self), memo))
        return other

    def remove_data(self) -> None:
        self.summary()  # fills caches, those of names too
        self._own()
        rows = int(self.nobs)
        kept = {name: one for name, one in self._cache.items() if rows not in np.shape(one)}
        super().remove_data()
        self._cache.update(kept)

    remove_data.__doc__ = LikelihoodModelResults.remove_data.__doc__

    def wald_test(
        self, r_matrix: Any, cov_p: Any = None, invcov: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if invcov is None:
            names = self.model.data.cov_names
            if self.params.ndim == 2:
                names = [f"y{one}_{term}" for one, term in names]
            matrix, values = _constraints(r_matrix, names)
            deviations = np.sqrt(np.diag(self.cov_params(r_matrix=matrix, cov_p=cov_p)))
            deviations = np.where(deviations > 0, deviations, 1.0)
            r_matrix = (matrix / deviations[:, None], values / deviations)
        return super().wald_test(r_matrix, cov_p, invcov, *args, **kwargs)

    wald_test.__doc__ = LikelihoodModelResults.wald_test.__doc__

    def t_test_pairwise(self, term_name: str, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            "t_test_pairwise takes the levels of a term from a formula, and a network has none; "
            "test the differences themselves with t_test"
        )

    def summary(self, *args: Any, **kwargs: Any) -> Any:
        shown = super().summary(*args, **kwargs)
        if self._label:
            for row in shown.tables[0]:
                for cell, following in itertools.pairwise([*row, None]):
                    text = str(cell.data).strip()
                    if text in ("Least Squares", "IRLS"):
                        cell.data = self._label
                    elif text == "converged:" and following is not None:
                        following.data = "not fitted"
        note = _NOTE if self._label else self._note
        if note:
            shown.add_extra_txt([*filter(None, [shown.extra_txt]), note])
        return shown

    def summary2(self, *args: Any, **kwargs: Any) -> Any:
        shown = super().summary2(*args, **kwargs)
        if self._label:
            shown.add_text(_NOTE)
        return shown


# Regression --------------------------------------------------------------------------------------


class _Regression(Given, RegressionResults):  # type: ignore[misc]
    def _own(self) -> None:
        for name in ("ess", "mse_model", "fvalue", "f_pvalue", "aic", "bic"):
            getattr(self, name)

    @cache_readonly  # type: ignore[untyped-decorator]
    def aic(self) -> Any:
        """Akaike's information criterion, of the parameters that were estimated."""
        return self.criterion("aic")

    @cache_readonly  # type: ignore[untyped-decorator]
    def bic(self) -> Any:
        """Bayes' information criterion, of the parameters that were estimated."""
        return self.criterion("bic")

    def info_criteria(self, crit: str, dk_params: float = 0) -> Any:
        """Return an information criterion, of the parameters that were estimated."""
        if crit.lower() in ("aic", "bic"):
            return self.criterion(crit, dk_params)
        more = self.nobs - self.df_resid - self.df_model - self.k_constant
        return super().info_criteria(crit, dk_params + more)

    @cache_readonly  # type: ignore[untyped-decorator]
    def ess(self) -> Any:
        """The explained sum of squares: of the fitted values, about their mean if centred.

        Over the scale it is the Wald statistic of all slopes (Frisch, Waugh and Lovell), without
        inverting a covariance, and whatever the rank.
        """
        fitted = np.asarray(self.model.exog) @ np.asarray(self.params)
        weights = np.broadcast_to(np.asarray(self.model.weights), fitted.shape)
        center = np.average(fitted, weights=weights) if self.k_constant else 0.0
        return weights @ (fitted - center) ** 2

    @cache_readonly  # type: ignore[untyped-decorator]
    def fvalue(self) -> Any:
        """Wald statistic of all slopes at the parameters, over their number."""
        slopes = int(self.df_model)
        if not slopes:
            return np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.cov_type == "nonrobust" and not self._tied:
                return self.ess / slopes / self.scale
            chosen = slice(int(self.k_constant), None)
            covariance = np.asarray(self.cov_params())[chosen, chosen]
            return _wald(np.asarray(self.params)[chosen], covariance, slopes) / slopes

    @cache_readonly  # type: ignore[untyped-decorator]
    def f_pvalue(self) -> Any:
        """The p-value of the F-statistic."""
        return (
            stats.f.sf(self.fvalue, self.df_model, self._denominator) if self.df_model else np.nan
        )

    @property
    def _denominator(self) -> float:
        # Clusters leave fewer degrees of freedom than rows do.
        return float(getattr(self, "df_resid_inference", None) or self.df_resid)

    def summary2(self, *args: Any, **kwargs: Any) -> Any:
        if self.model.exog is None:
            raise ValueError("summary2 reads the rows, which were removed; summary does not")
        return super().summary2(*args, **kwargs)

    def get_robustcov_results(
        self, cov_type: str = "HC1", use_t: bool | None = None, **kwargs: Any
    ) -> Any:
        made = super().get_robustcov_results(cov_type, use_t, **kwargs)
        if made is not self:
            made._astray, made._label = self._astray, self._label
            made._cache["ssr"] = self.ssr
            made._cache.setdefault("scale", self.ssr / self.df_resid)
        return made

    get_robustcov_results.__doc__ = RegressionResults.get_robustcov_results.__doc__

    def _within(self, restricted: Any) -> tuple[np.ndarray, np.ndarray, int]:
        """Return bases of the spaces of both models, and by how many dimensions they differ."""
        if self._tied:
            raise ValueError(f"comparisons of models assume a fit, and {TIED}")
        wendog, other = np.asarray(self.model.wendog), np.asarray(restricted.model.wendog)
        if wendog.shape != other.shape or not np.allclose(wendog, other, 1e-10, 0.0):
            raise ValueError("the restricted model has other rows, another response or weights")
        full, small = _basis(self.model.wexog), _basis(restricted.model.wexog)
        beyond = small - full @ (full.T @ small)
        if np.abs(beyond).max(initial=0.0) > _WITHIN or full.shape[1] <= small.shape[1]:
            raise ValueError("Restricted model is not nested by full model.")
        return full, small, full.shape[1] - small.shape[1]

    def compare_f_test(self, restricted: Any) -> tuple[float, float, int]:
        """Test a restriction by its Wald statistic at the parameters.

        Parameters
        ----------
        restricted : RegressionResults
            Its columns are what matters, not its parameters.

        Returns
        -------
        f_value, p_value, df_diff
            At the least-squares estimate those of the F test of both sums of squares; with a
            robust covariance, the robust test.
        """
        _, small, df = self._within(restricted)
        columns = np.asarray(self.model.wexog)
        outside = columns - small @ (small.T @ columns)
        # Not by lengths of what is left: of a column inside, it is rounding errors.
        lengths = np.sqrt((columns**2).sum(axis=0))
        axes = np.linalg.svd(outside / np.where(lengths > 0, lengths, 1.0), full_matrices=False)[0]
        constraints = axes[:, :df].T @ outside
        distances = constraints @ np.asarray(self.params)
        if self.cov_type == "nonrobust":
            statistic = distances @ distances / self.scale
        else:
            statistic = _wald(distances, self.cov_params(r_matrix=constraints), df)
        value = float(statistic / df)
        return value, float(stats.f.sf(value, df, self._denominator)), df

    def compare_lm_test(
        self, restricted: Any, demean: bool = True, use_lr: bool = False
    ) -> tuple[float, float, int]:
        full, small, df = self._within(restricted)
        resid = np.asarray(restricted.wresid)
        left, size = small.T @ resid, len(resid)
        if left @ left > _FITTED * small.shape[1] * (resid @ resid) / (size - small.shape[1]):
            raise ValueError(
                "the restricted model's coefficients are not its least-squares estimate: fit it"
            )
        if use_lr:
            self.require_optimum("compare_lm_test(use_lr=True)", "residuals of least squares")
        kind = self.cov_type
        if kind == "nonrobust":
            score = full.T @ resid
            statistic = score @ score / (resid @ resid / size)
            return float(statistic), float(stats.chi2.sf(statistic, df)), df
        # In an orthonormal basis: the statistic is the same, the matrix is well scaled.
        score = full.T @ resid
        scores = full * np.asarray(self.wresid if use_lr else resid)[:, None]
        if demean and not use_lr:
            scores = scores - scores.mean(axis=0)
        if kind in ("HC0", "HC1", "HC2", "HC3"):
            inner = scores.T @ scores
        elif kind == "HAC":
            inner = sandwich.S_hac_simple(scores, self.cov_kwds["maxlags"])
        elif kind == "cluster" and np.ndim(self.cov_kwds["groups"]) == 1:
            codes = np.unique(np.asarray(self.cov_kwds["groups"]), return_inverse=True)[1]
            inner = sandwich.S_crosssection(scores, codes)
        else:
            raise ValueError("Only nonrobust, HC, HAC and one-way cluster have an LM test")
        if np.linalg.matrix_rank(inner) < len(inner):
            raise ValueError(
                "the covariance of the scores is singular: too few groups for the test"
            )
        statistic = score @ np.linalg.solve(inner, score)
        return float(statistic), float(stats.chi2.sf(statistic, df)), df

    compare_lm_test.__doc__ = RegressionResults.compare_lm_test.__doc__

    def compare_lr_test(self, restricted: Any, large_sample: bool = False) -> Any:
        self.require_optimum("compare_lr_test", "two maximised likelihoods")
        self._within(restricted)
        return super().compare_lr_test(restricted, large_sample)

    compare_lr_test.__doc__ = RegressionResults.compare_lr_test.__doc__


class GivenWLSResults(_Regression, RegressionResults):  # type: ignore[misc]
    """WLS results at given parameters."""


class GivenOLSResults(_Regression, OLSResults):  # type: ignore[misc]
    """OLS results at given parameters."""

    get_influence = at_optimum(OLSResults.get_influence, "residuals of least squares")
    outlier_test = at_optimum(OLSResults.outlier_test, "residuals of least squares")
    el_test = at_optimum(OLSResults.el_test, "a search from the least-squares estimate")
    conf_int_el = at_optimum(OLSResults.conf_int_el, "an interval about the least-squares estimate")


def _labelled(model: Any, label: str) -> Any:
    """Return a model whose summaries say of the response how the parameters came about."""
    labelled, data = copy.copy(model), copy.copy(model.data)
    data._cache = dict(getattr(data, "_cache", {}))
    if isinstance(data.ynames, str):
        data.ynames = f"{data.ynames} ({label.lower()})"
    labelled.data = data
    return labelled


# Numbers -----------------------------------------------------------------------------------------


def _constraints(given: Any, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return linear constraints, in words or numbers, as a matrix and the values that it gives."""
    try:
        from statsmodels.formula._manager import FormulaManager
    except ImportError:  # before 0.15
        from patsy import DesignInfo  # type: ignore[import-untyped]

        found = DesignInfo(names).linear_constraint(given)
        return np.asarray(found.coefs), np.ravel(found.constants)
    found = FormulaManager().get_linear_constraints(given, names)
    matrix, values = np.asarray(found.constraint_matrix), found.constraint_values
    return matrix, np.zeros(len(matrix)) if values is None else np.ravel(values)


def _basis(columns: Any) -> np.ndarray:
    """Return an orthonormal basis of the space of columns, whatever their units."""
    columns = np.asarray(columns, dtype=np.float64)
    lengths = np.sqrt((columns**2).sum(axis=0))
    u, s, _ = np.linalg.svd(columns / np.where(lengths > 0, lengths, 1.0), full_matrices=False)
    return np.asarray(u[:, s > s.max(initial=0.0) * max(columns.shape) * np.finfo(float).eps])


def _wald(values: np.ndarray, covariance: Any, df: int) -> float:
    """Return the Wald statistic of values; NaN if their covariance leaves some of `df` untested.

    A covariance of a few clusters has no more dimensions than there are clusters, and any value
    outside of them would count for nothing.
    """
    deviations = np.sqrt(np.diag(covariance))
    if not (deviations > 0).all():
        return float("inf") if values.any() and not deviations.any() else float("nan")
    # Correlations are better conditioned than covariances of columns in different units.
    z = values / deviations
    solved, _, rank, _ = np.linalg.lstsq(
        covariance / np.outer(deviations, deviations), z, rcond=None
    )
    return float(z @ solved) if rank >= df else float("nan")
