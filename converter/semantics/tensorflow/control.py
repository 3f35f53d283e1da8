"""Control flow whose course constants decide, and the lists that loops read and fill."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.network import Graph
from converter.semantics.onnx.control import decides, if_, stacked
from converter.semantics.tensorflow.operator import Operation
from converter.tracing.affine import pin
from converter.tracing.items import MAX_ITEMS, Items


def while_(run: Any, *values: Any, cond: Graph, body: Graph) -> Any:
    """Run the body as long as the condition holds, which no value of the input may decide."""
    carried = list(values)
    while decides(run(cond, carried)[0], "loops as long"):
        carried = run(body, carried)
    return tuple(carried)


def list_from_tensor(tensor: Any, element_shape: Any) -> Any:
    count = np.shape(tensor)[0]
    if count > MAX_ITEMS:
        raise NotAffine(f"makes a list of more than {MAX_ITEMS:,} elements")
    pin(tensor, [count])
    return Items(tuple(tensor[place] for place in range(count)))


def reserve(element_shape: Any, num_elements: Any) -> Any:
    count = _place(num_elements)
    if not 0 <= count <= MAX_ITEMS:
        raise NotAffine(f"makes a list of {count:,} elements")
    return (Items((None,) * count),)


def get_item(input_handle: Any, index: Any, element_shape: Any) -> Any:
    found = _elements(input_handle, _place(index))[_place(index)]
    if found is None:
        raise NotAffine("reads an element of a list that has not been written")
    return (found,)


def set_item(
    input_handle: Any,
    index: Any,
    item: Any,
    *,
    resize_if_index_out_of_bounds: bool = False,
) -> Any:
    place = _place(index)
    values = _elements(input_handle, place)
    return (Items((*values[:place], item, *values[place + 1 :])),)


def stack(run: Any, input_handle: Any, element_shape: Any, *, num_elements: int = -1) -> Any:
    values = _elements(input_handle, 0)
    if any(value is None for value in values):
        raise NotAffine("stacks a list of which an element has not been written")
    return (stacked(run, list(values)),)


def _place(index: Any) -> int:
    if not isinstance(index, np.ndarray) or index.size != 1 or index.dtype.kind not in "iu":
        raise NotAffine("reads or fills a list at a place that is no constant")
    return int(index.reshape(()))


def _elements(given: Any, place: int) -> tuple[Any, ...]:
    if not isinstance(given, Items):
        raise NotAffine("reads a list that is not known")
    if not 0 <= place < len(given.values):
        raise NotAffine("reads or fills a list beyond its end")
    return given.values


_TYPES = frozenset({"Tcond", "Tin", "Tout", "output_shapes", "parallel_iterations"})
_ELEMENTS = frozenset({"element_dtype", "shape_type"})

OPERATIONS: dict[str, Operation] = {
    **{name: Operation(if_, handles="graphs", inert=_TYPES) for name in ("If", "StatelessIf")},
    **{
        name: Operation(while_, handles="graphs", inert=_TYPES)
        for name in ("While", "StatelessWhile")
    },
    "TensorListFromTensor": Operation(list_from_tensor, inert=_ELEMENTS),
    "TensorListGetItem": Operation(get_item, handles="values", inert=_ELEMENTS),
    "TensorListReserve": Operation(reserve, handles="values", inert=_ELEMENTS),
    "TensorListSetItem": Operation(set_item, handles="values", inert=_ELEMENTS),
    "TensorListStack": Operation(stack, handles="graphs", inert=_ELEMENTS),
}
