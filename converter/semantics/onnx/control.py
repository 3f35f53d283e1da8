"""Control flow whose course constants decide: If, Loop, Scan, SequenceMap.

Each body is run as often as the file says it would be, on the values at hand; what they do in
it is for the body's own nodes to tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.network import Graph
from converter.semantics import Rule
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.tracing.functions import axis_of
from converter.tracing.items import MAX_ITEMS, Items
from converter.tracing.opaque import Opaque
from converter.tracing.sizes import SizeDependent


def if_(run: Any, cond: Any, *, then_branch: Graph, else_branch: Graph) -> Any:
    return tuple(run(then_branch if decides(cond, "branches") else else_branch, []))


def loop(run: Any, m: Any = None, cond: Any = None, *v_initial: Any, body: Graph) -> Any:
    trips = None
    if m is not None:
        (trips,) = integers(_constant(m, "loops as often"))
    going = cond is None or decides(cond, "loops as long")
    carried = list(v_initial)
    scans = len(body.outputs) - 1 - len(carried)
    if scans < 0 or (trips is None and cond is None and _always(body)):
        raise NotAffine("is a loop that does not end")
    found: list[list[Any]] = [[] for _ in range(scans)]
    count = 0
    while going and (trips is None or count < trips):
        results = run(body, [np.array(count, np.int64), np.array(True), *carried])
        # Without a condition at the start, the one that the body returns counts all the same.
        going = decides(results[0], "loops as long")
        carried = results[1 : 1 + len(carried)]
        for collected, value in zip(found, results[1 + len(carried) :], strict=True):
            collected.append(value)
        count += 1
    return (*carried, *(stacked(run, collected) for collected in found))


def _always(body: Graph) -> bool:
    """Tell whether a loop's body hands its condition back."""
    return len(body.inputs) > 1 and body.outputs[0] == body.inputs[1]


def scan(
    run: Any,
    *initial_state_and_scan_inputs: Any,
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: Any = None,
    scan_input_directions: Any = None,
    scan_output_axes: Any = None,
    scan_output_directions: Any = None,
) -> Any:
    given = list(initial_state_and_scan_inputs)
    if not 1 <= num_scan_inputs <= len(given):
        raise ValueError(f"has {num_scan_inputs} scan inputs among {len(given)}")
    states, scanned = given[:-num_scan_inputs], given[-num_scan_inputs:]
    outputs = len(body.outputs) - len(states)
    axes = _per_item(scan_input_axes, num_scan_inputs)
    backwards = _per_item(scan_input_directions, num_scan_inputs)
    into = _per_item(scan_output_axes, outputs)
    reversed_ = _per_item(scan_output_directions, outputs)
    lengths = {_extent(value, axis) for value, axis in zip(scanned, axes, strict=True)}
    if len(lengths) != 1:
        raise ValueError(f"scans inputs of different lengths {sorted(lengths)}")
    (length,) = lengths
    run.fixed_size(length, "runs once for each row of the batch")
    found: list[list[Any]] = [[] for _ in range(outputs)]
    for step in range(length):
        parts = [
            _slice(run, value, length - 1 - step if back else step, axis)
            for value, axis, back in zip(scanned, axes, backwards, strict=True)
        ]
        results = run(body, [*states, *parts])
        states = results[: len(states)]
        for collected, value in zip(found, results[len(states) :], strict=True):
            collected.append(value)
    scanned_out = [
        stacked(run, collected[::-1] if back else collected, axis)
        for collected, axis, back in zip(found, into, reversed_, strict=True)
    ]
    return (*states, *scanned_out)


def scan_8(
    run: Any,
    sequence_lens: Any = None,
    *initial_state_and_scan_inputs: Any,
    body: Graph,
    num_scan_inputs: int,
    directions: Any = None,
) -> Any:
    """Scan each observation by itself: axis 0 is the batch, axis 1 the sequence."""
    if sequence_lens is not None:
        raise NotAffine("scans sequences of different lengths, which is not supported")
    batches = {_extent(value, 0) for value in initial_state_and_scan_inputs}
    if len(batches) != 1:
        raise ValueError(f"has batches of different sizes {sorted(batches)}")
    results = []
    for place in range(batches.pop()):
        parts = [_slice(run, value, place, 0) for value in initial_state_and_scan_inputs]
        results.append(
            scan(
                run,
                *parts,
                body=body,
                num_scan_inputs=num_scan_inputs,
                scan_input_directions=directions,
            )
        )
    return tuple(stacked(run, list(values)) for values in zip(*results, strict=True))


def sequence_map(run: Any, input_sequence: Any, *additional_inputs: Any, body: Graph) -> Any:
    given = [input_sequence, *additional_inputs]
    lengths = {len(value.values) for value in given if isinstance(value, Items)}
    if len(lengths) != 1 or not isinstance(input_sequence, Items):
        if any(isinstance(value, Opaque) for value in given):
            raise NotAffine("maps over a sequence of unknown length")
        raise ValueError("maps over sequences of different lengths")
    found: list[list[Any]] = [[] for _ in body.outputs]
    for place in range(lengths.pop()):
        parts = [value.values[place] if isinstance(value, Items) else value for value in given]
        for collected, value in zip(found, run(body, parts), strict=True):
            collected.append(value)
    return tuple(Items(tuple(collected)) for collected in found)


def _constant(value: Any, verb: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        why = (
            "the number of rows tells"
            if isinstance(value, SizeDependent)
            else "a value that depends on the input tells"
        )
        raise NotAffine(f"{verb} as {why}")
    return value


def decides(cond: Any, verb: str) -> bool:
    value = _constant(cond, verb)
    if value.size != 1:
        raise ValueError("a condition must be a single value")
    return bool(value.reshape(()))


def _per_item(values: Any, count: int) -> list[int]:
    given = [0] * count if values is None else [int(value) for value in values]
    if len(given) != count:
        raise ValueError(f"gives {len(given)} axes or directions for {count} values")
    return given


def _extent(value: Any, axis: int) -> int:
    if isinstance(value, SizeDependent):
        value = value.value
    if isinstance(value, Opaque):
        value = value.stand_in
    if value is None:
        raise NotAffine("scans a value whose shape is not known")
    shape = np.shape(value)
    return int(shape[axis_of(axis, len(shape))])


def _slice(run: Any, value: Any, place: int, axis: int) -> Any:
    rule = Rule(lambda operands: (np.take(operands[0], place, axis=axis),), moves=True)
    return run.apply(rule, [value])[0]


def stacked(run: Any, values: list[Any], axis: int = 0) -> Any:
    if not values:
        raise NotAffine("collects the results of a body that is never run")
    if len(values) > MAX_ITEMS:
        raise NotAffine(f"collects more than {MAX_ITEMS:,} results")
    rule = Rule(lambda operands: (np.stack(operands, axis=axis),), moves=True)
    return run.apply(rule, values)[0]


OPERATORS: dict[str, Operator] = {
    "If": Operator({1: if_}, handles="graphs", accepts="the condition is constant"),
    "Loop": Operator({1: loop}, handles="graphs", accepts="trip count and conditions are constant"),
    "Scan": Operator(
        {8: scan_8, 9: scan},
        handles="graphs",
        accepts="the length does not depend on the number of rows",
    ),
    "SequenceMap": Operator(
        {17: sequence_map},
        handles="graphs",
        accepts="the length does not depend on the number of rows",
    ),
}
