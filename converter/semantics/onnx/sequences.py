"""Sequences and optional values: what is passed about, and when it is a tensor again."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.arguments import integers
from converter.semantics.onnx.operator import Operator
from converter.tracing.affine import pin
from converter.tracing.functions import axis_of
from converter.tracing.items import MAX_ITEMS, Items


def sequence_empty(*, dtype: int = 1) -> Any:
    return Items(())


def sequence_construct(*inputs: Any) -> Any:
    return Items(tuple(inputs))


def sequence_at(input_sequence: Any, position: Any) -> Any:
    values = _values(input_sequence)
    return (values[_place(position, len(values))],)


def sequence_insert(input_sequence: Any, tensor: Any, position: Any = None) -> Any:
    values = _values(input_sequence)
    if len(values) >= MAX_ITEMS:
        raise NotAffine(f"makes a sequence of more than {MAX_ITEMS:,} elements")
    place = len(values) if position is None else _place(position, len(values), end=True)
    return Items((*values[:place], tensor, *values[place:]))


def sequence_erase(input_sequence: Any, position: Any = None) -> Any:
    values = _values(input_sequence)
    place = _place(np.array(-1) if position is None else position, len(values))
    return Items((*values[:place], *values[place + 1 :]))


def sequence_length(input_sequence: Any) -> Any:
    return np.array(len(_values(input_sequence)), dtype=np.int64)


def concat_from_sequence(*input_sequence: Any, axis: int, new_axis: int = 0) -> Any:
    if not input_sequence:
        raise ValueError("joins an empty sequence")
    return (np.stack if new_axis else np.concatenate)(input_sequence, axis=axis)


def split_to_sequence(input: Any, split: Any = None, *, axis: int = 0, keepdims: int = 1) -> Any:
    rank = np.ndim(input)
    axis = axis_of(axis, rank)
    size = input.shape[axis]
    if split is None:
        sizes = [1] * size
    elif np.ndim(split) == 0:
        (width,) = integers(split)
        if width <= 0:
            raise ValueError(f"splits into parts of {width}")
        sizes = [width] * (size // width) + ([size % width] if size % width else [])
    else:
        sizes = list(integers(split))
    if len(sizes) > MAX_ITEMS:
        raise NotAffine(f"makes a sequence of more than {MAX_ITEMS:,} elements")
    if sum(sizes) != size or min(sizes, default=0) < 0:
        raise ValueError(f"the parts {sizes} do not add up to {size}")
    before = (slice(None),) * axis
    pin(input, [size])
    parts, start = [], 0
    for width in sizes:
        key = start if split is None and not keepdims else slice(start, start + width)
        parts.append(input[(*before, key)])
        start += width
    return Items(tuple(np.asarray(p) if isinstance(p, np.generic) else p for p in parts))


def optional(input: Any = None, *, type: Any = None) -> Any:
    return (input,)


def optional_has_element_15(input: Any) -> Any:
    return optional_has_element(input)


def optional_has_element(input: Any = None) -> Any:
    return np.array(input is not None)


def optional_get_element(input: Any) -> Any:
    if input is None:
        raise ValueError("takes the element of an empty optional")
    return (input,)


def _values(sequence: Any) -> tuple[Any, ...]:
    if not isinstance(sequence, Items):
        raise NotAffine("works on a sequence about which nothing is known")
    return sequence.values


def _place(position: Any, length: int, *, end: bool = False) -> int:
    if not isinstance(position, np.ndarray):
        raise NotAffine("chooses an element of a sequence by a value that is not constant")
    (place,) = integers(position)
    limit = length + 1 if end else length
    if not -length <= place < limit:
        raise ValueError(f"position {place} in a sequence of {length}")
    return place + length if place < 0 else place


OPERATORS: dict[str, Operator] = {
    "ConcatFromSequence": Operator({11: concat_from_sequence}, moves=True),
    "Optional": Operator({15: optional}, handles="values"),
    "OptionalGetElement": Operator({15: optional_get_element}, handles="values"),
    "OptionalHasElement": Operator(
        {15: optional_has_element_15, 18: optional_has_element}, handles="values"
    ),
    "SequenceAt": Operator({11: sequence_at}, handles="values"),
    "SequenceConstruct": Operator({11: sequence_construct}, handles="values"),
    "SequenceEmpty": Operator({11: sequence_empty}, handles="values"),
    "SequenceErase": Operator({11: sequence_erase}, handles="values"),
    "SequenceInsert": Operator({11: sequence_insert}, handles="values"),
    "SequenceLength": Operator({11: sequence_length}, handles="values"),
    "SplitToSequence": Operator({11: split_to_sequence}, moves=True),
}
