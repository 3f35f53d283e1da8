"""From a network to its affine map: trace, prove that rows do not mix, and sweep the tape.

The reverse sweep carries one cotangent for each output back to the inputs, the forward sweep one
tangent for each input to the outputs; the one with fewer rows is run. Each reads every weight
once. What a step holds is freed as soon as it has been passed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import Finding, ModelFileError, Rejected, printable
from converter.network import Input, Network, Output
from converter.tracing.affine import Affine, Tape
from converter.tracing.interpreter import Rules, ShapeLog, Trace, trace
from converter.tracing.linked import Linked
from converter.tracing.opaque import Opaque
from converter.tracing.primitives import Shift, Source, finite
from converter.tracing.sizes import SizeDependent

# Numbers that one sweep carries through the widest value of the tape: 64 MB of float64.
_SWEEP_ELEMENTS = 1 << 23
# Coefficients that a fold may have: 1 GB of float64.
_MAX_COEFFICIENTS = 1 << 27

MIXES_ROWS = "mixes the rows of a batch: the prediction for one observation depends on the others"


@dataclass(frozen=True, slots=True)
class Folded:
    """The affine map of one or more outputs.

    Parameters
    ----------
    coef : ndarray of float64, shape (outputs, inputs)
        Over the flattened outputs and the flattened inputs, row-major, in the network's order.
    intercept : ndarray of float64, shape (outputs,)
    has_intercept : ndarray of bool, shape (outputs,)
        Whether the architecture has a constant term on the way to the output.
    links : tuple of str
        ``identity`` or ``logit``, one for each output element.
    output_shapes, input_shapes : tuple of tuple of int
        Shapes of one observation.
    """

    coef: np.ndarray
    intercept: np.ndarray
    has_intercept: np.ndarray
    links: tuple[str, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    input_shapes: tuple[tuple[int, ...], ...]


def fold_network(
    network: Network, outputs: Sequence[Output], *, sweep: str | None = None
) -> Folded:
    """Prove that the outputs are affine in the inputs, and compute the map.

    Parameters
    ----------
    network : Network
    outputs : sequence of Output
    sweep : {"reverse", "forward"}, optional
        By default the one with fewer rows to carry.

    Returns
    -------
    Folded

    Raises
    ------
    Rejected
        If any output is not an affine function (or a link of one) of its own row of inputs.
    ModelFileError
        If the network is damaged.
    """
    rows, traced = _trace(network, outputs)
    findings = [
        finding
        for value in traced.outputs
        if isinstance(value, Opaque)
        for finding in value.findings
    ]
    if findings:
        raise Rejected(network.path, tuple(dict.fromkeys(findings)))
    try:
        return _sweep(network, outputs, traced, rows, sweep)
    except ModelFileError as error:
        raise ModelFileError(_name_culprit(network) or str(error)) from None


def _trace(network: Network, outputs: Sequence[Output]) -> tuple[int | None, Trace]:
    """Trace the network on two rows where the leading size is open.

    Returns
    -------
    rows : int or None
        Rows on the leading axis; None if there is no such axis.
    traced : Trace
    """
    for one in network.inputs:
        if one.shape is None or any(size is None for size in one.shape[1:]):
            shape = "" if one.shape is None else f" {_show(one.shape)}"
            raise Rejected(
                network.path,
                [
                    Finding(
                        one.name,
                        "input",
                        f"leaves open a size{shape} other than the number of rows, so the number "
                        "of regressors is not fixed",
                    )
                ],
            )
    if not network.inputs:
        raise ModelFileError("has no inputs")
    if any(one.shape[:1] == (None,) for one in network.inputs if one.shape):
        return _trace_dynamic(network, outputs)
    shapes = [tuple(int(size or 0) for size in one.shape or ()) for one in network.inputs]
    traced = _run(network, shapes, outputs, {})
    leading = {shape[:1] for shape in shapes if len(shape) > 1}
    if len(leading) == 1:
        (rows,) = leading.pop()
        if all(
            isinstance(value, Opaque) or np.shape(value)[:1] == (rows,) for value in traced.outputs
        ):
            return rows, traced
    return None, traced


def _run(
    network: Network,
    shapes: Sequence[tuple[int, ...]],
    outputs: Sequence[Output],
    rules: Rules,
    other: ShapeLog | None = None,
) -> Trace:
    # What overflows or divides by zero on the way is found when the weights are used.
    with np.errstate(all="ignore"):
        return trace(network, shapes, outputs, rules, other)


def _show(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _trace_dynamic(network: Network, outputs: Sequence[Output]) -> tuple[int, Trace]:
    """Trace two rows, and three: what holds for both counts does not depend on the count."""

    def shapes(rows: int) -> list[tuple[int, ...]]:
        return [
            tuple(rows if size is None else size for size in one.shape or ())
            for one in network.inputs
        ]

    rules: Rules = {}
    try:
        three = _run(network, shapes(3), outputs, rules)
        two = _run(network, shapes(2), outputs, rules, three.shapes_read)
    except ModelFileError:
        # Some exporters fix the number of rows inside and leave it open at the door.
        one = _run(network, shapes(1), outputs, rules)
        if all(
            isinstance(value, (Affine, Linked)) and value.shape[:1] == (1,) for value in one.outputs
        ):
            return 1, one
        raise
    findings = []
    for output, at_two, at_three in zip(outputs, two.outputs, three.outputs, strict=True):
        if isinstance(at_two, Opaque):
            continue
        if isinstance(at_two, SizeDependent) or (
            np.shape(at_two)[:1] != (2,)
            or np.shape(at_three)[:1] != (3,)
            or np.shape(at_two)[1:] != np.shape(at_three)[1:]
        ):
            findings.append(Finding(output.name, "output", MIXES_ROWS))
    if findings and not any(isinstance(value, Opaque) for value in two.outputs):
        raise Rejected(network.path, findings)
    return 2, two


def _sweep(
    network: Network,
    outputs: Sequence[Output],
    traced: Trace,
    rows: int | None,
    sweep: str | None,
) -> Folded:
    values: list[Affine | np.ndarray] = []
    links: list[str] = []
    shapes = []
    for value in traced.outputs:
        shape = np.shape(value)[1:] if rows is not None else np.shape(value)
        shapes.append(tuple(int(size) for size in shape))
        inner = value.inner if isinstance(value, Linked) else value
        values.append(inner if isinstance(inner, Affine) else np.asarray(inner, dtype=np.float64))
        link = value.link if isinstance(value, Linked) else "identity"
        links.extend([link] * math.prod(shape))
    batched = [
        rows is not None and one.shape is not None and _is_batched(one, rows)
        for one in network.inputs
    ]
    input_shapes = tuple(
        value.shape[1:] if has_rows else value.shape
        for value, has_rows in zip(traced.inputs, batched, strict=True)
    )
    count_in = sum(math.prod(shape) for shape in input_shapes)
    count_out = sum(math.prod(shape) for shape in shapes)
    if count_in * count_out > _MAX_COEFFICIENTS:
        raise ModelFileError(
            f"has {count_out:,} outputs of {count_in:,} inputs each; more than "
            f"{_MAX_COEFFICIENTS:,} coefficients are not computed (choose among the outputs)"
        )
    run = _forward if (sweep or _cheaper(count_in, count_out)) == "forward" else _reverse
    full, offset, present = run(traced.tape, traced.inputs, values)
    if not (np.isfinite(full).all() and np.isfinite(offset).all()):
        raise ModelFileError("folds to NaN or infinite coefficients")
    return _one_row(
        network,
        outputs,
        (full, offset, present),
        tuple(links),
        tuple(shapes),
        input_shapes,
        batched,
        rows or 1,
    )


def _is_batched(one: Input, rows: int) -> bool:
    shape = one.shape or ()
    return bool(shape) and (shape[0] is None or (len(shape) > 1 and shape[0] == rows))


def _cheaper(inputs: int, outputs: int) -> str:
    return "reverse" if outputs <= inputs else "forward"


def _one_row(
    network: Network,
    outputs: Sequence[Output],
    swept: tuple[np.ndarray, np.ndarray, np.ndarray],
    links: tuple[str, ...],
    shapes: tuple[tuple[int, ...], ...],
    input_shapes: tuple[tuple[int, ...], ...],
    batched: Sequence[bool],
    rows: int,
) -> Folded:
    """Check that every row has the same map of its own inputs alone, and return that of one."""
    full, offset, present = swept
    coef = np.empty((sum(map(math.prod, shapes)), sum(map(math.prod, input_shapes))))
    intercept, has_intercept = np.empty(len(coef)), np.empty(len(coef), dtype=bool)
    findings = []
    row, first = 0, 0
    for output, shape in zip(outputs, shapes, strict=True):
        size = math.prod(shape)
        block = full[first : first + rows * size].reshape(rows, size, -1)
        constants = offset[first : first + rows * size].reshape(rows, size)
        there = present[first : first + rows * size].reshape(rows, size)
        first += rows * size
        column, start = 0, 0
        alike = _same(constants)
        for has_rows, input_shape in zip(batched, input_shapes, strict=True):
            width = math.prod(input_shape)
            if has_rows:
                part = block[:, :, start : start + rows * width].reshape(rows, size, rows, width)
                own = part[np.arange(rows), :, np.arange(rows)]
                alike = alike and np.count_nonzero(part) == np.count_nonzero(own)
                start += rows * width
            else:
                own = block[:, :, start : start + width]
                start += width
            alike = alike and _same(own)
            coef[row : row + size, column : column + width] = own[0]
            column += width
        if not alike:
            findings.append(Finding(output.name, "output", MIXES_ROWS))
        intercept[row : row + size] = constants[0]
        has_intercept[row : row + size] = there.any(axis=0)
        row += size
    if findings:
        raise Rejected(network.path, findings)
    return Folded(coef, intercept, has_intercept, links, shapes, input_shapes)


def _same(by_row: np.ndarray) -> bool:
    """Tell whether all rows hold the same numbers, but for the order of additions."""
    slack = 1e-9 * np.abs(by_row).max(initial=0.0)
    return bool((np.abs(by_row - by_row[0]) <= slack).all())


Swept = tuple[np.ndarray, np.ndarray, np.ndarray]


def _blocks(count: int, tape: Tape) -> list[slice]:
    widest = max(math.prod(entry.shape) for entry in tape.entries)
    step = max(1, _SWEEP_ELEMENTS // max(1, widest))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _reverse(tape: Tape, inputs: Sequence[Affine], outputs: Sequence[Affine | np.ndarray]) -> Swept:
    """Carry a cotangent for each output element back through the tape.

    Returns
    -------
    full : ndarray, shape (output elements, input elements)
    offset : ndarray, shape (output elements,)
    present : ndarray of bool, shape (output elements,)
    """
    total = sum(value.size for value in outputs)
    full = np.zeros((total, sum(value.size for value in inputs)))
    offset = np.zeros(total)
    present = np.zeros(total, dtype=bool)
    starts = np.cumsum([0] + [value.size for value in inputs])
    first = 0
    for value in outputs:
        if isinstance(value, np.ndarray):
            part = slice(first, first + value.size)
            offset[part], present[part] = value.reshape(-1), True
            first += value.size
            continue
        for block in _blocks(value.size, tape):
            here = slice(first + block.start, first + block.stop)
            seed = np.zeros((block.stop - block.start, value.size))
            seed[np.arange(len(seed)), np.arange(block.start, block.stop)] = 1.0
            cotangents = {value.index: seed.reshape(len(seed), *value.shape)}
            for index in range(value.index, -1, -1):
                cotangent = cotangents.pop(index, None)
                if cotangent is None:
                    continue
                entry = tape.entries[index]
                if isinstance(entry.primitive, Source):
                    for place, one in enumerate(inputs):
                        if one.index == index:
                            columns = slice(starts[place], starts[place + 1])
                            full[here, columns] = cotangent.reshape(len(cotangent), -1)
                    continue
                if isinstance(entry.primitive, Shift):
                    share, there = entry.primitive.offset(cotangent)
                    offset[here] += share
                    present[here] |= there
                passed = entry.primitive.adjoint(cotangent)
                for operand, back in zip(entry.operands, passed, strict=True):
                    known = cotangents.get(operand)
                    cotangents[operand] = back if known is None else known + back
        first += value.size
    return full, offset, present


def _forward(tape: Tape, inputs: Sequence[Affine], outputs: Sequence[Affine | np.ndarray]) -> Swept:
    """Carry a tangent for each input element forward, and the offset beside them.

    Returns the same as `_reverse`. The offset channel is one more row that starts at zero and
    is what every `Shift` adds to; whether there is one is carried as a third kind of row.
    """
    total = sum(value.size for value in outputs)
    full = np.zeros((total, sum(value.size for value in inputs)))
    starts = np.cumsum([0] + [value.size for value in inputs])
    wanted = _used(tape, outputs)

    def run(
        seeds: dict[int, np.ndarray],
        rows: int,
        shift: Callable[[Shift, np.ndarray], np.ndarray] | None,
    ) -> np.ndarray:
        tangents: dict[int, np.ndarray] = {}
        readers = dict(wanted)
        for index, entry in enumerate(tape.entries):
            if index not in readers:
                continue
            if isinstance(entry.primitive, Source):
                value = seeds.get(index)
                if value is None:
                    value = np.zeros((rows, *entry.shape))
            else:
                value = entry.primitive.forward(*(tangents[operand] for operand in entry.operands))
                if shift is not None and isinstance(entry.primitive, Shift):
                    value = shift(entry.primitive, value)
                for operand in entry.operands:
                    readers[operand] -= 1
                    if not readers[operand]:
                        tangents.pop(operand, None)
            tangents[index] = value
        return np.concatenate(
            [
                np.zeros((rows, value.size))
                if isinstance(value, np.ndarray)
                else tangents[value.index].reshape(rows, -1)
                for value in outputs
            ],
            axis=1,
        )

    for place, one in enumerate(inputs):
        for block in _blocks(one.size, tape):
            seed = np.zeros((block.stop - block.start, one.size))
            seed[np.arange(len(seed)), np.arange(block.start, block.stop)] = 1.0
            seeds = {one.index: seed.reshape(len(seed), *one.shape)}
            columns = slice(starts[place] + block.start, starts[place] + block.stop)
            full[:, columns] = run(seeds, len(seed), None).T
    offset = run({}, 1, lambda s, v: v + finite(s.constant))[0]
    # Presence is a reachability question. Random marks at every shift reach exactly the outputs
    # on whose way a constant stands, except on a set of measure zero.
    marks = np.random.default_rng(0)

    def mark(shift: Shift, value: np.ndarray) -> np.ndarray:
        noise = marks.uniform(1.0, 2.0, value.shape)
        return value + (noise if shift.where is None else noise * shift.where)

    present = run({}, 1, mark)[0] != 0
    first = 0
    for value in outputs:
        if isinstance(value, np.ndarray):
            part = slice(first, first + value.size)
            offset[part], present[part] = value.reshape(-1), True
        first += value.size
    return full, offset, present


def _used(tape: Tape, outputs: Sequence[Affine | np.ndarray]) -> dict[int, int]:
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


def _name_culprit(network: Network) -> str:
    """Return a sentence that names the first weight with a NaN or an infinity."""
    named = list(network.constants.items())
    for node in network.nodes:
        named.extend((f"{node.name}/{role}", weight) for role, weight in node.weights.items())
    for name, weight in named:
        if weight.dtype.kind != "f":
            continue
        flat = weight.reshape(-1)
        for start in range(0, flat.size, 1 << 20):
            bad = ~np.isfinite(flat[start : start + (1 << 20)])
            if bad.any():
                return (
                    f"weight {printable(name)!r} holds {np.count_nonzero(bad)} NaN or infinite "
                    "values; the training run diverged or the file is damaged"
                )
    return ""
