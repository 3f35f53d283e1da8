"""Operands as files write them: lists of numbers and of tensors, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.onnx.refusal import traced


def operand_of(x: Any) -> Any:
    """Return a constant that the file writes as a list in an array; others as they are."""
    if isinstance(x, (list, tuple)):
        return np.asarray(x) if not _holds_traced(x) else np.stack([operand_of(one) for one in x])
    return x


def _holds_traced(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_traced(one) for one in x)
    return traced(x)


def sizes_of(shape: Any) -> tuple[int, ...]:
    """Return a shape whose sizes may stand in the file or be computed from another's."""
    if _holds_traced(shape):
        raise NotAffine("has a shape that depends on the input")
    several = shape if isinstance(shape, (list, tuple)) else np.asarray(shape).reshape(-1)
    found = []
    for one in several:
        size = np.asarray(one)
        if size.dtype.kind not in "iu" or size.size != 1:
            raise ValueError(f"a shape of {shape!r}")
        found.append(int(size.reshape(())))
    return tuple(found)
