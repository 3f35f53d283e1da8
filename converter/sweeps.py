"""The two sweeps over a tape, and what they gather: one row's map, proved to be every row's.

Each sweep reads every weight once. What a step holds is freed as soon as it has been passed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from converter.errors import ModelFileError, printable
from converter.tracing.affine import Affine, Entry, Tape
from converter.tracing.primitives import Contract, Shift, Source, finite

# Numbers that one sweep carries through the widest value of the tape: 64 MB of float64.
_SWEEP_ELEMENTS = 1 << 23
# Multiplications up to which a sweep is run in extended precision, where the platform has it.
_EXTENDED = 1 << 21


class RowMap:
    """The affine map of one row, gathered block by block while all rows are swept.

    Parameters
    ----------
    rows : int
        Rows that were traced.
    output_sizes, input_sizes : sequence of int
        Elements of one row of each output and input.
    batched : sequence of bool
        Which inputs have a row of their own for each row of the outputs.

    Attributes
    ----------
    coef : ndarray of float64, shape (outputs, inputs)
    intercept : ndarray of float64, shape (outputs,)
    has_intercept : ndarray of bool, shape (outputs,)
    alike : list of bool
        For each output, whether every row is the same function of its own inputs alone.
    """

    def __init__(
        self,
        rows: int,
        output_sizes: Sequence[int],
        input_sizes: Sequence[int],
        batched: Sequence[bool],
    ) -> None:
        self.rows, self.batched = rows, list(batched)
        self.sizes, self.widths = list(output_sizes), list(input_sizes)
        self.starts = np.cumsum([0, *output_sizes])
        self.columns = np.cumsum([0, *input_sizes])
        self.coef = np.zeros((int(self.starts[-1]), int(self.columns[-1])))
        self.intercept = np.zeros(len(self.coef))
        self.has_intercept = np.zeros(len(self.coef), dtype=bool)
        self.alike = [True] * len(self.sizes)

    def add_cotangents(
        self, output: int, elements: np.ndarray, place: int, values: np.ndarray
    ) -> None:
        """Take in what the reverse sweep brought to one input.

        Parameters
        ----------
        output, place : int
            Which output and which input.
        elements : ndarray of int, shape (K,)
            Places in the flattened output, all rows, rising.
        values : ndarray of float64, shape (K, input elements of all rows)
        """
        row, element = np.divmod(elements, self.sizes[output])
        own = values
        if self.batched[place]:
            own = values.reshape(len(values), self.rows, -1)[np.arange(len(values)), row]
            if np.count_nonzero(values) != np.count_nonzero(own):
                self.alike[output] = False
        columns = slice(int(self.columns[place]), int(self.columns[place + 1]))
        block = self.coef[:, columns]
        self._settle(output, block, self.starts[output] + element, row, own)

    def _settle(
        self,
        output: int,
        block: np.ndarray,
        index: np.ndarray,
        row: np.ndarray,
        own: np.ndarray,
    ) -> None:
        """Store what belongs to row 0, and compare with it what belongs to the others."""
        first = row == 0
        block[index[first]] = own[first]
        rest = ~first
        if rest.any() and not _same(block[index[rest]], own[rest]):
            self.alike[output] = False

    def add_tangents(
        self, place: int, elements: np.ndarray, outputs: Sequence[np.ndarray | None]
    ) -> None:
        """Take in what the forward sweep brought from some elements of one input.

        Parameters
        ----------
        place : int
            Which input.
        elements : ndarray of int, shape (K,)
            Places in the flattened input, all rows, rising.
        outputs : sequence of ndarray of float64, shape (K, rows, size), or None
        """
        row, element = np.divmod(elements, self.widths[place])
        for output, values in enumerate(outputs):
            if values is None:
                continue
            columns = slice(int(self.starts[output]), int(self.starts[output + 1]))
            block = self.coef[columns].T
            index = self.columns[place] + element
            if self.batched[place]:
                own = values[np.arange(len(values)), row]
                if np.count_nonzero(values) != np.count_nonzero(own):
                    self.alike[output] = False
                self._settle(output, block, index, row, own)
            else:
                block[index] = values[:, 0]
                if not _same(values[:, :1], values):
                    self.alike[output] = False

    def add_offset(self, output: int, values: np.ndarray, present: np.ndarray) -> None:
        """Take in an output's constant terms, both of shape (rows, size)."""
        here = slice(int(self.starts[output]), int(self.starts[output + 1]))
        self.intercept[here] = values[0]
        self.has_intercept[here] = present.any(axis=0)
        if not _same(values[:1], values):
            self.alike[output] = False


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two arrays hold the same numbers, but for the order of additions."""
    slack = 1e-9 * np.abs(a).max(initial=0.0)
    return bool((np.abs(b - a) <= slack).all())


def _blocks(count: int, tape: Tape) -> list[np.ndarray]:
    widest = max((math.prod(entry.shape) for entry in tape.entries), default=1)
    step = max(1, _SWEEP_ELEMENTS // max(1, widest))
    return [np.arange(start, min(start + step, count)) for start in range(0, count, step)]


def _seed(elements: np.ndarray, shape: tuple[int, ...], kind: type[np.floating]) -> np.ndarray:
    seed = np.zeros((len(elements), math.prod(shape)), kind)
    seed[np.arange(len(elements)), elements] = 1.0
    return seed.reshape(len(elements), *shape)


Values = Sequence[Affine | np.ndarray]


def precision(tape: Tape, carried: int) -> type[np.floating]:
    """Return the type in which a sweep of so many numbers through each value computes.

    Where products of stacked layers cancel, three more digits are worth some milliseconds; longer
    types are not computed by the processor's vector units, and large networks are left to these.
    """
    products = sum(
        entry.primitive.constant.size
        for entry in tape.entries
        if isinstance(entry.primitive, Contract)
    )
    return np.longdouble if carried * products <= _EXTENDED else np.float64


def reverse(
    tape: Tape,
    inputs: Sequence[Affine],
    outputs: Values,
    into: RowMap,
    kind: type[np.floating] = np.float64,
) -> None:
    """Carry a cotangent for each output element back through the tape.

    Raises
    ------
    ModelFileError
        If a weight holds a NaN or an infinity.
    """
    place_of = {one.index: place for place, one in enumerate(inputs)}
    for number, value in enumerate(outputs):
        if isinstance(value, np.ndarray):
            continue
        offset, present = np.zeros(value.size, kind), np.zeros(value.size, dtype=bool)
        for elements in _blocks(value.size, tape):
            cotangents = {value.index: _seed(elements, value.shape, kind)}
            for index in range(value.index, -1, -1):
                cotangent = cotangents.pop(index, None)
                if cotangent is None:
                    continue
                entry = tape.entries[index]
                if isinstance(entry.primitive, Source):
                    if index in place_of:
                        flat = cotangent.reshape(len(cotangent), -1)
                        into.add_cotangents(number, elements, place_of[index], flat)
                    continue
                with _place(entry):
                    if isinstance(entry.primitive, Shift):
                        share, there = entry.primitive.offset(cotangent)
                        offset[elements] += share
                        present[elements] |= there
                    passed = entry.primitive.adjoint(cotangent)
                for operand, back in zip(entry.operands, passed, strict=True):
                    known = cotangents.get(operand)
                    cotangents[operand] = back if known is None else known + back
        shape = (into.rows, -1)
        into.add_offset(number, offset.reshape(shape), present.reshape(shape))


def forward(
    tape: Tape,
    inputs: Sequence[Affine],
    outputs: Values,
    into: RowMap,
    kind: type[np.floating] = np.float64,
) -> None:
    """Carry a tangent for each input element forward, and the offset in a run of its own.

    The offset starts at zero and is what every `Shift` adds to. Whether there is one is a
    question of reachability: random marks at every shift reach exactly the outputs on whose way
    a constant stands, except on a set of measure zero.

    Raises
    ------
    ModelFileError
        If a weight holds a NaN or an infinity.
    """
    wanted = _used(tape, outputs)

    def run(
        seeds: dict[int, np.ndarray], rows: int, shift: Callable[[Shift, np.ndarray], np.ndarray]
    ) -> list[np.ndarray | None]:
        tangents: dict[int, np.ndarray] = {}
        readers = dict(wanted)
        for index, entry in enumerate(tape.entries):
            if index not in readers:
                continue
            if isinstance(entry.primitive, Source):
                seed = seeds.get(index)
                tangents[index] = np.zeros((rows, *entry.shape), kind) if seed is None else seed
                continue
            with _place(entry):
                value = entry.primitive.forward(*(tangents[operand] for operand in entry.operands))
                if isinstance(entry.primitive, Shift):
                    value = shift(entry.primitive, value)
            for operand in entry.operands:
                readers[operand] -= 1
                if not readers[operand]:
                    tangents.pop(operand, None)
            tangents[index] = value
        return [
            None
            if isinstance(value, np.ndarray)
            else tangents[value.index].reshape(rows, into.rows, -1)
            for value in outputs
        ]

    for place, one in enumerate(inputs):
        for elements in _blocks(one.size, tape):
            seeds = {one.index: _seed(elements, one.shape, kind)}
            into.add_tangents(place, elements, run(seeds, len(elements), lambda s, v: v))
    marks = np.random.default_rng(0)

    def mark(shift: Shift, value: np.ndarray) -> np.ndarray:
        noise = marks.uniform(1.0, 2.0, value.shape)
        return value + (noise if shift.where is None else noise * shift.where)

    offsets = run({}, 1, lambda shift, value: value + finite(shift.constant))
    presences = run({}, 1, mark)
    for number, (offset, presence) in enumerate(zip(offsets, presences, strict=True)):
        if offset is not None and presence is not None:
            into.add_offset(number, offset[0], presence[0] != 0)


def _used(tape: Tape, outputs: Values) -> dict[int, int]:
    """Return how often each entry on the way to the outputs is read; outputs are never freed."""
    readers: dict[int, int] = {}
    for value in outputs:
        if isinstance(value, Affine):
            readers[value.index] = readers.get(value.index, 0) + len(tape.entries) + 1
    for index in range(len(tape.entries) - 1, -1, -1):
        if index in readers:
            for operand in tape.entries[index].operands:
                readers[operand] = readers.get(operand, 0) + 1
    return readers


class _place:  # noqa: N801 (used as a with statement)
    """Name the node in what goes wrong within."""

    __slots__ = ("entry",)

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModelFileError):
            where = printable(self.entry.origin)
            raise type(error)(f"node {where!r}: {error}") from None
