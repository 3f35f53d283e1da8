"""Many models in one run: nothing lost, nothing twice, and no model that costs another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import FIXTURES

import converter
from converter.batches.plan import plan
from converter.regression.where import condition, fill

MODELS = ("longley_linear.keras", "diabetes_l2.onnx", "spector_logistic.h5")
LONGLEY = FIXTURES / "longley.csv"


@pytest.fixture
def folder(tmp_path):
    """A few models, one that is refused, and one that is damaged."""
    place = tmp_path / "models"
    place.mkdir()
    for name in (*MODELS, "diabetes_relu.keras"):
        shutil.copy(FIXTURES / name, place / name)
    (place / "damaged.keras").write_bytes(b"PK" + bytes(100))
    return place


def _rows(ledger, query):
    with sqlite3.connect(ledger) as db:
        return db.execute(query).fetchall()


def test_each_model_has_a_row_and_no_failure_stops_the_run(folder, tmp_path):
    ledger = tmp_path / "l.sqlite"
    done = converter.batch(folder, ledger=ledger)
    assert (done.regressions, done.rejected, done.failed, done.unchanged) == (3, 1, 1, 0)
    assert str(done).startswith("3 regressions, 1 rejected, 1 failed")
    models = done.models().set_index("key")
    row = models.loc[str(folder / MODELS[0])]
    found = converter.inspect(folder / MODELS[0])
    assert (row.status, row.verdict, row.link, row.family) == (
        "regression",
        "affine",
        "identity",
        "gaussian",
    )
    assert row.sha256 == found.sha256
    refused = models.loc[str(folder / "diabetes_relu.keras")]
    (finding,) = json.loads(refused.findings)
    assert finding["operation"] == "relu"
    terms = done.tidy()
    model = converter.fold(folder / MODELS[0])
    own = terms[terms.key == str(folder / MODELS[0])].set_index("term").coef
    np.testing.assert_array_equal(own[list(model.feature_names)], model.coef[0])
    assert own["(intercept)"] == model.intercept[0]
    (failure,) = done.failures().to_dict("records")
    assert failure["kind"] == "model"
    assert "damaged.keras" in failure["sentence"]


def test_what_is_done_is_not_done_again_and_what_changed_is(folder, tmp_path):
    ledger = tmp_path / "l.sqlite"
    first = converter.batch(folder, ledger=ledger)
    terms = len(first.tidy())
    times = dict(_rows(ledger, "SELECT key, seconds FROM model"))
    again = converter.batch(folder, ledger=ledger)
    assert again.unchanged == 5
    assert dict(_rows(ledger, "SELECT key, seconds FROM model")) == times
    assert (again.regressions, again.failed) == (first.regressions, first.failed)
    shutil.copy(FIXTURES / "longley_linear.onnx", folder / MODELS[1])
    changed = converter.batch(folder, ledger=ledger)
    assert changed.unchanged == 4
    assert len(_rows(ledger, "SELECT * FROM model")) == 5
    assert len(changed.tidy()) == terms - 4  # of 11 terms, 7 now
    retried = converter.batch(folder, ledger=ledger, retry=True)
    assert retried.unchanged == 4
    other = converter.batch(folder, ledger=ledger, output=0)
    assert other.unchanged == 0  # another question


def test_conversion_of_one_model(tmp_path):
    """The ledger holds what `convert` says."""
    done = converter.batch(
        FIXTURES / MODELS[0], LONGLEY, "TOTEMP", ledger=tmp_path / "l.sqlite", cov_type="HC1"
    )
    made = converter.convert(FIXTURES / MODELS[0], LONGLEY, "TOTEMP", cov_type="HC1")
    tidy, expected = done.tidy(), made.tidy()
    for name, key in (("coef", "estimate"), ("bse", "std_error"), ("p", "p_value")):
        np.testing.assert_allclose(tidy[name], expected[key], rtol=1e-12)
    np.testing.assert_allclose(tidy.drift, expected.drift, rtol=1e-9)
    (glance,) = done.glance().to_dict("records")
    assert glance["nobs"] == 16
    assert glance["verdict"] == made.optimality.verdict
    assert glance["r_squared"] == pytest.approx(made.results.rsquared)
    assert list(done.caveats().topic) == [one.topic for one in made.caveats]


def _shops(tmp_path, count=3):
    """A model for each shop, one table for all of them, and a manifest."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"shop": np.repeat(np.arange(count), 30)})
    for name in ("GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR"):
        rows[name] = rng.normal(size=len(rows))
    rows["TOTEMP"] = rows.GNP * (1 + rows.shop) + rng.normal(size=len(rows))
    rows.to_parquet(tmp_path / "rows.parquet")
    for shop in range(count):
        shutil.copy(FIXTURES / "longley_linear.keras", tmp_path / f"shop_{shop}.keras")
    lines = [{"model": f"shop_{s}.keras", "id": s, "region": "north"} for s in range(count)]
    pd.DataFrame(lines).to_csv(tmp_path / "manifest.csv", index=False)
    return rows


def test_one_table_for_many_models_with_a_filter_each(tmp_path):
    rows = _shops(tmp_path)
    done = converter.batch(
        tmp_path / "manifest.csv",
        tmp_path / "rows.parquet",
        "TOTEMP",
        where="shop = {id}",
        ledger=tmp_path / "l.sqlite",
        features=["GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR"],
    )
    assert done.regressions == 3
    terms = done.tidy()
    for shop in range(3):
        own = rows[rows.shop == shop].drop(columns="shop")
        made = converter.convert(tmp_path / f"shop_{shop}.keras", own, "TOTEMP")
        found = terms[terms.key == str(shop)]
        np.testing.assert_allclose(found.bse, made.results.bse, rtol=1e-12)
        np.testing.assert_allclose(found.optimum, made.refit.params, rtol=1e-9)
    models = done.models().set_index("key")
    assert models.loc["1", "filter"] == "shop = '1'"
    assert json.loads(models.loc["1", "labels"])["region"] == "north"
    assert set(models.nobs) == {30}
    missing = converter.batch(
        tmp_path / "manifest.csv",
        tmp_path / "rows.parquet",
        "TOTEMP",
        where="shop = {id} AND GNP > 1000",
        ledger=tmp_path / "l.sqlite",
    )
    assert missing.failed == 3
    assert "no row has" in missing.failures().sentence[0]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_manifests(tmp_path, kind):
    shutil.copy(FIXTURES / MODELS[0], tmp_path / "a.keras")
    shutil.copy(LONGLEY, tmp_path / "t.csv")
    lines = pd.DataFrame(
        [
            {"model": "a.keras", "id": "one", "data": "t.csv", "target": "TOTEMP"},
            {"model": "a.keras", "id": "two", "data": None, "target": None},
        ]
    )
    lines["cov_type"] = ["HC3", None]
    path = tmp_path / f"m.{kind}"
    if kind == "csv":
        lines.to_csv(path, index=False)
    elif kind == "parquet":
        lines.to_parquet(path)
    else:
        lines.to_json(path, orient="records", lines=True)
    one, two = plan(path)
    assert (one.key, one.model, one.data) == (
        "one",
        str(tmp_path / "a.keras"),
        str(tmp_path / "t.csv"),
    )
    assert one.options == {"cov_type": "HC3"}
    assert (two.key, two.data, two.options) == ("two", None, {})
    done = converter.batch(path, ledger=tmp_path / "l.sqlite")
    assert done.regressions == 2


def test_plans_that_cannot_be(tmp_path, folder):
    (tmp_path / "m.jsonl").write_text(
        '{"model": "a.onnx", "id": 1}\n{"model": "b.onnx", "id": 1}\n'
    )
    for models, words in (
        (tmp_path / "m.jsonl", "two jobs are called '1'"),
        (str(tmp_path / "*.h9"), "no file has such a name"),
        ([], "no model to convert"),
    ):
        with pytest.raises(ValueError, match=words):
            plan(models)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="no model in this folder"):
        plan(empty)
    with pytest.raises(ValueError, match="no option famly"):
        plan(folder, options={"famly": "x"})
    with pytest.raises(ValueError, match="no target"):
        plan(folder, data="t.csv")
    with pytest.raises(ValueError, match=r"names \{store\}"):
        plan(folder, data="t.csv", target="y", where="s = {store}")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(converter.DataError, match="a manifest has a column model"):
        plan(tmp_path / "bad.csv")
    (tmp_path / "text.sqlite").write_text("no ledger at all, but text that is long enough" * 30)
    with pytest.raises(converter.DataError, match="cannot be used as a ledger"):
        converter.batch(folder, ledger=tmp_path / "text.sqlite")
    with sqlite3.connect(tmp_path / "other.sqlite") as db:
        db.execute("CREATE TABLE x (a)")
    with pytest.raises(converter.DataError, match="is no ledger"):
        converter.batch(folder, ledger=tmp_path / "other.sqlite")


def test_patterns_and_urls(folder, tmp_path):
    assert [Path(one.model).name for one in plan(f"{folder}/longley*")] == [MODELS[0]]
    assert len(plan(f"file://{folder}")) == 5
    assert len(plan(f"file://{folder}/*.onnx")) == 1
    done = converter.batch(f"file://{folder}/*.onnx", ledger=tmp_path / "l.sqlite")
    assert done.regressions == 1
    again = converter.batch(f"file://{folder}/*.onnx", ledger=tmp_path / "l.sqlite")
    assert again.unchanged == 1
    gone = converter.batch([f"file://{folder}/gone.onnx"], ledger=tmp_path / "g.sqlite")
    assert gone.failures().kind[0] == "file"


SCHEMA = pa.schema({"a": pa.int64(), "b": pa.float64(), "s": pa.string(), "t": pa.bool_()})
TABLE = pa.table({"a": [1, 2, 3], "b": [0.5, 1.5, None], "s": ["x", "it's", "z"], "t": [True] * 3})


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a = 2", [2]),
        ("2 < a", [3]),
        ("a >= 2 AND NOT s = 'z'", [2]),
        ("a IN (1, 3) OR b BETWEEN 1 AND 2", [1, 2, 3]),
        ("b IS NULL", [3]),
        ("NOT b IS NULL AND (a <> 1)", [2]),
        ("s = 'it''s'", [2]),
        ("a = '3'", [3]),
        ("b > -1e0", [1, 2]),
        ("t AND a != 1", [2, 3]),
    ],
)
def test_filters(text, rows):
    found = TABLE.cast(SCHEMA).filter(condition(text, SCHEMA, "t"))
    assert found["a"].to_pylist() == rows


@pytest.mark.parametrize(
    "text",
    [
        "a = b",
        "a",
        "1 = 1",
        "a = (SELECT 1)",
        "lower(s) = 'x'",
        "s LIKE 'x%'",
        "a = 1; DROP TABLE model",
        "a = 'x'",
        "gone = 1",
        "a +",
        "",
        "a.b = 1",
        "(" * 500 + "a = 1" + ")" * 500,
        "a = 1" + " OR a = 1" * 3000,
    ],
)
def test_filters_that_are_refused(text):
    with pytest.raises(converter.DataError):
        condition(text, SCHEMA, "t")


def test_fields_of_a_filter_are_constants():
    assert fill("s = {id}", {"id": "x' OR 1=1 --"}) == "s = 'x'' OR 1=1 --'"
    assert fill("a = {id} AND b = {b}", {"id": 3, "b": None}) == "a = 3 AND b = NULL"
    for template in ("{id.__class__}", "{id!r}", "{0}", "{id:>9}"):
        with pytest.raises(ValueError, match="names"):
            fill(template, {"id": 3})


@pytest.fixture
def hanging(folder):
    """A manifest of the folder's models and of one behind a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ftp://127.0.0.1:{server.getsockname()[1]}/m.onnx"
        lines = [{"model": str(one), "id": one.name} for one in folder.iterdir()]
        lines.insert(2, {"model": url, "id": "hangs"})
        path = folder.parent / "manifest.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        yield path


def test_a_model_that_hangs_is_stopped(hanging, tmp_path):
    start = time.monotonic()
    done = converter.batch(hanging, ledger=tmp_path / "l.sqlite", timeout=6.0, workers=2)
    assert time.monotonic() - start < 28
    assert (done.regressions, done.rejected, done.failed) == (3, 1, 2)
    assert done.failures().set_index("key").kind["hangs"] == "timeout"


def _children(parent):
    found = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
    )
    return [int(one) for one in found.stdout.split()]


def _descendants(parent):
    return [one for child in _children(parent) for one in (child, *_descendants(child))]


def _spawned(parent):
    """Return the workers among a process's children."""
    return [
        one
        for one in _descendants(parent)
        if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]


def test_a_worker_that_dies_costs_one_model(hanging, tmp_path):
    over = threading.Event()

    def kill():  # whoever tries the one that hangs
        while not over.wait(5.0):
            for one in _spawned(os.getpid()):
                os.kill(one, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = converter.batch(hanging, ledger=tmp_path / "l.sqlite", timeout=60.0, workers=1)
    over.set()
    killer.join()
    assert (done.regressions, done.rejected, done.failed) == (3, 1, 2)
    assert done.failures().set_index("key").kind["hangs"] == "died"


def test_killed_and_run_again_it_goes_on(tmp_path):
    """SIGKILL in the midst: what is written is whole, and nothing is done twice."""
    models = tmp_path / "models"
    models.mkdir()
    for number in range(120):
        shutil.copy(FIXTURES / "diabetes_deep.onnx", models / f"{number:03}.onnx")
    ledger = tmp_path / "l.sqlite"
    command = [
        sys.executable,
        "-m",
        "converter",
        "batch",
        models,
        "--ledger",
        ledger,
        "--workers",
        "1",
    ]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    count = 0
    for _ in range(600):
        time.sleep(0.05)
        if ledger.exists():
            try:
                ((count,),) = _rows(ledger, "SELECT count(*) FROM model")
            except sqlite3.Error:
                continue
            if count >= 5:
                break
    workers = _spawned(running.pid)
    running.kill()
    running.wait()
    for one in workers:
        os.kill(one, signal.SIGKILL)
    assert _rows(ledger, "PRAGMA integrity_check") == [("ok",)]
    kept = dict(_rows(ledger, "SELECT key, finished || seconds FROM model"))
    assert 5 <= len(kept) < 120
    # Each model has all of its terms, or none.
    terms = dict(_rows(ledger, "SELECT key, count(*) FROM coefficient GROUP BY key"))
    assert terms == dict.fromkeys(kept, 11)
    done = converter.batch(models, ledger=ledger)
    assert (done.regressions, done.unchanged) == (120, len(kept))
    after = dict(_rows(ledger, "SELECT key, finished || seconds FROM model"))
    assert {key: after[key] for key in kept} == kept
    assert len(_rows(ledger, "SELECT * FROM coefficient")) == 120 * 11


def test_interrupted_it_stops_cleanly(hanging, tmp_path):
    ledger = tmp_path / "l.sqlite"
    command = [sys.executable, "-m", "converter", "batch", hanging, "--ledger", ledger]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(600):
        time.sleep(0.05)
        if ledger.exists() and _spawned(running.pid):
            break
    time.sleep(3.0)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 2
    assert "Traceback" not in said
    assert _rows(ledger, "PRAGMA integrity_check") == [("ok",)]


def test_export(folder, tmp_path):
    done = converter.batch(folder, ledger=tmp_path / "l.sqlite", export=tmp_path / "out")
    models = pd.read_parquet(tmp_path / "out" / "models.parquet")
    assert sorted(models.key) == sorted(str(one) for one in folder.iterdir())
    assert len(pd.read_csv(tmp_path / "out" / "tidy.csv")) == len(done.tidy())
    assert pd.read_csv(tmp_path / "out" / "failures.csv").kind.tolist() == ["model"]


def _cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "converter", "batch", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_line(folder, tmp_path):
    ledger = tmp_path / "l.sqlite"
    found = _cli(folder, "--ledger", ledger, "--json", "--quiet")
    assert found.returncode == 2
    assert json.loads(found.stdout)["rejected"] == 1
    assert found.stderr == ""
    (folder / "damaged.keras").unlink()
    assert _cli(folder, "--ledger", tmp_path / "m.sqlite").returncode == 1
    only = _cli(folder / MODELS[0], "--ledger", tmp_path / "n.sqlite")
    assert only.returncode == 0
    assert only.stdout.startswith("1 regression, 0 rejected, 0 failed")
    with_data = _cli(
        *(FIXTURES / MODELS[0], "--data", LONGLEY, "--target", "TOTEMP"),
        *("--ledger", tmp_path / "o.sqlite", "--set", "cov_type=HC1", "--set", "restricted=true"),
    )
    assert with_data.returncode == 0, with_data.stderr
    wrong = _cli(folder, "--ledger", ledger, "--set", "famly=x")
    assert wrong.returncode == 2
    assert "no option famly" in wrong.stderr


def test_dask_cluster_with_a_worker_killed(hanging, tmp_path):
    """On a cluster of processes; one is killed half-way, and what it had is done by others."""
    from distributed import Client, LocalCluster

    models = tmp_path / "cluster"
    models.mkdir()
    for number in range(60):
        shutil.copy(FIXTURES / "diabetes_deep.onnx", models / f"{number:02}.onnx")
    shutil.copy(FIXTURES / "diabetes_relu.onnx", models / "relu.onnx")
    ledger = tmp_path / "l.sqlite"
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as own,
        Client(own) as client,
    ):
        pids = client.run(os.getpid)

        def kill():
            time.sleep(1.0)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        done = converter.batch(models, ledger=ledger, dask=client, timeout=60)
        killer.join()
        assert (done.regressions, done.rejected, done.failed) == (60, 1, 0)
        late = converter.batch(hanging, ledger=ledger, dask=own.scheduler_address, timeout=5)
        assert (late.regressions, late.rejected, late.failed) == (3, 1, 2)
        assert late.failures().set_index("key").kind["hangs"] == "timeout"
    local = converter.batch(models, ledger=tmp_path / "m.sqlite", timeout=5)
    columns = ["key", "output", "term", "coef"]
    pd.testing.assert_frame_equal(
        done.tidy()[columns]
        .query("key.str.contains('cluster')")
        .sort_values(columns[:3], ignore_index=True),
        local.tidy()[columns].sort_values(columns[:3], ignore_index=True),
    )


def _partitioned(tmp_path):
    rows = _shops(tmp_path)
    for shop, own in rows.groupby("shop"):
        place = tmp_path / "parts" / f"shop={shop}"
        place.mkdir(parents=True)
        own.drop(columns="shop").to_parquet(place / "rows.parquet")
    return rows


def test_rows_of_partitions(tmp_path):
    rows = _partitioned(tmp_path)
    path, features = tmp_path / "shop_1.keras", list(rows.columns[1:7])
    own = rows[rows.shop == 1]
    expected = converter.convert(path, own, "TOTEMP", features=features)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    tables = (tmp_path / "parts", tmp_path / "rows.parquet", tmp_path / "rows.csv", rows)
    for table in (*tables, pa.table(rows), {name: rows[name].to_numpy() for name in rows}):
        made = converter.convert(path, table, "TOTEMP", features=features, where="shop = 1")
        np.testing.assert_allclose(made.results.bse, expected.results.bse, rtol=1e-12)
        grouped = converter.convert(
            *(path, table, "TOTEMP"),
            features=features,
            where="shop <> 0",
            cov_type="cluster",
            cov_kwds={"groups": "shop"},
        )
        assert grouped.nobs == 60
    done = converter.batch(
        tmp_path / "manifest.csv",
        tmp_path / "parts",
        "TOTEMP",
        where="shop = {id}",
        ledger=tmp_path / "l.sqlite",
        features=features,
        workers=0,
    )
    assert done.regressions == 3
    with pytest.raises(converter.DataError, match="no row has shop = 9"):
        converter.convert(path, rows, "TOTEMP", where="shop = 9")
    with pytest.raises(converter.DataError, match="is no int64"):
        converter.convert(path, rows, "TOTEMP", where="shop = 'x'")


def test_models_and_tables_behind_urls(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/nets/a.keras", (FIXTURES / MODELS[0]).read_bytes())
    memory.pipe("/rows/longley.csv", LONGLEY.read_bytes())
    done = converter.batch(
        "memory://nets",
        "memory://rows/longley.csv",
        "TOTEMP",
        ledger=tmp_path / "l.sqlite",
        workers=0,
    )
    assert done.regressions == 1, done.failures().sentence[0]
    made = converter.convert(FIXTURES / MODELS[0], LONGLEY, "TOTEMP")
    np.testing.assert_allclose(done.tidy().bse, made.tidy().std_error, rtol=1e-12)


def test_what_a_model_is_made_of_counts(tmp_path):
    """A scaler's file, and weights beside the configuration, are contents too."""
    shutil.copy(FIXTURES / MODELS[0], tmp_path / "a.keras")
    scaler = tmp_path / "s.json"
    lines = {"model": "a.keras", "data": str(LONGLEY), "target": "TOTEMP", "scaler": "s.json"}
    (tmp_path / "m.jsonl").write_text(json.dumps(lines))
    found = []
    for size in (1.0, 2.0):
        scaler.write_text(json.dumps({"mean": [0.0] * 6, "scale": [size] * 6}))
        done = converter.batch(tmp_path / "m.jsonl", ledger=tmp_path / "l.sqlite", workers=0)
        assert done.unchanged == 0
        found.append(done.tidy().coef[1])
    assert found[1] == pytest.approx(found[0] / 2)
    assert converter.batch(tmp_path / "m.jsonl", ledger=tmp_path / "l.sqlite", workers=0).unchanged


def test_a_partition_that_changed_is_read_again(tmp_path):
    rows = _partitioned(tmp_path)
    again = {"ledger": tmp_path / "l.sqlite", "workers": 0, "where": "shop = {id}"}
    again["features"] = list(rows.columns[1:7])
    arguments = (tmp_path / "manifest.csv", tmp_path / "parts", "TOTEMP")
    first = converter.batch(*arguments, **again).tidy()
    place = tmp_path / "parts" / "shop=1" / "rows.parquet"
    pd.read_parquet(place).assign(TOTEMP=lambda t: t.TOTEMP * 2).to_parquet(place)
    second = converter.batch(*arguments, **again).tidy()
    own = second.key == "1"
    np.testing.assert_allclose(second.optimum[own], 2 * first.optimum[first.key == "1"], rtol=1e-9)


@pytest.mark.parametrize("value", ["False", "no", False, "0"])
def test_switches_are_switches(value, tmp_path):
    (job,) = plan(FIXTURES / MODELS[0], data=LONGLEY, target="y", options={"training_data": value})
    assert job.options["training_data"] is False
    with pytest.raises(ValueError, match="must be true or false"):
        plan(FIXTURES / MODELS[0], data=LONGLEY, target="y", options={"restricted": "maybe"})
    with pytest.raises(ValueError, match="must be True or False"):
        converter.convert(FIXTURES / MODELS[0], LONGLEY, "TOTEMP", restricted="no")


def test_filters_know_nothing_of_what_is_missing():
    schema = pa.schema({"a": pa.int64(), "f": pa.float64(), "d": pa.decimal128(21, 2)})
    table = pa.table({"a": [1, 2, None], "f": [0.5, float("nan"), None], "d": [1, 2, 3]})
    table = table.cast(schema)
    for text, rows in (("a NOT IN (1)", [2]), ("f IS NULL", [2, None]), ("d = 3.00", [None])):
        assert table.filter(condition(text, schema, "t"))["a"].to_pylist() == rows
    for text, rows in (
        ("NOT f > 1", [1]),
        ("f <> 0.25", [1]),
        ("NOT f = 0.25", [1]),
        ("NOT (f > 1 AND a = 1)", [1, 2]),  # of 2 the second half is false, whatever f is
        ("NOT (f > 1 OR a = 2)", [1]),
        ("f NOT IN (0.25)", [1]),
        ("NOT f BETWEEN 1 AND 2", [1]),
        ("NOT NOT f < 1", [1]),
        ("NOT (f IS NULL)", [1]),
    ):
        assert table.filter(condition(text, schema, "t"))["a"].to_pylist() == rows, text
    with pytest.raises(converter.DataError, match=r"cannot be read as a condition.*store = 3"):
        condition("a = = 3", schema, "t")
    times = pa.schema({"t": pa.timestamp("ns"), "b": pa.bool_(), "d": pa.decimal128(5, 2)})
    for text in ("t > 20240105", "b = 5", "d = 3.001", "d BETWEEN SYMMETRIC 5 AND 3"):
        with pytest.raises(converter.DataError):
            condition(text, times, "t")


def test_names_that_are_no_unicode(folder, tmp_path):
    strange = os.fsencode(folder) + b"/\xff\xfe.onnx"
    shutil.copy(FIXTURES / MODELS[1], strange)
    done = converter.batch(folder, ledger=tmp_path / "l.sqlite", workers=0)
    assert done.regressions == 4
    again = converter.batch(folder, ledger=tmp_path / "l.sqlite", workers=0)
    assert again.unchanged == 6


def test_a_script_needs_no_guard(folder, tmp_path):
    """Workers do not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import converter\n"
        f"print(converter.batch({str(folder)!r}, ledger={str(tmp_path / 'l.sqlite')!r}))\n"
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("3 regressions, 1 rejected, 1 failed"), found.stderr
    assert "Traceback" not in found.stderr


def test_outputs_of_different_kinds_keep_their_numbers(tmp_path):
    """A column that the first output does not have is not lost to the second."""
    from converter.batches.ledger import Ledger
    from converter.batches.work import Outcome

    (job,) = plan(FIXTURES / MODELS[0])
    rows = [{"output": "a", "pseudo_r_squared": 0.5}, {"output": "b", "r_squared": 0.25}]
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.begin(1, {})
    ledger.write(job, "q", Outcome(job.key, "regression", {}, regressions=rows))
    frame = ledger.frame("glance").set_index("output")
    ledger.close()
    assert frame.r_squared["b"] == 0.25
    assert frame.pseudo_r_squared["a"] == 0.5


def test_options_that_mean_nothing_are_refused(tmp_path):
    path = FIXTURES / MODELS[0]
    for given in ({"options": {"cov_type": "HC1"}}, {"target": "y"}, {"where": "a = 1"}):
        with pytest.raises(ValueError, match="is about regressions, and there is no table"):
            plan(path, **given)
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"model,family\n{path},gaussian\n")
    with pytest.raises(ValueError, match="family is about a regression, and there is no table"):
        plan(manifest)
    manifest.write_text(f"model,tarjet\n{path},y\n")
    with pytest.raises(ValueError, match="'tarjet' is no option, and 'target' is"):
        plan(manifest, data=LONGLEY, target="y")
    manifest.write_text(f"model,region\n{path},north\n")
    assert plan(manifest, data=LONGLEY, target="y")[0].labels == {"region": "north"}
    for ledger in (":memory:", "file:x?mode=memory"):
        with pytest.raises(ValueError, match="must be the path of a file"):
            converter.batch(path, ledger=ledger)
    with pytest.raises(ValueError, match="family must be a name"):
        converter.convert(path, LONGLEY, "TOTEMP", family=5)


def test_the_ledger_says_what_a_run_was_about(tmp_path):
    ledger, both = tmp_path / "l.sqlite", [FIXTURES / one for one in MODELS[:2]]
    converter.batch(both, ledger=ledger, workers=0)
    done = converter.batch(both[:1], ledger=ledger, workers=0).models().set_index("model")
    assert done.last_run[str(both[0])] == 2
    assert done.last_run[str(both[1])] == 1
    assert (done.run == 1).all()


def test_time_is_that_of_the_model_alone(tmp_path):
    """Workers import for seconds; that is not the first model's fault."""
    given = {"ledger": tmp_path / "l.sqlite", "timeout": 2.0, "workers": 1}
    done = converter.batch(FIXTURES / MODELS[0], LONGLEY, "TOTEMP", **given)
    assert (done.regressions, done.failed) == (1, 0)


def test_no_worker_outlives_the_run(hanging, tmp_path):
    """The process that writes the ledger is killed while a worker hangs."""
    code = (
        "import converter\n"
        f"converter.batch({str(hanging)!r}, ledger={str(tmp_path / 'l.sqlite')!r}, timeout=600)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stderr=subprocess.DEVNULL
    )
    time.sleep(8.0)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    deadline = time.monotonic() + 10.0
    while _alive(run.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _alive(run.pid)


def _alive(session: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for place in os.listdir("/proc"):
        if place.isdigit():
            try:
                fields = Path(f"/proc/{place}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(place))
    return found


def test_messages_name_the_url_and_not_the_copy(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    done = converter.batch(f"file://{tmp_path}/bad.onnx", ledger=tmp_path / "l.sqlite", workers=0)
    sentence = done.failures().sentence[0]
    assert f"file://{tmp_path}/bad.onnx" in sentence
    assert "fetched" not in sentence
