"""The commands, as a user runs them: by subprocess, on the shipped fixtures."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import FIXTURES

import converter


def _run(*arguments, **more):
    command = [sys.executable, "-m", "converter", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_inspect_a_regression():
    done = _run("inspect", FIXTURES / "longley_linear.keras")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("a regression:")
    assert "trained with mean_squared_error" in done.stdout


def test_inspect_what_is_none():
    path = FIXTURES / "diabetes_relu.keras"
    done = _run("inspect", path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        f"not a regression: {path}",
        "  hidden  relu  a non-linear activation of a value that depends on the input",
    ]


def test_inspect_json():
    found = json.loads(_run("inspect", FIXTURES / "spector_logistic.h5", "--json").stdout)
    assert found["verdict"] == "linked"
    assert found["link"] == "logit"
    assert found["loss"] == "binary_crossentropy"
    assert found == converter.inspect(FIXTURES / "spector_logistic.h5").to_dict()
    done = _run("inspect", FIXTURES / "diabetes_relu.onnx", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["operation"] == "Relu"


def test_fold_prints_and_writes(tmp_path):
    path = FIXTURES / "longley_linear.onnx"
    model = converter.fold(path)
    done = _run("fold", path)
    assert done.returncode == 0
    assert f"{model.coef[0, 0]:.17g}" in done.stdout
    for suffix in ("json", "csv", "npz"):
        assert _run("fold", path, "-o", tmp_path / f"m.{suffix}").returncode == 0
    assert json.loads((tmp_path / "m.json").read_text())["coef"] == model.coef.tolist()
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert [row["term"] for row in rows] == ["(intercept)", *model.feature_names]
    assert float(rows[1]["coefficient"]) == model.coef[0, 0]
    with np.load(tmp_path / "m.npz") as saved:
        np.testing.assert_array_equal(saved["coef"], model.coef)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.csv", "m.json", "m.npz"]
    done = _run("fold", path, "-o", tmp_path / "m.txt")
    assert done.returncode == 2
    assert "must end in" in done.stderr


def test_fold_of_what_is_no_regression():
    done = _run("fold", FIXTURES / "diabetes_relu.h5")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("not a regression:")


def test_convert_prints_summary_comparison_verdict():
    done = _run(
        "convert",
        FIXTURES / "diabetes_stopped.keras",
        *("--data", FIXTURES / "diabetes.csv"),
        *("--target", "progression"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "OLS Regression Results",
        "Network weights",
        "Network against optimum",
        "Verdict: not at the optimum.",
    ):
        assert words in done.stdout


def test_convert_json_and_options(tmp_path):
    done = _run(
        "convert",
        FIXTURES / "fair_from_logits.onnx",
        *("--data", FIXTURES / "fair.parquet"),
        *("--target", "affair", "--family", "binomial", "--cov-type", "HC0", "--json"),
        *("--features", "rate_marriage,age, yrs_married,religious,educ"),
    )
    made = json.loads(done.stdout)
    assert made["family"] == "binomial"
    assert made["optimality"]["verdict"] == "optimum"
    assert len(made["terms"]) == 6
    out = tmp_path / "report.txt"
    done = _run(
        "convert",
        FIXTURES / "spector_logistic.keras",
        *("--data", FIXTURES / "spector.csv", "--target", "GRADE", "-o", out),
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "Logit Regression Results" in out.read_text()


def test_convert_with_a_scaler(tmp_path):
    scale = tmp_path / "scale.json"
    scale.write_text(json.dumps({"mean": [0.0] * 3, "scale": [1.0, 1.0, 2.0]}))
    arguments = ("--data", FIXTURES / "spector.csv", "--target", "GRADE", "--json")
    plain, scaled = (
        json.loads(_run("convert", FIXTURES / "spector_logistic.keras", *arguments, *more).stdout)
        for more in ((), ("--scale", scale))
    )
    assert scaled["terms"][3]["estimate"] == pytest.approx(plain["terms"][3]["estimate"] / 2)
    scale.write_text("{")
    done = _run("convert", FIXTURES / "spector_logistic.keras", *arguments, "--scale", scale)
    assert done.returncode == 2
    assert "scale.json: is not JSON" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inspect", "no_such_file.keras"), "no_such_file.keras: there is no such file"),
        (("inspect", FIXTURES / "longley.csv"), "is not a model file"),
        (("inspect", FIXTURES), "is a folder"),
        (("inspect", FIXTURES / "longley_linear.h5", "--output", "z"), "no output 'z'"),
        (("fold", FIXTURES / "longley_linear.h5", "-o", "no/such/folder.csv"), "folder.csv"),
        (
            ("convert", FIXTURES / "longley_linear.h5", "--data", "no.csv", "--target", "y"),
            "no.csv: there is no such file",
        ),
        (
            (
                *("convert", FIXTURES / "longley_linear.h5", "--target", "y"),
                *("--data", FIXTURES / "longley.csv"),
            ),
            "no column 'y'; the table has GNPDEFL",
        ),
        (("convert", FIXTURES / "longley_linear.h5"), "Missing option"),
        (("frobnicate",), "No such command"),
    ],
)
def test_trouble_is_status_2_and_one_message(arguments, words):
    done = _run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_names_from_the_file_do_not_reach_the_terminal_raw(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    shape = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 1]) for n in ("x", "y")]
    node = helper.make_node("Relu", ["x"], ["y"], name="\x1b[2Jgone\n\r")
    graph = helper.make_graph([node], "g", shape[:1], shape[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx"
    )
    done = _run("inspect", tmp_path / "m.onnx")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "\\x1b[2Jgone\\n\\r" in done.stdout


def test_help_and_version():
    assert "Exit status" in _run("--help").stdout
    assert converter.__version__ in _run("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["fold", "--to", "json"], "--to"),
        (["fold", "--float32"], "--float32"),
        (
            ["convert", "--data", FIXTURES / "longley.csv", "--target", "TOTEMP", "--to", "csv"],
            "--to",
        ),
    ],
)
def test_options_about_a_file_want_one(arguments, option):
    command, *rest = arguments
    done = _run(command, FIXTURES / "longley_linear.keras", *rest)
    assert done.returncode == 2
    assert f"{option} is about a file" in done.stderr
