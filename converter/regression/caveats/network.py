"""What the network and its training do to the numbers."""

from __future__ import annotations

import numpy as np

from converter.errors import printable
from converter.model import AffineModel
from converter.regression.caveats import Caveat, some
from converter.regression.families import Likelihood
from converter.regression.restriction import Restriction
from converter.regression.robust import MEstimator

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
# Functions that turn logits into probabilities, by link.
_TURNED = {"logit": "sigmoid", "softmax": "softmax"}
# Keras' own losses: of any other the name alone is known.
_KERAS = frozenset(
    {
        *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "pinball"),
        *("mean_squared_logarithmic_error", "log_cosh", "huber", "cosine_similarity", "hinge"),
        *("squared_hinge", "categorical_hinge", "binary_crossentropy", "poisson", "kl_divergence"),
        *("binary_focal_crossentropy", "categorical_crossentropy", "ctc", "tversky", "dice"),
        *("categorical_focal_crossentropy", "sparse_categorical_crossentropy", "circle"),
    }
)
# Unusual losses that a name may tell.
_QUANTILE_NAMES = ("quantile", "pinball")


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
        Caveat(_topic_of(note), f"{note[:1].upper()}{note[1:]}.") for note in model.training.notes
    )
    said.extend(
        Caveat("network-notes", f"{note[:1].upper()}{note[1:]}.")
        for note in map(printable, model.notes)
    )
    return said


def _topic_of(note: str) -> str:
    if "was frozen" in note:
        return "frozen-weights"
    return "weight-decay" if "decayed" in note else "training-notes"


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
    if loss not in _KERAS:
        hint = ""
        if any(word in loss.lower() for word in _QUANTILE_NAMES) and regression == "OLS":
            hint = (
                " Its name speaks of a quantile: ask for that regression with "
                "family='quantile:0.9' (--family quantile:0.9), or whichever quantile it was."
            )
        said.append(
            Caveat(
                "unknown-loss",
                f"The network was trained with {printable(loss.describe())}, of which the file "
                f"holds the name alone; the numbers assume {wanted}. Only the comparison with the "
                f"optimum tells whether that is so.{hint}",
            )
        )
    elif loss not in losses:
        kind = (
            f"those of a linear model but not a {_estimate(regression)}"
            if regression in ("OLS", "QuantReg", "RLM")
            else "not a maximum-likelihood estimate"
        )
        said.append(
            Caveat(
                "other-loss",
                f"The network was trained with {printable(loss.describe())}, not with {wanted}: "
                f"its coefficients are {kind}.",
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


def evaluation_caveats(likelihood: Likelihood, training_data: bool) -> list[Caveat]:
    """Say what the numbers are on rows that the network was not trained on."""
    if training_data:
        return []
    variance = "the residual variance is RSS / n, " if likelihood.scaled else ""
    criteria = "" if isinstance(likelihood, MEstimator) else "AIC and BIC count no parameters, "
    return [
        Caveat(
            "evaluation",
            "The network was not trained on these rows, as you say: nothing was estimated from "
            f"them, so {variance}{criteria}and the standard errors are those that a fit to these "
            "rows would have if the network's coefficients were the true ones. They are not the "
            "uncertainty of the network's own coefficients, which comes from the rows that it was "
            "trained on.",
        )
    ]


def estimator_caveats(
    likelihood: Likelihood, model: AffineModel, cov_type: str, tuned: bool
) -> list[Caveat]:
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
    known = ""
    if not tuned and (model.loss is None or "delta" not in model.loss.settings):
        known = (
            "The file does not say where it bends (Keras saves no delta); if it was not at its "
            "default of 1, ask with family='huber:DELTA' (--family huber:DELTA). "
        )
    return [
        Caveat(
            "huber-errors",
            f"Huber's regression: the loss bends at a residual of {likelihood.tuning:g} in the "
            "table's unit of the target, whatever the spread of the residuals; statsmodels' RLM "
            "writes it as t times a scale estimated from them, and M.t is set so that the bend is "
            "the network's. "
            f"{known}The standard errors are Huber's sandwich "
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
            f"{restriction.joint.parameters} for all of them together. Standard errors, optimum "
            "and test are those of "
            "the restricted regression, of all outputs at once, by least squares over all of "
            "them; statsmodels' own test of several terms at once holds within one output"
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


def structure_caveats(
    coef: np.ndarray, names: list[str], restricted: bool, together: np.ndarray | None = None
) -> list[Caveat]:
    """Say what the architecture does to the coefficients: ignored, shared.

    Parameters
    ----------
    coef : ndarray, shape (equations, p)
    names : list of str
        The regressors, as the table calls them.
    restricted : bool
        Whether what the architecture restricts is accounted for.
    together : ndarray, shape (all equations, p), optional
        Of all outputs with these regressors, where they are several.
    """
    said = []
    whole = coef if together is None else together
    remedy = "" if restricted else " restricted=True (--restricted) counts what it has."
    ignored = [name for name, values in zip(names, coef.T, strict=True) if not values.any()]
    if ignored:
        said.append(
            Caveat(
                "ignored-inputs",
                f"The network ignores {some(ignored)}: the coefficient is exactly 0 by "
                "architecture or training"
                + ("." if restricted else f", while the optimum is free to use it.{remedy}"),
            )
        )
    if len(whole) > 1 and whole.any():
        lengths = np.sqrt((whole**2).sum(axis=0))
        sizes = np.linalg.svd(whole / np.where(lengths > 0, lengths, 1.0), compute_uv=False)
        rank = int((sizes > _ROUNDED * sizes[0]).sum())
        if rank < min(whole.shape):
            said.append(
                Caveat(
                    "reduced-rank",
                    f"The coefficients of the {len(whole)} equations have rank {rank}: a layer of "
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
                    f"The coefficients of {some(shared)} are equal: the architecture ties them, "
                    "which makes it a restricted regression"
                    + (
                        "."
                        if restricted
                        else f" with fewer parameters than are counted here.{remedy}"
                    ),
                )
            )
    return said
