"""Quantile regression and Huber's, against statsmodels' own fits and against linear programs."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from models import affine
from scipy.optimize import linprog

import converter
from converter.network import Loss
from converter.regression.robust import Huber, Quantile

RNG = np.random.default_rng(12)
N = 250
X = RNG.normal(size=(N, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 40.0]])
EXOG = sm.add_constant(X)
Y = EXOG @ [1.0, 2.0, -1.0, 0.05] + RNG.standard_t(3, size=N) * (1.0 + 0.3 * np.abs(X[:, 0]))


def _best_quantile(exog, y, q):
    """The linear program, written out: positive and negative parts of the residuals."""
    n, p = exog.shape
    cost = np.concatenate([np.zeros(p), np.full(n, q), np.full(n, 1.0 - q)])
    equal = np.concatenate([exog, np.eye(n), -np.eye(n)], axis=1)
    bounds = [(None, None)] * p + [(0, None)] * (2 * n)
    return linprog(cost, A_eq=equal, b_eq=y, bounds=bounds, method="highs").x[:p]


def _best_huber(exog, y, delta):
    norm = sm.robust.norms.HuberT(t=delta)
    fit = sm.RLM(y, exog, M=norm).fit(start_scale=1.0, update_scale=False, tol=1e-14, maxiter=500)
    return np.asarray(fit.params)


def _model(params, loss=None, **settings):
    name = None if loss is None else Loss(loss, settings)
    return affine(params[1:], params[0], loss=name)


@pytest.mark.parametrize("q", [0.5, 0.1, 0.85])
def test_quantile_regression_at_the_optimum(q):
    best = _best_quantile(EXOG, Y, q)
    made = converter.convert(_model(best), X, Y, family=f"quantile:{q}")
    assert made.family == "quantile"
    assert isinstance(made.results.model, sm.QuantReg)
    assert made.optimality.verdict == "optimum"
    np.testing.assert_allclose(made.refit.params, best, rtol=1e-9)
    # statsmodels stops where a step is below 1e-6: its standard errors are those of a near point,
    # at which the rows that the optimum fits exactly have residuals of one sign or the other.
    peer = sm.QuantReg(Y, EXOG).fit(q)
    np.testing.assert_allclose(made.results.bse, peer.bse, rtol=0.15)
    assert made.results.q == q
    assert made.results.prsquared == pytest.approx(peer.prsquared, abs=1e-4)
    pinned = converter.convert(_model(np.asarray(peer.params)), X, Y, family=f"quantile:{q}")
    np.testing.assert_allclose(pinned.results.bse, peer.bse, rtol=1e-9)
    assert pinned.results.sparsity == pytest.approx(peer.sparsity, rel=1e-9)
    assert pinned.results.bandwidth == pytest.approx(peer.bandwidth, rel=1e-9)
    iid = converter.convert(
        _model(np.asarray(peer.params)), X, Y, family=f"quantile:{q}", cov_type="iid"
    )
    np.testing.assert_allclose(iid.results.bse, sm.QuantReg(Y, EXOG).fit(q, "iid").bse, rtol=1e-9)


def test_absolute_loss_is_the_median_and_its_drift_is_measured():
    best = _best_quantile(EXOG, Y, 0.5)
    off = best + [0.3, 0.0, 0.1, 0.0]
    made = converter.convert(_model(off, "mean_absolute_error"), X, Y)
    assert made.family == "quantile"
    assert made.results.q == 0.5
    drift = np.array(list(made.optimality.drift.values()))
    errors = np.asarray(made.refit.bse)
    np.testing.assert_allclose(drift, (off - best) / errors, rtol=1e-6, atol=1e-9)
    # The rank-score test of the coefficients as a hypothesis: psi has the variance q (1 - q).
    gradient = EXOG.T @ (0.5 * np.sign(Y - EXOG @ off))
    statistic = gradient @ np.linalg.solve(EXOG.T @ EXOG, gradient) / 0.25
    assert made.optimality.statistic == pytest.approx(statistic, rel=1e-9)
    assert made.optimality.df == (4,)
    assert made.optimality.verdict == "not at the optimum"
    said = {one.topic: one for one in made.caveats}
    assert "kernel estimate of the density" in said["quantile-errors"]
    assert "other-loss" not in said
    least = converter.convert(_model(off, "mean_absolute_error"), X, Y, family="gaussian")
    assert isinstance(least.results.model, sm.OLS)
    assert "other-loss" in {one.topic for one in least.caveats}


@pytest.mark.parametrize("delta", [0.5, 1.0, 30.0])
def test_huber_regression_at_the_optimum(delta):
    best = _best_huber(EXOG, Y, delta)
    made = converter.convert(_model(best, "huber", delta=delta), X, Y)
    assert made.family == "huber"
    assert isinstance(made.results.model, sm.RLM)
    assert made.optimality.verdict == "optimum"
    np.testing.assert_allclose(made.refit.params, best, rtol=1e-8)
    norm = sm.robust.norms.HuberT(t=delta)
    peer = sm.RLM(Y, EXOG, M=norm)
    for kind in ("H1", "H2", "H3"):
        fit = peer.fit(start_scale=1.0, update_scale=False, cov=kind, tol=1e-14, maxiter=500)
        cov_type = "nonrobust" if kind == "H1" else kind
        one = converter.convert(_model(best, "huber", delta=delta), X, Y, cov_type=cov_type)
        np.testing.assert_allclose(one.results.bse, fit.bse, rtol=1e-7)
    if delta == 30.0:  # beyond all residuals: least squares
        np.testing.assert_allclose(made.refit.params, sm.OLS(Y, EXOG).fit().params, rtol=1e-9)
    assert made.glance()["bend"][0] == pytest.approx(delta)


def test_huber_away_from_the_optimum():
    best = _best_huber(EXOG, Y, 1.0)
    off = best * [1.2, 1.0, 0.9, 1.0]
    made = converter.convert(_model(off, "huber", delta=1.0), X, Y)
    drift = np.array(list(made.optimality.drift.values()))
    np.testing.assert_allclose(drift, (off - best) / made.refit.bse, rtol=1e-6, atol=1e-6)
    psi = np.clip(Y - EXOG @ off, -1.0, 1.0)
    gradient = EXOG.T @ psi
    statistic = gradient @ np.linalg.solve(EXOG.T @ EXOG, gradient) / np.mean(psi**2)
    assert made.optimality.statistic == pytest.approx(statistic, rel=1e-9)
    with pytest.raises(AttributeError):
        _ = made.results.rsquared


def test_bend_of_a_scaled_target_is_in_the_targets_unit():
    """Huber's loss of (y - m) / s bends at delta s."""
    shift, scale = float(Y.mean()), float(Y.std())
    inside = _best_huber(EXOG, (Y - shift) / scale, 0.7)
    made = converter.convert(
        _model(inside, "huber", delta=0.7),
        X,
        Y,
        target_scaler={"mean": [shift], "scale": [scale]},
    )
    assert made.optimality.verdict == "optimum"
    np.testing.assert_allclose(made.refit.params, _best_huber(EXOG, Y, 0.7 * scale), rtol=1e-7)


def test_many_rows_are_solved_by_few():
    """Against the loss of statsmodels' fit, and the condition for a minimum, row by row."""
    n, p = 20_000, 5
    rows = sm.add_constant(RNG.normal(size=(n, p)))
    y = rows @ RNG.normal(size=p + 1) + RNG.standard_t(2, size=n)
    for q in (0.5, 0.9):
        estimator = Quantile("quantile", "identity", "QuantReg", q)
        found, converged, _ = estimator.minimise(rows, y, np.zeros(p + 1))
        assert converged
        residual = y - rows @ found
        fitted = np.abs(residual) < 1e-9
        assert fitted.sum() == p + 1
        # Weights between q - 1 and q of the fitted rows balance the gradient of the others.
        rest = rows[~fitted].T @ estimator.psi(residual[~fitted])
        weights = np.linalg.solve(rows[fitted].T, -rest)
        assert (weights > q - 1 - 1e-9).all()
        assert (weights < q + 1e-9).all()
    peer = sm.QuantReg(y, rows).fit(0.9)
    assert estimator.loss(residual).sum() <= estimator.loss(y - rows @ peer.params).sum()


def test_dependent_columns_and_exact_fits_do_not_crash():
    twice = np.column_stack([X, X[:, 0]])
    for loss in ("mean_absolute_error", "huber"):
        made = converter.convert(_model([1.0, 1.0, 1.0, 1.0, 1.0], loss), twice, Y)
        assert "dependent-columns" in {one.topic for one in made.caveats}
        exact = EXOG @ [1.0, 2.0, 3.0, 4.0]
        made = converter.convert(_model([1.0, 2.0, 3.0, 4.0], loss), X, exact)
        assert made.optimality.max_drift == 0.0
        assert made.optimality.verdict == "optimum"
        assert "Network against optimum" in made.summary()


@pytest.mark.parametrize("loss", ["mean_absolute_error", "huber"])
def test_surface_of_the_results(loss, tmp_path):
    best = np.array([1.0, 2.0, -1.0, 0.05])
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
    made = converter.convert(_model(best, loss), frame, "y")
    results = made.results
    covariance = np.asarray(results.cov_params())
    assert list(results.params.index) == list(results.bse.index) == ["const", "a", "b", "c"]
    np.testing.assert_allclose(results.bse, np.sqrt(np.diag(covariance)))
    assert "Network weights" in str(results.summary())
    assert "not fitted" in " ".join(str(results.summary2()).split())
    test = results.wald_test("a = 2, b = -1", scalar=True)
    assert test.statistic == pytest.approx(0.0, abs=1e-9)
    direction = np.array([0.0, 1.0, 1.0, 0.0])
    t = results.t_test(direction)
    error = np.sqrt(direction @ covariance @ direction)
    assert np.squeeze(t.tvalue) == pytest.approx(1.0 / error)
    f = results.f_test(np.eye(4)[1:])
    wald = best[1:] @ np.linalg.solve(covariance[1:, 1:], best[1:]) / 3
    assert np.squeeze(f.fvalue) == pytest.approx(wald)
    frame_ = results.get_prediction(EXOG[:5]).summary_frame()
    np.testing.assert_allclose(frame_["predicted"], EXOG[:5] @ best)
    np.testing.assert_allclose(
        frame_["se"], np.sqrt(np.einsum("ij,jk,ik->i", EXOG[:5], covariance, EXOG[:5]))
    )
    assert results.conf_int().shape == (4, 2)
    if loss == "mean_absolute_error":
        assert results.fvalue == pytest.approx(wald)
        for name in ("get_influence", "outlier_test", "get_robustcov_results", "compare_f_test"):
            with pytest.raises(ValueError, match="least squares"):
                getattr(results, name)(None)
    results.save(tmp_path / "m.pickle", remove_data=True)
    loaded = sm.load(tmp_path / "m.pickle")
    assert type(loaded._results).__module__.startswith("statsmodels.")
    assert "std err" in str(loaded.summary())


def test_settings_of_the_losses(tmp_path):
    best = _best_quantile(EXOG, Y, 0.9)
    made = converter.convert(_model(best, "pinball", tau=0.9), X, Y)
    assert made.results.q == 0.9
    # Keras saves no delta: its default is taken, and said so.
    made = converter.convert(_model(best, "huber"), X, Y)
    assert made.glance()["bend"][0] == pytest.approx(1.0)
    assert "Keras saves no delta" in " ".join(made.caveats)
    made = converter.convert(_model(best, "huber", delta=2.0), X, Y)
    assert "Keras saves no delta" not in " ".join(made.caveats)
    made = converter.convert(_model(best, "huber"), X, Y, family="huber:2.5")
    assert made.glance()["bend"][0] == pytest.approx(2.5)
    for wrong in ("quantile:1", "quantile:x", "quantile:nan", "huber:0", "huber:-1", "lasso"):
        with pytest.raises(ValueError, match=r"must be"):
            converter.convert(_model(best), X, Y, family=wrong)
    with pytest.raises(ValueError, match="cov_type of QuantReg"):
        converter.convert(_model(best, "pinball"), X, Y, cov_type="HC1")
    said = converter.convert(_model(best, "pin"), X, Y, family="quantile:0.9").caveats
    assert {one.topic for one in said} == {"quantile-errors", "unknown-loss"}
    with pytest.raises(ValueError, match="cov_type of OLS"):
        converter.convert(_model(best), X, Y, cov_type="H1")
    with pytest.raises(ValueError, match="weights"):
        converter.convert(_model(best, "huber"), X, Y, weights=np.ones(N))
    named = converter.convert(_model(best, "my_quantile_loss"), X, Y)
    assert "family='quantile:0.9'" in " ".join(named.caveats)


def test_pinball_loss_of_a_saved_model(tmp_path):
    """TensorFlow Addons' loss, whose configuration holds the quantile."""
    source, path = "fixtures/diabetes_stopped.keras", tmp_path / "m.keras"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["compile_config"]["loss"] = {
                    "module": None,
                    "class_name": "Addons>PinballLoss",
                    "config": {"reduction": "auto", "name": "pinball_loss", "tau": 0.25},
                    "registered_name": "Addons>PinballLoss",
                }
                content = json.dumps(config).encode()
            new.writestr(name, content)
    assert converter.fold(path).loss == "pinball"
    made = converter.convert(path, "fixtures/diabetes.csv", "progression")
    assert made.results.q == 0.25


def test_estimators_reach_the_minimum_from_anywhere():
    for estimator in (
        Quantile("quantile", "identity", "QuantReg", 0.3),
        Huber("huber", "identity", "RLM", 0.4),
    ):
        losses = [
            estimator.loss(Y - EXOG @ estimator.minimise(EXOG, Y, start)[0]).sum()
            for start in (np.zeros(4), np.array([1e3, -1e4, 50.0, 1e5]))
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_units_of_the_columns_decide_nothing():
    n = 500
    Z = RNG.normal(size=(n, 2))
    y = 1.0 + Z.sum(axis=1) + RNG.standard_t(3, size=n)
    plain = converter.convert(_model([1.0, 1.0, 1.0], "huber", delta=1.345), Z, y)
    units = np.array([0.05, 1e12])
    model = _model([1.0, *(1.0 / units)], "huber", delta=1.345)
    scaled = converter.convert(model, Z * units, y)
    np.testing.assert_allclose(scaled.refit.params[1:] * units, plain.refit.params[1:], rtol=1e-8)
    assert scaled.optimality.max_drift == pytest.approx(plain.optimality.max_drift, rel=1e-6)


def test_rows_that_the_optimum_fits_exactly_have_any_slope():
    """At the optimum the gradient is zero for some slope at the edges, whatever rounding says."""
    heavy = RNG.standard_cauchy(size=(1000, 4))
    y = heavy.sum(axis=1) + RNG.normal(size=1000)
    best = converter.convert(_model(np.zeros(5)), heavy, y, family="quantile:0.05").refit.params
    for factor in (1.0, 1.0 + 1e-9, 1.0 - 1e-9):
        near = _model(np.asarray(best) * factor)
        made = converter.convert(near, heavy, y, family="quantile:0.05")
        assert made.optimality.verdict == "optimum"
        assert made.optimality.statistic < 1e-3


@pytest.mark.parametrize("tau", [0.25, 0.5, 0.75, 0.95])
def test_ties_at_the_optimum(tau):
    """Responses of few values, in designs of few distinct rows: many rows are fitted exactly."""
    for seed in range(10):
        draws = np.random.default_rng(seed)
        columns = draws.integers(0, 2, size=(500, 2)) * 1.0
        y = draws.integers(0, 5, 500) * 1.0
        best = converter.convert(_model([0.0] * 3), columns, y, family=f"quantile:{tau}").refit
        made = converter.convert(
            _model(np.asarray(best.params) * (1.0 + 1e-8)), columns, y, family=f"quantile:{tau}"
        )
        assert made.optimality.statistic < 1e-3
