"""What the number types mean for operators that compute on floating point numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.tracing.affine import Affine


def floating(*operands: Any) -> None:
    """Refuse integers, whose products and means wrap around or are rounded.

    Raises
    ------
    NotAffine
        If a constant or a traced value is not of a floating point type.
    """
    for operand in operands:
        kind = operand.kind if isinstance(operand, Affine) else None
        if isinstance(operand, np.ndarray):
            kind = operand.dtype.kind
        if kind not in ("f", None):
            raise NotAffine("computes with integers, where only floating point is exact enough")


def double(value: Any) -> Any:
    """Return a constant in float64; a traced value, which is nothing else, as it is."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) else value


def in_type_of(data: Any, result: Any) -> Any:
    """Cast a result that was computed on constants back to the type of its data operand."""
    if isinstance(result, (np.ndarray, np.generic)) and isinstance(data, np.ndarray):
        return np.asarray(result).astype(data.dtype, copy=False)
    return result


def contract(subscripts: str, a: Any, b: Any) -> Any:
    """Return ``numpy.einsum(subscripts, a, b)`` in float64, of which one operand may be traced."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.einsum(subscripts, double(a), double(b), optimize=True)
    return np.einsum(subscripts, a, b)
