"""Which regression a folded network is: its likelihood, its equations, its classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import printable
from converter.model import AffineModel
from converter.regression.families import FAMILIES, GAUSSIAN, LOGIT, Likelihood
from converter.regression.multinomial import Multinomial
from converter.regression.robust import Huber, Quantile

# Families that a user may ask for, by the network's link.
_ALLOWED = {
    "identity": ("gaussian", "binomial", "multinomial", "poisson", "quantile", "huber"),
    "logit": ("binomial",),
    "probit": ("binomial",),
    "softmax": ("multinomial", "binomial"),
    "log": ("poisson",),
}
#: All of them.
NAMES = ("gaussian", "binomial", "multinomial", "poisson", "quantile", "huber")
# The losses of a linear output that are regressions of their own, and what sets them: the key in
# the loss's configuration, and the value where it has none (Keras' and TensorFlow Addons').
_LOSSES = {
    "mean_absolute_error": ("quantile", "", 0.5),
    "pinball": ("quantile", "tau", 0.5),
    "huber": ("huber", "delta", 1.0),
}


@dataclass(frozen=True)
class Choice:
    """A regression that a network is.

    Parameters
    ----------
    likelihood : Likelihood
    model : AffineModel
        With the outputs of this regression alone.
    classes : tuple of str
        What the network calls its classes, in the order of its units, where each has one.
    tuned : bool
        Whether the user gave the quantile, or the bend of Huber's loss.
    """

    likelihood: Likelihood
    model: AffineModel
    classes: tuple[str, ...] = ()
    tuned: bool = False

    def equations(self, model: AffineModel) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return the coefficients of the regression's linear predictors.

        A softmax does not change when the same is added to all of its units: what it determines
        are the contrasts of each class with the first.

        Parameters
        ----------
        model : AffineModel
            As `self.model`, perhaps in other units or terms.

        Returns
        -------
        coef : ndarray, shape (equations, p)
        intercept : ndarray, shape (equations,)
        has_intercept : bool
        """
        coef, intercept = model.coef, model.intercept
        if self.classes:
            coef, intercept = coef[1:] - coef[0], intercept[1:] - intercept[0]
        return coef, intercept, bool(model.has_intercept.any())


def parts_of(model: AffineModel, family: str | None) -> list[tuple[str, AffineModel]]:
    """Split a model into its regressions: one for each output, or for each softmax.

    Returns
    -------
    list of (name, AffineModel)
    """
    names = list(model.output_names)
    several = len(names) > 1
    if several and (model.link == "softmax" or _multinomial(model, family)):
        numbers = list(dict.fromkeys(model.groups)) if model.link == "softmax" else [-1]
        found = [
            np.flatnonzero(np.equal(model.groups, number))
            if model.link == "softmax"
            else np.arange(len(names))
            for number in numbers
        ]
        common = [_common([names[i] for i in rows]) for rows in found]
        if len(set(common)) < len(common):  # one output holds several
            common = [f"{name}[{place}]" for place, name in enumerate(common)]
        return [(name, _rows(model, rows)) for name, rows in zip(common, found, strict=True)]
    if len(names) == 2 and _is_pair(model):
        # A binary classifier's [1 - p, p]: the regression of the second class.
        return [(names[1], model.select(1))]
    return [(name, model.select(place)) for place, name in enumerate(names)]


def choose(model: AffineModel, family: str | None) -> Choice:
    """Return the regression that a model of one regression is.

    Raises
    ------
    ValueError
        If statsmodels has no such model, or the family does not fit the link.
    """
    if model.link not in _ALLOWED:
        raise ValueError(
            f"{printable(model.path)}: a network behind the link {model.link!r} folds to "
            "coefficients (fold), but statsmodels has no model of that link to convert it to"
        )
    name, setting = _named(model, family)
    tuned = family is not None and ":" in family
    if name not in NAMES:
        raise ValueError(f"family must be one of {', '.join(NAMES)}, not {name!r}")
    if name not in _ALLOWED[model.link]:
        raise ValueError(
            f"a network that ends in the link {model.link!r} is not a {name} regression"
        )
    if model.link == "softmax" or name == "multinomial":
        count = len(model.coef)
        if count < 2:
            raise ValueError("a multinomial regression has at least two classes; this has one unit")
        classes = tuple(_class_names(model.output_names))
        if count == 2:
            return Choice(LOGIT, model, classes)
        return Choice(Multinomial("multinomial", "softmax", "MNLogit", count), model, classes)
    if name == "quantile":
        return Choice(Quantile(name, "identity", "QuantReg", setting), model, tuned=tuned)
    if name == "huber":
        return Choice(Huber(name, "identity", "RLM", setting), model, tuned=tuned)
    if model.link == "identity":
        likelihood: Likelihood = {"gaussian": GAUSSIAN, "binomial": LOGIT}.get(
            name, FAMILIES["log"]
        )
        return Choice(likelihood, model)
    return Choice(FAMILIES[model.link], model)


def _named(model: AffineModel, family: str | None) -> tuple[str, float]:
    """Return the name of a family, and what sets it (0 if nothing does).

    Raises
    ------
    ValueError
        If the setting is none.
    """
    by_loss = _LOSSES.get(model.loss or "")
    if family is None and model.link == "identity" and model.family == "gaussian" and by_loss:
        family = by_loss[0]
    if family is None:
        return model.family, 0.0
    name, colon, text = family.partition(":")
    if name not in ("quantile", "huber"):
        return family, 0.0
    setting: Any = 0.5 if name == "quantile" else 1.0
    if by_loss and by_loss[0] == name and model.loss is not None:
        setting = model.loss.settings.get(by_loss[1], by_loss[2])
    if colon:
        try:
            setting = float(text)
        except ValueError:
            setting = None
    above = 1.0 if name == "quantile" else np.inf
    if not isinstance(setting, (int, float)) or not 0.0 < setting < above:
        wanted = "between 0 and 1" if name == "quantile" else "above 0"
        raise ValueError(
            f"the setting of {name} must be a number {wanted}: {name}:{text or setting}"
        )
    return name, float(setting)


def _multinomial(model: AffineModel, family: str | None) -> bool:
    return (model.family if family is None else family) == "multinomial"


def _rows(model: AffineModel, rows: np.ndarray) -> AffineModel:
    return replace(
        model,
        coef=model.coef[rows],
        intercept=model.intercept[rows],
        has_intercept=model.has_intercept[rows],
        output_names=tuple(model.output_names[i] for i in rows),
        groups=tuple(model.groups[i] for i in rows),
    )


def _is_pair(model: AffineModel) -> bool:
    """Tell whether two outputs are one probability and the rest to one."""
    size = np.abs(model.coef).max(initial=0.0)
    return model.link == "logit" and bool(
        np.abs(model.coef.sum(axis=0)).max(initial=0.0) <= 1e-12 * size
        and abs(model.intercept.sum()) <= 1e-12 * np.abs(model.intercept).max()
    )


_ELEMENT = re.compile(r"(.*)\[(.*)\]", re.DOTALL)


def _common(names: Sequence[str]) -> str:
    """Return what an output is called whose elements have these names."""
    found = [_ELEMENT.fullmatch(name) for name in names]
    bases = {one.group(1) for one in found if one}
    return bases.pop() if len(bases) == 1 and all(found) else names[0]


def _class_names(names: Sequence[str]) -> list[str]:
    """Return what the classes are called: their numbers, unless the file names them."""
    found = [_ELEMENT.fullmatch(name) for name in names]
    return [one.group(2) if one else name for name, one in zip(names, found, strict=True)]
