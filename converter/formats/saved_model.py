"""TensorFlow SavedModel folders, read as data: a signature's graph, written out in place.

Format: tensorflow/core/protobuf/saved_model.proto. Functions are inlined; the variables that they
capture are found as TensorFlow's own loader finds them, by the objects that the signature's
function is bound to, and the checkpoint's keys for these objects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from converter.errors import ModelFileError, SignatureError, printable
from converter.formats.containers import Folder
from converter.formats.protobuf import Decoder
from converter.formats.tensorflow_checkpoint import Checkpoint, checkpoint_keys, sizes_of
from converter.formats.tensorflow_effects import (
    BRANCH_NAMES,
    BRANCHES,
    CALLS,
    LOOP_NAMES,
    LOOPS,
    MAX_DEPTH,
    Effects,
)
from converter.formats.tensorflow_protos import SCHEMA, TYPES
from converter.formats.tensorflow_tables import contents
from converter.formats.tensorflow_training import told
from converter.formats.tensorflow_values import attributes, constant
from converter.network import Graph, Input, Network, Node, Output, captured_edges

_NAME = "saved_model.pb"
_LIMIT = 1 << 31
_MAX_NODES = 300_000
DEFAULT = "serving_default"

# The outputs of operations that have several, in their order; where one of them is a list, its
# name is the only one.
_OUTPUTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("FusedBatchNorm", "FusedBatchNormV2"),
        ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    ),
    "FusedBatchNormV3": (
        *("y", "batch_mean", "batch_variance"),
        *("reserve_space_1", "reserve_space_2", "reserve_space_3"),
    ),
    "ListDiff": ("out", "idx"),
    "TopKV2": ("values", "indices"),
    "Unique": ("y", "idx"),
    "UniqueV2": ("y", "idx"),
    "Switch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
}


def is_folder(path: Path) -> bool:
    """Tell whether a folder holds a SavedModel."""
    return (path / _NAME).is_file()


def read(path: Path, shown: str, signature: str | None) -> Network:
    """Read a SavedModel; see `converter.formats.read`.

    Raises
    ------
    SignatureError
        If there is no such signature, or none was named and there are several.
    """
    folder = Folder(path)
    record = Decoder(SCHEMA, folder.read(_NAME, _LIMIT)).decode("SavedModel")
    graphs = record.get("meta_graphs", [])
    serving = [one for one in graphs if "serve" in one.get("info", {}).get("tags", ())] or graphs
    if not serving:
        raise ModelFileError("holds no graph")
    model = _Model(serving[0], folder)
    signatures = {
        entry.get("key", ""): entry.get("value", {})
        for entry in serving[0].get("signatures", ())
        if entry.get("value", {}).get("outputs") and not entry.get("key", "").startswith("__")
    }
    name = _chosen(signatures, signature)
    return model.network(shown, signatures[name], name)


def _chosen(signatures: dict[str, Any], wanted: str | None) -> str:
    if not signatures:
        raise ModelFileError(
            "has no signature, so what it computes cannot be told; export the model "
            "(model.export), or save it with signatures="
        )
    shown = ", ".join(repr(printable(one)) for one in sorted(signatures))
    if wanted is not None:
        if wanted not in signatures:
            raise SignatureError(f"there is no signature {wanted!r}; the model has {shown}")
        return wanted
    if DEFAULT in signatures:
        return DEFAULT
    if len(signatures) > 1:
        raise SignatureError(f"choose a signature with signature= (--signature), among {shown}")
    return next(iter(signatures))


@dataclass(slots=True)
class _Body:
    """A graph or a function's body: its nodes by name, what stands for its arguments."""

    nodes: dict[str, dict[str, Any]]
    arguments: dict[str, str]
    prefix: str
    depth: int
    # Of each node that has been written out, the edges of its outputs.
    made: dict[str, list[str]] = field(default_factory=dict)


class _Model:
    """One meta graph being written out."""

    def __init__(self, record: dict[str, Any], folder: Folder) -> None:
        graph = record.get("graph_def", {})
        self.version = record.get("info", {}).get("tensorflow_version", "")
        self.folder = folder
        self.nodes = _by_name(graph.get("node", ()))
        functions = graph.get("library", {}).get("function", ())
        self.functions: dict[str, dict[str, Any]] = {
            one.get("signature", {}).get("name", ""): one for one in functions
        }
        objects = record.get("objects", {})
        self.objects: list[dict[str, Any]] = objects.get("nodes", [])
        self.bound = {
            entry.get("key", ""): _numbers(entry.get("value", {}).get("bound_inputs"))
            for entry in objects.get("functions", ())
        }
        self.out: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        # Edges that carry a variable and not a value.
        self.variables: set[str] = set()
        self.trained: set[str] = set()
        # Edges that carry a table, and those of its keys and values.
        self.tables: dict[str, tuple[str, str]] = {}
        self._keys: dict[int, str] | None = None
        self._checkpoint: Checkpoint | None = None
        self._objects: dict[int, str] = {}
        self.effects = Effects(self.functions)
        # Of the calls inside the signature's function: what they are given, and what they return.
        self.inner: list[tuple[list[str], list[str]]] = []
        self._count = 0
        self._written = 0

    def network(self, shown: str, signature: dict[str, Any], name: str) -> Network:
        """Return the network of one signature."""
        feeds: dict[str, Input] = {}
        for entry in signature.get("inputs", ()):
            info = entry.get("value", {})
            edge = _canonical(info.get("name", ""))
            if edge in feeds or not edge:
                raise ModelFileError(f"has a malformed input {printable(entry.get('key', ''))!r}")
            feeds[edge] = Input(entry.get("key", ""), _shape(info), _dtype(info))
        body = _Body(self.nodes, {}, "", 0)
        edges: dict[str, str] = {}
        for place, (tensor_name, one) in enumerate(feeds.items()):
            edges[tensor_name] = f"input:{place}:{one.name}"
        body.made = {key.rsplit(":", 1)[0]: [edge] for key, edge in edges.items()}
        outputs = []
        for entry in sorted(signature.get("outputs", ()), key=lambda e: e.get("key", "")):
            wanted = _canonical(entry.get("value", {}).get("name", ""))
            outputs.append(Output(entry.get("key", ""), self._edge(body, wanted)))
        inputs = [Input(edges[key], one.shape, one.dtype) for key, one in feeds.items()]
        order = self._order(list(edges.values()))
        return _renamed(
            Network(
                path=shown,
                format="saved_model",
                dialect="tensorflow",
                inputs=tuple(inputs[place] for place in order),
                outputs=tuple(self._sorted(outputs)),
                nodes=tuple(self.out),
                constants=self.constants,
                frozen=frozenset(self.constants) - self.trained,
                training=told(self.folder),
                size=self.folder.size,
                producer=f"tensorflow {self.version}".strip(),
                signature=name,
            ),
            {edges[key]: one.name for key, one in feeds.items()},
        )

    def _order(self, feeds: list[str]) -> list[int]:
        """Return the inputs in the order of the function's arguments, else by name.

        A signature sorts its inputs by name; the function that it was made of is what it calls.
        """
        for given, _ in self.inner:
            if set(feeds) <= set(given):
                return sorted(range(len(feeds)), key=lambda place: given.index(feeds[place]))
        return sorted(range(len(feeds)), key=lambda place: feeds[place].split(":", 2)[2])

    def _sorted(self, outputs: list[Output]) -> list[Output]:
        """Return the outputs in the order in which that function returns them, else by name."""
        edges = [one.edge for one in outputs]
        for _, returned in self.inner:
            if set(edges) <= set(returned) and len(set(edges)) == len(edges):
                return sorted(outputs, key=lambda one: returned.index(one.edge))
        return sorted(outputs, key=lambda one: _counted(one.name))

    def _new(self) -> str:
        self._count += 1
        return f"edge:{self._count}"

    def _edge(self, body: _Body, reference: str) -> str:
        """Return the edge that a reference inside a body names, having written out what it needs.

        References to nodes are ``name:index`` in a graph and ``name:output:index`` in a function;
        one without a colon is a function's argument, or a graph node's first output.
        """
        stack = [reference]
        waiting: set[str] = set()
        while stack:
            name = stack[-1].split(":")[0]
            if name in body.arguments or name in body.made:
                stack.pop()
                continue
            node = body.nodes.get(name)
            if node is None:
                raise ModelFileError(f"reads {printable(stack[-1])!r}, which nothing defines")
            needs = [
                one
                for one in node.get("input", ())
                if not one.startswith("^")
                and one.split(":")[0] not in body.arguments
                and one.split(":")[0] not in body.made
            ]
            if needs and name in waiting:
                raise ModelFileError(f"has a cycle through {printable(name)!r}")
            if needs:
                waiting.add(name)
                stack.extend(needs)
                continue
            body.made[name] = self._write(body, name, node)
            stack.pop()
        return self._resolved(body, reference)

    def _resolved(self, body: _Body, reference: str) -> str:
        name, *rest = reference.split(":")
        if name in body.arguments and not rest:
            return body.arguments[name]
        outputs = body.made[name]
        index = rest[-1] if rest else "0"
        if not (index.isascii() and index.isdigit()) or len(index) > 9 or len(rest) > 2:
            raise ModelFileError(f"has the malformed reference {printable(reference)!r}")
        place = int(index)
        if len(rest) == 2:
            node = body.nodes[name]
            known = _OUTPUTS.get(node.get("op", ""))
            if known is not None:
                if rest[0] not in known or place:
                    raise ModelFileError(f"has the malformed reference {printable(reference)!r}")
                place = known.index(rest[0])
        if place >= 1 << 16:
            raise ModelFileError(f"has the malformed reference {printable(reference)!r}")
        while len(outputs) <= place:
            outputs.append(self._new())
        return outputs[place]

    def _write(self, body: _Body, name: str, node: dict[str, Any]) -> list[str]:
        """Write out one node; return the edges of its outputs."""
        self._written += 1
        if self._written > _MAX_NODES:
            raise ModelFileError(f"unfolds to more than {_MAX_NODES:,} operations")
        operation = node.get("op", "")
        given = [one for one in node.get("input", ()) if not one.startswith("^")]
        inputs = [self._resolved(body, one) for one in given]
        shown = f"{body.prefix}{name}"
        if operation in CALLS:
            return self._call(body, shown, node, inputs)
        if operation in BRANCHES:
            return self._branches(body, shown, node, inputs)
        if operation in LOOPS:
            return self._loop(body, shown, node, inputs)
        settings = attributes(node)
        if operation == "Const":
            edge = self._new()
            value = settings.get("value")
            if not isinstance(value, np.ndarray):
                raise ModelFileError(f"has the constant {printable(shown)!r} without a value")
            self.constants[edge] = value
            return [edge]
        if operation == "ReadVariableOp" and len(inputs) == 1 and inputs[0] in self.variables:
            return [inputs[0]]
        if operation == "Identity" and len(inputs) == 1:
            return [inputs[0]]
        if operation == "LookupTableFindV2" and inputs and inputs[0] in self.tables:
            # The table itself is no value: what it holds takes its place.
            inputs = [*self.tables[inputs[0]], *inputs[1:]]
        outputs = [self._new()]
        # Filled in when all references are known: outputs are a list that may still grow.
        self.out.append(_pending(shown, operation, inputs, outputs, settings))
        return outputs

    def _call(self, body: _Body, shown: str, node: dict[str, Any], inputs: list[str]) -> list[str]:
        name = attributes(node).get("f")
        captured = self.bound.get(str(name)) if not body.depth else None
        if captured is not None:
            if len(captured) > len(inputs):
                raise ModelFileError("binds a function to more objects than it has arguments")
            inputs = inputs[: len(inputs) - len(captured)] + [self._object(one) for one in captured]
        if not body.depth:
            inputs = self._without_changed(str(name), inputs)
        made = self._inlined(str(name), inputs, f"{shown}/" if body.depth else "", body.depth)
        if body.depth == 1:
            self.inner.append((inputs, made))
        return made

    def _branches(
        self, body: _Body, shown: str, node: dict[str, Any], inputs: list[str]
    ) -> list[str]:
        """Write out a node that runs one of two functions, each as a graph of its own."""
        if not inputs:
            raise ModelFileError(f"branches at {printable(shown)!r} on nothing")
        settings = attributes(node)
        whole, count = self.out, 0
        for key in BRANCH_NAMES:
            name = str(settings.get(key))
            self.out = []
            made = self._inlined(name, inputs[1:], f"{shown}/", body.depth)
            settings[key] = Graph((), tuple(made), tuple(self.out))
            count = max(count, len(made))
        self.out = whole
        outputs = [self._new() for _ in range(count)]
        operation = node.get("op", "")
        self.out.append(_pending(shown, operation, inputs[:1], outputs, settings))
        return outputs

    def _loop(self, body: _Body, shown: str, node: dict[str, Any], inputs: list[str]) -> list[str]:
        """Write out a loop; variables, which it hands on from round to round, stay outside."""
        settings = attributes(node)
        carried = [place for place, edge in enumerate(inputs) if edge not in self.variables]
        whole = self.out
        refusal = ""
        for key in LOOP_NAMES:
            self.out = []
            own = {place: self._new() for place in carried}
            given = [own.get(place, edge) for place, edge in enumerate(inputs)]
            made = self._inlined(str(settings.get(key)), given, f"{shown}/", body.depth)
            if key == "body":
                if len(made) != len(inputs):
                    raise ModelFileError(f"loops at {printable(shown)!r} over other values")
                if any(made[place] != edge for place, edge in enumerate(given) if place not in own):
                    refusal = "exchanges variables from round to round"
                made = [made[place] for place in carried]
            settings[key] = Graph(tuple(own.values()), tuple(made), tuple(self.out))
        self.out = whole
        outputs = {place: self._new() for place in carried}
        reads = [inputs[place] for place in carried]
        made = list(outputs.values())
        one = _pending(shown, node.get("op", ""), reads, made, settings)
        self.out.append(replace(one, refusal=refusal))
        return [outputs.get(place, edge) for place, edge in enumerate(inputs)]

    def _inlined(self, name: str, inputs: list[str], prefix: str, depth: int) -> list[str]:
        """Write out a function's body; return the edges that it returns."""
        function = self.functions.get(name)
        if function is None:
            raise ModelFileError(f"calls the function {printable(name)!r}, which it lacks")
        if depth >= MAX_DEPTH:
            raise ModelFileError("calls functions nested too deeply, or a function calls itself")
        formal = [one.get("name", "") for one in function.get("signature", {}).get("input_arg", ())]
        if len(formal) != len(inputs):
            raise ModelFileError(
                f"gives {len(inputs)} values to the function {printable(name)!r} of {len(formal)}"
            )
        inner = _Body(
            _by_name(function.get("node", ())),
            dict(zip(formal, inputs, strict=True)),
            prefix,
            depth + 1,
        )
        returns = {
            entry.get("key", ""): entry.get("value", "") for entry in function.get("ret", ())
        }
        outputs = []
        for one in function.get("signature", {}).get("output_arg", ()):
            if one.get("number_attr") or one.get("type_list_attr"):
                raise ModelFileError("has a function that returns a list")
            outputs.append(self._edge(inner, returns.get(one.get("name", ""), "")))
        return outputs

    def _without_changed(self, name: str, inputs: list[str]) -> list[str]:
        """Return a call's inputs, variables that it changes replaced by edges without a value."""
        stale: dict[str, str] = {}
        for place in sorted(self.effects.changes(name)):
            edge = inputs[place]
            if edge in self.variables and edge not in stale:
                stale[edge] = self._new()
                self.variables.add(stale[edge])
                object_ = next(p for p, one in self._objects.items() if one == edge)
                name = self.objects[object_]["variable"].get("name", "")
                node = _pending(name, "Variable", [], [stale[edge]], {})
                reason = "the model changes a variable when it is called, and computes with it"
                self.out.append(replace(node, refusal=reason))
        return [stale.get(edge, edge) for edge in inputs]

    def _object(self, place: int) -> str:
        """Return the edge of an object that a function is bound to."""
        if place in self._objects:
            return self._objects[place]
        if not 0 <= place < len(self.objects):
            raise ModelFileError(f"binds a function to the object {place}, which does not exist")
        record = self.objects[place]
        edge = self._objects[place] = self._new()
        if "variable" in record:
            self.constants[edge] = self._variable(place, record["variable"])
            self.variables.add(edge)
            if record["variable"].get("trainable", 0):
                self.trained.add(edge)
        elif "constant" in record:
            value = self._constant(place)
            if value is None:
                raise ModelFileError("binds a function to a constant that does not exist")
            self.constants[edge] = value
        else:
            table = contents(place, self.objects, self.functions, self.bound, self._constant)
            if table is not None:
                self.tables[edge] = (self._new(), self._new())
                self.constants.update(zip(self.tables[edge], table, strict=True))
            # A table by itself, an asset, a random generator: refused where it is used.
            self.out.append(_pending(f"captured object {place}", "CapturedObject", [], [edge], {}))
        return edge

    def _constant(self, place: int) -> np.ndarray | None:
        """Return the numbers of an object that is a constant."""
        if not 0 <= place < len(self.objects):
            return None
        name = self.objects[place].get("constant", {}).get("operation", "")
        return constant(self.nodes.get(name, {}))

    def _variable(self, place: int, record: dict[str, Any]) -> np.ndarray:
        if self._checkpoint is None:
            self._checkpoint = Checkpoint(self.folder)
            self._keys = checkpoint_keys(self.objects, self._checkpoint.objects())
        assert self._keys is not None
        shown = printable(record.get("name", ""))
        if place not in self._keys:
            raise ModelFileError(f"does not store the variable {shown!r}")
        values = self._checkpoint.array(self._keys[place])
        if values.shape != sizes_of(record.get("shape")):
            raise ModelFileError(
                f"stores the variable {shown!r} in the shape {list(values.shape)}, which is not "
                f"the {list(sizes_of(record.get('shape')))} that it declares"
            )
        return values


def _pending(
    name: str, operation: str, inputs: list[str], outputs: list[str], settings: dict[str, Any]
) -> Node:
    # The list of outputs is shared, and made a tuple by `_renamed`.
    return Node(name, operation, tuple(inputs), outputs, settings, domain="tensorflow")  # type: ignore[arg-type]


def _renamed(network: Network, names: dict[str, str]) -> Network:
    """Give the inputs' edges the inputs' names, and settle the nodes' outputs."""

    def name(edge: str) -> str:
        return names.get(edge, edge)

    def node(one: Node) -> Node:
        settings = {k: graph(v) if isinstance(v, Graph) else v for k, v in one.attributes.items()}
        return replace(
            one,
            inputs=tuple(map(name, one.inputs)),
            outputs=tuple(one.outputs),
            attributes=settings,
            captured=captured_edges(settings),
        )

    def graph(one: Graph) -> Graph:
        return replace(
            one, outputs=tuple(map(name, one.outputs)), nodes=tuple(map(node, one.nodes))
        )

    return replace(
        network,
        inputs=tuple(replace(one, name=name(one.name)) for one in network.inputs),
        outputs=tuple(replace(one, edge=name(one.edge)) for one in network.outputs),
        nodes=tuple(map(node, network.nodes)),
    )


def _counted(name: str) -> tuple[Any, ...]:
    """Return a key by which ``output_10`` comes behind ``output_9``."""
    parts = re.split(r"(\d{1,18})", name)
    return tuple((int(one), "") if place % 2 else (-1, one) for place, one in enumerate(parts))


def _by_name(nodes: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for node in nodes:
        name = node.get("name", "")
        if name in found:
            raise ModelFileError(f"has two nodes called {printable(name)!r}")
        found[name] = node
    return found


def _numbers(parts: Any) -> list[int]:
    return [int(one) for part in parts or () for one in part]


def _canonical(name: str) -> str:
    return name if ":" in name or not name else f"{name}:0"


def _dtype(info: dict[str, Any]) -> str:
    if "sparse" in info or "composite" in info:
        raise ModelFileError("has an input that is sparse or ragged")
    return TYPES.get(int(info.get("dtype", 0)), f"type {info.get('dtype')}")


def _shape(info: dict[str, Any]) -> tuple[int | None, ...] | None:
    shape = info.get("shape", {})
    if shape.get("unknown_rank"):
        return None
    return tuple(None if size < 0 else size for size in sizes_of(shape))
