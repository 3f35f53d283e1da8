"""A Dask DataFrame gives what rows in memory give, whatever its partitions."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from conftest import FIXTURES
from models import affine

import converter

dd = pytest.importorskip("dask.dataframe")

R = np.random.default_rng(31)
N, NAMES = 5000, ["a", "b", "c"]
X = R.normal(size=(N, 3)) * [1.0, 30.0, 0.2] + [0.0, 500.0, 0.0]
ETA = 0.3 + (X - [0.0, 500.0, 0.0]) @ [0.5, -0.02, 1.0]
TABLE = pd.DataFrame(X, columns=NAMES).assign(
    y=ETA + R.normal(size=N),
    z=(ETA + R.logistic(size=N) > 0) * 1.0,
    w=R.uniform(0.5, 2.0, N),
    shop=R.integers(0, 40, N),
    word=R.choice(["no", "yes"], N),
)
MODELS = {
    "y": affine([0.505, -0.0202, 1.01], 10.4, names=NAMES),
    "z": affine([0.505, -0.0202, 1.01], 10.4, names=NAMES, link="logit", family="binomial"),
}


def _numbers(made):
    """Return everything that must not depend on partitions."""
    found = [made.optimality.statistic, made.optimality.max_drift]
    for results in (made.results, made.refit):
        found += [*results.params, *results.bse, results.llf, results.aic, results.nobs]
    return np.array(found)


def _partitions(table):
    order = R.permutation(len(table))
    yield "one", dd.from_pandas(table, npartitions=1)
    yield "many", dd.from_pandas(table, npartitions=23)
    yield "shuffled", dd.from_pandas(table.iloc[order].reset_index(drop=True), npartitions=7)
    yield "repartitioned", dd.from_pandas(table, npartitions=23).repartition(npartitions=4)
    yield "sorted", dd.from_pandas(table.sort_values("shop").reset_index(drop=True), npartitions=9)
    empty = dd.from_pandas(table, npartitions=6)
    yield "empty", dd.concat([empty.loc[:-1], empty])


@pytest.mark.parametrize("target", ["y", "z"])
@pytest.mark.parametrize(
    "given",
    [{}, {"cov_type": "HC1"}, {"cov_type": "cluster", "cov_kwds": {"groups": "shop"}}],
    ids=["plain", "HC1", "cluster"],
)
def test_the_same_numbers_whatever_the_partitions(target, given):
    held = _numbers(converter.convert(MODELS[target], TABLE, target, **given))
    first = None
    for how, frame in _partitions(TABLE):
        made = converter.convert(MODELS[target], frame, target, **given)
        assert made.passes, how
        found = _numbers(made)
        first = found if first is None else first
        np.testing.assert_allclose(found, first, rtol=1e-10, err_msg=how)
        np.testing.assert_allclose(found, held, rtol=1e-9, err_msg=how)


def test_what_depends_on_the_order_of_rows():
    held = converter.convert(MODELS["y"], TABLE, "y").results.summary().as_text()
    frame = dd.from_pandas(TABLE, npartitions=11)
    made = converter.convert(MODELS["y"], frame, "y").results.summary().as_text()
    for name in ("Durbin-Watson", "Omnibus", "Kurtosis", "Cond. No."):
        of = [next(line for line in one.splitlines() if name in line) for one in (held, made)]
        assert of[0] == of[1]


def test_filters_weights_labels_and_missing_values():
    table = TABLE.copy()
    table.loc[[3, 4000], "a"] = np.nan
    frame = dd.from_pandas(table, npartitions=5)
    given = {"where": "shop < 20", "weights": "w", "missing": "drop"}
    held, made = (converter.convert(MODELS["y"], one, "y", **given) for one in (table, frame))
    assert held.nobs == made.nobs
    np.testing.assert_allclose(_numbers(made), _numbers(held), rtol=1e-9)
    with pytest.raises(converter.DataError, match="2 of 5000 rows have missing values, in a"):
        converter.convert(MODELS["y"], frame, "y")
    held, made = (
        converter.convert(MODELS["z"], one, "word", missing="drop") for one in (table, frame)
    )
    np.testing.assert_allclose(held.results.bse, made.results.bse, rtol=1e-9)
    with pytest.raises(converter.DataError, match="there is no column 'gone'"):
        converter.convert(MODELS["y"], frame, "gone")
    with pytest.raises(converter.DataError, match="no row has"):
        converter.convert(MODELS["y"], frame, "y", where="a > 100")


def test_categories():
    table = pd.read_csv(FIXTURES / "marriages.csv")
    target = table.columns[-1]
    held = converter.convert(FIXTURES / "marriages.keras", table, target)
    for parts in (1, 6):
        frame = dd.from_pandas(table, npartitions=parts)
        made = converter.convert(FIXTURES / "marriages.keras", frame, target)
        np.testing.assert_allclose(held.results.bse, made.results.bse, rtol=1e-9)
        assert list(held.results.params.index) == list(made.results.params.index)


def test_a_cluster_that_loses_a_worker(tmp_path):
    from distributed import Client, LocalCluster

    held = _numbers(converter.convert(MODELS["z"], TABLE, "z"))
    TABLE.to_parquet(tmp_path / "t.parquet", row_group_size=250)

    def slow(part):
        time.sleep(0.05)
        return part

    frame = dd.read_parquet(tmp_path / "t.parquet", split_row_groups=True).map_partitions(slow)
    assert frame.npartitions == 20
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)

        def kill():
            time.sleep(0.7)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        found = _numbers(converter.convert(MODELS["z"], frame, "z"))
        killer.join()
    np.testing.assert_allclose(found, held, rtol=1e-9)


def test_a_partition_that_fails():
    def fails(part):
        raise RuntimeError("no such disk")

    frame = dd.from_pandas(TABLE, npartitions=3).map_partitions(fails, meta=TABLE.iloc[:0])
    with pytest.raises(converter.DataError, match=r"partition cannot be computed: .*no such disk"):
        converter.convert(MODELS["y"], frame, "y")
