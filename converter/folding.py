"""From a network to its affine map: trace, prove that rows do not mix, and sweep the tape.

The reverse sweep carries one cotangent for each output back to the inputs, the forward sweep one
tangent for each input to the outputs; the one with fewer rows to carry is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converter.errors import (
    NOT_FINITE,
    Finding,
    ModelFileError,
    NotAffine,
    NotFinite,
    Rejected,
    TooLarge,
    printable,
)
from converter.network import Input, Network, Output
from converter.rows import CONSTANT, MIXES_ROWS, row_groups, trace_rows
from converter.sweeps import RowMap, forward, precision, reverse
from converter.tracing.affine import RIGID, Affine, Tape
from converter.tracing.codes import Indicators
from converter.tracing.interpreter import TEXT, Trace, Watch
from converter.tracing.items import Items
from converter.tracing.linked import Decided, Linked
from converter.tracing.opaque import Opaque
from converter.tracing.sizes import SizeDependent
from converter.variables import Variable, element_names, merge

# Coefficients that a fold may have: 256 MB of float64.
_MAX_COEFFICIENTS = 1 << 25

# Numbers that one fold may carry through the tape: some twenty seconds' work.
_MAX_NUMBERS = 1 << 33


@dataclass(frozen=True, slots=True)
class Folded:
    """The affine map of one or more outputs.

    Parameters
    ----------
    coef : ndarray of float64, shape (outputs, terms)
        Over the flattened outputs and the flattened inputs, row-major, in the network's order,
        with an indicator for each level where an input is looked up.
    intercept : ndarray of float64, shape (outputs,)
    has_intercept : ndarray of bool, shape (outputs,)
        Whether the architecture has a constant term on the way to the output.
    links : tuple of str
        One of `converter.links.LINKS` for each output element.
    groups : ndarray of int, shape (outputs,)
        Elements with the same number share one softmax; -1 behind other links.
    outputs : tuple of Output
        Those that were folded: labels are set aside where other outputs were asked for too.
    output_shapes : tuple of tuple of int
        Shapes of one observation.
    input_shapes : tuple of (tuple of int or None)
        Likewise; None for an input that cannot be read and has no columns.
    variables : tuple of Variable
        What the columns of `coef` are.
    notes : tuple of str
        What else the reader of the numbers should know.
    """

    coef: np.ndarray
    intercept: np.ndarray
    has_intercept: np.ndarray
    links: tuple[str, ...]
    groups: np.ndarray
    outputs: tuple[Output, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    input_shapes: tuple[tuple[int, ...] | None, ...]
    notes: tuple[str, ...]
    variables: tuple[Variable, ...]


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
        return _sweep(network, *settle(network, outputs), sweep)
    except NotFinite as error:
        raise ModelFileError(_name_culprit(network) or str(error)) from None
    except Rejected as rejected:
        found = [one for one in rejected.findings if one.reason == NOT_FINITE]
        culprit = _name_culprit(network, np.isnan) if found else ""
        if found and network.dialect == "keras":
            place = f"node {printable(found[0].node)!r} ({printable(found[0].operation)})"
            culprit = culprit or f"{place}: a weight or constant holds NaN or infinite values"
        if culprit:
            raise ModelFileError(culprit) from None
        raise


@dataclass(frozen=True, slots=True)
class Settled:
    """An output that is an affine value behind a known link.

    Parameters
    ----------
    output : Output
    value : Affine or ndarray
    link : str
    groups : ndarray of int, or None
        For a softmax, the group of each element.
    decided : bool
        Whether the network goes on to a decision on the value.
    """

    output: Output
    value: Affine | np.ndarray
    link: str
    groups: np.ndarray | None
    notes: tuple[str, ...] = ()
    decided: bool = False


def settle(network: Network, outputs: Sequence[Output]) -> tuple[list[Settled], Trace, int | None]:
    """Trace a network and say what each output is.

    Returns
    -------
    settled : list of Settled
        Without outputs that hold labels, if others do not.
    traced : Trace
    rows : int or None
        Rows on the leading axis of the trace; None if the whole of every input is one
        observation.

    Raises
    ------
    Rejected
        If one of them is no regression.
    """
    found, traced, rows = judge(network, outputs)
    findings = [finding for one in found if not isinstance(one, Settled) for finding in one]
    if findings:
        raise Rejected(network.path, tuple(dict.fromkeys(findings)))
    settled = [one for one in found if isinstance(one, Settled)]
    aside = [
        output for output, one in zip(outputs, found, strict=True) if not isinstance(one, Settled)
    ]
    notes = [f"output {printable(one.name)!r} holds labels and is set aside" for one in aside]
    settled[0] = replace(
        settled[0], notes=(*dict.fromkeys(traced.tape.notes), *notes, *settled[0].notes)
    )
    return settled, traced, rows


def judge(
    network: Network, outputs: Sequence[Output], watch: Watch | None = None
) -> tuple[list[Settled | tuple[Finding, ...]], Trace, int | None]:
    """Trace a network and say of each output what it is, or why it is no regression.

    Returns
    -------
    found : list of (Settled or tuple of Finding)
        One for each output; no findings for labels that are set aside.
    traced : Trace
    rows : int or None
        See `settle`.
    """
    rows, traced, mixing = trace_rows(network, outputs, watch)
    mixed = {finding.node: finding for finding in mixing}
    labels = [
        _is_label(value, rows) or (output.name in mixed and mixed[output.name].reason == CONSTANT)
        for output, value in zip(outputs, traced.outputs, strict=True)
    ]
    found: list[Settled | tuple[Finding, ...]] = []
    for output, value, label in zip(outputs, traced.outputs, labels, strict=True):
        if label and not all(labels):
            found.append(())
        elif output.name in mixed:
            found.append((mixed[output.name],))
        else:
            try:
                found.append(_resolve(output, value, rows))
            except Rejected as rejected:
                found.append(rejected.findings)
            except NotAffine as refused:
                node, operation = refused.node or output.name, refused.operation or "output"
                found.append((Finding(node, operation, refused.reason),))
    return found, traced, rows


def _is_label(value: object, rows: int | None) -> bool:
    """Tell whether a value is a decision, or a table of labels that no input changes."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "f" or (rows is not None and value.shape[:1] != (rows,))
    return isinstance(value, Decided)


def _resolve(output: Output, value: object, rows: int | None) -> Settled:
    notes: tuple[str, ...] = ()
    decided = False
    if isinstance(value, Opaque):
        raise Rejected("", _all_findings(value))
    if isinstance(value, Items):
        raise NotAffine("is a sequence of values and not one")
    if isinstance(value, Decided):
        if not isinstance(value.source, Linked):
            raise NotAffine(
                "a label chosen among scores, with no link",
                node=value.node,
                operation=value.operation,
            )
        if rows is not None and value.source.shape[:1] != (rows,):
            raise NotAffine(
                "a decision on probabilities that do not have the rows first",
                node=value.node,
                operation=value.operation,
            )
        notes = (
            f"output {printable(output.name)!r} is a decision ({printable(value.operation)}) on a "
            "probability; the model reported is that probability's",
        )
        value, decided = value.source, True
    if isinstance(value, SizeDependent):
        raise NotAffine(MIXES_ROWS)
    if isinstance(value, Linked):
        link, inner, groups = value.resolve()
        if groups is not None:
            groups = row_groups(groups, rows)
        return Settled(output, inner, link, groups, notes, decided)
    if isinstance(value, Affine):
        if value.kind in "sc":
            raise NotAffine("holds text" if value.kind == "s" else RIGID["c"])
        return Settled(output, value, "identity", None)
    constant = np.asarray(value)
    if constant.dtype.kind not in "fiub":
        raise NotAffine("holds no numbers")
    if rows is not None and constant.shape[:1] != (rows,):
        raise NotAffine(CONSTANT)
    return Settled(output, constant.astype(np.float64), "identity", None)


def _all_findings(value: Opaque) -> tuple[Finding, ...]:
    """Return what was found on the way, and at the end, where a link turns out to be none."""
    if isinstance(value.stand_in, Linked):
        try:
            value.stand_in.resolve()
        except NotAffine as refused:
            last = Finding(refused.node or "", refused.operation or "", refused.reason)
            return (*value.findings, last)
    return value.findings


def _sweep(
    network: Network,
    settled: Sequence[Settled],
    traced: Trace,
    rows: int | None,
    sweep: str | None,
) -> Folded:
    values = [one.value for one in settled]
    links: list[str] = []
    groups: list[np.ndarray] = []
    shapes = []
    for one in settled:
        shape = one.value.shape[1:] if rows is not None else one.value.shape
        shapes.append(tuple(int(size) for size in shape))
        size = math.prod(shape)
        links.extend([one.link] * size)
        start = 1 + max((int(part.max(initial=-1)) for part in groups), default=-1)
        groups.append(np.full(size, -1) if one.groups is None else one.groups + start)
    numeric = [
        (declared, value)
        for declared, value in zip(network.inputs, traced.inputs, strict=True)
        if value is not None
    ]
    batched = [
        rows is not None and one.shape is not None and _is_batched(one, rows) for one, _ in numeric
    ]
    own = [
        value.shape[1:] if has_rows else value.shape
        for (_, value), has_rows in zip(numeric, batched, strict=True)
    ]
    found = iter(own)
    input_shapes = tuple(None if value is None else next(found) for value in traced.inputs)
    looked_up = indicators_of(traced.tape, values)
    batched += [value.shape[0] == (rows or 1) for value, _ in looked_up]
    sizes = [math.prod(shape) for shape in shapes]
    widths = [math.prod(shape) for shape in own]
    widths += [math.prod(value.shape[1:]) for value, _ in looked_up]
    if not sum(sizes):
        raise ModelFileError("has an output without elements")
    if sum(sizes) * sum(widths) > _MAX_COEFFICIENTS:
        raise ModelFileError(
            f"has {sum(sizes):,} outputs of {sum(widths):,} inputs each; more than "
            f"{_MAX_COEFFICIENTS:,} coefficients are not computed (choose among the outputs)"
        )
    carried = min(sum(sizes), sum(widths)) * (rows or 1)
    numbers = carried * sum(math.prod(entry.shape) for entry in traced.tape.entries)
    if numbers > _MAX_NUMBERS:
        raise TooLarge(
            f"has {sum(sizes):,} outputs of {sum(widths):,} inputs behind large values: the fold "
            f"would compute more than {_MAX_NUMBERS:,} numbers (choose among the outputs)"
        )
    into = RowMap(rows or 1, sizes, widths, batched)
    run = forward if (sweep or _cheaper(sum(widths), sum(sizes))) == "forward" else reverse
    with np.errstate(all="ignore"):
        sources = [value for _, value in numeric] + [value for value, _ in looked_up]
        run(traced.tape, sources, values, into, precision(traced.tape, carried))
        for number, value in enumerate(values):
            if isinstance(value, np.ndarray):
                constants = value.reshape(rows or 1, -1)
                into.add_offset(number, constants, np.ones(constants.shape, dtype=bool))
    if not (np.isfinite(into.coef).all() and np.isfinite(into.intercept).all()):
        raise ModelFileError("folds to NaN or infinite coefficients")
    findings = [
        Finding(one.output.name, "output", MIXES_ROWS)
        for one, alike in zip(settled, into.alike, strict=True)
        if not alike
    ]
    if findings:
        raise Rejected(network.path, findings)
    places = [place for place, value in enumerate(traced.inputs) if value is not None]
    coef, variables = merge(
        into.coef,
        [element_names(one.name, shape) for (one, _), shape in zip(numeric, own, strict=True)],
        [one.dtype in TEXT for one, _ in numeric],
        [one.moved_to(places.index(one.input)) for _, one in looked_up],
    )
    return Folded(
        coef,
        into.intercept,
        into.has_intercept,
        tuple(links),
        np.concatenate(groups),
        tuple(one.output for one in settled),
        tuple(shapes),
        input_shapes,
        tuple(sentence for one in settled for sentence in one.notes),
        variables,
    )


def indicators_of(
    tape: Tape, values: Sequence[Affine | np.ndarray]
) -> list[tuple[Affine, Indicators]]:
    """Return the indicators of categories that some values depend on."""
    wanted = {value.index for value in values if isinstance(value, Affine)}
    found = []
    for index in range(len(tape.entries) - 1, -1, -1):
        if index in wanted:
            entry = tape.entries[index]
            wanted.update(entry.operands)
            if isinstance(entry.primitive, Indicators):
                found.append((Affine(tape, index, entry.shape), entry.primitive))
    return found[::-1]


def _is_batched(one: Input, rows: int) -> bool:
    shape = one.shape or ()
    return bool(shape) and (shape[0] is None or (rows == 1 and len(shape) > 1 and shape[0] == 1))


def _cheaper(inputs: int, outputs: int) -> str:
    return "reverse" if outputs <= inputs else "forward"


def _not_finite(values: np.ndarray) -> np.ndarray:
    return ~np.isfinite(values)


def _name_culprit(
    network: Network, damaged: Callable[[np.ndarray], np.ndarray] = _not_finite
) -> str:
    """Return a sentence that names the first weight with a NaN or an infinity."""
    named = list(network.constants.items())
    for node in network.nodes:
        named.extend((f"{node.name}/{role}", weight) for role, weight in node.weights.items())
    for name, weight in named:
        if weight.dtype.kind != "f":
            continue
        flat = weight.reshape(-1)
        for start in range(0, flat.size, 1 << 20):
            bad = damaged(flat[start : start + (1 << 20)])
            if bad.any():
                return (
                    f"weight {printable(name)!r} holds {np.count_nonzero(bad)} NaN or infinite "
                    "values; the training run diverged or the file is damaged"
                )
    return ""
