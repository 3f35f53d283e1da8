"""The contents of a SavedModel's hash tables, where the graph itself holds them.

Source: tensorflow/python/ops/lookup_ops.py and tensorflow/python/trackable/resource.py. A table is
an object with two functions: one makes it, and one fills it when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from converter.errors import ModelFileError
from converter.formats.tensorflow_values import constant

# A table that is filled once, and what fills it. What is read from a text file is not followed.
_TABLES = frozenset({"HashTable", "HashTableV2"})
_FILLS = "LookupTableImportV2"
_INERT = frozenset({"Const", "Identity", "NoOp"})

Contents = tuple[np.ndarray, np.ndarray]


def contents(
    place: int,
    objects: Sequence[Mapping[str, Any]],
    functions: Mapping[str, dict[str, Any]],
    bound: Mapping[str, Sequence[int]],
    numbers: Callable[[int], np.ndarray | None],
) -> Contents | None:
    """Return a table's keys and values, each of shape (n,).

    Parameters
    ----------
    place : int
        The table's place among the objects.
    objects : sequence of dict
        SavedObject messages.
    functions : mapping of str to dict
        FunctionDef messages by name.
    bound : mapping of str to sequence of int
        The objects that functions are bound to.
    numbers : callable
        Returns the numbers of an object, or None if it is no constant.

    Returns
    -------
    tuple of ndarray, or None
        None if the object is no table, or is filled in another way.

    Raises
    ------
    ModelFileError
        If keys and values do not fit each other.
    """
    own = {
        one.get("local_name", ""): one.get("node_id", 0)
        for one in objects[place].get("children", ())
    }
    made, filled = (
        _function(own.get(name), objects) for name in ("_create_resource", "_initialize")
    )
    makes = {node.get("op", "") for node in functions.get(made, {}).get("node", ())}
    if not makes & _TABLES or makes - _TABLES - _INERT:
        return None
    function = functions.get(filled, {})
    nodes = function.get("node", ())
    fills = [node for node in nodes if node.get("op", "") == _FILLS]
    if len(fills) != 1 or {node.get("op", "") for node in nodes} - {_FILLS} - _INERT:
        return None
    formal = [one.get("name", "") for one in function.get("signature", {}).get("input_arg", ())]
    given = dict(zip(formal, bound.get(filled, ()), strict=False))
    inner = {f"{node.get('name', '')}:output:0": node for node in nodes}

    def value(reference: str) -> np.ndarray | None:
        if reference in given:
            return numbers(given[reference])
        return constant(inner.get(reference, {}))

    inputs = [one for one in fills[0].get("input", ()) if not one.startswith("^")]
    if len(inputs) != 3 or given.get(inputs[0]) != place:
        return None
    keys, values = (value(one) for one in inputs[1:])
    if keys is None or values is None:
        return None
    if keys.shape != values.shape or keys.ndim != 1:
        raise ModelFileError(
            f"fills a table with keys of shape {list(keys.shape)} and values of shape "
            f"{list(values.shape)}"
        )
    if len(set(keys.tolist())) < len(keys):
        raise ModelFileError("fills a table with one key twice")
    return keys, values


def _function(place: int | None, objects: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the one function that an object stands for."""
    if place is None or not 0 <= place < len(objects):
        return ""
    names = objects[place].get("function", {}).get("names", ())
    return str(names[0]) if len(names) == 1 else ""
