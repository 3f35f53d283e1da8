"""ONNX element types (TensorProto.DataType) and how numpy holds them."""

from __future__ import annotations

from functools import cache

import numpy as np

STRING = 8
BFLOAT16 = 16

#: Types that numpy has.
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
    STRING: "string",
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
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
}

#: Integers of less than a byte, packed from the lowest bit on: width, and whether signed.
PACKED: dict[int, tuple[int, bool]] = {
    21: (4, False),
    22: (4, True),
    23: (4, False),
    25: (2, False),
    26: (2, True),
}

# Floating point types of at most a byte: exponent bits, mantissa bits, bias, and whether the
# patterns for infinities, NaN and negative zero mean what IEEE 754 says (I), NaN with all bits set
# alone (F), NaN for the pattern of negative zero alone (U), or numbers like all others (N).
# Source: onnx, docs/docsgen/source/technical/float8.md and float4.md.
_SMALL_FLOATS = {
    17: (4, 3, 7, "F"),
    18: (4, 3, 8, "U"),
    19: (5, 2, 15, "I"),
    20: (5, 2, 16, "U"),
    23: (2, 1, 1, "N"),
}

#: Types whose bit patterns are looked up in `small_floats`.
SMALL_FLOATS = frozenset(_SMALL_FLOATS) | {24}


@cache
def small_floats(kind: int) -> np.ndarray:
    """Return the number that each bit pattern of a small floating point type stands for.

    Returns
    -------
    ndarray of float32, shape (patterns,)
    """
    if kind == 24:  # E8M0: a power of two, 255 is NaN
        powers = np.ldexp(np.float32(1.0), np.arange(256) - 127).astype(np.float32)
        powers[255] = np.nan
        return powers
    exponent_bits, mantissa_bits, bias, special = _SMALL_FLOATS[kind]
    patterns = np.arange(1 << (1 + exponent_bits + mantissa_bits))
    sign = np.where(patterns >> (exponent_bits + mantissa_bits), -1.0, 1.0)
    exponent = (patterns >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = patterns & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    values = sign * np.where(
        exponent == 0,
        np.ldexp(fraction, 1 - bias),
        np.ldexp(1.0 + fraction, exponent - bias),
    )
    largest = exponent == (1 << exponent_bits) - 1
    if special == "I":
        values[largest] = np.where(mantissa[largest], np.nan, sign[largest] * np.inf)
    elif special == "F":
        values[largest & (mantissa == (1 << mantissa_bits) - 1)] = np.nan
    elif special == "U":
        values[len(patterns) // 2] = np.nan
    return values.astype(np.float32)
