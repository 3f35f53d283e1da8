"""The shipped networks: one network in all its formats is one regression."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FIXTURES

import converter

TABLES = {
    "longley_linear": ("longley", "TOTEMP"),
    "diabetes_deep": ("diabetes", "progression"),
    "diabetes_stopped": ("diabetes", "progression"),
    "diabetes_l2": ("diabetes", "progression"),
    "spector_logistic": ("spector", "GRADE"),
    "fair_from_logits": ("fair", "affair"),
}


@pytest.mark.parametrize("name", TABLES)
def test_formats_agree(name):
    reference = converter.fold(FIXTURES / f"{name}.keras")
    scale = np.abs(reference.coef).max()
    for suffix, tolerance in ((".h5", 1e-15), (".onnx", 1e-10), ("_single.onnx", 2e-5)):
        folded = converter.fold(FIXTURES / f"{name}{suffix}")
        np.testing.assert_allclose(folded.coef, reference.coef, rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(
            folded.intercept, reference.intercept, rtol=tolerance * 10, atol=tolerance * scale
        )
        assert folded.link == reference.link
        assert folded.has_intercept.all()


@pytest.mark.parametrize("name", TABLES)
def test_csv_and_parquet_agree(name):
    table, target = TABLES[name]
    path = FIXTURES / f"{name}.keras"
    a = converter.convert(path, FIXTURES / f"{table}.csv", target)
    b = converter.convert(path, FIXTURES / f"{table}.parquet", target)
    np.testing.assert_array_equal(a.results.params, b.results.params)
    np.testing.assert_allclose(a.results.bse, b.results.bse, rtol=1e-13)


def _convert(name, suffix=".keras"):
    table, target = TABLES[name]
    return converter.convert(FIXTURES / f"{name}{suffix}", FIXTURES / f"{table}.csv", target)


def test_what_was_trained_to_the_end_is_at_the_optimum():
    for name in ("longley_linear", "diabetes_deep", "spector_logistic", "fair_from_logits"):
        made = _convert(name)
        assert made.optimality.verdict == "optimum", name
        assert made.caveats == []


def test_what_was_stopped_is_not():
    made = _convert("diabetes_stopped")
    assert made.optimality.verdict == "not at the optimum"
    assert "for inference use the refit" in made.verdict_sentence


def test_a_penalty_is_a_caveat():
    made = _convert("diabetes_l2")
    assert made.optimality.verdict == "not at the optimum"
    assert [c for c in made.caveats if "L2(20) on its kernel" in c]


def test_a_loss_from_logits_makes_a_linear_output_a_logit():
    found = converter.inspect(FIXTURES / "fair_from_logits.keras")
    assert (found.verdict, found.link, found.family) == ("affine", "identity", "binomial")
    assert found.loss == "binary_crossentropy"
    assert found.loss.from_logits
    made = _convert("fair_from_logits")
    assert made.results.model.__class__.__name__ == "Logit"
    # ONNX does not record the loss; the user says so.
    table = FIXTURES / "fair.csv"
    plain = converter.convert(FIXTURES / "fair_from_logits.onnx", table, "affair")
    assert plain.family == "gaussian"
    assert any("family='binomial'" in caveat for caveat in plain.caveats)
    asked = converter.convert(
        FIXTURES / "fair_from_logits.onnx", table, "affair", family="binomial"
    )
    np.testing.assert_allclose(asked.results.bse, made.results.bse, rtol=1e-9)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".onnx", "_single.onnx"])
def test_relu_is_refused(suffix):
    found = converter.inspect(FIXTURES / f"diabetes_relu{suffix}")
    (finding,) = found.findings
    assert finding.node.startswith("hidden")
    assert finding.operation.lower() == "relu"


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize(
    "name",
    ["sequential", "branches", "nested", "functions", "convolutions", "recurrent", "codes"],
)
def test_files_of_keras_2(name, suffix):
    path = FIXTURES / "tf_keras" / f"{name}.{suffix}"
    with np.load(path.with_suffix(".npz")) as saved:
        inputs = [saved[key] for key in saved if key.startswith("input")]
        outputs = [saved[key] for key in saved if key.startswith("output")]
    assert converter.inspect(path).loss == "mean_squared_error"
    exact = name != "convolutions"  # TensorFlow interpolates in 32 bits
    for place, expected in enumerate(outputs):
        found = converter.fold(path, output=place).predict(inputs)
        np.testing.assert_allclose(
            found, expected.reshape(len(expected), -1), rtol=1e-12 if exact else 1e-6
        )


OLD = sorted((FIXTURES / "old_keras").glob("*.h5"))


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_files_of_keras_1_and_the_first_of_keras_2(path):
    assert len(OLD) == 10
    if path.stem.endswith("bent"):
        assert [one.operation for one in converter.inspect(path).findings] == ["relu"]
        return
    with np.load(path.with_suffix(".npz")) as saved:
        inputs = [saved[key] for key in saved if key.startswith("input")]
        outputs = [saved[key] for key in saved if key.startswith("output")]
    found = converter.inspect(path)
    assert found.loss == "mean_squared_error"
    if path.stem.endswith("chain"):
        assert any("L1L2(0.01) on its kernel" in note for note in found.notes)
    for place, expected in enumerate(outputs):
        values = converter.fold(path, output=place).predict(inputs)
        # They computed in single precision.
        np.testing.assert_allclose(
            values, expected.reshape(len(expected), -1), rtol=3e-6, atol=1e-5
        )


#: Written by a Keras that is not installed; see fixtures/keras_versions.py.
OTHER_VERSIONS = [
    *(f"keras_2_12/{name}" for name in ("chain.h5", "chain.keras", "steps")),
    *("keras_2_12/branches.keras", "keras_3_0/chain.h5", "keras_3_0/chain.keras"),
    *("keras_3_0/branches.keras", "keras_3_0/sequences.keras", "keras_3_0/functions"),
]


@pytest.mark.parametrize("name", OTHER_VERSIONS)
def test_files_of_other_versions_of_keras(name):
    path = FIXTURES / name
    with np.load(path.with_suffix(".npz")) as saved:
        inputs = [saved[key] for key in saved if key.startswith("input")]
        outputs = [saved[key] for key in saved if key.startswith("output")]
    report = converter.inspect(path)
    assert len(report.outputs) == len(outputs)
    assert (report.loss == "mean_squared_error") == (name != "keras_3_0/functions")
    for place, expected in enumerate(outputs):
        found = converter.fold(path, output=place).predict(inputs)
        np.testing.assert_allclose(found, expected.reshape(len(expected), -1), rtol=1e-12)
