"""Every caveat: that it is said where it is due, and has a section in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import FIXTURES
from models import affine

import converter
from converter.network import Loss, Training
from converter.regression.caveats import TOPICS

RNG = np.random.default_rng(3)
N = 200
X = RNG.normal(size=(N, 2))
Y = 1.0 + X @ [2.0, -1.0] + RNG.normal(size=N)
P = 1.0 / (1.0 + np.exp(-X @ [1.0, -0.5]))
BINARY = (RNG.random(N) < P) * 1.0
COUNTS = RNG.poisson(np.exp(0.5 + 0.3 * X[:, 0])) * 1.0
MSE = Loss("mean_squared_error")
BCE = Loss("binary_crossentropy")


def line(intercept=1.0, slopes=(2.0, -1.0), loss=MSE, **more):
    return affine(list(slopes), intercept, loss=loss, **more)


def logit(intercept=0.0, slopes=(1.0, -0.5), loss=BCE, **more):
    return affine(list(slopes), intercept, link="logit", family="binomial", loss=loss, **more)


def softmax(coef):
    loss = Loss("sparse_categorical_crossentropy")
    groups = (0,) * len(coef)
    return affine(coef, 0.0, link="softmax", family="multinomial", groups=groups, loss=loss)


def topics(model, *args, **more):
    return [one.topic for one in converter.convert(model, *args, **more).caveats]


def _restricted(tmp_path):
    return topics(
        FIXTURES / "diabetes_l2.onnx", FIXTURES / "diabetes.csv", "progression", restricted=True
    )


def _categories(tmp_path):
    codes = keras.Input((1,), dtype="int32", name="code")
    flat = keras.layers.Flatten()(keras.layers.Embedding(3, 1)(codes))
    keras.Model(codes, flat).save(tmp_path / "m.keras")
    data = pd.DataFrame({"code": RNG.integers(0, 3, N), "y": Y})
    return topics(tmp_path / "m.keras", data, "y")


def _single(tmp_path):
    """Least squares to the last digit, but for the rounding of the weights."""
    far = X * 0.01 + 1000.0
    y = far @ [200.0, -100.0] + np.random.default_rng(1).normal(size=N) * 0.001
    best = np.asarray(sm.OLS(y, sm.add_constant(far)).fit().params)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="float32")])
    model.layers[0].set_weights([best[1:, None], best[:1]])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    return topics(tmp_path / "m.keras", far, y)


def _dropped(tmp_path):
    holes = X.copy()
    holes[3, 0] = np.nan
    return topics(line(), holes, Y, missing="drop")


def _near(tmp_path):
    return topics(line(), np.column_stack([X[:, 0], X[:, 0] + 1e-9 * X[:, 1]]), Y)


def _dispersed(tmp_path):
    wild = RNG.negative_binomial(0.5, 0.1, N) * 1.0
    model = affine([0.3, 0.0], 0.5, link="log", family="poisson", loss=Loss("poisson"))
    return topics(model, X, wild)


def _poisson(y):
    model = affine([0.3, 0.0], 0.5, link="log", family="poisson", loss=Loss("poisson"))
    return topics(model, X, y)


def _trained(**facts):
    return topics(line(training=Training(**facts)), X, Y)


#: How each comes about.
def _streamed(folder):
    table = pd.DataFrame(X, columns=["a", "b"]).assign(y=Y)
    table.to_parquet(folder / "t.parquet")
    return topics(line(), folder / "t.parquet", "y", memory=0)


CASES = {
    "bad-fit": lambda _: topics(line(50.0), X, Y),
    "perfect-fit": lambda _: topics(line(), X, 1.0 + X @ [2.0, -1.0]),
    "evaluation": lambda _: topics(line(), X, Y, training_data=False),
    "quantile-errors": lambda _: topics(line(loss=Loss("mean_absolute_error")), X, Y),
    "huber-errors": lambda _: topics(line(loss=Loss("huber")), X, Y),
    "loss-not-recorded": lambda _: topics(line(loss=None), X, Y),
    "unknown-loss": lambda _: topics(line(loss=Loss("my_loss")), X, Y),
    "label-smoothing": lambda _: topics(
        logit(loss=Loss("binary_crossentropy", {"label_smoothing": 0.1})), X, BINARY
    ),
    "other-loss": lambda _: topics(line(loss=Loss("log_cosh")), X, Y),
    "from-logits": lambda _: topics(
        logit(loss=Loss("binary_crossentropy", {"from_logits": True})), X, BINARY
    ),
    "zero-one-target": lambda _: topics(line(0.5, (0.1, -0.1)), X, BINARY),
    "penalty": lambda _: _trained(penalties=(("dense", "L2(0.01) on the kernel"),)),
    "noise-layers": lambda _: _trained(stochastic=(("drop", "Dropout"),)),
    "frozen-weights": lambda _: _trained(notes=("layer a was frozen: its weights were not ..",)),
    "weight-decay": lambda _: _trained(notes=("the optimiser decayed the weights",)),
    "training-notes": lambda _: _trained(notes=("layer a was trained under a constraint",)),
    "network-notes": lambda _: topics(line(notes=("output 'b' holds labels",)), X, Y),
    "restricted": _restricted,
    "ignored-inputs": lambda _: topics(line(slopes=(2.0, 0.0)), X, Y),
    "reduced-rank": lambda _: topics(
        softmax([[0, 0], [1.0, -0.5], [2.0, -1.0]]), X, RNG.integers(0, 3, N)
    ),
    "tied-coefficients": lambda _: topics(line(slopes=(1.0, 1.0)), X, Y),
    "categories": _categories,
    "dependent-columns": lambda _: topics(line(), np.column_stack([X[:, 0], 2 * X[:, 0]]), Y),
    "ill-conditioned": _near,
    "no-intercept": lambda _: topics(line(None), X, Y),
    "scaled-intercept": lambda _: topics(
        line(None), X, Y, scaler={"mean": [1.0, 1.0], "scale": [1.0, 1.0]}
    ),
    "constant-column": lambda _: topics(line(None), np.column_stack([X[:, 0], np.ones(N)]), Y),
    "labels": lambda _: topics(logit(), X, np.where(BINARY > 0, "yes", "no")),
    "contrasts": lambda _: topics(softmax([[0, 0], [1.0, -0.5]]), X, BINARY),
    "no-counts": lambda _: _poisson(COUNTS + 0.5),
    "dispersion": _dispersed,
    "separation": lambda _: topics(logit(), X, (X[:, 0] > 0.1) * 1.0),
    "single-precision": _single,
    "saturated": lambda _: topics(
        logit(0.0, (3e4, 0.0)), np.column_stack([X[:, 0], X[:, 0] + 1e-6 * X[:, 1]]), BINARY
    ),
    "few-groups": lambda _: topics(
        line(), X, Y, cov_type="cluster", cov_kwds={"groups": np.arange(N) % 4}
    ),
    "dropped-rows": _dropped,
    "streamed": _streamed,
}


def test_every_topic_has_a_case():
    assert set(CASES) == set(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_caveat_is_said_where_it_is_due(topic, tmp_path):
    assert topic in CASES[topic](tmp_path)


def test_nothing_is_said_of_a_plain_fit():
    best = np.asarray(sm.OLS(Y, sm.add_constant(X)).fit().params)
    assert topics(line(best[0], best[1:]), X, Y) == []
    best = np.asarray(sm.Logit(BINARY, sm.add_constant(X)).fit(disp=0).params)
    assert topics(logit(best[0], best[1:]), X, BINARY) == []


def test_every_topic_has_a_section():
    page = (Path(__file__).parent.parent / "docs" / "caveats.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^### (\S+)$", page) == list(TOPICS)


def test_verdict_names_what_there_is_evidence_of():
    training = Training(penalties=(("dense", "L2(0.01) on the kernel"),))
    made = converter.convert(line(3.0, training=training, loss=Loss("log_cosh")), X, Y)
    assert "evidence of penalties and another loss" in made.verdict_sentence
    assert "evidence" not in converter.convert(line(1.3), X, Y).verdict_sentence


def test_summary_names_the_sections():
    text = converter.convert(line(None), X, Y).summary()
    assert "[no-intercept]" in text
    assert "docs/caveats.md" in text


# Evaluations ---------------------------------------------------------------------------------


def test_evaluation_of_a_linear_network():
    made = converter.convert(line(), X, Y, training_data=False)
    results = made.results
    residual = Y - 1.0 - X @ [2.0, -1.0]
    rss = residual @ residual
    assert results.scale == pytest.approx(rss / N, rel=1e-13)
    assert results.df_resid == N
    exog = sm.add_constant(X)
    errors = np.sqrt(np.diag(np.linalg.inv(exog.T @ exog)) * rss / N)
    np.testing.assert_allclose(results.bse, errors, rtol=1e-10)
    # Nothing was estimated: no parameter is counted.
    assert results.aic == pytest.approx(-2 * results.llf)
    assert results.bic == pytest.approx(-2 * results.llf)
    assert results.rsquared_adj == results.rsquared
    # The test of the network's coefficients as a hypothesis is the exact F test.
    peer = sm.OLS(Y, exog).fit()
    test = peer.f_test((np.eye(3), [1.0, 2.0, -1.0]))
    assert made.optimality.statistic == pytest.approx(float(test.fvalue), rel=1e-9)
    assert made.optimality.pvalue == pytest.approx(float(test.pvalue), rel=1e-9)
    assert made.optimality.verdict == "consistent"
    assert "never saw" in made.verdict_sentence
    np.testing.assert_allclose(made.refit.bse, peer.bse, rtol=1e-10)
    assert made.refit.df_resid == N - 3
    off = converter.convert(line(1.5), X, Y, training_data=False)
    assert off.optimality.verdict == "contradicted"
    assert "contradict" in off.verdict_sentence
    assert off.training_data is False


def test_residual_variance_of_an_evaluation_is_unbiased():
    """Over many draws of new rows, RSS / n is right; RSS / (n - p) would be 18 % too large."""
    n, draws = 20, 3000
    rows = RNG.normal(size=(n, 2))
    found = []
    for _ in range(draws):
        y = 1.0 + rows @ [2.0, -1.0] + RNG.normal(size=n)
        residual = y - 1.0 - rows @ [2.0, -1.0]
        found.append(residual @ residual / n)
    made = converter.convert(line(), rows, y, training_data=False)
    assert made.results.scale == pytest.approx(found[-1])
    assert np.mean(found) == pytest.approx(1.0, abs=4 * np.sqrt(2 / n / draws))


@pytest.mark.parametrize("link", ["logit", "probit", "log"])
def test_evaluation_of_likelihoods(link):
    family = "poisson" if link == "log" else "binomial"
    y = COUNTS if link == "log" else BINARY
    model = affine([0.3, -0.2], 0.5, link=link, family=family)
    fit, seen = (converter.convert(model, X, y, training_data=one) for one in (True, False))
    np.testing.assert_array_equal(seen.results.bse, fit.results.bse)
    assert seen.results.aic == pytest.approx(-2 * seen.results.llf)
    assert fit.results.aic == pytest.approx(-2 * fit.results.llf + 6)
    assert seen.optimality.statistic == fit.optimality.statistic
    assert seen.optimality.verdict in ("consistent", "contradicted")
    assert seen.results.df_resid == N


def test_p_values_of_evaluations_are_uniform():
    """Under the truth the test rejects one time in twenty."""
    rejected = 0
    for _ in range(400):
        y = 1.0 + X[:40] @ [2.0, -1.0] + RNG.normal(size=40)
        made = converter.convert(line(), X[:40], y, training_data=False)
        rejected += made.optimality.verdict == "contradicted"
    assert 6 <= rejected <= 38


# Single precision -------------------------------------------------------------------------


def test_drift_by_training_is_not_blamed_on_precision(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="float32")])
    best = np.asarray(sm.OLS(Y, sm.add_constant(X)).fit().params)
    model.layers[0].set_weights([best[1:, None] + 0.05, best[:1]])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", X, Y)
    assert made.optimality.verdict == "not at the optimum"
    assert "single-precision" not in {one.topic for one in made.caveats}


def test_ill_conditioned_columns_are_named_with_their_digits():
    made = converter.convert(
        affine([1.0, 1.0, 2.0], 0.0, loss=MSE),
        np.column_stack([X[:, 0], X[:, 0] + 1e-9 * RNG.normal(size=N), X[:, 1]]),
        Y,
    )
    (said,) = [one for one in made.caveats if one.topic == "ill-conditioned"]
    assert "x[0], x[1] are nearly dependent" in said
    assert "6 digits" in said


# What belongs together -------------------------------------------------------------------------


def test_shared_weights_are_seen_behind_a_scaler():
    scaler = {"mean": [1.0, 2.0], "scale": [3.0, 5.0]}
    assert "tied-coefficients" in topics(line(slopes=(1.0, 1.0)), X, Y, scaler=scaler)


def test_narrow_layer_before_several_outputs_is_seen():
    wide = RNG.normal(size=(N, 3))
    rank_one = affine(np.outer([1.0, 2.0, -1.0], [0.5, 1.0, 2.0]), 0.0, loss=MSE)
    made = converter.convert(rank_one, wide, RNG.normal(size=(N, 3)))
    for one in made.values():
        assert "reduced-rank" in {caveat.topic for caveat in one.caveats}
    assert made.parameters == dict.fromkeys(made, 4.0)
    free = affine(RNG.normal(size=(3, 3)), 0.0, loss=MSE)
    for one in converter.convert(free, wide, RNG.normal(size=(N, 3))).values():
        assert "reduced-rank" not in {caveat.topic for caveat in one.caveats}


def test_robust_errors_are_not_corrected_twice():
    wild = RNG.negative_binomial(0.5, 0.1, N) * 1.0
    model = affine([0.3, 0.0], 0.5, link="log", family="poisson", loss=Loss("poisson"))
    (plain,) = [one for one in converter.convert(model, X, wild).caveats if "vary" in one]
    made = converter.convert(model, X, wild, cov_type="HC0")
    (robust,) = [one for one in made.caveats if "vary" in one]
    assert "multiply the standard errors" in plain
    assert "multiply" not in robust


def test_separated_classes_have_no_optimum_to_show():
    y = (X[:, 0] > 0.1) * 1.0
    made = converter.convert(logit(), X, y)
    assert made.tidy()[["optimum", "optimum_std_error", "drift"]].isna().all(axis=None)
    assert "nan" not in made.summary().split("Network against optimum")[1]
    seen = converter.convert(logit(), X, y, training_data=False)
    assert seen.optimality.verdict in ("consistent", "contradicted")
    assert "no maximum-likelihood estimate" in seen.verdict_sentence


def test_few_groups_are_few():
    for count, few in ((4, True), (20, True), (40, False)):
        settings = {"cov_type": "cluster", "cov_kwds": {"groups": np.arange(N) % count}}
        assert ("few-groups" in topics(line(), X, Y, **settings)) is few
