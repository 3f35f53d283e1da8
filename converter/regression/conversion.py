"""A network as a statsmodels regression on a table, and how far it is off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.jsonable import plain
from converter.model import AffineModel
from converter.regression.caveats import Caveat
from converter.regression.design import Columns, Design
from converter.regression.families import Likelihood
from converter.regression.moments import Moments
from converter.regression.optimality import Optimality, Optimum
from converter.regression.origin import Origin
from converter.regression.robust import MEstimator
from converter.regression.shown import Shown
from converter.regression.wording import (
    NETWORK,
    NO_OPTIMUM,
    TIED,
    astray,
    summary_text,
    verdict_sentence,
)

if TYPE_CHECKING:
    import os

    import pandas as pd


@dataclass(frozen=True, repr=False)
class Conversion(Shown):
    """A network as a regression on a table.

    Parameters
    ----------
    model : AffineModel
        Of this regression's output, in the table's own units.
    family : str
        ``gaussian``, ``binomial``, ``multinomial``, ``poisson``, ``quantile`` or ``huber``.
    nobs, dropped : int
        Rows used, and rows left out for missing values.
    optimality : Optimality
        How far the network is from the optimum, term by term and in one test.
    caveats : list of str
        What to know before believing the numbers, as plain sentences; the `topic` of each is its
        section in docs/caveats.md.
    training_data : bool
        Whether the network was trained on these rows; if not, the numbers are an evaluation.
    parameters : float
        What the architecture lets these equations estimate: as many as there are coefficients,
        unless the regression is restricted. (Of outputs that share parameters, its part.)
    passes : int
        How often the rows were read, where they were streamed past; 0 where they are in memory.
    origin : Origin or None
        Where the rows came from.
    """

    model: AffineModel
    family: str
    nobs: int
    dropped: int
    optimality: Optimality
    caveats: list[Caveat]
    training_data: bool
    parameters: float
    _design: Columns
    _likelihood: Likelihood
    _exog: np.ndarray | None
    _terms: list[str]
    _outcomes: list[str]
    _params: np.ndarray
    _moments: Moments
    _optimum: Optimum
    _cov_type: str
    _cov_kwds: dict[str, Any] | None
    _null: float
    _covariance: np.ndarray | None = None
    passes: int = 0
    origin: Origin | None = None

    @property
    def _tied(self) -> str | None:
        """Why what belongs to an ordinary regression does not hold; None if it is one."""
        restricted = self._moments.tangent is not None or self._covariance is not None
        return TIED if restricted else None

    @cached_property
    def results(self) -> Any:
        """statsmodels results wrapper pinned at the network's coefficients."""
        there = self.optimality.verdict == "optimum"
        estimated = self.parameters if self.training_data else 0.0
        return self._results(
            self._params,
            self._moments,
            (NETWORK, self._tied or astray(self.optimality, self.training_data)),
            (there, 0),
            estimated,
            self._covariance,
        )

    @cached_property
    def refit(self) -> Any:
        """statsmodels results wrapper at the optimum, on the same rows."""
        optimum = self._optimum
        joint = None if self._covariance is None else optimum.covariance
        return self._results(
            optimum.params,
            optimum.moments,
            (None, self._tied or (None if optimum.converged else NO_OPTIMUM)),
            (optimum.converged, optimum.iterations),
            self.parameters,
            joint,
        )

    def __getstate__(self) -> dict[str, Any]:
        # Saved, statsmodels' objects are statsmodels' own: make them anew.
        return {k: v for k, v in vars(self).items() if k not in ("results", "refit")}

    def _results(
        self,
        params: np.ndarray,
        moments: Moments,
        told: tuple[str | None, str | None],
        search: tuple[bool, int],
        estimated: float,
        covariance: np.ndarray | None,
    ) -> Any:
        import pandas as pd

        from converter.regression import pinned

        design = self._design
        assert isinstance(design, Design)
        index = design.index if design.index is not None else pd.RangeIndex(len(design.y))
        exog = pd.DataFrame(self._exog, columns=self._terms, index=index)
        given: dict[str, Any] = {
            "has_constant": len(self._terms) > len(design.names),
            "label": told[0],
            "astray": told[1],
            "cov_type": self._cov_type,
            "cov_kwds": self._cov_kwds,
            "estimated": estimated,
            "rank": int(self.parameters) if self._covariance is None else moments.rank,
        }
        if self._likelihood.linear:
            endog = pd.Series(design.y, name=design.target, index=index)
            if isinstance(self._likelihood, MEstimator):
                from converter.regression.pinned_robust import robust_results

                return robust_results(
                    self._likelihood, exog, endog, params, moments, search[1], **given
                )
            return pinned.ols_results(
                exog,
                endog,
                params,
                moments,
                moments.total,
                weights=design.weights,
                covariance=covariance,
                **given,
            )
        return pinned.likelihood_results(
            self._likelihood,
            exog,
            self._endog(design.y, index),
            design.y,
            params,
            moments,
            self._null,
            converged=search[0],
            iterations=search[1],
            **given,
        )

    def _endog(self, y: np.ndarray, index: Any) -> Any:
        """Return the response as statsmodels wants it: of several classes, their labels."""
        import pandas as pd

        if not self._outcomes:
            return pd.Series(y, name=self._design.target, index=index)
        codes = y.astype(int)
        labels = self._class_labels()
        if labels:
            codes = np.array(labels, dtype=object)[codes]
        return pd.Series(codes, name=self._design.target, index=index)

    def _class_labels(self) -> tuple[Any, ...]:
        """Return the labels of several classes where statsmodels would number them alike."""
        labels = self._design.labels
        return labels if self._outcomes and list(labels) == sorted(labels) else ()

    @property
    def labels(self) -> list[str]:
        """What each parameter is called: the term, of several equations behind the class."""
        return labels_of(self._terms, self._outcomes)

    @property
    def verdict_sentence(self) -> str:
        """The verdict on the network, and which standard errors to use."""
        topics = [one.topic for one in self.caveats]
        return verdict_sentence(self._likelihood, self.optimality, topics)

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
                # Where there is none, what the search came to is no number to report.
                "optimum": np.where(self._optimum.converged, self._optimum.params, np.nan),
                "optimum_std_error": np.where(self._optimum.converged, best, np.nan),
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
            "parameters": self.parameters,
        }
        if self.family == "quantile":
            row |= {
                "quantile": results.q,
                "pseudo_r_squared": results.prsquared,
                "sparsity": results.sparsity,
            }
        elif self.family == "huber":
            row |= {"sigma": float(results.scale), "bend": results.scale * results.model.M.t}
        elif self.family == "gaussian":
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
        if not isinstance(self._likelihood, MEstimator):
            row |= {"log_lik": results.llf, "aic": results.aic, "bic": results.bic}
        row |= {
            "verdict": found.verdict,
            "max_drift": found.max_drift,
            "optimality_statistic": found.statistic,
            "optimality_p_value": found.pvalue,
        }
        return pd.DataFrame([row])

    def summary(self) -> str:
        """Return statsmodels' summary of the network, the comparison, the verdict, the caveats."""
        return summary_text(self)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels of a response in classes, by their numbers; nothing where they are numbers."""
        return self._design.labels

    @property
    def folded(self) -> AffineModel:
        """The network in the table's units, by the table's names of its inputs and its classes."""
        model = self.model.renamed(self._design.columns)
        if self.family in ("gaussian", "binomial", "multinomial", "poisson"):  # as was asked for
            model = replace(model, family=self.family)
        named = [str(label) for label in self.classes]
        if len(set(named)) == len(model.output_names) > 1:
            base = model.output_names[0].rpartition("[")[0] or model.output_names[0]
            model = replace(model, output_names=tuple(f"{base}[{label}]" for label in named))
        return model

    def export(
        self,
        path: str | os.PathLike[str],
        to: str | None = None,
        *,
        float32: bool = False,
        table: str | None = None,
        linear_predictor: bool = False,
    ) -> None:
        """Write the regression to a file that other programs read.

        What a format holds is in `converter.exports.FORMATS`: the regression (``script``,
        ``pickle``, ``json``, ``csv``, ``parquet``, ``npz``, ``latex``, ``markdown``, ``text``), or
        its predictions alone, by the table's columns and in their units (`folded`). Loading a
        pickle, or joblib's file, runs whatever code is in it.

        Parameters
        ----------
        path, to, float32, table, linear_predictor
            See `AffineModel.export`.

        Raises
        ------
        ValueError
            If the format cannot hold the regression exactly.
        OSError
            If the file cannot be written.
        """
        from converter.exports import export

        options = {"float32": float32, "table": table, "linear_predictor": linear_predictor}
        export(self, path, to, options)

    def log_mlflow(self, name: str = "model") -> str:
        """Log parameters, metrics, tables, results and report to MLflow; return the run's id.

        To the active run, or to a new one. It needs ``pip install 'converter[mlflow]'``.

        Parameters
        ----------
        name : str
            Of the results, in MLflow's statsmodels flavour.

        Raises
        ------
        ValueError
            If MLflow is not installed.
        """
        from converter.exports.mlflow import log

        return log(self, name)

    def __repr__(self) -> str:
        found = self.optimality
        return (
            f"Conversion({self._likelihood.regression}, {self.nobs} rows, "
            f"{len(self._params)} terms, verdict={found.verdict!r}, "
            f"max_drift={found.max_drift:.3g}; see .summary())"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything that `summary` says as plain Python values, ready for JSON."""
        made = {
            "model": self.model.to_dict(),
            "family": self.family,
            "nobs": self.nobs,
            "dropped": self.dropped,
            "terms": self.tidy().to_dict("records"),
            "glance": self.glance().to_dict("records")[0],
            "optimality": self.optimality.to_dict(),
            "verdict": self.verdict_sentence,
            "training_data": self.training_data,
            "parameters": self.parameters,
            "passes": self.passes,
            "caveats": list(map(str, self.caveats)),
            "caveat_topics": [one.topic for one in self.caveats],
        }
        return plain(made)


def labels_of(terms: list[str], outcomes: list[str]) -> list[str]:
    """Return what each parameter is called."""
    return [f"{outcome}: {term}" for outcome in outcomes for term in terms] or terms


def _quantile(results: Any, probability: float) -> float:
    """Return a quantile of the distribution that statsmodels takes for the coefficients."""
    from scipy import stats

    if not results.use_t:
        return float(stats.norm.ppf(probability))
    df = getattr(results, "df_resid_inference", None) or results.df_resid
    return float(stats.t.ppf(probability, df))
