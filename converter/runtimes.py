"""Run a model in its own runtime, in a process of its own.

This is the only place where a model file is run, and only when a user asks for it
(``verify``). The process that asks exchanges plain arrays with this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.keras_archive import is_weights, pair_of

_SECONDS = 600


class RuntimeMissing(ValueError):
    """The runtime that a model needs is not installed."""


def run(
    path: str | os.PathLike[str],
    runtime: str,
    feeds: Sequence[tuple[str, np.ndarray]],
    output: str | int,
    shapes: Sequence[tuple[int, ...]] | None = None,
    signature: str = "",
) -> tuple[str, np.ndarray]:
    """Return what the model's own runtime computes.

    Parameters
    ----------
    path : path-like
    runtime : {"onnxruntime", "keras", "tensorflow", "tflite"}
    feeds : sequence of (str, ndarray of shape (n, *input shape))
        In the model's order of inputs.
    output : str or int
        Name (ONNX, SavedModel) or place (Keras) of the output.
    shapes : sequence of tuple of int, optional
        For a model that takes one observation a call: the shape of each input then.
    signature : str
        Which function of a SavedModel.

    Returns
    -------
    version : str
        Name and version of the runtime.
    values : ndarray

    Raises
    ------
    RuntimeMissing
        If it is not installed.
    ModelFileError
        If it cannot run the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        arrays: dict[str, Any] = {f"input{place}": a for place, (_, a) in enumerate(feeds)}
        np.savez(given, **arrays)
        order = {
            "path": os.path.abspath(path),
            "runtime": runtime,
            "names": [name for name, _ in feeds],
            "output": output,
            "shapes": shapes,
            "signature": signature,
            "given": str(given),
            "made": str(made),
        }
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "converter.runtimes"],
                input=json.dumps(order),
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelFileError(f"{runtime} did not finish within {_SECONDS} seconds") from None
        if done.returncode == _MISSING:
            package = "onnxruntime" if runtime == "onnxruntime" else "tensorflow"
            raise RuntimeMissing(f"{runtime} is not installed (pip install {package})")
        if done.returncode or not made.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            why = printable(lines[-1]) if lines else f"exit status {done.returncode}"
            raise ModelFileError(f"{runtime} cannot run the model: {why}")
        with np.load(made, allow_pickle=False) as saved:
            return str(saved["version"]), np.array(saved["values"])


_MISSING = 3


def _worker() -> int:
    order = json.loads(sys.stdin.read())
    with np.load(order["given"], allow_pickle=False) as saved:
        arrays = [saved[f"input{place}"] for place in range(len(order["names"]))]
    try:
        if order["runtime"] == "tensorflow":
            compute, version = _tensorflow(
                order["path"], order["names"], order["output"], order["signature"]
            )
        else:
            runner = _RUNNERS[order["runtime"]]
            compute, version = runner(order["path"], order["names"], order["output"])
    except ImportError:
        return _MISSING
    if order["shapes"] is None:
        values = compute(arrays)
    else:
        pairs = list(zip(arrays, order["shapes"], strict=True))
        single = [
            compute([array[place : place + 1].reshape(shape) for array, shape in pairs])
            for place in range(len(arrays[0]))
        ]
        values = np.stack([one.reshape(-1) for one in single])
    np.savez(order["made"], version=np.array(version), values=values)
    return 0


_Compute = Callable[[Sequence[np.ndarray]], np.ndarray]


def _onnxruntime(path: str, names: Sequence[str], output: str) -> tuple[_Compute, str]:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    # Optimisers put approximate kernels in the place of exact ones.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}

    def compute(arrays: Sequence[np.ndarray]) -> np.ndarray:
        feeds = {name: array for name, array in zip(names, arrays, strict=True) if name in wanted}
        (found,) = session.run([output], feeds)
        return _as_array(found)

    return compute, f"onnxruntime {onnxruntime.__version__}"


def _as_array(found: Any) -> np.ndarray:
    if isinstance(found, list) and found and isinstance(found[0], dict):
        # A ZipMap names the columns; its maps come in the order of the labels.
        return np.array([list(one.values()) for one in found], dtype=np.float64)
    return np.asarray(found, dtype=np.float64)


def _keras(path: str, names: Sequence[str], output: int) -> tuple[_Compute, str]:
    import keras
    import tensorflow

    if Path(path).suffix == ".json" or is_weights(Path(path).name):
        folder = Path(path).parent
        config, weights = pair_of(Path(path))
        model = keras.models.model_from_json((folder / config).read_text(encoding="utf-8"))
        model.load_weights(folder / weights)
    else:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)

    def compute(arrays: Sequence[np.ndarray]) -> np.ndarray:
        if any(one.dtype.kind == "U" for one in arrays):
            # Keras takes text as tensors only, and then wants all as tensors.
            arrays = [tensorflow.constant(one) for one in arrays]
        given: Any = list(arrays)
        structure = getattr(model, "_inputs_struct", None)
        if isinstance(structure, dict):
            named = dict(zip(names, arrays, strict=True))
            given = {key: named[tensor.name] for key, tensor in structure.items()}
        elif len(arrays) == 1:
            given = arrays[0]
        found = keras.tree.flatten(model(given, training=False))[output]
        return keras.ops.convert_to_numpy(keras.ops.cast(found, "float64"))

    return compute, f"keras {keras.__version__}"


def _tensorflow(
    path: str, names: Sequence[str], output: str, signature: str
) -> tuple[_Compute, str]:
    import tensorflow

    loaded = tensorflow.saved_model.load(path)
    function = loaded.signatures[signature]

    def compute(arrays: Sequence[np.ndarray]) -> np.ndarray:
        feeds = {
            name: tensorflow.constant(array) for name, array in zip(names, arrays, strict=True)
        }
        found = function(**feeds)[output]
        return np.asarray(tensorflow.cast(found, tensorflow.float64))

    return compute, f"tensorflow {tensorflow.__version__}"


def _tflite(path: str, names: Sequence[str], output: int) -> tuple[_Compute, str]:
    import tensorflow

    interpreter = tensorflow.lite.Interpreter(model_path=path)

    def compute(arrays: Sequence[np.ndarray]) -> np.ndarray:
        given = interpreter.get_input_details()
        for details, array in zip(given, arrays, strict=True):
            interpreter.resize_tensor_input(details["index"], array.shape)
        interpreter.allocate_tensors()
        for details, array in zip(given, arrays, strict=True):
            interpreter.set_tensor(details["index"], array)
        interpreter.invoke()
        made = interpreter.get_output_details()[output]
        return np.asarray(interpreter.get_tensor(made["index"]), dtype=np.float64)

    return compute, f"tensorflow {tensorflow.__version__} (lite)"


_RUNNERS: dict[str, Callable[..., tuple[_Compute, str]]] = {
    "keras": _keras,
    "onnxruntime": _onnxruntime,
    "tflite": _tflite,
}


if __name__ == "__main__":
    sys.exit(_worker())
