"""What a reader must know before believing the numbers: a plain sentence or two each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from converter.errors import printable
from converter.model import AffineModel
from converter.regression.coding import Coding
from converter.regression.families import POISSON, Family, Likelihood
from converter.regression.moments import Moments
from converter.regression.optimality import Optimum
from converter.regression.restriction import Restriction
from converter.regression.robust import MEstimator

if TYPE_CHECKING:
    from converter.regression.convert import Prepared

_CATEGORICAL = frozenset({"categorical_crossentropy", "sparse_categorical_crossentropy"})
# The losses whose minimum is the estimate of a regression, and what they are called.
_WANTED = {
    "OLS": ("mean squared error", frozenset({"mean_squared_error"})),
    "Logit": ("binary cross-entropy", frozenset({"binary_crossentropy"})),
    "Probit": ("binary cross-entropy", frozenset({"binary_crossentropy"})),
    "MNLogit": ("categorical cross-entropy", _CATEGORICAL),
    "Poisson": ("the Poisson loss", frozenset({"poisson"})),
    "QuantReg": ("the absolute or pinball loss", frozenset({"mean_absolute_error", "pinball"})),
    "RLM": ("Huber's loss", frozenset({"huber"})),
}
# Singular values of weights in single precision that may be rounding errors, in proportion.
_ROUNDED = 1e-5
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
    "QuantReg": ("a constant", "zero"),
    "RLM": ("a constant", "zero"),
}
# Unusual losses that a name may tell.
_QUANTILE_NAMES = ("quantile", "pinball")
# Condition, of columns brought to length one, beyond which digits are lost that matter.
_CONDITION = 1e7

#: Rounding of numbers in single precision, in proportion, with room for sums of many.
SINGLE = 1e-5
#: The topic of the caveat that comes before everything else.
BAD_FIT = "bad-fit"

#: The sections of docs/caveats.md.
TOPICS = (
    *(BAD_FIT, "evaluation", "quantile-errors", "huber-errors", "loss-not-recorded"),
    *("label-smoothing", "other-loss", "from-logits", "zero-one-target", "penalty", "noise-layers"),
    *("training-notes", "network-notes", "restricted", "ignored-inputs", "reduced-rank"),
    *("tied-coefficients", "categories", "dependent-columns", "ill-conditioned", "no-intercept"),
    *("scaled-intercept", "constant-column", "labels", "contrasts", "no-counts", "dispersion"),
    *("separation", "single-precision", "dropped-rows"),
)


class Caveat(str):
    """A sentence, and the section of docs/caveats.md that explains it."""

    topic: str

    def __new__(cls, topic: str, text: str) -> Caveat:
        caveat = super().__new__(cls, text)
        caveat.topic = topic
        return caveat

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return (self.topic, str(self))


def training_caveats(model: AffineModel, regression: str) -> list[Caveat]:
    """Say what the training run, as far as the file records it, does to the numbers."""
    said = _loss_caveats(model, regression)
    for layer, penalty in model.training.penalties:
        said.append(
            Caveat(
                "penalty",
                f"Layer {printable(layer)} was trained with {penalty}: a penalised fit is biased "
                f"towards smaller coefficients and is not the {_estimate(regression)}.",
            )
        )
    for layer, operation in model.training.stochastic:
        said.append(
            Caveat(
                "noise-layers",
                f"Layer {printable(layer)} ({operation}) perturbed the training; it acts like a "
                "penalty, so the coefficients need not be the optimum of the plain loss.",
            )
        )
    said.extend(
        Caveat("training-notes", f"{note[:1].upper()}{note[1:]}.") for note in model.training.notes
    )
    said.extend(
        Caveat("network-notes", f"{note[:1].upper()}{note[1:]}.")
        for note in map(printable, model.notes)
    )
    return said


def _estimate(regression: str) -> str:
    kinds = {"OLS": "least-squares", "QuantReg": "quantile-regression", "RLM": "Huber"}
    return f"{kinds.get(regression, 'maximum-likelihood')} estimate"


def _loss_caveats(model: AffineModel, regression: str) -> list[Caveat]:
    loss = model.loss
    wanted, losses = _WANTED[regression]
    if len(model.coef) == 2:  # a softmax of two units
        losses = losses | _CATEGORICAL
    if loss is None:
        return [
            Caveat(
                "loss-not-recorded",
                f"The file does not record the training loss; the numbers assume {wanted}. Only "
                "the comparison with the optimum tells whether that is so.",
            )
        ]
    said = []
    if loss.settings.get("label_smoothing"):
        said.append(
            Caveat(
                "label-smoothing",
                f"The loss smoothed the labels (label_smoothing={loss.settings['label_smoothing']})"
                ", which pulls the coefficients towards zero.",
            )
        )
    if loss not in losses:
        kind = (
            f"those of a linear model but not a {_estimate(regression)}"
            if regression in ("OLS", "QuantReg", "RLM")
            else "not a maximum-likelihood estimate"
        )
        hint = ""
        if any(word in loss.lower() for word in _QUANTILE_NAMES) and regression == "OLS":
            hint = (
                ". Its name speaks of a quantile: ask for that regression with "
                "family='quantile:0.9' (--family quantile:0.9), or whichever quantile it was"
            )
        said.append(
            Caveat(
                "other-loss",
                f"The network was trained with {printable(loss.describe())}, not with {wanted}: "
                f"its coefficients are {kind}{hint}.",
            )
        )
    elif model.link in _TURNED and loss.from_logits:
        said.append(
            Caveat(
                "from-logits",
                f"The loss was told that the {_TURNED[model.link]}'s output is logits "
                "(from_logits=True): Keras on TensorFlow then takes the true logits, which is the "
                f"likelihood; other backends apply the {_TURNED[model.link]} twice and minimise "
                "something else. The distance from the optimum tells.",
            )
        )
    elif model.link == "identity" and regression in ("Logit", "MNLogit") and not loss.from_logits:
        said.append(
            Caveat(
                "from-logits",
                "The loss took a linear output for probabilities (from_logits is not set): the "
                "network minimised something else than the likelihood.",
            )
        )
    return said


def evaluation_caveats(training_data: bool) -> list[Caveat]:
    """Say what the numbers are on rows that the network was not trained on."""
    if training_data:
        return []
    return [
        Caveat(
            "evaluation",
            "The network was not trained on these rows, as you say: nothing was estimated from "
            "them, so the residual variance is RSS / n, AIC and BIC count no parameters, and the "
            "standard errors are those that a fit to these rows would have if the network's "
            "coefficients were the true ones. They are not the uncertainty of the network's own "
            "coefficients, which comes from the rows that it was trained on.",
        )
    ]


def estimator_caveats(likelihood: Likelihood, cov_type: str) -> list[Caveat]:
    """Say how the standard errors of an estimate without a likelihood are defined."""
    if not isinstance(likelihood, MEstimator):
        return []
    if likelihood.name == "quantile":
        kind = "equal densities at all rows" if cov_type == "iid" else "a sandwich"
        return [
            Caveat(
                "quantile-errors",
                f"Quantile regression at {likelihood.tuning:g}: its standard errors ({kind}) rest "
                "on a kernel estimate of the density of the residuals at the quantile "
                "(Epanechnikov's kernel, Hall and Sheather's bandwidth, as statsmodels' QuantReg), "
                "not on the curvature of the loss; with few rows they are rough.",
            )
        ]
    return [
        Caveat(
            "huber-errors",
            f"Huber's regression: the loss bends at a residual of {likelihood.tuning:g} in the "
            "target's unit, whatever the spread of the residuals; statsmodels' RLM writes it as t "
            "times a scale estimated from them, and M.t is set so that the bend is the network's. "
            "The standard errors are Huber's sandwich "
            f"({'H1' if cov_type == 'nonrobust' else cov_type}), for errors that are symmetric "
            "about zero.",
        )
    ]


def restriction_caveats(restriction: Restriction | None, terms: int) -> list[Caveat]:
    """Say how many parameters the architecture has, where that was asked."""
    if restriction is None:
        return []
    if restriction.joint is not None:
        text = (
            "The outputs share parameters: the architecture has "
            f"{restriction.joint.parameters} for all of them together, {restriction.parameters:.4g} each. Standard errors, optimum and test "
            "are those of the restricted regression, of all outputs at once, by least squares "
            "over all of them; statsmodels' own test of several terms at once holds within one "
            "output"
        )
    elif restriction.tangent is None:
        text = (
            f"The architecture restricts nothing: its weights can reach any {terms} coefficients, "
            "and the restricted regression is the ordinary one"
        )
    else:
        text = (
            f"The architecture has {restriction.parameters:g} parameters for {terms} coefficients; "
            "standard errors, optimum and test are those of the regression restricted to what its "
            "weights can reach, near the saved ones"
        )
    if not restriction.says_what_is_trained:
        text += (
            ". The file does not say which of its constants were trained: all of them, but the "
            "moving statistics of batch normalisation, are taken to be"
        )
    return [
        Caveat("restricted", f"{one[:1].upper()}{one[1:]}.") for one in (text, *restriction.notes)
    ]


def structure_caveats(coef: np.ndarray, names: list[str], restricted: bool) -> list[Caveat]:
    """Say what the architecture does to the coefficients: ignored, shared.

    Parameters
    ----------
    coef : ndarray, shape (equations, p)
    names : list of str
        The regressors, as the table calls them.
    restricted : bool
        Whether what the architecture restricts is accounted for.
    """
    said = []
    remedy = "" if restricted else " restricted=True (--restricted) counts what it has."
    ignored = [name for name, values in zip(names, coef.T, strict=True) if not values.any()]
    if ignored:
        said.append(
            Caveat(
                "ignored-inputs",
                f"The network ignores {_some(ignored)}: the coefficient is exactly 0 by "
                "architecture or training"
                + ("." if restricted else f", while the optimum is free to use it.{remedy}"),
            )
        )
    if len(coef) > 1 and coef.any():
        lengths = np.sqrt((coef**2).sum(axis=0))
        sizes = np.linalg.svd(coef / np.where(lengths > 0, lengths, 1.0), compute_uv=False)
        rank = int((sizes > _ROUNDED * sizes[0]).sum())
        if rank < min(coef.shape):
            said.append(
                Caveat(
                    "reduced-rank",
                    f"The coefficients of the {len(coef)} equations have rank {rank}: a layer of "
                    "fewer units than there are inputs or outputs makes it a reduced-rank "
                    "regression"
                    + (
                        "."
                        if restricted
                        else ", with fewer parameters than are counted here, while the optimum is "
                        f"free to have all.{remedy}"
                    ),
                )
            )
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, values in zip(names, coef.T, strict=True):
        if values.any():
            groups.setdefault(tuple(values.tolist()), []).append(name)
    for shared in groups.values():
        if len(shared) > 1:
            said.append(
                Caveat(
                    "tied-coefficients",
                    f"The coefficients of {_some(shared)} are equal: the architecture ties them, "
                    "which makes it a restricted regression"
                    + (
                        "."
                        if restricted
                        else f" with fewer parameters than are counted here.{remedy}"
                    ),
                )
            )
    return said


def coding_caveats(coding: Coding) -> list[Caveat]:
    """Say how categories were coded."""
    return [Caveat("categories", sentence) for sentence in coding.sentences]


def intercept_caveats(one: Prepared) -> list[Caveat]:
    """Say what a regression without an intercept is compared with, and where one comes from."""
    regression, said = one.choice.likelihood.regression, []
    if one.has_constant:
        if not one.choice.model.has_intercept.any() and one.design.coding is None:
            said.append(
                Caveat(
                    "scaled-intercept",
                    "The network has no intercept; the regression has one because the scaler "
                    "shifts. The network could not choose it: it has one parameter less than the "
                    "regression counts. restricted=True (--restricted) counts what it has.",
                )
            )
        return said
    said.append(
        Caveat(
            "no-intercept",
            "The network has no intercept, so neither has the regression: "
            + (
                "R2 is uncentred and not comparable with that of a model that has one."
                if regression == "OLS"
                else f"the null model is {_NULL[regression][1]}."
            ),
        )
    )
    X = one.exog
    level = [
        name
        for name, column in zip(one.terms, X.T, strict=True)
        if column[0] != 0 and (column == column[0]).all()
    ]
    if level:
        said.append(
            Caveat(
                "constant-column",
                f"{_some(level)} is the same in all rows: it acts as the intercept, of which R2 "
                "and the null model here know nothing.",
            )
        )
    return said


def design_caveats(moments: Moments, terms: list[str]) -> list[Caveat]:
    """Say which columns are linearly dependent, or nearly so."""
    if moments.dependent:
        dependent = [terms[i] for i in moments.dependent]
        return [
            Caveat(
                "dependent-columns",
                f"The columns {_some(dependent)} are linearly dependent on these rows: their "
                "coefficients cannot be told apart. The optimum is the one nearest to the "
                "network's coefficients, and the standard errors are those of what the rows do "
                "determine (the minimum-norm solution in columns of equal length).",
            )
        ]
    condition = moments.condition
    if not condition > _CONDITION:
        return []
    near = [terms[i] for i in moments.nearly_dependent]
    digits = max(int(-np.log10(np.finfo(float).eps * condition)), 0)
    return [
        Caveat(
            "ill-conditioned",
            f"The columns {_some(near)} are nearly dependent (condition number {condition:.1g} "
            "with columns of equal length): rounding the data in their last digit moves the "
            f"coefficients; of them and their standard errors some {digits} digits are certain.",
        )
    ]


def fit_caveats(one: Prepared, moments: Moments) -> list[Caveat]:
    """Say so when the network predicts worse than no model at all, or a probability badly."""
    likelihood, y, weights = one.choice.likelihood, one.design.y, one.design.weights
    scaled = (one.request.scaler is not None, one.request.target_scaler is not None)
    if not likelihood.scaled:
        null = -likelihood.null(y, one.has_constant)
        return _bad_fit(likelihood, -moments.value, null, None, scaled)
    center = float(np.average(y, weights=weights)) if one.has_constant else 0.0
    away = y - center
    total = float(away @ away if weights is None else weights @ away**2)
    said = []
    if ((y == 0.0) | (y == 1.0)).all():
        said.append(
            Caveat(
                "zero-one-target",
                "The target is 0/1 and the output is linear: if the network was trained from "
                "logits, ask for the logistic regression with family='binomial' (--family "
                "binomial).",
            )
        )
    if total > 0:
        rss = moments.total
        said += _bad_fit(likelihood, rss, total, 1.0 - rss / total, scaled)
    return said


def _bad_fit(
    likelihood: Likelihood,
    network: float,
    null: float,
    r2: float | None,
    scaled: tuple[bool, bool],
) -> list[Caveat]:
    regression = likelihood.regression
    if network <= null:
        return []
    causes = []
    if not scaled[0]:
        causes.append(
            "the columns were scaled before training (give the scaler: --scale FILE.json, or "
            "scaler=)"
        )
    causes.append("the columns stand in another order")
    if likelihood.linear and not scaled[1]:
        causes.append(
            "the target was scaled or is in another unit (--scale-target or target_scaler=)"
        )
    if r2 is not None:
        how = f"R2 = {r2:.3g}"
    elif likelihood.linear:
        how = f"loss {network:.4g} against {null:.4g}"
    else:
        how = f"log-likelihood {-network:.4g} against {-null:.4g}"
    causes.append("this is not the target that the network was trained for")
    causes.append("training had not finished")
    return [
        Caveat(
            BAD_FIT,
            f"The network predicts this table worse than {_NULL[regression][0]} would ({how}). "
            f"Usual causes: {'; '.join(causes)}.",
        )
    ]


def response_caveats(one: Prepared, optimum: Optimum) -> list[Caveat]:
    """Say how labels were numbered, what is compared with what, and whether counts are counts."""
    said = []
    choice, design = one.choice, one.design
    y, name = design.y, printable(design.target)
    if design.labels:
        shown = [f"{printable(str(label))} is {n}" for n, label in enumerate(design.labels[:8])]
        more = ", ..." if len(design.labels) > 8 else ""
        said.append(
            Caveat(
                "labels",
                f"The classes of {name!r} were taken for numbers: {', '.join(shown)}{more}.",
            )
        )
    if choice.classes:
        first, *others = design.labels or choice.classes
        against = printable(str(others[0])) if len(others) == 1 else "each other class"
        said.append(
            Caveat(
                "contrasts",
                f"Coefficients are contrasts, of the unit of {against} with that of the base class "
                f"{printable(str(first))}; what is added to all units alike has no effect.",
            )
        )
    if choice.likelihood is POISSON:
        assert isinstance(choice.likelihood, Family)
        if not np.array_equal(y, np.rint(y)):
            said.append(
                Caveat(
                    "no-counts",
                    f"{name!r} holds numbers that are no counts: the coefficients are those of a "
                    "quasi-likelihood, and robust standard errors (cov_type='HC0') are wanted.",
                )
            )
        if optimum.converged:
            mean = choice.likelihood.mean(one.exog @ optimum.params)
            said += dispersion_caveats(y, mean, len(y) - optimum.moments.rank)
    return said


def rounding_caveats(gain: float, moved: Sequence[float]) -> list[Caveat]:
    """Say so when single precision of the weights is what keeps the network from the optimum.

    Parameters
    ----------
    gain : float
        What the step to the optimum gains.
    moved : sequence of float
        What it would have gained, from the optimum, had the weights been rounded at random.
    """
    if not moved or gain > 4.0 * max(moved):
        return []
    return [
        Caveat(
            "single-precision",
            "What separates the network from the optimum is the rounding of its weights to single "
            "precision, as networks whose weights are rounded otherwise are as far off: no longer "
            "training would bring it nearer. Scale the columns before training, or train and save "
            "in double precision.",
        )
    ]


def dropped_rows(count: int) -> Caveat:
    """Say how many rows were left out."""
    return Caveat("dropped-rows", f"{count} rows with missing values were left out.")


def separation_caveats(terms: list[str]) -> list[Caveat]:
    """Say which terms tell the classes apart, so that no coefficient is large enough."""
    if not terms:
        return []
    return [
        Caveat(
            "separation",
            f"A combination of {_some(terms)} tells the outcomes of these rows apart without "
            "error, at least for some of them: the likelihood grows for ever along it, and the "
            "network's finite coefficients are where its training stopped. A penalised fit (Firth, ridge) "
            "has an optimum; statsmodels' standard errors have no meaning here.",
        )
    ]


def dispersion_caveats(y: np.ndarray, mean: np.ndarray, df: int) -> list[Caveat]:
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
        Caveat(
            "dispersion",
            f"The counts vary {'more' if ratio > 1 else 'less'} than Poisson counts do (Pearson "
            f"chi2 / df = {ratio:.3g}): multiply the standard errors by {np.sqrt(ratio):.3g}, or "
            "ask for robust ones (cov_type='HC0', --cov-type HC0).",
        )
    ]


def _some(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
