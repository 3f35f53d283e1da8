"""Run a network once on traced values: what comes out is affine, linked, or a list of findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converter.errors import Finding, ModelFileError, NotAffine, TooLarge, printable
from converter.network import Graph, Input, Network, Node, Output
from converter.semantics import Rule, rule_for
from converter.tracing.affine import Affine, Tape
from converter.tracing.linked import Linked
from converter.tracing.opaque import Opaque
from converter.tracing.reach import depends_only_on
from converter.tracing.reports import Place, SizeLog
from converter.tracing.sizes import SizeDependent
from converter.tracing.step import Step, Value, where

# Bytes that operations on constants alone may allocate in one trace, beyond 8 x the file.
_CONSTANT_BYTES = 1 << 28
# Nodes that one trace runs inside the bodies of loops and branches.
_MAX_STEPS = 100_000

#: Types of inputs that are numbers, and the `Affine.kind` of each.
KINDS: dict[str, str] = {
    **dict.fromkeys(("float16", "bfloat16", "float32", "float64"), "f"),
    **dict.fromkeys(("int32", "int64"), "i"),
    **dict.fromkeys(("bool", "int8", "int16", "uint8", "uint16"), "u"),
    **dict.fromkeys(("uint32", "uint64"), "w"),
}

#: Types of inputs that hold text.
TEXT = frozenset({"string"})


def readable(network: Network, one: Input) -> bool:
    """Tell whether an input holds what can be traced: numbers, or text to be looked up."""
    return one.dtype in KINDS or (network.dialect in ("keras", "tensorflow") and one.dtype in TEXT)


# The meaning of each node, by its identity; or why it has none.
Rules = dict[int, Rule | NotAffine]

#: Told of each operation that was run outside of loops and branches: the number of rows traced,
#: the operation, and what it made.
Watch = Callable[[int, Node, Sequence[Value]], None]


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run left behind.

    Parameters
    ----------
    tape : Tape
    inputs : tuple of Affine or None
        The traced inputs, in the network's order; None for one that holds no numbers.
    outputs : tuple
        The value on each requested output: ndarray, SizeDependent, Affine, Linked, Decided,
        Items or Opaque.
    sizes : dict
        What nodes reported of sizes.
    """

    tape: Tape
    inputs: tuple[Affine | None, ...]
    outputs: tuple[Value, ...]
    sizes: SizeLog


# What overflows or divides by zero on the way is found when the weights are used.
@np.errstate(all="ignore")
def trace(
    network: Network,
    shapes: Sequence[tuple[int, ...]],
    outputs: Sequence[Output],
    rules: Rules,
    rows: int = 0,
    other: SizeLog | None = None,
    watch: Watch | None = None,
) -> Trace:
    """Execute the network on affine values.

    Parameters
    ----------
    network : Network
    shapes : sequence of tuple of int
        A concrete shape for each input.
    outputs : sequence of Output
        What is asked for; nodes that none of it needs are not run.
    rules : dict
        Meanings found so far, by the node's identity; filled in, for the next trace.
    rows : int
        How many rows this trace chose, where the file leaves it open; else 0.
    other : dict, optional
        `Trace.sizes` of a run with another number of rows: a size that differs there
        depends on the number of rows and must not enter the numbers.
    watch : callable, optional
        See `Watch`.

    Raises
    ------
    ModelFileError
        If a node reads an edge that nothing defines, or sizes do not fit.
    """
    budget = _CONSTANT_BYTES + 8 * network.size
    run = _Run(network, Tape(rows), rules, other, budget, watch)
    edges: dict[str, Value] = dict(network.constants)
    traced: list[Affine | None] = []
    for place, (declared, shape) in enumerate(zip(network.inputs, shapes, strict=True)):
        value = None
        if readable(network, declared):
            value = run.tape.source(shape, KINDS.get(declared.dtype, "s"))
            batched = bool(rows) and (declared.shape or ())[:1] == (None,)
            run.tape.inputs[value.index] = place, rows if batched else 1
            run.tape.types[value.index] = declared.dtype
        traced.append(value)
        edges[declared.name] = _not_numbers(declared) if value is None else value
    run.log["rows", ()] = np.array(rows)
    run.execute(network.nodes, [output.edge for output in outputs], _Scope(edges), ())
    for output in outputs:
        if output.edge not in edges:
            raise ModelFileError(f"nothing defines the output {printable(output.name)!r}")
    own = {*run.tape.inputs, *run.tape.indicators.values()}
    found = tuple(_settled(edges[output.edge], own) for output in outputs)
    return Trace(run.tape, tuple(traced), found, run.log)


def _settled(value: Value, own: set[int]) -> Value:
    """Return what stands in for a refused value, if it turns out to read nothing refused.

    A constant that was merely shaped by the number of rows is a constant again.
    """
    if value is None:
        raise ModelFileError("an output of the model is empty (an optional without a value)")
    if isinstance(value, SizeDependent) and not value.mask.any():
        return value.value
    if isinstance(value, Opaque) and not value.rows:
        inner = value.stand_in
        read = inner.base if isinstance(inner, Linked) else inner
        if isinstance(read, Affine) and depends_only_on(read, own):
            return inner
    return value


def _not_numbers(declared: Input) -> Opaque:
    reason = f"holds values of type {declared.dtype}, which are not numbers to be multiplied"
    return Opaque((Finding(declared.name, "input", reason),), (), None)


@dataclass(slots=True)
class _Scope:
    """The edges that a graph sees: its own, and those of the graphs around it."""

    edges: dict[str, Value]
    outer: _Scope | None = None

    def look_up(self, name: str, node: Node) -> Value:
        if not name:
            return None
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.edges:
                return scope.edges[name]
            scope = scope.outer
        raise ModelFileError(
            f"{where(node)} reads {printable(name)!r}, which no input, weight or earlier node "
            "defines"
        )


@dataclass(slots=True)
class _Run:
    """One trace under way."""

    network: Network
    tape: Tape
    rules: Rules
    other: SizeLog | None
    budget: int
    watch: Watch | None
    log: SizeLog = field(default_factory=dict)
    steps: int = 0
    # What graphs inside nodes need of their nodes, by the graph's identity.
    needed: dict[int, list[tuple[int, Node]]] = field(default_factory=dict)

    def execute(
        self, nodes: Sequence[Node], wanted: Sequence[str], scope: _Scope, path: Place
    ) -> None:
        """Run what is needed of some nodes; their results stay in the scope's edges."""
        self._run(_needed(nodes, wanted), wanted, scope, path)

    def _run(
        self,
        nodes: Sequence[tuple[int, Node]],
        wanted: Sequence[str],
        scope: _Scope,
        path: Place,
    ) -> None:
        edges = scope.edges
        readers = Counter(name for _, node in nodes for name in (*node.inputs, *node.captured))
        readers.update(wanted)
        for place, node in nodes:
            operands = [
                edges[name] if name in edges else scope.look_up(name, node) for name in node.inputs
            ]
            rule = self.rules.get(id(node))
            if rule is None:
                try:
                    rule = rule_for(node, self.network.dialect)
                except NotAffine as unknown:
                    rule = unknown
                except (TypeError, ValueError, LookupError, AttributeError) as error:
                    # A stranger's settings can be of any type; rules check what they know of.
                    raise ModelFileError(
                        f"{where(node)} has a setting that no saved model has: "
                        f"{printable(str(error))}"
                    ) from None
                self.rules[id(node)] = rule
            here = (*path, place)
            step = Step(node, rule, self.tape, here, self.log, self.other)
            if isinstance(rule, Rule) and rule.handles == "graphs":
                results = step.run(operands, _Bodies(self, scope, node, here))
            else:
                results = step.run(operands)
            if self.watch is not None and not path:
                self.watch(self.tape.rows, node, results)
            for name, result in zip(node.outputs, results, strict=True):
                if name:
                    edges[name] = result
                if isinstance(result, np.ndarray) and result.base is None:
                    self.budget -= result.nbytes
            if self.budget < 0:
                raise TooLarge(
                    f"the constants computed up to {where(node)} take far more memory than the file"
                )
            for name in (*node.inputs, *node.captured) if node.captured else node.inputs:
                readers[name] -= 1
                if not readers[name]:
                    edges.pop(name, None)

    def body(
        self, graph: Graph, values: Sequence[Value], scope: _Scope, path: Place
    ) -> list[Value]:
        """Run a graph inside a node."""
        if len(values) != len(graph.inputs):
            raise ValueError(f"gives {len(values)} values to a graph of {len(graph.inputs)} inputs")
        if id(graph) not in self.needed:
            self.needed[id(graph)] = _needed(graph.nodes, graph.outputs)
        nodes = self.needed[id(graph)]
        self.steps += 1 + len(nodes)
        if self.steps > _MAX_STEPS:
            raise TooLarge(f"runs more than {_MAX_STEPS:,} operations inside loops and branches")
        edges = dict(graph.constants)
        edges.update(zip(graph.inputs, values, strict=True))
        inner = _Scope(edges, scope)
        self._run(nodes, graph.outputs, inner, path)
        missing = Node("", "graph", (), ())
        return [inner.look_up(name, missing) for name in graph.outputs]


@dataclass(slots=True)
class _Bodies:
    """Runs the graphs of one node: given to rules that handle graphs."""

    run: _Run
    scope: _Scope
    node: Node
    path: Place
    count: int = 0

    def __call__(self, graph: Graph, values: Sequence[Value]) -> list[Value]:
        """Run a graph on some values and return its outputs."""
        self.count += 1
        return self.run.body(graph, values, self.scope, (*self.path, self.count))

    def apply(self, rule: Rule, operands: list[Value]) -> Sequence[Value]:
        """Apply an operation that the file does not spell out, such as stacking results."""
        return self._step(rule).run(operands)

    def fixed_size(self, size: int, reason: str) -> None:
        """Refuse a size that depends on the number of rows.

        Raises
        ------
        NotAffine
            With the reason given.
        """
        self._step(NotAffine(reason)).fixed_size(size, reason)

    def _step(self, meaning: Rule | NotAffine) -> Step:
        self.count += 1
        path = (*self.path, self.count)
        node = replace(self.node, outputs=("result",))
        return Step(node, meaning, self.run.tape, path, self.run.log, self.run.other)


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[tuple[int, Node]]:
    wanted = set(outputs)
    kept = []
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if not wanted.isdisjoint(node.outputs):
            wanted.update(node.inputs)
            wanted.update(node.captured)
            kept.append((place, node))
    return kept[::-1]
