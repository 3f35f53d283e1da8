"""Rows that are streamed past give what rows in memory give, or refuse in one sentence."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from conftest import FIXTURES
from models import affine

import converter
from converter.regression.streams import sources
from converter.regression.streams.room import bytes_of
from converter.regression.streams.shape import Shape

R = np.random.default_rng(21)
N, NAMES = 6000, ["a", "b", "c"]
X = R.normal(size=(N, 3)) * [1.0, 30.0, 0.2] + [0.0, 500.0, 0.0]
ETA = 0.3 + (X - [0.0, 500.0, 0.0]) @ [0.5, -0.02, 1.0]
WEIGHTS = R.uniform(0.5, 2.0, N)
Y = {
    "OLS": ETA + R.normal(size=N),
    "WLS": ETA + R.normal(size=N) / np.sqrt(WEIGHTS),
    "Logit": (ETA + R.logistic(size=N) > 0) * 1.0,
    "Probit": (ETA + R.normal(size=N) > 0) * 1.0,
    "Poisson": R.poisson(np.exp(ETA)) * 1.0,
    "MNLogit": np.digitize(ETA + R.logistic(size=N), [-0.5, 1.0]) * 1.0,
}
KINDS = list(Y)
LINKS = {
    "Logit": {"link": "logit", "family": "binomial"},
    "Probit": {"link": "probit", "family": "binomial"},
    "Poisson": {"link": "log", "family": "poisson"},
    "MNLogit": {"link": "softmax", "family": "multinomial", "groups": (0, 0, 0)},
}
TABLE = pd.DataFrame(X, columns=NAMES).assign(
    **{f"y_{kind}": y for kind, y in Y.items()},
    w=WEIGHTS,
    shop=R.integers(0, 40, N),
    town=R.integers(0, 30, N),
    month=R.choice(list("uvwxyz"), N),
    note="n",
)
SLOPES = [0.5, -0.02, 1.0]
SCALARS = ["nobs", "df_resid", "df_model", "llf", "aic", "bic"]
LINEAR = ["rsquared", "rsquared_adj", "scale", "ess", "ssr", "fvalue", "f_pvalue", "mse_total"]
DISCRETE = ["prsquared", "llnull", "llr", "llr_pvalue"]


def _model(kind, off=0.01, constant=True):
    intercept = 0.3 + 500.0 * 0.02 if constant else None
    slopes = np.array(SLOPES) * (1.0 + off)
    if kind == "MNLogit":  # near the optimum
        slopes = np.array([[0.0, 0.0, 0.0], [0.44, -0.0184, 0.79], [0.81, -0.0343, 1.67]])
        slopes, intercept = slopes * (1.0 + off), np.array([0.0, 9.4, 16.9])
    return affine(slopes, intercept, names=NAMES, **LINKS.get(kind, {}))


def _both(kind, table, off=0.01, constant=True, **given):
    """Return the conversion in memory and the streamed one."""
    given = {"weights": "w"} | given if kind == "WLS" else given
    model, target = _model(kind, off, constant), f"y_{kind}"
    held = converter.convert(model, table, target, **given)
    streamed = converter.convert(model, table, target, memory=0, **given)
    assert not held.passes
    assert streamed.passes
    return held, streamed


def _close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=tolerance, atol=0.0)


def _same_results(held, streamed, kind, tolerance=1e-9):
    _close(streamed.params, held.params, tolerance)
    for name in ("bse", "tvalues"):
        _close(getattr(streamed, name), getattr(held, name), tolerance)
    errors = np.ravel(held.bse, order="F")
    difference = np.asarray(streamed.cov_params()) - np.asarray(held.cov_params())
    assert np.abs(difference / np.outer(errors, errors)).max() <= tolerance
    _close(streamed.conf_int(), held.conf_int(), max(tolerance, 1e-8))
    for name in SCALARS + (LINEAR if kind in ("OLS", "WLS") else DISCRETE):
        _close(getattr(streamed, name), getattr(held, name), tolerance)
    count = np.size(held.params)
    restriction = np.eye(count)[-2:]
    _close(
        streamed.wald_test(restriction, scalar=True).statistic,
        held.wald_test(restriction, scalar=True).statistic,
        1e-8,
    )
    _close(streamed.t_test(np.eye(count)).tvalue, held.t_test(np.eye(count)).tvalue, 1e-8)
    width = len(np.asarray(held.params))
    rows = R.normal(size=(5, width)) * [*[1.0] * (width - 3), 1.0, 30.0, 0.2]
    _close(streamed.predict(rows), held.predict(rows), 1e-8)


def _lines(summary):
    return [
        line for line in str(summary).splitlines() if "Time:" not in line and "Date:" not in line
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same table in every kind of file."""
    path = tmp_path_factory.mktemp("tables")
    table = pa.Table.from_pandas(TABLE)
    pq.write_table(table, path / "t.parquet", row_group_size=700)
    feather.write_feather(table, str(path / "t.arrow"), chunksize=900)
    feather.write_feather(table, str(path / "plain.arrow"), compression="uncompressed")
    with pa.ipc.new_stream(path / "t.arrows", table.schema) as file:
        file.write_table(table, 800)
    TABLE.to_csv(path / "t.csv", index=False)
    with gzip.open(path / "t.csv.gz", "wt") as file:
        TABLE.to_csv(file, index=False)
    TABLE.to_csv(path / "t.csv.bz2", index=False)
    TABLE.to_csv(path / "semicolon.csv", index=False, sep=";", decimal=",")
    TABLE.to_csv(path / "semicolon.csv.gz", index=False, sep=";", decimal=",")
    (path / "parts").mkdir()
    for place, part in enumerate(np.array_split(np.arange(N), 7)):
        pq.write_table(table.take(pa.array(part)), path / "parts" / f"{place}.parquet")
    ds.write_dataset(
        table, path / "months", format="parquet", partitioning=["month"], partitioning_flavor="hive"
    )
    return path


# The numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_streamed_rows_give_what_rows_in_memory_give(kind, constant, folder):
    if kind in ("Poisson", "MNLogit", "Probit") and not constant:
        pytest.skip("far from any optimum")
    held, streamed = _both(kind, folder / "t.parquet", constant=constant)
    _same_results(held.results, streamed.results, kind)
    _same_results(held.refit, streamed.refit, kind)
    a, b = held.optimality, streamed.optimality
    assert a.verdict == b.verdict
    _close([a.statistic, a.pvalue, a.max_drift], [b.statistic, b.pvalue, b.max_drift], 1e-6)
    _close(list(a.drift.values()), list(b.drift.values()), 1e-6)
    assert [*map(str, held.caveats)] == [*map(str, streamed.caveats[:-1])]
    assert streamed.caveats[-1].topic == "streamed"
    assert held.nobs == streamed.nobs == N
    pd.testing.assert_frame_equal(held.tidy(), streamed.tidy(), rtol=1e-6)
    pd.testing.assert_frame_equal(held.glance(), streamed.glance(), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_summaries_are_equal(kind, folder):
    held, streamed = _both(kind, folder / "t.parquet")
    assert _lines(held.results.summary()) == _lines(streamed.results.summary())
    assert _lines(held.refit.summary()) == _lines(streamed.refit.summary())
    assert streamed.summary().startswith(held.results.summary().as_text()[:200])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "given",
    [
        {"cov_type": "HC0"},
        {"cov_type": "HC1"},
        {"cov_type": "cluster", "cov_kwds": {"groups": "shop"}},
        {"cov_type": "cluster", "cov_kwds": {"groups": "shop", "use_correction": False}},
        {"cov_type": "cluster", "cov_kwds": {"groups": "shop", "df_correction": False}},
        {"cov_type": "cluster", "cov_kwds": {"groups": ["shop", "town"]}},
        {"training_data": False},
        {"missing": "drop"},
    ],
    ids=str,
)
def test_options_are_the_same(kind, given, folder):
    held, streamed = _both(kind, folder / "t.parquet", **given)
    _same_results(held.results, streamed.results, kind)
    _same_results(held.refit, streamed.refit, kind)
    assert held.results.cov_type == streamed.results.cov_type
    assert held.results.use_t == streamed.results.use_t
    assert held.optimality.verdict == streamed.optimality.verdict
    assert _lines(held.results.summary()) == _lines(streamed.results.summary())
    _close(held.tidy()["p_value"], streamed.tidy()["p_value"], 1e-7)


def test_fixed_scale(folder):
    given = {"cov_type": "fixed scale", "cov_kwds": {"scale": 1.3}}
    _same_results(*(one.results for one in _both("OLS", folder / "t.parquet", **given)), "OLS")


SOURCES = [
    "t.parquet",
    "t.arrow",
    "plain.arrow",
    "t.arrows",
    "t.csv",
    "t.csv.gz",
    "t.csv.bz2",
    "semicolon.csv",
    "semicolon.csv.gz",
    "parts",
    "months",
]


@pytest.mark.parametrize("kind", ["OLS", "Logit"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_file(source, kind, folder):
    held = converter.convert(_model(kind), TABLE, f"y_{kind}")
    streamed = converter.convert(_model(kind), folder / source, f"y_{kind}", memory=0)
    assert streamed.passes
    _same_results(held.results, streamed.results, kind)
    _same_results(held.refit, streamed.refit, kind)
    if source != "months":  # whose rows stand in another order
        assert _lines(held.results.summary()) == _lines(streamed.results.summary())


@pytest.mark.parametrize("kind", ["OLS", "Logit"])
def test_readers_are_read_once(kind, folder):
    table = pa.Table.from_pandas(TABLE)
    held = converter.convert(_model(kind), TABLE, f"y_{kind}")
    for reader in (
        table.to_reader(500),
        ds.dataset(folder / "parts").scanner().to_reader(),
        ds.dataset(folder / "parts"),
    ):
        streamed = converter.convert(_model(kind), reader, f"y_{kind}", memory=0)
        assert streamed.passes
        _same_results(held.results, streamed.results, kind)
    again = converter.convert(_model(kind), table.to_reader(500), f"y_{kind}")
    assert not again.passes  # it fits
    _same_results(held.results, again.results, kind)


@pytest.mark.parametrize("where", ["shop < 7", "month = 'u' OR shop IN (1, 2)", "month <> 'z'"])
@pytest.mark.parametrize("source", ["t.parquet", "t.arrow", "t.csv", "months"])
def test_filters_of_rows(source, where, folder):
    held = converter.convert(_model("OLS"), TABLE, "y_OLS", where=where)
    streamed = converter.convert(_model("OLS"), folder / source, "y_OLS", where=where, memory=0)
    assert held.nobs == streamed.nobs < N
    _same_results(held.results, streamed.results, "OLS")


def test_partitions_that_hold_no_row_are_not_opened(folder, tmp_path):
    import shutil

    shutil.copytree(folder / "months", tmp_path / "months")
    for file in (tmp_path / "months" / "month=z").iterdir():
        file.write_bytes(b"PAR1 this is no Parquet file PAR1")
    made = converter.convert(
        _model("OLS"), tmp_path / "months", "y_OLS", where="month = 'u'", memory=0
    )
    assert made.nobs == (TABLE.month == "u").sum()


def test_columns_of_partitions_are_columns(folder):
    table = TABLE.assign(d=TABLE.month.map({one: i for i, one in enumerate("uvwxyz")}))
    ds.write_dataset(
        pa.Table.from_pandas(table),
        folder / "numbered",
        format="parquet",
        partitioning=["d"],
        partitioning_flavor="hive",
    )
    model = affine([*SLOPES, 0.1], 10.3, names=[*NAMES, "d"])
    held = converter.convert(model, table, "y_OLS")
    streamed = converter.convert(model, folder / "numbered", "y_OLS", memory=0)
    _same_results(held.results, streamed.results, "OLS")
    given = {"cov_type": "cluster", "cov_kwds": {"groups": "month"}}
    held = converter.convert(_model("OLS"), TABLE, "y_OLS", **given)
    streamed = converter.convert(_model("OLS"), folder / "months", "y_OLS", memory=0, **given)
    _same_results(held.results, streamed.results, "OLS")


# Hard rows ----------------------------------------------------------------------------------------


def _parquet(table, path, rows=1000):
    pq.write_table(pa.Table.from_pandas(table), path / "hard.parquet", row_group_size=rows)
    return path / "hard.parquet"


HARD = {
    "trend": lambda t: t.assign(a=np.arange(N) * 1e3, b=np.arange(N) ** 2.0),
    "sorted": lambda t: t.assign(a=(np.arange(N) >= N // 2) * 1.0, b=(np.arange(N) >= 5500) * 1.0),
    "near": lambda t: t.assign(b=t.a + 1e-7 * t.b),
    "later": lambda t: t.assign(b=np.where(np.arange(N) < 5000, t.a, t.b)),
    "drift": lambda t: t.assign(a=t.a + np.arange(N) * 1e5, b=t.b + np.arange(N) * 1e5),
    "far": lambda t: t.assign(a=t.a + 1e9 * (np.arange(N) == N - 1)),
    "units": lambda t: t.assign(a=t.a * 1e-9, b=t.b * 1e9),
}


@pytest.mark.parametrize("how", HARD)
def test_first_rows_that_are_no_example_of_the_others(how, tmp_path):
    table = HARD[how](TABLE)
    rows = table[NAMES].to_numpy()
    table["y"] = 1.0 + rows @ [1.0, 2.0, 3.0] / np.abs(rows).max() + Y["OLS"]
    best = np.linalg.lstsq(np.column_stack([np.ones(N), rows]), table.y, rcond=None)[0]
    model = affine(best[1:] * 1.01, best[0], names=NAMES)
    path = _parquet(table, tmp_path)
    held = converter.convert(model, table, "y")
    streamed = converter.convert(model, path, "y", memory=0)
    condition = np.linalg.cond(np.column_stack([np.ones(N), rows]) / np.abs(rows).max())
    tolerance = max(1e-9, condition * 1e-14) if how != "units" else 1e-9
    _close(held.results.bse, streamed.results.bse, tolerance)
    _close(held.refit.params, streamed.refit.params, tolerance)
    _close(held.refit.bse, streamed.refit.bse, tolerance)
    _close(held.results.ssr, streamed.results.ssr, 1e-9)


def test_dependent_columns(tmp_path):
    table = TABLE.assign(b=TABLE.a * 2.0 - TABLE.c)
    path = _parquet(table, tmp_path)
    for kind in ("OLS", "Logit"):
        model = affine([0.4, 0.02, 1.0], 0.3, names=NAMES, **LINKS.get(kind, {}))
        held = converter.convert(model, table, f"y_{kind}")
        streamed = converter.convert(model, path, f"y_{kind}", memory=0)
        assert held.parameters == streamed.parameters == 3
        assert [one.topic for one in held.caveats] == [one.topic for one in streamed.caveats[:-1]]
        _close(held.results.bse, streamed.results.bse, 1e-8)
        _close(held.refit.params, streamed.refit.params, 1e-8)


def test_a_network_far_from_the_optimum(folder):
    held, streamed = _both("OLS", folder / "t.parquet", off=1e9)
    assert streamed.passes == 2  # the first drowns what remains
    _close(held.refit.params, streamed.refit.params)
    _close(held.refit.bse, streamed.refit.bse)
    _close(held.refit.ssr, streamed.refit.ssr)


def test_an_exact_fit(tmp_path):
    table = TABLE.assign(y=X @ SLOPES)
    model = affine(np.array(SLOPES) * 1.01, 0.1, names=NAMES)
    held = converter.convert(model, table, "y")
    streamed = converter.convert(model, _parquet(table, tmp_path), "y", memory=0)
    assert "perfect-fit" in [one.topic for one in streamed.caveats]
    assert held.optimality.verdict == streamed.optimality.verdict
    assert streamed.optimality.max_drift == np.inf


def test_separated_classes(tmp_path):
    table = TABLE.assign(y=(TABLE.a > 0.1) * 1.0)
    model = affine([3.0, 0.0, 0.0], 0.0, names=NAMES, **LINKS["Logit"])
    streamed = converter.convert(model, _parquet(table, tmp_path), "y", memory=0)
    assert not streamed.optimality.converged
    assert "separation" in [one.topic for one in streamed.caveats]
    assert np.isnan(streamed.tidy()["optimum"]).all()
    # So few rows are all looked at, and what tells them apart is named.
    held = converter.convert(model, table, "y")
    assert [*map(str, streamed.caveats[:-1])] == [*map(str, held.caveats)]
    assert "no optimum was found" in str(streamed.caveats[-1])
    assert streamed.passes < 30


def test_restricted(folder, tmp_path):
    import json

    path = FIXTURES / "diabetes_deep.keras"
    held = converter.convert(path, FIXTURES / "diabetes.parquet", "progression", restricted=True)
    streamed = converter.convert(
        path, FIXTURES / "diabetes.parquet", "progression", restricted=True, memory=0
    )
    _close(held.results.bse, streamed.results.bse)
    _close(held.refit.params, streamed.refit.params)
    assert held.parameters == streamed.parameters
    json.dumps(streamed.to_dict())


# Passes -------------------------------------------------------------------------------------------


def test_one_step_and_more(folder):
    model = _model("Logit", 0.001)
    held = converter.convert(model, TABLE, "y_Logit")
    errors, best = held.refit.bse, held.refit.params
    off = []
    for passes in (1, 2, 3, None):
        made = converter.convert(model, folder / "t.parquet", "y_Logit", memory=0, passes=passes)
        assert passes is None or made.passes <= passes
        off.append(float(np.abs((made.refit.params - best) / errors).max()))
        assert ("one step" in str(made.caveats[-1])) == (passes is not None)
        assert made.refit.mle_retvals["converged"] == (passes is None)
        assert ("one step" in str(made.refit.summary()).replace("\n", " ")) == (passes is not None)
        assert made.refit.llf == pytest.approx(held.refit.llf, rel=1e-3 if passes == 1 else 1e-6)
    assert 1.0 > off[0] > off[1] > off[2]
    assert off[-1] < 1e-9
    ols = converter.convert(_model("OLS"), folder / "t.parquet", "y_OLS", memory=0)
    assert ols.passes == 1


def test_numbers_of_passes_are_checked(folder):
    for bad in (0, -1, 1.5, "two"):
        with pytest.raises(ValueError, match="passes must be a whole number"):
            converter.convert(_model("OLS"), folder / "t.parquet", "y_OLS", passes=bad)


# What needs the rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_needs_the_rows_says_so(kind, folder):
    _, streamed = _both(kind, folder / "t.parquet")
    asked = {
        "fittedvalues": lambda one: one.fittedvalues,
        "predict": lambda one: one.predict(),
        "get_prediction": lambda one: one.get_prediction(),
        "resid": lambda one: one.resid,
        "resid_pearson": lambda one: one.resid_pearson,
        "get_influence": lambda one: one.get_influence(),
        "outlier_test": lambda one: one.outlier_test(),
        "HC3_se": lambda one: one.HC3_se,
        "get_margeff": lambda one: one.get_margeff(),
        "pred_table": lambda one: one.pred_table(),
        "summary2": lambda one: one.summary2() if kind in ("OLS", "WLS") else one.predict(),
        "im_ratio": lambda one: one.im_ratio,
        "resid_dev": lambda one: one.resid_dev,
        "get_robustcov_results": lambda one: one.get_robustcov_results("HC0"),
        "score_test": lambda one: one.score_test(exog_extra=np.ones((N, 1))),
    }
    tried = 0
    for results in (streamed.results, streamed.refit):
        for name, call in asked.items():
            try:
                there = hasattr(type(results._results), name)
            except ValueError:
                there = True
            own = kind == "MNLogit" and name in ("get_influence", "get_prediction", "fittedvalues")
            if not there or own:
                continue
            with pytest.raises(ValueError, match=r"streamed past|assumes") as error:
                call(results)
            assert "\n" not in str(error.value)
            tried += 1
    assert tried > 8


def test_regressions_that_need_their_rows(folder):
    for given, message in (
        ({"family": "quantile"}, "quantile regression needs its rows in memory"),
        ({"family": "huber"}, "huber regression needs its rows in memory"),
        ({"cov_type": "HC3"}, "HC3 covariance needs the rows in memory"),
        ({"cov_type": "HAC", "cov_kwds": {"maxlags": 2}}, "HAC covariance needs the rows"),
    ):
        with pytest.raises(converter.DataError, match=message):
            converter.convert(_model("OLS"), folder / "t.parquet", "y_OLS", memory=0, **given)
    with pytest.raises(ValueError, match="target must name a column"):
        converter.convert(_model("OLS"), folder / "t.parquet", Y["OLS"], memory=0)
    with pytest.raises(ValueError, match="weights must name a column"):
        converter.convert(_model("OLS"), folder / "t.parquet", "y_OLS", weights=WEIGHTS, memory=0)
    with pytest.raises(ValueError, match="groups of rows that are streamed name a column"):
        converter.convert(
            _model("OLS"),
            folder / "t.parquet",
            "y_OLS",
            cov_type="cluster",
            cov_kwds={"groups": np.arange(N)},
            memory=0,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_saved_results_are_statsmodels_own(kind, folder, tmp_path):
    _, streamed = _both(kind, folder / "t.parquet")
    streamed.results.save(tmp_path / "r.pickle")
    assert b"converter" not in (tmp_path / "r.pickle").read_bytes()
    code = (
        "import sys, statsmodels.api as sm, numpy as np\n"
        f"r = sm.load({str(tmp_path / 'r.pickle')!r})\n"
        "print(r.summary()); print(repr(float(np.ravel(r.bse)[0])))\n"
        "assert not any(one.startswith('converter') for one in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert not done.returncode, done.stderr
    assert float(done.stdout.split()[-1]) == float(np.ravel(streamed.results.bse)[0])
    again = pickle.loads(pickle.dumps(streamed))
    assert _lines(again.results.summary()) == _lines(streamed.results.summary())


# Memory -------------------------------------------------------------------------------------------


def test_sizes():
    assert bytes_of("500 MB") == 500_000_000
    assert bytes_of("2 GiB") == 2 * 1024**3
    assert bytes_of("1.5k") == 1500
    assert bytes_of(12) == 12
    for bad in ("much", "-1 MB", -1, True, "5 XB"):
        with pytest.raises(ValueError, match="memory must be a number of bytes"):
            bytes_of(bad)


def test_it_streams_where_it_must(folder):
    for source in SOURCES:
        size = N * 15 * 8 * 6
        for memory, streams in ((size * 100, False), (1000, True)):
            made = converter.convert(_model("OLS"), folder / source, "y_OLS", memory=memory)
            assert bool(made.passes) == streams, (source, memory)
    # Of all columns there are too many; of those that are needed there are not.
    made = converter.convert(_model("OLS"), folder / "t.parquet", "y_OLS", memory=N * 5 * 8 * 6)
    assert not made.passes
    _close(made.results.bse, converter.convert(_model("OLS"), TABLE, "y_OLS").results.bse)


# Files that are not right -------------------------------------------------------------------------


def test_missing_and_infinite_values(tmp_path):
    table = TABLE.copy()
    table.loc[[5, 700, 5999], "a"] = np.nan
    table.loc[[5, 9], "y_OLS"] = np.nan
    table.loc[12, "shop"] = np.nan
    path = _parquet(table, tmp_path)
    with pytest.raises(converter.DataError) as held:
        converter.convert(_model("OLS"), table, "y_OLS")
    with pytest.raises(converter.DataError) as streamed:
        converter.convert(_model("OLS"), path, "y_OLS", memory=0)
    assert str(held.value).split(": ", 1)[1] == str(streamed.value).split(": ", 1)[1]
    given = {"missing": "drop", "cov_type": "cluster", "cov_kwds": {"groups": "shop"}}
    held = converter.convert(_model("OLS"), table, "y_OLS", **given)
    streamed = converter.convert(_model("OLS"), path, "y_OLS", memory=0, **given)
    assert held.nobs == streamed.nobs == N - 5
    assert held.dropped == streamed.dropped == 5
    _same_results(held.results, streamed.results, "OLS")
    table.loc[[44, 46], "b"] = np.inf
    path = _parquet(table, tmp_path)
    for data, more in ((table, {}), (path, {"memory": 0})):
        with pytest.raises(converter.DataError, match=r"infinite values in b \(2\); correct them"):
            converter.convert(_model("OLS"), data, "y_OLS", **more)
        made = converter.convert(_model("OLS"), data, "y_OLS", **given, **more)
        assert (made.nobs, made.dropped) == (N - 7, 7)


def test_files_cut_short_are_named(folder, tmp_path):
    whole = (folder / "t.parquet").read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(converter.DataError, match=r"cut\.parquet.*cut short"):
        converter.convert(_model("OLS"), path, "y_OLS", memory=0)
    # A row group in the middle that is damaged, behind a footer that is whole.
    meta = pq.ParquetFile(folder / "t.parquet").metadata
    place = next(
        meta.row_group(4).column(i)
        for i in range(meta.num_columns)
        if meta.row_group(4).column(i).path_in_schema == "b"
    )
    start = place.dictionary_page_offset or place.data_page_offset
    damaged = bytearray(whole)
    damaged[start : start + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    path.write_bytes(damaged)
    with pytest.raises(converter.DataError, match=r"cut\.parquet: row group.* of 9.*damaged"):
        converter.convert(_model("OLS"), path, "y_OLS", memory=0)
    for name in ("t.arrow", "t.arrows", "t.csv.gz"):
        data = (folder / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(converter.DataError, match=name.replace(".", r"\.")):
            converter.convert(_model("OLS"), tmp_path / name, "y_OLS", memory=0)


def test_schemas_that_change_are_named(folder, tmp_path):
    import shutil

    for change, message in (
        (lambda t: t.drop_columns(["b"]), "has no column 'b'"),
        (lambda t: t.set_column(1, "b", t["b"].cast(pa.string())), "holds string here and double"),
    ):
        shutil.rmtree(tmp_path / "parts", ignore_errors=True)
        shutil.copytree(folder / "parts", tmp_path / "parts")
        file = tmp_path / "parts" / "4.parquet"
        pq.write_table(change(pq.read_table(file)), file)
        with pytest.raises(converter.DataError, match=rf"4\.parquet.*{message}"):
            converter.convert(_model("OLS"), tmp_path / "parts", "y_OLS", memory=0)
    # Widths of numbers may differ.
    shutil.rmtree(tmp_path / "parts")
    shutil.copytree(folder / "parts", tmp_path / "parts")
    file = tmp_path / "parts" / "4.parquet"
    table = pq.read_table(file)
    pq.write_table(
        table.set_column(table.column_names.index("shop"), "shop", table["shop"].cast(pa.int16())),
        file,
    )
    converter.convert(
        _model("OLS"),
        tmp_path / "parts",
        "y_OLS",
        memory=0,
        cov_type="cluster",
        cov_kwds={"groups": "shop"},
    )


def test_text_further_down_a_csv_file(tmp_path):
    lines = TABLE[[*NAMES, "y_OLS"]].to_csv(index=False).splitlines()
    lines[5000] = "1.0,many,3.0,4.0"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(converter.DataError, match=r"t\.csv: .*many"):
        converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", memory=0)
    lines[5000] = "1.0,3.0"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(converter.DataError, match=r"t\.csv: .*[Ee]xpected 4 columns"):
        converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", memory=0)


def test_whole_numbers_first_and_fractions_later(tmp_path):
    table = TABLE[[*NAMES, "y_OLS"]].copy()
    table["a"] = [str(i % 5) if i < 5500 else "0.5" for i in range(N)]
    table.to_csv(tmp_path / "t.csv", index=False)
    held = converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS")
    streamed = converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", memory=0)
    _same_results(held.results, streamed.results, "OLS")


def test_columns_that_are_not_there_or_no_numbers(folder):
    model = affine([1.0, 1.0], 0.0, names=["a", "zz"])
    for data in ("t.parquet", "t.csv"):
        with pytest.raises(converter.DataError, match="no column zz"):
            converter.convert(model, folder / data, "y_OLS", memory=0)
        with pytest.raises(converter.DataError, match="there is no column 'gone'"):
            converter.convert(_model("OLS"), folder / data, "gone", memory=0)
        with pytest.raises(converter.DataError, match="'note' is not numeric"):
            converter.convert(_model("OLS"), folder / data, "note", memory=0)
        with pytest.raises(converter.DataError, match="no row has"):
            converter.convert(_model("OLS"), folder / data, "y_OLS", where="a > 1e9", memory=0)


# Classes, categories ------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("no", "yes"), (1.0, 2.0), (False, True)])
def test_labels_of_two_classes(names, tmp_path):
    table = TABLE.assign(y=[names[int(one)] for one in Y["Logit"]])
    path = _parquet(table, tmp_path)
    held = converter.convert(_model("Logit"), table, "y")
    streamed = converter.convert(_model("Logit"), path, "y", memory=0)
    _same_results(held.results, streamed.results, "Logit")
    assert [*map(str, held.caveats)] == [*map(str, streamed.caveats[:-1])]


def test_labels_of_several_classes(tmp_path):
    table = TABLE.assign(y=[["low", "mid", "top"][int(one)] for one in Y["MNLogit"]])
    path = _parquet(table, tmp_path)
    held = converter.convert(_model("MNLogit"), table, "y")
    streamed = converter.convert(_model("MNLogit"), path, "y", memory=0)
    _same_results(held.results, streamed.results, "MNLogit")
    assert _lines(held.results.summary()) == _lines(streamed.results.summary())
    with pytest.raises(converter.DataError, match="holds 40 classes"):
        converter.convert(_model("MNLogit"), path, "shop", memory=0)


@pytest.mark.parametrize("file", ["marriages.parquet", "marriages.csv"])
def test_categories(file, tmp_path):
    table = pd.read_csv(FIXTURES / "marriages.csv")
    if file.endswith("csv"):
        table.to_csv(tmp_path / file, index=False)
    else:
        pq.write_table(pa.Table.from_pandas(table), tmp_path / file, row_group_size=100)
    target = table.columns[-1] if "affair" not in table else "affair"
    for given in ({}, {"missing": "drop"}):
        held = converter.convert(FIXTURES / "marriages.keras", table, target, **given)
        streamed = converter.convert(
            FIXTURES / "marriages.keras", tmp_path / file, target, memory=0, **given
        )
        _close(held.results.params, streamed.results.params)
        _close(held.results.bse, streamed.results.bse)
        _close(held.refit.params, streamed.refit.params, 1e-8)
        assert list(held.results.params.index) == list(streamed.results.params.index)
        assert [*map(str, held.caveats)] == [*map(str, streamed.caveats[:-1])]


def test_several_outputs(folder):
    model = affine([SLOPES, [0.1, 0.2, 0.3]], [10.0, 1.0], names=NAMES, groups=(-1, -1))
    held = converter.convert(model, TABLE, ["y_OLS", "y_WLS"])
    streamed = converter.convert(model, folder / "t.parquet", ["y_OLS", "y_WLS"], memory=0)
    for name in ("y[0]", "y[1]"):
        _same_results(held[name].results, streamed[name].results, "OLS")


# Shapes of residuals ------------------------------------------------------------------------------


def test_shapes_merge():
    from statsmodels.stats.stattools import durbin_watson, jarque_bera, omni_normtest

    for residual in (R.gamma(2.0, size=999) + 5.0, R.normal(size=20) * 1e-9, R.normal(size=9)):
        for parts in (1, 2, 7):
            state = Shape()
            for part in np.array_split(residual, parts):
                state = state.merge(Shape.of(part))
            found = state.tests()
            _close(found["jarque_bera"], jarque_bera(residual), 1e-10)
            _close(found["omni_normtest"], omni_normtest(residual), 1e-10)
            _close(found["durbin_watson"], durbin_watson(residual), 1e-12)


def test_rows_at_once():
    assert sources.rows_at_once(10) == 1 << 15
    assert sources.rows_at_once(10_000) == 1 << 10


# What testers found -------------------------------------------------------------------------------


def test_labels_of_groups_may_be_equal(tmp_path):
    zeros = R.integers(0, 20, N) * 1.0
    zeros[zeros < 3] = 0.0
    zeros[(zeros == 0) & (R.random(N) < 0.5)] = -0.0
    repeated = pa.DictionaryArray.from_arrays(
        pa.array(R.integers(0, 4, N), pa.int32()), ["u", "u", "v", "w"]
    )
    table = pa.Table.from_pandas(TABLE).append_column("z", pa.array(zeros))
    table = table.append_column("d", repeated)
    for groups in ("z", "d"):
        given = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
        held = converter.convert(_model("OLS"), table, "y_OLS", **given)
        streamed = converter.convert(
            _model("OLS"), table.to_reader(100), "y_OLS", memory=0, **given
        )
        _same_results(held.results, streamed.results, "OLS")


def test_sums_of_squares_of_dependent_columns(tmp_path):
    for noise in (0.0, 1e-6):
        table = TABLE.assign(c=2.0 * TABLE.a - TABLE.b + noise * R.normal(size=N))
        model = affine(np.array([0.5, -0.02, 0.2]) * 1e6, 1.0, names=NAMES)
        path = _parquet(table, tmp_path)
        streamed = converter.convert(model, path, "y_OLS", memory=0)
        refit = streamed.refit
        assert refit.ess + refit.ssr == pytest.approx(refit.centered_tss, rel=1e-6)
        held = converter.convert(model, table, "y_OLS")
        assert refit.fvalue == pytest.approx(held.refit.fvalue, rel=1e-6)


@pytest.mark.parametrize("kind", ["Logit", "Probit", "Poisson"])
def test_networks_of_other_units_find_their_way(kind, tmp_path):
    x = R.normal(50.0, 10.0, N)
    y = {"Poisson": R.poisson(np.exp((x - 50.0) / 10.0)) * 1.0}.get(
        kind, (R.random(N) < 1.0 / (1.0 + np.exp((50.0 - x) / 10.0))) * 1.0
    )
    table = pd.DataFrame({"x": x, "y": y})
    model = affine([1.0], 0.0, names=["x"], **LINKS[kind])
    held = converter.convert(model, table, "y")
    streamed = converter.convert(model, _parquet(table, tmp_path), "y", memory=0)
    assert streamed.optimality.converged
    _close(streamed.refit.params, held.refit.params, 1e-7)
    _close(streamed.refit.bse, held.refit.bse, 1e-7)
    assert streamed.passes < 20


def test_counts_in_the_hundred_thousands(tmp_path):
    table = TABLE.assign(y=R.poisson(1e5 * np.exp(0.1 * TABLE.a)) * 1.0)
    model = affine([0.0, 0.0, 0.0], 0.0, names=NAMES, **LINKS["Poisson"])
    streamed = converter.convert(model, _parquet(table, tmp_path), "y", memory=0)
    assert streamed.refit.params.iloc[1] == pytest.approx(0.1, abs=1e-3)


def test_numbers_of_several_widths_in_a_folder(tmp_path):
    import decimal

    a, b = R.integers(0, 100, N), R.normal(size=N)
    y = 0.1 * a + 2.0 * b + R.normal(size=N)
    model = affine([0.1, 2.0], 0.0, names=["a", "b"])
    halves = (slice(0, 1000), slice(1000, N))
    firsts = {
        "decimal": pa.array([decimal.Decimal(int(i)) for i in a[:1000]], pa.decimal128(5, 0)),
        "int": pa.array(a[:1000], pa.int32()),
        "float": pa.array(a[:1000] * 1.0, pa.float32()),
        "null": pa.nulls(1000),
    }
    for name, first in firsts.items():
        (tmp_path / name).mkdir()
        for place, (rows, column) in enumerate(
            zip(halves, (first, pa.array(a[halves[1]] + 0.1)), strict=True)
        ):
            part = pa.table({"a": column, "b": b[rows], "y": y[rows]})
            pq.write_table(part, tmp_path / name / f"{place}.parquet")
        whole = pd.DataFrame({"a": np.r_[a[:1000] * 1.0, a[1000:] + 0.1], "b": b, "y": y})
        if name == "null":
            whole = whole[1000:]
        held = converter.convert(model, whole, "y")
        for memory in (0, None):
            made = converter.convert(model, tmp_path / name, "y", memory=memory, missing="drop")
            _same_results(held.results, made.results, "OLS")


def test_ids_of_sixteen_digits_in_csv_files(tmp_path):
    table = TABLE.assign(g=2**53 + R.integers(0, 40, N), late="7")
    table.loc[N - 5 :, "late"] = "x9"
    table.to_csv(tmp_path / "t.csv", index=False)
    for groups in ("g", "late"):
        given = {"cov_type": "cluster", "cov_kwds": {"groups": groups}}
        held = converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", **given)
        streamed = converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", memory=0, **given)
        _same_results(held.results, streamed.results, "OLS")
    where = f"g = {2**53 + 1}"
    held = converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", where=where)
    streamed = converter.convert(_model("OLS"), tmp_path / "t.csv", "y_OLS", where=where, memory=0)
    assert held.nobs == streamed.nobs


def test_what_changes_type_in_a_csv_file_is_named(tmp_path):
    lines = ["a,b,c,y", *(f"{i % 7},{i % 5},{i % 3 + 0.5},{i % 11}" for i in range(400_000))]
    lines[-3] = "1,many,0.5,3"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(converter.DataError, match=r"the column 'b' holds an invalid value 'many'"):
        converter.convert(_model("OLS"), tmp_path / "t.csv", "y", memory=0)


def test_wide_columns_that_are_not_wanted_are_not_read(tmp_path, monkeypatch):
    table = pa.Table.from_pandas(TABLE)
    pq.write_table(table, tmp_path / "t.parquet")
    asked = set()
    own = pq.ParquetFile.iter_batches

    def spied(self, *args, columns=None, **more):
        asked.update(columns)
        return own(self, *args, columns=columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spied)
    converter.convert(_model("OLS"), tmp_path / "t.parquet", "y_OLS", memory=0)
    converter.convert(_model("OLS"), tmp_path / "t.parquet", "y_OLS")
    assert asked == {*NAMES, "y_OLS"}


def test_pipes_are_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "fifo")
    for memory in (0, None):
        with pytest.raises(converter.DataError, match="there is no such file"):
            converter.convert(_model("OLS"), tmp_path / "fifo", "y_OLS", memory=memory)


def test_a_table_that_changed_since(folder, tmp_path):
    import shutil

    path = tmp_path / "t.parquet"
    shutil.copy(folder / "t.parquet", path)
    made = converter.convert(_model("OLS"), path, "y_OLS", memory=0)
    pq.write_table(pq.read_table(path).slice(0, 4000), path)
    with pytest.raises(ValueError, match="has changed since it was converted"):
        made.refit.summary()
    path.unlink()
    with pytest.raises(ValueError, match="has changed since it was converted"):
        made.refit.summary()
    made.refit.save(tmp_path / "r.pickle")
    import statsmodels.api as sm

    shown = str(sm.load(tmp_path / "r.pickle").summary())
    assert "Durbin-Watson:                     nan" in shown
    assert "R-squared" in str(made.results.summary())


def test_readers_that_break_their_word(tmp_path):
    table = pa.Table.from_pandas(TABLE[[*NAMES, "y_OLS"]], preserve_index=False)

    def batches(fails):
        for place, batch in enumerate(table.to_batches(max_chunksize=1000)):
            if place == 3 and fails:
                raise RuntimeError("source went away")
            yield batch.set_column(0, "a", batch["a"].cast(pa.float32())) if place == 3 else batch

    for fails, message in ((False, "batch 4 has other columns, or types"), (True, "went away")):
        reader = pa.RecordBatchReader.from_batches(table.schema, batches(fails))
        with pytest.raises(converter.DataError, match=message) as error:
            converter.convert(_model("OLS"), reader, "y_OLS", memory=0)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [1e100, 1e200, 1e300, 1e-160])
def test_numbers_whose_squares_are_none(size, tmp_path):
    table = TABLE.assign(a=TABLE.a * size)
    path = _parquet(table, tmp_path)
    for data, more in ((table, {}), (path, {"memory": 0})):
        if size in (1e100,):
            converter.convert(_model("OLS"), data, "y_OLS", **more).results.summary()
            continue
        with pytest.raises(converter.DataError, match="'a' holds numbers whose squares"):
            converter.convert(_model("OLS"), data, "y_OLS", **more)


def test_folders_with_links_and_other_files(folder, tmp_path):
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "0.parquet").write_bytes((folder / "t.parquet").read_bytes())
    (tmp_path / "loop" / "again").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "0.parquet").write_bytes((folder / "t.parquet").read_bytes())
    (tmp_path / "mixed" / "1.csv").write_bytes((folder / "t.csv").read_bytes())
    for name, message in (
        ("loop", "holds some file twice"),
        ("empty", "holds no Parquet file"),
        ("mixed", r"1\.csv: cannot be read as a table.*a folder holds Parquet files only"),
    ):
        for memory in (0, None):
            with pytest.raises(converter.DataError, match=message) as error:
                converter.convert(_model("OLS"), tmp_path / name, "y_OLS", memory=memory)
            assert str(error.value).count(str(tmp_path)) == 1


def test_partitions_by_fractions(tmp_path):
    table = TABLE.assign(a=R.choice([0.25, -1.5, 3.0], N))
    ds.write_dataset(
        pa.Table.from_pandas(table, preserve_index=False),
        tmp_path / "p",
        format="parquet",
        partitioning=["a"],
        partitioning_flavor="hive",
    )
    held = converter.convert(_model("OLS"), table, "y_OLS")
    for memory in (0, None):
        made = converter.convert(_model("OLS"), tmp_path / "p", "y_OLS", memory=memory)
        _same_results(held.results, made.results, "OLS")


def test_groups_that_are_regressors_and_hc3_behind_a_link(tmp_path):
    table = TABLE.assign(a=np.round(TABLE.a))
    path = _parquet(table, tmp_path)
    given = {"cov_type": "cluster", "cov_kwds": {"groups": "a"}}
    held = converter.convert(_model("OLS"), table, "y_OLS", **given)
    streamed = converter.convert(_model("OLS"), path, "y_OLS", memory=0, **given)
    _same_results(held.results, streamed.results, "OLS")
    held, streamed = _both("Logit", path, cov_type="HC3")
    _same_results(held.results, streamed.results, "Logit")


def test_passes_bound_robust_covariances_too(folder):
    made = converter.convert(
        _model("OLS"), folder / "t.parquet", "y_OLS", memory=0, cov_type="HC1", passes=1
    )
    assert made.passes == 1
    assert "made of the network's residuals" in str(made.caveats[-1])
    given = {"cov_type": "cluster", "cov_kwds": {"groups": "shop"}}
    for passes in (1, 2, 3):
        made = converter.convert(
            _model("Logit"), folder / "t.parquet", "y_Logit", memory=0, passes=passes, **given
        )
        assert made.passes == passes
        assert np.isfinite(made.refit.bse).all()


def test_sandwiches_keep_their_digits(tmp_path):
    """Of ill-conditioned columns, in memory and streamed, against extended precision."""
    x = R.normal(100.0, 0.027, 9000)
    table = pd.DataFrame({"x": x, "y": (R.random(9000) < 0.5) * 1.0, "g": R.integers(0, 40, 9000)})
    model = affine([0.5], -50.0, names=["x"], **LINKS["Logit"])
    X = np.column_stack([np.ones(9000), x]).astype(np.longdouble)
    p = 1.0 / (1.0 + np.exp(-(X @ np.array([-50.0, 0.5], np.longdouble))))
    scores = X * (table.y.to_numpy() - p)[:, None]
    W = X.T @ (X * (p * (1 - p))[:, None])
    bread = np.array([[W[1, 1], -W[0, 1]], [-W[1, 0], W[0, 0]]])
    bread /= W[0, 0] * W[1, 1] - W[0, 1] ** 2
    sums = np.stack([scores[table.g == g].sum(axis=0) for g in range(40)])
    factor = 40.0 / 39.0 * (9000.0 - 1.0) / (9000.0 - 2.0)
    want = np.sqrt(np.diag(bread @ (sums.T @ sums) @ bread) * factor).astype(float)
    given = {"cov_type": "cluster", "cov_kwds": {"groups": "g"}}
    for data, more in ((table, {}), (_parquet(table, tmp_path), {"memory": 0})):
        _close(converter.convert(model, data, "y", **given, **more).results.bse, want, 1e-10)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *((kind, how) for kind in ("Logit", "Poisson") for how in HARD if how != "far"),
        ("Logit", "far"),  # where a count would be one of 17 digits
    ],
)
def test_searches_in_ill_conditioned_columns(kind, how, tmp_path):
    table = HARD[how](TABLE)
    rows = table[NAMES].to_numpy()
    scaled = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-300)
    eta = 0.3 + scaled @ [0.5, -0.3, 0.2]
    table["y"] = (eta + R.logistic(size=N) > 0) * 1.0 if kind == "Logit" else R.poisson(np.exp(eta))
    slopes = np.array([0.5, -0.3, 0.2]) / rows.std(axis=0)
    model = affine(slopes, 0.3 - rows.mean(axis=0) @ slopes, names=NAMES, **LINKS[kind])
    held = converter.convert(model, table, "y")
    streamed = converter.convert(model, _parquet(table, tmp_path), "y", memory=0)
    assert streamed.optimality.converged == held.optimality.converged
    assert streamed.passes < 12 or (kind, how) == ("Logit", "far")  # nearly separated by a row
    size = np.abs(held.refit.params - streamed.refit.params) / held.refit.bse
    assert size.max() < 1e-6
    _close(streamed.refit.llf, held.refit.llf, 1e-9)


def test_bounds_hold_where_the_network_is_no_start(tmp_path):
    x = R.normal(50.0, 10.0, N)
    y = (R.random(N) < 1.0 / (1.0 + np.exp((50.0 - x) / 10.0))) * 1.0
    path = _parquet(pd.DataFrame({"x": x, "y": y}), tmp_path)
    model = affine([1.0], 0.0, names=["x"], **LINKS["Logit"])
    for passes in (1, 2, 3):
        assert converter.convert(model, path, "y", memory=0, passes=passes).passes == passes


def test_groups_of_saturated_networks(tmp_path):
    """Whose information is singular to rounding: the rows are read again, and groups once."""
    table = TABLE.assign(y=(TABLE.a + 0.3 * R.logistic(size=N) > 0) * 1.0)
    model = affine([300.0, 0.0, 0.0], 0.0, names=NAMES, **LINKS["Logit"])
    given = {"cov_type": "cluster", "cov_kwds": {"groups": ["shop", "town"]}}
    held = converter.convert(model, table, "y", **given)
    made = converter.convert(model, _parquet(table, tmp_path), "y", memory=0, **given)
    _close(held.refit.bse, made.refit.bse, 1e-8)
    assert [*map(str, held.caveats)] == [*map(str, made.caveats[:-1])]


def test_sandwiches_where_rows_say_next_to_nothing(tmp_path):
    """Separated in part, or far out: the information there has no digits to spare."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"a": rng.normal(100, 1, 200), "d": (rng.random(200) < 0.03) * 1.0})
    table = table.sort_values("d", kind="stable", ignore_index=True)
    ones = (table.a - 100 + rng.normal(size=200) > 0) | (table.d > 0)
    table = table.assign(y=ones * 1.0, g=rng.integers(0, 25, 200))
    probit = affine([1.0, 1.0], -100.0, names=["a", "d"], **LINKS["Probit"])
    rng = np.random.default_rng(12)
    counts = pd.DataFrame({"a": rng.normal(100, 30, 3000), "b": rng.normal(0, 0.3, 3000)})
    mean = np.exp(0.3 + 0.02 * (counts.a - 100) + rng.normal() * counts.b)
    counts["y"] = rng.poisson(mean) * 1.0
    counts["g"], counts["h"] = rng.integers(0, 300, 3000), rng.integers(0, 7, 3000)
    poisson = affine([0.4, 15.0], -40.0, names=["a", "b"], **LINKS["Poisson"])
    for model, rows, groups in ((probit, table, "g"), (poisson, counts, ["g", "h"])):
        path = _parquet(rows, tmp_path)
        for given in (
            {"cov_type": "HC1"},
            {"cov_type": "cluster", "cov_kwds": {"groups": groups}},
        ):
            held = converter.convert(model, rows, "y", **given)
            made = converter.convert(model, path, "y", memory=0, **given)
            _close(made.results.bse, held.results.bse, 1e-6)
            if held.optimality.converged:
                _close(made.refit.bse, held.refit.bse, 1e-6)
            else:
                assert (made.refit.bse > 0).all()


@pytest.mark.parametrize("kind", ["Logit", "Probit", "Poisson"])
def test_bounded_searches_have_their_groups(kind, folder):
    model = affine([10.0, 0.0, 0.0], 3.0, names=NAMES, **LINKS[kind])
    given = {"cov_type": "cluster", "cov_kwds": {"groups": "shop"}}
    for passes in (1, 2, 3):
        made = converter.convert(
            model, folder / "t.parquet", f"y_{kind}", memory=0, passes=passes, **given
        )
        assert np.isfinite(made.refit.bse).all()
        made.to_dict()


def test_headers_of_other_encodings_and_sizes_without_end(tmp_path):
    (tmp_path / "l.csv").write_bytes("é,b,y\n1,2,3\n4,5,6\n".encode("latin1"))
    for memory in (0, None):
        with pytest.raises(converter.DataError, match="not in UTF-8"):
            converter.convert(affine([1.0, 2.0], 0.0), tmp_path / "l.csv", "y", memory=memory)
    assert bytes_of(float("inf")) > 1e18
    with pytest.raises(converter.DataError, match=r"the table has a, b, c, [^\0]*$"):
        converter.convert(_model("OLS"), TABLE, "y_OLS", where="nope = 1")
