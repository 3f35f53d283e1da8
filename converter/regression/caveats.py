"""What a reader must know before believing the numbers: one plain sentence each."""

from __future__ import annotations

from converter.errors import printable
from converter.model import AffineModel
from converter.regression.moments import Moments

_LEAST_SQUARES = frozenset({"mean_squared_error"})
_BINARY = frozenset({"binary_crossentropy"})

#: How the caveat begins that comes before everything else.
BAD_FIT = "The network predicts this table worse"


def training_caveats(model: AffineModel, family: str) -> list[str]:
    """Say what the training run, as far as the file records it, does to the numbers."""
    said = _loss_caveats(model, family)
    for layer, penalty in model.training.penalties:
        said.append(
            f"Layer {printable(layer)} was trained with {penalty}: a penalised fit is biased "
            "towards smaller coefficients and is not the "
            + ("least-squares" if family == "gaussian" else "maximum-likelihood")
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


def _loss_caveats(model: AffineModel, family: str) -> list[str]:
    loss = model.loss
    wanted = "mean squared error" if family == "gaussian" else "binary cross-entropy"
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
    if family == "gaussian":
        if loss not in _LEAST_SQUARES:
            said.append(
                f"The network was trained with {printable(loss.describe())}, not with mean squared "
                "error: its coefficients are those of a linear model but not a least-squares "
                "estimate."
            )
    elif loss not in _BINARY:
        said.append(
            f"The network was trained with {printable(loss.describe())}, not with binary "
            "cross-entropy: its coefficients are not a maximum-likelihood estimate."
        )
    elif loss.from_logits == (model.link == "logit"):
        said.append(
            "The loss was told that the sigmoid's output is logits (from_logits=True): Keras on "
            "TensorFlow then takes the true logits, which is the likelihood; other backends apply "
            "the sigmoid twice and minimise something else. The distance from the optimum tells."
            if loss.from_logits
            else "The loss took a linear output for probabilities (from_logits is not set): the "
            "network minimised something else than the likelihood."
        )
    return said


def structure_caveats(model: AffineModel, names: list[str]) -> list[str]:
    """Say what the architecture does to the coefficients: ignored, shared, low rank.

    Parameters
    ----------
    model : AffineModel
        Of one output.
    names : list of str
        The regressors, as the table calls them.
    """
    said = []
    coef = model.coef[0]
    ignored = [name for name, value in zip(names, coef, strict=True) if value == 0.0]
    if ignored:
        said.append(
            f"The network ignores {_some(ignored)}: the coefficient is exactly 0 by architecture "
            "or training, while the optimum is free to use it."
        )
    groups: dict[float, list[str]] = {}
    for name, value in zip(names, coef, strict=True):
        if value != 0.0:
            groups.setdefault(float(value), []).append(name)
    for shared in groups.values():
        if len(shared) > 1:
            said.append(
                f"The coefficients of {_some(shared)} are equal: the architecture ties them, which "
                "makes it a restricted regression with fewer parameters than are counted here."
            )
    return said


def intercept_caveats(has_constant: bool, family: str) -> list[str]:
    """Say what a regression without an intercept is compared with."""
    if has_constant:
        return []
    return [
        "The network has no intercept, so neither has the regression: "
        + (
            "R2 is uncentred and not comparable with that of a model that has one."
            if family == "gaussian"
            else "the null model is a probability of one half."
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


def fit_caveat(
    family: str, network: float, null: float, r2: float | None, scaled: tuple[bool, bool]
) -> list[str]:
    """Say so when the network predicts worse than no model at all.

    Parameters
    ----------
    family : str
    network, null : float
        Gaussian: residual sums of squares of the network and of the null model; else minus
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
    if family == "gaussian":
        if not scaled[1]:
            causes.append(
                "the target was scaled or is in another unit (--scale-target or target_scaler=)"
            )
        how, than = f"R2 = {r2:.3g}", "the mean of the target"
    else:
        how = f"log-likelihood {-network:.4g} against {-null:.4g}"
        than = "a constant probability"
    causes.append("this is not the target that the network was trained for")
    causes.append("training had not finished")
    return [f"{BAD_FIT} than {than} does ({how}). Usual causes: " + "; ".join(causes) + "."]


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
