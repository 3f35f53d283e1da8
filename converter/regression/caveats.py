"""What a reader must know before believing the numbers: one plain sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import printable
from converter.model import AffineModel
from converter.regression.moments import Moments

_CATEGORICAL = frozenset({"categorical_crossentropy", "sparse_categorical_crossentropy"})
# The losses whose minimum is the estimate of a regression, and what they are called.
_WANTED = {
    "OLS": ("mean squared error", frozenset({"mean_squared_error"})),
    "Logit": ("binary cross-entropy", frozenset({"binary_crossentropy"})),
    "Probit": ("binary cross-entropy", frozenset({"binary_crossentropy"})),
    "MNLogit": ("categorical cross-entropy", _CATEGORICAL),
    "Poisson": ("the Poisson loss", frozenset({"poisson"})),
}
# Singular values of weights in single precision that may be rounding errors, in proportion.
_ROUNDED = 1e-5
# Groups below which clustered standard errors are known to be too small.
_FEW_GROUPS = 10
# Standard deviations beyond which a dispersion is said to be another than Poisson's.
_UNUSUAL = 4.0
# Functions that turn logits into probabilities, by link.
_TURNED = {"logit": "sigmoid", "softmax": "softmax"}
# What a model without regressors predicts, and without an intercept.
_NULL = {
    "OLS": ("the mean of the target", ""),
    "Logit": ("a constant probability", "a probability of one half"),
    "Probit": ("a constant probability", "a probability of one half"),
    "MNLogit": ("constant probabilities", "equal probabilities"),
    "Poisson": ("a constant rate", "a rate of one"),
}

#: How the caveat begins that comes before everything else.
BAD_FIT = "The network predicts this table worse"


def training_caveats(model: AffineModel, regression: str) -> list[str]:
    """Say what the training run, as far as the file records it, does to the numbers."""
    said = _loss_caveats(model, regression)
    for layer, penalty in model.training.penalties:
        said.append(
            f"Layer {printable(layer)} was trained with {penalty}: a penalised fit is biased "
            "towards smaller coefficients and is not the "
            + ("least-squares" if regression == "OLS" else "maximum-likelihood")
            + " estimate."
        )
    for layer, operation in model.training.stochastic:
        said.append(
            f"Layer {printable(layer)} ({operation}) perturbed the training; it acts like a "
            "penalty, so the coefficients need not be the optimum of the plain loss."
        )
    said.extend(f"{note[:1].upper()}{note[1:]}." for note in model.training.notes)
    said.extend(f"{note[:1].upper()}{note[1:]}." for note in map(printable, model.notes))
    return said


def _loss_caveats(model: AffineModel, regression: str) -> list[str]:
    loss = model.loss
    wanted, losses = _WANTED[regression]
    if len(model.coef) == 2:  # a softmax of two units
        losses = losses | _CATEGORICAL
    if loss is None:
        return [
            f"The file does not record the training loss; the numbers assume {wanted}. Only the "
            "comparison with the optimum tells whether that is so."
        ]
    said = []
    if loss.settings.get("label_smoothing"):
        said.append(
            f"The loss smoothed the labels (label_smoothing={loss.settings['label_smoothing']}), "
            "which pulls the coefficients towards zero."
        )
    if loss not in losses:
        kind = (
            "those of a linear model but not a least-squares estimate"
            if regression == "OLS"
            else "not a maximum-likelihood estimate"
        )
        said.append(
            f"The network was trained with {printable(loss.describe())}, not with {wanted}: its "
            f"coefficients are {kind}."
        )
    elif model.link in _TURNED and loss.from_logits:
        said.append(
            f"The loss was told that the {_TURNED[model.link]}'s output is logits "
            "(from_logits=True): Keras on TensorFlow then takes the true logits, which is the "
            f"likelihood; other backends apply the {_TURNED[model.link]} twice and minimise "
            "something else. The distance from the optimum tells."
        )
    elif model.link == "identity" and regression in ("Logit", "MNLogit") and not loss.from_logits:
        said.append(
            "The loss took a linear output for probabilities (from_logits is not set): the "
            "network minimised something else than the likelihood."
        )
    return said


def structure_caveats(coef: np.ndarray, names: list[str]) -> list[str]:
    """Say what the architecture does to the coefficients: ignored, shared.

    Parameters
    ----------
    coef : ndarray, shape (equations, p)
    names : list of str
        The regressors, as the table calls them.
    """
    said = []
    ignored = [name for name, values in zip(names, coef.T, strict=True) if not values.any()]
    if ignored:
        said.append(
            f"The network ignores {_some(ignored)}: the coefficient is exactly 0 by architecture "
            "or training, while the optimum is free to use it."
        )
    if len(coef) > 1 and coef.any():
        lengths = np.sqrt((coef**2).sum(axis=0))
        sizes = np.linalg.svd(coef / np.where(lengths > 0, lengths, 1.0), compute_uv=False)
        rank = int((sizes > _ROUNDED * sizes[0]).sum())
        if rank < min(coef.shape):
            said.append(
                f"The coefficients of the {len(coef)} equations have rank {rank}: a layer of fewer "
                "units than there are inputs or outputs makes it a reduced-rank regression, with "
                "fewer parameters than are counted here, while the optimum is free to have all."
            )
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, values in zip(names, coef.T, strict=True):
        if values.any():
            groups.setdefault(tuple(values.tolist()), []).append(name)
    for shared in groups.values():
        if len(shared) > 1:
            said.append(
                f"The coefficients of {_some(shared)} are equal: the architecture ties them, which "
                "makes it a restricted regression with fewer parameters than are counted here."
            )
    return said


def intercept_caveats(has_constant: bool, regression: str) -> list[str]:
    """Say what a regression without an intercept is compared with."""
    if has_constant:
        return []
    return [
        "The network has no intercept, so neither has the regression: "
        + (
            "R2 is uncentred and not comparable with that of a model that has one."
            if regression == "OLS"
            else f"the null model is {_NULL[regression][1]}."
        )
    ]


def design_caveats(moments: Moments, terms: list[str]) -> list[str]:
    """Say which columns are linearly dependent, if any."""
    if moments.rank == moments.terms:
        return []
    dependent = [terms[i] for i in moments.dependent]
    return [
        f"The columns {_some(dependent)} are linearly dependent on these rows: their coefficients "
        "cannot be told apart, and their standard errors are those of a minimum-norm solution."
    ]


def group_caveats(cov_type: str, cov_kwds: dict[str, Any] | None, terms: int) -> list[str]:
    """Say so where there are too few groups for what is computed from them.

    Parameters
    ----------
    cov_type : str
    cov_kwds : dict
        With groups and times as whole numbers.
    terms : int
        How many coefficients there are.
    """
    if not cov_type.startswith(("cluster", "hac-")):
        return []
    settings = cov_kwds or {}
    groups, time = settings.get("groups"), settings.get("time")
    if cov_type == "cluster" or (cov_type == "hac-panel" and groups is not None):
        ways = np.asarray(groups).reshape(len(np.asarray(groups)), -1).T
        if cov_type == "cluster":
            count = min(len(np.unique(way)) for way in ways)
        else:
            count = 1 + int((ways[0][1:] != ways[0][:-1]).sum())
    else:
        count = 1 + int((np.asarray(time)[1:] < np.asarray(time)[:-1]).sum())
    if count == 1 and settings.get("df_correction") is not False:
        return [
            f"statsmodels counts one group for the {cov_type} covariance, because the times never "
            "start again from one row to the next; of a linear regression no degrees of freedom "
            "are left for p-values and intervals. Sort the rows by unit and then by time, or "
            "pass df_correction=False."
        ]
    if cov_type == "cluster" and (count < _FEW_GROUPS or count <= terms):
        return [
            f"The standard errors rest on {count} groups, which is few: they tend to be too small. "
            f"Their covariance has rank {count - 1} at most; tests of more than so many "
            "coefficients at once are not possible and left out."
        ]
    return []


def fit_caveat(
    regression: str, network: float, null: float, r2: float | None, scaled: tuple[bool, bool]
) -> list[str]:
    """Say so when the network predicts worse than no model at all.

    Parameters
    ----------
    regression : str
    network, null : float
        OLS: residual sums of squares of the network and of the null model; else minus
        their log-likelihoods.
    r2 : float or None
        For the message.
    scaled : tuple of bool
        Whether a scaler of the inputs, and of the target, was given.
    """
    if network <= null:
        return []
    causes = []
    if not scaled[0]:
        causes.append(
            "the columns were scaled before training (give the scaler: --scale FILE.json, or "
            "scaler=)"
        )
    causes.append("the columns stand in another order")
    if regression == "OLS":
        if not scaled[1]:
            causes.append(
                "the target was scaled or is in another unit (--scale-target or target_scaler=)"
            )
        how = f"R2 = {r2:.3g}"
    else:
        how = f"log-likelihood {-network:.4g} against {-null:.4g}"
    causes.append("this is not the target that the network was trained for")
    causes.append("training had not finished")
    return [
        f"{BAD_FIT} than {_NULL[regression][0]} would ({how}). Usual causes: "
        + "; ".join(causes)
        + "."
    ]


def separation_caveats(terms: list[str]) -> list[str]:
    """Say which terms tell the classes apart, so that no coefficient is large enough."""
    if not terms:
        return []
    return [
        f"A combination of {_some(terms)} tells the outcomes of these rows apart without error, at "
        "least for some of them: the likelihood grows for ever along it, and the network's finite "
        "coefficients are where its training stopped. A penalised fit (Firth, ridge) has an "
        "optimum; statsmodels' standard errors have no meaning here."
    ]


def dispersion_caveats(y: np.ndarray, mean: np.ndarray, df: int) -> list[str]:
    """Say so when counts vary more, or less, than Poisson counts do.

    Parameters
    ----------
    y, mean : ndarray, shape (n,)
        Counts, and what the optimum expects.
    df : int
        Degrees of freedom.

    Notes
    -----
    Pearson's statistic of Poisson counts has the variance ``sum(2 + 1 / mean)``, much more than
    that of a chi2 where the counts are rare (McCullagh, JRSS B 47, 1985). What is smaller than a
    tenth changes no standard error by more than a twentieth.
    """
    mean = np.maximum(mean, 1e-300)
    chi2 = float(((y - mean) ** 2 / mean).sum())
    deviation = (chi2 - df) / float(np.sqrt((2.0 + 1.0 / mean).sum()))
    if df <= 0 or abs(deviation) <= _UNUSUAL or abs(chi2 / df - 1.0) <= 0.1:
        return []
    ratio = chi2 / df
    return [
        f"The counts vary {'more' if ratio > 1 else 'less'} than Poisson counts do (Pearson chi2 / "
        f"df = {ratio:.3g}): multiply the standard errors by {np.sqrt(ratio):.3g}, or ask for "
        "robust ones (cov_type='HC0', --cov-type HC0)."
    ]


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
