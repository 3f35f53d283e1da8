"""ONNX element types (TensorProto.DataType)."""

from __future__ import annotations

import numpy as np

BFLOAT16 = 16

#: Types that are read; bfloat16 constants are held as float32, which contains them.
TYPES: dict[int, np.dtype] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    BFLOAT16: np.dtype(np.float32),
}

#: All types by name, for messages.
NAMES: dict[int, str] = {number: dtype.name for number, dtype in TYPES.items()} | {
    8: "string",
    14: "complex64",
    15: "complex128",
    BFLOAT16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
}
