"""`convert`: a saved network and a table become a statsmodels regression, and how far it is off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import DataError, printable
from converter.model import AffineModel
from converter.regression.arguments import covariance_of, kept_of, targets_of
from converter.regression.caveats import (
    design_caveats,
    dispersion_caveats,
    fit_caveat,
    group_caveats,
    intercept_caveats,
    separation_caveats,
    structure_caveats,
    training_caveats,
)
from converter.regression.choice import Choice, choose, parts_of
from converter.regression.design import Design, design_of
from converter.regression.families import POISSON, Family, Likelihood, Multinomial
from converter.regression.joint import JointConversion
from converter.regression.moments import Moments, moments_at
from converter.regression.optimality import Optimality, Optimum, compare, optimum_of
from converter.regression.scaling import scalers_of, unscale
from converter.regression.wording import NETWORK, NO_OPTIMUM, astray, summary_text, verdict_sentence

if TYPE_CHECKING:
    import pandas as pd

# Sums of squares of larger numbers overflow.
_LARGEST = 1e145
_ADJECTIVES = {"Logit": "logistic", "Probit": "probit"}


@dataclass(frozen=True, repr=False)
class Conversion:
    """A network as a regression on a table.

    Parameters
    ----------
    model : AffineModel
        Of this regression's output, in the table's own units.
    family : str
        ``gaussian``, ``binomial``, ``multinomial`` or ``poisson``.
    nobs, dropped : int
        Rows used, and rows left out for missing values.
    optimality : Optimality
        How far the network is from the optimum, term by term and in one test.
    caveats : list of str
        What to know before believing the numbers, as plain sentences.
    """

    model: AffineModel
    family: str
    nobs: int
    dropped: int
    optimality: Optimality
    caveats: list[str]
    _design: Design
    _likelihood: Likelihood
    _exog: np.ndarray
    _terms: list[str]
    _outcomes: list[str]
    _params: np.ndarray
    _moments: Moments
    _optimum: Optimum
    _cov_type: str
    _cov_kwds: dict[str, Any] | None

    @cached_property
    def results(self) -> Any:
        """statsmodels results wrapper pinned at the network's coefficients."""
        there = self.optimality.verdict == "optimum"
        away = astray(self.optimality)
        return self._results(self._params, self._moments, NETWORK, away, there, 0)

    @cached_property
    def refit(self) -> Any:
        """statsmodels results wrapper at the optimum, on the same rows."""
        optimum = self._optimum
        away = None if optimum.converged else NO_OPTIMUM
        return self._results(
            optimum.params, optimum.moments, None, away, optimum.converged, optimum.iterations
        )

    def __getstate__(self) -> dict[str, Any]:
        # Saved, statsmodels' objects are statsmodels' own: make them anew.
        return {k: v for k, v in vars(self).items() if k not in ("results", "refit")}

    def _results(
        self,
        params: np.ndarray,
        moments: Moments,
        label: str | None,
        away: str | None,
        converged: bool,
        iterations: int,
    ) -> Any:
        import pandas as pd

        from converter.regression import pinned

        design = self._design
        exog = pd.DataFrame(self._exog, columns=self._terms)
        given: dict[str, Any] = {
            "has_constant": len(self._terms) > design.X.shape[1],
            "astray": away,
            "label": label,
            "cov_type": self._cov_type,
            "cov_kwds": self._cov_kwds,
        }
        if self._likelihood.scaled:
            endog = pd.Series(design.y, name=design.target)
            return pinned.ols_results(
                exog, endog, params, moments, _rss(moments), weights=design.weights, **given
            )
        return pinned.likelihood_results(
            self._likelihood,
            exog,
            self._endog(),
            design.y,
            params,
            moments,
            converged=converged,
            iterations=iterations,
            **given,
        )

    def _endog(self) -> Any:
        """Return the response as statsmodels wants it: of several classes, their labels."""
        import pandas as pd

        y, labels = self._design.y, self._design.labels
        if not self._outcomes:
            return pd.Series(y, name=self._design.target)
        codes = y.astype(int)
        if labels and list(labels) == sorted(labels):
            return pd.Series(np.array(labels, dtype=object)[codes], name=self._design.target)
        return pd.Series(codes, name=self._design.target)

    @property
    def labels(self) -> list[str]:
        """What each parameter is called: the term, of several equations behind the class."""
        return _labels(self._terms, self._outcomes)

    @property
    def verdict_sentence(self) -> str:
        """The verdict on the network, and which standard errors to use."""
        return verdict_sentence(self._likelihood, self.optimality)

    def tidy(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a term.

        Parameters
        ----------
        conf_level : float
            Coverage of the interval.

        Returns
        -------
        DataFrame
            Of several classes the outcome that is compared with the first; term, estimate,
            std_error, statistic, p_value, conf_low, conf_high at the network; optimum,
            optimum_std_error; drift in standard errors at the optimum.
        """
        import pandas as pd

        results, refit = self.results, self.refit
        error, statistic, pvalue, best = (
            np.asarray(one).ravel(order="F")
            for one in (results.bse, results.tvalues, results.pvalues, refit.bse)
        )
        # In the order of the parameters, as the rest; of several equations statsmodels' own is not.
        reach = error * _quantile(results, 1.0 - (1.0 - conf_level) / 2.0)
        equations = max(len(self._outcomes), 1)
        outcomes = np.repeat(self._outcomes, len(self._terms))
        return pd.DataFrame(
            ({"outcome": outcomes} if self._outcomes else {})
            | {
                "term": self._terms * equations,
                "estimate": self._params,
                "std_error": error,
                "statistic": statistic,
                "p_value": pvalue,
                "conf_low": self._params - reach,
                "conf_high": self._params + reach,
                "optimum": self._optimum.params,
                "optimum_std_error": best,
                "drift": list(self.optimality.drift.values()),
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return one row about the whole model, at the network's coefficients."""
        import pandas as pd

        results, found = self.results, self.optimality
        row: dict[str, Any] = {
            "family": self.family,
            "link": self.model.link,
            "nobs": self.nobs,
            "df_model": results.df_model,
            "df_resid": results.df_resid,
        }
        if self.family == "gaussian":
            row |= {
                "r_squared": results.rsquared,
                "adj_r_squared": results.rsquared_adj,
                "sigma": float(np.sqrt(results.scale)),
                "statistic": results.fvalue,
                "p_value": results.f_pvalue,
            }
        else:
            row |= {
                "pseudo_r_squared": results.prsquared,
                "null_log_lik": results.llnull,
                "statistic": results.llr,
                "p_value": results.llr_pvalue,
            }
        row |= {
            "log_lik": results.llf,
            "aic": results.aic,
            "bic": results.bic,
            "verdict": found.verdict,
            "max_drift": found.max_drift,
            "optimality_statistic": found.statistic,
            "optimality_p_value": found.pvalue,
        }
        return pd.DataFrame([row])

    def summary(self) -> str:
        """Return statsmodels' summary of the network, the comparison, the verdict, the caveats."""
        return summary_text(self)

    def __repr__(self) -> str:
        found = self.optimality
        return (
            f"Conversion({self._likelihood.regression}, {self.nobs} rows, "
            f"{len(self._params)} terms, verdict={found.verdict!r}, "
            f"max_drift={found.max_drift:.3g}; see .summary())"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything that `summary` says as plain Python values, ready for JSON."""
        return {
            "model": self.model.to_dict(),
            "family": self.family,
            "nobs": self.nobs,
            "dropped": self.dropped,
            "terms": self.tidy().to_dict("records"),
            "glance": self.glance().to_dict("records")[0],
            "optimality": self.optimality.to_dict(),
            "verdict": self.verdict_sentence,
            "caveats": list(self.caveats),
        }


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
    family : {"gaussian", "binomial", "multinomial", "poisson"}, optional
        By default what link and training loss make it.
    cov_type, cov_kwds
        Kind of covariance, as statsmodels takes them; ``groups`` and ``time`` may name a column,
        ``groups`` two.
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
    cov_kwds, beside = covariance_of(cov_type, cov_kwds, data)
    parts = [part for one in _folded(model, output, signature) for part in parts_of(one, family)]

    def converted(part: AffineModel, response: Any, others: Sequence[str]) -> Conversion:
        return _converted(
            choose(part, family),
            (data, response, features, weights, missing, base),
            others,
            (scaler, target_scaler),
            (cov_type, cov_kwds),
        )

    if len(parts) == 1:
        return converted(parts[0][1], target, beside)
    if target_scaler is not None:
        raise ValueError("a scaler of the target belongs to one output: choose it with output=")
    targets = targets_of(target, [name for name, _ in parts])
    columns = [one for one in targets if isinstance(one, str)]
    return JointConversion(
        {
            name: converted(part, own, [*beside, *(one for one in columns if one is not own)])
            for (name, part), own in zip(parts, targets, strict=True)
        }
    )


def _converted(
    choice: Choice,
    table: tuple[Any, Any, Any, Any, str, Any],
    others: Sequence[str],
    scalers: tuple[Any, Any],
    covariance: tuple[str, dict[str, Any] | None],
) -> Conversion:
    """Convert one regression; the arguments are those of `convert`, in groups."""
    scaler, target_scaler = scalers_of(*scalers)
    likelihood = choice.likelihood
    design = design_of(choice.model, *table, _classes(choice), others)
    if target_scaler is not None and not likelihood.scaled:
        raise DataError("a scaler of the target only makes sense for a linear regression")
    folded = unscale(choice.model, scaler, target_scaler, design.numbers)
    _check_response(likelihood, design)
    coded = folded if design.coding is None else design.coding.identified(folded)
    coef, intercept, has_constant = choice.equations(coded)
    terms = [_constant_name(design.names)] * has_constant + design.names
    params = np.concatenate([intercept[:, None], coef], axis=1)[:, int(not has_constant) :].ravel()
    outcomes = _outcomes(choice, design)
    labels = _labels(terms, outcomes)
    X = _with_constant(design.X, has_constant)
    for name, column in (*zip(terms, X.T, strict=True), (design.target, design.y)):
        if np.abs(column).max(initial=0.0) > _LARGEST:
            raise DataError(
                f"{printable(name)!r} holds numbers whose squares overflow; use another unit"
            )
    moments = moments_at(likelihood, X, design.y, params, design.weights)
    if likelihood.scaled and len(design.y) <= moments.rank:
        raise DataError(
            f"{len(design.y)} rows are too few for {len(params)} coefficients: nothing is left to "
            "estimate the residual variance from"
        )
    if not likelihood.scaled and len(design.y) <= X.shape[1]:
        raise DataError(
            f"{len(design.y)} rows are too few for {X.shape[1]} columns: any outcome is predicted "
            "without error, and there is no maximum-likelihood estimate"
        )
    optimum = optimum_of(likelihood, X, design.y, params, moments, design.weights)
    apart: list[int] = []
    if optimum.doubted:
        from converter.regression.separation import separating

        apart = separating(likelihood, X, design.y)
        optimum = replace(optimum, converged=optimum.converged and not apart)
    found = compare(likelihood, labels, params, moments, optimum)
    caveats = [
        *_fit_caveats(
            likelihood,
            X,
            design,
            params,
            moments,
            has_constant,
            scaled=(scaler is not None, target_scaler is not None),
        ),
        *training_caveats(folded, likelihood.regression),
        *structure_caveats(coef, design.names),
        *(() if design.coding is None else design.coding.sentences),
        *design_caveats(moments, labels),
        *group_caveats(covariance[0], kept_of(covariance[1], design), len(params)),
        *intercept_caveats(has_constant, likelihood.regression),
        *_response_caveats(choice, design, X, optimum),
        *separation_caveats([labels[place] for place in apart]),
    ]
    if design.dropped:
        caveats.append(f"{design.dropped} rows with missing values were left out.")
    return Conversion(
        model=folded,
        family=likelihood.name,
        nobs=len(design.y),
        dropped=design.dropped,
        optimality=found,
        caveats=caveats,
        _design=design,
        _likelihood=likelihood,
        _exog=X,
        _terms=terms,
        _outcomes=outcomes,
        _params=params,
        _moments=moments,
        _optimum=optimum,
        _cov_type=covariance[0],
        _cov_kwds=kept_of(covariance[1], design),
    )


def _labels(terms: list[str], outcomes: list[str]) -> list[str]:
    return [f"{outcome}: {term}" for outcome in outcomes for term in terms] or terms


def _quantile(results: Any, probability: float) -> float:
    """Return a quantile of the distribution that statsmodels takes for the coefficients."""
    from scipy import stats

    if not results.use_t:
        return float(stats.norm.ppf(probability))
    df = getattr(results, "df_resid_inference", None) or results.df_resid
    return float(stats.t.ppf(probability, df))


def _classes(choice: Choice) -> Sequence[str]:
    """Return what the classes are called, where the response is in classes."""
    return choice.classes or (("0", "1") if choice.likelihood.name == "binomial" else ())


def _outcomes(choice: Choice, design: Design) -> list[str]:
    """Return the classes that are compared with the first; empty if one equation says it all."""
    if choice.likelihood.name != "multinomial":
        return []
    return [str(one) for one in (design.labels or choice.classes)[1:]]


def _folded(model: Any, output: str | int | None, signature: str | None) -> list[AffineModel]:
    if not isinstance(model, AffineModel):
        from converter.inspection import fold_each

        return fold_each(model, output, signature)
    if signature is not None:
        raise ValueError("signature chooses within a file; this model has been folded already")
    return [model if output is None else model.select(output)]


def _check_response(likelihood: Likelihood, design: Design) -> None:
    values = np.unique(design.y)
    shown = ", ".join(f"{value:g}" for value in values[:5])
    name = printable(design.target)
    if not likelihood.scaled and design.weights is not None:
        raise DataError("weights are only supported for the gaussian family")
    if likelihood.name == "binomial" and not np.isin(values, (0.0, 1.0)).all():
        raise DataError(
            f"a {_ADJECTIVES[likelihood.regression]} regression needs a target of 0 and 1 "
            f"(or two labels); {name!r} holds {shown}"
        )
    if likelihood.name == "poisson" and (values < 0).any():
        raise DataError(f"a Poisson regression needs counts; {name!r} holds {shown}")
    if isinstance(likelihood, Multinomial) and len(values) < likelihood.classes:
        raise DataError(
            f"the target {name!r} has {len(values)} of the network's {likelihood.classes} classes; "
            "without rows of the others there is no multinomial regression"
        )
    if len(values) == 1:
        if likelihood.name == "binomial":
            raise DataError(f"the target {name!r} has one class only ({values[0]:g})")
        raise DataError(f"the target {name!r} is constant ({values[0]:g})")


def _constant_name(names: list[str]) -> str:
    name = "const"
    while name in names:
        name += "_"
    return name


def _with_constant(X: np.ndarray, has_constant: bool) -> np.ndarray:
    return np.column_stack([np.ones(len(X)), X]) if has_constant else X


def _rss(moments: Moments) -> float:
    """Return the residual sum of squares at the coefficients of a Gaussian state."""
    return moments.remainder + moments.gain


def _fit_caveats(
    likelihood: Likelihood,
    X: np.ndarray,
    design: Design,
    params: np.ndarray,
    moments: Moments,
    has_constant: bool,
    scaled: tuple[bool, bool],
) -> list[str]:
    y, name = design.y, likelihood.regression
    if not likelihood.scaled:
        null, network = -likelihood.null(y, has_constant), -likelihood.total(X, y, params)
        return fit_caveat(name, network, null, None, scaled)
    w = np.ones_like(y) if design.weights is None else design.weights
    center = np.average(y, weights=w) if has_constant else 0.0
    total = float(w @ (y - center) ** 2)
    rss = _rss(moments)
    said = fit_caveat(name, rss, total, 1.0 - rss / total, scaled) if total > 0 else []
    if set(np.unique(y)) <= {0.0, 1.0}:
        said.insert(
            0,
            "The target is 0/1 and the output is linear: if the network was trained from "
            "logits, ask for the logistic regression with family='binomial' (--family "
            "binomial).",
        )
    return said


def _response_caveats(choice: Choice, design: Design, X: np.ndarray, optimum: Optimum) -> list[str]:
    """Say how labels were numbered, what is compared with what, and whether counts are counts."""
    said = []
    y, name = design.y, printable(design.target)
    if design.labels:
        shown = [f"{printable(str(one))} is {n}" for n, one in enumerate(design.labels[:8])]
        more = ", ..." if len(design.labels) > 8 else ""
        said.append(f"The classes of {name!r} were taken for numbers: {', '.join(shown)}{more}.")
    if choice.classes:
        first, *others = design.labels or choice.classes
        against = printable(str(others[0])) if len(others) == 1 else "each other class"
        said.append(
            f"Coefficients are contrasts, of the unit of {against} with that of the base class "
            f"{printable(str(first))}; what is added to all units alike has no effect."
        )
    if choice.likelihood is POISSON:
        assert isinstance(choice.likelihood, Family)
        if not np.array_equal(y, np.rint(y)):
            said.append(
                f"{name!r} holds numbers that are no counts: the coefficients are those of a "
                "quasi-likelihood, and robust standard errors (cov_type='HC0') are wanted."
            )
        if optimum.converged:
            mean = choice.likelihood.mean(X @ optimum.params)
            said += dispersion_caveats(y, mean, len(y) - optimum.moments.rank)
    return said
