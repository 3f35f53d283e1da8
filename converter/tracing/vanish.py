"""Is a traced value zero, whatever the input?"""

from __future__ import annotations

import numpy as np

from converter.tracing.affine import Affine
from converter.tracing.primitives import Shift, Source


def vanishes(value: Affine) -> bool:
    """Tell whether every element of a traced value is the constant zero.

    One cotangent of random weights is carried back through the tape: coefficients that cancel do
    so for any weights, and those that do not cancel with none but a set of measure zero.
    """
    weights = np.random.default_rng(0).uniform(1.0, 2.0, (1, *value.shape))
    cotangents = {value.index: weights}
    entries = value.tape.entries
    offset = 0.0
    for index in range(value.index, -1, -1):
        cotangent = cotangents.pop(index, None)
        if cotangent is None:
            continue
        entry = entries[index]
        if isinstance(entry.primitive, Source):
            if cotangent.any():
                return False
            continue
        if isinstance(entry.primitive, Shift):
            offset += float(entry.primitive.offset(cotangent)[0][0])
        passed = entry.primitive.adjoint(cotangent)
        for operand, back in zip(entry.operands, passed, strict=True):
            known = cotangents.get(operand)
            cotangents[operand] = back if known is None else known + back
    return offset == 0.0
