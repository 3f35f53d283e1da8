"""Every family that a network can be, against statsmodels' own estimate on the same rows."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import onnx
import onnx_zoo
import pandas as pd
import pytest
import statsmodels.api as sm
from keras import layers
from models import affine

import converter

N, NAMES = 400, ["a", "b", "c"]
_R = np.random.default_rng(7)
X = _R.normal(size=(N, 3)) * [1.0, 5.0, 0.2] + [0.0, 20.0, 1.0]
EXOG = sm.add_constant(pd.DataFrame(X, columns=NAMES))
ETA = 0.5 * X[:, 0] + 0.1 * (X[:, 1] - 20.0)
_E = np.exp(np.outer(ETA, [0.0, 1.0, -0.5, 0.3]))
CLASS = np.array([_R.choice(4, p=row / row.sum()) for row in _E])
BINARY = (_R.uniform(size=N) < 1.0 / (1.0 + np.exp(-ETA))).astype(int)
SHIFT = np.array([[3.0], [1.0], [-2.0], [5.0]])
COUNT = _R.poisson(np.exp(0.4 * ETA + 0.2))


KINDS = [
    (sm.MNLogit, CLASS, "softmax"),
    (sm.Poisson, COUNT, "exponential"),
    (sm.Logit, BINARY, "sigmoid"),
]


def _units(kind, params) -> np.ndarray:
    """Return a layer's weights, a base class of zeros in front where there are several."""
    return np.column_stack([np.zeros(4), params]) if kind is sm.MNLogit else np.asarray(params)


def _table(**targets) -> pd.DataFrame:
    return pd.DataFrame(X, columns=NAMES).assign(**targets)


def _keras(path, weights, activation, loss=None, shift=0.0):
    """Save a network of one layer; `weights` have the intercepts in the first row."""
    weights = np.asarray(weights, dtype=float).reshape(4, -1) + shift
    layer = layers.Dense(weights.shape[1], activation=activation, dtype="float64")
    model = keras.Sequential([keras.Input((3,), dtype="float64"), layer])
    layer.set_weights([weights[1:], weights[0]])
    model.compile(loss=loss)
    model.save(path)
    return path


def _same(made, fit, rtol=1e-7):
    """Compare with statsmodels' results at the optimum, which is where the network stands."""
    assert made.optimality.verdict == "optimum"
    assert type(made.results) is type(fit)
    for name in ("params", "bse", "tvalues", "pvalues"):
        for ours in (made.results, made.refit):
            np.testing.assert_allclose(getattr(ours, name), getattr(fit, name), rtol, 1e-9)
    for name in ("llf", "llnull", "aic", "bic", "df_model", "df_resid", "llr_pvalue", "prsquared"):
        np.testing.assert_allclose(getattr(made.results, name), getattr(fit, name), 1e-6, 1e-30)
    np.testing.assert_allclose(made.results.conf_int(), fit.conf_int(), rtol, 1e-8)
    np.testing.assert_allclose(made.results.predict(), fit.predict(), rtol)
    assert list(made.results.params.index) == list(fit.params.index)
    assert str(made.results.summary().tables[1]) == str(fit.summary().tables[1])


def _fit(kind, y, exog=EXOG, **more):
    return kind(y, exog).fit(disp=0, maxiter=200, tol=1e-13, **more)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_a_softmax_is_a_multinomial_regression(tmp_path, loss):
    fit = _fit(sm.MNLogit, pd.Series(CLASS, name="y"))
    weights = np.column_stack([np.zeros(4), fit.params])
    # What all units share has no effect, and is no drift.
    path = _keras(
        tmp_path / "m.keras", weights, "softmax", loss, shift=[[3.0], [1.0], [-2.0], [5.0]]
    )
    made = converter.convert(path, _table(y=CLASS), "y")
    assert made.family == "multinomial"
    _same(made, fit)
    assert set(made.tidy()["outcome"]) == {"1", "2", "3"}
    np.testing.assert_allclose(made.tidy()["estimate"], np.ravel(fit.params, order="F"), 1e-6)
    interval = made.tidy()[["conf_low", "conf_high"]]
    np.testing.assert_allclose(interval, np.asarray(fit.conf_int()).reshape(-1, 2), 1e-6, 1e-8)
    assert not any("trained with" in one for one in made.caveats)
    assert any("contrasts" in one and "base class 0" in one for one in made.caveats)
    assert "1: a" in made.summary()


def test_labels_of_classes(tmp_path):
    words = np.array(["ape", "bee", "cat", "dog"])[CLASS]
    fit = _fit(sm.MNLogit, pd.Series(words, name="y"))
    path = _keras(tmp_path / "m.keras", np.column_stack([np.zeros(4), fit.params]), "softmax")
    made = converter.convert(path, _table(y=words), "y")
    _same(made, fit)
    assert list(made.tidy()["outcome"].unique()) == ["bee", "cat", "dog"]
    assert any("ape is 0, bee is 1" in one for one in made.caveats)
    with pytest.raises(converter.DataError, match="holds 2 classes"):
        converter.convert(path, _table(y=np.array(["no", "yes"])[BINARY]), "y")
    with pytest.raises(converter.DataError, match="has 2 of the network's 4 classes"):
        converter.convert(path, _table(y=BINARY), "y")


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "binary_crossentropy", None])
def test_a_softmax_of_two_units_is_a_logistic_regression(tmp_path, loss):
    fit = _fit(sm.Logit, pd.Series(BINARY, name="y"))
    weights = np.column_stack([np.zeros(4), fit.params])
    path = _keras(
        tmp_path / "m.keras", weights, "softmax", loss, shift=[[3.0], [1.0], [-2.0], [5.0]]
    )
    made = converter.convert(path, _table(y=BINARY), "y")
    _same(made, fit)
    assert any("trained with" in one for one in made.caveats) is False


def test_words_for_two_classes(tmp_path):
    fit = _fit(sm.Logit, pd.Series(BINARY, name="y"))
    path = _keras(tmp_path / "m.keras", fit.params, "sigmoid", "binary_crossentropy")
    for labels in (np.array(["no", "yes"]), np.array([False, True])):
        made = converter.convert(path, _table(y=labels[BINARY]), "y")
        _same(made, fit)
    table = _table(y=np.array(["no", "yes"], dtype=object)[BINARY])
    table.loc[5, "y"] = None
    with pytest.raises(converter.DataError, match=r"missing values, in y \(1\)"):
        converter.convert(path, table, "y")
    made = converter.convert(path, table, "y", missing="drop")
    assert (made.nobs, made.dropped) == (N - 1, 1)


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.CategoricalCrossentropy(from_logits=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ],
)
def test_logits_of_several_classes(tmp_path, loss):
    fit = _fit(sm.MNLogit, pd.Series(CLASS, name="y"))
    weights = np.column_stack([np.zeros(4), fit.params])
    path = _keras(tmp_path / "m.keras", weights, "linear", loss)
    _same(converter.convert(path, _table(y=CLASS), "y"), fit)
    path = _keras(tmp_path / "n.keras", weights, "linear", None)
    _same(converter.convert(path, _table(y=CLASS), "y", family="multinomial"), fit)


def test_an_exponential_is_a_poisson_regression(tmp_path):
    fit = _fit(sm.Poisson, pd.Series(COUNT, name="y"))
    path = _keras(tmp_path / "m.keras", fit.params, "exponential", "poisson")
    made = converter.convert(path, _table(y=COUNT), "y")
    _same(made, fit)
    assert not any("vary more" in one for one in made.caveats)
    more = converter.convert(path, _table(y=COUNT * 10), "y")
    assert any("Pearson chi2 / df = 1" in one for one in more.caveats)
    assert more.optimality.verdict == "not at the optimum"
    halves = converter.convert(path, _table(y=COUNT + 0.5), "y")
    assert any("no counts" in one for one in halves.caveats)
    with pytest.raises(converter.DataError, match="needs counts"):
        converter.convert(path, _table(y=COUNT - 5.0), "y")


def test_another_loss_than_the_likelihoods(tmp_path):
    fit = _fit(sm.Poisson, pd.Series(COUNT, name="y"))
    path = _keras(tmp_path / "m.keras", fit.params, "exponential", "mse")
    made = converter.convert(path, _table(y=COUNT), "y")
    assert any("not with the Poisson loss" in one for one in made.caveats)


def test_a_normal_distribution_function_is_a_probit_regression(tmp_path):
    fit = _fit(sm.Probit, pd.Series(BINARY, name="y"))
    g = onnx_zoo.Graph()
    beta = np.asarray(fit.params)
    root = np.sqrt(2.0)
    eta = g.add("Gemm", "x", g.constant(beta[1:, None] / root), g.constant(beta[:1] / root))
    y = g.add("Add", g.add("Erf", eta), g.constant(np.array(1.0)))
    y = g.add("Mul", y, g.constant(np.array(0.5)))
    path = tmp_path / "m.onnx"
    path.write_bytes(g.model([y], {"x": ["N", 3]}).SerializeToString())
    made = converter.convert(path, _table(y=BINARY), "y")
    _same(made, fit)


@pytest.mark.parametrize(
    ("kind", "y", "activation"),
    [
        (sm.MNLogit, CLASS, "softmax"),
        (sm.Poisson, COUNT, "exponential"),
        (sm.Logit, BINARY, "sigmoid"),
    ],
)
@pytest.mark.parametrize("cov_type", ["HC0", "cluster", "HAC"])
def test_robust_covariances(tmp_path, kind, y, activation, cov_type):
    kwds = {"cluster": {"groups": np.arange(N) // 8}, "HAC": {"maxlags": 3}}.get(cov_type, {})
    fit = _fit(kind, pd.Series(y, name="y"), cov_type=cov_type, cov_kwds=kwds)
    weights = _units(kind, fit.params)
    path = _keras(tmp_path / "m.keras", weights, activation)
    made = converter.convert(path, _table(y=y), "y", cov_type=cov_type, cov_kwds=kwds)
    _same(made, fit)


@pytest.mark.parametrize(
    ("kind", "y", "activation"),
    [
        (sm.MNLogit, CLASS, "softmax"),
        (sm.Poisson, COUNT, "exponential"),
        (sm.Logit, BINARY, "sigmoid"),
    ],
)
def test_away_from_the_optimum_the_test_is_the_score_test(tmp_path, kind, y, activation):
    model = kind(pd.Series(y, name="y"), EXOG)
    fit = model.fit(disp=0)
    beta = np.asarray(fit.params) * 0.9
    weights = _units(kind, beta)
    made = converter.convert(_keras(tmp_path / "m.keras", weights, activation), _table(y=y), "y")
    flat = beta.ravel(order="F")
    score, hessian = model.score(flat), model.hessian(flat)
    found = made.optimality
    np.testing.assert_allclose(found.statistic, score @ np.linalg.solve(-hessian, score), 1e-6)
    assert found.df == (flat.size,)
    drift = (beta - np.asarray(fit.params)) / np.asarray(fit.bse)
    np.testing.assert_allclose(list(found.drift.values()), drift.ravel(order="F"), 1e-4)
    np.testing.assert_allclose(np.asarray(made.results.params), beta)
    np.testing.assert_allclose(
        np.asarray(made.results.cov_params()), np.linalg.inv(-hessian), 1e-5, 1e-12
    )


def test_without_an_intercept(tmp_path):
    exog = EXOG[NAMES]
    fit = _fit(sm.MNLogit, pd.Series(CLASS, name="y"), exog)
    layer = layers.Dense(4, activation="softmax", use_bias=False, dtype="float64")
    model = keras.Sequential([keras.Input((3,), dtype="float64"), layer])
    layer.set_weights([np.column_stack([np.zeros(3), fit.params])])
    model.save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", _table(y=CLASS), "y")
    np.testing.assert_allclose(made.results.bse, fit.bse, 1e-6)
    assert made.results.df_model == 9  # statsmodels takes one of the slopes for an intercept
    np.testing.assert_allclose(made.results.llnull, -N * np.log(4.0))
    assert any("equal probabilities" in one for one in made.caveats)


def test_several_outputs_of_several_kinds(tmp_path):
    x = keras.Input((3,), dtype="float64", name="x")
    fits = {
        "size": sm.OLS(ETA + _R.normal(size=N), EXOG).fit(),
        "kind": _fit(sm.MNLogit, pd.Series(CLASS, name="kind")),
        "bought": _fit(sm.Logit, pd.Series(BINARY, name="bought")),
    }
    table = _table(size=fits["size"].model.endog, kind=CLASS, bought=BINARY)
    heads = {}
    for name, activation in (("size", "linear"), ("kind", "softmax"), ("bought", "sigmoid")):
        beta = np.asarray(fits[name].params).reshape(4, -1)
        beta = np.column_stack([np.zeros(4), beta]) if name == "kind" else beta
        layer = layers.Dense(beta.shape[1], activation=activation, name=name, dtype="float64")
        heads[name] = layer(x)
        layer.set_weights([beta[1:], beta[0]])
    keras.Model(x, list(heads.values())).save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", table, list(heads))
    assert list(made) == list(heads)
    assert isinstance(made, converter.JointConversion)
    for name, fit in fits.items():
        assert made.optimality[name].verdict == "optimum"
        np.testing.assert_allclose(made.results[name].bse, fit.bse, 1e-6)
        np.testing.assert_allclose(made[name].refit.params, fit.params, 1e-6, 1e-9)
    assert set(made.glance()["output"]) == set(heads)
    assert len(made.tidy()) == 4 + 12 + 4
    assert "Output kind" in made.summary()
    by_name = converter.convert(tmp_path / "m.keras", table, dict(zip(heads, heads, strict=True)))
    assert by_name.tidy().equals(made.tidy())
    with pytest.raises(ValueError, match="give a target for each"):
        converter.convert(tmp_path / "m.keras", table, "size")
    one = converter.convert(
        tmp_path / "m.keras", table.drop(columns=["kind", "bought"]), "size", output="size"
    )
    np.testing.assert_allclose(one.results.bse, fits["size"].bse, 1e-6)


def test_several_units_without_a_link_are_several_regressions():
    y = np.column_stack([ETA, -ETA]) + _R.normal(size=(N, 2))
    fits = [sm.OLS(one, EXOG.to_numpy()).fit() for one in y.T]
    model = affine([one.params[1:] for one in fits], [one.params[0] for one in fits])
    made = converter.convert(model, X, y)
    for part, fit in zip(made.values(), fits, strict=True):
        np.testing.assert_allclose(part.results.bse, fit.bse, 1e-9)


def test_links_without_a_model_in_statsmodels():
    model = affine([1.0, 2.0, 3.0], 0.0, link="cloglog", family="binomial")
    with pytest.raises(ValueError, match="statsmodels has no model"):
        converter.convert(model, _table(y=BINARY), "y")
    softmax = affine(np.eye(3), np.zeros(3), link="softmax", family="multinomial", groups=(0, 0, 0))
    with pytest.raises(ValueError, match="not a gaussian regression"):
        converter.convert(softmax, _table(y=CLASS), "y", family="gaussian")


def test_separation_is_found_and_its_terms_are_named():
    """Of one column alone, completely, and quasi-completely: one row on the boundary of each."""
    x = np.column_stack([np.r_[-3.0:0.0:20j, 0.0, 0.0, 0.05:3.0:20j], _R.normal(size=42)])
    y = np.r_[np.zeros(21), np.ones(21)]
    model = affine([2.0, 0.1], 0.0, link="logit", family="binomial")
    for rows in (np.arange(42), np.delete(np.arange(42), 20)):
        made = converter.convert(
            affine([2.0, 0.1], 0.0, link="logit", family="binomial"), x[rows], y[rows]
        )
        assert not made.optimality.converged
        (said,) = [one for one in made.caveats if "apart" in one]
        assert "x[0]" in said
        assert "does not exist" in made.verdict_sentence
    mixed = y.copy()
    mixed[[5, 35]] = 1.0 - mixed[[5, 35]]
    made = converter.convert(model, x, mixed)
    assert made.optimality.converged
    assert not any("apart" in one for one in made.caveats)


def test_separation_of_several_classes_and_of_counts():
    x = np.column_stack([np.linspace(-3.0, 3.0, 60), _R.normal(size=60)])
    y = np.repeat([0, 1, 2], 20)
    softmax = affine(
        np.eye(3)[:, :2], np.zeros(3), link="softmax", family="multinomial", groups=(0,) * 3
    )
    made = converter.convert(softmax, x, y)
    assert not made.optimality.converged
    assert any("2: x[0]" in one and "apart" in one for one in made.caveats)
    dummy = np.column_stack([np.r_[np.ones(20), np.zeros(40)], x[:, 1]])
    counts = np.where(dummy[:, 0] == 1.0, 0, _R.poisson(2.0, 60))
    made = converter.convert(affine([-1.0, 0.0], 0.5, link="log", family="poisson"), dummy, counts)
    assert not made.optimality.converged
    assert any("x[0]" in one and "apart" in one for one in made.caveats)


@pytest.mark.parametrize("units", [1, 2, 3])
def test_a_bottleneck_is_a_reduced_rank_regression(tmp_path, units):
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(units), layers.Dense(4, activation="softmax")]
    )
    model.save(tmp_path / "m.keras")
    made = converter.convert(tmp_path / "m.keras", _table(y=CLASS), "y")
    said = [one for one in made.caveats if "reduced-rank" in one]
    assert len(said) == (units < 3)
    assert all(f"have rank {units}" in one for one in said)


def test_large_linear_predictors_are_no_separation():
    r = np.random.default_rng(5)
    x = np.exp(r.normal(0.0, 2.2, 1000))
    y = (r.random(1000) < 1.0 / (1.0 + np.exp(1.0 - x))) * 1.0
    fit = sm.Logit(y, sm.add_constant(x)).fit(disp=0, method="newton", maxiter=100)
    model = affine([fit.params[1] * 1.01], fit.params[0], link="logit", family="binomial")
    made = converter.convert(model, x[:, None], y)
    assert made.optimality.converged
    np.testing.assert_allclose(made.refit.params, fit.params, 1e-6)
    x = np.exp(r.normal(0.0, 2.5, 500))
    y = r.poisson(np.exp(1.0 - 0.8 * x)) * 1.0
    fit = _fit(sm.Poisson, y, sm.add_constant(x))
    made = converter.convert(affine([-0.5], 0.5, link="log", family="poisson"), x[:, None], y)
    assert made.optimality.converged
    np.testing.assert_allclose(made.refit.params, fit.params, 1e-6)


@pytest.mark.parametrize("mean", [1e3, 1e6, 1e9, 1e12])
def test_large_counts(mean):
    for seed in range(4):
        r = np.random.default_rng(seed)
        x = r.normal(size=(60, 3)) * [1.0, 5.0, 0.2] + [0.0, 3.0, 1.0]
        y = r.poisson(mean, 60) * 1.0
        model = affine([0.5, -0.1, 1.0], -0.3, link="log", family="poisson")
        made = converter.convert(model, x, y)
        assert made.optimality.converged
        fitted = made.refit.predict()
        exog = sm.add_constant(x)
        score = exog.T @ (y - fitted)
        assert np.abs(score / np.sqrt(np.diag(exog.T @ (exog * fitted[:, None])))).max() < 1e-3


def test_several_softmaxes_in_one_output():
    weights = _R.normal(size=(6, 3))
    names = {"link": "softmax", "family": "multinomial", "groups": (0, 0, 0, 1, 1, 1)}
    model = affine(weights, np.zeros(6), **names)
    y = np.column_stack([CLASS % 3, (CLASS + BINARY) % 3])
    made = converter.convert(model, X, y)
    assert list(made) == ["y[0]", "y[1]"]
    for part, own in zip(made.values(), y.T, strict=True):
        np.testing.assert_allclose(
            part.refit.params, _fit(sm.MNLogit, own, EXOG.to_numpy()).params, 1e-5, 1e-7
        )


def test_classes_that_the_file_names():
    """Units in another order than the labels': the names decide, whatever the labels' type."""
    weights = _R.normal(size=(3, 3))
    model = affine(weights, np.zeros(3), link="softmax", family="multinomial", groups=(0, 0, 0))
    model = dataclasses.replace(model, output_names=("p[2]", "p[0]", "p[1]"))
    unit = np.array([1, 2, 0])[CLASS % 3]
    expected = converter.convert(model, X, unit.astype(float) * 0 + CLASS % 3)
    fit = _fit(sm.MNLogit, unit, EXOG.to_numpy())
    for labels in (CLASS % 3, (CLASS % 3) * 1.0, (CLASS % 3).astype(str)):
        made = converter.convert(model, X, labels)
        np.testing.assert_allclose(made.refit.params, fit.params, 1e-5, 1e-7)
        assert list(made.tidy()["outcome"].unique()) == ["0", "1"]
    assert expected.optimality.statistic == made.optimality.statistic


def test_times_that_are_named_by_their_column():
    table = _table(y=ETA + _R.normal(size=N), t=np.repeat(np.arange(40), 10))
    model = affine([1.0, 2.0, 0.0], 0.0, names=NAMES)
    fit = sm.OLS(table["y"], EXOG).fit(
        cov_type="hac-groupsum", cov_kwds={"maxlags": 2, "time": table["t"].to_numpy()}
    )
    kwds = {"maxlags": 2, "time": "t"}
    made = converter.convert(model, table, "y", cov_type="hac-groupsum", cov_kwds=kwds)
    np.testing.assert_allclose(made.refit.bse, fit.bse, 1e-8)
    with pytest.raises(ValueError, match="maxlags must be a whole number"):
        converter.convert(model, table, "y", cov_type="HAC", cov_kwds={"maxlags": -3})
    kwds = {"groups": np.zeros(N)}
    with pytest.raises(ValueError, match="two groups"):
        converter.convert(model, table.drop(columns="t"), "y", cov_type="cluster", cov_kwds=kwds)


def test_scalers_of_targets_that_are_no_numbers():
    model = affine([0.5, 1.0, 0.0], -0.3)
    scaler = {"mean": [10.0], "scale": [5.0]}
    with pytest.raises(converter.DataError, match="belongs to a linear regression"):
        converter.convert(model, X, BINARY, family="binomial", target_scaler=scaler)
    with pytest.raises(converter.DataError, match="is the target, and given as weights"):
        converter.convert(model, _table(y=COUNT + 1.0), "y", weights="y")


def test_exact_fits_and_numbers_that_overflow():
    y = X @ [0.5, -0.1, 1.0] - 0.3
    beta = np.float32([0.5, -0.1, 1.0])
    made = converter.convert(affine(beta, float(np.float32(-0.3))), X, y)
    assert "exact linear function" in made.verdict_sentence
    with pytest.raises(converter.DataError, match="overflow"):
        converter.convert(affine([5.0, 5.0, 5.0], 3.0), X * 1e155, ETA)


@pytest.mark.parametrize("mean", [2.0, 0.1, 0.02])
def test_rare_counts_are_no_other_dispersion(mean):
    false = 0
    for seed in range(40):
        r = np.random.default_rng(seed)
        x = r.normal(size=(1000, 1))
        y = r.poisson(mean * np.exp(0.2 * x[:, 0]))
        made = converter.convert(affine([0.2], np.log(mean), link="log", family="poisson"), x, y)
        false += any("The counts vary" in one for one in made.caveats)
    assert false <= 1


def test_scalers_of_several_targets():
    Y = X @ np.array([[1.0, 2.0], [0.1, -0.2], [0.0, 3.0]]) * [3.0, 50.0] + _R.normal(size=(N, 2))
    mean, scale = Y.mean(axis=0), Y.std(axis=0)
    best = np.linalg.lstsq(EXOG, (Y - mean) / scale, rcond=None)[0]
    model = affine(best[1:].T, best[0])
    scaler = {"mean": mean.tolist(), "scale": scale.tolist()}
    made = converter.convert(model, X, Y, target_scaler=scaler)
    for place, part in enumerate(made.values()):
        assert part.optimality.verdict == "optimum"
        np.testing.assert_allclose(
            part.results.params, sm.OLS(Y[:, place], EXOG).fit().params, rtol=1e-9
        )
    with pytest.raises(converter.DataError, match="where 2 finite numbers"):
        converter.convert(model, X, Y, target_scaler={"mean": [1.0], "scale": [2.0]})


def test_classes_that_a_linear_classifier_names(tmp_path):
    """Without a ZipMap the labels stand in the classifier alone."""
    names = np.array(["setosa", "versicolor", "virginica"])
    classes = names[CLASS % 3]
    weights = _R.normal(size=(3, 3)) * 0.3
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node(
                "LinearClassifier",
                ["x"],
                ["label", "scores"],
                domain="ai.onnx.ml",
                coefficients=weights.ravel().tolist(),
                intercepts=[0.1, 0.2, 0.3],
                classlabels_strings=names.tolist(),
                multi_class=1,
                post_transform="SOFTMAX",
            ),
            onnx.helper.make_node("Identity", ["scores"], ["probabilities"]),
        ],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3])],
        [onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["n", 3])],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "m.onnx")
    assert converter.fold(tmp_path / "m.onnx").output_names == tuple(
        f"probabilities[{name}]" for name in names
    )
    made = converter.convert(tmp_path / "m.onnx", X, classes)
    assert "setosa is 0, versicolor is 1, virginica is 2" in " ".join(made.caveats)


@pytest.mark.parametrize("values", [(1, 2), (-1, 1), (-1.0, 1.0), (False, True)])
def test_two_numbers_are_two_classes(values):
    y = np.where(BINARY == 1, values[1], values[0])
    model = affine([0.5, 0.1, 0.0], -2.0, link="logit", family="binomial")
    made, expected = (converter.convert(model, X, one) for one in (y, BINARY))
    np.testing.assert_array_equal(made.results.bse, expected.results.bse)
    if values != (False, True):
        assert f"{values[0]} is 0, {values[1]} is 1" in " ".join(made.caveats)


@pytest.mark.parametrize("far", [3.0, 16.0, 25.0, 100.0])
@pytest.mark.parametrize("counts", [False, True])
def test_separation_is_found_however_far_out_training_stopped(far, counts):
    level = np.zeros(N)
    level[:20] = 1.0
    columns = np.column_stack([X[:, 0], level])
    if counts:
        y, model = (
            np.where(level > 0, 0.0, COUNT),
            affine([0.2, -far], 0.2, link="log", family="poisson"),
        )
    else:
        y = np.where(level > 0, 1.0, BINARY)
        model = affine([0.5, far], 0.0, link="logit", family="binomial")
    made = converter.convert(model, columns, y)
    (said,) = [one for one in made.caveats if one.topic == "separation"]
    assert "x[1] tells" in said
    assert not made.optimality.converged


def test_predictions_that_overflow_are_refused():
    model = affine([1.0], 0.0, link="log", family="poisson")
    with pytest.raises(converter.DataError, match=r"which overflows.*scaler"):
        converter.convert(model, X[:, :1] + 1e4, COUNT)


def test_information_of_predictions_that_saturate():
    """The columns are independent; rows with probabilities of 0 and 1 do not say so."""
    columns = np.column_stack([X[:, 0], X[:, 0] + 1e-6 * X[:, 2]])
    made = converter.convert(
        affine([3e4, 0.0], 0.0, link="logit", family="binomial"), columns, BINARY
    )
    topics = {one.topic for one in made.caveats}
    assert "saturated" in topics
    assert "dependent-columns" not in topics
    assert made.parameters == 3


def test_separation_of_a_probit_regression():
    level = np.zeros(N)
    level[:80] = 1.0
    y = np.where(level > 0, 1.0, BINARY)
    for far in (1.0, 5.0, 9.0):
        model = affine([0.3, far], 0.0, link="probit", family="binomial")
        made = converter.convert(model, np.column_stack([X[:, 0], level]), y)
        assert not made.optimality.converged
        assert "separation" in {one.topic for one in made.caveats}


@pytest.mark.parametrize("far", [30.0, 60.0, 100.0, 300.0])
@pytest.mark.parametrize("separated", [False, True])
def test_a_direction_that_is_no_column_hides_no_gradient(far, separated):
    """A standardised dummy: where its rows are certain, two columns look like one."""
    level = np.zeros(N)
    level[:40] = 1.0
    standard = (level - level.mean()) / level.std()
    y = np.where((level > 0) & separated, 1.0, BINARY)
    y[:10] = 0.0 if not separated else 1.0
    slope = far * level.std()  # of the standardised dummy: +far in its rows, 0 elsewhere
    model = affine(
        [0.5, slope], slope * level.mean() / level.std(), link="logit", family="binomial"
    )
    made = converter.convert(model, np.column_stack([X[:, 0], standard]), y)
    assert made.optimality.verdict == "not at the optimum"
    if separated:
        assert not made.optimality.converged
    else:
        fit = sm.Logit(y, sm.add_constant(np.column_stack([X[:, 0], standard]))).fit(disp=0)
        assert made.optimality.converged
        assert made.refit.llf == pytest.approx(fit.llf, rel=1e-9)


def test_too_large_a_program_is_no_proof_of_an_optimum(monkeypatch):
    from converter.regression import separation

    monkeypatch.setattr(separation, "_LARGEST", 10)
    y = (X[:, 0] > 0.1) * 1.0
    made = converter.convert(affine([1.0, 0.0, 0.0], 0.0, link="logit", family="binomial"), X, y)
    assert not made.optimality.converged
    (said,) = [one for one in made.caveats if one.topic == "separation"]
    assert "not proved" in said


def test_information_of_probit_far_out():
    """Against Laplace's continued fraction of Mills' ratio, in which nothing cancels."""
    from converter.regression.families import PROBIT

    for t in (5.0, 49.0, 51.0, 300.0, 3000.0, 1e4):
        beyond = 0.0
        for term in range(2000, 0, -1):
            beyond = term / (t + beyond)
        found = PROBIT.parts(np.ones(1), np.array([-t]))[2][0]
        assert found == pytest.approx((t + beyond) * beyond, rel=2e-12)
