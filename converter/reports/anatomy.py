"""A network as it was seen: each operation, what it made of its values, and where it broke off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from converter.errors import Finding, Rejected
from converter.folding import Settled, judge
from converter.formats import read
from converter.inspection import choose
from converter.network import Graph, Network, Node, Output
from converter.reports.places import Places, judged
from converter.reports.stored import Digests, Stored, read_by
from converter.tracing.affine import Affine
from converter.tracing.items import Items
from converter.tracing.linked import Decided, Linked
from converter.tracing.opaque import Opaque
from converter.tracing.step import Value


@dataclass(frozen=True, slots=True)
class Part:
    """An input, an operation, or an output of the network.

    Parameters
    ----------
    name, operation : str
    kind : str
        ``input``; ``constant`` (no input has a part in it), ``affine``, ``link`` (a known function
        of an affine value), ``decision`` (a label chosen by one); ``refused`` (not affine),
        ``after`` (computed from what was refused), ``idle`` (not affine, but no output depends on
        its value); ``unseen`` (the trace did not get there); ``output`` or ``label`` (an output
        that holds labels and was set aside).
    shapes : tuple of str
        Of what it made, ``n x 3`` for rows of three numbers.
    sources : tuple of int
        Places of the parts that it reads.
    stored : tuple of Stored
        Weights and constants of the file that it reads.
    findings : tuple of Finding
        What was found here.
    input, output : bool
        Whether it is one of the network's.
    """

    name: str
    operation: str
    kind: str
    shapes: tuple[str, ...] = ()
    sources: tuple[int, ...] = ()
    stored: tuple[Stored, ...] = ()
    findings: tuple[Finding, ...] = ()
    input: bool = False
    output: bool = False


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A network, part by part, in the order in which it computes.

    Parameters
    ----------
    parts : tuple of Part
        Inputs first, outputs last; operations that no output needs are left out.
    producer : str
        The program that wrote the file, if it says so.
    """

    parts: tuple[Part, ...]
    producer: str = ""

    def origin(self, place: int) -> list[Part]:
        """Return the parts that one of them is computed from, in order."""
        wanted = {place}
        for number in range(place, -1, -1):
            if number in wanted:
                wanted.update(self.parts[number].sources)
        return [self.parts[number] for number in sorted(wanted - {place})]


def anatomy(
    path: str | os.PathLike[str],
    output: str | int | None = None,
    signature: str | None = None,
) -> Anatomy:
    """Trace a saved network and note what each operation made.

    Parameters
    ----------
    path, output, signature
        As for `converter.inspect`.

    Raises
    ------
    ModelFileError
        If the file is damaged, hostile, or not a model.
    """
    network = read(path, signature)
    seen = _Seen()
    outputs = choose(network, output)
    verdicts: list[Settled | tuple[Finding, ...]]
    try:
        verdicts = judge(network, outputs, seen.watch)[0]
    except Rejected as rejected:  # for what concerns all of it, before anything is traced
        verdicts = [rejected.findings] * len(outputs)
    network.verify()
    return Anatomy(_parts(network, outputs, verdicts, seen), network.producer)


@dataclass
class _Seen:
    """What a trace told of each operation, for each number of rows."""

    made: dict[int, dict[int, list[tuple[str, tuple[int, ...] | None]]]] = field(
        default_factory=dict
    )
    own: dict[int, tuple[Finding, ...]] = field(default_factory=dict)

    def watch(self, rows: int, node: Node, results: Sequence[Value]) -> None:
        self.made.setdefault(id(node), {})[rows] = [
            (_kind(one), _shape(one)) for one in results if one is not None
        ]
        graphs = any(isinstance(value, Graph) for value in node.attributes.values())
        # What a branch or a loop found lies behind its results.
        self.own[id(node)] = tuple(
            finding
            for one in results
            if isinstance(one, Opaque)
            for finding in (one.findings if graphs else one.own)
        )

    def kind(self, node: Node) -> str:
        """Return what an operation made: of several values, the worst."""
        made = self.made.get(id(node))
        if not made:
            return "unseen"
        kinds = [kind for kind, _ in next(reversed(made.values()))]
        return max(kinds, key=_ORDER.index, default="constant")

    def shapes(self, node: Node) -> tuple[str, ...]:
        """Return the shapes of what an operation made, with n for the number of rows."""
        made = self.made.get(id(node), {})
        if not made:
            return ()
        *_, last = made.values()
        other = made.get(3, last)
        return tuple(
            _shown(shape, again)
            for (_, shape), (_, again) in zip(last, other, strict=False)
            if shape is not None
        )


_ORDER = ("constant", "affine", "link", "decision", "opaque")


def _kind(value: Value) -> str:
    if isinstance(value, Items):
        return max(map(_kind, value.values), key=_ORDER.index, default="constant")
    for type_, kind in (
        (Opaque, "opaque"),
        (Decided, "decision"),
        (Linked, "link"),
        (Affine, "affine"),
    ):
        if isinstance(value, type_):
            return kind
    return "constant"


def _shape(value: Value) -> tuple[int, ...] | None:
    if isinstance(value, Opaque):
        return None if value.stand_in is None else tuple(map(int, value.stand_in.shape))
    if isinstance(value, Items):
        return None
    return tuple(map(int, np.shape(value)))


def _shown(shape: tuple[int, ...], again: tuple[int, ...] | None) -> str:
    """Return a shape that was traced with two rows and with three."""
    if again is None or len(again) != len(shape):
        again = shape
    sizes = []
    for two, three in zip(shape, again, strict=True):
        grown = three - two  # with one row more
        if not grown:
            sizes.append(str(two))
        else:
            factor, rest = f"{grown}n" if grown != 1 else "n", two - 2 * grown
            sizes.append(factor if not rest else f"({factor}{rest:+d})")
    return " \u00d7 ".join(sizes) if sizes else "one number"


def _parts(
    network: Network,
    outputs: Sequence[Output],
    verdicts: Sequence[Settled | tuple[Finding, ...]],
    seen: _Seen,
) -> tuple[Part, ...]:
    digests = Digests(network)
    parts: list[Part] = []
    makers: dict[str, int] = {}
    needed = _needed(network, outputs)
    for one in network.inputs:
        makers[one.name] = len(parts)
        shape = () if one.shape is None else (_declared(one.shape),)
        parts.append(Part(one.name, one.dtype, "input", shape, input=True))
    for node in needed:
        sources = tuple(sorted({makers[name] for name in read_by(node) if name in makers}))
        for name in node.outputs:
            makers[name] = len(parts)
        made = seen.kind(node), seen.shapes(node), sources, digests.of(node)
        parts.append(Part(node.name, node.operation, *made))
    for output, verdict in zip(outputs, verdicts, strict=True):
        link = verdict.link if isinstance(verdict, Settled) else ""
        sources = (makers[output.edge],) if output.edge in makers else ()
        kind = "label" if verdict == () else "output"
        parts.append(Part(output.name, link, kind, (), sources, output=True))
    places = {id(node): place for place, node in enumerate(needed, len(network.inputs))}
    where = Places(parts, verdicts)
    for node in needed:
        where.found(places[id(node)], seen.own.get(id(node), ()), _inside(node))
    where.rest()
    return judged(parts, where.places, where.refused)


def _inside(node: Node) -> list[str]:
    """Return the names of the operations in a node's branches and loops."""
    names = []
    for value in node.attributes.values():
        if isinstance(value, Graph):
            for inner in value.nodes:
                names += [inner.name, *_inside(inner)]
    return list(dict.fromkeys(name for name in names if name))


def _needed(network: Network, outputs: Sequence[Output]) -> list[Node]:
    wanted = {one.edge for one in outputs}
    kept = []
    for node in reversed(network.nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(read_by(node))
            kept.append(node)
    return kept[::-1]


def _declared(shape: Sequence[int | None]) -> str:
    sizes = [
        ("n" if place == 0 else "?") if size is None else str(size)
        for place, size in enumerate(shape)
    ]
    return " \u00d7 ".join(sizes) if sizes else "one number"
