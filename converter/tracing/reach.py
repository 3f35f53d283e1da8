"""Does a traced value depend on a refused one? Element by element, by the tape alone."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from converter.tracing.affine import Affine
from converter.tracing.primitives import Contract, Primitive, Scale, Source


def depends_only_on(value: Affine, sources: Collection[int]) -> bool:
    """Tell whether a value can be computed from some sources of the tape alone.

    Parameters
    ----------
    value : Affine
    sources : collection of int
        Places on the tape: the network's inputs. All other sources stand in for refused values.

    Notes
    -----
    What is asked is which elements are read on the way, not whether coefficients happen to
    vanish: zero times a refused value may not be a number.
    """
    read = {value.index: np.ones((1, *value.shape))}
    entries = value.tape.entries
    for index in range(value.index, -1, -1):
        mask = read.pop(index, None)
        if mask is None:
            continue
        entry = entries[index]
        if isinstance(entry.primitive, Source):
            if index not in sources and mask.any():
                return False
            continue
        for operand, back in zip(
            entry.operands, _structure(entry.primitive).adjoint(mask), strict=True
        ):
            marked = (back != 0).astype(np.float64)
            known = read.get(operand)
            read[operand] = marked if known is None else np.maximum(known, marked)
    return True


def _structure(primitive: Primitive) -> Primitive:
    """Return the primitive with ones for its constant."""
    if isinstance(primitive, Scale):
        return Scale(np.ones(()))
    if isinstance(primitive, Contract):
        ones = np.broadcast_to(np.float64(1.0), primitive.constant.shape)
        return Contract(ones, primitive.source, primitive.labels, primitive.target)
    return primitive
