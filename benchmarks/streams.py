"""Measure regressions on Parquet files beside what a user would use instead, each in its process.

``python benchmarks/streams.py [--sizes 1000000x50,10000000x20]`` (needs ``converter[test]``).

Seconds count from the first byte of the file, imports done; of statsmodels and scikit-learn those
of the fit alone, the data in memory as they want them, stand beside. Megabytes are the process's
peak. converter gives the network's own statistics, the optimum and the test of it: with one pass,
and with as many as its search takes from a network that is a hundredth off.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper

PROCESS = """
import sys, time
import numpy as np
{imports}
start = between = time.perf_counter()
{code}
end = time.perf_counter()
# Not ru_maxrss, which holds what the parent took before.
(peak,) = (int(one.split()[1]) / 1024 for one in open("/proc/self/status") if "VmHWM" in one)
print(end - start, end - between, peak)
"""
READ = """
import pyarrow.parquet as pq
table = pq.read_table({data!r}, columns={names!r} + [{target!r}])
"""
SCAN = """
for batch in pq.ParquetFile({data!r}).iter_batches(columns={names!r} + [{target!r}]):
    pass
"""
FRAME = READ + "frame = table.to_pandas(); del table\n"
STATSMODELS = (
    FRAME
    + """
X, y = sm.add_constant(frame[{names!r}]), frame[{target!r}]
between = time.perf_counter()
fit = sm.{kind}(y, X).fit(**{given!r})
fit.bse, fit.llf, fit.tvalues
"""
)
SKLEARN = (
    FRAME
    + """
X, y = frame[{names!r}].to_numpy(), frame[{target!r}].to_numpy()
between = time.perf_counter()
{estimator}.fit(X, y)
"""
)
CONVERTER = """
made = converter.convert(
    {model!r}, {data!r}, {target!r}, features={names!r}, memory=0, passes={passes!r}
)
made.results.bse, made.results.llf, made.refit.bse, made.optimality.verdict
print(made.passes, file=sys.stderr)
"""


def table(path: Path, rows: int, columns: int) -> np.ndarray:
    """Write a table of normal columns, a linear response y and a binary one z; return slopes."""
    random = np.random.default_rng(1)
    slopes, writer = random.normal(size=columns) / np.sqrt(columns), None
    for start in range(0, rows, 1 << 18):
        X = random.normal(size=(min(1 << 18, rows - start), columns))
        eta = 0.3 + X @ slopes
        part = {f"x{i + 1}": X[:, i] for i in range(columns)}
        part["y"] = eta + random.normal(size=len(X))
        part["z"] = (eta + random.logistic(size=len(X)) > 0) * 1.0
        made = pa.table(part)
        writer = writer or pq.ParquetWriter(path, made.schema)
        writer.write_table(made)
    assert writer is not None
    writer.close()
    return slopes


def network(path: Path, slopes: np.ndarray, sigmoid: bool) -> None:
    """Write a network of one layer, a hundredth off."""
    names = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", len(slopes)])]
    out = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 1])]
    weights = [
        numpy_helper.from_array(1.01 * slopes[:, None], "w"),
        numpy_helper.from_array(np.array([0.3]), "b"),
    ]
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["eta" if sigmoid else "y"])]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["eta"], ["y"]))
    graph = helper.make_graph(nodes, "g", names, out, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def measured(imports: str, code: str) -> tuple[float, float, float]:
    """Run code in a process of its own: seconds in all, of its last part, and megabytes."""
    script = PROCESS.format(imports=imports, code=code)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    if done.returncode:
        return float("nan"), float("nan"), float("nan")
    whole, last, peak = map(float, done.stdout.split())
    return whole, last, peak


def compare(folder: Path, rows: int, columns: int) -> None:
    """Print the figures of one size."""
    data, names = folder / f"{rows}x{columns}.parquet", [f"x{i + 1}" for i in range(columns)]
    slopes = table(data, rows, columns)
    print(f"\n{rows:,} x {columns}: {data.stat().st_size / 1e6:,.0f} MB of Parquet")
    for kind, target, given, estimator in (
        ("OLS", "y", {}, "LinearRegression()"),
        ("Logit", "z", {"disp": 0}, "LogisticRegression(C=np.inf)"),
    ):
        model = folder / f"{kind}{columns}.onnx"
        network(model, slopes, kind == "Logit")
        fields = {
            "data": str(data),
            "names": names,
            "target": target,
            "model": str(model),
            "kind": kind,
            "given": given,
            "estimator": estimator,
        }
        statsmodels = "import statsmodels.api as sm, pyarrow.parquet as pq"
        runs = {
            "read the file, into memory": ("import pyarrow.parquet as pq", READ),
            "read the file, piece by piece": ("import pyarrow.parquet as pq", SCAN),
            f"statsmodels {kind}.fit": (statsmodels, STATSMODELS),
            f"scikit-learn {estimator}": (
                f"from sklearn.linear_model import {estimator.split('(')[0]}",
                SKLEARN,
            ),
        }
        lazily = ("convert", "streams.convert", "streams.rowless")
        ours = "import converter, pyarrow.parquet, pyarrow.dataset, converter.semantics.onnx.tables"
        ours += "".join(f", converter.regression.{one}" for one in lazily)
        for passes in (1, None):
            often = "one pass" if passes else "until nothing changes"
            runs[f"converter.convert, {often}"] = (ours, CONVERTER)
        found = {}
        for what, (imports, code) in runs.items():
            passes = 1 if "one pass" in what else None
            found[what] = measured(imports, code.format(**fields, passes=passes))
            whole, last, peak = found[what]
            alone = f" (the fit alone {last:6.2f} s)" if last != whole else " " * 25
            print(f"{kind:6s} {what:45s} {whole:7.2f} s{alone} {peak:8,.0f} MB", flush=True)
        fit = found[f"statsmodels {kind}.fit"]
        for what, one in found.items():
            if what.startswith("converter"):
                print(
                    f"{kind:6s} {what}: {fit[1] / one[0]:.1f} times as fast as the fit of "
                    f"statsmodels, {fit[0] / one[0]:.1f} with its reading; "
                    f"{one[2] / fit[2]:.3f} of its memory"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000000x50,10000000x20", help="rows x columns, ...")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes.split(","):
            rows, columns = map(int, size.split("x"))
            compare(Path(folder), rows, columns)


if __name__ == "__main__":
    main()
