"""Exports as SQL: databases compute what the model does."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace

import coded
import duckdb
import hostile
import numpy as np
import pandas as pd
import pytest
import sqlglot
from conftest import FIXTURES
from models import affine

import converter
from converter.exports.sql import number

DATABASES = ("duckdb", "sqlite")
LINKS = [
    ("identity", "gaussian", 2),
    ("logit", "binomial", 1),
    ("softmax", "multinomial", 4),
    ("log", "poisson", 1),
    ("cloglog", "binomial", 1),
]


def _run(database: str, query: str, table: pd.DataFrame, name: str = "data") -> pd.DataFrame:
    if database == "duckdb":
        with duckdb.connect() as base:
            base.register("given", table)
            quoted = name.replace('"', '""')
            base.execute(f'CREATE TABLE "{quoted}" AS SELECT * FROM given')
            return base.execute(query).df()
    base = sqlite3.connect(":memory:")
    table.to_sql(name, base, index=False)
    return pd.read_sql_query(query, base)


def _query(model, tmp_path, **options) -> str:
    model.export(tmp_path / "m.sql", **options)
    return (tmp_path / "m.sql").read_text(encoding="utf-8")


def _model(link: str, family: str, outputs: int):
    model = hostile.model(link, family, outputs, groups=(0,) * outputs if outputs > 2 else None)
    return replace(model, output_names=tuple(f"p{i}" for i in range(outputs)))


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(("link", "family", "outputs"), LINKS)
def test_databases_predict_the_same(tmp_path, database, link, family, outputs):
    model = _model(link, family, outputs)
    table = hostile.table(rows=200)[list(hostile.NAMES)]
    table.iloc[:100] *= 0.1
    # Far out, where exponentials overflow if they are let to.
    table.iloc[100:110] *= 300.0
    found = _run(database, _query(model, tmp_path), table)
    assert tuple(found.columns[:outputs]) == model.output_names
    assert list(found.columns[-len(hostile.NAMES) :]) == list(hostile.NAMES)
    expected = model.predict(table)
    read = found[list(model.output_names)].to_numpy(dtype=float)
    if link == "log":
        np.testing.assert_array_equal(np.isinf(read), np.isinf(expected))
        assert np.isinf(expected).any()
    else:
        assert np.isfinite(read).all()
    # An error of the predictor is one in proportion to it, and behind a link in proportion to
    # the mean.
    size = (np.abs(table.to_numpy()) @ np.abs(model.coef).T).max(axis=1, keepdims=True)
    scale = np.ones_like(expected) if link == "identity" else np.abs(expected)
    there = np.isfinite(expected)
    allowed = (1e-14 * np.maximum(size, 10.0) * scale + 1e-300)[there]
    assert (np.abs(read[there] - expected[there]) <= allowed).all()


@pytest.mark.parametrize("database", DATABASES)
def test_a_null_makes_the_output_null(tmp_path, database):
    for link, family, outputs in LINKS:
        model = _model(link, family, outputs)
        table = hostile.table(rows=len(hostile.NAMES) + 1)[list(hostile.NAMES)]
        values = table.astype(object)
        for place in range(len(hostile.NAMES)):
            values.iloc[place, place] = None
        values = values.astype("Float64")
        found = _run(database, _query(model, tmp_path), values)
        missing = found[list(model.output_names)].isna().to_numpy()
        assert missing[:-1].all()
        assert not missing[-1].any()


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("name", coded.LEVELS)
def test_categories(tmp_path, database, name):
    levels, values = coded.LEVELS[name]
    model = coded.coded(levels)
    table = pd.DataFrame({model.columns[0]: values, "z": np.linspace(-1.0, 1.0, len(values))})
    found = _run(database, _query(model, tmp_path), table)
    np.testing.assert_allclose(found["y"], model.predict(table)[:, 0], rtol=1e-14)


@pytest.mark.parametrize("database", DATABASES)
def test_what_the_network_does_not_know_is_null(tmp_path, database):
    for levels, values in (
        (coded.LEVELS["codes"][0], [-1.0, 4.0, 1.5, None]),
        (coded.LEVELS["words alone"][0], ["stranger", "It's", None]),
        (coded.LEVELS["words"][0], [None]),
        (coded.LEVELS["numbers"][0], [2.5, 2.0**31, None]),
        (coded.LEVELS["one or other"][0], [2.5, 2.0**25, None]),
        (coded.LEVELS["bins"][0], [None]),
    ):
        model = coded.coded(levels)
        table = pd.DataFrame({model.columns[0]: values, "z": 1.0})
        if not isinstance(values[0], str):
            table = table.astype("object" if values == [None] else "Float64")
        for value in values:
            if value is not None:
                row = pd.DataFrame({model.columns[0]: [value], "z": [1.0]})
                with pytest.raises(ValueError, match="does not know"):
                    model.predict(row)
        if values == [None]:
            kind = "string" if isinstance(levels, type(coded.LEVELS["words"][0])) else "Float64"
            table[model.columns[0]] = table[model.columns[0]].astype(kind)
        assert _run(database, _query(model, tmp_path), table)["y"].isna().all()


@pytest.mark.parametrize("database", DATABASES)
def test_a_shipped_network_with_words(tmp_path, database):
    model = converter.fold(FIXTURES / "marriages.keras")
    table = pd.read_csv(FIXTURES / "marriages.csv")
    name = 'marri"ages; --'
    found = _run(database, _query(model, tmp_path, table=name), table, name)
    np.testing.assert_allclose(found["output"], model.predict(table)[:, 0], rtol=1e-13)


@pytest.mark.parametrize("database", DATABASES)
def test_numbers_are_read_back_to_the_last_bit(database):
    rng = np.random.default_rng(2)
    values = rng.normal(size=3000) * 10.0 ** rng.integers(-30, 30, size=3000)
    values = [*values.tolist(), *np.float32(values[:500]).tolist(), 0.1, 1 / 3, 5.0, 1e22, 2.0**53]
    values += [5e-324, 1.7976931348623157e308, -0.0, 2.2250738585072014e-308]
    for start in range(0, len(values), 500):
        some = values[start : start + 500]
        query = "SELECT " + ", ".join(f"{number(v)} AS v{i}" for i, v in enumerate(some))
        if database == "duckdb":
            relation = duckdb.connect().execute(query)
            read = relation.fetchone()
            assert {str(one[1]) for one in relation.description} == {"DOUBLE"}
        else:
            read = sqlite3.connect(":memory:").execute(query).fetchone()
        assert list(read) == some
    assert number(0.1) == "1E-1"
    assert number(-2.5) == "-2.5E0"


@pytest.mark.parametrize("database", DATABASES)
def test_wide_tables(tmp_path, database):
    names = [f"x{i}" for i in range(1500)]
    rng = np.random.default_rng(0)
    model = affine(rng.normal(size=(1, 1500)), 1.0, names=names)
    table = pd.DataFrame(rng.normal(size=(3, 1500)), columns=names)
    if database == "sqlite":
        base = sqlite3.connect(":memory:")
        base.execute(f"CREATE TABLE data ({', '.join(names)})")
        base.executemany(
            f"INSERT INTO data VALUES ({', '.join('?' * 1500)})", table.values.tolist()
        )
        found = pd.read_sql_query(_query(model, tmp_path), base)
    else:
        found = _run(database, _query(model, tmp_path), table)
    np.testing.assert_allclose(found["y"], model.predict(table)[:, 0], rtol=1e-11)


def _cells(database: str, query: str, table: pd.DataFrame) -> list:
    """Return the rows that a query finds, of which no names are told apart."""
    if database == "duckdb":
        with duckdb.connect() as base:
            base.register("data", table)
            return base.execute(query).fetchall()
    base = sqlite3.connect(":memory:")
    table.to_sql("data", base, index=False)
    return base.execute(query).fetchall()


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(("link", "family", "outputs"), LINKS)
def test_other_columns_of_the_table_change_nothing(tmp_path, database, link, family, outputs):
    groups = (0,) * outputs if link == "softmax" else None
    slopes = np.arange(2.0 * outputs).reshape(outputs, 2) - 1.5
    model = affine(slopes, 0.5, link=link, family=family, names=("x", "z"), groups=groups)
    query = _query(model, tmp_path)
    table = pd.DataFrame({"x": [0.1, -0.2], "z": [0.3, 0.4]})
    asked = ", ".join(f'"{name}"' for name in model.output_names)
    for name in (
        *(*model.output_names, "Linear Predictor 1", "linear predictor 1", "softmax maximum 1"),
        *("SOFTMAX SUM 1", "linear", "sum"),
    ):
        other = table.assign(**{name: [90.0, -90.0]})
        for before in (other, other[other.columns[::-1]]):
            found = _cells(database, f"SELECT {asked} FROM ({query})", before)
            np.testing.assert_allclose(found, model.predict(table), rtol=1e-13)
            (first, *_) = _cells(database, query, before)
            np.testing.assert_allclose(first[:outputs], model.predict(table)[0], rtol=1e-13)
            assert set(first[-3:]) == {0.1, 0.3, 90.0}
    # A table that has been scored.
    scored = f"CREATE TABLE scored AS {query}"
    if database == "duckdb":
        with duckdb.connect() as base:
            base.execute("CREATE TABLE data (x DOUBLE, z DOUBLE)")
            base.execute("INSERT INTO data VALUES (0.1, 0.3)")
            base.execute(scored)
            base.execute("UPDATE scored SET x = -0.2, z = 0.4")
            again = base.execute(_query(model, tmp_path, table="scored")).fetchall()
    else:
        base = sqlite3.connect(":memory:")
        base.execute("CREATE TABLE data (x, z)")
        base.execute("INSERT INTO data VALUES (0.1, 0.3)")
        base.execute(scored)
        base.execute("UPDATE scored SET x = -0.2, z = 0.4")
        again = base.execute(_query(model, tmp_path, table="scored")).fetchall()
    np.testing.assert_allclose(again[0][:outputs], model.predict(table)[1], rtol=1e-13)


@pytest.mark.parametrize("database", DATABASES)
def test_an_output_that_is_called_as_an_input_is(tmp_path, database):
    model = replace(affine([[2.0, 3.0]], 1.0, names=("Y", "z")), output_names=("y",))
    query = _query(model, tmp_path)
    assert "a number behind their names" in query.splitlines()[1]
    assert _cells(database, f"SELECT y_1, Y FROM ({query})", pd.DataFrame({"Y": [1.0], "z": 0.5}))[
        0
    ] == (4.5, 1.0)


@pytest.mark.parametrize("database", DATABASES)
def test_a_column_that_the_table_lacks_is_an_error(tmp_path, database):
    query = _query(affine([[2.0, 3.0]], names=("x", "z")), tmp_path)
    with pytest.raises((sqlite3.OperationalError, duckdb.BinderException), match="z"):
        _cells(database, query, pd.DataFrame({"x": [1.0]}))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_what_is_no_number_predicts_as_in_numpy(tmp_path, value):
    for link, family, outputs in LINKS:
        groups = (0,) * outputs if link == "softmax" else None
        slopes = np.arange(1.0, 1.0 + outputs)[:, None]
        model = affine(slopes, 0.5, link=link, family=family, names=("x",), groups=groups)
        query = _query(model, tmp_path)
        with duckdb.connect() as base:
            base.execute(f"CREATE TABLE data AS SELECT '{value}'::DOUBLE AS x")
            found = base.execute(query).fetchone()[:outputs]
        if value == "nan" or link == "softmax":
            assert np.isnan(found).all(), link
        else:
            with np.errstate(over="ignore"):
                assert list(found) == model.predict([[float(value)]])[0].tolist(), link


def test_no_level_of_a_category_is_not_a_number(tmp_path):
    levels = [coded.LEVELS[name][0] for name in ("bins", "numbers", "one or other", "codes")]
    levels.append(replace(levels[1], types=("float64",)))
    for one in levels:
        query = _query(coded.coded(one, name="c"), tmp_path)
        with duckdb.connect() as base:
            base.execute("CREATE TABLE data AS SELECT 'nan'::DOUBLE AS c, 1.0 AS z")
            assert base.execute(query).fetchone()[0] is None, one
    bins = coded.coded(coded.LEVELS["bins"][0], name="c")
    query = _query(bins, tmp_path)
    for value in (np.inf, -np.inf):
        table = pd.DataFrame({"c": [value], "z": [1.0]})
        for database in DATABASES:
            found = _cells(database, query, table)[0][0]
            assert found == pytest.approx(bins.predict(table)[0, 0], rel=1e-14)


@pytest.mark.parametrize("database", DATABASES)
def test_whole_numbers_and_truth_values(tmp_path, database):
    model = affine([[1.0, 3.0]], names=("x", "z"))
    table = pd.DataFrame({"x": [2**53 + 1, 2**62 + 1, -7], "z": [True, False, True]})
    found = [row[0] for row in _cells(database, _query(model, tmp_path), table)]
    assert found == model.predict(table)[:, 0].tolist()


@pytest.mark.parametrize("database", DATABASES)
def test_a_softmax_of_many_classes(tmp_path, database):
    rng = np.random.default_rng(4)
    sizes, texts = (60, 120), []
    for size in sizes:
        model = affine(
            *(10.0 * rng.normal(size=(size, 3)), rng.normal(size=size)),
            link="softmax",
            family="multinomial",
            names=("a", "b", "c"),
            groups=tuple(i % 2 for i in range(size)),
        )
        query = _query(model, tmp_path)
        table = pd.DataFrame(rng.normal(size=(20, 3)), columns=["a", "b", "c"])
        start = time.monotonic()
        found = np.array([row[:size] for row in _cells(database, query, table)])
        # What is written out in what it is part of takes minutes.
        assert time.monotonic() - start < 5.0
        np.testing.assert_allclose(found, model.predict(table), rtol=1e-12, atol=1e-300)
        texts.append(len(query))
    assert texts[1] < 2.3 * texts[0]


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(("link", "family", "outputs"), LINKS[1:3])
def test_a_network_trained_from_logits(tmp_path, database, link, family, outputs):
    groups = (0,) * outputs if link == "softmax" else None
    slopes = np.arange(2.0 * outputs).reshape(outputs, 2) - 1.5
    model = affine(slopes, 0.5, family=family, names=("x", "z"))
    table = pd.DataFrame({"x": [0.1, -0.2], "z": [0.3, 0.4]})
    found = _run(database, _query(model, tmp_path), table)
    predictors = [f"linear predictor {i + 1}" for i in range(outputs)]
    np.testing.assert_allclose(found[predictors], model.predict(table), rtol=1e-13)
    with_link = replace(model, link=link, groups=groups or (-1,))
    np.testing.assert_allclose(
        found[list(model.output_names)], with_link.predict(table), rtol=1e-13
    )
    found = _run(database, _query(model, tmp_path, linear_predictor=True), table)
    np.testing.assert_allclose(found[list(model.output_names)], model.predict(table), rtol=1e-13)


def test_it_is_one_query_whatever_the_names(tmp_path):
    model = replace(hostile.model("logit", "binomial"), output_names=(hostile.OUTPUT,))
    query = _query(model, tmp_path, table='a"; DROP TABLE b; --')
    for dialect in (None, "duckdb", "sqlite", "postgres"):
        (tree,) = sqlglot.parse(query, dialect=dialect)
        assert isinstance(tree, sqlglot.exp.Select)
        assert tree.named_selects[0] == hostile.OUTPUT
        columns = {one.name for one in tree.find_all(sqlglot.exp.Column)}
        assert set(hostile.NAMES) <= columns
        steps = {one.alias for one in tree.find_all(sqlglot.exp.CTE)}
        tables = {one.name for one in tree.find_all(sqlglot.exp.Table)}
        assert tables - steps == {'a"; DROP TABLE b; --'}


def test_refusals(tmp_path):
    probit = hostile.model("probit", "binomial")
    for model, words in (
        (probit, "link 'probit', for which standard SQL has no function"),
        (coded.coded(coded.HASHED), "is told by a hash function"),
        (
            coded.coded(replace(coded.LEVELS["numbers"][0], types=("float16",))),
            "a type that rounds",
        ),
        (affine([[1.0]], names=["a\0b"]), "null character"),
        (affine([[1.0, 2.0]], names=["a", "A"]), "'a' and 'A' differ in case alone"),
    ):
        with pytest.raises(ValueError, match=words):
            model.export(tmp_path / "m.sql")
    assert not list(tmp_path.iterdir())
    query = _query(probit, tmp_path, linear_predictor=True)
    table = hostile.table(rows=5)[list(hostile.NAMES)]
    found = _run("duckdb", query, table)[hostile.OUTPUT]
    np.testing.assert_allclose(found, probit.linear_predictor(table)[:, 0], rtol=1e-13)


def test_the_command_line(tmp_path, command):
    done = command(
        *("export", FIXTURES / "spector_logistic.keras"),
        *("--data", FIXTURES / "spector.csv", "--target", "GRADE", "--table", "pupils"),
        *("-o", tmp_path / "m.sql"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    table = pd.read_csv(FIXTURES / "spector.csv")
    found = _run("duckdb", (tmp_path / "m.sql").read_text(), table, "pupils")
    model = converter.fold(FIXTURES / "spector_logistic.keras")
    expected = model.predict(table[["GPA", "TUCE", "PSI"]].to_numpy())[:, 0]
    np.testing.assert_allclose(found["probability"], expected, rtol=1e-12)
