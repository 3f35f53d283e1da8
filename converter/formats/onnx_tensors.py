"""Tensors of ONNX files as arrays: views of the memory map wherever they are stored raw.

Format: onnx.proto3, TensorProto and SparseTensorProto; docs/ExternalData.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converter.errors import ModelFileError, printable
from converter.formats.containers import ExternalFiles, widen_bfloat16
from converter.formats.onnx_types import (
    BFLOAT16,
    NAMES,
    PACKED,
    SMALL_FLOATS,
    STRING,
    TYPES,
    small_floats,
)

# Elements that a sparse tensor may have once it is spread out.
_MAX_SPREAD = 1 << 23

# Which typed field of a TensorProto holds elements of which type (onnx.proto3, TensorProto).
_TYPED = {
    "float_data": {1},
    "int32_data": {2, 3, 4, 5, 6, 9, 10, BFLOAT16, *SMALL_FLOATS, *PACKED},
    "int64_data": {7},
    "double_data": {11},
    "uint64_data": {12, 13},
    "string_data": {STRING},
}
# Stored in int32_data by their bits.
_BITS = frozenset({10, BFLOAT16})


class Unsupported(Exception):
    """A tensor of a type that is not read; the sentence says which."""


def tensor(record: dict[str, Any], external: ExternalFiles) -> np.ndarray:
    """Return a TensorProto as an array.

    bfloat16 and the small floating point types come as float32, which contains them; integers
    of less than a byte as int8 or uint8; strings as Python strings in an object array.

    Raises
    ------
    ModelFileError
        If sizes, types and bytes do not agree.
    Unsupported
        If it is of a type that is not read.
    """
    name = printable(record.get("name", "") or "(unnamed)")
    kind = record.get("data_type", 0)
    if "segment" in record:
        raise Unsupported("is stored in segments, which is not supported")
    if kind not in TYPES and kind not in SMALL_FLOATS and kind not in PACKED and kind != STRING:
        raise Unsupported(f"is of the type {NAMES.get(kind, kind)}, which is not supported")
    dims = _dims(record, name)
    count = math.prod(dims)
    stored = [field for field in (*_TYPED, "raw_data", "external_data") if record.get(field)]
    if len(stored) > 1:
        raise ModelFileError(f"weight {name!r} holds its values twice, in {' and '.join(stored)}")
    default = "string_data" if kind == STRING else "raw_data"
    where = stored[0] if stored else default
    if (record.get("data_location", 0) == 1) != (where == "external_data"):
        raise ModelFileError(f"weight {name!r} does not say whether its data are external")
    if kind == STRING:
        if where != "string_data":
            raise ModelFileError(f"weight {name!r} holds strings in {where}")
        values = np.empty(len(record.get("string_data", ())), dtype=object)
        values[:] = [one.decode("utf-8", "backslashreplace") for one in record.get(where, ())]
    elif where in _TYPED:
        values = _typed(record[where], where, kind, name)
    else:
        values = _raw(record, where, kind, dims, name, external)
    if kind in PACKED:
        values = _unpack(values, kind, count)
    if values.size != count:
        raise ModelFileError(f"weight {name!r} of shape {dims} has {values.size:,} values")
    if kind == BFLOAT16:
        values = widen_bfloat16(values)
    elif kind in SMALL_FLOATS:
        values = small_floats(kind)[values]
    return values.reshape(dims)


def sparse_tensor(record: dict[str, Any], external: ExternalFiles) -> np.ndarray:
    """Return a SparseTensorProto spread out.

    Raises
    ------
    ModelFileError
        If indices lie outside, or it would be too large.
    """
    if "values" not in record:
        raise ModelFileError("a sparse weight has no values")
    values = tensor(record["values"], external)
    name = printable(record["values"].get("name", "") or "(unnamed)")
    dims = _dims(record, name)
    count = math.prod(dims)
    if count > _MAX_SPREAD or values.ndim != 1:
        raise ModelFileError(
            f"the sparse weight {name!r} of shape {dims} is too large or not a list of values"
        )
    if values.size:
        if "indices" not in record:
            raise ModelFileError(f"the sparse weight {name!r} has no indices")
        indices = tensor(record["indices"], external)
        if indices.dtype != np.int64:
            raise ModelFileError(f"the sparse weight {name!r} has indices that are no integers")
        if indices.shape == (values.size, len(dims)):
            limits = np.array(dims)
            if (indices < 0).any() or (indices >= limits).any():
                raise ModelFileError(f"the sparse weight {name!r} has indices outside its shape")
            flat = np.ravel_multi_index(tuple(indices.T), dims)
        elif indices.shape == (values.size,):
            flat = indices
        else:
            raise ModelFileError(f"the sparse weight {name!r} has indices of another shape")
        if flat.min() < 0 or flat.max() >= count or np.unique(flat).size != flat.size:
            raise ModelFileError(
                f"the sparse weight {name!r} has indices outside its shape or twice the same"
            )
    else:
        flat = np.empty(0, dtype=np.int64)
    dense = np.zeros(count, dtype=values.dtype)
    dense[flat] = values
    return dense.reshape(dims)


def _dims(record: dict[str, Any], name: str) -> list[int]:
    dims = [int(size) for part in record.get("dims", ()) for size in part]
    if any(not 0 <= size < 1 << 48 for size in dims) or len(dims) > 25:
        raise ModelFileError(f"weight {name!r} has the impossible shape {dims}")
    return dims


def _dtype(kind: int) -> np.dtype:
    if kind == BFLOAT16:
        return np.dtype("<u2")
    if kind in SMALL_FLOATS or kind in PACKED:
        return np.dtype(np.uint8)
    return TYPES[kind].newbyteorder("<")


def _typed(parts: list[np.ndarray], where: str, kind: int, name: str) -> np.ndarray:
    if kind not in _TYPED[where]:
        raise ModelFileError(f"weight {name!r} of type {NAMES[kind]} is stored in {where}")
    values = np.concatenate(parts) if len(parts) > 1 else parts[0]
    if kind in _BITS:
        return values.astype(np.uint16).view(_dtype(kind))
    return values if values.dtype == _dtype(kind) else values.astype(_dtype(kind))


def _raw(
    record: dict[str, Any],
    where: str,
    kind: int,
    dims: list[int],
    name: str,
    external: ExternalFiles,
) -> np.ndarray:
    count, dtype = math.prod(dims), _dtype(kind)
    needed = count * dtype.itemsize
    if kind in PACKED:
        needed = -(-count * PACKED[kind][0] // 8)
    if where == "external_data":
        data = external.data(record["external_data"], name, needed)
    else:
        data = record.get("raw_data", memoryview(b""))
    if len(data) != needed:
        raise ModelFileError(
            f"weight {name!r} of shape {dims} and type {NAMES[kind]} needs {needed:,} bytes and "
            f"has {len(data):,}"
        )
    return np.frombuffer(data, dtype)


def _unpack(values: np.ndarray, kind: int, count: int) -> np.ndarray:
    """Return integers of less than a byte one by one: lowest bits first."""
    bits, signed = PACKED[kind]
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = ((values.astype(np.uint8)[:, None] >> shifts) & np.uint8((1 << bits) - 1)).reshape(-1)
    if not count <= parts.size < count + 8 // bits:
        return parts
    parts = parts[:count]
    if not signed:
        return parts
    half, whole = 1 << (bits - 1), 1 << bits
    return np.where(parts >= half, parts.astype(np.int16) - whole, parts).astype(np.int8)
