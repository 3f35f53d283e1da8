"""One node of a network being executed on traced values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converter.errors import (
    NOT_FINITE,
    Finding,
    ModelFileError,
    NotAffine,
    NotFinite,
    TooLarge,
    printable,
)
from converter.network import Node
from converter.semantics import Rule
from converter.tracing.affine import MAX_ELEMENTS, Affine, Tape
from converter.tracing.items import Items, flatten
from converter.tracing.laws import Course, Seen, lawless
from converter.tracing.linked import Decided, Linked, UsedLink
from converter.tracing.opaque import Opaque
from converter.tracing.pointwise import pointwise, stand_in
from converter.tracing.primitives import finite
from converter.tracing.reach import depends_only_on
from converter.tracing.reports import Place, SizeLog, SizeReport
from converter.tracing.sizes import SizeDependent
from converter.tracing.views import View

# Constants up to this size are cast to float64 at once; larger ones stay in the file.
_SMALL = 1 << 16

# None (an absent optional input) | ndarray | SizeDependent | Affine | Linked | Decided | Opaque
# | Items of these
Value = Any

# What a rule may stumble over in a damaged file.
_EXPECTED = (ModelFileError, ValueError, IndexError, TypeError, OverflowError, MemoryError)

_LABEL = "a decision whose result is used further"


@dataclass(slots=True)
class Step:
    """One node being executed.

    Parameters
    ----------
    node : Node
    meaning : Rule or NotAffine
        The latter if the node has no meaning, and why.
    tape : Tape
    place : tuple of int
    log, other : dict
        See `converter.tracing.interpreter.trace`.
    """

    node: Node
    meaning: Rule | NotAffine
    tape: Tape
    place: Place
    log: SizeLog
    other: SizeLog | None

    def run(
        self, operands: list[Value], bodies: Callable[..., Any] | None = None
    ) -> Sequence[Value]:
        """Return the node's results; of a refused operation, Opaque values."""
        if bodies is None:
            plainly = self._plainly(operands)
            if plainly is not None:
                return plainly
        own: list[Finding] = []
        parents: tuple[Opaque, ...] = ()
        plain = operands
        count = len(self.node.outputs)
        handles = "numbers" if isinstance(self.meaning, NotAffine) else self.meaning.handles
        if handles == "numbers":
            kinds = set(map(type, operands))
            if Items in kinds:
                operands = plain = flatten(operands)
                kinds = set(map(type, operands))
            if Opaque in kinds:
                parents = tuple(o for o in operands if isinstance(o, Opaque))
                plain = [o.stand_in if isinstance(o, Opaque) else o for o in operands]
        shapeless = any(o.stand_in is None for o in parents)
        try:
            return self._carefully(operands, plain, own, parents, shapeless, bodies)
        except TooLarge:
            if not parents:
                raise
            # What was refused already matters more than that it is large.
            return [_refused(own, parents, None)] * count

    def _carefully(
        self,
        operands: list[Value],
        plain: list[Value],
        own: list[Finding],
        parents: tuple[Opaque, ...],
        shapeless: bool,
        bodies: Callable[..., Any] | None,
    ) -> Sequence[Value]:
        count = len(self.node.outputs)
        looked_up = self.tape.looked_up
        rule: Rule | None = None
        handles = "numbers" if isinstance(self.meaning, NotAffine) else self.meaning.handles
        try:
            if isinstance(self.meaning, NotAffine):
                raise self.meaning
            rule = self.meaning
            if handles != "numbers":
                arguments = [operands] if bodies is None else [operands, bodies]
                return self._guarded(lambda: rule.call(*arguments), operands)
            if shapeless:
                if rule.refusal:
                    raise NotAffine(rule.refusal)
                return [_refused((), parents, None)] * count
            try:
                results = self._with_codes(rule, plain, self._evaluate(rule, plain))
            except UsedLink:
                codes = self._codes(rule, plain)
                if codes is not None:
                    return [self._coded(codes, self._misplaced(plain), parents)]
                # The link is at fault, not this operation: note it and try again beyond it.
                own.extend(self._misplaced(plain))
                plain = [self.tape.source(o.shape) if _is_link(o) else o for o in plain]
                results = self._evaluate(rule, plain)
        except NotAffine as refused:
            node, operation = refused.node or self.node.name, refused.operation
            own.append(Finding(node, operation or self.node.operation, refused.reason))
            codes = None if rule is None else self._codes(rule, plain)
            if codes is not None:
                return [self._coded(codes, own, parents)]
            if refused.shape is not None:
                shapes: list[tuple[int, ...]] | None = [refused.shape]
            else:
                shapes = None if rule is None or shapeless else _shapes(rule, plain)
            if shapes is None or len(shapes) < count:
                return [_refused(own, parents, None, refused.rows)] * count
            stands_in = [self.tape.source(shape) for shape in shapes[:count]]
            if refused.least is not None:
                self.tape.least.update((one.index, refused.least) for one in stands_in)
            return [_refused(own, parents, one, refused.rows) for one in stands_in]
        if parents and rule.reads_shape and self.tape.rows:
            # Of what was refused not even the sizes follow a known law.
            return [_refused(own, parents, None)] * count
        if own or parents:
            if not own and self.tape.looked_up != looked_up:
                return [self._known(result, parents) for result in results]
            return [self._opaque(result, tuple(own), parents) for result in results]
        return results

    def _codes(self, rule: Rule, operands: list[Value]) -> Affine | View | None:
        """Return what a refused operation makes of codes, element by element."""
        if not rule.pointwise or len(self.node.outputs) != 1:
            return None
        try:
            (made,) = self._guarded(
                lambda: [pointwise(self.tape, rule.call, operands, rule.pointwise, rule.beside)],
                operands,
            )
        except NotAffine:
            return None
        return made

    def _with_codes(
        self, rule: Rule, operands: list[Value], results: Sequence[Value]
    ) -> Sequence[Value]:
        """Remember of decisions on codes what they are for each code."""
        if not (rule.pointwise and len(results) == 1 and isinstance(results[0], Decided)):
            return results
        codes = self._codes(rule, operands)
        if isinstance(codes, View):
            return [replace(results[0], codes=codes)]
        return results if codes is None else [codes]

    def _coded(
        self, codes: Affine | View, own: Sequence[Finding], parents: tuple[Opaque, ...]
    ) -> Value:
        """Return codes: known numbers, or what is refused unless it is looked up."""
        if isinstance(codes, Affine):
            return self._known(codes, parents) if parents else codes
        return _refused(own, parents, stand_in(self.tape, codes))

    def _known(self, result: Value, parents: tuple[Opaque, ...]) -> Value:
        """Return what was looked up as it is, if it reads nothing that was refused."""
        if isinstance(result, Affine) and not any(parent.rows for parent in parents):
            own = {*self.tape.inputs, *self.tape.indicators.values()}
            if depends_only_on(result, own):
                return result
        return self._opaque(result, (), parents)

    def _plainly(self, operands: list[Value]) -> Sequence[Value] | None:
        """Return the results of an affine operation with nothing to be said about it.

        Nearly all nodes are such. Whatever is out of the ordinary, a refusal included, gives None
        and is looked at again with care; what it left on the tape is read by nobody.
        """
        rule = self.meaning
        if (
            not isinstance(rule, Rule)
            or rule.refusal
            or rule.reads_shape
            or rule.infinite
            or (self.tape.rows and rule.shape_operands)
            or rule.handles != "numbers"
        ):
            return None
        traced = False
        for operand in operands:
            kind = type(operand)
            if kind is Affine:
                traced = True
            elif operand is not None and (kind is not np.ndarray or operand.dtype.kind == "O"):
                return None
        if not traced:
            return None
        self.tape.origin = self.node.name
        try:
            results = rule.call([_prepare(operand, True) for operand in operands])
        except (NotAffine, *_EXPECTED):
            return None
        if self.tape.cut or len(results) != len(self.node.outputs):
            return None
        for result in results:
            if type(result) is not Affine or 0 in result.shape:
                return None
        return results

    def _opaque(
        self, result: Value, own: tuple[Finding, ...], parents: tuple[Opaque, ...]
    ) -> Value:
        if isinstance(result, Items):
            return Items(tuple(self._opaque(value, own, parents) for value in result.values))
        if isinstance(result, (Affine, Linked, Decided)):
            return _refused(own, parents, result)
        if isinstance(result, Opaque):
            merged = result.parents + parents
            return _refused(own + result.own, merged, result.stand_in, result.rows)
        return result

    def _misplaced(self, operands: list[Value]) -> list[Finding]:
        here = f"(here by {printable(self.node.name)}, {self.node.operation})"
        return [
            Finding(
                o.node,
                o.operation,
                f"{_LABEL if isinstance(o, Decided) else o.reason} {here}",
            )
            for o in operands
            if _is_link(o)
        ]

    def _evaluate(self, rule: Rule, operands: list[Value]) -> Sequence[Value]:
        kinds = set(map(type, operands))
        if Decided in kinds:
            return self._decided(rule, operands)
        traced = Affine in kinds or Linked in kinds
        if rule.refusal and traced:
            if Linked in kinds:
                raise UsedLink
            raise NotAffine(rule.refusal)
        given = operands
        if SizeDependent in kinds:
            operands = [o.value if isinstance(o, SizeDependent) else o for o in operands]
            if traced:
                self._sizes().check_operands(rule, given)
        elif self.tape.rows and not traced:
            self.log["constants", self.place] = [Seen.of(o) for o in operands]
        if self.tape.rows:
            for p in rule.shape_operands:
                if p < len(operands) and isinstance(operands[p], np.ndarray):
                    self.log["law", (*self.place, p)] = operands[p]
        self.tape.cut.clear()  # of what a refused operation has cut, nothing is left to check
        results = self._call(rule, operands, traced)
        if self.tape.cut or (self.other and ("cut", self.place) in self.other):
            self._sizes().check_cut()
        for result in results:
            if isinstance(result, Items):
                self.fixed_size(len(result.values), "splits into one part for each row")
        if self.tape.rows:
            for result in results:
                if isinstance(result, Affine) and 0 in result.shape:
                    raise NotAffine("takes rows that are not there in every batch", rows=True)
        if rule.reads_shape and traced:
            return [self._sizes().read_off(results[0])]
        if traced:
            report = self._sizes()
            return [report.sized(place, result) for place, result in enumerate(results)]
        if SizeDependent not in kinds or self.other is None:
            return results
        if any(isinstance(result, Items) for result in results):
            raise NotAffine("splits what has one element for each row", rows=True)
        seen = self.other.get(("constants", self.place))
        if seen is None or len(seen) != len(given):
            return [lawless(result) for result in results]
        before = int(self.other["rows", ()])
        course = Course(given, seen, self.tape.rows, before, rule.reads_shape)
        return course.results(rule.call, results)

    def _decided(self, rule: Rule, operands: list[Value]) -> Sequence[Value]:
        """Apply an operation to labels: with constants alone it makes labels again."""
        sources = [o.source for o in operands if isinstance(o, Decided)]
        others = [o for o in operands if o is not None and not isinstance(o, Decided)]
        if (
            not rule.labels
            or len({id(source) for source in sources}) > 1
            or not all(isinstance(o, np.ndarray) for o in others)
        ):
            raise UsedLink
        shapes = _shapes(replace(rule, refusal=""), operands)
        if shapes is None:
            raise UsedLink
        first = next(o for o in operands if isinstance(o, Decided))
        return [
            replace(first, shape=shape, codes=None) for shape in shapes[: len(self.node.outputs)]
        ]

    def fixed_size(self, size: int, reason: str) -> None:
        """Refuse a size that differs in the run with another number of rows."""
        self._sizes().fixed(size, reason)

    def _sizes(self) -> SizeReport:
        return SizeReport(self.tape, self.place, self.log, self.other)

    def _call(self, rule: Rule, operands: list[Value], traced: bool) -> Sequence[Value]:
        try:
            prepared = [
                o if place in rule.infinite else _prepare(o, traced)
                for place, o in enumerate(operands)
            ]
        except NotFinite:
            raise NotAffine(NOT_FINITE) from None
        if not (rule.moves or rule.text) and any(
            isinstance(o, np.ndarray) and o.dtype.kind == "O" for o in prepared
        ):
            raise NotAffine("computes with strings")

        def call() -> Sequence[Value]:
            if not traced and not rule.moves:
                _check_broadcast(prepared)
            return rule.call(prepared)

        if not traced:
            self.tape.spend(sum(o.size for o in prepared if isinstance(o, np.ndarray)))
        results = self._guarded(call, operands)
        for result in results:
            if isinstance(result, Linked):
                # It holds three arrays where a traced value holds none.
                self.tape.spend(32 * result.size)
            if not isinstance(result, np.ndarray) or result.size <= MAX_ELEMENTS:
                continue
            largest = max(np.size(o) for o in prepared) if prepared else 0
            if result.size > max(largest, MAX_ELEMENTS):
                raise TooLarge(
                    f"{where(self.node)} makes a constant of {result.size:,} elements; at most "
                    f"{MAX_ELEMENTS:,} are computed"
                )
        return [self._named(result) for result in results]

    def _guarded(
        self, call: Callable[[], Sequence[Value]], operands: list[Value]
    ) -> Sequence[Value]:
        """Run a rule; say of what goes wrong in it where that was."""
        self.tape.origin = self.node.name
        try:
            results = call()
        except NotFinite:
            # Often the mask of a softmax; whether a weight is damaged is looked at later.
            raise NotAffine(NOT_FINITE) from None
        except ModelFileError as error:
            raise type(error)(f"{where(self.node)}: {error}") from None
        except _EXPECTED as error:
            shapes = [list(getattr(o, "shape", ())) for o in operands if o is not None]
            raise ModelFileError(
                f"{where(self.node)} cannot be computed on operands of shapes {shapes}: "
                f"{printable(str(error))}"
            ) from None
        if len(results) < len(self.node.outputs):
            raise ModelFileError(
                f"{where(self.node)} has {len(self.node.outputs)} outputs where the operation "
                f"makes {len(results)}"
            )
        return results[: len(self.node.outputs)]

    def _named(self, result: Value) -> Value:
        if isinstance(result, np.generic):
            return np.asarray(result)
        if result is None:
            result = NotAffine("has an output that its specification leaves undefined")
        if isinstance(result, NotAffine):
            operation = result.operation or self.node.operation
            stand_in = None if result.shape is None else self.tape.source(result.shape)
            return Opaque((Finding(self.node.name, operation, result.reason),), (), stand_in)
        if isinstance(result, (Linked, Decided)) and not result.node:
            operation = result.operation or self.node.operation
            return replace(result, node=self.node.name, operation=operation)
        return result


def _refused(
    own: Sequence[Finding],
    parents: tuple[Opaque, ...],
    stand_in: Value,
    rows: bool = False,
) -> Opaque:
    return Opaque(tuple(own), parents, stand_in, rows or any(parent.rows for parent in parents))


def where(node: Node) -> str:
    """Return how messages name a node."""
    return f"node {printable(node.name)!r} ({printable(node.operation)})"


def _is_link(value: Value) -> bool:
    return isinstance(value, (Linked, Decided))


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
        raise TooLarge(
            f"makes a constant of {size:,} elements; at most {MAX_ELEMENTS:,} are computed"
        )


def _shapes(rule: Rule, operands: list[Value]) -> list[tuple[int, ...]] | None:
    """Return the shapes of the results, found by computing them on zeros."""
    if rule.keeps_shape:
        return [np.shape(operands[0])]
    if rule.costly:
        return None
    zeros = [
        np.broadcast_to(np.int64(0) if isinstance(o, Decided) else np.float64(0.0), o.shape)
        if isinstance(o, (Affine, Linked, Decided))
        else o.value
        if isinstance(o, SizeDependent)
        else o
        for o in operands
    ]
    try:
        return [np.shape(result) for result in rule.call(zeros)]
    except (NotAffine, ModelFileError, ValueError):
        return None
    except (IndexError, TypeError, OverflowError, MemoryError, AttributeError):
        return None
