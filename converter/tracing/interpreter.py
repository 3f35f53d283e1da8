"""Run a network once on traced values: what comes out is affine, linked, or a list of findings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import Finding, ModelFileError, NotAffine, printable
from converter.network import Network, Node, Output
from converter.semantics import Rule, rule_for
from converter.tracing.affine import MAX_ELEMENTS, Affine, Tape
from converter.tracing.linked import Linked, UsedLink
from converter.tracing.opaque import Opaque
from converter.tracing.primitives import finite
from converter.tracing.sizes import SizeDependent

# Constants up to this size are cast to float64 at once; larger ones stay in the file.
_SMALL = 1 << 16
# Bytes that operations on constants alone may allocate in one trace, beyond 8 x the file.
_CONSTANT_BYTES = 1 << 28

Value = Any  # None (an absent optional input) | ndarray | SizeDependent | Affine | Linked | Opaque

# What nodes reported of sizes, by place in the network: the shape that one read, and the sizes
# of axes that one cut at a given length beyond their end.
SizeLog = dict[tuple[str, int], np.ndarray]

#: Types of inputs that are numbers, and the `Affine.kind` of each.
KINDS: dict[str, str] = {
    **dict.fromkeys(("float16", "bfloat16", "float32", "float64"), "f"),
    **dict.fromkeys(("int32", "int64"), "i"),
    **dict.fromkeys(("bool", "int8", "int16", "uint8", "uint16"), "u"),
    **dict.fromkeys(("uint32", "uint64"), "w"),
}

# The meaning of each node, by its place; or why it has none.
Rules = dict[int, Rule | NotAffine]


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run left behind.

    Parameters
    ----------
    tape : Tape
    inputs : tuple of Affine
        The traced inputs, in the network's order.
    outputs : tuple
        The value on each requested output: ndarray, SizeDependent, Affine, Linked or Opaque.
    sizes : dict
        What nodes reported of sizes.
    """

    tape: Tape
    inputs: tuple[Affine, ...]
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
        Meanings found so far, by the node's place; filled in, for the next trace.
    rows : int
        How many rows this trace chose, where the file leaves it open; else 0.
    other : dict, optional
        `Trace.sizes` of a run with another number of rows: a size that differs there
        depends on the number of rows and must not enter the numbers.

    Raises
    ------
    ModelFileError
        If a node reads an edge that nothing defines, or sizes do not fit.
    """
    tape = Tape(rows)
    edges: dict[str, Value] = dict(network.constants)
    traced = []
    for declared, shape in zip(network.inputs, shapes, strict=True):
        value = tape.source(shape, KINDS[declared.dtype])
        traced.append(value)
        edges[declared.name] = value
    nodes = _needed(network.nodes, outputs)
    readers = Counter(name for _, node in nodes for name in node.inputs)
    readers.update(output.edge for output in outputs)
    budget = _CONSTANT_BYTES + 8 * network.size
    log: SizeLog = {}
    for place, node in nodes:
        operands = [_look_up(edges, name, node) for name in node.inputs]
        if place not in rules:
            try:
                rules[place] = rule_for(node, network.dialect)
            except NotAffine as unknown:
                rules[place] = unknown
        results = _Step(node, rules[place], tape, place, log, other).run(operands)
        for name, result in zip(node.outputs, results, strict=True):
            if name:
                edges[name] = result
            if isinstance(result, np.ndarray) and result.base is None:
                budget -= result.nbytes
        if budget < 0:
            raise ModelFileError(
                f"the constants computed up to {_where(node)} take far more memory than the file"
            )
        for name in node.inputs:
            readers[name] -= 1
            if not readers[name]:
                edges.pop(name, None)
    for output in outputs:
        if output.edge not in edges:
            raise ModelFileError(f"nothing defines the output {printable(output.name)!r}")
    return Trace(tape, tuple(traced), tuple(edges[output.edge] for output in outputs), log)


def _look_up(edges: dict[str, Value], name: str, node: Node) -> Value:
    if not name:
        return None
    if name not in edges:
        raise ModelFileError(
            f"{_where(node)} reads {printable(name)!r}, which no input, weight or earlier node "
            "defines"
        )
    return edges[name]


def _needed(nodes: Sequence[Node], outputs: Sequence[Output]) -> list[tuple[int, Node]]:
    wanted = {output.edge for output in outputs}
    kept = []
    for place in range(len(nodes) - 1, -1, -1):
        node = nodes[place]
        if not wanted.isdisjoint(node.outputs):
            wanted.update(node.inputs)
            kept.append((place, node))
    return kept[::-1]


@dataclass(slots=True)
class _Step:
    """One node being executed."""

    node: Node
    meaning: Rule | NotAffine
    tape: Tape
    place: int
    log: SizeLog
    other: SizeLog | None

    def run(self, operands: list[Value]) -> Sequence[Value]:
        """Return the node's results; of a refused operation, Opaque values."""
        own: list[Finding] = []
        parents: tuple[Opaque, ...] = ()
        plain = operands
        if Opaque in map(type, operands):
            parents = tuple(o for o in operands if isinstance(o, Opaque))
            plain = [o.stand_in if isinstance(o, Opaque) else o for o in operands]
        shapeless = any(o.stand_in is None for o in parents)
        count = len(self.node.outputs)
        rule: Rule | None = None
        try:
            if isinstance(self.meaning, NotAffine):
                raise self.meaning
            rule = self.meaning
            if shapeless:
                if rule.refusal:
                    raise NotAffine(rule.refusal)
                return [Opaque((), parents, None)] * count
            try:
                results = self._evaluate(rule, plain)
            except UsedLink as used:
                # The link is at fault, not this operation: note it and try again beyond it.
                own.extend(self._misplaced(used, plain))
                plain = [self.tape.source(o.shape) if isinstance(o, Linked) else o for o in plain]
                results = self._evaluate(rule, plain)
        except NotAffine as refused:
            node, operation = refused.node or self.node.name, refused.operation
            own.append(Finding(node, operation or self.node.operation, refused.reason))
            if refused.shape is not None:
                shapes: list[tuple[int, ...]] | None = [refused.shape]
            else:
                shapes = None if rule is None else _shapes(rule, plain)
            if shapes is None or len(shapes) < count:
                return [Opaque(tuple(own), parents, None)] * count
            return [
                Opaque(tuple(own), parents, self.tape.source(shape)) for shape in shapes[:count]
            ]
        if own or parents:
            return [
                Opaque(tuple(own), parents, self.tape.source(result.shape))
                if isinstance(result, (Affine, Linked))
                else result
                for result in results
            ]
        return results

    def _misplaced(self, used: UsedLink, operands: list[Value]) -> list[Finding]:
        reason = f"{used.reason} (here by {printable(self.node.name)}, {self.node.operation})"
        return [Finding(o.node, o.operation, reason) for o in operands if isinstance(o, Linked)]

    def _evaluate(self, rule: Rule, operands: list[Value]) -> Sequence[Value]:
        kinds = set(map(type, operands))
        traced = Affine in kinds or Linked in kinds
        if rule.refusal and traced:
            if Linked in kinds:
                raise UsedLink
            raise NotAffine(rule.refusal)
        masks: list[np.ndarray | None] = []
        dependent = False
        if SizeDependent in kinds:
            masks = [o.mask if isinstance(o, SizeDependent) else None for o in operands]
            operands = [o.value if isinstance(o, SizeDependent) else o for o in operands]
            where = [p for p, mask in enumerate(masks) if mask is not None and mask.any()]
            dependent = bool(where)
            if traced and not rule.shape_operands.issuperset(where):
                raise NotAffine("its numbers depend on how many rows there are")
        results = self._call(rule, operands, traced)
        if self.tape.cut:
            self._check_cut()
        if self.tape.rows:
            for result in results:
                if isinstance(result, Affine) and 0 in result.shape:
                    raise NotAffine("takes rows that are not there in every batch")
        if rule.reads_shape and traced:
            self.log["shape", self.place] = results[0]
            if self.other is None:
                return results
            differs = np.not_equal(results[0], self.other.get(("shape", self.place), -1))
            return [SizeDependent(results[0], differs)] if differs.any() else results
        if dependent and not traced:
            return self._masked(rule, results, operands, masks)
        return results

    def _check_cut(self) -> None:
        """Refuse to cut the rows at a given number, which two and three rows do not reach."""
        sizes = np.array(self.tape.cut)
        self.tape.cut.clear()
        self.log["cut", self.place] = sizes
        if self.other is not None and not np.array_equal(
            sizes, self.other.get(("cut", self.place), ())
        ):
            raise NotAffine("takes a fixed number of rows")

    def _call(self, rule: Rule, operands: list[Value], traced: bool) -> Sequence[Value]:
        self.tape.origin = self.node.name
        try:
            prepared = [_prepare(o, traced) for o in operands]
            if not traced and not rule.moves:
                _check_broadcast(prepared)
            results = rule.call(prepared)
        except ModelFileError as error:
            raise type(error)(f"{_where(self.node)}: {error}") from None
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError) as error:
            shapes = [list(np.shape(o)) for o in operands if o is not None]
            raise ModelFileError(
                f"{_where(self.node)} cannot be computed on operands of shapes {shapes}: "
                f"{printable(str(error))}"
            ) from None
        if len(results) < len(self.node.outputs):
            raise ModelFileError(
                f"{_where(self.node)} has {len(self.node.outputs)} outputs where the operation "
                f"makes {len(results)}"
            )
        results = results[: len(self.node.outputs)]
        for result in results:
            if not isinstance(result, np.ndarray) or result.size <= MAX_ELEMENTS:
                continue
            largest = max(np.size(o) for o in prepared) if prepared else 0
            if result.size > max(largest, MAX_ELEMENTS):
                raise ModelFileError(
                    f"{_where(self.node)} makes a constant of {result.size:,} elements; at most "
                    f"{MAX_ELEMENTS:,} are computed"
                )
        return [self._named(result) for result in results]

    def _named(self, result: Value) -> Value:
        if result is None:
            reason = "has an output that its specification leaves undefined"
            return Opaque((Finding(self.node.name, self.node.operation, reason),), (), None)
        if isinstance(result, Linked) and not result.node:
            operation = result.operation or self.node.operation
            return replace(result, node=self.node.name, operation=operation)
        return result

    def _masked(
        self, rule: Rule, results: Sequence[Value], operands: list[Value], masks: list[Any]
    ) -> Sequence[Value]:
        """Say which elements of a constant's result depend on the number of rows."""
        shaping = all(
            mask is None or not mask.any() or position in rule.shape_operands
            for position, mask in enumerate(masks)
        )
        if shaping:
            return results
        if not rule.moves or any(
            mask is not None and mask.any() and rule.moves == "first" and position
            for position, mask in enumerate(masks)
        ):
            return [SizeDependent(r, np.ones(np.shape(r), dtype=bool)) for r in results]
        moved = [
            _mask_of(operand, mask) if rule.moves == "all" or position == 0 else operand
            for position, (operand, mask) in enumerate(zip(operands, masks, strict=True))
        ]
        return [
            SizeDependent(result, np.asarray(mask, dtype=bool))
            for result, mask in zip(results, rule.call(moved), strict=False)
        ]


def _mask_of(operand: Value, mask: np.ndarray | None) -> Value:
    return np.zeros(np.shape(operand), dtype=bool) if mask is None else mask


def _prepare(value: Value, traced: bool) -> Value:
    """Cast a small constant to float64 where it meets a traced value.

    Among themselves constants are computed in their own type: a product that is rounded to float32
    and then to an integer would come out different.
    """
    if not traced or not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return finite(value) if value.size <= _SMALL else value


def _check_broadcast(constants: list[Value]) -> None:
    """Refuse an operation on constants whose result dwarfs them, before it is computed."""
    shapes = [np.shape(constant) for constant in constants if constant is not None]
    try:
        size = math.prod(np.broadcast_shapes(*shapes))
    except ValueError:
        return  # no elementwise operation: what else can grow checks for itself
    if size > max(MAX_ELEMENTS, *(math.prod(shape) for shape in shapes), 0):
        raise ModelFileError(
            f"makes a constant of {size:,} elements; at most {MAX_ELEMENTS:,} are computed"
        )


def _shapes(rule: Rule, operands: list[Value]) -> list[tuple[int, ...]] | None:
    """Return the shapes of the results, found by computing them on zeros."""
    if rule.keeps_shape:
        return [np.shape(operands[0])]
    zeros = [
        np.broadcast_to(np.float64(0.0), o.shape)
        if isinstance(o, (Affine, Linked))
        else o.value
        if isinstance(o, SizeDependent)
        else o
        for o in operands
    ]
    try:
        return [np.shape(result) for result in rule.call(zeros)]
    except (NotAffine, ValueError, IndexError, TypeError, OverflowError, MemoryError):
        return None


def _where(node: Node) -> str:
    return f"node {printable(node.name)!r} ({printable(node.operation)})"
