"""A report says what was found, of every kind of model, and holds nothing that acts."""

from __future__ import annotations

import hashlib
import re

import hostile
import numpy as np
import onnx
import pytest
from conftest import FIXTURES
from onnx import TensorProto, helper, numpy_helper
from pages import read

import converter
from converter.reports.anatomy import anatomy
from converter.reports.diagnostics import wilson
from converter.reports.lanes import rows_of
from converter.reports.stored import digest_of

DATA, RELU = FIXTURES / "diabetes.csv", FIXTURES / "diabetes_relu.onnx"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The report of a linear network that was stopped early, and its conversion."""
    path = tmp_path_factory.mktemp("report") / "stopped.html"
    model = FIXTURES / "diabetes_stopped.keras"
    made = converter.report(model, DATA, "progression", path=path, command="converter report ...")
    return made, read(path), converter.convert(model, DATA, "progression")


def test_the_report_of_a_regression_has_what_the_conversion_says(stopped):
    made, page, conversion = stopped
    assert made.accepted
    assert made.verdict == "This network is a linear regression."
    assert conversion.verdict_sentence in page.text
    compared = page.tables["Network against optimum"]
    tidy = conversion.tidy()
    assert [row[0] for row in compared[1:]] == list(tidy.term)
    for column, name in ((1, "estimate"), (2, "optimum"), (4, "drift")):
        found = [float(row[column]) for row in compared[1:]]
        np.testing.assert_allclose(found, tidy[name], rtol=6e-3)
    tests = dict(page.tables["Test of optimality"])
    assert tests["Verdict"] == "not at the optimum"
    assert float(tests["F (11, 431)"]) == pytest.approx(conversion.optimality.statistic, rel=1e-4)


def test_statsmodels_tables_are_tables(stopped):
    _, page, conversion = stopped
    shown = page.tables["OLS Regression Results"]
    pairs = {row[i]: row[i + 1] for row in shown for i in (0, 2) if row[i]}
    assert pairs["Dep. Variable:"] == "progression"
    assert float(pairs["R-squared:"]) == pytest.approx(conversion.results.rsquared, abs=6e-4)
    assert pairs["Method:"] == "Network weights"
    coefficients = page.tables["Coefficients"]
    assert coefficients[0][1:] == ["coef", "std err", "t", "P>|t|", "[0.025", "0.975]"]
    bse = [float(row[2]) for row in coefficients[1:]]
    np.testing.assert_allclose(bse, conversion.results.bse, atol=6e-4)
    pairs = {row[i]: row[i + 1] for row in page.tables["Tests"] for i in (0, 2)}
    assert float(pairs["Durbin-Watson:"]) == pytest.approx(2.002, abs=1e-3)


def test_the_report_names_where_every_number_comes_from(stopped):
    _, page, _ = stopped
    facts = dict(page.tables["Files, and what read them"])
    model, data = FIXTURES / "diabetes_stopped.keras", FIXTURES / "diabetes.csv"
    assert facts["Model's SHA-256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert facts["Data's SHA-256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert facts["Command"] == "converter report ..."
    assert facts["Target"] == "progression"
    assert dict(page.tables["Versions"])["converter"] == converter.__version__
    weights = page.tables["Weights and constants of the file"]
    assert {"output/kernel", "output/bias"} <= {row[0] for row in weights}
    assert all(re.fullmatch("[0-9a-f]{64}", row[3]) for row in weights[1:])


def test_the_report_has_its_plots_with_words_for_them(stopped):
    _, page, _ = stopped
    labels = [one.get("aria-label", "") for one in page.all("div") if one.get("role") == "img"]
    starts = [label.split(".")[0] for label in labels]
    assert starts == [
        "Coefficients, network against optimum",
        "Drift",
        "Residuals against fitted values",
        "Normal Q-Q plot of the residuals",
    ]
    assert "of s5" in labels[1]


def test_identifiers_are_unique_and_links_lead_somewhere(stopped):
    _, page, _ = stopped
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {one["href"] for tag in ("a", "use") for one in page.all(tag)}
    assert targets
    assert targets <= {f"#{one}" for one in ids}


def test_a_logistic_regression_has_a_calibration_plot(tmp_path):
    path = tmp_path / "l.html"
    made = converter.report(
        FIXTURES / "spector_logistic.keras", FIXTURES / "spector.csv", "GRADE", path=path
    )
    page = read(path)
    assert made.verdict == "This network is a logistic regression."
    labels = [one.get("aria-label", "") for one in page.all("div") if one.get("role") == "img"]
    (calibration,) = [label for label in labels if label.startswith("Calibration")]
    assert "of 4 intervals" in calibration  # 32 rows, 8 in each group


def test_a_refused_model_has_every_finding_and_where_it_is(tmp_path):
    path = tmp_path / "r.html"
    made = converter.report(RELU, path=path)
    page = read(path)
    assert not made.accepted
    assert page.tables["What keeps it from being a regression"][1] == [
        "hidden/relu",
        "Relu",
        "a non-linear activation of a value that depends on the input",
    ]
    network = page.tables["The network as it was seen, from its inputs (top) to its outputs"]
    kinds = {row[1].split()[0]: row[2].strip() for row in network[1:]}
    assert kinds["hidden"].startswith("affine")
    assert kinds["hidden/relu"].startswith("not affine")
    assert kinds["output"].startswith("computed from what is not affine")
    assert "Not measured" in page.text
    assert "Test of optimality" not in page.tables


def test_a_refused_model_is_approximated_when_it_may_be_run(tmp_path):
    import onnxruntime
    import pandas as pd

    path = tmp_path / "r.html"
    converter.report(RELU, DATA, "progression", path=path, verify=True)
    page = read(path)
    assert "An approximation, and not an equivalent model." in page.text
    (name,) = [one for one in page.tables if one.startswith("Best affine approximation")]
    shown = dict(page.tables[name])
    table = pd.read_csv(DATA).drop(columns="progression")
    X = table.to_numpy(float)
    session = onnxruntime.InferenceSession(str(RELU))
    found = session.run(None, {session.get_inputs()[0].name: X})[0].ravel()
    design = np.column_stack([np.ones(len(X)), X])
    beta = np.linalg.lstsq(design, found, rcond=None)[0]
    left = found - design @ beta
    r2 = 1 - left @ left / ((found - found.mean()) ** 2).sum()
    assert float(shown["R2 of the approximation"]) == pytest.approx(r2, rel=1e-5)
    assert float(shown["Largest difference from the network"]) == pytest.approx(
        np.abs(left).max(), rel=1e-3
    )
    (title,) = [one for one in page.tables if one.startswith("Approximation of")]
    terms = {row[0]: float(row[1]) for row in page.tables[title][1:]}
    np.testing.assert_allclose(list(terms.values()), beta, rtol=1e-6)


def test_without_data_the_folded_coefficients_are_shown_exactly(tmp_path):
    path = tmp_path / "f.html"
    converter.report(FIXTURES / "longley_linear.onnx", path=path, verify=True)
    page, model = read(path), converter.fold(FIXTURES / "longley_linear.onnx")
    rows = page.tables["gaussian, link identity"][1:]
    assert [float(row[1]) for row in rows] == [*model.intercept, *model.coef[0]]
    evidence = dict(page.tables["Folded model against the network's own runtime"])
    assert evidence["Verdict"].strip() == "they agree"
    assert float(evidence["Largest difference"]) <= float(evidence["Rounding may make there"])


def test_a_scaler_is_folded_into_what_a_report_shows(tmp_path):
    model = FIXTURES / "longley_linear.onnx"
    scaler = {"mean": [1.0] * 6, "scale": [2.0] * 6}
    converter.report(model, path=tmp_path / "f.html", scaler=scaler)
    rows = read(tmp_path / "f.html").tables["gaussian, link identity"][1:]
    expected = converter.fold(model, scaler=scaler)
    assert [float(row[1]) for row in rows[1:]] == expected.coef[0].tolist()


def test_the_verdict_names_the_regression_that_was_asked_for(tmp_path):
    made = converter.report(
        FIXTURES / "diabetes_deep.onnx",
        DATA,
        "progression",
        family="quantile:0.5",
        path=tmp_path / "q.html",
    )
    assert made.verdict == "This network is a quantile regression."
    assert "QuantReg Regression Results" in read(tmp_path / "q.html").tables


def test_the_report_says_how_the_table_was_read(tmp_path):
    import pandas as pd

    frame = pd.read_csv(FIXTURES / "longley.csv")
    names = [one for one in frame.columns if one != "TOTEMP"]
    scaler = {"mean": [1.5] * 6, "scale": [2.0, 2, 2, 2, 2, 4]}
    both = {"inputs": scaler, "target": {"mean": 3.0, "scale": 5.0}}
    made = converter.convert(
        FIXTURES / "longley_linear.onnx", frame, "TOTEMP", scaler=both, cov_type="HC1"
    )
    made.report(tmp_path / "s.html")
    page = read(tmp_path / "s.html")
    caption = "Columns of the table, and the network's inputs that they were taken for"
    assert [row[1] for row in page.tables[caption][1:]] == names
    caption = "What was taken off each column before training, and what it was divided by"
    assert page.tables[caption][1] == [names[0], "1.5", "2.0"]
    assert page.tables[caption][-1] == ["TOTEMP", "3.0", "5.0"]
    facts = dict(page.tables["Files, and what read them"])
    assert facts["Data"] == "pandas DataFrame in memory"
    assert facts["Argument cov_type"] == "HC1"
    assert "mean: 1.5, 1.5" in facts["Argument scaler"]
    exact = page.tables["gaussian, link identity"]
    assert [float(row[1]) for row in exact[1:]] == [
        *made.model.intercept.tolist(),
        *made.model.coef[0].tolist(),
    ]
    assert [row[0] for row in exact[2:]] == names


def test_away_from_the_optimum_the_refit_is_shown(stopped, tmp_path):
    _, page, conversion = stopped
    shown = page.tables["Coefficients at the optimum"]
    bse = [float(row[2]) for row in shown[1:]]
    np.testing.assert_allclose(bse, conversion.refit.bse, atol=6e-4)
    converter.report(FIXTURES / "diabetes_deep.onnx", DATA, "progression", path=tmp_path / "o.html")
    assert "Coefficients at the optimum" not in read(tmp_path / "o.html").tables


def test_each_class_has_a_table_of_its_own(tmp_path):
    from models import affine

    rng = np.random.default_rng(4)
    x = rng.normal(size=120)
    model = affine(
        rng.normal(size=(3, 1)), np.zeros(3), link="softmax", family="multinomial", groups=(0, 0, 0)
    )
    words = np.array(["bus", "car", "train"])
    made = converter.convert(model, {"x": x, "y": words[rng.integers(3, size=120)]}, "y")
    made.report(tmp_path / "m.html")
    page = read(tmp_path / "m.html")
    for word in ("car", "train"):
        table = page.tables[f"Coefficients of y={word}"]
        assert [row[0] for row in table[1:]] == ["const", "x"]


def test_a_report_is_called_what_it_is(tmp_path, ledger):
    with pytest.raises(ValueError, match=r"let the file's name end in \.html"):
        converter.report(RELU, path=tmp_path / "r.pdf")
    with pytest.raises(ValueError, match="name a folder"):
        converter.report(ledger[0] / "l.sqlite", path=tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_caveats_are_explained(tmp_path):
    path = tmp_path / "c.html"
    conversion = converter.convert(FIXTURES / "diabetes_l2.keras", DATA, "progression")
    conversion.report(path)
    page = read(path)
    topics = [caveat.topic for caveat in conversion.caveats]
    assert topics
    for caveat in conversion.caveats:
        assert re.sub(r"\s+", " ", str(caveat)) in page.text
        assert f"What this means, and what to do ({caveat.topic})" in page.text
    assert "L1 and L2 penalties move the minimum towards zero." in page.text


def test_several_outputs_have_a_section_each(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w0"], ["price"]),
            helper.make_node("Gemm", ["x", "w1"], ["eta"]),
            helper.make_node("Sigmoid", ["eta"], ["sold"]),
        ],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 2])],
        [
            helper.make_tensor_value_info("price", TensorProto.DOUBLE, [None, 1]),
            helper.make_tensor_value_info("sold", TensorProto.DOUBLE, [None, 1]),
        ],
        [
            numpy_helper.from_array(np.array([[1.0], [2.0]]), "w0"),
            numpy_helper.from_array(np.array([[0.5], [-0.5]]), "w1"),
        ],
    )
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    table = {
        "a": X[:, 0],
        "b": X[:, 1],
        "p": X @ [1.0, 2.0] + rng.normal(size=60),
        "s": (rng.uniform(size=60) < 0.5).astype(float),
    }
    made = converter.convert(path, table, ["p", "s"])
    made.report(tmp_path / "two.html")
    page = read(tmp_path / "two.html")
    assert "This network is a linear regression and a logistic regression." in page.text
    assert {"The regression of price", "The regression of sold"} <= {
        text.strip() for text in page.words
    }
    assert "dict in memory" in dict(page.tables["Files, and what read them"])["Data"]
    # Each output's weights are its own.
    origins = [text for text in page.words if "operations," in text]
    assert len(origins) == 2
    assert " ".join(origins).count(" 1 arrays, 2 numbers") == 2


def test_streamed_rows_are_plotted_from_a_sample(tmp_path):
    made = converter.convert(
        FIXTURES / "diabetes_deep.keras", FIXTURES / "diabetes.parquet", "progression", memory=0
    )
    assert made.passes
    made.report(tmp_path / "s.html")
    page = read(tmp_path / "s.html")
    labels = [one.get("aria-label", "") for one in page.all("div") if one.get("role") == "img"]
    assert [label.split(".")[0] for label in labels][2:] == [
        "Residuals against fitted values",
        "Normal Q-Q plot of the residuals",
    ]


def test_a_conversion_without_its_file_has_a_report(tmp_path):
    conversion = hostile.conversion()
    conversion.report(tmp_path / "h.html")
    text = (tmp_path / "h.html").read_text()
    page = read(tmp_path / "h.html")
    assert "This network is a linear regression." in page.text
    assert "</script><b>" not in text
    assert [row[0] for row in page.tables["Network against optimum"][1:]] == [
        "const",
        *(name.replace("\n", "\\n") for name in hostile.NAMES),
    ]
    with pytest.raises(ValueError, match="no file to run"):
        conversion.report(tmp_path / "h.html", verify=True)


EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def evil_network(path, activation: str):
    """Save a network whose every name would like to be a script."""
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", [EVIL, "w" + EVIL], ["h"], name="a" + EVIL),
            helper.make_node(activation, ["h"], ["y" + EVIL], name="b" + EVIL),
        ],
        "evil",
        [helper.make_tensor_value_info(EVIL, TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("y" + EVIL, TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array([[1.0], [2.0]]), "w" + EVIL)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.producer_name = EVIL
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("activation", ["Sigmoid", "Relu"])
def test_names_of_a_hostile_file_stay_text(tmp_path, activation):
    model = evil_network(tmp_path / "<b>x.onnx", activation)
    converter.report(model, path=tmp_path / "e.html", command=EVIL)
    page = read(tmp_path / "e.html")
    assert not page.all("script")
    assert not page.all("img")
    assert not [name for _, one in page.elements for name in one if name.startswith("on")]
    assert EVIL in page.text
    html = converter.inspect(model)._repr_html_()
    assert "<script" not in html
    assert "<img" not in html


def test_a_page_forbids_what_it_does_not_need(stopped):
    _, page, _ = stopped
    (policy,) = [
        one["content"]
        for one in page.all("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert not page.all("script")
    loaded = [one.get("src") or one.get("href") for tag in ("link", "img") for one in page.all(tag)]
    assert loaded == ["data:,"]


def test_a_report_is_whole_or_not_there(tmp_path):
    path = tmp_path / "x.html"
    path.write_text("before")
    with pytest.raises(converter.DataError):
        converter.report(FIXTURES / "longley_linear.keras", DATA, "progression", path=path)
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["x.html"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"data": DATA}, "belong together"),
        ({"family": "poisson"}, "only of use with data"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        converter.report(FIXTURES / "longley_linear.keras", path=tmp_path / "x.html", **arguments)


# A ledger ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A batch of models that are regressions, are not, and fail; and the report of it."""
    folder = tmp_path_factory.mktemp("ledger")
    for name in ("diabetes_stopped.onnx", "diabetes_deep.onnx", "diabetes_relu.onnx"):
        (folder / name).write_bytes((FIXTURES / name).read_bytes())
    (folder / "broken.onnx").write_bytes(b"nothing")
    evil_network(folder / f"{EVIL.replace('/', '')}.onnx", "Relu")
    batch = converter.batch(folder, DATA, "progression", ledger=folder / "l.sqlite", workers=0)
    made = batch.report(folder / "report")
    return folder, made


def test_a_ledger_has_an_index_and_a_page_for_each_model(ledger):
    folder, made = ledger
    assert made.pages == 6
    assert not made.accepted
    assert "5 models: 2 regressions, 2 rejected, 1 failed" in made.verdict
    index = read(made.path)
    (rows,) = [t for name, t in index.tables.items() if name.startswith("One row a model")]
    assert len(rows) == 6
    pages = [one["href"] for one in index.all("a") if one["href"].startswith("models/")]
    assert len(pages) == 5
    for page in pages:
        assert (folder / "report" / page).exists()
    assert len(index.all("script")) == 1


def test_the_index_script_is_the_one_that_its_policy_allows(ledger):
    import base64

    text = ledger[1].path.read_text()
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text.replace("&#39;", "'")


def test_the_page_of_a_model_says_what_the_ledger_has(ledger):
    folder, _ = ledger
    pages = {}
    for path in sorted((folder / "report" / "models").iterdir()):
        page = read(path)
        pages[dict(page.tables["The model"])["Key"].rsplit("/", 1)[-1]] = page
    stopped = pages["diabetes_stopped.onnx"]
    conversion = converter.convert(FIXTURES / "diabetes_stopped.onnx", DATA, "progression")
    shown = stopped.tables["Network against optimum"][1:]
    np.testing.assert_allclose(
        [float(row[2]) for row in shown], conversion.tidy().optimum, rtol=1e-5
    )
    assert conversion.verdict_sentence in stopped.text
    assert "The network as it was seen, from its inputs (top) to its outputs" in stopped.tables
    assert pages["diabetes_relu.onnx"].tables["What keeps it from being a regression"][1][1] == (
        "Relu"
    )
    assert "Nothing was found out" in pages["broken.onnx"].text


def test_a_model_that_changed_since_is_not_drawn(ledger):
    folder, _ = ledger
    model = folder / "diabetes_deep.onnx"
    before = model.read_bytes()
    try:
        model.write_bytes((FIXTURES / "diabetes_stopped.onnx").read_bytes())
        made = converter.report(folder / "l.sqlite", path=folder / "again")
    finally:
        model.write_bytes(before)
    pages = [read(one) for one in sorted((made.path.parent / "models").iterdir())]
    (page,) = [p for p in pages if dict(p.tables["The model"])["Key"].endswith("_deep.onnx")]
    assert "The file has changed since" in page.text
    assert "The network as it was seen, from its inputs (top) to its outputs" not in page.tables


def test_many_models_are_reported_by_processes(tmp_path):
    for place in range(30):
        (tmp_path / f"{place}.onnx").write_bytes((FIXTURES / "longley_linear.onnx").read_bytes())
    batch = converter.batch(tmp_path, ledger=tmp_path / "l.sqlite", workers=0)
    made = batch.report(tmp_path / "report")
    assert made.pages == 31
    assert made.accepted
    pages = [read(one) for one in sorted((tmp_path / "report" / "models").iterdir())]
    keys = [dict(page.tables["The model"])["Key"] for page in pages]
    assert sorted(keys) == sorted(str(tmp_path / f"{place}.onnx") for place in range(30))


def test_what_is_no_ledger_is_refused(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(converter.DataError, match="is no ledger"):
        converter.report(tmp_path / "other.sqlite", path=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_model_keeps_its_page_and_pages_of_others_go(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.onnx").write_bytes((FIXTURES / "longley_linear.onnx").read_bytes())
    batch = converter.batch(tmp_path / "*.onnx", ledger=tmp_path / "l.sqlite", workers=0)
    batch.report(tmp_path / "report")
    (tmp_path / "report" / "models" / "notes.html").write_text("mine")
    before = {one.name for one in (tmp_path / "report" / "models").iterdir()}
    assert len(before) == 3
    again = converter.batch(tmp_path / "b.onnx", ledger=tmp_path / "m.sqlite", workers=0)
    again.report(tmp_path / "report")
    after = {one.name for one in (tmp_path / "report" / "models").iterdir()}
    assert len(after) == 2
    assert after < before
    assert "notes.html" in after


def test_an_index_of_somebody_else_is_left_alone(ledger, tmp_path):
    (tmp_path / "index.html").write_text("<p>mine</p>")
    with pytest.raises(converter.DataError, match="no index that converter wrote"):
        converter.report(ledger[0] / "l.sqlite", path=tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("findings", one) for one in ("3", "null", '"x"', "[1]", '[{"a": 1}]', "{", "[" * 9999)),
        *(("options", one) for one in ("[]", "3", '"x"', "{")),
        *(("labels", one) for one in ("[]", "null", "{")),
        *(("nobs", one) for one in ("many", b"\xff")),
        ("status", "well"),
        ("status", b"\xff\xfe"),
        ("seconds", "soon"),
        ("sha256", b"abc"),
    ],
)
def test_a_damaged_record_costs_its_own_page_alone(ledger, tmp_path, column, value):
    import shutil
    import sqlite3

    path = tmp_path / "l.sqlite"
    shutil.copy(ledger[0] / "l.sqlite", path)
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE model SET {column} = ? WHERE key LIKE '%diabetes_deep.onnx'", (value,))
    made = converter.report(path, path=tmp_path / "report")
    assert made.pages == 6
    index = read(made.path)
    (rows,) = [t for name, t in index.tables.items() if name.startswith("One row a model")]
    told = next(row for row in rows if row[0].endswith("diabetes_deep.onnx"))
    assert f"{column} holds what no ledger has" in told[-1]
    assert sum("holds what no ledger has" in row[-1] for row in rows) == 1


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("DROP TABLE caveat", "the table caveat lacks columns"),
        ("ALTER TABLE model DROP COLUMN seconds", "the table model lacks columns"),
        (
            "DROP TABLE run; CREATE VIEW run AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT"
            " id + 1 FROM n) SELECT * FROM n",
            "the table run lacks columns",
        ),
        ("PRAGMA user_version = 99", "is a ledger of version 99"),
    ],
)
def test_a_ledger_that_is_no_whole_one_is_refused(ledger, tmp_path, script, sentence):
    import shutil
    import sqlite3

    path = tmp_path / "l.sqlite"
    shutil.copy(ledger[0] / "l.sqlite", path)
    with sqlite3.connect(path) as db:
        db.executescript(script)
    with pytest.raises(converter.DataError, match=sentence):
        converter.report(path, path=tmp_path / "report")


def test_a_ledger_is_only_read(ledger, tmp_path):
    import shutil

    path = tmp_path / "sub" / "l.sqlite"
    path.parent.mkdir()
    shutil.copy(ledger[0] / "l.sqlite", path)
    before = path.read_bytes()
    converter.report(path, path=tmp_path / "report")
    assert path.read_bytes() == before


def test_labels_of_a_manifest_do_not_pass_for_facts(tmp_path):
    (tmp_path / "m.csv").write_text(
        f"model,SHA-256,File\n{FIXTURES / 'longley_linear.onnx'},abc,elsewhere\n"
    )
    batch = converter.batch(tmp_path / "m.csv", ledger=tmp_path / "l.sqlite", workers=0)
    batch.report(tmp_path / "report")
    (path,) = (tmp_path / "report" / "models").iterdir()
    page = read(path)
    facts = [row for row in page.tables["The model"] if row[0] in ("SHA-256", "File")]
    assert len(facts) == 2
    assert dict(page.tables["Labels, as the batch's manifest has them"]) == {
        "SHA-256": "abc",
        "File": "elsewhere",
    }
    index = read(tmp_path / "report" / "index.html")
    (rows,) = [t for name, t in index.tables.items() if name.startswith("One row a model")]
    assert rows[0][-2:] == ["SHA-256", "File"]
    assert rows[1][-2:] == ["abc", "elsewhere"]


# What a conversion's report is about --------------------------------------------------------------


def two_outputs(path):
    """Save a network of an affine output and one that is none."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="well"),
            helper.make_node("Relu", ["a"], ["b"], name="bent"),
        ],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 2])],
        [
            helper.make_tensor_value_info("a", TensorProto.DOUBLE, [None, 1]),
            helper.make_tensor_value_info("b", TensorProto.DOUBLE, [None, 1]),
        ],
        [numpy_helper.from_array(np.array([[1.0], [2.0]]), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def rows_for(path, seed=0, count=50):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 2))
    y = X @ [1.0, 2.0] + rng.normal(size=count)
    np.savetxt(path, np.column_stack([X, y]), delimiter=",", header="p,q,y", comments="")
    return path


@pytest.mark.parametrize("folded", [False, True])
def test_the_report_is_about_the_output_that_was_converted(tmp_path, folded):
    model, data = two_outputs(tmp_path / "two.onnx"), rows_for(tmp_path / "d.csv")
    if folded:
        made = converter.convert(converter.fold(model, output="a"), data, "y")
    else:
        made = converter.convert(model, data, "y", output="a")
    written = made.report(tmp_path / "r.html", verify=True)
    assert written.accepted
    assert written.agrees
    page = read(tmp_path / "r.html")
    assert [row[0] for row in page.tables["Outputs"][1:]] == ["a"]


@pytest.mark.parametrize("change", ["another", "garbage", "folder", "gone"])
def test_a_file_that_changed_is_not_passed_off_as_what_was_converted(tmp_path, change):
    model, data = tmp_path / "m.onnx", rows_for(tmp_path / "d.csv")
    two_outputs(model)
    made = converter.convert(model, data, "y", output="a")
    then = hashlib.sha256(model.read_bytes()).hexdigest()
    model.unlink()
    if change == "another":
        model.write_bytes((FIXTURES / "diabetes_relu.onnx").read_bytes())
    elif change == "garbage":
        model.write_bytes(b"nothing")
    elif change == "folder":
        model.mkdir()
    rows_for(data, seed=1)
    written = made.report(tmp_path / "r.html")
    assert written.accepted
    page = read(tmp_path / "r.html")
    facts = dict(page.tables["Files, and what read them"])
    assert facts["Model's SHA-256 when it was folded"] == then
    assert "Model's SHA-256" not in facts
    assert "has changed since" in facts["Data's file"]
    assert "Data's SHA-256" not in facts
    with pytest.raises(ValueError, match="has changed since it was folded"):
        made.report(tmp_path / "r.html", verify=True)


@pytest.mark.parametrize("which", ["model", "data", "link"])
def test_nothing_is_written_over_what_it_is_made_from(tmp_path, which):
    model, data = two_outputs(tmp_path / "m.onnx"), rows_for(tmp_path / "d.csv")
    (tmp_path / "link.html").symlink_to(model)
    target = {"model": model, "data": data, "link": tmp_path / "link.html"}[which]
    before = model.read_bytes(), data.read_bytes()
    for write in (
        lambda: converter.report(model, data, "y", path=target, output="a"),
        lambda: converter.convert(model, data, "y", output="a").report(target),
        lambda: converter.convert(model, data, "y", output="a").export(target, "csv"),
    ):
        with pytest.raises(ValueError, match="written over what it is made from"):
            write()
    with pytest.raises(ValueError, match="written over what it is made from"):
        converter.fold(model, output="a").export(model, "json")
    assert (model.read_bytes(), data.read_bytes()) == before


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.html").write_text("before")
    (tmp_path / "link.html").symlink_to(tmp_path / "real.html")
    converter.report(RELU, path=tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(OSError, match="Is a directory"):
        converter.report(RELU, path=tmp_path)


@pytest.mark.parametrize(
    ("data", "target", "options", "sentence"),
    [
        ("nowhere.csv", "y", {}, "nowhere.csv"),
        (DATA, "nothing", {}, "has no column 'nothing'"),
        (DATA, "progression", {"famly": "poisson"}, "no argument famly"),
    ],
)
def test_a_refused_model_does_not_excuse_what_is_asked(tmp_path, data, target, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        converter.report(RELU, data, target, path=tmp_path / "r.html", **options)


@pytest.mark.parametrize("target", ["array", "mapping", "list"])
def test_an_approximation_takes_targets_of_every_form(tmp_path, target):
    import pandas as pd

    table = pd.read_csv(DATA)
    given = {
        "array": table.pop("progression").to_numpy() if target == "array" else None,
        "mapping": {"units/offset": "progression"},
        "list": ["progression"],
    }[target]
    converter.report(RELU, table, given, path=tmp_path / "r.html", verify=True)
    page = read(tmp_path / "r.html")
    shown = dict(page.tables["Best affine approximation of units/offset"])
    assert float(shown["R2 of the approximation"]) == pytest.approx(0.856945, abs=1e-6)


def test_many_outputs_share_a_page(tmp_path):
    from models import affine

    rng = np.random.default_rng(0)
    model = affine(rng.normal(size=(45, 2)), np.zeros(45))
    X = rng.normal(size=(30, 2))
    Y = model.predict(X) + rng.normal(size=(30, 45))
    made = converter.convert(model, {"a": X[:, 0], "b": X[:, 1]}, list(Y.T))
    made.report(tmp_path / "m.html")
    page = read(tmp_path / "m.html")
    assert len([one for one in page.all("div") if one.get("role") == "img"]) == 12 * 4
    others = page.tables["Outputs that have no section of their own here"]
    assert [row[0] for row in others[1:]] == [f"y[{place}]" for place in range(40, 45)]
    assert float(others[1][2]) == pytest.approx(made["y[40]"].optimality.max_drift, rel=1e-3)


# What plots say ---------------------------------------------------------------------------------


def calibration(made, path):
    made.report(path)
    labels = [one.get("aria-label", "") for one in read(path).all("div")]
    (text,) = [label for label in labels if label.startswith("Calibration")]
    return re.search(r"of (\d+) intervals (\d+) miss it", text).groups()


def test_rows_that_are_predicted_alike_are_one_group(tmp_path):
    from models import affine

    # A table of two by two, sorted by its outcome, with the network at the optimum.
    x = np.repeat([0.0, 0.0, 1.0, 1.0], [150, 350, 300, 200])
    y = np.repeat([1.0, 0.0, 1.0, 0.0], [150, 350, 300, 200])
    order = np.argsort(y, kind="stable")
    slope = np.log(1.5) - np.log(3 / 7)
    model = affine([slope], np.log(3 / 7), link="logit", family="binomial")
    made = converter.convert(model, {"x": x[order], "y": y[order]}, "y")
    assert calibration(made, tmp_path / "c.html") == ("2", "0")


def test_counts_have_intervals_of_counts(tmp_path):
    from models import affine
    from scipy import stats

    from converter.reports.diagnostics import garwood

    # Halves of quantiles of chi-squared on 2 k and 2 k + 2: of 7 counts 2.814 to 14.423.
    low, high = stats.chi2.ppf(0.025, 14) / 2, stats.chi2.ppf(0.975, 16) / 2
    np.testing.assert_allclose((low, high), (2.814, 14.423), atol=5e-4)
    np.testing.assert_allclose(garwood(7 / 20, 20), (low / 20, high / 20), rtol=1e-12)
    np.testing.assert_allclose(garwood(0.0, 20), (0.0, -np.log(0.025) / 20), rtol=1e-12)
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    y = rng.poisson(np.exp(-4 + 0.5 * x)).astype(float)
    first = converter.convert(
        affine([0.5], -4.0, link="log", family="poisson"), {"x": x, "y": y}, "y"
    )
    intervals, missed = calibration(first, tmp_path / "c.html")
    assert intervals == "10"
    assert int(missed) <= 1


def test_a_sample_of_a_stream_is_no_comb(tmp_path):
    import pandas as pd
    from models import affine

    rng = np.random.default_rng(0)
    count = 50_000
    probability = np.where(np.arange(count) % 2, 0.8, 0.2)
    table = pd.DataFrame({"x": rng.normal(size=count)})
    table["y"] = (rng.random(count) < probability).astype(float)
    table.to_parquet(tmp_path / "d.parquet")
    model = affine([0.0], link="logit", family="binomial")
    made = converter.convert(model, tmp_path / "d.parquet", "y", memory=0)
    assert int(calibration(made, tmp_path / "c.html")[1]) <= 1


def test_weights_are_seen_in_streams_too(tmp_path):
    import pandas as pd
    from models import affine

    rng = np.random.default_rng(1)
    table = pd.DataFrame({"x": rng.normal(size=300), "w": rng.uniform(0.1, 9.0, size=300)})
    table["y"] = 2 * table.x + rng.normal(size=300) / np.sqrt(table.w)
    table.to_parquet(tmp_path / "d.parquet")
    said = []
    for memory in (None, 0):
        made = converter.convert(
            affine([2.0], 0.0), tmp_path / "d.parquet", "y", weights="w", memory=memory
        )
        made.report(tmp_path / "w.html")
        labels = [one.get("aria-label", "") for one in read(tmp_path / "w.html").all("div")]
        said.append([one for one in labels if one.startswith(("Residuals", "Normal"))])
    assert said[0] == said[1]
    assert "square root of their weights" in said[0][0]


def test_residuals_are_described_by_all_of_them(tmp_path):
    from models import affine
    from scipy import stats

    rng = np.random.default_rng(2)
    x = rng.normal(size=6000)
    y = x + rng.standard_t(3, size=6000)
    made = converter.convert(affine([1.0], 0.0), {"x": x, "y": y}, "y")
    made.report(tmp_path / "q.html")
    labels = [one.get("aria-label", "") for one in read(tmp_path / "q.html").all("div")]
    (text,) = [one for one in labels if one.startswith("Normal")]
    left = y - made.model.predict(x[:, None]).ravel()
    skew, excess = re.search(r"Skewness (\S+), excess kurtosis (\S+);", text).groups()
    assert float(skew) == pytest.approx(stats.skew(left), rel=0.06)
    assert float(excess) == pytest.approx(stats.kurtosis(left), rel=0.06)


def test_inflation_is_statsmodels_and_infinite_where_columns_depend():
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    from converter.reports.diagnostics import inflation_of

    rng = np.random.default_rng(5)
    X = rng.normal(size=(200, 3))
    X = np.column_stack([X, X[:, 0] + X[:, 1] + 0.01 * rng.normal(size=200)])
    design = np.column_stack([np.ones(200), X])
    expected = [variance_inflation_factor(design, place) for place in range(1, 5)]
    np.testing.assert_allclose(inflation_of(X - X.mean(axis=0)), expected, rtol=1e-6)
    # Without an intercept: what the inverse of X'X has beside that of its diagonal.
    moved = X + 5.0
    plain = np.diag(np.linalg.inv(moved.T @ moved)) * (moved**2).sum(axis=0)
    np.testing.assert_allclose(inflation_of(moved), plain, rtol=1e-6)
    exact = np.column_stack([X[:, :3], X[:, 0] + X[:, 1]])
    assert np.isinf(inflation_of(exact)[[0, 1, 3]]).all()
    assert np.isfinite(inflation_of(exact)[2])
    nearly = np.column_stack([X[:, :2], X[:, 0] + 1e-8 * X[:, 2]])
    assert inflation_of(nearly)[0] == pytest.approx(1e16, rel=0.5)


NAMES = (' version="', ' xmlns="', 'id="a', "#010206", 'a version="1" b', "url(#x)", 'href="#a')


def test_names_in_a_plot_are_what_they_are(tmp_path):
    from models import affine

    rng = np.random.default_rng(0)
    table = {name: rng.normal(size=40) for name in (*NAMES, "\u65e5\u672c\u8a9e", "$x^2$")}
    table["y"] = rng.normal(size=40)
    names = [name for name in table if name != "y"]
    made = converter.convert(affine(np.ones(len(names)), 0.0, names=names), table, "y")
    made.report(tmp_path / "n.html")
    page = read(tmp_path / "n.html")
    drawn = [word.strip() for word in page.words]
    for name in names:
        # In two plots and two tables.
        assert drawn.count(name.strip()) >= 4, name


# What pages are made of -------------------------------------------------------------------------


def test_a_part_is_drawn_below_what_it_reads():
    parts = anatomy(FIXTURES / "marriages.keras").parts
    rows = rows_of(parts)
    assert [row.place for row in rows] == list(range(len(parts)))
    for row, part in zip(rows, parts, strict=True):
        # Every lane that a part reads ends in its mark, and its own begins there.
        ends = [path for path in row.paths if path.endswith(f"{row.x:g} 50") or "V50" in path]
        assert len(ends) >= bool(part.sources)
        assert 0 < row.x < row.width


def drawn(tmp_path, nodes, constants=(), output="y"):
    """Return what the parts of a network of two inputs are, by name and operation."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info(output, TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    path = tmp_path / "d.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return [(part.name, part.operation, part.kind) for part in anatomy(path).parts[1:-1]]


def test_parts_are_not_told_apart_by_their_names(tmp_path):
    node = helper.make_node
    assert drawn(
        tmp_path,
        [node("MatMul", ["x", "w"], ["h"], name="n"), node("Relu", ["h"], ["y"], name="n")],
        [("w", np.ones((2, 1)))],
    ) == [("n", "MatMul", "affine"), ("n", "Relu", "refused")]
    twins = [
        node("Relu", ["x"], ["a"], name="r"),
        node("Neg", ["x"], ["b"], name="n"),
        node("Relu", ["b"], ["c"], name="r"),
        node("Add", ["a", "c"], ["y"], name="s"),
    ]
    assert [kind for _, _, kind in drawn(tmp_path, twins)] == [
        *("refused", "affine", "refused", "after")
    ]


def test_a_misplaced_link_is_where_a_network_stops_being_affine(tmp_path):
    node = helper.make_node
    found = drawn(
        tmp_path,
        [
            node("Sigmoid", ["x"], ["h"], name="s"),
            node("Neg", ["h"], ["k"], name="n"),
            node("MatMul", ["k", "w"], ["y"], name="m"),
        ],
        [("w", np.ones((2, 1)))],
    )
    assert found == [("s", "Sigmoid", "refused"), ("n", "Neg", "after"), ("m", "MatMul", "after")]


def test_what_a_loop_holds_stands_at_the_loop(tmp_path):
    node = helper.make_node
    body = helper.make_graph(
        [
            node("Identity", ["go"], ["still"], name="keep"),
            node("Relu", ["state"], ["next"], name="first"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.DOUBLE, [None, 2]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.DOUBLE, [None, 2]),
        ],
    )
    found = drawn(
        tmp_path,
        [
            node("Neg", ["x"], ["h"], name="first"),
            node("Loop", ["count", "", "h"], ["y"], name="loop", body=body),
        ],
        [("count", np.array(2))],
    )
    assert found == [("first", "Neg", "affine"), ("loop", "Loop", "refused")]


def test_long_networks_are_shown_in_part(tmp_path):
    nodes = [
        helper.make_node("Identity", [f"e{i}"], [f"e{i + 1}"], name=f"n{i}") for i in range(600)
    ]
    nodes[300] = helper.make_node("Relu", ["e300"], ["e301"], name="n300")
    graph = helper.make_graph(
        nodes,
        "long",
        [helper.make_tensor_value_info("e0", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("e600", TensorProto.DOUBLE, [None, 2])],
    )
    path = tmp_path / "long.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    rows = rows_of(anatomy(path).parts)
    assert sum(row.omitted or 1 for row in rows) == 602
    assert "n300" in [row.part.name for row in rows if row.part]
    assert sum(row.part is None for row in rows) == 2


def test_an_anatomy_tells_kinds_and_digests(tmp_path):
    seen = anatomy(FIXTURES / "spector_logistic_single.onnx")
    assert [part.kind for part in seen.parts] == [
        *("input", "affine", "affine", "affine", "affine", "link", "output")
    ]
    assert seen.parts[3].shapes == ("n \u00d7 3",)
    weights = {one.name: one for part in seen.parts for one in part.stored}
    model = onnx.load(FIXTURES / "spector_logistic_single.onnx")
    for tensor in model.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        assert weights[tensor.name].sha256 == hashlib.sha256(raw).hexdigest()


def test_digests_do_not_depend_on_byte_order_or_layout():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = hashlib.sha256(array.tobytes()).hexdigest()
    assert digest_of(array) == expected
    assert digest_of(array.astype(">f4")) == expected
    assert digest_of(np.asfortranarray(array)) == expected


def test_wilsons_interval():
    # Wilson 1927 as R has it: prop.test(8, 10, correct = FALSE)$conf.int
    np.testing.assert_allclose(wilson(0.8, 10), (0.4901625, 0.9433178), atol=5e-7)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(1.0, 10)[1] == 1.0


def test_every_caveat_has_an_explanation():
    from converter.regression.caveats import TOPICS
    from converter.reports.explanations import explanation_of

    for topic in TOPICS:
        assert explanation_of(topic).startswith("<p>"), topic
