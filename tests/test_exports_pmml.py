"""Exports as PMML: valid by the schema, and scored by JPMML as the model predicts."""

from __future__ import annotations

import importlib.resources
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import coded
import hostile
import numpy as np
import pandas as pd
import pytest
from conftest import FIXTURES
from lxml import etree
from models import affine

import converter

LINKS = [
    ("identity", "gaussian", 1),
    ("logit", "binomial", 1),
    ("probit", "binomial", 1),
    ("cloglog", "binomial", 1),
    ("log", "poisson", 1),
    ("softmax", "multinomial", 3),
]


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    """The schema of PMML 4.4, out of the package of JPMML."""
    folder = importlib.resources.files("jpmml_evaluator") / "dependencies"
    (jar,) = (
        one for one in folder.iterdir() if "pmml-model-" in one.name and "metro" not in one.name
    )
    with zipfile.ZipFile(str(jar)) as archive:
        return etree.XMLSchema(etree.fromstring(archive.read("pmml.xsd")))


@pytest.fixture(scope="module")
def score() -> Iterator[Callable]:
    """Return a function: path, table -> list of results, or of messages."""
    program = Path(__file__).parent / "pmml_scorer.py"
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def run(path: Path, table: pd.DataFrame) -> list:
            job = {"path": str(path), "rows": table.to_dict("records")}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


def _written(model, path: Path, schema: etree.XMLSchema) -> etree._Element:
    model.export(path)
    tree = etree.parse(path)
    schema.assertValid(tree)
    return tree.getroot()


def _predicted(results: list, model) -> np.ndarray:
    assert not any(isinstance(one, str) for one in results), results[0]
    if model.link in ("identity", "log"):
        return np.array([[next(iter(one.values()))] for one in results])
    if model.link == "softmax":
        names = [f"probability({i})" for i in range(len(model.coef))]
    else:
        names = ["probability(1)"]
    return np.array([[one[name] for name in names] for one in results])


@pytest.mark.parametrize(("link", "family", "outputs"), LINKS)
def test_jpmml_predicts_the_same(tmp_path, schema, score, link, family, outputs):
    model = hostile.model(link, family, outputs, groups=(0,) * outputs if outputs > 1 else None)
    root = _written(model, tmp_path / "m.pmml", schema)
    fields = [one.get("name") for one in root.iter("{*}DataField")]
    assert fields[1:] == list(hostile.NAMES)
    assert fields[0] == hostile.OUTPUT
    table = hostile.table(rows=30)[list(hostile.NAMES)]
    found = _predicted(score(tmp_path / "m.pmml", table), model)
    np.testing.assert_allclose(found, model.predict(table), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", coded.LEVELS)
def test_categories(tmp_path, schema, score, name):
    levels, values = coded.LEVELS[name]
    model = coded.coded(levels)
    _written(model, tmp_path / "m.pmml", schema)
    table = pd.DataFrame({model.columns[0]: values, "z": np.linspace(-1.0, 1.0, len(values))})
    found = _predicted(score(tmp_path / "m.pmml", table), model)
    np.testing.assert_allclose(found, model.predict(table), rtol=1e-13)


def test_what_the_network_does_not_know_is_invalid(tmp_path, schema, score):
    for name, values in (
        ("codes", [-1, 4, None]),
        ("words alone", ["stranger", "It's", None]),
        ("words", [None]),
        ("numbers", [2.5, None]),
        ("one or other", [2.5, 2**25, None]),
        ("bins", [None]),
    ):
        model = coded.coded(coded.LEVELS[name][0])
        _written(model, tmp_path / "m.pmml", schema)
        table = pd.DataFrame({model.columns[0]: pd.Series(values, dtype=object), "z": 1.0})
        for value, found in zip(values, score(tmp_path / "m.pmml", table), strict=True):
            assert isinstance(found, str), (name, value, found)
            assert "InvalidResult" in found or "Value" in found, found


def test_shipped_networks(tmp_path, schema, score):
    table = pd.read_csv(FIXTURES / "marriages.csv").drop(columns="rate_marriage")[:200]
    model = converter.fold(FIXTURES / "marriages.keras")
    _written(model, tmp_path / "m.pmml", schema)
    found = _predicted(score(tmp_path / "m.pmml", table), model)
    np.testing.assert_allclose(found, model.predict(table), rtol=1e-12)
    made = converter.convert(FIXTURES / "spector_logistic.keras", FIXTURES / "spector.csv", "GRADE")
    _written(made, tmp_path / "m.pmml", schema)
    table = pd.read_csv(FIXTURES / "spector.csv")[["GPA", "TUCE", "PSI"]]
    found = _predicted(score(tmp_path / "m.pmml", table), made.model)
    np.testing.assert_allclose(found[:, 0], made.results.predict(), rtol=1e-12)


def test_classes_have_their_names(tmp_path, schema, score):
    folder = FIXTURES / "exporters" / "skl2onnx"
    for name, classes in (
        ("logistic_words", ["no", "yes"]),
        ("multinomial_words", ["no", "perhaps", "yes"]),
    ):
        model = converter.fold(folder / f"{name}.onnx")
        _written(model, tmp_path / "m.pmml", schema)
        table = pd.DataFrame(
            np.random.default_rng(1).normal(size=(20, model.coef.shape[1])), columns=model.columns
        )
        results = score(tmp_path / "m.pmml", table)
        found = [[one[f"probability({label})"] for label in classes] for one in results]
        expected = model.predict(table)
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        labels = [classes[place] for place in expected.argmax(axis=1)]
        assert [one["predicted"] for one in results] == labels
    table = pd.read_csv(FIXTURES / "spector.csv")
    table["GRADE"] = table["GRADE"].map({0: "no", 1: "it's"})
    made = converter.convert(FIXTURES / "spector_logistic.keras", table, "GRADE")
    _written(made, tmp_path / "m.pmml", schema)
    results = score(tmp_path / "m.pmml", table[["GPA", "TUCE", "PSI"]])
    place = made.classes.index("it's")
    chance = np.array([one["probability(it's)"] for one in results])
    expected = np.asarray(made.results.predict())
    np.testing.assert_allclose(chance, expected if place else 1.0 - expected, rtol=1e-11)


@pytest.mark.parametrize(("link", "family", "outputs"), [LINKS[1], LINKS[5]])
def test_a_network_trained_from_logits(tmp_path, schema, score, link, family, outputs):
    groups = (0,) * outputs if outputs > 1 else None
    with_link = hostile.model(link, family, outputs, groups=groups)
    model = replace(with_link, link="identity", groups=(-1,) * outputs)
    root = _written(model, tmp_path / "m.pmml", schema)
    assert root.find("{*}RegressionModel").get("functionName") == "classification"
    table = hostile.table(rows=30)[list(hostile.NAMES)]
    found = _predicted(score(tmp_path / "m.pmml", table), with_link)
    np.testing.assert_allclose(found, with_link.predict(table), rtol=1e-11, atol=1e-14)


def test_refusals(tmp_path):
    for model, words in (
        (hostile.model(outputs=2), "has several: export one of"),
        (coded.coded(coded.HASHED), "is told by a hash function"),
        (affine([[1.0]], names=["a\x1bb"]), "a character that XML cannot"),
        (replace(affine(np.ones((4, 1)), link="softmax"), groups=(0, 0, 1, 1)), "has several"),
    ):
        with pytest.raises(ValueError, match=words):
            model.export(tmp_path / "m.pmml")
    assert not list(tmp_path.iterdir())
