"""How far a network's own arithmetic may be from the exact affine map: a bound, not a guess.

A value computed from n others by sums and products in arithmetic of unit roundoff u is off by at
most gamma_k = k u / (1 - k u) times the same expression with every number replaced by its
absolute value, where k counts the roundings on the longest way (Higham, Accuracy and Stability
of Numerical Algorithms, 2nd ed. 2002, sections 3.1 and 3.5; the bound holds for sums in any order).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converter.formats.keras_policy import computed_in
from converter.network import Network
from converter.tracing.affine import Affine, Tape
from converter.tracing.primitives import (
    Add,
    Broadcast,
    Contract,
    Join,
    Primitive,
    Scale,
    Shift,
    Source,
    Sum,
    Take,
    finite,
)

_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}

# Cast's attribute `to`.
_CASTS = {1: "float32", 10: "float16", 16: "bfloat16"}
# Layers whose numbers stand in the configuration: TensorFlow makes float32 tensors of them even
# where the layer computes in float64.
_FLOAT32_SETTINGS = frozenset({"Rescaling", "Normalization"})


def unit_roundoff(network: Network) -> float:
    """Return the unit roundoff of the least precise type among inputs and weights."""
    kinds = {one.dtype for one in network.inputs}
    kinds.update(str(weight.dtype) for weight in network.constants.values())
    for node in network.nodes:
        kinds.update(str(weight.dtype) for weight in node.weights.values())
        kinds.add(computed_in(node.attributes))
        if network.dialect == "tensorflow":
            kinds.update(kind for kind in node.attributes.values() if isinstance(kind, str))
        if node.operation == "Cast":
            kinds.add(_CASTS.get(node.attributes.get("to", 0), ""))
        if node.operation in _FLOAT32_SETTINGS:
            kinds.add("float32")
    return max((_ROUNDOFF[kind] for kind in kinds if kind in _ROUNDOFF), default=2.0**-24)


def rounding_bound(
    tape: Tape,
    inputs: Sequence[Affine],
    points: Sequence[np.ndarray],
    outputs: Sequence[Affine],
    roundoff: float,
) -> list[np.ndarray]:
    """Return how far computed outputs may be from the exact ones, at some points.

    Parameters
    ----------
    tape : Tape
    inputs : sequence of Affine
    points : sequence of ndarray of float64, shape (n, *input shape)
        For each input.
    outputs : sequence of Affine
    roundoff : float
        Unit roundoff u of the network's arithmetic.

    Returns
    -------
    list of ndarray of float64, shape (n, *output shape)
        Infinite where k u reaches one, when nothing can be said.
    """
    # Below its smallest normal number a type rounds by a fixed amount; it matters in float16 alone.
    smallest = 2.0**-14 if roundoff == _ROUNDOFF["float16"] else 0.0
    sizes = {one.index: np.abs(point) for one, point in zip(inputs, points, strict=True)}
    wanted = _reached(tape, outputs)
    count = len(points[0])
    magnitudes: dict[int, np.ndarray] = {}
    roundings: dict[int, int] = {}
    for index in wanted:
        entry = tape.entries[index]
        primitive = entry.primitive
        if isinstance(primitive, Source):
            seed = sizes.get(index)
            seed = np.zeros((count, *entry.shape)) if seed is None else seed
            magnitudes[index] = np.maximum(seed, smallest)
            roundings[index] = 1  # the point itself is rounded to the input's type
            continue
        operands = [magnitudes[operand] for operand in entry.operands]
        magnitudes[index] = np.maximum(_absolute(primitive, operands), smallest)
        roundings[index] = max(roundings[o] for o in entry.operands) + _count(primitive, operands)
    bounds = []
    for output in outputs:
        product = roundings[output.index] * roundoff
        gamma = product / (1.0 - product) if product < 1.0 else math.inf
        bounds.append(gamma * magnitudes[output.index])
    return bounds


def _reached(tape: Tape, outputs: Sequence[Affine]) -> list[int]:
    wanted = {output.index for output in outputs}
    for index in range(len(tape.entries) - 1, -1, -1):
        if index in wanted:
            wanted.update(tape.entries[index].operands)
    return sorted(wanted)


def _absolute(primitive: Primitive, operands: list[np.ndarray]) -> np.ndarray:
    """Apply a primitive with its constant's absolute values."""
    if isinstance(primitive, Scale):
        primitive = Scale(np.abs(finite(primitive.constant)))
    elif isinstance(primitive, Contract):
        primitive = Contract(
            np.abs(primitive.constant), primitive.source, primitive.labels, primitive.target
        )
    elif isinstance(primitive, Shift):
        return operands[0] + np.abs(finite(primitive.constant))
    return primitive.forward(*operands)


def _count(primitive: Primitive, operands: list[np.ndarray]) -> int:
    """Return the roundings of one primitive: products, sums, and a weight that was derived.

    Weights that the rules computed in double precision (a variance's square root, say) are
    computed by the network in a few operations of its own; four roundings stand for these.
    """
    if isinstance(primitive, Contract):
        summed = [label for label in primitive.source if label not in primitive.target]
        shape = dict(zip(primitive.source, operands[0].shape[1:], strict=True))
        return math.prod(shape[label] for label in summed) + 4
    if isinstance(primitive, Sum):
        return math.prod(primitive.source[axis - 1] for axis in primitive.axes)
    if isinstance(primitive, Add):
        return primitive.count
    if isinstance(primitive, Scale):
        return 5
    if isinstance(primitive, Shift):
        return 5
    assert isinstance(primitive, (Take, Join, Broadcast))
    return 0
