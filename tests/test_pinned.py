"""statsmodels' own surface at the network's coefficients: right, or refused in one sentence."""

from __future__ import annotations

import copy
import json
import pickle
import pickletools
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import FIXTURES
from models import affine
from scipy import stats
from statsmodels.discrete.discrete_model import (
    LogitResults,
    MultinomialResults,
    PoissonResults,
    ProbitResults,
)
from statsmodels.regression.linear_model import OLSResults, RegressionResults

import converter

R = np.random.default_rng(11)
N, NAMES = 240, ["a", "b", "c"]
X = R.normal(size=(N, 3)) * [1.0, 3.0, 0.2]
ETA = 0.3 + X @ [0.5, -0.2, 1.0]
TABLE = pd.DataFrame(X, columns=NAMES)
EXOG = sm.add_constant(TABLE)
WEIGHTS = R.uniform(0.5, 2.0, N)
GROUPS = np.repeat(np.arange(40), 6)
OTHERS = np.tile(np.arange(30), 8)
_NOISE = np.random.default_rng(5).normal(size=N)
Y = {
    "OLS": ETA + _NOISE,
    "WLS": ETA + _NOISE / np.sqrt(WEIGHTS),
    "Logit": (ETA + R.logistic(size=N) > 0) * 1.0,
    "Probit": (ETA + R.normal(size=N) > 0) * 1.0,
    "Poisson": R.poisson(np.exp(ETA)) * 1.0,
    "MNLogit": np.digitize(ETA + R.logistic(size=N), [-0.5, 1.0]) * 1.0,
}
KINDS = {
    "OLS": OLSResults,
    "WLS": RegressionResults,
    "Logit": LogitResults,
    "Probit": ProbitResults,
    "Poisson": PoissonResults,
    "MNLogit": MultinomialResults,
}
LINKS = {
    "Logit": {"link": "logit", "family": "binomial"},
    "Probit": {"link": "probit", "family": "binomial"},
    "Poisson": {"link": "log", "family": "poisson"},
    "MNLogit": {"link": "softmax", "family": "multinomial", "groups": (0, 0, 0)},
}
SCALED, DISCRETE = ["OLS", "WLS"], ["Logit", "Probit", "Poisson", "MNLogit"]
ALL = [*SCALED, *DISCRETE]


def _fit(kind, has_constant=True, columns=None, **more):
    exog = EXOG if has_constant else TABLE
    exog = exog if columns is None else exog[columns]
    y = pd.Series(Y[kind], name="y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind in SCALED:
            given = {"weights": WEIGHTS} if kind == "WLS" else {}
            return getattr(sm, kind)(y, exog, **given, hasconst=has_constant).fit(**more)
        return getattr(sm, kind)(y, exog).fit(disp=0, tol=1e-14, maxiter=100, **more)


def _made(kind, shift=0.0, has_constant=True, **more):
    """Convert a network whose coefficients are the optimum plus a multiple of 1, 2, 3, .."""
    params = np.asarray(_fit(kind, has_constant).params)
    params = params.reshape(len(params), -1)
    params = params + shift * (1.0 + np.arange(len(params)))[:, None]
    if kind == "MNLogit":
        params = np.column_stack([np.zeros(len(params)), params])
    intercept = params[0] if has_constant else None
    slopes = params[int(has_constant) :].T
    model = affine(slopes, intercept, names=NAMES, **LINKS.get(kind, {}))
    weights = {"weights": WEIGHTS} if kind == "WLS" else {}
    return converter.convert(model, TABLE, Y[kind], **weights, **more)


@pytest.fixture(scope="module")
def at():
    return {kind: _made(kind).results for kind in ALL}


@pytest.fixture(scope="module")
def off():
    return {kind: _made(kind, 0.1).results for kind in ALL}


def _same(found, expected, rtol=1e-7, atol=1e-9):
    np.testing.assert_allclose(
        np.asarray(found, dtype=float), np.asarray(expected, dtype=float), rtol, atol
    )


def _roots(kind):
    return np.sqrt(WEIGHTS) if kind == "WLS" else np.ones(N)


def _probabilities(kind, params):
    """Return expected values, scores by row and the information, from the formulas."""
    x, y = EXOG.to_numpy(), Y[kind]
    if kind == "MNLogit":
        eta = np.column_stack([np.zeros(N), x @ np.asarray(params)])
        p = np.exp(eta) / np.exp(eta).sum(axis=1)[:, None]
        gaps = (y[:, None] == np.arange(3)) - p
        scores = np.concatenate([gaps[:, [k]] * x for k in (1, 2)], axis=1)
        blocks = [
            [x.T @ (x * (p[:, [j]] * ((j == k) - p[:, [k]]))) for k in (1, 2)] for j in (1, 2)
        ]
        return p, scores, np.block(blocks)
    eta = x @ np.asarray(params)
    if kind == "Logit":
        p = 1 / (1 + np.exp(-eta))
        return p, (y - p)[:, None] * x, x.T @ (x * (p * (1 - p))[:, None])
    if kind == "Poisson":
        p = np.exp(eta)
        return p, (y - p)[:, None] * x, x.T @ (x * p[:, None])
    sign = 2 * y - 1
    ratio = sign * stats.norm.pdf(eta) / stats.norm.cdf(sign * eta)
    return stats.norm.cdf(eta), ratio[:, None] * x, x.T @ (x * (ratio * (ratio + eta))[:, None])


def _covariance(kind, params):
    """Return the covariance of the parameters, as its definition has it."""
    if kind in DISCRETE:
        return np.linalg.inv(_probabilities(kind, params)[2])
    x, resid = EXOG.to_numpy() * _roots(kind)[:, None], _resid(kind, params)
    return resid @ resid / (N - 4) * np.linalg.inv(x.T @ x)


def _resid(kind, params):
    return (Y[kind] - EXOG.to_numpy() @ np.asarray(params)) * _roots(kind)


# What only reads parameters and covariance ------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_it_is_statsmodels_own_object_with_names(kind, at, off):
    fit = _fit(kind)
    for results in (at[kind], off[kind]):
        assert type(results) is type(fit)
        assert isinstance(results._results, KINDS[kind])
        for name in ("params", "bse", "tvalues", "pvalues"):
            assert getattr(results, name).index.equals(getattr(fit, name).index)
        assert results.cov_params().columns.equals(fit.cov_params().columns)


@pytest.mark.parametrize("kind", ALL)
def test_numbers_at_the_optimum_are_those_of_the_fit(kind, at):
    results, fit = at[kind], _fit(kind)
    names = ["params", "bse", "tvalues", "pvalues", "llf", "aic", "bic", "df_model", "df_resid"]
    if kind in SCALED:
        names += ["rsquared", "rsquared_adj", "ess", "mse_model", "mse_resid", "mse_total", "ssr"]
        names += ["fvalue", "f_pvalue", "scale", "centered_tss", "uncentered_tss", "resid_pearson"]
        names += ["HC0_se", "HC1_se", "HC2_se", "HC3_se", "condition_number", "eigenvals", "wresid"]
    else:
        names += ["llnull", "llr", "llr_pvalue", "prsquared", "resid_response", "fittedvalues"]
    ours, theirs = results._results, fit._results  # without names, which MNLogit's rows have not
    for name in names:
        _same(getattr(ours, name), getattr(theirs, name), 2e-6 if kind == "MNLogit" else 1e-6, 1e-7)
    _same(results.cov_params(), fit.cov_params(), 1e-6)
    _same(results.conf_int(), fit.conf_int(), 1e-6)
    _same(results.conf_int(alpha=0.2), fit.conf_int(alpha=0.2), 1e-6)
    size = np.size(fit.params)
    matrix = np.eye(size)[1:]
    for test in ("t_test", "wald_test", "f_test"):
        _same(getattr(results, test)(matrix).pvalue, getattr(fit, test)(matrix).pvalue, 1e-5)
    _same(results.predict(EXOG[:7]), fit.predict(EXOG[:7]))


@pytest.mark.parametrize("kind", ALL)
def test_numbers_off_the_optimum_are_their_definitions(kind, off):
    results = off[kind]
    params = np.asarray(results.params)
    covariance = _covariance(kind, params)
    beta, se = params.ravel(order="F"), np.sqrt(np.diag(covariance))
    _same(results.cov_params(), covariance, 1e-7)
    _same(np.asarray(results.bse).ravel(order="F"), se)
    law = stats.t(N - 4) if kind in SCALED else stats.norm
    _same(np.asarray(results.pvalues).ravel(order="F"), 2 * law.sf(np.abs(beta / se)), 1e-6)
    intervals = np.column_stack([beta - law.ppf(0.975) * se, beta + law.ppf(0.975) * se])
    _same(np.asarray(results.conf_int()).reshape(-1, 2), intervals)
    matrix = np.eye(len(beta))[1:3]
    matrix[1, 0] = 0.5
    wald = (matrix @ beta) @ np.linalg.solve(matrix @ covariance @ matrix.T, matrix @ beta)
    _same(results.wald_test(matrix, use_f=False).statistic, wald)
    _same(results.f_test(matrix).statistic, wald / 2)
    test = results.t_test((matrix, [1.0, 2.0]))
    _same(test.effect, matrix @ beta)
    _same(test.sd, np.sqrt(np.diag(matrix @ covariance @ matrix.T)))
    if kind != "MNLogit":
        table = results.wald_test_terms().table
        _same(table["statistic"], (beta / se) ** 2)
        _same(results.t_test("a = b").effect, beta[1] - beta[2])
        _same(results.wald_test("a = 0, b = 0", use_f=True).pvalue, results.f_test("a=b=0").pvalue)


@pytest.mark.parametrize("kind", ALL)
def test_predictions_and_their_intervals(kind, at, off):
    new = EXOG[:9]
    if kind == "MNLogit":
        _same(off[kind].predict(new), _probabilities(kind, off[kind].params)[0][:9])
        with pytest.raises(ValueError, match="no intervals for the probabilities"):
            off[kind].get_prediction(new)
        return
    _same(
        at[kind].get_prediction(new).summary_frame(), _fit(kind).get_prediction(new).summary_frame()
    )
    results = off[kind]
    frame, x = results.get_prediction(new).summary_frame(), new.to_numpy()
    mean, slope = x @ np.asarray(results.params), 1.0
    if kind in DISCRETE:
        slope = {
            "Logit": lambda p: p * (1 - p),
            "Poisson": lambda p: p,
            "Probit": lambda p: stats.norm.pdf(stats.norm.ppf(p)),
        }[kind]
        mean = _probabilities(kind, results.params)[0][:9]
        slope = slope(mean)
    variance = np.einsum("ij,jk,ik->i", x, _covariance(kind, results.params), x)
    _same(frame.iloc[:, 0], mean)
    _same(frame.iloc[:, 1], np.sqrt(variance) * slope, 1e-6)
    if kind == "OLS":
        reach = stats.t(N - 4).ppf(0.975) * np.sqrt(variance + results.scale)
        _same(frame["obs_ci_upper"] - frame["mean"], reach)


@pytest.mark.parametrize("kind", DISCRETE)
def test_marginal_effects(kind, at, off):
    fit = _fit(kind)
    if kind == "MNLogit":
        with pytest.raises(ValueError, match="no 'eyex' of several equations"):
            off[kind].get_margeff(method="eyex")
    for method in ({}, {"at": "mean"}, {"method": "eydx" if kind == "MNLogit" else "eyex"}):
        ours, theirs = at[kind].get_margeff(**method), fit.get_margeff(**method)
        _same(ours.margeff, theirs.margeff, 1e-6)
        _same(ours.margeff_se, theirs.margeff_se, 1e-5)
    results, step = off[kind], 1e-6
    effects = np.asarray(results.get_margeff().margeff)
    up, down = (EXOG.assign(b=EXOG["b"] + sign * step) for sign in (1, -1))
    expected = np.asarray(results.predict(up) - results.predict(down)).mean(axis=0) / (2 * step)
    _same(effects[1], expected, 1e-6)
    assert "dy/dx" in str(results.get_margeff().summary())


@pytest.mark.parametrize("kind", SCALED)
def test_heteroscedasticity_at_the_network(kind, off):
    x, e = EXOG.to_numpy() * _roots(kind)[:, None], _resid(kind, off[kind].params)
    bread = np.linalg.inv(x.T @ x)
    h = np.einsum("ij,jk,ik->i", x, bread, x)
    for name, factor in {
        "HC0": 1.0,
        "HC1": N / (N - 4),
        "HC2": 1 / (1 - h),
        "HC3": 1 / (1 - h) ** 2,
    }.items():
        meat = x.T @ (x * (e**2 * factor)[:, None])
        expected = np.sqrt(np.diag(bread @ meat @ bread))
        _same(getattr(off[kind], f"{name}_se"), expected)
        _same(off[kind].get_robustcov_results(name).bse, expected)


# What assumes an optimum --------------------------------------------------------------------------


def test_influence_and_empirical_likelihood_need_the_optimum(at, off):
    fit = _fit("OLS")
    _same(at["OLS"].get_influence().summary_frame(), fit.get_influence().summary_frame(), 1e-6)
    _same(at["OLS"].outlier_test(), fit.outlier_test(), 1e-6)
    _same(
        at["OLS"].el_test([0.4], [1], result_object=False),
        fit.el_test([0.4], [1], result_object=False),
        1e-4,
    )
    _same(at["OLS"].conf_int_el(1), fit.conf_int_el(1), 1e-4)
    for name, given in {
        "get_influence": (),
        "outlier_test": (),
        "el_test": ([0.4], [1]),
        "conf_int_el": (1,),
        "compare_lr_test": (fit,),
    }.items():
        words = f"{name} assumes .* not the optimum .*standard errors.*see Conversion.refit.{name}$"
        with pytest.raises(ValueError, match=words):
            getattr(off["OLS"], name)(*given)
    made = _made("OLS", 0.1)
    assert made.refit.get_influence().hat_matrix_diag.sum() == pytest.approx(4)


@pytest.mark.parametrize("kind", DISCRETE)
def test_influence_of_a_likelihood(kind, at, off):
    if kind == "MNLogit":
        for results in (at[kind], off[kind]):
            with pytest.raises(ValueError, match="no influence measures"):
                results.get_influence()
        return
    ours, theirs = at[kind].get_influence(), _fit(kind).get_influence()
    _same(ours.summary_frame(), theirs.summary_frame(), 1e-5)
    with pytest.raises(ValueError, match="get_influence assumes a score of zero"):
        off[kind].get_influence()


def test_diagnostics_of_counts(at, off):
    ours, theirs = at["Poisson"].get_diagnostic(), _fit("Poisson").get_diagnostic()
    _same(ours.test_dispersion().statistic, theirs.test_dispersion().statistic, 1e-5)
    with pytest.raises(ValueError, match="get_diagnostic assumes residuals of a fit"):
        off["Poisson"].get_diagnostic()
    _same(
        off["Poisson"].predict_prob([0, 2]),
        stats.poisson.pmf([[0, 2]], _probabilities("Poisson", off["Poisson"].params)[0][:, None]),
    )


@pytest.mark.parametrize("kind", DISCRETE)
def test_score_tests(kind, at, off):
    extra = np.random.default_rng(0).normal(size=(N, 2))
    fit = _fit(kind)
    _same(at[kind].score_test(extra).statistic, fit.score_test(extra).statistic, 1e-5)
    with pytest.raises(ValueError, match="score_test assumes a score of zero"):
        off[kind].score_test(extra)
    with pytest.raises(ValueError, match="score_test assumes"):
        off[kind].score_test(k_constraints=1)
    params = np.asarray(fit.params)
    _same(off[kind].score_test(extra, params).statistic, fit.score_test(extra).statistic, 1e-5)
    # Of the network's coefficients themselves it is the test of the optimum.
    made = _made(kind, 0.1)
    size = np.size(params)
    found = made.results.score_test(k_constraints=size)
    _, scores, information = _probabilities(kind, made.results.params)
    score = scores.sum(axis=0)
    _same(found.statistic, score @ np.linalg.solve(information, score), 1e-6)
    _same(found.statistic, made.optimality.statistic, 1e-6)
    with pytest.raises(ValueError, match="only there for cov_type='nonrobust'"):
        off[kind].score_test(k_constraints=size, cov_type="HC0")


@pytest.mark.parametrize("has_constant", [True, False])
@pytest.mark.parametrize("kind", ALL)
def test_criteria_count_the_parameters(kind, has_constant):
    for shift in (0.0, 0.1):
        results = _made(kind, shift, has_constant).results
        terms = np.size(results.params)
        assert results.aic == pytest.approx(-2 * results.llf + 2 * terms)
        assert results.bic == pytest.approx(-2 * results.llf + np.log(N) * terms)
        for name in ("aic", "bic"):
            assert results.info_criteria(name) == pytest.approx(getattr(results, name))
        each = results.info_criteria("aic", dk_params=1) - results.aic
        assert each == pytest.approx(2.0)
    if kind in DISCRETE:
        fit, there = _fit(kind, has_constant), _made(kind, 0.0, has_constant).results
        _same(there.info_criteria("tic"), fit.info_criteria("tic"), 1e-6)
        information = there.im_ratio
        value, penal = there.info_criteria("gbic")
        assert value == pytest.approx(there.bic - np.linalg.slogdet(information)[1])
        assert penal == pytest.approx(value + np.trace(information))
        for name in ("tic", "gbic"):
            with pytest.raises(ValueError, match="assumes a score of zero"):
                results.info_criteria(name)
        with pytest.raises(ValueError, match="im_ratio assumes"):
            _ = results.im_ratio
        before = results.llnull
        results.set_null_options()
        assert results.llnull == pytest.approx(before, rel=1e-6)


# Nested models -----------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [["const"], ["const", "b"], ["a", "c"]])
@pytest.mark.parametrize("kind", SCALED)
def test_a_restriction_is_tested_at_the_network(kind, columns, at, off):
    weights = {"weights": WEIGHTS} if kind == "WLS" else {}
    y = pd.Series(Y[kind], name="y")
    small = getattr(sm, kind)(y, EXOG[columns], **weights).fit()._results
    fit = _fit(kind)
    _same(at[kind].compare_f_test(small), fit.compare_f_test(small))
    _same(at[kind].compare_lm_test(small), fit.compare_lm_test(small))
    _same(at[kind].compare_lr_test(small), fit.compare_lr_test(small), 1e-6)
    _same(off[kind].compare_lm_test(small), fit.compare_lm_test(small))
    dropped = [place for place, name in enumerate(EXOG) if name not in columns]
    beta, covariance = np.asarray(off[kind].params), _covariance(kind, off[kind].params)
    part = beta[dropped]
    wald = part @ np.linalg.solve(covariance[np.ix_(dropped, dropped)], part) / len(dropped)
    value, pvalue, df = off[kind].compare_f_test(small)
    _same([value, df], [wald, len(dropped)])
    _same(pvalue, stats.f.sf(wald, len(dropped), N - 4))
    with pytest.raises(ValueError, match=r"compare_lm_test\(use_lr=True\) assumes"):
        off[kind].compare_lm_test(small, use_lr=True)


@pytest.mark.parametrize(
    ("cov_type", "cov_kwds"),
    [("HC0", None), ("HC3", None), ("HAC", {"maxlags": 2}), ("cluster", {"groups": GROUPS})],
)
def test_a_restriction_with_a_robust_covariance(cov_type, cov_kwds):
    small = _fit("OLS", columns=["const", "b"])._results
    fit = _fit("OLS", cov_type=cov_type, cov_kwds=cov_kwds)
    at = _made("OLS", cov_type=cov_type, cov_kwds=cov_kwds).results
    off = _made("OLS", 0.1, cov_type=cov_type, cov_kwds=cov_kwds).results
    for results, rtol in ((at, 1e-6), (off, 1e-6)):
        test = results.f_test("a = c = 0")
        value, pvalue, _ = results.compare_f_test(small)
        _same([value, pvalue], [test.statistic, test.pvalue], rtol)
    expected = np.array(fit.compare_lm_test(small))
    if cov_type == "cluster":  # whose statistic is too small by a factor n in statsmodels
        expected[:2] = expected[0] * N, stats.chi2.sf(expected[0] * N, 2)
    _same(at.compare_lm_test(small), expected, 1e-6)
    _same(off.compare_lm_test(small), expected, 1e-6)


def test_models_that_are_not_nested_or_not_fitted(at, off):
    with pytest.raises(ValueError, match="not nested"):
        at["OLS"].compare_f_test(sm.OLS(Y["OLS"], np.cos(X)).fit())
    with pytest.raises(ValueError, match="not nested"):
        at["OLS"].compare_f_test(_fit("OLS"))
    with pytest.raises(ValueError, match="other rows"):
        at["OLS"].compare_f_test(sm.OLS(Y["OLS"][:50], EXOG.iloc[:50, :2]).fit())
    with pytest.raises(ValueError, match="other rows, another response or weights"):
        at["WLS"].compare_lm_test(sm.OLS(Y["WLS"], EXOG[["const"]]).fit())
    smaller = affine([0.1, 0.2], 0.0, names=NAMES[:2])
    network = converter.convert(smaller, TABLE[NAMES[:2]], Y["OLS"])
    for results in (at["OLS"], off["OLS"]):
        with pytest.raises(ValueError, match="not its least-squares estimate: fit it"):
            results.compare_lm_test(network.results)
        _same(results.compare_f_test(network.results), results.compare_f_test(network.refit))


def test_units_do_not_matter_to_a_joint_test():
    table = pd.read_csv(FIXTURES / "longley.csv")
    made = converter.convert(FIXTURES / "longley_linear.keras", table, "TOTEMP")
    results = made.refit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = results.f_test(np.eye(7)[1:])
    assert test.df_num == 6
    assert test.statistic == pytest.approx(330.285339234588, rel=1e-6)
    assert results.fvalue == pytest.approx(330.285339234588, rel=1e-10)
    small = sm.OLS(table["TOTEMP"], np.ones(16)).fit()
    assert results.compare_f_test(small)[0] == pytest.approx(330.285339234588, rel=1e-8)


@pytest.mark.parametrize("has_constant", [True, False])
@pytest.mark.parametrize("kind", SCALED)
def test_explained_sums_of_squares_are_of_the_fitted_values(kind, has_constant):
    results = _made(kind, 0.1, has_constant).results
    fitted = np.asarray(results.fittedvalues)
    w = _roots(kind) ** 2
    center = np.average(fitted, weights=w) if has_constant else 0.0
    ess = (w * (fitted - center) ** 2).sum()
    _same(results.ess, ess)
    _same(results.mse_model, ess / 3)
    _same(results.fvalue, ess / 3 / results.scale)
    slopes = np.eye(len(results.params))[int(has_constant) :]
    _same(results.fvalue, results.f_test(slopes).statistic, 1e-6)
    _same(results.f_pvalue, stats.f.sf(results.fvalue, 3, results.df_resid))


@pytest.mark.parametrize("kind", ALL)
def test_what_needs_a_formula_or_one_equation(kind, at):
    with pytest.raises(ValueError, match="t_test_pairwise takes the levels of a term"):
        at[kind].t_test_pairwise("C(a)")
    if kind == "MNLogit":
        with pytest.raises(ValueError, match="several: use wald_test"):
            at[kind].wald_test_terms()
    else:
        _same(at[kind].wald_test_terms().table, _fit(kind).wald_test_terms().table, 1e-5)


def test_no_optimum_is_said_to_be_none():
    y = (X[:, 0] > 0) * 1.0
    made = converter.convert(affine([1.0, 0.0, 0.0], 0.0, names=NAMES, **LINKS["Logit"]), TABLE, y)
    for results in (made.results, made.refit):
        with pytest.raises(ValueError, match="there is no finite optimum on these rows"):
            results.get_influence()


# Summaries, files, copies -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_summaries_say_that_nothing_was_fitted(kind, at, off):
    for results in (at[kind], off[kind]):
        for shown in (str(results.summary()), str(results.summary2())):
            assert "not fitted" in " ".join(shown.split())
            assert "Least Squares" not in shown
            assert " MLE" not in shown
        assert "Network weights" in str(results.summary())
    refit = _made(kind, 0.1).refit
    assert ("Least Squares" if kind in SCALED else "MLE") in str(refit.summary())
    assert "not fitted" not in str(refit.summary()) + str(refit.summary2())


def _globals(content):
    strings, found = [], set()
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in ("GLOBAL", "INST"):
            found.add(argument)
        if isinstance(argument, str):
            strings.append(argument)
        if operation.name == "STACK_GLOBAL":
            found.add(" ".join(strings[-2:]))
    return found, strings


_LOADED = """
import sys
sys.modules["converter"] = None
import statsmodels.api as sm
results = sm.load(sys.argv[1])
print(type(results._results).__module__, results.bse.iloc[0] if results.bse.ndim == 1 else 0.0)
print(results.summary())
"""


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("kind", ALL)
def test_saved_files_are_statsmodels_own(kind, removed, tmp_path):
    results, path = _made(kind, 0.1).results, tmp_path / "results.pickle"
    before = str(results.params), str(results.bse), results.llf, results.aic
    extra = (results.fvalue, results.ess) if kind in SCALED else (results.llnull, results.llr)
    results.save(path, remove_data=removed)
    found, strings = _globals(path.read_bytes())
    assert found
    assert not any("converter" in one for one in (*found, *strings))
    for again in (sm.load(path), pickle.loads(pickle.dumps(results))):
        assert type(again._results) is KINDS[kind]
        assert (str(again.params), str(again.bse), again.llf, again.aic) == before
        now = (again.fvalue, again.ess) if kind in SCALED else (again.llnull, again.llr)
        assert now == extra
        assert "Df Residuals" in str(again.summary())
        _same(again.predict(EXOG[:3].to_numpy()), results.predict(EXOG[:3].to_numpy()))
        assert (again.model.exog is None) == removed
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOADED, path],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert run.stdout.startswith("statsmodels.")
    assert "Df Residuals" in run.stdout


@pytest.mark.parametrize("kind", ALL)
def test_summaries_without_rows(kind):
    results = _made(kind, 0.1).results
    before = [line for line in str(results.summary()).splitlines() if "Time:" not in line]
    results.remove_data()
    after = [line for line in str(results.summary()).splitlines() if "Time:" not in line]
    assert after == before
    if kind in SCALED:
        with pytest.raises(ValueError, match="summary2 reads the rows"):
            results.summary2()
    else:
        assert "not fitted" in " ".join(str(results.summary2()).split())


def test_copies_still_refuse():
    made = _made("OLS", 0.1)
    again = copy.deepcopy(made)
    for results in (
        copy.copy(made.results),
        copy.deepcopy(made.results),
        again.results,
        made.results.get_robustcov_results("HC1"),
    ):
        with pytest.raises(ValueError, match="get_influence assumes"):
            results.get_influence()
        assert "Network weights" in str(results.summary())
    _same(again.refit.params, made.refit.params)


# Robust covariances -------------------------------------------------------------------------------

TIME = np.tile(np.arange(6), 40)
ROBUST = [
    ("nonrobust", None),
    ("HC0", None),
    ("HC1", None),
    ("HC2", None),
    ("HC3", None),
    ("cluster", {"groups": GROUPS}),
    ("cluster", {"groups": GROUPS, "use_correction": False, "df_correction": False}),
    ("cluster", {"groups": np.column_stack([GROUPS, OTHERS])}),
    ("cluster", {"groups": np.arange(N)}),
    ("HAC", {"maxlags": 3}),
    ("HAC", {"maxlags": 3, "use_correction": True, "kernel": "uniform"}),
    ("hac-panel", {"maxlags": 2, "groups": GROUPS}),
    ("hac-panel", {"maxlags": 2, "time": TIME, "use_correction": "cluster"}),
    ("hac-groupsum", {"maxlags": 2, "time": TIME}),
    ("hac-groupsum", {"maxlags": 2, "time": TIME, "use_correction": "hac", "df_correction": False}),
]


def _meat(scores, cov_type, cov_kwds, h):
    """Return the middle of the sandwich, and its correction, row by row from the definitions."""
    n, p = scores.shape
    kwds = cov_kwds or {}

    def clustered(labels):
        sums = np.array([scores[labels == one].sum(axis=0) for one in np.unique(labels, axis=0)])
        count = len(sums)
        correct = kwds.get("use_correction", True)
        return (sums.T @ sums) * ((count / (count - 1) * (n - 1) / (n - p)) if correct else 1.0)

    if cov_type.startswith("HC"):
        factor = {"HC0": 1.0, "HC1": n / (n - p), "HC2": 1 / (1 - h), "HC3": 1 / (1 - h) ** 2}
        return scores.T @ (scores * np.broadcast_to(factor[cov_type], n)[:, None])
    if cov_type == "cluster":
        groups = np.asarray(kwds["groups"])
        if groups.ndim == 1:
            return clustered(groups)
        both = groups[:, 0] * 1000 + groups[:, 1]
        return clustered(groups[:, 0]) + clustered(groups[:, 1]) - clustered(both)
    lags = kwds["maxlags"]
    uniform = kwds.get("kernel") == "uniform"
    weight = [1.0 if uniform else 1 - lag / (lags + 1) for lag in range(lags + 1)]
    if cov_type == "hac-groupsum":
        scores = np.array([scores[t == TIME].sum(axis=0) for t in range(6)])
    total = scores.T @ scores
    for lag in range(1, lags + 1):
        pairs = np.arange(len(scores) - lag)
        if cov_type == "hac-panel":
            pairs = pairs[GROUPS[pairs] == GROUPS[pairs + lag]]
        cross = scores[pairs + lag].T @ scores[pairs]
        total = total + weight[lag] * (cross + cross.T)
    default = {"HAC": False, "hac-panel": "hac", "hac-groupsum": "cluster"}[cov_type]
    correct = kwds.get("use_correction", default)
    count = 6 if cov_type == "hac-groupsum" else 40
    if correct in (True, "hac"):
        total = total * n / (n - p)
    elif correct == "cluster":
        total = total * count / (count - 1) * (n - 1) / (n - p)
    return total


@pytest.mark.parametrize(("cov_type", "cov_kwds"), ROBUST)
@pytest.mark.parametrize("kind", ALL)
def test_robust_covariances(kind, cov_type, cov_kwds):
    given = {"cov_type": cov_type, "cov_kwds": cov_kwds}
    kept = copy.deepcopy(cov_kwds)
    at, fit = _made(kind, **given).results, _fit(kind, cov_type=cov_type, cov_kwds=kept)
    _same(at.cov_params(), fit.cov_params(), 1e-6, 1e-9)
    _same(at.pvalues, fit.pvalues, 1e-4, 1e-9)
    assert at.cov_kwds["description"] == fit.cov_kwds["description"]
    if kind in SCALED:
        _same([at.fvalue, at.f_pvalue], [fit.fvalue, fit.f_pvalue], 1e-5)
    off = _made(kind, 0.1, **given).results
    params = off.params
    if cov_type == "nonrobust":
        expected = _covariance(kind, params)
    else:
        if kind in SCALED:
            x = EXOG.to_numpy() * _roots(kind)[:, None]
            scores, bread = x * _resid(kind, params)[:, None], np.linalg.inv(x.T @ x)
            h = np.einsum("ij,jk,ik->i", x, bread, x)
        else:
            _, scores, information = _probabilities(kind, params)
            bread, h = np.linalg.inv(information), 0.0
            # Of a likelihood statsmodels has HC0 only, under any of the four names.
            cov_type = "HC0" if cov_type.startswith("HC") else cov_type
        expected = bread @ _meat(scores, cov_type, cov_kwds, h) @ bread
    _same(off.cov_params(), expected, 1e-6, 1e-10)


@pytest.mark.parametrize(("cov_type", "cov_kwds"), [one for one in ROBUST if one[0] != "nonrobust"])
def test_another_covariance_after_the_fact(cov_type, cov_kwds, at, off):
    kwds = cov_kwds or {}
    fit = _fit("OLS").get_robustcov_results(cov_type, **copy.deepcopy(kwds))
    found = at["OLS"].get_robustcov_results(cov_type, **copy.deepcopy(kwds))
    _same(found.bse, fit.bse)
    _same([found.fvalue, found.f_pvalue], [fit.fvalue, fit.f_pvalue], 1e-5)
    known = _made("OLS", 0.1, cov_type=cov_type, cov_kwds=cov_kwds).results
    again = off["OLS"].get_robustcov_results(cov_type, **copy.deepcopy(kwds))
    _same(again.cov_params(), known.cov_params(), 1e-9)
    _same([again.fvalue, again.ess], [known.fvalue, known.ess])


def test_a_fixed_scale():
    for cov_kwds in (None, {"scale": 2.5}):
        given = {"cov_type": "fixed scale", "cov_kwds": cov_kwds}
        at, fit = _made("OLS", **given).results, _fit("OLS", **given)
        for name in ("scale", "bse", "pvalues", "fvalue", "f_pvalue", "mse_resid"):
            _same(getattr(at, name), getattr(fit, name))
        off = _made("OLS", 0.1, **given).results
        scale = (cov_kwds or {"scale": 1.0})["scale"]
        x = EXOG.to_numpy()
        assert off.scale == scale
        _same(off.bse, np.sqrt(np.diag(scale * np.linalg.inv(x.T @ x))))
        _same(off.fvalue, off.ess / 3 / scale, 1e-6)
        _same(off.mse_resid, (_resid("OLS", off.params) ** 2).sum() / (N - 4))
        _same(off.get_robustcov_results("HC1").scale, off.mse_resid)
        _same(at.get_robustcov_results("fixed scale", scale=3.0).bse, fit.bse * np.sqrt(3 / scale))
    with pytest.raises(ValueError, match="'fixed scale' is for a regression with a residual"):
        _ = _made("Logit", cov_type="fixed scale").results


@pytest.mark.parametrize("kind", ["OLS", "Logit"])
def test_two_groups_are_said_to_be_too_few(kind):
    given = {"cov_type": "cluster", "cov_kwds": {"groups": (np.arange(N) % 2).astype(str)}}
    made = _made(kind, 0.1, **given)
    assert any("rest on 2 groups, which is few" in one for one in made.caveats)
    assert np.isfinite(made.results.bse).all()
    if kind == "OLS":
        assert np.isnan(made.results.fvalue)
        assert np.isnan(made.results.f_pvalue)
        assert made.results.df_resid_inference == 1
        small = _fit("OLS", columns=["const"])
        assert np.isnan(made.results.compare_f_test(small)[0])
        with pytest.raises(ValueError, match="too few groups"):
            made.results.compare_lm_test(small)
    assert "Network weights" in made.summary()
    many = _made(kind, 0.1, cov_type="cluster", cov_kwds={"groups": GROUPS})
    assert not any("groups" in one for one in many.caveats)


def test_one_group_left_and_times_that_never_start_again():
    table = TABLE.copy()
    table.loc[5, "a"] = np.nan
    groups = np.zeros(N)
    groups[5] = 1.0
    model = affine([1.0, 2.0, 3.0], 0.0, names=NAMES)
    kwds = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    with pytest.raises(converter.DataError, match="two groups apart on the rows that are left"):
        converter.convert(model, table, Y["OLS"], missing="drop", **kwds)
    kwds = {"cov_type": "hac-groupsum", "cov_kwds": {"maxlags": 1, "time": np.arange(N)}}
    made = converter.convert(model, TABLE, Y["OLS"], **kwds)
    assert any("the times never start again" in one for one in made.caveats)
    kwds["cov_kwds"]["df_correction"] = False
    made = converter.convert(model, TABLE, Y["OLS"], **kwds)
    assert not any("start again" in one for one in made.caveats)
    assert np.isfinite(made.results.pvalues).all()


def test_a_covariance_that_is_none():
    """Two ways of clustering are a difference, which may be negative."""
    ways = np.column_stack([np.repeat([0, 1], 6), np.tile([0, 1], 6)])
    sign = np.where(ways.sum(axis=1) == 1, 1.0, -1.0)
    # Within each group of either way errors cancel; within a cell they all have one sign.
    y = 2.0 + sign
    model = affine([0.0], 2.0)
    given = {"cov_type": "cluster", "cov_kwds": {"groups": ways, "use_correction": False}}
    made = converter.convert(model, np.arange(12.0)[:, None] - 5.5, y, **given)
    with pytest.raises(ValueError, match="cluster covariance has negative variances"):
        _ = made.results


@pytest.mark.parametrize("kind", ["OLS", "Logit"])
def test_groups_that_are_named_or_numbered_at_will(kind, tmp_path):
    expected = _made(
        kind, 0.1, cov_type="cluster", cov_kwds={"groups": np.column_stack([GROUPS, OTHERS])}
    ).results
    table = TABLE.assign(
        shop=np.array([f"s{one:02d}" for one in GROUPS]), day=OTHERS * 10**9 - 5, y=Y[kind]
    )
    model = _made(kind, 0.1).model
    for data, groups in (
        (table, ["shop", "day"]),
        (table.drop(columns=["shop", "day"]), table[["shop", "day"]]),
        (table.drop(columns=["shop", "day"]), (table["shop"], table["day"])),
    ):
        made = converter.convert(model, data, "y", cov_type="cluster", cov_kwds={"groups": groups})
        _same(made.results.bse, expected.bse, 1e-12)
    holes = table.copy()
    holes.loc[[3, 70], "a"] = np.nan
    kwds = {"cov_type": "cluster", "missing": "drop"}
    left = converter.convert(model, holes, "y", cov_kwds={"groups": ("shop", "day")}, **kwds)
    full = table.drop(index=[3, 70])
    other = converter.convert(model, full, "y", cov_kwds={"groups": ["shop", "day"]}, **kwds)
    _same(left.results.bse, other.results.bse, 1e-12)


def test_groups_that_do_not_fit():
    for groups, words in (
        (GROUPS[:-1], "groups has 239 values for 240 rows"),
        (np.column_stack([GROUPS] * 3), "groups takes one column or two, and 3 are given"),
        ((GROUPS, GROUPS[:-1]), "both columns of groups must be of one length"),
        (np.column_stack([GROUPS, np.zeros(N)]), "at least two groups"),
        (np.where(GROUPS == 1, np.nan, GROUPS), r"groups has \d+ missing values"),
        (["shop", "day"], "no column 'shop'"),
    ):
        with pytest.raises(ValueError, match=words):
            _made("OLS", cov_type="cluster", cov_kwds={"groups": groups})
    with pytest.raises(ValueError, match="needs cov_kwds with groups or time"):
        _made("OLS", cov_type="hac-panel", cov_kwds={"maxlags": 1})


def test_gaps_between_times_are_lags():
    years = 1990 + 2 * TIME
    kwds = {"maxlags": 2, "time": years}
    fit = _fit("OLS", cov_type="hac-groupsum", cov_kwds={"maxlags": 2, "time": 2 * TIME})
    _same(_made("OLS", cov_type="hac-groupsum", cov_kwds=kwds).results.bse, fit.bse)
    model = _made("OLS").model
    table = TABLE.assign(year=years, y=Y["OLS"])
    named = {"maxlags": 2, "time": "year"}
    made = converter.convert(model, table, "y", cov_type="hac-groupsum", cov_kwds=named)
    _same(made.results.bse, fit.bse)
    dates = pd.to_datetime([f"{year}-01-01" for year in years]).to_numpy()
    ranks = _fit("OLS", cov_type="hac-groupsum", cov_kwds={"maxlags": 2, "time": TIME})
    for time in (dates, TIME * 10**9):
        kwds["time"] = time
        found = _made("OLS", cov_type="hac-groupsum", cov_kwds=kwds).results
        _same(found.bse, ranks.bse)


def test_robust_covariances_of_dependent_columns():
    """No information is inverted: a column that is there twice leaves the rest alone."""
    twice = TABLE.assign(d=TABLE["a"])
    params = np.asarray(_fit("Logit").params)
    model = affine([*params[1:], 0.0], params[0], names=[*NAMES, "d"], **LINKS["Logit"])
    made = converter.convert(model, twice, Y["Logit"], cov_type="HC0")
    fit = _fit("Logit", cov_type="HC0")
    _same(made.results.bse[["const", "b", "c"]], fit.bse[["const", "b", "c"]], 1e-6)


def test_two_ways_from_the_command_line(tmp_path):
    from click.testing import CliRunner

    from converter.cli import main

    table = pd.read_csv(FIXTURES / "longley.csv")
    table = table.assign(firm=np.arange(16) % 8, decade=np.arange(16) // 4)
    table.to_csv(tmp_path / "table.csv", index=False)
    arguments = ["convert", str(FIXTURES / "longley_linear.keras"), "--target", "TOTEMP"]
    arguments += ["--data", str(tmp_path / "table.csv"), "--cov-type", "cluster"]
    out = tmp_path / "out.csv"
    ran = CliRunner().invoke(main, [*arguments, "--groups", "firm,decade", "-o", str(out)])
    expected = converter.convert(
        FIXTURES / "longley_linear.keras",
        table.drop(columns=["firm", "decade"]),
        "TOTEMP",
        cov_type="cluster",
        cov_kwds={"groups": table[["firm", "decade"]].to_numpy()},
    )
    assert ran.exit_code == 0, ran.output
    _same(pd.read_csv(out)["std_error"], expected.results.bse)


def test_rows_keep_their_labels():
    """Of the table, also where rows were left out."""
    frame = pd.DataFrame(
        {"a": [np.nan, 1, 2, 3, 4, 5.5], "y": [0, 1, 2, 3, 4, 60.0]}, index=list("uvwxyz")
    )
    model = affine([1.0], 0.0, names=["a"])
    made = converter.convert(model, frame, "y", missing="drop")
    assert list(made.results.resid.index) == list("vwxyz")
    assert made.refit.outlier_test().student_resid.abs().idxmax() == "z"
    plain = converter.convert(model, frame.to_dict("list"), "y", missing="drop")
    assert list(plain.results.resid.index) == [1, 2, 3, 4, 5]


def test_what_was_saved_still_says_that_it_was_not_fitted(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    made = converter.convert(affine([1.0, 2.0], 0.0), X, y)
    made.results.save(tmp_path / "m.pickle")
    loaded = sm.load(tmp_path / "m.pickle")
    assert "y (network weights)" in str(loaded.summary())
    assert made.results.model.endog_names == "y"
    made.refit.save(tmp_path / "r.pickle")
    assert "network" not in str(sm.load(tmp_path / "r.pickle").summary())


@pytest.mark.parametrize(
    ("cov_type", "settings", "words"),
    [
        ("nonrobust", {"groups": np.arange(50) % 5}, "knows no 'groups'.*cluster"),
        ("HC1", {"maxlags": 2}, "knows no 'maxlags'.*HAC"),
        ("cluster", {"groups": np.arange(50) % 5, "use_corection": True}, "'use_corection'"),
        ("HAC", {"maxlags": 50}, "maxlags is 50, and there are 50 rows"),
        ("HAC", {"maxlags": -1}, "0 or more"),
    ],
)
def test_settings_that_do_not_belong_are_refused(cov_type, settings, words):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), rng.normal(size=50)
    with pytest.raises(ValueError, match=words):
        converter.convert(affine([1.0, 2.0], 0.0), X, y, cov_type=cov_type, cov_kwds=settings)


@pytest.mark.parametrize("given", ["g", ["g", "h"], "array"])
def test_rows_without_a_group_are_rows_with_missing_values(given):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": rng.normal(size=60), "y": rng.normal(size=60)})
    frame["g"] = np.where(rng.random(60) < 0.1, None, rng.choice(list("uvwx"), 60))
    frame["h"] = rng.integers(0, 5, 60)
    model = affine([1.0], 0.0, names=["a"])
    settings = {"groups": frame["g"].to_numpy() if given == "array" else given}
    table = frame.drop(columns="g") if given == "array" else frame
    with pytest.raises(converter.DataError, match="missing='drop'"):
        converter.convert(model, table, "y", cov_type="cluster", cov_kwds=settings)
    made = converter.convert(
        model, table, "y", cov_type="cluster", cov_kwds=settings, missing="drop"
    )
    whole = frame.dropna()
    expected = converter.convert(
        *(model, whole, "y"),
        cov_type="cluster",
        cov_kwds={"groups": "g" if given == "array" else given},
    )
    assert made.nobs == len(whole) < 60
    np.testing.assert_allclose(made.results.bse, expected.results.bse, rtol=1e-12)
    assert made.dropped == 60 - len(whole)


def test_groups_in_all_their_guises():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"a": rng.normal(size=60), "y": rng.normal(size=60)})
    codes = pd.Series(rng.integers(0, 6, 60), dtype="Int64")
    codes[3] = pd.NA
    model = affine([1.0], 0.0, names=["a"])
    whole = codes.notna().to_numpy()
    expected = converter.convert(
        *(model, frame[whole], "y"),
        cov_type="cluster",
        cov_kwds={"groups": codes[whole].astype(int).to_numpy()},
    ).results.bse
    words = [f"g{one}" if one == one else float("nan") for one in codes.astype("float64")]
    for given in (codes, words, [None if one != one else one for one in words]):
        made = converter.convert(
            *(model, frame, "y"), cov_type="cluster", cov_kwds={"groups": given}, missing="drop"
        )
        np.testing.assert_allclose(made.results.bse, expected, rtol=1e-12)
    shuffled = pd.Series(np.arange(60) % 6, index=np.arange(60)[::-1])
    for wrong, words in ((shuffled, "another index"), (np.arange(50), "50 values for 60 rows")):
        with pytest.raises(converter.DataError, match=words):
            converter.convert(*(model, frame, "y"), cov_type="cluster", cov_kwds={"groups": wrong})


def test_what_is_ready_for_json():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1))
    model = affine([1.0], 0.0, link="logit", family="binomial")
    made = converter.convert(model, X, (X[:, 0] > 0) * 1.0)
    assert json.loads(json.dumps(made.to_dict(), allow_nan=False))["terms"][0]["optimum"] is None
