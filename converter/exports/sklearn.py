"""A model as a fitted scikit-learn estimator."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.exports.layout import one_regression, refuse_link
from converter.exports.lookups import Lookup, parts_of
from converter.exports.response import on_response
from converter.model import AffineModel


def joblib(model: AffineModel, *, classes: Sequence[Any] = ()) -> bytes:
    """Return the estimator as joblib dumps it; loading it runs whatever code is in the file."""
    import joblib as joblib_

    file = io.BytesIO()
    joblib_.dump(estimator(model, classes), file)
    return file.getvalue()


def estimator(model: AffineModel, labels: Sequence[Any] = ()) -> Any:
    """Return an estimator that predicts what the regression does that the model is.

    ``LinearRegression``, ``LogisticRegression`` (its ``predict_proba``; classes are 0 and 1,
    or `labels`, or what the outputs' names call them) or ``PoissonRegressor``. A network that was
    trained from logits is a classifier too (its ``decision_function``). Where inputs are
    categories it is the last step of a ``Pipeline`` that encodes the columns of a DataFrame.

    Raises
    ------
    ValueError
        If scikit-learn has no such estimator, or no encoder that does as the network does.
    """
    model = on_response(model)
    refuse_link(
        model,
        "joblib",
        ("identity", "logit", "softmax", "log"),
        "for which scikit-learn has no estimator: export it as onnx or pmml",
    )
    classes: tuple[Any, ...] = ()
    if model.link != "identity":
        model, classes = one_regression(model, "joblib", labels)
        # A table's labels are as the table has them; numbers in names of outputs are numbers.
        if not labels and classes == tuple(map(str, range(len(classes)))):
            classes = tuple(range(len(classes)))
    numbers, lookups = parts_of(model, "joblib")
    if not lookups:
        return _regression(model, model.coef, model.feature_names, classes)
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any, list[str]]] = []
    columns: list[int] = []
    if numbers:
        steps.append(("numbers", "passthrough", [name for name, _ in numbers]))
        columns += [at for _, at in numbers]
    example: dict[str, list[Any]] = {name: [0.0] for name, _ in numbers}
    for place, one in enumerate(lookups):
        encoder, order, value = _encoder(one)
        steps.append((f"category {place + 1}", encoder, [one.column]))
        example[one.column] = [value]
        columns += order
    import pandas as pd

    encoded = ColumnTransformer(steps, sparse_threshold=0.0)
    encoded.fit(pd.DataFrame(example)[list(model.columns)])
    last = _regression(model, model.coef[:, columns], (), classes)
    return Pipeline([("columns", encoded), ("regression", last)])


def _regression(
    model: AffineModel, coef: np.ndarray, names: tuple[str, ...], classes: tuple[Any, ...]
) -> Any:
    """Return an estimator as if it had been fitted."""
    from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

    constant = bool(model.has_intercept.any())
    intercept = model.intercept.copy()
    made: Any
    if model.link == "identity":
        made = LinearRegression(fit_intercept=constant)
        single = len(coef) == 1
        made.coef_ = coef[0].copy() if single else coef.copy()
        made.intercept_ = float(intercept[0]) if single else intercept
    elif model.link == "log":
        made = PoissonRegressor(alpha=0.0, fit_intercept=constant)
        made.coef_, made.intercept_ = coef[0].copy(), float(intercept[0])
        made._base_loss = made._get_loss()  # what fit leaves for predict
    else:
        made = LogisticRegression(C=np.inf, fit_intercept=constant)
        if model.link == "softmax" and len(classes) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        made.classes_ = np.array(classes)
        made.coef_, made.intercept_ = coef.copy(), intercept
        made.n_iter_ = np.zeros(1, dtype=np.int32)
    made.n_features_in_ = coef.shape[1]
    if names:
        made.feature_names_in_ = np.array(names, dtype=object)
    return made


def _encoder(one: Lookup) -> tuple[Any, list[int], Any]:
    """Return what makes a category's indicators, their columns of coefficients, and an example.

    Raises
    ------
    ValueError
        If it would take values for a level that the network refuses.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    if one.below or (one.other is not None and not one.text):
        raise ValueError(
            f"joblib: the category {one.column!r} takes any number, and no encoder of scikit-learn "
            "tells them as the network does: export it as sql or pmml"
        )
    known = list(one.equal)
    if one.other is None:
        if not one.text:
            known.sort(key=lambda pair: pair[0])
        values = np.array([value for value, _ in known], dtype=object if one.text else None)
        encoder = OneHotEncoder(categories=[values], handle_unknown="error")
        return encoder, [at for _, at in known], known[0][0]
    # Words that are not known are -1; what is missing is no word: it is known here, so that it is
    # not one of those, and refused by the next step.
    words = np.array([*(value for value, _ in known), None, np.nan], dtype=object)
    numbered = OrdinalEncoder(
        categories=[words], handle_unknown="use_encoded_value", unknown_value=-1
    )
    places = np.arange(-1.0, len(known))
    indicators = OneHotEncoder(categories=[places], handle_unknown="error")
    encoder = Pipeline([("number", numbered), ("indicators", indicators)])
    return encoder, [one.other, *(at for _, at in known)], known[0][0]
