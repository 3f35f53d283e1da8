"""What other packages ask of a statsmodels model that came of a formula: it, and its data frame.

marginaleffects reads ``results.model.formula`` and ``results.model.data.frame``. statsmodels
itself, where a model has a formula, takes what is predicted for the formula's variables, no longer
for rows of regressors. So only the wrapper, which others are handed, shows a model with them; the
results inside keep the model that they have, and both are one: they share their attributes.
"""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def with_formula(wrapper: Any, has_constant: bool) -> Any:
    """Return a results wrapper whose model has a formula and a data frame.

    Parameters
    ----------
    wrapper : statsmodels.base.wrapper.ResultsWrapper
    has_constant : bool
        Whether the first regressor is the intercept.
    """
    results = wrapper._results
    model = results.model
    shown = _sharing(_Shown, model)
    shown._results, shown._has_constant = results, has_constant
    object.__setattr__(wrapper, "model", shown)
    return wrapper


def _sharing(mixin: type, one: Any) -> Any:
    """Return an object of the same class and a mixin, with the very attributes of another."""
    kind = type(one)

    def anew(cls: type, *args: Any, **kwargs: Any) -> Any:
        """Return one of statsmodels' own, as whatever makes a model of this one's class wants."""
        return kind(*args, **kwargs)

    body = {"__slots__": (), "__module__": kind.__module__, "__new__": anew}
    made = type(kind.__name__, (mixin, kind), body)
    shared: Any = object.__new__(made)
    shared.__dict__ = one.__dict__
    return shared


class _Shown:
    """A model with a formula."""

    __slots__ = ("_has_constant", "_results")

    _results: Any
    _has_constant: bool

    @property
    def formula(self) -> str:
        """The response and the regressors, by the names that `frame` has for them."""
        inner = self._results.model
        response, *names = _identifiers(
            [inner.endog_names, *inner.data.xnames[int(self._has_constant) :]]
        )
        terms = ([] if self._has_constant else ["0"]) + names
        return f"{response} ~ {' + '.join(terms) or '1'}"

    @property
    def data(self) -> Any:
        """The model's data, with their frame."""
        inner = self._results.model
        data = _sharing(_Data, inner.data)
        data._model, data._has_constant = inner, self._has_constant
        return data

    @data.setter
    def data(self, value: Any) -> None:
        self._results.model.data = value

    def __reduce_ex__(self, protocol: Any) -> Any:
        # What is saved, or copied, is statsmodels' own.
        return operator.attrgetter("model"), (self._results,)


class _Data:
    """Data with a frame."""

    __slots__ = ("_has_constant", "_model")

    _model: Any
    _has_constant: bool

    @property
    def frame(self) -> pd.DataFrame:
        """The response and the regressors, the intercept left out.

        Names that are no identifiers are made some: what they do not hold becomes an underscore.
        """
        data: Any = self
        if data.orig_exog is None:
            raise ValueError("the rows were removed from these results")
        regressors = data.orig_exog.iloc[:, int(self._has_constant) :]
        response = pd.Series(np.asarray(data.orig_endog), index=regressors.index)
        found = pd.concat([response, regressors], axis=1)
        return found.set_axis(_identifiers([data.orig_endog.name, *regressors.columns]), axis=1)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return operator.attrgetter("data"), (self._model,)


def _identifiers(names: Sequence[str]) -> list[str]:
    """Return names that a formula takes as they are: what is none becomes one."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W", "_", str(name), flags=re.ASCII)
        if not plain.isidentifier() or keyword.iskeyword(plain):
            plain = f"_{plain}"
        while plain in found:
            plain += "_"
        found.append(plain)
    return found
