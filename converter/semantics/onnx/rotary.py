"""Rotary embeddings: pairs of numbers rotated by angles that depend on their position."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.semantics.onnx.attention import by_heads
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import refuse
from converter.semantics.precision import floating, in_type_of
from converter.tracing.affine import check_size
from converter.tracing.linked import CHOICE


def rotary_embedding(
    X: Any,
    cos_cache: Any,
    sin_cache: Any,
    position_ids: Any = None,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Any:
    """Rotate pairs of numbers by angles of their positions: ONNX operators, RotaryEmbedding."""
    floating(X, cos_cache, sin_cache)
    shape = np.shape(X)
    value = X if len(shape) == 4 else by_heads(X, num_heads or None)
    batch, _, length, width = np.shape(value)
    turned = rotary_embedding_dim or width
    if not 0 < turned <= width or turned % 2:
        raise ValueError(f"{turned} of {width} numbers cannot be rotated in pairs")
    half = turned // 2
    cos, sin = (
        _of_positions(cache, position_ids, (batch, length, half))
        for cache in (cos_cache, sin_cache)
    )
    if interleaved:
        first, second = value[..., 0:turned:2], value[..., 1:turned:2]
    else:
        first, second = value[..., :half], value[..., half:turned]
    real = np.subtract(np.multiply(cos, first), np.multiply(sin, second))
    imaginary = np.add(np.multiply(sin, first), np.multiply(cos, second))
    if interleaved:
        pairs = np.stack([real, imaginary], axis=-1)
        parts = [np.reshape(pairs, (*np.shape(value)[:-1], turned))]
    else:
        parts = [real, imaginary]
    if turned < width:
        parts.append(value[..., turned:])
    result = np.concatenate(parts, axis=-1)
    if len(shape) == 3:
        result = np.reshape(np.transpose(result, (0, 2, 1, 3)), shape)
    return in_type_of(X, result)


def _of_positions(cache: Any, position_ids: Any, shape: tuple[int, int, int]) -> Any:
    """Return the numbers for each position, with an axis for the heads."""
    if position_ids is not None:
        refuse(CHOICE, position_ids)
        where = np.asarray(position_ids)
        if where.dtype.kind not in "iu" or np.ndim(cache) != 2:
            raise ValueError("needs whole positions and a cache of two axes")
        check_size(shape)
        if where.size and (where.min() < 0 or where.max() >= np.shape(cache)[0]):
            raise ValueError(f"a position lies outside a cache of {np.shape(cache)[0]}")
        cache = np.take(cache, where, axis=0)
    if np.shape(cache) != shape:
        raise ValueError(f"a cache of shape {list(np.shape(cache))} where {list(shape)} fits")
    return np.expand_dims(cache, 1)


OPERATORS: dict[str, Operator] = {
    "RotaryEmbedding": Operator(
        {23: rotary_embedding},
        accepts="X or the caches are constant",
    ),
}
