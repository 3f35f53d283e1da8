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
from converter.regression.caveats.rows import pearson_of
from converter.regression.choice import Choice
from converter.regression.conversion import labels_of
from converter.regression.design import Columns, Design, design_of
from converter.regression.families import POISSON
from converter.regression.moments import Moments
from converter.regression.multinomial import Multinomial
from converter.regression.passes import moments_at
from converter.regression.response import Response
from converter.regression.robust import MEstimator
from converter.regression.scaling import scaler_of, scalers_of, unscale

# Logarithm of an expected count beyond which it overflows.
_HIGHEST = 700.0
_ADJECTIVES = {"Logit": "logistic", "Probit": "probit"}


@dataclass(frozen=True)
class Regression:
    """A network as a regression on the columns of a table, in the table's units.

    Parameters
    ----------
    choice : Choice
    request : Request
    design : Columns
    model : AffineModel
        In the table's units.
    has_constant : bool
    """

    choice: Choice
    request: Request
    design: Columns
    model: AffineModel
    has_constant: bool

    @property
    def response(self) -> Response:
        """What is known of the response."""
        raise NotImplementedError

    @property
    def moments(self) -> Moments:
        """The state of the rows at the network's coefficients."""
        raise NotImplementedError

    @property
    def held(self) -> Prepared:
        """The regression with its rows in memory."""
        raise NotImplementedError

    @property
    def constant_columns(self) -> list[str]:
        """The terms that are the same in all rows, and not zero."""
        raise NotImplementedError

    def pearson(self, params: np.ndarray) -> tuple[float, float]:
        """Return Pearson's statistic of counts, and its variance; see `pearson_of`."""
        raise NotImplementedError

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
    def null(self) -> float:
        """Log-likelihood of the rows without regressors; 0 for the Gaussian family."""
        likelihood = self.choice.likelihood
        return 0.0 if likelihood.scaled else likelihood.null(self.response, self.has_constant)

    @cached_property
    def equations(self) -> np.ndarray:
        """Coefficients of the regressors in each equation, in the units of the network.

        A scaler of the columns would hide what the architecture makes equal.
        """
        return self.choice.equations(self._coded(self.choice.model))[0]

    @cached_property
    def params(self) -> np.ndarray:
        return self._params(self.model)

    def reading(self, model: AffineModel) -> np.ndarray:
        """Return the coefficients of the same network with other weights."""
        return self._params(unscaled(self.choice, model, self.request, self.design))

    def _coded(self, model: AffineModel) -> AffineModel:
        coding = self.design.coding
        return model if coding is None else coding.identified(model)

    def _params(self, model: AffineModel) -> np.ndarray:
        coef, intercept, _ = self.choice.equations(self._coded(model))
        each = np.concatenate([intercept[:, None], coef], axis=1)
        return each[:, int(not self.has_constant) :].ravel()


@dataclass(frozen=True)
class Prepared(Regression):
    """A regression and its rows, before anything is estimated."""

    design: Design

    @property
    def held(self) -> Prepared:
        return self

    @cached_property
    def response(self) -> Response:
        return self.choice.likelihood.response(self.design.y, self.design.weights, keep=True)

    @cached_property
    def exog(self) -> np.ndarray:
        return self.design.exog(self.has_constant)

    @property
    def constant_columns(self) -> list[str]:
        return [
            name
            for name, column in zip(self.terms, self.exog.T, strict=True)
            if column[0] != 0 and (column == column[0]).all()
        ]

    def pearson(self, params: np.ndarray) -> tuple[float, float]:
        return pearson_of(self.design.y, POISSON.mean(self.exog @ params))

    @cached_property
    def moments(self) -> Moments:
        design, likelihood = self.design, self.choice.likelihood
        if likelihood.name == "poisson":
            check_counts(float((self.exog @ self.params).max()))
        return moments_at(likelihood, self.exog, design.y, self.params, design.weights)


def check_counts(highest: float) -> None:
    """Refuse a network that expects counts that overflow.

    Parameters
    ----------
    highest : float
        The largest logarithm of an expected count.

    Raises
    ------
    DataError
    """
    if highest > _HIGHEST:
        raise DataError(
            f"the network expects exp({highest:.4g}) counts in some row, which overflows: "
            "the table is not in its units (give the scaler: scaler=, --scale), or the "
            "columns stand in another order"
        )


def prepare(choice: Choice, request: Request, target: Any, others: Sequence[str]) -> Prepared:
    """Take a regression's rows out of the table, and bring the network into its units."""
    check_covariance(choice.likelihood.regression, request.cov_type)
    design = design_of(choice.model, request, target, classes_of(choice), others)
    choice = _retuned(choice, request)
    folded = unscaled(choice, choice.model, request, design)
    coded = folded if design.coding is None else design.coding.identified(folded)
    made = Prepared(choice, request, design, folded, choice.equations(coded)[2])
    check_response(choice, made.response, design.target, design.weights is not None)
    return made


def unscaled(choice: Choice, model: AffineModel, request: Request, design: Columns) -> AffineModel:
    """Return a network in the units of the table."""
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


def classes_of(choice: Choice) -> Sequence[str]:
    """Return what the classes are called, where the response is in classes."""
    return choice.classes or (("0", "1") if choice.likelihood.name == "binomial" else ())


def check_response(choice: Choice, response: Response, target: str, weighted: bool) -> None:
    """Refuse what a regression cannot have for a response.

    Raises
    ------
    DataError
        Saying what it holds.
    """
    likelihood, name = choice.likelihood, printable(target)
    if likelihood.scaled and not response.constant:
        return
    shown = ", ".join(f"{value:g}" for value in response.examples)
    if not likelihood.scaled and weighted:
        raise DataError("weights are only supported for the gaussian family")
    if likelihood.name == "binomial" and not response.binary:
        raise DataError(
            f"a {_ADJECTIVES[likelihood.regression]} regression needs a target of 0 and 1 "
            f"(or two labels); {name!r} holds {shown}"
        )
    if likelihood.name == "poisson" and response.lowest < 0:
        raise DataError(f"a Poisson regression needs counts; {name!r} holds {shown}")
    if isinstance(likelihood, Multinomial) and response.occurring < likelihood.classes:
        raise DataError(
            f"the target {name!r} has {response.occurring} of the network's {likelihood.classes} "
            "classes; without rows of the others there is no multinomial regression"
        )
    if response.constant:
        if likelihood.name == "binomial":
            raise DataError(f"the target {name!r} has one class only ({response.lowest:g})")
        raise DataError(f"the target {name!r} is constant ({response.lowest:g})")


def _constant_name(names: list[str]) -> str:
    name = "const"
    while name in names:
        name += "_"
    return name
