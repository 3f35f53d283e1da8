"""A corpus of hostile Keras files: each is refused fast, in little memory, and nothing of it runs.

All are read in one fresh process under an audit hook, which sees every file that is opened, every
module that is imported, and every call of the interpreter that could run something.
"""

from __future__ import annotations

import base64
import json
import marshal
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from conftest import FIXTURES

KERAS = FIXTURES / "longley_linear.keras"
H5 = FIXTURES / "longley_linear.h5"


def _evil_bytecode() -> str:
    code = compile("__import__('os').system('touch pwned')", "<evil>", "eval")
    return base64.b64encode(marshal.dumps(code)).decode()


def _lambda(**config) -> dict:
    function = {
        "class_name": "__lambda__",
        "config": {"code": _evil_bytecode(), "defaults": None, "closure": None},
    }
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "evil", "function": function, **config},
        "registered_name": None,
    }


def _named(module: str, name: str) -> dict:
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return _lambda(function=function)


def _dense(**config) -> dict:
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "evil", "units": 4, "use_bias": False, **config},
        "registered_name": None,
    }


def _layer(class_name: str, module: str = "keras.layers", **config) -> dict:
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": "evil", **config},
        "registered_name": None,
    }


def _function(module: str, name: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": None}


#: What stands in the place of the first Dense layer.
LAYERS: dict[str, dict] = {
    "lambda_bytecode": _lambda(),
    "lambda_of_keras_2": _lambda(function=[_evil_bytecode(), None, None], function_type="lambda"),
    "lambda_os_system": _named("os", "system"),
    "lambda_in_keras": _named("keras.src.utils", "get_file"),
    "lambda_unsafe": _named("keras.config", "enable_unsafe_deserialization"),
    "lambda_in_wrapper": _layer("TimeDistributed", layer=_lambda()),
    "lambda_in_bidirectional": _layer("Bidirectional", layer=_lambda()),
    "lambda_in_rnn": _layer("RNN", cell=_lambda()),
    "lambda_in_nested_model": _layer(
        "Sequential",
        "keras",
        layers=[_layer("InputLayer", batch_shape=[None, 6]), _lambda()],
    ),
    "tfsm_layer": _layer("TFSMLayer", filepath="/etc", call_endpoint="serve"),
    "torch_module": _layer("TorchModuleWrapper", module=_evil_bytecode()),
    "jax_layer": _layer("JaxLayer", call_fn=_function("os", "system")),
    "vocabulary_path": _layer("StringLookup", vocabulary="/etc/passwd"),
    "integer_vocabulary_path": _layer("IntegerLookup", vocabulary="../../etc/passwd"),
    "text_vectorization": _layer("TextVectorization", vocabulary="/etc/passwd"),
    "activation_os": _dense(activation=_function("os", "system")),
    "activation_builtins_eval": _dense(activation=_function("builtins", "eval")),
    "activation_layer_lambda": _dense(activation=_lambda()),
    "initializer_os": _dense(
        kernel_initializer=_function("os", "system"), activation=_function("os", "abort")
    ),
    "regulariser_class": _dense(
        kernel_regularizer=_layer("Popen", "subprocess", args="touch pwned"),
        activation=_function("pickle", "loads"),
    ),
    "module_os": _layer("system", "os", command="touch pwned"),
    "module_dotted": _layer("Dense", "keras.src.utils.python_utils", units=4),
    "registered_name": {**_dense(), "registered_name": "os>system"},
    "dtype_policy": _dense(dtype=_layer("Popen", "subprocess", args="touch pwned")),
    "name_leads_out": {**_dense(), "config": {"name": "../../../etc/passwd", "units": 4}},
    "units_bomb": _dense(units=1 << 62),
    "reshape_bomb": _layer("Reshape", target_shape=[1 << 40, 1 << 40]),
    "repeat_bomb": _layer("RepeatVector", n=1 << 50),
    "padding_bomb": _layer("ZeroPadding1D", padding=[1 << 50, 1 << 50]),
    "embedding_bomb": _layer("Embedding", input_dim=1 << 60, output_dim=1 << 60),
    "encoding_bomb": _layer("CategoryEncoding", num_tokens=1 << 60),
    "hashing_bomb": _layer("Hashing", num_bins=1 << 60, output_mode="one_hot"),
    "steps_bomb": _layer(
        "Sequential",
        "keras",
        layers=[
            _layer("RepeatVector", n=300_000),
            _layer("SimpleRNN", units=4, activation="linear", use_bias=False),
        ],
    ),
    "cells_bomb": _layer("StackedRNNCells", cells=[]),
    "nested_lists": _dense(activation=json.loads("[" * 500 + "]" * 500)),
}


def _config(layer: dict) -> dict:
    with zipfile.ZipFile(KERAS) as archive:
        config = json.loads(archive.read("config.json"))
    place = next(
        i for i, one in enumerate(config["config"]["layers"]) if one["class_name"] == "Dense"
    )
    config["config"]["layers"][place] = layer
    return config


def _archive(path, **members) -> None:
    with zipfile.ZipFile(KERAS) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()} | members
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in whole.items():
            archive.writestr(name, content)


def _h5(path, change) -> None:
    path.write_bytes(H5.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)


def _weights_link(file) -> None:
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/")


def _huge_attribute(file) -> None:
    file.attrs["model_config"] = "[" * 60000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for name, layer in LAYERS.items():
        config = _config(layer)
        _archive(folder / f"{name}.keras", **{"config.json": json.dumps(config).encode()})
        _h5(
            folder / f"{name}.h5", lambda f, c=config: f.attrs.create("model_config", json.dumps(c))
        )
        pair = folder / f"{name}.json"
        pair.write_text(json.dumps(config))
        with zipfile.ZipFile(KERAS) as archive:
            weights = archive.read("model.weights.h5")
        (folder / f"{name}.weights.h5").write_bytes(weights)
    _h5(folder / "weights_link.h5", _weights_link)
    _h5(folder / "huge_attribute.h5", _huge_attribute)
    shards = {"metadata": {}, "weight_map": {"layers/dense": "../../etc/x.weights.h5"}}
    _archive(
        folder / "shard_leads_out.keras", **{"model.weights.json": json.dumps(shards).encode()}
    )
    bundle = folder / "folder_with_a_link"
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(_config(_dense())))
    (bundle / "model.weights.h5").symlink_to("/etc/passwd")
    return folder


_WATCH = """
import json, resource, sys, time
import converter
from converter import errors, formats, inspection, registry  # what every reading imports
from converter.formats import keras_archive, keras_h5
import converter.semantics.keras
folder, names = sys.argv[1], json.loads(sys.argv[2])
for good in sys.argv[3:]:  # what reading any file imports
    converter.inspect(good)
# A custom class makes Python look, once, for installed modules that teach layers.
registry.custom_layer("any>class")
known = set(sys.modules)
seen = []
RUNS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "ctypes.dlopen",
        "marshal.loads", "pickle.find_class", "socket.connect", "urllib.Request", "code.__new__")
def hook(event, args):
    if event == "open":
        seen.append(("open", str(args[0])))
    elif event in RUNS:
        seen.append(("runs", event))
sys.addaudithook(hook)
results = {}
for name in names:
    del seen[:]
    start = time.perf_counter()
    try:
        verdict = converter.inspect(f"{folder}/{name}").verdict
    except errors.ModelFileError as error:
        verdict = "ModelFileError"
    took = time.perf_counter() - start
    results[name] = [verdict, took, sorted(set(map(tuple, seen)))]
fresh = sorted(set(sys.modules) - known)
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps([results, fresh, int(peak[0].split()[1]) // 1024]))
"""


@pytest.fixture(scope="module")
def watched(corpus):
    names = sorted(path.name for path in corpus.iterdir() if not path.name.endswith(".weights.h5"))
    done = subprocess.run(
        [sys.executable, "-c", _WATCH, str(corpus), json.dumps(names), str(KERAS), str(H5)],
        capture_output=True,
        text=True,
        check=True,
        cwd=corpus,
    )
    return (corpus, *json.loads(done.stdout))


def test_each_is_refused(watched):
    _, results, _, _ = watched
    accepted = [name for name, (verdict, *_) in results.items() if verdict in ("affine", "linked")]
    assert not accepted
    assert len(results) > 100


def test_nothing_runs_and_no_other_file_is_opened(watched):
    corpus, results, _, _ = watched
    for name, (_, _, seen) in results.items():
        stem = name.split(".")[0]
        for event, what in seen:
            assert event == "open", (name, what)
            ours = what.startswith(f"{corpus}/{stem}.") or what.startswith(f"{corpus}/{stem}/")
            assert ours, (name, what)
    assert not (corpus / "pwned").exists()


def test_nothing_that_a_file_names_is_imported(watched):
    _, _, fresh, _ = watched
    roots = {name.split(".")[0] for name in fresh}
    assert roots.isdisjoint(
        {"keras", "tensorflow", "torch", "jax", "pickle", "subprocess", "dill", "cloudpickle"}
    ), roots


def test_each_takes_well_under_a_second_and_little_memory(watched):
    _, results, _, peak = watched
    assert peak < 200
    slow = {name: took for name, (_, took, _) in results.items() if took > 1.0}
    assert not slow


def test_a_weight_is_no_code(tmp_path):
    """Numpy's files may hold pickles; they are no models, and HDF5 knows none."""
    path = tmp_path / "m.keras"
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path.write_bytes((tmp_path / "x.npy").read_bytes())
    import converter

    with pytest.raises(converter.ModelFileError, match="is not a model file"):
        converter.inspect(path)


def test_layers_in_another_order_than_keras_has_them_are_refused(tmp_path):
    """Keras numbers weights by depth: without their names, another order would exchange them."""
    import io
    from dataclasses import replace

    from models import affine

    import converter

    rng = np.random.default_rng(0)
    names = ("p[0]", "p[1]", "q[0,0]", "q[0,1]")
    model = replace(affine(rng.normal(size=(4, 3)), rng.normal(size=4)), output_names=names)
    model.export(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
        metadata = archive.read("metadata.json")
    with h5py.File(weights, "a") as store:
        groups: list[h5py.Group] = []
        store.visititems(lambda _, one: groups.append(one))
        for group in groups:
            for key in list(group.attrs):
                del group.attrs[key]
    layers = config["config"]["layers"]
    places = [n for n, one in enumerate(layers) if one["class_name"] == "Dense"]

    def save(name):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("metadata.json", metadata)
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", weights.getvalue())
        return tmp_path / name

    assert np.array_equal(converter.fold(save("plain.keras")).coef, model.coef)
    first, second = places
    layers[first], layers[second] = layers[second], layers[first]
    with pytest.raises(converter.ModelFileError, match="in another order than Keras"):
        converter.fold(save("changed.keras"))
