"""ONNX files (``.onnx``) as networks: the graph as data, weights left in a memory map.

Format: the ONNX IR specification (docs/IR.md, docs/ExternalData.md in the ONNX repository).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converter.errors import ModelFileError, printable
from converter.formats.containers import ExternalFiles, map_file
from converter.formats.keras_config import load_json
from converter.formats.onnx_graph import GraphReader, canonical_domain, define
from converter.formats.onnx_schema import SCHEMA
from converter.formats.onnx_types import NAMES
from converter.formats.protobuf import Decoder
from converter.network import Input, Loss, Network, Output, Training

#: The opsets of the default domain whose operator texts the tables were written from.
OPSETS = range(7, 29)
#: Metadata of this package's own exports: name and settings of the training loss, as JSON.
LOSS = "converter.loss"
# Bytes of it.
_LONGEST = 1 << 16


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
    external = ExternalFiles(path.parent)
    reader = GraphReader(model.get("functions", ()), _opsets(model), external)
    graph = model["graph"]
    constants, refused = reader.initializers(graph)
    known = {*constants, *(name for node in refused for name in node.outputs)}
    # Before IR version 4, initialisers are listed among the inputs.
    declared = [one for one in graph.get("input", ()) if one.get("name", "") not in known]
    inputs = [_input(one) for one in declared]
    if any(not one.name for one in inputs):
        raise ModelFileError("has an input without a name")
    nodes = [*refused, *reader.nodes(graph.get("node", ()))]
    define(set(constants), [one.name for one in inputs] + [o for n in nodes for o in n.outputs])
    return Network(
        path=shown,
        format="onnx",
        dialect="onnx",
        inputs=tuple(inputs),
        outputs=tuple(
            Output(one.get("name", ""), one.get("name", "")) for one in graph.get("output", ())
        ),
        nodes=tuple(nodes),
        constants=constants,
        frozen=frozenset(
            edge
            for node in nodes
            if node.operation == "BatchNormalization"
            for edge in node.inputs[3:5]  # the moving mean and variance
        ),
        training=Training(
            losses=_losses(model, [one.get("name", "") for one in graph.get("output", ())]),
            stochastic=tuple((n.name, n.operation) for n in nodes if n.operation == "Dropout"),
        ),
        size=len(buffer) + external.size,
        producer=f"{model.get('producer_name', '')} {model.get('producer_version', '')}".strip(),
    )


def _losses(model: dict[str, Any], outputs: Sequence[str]) -> dict[str, Loss]:
    """Return the training loss, if the file is an export of this package's that knew it."""
    said = [
        one.get("value", b"")
        for one in model.get("metadata_props", ())
        if bytes(one.get("key", b"")) == LOSS.encode()
    ]
    if not said:
        return {}
    if len(said) > 1 or len(said[0]) > _LONGEST:
        raise ModelFileError(f"has the metadata {LOSS} twice, or too much of it")
    record = load_json(bytes(said[0]), f"the metadata {LOSS}")
    name, settings = record.get("name"), record.get("settings")
    if (
        set(record) != {"name", "settings"}
        or not isinstance(name, str)
        or not isinstance(settings, dict)
        or not all(isinstance(one, (str, int, float, type(None))) for one in settings.values())
    ):
        raise ModelFileError(f"has metadata {LOSS} that no export has")
    return dict.fromkeys(outputs, Loss(name, settings))


def _opsets(model: dict[str, Any]) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for record in model.get("opset_import", ()):
        domain = canonical_domain(record.get("domain", ""))
        version = record.get("version", 0)
        # skl2onnx lists the default operator set twice.
        if opsets.setdefault(domain, version) != version:
            raise ModelFileError(
                f"imports the operator set {printable(domain or 'ai.onnx')!r} in two versions"
            )
    version = opsets.get("")
    if version is not None and version not in OPSETS:
        raise ModelFileError(
            f"is written for opset {version}; opsets {OPSETS[0]} to {OPSETS[-1]} are known "
            "(onnx.version_converter can change it)"
        )
    return opsets


def _input(record: dict[str, Any]) -> Input:
    name = record.get("name", "")
    tensor = record.get("type", {}).get("tensor_type")
    if tensor is None:
        return Input(
            name, None, next(iter(record.get("type", {})), "no type").removesuffix("_type")
        )
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
