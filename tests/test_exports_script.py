"""Exports as scripts: what they print is the summary, where converter is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import coded
import hostile
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FIXTURES
from models import affine

import converter

RNG = np.random.default_rng(21)
ROWS = 90
X = RNG.normal(size=(ROWS, 2))
ETA = 0.3 + X @ [0.8, -0.5]
TABLE = pd.DataFrame(
    {
        "a": X[:, 0],
        "b": 100.0 + 3.0 * X[:, 1],
        "y": ETA + RNG.standard_t(4, size=ROWS),
        "p": (RNG.uniform(size=ROWS) < 1 / (1 + np.exp(-ETA))).astype(int),
        "n": RNG.poisson(np.exp(0.4 * ETA)),
        "k": RNG.integers(0, 3, size=ROWS),
        "w": RNG.uniform(0.5, 2.0, size=ROWS),
        "g": RNG.integers(0, 12, size=ROWS),
        "h": RNG.choice(["north", "south", "it's"], size=ROWS),
    }
)
TABLE["yes"] = TABLE["p"].map({0: "no", 1: "yes"})
TABLE["colour"] = TABLE["k"].map({0: "blue", 1: "green", 2: 're"d'})
GAPS = TABLE.copy()
GAPS.loc[3, "a"] = np.nan
GAPS.loc[5, "y"] = np.nan
GAPS.loc[7, "b"] = np.inf
GAPS.loc[9, "h"] = None
SLOPES = [[0.7, -0.15]]
THREE = [[0.1, 0.0], [0.4, -0.1], [-0.3, 0.2]]


def _model(slopes=SLOPES, intercept=15.0, link="identity", family="gaussian"):
    groups = (0,) * len(slopes) if link == "softmax" else None
    return affine(slopes, intercept, link=link, family=family, names=("a", "b"), groups=groups)


LOGIT = lambda intercept=15.0: _model(intercept=intercept, link="logit", family="binomial")  # noqa: E731
SOFTMAX = lambda: _model(THREE, [0.0, 10.0, -20.0], "softmax", "multinomial")  # noqa: E731
# Model, table, suffix of its file (none: it stays in memory), target, and more.
CASES = {
    "ols": (_model, TABLE, "csv", "y", {}),
    "ols parquet": (_model, TABLE, "parquet", "y", {}),
    "ols feather": (_model, TABLE, "feather", "y", {}),
    "ols semicolon": (_model, TABLE, "de.csv", "y", {}),
    "ols gzip": (_model, TABLE, "csv.gz", "y", {}),
    "ols in memory": (_model, TABLE, None, "y", {}),
    "ols without intercept": (lambda: _model(intercept=None), TABLE, "csv", "y", {}),
    "ols evaluation": (_model, TABLE, "csv", "y", {"training_data": False}),
    "ols HC1": (_model, TABLE, "csv", "y", {"cov_type": "HC1"}),
    "ols HC3": (_model, TABLE, "csv", "y", {"cov_type": "HC3"}),
    "ols fixed": (
        _model,
        TABLE,
        "csv",
        "y",
        {"cov_type": "fixed scale", "cov_kwds": {"scale": 2.0}},
    ),
    "ols HAC": (_model, TABLE, "csv", "y", {"cov_type": "HAC", "cov_kwds": {"maxlags": 3}}),
    "ols cluster": (
        _model,
        TABLE,
        "csv",
        "y",
        {"cov_type": "cluster", "cov_kwds": {"groups": "g"}},
    ),
    "ols two ways": (
        *(_model, TABLE, "csv", "y"),
        {"cov_type": "cluster", "cov_kwds": {"groups": ["g", "h"]}},
    ),
    "wls": (_model, TABLE, "csv", "y", {"weights": "w"}),
    "wls HC0 in memory": (_model, TABLE, None, "y", {"weights": "w", "cov_type": "HC0"}),
    "drop": (_model, GAPS, "csv", "y", {"missing": "drop"}),
    "drop parquet, weighted": (_model, GAPS, "parquet", "y", {"missing": "drop", "weights": "w"}),
    "drop groups": (
        *(_model, GAPS, "csv", "y"),
        {"missing": "drop", "cov_type": "cluster", "cov_kwds": {"groups": "h"}},
    ),
    "where": (
        *(_model, TABLE, "csv", "y"),
        {"where": "g >= 3 AND NOT (h = 'it''s' OR 9 < g) AND k IN (0, 1, 2) AND w IS NOT NULL"},
    ),
    "where not": (
        *(_model, GAPS, "parquet", "y"),
        {
            "where": "NOT a BETWEEN -0.1 AND 0.1 AND h <> 'south' AND NOT g IN (1, 2)",
            "missing": "drop",
        },
    ),
    "scaled": (
        *(_model, TABLE, "csv", "y"),
        {
            "scaler": {"mean": [1.0, 99.0], "scale": [2.0, 0.3]},
            "target_scaler": {"mean": 1.0, "scale": 3.0},
        },
    ),
    "logit": (LOGIT, TABLE, "csv", "p", {}),
    "logit without intercept": (lambda: LOGIT(None), TABLE, "csv", "p", {}),
    "logit words": (LOGIT, TABLE, "csv", "yes", {}),
    "logit truth": (LOGIT, TABLE.assign(p=TABLE["p"] == 1), "csv", "p", {}),
    "truth parquet": (_model, TABLE.assign(a=TABLE["a"] > 0), "parquet", "y", {}),
    "logit other numbers": (LOGIT, TABLE.assign(p=TABLE["p"] + 4), "csv", "p", {}),
    "logit words missing": (
        *(LOGIT, TABLE.assign(yes=TABLE["yes"].where(TABLE["k"] > 0)), "csv", "yes"),
        {"missing": "drop"},
    ),
    "polars": (_model, pl.DataFrame(TABLE), None, "y", {}),
    "logit evaluation": (LOGIT, TABLE, "csv", "p", {"training_data": False}),
    "logit HC0": (LOGIT, TABLE, "csv", "p", {"cov_type": "HC0"}),
    "logit cluster": (
        LOGIT,
        TABLE,
        "csv",
        "p",
        {"cov_type": "cluster", "cov_kwds": {"groups": "g"}},
    ),
    "probit": (lambda: _model(link="probit", family="binomial"), TABLE, "csv", "p", {}),
    "mnlogit": (SOFTMAX, TABLE, "csv", "k", {}),
    "mnlogit words": (SOFTMAX, TABLE, "csv", "colour", {}),
    "mnlogit words parquet": (SOFTMAX, TABLE, "parquet", "colour", {"cov_type": "HC0"}),
    "poisson": (*(lambda: _model([[0.3, -0.05]], 5.0, "log", "poisson"), TABLE, "csv", "n", {}),),
    "poisson cluster": (
        *(lambda: _model([[0.3, -0.05]], 5.0, "log", "poisson"), TABLE, "csv", "n"),
        {"cov_type": "cluster", "cov_kwds": {"groups": "h"}},
    ),
    "quantile": (_model, TABLE, "csv", "y", {"family": "quantile:0.3"}),
    "quantile iid": (_model, TABLE, "csv", "y", {"family": "quantile", "cov_type": "iid"}),
    "huber": (_model, TABLE, "csv", "y", {"family": "huber:1.2"}),
    "huber H2": (_model, TABLE, "csv", "y", {"family": "huber:0.8", "cov_type": "H2"}),
    "hostile": (hostile.model, hostile.table(), "parquet", hostile.OUTPUT, {}),
    "longley": (FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "", "TOTEMP", {}),
    "spector": (FIXTURES / "spector_logistic.keras", FIXTURES / "spector.parquet", "", "GRADE", {}),
    "words": (
        *(FIXTURES / "marriages.keras", FIXTURES / "marriages.csv", "", "rate_marriage"),
        {"base": {"occupation": "teacher"}},
    ),
}
for _name in ("codes", "words", "masked words", "numbers", "one or other", "bins"):
    _levels, _values = coded.LEVELS[_name]
    _coded = pd.DataFrame({coded.coded(_levels).columns[0]: _values * 6})
    _coded["z"] = RNG.normal(size=len(_coded))
    _coded["y"] = RNG.normal(size=len(_coded))
    CASES[f"category: {_name}"] = (
        lambda levels=_levels: coded.coded(levels),
        _coded,
        "parquet",
        "y",
        {},
    )


def _saved(table, suffix: str | None, folder: Path):
    if not isinstance(table, pd.DataFrame) or suffix is None:
        return table
    path = folder / f"table.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    elif suffix == "feather":
        table.to_feather(path)
    elif suffix == "de.csv":
        table.to_csv(path, index=False, sep=";", decimal=",")
    else:
        table.to_csv(path, index=False)
    return path


def _timeless(text: str) -> str:
    text = re.sub(r"Date:\s+\w+, \d+ \w+ \d+", "Date:", text)
    return re.sub(r"Time:\s+\d+:\d+:\d+", "Time:", text)


_RUN = """
import contextlib, io, json, runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "converter":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
found = {}
for name, argv in json.load(sys.stdin).items():
    sys.argv = argv
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            runpy.run_path(argv[0], run_name="__main__")
    found[name] = [out.getvalue(), err.getvalue()]
assert not any(one.partition(".")[0] == "converter" for one in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what each script prints, and what it should."""
    import json

    jobs, expected = {}, {}
    for name, (model, table, suffix, target, more) in CASES.items():
        folder = tmp_path_factory.mktemp("script")
        data = _saved(table, suffix, folder)
        made = converter.convert(model() if callable(model) else model, data, target, **more)
        made.export(folder / "m.py")
        argv = [str(folder / "m.py")]
        if suffix is None:
            argv.append(str(_saved(pd.DataFrame(TABLE), "csv", folder)))
        jobs[name] = argv
        expected[name] = str(made.results.summary())
    done = subprocess.run(
        [sys.executable, "-c", _RUN], input=json.dumps(jobs), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {name: (*found[name], expected[name]) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_it_prints_the_summary(printed, name):
    out, err, expected = printed[name]
    assert _timeless(out) == _timeless(expected) + "\n"
    assert "Network weights" in out
    assert err == ""


def test_the_coefficients_are_exact(tmp_path):
    made = converter.convert(FIXTURES / "longley_linear.keras", FIXTURES / "longley.csv", "TOTEMP")
    made.export(tmp_path / "m.py")
    known: dict = {"__name__": "read"}
    exec((tmp_path / "m.py").read_text(), known)
    assert list(known["COEFFICIENTS"]) == list(made.results.params.index)
    assert known["PARAMS"].tolist() == made.results.params.tolist()


def test_it_says_which_table_it_wants(tmp_path):
    made = converter.convert(_model(), TABLE, "y")
    made.export(tmp_path / "m.py")
    command = [sys.executable, tmp_path / "m.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "which table? python FILE.py TABLE\n"
    TABLE[:50].to_parquet(tmp_path / "t.parquet")
    done = subprocess.run([*command, tmp_path / "t.parquet"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == f"the table has 50 rows; it had {ROWS}\n"
    assert "No. Observations:                  50" in done.stdout


def _run_on(script: Path, *argv: Path, cwd: Path | None = None) -> tuple[int, str, str]:
    command = [sys.executable, script, *argv]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("words alone", ["never seen"], "holds 'never seen', which the network does not know"),
        ("words alone", [None], "has a missing value"),
        ("words", [None], "has a missing value"),
        ("codes", [4.0, 1.5], "holds 4.0, which"),
        ("numbers", [2.5], "holds 2.5, which"),
        ("one or other", [2.0**25], "holds 33554432.0, which"),
        ("bins", [np.nan], "has a missing value"),
    ],
)
def test_a_level_that_the_network_does_not_know(tmp_path, name, values, words):
    levels, known = coded.LEVELS[name]
    table = pd.DataFrame({"c": known * 6})
    table["z"], table["y"] = RNG.normal(size=(2, len(table)))
    data = _saved(table, "parquet", tmp_path)
    converter.convert(coded.coded(levels, name="c"), data, "y").export(tmp_path / "m.py")
    text = isinstance(known[0], str)
    table["c"] = table["c"].astype(object if text else float)
    table.loc[3 : 2 + len(values), "c"] = values
    table.to_parquet(tmp_path / "other.parquet")
    found = _run_on(tmp_path / "m.py", tmp_path / "other.parquet")
    assert found[:2] == (1, "")
    assert found[2].startswith(f"the column 'c' {words}")
    assert found[2].count("\n") == 1


def test_a_table_that_has_other_levels_by_now(tmp_path):
    levels, known = coded.LEVELS["words alone"]
    table = pd.DataFrame({"c": known * 6})
    table["z"], table["y"] = RNG.normal(size=(2, len(table)))
    data = _saved(table, "parquet", tmp_path)
    made = converter.convert(coded.coded(levels, name="c"), data, "y")
    _saved(table.replace({"c": {known[0]: "never seen"}}), "parquet", tmp_path)
    with pytest.raises(ValueError, match="'never seen', which the network does not know"):
        made.export(tmp_path / "m.py")


@pytest.mark.parametrize("missing", ["raise", "drop"])
def test_a_class_that_the_network_does_not_know(tmp_path, missing):
    made = converter.convert(LOGIT(), _saved(TABLE, "csv", tmp_path), "yes", missing=missing)
    made.export(tmp_path / "m.py")
    other = TABLE.assign(yes=["perhaps", *TABLE["yes"][1:]])
    other.to_csv(tmp_path / "other.csv", index=False)
    found = _run_on(tmp_path / "m.py", tmp_path / "other.csv")
    assert found == (1, "", "the column 'yes' holds 'perhaps', which the network does not know\n")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_truth_values_that_were_in_memory(tmp_path, suffix):
    table = TABLE.assign(a=TABLE["a"] > 0, p=TABLE["p"] == 1)
    made = converter.convert(LOGIT(), table, "p")
    made.export(tmp_path / "m.py")
    code, out, err = _run_on(tmp_path / "m.py", _saved(table, suffix, tmp_path))
    assert (code, err) == (0, "")
    assert _timeless(out) == _timeless(str(made.results.summary())) + "\n"


def test_words_among_numbers(tmp_path):
    converter.convert(_model(), _saved(TABLE, "csv", tmp_path), "y").export(tmp_path / "m.py")
    TABLE.assign(a=["many", *TABLE["a"][1:]]).to_csv(tmp_path / "other.csv", index=False)
    code, out, err = _run_on(tmp_path / "m.py", tmp_path / "other.csv")
    assert (code, out) == (1, "")
    assert (
        err == "the column 'a' does not hold numbers: could not convert string to float: 'many'\n"
    )


def test_a_table_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _saved(TABLE, "csv", Path())
    made = converter.convert(_model(), path, "y")
    made.export("m.py")
    (tmp_path / "elsewhere").mkdir()
    found = _run_on(tmp_path / "m.py", cwd=tmp_path / "elsewhere")
    assert found == (1, "", "table.csv is not there (from this folder): python FILE.py TABLE\n")
    assert _run_on(tmp_path / "m.py", Path("../table.csv"), cwd=tmp_path / "elsewhere")[0] == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"target": TABLE["y"].to_numpy()}, "the target was given as values"),
        ({"weights": TABLE["w"].to_numpy()}, "the weights was given as values"),
        (
            {"data": TABLE[["a", "b", "y"]].to_numpy(), "target": 2},
            "an array without columns' names",
        ),
        ({"where": "h > 'm'"}, "words or dates by their order"),
        ({"data": TABLE.assign(c=TABLE["a"]), "wide": True}, "the columns depend on each other"),
        ({"memory": 0}, "streamed past"),
        (
            {"cov_type": "hac-panel", "cov_kwds": {"groups": "g", "maxlags": 2}},
            "numbers its times in its own way",
        ),
    ],
)
def test_refusals(tmp_path, more, words):
    given = {"data": TABLE, "target": "y"} | more
    model = _model()
    if given.pop("wide", False):
        model = affine([[0.7, -0.15, 0.1]], 15.0, names=("a", "b", "c"))
    if "memory" in given:
        given["data"] = _saved(TABLE, "parquet", tmp_path)
    made = converter.convert(model, **given)
    with pytest.raises(ValueError, match=words):
        made.export(tmp_path / "m.py")
    assert not (tmp_path / "m.py").exists()


def test_a_restricted_regression(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    x, y = (
        helper.make_tensor_value_info(n, TensorProto.DOUBLE, ["n", k])
        for n, k in (("x", 2), ("y", 1))
    )
    constants = [
        helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        helper.make_tensor("slope", TensorProto.DOUBLE, [1, 1], [0.7]),
        helper.make_tensor("level", TensorProto.DOUBLE, [1], [0.3]),
    ]
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["some"], axis=1),
        helper.make_node("Gemm", ["some", "slope", "level"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx"
    )
    asked = (tmp_path / "m.onnx", TABLE[["a", "b", "y"]], "y")
    converter.convert(*asked).export(tmp_path / "m.py")
    with pytest.raises(ValueError, match="a restricted regression"):
        converter.convert(*asked, restricted=True).export(tmp_path / "no.py")


def test_a_table_that_changed(tmp_path):
    network = FIXTURES / "longley_linear.keras"
    data = _saved(pd.read_csv(FIXTURES / "longley.csv"), "csv", tmp_path)
    made = converter.convert(network, data, "TOTEMP")
    _saved(pd.read_csv(data).iloc[::-1], "csv", tmp_path)
    with pytest.raises(ValueError, match="does not hold the rows any more"):
        made.export(tmp_path / "m.py")
    data.unlink()
    with pytest.raises(ValueError, match="cannot be read any more"):
        made.export(tmp_path / "m.py")
