"""Nodes and graphs of ONNX files as records, model-local functions written out in place.

Format: the ONNX IR specification, docs/IR.md (graphs, nodes, attributes, functions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import ExternalFiles
from converter.formats.onnx_tensors import Unsupported, sparse_tensor, tensor
from converter.network import Graph, Node, captured_edges

# Nodes that all calls of model-local functions together may come to.
_MAX_INLINED = 100_000
_MAX_CALLS = 32

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

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Reference:
    """An attribute of a function's node that stands for one of the function's own."""

    name: str


@dataclass(frozen=True, slots=True)
class _Function:
    """A function that the file defines."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: frozenset[str]
    defaults: Mapping[str, Any]
    nodes: tuple[Node, ...]


class GraphReader:
    """Turns decoded messages of one model into nodes.

    Parameters
    ----------
    functions : sequence of dict
        The model's FunctionProto messages.
    opsets : dict
        Version by domain, as the model imports them.
    external : ExternalFiles
    """

    def __init__(
        self,
        functions: Iterable[dict[str, Any]],
        opsets: Mapping[str, int],
        external: ExternalFiles,
    ) -> None:
        self.opsets, self.external = opsets, external
        self._records: dict[_Key, dict[str, Any]] = {}
        for record in functions:
            key = _key(record, record.get("name", ""))
            if key in self._records:
                raise ModelFileError(f"defines the function {printable(key[1])!r} twice")
            self._records[key] = record
        self._functions: dict[_Key, _Function] = {}
        self._inlined = self._calls = 0
        self._inside_function = False

    def initializers(self, graph: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[Node]]:
        """Return the weights, and nodes that refuse those of a type that is not read."""
        constants: dict[str, np.ndarray] = {}
        refused: list[Node] = []
        dense = [(r, r.get("name", ""), tensor) for r in graph.get("initializer", ())]
        sparse = [
            (r, r.get("values", {}).get("name", ""), sparse_tensor)
            for r in graph.get("sparse_initializer", ())
        ]
        for record, name, read in dense + sparse:
            if name in constants:
                raise ModelFileError(f"defines {printable(name)!r} twice")
            try:
                constants[name] = read(record, self.external)
            except Unsupported as reason:
                refused.append(Node(name, "initializer", (), (name,), refusal=str(reason)))
        return constants, refused

    def nodes(self, records: Iterable[dict[str, Any]]) -> list[Node]:
        """Return a graph's nodes, calls of functions replaced by what they do."""
        nodes = [self._node(r, place, self.opsets) for place, r in enumerate(records)]
        return self._expand(nodes, ()) if self._records else nodes

    def _graph(self, record: dict[str, Any], opsets: Mapping[str, int]) -> Graph:
        constants, refused = self.initializers(record)
        inputs = tuple(
            name
            for one in record.get("input", ())
            if (name := one.get("name", "")) not in constants
        )
        own = [self._node(r, n, opsets) for n, r in enumerate(record.get("node", ()))]
        define(set(constants), (*inputs, *(o for n in (*refused, *own) for o in n.outputs)))
        outputs = tuple(one.get("name", "") for one in record.get("output", ()))
        return Graph(inputs, outputs, (*refused, *own), constants)

    def _node(self, record: dict[str, Any], place: int, opsets: Mapping[str, int]) -> Node:
        operation, domain = record.get("op_type", ""), canonical_domain(record.get("domain", ""))
        outputs = tuple(record.get("output", ()))
        if not operation:
            raise ModelFileError(f"node {place} does not say its operation")
        name = record.get("name") or next(filter(None, outputs), f"{operation}_{place}")
        refusal = ""
        overload = record.get("overload", "")
        if overload and (domain, operation, overload) not in self._records:
            raise ModelFileError(
                f"node {printable(name)!r} calls the overload {printable(overload)!r} of "
                f"{printable(operation)!r}, which the file does not define"
            )
        if domain not in opsets:
            shown = printable(domain or "ai.onnx")
            raise ModelFileError(
                f"node {printable(name)!r} uses the operator set {shown!r}, which the model does "
                "not import"
            )
        attributes: dict[str, Any] = {}
        for attribute in record.get("attribute", ()):
            key = attribute.get("name", "")
            if not key:
                raise ModelFileError(f"node {printable(name)!r} has an attribute without a name")
            if key in attributes:
                raise ModelFileError(
                    f"node {printable(name)!r} has attribute {printable(key)!r} twice"
                )
            try:
                attributes[key] = self._attribute(attribute, name, opsets)
            except Unsupported as reason:
                refusal = refusal or f"its attribute {key!r} {reason}"
        if overload:
            attributes[_OVERLOAD] = overload
        return Node(
            name=name,
            operation=operation,
            inputs=tuple(record.get("input", ())),
            outputs=outputs,
            attributes=attributes,
            domain=domain,
            version=opsets.get(domain, 0),
            refusal=refusal,
            captured=captured_edges(attributes),
        )

    def _attribute(self, record: dict[str, Any], node: str, opsets: Mapping[str, int]) -> Any:
        where = f"attribute {printable(record.get('name', ''))!r} of node {printable(node)!r}"
        given = [field for field, _ in _ATTRIBUTES.values() if field in record]
        if record.get("ref_attr_name"):
            if not self._inside_function:
                raise ModelFileError(f"{where} refers to a function's attribute outside a function")
            if given:
                raise ModelFileError(f"{where} holds a value and refers to another")
            return _Reference(record["ref_attr_name"])
        kind = record.get("type", 0)
        if not kind and len(given) == 1:
            kind = next(k for k, (field, _) in _ATTRIBUTES.items() if field == given[0])
        if kind not in _ATTRIBUTES or any(field != _ATTRIBUTES[kind][0] for field in given):
            raise ModelFileError(
                f"{where} holds {given or 'nothing'} but says it is of type {kind}"
            )
        field, default = _ATTRIBUTES[kind]
        value = record.get(field, default)
        if value is None:
            raise ModelFileError(f"{where} has no value")
        if field == "t":
            return tensor(value, self.external)
        if field == "tensors":
            return [tensor(one, self.external) for one in value]
        if field == "sparse_tensor":
            return sparse_tensor(value, self.external)
        if field == "g":
            return self._graph(value, opsets)
        if field == "s":
            return value.decode("utf-8", "backslashreplace")
        if field in ("floats", "ints"):
            return [number for part in value for number in part.tolist()]
        if field == "strings":
            return [one.decode("utf-8", "backslashreplace") for one in value]
        if field in ("f", "i"):
            return value
        raise Unsupported("is of a type that is not read")

    def _function(self, key: _Key) -> _Function:
        if key in self._functions:
            return self._functions[key]
        record = self._records[key]
        opsets = {
            canonical_domain(one.get("domain", "")): one.get("version", 0)
            for one in record.get("opset_import", ())
        }
        # Functions of one file may call each other without importing their own domain.
        known = {domain: 1 for domain, _, _ in self._records} | dict(opsets)
        self._inside_function = True
        nodes = [self._node(r, n, known) for n, r in enumerate(record.get("node", ()))]
        self._inside_function = False
        defaults: dict[str, Any] = {}
        for attribute in record.get("attribute_proto", ()):
            try:
                defaults[attribute.get("name", "")] = self._attribute(attribute, key[1], known)
            except Unsupported as reason:
                raise ModelFileError(f"the function {printable(key[1])!r}: {reason}") from None
        inputs = tuple(record.get("input", ()))
        define(set(), (*inputs, *(name for node in nodes for name in node.outputs)))
        function = _Function(
            key[1],
            inputs,
            tuple(record.get("output", ())),
            frozenset(record.get("attribute", ())) | frozenset(defaults),
            defaults,
            tuple(nodes),
        )
        self._functions[key] = function
        return function

    def _expand(self, nodes: Iterable[Node], stack: tuple[_Key, ...]) -> list[Node]:
        """Replace calls of functions by the functions' nodes, in nested graphs too."""
        expanded: list[Node] = []
        for node in nodes:
            key = (node.domain, node.operation, node.attributes.get(_OVERLOAD, ""))
            if key in self._records:
                expanded.extend(self._call(node, key, stack))
                continue
            graphs = {
                name: replace(value, nodes=tuple(self._expand(value.nodes, stack)))
                for name, value in node.attributes.items()
                if isinstance(value, Graph)
            }
            if graphs:
                attributes = {**node.attributes, **graphs}
                node = replace(node, attributes=attributes, captured=captured_edges(attributes))
            expanded.append(node)
        return expanded

    def _call(self, call: Node, key: _Key, stack: tuple[_Key, ...]) -> list[Node]:
        shown = printable(key[1])
        if key in stack or len(stack) >= _MAX_CALLS:
            raise ModelFileError(
                f"the function {shown!r} calls itself"
                if key in stack
                else f"functions call functions more than {_MAX_CALLS} deep"
            )
        function = self._function(key)
        given = {k: v for k, v in call.attributes.items() if k != _OVERLOAD}
        unknown = sorted(set(given) - function.attributes)
        if unknown or len(call.inputs) > len(function.inputs):
            what = f"the attribute {unknown[0]!r}" if unknown else "more inputs"
            raise ModelFileError(
                f"node {printable(call.name)!r} gives {what} to the function {shown!r}, which "
                "does not have it"
            )
        if len(call.outputs) > len(function.outputs):
            raise ModelFileError(
                f"node {printable(call.name)!r} takes more results than the function {shown!r} has"
            )
        self._calls += 1
        prefix = f"{call.name}/{self._calls}/"
        names = dict.fromkeys(function.inputs, "")
        names.update(zip(function.inputs, call.inputs, strict=False))
        renamed = _Renaming(names, prefix, {**function.defaults, **given}, call.name)
        results = dict(zip(function.outputs, call.outputs, strict=False))
        body: list[Node] = []
        for formal, actual in results.items():
            if not actual:
                continue
            if formal not in names:
                names[formal] = actual
            else:  # an input that is handed back, or one result under two names
                body.append(
                    Node(call.name, "Identity", (names[formal],), (actual,), {}, version=13)
                )
        nodes = [renamed.node(node) for node in function.nodes]
        self._inlined += len(nodes) + 1
        if self._inlined > _MAX_INLINED:
            raise ModelFileError(
                f"the functions of the file come to more than {_MAX_INLINED:,} operations"
            )
        return self._expand([*nodes, *body], (*stack, key))


# No attribute of a file has this name: theirs are not empty.
_OVERLOAD = ""


@dataclass(frozen=True, slots=True)
class _Renaming:
    """Puts a call's edges and attributes into the nodes of a function."""

    names: dict[str, str]
    prefix: str
    attributes: Mapping[str, Any]
    call: str

    def edge(self, name: str) -> str:
        if not name:
            return ""
        return self.names[name] if name in self.names else self.prefix + name

    def node(self, node: Node) -> Node:
        attributes = {}
        for key, value in node.attributes.items():
            if isinstance(value, _Reference):
                if value.name not in self.attributes:
                    continue  # an optional attribute that the call leaves out
                value = self.attributes[value.name]
            elif isinstance(value, Graph):
                value = self.graph(value)
            attributes[key] = value
        return replace(
            node,
            name=f"{self.call}/{node.name}",
            inputs=tuple(map(self.edge, node.inputs)),
            outputs=tuple(map(self.edge, node.outputs)),
            attributes=attributes,
            captured=captured_edges(attributes),
        )

    def graph(self, graph: Graph) -> Graph:
        return Graph(
            tuple(map(self.edge, graph.inputs)),
            tuple(map(self.edge, graph.outputs)),
            tuple(map(self.node, graph.nodes)),
            {self.edge(name): value for name, value in graph.constants.items()},
        )


def canonical_domain(domain: str) -> str:
    """Return the domain with the default one as the empty string."""
    return "" if domain == "ai.onnx" else domain


def define(defined: set[str], names: Iterable[str]) -> None:
    """Add names to those defined; refuse one that is there.

    Raises
    ------
    ModelFileError
        If an edge is defined twice.
    """
    for name in names:
        if name in defined:
            raise ModelFileError(f"defines {printable(name)!r} twice")
        if name:
            defined.add(name)


def _key(record: dict[str, Any], name: str) -> _Key:
    return canonical_domain(record.get("domain", "")), name, record.get("overload", "")
