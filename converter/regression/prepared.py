"""A regression and its rows: the network in the table's units, before anything is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from converter.errors import DataError, printable
from converter.model import AffineModel
from converter.regression.arguments import Request, check_covariance
from converter.regression.choice import Choice
from converter.regression.conversion import labels_of
from converter.regression.design import Design, design_of
from converter.regression.moments import Moments
from converter.regression.multinomial import Multinomial
from converter.regression.passes import moments_at
from converter.regression.robust import MEstimator
from converter.regression.scaling import scaler_of, scalers_of, unscale

# Logarithm of an expected count beyond which it overflows.
_HIGHEST = 700.0
_ADJECTIVES = {"Logit": "logistic", "Probit": "probit"}


@dataclass(frozen=True)
class Prepared:
    """A regression and its rows, before anything is estimated.

    Parameters
    ----------
    choice : Choice
    request : Request
    design : Design
    model : AffineModel
        In the table's units.
    has_constant : bool
    """

    choice: Choice
    request: Request
    design: Design
    model: AffineModel
    has_constant: bool

    @cached_property
    def terms(self) -> list[str]:
        constant = _constant_name(self.design.names)
        return [constant] * self.has_constant + self.design.names

    @cached_property
    def outcomes(self) -> list[str]:
        """The classes that are compared with the first; empty if one equation says it all."""
        if self.choice.likelihood.name != "multinomial":
            return []
        return [str(one) for one in (self.design.labels or self.choice.classes)[1:]]

    @property
    def labels(self) -> list[str]:
        return labels_of(self.terms, self.outcomes)

    @cached_property
    def exog(self) -> np.ndarray:
        return self.design.exog(self.has_constant)

    @cached_property
    def equations(self) -> np.ndarray:
        """Coefficients of the regressors in each equation, in the units of the network.

        A scaler of the columns would hide what the architecture makes equal.
        """
        return self.choice.equations(self._coded(self.choice.model))[0]

    @cached_property
    def params(self) -> np.ndarray:
        return self._params(self.model)

    @cached_property
    def moments(self) -> Moments:
        design, likelihood = self.design, self.choice.likelihood
        if likelihood.name == "poisson":
            highest = float((self.exog @ self.params).max())
            if highest > _HIGHEST:
                raise DataError(
                    f"the network expects exp({highest:.4g}) counts in some row, which overflows: "
                    "the table is not in its units (give the scaler: scaler=, --scale), or the "
                    "columns stand in another order"
                )
        return moments_at(likelihood, self.exog, design.y, self.params, design.weights)

    def reading(self, model: AffineModel) -> np.ndarray:
        """Return the coefficients of the same network with other weights."""
        return self._params(_unscaled(self.choice, model, self.request, self.design))

    def _coded(self, model: AffineModel) -> AffineModel:
        coding = self.design.coding
        return model if coding is None else coding.identified(model)

    def _params(self, model: AffineModel) -> np.ndarray:
        coef, intercept, _ = self.choice.equations(self._coded(model))
        each = np.concatenate([intercept[:, None], coef], axis=1)
        return each[:, int(not self.has_constant) :].ravel()


def prepare(choice: Choice, request: Request, target: Any, others: Sequence[str]) -> Prepared:
    """Take a regression's rows out of the table, and bring the network into its units."""
    check_covariance(choice.likelihood.regression, request.cov_type)
    design = design_of(choice.model, request, target, _classes(choice), others)
    choice = _retuned(choice, request)
    folded = _unscaled(choice, choice.model, request, design)
    _check_response(choice, design)
    coded = folded if design.coding is None else design.coding.identified(folded)
    return Prepared(choice, request, design, folded, choice.equations(coded)[2])


def _unscaled(choice: Choice, model: AffineModel, request: Request, design: Design) -> AffineModel:
    scaler, target_scaler = scalers_of(request.scaler, request.target_scaler)
    return unscale(model, scaler, target_scaler, design.numbers, linear=choice.likelihood.linear)


def _retuned(choice: Choice, request: Request) -> Choice:
    """Bring the bend of Huber's loss from the unit of the scaled target to the table's."""
    likelihood = choice.likelihood
    _, target_scaler = scalers_of(request.scaler, request.target_scaler)
    if likelihood.name != "huber" or target_scaler is None:
        return choice
    assert isinstance(likelihood, MEstimator)
    factor = float(scaler_of(target_scaler, 1, "the scaler of the target").scale[0])
    return replace(choice, likelihood=replace(likelihood, tuning=likelihood.tuning * factor))


def _classes(choice: Choice) -> Sequence[str]:
    """Return what the classes are called, where the response is in classes."""
    return choice.classes or (("0", "1") if choice.likelihood.name == "binomial" else ())


def _check_response(choice: Choice, design: Design) -> None:
    likelihood, y, name = choice.likelihood, design.y, printable(design.target)
    if likelihood.scaled and (y != y[0]).any():
        return
    values = np.unique(y)
    shown = ", ".join(f"{value:g}" for value in values[:5])
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
