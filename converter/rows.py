"""The rows of a network: how many are traced, and the proof that they do not mix.

Where a file leaves the leading size of its inputs open, two rows are traced, and three: what
holds for both counts, step by step, holds for any number (`converter.tracing.uniform`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converter.errors import Finding, ModelFileError, NotAffine, Rejected, TooLarge, printable
from converter.network import Network, Output
from converter.tracing.affine import Affine
from converter.tracing.interpreter import Rules, Trace, Watch, readable, trace
from converter.tracing.items import Items
from converter.tracing.linked import Decided, Linked
from converter.tracing.opaque import Opaque
from converter.tracing.sizes import SizeDependent
from converter.tracing.uniform import uniform, uniform_constants

# Numbers of rows that are tried on a network that seems to take one row only.
_SIZES_TRIED = 24
# Those that are tried on one that takes neither three rows nor one, and how many nodes it may have.
_USUAL_SIZES = (2, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 24, 25, 32, 50, 64, 100, 128, 256)
_LARGEST_TRIED = 1000

CONSTANT = "is a constant: no input has a part in it"
MIXES_ROWS = "mixes the rows of a batch: the prediction for one observation depends on the others"


def row_groups(groups: np.ndarray, rows: int | None) -> np.ndarray:
    """Return which elements of one row share a softmax.

    Raises
    ------
    NotAffine
        If a softmax runs over several rows, or is not the same in each.
    """
    each = groups.reshape(rows or 1, -1)
    numbered = []
    for row in each:
        _, first, inverse = np.unique(row, return_index=True, return_inverse=True)
        numbered.append(np.argsort(np.argsort(first))[inverse])
    if any(np.intersect1d(each[0], row).size for row in each[1:]) or not all(
        np.array_equal(numbered[0], row) for row in numbered
    ):
        raise NotAffine(MIXES_ROWS)
    return numbered[0]


def trace_rows(
    network: Network, outputs: Sequence[Output], watch: Watch | None = None
) -> tuple[int | None, Trace, list[Finding]]:
    """Trace the network on two rows where the leading size is open.

    Returns
    -------
    rows : int or None
        Rows on the leading axis; None if there is no such axis: then the whole of every input is
        one observation.
    traced : Trace
    mixing : list of Finding
        Outputs whose rows are not all the same function of their own inputs alone.
    """
    for one in network.inputs:
        if not readable(network, one):
            continue
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
    if any(
        one.shape[:1] == (None,) for one in network.inputs if one.shape and readable(network, one)
    ):
        return _trace_dynamic(network, outputs, watch)
    shapes = _shapes(network, 1)
    traced = trace(network, shapes, outputs, {}, watch=watch)
    # A leading size of one is a batch of one row. Any other fixed size is part of the observation.
    ones = {shape[:1] for shape in shapes if len(shape) > 1} == {(1,)}
    if ones and all(
        isinstance(value, (Opaque, Items)) or value.shape[:1] == (1,) for value in traced.outputs
    ):
        return 1, traced, []
    return None, traced, []


def _shapes(network: Network, rows: int) -> list[tuple[int, ...]]:
    """Return the shape of each input for a number of rows."""
    return [
        tuple(rows if size is None else size for size in one.shape or ())
        if readable(network, one)
        else ()
        for one in network.inputs
    ]


def _show(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _trace_dynamic(
    network: Network, outputs: Sequence[Output], watch: Watch | None
) -> tuple[int, Trace, list[Finding]]:
    """Trace two rows, and three: what holds for both counts does not depend on the count."""

    def shapes(rows: int) -> list[tuple[int, ...]]:
        return _shapes(network, rows)

    rules: Rules = {}
    try:
        three = trace(network, shapes(3), outputs, rules, 3, watch=watch)
        two = trace(network, shapes(2), outputs, rules, 2, three.sizes, watch)
    except TooLarge:
        raise
    except ModelFileError:
        one = _one_row(network, shapes, outputs, rules, watch)
        if one is not None:
            return 1, one, []
        fixed = _fixed_rows(network, shapes, outputs, rules)
        if fixed is None:
            raise
        name = next(one.name for one in network.inputs if (one.shape or ())[:1] == (None,))
        reason = f"takes {fixed} rows at once and no other number, which is no regression on a row"
        raise Rejected(network.path, [Finding(name, "input", reason)]) from None
    findings = _mixing(outputs, two, three)
    if any(finding.reason == MIXES_ROWS for finding in findings):
        # Beside what is refused the traces may run apart: now each knows of the other.
        three = trace(network, shapes(3), outputs, rules, 3, two.sizes)
        findings = _mixing(outputs, two, three)
    return 2, two, findings


def _one_row(
    network: Network,
    shapes: Callable[[int], list[tuple[int, ...]]],
    outputs: Sequence[Output],
    rules: Rules,
    watch: Watch | None,
) -> Trace | None:
    """Trace one row: some exporters fix that number inside and leave it open at the door.

    None if the network takes other numbers of rows as well: those that its own sizes suggest.
    """
    try:
        one = trace(network, shapes(1), outputs, rules, watch=watch)
    except ModelFileError:
        return None
    for value in one.outputs:
        if not isinstance(value, (Affine, Linked, Decided)) or value.shape[:1] != (1,):
            return None
    sizes = {size for entry in one.tape.entries for size in entry.shape}
    for rows in sorted({2, 3, *sizes} - {0, 1})[:_SIZES_TRIED]:
        if _takes(network, shapes(rows), outputs, rules):
            return None
    return one


def _takes(
    network: Network, shapes: list[tuple[int, ...]], outputs: Sequence[Output], rules: Rules
) -> bool:
    """Tell whether a network can be run on inputs of some shapes."""
    try:
        trace(network, shapes, outputs, rules)
    except ModelFileError:
        return False
    return True


def _fixed_rows(
    network: Network,
    shapes: Callable[[int], list[tuple[int, ...]]],
    outputs: Sequence[Output],
    rules: Rules,
) -> int | None:
    """Return the number of rows that a network fixes inside; None if none is found."""
    if len(network.nodes) > _LARGEST_TRIED:
        return None
    taken = (rows for rows in _USUAL_SIZES if _takes(network, shapes(rows), outputs, rules))
    return next(taken, None)


def _mixing(outputs: Sequence[Output], two: Trace, three: Trace) -> list[Finding]:
    found = []
    for output, at_two, at_three in zip(outputs, two.outputs, three.outputs, strict=True):
        if isinstance(at_two, (Opaque, Items)):
            continue
        if _constant(at_two, at_three):
            found.append(Finding(output.name, "output", CONSTANT))
        elif not _row_by_row(two, at_two, three, at_three):
            found.append(Finding(output.name, "output", MIXES_ROWS))
    return found


def _constant(a: Any, b: Any) -> bool:
    """Tell whether an output is one constant, however many rows there are."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b)


def _row_by_row(two: Trace, at_two: Any, three: Trace, at_three: Any) -> bool:
    """Tell whether an output is the same function of each row, for any number of rows."""
    a, b = (value.source if isinstance(value, Decided) else value for value in (at_two, at_three))
    if type(a) is not type(b) or isinstance(a, SizeDependent):
        return False
    if any(
        value.shape[:1] != (rows,) for value, rows in ((a, 2), (b, 3), (at_two, 2), (at_three, 3))
    ):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a[:1], b[:1]) and all(
            np.array_equal(v, np.broadcast_to(v[:1], v.shape)) for v in (a, b)
        )
    pair: tuple[Any, Any] = (a, b)
    if isinstance(a, Linked) and isinstance(b, Linked):
        if a.function != b.function or not (
            uniform_constants(a.scale, b.scale) and uniform_constants(a.shift, b.shift)
        ):
            return False
        if a.groups is not None and b.groups is not None:
            try:
                own = [
                    row_groups(v.groups.reshape(-1)[v.place], rows)  # type: ignore[union-attr]
                    for v, rows in ((a, 2), (b, 3))
                ]
            except NotAffine:
                return False
            if not np.array_equal(own[0], own[1]):
                return False
        pair = (a.argument(), b.argument())
    return uniform(two.tape, three.tape, [pair])
