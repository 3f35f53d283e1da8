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
from converter.reports.anatomy import anatomy, digest_of
from converter.reports.diagnostics import wilson
from converter.reports.lanes import rows_of

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
    assert keys == sorted(str(tmp_path / f"{place}.onnx") for place in range(30))


def test_what_is_no_ledger_is_refused(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("CREATE TABLE t (x)")
    with pytest.raises(converter.DataError, match="is no ledger"):
        converter.report(tmp_path / "other.sqlite", path=tmp_path / "r")
    assert not (tmp_path / "r").exists()


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
