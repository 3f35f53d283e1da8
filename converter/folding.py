"""From a network to its affine map: trace, prove that rows do not mix, and sweep the tape.

The reverse sweep carries one cotangent for each output back to the inputs, the forward sweep one
tangent for each input to the outputs; the one with fewer rows to carry is run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import Finding, ModelFileError, NotFinite, Rejected, printable
from converter.network import Input, Network, Output
from converter.sweeps import RowMap, forward, reverse
from converter.tracing.affine import Affine
from converter.tracing.interpreter import KINDS, Rules, Trace, trace
from converter.tracing.linked import Linked
from converter.tracing.opaque import Opaque
from converter.tracing.sizes import SizeDependent

# Coefficients that a fold may have: 256 MB of float64.
_MAX_COEFFICIENTS = 1 << 25

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
    try:
        rows, traced = _trace(network, outputs)
        findings = [
            finding
            for value in traced.outputs
            if isinstance(value, Opaque)
            for finding in value.findings
        ]
        if findings:
            raise Rejected(network.path, tuple(dict.fromkeys(findings)))
        return _sweep(network, outputs, traced, rows, sweep)
    except NotFinite as error:
        raise ModelFileError(_name_culprit(network) or str(error)) from None


def _trace(network: Network, outputs: Sequence[Output]) -> tuple[int | None, Trace]:
    """Trace the network on two rows where the leading size is open.

    Returns
    -------
    rows : int or None
        Rows on the leading axis; None if there is no such axis: then the whole of every input is
        one observation.
    traced : Trace
    """
    for one in network.inputs:
        if one.dtype not in KINDS:
            reason = f"holds values of type {one.dtype}, which are not numbers to be multiplied"
            raise Rejected(network.path, [Finding(one.name, "input", reason)])
        if one.shape is not None and 0 in one.shape:
            raise ModelFileError(f"input {printable(one.name)!r} has no elements")
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
    traced = trace(network, shapes, outputs, {})
    # A leading size of one is a batch of one row. Any other fixed size is part of the observation.
    ones = {shape[:1] for shape in shapes if len(shape) > 1} == {(1,)}
    if ones and all(
        isinstance(value, Opaque) or np.shape(value)[:1] == (1,) for value in traced.outputs
    ):
        return 1, traced
    return None, traced


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
        three = trace(network, shapes(3), outputs, rules, 3)
        sizes, found = three.sizes, [np.shape(value) for value in three.outputs]
        del three  # its tape may hold a hundred megabytes of indices
        two = trace(network, shapes(2), outputs, rules, 2, sizes)
    except ModelFileError:
        # Some exporters fix the number of rows inside and leave it open at the door.
        one = trace(network, shapes(1), outputs, rules)
        if all(
            isinstance(value, (Affine, Linked)) and value.shape[:1] == (1,) for value in one.outputs
        ):
            return 1, one
        raise
    findings = []
    for output, at_two, at_three in zip(outputs, two.outputs, found, strict=True):
        if isinstance(at_two, Opaque):
            continue
        if isinstance(at_two, SizeDependent) or (
            np.shape(at_two)[:1] != (2,)
            or at_three[:1] != (3,)
            or np.shape(at_two)[1:] != at_three[1:]
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
    sizes = [math.prod(shape) for shape in shapes]
    widths = [math.prod(shape) for shape in input_shapes]
    if sum(sizes) * sum(widths) > _MAX_COEFFICIENTS:
        raise ModelFileError(
            f"has {sum(sizes):,} outputs of {sum(widths):,} inputs each; more than "
            f"{_MAX_COEFFICIENTS:,} coefficients are not computed (choose among the outputs)"
        )
    into = RowMap(rows or 1, sizes, widths, batched)
    run = forward if (sweep or _cheaper(sum(widths), sum(sizes))) == "forward" else reverse
    with np.errstate(all="ignore"):
        run(traced.tape, traced.inputs, values, into)
    for number, value in enumerate(values):
        if isinstance(value, np.ndarray):
            constants = value.reshape(rows or 1, -1)
            into.add_offset(number, constants, np.ones(constants.shape, dtype=bool))
    if not (np.isfinite(into.coef).all() and np.isfinite(into.intercept).all()):
        raise ModelFileError("folds to NaN or infinite coefficients")
    findings = [
        Finding(output.name, "output", MIXES_ROWS)
        for output, alike in zip(outputs, into.alike, strict=True)
        if not alike
    ]
    if findings:
        raise Rejected(network.path, findings)
    return Folded(
        into.coef,
        into.intercept,
        into.has_intercept,
        tuple(links),
        tuple(shapes),
        input_shapes,
    )


def _is_batched(one: Input, rows: int) -> bool:
    shape = one.shape or ()
    return bool(shape) and (shape[0] is None or (rows == 1 and len(shape) > 1 and shape[0] == 1))


def _cheaper(inputs: int, outputs: int) -> str:
    return "reverse" if outputs <= inputs else "forward"


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
