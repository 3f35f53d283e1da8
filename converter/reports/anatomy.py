"""A network as it was seen: each operation, what it made of its values, and where it broke off."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converter.errors import Finding, ModelFileError, NotAffine, Rejected
from converter.folding import Settled, judge
from converter.formats import read
from converter.inspection import choose
from converter.network import Graph, Network, Node, Output
from converter.tracing.affine import Affine
from converter.tracing.items import Items
from converter.tracing.linked import Decided, Linked
from converter.tracing.opaque import Opaque
from converter.tracing.step import Value

# Numbers whose digest is taken at a time.
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Stored:
    """An array of numbers in the file.

    Parameters
    ----------
    name : str
        Of the constant, or layer and role.
    shape : tuple of int
    dtype : str
    sha256 : str
        Of its elements in row-major order, little-endian.
    frozen : bool
        Whether the file says that training did not change it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str
    frozen: bool = False


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

    @property
    def numbers(self) -> int:
        """How many weights and constants the outputs are computed with."""
        stored = {one.name: one.shape for part in self.parts for one in part.stored}
        return sum(int(np.prod(shape)) for shape in stored.values())

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
    except (ModelFileError, NotAffine):
        raise
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
    digests = _Digests(network)
    parts: list[Part] = []
    makers: dict[str, int] = {}
    needed = _needed(network, outputs)
    for one in network.inputs:
        makers[one.name] = len(parts)
        shape = () if one.shape is None else (_declared(one.shape),)
        parts.append(Part(one.name, one.dtype, "input", shape, input=True))
    for node in needed:
        sources = tuple(sorted({makers[name] for name in _reads(node) if name in makers}))
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
    where = _Where(parts, verdicts)
    for node in needed:
        where.found(places[id(node)], seen.own.get(id(node), ()), _inside(node))
    where.rest()
    return _judged(parts, where.places, where.refused)


def _judged(
    parts: Sequence[Part], places: Mapping[int, list[Finding]], refused: Container[int]
) -> tuple[Part, ...]:
    """Return the parts with what was found at them, and what that makes of those behind."""
    made: list[Part] = []
    for place, part in enumerate(parts):
        kind, found = part.kind, tuple(places.get(place, ()))
        behind = any(made[source].kind in ("refused", "after") for source in part.sources)
        if found:
            kind = "refused"
        elif behind and (place in refused or kind in ("opaque", "link", "decision", "affine")):
            kind = "after"
        elif kind == "opaque":
            kind = "idle"
        made.append(replace(part, kind=kind, findings=found))
    return tuple(made)


class _Where:
    """Where findings stand in a drawing: at the operation that they are about.

    Names do not tell operations apart; what a trace made of each does. A finding that a later
    operation brought to light (a sigmoid is only known to be misplaced when its result is used)
    stands at the operation that it names, if that leads there, and not to an output that is well.
    """

    def __init__(
        self, parts: Sequence[Part], verdicts: Sequence[Settled | tuple[Finding, ...]]
    ) -> None:
        self.parts = parts
        first = len(parts) - len(verdicts)
        self.refused = {
            first + number: one
            for number, one in enumerate(verdicts)
            if not isinstance(one, Settled) and one
        }
        well = [n for n in range(first, len(parts)) if n not in self.refused]
        self.fine = self._before(well)
        self.wanted = dict.fromkeys(f for found in self.refused.values() for f in found)
        self.places: dict[int, list[Finding]] = {}

    def _before(self, ends: Iterable[int]) -> set[int]:
        """Return the places that some are computed from, and these."""
        wanted = set(ends)
        for place in range(len(self.parts) - 1, -1, -1):
            if place in wanted:
                wanted.update(self.parts[place].sources)
        return wanted

    def found(self, place: int, own: Sequence[Finding], inside: Sequence[str]) -> None:
        """Put what an operation's trace found."""
        for finding in dict.fromkeys(own):
            if finding not in self.wanted:
                continue
            at = place
            if finding.node not in (self.parts[place].name, "", *inside):
                named = self._named(finding, self._before([place]) - self.fine)
                at = place if named is None else named
            self._put(at, finding)

    def rest(self) -> None:
        """Put what no operation's trace found: about inputs, outputs, and links at the end."""
        placed = {finding for several in self.places.values() for finding in several}
        for finding in self.wanted:
            if finding in placed:
                continue
            ends = [end for end, found in self.refused.items() if finding in found]
            named = self._named(finding, self._before(ends))
            self._put(ends[0] if named is None else named, finding)

    def _named(self, finding: Finding, among: Iterable[int]) -> int | None:
        """Return the last part of a name; rather one that is a link than another."""
        found = [one for one in among if self.parts[one].name == finding.node]
        if finding.operation in ("input", "output"):
            found = [one for one in found if getattr(self.parts[one], finding.operation)]
        linked = [one for one in found if self.parts[one].kind in ("link", "decision")]
        return max(linked or found, default=None)

    def _put(self, place: int, finding: Finding) -> None:
        several = self.places.setdefault(place, [])
        if finding not in several:
            several.append(finding)


def _inside(node: Node) -> list[str]:
    """Return the names of the operations in a node's branches and loops."""
    names = []
    for value in node.attributes.values():
        if isinstance(value, Graph):
            for inner in value.nodes:
                names += [inner.name, *_inside(inner)]
    return list(dict.fromkeys(name for name in names if name))


def _reads(node: Node) -> tuple[str, ...]:
    return (*node.inputs, *node.captured)


def _needed(network: Network, outputs: Sequence[Output]) -> list[Node]:
    wanted = {one.edge for one in outputs}
    kept = []
    for node in reversed(network.nodes):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(_reads(node))
            kept.append(node)
    return kept[::-1]


def _declared(shape: Sequence[int | None]) -> str:
    sizes = [
        ("n" if place == 0 else "?") if size is None else str(size)
        for place, size in enumerate(shape)
    ]
    return " \u00d7 ".join(sizes) if sizes else "one number"


class _Digests:
    """The arrays of a network, each read once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.known: dict[int, str] = {}

    def of(self, node: Node) -> tuple[Stored, ...]:
        """Return what a node reads from the file."""
        constants = self.network.constants
        named = [
            (name, constants[name], name in self.network.frozen)
            for name in dict.fromkeys(_reads(node))
            if name in constants
        ]
        named += [
            (f"{node.name}/{role}", array, role in node.frozen)
            for role, array in node.weights.items()
        ]
        return tuple(
            Stored(name, tuple(array.shape), array.dtype.name, self._digest(array), frozen)
            for name, array, frozen in named
        )

    def _digest(self, array: np.ndarray) -> str:
        if id(array) not in self.known:
            self.known[id(array)] = digest_of(array)
        return self.known[id(array)]


def digest_of(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's elements, row-major and little-endian.

    Of text, of the elements in UTF-8 with a zero byte behind each.
    """
    digest = hashlib.sha256()
    flat = array.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        if part.dtype.kind in "OUS":
            for one in part.tolist():
                digest.update(one if isinstance(one, bytes) else str(one).encode())
                digest.update(b"\0")
        else:
            little = part.dtype.newbyteorder("<") if part.dtype.kind in "iufcb" else part.dtype
            digest.update(np.ascontiguousarray(part.astype(little, copy=False)).tobytes())
    return digest.hexdigest()
