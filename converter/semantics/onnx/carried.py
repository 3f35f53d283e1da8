"""Layers that carry a state along the sequence: LinearAttention, CausalConvWithState."""

from __future__ import annotations

from typing import Any

import numpy as np

from converter.errors import NotAffine
from converter.semantics.onnx.operator import Operator
from converter.semantics.onnx.refusal import attempt, refuse
from converter.semantics.precision import contract, double, floating, in_type_of
from converter.tracing.affine import check_size, pin
from converter.tracing.linked import ACTIVATION

_RULES = ("linear", "gated", "delta", "gated_delta")
# Steps of one recurrence: each leaves a few entries on the tape.
_MAX_STEPS = 1 << 12


def linear_attention(
    query: Any,
    key: Any,
    value: Any,
    past_state: Any = None,
    decay: Any = None,
    beta: Any = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> Any:
    """Return output and present_state of the recurrence: ONNX operators, LinearAttention.

    The state S of shape (batch, heads, key width, value width) becomes, step by step,
    ``exp(g) * S + beta * k (v - exp(g) * S^T k)^T``; what is read is ``scale * S^T q``.
    """
    floating(query, key, value, past_state, decay, beta)
    if update_rule not in _RULES:
        raise NotAffine(f"has the unknown update_rule {update_rule!r}")
    gated, corrected = "gated" in update_rule, "delta" in update_rule
    if gated != (decay is not None) or corrected != (beta is not None):
        raise ValueError(f"decay or beta do not go with the update_rule {update_rule!r}")
    if min(q_num_heads, kv_num_heads) < 1 or q_num_heads % kv_num_heads:
        raise ValueError(f"{q_num_heads} heads of queries share {kv_num_heads} heads of keys")
    queries = _unpacked(query, q_num_heads)
    keys, values = _unpacked(key, kv_num_heads), _unpacked(value, kv_num_heads)
    batch, length, _, width = np.shape(keys)
    depth = np.shape(values)[3]
    if np.shape(queries) != (batch, length, q_num_heads, width):
        raise ValueError(f"queries of shape {list(np.shape(query))} do not fit the keys")
    if np.shape(values)[:2] != (batch, length):
        raise ValueError(f"values of shape {list(np.shape(value))} do not fit the keys")
    whole = (batch, kv_num_heads, width, depth)
    check_size((length, *whole))
    if length > _MAX_STEPS:
        raise NotAffine(f"carries a state through more than {_MAX_STEPS:,} steps")
    if past_state is not None and np.shape(past_state) != whole:
        raise ValueError(f"a state of shape {list(np.shape(past_state))} where {list(whole)} fits")
    for one in (query, key, value):
        pin(one, [length])
    gates = _gates(decay, (batch, length, kv_num_heads, width)) if gated else None
    rates: Any = _rates(beta, (batch, length, kv_num_heads)) if corrected else None
    state = double(past_state)
    if isinstance(state, np.ndarray) and not state.any():
        state = None  # zero, and so is any product with it
    states = []
    for step in range(length):
        if state is not None and gates is not None:
            state = np.multiply(state, np.exp(gates[:, step])[..., None])
        k, v = keys[:, step], values[:, step]
        if corrected:
            seen = None if state is None else contract("bhdm,bhd->bhm", state, k)
            v = np.multiply(rates[:, step], v if seen is None else np.subtract(v, seen))
        added = np.multiply(np.expand_dims(k, 3), np.expand_dims(v, 2))
        state = added if state is None else np.add(state, added)
        states.append(state)
    if state is None:
        state = np.zeros(whole)
    factor = np.float64(scale or width**-0.5)

    def read() -> Any:
        shape = (batch, length, kv_num_heads, q_num_heads // kv_num_heads, width)
        grouped = np.reshape(queries, shape)
        parts = [
            contract("bhgd,bhdm->bhgm", grouped[:, step], one) for step, one in enumerate(states)
        ]
        joined = np.stack(parts, axis=1) if parts else np.zeros(packed)
        return np.multiply(np.reshape(joined, packed), factor)

    packed = (batch, length, q_num_heads * depth)
    output = attempt(read, packed)
    like = query if past_state is None else past_state
    return in_type_of(query, output), in_type_of(like, state)


def _unpacked(value: Any, heads: int) -> Any:
    """Return a value of shape (batch, sequence, heads, width)."""
    shape = np.shape(value)
    if len(shape) != 3 or shape[2] % heads:
        raise ValueError(f"a value of shape {list(shape)} does not divide into {heads} heads")
    return double(np.reshape(value, (*shape[:2], heads, shape[2] // heads)))


def _gates(decay: Any, shape: tuple[int, int, int, int]) -> Any:
    """Return the logarithms of what the state is multiplied by, for heads or keys' places."""
    given = np.shape(decay)
    if given == shape[:3]:
        return double(np.reshape(decay, (*shape[:3], 1)))
    if given == (*shape[:2], shape[2] * shape[3]):
        return double(np.reshape(decay, shape))
    raise ValueError(f"a decay of shape {list(given)} does not fit {list(shape)}")


def _rates(beta: Any, shape: tuple[int, int, int]) -> Any:
    if np.shape(beta) not in (shape, (*shape[:2], 1)):
        raise ValueError(f"a beta of shape {list(np.shape(beta))} does not fit {list(shape)}")
    return np.expand_dims(double(beta), 3)


def causal_conv_with_state(
    input: Any,
    weight: Any,
    bias: Any = None,
    past_state: Any = None,
    *,
    activation: str = "none",
) -> Any:
    """Convolve each channel with what came before: ONNX operators, CausalConvWithState."""
    floating(input, weight, bias, past_state)
    if activation not in ("none", "silu", "swish"):
        raise NotAffine(f"has the unknown activation {activation!r}")
    shape, kernel = np.shape(input), np.shape(weight)
    if len(shape) != 3 or len(kernel) != 3 or kernel[:2] != (shape[1], 1) or kernel[2] < 1:
        raise ValueError(f"a weight of shape {list(kernel)} does not fit {list(shape)}")
    if bias is not None and np.shape(bias) != shape[1:2]:
        raise ValueError(f"a bias of shape {list(np.shape(bias))} does not fit {list(shape)}")
    length, before = shape[2], kernel[2] - 1
    carried = (*shape[:2], before)
    check_size((*shape, kernel[2]))
    check_size((*shape[:2], before + length))
    if past_state is None:
        past_state = np.zeros(carried, input.dtype if isinstance(input, np.ndarray) else float)
    if np.shape(past_state) != carried:
        raise ValueError(
            f"a state of shape {list(np.shape(past_state))} where {list(carried)} fits"
        )
    if before:
        pin(input, [length])
    extended = np.concatenate([past_state, input], axis=2) if before else input

    def convolve() -> Any:
        places = np.arange(length)[:, None] + np.arange(kernel[2])
        windows = np.take(double(extended), places, axis=2)
        result = contract("bclk,ck->bcl", windows, np.reshape(weight, (kernel[0], kernel[2])))
        if bias is not None:
            result = np.add(result, double(bias[:, None]))
        if activation != "none":
            refuse(ACTIVATION, result)
            result = result / (1.0 + np.exp(-result))
        return result

    present = extended[:, :, length:] if before else np.zeros(carried)
    return in_type_of(input, attempt(convolve, shape)), in_type_of(input, present)


OPERATORS: dict[str, Operator] = {
    "CausalConvWithState": Operator({27: causal_conv_with_state}),
    "LinearAttention": Operator({27: linear_attention}),
}
