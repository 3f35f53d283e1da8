"""`convert`: tables in, statsmodels out, and clear words when they do not fit."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm
from conftest import FIXTURES
from models import affine
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from statsmodels.discrete.discrete_model import LogitResults
from statsmodels.regression.linear_model import OLSResults

import converter
from converter.network import Loss, Training

LONGLEY = pd.read_csv(FIXTURES / "longley.csv")
SPECTOR = pd.read_csv(FIXTURES / "spector.csv")
NETWORK = FIXTURES / "longley_linear.keras"


# Tables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        LONGLEY,
        pl.from_pandas(LONGLEY),
        pa.Table.from_pandas(LONGLEY),
        {name: LONGLEY[name].to_numpy() for name in LONGLEY},
        LONGLEY.to_records(index=False),
        LONGLEY.convert_dtypes(),
    ],
    ids=["pandas", "polars", "arrow", "mapping", "records", "nullable"],
)
def test_any_table_will_do(data):
    made = converter.convert(NETWORK, data, "TOTEMP")
    assert list(made.results.params.index) == ["const", *LONGLEY.columns[:-1]]
    assert made.results.nobs == 16


def test_arrays_will_do():
    X, y = LONGLEY.to_numpy()[:, :-1], LONGLEY["TOTEMP"]
    a = converter.convert(NETWORK, X, y)
    b = converter.convert(NETWORK, LONGLEY.to_numpy(), -1)
    np.testing.assert_array_equal(a.results.bse, b.results.bse)
    assert a.results.model.endog_names == "TOTEMP"


def test_arrow_files_and_other_separators(tmp_path):
    import pyarrow.feather as feather

    feather.write_feather(pa.Table.from_pandas(LONGLEY), tmp_path / "t.arrow")
    LONGLEY.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    LONGLEY.to_csv(tmp_path / "t.csv", sep=";", index=False)
    expected = converter.convert(NETWORK, LONGLEY, "TOTEMP").results.bse
    for name in ("t.arrow", "t.tsv", "t.csv"):
        made = converter.convert(NETWORK, tmp_path / name, "TOTEMP")
        np.testing.assert_allclose(made.results.bse, expected, rtol=1e-13)


def test_a_target_given_as_a_series_of_the_table_is_no_regressor():
    made = converter.convert(NETWORK, LONGLEY, LONGLEY["TOTEMP"])
    assert "TOTEMP" not in made.results.params.index


def test_columns_by_name_whatever_their_order():
    model = affine([1.0, -2.0], 0.5, names=["age", "income"])
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(20, 4)), columns=["income", "noise", "age", "y"])
    made = converter.convert(model, table, "y")
    assert list(made.results.params.index) == ["const", "age", "income"]
    expected = 0.5 + table["age"] - 2.0 * table["income"]
    np.testing.assert_allclose(made.results.fittedvalues, expected)
    with pytest.raises(converter.DataError, match=r"no column income.*age, income.*noise"):
        converter.convert(model, table.drop(columns="income"), "y")
    renamed = table.rename(columns={"income": "pay"})
    again = converter.convert(model, renamed, "y", features={"age": "age", "income": "pay"})
    np.testing.assert_allclose(again.results.fittedvalues, expected)


def test_features_chooses_and_orders_columns():
    table = LONGLEY.assign(note="text", extra=1.0)
    features = list(LONGLEY.columns[:-1])
    made = converter.convert(NETWORK, table, "TOTEMP", features=features)
    assert made.optimality.verdict == "optimum"
    with pytest.raises(converter.DataError, match="lists 2 columns; the model has 6"):
        converter.convert(NETWORK, table, "TOTEMP", features=features[:2])
    with pytest.raises(converter.DataError, match=r"6 inputs.*8 columns.*not numeric: note"):
        converter.convert(NETWORK, table, "TOTEMP")
    with pytest.raises(converter.DataError, match=r"'note' is not numeric.*'text' in row 1"):
        converter.convert(NETWORK, table, "TOTEMP", features=[*features[:5], "note"])


def test_missing_values_are_counted_refused_and_dropped():
    table = LONGLEY.copy()
    table.loc[[2, 5], "GNP"] = np.nan
    table.loc[5, "TOTEMP"] = np.nan
    with pytest.raises(converter.DataError, match=r"2 of 16 rows .* GNP \(2\), TOTEMP \(1\)"):
        converter.convert(NETWORK, table, "TOTEMP")
    made = converter.convert(NETWORK, table, "TOTEMP", missing="drop")
    assert (made.nobs, made.dropped) == (14, 2)
    assert any("2 rows with missing or infinite" in caveat for caveat in made.caveats)
    table.loc[0, "GNP"] = np.inf
    with pytest.raises(converter.DataError, match=r"infinite values in GNP \(1\); correct them"):
        converter.convert(NETWORK, table, "TOTEMP")
    assert converter.convert(NETWORK, table, "TOTEMP", missing="drop").dropped == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a,b\n1,2,3\n", "cannot be read as a table"),
        (b"PAR1 not parquet", "cannot be read as a table"),
        (b"\0\1\2\3" * 10, "not a CSV"),
        (b"a,a\n1,2\n", "two columns called 'a'"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(converter.DataError, match=words) as caught:
        converter.convert(NETWORK, path, "a")
    assert "\n" not in str(caught.value)
    assert "table.csv" in str(caught.value)


def test_targets_that_are_no_response():
    model = affine([1.0], 0.0, link="logit", family="binomial")
    for values, words in (
        ([0.0, 1.0, 2.0], "needs a target of 0 and 1"),
        ([1.0, 1.0, 1.0], "one class only"),
    ):
        with pytest.raises(converter.DataError, match=words):
            converter.convert(model, np.arange(3.0)[:, None], values)
    with pytest.raises(converter.DataError, match="constant"):
        converter.convert(affine([1.0], 0.0), np.arange(3.0)[:, None], [2.0, 2.0, 2.0])
    with pytest.raises(converter.DataError, match="2 rows are too few"):
        converter.convert(affine([1.0], 0.0), np.arange(2.0)[:, None], [2.0, 3.0])
    with pytest.raises(converter.DataError, match="no column 'z'"):
        converter.convert(NETWORK, LONGLEY, "z")
    booleans = converter.convert(
        model, np.arange(6.0)[:, None], [False, True, False, True, True, False]
    )
    assert booleans.results.nobs == 6


# Scalers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler((-1, 2))])
def test_scalers_are_folded_into_the_tables_own_units(scaler):
    X, y = LONGLEY.iloc[:, :-1], LONGLEY[["TOTEMP"]]
    inputs, target = scaler.fit(X.to_numpy()), StandardScaler().fit(y.to_numpy())
    Z, t = inputs.transform(X.to_numpy()), target.transform(y.to_numpy())[:, 0]
    trained = sm.OLS(t, sm.add_constant(Z)).fit().params
    model = affine(trained[1:], trained[0])
    raw = converter.convert(model, X, y["TOTEMP"])
    assert any("predicts this table worse than the mean" in c for c in raw.caveats)
    assert any("--scale" in c for c in raw.caveats)
    made = converter.convert(model, X, y["TOTEMP"], scaler=inputs, target_scaler=target)
    peer = sm.OLS(y["TOTEMP"], sm.add_constant(X)).fit()
    np.testing.assert_allclose(made.results.params, peer.params, rtol=1e-7)
    np.testing.assert_allclose(made.results.bse, peer.bse, rtol=1e-7)
    assert made.optimality.verdict == "optimum"


def test_scalers_as_mappings_and_bad_ones():
    X, y = np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0)
    model = affine([1.0, 2.0], None)
    made = converter.convert(model, X, y, scaler={"mean": [1.0, 2.0], "scale": [2.0, 4.0]})
    np.testing.assert_allclose(made.model.coef, [[0.5, 0.5]])
    np.testing.assert_allclose(made.model.intercept, [-1.5])
    assert made.model.has_intercept.all()
    same = {"data_min": [1.0, 2.0], "data_max": [3.0, 6.0]}
    again = converter.convert(model, X, y, scaler=same)
    np.testing.assert_allclose(again.model.coef, [[0.5, 0.5]])
    for bad, words in (
        ({"mean": [1.0], "scale": [1.0]}, "2 finite numbers"),
        ({"mean": [1.0, 2.0], "scale": [0.0, 1.0]}, "zero"),
        ({"mu": 1}, "expected mean and scale"),
        (StandardScaler(), "not fitted"),
        (3, "expected a fitted"),
    ):
        with pytest.raises(converter.DataError, match=words):
            converter.convert(model, X, y, scaler=bad)


# statsmodels' own surface ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gaussian():
    return converter.convert(
        FIXTURES / "diabetes_stopped.keras", FIXTURES / "diabetes.csv", "progression"
    )


@pytest.fixture(scope="module")
def binomial():
    return converter.convert(FIXTURES / "spector_logistic.h5", SPECTOR, "GRADE")


def test_ols_results_are_whole(gaussian, tmp_path):
    results = gaussian.results
    assert type(results).__module__.startswith("statsmodels.")
    assert isinstance(results._results, OLSResults)
    p = len(results.params)
    assert results.conf_int().shape == (p, 2)
    t = results.t_test("bmi = 0")
    assert t.effect[0] == pytest.approx(results.params["bmi"])
    wald = results.wald_test(np.eye(p)[1:], scalar=True)
    assert wald.statistic == pytest.approx(results.fvalue)
    exog = results.model.exog[:5]
    expected = gaussian.model.predict(exog[:, 1:])[:, 0]
    np.testing.assert_allclose(results.predict(exog), expected, rtol=1e-12)
    frame = results.get_prediction(exog).summary_frame()
    np.testing.assert_allclose(frame["mean"], expected, rtol=1e-12)
    assert (frame["mean_se"] > 0).all()
    assert results.cov_params().shape == (p, p)
    assert np.isfinite(results.HC3_se).all()
    assert np.isfinite(gaussian.refit.get_influence().hat_matrix_diag).all()
    assert np.isfinite(results.get_robustcov_results("HC1").bse).all()
    assert "R-squared" in str(results.summary())
    assert "Adj. R-squared" in str(results.summary2())
    results.save(tmp_path / "r.pickle")
    again = sm.load(tmp_path / "r.pickle")
    np.testing.assert_array_equal(again.params, results.params)
    np.testing.assert_array_equal(again.bse, results.bse)
    assert again.fvalue == results.fvalue
    assert b"converter" not in (tmp_path / "r.pickle").read_bytes()


def test_logit_results_are_whole(binomial, tmp_path):
    results = binomial.results
    assert isinstance(results._results, LogitResults)
    p = len(results.params)
    assert results.conf_int().shape == (p, 2)
    assert results.t_test("PSI = 0").effect[0] == pytest.approx(results.params["PSI"])
    assert results.wald_test(np.eye(p)[1:], scalar=True).pvalue < 0.1
    exog = results.model.exog[:5]
    expected = binomial.model.predict(exog[:, 1:])[:, 0]
    np.testing.assert_allclose(results.predict(exog), expected, rtol=1e-12)
    np.testing.assert_allclose(results.get_prediction(exog).predicted, expected, rtol=1e-12)
    assert "dy/dx" in str(results.get_margeff().summary())
    assert "Network weights" in str(results.summary())
    results.save(tmp_path / "r.pickle")
    again = sm.load(tmp_path / "r.pickle")
    np.testing.assert_array_equal(again.bse, results.bse)
    assert again.llnull == results.llnull
    assert b"converter" not in (tmp_path / "r.pickle").read_bytes()


def test_summary_tidy_and_glance(gaussian, binomial):
    for made in (gaussian, binomial):
        text = made.summary()
        assert "Network against optimum" in text
        assert made.verdict_sentence.split(".")[0] in text
        assert "Least Squares" not in text
        tidy, glance = made.tidy(), made.glance()
        assert list(tidy["term"]) == list(made.results.params.index)
        np.testing.assert_array_equal(tidy["std_error"], made.results.bse)
        np.testing.assert_allclose(
            tidy["drift"],
            (tidy["estimate"] - tidy["optimum"]) / tidy["optimum_std_error"],
            atol=1e-9,
        )
        assert len(glance) == 1
        assert glance["verdict"][0] == made.optimality.verdict
    assert gaussian.glance()["r_squared"][0] == gaussian.results.rsquared


# Caveats -----------------------------------------------------------------------------------------

X = np.random.default_rng(3).normal(size=(50, 2))
Y = X @ [1.0, 2.0] + np.random.default_rng(4).normal(size=50)


def _caveats(model, y=Y, **more):
    return " ".join(converter.convert(model, X, y, **more).caveats)


def test_losses_decide_what_the_numbers_mean():
    assert "does not record the training loss" in _caveats(affine([1.0, 2.0], 0.0))
    mse = affine([1.0, 2.0], 0.0, loss=Loss("mean_squared_error"))
    assert _caveats(mse) == ""
    mae = affine([1.0, 2.0], 0.0, loss=Loss("mean_absolute_error"))
    assert "not with mean squared error" not in _caveats(mae)
    assert "not a least-squares estimate" in _caveats(mae, family="gaussian")
    classes = (Y > 0).astype(float)
    kind = {"link": "logit", "family": "binomial"}
    squared = affine([1.0, 2.0], 0.0, loss=Loss("mean_squared_error"), **kind)
    assert "not a maximum-likelihood estimate" in _caveats(squared, classes)
    twice = Loss("binary_crossentropy", {"from_logits": True})
    assert "sigmoid's output is logits" in _caveats(
        affine([1.0, 2.0], 0.0, loss=twice, **kind), classes
    )
    smooth = Loss("binary_crossentropy", {"label_smoothing": 0.1})
    assert "smoothed the labels" in _caveats(affine([1.0, 2.0], 0.0, loss=smooth, **kind), classes)


def test_training_and_structure_are_caveats():
    training = Training(
        penalties=(("dense", "L2(0.1) on its kernel"),),
        stochastic=(("drop", "Dropout"),),
        notes=("layer x was frozen: its weights were not trained",),
    )
    said = _caveats(affine([1.0, 0.0], 0.0, training=training))
    for words in ("L2(0.1)", "drop (Dropout)", "frozen", "ignores x[1]"):
        assert words in said
    assert "are equal" in _caveats(affine([1.5, 1.5], 0.0))


def test_dependent_columns_are_named():
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 0] * 2.0, "y": Y})
    made = converter.convert(affine([0.5, 2.0, 0.25], 0.0), table, "y")
    (caveat,) = [c for c in made.caveats if "linearly dependent" in c]
    assert "a, c" in caveat
    assert np.isfinite(made.results.bse).all()
    assert made.results.df_resid == 47


def test_dependent_columns_leave_the_tests_alone():
    """The fit spans the same space with and without a redundant column."""
    wide = np.column_stack([X, X[:, 0] + 2.0 * X[:, 1]])
    best = sm.OLS(Y, sm.add_constant(X)).fit()
    model = affine([*best.params[1:], 0.0], best.params[0])
    made = converter.convert(model, wide, Y)
    assert made.optimality.verdict == "optimum"
    assert made.optimality.statistic < 1e-12
    assert made.results.fvalue == pytest.approx(best.fvalue)
    assert made.results.scale == pytest.approx(best.scale)
    classes = (np.median(Y) < Y).astype(float)
    fit = sm.Logit(classes, sm.add_constant(X)).fit(disp=0, tol=1e-14)
    kind = {"link": "logit", "family": "binomial"}
    made = converter.convert(affine([*fit.params[1:], 0.0], fit.params[0], **kind), wide, classes)
    assert made.optimality.converged
    assert made.optimality.verdict == "optimum"


def test_clusters():
    groups = np.repeat(np.arange(10), 5)
    peer = sm.OLS(Y, sm.add_constant(X)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    more = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
    made = converter.convert(affine([1.0, 2.0], 0.0), X, Y, **more)
    assert made.refit.fvalue == pytest.approx(peer.fvalue)
    assert made.refit.f_pvalue == pytest.approx(peer.f_pvalue)
    holes = X.copy()
    holes[3, 0] = np.nan
    made = converter.convert(affine([1.0, 2.0], 0.0), holes, Y, missing="drop", **more)
    assert np.isfinite(made.results.bse).all()


def test_a_series_of_another_index_is_not_matched_by_place():
    with pytest.raises(converter.DataError, match="index differs"):
        converter.convert(NETWORK, LONGLEY.drop(columns="TOTEMP"), LONGLEY["TOTEMP"][::-1])


def test_decimal_commas_and_lazy_frames(tmp_path):
    path = tmp_path / "t.csv"
    LONGLEY.to_csv(path, sep=";", decimal=",", index=False)
    expected = converter.convert(NETWORK, LONGLEY, "TOTEMP").results.bse
    for data in (path, pl.from_pandas(LONGLEY).lazy()):
        made = converter.convert(NETWORK, data, "TOTEMP")
        np.testing.assert_allclose(made.results.bse, expected, rtol=1e-13)


def test_named_inputs_are_matched_by_name_everywhere():
    model = affine([1.0, -2.0], 0.5, names=["age", "income"])
    table = pd.DataFrame({"income": X[:, 1], "age": X[:, 0], "extra": 1.0, "y": Y})
    expected = 0.5 + table["age"] - 2.0 * table["income"]
    np.testing.assert_allclose(model.predict(table)[:, 0], expected)
    with pytest.raises(ValueError, match="no column age"):
        model.predict(table.drop(columns="age"))
    made = converter.convert(model, table, "y", features=["income", "age"])
    np.testing.assert_allclose(made.results.fittedvalues, expected)
    # A scaler fitted on named columns says itself which is which.
    scaler = StandardScaler().fit(table[["income", "age"]])
    made = converter.convert(model, table, "y", scaler=scaler)
    inside = scaler.transform(table[["income", "age"]])
    np.testing.assert_allclose(
        made.results.fittedvalues, 0.5 + inside[:, 1] - 2.0 * inside[:, 0], atol=1e-12
    )
    with pytest.raises(converter.DataError, match="fitted on the columns"):
        converter.convert(model, table, "y", scaler=StandardScaler().fit(table[["income", "y"]]))


def test_scaler_files(tmp_path):
    path = tmp_path / "scale.json"
    both = {"inputs": {"mean": 1.0, "scale": 2.0}, "target": {"mean": 5.0, "scale": 10.0}}
    path.write_text(json.dumps(both))
    model = affine([1.0, 2.0], 0.0)
    a, b = (converter.convert(model, X, Y, scaler=given) for given in (path, both))
    np.testing.assert_allclose(a.model.coef, [[5.0, 10.0]])
    np.testing.assert_allclose(a.model.intercept, [5.0 + 10.0 * (0.0 - 0.5 - 1.0)])
    np.testing.assert_array_equal(a.model.coef, b.model.coef)


def test_a_target_scaler_given_twice():
    one = {"mean": 5.0, "scale": 10.0}
    with pytest.raises(converter.DataError, match="given twice"):
        converter.convert(affine([1.0, 2.0], 0.0), X, Y, scaler={"target": one}, target_scaler=one)


def test_one_element_of_an_output():
    model = affine([[1.0, 2.0], [3.0, 4.0]], 0.0)
    model = replace(model, output_names=("y[0]", "y[1]"))
    made = converter.convert(model, X, Y, output="y[1]")
    np.testing.assert_array_equal(made.model.coef, [[3.0, 4.0]])
    np.testing.assert_array_equal(model.select(0).coef, [[1.0, 2.0]])
    path = FIXTURES / "tf_keras" / "sequential.keras"
    assert len(converter.fold(path, output=0).coef) == 1
    nested = FIXTURES / "tf_keras" / "branches.keras"
    whole = converter.fold(nested, output="average")
    one = converter.fold(nested, output="average[2]")
    np.testing.assert_array_equal(one.coef, whole.coef[2:3])


def test_the_target_is_no_feature_and_a_perfect_fit_is_one():
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": X @ [1.0, 2.0]})
    with pytest.raises(converter.DataError, match="target 'y' is among the features"):
        converter.convert(affine([1.0, 2.0], 0.0), table, "y", features=["a", "y"])
    made = converter.convert(affine([1.0, 2.0], 0.0), table, "y")
    assert made.results.rsquared == 1.0
    assert "optimum" in made.summary()


def test_a_logit_far_off_says_so_and_nothing_overflows():
    classes = (np.median(Y) < Y).astype(float)
    model = affine([1e4, -1e5], 3e4, link="logit", family="binomial")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = converter.convert(model, X, classes)
        text = made.summary()
        made.tidy(), made.glance()
    assert np.isfinite(made.results.llf)
    assert made.caveats[0].startswith("The network predicts this table worse than a constant")
    assert "unit" not in made.caveats[0]
    assert text.startswith("Note: ")


def test_no_intercept_is_said():
    made = converter.convert(affine([1.0, 2.0]), X, Y)
    assert any("no intercept" in caveat for caveat in made.caveats)
    assert len(repr(made)) < 200


def test_separated_classes_have_no_optimum():
    x = np.arange(-10.0, 10.0) + 0.5
    model = affine([1.0], 0.0, link="logit", family="binomial")
    made = converter.convert(model, x[:, None], (x > 0).astype(float))
    assert not made.optimality.converged
    assert made.optimality.verdict == "not at the optimum"
    assert "does not exist" in made.verdict_sentence


def test_arguments_that_do_not_fit():
    for more, words in (
        ({"family": "gamma"}, "family must be one of"),
        ({"missing": "ignore"}, "missing must be"),
        ({"output": "other"}, "no output 'other'"),
    ):
        with pytest.raises(ValueError, match=words):
            converter.convert(affine([1.0, 2.0], 0.0), X, Y, **more)
    logistic = affine([1.0, 2.0], 0.0, link="logit", family="binomial")
    with pytest.raises(ValueError, match="not a gaussian regression"):
        converter.convert(logistic, X, Y, family="gaussian")
    with pytest.raises(ValueError, match="2 outputs"):
        converter.convert(affine([[1.0, 2.0], [3.0, 4.0]], 0.0), X, Y)


def test_features_that_bear_the_models_names_are_matched_by_name():
    model = affine([1.0, 2.0], 0.0)
    table = pd.DataFrame({"x[1]": X[:, 1], "x[0]": X[:, 0], "y": Y})
    for features in (None, ["x[0]", "x[1]"], ["x[1]", "x[0]"]):
        made = converter.convert(model, table, "y", features=features)
        np.testing.assert_array_equal(made.results.model.exog[:, 1:], X[:, :2])


def test_covariances_that_must_be_told_something():
    model = affine([1.0, 2.0], 0.0)
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y, "shop": np.arange(len(Y)) // 4})
    for cov_type, words in (("HAC", "maxlags"), ("cluster", "groups"), ("hac-panel", "maxlags")):
        with pytest.raises(ValueError, match=f"{cov_type}' needs cov_kwds with {words}"):
            converter.convert(model, table, "y", cov_type=cov_type)
    kwds = {"groups": "shop"}
    made = converter.convert(model, table, "y", cov_type="cluster", cov_kwds=kwds)
    other = converter.convert(
        model,
        table.drop(columns="shop"),
        "y",
        cov_type="cluster",
        cov_kwds={"groups": table["shop"]},
    )
    np.testing.assert_array_equal(made.results.bse, other.results.bse)


def test_an_exact_fit_is_said_to_be_one():
    x = np.arange(6.0)[:, None]
    made = converter.convert(affine([np.float32(1.9999998)], -1.0), x, 2.0 * x[:, 0] - 1.0)
    assert "exact linear function" in made.verdict_sentence


def test_a_column_that_is_an_input_and_the_target():
    model = affine([1.0, 2.0], 0.0, names=["age", "size"])
    table = pd.DataFrame({"age": X[:, 0], "size": X[:, 1], "y": Y})
    with pytest.raises(converter.DataError, match="'age' is an input of the model, and given as"):
        converter.convert(model, table, "age")
    numbered = pd.DataFrame(np.column_stack([X, Y]))
    made = converter.convert(affine([1.0, 2.0], 0.0), numbered, 2)
    assert made.results.model.endog_names == "2"


def test_more_columns_than_rows():
    model = affine(np.ones(60), 0.0, link="logit", family="binomial")
    wide = np.random.default_rng(0).normal(size=(20, 60))
    with pytest.raises(converter.DataError, match="20 rows are too few for 61 columns"):
        converter.convert(model, wide, np.arange(20) % 2)
