"""Files from strangers: each is one sentence, never a traceback, never a read elsewhere."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from conftest import FIXTURES
from onnx import TensorProto, helper, numpy_helper

import converter

KERAS = FIXTURES / "longley_linear.keras"
H5 = FIXTURES / "longley_linear.h5"
ONNX = FIXTURES / "longley_linear.onnx"


def assert_refused(path, words, error=converter.ModelFileError):
    with pytest.raises(error, match=words) as caught:
        converter.fold(path)
    message = str(caught.value)
    assert str(path) in message
    if error is converter.ModelFileError:
        assert "\n" not in message
    return message


# Damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [KERAS, H5, ONNX], ids=lambda p: p.suffix)
def test_truncated_anywhere(tmp_path, source):
    content = source.read_bytes()
    path = tmp_path / source.name
    for end in [1, 7, 16, *range(50, len(content), max(1, len(content) // 40))]:
        path.write_bytes(content[:end])
        with pytest.raises(converter.ModelFileError):
            converter.fold(path)


@pytest.mark.parametrize("source", [KERAS, H5, ONNX], ids=lambda p: p.suffix)
def test_flipped_bytes_raise_nothing_of_their_own(tmp_path, source):
    content = bytearray(source.read_bytes())
    path = tmp_path / source.name
    rng = np.random.default_rng(1)
    for _ in range(150):
        damaged = content.copy()
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            model = converter.fold(path)
        except (converter.ModelFileError, converter.Rejected):
            continue
        assert np.isfinite(model.coef).all()


@pytest.mark.parametrize("source", [KERAS, H5, ONNX], ids=lambda p: p.suffix)
def test_the_suffix_does_not_matter(tmp_path, source):
    path = tmp_path / "model.bin"
    path.write_bytes(source.read_bytes())
    assert converter.inspect(path).format == source.suffix[1:]


def test_what_is_no_model(tmp_path):
    for content, words in (
        (b"", "empty"),
        (b"hello, world\n" * 10, "is not a model file"),
        (b"PK\x05\x06" + b"\0" * 18, "no config.json"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "damaged HDF5"),
        (b"\x08\x07", "no graph"),
    ):
        path = tmp_path / "model.keras"
        path.write_bytes(content)
        assert_refused(path, words)
    assert_refused(tmp_path / "nothing", "no such file")
    assert_refused(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "pipe")
    assert_refused(tmp_path / "pipe", "not a regular file")


# The archive --------------------------------------------------------------------------------------


def _members():
    with zipfile.ZipFile(KERAS) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_deflated_archive_is_read(tmp_path):
    path = _archive(tmp_path / "m.keras", _members(), zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(converter.fold(path).coef, converter.fold(KERAS).coef)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "..\\evil", "C:evil"])
def test_members_that_lead_out(tmp_path, name):
    assert_refused(
        _archive(tmp_path / "m.keras", _members() | {name: b"x"}), "leads out of the archive"
    )


def test_members_missing_repeated_bombs_and_lies(tmp_path):
    path = tmp_path / "m.keras"
    for missing in ("config.json", "model.weights.h5"):
        members = _members()
        del members[missing]
        assert_refused(_archive(path, members), f"no {missing}")
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("config.json", b"{}")
        archive.writestr("config.json", b"{}")
    assert_refused(path, "two members")
    bomb = _members() | {"model.weights.h5": b"\0" * (1 << 27)}
    assert_refused(_archive(path, bomb, zipfile.ZIP_DEFLATED), "zip bomb")
    content = bytearray(KERAS.read_bytes())
    place = content.find(b"\x89HDF") + 3000
    content[place] ^= 1
    path.write_bytes(content)
    assert_refused(path, "does not match its checksum")


# Keras configurations -----------------------------------------------------------------------------


def _edited(tmp_path, edit, source=KERAS):
    members = _members()
    config = json.loads(members["config.json"])
    edit(config)
    return _archive(tmp_path / "m.keras", members | {"config.json": json.dumps(config).encode()})


def _layer(config, place):
    return config["config"]["layers"][place]


def _set(place, **more):
    return lambda config: _layer(config, place)["config"].update(more)


@pytest.mark.parametrize(
    ("edit", "words", "error"),
    [
        (lambda c: c.clear(), "class_name", converter.ModelFileError),
        (lambda c: c.update(config=[]), "no layers", converter.ModelFileError),
        (lambda c: c["config"].update(layers=3), "expected a list", converter.ModelFileError),
        (lambda c: c["config"].update(layers=[]), "no layers", converter.ModelFileError),
        (lambda c: c.update(class_name="Mine"), "subclassed model", converter.Rejected),
        (
            lambda c: _layer(c, 2).update(registered_name="evil>Dense"),
            "custom class evil>Dense",
            converter.Rejected,
        ),
        (lambda c: _layer(c, 2).update(module="evil"), "custom class", converter.Rejected),
        (lambda c: _layer(c, 2).update(module="keras.evil"), "custom class", converter.Rejected),
        (
            lambda c: _layer(c, 0).update(registered_name="evil>InputLayer"),
            "custom class",
            converter.Rejected,
        ),
        (_set(0, dtype="string"), "computes with text", converter.Rejected),
        (_set(2, dtype=["float32"]), "not supported", converter.Rejected),
        (_set(4, scale="1"), "numbers|units", converter.ModelFileError),
        (_set(4, scale=float("inf")), "NaN or infinite", converter.ModelFileError),
        (_set(0, batch_shape=[None, 0]), "no elements", converter.ModelFileError),
        (lambda c: _layer(c, 4).update(class_name="Lambda"), "never run", converter.Rejected),
        (
            lambda c: _layer(c, 4).update(class_name="Conv9D"),
            "unknown layer",
            converter.Rejected,
        ),
        (_set(2, frobnicate=1), "the setting 'frobnicate'", converter.Rejected),
        (_set(2, quantization_config={"a": 1}), "quantization_config", converter.Rejected),
        (_set(2, dtype="int8"), "computes in int8", converter.Rejected),
        (
            _set(
                2,
                activation={
                    "module": "builtins",
                    "class_name": "function",
                    "config": "pkg>linear",
                },
            ),
            "custom activation pkg>linear",
            converter.Rejected,
        ),
        (_set(2, activation="frobnicate"), "unknown activation", converter.Rejected),
        (_set(2, units=9), "does not make 9 units", converter.ModelFileError),
        (_set(2, use_bias=False), "holds 2 for it", converter.ModelFileError),
        (_set(0, batch_shape=[None, 10**13]), "elements", converter.ModelFileError),
        (_set(0, batch_shape=[None, -3]), "shape", converter.ModelFileError),
        (_set(0, batch_shape="wide"), "expected a list", converter.ModelFileError),
        (_set(0, batch_shape=[None, None]), "number of regressors", converter.Rejected),
        (_set(0, batch_shape=[None, 5]), "shapes", converter.ModelFileError),
    ],
)
def test_configurations(tmp_path, edit, words, error):
    assert_refused(_edited(tmp_path, edit), words, error)


def test_weights_that_no_layer_uses(tmp_path):
    path = _edited(tmp_path, lambda c: c["config"]["layers"].pop(3))
    assert_refused(path, "that no layer uses")


def test_deep_and_huge_json(tmp_path):
    for text, words in (
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'"' + b"a" * (1 << 25) + b'"', "at most"),
        (b"\xff\xfe{}", "JSON"),
    ):
        assert_refused(_archive(tmp_path / "m.keras", _members() | {"config.json": text}), words)


def _functional(layers, inputs, outputs):
    return {
        "module": "keras",
        "class_name": "Functional",
        "config": {
            "name": "m",
            "layers": layers,
            "input_layers": inputs,
            "output_layers": outputs,
        },
        "registered_name": "Functional",
    }


def _tensor(name, call=0, tensor=0):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, tensor]}}


def _identity(name, *sources):
    return {
        "module": "keras.layers",
        "class_name": "Identity",
        "config": {"name": name},
        "name": name,
        "inbound_nodes": [{"args": [source], "kwargs": {}} for source in sources],
    }


_INPUT = {
    "module": "keras.layers",
    "class_name": "InputLayer",
    "config": {"name": "x", "batch_shape": [None, 2]},
    "name": "x",
    "inbound_nodes": [],
}


def _empty_weights():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("layers")
    return buffer.getvalue()


def _graph(tmp_path, *layers, output="b", call=0):
    config = _functional([_INPUT, *layers], [["x", 0, 0]], [[output, call, 0]])
    members = {"config.json": json.dumps(config), "model.weights.h5": _empty_weights()}
    return _archive(tmp_path / "m.keras", members)


def test_graphs(tmp_path):
    good = _graph(tmp_path, _identity("a", _tensor("x")), _identity("b", _tensor("a")))
    np.testing.assert_array_equal(converter.fold(good).coef, np.eye(2))
    # The order in the file does not matter; cycles and dangling references do.
    turned = _graph(tmp_path, _identity("b", _tensor("a")), _identity("a", _tensor("x")))
    np.testing.assert_array_equal(converter.fold(turned).coef, np.eye(2))
    cycle = _graph(tmp_path, _identity("a", _tensor("b")), _identity("b", _tensor("a")))
    assert_refused(cycle, "a cycle through layer 'a'")
    for reference in (_tensor("nobody"), _tensor("x", 7)):
        assert_refused(_graph(tmp_path, _identity("b", reference)), "does not exist")
    assert_refused(_graph(tmp_path, _identity("b", _tensor("x", 0, 3))), "reads output 3")
    assert_refused(_graph(tmp_path, _identity("b", _tensor("x")), output="c"), "nothing defines")
    twice = _graph(tmp_path, _identity("b", _tensor("x")), _identity("b", _tensor("x")))
    assert_refused(twice, "two layers called 'b'")
    called = _identity("b", _tensor("x"))
    called["inbound_nodes"][0]["kwargs"] = {"training": True}
    assert_refused(_graph(tmp_path, called), "training=True", converter.Rejected)


def test_models_that_double_at_every_level(tmp_path):
    """Twice a part of twice a part ...: a few kB that would unfold to a billion layers."""
    part = _identity("a", _tensor("x"), _tensor("a"))
    for level in range(30):
        last = 1 if level == 0 else 2  # Keras counts a nested model's own call as its first
        config = _functional([_INPUT, part], [["x", 0, 0]], [["a", last, 0]])
        part = {
            **config,
            "name": "a",
            "inbound_nodes": _identity("a", _tensor("x"), _tensor("a"))["inbound_nodes"],
        }
        part["config"]["name"] = f"level{level}"
    assert_refused(_graph(tmp_path, part, output="a", call=2), "unfolds to more than")


# HDF5 ---------------------------------------------------------------------------------------------


def _changed_h5(tmp_path, change):
    path = tmp_path / "m.h5"
    path.write_bytes(H5.read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights/hidden/sequential/hidden"]
        kernel = group["kernel"][()]
        del group["kernel"]
        change(group, kernel)
    return path


def _external_storage(group, kernel):
    secret = os.path.join(os.path.dirname(group.file.filename), "secret")
    kernel.tofile(secret)
    group.create_dataset(
        "kernel", kernel.shape, kernel.dtype, external=[(secret, 0, kernel.nbytes)]
    )


def _virtual(group, kernel):
    layout = h5py.VirtualLayout(kernel.shape, kernel.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "kernel", kernel.shape)
    group.create_virtual_dataset("kernel", layout)


def _bomb(group, kernel):
    group.create_dataset("kernel", (1 << 14, 1 << 14), "f8", chunks=(512, 512), compression="gzip")
    group["kernel"][:512, :512] = 0.0


def _link(group, kernel):
    group["kernel"] = h5py.ExternalLink("other.h5", "/kernel")


def _soft(group, kernel):
    group["kernel"] = h5py.SoftLink("/elsewhere")


def _text(group, kernel):
    group["kernel"] = np.array([b"abc"])


def _loop(group, kernel):
    group["kernel"] = group


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_external_storage, "in other files"),
        (_virtual, "in other files|longer than the file"),
        (_bomb, "declares"),
        (_link, "may lead to another file"),
        (_soft, "may lead to another file"),
        (_text, "expected numbers"),
        (_loop, "in two places"),
        (lambda group, kernel: None, "lacks the weight"),
        (lambda g, k: g.create_dataset("kernel", (3, 3), "f8"), "stores 0|shape"),
        (lambda g, k: g.create_dataset("kernel", data=k * np.nan), "NaN"),
        (lambda g, k: g.create_dataset("kernel", data=k * np.inf), "infinite"),
        (lambda g, k: g.create_dataset("kernel", data=k[:, :2]), "does not make 4 units"),
    ],
)
def test_hdf5(tmp_path, change, words):
    assert_refused(_changed_h5(tmp_path, change), words)


def test_a_filter_that_would_load_a_plug_in(tmp_path):
    path = _changed_h5(
        tmp_path, lambda g, k: g.create_dataset("kernel", data=k, compression="gzip")
    )
    content = path.read_bytes()
    # The filter message: number 1 (deflate), name length, flags, one client value.
    before, after = struct.pack("<HHHH", 1, 8, 1, 1), struct.pack("<HHHH", 32001, 8, 1, 1)
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))
    assert_refused(path, "unknown filter 32001")


def test_a_heap_that_would_hang_the_library(tmp_path):
    content = bytearray(H5.read_bytes())
    place = content.find(b"GCOL") + 16
    (length,) = struct.unpack_from("<Q", content, place + 8)
    for damaged in (length + 193, 0, 1 << 60):
        struct.pack_into("<Q", content, place + 8, damaged)
        path = tmp_path / "m.h5"
        path.write_bytes(content)
        with pytest.raises(converter.ModelFileError):
            converter.fold(path)
    # The free space at a heap's end, of which no length is left.
    content = bytearray(H5.read_bytes())
    heap = content.find(b"GCOL")
    (end,) = struct.unpack_from("<Q", content, heap + 8)
    place = heap + 16
    while struct.unpack_from("<H", content, place)[0]:
        (length,) = struct.unpack_from("<Q", content, place + 8)
        place += 16 + (length + 7) // 8 * 8
    assert place < heap + end
    struct.pack_into("<Q", content, place + 8, 0)
    path.write_bytes(content)
    assert_refused(path, "a heap contradicts itself")


def test_compressed_weights_are_read(tmp_path):
    path = _changed_h5(
        tmp_path, lambda g, k: g.create_dataset("kernel", data=k, compression="gzip")
    )
    np.testing.assert_array_equal(converter.fold(path).coef, converter.fold(H5).coef)


# ONNX ---------------------------------------------------------------------------------------------


def _model(nodes, weights=(), inputs=(("x", ["n", 2]),), outputs=("y",), opset=17, **more):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, s) for n, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, None) for n in outputs],
        list(weights),
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def _saved(tmp_path, model):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _external(tmp_path, location, **entries):
    weight = TensorProto(name="w", dims=[2, 1], data_type=TensorProto.DOUBLE, data_location=1)
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    return _saved(tmp_path, _model([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight]))


def test_external_data(tmp_path):
    values = np.array([[3.0], [4.0]])
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "data").write_bytes(b"12345678" + values.tobytes() + b"rest")
    path = _external(folder, "data", offset="8", length="16")
    np.testing.assert_array_equal(converter.fold(path).coef, values.T)
    (folder / "inner").mkdir()
    (folder / "inner" / "data").write_bytes(values.tobytes())
    np.testing.assert_array_equal(converter.fold(_external(folder, "inner/data")).coef, values.T)

    (tmp_path / "secret").write_bytes(values.tobytes())
    (folder / "symbolic").symlink_to(tmp_path / "secret")
    (folder / "out").symlink_to(tmp_path)
    os.link(tmp_path / "secret", folder / "hard")
    for location, words in (
        ("../secret", "own folder"),
        (str(tmp_path / "secret"), "own folder"),
        ("", "own folder"),
        ("inner/../../secret", "own folder"),
        ("symbolic", "a link"),
        ("out/secret", "a link"),
        ("hard", "single name"),
        ("inner", "regular file|directory"),
        ("nowhere", "No such file"),
    ):
        assert_refused(_external(folder, location), words)
    for entries, words in (
        ({"offset": "20"}, "beyond the end"),
        ({"offset": "-8"}, "offset or length"),
        ({"offset": "9" * 30}, "offset or length"),
        ({"length": "8"}, "needs 16 bytes and has 8"),
        ({"frobnicate": "1"}, "unknown or repeated"),
        ({"checksum": "00"}, "checksum"),
    ):
        assert_refused(_external(folder, "data", **entries), words)


def _raw(name, dims, content=b"", kind=TensorProto.DOUBLE):
    return TensorProto(name=name, dims=dims, data_type=kind, raw_data=content)


_PRODUCT = helper.make_node("MatMul", ["x", "w"], ["y"])
_W = numpy_helper.from_array(np.array([[3.0], [4.0]]), "w")


@pytest.mark.parametrize(
    ("model", "words", "error"),
    [
        (_model([_PRODUCT]), "'w', which no input", converter.ModelFileError),
        (_model([_PRODUCT], [_W, _W]), "defines 'w' twice", converter.ModelFileError),
        (_model([_PRODUCT, _PRODUCT], [_W]), "defines 'y' twice", converter.ModelFileError),
        (_model([_PRODUCT], [_W], outputs=("z",)), "nothing defines", converter.ModelFileError),
        (_model([_PRODUCT], [_W], outputs=()), "no outputs", converter.ModelFileError),
        (
            _model([helper.make_node("Identity", ["y"], ["y0"]), _PRODUCT], [_W], outputs=("y0",)),
            "earlier node",
            converter.ModelFileError,
        ),
        (_model([_PRODUCT], [_raw("w", [2, 1], b"1234")]), "needs 16", converter.ModelFileError),
        (_model([_PRODUCT], [_raw("w", [-2, 1])]), "impossible", converter.ModelFileError),
        (
            _model([_PRODUCT], [_raw("w", [2**40, 2**40])]),
            "needs",
            converter.ModelFileError,
        ),
        (_model([_PRODUCT], [_W], opset=3), "opset 3", converter.ModelFileError),
        (_model([_PRODUCT], [_W], opset=999), "opset 999", converter.ModelFileError),
        (
            _model([_PRODUCT], [_W], inputs=(("x", ["n", 10**12]),)),
            "elements",
            converter.ModelFileError,
        ),
        (
            _model([_PRODUCT], [numpy_helper.from_array(np.array([[np.nan], [1.0]]), "w")]),
            "weight 'w' holds 1 NaN",
            converter.ModelFileError,
        ),
        (
            _model([_PRODUCT], [_W], inputs=(("x", ["n", "m"]),)),
            "number of regressors",
            converter.Rejected,
        ),
        (
            _model([helper.make_node("Add", ["x", "x"], ["y"], domain="evil")]),
            "does not import",
            converter.ModelFileError,
        ),
        (
            _model(
                [helper.make_node("Add", ["x", "x"], ["y"])],
                functions=[
                    helper.make_function(
                        "",
                        "Add",
                        ["a", "b"],
                        ["c"],
                        [helper.make_node("Mul", ["a", "b"], ["c"])],
                        [helper.make_opsetid("", 17)],
                    )
                ],
            ),
            "multiplies two values",
            converter.Rejected,
        ),
        (
            _model([_PRODUCT], [_raw("w", [2, 1], b"12345678" * 2, TensorProto.COMPLEX64)]),
            "complex64",
            converter.Rejected,
        ),
    ],
)
def test_onnx(tmp_path, model, words, error):
    assert_refused(_saved(tmp_path, model), words, error)


def test_constants_that_explode(tmp_path):
    shape = numpy_helper.from_array(np.array([2**20, 2**20]), "s")
    node = helper.make_node("ConstantOfShape", ["s"], ["c"])
    join = helper.make_node("Add", ["x", "c"], ["y"])
    assert_refused(_saved(tmp_path, _model([node, join], [shape])), "elements")
    doubling = [helper.make_node("Concat", ["x", "x"], ["c0"], axis=1)]
    for level in range(60):
        name = f"c{level}"
        doubling.append(helper.make_node("Concat", [name, name], [f"c{level + 1}"], axis=1))
    assert_refused(_saved(tmp_path, _model(doubling, outputs=("c60",))), "elements")
    doubling[0] = helper.make_node("Identity", ["w"], ["c0"])
    doubling.append(helper.make_node("Add", ["x", "c60"], ["y"]))
    assert_refused(_saved(tmp_path, _model(doubling, [_W])), "elements|memory")


def test_constants_whose_result_dwarfs_them(tmp_path):
    column = numpy_helper.from_array(np.ones((14_000, 1)), "a")
    row = numpy_helper.from_array(np.ones((1, 14_000)), "b")
    for operation in ("Add", "MatMul", "Mul", "Pow"):
        node = helper.make_node(operation, ["a", "b"], ["c"])
        last = helper.make_node("Add", ["x", "c"], ["y"])
        assert_refused(_saved(tmp_path, _model([node, last], [column, row])), "makes|elements")
    zeros = numpy_helper.from_array(np.zeros(70_000, np.int64), "i")
    gather = helper.make_node("Gather", ["x", "i"], ["y"], axis=1)
    path = _saved(tmp_path, _model([gather], [zeros], inputs=(("x", ["n", 3, 1000]),)))
    assert_refused(path, "elements")


def test_long_chains_are_linear(tmp_path):
    chain = [helper.make_node("Relu", ["x"], ["h0"])]
    chain += [helper.make_node("Relu", [f"h{i}"], [f"h{i + 1}"]) for i in range(3000)]
    path = _saved(tmp_path, _model(chain, outputs=("h3000",)))
    assert len(converter.inspect(path).findings) == 3001
    moves = [helper.make_node("Transpose", ["x"], ["h0"], perm=[0, 2, 1])]
    moves += [
        helper.make_node("Transpose", [f"h{i}"], [f"h{i + 1}"], perm=[0, 2, 1]) for i in range(99)
    ]
    shape = (("x", ["n", 500, 500]),)
    assert_refused(
        _saved(tmp_path, _model(moves, inputs=shape, outputs=("h99",))), "moves elements|outputs"
    )


def test_fields_and_attributes_that_are_not_known(tmp_path):
    content = _model([_PRODUCT], [_W]).SerializeToString()
    path = tmp_path / "m.onnx"
    unknown = bytes([(15 << 3) | 2, 3]) + b"abc"
    path.write_bytes(content + unknown)
    assert_refused(path, "field 15 of ModelProto")
    path.write_bytes(content + content)
    assert_refused(path, "stands there twice")
    deep = b""
    for _ in range(200):
        # field 11 of GraphProto (input), 2 of ValueInfoProto, ...: nested sequences of types
        deep = bytes([0x22]) + _varint(len(deep)) + deep
    path.write_bytes(content + bytes([0x3A]) + _varint(len(deep)) + deep)
    with pytest.raises(converter.ModelFileError):
        converter.inspect(path)


def _varint(number):
    octets = b""
    while number > 0x7F:
        octets += bytes([number & 0x7F | 0x80])
        number >>= 7
    return octets + bytes([number])


# What is opened, and what it costs ----------------------------------------------------------------

_WATCH = """
import sys
import converter, numpy, h5py
from converter import formats
from converter.formats import keras_archive, keras_h5, onnx
from converter.semantics import keras as _k, onnx as _o
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
try:
    converter.fold(sys.argv[1])
except ValueError as error:
    print(type(error).__name__)
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak[0].split()[1]) // 1024)
print(*{name for name in opened if not name.endswith((".py", ".pyc", ".so", "/status"))}, sep="\\n")
"""


@pytest.mark.parametrize("kind", ["link", "storage", "shapes", "good"])
def test_no_other_file_is_opened_and_little_memory_used(tmp_path, kind):
    changes = {"link": _link, "storage": _external_storage, "shapes": _bomb}
    path = _changed_h5(tmp_path, changes[kind]) if kind in changes else KERAS
    done = subprocess.run(
        [sys.executable, "-c", _WATCH, str(path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    if kind in changes:
        assert lines.pop(0) == "ModelFileError"
    assert int(lines.pop(0)) < 200
    assert set(lines) == {str(path)}


def test_a_header_that_lies_about_a_stored_size(tmp_path):
    content = bytearray(_archive(tmp_path / "m.keras", _members()).read_bytes())
    place = content.find(b"PK\x01\x02")
    struct.pack_into("<I", content, place + 24, 1 << 30)
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(converter.ModelFileError):
        converter.fold(tmp_path / "m.keras")


def test_text_among_numbers_is_named_with_its_place():
    model = converter.fold(KERAS)
    table = pd.DataFrame(np.ones((9, 6)), columns=list("abcdef")).astype(object)
    table.loc[4, "c"] = "many"
    with pytest.raises(ValueError, match="'c' holds 'many' in row 5"):
        model.predict(table)
    with pytest.raises(ValueError, match=r"regressors\[2\]' holds 'many' in row 5"):
        model.predict(table.to_numpy())


def test_a_covariance_that_there_is_not(tmp_path):
    data = np.random.default_rng(0).normal(size=(30, 7))
    with pytest.raises(ValueError, match="cov_type must be one of nonrobust"):
        converter.convert(KERAS, data, target=6, cov_type="HC9")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", "a,b\n1,\xe9\n".encode("latin-1"), "column 'b' holds text that is not in UTF-8"),
        ("t.csv", "a,\xe9\n1,2\n".encode("latin-1"), "not in UTF-8"),
        ("t.xlsx", b"PK\3\4" + bytes(90), "is a spreadsheet or an archive"),
    ],
)
def test_tables_in_other_formats(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(converter.DataError, match=reason):
        converter.convert(KERAS, tmp_path / name, target="y")
