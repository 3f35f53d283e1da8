"""Packages that take statsmodels results take a conversion's: marginaleffects, stargazer."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import hostile
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import FIXTURES
from statsmodels.iolib.smpickle import load_pickle

import converter

DATA = {
    "ols": ("diabetes_stopped.keras", "diabetes.csv", "progression", "bmi"),
    "logit": ("spector_logistic.keras", "spector.csv", "GRADE", "GPA"),
}


@pytest.fixture(scope="module")
def effects():
    """Return marginaleffects, with the polars that it was written for.

    marginaleffects 0.6 asks whether numbers with a fraction are among whole ones, which polars
    refuses from 2.0 on, for a model of statsmodels' own too.
    """
    import polars as pl

    with pytest.MonkeyPatch.context() as patch:
        if int(pl.__version__.split(".")[0]) >= 2:
            plain = pl.Series.is_in
            patch.setattr(
                pl.Series,
                "is_in",
                lambda self, other, **more: plain(
                    self,
                    pl.Series(other).cast(self.dtype) if isinstance(other, list) else other,
                    **more,
                ),
            )
        import marginaleffects

        yield marginaleffects


def _pair(name: str):
    """Return a conversion, and statsmodels' own fit by a formula moved to its coefficients."""
    network, data, target, variable = DATA[name]
    made = converter.convert(FIXTURES / network, FIXTURES / data, target)
    table = pd.read_csv(FIXTURES / data)
    names = made.results.model.exog_names[1:]
    kind = sm.OLS if name == "ols" else sm.Logit
    model = kind.from_formula(f"{target} ~ {' + '.join(names)}", table.astype(float))
    own = model.fit(**({} if name == "ols" else {"disp": False}))
    own._results.params = made.results.params.to_numpy().copy()
    covariance = made.results.cov_params().to_numpy()
    own._results.normalized_cov_params = covariance
    own._results.cov_params_default = covariance
    return made.results, own, variable


def _numbers(found) -> pd.DataFrame:
    columns = ["estimate", "std_error", "statistic", "conf_low", "conf_high"]
    table = found if isinstance(found, pd.DataFrame) else found.to_pandas()
    return table[columns].astype(float)


@pytest.mark.parametrize("name", DATA)
def test_marginaleffects_agree_with_a_formula_of_statsmodels(effects, name):
    results, own, variable = _pair(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ask in (
            effects.avg_slopes,
            effects.predictions,
            effects.avg_predictions,
            lambda one: effects.comparisons(one, variables=variable),
            lambda one: effects.avg_comparisons(one, variables={variable: 2}),
        ):
            found, expected = _numbers(ask(results)), _numbers(ask(own))
            assert len(found) > 0
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_marginaleffects_of_the_network_are_its_coefficients(effects):
    results = _pair("ols")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = effects.avg_slopes(results)
    rows = found if isinstance(found, pd.DataFrame) else found.to_pandas()
    rows = rows.set_index("term")
    names = list(rows.index)
    np.testing.assert_allclose(rows["estimate"], results.params[names], rtol=1e-5)
    # marginaleffects takes differences of the predictions, in steps that lose digits.
    np.testing.assert_allclose(rows["std_error"], results.bse[names], rtol=2e-2)


def test_stargazer():
    from stargazer.stargazer import Stargazer

    ols, logit = _pair("ols")[0], _pair("logit")[0]
    table = Stargazer([ols, logit])
    html, latex = table.render_html(), table.render_latex()
    for results in (ols, logit):
        for name, value in results.params.items():
            assert f">{name}<" in html
            assert f"{value:.3f}" in html
            assert f"{value:.3f}" in latex


def test_hostile_names_break_nothing(effects):
    made = hostile.conversion()
    formula = made.results.model.formula
    import patsy

    frame = made.results.model.data.frame
    y, X = patsy.dmatrices(formula, frame)
    np.testing.assert_array_equal(np.asarray(X), made.results.model.exog)
    np.testing.assert_array_equal(np.asarray(y)[:, 0], made.results.model.endog)
    assert "say__x_" in frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = effects.predictions(made.results)
    np.testing.assert_allclose(
        _numbers(found)["estimate"], made.results.fittedvalues, rtol=1e-12, atol=1e-12
    )
    assert all(name.isidentifier() for name in frame.columns)
    assert frame.columns.is_unique


@pytest.mark.parametrize("name", DATA)
def test_statsmodels_itself_sees_no_formula(name):
    results = _pair(name)[0]
    assert not hasattr(results._results.model, "formula")
    assert isinstance(results.model, sm.OLS if name == "ols" else sm.Logit)
    assert type(results.model).__name__ == type(results._results.model).__name__
    rows = results.model.data.orig_exog[:3]
    np.testing.assert_allclose(results.predict(rows), results.predict()[:3], rtol=1e-12)
    shown = results.get_prediction(rows).summary_frame().to_numpy()
    whole = results.get_prediction().summary_frame().to_numpy()[:3]
    np.testing.assert_allclose(shown, whole, rtol=1e-9)
    # Both models are one.
    results.model.marked = "x"
    assert results._results.model.marked == "x"
    assert results.model.__dict__ is results._results.model.__dict__


@pytest.mark.parametrize("name", DATA)
def test_models_are_made_anew_of_their_class(name):
    results = _pair(name)[0]
    shown = results.model
    plain = type(shown)(shown.endog, shown.exog)
    assert type(plain) is (sm.OLS if name == "ols" else sm.Logit)
    frame = pd.DataFrame({"y": [0.0, 1.0, 0.0, 1.0, 1.0, 0.0], "x": [1.0, 2, 4, 3, 1, 2]})
    assert len(shown.from_formula("y ~ x", frame).fit().params) == 2
    assert len(shown.fit_regularized(alpha=0.1).params) == len(results.params)
    if name == "ols":
        assert sm.stats.diagnostic.linear_reset(results).pvalue > 0


@pytest.mark.parametrize("name", DATA)
def test_what_is_saved_or_copied_is_statsmodels_own(name):
    results = _pair(name)[0]
    file = io.BytesIO()
    results.save(file)
    size = len(file.getvalue())
    assert b"converter" not in file.getvalue()
    read = load_pickle(io.BytesIO(file.getvalue()))
    assert not hasattr(read.model, "formula")
    pd.testing.assert_series_equal(read.params, results.params)
    assert b"converter" not in pickle.dumps(results.model)
    assert b"converter" not in pickle.dumps(results.model.data)
    assert copy.copy(results.model) is results._results.model
    results.remove_data()
    assert results.model.exog is None
    with pytest.raises(ValueError, match="the rows were removed"):
        _ = results.model.data.frame
    file = io.BytesIO()
    results.save(file)
    assert len(file.getvalue()) < size
