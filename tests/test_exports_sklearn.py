"""Exports as scikit-learn estimators."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace

import coded
import hostile
import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import FIXTURES
from models import affine
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor

import converter

KINDS = [
    ("identity", "gaussian", 1, LinearRegression),
    ("identity", "gaussian", 2, LinearRegression),
    ("logit", "binomial", 1, LogisticRegression),
    ("softmax", "multinomial", 2, LogisticRegression),
    ("softmax", "multinomial", 3, LogisticRegression),
    ("log", "poisson", 1, PoissonRegressor),
]


def _predicted(estimator, model, table) -> np.ndarray:
    if model.link in ("identity", "log"):
        return estimator.predict(table).reshape(len(table), -1)
    found = estimator.predict_proba(table)
    return found[:, 1:] if model.link == "logit" else found


@pytest.mark.parametrize(("link", "family", "outputs", "kind"), KINDS)
@pytest.mark.parametrize("constant", [True, False])
def test_it_predicts_the_same(link, family, outputs, kind, constant):
    model = hostile.model(
        link, family, outputs, groups=(0,) * outputs if link == "softmax" else None
    )
    if not constant:
        model = replace(
            model, intercept=0 * model.intercept, has_intercept=np.zeros(outputs, dtype=bool)
        )
    estimator = model.to_sklearn()
    assert isinstance(estimator, kind)
    table = hostile.table(rows=50)[list(hostile.NAMES)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _predicted(estimator, model, table)
    np.testing.assert_allclose(found, model.predict(table), rtol=1e-11)
    assert estimator.feature_names_in_.tolist() == list(hostile.NAMES)
    assert estimator.n_features_in_ == len(hostile.NAMES)
    assert estimator.fit_intercept is constant
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(table.iloc[:, ::-1])
    # The attributes are those of a fit.
    fitted = clone(estimator).set_params(**({"C": 1.0} if kind is LogisticRegression else {}))
    response = np.arange(50) % max(outputs, 2)
    several = (
        np.column_stack([response] * outputs) if link == "identity" and outputs > 1 else response
    )
    fitted.fit(table, several)
    assert estimator.coef_.shape == fitted.coef_.shape
    assert np.shape(estimator.intercept_) in (np.shape(fitted.intercept_), (outputs,))
    if kind is LogisticRegression:
        np.testing.assert_array_equal(estimator.classes_, fitted.classes_)
        assert estimator.score(table, estimator.predict(table)) == 1.0


@pytest.mark.parametrize(
    "name", [one for one in coded.LEVELS if one not in ("numbers", "one or other", "bins")]
)
def test_categories(name):
    levels, values = coded.LEVELS[name]
    model = coded.coded(levels)
    table = pd.DataFrame({model.columns[0]: values, "z": np.linspace(-1.0, 1.0, len(values))})
    estimator = model.to_sklearn()
    np.testing.assert_allclose(estimator.predict(table), model.predict(table)[:, 0], rtol=1e-13)
    assert estimator.feature_names_in_.tolist() == list(model.columns)
    missing = table.assign(**{model.columns[0]: [np.nan] + values[1:]})
    with pytest.raises(ValueError, match=r"unknown categor|NaN"):
        estimator.predict(missing)
    if name in ("codes", "words alone"):
        with pytest.raises(ValueError, match="unknown categor"):
            estimator.predict(
                table.assign(**{model.columns[0]: [9 if name == "codes" else "?"] * len(table)})
            )


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("name", ["words", "words alone", "masked words"])
def test_what_is_missing_is_no_unknown_word(name, missing):
    levels, values = coded.LEVELS[name]
    model = coded.coded(levels, name="c")
    column = pd.Series([values[0], missing], dtype=object)
    table = pd.DataFrame({"c": column, "z": 1.0})
    with pytest.raises(ValueError, match="missing"):
        model.predict(table)
    with pytest.raises(ValueError, match="unknown categor"):
        model.to_sklearn().predict(table)


def test_a_shipped_network_with_words():
    table = pd.read_csv(FIXTURES / "marriages.csv").drop(columns="rate_marriage")
    model = converter.fold(FIXTURES / "marriages.keras")
    np.testing.assert_allclose(
        model.to_sklearn().predict(table), model.predict(table)[:, 0], rtol=1e-12
    )


_BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "converter":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import joblib, pandas as pd
found = joblib.load(sys.argv[1])
print(found.predict_proba(pd.read_csv(sys.argv[2])[["GPA", "TUCE", "PSI"]])[:, 1].tolist())
"""


def test_joblib_loads_it_where_converter_is_not(tmp_path):
    data = FIXTURES / "spector.csv"
    made = converter.convert(FIXTURES / "spector_logistic.keras", data, "GRADE")
    path = tmp_path / "m.joblib"
    made.export(path)
    assert joblib.load(path).feature_names_in_.tolist() == ["GPA", "TUCE", "PSI"]
    done = subprocess.run(
        [sys.executable, "-c", _BLOCKED, path, data], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), made.results.predict(), rtol=1e-12)


def test_refusals(tmp_path):
    for model, words in (
        (hostile.model("probit", "binomial"), "link 'probit', for which scikit-learn has no"),
        (hostile.model("cloglog", "binomial"), "link 'cloglog'"),
        (hostile.model("logit", "binomial", 2), "has several: export one of"),
        (replace(affine(np.ones((4, 1)), link="softmax"), groups=(0, 0, 1, 1)), "has several"),
        (coded.coded(coded.LEVELS["bins"][0]), "takes any number"),
        (coded.coded(coded.LEVELS["numbers"][0]), "takes any number"),
        (coded.coded(coded.HASHED), "is told by a hash function"),
    ):
        with pytest.raises(ValueError, match=words):
            model.export(tmp_path / "m.joblib")
    assert not list(tmp_path.iterdir())


def test_a_pair_of_probabilities_is_one_regression():
    """As skl2onnx writes a classifier: the second of two outputs, and the classes' names."""
    import onnxruntime

    path = FIXTURES / "exporters" / "skl2onnx" / "logistic_words.onnx"
    estimator = converter.fold(path).to_sklearn()
    assert estimator.classes_.tolist() == ["no", "yes"]
    session = onnxruntime.InferenceSession(path)
    X = np.random.default_rng(0).normal(size=(20, estimator.n_features_in_)).astype(np.float32)
    inputs = session.get_inputs()
    given = (
        {inputs[0].name: X}
        if len(inputs) == 1
        else {one.name: X[:, [i]] for i, one in enumerate(inputs)}
    )
    labels, probabilities = session.run(None, given)
    named = pd.DataFrame(X.astype(float), columns=estimator.feature_names_in_)
    assert estimator.predict(named).tolist() == labels.tolist()
    expected = (
        pd.DataFrame(probabilities)[["no", "yes"]].to_numpy()
        if isinstance(probabilities, list)
        else probabilities
    )
    np.testing.assert_allclose(estimator.predict_proba(named), expected, atol=1e-6)


@pytest.mark.parametrize("labels", [("no", "yes"), (3, 8), ("0", "1")])
def test_classes_are_the_labels_of_the_table(tmp_path, labels):
    table = pd.read_csv(FIXTURES / "spector.csv")
    table["GRADE"] = table["GRADE"].map(dict(enumerate(labels)))
    made = converter.convert(FIXTURES / "spector_logistic.keras", table, "GRADE")
    assert made.classes == labels
    made.export(tmp_path / "m.joblib")
    estimator = joblib.load(tmp_path / "m.joblib")
    assert estimator.classes_.tolist() == list(labels)
    assert set(estimator.predict(table[["GPA", "TUCE", "PSI"]])) <= set(labels)
    X = table[["GPA", "TUCE", "PSI"]]
    np.testing.assert_allclose(estimator.predict_proba(X)[:, 1], made.results.predict(), rtol=1e-12)
    right = (np.asarray(made.results.predict()) > 0.5) == (table["GRADE"] == labels[1])
    assert estimator.score(X, table["GRADE"]) == pytest.approx(right.mean())


@pytest.mark.parametrize(("link", "family", "outputs", "kind"), KINDS[2:5])
def test_a_network_trained_from_logits_is_a_classifier(tmp_path, link, family, outputs, kind):
    groups = (0,) * outputs if link == "softmax" else None
    with_link = hostile.model(link, family, outputs, groups=groups)
    model = replace(with_link, link="identity", groups=(-1,) * outputs)
    table = hostile.table(rows=50)[list(hostile.NAMES)]
    estimator = model.to_sklearn()
    assert isinstance(estimator, kind)
    np.testing.assert_allclose(
        _predicted(estimator, with_link, table), with_link.predict(table), rtol=1e-11
    )


def test_labels_of_a_network_trained_from_logits(tmp_path):
    table = pd.read_csv(FIXTURES / "spector.csv")
    table["GRADE"] = table["GRADE"].map({0: "no", 1: "yes"})
    model = replace(converter.fold(FIXTURES / "spector_logistic.keras"), link="identity")
    made = converter.convert(model, table, "GRADE")
    made.export(tmp_path / "m.joblib")
    estimator = joblib.load(tmp_path / "m.joblib")
    assert estimator.classes_.tolist() == ["no", "yes"]
    found = estimator.predict_proba(table[["GPA", "TUCE", "PSI"]])[:, 1]
    np.testing.assert_allclose(found, made.results.predict(), rtol=1e-12)


def test_the_family_that_was_asked_for_is_the_estimators(tmp_path):
    from sklearn.linear_model import LinearRegression, LogisticRegression

    rng = np.random.default_rng(0)
    table = {"x": rng.normal(size=80), "y": (rng.random(80) < 0.5).astype(float)}
    for family, kind in (("binomial", LogisticRegression), ("gaussian", LinearRegression)):
        made = converter.convert(affine([0.5], 0.1), table, "y", family=family)
        assert isinstance(made.folded.to_sklearn(), kind)
