"""Attributes and constants of TensorFlow's graphs as plain Python values and arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import ModelFileError
from converter.formats.containers import widen_bfloat16
from converter.formats.tensorflow_checkpoint import sizes_of
from converter.formats.tensorflow_protos import TYPES

# Where a tensor keeps its numbers if not as raw bytes, by type.
_LISTS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "float16": "half_val",
    "bfloat16": "half_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    **dict.fromkeys(("int32", "uint8", "int16", "int8", "uint16"), "int_val"),
}
# Elements of a constant that few numbers stand for.
_MAX_REPEATED = 1 << 24


def tensor(record: dict[str, Any]) -> np.ndarray:
    """Return the array that a TensorProto holds.

    Raises
    ------
    ModelFileError
        If its numbers do not fit its shape, or are of a type that is not read.
    """
    kind = TYPES.get(int(record.get("dtype", 0)), "")
    shape = sizes_of(record.get("shape"))
    count = math.prod(shape)
    if not kind or any(size < 0 for size in shape):
        raise ModelFileError(f"has a constant of type {record.get('dtype')}, shape {list(shape)}")
    if kind == "string":
        texts = [one.decode("utf-8", "surrogateescape") for one in record.get("string_val", ())]
        if len(texts) != count:
            raise ModelFileError(f"has a constant of shape {list(shape)} of {len(texts)} texts")
        array = np.empty(count, dtype=object)
        array[:] = texts
        return array.reshape(shape)
    bits = kind in ("float16", "bfloat16")
    item = np.dtype("<u2" if bits else kind).newbyteorder("<")
    if "content" in record:
        data = record["content"]
        if len(data) != count * item.itemsize:
            raise ModelFileError(f"has a constant of shape {list(shape)} in {len(data):,} bytes")
        array = np.frombuffer(data, item)
    else:
        parts = record.get(_LISTS[kind], [])
        given = np.concatenate(parts) if parts else np.zeros(1)
        if len(given) > max(count, 1) or count > _MAX_REPEATED:
            raise ModelFileError(f"has a constant of shape {list(shape)} of {len(given):,} numbers")
        array = given.astype(item)
        if len(array) < count:
            # The last number stands for all that follow.
            array = np.concatenate([array, np.broadcast_to(array[-1:], count - len(array))])
        array = array[:count]
    if kind == "float16":
        array = array.view("<f2")
    elif kind == "bfloat16":
        array = widen_bfloat16(array)
    return array.reshape(shape)


def attributes(node: dict[str, Any]) -> dict[str, Any]:
    """Return a node's attributes: numbers, words, lists of these, types as numpy spells them.

    Shapes become tuples (None for an unknown rank), functions their names, tensors arrays.
    """
    found: dict[str, Any] = {}
    for entry in node.get("attr", ()):
        name = entry.get("key", "")
        if name in found:
            raise ModelFileError(f"has the attribute {name!r} twice")
        found[name] = _value(entry.get("value", {}))
    return found


def constant(node: dict[str, Any]) -> np.ndarray | None:
    """Return what a Const node holds; None if it is no such node, or holds nothing."""
    found = attributes(node).get("value") if node.get("op") == "Const" else None
    return found if isinstance(found, np.ndarray) else None


def _value(record: dict[str, Any]) -> Any:
    if not record:
        return None
    ((kind, value),) = record.items()
    if kind == "list":
        return _list(value)
    return _one(kind, value)


def _one(kind: str, value: Any) -> Any:
    if kind == "s":
        return value.decode("utf-8", "replace")
    if kind == "b":
        return bool(value)
    if kind == "type":
        return TYPES.get(int(value), f"type {value}")
    if kind == "shape":
        return None if value.get("unknown_rank") else sizes_of(value)
    if kind == "tensor":
        return tensor(value)
    if kind == "func":
        return value.get("name", "")
    return value


def _list(record: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for kind, values in record.items():
        if kind in ("i", "f", "b", "type"):
            numbers = np.concatenate(values).tolist() if values else []
            found.extend(_one(kind, one) for one in numbers)
        else:
            found.extend(_one(kind, one) for one in values)
    return found
