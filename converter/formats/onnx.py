"""ONNX files (``.onnx``) as networks: the graph as data, weights left in a memory map.

Format: the ONNX IR specification (docs/IR.md, docs/ExternalData.md in the ONNX repository).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import ExternalFiles, map_file, widen_bfloat16
from converter.formats.onnx_schema import SCHEMA
from converter.formats.onnx_types import BFLOAT16, NAMES, TYPES
from converter.formats.protobuf import Decoder
from converter.network import Input, Network, Node, Output, Training

#: The opsets of the default domain whose operator texts the tables were written from.
OPSETS = range(7, 29)

_BITS = frozenset({10, BFLOAT16})
# Which typed field of a TensorProto holds elements of which type (onnx.proto3, TensorProto).
_TYPED = {
    "float_data": {1},
    "int32_data": {2, 3, 4, 5, 6, 9, 10, BFLOAT16},
    "int64_data": {7},
    "double_data": {11},
    "uint64_data": {12, 13},
}
# AttributeProto.AttributeType -> the field that holds the value, and its default.
_ATTRIBUTES: dict[int, tuple[str, Any]] = {
    1: ("f", 0.0),
    2: ("i", 0),
    3: ("s", b""),
    4: ("t", None),
    5: ("g", None),
    6: ("floats", ()),
    7: ("ints", ()),
    8: ("strings", ()),
    9: ("tensors", ()),
    10: ("graphs", ()),
    11: ("sparse_tensor", None),
    12: ("sparse_tensors", ()),
    13: ("tp", None),
    14: ("type_protos", ()),
}


class _Unsupported(Exception):
    """A tensor of a type that is not read; the sentence says which."""


def looks_like(head: bytes) -> bool:
    """Tell whether a file may begin an ONNX model: with a field of ModelProto."""
    field, wire = head[0] >> 3, head[0] & 7
    return (field in (1, 5) and wire == 0) or (field in (2, 3, 4, 6, 7, 8, 14) and wire == 2)


def read(path: Path, shown: str) -> Network:
    """Read an ONNX model; see `converter.formats.read`."""
    buffer = map_file(path)
    try:
        model = Decoder(SCHEMA, buffer).decode("ModelProto")
    except ModelFileError as error:
        raise ModelFileError(f"is not a whole ONNX model: it {error}") from None
    if "graph" not in model:
        raise ModelFileError("is not an ONNX model: it has no graph")
    opsets = _opsets(model)
    external = ExternalFiles(path.parent)
    graph = model["graph"]
    constants, nodes = _initializers(graph, external)
    defined = set(constants)
    inputs = []
    for declared in graph.get("input", ()):
        if declared.get("name", "") in constants or any(
            declared.get("name", "") in node.outputs for node in nodes
        ):
            continue  # before IR version 4, initialisers are listed among the inputs
        inputs.append(_input(declared))
    _define(defined, (one.name for one in inputs))
    _define(defined, (name for node in nodes for name in node.outputs))
    local = {(_domain(f.get("domain", "")), f.get("name", "")) for f in model.get("functions", ())}
    if any(not one.name for one in inputs):
        raise ModelFileError("has an input without a name")
    for place, record in enumerate(graph.get("node", ())):
        node = _node(record, place, opsets, local, external)
        _define(defined, node.outputs)
        nodes.append(node)
    outputs = tuple(
        Output(record.get("name", ""), record.get("name", "")) for record in graph.get("output", ())
    )
    return Network(
        path=shown,
        format="onnx",
        dialect="onnx",
        inputs=tuple(inputs),
        outputs=outputs,
        nodes=tuple(nodes),
        constants=constants,
        training=Training(
            stochastic=tuple((n.name, n.operation) for n in nodes if n.operation == "Dropout")
        ),
        size=len(buffer) + external.size,
        producer=f"{model.get('producer_name', '')} {model.get('producer_version', '')}".strip(),
    )


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _opsets(model: dict[str, Any]) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for record in model.get("opset_import", ()):
        domain = _domain(record.get("domain", ""))
        if domain in opsets:
            raise ModelFileError(f"imports the operator set {printable(domain)!r} twice")
        opsets[domain] = record.get("version", 0)
    version = opsets.get("")
    if version is not None and version not in OPSETS:
        raise ModelFileError(
            f"is written for opset {version}; opsets {OPSETS[0]} to {OPSETS[-1]} are known "
            "(onnx.version_converter can change it)"
        )
    return opsets


def _define(defined: set[str], names: Iterable[str]) -> None:
    for name in names:
        if name in defined:
            raise ModelFileError(f"defines {printable(name)!r} twice")
        if name:
            defined.add(name)


def _initializers(
    graph: dict[str, Any], external: ExternalFiles
) -> tuple[dict[str, np.ndarray], list[Node]]:
    """Return the weights, and nodes that refuse those of a type that is not read."""
    constants: dict[str, np.ndarray] = {}
    refused: list[Node] = []
    for record in graph.get("initializer", ()):
        name = record.get("name", "")
        if name in constants:
            raise ModelFileError(f"defines {printable(name)!r} twice")
        try:
            constants[name] = _tensor(record, external)
        except _Unsupported as reason:
            refused.append(Node(name, "initializer", (), (name,), refusal=str(reason)))
    for record in graph.get("sparse_initializer", ()):
        name = record.get("values", {}).get("name", "")
        sparse = "is a sparse weight, which is not supported"
        refused.append(Node(name, "initializer", (), (name,), refusal=sparse))
    return constants, refused


def _tensor(record: dict[str, Any], external: ExternalFiles) -> np.ndarray:
    """Return a TensorProto as an array: a view of the file wherever it is stored raw."""
    name = printable(record.get("name", "") or "(unnamed)")
    kind = record.get("data_type", 0)
    if "segment" in record:
        raise _Unsupported("is stored in segments, which is not supported")
    if kind not in TYPES:
        raise _Unsupported(f"is of the type {NAMES.get(kind, kind)}, which is not supported")
    dims = [int(size) for part in record.get("dims", ()) for size in part]
    if any(not 0 <= size < 1 << 48 for size in dims) or len(dims) > 25:
        raise ModelFileError(f"weight {name!r} has the impossible shape {dims}")
    count = math.prod(dims)
    stored = [field for field in (*_TYPED, "raw_data", "external_data") if record.get(field)]
    if len(stored) > 1:
        raise ModelFileError(f"weight {name!r} holds its values twice, in {' and '.join(stored)}")
    dtype = np.dtype(np.uint16) if kind == BFLOAT16 else TYPES[kind].newbyteorder("<")
    where = stored[0] if stored else "raw_data"
    if (record.get("data_location", 0) == 1) != (where == "external_data"):
        raise ModelFileError(f"weight {name!r} does not say whether its data are external")
    if where in _TYPED:
        if kind not in _TYPED[where]:
            raise ModelFileError(f"weight {name!r} of type {NAMES[kind]} is stored in {where}")
        values = np.concatenate(record[where]) if len(record[where]) > 1 else record[where][0]
        if kind in _BITS:
            values = values.astype(np.uint16).view(dtype)
        elif values.dtype != dtype:
            values = values.astype(dtype)
    else:
        if where == "external_data":
            data = external.data(record["external_data"], name, count * dtype.itemsize)
        else:
            data = record.get("raw_data", memoryview(b""))
        if len(data) != count * dtype.itemsize:
            raise ModelFileError(
                f"weight {name!r} of shape {dims} and type {NAMES[kind]} needs "
                f"{count * dtype.itemsize:,} bytes and has {len(data):,}"
            )
        values = np.frombuffer(data, dtype)
    if values.size != count:
        raise ModelFileError(f"weight {name!r} of shape {dims} has {values.size:,} values")
    if kind == BFLOAT16:
        values = widen_bfloat16(values)
    return values.reshape(dims)


def _input(record: dict[str, Any]) -> Input:
    name = record.get("name", "")
    tensor = record.get("type", {}).get("tensor_type")
    if tensor is None:
        raise ModelFileError(f"input {printable(name)!r} is not a tensor; only tensors are read")
    kind = tensor.get("elem_type", 0)
    shape = None
    if "shape" in tensor:
        shape = tuple(_dimension(dim, name) for dim in tensor["shape"].get("dim", ()))
    return Input(name, shape, NAMES.get(kind, str(kind)))


def _dimension(dim: dict[str, Any], name: str) -> int | None:
    size = dim.get("dim_value")
    if size is None or dim.get("dim_param") or size == -1:
        return None
    if size < 0:
        raise ModelFileError(f"input {printable(name)!r} has a size of {size}")
    return int(size)


def _node(
    record: dict[str, Any],
    place: int,
    opsets: dict[str, int],
    local: set[tuple[str, str]],
    external: ExternalFiles,
) -> Node:
    operation, domain = record.get("op_type", ""), _domain(record.get("domain", ""))
    outputs = tuple(record.get("output", ()))
    if not operation:
        raise ModelFileError(f"node {place} does not say its operation")
    name = record.get("name") or next(filter(None, outputs), f"{operation}_{place}")
    refusal = ""
    if (domain, operation) in local or record.get("overload"):
        refusal = "is a function defined in the file, which is not supported"
    elif domain not in opsets:
        raise ModelFileError(
            f"node {printable(name)!r} uses the operator set {printable(domain or 'ai.onnx')!r}, "
            "which the model does not import"
        )
    attributes: dict[str, Any] = {}
    for attribute in record.get("attribute", ()):
        key = attribute.get("name", "")
        if key in attributes:
            raise ModelFileError(f"node {printable(name)!r} has attribute {printable(key)!r} twice")
        try:
            attributes[key] = _attribute(attribute, name, external)
        except _Unsupported as reason:
            refusal = refusal or f"its attribute {key!r} {reason}"
    return Node(
        name=name,
        operation=operation,
        inputs=tuple(record.get("input", ())),
        outputs=outputs,
        attributes=attributes,
        domain=domain,
        version=opsets.get(domain, 0),
        refusal=refusal,
    )


def _attribute(record: dict[str, Any], node: str, external: ExternalFiles) -> Any:
    where = f"attribute {printable(record.get('name', ''))!r} of node {printable(node)!r}"
    if record.get("ref_attr_name"):
        raise ModelFileError(f"{where} refers to a function's attribute outside a function")
    given = [field for field, _ in _ATTRIBUTES.values() if field in record]
    kind = record.get("type", 0)
    if not kind and len(given) == 1:
        kind = next(k for k, (field, _) in _ATTRIBUTES.items() if field == given[0])
    if kind not in _ATTRIBUTES or any(field != _ATTRIBUTES[kind][0] for field in given):
        raise ModelFileError(f"{where} holds {given or 'nothing'} but says it is of type {kind}")
    field, default = _ATTRIBUTES[kind]
    value = record.get(field, default)
    if field == "t":
        if value is None:
            raise ModelFileError(f"{where} has no value")
        return _tensor(value, external)
    if field == "s":
        return value.decode("utf-8", "backslashreplace")
    if field in ("floats", "ints"):
        return [number for part in value for number in part.tolist()]
    if field == "strings":
        return [one.decode("utf-8", "backslashreplace") for one in value]
    return value
