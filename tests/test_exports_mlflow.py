"""Conversions in MLflow runs, read back with MLflow's own interface."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from conftest import FIXTURES

import converter


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Return MLflow on a store in a folder of its own."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"file://{tmp_path}/runs")
    yield mlflow
    mlflow.set_tracking_uri(before)


def test_a_run_holds_what_the_conversion_says(store):
    path = FIXTURES / "spector_logistic.keras"
    made = converter.convert(path, FIXTURES / "spector.csv", "GRADE", cov_type="HC0")
    run = store.get_run(made.log_mlflow())
    assert store.active_run() is None
    assert run.info.status == "FINISHED"
    expected = {
        "family": "binomial",
        "regression": "Logit",
        "link": "logit",
        "loss": "binary_crossentropy",
        "cov_type": "HC0",
        "target": "GRADE",
        "verdict": made.optimality.verdict,
        "model_sha256": converter.inspect(path).sha256,
        "data": str(FIXTURES / "spector.csv"),
    }
    assert run.data.params.items() >= expected.items()
    glance = made.glance().iloc[0]
    for name in ("nobs", "max_drift", "pseudo_r_squared", "log_lik", "optimality_p_value"):
        assert run.data.metrics[name] == glance[name]
    assert all(map(math.isfinite, run.data.metrics.values()))
    table = store.load_table("coefficients.json", run_ids=[run.info.run_id])
    pd.testing.assert_frame_equal(table, made.tidy(), check_exact=False, rtol=1e-9)
    folder = f"runs:/{run.info.run_id}"
    read, shown = store.artifacts.load_text(f"{folder}/summary.txt"), made.summary()
    assert [one for one in read.splitlines() if "Time:" not in one] == [
        one for one in shown.splitlines() if "Time:" not in one
    ]


def test_the_model_is_statsmodels_own(store):
    import mlflow.statsmodels

    made = converter.convert(FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "TOTEMP")
    with store.start_run() as run:
        assert made.log_mlflow(name="network") == run.info.run_id
        assert store.active_run() is not None
    (logged,) = store.get_run(run.info.run_id).outputs.model_outputs
    read = mlflow.statsmodels.load_model(f"models:/{logged.model_id}")
    pd.testing.assert_series_equal(read.params, made.results.params)
    np.testing.assert_array_equal(read.cov_params(), made.results.cov_params())
    assert type(read._results).__module__.startswith("statsmodels.")
    assert "r_squared" in store.get_run(run.info.run_id).data.metrics


def test_a_long_or_hostile_parameter_is_cut(store, tmp_path):
    table = pd.read_csv(FIXTURES / "longley.csv")
    where = " OR ".join(f"YEAR = {year}" for year in range(1900, 2000))
    made = converter.convert(FIXTURES / "longley_linear.keras", table, "TOTEMP", where=where)
    params = store.get_run(made.log_mlflow()).data.params
    assert params["where"] == where[:6000]
    assert params["data"] == "pandas DataFrame"
    assert json.dumps(params)


def test_the_report_is_an_artifact(store):
    made = converter.convert(FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "TOTEMP")
    found = store.artifacts.load_text(f"runs:/{made.log_mlflow()}/report.html")
    assert found.startswith("<!DOCTYPE html>")
    assert "Network against optimum" in found


def test_without_mlflow_it_says_what_to_install(monkeypatch):
    import sys

    made = converter.convert(FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "TOTEMP")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ValueError, match=r"pip install 'converter\[mlflow\]'"):
        made.log_mlflow()
