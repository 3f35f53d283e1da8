"""Are two traced values opposite, whatever the input?"""

from __future__ import annotations

import numpy as np

from converter.tracing.affine import Affine
from converter.tracing.primitives import Shift, Source

# Sums of products that cancel exactly leave a rounding error where products are fused with sums.
_SLACK = 1e-12


def opposite(a: Affine, b: Affine) -> bool:
    """Tell whether ``a + b`` is the constant zero, element by element.

    One cotangent of random weights is carried back through the tape from each: coefficients that
    cancel do so for any weights, and those that do not cancel with none but a set of measure zero.
    """
    if a.shape != b.shape:
        return False
    weights = np.random.default_rng(0).uniform(1.0, 2.0, (1, *a.shape))
    (coef, offset), (other, other_offset) = (_pull_back(v, weights) for v in (a, b))
    if coef.keys() != other.keys():
        return False
    if abs(offset + other_offset) > _SLACK * abs(offset):
        return False
    return all(
        np.abs(coef[source] + other[source]).max(initial=0.0)
        <= _SLACK * np.abs(coef[source]).max(initial=0.0)
        for source in coef
    )


def _pull_back(value: Affine, weights: np.ndarray) -> tuple[dict[int, np.ndarray], float]:
    """Return the coefficients of the weighted sum of a value's elements, and its offset."""
    cotangents = {value.index: weights}
    entries = value.tape.entries
    found: dict[int, np.ndarray] = {}
    offset = 0.0
    for index in range(value.index, -1, -1):
        cotangent = cotangents.pop(index, None)
        if cotangent is None:
            continue
        entry = entries[index]
        if isinstance(entry.primitive, Source):
            found[index] = cotangent
            continue
        if isinstance(entry.primitive, Shift):
            offset += float(entry.primitive.offset(cotangent)[0][0])
        passed = entry.primitive.adjoint(cotangent)
        for operand, back in zip(entry.operands, passed, strict=True):
            known = cotangents.get(operand)
            cotangents[operand] = back if known is None else known + back
    return found, offset
