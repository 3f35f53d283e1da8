"""Measure converter beside what a user would use instead, as ratios in one run.

``python benchmarks/run.py [--only abcdef] [--size MB] [--repeat N]`` (needs ``converter[test]``).

(a) whole processes on a small model: ``converter inspect`` against ``keras.models.load_model``,
    and ``converter convert`` against a hand-written Keras + numpy + statsmodels script;
(b) in one process: models folded per second, against ``keras.models.load_model``;
(c) a Dense chain of --size MB, .keras and .onnx: fold against load_model + numpy products (and
    onnx.load + numpy products), and against merely reading the file's bytes;
(d) ONNX graphs of 10,000 and --nodes nodes: fold against loading and probing with onnxruntime;
(e) regressions of --rows x 30 in memory: convert (the network's own statistics, the optimum and
    its test) against statsmodels' fits, OLS and Logit, and against both fits together; and a
    multinomial one of ten classes, quantile and Huber's regression;
(f) a folder of --models small networks: batch, models a second and the cost of each to the process
    that writes the ledger, against a loop of load_model over some of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

FIXTURES = Path(__file__).parent.parent / "fixtures"
MODEL = FIXTURES / "longley_linear.keras"
TABLE = FIXTURES / "longley.csv"

LOAD = f"import keras; keras.models.load_model({str(MODEL)!r})"
BY_HAND = f"""
import keras, numpy as np, pandas as pd, statsmodels.api as sm
model = keras.models.load_model({str(MODEL)!r})
table = pd.read_csv({str(TABLE)!r})
X, y = table.drop(columns="TOTEMP"), table["TOTEMP"]
b = model.predict(np.vstack([np.zeros(6), np.eye(6)]), verbose=0)[:, 0]
b[1:] -= b[0]
D = sm.add_constant(X)
fit = sm.OLS(y, D).fit()
s2 = ((y - D @ b) ** 2).sum() / fit.df_resid
pinned = sm.regression.linear_model.OLSResults(fit.model, b, fit.normalized_cov_params, s2)
print(pinned.summary(), fit.summary())
"""


def seconds(run: Callable[[], object], repeat: int) -> float:
    """Return the median time of some runs, after one that does not count."""
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def process(*command: str) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True)


def line(what: str, ours: float, theirs: float, than: str) -> None:
    print(f"{what:<42} {ours:9.4f} s   {than:<34} {theirs:9.4f} s   ratio {ours / theirs:7.4f}")


def whole_processes(repeat: int) -> None:
    command = str(Path(sys.executable).with_name("converter"))
    inspect = seconds(process(command, "inspect", str(MODEL)), repeat)
    loading = seconds(process(sys.executable, "-c", LOAD), repeat)
    line("(a) converter inspect, small .keras", inspect, loading, "load_model")
    arguments = ("convert", str(MODEL), "--data", str(TABLE), "--target", "TOTEMP")
    convert = seconds(process(command, *arguments), repeat)
    by_hand = seconds(process(sys.executable, "-c", BY_HAND), repeat)
    line("(a) converter convert, small .keras", convert, by_hand, "Keras + numpy + statsmodels")


def small_models(repeat: int) -> None:
    import keras

    import converter

    for suffix in (".keras", ".h5", ".onnx"):
        path = MODEL.with_suffix(suffix)
        ours = seconds(lambda path=path: [converter.fold(path) for _ in range(50)], repeat) / 50
        if suffix == ".onnx":
            print(f"(b) fold, small {suffix:<26} {ours:9.4f} s   {1 / ours:.0f} models a second")
            continue
        theirs = seconds(lambda path=path: keras.models.load_model(path, compile=False), repeat)
        line(f"(b) fold, small {suffix}", ours, theirs, "load_model")


def chain(folder: Path, megabytes: int) -> tuple[Path, Path]:
    """Save a chain of square Dense layers with one output, in both formats."""
    import keras
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    depth = 4
    width = int((megabytes * 1e6 / 4 / depth) ** 0.5)
    keras.utils.set_random_seed(0)
    sizes = [width] * depth + [1]
    model = keras.Sequential([keras.Input((width,)), *(keras.layers.Dense(size) for size in sizes)])
    model.save(folder / "chain.keras")
    nodes, weights, edge = [], [], "x"
    for place, layer in enumerate(model.layers):
        kernel, bias = (np.asarray(w) for w in layer.get_weights())
        weights += [numpy_helper.from_array(kernel, f"k{place}")]
        weights += [numpy_helper.from_array(bias, f"b{place}")]
        nodes.append(helper.make_node("Gemm", [edge, f"k{place}", f"b{place}"], [f"h{place}"]))
        edge = f"h{place}"
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(edge, TensorProto.FLOAT, ["n", 1])],
        weights,
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "chain.onnx",
    )
    return folder / "chain.keras", folder / "chain.onnx"


def product(weights: list) -> object:
    """Fold by hand: from the output back, in float64, biases included."""
    import numpy as np

    row, offset = np.ones((1, 1)), 0.0
    for kernel, bias in reversed(weights):
        offset += row @ bias.astype(np.float64)
        row = row @ kernel.astype(np.float64).T
    return row, offset


def large_models(repeat: int, megabytes: int) -> None:
    import keras
    import onnx
    from onnx import numpy_helper

    import converter

    def by_keras(path: Path) -> object:
        model = keras.models.load_model(path)
        return product([layer.get_weights() for layer in model.layers])

    def by_onnx(path: Path) -> object:
        graph = onnx.load(path).graph
        arrays = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
        return product([(arrays[n.input[1]], arrays[n.input[2]]) for n in graph.node])

    with tempfile.TemporaryDirectory() as name:
        for path, peer, label in zip(
            chain(Path(name), megabytes),
            (by_keras, by_onnx),
            ("load_model + numpy", "onnx.load + numpy"),
            strict=True,
        ):
            ours = seconds(lambda path=path: converter.fold(path), repeat)
            size = path.stat().st_size / 1e6
            line(
                f"(c) fold, {size:.0f} MB {path.suffix}",
                ours,
                seconds(lambda path=path, peer=peer: peer(path), repeat),
                label,
            )
            reading = seconds(path.read_bytes, repeat)
            line(f"(c) fold, {size:.0f} MB {path.suffix}", ours, reading, "reading the bytes")


def many_nodes(repeat: int, nodes: int) -> None:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    import converter

    def saved(path: Path, count: int) -> Path:
        steps = [
            helper.make_node(("Add", "Mul", "Sub")[i % 3], [f"v{i}", "w"], [f"v{i + 1}"])
            for i in range(count)
        ]
        weight = numpy_helper.from_array(np.array([1.0, 0.999, 1.001], np.float32), "w")
        graph = helper.make_graph(
            steps,
            "chain",
            [helper.make_tensor_value_info("v0", 1, ["rows", 3])],
            [helper.make_tensor_value_info(f"v{count}", 1, ["rows", 3])],
            [weight],
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
            path,
        )
        return path

    def probed(path: Path) -> object:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        points = np.vstack([np.zeros(3), np.eye(3)]).astype(np.float32)
        return session.run(None, {"v0": points})

    with tempfile.TemporaryDirectory() as name:
        for count in (10_000, nodes):
            path = saved(Path(name) / f"{count}.onnx", count)
            line(
                f"(d) fold, {count:,} nodes",
                seconds(lambda path=path: converter.fold(path), repeat),
                seconds(lambda path=path: probed(path), repeat),
                "onnxruntime, probed",
            )


def regressions(repeat: int, rows: int) -> None:
    import numpy as np
    import pandas as pd
    import statsmodels.api as sm

    import converter
    from converter.model import AffineModel
    from converter.network import Loss

    rng = np.random.default_rng(0)
    X, slopes = rng.normal(size=(rows, 30)), rng.normal(size=(10, 30)) / 5
    names = [f"x{i}" for i in range(30)]
    exog = sm.add_constant(pd.DataFrame(X, columns=names))

    def model(count: int, link: str, family: str, loss: str) -> AffineModel:
        return AffineModel(
            coef=slopes[:count],
            intercept=np.zeros(count),
            has_intercept=np.ones(count, dtype=bool),
            link=link,
            family=family,
            feature_names=tuple(names),
            output_names=tuple(f"y[{i}]" for i in range(count)),
            loss=Loss(loss),
            groups=((0,) if count > 1 else (-1,)) * count,
            inputs=tuple((name, (1,)) for name in names),
        )

    eta = X @ slopes.T
    shares = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    responses = {
        "numbers": eta[:, 0] + rng.standard_t(5, size=rows),
        "binary": (rng.random(rows) < 1 / (1 + np.exp(-eta[:, 0]))) * 1.0,
        "classes": (shares.cumsum(axis=1) < rng.random(rows)[:, None]).sum(axis=1),
    }
    tables = {key: exog.iloc[:, 1:].assign(y=value) for key, value in responses.items()}
    cases = (
        ("OLS", "numbers", model(1, "identity", "gaussian", "mean_squared_error")),
        ("Logit", "binary", model(1, "logit", "binomial", "binary_crossentropy")),
        ("MNLogit, 10 classes", "classes", model(10, "softmax", "multinomial", "")),
        ("QuantReg", "numbers", model(1, "identity", "gaussian", "mean_absolute_error")),
        ("RLM", "numbers", model(1, "identity", "gaussian", "huber")),
    )
    fits: dict[str, Callable[[], object]] = {
        "OLS": lambda: sm.OLS(responses["numbers"], exog).fit(),
        "Logit": lambda: sm.Logit(responses["binary"], exog).fit(disp=0),
        "MNLogit, 10 classes": lambda: sm.MNLogit(responses["classes"], exog).fit(disp=0),
        "QuantReg": lambda: sm.QuantReg(responses["numbers"], exog).fit(),
        "RLM": lambda: sm.RLM(responses["numbers"], exog).fit(),
    }
    ours = {
        key: seconds(lambda one=one, table=table: converter.convert(one, tables[table], "y"), runs)
        for key, table, one in cases
        for runs in [repeat if key in ("OLS", "Logit") else 1]
    }
    theirs = {
        key: seconds(fit, repeat if key in ("OLS", "Logit") else 1) for key, fit in fits.items()
    }
    both = theirs["OLS"] + theirs["Logit"]
    for key, time_ in ours.items():
        line(f"(e) convert, {key}, {rows:,} x 30", time_, theirs[key], "statsmodels' fit")
        if key in ("OLS", "Logit"):
            line(f"(e) convert, {key}, {rows:,} x 30", time_, both, "statsmodels' OLS + Logit fits")


def many_models(count: int) -> None:
    import shutil

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "models")
        place.mkdir()
        for number in range(count):
            shutil.copy(MODEL, place / f"{number:06}.keras")
        loop = (
            f"import keras, time; load = keras.models.load_model; load({str(MODEL)!r})\n"
            f"paths = [{str(place)!r} + f'/{{n:06}}.keras' for n in range(50)]\n"
            "start = time.perf_counter(); [load(one) for one in paths]\n"
            "print((time.perf_counter() - start) / 50)"
        )
        command = [sys.executable, "-m", "converter", "batch", str(place), "--quiet"]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--ledger", f"{folder}/l.sqlite"], check=True, capture_output=True
        )
        whole = time.perf_counter() - start
        ours = whole / count
        # What a run of one model takes is its start-up.
        start = time.perf_counter()
        one = [sys.executable, "-m", "converter", "batch", f"{place}/000000.keras", "--quiet"]
        subprocess.run([*one, "--ledger", f"{folder}/o.sqlite"], check=True, capture_output=True)
        later = (whole - (time.perf_counter() - start)) / (count - 1)
        found = subprocess.run(
            [sys.executable, "-c", loop], check=True, capture_output=True, text=True
        )
        theirs = float(found.stdout.split()[-1])
        line(
            f"(f) batch of {count:,}: {1 / ours:.0f} models/s", ours, theirs, "load_model in a loop"
        )
        line(f"(f) after start-up: {1 / later:.0f} models/s", later, theirs, "load_model in a loop")
        start = time.perf_counter()
        subprocess.run(
            [*command, "--ledger", f"{folder}/l.sqlite"], check=True, capture_output=True
        )
        again = (time.perf_counter() - start) / count
        line(f"(f) the same again: {1 / again:.0f} models/s", again, theirs, "load_model in a loop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=250, help="MB of the large model")
    parser.add_argument("--repeat", type=int, default=5, help="runs that count, per figure")
    parser.add_argument("--nodes", type=int, default=100_000, help="nodes of the large graph")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the regressions")
    parser.add_argument("--models", type=int, default=10_000, help="models of the batch")
    parser.add_argument("--only", default="abcdef", help="parts to run")
    given = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "a": lambda: whole_processes(given.repeat),
        "b": lambda: small_models(given.repeat),
        "c": lambda: large_models(given.repeat, given.size),
        "d": lambda: many_nodes(min(given.repeat, 3), given.nodes),
        "e": lambda: regressions(given.repeat, given.rows),
        "f": lambda: many_models(given.models),
    }
    for part in given.only:
        parts[part]()


if __name__ == "__main__":
    main()
