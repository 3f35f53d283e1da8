"""Numbers against certified ones, and against formulas computed another way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import FIXTURES
from models import affine

import converter

REFERENCE = Path(__file__).parent / "reference"
LONGLEY = pd.read_csv(FIXTURES / "longley.csv")


def _digits(found, certified):
    """Log relative error: the number of correct digits, of the worst element."""
    error = np.abs(np.asarray(found) / np.asarray(certified) - 1.0)
    return float(-np.log10(np.maximum(error, 1e-16)).min())


@pytest.fixture(scope="module")
def longley():
    return json.loads((REFERENCE / "longley.json").read_text())


def test_longley_refit_and_pinned_results_are_as_good_as_certified(longley):
    b = np.array(longley["estimate"])
    start = b * np.array([1.1, 0.5, 1.3, 0.9, 1.0, 2.0, 1.1])
    made = converter.convert(affine(start[1:], start[0]), LONGLEY, "TOTEMP")
    peer = sm.OLS(LONGLEY["TOTEMP"], sm.add_constant(LONGLEY.drop(columns="TOTEMP"))).fit()
    assert list(made.refit.params.index) == longley["terms"]
    assert _digits(made.refit.params, b) >= max(12.0, _digits(peer.params, b))
    errors = longley["standard_error"]
    assert _digits(made.refit.bse, errors) >= max(12.0, _digits(peer.bse, errors))
    assert made.refit.rsquared == pytest.approx(longley["r_squared"], rel=1e-12)
    assert made.refit.fvalue == pytest.approx(longley["f_statistic"], rel=1e-9)
    assert np.sqrt(made.refit.scale) == pytest.approx(
        longley["residual_standard_deviation"], rel=1e-12
    )
    assert made.refit.df_resid == longley["residual_degrees_of_freedom"]


NIST = json.loads((REFERENCE / "nist_linear.json").read_text())["sets"]


@pytest.mark.parametrize("factor", [1.0, 1.01, -3.0])
@pytest.mark.parametrize("name", NIST)
def test_nist_linear_regressions(name, factor):
    """From any coefficients the refit is the certified one, at least as good as statsmodels'."""
    data = NIST[name]
    x, y, estimate = (np.array(data[key]) for key in ("x", "y", "estimate"))
    constant = int(0 in data["powers"])
    X = np.column_stack([x**power for power in data["powers"] if power])
    start = estimate * factor
    made = converter.convert(affine(start[constant:], start[0] if constant else None), X, y)
    peer = sm.OLS(y, sm.add_constant(X) if constant else X).fit()
    least = 7.0 if name == "Filip" else 12.0
    assert _digits(made.refit.params, estimate) >= max(
        least, min(_digits(peer.params, estimate), 14.0)
    )
    errors = np.array(data["standard_error"])
    if errors.any():
        assert _digits(made.refit.bse, errors) >= max(least, min(_digits(peer.bse, errors), 14.0))
    else:
        assert np.max(made.refit.bse / estimate) < 1e-9
    assert made.refit.df_resid == len(y) - len(estimate)
    deviation = data["residual_standard_deviation"]
    assert np.sqrt(made.refit.scale) == pytest.approx(deviation, rel=10**-least, abs=1e-9)
    found = made.optimality
    if factor == 1.0:
        assert found.verdict == "optimum"
    elif errors.any():
        drift = (start - estimate) / errors
        np.testing.assert_allclose(list(found.drift.values()), drift, rtol=1e-5)


LIKELIHOOD = json.loads((REFERENCE / "likelihood.json").read_text())["sets"]
_LINKS = {
    "Logit": ("logit", "binomial"),
    "Probit": ("probit", "binomial"),
    "Poisson": ("log", "poisson"),
    "MNLogit": ("softmax", "multinomial"),
}


def _likelihood_set(name):
    """Return what is known of a set, and its columns and response."""
    known = LIKELIHOOD[name]
    if "data" in known:
        table = pd.DataFrame(known["data"])
    else:
        table = getattr(sm.datasets, known["dataset"]).load_pandas().data.head(known["rows"])
    return known, table[known["columns"]].to_numpy(), table[known["response"]].to_numpy()


def _network(kind, params, width):
    """Return the model whose parameters these are, one class behind the other."""
    weights = np.reshape(params, (-1, width))
    more = dict(zip(("link", "family"), _LINKS[kind], strict=True))
    if kind == "MNLogit":
        weights = np.vstack([np.zeros(width), weights])  # the base class
        more["groups"] = (0,) * len(weights)
    return affine(weights[:, 1:], weights[:, 0], **more)


def _flat(values):
    return np.ravel(values, order="F")


@pytest.mark.parametrize("start", ["second", "zero"])
@pytest.mark.parametrize("name", LIKELIHOOD)
def test_maximum_likelihood_is_as_good_as_statsmodels(name, start):
    known, X, y = _likelihood_set(name)
    estimate, errors = (np.float64(known[key]) for key in ("estimate", "standard_error"))
    params = known["second"]["at"] if start == "second" else np.zeros_like(estimate)
    made = converter.convert(_network(known["kind"], params, X.shape[1] + 1), X, y)
    # Its default tolerance leaves fewer digits, and its default iterations do not reach cpunish's.
    peer = getattr(sm, known["kind"])(y, sm.add_constant(X)).fit(disp=0, tol=1e-14, maxiter=200)
    for attribute, certified in (("params", estimate), ("bse", errors)):
        least = max(12.0, min(_digits(_flat(getattr(peer, attribute)), certified), 14.0))
        assert _digits(_flat(getattr(made.refit, attribute)), certified) >= least


@pytest.mark.parametrize("name", LIKELIHOOD)
def test_likelihoods_and_pinned_numbers_are_the_certified_ones(name):
    """Off the optimum, and the likelihoods at it and without regressors."""
    known, X, y = _likelihood_set(name)
    second = known["second"]
    made = converter.convert(_network(known["kind"], second["at"], X.shape[1] + 1), X, y)
    np.testing.assert_array_equal(_flat(made.results.params), second["at"])
    # Also without extended precision; inverting X'WX leaves 12 digits of the hard design.
    assert _digits(_flat(made.results.bse), np.float64(second["standard_error"])) >= 14.0
    assert made.optimality.statistic == pytest.approx(float(second["score_statistic"]), rel=1e-12)
    assert made.optimality.df == (len(second["at"]),)
    assert made.results.llf == pytest.approx(float(second["log_likelihood"]), rel=1e-13)
    assert made.refit.llf == pytest.approx(float(known["log_likelihood"]), rel=1e-13)
    for results in (made.results, made.refit):
        # statsmodels' own, found by a search, has 9 digits for anes96.
        assert results.llnull == pytest.approx(float(known["null_log_likelihood"]), rel=1e-13)
    drift = np.subtract(second["at"], np.float64(known["estimate"]))
    drift /= np.float64(known["standard_error"])
    np.testing.assert_allclose(list(made.optimality.drift.values()), drift, rtol=1e-5)


@pytest.mark.parametrize("suffix", ["keras", "h5", "onnx"])
def test_the_trained_longley_network_is_the_certified_regression(longley, suffix):
    path = FIXTURES / f"longley_linear.{suffix}"
    made = converter.convert(path, FIXTURES / "longley.csv", "TOTEMP")
    assert made.optimality.verdict == "optimum"
    np.testing.assert_allclose(made.results.params, longley["estimate"], rtol=1e-6)
    np.testing.assert_allclose(made.results.bse, longley["standard_error"], rtol=1e-8)


def _design(has_constant):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 3)) * [1.0, 10.0, 0.1] + [5.0, 0.0, 1.0]
    y = 2.0 + X @ [1.0, -0.5, 3.0] + rng.normal(size=60)
    return (np.column_stack([np.ones(60), X]) if has_constant else X), X, y


@pytest.mark.parametrize("has_constant", [True, False])
def test_pinned_ols_is_the_formula_at_the_networks_coefficients(has_constant):
    D, X, y = _design(has_constant)
    beta = np.array([2.5, 0.9, -0.4, 3.3])[int(not has_constant) :]
    model = affine(beta[-3:], beta[0] if has_constant else None)
    made = converter.convert(model, X, y)
    n, p = D.shape
    rss = ((y - D @ beta) ** 2).sum()
    covariance = rss / (n - p) * np.linalg.inv(D.T @ D)
    np.testing.assert_allclose(made.results.params, beta)
    np.testing.assert_allclose(made.results.cov_params(), covariance, rtol=1e-9)
    total = ((y - y.mean() * has_constant) ** 2).sum()
    assert made.results.rsquared == pytest.approx(1 - rss / total)
    slopes = slice(int(has_constant), None)
    wald = beta[slopes] @ np.linalg.solve(covariance[slopes, slopes], beta[slopes]) / 3
    assert made.results.fvalue == pytest.approx(wald)
    assert made.results.df_resid == n - p
    best = np.linalg.lstsq(D, y, rcond=None)[0]
    rss_best = ((y - D @ best) ** 2).sum()
    s2 = rss_best / (n - p)
    errors = np.sqrt(s2 * np.diag(np.linalg.inv(D.T @ D)))
    np.testing.assert_allclose(
        list(made.optimality.drift.values()), (beta - best) / errors, rtol=1e-7
    )
    assert made.optimality.statistic == pytest.approx((rss - rss_best) / p / s2)
    assert made.optimality.df == (p, n - p)
    peer = sm.OLS(y, D, hasconst=has_constant).fit()
    for name in ("params", "bse", "tvalues", "pvalues"):
        np.testing.assert_allclose(getattr(made.refit, name), getattr(peer, name), rtol=1e-8)
    for name in ("rsquared", "rsquared_adj", "fvalue", "f_pvalue", "llf", "aic", "bic", "scale"):
        assert getattr(made.refit, name) == pytest.approx(getattr(peer, name), rel=1e-8)


@pytest.mark.parametrize("has_constant", [True, False])
def test_pinned_logit_is_the_formula_at_the_networks_coefficients(has_constant):
    D, X, _ = _design(has_constant)
    rng = np.random.default_rng(8)
    truth = np.array([-1.0, 0.2, -0.1, 1.0])[int(not has_constant) :]
    y = (rng.uniform(size=60) < 1 / (1 + np.exp(-D @ truth))).astype(float)
    beta = truth * 1.1
    model = affine(beta[-3:], beta[0] if has_constant else None, link="logit", family="binomial")
    made = converter.convert(model, X, y)
    mu = 1 / (1 + np.exp(-D @ beta))
    information = D.T @ (D * (mu * (1 - mu))[:, None])
    np.testing.assert_allclose(made.results.cov_params(), np.linalg.inv(information), rtol=1e-9)
    score = D.T @ (y - mu)
    assert made.optimality.statistic == pytest.approx(score @ np.linalg.solve(information, score))
    assert made.optimality.df == (D.shape[1],)
    assert made.results.llf == pytest.approx((y * np.log(mu) + (1 - y) * np.log(1 - mu)).sum())
    peer = sm.Logit(y, D).fit(disp=0, tol=1e-14)
    np.testing.assert_allclose(made.refit.params, peer.params, rtol=1e-8)
    np.testing.assert_allclose(made.refit.bse, peer.bse, rtol=1e-8)
    assert made.refit.aic == pytest.approx(peer.aic)
    null = y.mean() if has_constant else 0.5
    expected = (y * np.log(null) + (1 - y) * np.log(1 - null)).sum()
    assert made.results.llnull == pytest.approx(expected)
    if has_constant:
        assert made.refit.llr_pvalue == pytest.approx(peer.llr_pvalue, rel=1e-6)


@pytest.mark.parametrize("cov_type", ["HC0", "HC1", "HC2", "HC3"])
def test_robust_covariance_at_the_optimum_is_statsmodels_own(cov_type):
    D, X, y = _design(True)
    made = converter.convert(affine([1.0, -0.5, 3.0], 2.0), X, y, cov_type=cov_type)
    peer = sm.OLS(y, D).fit(cov_type=cov_type)
    np.testing.assert_allclose(made.refit.bse, peer.bse, rtol=1e-8)
    assert made.refit.fvalue == pytest.approx(peer.fvalue, rel=1e-7)
    assert made.results.cov_type == cov_type


def test_weights_make_wls():
    D, X, y = _design(True)
    w = np.random.default_rng(1).uniform(0.5, 2.0, 60)
    made = converter.convert(affine([1.0, -0.5, 3.0], 2.0), X, y, weights=w)
    peer = sm.WLS(y, D, weights=w).fit()
    for name in ("params", "bse"):
        np.testing.assert_allclose(getattr(made.refit, name), getattr(peer, name), rtol=1e-8)
    for name in ("rsquared", "fvalue", "llf", "scale"):
        assert getattr(made.refit, name) == pytest.approx(getattr(peer, name), rel=1e-8)


def test_more_rows_than_one_block_give_the_same_numbers():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(40_000, 12))
    y = X.sum(axis=1) + rng.normal(size=40_000)
    made = converter.convert(affine(np.ones(12), 0.1), X, y)
    peer = sm.OLS(y, sm.add_constant(X)).fit()
    np.testing.assert_allclose(made.refit.params, peer.params, rtol=0, atol=1e-12)
    np.testing.assert_allclose(made.refit.bse, peer.bse, rtol=1e-10)


def test_a_small_drift_in_every_term_is_not_an_optimum_when_the_test_rejects():
    """Collinear columns have large standard errors, which hide a joint drift."""
    rng = np.random.default_rng(9)
    base = rng.normal(size=200)
    X = np.column_stack([base, base + 1e-6 * rng.normal(size=200)])
    y = base + rng.normal(size=200)
    best = converter.convert(affine([1.0, 0.0], 0.0), X, y).refit.params.to_numpy()
    made = converter.convert(affine(best[1:] + [0.5, 0.5], best[0]), X, y)
    assert made.optimality.max_drift < 0.01
    assert made.optimality.pvalue < 1e-6
    assert made.optimality.verdict == "not at the optimum"
