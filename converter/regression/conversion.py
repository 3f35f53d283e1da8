"""`convert`: a saved network and a table become a statsmodels regression, and how far it is off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import DataError, printable
from converter.model import AffineModel
from converter.regression.caveats import (
    design_caveats,
    fit_caveat,
    intercept_caveats,
    structure_caveats,
    training_caveats,
)
from converter.regression.design import Design, design_of
from converter.regression.families import COVARIANCES, FAMILIES, Family
from converter.regression.moments import Moments, moments_at
from converter.regression.optimality import Optimality, Optimum, compare, optimum_of
from converter.regression.scaling import scalers_of, unscale
from converter.regression.wording import NETWORK, summary_text, verdict_sentence

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Conversion:
    """A network as a regression on a table.

    Parameters
    ----------
    model : AffineModel
        Of one output, in the table's own units.
    family : str
        ``gaussian`` or ``binomial``.
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
    _exog: np.ndarray
    _terms: list[str]
    _params: np.ndarray
    _moments: Moments
    _optimum: Optimum
    _cov_type: str
    _cov_kwds: dict[str, Any] | None

    @cached_property
    def results(self) -> Any:
        """statsmodels results wrapper pinned at the network's coefficients."""
        return self._results(self._params, self._moments, NETWORK, True, 0)

    @cached_property
    def refit(self) -> Any:
        """statsmodels results wrapper at the optimum, on the same rows."""
        optimum = self._optimum
        return self._results(
            optimum.params, optimum.moments, "MLE", optimum.converged, optimum.iterations
        )

    def _results(
        self, params: np.ndarray, moments: Moments, method: str, converged: bool, iterations: int
    ) -> Any:
        import pandas as pd

        from converter.regression import pinned

        design = self._design
        has_constant = len(self._terms) > design.X.shape[1]
        exog = pd.DataFrame(self._exog, columns=self._terms)
        endog = pd.Series(design.y, name=design.target)
        if self.family == "gaussian":
            return pinned.ols_results(
                exog,
                endog,
                params,
                moments,
                _rss(moments),
                has_constant=has_constant,
                weights=design.weights,
                cov_type=self._cov_type,
                cov_kwds=self._cov_kwds,
            )
        family = FAMILIES[self.family]
        assert family.log_likelihood is not None
        eta = self._exog @ params
        return pinned.logit_results(
            exog,
            endog,
            params,
            moments,
            llf=float(family.log_likelihood(design.y, eta).sum()),
            has_constant=has_constant,
            method=method,
            converged=converged,
            iterations=iterations,
            cov_type=self._cov_type,
            cov_kwds=self._cov_kwds,
        )

    @property
    def verdict_sentence(self) -> str:
        """The verdict on the network, and which standard errors to use."""
        return verdict_sentence(self.family, self.optimality)

    def tidy(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row a term.

        Parameters
        ----------
        conf_level : float
            Coverage of the interval.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, p_value, conf_low, conf_high at the network;
            optimum, optimum_std_error; drift in standard errors at the optimum.
        """
        import pandas as pd

        interval = np.asarray(self.results.conf_int(alpha=1.0 - conf_level))
        return pd.DataFrame(
            {
                "term": self._terms,
                "estimate": self._params,
                "std_error": np.asarray(self.results.bse),
                "statistic": np.asarray(self.results.tvalues),
                "p_value": np.asarray(self.results.pvalues),
                "conf_low": interval[:, 0],
                "conf_high": interval[:, 1],
                "optimum": self._optimum.params,
                "optimum_std_error": np.asarray(self.refit.bse),
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
            f"Conversion({FAMILIES[self.family].regression}, {self.nobs} rows, "
            f"{len(self._terms)} terms, verdict={found.verdict!r}, "
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
) -> Conversion:
    """Turn a saved network and a table into a statsmodels regression.

    Parameters
    ----------
    model : path-like or AffineModel
    data : path-like, DataFrame (pandas, polars), Arrow table, mapping, or array
        Shape (n, columns). Files are CSV, Parquet or Arrow IPC.
    target : str, int, or array-like of shape (n,)
        The response: a column's name (or place, in an array), or its values.
    features : sequence of str, or mapping of input name to column, optional
        The columns in the order of the model's inputs. By default those of the inputs' names,
        else all columns of the table but the target (and the weights), in their order.
    family : {"gaussian", "binomial"}, optional
        By default what link and training loss make it.
    cov_type, cov_kwds
        Kind of covariance, as statsmodels takes them.
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
        the first that occurs.
    signature : str, optional
        Which signature of a SavedModel: by default ``serving_default``, or the only one.

    Returns
    -------
    Conversion

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
    if cov_type not in COVARIANCES:
        raise ValueError(f"cov_type must be one of {', '.join(COVARIANCES)}, not {cov_type!r}")
    folded = _one_output(model, output, signature)
    chosen = _family(folded, family)
    design = design_of(folded, data, target, features, weights, missing, base)
    scaler, target_scaler = scalers_of(scaler, target_scaler)
    folded = unscale(folded, scaler, target_scaler, design.numbers)
    _check_response(chosen, design)
    coded = folded if design.coding is None else design.coding.identified(folded)
    has_constant = bool(coded.has_intercept[0])
    terms = [_constant_name(design.names)] * has_constant + design.names
    params = np.concatenate([coded.intercept[:1], coded.coef[0]])[int(not has_constant) :]
    X = _with_constant(design.X, has_constant)
    moments = moments_at(chosen, X, design.y, params, design.weights)
    if chosen.name == "gaussian" and len(design.y) <= moments.rank:
        raise DataError(
            f"{len(design.y)} rows are too few for {len(params)} coefficients: nothing is left to "
            "estimate the residual variance from"
        )
    optimum = optimum_of(chosen, X, design.y, params, moments, design.weights)
    found = compare(chosen, terms, params, moments, optimum)
    caveats = [
        *_fit_caveats(
            chosen,
            X,
            design,
            params,
            moments,
            has_constant,
            scaled=(scaler is not None, target_scaler is not None),
        ),
        *training_caveats(folded, chosen.name),
        *structure_caveats(coded, design.names),
        *(() if design.coding is None else design.coding.sentences),
        *design_caveats(moments, terms),
        *intercept_caveats(has_constant, chosen.name),
    ]
    if design.dropped:
        caveats.append(f"{design.dropped} rows with missing values were left out.")
    return Conversion(
        model=folded,
        family=chosen.name,
        nobs=len(design.y),
        dropped=design.dropped,
        optimality=found,
        caveats=caveats,
        _design=design,
        _exog=X,
        _terms=terms,
        _params=params,
        _moments=moments,
        _optimum=optimum,
        _cov_type=cov_type,
        _cov_kwds=_kept(cov_kwds, design),
    )


def _kept(cov_kwds: dict[str, Any] | None, design: Design) -> dict[str, Any] | None:
    """Leave out of groups and times the rows that were left out of the table."""
    if cov_kwds is None or design.kept is None:
        return cov_kwds
    return {
        key: np.asarray(value)[design.kept] if np.shape(value)[:1] == design.kept.shape else value
        for key, value in cov_kwds.items()
    }


def _one_output(model: Any, output: str | int | None, signature: str | None) -> AffineModel:
    if not isinstance(model, AffineModel):
        from converter.inspection import fold

        model = fold(model, output=output, signature=signature)
        output = None
    elif signature is not None:
        raise ValueError("signature chooses within a file; this model has been folded already")
    if model.link not in ("identity", "logit"):
        raise ValueError(
            f"{printable(model.path)}: a network behind the link {model.link!r} folds to "
            "coefficients (fold), but is not yet converted to a statsmodels model; identity and "
            "logit are"
        )
    names = list(model.output_names)
    if output is not None:
        model = model.select(output)
    if len(model.coef) == 2 and _is_pair(model):
        # A binary classifier's [1 - p, p]: the regression of the second class.
        model = model.select(1)
    if len(model.coef) != 1:
        raise ValueError(
            f"{printable(model.path)}: the model has {len(model.coef)} outputs "
            f"({', '.join(map(printable, names[:8]))}); choose one with output= (--output)"
        )
    return model


def _is_pair(model: AffineModel) -> bool:
    """Tell whether two outputs are one probability and the rest to one."""
    size = np.abs(model.coef).max(initial=0.0)
    return model.link == "logit" and bool(
        np.abs(model.coef.sum(axis=0)).max(initial=0.0) <= 1e-12 * size
        and abs(model.intercept.sum()) <= 1e-12 * np.abs(model.intercept).max()
    )


def _family(model: AffineModel, family: str | None) -> Family:
    name = model.family if family is None else family
    if name not in FAMILIES:
        raise ValueError(f"family must be one of {sorted(FAMILIES)}, not {name!r}")
    if name == "gaussian" and model.link != "identity":
        raise ValueError(
            f"a network that ends in a sigmoid (link {model.link!r}) is not a gaussian regression"
        )
    return FAMILIES[name]


def _check_response(family: Family, design: Design) -> None:
    values = np.unique(design.y)
    if family.name == "binomial":
        if design.weights is not None:
            raise DataError("weights are only supported for the gaussian family")
        if not np.isin(values, (0.0, 1.0)).all():
            shown = ", ".join(f"{value:g}" for value in values[:5])
            raise DataError(
                f"a logistic regression needs a target of 0 and 1; {design.target!r} holds {shown}"
            )
        if len(values) == 1:
            raise DataError(f"the target {design.target!r} has one class only ({values[0]:g})")
    elif len(values) == 1:
        raise DataError(f"the target {design.target!r} is constant ({values[0]:g})")


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
    family: Family,
    X: np.ndarray,
    design: Design,
    params: np.ndarray,
    moments: Moments,
    has_constant: bool,
    scaled: tuple[bool, bool],
) -> list[str]:
    y = design.y
    if family.log_likelihood is None:
        w = np.ones_like(y) if design.weights is None else design.weights
        center = np.average(y, weights=w) if has_constant else 0.0
        total = float(w @ (y - center) ** 2)
        rss = _rss(moments)
        said = fit_caveat(family.name, rss, total, 1.0 - rss / total, scaled)
        if set(np.unique(y)) <= {0.0, 1.0} and family.name == "gaussian":
            said.insert(
                0,
                "The target is 0/1 and the output is linear: if the network was trained from "
                "logits, ask for the logistic regression with family='binomial' (--family "
                "binomial).",
            )
        return said
    share = y.mean() if has_constant else 0.5
    null = -float(len(y) * (y.mean() * np.log(share) + (1 - y.mean()) * np.log1p(-share)))
    network = -float(family.log_likelihood(y, X @ params).sum())
    return fit_caveat(family.name, network, null, None, scaled)
